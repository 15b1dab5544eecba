/* SPDX-License-Identifier: Apache-2.0 */
/* JSONPath: what paths find, and which are refused. */
#include "codec/jsonpath.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "base/mem.h"

static const char document[] =
    "{\"kind\":\"Foo\",\"metadata\":{\"annotations\":{\"example.com/x\":\"dotted\"}},"
    "\"spec\":{\"replicas\":3,\"ports\":[{\"name\":\"a\",\"port\":1},{\"name\":\"b\",\"port\":2},"
    "{\"name\":\"c\",\"port\":3}]},\"status\":{\"conditions\":["
    "{\"type\":\"Ready\",\"status\":\"True\"},{\"type\":\"Stale\",\"status\":\"False\"}]}}";

/* All that a path finds, as JSON texts with spaces between. */
static void expect(const char *path, const char *wanted)
{
    struct arena a;
    struct json *root;
    const struct jsonpath *p = NULL;
    struct err err = {0};
    size_t n;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    arena_init(&a, 0);
    assert_int_equal(json_parse(&a, str_of(document), NULL, &root, NULL), 0);
    if (jsonpath_compile(&a, str_of(path), &p, &err) < 0) {
        fail_msg("%s: %s", path, err.text);
    }
    const struct json **found = jsonpath_find(&a, p, root, &n);
    for (size_t i = 0; i < n; i++) {
        buf_puts(&out, i ? " " : "");
        assert_int_equal(json_print(&out, found[i]), 0);
    }
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), wanted);
    arena_fini(&a);
}

static void paths_find_what_kubernetes_finds(void **state)
{
    (void)state;
    expect(".spec.replicas", "3");
    expect("spec.replicas", "3");
    expect("$.spec['replicas']", "3");
    expect(".metadata.annotations.example\\.com/x", "\"dotted\"");
    expect(".metadata.annotations['example.com/x']", "\"dotted\"");
    expect(".spec.ports[0].name", "\"a\"");
    expect(".spec.ports[-1].name", "\"c\"");
    expect(".spec.ports[-2].name", "\"b\"");
    expect(".spec.ports[0,2].port", "1 3");
    expect(".spec.ports[1:].port", "2 3");
    expect(".spec.ports[:2].port", "1 2");
    expect(".spec.ports[0:3:2].port", "1 3");
    expect(".spec.ports[*].port", "1 2 3");
    expect(".spec.ports.*.port", "1 2 3");
    expect(".status.conditions[?(@.type==\"Ready\")].status", "\"True\"");
    expect(".status.conditions[?(@.type == 'Stale')].status", "\"False\"");
    expect(".spec.ports[?(@.port>=2)].name", "\"b\" \"c\"");
    expect(".spec.ports[?(@.port != 2)].name", "\"a\" \"c\"");
    expect(".spec.ports[?(@.nothing)].name", "");
    expect(".spec.ports[?(@.name)].port", "1 2 3");
    expect("..port", "1 2 3");
    expect(".absent.member[3]", "");
    expect(".spec.ports[9]", "");
    expect(".spec.ports[-9]", "");
}

static void broken_paths_are_refused(void **state)
{
    (void)state;
    static const char *const broken[] = {".spec[",        ".spec['a",  ".spec[]",    "..",
                                         ".a.",           ".a[1:2:0]", ".a[?(@.b==", ".a[x]",
                                         ".a[?(@.b==c)]", ".a[0]b"};
    for (size_t i = 0; i < ARRAY_SIZE(broken); i++) {
        struct arena a;
        const struct jsonpath *p;
        struct err err = {0};
        arena_init(&a, 0);
        if (jsonpath_compile(&a, str_of(broken[i]), &p, &err) >= 0) {
            fail_msg("%s was accepted", broken[i]);
        }
        assert_true(*err.text);
        arena_fini(&a);
    }
}

static void simple_paths_are_known(void **state)
{
    (void)state;
    struct arena a;
    const struct jsonpath *p;
    arena_init(&a, 0);
    assert_int_equal(jsonpath_compile(&a, str_of(".spec.replicas"), &p, NULL), 0);
    assert_true(jsonpath_is_simple(p));
    assert_int_equal(jsonpath_compile(&a, str_of(".spec.list[0]"), &p, NULL), 0);
    assert_false(jsonpath_is_simple(p));
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_find_what_kubernetes_finds),
        cmocka_unit_test(broken_paths_are_refused),
        cmocka_unit_test(simple_paths_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* YAML to JSON: what manifests and configurations rely on, and the bounds. */
#include "yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"

static void expect(const char *yaml, const char *json)
{
    struct arena a;
    struct err err = {0};
    struct json *j = NULL;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    arena_init(&a, 0);
    if (yaml_parse(&a, str_of(yaml), &j, &err) < 0) {
        fail_msg("%s", err.text);
    }
    json_print(&out, j);
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), json);
    arena_fini(&a);
}

static void refuse(const char *yaml, int code, const char *text)
{
    struct arena a;
    struct err err = {0};
    struct json *j = NULL;
    arena_init(&a, (size_t)1 << 30);
    assert_int_equal(yaml_parse(&a, str_of(yaml), &j, &err), code);
    if (text) {
        assert_string_equal(err.text, text);
    }
    assert_null(j);
    arena_fini(&a);
}

static void a_manifest_becomes_json(void **state)
{
    (void)state;
    expect(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  x: |\n    one\n    two\n"
        "list:\n- 1\n- b: c\n",
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"a\"},"
        "\"data\":{\"x\":\"one\\ntwo\\n\"},\"list\":[1,{\"b\":\"c\"}]}");
    expect("{\"json\": [true, null, 1.5]}", "{\"json\":[true,null,1.5]}");
}

static void words_are_booleans_and_null(void **state)
{
    (void)state;
    expect("[y, Yes, on, TRUE, n, No, OFF, false, ~, null, '']",
           "[true,true,true,true,false,false,false,false,null,null,\"\"]");
    expect("a: \"yes\"\nb: 'null'\nc: !!str no\nd:",
           "{\"a\":\"yes\",\"b\":\"null\",\"c\":\"no\",\"d\":null}");
    expect("y: 1\n10: 2\n1.5: 3", "{\"true\":1,\"10\":2,\"1.5\":3}");
}

static void numbers_are_those_of_yaml_1_1(void **state)
{
    (void)state;
    expect("[0644, 0x1F, 0b101, 0o17, -017, 1_000, +5, 08, .5, 5., 1e3, -0, 18446744073709551615]",
           "[420,31,5,15,-15,1000,5,8,0.5,5,1e3,0,18446744073709551615]");
    expect("[1.2.3, 500m, 1Gi, 2026-01-01, '5', 0x, '-', -, 1e]",
           "[\"1.2.3\",\"500m\",\"1Gi\",\"2026-01-01\",\"5\",\"0x\",\"-\",\"-\",\"1e\"]");
}

static void aliases_are_copied_and_merge_keys_fill_in(void **state)
{
    (void)state;
    expect("base: &b {x: 1, z: 2}\nmine:\n  <<: *b\n  z: 3\nlist: [*b, *b]\n",
           "{\"base\":{\"x\":1,\"z\":2},\"mine\":{\"x\":1,\"z\":3},"
           "\"list\":[{\"x\":1,\"z\":2},{\"x\":1,\"z\":2}]}");
    expect("- &s text\n- *s\n- {*s : 1}\n", "[\"text\",\"text\",{\"text\":1}]");
}

static void an_empty_text_is_null(void **state)
{
    (void)state;
    expect("", "null");
    expect("# nothing\n", "null");
    expect("---\n...\n", "null");
}

static void faults_say_where_they_are(void **state)
{
    (void)state;
    refuse("a: *nobody\n", -E_PARSE, "yaml: line 1, column 4: unknown anchor");
    refuse("a: !odd 1\n", -E_PARSE, "yaml: line 1, column 4: tags are not supported");
    refuse("a: .inf\n", -E_PARSE, "yaml: line 1, column 4: JSON knows neither infinity nor NaN");
    refuse("? [a]\n: b\n", -E_PARSE, "yaml: line 1, column 3: a key must be a scalar");
    refuse("a: b: c\n", -E_PARSE, NULL);
    refuse("a: \"\xff\"\n", -E_PARSE, NULL);
    refuse("a: &x [*x]\n", -E_PARSE, "yaml: line 1, column 8: unknown anchor");
    refuse("<<: 5\n", -E_PARSE, "yaml: line 1, column 5: a merge needs a mapping");
}

static void bombs_are_refused(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    buf_puts(&b, "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for (int i = 1; i < 9; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++) {
            buf_printf(&b, "%s*a%d", k ? "," : "", i - 1);
        }
        buf_puts(&b, "]\n");
    }
    buf_putc(&b, '\0');
    refuse(buf_data(&b), -E_LIMIT, NULL);

    buf_clear(&b);
    for (int i = 0; i < 1000; i++) {
        buf_putc(&b, '[');
    }
    buf_putc(&b, '\0');
    refuse(buf_data(&b), -E_LIMIT, NULL);

    buf_clear(&b); /* a chain of aliases, each one level deeper */
    buf_puts(&b, "- &a0 [x]\n");
    for (int i = 1; i < 300; i++) {
        buf_printf(&b, "- &a%d [*a%d]\n", i, i - 1);
    }
    buf_putc(&b, '\0');
    refuse(buf_data(&b), -E_LIMIT, NULL);
}

static int count(void *arg, struct json *doc, struct err *err)
{
    int *n = arg;
    (void)err;
    assert_int_equal(json_path_i64(doc, "k", 0), *n + 1);
    return ++*n == 7 ? 99 : 0;
}

static void a_stream_holds_several_documents(void **state)
{
    (void)state;
    struct arena a;
    struct err err;
    int n = 0;
    arena_init(&a, 0);
    assert_int_equal(
        yaml_parse_all(&a, str_of("k: 1\n---\n---\nk: 2\n---\n{k: 3}\n"), count, &n, &err), 0);
    assert_int_equal(n, 3);
    n = 6;
    assert_int_equal(yaml_parse_all(&a, str_of("k: 7\n---\nk: 8\n"), count, &n, &err), 99);
    arena_fini(&a);
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    for (size_t cap = 64; cap < 20000; cap += 512) {
        struct arena a;
        struct err err = {0};
        struct json *j = NULL;
        arena_init(&a, cap);
        int rc = yaml_parse(&a, str_of("a: &x {b: [1, two, 3.5]}\nc: {<<: *x, d: *x}\n"), &j, &err);
        assert_true(rc == 0 || rc == -E_NOMEM);
        assert_true((rc == 0) == (j != NULL));
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_manifest_becomes_json),
        cmocka_unit_test(words_are_booleans_and_null),
        cmocka_unit_test(numbers_are_those_of_yaml_1_1),
        cmocka_unit_test(aliases_are_copied_and_merge_keys_fill_in),
        cmocka_unit_test(an_empty_text_is_null),
        cmocka_unit_test(faults_say_where_they_are),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(a_stream_holds_several_documents),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

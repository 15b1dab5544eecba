/* SPDX-License-Identifier: Apache-2.0 */
/* Selectors: grammar, Kubernetes' error texts, matching, printing. */
#include "selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    arena_fini(&arena);
    return 0;
}

static struct json *json_of(const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    if (json_parse(&arena, str_of(text), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static void label_selectors_match_as_written(void **state)
{
    static const struct {
        const char *selector, *labels;
        bool match;
    } cases[] = {
        {"", "{}", true},
        {"", "{\"a\":\"b\"}", true},
        {"a=b", "{\"a\":\"b\"}", true},
        {"a==b", "{\"a\":\"b\"}", true},
        {"a=b", "{\"a\":\"c\"}", false},
        {"a=b", "{}", false},
        {"a=", "{\"a\":\"\"}", true},
        {"a=,b=c", "{\"a\":\"\",\"b\":\"c\"}", true},
        {"a!=b", "{}", true},
        {"a!=b", "{\"a\":\"b\"}", false},
        {"a != b , c = d", "{\"c\":\"d\"}", true},
        {"a", "{\"a\":\"\"}", true},
        {"a", "{}", false},
        {"!a", "{}", true},
        {"! a", "{\"a\":\"x\"}", false},
        {"a in (b,c)", "{\"a\":\"c\"}", true},
        {"a in (b,c)", "{}", false},
        {"a in (b, c),d", "{\"a\":\"b\",\"d\":\"\"}", true},
        {"a notin (b,c)", "{\"a\":\"c\"}", false},
        {"a notin (b,c)", "{}", true},
        {"a in ()", "{\"a\":\"\"}", true},
        {"a in (,)", "{\"a\":\"\"}", true},
        {"a in (b,)", "{\"a\":\"\"}", true},
        {"in in (in,notin)", "{\"in\":\"notin\"}", true},
        {"notin", "{\"notin\":\"\"}", true},
        {"in", "{\"in\":\"\"}", true},
        {"a=in", "{\"a\":\"in\"}", true},
        {"a>5", "{\"a\":\"6\"}", true},
        {"a>5", "{\"a\":\"5\"}", false},
        {"a<5", "{\"a\":\"x\"}", false},
        {"example.com/name=x", "{\"example.com/name\":\"x\"}", true},
        {"\ta\n=\rb", "{\"a\":\"b\"}", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct selector *s = NULL, *again = NULL;
        struct err err = {0};
        if (selector_parse(&arena, cases[i].selector, &s, &err) < 0) {
            fail_msg("'%s': %s", cases[i].selector, err.text);
        }
        struct json *labels = json_of(cases[i].labels);
        if (selector_match_labels(s, labels) != cases[i].match) {
            fail_msg("'%s' over %s", cases[i].selector, cases[i].labels);
        }
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        assert_int_equal(selector_print(&out, s), 0);
        char *text = arena_str(&arena, buf_str(&out));
        if (selector_parse(&arena, text, &again, &err) < 0) {
            fail_msg("'%s' printed as '%s': %s", cases[i].selector, text, err.text);
        }
        assert_int_equal(selector_match_labels(again, labels), cases[i].match);
    }
}

static void bad_label_selectors_say_what_is_wrong(void **state)
{
    static const struct {
        const char *selector, *text;
    } cases[] = {
        {"=b", "found '=', expected: !, identifier, or 'end of string'"},
        {",", "found ',', expected: !, identifier, or 'end of string'"},
        {"a,", "found '', expected: identifier after ','"},
        {"a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"},
        {"a=b c", "found 'c', expected: ',' or 'end of string'"},
        {"a==(b)", "unable to parse requirement: found '(', expected: identifier"},
        {"a in b", "unable to parse requirement: found 'b', expected: '('"},
        {"a in (b", "unable to parse requirement: found '', expected: ',' or ')'"},
        {"!", "unable to parse requirement: found '', expected: identifier"},
        {"!a=b", "found '=', expected: ',' or 'end of string'"},
        {"a@=b",
         "unable to parse requirement: key: Invalid value: \"a@\": name part must consist of"},
        {"a=@",
         "unable to parse requirement: values[0][a]: Invalid value: \"@\": a valid label must be"},
        {"a/b/c=d", "a qualified name must consist of"},
        {"/a=d", "prefix part must be non-empty"},
        {"a>x", "for 'Gt', 'Lt' operators, the value must be an integer"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct selector *s = NULL;
        struct err err = {0};
        assert_int_equal(selector_parse(&arena, cases[i].selector, &s, &err), -E_INVAL);
        if (!strstr(err.text, cases[i].text)) {
            fail_msg("'%s': %s", cases[i].selector, err.text);
        }
    }
}

static void selectors_are_bounded(void **state)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    for (int i = 0; i <= LIMIT_SELECTOR_TERMS; i++) {
        (void)buf_printf(&b, "%sa%d", i ? "," : "", i);
    }
    (void)buf_putc(&b, '\0');
    struct selector *s = NULL;
    assert_int_equal(selector_parse(&arena, buf_data(&b), &s, NULL), -E_LIMIT);
}

static void selector_objects_match(void **state)
{
    static const struct {
        const char *selector, *labels;
        bool match;
    } cases[] = {
        {"{}", "{\"x\":\"y\"}", true},
        {"null", "{}", false},
        {"{\"matchLabels\":{\"a\":\"b\"}}", "{\"a\":\"b\",\"c\":\"d\"}", true},
        {"{\"matchLabels\":{\"a\":\"b\",\"c\":\"d\"}}", "{\"a\":\"b\"}", false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\",\"values\":[\"x\",\"b\"]}]}",
         "{\"a\":\"b\"}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"NotIn\",\"values\":[\"b\"]}]}",
         "{\"a\":\"b\"}", false},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\"}]}", "{\"a\":\"b\"}", true},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"DoesNotExist\"}]}", "{}", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct selector *s = NULL;
        assert_int_equal(selector_from_json(&arena, json_of(cases[i].selector), &s, NULL), 0);
        if (selector_match_labels(s, json_of(cases[i].labels)) != cases[i].match) {
            fail_msg("%s over %s", cases[i].selector, cases[i].labels);
        }
    }
}

static void bad_selector_objects_are_refused(void **state)
{
    static const char *const cases[][2] = {
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Like\"}]}",
         "\"Like\" is not a valid label selector operator"},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"In\"}]}",
         "for 'in', 'notin' operators, values set can't be empty"},
        {"{\"matchExpressions\":[{\"key\":\"a\",\"operator\":\"Exists\",\"values\":[\"x\"]}]}",
         "values set must be empty for exists and does not exist"},
        {"{\"matchLabels\":{\"\":\"b\"}}", "name part must be non-empty"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct selector *s = NULL;
        struct err err = {0};
        assert_int_equal(selector_from_json(&arena, json_of(cases[i][0]), &s, &err), -E_INVAL);
        assert_non_null(strstr(err.text, cases[i][1]));
    }
}

static void field_selectors_match(void **state)
{
    struct json *pod = json_of("{\"metadata\":{\"name\":\"p\",\"namespace\":\"d\"},\"spec\":"
                               "{\"nodeName\":\"n1\",\"hostNetwork\":true},\"status\":"
                               "{\"phase\":\"Running\",\"odd\":\"a,b=c\\\\\"}}");
    static const struct {
        const char *selector;
        bool match;
    } cases[] = {
        {"", true},
        {"metadata.name=p", true},
        {"metadata.name==p,status.phase!=Failed", true},
        {"spec.nodeName=n2", false},
        {"spec.nodeName!=", true},
        {"spec.nope=", true},
        {"spec.nope!=x", true},
        {"spec.hostNetwork=true", true},
        {"status.odd=a\\,b\\=c\\\\", true},
        {",,metadata.name=p,", true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct selector *s = NULL;
        assert_int_equal(selector_parse_fields(&arena, cases[i].selector, &s, NULL), 0);
        if (selector_match(s, selector_field_get, pod) != cases[i].match) {
            fail_msg("%s", cases[i].selector);
        }
    }
    static const char *const bad[][2] = {
        {"metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"},
        {"a=b=c", "unescaped character in value: ="},
        {"a=\\x", "invalid escape sequence: \\x"},
        {"a=\\", "invalid escape sequence: \\"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct selector *s = NULL;
        struct err err = {0};
        assert_int_equal(selector_parse_fields(&arena, bad[i][0], &s, &err), -E_INVAL);
        if (!strstr(err.text, bad[i][1])) {
            fail_msg("%s: %s", bad[i][0], err.text);
        }
    }
}

static void lack_of_memory_is_told(void **state)
{
    struct json *j = json_of("{\"matchLabels\":{\"a\":\"b\"},\"matchExpressions\":[{\"key\":\"x\","
                             "\"operator\":\"In\",\"values\":[\"p\",\"q\"]}]}");
    for (int fn = 0; fn < 3; fn++) {
        int r = -E_NOMEM;
        for (size_t cap = 16; r == -E_NOMEM; cap += 16) {
            struct arena a;
            struct selector *s = NULL;
            arena_init(&a, cap);
            r = fn == 0   ? selector_parse(&a, "a=b,c in (d,e),!f", &s, NULL)
                : fn == 1 ? selector_parse_fields(&a, "a=b\\,c,d!=e", &s, NULL)
                          : selector_from_json(&a, j, &s, NULL);
            arena_fini(&a);
        }
        assert_int_equal(r, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_selectors_match_as_written),
        cmocka_unit_test(bad_label_selectors_say_what_is_wrong),
        cmocka_unit_test(selectors_are_bounded),
        cmocka_unit_test(selector_objects_match),
        cmocka_unit_test(bad_selector_objects_are_refused),
        cmocka_unit_test(field_selectors_match),
        cmocka_unit_test(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Data templates: what they print, what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "template.h"

static void prints(const char *text, const char *json, const char *expected)
{
    struct template *t = NULL;
    struct arena a;
    struct json *j = NULL;
    struct buf b = BUF_INIT;
    struct err err = {0};
    arena_init(&a, 0);
    assert_int_equal(json_parse(&a, str_of(json), NULL, &j, &err), 0);
    if (template_compile(str_of(text), &t, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    struct value v = value_from_json(&a, j);
    if (template_run(t, &v, &b, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    (void)buf_putc(&b, '\0');
    assert_string_equal(buf_data(&b), expected);
    buf_fini(&b);
    template_free(t);
    arena_fini(&a);
}

static void refuses(const char *text, const char *said)
{
    struct template *t = NULL;
    struct err err = {0};
    assert_true(template_compile(str_of(text), &t, &err) < 0);
    assert_non_null(strstr(err.text, said));
}

static void fields_and_paths(void **state)
{
    prints("t={{.t}} n={{.a.b}} {{.missing}}", "{\"t\": 1.5, \"a\": {\"b\": \"x\"}}",
           "t=1.5 n=x <no value>");
    prints("{{index . 1}} {{index .  0}}", "[1, 2]", "2 1");
    prints("{{index .m \"k v\"}}", "{\"m\": {\"k v\": true}}", "true");
    prints("{{json .}} {{toJson .a}} {{.a | json}}", "{\"a\": [1, \"x\"]}",
           "{\"a\":[1,\"x\"]} [1,\"x\"] [1,\"x\"]");
    prints("{{len .}} {{base64 .}}", "\"abc\"", "3 YWJj");
}

static void conditions(void **state)
{
    const char *text = "{{if gt .t 30}}hot{{else if and (ge .t 20) (ne .k \"x\")}}warm{{else}}cold"
                       "{{end}}";
    prints(text, "{\"t\": 31, \"k\": \"y\"}", "hot");
    prints(text, "{\"t\": 20, \"k\": \"y\"}", "warm");
    prints(text, "{\"t\": 20, \"k\": \"x\"}", "cold");
    prints("{{if not .a}}none{{end}}{{with .b}}{{.c}}{{else}}no b{{end}}", "{\"b\": {\"c\": 2}}",
           "none2");
    prints("{{or .a .b}} {{eq .b 1 2 3}}", "{\"b\": 3}", "3 true");
}

static void ranges_and_variables(void **state)
{
    prints("{{range $i, $v := .}}{{if $i}}, {{end}}{{$v.n}}{{end}}",
           "[{\"n\": \"a\"}, {\"n\": \"b\"}]", "a, b");
    prints("{{range .}}x{{else}}empty{{end}}", "[]", "empty");
    prints("{{$a := .t}}{{range .l}}{{.}}{{$a}}{{end}}{{$.t}}", "{\"t\": 7, \"l\": [1, 2]}",
           "17277");
    prints("{{range $k, $v := .}}{{$k}}={{$v}};{{end}}", "{\"a\": 1, \"b\": 2}", "a=1;b=2;");
}

static void formats_and_spaces(void **state)
{
    prints("{{printf \"%d %s %.2f %v %t %q%%\" 1 \"x\" 2.345 .l true \"q\"}}", "{\"l\": [1]}",
           "1 x 2.35 [1] true \"q\"%");
    prints("{{printf \"%-5s|%+06.1f|% d\" \"x\" 2.5 3}}", "{}", "x    |+002.5| 3");
    prints("a  {{- .x -}}  b {{/* nothing */}}c", "{\"x\": 1}", "a1b c");
    prints("{{print .x 2 \"y\"}}", "{\"x\": 1}", "1 2y");
}

static void what_is_wrong_is_told_with_its_line(void **state)
{
    refuses("a\n{{.x", "line 2: unclosed action");
    refuses("{{if .x}}", "{{end}} is missing");
    refuses("{{end}}", "unexpected");
    refuses("{{frobnicate .}}", "unknown function 'frobnicate'");
    refuses("{{$x}}", "undefined variable '$x'");
    refuses("{{\"abc}}", "unterminated text");
    refuses("{{(((((((((((((((((((((((((((((((((((((((.)}}", "too deeply");
    refuses("{{.|len|len|len|len|len|len|len|len|len}}", "in one pipeline");
}

/* Else a small template would make a large output. */
static void widths_of_formats_are_bounded(void **state)
{
    static const char *const formats[] = {"{{printf \"%9999d\" 1}}", "{{printf \"%.9999f\" 1.5}}",
                                          "{{printf \"%1.2.3d\" 1}}", "{{printf \"%*d\" 1 2}}"};
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        struct template *t = NULL;
        struct buf b = BUF_INIT;
        struct err err = {0};
        struct value v = value_int(1);
        assert_int_equal(template_compile(str_of(formats[i]), &t, &err), 0);
        assert_int_equal(template_run(t, &v, &b, &err), -E_INVAL);
        assert_non_null(strstr(err.text, "the verb does not fit"));
        buf_fini(&b);
        template_free(t);
    }
}

static void a_failing_run_is_an_error(void **state)
{
    struct template *t = NULL;
    struct buf b = BUF_INIT;
    struct err err = {0};
    struct value v = value_int(1);
    assert_int_equal(template_compile(STR_LIT("{{index . 5}}{{range .}}{{end}}"), &t, &err), 0);
    assert_int_equal(template_run(t, &v, &b, &err), -E_INVAL);
    assert_non_null(strstr(err.text, "index"));
    buf_fini(&b);
    template_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_and_paths),
        cmocka_unit_test(conditions),
        cmocka_unit_test(ranges_and_variables),
        cmocka_unit_test(formats_and_spaces),
        cmocka_unit_test(what_is_wrong_is_told_with_its_line),
        cmocka_unit_test(widths_of_formats_are_bounded),
        cmocka_unit_test(a_failing_run_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

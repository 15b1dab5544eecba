/* SPDX-License-Identifier: Apache-2.0 */
/* Every function of the families math, string, time and hash: arguments as JSON, result or error as
 * text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "family.h"
#include "io/zone.h"

struct call_case {
    const char *function, *args; /* a JSON array */
    const char *wanted;          /* JSON of the result, or "!" and the error */
};

enum { NOW = 1763718945 }; /* 2025-11-21T09:55:45Z, a Friday */

static int evaluate(struct eval *ev, const struct call_case *c, struct buf *out)
{
    struct json *j;
    struct value args, result;
    struct err err = {0};
    const struct function *f = function_find(str_of(c->function));
    assert_non_null(f);
    assert_int_equal(json_parse(ev->arena, str_of(c->args), NULL, &j, NULL), 0);
    args = value_from_json(ev->arena, j);
    assert_int_equal(args.type, VALUE_ARRAY);
    assert_true(args.n >= f->min_args && args.n <= f->max_args);
    int rc = f->eval(ev, args.items, args.n, &result, &err);
    if (rc < 0) {
        return buf_printf(out, "!%s", err.text);
    }
    return value_print_json(out, &result);
}

static void check(const struct call_case *cases, size_t n, const struct zone *zone)
{
    for (size_t i = 0; i < n; i++) {
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        struct arena a;
        struct eval_rule rule = {.zone = zone};
        arena_init(&a, 0);
        struct eval ev = {.arena = &a, .rule = &rule, .now_us = NOW * INT64_C(1000000) + 123456};
        assert_int_equal(evaluate(&ev, &cases[i], &out), 0);
        CLEANUP(mem_freep) char *got = mem_strndup(buf_data(&out), buf_len(&out));
        if (!cstr_eq(got, cases[i].wanted)) {
            print_error("%s%s gives %s, wanted %s\n", cases[i].function, cases[i].args, got,
                        cases[i].wanted);
        }
        assert_string_equal(got, cases[i].wanted);
        arena_fini(&a);
    }
}

static const struct call_case math[] = {
    {"abs", "[-1]", "1"},
    {"abs", "[-1.5]", "1.5"},
    {"abs", "[\"x\"]", "!expect a number but got string x"},
    {"acos", "[1]", "0"},
    {"acos", "[2]", "null"},
    {"asin", "[1]", "1.5707963267948966"},
    {"atan", "[1]", "0.7853981633974483"},
    {"atan2", "[1, 1]", "0.7853981633974483"},
    {"bitand", "[5, 3]", "1"},
    {"bitand", "[1.5, 1]", "!Expect int type for the first operand but got 1.5"},
    {"bitnot", "[1]", "-2"},
    {"bitor", "[5, 3]", "7"},
    {"bitxor", "[5, 3]", "6"},
    {"bitxor", "[5, \"a\"]", "!Expect int type for the second operand but got a"},
    {"ceil", "[1.2]", "2"},
    {"ceiling", "[-1.2]", "-1"},
    {"conv", "[\"ff\", 16, 10]", "\"255\""},
    {"conv", "[-10, 10, 2]", "\"-1010\""},
    {"conv", "[\"xyz\", 10, 2]", "null"},
    {"conv", "[\"1\", 1, 2]", "!the bases of conv should be between 2 and 36"},
    {"cos", "[0]", "1"},
    {"cosh", "[0]", "1"},
    {"cot", "[1]", "0.6420926159343306"},
    {"cot", "[0]", "!out-of-range error"},
    {"degrees", "[1]", "57.29577951308232"},
    {"exp", "[0]", "1"},
    {"floor", "[1.8]", "1"},
    {"ln", "[1]", "0"},
    {"log", "[1000]", "3"},
    {"log", "[2, 8]", "3"},
    {"log", "[-1]", "null"},
    {"mod", "[7, 4]", "3"},
    {"mod", "[7, 0]", "null"},
    {"pi", "[]", "3.141592653589793"},
    {"pow", "[2, 3]", "8"},
    {"power", "[10, 3]", "1000"},
    {"radians", "[180]", "3.141592653589793"},
    {"round", "[2.5]", "3"},
    {"round", "[-2.5]", "-3"},
    {"sign", "[-2]", "-1"},
    {"sign", "[0]", "0"},
    {"sin", "[0]", "0"},
    {"sinh", "[0]", "0"},
    {"sqrt", "[9]", "3"},
    {"sqrt", "[-9]", "null"},
    {"tan", "[0]", "0"},
    {"tanh", "[0]", "0"},
};

static const struct call_case strings[] = {
    {"concat", "[\"a\", null, 1, true, \"b\"]", "\"a1trueb\""},
    {"endswith", "[\"abc\", \"bc\"]", "true"},
    {"endswith", "[\"c\", \"bc\"]", "false"},
    {"endswith", "[null, \"bc\"]", "false"},
    {"format", "[12332.1234567, 4]", "\"12,332.1235\""},
    {"format", "[-1234567, 0]", "\"-1,234,567\""},
    {"format", "[1, -1]", "!the decimal places must greater or equal than 0"},
    {"format", "[1, 1, \"de_XX\"]", "!only the locale en_US is supported"},
    {"indexof", "[\"\u4e2d\u56fd\", \"\u56fd\"]", "1"},
    {"indexof", "[\"abc\", \"x\"]", "-1"},
    {"indexof", "[null, \"x\"]", "-1"},
    {"length", "[\"\u4e2d\u56fd\"]", "2"},
    {"length", "[[1, 2, 3]]", "3"},
    {"length", "[{\"a\": 1}]", "1"},
    {"length", "[null]", "0"},
    {"lower", "[\"AbC \u00c4\u0416\u03a9\"]", "\"abc \u00e4\u0436\u03c9\""},
    {"lpad", "[\"a\", 2]", "\"  a\""},
    {"lpad", "[\"a\", -1]", "!the number of blanks is out of range: -1"},
    {"ltrim", "[\" \\ta \"]", "\"a \""},
    {"numbytes", "[\"\u4e2d\u56fd\"]", "6"},
    {"numbytes", "[null]", "0"},
    {"regexp_matches", "[\"foo123\", \"o[0-9]+$\"]", "true"},
    {"regexp_matches", "[\"foo\", \"^o\"]", "false"},
    {"regexp_matches", "[null, \"o\"]", "false"},
    {"regexp_matches", "[\"a\", \"(\"]", "!error parsing regexp: missing closing ): `(`"},
    {"regexp_replace", "[\"-ab-axxb-\", \"a(x*)b\", \"<$1>\"]", "\"-<>-<xx>-\""},
    {"regexp_replace", "[\"abc\", \"x*\", \"-\"]", "\"-a-b-c-\""},
    {"regexp_replace", "[\"ab\", \"(a)\", \"${1}1$$\"]", "\"a1$b\""},
    {"regexp_replace", "[\"ab\", \"(a)\", \"$1x\"]", "\"b\""},
    {"regexp_substr", "[\"seafood\", \"foo.*\"]", "\"food\""},
    {"regexp_substr", "[\"seafood\", \"x\"]", "\"\""},
    {"regexp_substring", "[\"seafood\", \"foo.\"]", "\"food\""},
    {"reverse", "[\"a\u4e2dc\"]", "\"c\u4e2da\""},
    {"rpad", "[\"a\", 2]", "\"a  \""},
    {"rtrim", "[\" a\\n\"]", "\" a\""},
    {"split_value", "[\"a/b/c\", \"/\", 1]", "\"b\""},
    {"split_value", "[\"a/b/c\", \"/\", -1]", "\"c\""},
    {"split_value", "[\"a/b/c\", \"/\", 3]", "!3 out of index array (size = 3)"},
    {"startswith", "[\"abc\", \"ab\"]", "true"},
    {"startswith", "[\"abc\", null]", "false"},
    {"substring", "[\"NYCNicks\", 3]", "\"Nicks\""},
    {"substring", "[\"\u4e2d\u56fd\u4eba\", 1, 2]", "\"\u56fd\""},
    {"substring", "[\"abc\", 3, 100]", "\"\""},
    {"substring", "[\"abc\", 88, 100]", "\"\""},
    {"substring", "[\"abc\", 2, 1]", "!start index must be smaller than end index"},
    {"substring", "[\"abc\", -2]", "!start index must be a positive number"},
    {"trim", "[\" \u3000a b \"]", "\"a b\""},
    {"upper", "[\"abc \u00e4\u0436\u0451\u00df\"]", "\"ABC \u00c4\u0416\u0401\u00df\""},
};

static const struct call_case times[] = {
    {"cur_date", "[]", "\"2025-11-21\""},
    {"current_date", "[]", "\"2025-11-21\""},
    {"cur_time", "[]", "\"09:55:45\""},
    {"current_time", "[3]", "\"09:55:45.123\""},
    {"now", "[]", "\"2025-11-21 09:55:45\""},
    {"now", "[6]", "\"2025-11-21 09:55:45.123456\""},
    {"current_timestamp", "[1]", "\"2025-11-21 09:55:45.1\""},
    {"local_time", "[]", "\"2025-11-21 09:55:45\""},
    {"local_timestamp", "[]", "\"2025-11-21 09:55:45\""},
    {"date_calc", "[\"2024-02-28 23:30:00\", \"1h\"]", "\"2024-02-29 00:30:00\""},
    {"date_calc", "[\"2024-03-01\", \"-24h\"]", "\"2024-02-29 00:00:00\""},
    {"date_calc", "[\"2024-03-01\", \"x\"]", "!time: invalid duration \"x\""},
    {"date_diff", "[\"2024-03-01\", \"2024-03-02\"]", "86400000000000"},
    {"day", "[\"2024-02-29\"]", "29"},
    {"day_name", "[1763718945123]", "\"Friday\""},
    {"day_of_month", "[\"2024-02-29\"]", "29"},
    {"day_of_week", "[\"2024-02-25\"]", "0"},
    {"day_of_year", "[\"2024-12-31\"]", "366"},
    {"format_time", "[1620002730123, \"yyyy-MM-dd T HH:mm:ss.SSS\"]",
     "\"2021-05-03 T 00:45:30.123\""},
    {"format_time", "[1620002730123, \"yy MMM MMMM M d EEE EEEE h a 'at' X XXX\"]",
     "\"21 May May 5 3 Mon Monday 12 AM at Z Z\""},
    {"format_time", "[\"no time\", \"yyyy\"]", "!expect a datetime but got string no time"},
    {"from_days", "[1]", "\"1970-01-01\""},
    {"from_days", "[0]", "null"},
    {"from_unix_time", "[1763718945]", "\"2025-11-21 09:55:45\""},
    {"from_unix_time", "[0]", "null"},
    {"hour", "[\"2024-02-29T23:01:02.5Z\"]", "23"},
    {"last_day", "[\"2024-02-03\"]", "\"2024-02-29\""},
    {"microsecond", "[\"2024-02-29T23:01:02.5Z\"]", "500000"},
    {"microsecond", "[-1]", "999000"},
    {"minute", "[\"2024-02-29T23:01:02Z\"]", "1"},
    {"month", "[\"2024-02-29\"]", "2"},
    {"month_name", "[\"2024-02-29\"]", "\"February\""},
    {"second", "[\"2024-02-29T23:01:02Z\"]", "2"},
    {"to_seconds", "[1620002730999]", "1620002730"},
    {"to_seconds", "[-1]", "-1"},
    {"year", "[\"2024-02-29\"]", "2024"},
};

static const struct call_case berlin[] = {
    {"now", "[]", "\"2025-11-21 10:55:45\""},
    {"hour", "[\"2024-07-01T12:00:00Z\"]", "14"},
    {"day", "[\"2024-06-30T23:00:00Z\"]", "1"},
    {"format_time", "[0, \"HH:mm Z ZZZ X XX\"]", "\"01:00 +0100 +01:00 +01 +0100\""},
    {"from_days", "[1]", "\"1970-01-01\""},
};

static const struct call_case hashes[] = {
    {"crc32", "[\"The quick brown fox jumps over the lazy dog\"]", "\"414fa339\""},
    {"md5", "[\"The quick brown fox jumps over the lazy dog\"]",
     "\"9e107d9d372bb6826bd81d3542a419d6\""},
    {"sha1", "[\"The quick brown fox jumps over the lazy dog\"]",
     "\"2fd4e1c67a2d28fced849ee1bb76e7391b93eb12\""},
    {"sha256", "[\"\"]", "\"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855\""},
    {"sha384", "[\"abc\"]",
     "\"cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c8"
     "25a7\""},
    {"sha512", "[\"abc\"]",
     "\"ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3fe"
     "ebbd454d4423643ce80e2a9ac94fa54ca49f\""},
};

static void numbers_are_computed(void **state)
{
    (void)state;
    check(math, ARRAY_SIZE(math), NULL);
}

static void random_numbers_are_at_least_0_and_less_than_1(void **state)
{
    const struct function *f = function_find(STR_LIT("rand"));
    struct eval ev = {0};
    struct value v;
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(f->eval(&ev, NULL, 0, &v, NULL), 0);
        assert_true(v.type == VALUE_FLOAT && v.f >= 0 && v.f < 1);
    }
}

static void texts_are_cut_searched_and_changed(void **state)
{
    (void)state;
    check(strings, ARRAY_SIZE(strings), NULL);
}

static void patterns_are_kept_but_not_mixed_up(void **state)
{
    char args[64], wanted[16];
    (void)state;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 40; i++) {
            (void)snprintf(args, sizeof(args), "[\"x%dy\", \"x%dy\"]", i, i + round);
            (void)snprintf(wanted, sizeof(wanted), "%s", round ? "false" : "true");
            struct call_case c = {"regexp_matches", args, wanted};
            check(&c, 1, NULL);
        }
    }
}

static void times_have_fields_and_texts(void **state)
{
    (void)state;
    check(times, ARRAY_SIZE(times), NULL);
}

static void clock_fields_are_those_of_the_rules_zone(void **state)
{
    struct zone *zone = NULL;
    (void)state;
    if (zone_load("Europe/Berlin", &zone, NULL) < 0) {
        skip(); /* a machine without a database of time zones */
    }
    check(berlin, ARRAY_SIZE(berlin), zone);
    zone_free(zone);
}

static void hashes_are_those_of_the_standards(void **state)
{
    (void)state;
    check(hashes, ARRAY_SIZE(hashes), NULL);
}

/* A function that is added to a family must be added above, too. */
static void every_function_of_the_families_is_tried(void **state)
{
    static const struct function_family *const families[] = {
        &function_math, &function_string, &function_regex, &function_time, &function_hash};
    static const struct {
        const struct call_case *cases;
        size_t n;
    } all[] = {{math, ARRAY_SIZE(math)},
               {strings, ARRAY_SIZE(strings)},
               {strings, ARRAY_SIZE(strings)},
               {times, ARRAY_SIZE(times)},
               {hashes, ARRAY_SIZE(hashes)}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
        for (uint32_t k = 0; k < families[i]->n; k++) {
            bool tried = cstr_eq(families[i]->functions[k].name, "rand");
            for (size_t c = 0; c < all[i].n; c++) {
                tried = tried || cstr_eq(all[i].cases[c].function, families[i]->functions[k].name);
            }
            if (!tried) {
                fail_msg("no test of %s()", families[i]->functions[k].name);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_computed),
        cmocka_unit_test(random_numbers_are_at_least_0_and_less_than_1),
        cmocka_unit_test(texts_are_cut_searched_and_changed),
        cmocka_unit_test(patterns_are_kept_but_not_mixed_up),
        cmocka_unit_test(times_have_fields_and_texts),
        cmocka_unit_test(clock_fields_are_those_of_the_rules_zone),
        cmocka_unit_test(hashes_are_those_of_the_standards),
        cmocka_unit_test(every_function_of_the_families_is_tried),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of SQL: scalar ones by table, stateful ones row by row, and aggregates against
 * computing anew over random windows. SEED=n repeats a random run.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/map.h"
#include "family.h"
#include "stream/sql/ast.h"

static struct value json_value(struct arena *a, const char *text)
{
    struct json *tree;
    struct err err;
    if (json_parse(a, str_of(text), NULL, &tree, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return value_from_json(a, tree);
}

/* ---- scalar functions ---- */

static void call(const char *name, const char *args, struct eval *ev, struct buf *out)
{
    const struct function *f = function_find(str_of(name));
    struct expr exprs[8] = {{0}}, *list[8];
    struct expr e = {.kind = EXPR_CALL, .function = f, .list = list};
    struct value v;
    struct err err = {0};
    assert_non_null(f);
    struct value all = json_value(ev->arena, args);
    assert_true(all.n >= f->min_args && all.n <= f->max_args && all.n <= 8);
    for (uint32_t i = 0; i < all.n; i++) {
        exprs[i] = (struct expr){.kind = EXPR_CONST, .value = all.items[i]};
        list[e.n_list++] = &exprs[i];
    }
    if (expr_eval(&e, ev, &v, &err) < 0) {
        (void)buf_printf(out, "error: %s", err.text);
    } else {
        (void)value_print_json(out, &v);
    }
}

static void is(const char *name, const char *args, const char *wanted)
{
    struct arena a;
    struct buf out = BUF_INIT;
    struct eval ev = {.arena = &a};
    arena_init(&a, 0);
    call(name, args, &ev, &out);
    if (!str_is(buf_str(&out), wanted)) {
        fail_msg("%s%s: " STR_FMT " instead of %s", name, args, STR_ARG(buf_str(&out)), wanted);
    }
    buf_fini(&out);
    arena_fini(&a);
}

static void arrays_are_searched(void **state)
{
    (void)state;
    is("array_position", "[[3,1,\"a\",1],1]", "1");
    is("array_position", "[[3,1],7]", "-1");
    is("array_position", "[3,7]", "error: first argument should be array of interface{}");
    is("array_last_position", "[[1,2,1],1]", "2");
    is("array_last_position", "[[],1]", "-1");
    is("array_contains", "[[1,2.0],2]", "true");
    is("array_contains", "[[[1],{\"a\":1}],{\"a\":1}]", "true");
    is("array_contains", "[[\"1\"],1]", "false");
    is("array_contains_any", "[[1,2],[3,2]]", "true");
    is("array_contains_any", "[[1,2],[]]", "false");
    is("element_at", "[[1,2,3],-1]", "3");
    is("element_at", "[[1,2,3],3]", "error: index out of range");
    is("element_at", "[[1,2,3],-4]", "error: index out of range");
    is("element_at", "[{\"a\":5},\"a\"]", "5");
    is("element_at", "[{\"a\":5},\"b\"]", "null");
    is("array_cardinality", "[[1,null]]", "2");
    is("cardinality", "[[1,2,3]]", "3");
    is("cardinality", "[null]", "0");
    is("array_max", "[[1,2.5,-3]]", "2.5");
    is("array_max", "[[1,null]]", "null");
    is("array_min", "[[1,2.5,-3]]", "-3");
    is("array_min", "[[\"a\"]]", "error: array contain elements that are not numeric or Boolean");
    is("array_contains", "[null,1]", "null");
}

static void arrays_are_made_of_others(void **state)
{
    (void)state;
    is("array_create", "[1,null,\"a\"]", "[1,null,\"a\"]");
    is("array_concat", "[[1],[2,3],[]]", "[1,2,3]");
    is("array_distinct", "[[1,2,1,\"1\",1.0]]", "[1,2,\"1\"]");
    is("array_except", "[[1,2,2,3],[3]]", "[1,2]");
    is("array_intersect", "[[1,2,2,3],[3,2,3]]", "[3,2]");
    is("array_union", "[[1,2],[2,3]]", "[1,2,3]");
    is("array_remove", "[[1,2,1],1]", "[2]");
    is("array_flatten", "[[[1,2],[],[3]]]", "[1,2,3]");
    is("array_flatten", "[[1]]", "error: array elements should be array");
    is("array_join", "[[\"a\",null,\"b\"],\"-\"]", "\"a-b\"");
    is("array_join", "[[null,\"a\",null],\"-\",\"x\"]", "\"x-a-x\"");
    is("array_join", "[[1],\"-\"]", "error: array elements should be string");
    is("array_sort", "[[3,1,\"b\",\"a\",null,10]]", "[null,1,3,10,\"a\",\"b\"]");
    is("array_map", "[\"array_max\",[[1,2],[3]]]", "[2,3]");
    is("array_map", "[\"nothing\",[1]]", "error: unknown built-in function: nothing.");
    is("array_map", "[\"sum\",[1]]", "error: first argument should be a scalar function.");
    is("array_map", "[\"repeat\",[1]]", "error: function should accept exactly one argument.");
    is("repeat", "[\"a\",3]", "[\"a\",\"a\",\"a\"]");
    is("repeat", "[\"a\",-1]", "error: second argument should not be negative");
    is("sequence", "[1,3]", "[1,2,3]");
    is("sequence", "[3,1]", "[3,2,1]");
    is("sequence", "[1,10,4]", "[1,5,9]");
    is("sequence", "[1,10,-4]", "[]");
    is("sequence", "[1,2,0]", "error: invalid step: should not be zero");
    is("sequence", "[-9223372036854775808,9223372036854775807]",
       "error: an array of more than 1000000 items");
    is("kvpair_array_to_obj", "[[{\"key\":\"a\",\"value\":1}]]", "{\"a\":1}");
}

static void array_shuffle_keeps_the_items(void **state)
{
    struct arena a;
    struct buf out = BUF_INIT;
    struct eval ev = {.arena = &a};
    (void)state;
    arena_init(&a, 0);
    call("array_shuffle", "[[1,2,3,4,5,6,7,8]]", &ev, &out);
    char *text = arena_printf(&a, "[" STR_FMT "]", STR_ARG(buf_str(&out)));
    is("array_sort", text, "[1,2,3,4,5,6,7,8]");
    buf_fini(&out);
    arena_fini(&a);
}

static void objects_are_taken_apart_and_made(void **state)
{
    (void)state;
    is("keys", "[{\"a\":1,\"b\":2}]", "[\"a\",\"b\"]");
    is("keys", "[1]", "error: the argument should be map[string]interface{}");
    is("values", "[{\"a\":1,\"b\":2}]", "[1,2]");
    is("items", "[{\"a\":1}]", "[[\"a\",1]]");
    is("items", "[{}]", "null");
    is("object", "[[\"a\",\"b\"],[1,2]]", "{\"a\":1,\"b\":2}");
    is("object", "[[\"a\"],[1,2]]", "error: the length of the arguments should be same");
    is("zip", "[[[\"a\",1],[\"a\",2]]]", "{\"a\":2}");
    is("zip", "[[[\"a\"]]]", "error: each argument should be [][2]interface{}");
    is("object_construct", "[\"a\",1,\"b\",null]", "{\"a\":1}");
    is("object_construct", "[true,1]", "error: key true is not a string");
    is("object_concat", "[{\"a\":1,\"b\":2},null,{\"b\":3}]", "{\"a\":1,\"b\":3}");
    is("object_size", "[{\"a\":1}]", "1");
    is("object_size", "[null]", "0");
    is("erase", "[{\"a\":1,\"b\":2},\"a\"]", "{\"b\":2}");
    is("erase", "[{\"a\":1,\"b\":2},[\"a\",\"b\"]]", "{}");
    is("object_pick", "[{\"a\":{\"b\":1,\"c\":2},\"d\":3},\"a.b\",\"d\",\"a.c\"]",
       "{\"a\":{\"b\":1,\"c\":2},\"d\":3}");
    is("object_pick", "[{\"a\":1,\"b\":2},[\"b\",\"x\"]]", "{\"b\":2}");
    is("obj_to_kvpair_array", "[{\"a\":1}]", "[{\"key\":\"a\",\"value\":1}]");
}

static void values_are_converted(void **state)
{
    (void)state;
    is("cast", "[1.9,\"bigint\"]", "1");
    is("cast", "[\"12\",\"bigint\"]", "12");
    is("cast", "[true,\"string\"]", "\"true\"");
    is("cast", "[\"x\",\"bigint\"]", "error: cannot convert string(x) to bigint");
    is("cast", "[1620002730000,\"datetime\"]", "\"2021-05-03T00:45:30Z\"");
    is("cast", "[1,\"any\"]",
       "error: Unknow type, only support bigint, float, string, boolean, "
       "datetime and bytea.");
    is("to_json", "[{\"a\":[1,null]}]", "\"{\\\"a\\\":[1,null]}\"");
    is("to_json", "[null]", "\"null\"");
    is("parse_json", "[\"{\\\"a\\\":1.5}\"]", "{\"a\":1.5}");
    is("parse_json", "[null]", "null");
    is("chr", "[\"a\"]", "97");
    is("chr", "[0]", "0");
    is("trunc", "[3.1415,2]", "3.14");
    is("trunc", "[3,2]", "3");
    is("trunc", "[1e300,34]", "1e+300");
    is("hex2dec", "[\"0x10\"]", "16");
    is("hex2dec", "[\"ff\"]", "255");
    is("hex2dec", "[\"fg\"]", "error: invalid hexadecimal value: \"fg\"");
    is("dec2hex", "[16]", "\"0x10\"");
    is("encode", "[\"hello\",\"base64\"]", "\"aGVsbG8=\"");
    is("decode", "[\"aGVsbG8=\",\"base64\"]", "\"aGVsbG8=\""); /* bytes print as base64 */
    is("isnull", "[null]", "true");
    is("isnull", "[[]]", "false");
    is("coalesce", "[null,null,3]", "3");
    is("convert_tz", "[\"2022-04-13T06:22:32.123Z\",\"UTC\"]", "\"2022-04-13T06:22:32.123Z\"");
    is("convert_tz", "[-9223372036854775,\"America/New_York\"]", "error: the time is out of range");
    is("month", "[-9223372036854775]", "12");
    is("bypass", "[null]", "null");
}

static void what_is_compressed_comes_back(void **state)
{
    static const char *const methods[] = {"zlib", "gzip", "flate", "zstd"};
    struct arena a;
    struct err err = {0};
    struct eval ev = {.arena = &a};
    const struct function *c = function_find(STR_LIT("compress"));
    const struct function *d = function_find(STR_LIT("decompress"));
    (void)state;
    arena_init(&a, 0);
    char *text = arena_zalloc(&a, 100000);
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        struct value args[2] = {value_string(str_n(text, 100000)),
                                value_string(str_of(methods[i]))};
        struct value small, back;
        assert_int_equal(c->eval(&ev, args, 2, &small, &err), 0);
        assert_true(small.type == VALUE_BYTES && small.n < 1000);
        args[0] = small;
        assert_int_equal(d->eval(&ev, args, 2, &back, &err), 0);
        assert_true(back.n == 100000 && memcmp(back.s, text, back.n) == 0);
        args[0].n /= 2; /* cut short */
        assert_int_equal(d->eval(&ev, args, 2, &back, &err), -E_INVAL);
    }
    is("compress", "[\"a\",\"rar\"]", "error: unsupported compressor: rar");
    arena_fini(&a);
}

#define STORE \
    "{\"rings\":[{\"name\":\"a\",\"weight\":0.1},{\"name\":\"b\",\"weight\":2.4}],\"x.y\":5,\"n\":null}"

static void json_paths_lead_to_places(void **state)
{
    (void)state;
    is("json_path_query", "[" STORE ",\"$.rings[0].name\"]", "\"a\"");
    is("json_path_query", "[" STORE ",\"$[\\\"x.y\\\"]\"]", "5");
    is("json_path_query", "[" STORE ",\"$['x.y']\"]", "5");
    is("json_path_query", "[" STORE ",\"$.rings[-1][name]\"]", "\"b\"");
    is("json_path_query", "[" STORE ",\"$.rings[*].weight\"]", "[0.1,2.4]");
    is("json_path_query", "[" STORE ",\"$..weight\"]", "[0.1,2.4]");
    is("json_path_query", "[" STORE ",\"$.rings[? @.weight>1].name\"]", "[\"b\"]");
    is("json_path_query", "[" STORE ",\"$.rings[?(@.weight>1 || @.name=='a')].name\"]",
       "[\"a\",\"b\"]");
    is("json_path_query", "[" STORE ",\"$.rings[?(!(@.weight*2 < $['x.y']-1))].name\"]", "[\"b\"]");
    is("json_path_query", "[" STORE ",\"$.rings[?(@.color)]\"]", "[]");
    is("json_path_query", "[[1,2,3,4,5],\"$[1:4]\"]", "[2,3,4]");
    is("json_path_query", "[[1,2,3,4,5],\"$[::2]\"]", "[1,3,5]");
    is("json_path_query", "[[1,2,3,4,5],\"$[-2:]\"]", "[4,5]");
    is("json_path_query", "[[1,2,3],\"$[::-1]\"]", "[3,2,1]");
    is("json_path_query", "[[1,2,3],\"$[0,2]\"]", "[1,3]");
    is("json_path_query", "[\"{\\\"a\\\":[7]}\",\"$.a[0]\"]", "7");
    is("json_path_query", "[" STORE ",\"$.nothing\"]", "error: unknown key nothing");
    is("json_path_query", "[" STORE ",\"a\"]",
       "error: json path a: it does not begin with $ at byte 1");
    is("json_path_query", "[" STORE ",\"$.rings[\"]",
       "error: json path $.rings[: a name is missing at byte 9");
    is("json_path_query_first", "[" STORE ",\"$.rings[*].weight\"]", "0.1");
    is("json_path_query_first", "[" STORE ",\"$['x.y']\"]",
       "error: query result (5) is not an array");
    is("json_path_exists", "[" STORE ",\"$.rings[? @.weight>5]\"]", "false");
    is("json_path_exists", "[" STORE ",\"$.rings\"]", "true");
    is("json_path_exists", "[" STORE ",\"$.ring1\"]", "false");
    is("json_path_exists", "[null,\"$.ring1\"]", "false");
}

static void the_context_is_read(void **state)
{
    struct arena a;
    struct map props = MAP_INIT, kept = MAP_INIT;
    struct value twelve = value_int(12);
    const struct window_range range = {1000000, 2000000, 3000000, 4};
    struct eval_rule rule = {.id = STR_LIT("r1"),
                             .hits = 3,
                             .last_hit_us = 5000000,
                             .agg_hits = 4,
                             .last_agg_hit_us = 6000000,
                             .props = &props,
                             .keyed_state = &kept};
    struct eval ev = {.arena = &a, .range = &range, .rule = &rule, .now_us = 9000000};
    static const char *const cases[][3] = {{"window_start", "[]", "1000"},
                                           {"window_end", "[]", "2000"},
                                           {"window_trigger", "[]", "3000"},
                                           {"window_correction", "[]", "4"},
                                           {"rule_id", "[]", "\"r1\""},
                                           {"tstamp", "[]", "9000"},
                                           {"last_hit_count", "[]", "3"},
                                           {"last_hit_time", "[]", "5000"},
                                           {"last_agg_hit_count", "[]", "4"},
                                           {"event_time", "[]", "null"},
                                           {"last_agg_hit_time", "[]", "6000"},
                                           {"rule_start", "[]", "0"},
                                           {"props", "[\"site\"]", "\"north\""},
                                           {"props", "[\"other\"]", "null"},
                                           {"get_keyed_state", "[\"k\",\"string\",1]", "\"12\""},
                                           {"row_number", "[]", "0"},
                                           {"get_keyed_state", "[\"z\",\"bigint\",1]", "1"}};
    (void)state;
    arena_init(&a, 0);
    assert_int_equal(map_put(&props, STR_LIT("site"), (void *)(uintptr_t) "north", NULL), 0);
    assert_int_equal(map_put(&kept, STR_LIT("k"), &twelve, NULL), 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct buf out = BUF_INIT;
        call(cases[i][0], cases[i][1], &ev, &out);
        if (!str_is(buf_str(&out), cases[i][2])) {
            fail_msg("%s: " STR_FMT, cases[i][0], STR_ARG(buf_str(&out)));
        }
        buf_fini(&out);
    }
    is("window_start", "[]", "0");
    is("rule_id", "[]", "null");
    map_fini(&props, NULL);
    map_fini(&kept, NULL);
    arena_fini(&a);
}

/* ---- functions with a state ---- */

/* Steps through rows (an array of arrays of arguments; a row that begins with "skip" does not meet
 * WHEN). Analytic: all values; aggregate: the result. Half way through, the state is saved as text
 * and loaded again. */
static void run(const char *name, const char *rows, struct buf *out)
{
    const struct function *f = function_find(str_of(name));
    struct arena a;
    struct err err = {0};
    assert_non_null(f);
    arena_init(&a, 0);
    struct eval ev = {.arena = &a};
    struct value all = json_value(&a, rows), v;
    void *s = mem_zalloc(f->state->size);
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < all.n; i++) {
        struct value args = all.items[i], saved;
        ev.skip = args.n > 0 && args.items[0].type == VALUE_STRING &&
                  str_is(value_text(&args.items[0]), "skip");
        v = VALUE_OF_NULL;
        rc = f->state->step(s, &ev, args.items + ev.skip, args.n - ev.skip, &v, &err);
        if (rc == 0 && f->kind != FUNCTION_AGGREGATE) {
            (void)buf_puts(out, i > 0 ? " " : "");
            (void)value_print_json(out, &v);
        }
        if (i == all.n / 2 && rc == 0) {
            struct buf text = BUF_INIT;
            assert_int_equal(f->state->save(s, &a, &saved), 0);
            (void)value_print_json(&text, &saved);
            if (f->state->fini) {
                f->state->fini(s);
            }
            memset(s, 0, f->state->size);
            (void)buf_putc(&text, 0);
            saved = json_value(&a, buf_data(&text));
            assert_int_equal(f->state->load(s, &saved), 0);
            buf_fini(&text);
        }
    }
    if (rc == 0 && f->kind == FUNCTION_AGGREGATE) {
        rc = f->state->result(s, &ev, &v, &err);
        (void)value_print_json(out, &v);
    }
    if (rc < 0) {
        (void)buf_printf(out, "error: %s", err.text);
    }
    if (f->state->fini) {
        f->state->fini(s);
    }
    mem_free(s);
    arena_fini(&a);
}

static void gives(const char *name, const char *rows, const char *wanted)
{
    struct buf out = BUF_INIT;
    run(name, rows, &out);
    if (!str_is(buf_str(&out), wanted)) {
        fail_msg("%s %s: " STR_FMT " instead of %s", name, rows, STR_ARG(buf_str(&out)), wanted);
    }
    buf_fini(&out);
}

static void aggregates_leave_nulls_out(void **state)
{
    (void)state;
    gives("count", "[[1],[null],[2]]", "2");
    gives("count", "[[],[]]", "2");
    gives("sum", "[[1],[null],[2]]", "3");
    gives("sum", "[[1],[0.5]]", "1.5");
    gives("sum", "[[9223372036854775807],[1]]", "9.223372036854776e+18");
    gives("sum", "[[\"a\"]]", "error: requires numeric but found string(a)");
    gives("avg", "[[1],[2]]", "1");
    gives("avg", "[[1.0],[2.5]]", "1.75");
    gives("min", "[[3],[null],[1.5]]", "1.5");
    gives("max", "[[\"a\"],[\"c\"],[\"b\"]]", "\"c\"");
    gives("last_value", "[[1],[2],[null]]", "null");
    gives("last_value", "[[1,true],[2,true],[null,true]]", "2");
}

static void aggregates_of_nothing_are_null(void **state)
{
    static const char *const names[] = {
        "sum",        "avg",  "min",    "max",     "last_value",      "median",
        "var",        "vars", "stddev", "stddevs", "percentile_cont", "merge_agg",
        "deduplicate"};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        gives(names[i], "[]", "null");
    }
    gives("collect", "[]", "[]");
    gives("count", "[]", "0");
}

static void statistics_are_those_of_the_books(void **state)
{
    (void)state;
    gives("median", "[[3],[1],[2],[null]]", "2");
    gives("median", "[[3],[1],[2],[10]]", "2.5");
    gives("var", "[[2],[4],[4],[4],[5],[5],[7],[9]]", "4");
    gives("stddev", "[[2],[4],[4],[4],[5],[5],[7],[9]]", "2");
    gives("vars", "[[1],[2],[3]]", "1");
    gives("stddevs", "[[1],[2],[3]]", "1");
    gives("vars", "[[1]]", "null");
    gives("var", "[[\"a\"]]", "error: requires float64 slice but found string(a)");
    gives("percentile_disc", "[[15,0.4],[20,0.4],[35,0.4],[40,0.4],[50,0.4]]", "20");
    gives("percentile_cont", "[[1,0.5],[2,0.5],[3,0.5]]", "1.5");
    gives("percentile_cont", "[[1,2]]",
          "error: the second parameter requires a number between 0 and 1");
}

static void rows_are_collected_merged_and_deduplicated(void **state)
{
    (void)state;
    gives("collect", "[[1],[null],[{\"a\":[2.0]}]]", "[1,null,{\"a\":[2]}]");
    gives("merge_agg", "[[{\"a\":1,\"b\":1}],[null],[{\"b\":2}]]", "{\"a\":1,\"b\":2}");
    gives("deduplicate", "[[{\"a\":1},1,true],[{\"a\":2},2,true],[{\"a\":3},1,true]]",
          "[{\"a\":1},{\"a\":2}]");
    gives("deduplicate", "[[{\"a\":1},1,false],[{\"a\":2},2,false]]", "{\"a\":2}");
    gives("deduplicate", "[[{\"a\":1},1,false],[{\"a\":2},1,false]]", "null");
}

static void analytic_functions_look_back(void **state)
{
    (void)state;
    gives("lag", "[[\"a\"],[\"b\"],[\"c\"]]", "null \"a\" \"b\"");
    gives("lag", "[[1,2,0],[2,2,0],[3,2,0],[4,2,0]]", "0 0 1 2");
    gives("lag", "[[1],[\"skip\",2],[3],[4]]", "null 1 1 3");
    gives("lag", "[[1,1,null,true],[null,1,null,true],[3,1,null,true]]", "null 1 1");
    gives("latest", "[[1],[null],[2],[null]]", "1 1 2 2");
    gives("latest", "[[null,7],[1,7],[null,7]]", "7 1 1");
    gives("changed_col", "[[true,1],[true,1],[true,null],[true,2]]", "1 null null 2");
    gives("changed_col", "[[false,1],[false,null],[false,1]]", "1 null 1");
    gives("changed_col", "[[1,1]]", "error: first arg is not a bool but got 1");
    gives("had_changed", "[[true,1,2],[true,1,2],[true,null,2],[true,1,3]]",
          "true false false true");
    gives("had_changed",
          "[[false,\"bar\",20],[false,\"baz\",null],[false,\"baz\",44],"
          "[false,null,44],[false,\"baz\",44],[false,\"baz\",44]]",
          "true true true true true false");
    gives("changed_cols",
          "[[\"t_\",true,{\"a\":1,\"b\":2}],[\"t_\",true,{\"a\":1,\"b\":3}],"
          "[\"t_\",true,{\"a\":null,\"b\":3}],[\"t_\",true,{\"a\":1,\"b\":3}]]",
          "{\"t_a\":1,\"t_b\":2} {\"t_b\":3} {} {}");
    gives("change_to", "[[0,1,true],[1,1,true],[null,1,true],[1,1,true],[2,1,true]]",
          "false true false false false");
    gives("change_to", "[[1,2],[2,2],[null,2],[2,2]]", "false true false true");
    gives("change_capture",
          "[[10,0,1,true],[11,1,1,true],[12,null,1,true],[13,1,1,true],"
          "[14,2,1,true]]",
          "null 11 11 11 11");
    gives("consecutive_count", "[[false],[true],[true],[null],[true]]", "0 1 2 0 1");
    gives("consecutive_start", "[[false,0],[true,1],[true,2],[false,3],[true,4]]",
          "null 1 1 null 4");
}

static void accumulators_run_over_all_rows(void **state)
{
    (void)state;
    gives("acc_sum", "[[3],[\"skip\",6],[1]]", "3 3 4");
    gives("acc_avg", "[[3],[\"skip\",6],[1]]", "3 3 2");
    gives("acc_count", "[[3],[null],[1]]", "1 1 2");
    gives("acc_max", "[[3],[1],[5]]", "3 3 5");
    gives("acc_min", "[[3],[1],[5]]", "3 1 1");
    gives("acc_sum", "[[\"a\"]]", "error: the value should be number");
    gives("acc_count",
          "[[1,false,false],[1,true,false],[1,false,true],[1,false,false],"
          "[1,true,false]]",
          "0 1 2 0 1");
}

static void rows_are_made_of_arrays(void **state)
{
    (void)state;
    is("unnest", "[[1,2]]", "[1,2]");
    is("unnest", "[1]", "error: the argument for the unnest function should be array");
    is("extract", "[{\"a\":1}]", "[{\"a\":1}]");
    is("extract", "[1]", "error: extract should use map");
}

/* ---- aggregates over random windows ---- */

static uint64_t rnd_state;

static uint32_t below(uint32_t n)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 7;
    rnd_state ^= rnd_state << 17;
    return (uint32_t)(rnd_state >> 11) % n;
}

static struct value random_number(void)
{
    switch (below(8)) {
    case 0:
        return VALUE_OF_NULL;
    case 1:
        return value_int((int64_t)below(2000) - 1000);
    case 2:
        return value_float(1e9 * ((double)below(1000) / 7));
    case 3:
        return value_float(1e-6 * ((double)below(1000) / 7));
    default:
        return value_float(((double)below(100000) - 50000) / 100);
    }
}

/* Within a few units of the last place, and `scale`: what twice a double's precision leaves of the
 * greatest numbers that were dropped. */
static bool close_to(const struct value *a, const struct value *b, double scale)
{
    if (a->type == VALUE_ARRAY || value_is_null(a) || value_is_null(b)) {
        return value_same(a, b);
    }
    double x = 0, y = 0;
    (void)function_double(a, &x, NULL);
    (void)function_double(b, &y, NULL);
    return fabs(x - y) <= 4e-16 * (fabs(x) + fabs(y)) + scale;
}

struct live {
    const struct function *f;
    void *s;
};

static struct live live_new(const struct function *f)
{
    return (struct live){f, mem_zalloc(f->state->size)};
}

static void live_free(struct live *l)
{
    if (l->f->state->fini) {
        l->f->state->fini(l->s);
    }
    mem_free(l->s);
}

static void live_step(struct live *l, struct eval *ev, const struct value *v)
{
    struct value args[2] = {*v, value_float(0.25)}, none;
    assert_int_equal(l->f->state->step(l->s, ev, args, l->f->min_args, &none, NULL), 0);
}

static struct value live_result(struct live *l, struct eval *ev)
{
    struct value v;
    assert_int_equal(l->f->state->result(l->s, ev, &v, NULL), 0);
    return v;
}

#define ROWS 400

/* One state that steps and drops, and two that merge, against one that computes anew. */
static void slide(const struct function *f, const struct value *rows)
{
    struct live one = live_new(f);
    struct arena a;
    uint32_t first = 0, last = 0;
    arena_init(&a, 0);
    for (unsigned i = 0; i < 2 * ROWS; i++) {
        struct eval ev = {.arena = &a};
        if (last < ROWS && (first == last || below(5) > 1)) {
            live_step(&one, &ev, &rows[last++]);
        } else if (first < last && f->state->drop) {
            struct value args[2] = {rows[first++], value_float(0.25)};
            assert_int_equal(f->state->drop(one.s, &ev, args, f->min_args), 0);
        }
        if (below(8) > 0) {
            continue;
        }
        struct live anew = live_new(f), left = live_new(f), right = live_new(f);
        uint32_t middle = first + below(last - first + 1);
        double scale = 1e-17; /* 4e13, the greatest sum, times 2^-106 */
        for (uint32_t k = first; k < last; k++) {
            live_step(&anew, &ev, &rows[k]);
            live_step(k < middle ? &left : &right, &ev, &rows[k]);
        }
        struct value got = live_result(&one, &ev), wanted = live_result(&anew, &ev);
        if (!close_to(&got, &wanted, scale)) {
            fail_msg("%s over %u..%u: %.17g instead of %.17g", f->name, first, last, got.f,
                     wanted.f);
        }
        assert_int_equal(f->state->merge(left.s, right.s, NULL), 0);
        got = live_result(&left, &ev);
        if (!close_to(&got, &wanted, scale)) {
            fail_msg("%s merged at %u: %.17g instead of %.17g", f->name, middle, got.f, wanted.f);
        }
        live_free(&anew);
        live_free(&left);
        live_free(&right);
        arena_clear(&a);
    }
    live_free(&one);
    arena_fini(&a);
}

static void dropped_and_merged_states_equal_computing_anew(void **state)
{
    static const char *const names[] = {"avg",
                                        "collect",
                                        "count",
                                        "max",
                                        "median",
                                        "min",
                                        "merge_agg",
                                        "stddev",
                                        "stddevs",
                                        "percentile_cont",
                                        "percentile_disc",
                                        "sum",
                                        "var",
                                        "vars"};
    const char *given = getenv("SEED");
    uint64_t seed = (uint64_t)time(NULL);
    struct value rows[ROWS];
    (void)state;
    if (given) {
        assert_int_equal(str_u64(str_of(given), &seed), 0);
    }
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rnd_state = seed * 2654435761u + 1;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        for (unsigned k = 0; k < ROWS; k++) {
            rows[k] = random_number();
        }
        slide(function_find(str_of(names[i])), rows);
    }
}

/* ---- the table ---- */

static void every_name_of_ekuiper_is_there_once(void **state)
{
    static const char names[] =
        "abs acc_avg acc_count acc_max acc_min acc_sum acos array_cardinality array_concat "
        "array_contains array_contains_any array_create array_distinct array_except array_flatten "
        "array_intersect array_join array_last_position array_map array_max array_min "
        "array_position array_remove array_shuffle array_sort array_union asin atan atan2 avg "
        "bitand bitnot bitor bitxor bypass cardinality cast ceil ceiling changed_col changed_cols "
        "chr coalesce collect compress concat conv convert_tz cos cosh cot count crc32 cur_date "
        "cur_time current_date current_time current_timestamp date_calc date_diff day day_name "
        "day_of_month day_of_week day_of_year dec2hex decode decompress deduplicate degrees delay "
        "element_at encode endswith erase event_time exp extract floor format format_time "
        "from_days from_unix_time get_keyed_state had_changed hex2dec hour indexof isnull items "
        "json_path_exists json_path_query json_path_query_first keys kvpair_array_to_obj lag "
        "last_agg_hit_count last_agg_hit_time last_day last_hit_count last_hit_time last_value "
        "latest length ln local_time local_timestamp log lower lpad ltrim max md5 median merge_agg "
        "meta microsecond min minute mod month month_name mqtt newuuid now numbytes "
        "obj_to_kvpair_array object object_concat object_construct object_pick object_size "
        "parse_json percentile_cont percentile_disc pi pow power props radians rand "
        "regexp_matches regexp_replace regexp_substr repeat reverse round row_number rpad rtrim "
        "rule_id rule_start second sequence sha1 sha256 sha384 sha512 sign sin sinh split_value "
        "sqrt startswith stddev stddevs substring sum tan tanh to_json trim trunc tstamp unnest "
        "upper values var vars window_correction window_end window_start window_trigger year zip";
    struct str name, rest = str_of(names);
    struct buf missing = BUF_INIT;
    uint32_t n;
    (void)state;
    while (rest.n > 0) {
        (void)str_cut(rest, ' ', &name, &rest); /* the last one has none */
        if (!function_find(name)) {
            (void)buf_printf(&missing, " " STR_FMT, STR_ARG(name));
        }
    }
    const struct function *const *all = function_all(&n);
    for (uint32_t i = 1; i < n; i++) {
        if (cstr_eq(all[i - 1]->name, all[i]->name)) {
            fail_msg("%s stands in two families", all[i]->name);
        }
    }
    if (buf_len(&missing) > 0) {
        fail_msg("missing:" STR_FMT, STR_ARG(buf_str(&missing)));
    }
    buf_fini(&missing);
}

static void every_row_of_the_table_is_whole(void **state)
{
    uint32_t n;
    const struct function *const *all = function_all(&n);
    (void)state;
    for (uint32_t i = 0; i < n; i++) {
        const struct function *f = all[i];
        bool stateful = f->kind == FUNCTION_AGGREGATE || f->kind == FUNCTION_ANALYTIC ||
                        f->kind == FUNCTION_COLUMNS;
        assert_true(f->help && f->min_args <= f->max_args && stateful == !f->eval);
        if (stateful) {
            assert_true(f->state->size > 0 && f->state->step && f->state->save && f->state->load);
            assert_true((f->kind == FUNCTION_AGGREGATE) == (f->state->result != NULL));
        }
    }
}

static void delay_is_refused(void **state)
{
    struct err err;
    struct ast_expr e = {.kind = AST_CALL};
    (void)state;
    assert_int_equal(function_find(STR_LIT("delay"))->check(&e, &err), -E_INVAL);
    assert_non_null(strstr(err.text, "SLIDINGWINDOW"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_are_searched),
        cmocka_unit_test(arrays_are_made_of_others),
        cmocka_unit_test(array_shuffle_keeps_the_items),
        cmocka_unit_test(objects_are_taken_apart_and_made),
        cmocka_unit_test(values_are_converted),
        cmocka_unit_test(what_is_compressed_comes_back),
        cmocka_unit_test(json_paths_lead_to_places),
        cmocka_unit_test(the_context_is_read),
        cmocka_unit_test(aggregates_leave_nulls_out),
        cmocka_unit_test(aggregates_of_nothing_are_null),
        cmocka_unit_test(statistics_are_those_of_the_books),
        cmocka_unit_test(rows_are_collected_merged_and_deduplicated),
        cmocka_unit_test(analytic_functions_look_back),
        cmocka_unit_test(accumulators_run_over_all_rows),
        cmocka_unit_test(rows_are_made_of_arrays),
        cmocka_unit_test(dropped_and_merged_states_equal_computing_anew),
        cmocka_unit_test(every_name_of_ekuiper_is_there_once),
        cmocka_unit_test(every_row_of_the_table_is_whole),
        cmocka_unit_test(delay_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

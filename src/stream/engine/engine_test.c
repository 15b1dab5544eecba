/* SPDX-License-Identifier: Apache-2.0 */
/* The engine as its users see it: definitions, rules, events in, results out, on a virtual clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine.h"
#include "stream/expr/expr.h"

#define T0 (INT64_C(1541152486000) * 1000)

struct fixture {
    struct engine *engine;
    struct buf out;   /* a line an emission */
    struct buf fails; /* a line a failure */
    unsigned used, unused;
};

static void on_error(void *arg, struct rule *r, const struct err *err)
{
    struct fixture *f = arg;
    (void)buf_printf(&f->fails, "%s: %s\n", rule_id(r), err->text);
}

static void on_use(void *arg, struct engine_stream *s, bool used)
{
    struct fixture *f = arg;
    (void)s;
    *(used ? &f->used : &f->unused) += 1;
}

static void on_result(void *arg, struct rule *r, struct batch *b, bool single,
                      const struct window_range *range)
{
    struct fixture *f = arg;
    struct arena a;
    (void)r;
    (void)single;
    (void)range;
    arena_init(&a, 0);
    for (uint32_t i = 0; i < b->rows; i++) {
        struct value v = batch_object(&a, b, i, false);
        (void)value_print_json(&f->out, &v);
    }
    (void)buf_putc(&f->out, '\n');
    arena_fini(&a);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    const struct engine_options opts = {.on_error = on_error, .on_use = on_use, .arg = f};
    *state = f;
    return engine_new(&opts, T0, &f->engine, NULL);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    engine_free(f->engine);
    buf_fini(&f->out);
    buf_fini(&f->fails);
    mem_free(f);
    return 0;
}

static void define(struct fixture *f, const char *ddl)
{
    struct err err = {0};
    if (engine_define(f->engine, str_of(ddl), false, &err) < 0) {
        fail_msg("%s: %s", ddl, err.text);
    }
}

static struct rule *add(struct fixture *f, const char *id, const char *sql,
                        const struct rule_options *opts)
{
    static const struct rule_options none;
    struct rule *r = NULL;
    struct err err = {0};
    if (rule_new(f->engine, str_of(id), str_of(sql), opts ? opts : &none, on_result, f, &r, &err) <
            0 ||
        rule_start(r, &err) < 0) {
        fail_msg("%s: %s", sql, err.text);
    }
    return r;
}

/* An event after ms milliseconds of the virtual clock. */
static void push(struct fixture *f, const char *stream, int64_t ms, const char *event)
{
    struct payload p = {.bytes = str_of(event), .arrival_us = T0 + ms * 1000};
    assert_int_equal(engine_advance(f->engine, p.arrival_us), 0);
    assert_int_equal(engine_push(f->engine, engine_stream(f->engine, str_of(stream)), &p, 1), 0);
}

static void expect(struct fixture *f, const char *out)
{
    (void)buf_putc(&f->out, '\0');
    assert_string_equal(buf_data(&f->out), out);
    buf_clear(&f->out);
}

static void refuse(struct fixture *f, const char *sql, const char *text)
{
    static const struct rule_options none;
    struct rule *r;
    struct err err = {0};
    assert_true(rule_new(f->engine, STR_LIT("bad"), str_of(sql), &none, on_result, f, &r, &err) <
                0);
    if (!strstr(err.text, text)) {
        fail_msg("%s: %s", sql, err.text);
    }
}

static void rows_are_filtered_and_projected(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r", "SELECT a * 2 AS b, c FROM demo WHERE a > 1", NULL);
    push(f, "demo", 0, "{\"a\": 1, \"c\": \"x\"}");
    push(f, "demo", 1, "[{\"a\": 2, \"c\": \"y\"}, {\"a\": 3}]");
    expect(f, "{\"b\":4,\"c\":\"y\"}{\"b\":6}\n");
    assert_int_equal(f->used, 1);
}

static void a_wildcard_gives_the_whole_event(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r", "SELECT *, a + 1 AS a FROM demo", NULL);
    add(f, "s", "SELECT * EXCEPT(b) REPLACE(a * 10 AS a) FROM demo", NULL);
    push(f, "demo", 0, "{\"a\": 1, \"b\": {\"c\": [1, 2]}}");
    expect(f, "{\"a\":2,\"b\":{\"c\":[1,2]}}\n{\"a\":10}\n");
}

static void a_tumbling_window_counts(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r", "SELECT k, count(*) AS c, sum(v) AS s FROM demo GROUP BY k, TUMBLINGWINDOW(ss, 1)",
        NULL);
    push(f, "demo", 100, "{\"k\": \"x\", \"v\": 1}");
    push(f, "demo", 200, "{\"k\": \"y\", \"v\": 2}");
    push(f, "demo", 900, "{\"k\": \"x\", \"v\": 4}");
    expect(f, "");
    assert_int_equal(engine_advance(f->engine, T0 + 1000 * 1000), 0);
    expect(f, "{\"k\":\"x\",\"c\":2,\"s\":5}{\"k\":\"y\",\"c\":1,\"s\":2}\n");
}

static void streams_are_joined_in_a_window(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM a () WITH (DATASOURCE=\"a\", FORMAT=\"json\")");
    define(f, "CREATE STREAM b () WITH (DATASOURCE=\"b\", FORMAT=\"json\")");
    add(f, "r", "SELECT a.x, b.y FROM a LEFT JOIN b ON a.id = b.id GROUP BY TUMBLINGWINDOW(ss, 1)",
        NULL);
    push(f, "a", 100, "{\"id\": 1, \"x\": 10}");
    push(f, "b", 200, "{\"id\": 1, \"y\": 20}");
    push(f, "a", 300, "{\"id\": 2, \"x\": 11}");
    assert_int_equal(engine_advance(f->engine, T0 + 1000 * 1000), 0);
    expect(f, "{\"x\":10,\"y\":20}{\"x\":11}\n");
}

static void a_table_is_joined_without_a_window(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM a () WITH (DATASOURCE=\"a\", FORMAT=\"json\")");
    define(f, "CREATE TABLE t () WITH (DATASOURCE=\"t\", FORMAT=\"json\", RETAIN_SIZE=\"2\")");
    push(
        f, "t", 0,
        "[{\"id\": 1, \"n\": \"one\"}, {\"id\": 2, \"n\": \"two\"}, {\"id\": 3, \"n\": \"three\"}]");
    add(f, "r", "SELECT a.id, n FROM a INNER JOIN t ON a.id = t.id", NULL);
    push(f, "a", 1, "{\"id\": 1}");
    push(f, "a", 2, "{\"id\": 3}");
    expect(f, "{\"id\":3,\"n\":\"three\"}\n");
}

static void a_lookup_table_gives_its_current_row(void **state)
{
    struct fixture *f = *state;
    struct value two = value_int(2);
    define(f, "CREATE STREAM a () WITH (DATASOURCE=\"a\", FORMAT=\"json\")");
    define(f, "CREATE TABLE t () WITH (DATASOURCE=\"t\", FORMAT=\"json\", KIND=\"lookup\", "
              "KEY=\"id\")");
    push(f, "t", 0,
         "[{\"id\": 1, \"n\": \"one\"}, {\"id\": 2, \"n\": \"two\"}, {\"n\": \"no key\"}]");
    add(f, "r", "SELECT a.id, n FROM a INNER JOIN t ON a.id = t.id AND n != \"zwei\"", NULL);
    add(f, "s", "SELECT a.id, n FROM a LEFT JOIN t ON t.id = a.id * 2 WHERE a.id > 0", NULL);
    push(f, "a", 1, "[{\"id\": 1}, {\"id\": 2.0}, {\"id\": 3}, {\"id\": null}]");
    expect(f, "{\"id\":1,\"n\":\"one\"}\n{\"id\":2,\"n\":\"two\"}\n{\"id\":1,\"n\":\"two\"}\n"
              "{\"id\":2}\n{\"id\":3}\n");
    push(f, "t", 2, "{\"id\": 2, \"n\": \"zwei\"}");
    push(f, "a", 3, "[{\"id\": 1}, {\"id\": 2}]");
    expect(f, "{\"id\":1,\"n\":\"one\"}\n{\"id\":1,\"n\":\"zwei\"}\n{\"id\":2}\n");
    engine_delete(f->engine, engine_stream(f->engine, STR_LIT("t")), &two);
    push(f, "a", 4, "{\"id\": 1}");
    expect(f, "{\"id\":1,\"n\":\"one\"}\n{\"id\":1}\n");
}

static void a_lookup_without_its_key_looks_through_the_table(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM a () WITH (DATASOURCE=\"a\", FORMAT=\"json\")");
    define(f, "CREATE TABLE t () WITH (DATASOURCE=\"t\", FORMAT=\"json\", KIND=\"lookup\", "
              "KEY=\"id\")");
    push(f, "t", 0, "[{\"id\": 1, \"k\": 5}, {\"id\": \"x\", \"k\": 5}, {\"id\": true, \"k\": 6}]");
    add(f, "r",
        "SELECT count(*) AS c, t.k FROM a INNER JOIN t ON a.k = t.k GROUP BY t.k, "
        "TUMBLINGWINDOW(ss, 1)",
        NULL);
    push(f, "a", 1, "[{\"k\": 5}, {\"k\": 6}, {\"k\": 7}]");
    push(f, "t", 2, "{\"id\": \"x\", \"k\": 6}"); /* before the window fires */
    assert_int_equal(engine_advance(f->engine, T0 + 1000 * 1000), 0);
    expect(f, "{\"c\":1,\"k\":5}{\"c\":2,\"k\":6}\n");
}

static void a_lookup_table_is_no_side_of_a_full_join(void **state)
{
    struct fixture *f = *state;
    struct err err;
    struct rule *r;
    define(f, "CREATE STREAM a () WITH (DATASOURCE=\"a\", FORMAT=\"json\")");
    define(f, "CREATE TABLE t () WITH (DATASOURCE=\"t\", FORMAT=\"json\", KIND=\"lookup\", "
              "KEY=\"id\")");
    assert_int_equal(rule_new(f->engine, STR_LIT("r"),
                              STR_LIT("SELECT * FROM a FULL JOIN t ON a.id = t.id"),
                              &(struct rule_options){.qos = 0}, NULL, NULL, &r, &err),
                     -E_INVAL);
    assert_non_null(strstr(err.text, "INNER, LEFT and CROSS"));
}

static void a_filter_holds_beside_analytic_functions(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r", "SELECT a, lag(a) AS before FROM demo WHERE a > 1", NULL);
    add(f, "s", "SELECT a FROM demo WHERE a > 1 AND last_hit_count() < 1", NULL);
    push(f, "demo", 0, "[{\"a\": 1}, {\"a\": 2}, {\"a\": 0}, {\"a\": 3}]");
    expect(f, "{\"a\":2,\"before\":1}{\"a\":3,\"before\":0}\n{\"a\":2}\n");
}

static void sub_queries_and_unions_are_pipelines(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r", "SELECT b + 1 AS c FROM (SELECT a * 2 AS b FROM demo WHERE a > 1) AS q WHERE b > 4",
        NULL);
    add(f, "u",
        "SELECT a FROM demo WHERE a = 1 UNION ALL SELECT a * 100 AS h FROM demo WHERE a = 1", NULL);
    push(f, "demo", 0, "[{\"a\": 1}, {\"a\": 2}, {\"a\": 3}]");
    expect(f, "{\"c\":7}\n{\"a\":1}\n{\"h\":100}\n");
}

static void a_failing_row_is_told_and_the_rule_goes_on(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.send_error = true};
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r", "SELECT a FROM demo WHERE a > 1", &opts);
    push(f, "demo", 0, "{\"a\": \"text\"}");
    push(f, "demo", 1, "{\"a\": 2}");
    expect(f, "{\"error\":\"run Where error: invalid operation string(text) > int64(1)\"}\n"
              "{\"a\":2}\n");
    (void)buf_putc(&f->fails, '\0');
    assert_string_equal(buf_data(&f->fails),
                        "r: run Where error: invalid operation string(text) > int64(1)\n");
}

static void event_time_orders_rows_and_ends_windows(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true, .late_tolerance_us = 1000000};
    define(f,
           "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\", TIMESTAMP=\"ts\")");
    add(f, "r", "SELECT count(*) AS c, window_end() AS e FROM demo GROUP BY TUMBLINGWINDOW(ss, 1)",
        &opts);
    push(f, "demo", 5000, "{\"ts\": 1541152486900}");
    push(f, "demo", 5001, "{\"ts\": 1541152486100}");
    push(f, "demo", 5002, "{\"ts\": 1541152488000}");
    expect(f, "{\"c\":2,\"e\":1541152487000}\n");
}

static void the_state_of_a_rule_survives_an_edit_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct arena a;
    struct value saved;
    uint32_t kept = 0;
    struct rule *r;
    static const struct rule_options none;
    struct err err = {0};
    arena_init(&a, 0);
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    r = add(f, "r", "SELECT count(*) AS c FROM demo GROUP BY TUMBLINGWINDOW(ss, 10)", NULL);
    push(f, "demo", 100, "[{\"v\": 1}, {\"v\": 2}]");
    assert_int_equal(rule_save(r, &a, &saved), 0);
    rule_free(r);
    assert_int_equal(rule_new(f->engine, STR_LIT("r"),
                              STR_LIT("SELECT count(*) AS d, 1 AS one FROM demo GROUP BY "
                                      "TUMBLINGWINDOW(ss, 10)"),
                              &none, on_result, f, &r, &err),
                     0);
    assert_int_equal(rule_load(r, &saved, &kept, &err), 0);
    assert_int_equal(kept, 1);
    assert_int_equal(rule_start(r, &err), 0);
    push(f, "demo", 200, "{\"v\": 3}");
    assert_int_equal(engine_advance(f->engine, T0 + 10000 * 1000), 0);
    expect(f, "{\"d\":3,\"one\":1}\n");
    arena_fini(&a);
}

#define RISING \
    "PATTERN (A UP{3,} DOWN) DEFINE UP AS UP.t > prev(UP.t), DOWN AS DOWN.t < prev(DOWN.t)) AS m"

static void push_each(struct fixture *f, int64_t ms, int64_t step, const char *id, const int *t)
{
    char event[64];
    for (; *t >= 0; t++, ms += step) {
        (void)snprintf(event, sizeof(event), "{\"id\": \"%s\", \"t\": %d}", id, *t);
        push(f, "demo", ms, event);
    }
}

static void a_temperature_that_rises_three_times_and_falls_is_matched(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r",
        "SELECT n, low, top, fell, rises, top - low AS span FROM demo MATCH_RECOGNIZE ("
        "MEASURES match_number() AS n, A.t AS low, last(UP.t) AS top, DOWN.t AS fell, "
        "count(UP.*) AS rises " RISING " WHERE top > 15",
        NULL);
    push_each(f, 0, 1, "x", (const int[]){20, 10, 11, 12, 11, 12, 13, 14, 15, 16, 3, -1});
    expect(f, "{\"n\":1,\"low\":11,\"top\":16,\"fell\":3,\"rises\":5,\"span\":5}\n");
    push_each(f, 50, 1, "x", (const int[]){4, 5, 6, 5, 1, 2, 3, 4, 3, -1});
    expect(f, ""); /* the first rises twice only, the second to 4 */
    push_each(f, 80, 1, "x", (const int[]){14, 15, 16, 17, 1, -1});
    expect(f, "{\"n\":3,\"low\":14,\"top\":17,\"fell\":1,\"rises\":3,\"span\":3}\n");
    assert_int_equal(buf_len(&f->fails), 0);
}

static void matches_are_of_one_partition(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r",
        "SELECT * FROM demo MATCH_RECOGNIZE (PARTITION BY id MEASURES sum(UP.t) AS s " RISING,
        NULL);
    for (int i = 0; i < 4; i++) {
        push_each(f, 2 * i, 1, "x", (const int[]){i, -1});
        push_each(f, 2 * i + 1, 1, "y", (const int[]){10 * i, -1});
    }
    push_each(f, 10, 1, "y", (const int[]){0, -1});
    expect(f, "{\"id\":\"y\",\"s\":60}\n");
    push_each(f, 11, 1, "x", (const int[]){0, -1});
    expect(f, "{\"id\":\"x\",\"s\":6}\n");
}

static void within_ends_a_match_by_the_clock(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r",
        "SELECT n FROM demo MATCH_RECOGNIZE (MEASURES count(B.*) AS n PATTERN (A B+) WITHIN 1 ss "
        "DEFINE A AS A.t = 0, B AS B.t > 0) AS m",
        NULL);
    push_each(f, 0, 100, "x", (const int[]){0, 1, 2, -1});
    expect(f, "");
    assert_int_equal(engine_advance(f->engine, T0 + 1001 * 1000), 0);
    expect(f, "{\"n\":2}\n");
    push_each(f, 2000, 2000, "x", (const int[]){0, 1, -1});
    expect(f, "");
}

static void all_rows_of_a_match_are_events(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r",
        "SELECT * FROM demo MATCH_RECOGNIZE (MEASURES classifier() AS part, A.t AS low ALL ROWS "
        "PER MATCH PATTERN (A B{2}) DEFINE B AS B.t > prev(B.t)) AS m",
        NULL);
    push_each(f, 0, 1, "x", (const int[]){1, 2, 3, -1});
    expect(f, "{\"id\":\"x\",\"t\":1,\"part\":\"A\",\"low\":1}"
              "{\"id\":\"x\",\"t\":2,\"part\":\"B\",\"low\":1}"
              "{\"id\":\"x\",\"t\":3,\"part\":\"B\",\"low\":1}\n");
}

static void matches_overlap_with_skip_to_next_row(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    add(f, "r",
        "SELECT a, b FROM (SELECT t * 10 AS t FROM demo) AS q MATCH_RECOGNIZE (MEASURES A.t AS a, "
        "B.t AS b AFTER MATCH SKIP TO NEXT ROW PATTERN (A B) DEFINE B AS B.t > A.t) AS m",
        NULL);
    push_each(f, 0, 1, "x", (const int[]){1, 2, 3, -1});
    expect(f, "{\"a\":10,\"b\":20}\n{\"a\":20,\"b\":30}\n");
}

static void matches_follow_event_time(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true, .late_tolerance_us = 1000000};
    define(f,
           "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\", TIMESTAMP=\"ts\")");
    add(f, "r",
        "SELECT a, b FROM demo MATCH_RECOGNIZE (MEASURES A.t AS a, B.t AS b "
        "PATTERN (A B) DEFINE B AS B.t > A.t) AS m",
        &opts);
    push(f, "demo", 1, "{\"ts\": 1541152486200, \"t\": 2}");
    push(f, "demo", 2, "{\"ts\": 1541152486100, \"t\": 1}");
    push(f, "demo", 3, "{\"ts\": 1541152489000, \"t\": 0}");
    push(f, "demo", 4, "{\"ts\": 1541152490000, \"t\": 0}");
    push(f, "demo", 5, "{\"ts\": 1541152499000, \"t\": 0}");
    expect(f, "{\"a\":1,\"b\":2}\n");
}

static void what_cannot_be_planned_says_why(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo (a BIGINT) WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    refuse(f, "SELECT a FROM nowhere", "fail to get stream nowhere");
    refuse(f, "SELECT b FROM demo", "unknown field b");
    refuse(f, "SELECT a FROM demo WHERE count(a) > 1", "aggregate functions in WHERE");
    refuse(f, "SELECT a FROM", "found");
    refuse(f, "SELECT n FROM demo MATCH_RECOGNIZE (PATTERN (A)) AS demo WHERE count(n) > 1",
           "aggregate functions in WHERE");
    refuse(f, "SELECT n FROM demo MATCH_RECOGNIZE (PATTERN (A))", "MATCH_RECOGNIZE needs a name");
    refuse(f, "SELECT n FROM demo MATCH_RECOGNIZE (MEASURES B.a AS n PATTERN (A)) AS m",
           "unknown field B");
    refuse(f,
           "SELECT n FROM demo MATCH_RECOGNIZE (MEASURES sum(A.a + B.a) AS n PATTERN (A B)) AS m",
           "other parts");
    refuse(f, "SELECT n FROM demo MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS lag(a) > 1) AS m",
           "may not stand in MATCH_RECOGNIZE");
    refuse(f, "SELECT n FROM demo MATCH_RECOGNIZE (PATTERN (A) DEFINE A AS prev(sum(a)) > 1) AS m",
           "inside another function");
}

static void a_table_keeps_its_last_rows_for_rules_that_come_later(void **state)
{
    struct fixture *f = *state;
    char event[32];
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    define(f, "CREATE TABLE t () WITH (DATASOURCE=\"t\", FORMAT=\"json\", RETAIN_SIZE=\"3\")");
    struct rule *first =
        add(f, "first", "SELECT demo.a FROM demo INNER JOIN t ON t.k = demo.a", NULL);
    for (int i = 1; i <= 8; i++) {
        (void)snprintf(event, sizeof(event), "{\"k\": %d}", i);
        push(f, "t", i, event);
    }
    rule_free(first);
    struct rule *r = add(f, "r", "SELECT t.k FROM demo INNER JOIN t ON t.k > demo.a", NULL);
    push(f, "demo", 9, "{\"a\": 0}");
    expect(f, "{\"k\":6}{\"k\":7}{\"k\":8}\n");
    rule_free(r);
}

static void rows_that_go_one_by_one_cost_no_more_memory(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    struct rule *r = add(f, "r",
                         "SELECT lag(a) AS l, lag(a, 2) AS m, latest(a) AS n FROM demo "
                         "WHERE last_hit_count() < 1 OR a = 1000",
                         NULL);
    struct buf events;
    buf_init(&events, 0);
    for (int i = 1; i <= 1000; i++) {
        assert_int_equal(buf_printf(&events, "%c{\"a\":%d}", i == 1 ? '[' : ',', i), 0);
    }
    assert_int_equal(buf_append(&events, "]", 2), 0);
    push(f, "demo", 1, buf_data(&events));
    expect(f, "{\"n\":1}\n{\"l\":999,\"m\":998,\"n\":1000}\n");
    buf_fini(&events);
    rule_free(r);
}

/* SELECT a + a AS b0, b0 + b0 AS b1, ...: each alias is the one before it, `twice` or once. */
static void refuse_chain(struct fixture *f, int aliases, bool twice, const char *text)
{
    struct buf sql;
    buf_init(&sql, 0);
    assert_int_equal(buf_printf(&sql, "SELECT a + a AS b0"), 0);
    for (int i = 0; i < aliases; i++) {
        char left[16] = "1";
        if (twice) {
            (void)snprintf(left, sizeof(left), "b%d", i);
        }
        assert_int_equal(buf_printf(&sql, ", %s + b%d AS b%d", left, i, i + 1), 0);
    }
    assert_int_equal(buf_printf(&sql, " FROM demo"), 0);
    assert_int_equal(buf_putc(&sql, '\0'), 0);
    refuse(f, buf_data(&sql), text);
    buf_fini(&sql);
}

static void aliases_of_aliases_do_not_grow_without_bound(void **state)
{
    struct fixture *f = *state;
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    refuse_chain(f, 60, /* twice= */ true, "expressions after aliases were put in");
    refuse_chain(f, 600, /* twice= */ false, "nested expressions after aliases");
    struct rule *r = add(f, "r", "SELECT a AS b, b + b AS c, c + c AS d FROM demo", NULL);
    push(f, "demo", 1, "{\"a\": 1}");
    expect(f, "{\"b\":1,\"c\":2,\"d\":4}\n");
    rule_free(r);
}

static void a_stream_in_use_is_not_dropped_but_replaced(void **state)
{
    struct fixture *f = *state;
    struct err err = {0};
    define(f, "CREATE STREAM demo () WITH (DATASOURCE=\"demo\", FORMAT=\"json\")");
    struct rule *r = add(f, "r", "SELECT a FROM demo", NULL);
    assert_int_equal(engine_drop(f->engine, STR_LIT("demo"), false, &err), -E_CONFLICT);
    assert_int_equal(engine_define(f->engine,
                                   STR_LIT("CREATE STREAM demo (a STRING) WITH "
                                           "(DATASOURCE=\"demo\", FORMAT=\"json\")"),
                                   true, &err),
                     0);
    push(f, "demo", 1, "{\"a\": \"x\"}");
    expect(f, "{\"a\":\"x\"}\n");
    rule_free(r);
    assert_int_equal(f->unused, 1);
    assert_int_equal(engine_drop(f->engine, STR_LIT("demo"), false, &err), 0);
}

#define ENGINE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ENGINE_TEST(rows_are_filtered_and_projected),
        ENGINE_TEST(a_wildcard_gives_the_whole_event),
        ENGINE_TEST(a_tumbling_window_counts),
        ENGINE_TEST(streams_are_joined_in_a_window),
        ENGINE_TEST(a_table_is_joined_without_a_window),
        ENGINE_TEST(a_lookup_table_gives_its_current_row),
        ENGINE_TEST(a_lookup_without_its_key_looks_through_the_table),
        ENGINE_TEST(a_lookup_table_is_no_side_of_a_full_join),
        ENGINE_TEST(a_filter_holds_beside_analytic_functions),
        ENGINE_TEST(sub_queries_and_unions_are_pipelines),
        ENGINE_TEST(a_failing_row_is_told_and_the_rule_goes_on),
        ENGINE_TEST(event_time_orders_rows_and_ends_windows),
        ENGINE_TEST(the_state_of_a_rule_survives_an_edit_elsewhere),
        ENGINE_TEST(a_temperature_that_rises_three_times_and_falls_is_matched),
        ENGINE_TEST(matches_are_of_one_partition),
        ENGINE_TEST(within_ends_a_match_by_the_clock),
        ENGINE_TEST(all_rows_of_a_match_are_events),
        ENGINE_TEST(matches_overlap_with_skip_to_next_row),
        ENGINE_TEST(matches_follow_event_time),
        ENGINE_TEST(what_cannot_be_planned_says_why),
        ENGINE_TEST(a_table_keeps_its_last_rows_for_rules_that_come_later),
        ENGINE_TEST(rows_that_go_one_by_one_cost_no_more_memory),
        ENGINE_TEST(aliases_of_aliases_do_not_grow_without_bound),
        ENGINE_TEST(a_stream_in_use_is_not_dropped_but_replaced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

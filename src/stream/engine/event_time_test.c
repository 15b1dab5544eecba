/* SPDX-License-Identifier: Apache-2.0 */
/* Event time as users see it: corrections, late events, the time of sub-queries; and matches that
 * are under way at a checkpoint. Events are {"ts": ms, "t": number}. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/json.h"
#include "engine.h"
#include "stream/expr/expr.h"

#define T0 (INT64_C(1541152486000) * 1000)

struct fixture {
    struct engine *engine;
    struct buf out;  /* a line an emission */
    struct buf late; /* late events */
};

static void on_error(void *arg, struct rule *r, const struct err *err)
{
    (void)arg;
    (void)r;
    fail_msg("%s", err->text);
}

static void on_late(void *arg, struct rule *r, const struct value *event)
{
    struct fixture *f = arg;
    assert_string_equal(rule_late_topic(r), "late");
    (void)value_print_json(&f->late, event);
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
    const struct engine_options opts = {.on_error = on_error, .on_late = on_late, .arg = f};
    struct err err;
    *state = f;
    assert_int_equal(engine_new(&opts, T0, &f->engine, &err), 0);
    return engine_define(f->engine,
                         STR_LIT("CREATE STREAM demo () WITH (DATASOURCE=\"demo\", "
                                 "FORMAT=\"json\", TIMESTAMP=\"ts\")"),
                         false, &err);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    engine_free(f->engine);
    buf_fini(&f->out);
    buf_fini(&f->late);
    mem_free(f);
    return 0;
}

static struct rule *plan(struct fixture *f, const char *sql, const struct rule_options *opts)
{
    struct rule *r = NULL;
    struct err err = {0};
    if (rule_new(f->engine, STR_LIT("r"), str_of(sql), opts, on_result, f, &r, &err) < 0) {
        fail_msg("%s: %s", sql, err.text);
    }
    return r;
}

static struct rule *add(struct fixture *f, const char *sql, const struct rule_options *opts)
{
    struct err err = {0};
    struct rule *r = plan(f, sql, opts);
    if (rule_start(r, &err) < 0) {
        fail_msg("%s: %s", sql, err.text);
    }
    return r;
}

/* Events one behind the other: ms after T0 and number, up to -1. */
static void push(struct fixture *f, const int *events)
{
    for (; *events >= 0; events += 2) {
        char text[80];
        (void)snprintf(text, sizeof(text), "{\"ts\": %lld, \"t\": %d}",
                       (long long)(T0 / 1000 + events[0]), events[1]);
        struct payload p = {.bytes = str_of(text), .arrival_us = T0};
        assert_int_equal(engine_push(f->engine, engine_stream(f->engine, STR_LIT("demo")), &p, 1),
                         0);
    }
}

#define PUSH(f, ...) push(f, (const int[]){__VA_ARGS__, -1})

static void expect(struct buf *b, const char *text)
{
    (void)buf_putc(b, '\0');
    assert_string_equal(buf_data(b), text);
    buf_clear(b);
}

static int64_t status(struct rule *r, const char *key)
{
    struct arena a;
    arena_init(&a, 0);
    int64_t n = json_i64(json_get(rule_status(r, &a), key), -1);
    arena_fini(&a);
    return n;
}

/* ---- corrections and late events ---- */

static void a_window_that_late_rows_correct_says_how_often(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true, .allowed_lateness_us = 3000000};
    struct rule *r = add(f,
                         "SELECT count(*) AS c, window_correction() AS n FROM demo GROUP BY "
                         "TUMBLINGWINDOW(ss, 1)",
                         &opts);
    PUSH(f, 100, 1, 1100, 1, 200, 1, 300, 1, 2000, 1);
    expect(&f->out, "{\"c\":1,\"n\":0}\n{\"c\":2,\"n\":1}\n{\"c\":3,\"n\":2}\n{\"c\":1,\"n\":0}\n");
    assert_int_equal(status(r, "late_rows_total"), 2);
    assert_int_equal(status(r, "late_dropped_total"), 0);
}

static void a_sliding_window_is_corrected_too(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true, .allowed_lateness_us = 3000000};
    add(f,
        "SELECT sum(t) AS s, window_correction() AS n FROM demo GROUP BY SLIDINGWINDOW(ss, 1) "
        "OVER (WHEN t > 5)",
        &opts);
    PUSH(f, 100, 1, 500, 6, 900, 1, 1000, 2, 300, 3);
    expect(&f->out, "{\"s\":7,\"n\":0}\n{\"s\":10,\"n\":1}\n");
    PUSH(f, 700, 10); /* fires its own window, late, and is in no other */
    expect(&f->out, "{\"s\":20,\"n\":1}\n");
}

static void one_batch_is_corrected_as_rows_that_come_alone(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {
        .event_time = true, .allowed_lateness_us = 2000000, .late_topic = "late"};
    add(f,
        "SELECT count(*) AS c, window_correction() AS n FROM demo GROUP BY TUMBLINGWINDOW(ss, 1)",
        &opts);
    struct payload p = {.bytes = STR_LIT("[{\"ts\": 1541152486500}, {\"ts\": 1541152487500}, "
                                         "{\"ts\": 1541152486600}, {\"ts\": 1541152490000}, "
                                         "{\"ts\": 1541152486700}]"),
                        .arrival_us = T0};
    assert_int_equal(engine_push(f->engine, engine_stream(f->engine, STR_LIT("demo")), &p, 1), 0);
    expect(&f->out, "{\"c\":1,\"n\":0}\n{\"c\":2,\"n\":1}\n{\"c\":1,\"n\":0}\n"
                    "{\"c\":0,\"n\":0}\n{\"c\":0,\"n\":0}\n");
    expect(&f->late, "{\"ts\":1541152486700}");
}

static void what_no_window_takes_for_its_lateness_is_told(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {
        .event_time = true, .allowed_lateness_us = 1000000, .late_topic = "late"};
    struct rule *r =
        add(f, "SELECT count(*) AS c FROM demo WHERE t > 0 GROUP BY TUMBLINGWINDOW(ss, 1)", &opts);
    PUSH(f, 100, 1, 5000, 1, 200, 7, 4500, 1, 300, 0);
    expect(&f->out, "{\"c\":1}\n{\"c\":0}\n{\"c\":0}\n{\"c\":0}\n{\"c\":0}\n{\"c\":1}\n");
    expect(&f->late, "{\"ts\":1541152486200,\"t\":7}");
    assert_int_equal(status(r, "late_rows_total"), 3);
    assert_int_equal(status(r, "late_dropped_total"), 1);
}

/* ---- sub-queries ---- */

static void a_window_around_a_sub_query_ends_with_it(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true, .late_tolerance_us = 1000000};
    add(f,
        "SELECT count(*) AS c, sum(n) AS s, window_end() AS e FROM (SELECT count(*) AS n FROM demo "
        "GROUP BY TUMBLINGWINDOW(ss, 1)) AS q GROUP BY TUMBLINGWINDOW(ss, 2)",
        &opts);
    PUSH(f, 100, 1, 200, 1, 1500, 1, 2999, 1);
    expect(&f->out, "");
    PUSH(f, 3000,
         1); /* the watermark is at 2,000: the inner window's result of 2,000 is the next */
    expect(&f->out, "{\"c\":1,\"s\":2,\"e\":1541152488000}\n");
    PUSH(f, 5000, 1);
    expect(&f->out, "{\"c\":2,\"s\":2,\"e\":1541152490000}\n");
}

static void time_goes_through_queries_without_windows(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true};
    add(f,
        "SELECT count(*) AS c FROM (SELECT t FROM (SELECT t FROM demo WHERE t < 9) AS p WHERE "
        "t > 1) AS q GROUP BY TUMBLINGWINDOW(ss, 1)",
        &opts);
    PUSH(f, 100, 2, 200, 1, 300, 3);
    expect(&f->out, "");
    PUSH(f, 1000, 9); /* no row of it comes out, its time does */
    expect(&f->out, "{\"c\":2}\n");
}

static void a_union_is_as_far_as_its_slowest_branch(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true};
    struct err err;
    assert_int_equal(engine_define(f->engine,
                                   STR_LIT("CREATE STREAM other () WITH (DATASOURCE=\"other\", "
                                           "FORMAT=\"json\", TIMESTAMP=\"ts\")"),
                                   false, &err),
                     0);
    add(f,
        "SELECT count(*) AS c FROM (SELECT t FROM demo UNION ALL SELECT t FROM other) AS q GROUP "
        "BY TUMBLINGWINDOW(ss, 1)",
        &opts);
    PUSH(f, 100, 1, 3000, 1);
    expect(&f->out, "");
    struct payload p = {.bytes = STR_LIT("[{\"ts\": 1541152486300}, {\"ts\": 1541152487900}]"),
                        .arrival_us = T0};
    assert_int_equal(engine_push(f->engine, engine_stream(f->engine, STR_LIT("other")), &p, 1), 0);
    expect(&f->out, "{\"c\":2}\n");
}

static void a_window_around_matches_ends_with_the_stream(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true};
    add(f,
        "SELECT count(*) AS c FROM demo MATCH_RECOGNIZE (MEASURES B.t AS b PATTERN (A B) DEFINE B "
        "AS B.t > A.t) AS m GROUP BY TUMBLINGWINDOW(ss, 1)",
        &opts);
    PUSH(f, 100, 1, 200, 2, 300, 1, 400, 2, 999, 0);
    expect(&f->out, "");
    PUSH(f, 1000, 0);
    expect(&f->out, "{\"c\":2}\n");
}

static void the_state_of_nested_queries_is_kept(void **state)
{
    struct fixture *f = *state;
    const struct rule_options opts = {.event_time = true};
    static const char sql[] =
        "SELECT sum(n) AS s FROM (SELECT count(*) AS n FROM demo GROUP BY TUMBLINGWINDOW(ss, 1)) "
        "AS q GROUP BY TUMBLINGWINDOW(ss, 10)";
    struct arena a;
    struct value saved;
    struct err err = {0};
    uint32_t kept;
    arena_init(&a, 0);
    struct rule *r = add(f, sql, &opts);
    PUSH(f, 4100, 1, 5100, 1, 5200, 1, 6100, 1);
    assert_int_equal(rule_save(r, &a, &saved), 0);
    rule_free(r);
    r = plan(f, sql, &opts);
    assert_int_equal(rule_load(r, &saved, &kept, &err), 0);
    assert_int_equal(kept, 2);
    assert_int_equal(rule_start(r, &err), 0);
    PUSH(f, 14000, 1);
    expect(&f->out, "{\"s\":4}\n");
    arena_fini(&a);
}

/* ---- matches ---- */

static void a_match_under_way_goes_on_after_a_restart(void **state)
{
    struct fixture *f = *state;
    static const struct rule_options none;
    static const char sql[] =
        "SELECT a, b, c FROM demo MATCH_RECOGNIZE (MEASURES A.t AS a, count(B.*) AS b, C.t AS c "
        "PATTERN (A B+ C) WITHIN 10 ss DEFINE B AS B.t < prev(B.t), C AS C.t > prev(C.t)) AS m";
    struct arena a;
    struct value saved;
    struct err err = {0};
    uint32_t kept;
    arena_init(&a, 0);
    struct rule *r = add(f, sql, &none);
    PUSH(f, 100, 9, 200, 8, 300, 7);
    assert_int_equal(rule_save(r, &a, &saved), 0);
    rule_free(r);
    r = plan(f, sql, &none);
    assert_int_equal(rule_load(r, &saved, &kept, &err), 0);
    assert_int_equal(kept, 2);
    assert_int_equal(rule_start(r, &err), 0);
    PUSH(f, 400, 6, 500, 8);
    expect(&f->out, "{\"a\":9,\"b\":3,\"c\":8}\n");
    arena_fini(&a);
}

#define EVENT_TIME_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EVENT_TIME_TEST(a_window_that_late_rows_correct_says_how_often),
        EVENT_TIME_TEST(a_sliding_window_is_corrected_too),
        EVENT_TIME_TEST(one_batch_is_corrected_as_rows_that_come_alone),
        EVENT_TIME_TEST(what_no_window_takes_for_its_lateness_is_told),
        EVENT_TIME_TEST(a_window_around_a_sub_query_ends_with_it),
        EVENT_TIME_TEST(time_goes_through_queries_without_windows),
        EVENT_TIME_TEST(a_union_is_as_far_as_its_slowest_branch),
        EVENT_TIME_TEST(a_window_around_matches_ends_with_the_stream),
        EVENT_TIME_TEST(the_state_of_nested_queries_is_kept),
        EVENT_TIME_TEST(a_match_under_way_goes_on_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

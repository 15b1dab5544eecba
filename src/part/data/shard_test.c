/* SPDX-License-Identifier: Apache-2.0 */
/* A shard under a flood: nothing is lost, nothing overtakes, and who wants to hold it gets it. */
#include "shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/loop.h"
#include "shard_events.h"

#define BURST 64

struct fixture {
    struct io_loop *loop;
    struct shard *shard;
    struct engine_stream *stream;
    struct rule *rule;
    int64_t next;     /* number of the next event */
    int64_t seen;     /* results so far, which are numbered from 0 */
    uint64_t refused; /* events that found no room */
    unsigned errors, rooms;
    int used;
};

struct seen {
    struct shard_note note;
    struct fixture *f;
    uint32_t n;
    int64_t numbers[BATCH_ROWS];
};

static void on_seen(struct shard_note *n)
{
    struct seen *s = CONTAINER_OF(n, struct seen, note);
    for (uint32_t i = 0; i < s->n; i++) {
        assert_int_equal(s->numbers[i], s->f->seen);
        s->f->seen++;
    }
    mem_free(s);
}

static void on_result(void *arg, struct rule *r, struct batch *b, bool single,
                      const struct window_range *range)
{
    struct fixture *f = arg;
    struct seen *s = mem_zalloc(sizeof(*s));
    (void)r;
    (void)single;
    (void)range;
    assert_non_null(s);
    s->note.fn = on_seen;
    s->f = f;
    s->n = b->rows;
    for (uint32_t i = 0; i < b->rows; i++) {
        struct value v;
        batch_get(b, 0, i, &v);
        s->numbers[i] = v.i;
    }
    shard_post(f->shard, &s->note);
}

struct failed {
    struct shard_note note;
    struct fixture *f;
};

static void on_failed(struct shard_note *n)
{
    struct failed *e = CONTAINER_OF(n, struct failed, note);
    e->f->errors++;
    mem_free(e);
}

static void on_error(struct shard *s, struct rule *r, const struct err *err)
{
    struct failed *e = mem_zalloc(sizeof(*e));
    (void)r;
    (void)err;
    assert_non_null(e);
    e->note.fn = on_failed;
    e->f = shard_arg(s);
    shard_post(s, &e->note);
}

static void on_use(struct shard *s, struct engine_stream *stream, bool used)
{
    struct fixture *f = shard_arg(s);
    (void)stream;
    f->used += used ? 1 : -1;
}

static void on_room(void *arg)
{
    struct fixture *f = arg;
    f->rooms++;
}

static void set_up(struct fixture *f, const char *sql)
{
    struct err err;
    const struct rule_options opts = {0};
    *f = (struct fixture){0};
    assert_int_equal(loop_new(&f->loop, &err), 0);
    const struct shard_config cfg = {
        .loop = f->loop, .on_error = on_error, .on_use = on_use, .on_room = on_room, .arg = f};
    assert_int_equal(shard_new(&cfg, &f->shard, &err), 0);
    struct engine *e = shard_hold(f->shard);
    assert_int_equal(
        engine_define(e, STR_LIT("CREATE STREAM s (n bigint) WITH (FORMAT=\"json\")"), false, &err),
        0);
    f->stream = engine_stream(e, STR_LIT("s"));
    assert_int_equal(rule_new(e, STR_LIT("r"), str_of(sql), &opts, on_result, f, &f->rule, &err),
                     0);
    assert_int_equal(rule_start(f->rule, &err), 0);
    shard_release(f->shard);
    assert_int_equal(f->used, 1);
}

static void tear_down(struct fixture *f)
{
    shard_free(f->shard);
    loop_free(f->loop);
}

/* n events, numbered on; false: there was no room. */
static bool push(struct fixture *f, uint32_t n)
{
    char texts[BURST][32];
    struct payload payloads[BURST];
    for (uint32_t i = 0; i < n; i++) {
        int length = snprintf(texts[i], sizeof(texts[i]), "{\"n\":%lld}", (long long)f->next + i);
        payloads[i] =
            (struct payload){.bytes = str_n(texts[i], (size_t)length), .arrival_us = wall_now().us};
    }
    struct shard_events *ev = shard_events_payloads(payloads, n);
    assert_non_null(ev);
    int rc = shard_push(f->shard, f->stream, ev);
    shard_events_unref(ev);
    f->refused += rc < 0 ? n : 0;
    f->next += rc < 0 ? 0 : n;
    return rc == 0;
}

/* As a source does: waits for room. */
static void push_waiting(struct fixture *f, uint32_t n)
{
    while (!shard_room(f->shard, false)) {
        unsigned before = f->rooms;
        while (f->rooms == before) {
            loop_run_once(f->loop);
        }
    }
    assert_true(push(f, n));
}

static void settle(struct fixture *f)
{
    (void)shard_hold(f->shard);
    shard_settle(f->shard);
    shard_release(f->shard);
}

static void test_results_come_in_order_and_complete(void **state)
{
    struct fixture f;
    (void)state;
    set_up(&f, "SELECT n FROM s");
    for (int i = 0; i < 5000; i++) {
        push_waiting(&f, 1 + (uint32_t)i % BURST);
    }
    while (f.seen < f.next) {
        loop_run_once(f.loop);
    }
    assert_int_equal(f.seen, f.next);
    assert_int_equal(f.refused, 0);
    tear_down(&f);
}

static void test_a_source_that_does_not_wait_is_bounded_and_told(void **state)
{
    struct fixture f;
    (void)state;
    set_up(&f, "SELECT n FROM s");
    (void)shard_hold(f.shard); /* no turn begins */
    while (push(&f, 1)) {
    }
    assert_int_equal(f.next, LIMIT_SHARD_DELIVERIES);
    assert_int_equal(f.refused, 1);
    assert_false(shard_room(f.shard, false));
    shard_release(f.shard);
    while (f.rooms == 0) {
        loop_run_once(f.loop);
    }
    assert_true(shard_room(f.shard, false));
    settle(&f);
    assert_int_equal(f.seen, f.next);
    tear_down(&f);
}

static void test_settling_makes_room_that_is_told(void **state)
{
    struct fixture f;
    (void)state;
    set_up(&f, "SELECT n FROM s");
    (void)shard_hold(f.shard);
    while (push(&f, 1)) {
    }
    assert_false(shard_room(f.shard, false));
    shard_settle(f.shard); /* the thread has nothing to do afterwards */
    shard_release(f.shard);
    assert_int_equal(f.seen, f.next);
    while (f.rooms == 0) {
        loop_run_once(f.loop);
    }
    tear_down(&f);
}

static void test_rules_come_and_go_during_a_flood(void **state)
{
    struct fixture f;
    struct err err;
    const struct rule_options opts = {0};
    (void)state;
    set_up(&f, "SELECT n FROM s");
    for (int i = 0; i < 400; i++) {
        char id[16];
        struct rule *other;
        struct arena a;
        push_waiting(&f, BURST);
        (void)snprintf(id, sizeof(id), "x%d", i);
        struct engine *e = shard_hold(f.shard);
        arena_init(&a, 0);
        assert_non_null(rule_status(f.rule, &a));
        arena_fini(&a);
        assert_int_equal(rule_new(e, str_of(id),
                                  STR_LIT("SELECT count(*) AS c, n FROM s WHERE n < "
                                          "0 GROUP BY COUNTWINDOW(10)"),
                                  &opts, on_result, &f, &other, &err),
                         0);
        assert_int_equal(rule_start(other, &err), 0);
        if (i % 3 == 0) {
            assert_int_equal(engine_define(e,
                                           STR_LIT("CREATE STREAM s (n bigint, m string) WITH "
                                                   "(FORMAT=\"json\")"),
                                           false, &err),
                             -E_EXISTS);
        }
        shard_release(f.shard);
        push_waiting(&f, BURST);
        (void)shard_hold(f.shard);
        shard_settle(f.shard);
        assert_int_equal(f.seen, f.next); /* all that was pushed before */
        rule_free(other);
        shard_release(f.shard);
    }
    assert_int_equal(f.refused, 0);
    assert_int_equal(f.used, 1);
    tear_down(&f);
}

static void test_errors_of_events_are_told_on_the_loop(void **state)
{
    struct fixture f;
    (void)state;
    set_up(&f, "SELECT n FROM s");
    const struct payload broken = {.bytes = STR_LIT("{\"n\":"), .arrival_us = wall_now().us};
    for (int i = 0; i < 10; i++) {
        struct shard_events *ev = shard_events_payloads(&broken, 1);
        assert_int_equal(shard_push(f.shard, f.stream, ev), 0);
        shard_events_unref(ev);
    }
    while (f.errors < 10) {
        loop_run_once(f.loop);
    }
    tear_down(&f);
}

static void test_timers_of_windows_fire_without_events(void **state)
{
    struct fixture f;
    struct err err;
    const struct rule_options opts = {0};
    (void)state;
    set_up(&f, "SELECT count(*) - 2 AS n FROM s GROUP BY TUMBLINGWINDOW(ms, 50)");
    struct rule *other; /* its result is not looked at: the one above counts */
    struct engine *e = shard_hold(f.shard);
    assert_int_equal(rule_new(e, STR_LIT("o"), STR_LIT("SELECT n FROM s WHERE n < 0"), &opts,
                              on_result, &f, &other, &err),
                     0);
    assert_true(push(&f, 2));
    shard_release(f.shard);
    while (f.seen < 1) { /* 2 - 2 = 0, the first number that is expected */
        loop_run_once(f.loop);
    }
    tear_down(&f);
}

static void test_an_end_in_the_middle_of_a_flood_leaks_nothing(void **state)
{
    struct fixture f;
    (void)state;
    for (int i = 0; i < 20; i++) {
        set_up(&f, "SELECT n FROM s");
        for (int k = 0; k < i * 10; k++) {
            (void)push(&f, BURST); /* with or without room */
        }
        tear_down(&f); /* mail may be under way */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_results_come_in_order_and_complete),
        cmocka_unit_test(test_a_source_that_does_not_wait_is_bounded_and_told),
        cmocka_unit_test(test_settling_makes_room_that_is_told),
        cmocka_unit_test(test_rules_come_and_go_during_a_flood),
        cmocka_unit_test(test_errors_of_events_are_told_on_the_loop),
        cmocka_unit_test(test_timers_of_windows_fire_without_events),
        cmocka_unit_test(test_an_end_in_the_middle_of_a_flood_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

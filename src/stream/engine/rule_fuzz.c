/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any rules over any events, on a virtual clock. A line each:
 *
 *      +N                   N milliseconds pass (at most MAX_STEP_MS)
 *      {...} or [...]       an event, or several, of the stream demo
 *      !                    every rule is saved, stopped, loaded and started again
 *      @SELECT ...          a rule in event time
 *      CREATE ...           a stream or a table
 *      anything else        a rule in processing time
 */
#include <assert.h>
#include <stdint.h>
#include <stdio.h>

#include "base/mem.h"
#include "engine.h"
#include "stream/expr/expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define T0 (INT64_C(1541152486000) * 1000)
#define MAX_LINES 64
#define MAX_RULES 8
#define MAX_STEP_MS 5000

struct run {
    struct engine *engine;
    struct rule *rules[MAX_RULES];
    unsigned n;
    int64_t now_us;
};

static void on_late(void *arg, struct rule *r, const struct value *event)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    (void)arg;
    assert(rule_late_topic(r));
    (void)value_print_json(&text, event);
}

static void on_error(void *arg, struct rule *r, const struct err *err)
{
    (void)arg;
    (void)r;
    assert(err->text[0]);
}

static void on_result(void *arg, struct rule *r, struct batch *b, bool single,
                      const struct window_range *range)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    struct arena a;
    (void)arg;
    (void)r;
    (void)single;
    (void)range;
    arena_init(&a, 0);
    for (uint32_t i = 0; i < b->rows; i++) {
        struct value v = batch_object(&a, b, i, false);
        (void)value_print_json(&text, &v);
    }
    arena_fini(&a);
}

static void add(struct run *run, struct str sql, bool event_time)
{
    const struct rule_options opts = {.event_time = event_time,
                                      .late_tolerance_us = 1000000,
                                      .allowed_lateness_us = 2000000,
                                      .late_topic = event_time ? "late" : NULL};
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    struct err err = {0};
    struct rule *r;
    char id[16];
    if (run->n == MAX_RULES) {
        return;
    }
    (void)snprintf(id, sizeof(id), "r%u", run->n);
    if (rule_new(run->engine, str_of(id), sql, &opts, on_result, run, &r, &err) < 0) {
        assert(err.text[0]);
        return;
    }
    run->rules[run->n++] = r;
    (void)rule_explain(r, &text);
    (void)rule_start(r, NULL);
}

static void advance(struct run *run, struct str digits)
{
    int64_t ms = 0;
    for (size_t i = 0; i < digits.n && digits.p[i] >= '0' && digits.p[i] <= '9'; i++) {
        ms = ms * 10 + (digits.p[i] - '0');
        ms = ms < MAX_STEP_MS ? ms : MAX_STEP_MS;
    }
    run->now_us += ms * 1000;
    (void)engine_advance(run->engine, run->now_us);
}

static void push(struct run *run, struct str event)
{
    struct payload p = {.bytes = event, .arrival_us = run->now_us};
    struct engine_stream *s = engine_stream(run->engine, STR_LIT("demo"));
    (void)engine_push(run->engine, s, &p, 1);
}

static void again(struct rule *r)
{
    struct value saved;
    struct arena a;
    uint32_t kept;
    arena_init(&a, 0);
    int rc = rule_save(r, &a, &saved);
    rule_stop(r);
    if (rc == 0) {
        (void)rule_load(r, &saved, &kept, NULL);
    }
    arena_fini(&a);
    (void)rule_start(r, NULL);
}

static void line(struct run *run, struct str s)
{
    switch (s.p[0]) {
    case '+':
        advance(run, str_n(s.p + 1, s.n - 1));
        break;
    case '{':
    case '[':
        push(run, s);
        break;
    case '!':
        for (unsigned i = 0; i < run->n; i++) {
            again(run->rules[i]);
        }
        break;
    case '@':
        add(run, str_n(s.p + 1, s.n - 1), true);
        break;
    case 'C':
        (void)engine_define(run->engine, s, false, NULL);
        break;
    default:
        add(run, s, false);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct engine_options opts = {.on_error = on_error, .on_late = on_late};
    struct run run = {.now_us = T0};
    const char *p = (const char *)data, *end = p + size;
    if (engine_new(&opts, T0, &run.engine, NULL) < 0) {
        return 0;
    }
    int rc = engine_define(
        run.engine, STR_LIT("CREATE STREAM demo () WITH (FORMAT=\"json\", TIMESTAMP=\"ts\")"),
        false, NULL);
    assert(rc == 0);
    for (unsigned i = 0; i < MAX_LINES && p < end; i++) {
        const char *stop = memchr(p, '\n', (size_t)(end - p));
        stop = stop ? stop : end;
        if (stop > p) {
            line(&run, str_n(p, (size_t)(stop - p)));
        }
        p = stop + 1;
    }
    while (run.n > 0) {
        rule_free(run.rules[--run.n]);
    }
    engine_free(run.engine);
    return 0;
}

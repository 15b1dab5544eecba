/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The simulator: a list of events (`data`), one every `interval` milliseconds (default 1000; 0: as
 * fast as rules take them), again from the first when `loop` is true (the default).
 */
#include "base/mem.h"
#include "part/data/data_private.h"
#include "source.h"

#define PART 256u /* events of a delivery */

struct simulator {
    struct source source;
    const struct json *data;
    struct value *events; /* in the source's arena */
    uint32_t n, at;
    int64_t interval_ms;
    bool loop;
    struct io_timer timer;
    struct io_task task;
};

static void step(struct simulator *s, uint32_t most)
{
    for (uint32_t sent = 0; sent < most && s->at < s->n && source_ready(&s->source);) {
        uint32_t part = MIN_OF(MIN_OF(most - sent, s->n - s->at), PART);
        source_deliver_values(&s->source, s->events + s->at, NULL, part);
        sent += part;
        s->at += part;
        if (s->at == s->n && s->loop) {
            s->at = 0;
        }
    }
}

static void on_timer(void *arg)
{
    struct simulator *s = arg;
    step(s, 1);
    if (s->at < s->n) {
        io_timer_start(&s->timer, s->interval_ms, 0);
    }
}

static void on_task(void *arg)
{
    struct simulator *s = arg;
    step(s, SOURCE_BURST);
    if (s->at < s->n && !s->source.waits) {
        loop_defer(s->source.loop, &s->task);
    }
}

static int simulator_open(struct source *source, struct err *err)
{
    struct simulator *s = (struct simulator *)source;
    s->data = json_get(source->conf, "data");
    s->n = (uint32_t)json_len(s->data);
    s->interval_ms = json_i64(json_get(source->conf, "interval"), 1000);
    s->loop = json_true(json_get(source->conf, "loop"), true);
    if (!json_is(s->data, JSON_ARRAY) || s->n == 0 || s->interval_ms < 0) {
        return err_set(err, -E_INVAL,
                       "a list of events is required: EXTRA='{\"data\": [{...}], \"interval\": "
                       "1000, \"loop\": true}'");
    }
    s->events = arena_alloc(&source->arena, s->n * sizeof(*s->events));
    for (uint32_t i = 0; s->events && i < s->n; i++) {
        s->events[i] = value_from_json(&source->arena, json_at(s->data, i));
    }
    if (arena_failed(&source->arena)) {
        return err_sys(err, -E_NOMEM, "read the events");
    }
    io_timer_init(source->loop, &s->timer, on_timer, s);
    io_task_init(&s->task, on_task, s);
    if (s->interval_ms > 0) {
        io_timer_start(&s->timer, s->interval_ms, 0);
    } else {
        loop_defer(source->loop, &s->task);
    }
    source_told(source, true, NULL);
    return 0;
}

static void simulator_resume(struct source *source)
{
    struct simulator *s = (struct simulator *)source;
    if (s->interval_ms == 0) { /* else the timer goes on */
        loop_defer(source->loop, &s->task);
    }
}

static void simulator_close(struct source *source)
{
    struct simulator *s = (struct simulator *)source;
    io_timer_stop(&s->timer);
    io_task_cancel(&s->task);
}

const struct source_ops source_simulator = {.type = "simulator",
                                            .size = sizeof(struct simulator),
                                            .open = simulator_open,
                                            .close = simulator_close,
                                            .resume = simulator_resume};

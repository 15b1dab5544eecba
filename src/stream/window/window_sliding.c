/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sliding windows: a row that meets WHEN fires the window [its time - length, its time], both ends
 * included; with a delay, [its time - length, its time + delay) when the delay is over. In
 * processing time without a delay it fires at once; in event time when the watermark has come, with
 * all rows of that time.
 */
#include "window_private.h"

static int add_trigger(struct window *w, int64_t at)
{
    if (w->first_trigger + w->n_triggers == w->cap_triggers) {
        size_t cap = MAX_OF(w->n_triggers * 2, (size_t)16);
        struct trigger *t = mem_alloc(cap * sizeof(*t));
        if (!t) {
            return -ENOMEM;
        }
        if (w->n_triggers > 0) {
            memcpy(t, w->triggers + w->first_trigger, w->n_triggers * sizeof(*t));
        }
        mem_free(w->triggers);
        w->triggers = t;
        w->cap_triggers = cap;
        w->first_trigger = 0;
    }
    w->triggers[w->first_trigger + w->n_triggers++] =
        (struct trigger){.at = at, .due = at + w->spec.delay};
    return 0;
}

/* Index of the first row that is not before t. */
static size_t lower_bound(const struct rowq *q, int64_t t)
{
    size_t from = 0, until = q->n;
    while (from < until) {
        size_t mid = from + (until - from) / 2;
        if (rowq_at(q, mid)->row->time_us < t) {
            from = mid + 1;
        } else {
            until = mid;
        }
    }
    return from;
}

static int fire(struct window *w, const struct trigger *t)
{
    size_t from = lower_bound(&w->rows, t->at - w->spec.length);
    size_t until = lower_bound(&w->rows, w->spec.delay > 0 ? t->due : t->due + 1);
    struct window_range range = {t->at - w->spec.length, t->due, t->due};
    return fire_slide(w, &range, from, until - from);
}

static void evict(struct window *w, int64_t now)
{
    if (w->n_triggers > 0) {
        now = MIN_OF(now, w->triggers[w->first_trigger].at);
    }
    if (now != INT64_MIN) {
        (void)drop_slide(w, lower_bound(&w->rows, now - w->spec.length));
    }
}

int sliding_push(struct window *w, struct kept *k)
{
    int64_t at = k->row->time_us;
    bool fires = !w->spec.when || window_test(w, w->spec.when, k, "Window Trigger");
    if (fires) {
        w->conditions.hits++;
        w->conditions.last_hit_us = at;
    }
    if (!w->spec.event_time) {
        evict(w, at);
    }
    if (!window_charge(w, window_kept_bytes(k), k->row)) {
        row_unref(k->row);
        row_unref(k->computed);
        return 0;
    }
    int rc = rowq_push(&w->rows, k);
    if (rc < 0) {
        window_kept_release(w, k);
        return rc;
    }
    if (!fires) {
        return 0;
    }
    if (w->spec.event_time || w->spec.delay > 0) {
        return add_trigger(w, at);
    }
    struct trigger t = {at, at};
    return fire(w, &t);
}

int sliding_advance(struct window *w)
{
    while (w->n_triggers > 0 && w->triggers[w->first_trigger].due <= w->now_us) {
        struct trigger t = w->triggers[w->first_trigger++];
        w->n_triggers--;
        int rc = fire(w, &t);
        if (rc < 0) {
            return rc;
        }
    }
    evict(w, w->now_us);
    return 0;
}

int64_t sliding_next(const struct window *w)
{
    return w->n_triggers > 0 ? w->triggers[w->first_trigger].due : INT64_MAX;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sliding windows: a row that meets WHEN fires the window [its time - length, its time], both ends
 * included; with a delay, [its time - length, its time + delay) when the delay is over. In
 * processing time without a delay it fires at once; in event time when the watermark has come, with
 * all rows of that time. Rows and firings that late rows can reach stay so much longer.
 */
#include "finger.h"
#include "slide.h"
#include "window_private.h"

/* Behind those that are not after it: out of order only for a late row. */
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
    struct trigger *all = w->triggers + w->first_trigger;
    size_t i = w->n_triggers++;
    for (; i > 0 && all[i - 1].at > at; i--) {
        all[i] = all[i - 1];
    }
    all[i] = (struct trigger){.at = at, .due = at + w->spec.delay};
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

/* One firing less until w->slide is made anew, of rows that were told what they fail to compute. */
static void fired_by_fingers(struct window *w, int64_t until)
{
    if (w->by_fingers > 0 && --w->by_fingers == 0) {
        for (size_t i = 0; i < w->rows.n && rowq_at(&w->rows, i)->row->time_us < until; i++) {
            rowq_at(&w->rows, i)->told = true;
        }
    }
}

/* In order w->slide is cheaper, but a row that comes between others makes it worthless: then the
 * tree takes over for as many firings as it costs to make w->slide anew. */
static int fire(struct window *w, int64_t at, int64_t correction)
{
    int64_t end = at + w->spec.delay;
    int64_t from = at - w->spec.length, until = w->spec.delay > 0 ? end : end + 1;
    struct window_range range = {from, end, end, correction};
    int rc;
    if (w->fingers && (correction > 0 || w->by_fingers > 0 || !w->slide)) {
        rc = fire_fingers(w, &range, from, until);
        if (correction == 0) {
            fired_by_fingers(w, until);
        }
        return rc;
    }
    size_t first = lower_bound(&w->rows, from), n = lower_bound(&w->rows, until) - first;
    rc =
        correction > 0 ? fire_rows(w, &range, &w->rows, first, n) : fire_slide(w, &range, first, n);
    if (w->fingers) {
        finger_told(w->fingers, until);
    }
    return rc;
}

/* Rows that no window to come and none that a late row can still correct has. */
static void evict(struct window *w, int64_t now)
{
    if (now == INT64_MIN) {
        return;
    }
    if (w->spec.lateness > 0) {
        now -= w->spec.lateness + w->spec.delay;
        firings_forget(w, now);
    }
    if (w->n_triggers > 0) {
        now = MIN_OF(now, w->triggers[w->first_trigger].at);
    }
    if (w->fingers) {
        finger_evict(w, w->fingers, now - w->spec.length);
    }
    (void)drop_slide(w, lower_bound(&w->rows, now - w->spec.length));
}

static bool meets_when(struct window *w, const struct kept *k)
{
    bool fires = !w->spec.when || window_test(w, w->spec.when, k, "Window Trigger");
    if (fires) {
        w->conditions.hits++;
        w->conditions.last_hit_us = MAX_OF(w->conditions.last_hit_us, k->row->time_us);
    }
    return fires;
}

/* Behind the rows of its time. Takes k; 0 with *ret_kept false: the limit of memory was told. */
static int keep(struct window *w, struct kept *k, bool *ret_kept)
{
    *ret_kept = window_charge(w, window_kept_bytes(k), k->row);
    if (!*ret_kept) {
        row_unref(k->row);
        row_unref(k->computed);
        return 0;
    }
    k->late = w->rows.n > 0 && rowq_at(&w->rows, w->rows.n - 1)->row->time_us > k->row->time_us;
    if (k->late && w->slide) {
        slide_forget(w);
        w->by_fingers = w->rows.n;
    }
    int rc = rowq_push(&w->rows, k);
    if (rc >= 0 && w->fingers && (rc = finger_insert(w, w->fingers, k)) < 0) {
        w->rows.n--; /* the tree borrows from the queue: in both or in none */
    }
    if (rc < 0) {
        window_kept_release(w, k);
        return rc;
    }
    size_t i = w->rows.n - 1;
    for (; i > 0 && rowq_at(&w->rows, i - 1)->row->time_us > k->row->time_us; i--) {
        *rowq_at(&w->rows, i) = *rowq_at(&w->rows, i - 1);
    }
    *rowq_at(&w->rows, i) = *k;
    return 0;
}

int sliding_push(struct window *w, struct kept *k)
{
    int64_t at = k->row->time_us;
    bool fires = meets_when(w, k), kept;
    if (!w->spec.event_time) {
        evict(w, at);
    }
    int rc = keep(w, k, &kept);
    if (rc < 0 || !kept || !fires) {
        return rc;
    }
    return w->spec.event_time || w->spec.delay > 0 ? add_trigger(w, at) : fire(w, at, 0);
}

int sliding_advance(struct window *w)
{
    while (w->n_triggers > 0 && w->triggers[w->first_trigger].due <= w->now_us) {
        int64_t at = w->triggers[w->first_trigger++].at;
        w->n_triggers--;
        if (w->spec.lateness > 0 && !firing_of(w, at)) {
            return -ENOMEM;
        }
        int rc = fire(w, at, 0);
        if (rc < 0) {
            return rc;
        }
    }
    evict(w, w->now_us);
    return 0;
}

bool sliding_has(const struct window *w, int64_t t)
{
    return w->spec.lateness > 0 && w->now_us != INT64_MIN && t >= w->now_us - w->spec.lateness;
}

/* Fires the windows again that have the time t. */
static int correct(struct window *w, int64_t t)
{
    int64_t at = w->spec.delay > 0 ? t - w->spec.delay + 1 : t;
    struct firing *f;
    int rc = 0;
    while (rc >= 0 && (f = firing_from(w, at)) && f->at <= t + w->spec.length) {
        at = f->at + 1;
        rc = fire(w, f->at, ++f->corrections);
    }
    return rc;
}

int sliding_correct(struct window *w, struct kept *k)
{
    int64_t t = k->row->time_us;
    bool fires = meets_when(w, k), kept;
    int rc = keep(w, k, &kept);
    if (rc < 0 || !kept) {
        return rc;
    }
    if (fires && t + w->spec.delay > w->now_us) {
        rc = add_trigger(w, t);
    } else if (fires) {
        rc = firing_of(w, t) ? 0 : -ENOMEM;
    }
    return rc < 0 ? rc : correct(w, t);
}

int64_t sliding_next(const struct window *w)
{
    return w->n_triggers > 0 ? w->triggers[w->first_trigger].due : INT64_MAX;
}

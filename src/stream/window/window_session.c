/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session windows: rows with no gap longer than the time-out (spec.interval) between them. A
 * session that is longer than spec.length is cut at the next natural end of that length, and the
 * next one begins there.
 *
 * Time-outs: in event time a row exactly at the time-out still belongs to the session, and the
 * cut takes a row behind it; in processing time the clock decides both.
 */
#include "window_private.h"

static int close_session(struct window *w, int64_t end)
{
    struct window_range range = {w->session_start, end, end};
    struct bag *bag = &w->session;
    w->session_open = false;
    int rc = fire_bags(w, &range, &bag, 1);
    bag_clear(w, bag);
    return rc;
}

/* Closes what has ended at t, when a row came or the clock went on. */
static int close_until(struct window *w, int64_t t, bool row)
{
    if (!w->session_open) {
        return 0;
    }
    int64_t idle = w->session_last + w->spec.interval, cut = w->session_cut;
    bool in_reach = w->spec.event_time ? row && t <= idle : cut <= idle;
    if (in_reach && t >= cut) {
        w->continued_at = cut;
        return close_session(w, cut);
    }
    bool timed_out = row || w->spec.event_time ? t > idle : t >= idle;
    return timed_out ? close_session(w, idle) : 0;
}

int session_begin(struct window *w, int64_t t)
{
    int rc = close_until(w, t, true);
    if (rc < 0) {
        return rc;
    }
    if (!w->session_open) {
        bool continues = w->continued_at != INT64_MIN && t <= w->session_last + w->spec.interval;
        w->session_start = continues ? w->continued_at : t;
        w->continued_at = INT64_MIN;
        int64_t least = t + w->spec.length - (w->spec.event_time ? 0 : 1);
        w->session_cut = natural_after(w, least, w->spec.length);
        w->session_open = true;
    }
    w->session_last = t;
    return 0;
}

int session_push(struct window *w, struct kept *k)
{
    int rc = session_begin(w, k->row->time_us);
    if (rc < 0) {
        row_unref(k->row);
        row_unref(k->computed);
        return rc;
    }
    return bag_add(w, &w->session, k);
}

int session_advance(struct window *w)
{
    return close_until(w, w->now_us, false);
}

int64_t session_next(const struct window *w)
{
    if (!w->session_open) {
        return INT64_MAX;
    }
    int64_t idle = w->session_last + w->spec.interval;
    return w->spec.event_time ? idle + 1 : MIN_OF(idle, w->session_cut);
}

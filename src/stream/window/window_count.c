/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Count windows: each interval-th row fires the last `length` rows, once there are so many. Their
 * start is the time of the first row, their end that of the last.
 */
#include "window_private.h"

/* Windows that do not overlap need no rows in order. */
static int push_tumbling(struct window *w, struct kept *k)
{
    int64_t t = k->row->time_us;
    if (w->counted++ == 0) {
        w->session_start = t;
    }
    int rc = bag_add(w, &w->session, k);
    if (rc < 0 || w->counted < w->spec.length) {
        return rc;
    }
    struct window_range range = {w->session_start, t, t};
    struct bag *bag = &w->session;
    w->counted = 0;
    rc = fire_bags(w, &range, &bag, 1);
    bag_clear(w, bag);
    return rc;
}

int count_push(struct window *w, struct kept *k)
{
    if (w->spec.interval == w->spec.length) {
        return push_tumbling(w, k);
    }
    if (!window_charge(w, window_kept_bytes(k), k->row)) {
        row_unref(k->row);
        row_unref(k->computed);
        return 0;
    }
    size_t length = (size_t)w->spec.length;
    if (w->rows.n >= length) {
        (void)drop_slide(w, w->rows.n - length + 1);
    }
    int rc = rowq_push(&w->rows, k);
    if (rc < 0) {
        window_kept_release(w, k);
        return rc;
    }
    if (++w->counted < w->spec.interval) {
        return 0;
    }
    w->counted = 0;
    if (w->rows.n < length) {
        return 0;
    }
    int64_t end = k->row->time_us;
    struct window_range range = {rowq_at(&w->rows, 0)->row->time_us, end, end};
    rc = fire_slide(w, &range, 0, length);
    if (w->spec.interval >= w->spec.length) {
        (void)drop_slide(w, length); /* none of them is in the next window */
    }
    return rc;
}

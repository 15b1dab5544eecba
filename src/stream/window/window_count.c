/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Count windows: each interval-th row fires the last `length` rows, once there are so many. Their
 * start is the time of the first row, their end that of the last.
 */
#include "window_private.h"

int count_push(struct window *w, struct kept *k)
{
    if (!window_charge(w, kept_bytes(k), k->row)) {
        row_unref(k->row);
        row_unref(k->computed);
        return 0;
    }
    size_t length = (size_t)w->spec.length;
    if (w->rows.n >= length) {
        window_drop_oldest(w, &w->rows, w->rows.n - length + 1);
    }
    int rc = queue_push(&w->rows, k);
    if (rc < 0) {
        kept_release(w, k);
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
    struct window_range range = {queue_at(&w->rows, 0)->row->time_us, end, end};
    rc = fire_rows(w, &range, &w->rows, 0, length);
    if (w->spec.interval >= w->spec.length) {
        window_drop_oldest(w, &w->rows, length); /* none of them is in the next window */
    }
    return rc;
}

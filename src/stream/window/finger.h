/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregates over rows that come out of order: a tree of partial aggregates by time, entered by its
 * right finger (after Tangwongsan, Hirzel and Schneider, "Optimal and general out-of-order
 * sliding-window aggregation", VLDB 2019). A row that comes d rows too late costs O(log d), one in
 * order O(1), both amortised; the sum of any range of time O(log n); the oldest rows leave in O(1)
 * each. For windows whose aggregates can all be merged.
 *
 * The rows are the window's: they are borrowed until they are evicted here.
 */
#ifndef STREAM_WINDOW_FINGER_H
#define STREAM_WINDOW_FINGER_H

#include "window_private.h"

struct fold;

bool finger_possible(const struct window_spec *s);
int finger_new(struct finger **ret);
void finger_free(struct window *w, struct finger *t); /* NULL is fine */
/* Behind the rows of the same time. -ENOMEM: it was not taken. */
int finger_insert(struct window *w, struct finger *t, const struct kept *k);
/* The rows before `until_us` that are not late have been told what they fail to compute. */
void finger_told(struct finger *t, int64_t until_us);
void finger_evict(struct window *w, struct finger *t, int64_t before_us);
/* Adds the rows of [from, until) to a fold, in order. */
int finger_sum(struct window *w, struct finger *t, int64_t from, int64_t until, struct fold *into);

#endif

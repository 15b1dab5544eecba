/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregates of windows that slide over kept rows (sliding windows, count windows that overlap), in
 * constant time a row: states that can drop their oldest row do; for the others there are two
 * stacks a group. Rows enter and leave in order.
 *
 *      rows:     [ evicted | head ... front of its group | ... back of its group | not yet folded ]
 *      states:               suffixes, one a row            one for all
 */
#ifndef STREAM_WINDOW_SLIDE_H
#define STREAM_WINDOW_SLIDE_H

#include "window_private.h"

bool slide_possible(const struct window_spec *s);
int slide_new(const struct window *w, struct slide **ret);
void slide_free(struct window *w, struct slide *s);
/* The rows [from, from + n) of the queue `w->rows` fire: folds those that are new, drops those that
 * are gone, emits. -E_INVAL: the range went back; nothing was done. */
int slide_fire(struct window *w, const struct window_range *range, size_t from, size_t n);
/* All groups go; they are made anew of the rows when the window fires next: memory was short in the
 * middle of a change, or a row is about to come between others. */
void slide_forget(struct window *w);
/* The n oldest rows of w->rows are about to be dropped. */
int slide_evict(struct window *w, size_t n);

#endif

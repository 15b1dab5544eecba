/* SPDX-License-Identifier: Apache-2.0 */
/* Groups of tuples with their aggregates, computed when a window fires. */
#ifndef STREAM_WINDOW_GROUP_H
#define STREAM_WINDOW_GROUP_H

#include "window_private.h"

/* Groups the tuples by the keys, computes the aggregates and emits. Groups stand in the order of
 * their first tuple. */
int group_and_emit(struct window *w, const struct window_range *range, struct joined **tuples,
                   uint32_t n);

/* The states of the aggregates of one group, in one block. */
int states_layout(struct window *w); /* once, sets state_offsets and states_size */
void *state_at(const struct window *w, void *states, uint32_t aggregate);
void states_fini(const struct window *w, void *states);
/* A value that cannot be computed is told, and null. */
int state_result(struct window *w, uint32_t aggregate, void *state, struct eval *ev,
                 struct value *ret);
/* The values of all aggregates, in the arena or borrowed from the states. */
int states_result(struct window *w, void *states, struct eval *ev, struct value *ret);

#endif

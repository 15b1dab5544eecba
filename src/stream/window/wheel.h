/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hierarchical timing wheels (Varghese and Lauck, 1997): timers of windows, sessions, delays and
 * rules' schedules, with constant cost, on whatever clock the caller turns. Resolution 1 ms.
 */
#ifndef STREAM_WINDOW_WHEEL_H
#define STREAM_WINDOW_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"

struct wheel;
struct wheel_timer;
typedef void wheel_fn(struct wheel_timer *t, int64_t now_us);

struct wheel_timer { /* embedded by the caller; zeroed before first use */
    /* private */
    struct list node;
    int64_t due_us;
    wheel_fn *fire;
    bool armed;
};

struct wheel *wheel_new(int64_t now_us); /* NULL when memory is short */
void wheel_free(struct wheel *w);        /* armed timers are forgotten, not fired */
/* Arms or moves a timer; fires in wheel_turn() once its time is reached (never earlier, in order of
 * milliseconds). A past time fires at the next turn. */
void wheel_arm(struct wheel *w, struct wheel_timer *t, int64_t due_us, wheel_fn *fire);
void wheel_cancel(struct wheel *w, struct wheel_timer *t);
/* Time went on: fires all that is due, in order; a callback may arm and cancel any timer. */
void wheel_turn(struct wheel *w, int64_t now_us);
int64_t wheel_next(const struct wheel *w); /* a time not after the next timer; INT64_MAX = none */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Back-off of restarts and of image look-ups, as a kubelet computes it (client-go's
 * flowcontrol.Backoff): the first try is free, then 10 s after the last end, 20 s, ... 5 minutes;
 * forgotten after 10 quiet minutes. Pure.
 */
#ifndef INFRA_BACKOFF_H
#define INFRA_BACKOFF_H

#include <stdint.h>

#include "base/clock.h"

#define BACKOFF_FIRST_US ((int64_t)10 * 1000000)
#define BACKOFF_MAX_US ((int64_t)300 * 1000000)

struct backoff {
    /* private; zero = nothing has happened yet */
    int64_t delay_us;
    struct mono updated;
};

/* Microseconds until a try is allowed, when the last one ended at `ended`; 0 = now. */
int64_t backoff_wait(const struct backoff *b, struct mono now, struct mono ended);
/* A try begins now: the next one waits longer. */
void backoff_next(struct backoff *b, struct mono now);
/* The delay that holds now, in whole seconds, for messages. */
int64_t backoff_seconds(const struct backoff *b);

#endif

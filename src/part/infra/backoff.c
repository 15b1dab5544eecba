/* SPDX-License-Identifier: Apache-2.0 */
/* Back-off of restarts; see backoff.h. */
#include "backoff.h"

#include "base/mem.h"

static int expired(const struct backoff *b, struct mono now)
{
    return now.us - b->updated.us > 2 * BACKOFF_MAX_US;
}

int64_t backoff_wait(const struct backoff *b, struct mono now, struct mono ended)
{
    if (b->delay_us == 0 || expired(b, now)) {
        return 0;
    }
    int64_t left = ended.us + b->delay_us - now.us;
    return left > 0 ? left : 0;
}

void backoff_next(struct backoff *b, struct mono now)
{
    if (b->delay_us == 0 || expired(b, now)) {
        b->delay_us = BACKOFF_FIRST_US;
    } else {
        b->delay_us = MIN_OF(b->delay_us * 2, BACKOFF_MAX_US);
    }
    b->updated = now;
}

int64_t backoff_seconds(const struct backoff *b)
{
    return b->delay_us / 1000000;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a rule runs: eKuiper's options cron with duration, cronDatetimeRange, and duration alone. A
 * schedule is immutable and knows no clock: it is asked about moments.
 *
 *   cron + duration         from each time of the cron expression, for the duration
 *   cronDatetimeRange       within one of the ranges
 *   both                    within one of the ranges, by cron
 *   duration                once, for the duration after it was started
 *
 * Expressions have the five fields of api/cron.h; texts of ranges are "2023-06-26 10:00:00" in the
 * zone of the rule, beginTimestamp and endTimestamp are milliseconds since 1970.
 */
#ifndef PART_DATA_SCHEDULE_H
#define PART_DATA_SCHEDULE_H

#include "codec/json.h"
#include "io/zone.h"

struct schedule;

/* From a rule's options. *ret is NULL when they name no schedule. Takes the zone (NULL = UTC), also
 * when it fails. -E_INVAL with a sentence, -E_NOMEM. */
int schedule_read(const struct json *options, struct zone *zone, struct schedule **ret,
                  struct err *err);
void schedule_free(struct schedule *s); /* NULL is fine */

struct schedule_now {
    bool running;       /* the rule is to run */
    bool over;          /* and never will again, but by hand */
    int64_t until_us;   /* when to ask again; INT64_MAX = nothing changes */
    int64_t next_us;    /* the next moment at which it starts; 0 = there is none */
    const char *reason; /* why it is over; static; NULL */
};

/* started_us: when it was started by hand (of duration alone). */
struct schedule_now schedule_look(const struct schedule *s, int64_t now_us, int64_t started_us);

#endif

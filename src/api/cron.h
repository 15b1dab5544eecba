/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schedules of CronJobs, as Kubernetes reads them (robfig/cron v3, ParseStandard): five fields
 * (minute, hour, day of the month, month, day of the week) with lists, ranges, steps and names, or
 * "@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@every 1h30m".
 *
 * When both days are restricted, one of them is enough. A moment that a change to summer time skips
 * does not happen.
 */
#ifndef API_CRON_H
#define API_CRON_H

#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"
#include "io/zone.h"

struct cron {
    /* private: a bit a value; CRON_STAR when it was not restricted */
    uint64_t minute, hour, day, month, weekday;
    int64_t every_us; /* "@every": the fields do not count */
};

/* 0, or -E_INVAL with the text that Kubernetes gives. A time zone in the text ("TZ=...") is
 * refused. */
int cron_parse(struct str text, struct cron *ret, struct err *err);

/*
 * The first time that is later than `after`, in the zone (NULL = UTC). False when there is none in
 * the next five years (30 February).
 */
bool cron_next(const struct cron *c, const struct zone *z, struct wall after, struct wall *ret);

#endif

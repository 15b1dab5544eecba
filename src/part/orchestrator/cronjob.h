/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of CronJobs (Kubernetes pkg/controller/cronjob): which Job to make now, which
 * to forget, and when to look again. Pure.
 *
 * A Job's name holds the minute that it is for, so that it is made once however often the step
 * runs. Where it differs: status.active and status.lastScheduleTime follow from the Jobs that are
 * seen, not from the memory of having made them; so nothing is lost when the center is killed.
 */
#ifndef ORCHESTRATOR_CRONJOB_H
#define ORCHESTRATOR_CRONJOB_H

#include "base/clock.h"
#include "io/zone.h"
#include "plan.h"

#define CRON_SCHEDULED_ANNOTATION "batch.kubernetes.io/cronjob-scheduled-timestamp"

struct cronjob_in {
    struct json *cron;  /* a copy, may be edited */
    struct json **jobs; /* the Jobs that it controls */
    size_t n;
    const struct zone *zone; /* of spec.timeZone; NULL = UTC */
    const char *zone_error;  /* why the zone is not known, or NULL */
    struct wall now;
};

int cronjob_reconcile(const struct cronjob_in *in, struct plan *plan); /* 0 or -E_NOMEM */

#endif

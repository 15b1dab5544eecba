/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of Jobs (Kubernetes pkg/controller/job): pods to make and take away, counting
 * those that ended, back-off, failure and success policies, and the end of the Job. Pure.
 *
 * How a pod is counted exactly once, also when the center is killed in between: every pod has the
 * finalizer JOB_TRACKING.
 *
 *   1. it ended: its uid goes into status.uncountedTerminatedPods (an Indexed success: its index
 *      into status.completedIndexes);
 *   2. once that is written, the finalizer is taken off;
 *   3. once the copy shows it without the finalizer (or gone), the uid leaves the list and the
 *      counter goes up, in one write.
 */
#ifndef ORCHESTRATOR_JOB_H
#define ORCHESTRATOR_JOB_H

#include "base/clock.h"
#include "plan.h"
#include "pod_index.h"

#define JOB_INDEX_LABEL "batch.kubernetes.io/job-completion-index"

/* Failures in a row, which delay the next pod. */
struct job_backoff {
    int64_t failures;
    struct wall last;
};

struct job_in {
    struct json *job;        /* a copy, may be edited */
    struct pod_facts **pods; /* pods that it controls, and candidates for adoption */
    size_t n;
    /* A pod that was asked to go, though the copy does not show it yet. May be NULL. */
    bool (*is_going)(const void *arg, const struct pod_facts *p);
    const void *going_arg;
    /* The whole pod, parsed into the arena, or NULL. */
    struct json *(*pod)(const void *arg, struct arena *a, const struct pod_facts *p);
    const void *arg;
    struct job_backoff backoff;
    struct wall now;
};

/* 0, -E_INVAL when the selector is bad (err says why), -E_NOMEM. The copies must show everything
 * that was written before. The update of the status has as its tag the struct job_backoff that is
 * right once it is written. */
int job_reconcile(const struct job_in *in, struct plan *plan, struct err *err);

/* Takes the finalizer off a pod whose Job is gone. */
void job_untrack(struct plan *plan, const struct pod_facts *p);

#endif

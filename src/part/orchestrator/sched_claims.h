/* SPDX-License-Identifier: Apache-2.0 */
/* What the claims of a pod say about where it may run; for ctrl_scheduler.c. */
#ifndef ORCHESTRATOR_SCHED_CLAIMS_H
#define ORCHESTRATOR_SCHED_CLAIMS_H

#include "plan.h"
#include "sched.h"

struct orchestrator;
struct pod_claim;

struct pod_claims {
    /* read-only */
    struct sched_volumes volumes; /* for sched_place(); borrows this struct */
    bool waits;                   /* some claim is to be bound once a node is chosen */
    /* private */
    struct arena *arena;
    struct pod_claim *v;
    size_t n;
    struct json **pvs;
    size_t n_pvs;
};

/* 0; -E_AGAIN with Kubernetes' sentence in err when the pod cannot be placed yet; -E_NOMEM. */
int pod_claims_read(struct pod_claims *pc, struct orchestrator *o, struct arena *a,
                    const struct json *pod, struct err *err);
/* Plans to tell the claims that wait which node was chosen. */
void pod_claims_select(const struct pod_claims *pc, struct plan *plan, const char *node);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PodDisruptionBudgets: how many pods may be evicted now. Pure; what uses the answer is the
 * eviction subresource (api/handler_evict.c).
 */
#ifndef ORCHESTRATOR_DISRUPTION_H
#define ORCHESTRATOR_DISRUPTION_H

#include "plan.h"
#include "pod_index.h"

/* A pod whose eviction was granted counts as gone for so long, even if it is still there. */
#define DISRUPTION_TIMEOUT_MS 120000

struct disruption_in {
    struct json *pdb;              /* is changed */
    const struct pod_facts **pods; /* those that the selector matches */
    size_t n;
    /* Sum of the replicas that the pods' controllers want; negative: `why` says what is missing. */
    int64_t scale;
    const char *why;
    struct wall now;
};

/* minAvailable as a percentage, or maxUnavailable: the scale is needed. */
bool disruption_needs_scale(const struct json *pdb);
/* Plans the new status, where it differs. */
void disruption_plan(struct plan *plan, const struct disruption_in *in);

#endif

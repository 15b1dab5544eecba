/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of Deployments: ReplicaSets to create, scale and clean up, and the status.
 * Pure.
 *
 * It follows Kubernetes' deployment controller in what it does and says, so that kubectl's rollout
 * commands, its waits and people's habits work.
 */
#ifndef ORCHESTRATOR_DEPLOYMENT_H
#define ORCHESTRATOR_DEPLOYMENT_H

#include "base/clock.h"
#include "plan.h"

#define REVISION_ANNOTATION "deployment.kubernetes.io/revision"
#define REVISION_HISTORY_ANNOTATION "deployment.kubernetes.io/revision-history"
#define DESIRED_REPLICAS_ANNOTATION "deployment.kubernetes.io/desired-replicas"
#define MAX_REPLICAS_ANNOTATION "deployment.kubernetes.io/max-replicas"
#define TEMPLATE_HASH_LABEL "pod-template-hash"

struct deployment_in {
    struct json *deployment; /* a copy, may be edited */
    struct json **sets;      /* ReplicaSets of the namespace; copies, may be edited */
    size_t n;
    /* Pods, in whatever state but ended, of the set with this uid: Recreate waits for them. May be
     * NULL (none). */
    bool (*has_pods)(const void *arg, const char *rs_uid);
    /* A ReplicaSet of this name exists, whoever owns it. May be NULL (none). */
    bool (*name_taken)(const void *arg, const char *name);
    const void *arg;
    const char *create_error; /* why the last attempt to create a ReplicaSet failed, or NULL */
    struct wall now;
};

/* 0, or -E_INVAL when the selector is bad (err says why). */
int deployment_reconcile(const struct deployment_in *in, struct plan *plan, struct err *err);

/* The value of TEMPLATE_HASH_LABEL: FNV-1a (32 bits) over the canonical print of the template
 * (members sorted, nothing empty) and the collision count, in Kubernetes' alphabet without vowels.
 */
#define TEMPLATE_HASH_SIZE 12
char *template_hash(const struct json *pod_template, int64_t collisions,
                    char out[TEMPLATE_HASH_SIZE]);
/* Equal but for TEMPLATE_HASH_LABEL, and for null, {} and [] against absent. */
bool template_equal(const struct json *a, const struct json *b);

/* maxSurge rounded up and maxUnavailable rounded down, of numbers or percentages; both 0 gives 1
 * unavailable. */
void deployment_bounds(const struct json *deployment, int64_t *ret_surge, int64_t *ret_unavailable);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims find volumes. Pure: objects in, plan out (Kubernetes' pv controller).
 *
 *     claim Pending --a volume fits, or one is pre-bound--> both name each other --> both Bound
 *     claim gone --> volume Released --Retain--> stays; --Delete, Recycle--> an event says that
 *                                                nobody here deletes it, phase Failed
 *     volume gone --> claim Lost
 */
#ifndef ORCHESTRATOR_VOLUME_BINDING_H
#define ORCHESTRATOR_VOLUME_BINDING_H

#include "plan.h"

struct volume_node {
    const char *name;
    const struct json *labels;
};

#define VOLUME_SELECTED_NODE "volume.kubernetes.io/selected-node"

/* Whether a volume could be bound to a claim that wants one: class, size, modes, selector, node
 * (NULL = any); not yet taken by another claim. */
bool volume_fits(const struct json *pv, const struct json *claim, const struct volume_node *node);
/* The volume's node affinity allows the node. */
bool volume_on_node(const struct json *pv, const struct volume_node *node);
/* The smallest of n volumes that fits; one that is reserved for the claim comes first. NULL. */
struct json *volume_choose(struct json **pvs, size_t n, const struct json *claim,
                           const struct volume_node *node);
const char *claim_class(const struct json *claim);  /* "" = none */
bool class_waits(const struct json *storage_class); /* WaitForFirstConsumer; NULL: false */
/* The volume is claimed by this claim, or reserved for it by name. */
bool volume_is_for(const struct json *pv, const struct json *claim);

struct claim_in {
    struct json *claim;  /* is changed */
    struct json *volume; /* that spec.volumeName names, or NULL */
    struct json **pvs;
    size_t n_pvs;
    const struct json *storage_class; /* of the claim, or NULL */
    const struct volume_node *node;   /* that the scheduler chose for the first pod, or NULL */
    bool in_use;                      /* a pod that has not ended uses it */
};
void claim_plan(struct plan *plan, const struct claim_in *in);

struct volume_in {
    struct json *volume; /* is changed */
    struct json *claim;  /* that spec.claimRef names, or NULL */
};
void volume_plan(struct plan *plan, const struct volume_in *in);

#endif

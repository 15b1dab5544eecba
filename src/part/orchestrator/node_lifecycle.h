/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of a node: is it heard of, which taints follow from its conditions, and what
 * that means for the readiness of its pods. Pure.
 *
 * A link that is cut is the normal case here: a silent node becomes Unknown and takes no new pods
 * (NoSchedule), its pods stop being Ready for others, but none is evicted. (Kubernetes would add
 * NoExecute and evict after five minutes.)
 */
#ifndef ORCHESTRATOR_NODE_LIFECYCLE_H
#define ORCHESTRATOR_NODE_LIFECYCLE_H

#include "plan.h"
#include "pod_index.h"

struct node_in {
    struct json *node;        /* a copy, may be edited */
    int64_t silent_ms;        /* since the node was last heard of (Lease or status) */
    int64_t grace_ms;         /* how long it may be silent */
    const struct json *saved; /* its conditions before it was marked Unknown, or NULL */
    const struct list *pods;  /* pod_index_on_node(), or NULL */
    struct wall now;
};

void node_reconcile(const struct node_in *in, struct plan *plan);

/* The node was marked Unknown by this controller. */
bool node_is_marked(const struct json *node);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The controllers of a cluster, over api/client.h alone: namespaces, Deployments, ReplicaSets, the
 * scheduler, node lifecycle, taint eviction, garbage collection, pod and event clean-up.
 *
 * They run inside a center, or in any process beside a stock Kubernetes. Loop thread only. Nothing
 * is kept on disk: a controller that starts anew lists, compares and goes on.
 */
#ifndef PART_ORCHESTRATOR_H
#define PART_ORCHESTRATOR_H

#include <stdbool.h>
#include <stdint.h>

struct api_client;
struct io_loop;
struct orchestrator;

/* Zero means the default. */
struct orchestrator_opts {
    int64_t node_grace_ms;    /* a node unheard of for so long becomes Unknown; 50 s */
    int64_t event_ttl_ms;     /* 1 h */
    int64_t orphan_grace_ms;  /* how long a pod may be bound to a node that does not exist; 10 s */
    unsigned terminated_pods; /* how many ended pods are kept; 1000 */
    /* PEM for the ConfigMap kube-root-ca.crt of every namespace; NULL: it is not made. Borrowed. */
    const char *root_ca;
};

/* client and loop are borrowed and must outlive it; opts may be NULL. NULL on -ENOMEM. */
struct orchestrator *orchestrator_start(struct api_client *client, struct io_loop *loop,
                                        const struct orchestrator_opts *opts);
/* Ends at once; requests under way may still take effect. NULL is fine. */
void orchestrator_stop(struct orchestrator *o);
/* All informers have listed: the controllers act. */
bool orchestrator_synced(const struct orchestrator *o);

#endif

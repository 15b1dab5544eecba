/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of ReplicaSets and ReplicationControllers: which pods to create, delete, adopt
 * and release, and the status. Pure.
 */
#ifndef ORCHESTRATOR_REPLICASET_H
#define ORCHESTRATOR_REPLICASET_H

#include "plan.h"
#include "pod_index.h"

struct replicaset_in {
    const struct kind *kind; /* ReplicaSet, or ReplicationController */
    struct json *rs;         /* the object; a copy, may be edited */
    struct pod_facts *
        *pods; /* pods that it controls, and candidates for adoption (no controller) */
    size_t n;
    /* A pod that this controller asked to delete, though the copy does not show it yet. May be
     * NULL. */
    bool (*is_going)(const void *arg, const struct pod_facts *p);
    const void *arg;
    bool may_manage;        /* false: writes are not reflected yet, touch no pod */
    const char *last_error; /* why the last attempt to create or delete failed, or NULL */
    bool last_error_delete;
    struct wall now;
};

/* 0, or -E_INVAL when the selector is bad (err says why). */
int replicaset_reconcile(const struct replicaset_in *in, struct plan *plan, struct err *err);

/* Sorts pods so that the first ones are those to delete first. Pods on a node with more pods of the
 * set go before others. For tests. */
void replicaset_rank(struct pod_facts **pods, size_t n, struct wall now);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of DaemonSets (Kubernetes pkg/controller/daemon): one pod on every node that
 * fits, rolling updates, and the status. Pure.
 *
 * Where it differs: a node whose link is cut (taint node.kubernetes.io/unreachable) keeps its pod
 * and goes on to count as wanted. It is neither updated nor does it take up room in a rolling
 * update; its turn comes when it is back.
 */
#ifndef ORCHESTRATOR_DAEMONSET_H
#define ORCHESTRATOR_DAEMONSET_H

#include "base/clock.h"
#include "plan.h"
#include "pod_index.h"

struct daemon_node {
    const char *name;
    const struct json *labels, *taints; /* may be NULL */
};

struct daemonset_in {
    struct json *set;        /* a copy, may be edited */
    struct json **revisions; /* ControllerRevisions of the namespace; copies, may be edited */
    size_t n_revisions;
    const struct daemon_node *const *nodes;
    size_t n_nodes;
    struct pod_facts **pods; /* pods that it controls, and candidates for adoption */
    size_t n;
    /* A pod that was asked to go, though the copy does not show it yet. May be NULL. */
    bool (*is_going)(const void *arg, const struct pod_facts *p);
    const void *going_arg;
    bool (*revision_taken)(const void *arg, const char *name); /* may be NULL (none) */
    /* Milliseconds until a failed pod of this node may be replaced. May be NULL (0). */
    int64_t (*failed_wait_ms)(const void *arg, const char *node);
    const void *arg;
    bool may_manage; /* false: writes are not reflected yet, touch no pod */
    struct wall now;
};

/* 0, -E_INVAL when a selector is bad (err says why), -E_NOMEM. A delete of a failed pod has the
 * name of its node as its tag. */
int daemonset_reconcile(const struct daemonset_in *in, struct plan *plan, struct err *err);

#endif

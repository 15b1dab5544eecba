/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of StatefulSets (Kubernetes pkg/controller/statefulset): pods with stable
 * names, their claims, rolling updates from the last ordinal to the first, and the status. Pure.
 *
 * As in Kubernetes, a set whose new pods never get ready stays where it is also after its template
 * was put right: the broken pod must be deleted by hand (OrderedReady), for only the user knows
 * whether its data is worth anything.
 */
#ifndef ORCHESTRATOR_STATEFULSET_H
#define ORCHESTRATOR_STATEFULSET_H

#include "base/clock.h"
#include "plan.h"
#include "pod_index.h"

#define POD_NAME_LABEL "statefulset.kubernetes.io/pod-name"
#define POD_INDEX_LABEL "apps.kubernetes.io/pod-index"

struct statefulset_in {
    struct json *set;        /* a copy, may be edited */
    struct json **revisions; /* ControllerRevisions of the namespace; copies, may be edited */
    size_t n_revisions;
    struct pod_facts **pods; /* pods that it controls, and candidates for adoption */
    size_t n;
    /* A pod that was asked to go, though the copy does not show it yet. May be NULL. */
    bool (*is_going)(const void *arg, const struct pod_facts *p);
    const void *going_arg;
    bool (*revision_taken)(const void *arg, const char *name); /* may be NULL (none) */
    /* The claim of this name, parsed into the arena; NULL when there is none. May be NULL. */
    struct json *(*claim)(const void *arg, struct arena *a, const char *name);
    const void *arg;
    bool may_manage; /* false: writes are not reflected yet, touch no pod */
    struct wall now;
};

/* 0, -E_INVAL when the selector is bad (err says why), -E_NOMEM. */
int statefulset_reconcile(const struct statefulset_in *in, struct plan *plan, struct err *err);

/* The ordinal of a pod of the set called name; -1 when the pod's name is none of its. */
int64_t statefulset_ordinal(const char *name, const char *pod_name);

#endif

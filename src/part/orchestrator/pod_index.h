/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What controllers ask of pods again and again, read once a change and kept small, and found by
 * owner, by node and by namespace (for pods without a controller).
 */
#ifndef ORCHESTRATOR_POD_INDEX_H
#define ORCHESTRATOR_POD_INDEX_H

#include "base/clock.h"
#include "base/list.h"
#include "codec/json.h"

/* Keeps an ended pod until its Job has counted it. */
#define JOB_TRACKING "batch.kubernetes.io/job-tracking"

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

/* All texts lie behind the struct. */
struct pod_facts {
    /* read-only */
    const char *ns, *name, *uid;
    const char *owner; /* uid of the controlling owner, "" = none */
    const char *owner_kind, *owner_name;
    const char *node;                 /* spec.nodeName, "" = none */
    const char *ip;                   /* status.podIP, "" = none yet */
    const char *hostname, *subdomain; /* of the spec; "" = none */
    const char *ports;  /* named ports, "name\0protocol\0number\0...\0", see pod_port() */
    const char *labels; /* "key\0value\0...\0", see pod_label() */
    const char *target; /* the node that its affinity names (a DaemonSet's pod); "" = none */
    enum pod_phase phase;
    bool deleting, ready;
    bool containers_ready;   /* condition ContainersReady */
    bool marked_not_ready;   /* Ready is False for the reason NodeNotReady */
    struct wall ready_since; /* lastTransitionTime of Ready */
    struct wall created;
    int64_t restarts;      /* the most restarts of a container */
    bool tracked;          /* has the finalizer of Jobs, JOB_TRACKING */
    int64_t all_restarts;  /* of all its containers together */
    int64_t deletion_cost; /* annotation controller.kubernetes.io/pod-deletion-cost */
    /* private */
    struct list by_group, by_node, by_ns;
};

/* Heap; NULL on -ENOMEM. */
struct pod_facts *pod_facts_new(const struct json *pod);
void pod_facts_free(struct pod_facts *p); /* NULL is fine */
/* A selector_get_fn over pod_facts. */
const char *pod_label(const void *pod, const char *key);

/* The number of a named port; 0 when the pod has none of this name and protocol. */
int64_t pod_port(const struct pod_facts *p, const char *name, const char *protocol);

static inline bool pod_ended(const struct pod_facts *p)
{
    return p->phase == POD_SUCCEEDED || p->phase == POD_FAILED;
}
/* The node where it is, or where it must go; "" = it may go anywhere. */
static inline const char *pod_place(const struct pod_facts *p)
{
    return p->node[0] ? p->node : p->target;
}
/* Counts towards a ReplicaSet's replicas. */
static inline bool pod_active(const struct pod_facts *p)
{
    return !pod_ended(p) && !p->deleting;
}
/* Ready for at least min_ready_s seconds. *ret_wait_ms (may be NULL) is lowered to the time until
 * then. */
bool pod_available(const struct pod_facts *p, int64_t min_ready_s, struct wall now,
                   int64_t *ret_wait_ms);

struct pod_index;

struct pod_index *pod_index_new(void);
void pod_index_free(struct pod_index *x); /* NULL is fine */
/* was NULL: added; pod NULL: deleted. When memory is short the pod is left out until its next
 * change. */
void pod_index_change(struct pod_index *x, const struct json *was, const struct json *pod);
struct pod_facts *pod_index_get(const struct pod_index *x, const char *ns, const char *name);

/* Lists, NULL when empty; walk with POD_GROUP, POD_OF_NODE and POD_OF_NS. */
const struct list *pod_index_owned(const struct pod_index *x, const char *owner_uid);
size_t pod_index_owned_n(const struct pod_index *x, const char *owner_uid); /* how many */
const struct list *pod_index_orphans(const struct pod_index *x, const char *ns);
const struct list *pod_index_on_node(const struct pod_index *x, const char *node);
const struct list *pod_index_in_ns(const struct pod_index *x, const char *ns);
/* Calls fn for every pod. */
void pod_index_each(const struct pod_index *x, void (*fn)(void *arg, struct pod_facts *p),
                    void *arg);

#define POD_GROUP(link) CONTAINER_OF(link, struct pod_facts, by_group)
#define POD_OF_NODE(link) CONTAINER_OF(link, struct pod_facts, by_node)
#define POD_OF_NS(link) CONTAINER_OF(link, struct pod_facts, by_ns)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the scheduler share. */
#ifndef ORCHESTRATOR_SCHED_PRIVATE_H
#define ORCHESTRATOR_SCHED_PRIVATE_H

#include "api/pod_resources.h"
#include "api/selector.h"
#include "base/list.h"
#include "base/map.h"
#include "pod_index.h"
#include "sched.h"

struct sched_amount {
    int64_t cpu;     /* milli */
    int64_t memory;  /* bytes */
    int64_t storage; /* ephemeral, bytes */
    int64_t pods;
};

/* A term of pod affinity, of the pod to place or of one that is placed. */
struct pod_term {
    const struct selector *selector;    /* NULL matches nothing */
    const struct json *namespaces;      /* list of names, or NULL */
    const struct selector *ns_selector; /* NULL = none */
    const char *own_ns;
    const char *topology_key;
    int64_t weight; /* preferred terms; negative = anti */
};

struct pod_terms {
    struct pod_term *v;
    size_t n;
};

struct sched_port {
    int64_t port;
    const char *protocol, *ip;
};

/* A pod that takes room on a node. */
struct sched_pod {
    struct list on_node;
    struct pod_facts *facts;
    struct sched_amount asks;
    int64_t priority;
    struct wall started;
    struct arena arena; /* of what follows; mostly empty */
    struct resource_list extended;
    struct pod_terms anti; /* required anti-affinity */
    struct sched_port *ports;
    size_t n_ports;
};

struct sched_node {
    const char *name;
    struct arena arena; /* of what follows, made anew at each change */
    const struct json *labels, *taints, *images;
    const struct json *not_ready; /* a taint, or NULL when Ready */
    bool unschedulable;
    struct sched_amount has, used;
    struct list pods;
    struct map owners;             /* uid -> how many of its pods are here, as a pointer */
    size_t anti_pods;              /* pods with required anti-affinity */
    struct resource_list extended; /* allocatable, beyond struct sched_amount */
    struct list nominated;         /* struct sched_nominee */
};

/* A pod that waits for room on a node. */
struct sched_nominee {
    struct list on_node;
    char *key;
    int64_t priority;
    struct sched_amount asks;
};

struct sched {
    struct map nodes;          /* name -> struct sched_node */
    struct map pods;           /* "ns/name" -> struct sched_pod */
    struct map namespaces;     /* name -> struct sched_ns */
    struct sched_node **order; /* the nodes, for walking in turn */
    size_t n, cap;
    struct map nominees; /* "ns/name" -> struct sched_nominee */
    size_t turn;         /* where the next search begins */
    size_t anti_pods;    /* in the whole picture */
};

struct node_term {
    struct selector *labels, *fields; /* either may be NULL */
    int64_t weight;
};

struct spread {
    const char *key;
    int64_t max_skew, min_domains;
    bool hard;
    const struct selector *selector;
    bool self;           /* the pod matches its own selector */
    struct json *counts; /* topology value -> pods */
    int64_t least;
};

/* Everything that one decision needs of the pod, read once. */
struct want {
    struct sched *s;
    struct arena *arena;
    const struct json *pod, *labels, *tolerations;
    const char *ns, *owner, *node_name;
    struct sched_amount asks;
    int64_t priority;
    struct resource_list extended;
    const struct sched_volumes *volumes;
    struct sched_port *ports;
    size_t n_ports;
    const struct selector *node_selector;
    struct node_term *node_terms; /* required; one must match */
    size_t n_node_terms;
    bool has_node_terms;
    struct node_term *preferred;
    size_t n_preferred;
    struct pod_terms affinity, anti, soft;
    bool affinity_alone; /* no pod matches the required affinity, but this one does itself */
    struct json *affine, *repelled, *refused; /* sets of "topology key=value" */
    struct json *wanted; /* "topology key=value" -> sum of the weights of preferred terms */
    struct spread *spreads;
    size_t n_spreads;
};

/* ---- sched.c ---- */
const struct json *sched_namespace_labels(const struct sched *s, const char *name);

void sched_detach(struct sched *s, struct sched_pod *p);
void sched_attach(struct sched *s, struct sched_pod *p);

/* ---- sched_want.c ---- */
/* Requests that struct sched_amount does not hold. */
struct resource_list pod_extended(struct arena *a, const struct json *pod);
int want_init(struct want *w, struct sched *s, struct arena *a, const struct json *pod,
              struct err *err);
struct sched_amount pod_asks(const struct json *pod);
/* Host ports of a pod. False on -E_NOMEM. */
bool read_ports(struct arena *a, const struct json *pod, struct sched_port **ret, size_t *ret_n);
/* Terms of spec.affinity.<field>.<requiredDuring...>; sign gives preferred terms their weight. */
int read_pod_terms(struct arena *a, const struct json *pod, const char *field, bool preferred,
                   int64_t sign, struct pod_terms *terms, struct err *err);

/* ---- sched_affinity.c ---- */
bool node_matches(const struct want *w,
                  const struct sched_node *node); /* node selector and required affinity */
bool node_term_matches(const struct node_term *t, const struct sched_node *node);
bool pod_term_matches(const struct sched *s, const struct pod_term *t, selector_get_fn *get,
                      const void *labels, const char *ns);
/* Counts over the picture that the pod's rules need, once a decision. */
void want_survey(struct want *w);
const char *topology_key(struct arena *a, const char *key, const char *value);

/* ---- sched_filter.c ---- */
#define REASONS_MAX 8
/* Why the node does not do; 0 when it does. Texts are constants or lie in the arena. */
size_t sched_filter(const struct want *w, const struct sched_node *node,
                    const char *reasons[REASONS_MAX]);
/* Whether taking pods away from the node could help: what speaks against it are not its pods. */
bool sched_hopeless(const struct want *w, const struct sched_node *node);

/* ---- sched_score.c ---- */
/* The best of n nodes. */
const struct sched_node *sched_best(const struct want *w, struct sched_node **nodes, size_t n);

#endif

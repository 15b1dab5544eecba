/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the DaemonSet step share. */
#ifndef ORCHESTRATOR_DAEMONSET_PRIVATE_H
#define ORCHESTRATOR_DAEMONSET_PRIVATE_H

#include "api/selector.h"
#include "daemonset.h"
#include "revision.h"

/* Nodes for which a pod of the set is meant. */
struct daemon_fit {
    const struct json *tolerations;  /* with those that every daemon has */
    const char *node_name;           /* "" = any */
    const struct selector *selector; /* of labels */
    const struct selector **labels;  /* terms of the required affinity; each may be NULL */
    const struct selector **fields;
    size_t n_terms;
    bool has_terms;
};

/* One node and the pods of the set that are there or on their way. */
struct daemon_place {
    const struct daemon_node *node; /* NULL: it does not exist */
    struct pod_facts **pods;        /* oldest first, those that have a node before the others */
    size_t n, cap;
    bool wanted;    /* a pod should run */
    bool tolerated; /* a pod that runs may stay */
    bool cut;       /* out of reach */
    bool create;    /* the plan makes a pod */
    bool busy;      /* the plan mends what is missing or too much here */
};

struct daemon {
    const struct daemonset_in *in;
    struct plan *plan;
    struct arena *arena;
    struct json *set;
    const char *hash; /* of the current revision */
    int64_t min_ready, surge, unavailable;
    bool rolling;
    struct daemon_fit fit;
    struct daemon_place *places; /* the existing nodes, in the order given, then others */
    size_t n_places;
    struct revisions revisions;
    int64_t wait_ms;
};

/* ---- daemonset_fit.c ---- */

/* Reads the set's template. 0, -E_INVAL, -E_NOMEM. */
int daemon_fit_init(struct daemon_fit *fit, struct arena *a, const struct json *set,
                    struct err *err);
void daemon_fit_judge(const struct daemon_fit *fit, struct daemon_place *place);
/* The pod for one node. */
struct json *daemon_pod(struct daemon *d, const char *node);

/* ---- daemonset_update.c ---- */

bool daemon_is_new(const struct daemon *d, const struct pod_facts *p);
bool daemon_is_going(const struct daemon *d, const struct pod_facts *p);
bool daemon_available(struct daemon *d, const struct pod_facts *p);
void daemon_delete(struct daemon *d, const struct pod_facts *p);
/* Plans the next part of a rolling update; marks places where a new pod comes beside the old. */
void daemon_roll(struct daemon *d);

#endif

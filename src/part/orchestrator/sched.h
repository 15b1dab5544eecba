/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a pod may run and where it runs best. Pure: a picture of nodes and pods, kept up to date by
 * its user, and a decision over it; no I/O.
 *
 * Filters, in Kubernetes' order and words: unschedulable, taints (a node that is not Ready counts
 * as tainted), node selector and affinity, host ports, resources (cpu, memory, ephemeral-storage,
 * number of pods, extended ones), volumes, topology spread (DoNotSchedule), pod affinity and
 * anti-affinity. Scores: least allocated, preferred node and pod affinity, PreferNoSchedule taints,
 * image locality, spreading of the pods of one owner and ScheduleAnyway constraints.
 */
#ifndef ORCHESTRATOR_SCHED_H
#define ORCHESTRATOR_SCHED_H

#include "base/err.h"
#include "codec/json.h"

struct sched;

/* What the volumes of a pod say about a node: NULL = fine, else the reason. */
struct sched_volumes {
    const char *(*check)(void *arg, const char *node, const struct json *labels);
    void *arg;
};

struct sched *sched_new(void); /* NULL on -ENOMEM */
void sched_free(struct sched *s);

/* The picture. All take what the API serves; -E_NOMEM leaves out the object. */
int sched_set_node(struct sched *s, const struct json *node);
void sched_del_node(struct sched *s, const char *name);
/* A pod that is bound and has not ended takes room; any other one is dropped from the picture. */
int sched_set_pod(struct sched *s, const struct json *pod);
void sched_del_pod(struct sched *s, const char *ns, const char *name);
int sched_set_namespace(struct sched *s, const struct json *ns);
void sched_del_namespace(struct sched *s, const char *name);
size_t sched_nodes(const struct sched *s);

/*
 * Chooses a node for a pod. 0 with *ret_node (valid until the picture changes); -E_AGAIN when no
 * node fits, with "0/2 nodes are available: 1 Insufficient cpu, ..." in err; -E_INVAL when the
 * pod's rules make no sense; -E_NOMEM.
 */
int sched_place(struct sched *s, struct arena *a, const struct json *pod,
                const struct sched_volumes *volumes, const char **ret_node, struct err *err);

/* A budget that preemption should respect. */
struct selector;
struct sched_budget {
    const char *ns;
    const struct selector *selector;
    int64_t allowed;
};

struct sched_victim {
    const char *ns, *name, *uid;
};

/*
 * Where a pod that fits nowhere would fit if pods of lower priority went, and which: the node with
 * the fewest broken budgets, the least important victims, the fewest of them. 0 with *ret_node and
 * the victims (in the arena); -E_AGAIN with the text that follows "preemption: " in err; -E_NOMEM.
 */
int sched_preempt(struct sched *s, struct arena *a, const struct json *pod,
                  const struct sched_volumes *volumes, const struct sched_budget *budgets,
                  size_t n_budgets, const char **ret_node, struct sched_victim **ret_victims,
                  size_t *ret_n, struct err *err);
/* A pod waits for room on a node (NULL: no more): pods of lower priority leave it alone. */
int sched_nominate(struct sched *s, const struct json *pod, const char *node);
void sched_unnominate(struct sched *s, const char *ns, const char *name);
/* Pods of lower priority than the pod's are going on the node. */
bool sched_room_is_coming(const struct sched *s, const struct json *pod, const char *node);
/* Counts the pod as bound to the node before the API shows it. */
int sched_assume(struct sched *s, const struct json *pod, const char *node);

/* A toleration of the list covers the taint. */
bool taint_tolerated(const struct json *taint, const struct json *tolerations);

#endif

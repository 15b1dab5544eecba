/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the drivers of controllers that make pods share: who must look when a pod changes, which
 * pods a step is about, and not to act before the copy shows what was done last.
 *
 * So that no pod is made twice when the watch lags behind: a step may touch pods only when the
 * copies have reached the revision of the last write that was made for its key, and pods that were
 * asked to go count as gone.
 */
#ifndef ORCHESTRATOR_CTRL_PODS_H
#define ORCHESTRATOR_CTRL_PODS_H

#include "base/map.h"
#include "orchestrator_private.h"
#include "pod_index.h"

/* What is remembered of an owner between steps. */
struct pods_memory {
    int64_t need_pods; /* the copy of pods must have reached this revision */
    int64_t need_own;  /* so must the copy of the owners */
    struct mono since;
    char *last_error; /* why the last attempt to create or delete a pod failed, or NULL */
    bool last_error_delete;
};

struct ctrl_pods {
    /* private */
    struct controller *c;
    const struct kind *owner;
    struct map memory; /* key -> struct pods_memory */
    struct map going;  /* uid of a pod that was asked to go -> this */
};

void ctrl_pods_init(struct ctrl_pods *x, struct controller *c, const struct kind *owner);
void ctrl_pods_fini(struct ctrl_pods *x);

/* To be called from the controller's changed: adds the keys of owners that are concerned by a
 * change of a pod or of an owner itself; other kinds are passed over. */
void ctrl_pods_changed(struct ctrl_pods *x, const struct change *change);
/* Adds the owners in whose spec.selector an object without a controller falls. */
void ctrl_pods_offer(struct ctrl_pods *x, const struct json *orphan);
/* To be called from the controller's action. */
void ctrl_pods_action(struct ctrl_pods *x, const char *key, const struct action *a, int code,
                      const struct json *result);

/* NULL when memory is short. */
struct pods_memory *ctrl_pods_memory(struct ctrl_pods *x, const char *key);
void ctrl_pods_forget(struct ctrl_pods *x, const char *key); /* the owner is gone */
/* The copies show all that was written for the key; when not, the plan is told to look again. */
bool ctrl_pods_caught_up(struct ctrl_pods *x, const struct pods_memory *m, struct plan *plan);
/* For is_going members of the steps; arg is a struct ctrl_pods. */
bool ctrl_pods_is_going(const void *arg, const struct pod_facts *p);

/* The pods that the owner controls, and those of its namespace that nobody does. NULL when the
 * arena failed. */
struct pod_facts **ctrl_pods_of(struct ctrl_pods *x, struct arena *a, const struct json *owner,
                                size_t *ret_n);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Deployment step share. */
#ifndef ORCHESTRATOR_DEPLOYMENT_PRIVATE_H
#define ORCHESTRATOR_DEPLOYMENT_PRIVATE_H

#include "deployment.h"

/* One ReplicaSet of the Deployment, as it will be after the plan. */
struct rset {
    struct json *rs;
    int64_t replicas;                 /* spec.replicas */
    int64_t actual, ready, available; /* of its status */
    int64_t revision;
    struct wall created;
    bool changed; /* must be written */
    bool fresh;   /* does not exist yet */
};

struct dep {
    const struct deployment_in *in;
    struct plan *plan;
    struct arena *arena;
    struct json *d;
    int64_t replicas, surge, unavailable; /* as deployment_bounds() */
    bool rolling, paused;
    struct rset *sets; /* all of the Deployment; room for one more */
    size_t n;
    struct rset *newest; /* the set of the current template, or NULL */
    const struct json *was_status;
    bool annotations_changed; /* of the Deployment itself */
};

#define DEP_FOR_EACH(set, dep) \
    for (struct rset *set = (dep)->sets; set < (dep)->sets + (dep)->n; set++)

/* ---- deployment_sets.c ---- */

/* Claims the sets (adopting and releasing) and finds the newest. */
int dep_collect(struct dep *d, struct err *err);
/* Brings the newest set's annotations and the revisions up to date; makes it when it is missing and
 * create is true. */
void dep_sync_revision(struct dep *d, bool create);
/* Sets spec.replicas and the annotations about size; true when the size changed. */
bool dep_scale_set(struct dep *d, struct rset *set, int64_t replicas);
/* Proportional scaling (while paused, or when spec.replicas changed). */
void dep_scale(struct dep *d);
bool dep_is_scaling(const struct dep *d);
void dep_clean_up(struct dep *d); /* revisionHistoryLimit */
void dep_write_sets(struct dep *d);
int64_t dep_new_size(const struct dep *d); /* the size that the newest set may have now */
int64_t dep_total(const struct dep *d);    /* sum of spec.replicas */

/* ---- deployment_status.c ---- */

void dep_check_paused(struct dep *d);
bool dep_has_deadline(const struct dep *d);
/* lastUpdateTime and lastTransitionTime as Kubernetes keeps them; nothing when status and reason
 * are the same. */
void dep_condition_set(struct dep *d, const char *type, const char *status, const char *reason,
                       const char *message);
bool dep_complete(const struct dep *d, const struct json *status);
/* rollout: judge the progress, too. Plans the status update. */
void dep_sync_status(struct dep *d, bool rollout);

#endif

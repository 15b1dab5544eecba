/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of Deployments (Kubernetes pkg/controller/deployment): which way to go. The
 * ReplicaSets are handled in deployment_sets.c, the status in deployment_status.c.
 *
 * Invariants of a rolling update, whatever the order of events:
 *  1. the sizes of all sets together never exceed replicas + maxSurge (unless they did before);
 *  2. no set is made smaller when that could leave fewer than replicas - maxUnavailable available
 * pods.
 */
#include "deployment.h"

#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "deployment_private.h"
#include "orchestrator_private.h"
#include "workload.h"

/* ---- bounds ---- */

void deployment_bounds(const struct json *deployment, int64_t *ret_surge, int64_t *ret_unavailable)
{
    const struct json *rolling = json_path(deployment, "spec.strategy.rollingUpdate");
    int64_t replicas = json_path_i64(deployment, "spec.replicas", 1);
    int64_t surge =
        workload_scaled(json_get(rolling, "maxSurge"), replicas, true, (replicas + 3) / 4);
    int64_t unavailable =
        workload_scaled(json_get(rolling, "maxUnavailable"), replicas, false, replicas / 4);
    if (strcmp(json_path_cstr(deployment, "spec.strategy.type", "RollingUpdate"), "Recreate") ==
        0) {
        *ret_surge = 0;
        *ret_unavailable = 0;
        return;
    }
    if (surge <= 0 && unavailable <= 0) {
        unavailable = 1; /* else nothing could ever move */
    }
    *ret_surge = MAX_OF(surge, 0);
    *ret_unavailable = MIN_OF(unavailable, replicas);
}

/* ---- rolling update ---- */

static int by_creation(const void *x, const void *y)
{
    const struct rset *a = *(struct rset *const *)x, *b = *(struct rset *const *)y;
    int r = (a->created.us > b->created.us) - (a->created.us < b->created.us);
    return r ? r : strcmp(obj_name(a->rs), obj_name(b->rs));
}

/* The older sets, oldest first. */
static size_t old_sets(struct dep *d, struct rset ***ret)
{
    size_t n = 0;
    *ret = arena_alloc(d->arena, (d->n + 1) * sizeof(**ret));
    if (!*ret) {
        return 0;
    }
    DEP_FOR_EACH(set, d)
    {
        if (set != d->newest) {
            (*ret)[n++] = set;
        }
    }
    qsort((void *)*ret, n, sizeof(**ret), by_creation);
    return n;
}

static bool grow_new(struct dep *d)
{
    if (d->newest->replicas == d->replicas) {
        return false;
    }
    int64_t size = d->newest->replicas > d->replicas ? d->replicas : dep_new_size(d);
    return dep_scale_set(d, d->newest, size);
}

/* Pods of old sets that are not available are no loss. */
static bool drop_unhealthy(struct dep *d, struct rset **old, size_t n, int64_t most)
{
    bool scaled_down = false;
    for (size_t i = 0; i < n && most > 0; i++) {
        int64_t sick = old[i]->replicas - old[i]->available;
        if (old[i]->replicas > 0 && sick > 0) {
            int64_t drop = MIN_OF(most, sick);
            scaled_down |= dep_scale_set(d, old[i], old[i]->replicas - drop);
            most -= drop;
        }
    }
    return scaled_down;
}

static bool drop_available(struct dep *d, struct rset **old, size_t n, int64_t min_available)
{
    bool scaled_down = false;
    int64_t spare = -min_available;
    DEP_FOR_EACH(set, d)
    {
        /* A status may be older than the size: what was asked to go does not count any more. */
        spare += MIN_OF(set->available, set->replicas);
    }
    for (size_t i = 0; i < n && spare > 0; i++) {
        int64_t drop = MIN_OF(spare, old[i]->replicas);
        if (drop > 0) {
            scaled_down |= dep_scale_set(d, old[i], old[i]->replicas - drop);
            spare -= drop;
        }
    }
    return scaled_down;
}

static bool shrink_old(struct dep *d)
{
    struct rset **old;
    size_t n = old_sets(d, &old);
    int64_t old_pods = 0;
    for (size_t i = 0; i < n; i++) {
        old_pods += old[i]->replicas;
    }
    int64_t min_available = d->replicas - d->unavailable;
    int64_t new_unavailable =
        d->newest->replicas - MIN_OF(d->newest->available, d->newest->replicas);
    int64_t most = dep_total(d) - min_available - new_unavailable;
    if (old_pods == 0 || most <= 0) {
        return false;
    }
    bool unhealthy = drop_unhealthy(d, old, n, most);
    return drop_available(d, old, n, min_available) || unhealthy;
}

static void roll(struct dep *d)
{
    dep_sync_revision(d, /* create= */ true);
    if (d->newest && !grow_new(d) && !shrink_old(d) && dep_complete(d, json_get(d->d, "status"))) {
        dep_clean_up(d);
    }
    dep_sync_status(d, /* rollout= */ true);
}

/* ---- recreate ---- */

static bool old_pods_left(const struct dep *d)
{
    DEP_FOR_EACH(set, d)
    {
        if (set != d->newest && d->in->has_pods && d->in->has_pods(d->in->arg, obj_uid(set->rs))) {
            return true;
        }
    }
    return false;
}

static void recreate(struct dep *d)
{
    bool scaled_down = false;
    dep_sync_revision(d, /* create= */ false);
    DEP_FOR_EACH(set, d)
    {
        if (set != d->newest && set->replicas > 0) {
            scaled_down |= dep_scale_set(d, set, 0);
        }
    }
    if (!scaled_down && !old_pods_left(d)) {
        if (!d->newest) {
            dep_sync_revision(d, /* create= */ true);
        }
        if (d->newest && !d->newest->fresh) {
            (void)dep_scale_set(d, d->newest, d->replicas);
        }
        if (dep_complete(d, json_get(d->d, "status"))) {
            dep_clean_up(d);
        }
    }
    dep_sync_status(d, /* rollout= */ true);
}

/* ---- the step ---- */

static void read_spec(struct dep *d)
{
    d->replicas = json_path_i64(d->d, "spec.replicas", 1);
    d->paused = json_path_true(d->d, "spec.paused", false);
    d->rolling =
        strcmp(json_path_cstr(d->d, "spec.strategy.type", "RollingUpdate"), "Recreate") != 0;
    d->was_status = json_clone(d->arena, json_get(d->d, "status"));
    deployment_bounds(d->d, &d->surge, &d->unavailable);
}

/* The Deployment's own revision annotation goes by a patch, for it is not part of the status. */
static void write_annotations(struct dep *d)
{
    if (!d->annotations_changed) {
        return;
    }
    struct json *patch = json_object(d->arena);
    obj_set_annotation(patch, REVISION_ANNOTATION, obj_annotation(d->d, REVISION_ANNOTATION));
    json_set_str(obj_meta(patch), "uid", obj_uid(d->d));
    plan_patch(d->plan, known_kinds()->deployment, obj_ns(d->d), obj_name(d->d), NULL,
               API_PATCH_MERGE, patch);
}

int deployment_reconcile(const struct deployment_in *in, struct plan *plan, struct err *err)
{
    struct dep d = {.in = in, .plan = plan, .arena = plan->arena, .d = in->deployment};
    const struct json *selector = json_path(d.d, "spec.selector");
    if (json_len(json_get(selector, "matchLabels")) == 0 &&
        json_len(json_get(selector, "matchExpressions")) == 0) {
        plan_event(plan, known_kinds()->deployment, d.d, "Warning", "SelectingAll",
                   "This deployment is selecting all pods. A non-empty selector is required.");
        return 0;
    }
    read_spec(&d);
    int r = dep_collect(&d, err);
    if (r < 0) {
        return r;
    }
    if (obj_deleting(d.d)) {
        dep_sync_status(&d, /* rollout= */ false);
        return 0;
    }
    dep_check_paused(&d);
    if (d.paused || dep_is_scaling(&d)) {
        dep_sync_revision(&d, /* create= */ false);
        dep_scale(&d);
        if (d.paused) {
            dep_clean_up(&d);
        }
        dep_sync_status(&d, /* rollout= */ false);
    } else if (d.rolling) {
        roll(&d);
    } else {
        recreate(&d);
    }
    dep_write_sets(&d);
    write_annotations(&d);
    return 0;
}

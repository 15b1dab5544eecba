/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the reconcile step of Jobs. Pods whose Job is gone are let go here, too: a key with an
 * empty name stands for the pods of a namespace that have no controller at all.
 */
#include <string.h>

#include "api/object.h"
#include "base/log.h"
#include "base/mem.h"
#include "ctrl_pods.h"
#include "job.h"

struct job_ctrl {
    struct controller base;
    struct ctrl_pods pods;
    struct map backoffs; /* key -> struct job_backoff; only where pods failed */
};

static struct job_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct job_ctrl, base);
}

static int start(struct controller *c)
{
    ctrl_pods_init(&self(c)->pods, c, known_kinds()->job);
    map_init(&self(c)->backoffs);
    return 0;
}

static void stop(struct controller *c)
{
    ctrl_pods_fini(&self(c)->pods);
    map_fini(&self(c)->backoffs, mem_free);
}

static void changed(struct controller *c, const struct change *change)
{
    ctrl_pods_changed(&self(c)->pods, change);
    if (change->kind == known_kinds()->pod && change->object &&
        !obj_controller_ref(change->object) && obj_has_finalizer(change->object, JOB_TRACKING)) {
        controller_add(c, obj_ns(change->object), "");
    }
}

static struct json *whole_pod(const void *arg, struct arena *a, const struct pod_facts *p)
{
    const struct controller *c = arg;
    return orchestrator_get(c->o, a, known_kinds()->pod, p->ns, p->name);
}

/* ---- pods without a Job ---- */

static void untrack_of_nobody(struct controller *c, const char *ns, struct plan *plan)
{
    const struct list *pods = pod_index_orphans(c->o->pods, ns);
    if (pods) {
        LIST_FOR_EACH (at, pods) {
            if (POD_GROUP(at)->tracked) {
                job_untrack(plan, POD_GROUP(at));
            }
        }
    }
}

static void untrack_of_gone(struct controller *c, const char *ns, const char *name,
                            struct plan *plan)
{
    const struct list *pods = pod_index_in_ns(c->o->pods, ns);
    if (pods) {
        LIST_FOR_EACH (at, pods) {
            const struct pod_facts *p = POD_OF_NS(at);
            if (p->tracked && strcmp(p->owner_kind, "Job") == 0 &&
                strcmp(p->owner_name, name) == 0) {
                job_untrack(plan, p);
            }
        }
    }
}

/* ---- reconcile ---- */

static int reconcile_job(struct controller *c, const char *key, struct json *job, struct plan *plan)
{
    struct ctrl_pods *x = &self(c)->pods;
    struct err err;
    const struct job_backoff *backoff = map_get(&self(c)->backoffs, str_of(key));
    struct pods_memory *m = ctrl_pods_memory(x, key);
    struct job_in in = {.job = job,
                        .is_going = ctrl_pods_is_going,
                        .going_arg = x,
                        .pod = whole_pod,
                        .arg = c,
                        .now = wall_now()};
    if (backoff) {
        in.backoff = *backoff;
    }
    in.pods = ctrl_pods_of(x, plan->arena, job, &in.n);
    if (!m || !in.pods) {
        return -E_NOMEM;
    }
    if (!ctrl_pods_caught_up(x, m, plan)) {
        return 0;
    }
    int r = job_reconcile(&in, plan, &err);
    if (r == -E_INVAL) {
        log_warn("job-controller: key=%s: %s, ignoring", key, err.text);
        return 0;
    }
    return r;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    if (!name[0]) {
        untrack_of_nobody(c, ns, plan);
        return 0;
    }
    struct json *job = orchestrator_get(c->o, plan->arena, known_kinds()->job, ns, name);
    if (!job) {
        ctrl_pods_forget(&self(c)->pods, key);
        mem_free(map_del(&self(c)->backoffs, str_of(key)));
        untrack_of_gone(c, ns, name, plan);
        return 0;
    }
    return reconcile_job(c, key, job, plan);
}

static void keep_backoff(struct job_ctrl *jc, const char *key, const struct job_backoff *b)
{
    struct job_backoff *kept = map_get(&jc->backoffs, str_of(key));
    if (b->failures == 0) {
        mem_free(map_del(&jc->backoffs, str_of(key)));
    } else if (kept) {
        *kept = *b;
    } else {
        kept = mem_dup(b, sizeof(*b));
        if (kept && map_put(&jc->backoffs, str_of(key), kept, NULL) < 0) {
            mem_free(kept);
        }
    }
}

static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    ctrl_pods_action(&self(c)->pods, key, a, code, result);
    if (a->tag && code == 0) {
        keep_backoff(self(c), key, a->tag);
    }
}

const struct controller_ops job_controller = {
    .name = "job-controller",
    .size = sizeof(struct job_ctrl),
    .workers = 8,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the reconcile step of StatefulSets. */
#include <string.h>

#include "api/object.h"
#include "base/log.h"
#include "ctrl_pods.h"
#include "ctrl_revisions.h"
#include "statefulset.h"

struct statefulset_ctrl {
    struct controller base;
    struct ctrl_pods pods;
};

static struct statefulset_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct statefulset_ctrl, base);
}

static int start(struct controller *c)
{
    ctrl_pods_init(&self(c)->pods, c, known_kinds()->stateful_set);
    return 0;
}

static void stop(struct controller *c)
{
    ctrl_pods_fini(&self(c)->pods);
}

static void changed(struct controller *c, const struct change *change)
{
    ctrl_pods_changed(&self(c)->pods, change);
    ctrl_revisions_changed(&self(c)->pods, change);
}

struct lookup {
    struct controller *c;
    const char *ns;
};

static struct json *find_claim(const void *arg, struct arena *a, const char *name)
{
    const struct lookup *l = arg;
    return orchestrator_get(l->c->o, a, known_kinds()->claim, l->ns, name);
}

static bool revision_taken(const void *arg, const char *name)
{
    const struct lookup *l = arg;
    return informer_get(orchestrator_informer(l->c->o, known_kinds()->revision), l->ns, name);
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct ctrl_pods *x = &self(c)->pods;
    const char *ns, *name;
    struct err err;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *set = orchestrator_get(c->o, plan->arena, known_kinds()->stateful_set, ns, name);
    if (!set) {
        ctrl_pods_forget(x, key);
        return 0;
    }
    struct lookup lookup = {c, ns};
    struct pods_memory *m = ctrl_pods_memory(x, key);
    struct statefulset_in in = {.set = set,
                                .is_going = ctrl_pods_is_going,
                                .going_arg = x,
                                .revision_taken = revision_taken,
                                .claim = find_claim,
                                .arg = &lookup,
                                .now = wall_now()};
    in.pods = ctrl_pods_of(x, plan->arena, set, &in.n);
    if (!m || !in.pods) {
        return -E_NOMEM;
    }
    if (!ctrl_pods_caught_up(x, m, plan)) {
        return 0;
    }
    in.may_manage = true;
    in.revisions = ctrl_revisions_of(c, plan->arena, set, &in.n_revisions);
    int r = statefulset_reconcile(&in, plan, &err);
    if (r == -E_INVAL) {
        log_warn("statefulset-controller: key=%s: %s, ignoring", key, err.text);
        return 0;
    }
    return r;
}

static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    ctrl_pods_action(&self(c)->pods, key, a, code, result);
}

const struct controller_ops statefulset_controller = {
    .name = "statefulset-controller",
    .size = sizeof(struct statefulset_ctrl),
    .workers = 8,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

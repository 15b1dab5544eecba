/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the reconcile step of ReplicaSets and of ReplicationControllers: two controllers, one
 * step.
 */
#include "api/object.h"
#include "base/log.h"
#include "ctrl_pods.h"
#include "replicaset.h"

struct replicaset_ctrl {
    struct controller base;
    struct ctrl_pods pods;
    const struct kind *kind;
};

static struct replicaset_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct replicaset_ctrl, base);
}

static int start_with(struct controller *c, const struct kind *kind)
{
    self(c)->kind = kind;
    ctrl_pods_init(&self(c)->pods, c, kind);
    return 0;
}

static int start_sets(struct controller *c)
{
    return start_with(c, known_kinds()->replicaset);
}

static int start_controllers(struct controller *c)
{
    return start_with(c, known_kinds()->replication_controller);
}

static void stop(struct controller *c)
{
    ctrl_pods_fini(&self(c)->pods);
}

static void changed(struct controller *c, const struct change *change)
{
    ctrl_pods_changed(&self(c)->pods, change);
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct ctrl_pods *x = &self(c)->pods;
    const char *ns, *name;
    struct err err;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *rs = orchestrator_get(c->o, plan->arena, self(c)->kind, ns, name);
    if (!rs) {
        ctrl_pods_forget(x, key);
        return 0;
    }
    struct pods_memory *m = ctrl_pods_memory(x, key);
    struct replicaset_in in = {.kind = self(c)->kind,
                               .rs = rs,
                               .is_going = ctrl_pods_is_going,
                               .arg = x,
                               .now = wall_now()};
    in.pods = ctrl_pods_of(x, plan->arena, rs, &in.n);
    if (!m || !in.pods) {
        return -E_NOMEM;
    }
    in.may_manage = ctrl_pods_caught_up(x, m, plan);
    in.last_error = m->last_error;
    in.last_error_delete = m->last_error_delete;
    int r = replicaset_reconcile(&in, plan, &err);
    if (r == -E_INVAL) {
        log_warn("%s: key=%s: %s, ignoring", c->ops->name, key, err.text);
        return 0;
    }
    return r;
}

static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    ctrl_pods_action(&self(c)->pods, key, a, code, result);
}

const struct controller_ops replicaset_controller = {
    .name = "replicaset-controller",
    .size = sizeof(struct replicaset_ctrl),
    .workers = 8,
    .start = start_sets,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

const struct controller_ops replication_controller = {
    .name = "replication-controller",
    .size = sizeof(struct replicaset_ctrl),
    .workers = 4,
    .start = start_controllers,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deletes pods that nobody else will: those of nodes that were deleted (at once, for no agent is
 * left to end them), and the oldest ended ones above a limit.
 *
 * Keys: "node/NAME" for a node that seems to be gone, "ended/" for the count.
 */
#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/map.h"
#include "orchestrator_private.h"
#include "pod_index.h"

#define ENDED_KEY "ended"
#define ENDED_CHECK_MS 20000
#define VERIFY_AGAIN_MS 1000 /* the server has it, the copy lags behind */
#define GONE_RECHECK_MS 60000

struct pod_gc_ctrl {
    struct controller base;
    struct map gone; /* nodes that the server does not have -> a mark */
};

static struct pod_gc_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct pod_gc_ctrl, base);
}

static int start(struct controller *c)
{
    map_init(&self(c)->gone);
    return 0;
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->gone, NULL);
}

static bool is_known(struct controller *c, const char *node)
{
    return informer_get(orchestrator_informer(c->o, known_kinds()->node), "", node) != NULL;
}

static void check_node_of(void *arg, struct pod_facts *p)
{
    struct controller *c = arg;
    if (p->node[0] && !is_known(c, p->node)) {
        controller_add_after(c, "node", p->node, c->o->opts.orphan_grace_ms);
    }
}

static void synced(struct controller *c)
{
    pod_index_each(c->o->pods, check_node_of, c);
    controller_add(c, ENDED_KEY, "");
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == known_kinds()->node) {
        if (change->object) {
            (void)map_del(&self(c)->gone, str_of(change->item->name));
        } else {
            controller_add_after(c, "node", change->old->name, c->o->opts.orphan_grace_ms);
        }
    } else if (change->kind == known_kinds()->pod && change->object && orchestrator_synced(c->o)) {
        const char *node = json_path_cstr(change->object, "spec.nodeName", "");
        if (node[0] && !is_known(c, node)) {
            controller_add_after(c, "node", node, c->o->opts.orphan_grace_ms);
        }
    }
}

/* ---- pods of a node that is gone ---- */

static void plan_end(struct plan *plan, const struct pod_facts *p)
{
    const struct kind *kind = known_kinds()->pod;
    const char *ns = arena_strdup(plan->arena, p->ns), *name = arena_strdup(plan->arena, p->name);
    if (!pod_ended(p)) {
        struct json *patch = json_object(plan->arena);
        json_set_str(obj_meta(patch), "uid", p->uid);
        json_set_str(json_ensure_object(patch, "status"), "phase", "Failed");
        plan_patch(plan, kind, ns, name, "status", API_PATCH_STRATEGIC, patch)->flags =
            ACTION_F_ABSENT_OK;
    }
    struct action *a = plan_delete(plan, kind, ns, name, arena_strdup(plan->arena, p->uid));
    a->req.has_grace = true;
    a->req.grace_seconds = 0;
    a->wave = 1;
}

static void reconcile_node(struct controller *c, const char *node, struct plan *plan)
{
    const struct list *pods = pod_index_on_node(c->o->pods, node);
    if (is_known(c, node) || !pods) {
        (void)map_del(&self(c)->gone, str_of(node));
        return;
    }
    if (!map_get(&self(c)->gone, str_of(node))) {
        struct action *a = plan_get(plan, known_kinds()->node, NULL, node);
        a->flags = ACTION_F_ABSENT_OK;
        plan_requeue(plan, VERIFY_AGAIN_MS);
        return;
    }
    LIST_FOR_EACH (l, pods) {
        plan_end(plan, POD_OF_NODE(l));
    }
    plan_requeue(plan, GONE_RECHECK_MS);
}

static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    if (a->req.verb == API_GET && code == -E_NOENT) {
        (void)map_put(&self(c)->gone, str_of(a->req.name), c, NULL); /* else it is asked again */
        workqueue_add(c->queue, key);
    }
}

/* ---- ended pods ---- */

struct ended {
    struct pod_facts **v;
    size_t n, cap;
};

static void gather(void *arg, struct pod_facts *p)
{
    struct ended *e = arg;
    if (pod_ended(p) && !p->deleting && e->n < e->cap) {
        e->v[e->n++] = p;
    }
}

static void count(void *arg, struct pod_facts *p)
{
    struct ended *e = arg;
    e->cap += pod_ended(p) && !p->deleting;
}

static int older_first(const void *x, const void *y)
{
    const struct pod_facts *a = *(struct pod_facts *const *)x, *b = *(struct pod_facts *const *)y;
    return (a->created.us > b->created.us) - (a->created.us < b->created.us);
}

static void reconcile_ended(struct controller *c, struct plan *plan)
{
    struct ended e = {0};
    plan_requeue(plan, ENDED_CHECK_MS);
    pod_index_each(c->o->pods, count, &e);
    if (e.cap <= c->o->opts.terminated_pods) {
        return;
    }
    e.v = arena_alloc(plan->arena, e.cap * sizeof(struct pod_facts *));
    if (!e.v) {
        return;
    }
    pod_index_each(c->o->pods, gather, &e);
    qsort((void *)e.v, e.n, sizeof(*e.v), older_first);
    for (size_t i = 0; i + c->o->opts.terminated_pods < e.n; i++) {
        plan_end(plan, e.v[i]);
    }
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *what, *name;
    if (!controller_split(plan->arena, key, &what, &name)) {
        return -E_NOMEM;
    }
    if (strcmp(what, ENDED_KEY) == 0) {
        reconcile_ended(c, plan);
    } else {
        reconcile_node(c, name, plan);
    }
    return 0;
}

const struct controller_ops pod_gc_controller = {
    .name = "pod-garbage-collector",
    .size = sizeof(struct pod_gc_ctrl),
    .workers = 4,
    .start = start,
    .synced = synced,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

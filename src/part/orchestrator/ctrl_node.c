/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the reconcile step of nodes.
 *
 * Whether a node is heard of is judged by this machine's clock alone: by when its Lease or status
 * was last seen to change, so that clocks of edges need not be right. A controller that starts
 * gives every node a full grace.
 */
#include <string.h>

#include "api/object.h"
#include "base/map.h"
#include "node_lifecycle.h"
#include "orchestrator_private.h"

#define LEASE_NAMESPACE "kube-node-lease"

struct node_memory {
    struct mono heard;
    char *heartbeat;    /* Ready's lastHeartbeatTime, as last seen */
    struct arena arena; /* of saved */
    struct json *saved; /* conditions before the node was marked */
    bool marked;
};

struct node_ctrl {
    struct controller base;
    struct map nodes; /* name -> struct node_memory */
};

static struct node_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct node_ctrl, base);
}

static int start(struct controller *c)
{
    map_init(&self(c)->nodes);
    return 0;
}

static void free_memory(void *value)
{
    struct node_memory *m = value;
    if (m) {
        arena_fini(&m->arena);
        mem_free(m->heartbeat);
        mem_free(m);
    }
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->nodes, free_memory);
}

static struct node_memory *memory_of(struct node_ctrl *nc, const char *name)
{
    struct node_memory *m = map_get(&nc->nodes, str_of(name));
    if (!m) {
        m = mem_zalloc(sizeof(*m));
        if (!m || map_put(&nc->nodes, str_of(name), m, NULL) < 0) {
            mem_free(m);
            return NULL;
        }
        arena_init(&m->arena, /* cap= */ 0);
        m->heard = loop_now(nc->base.o->loop);
    }
    return m;
}

/* ---- what changed ---- */

static void heard_of(struct controller *c, const char *name)
{
    struct node_memory *m = map_get(&self(c)->nodes, str_of(name));
    if (m) {
        m->heard = loop_now(c->o->loop);
        if (m->marked) {
            controller_add(c, "", name);
        }
    }
}

static void remember_conditions(struct node_memory *m, const struct json *node)
{
    const struct json *conditions = json_path(node, "status.conditions");
    m->marked = node_is_marked(node);
    if (!m->marked) {
        arena_clear(&m->arena);
        m->saved = conditions ? json_clone(&m->arena, conditions) : NULL;
    }
}

static void node_changed(struct controller *c, const struct change *change)
{
    if (!change->object) {
        free_memory(map_del(&self(c)->nodes, str_of(change->old->name)));
        return;
    }
    struct node_memory *m = memory_of(self(c), change->item->name);
    const char *beat =
        json_cstr(json_get(obj_condition(change->object, "Ready"), "lastHeartbeatTime"), "");
    if (!m) {
        return;
    }
    if (!m->heartbeat || strcmp(m->heartbeat, beat) != 0) {
        mem_free(m->heartbeat);
        m->heartbeat = mem_strdup(beat);
        m->heard = loop_now(c->o->loop);
    }
    remember_conditions(m, change->object);
    controller_add(c, "", change->item->name);
}

static void pod_changed(struct controller *c, const struct change *change)
{
    const char *node = json_path_cstr(change->object, "spec.nodeName", "");
    const struct node_memory *m = node[0] ? map_get(&self(c)->nodes, str_of(node)) : NULL;
    const char *reason = json_cstr(json_get(obj_condition(change->object, "Ready"), "reason"), "");
    /* Only a node that is not Ready, or a mark that is to be taken back, concerns pods. */
    if (m && (m->marked || strcmp(reason, "NodeNotReady") == 0)) {
        controller_add(c, "", node);
    }
}

static void changed(struct controller *c, const struct change *change)
{
    const struct known_kinds *k = known_kinds();
    if (change->kind == k->node) {
        node_changed(c, change);
    } else if (change->kind == k->lease) {
        if (change->item && strcmp(change->item->ns, LEASE_NAMESPACE) == 0) {
            heard_of(c, change->item->name);
        }
    } else if (change->kind == k->pod && change->object) {
        pod_changed(c, change);
    }
}

/* ---- reconcile ---- */

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    const struct node_memory *m = map_get(&self(c)->nodes, str_of(name));
    struct json *node = orchestrator_get(c->o, plan->arena, known_kinds()->node, NULL, name);
    if (!node || !m) {
        return 0;
    }
    struct node_in in = {
        .node = node,
        .silent_ms = (loop_now(c->o->loop).us - m->heard.us) / 1000,
        .grace_ms = c->o->opts.node_grace_ms,
        .saved = m->saved,
        .pods = pod_index_on_node(c->o->pods, name),
        .now = wall_now(),
    };
    node_reconcile(&in, plan);
    return 0;
}

const struct controller_ops node_controller = {
    .name = "node-controller",
    .size = sizeof(struct node_ctrl),
    .workers = 16,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
};

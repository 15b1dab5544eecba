/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the reconcile step of DaemonSets. Labels and taints of all nodes are kept parsed, for
 * every step looks at every node.
 */
#include <string.h>

#include "api/object.h"
#include "base/log.h"
#include "base/mem.h"
#include "ctrl_pods.h"
#include "ctrl_revisions.h"
#include "daemonset.h"

#define FAILED_FIRST_MS 1000
#define FAILED_MAX_MS 900000
#define FAILED_FORGET_US ((int64_t)2 * FAILED_MAX_MS * 1000)

struct known_node {
    struct daemon_node node;
    struct arena arena; /* of what node points to */
};

/* Failures of a set on one node. */
struct failures {
    int64_t wait_ms; /* after the last one */
    struct mono last;
};

struct daemonset_ctrl {
    struct controller base;
    struct ctrl_pods pods;
    struct map nodes;    /* name -> struct known_node */
    struct map failures; /* "ns/name node" -> struct failures */
};

static struct daemonset_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct daemonset_ctrl, base);
}

static int start(struct controller *c)
{
    ctrl_pods_init(&self(c)->pods, c, known_kinds()->daemon_set);
    map_init(&self(c)->nodes);
    map_init(&self(c)->failures);
    return 0;
}

static void free_node(void *value)
{
    struct known_node *node = value;
    arena_fini(&node->arena);
    mem_free(node);
}

static void stop(struct controller *c)
{
    ctrl_pods_fini(&self(c)->pods);
    map_fini(&self(c)->nodes, free_node);
    map_fini(&self(c)->failures, mem_free);
}

/* ---- nodes ---- */

static int keep_node(struct daemonset_ctrl *dc, const struct json *object)
{
    struct known_node *node = mem_zalloc(sizeof(*node)), *old = NULL;
    if (!node) {
        return -E_NOMEM;
    }
    arena_init(&node->arena, /* cap= */ 0);
    const struct json *labels = obj_labels(object), *taints = json_path(object, "spec.taints");
    node->node.name = arena_strdup(&node->arena, obj_name(object));
    node->node.labels = labels ? json_clone(&node->arena, labels) : NULL;
    node->node.taints = taints ? json_clone(&node->arena, taints) : NULL;
    if (arena_failed(&node->arena) ||
        map_put(&dc->nodes, str_of(obj_name(object)), node, (void **)&old) < 0) {
        free_node(node);
        return -E_NOMEM;
    }
    if (old) {
        free_node(old);
    }
    return 0;
}

static bool add_set(void *arg, struct api_item *item)
{
    controller_add(arg, item->ns, item->name);
    return true;
}

static void node_changed(struct controller *c, const struct change *change)
{
    struct daemonset_ctrl *dc = self(c);
    if (!change->object) {
        struct known_node *gone = map_del(&dc->nodes, str_of(obj_name(change->was)));
        if (gone) {
            free_node(gone);
        }
    } else if (change->was && json_equal(obj_labels(change->was), obj_labels(change->object)) &&
               json_equal(json_path(change->was, "spec.taints"),
                          json_path(change->object, "spec.taints"))) {
        return;
    } else if (keep_node(dc, change->object) < 0) {
        log_error("daemonset-controller: node=%s: out of memory, ignoring",
                  obj_name(change->object));
    }
    informer_each(orchestrator_informer(c->o, known_kinds()->daemon_set), NULL, add_set, c);
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == known_kinds()->node) {
        node_changed(c, change);
        return;
    }
    ctrl_pods_changed(&self(c)->pods, change);
    ctrl_revisions_changed(&self(c)->pods, change);
}

/* ---- reconcile ---- */

struct lookup {
    struct controller *c;
    const char *ns, *key;
};

static struct failures *failures_of(struct controller *c, const char *key, const char *node)
{
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    const char *name = arena_printf(&a, "%s %s", key, node);
    struct failures *f = name ? map_get(&self(c)->failures, str_of(name)) : NULL;
    arena_fini(&a);
    return f;
}

static int64_t failed_wait_ms(const void *arg, const char *node)
{
    const struct lookup *l = arg;
    const struct failures *f = failures_of(l->c, l->key, node);
    return f ? f->wait_ms - (loop_now(l->c->o->loop).us - f->last.us) / 1000 : 0;
}

static bool revision_taken(const void *arg, const char *name)
{
    const struct lookup *l = arg;
    return informer_get(orchestrator_informer(l->c->o, known_kinds()->revision), l->ns, name);
}

static const struct daemon_node *const *all_nodes(struct controller *c, struct arena *a,
                                                  size_t *ret_n)
{
    const struct daemon_node **v = arena_alloc(a, (map_len(&self(c)->nodes) + 1) * sizeof(*v));
    size_t n = 0;
    MAP_FOR_EACH (slot, &self(c)->nodes) {
        if (v) {
            v[n++] = &((struct known_node *)slot->value)->node;
        }
    }
    *ret_n = n;
    return v;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct ctrl_pods *x = &self(c)->pods;
    const char *ns, *name;
    struct err err;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *set = orchestrator_get(c->o, plan->arena, known_kinds()->daemon_set, ns, name);
    if (!set) {
        ctrl_pods_forget(x, key);
        return 0;
    }
    struct lookup lookup = {c, ns, key};
    struct pods_memory *m = ctrl_pods_memory(x, key);
    struct daemonset_in in = {.set = set,
                              .is_going = ctrl_pods_is_going,
                              .going_arg = x,
                              .revision_taken = revision_taken,
                              .failed_wait_ms = failed_wait_ms,
                              .arg = &lookup,
                              .now = wall_now()};
    in.pods = ctrl_pods_of(x, plan->arena, set, &in.n);
    in.nodes = all_nodes(c, plan->arena, &in.n_nodes);
    if (!m || !in.pods || !in.nodes) {
        return -E_NOMEM;
    }
    if (!ctrl_pods_caught_up(x, m, plan)) {
        return 0;
    }
    in.may_manage = true;
    in.revisions = ctrl_revisions_of(c, plan->arena, set, &in.n_revisions);
    int r = daemonset_reconcile(&in, plan, &err);
    if (r == -E_INVAL) {
        log_warn("daemonset-controller: key=%s: %s, ignoring", key, err.text);
        return 0;
    }
    return r;
}

/* ---- failed pods ---- */

static void forget_old_failures(struct daemonset_ctrl *dc, struct mono now)
{
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    const char **old = arena_alloc(&a, (map_len(&dc->failures) + 1) * sizeof(*old));
    size_t n = 0;
    MAP_FOR_EACH (slot, &dc->failures) {
        const struct failures *f = slot->value;
        if (old && now.us - f->last.us > FAILED_FORGET_US) {
            old[n++] = arena_strdup(&a, slot->key);
        }
    }
    for (size_t i = 0; i < n; i++) {
        mem_free(old[i] ? map_del(&dc->failures, str_of(old[i])) : NULL);
    }
    arena_fini(&a);
}

/* The next failure on this node waits twice as long. */
static void count_failure(struct controller *c, const char *key, const char *node)
{
    struct mono now = loop_now(c->o->loop);
    struct failures *f = failures_of(c, key, node);
    if (!f) {
        forget_old_failures(self(c), now);
        f = mem_zalloc(sizeof(*f));
        char *name = mem_printf("%s %s", key, node);
        if (!f || !name || map_put(&self(c)->failures, str_of(name), f, NULL) < 0) {
            mem_free(f);
            f = NULL;
        }
        mem_free(name);
    }
    if (f) {
        f->wait_ms = f->wait_ms ? MIN_OF(f->wait_ms * 2, FAILED_MAX_MS) : FAILED_FIRST_MS;
        f->last = now;
    }
}

static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    ctrl_pods_action(&self(c)->pods, key, a, code, result);
    if (a->tag && code == 0) {
        count_failure(c, key, a->tag);
    }
}

const struct controller_ops daemonset_controller = {
    .name = "daemonset-controller",
    .size = sizeof(struct daemonset_ctrl),
    .workers = 4,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

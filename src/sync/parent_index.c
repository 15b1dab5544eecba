/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared watcher of the parent's side: which pods belong to which node, and who wants to hear
 * of a change. It reads the store's watches of twelve resources; the order between resources is
 * restored where it matters by draining all of them before a stream begins (parent_sync.c).
 */
#include "base/log.h"
#include "parent_private.h"
#include "placed.h"

static const struct {
    const char *prefix;
} resources[PARENT_WATCHES] = {{"namespaces/"},
                               {"serviceaccounts/"},
                               {"configmaps/"},
                               {"secrets/"},
                               {"persistentvolumes/"},
                               {"persistentvolumeclaims/"},
                               {"runtimeclasses.node.k8s.io/"},
                               {"nodes/"},
                               {"pods/"},
                               {"streams.data.selvedge.dev/"},
                               {"tables.data.selvedge.dev/"},
                               {"rules.data.selvedge.dev/"}};

/* The value of spec.nodeName, in the arena; NULL when the pod has no node. */
static const char *node_of(struct arena *a, struct store_item *item)
{
    struct json *pod = NULL;
    if (json_parse(a, store_item_value(item), NULL, &pod, NULL) < 0) {
        return NULL;
    }
    const char *name = json_path_cstr(pod, "spec.nodeName", "");
    return *name ? name : NULL;
}

static void pod_put(struct sync_parent *p, struct store_item *item, bool tell)
{
    struct arena a;
    arena_init(&a, 0);
    const char *name = node_of(&a, item);
    struct sync_node *n = name ? parent_node(p, name) : NULL;
    if (n) {
        struct str key = store_item_key(item);
        if (map_put(&n->pods, key, n, NULL) < 0) {
            log_error("sync: out of memory, node %s misses pod " STR_FMT " until it reconnects",
                      name, STR_ARG(key));
        }
        if (tell && n->conn) {
            conn_pod_changed(n->conn, item->bytes, item);
        }
    }
    arena_fini(&a);
}

static void pod_deleted(struct sync_parent *p, struct store_item *item)
{
    struct arena a;
    arena_init(&a, 0);
    const char *name = node_of(&a, item);
    struct sync_node *n = name ? map_get(&p->nodes, str_of(name)) : NULL;
    if (n) {
        (void)map_del(&n->pods, store_item_key(item)); /* a set: the value is n */
        if (n->conn) {
            conn_pod_changed(n->conn, item->bytes, NULL);
        }
        parent_node_release(n);
    }
    arena_fini(&a);
}

static void node_event(struct sync_parent *p, struct store_item *item, bool deleted)
{
    struct str key = store_item_key(item), name, resource;
    (void)str_rcut(key, '/', &resource, &name); /* "nodes//NAME" */
    struct sync_node *n = map_get(&p->nodes, name);
    if (n && n->conn) {
        conn_object_changed(n->conn, item->bytes, deleted ? NULL : item);
    }
    parent_placed_node(p, name, deleted ? NULL : item);
}

static void dispatch(struct sync_parent *p, struct store_event *ev)
{
    struct str key = store_item_key(ev->item);
    bool deleted = ev->type == STORE_DELETE;
    if (str_starts(key, "pods/")) {
        if (deleted) {
            pod_deleted(p, ev->item);
        } else {
            pod_put(p, ev->item, true);
        }
    } else if (str_starts(key, "nodes/")) {
        node_event(p, ev->item, deleted);
    } else if (placed_key(key)) {
        parent_placed_event(p, ev->item, deleted);
    } else {
        conn_ref_changed(p, ev->item->bytes, deleted ? NULL : ev->item, ev->rev);
    }
}

static void list_each(struct sync_parent *p, const char *prefix,
                      void (*fn)(struct sync_parent *p, struct store_item *item))
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = str_of(prefix)};
    if (store_list(p->store, &opts, &l) == 0) {
        for (size_t i = 0; i < l.n; i++) {
            fn(p, l.items[i]);
        }
    }
    store_list_fini(&l);
}

static void list_pod(struct sync_parent *p, struct store_item *item)
{
    pod_put(p, item, false);
}

static void list_node(struct sync_parent *p, struct store_item *item)
{
    struct str name, resource;
    (void)str_rcut(store_item_key(item), '/', &resource, &name); /* "nodes//NAME" */
    parent_placed_node(p, name, item);
}

static void list_placed(struct sync_parent *p, struct store_item *item)
{
    parent_placed_event(p, item, false);
}

static void list_all(struct sync_parent *p)
{
    list_each(p, "pods/", list_pod);
    list_each(p, "nodes/", list_node);
    for (size_t i = 0; i < PLACED_KINDS; i++) {
        list_each(p, placed_prefixes[i], list_placed);
    }
}

static void on_ready(struct store_watch *w, void *arg)
{
    struct sync_parent *p = arg;
    (void)w;
    loop_defer(p->loop, &p->drain);
}

static void close_watches(struct sync_parent *p)
{
    for (size_t i = 0; i < PARENT_WATCHES; i++) {
        store_watch_close(p->watches[i]);
        p->watches[i] = NULL;
    }
}

static int open_watches(struct sync_parent *p)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < PARENT_WATCHES; i++) {
        rc = store_watch_open(p->store, str_of(resources[i].prefix), store_rev(p->store), on_ready,
                              p, &p->watches[i]);
    }
    return rc;
}

static void forget_pods(struct sync_parent *p)
{
    MAP_FOR_EACH (slot, &p->nodes) {
        struct sync_node *n = slot->value;
        map_fini(&n->pods, NULL);
    }
}

/* The history moved past us: begin anew. Children reconnect and compare digests. */
static void restart(struct sync_parent *p)
{
    log_warn("sync: the store's history was too short, all nodes reconnect");
    conn_abort_all(p);
    close_watches(p);
    forget_pods(p);
    parent_placed_forget(p);
    list_all(p);
    if (open_watches(p) < 0) {
        log_error("sync: cannot watch the store: out of memory");
    }
}

void parent_index_drain(struct sync_parent *p)
{
    for (size_t i = 0; i < PARENT_WATCHES; i++) {
        struct store_event *ev;
        int rc = 0;
        while (p->watches[i] && (rc = store_watch_next(p->watches[i], &ev)) == 1) {
            dispatch(p, ev);
        }
        if (rc == -E_GONE) {
            restart(p);
            return;
        }
        if (rc < 0) { /* the store is closing */
            store_watch_close(p->watches[i]);
            p->watches[i] = NULL;
        }
    }
}

static void drain_task(void *arg)
{
    parent_index_drain(arg);
}

int parent_index_open(struct sync_parent *p, struct err *err)
{
    io_task_init(&p->drain, drain_task, p);
    parent_placed_open(p);
    list_all(p);
    int rc = open_watches(p);
    return rc < 0 ? err_set(err, rc, "watch the store: %s", err_text(rc)) : 0;
}

void parent_index_close(struct sync_parent *p)
{
    io_task_cancel(&p->drain);
    close_watches(p);
    parent_placed_close(p);
}

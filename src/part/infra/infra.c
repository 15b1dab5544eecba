/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node agent: what it watches, which pods it knows, how it begins and ends; see infra.h.
 *
 *     store: pods/  configmaps/  secrets/ --watch--> drain() --> pod_update(), pod_wake()
 *     runtime: containers of earlier agents --adopt--> pods with found containers
 *
 * Until adoption is over no pod makes a step.
 */
#include "infra.h"

#include <unistd.h>

#include "api/object.h"
#include "base/limits.h"
#include "infra_private.h"
#include "io/file.h"
#include "pod_tokens.h"

#define IMAGE_SETTLE_MS 100
#define ROTATE_MS 10000

static const char *const prefixes[INFRA_WATCHES] = {"pods/", "configmaps/", "secrets/"};

/* ---- pods by uid ---- */

struct identity {
    char uid[64], ns[256], name[256];
};

static bool identify(const struct store_item *item, struct identity *ret)
{
    struct arena a;
    struct json *obj = NULL;
    arena_init(&a, 0);
    bool ok = json_parse(&a, store_item_value(item), NULL, &obj, NULL) == 0 &&
              cstr_copy(ret->uid, sizeof(ret->uid), obj_uid(obj)) &&
              cstr_copy(ret->ns, sizeof(ret->ns), obj_ns(obj)) &&
              cstr_copy(ret->name, sizeof(ret->name), obj_name(obj)) && *ret->uid;
    arena_fini(&a);
    return ok;
}

/* Another pod may have had that name: it is nobody's any more. */
static void displace(struct infra *inf, const struct identity *id)
{
    MAP_FOR_EACH (slot, &inf->pods) {
        struct pod *p = slot->value;
        if (!p->orphan && cstr_eq(p->ns, id->ns) && cstr_eq(p->name, id->name) &&
            !cstr_eq(p->uid, id->uid)) {
            pod_orphan(p);
        }
    }
}

static void pod_put(struct infra *inf, struct store_item *item)
{
    struct identity id;
    if (!identify(item, &id)) {
        log_error("object " STR_FMT " is no pod, ignoring", STR_ARG(store_item_key(item)));
        return;
    }
    struct pod *p = map_get(&inf->pods, str_of(id.uid));
    if (!p) {
        displace(inf, &id);
        p = map_len(&inf->pods) < LIMIT_PODS_PER_NODE ? pod_new(inf, id.uid, id.ns, id.name) : NULL;
    }
    if (!p) {
        log_error("pod %s/%s: no room for it on this node, ignoring", id.ns, id.name);
        return;
    }
    pod_update(p, item);
}

static void pod_deleted(struct infra *inf, struct store_item *item)
{
    struct identity id;
    struct pod *p = identify(item, &id) ? map_get(&inf->pods, str_of(id.uid)) : NULL;
    if (p) {
        pod_orphan(p);
    }
}

/* A config map or secret changed: who waits for it or mounts it looks again. */
static void content_changed(struct infra *inf, const char *key)
{
    MAP_FOR_EACH (slot, &inf->pods) {
        struct pod *p = slot->value;
        if (!p->obj || p->orphan || !pod_uses(p, key)) {
            continue;
        }
        p->refresh = true;
        p->retry_at = (struct mono){0};
        for (size_t i = 0; i < p->n_slots; i++) {
            p->slots[i]->retry_at = (struct mono){0};
        }
        pod_wake(p);
    }
}

/* ---- the store ---- */

static void on_ready(struct store_watch *w, void *arg)
{
    struct infra *inf = arg;
    (void)w;
    loop_defer(inf->loop, &inf->drain);
}

static int open_watch(struct infra *inf, int i)
{
    struct store *store = replica_store(inf->replica);
    return store_watch_open(store, str_of(prefixes[i]), store_rev(store), on_ready, inf,
                            &inf->watches[i]);
}

static void list_pods(struct infra *inf)
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = STR_LIT("pods/")};
    if (store_list(replica_store(inf->replica), &opts, &l) == 0) {
        for (size_t i = 0; i < l.n; i++) {
            pod_put(inf, l.items[i]);
        }
    }
    store_list_fini(&l);
}

static void dispatch(struct infra *inf, int watch, struct store_event *ev)
{
    if (watch != 0) {
        content_changed(inf, ev->item->bytes);
    } else if (ev->type == STORE_DELETE) {
        pod_deleted(inf, ev->item);
    } else {
        pod_put(inf, ev->item);
    }
}

/* The history moved past the watch: what it missed is read from the list. */
static void watch_again(struct infra *inf, int i)
{
    store_watch_close(inf->watches[i]);
    inf->watches[i] = NULL;
    if (open_watch(inf, i) < 0) {
        log_error("cannot watch %s in the store", prefixes[i]);
    }
    list_pods(inf);
}

static void drain(void *arg)
{
    struct infra *inf = arg;
    for (int i = 0; inf->ready && i < INFRA_WATCHES; i++) {
        struct store_event *ev;
        int rc = 0;
        while (inf->watches[i] && (rc = store_watch_next(inf->watches[i], &ev)) == 1) {
            dispatch(inf, i, ev);
        }
        if (rc == -E_GONE) {
            watch_again(inf, i);
        } else if (rc < 0) { /* the store is closing */
            store_watch_close(TAKE_PTR(inf->watches[i]));
        }
    }
}

/* ---- adoption ---- */

static void found(void *arg, struct container *c)
{
    struct infra *inf = arg;
    const struct container_status *st = container_status(c);
    struct pod *p = map_get(&inf->pods, str_of(st->pod_uid));
    p = p ? p : pod_new(inf, st->pod_uid, st->pod_namespace, st->pod_name);
    if (!p) {
        log_error("out of memory: container %s is not watched", st->id);
        container_detach(c);
        return;
    }
    pod_take_container(p, c);
}

/* Folders, sandboxes and groups of which no container is left. */
static void find_remains(struct infra *inf)
{
    struct arena a;
    char **uids = NULL;
    size_t n = 0;
    struct err err;
    arena_init(&a, 0);
    if (runtime_pod_list(inf->runtime, &a, &uids, &n, &err) < 0) {
        log_warn("look for remains of pods: %s, ignoring", err.text);
        n = 0;
    }
    for (size_t i = 0; i < n; i++) {
        if (!map_get(&inf->pods, str_of(uids[i]))) {
            (void)pod_new(inf, uids[i], "", ""); /* without memory the next start cleans */
        }
    }
    arena_fini(&a);
}

static void adopted(struct runtime_op *op, int code)
{
    struct infra *inf = op->arg;
    infra_op_end(inf);
    if (code < 0) {
        log_error("find running containers: %s", op->err.text);
    }
    inf->ready = true;
    list_pods(inf);
    find_remains(inf); /* after the list: what is known has its name from there */
    drain(inf);
    size_t known = 0;
    MAP_FOR_EACH (slot, &inf->pods) {
        struct pod *p = slot->value;
        known += p->obj != NULL;
        if (!p->obj) {
            pod_orphan(p);
        }
        pod_wake(p);
    }
    pod_tokens_sweep(inf);
    log_info("%zu pods are known here", known);
}

/* ---- images ---- */

static void images_settled(void *arg)
{
    struct infra *inf = arg;
    node_agent_changed(inf);
    image_gc_soon(inf);
    MAP_FOR_EACH (slot, &inf->pods) {
        struct pod *p = slot->value;
        for (size_t i = 0; i < p->n_slots; i++) {
            if (p->slots[i]->sm.state == SLOT_WAITING && p->slots[i]->reason &&
                strstr(p->slots[i]->reason, "Image")) {
                p->slots[i]->retry_at = (struct mono){0};
            }
        }
        pod_wake(p);
    }
}

static void images_changed(void *arg, const char *name)
{
    struct infra *inf = arg;
    (void)name;
    io_timer_start(&inf->image_settle, IMAGE_SETTLE_MS, 0);
}

static void watch_images(struct infra *inf)
{
    struct err err;
    CLEANUP(mem_freep)
    char *refs = mem_printf("%s/refs", images_root(runtime_images(inf->runtime)));
    int rc = refs ? dir_make(refs, 0755, &err) : err_sys(&err, -ENOMEM, "watch images");
    rc =
        rc < 0 ? rc : io_fswatch_new(inf->loop, refs, images_changed, inf, &inf->image_watch, &err);
    if (rc < 0) {
        log_warn("%s: new images are seen later, ignoring", err.text);
    }
}

static void rotate_logs(void *arg)
{
    struct infra *inf = arg;
    MAP_FOR_EACH (slot, &inf->pods) {
        struct pod *p = slot->value;
        for (size_t i = 0; i < p->n_slots; i++) {
            if (p->slots[i]->sm.state == SLOT_RUNNING) {
                container_rotate_log(p->slots[i]->c);
            }
        }
    }
}

/* ---- lifetime ---- */

static int copy_texts(struct infra *inf, const struct infra_opts *opts)
{
    inf->state_dir = mem_strdup(opts->state_dir);
    inf->node_ip = mem_strdup(opts->node_ip);
    inf->node_labels = mem_strdup(opts->node_labels);
    if (gethostname(inf->hostname, sizeof(inf->hostname) - 1) < 0) {
        (void)cstr_copy(inf->hostname, sizeof(inf->hostname), replica_node(inf->replica));
    }
    return inf->state_dir && (inf->node_ip || !opts->node_ip) ? 0 : -ENOMEM;
}

int infra_new(const struct infra_opts *opts, struct infra **ret, struct err *err)
{
    struct infra *inf = mem_zalloc(sizeof(*inf));
    if (!inf) {
        return err_sys(err, -ENOMEM, "start the node agent");
    }
    inf->loop = opts->loop;
    inf->runtime = opts->runtime;
    inf->replica = opts->replica;
    inf->max_pods = opts->max_pods ? opts->max_pods : 110;
    inf->gc_high = opts->image_gc_high ? opts->image_gc_high : 100;
    inf->gc_low = opts->image_gc_low ? opts->image_gc_low : inf->gc_high;
    map_init(&inf->pods);
    list_init(&inf->streams);
    io_task_init(&inf->drain, drain, inf);
    io_timer_init(inf->loop, &inf->image_settle, images_settled, inf);
    io_timer_init(inf->loop, &inf->log_rotation, rotate_logs, inf);
    inf->events = events_new(inf);
    int rc = inf->events ? copy_texts(inf, opts) : -ENOMEM;
    rc = rc < 0 ? err_sys(err, rc, "start the node agent") : agent_http_new(inf, &inf->http, err);
    rc = rc < 0 ? rc : node_agent_new(inf, &inf->node, err);
    for (int i = 0; rc == 0 && i < INFRA_WATCHES; i++) {
        rc = open_watch(inf, i);
        if (rc < 0) {
            (void)err_set(err, rc, "watch %s: %s", prefixes[i], err_text(rc));
        }
    }
    if (rc < 0) {
        infra_free(inf);
        return rc;
    }
    watch_images(inf);
    io_timer_start(&inf->log_rotation, ROTATE_MS, ROTATE_MS);
    image_gc_start(inf);
    inf->adopt = (struct runtime_op){.done = adopted, .arg = inf};
    infra_op_begin(inf);
    container_adopt_all(inf->runtime, found, inf, &inf->adopt);
    *ret = inf;
    return 0;
}

void infra_set_parent(struct infra *inf, struct sync_child *parent)
{
    inf->parent = parent;
}

void infra_stop(struct infra *inf)
{
    inf->stopping = true;
    streams_close_all(inf);
    MAP_FOR_EACH (slot, &inf->pods) {
        struct pod *p = slot->value;
        for (size_t i = 0; i < p->n_slots; i++) {
            probes_stop(p->slots[i]);
            hook_cancel(p->slots[i]);
        }
    }
}

size_t infra_busy(const struct infra *inf)
{
    return inf->busy;
}

size_t infra_pods(const struct infra *inf)
{
    return map_len(&inf->pods);
}

void infra_free(struct infra *inf)
{
    if (!inf) {
        return;
    }
    streams_close_all(inf);
    agent_http_free(TAKE_PTR(inf->http));
    for (bool more = true; more;) {
        more = false;
        MAP_FOR_EACH (slot, &inf->pods) {
            pod_free(slot->value); /* changes the map: begin anew */
            more = true;
            break;
        }
    }
    map_fini(&inf->pods, NULL);
    for (int i = 0; i < INFRA_WATCHES; i++) {
        store_watch_close(inf->watches[i]);
    }
    io_task_cancel(&inf->drain);
    io_timer_stop(&inf->image_settle);
    io_timer_stop(&inf->log_rotation);
    image_gc_stop(inf);
    io_fswatch_close(inf->image_watch);
    node_agent_free(inf->node);
    events_free(inf->events);
    mem_free(inf->state_dir);
    mem_free(inf->node_ip);
    mem_free(inf->node_labels);
    mem_free(inf);
}

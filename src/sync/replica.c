/* SPDX-License-Identifier: Apache-2.0 */
/* A node's copy of what concerns it, and its outbox; see replica.h. */
#include "replica.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/encode.h"
#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "placed.h"

#define DEFAULT_GRACE_S 30

struct replica {
    struct io_loop *loop;
    struct store *store;
    char *node;
    char *node_text;    /* the Node as its agent makes it, JSON */
    struct list writes; /* of struct write: under way */
    struct map events;  /* name of a waiting Event -> its key */
    int64_t event_seq;
};

/* A submission whose end only matters when it fails. */
struct write {
    struct store_req req;
    struct list link;
    char what[160];
};

/* ---- lifetime ---- */

static const char *const resources[] = {"nodes/",
                                        "pods/",
                                        "configmaps/",
                                        "secrets/",
                                        "serviceaccounts/",
                                        "namespaces/",
                                        "persistentvolumeclaims/",
                                        "persistentvolumes/",
                                        "runtimeclasses.node.k8s.io/",
                                        "streams.data.selvedge.dev/",
                                        "tables.data.selvedge.dev/",
                                        "rules.data.selvedge.dev/"};

static int load_events(struct replica *r)
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = STR_LIT(OUTBOX_EVENT)};
    int rc = store_list(r->store, &opts, &l);
    for (size_t i = 0; rc == 0 && i < l.n; i++) {
        struct str key = store_item_key(l.items[i]), seq, name;
        int64_t n = 0;
        struct arena a;
        struct json *event = NULL;
        (void)str_rcut(key, '/', &name, &seq); /* our own key */
        if (str_i64(seq, &n) == 0 && n >= r->event_seq) {
            r->event_seq = n + 1;
        }
        arena_init(&a, 0);
        if (json_parse(&a, store_item_value(l.items[i]), NULL, &event, NULL) == 0) {
            char *copy = mem_strndup(key.p, key.n);
            void *old = NULL;
            rc = copy
                     ? map_put(&r->events, json_text(json_path(event, "metadata.name")), copy, &old)
                     : -ENOMEM;
            mem_free(rc < 0 ? copy : old);
        }
        arena_fini(&a);
    }
    store_list_fini(&l);
    return rc;
}

int replica_new(struct io_loop *loop, struct store *store, const char *node, struct replica **ret,
                struct err *err)
{
    struct replica *r = mem_zalloc(sizeof(*r));
    if (!r) {
        return err_sys(err, -ENOMEM, "open the replica");
    }
    r->loop = loop;
    r->store = store;
    r->node = mem_strdup(node);
    list_init(&r->writes);
    map_init(&r->events);
    int rc = r->node ? load_events(r) : -ENOMEM;
    if (rc < 0) {
        replica_free(r);
        return err_sys(err, rc, "open the replica");
    }
    *ret = r;
    return 0;
}

void replica_free(struct replica *r)
{
    if (!r) {
        return;
    }
    LIST_FOR_EACH_SAFE (l, &r->writes) {
        struct write *w = CONTAINER_OF(l, struct write, link);
        store_req_cancel(&w->req);
        mem_free(w);
    }
    map_fini(&r->events, mem_free);
    mem_free(r->node);
    mem_free(r->node_text);
    mem_free(r);
}

struct store *replica_store(struct replica *r)
{
    return r->store;
}

const char *replica_node(const struct replica *r)
{
    return r->node;
}

/* ---- submitting ---- */

static void write_done(struct store_req *req, int code, const char *text)
{
    struct write *w = CONTAINER_OF(req, struct write, req);
    if (code < 0) {
        log_error("replica: cannot write %s: %s", w->what, text ? text : err_text(code));
    }
    list_del(&w->link);
    mem_free(w);
}

static int submit(struct replica *r, const struct store_op *ops, size_t n, struct err *err)
{
    struct write *w = mem_zalloc(sizeof(*w));
    if (!w) {
        return err_sys(err, -ENOMEM, "write " STR_FMT, STR_ARG(ops[0].key));
    }
    w->req.done = write_done;
    (void)snprintf(w->what, sizeof(w->what), STR_FMT, STR_ARG(ops[0].key));
    int rc = store_txn(r->store, &w->req, ops, n);
    if (rc < 0) {
        mem_free(w);
        return err_set(err, rc, "write " STR_FMT ": %s", STR_ARG(ops[0].key), err_text(rc));
    }
    list_push_back(&r->writes, &w->link);
    return 0;
}

/* Prints obj with the revision that the op at index `at` of the next transaction gets. */
static struct str print_as(struct replica *r, struct json *obj, int at, struct buf *out)
{
    char rev[24];
    (void)snprintf(rev, sizeof(rev), "%lld", (long long)(store_next_rev(r->store) + at));
    json_set_str(json_ensure_object(obj, "metadata"), "resourceVersion", rev);
    (void)json_print(out, obj); /* sticky: asked by the caller */
    return buf_str(out);
}

static struct json *parse_item(const struct store_item *it, struct arena *a)
{
    struct json *j = NULL;
    if (it && json_parse(a, store_item_value(it), NULL, &j, NULL) < 0) {
        return NULL;
    }
    return j;
}

struct json *replica_get(struct replica *r, struct arena *a, const char *resource, const char *ns,
                         const char *name)
{
    const char *key = arena_printf(a, "%s/%s/%s", resource, ns ? ns : "", name);
    return key ? parse_item(store_get_latest(r->store, str_of(key)), a) : NULL;
}

/* ---- down ---- */

/* 0: there is nothing to tell of. */
static int64_t status_hash(const struct replica *r, struct str key, const struct json *status)
{
    if (placed_key(key)) {
        const struct json *entry = placed_entry(status, r->node);
        return entry ? digest_hash(entry) : 0;
    }
    return digest_owns_status(key) ? digest_hash(status) : 0;
}

void replica_digest(struct replica *r, struct buf *out)
{
    size_t count = 0;
    digest_begin(out);
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        struct store_list l = {0};
        struct store_list_opts opts = {.prefix = str_of(resources[i])};
        if (store_list(r->store, &opts, &l) < 0) {
            continue; /* the parent then sends what it has; nothing is lost */
        }
        for (size_t k = 0; k < l.n; k++) {
            struct arena a;
            arena_init(&a, 0);
            struct json *obj = l.items[k]->origin ? parse_item(l.items[k], &a) : NULL;
            if (obj) {
                struct digest_entry e = {.key = l.items[k]->bytes,
                                         .uid = json_path_cstr(obj, "metadata.uid", ""),
                                         .tag = l.items[k]->origin};
                e.status = status_hash(r, str_of(e.key), json_get(obj, "status"));
                digest_add(out, count++, &e);
            }
            arena_fini(&a);
        }
        store_list_fini(&l);
    }
    digest_end(out);
}

static struct store_op status_entry(struct arena *a, const char *object_key, const char *uid)
{
    const char *key = arena_printf(a, OUTBOX_STATUS "%s", object_key);
    const char *value = arena_printf(a, "{\"uid\":\"%s\"}", uid);
    return (struct store_op){.type = STORE_PUT,
                             .key = str_of(key),
                             .value = str_of(value),
                             .expected_rev = STORE_ANY_REV};
}

/* An object came. What the node writes itself (status) stays when it is the same object. */
static int apply_put(struct replica *r, struct arena *a, struct digest_event *e, struct err *err)
{
    struct store_item *it = store_get_latest(r->store, str_of(e->key));
    struct json *old = parse_item(it, a);
    bool same = it && cstr_eq(json_path_cstr(old, "metadata.uid", ""), e->uid);
    if (same && it->origin == e->tag) {
        return 0;
    }
    /* The Node was made here before the parent knew it: its uid is the parent's from now on. */
    bool keep = digest_owns_status(str_of(e->key)) &&
                (same || (it && it->origin == 0 && str_starts(str_of(e->key), "nodes/")));
    if (keep && json_get(old, "status")) {
        json_set(e->object, "status", json_get(old, "status"));
    }
    struct buf now = BUF_INIT, last = BUF_INIT;
    struct store_op ops[2];
    size_t n = 0;
    if (it && !same && !keep) { /* another object of that name: watchers must see the first go */
        ops[n] = (struct store_op){.type = STORE_DELETE,
                                   .key = str_of(e->key),
                                   .value = print_as(r, old, 0, &last),
                                   .expected_rev = it->rev};
        n++;
    }
    ops[n] = (struct store_op){.type = STORE_PUT,
                               .key = str_of(e->key),
                               .value = print_as(r, e->object, (int)n, &now),
                               .expected_rev = n > 0 || !it ? 0 : it->rev,
                               .origin = e->tag};
    n++;
    int rc = arena_failed(a) || buf_failed(&now) || buf_failed(&last)
                 ? err_sys(err, -ENOMEM, "mirror %s", e->key)
                 : submit(r, ops, n, err);
    buf_fini(&now);
    buf_fini(&last);
    return rc;
}

/* A pod vanished at the parent while something of it may run here: mark it, as a delete would. */
static int mark_deleted(struct replica *r, struct arena *a, struct store_item *it, struct json *pod,
                        struct err *err)
{
    struct json *meta = json_ensure_object(pod, "metadata");
    char now[TIME_TEXT_SIZE];
    struct buf text = BUF_INIT;
    int64_t grace = json_path_i64(pod, "spec.terminationGracePeriodSeconds", DEFAULT_GRACE_S);
    if (json_get(meta, "deletionTimestamp")) {
        return 0;
    }
    json_set_str(meta, "deletionTimestamp",
                 time_text((struct wall){wall_now().us + grace * 1000000}, now));
    json_set_int(meta, "deletionGracePeriodSeconds", grace);
    struct store_op op = {.type = STORE_PUT,
                          .key = store_item_key(it),
                          .value = print_as(r, pod, 0, &text),
                          .expected_rev = it->rev,
                          .origin = it->origin};
    int rc = arena_failed(a) || buf_failed(&text) ? err_sys(err, -ENOMEM, "mark a pod as deleted")
                                                  : submit(r, &op, 1, err);
    buf_fini(&text);
    return rc;
}

static int delete_item(struct replica *r, struct store_item *it, struct json *obj, struct err *err)
{
    struct buf text = BUF_INIT;
    struct store_op op = {.type = STORE_DELETE,
                          .key = store_item_key(it),
                          .value = print_as(r, obj, 0, &text),
                          .expected_rev = it->rev};
    int rc = buf_failed(&text)
                 ? err_sys(err, -ENOMEM, "delete " STR_FMT, STR_ARG(store_item_key(it)))
                 : submit(r, &op, 1, err);
    buf_fini(&text);
    return rc;
}

static int apply_delete(struct replica *r, struct arena *a, const struct digest_event *e,
                        struct err *err)
{
    struct store_item *it = store_get_latest(r->store, str_of(e->key));
    struct json *old = parse_item(it, a);
    if (!it || !old || (*e->uid && !cstr_eq(json_path_cstr(old, "metadata.uid", ""), e->uid))) {
        return 0;
    }
    if (str_starts(str_of(e->key), "nodes/")) {
        return replica_resend_node(r); /* the agent is here: the node registers itself anew */
    }
    return str_starts(str_of(e->key), "pods/") ? mark_deleted(r, a, it, old, err)
                                               : delete_item(r, it, old, err);
}

static int apply_resend(struct replica *r, struct arena *a, const struct digest_event *e,
                        struct err *err)
{
    if (!digest_owns_status(str_of(e->key)) || !store_get_latest(r->store, str_of(e->key))) {
        return 0;
    }
    struct store_op op = status_entry(a, e->key, e->uid);
    return arena_failed(a) ? err_sys(err, -ENOMEM, "queue a status") : submit(r, &op, 1, err);
}

int replica_apply(struct replica *r, struct arena *a, struct digest_event *e, struct err *err)
{
    metric_add(METRIC_SYNC_EVENTS_DOWN, 1);
    switch (e->type) {
    case DIGEST_ADDED:
    case DIGEST_MODIFIED:
        return apply_put(r, a, e, err);
    case DIGEST_DELETED:
        return apply_delete(r, a, e, err);
    case DIGEST_STATUS:
        return apply_resend(r, a, e, err);
    case DIGEST_BOOKMARK:
    case DIGEST_EVENT_NR:
        break;
    }
    return 0;
}

/* ---- up ---- */

int replica_set_status(struct replica *r, const char *resource, const char *ns, const char *name,
                       const char *uid, const struct json *status, struct err *err)
{
    struct arena a;
    struct buf text = BUF_INIT;
    arena_init(&a, 0);
    const char *key = arena_printf(&a, "%s/%s/%s", resource, ns ? ns : "", name);
    struct store_item *it = key ? store_get_latest(r->store, str_of(key)) : NULL;
    struct json *obj = parse_item(it, &a);
    int rc = 0;
    if (!obj || (uid && !cstr_eq(json_path_cstr(obj, "metadata.uid", ""), uid))) {
        rc = err_set(err, -E_NOENT, "%s is gone", key ? key : name);
    } else if (!json_equal(json_get(obj, "status"), status)) {
        json_set(obj, "status", json_clone(&a, status));
        struct store_op ops[2] = {
            {.type = STORE_PUT,
             .key = str_of(key),
             .value = print_as(r, obj, 0, &text),
             .expected_rev = it->rev,
             .origin = it->origin},
            status_entry(&a, key, json_path_cstr(obj, "metadata.uid", "")),
        };
        rc = arena_failed(&a) || buf_failed(&text) ? err_sys(err, -ENOMEM, "write a status")
                                                   : submit(r, ops, 2, err);
    }
    buf_fini(&text);
    arena_fini(&a);
    return rc;
}

int replica_resend_node(struct replica *r)
{
    struct arena a;
    arena_init(&a, 0);
    const char *key = arena_printf(&a, "nodes//%s", r->node);
    struct json *node = key ? parse_item(store_get_latest(r->store, str_of(key)), &a) : NULL;
    int rc = 0;
    if (node) {
        struct store_op op = status_entry(&a, key, json_path_cstr(node, "metadata.uid", ""));
        rc = arena_failed(&a) ? -ENOMEM : submit(r, &op, 1, NULL);
    }
    arena_fini(&a);
    return rc;
}

int replica_pod_gone(struct replica *r, const char *ns, const char *name, const char *uid,
                     struct err *err)
{
    struct arena a;
    arena_init(&a, 0);
    const char *object = arena_printf(&a, "pods/%s/%s", ns, name);
    const char *key = arena_printf(&a, OUTBOX_DELETE "%s/%s", object, uid);
    const char *value = arena_printf(&a, "{\"uid\":\"%s\"}", uid);
    struct store_op op = {.type = STORE_PUT,
                          .key = str_of(key),
                          .value = str_of(value),
                          .expected_rev = STORE_ANY_REV};
    int rc = arena_failed(&a) ? err_sys(err, -ENOMEM, "queue the end of %s", object) : 0;
    if (rc == 0 && !store_get_latest(r->store, op.key)) {
        rc = submit(r, &op, 1, err);
    }
    arena_fini(&a);
    return rc;
}

int replica_make_node(struct replica *r, struct json *node, struct err *err)
{
    struct arena a;
    struct buf text = BUF_INIT;
    char uid[UUID_TEXT_SIZE], now[TIME_TEXT_SIZE];
    arena_init(&a, 0);
    const char *key = arena_printf(&a, "nodes//%s", r->node);
    (void)json_print(&text, node); /* sticky, asked by buf_take() */
    mem_free(r->node_text);
    r->node_text = buf_take(&text, NULL);
    int rc = key && r->node_text ? 0 : err_sys(err, -ENOMEM, "make the node");
    if (rc == 0 && !store_get_latest(r->store, str_of(key))) {
        struct json *meta = json_ensure_object(node, "metadata");
        uuid_make(uid);
        json_set_str(meta, "uid", uid);
        json_set_str(meta, "creationTimestamp", time_text(wall_now(), now));
        struct store_op op = {
            .type = STORE_PUT, .key = str_of(key), .value = print_as(r, node, 0, &text)};
        rc = buf_failed(&text) ? err_sys(err, -ENOMEM, "make the node") : submit(r, &op, 1, err);
    }
    buf_fini(&text);
    arena_fini(&a);
    return rc;
}

struct json *replica_fresh_node(struct replica *r, struct arena *a)
{
    struct json *node = NULL;
    if (!r->node_text || json_parse(a, str_of(r->node_text), NULL, &node, NULL) < 0) {
        return NULL;
    }
    return node;
}

/* ---- events ---- */

static void drop_oldest_event(struct replica *r)
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = STR_LIT(OUTBOX_EVENT), .limit = 1};
    if (store_list(r->store, &opts, &l) == 0 && l.n == 1) {
        replica_ack(r, store_item_key(l.items[0]), l.items[0]->rev, STR_NULL, NULL, false);
        metric_add(METRIC_SYNC_EVENTS_DROPPED, 1);
    }
    store_list_fini(&l);
}

int replica_event(struct replica *r, const struct json *event, struct err *err)
{
    struct str name = json_text(json_path(event, "metadata.name"));
    char *key = map_get(&r->events, name);
    struct buf text = BUF_INIT;
    if (!key) {
        if (store_count(r->store, STR_LIT(OUTBOX_EVENT)) >= LIMIT_OUTBOX_EVENTS) {
            drop_oldest_event(r);
        }
        key = mem_printf(OUTBOX_EVENT "%012lld", (long long)r->event_seq++);
        if (!key || map_put(&r->events, name, key, NULL) < 0) {
            mem_free(key);
            return err_sys(err, -ENOMEM, "queue an event");
        }
    }
    (void)json_print(&text, event); /* sticky */
    struct store_op op = {.type = STORE_PUT,
                          .key = str_of(key),
                          .value = buf_str(&text),
                          .expected_rev = STORE_ANY_REV};
    int rc = buf_failed(&text) ? err_sys(err, -ENOMEM, "queue an event") : submit(r, &op, 1, err);
    buf_fini(&text);
    return rc;
}

static void forget_event(struct replica *r, struct str entry_key)
{
    const char *found = NULL;
    MAP_FOR_EACH (slot, &r->events) {
        if (str_is(entry_key, slot->value)) {
            found = slot->key;
            break;
        }
    }
    if (found) {
        mem_free(map_del(&r->events, str_of(found)));
    }
}

/* ---- acknowledgements ---- */

void replica_ack(struct replica *r, struct str entry_key, int64_t rev, struct str object_key,
                 const char *uid, bool with_object)
{
    struct arena a;
    struct buf text = BUF_INIT;
    struct store_op ops[2] = {
        {.type = STORE_DELETE, .key = entry_key, .value = STR_LIT("{}"), .expected_rev = rev}};
    size_t n = 1;
    arena_init(&a, 0);
    struct store_item *it = with_object ? store_get_latest(r->store, object_key) : NULL;
    struct json *obj = parse_item(it, &a);
    if (obj && cstr_eq(json_path_cstr(obj, "metadata.uid", ""), uid)) {
        ops[n++] = (struct store_op){.type = STORE_DELETE,
                                     .key = object_key,
                                     .value = print_as(r, obj, 1, &text),
                                     .expected_rev = it->rev};
    }
    if (submit(r, ops, n, NULL) == 0 && str_starts(entry_key, OUTBOX_EVENT)) {
        forget_event(r, entry_key);
    }
    buf_fini(&text);
    arena_fini(&a);
}

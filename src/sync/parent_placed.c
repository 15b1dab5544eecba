/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which nodes have which streams, tables and rules, and what they tell of them.
 *
 *     labels of every Node, spec of every placed object --> conn_object_changed() of the nodes
 *     reports of nodes (a route) --> kept here --> status of the object, one write for many reports
 *
 * A change of an object is matched against every Node in memory once, a change of a Node's labels
 * against every object; a change of a status only (its tag stays) touches nobody. Reports are not
 * kept on disk beyond the status that they become: when this process starts anew, nodes connect
 * anew, and whose report is not known is asked for it (parent_sync.c).
 */
#include <stdio.h>

#include "api/server.h"
#include "base/limits.h"
#include "base/log.h"
#include "parent_private.h"
#include "placed.h"

#define FLUSH_MS 250
#define FLUSH_US_PER_REPORT 2000 /* a status of very many nodes is written rarely */

struct report {
    int64_t hash;
    struct str text; /* the entry of status.nodes, JSON; in the same block */
};

struct placed {
    struct placed_where where;
    char uid[64];
    int64_t tag, generation;
    struct map reports; /* node -> struct report */
    bool dirty;         /* the status is to be written */
    struct mono written;
};

static void placed_free(void *p)
{
    struct placed *o = p;
    if (o) {
        placed_where_fini(&o->where);
        map_fini(&o->reports, mem_free);
        mem_free(o);
    }
}

static void touch(struct sync_parent *p, struct placed *o)
{
    o->dirty = true;
    if (!io_timer_active(&p->flush)) {
        io_timer_start(&p->flush, FLUSH_MS, 0);
    }
}

/* ---- reports ---- */

/* 0 = the same as before, 1 = new, or -ENOMEM. */
static int report_put(struct placed *o, const char *node, const struct json *entry)
{
    struct buf text = BUF_INIT;
    int64_t hash = digest_hash(entry);
    const struct report *old = map_get(&o->reports, str_of(node));
    if (old && old->hash == hash) {
        return 0;
    }
    void *before = NULL;
    int rc = json_print(&text, entry);
    struct report *r = rc == 0 ? mem_alloc(sizeof(*r) + buf_len(&text)) : NULL;
    if (r) {
        r->hash = hash;
        r->text = str_n((char *)(r + 1), buf_len(&text));
        memcpy(r + 1, buf_data(&text), buf_len(&text));
        rc = map_put(&o->reports, str_of(node), r, &before);
    }
    buf_fini(&text);
    mem_free(r && rc < 0 ? r : before);
    return r && rc == 0 ? 1 : -ENOMEM;
}

int64_t parent_placed_hash(struct sync_parent *p, const char *key, const char *node)
{
    const struct placed *o = map_get(&p->placed, str_of(key));
    const struct report *r = o ? map_get(&o->reports, str_of(node)) : NULL;
    return r ? r->hash : 0;
}

/* ---- the status ---- */

static struct json **entries_of(struct arena *a, const struct placed *o, size_t *ret_n)
{
    struct json **list = arena_alloc(a, (map_len(&o->reports) + 1) * sizeof(struct json *));
    size_t n = 0;
    MAP_FOR_EACH (slot, &o->reports) {
        const struct report *r = slot->value;
        if (list && json_parse(a, r->text, NULL, &list[n], NULL) == 0) {
            n++;
        }
    }
    *ret_n = n;
    return list;
}

static size_t count_matching(struct sync_parent *p, const struct placed *o)
{
    size_t n = 0;
    MAP_FOR_EACH (slot, &p->members) {
        n += placed_matches(&o->where, slot->key, slot->value);
    }
    return n;
}

struct status_write {
    struct store_req req;
};

static void status_done(struct store_req *req, int code, const char *text)
{
    if (code < 0) {
        log_warn("sync: write a status: %s, ignoring until the next report",
                 text ? text : err_text(code));
    }
    mem_free(CONTAINER_OF(req, struct status_write, req));
}

/* 0 also when there is nothing to write. */
static int write_status(struct sync_parent *p, const char *key, struct placed *o, struct arena *a)
{
    struct store_item *it = store_get_latest(p->store, str_of(key));
    struct json *object = NULL;
    char rev[24];
    size_t n;
    if (!it || json_parse(a, store_item_value(it), NULL, &object, NULL) < 0) {
        return 0; /* it just went */
    }
    struct json **entries = entries_of(a, o, &n), *before = json_get(object, "status");
    struct json *status = placed_status(a, entries, n, count_matching(p, o),
                                        json_path_i64(object, "metadata.generation", 0), before);
    if (!entries || arena_failed(a)) {
        return -ENOMEM;
    }
    if (json_equal(before, status)) {
        return 0;
    }
    struct buf text = BUF_INIT;
    struct status_write *w = mem_zalloc(sizeof(*w));
    const struct store_put_opts opts = {.expected_rev = it->rev};
    (void)snprintf(rev, sizeof(rev), "%lld", (long long)store_next_rev(p->store));
    json_set_str(json_ensure_object(object, "metadata"), "resourceVersion", rev);
    json_set(object, "status", status);
    int rc = w && json_print(&text, object) == 0 && !arena_failed(a) ? 0 : -ENOMEM;
    if (rc == 0) {
        w->req.done = status_done;
        rc = store_put(p->store, &w->req, str_of(key), buf_str(&text), &opts);
    }
    if (rc < 0) {
        mem_free(w);
    }
    buf_fini(&text);
    return rc;
}

static void flush(void *arg)
{
    struct sync_parent *p = arg;
    struct mono now = mono_now();
    bool again = false;
    MAP_FOR_EACH (slot, &p->placed) {
        struct placed *o = slot->value;
        int64_t pause = (int64_t)map_len(&o->reports) * FLUSH_US_PER_REPORT;
        struct arena a;
        if (!o->dirty) {
            continue;
        }
        if (now.us - o->written.us < pause) {
            again = true;
            continue;
        }
        arena_init(&a, 0);
        int rc = write_status(p, slot->key, o, &a);
        arena_fini(&a);
        if (rc < 0) {
            log_warn("sync: status of %s: %s, ignoring until the next report", slot->key,
                     err_text(rc));
        }
        o->written = now;
        o->dirty = false;
    }
    if (again) {
        io_timer_start(&p->flush, FLUSH_MS, 0);
    }
}

/* ---- who has what ---- */

/* A node has it from now on (item), or not any more (NULL). */
static void give(struct sync_parent *p, struct placed *o, const char *node, const char *key,
                 struct store_item *item)
{
    struct sync_node *n = map_get(&p->nodes, str_of(node));
    if (n && n->conn) {
        conn_object_changed(n->conn, key, item);
    }
    if (!item) {
        mem_free(map_del(&o->reports, str_of(node)));
    }
}

static void give_all(struct sync_parent *p, struct placed *o, const struct placed_where *before,
                     const char *key, struct store_item *item)
{
    MAP_FOR_EACH (slot, &p->members) {
        bool had = before && placed_matches(before, slot->key, slot->value);
        bool has = item && placed_matches(&o->where, slot->key, slot->value);
        if (had || has) {
            give(p, o, slot->key, key, has ? item : NULL);
        }
    }
}

static void object_gone(struct sync_parent *p, struct str key)
{
    struct placed *o = map_del(&p->placed, key);
    if (o) {
        give_all(p, o, &o->where, key.p, NULL);
        placed_free(o);
    }
}

/* What the status in the store tells is known from a run of this program before. */
static void recall(struct placed *o, const struct json *object)
{
    JSON_FOR_EACH (entry, json_path(object, "status.nodes")) {
        const char *node = json_cstr(json_get(entry, "name"), "");
        if (*node) {
            (void)report_put(o, node, entry); /* else the node is asked again */
        }
    }
}

static struct placed *object_new(struct sync_parent *p, struct str key, const struct json *object)
{
    struct placed *o = mem_zalloc(sizeof(*o));
    if (!o || map_put(&p->placed, key, o, NULL) < 0) {
        mem_free(o);
        return NULL;
    }
    map_init(&o->reports);
    (void)cstr_copy(o->uid, sizeof(o->uid), json_path_cstr(object, "metadata.uid", ""));
    recall(o, object);
    return o;
}

static void out_of_memory(struct str key)
{
    log_error("sync: out of memory, no node gets " STR_FMT " until it changes", STR_ARG(key));
}

static void object_put(struct sync_parent *p, struct store_item *item, struct arena *a)
{
    struct str key = store_item_key(item);
    struct json *object = NULL;
    struct placed_where where;
    if (json_parse(a, store_item_value(item), NULL, &object, NULL) < 0) {
        return;
    }
    struct placed *o = map_get(&p->placed, key);
    int64_t tag = digest_strip(object); /* of the whole object but its status */
    if (o && !cstr_eq(o->uid, json_path_cstr(object, "metadata.uid", ""))) {
        object_gone(p, key);
        o = NULL;
    }
    if (o && o->tag == tag) {
        return; /* its status changed: our own write */
    }
    o = o ? o : object_new(p, key, object);
    if (!o || placed_where_read(&where, object) < 0) {
        out_of_memory(key);
        return;
    }
    struct placed_where before = o->where;
    o->where = where;
    o->tag = tag;
    o->generation = json_path_i64(object, "metadata.generation", 0);
    give_all(p, o, before.selector ? &before : NULL, item->bytes, item);
    placed_where_fini(&before);
    touch(p, o);
}

void parent_placed_event(struct sync_parent *p, struct store_item *item, bool deleted)
{
    struct arena a;
    if (deleted) {
        object_gone(p, store_item_key(item));
        return;
    }
    arena_init(&a, 0);
    object_put(p, item, &a);
    arena_fini(&a);
}

/* ---- nodes ---- */

/* The labels of a Node became others; NULL: it is or was not there. */
static void labels_changed(struct sync_parent *p, const char *node, const char *before,
                           const char *now)
{
    MAP_FOR_EACH (slot, &p->placed) {
        struct placed *o = slot->value;
        bool had = before && placed_matches(&o->where, node, before);
        bool has = now && placed_matches(&o->where, node, now);
        if (had != has) {
            give(p, o, node, slot->key, has ? store_get(p->store, str_of(slot->key)) : NULL);
            touch(p, o);
        }
    }
}

static char *read_labels(struct store_item *item)
{
    struct arena a;
    struct json *node = NULL;
    arena_init(&a, 0);
    (void)json_parse(&a, store_item_value(item), NULL, &node, NULL); /* NULL has no labels */
    char *labels = placed_labels(json_path(node, "metadata.labels"));
    arena_fini(&a);
    return labels;
}

void parent_placed_node(struct sync_parent *p, struct str name, struct store_item *item)
{
    char *now = item ? read_labels(item) : NULL;
    void *before = NULL;
    if (!item) {
        before = map_del(&p->members, name);
    } else if (!now || map_put(&p->members, name, now, &before) < 0) {
        log_error("sync: out of memory, labels of node " STR_FMT " are not known", STR_ARG(name));
        mem_free(now);
        return;
    }
    if (!before || !now || !placed_labels_equal(before, now)) {
        labels_changed(p, name.p, before, now);
    }
    mem_free(before);
}

void parent_placed_each(struct sync_parent *p, const char *node,
                        void (*fn)(void *arg, const char *key, struct store_item *item), void *arg)
{
    const char *labels = map_get(&p->members, str_of(node));
    MAP_FOR_EACH (slot, &p->placed) {
        const struct placed *o = slot->value;
        struct store_item *item = store_get(p->store, str_of(slot->key));
        if (item && labels && placed_matches(&o->where, node, labels)) {
            fn(arg, slot->key, item);
        }
    }
}

/* ---- the route by which nodes tell ---- */

static int take_report(struct sync_parent *p, const char *node, const struct json *body,
                       struct arena *a, struct err *err)
{
    const char *key = json_cstr(json_get(body, "key"), "");
    struct placed *o = map_get(&p->placed, str_of(key));
    const char *labels = map_get(&p->members, str_of(node));
    if (!o || !labels || !placed_matches(&o->where, node, labels) ||
        !cstr_eq(o->uid, json_cstr(json_get(body, "uid"), ""))) {
        return err_set(err, -E_NOENT, "'%.200s' is not on this node any more", key);
    }
    struct json *entry = placed_clean(a, json_get(body, "entry"), node, err);
    if (!entry) {
        return err->code;
    }
    int rc = report_put(o, node, entry);
    if (rc > 0) {
        touch(p, o);
    }
    return rc < 0 ? err_sys(err, rc, "keep a report") : 0;
}

struct report_call {
    struct sync_parent *parent;
    char node[256];
};

static void on_report(struct http_exchange *x, struct str text, void *arg)
{
    struct report_call *c = arg;
    struct arena *a = http_exchange_arena(x);
    struct json *body = NULL;
    struct err err;
    int rc = json_parse(a, text, NULL, &body, &err);
    parent_index_drain(c->parent); /* a Node that just got its labels is known */
    rc = rc < 0 ? rc : take_report(c->parent, c->node, body, a, &err);
    if (rc < 0) {
        api_reply_error(x, rc, err.text);
    } else {
        api_reply_json(x, 200, json_object(a));
    }
}

void parent_report_route(void *arg, struct http_exchange *x, const struct api_user *user)
{
    const char *name = api_user_node(user);
    struct report_call *c = arena_zalloc(http_exchange_arena(x), sizeof(*c));
    if (!c || !name || !cstr_copy(c->node, sizeof(c->node), name)) {
        api_reply_error(x, c ? -E_ACCESS : -E_NOMEM, c ? "only nodes report" : "out of memory");
        return;
    }
    c->parent = arg;
    http_exchange_collect_body(x, LIMIT_PLACED_REPORT, on_report, c);
}

/* ---- lifetime ---- */

void parent_placed_open(struct sync_parent *p)
{
    map_init(&p->placed);
    map_init(&p->members);
    io_timer_init(p->loop, &p->flush, flush, p);
}

void parent_placed_forget(struct sync_parent *p)
{
    map_fini(&p->placed, placed_free);
    map_fini(&p->members, mem_free);
}

void parent_placed_close(struct sync_parent *p)
{
    io_timer_stop(&p->flush);
    parent_placed_forget(p);
}

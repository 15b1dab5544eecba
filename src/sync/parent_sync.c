/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sync stream: what a node has, what it should have, and the queue of what differs.
 *
 *     store events -> want.item replaced, want moved to the end of the queue -> pump() -> lines
 *
 * A want is one object that concerns the node. It waits in the queue at most once, with its newest
 * state, so a slow link costs memory for the objects of its node and no more, and skips what is out
 * of date. Invariants: 1. what a pod refers to is queued before the pod, and leaves after it. 2. A
 * line is only written for something that the node does not have (tag and uid differ). 3. Nothing
 * is freed while the index calls in: the pump runs as a task of its own.
 */
#include <stdio.h>

#include "api/status.h"
#include "base/limits.h"
#include "base/log.h"
#include "parent_private.h"
#include "placed.h"

#define QUEUE_HIGH ((ssize_t)256 << 10)
#define RENEW_MIN_US 200000

struct ref_watch {
    struct list wants; /* struct want.ref_link */
};

struct want {
    struct list queue_link, ref_link;
    struct conn *conn;
    struct store_item *item; /* newest state; NULL: it does not exist */
    int64_t rev;             /* newest revision seen */
    int refs;          /* how many pods need it; 1 for what is the node's own; 0: not wanted */
    bool has;          /* the node has it: as uid and tag say */
    bool wants_status; /* the node must send its status again */
    char uid[64];
    int64_t tag;
    char **needs; /* of a pod: keys, NULL-terminated, one heap block each */
    char key[];
};

enum { CONN_READING, CONN_LIVE };

struct conn {
    struct sync_parent *parent;
    struct sync_node *node;
    struct http_exchange *x; /* NULL: over */
    struct list link, queue;
    struct map wants;
    struct buf in; /* bytes of the digest line */
    struct io_task pump;
    int state;
    bool bookmark_due, broken;
    int echoes; /* heartbeats to answer */
    struct mono renewed;
};

static void conn_free(struct conn *c);

/* ---- wants ---- */

static struct want *want_get(struct conn *c, const char *key)
{
    struct want *w = map_get(&c->wants, str_of(key));
    if (w) {
        return w;
    }
    size_t size = strlen(key) + 1;
    w = mem_zalloc(sizeof(*w) + size);
    if (!w || map_put(&c->wants, str_of(key), w, NULL) < 0) {
        mem_free(w);
        c->broken = true;
        return NULL;
    }
    w->conn = c;
    memcpy(w->key, key, size);
    list_init(&w->queue_link);
    list_init(&w->ref_link);
    c->parent->n_wants++;
    return w;
}

static void needs_free(char **needs)
{
    for (size_t i = 0; needs && needs[i]; i++) {
        mem_free(needs[i]);
    }
    mem_free(needs);
}

static void ref_unwatch(struct want *w)
{
    if (list_empty(&w->ref_link)) {
        return;
    }
    list_del(&w->ref_link);
    struct ref_watch *rw = map_get(&w->conn->parent->by_ref, str_of(w->key));
    if (rw && list_empty(&rw->wants)) {
        mem_free(map_del(&w->conn->parent->by_ref, str_of(w->key)));
    }
}

static void want_free(struct want *w)
{
    ref_unwatch(w);
    list_del(&w->queue_link);
    store_item_unref(w->item);
    needs_free(w->needs);
    w->conn->parent->n_wants--;
    mem_free(w);
}

static void queue(struct want *w)
{
    list_del(&w->queue_link);
    list_push_back(&w->conn->queue, &w->queue_link);
    loop_defer(w->conn->parent->loop, &w->conn->pump);
}

static void want_set(struct want *w, struct store_item *item, int64_t rev)
{
    if (rev < w->rev) {
        return; /* an older event of a state that was read from the store already */
    }
    store_item_unref(w->item);
    w->item = item ? store_item_ref(item) : NULL;
    w->rev = rev;
}

/* ---- references of pods ---- */

static void chain(struct want *w);

static void ref_add(struct conn *c, const char *key)
{
    struct want *w = want_get(c, key);
    if (!w || w->refs++ > 0) {
        return;
    }
    struct ref_watch *rw = map_get(&c->parent->by_ref, str_of(key));
    if (!rw) {
        rw = mem_zalloc(sizeof(*rw));
        if (!rw || map_put(&c->parent->by_ref, str_of(key), rw, NULL) < 0) {
            mem_free(rw);
            c->broken = true;
            return;
        }
        list_init(&rw->wants);
    }
    list_push_back(&rw->wants, &w->ref_link);
    struct store_item *item = store_get(c->parent->store, str_of(key));
    want_set(w, item, item ? item->rev : 0);
    chain(w);
    queue(w);
}

static void ref_drop(struct conn *c, const char *key)
{
    struct want *w = map_get(&c->wants, str_of(key));
    if (!w || --w->refs > 0) {
        return;
    }
    chain(w);
    ref_unwatch(w);
    queue(w); /* the pump sends DELETED and frees it */
}

/* The volume of a claim, as a list of needs; NULL when there is none or the claim is not wanted. */
static char **claim_needs(struct want *w)
{
    struct store_item *item = store_get(w->conn->parent->store, str_of(w->key));
    struct arena a;
    struct json *claim = NULL;
    char **needs = NULL;
    if (!item || w->refs == 0) {
        return NULL;
    }
    arena_init(&a, 0);
    (void)json_parse(&a, store_item_value(item), NULL, &claim, NULL); /* NULL has no volume */
    const char *key = digest_claim_volume(&a, claim);
    if (key && (needs = mem_zalloc(2 * sizeof(*needs))) && !(needs[0] = mem_strdup(key))) {
        mem_free(TAKE_PTR(needs));
    }
    w->conn->broken |= key && !needs;
    arena_fini(&a);
    return needs;
}

/* Who needs a claim needs its volume, too. */
static void chain(struct want *w)
{
    if (!str_starts(str_of(w->key), "persistentvolumeclaims/")) {
        return;
    }
    char **old = w->needs;
    w->needs = claim_needs(w);
    if (w->needs) {
        ref_add(w->conn, w->needs[0]);
    }
    if (old) {
        ref_drop(w->conn, old[0]);
    }
    needs_free(old);
}

struct gather {
    char **keys;
    size_t n;
    bool failed;
};

static void gather_ref(void *arg, const char *key)
{
    struct gather *g = arg;
    char **keys = mem_realloc(g->keys, (g->n + 2) * sizeof(*keys));
    if (keys) {
        g->keys = keys;
        keys[g->n] = mem_strdup(key);
        keys[g->n + 1] = NULL;
    }
    if (!keys || !keys[g->n]) {
        g->failed = true;
        return;
    }
    g->n++;
}

static char **pod_needs(struct conn *c, struct store_item *item)
{
    struct gather g = {0};
    struct arena a;
    struct json *pod = NULL;
    arena_init(&a, 0);
    if (json_parse(&a, store_item_value(item), NULL, &pod, NULL) == 0) {
        digest_pod_refs(&a, pod, gather_ref, &g);
    }
    c->broken |= g.failed || arena_failed(&a);
    arena_fini(&a);
    return g.keys;
}

/* ---- changes ---- */

void conn_pod_changed(struct conn *c, const char *key, struct store_item *item)
{
    struct want *w = c->state == CONN_LIVE ? want_get(c, key) : NULL;
    if (!w) {
        return;
    }
    char **needs = item ? pod_needs(c, item) : NULL;
    for (size_t i = 0; needs && needs[i]; i++) {
        ref_add(c, needs[i]);
    }
    w->refs = item ? 1 : 0;
    want_set(w, item, item ? item->rev : w->rev);
    queue(w);
    for (size_t i = 0; w->needs && w->needs[i]; i++) {
        ref_drop(c, w->needs[i]);
    }
    needs_free(w->needs);
    w->needs = needs;
    loop_defer(c->parent->loop, &c->pump);
}

void conn_object_changed(struct conn *c, const char *key, struct store_item *item)
{
    struct want *w = c->state == CONN_LIVE ? want_get(c, key) : NULL;
    if (w) {
        w->refs = item ? 1 : 0;
        want_set(w, item, item ? item->rev : w->rev);
        queue(w);
    }
}

void conn_ref_changed(struct sync_parent *p, const char *key, struct store_item *item, int64_t rev)
{
    struct ref_watch *rw = map_get(&p->by_ref, str_of(key));
    if (rw) {
        LIST_FOR_EACH (l, &rw->wants) {
            struct want *w = CONTAINER_OF(l, struct want, ref_link);
            if (rev > w->rev) {
                want_set(w, item, rev);
                chain(w);
                queue(w);
            }
        }
    }
}

/* ---- lines ---- */

/* What the node gets of the object: without its own status, unless the object is new to it. */
static void make_event(struct want *w, struct json *obj, struct digest_event *e)
{
    const char *uid = json_path_cstr(obj, "metadata.uid", "");
    bool owns_status = digest_owns_status(str_of(w->key));
    bool known = w->has && cstr_eq(uid, w->uid);
    int64_t hash = digest_strip(obj);
    *e = (struct digest_event){.type = known ? DIGEST_MODIFIED : DIGEST_ADDED,
                               .key = w->key,
                               .uid = uid,
                               .tag = owns_status ? hash : w->item->rev,
                               .object = obj};
    if (owns_status && (known || placed_key(str_of(w->key)))) {
        (void)json_del(obj, "status"); /* absent is fine */
    }
}

static void line_put(struct want *w, struct buf *out)
{
    struct arena a;
    struct json *obj = NULL;
    struct digest_event e;
    arena_init(&a, 0);
    if (json_parse(&a, store_item_value(w->item), NULL, &obj, NULL) == 0) {
        make_event(w, obj, &e);
        bool same = w->has && e.tag == w->tag && e.type == DIGEST_MODIFIED;
        if (!same) {
            (void)digest_event_print(out, &e); /* sticky */
            w->has = true;
            w->tag = e.tag;
            (void)cstr_copy(w->uid, sizeof(w->uid), e.uid);
        }
    }
    arena_fini(&a);
}

/* Writes the line of a want, if there is anything to tell. */
static void line_of(struct want *w, struct buf *out)
{
    struct digest_event e = {.key = w->key, .uid = w->uid};
    if (w->item && w->refs > 0) {
        line_put(w, out);
    } else if (w->has) {
        e.type = DIGEST_DELETED;
        (void)digest_event_print(out, &e); /* sticky */
        w->has = false;
    }
    if (w->wants_status && w->has) {
        e.type = DIGEST_STATUS;
        (void)digest_event_print(out, &e);
    }
    w->wants_status = false;
}

static void pump(void *arg)
{
    struct conn *c = arg;
    struct buf out = BUF_INIT;
    if (c->broken || !c->x) {
        conn_abort(c);
        return;
    }
    ssize_t queued = http_reply_queued(c->x);
    while (!list_empty(&c->queue) && queued >= 0 && queued + (ssize_t)buf_len(&out) < QUEUE_HIGH) {
        struct want *w = CONTAINER_OF(list_pop_front(&c->queue), struct want, queue_link);
        line_of(w, &out);
        if (w->refs == 0) {
            (void)map_del(&c->wants, str_of(w->key)); /* it is w */
            want_free(w);
        } else {
            store_item_unref(w->item); /* told: the store holds the newest state */
            w->item = NULL;
        }
    }
    if (c->bookmark_due && list_empty(&c->queue)) {
        (void)digest_event_print(&out, &(struct digest_event){.type = DIGEST_BOOKMARK});
        c->bookmark_due = false;
    }
    for (; c->echoes > 0; c->echoes--) {
        (void)buf_putc(&out, '\n');
    }
    bool failed =
        buf_failed(&out) || (buf_len(&out) > 0 && http_reply_write(c->x, buf_str(&out)) < 0);
    buf_fini(&out);
    if (failed) {
        conn_abort(c);
    }
}

/* ---- beginning ---- */

static void take_digest(struct conn *c, struct arena *a, struct digest_entry *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct want *w = want_get(c, list[i].key);
        if (!w) {
            return;
        }
        w->has = true;
        w->tag = list[i].tag;
        (void)cstr_copy(w->uid, sizeof(w->uid), list[i].uid);
        if (placed_key(str_of(list[i].key))) {
            w->wants_status =
                list[i].status &&
                list[i].status != parent_placed_hash(c->parent, list[i].key, c->node->name);
            continue;
        }
        struct store_item *it =
            list[i].status ? store_get(c->parent->store, str_of(list[i].key)) : NULL;
        struct json *obj = NULL;
        if (it && json_parse(a, store_item_value(it), NULL, &obj, NULL) == 0) {
            w->wants_status = digest_hash(json_get(obj, "status")) != list[i].status;
        }
    }
}

static void want_placed(void *arg, const char *key, struct store_item *item)
{
    conn_object_changed(arg, key, item);
}

static void want_everything(struct conn *c)
{
    struct sync_parent *p = c->parent;
    char node_key[300];
    (void)snprintf(node_key, sizeof(node_key), "nodes//%s", c->node->name);
    conn_object_changed(c, node_key, store_get(p->store, str_of(node_key)));
    parent_placed_each(p, c->node->name, want_placed, c);
    MAP_FOR_EACH (slot, &c->node->pods) {
        struct store_item *item = store_get(p->store, str_of(slot->key));
        if (item) {
            conn_pod_changed(c, slot->key, item);
        }
    }
    for (int pods = 1; pods >= 0; pods--) { /* what nobody wants any more: pods before the rest */
        MAP_FOR_EACH (slot, &c->wants) {
            struct want *w = slot->value;
            if (w->refs == 0 && str_starts(str_of(w->key), "pods/") == (pods == 1)) {
                queue(w);
            }
        }
    }
}

static int begin(struct conn *c, struct str line)
{
    static const struct http_header headers[] = {
        {STR_LIT("content-type"), STR_LIT("application/json")}};
    struct arena a;
    struct digest_entry *list = NULL;
    size_t n = 0;
    struct err err;
    arena_init(&a, 0);
    int rc = digest_parse(&a, line, &list, &n, &err);
    if (rc < 0) {
        struct http_exchange *x = TAKE_PTR(c->x);
        api_reply_error(x, rc, err.text);
    } else {
        rc = http_reply_start(c->x, 200, headers, ARRAY_SIZE(headers));
    }
    if (rc == 0) {
        parent_index_drain(c->parent);
        c->state = CONN_LIVE;
        take_digest(c, &a, list, n);
        want_everything(c);
        c->bookmark_due = true;
        loop_defer(c->parent->loop, &c->pump);
        parent_lease_renew(c->parent, c->node->name);
        log_info("node %s is connected, it had %zu objects", c->node->name, n);
    }
    arena_fini(&a);
    return rc;
}

static void heartbeats(struct conn *c, struct str data)
{
    for (size_t i = 0; i < data.n; i++) {
        c->echoes += data.p[i] == '\n';
    }
    if (c->echoes > 0) {
        c->echoes = 1; /* one answer tells as much as many */
        struct mono now = mono_now();
        if (now.us - c->renewed.us >= RENEW_MIN_US) {
            c->renewed = now;
            parent_lease_renew(c->parent, c->node->name);
        }
        loop_defer(c->parent->loop, &c->pump);
    }
}

static void on_body(struct http_exchange *x, struct str data, void *arg)
{
    struct conn *c = arg;
    (void)x;
    if (data.n == 0) {
        conn_abort(c); /* the node ended its side */
        return;
    }
    if (c->state == CONN_LIVE) {
        heartbeats(c, data);
        return;
    }
    const char *end = memchr(data.p, '\n', data.n);
    size_t take = end ? (size_t)(end - data.p) : data.n;
    if (buf_append(&c->in, data.p, take) < 0) {
        conn_abort(c);
        return;
    }
    if (end) {
        int rc = begin(c, buf_str(&c->in));
        buf_fini(&c->in);
        if (rc < 0) {
            conn_abort(c);
        }
    }
}

static void on_close(void *arg)
{
    struct conn *c = arg;
    c->x = NULL;
    log_info("node %s is gone", c->node->name);
    conn_free(c);
}

static void on_drain(void *arg)
{
    struct conn *c = arg;
    loop_defer(c->parent->loop, &c->pump);
}

static void conn_free(struct conn *c)
{
    struct sync_node *n = c->node;
    io_task_cancel(&c->pump);
    MAP_FOR_EACH (slot, &c->wants) {
        want_free(slot->value);
    }
    map_fini(&c->wants, NULL);
    buf_fini(&c->in);
    list_del(&c->link);
    if (n->conn == c) {
        n->conn = NULL;
        parent_node_release(n);
    }
    mem_free(c);
}

void conn_abort(struct conn *c)
{
    struct http_exchange *x = TAKE_PTR(c->x);
    conn_free(c);
    if (x) {
        http_exchange_abort(x);
    }
}

void conn_abort_all(struct sync_parent *p)
{
    while (!list_empty(&p->conns)) {
        conn_abort(CONTAINER_OF(p->conns.next, struct conn, link));
    }
}

void conn_route(void *arg, struct http_exchange *x, const struct api_user *user)
{
    struct sync_parent *p = arg;
    const char *name = api_user_node(user);
    if (!name) {
        api_reply_error(x, -E_ACCESS, "only nodes have a sync stream");
        return;
    }
    struct sync_node *n = parent_node(p, name);
    struct conn *c = n ? mem_zalloc(sizeof(*c)) : NULL;
    if (!c) {
        api_reply_error(x, -E_NOMEM, "out of memory");
        return;
    }
    struct conn *old = n->conn;
    c->parent = p;
    c->node = n;
    c->x = x;
    map_init(&c->wants);
    list_init(&c->queue);
    buf_init(&c->in, LIMIT_SYNC_LINE);
    io_task_init(&c->pump, pump, c);
    list_push_back(&p->conns, &c->link);
    n->conn = c;
    if (old) {
        conn_abort(old);
    }
    http_exchange_on_close(x, on_close, c);
    http_exchange_on_drain(x, on_drain, c);
    http_exchange_read_body(x, on_body, c);
}

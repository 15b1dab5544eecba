/* SPDX-License-Identifier: Apache-2.0 */
/* Empties the outbox to the parent; see lane.h. */
#include "lane.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "placed.h"

#define IN_FLIGHT_MAX 8
#define SCAN_MAX 64
#define RETRY_MS 2000
#define RETRY_FORBIDDEN_MS 30000
#define ANSWER_MS 20000
#define ANSWER_BYTES ((size_t)4 << 20)

enum send_type { SEND_STATUS, SEND_DELETE, SEND_EVENT };

struct send {
    struct lane *lane;
    struct list link;
    enum send_type type;
    int64_t rev; /* of the entry as it was sent */
    bool create; /* a POST: the object was not there */
    struct http_fetch *fetch;
    char uid[64];
    char *object_key; /* within key; "" for events */
    char key[];       /* of the entry */
};

struct lane {
    struct io_loop *loop;
    struct replica *replica;
    struct http_client *client; /* NULL: closed */
    struct store_watch *watch;
    struct list sends;
    size_t n_sends;
    struct io_task pump;
    struct io_timer retry;
};

static void pump(void *arg);
static int send_start(struct send *s);

/* ---- requests ---- */

/* "pods/ns/name" -> "/api/v1/namespaces/ns/pods/name"; only core kinds have a lane. */
static char *object_path(struct arena *a, const char *key, const char *suffix)
{
    struct str resource, ns, name;
    (void)str_cut(str_of(key), '/', &resource, &ns); /* keys are our own */
    (void)str_cut(ns, '/', &ns, &name);
    return ns.n ? arena_printf(a, "/api/v1/namespaces/" STR_FMT "/" STR_FMT "/" STR_FMT "%s",
                               STR_ARG(ns), STR_ARG(resource), STR_ARG(name), suffix)
                : arena_printf(a, "/api/v1/" STR_FMT "/" STR_FMT "%s", STR_ARG(resource),
                               STR_ARG(name), suffix);
}

struct request {
    const char *method, *path, *type;
    struct buf body;
};

static struct json *parse_value(struct arena *a, const struct store_item *it)
{
    struct json *j = NULL;
    return it && json_parse(a, store_item_value(it), NULL, &j, NULL) == 0 ? j : NULL;
}

static bool is_node(const struct send *s)
{
    return str_starts(str_of(s->object_key), "nodes/");
}

/* A merge patch leaves absent members alone, so what may go away is named. */
static struct json *status_patch(struct arena *a, const struct send *s, const struct json *object)
{
    static const char *const optional[] = {"resize", "reason", "message"};
    struct json *patch = json_object(a), *status = json_clone(a, json_get(object, "status"));
    for (size_t i = 0; !is_node(s) && i < ARRAY_SIZE(optional); i++) {
        if (status && !json_get(status, optional[i])) {
            json_set(status, optional[i], json_null(a));
        }
    }
    if (!is_node(s)) {
        json_set_str(json_ensure_object(patch, "metadata"), "uid", s->uid);
    }
    json_set(patch, "status", status ? status : json_object(a));
    return patch;
}

/* Of a stream, table or rule goes up what this node tells: the parent puts the status together. */
static int make_report(struct send *s, struct arena *a, const struct json *object,
                       struct request *q)
{
    const struct json *entry =
        placed_entry(json_get(object, "status"), replica_node(s->lane->replica));
    struct json *body = json_object(a);
    if (!entry) {
        return -E_NOENT;
    }
    q->method = "POST";
    q->path = "/selvedge/v1/report";
    q->type = "application/json";
    json_set_str(body, "key", s->object_key);
    json_set_str(body, "uid", s->uid);
    json_set(body, "entry", json_clone(a, entry));
    return json_print(&q->body, body);
}

static int make_status(struct send *s, struct arena *a, struct request *q)
{
    struct store *store = replica_store(s->lane->replica);
    struct json *object = parse_value(a, store_get(store, str_of(s->object_key)));
    if (!object) {
        return -E_NOENT;
    }
    if (placed_key(str_of(s->object_key))) {
        return make_report(s, a, object, q);
    }
    q->method = s->create ? "POST" : "PATCH";
    q->path = s->create ? "/api/v1/nodes" : object_path(a, s->object_key, "/status");
    q->type = s->create ? "application/json" : "application/merge-patch+json";
    /* A parent that does not know the node gets a fresh one: labels, taints and the cordon of an
     * earlier one were the parent's. */
    struct json *body =
        s->create ? replica_fresh_node(s->lane->replica, a) : status_patch(a, s, object);
    if (!body) {
        return -E_NOENT;
    }
    return json_print(&q->body, body);
}

static int make_delete(struct send *s, struct arena *a, struct request *q)
{
    q->method = "DELETE";
    q->path = object_path(a, s->object_key, "");
    q->type = "application/json";
    return buf_printf(&q->body,
                      "{\"apiVersion\":\"v1\",\"kind\":\"DeleteOptions\",\"gracePeriodSeconds\":0,"
                      "\"preconditions\":{\"uid\":\"%s\"}}",
                      s->uid);
}

static int make_event(struct send *s, struct arena *a, struct request *q)
{
    struct json *event = parse_value(a, store_get(replica_store(s->lane->replica), str_of(s->key)));
    const char *ns = json_path_cstr(event, "metadata.namespace", "default");
    if (!event) {
        return -E_NOENT;
    }
    if (json_path_i64(event, "count", 1) <= 1) {
        s->create = true;
    }
    if (s->create) {
        q->method = "POST";
        q->path = arena_printf(a, "/api/v1/namespaces/%s/events", ns);
        q->type = "application/json";
        return json_print(&q->body, event);
    }
    struct json *patch = json_object(a);
    json_set(patch, "count", json_get(event, "count"));
    json_set(patch, "lastTimestamp", json_get(event, "lastTimestamp"));
    json_set(patch, "message", json_get(event, "message"));
    q->method = "PATCH";
    q->path = arena_printf(a, "/api/v1/namespaces/%s/events/%s", ns,
                           json_path_cstr(event, "metadata.name", ""));
    q->type = "application/merge-patch+json";
    return json_print(&q->body, patch);
}

/* ---- answers ---- */

static void send_end(struct send *s)
{
    http_fetch_cancel(s->fetch);
    list_del(&s->link);
    s->lane->n_sends--;
    mem_free(s);
}

static void retry_later(struct lane *l, int64_t ms)
{
    if (!io_timer_active(&l->retry)) {
        io_timer_start(&l->retry, ms, 0);
    }
}

static void acknowledge(struct send *s)
{
    metric_add(METRIC_SYNC_WRITES_UP, 1);
    replica_ack(s->lane->replica, str_of(s->key), s->rev, str_of(s->object_key), s->uid,
                s->type == SEND_DELETE);
}

enum verdict { VERDICT_DONE, VERDICT_CREATE, VERDICT_PATCH, VERDICT_RETRY, VERDICT_FORBIDDEN };

/* What an answer means for the entry. Pure. */
static enum verdict judge(const struct send *s, int status, struct str body)
{
    if (status >= 200 && status < 300) {
        /* A created Node has no status yet. */
        return s->type == SEND_STATUS && s->create ? VERDICT_PATCH : VERDICT_DONE;
    }
    bool about_uid =
        body.p && body.n && (memmem(body.p, body.n, "UID", 3) || memmem(body.p, body.n, "uid", 3));
    switch (status) {
    case 404:
        if (!s->create && (s->type == SEND_EVENT || (s->type == SEND_STATUS && is_node(s)))) {
            return VERDICT_CREATE;
        }
        return VERDICT_DONE;
    case 409:
        if (s->create) {
            return VERDICT_PATCH;
        }
        return s->type == SEND_STATUS && !about_uid ? VERDICT_RETRY : VERDICT_DONE;
    case 403: /* a namespace that ends; a pod of that name that is another node's by now */
        return is_node(s) ? VERDICT_FORBIDDEN : VERDICT_DONE;
    case 401:
        return VERDICT_FORBIDDEN;
    case 400:
    case 405:
    case 413:
    case 415:
    case 422:
        return VERDICT_DONE; /* it will not be better the next time */
    default:
        return VERDICT_RETRY;
    }
}

static void answered(void *arg, int code, const struct http_response *resp, struct str body,
                     const struct err *err)
{
    struct send *s = arg;
    struct lane *l = s->lane;
    s->fetch = NULL;
    if (code < 0) {
        log_debug("lane: %s: %s", s->key, err->text);
        send_end(s);
        retry_later(l, RETRY_MS);
        return;
    }
    enum verdict v = judge(s, resp->status, body);
    bool expected =
        resp->status == 404 || resp->status == 409 || (resp->status == 403 && v == VERDICT_DONE);
    if (resp->status >= 400 && !expected) {
        log_warn("the parent answered %d to %s: %.*s%s", resp->status, s->key,
                 (int)MIN_OF(body.n, (size_t)300), body.p ? body.p : "",
                 v == VERDICT_DONE ? ", ignoring" : "");
    }
    switch (v) {
    case VERDICT_DONE:
        acknowledge(s);
        send_end(s);
        loop_defer(l->loop, &l->pump);
        return;
    case VERDICT_CREATE:
    case VERDICT_PATCH:
        s->create = v == VERDICT_CREATE;
        if (s->type == SEND_EVENT && v == VERDICT_PATCH) {
            acknowledge(s); /* it is there already: an answer was lost */
            send_end(s);
            return;
        }
        if (send_start(s) < 0) {
            send_end(s);
            retry_later(l, RETRY_MS);
        }
        return;
    case VERDICT_RETRY:
    case VERDICT_FORBIDDEN:
        send_end(s);
        retry_later(l, v == VERDICT_RETRY ? RETRY_MS : RETRY_FORBIDDEN_MS);
        return;
    }
}

static int send_start(struct send *s)
{
    struct arena a;
    struct request q = {.body = BUF_INIT};
    arena_init(&a, 0);
    int rc = s->type == SEND_STATUS   ? make_status(s, &a, &q)
             : s->type == SEND_DELETE ? make_delete(s, &a, &q)
                                      : make_event(s, &a, &q);
    if (rc == 0 && (arena_failed(&a) || buf_failed(&q.body))) {
        rc = -ENOMEM;
    }
    if (rc == 0) {
        struct http_header headers[] = {{STR_LIT("content-type"), str_of(q.type)},
                                        {STR_LIT("accept"), STR_LIT("application/json")}};
        struct http_call_request req = {.method = q.method,
                                        .path = q.path,
                                        .headers = headers,
                                        .n_headers = ARRAY_SIZE(headers),
                                        .body = buf_str(&q.body),
                                        .timeout_ms = ANSWER_MS};
        s->fetch = http_fetch(s->lane->client, &req, ANSWER_BYTES, answered, s);
        rc = s->fetch ? 0 : -ENOMEM;
    }
    buf_fini(&q.body);
    arena_fini(&a);
    return rc;
}

/* ---- choosing ---- */

static bool under_way(struct lane *l, struct str key)
{
    LIST_FOR_EACH (at, &l->sends) {
        if (str_is(key, CONTAINER_OF(at, struct send, link)->key)) {
            return true;
        }
    }
    return false;
}

/* A deletion waits for the status of the same object. */
static bool status_waits(struct lane *l, const char *object_key)
{
    struct arena a;
    arena_init(&a, 0);
    const char *key = arena_printf(&a, OUTBOX_STATUS "%s", object_key);
    bool waits = key && store_get_latest(replica_store(l->replica), str_of(key));
    arena_fini(&a);
    return waits;
}

static struct send *send_new(struct lane *l, enum send_type type, const struct store_item *it)
{
    struct str key = store_item_key(it);
    struct send *s = mem_zalloc(sizeof(*s) + key.n * 2 + 2);
    if (!s) {
        return NULL;
    }
    s->lane = l;
    s->type = type;
    s->rev = it->rev;
    memcpy(s->key, key.p, key.n);
    s->object_key = s->key + key.n + 1;
    list_init(&s->link);
    if (type != SEND_EVENT) {
        struct arena a;
        struct str rest = str_n(key.p + strlen(OUTBOX_STATUS), key.n - strlen(OUTBOX_STATUS));
        arena_init(&a, 0);
        (void)cstr_copy(s->uid, sizeof(s->uid), json_path_cstr(parse_value(&a, it), "uid", ""));
        arena_fini(&a);
        if (type == SEND_DELETE) {
            (void)str_rcut(rest, '/', &rest, &(struct str){0}); /* our own key: .../uid */
        }
        memcpy(s->object_key, rest.p, rest.n);
    }
    return s;
}

static void launch(struct lane *l, enum send_type type, const struct store_item *it)
{
    struct send *s = send_new(l, type, it);
    if (!s) {
        retry_later(l, RETRY_MS);
        return;
    }
    list_push_back(&l->sends, &s->link);
    l->n_sends++;
    if (type == SEND_DELETE && status_waits(l, s->object_key)) {
        send_end(s);
        return;
    }
    int rc = send_start(s);
    if (rc == -E_NOENT) { /* the object went away here meanwhile: nothing to tell */
        acknowledge(s);
        send_end(s);
    } else if (rc < 0) {
        send_end(s);
        retry_later(l, RETRY_MS);
    }
}

static void scan(struct lane *l, const char *prefix, enum send_type type, size_t limit)
{
    struct store_list list = {0};
    struct store_list_opts opts = {.prefix = str_of(prefix), .limit = limit};
    if (l->n_sends >= IN_FLIGHT_MAX || store_list(replica_store(l->replica), &opts, &list) < 0) {
        return; /* whatever ends next scans again */
    }
    for (size_t i = 0; i < list.n && l->n_sends < IN_FLIGHT_MAX; i++) {
        struct str key = store_item_key(list.items[i]);
        struct store_item *latest = store_get_latest(replica_store(l->replica), key);
        /* A change of the entry (its removal, most often) is about to be published and wakes us. */
        if (latest && latest->rev == list.items[i]->rev && !under_way(l, key)) {
            launch(l, type, list.items[i]);
            if (type == SEND_EVENT) {
                break;
            }
        }
    }
    store_list_fini(&list);
}

/* One at a time, so that they keep their order. */
static void scan_events(struct lane *l)
{
    LIST_FOR_EACH (at, &l->sends) {
        if (CONTAINER_OF(at, struct send, link)->type == SEND_EVENT) {
            return;
        }
    }
    scan(l, OUTBOX_EVENT, SEND_EVENT, SCAN_MAX);
}

static void wake(struct store_watch *w, void *arg)
{
    struct lane *l = arg;
    (void)w;
    loop_defer(l->loop, &l->pump);
}

/* Only a wake-up: the scan reads what is there. */
static void drain_watch(struct lane *l)
{
    struct store *store = replica_store(l->replica);
    struct store_event *ev;
    int rc = 0;
    do {
        rc = l->watch ? store_watch_next(l->watch, &ev) : 0;
    } while (rc == 1);
    if (rc < 0) {
        store_watch_close(l->watch);
        l->watch = NULL;
    }
    if (rc == -E_GONE) { /* fell behind; otherwise the store is closing */
        (void)store_watch_open(store, STR_LIT(OUTBOX), store_rev(store), wake, l, &l->watch);
    }
}

static void pump(void *arg)
{
    struct lane *l = arg;
    drain_watch(l);
    if (l->client) {
        scan(l, OUTBOX_STATUS, SEND_STATUS, SCAN_MAX);
        scan(l, OUTBOX_DELETE, SEND_DELETE, SCAN_MAX);
        scan_events(l);
    }
}

/* ---- lifetime ---- */

int lane_new(struct io_loop *loop, struct replica *r, struct lane **ret, struct err *err)
{
    struct lane *l = mem_zalloc(sizeof(*l));
    if (!l) {
        return err_sys(err, -ENOMEM, "open the status lane");
    }
    l->loop = loop;
    l->replica = r;
    list_init(&l->sends);
    io_task_init(&l->pump, pump, l);
    io_timer_init(loop, &l->retry, pump, l);
    struct store *store = replica_store(r);
    int rc = store_watch_open(store, STR_LIT(OUTBOX), store_rev(store), wake, l, &l->watch);
    if (rc < 0) {
        mem_free(l);
        return err_set(err, rc, "watch the outbox: %s", err_text(rc));
    }
    *ret = l;
    return 0;
}

void lane_open(struct lane *l, struct http_client *c)
{
    lane_close(l);
    l->client = c;
    loop_defer(l->loop, &l->pump);
}

void lane_close(struct lane *l)
{
    l->client = NULL;
    LIST_FOR_EACH_SAFE (at, &l->sends) {
        send_end(CONTAINER_OF(at, struct send, link));
    }
    io_timer_stop(&l->retry);
}

void lane_free(struct lane *l)
{
    if (!l) {
        return;
    }
    lane_close(l);
    store_watch_close(l->watch);
    io_task_cancel(&l->pump);
    mem_free(l);
}

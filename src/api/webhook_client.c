/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls to webhooks: see webhook_client.h. A target is one server with the CA that it is checked
 * by:
 *
 *     at a url, or a service's address that can be dialled -> an HTTP client that connects by
 * itself a service's pod -> pipe through the node's tunnel -> TLS -> an HTTP client over that
 * stream; calls wait meanwhile; the next call after its end makes a new target
 */
#include "api/webhook_client.h"

#include <stdio.h>

#include "api/node_pipe.h"
#include "api/server_private.h"
#include "base/encode.h"
#include "base/limits.h"
#include "base/map.h"
#include "io/tls.h"
#include "net/http_client.h"

struct target {
    struct list link; /* in the pool's dead, when it is no more in targets */
    struct webhook_pool *pool;
    struct http_client *http; /* NULL while the pipe is being made */
    struct node_pipe *pipe;
    struct tls_handshake *handshake;
    struct tls_ctx *tls;
    struct list waiting; /* struct webhook_call.turn */
    size_t calls;        /* under way or waiting */
    uint64_t used;       /* the pool's count of calls at the last use */
    bool dead;           /* its stream has ended */
    char *key;
    char name[256]; /* of the certificate */
};

struct webhook_pool {
    struct api_server *server;
    struct map targets; /* "host:port name hash-of-CA" -> struct target */
    struct list dead;   /* struct target.link: their last calls are not yet over */
    struct list calls;
    uint64_t count;
};

struct webhook_call {
    struct list link;
    struct list turn;
    struct webhook_pool *pool;
    struct target *target;
    struct http_fetch *fetch;
    struct io_task task; /* a failure before the request was sent */
    struct io_timer timer;
    webhook_done_fn *done;
    void *arg;
    int code;
    struct err err;
    struct buf body; /* until it is sent */
    char url[512];
    const char *path; /* in url */
};

/* Where a call goes. */
struct place {
    char host[256]; /* what is dialled */
    char name[256]; /* what the certificate must be for */
    uint16_t port;
    const char *path;
    /* A pod that is reached through its node; node NULL = dial host. In the arena. */
    const char *node, *ns, *pod;
};

/* ---- the config ---- */

static int read_port(struct str text, uint16_t *ret)
{
    uint64_t n;
    if (str_u64(text, &n) < 0 || n == 0 || n > UINT16_MAX) {
        return -E_INVAL;
    }
    *ret = (uint16_t)n;
    return 0;
}

/* https://host[:port][/path]; an IPv6 address stands in brackets. */
static int read_url(const char *url, struct place *ret, struct err *err)
{
    struct str rest = str_of(url), host, port = STR_NULL;
    if (!str_starts(rest, "https://")) {
        return err_set(err, -E_INVAL, "url %.100s: only https is called", url);
    }
    rest = str_n(rest.p + 8, rest.n - 8);
    const char *slash = memchr(rest.p, '/', rest.n);
    ret->path = slash ? slash : "/";
    host = slash ? str_n(rest.p, (size_t)(slash - rest.p)) : rest;
    if (host.n > 0 && host.p[0] == '[') {
        struct str inner = str_n(host.p + 1, host.n - 1);
        if (!str_cut(inner, ']', &host, &port) || (port.n > 0 && port.p[0] != ':')) {
            return err_set(err, -E_INVAL, "url %.100s: the address is malformed", url);
        }
        port = port.n > 0 ? str_n(port.p + 1, port.n - 1) : port;
    } else {
        (void)str_cut(host, ':', &host, &port);
    }
    ret->port = 443;
    if (host.n == 0 || host.n >= sizeof(ret->host) || (port.n > 0 && read_port(port, &ret->port))) {
        return err_set(err, -E_INVAL, "url %.100s: host or port is malformed", url);
    }
    (void)snprintf(ret->host, sizeof(ret->host), STR_FMT, STR_ARG(host)); /* it fits */
    (void)cstr_copy(ret->name, sizeof(ret->name), ret->host);
    return 0;
}

/* The port of a service's endpoints behind `port` of the service; 0 when there is none. */
static int64_t target_port(const struct json *service, const struct json *subset, int64_t port)
{
    const char *name = "";
    JSON_FOR_EACH (p, json_path(service, "spec.ports")) {
        if (json_path_i64(p, "port", 0) == port) {
            name = json_path_cstr(p, "name", "");
        }
    }
    JSON_FOR_EACH (p, json_get(subset, "ports")) {
        if (cstr_eq(json_path_cstr(p, "name", ""), name)) {
            return json_path_i64(p, "port", 0);
        }
    }
    return 0;
}

static struct json *stored(struct webhook_pool *p, struct arena *a, const char *plural,
                           const char *ns, const char *name)
{
    const struct kind *k = kind_find("", "v1", plural);
    const char *key = k ? api_key(a, k, ns, name) : NULL;
    struct store_item *it = key ? store_get(p->server->store, str_of(key)) : NULL;
    struct json *obj = NULL;
    return it && json_parse(a, store_item_value(it), NULL, &obj, NULL) == 0 ? obj : NULL;
}

static int read_service(struct webhook_pool *p, struct arena *a, const struct json *ref,
                        struct place *ret, struct err *err)
{
    const char *ns = json_path_cstr(ref, "namespace", "");
    const char *name = json_path_cstr(ref, "name", "");
    int64_t port = json_path_i64(ref, "port", 443);
    const struct json *service = stored(p, a, "services", ns, name);
    if (!service) {
        return err_set(err, -E_NOENT, "service \"%.253s\" not found", name);
    }
    ret->path = json_path_cstr(ref, "path", "/");
    (void)snprintf(ret->name, sizeof(ret->name), "%.63s.%.63s.svc", name, ns); /* it fits */
    JSON_FOR_EACH (subset, json_get(stored(p, a, "endpoints", ns, name), "subsets")) {
        int64_t target = target_port(service, subset, port);
        const struct json *address = json_at(json_get(subset, "addresses"), 0);
        const char *ip = json_path_cstr(address, "ip", "");
        if (target > 0 && target <= UINT16_MAX && *ip) {
            (void)cstr_copy(ret->host, sizeof(ret->host), ip);
            ret->port = (uint16_t)target;
            ret->node = json_path_cstr(address, "nodeName", NULL);
            ret->ns = ns;
            ret->pod = json_path_cstr(address, "targetRef.name", NULL);
            return 0;
        }
    }
    return err_set(err, -E_BUSY, "no endpoints available for service \"%.253s\"", name);
}

/* ---- targets ---- */

static void target_free(void *value)
{
    struct target *t = value;
    node_pipe_cancel(t->pipe);
    tls_handshake_cancel(t->handshake);
    http_client_free(t->http);
    tls_ctx_unref(t->tls);
    mem_free(t->key);
    mem_free(t);
}

static void free_dead(struct webhook_pool *p)
{
    LIST_FOR_EACH_SAFE (l, &p->dead) {
        struct target *t = CONTAINER_OF(l, struct target, link);
        if (t->calls == 0) {
            list_del(&t->link);
            target_free(t);
        }
    }
}

/* Makes room: the target that nobody calls and that was used longest ago. */
static void drop_oldest(struct webhook_pool *p)
{
    struct target *oldest = NULL;
    MAP_FOR_EACH (slot, &p->targets) {
        struct target *t = slot->value;
        if (t->calls == 0 && (!oldest || t->used < oldest->used)) {
            oldest = t;
        }
    }
    if (oldest) {
        (void)map_del(&p->targets, str_of(oldest->key));
        target_free(oldest);
    }
}

/* ---- through a tunnel ---- */

static void send_call(struct webhook_call *c);
static void fail(struct webhook_call *c, int code, const char *why);

static void target_lost(struct target *t, int code, const char *why)
{
    t->dead = true;
    while (!list_empty(&t->waiting)) {
        fail(CONTAINER_OF(t->waiting.next, struct webhook_call, turn), code, why);
    }
}

static void stream_ended(void *arg, int code)
{
    struct target *t = arg;
    (void)code;
    t->dead = true;
}

static void secured(void *arg, struct stream *s, const char *alpn, const struct err *err)
{
    struct target *t = arg;
    t->handshake = NULL;
    if (!s) {
        target_lost(t, err->code, err->text);
        return;
    }
    enum http_protocol protocol = cstr_eq(alpn, "h2") ? HTTP_PROTOCOL_2 : HTTP_PROTOCOL_1;
    int code = http_client_from_stream(t->pool->server->loop, s, protocol, t->name, 0, stream_ended,
                                       t, &t->http);
    if (code < 0) {
        target_lost(t, code, err_text(code));
        return;
    }
    while (!list_empty(&t->waiting)) {
        send_call(CONTAINER_OF(t->waiting.next, struct webhook_call, turn));
    }
}

static void piped(void *arg, struct stream *s, const struct err *err)
{
    struct target *t = arg;
    t->pipe = NULL;
    if (!s) {
        target_lost(t, err->code, err->text);
        return;
    }
    t->handshake = tls_connect(t->tls, s, t->name, 0, secured, t);
    if (!t->handshake) {
        target_lost(t, -ENOMEM, err_text(-ENOMEM));
    }
}

static int open_pipe(struct target *t, const struct place *at, struct err *err)
{
    const struct api_server_opts *o = &t->pool->server->opts;
    if (!o->open_stream) {
        return err_set(err, -E_NOTSUP, "this server has no way to the pods of services");
    }
    struct node_stream_req req = {.type = NODE_STREAM_PORT,
                                  .node = at->node,
                                  .ns = at->ns,
                                  .pod = at->pod,
                                  .uid = "",
                                  .container = "",
                                  .port = at->port};
    t->pipe = node_pipe_open(t->pool->server->loop, o->open_stream, o->open_stream_arg, &req, piped,
                             t, err);
    return t->pipe ? 0 : err->code;
}

/* ---- making targets ---- */

static int target_connect(struct target *t, const struct place *at, struct str ca, struct err *err)
{
    struct tls_config tls_config = {.ca_pem = ca, .server_name = at->name, .h2 = true};
    int code = tls_client_new(&tls_config, &t->tls, err);
    if (code < 0) {
        return code;
    }
    if (at->node && at->pod) {
        return open_pipe(t, at, err);
    }
    struct http_client_config config = {
        .loop = t->pool->server->loop, .host = at->host, .port = at->port, .tls = t->tls};
    code = http_client_new(&config, &t->http);
    return code < 0 ? err_set(err, code, "%s", err_text(code)) : 0;
}

static int target_new(struct webhook_pool *p, const struct place *at, struct str ca,
                      const char *key, struct target **ret, struct err *err)
{
    struct target *t = mem_zalloc(sizeof(*t));
    if (!t) {
        return err_set(err, -ENOMEM, "%s", err_text(-ENOMEM));
    }
    t->pool = p;
    list_init(&t->link);
    list_init(&t->waiting);
    (void)cstr_copy(t->name, sizeof(t->name), at->name);
    t->key = mem_strdup(key);
    int code = t->key ? target_connect(t, at, ca, err) : err_set(err, -ENOMEM, "out of memory");
    if (code == 0 && map_put(&p->targets, str_of(key), t, NULL) < 0) {
        code = err_set(err, -ENOMEM, "%s", err_text(-ENOMEM));
    }
    if (code < 0) {
        target_free(t);
        return code;
    }
    *ret = t;
    return 0;
}

static int target_get(struct webhook_pool *p, const struct place *at, const struct json *config,
                      struct target **ret, struct err *err)
{
    CLEANUP(buf_finip) struct buf ca = BUF_INIT;
    char key[600];
    struct str bundle = json_text(json_get(config, "caBundle"));
    if (bundle.n > 0 && base64_decode(&ca, bundle) < 0) {
        return err_set(err, -E_INVAL, "caBundle is not base64");
    }
    (void)snprintf(key, sizeof(key), "%s:%u %s %016llx", at->host, (unsigned)at->port, at->name,
                   (unsigned long long)hash_bytes(buf_data(&ca), buf_len(&ca))); /* it fits */
    free_dead(p);
    struct target *t = map_get(&p->targets, str_of(key));
    if (t && !t->dead) {
        *ret = t;
        return 0;
    }
    if (t) {
        (void)map_del(&p->targets, str_of(key));
        list_push_back(&p->dead, &t->link);
    }
    if (map_len(&p->targets) >= LIMIT_WEBHOOK_TARGETS) {
        drop_oldest(p);
    }
    return target_new(p, at, buf_str(&ca), key, ret, err);
}

/* ---- calls ---- */

static void call_free(struct webhook_call *c)
{
    io_timer_stop(&c->timer);
    io_task_cancel(&c->task);
    if (c->target) {
        c->target->calls--;
    }
    list_del(&c->turn);
    list_del(&c->link);
    buf_fini(&c->body);
    mem_free(c);
}

static void finish(struct webhook_call *c, int code, struct str body)
{
    c->done(c->arg, code, body, &c->err);
    call_free(c);
}

static void fail(struct webhook_call *c, int code, const char *why)
{
    (void)err_set(&c->err, code, "failed to call webhook: Post \"%s\": %s", c->url, why);
    finish(c, code, STR_NULL);
}

static void failed_early(void *arg)
{
    struct webhook_call *c = arg;
    (void)err_wrap(&c->err, c->code, "failed to call webhook");
    finish(c, c->code, STR_NULL);
}

static void timed_out(void *arg)
{
    struct webhook_call *c = arg;
    http_fetch_cancel(c->fetch);
    fail(c, -E_TIMEOUT, "context deadline exceeded");
}

static void fetched(void *arg, int code, const struct http_response *resp, struct str body,
                    const struct err *err)
{
    struct webhook_call *c = arg;
    if (code < 0) {
        fail(c, code, err->text);
    } else if (resp->status != 200) {
        char why[160];
        (void)snprintf(why, sizeof(why), "the server answered %d: %.*s", resp->status,
                       (int)MIN_OF(body.n, 100), body.p ? body.p : ""); /* may be cut */
        fail(c, -E_INTERNAL, why);
    } else {
        finish(c, 0, body);
    }
}

static void send_call(struct webhook_call *c)
{
    const struct http_header headers[] = {HTTP_HEADER("content-type", "application/json"),
                                          HTTP_HEADER("accept", "application/json")};
    struct http_call_request req = {.method = "POST",
                                    .path = c->path,
                                    .headers = headers,
                                    .n_headers = ARRAY_SIZE(headers),
                                    .body = buf_str(&c->body),
                                    .timeout_ms = -1};
    list_del(&c->turn);
    c->fetch = http_fetch(c->target->http, &req, LIMIT_BODY, fetched, c);
    if (!c->fetch) {
        c->code = err_set(&c->err, -ENOMEM, "%s", err_text(-ENOMEM));
        loop_defer(c->pool->server->loop, &c->task);
    }
}

static int start(struct webhook_call *c, struct arena *a, const struct json *config,
                 int64_t timeout_ms)
{
    struct webhook_pool *p = c->pool;
    struct place at = {.path = "/"};
    const struct json *service = json_get(config, "service");
    int code = service ? read_service(p, a, service, &at, &c->err)
                       : read_url(json_path_cstr(config, "url", ""), &at, &c->err);
    if (code < 0) {
        return code;
    }
    int origin = snprintf(c->url, sizeof(c->url), "https://%s:%u", at.name, (unsigned)at.port);
    int n = snprintf(c->url + origin, sizeof(c->url) - (size_t)origin, "%s%stimeout=%llds", at.path,
                     strchr(at.path, '?') ? "&" : "?", (long long)((timeout_ms + 999) / 1000));
    if ((size_t)(origin + n) >= sizeof(c->url)) {
        return err_set(&c->err, -E_TOOBIG, "the path of the webhook is too long");
    }
    c->path = c->url + origin;
    code = target_get(p, &at, config, &c->target, &c->err);
    if (code < 0) {
        return code;
    }
    c->target->calls++;
    c->target->used = ++p->count;
    if (c->target->http) {
        send_call(c);
    } else {
        list_push_back(&c->target->waiting, &c->turn);
    }
    return 0;
}

struct webhook_call *webhook_call_start(struct webhook_pool *p, const struct json *config,
                                        struct str body, int64_t timeout_ms, webhook_done_fn *done,
                                        void *arg)
{
    struct webhook_call *c = mem_zalloc(sizeof(*c));
    if (!c) {
        return NULL;
    }
    c->pool = p;
    c->done = done;
    c->arg = arg;
    list_init(&c->turn);
    list_push_back(&p->calls, &c->link);
    io_task_init(&c->task, failed_early, c);
    io_timer_init(p->server->loop, &c->timer, timed_out, c);
    struct arena a;
    arena_init(&a, 0);
    c->code = buf_append_str(&c->body, body) < 0
                  ? err_set(&c->err, -ENOMEM, "%s", err_text(-ENOMEM))
                  : start(c, &a, config, timeout_ms);
    arena_fini(&a);
    if (c->code < 0) {
        loop_defer(p->server->loop, &c->task);
    } else {
        io_timer_start(&c->timer, timeout_ms, 0);
    }
    return c;
}

void webhook_call_cancel(struct webhook_call *c)
{
    if (c) {
        http_fetch_cancel(c->fetch);
        call_free(c);
    }
}

struct webhook_pool *webhook_pool_new(struct api_server *server)
{
    struct webhook_pool *p = mem_zalloc(sizeof(*p));
    if (p) {
        p->server = server;
        map_init(&p->targets);
        list_init(&p->calls);
        list_init(&p->dead);
    }
    return p;
}

void webhook_pool_free(struct webhook_pool *p)
{
    if (!p) {
        return;
    }
    LIST_FOR_EACH_SAFE (l, &p->calls) {
        webhook_call_cancel(CONTAINER_OF(l, struct webhook_call, link));
    }
    free_dead(p);
    map_fini(&p->targets, target_free);
    mem_free(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proxy requests: one request of the client becomes one request to what is behind a node.
 *
 *     proxy_resolve -> upstream_open -> http_call ----> answer streams back
 *                                          \-> 101: both sides become streams and are joined
 *
 * Paths: what follows ".../proxy" goes on as it was received; without anything, a GET is sent to
 * ".../proxy/" first, so that relative links work. A Location that points into the backend gets the
 * prefix of the proxy.
 */
#include "api/stream/proxy.h"

#include "io/stream.h"
#include "net/http_client.h"

#define HIGH ((ssize_t)256 << 10)
#define HEADERS_MAX LIMIT_HEADER_COUNT

struct proxy {
    struct exec_proxy base;
    struct api_server *server;
    struct http_exchange *x;
    struct upstream *upstream;
    struct http_call *call;
    struct str prefix; /* of the path: ".../proxy" */
    const char *path;  /* for the backend, with the query */
    struct http_header *headers;
    size_t n_headers;
    const char *upgrade; /* the protocol that the client asks for, or NULL */
    bool body, started;
};

/* ---- the end ---- */

static void proxy_drop(struct proxy *p)
{
    http_call_cancel(TAKE_PTR(p->call));
    upstream_close(TAKE_PTR(p->upstream));
    list_del(&p->base.link);
}

static void client_gone(void *arg)
{
    proxy_drop(arg);
}

static void on_server_end(struct exec_proxy *base)
{
    struct proxy *p = CONTAINER_OF(base, struct proxy, base);
    struct http_exchange *x = p->x;
    bool started = p->started;
    proxy_drop(p);
    if (started) {
        http_exchange_abort(x);
    } else {
        api_reply_error(x, -E_BUSY, "the server is shutting down");
    }
}

static void fail(struct proxy *p, const char *text)
{
    struct http_exchange *x = p->x;
    struct arena *a = http_exchange_arena(x);
    bool started = p->started;
    proxy_drop(p);
    if (started) {
        http_exchange_abort(x);
    } else {
        server_reply_status(
            x, status_failure(a, 503, "ServiceUnavailable",
                              arena_printf(a, "error trying to reach service: %s", text),
                              /* about= */ NULL));
    }
}

/* ---- headers ---- */

/* Those of one connection (RFC 9110 section 7.6.1), and what is added anew on the other. */
static bool is_hop(struct str name)
{
    static const char *const names[] = {"connection",
                                        "keep-alive",
                                        "proxy-connection",
                                        "proxy-authenticate",
                                        "proxy-authorization",
                                        "te",
                                        "trailer",
                                        "transfer-encoding",
                                        "upgrade",
                                        "host",
                                        "content-length",
                                        "http2-settings"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (str_iis(name, names[i])) {
            return true;
        }
    }
    return false;
}

/* What names or proves the client to this server stays here. */
static bool is_secret(struct str name)
{
    return str_iis(name, "authorization") || str_iis(name, "selvedge-stream") ||
           (name.n >= 11 && str_iis(str_n(name.p, 11), "impersonate"));
}

static void add(struct proxy *p, const char *name, struct str value)
{
    p->headers[p->n_headers++] = (struct http_header){str_of(name), value};
}

static bool copy_headers(struct proxy *p, const struct http_request *r)
{
    struct arena *a = http_exchange_arena(p->x);
    struct http_peer peer;
    p->headers = arena_zalloc(a, (r->headers.n + 4) * sizeof(*p->headers));
    if (!p->headers) {
        return false;
    }
    for (size_t i = 0; i < r->headers.n; i++) {
        const struct http_header *h = &r->headers.v[i];
        bool ours = h->name.n > 12 && str_iis(str_n(h->name.p, 12), "x-forwarded-");
        if (!is_hop(h->name) && !is_secret(h->name) && !ours) {
            p->headers[p->n_headers++] = *h;
        }
    }
    http_exchange_peer(p->x, &peer);
    struct str host;
    (void)str_rcut(str_of(peer.stream.address), ':', &host, NULL); /* "unix" has no port */
    add(p, "x-forwarded-for", str_of(arena_str(a, host)));
    add(p, "x-forwarded-host", r->authority);
    add(p, "x-forwarded-proto", STR_LIT("https"));
    add(p, "x-forwarded-uri", r->path);
    return !arena_failed(a);
}

/* "/x" of the backend, or "http://<its host>/x", becomes "<prefix>/x". */
static struct str location(struct proxy *p, struct str value)
{
    struct str rest = value, host, path;
    if (str_starts(rest, "http://") || str_starts(rest, "https://")) {
        size_t n = str_starts(rest, "https://") ? 8 : 7;
        rest = str_n(rest.p + n, rest.n - n);
        const char *slash = memchr(rest.p, '/', rest.n);
        host = slash ? str_n(rest.p, (size_t)(slash - rest.p)) : rest;
        path = slash ? str_n(slash, rest.n - host.n) : STR_LIT("/");
        if (!str_eq(host, http_exchange_request(p->x)->authority)) {
            return value;
        }
    } else if (str_starts(rest, "/") && !str_starts(rest, "//")) {
        path = rest;
    } else {
        return value;
    }
    bool prefixed = path.n >= p->prefix.n && str_eq(str_n(path.p, p->prefix.n), p->prefix);
    char *text = prefixed ? NULL
                          : arena_printf(http_exchange_arena(p->x), STR_FMT STR_FMT,
                                         STR_ARG(p->prefix), STR_ARG(path));
    return text ? str_of(text) : value;
}

static struct http_header *answer_headers(struct proxy *p, const struct http_response *r,
                                          size_t *ret_n)
{
    struct http_header *out =
        arena_zalloc(http_exchange_arena(p->x), (r->headers.n + 1) * sizeof(*out));
    size_t n = 0;
    for (size_t i = 0; out && i < r->headers.n; i++) {
        struct http_header h = r->headers.v[i];
        if (is_hop(h.name) || str_iis(h.name, "date")) {
            continue;
        }
        if (str_iis(h.name, "location")) {
            h.value = location(p, h.value);
        }
        out[n++] = h;
    }
    *ret_n = n;
    return out;
}

/* ---- the answer ---- */

static void on_headers(struct http_call *c, void *arg, const struct http_response *r)
{
    struct proxy *p = arg;
    size_t n = 0;
    struct http_header *headers = answer_headers(p, r, &n);
    (void)c;
    if (!headers || http_reply_start(p->x, r->status, headers, n) < 0) {
        struct http_exchange *x = p->x;
        proxy_drop(p);
        http_exchange_abort(x);
        return;
    }
    p->started = true;
}

static void on_data(struct http_call *c, void *arg, struct str data)
{
    struct proxy *p = arg;
    ssize_t waits = http_reply_write(p->x, data);
    if (waits < 0) {
        struct http_exchange *x = p->x;
        proxy_drop(p);
        http_exchange_abort(x);
    } else if (waits >= HIGH) {
        http_call_pause(c, true);
    }
}

static void on_end(struct http_call *c, void *arg)
{
    struct proxy *p = arg;
    struct http_exchange *x = p->x;
    (void)c;
    p->call = NULL;
    proxy_drop(p);
    http_reply_end(x);
}

static void on_call_error(struct http_call *c, void *arg, const struct err *err)
{
    struct proxy *p = arg;
    (void)c;
    p->call = NULL;
    fail(p, err->text);
}

static void on_stream(struct http_call *c, void *arg, struct stream *s,
                      const struct http_response *r)
{
    struct proxy *p = arg;
    struct api_server *server = p->server;
    size_t n = 0;
    (void)c;
    p->call = NULL;
    struct http_header *headers = answer_headers(p, r, &n);
    upstream_close(TAKE_PTR(p->upstream)); /* the stream is out of it; p goes with the exchange */
    list_del(&p->base.link);
    struct stream *client = headers ? http_exchange_stream(p->x, p->upgrade, headers, n) : NULL;
    if (!client) {
        stream_close(s);
        fail(p, "the client's upgrade is malformed");
        return;
    }
    proxy_splice(server, client, s);
}

static void on_reply_drain(void *arg)
{
    struct proxy *p = arg;
    if (p->call) {
        http_call_pause(p->call, false);
    }
}

/* ---- the request ---- */

static void on_body(struct http_exchange *x, struct str data, void *arg)
{
    struct proxy *p = arg;
    if (!p->call) {
        return;
    }
    if (data.n == 0) {
        http_call_end_body(p->call);
    } else if (http_call_write(p->call, data) >= HIGH) {
        http_exchange_pause_body(x, true);
    }
}

static void on_body_drain(struct http_call *c, void *arg)
{
    struct proxy *p = arg;
    (void)c;
    http_exchange_pause_body(p->x, false);
}

static const struct http_call_ops call_ops = {.on_headers = on_headers,
                                              .on_data = on_data,
                                              .on_end = on_end,
                                              .on_error = on_call_error,
                                              .on_stream = on_stream,
                                              .on_drain = on_body_drain};

static void connected(void *arg, struct http_client *client, const struct err *err)
{
    struct proxy *p = arg;
    const struct http_request *r = http_exchange_request(p->x);
    if (!client) {
        fail(p, err->text);
        return;
    }
    struct http_call_request req = {
        .method = arena_str(http_exchange_arena(p->x), r->method),
        .path = p->path,
        .headers = p->headers,
        .n_headers = p->n_headers,
        .stream_body = p->body,
        .body_length = p->body ? r->content_length : 0,
        .upgrade = p->upgrade,
        .timeout_ms = -1,
    };
    p->call = req.method ? http_call_start(client, &req, &call_ops, p) : NULL;
    if (!p->call) {
        fail(p, "out of memory");
    } else if (p->body) {
        http_exchange_read_body(p->x, on_body, p);
    }
}

static bool has_body(const struct http_request *r)
{
    bool usual =
        str_is(r->method, "POST") || str_is(r->method, "PUT") || str_is(r->method, "PATCH");
    return r->content_length > 0 || http_header_has(&r->headers, "transfer-encoding") ||
           (r->version == 20 && r->content_length < 0 && usual);
}

static const char *asked_upgrade(struct proxy *p, const struct http_request *r)
{
    struct str protocol = http_header_get(&r->headers, "upgrade");
    char *text = arena_str(http_exchange_arena(p->x), protocol);
    return protocol.n > 0 && text && http_exchange_wants_stream(p->x, text) ? text : NULL;
}

/* ".../proxy" without a path: the client is sent to the folder. */
static bool redirected(struct server_call *call, const struct http_request *r)
{
    struct arena *a = http_exchange_arena(call->x);
    bool reads = str_is(r->method, "GET") || str_is(r->method, "HEAD");
    if (call->route.tail.n > 0 || !reads || http_header_has(&r->headers, "upgrade")) {
        return false;
    }
    const char *to = arena_printf(a, STR_FMT "/%s" STR_FMT, STR_ARG(r->path), r->query.n ? "?" : "",
                                  STR_ARG(r->query));
    const struct http_header header = HTTP_HEADER("location", to);
    http_reply(call->x, 301, &header, 1, STR_NULL);
    return true;
}

void proxy_start(struct server_call *call)
{
    struct http_exchange *x = call->x;
    struct arena *a = http_exchange_arena(x);
    const struct http_request *r = http_exchange_request(x);
    struct str tail = call->route.tail;
    struct upstream_target target;
    struct err err = {0};
    if (redirected(call, r) || !proxy_resolve(call, &target)) {
        return;
    }
    struct proxy *p = arena_zalloc(a, sizeof(*p));
    if (p) {
        p->x = x;
        p->server = call->server;
        p->base.end = on_server_end;
        list_init(&p->base.link);
        p->prefix = str_n(r->path.p, r->path.n - tail.n);
        p->path = arena_printf(a, "%s" STR_FMT "%s" STR_FMT, tail.n ? "" : "/", STR_ARG(tail),
                               r->query.n ? "?" : "", STR_ARG(r->query));
        p->upgrade = asked_upgrade(p, r);
        p->body = !p->upgrade && has_body(r);
    }
    if (!p || !copy_headers(p, r)) {
        api_reply_error(x, -E_NOMEM, "out of memory");
        return;
    }
    p->upstream = upstream_open(call->server, &target, connected, p, &err);
    if (!p->upstream) {
        fail(p, err.text);
        return;
    }
    list_push_back(&call->server->streams, &p->base.link);
    http_exchange_on_close(x, client_gone, p);
    http_exchange_on_drain(x, on_reply_drain, p);
}

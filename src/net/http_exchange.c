/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The exchange as a handler sees it; see http_server.h. What differs between HTTP/1.1 and HTTP/2 is
 * in server_http1.c and server_http2.c.
 */
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "http_server_private.h"

#define DROP_MAX ((size_t)1 << 20) /* of a body that nobody wants while a reply is streamed */

static bool is_http2(const struct http_exchange *x)
{
    return x->conn->kind == CONN_HTTP2;
}

static void check(const struct http_exchange *x)
{
    assert(x && x->magic == EXCHANGE_MAGIC && x->live);
}

/* ---- life ---- */

static void on_body_task(void *arg);

static void on_drain_task(void *arg)
{
    exchange_drained(arg);
}

struct http_exchange *exchange_new(struct server_conn *c)
{
    struct http_exchange *x = mem_zalloc(sizeof *x);
    if (x) {
        x->magic = EXCHANGE_MAGIC;
        x->conn = c;
        list_init(&x->link);
        arena_init(&x->arena, 0);
        io_task_init(&x->body_task, on_body_task, x);
        io_task_init(&x->drain_task, on_drain_task, x);
    }
    return x;
}

void exchange_free(struct http_exchange *x)
{
    list_del(&x->link);
    io_task_cancel(&x->body_task);
    io_task_cancel(&x->drain_task);
    buf_fini(&x->body);
    buf_fini(&x->out);
    arena_fini(&x->arena);
    x->magic = 0;
    mem_free(x);
}

void exchange_start(struct http_exchange *x, const struct http_head *head)
{
    struct http_server *s = x->conn->server;
    metric_add(METRIC_HTTP_REQUESTS, 1);
    x->req = (struct http_request){.method = head->method,
                                   .authority = head->authority,
                                   .headers = head->headers,
                                   .version = head->version,
                                   .content_length = head->content_length};
    (void)str_cut(head->target, '?', &x->req.path, &x->req.query);
    x->is_head = str_is(head->method, "HEAD");
    x->protocol =
        head->protocol.n ? head->protocol : http_header_get(&head->headers, "selvedge-stream");
    if (is_http2(x)) {
        x->expect_continue = http_header_has_token(&head->headers, "expect", "100-continue");
    }
    x->live = true;
    s->cfg.handler(x, s->cfg.arg);
}

void exchange_lost(struct http_exchange *x)
{
    void (*fn)(void *) = x->live ? x->on_close : NULL;
    void *arg = x->close_arg;
    x->live = false;
    list_del(&x->link);
    if (x->duplex) {
        struct duplex *d = x->duplex;
        x->duplex = NULL;
        duplex_gone(d, -E_CONNRESET);
    }
    if (fn) {
        fn(arg);
    }
    exchange_free(x);
}

void exchange_refuse(struct http_exchange *x, int status, const char *text)
{
    struct server_conn *c = x->conn;
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    void (*fn)(void *) = x->on_close;
    void *arg = x->close_arg;
    x->on_close = NULL;
    c->keep_alive = false;
    if (fn) {
        fn(arg); /* before the reply: what arg points to may lie in the exchange's arena */
    }
    if (x->started) {
        http_exchange_abort(x);
    } else {
        const char *type = server_error_body(c->server, status, text, &body);
        http_reply_text(x, status, type, buf_str(&body));
    }
}

/* ---- the request ---- */

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    return &x->req;
}

struct arena *http_exchange_arena(struct http_exchange *x)
{
    return &x->arena;
}

struct io_loop *http_exchange_loop(const struct http_exchange *x)
{
    return x->conn->server->cfg.loop;
}

struct http_server *http_exchange_server(const struct http_exchange *x)
{
    return x->conn->server;
}

void http_exchange_peer(struct http_exchange *x, struct http_peer *ret)
{
    check(x);
    stream_get_peer(x->conn->stream, &ret->stream);
    ret->identity = x->conn->identity;
}

void http_exchange_on_close(struct http_exchange *x, void (*fn)(void *arg), void *arg)
{
    check(x);
    x->on_close = fn;
    x->close_arg = arg;
}

/* ---- the body ---- */

bool exchange_wants_body(const struct http_exchange *x)
{
    return x->mode == BODY_COLLECT || (x->mode == BODY_READ && !x->paused);
}

bool exchange_takes_body(const struct http_exchange *x)
{
    return x->mode == BODY_DROP || exchange_wants_body(x);
}

void exchange_body(struct http_exchange *x, struct str data)
{
    if (x->mode == BODY_READ) {
        x->on_data(x, data, x->body_arg);
        return;
    }
    if (x->mode == BODY_DROP) {
        x->dropped += data.n;
        if (x->dropped > DROP_MAX) {
            exchange_refuse(x, 413, "the request body is too large");
        }
        return;
    }
    if (data.n > x->limit - MIN_OF(x->limit, buf_len(&x->body))) {
        exchange_refuse(x, 413, "the request body is too large");
    } else if (buf_append(&x->body, data.p, data.n) < 0) {
        exchange_refuse(x, 503, "out of memory");
    }
}

/* Tells the end when somebody listens and all before it was told. */
static void tell_end(struct http_exchange *x)
{
    if (!x->body_done || x->body_told || !exchange_wants_body(x)) {
        return;
    }
    if (x->mode == BODY_READ) {
        x->body_told = true;
        x->on_data(x, STR_NULL, x->body_arg);
        return;
    }
    char *end = buf_reserve(&x->body, 1);
    if (!end) {
        exchange_refuse(x, 503, "out of memory");
        return;
    }
    *end = '\0';
    x->body_told = true;
    x->collected(x, buf_str(&x->body), x->body_arg);
}

void exchange_body_end(struct http_exchange *x)
{
    x->body_done = true;
    if (x->live && buf_len(&x->body) && x->mode == BODY_READ) {
        loop_defer(http_exchange_loop(x), &x->body_task); /* what is held comes first */
    } else if (x->live) {
        tell_end(x);
    }
}

/* A body that is told to be too large is not waited for. */
static bool announces_too_much(const struct http_exchange *x)
{
    return x->mode == BODY_COLLECT && x->req.content_length > 0 &&
           (uint64_t)x->req.content_length > x->limit;
}

/* What was held before the handler asked. */
static void on_body_task(void *arg)
{
    struct http_exchange *x = arg;
    if (!x->live || !exchange_takes_body(x)) {
        return;
    }
    if (x->mode == BODY_DROP) {
        buf_fini(&x->body);
    }
    if (is_http2(x) && x->held) {
        http2_consume(x->conn->h2, x->id, x->held);
        loop_defer(http_exchange_loop(x), &x->conn->task);
        x->held = 0;
    }
    if (x->mode == BODY_COLLECT && (buf_len(&x->body) > x->limit || announces_too_much(x))) {
        exchange_refuse(x, 413, "the request body is too large");
        return;
    }
    if (x->mode == BODY_READ && buf_len(&x->body)) {
        struct buf b = x->body;
        buf_init(&x->body, 0);
        loop_defer(http_exchange_loop(x), &x->body_task); /* the end, if it is there */
        x->on_data(x, buf_str(&b), x->body_arg);
        buf_fini(&b);
        return;
    }
    tell_end(x);
}

static void want_body(struct http_exchange *x)
{
    /* Deferred also when we are inside the handler: the exchange may be ended before. */
    if (buf_len(&x->body) || x->body_done || announces_too_much(x)) {
        loop_defer(http_exchange_loop(x), &x->body_task);
    }
    if (!is_http2(x)) {
        http1_conn_resume(x->conn);
    } else if (x->expect_continue && !x->body_done && exchange_wants_body(x)) {
        const struct http_headers none = {0};
        x->expect_continue = false;
        (void)http2_respond(x->conn->h2, x->id, 100, &none, false); /* a hint only */
        loop_defer(http_exchange_loop(x), &x->conn->task);
    }
}

void http_exchange_collect_body(struct http_exchange *x, size_t limit,
                                void (*done)(struct http_exchange *x, struct str body, void *arg),
                                void *arg)
{
    check(x);
    assert(x->mode == BODY_HELD);
    x->mode = BODY_COLLECT;
    x->limit = limit;
    x->collected = done;
    x->body_arg = arg;
    want_body(x);
}

void http_exchange_read_body(struct http_exchange *x,
                             void (*on_data)(struct http_exchange *x, struct str data, void *arg),
                             void *arg)
{
    check(x);
    assert(x->mode == BODY_HELD);
    x->mode = BODY_READ;
    x->on_data = on_data;
    x->body_arg = arg;
    want_body(x);
}

void http_exchange_pause_body(struct http_exchange *x, bool paused)
{
    check(x);
    bool resume = x->paused && !paused;
    x->paused = paused;
    if (resume && x->mode == BODY_READ) {
        want_body(x);
    }
}

/* ---- the reply ---- */

/* The handler is done with x; it may be freed here. */
static void end(struct http_exchange *x)
{
    x->live = false;
    if (is_http2(x)) {
        x->out_eof = true;
        http2_exchange_detach(x);
    } else {
        http1_exchange_end(x);
    }
}

void http_reply_take(struct http_exchange *x, int status, const struct http_header *headers,
                     size_t n, struct buf *b)
{
    check(x);
    assert(!x->started);
    if (!is_http2(x)) {
        /* A failure closes the connection in end(). */
        (void)http1_exchange_reply(x, status, headers, n, buf_str(b), /* complete= */ true);
        buf_fini(b);
        end(x);
        return;
    }
    char length[24];
    struct http_headers all = {0};
    bool body = buf_len(b) > 0 && !x->is_head && status != 204 && status != 304;
    for (size_t i = 0; i < n; i++) {
        (void)http_header_add(&x->arena, &all, headers[i].name, headers[i].value);
    }
    (void)snprintf(length, sizeof length, "%zu", buf_len(b));
    if (status != 204 && status != 304) {
        (void)http_header_add(&x->arena, &all, STR_LIT("content-length"), str_of(length));
    }
    if (body) {
        x->out = *b;
        buf_init(b, 0);
    } else {
        buf_fini(b);
    }
    if (arena_failed(&x->arena)) {
        http2_reset(x->conn->h2, x->id, HTTP2_INTERNAL);
    } else {
        http2_exchange_reply(x, status, all.v, all.n, body);
    }
    end(x);
}

void http_reply(struct http_exchange *x, int status, const struct http_header *headers, size_t n,
                struct str body)
{
    check(x);
    if (is_http2(x)) {
        CLEANUP(buf_finip) struct buf b = BUF_INIT;
        if (buf_append_str(&b, body) < 0) {
            http_exchange_abort(x);
            return;
        }
        http_reply_take(x, status, headers, n, &b);
        return;
    }
    assert(!x->started);
    (void)http1_exchange_reply(x, status, headers, n, body, /* complete= */ true); /* as above */
    end(x);
}

void http_reply_text(struct http_exchange *x, int status, const char *content_type, struct str body)
{
    struct http_header h = HTTP_HEADER("content-type", content_type);
    http_reply(x, status, &h, 1, body);
}

int http_reply_start(struct http_exchange *x, int status, const struct http_header *headers,
                     size_t n)
{
    check(x);
    assert(!x->started);
    if (x->mode == BODY_HELD && !x->body_done) {
        x->mode = BODY_DROP; /* nobody asked for it; reading on shows when the peer leaves */
        want_body(x);
    }
    if (is_http2(x)) {
        http2_exchange_reply(x, status, headers, n, !x->is_head && status != 204 && status != 304);
        return 0;
    }
    return http1_exchange_reply(x, status, headers, n, STR_NULL, /* complete= */ false);
}

static ssize_t write_http2(struct http_exchange *x, struct str data)
{
    if (buf_len(&x->out) > LIMIT_WRITE_QUEUE_HARD) {
        return -E_LIMIT;
    }
    if (buf_append_str(&x->out, data) < 0) {
        x->out.failed = false;
        return -ENOMEM;
    }
    http2_resume(x->conn->h2, x->id);
    loop_defer(http_exchange_loop(x), &x->conn->task);
    return (ssize_t)buf_len(&x->out);
}

static ssize_t write_http1(struct http_exchange *x, struct str data)
{
    char head[HTTP1_CHUNK_HEAD_SIZE];
    struct str parts[3] = {str_n(head, 0), data, STR_LIT("\r\n")};
    if (!x->chunked) {
        return conn_write(x->conn, &data, 1);
    }
    parts[0].n = http1_chunk_head(head, data.n);
    return conn_write(x->conn, parts, 3);
}

ssize_t http_reply_write(struct http_exchange *x, struct str data)
{
    check(x);
    assert(x->started);
    if (data.n == 0 || x->is_head) {
        return http_reply_queued(x);
    }
    ssize_t queued = is_http2(x) ? write_http2(x, data) : write_http1(x, data);
    x->want_drain |= queued >= STREAM_LOW_WATER;
    return queued;
}

ssize_t http_reply_queued(const struct http_exchange *x)
{
    return is_http2(x) ? (ssize_t)buf_len(&x->out) : stream_queued(x->conn->stream);
}

void http_exchange_on_drain(struct http_exchange *x, void (*fn)(void *arg), void *arg)
{
    check(x);
    x->on_drain = fn;
    x->drain_arg = arg;
}

void exchange_drained(struct http_exchange *x)
{
    if (x->live && x->want_drain) {
        x->want_drain = false;
        if (x->on_drain) {
            x->on_drain(x->drain_arg);
        }
    }
}

void http_reply_end(struct http_exchange *x)
{
    check(x);
    assert(x->started);
    end(x);
}

void http_exchange_abort(struct http_exchange *x)
{
    check(x);
    if (is_http2(x)) {
        http2_reset(x->conn->h2, x->id, HTTP2_INTERNAL);
        buf_fini(&x->out);
    } else {
        x->chunked = false;
        x->conn->keep_alive = false;
    }
    end(x);
}

/* ---- streams ---- */

bool http_exchange_wants_stream(const struct http_exchange *x, const char *protocol)
{
    if (is_http2(x)) {
        return str_iis(x->protocol, protocol);
    }
    return x->req.version == 11 &&
           http_header_has_token(&x->req.headers, "connection", "upgrade") &&
           http_header_has_token(&x->req.headers, "upgrade", protocol);
}

struct stream *http_exchange_stream(struct http_exchange *x, const char *protocol,
                                    const struct http_header *headers, size_t n)
{
    check(x);
    assert(!x->started);
    if (is_http2(x)) {
        return http2_exchange_stream(x, headers, n);
    }
    bool has_body =
        x->req.content_length > 0 || http_header_has(&x->req.headers, "transfer-encoding");
    bool connect = str_is(x->req.method, "CONNECT");
    if (has_body || (!connect && !http_exchange_wants_stream(x, protocol))) {
        return NULL;
    }
    return http1_exchange_stream(x, protocol, headers, n);
}

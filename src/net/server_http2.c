/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 on a server connection: many exchanges. Output leaves once a tick (conn->task), while the
 * stream below has room; flow control follows whoever reads the bodies.
 */
#include "base/limits.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "http_server_private.h"

#define LOWER_MAX                                                                  \
    ((ssize_t)128 << 10) /* bytes in the stream below above which we stop draining \
                          */
#define DRAIN_STEP ((size_t)64 << 10)
#define DROP_MAX ((size_t)1 << 20) /* of a body that nobody wants; above it the stream is reset */

static void wake(struct server_conn *c)
{
    if (!c->closing) {
        loop_defer(c->server->cfg.loop, &c->task);
    }
}

void http2_conn_flush(struct server_conn *c)
{
    int more = 1;
    while (more > 0 && !c->closing && stream_queued(c->stream) < LOWER_MAX) {
        CLEANUP(buf_finip) struct buf b = BUF_INIT;
        more = http2_drain(c->h2, &b, DRAIN_STEP);
        struct str part = buf_str(&b);
        if (more < 0 || (part.n && conn_write(c, &part, 1) < 0)) {
            conn_close(c);
            return;
        }
    }
    if (c->closing) {
        return;
    }
    stream_flush(c->stream);
    bool over = !http2_alive(c->h2) || (c->server->stopping && list_empty(&c->exchanges));
    if (over && stream_queued(c->stream) < LOWER_MAX) {
        conn_finish(c);
    }
}

void http2_conn_feed(struct server_conn *c, const char *data, size_t n)
{
    c->feeding = true;
    int rc = http2_feed(c->h2, data, n);
    c->feeding = false;
    if (c->closing) {
        return;
    }
    if (rc < 0) {
        metric_add(METRIC_HTTP_BAD_REQUESTS, 1);
        http2_conn_flush(c); /* the GOAWAY */
        if (!c->closing) {
            conn_finish(c);
        }
        return;
    }
    wake(c);
}

bool http2_conn_blocked(const struct server_conn *c)
{
    LIST_FOR_EACH (i, &c->exchanges) {
        if (buf_len(&CONTAINER_OF(i, struct http_exchange, link)->out)) {
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

static bool copy_head(struct arena *a, const struct http_head *from, struct http_head *to)
{
    *to = *from;
    to->headers = (struct http_headers){0};
    for (size_t i = 0; i < from->headers.n; i++) {
        if (http_header_add(a, &to->headers, from->headers.v[i].name, from->headers.v[i].value) <
            0) {
            return false;
        }
    }
    to->method = str_n(arena_str(a, from->method), from->method.n);
    to->target = str_n(arena_str(a, from->target), from->target.n);
    to->authority = str_n(arena_str(a, from->authority), from->authority.n);
    to->protocol = str_n(arena_str(a, from->protocol), from->protocol.n);
    return !arena_failed(a);
}

static int on_head(void *arg, int32_t id, void *stream_arg, const struct http_head *head, bool end)
{
    struct server_conn *c = arg;
    struct http_head mine;
    (void)stream_arg;
    if (c->closing || c->server->stopping) {
        return -E_BUSY;
    }
    struct http_exchange *x = exchange_new(c);
    if (!x) {
        return -E_NOMEM;
    }
    if (!copy_head(&x->arena, head, &mine)) {
        exchange_free(x);
        return -E_NOMEM;
    }
    bool first = list_empty(&c->exchanges);
    x->id = id;
    x->body_done = end;
    list_push_back(&c->exchanges, &x->link);
    http2_set_stream_arg(c->h2, id, x);
    if (first) {
        conn_set_timer(c);
    }
    exchange_start(x, &mine);
    return 0;
}

static void on_data(void *arg, int32_t id, void *stream_arg, const char *data, size_t n)
{
    struct server_conn *c = arg;
    struct http_exchange *x = stream_arg;
    if (!x) {
        http2_consume(c->h2, id, n);
    } else if (x->duplex) {
        duplex_feed(x->duplex, data, n);
    } else if (!x->live) {
        http2_consume(c->h2, id, n);
        x->held += n;
        if (x->held > DROP_MAX) {
            http2_reset(c->h2, id, HTTP2_CANCEL);
        }
    } else if (exchange_takes_body(x) && !(x->mode == BODY_READ && buf_len(&x->body))) {
        http2_consume(c->h2, id, n);
        exchange_body(x, str_n(data, n));
    } else if (buf_append(&x->body, data, n) < 0) { /* at most a window full */
        exchange_refuse(x, 503, "out of memory");
    } else {
        x->held += n;
    }
}

static void on_end(void *arg, int32_t id, void *stream_arg)
{
    struct http_exchange *x = stream_arg;
    (void)arg;
    (void)id;
    if (x && x->duplex) {
        duplex_feed_end(x->duplex);
    } else if (x && x->live) {
        exchange_body_end(x);
    }
}

static void on_close(void *arg, int32_t id, void *stream_arg, int code)
{
    struct server_conn *c = arg;
    struct http_exchange *x = stream_arg;
    (void)id;
    if (!x) {
        return;
    }
    if (x->duplex) {
        struct duplex *d = x->duplex;
        x->duplex = NULL;
        duplex_gone(d, code);
    }
    http2_set_stream_arg(c->h2, x->id, NULL);
    exchange_lost(x); /* tells the handler if it still has it */
    if (list_empty(&c->exchanges) && !c->closing) {
        conn_set_timer(c);
    }
}

static size_t pull(void *arg, int32_t id, void *stream_arg, char *out, size_t n, bool *eof)
{
    struct http_exchange *x = stream_arg;
    (void)arg;
    (void)id;
    if (!x) {
        *eof = true;
        return 0;
    }
    if (x->duplex) {
        return duplex_pull(x->duplex, out, n, eof);
    }
    x->conn->pulled += MIN_OF(n, buf_len(&x->out));
    size_t take = MIN_OF(n, buf_len(&x->out));
    memcpy(out, buf_data(&x->out), take);
    buf_consume(&x->out, take);
    if (buf_len(&x->out) == 0) {
        buf_fini(&x->out);
    }
    *eof = x->out_eof && buf_len(&x->out) == 0;
    if (x->live && x->want_drain && (ssize_t)buf_len(&x->out) < STREAM_LOW_WATER) {
        loop_defer(x->conn->server->cfg.loop, &x->drain_task);
    }
    return take;
}

static const struct http2_ops ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_close = on_close,
    .pull = pull,
};

int http2_conn_start(struct server_conn *c)
{
    c->h2 = http2_new(true, &ops, c);
    if (!c->h2) {
        return -ENOMEM;
    }
    wake(c); /* our SETTINGS */
    return 0;
}

/* ---- replies ---- */

void http2_exchange_reply(struct http_exchange *x, int status, const struct http_header *headers,
                          size_t n, bool body)
{
    struct server_conn *c = x->conn;
    struct http_headers list = {0};
    int rc = http_header_add(&x->arena, &list, STR_LIT("date"), str_of(server_date(c->server)));
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = http_is_token(headers[i].name) && http_is_field_value(headers[i].value)
                 ? http_header_add(&x->arena, &list, headers[i].name, headers[i].value)
                 : -EINVAL;
    }
    x->started = true;
    x->is_head |= status == 204 || status == 304;
    rc = rc == 0 ? http2_respond(c->h2, x->id, status, &list, body) : rc;
    if (rc < 0) {
        http2_reset(c->h2, x->id, HTTP2_INTERNAL);
    }
    wake(c);
}

void http2_exchange_detach(struct http_exchange *x)
{
    x->live = false;
    http2_consume(x->conn->h2, x->id, x->held);
    x->held = 0; /* counts what is dropped from now on */
    buf_fini(&x->body);
    io_task_cancel(&x->body_task);
    io_task_cancel(&x->drain_task);
    http2_resume(x->conn->h2, x->id);
    wake(x->conn);
}

/* ---- both directions ---- */

static void duplex_consume(void *owner, size_t n)
{
    struct http_exchange *x = owner;
    http2_consume(x->conn->h2, x->id, n);
    wake(x->conn);
}

static void duplex_wake(void *owner)
{
    struct http_exchange *x = owner;
    http2_resume(x->conn->h2, x->id);
    wake(x->conn);
}

static void duplex_closed(void *owner, bool clean)
{
    struct http_exchange *x = owner;
    x->duplex = NULL;
    if (!clean) {
        http2_reset(x->conn->h2, x->id, HTTP2_CANCEL);
    }
    x->out_eof = true;
    duplex_wake(x);
}

static void duplex_peer(void *owner, struct stream_peer *ret)
{
    struct http_exchange *x = owner;
    stream_get_peer(x->conn->stream, ret);
}

static const struct duplex_owner_ops duplex_ops = {
    .consume = duplex_consume,
    .wake = duplex_wake,
    .closed = duplex_closed,
    .get_peer = duplex_peer,
};

struct stream *http2_exchange_stream(struct http_exchange *x, const struct http_header *headers,
                                     size_t n)
{
    struct duplex *d = duplex_new(x->conn->server->cfg.loop, &duplex_ops, x);
    if (!d) {
        return NULL;
    }
    duplex_feed(d, buf_data(&x->body), buf_len(&x->body));
    if (x->body_done) {
        duplex_feed_end(d);
    }
    http2_exchange_reply(x, 200, headers, n, /* body= */ true);
    x->held = 0; /* given back to the windows when the user reads it */
    http2_exchange_detach(x);
    x->duplex = d;
    return duplex_stream(d);
}

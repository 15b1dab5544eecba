/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 on a server connection: one exchange after the other.
 *
 * The parser is fed only as far as somebody takes what comes out: while the handler has a complete
 * request, or does not want body bytes, input stays in conn->in and reading stops, so the peer
 * feels it. While a complete request waits for its reply reading goes on, to learn when the peer is
 * gone.
 */
#include <stdio.h>

#include "base/mem.h"
#include "base/metrics.h"
#include "http_server_private.h"

#define DROP_MAX ((uint64_t)1 << 20) /* of an unwanted body; above it the connection is closed */
#define READ_AHEAD ((size_t)16 << 10)

/* ---- replies ---- */

static int put_head(struct http_exchange *x, struct buf *b, int status,
                    const struct http_header *headers, size_t n)
{
    struct server_conn *c = x->conn;
    int rc = http1_put_status(b, status, x->req.version);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = http1_put_header(b, headers[i].name, headers[i].value);
    }
    return rc == 0 ? buf_printf(b, "date: %s\r\n", server_date(c->server)) : rc;
}

/* Whether the connection can carry another request after this exchange. */
static bool may_keep(const struct http_exchange *x)
{
    const struct server_conn *c = x->conn;
    bool unread =
        !x->body_done && (x->expect_continue || x->req.content_length > (int64_t)DROP_MAX);
    return c->keep_alive && !unread && !c->server->stopping && !c->heard_eof;
}

static void put_framing(struct http_exchange *x, struct buf *b, int status, size_t body_n,
                        bool complete)
{
    bool bodiless = status / 100 == 1 || status == 204 || status == 304;
    x->chunked = !complete && !bodiless && x->req.version == 11;
    if (complete && !bodiless) {
        (void)buf_printf(b, "content-length: %zu\r\n", body_n); /* failures are sticky */
    } else if (x->chunked) {
        (void)buf_puts(b, "transfer-encoding: chunked\r\n");
    } else if (!bodiless) {
        x->conn->keep_alive = false; /* HTTP/1.0: the end of the connection ends the body */
    }
    if (!may_keep(x)) {
        x->conn->keep_alive = false;
        (void)buf_puts(b, "connection: close\r\n");
    } else if (x->req.version == 10) {
        (void)buf_puts(b, "connection: keep-alive\r\n");
    }
    (void)http1_put_end(b);
}

/* Without memory, or with headers that cannot be sent, the connection is cut: the peer must not
 * take half a reply for a whole one. */
int http1_exchange_reply(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n, struct str body, bool complete)
{
    struct server_conn *c = x->conn;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    x->is_head |= status == 204 || status == 304;
    int rc = put_head(x, &b, status, headers, n);
    put_framing(x, &b, status, body.n, complete);
    struct str parts[2] = {buf_str(&b), x->is_head ? STR_NULL : body};
    rc = rc == 0 && buf_failed(&b) ? -ENOMEM : rc;
    ssize_t queued = rc == 0 ? conn_write(c, parts, 2) : rc;
    x->started = true;
    if (queued < 0) {
        c->keep_alive = false;
        x->chunked = false;
    }
    return queued < 0 ? (int)queued : 0;
}

static void refuse_bytes(struct server_conn *c, int status, const char *text)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    const char *type = server_error_body(c->server, status, text, &body);
    (void)http1_put_status(&b, status, 11); /* failures are sticky */
    (void)buf_printf(&b, "content-type: %s\r\ncontent-length: %zu\r\ndate: %s\r\n", type,
                     buf_len(&body), server_date(c->server));
    (void)buf_puts(&b, "connection: close\r\n\r\n");
    struct str parts[2] = {buf_str(&b), buf_str(&body)};
    if (!buf_failed(&b) && !buf_failed(&body)) {
        (void)conn_write(c, parts, 2); /* the peer may be gone */
    }
}

void http1_conn_refuse(struct server_conn *c, int status, const char *text)
{
    metric_add(METRIC_HTTP_BAD_REQUESTS, 1);
    refuse_bytes(c, status, text);
    conn_finish(c);
}

void http1_conn_resume(struct server_conn *c)
{
    if (!c->closing && !c->feeding) {
        loop_defer(c->server->cfg.loop, &c->task);
    }
}

void http1_exchange_end(struct http_exchange *x)
{
    struct server_conn *c = x->conn;
    if (x->chunked && !x->is_head) {
        struct str last = STR_LIT(HTTP1_LAST_CHUNK);
        if (conn_write(c, &last, 1) < 0) {
            c->keep_alive = false;
        }
    }
    bool drop = !x->body_done;
    c->x = NULL;
    exchange_free(x);
    if (!c->keep_alive) {
        conn_finish(c);
        return;
    }
    c->dropped = drop ? 1 : 0;
    conn_set_timer(c);
    stream_read_start(c->stream);
    http1_conn_resume(c);
}

/* ---- requests ---- */

static void start_exchange(struct server_conn *c, struct http1_event *ev)
{
    struct http_exchange *x = c->x;
    c->keep_alive = ev->keep_alive;
    c->dropped = 0;
    x->expect_continue = ev->expect_continue && ev->has_body;
    struct http_head *head = ev->head;
    if (!ev->has_body) {
        struct str nothing = STR_NULL;
        x->body_done = http1_next(&c->parser, &nothing, &x->arena, ev) == HTTP1_END;
    }
    exchange_start(x, head);
}

/* A body that is wanted: tell a client that waits for it (RFC 9110 section 10.1.1). */
static void send_continue(struct server_conn *c)
{
    struct str text = STR_LIT("HTTP/1.1 100 Continue\r\n\r\n");
    c->x->expect_continue = false;
    (void)conn_write(c, &text, 1); /* a dead peer shows soon */
}

static void drop_body(struct server_conn *c, size_t n)
{
    c->dropped += n;
    if (c->dropped > DROP_MAX) {
        conn_finish(c);
    }
}

static void bad_bytes(struct server_conn *c, struct http1_event *ev)
{
    if (c->x && c->x->live) {
        metric_add(METRIC_HTTP_BAD_REQUESTS, 1);
        c->keep_alive = false;
        exchange_refuse(c->x, ev->status, ev->err.text);
        if (!c->closing) {
            conn_finish(c);
        }
    } else if (c->dropped) {
        metric_add(METRIC_HTTP_BAD_REQUESTS, 1);
        conn_finish(c); /* the body of a request that has its reply */
    } else {
        http1_conn_refuse(c, ev->status, ev->err.text);
    }
}

/* Whether the next event has somebody to take it. */
static bool may_parse(struct server_conn *c)
{
    struct http_exchange *x = c->x;
    if (c->closing) {
        return false;
    }
    if (!x || !x->live) {
        return true;
    }
    return !x->body_done && exchange_takes_body(x);
}

/* Something happened: the time-outs run anew. */
static void rearm(struct server_conn *c)
{
    if (!c->closing) {
        conn_set_timer(c);
    }
}

/* One event; false when the input is used up. */
static bool step(struct server_conn *c, struct str *in)
{
    struct http1_event ev;
    if (!c->x && c->dropped == 0) {
        if (in->n == 0) {
            return false;
        }
        c->x = exchange_new(c);
        if (!c->x) {
            http1_conn_refuse(c, 503, "out of memory");
            return false;
        }
        conn_set_timer(c); /* the head's time runs */
    }
    switch (http1_next(&c->parser, in, c->x ? &c->x->arena : NULL, &ev)) {
    case HTTP1_MORE:
        return false;
    case HTTP1_HEAD:
        start_exchange(c, &ev);
        rearm(c);
        return true;
    case HTTP1_BODY:
        if (c->x) {
            exchange_body(c->x, ev.data);
            rearm(c);
        } else {
            drop_body(c, ev.data.n);
        }
        return true;
    case HTTP1_END:
        c->dropped = 0;
        if (c->x) {
            exchange_body_end(c->x);
            rearm(c);
        }
        return true;
    case HTTP1_ERROR:
        bad_bytes(c, &ev);
        return false;
    }
    return false;
}

static void parse(struct server_conn *c, struct str *in)
{
    c->feeding = true;
    c->unparsed = in;
    while (may_parse(c)) {
        if (c->x && c->x->live && c->x->expect_continue && exchange_wants_body(c->x)) {
            send_continue(c);
        }
        if (!step(c, in)) {
            break;
        }
    }
    c->feeding = false;
    c->unparsed = NULL;
}

/* Takes new bytes (or none: looks at what waits). */
void http1_conn_feed(struct server_conn *c, const char *data, size_t n)
{
    struct buf kept = c->in;
    struct str in = str_n(data, n);
    buf_init(&c->in, 0);
    bool ok = buf_len(&kept) == 0 || n == 0 || buf_append(&kept, data, n) == 0;
    if (buf_len(&kept)) {
        in = buf_str(&kept);
    }
    if (ok) {
        parse(c, &in);
    }
    if (!c->closing && (!ok || (in.n && buf_append(&c->in, in.p, in.n) < 0))) {
        conn_close(c);
    }
    buf_fini(&kept);
    if (c->closing) {
        return;
    }
    if (c->heard_eof) {
        http1_conn_eof(c);
    } else if (buf_len(&c->in) > READ_AHEAD) {
        stream_read_stop(c->stream);
    } else {
        stream_read_start(c->stream);
    }
}

/* A peer that sent its request and then EOF counts as gone, as Go's server has it: a client that
 * died looks the same. */
void http1_conn_eof(struct server_conn *c)
{
    c->heard_eof = true;
    if (c->x && c->x->live) {
        conn_close(c);
    } else {
        conn_finish(c);
    }
}

struct stream *http1_exchange_stream(struct http_exchange *x, const char *protocol,
                                     const struct http_header *headers, size_t n)
{
    struct server_conn *c = x->conn;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    bool connect = str_is(x->req.method, "CONNECT");
    int rc = http1_put_status(&b, connect ? 200 : 101, 11);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = http1_put_header(&b, headers[i].name, headers[i].value);
    }
    if (!connect) {
        (void)buf_printf(&b, "upgrade: %s\r\nconnection: Upgrade\r\n", protocol);
    }
    (void)http1_put_end(&b); /* failures are sticky */
    if (rc < 0 || buf_failed(&b)) {
        return NULL;
    }
    /* The request has no body: what follows it belongs to the new protocol. */
    c->x = NULL;
    struct stream *s = conn_release(c);
    if (!s) {
        c->x = x;
        return NULL;
    }
    (void)stream_write(s, buf_data(&b), buf_len(&b)); /* a dead peer shows in the stream */
    exchange_free(x);
    return s;
}

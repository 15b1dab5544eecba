/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the HTTP server: recognises the protocol, keeps the time-outs, ends it.
 *
 * One timer a connection; what it means depends on what is awaited:
 *     nothing under way          idle time-out
 *     an incomplete head         head time-out
 *     a body somebody reads      body time-out since its last bytes
 *     queued output              write time-out without progress
 */
#include "base/mem.h"
#include "base/metrics.h"
#include "http_server_private.h"

/* A crowd that goes leaves memory behind: it is given back when half of at least so many are gone.
 */
#define TRIM_PEAK 256
#define TRIM_MS 500

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"; /* RFC 9113 section 3.4 */

static void free_conn(void *arg)
{
    struct server_conn *c = arg;
    void (*on_end)(void *) = c->on_end;
    void *on_end_arg = c->on_end_arg;
    http1_fini(&c->parser);
    http2_free(c->h2);
    buf_fini(&c->in);
    mem_free(c->identity);
    mem_free(c);
    if (on_end) {
        on_end(on_end_arg);
    }
}

/* The connection leaves the server; its memory goes in a later tick, as it may be on the stack. */
static void retire(struct server_conn *c)
{
    struct http_server *s = c->server;
    c->closing = true;
    io_timer_stop(&c->timer);
    io_task_cancel(&c->task);
    if (c->x) {
        exchange_lost(c->x);
        c->x = NULL;
    }
    while (!list_empty(&c->exchanges)) {
        struct http_exchange *x = CONTAINER_OF(c->exchanges.next, struct http_exchange, link);
        http2_set_stream_arg(c->h2, x->id, NULL);
        exchange_lost(x);
    }
    list_del(&c->link);
    s->n_conns--;
    metric_add(METRIC_HTTP_CONNECTIONS, -1);
    loop_defer(s->cfg.loop, &c->free_task);
    if (s->peak >= TRIM_PEAK && s->n_conns < s->peak / 2) {
        s->peak = s->n_conns;
        io_timer_start(&s->trim, TRIM_MS, 0); /* when those that close now are freed */
    }
    if (s->stopping && s->n_conns == 0 && s->n_handshakes == 0 && s->done) {
        loop_defer(s->cfg.loop, &s->done_task);
    }
}

void conn_close(struct server_conn *c)
{
    if (!c->closing) {
        retire(c);
        stream_close(c->stream);
        c->stream = NULL;
    }
}

void conn_finish(struct server_conn *c)
{
    if (!c->closing) {
        retire(c);
        stream_finish(c->stream);
        c->stream = NULL;
    }
}

struct stream *conn_release(struct server_conn *c)
{
    static const struct stream_events none;
    struct stream *lower = c->stream;
    if (c->feeding && c->unparsed && c->unparsed->n) {
        if (buf_append(&c->in, c->unparsed->p, c->unparsed->n) < 0) {
            return NULL;
        }
        c->unparsed->n = 0;
    }
    struct stream *s = stream_with_prefix(lower, &c->in);
    if (!s) {
        return NULL;
    }
    if (s == lower) {
        stream_set_events(s, &none, NULL);
    }
    c->stream = NULL;
    retire(c);
    return s;
}

ssize_t conn_write(struct server_conn *c, const struct str *parts, size_t n)
{
    ssize_t rc = stream_writev(c->stream, parts, n);
    for (size_t i = 0; rc >= 0 && i < n; i++) {
        c->given += parts[i].n;
    }
    return rc;
}

void conn_stop(struct server_conn *c)
{
    c->keep_alive = false;
    if (c->kind == CONN_HTTP2 && !list_empty(&c->exchanges)) {
        (void)http2_goaway(c->h2); /* out of memory: the grace time ends it */
        loop_defer(c->server->cfg.loop, &c->task);
    } else if (!c->x || !c->x->live) {
        conn_finish(c);
    }
}

/* ---- time-outs ---- */

static bool busy(const struct server_conn *c)
{
    return (c->x && c->x->live) || !list_empty(&c->exchanges);
}

void conn_set_timer(struct server_conn *c)
{
    const struct http_server_config *cfg = &c->server->cfg;
    int64_t ms = cfg->idle_timeout_ms;
    if (c->closing) {
        return;
    }
    if (c->ping_ms > 0) {
        ms = c->ping_ms;
    } else if (busy(c)) {
        bool body = c->x && !c->x->body_done && exchange_wants_body(c->x);
        ms = body ? cfg->body_timeout_ms : cfg->write_timeout_ms;
    } else if (c->kind == CONN_UNKNOWN || (c->x && !c->x->live)) {
        ms = cfg->head_timeout_ms;
    }
    c->last_sent = c->given - (uint64_t)stream_queued(c->stream);
    c->last_pulled = c->pulled;
    io_timer_start(&c->timer, ms, 0);
}

/* Whether the peer took no byte since the last look although some wait. */
static bool stalled(struct server_conn *c)
{
    uint64_t queued = (uint64_t)stream_queued(c->stream);
    bool closed_windows =
        c->kind == CONN_HTTP2 && c->pulled == c->last_pulled && http2_conn_blocked(c);
    return (queued > 0 && c->given - queued == c->last_sent) || closed_windows;
}

static void ping_tick(struct server_conn *c)
{
    if (c->heard != c->heard_before) {
        c->ping_open = false;
    } else if (c->ping_open) {
        conn_close(c);
        return;
    } else {
        c->ping_open = true;
        (void)http2_ping(c->h2); /* without memory the next tick ends it */
        loop_defer(c->server->cfg.loop, &c->task);
    }
    c->heard_before = c->heard;
    conn_set_timer(c);
}

static void on_timer(void *arg)
{
    struct server_conn *c = arg;
    if (c->ping_ms > 0) {
        ping_tick(c);
    } else if (busy(c)) {
        bool body = c->x && !c->x->body_done && exchange_wants_body(c->x);
        if (body) {
            exchange_refuse(c->x, 408, "the request body did not arrive in time");
        } else if (stalled(c)) {
            conn_close(c);
        } else {
            conn_set_timer(c);
        }
    } else if (c->kind == CONN_HTTP1 && c->x && !c->x->live) {
        http1_conn_refuse(c, 408, "the request did not arrive in time");
    } else if (stream_queued(c->stream) > 0 && !stalled(c)) {
        conn_set_timer(c); /* a slow reader of the last reply */
    } else if (c->kind == CONN_HTTP2) {
        (void)http2_goaway(c->h2); /* politeness only */
        http2_conn_flush(c);
        conn_finish(c);
    } else {
        conn_close(c);
    }
}

/* ---- bytes ---- */

static void use_http1(struct server_conn *c)
{
    c->kind = CONN_HTTP1;
    http1_init(&c->parser, HTTP1_REQUEST);
}

static void use_http2(struct server_conn *c)
{
    c->kind = CONN_HTTP2;
    if (http2_conn_start(c) < 0) {
        conn_close(c);
    } else {
        conn_set_timer(c);
    }
}

/* Gathers bytes until they differ from HTTP/2's preface or complete it. */
static void recognise(struct server_conn *c, const char *data, size_t n)
{
    if (buf_append(&c->in, data, n) < 0) {
        conn_close(c);
        return;
    }
    struct buf all = c->in;
    size_t cmp = MIN_OF(buf_len(&all), sizeof preface - 1);
    bool same = str_eq(str_n(buf_data(&all), cmp), str_n(preface, cmp));
    if (same && cmp < sizeof preface - 1) {
        return;
    }
    buf_init(&c->in, 0);
    if (same) {
        use_http2(c);
    } else {
        use_http1(c);
    }
    if (!c->closing && same) {
        http2_conn_feed(c, buf_data(&all), buf_len(&all));
    } else if (!c->closing) {
        http1_conn_feed(c, buf_data(&all), buf_len(&all));
    }
    buf_fini(&all);
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct server_conn *c = arg;
    c->heard += n;
    switch (c->kind) {
    case CONN_UNKNOWN:
        recognise(c, data, n);
        break;
    case CONN_HTTP1:
        http1_conn_feed(c, data, n);
        break;
    case CONN_HTTP2:
        http2_conn_feed(c, data, n);
        break;
    }
}

static void on_eof(void *arg)
{
    struct server_conn *c = arg;
    if (c->kind == CONN_HTTP1) {
        http1_conn_eof(c);
    } else {
        conn_close(c);
    }
}

static void on_error(void *arg, int code)
{
    (void)code; /* each exchange hears of it by on_close */
    conn_close(arg);
}

static void on_drain(void *arg)
{
    struct server_conn *c = arg;
    if (c->kind == CONN_HTTP2) {
        http2_conn_flush(c);
    } else if (c->x && c->x->live) {
        exchange_drained(c->x);
    }
}

static void on_task(void *arg)
{
    struct server_conn *c = arg;
    if (c->kind == CONN_HTTP2) {
        http2_conn_flush(c);
    } else {
        http1_conn_feed(c, NULL, 0);
    }
}

static const struct stream_events conn_events = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drain = on_drain,
};

int conn_serve(struct http_server *s, struct stream *stream, enum http_protocol protocol,
               const char *identity, int64_t ping_ms, void (*on_end)(void *arg), void *arg)
{
    struct server_conn *c = mem_zalloc(sizeof *c);
    char *copy = mem_strdup(identity);
    if (!c || (identity && !copy)) {
        mem_free(c);
        mem_free(copy);
        stream_close(stream);
        return -ENOMEM;
    }
    *c = (struct server_conn){.server = s,
                              .stream = stream,
                              .identity = copy,
                              .on_end = on_end,
                              .on_end_arg = arg,
                              .ping_ms = ping_ms};
    list_init(&c->exchanges);
    io_timer_init(s->cfg.loop, &c->timer, on_timer, c);
    io_task_init(&c->task, on_task, c);
    io_task_init(&c->free_task, free_conn, c);
    list_push_back(&s->conns, &c->link);
    s->n_conns++;
    s->peak = MAX_OF(s->peak, s->n_conns);
    metric_add(METRIC_HTTP_CONNECTIONS, 1);
    stream_set_events(stream, &conn_events, c);
    stream_read_start(stream);
    conn_set_timer(c);
    if (protocol == HTTP_PROTOCOL_1) {
        use_http1(c);
        conn_set_timer(c);
    } else if (protocol == HTTP_PROTOCOL_2) {
        use_http2(c);
    }
    return 0;
}

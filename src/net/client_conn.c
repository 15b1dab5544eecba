/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection of the HTTP client: dial, TLS, then bytes for the protocol's file.
 *
 *     DIALLING (connect, handshake) -> HTTP1 or HTTP2 -> closed
 */
#include "base/mem.h"
#include "http_client_private.h"

static void free_conn(void *arg)
{
    struct client_conn *k = arg;
    http1_fini(&k->parser);
    http2_free(k->h2);
    buf_fini(&k->in);
    mem_free(k);
}

/* Leaves the client; the memory goes in a later tick. */
static void retire(struct client_conn *k)
{
    struct http_client *c = k->client;
    k->closing = true;
    io_timer_stop(&k->timer);
    io_task_cancel(&k->task);
    io_connect_cancel(k->dial);
    tls_handshake_cancel(k->handshake);
    k->dial = NULL;
    k->handshake = NULL;
    list_del(&k->link);
    c->n_conns--;
    loop_defer(c->cfg.loop, &k->free_task);
}

/* A call that may have another try: its connection was an old one, and no byte of the answer came.
 */
static bool may_requeue(const struct client_conn *k, const struct http_call *call, int code)
{
    return k->used && code != -E_CANCELED && code != -ETIMEDOUT && code != -E_PROTO &&
           !(k->kind == CLIENT_HTTP1 && k->got_bytes) && call_may_retry(call);
}

void client_conn_close(struct client_conn *k, int code, const char *text)
{
    struct http_client *c = k->client;
    struct list calls;
    if (k->closing) {
        return;
    }
    retire(k);
    stream_close(k->stream);
    k->stream = NULL;
    list_init(&calls);
    list_splice(&calls, &k->calls);
    client2_close_links(k, code);
    while (!list_empty(&calls)) {
        struct http_call *call = CONTAINER_OF(calls.next, struct http_call, link);
        if (k->kind == CLIENT_HTTP2) {
            http2_set_stream_arg(k->h2, call->id, NULL);
        }
        if (may_requeue(k, call, code)) {
            call_requeue(call);
        } else {
            call_fail(call, code, text);
        }
    }
    if (!c->freed) {
        loop_defer(c->cfg.loop, &c->pump);
    }
    if (c->single && c->on_end) {
        void (*on_end)(void *, int) = c->on_end;
        c->on_end = NULL;
        on_end(c->on_end_arg, code);
    }
}

struct stream *client_conn_release(struct client_conn *k)
{
    static const struct stream_events none;
    struct stream *lower = k->stream;
    if (k->unparsed && k->unparsed->n) {
        if (buf_append(&k->in, k->unparsed->p, k->unparsed->n) < 0) {
            return NULL;
        }
        k->unparsed->n = 0;
    }
    struct stream *s = stream_with_prefix(lower, &k->in);
    if (!s) {
        return NULL;
    }
    if (s == lower) {
        stream_set_events(s, &none, NULL);
    }
    k->stream = NULL;
    retire(k);
    return s;
}

bool client_conn_takes(const struct client_conn *k)
{
    if (k->closing || k->draining) {
        return false;
    }
    switch (k->kind) {
    case CLIENT_HTTP1:
        return list_empty(&k->calls);
    case CLIENT_HTTP2:
        return http2_alive(k->h2) && http2_streams(k->h2) < http2_peer_max_streams(k->h2);
    case CLIENT_DIALLING:
        break;
    }
    return false;
}

void client_conn_start(struct client_conn *k, struct http_call *call)
{
    list_push_back(&k->calls, &call->link);
    call->conn = k;
    if (k->client->cfg.ping_ms <= 0) {
        io_timer_stop(&k->timer);
    }
    if (k->kind == CLIENT_HTTP1) {
        client1_start(k, call);
    } else {
        client2_start(k, call);
    }
}

void client_conn_idle(struct client_conn *k)
{
    struct http_client *c = k->client;
    bool idle = list_empty(&k->calls) && list_empty(&k->links);
    k->used = true;
    if (idle && c->cfg.ping_ms <= 0 && c->cfg.idle_timeout_ms > 0) {
        io_timer_start(&k->timer, c->cfg.idle_timeout_ms, 0);
    }
    if (idle && k->draining && k->kind == CLIENT_HTTP2) {
        loop_defer(c->cfg.loop, &k->task);
    }
    if (!list_empty(&c->waiting)) {
        loop_defer(c->cfg.loop, &c->pump);
    }
}

static void ping_tick(struct client_conn *k)
{
    if (k->heard != k->heard_before) {
        k->ping_open = false;
    } else if (k->ping_open) {
        client_conn_close(k, -ETIMEDOUT, "the peer does not answer pings");
        return;
    } else {
        k->ping_open = true;
        (void)http2_ping(k->h2); /* without memory the next tick ends it */
        loop_defer(k->client->cfg.loop, &k->task);
    }
    k->heard_before = k->heard;
}

static void on_timer(void *arg)
{
    struct client_conn *k = arg;
    if (k->kind == CLIENT_DIALLING) {
        struct http_client *c = k->client;
        client_conn_close(k, -ETIMEDOUT, "timed out");
        while (!list_empty(&c->waiting)) {
            call_fail(CONTAINER_OF(c->waiting.next, struct http_call, link), -ETIMEDOUT,
                      "connecting timed out");
        }
    } else if (k->kind == CLIENT_HTTP2 && k->client->cfg.ping_ms > 0) {
        ping_tick(k);
    } else if (list_empty(&k->calls) && list_empty(&k->links)) {
        client_conn_close(k, -E_CANCELED, "idle");
    }
}

/* ---- bytes ---- */

static void on_read(void *arg, const char *data, size_t n)
{
    struct client_conn *k = arg;
    k->heard += n;
    if (k->kind == CLIENT_HTTP1) {
        client1_feed(k, data, n);
    } else {
        client2_feed(k, data, n);
    }
}

static void on_eof(void *arg)
{
    struct client_conn *k = arg;
    if (k->kind == CLIENT_HTTP1) {
        client1_eof(k);
    } else {
        client_conn_close(k, -E_CONNRESET, "the server closed the connection");
    }
}

static void on_error(void *arg, int code)
{
    client_conn_close(arg, code, err_text(code));
}

static void on_drain(void *arg)
{
    struct client_conn *k = arg;
    if (k->kind == CLIENT_HTTP2) {
        client2_flush(k);
    } else if (!list_empty(&k->calls)) {
        call_drained(CONTAINER_OF(k->calls.next, struct http_call, link));
    }
}

static void on_task(void *arg)
{
    struct client_conn *k = arg;
    if (k->kind == CLIENT_HTTP2) {
        client2_flush(k);
    } else if (k->kind == CLIENT_HTTP1) {
        client1_feed(k, NULL, 0);
    }
}

static const struct stream_events conn_events = {
    .on_read = on_read,
    .on_eof = on_eof,
    .on_error = on_error,
    .on_drain = on_drain,
};

static int ready(struct client_conn *k, struct stream *s, bool h2)
{
    struct http_client *c = k->client;
    k->stream = s;
    k->kind = h2 ? CLIENT_HTTP2 : CLIENT_HTTP1;
    c->used_h2 = h2;
    io_timer_stop(&k->timer);
    http1_init(&k->parser, HTTP1_RESPONSE);
    if (h2 && client2_open(k) < 0) {
        return -ENOMEM;
    }
    stream_set_events(s, &conn_events, k);
    stream_read_start(s);
    if (h2 && c->cfg.ping_ms > 0) {
        io_timer_start(&k->timer, c->cfg.ping_ms, c->cfg.ping_ms);
    } else if (c->cfg.idle_timeout_ms > 0) {
        io_timer_start(&k->timer, c->cfg.idle_timeout_ms, 0);
    }
    loop_defer(c->cfg.loop, &c->pump);
    return 0;
}

/* ---- dialling ---- */

/* Nobody can be served now: every call that waits hears why. */
static void dial_failed(struct client_conn *k, const struct err *err)
{
    struct http_client *c = k->client;
    struct list batch;
    client_conn_close(k, err->code, err->text);
    list_init(&batch);
    list_splice(&batch, &c->waiting);
    while (!list_empty(&batch)) {
        call_fail(CONTAINER_OF(batch.next, struct http_call, link), err->code, err->text);
    }
}

static void on_tls(void *arg, struct stream *s, const char *alpn, const struct err *err)
{
    struct client_conn *k = arg;
    k->handshake = NULL;
    if (!s) {
        dial_failed(k, err);
        return;
    }
    bool h2 = k->client->cfg.protocol == HTTP_PROTOCOL_2 ||
              (k->client->cfg.protocol == HTTP_PROTOCOL_AUTO && cstr_eq(alpn, "h2"));
    if (ready(k, s, h2) < 0) {
        client_conn_close(k, -ENOMEM, "out of memory");
    }
}

static void on_connected(void *arg, struct stream *s, const struct err *err)
{
    struct client_conn *k = arg;
    struct http_client *c = k->client;
    struct err no_memory;
    k->dial = NULL;
    if (!s) {
        dial_failed(k, err);
        return;
    }
    if (!c->cfg.tls) {
        if (ready(k, s, c->cfg.protocol == HTTP_PROTOCOL_2) < 0) {
            client_conn_close(k, -ENOMEM, "out of memory");
        }
        return;
    }
    k->handshake = tls_connect(c->cfg.tls, s, c->cfg.host, c->cfg.connect_timeout_ms, on_tls, k);
    if (!k->handshake) {
        (void)err_set(&no_memory, -ENOMEM, "out of memory");
        dial_failed(k, &no_memory);
    }
}

static struct client_conn *new_conn(struct http_client *c)
{
    struct client_conn *k = mem_zalloc(sizeof *k);
    if (k) {
        k->client = c;
        list_init(&k->calls);
        list_init(&k->links);
        io_timer_init(c->cfg.loop, &k->timer, on_timer, k);
        io_task_init(&k->task, on_task, k);
        io_task_init(&k->free_task, free_conn, k);
        list_push_back(&c->conns, &k->link);
        c->n_conns++;
    }
    return k;
}

int client_conn_dial(struct http_client *c)
{
    struct client_conn *k = new_conn(c);
    if (!k) {
        return -ENOMEM;
    }
    k->dial = c->cfg.unix_path ? unix_connect(c->cfg.loop, c->cfg.unix_path, on_connected, k)
                               : tcp_connect(c->cfg.loop, c->cfg.host, c->cfg.port,
                                             c->cfg.connect_timeout_ms, on_connected, k);
    if (!k->dial) {
        retire(k);
        return -ENOMEM;
    }
    io_timer_start(&k->timer, c->cfg.connect_timeout_ms, 0);
    return 0;
}

int client_conn_adopt(struct http_client *c, struct stream *s, enum http_protocol protocol)
{
    struct client_conn *k = new_conn(c);
    if (!k) {
        stream_close(s);
        return -ENOMEM;
    }
    if (ready(k, s, protocol == HTTP_PROTOCOL_2) < 0) {
        client_conn_close(k, -ENOMEM, "out of memory");
        return -ENOMEM;
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 on a client connection: many calls at once; see http_client_private.h. */
#include <stdio.h>

#include "base/mem.h"
#include "http_client_private.h"

#define LOWER_MAX ((ssize_t)128 << 10)
#define DRAIN_STEP ((size_t)64 << 10)

static void wake(struct client_conn *k)
{
    if (!k->closing) {
        loop_defer(k->client->cfg.loop, &k->task);
    }
}

void client2_flush(struct client_conn *k)
{
    int more = 1;
    while (more > 0 && !k->closing && stream_queued(k->stream) < LOWER_MAX) {
        CLEANUP(buf_finip) struct buf b = BUF_INIT;
        more = http2_drain(k->h2, &b, DRAIN_STEP);
        if (k->closing) {
            return;
        }
        if (more < 0 || (buf_len(&b) && stream_write(k->stream, buf_data(&b), buf_len(&b)) < 0)) {
            client_conn_close(k, more < 0 ? more : -EPIPE, "the connection is closed");
            return;
        }
    }
    if (k->closing) {
        return;
    }
    stream_flush(k->stream);
    if (!http2_alive(k->h2) || (k->draining && list_empty(&k->calls) && list_empty(&k->links))) {
        client_conn_close(k, -E_CONNRESET, "the server closed the connection");
    }
}

void client2_feed(struct client_conn *k, const char *data, size_t n)
{
    int rc = http2_feed(k->h2, data, n);
    if (k->closing) {
        return;
    }
    if (rc < 0) {
        client2_flush(k);
        client_conn_close(k, rc, "the server broke the rules of HTTP/2");
        return;
    }
    wake(k);
}

/* ---- the other direction: an HTTP/2 stream as a byte stream ---- */

/* A handed-over call is reduced to this: what the HTTP/2 stream points to from then on. */
struct duplex_link {
    uint32_t magic; /* tells it from a call */
    struct list link;
    struct client_conn *conn;
    int32_t id;
    struct duplex *duplex;
};

#define LINK_MAGIC 0x4c494e4bu

_Static_assert(offsetof(struct http_call, magic) == 0, "link_of() looks at the magic");

static struct duplex_link *link_of(void *stream_arg)
{
    struct duplex_link *l = stream_arg;
    return l && l->magic == LINK_MAGIC ? l : NULL;
}

static void free_link(struct duplex_link *l)
{
    http2_set_stream_arg(l->conn->h2, l->id, NULL);
    list_del(&l->link);
    if (!l->conn->closing) {
        client_conn_idle(l->conn);
    }
    mem_free(l);
}

static void link_consume(void *owner, size_t n)
{
    struct duplex_link *l = owner;
    http2_consume(l->conn->h2, l->id, n);
    wake(l->conn);
}

static void link_wake(void *owner)
{
    struct duplex_link *l = owner;
    http2_resume(l->conn->h2, l->id);
    wake(l->conn);
}

static void link_closed(void *owner, bool clean)
{
    struct duplex_link *l = owner;
    if (!clean) {
        http2_reset(l->conn->h2, l->id, HTTP2_CANCEL);
    }
    link_wake(l);
    free_link(l);
}

static void link_peer(void *owner, struct stream_peer *ret)
{
    struct duplex_link *l = owner;
    stream_get_peer(l->conn->stream, ret);
}

static const struct duplex_owner_ops link_ops = {
    .consume = link_consume,
    .wake = link_wake,
    .closed = link_closed,
    .get_peer = link_peer,
};

void client2_close_links(struct client_conn *k, int code)
{
    while (!list_empty(&k->links)) {
        struct duplex_link *l = CONTAINER_OF(k->links.next, struct duplex_link, link);
        struct duplex *d = l->duplex;
        free_link(l);
        duplex_gone(d, code);
    }
}

/* 2xx to a request for a stream. */
static void hand_over(struct client_conn *k, struct http_call *call, bool end)
{
    struct duplex_link *l = mem_zalloc(sizeof *l);
    struct duplex *d = l ? duplex_new(k->client->cfg.loop, &link_ops, l) : NULL;
    if (!d) {
        mem_free(l);
        client2_drop(call);
        call_fail(call, -ENOMEM, "out of memory");
        return;
    }
    *l = (struct duplex_link){.magic = LINK_MAGIC, .conn = k, .id = call->id, .duplex = d};
    list_push_back(&k->links, &l->link);
    http2_set_stream_arg(k->h2, call->id, l);
    if (end) {
        duplex_feed_end(d);
    }
    call_hand_over(call, duplex_stream(d));
}

/* ---- events ---- */

static bool copy_headers(struct arena *a, const struct http_headers *from, struct http_headers *to)
{
    *to = (struct http_headers){0};
    for (size_t i = 0; i < from->n; i++) {
        if (http_header_add(a, to, from->v[i].name, from->v[i].value) < 0) {
            return false;
        }
    }
    return true;
}

static int on_head(void *arg, int32_t id, void *stream_arg, const struct http_head *head, bool end)
{
    struct client_conn *k = arg;
    struct http_call *call = stream_arg;
    struct http_head mine = *head;
    (void)id;
    if (!call || link_of(stream_arg) || head->status / 100 == 1) {
        return 0;
    }
    if (!copy_headers(&call->arena, &head->headers, &mine.headers)) {
        return -E_NOMEM;
    }
    call_headers(call, &mine);
    if (call->upgrade && call->ops->on_stream && head->status / 100 == 2) {
        hand_over(k, call, end);
        return 0;
    }
    if (call->ops->on_headers) {
        call->ops->on_headers(call, call->arg, &call->response);
    }
    if (!call->over && end) {
        call_data_end(call);
    }
    return 0;
}

static void on_data(void *arg, int32_t id, void *stream_arg, const char *data, size_t n)
{
    struct client_conn *k = arg;
    struct http_call *call = stream_arg;
    if (!call) {
        http2_consume(k->h2, id, n);
    } else if (link_of(stream_arg)) {
        duplex_feed(link_of(stream_arg)->duplex, data, n);
    } else {
        if (!call->paused && buf_len(&call->in) == 0) {
            http2_consume(k->h2, id, n);
        }
        (void)call_data(call, str_n(data, n)); /* the call may be over now */
    }
}

static void on_end(void *arg, int32_t id, void *stream_arg)
{
    (void)arg;
    (void)id;
    if (link_of(stream_arg)) {
        duplex_feed_end(link_of(stream_arg)->duplex);
    } else if (stream_arg) {
        struct http_call *call = stream_arg;
        if (!call->in_ended) {
            call_data_end(call);
        }
    }
}

static void on_close(void *arg, int32_t id, void *stream_arg, int code)
{
    struct client_conn *k = arg;
    struct http_call *call = stream_arg;
    if (link_of(stream_arg)) {
        struct duplex_link *l = stream_arg;
        struct duplex *d = l->duplex;
        free_link(l);
        duplex_gone(d, code);
        return;
    }
    if (!call) {
        return;
    }
    http2_set_stream_arg(k->h2, id, NULL);
    call->id = -1;
    if (call->in_ended) {
        return; /* paused: the rest comes when the user wants it */
    }
    if (code == -E_BUSY && call_may_retry(call)) {
        call_requeue(call); /* refused before anything was done (RFC 9113 section 8.7) */
    } else {
        call_fail(call, code < 0 ? code : -E_CONNRESET, "the server reset the request");
    }
}

static size_t pull(void *arg, int32_t id, void *stream_arg, char *out, size_t n, bool *eof)
{
    struct http_call *call = stream_arg;
    (void)arg;
    (void)id;
    if (!call) {
        *eof = true;
        return 0;
    }
    if (link_of(stream_arg)) {
        return duplex_pull(link_of(stream_arg)->duplex, out, n, eof);
    }
    if (call->upgrade) {
        return 0; /* opens when the server agrees */
    }
    size_t at = call->stream_body ? 0 : call->pulled; /* a fixed body is kept for a retry */
    size_t take = MIN_OF(n, buf_len(&call->out) - at);
    memcpy(out, buf_data(&call->out) + at, take);
    if (call->stream_body) {
        buf_consume(&call->out, take);
        at = 0;
    } else {
        at = call->pulled += take;
    }
    *eof = call->body_ended && at == buf_len(&call->out);
    if (call->want_drain && (ssize_t)buf_len(&call->out) < STREAM_LOW_WATER) {
        call_drained(call);
    }
    return take;
}

static void on_goaway(void *arg, uint32_t error, struct str debug)
{
    struct client_conn *k = arg;
    (void)error;
    (void)debug;
    k->draining = true;
}

static const struct http2_ops ops = {
    .on_head = on_head,
    .on_data = on_data,
    .on_end = on_end,
    .on_close = on_close,
    .pull = pull,
    .on_goaway = on_goaway,
};

int client2_open(struct client_conn *k)
{
    k->h2 = http2_new(false, &ops, k);
    if (!k->h2) {
        return -ENOMEM;
    }
    wake(k);
    return 0;
}

void client2_start(struct client_conn *k, struct http_call *call)
{
    struct arena *a = &call->arena;
    struct http_head head = call->head;
    bool body = call->stream_body || call->upgrade || buf_len(&call->out);
    char length[24];
    head.version = 20;
    struct http_headers list;
    bool ok = copy_headers(a, &head.headers, &list);
    if (call->upgrade) {
        ok =
            ok && http_header_add(a, &list, STR_LIT("selvedge-stream"), str_of(call->upgrade)) == 0;
    } else if (buf_len(&call->out) && !call->stream_body) {
        (void)snprintf(length, sizeof length, "%zu", buf_len(&call->out));
        ok = ok && http_header_add(a, &list, STR_LIT("content-length"), str_of(length)) == 0;
    }
    head.headers = list;
    int32_t id = ok ? http2_request(k->h2, k->client->cfg.tls ? "https" : "http", &head, body, call)
                    : -ENOMEM;
    if (id < 0) {
        k->draining |= id == -E_BUSY; /* out of stream ids */
        call_fail(call, id, err_text(id));
        return;
    }
    call->id = id;
    wake(k);
}

void client2_drop(struct http_call *call)
{
    struct client_conn *k = call->conn;
    if (!k || k->kind != CLIENT_HTTP2 || call->id < 0) {
        return;
    }
    http2_set_stream_arg(k->h2, call->id, NULL);
    if (!call->in_ended || !call->body_ended) {
        http2_reset(k->h2, call->id, HTTP2_CANCEL);
    }
    call->id = -1;
    wake(k);
}

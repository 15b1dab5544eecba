/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/2 connections over nghttp2; see http2.h.
 *
 * Invariants
 * 1. A stream's record lives from its first HEADERS (or our request) to on_close, as nghttp2's
 * stream user data.
 * 2. `unconsumed` counts the bytes of a stream that were received and not yet given back to the
 * windows; what is left when the stream goes is given back to the connection, so that no stream can
 * shrink it for ever.
 */
#include "http2.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"

struct stream {
    struct list link;
    int32_t id;
    void *arg;
    size_t unconsumed;
    bool refused;
    /* The head that is being received. */
    bool in_head;
    bool too_large;
    size_t head_bytes;
    struct arena arena;
    struct http_head head;
};

struct http2 {
    bool server;
    const struct http2_ops *ops;
    void *arg;
    nghttp2_session *session;
    struct list streams;
    size_t n_streams;
    bool failed; /* nghttp2 or memory failed: the connection is over */
};

static struct stream *stream_of(struct http2 *h, int32_t id)
{
    return nghttp2_session_get_stream_user_data(h->session, id);
}

static struct stream *stream_new(struct http2 *h, int32_t id, void *arg)
{
    struct stream *s = mem_zalloc(sizeof(*s));
    if (s) {
        s->id = id;
        s->arg = arg;
        arena_init(&s->arena, (size_t)LIMIT_HEADERS * 4);
        list_push_back(&h->streams, &s->link);
        h->n_streams++;
    }
    return s;
}

static void stream_free(struct http2 *h, struct stream *s)
{
    list_del(&s->link);
    h->n_streams--;
    arena_fini(&s->arena);
    mem_free(s);
}

/* ---- heads that come in ---- */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    if (frame->hd.type != NGHTTP2_HEADERS) {
        return 0;
    }
    struct stream *s = stream_of(h, frame->hd.stream_id);
    if (!s) {
        s = stream_new(h, frame->hd.stream_id, NULL);
        if (!s || nghttp2_session_set_stream_user_data(session, s->id, s) != 0) {
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
    }
    arena_clear(&s->arena);
    s->head = (struct http_head){.version = 20, .content_length = -1};
    s->head_bytes = 0;
    s->in_head = true;
    s->too_large = false;
    return 0;
}

static void set_pseudo(struct stream *s, struct str name, struct str value)
{
    struct str copy = str_n(arena_str(&s->arena, value), value.n);
    int64_t status = 0;
    if (str_is(name, ":method")) {
        s->head.method = copy;
    } else if (str_is(name, ":path")) {
        s->head.target = copy;
    } else if (str_is(name, ":authority")) {
        s->head.authority = copy;
    } else if (str_is(name, ":protocol")) {
        s->head.protocol = copy;
    } else if (str_is(name, ":status") &&
               str_i64(value, &status) == 0) { /* nghttp2 has checked its form */
        s->head.status = (int)status;
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_n, const uint8_t *value, size_t value_n, uint8_t flags, void *user)
{
    struct stream *s = stream_of(user, frame->hd.stream_id);
    if (!s || !s->in_head) {
        return 0;
    }
    struct str n = str_n((const char *)name, name_n), v = str_n((const char *)value, value_n);
    s->head_bytes += name_n + value_n;
    if (s->head_bytes > LIMIT_HEADERS || s->head.headers.n >= LIMIT_HEADER_COUNT) {
        s->too_large = true;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets the stream */
    }
    if (str_starts(n, ":")) {
        set_pseudo(s, n, v);
        return 0;
    }
    if (str_is(n, "host") && s->head.authority.n == 0) {
        s->head.authority = str_n(arena_str(&s->arena, v), v.n);
    }
    int64_t length;
    if (str_is(n, "content-length") &&
        str_i64(v, &length) == 0) { /* nghttp2 has checked its form */
        s->head.content_length = length;
    }
    return http_header_add(&s->arena, &s->head.headers, n, v) < 0
               ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
               : 0;
}

static void deliver_head(struct http2 *h, struct stream *s, bool end)
{
    bool complete = h->server ? s->head.method.n > 0 : s->head.status > 0;
    s->in_head = false;
    if (!complete) { /* trailers */
        if (end) {
            h->ops->on_end(h->arg, s->id, s->arg);
        }
        return;
    }
    if (h->ops->on_head(h->arg, s->id, s->arg, &s->head, end) < 0) {
        s->refused = true;
        http2_reset(h, s->id, HTTP2_REFUSED);
    }
    arena_clear(&s->arena);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http2 *h = user;
    struct stream *s = frame->hd.stream_id ? stream_of(h, frame->hd.stream_id) : NULL;
    bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (s && s->in_head) {
            deliver_head(h, s, end);
        }
        break;
    case NGHTTP2_DATA:
        if (s && end && !s->refused) {
            h->ops->on_end(h->arg, s->id, s->arg);
        }
        break;
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) && h->ops->on_pong) {
            h->ops->on_pong(h->arg);
        }
        break;
    case NGHTTP2_GOAWAY:
        if (h->ops->on_goaway) {
            h->ops->on_goaway(
                h->arg, frame->goaway.error_code,
                str_n((const char *)frame->goaway.opaque_data, frame->goaway.opaque_data_len));
        }
        break;
    default:
        break;
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                         size_t n, void *user)
{
    struct http2 *h = user;
    struct stream *s = stream_of(h, id);
    if (!s || s->refused) {
        return nghttp2_session_consume(session, id, n) == 0 ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    s->unconsumed += n;
    h->ops->on_data(h->arg, id, s->arg, (const char *)data, n);
    return 0;
}

static int close_code(const struct stream *s, uint32_t error)
{
    if (s->too_large) {
        return -E_TOOBIG;
    }
    switch (error) {
    case NGHTTP2_NO_ERROR:
        return 0;
    case NGHTTP2_CANCEL:
        return -E_CANCELED;
    case NGHTTP2_REFUSED_STREAM:
        return -E_BUSY;
    case NGHTTP2_PROTOCOL_ERROR:
    case NGHTTP2_FLOW_CONTROL_ERROR:
    case NGHTTP2_FRAME_SIZE_ERROR:
        return -E_PROTO;
    default:
        return -E_CONNRESET;
    }
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
    struct http2 *h = user;
    struct stream *s = stream_of(h, id);
    if (!s) {
        return 0;
    }
    if (s->unconsumed && nghttp2_session_consume_connection(session, s->unconsumed) != 0) {
        h->failed = true;
    }
    /* Nobody knows of a stream whose head never became complete. */
    if (!h->server || !s->in_head) {
        h->ops->on_close(h->arg, id, s->arg, close_code(s, error));
    }
    (void)nghttp2_session_set_stream_user_data(session, id,
                                               NULL); /* the stream is there until we return */
    stream_free(h, s);
    return 0;
}

/* A request that nghttp2 gives up before its stream was opened (the peer sent GOAWAY):
 * on_stream_close does not tell of it. */
static int on_frame_not_send(nghttp2_session *session, const nghttp2_frame *frame, int lib_error,
                             void *user)
{
    struct http2 *h = user;
    if (h->server || frame->hd.type != NGHTTP2_HEADERS ||
        frame->headers.cat != NGHTTP2_HCAT_REQUEST || stream_of(h, frame->hd.stream_id)) {
        return 0;
    }
    LIST_FOR_EACH (l, &h->streams) {
        struct stream *s = CONTAINER_OF(l, struct stream, link);
        if (s->id == frame->hd.stream_id) {
            h->ops->on_close(h->arg, s->id, s->arg, -E_CANCELED);
            stream_free(h, s);
            break;
        }
    }
    return 0;
}

/* ---- bytes that go out ---- */

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t n,
                         uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct http2 *h = user;
    struct stream *s = stream_of(h, id);
    bool eof = false;
    if (!s) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    size_t got = h->ops->pull(h->arg, id, s->arg, (char *)out, n, &eof);
    assert(got <= n);
    if (eof) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return got == 0 && !eof ? NGHTTP2_ERR_DEFERRED : (ssize_t)got;
}

/* ---- the connection ---- */

static int make_session(struct http2 *h)
{
    nghttp2_session_callbacks *cb = NULL;
    nghttp2_option *opt = NULL;
    if (nghttp2_session_callbacks_new(&cb) != 0 || nghttp2_option_new(&opt) != 0) {
        nghttp2_session_callbacks_del(cb);
        return -ENOMEM;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
    nghttp2_option_set_no_auto_window_update(opt, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(opt, 4096);
    int rc = h->server ? nghttp2_session_server_new2(&h->session, cb, h, opt)
                       : nghttp2_session_client_new2(&h->session, cb, h, opt);
    nghttp2_option_del(opt);
    nghttp2_session_callbacks_del(cb);
    return rc == 0 ? 0 : -ENOMEM;
}

static int send_settings(struct http2 *h)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h->server ? LIMIT_STREAMS : 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, LIMIT_HEADERS},
        {h->server ? NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL : NGHTTP2_SETTINGS_ENABLE_PUSH,
         h->server ? 1 : 0},
    };
    int rc = nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_SIZE(settings));
    if (rc == 0) {
        rc = nghttp2_session_set_local_window_size(h->session, NGHTTP2_FLAG_NONE, 0,
                                                   (int32_t)HTTP2_CONNECTION_WINDOW);
    }
    return rc == 0 ? 0 : -ENOMEM;
}

struct http2 *http2_new(bool server, const struct http2_ops *ops, void *arg)
{
    struct http2 *h = mem_zalloc(sizeof(*h));
    if (!h) {
        return NULL;
    }
    h->server = server;
    h->ops = ops;
    h->arg = arg;
    list_init(&h->streams);
    if (make_session(h) < 0 || send_settings(h) < 0) {
        http2_free(h);
        return NULL;
    }
    return h;
}

void http2_free(struct http2 *h)
{
    if (!h) {
        return;
    }
    LIST_FOR_EACH_SAFE (l, &h->streams) {
        struct stream *s = CONTAINER_OF(l, struct stream, link);
        (void)nghttp2_session_set_stream_user_data(h->session, s->id,
                                                   NULL); /* it is there: invariant 1 */
        stream_free(h, s);
    }
    nghttp2_session_del(h->session);
    mem_free(h);
}

static int code_of(int rc)
{
    return rc == NGHTTP2_ERR_NOMEM || rc == NGHTTP2_ERR_CALLBACK_FAILURE ? -ENOMEM : -E_PROTO;
}

int http2_feed(struct http2 *h, const char *data, size_t n)
{
    if (h->failed) {
        return -E_PROTO;
    }
    ssize_t rc = nghttp2_session_mem_recv(h->session, (const uint8_t *)data, n);
    if (rc < 0 || (size_t)rc != n) {
        h->failed = true;
        return code_of((int)rc);
    }
    return 0;
}

int http2_drain(struct http2 *h, struct buf *out, size_t max)
{
    size_t before = buf_len(out);
    while (nghttp2_session_want_write(h->session)) {
        if (buf_len(out) - before >= max) {
            return 1;
        }
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(h->session, &data);
        if (n < 0 || (n > 0 && buf_append(out, data, (size_t)n) < 0)) {
            h->failed = true;
            return -ENOMEM;
        }
        if (n == 0) {
            break; /* what is left waits for windows or for bodies */
        }
    }
    return 0;
}

bool http2_wants_write(const struct http2 *h)
{
    return nghttp2_session_want_write(h->session) != 0;
}

bool http2_alive(const struct http2 *h)
{
    return !h->failed &&
           (nghttp2_session_want_read(h->session) || nghttp2_session_want_write(h->session));
}

/* ---- messages ---- */

static nghttp2_nv nv_of(struct str name, struct str value)
{
    return (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.p, /* nghttp2 copies and does not write there */
        .value = (uint8_t *)(uintptr_t)value.p,
        .namelen = name.n,
        .valuelen = value.n,
        .flags = NGHTTP2_NV_FLAG_NONE};
}

/* Header names must be lower case, and the connection's own headers do not exist in HTTP/2
 * (section 8.2.2). */
static int add_headers(struct arena *a, const struct http_headers *headers, nghttp2_nv *nv,
                       size_t *n)
{
    static const char *const dropped[] = {"connection", "keep-alive", "transfer-encoding",
                                          "upgrade",    "host",       "proxy-connection"};
    for (size_t i = 0; i < headers->n; i++) {
        const struct http_header *hd = &headers->v[i];
        bool drop = false;
        for (size_t d = 0; d < ARRAY_SIZE(dropped); d++) {
            drop |= str_iis(hd->name, dropped[d]);
        }
        if (drop) {
            continue;
        }
        char *name = arena_str(a, hd->name);
        if (!name) {
            return -ENOMEM;
        }
        for (char *c = name; *c; c++) {
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
        }
        nv[(*n)++] = nv_of(str_n(name, hd->name.n), hd->value);
    }
    return 0;
}

int32_t http2_request(struct http2 *h, const char *scheme, const struct http_head *head, bool body,
                      void *stream_arg)
{
    nghttp2_nv nv[LIMIT_HEADER_COUNT + 5];
    struct arena a;
    size_t n = 0;
    if (head->headers.n > LIMIT_HEADER_COUNT) {
        return -E_TOOBIG;
    }
    struct stream *s = stream_new(h, -1, stream_arg);
    if (!s) {
        return -ENOMEM;
    }
    arena_init(&a, (size_t)LIMIT_HEADERS * 4);
    nv[n++] = nv_of(STR_LIT(":method"), head->method);
    nv[n++] = nv_of(STR_LIT(":scheme"), str_of(scheme));
    nv[n++] = nv_of(STR_LIT(":authority"), head->authority);
    nv[n++] = nv_of(STR_LIT(":path"), head->target);
    if (head->protocol.n) {
        nv[n++] = nv_of(STR_LIT(":protocol"), head->protocol);
    }
    const nghttp2_data_provider provider = {.read_callback = read_body};
    int32_t id = add_headers(&a, &head->headers, nv, &n) < 0
                     ? NGHTTP2_ERR_NOMEM
                     : nghttp2_submit_request(h->session, NULL, nv, n, body ? &provider : NULL, s);
    arena_fini(&a);
    if (id < 0) {
        stream_free(h, s);
        return id == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE ? -E_BUSY : -ENOMEM;
    }
    s->id = id;
    return id;
}

int http2_respond(struct http2 *h, int32_t id, int status, const struct http_headers *headers,
                  bool body)
{
    nghttp2_nv nv[LIMIT_HEADER_COUNT + 1];
    char text[16];
    struct arena a;
    size_t n = 0;
    if (headers->n > LIMIT_HEADER_COUNT) {
        return -E_TOOBIG;
    }
    int len = snprintf(text, sizeof(text), "%d", status);
    arena_init(&a, (size_t)LIMIT_HEADERS * 4);
    nv[n++] = nv_of(STR_LIT(":status"), str_n(text, (size_t)len));
    const nghttp2_data_provider provider = {.read_callback = read_body};
    int rc = add_headers(&a, headers, nv, &n) < 0 ? NGHTTP2_ERR_NOMEM
             : status / 100 == 1
                 ? nghttp2_submit_headers(h->session, NGHTTP2_FLAG_NONE, id, NULL, nv, n, NULL)
                 : nghttp2_submit_response(h->session, id, nv, n, body ? &provider : NULL);
    arena_fini(&a);
    return rc == 0 ? 0 : rc == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPIPE;
}

void http2_set_stream_arg(struct http2 *h, int32_t id, void *stream_arg)
{
    struct stream *s = stream_of(h, id);
    if (s) {
        s->arg = stream_arg;
    }
}

void http2_resume(struct http2 *h, int32_t id)
{
    (void)nghttp2_session_resume_data(h->session,
                                      id); /* fails when nothing was deferred: then all is well */
}

void http2_consume(struct http2 *h, int32_t id, size_t n)
{
    struct stream *s = stream_of(h, id);
    if (!s) {
        return; /* given back when the stream went: invariant 2 */
    }
    n = MIN_OF(n, s->unconsumed);
    s->unconsumed -= n;
    if (n && nghttp2_session_consume(h->session, id, n) != 0) {
        h->failed = true;
    }
}

void http2_reset(struct http2 *h, int32_t id, uint32_t error)
{
    if (nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, id, error) != 0) {
        h->failed = true;
    }
}

int http2_ping(struct http2 *h)
{
    return nghttp2_submit_ping(h->session, NGHTTP2_FLAG_NONE, NULL) == 0 ? 0 : -ENOMEM;
}

int http2_goaway(struct http2 *h)
{
    int32_t last = nghttp2_session_get_last_proc_stream_id(h->session);
    int rc = nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0);
    return rc == 0 ? 0 : -ENOMEM;
}

size_t http2_streams(const struct http2 *h)
{
    return h->n_streams;
}

uint32_t http2_peer_max_streams(const struct http2 *h)
{
    return nghttp2_session_get_remote_settings(h->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

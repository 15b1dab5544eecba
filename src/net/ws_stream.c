/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebSocket connection as a stream of bytes; see ws_stream.h.
 *
 * Invariant: `in` holds bytes only while the user does not read; the WebSocket is paused then.
 */
#include "ws_stream.h"

#include "base/buf.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/stream_impl.h"
#include "net/http_server.h"
#include "net/ws.h"

#define PIECE ((size_t)32 << 10)

struct ws_stream {
    struct stream base;
    struct ws *ws; /* NULL once it has ended */
    struct buf in;
    struct io_task task, free_task;
    ssize_t queued;
    bool reading, told_eof, shut;
};

static void on_task(void *arg)
{
    struct ws_stream *s = arg;
    if (s->reading && buf_len(&s->in)) {
        struct buf b = s->in;
        buf_init(&s->in, 0);
        stream_emit_read(&s->base, buf_data(&b), buf_len(&b));
        buf_fini(&b);
    }
    if (s->base.closed || !s->reading || buf_len(&s->in)) {
        return;
    }
    if (s->ws) {
        ws_pause(s->ws, false);
    } else if (!s->told_eof) {
        s->told_eof = true;
        stream_emit_eof(&s->base);
    }
}

static void on_message(struct ws *w, void *arg, bool binary, struct str data)
{
    struct ws_stream *s = arg;
    (void)binary; /* bytes are bytes */
    if (s->reading && buf_len(&s->in) == 0) {
        stream_emit_read(&s->base, data.p, data.n);
        return;
    }
    ws_pause(w, true);
    if (buf_append_str(&s->in, data) < 0) {
        stream_emit_error(&s->base, -ENOMEM);
    }
}

static void on_drain(struct ws *w, void *arg)
{
    struct ws_stream *s = arg;
    (void)w;
    s->queued = 0;
    stream_emit_drain(&s->base);
}

static void on_close(struct ws *w, void *arg, int code, struct str reason)
{
    struct ws_stream *s = arg;
    (void)w;
    (void)code;
    (void)reason;
    s->ws = NULL;
    loop_defer(s->base.loop, &s->task);
}

static const struct ws_events ws_events = {
    .on_message = on_message, .on_drain = on_drain, .on_close = on_close};

static ssize_t s_writev(struct stream *base, const struct str *parts, size_t n_parts)
{
    struct ws_stream *s = (struct ws_stream *)base;
    for (size_t i = 0; i < n_parts; i++) {
        struct str rest = parts[i];
        while (rest.n > 0) {
            size_t n = MIN_OF(rest.n, PIECE);
            s->queued = s->ws && !s->shut ? ws_send(s->ws, true, str_n(rest.p, n)) : -EPIPE;
            if (s->queued < 0) {
                return s->queued;
            }
            rest = str_n(rest.p + n, rest.n - n);
        }
    }
    return s->queued;
}

static ssize_t s_queued(const struct stream *base)
{
    const struct ws_stream *s = (const struct ws_stream *)base;
    return s->ws && s->queued > 0 ? s->queued : 0;
}

static void s_flush(struct stream *base)
{
    (void)base; /* the WebSocket's own stream sends at the end of the tick */
}

static void s_read_start(struct stream *base)
{
    struct ws_stream *s = (struct ws_stream *)base;
    s->reading = true;
    loop_defer(base->loop, &s->task);
}

static void s_read_stop(struct stream *base)
{
    struct ws_stream *s = (struct ws_stream *)base;
    s->reading = false;
    if (s->ws) {
        ws_pause(s->ws, true);
    }
}

static void s_shutdown(struct stream *base)
{
    struct ws_stream *s = (struct ws_stream *)base;
    s->shut = true;
    if (s->ws) {
        ws_close(s->ws, 1000, "");
    }
}

static void free_stream(void *arg)
{
    struct ws_stream *s = arg;
    buf_fini(&s->in);
    mem_free(s);
}

static void s_close(struct stream *base)
{
    struct ws_stream *s = (struct ws_stream *)base;
    ws_abort(TAKE_PTR(s->ws));
    io_task_cancel(&s->task);
    loop_defer(base->loop, &s->free_task);
}

static void s_get_peer(struct stream *base, struct stream_peer *ret)
{
    (void)base;
    ret->kind = STREAM_HTTP;
}

static const struct stream_ops ops = {
    .writev = s_writev,
    .queued = s_queued,
    .flush = s_flush,
    .read_start = s_read_start,
    .read_stop = s_read_stop,
    .shutdown = s_shutdown,
    .close = s_close,
    .get_peer = s_get_peer,
};

struct stream *ws_stream_accept(struct http_exchange *x, const char *subprotocol)
{
    struct ws_stream *s = mem_zalloc(sizeof(*s));
    if (!s) {
        return NULL;
    }
    stream_init(&s->base, &ops, http_exchange_loop(x));
    io_task_init(&s->task, on_task, s);
    io_task_init(&s->free_task, free_stream, s);
    s->ws = ws_accept(x, subprotocol, &ws_events, s);
    if (!s->ws) {
        mem_free(s);
        return NULL;
    }
    ws_pause(s->ws, true);
    return &s->base;
}

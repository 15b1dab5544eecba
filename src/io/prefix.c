/* SPDX-License-Identifier: Apache-2.0 */
/* A stream with bytes that were read too early put back in front; see stream_with_prefix(). */
#include "base/buf.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/stream_impl.h"

struct prefix_stream {
    struct stream base;
    struct stream *lower;
    struct buf prefix; /* empty: everything comes from lower */
    struct io_task deliver, free_task;
    bool reading;
};

static void on_deliver(void *arg)
{
    struct prefix_stream *s = arg;
    if (s->reading && buf_len(&s->prefix)) {
        struct buf b = s->prefix;
        buf_init(&s->prefix, 0);
        stream_emit_read(&s->base, buf_data(&b), buf_len(&b));
        buf_fini(&b);
    }
    if (s->reading && !s->base.closed) {
        stream_read_start(s->lower);
    }
}

static void lower_on_read(void *arg, const char *data, size_t n)
{
    stream_emit_read(arg, data, n);
}

static void lower_on_eof(void *arg)
{
    stream_emit_eof(arg);
}

static void lower_on_error(void *arg, int code)
{
    stream_emit_error(arg, code);
}

static void lower_on_drain(void *arg)
{
    stream_emit_drain(arg);
}

static const struct stream_events lower_events = {
    .on_read = lower_on_read,
    .on_eof = lower_on_eof,
    .on_error = lower_on_error,
    .on_drain = lower_on_drain,
};

static ssize_t prefix_writev(struct stream *base, const struct str *parts, size_t n_parts)
{
    return stream_writev(((struct prefix_stream *)base)->lower, parts, n_parts);
}

static ssize_t prefix_queued(const struct stream *base)
{
    return stream_queued(((const struct prefix_stream *)base)->lower);
}

static void prefix_flush(struct stream *base)
{
    stream_flush(((struct prefix_stream *)base)->lower);
}

static void prefix_read_start(struct stream *base)
{
    struct prefix_stream *s = (struct prefix_stream *)base;
    s->reading = true;
    if (buf_len(&s->prefix)) {
        loop_defer(base->loop, &s->deliver);
    } else {
        stream_read_start(s->lower);
    }
}

static void prefix_read_stop(struct stream *base)
{
    struct prefix_stream *s = (struct prefix_stream *)base;
    s->reading = false;
    stream_read_stop(s->lower);
}

static void prefix_shutdown(struct stream *base)
{
    stream_shutdown(((struct prefix_stream *)base)->lower);
}

static void free_stream(void *arg)
{
    mem_free(arg);
}

static void prefix_close(struct stream *base)
{
    struct prefix_stream *s = (struct prefix_stream *)base;
    stream_close(s->lower);
    io_task_cancel(&s->deliver);
    buf_fini(&s->prefix);
    loop_defer(base->loop, &s->free_task);
}

static void prefix_get_peer(struct stream *base, struct stream_peer *ret)
{
    stream_get_peer(((struct prefix_stream *)base)->lower, ret);
}

static const struct stream_ops prefix_ops = {
    .writev = prefix_writev,
    .queued = prefix_queued,
    .flush = prefix_flush,
    .read_start = prefix_read_start,
    .read_stop = prefix_read_stop,
    .shutdown = prefix_shutdown,
    .close = prefix_close,
    .get_peer = prefix_get_peer,
};

struct stream *stream_with_prefix(struct stream *lower, struct buf *prefix)
{
    stream_read_stop(lower);
    if (buf_len(prefix) == 0) {
        buf_fini(prefix);
        return lower;
    }
    struct prefix_stream *s = mem_zalloc(sizeof *s);
    if (!s) {
        return NULL;
    }
    stream_init(&s->base, &prefix_ops, lower->loop);
    io_task_init(&s->deliver, on_deliver, s);
    io_task_init(&s->free_task, free_stream, s);
    s->lower = lower;
    s->prefix = *prefix;
    buf_init(prefix, 0);
    stream_set_events(lower, &lower_events, s);
    return &s->base;
}

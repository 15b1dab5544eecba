/* SPDX-License-Identifier: Apache-2.0 */
/* A full-duplex HTTP/2 stream as a struct stream; see duplex.h. */
#include "duplex.h"

#include "base/limits.h"
#include "base/mem.h"
#include "io/loop.h"

struct duplex {
    struct stream base;
    const struct duplex_owner_ops *ops;
    void *owner; /* NULL once the HTTP/2 stream is gone */
    struct buf in, out;
    struct io_task task, free_task;
    int failed;
    bool reading, in_ended, told_eof, told_error;
    bool out_ended, out_told; /* the user shut down; the peer was told */
    bool drain;
};

static bool has_news(const struct duplex *d)
{
    bool drained = d->drain && (ssize_t)buf_len(&d->out) < STREAM_LOW_WATER;
    bool readable = d->reading && (buf_len(&d->in) || (d->in_ended && !d->told_eof));
    return drained || readable || (d->failed && !d->told_error);
}

static void kick(struct duplex *d)
{
    if (has_news(d)) {
        loop_defer(d->base.loop, &d->task);
    }
}

static void deliver(struct duplex *d)
{
    if (buf_len(&d->in)) {
        struct buf b = d->in;
        buf_init(&d->in, 0);
        if (d->owner) {
            d->ops->consume(d->owner, buf_len(&b));
        }
        stream_emit_read(&d->base, buf_data(&b), buf_len(&b));
        buf_fini(&b);
    } else if (d->in_ended && !d->told_eof) {
        d->told_eof = true;
        stream_emit_eof(&d->base);
    }
}

static void on_task(void *arg)
{
    struct duplex *d = arg;
    if (d->drain && (ssize_t)buf_len(&d->out) < STREAM_LOW_WATER && !d->failed) {
        d->drain = false;
        stream_emit_drain(&d->base);
    }
    if (!d->base.closed && d->reading) {
        deliver(d);
    }
    bool unread = buf_len(&d->in) && d->reading;
    if (!d->base.closed && d->failed && !d->told_error && !unread) {
        d->told_error = true;
        stream_emit_error(&d->base, d->failed);
    }
    if (!d->base.closed) {
        kick(d);
    }
}

static ssize_t duplex_writev(struct stream *base, const struct str *parts, size_t n_parts)
{
    struct duplex *d = (struct duplex *)base;
    size_t total = 0;
    if (!d->owner || d->out_ended) {
        return -EPIPE;
    }
    if (buf_len(&d->out) > LIMIT_WRITE_QUEUE_HARD) {
        return -E_LIMIT;
    }
    for (size_t i = 0; i < n_parts; i++) {
        total += parts[i].n;
    }
    if (total && !buf_reserve(&d->out, total)) {
        d->out.failed = false;
        return -ENOMEM;
    }
    for (size_t i = 0; i < n_parts; i++) {
        (void)buf_append(&d->out, parts[i].p, parts[i].n); /* reserved above */
    }
    d->drain |= (ssize_t)buf_len(&d->out) >= STREAM_LOW_WATER;
    d->ops->wake(d->owner);
    return (ssize_t)buf_len(&d->out);
}

static ssize_t duplex_queued(const struct stream *base)
{
    return (ssize_t)buf_len(&((const struct duplex *)base)->out);
}

static void duplex_flush(struct stream *base)
{
    (void)base; /* the connection sends at the end of the tick, windows permitting */
}

static void duplex_read_start(struct stream *base)
{
    struct duplex *d = (struct duplex *)base;
    d->reading = true;
    kick(d);
}

static void duplex_read_stop(struct stream *base)
{
    ((struct duplex *)base)->reading = false;
}

static void duplex_shutdown(struct stream *base)
{
    struct duplex *d = (struct duplex *)base;
    d->out_ended = true;
    if (d->owner) {
        d->ops->wake(d->owner);
    }
}

static void free_duplex(void *arg)
{
    mem_free(arg);
}

static void duplex_close(struct stream *base)
{
    struct duplex *d = (struct duplex *)base;
    if (d->owner) {
        void *owner = d->owner;
        d->owner = NULL;
        d->ops->closed(owner, d->in_ended && d->out_told);
    }
    io_task_cancel(&d->task);
    buf_fini(&d->in);
    buf_fini(&d->out);
    loop_defer(base->loop, &d->free_task);
}

static void duplex_get_peer(struct stream *base, struct stream_peer *ret)
{
    struct duplex *d = (struct duplex *)base;
    if (d->owner) {
        d->ops->get_peer(d->owner, ret);
    }
    ret->kind = STREAM_HTTP;
}

static const struct stream_ops duplex_stream_ops = {
    .writev = duplex_writev,
    .queued = duplex_queued,
    .flush = duplex_flush,
    .read_start = duplex_read_start,
    .read_stop = duplex_read_stop,
    .shutdown = duplex_shutdown,
    .close = duplex_close,
    .get_peer = duplex_get_peer,
};

struct duplex *duplex_new(struct io_loop *l, const struct duplex_owner_ops *ops, void *owner)
{
    struct duplex *d = mem_zalloc(sizeof *d);
    if (d) {
        stream_init(&d->base, &duplex_stream_ops, l);
        io_task_init(&d->task, on_task, d);
        io_task_init(&d->free_task, free_duplex, d);
        d->ops = ops;
        d->owner = owner;
    }
    return d;
}

struct stream *duplex_stream(struct duplex *d)
{
    return &d->base;
}

void duplex_feed(struct duplex *d, const char *data, size_t n)
{
    if (buf_append(&d->in, data, n) < 0) { /* bounded by the stream's window */
        d->failed = -ENOMEM;
    }
    kick(d);
}

void duplex_feed_end(struct duplex *d)
{
    d->in_ended = true;
    kick(d);
}

size_t duplex_pull(struct duplex *d, char *out, size_t n, bool *eof)
{
    size_t take = MIN_OF(n, buf_len(&d->out));
    memcpy(out, buf_data(&d->out), take);
    buf_consume(&d->out, take);
    if (buf_len(&d->out) == 0) {
        buf_fini(&d->out);
    }
    *eof = d->out_ended && buf_len(&d->out) == 0;
    d->out_told |= *eof;
    kick(d);
    return take;
}

void duplex_gone(struct duplex *d, int code)
{
    d->owner = NULL;
    if (!d->in_ended || !d->out_told) {
        d->failed = code < 0 ? code : -E_CONNRESET;
    }
    kick(d);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream inside the process: two ends, each with the bytes that its user has yet to read. What an
 * end has received outlives the other end.
 */
#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/stream_impl.h"

struct pair_end {
    struct stream base;
    struct pair_end *other; /* NULL when it is closed */
    struct buf in;
    struct io_task deliver, drained, free_task;
    bool reading, drain;
    bool in_ended, told_eof; /* the other end was shut down or closed; the user knows */
    bool out_ended;
};

static void kick(struct pair_end *e)
{
    if (e->reading && (buf_len(&e->in) || (e->in_ended && !e->told_eof))) {
        loop_defer(e->base.loop, &e->deliver);
    }
}

static void on_deliver(void *arg)
{
    struct pair_end *e = arg;
    size_t n = MIN_OF(buf_len(&e->in), LOOP_SCRATCH_SIZE);
    if (!e->reading) {
        return;
    }
    if (n) {
        char *scratch = loop_scratch(e->base.loop); /* no other reader is active in a task */
        memcpy(scratch, buf_data(&e->in), n);
        buf_consume(&e->in, n);
        if (buf_len(&e->in) == 0) {
            buf_fini(&e->in);
        }
        if (e->other && e->other->drain && (ssize_t)buf_len(&e->in) < STREAM_LOW_WATER) {
            loop_defer(e->base.loop, &e->other->drained);
        }
        stream_emit_read(&e->base, scratch, n);
    } else if (e->in_ended && !e->told_eof) {
        e->told_eof = true;
        stream_emit_eof(&e->base);
    }
    if (!e->base.closed) {
        kick(e);
    }
}

static void on_drained(void *arg)
{
    struct pair_end *e = arg;
    if (e->drain) {
        e->drain = false;
        stream_emit_drain(&e->base);
    }
}

static ssize_t pair_writev(struct stream *base, const struct str *parts, size_t n_parts)
{
    struct pair_end *e = (struct pair_end *)base, *o = e->other;
    size_t total = 0;
    if (!o || e->out_ended) {
        return -EPIPE;
    }
    if (buf_len(&o->in) > LIMIT_WRITE_QUEUE_HARD) {
        return -E_LIMIT;
    }
    for (size_t i = 0; i < n_parts; i++) {
        total += parts[i].n;
    }
    if (total && !buf_reserve(&o->in, total)) {
        o->in.failed = false;
        return -ENOMEM;
    }
    for (size_t i = 0; i < n_parts; i++) {
        (void)buf_append(&o->in, parts[i].p, parts[i].n); /* reserved above */
    }
    e->drain |= (ssize_t)buf_len(&o->in) >= STREAM_LOW_WATER;
    kick(o);
    return (ssize_t)buf_len(&o->in);
}

static ssize_t pair_queued(const struct stream *base)
{
    const struct pair_end *e = (const struct pair_end *)base;
    return e->other ? (ssize_t)buf_len(&e->other->in) : 0;
}

static void pair_flush(struct stream *base)
{
    (void)base; /* the other end's task is on its way */
}

static void pair_read_start(struct stream *base)
{
    struct pair_end *e = (struct pair_end *)base;
    e->reading = true;
    kick(e);
}

static void pair_read_stop(struct stream *base)
{
    ((struct pair_end *)base)->reading = false;
}

static void pair_shutdown(struct stream *base)
{
    struct pair_end *e = (struct pair_end *)base;
    e->out_ended = true;
    if (e->other) {
        e->other->in_ended = true;
        kick(e->other);
    }
}

static void free_end(void *arg)
{
    mem_free(arg);
}

static void pair_close(struct stream *base)
{
    struct pair_end *e = (struct pair_end *)base;
    pair_shutdown(base);
    if (e->other) {
        e->other->other = NULL;
        e->other = NULL;
    }
    io_task_cancel(&e->deliver);
    io_task_cancel(&e->drained);
    buf_fini(&e->in);
    loop_defer(base->loop, &e->free_task);
}

static void pair_get_peer(struct stream *base, struct stream_peer *ret)
{
    (void)base;
    ret->kind = STREAM_PAIR;
}

static const struct stream_ops pair_ops = {
    .writev = pair_writev,
    .queued = pair_queued,
    .flush = pair_flush,
    .read_start = pair_read_start,
    .read_stop = pair_read_stop,
    .shutdown = pair_shutdown,
    .close = pair_close,
    .get_peer = pair_get_peer,
};

static struct pair_end *new_end(struct io_loop *l)
{
    struct pair_end *e = mem_zalloc(sizeof *e);
    if (e) {
        stream_init(&e->base, &pair_ops, l);
        io_task_init(&e->deliver, on_deliver, e);
        io_task_init(&e->drained, on_drained, e);
        io_task_init(&e->free_task, free_end, e);
    }
    return e;
}

int stream_pair(struct io_loop *l, struct stream *ret[2])
{
    CLEANUP(mem_freep) struct pair_end *a = new_end(l);
    CLEANUP(mem_freep) struct pair_end *b = new_end(l);
    if (!a || !b) {
        return -ENOMEM;
    }
    a->other = b;
    b->other = a;
    ret[0] = &TAKE_PTR(a)->base;
    ret[1] = &TAKE_PTR(b)->base;
    return 0;
}

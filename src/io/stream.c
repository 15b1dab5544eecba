/* SPDX-License-Identifier: Apache-2.0 */
/* What all streams have in common: dispatch, and the polite end (stream_finish). */
#include "stream.h"

#include "base/mem.h"
#include "io/loop_private.h"
#include "io/stream_impl.h"

void stream_init(struct stream *s, const struct stream_ops *ops, struct io_loop *loop)
{
    static const struct stream_events none;
    *s = (struct stream){.magic = STREAM_MAGIC, .ops = ops, .ev = &none, .loop = loop};
}

static void check(const struct stream *s)
{
    assert(s && s->magic == STREAM_MAGIC && !s->closed);
}

void stream_set_events(struct stream *s, const struct stream_events *ev, void *arg)
{
    check(s);
    s->ev = ev;
    s->arg = arg;
}

void stream_read_start(struct stream *s)
{
    check(s);
    s->ops->read_start(s);
}

void stream_read_stop(struct stream *s)
{
    check(s);
    s->ops->read_stop(s);
}

ssize_t stream_write(struct stream *s, const void *data, size_t n)
{
    struct str part = str_n(data, n);
    return stream_writev(s, &part, 1);
}

ssize_t stream_writev(struct stream *s, const struct str *parts, size_t n_parts)
{
    check(s);
    return s->ops->writev(s, parts, n_parts);
}

ssize_t stream_queued(const struct stream *s)
{
    check(s);
    return s->ops->queued(s);
}

void stream_flush(struct stream *s)
{
    check(s);
    s->ops->flush(s);
}

void stream_shutdown(struct stream *s)
{
    check(s);
    s->ops->shutdown(s);
}

void stream_close(struct stream *s)
{
    if (s) {
        check(s);
        s->closed = true;
        s->ops->close(s);
    }
}

void stream_get_peer(struct stream *s, struct stream_peer *ret)
{
    check(s);
    *ret = (struct stream_peer){.pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1, .alpn = ""};
    s->ops->get_peer(s, ret);
}

struct io_loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

void stream_emit_read(struct stream *s, const char *data, size_t n)
{
    if (!s->closed && s->ev->on_read) {
        s->ev->on_read(s->arg, data, n);
    }
}

void stream_emit_eof(struct stream *s)
{
    if (!s->closed && s->ev->on_eof) {
        s->ev->on_eof(s->arg);
    }
}

void stream_emit_error(struct stream *s, int code)
{
    if (!s->closed && s->ev->on_error) {
        s->ev->on_error(s->arg, code);
    }
}

void stream_emit_drain(struct stream *s)
{
    if (!s->closed && s->ev->on_drain) {
        s->ev->on_drain(s->arg);
    }
}

/* ---- the polite end ---- */

#define FINISH_TICK_MS 2000
#define FINISH_STALLED_TICKS 15 /* give up when queued bytes do not move for so long */

struct finisher {
    struct list link;
    struct stream *stream;
    struct io_timer timer;
    ssize_t last_queued;
    int stalled;
};

static void finish_now(struct finisher *f)
{
    list_del(&f->link);
    io_timer_stop(&f->timer);
    stream_close(f->stream);
    mem_free(f);
}

static void finish_on_eof(void *arg)
{
    struct finisher *f = arg;
    if (stream_queued(f->stream) == 0) {
        finish_now(f);
    }
}

static void finish_on_error(void *arg, int code)
{
    (void)code; /* nobody is left to tell */
    finish_now(arg);
}

static void finish_on_timer(void *arg)
{
    struct finisher *f = arg;
    ssize_t queued = stream_queued(f->stream);
    f->stalled = queued == f->last_queued ? f->stalled + 1 : 0;
    f->last_queued = queued;
    if (queued == 0 || f->stalled >= FINISH_STALLED_TICKS) {
        finish_now(f);
    }
}

static const struct stream_events finish_events = {
    .on_eof = finish_on_eof,
    .on_error = finish_on_error,
};

void stream_finish(struct stream *s)
{
    if (!s) {
        return;
    }
    check(s);
    struct finisher *f = mem_zalloc(sizeof *f);
    if (!f) {
        stream_close(s);
        return;
    }
    f->stream = s;
    f->last_queued = stream_queued(s);
    io_timer_init(s->loop, &f->timer, finish_on_timer, f);
    io_timer_start(&f->timer, FINISH_TICK_MS, FINISH_TICK_MS);
    list_push_back(&s->loop->finishing, &f->link);
    stream_set_events(s, &finish_events, f);
    stream_shutdown(s);
    stream_read_start(s);
}

void stream_close_finishing(struct io_loop *l)
{
    LIST_FOR_EACH_SAFE (i, &l->finishing) {
        finish_now(CONTAINER_OF(i, struct finisher, link));
    }
}

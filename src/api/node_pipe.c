/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node stream of bytes as a struct stream; see node_pipe.h.
 *
 *     user --stream_write()--> [out] --send(STDIN)--> node      node --message(STDOUT)--> [in] -->
 * user
 *
 * Invariants
 * 1. `out` holds bytes only while the node has said "wait" (full).
 * 2. The node is paused while `in` holds more than IN_HIGH bytes.
 * 3. User callbacks come from the task alone.
 */
#include "api/node_pipe.h"

#include "base/limits.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/stream_impl.h"

#define PIECE ((size_t)32 << 10)
#define IN_HIGH ((size_t)256 << 10)
/* What stream_write() adds while the node wants no more: over every producer's high water. */
#define FULL_BYTES ((ssize_t)LIMIT_WRITE_QUEUE)

struct node_pipe {
    struct stream base; /* valid once opened */
    struct io_loop *loop;
    struct node_stream *node; /* NULL once it has ended */
    node_pipe_fn *done;       /* until it is opened */
    void *done_arg;
    struct buf in, out;
    struct io_task task, free_task;
    int failed; /* negative code once it has ended badly */
    char problem[256];
    bool opened, reading, paused, full, drain;
    bool in_ended, told_eof, told_error;
    bool out_ended, out_told; /* the user shut down; the node knows */
};

static void free_pipe(void *arg)
{
    struct node_pipe *p = arg;
    buf_fini(&p->in);
    buf_fini(&p->out);
    mem_free(p);
}

static void drop(struct node_pipe *p)
{
    struct node_stream *node = TAKE_PTR(p->node);
    if (node) {
        node->ops->close(node);
    }
    io_task_cancel(&p->task);
    loop_defer(p->loop, &p->free_task);
}

/* ---- to the user ---- */

static void kick(struct node_pipe *p)
{
    loop_defer(p->loop, &p->task);
}

static void deliver(struct node_pipe *p)
{
    if (buf_len(&p->in)) {
        struct buf b = p->in;
        buf_init(&p->in, 0);
        if (p->paused && p->node) {
            p->paused = false;
            p->node->ops->pause(p->node, false);
        }
        stream_emit_read(&p->base, buf_data(&b), buf_len(&b));
        buf_fini(&b);
    } else if (p->in_ended && !p->told_eof) {
        p->told_eof = true;
        stream_emit_eof(&p->base);
    }
}

static void on_task(void *arg)
{
    struct node_pipe *p = arg;
    if (p->drain && !p->full) {
        p->drain = false;
        stream_emit_drain(&p->base);
    }
    if (!p->base.closed && p->reading) {
        deliver(p);
    }
    if (!p->base.closed && p->failed && !p->told_error && buf_len(&p->in) == 0) {
        p->told_error = true;
        stream_emit_error(&p->base, p->failed);
    }
    if (!p->base.closed && p->reading && (buf_len(&p->in) || (p->in_ended && !p->told_eof))) {
        kick(p);
    }
}

/* ---- to the node ---- */

static void tell_end(struct node_pipe *p)
{
    const char which = CHANNEL_STDIN;
    if (p->out_ended && !p->out_told && !p->full && p->node) {
        p->out_told = true;
        (void)p->node->ops->send(p->node, CHANNEL_CLOSE, str_n(&which, 1)); /* ended tells a loss */
    }
}

/* Sends what it can of data; what is left must wait. */
static struct str send_some(struct node_pipe *p, struct str data)
{
    while (data.n > 0 && !p->full && p->node) {
        size_t n = MIN_OF(data.n, PIECE);
        p->full = p->node->ops->send(p->node, CHANNEL_STDIN, str_n(data.p, n)) == 1;
        data = str_n(data.p + n, data.n - n);
    }
    return data;
}

static ssize_t pipe_writev(struct stream *base, const struct str *parts, size_t n_parts)
{
    struct node_pipe *p = (struct node_pipe *)base;
    if (!p->node || p->out_ended) {
        return -EPIPE;
    }
    if (buf_len(&p->out) > LIMIT_WRITE_QUEUE_HARD) {
        return -E_LIMIT;
    }
    for (size_t i = 0; i < n_parts; i++) {
        struct str rest = send_some(p, parts[i]);
        if (rest.n && buf_append_str(&p->out, rest) < 0) {
            p->failed = -ENOMEM; /* a part is on its way: the stream cannot be mended */
            kick(p);
            return -ENOMEM;
        }
    }
    p->drain |= p->full;
    return (ssize_t)buf_len(&p->out) + (p->full ? FULL_BYTES : 0);
}

static ssize_t pipe_queued(const struct stream *base)
{
    const struct node_pipe *p = (const struct node_pipe *)base;
    return (ssize_t)buf_len(&p->out) + (p->full ? FULL_BYTES : 0);
}

static void pipe_flush(struct stream *base)
{
    (void)base; /* nothing is held back */
}

static void pipe_read_start(struct stream *base)
{
    struct node_pipe *p = (struct node_pipe *)base;
    p->reading = true;
    kick(p);
}

static void pipe_read_stop(struct stream *base)
{
    ((struct node_pipe *)base)->reading = false;
}

static void pipe_shutdown(struct stream *base)
{
    struct node_pipe *p = (struct node_pipe *)base;
    p->out_ended = true;
    tell_end(p);
}

static void pipe_close(struct stream *base)
{
    drop((struct node_pipe *)base);
}

static void pipe_get_peer(struct stream *base, struct stream_peer *ret)
{
    (void)base;
    ret->kind = STREAM_PAIR;
}

static const struct stream_ops pipe_ops = {
    .writev = pipe_writev,
    .queued = pipe_queued,
    .flush = pipe_flush,
    .read_start = pipe_read_start,
    .read_stop = pipe_read_stop,
    .shutdown = pipe_shutdown,
    .close = pipe_close,
    .get_peer = pipe_get_peer,
};

/* ---- from the node ---- */

static void on_opened(void *arg)
{
    struct node_pipe *p = arg;
    node_pipe_fn *done = p->done;
    p->opened = true;
    p->done = NULL;
    stream_init(&p->base, &pipe_ops, p->loop);
    done(p->done_arg, &p->base, NULL);
}

static void on_message(void *arg, uint8_t channel, struct str data)
{
    struct node_pipe *p = arg;
    if (channel == CHANNEL_CLOSE) {
        p->in_ended = true;
    } else if (channel == CHANNEL_STDOUT && buf_append_str(&p->in, data) < 0) {
        p->failed = -ENOMEM;
    }
    if (buf_len(&p->in) > IN_HIGH && !p->paused && p->node) {
        p->paused = true;
        p->node->ops->pause(p->node, true);
    }
    kick(p);
}

static void on_drained(void *arg)
{
    struct node_pipe *p = arg;
    p->full = false;
    struct str rest = send_some(p, buf_str(&p->out));
    buf_consume(&p->out, buf_len(&p->out) - rest.n);
    tell_end(p);
    kick(p);
}

static void on_ended(void *arg, int code, const char *text)
{
    struct node_pipe *p = arg;
    p->node = NULL;
    if (p->opened) {
        p->in_ended = true;
        if (code < 0) {
            p->failed = code;
            (void)cstr_copy(p->problem, sizeof(p->problem), text && *text ? text : err_text(code));
        }
        p->full = false;
        kick(p);
        return;
    }
    struct err err;
    (void)err_set(&err, code < 0 ? code : -E_CONNRESET, "%s",
                  text && *text ? text : err_text(code < 0 ? code : -E_CONNRESET));
    p->done(p->done_arg, NULL, &err);
    loop_defer(p->loop, &p->free_task);
}

static const struct node_stream_events node_events = {
    .opened = on_opened, .message = on_message, .drained = on_drained, .ended = on_ended};

const char *node_pipe_problem(const struct stream *s)
{
    assert(s->ops == &pipe_ops);
    const struct node_pipe *p = (const struct node_pipe *)s;
    return *p->problem ? p->problem : err_text(p->failed);
}

/* ---- opening ---- */

struct node_pipe *node_pipe_open(struct io_loop *loop, node_stream_open_fn *open, void *open_arg,
                                 const struct node_stream_req *req, node_pipe_fn *done, void *arg,
                                 struct err *err)
{
    struct node_pipe *p = mem_zalloc(sizeof(*p));
    if (!p) {
        (void)err_sys(err, -ENOMEM, "open a stream");
        return NULL;
    }
    p->loop = loop;
    p->done = done;
    p->done_arg = arg;
    io_task_init(&p->task, on_task, p);
    io_task_init(&p->free_task, free_pipe, p);
    p->node = open(open_arg, req, &node_events, p, err);
    if (!p->node) {
        mem_free(p);
        return NULL;
    }
    return p;
}

void node_pipe_cancel(struct node_pipe *p)
{
    if (p) {
        drop(p);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams of plain bytes: to a port that something in a pod listens on (port-forward, the proxy
 * subresources), and to this agent's own HTTP server (nodes/proxy, metrics).
 *
 *     owner --send(STDIN)--> lower        lower --on_read--> message(STDOUT)
 *
 * Each direction ends alone; the stream has ended when both have.
 */
#include <stdio.h>

#include "infra_private.h"
#include "io/stream.h"
#include "runtime/netns_dial.h"

#define HIGH_WATER ((ssize_t)256 << 10)
#define DATA_MAX ((size_t)32 << 10)

struct byte_stream {
    struct infra_stream head;
    struct infra *inf;
    const struct node_stream_events *events;
    void *events_arg;
    struct netns_dial *dial; /* until there is lower */
    struct stream *lower;
    struct io_task begin, free;
    char *pod, *uid; /* PORT: for what people read */
    int port;        /* 0: AGENT */
    bool in_done, out_done;
    bool paused, full, closed;
};

/* ---- lifetime ---- */

static void release(void *arg)
{
    struct byte_stream *b = arg;
    mem_free(b->pod);
    mem_free(b->uid);
    mem_free(b);
}

static void shut(struct byte_stream *b)
{
    if (b->closed) {
        return;
    }
    b->closed = true;
    netns_dial_cancel(TAKE_PTR(b->dial));
    stream_close(TAKE_PTR(b->lower));
    io_task_cancel(&b->begin);
    list_del(&b->head.link);
    loop_defer(b->inf->loop, &b->free);
}

static void finish(struct byte_stream *b, int code, const char *text)
{
    if (b->closed) {
        return;
    }
    shut(b);
    b->events->ended(b->events_arg, code, text); /* it is freed on the next tick */
}

static void b_cut(struct infra_stream *head, int code, const char *text)
{
    finish(CONTAINER_OF(head, struct byte_stream, head), code, text);
}

/* ---- from below ---- */

static void on_read(void *arg, const char *data, size_t n)
{
    struct byte_stream *b = arg;
    while (n > 0 && !b->closed) {
        size_t piece = MIN_OF(n, DATA_MAX);
        b->events->message(b->events_arg, CHANNEL_STDOUT, str_n(data, piece));
        data += piece;
        n -= piece;
    }
}

static void on_eof(void *arg)
{
    struct byte_stream *b = arg;
    const char which = CHANNEL_STDOUT;
    b->out_done = true;
    b->events->message(b->events_arg, CHANNEL_CLOSE, str_n(&which, 1));
    if (b->in_done) {
        finish(b, 0, "");
    }
}

static void on_error(void *arg, int code)
{
    finish(arg, code, err_text(code));
}

static void on_drain(void *arg)
{
    struct byte_stream *b = arg;
    if (b->full) {
        b->full = false;
        b->events->drained(b->events_arg);
    }
}

static const struct stream_events lower_events = {
    .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};

/* ---- from the owner ---- */

static int b_send(struct node_stream *base, uint8_t channel, struct str data)
{
    struct byte_stream *b = CONTAINER_OF(base, struct byte_stream, head.base);
    if (b->closed || !b->lower || b->in_done) {
        return 0; /* what nobody reads is dropped, as by a socket that was shut down */
    }
    if (channel == CHANNEL_STDIN) {
        b->full = stream_write(b->lower, data.p, data.n) > HIGH_WATER;
        return b->full ? 1 : 0; /* a failed write shows in on_error */
    }
    if (channel == CHANNEL_CLOSE) {
        b->in_done = true;
        stream_shutdown(b->lower);
        if (b->out_done) {
            loop_defer(b->inf->loop, &b->begin); /* ends it, but not inside the call */
        }
    }
    return 0;
}

static void b_pause(struct node_stream *base, bool paused)
{
    struct byte_stream *b = CONTAINER_OF(base, struct byte_stream, head.base);
    b->paused = paused;
    if (b->lower && !b->closed) {
        (paused ? stream_read_stop : stream_read_start)(b->lower);
    }
}

static void b_close(struct node_stream *base)
{
    shut(CONTAINER_OF(base, struct byte_stream, head.base));
}

static const struct node_stream_ops ops = {.send = b_send, .pause = b_pause, .close = b_close};

/* ---- the beginning ---- */

static void connected(struct byte_stream *b, struct stream *s)
{
    b->lower = s;
    stream_set_events(s, &lower_events, b);
    b->events->opened(b->events_arg);
    if (!b->closed && !b->paused) {
        stream_read_start(s);
    }
}

static void dialled(void *arg, struct stream *s, const struct err *err)
{
    struct byte_stream *b = arg;
    char text[sizeof(err->text)];
    b->dial = NULL;
    if (s) {
        connected(b, s);
        return;
    }
    (void)snprintf(text, sizeof(text), "error forwarding port %d to pod %s, uid %s: %s", b->port,
                   b->pod, b->uid, err->text);
    finish(b, -E_UNREACH, text);
}

static void dial_over(void *arg)
{
    infra_op_end(arg);
}

static void dial_pod(struct byte_stream *b)
{
    struct infra *inf = b->inf;
    struct pod *p = map_get(&inf->pods, str_of(b->uid));
    struct arena a;
    struct sandbox_paths paths = {0};
    if (!p || !p->obj) {
        finish(b, -E_NOENT, "the pod has gone");
        return;
    }
    struct sandbox_config config = {
        .pod_uid = b->uid,
        .host_network = json_path_true(p->obj, "spec.hostNetwork", false),
    };
    arena_init(&a, 0);
    if (sandbox_paths(inf->runtime, &config, &a, &paths) == 0) {
        b->dial =
            netns_dial(inf->runtime, paths.net, (uint16_t)b->port, dialled, dial_over, b, inf);
    }
    arena_fini(&a);
    if (b->dial) {
        infra_op_begin(inf);
    } else {
        finish(b, -E_NOMEM, "out of memory");
    }
}

static void call_agent(struct byte_stream *b)
{
    struct stream *ends[2] = {NULL, NULL};
    if (stream_pair(b->inf->loop, ends) < 0 || agent_http_serve(b->inf->http, ends[1]) < 0) {
        stream_close(ends[0]);
        finish(b, -E_NOMEM, "out of memory");
        return;
    }
    connected(b, ends[0]);
}

static void begin(void *arg)
{
    struct byte_stream *b = arg;
    if (b->in_done) {
        finish(b, 0, "");
    } else if (b->port) {
        dial_pod(b);
    } else {
        call_agent(b);
    }
}

/* The pod must run; NULL with err. */
static struct pod *running_pod(struct infra *inf, const struct node_stream_req *req,
                               struct err *err)
{
    struct pod *p = stream_find_pod(inf, req);
    if (!p) {
        (void)err_set(err, -E_NOENT, "pod \"%s\" is not on this node yet", req->pod);
    } else if (p->sm.state != POD_RUNNING) {
        (void)err_set(err, -E_INVAL,
                      "unable to forward port because pod is not running. Current "
                      "status=%s",
                      json_path_cstr(p->obj, "status.phase", "Pending"));
        p = NULL;
    }
    return p;
}

struct node_stream *stream_bytes_open(struct infra *inf, const struct node_stream_req *req,
                                      const struct node_stream_events *events, void *events_arg,
                                      struct err *err)
{
    struct pod *p = req->type == NODE_STREAM_PORT ? running_pod(inf, req, err) : NULL;
    if (req->type == NODE_STREAM_PORT && !p) {
        return NULL;
    }
    struct byte_stream *b = mem_zalloc(sizeof(*b));
    if (b && p) {
        b->pod = mem_strdup(p->name);
        b->uid = mem_strdup(p->uid);
    }
    if (!b || (p && (!b->pod || !b->uid))) {
        if (b) {
            release(b);
        }
        (void)err_sys(err, -ENOMEM, "open a stream");
        return NULL;
    }
    b->head.base.ops = &ops;
    b->head.cut = b_cut;
    b->inf = inf;
    b->events = events;
    b->events_arg = events_arg;
    b->port = p ? req->port : 0;
    io_task_init(&b->begin, begin, b);
    io_task_init(&b->free, release, b);
    list_push_back(&inf->streams, &b->head.link);
    loop_defer(inf->loop, &b->begin);
    return &b->head.base;
}

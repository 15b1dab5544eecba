/* SPDX-License-Identifier: Apache-2.0 */
/* Streams to a container's own input and output (runtime/attach.h): kubectl attach, and run -i. */
#include "infra_private.h"
#include "runtime/attach.h"

#define SUCCESS "{\"metadata\":{},\"status\":\"Success\"}"

struct attach_stream {
    struct infra_stream head;
    struct infra *inf;
    const struct node_stream_events *events;
    void *events_arg;
    struct attach *at;
    struct io_task begin, free;
    char *uid, *container;
    bool in, out, err, tty;
    bool paused, closed;
};

static void release(void *arg)
{
    struct attach_stream *s = arg;
    mem_free(s->uid);
    mem_free(s->container);
    mem_free(s);
}

static void shut(struct attach_stream *s)
{
    if (s->closed) {
        return;
    }
    s->closed = true;
    attach_close(TAKE_PTR(s->at));
    io_task_cancel(&s->begin);
    list_del(&s->head.link);
    loop_defer(s->inf->loop, &s->free);
}

static void finish(struct attach_stream *s, int code, const char *text)
{
    if (!s->closed) {
        shut(s);
        s->events->ended(s->events_arg, code, text); /* it is freed on the next tick */
    }
}

static void a_cut(struct infra_stream *head, int code, const char *text)
{
    finish(CONTAINER_OF(head, struct attach_stream, head), code, text);
}

/* ---- from the container ---- */

static void on_output(void *arg, int fd, struct str data)
{
    struct attach_stream *s = arg;
    if (fd == 1 ? s->out : s->err && !s->tty) {
        s->events->message(s->events_arg, fd == 1 ? CHANNEL_STDOUT : CHANNEL_STDERR, data);
    }
}

static void on_drained(void *arg)
{
    struct attach_stream *s = arg;
    s->events->drained(s->events_arg);
}

static void on_ended(void *arg)
{
    struct attach_stream *s = arg;
    s->events->message(s->events_arg, CHANNEL_ERROR, STR_LIT(SUCCESS));
    finish(s, 0, "");
}

static const struct attach_events attach_events = {
    .output = on_output, .drained = on_drained, .ended = on_ended};

/* ---- from the client ---- */

static struct slot *find(const struct attach_stream *s)
{
    struct pod *p = map_get(&s->inf->pods, str_of(s->uid));
    return p ? pod_slot(p, s->container) : NULL;
}

static void resize(struct attach_stream *s, struct str data)
{
    struct slot *slot = find(s);
    uint16_t rows, cols;
    if (slot && slot->c && stream_window_size(data, &rows, &cols)) {
        container_resize(slot->c, rows, cols);
    }
}

static int a_send(struct node_stream *base, uint8_t channel, struct str data)
{
    struct attach_stream *s = CONTAINER_OF(base, struct attach_stream, head.base);
    if (s->closed || !s->at) {
        return 0;
    }
    if (channel == CHANNEL_STDIN && s->in) {
        return attach_send(s->at, data) ? 1 : 0;
    }
    if (channel == CHANNEL_CLOSE && data.n > 0 && data.p[0] == CHANNEL_STDIN && s->in) {
        attach_end_input(s->at);
    } else if (channel == CHANNEL_RESIZE && s->tty) {
        resize(s, data);
    }
    return 0;
}

static void a_pause(struct node_stream *base, bool paused)
{
    struct attach_stream *s = CONTAINER_OF(base, struct attach_stream, head.base);
    s->paused = paused;
    if (s->at) {
        attach_pause(s->at, paused);
    }
}

static void a_close(struct node_stream *base)
{
    shut(CONTAINER_OF(base, struct attach_stream, head.base));
}

static const struct node_stream_ops ops = {.send = a_send, .pause = a_pause, .close = a_close};

/* ---- the beginning ---- */

static void begin(void *arg)
{
    struct attach_stream *s = arg;
    struct slot *slot = find(s);
    struct err err = {0};
    if (!slot || slot->sm.state != SLOT_RUNNING) {
        (void)err_set(&err, -E_INVAL, "container \"%s\" is not running", s->container);
    } else if (attach_open(slot->c, &attach_events, s, &s->at, &err) == 0) {
        s->events->opened(s->events_arg);
        if (!s->closed && !s->paused) {
            attach_pause(s->at, false);
        }
        return;
    }
    finish(s, err.code, err.text);
}

struct node_stream *stream_attach_open(struct slot *slot, const struct node_stream_req *req,
                                       const struct node_stream_events *events, void *events_arg,
                                       struct err *err)
{
    struct infra *inf = slot->pod->inf;
    if (slot->sm.state != SLOT_RUNNING) {
        (void)err_set(err, -E_INVAL, "container \"%s\" in pod \"%s\" is not running",
                      req->container, req->pod);
        return NULL;
    }
    struct attach_stream *s = mem_zalloc(sizeof(*s));
    if (s) {
        s->uid = mem_strdup(slot->pod->uid);
        s->container = mem_strdup(slot->name);
    }
    if (!s || !s->uid || !s->container) {
        if (s) {
            release(s);
        }
        (void)err_sys(err, -ENOMEM, "attach");
        return NULL;
    }
    s->head.base.ops = &ops;
    s->head.cut = a_cut;
    s->inf = inf;
    s->events = events;
    s->events_arg = events_arg;
    s->in = req->in && json_path_true(slot->spec, "stdin", false);
    s->tty = json_path_true(slot->spec, "tty", false);
    s->out = req->out;
    s->err = req->err;
    io_task_init(&s->begin, begin, s);
    io_task_init(&s->free, release, s);
    list_push_back(&inf->streams, &s->head.link);
    loop_defer(inf->loop, &s->begin);
    return &s->head.base;
}

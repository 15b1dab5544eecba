/* SPDX-License-Identifier: Apache-2.0 */
/* One forwarded connection; see port_link.h. */
#include "api/stream/port_link.h"

#define EARLY_HIGH ((size_t)64 << 10)
#define OUT_HIGH ((ssize_t)256 << 10)

static void over(struct port_link *l, const char *text)
{
    if (!l->over) {
        l->over = true;
        stream_close(TAKE_PTR(l->stream));
        l->ops->over(l, text);
    }
}

static void over_if_done(struct port_link *l)
{
    if (l->client_done && l->node_done) {
        over(l, NULL);
    }
}

/* ---- from the pod ---- */

static void on_read(void *arg, const char *data, size_t n)
{
    struct port_link *l = arg;
    l->ops->data(l, str_n(data, n));
}

static void on_eof(void *arg)
{
    struct port_link *l = arg;
    l->node_done = true;
    l->ops->eof(l);
    over_if_done(l);
}

static void on_error(void *arg, int code)
{
    struct port_link *l = arg;
    char text[256];
    (void)code; /* the text says it */
    (void)cstr_copy(text, sizeof(text), node_pipe_problem(l->stream));
    over(l, text);
}

static void on_drain(void *arg)
{
    struct port_link *l = arg;
    if (l->full) {
        l->full = false;
        l->ops->drained(l);
    }
}

static const struct stream_events stream_events = {
    .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};

/* ---- opening ---- */

/* What could not be told inside a call. */
static void end_later(void *arg)
{
    struct port_link *l = arg;
    bool well = l->client_done && l->node_done;
    over(l, well ? NULL : l->fail_text ? l->fail_text : "out of memory");
}

static void opened(void *arg, struct stream *s, const struct err *err)
{
    struct port_link *l = arg;
    l->opening = NULL;
    if (!s) {
        over(l, err->text);
        return;
    }
    l->stream = s;
    stream_set_events(s, &stream_events, l);
    ssize_t waits = stream_write(s, buf_data(&l->early), buf_len(&l->early));
    buf_fini(&l->early);
    if (l->client_done) {
        stream_shutdown(s);
    }
    if (!l->paused) {
        stream_read_start(s);
    }
    if (l->full && waits < OUT_HIGH) { /* else on_drain says it; a failure shows in on_error */
        l->full = false;
        l->ops->drained(l);
    }
}

void port_link_start(struct port_link *l, struct api_server *server,
                     const struct node_stream_req *req, const struct port_link_ops *ops)
{
    const struct api_server_opts *o = &server->opts;
    struct err err = {0};
    l->ops = ops;
    l->loop = server->loop;
    io_task_init(&l->end_task, end_later, l);
    l->opening =
        node_pipe_open(server->loop, o->open_stream, o->open_stream_arg, req, opened, l, &err);
    if (!l->opening) {
        l->fail_text = mem_strdup(err.text);
        loop_defer(server->loop, &l->end_task);
    }
}

/* ---- from the client ---- */

bool port_link_write(struct port_link *l, struct str data)
{
    if (l->over || l->client_done) {
        return false;
    }
    if (l->stream) {
        l->full = stream_write(l->stream, data.p, data.n) >= OUT_HIGH;
    } else if (buf_append_str(&l->early, data) < 0) {
        l->fail_text = NULL; /* "out of memory" */
        loop_defer(l->loop, &l->end_task);
    } else {
        l->full = buf_len(&l->early) >= EARLY_HIGH;
    }
    return l->full;
}

void port_link_end_input(struct port_link *l)
{
    if (l->over || l->client_done) {
        return;
    }
    l->client_done = true;
    if (l->stream && !l->node_done) {
        stream_shutdown(l->stream);
    }
    if (l->node_done) {
        loop_defer(l->loop, &l->end_task); /* over() must not come inside */
    }
}

void port_link_pause(struct port_link *l, bool paused)
{
    l->paused = paused;
    if (l->stream) {
        (paused ? stream_read_stop : stream_read_start)(l->stream);
    }
}

void port_link_fini(struct port_link *l)
{
    l->over = true;
    node_pipe_cancel(TAKE_PTR(l->opening));
    stream_close(TAKE_PTR(l->stream));
    io_task_cancel(&l->end_task);
    buf_fini(&l->early);
    mem_free(TAKE_PTR(l->fail_text));
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as a client of a port-forward. The first byte chooses: bare SPDY in
 * pieces, or SPDY in WebSocket frames as the client makes them. The node echoes what it gets.
 */
#include "api/stream/portforward.h"
#include "codec/websocket.h"
#include "io/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECES 8

struct node {
    struct node_stream base;
    const struct node_stream_events *events;
    void *events_arg;
    struct io_task task;
    struct buf out;
    bool opened, ended, closed;
};

static struct io_loop *loop;

static void node_task(void *arg)
{
    struct node *n = arg;
    if (n->closed) {
        buf_fini(&n->out);
        mem_free(n);
        return;
    }
    if (!n->opened) {
        n->opened = true;
        n->events->opened(n->events_arg);
    }
    if (!n->closed && buf_len(&n->out)) {
        struct buf b = n->out;
        buf_init(&n->out, 0);
        n->events->message(n->events_arg, CHANNEL_STDOUT, buf_str(&b));
        buf_fini(&b);
    }
    if (!n->closed && n->ended) {
        n->events->message(n->events_arg, CHANNEL_CLOSE, str_n("\1", 1));
        n->ended = false;
    }
    if (n->closed) {
        loop_defer(loop, &n->task);
    }
}

static int n_send(struct node_stream *s, uint8_t channel, struct str data)
{
    struct node *n = CONTAINER_OF(s, struct node, base);
    if (channel == CHANNEL_STDIN) {
        (void)buf_append_str(&n->out, data); /* a shorter echo is as good */
    } else {
        n->ended = true;
    }
    loop_defer(loop, &n->task);
    return 0;
}

static void n_pause(struct node_stream *s, bool paused)
{
    (void)s;
    (void)paused;
}

static void n_close(struct node_stream *s)
{
    struct node *n = CONTAINER_OF(s, struct node, base);
    n->closed = true;
    loop_defer(loop, &n->task);
}

static const struct node_stream_ops node_ops = {.send = n_send, .pause = n_pause, .close = n_close};

static struct node_stream *open_node(void *arg, const struct node_stream_req *req,
                                     const struct node_stream_events *events, void *events_arg,
                                     struct err *err)
{
    struct node *n = req->port % 7 == 0 ? NULL : mem_zalloc(sizeof(*n));
    (void)arg;
    if (!n) {
        (void)err_set(err, -E_UNREACH, "nothing listens");
        return NULL;
    }
    n->base.ops = &node_ops;
    n->events = events;
    n->events_arg = events_arg;
    io_task_init(&n->task, node_task, n);
    loop_defer(loop, &n->task);
    return &n->base;
}

static void turn(void)
{
    for (int i = 0; i < 6; i++) {
        loop_run_ready(loop);
    }
}

/* The payloads of the WebSocket frames in data, as the tunnel would hand them on. */
static void unwrap(struct str data, struct buf *out)
{
    struct websocket_decoder d;
    struct websocket_event e;
    websocket_decoder_init(&d, true);
    while (websocket_next(&d, &data, &e) == 1) {
        if (e.op == WEBSOCKET_BINARY || e.op == WEBSOCKET_TEXT) {
            (void)buf_append_str(out, e.data); /* a shorter input is as good */
        }
    }
    websocket_decoder_fini(&d);
}

static void run(struct str bytes)
{
    const struct node_stream_req req = {
        .type = NODE_STREAM_PORT, .node = "n", .ns = "a", .pod = "p", .uid = "u", .container = ""};
    struct api_server server = {.loop = loop, .opts = {.open_stream = open_node}};
    struct stream *ends[2];
    list_init(&server.streams);
    struct portforward_session *s = portforward_spdy_new(&server, &req);
    if (!s || stream_pair(loop, ends) < 0) {
        return;
    }
    portforward_spdy_start(s, ends[0]);
    size_t piece = bytes.n / PIECES + 1;
    while (bytes.n > 0 && stream_write(ends[1], bytes.p, MIN_OF(piece, bytes.n)) >= 0) {
        size_t n = MIN_OF(piece, bytes.n);
        bytes = str_n(bytes.p + n, bytes.n - n);
        turn();
    }
    stream_close(ends[1]);
    turn();
    while (!list_empty(&server.streams)) {
        struct exec_proxy *p = CONTAINER_OF(server.streams.next, struct exec_proxy, link);
        p->end(p);
    }
    turn();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf raw = BUF_INIT;
    if (!loop && loop_new(&loop, NULL) < 0) {
        return 0;
    }
    if (size > 1 && data[0] % 2) {
        unwrap(str_n((const char *)data + 1, size - 1), &raw);
        run(buf_str(&raw));
    } else if (size > 1) {
        run(str_n((const char *)data + 1, size - 1));
    }
    buf_fini(&raw);
    return 0;
}

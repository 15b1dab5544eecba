/* SPDX-License-Identifier: Apache-2.0 */
/* Streams to a node in the reverse tunnel: the request as JSON, and the parent's end; see
 * tunnel_stream.h. The child's end is tunnel_serve.c. */
#include "tunnel_stream.h"

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/stream.h"
#include "net/http_client.h"

#define OPEN_MS 10000
#define REFUSAL_BYTES 4096

/* ---- the request ---- */

static const char *const type_names[NODE_STREAM_TYPE_NR] = {[NODE_STREAM_LOG] = "log",
                                                            [NODE_STREAM_EXEC] = "exec",
                                                            [NODE_STREAM_ATTACH] = "attach",
                                                            [NODE_STREAM_PORT] = "port",
                                                            [NODE_STREAM_AGENT] = "agent"};

struct json *tunnel_stream_encode(struct arena *a, const struct node_stream_req *req)
{
    struct json *o = json_object(a);
    json_set_str(o, "type", type_names[req->type]);
    json_set_str(o, "node", req->node);
    json_set_str(o, "ns", req->ns);
    json_set_str(o, "pod", req->pod);
    json_set_str(o, "uid", req->uid);
    if (req->type == NODE_STREAM_PORT || req->type == NODE_STREAM_AGENT) {
        json_set_int(o, "port", req->port);
        return o;
    }
    json_set_str(o, "container", req->container);
    if (req->type == NODE_STREAM_LOG) {
        json_set_bool(o, "follow", req->follow);
        json_set_bool(o, "previous", req->previous);
        json_set_bool(o, "timestamps", req->timestamps);
        json_set_int(o, "tail", req->tail_lines);
        json_set_int(o, "limit", req->limit_bytes);
        json_set_int(o, "since", req->since_seconds);
        json_set_str(o, "sinceTime", req->since_time);
        return o;
    }
    struct json *command = json_ensure_array(o, "command");
    for (size_t i = 0; req->command && req->command[i]; i++) {
        json_push(command, json_string(a, req->command[i]));
    }
    json_set_bool(o, "in", req->in);
    json_set_bool(o, "out", req->out);
    json_set_bool(o, "err", req->err);
    json_set_bool(o, "tty", req->tty);
    return o;
}

static int decode_command(struct arena *a, const struct json *list, struct node_stream_req *ret)
{
    const char **argv = arena_zalloc(a, (json_len(list) + 1) * sizeof(*argv));
    size_t n = 0;
    if (!argv) {
        return -ENOMEM;
    }
    JSON_FOR_EACH (item, list) {
        argv[n++] = json_cstr(item, "");
    }
    ret->command = argv;
    return 0;
}

int tunnel_stream_decode(struct arena *a, const struct json *j, struct node_stream_req *ret,
                         struct err *err)
{
    const char *type = json_cstr(json_get(j, "type"), "");
    struct node_stream_req r = {
        .node = json_cstr(json_get(j, "node"), ""),
        .ns = json_cstr(json_get(j, "ns"), ""),
        .pod = json_cstr(json_get(j, "pod"), ""),
        .uid = json_cstr(json_get(j, "uid"), ""),
        .container = json_cstr(json_get(j, "container"), ""),
        .in = json_true(json_get(j, "in"), false),
        .out = json_true(json_get(j, "out"), false),
        .err = json_true(json_get(j, "err"), false),
        .tty = json_true(json_get(j, "tty"), false),
        .follow = json_true(json_get(j, "follow"), false),
        .previous = json_true(json_get(j, "previous"), false),
        .timestamps = json_true(json_get(j, "timestamps"), false),
        .tail_lines = json_i64(json_get(j, "tail"), -1),
        .limit_bytes = json_i64(json_get(j, "limit"), -1),
        .since_seconds = json_i64(json_get(j, "since"), -1),
        .since_time = json_cstr(json_get(j, "sinceTime"), NULL),
    };
    int64_t port = json_i64(json_get(j, "port"), 0);
    size_t i = 0;
    while (i < ARRAY_SIZE(type_names) && !cstr_eq(type, type_names[i])) {
        i++;
    }
    r.type = (enum node_stream_type)i;
    bool named = r.type == NODE_STREAM_AGENT ||
                 (*r.ns && *r.pod && (*r.container || r.type == NODE_STREAM_PORT));
    bool reachable = r.type != NODE_STREAM_PORT || (port > 0 && port <= UINT16_MAX);
    if (i == ARRAY_SIZE(type_names) || !named || !reachable) {
        return err_set(err, -E_INVAL, "malformed request for a stream");
    }
    r.port = r.type == NODE_STREAM_PORT ? (int)port : 0;
    if (r.type != NODE_STREAM_LOG && decode_command(a, json_get(j, "command"), &r) < 0) {
        return err_sys(err, -ENOMEM, "open a stream");
    }
    if (r.type == NODE_STREAM_EXEC && (!r.command || !r.command[0])) {
        return err_set(err, -E_INVAL, "exec wants a command");
    }
    *ret = r;
    return 0;
}

/* ---- the parent's end ---- */

struct tunnel_stream {
    struct node_stream base;
    const struct node_stream_events *events;
    void *events_arg;
    struct io_loop *loop;
    struct list link;
    struct http_call *call; /* until it is accepted or refused */
    struct stream *stream;  /* after that */
    struct buf in;
    struct buf refusal;
    char *node; /* for what people read */
    bool paused, draining, closed, busy;
    struct io_task resume;
};

static void stream_free(struct tunnel_stream *t)
{
    http_call_cancel(t->call);
    stream_close(t->stream);
    io_task_cancel(&t->resume);
    list_del(&t->link);
    buf_fini(&t->in);
    buf_fini(&t->refusal);
    mem_free(t->node);
    mem_free(t);
}

/* Tells the owner, once, unless it has closed; then frees. */
static void finish(struct tunnel_stream *t, int code, const char *text)
{
    if (!t->closed) {
        t->closed = true;
        t->events->ended(t->events_arg, code, text);
    }
    stream_free(t);
}

/* The node's word {"code","message"}; worst stands in for a code that is missing or malformed. */
static void finish_by(struct tunnel_stream *t, struct str data, int worst)
{
    struct arena a;
    struct json *end = NULL;
    arena_init(&a, 0);
    (void)json_parse(&a, data, NULL, &end, NULL); /* NULL reads as "nothing given" */
    int64_t code = json_i64(json_get(end, "code"), worst);
    if (code > 0 || code < -100000 || (code == 0 && worst != -E_PROTO)) {
        code = worst;
    }
    const char *text = json_cstr(json_get(end, "message"), "");
    finish(t, (int)code, code < 0 && !*text ? err_text((int)code) : text);
    arena_fini(&a);
}

/* Hands out whole frames; false when the stream has ended (t is gone). The owner may close it
 * within a message: then it is freed here, at the end. */
static bool hand_out(struct tunnel_stream *t)
{
    uint8_t channel;
    struct str data;
    t->busy = true;
    while (!t->paused && !t->closed) {
        int64_t n = channel_next(buf_str(&t->in), &channel, &data);
        if (n == 0) {
            break;
        }
        if (n < 0) {
            t->busy = false;
            finish(t, (int)n, "the node sent a malformed frame");
            return false;
        }
        if (channel == CHANNEL_END) {
            t->busy = false;
            finish_by(t, data, -E_PROTO);
            return false;
        }
        t->events->message(t->events_arg, channel, data);
        buf_consume(&t->in, (size_t)n);
    }
    t->busy = false;
    if (t->closed) {
        stream_free(t);
        return false;
    }
    return true;
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct tunnel_stream *t = arg;
    if (buf_append(&t->in, data, n) < 0) {
        finish(t, -ENOMEM, "out of memory");
        return;
    }
    (void)hand_out(t); /* false: t is gone */
}

static void on_eof(void *arg)
{
    finish(arg, -E_CONNRESET, "the node's connection was lost");
}

static void on_error(void *arg, int code)
{
    finish(arg, code, "the node's connection was lost");
}

static void on_drain(void *arg)
{
    struct tunnel_stream *t = arg;
    if (t->draining) {
        t->draining = false;
        t->events->drained(t->events_arg);
    }
}

static const struct stream_events stream_ops = {
    .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};

static void call_stream(struct http_call *c, void *arg, struct stream *s,
                        const struct http_response *r)
{
    struct tunnel_stream *t = arg;
    (void)c;
    (void)r;
    t->call = NULL;
    t->stream = s;
    t->loop = stream_loop(s);
    stream_set_events(s, &stream_ops, t);
    t->busy = true;
    t->events->opened(t->events_arg);
    t->busy = false;
    if (t->closed) {
        stream_free(t);
    } else if (!t->paused) {
        stream_read_start(s);
    }
}

static void call_data(struct http_call *c, void *arg, struct str data)
{
    struct tunnel_stream *t = arg;
    (void)c;
    size_t room = REFUSAL_BYTES - MIN_OF(buf_len(&t->refusal), (size_t)REFUSAL_BYTES);
    (void)buf_append(&t->refusal, data.p, MIN_OF(room, data.n)); /* a shorter text is fine */
}

static void call_end(struct http_call *c, void *arg)
{
    struct tunnel_stream *t = arg;
    (void)c;
    t->call = NULL;
    finish_by(t, buf_str(&t->refusal), -E_INTERNAL);
}

static void call_error(struct http_call *c, void *arg, const struct err *err)
{
    struct tunnel_stream *t = arg;
    struct err e;
    (void)c;
    t->call = NULL;
    /* Not "unavailable": kubectl would ask again for minutes, and the server itself is well. */
    (void)err_set(&e, -E_INTERNAL, "node %s does not answer (%s)", t->node, err_text(err->code));
    finish(t, e.code, e.text);
}

static const struct http_call_ops call_ops = {
    .on_data = call_data,
    .on_end = call_end,
    .on_error = call_error,
    .on_stream = call_stream,
};

static int t_send(struct node_stream *s, uint8_t channel, struct str data)
{
    struct tunnel_stream *t = CONTAINER_OF(s, struct tunnel_stream, base);
    struct buf frame = BUF_INIT;
    if (!t->stream) {
        return -E_PIPE;
    }
    int rc = channel_frame(&frame, channel, data);
    ssize_t queued = rc < 0 ? rc : stream_write(t->stream, buf_data(&frame), buf_len(&frame));
    buf_fini(&frame);
    if (queued < 0) {
        return (int)queued;
    }
    t->draining = queued > STREAM_LOW_WATER * 4;
    return t->draining ? 1 : 0;
}

static void resume(void *arg)
{
    struct tunnel_stream *t = arg;
    if (hand_out(t) && !t->paused && t->stream) {
        stream_read_start(t->stream);
    }
}

static void t_pause(struct node_stream *s, bool paused)
{
    struct tunnel_stream *t = CONTAINER_OF(s, struct tunnel_stream, base);
    t->paused = paused;
    if (paused && t->stream) {
        stream_read_stop(t->stream);
    } else if (t->stream) {
        loop_defer(t->loop, &t->resume);
    }
}

static void t_close(struct node_stream *s)
{
    struct tunnel_stream *t = CONTAINER_OF(s, struct tunnel_stream, base);
    t->closed = true;
    if (!t->busy) {
        stream_free(t);
    }
}

static const struct node_stream_ops ops = {.send = t_send, .pause = t_pause, .close = t_close};

static char *request_path(struct arena *a, const struct node_stream_req *req)
{
    struct buf json = BUF_INIT, path = BUF_INIT;
    (void)json_print(&json, tunnel_stream_encode(a, req)); /* sticky, asked below */
    (void)buf_puts(&path, TUNNEL_STREAM_PATH "?req=");
    (void)percent_encode(&path, buf_str(&json));
    char *text = buf_failed(&json) || buf_failed(&path) ? NULL : arena_str(a, buf_str(&path));
    buf_fini(&json);
    buf_fini(&path);
    return text;
}

struct node_stream *tunnel_stream_open(struct http_client *client, struct list *streams,
                                       const struct node_stream_req *req,
                                       const struct node_stream_events *events, void *events_arg,
                                       struct err *err)
{
    struct arena a;
    struct tunnel_stream *t = mem_zalloc(sizeof(*t));
    arena_init(&a, 0);
    char *path = t ? request_path(&a, req) : NULL;
    if (path) {
        t->node = mem_strdup(req->node);
    }
    if (!path || !t->node) {
        mem_free(t);
        arena_fini(&a);
        (void)err_sys(err, -ENOMEM, "open a stream to node '%s'", req->node);
        return NULL;
    }
    struct http_call_request call = {
        .path = path, .upgrade = TUNNEL_STREAM_PROTOCOL, .timeout_ms = OPEN_MS};
    t->base.ops = &ops;
    t->events = events;
    t->events_arg = events_arg;
    io_task_init(&t->resume, resume, t);
    list_push_back(streams, &t->link);
    t->call = http_call_start(client, &call, &call_ops, t);
    arena_fini(&a);
    if (!t->call) {
        stream_free(t);
        (void)err_sys(err, -ENOMEM, "open a stream to node '%s'", req->node);
        return NULL;
    }
    return &t->base;
}

void tunnel_stream_end_all(struct list *streams, const char *text)
{
    while (!list_empty(streams)) {
        struct list *l = streams->next;
        list_del(l);
        finish(CONTAINER_OF(l, struct tunnel_stream, link), -E_UNREACH, text);
    }
}

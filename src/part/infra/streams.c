/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logs and exec of this node's pods as streams (api/node_stream.h): the local API server and the
 * tunnel to the parent both come in here.
 *
 * A stream holds no pointer to a pod or a container: it finds them by uid, name and attempt when it
 * needs them, so it may outlive them.
 */
#include <stdio.h>

#include "api/object.h"
#include "infra_private.h"
#include "io/stream.h"
#include "runtime/logs.h"

#define FOLLOW_MS 500
#define HIGH_WATER ((ssize_t)128 << 10)
#define DATA_MAX ((size_t)32 << 10)

enum { FD_NR = 3 };

struct local_stream {
    struct infra_stream head;
    struct infra *inf;
    const struct node_stream_events *events;
    void *events_arg;
    struct io_task begin, free;
    bool paused, closed, busy, stdin_full;
    /* log */
    struct logs_reader *logs;
    struct logs_options options;
    struct io_timer follow;
    char *path, *uid, *container;
    int attempt;
    /* exec */
    struct exec *exec;
    struct stream *fds[FD_NR];
    char **argv;
    bool tty, in, exited;
    int exit_code;
    struct err exit_err;
};

/* ---- lifetime ---- */

static void release(void *arg)
{
    struct local_stream *s = arg;
    for (size_t i = 0; s->argv && s->argv[i]; i++) {
        mem_free(s->argv[i]);
    }
    mem_free(s->argv);
    mem_free(s->path);
    mem_free(s->uid);
    mem_free(s->container);
    mem_free(s);
}

/* Lets go of everything; freed on the next tick, since callers may be inside our own callbacks. */
static void shut(struct local_stream *s)
{
    if (s->closed) {
        return;
    }
    s->closed = true;
    io_task_cancel(&s->begin);
    io_timer_stop(&s->follow);
    logs_close(TAKE_PTR(s->logs));
    for (size_t i = 0; i < FD_NR; i++) {
        stream_close(TAKE_PTR(s->fds[i]));
    }
    if (s->exec) {
        exec_close(TAKE_PTR(s->exec));
    }
    list_del(&s->head.link);
    loop_defer(s->inf->loop, &s->free);
}

static void finish(struct local_stream *s, int code, const char *text)
{
    if (s->closed) {
        return;
    }
    const struct node_stream_events *events = s->events;
    shut(s);
    events->ended(s->events_arg, code, text);
}

static void s_close(struct node_stream *base)
{
    shut(CONTAINER_OF(base, struct local_stream, head.base));
}

static void s_cut(struct infra_stream *head, int code, const char *text)
{
    finish(CONTAINER_OF(head, struct local_stream, head), code, text);
}

void streams_close_all(struct infra *inf)
{
    while (!list_empty(&inf->streams)) {
        struct infra_stream *s = CONTAINER_OF(inf->streams.next, struct infra_stream, link);
        s->cut(s, -E_UNREACH, "the node agent ends");
    }
}

/* ---- looking up ---- */

struct pod *stream_find_pod(struct infra *inf, const struct node_stream_req *req)
{
    struct pod *p = *req->uid ? map_get(&inf->pods, str_of(req->uid)) : NULL;
    if (p) {
        return p;
    }
    MAP_FOR_EACH (slot, &inf->pods) {
        struct pod *q = slot->value;
        if (!q->orphan && cstr_eq(q->ns, req->ns) && cstr_eq(q->name, req->pod)) {
            return q;
        }
    }
    return NULL;
}

static struct slot *find_slot(struct infra *inf, const struct node_stream_req *req, struct err *err)
{
    struct pod *p = stream_find_pod(inf, req);
    struct slot *s = p ? pod_slot(p, req->container) : NULL;
    if (!p) {
        (void)err_set(err, -E_NOENT, "pod \"%s\" is not on this node yet", req->pod);
    } else if (!s) {
        (void)err_set(err, -E_NOENT, "container %s is not valid for pod %s", req->container,
                      req->pod);
    }
    return s;
}

/* ---- logs ---- */

/* The container whose log is meant; NULL with err. */
static struct container *log_source(struct slot *s, const struct node_stream_req *req,
                                    struct err *err)
{
    bool waiting = s->sm.state == SLOT_WAITING;
    if (req->previous) {
        struct container *c = waiting && s->c ? s->c : s->previous;
        if (!c) {
            (void)err_set(err, -E_INVAL,
                          "previous terminated container \"%s\" in pod \"%s\" not found",
                          req->container, req->pod);
        }
        return c;
    }
    if (!s->c || (s->sm.state == SLOT_STARTING && s->previous)) {
        if (s->previous) {
            return s->previous;
        }
        bool image = cstr_eq(s->reason, "ErrImagePull") || cstr_eq(s->reason, "ImagePullBackOff");
        (void)err_set(err, -E_INVAL, "container \"%s\" in pod \"%s\" is waiting to start: %s",
                      req->container, req->pod,
                      image       ? "trying and failing to pull image"
                      : s->reason ? s->reason
                                  : "ContainerCreating");
        return NULL;
    }
    return s->c;
}

static bool log_data(void *arg, const void *data, size_t n)
{
    struct local_stream *s = arg;
    const char *at = data;
    while (n > 0 && !s->closed) {
        size_t piece = MIN_OF(n, DATA_MAX);
        s->events->message(s->events_arg, CHANNEL_STDOUT, str_n(at, piece));
        at += piece;
        n -= piece;
    }
    return !s->paused;
}

static void log_end(void *arg, int code)
{
    finish(arg, code, code < 0 ? err_text(code) : "");
}

static void log_follow(void *arg)
{
    struct local_stream *s = arg;
    struct pod *p = map_get(&s->inf->pods, str_of(s->uid));
    struct slot *slot = p ? pod_slot(p, s->container) : NULL;
    if (!slot || slot->attempt != s->attempt || !slot_alive(slot)) {
        io_timer_stop(&s->follow);
        logs_finish(s->logs);
    }
}

static void log_begin(struct local_stream *s)
{
    struct err err;
    int rc = logs_open(s->inf->loop, s->path, &s->options, log_data, log_end, s, &s->logs, &err);
    if (rc < 0) {
        finish(s, rc, err.text);
        return;
    }
    if (s->options.follow) {
        io_timer_start(&s->follow, FOLLOW_MS, FOLLOW_MS);
    }
    s->events->opened(s->events_arg);
}

static int prepare_log(struct local_stream *s, struct slot *slot, const struct node_stream_req *req,
                       struct err *err)
{
    struct container *c = log_source(slot, req, err);
    if (!c) {
        return -E_INVAL;
    }
    s->options = (struct logs_options){.tail_lines = req->tail_lines,
                                       .limit_bytes = req->limit_bytes,
                                       .timestamps = req->timestamps,
                                       .follow = req->follow && !req->previous};
    if (req->since_seconds >= 0) {
        s->options.since.us = wall_now().us - req->since_seconds * 1000000;
    } else if (req->since_time && time_parse(str_of(req->since_time), &s->options.since) < 0) {
        return err_set(err, -E_INVAL, "sinceTime is no RFC 3339 time: %s", req->since_time);
    }
    s->path = mem_strdup(container_status(c)->log_path);
    s->attempt = container_status(c)->attempt;
    return s->path ? 0 : err_sys(err, -ENOMEM, "open the log");
}

/* ---- exec ---- */

static struct json *exec_status(struct arena *a, int code, const struct err *err)
{
    struct json *o = json_object(a);
    (void)json_ensure_object(o, "metadata"); /* made empty */
    json_set_str(o, "status", code == 0 ? "Success" : "Failure");
    if (code > 0) {
        json_set(o, "message",
                 json_printf(a, "command terminated with non-zero exit code: exit code %d", code));
        json_set_str(o, "reason", "NonZeroExitCode");
        struct json *causes = json_ensure_array(json_ensure_object(o, "details"), "causes");
        struct json *cause = json_push(causes, json_object(a));
        json_set_str(cause, "reason", "ExitCode");
        json_set(cause, "message", json_printf(a, "%d", code));
    } else if (code < 0) {
        json_set_str(o, "message", err->text);
        json_set_str(o, "reason", "InternalError");
        json_set_int(o, "code", 500);
    }
    return o;
}

/* The command has ended and all it wrote is handed out. */
static void exec_finish_if_done(struct local_stream *s)
{
    struct buf text = BUF_INIT;
    struct arena a;
    if (!s->exited || s->fds[1] || s->fds[2] || s->paused || s->closed) {
        return;
    }
    arena_init(&a, 0);
    (void)json_print(&text, exec_status(&a, s->exit_code, &s->exit_err)); /* empty on no memory */
    s->events->message(s->events_arg, CHANNEL_ERROR, buf_str(&text));
    buf_fini(&text);
    arena_fini(&a);
    finish(s, 0, "");
}

static void exec_exited(void *arg, int code, const struct err *err)
{
    struct local_stream *s = arg;
    s->exited = true;
    s->exit_code = code;
    if (err) {
        s->exit_err = *err;
    }
    stream_close(TAKE_PTR(s->fds[0]));
    exec_finish_if_done(s);
}

static void out_data(struct local_stream *s, uint8_t channel, const char *data, size_t n)
{
    while (n > 0 && !s->closed) {
        size_t piece = MIN_OF(n, DATA_MAX);
        s->events->message(s->events_arg, channel, str_n(data, piece));
        data += piece;
        n -= piece;
    }
}

static void out_end(struct local_stream *s, int fd)
{
    stream_close(TAKE_PTR(s->fds[fd]));
    exec_finish_if_done(s);
}

static void stdout_data(void *arg, const char *data, size_t n)
{
    out_data(arg, CHANNEL_STDOUT, data, n);
}

static void stderr_data(void *arg, const char *data, size_t n)
{
    out_data(arg, CHANNEL_STDERR, data, n);
}

static void stdout_eof(void *arg)
{
    out_end(arg, 1);
}

static void stderr_eof(void *arg)
{
    out_end(arg, 2);
}

static void stdout_error(void *arg, int code)
{
    (void)code; /* the command's end tells */
    out_end(arg, 1);
}

static void stderr_error(void *arg, int code)
{
    (void)code;
    out_end(arg, 2);
}

static void stdin_error(void *arg, int code)
{
    struct local_stream *s = arg;
    (void)code; /* the command does not read any more */
    stream_close(TAKE_PTR(s->fds[0]));
    if (s->stdin_full) {
        s->stdin_full = false;
        s->events->drained(s->events_arg);
    }
}

static void stdin_drain(void *arg)
{
    struct local_stream *s = arg;
    if (s->stdin_full) {
        s->stdin_full = false;
        s->events->drained(s->events_arg);
    }
}

static const struct stream_events fd_events[FD_NR] = {
    {.on_error = stdin_error, .on_drain = stdin_drain},
    {.on_read = stdout_data, .on_eof = stdout_eof, .on_error = stdout_error},
    {.on_read = stderr_data, .on_eof = stderr_eof, .on_error = stderr_error},
};

static void exec_begin(struct local_stream *s)
{
    struct pod *p = map_get(&s->inf->pods, str_of(s->uid));
    struct slot *slot = p ? pod_slot(p, s->container) : NULL;
    struct exec_config config = {
        .argv = (const char *const *)s->argv, .tty = s->tty, .stdin_open = s->in};
    struct err err;
    if (!slot || slot->sm.state != SLOT_RUNNING) {
        (void)err_set(&err, -E_INVAL, "container \"%s\" is not running", s->container);
        finish(s, err.code, err.text);
        return;
    }
    int rc = exec_start(slot->c, &config, exec_exited, s, &s->exec, &err);
    if (rc < 0) {
        finish(s, rc, err.text);
        return;
    }
    for (int fd = 0; fd < FD_NR; fd++) {
        s->fds[fd] = exec_stream(s->exec, fd);
        if (s->fds[fd]) {
            stream_set_events(s->fds[fd], &fd_events[fd], s);
        }
    }
    s->events->opened(s->events_arg);
    for (int fd = 1; fd < FD_NR && !s->closed && !s->paused; fd++) {
        if (s->fds[fd]) {
            stream_read_start(s->fds[fd]);
        }
    }
}

static int prepare_exec(struct local_stream *s, struct slot *slot,
                        const struct node_stream_req *req, struct err *err)
{
    size_t n = 0;
    if (slot->sm.state != SLOT_RUNNING) {
        return err_set(err, -E_INVAL, "container \"%s\" in pod \"%s\" is not running",
                       req->container, req->pod);
    }
    while (req->command && req->command[n]) {
        n++;
    }
    s->argv = mem_zalloc((n + 1) * sizeof(*s->argv));
    for (size_t i = 0; s->argv && i < n; i++) {
        s->argv[i] = mem_strdup(req->command[i]);
        if (!s->argv[i]) {
            return err_sys(err, -ENOMEM, "exec");
        }
    }
    s->tty = req->tty;
    s->in = req->in;
    return s->argv ? 0 : err_sys(err, -ENOMEM, "exec");
}

/* ---- the operations ---- */

bool stream_window_size(struct str data, uint16_t *ret_rows, uint16_t *ret_cols)
{
    struct arena a;
    struct json *size = NULL;
    arena_init(&a, 0);
    int rc = json_parse(&a, data, NULL, &size, NULL);
    int64_t rows = json_path_i64(size, "Height", 0), cols = json_path_i64(size, "Width", 0);
    bool good = rc == 0 && rows > 0 && rows <= UINT16_MAX && cols > 0 && cols <= UINT16_MAX;
    if (good) {
        *ret_rows = (uint16_t)rows;
        *ret_cols = (uint16_t)cols;
    }
    arena_fini(&a);
    return good;
}

static void resize(struct local_stream *s, struct str data)
{
    uint16_t rows, cols;
    if (stream_window_size(data, &rows, &cols)) {
        exec_resize(s->exec, rows, cols);
    }
}

static int to_stdin(struct local_stream *s, const void *data, size_t n)
{
    ssize_t queued = stream_write(s->fds[0], data, n);
    s->stdin_full = queued > HIGH_WATER;
    return s->stdin_full ? 1 : 0; /* what the command does not take is dropped, as by a pipe */
}

static void end_stdin(struct local_stream *s)
{
    if (s->tty) {
        (void)to_stdin(s, "\004", 1);
    } else {
        stream_finish(TAKE_PTR(s->fds[0]));
    }
}

static int s_send(struct node_stream *base, uint8_t channel, struct str data)
{
    struct local_stream *s = CONTAINER_OF(base, struct local_stream, head.base);
    if (!s->exec || s->closed) {
        return 0; /* logs take nothing; a command that has ended neither */
    }
    if (channel == CHANNEL_STDIN && s->fds[0]) {
        return to_stdin(s, data.p, data.n);
    }
    if (channel == CHANNEL_CLOSE && data.n > 0 && data.p[0] == CHANNEL_STDIN && s->fds[0]) {
        end_stdin(s);
    } else if (channel == CHANNEL_RESIZE) {
        resize(s, data);
    }
    return 0;
}

static void s_pause(struct node_stream *base, bool paused)
{
    struct local_stream *s = CONTAINER_OF(base, struct local_stream, head.base);
    s->paused = paused;
    if (s->closed) {
        return;
    }
    if (s->logs && !paused) {
        logs_resume(s->logs);
    }
    for (int fd = 1; fd < FD_NR; fd++) {
        if (s->fds[fd]) {
            (paused ? stream_read_stop : stream_read_start)(s->fds[fd]);
        }
    }
    if (!paused && s->exited) {
        loop_defer(s->inf->loop, &s->begin); /* may end it: not inside the call */
    }
}

static const struct node_stream_ops ops = {.send = s_send, .pause = s_pause, .close = s_close};

static void begin(void *arg)
{
    struct local_stream *s = arg;
    if (s->exited) {
        exec_finish_if_done(s);
    } else if (s->path) {
        log_begin(s);
    } else {
        exec_begin(s);
    }
}

struct node_stream *infra_open_stream(void *arg, const struct node_stream_req *req,
                                      const struct node_stream_events *events, void *events_arg,
                                      struct err *err)
{
    struct infra *inf = arg;
    if (req->type == NODE_STREAM_PORT || req->type == NODE_STREAM_AGENT) {
        return stream_bytes_open(inf, req, events, events_arg, err);
    }
    struct slot *slot = find_slot(inf, req, err);
    if (!slot || req->type == NODE_STREAM_ATTACH) {
        return slot ? stream_attach_open(slot, req, events, events_arg, err) : NULL;
    }
    struct local_stream *s = mem_zalloc(sizeof(*s));
    if (!s) {
        (void)err_sys(err, -ENOMEM, "open a stream");
        return NULL;
    }
    s->head.base.ops = &ops;
    s->head.cut = s_cut;
    s->inf = inf;
    s->events = events;
    s->events_arg = events_arg;
    s->uid = mem_strdup(slot->pod->uid);
    s->container = mem_strdup(slot->name);
    int rc = !s->uid || !s->container       ? err_sys(err, -ENOMEM, "open a stream")
             : req->type == NODE_STREAM_LOG ? prepare_log(s, slot, req, err)
                                            : prepare_exec(s, slot, req, err);
    if (rc < 0) {
        release(s);
        return NULL;
    }
    io_task_init(&s->begin, begin, s);
    io_task_init(&s->free, release, s);
    io_timer_init(inf->loop, &s->follow, log_follow, s);
    list_push_back(&inf->streams, &s->head.link);
    loop_defer(inf->loop, &s->begin);
    return &s->head.base;
}

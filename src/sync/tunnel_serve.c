/* SPDX-License-Identifier: Apache-2.0 */
/* The child's end of streams in the reverse tunnel: an exchange on one side, the runtime's stream
 * on the other; see tunnel_stream.h. */
#include "base/limits.h"
#include "base/mem.h"
#include "io/loop.h"
#include "io/stream.h"
#include "net/http_server.h"
#include "tunnel_stream.h"

#define HIGH_WATER ((ssize_t)256 << 10)

struct served {
    struct http_exchange *x;   /* until accepted or refused */
    struct stream *stream;     /* after that */
    struct node_stream *local; /* NULL once it has ended */
    struct io_task free;
    struct io_loop *loop;
    struct buf in;
    bool local_paused;
    bool local_full; /* it takes no more until it says drained */
};

static void served_free(void *arg)
{
    struct served *s = arg;
    buf_fini(&s->in);
    mem_free(s);
}

/* Ends both sides; freed on the next tick, since callers may be deep inside a callback. */
static void served_end(struct served *s)
{
    if (s->local) {
        s->local->ops->close(s->local);
        s->local = NULL;
    }
    stream_close(s->stream);
    s->stream = NULL;
    loop_defer(s->loop, &s->free);
}

static struct str end_text(struct buf *out, int code, const char *text)
{
    (void)buf_printf(out, "{\"code\":%d,\"message\":", code); /* sticky */
    (void)json_print_string(out, str_of(text));
    (void)buf_putc(out, '}');
    return buf_str(out);
}

static void refuse(struct http_exchange *x, int code, const char *text)
{
    struct buf body = BUF_INIT;
    http_reply_text(x, err_http_status(code), "application/json", end_text(&body, code, text));
    buf_fini(&body);
}

/* ---- from the parent ---- */

static void take_frames(struct served *s)
{
    uint8_t channel;
    struct str data;
    while (s->local && s->stream && !s->local_full) {
        int64_t n = channel_next(buf_str(&s->in), &channel, &data);
        if (n == 0) {
            return;
        }
        if (n < 0) {
            served_end(s);
            return;
        }
        int rc = s->local->ops->send(s->local, channel, data);
        buf_consume(&s->in, (size_t)n);
        if (rc == 1 && s->stream) {
            s->local_full = true;
            stream_read_stop(s->stream);
        }
    }
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct served *s = arg;
    if (buf_append(&s->in, data, n) < 0) {
        served_end(s);
        return;
    }
    take_frames(s);
}

static void on_gone(void *arg)
{
    served_end(arg);
}

static void on_error(void *arg, int code)
{
    (void)code;
    served_end(arg);
}

static void on_drain(void *arg)
{
    struct served *s = arg;
    if (s->local && s->local_paused) {
        s->local_paused = false;
        s->local->ops->pause(s->local, false);
    }
}

static const struct stream_events stream_ops = {
    .on_read = on_read, .on_eof = on_gone, .on_error = on_error, .on_drain = on_drain};

/* ---- from the runtime ---- */

static void local_opened(void *arg)
{
    struct served *s = arg;
    struct http_exchange *x = s->x;
    if (!x) {
        return;
    }
    s->stream = http_exchange_stream(x, TUNNEL_STREAM_PROTOCOL, NULL, 0);
    s->x = NULL;
    if (!s->stream) {
        refuse(x, -E_INVAL, "the request does not ask for a stream");
        served_end(s);
        return;
    }
    stream_set_events(s->stream, &stream_ops, s);
    stream_read_start(s->stream);
}

static void local_message(void *arg, uint8_t channel, struct str data)
{
    struct served *s = arg;
    struct buf frame = BUF_INIT;
    if (!s->stream) {
        return;
    }
    ssize_t queued = channel_frame(&frame, channel, data) < 0
                         ? -ENOMEM
                         : stream_write(s->stream, buf_data(&frame), buf_len(&frame));
    buf_fini(&frame);
    if (queued < 0) {
        served_end(s);
    } else if (queued > HIGH_WATER && s->local && !s->local_paused) {
        s->local_paused = true;
        s->local->ops->pause(s->local, true);
    }
}

static void local_drained(void *arg)
{
    struct served *s = arg;
    s->local_full = false;
    take_frames(s);
    if (s->stream && s->local && !s->local_full) {
        stream_read_start(s->stream);
    }
}

static void local_ended(void *arg, int code, const char *text)
{
    struct served *s = arg;
    struct buf end = BUF_INIT, frame = BUF_INIT;
    s->local = NULL;
    if (s->x) {
        struct http_exchange *x = TAKE_PTR(s->x);
        refuse(x, code < 0 ? code : -E_INTERNAL, text ? text : "");
    } else if (s->stream) {
        if (channel_frame(&frame, CHANNEL_END, end_text(&end, code, text ? text : "")) == 0) {
            (void)stream_write(s->stream, buf_data(&frame), buf_len(&frame)); /* it may be gone */
        }
        stream_finish(TAKE_PTR(s->stream));
    }
    buf_fini(&end);
    buf_fini(&frame);
    served_end(s);
}

static const struct node_stream_events local_ops = {.opened = local_opened,
                                                    .message = local_message,
                                                    .drained = local_drained,
                                                    .ended = local_ended};

static void on_close(void *arg)
{
    struct served *s = arg;
    s->x = NULL;
    served_end(s);
}

void tunnel_stream_serve(struct http_exchange *x, node_stream_open_fn *open, void *open_arg)
{
    struct arena *a = http_exchange_arena(x);
    struct node_stream_req req;
    struct json *j = NULL;
    struct err err = {0};
    const char *text = http_query_get(a, http_exchange_request(x)->query, "req");
    int rc = text ? json_parse(a, str_of(text), NULL, &j, &err)
                  : err_set(&err, -E_INVAL, "the request has no 'req'");
    rc = rc < 0 ? rc : tunnel_stream_decode(a, j, &req, &err);
    struct served *s = rc < 0 ? NULL : mem_zalloc(sizeof(*s));
    if (!s) {
        refuse(x, rc < 0 ? rc : -E_NOMEM, rc < 0 ? err.text : "out of memory");
        return;
    }
    s->x = x;
    s->loop = http_exchange_loop(x);
    io_task_init(&s->free, served_free, s);
    s->local = open(open_arg, &req, &local_ops, s, &err);
    if (!s->local) {
        refuse(x, err.code, err.text);
        served_free(s);
        return;
    }
    http_exchange_on_close(x, on_close, s);
}

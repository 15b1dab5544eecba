/* SPDX-License-Identifier: Apache-2.0 */
/*
 * WebSocket connections; see ws.h.
 *
 *     OPEN --ws_close()--> CLOSING --Close of the peer, EOF, error or 5 s--> gone
 *       \--Close of the peer, EOF, error-------------------------------------^
 *
 * Invariants
 * 1. `pending` holds input only while messages are paused; otherwise input is decoded as it comes.
 * 2. Memory is freed in finish() only, and never while a callback of ours is on the stack (`busy`).
 */
#include "ws.h"

#include <string.h>

#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/websocket.h"
#include "io/loop.h"
#include "io/stream.h"
#include "net/http_client.h"
#include "net/http_server.h"

#define CLOSE_WAIT_MS 5000
#define CODE_BROKEN 1006

struct ws {
    struct stream *stream;
    const struct ws_events *ev;
    void *arg;
    bool server;
    bool paused, closing, ended, busy;
    struct websocket_decoder decoder;
    struct buf pending;
    struct buf out;
    struct io_timer close_timer;
    struct io_task resume;
};

static void ws_free(struct ws *w)
{
    io_timer_stop(&w->close_timer);
    io_task_cancel(&w->resume);
    websocket_decoder_fini(&w->decoder);
    buf_fini(&w->pending);
    buf_fini(&w->out);
    mem_free(w);
}

/* The connection ends: tells the owner unless it ended it itself, and frees. */
static void finish(struct ws *w, bool tell, int code, struct str reason)
{
    if (w->ended) {
        return;
    }
    w->ended = true;
    if (w->closing || code != CODE_BROKEN) {
        stream_finish(w->stream); /* our Close frame still goes out */
    } else {
        stream_close(w->stream);
    }
    w->stream = NULL;
    if (tell) {
        bool busy = w->busy;
        w->busy = true;
        w->ev->on_close(w, w->arg, code, reason);
        w->busy = busy;
    }
    if (!w->busy) {
        ws_free(w);
    }
}

/* Each frame leaves alone: a client that polls its socket and then reads one frame (Python's) would
 * not see a second one in the same TLS record. */
static ssize_t send_frame(struct ws *w, enum websocket_op op, struct str data)
{
    buf_clear(&w->out);
    if (websocket_put(&w->out, w->server, op, data.p, data.n) < 0) {
        return -ENOMEM;
    }
    ssize_t queued = stream_write(w->stream, buf_data(&w->out), buf_len(&w->out));
    if (queued >= 0) {
        stream_flush(w->stream);
    }
    return queued < 0 ? queued : stream_queued(w->stream);
}

static void send_close(struct ws *w, int code, const char *reason)
{
    buf_clear(&w->out);
    if (websocket_put_close(&w->out, w->server, code, reason) == 0) {
        (void)stream_write(w->stream, buf_data(&w->out),
                           buf_len(&w->out)); /* the connection ends in any case */
        stream_flush(w->stream);
    }
}

static void on_event(struct ws *w, const struct websocket_event *e)
{
    switch (e->op) {
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY:
        if (!w->closing) {
            w->ev->on_message(w, w->arg, e->op == WEBSOCKET_BINARY, e->data);
        }
        break;
    case WEBSOCKET_PING:
        if (!w->closing && stream_queued(w->stream) < STREAM_LOW_WATER) {
            (void)send_frame(w, WEBSOCKET_PONG,
                             e->data); /* section 5.5.3 allows to answer the newest ping only */
        }
        break;
    case WEBSOCKET_CLOSE:
        if (!w->closing) {
            send_close(w, e->close_code, NULL);
        }
        finish(w, true, e->close_code, e->data);
        break;
    default:
        break;
    }
}

/* Decodes until the input is used up, messages are paused, or the connection has ended. */
static void decode(struct ws *w, struct str *in)
{
    struct websocket_event e;
    while (!w->ended && !w->paused) {
        int rc = websocket_next(&w->decoder, in, &e);
        if (rc == 0) {
            break;
        }
        if (rc < 0) {
            send_close(w, e.close_code, NULL);
            finish(w, true, e.close_code, STR_NULL);
            break;
        }
        on_event(w, &e);
    }
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct ws *w = arg;
    struct str in = str_n(data, n);
    w->busy = true;
    if (buf_len(&w->pending) == 0) {
        decode(w, &in);
    }
    if (!w->ended && in.n && buf_append_str(&w->pending, in) < 0) {
        finish(w, true, CODE_BROKEN, STR_NULL);
    }
    w->busy = false;
    if (w->ended) {
        ws_free(w);
    }
}

static void on_eof(void *arg)
{
    finish(arg, true, CODE_BROKEN, STR_NULL);
}

static void on_error(void *arg, int code)
{
    finish(arg, true, CODE_BROKEN, STR_NULL);
}

static void on_drain(void *arg)
{
    struct ws *w = arg;
    if (w->ev->on_drain && !w->closing) {
        w->ev->on_drain(w, w->arg);
    }
}

static void on_close_timeout(void *arg)
{
    finish(arg, true, CODE_BROKEN, STR_NULL);
}

/* After a pause: first what was held back, then the stream again. */
static void on_resume(void *arg)
{
    struct ws *w = arg;
    struct str in = buf_str(&w->pending);
    size_t before = in.n;
    w->busy = true;
    decode(w, &in);
    w->busy = false;
    if (w->ended) {
        ws_free(w);
        return;
    }
    buf_consume(&w->pending, before - in.n);
    if (!w->paused) {
        stream_read_start(w->stream);
    }
}

struct ws *ws_new(struct stream *s, bool server, const struct ws_events *ev, void *arg)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};
    struct ws *w = mem_zalloc(sizeof(*w));
    if (!w) {
        stream_close(s);
        return NULL;
    }
    w->stream = s;
    w->ev = ev;
    w->arg = arg;
    w->server = server;
    websocket_decoder_init(&w->decoder, server);
    io_timer_init(stream_loop(s), &w->close_timer, on_close_timeout, w);
    io_task_init(&w->resume, on_resume, w);
    stream_set_events(s, &events, w);
    stream_read_start(s);
    return w;
}

ssize_t ws_send2(struct ws *w, bool binary, struct str head, struct str data)
{
    if (w->ended || w->closing) {
        return -EPIPE;
    }
    if (head.n == 0) {
        return send_frame(w, binary ? WEBSOCKET_BINARY : WEBSOCKET_TEXT, data);
    }
    struct buf joined = BUF_INIT;
    (void)buf_append_str(&joined, head); /* failure is sticky */
    ssize_t rc = buf_append_str(&joined, data) < 0
                     ? -ENOMEM
                     : send_frame(w, binary ? WEBSOCKET_BINARY : WEBSOCKET_TEXT, buf_str(&joined));
    buf_fini(&joined);
    return rc;
}

ssize_t ws_send(struct ws *w, bool binary, struct str data)
{
    return ws_send2(w, binary, STR_NULL, data);
}

void ws_pause(struct ws *w, bool paused)
{
    if (w->ended || w->paused == paused) {
        return;
    }
    w->paused = paused;
    if (paused) {
        io_task_cancel(&w->resume);
        stream_read_stop(w->stream);
    } else {
        loop_defer(stream_loop(w->stream), &w->resume);
    }
}

void ws_close(struct ws *w, int code, const char *reason)
{
    if (w->ended || w->closing) {
        return;
    }
    send_close(w, code, reason);
    w->closing = true;
    ws_pause(w, false); /* the peer's Close must be seen */
    io_timer_start(&w->close_timer, CLOSE_WAIT_MS, 0);
}

void ws_abort(struct ws *w)
{
    if (w) {
        finish(w, false, CODE_BROKEN, STR_NULL);
    }
}

/* ---- the server's handshake ---- */

bool ws_wanted(const struct http_exchange *x)
{
    const struct http_request *r = http_exchange_request(x);
    return str_is(r->method, "GET") && http_exchange_wants_stream(x, "websocket") &&
           str_is(http_header_get(&r->headers, "sec-websocket-version"), "13") &&
           websocket_key_valid(http_header_get(&r->headers, "sec-websocket-key"));
}

bool ws_offers(const struct http_exchange *x, const char *subprotocol)
{
    return http_header_has_token(&http_exchange_request(x)->headers, "sec-websocket-protocol",
                                 subprotocol);
}

struct ws *ws_accept(struct http_exchange *x, const char *subprotocol, const struct ws_events *ev,
                     void *arg)
{
    char accept[WEBSOCKET_ACCEPT_SIZE];
    websocket_accept_key(http_header_get(&http_exchange_request(x)->headers, "sec-websocket-key"),
                         accept);
    const struct http_header headers[] = {
        HTTP_HEADER("sec-websocket-accept", accept),
        HTTP_HEADER("sec-websocket-protocol", subprotocol ? subprotocol : "")};
    struct stream *s = http_exchange_stream(x, "websocket", headers, subprotocol ? 2 : 1);
    return s ? ws_new(s, true, ev, arg) : NULL;
}

/* ---- the client's handshake ---- */

struct ws_connect {
    struct http_call *call;
    const struct ws_events *ev;
    void *ev_arg;
    void (*done)(void *arg, struct ws *w, const struct err *err);
    void *arg;
    char key[WEBSOCKET_KEY_SIZE];
    char *subprotocol;
};

static void connect_end(struct ws_connect *c, struct ws *w, const struct err *err)
{
    c->done(c->arg, w, err);
    mem_free(c->subprotocol);
    mem_free(c);
}

static void on_connect_stream(struct http_call *call, void *arg, struct stream *s,
                              const struct http_response *r)
{
    struct ws_connect *c = arg;
    struct err err;
    char want[WEBSOCKET_ACCEPT_SIZE];
    websocket_accept_key(str_of(c->key), want);
    struct str protocol = http_header_get(&r->headers, "sec-websocket-protocol");
    if (!str_is(http_header_get(&r->headers, "sec-websocket-accept"), want)) {
        (void)err_set(&err, -E_PROTO, "the server's WebSocket handshake is wrong");
    } else if (!str_is(protocol, c->subprotocol ? c->subprotocol : "")) {
        (void)err_set(&err, -E_PROTO, "the server does not speak the subprotocol '%s'",
                      c->subprotocol ? c->subprotocol : "");
    } else {
        struct ws *w = ws_new(s, false, c->ev, c->ev_arg);
        (void)err_sys(&err, -ENOMEM, "open a WebSocket");
        connect_end(c, w, w ? NULL : &err);
        return;
    }
    stream_close(s);
    connect_end(c, NULL, &err);
}

static void on_connect_headers(struct http_call *call, void *arg, const struct http_response *r)
{
    struct ws_connect *c = arg;
    struct err err;
    (void)err_set(&err, -E_PROTO, "the server answered %d instead of opening a WebSocket",
                  r->status);
    http_call_cancel(call);
    connect_end(c, NULL, &err);
}

static void on_connect_error(struct http_call *call, void *arg, const struct err *err)
{
    connect_end(arg, NULL, err);
}

struct ws_connect *ws_connect(struct http_client *client, const char *path,
                              const struct http_header *headers, size_t n, const char *subprotocol,
                              const struct ws_events *ev, void *ev_arg,
                              void (*done)(void *arg, struct ws *w, const struct err *err),
                              void *arg)
{
    static const struct http_call_ops ops = {.on_headers = on_connect_headers,
                                             .on_error = on_connect_error,
                                             .on_stream = on_connect_stream};
    struct http_header all[LIMIT_HEADER_COUNT];
    struct ws_connect *c = mem_zalloc(sizeof(*c));
    char *copy = mem_strdup(subprotocol);
    if (!c || (subprotocol && !copy) || n > ARRAY_SIZE(all) - 3) {
        mem_free(c);
        mem_free(copy);
        return NULL;
    }
    *c = (struct ws_connect){
        .ev = ev, .ev_arg = ev_arg, .done = done, .arg = arg, .subprotocol = copy};
    websocket_make_key(c->key);
    if (n) {
        memcpy(all, headers, n * sizeof(*all));
    }
    all[n++] = HTTP_HEADER("sec-websocket-version", "13");
    all[n++] = HTTP_HEADER("sec-websocket-key", c->key);
    if (copy) {
        all[n++] = HTTP_HEADER("sec-websocket-protocol", copy);
    }
    struct http_call_request req = {
        .path = path, .headers = all, .n_headers = n, .upgrade = "websocket"};
    c->call = http_call_start(client, &req, &ops, c);
    if (!c->call) {
        mem_free(copy);
        mem_free(c);
        return NULL;
    }
    return c;
}

void ws_connect_cancel(struct ws_connect *c)
{
    if (c) {
        http_call_cancel(c->call);
        mem_free(c->subprotocol);
        mem_free(c);
    }
}

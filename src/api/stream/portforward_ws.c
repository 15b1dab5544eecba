/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port-forward over WebSocket channels: ?ports=80&ports=81. Port i of the query has two channels,
 * 2i for data and 2i + 1 for errors; the first message of each is the port's number, little-endian.
 * There is no half-close: the connection ends when all ports have ended, or the client closes it.
 *
 * With the base64 protocol a message is text: the channel as a digit, then base64.
 */
#include <stdio.h>

#include "api/stream/port_link.h"
#include "api/stream/portforward.h"
#include "base/encode.h"
#include "net/ws.h"

#define WS_HIGH ((ssize_t)256 << 10)
#define PORTS_MAX 64

struct session;

struct forwarded {
    struct port_link l;
    struct session *session;
    uint8_t channel; /* of its data */
    int port;
    bool full, over;
};

struct session {
    struct exec_proxy base;
    struct api_server *server;
    struct ws *ws; /* NULL once it has ended */
    struct arena arena;
    struct node_stream_req req;
    struct io_task end_task;
    bool base64, client_slow;
    size_t n;
    struct forwarded ports[PORTS_MAX];
};

/* ---- the end ---- */

static void session_free(struct session *s)
{
    for (size_t i = 0; i < s->n; i++) {
        port_link_fini(&s->ports[i].l);
    }
    list_del(&s->base.link);
    io_task_cancel(&s->end_task);
    ws_abort(s->ws);
    arena_fini(&s->arena);
    mem_free(s);
}

static void end_task(void *arg)
{
    session_free(arg);
}

static void on_server_end(struct exec_proxy *base)
{
    session_free(CONTAINER_OF(base, struct session, base));
}

/* ---- to the client ---- */

static ssize_t send_channel(struct session *s, uint8_t channel, struct str data)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    char head = (char)(s->base64 ? '0' + channel : channel);
    if (!s->ws) {
        return -E_PIPE;
    }
    if (!s->base64) {
        return ws_send2(s->ws, true, str_n(&head, 1), data);
    }
    return base64_encode(&text, data.p, data.n) < 0
               ? -E_NOMEM
               : ws_send2(s->ws, false, str_n(&head, 1), buf_str(&text));
}

static void pause_all(struct session *s, bool paused)
{
    s->client_slow = paused;
    for (size_t i = 0; i < s->n; i++) {
        if (!s->ports[i].over) {
            port_link_pause(&s->ports[i].l, paused);
        }
    }
}

static void judge_reading(struct session *s)
{
    bool full = false;
    for (size_t i = 0; i < s->n; i++) {
        full |= s->ports[i].full && !s->ports[i].over;
    }
    if (s->ws) {
        ws_pause(s->ws, full);
    }
}

/* ---- from the pod ---- */

static void link_data(struct port_link *l, struct str data)
{
    struct forwarded *f = CONTAINER_OF(l, struct forwarded, l);
    if (send_channel(f->session, f->channel, data) >= WS_HIGH && !f->session->client_slow) {
        pause_all(f->session, true);
    }
}

static void link_eof(struct port_link *l)
{
    port_link_end_input(l); /* the protocol cannot say "half": both ends */
}

static void link_drained(struct port_link *l)
{
    struct forwarded *f = CONTAINER_OF(l, struct forwarded, l);
    f->full = false;
    judge_reading(f->session);
}

static void link_over(struct port_link *l, const char *text)
{
    struct forwarded *f = CONTAINER_OF(l, struct forwarded, l);
    struct session *s = f->session;
    bool all = true;
    f->over = true;
    if (text) {
        char message[768];
        portforward_failure(&s->req, f->port, text, message, sizeof(message));
        (void)send_channel(s, (uint8_t)(f->channel + 1), str_of(message)); /* on_close tells */
    }
    for (size_t i = 0; i < s->n; i++) {
        all &= s->ports[i].over;
    }
    judge_reading(s);
    if (all && s->ws) {
        ws_close(s->ws, 1000, "");
    }
}

static const struct port_link_ops link_ops = {
    .data = link_data, .eof = link_eof, .drained = link_drained, .over = link_over};

/* ---- from the client ---- */

static void take(struct session *s, uint8_t channel, struct str data)
{
    struct forwarded *f = channel % 2 == 0 && channel / 2 < s->n ? &s->ports[channel / 2] : NULL;
    if (f && !f->over && data.n && port_link_write(&f->l, data)) {
        f->full = true;
        judge_reading(s);
    }
}

static void on_ws_message(struct ws *w, void *arg, bool binary, struct str data)
{
    struct session *s = arg;
    (void)w;
    (void)binary; /* old clients send text */
    if (data.n == 0) {
        return;
    }
    struct str rest = str_n(data.p + 1, data.n - 1);
    if (!s->base64) {
        take(s, (uint8_t)data.p[0], rest);
        return;
    }
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    if (base64_decode(&raw, rest) == 0) { /* what is none is dropped */
        take(s, (uint8_t)(data.p[0] - '0'), buf_str(&raw));
    }
}

static void on_ws_drain(struct ws *w, void *arg)
{
    struct session *s = arg;
    (void)w;
    if (s->client_slow) {
        pause_all(s, false);
    }
}

static void on_ws_close(struct ws *w, void *arg, int code, struct str reason)
{
    struct session *s = arg;
    (void)w;
    (void)code;
    (void)reason;
    s->ws = NULL;
    loop_defer(s->server->loop, &s->end_task); /* a link's callback may be on the stack */
}

static const struct ws_events ws_events = {
    .on_message = on_ws_message, .on_drain = on_ws_drain, .on_close = on_ws_close};

/* ---- the start ---- */

/* "ports" as a list or repeated, and "port"; 0, or a negative code with err. */
static int read_ports(struct server_call *call, struct session *s, struct err *err)
{
    struct arena *a = http_exchange_arena(call->x);
    struct str query = http_exchange_request(call->x)->query;
    const char *name, *value;
    while (http_query_next(a, &query, &name, &value)) {
        struct str rest = str_of(value), one;
        while ((cstr_eq(name, "ports") || cstr_eq(name, "port")) && rest.n > 0) {
            uint64_t port = 0;
            (void)str_cut(rest, ',', &one, &rest); /* the last one has no comma */
            if (str_u64(one, &port) < 0 || port == 0 || port > UINT16_MAX) {
                return err_set(err, -E_INVAL, "unable to parse \"%.40s\" as a port", value);
            }
            if (s->n == PORTS_MAX) {
                return err_set(err, -E_INVAL, "more than %d ports", PORTS_MAX);
            }
            s->ports[s->n] =
                (struct forwarded){.session = s, .channel = (uint8_t)(2 * s->n), .port = (int)port};
            s->n++;
        }
    }
    return s->n == 0 ? err_set(err, -E_INVAL, "query parameter \"port\" is required") : 0;
}

static struct session *session_new(struct server_call *call, const struct node_stream_req *r,
                                   struct err *err)
{
    struct session *s = mem_zalloc(sizeof(*s));
    if (!s) {
        (void)err_set(err, -E_NOMEM, "out of memory");
        return NULL;
    }
    s->server = call->server;
    s->base.end = on_server_end;
    list_init(&s->base.link);
    arena_init(&s->arena, 0);
    portforward_copy(&s->arena, r, &s->req);
    io_task_init(&s->end_task, end_task, s);
    int rc = read_ports(call, s, err);
    if (rc == 0 && arena_failed(&s->arena)) {
        rc = err_set(err, -E_NOMEM, "out of memory");
    }
    if (rc < 0) {
        s->n = 0; /* none was started */
        session_free(s);
        return NULL;
    }
    return s;
}

static void start_ports(struct session *s)
{
    for (size_t i = 0; i < s->n; i++) {
        struct forwarded *f = &s->ports[i];
        const char number[2] = {(char)(f->port & 0xff), (char)(f->port >> 8)};
        struct node_stream_req req = s->req;
        req.port = f->port;
        (void)send_channel(s, f->channel, str_n(number, 2)); /* a dead peer shows in on_close */
        (void)send_channel(s, (uint8_t)(f->channel + 1), str_n(number, 2)); /* as above */
        port_link_start(&f->l, s->server, &req, &link_ops);
    }
}

void portforward_ws(struct server_call *call, const struct node_stream_req *r, const char *protocol)
{
    struct err err = {0};
    struct session *s = session_new(call, r, &err);
    if (!s) {
        api_reply_error(call->x, err.code, err.text);
        return;
    }
    s->base64 = protocol && strstr(protocol, "base64");
    s->ws = ws_accept(call->x, protocol, &ws_events, s);
    if (!s->ws) {
        s->n = 0;
        session_free(s);
        api_reply_error(call->x, -E_INVAL, "the WebSocket handshake is malformed");
        return;
    }
    list_push_back(&s->server->streams, &s->base.link);
    start_ports(s);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote commands over WebSocket: every binary message is one channel byte and data.
 *
 *   v5.channel.k8s.io            255 and one byte: that channel is closed by the client
 *   v4.channel.k8s.io            the error channel carries a Status in JSON
 *   channel.k8s.io, or none      the error channel carries a sentence, and nothing on success
 *   base64.channel.k8s.io, v4.base64.channel.k8s.io   text messages: a digit for the channel,
 * base64
 */
#include "api/exec_proxy_private.h"
#include "base/encode.h"
#include "codec/websocket.h"
#include "net/ws.h"

#define WS_HIGH ((ssize_t)256 << 10)

struct remote {
    struct exec_proxy base;
    struct ws *ws;
    bool base64;   /* messages are text */
    bool legacy;   /* before v4: errors are sentences */
    bool opened;   /* the node has accepted: the client may be read */
    bool status;   /* a Status was sent on the error channel */
    bool finished; /* the node has ended; only the closing handshake is left */
};

static void remote_free(struct remote *m)
{
    list_del(&m->base.link);
    if (m->base.node) {
        m->base.node->ops->close(m->base.node);
    }
    mem_free(m);
}

/* Bytes that wait or a negative code. */
static ssize_t send_channel(struct remote *m, uint8_t channel, struct str data)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    char head = (char)(m->base64 ? '0' + channel : channel);
    if (!m->base64) {
        return ws_send2(m->ws, true, str_n(&head, 1), data);
    }
    return base64_encode(&text, data.p, data.n) < 0
               ? -E_NOMEM
               : ws_send2(m->ws, false, str_n(&head, 1), buf_str(&text));
}

static ssize_t send_error(struct remote *m, struct str status)
{
    CLEANUP(mem_freep) char *text = m->legacy ? exec_proxy_legacy_error(status) : NULL;
    m->status = true;
    if (m->legacy && !text) {
        return 0; /* success is silent */
    }
    return send_channel(m, CHANNEL_ERROR, text ? str_of(text) : status);
}

static void send_status(struct remote *m, int code, const char *text)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct arena a;
    arena_init(&a, 0);
    struct json *s =
        code < 0 ? status_code(&a, code, text ? text : err_text(code)) : json_object(&a);
    if (code == 0) {
        json_set(s, "metadata", json_object(&a));
        json_set_str(s, "status", "Success");
    }
    if (s && json_print(&b, s) == 0) {
        (void)send_error(m, buf_str(&b)); /* a dead peer shows in on_close */
    }
    arena_fini(&a);
}

/* ---- from the node ---- */

static void on_opened(void *arg)
{
    struct remote *m = arg;
    m->opened = true;
    ws_pause(m->ws, false);
}

static void on_node_message(void *arg, uint8_t channel, struct str data)
{
    struct remote *m = arg;
    ssize_t waits = channel == CHANNEL_ERROR ? send_error(m, data) : send_channel(m, channel, data);
    if (waits >= WS_HIGH) {
        m->base.node->ops->pause(m->base.node, true);
    }
}

static void on_node_drained(void *arg)
{
    struct remote *m = arg;
    if (!m->finished) {
        ws_pause(m->ws, false);
    }
}

static void on_node_ended(void *arg, int code, const char *text)
{
    struct remote *m = arg;
    m->base.node = NULL;
    m->finished = true;
    if (!m->status) {
        send_status(m, code, text);
    }
    ws_pause(m->ws, false);
    ws_close(m->ws, 1000, "");
}

static const struct node_stream_events node_events = {.opened = on_opened,
                                                      .message = on_node_message,
                                                      .drained = on_node_drained,
                                                      .ended = on_node_ended};

/* ---- from the client ---- */

static void on_ws_message(struct ws *w, void *arg, bool binary, struct str data)
{
    struct remote *m = arg;
    (void)binary; /* old clients send text */
    if (data.n == 0 || m->finished) {
        return;
    }
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    uint8_t channel = (uint8_t)(m->base64 ? data.p[0] - '0' : data.p[0]);
    struct str rest = str_n(data.p + 1, data.n - 1);
    if (m->base64) {
        if (base64_decode(&raw, rest) < 0) {
            return; /* what is none is dropped */
        }
        rest = buf_str(&raw);
    }
    if (channel != CHANNEL_STDIN && channel != CHANNEL_RESIZE && channel != CHANNEL_CLOSE) {
        return; /* clients write on no other channel */
    }
    if (m->base.node->ops->send(m->base.node, channel, rest) == 1) {
        ws_pause(w, true);
    }
}

static void on_ws_drain(struct ws *w, void *arg)
{
    (void)w;
    struct remote *m = arg;
    if (m->base.node) {
        m->base.node->ops->pause(m->base.node, false);
    }
}

static void on_ws_close(struct ws *w, void *arg, int code, struct str reason)
{
    (void)w;
    (void)code;
    (void)reason;
    remote_free(arg);
}

static const struct ws_events ws_events = {
    .on_message = on_ws_message, .on_drain = on_ws_drain, .on_close = on_ws_close};

static void remote_end(struct exec_proxy *p)
{
    struct remote *m = CONTAINER_OF(p, struct remote, base);
    struct ws *w = m->ws;
    remote_free(m);
    ws_abort(w);
}

/* ---- the start ---- */

/* The newest one that the client offers, "" when it offers none; NULL when we know none of them. */
static const char *choose_protocol(struct http_exchange *x)
{
    static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io",
                                            "v4.base64.channel.k8s.io", "channel.k8s.io",
                                            "base64.channel.k8s.io"};
    for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
        if (ws_offers(x, protocols[i])) {
            return protocols[i];
        }
    }
    return http_header_has(&http_exchange_request(x)->headers, "sec-websocket-protocol") ? NULL
                                                                                         : "";
}

void exec_proxy_remote(struct server_call *call, const struct node_stream_req *r)
{
    struct api_server *server = call->server; /* call goes with the exchange */
    const struct api_server_opts *o = &server->opts;
    struct http_exchange *x = call->x;
    struct err err = {0};
    const char *protocol = ws_wanted(x) ? choose_protocol(x) : NULL;
    if (!protocol && exec_proxy_wants_spdy(x)) {
        exec_proxy_spdy(call, r);
        return;
    }
    if (!protocol) {
        api_reply_error(x, -E_INVAL,
                        "remote commands need an upgrade to WebSocket (v5.channel.k8s.io and "
                        "older) or to SPDY/3.1 (v4.channel.k8s.io and older)");
        return;
    }
    struct remote *m = mem_zalloc(sizeof(*m));
    if (!m) {
        api_reply_error(x, -E_NOMEM, "out of memory");
        return;
    }
    list_init(&m->base.link);
    m->base.end = remote_end;
    m->base.node = o->open_stream(o->open_stream_arg, r, &node_events, m, &err);
    if (!m->base.node) {
        mem_free(m);
        api_reply_error(x, err.code ? err.code : -E_UNREACH, err.text);
        return;
    }
    m->base64 = strstr(protocol, "base64");
    m->legacy = protocol[0] != 'v';
    m->ws = ws_accept(x, *protocol ? protocol : NULL, &ws_events, m);
    if (!m->ws) {
        remote_free(m);
        api_reply_error(x, -E_INVAL, "the WebSocket handshake is malformed");
        return;
    }
    list_push_back(&server->streams, &m->base.link);
    ws_pause(m->ws, true);                           /* until the node has opened */
    (void)send_channel(m, CHANNEL_STDOUT, STR_NULL); /* as the real server does first */
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remote commands over SPDY/3.1, stream protocols v4.channel.k8s.io down to channel.k8s.io: what
 * clients before kubectl 1.30 speak. The client opens one SPDY stream a channel and names it in the
 * header "streamtype".
 *
 *     AWAIT (the client opens its streams) -> OPENING (the node is asked) -> RUN -> gone
 *
 * The node is asked only when all streams of the request are there, so nothing that it says is
 * lost. A refusal therefore comes as a Status on the error stream, not as an HTTP answer.
 */
#include "api/exec_proxy_private.h"
#include "codec/spdy.h"
#include "io/stream.h"

#define SPDY_HIGH ((ssize_t)256 << 10)
#define CHANNELS (CHANNEL_RESIZE + 1)

struct remote_spdy {
    struct exec_proxy base;
    struct api_server *server;
    struct stream *stream;
    struct spdy *spdy;
    struct arena arena; /* of the request's texts */
    struct node_stream_req req;
    uint32_t ids[CHANNELS]; /* SPDY stream of each channel, 0 = none */
    unsigned wanted;        /* bits of the channels that must be there before the node is asked */
    bool legacy;            /* before v4: errors are sentences */
    bool asked;             /* the node was asked */
    bool status;            /* a Status was sent on the error stream */
    bool broken; /* the client is gone or misbehaves: freed when no callback is on the stack */
};

static void remote_free(struct remote_spdy *m)
{
    list_del(&m->base.link);
    if (m->base.node) {
        m->base.node->ops->close(m->base.node);
    }
    stream_finish(m->stream);
    spdy_free(m->spdy);
    arena_fini(&m->arena);
    mem_free(m);
}

/* Hands what SPDY has made to the connection; bytes that wait there, or a negative code. */
static ssize_t flush(struct remote_spdy *m)
{
    struct buf *out = spdy_output(m->spdy);
    if (buf_failed(out)) {
        return -E_NOMEM;
    }
    ssize_t waits = stream_write(m->stream, buf_data(out), buf_len(out));
    buf_consume(out, buf_len(out));
    return waits;
}

static void send_channel(struct remote_spdy *m, uint8_t channel, struct str data, bool fin)
{
    if (channel < CHANNELS && m->ids[channel]) {
        spdy_data(m->spdy, m->ids[channel], data, fin);
    }
}

static void send_error(struct remote_spdy *m, struct str status)
{
    CLEANUP(mem_freep) char *text = m->legacy ? exec_proxy_legacy_error(status) : NULL;
    m->status = true;
    if (!m->legacy || text) { /* before v4 success is silent */
        send_channel(m, CHANNEL_ERROR, text ? str_of(text) : status, false);
    }
}

static void send_status(struct remote_spdy *m, int code, const char *text)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct json *s = code < 0 ? status_code(&m->arena, code, text ? text : err_text(code))
                              : json_object(&m->arena);
    if (code == 0) {
        json_set(s, "metadata", json_object(&m->arena));
        json_set_str(s, "status", "Success");
    }
    if (s && json_print(&b, s) == 0) {
        send_error(m, buf_str(&b));
    }
}

/* The command is over: the status, the end of every stream, the end of the connection. */
static void finish(struct remote_spdy *m, int code, const char *text)
{
    if (!m->status) {
        send_status(m, code, text);
    }
    for (uint8_t c = 0; c < CHANNELS; c++) {
        send_channel(m, c, STR_NULL, true);
    }
    spdy_goaway(m->spdy);
    (void)flush(m); /* a dead peer cannot be told */
    remote_free(m);
}

/* ---- from the node ---- */

static void on_node_message(void *arg, uint8_t channel, struct str data)
{
    struct remote_spdy *m = arg;
    if (channel == CHANNEL_ERROR) {
        send_error(m, data);
    } else {
        send_channel(m, channel, data, false);
    }
    if (flush(m) >= SPDY_HIGH) {
        m->base.node->ops->pause(m->base.node, true);
    }
}

static void on_node_drained(void *arg)
{
    struct remote_spdy *m = arg;
    stream_read_start(m->stream);
}

static void on_node_ended(void *arg, int code, const char *text)
{
    struct remote_spdy *m = arg;
    m->base.node = NULL;
    finish(m, code, text);
}

static void on_node_opened(void *arg)
{
    stream_read_start(((struct remote_spdy *)arg)->stream);
}

static const struct node_stream_events node_events = {.opened = on_node_opened,
                                                      .message = on_node_message,
                                                      .drained = on_node_drained,
                                                      .ended = on_node_ended};

/* ---- from the client ---- */

static int channel_named(struct str name)
{
    static const char *const names[CHANNELS] = {"stdin", "stdout", "stderr", "error", "resize"};
    for (int c = 0; c < CHANNELS; c++) {
        if (str_is(name, names[c])) {
            return c;
        }
    }
    return -1;
}

static void on_spdy_stream(void *arg, uint32_t id, const struct spdy_header *headers, size_t n,
                           bool fin)
{
    struct remote_spdy *m = arg;
    int channel = -1;
    for (size_t i = 0; i < n; i++) {
        if (str_iis(headers[i].name, "streamtype")) {
            channel = channel_named(headers[i].value);
        }
    }
    if (channel < 0 || m->ids[channel]) {
        spdy_reset(m->spdy, id, SPDY_REFUSED_STREAM);
        return;
    }
    m->ids[channel] = id;
    m->wanted &= ~(1u << channel);
    spdy_reply(m->spdy, id);
}

static void send_node(struct remote_spdy *m, uint8_t channel, struct str data)
{
    if (m->base.node && m->base.node->ops->send(m->base.node, channel, data) == 1) {
        stream_read_stop(m->stream);
    }
}

static void on_spdy_data(void *arg, uint32_t id, struct str data, bool fin)
{
    struct remote_spdy *m = arg;
    if (id == m->ids[CHANNEL_RESIZE] && data.n) {
        send_node(m, CHANNEL_RESIZE, data);
    }
    if (id != m->ids[CHANNEL_STDIN]) {
        return;
    }
    if (!m->base.node) {
        m->broken = true; /* data before the command was started: no client does that */
        return;
    }
    if (data.n) {
        send_node(m, CHANNEL_STDIN, data);
    }
    if (fin) {
        send_node(m, CHANNEL_CLOSE, str_n("\0", 1));
    }
}

static void on_spdy_reset(void *arg, uint32_t id, uint32_t status)
{
    struct remote_spdy *m = arg;
    for (int c = 0; c < CHANNELS; c++) {
        m->ids[c] = m->ids[c] == id ? 0 : m->ids[c];
    }
}

static void on_spdy_goaway(void *arg)
{
    (void)arg; /* the client opens no more streams; those that run go on */
}

static const struct spdy_ops spdy_ops = {on_spdy_stream, on_spdy_data, on_spdy_reset,
                                         on_spdy_goaway};

static void ask_node(struct remote_spdy *m)
{
    const struct api_server_opts *o = &m->server->opts;
    struct err err = {0};
    m->asked = true;
    stream_read_stop(m->stream); /* until the node has opened */
    m->base.node = o->open_stream(o->open_stream_arg, &m->req, &node_events, m, &err);
    if (!m->base.node) {
        finish(m, err.code ? err.code : -E_UNREACH, err.text);
    }
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct remote_spdy *m = arg;
    int rc = spdy_feed(m->spdy, str_n(data, n), NULL);
    if (rc < 0 || m->broken || flush(m) < 0) {
        remote_free(m);
    } else if (!m->asked && !m->wanted) {
        ask_node(m);
    }
}

static void on_eof(void *arg)
{
    remote_free(arg);
}

static void on_error(void *arg, int code)
{
    remote_free(arg);
}

static void on_drain(void *arg)
{
    struct remote_spdy *m = arg;
    if (m->base.node) {
        m->base.node->ops->pause(m->base.node, false);
    }
}

static void remote_end(struct exec_proxy *p)
{
    remote_free(CONTAINER_OF(p, struct remote_spdy, base));
}

/* ---- the start ---- */

/* The request outlives its exchange. */
static void copy_request(struct remote_spdy *m, const struct node_stream_req *r)
{
    size_t n = 0;
    m->req = *r;
    m->req.node = arena_strdup(&m->arena, r->node);
    m->req.ns = arena_strdup(&m->arena, r->ns);
    m->req.pod = arena_strdup(&m->arena, r->pod);
    m->req.uid = arena_strdup(&m->arena, r->uid);
    m->req.container = arena_strdup(&m->arena, r->container);
    while (r->command && r->command[n]) {
        n++;
    }
    const char **command = arena_zalloc(&m->arena, (n + 1) * sizeof(*command));
    for (size_t i = 0; command && i < n; i++) {
        command[i] = arena_strdup(&m->arena, r->command[i]);
    }
    m->req.command = command;
}

static struct remote_spdy *remote_new(struct api_server *server, const struct node_stream_req *r,
                                      int version)
{
    struct remote_spdy *m = mem_zalloc(sizeof(*m));
    if (!m) {
        return NULL;
    }
    list_init(&m->base.link);
    m->base.end = remote_end;
    m->server = server;
    arena_init(&m->arena, 0);
    copy_request(m, r);
    m->wanted = 1u << CHANNEL_ERROR | (r->in ? 1u << CHANNEL_STDIN : 0) |
                (r->out ? 1u << CHANNEL_STDOUT : 0) |
                (r->err && !r->tty ? 1u << CHANNEL_STDERR : 0) |
                (r->tty && version >= 3 ? 1u << CHANNEL_RESIZE : 0);
    m->legacy = version < 4;
    m->spdy = spdy_new(&spdy_ops, m);
    if (!m->spdy || arena_failed(&m->arena)) {
        remote_free(m);
        return NULL;
    }
    return m;
}

static const char *const versions[] = {"channel.k8s.io", "v2.channel.k8s.io", "v3.channel.k8s.io",
                                       "v4.channel.k8s.io"};

/* The newest version that the client offers; 1 when it offers none; 0 when we know none of them. */
static int choose_version(const struct http_exchange *x)
{
    static const char name[] = "x-stream-protocol-version";
    const struct http_headers *h = &http_exchange_request(x)->headers;
    for (int v = (int)ARRAY_SIZE(versions); v > 0; v--) {
        if (http_header_has_token(h, name, versions[v - 1])) {
            return v;
        }
    }
    return http_header_has(h, name) ? 0 : 1;
}

bool exec_proxy_wants_spdy(const struct http_exchange *x)
{
    return http_exchange_wants_stream(x, "SPDY/3.1") && choose_version(x) > 0;
}

void exec_proxy_spdy(struct server_call *call, const struct node_stream_req *r)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};
    int version = choose_version(call->x);
    const struct http_header header =
        HTTP_HEADER("x-stream-protocol-version", versions[version - 1]);
    struct api_server *server = call->server; /* call goes with the exchange */
    struct remote_spdy *m = remote_new(server, r, version);
    if (!m) {
        api_reply_error(call->x, -E_NOMEM, "out of memory");
        return;
    }
    m->stream = http_exchange_stream(call->x, "SPDY/3.1", &header, 1);
    if (!m->stream) {
        remote_free(m);
        api_reply_error(call->x, -E_INVAL, "the upgrade to SPDY/3.1 is malformed");
        return;
    }
    list_push_back(&server->streams, &m->base.link);
    stream_set_events(m->stream, &events, m);
    stream_read_start(m->stream);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port-forward over SPDY/3.1: for each connection the client opens two streams with the headers
 * "port", "requestid" and "streamtype" (error, then data).
 *
 *     half a pair --both are there--> forwarding --both directions ended, or failed--> gone
 *          \--PAIR_MS--> refused
 *
 * Nothing frees the session inside a callback of SPDY or of a forwarded connection: what ends it
 * sets `broken` and leaves the rest to end_task.
 */
#include <stdio.h>

#include "api/stream/port_link.h"
#include "api/stream/portforward.h"
#include "codec/spdy.h"
#include "io/stream.h"

#define SPDY_HIGH ((ssize_t)256 << 10)
#define SWEEP_MS 5000
#define PAIR_MS 30000
#define IDLE_MS ((int64_t)4 * 3600 * 1000) /* a kubelet's --streaming-connection-idle-timeout */

struct portforward_session {
    struct exec_proxy base;
    struct api_server *server;
    struct stream *stream;
    struct spdy *spdy;
    struct arena arena; /* of the request's texts */
    struct node_stream_req req;
    struct list pairs; /* struct pair.l.link */
    struct io_timer sweep;
    struct io_task end_task;
    int64_t used_ms; /* loop time of the last sign of life */
    bool broken;
    bool client_slow; /* the pods' sides are paused */
};

struct pair {
    struct port_link l;
    struct portforward_session *session;
    char request[64];
    uint32_t data, error; /* SPDY streams, 0 = not yet */
    int port;
    int64_t born_ms;
    bool started, full, client_ended;
};

static int64_t now_ms(const struct portforward_session *s)
{
    return loop_now(s->server->loop).us / 1000;
}

/* ---- the end ---- */

static void pair_free(struct pair *p)
{
    list_del(&p->l.link);
    if (p->started) {
        port_link_fini(&p->l);
    }
    mem_free(p);
}

static void session_free(struct portforward_session *s)
{
    while (!list_empty(&s->pairs)) {
        pair_free(CONTAINER_OF(s->pairs.next, struct pair, l.link));
    }
    list_del(&s->base.link);
    io_timer_stop(&s->sweep);
    io_task_cancel(&s->end_task);
    stream_finish(s->stream);
    spdy_free(s->spdy);
    arena_fini(&s->arena);
    mem_free(s);
}

static void end_task(void *arg)
{
    session_free(arg);
}

static void end_soon(struct portforward_session *s)
{
    if (!s->broken) {
        s->broken = true;
        stream_read_stop(s->stream);
        loop_defer(s->server->loop, &s->end_task);
    }
}

static void on_server_end(struct exec_proxy *base)
{
    struct portforward_session *s = CONTAINER_OF(base, struct portforward_session, base);
    struct buf *out = spdy_output(s->spdy);
    spdy_goaway(s->spdy);
    (void)stream_write(s->stream, buf_data(out), buf_len(out)); /* a dead peer cannot be told */
    session_free(s);
}

/* ---- to the client ---- */

static void pause_all(struct portforward_session *s, bool paused)
{
    s->client_slow = paused;
    LIST_FOR_EACH (at, &s->pairs) {
        struct pair *p = CONTAINER_OF(at, struct pair, l.link);
        if (p->started) {
            port_link_pause(&p->l, paused);
        }
    }
}

/* Hands what SPDY has made to the connection. */
static void flush(struct portforward_session *s)
{
    struct buf *out = spdy_output(s->spdy);
    ssize_t waits = s->broken || buf_failed(out)
                        ? -E_NOMEM
                        : stream_write(s->stream, buf_data(out), buf_len(out));
    buf_consume(out, buf_len(out));
    if (waits < 0) {
        end_soon(s);
    } else if (waits >= SPDY_HIGH && !s->client_slow) {
        pause_all(s, true);
    }
    s->used_ms = now_ms(s);
}

static void on_drain(void *arg)
{
    struct portforward_session *s = arg;
    if (s->client_slow && !s->broken) {
        pause_all(s, false);
    }
}

/* While any pod does not keep up, the client's connection is not read: its streams have no windows
 * of their own. */
static void judge_reading(struct portforward_session *s)
{
    bool full = false;
    LIST_FOR_EACH (at, &s->pairs) {
        full |= CONTAINER_OF(at, struct pair, l.link)->full;
    }
    if (!s->broken) {
        (full ? stream_read_stop : stream_read_start)(s->stream);
    }
}

/* ---- from the pods ---- */

static void link_data(struct port_link *l, struct str data)
{
    struct pair *p = CONTAINER_OF(l, struct pair, l);
    spdy_data(p->session->spdy, p->data, data, false);
    flush(p->session);
}

/* The error stream ends as well: a client closes its own side only when it has seen that no error
 * follows. */
static void link_eof(struct port_link *l)
{
    struct pair *p = CONTAINER_OF(l, struct pair, l);
    spdy_data(p->session->spdy, p->data, STR_NULL, true);
    spdy_data(p->session->spdy, p->error, STR_NULL, true);
    flush(p->session);
}

static void link_drained(struct port_link *l)
{
    struct pair *p = CONTAINER_OF(l, struct pair, l);
    p->full = false;
    judge_reading(p->session);
}

static void link_over(struct port_link *l, const char *text)
{
    struct pair *p = CONTAINER_OF(l, struct pair, l);
    struct portforward_session *s = p->session;
    if (text) {
        char message[768];
        portforward_failure(&s->req, p->port, text, message, sizeof(message));
        spdy_data(s->spdy, p->error, str_of(message), false);
    }
    spdy_data(s->spdy, p->error, STR_NULL, true);
    spdy_data(s->spdy, p->data, STR_NULL, true);
    pair_free(p);
    flush(s);
    judge_reading(s);
}

static const struct port_link_ops link_ops = {
    .data = link_data, .eof = link_eof, .drained = link_drained, .over = link_over};

/* ---- from the client ---- */

static struct pair *pair_of_stream(struct portforward_session *s, uint32_t id)
{
    LIST_FOR_EACH (at, &s->pairs) {
        struct pair *p = CONTAINER_OF(at, struct pair, l.link);
        if (p->data == id || p->error == id) {
            return p;
        }
    }
    return NULL;
}

static struct pair *pair_of_request(struct portforward_session *s, const char *request)
{
    LIST_FOR_EACH (at, &s->pairs) {
        struct pair *p = CONTAINER_OF(at, struct pair, l.link);
        if (cstr_eq(p->request, request)) {
            return p;
        }
    }
    struct pair *p = mem_zalloc(sizeof(*p));
    if (p) {
        p->session = s;
        p->born_ms = now_ms(s);
        (void)cstr_copy(p->request, sizeof(p->request), request); /* it came from such a field */
        list_push_back(&s->pairs, &p->l.link);
    }
    return p;
}

struct wish {
    bool is_data, is_error;
    int port;
    char request[64];
};

static bool read_wish(uint32_t id, const struct spdy_header *headers, size_t n, struct wish *w)
{
    uint64_t port = 0;
    *w = (struct wish){0};
    for (size_t i = 0; i < n; i++) {
        const struct spdy_header *h = &headers[i];
        if (str_iis(h->name, "streamtype")) {
            w->is_data = str_is(h->value, "data");
            w->is_error = str_is(h->value, "error");
        } else if (str_iis(h->name, "port")) {
            port = str_u64(h->value, &port) == 0 && port <= UINT16_MAX ? port : 0;
        } else if (str_iis(h->name, "requestid") && h->value.n < sizeof(w->request)) {
            (void)snprintf(w->request, sizeof(w->request), STR_FMT, STR_ARG(h->value));
        }
    }
    w->port = (int)port;
    if (!*w->request) { /* old clients: the error stream comes first, the data stream next */
        (void)snprintf(w->request, sizeof(w->request), "stream %u", w->is_data ? id - 2 : id);
    }
    return w->port > 0 && (w->is_data || w->is_error);
}

static void start_pair(struct pair *p)
{
    struct portforward_session *s = p->session;
    struct node_stream_req req = s->req;
    req.port = p->port;
    p->started = true;
    port_link_start(&p->l, s->server, &req, &link_ops);
    if (s->client_slow) {
        port_link_pause(&p->l, true);
    }
    if (p->client_ended) {
        port_link_end_input(&p->l);
    }
}

static void on_spdy_stream(void *arg, uint32_t id, const struct spdy_header *headers, size_t n,
                           bool fin)
{
    struct portforward_session *s = arg;
    struct wish w;
    struct pair *p = read_wish(id, headers, n, &w) ? pair_of_request(s, w.request) : NULL;
    bool fits =
        p && !p->started && !(w.is_data ? p->data : p->error) && (!p->port || p->port == w.port);
    if (!fits) {
        spdy_reset(s->spdy, id, SPDY_REFUSED_STREAM);
        return;
    }
    p->port = w.port;
    *(w.is_data ? &p->data : &p->error) = id;
    p->client_ended |= w.is_data && fin;
    spdy_reply(s->spdy, id);
    if (p->data && p->error) {
        start_pair(p);
    }
}

static void on_spdy_data(void *arg, uint32_t id, struct str data, bool fin)
{
    struct portforward_session *s = arg;
    struct pair *p = pair_of_stream(s, id);
    if (!p || p->data != id) {
        return; /* clients close the error stream and write nothing there */
    }
    if (!p->started) {
        end_soon(s); /* data before its error stream is there: no client does that */
        return;
    }
    if (data.n && port_link_write(&p->l, data)) {
        p->full = true;
    }
    if (fin) {
        port_link_end_input(&p->l);
    }
}

static void on_spdy_reset(void *arg, uint32_t id, uint32_t status)
{
    struct portforward_session *s = arg;
    struct pair *p = pair_of_stream(s, id);
    (void)status;
    if (p && p->data == id) {
        spdy_data(s->spdy, p->error, STR_NULL, true);
        pair_free(p);
    } else if (p) {
        p->error = UINT32_MAX; /* errors are not wanted any more */
    }
}

static void on_spdy_goaway(void *arg)
{
    (void)arg; /* the client opens no more streams; those that run go on */
}

static const struct spdy_ops spdy_ops = {on_spdy_stream, on_spdy_data, on_spdy_reset,
                                         on_spdy_goaway};

static void on_read(void *arg, const char *data, size_t n)
{
    struct portforward_session *s = arg;
    if (spdy_feed(s->spdy, str_n(data, n), NULL) < 0) {
        end_soon(s);
        return;
    }
    flush(s);
    judge_reading(s);
}

static void on_eof(void *arg)
{
    end_soon(arg);
}

static void on_error(void *arg, int code)
{
    (void)code;
    end_soon(arg);
}

/* Half pairs and sessions that nobody uses end. */
static void on_sweep(void *arg)
{
    struct portforward_session *s = arg;
    int64_t now = now_ms(s);
    LIST_FOR_EACH_SAFE (at, &s->pairs) {
        struct pair *p = CONTAINER_OF(at, struct pair, l.link);
        if (!p->started && now - p->born_ms > PAIR_MS) {
            spdy_reset(s->spdy, p->data ? p->data : p->error, SPDY_CANCEL);
            pair_free(p);
        }
    }
    if (list_empty(&s->pairs) && now - s->used_ms > IDLE_MS) {
        end_soon(s);
    }
}

/* ---- the start ---- */

struct portforward_session *portforward_spdy_new(struct api_server *server,
                                                 const struct node_stream_req *r)
{
    struct portforward_session *s = mem_zalloc(sizeof(*s));
    if (!s) {
        return NULL;
    }
    s->base.end = on_server_end;
    s->server = server;
    list_init(&s->base.link);
    list_init(&s->pairs);
    arena_init(&s->arena, 0);
    portforward_copy(&s->arena, r, &s->req);
    io_timer_init(server->loop, &s->sweep, on_sweep, s);
    io_task_init(&s->end_task, end_task, s);
    s->used_ms = now_ms(s);
    s->spdy = spdy_new(&spdy_ops, s);
    if (!s->spdy || arena_failed(&s->arena)) {
        session_free(s);
        return NULL;
    }
    return s;
}

void portforward_spdy_start(struct portforward_session *s, struct stream *stream)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};
    if (!stream) {
        session_free(s);
        return;
    }
    s->stream = stream;
    list_push_back(&s->server->streams, &s->base.link);
    stream_set_events(stream, &events, s);
    stream_read_start(stream);
    io_timer_start(&s->sweep, SWEEP_MS, SWEEP_MS);
}

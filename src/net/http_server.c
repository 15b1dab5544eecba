/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP server: listeners, TLS handshakes, start and stop; see http_server.h. */
#include "http_server.h"

#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http_server_private.h"
#include "io/tcp.h"

struct server_listener {
    struct list link;
    struct http_server *server;
    struct listener *listener;
    struct tls_ctx *tls;
};

struct server_handshake {
    struct list link;
    struct http_server *server;
    struct tls_handshake *tls;
};

static int64_t or_default(int64_t ms, int64_t fallback)
{
    return ms ? ms : fallback;
}

static void maybe_done(struct http_server *s)
{
    if (s->stopping && s->n_conns == 0 && s->n_handshakes == 0 && s->done) {
        loop_defer(s->cfg.loop, &s->done_task);
    }
}

static void on_done(void *arg)
{
    struct http_server *s = arg;
    void (*done)(void *) = s->done;
    s->done = NULL;
    if (done) {
        done(s->done_arg);
    }
}

static void on_grace_over(void *arg)
{
    struct http_server *s = arg;
    while (!list_empty(&s->conns)) { /* a handler's on_close may close others */
        conn_close(CONTAINER_OF(s->conns.next, struct server_conn, link));
    }
    maybe_done(s);
}

static void on_trim(void *arg)
{
    (void)arg;
    mem_trim();
}

int http_server_new(const struct http_server_config *cfg, struct http_server **ret)
{
    struct http_server *s = mem_zalloc(sizeof *s);
    if (!s) {
        return -ENOMEM;
    }
    s->cfg = *cfg;
    s->cfg.max_connections = cfg->max_connections ? cfg->max_connections : LIMIT_CONNECTIONS;
    s->cfg.idle_timeout_ms = or_default(cfg->idle_timeout_ms, 180000);
    s->cfg.head_timeout_ms = or_default(cfg->head_timeout_ms, 10000);
    s->cfg.body_timeout_ms = or_default(cfg->body_timeout_ms, 60000);
    s->cfg.write_timeout_ms = or_default(cfg->write_timeout_ms, 120000);
    list_init(&s->listeners);
    list_init(&s->handshakes);
    list_init(&s->conns);
    io_timer_init(cfg->loop, &s->grace, on_grace_over, s);
    io_timer_init(cfg->loop, &s->trim, on_trim, s);
    io_task_init(&s->done_task, on_done, s);
    *ret = s;
    return 0;
}

static void close_listeners(struct http_server *s)
{
    for (struct list *i = list_pop_front(&s->listeners); i; i = list_pop_front(&s->listeners)) {
        struct server_listener *sl = CONTAINER_OF(i, struct server_listener, link);
        listener_close(sl->listener);
        tls_ctx_unref(sl->tls);
        mem_free(sl);
    }
}

static void close_handshakes(struct http_server *s)
{
    for (struct list *i = list_pop_front(&s->handshakes); i; i = list_pop_front(&s->handshakes)) {
        struct server_handshake *h = CONTAINER_OF(i, struct server_handshake, link);
        tls_handshake_cancel(h->tls);
        mem_free(h);
    }
    s->n_handshakes = 0;
}

void http_server_stop(struct http_server *s, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    s->stopping = true;
    s->done = done;
    s->done_arg = arg;
    close_listeners(s);
    close_handshakes(s);
    LIST_FOR_EACH_SAFE (i, &s->conns) {
        conn_stop(CONTAINER_OF(i, struct server_conn, link));
    }
    io_timer_start(&s->grace, grace_ms, 0);
    maybe_done(s);
}

void http_server_free(struct http_server *s)
{
    if (!s) {
        return;
    }
    s->stopping = true;
    s->done = NULL;
    close_listeners(s);
    close_handshakes(s);
    LIST_FOR_EACH (i, &s->conns) {
        CONTAINER_OF(i, struct server_conn, link)->on_end = NULL;
    }
    while (!list_empty(&s->conns)) {
        conn_close(CONTAINER_OF(s->conns.next, struct server_conn, link));
    }
    io_timer_stop(&s->grace);
    io_timer_stop(&s->trim);
    io_task_cancel(&s->done_task);
    mem_free(s);
}

/* ---- listeners ---- */

static void on_tls(void *arg, struct stream *stream, const char *alpn, const struct err *err)
{
    struct server_handshake *h = arg;
    struct http_server *s = h->server;
    (void)err; /* counted by tls.c */
    list_del(&h->link);
    s->n_handshakes--;
    mem_free(h);
    if (stream) {
        enum http_protocol p = cstr_eq(alpn, "h2")         ? HTTP_PROTOCOL_2
                               : cstr_eq(alpn, "http/1.1") ? HTTP_PROTOCOL_1
                                                           : HTTP_PROTOCOL_AUTO;
        (void)conn_serve(s, stream, p, NULL, 0, NULL, NULL); /* the peer sees a close */
    }
    maybe_done(s);
}

static void start_handshake(struct http_server *s, struct tls_ctx *tls, struct stream *stream)
{
    struct server_handshake *h = mem_zalloc(sizeof *h);
    if (!h) {
        stream_close(stream);
        return;
    }
    h->server = s;
    h->tls = tls_accept(tls, stream, s->cfg.head_timeout_ms, on_tls, h);
    if (!h->tls) {
        mem_free(h);
        return;
    }
    list_push_back(&s->handshakes, &h->link);
    s->n_handshakes++;
}

static void on_accept(void *arg, struct stream *stream)
{
    struct server_listener *sl = arg;
    struct http_server *s = sl->server;
    if (s->n_conns + s->n_handshakes >= s->cfg.max_connections) {
        stream_close(stream);
    } else if (sl->tls) {
        start_handshake(s, sl->tls, stream);
    } else {
        (void)conn_serve(s, stream, HTTP_PROTOCOL_AUTO, NULL, 0, NULL, NULL);
    }
}

static struct server_listener *new_listener(struct http_server *s, struct tls_ctx *tls)
{
    struct server_listener *sl = mem_zalloc(sizeof *sl);
    if (sl) {
        sl->server = s;
        sl->tls = tls ? tls_ctx_ref(tls) : NULL;
        list_init(&sl->link);
    }
    return sl;
}

static int add_listener(struct server_listener *sl, int rc)
{
    if (rc < 0) {
        tls_ctx_unref(sl->tls);
        mem_free(sl);
        return rc;
    }
    list_push_back(&sl->server->listeners, &sl->link);
    return 0;
}

int http_server_listen_tcp(struct http_server *s, const char *host, uint16_t port,
                           struct tls_ctx *tls, uint16_t *ret_port, struct err *err)
{
    struct server_listener *sl = new_listener(s, tls);
    if (!sl) {
        return err_set(err, -ENOMEM, "listen on port %u: out of memory", port);
    }
    int rc = tcp_listen(s->cfg.loop, host, port, on_accept, sl, &sl->listener, err);
    rc = add_listener(sl, rc);
    if (rc == 0 && ret_port) {
        *ret_port = listener_port(sl->listener);
    }
    return rc;
}

int http_server_listen_unix(struct http_server *s, const char *path, unsigned mode, struct err *err)
{
    struct server_listener *sl = new_listener(s, NULL);
    if (!sl) {
        return err_set(err, -ENOMEM, "listen on '%s': out of memory", path);
    }
    return add_listener(sl,
                        unix_listen(s->cfg.loop, path, mode, on_accept, sl, &sl->listener, err));
}

int http_server_serve(struct http_server *s, struct stream *stream, enum http_protocol protocol,
                      const char *identity, void (*on_end)(void *arg), void *arg)
{
    if (s->stopping || s->n_conns + s->n_handshakes >= s->cfg.max_connections) {
        stream_close(stream);
        return -E_BUSY;
    }
    return conn_serve(s, stream, protocol, identity, 0, on_end, arg);
}

int http_server_serve_tunnel(struct http_server *s, struct stream *stream, const char *identity,
                             int64_t ping_ms, void (*on_end)(void *arg), void *arg)
{
    if (s->stopping) {
        stream_close(stream);
        return -E_BUSY;
    }
    return conn_serve(s, stream, HTTP_PROTOCOL_2, identity, ping_ms, on_end, arg);
}

void http_server_close_owner(struct http_server *s, const void *on_end_arg)
{
    LIST_FOR_EACH_SAFE (i, &s->conns) {
        struct server_conn *c = CONTAINER_OF(i, struct server_conn, link);
        if (c->on_end && c->on_end_arg == on_end_arg) {
            conn_close(c);
        }
    }
}

size_t http_server_connections(const struct http_server *s)
{
    return s->n_conns;
}

/* ---- small services for the other files ---- */

const char *server_error_body(struct http_server *s, int status, const char *text, struct buf *body)
{
    if (s->cfg.error_body) {
        return s->cfg.error_body(s->cfg.arg, status, text, body);
    }
    (void)buf_printf(body, "%s\n", text); /* an empty body is fine too */
    return "text/plain; charset=utf-8";
}

const char *server_date(struct http_server *s)
{
    int64_t second = wall_now().us / 1000000;
    if (second != s->date_second) {
        time_t t = (time_t)second;
        struct tm tm;
        s->date_second = second;
        (void)gmtime_r(&t, &tm);
        (void)strftime(s->date, sizeof s->date, "%a, %d %b %Y %H:%M:%S GMT", &tm); /* fits */
    }
    return s->date;
}

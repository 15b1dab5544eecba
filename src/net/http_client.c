/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client: calls and which connection they go on; see http_client.h. */
#include "http_client.h"

#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http_client_private.h"

#define RESPONSE_MS 60000
#define MAX_CONNECTIONS 8
#define CONNECT_MS 15000
#define IDLE_MS 90000

static void on_pump(void *arg)
{
    client_pump(arg);
}

static char *make_authority(const struct http_client_config *cfg)
{
    /* One colon: a Host header of somebody else's that has its port already. */
    bool v6 = cfg->host[0] != '[' && strchr(cfg->host, ':') != strrchr(cfg->host, ':');
    bool usual = cfg->port == 0 || cfg->unix_path || cfg->port == (cfg->tls ? 443 : 80);
    if (usual) {
        return mem_printf(v6 ? "[%s]" : "%s", cfg->host);
    }
    return mem_printf(v6 ? "[%s]:%u" : "%s:%u", cfg->host, cfg->port);
}

int http_client_new(const struct http_client_config *cfg, struct http_client **ret)
{
    struct http_client *c = mem_zalloc(sizeof *c);
    if (!c) {
        return -ENOMEM;
    }
    c->cfg = *cfg;
    c->cfg.host = mem_strdup(cfg->host ? cfg->host : "localhost");
    c->cfg.unix_path = mem_strdup(cfg->unix_path);
    c->authority = c->cfg.host ? make_authority(&c->cfg) : NULL;
    list_init(&c->conns);
    list_init(&c->waiting);
    io_task_init(&c->pump, on_pump, c);
    if (!c->authority || (cfg->unix_path && !c->cfg.unix_path)) {
        c->cfg.tls = NULL;
        http_client_free(c);
        return -ENOMEM;
    }
    c->cfg.tls = cfg->tls ? tls_ctx_ref(cfg->tls) : NULL;
    c->cfg.max_connections = cfg->max_connections ? cfg->max_connections : MAX_CONNECTIONS;
    c->cfg.connect_timeout_ms = cfg->connect_timeout_ms ? cfg->connect_timeout_ms : CONNECT_MS;
    c->cfg.idle_timeout_ms = cfg->idle_timeout_ms ? cfg->idle_timeout_ms : IDLE_MS;
    *ret = c;
    return 0;
}

int http_client_from_stream(struct io_loop *l, struct stream *s, enum http_protocol protocol,
                            const char *host, int64_t ping_ms, void (*on_end)(void *arg, int code),
                            void *arg, struct http_client **ret)
{
    struct http_client_config cfg = {
        .loop = l, .host = host, .protocol = protocol, .ping_ms = ping_ms, .idle_timeout_ms = -1};
    struct http_client *c;
    int rc = http_client_new(&cfg, &c);
    if (rc < 0) {
        stream_close(s);
        return rc;
    }
    c->single = true;
    rc = client_conn_adopt(c, s, protocol);
    if (rc < 0) {
        http_client_free(c);
        return rc;
    }
    c->on_end = on_end;
    c->on_end_arg = arg;
    *ret = c;
    return 0;
}

void http_client_free(struct http_client *c)
{
    if (!c) {
        return;
    }
    c->freed = true;
    c->on_end = NULL;
    while (!list_empty(&c->conns)) {
        client_conn_close(CONTAINER_OF(c->conns.next, struct client_conn, link), -E_CANCELED,
                          "the client is closed");
    }
    while (!list_empty(&c->waiting)) {
        call_fail(CONTAINER_OF(c->waiting.next, struct http_call, link), -E_CANCELED,
                  "the client is closed");
    }
    io_task_cancel(&c->pump);
    tls_ctx_unref(c->cfg.tls);
    mem_free((char *)(uintptr_t)c->cfg.host);
    mem_free((char *)(uintptr_t)c->cfg.unix_path);
    mem_free(c->authority);
    mem_free(c);
}

void http_client_reset(struct http_client *c)
{
    LIST_FOR_EACH_SAFE (i, &c->conns) {
        struct client_conn *k = CONTAINER_OF(i, struct client_conn, link);
        k->draining = true;
        if (list_empty(&k->calls) && list_empty(&k->links) && k->kind != CLIENT_DIALLING) {
            client_conn_close(k, -E_CANCELED, "reset");
        }
    }
}

/* ---- which connection ---- */

static struct client_conn *find_conn(struct http_client *c)
{
    LIST_FOR_EACH (i, &c->conns) {
        struct client_conn *k = CONTAINER_OF(i, struct client_conn, link);
        if (client_conn_takes(k)) {
            return k;
        }
    }
    return NULL;
}

/* How many connections are worth dialling for so many calls that wait. */
static size_t wanted_dials(const struct http_client *c, size_t n_waiting, size_t n_dialling)
{
    bool maybe_h2 =
        c->cfg.protocol == HTTP_PROTOCOL_2 || c->used_h2 ||
        (c->cfg.protocol == HTTP_PROTOCOL_AUTO && c->cfg.tls && c->n_conns == n_dialling);
    size_t want = maybe_h2 ? MIN_OF(n_waiting, (size_t)1) : n_waiting;
    size_t room = c->cfg.max_connections - MIN_OF((size_t)c->cfg.max_connections, c->n_conns);
    want = want > n_dialling ? want - n_dialling : 0;
    return MIN_OF(want, room);
}

static void fail_waiting(struct http_client *c, int code, const char *text)
{
    struct list batch;
    list_init(&batch);
    list_splice(&batch, &c->waiting);
    while (!list_empty(&batch)) {
        call_fail(CONTAINER_OF(batch.next, struct http_call, link), code, text);
    }
}

void client_pump(struct http_client *c)
{
    size_t waiting = 0, dialling = 0;
    while (!list_empty(&c->waiting)) {
        struct client_conn *k = find_conn(c);
        if (!k) {
            break;
        }
        struct http_call *call = CONTAINER_OF(c->waiting.next, struct http_call, link);
        list_del(&call->link);
        client_conn_start(k, call);
    }
    if (c->single && c->n_conns == 0) {
        fail_waiting(c, -E_UNREACH, "the connection is gone");
        return;
    }
    LIST_FOR_EACH (i, &c->waiting) {
        waiting++;
    }
    LIST_FOR_EACH (i, &c->conns) {
        dialling += CONTAINER_OF(i, struct client_conn, link)->kind == CLIENT_DIALLING;
    }
    for (size_t n = c->single ? 0 : wanted_dials(c, waiting, dialling); n; n--) {
        if (client_conn_dial(c) < 0) {
            fail_waiting(c, -ENOMEM, "out of memory");
            return;
        }
    }
}

/* ---- calls ---- */

static void check(const struct http_call *c)
{
    assert(c && c->magic == CALL_MAGIC);
}

static void free_call(void *arg)
{
    struct http_call *c = arg;
    arena_fini(&c->arena);
    buf_fini(&c->out);
    buf_fini(&c->in);
    c->magic = 0;
    mem_free(c);
}

static void on_timeout(void *arg)
{
    struct http_call *c = arg;
    const char *text = c->has_response ? "no data in time" : "no answer in time";
    if (c->conn && c->conn->kind == CLIENT_HTTP1) {
        struct client_conn *k = c->conn;
        k->draining = true;
        call_fail(c, -ETIMEDOUT, text);
        client_conn_close(k, -E_CANCELED, text);
    } else {
        client2_drop(c);
        call_fail(c, -ETIMEDOUT, text);
    }
}

static void on_unpause(void *arg);

static bool copy_request(struct http_call *c, const struct http_call_request *r)
{
    struct arena *a = &c->arena;
    c->head = (struct http_head){.version = 11, .content_length = -1};
    c->head.method = str_of(arena_strdup(a, r->method ? r->method : "GET"));
    c->head.target = str_of(arena_strdup(a, r->path));
    c->head.authority = str_of(arena_strdup(a, c->client->authority));
    c->upgrade = arena_strdup(a, r->upgrade);
    for (size_t i = 0; i < r->n_headers; i++) {
        (void)http_header_add(a, &c->head.headers, r->headers[i].name, r->headers[i].value);
    }
    return !arena_failed(a) && buf_append_str(&c->out, r->body) == 0;
}

struct http_call *http_call_start(struct http_client *client, const struct http_call_request *req,
                                  const struct http_call_ops *ops, void *arg)
{
    struct http_call *c = client->freed ? NULL : mem_zalloc(sizeof *c);
    if (!c) {
        return NULL;
    }
    c->magic = CALL_MAGIC;
    c->client = client;
    c->ops = ops;
    c->arg = arg;
    c->id = -1;
    c->stream_body = req->stream_body;
    c->body_length = req->stream_body && req->body_length > 0 ? req->body_length : 0;
    c->body_ended = !req->stream_body;
    c->idle_ms = req->idle_ms;
    arena_init(&c->arena, 0);
    list_init(&c->link);
    io_timer_init(client->cfg.loop, &c->timer, on_timeout, c);
    io_task_init(&c->free_task, free_call, c);
    io_task_init(&c->unpause, on_unpause, c);
    if (!copy_request(c, req)) {
        free_call(c);
        return NULL;
    }
    if (req->timeout_ms >= 0) {
        io_timer_start(&c->timer, req->timeout_ms ? req->timeout_ms : RESPONSE_MS, 0);
    }
    list_push_back(&client->waiting, &c->link);
    loop_defer(client->cfg.loop, &client->pump);
    return c;
}

void call_detach(struct http_call *call)
{
    struct client_conn *k = call->conn;
    list_del(&call->link);
    call->conn = NULL;
    if (k && !k->closing) {
        client_conn_idle(k);
    }
}

static void end_call(struct http_call *call)
{
    call->over = true;
    io_timer_stop(&call->timer);
    io_task_cancel(&call->unpause);
    call_detach(call);
    loop_defer(call->client->cfg.loop, &call->free_task);
}

void call_finish(struct http_call *call)
{
    end_call(call);
    if (call->ops->on_end) {
        call->ops->on_end(call, call->arg);
    }
}

void call_fail(struct http_call *call, int code, const char *text)
{
    struct err err;
    (void)err_set(&err, code, STR_FMT " %s://%s" STR_FMT ": %s", STR_ARG(call->head.method),
                  call->client->cfg.tls ? "https" : "http", call->client->authority,
                  STR_ARG(call->head.target), text);
    end_call(call);
    call->ops->on_error(call, call->arg, &err);
}

void call_hand_over(struct http_call *call, struct stream *s)
{
    end_call(call);
    call->ops->on_stream(call, call->arg, s, &call->response);
}

bool call_may_retry(const struct http_call *call)
{
    struct str m = call->head.method;
    return !call->retried && !call->stream_body && !call->has_response && !call->client->freed &&
           !call->client->single &&
           (str_is(m, "GET") || str_is(m, "HEAD") || str_is(m, "PUT") || str_is(m, "DELETE") ||
            str_is(m, "OPTIONS"));
}

void call_requeue(struct http_call *call)
{
    list_del(&call->link);
    call->conn = NULL;
    call->retried = true;
    call->pulled = 0;
    call->id = -1;
    list_push_front(&call->client->waiting, &call->link);
    loop_defer(call->client->cfg.loop, &call->client->pump);
}

static void heard(struct http_call *call)
{
    io_timer_stop(&call->timer);
    if (call->idle_ms > 0 && !call->paused) {
        io_timer_start(&call->timer, call->idle_ms, 0);
    }
}

void call_headers(struct http_call *call, const struct http_head *head)
{
    call->has_response = true;
    call->response = (struct http_response){.status = head->status,
                                            .headers = head->headers,
                                            .content_length = head->content_length,
                                            .version = head->version};
    heard(call);
}

bool call_data(struct http_call *call, struct str data)
{
    if (call->paused || buf_len(&call->in)) {
        if (buf_append_str(&call->in, data) < 0) {
            client2_drop(call);
            call_fail(call, -ENOMEM, "out of memory");
        }
        return !call->over;
    }
    heard(call);
    if (call->ops->on_data) {
        call->ops->on_data(call, call->arg, data);
    }
    return !call->over;
}

void call_data_end(struct http_call *call)
{
    call->in_ended = true;
    if (!call->paused && buf_len(&call->in) == 0) {
        if (call->conn && call->conn->kind == CLIENT_HTTP2) {
            client2_drop(call);
        }
        call_finish(call);
    }
}

/* What gathered during a pause; HTTP/2 gives it back to the windows now. */
static void on_unpause(void *arg)
{
    struct http_call *call = arg;
    struct client_conn *k = call->conn;
    if (call->paused) {
        return;
    }
    struct buf b = call->in;
    buf_init(&call->in, 0);
    if (buf_len(&b) && k && k->kind == CLIENT_HTTP2) {
        http2_consume(k->h2, call->id, buf_len(&b));
        loop_defer(call->client->cfg.loop, &k->task);
    }
    bool going = buf_len(&b) == 0 || call_data(call, buf_str(&b));
    buf_fini(&b);
    if (going && call->in_ended) {
        call_data_end(call);
    } else if (going && k && k->kind == CLIENT_HTTP1 && !call->paused) {
        loop_defer(call->client->cfg.loop, &k->task);
    }
}

void http_call_pause(struct http_call *call, bool paused)
{
    check(call);
    call->paused = paused;
    if (!paused && !call->over) {
        loop_defer(call->client->cfg.loop, &call->unpause);
    }
}

void http_call_cancel(struct http_call *call)
{
    if (!call) {
        return;
    }
    check(call);
    if (call->over) {
        return;
    }
    struct client_conn *k = call->conn;
    if (k && k->kind == CLIENT_HTTP1) {
        k->draining = true;
        end_call(call);
        client_conn_close(k, -E_CANCELED, "cancelled");
    } else {
        client2_drop(call);
        end_call(call);
    }
}

ssize_t http_call_write(struct http_call *call, struct str data)
{
    check(call);
    assert(call->stream_body && !call->body_ended);
    if (call->over) {
        return -EPIPE;
    }
    ssize_t queued;
    if (call->conn && call->conn->kind == CLIENT_HTTP1) {
        queued = client1_write(call, data);
    } else {
        if (buf_len(&call->out) > LIMIT_WRITE_QUEUE_HARD) {
            return -E_LIMIT;
        }
        queued = buf_append_str(&call->out, data) < 0 ? -ENOMEM : (ssize_t)buf_len(&call->out);
        call->out.failed = false;
        if (call->conn) {
            http2_resume(call->conn->h2, call->id);
            loop_defer(call->client->cfg.loop, &call->conn->task);
        }
    }
    call->want_drain |= queued >= STREAM_LOW_WATER;
    return queued;
}

void http_call_end_body(struct http_call *call)
{
    check(call);
    assert(call->stream_body && !call->body_ended);
    call->body_ended = true;
    if (call->over || !call->conn) {
        return;
    }
    if (call->conn->kind == CLIENT_HTTP1) {
        client1_end_body(call);
    } else {
        http2_resume(call->conn->h2, call->id);
        loop_defer(call->client->cfg.loop, &call->conn->task);
    }
}

void call_drained(struct http_call *call)
{
    if (!call->over && call->want_drain && !call->body_ended) {
        call->want_drain = false;
        if (call->ops->on_drain) {
            call->ops->on_drain(call, call->arg);
        }
    }
}

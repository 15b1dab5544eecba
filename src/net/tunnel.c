/* SPDX-License-Identifier: Apache-2.0 */
/* The reverse tunnel; see tunnel.h. */
#include "tunnel.h"

#include "base/mem.h"
#include "http_client_private.h"
#include "http_server_private.h"

/* ---- child: dials, then serves ---- */

struct tunnel_child {
    struct tunnel_child_config cfg;
    char *identity;
    struct http_call *call; /* until the parent agrees */
    bool stopped;           /* nobody wants to hear of the end */
};

static void free_child(struct tunnel_child *t)
{
    mem_free(t->identity);
    mem_free(t);
}

static void child_down(struct tunnel_child *t, const struct err *err)
{
    void (*down)(void *, const struct err *) = t->cfg.down;
    void *arg = t->cfg.arg;
    free_child(t);
    down(arg, err);
}

static void on_connection_end(void *arg)
{
    struct tunnel_child *t = arg;
    struct err err;
    if (t->stopped) {
        free_child(t);
        return;
    }
    (void)err_set(&err, -E_CONNRESET, "the tunnel to the parent broke");
    child_down(t, &err);
}

static void child_on_headers(struct http_call *call, void *arg, const struct http_response *r)
{
    struct err err;
    int code = r->status == 401 || r->status == 403 ? -E_ACCESS : -E_PROTO;
    (void)err_set(&err, code, "the parent refused the tunnel with status %d", r->status);
    http_call_cancel(call);
    child_down(arg, &err);
}

static void child_on_error(struct http_call *call, void *arg, const struct err *err)
{
    (void)call;
    child_down(arg, err);
}

static void child_on_stream(struct http_call *call, void *arg, struct stream *s,
                            const struct http_response *r)
{
    struct tunnel_child *t = arg;
    struct err err;
    (void)call;
    (void)r;
    t->call = NULL;
    int rc = http_server_serve_tunnel(t->cfg.server, s, t->identity, t->cfg.ping_ms,
                                      on_connection_end, t);
    if (rc < 0) {
        (void)err_sys(&err, rc, "serve the tunnel");
        child_down(t, &err);
    } else if (t->cfg.up) {
        t->cfg.up(t->cfg.arg);
    }
}

static const struct http_call_ops child_ops = {
    .on_headers = child_on_headers,
    .on_error = child_on_error,
    .on_stream = child_on_stream,
};

struct tunnel_child *tunnel_child_start(const struct tunnel_child_config *cfg)
{
    struct tunnel_child *t = mem_zalloc(sizeof *t);
    if (!t) {
        return NULL;
    }
    t->cfg = *cfg;
    t->cfg.ping_ms = cfg->ping_ms ? cfg->ping_ms : TUNNEL_PING_MS;
    t->identity = mem_strdup(cfg->identity);
    const struct http_call_request req = {.path = cfg->path,
                                          .headers = cfg->headers,
                                          .n_headers = cfg->n_headers,
                                          .upgrade = TUNNEL_PROTOCOL};
    bool ok = !cfg->identity || t->identity;
    t->call = ok ? http_call_start(cfg->client, &req, &child_ops, t) : NULL;
    if (!t->call) {
        free_child(t);
        return NULL;
    }
    return t;
}

void tunnel_child_stop(struct tunnel_child *t)
{
    if (!t) {
        return;
    }
    if (t->call) {
        http_call_cancel(t->call);
        free_child(t);
        return;
    }
    t->stopped = true;
    http_server_close_owner(t->cfg.server, t);
}

/* ---- parent: turns its connection into a client ---- */

struct tunnel_parent {
    struct http_client *client;
    struct io_task down_task;
    int code;
    void (*down)(void *arg, const struct err *err);
    void *arg;
};

static void parent_down(void *arg)
{
    struct tunnel_parent *t = arg;
    void (*down)(void *, const struct err *) = t->down;
    void *down_arg = t->arg;
    struct err err;
    (void)err_sys(&err, t->code < 0 ? t->code : -E_CONNRESET, "the tunnel of the child broke");
    http_client_free(t->client);
    mem_free(t);
    down(down_arg, &err);
}

/* In a later tick: the client's own code is on the stack. */
static void on_client_end(void *arg, int code)
{
    struct tunnel_parent *t = arg;
    t->code = code;
    loop_defer(t->client->cfg.loop, &t->down_task);
}

struct tunnel_parent *tunnel_accept(struct http_exchange *x, const char *name, int64_t ping_ms,
                                    void (*down)(void *arg, const struct err *err), void *arg)
{
    struct io_loop *loop = http_exchange_loop(x);
    if (!http_exchange_wants_stream(x, TUNNEL_PROTOCOL) ||
        http_exchange_request(x)->version != 11) {
        return NULL;
    }
    struct tunnel_parent *t = mem_zalloc(sizeof *t);
    if (!t) {
        return NULL;
    }
    t->down = down;
    t->arg = arg;
    io_task_init(&t->down_task, parent_down, t);
    struct stream *s = http_exchange_stream(x, TUNNEL_PROTOCOL, NULL, 0);
    if (!s) {
        mem_free(t);
        return NULL;
    }
    int rc =
        http_client_from_stream(loop, s, HTTP_PROTOCOL_2, name, ping_ms ? ping_ms : TUNNEL_PING_MS,
                                on_client_end, t, &t->client);
    if (rc < 0) {
        /* The exchange is over already: the child sees the connection close and dials again. */
        t->code = rc;
        loop_defer(loop, &t->down_task);
    }
    return t;
}

struct http_client *tunnel_client(struct tunnel_parent *t)
{
    return t->client;
}

void tunnel_parent_close(struct tunnel_parent *t)
{
    if (t) {
        io_task_cancel(&t->down_task);
        http_client_free(t->client);
        mem_free(t);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP clients to what is behind a node; see upstream.h. */
#include "api/stream/upstream.h"

#include "io/tls.h"
#include "net/http_client.h"

struct upstream {
    struct api_server *server;
    upstream_fn *done;
    void *arg;
    struct node_pipe *pipe;
    struct tls_handshake *handshake;
    struct tls_ctx *tls;
    struct http_client *client;
    struct io_task ready, free_task;
    char *authority;
};

static void free_task(void *arg)
{
    struct upstream *u = arg;
    http_client_free(u->client);
    tls_ctx_unref(u->tls);
    mem_free(u->authority);
    mem_free(u);
}

static void fail(struct upstream *u, const struct err *err)
{
    u->done(u->arg, NULL, err);
}

static void take_stream(struct upstream *u, struct stream *s)
{
    struct err err;
    int rc = http_client_from_stream(u->server->loop, s, HTTP_PROTOCOL_1, u->authority, 0, NULL,
                                     NULL, &u->client);
    if (rc < 0) {
        (void)err_sys(&err, rc, "connect");
        fail(u, &err);
    } else {
        u->done(u->arg, u->client, NULL);
    }
}

static void secured(void *arg, struct stream *s, const char *alpn, const struct err *err)
{
    struct upstream *u = arg;
    (void)alpn; /* only HTTP/1.1 was offered */
    u->handshake = NULL;
    if (s) {
        take_stream(u, s);
    } else {
        fail(u, err);
    }
}

static void piped(void *arg, struct stream *s, const struct err *err)
{
    struct upstream *u = arg;
    u->pipe = NULL;
    if (!s) {
        fail(u, err);
    } else if (!u->tls) {
        take_stream(u, s);
    } else {
        u->handshake = tls_connect(u->tls, s, u->authority, 0, secured, u);
        if (!u->handshake) {
            struct err e;
            (void)err_sys(&e, -ENOMEM, "connect");
            fail(u, &e);
        }
    }
}

static void ready(void *arg)
{
    struct upstream *u = arg;
    u->done(u->arg, u->client, NULL);
}

static int open_client(struct upstream *u, const struct upstream_target *t, struct err *err)
{
    const struct api_server_opts *o = &u->server->opts;
    if (t->req.node && !o->open_stream) {
        return err_set(err, -E_NOTSUP, "this server has no way to its nodes");
    }
    if (t->req.node) {
        u->pipe = node_pipe_open(u->server->loop, o->open_stream, o->open_stream_arg, &t->req,
                                 piped, u, err);
        return u->pipe ? 0 : err->code;
    }
    struct http_client_config config = {.loop = u->server->loop,
                                        .host = t->host,
                                        .port = t->port,
                                        .tls = u->tls,
                                        .protocol = HTTP_PROTOCOL_1,
                                        .max_connections = 1};
    int rc = http_client_new(&config, &u->client);
    if (rc < 0) {
        return err_sys(err, rc, "connect");
    }
    loop_defer(u->server->loop, &u->ready);
    return 0;
}

struct upstream *upstream_open(struct api_server *server, const struct upstream_target *t,
                               upstream_fn *done, void *arg, struct err *ret_err)
{
    const struct tls_config tls = {.insecure = true};
    struct err own = {0}, *err = ret_err ? ret_err : &own; /* its code is looked at */
    struct upstream *u = mem_zalloc(sizeof(*u));
    if (!u) {
        (void)err_sys(err, -ENOMEM, "connect");
        return NULL;
    }
    u->server = server;
    u->done = done;
    u->arg = arg;
    u->authority = mem_strdup(t->authority);
    io_task_init(&u->ready, ready, u);
    io_task_init(&u->free_task, free_task, u);
    int rc = u->authority ? 0 : err_sys(err, -ENOMEM, "connect");
    rc = rc == 0 && t->tls ? tls_client_new(&tls, &u->tls, err) : rc;
    rc = rc == 0 ? open_client(u, t, err) : rc;
    if (rc < 0) {
        free_task(u);
        return NULL;
    }
    return u;
}

void upstream_close(struct upstream *u)
{
    if (u) {
        node_pipe_cancel(TAKE_PTR(u->pipe));
        tls_handshake_cancel(TAKE_PTR(u->handshake));
        io_task_cancel(&u->ready);
        loop_defer(u->server->loop, &u->free_task);
    }
}

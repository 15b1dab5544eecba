/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connecting: resolve, try the addresses in turn, hand out a stream.
 *
 *     start -> [resolving] -> trying 1st -> trying 2nd ... -> done
 *
 * While another address is left, one gets at most TRY_MS.
 */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/fd_stream.h"
#include "io/loop_private.h"
#include "io/tcp.h"

#define TIMEOUT_MS 30000
#define TRY_MS 5000
#define MAX_ADDRESSES 8

union address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

struct io_connect {
    struct io_loop *loop;
    io_connect_fn *fn;
    void *arg;
    char *host; /* or path */
    uint16_t port;
    enum stream_kind kind;
    uv_getaddrinfo_t resolve;
    bool resolving, cancelled;
    union address addr[MAX_ADDRESSES];
    size_t n_addr, next;
    int fd, last_error;
    struct io_poll *poll;
    struct io_task begin;
    struct io_timer deadline, try;
};

static void free_connect(struct io_connect *c)
{
    io_poll_close(c->poll);
    fd_closep(&c->fd);
    io_task_cancel(&c->begin);
    io_timer_stop(&c->deadline);
    io_timer_stop(&c->try);
    mem_free(c->host);
    mem_free(c);
}

static void finish(struct io_connect *c, struct stream *s, const struct err *err)
{
    io_connect_fn *fn = c->fn;
    void *arg = c->arg;
    if (c->resolving) {
        c->cancelled = true; /* freed when the resolver returns */
        (void)uv_cancel((uv_req_t *)&c->resolve);
        io_timer_stop(&c->deadline);
    } else {
        free_connect(c);
    }
    fn(arg, s, err);
}

static void fail(struct io_connect *c, int code, const char *text)
{
    struct err err;
    if (c->kind == STREAM_UNIX) {
        (void)err_set(&err, code, "connect to '%s': %s", c->host, text);
    } else {
        (void)err_set(&err, code, "connect to %s:%u: %s", c->host, c->port, text);
    }
    finish(c, NULL, &err);
}

static void try_next(struct io_connect *c);

static void connected(struct io_connect *c)
{
    struct stream *s;
    io_poll_close(c->poll);
    c->poll = NULL;
    int rc = fd_stream_new(c->loop, TAKE_FD(c->fd), -1, c->kind, &s);
    if (rc < 0) {
        fail(c, rc, err_text(rc));
    } else {
        finish(c, s, NULL);
    }
}

static void drop_try(struct io_connect *c, int code)
{
    c->last_error = code;
    io_timer_stop(&c->try);
    io_poll_close(c->poll);
    c->poll = NULL;
    fd_closep(&c->fd);
}

static void on_writable(void *arg, unsigned events, int poll_code)
{
    struct io_connect *c = arg;
    int code = 0;
    socklen_t len = sizeof code;
    (void)events;
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0) {
        code = errno;
    }
    code = code == 0 && poll_code < 0 ? ECONNREFUSED : code;
    if (code) {
        drop_try(c, -code);
        try_next(c);
    } else {
        connected(c);
    }
}

static void on_try_over(void *arg)
{
    struct io_connect *c = arg;
    drop_try(c, -ETIMEDOUT);
    try_next(c);
}

/* 1 connected, 0 under way, negative: failed. */
static int start_try(struct io_connect *c, const union address *a)
{
    socklen_t len = a->sa.sa_family == AF_INET    ? sizeof a->in
                    : a->sa.sa_family == AF_INET6 ? sizeof a->in6
                                                  : sizeof a->un;
    c->fd = socket(a->sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        return -errno;
    }
    if (connect(c->fd, &a->sa, len) == 0) {
        return 1;
    }
    if (errno != EINPROGRESS) {
        return -errno;
    }
    int rc = io_poll_new(c->loop, c->fd, on_writable, c, &c->poll);
    if (rc == 0) {
        io_poll_set(c->poll, IO_WRITABLE);
    }
    return rc;
}

static void try_next(struct io_connect *c)
{
    while (c->next < c->n_addr) {
        int rc = start_try(c, &c->addr[c->next++]);
        if (rc == 1) {
            connected(c);
            return;
        }
        if (rc == 0) {
            if (c->next < c->n_addr) {
                io_timer_start(&c->try, TRY_MS, 0);
            }
            return;
        }
        drop_try(c, rc);
    }
    fail(c, c->last_error, err_text(c->last_error));
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *res)
{
    struct io_connect *c = req->data;
    c->resolving = false;
    if (!c->cancelled) {
        for (struct addrinfo *i = res; i && c->n_addr < MAX_ADDRESSES; i = i->ai_next) {
            if (i->ai_addrlen <= sizeof(union address)) {
                memcpy(&c->addr[c->n_addr++], i->ai_addr, i->ai_addrlen);
            }
        }
    }
    uv_freeaddrinfo(res);
    if (c->cancelled) {
        free_connect(c);
    } else if (status < 0 || c->n_addr == 0) {
        fail(c, -EHOSTUNREACH, status < 0 ? uv_strerror(status) : "the name has no address");
    } else {
        try_next(c);
    }
}

static void resolve(struct io_connect *c)
{
    char service[8];
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    (void)snprintf(service, sizeof service, "%u", c->port);
    c->resolve.data = c;
    int rc = uv_getaddrinfo(&c->loop->uv, &c->resolve, on_resolved, c->host, service, &hints);
    if (rc < 0) {
        fail(c, rc, uv_strerror(rc));
        return;
    }
    c->resolving = true;
}

static void on_begin(void *arg)
{
    struct io_connect *c = arg;
    union address *a = &c->addr[0];
    if (c->kind == STREAM_UNIX) {
        a->un.sun_family = AF_UNIX;
        if (!cstr_copy(a->un.sun_path, sizeof a->un.sun_path, c->host)) {
            fail(c, -ENAMETOOLONG, "the path is too long");
            return;
        }
    } else if (inet_pton(AF_INET, c->host, &a->in.sin_addr) == 1) {
        a->in.sin_family = AF_INET;
        a->in.sin_port = htons(c->port);
    } else if (inet_pton(AF_INET6, c->host, &a->in6.sin6_addr) == 1) {
        a->in6.sin6_family = AF_INET6;
        a->in6.sin6_port = htons(c->port);
    } else {
        resolve(c);
        return;
    }
    c->n_addr = 1;
    try_next(c);
}

static void on_deadline(void *arg)
{
    fail(arg, -ETIMEDOUT, "timed out");
}

static struct io_connect *start(struct io_loop *l, enum stream_kind kind, const char *host,
                                uint16_t port, int64_t timeout_ms, io_connect_fn *fn, void *arg)
{
    CLEANUP(mem_freep) struct io_connect *c = mem_zalloc(sizeof *c);
    if (!c) {
        return NULL;
    }
    c->host = mem_strdup(host);
    if (!c->host) {
        return NULL;
    }
    c->loop = l;
    c->kind = kind;
    c->port = port;
    c->fn = fn;
    c->arg = arg;
    c->fd = -EBADF;
    io_task_init(&c->begin, on_begin, c);
    io_timer_init(l, &c->deadline, on_deadline, c);
    io_timer_init(l, &c->try, on_try_over, c);
    io_timer_start(&c->deadline, timeout_ms > 0 ? timeout_ms : TIMEOUT_MS, 0);
    loop_defer(l, &c->begin);
    return TAKE_PTR(c);
}

struct io_connect *tcp_connect(struct io_loop *l, const char *host, uint16_t port,
                               int64_t timeout_ms, io_connect_fn *fn, void *arg)
{
    return start(l, STREAM_TCP, host, port, timeout_ms, fn, arg);
}

struct io_connect *unix_connect(struct io_loop *l, const char *path, io_connect_fn *fn, void *arg)
{
    return start(l, STREAM_UNIX, path, 0, 0, fn, arg);
}

void io_connect_cancel(struct io_connect *c)
{
    if (!c) {
        return;
    }
    if (c->resolving) {
        c->cancelled = true;
        io_timer_stop(&c->deadline);
        (void)uv_cancel((uv_req_t *)&c->resolve); /* may run already; it returns later then */
        return;
    }
    free_connect(c);
}

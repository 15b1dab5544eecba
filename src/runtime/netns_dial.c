/* SPDX-License-Identifier: Apache-2.0 */
/* TCP connections inside a pod's network namespace; see netns_dial.h. */
#include "runtime/netns_dial.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/stream.h"
#include "runtime/runtime_private.h"

#define CONNECT_MS 10000

enum { FAMILIES = 2 };
static const int families[FAMILIES] = {AF_INET, AF_INET6};

struct netns_dial {
    struct runtime *rt;
    struct runtime_op op;
    netns_dial_fn *done; /* NULL after a cancel */
    void (*over)(void *over_arg);
    void *arg, *over_arg;
    char netns[PATH_MAX];
    uint16_t port;
    int fds[FAMILIES];
    int next;             /* the family to try */
    int codes[FAMILIES];  /* why one failed */
    struct io_poll *poll; /* of the connect under way */
    struct io_timer timer;
    struct io_task end; /* frees */
    struct err err;     /* of the helper thread */
};

/* ---- in the helper thread ---- */

static int make_sockets(void *arg)
{
    struct netns_dial *d = arg;
    if (d->netns[0]) {
        CLEANUP(fd_closep) int ns = open(d->netns, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWNET) < 0) {
            return err_sys(&d->err, -errno, "enter the pod's network namespace");
        }
    }
    for (int i = 0; i < FAMILIES; i++) {
        d->fds[i] = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        d->codes[i] = d->fds[i] < 0 ? -errno : 0;
    }
    return 0;
}

static int work(void *arg, struct err *err)
{
    struct netns_dial *d = arg;
    int rc = d->netns[0] ? runtime_in_thread(make_sockets, d) : make_sockets(d);
    return rc < 0 ? err_set(err, rc, "%s", d->err.text) : 0;
}

/* ---- the end ---- */

static void dial_free(void *arg)
{
    struct netns_dial *d = arg;
    for (int i = 0; i < FAMILIES; i++) {
        fd_closep(&d->fds[i]);
    }
    io_poll_close(d->poll);
    io_timer_stop(&d->timer);
    d->over(d->over_arg);
    mem_free(d);
}

static void finish(struct netns_dial *d, struct stream *s, const struct err *err)
{
    netns_dial_fn *done = d->done;
    d->done = NULL;
    io_poll_close(TAKE_PTR(d->poll));
    io_timer_stop(&d->timer);
    loop_defer(d->rt->loop, &d->end);
    if (done) {
        done(d->arg, s, err);
    } else {
        stream_close(s);
    }
}

static void succeed(struct netns_dial *d, int i)
{
    struct err err;
    struct stream *s = NULL;
    int one = 1;
    (void)setsockopt(d->fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* only slower */
    int rc = stream_from_fd(d->rt->loop, TAKE_FD(d->fds[i]), -1, &s);
    if (rc < 0) {
        (void)err_sys(&err, rc, "connect");
    }
    finish(d, s, &err);
}

static const char *problem(int code)
{
    return code == -E_CONNREFUSED ? "connection refused" : err_text(code);
}

/* The words of a container runtime, which end in the client's terminal. */
static void give_up(struct netns_dial *d)
{
    struct err err;
    (void)err_set(&err, d->codes[0],
                  "failed to connect to localhost:%u inside namespace of the pod, IPv4: dial tcp4 "
                  "127.0.0.1:%u: connect: %s IPv6 dial tcp6: [::1]:%u: connect: %s",
                  d->port, d->port, problem(d->codes[0]), d->port, problem(d->codes[1]));
    finish(d, NULL, &err);
}

/* ---- connecting ---- */

static void try_next(struct netns_dial *d);

static void on_writable(void *arg, unsigned events, int code)
{
    struct netns_dial *d = arg;
    int i = d->next - 1, problem = 0;
    socklen_t n = sizeof(problem);
    (void)events;
    (void)code; /* the socket's own error says more */
    io_poll_close(TAKE_PTR(d->poll));
    if (getsockopt(d->fds[i], SOL_SOCKET, SO_ERROR, &problem, &n) < 0) {
        problem = errno;
    }
    if (problem) {
        d->codes[i] = -problem;
        try_next(d);
    } else {
        succeed(d, i);
    }
}

static int connect_one(const struct netns_dial *d, int i)
{
    const struct sockaddr_in v4 = {.sin_family = AF_INET,
                                   .sin_port = htons(d->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(d->port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int rc = i == 0 ? connect(d->fds[i], (const struct sockaddr *)&v4, sizeof(v4))
                    : connect(d->fds[i], (const struct sockaddr *)&v6, sizeof(v6));
    return rc < 0 ? -errno : 0;
}

static void try_next(struct netns_dial *d)
{
    while (d->next < FAMILIES) {
        int i = d->next++;
        if (d->fds[i] < 0) {
            continue;
        }
        int rc = connect_one(d, i);
        if (rc == 0) {
            succeed(d, i);
            return;
        }
        if (rc == -EINPROGRESS) {
            rc = io_poll_new(d->rt->loop, d->fds[i], on_writable, d, &d->poll);
        }
        if (rc == 0) {
            io_poll_set(d->poll, IO_WRITABLE);
            return;
        }
        d->codes[i] = rc;
    }
    give_up(d);
}

static void on_timeout(void *arg)
{
    struct netns_dial *d = arg;
    d->codes[d->next - 1] = -ETIMEDOUT;
    io_poll_close(TAKE_PTR(d->poll));
    give_up(d);
}

static void sockets_made(struct runtime_op *op, int code)
{
    struct netns_dial *d = op->arg;
    if (code < 0 || !d->done) {
        finish(d, NULL, &op->err);
        return;
    }
    io_timer_start(&d->timer, CONNECT_MS, 0);
    try_next(d);
}

struct netns_dial *netns_dial(struct runtime *rt, const char *netns, uint16_t port,
                              netns_dial_fn *done, void (*over)(void *over_arg), void *arg,
                              void *over_arg)
{
    struct netns_dial *d = mem_zalloc(sizeof(*d));
    if (!d || !cstr_copy(d->netns, sizeof(d->netns), netns)) {
        mem_free(d);
        return NULL;
    }
    d->rt = rt;
    d->port = port;
    d->done = done;
    d->over = over;
    d->arg = arg;
    d->over_arg = over_arg;
    d->fds[0] = d->fds[1] = -EBADF;
    io_task_init(&d->end, dial_free, d);
    io_timer_init(rt->loop, &d->timer, on_timeout, d);
    d->op = (struct runtime_op){.done = sockets_made, .arg = d};
    runtime_work(rt, work, d, &d->op);
    return d;
}

void netns_dial_cancel(struct netns_dial *d)
{
    if (d && d->done) {
        d->done = NULL;
        if (d->next > 0) { /* the helper thread is over */
            struct err err = {0};
            finish(d, NULL, &err);
        }
    }
}

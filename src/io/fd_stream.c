/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams over descriptors. Reads go through the loop's shared buffer; a quiet stream owns no
 * buffer at all. Writes gather in `out` and leave at the end of the tick, large ones at once.
 *
 * Invariants: 1. The poll waits for readability only while the user reads and no EOF was seen, for
 * writability only while the kernel's buffer is full. 2. User callbacks come only from on_ready,
 * on_writable and on_task. 3. After a write failure what the peer sent before is still read, then
 * the error is told (an early HTTP reply is not lost).
 */
#include "fd_stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "io/loop_private.h"
#include "io/stream_impl.h"

#define DIRECT_WRITE                                                            \
    ((size_t)32 << 10) /* from here on a write does not wait for the tick's end \
                        */
#define READS_PER_EVENT 4
#define MAX_PARTS 16

struct fd_stream {
    struct stream base;
    uv_poll_t poll;
    struct io_poll *wpoll; /* of wfd when it is another descriptor */
    int fd, wfd;
    enum stream_kind kind;
    int failed; /* negative code once broken */
    bool reading, eof, told_error;
    bool blocked; /* the kernel's buffer is full */
    bool drain;   /* the user waits for on_drain */
    bool ending;  /* shutdown was asked for */
    bool shut;    /* shutdown was done */
    int polled;   /* events that poll waits for */
    struct buf out;
    struct io_task task;
};

static void on_ready(uv_poll_t *h, int status, int events);

static void update_poll(struct fd_stream *s)
{
    int want = s->reading && !s->eof && !s->failed ? UV_READABLE : 0;
    if (s->wpoll) {
        io_poll_set(s->wpoll, s->blocked && !s->failed ? IO_WRITABLE : 0);
    } else if (s->blocked && !s->failed) {
        want |= UV_WRITABLE;
    }
    if (want != s->polled) {
        s->polled = want;
        int rc = want ? uv_poll_start(&s->poll, want, on_ready) : uv_poll_stop(&s->poll);
        assert(rc == 0); /* fails only on closing handles */
    }
}

static void fail(struct fd_stream *s, int code)
{
    if (!s->failed) {
        s->failed = code;
        s->blocked = false;
        buf_fini(&s->out);
        loop_defer(s->base.loop, &s->task);
    }
}

/* EOF for the peer once all is written. */
static void shut_now(struct fd_stream *s)
{
    s->shut = true;
    if (s->wfd != s->fd) {
        io_poll_close(s->wpoll);
        s->wpoll = NULL;
        (void)close(s->wfd); /* the data is written; nothing more to learn */
        s->wfd = s->fd;
        return;
    }
    if (shutdown(s->fd, SHUT_WR) == 0 || errno != ENOTSOCK) {
        return; /* a peer that is gone shows up on the read side */
    }
    if ((fcntl(s->fd, F_GETFL) & O_ACCMODE) == O_WRONLY) {
        /* The write end of a pipe: let go of it, but keep the number until the close. */
        (void)uv_poll_stop(&s->poll);
        s->polled = 0;
        s->eof = true;
        CLEANUP(fd_closep) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
        (void)dup3(null, s->fd, O_CLOEXEC); /* on failure the reader sees EOF at the close */
    }
}

static void flush_now(struct fd_stream *s)
{
    while (!s->failed && buf_len(&s->out)) {
        ssize_t n = write(s->wfd, buf_data(&s->out), buf_len(&s->out));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            s->blocked = errno == EAGAIN;
            if (!s->blocked) {
                fail(s, -errno);
            }
            return;
        }
        buf_consume(&s->out, (size_t)n);
        s->blocked = false;
    }
    buf_fini(&s->out);
    if (s->ending && !s->shut && !s->failed) {
        shut_now(s);
    }
}

/* One read. False when there is no more to read now. */
static bool read_once(struct fd_stream *s)
{
    char *scratch = s->base.loop->scratch;
    ssize_t n;
    do {
        n = read(s->fd, scratch, LOOP_SCRATCH_SIZE);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        stream_emit_read(&s->base, scratch, (size_t)n);
        return (size_t)n == LOOP_SCRATCH_SIZE;
    }
    if (n == 0 || (errno == EIO && s->kind == STREAM_FD)) {
        s->eof = true;
        stream_emit_eof(&s->base);
    } else if (errno != EAGAIN) {
        fail(s, -errno);
    }
    return false;
}

static bool may_read(const struct fd_stream *s)
{
    return !s->base.closed && s->reading && !s->eof;
}

/* What the peer sent before the stream broke. */
static void read_rest(struct fd_stream *s)
{
    char *scratch = s->base.loop->scratch;
    ssize_t n = 1;
    while (may_read(s) && n > 0) {
        n = read(s->fd, scratch, LOOP_SCRATCH_SIZE);
        if (n > 0) {
            stream_emit_read(&s->base, scratch, (size_t)n);
        }
    }
}

static void tell_error(struct fd_stream *s)
{
    read_rest(s);
    if (!s->base.closed && !s->told_error) {
        s->told_error = true;
        stream_emit_error(&s->base, s->failed);
    }
}

/* The end of each callback that may have changed something. */
static void settle(struct fd_stream *s)
{
    if (!s->base.closed && !s->failed && s->drain && (ssize_t)buf_len(&s->out) < STREAM_LOW_WATER) {
        s->drain = false;
        stream_emit_drain(&s->base);
    }
    if (!s->base.closed && !s->failed) {
        update_poll(s);
    }
    if (!s->base.closed && s->failed && !s->told_error) {
        io_task_cancel(&s->task);
        update_poll(s);
        tell_error(s);
    }
}

/* Why the poll stopped: libuv itself says EBADF whatever the reason. */
static int poll_error(const struct fd_stream *s)
{
    int code = 0;
    socklen_t len = sizeof code;
    bool known = getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &code, &len) == 0 && code != 0;
    return known ? -code : -EPIPE;
}

static void on_ready(uv_poll_t *h, int status, int events)
{
    struct fd_stream *s = h->data;
    if (status < 0) {
        s->polled = 0;
        fail(s, poll_error(s));
    }
    if (events & UV_WRITABLE) {
        flush_now(s);
    }
    if (events & UV_READABLE) {
        for (int i = 0; i < READS_PER_EVENT && may_read(s) && !s->failed && read_once(s); i++) {
        }
    }
    settle(s);
}

static void on_writable(void *arg, unsigned events, int code)
{
    struct fd_stream *s = arg;
    (void)events;
    (void)code; /* the write tells what is wrong */
    flush_now(s);
    settle(s);
}

static void on_task(void *arg)
{
    struct fd_stream *s = arg;
    if (!s->blocked) {
        flush_now(s);
    }
    settle(s);
}

/* Writes what goes without waiting; returns the bytes written, 0 when the kernel is full. */
static size_t write_direct(struct fd_stream *s, const struct str *parts, size_t n_parts)
{
    struct iovec v[MAX_PARTS];
    int n = 0;
    for (size_t i = 0; i < n_parts && n < MAX_PARTS; i++) {
        v[n++] = (struct iovec){.iov_base = (void *)(uintptr_t)parts[i].p, .iov_len = parts[i].n};
    }
    ssize_t done = writev(s->wfd, v, n);
    if (done < 0 && errno != EAGAIN && errno != EINTR) {
        fail(s, -errno);
    }
    s->blocked = done < 0 && errno == EAGAIN;
    return done < 0 ? 0 : (size_t)done;
}

static ssize_t fd_writev(struct stream *base, const struct str *parts, size_t n_parts)
{
    struct fd_stream *s = (struct fd_stream *)base;
    size_t total = 0, done = 0, was = buf_len(&s->out);
    for (size_t i = 0; i < n_parts; i++) {
        total += parts[i].n;
    }
    if (s->failed || s->ending) {
        return -EPIPE;
    }
    if (was > LIMIT_WRITE_QUEUE_HARD) {
        return -E_LIMIT;
    }
    if (was + total >= DIRECT_WRITE && !s->blocked) {
        flush_now(s);
        done = buf_len(&s->out) == 0 && !s->failed ? write_direct(s, parts, n_parts) : 0;
        if (s->failed) {
            return -EPIPE;
        }
    }
    if (total > done && !buf_reserve(&s->out, total - done)) {
        if (done) {
            fail(s, -ENOMEM); /* a part is on its way: the stream cannot be mended */
        }
        s->out.failed = false;
        return -ENOMEM;
    }
    for (size_t i = 0; i < n_parts; i++) {
        size_t skip = MIN_OF(done, parts[i].n);
        done -= skip;
        (void)buf_append(&s->out, parts[i].p + skip, parts[i].n - skip); /* reserved above */
    }
    s->drain |= (ssize_t)buf_len(&s->out) >= STREAM_LOW_WATER;
    if (s->blocked) {
        update_poll(s);
    } else if (buf_len(&s->out)) {
        loop_defer(base->loop, &s->task);
    }
    return (ssize_t)buf_len(&s->out);
}

static ssize_t fd_queued(const struct stream *base)
{
    return (ssize_t)buf_len(&((const struct fd_stream *)base)->out);
}

static void fd_flush(struct stream *base)
{
    struct fd_stream *s = (struct fd_stream *)base;
    if (s->blocked || s->failed) {
        return;
    }
    flush_now(s);
    if (s->drain) {
        loop_defer(base->loop, &s->task); /* on_drain must not come inside */
    } else if (!s->failed) {
        io_task_cancel(&s->task);
        update_poll(s);
    }
}

static void fd_read_start(struct stream *base)
{
    struct fd_stream *s = (struct fd_stream *)base;
    s->reading = true;
    update_poll(s);
}

static void fd_read_stop(struct stream *base)
{
    struct fd_stream *s = (struct fd_stream *)base;
    s->reading = false;
    update_poll(s);
}

static void fd_shutdown(struct stream *base)
{
    struct fd_stream *s = (struct fd_stream *)base;
    if (!s->ending) {
        s->ending = true;
        loop_defer(base->loop, &s->task);
    }
}

static void on_closed(uv_handle_t *h)
{
    mem_free(h->data);
}

static void fd_close(struct stream *base)
{
    struct fd_stream *s = (struct fd_stream *)base;
    if (!s->failed && !s->blocked && buf_len(&s->out)) {
        (void)!write(s->wfd, buf_data(&s->out), buf_len(&s->out)); /* a last try; loss is allowed */
    }
    io_task_cancel(&s->task);
    buf_fini(&s->out);
    if (s->wfd != s->fd) {
        io_poll_close(s->wpoll);
        (void)close(s->wfd); /* nothing can be done about a failing close */
    }
    uv_close((uv_handle_t *)&s->poll, on_closed);
    (void)close(s->fd);
    s->fd = s->wfd = -EBADF;
}

static void tcp_address(int fd, char out[64])
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    char host[INET6_ADDRSTRLEN] = "";
    if (getpeername(fd, (struct sockaddr *)&ss, &len) < 0) {
        return;
    }
    if (ss.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
        (void)inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
        (void)snprintf(out, 64, "%s:%u", host, ntohs(in->sin_port));
    } else if (ss.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)&ss;
        bool mapped = IN6_IS_ADDR_V4MAPPED(&in->sin6_addr);
        (void)inet_ntop(mapped ? AF_INET : AF_INET6,
                        mapped ? (const void *)&in->sin6_addr.s6_addr[12]
                               : (const void *)&in->sin6_addr,
                        host, sizeof host);
        (void)snprintf(out, 64, mapped ? "%s:%u" : "[%s]:%u", host, ntohs(in->sin6_port));
    }
}

static void fd_get_peer(struct stream *base, struct stream_peer *ret)
{
    struct fd_stream *s = (struct fd_stream *)base;
    ret->kind = s->kind;
    if (s->kind == STREAM_TCP) {
        tcp_address(s->fd, ret->address);
    } else if (s->kind == STREAM_UNIX) {
        struct ucred cred;
        socklen_t len = sizeof cred;
        (void)cstr_copy(ret->address, sizeof ret->address, "unix"); /* fits */
        if (getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0) {
            ret->pid = cred.pid;
            ret->uid = cred.uid;
            ret->gid = cred.gid;
        }
    }
}

static const struct stream_ops fd_ops = {
    .writev = fd_writev,
    .queued = fd_queued,
    .flush = fd_flush,
    .read_start = fd_read_start,
    .read_stop = fd_read_stop,
    .shutdown = fd_shutdown,
    .close = fd_close,
    .get_peer = fd_get_peer,
};

static void set_tcp_options(int fd)
{
    int on = 1, idle = 300, every = 30,
        tries = 4; /* seconds: an idle link of a node is to be cheap */
    /* Improvements, not needs: a kernel that refuses one is fine. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &every, sizeof every);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
}

static int set_nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    return flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 ? -errno : 0;
}

int fd_stream_new(struct io_loop *l, int fd, int wfd, enum stream_kind kind, struct stream **ret)
{
    CLEANUP(mem_freep) struct fd_stream *s = mem_zalloc(sizeof *s);
    bool two = wfd >= 0 && wfd != fd;
    int rc = s ? set_nonblocking(fd) : -ENOMEM;
    rc = rc == 0 && two ? set_nonblocking(wfd) : rc;
    rc = rc == 0 && two ? io_poll_new(l, wfd, on_writable, s, &s->wpoll) : rc;
    rc = rc == 0 ? uv_poll_init(&l->uv, &s->poll, fd) : rc;
    if (rc < 0) {
        io_poll_close(s ? s->wpoll : NULL);
        (void)close(fd);
        if (two) {
            (void)close(wfd);
        }
        return rc;
    }
    if (kind == STREAM_TCP) {
        set_tcp_options(fd);
    }
    stream_init(&s->base, &fd_ops, l);
    io_task_init(&s->task, on_task, s);
    s->poll.data = s;
    s->fd = fd;
    s->wfd = two ? wfd : fd;
    s->kind = kind;
    *ret = &TAKE_PTR(s)->base;
    return 0;
}

int stream_from_fd(struct io_loop *l, int fd, int write_fd, struct stream **ret)
{
    int type = 0;
    socklen_t len = sizeof type;
    bool is_socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &type, &len) == 0;
    enum stream_kind kind = !is_socket ? STREAM_FD : type == AF_UNIX ? STREAM_UNIX : STREAM_TCP;
    return fd_stream_new(l, fd, write_fd, kind, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners of TCP and Unix sockets; see tcp.h. Connecting is in connect.c. */
#include "tcp.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/str.h"
#include "io/fd_stream.h"
#include "io/loop.h"

#define BACKLOG 1024
#define ACCEPTS_PER_EVENT 64
#define NO_DESCRIPTORS_PAUSE_MS 100

struct listener {
    struct io_loop *loop;
    int fd;
    enum stream_kind kind;
    struct io_poll *poll;
    struct io_timer resume; /* after descriptors ran out */
    struct io_task free_task;
    listener_accept_fn *on_accept;
    void *arg;
    char *path; /* of a Unix socket */
    bool closed, paused;
};

static void update_poll(struct listener *ln)
{
    io_poll_set(ln->poll, ln->paused || io_timer_active(&ln->resume) ? 0 : IO_READABLE);
}

static void on_resume(void *arg)
{
    update_poll(arg);
}

static bool accept_one(struct listener *ln)
{
    int fd = accept4(ln->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            io_timer_start(&ln->resume, NO_DESCRIPTORS_PAUSE_MS, 0);
            update_poll(ln);
            return false;
        }
        return errno == ECONNABORTED || errno == EINTR || errno == EPROTO;
    }
    struct stream *s;
    if (fd_stream_new(ln->loop, fd, -1, ln->kind, &s) == 0) {
        ln->on_accept(ln->arg, s); /* without memory the peer sees a closed connection */
    }
    return true;
}

static void on_readable(void *arg, unsigned events, int code)
{
    struct listener *ln = arg;
    (void)events;
    (void)code; /* accept tells */
    for (int i = 0; i < ACCEPTS_PER_EVENT && !ln->closed && !ln->paused && accept_one(ln); i++) {
    }
}

static void free_listener(void *arg)
{
    mem_free(arg);
}

/* Takes fd, also on failure. */
static int start(struct io_loop *l, int fd_taken, enum stream_kind kind,
                 listener_accept_fn *on_accept, void *arg, struct listener **ret)
{
    CLEANUP(fd_closep) int fd = fd_taken;
    CLEANUP(mem_freep) struct listener *ln = mem_zalloc(sizeof *ln);
    if (!ln) {
        return -ENOMEM;
    }
    *ln = (struct listener){
        .loop = l, .fd = -EBADF, .kind = kind, .on_accept = on_accept, .arg = arg};
    if (listen(fd, BACKLOG) < 0) {
        return -errno;
    }
    int rc = io_poll_new(l, fd, on_readable, ln, &ln->poll);
    if (rc < 0) {
        return rc;
    }
    io_timer_init(l, &ln->resume, on_resume, ln);
    io_task_init(&ln->free_task, free_listener, ln);
    ln->fd = TAKE_FD(fd);
    io_poll_set(ln->poll, IO_READABLE);
    *ret = TAKE_PTR(ln);
    return 0;
}

static int bind_any(uint16_t port, int *ret_fd)
{
    int off = 0, on = 1;
    CLEANUP(fd_closep) int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    if (fd < 0 || setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, (struct sockaddr *)&in6, sizeof in6) < 0) {
        return -errno;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

static int bind_address(const char *host, uint16_t port, int *ret_fd)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    bool any = !host || !*host;
    if (any && bind_any(port, ret_fd) == 0) {
        return 0;
    }
    bool v4 = any || inet_pton(AF_INET, host, &in.sin_addr) == 1;
    if (!v4 && inet_pton(AF_INET6, host, &in6.sin6_addr) != 1) {
        return -EINVAL;
    }
    int on = 1;
    CLEANUP(fd_closep)
    int fd = socket(v4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(fd, v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6,
             v4 ? sizeof in : sizeof in6) < 0) {
        return -errno;
    }
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int tcp_listen(struct io_loop *l, const char *host, uint16_t port, listener_accept_fn *on_accept,
               void *arg, struct listener **ret, struct err *err)
{
    int fd = -EBADF;
    int rc = bind_address(host, port, &fd);
    rc = rc == 0 ? start(l, fd, STREAM_TCP, on_accept, arg, ret) : rc;
    return rc < 0 ? err_sys(err, rc, "listen on %s:%u", host && *host ? host : "*", port) : 0;
}

/* Removes a socket file that nobody listens on; -EADDRINUSE when somebody does. */
static int remove_stale(const struct sockaddr_un *un)
{
    struct stat st;
    if (lstat(un->sun_path, &st) < 0) {
        return errno == ENOENT ? 0 : -errno;
    }
    if (!S_ISSOCK(st.st_mode)) {
        return -EEXIST;
    }
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (connect(fd, (const struct sockaddr *)un, sizeof *un) == 0 || errno == EAGAIN) {
        return -EADDRINUSE;
    }
    return unlink(un->sun_path) < 0 && errno != ENOENT ? -errno : 0;
}

int unix_listen(struct io_loop *l, const char *path, unsigned mode, listener_accept_fn *on_accept,
                void *arg, struct listener **ret, struct err *err)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    struct listener *ln = NULL;
    if (!cstr_copy(un.sun_path, sizeof un.sun_path, path)) {
        return err_set(err, -ENAMETOOLONG, "listen on '%s': the path is too long", path);
    }
    int rc = remove_stale(&un);
    CLEANUP(mem_freep) char *copy = mem_strdup(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    rc = rc == 0 && !copy ? -ENOMEM : rc;
    rc = rc == 0 && fd < 0 ? -errno : rc;
    /* Nobody can connect before listen(), so the mode is right from the start. */
    if (rc == 0 && (bind(fd, (struct sockaddr *)&un, sizeof un) < 0 || chmod(path, mode) < 0)) {
        rc = -errno;
    }
    if (rc < 0) {
        fd_closep(&fd);
        return err_sys(err, rc, "listen on '%s'", path);
    }
    rc = start(l, fd, STREAM_UNIX, on_accept, arg, &ln);
    if (rc < 0) {
        (void)unlink(path); /* may be gone already */
        return err_sys(err, rc, "listen on '%s'", path);
    }
    ln->path = TAKE_PTR(copy);
    *ret = ln;
    return 0;
}

uint16_t listener_port(const struct listener *ln)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof ss;
    if (getsockname(ln->fd, (struct sockaddr *)&ss, &len) < 0) {
        return 0;
    }
    return ss.ss_family == AF_INET    ? ntohs(((struct sockaddr_in *)&ss)->sin_port)
           : ss.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&ss)->sin6_port)
                                      : 0;
}

void listener_pause(struct listener *ln, bool paused)
{
    ln->paused = paused;
    update_poll(ln);
}

void listener_close(struct listener *ln)
{
    if (!ln) {
        return;
    }
    ln->closed = true;
    io_timer_stop(&ln->resume);
    io_poll_close(ln->poll);
    (void)close(ln->fd);
    if (ln->path) {
        (void)unlink(ln->path); /* may be gone already */
        mem_free(ln->path);
    }
    loop_defer(ln->loop, &ln->free_task);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attaching through conmon: <bundle>/attach is a SOCK_SEQPACKET socket. Each packet from conmon is
 * one byte (2 = stdout, 3 = stderr) and output; each packet to it is input, of which it reads 32 kB
 * at most. <bundle>/winsz is a fifo that takes lines "<rows> <columns>".
 */
#include "runtime/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"
#include "runtime/container_private.h"

#define PACKET ((size_t)8 << 10)
#define OUT_HIGH ((size_t)64 << 10)
#define PACKETS_PER_EVENT 16

enum { CONMON_STDOUT = 2, CONMON_STDERR = 3 };

struct attach {
    const struct attach_events *ev;
    void *arg;
    struct io_loop *loop;
    int fd;
    struct io_poll *poll;
    struct io_task free_task;
    struct buf out;
    bool paused, full, ending, shut, ended, closed;
};

static void update_poll(struct attach *a)
{
    unsigned want = (a->paused || a->ended ? 0u : (unsigned)IO_READABLE) |
                    (buf_len(&a->out) && !a->ended ? (unsigned)IO_WRITABLE : 0u);
    io_poll_set(a->poll, want);
}

static void end(struct attach *a)
{
    if (!a->ended) {
        a->ended = true;
        a->ev->ended(a->arg);
    }
}

/* ---- output ---- */

static bool read_packet(struct attach *a)
{
    char packet[PACKET + 64];
    ssize_t n = recv(a->fd, packet, sizeof(packet), MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return false;
    }
    if (n <= 0) {
        end(a);
        return false;
    }
    if (n > 1 && (packet[0] == CONMON_STDOUT || packet[0] == CONMON_STDERR)) {
        a->ev->output(a->arg, packet[0] - 1, str_n(packet + 1, (size_t)n - 1));
    }
    return true;
}

/* ---- input ---- */

static void write_some(struct attach *a)
{
    while (buf_len(&a->out)) {
        size_t piece = MIN_OF(buf_len(&a->out), PACKET);
        ssize_t n = send(a->fd, buf_data(&a->out), piece, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        /* A container that takes no more input: the rest is dropped, as by a closed pipe. */
        buf_consume(&a->out, n < 0 ? buf_len(&a->out) : (size_t)n);
    }
    if (a->ending && !a->shut) {
        a->shut = true;
        (void)shutdown(a->fd, SHUT_WR); /* conmon may be gone: reading tells */
    }
}

static void on_ready(void *arg, unsigned events, int code)
{
    struct attach *a = arg;
    if (events & IO_WRITABLE) {
        write_some(a);
        if (a->full && buf_len(&a->out) < OUT_HIGH / 2) {
            a->full = false;
            a->ev->drained(a->arg);
        }
    }
    for (int i = 0; i < PACKETS_PER_EVENT && !a->closed && !a->paused && !a->ended; i++) {
        if (!read_packet(a)) {
            break;
        }
    }
    if (code < 0 && !a->closed) {
        end(a);
    }
    if (!a->closed) {
        update_poll(a);
    }
}

bool attach_send(struct attach *a, struct str data)
{
    if (a->ending || a->ended || buf_append_str(&a->out, data) < 0) {
        return false; /* without memory the input is cut short, not the agent */
    }
    write_some(a);
    a->full = buf_len(&a->out) >= OUT_HIGH;
    update_poll(a);
    return a->full;
}

void attach_end_input(struct attach *a)
{
    a->ending = true;
    write_some(a);
    update_poll(a);
}

void attach_pause(struct attach *a, bool paused)
{
    a->paused = paused;
    update_poll(a);
}

/* ---- life ---- */

/* Through a descriptor of the folder, since the path may be longer than a socket's name may be. */
static int connect_to(const struct container *c, int fd)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    CLEANUP(fd_closep) int dir = open(c->bundle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return -errno;
    }
    (void)snprintf(at.sun_path, sizeof(at.sun_path), "/proc/self/fd/%d/attach", dir);
    return connect(fd, (const struct sockaddr *)&at, sizeof(at)) < 0 ? -errno : 0;
}

static void free_task(void *arg)
{
    struct attach *a = arg;
    buf_fini(&a->out);
    mem_free(a);
}

int attach_open(struct container *c, const struct attach_events *ev, void *arg, struct attach **ret,
                struct err *err)
{
    if (c->st.state != CONTAINER_RUNNING) {
        return err_set(err, -E_CONFLICT, "container %s is not running", c->st.name);
    }
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int rc = fd < 0 ? -errno : connect_to(c, fd);
    struct attach *a = rc < 0 ? NULL : mem_zalloc(sizeof(*a));
    if (!a) {
        return err_sys(err, rc < 0 ? rc : -ENOMEM, "attach to container %s", c->st.name);
    }
    a->ev = ev;
    a->arg = arg;
    a->loop = c->rt->loop;
    a->paused = true;
    a->fd = fd;
    io_task_init(&a->free_task, free_task, a);
    rc = io_poll_new(a->loop, fd, on_ready, a, &a->poll);
    if (rc < 0) {
        mem_free(a);
        return err_sys(err, rc, "attach to container %s", c->st.name);
    }
    update_poll(a);
    (void)TAKE_FD(fd);
    *ret = a;
    return 0;
}

void attach_close(struct attach *a)
{
    if (a) {
        a->closed = true;
        io_poll_close(a->poll);
        fd_closep(&a->fd);
        loop_defer(a->loop, &a->free_task);
    }
}

void container_resize(struct container *c, uint16_t rows, uint16_t cols)
{
    char path[PATH_MAX], line[32];
    (void)snprintf(path, sizeof(path), "%s/winsz", c->bundle);
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
    int n = snprintf(line, sizeof(line), "%u %u\n", rows, cols);
    if (fd >= 0 && c->tty) {
        (void)!write(fd, line, (size_t)n); /* a container that is ending does not care */
    }
}

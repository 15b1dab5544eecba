/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a process that need not be our child, by its pidfd; see process.h. */
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/loop.h"
#include "process.h"

struct io_pidwatch {
    struct io_loop *loop;
    pid_t pid;
    int pidfd; /* -EBADF: gone already at the start */
    struct io_poll *poll;
    struct io_task gone_task;
    void (*gone)(void *arg);
    void *arg;
    bool told;
};

uint64_t process_start_time(pid_t pid)
{
    char path[32];
    CLEANUP(mem_freep) char *text = NULL;
    size_t n;
    uint64_t start = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (file_read(path, 8192, &text, &n, NULL) < 0) {
        return 0;
    }
    struct str rest, field;
    /* The name in parentheses may hold anything: fields count from the last ')', which ends
     * field 2. */
    if (!str_rcut(str_n(text, n), ')', &field, &rest)) {
        return 0;
    }
    rest = str_trim(rest);
    for (int i = 3; i <= 22; i++) {
        (void)str_cut(rest, ' ', &field, &rest);
    }
    return str_u64(field, &start) == 0 ? start : 0;
}

static void tell(struct io_pidwatch *w)
{
    w->told = true;
    io_poll_close(w->poll);
    w->poll = NULL;
    w->gone(w->arg);
}

static void on_readable(void *arg, unsigned events, int code)
{
    (void)events;
    (void)code;
    tell(arg);
}

static void on_gone(void *arg)
{
    tell(arg);
}

static int open_process(pid_t pid, uint64_t start_time)
{
    int fd = pidfd_open(pid, 0);
    if (fd < 0) {
        return errno == ESRCH || errno == EINVAL ? -ESRCH : -errno;
    }
    if (start_time && process_start_time(pid) != start_time) {
        fd_closep(&fd);
        return -ESRCH; /* the pid was given to another */
    }
    return fd;
}

int io_pidwatch_new(struct io_loop *l, pid_t pid, uint64_t start_time, void (*gone)(void *arg),
                    void *arg, struct io_pidwatch **ret, struct err *err)
{
    struct io_pidwatch *w = mem_zalloc(sizeof *w);
    if (!w) {
        return err_set(err, -ENOMEM, "watch process %d: out of memory", (int)pid);
    }
    *w = (struct io_pidwatch){.loop = l, .pid = pid, .gone = gone, .arg = arg};
    io_task_init(&w->gone_task, on_gone, w);
    w->pidfd = open_process(pid, start_time);
    int rc = w->pidfd >= 0 ? io_poll_new(l, w->pidfd, on_readable, w, &w->poll) : w->pidfd;
    if (rc < 0 && rc != -ESRCH) {
        fd_closep(&w->pidfd);
        mem_free(w);
        return err_sys(err, rc, "watch process %d", (int)pid);
    }
    if (rc == 0) {
        io_poll_set(w->poll, IO_READABLE);
    } else {
        w->pidfd = -EBADF;
        loop_defer(l, &w->gone_task);
    }
    *ret = w;
    return 0;
}

int io_pidwatch_kill(struct io_pidwatch *w, int signum)
{
    if (w->pidfd < 0 || w->told) {
        return -ESRCH;
    }
    return pidfd_send_signal(w->pidfd, signum, NULL, 0) < 0 ? -errno : 0;
}

void io_pidwatch_close(struct io_pidwatch *w)
{
    if (w) {
        io_poll_close(w->poll);
        io_task_cancel(&w->gone_task);
        fd_closep(&w->pidfd);
        mem_free(w);
    }
}

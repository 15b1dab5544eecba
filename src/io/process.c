/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting children; see process.h. Between fork and exec only async-signal-safe calls are made, on
 * data that was prepared before. A failure there comes back through a close-on-exec pipe.
 */
#include "process.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/loop_private.h"
#include "io/stream.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define MAX_FDS 64

struct io_process {
    struct io_loop *loop;
    struct list orphan_link; /* on loop->orphans once closed while the child runs */
    pid_t pid;
    int pidfd;
    struct io_poll *poll;
    io_exit_fn *exit_fn;
    void *arg;
    int pipes[3]; /* our ends, until somebody takes them */
    bool exited, closed;
};

/* All that the child needs, prepared before the fork. */
struct plan {
    const struct io_process_config *cfg;
    const char *path;
    const char *const *env;
    int from[MAX_FDS], to[MAX_FDS];
    size_t n;
    int report; /* write end of the error pipe */
};

struct report {
    int code;
    const char *step; /* literals lie at the same address in both processes */
};

static const char *env_path(const char *const *env)
{
    for (; env && *env; env++) {
        if (strncmp(*env, "PATH=", 5) == 0) {
            return *env + 5;
        }
    }
    return DEFAULT_PATH;
}

/* The file to execute, heap. */
static int find_program(const char *name, const char *path, char **ret, struct err *err)
{
    if (strchr(name, '/')) {
        *ret = mem_strdup(name);
        return *ret ? 0 : err_set(err, -ENOMEM, "start '%s': out of memory", name);
    }
    struct str rest = str_of(path), dir;
    while (rest.n) {
        (void)str_cut(rest, ':', &dir, &rest);
        char *file = mem_printf(STR_FMT "/%s", STR_ARG(dir), name);
        if (!file) {
            return err_set(err, -ENOMEM, "start '%s': out of memory", name);
        }
        if (dir.n && access(file, X_OK) == 0) {
            *ret = file;
            return 0;
        }
        mem_free(file);
    }
    return err_set(err, -ENOENT, "start '%s': no such program in %s", name, path);
}

__attribute__((noreturn)) static void child_failed(const struct plan *p, const char *step)
{
    struct report r = {.code = -errno, .step = step};
    (void)!write(p->report, &r, sizeof r); /* smaller than PIPE_BUF; nobody else to tell */
    _exit(127);
}

static void child_fds(const struct plan *p)
{
    int high[MAX_FDS], floor = 3;
    for (size_t i = 0; i < p->n; i++) {
        floor = MAX_OF(floor, p->to[i] + 1);
    }
    (void)close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* old kernels: ours are close-on-exec anyway */
    for (size_t i = 0; i < p->n; i++) {
        high[i] = fcntl(p->from[i], F_DUPFD_CLOEXEC, floor);
        if (high[i] < 0) {
            child_failed(p, "duplicate a descriptor");
        }
    }
    for (size_t i = 0; i < p->n; i++) {
        if (p->to[i] == p->report || dup2(high[i], p->to[i]) < 0) {
            child_failed(p, "place a descriptor");
        }
    }
}

static void child_signals(void)
{
    struct sigaction sa = {.sa_handler = SIG_DFL};
    sigset_t none;
    for (int i = 1; i < NSIG; i++) {
        (void)sigaction(i, &sa, NULL); /* KILL and STOP refuse */
    }
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

__attribute__((noreturn)) static void child_main(const struct plan *p, pid_t parent)
{
    const struct io_process_config *c = p->cfg;
    child_signals();
    if ((c->new_session || c->tty) && setsid() < 0) {
        child_failed(p, "start a session");
    }
    child_fds(p);
    if (c->tty && ioctl(0, TIOCSCTTY, 0) < 0) {
        child_failed(p, "take the controlling terminal");
    }
    if (c->die_with_us && (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)) {
        child_failed(p, "tie the process to its parent");
    }
    if (chdir(c->cwd ? c->cwd : "/") < 0) {
        child_failed(p, "enter the working folder");
    }
    (void)execve(p->path, (char *const *)(uintptr_t)c->argv, (char *const *)(uintptr_t)p->env);
    child_failed(p, "execute");
}

/* ---- descriptors ---- */

static int add_fd(struct plan *p, int from, int to)
{
    if (p->n == MAX_FDS) {
        return -E_LIMIT;
    }
    p->from[p->n] = from;
    p->to[p->n++] = to;
    return 0;
}

/* ends[i]: the child's end of a pipe or /dev/null, closed after the fork. */
static int open_stdio(struct io_process *pr, struct plan *p, int ends[3])
{
    for (int i = 0; i < 3; i++) {
        int pair[2], from = p->cfg->stdio[i].fd;
        switch (p->cfg->stdio[i].how) {
        case STDIO_NULL:
            from = ends[i] = open("/dev/null", O_RDWR | O_CLOEXEC);
            break;
        case STDIO_PIPE:
            if (pipe2(pair, O_CLOEXEC) < 0) {
                return -errno;
            }
            from = ends[i] = pair[i == 0 ? 0 : 1];
            pr->pipes[i] = pair[i == 0 ? 1 : 0];
            break;
        case STDIO_INHERIT:
            from = i;
            break;
        case STDIO_FD:
            break;
        }
        if (from < 0) {
            return -errno;
        }
        (void)add_fd(p, from, i); /* the first three fit */
    }
    for (size_t i = 0; i < p->cfg->n_fds; i++) {
        int rc = add_fd(p, p->cfg->fds[i].fd, p->cfg->fds[i].child);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* The report pipe's write end must not stand where the child wants a descriptor. */
static int open_report(struct plan *p, int ret[2])
{
    int pair[2], floor = 3;
    for (size_t i = 0; i < p->n; i++) {
        floor = MAX_OF(floor, p->to[i] + 1);
    }
    if (pipe2(pair, O_CLOEXEC) < 0) {
        return -errno;
    }
    ret[0] = pair[0];
    ret[1] = fcntl(pair[1], F_DUPFD_CLOEXEC, floor);
    int rc = ret[1] < 0 ? -errno : 0;
    (void)close(pair[1]);
    return rc;
}

static int fork_child(struct io_process *pr, struct plan *p, struct err *err)
{
    int fds[2] = {-EBADF, -EBADF};
    struct report r = {0};
    sigset_t all, old;
    int rc = open_report(p, fds);
    if (rc < 0) {
        fd_closep(&fds[0]);
        return err_sys(err, rc, "start '%s'", p->cfg->argv[0]);
    }
    p->report = fds[1];
    pid_t self = getpid();
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old); /* no handler of ours runs in the child */
    pr->pid = fork();
    rc = pr->pid < 0 ? -errno : 0;
    if (pr->pid == 0) {
        child_main(p, self);
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    fd_closep(&fds[1]);
    ssize_t n = 0;
    do {
        n = rc == 0 ? read(fds[0], &r, sizeof r) : 0;
    } while (n < 0 && errno == EINTR);
    fd_closep(&fds[0]);
    if (rc < 0) {
        return err_sys(err, rc, "start '%s'", p->cfg->argv[0]);
    }
    if (n == (ssize_t)sizeof r) {
        (void)waitpid(pr->pid, NULL, 0);
        return err_sys(err, r.code, "start '%s': %s", p->cfg->argv[0], r.step);
    }
    return 0;
}

/* ---- life ---- */

static void free_process(struct io_process *pr)
{
    list_del(&pr->orphan_link);
    io_poll_close(pr->poll);
    fd_closep(&pr->pidfd);
    for (int i = 0; i < 3; i++) {
        fd_closep(&pr->pipes[i]);
    }
    mem_free(pr);
}

static void on_exit_ready(void *arg, unsigned events, int code)
{
    struct io_process *pr = arg;
    int status = 0;
    (void)events;
    (void)code;
    pid_t got = waitpid(pr->pid, &status, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) {
        return;
    }
    pr->exited = true;
    io_poll_close(pr->poll);
    pr->poll = NULL;
    if (pr->closed) {
        free_process(pr);
    } else if (pr->exit_fn) {
        pr->exit_fn(pr->arg, status);
    }
}

static int watch_exit(struct io_process *pr)
{
    pr->pidfd = pidfd_open(pr->pid, 0);
    int rc = pr->pidfd < 0 ? -errno : 0;
    rc = rc == 0 ? io_poll_new(pr->loop, pr->pidfd, on_exit_ready, pr, &pr->poll) : rc;
    if (rc < 0) {
        (void)kill(pr->pid, SIGKILL);
        (void)waitpid(pr->pid, NULL, 0);
        return rc;
    }
    io_poll_set(pr->poll, IO_READABLE);
    return 0;
}

int io_process_spawn(struct io_loop *l, const struct io_process_config *cfg, io_exit_fn *exit_fn,
                     void *arg, struct io_process **ret, struct err *err)
{
    static const char *const default_env[] = {"PATH=" DEFAULT_PATH, NULL};
    int ends[3] = {-EBADF, -EBADF, -EBADF};
    CLEANUP(mem_freep) char *path = NULL;
    struct plan p = {.cfg = cfg, .env = cfg->env ? cfg->env : default_env};
    struct io_process *pr = mem_zalloc(sizeof *pr);
    if (!pr) {
        return err_set(err, -ENOMEM, "start '%s': out of memory", cfg->argv[0]);
    }
    *pr = (struct io_process){.loop = l,
                              .pidfd = -EBADF,
                              .exit_fn = exit_fn,
                              .arg = arg,
                              .pipes = {-EBADF, -EBADF, -EBADF}};
    list_init(&pr->orphan_link);
    int rc = find_program(cfg->argv[0], env_path(p.env), &path, err);
    if (rc == 0) {
        p.path = path;
        rc = open_stdio(pr, &p, ends);
        rc = rc < 0 ? err_sys(err, rc, "start '%s'", cfg->argv[0]) : fork_child(pr, &p, err);
    }
    for (int i = 0; i < 3; i++) {
        fd_closep(&ends[i]);
    }
    if (rc == 0) {
        rc = watch_exit(pr);
        rc = rc < 0 ? err_sys(err, rc, "watch '%s'", cfg->argv[0]) : 0;
    }
    if (rc < 0) {
        free_process(pr);
        return rc;
    }
    *ret = pr;
    return 0;
}

pid_t io_process_pid(const struct io_process *p)
{
    return p->pid;
}

struct stream *io_process_stream(struct io_process *p, int fd)
{
    struct stream *s = NULL;
    if (p->pipes[fd] < 0 || stream_from_fd(p->loop, TAKE_FD(p->pipes[fd]), -1, &s) < 0) {
        return NULL;
    }
    return s;
}

int io_process_kill(struct io_process *p, int signum)
{
    if (p->exited) {
        return -ESRCH;
    }
    return pidfd_send_signal(p->pidfd, signum, NULL, 0) < 0 ? -errno : 0;
}

void io_process_close(struct io_process *p)
{
    if (!p) {
        return;
    }
    if (p->exited) {
        free_process(p); /* also from within exit_fn: it is the last thing that touches p */
        return;
    }
    p->closed = true;
    for (int i = 0; i < 3; i++) {
        fd_closep(&p->pipes[i]);
    }
    list_push_back(&p->loop->orphans, &p->orphan_link);
}

void process_free_orphans(struct io_loop *l)
{
    LIST_FOR_EACH_SAFE (i, &l->orphans) {
        free_process(CONTAINER_OF(i, struct io_process, orphan_link));
    }
}

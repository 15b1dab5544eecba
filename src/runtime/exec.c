/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands in containers by `runc exec`, not detached: its exit status is the command's. With a
 * terminal it gets the other side of our own pty as its three descriptors; it then makes the
 * container's pty, copies between the two and takes the window size from ours on SIGWINCH. The
 * command's own pid comes from --pid-file and is used only to kill it when the client goes away.
 */
#include "runtime/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/process.h"
#include "io/stream.h"
#include "runtime/container_private.h"
#include "runtime/fs.h"

#define EXEC_ARGS_MAX 4096

struct exec {
    struct container *c; /* only read while starting */
    struct runtime *rt;
    char id[CONTAINER_ID_SIZE];
    struct io_process *process;
    exec_exit_fn *on_exit;
    void *arg;
    int master; /* of the pty */
    struct stream *streams[3];
    char base[PATH_MAX - 16]; /* run_dir/exec/<random>: .pid and .log */
    bool ended;
};

/* ---- the end ---- */

static pid_t read_pid(const struct exec *e)
{
    struct arena a;
    uint64_t pid = 0;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s.pid", e->base);
    arena_init(&a, 0);
    char *text = fs_read_text(&a, path, 32);
    if (!text || str_u64(str_of(text), &pid) < 0 || pid > INT_MAX) {
        pid = 0;
    }
    arena_fini(&a);
    return (pid_t)pid;
}

static void remove_files(const struct exec *e)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s.pid", e->base);
    (void)unlink(path); /* may not exist */
    snprintf(path, sizeof(path), "%s.log", e->base);
    (void)unlink(path); /* as above */
}

/* The last "msg" of runc's JSON log: why the command could not be run. */
static void read_failure(const struct exec *e, struct err *err)
{
    struct arena a;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s.log", e->base);
    arena_init(&a, 0);
    char *text = fs_read_text(&a, path, 256 << 10);
    struct str rest = str_of(text), line;
    const char *msg = "the OCI runtime gave no reason";
    while (rest.n > 0) {
        struct json *j = NULL;
        str_cut(rest, '\n', &line, &rest);
        if (json_parse(&a, line, NULL, &j, NULL) == 0 &&
            cstr_eq(json_path_cstr(j, "level", ""), "error")) {
            msg = json_path_cstr(j, "msg", msg);
        }
    }
    err_set(err, -E_INTERNAL, "%s", msg);
    arena_fini(&a);
}

static void on_process_exit(void *arg, int status)
{
    struct exec *e = arg;
    struct err err = {0};
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    e->ended = true;
    if (code != 0 && read_pid(e) == 0) {
        read_failure(e, &err);
        code = -E_INTERNAL;
    }
    remove_files(e);
    e->on_exit(e->arg, code, code < 0 ? &err : NULL);
}

/* True when pid is in this container: a pid file may be older than the reuse of its number. */
static bool in_container(const struct exec *e, pid_t pid)
{
    char path[64];
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
    return pid > 0 && fs_read_at(AT_FDCWD, path, 64 << 10, &b) == 0 &&
           memmem(buf_data(&b), buf_len(&b), e->id, strlen(e->id));
}

void exec_close(struct exec *e)
{
    if (!e) {
        return;
    }
    if (!e->ended) {
        pid_t pid = read_pid(e);
        if (in_container(e, pid)) {
            (void)kill(pid, SIGKILL); /* gone meanwhile is as good */
        }
        if (e->process) {
            (void)io_process_kill(e->process, SIGKILL); /* as above */
        }
        remove_files(e);
    }
    io_process_close(e->process);
    for (int i = 0; i < 3; i++) {
        stream_close(e->streams[i]);
    }
    fd_closep(&e->master);
    mem_free(e);
}

/* ---- the beginning ---- */

static int open_terminal(struct exec *e, const struct exec_config *cfg, int *ret_slave,
                         struct err *err)
{
    struct winsize size = {.ws_row = cfg->rows ? cfg->rows : 24,
                           .ws_col = cfg->cols ? cfg->cols : 80};
    int slave;
    if (openpty(&e->master, &slave, NULL, NULL, &size) < 0) {
        return err_sys(err, -errno, "open a terminal");
    }
    *ret_slave = slave;
    /* runc sets its side raw; ours must not echo in between. */
    struct termios t;
    if (tcgetattr(slave, &t) == 0) {
        cfmakeraw(&t);
        (void)tcsetattr(slave, TCSANOW, &t); /* cannot fail on a fresh pty */
    }
    return fcntl(e->master, F_SETFD, FD_CLOEXEC) < 0 || fcntl(slave, F_SETFD, FD_CLOEXEC) < 0
               ? err_sys(err, -errno, "open a terminal")
               : 0;
}

/* One stream a direction, so that either can be closed alone. */
static int terminal_streams(struct exec *e, const struct exec_config *cfg, struct err *err)
{
    for (int i = 0; i < 2; i++) {
        if (i == 0 && !cfg->stdin_open) {
            continue;
        }
        int fd = fcntl(e->master, F_DUPFD_CLOEXEC, 3);
        int r = fd < 0 ? -errno : stream_from_fd(e->rt->loop, fd, -1, &e->streams[i]);
        if (r < 0) {
            return err_sys(err, r, "open a terminal");
        }
    }
    return 0;
}

static int build_args(struct exec *e, const struct exec_config *cfg, struct arena *a,
                      const char *const **ret, struct err *err)
{
    size_t n = 0, at = 0;
    while (cfg->argv[n]) {
        n++;
    }
    if (n == 0 || n > EXEC_ARGS_MAX) {
        return err_set(err, -E_INVAL, n == 0 ? "no command specified" : "too many arguments");
    }
    const char **argv = arena_zalloc(a, (n + 16) * sizeof(*argv));
    if (argv) {
        argv[at++] = e->rt->oci_path;
        argv[at++] = "--root";
        argv[at++] = arena_printf(a, "%s/oci", e->rt->run_dir);
        argv[at++] = "--log";
        argv[at++] = arena_printf(a, "%s.log", e->base);
        argv[at++] = "--log-format";
        argv[at++] = "json";
        argv[at++] = "exec";
        argv[at++] = "--pid-file";
        argv[at++] = arena_printf(a, "%s.pid", e->base);
        if (cfg->tty) {
            argv[at++] = "-t";
        }
        argv[at++] = "--";
        argv[at++] = e->id;
        memcpy(argv + at, cfg->argv, n * sizeof(*argv));
    }
    *ret = argv;
    return arena_failed(a) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int spawn(struct exec *e, const struct exec_config *cfg, int slave, struct err *err)
{
    struct arena a;
    const char *const *argv = NULL;
    arena_init(&a, 0);
    struct io_process_config pc = {.stdio = {{.how = cfg->stdin_open ? STDIO_PIPE : STDIO_NULL},
                                             {.how = cfg->no_stdout ? STDIO_NULL : STDIO_PIPE},
                                             {.how = cfg->no_stderr ? STDIO_NULL : STDIO_PIPE}}};
    for (int i = 0; i < 3 && cfg->tty; i++) {
        pc.stdio[i].how = STDIO_FD;
        pc.stdio[i].fd = slave;
    }
    pc.tty = cfg->tty;
    pc.die_with_us = true;
    int r = build_args(e, cfg, &a, &argv, err);
    pc.argv = argv;
    r = r == 0 ? io_process_spawn(e->rt->loop, &pc, on_process_exit, e, &e->process, err) : r;
    for (int i = 0; i < 3 && r == 0 && !cfg->tty; i++) {
        if (pc.stdio[i].how == STDIO_PIPE) {
            e->streams[i] = io_process_stream(e->process, i);
        }
    }
    arena_fini(&a);
    return r;
}

int exec_start(struct container *c, const struct exec_config *cfg, exec_exit_fn *on_exit, void *arg,
               struct exec **ret, struct err *err)
{
    char name[17];
    if (c->st.state != CONTAINER_RUNNING) {
        return err_set(err, -E_CONFLICT, "container %s is not running", c->st.name);
    }
    struct exec *e = mem_zalloc(sizeof(*e));
    if (!e) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    e->rt = c->rt;
    e->master = -EBADF;
    e->on_exit = on_exit;
    e->arg = arg;
    memcpy(e->id, c->id, sizeof(e->id));
    random_name(name, 16);
    snprintf(e->base, sizeof(e->base), "%s/exec/%s", c->rt->run_dir, name);
    CLEANUP(fd_closep) int slave = -EBADF;
    int r = cfg->tty ? open_terminal(e, cfg, &slave, err) : 0;
    r = r == 0 && cfg->tty ? terminal_streams(e, cfg, err) : r;
    r = r == 0 ? spawn(e, cfg, slave, err) : r;
    if (r < 0) {
        exec_close(e);
        return r;
    }
    *ret = e;
    return 0;
}

struct stream *exec_stream(struct exec *e, int fd)
{
    return fd >= 0 && fd < 3 ? TAKE_PTR(e->streams[fd]) : NULL;
}

/* crun does not hand the size on: the terminal that the command itself has is set. Only a pts is
 * opened. */
static void resize_inside(const struct exec *e, const struct winsize *size)
{
    char path[64];
    struct stat st;
    pid_t pid = read_pid(e);
    snprintf(path, sizeof(path), "/proc/%d/fd/0", (int)pid);
    if (!in_container(e, pid) || stat(path, &st) < 0 || !S_ISCHR(st.st_mode) ||
        major(st.st_rdev) < 136 || major(st.st_rdev) > 143) {
        return;
    }
    CLEANUP(fd_closep) int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (fd >= 0) {
        (void)ioctl(fd, TIOCSWINSZ, size); /* the command may be gone */
    }
}

void exec_resize(struct exec *e, uint16_t rows, uint16_t cols)
{
    const struct winsize size = {.ws_row = rows, .ws_col = cols};
    if (e->master >= 0 && !e->ended && ioctl(e->master, TIOCSWINSZ, &size) == 0) {
        (void)io_process_kill(e->process, SIGWINCH); /* the kernel tells only a foreground group */
        if (!cstr_eq(e->rt->oci_name, "runc")) {
            resize_inside(e, &size);
        }
    }
}

/* ---- captured ---- */

static void capture_free(struct exec_capture *q)
{
    exec_close(TAKE_PTR(q->exec));
    for (int i = 0; i < 2; i++) {
        stream_close(TAKE_PTR(q->streams[i]));
    }
    io_timer_stop(&q->timer);
}

static void capture_finish(void *arg)
{
    struct exec_capture *q = arg;
    struct buf output = q->output;
    int code = q->code;
    capture_free(q);
    q->op.done(&q->op, code);
    buf_fini(&output);
}

static void capture_end(struct exec_capture *q, int code)
{
    if (!io_task_pending(&q->finish)) {
        q->code = code;
        io_task_init(&q->finish, capture_finish, q);
        loop_defer(q->loop, &q->finish);
    }
}

static void capture_check(struct exec_capture *q)
{
    if (q->exited && !q->streams[0] && !q->streams[1]) {
        capture_end(q, q->code);
    }
}

static void capture_read(void *arg, const char *data, size_t n)
{
    struct exec_capture *q = arg;
    size_t room = q->max_output - MIN_OF(buf_len(&q->output), q->max_output);
    (void)buf_append(&q->output, data, MIN_OF(n, room)); /* sticky; the output is then shorter */
}

static void capture_eof(struct exec_capture *q, int i)
{
    stream_close(TAKE_PTR(q->streams[i]));
    capture_check(q);
}

static void eof0(void *arg)
{
    capture_eof(arg, 0);
}

static void eof1(void *arg)
{
    capture_eof(arg, 1);
}

static void error0(void *arg, int code)
{
    capture_eof(arg, 0);
}

static void error1(void *arg, int code)
{
    capture_eof(arg, 1);
}

static const struct stream_events capture_events[2] = {
    {.on_read = capture_read, .on_eof = eof0, .on_error = error0},
    {.on_read = capture_read, .on_eof = eof1, .on_error = error1},
};

#define LINGER_MS 1000 /* for what a grandchild keeps open */

static void capture_exit(void *arg, int code, const struct err *err)
{
    struct exec_capture *q = arg;
    q->exited = true;
    q->exit_code = MAX_OF(code, 0);
    q->code = MIN_OF(code, 0);
    if (err) {
        q->op.err = *err;
    }
    io_timer_start(&q->timer, LINGER_MS, 0);
    capture_check(q);
}

static void capture_timeout(void *arg)
{
    struct exec_capture *q = arg;
    capture_end(q, q->exited ? q->code : err_set(&q->op.err, -E_TIMEOUT, "the command timed out"));
}

void exec_capture(struct container *c, const char *const *argv, int64_t timeout_us,
                  size_t max_output, struct exec_capture *q)
{
    const struct exec_config cfg = {.argv = argv};
    q->loop = c->rt->loop;
    q->output = BUF_INIT;
    q->max_output = max_output;
    q->exited = false;
    q->exit_code = 0;
    q->exec = NULL;
    q->streams[0] = q->streams[1] = NULL;
    io_task_init(&q->finish, capture_finish, q);
    io_timer_init(q->loop, &q->timer, capture_timeout, q);
    int r = exec_start(c, &cfg, capture_exit, q, &q->exec, &q->op.err);
    if (r < 0) {
        capture_end(q, r);
        return;
    }
    for (int i = 0; i < 2; i++) {
        q->streams[i] = exec_stream(q->exec, i + 1);
        stream_set_events(q->streams[i], &capture_events[i], q);
        stream_read_start(q->streams[i]);
    }
    if (timeout_us > 0) {
        io_timer_start(&q->timer, MAX_OF(timeout_us / 1000, (int64_t)1), 0);
    }
}

void exec_capture_cancel(struct exec_capture *q)
{
    if (q->exec) {
        capture_end(q, err_set(&q->op.err, -E_CANCELED, "cancelled"));
    }
}

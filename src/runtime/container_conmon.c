/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The start of a container through conmon:
 *
 *   conmon forks, its parent writes conmon.pid and ends      -> on_forked
 *   conmon runs `runc create`, writes {"pid":N} or
 *     {"pid":-1,"message":"..."} to the sync pipe            -> on_sync
 *   both have come: `runc start`                             -> on_started
 *
 * conmon then stays, writes the log, and at the end run_dir/exits/<id> with the exit code.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "io/stream.h"
#include "runtime/container_private.h"
#include "runtime/fs.h"

#define CREATE_TIMEOUT_MS 120000
#define SYNC_MAX ((size_t)64 << 10)

struct conmon_start {
    struct container *c;
    conmon_done_fn *done;
    struct io_process *process; /* conmon's parent */
    struct stream *sync;
    struct io_run *run;
    struct io_timer timer;
    struct io_task end_task;
    struct buf text;
    struct err err;
    bool forked, created;
    int code;
};

/* ---- small readings ---- */

pid_t conmon_read_pid(const struct container *c, const char *name)
{
    struct arena a;
    uint64_t pid = 0;
    arena_init(&a, 0);
    char *path = fs_join(&a, c->bundle, name);
    char *text = path ? fs_read_text(&a, path, 32) : NULL;
    if (!text || str_u64(str_of(text), &pid) < 0 || pid > INT_MAX) {
        pid = 0;
    }
    arena_fini(&a);
    return (pid_t)pid;
}

bool conmon_not_started(const struct container *c)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/oci/%s/exec.fifo", c->rt->run_dir, c->id);
    return access(path, F_OK) == 0;
}

bool conmon_is_ours(const struct container *c, pid_t pid)
{
    char path[64];
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    return pid > 0 && fs_read_at(AT_FDCWD, path, 64 << 10, &b) == 0 &&
           memmem(buf_data(&b), buf_len(&b), c->id, strlen(c->id));
}

static int kill_if_ours(void *arg, int dir_fd, const char *name)
{
    const struct container *c = arg;
    uint64_t pid;
    if (str_u64(str_of(name), &pid) == 0 && pid <= INT_MAX && conmon_is_ours(c, (pid_t)pid)) {
        (void)kill((pid_t)pid, SIGKILL); /* it may have ended meanwhile */
    }
    return 0;
}

void conmon_kill_all(const struct container *c)
{
    (void)fs_each(AT_FDCWD, "/proc", kill_if_ours, (void *)(uintptr_t)c); /* never stops early */
}

/* ---- the end of a start ---- */

static void start_free(struct conmon_start *s)
{
    io_process_close(s->process);
    stream_close(s->sync);
    io_run_cancel(s->run);
    io_timer_stop(&s->timer);
    io_task_cancel(&s->end_task);
    buf_fini(&s->text);
    mem_free(s);
}

void conmon_cancel(struct conmon_start *s)
{
    if (s) {
        start_free(s);
    }
}

static void end_task(void *arg)
{
    struct conmon_start *s = arg;
    struct container *c = s->c;
    struct err err = s->err;
    int code = s->code;
    conmon_done_fn *done = s->done;
    c->starting = NULL;
    start_free(s);
    done(c, code, &err);
}

/* In a later tick, since the callers are callbacks of what is freed. The first end counts. */
static void finish(struct conmon_start *s, int code)
{
    if (!io_task_pending(&s->end_task)) {
        s->code = code;
        io_timer_stop(&s->timer);
        loop_defer(s->c->rt->loop, &s->end_task);
    }
}

/* runc logs: time="..." level=error msg="runc create failed: exec: \"/x\": ..." - the text inside
 * msg. */
static void unwrap(char *text)
{
    char *msg = strstr(text, "msg=\""), *to = text;
    if (!msg) {
        return;
    }
    for (char *p = msg + 5; *p && *p != '"'; p++) {
        p += p[0] == '\\' && p[1];
        *to++ = *p == '\n' ? ' ' : *p;
    }
    *to = '\0';
}

static void set_message(struct conmon_start *s, int code, const char *message)
{
    char text[600];
    (void)cstr_copy(text, sizeof(text), message);
    unwrap(text);
    size_t n = strlen(text);
    while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == ' ')) {
        text[--n] = '\0';
    }
    err_set(&s->err, code, "%s", n > 0 ? text : "the OCI runtime gave no reason");
}

/* What conmon itself wrote, when it ended without a word on the sync pipe. */
static void fail_from_log(struct conmon_start *s)
{
    struct arena a;
    arena_init(&a, 0);
    char *path = fs_join(&a, s->c->bundle, "conmon.log");
    char *text = path ? fs_read_text(&a, path, 64 << 10) : NULL;
    set_message(s, -E_INTERNAL, text && text[0] ? text : "conmon ended without a word");
    arena_fini(&a);
    finish(s, -E_INTERNAL);
}

/* ---- runc start ---- */

static void on_started(void *arg, int code, int status, struct str out, struct str err_text)
{
    struct conmon_start *s = arg;
    s->run = NULL;
    if (code < 0) {
        finish(s, err_sys(&s->err, code, "%s start", s->c->rt->oci_name));
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        char text[600];
        snprintf(text, sizeof(text), STR_FMT, STR_ARG(err_text));
        set_message(s, -E_INTERNAL, text);
        finish(s, -E_INTERNAL);
    } else {
        finish(s, 0);
    }
}

static void start_container(struct conmon_start *s)
{
    struct container *c = s->c;
    struct arena a;
    arena_init(&a, 0);
    c->conmon_pid = conmon_read_pid(c, "conmon.pid");
    c->conmon_start_time = process_start_time(c->conmon_pid);
    c->pid_start = process_start_time(c->st.pid);
    struct err err = {0};
    if (cgroup_adopt(c->rt->cgroups, "conmon", c->conmon_pid, &err) < 0) {
        log_debug("container %.12s: %s, ignoring", c->id, err.text);
    }
    const char *const argv[] = {
        c->rt->oci_path, "--root", arena_printf(&a, "%s/oci", c->rt->run_dir),
        "start",         c->id,    NULL};
    const struct io_process_config cfg = {.argv = argv};
    int r = arena_failed(&a) ? err_set(&s->err, -ENOMEM, "out of memory")
                             : io_run_start(c->rt->loop, &cfg, STR_NULL, 64 << 10,
                                            CREATE_TIMEOUT_MS, on_started, s, &s->run, &s->err);
    arena_fini(&a);
    if (r < 0) {
        finish(s, r);
    }
}

/* ---- runc create, by conmon ---- */

static void proceed(struct conmon_start *s)
{
    if (s->forked && s->created && !io_task_pending(&s->end_task)) {
        start_container(s);
    }
}

static void on_line(struct conmon_start *s, struct str line)
{
    struct arena a;
    struct json *j = NULL;
    arena_init(&a, 0);
    int r = json_parse(&a, line, /* opts= */ NULL, &j, /* err= */ NULL);
    int64_t pid = json_i64(json_get(j, "pid"), json_i64(json_get(j, "data"), -1));
    if (r < 0 || pid <= 0) {
        set_message(s, -E_INTERNAL, json_cstr(json_get(j, "message"), ""));
        finish(s, -E_INTERNAL);
    } else {
        s->c->st.pid = (pid_t)pid;
        s->created = true;
        proceed(s);
    }
    arena_fini(&a);
}

static void on_sync_read(void *arg, const char *data, size_t n)
{
    struct conmon_start *s = arg;
    struct str line, rest;
    if (s->created || buf_append(&s->text, data, n) < 0) {
        return;
    }
    if (str_cut(buf_str(&s->text), '\n', &line, &rest)) {
        on_line(s, line);
    }
}

static void on_sync_eof(void *arg)
{
    struct conmon_start *s = arg;
    if (!s->created) {
        if (buf_len(&s->text) > 0) {
            on_line(s, buf_str(&s->text));
        } else {
            fail_from_log(s);
        }
    }
}

static void on_sync_error(void *arg, int code)
{
    on_sync_eof(arg);
}

static const struct stream_events sync_events = {
    .on_read = on_sync_read, .on_eof = on_sync_eof, .on_error = on_sync_error};

static void on_forked(void *arg, int status)
{
    struct conmon_start *s = arg;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        fail_from_log(s);
        return;
    }
    s->forked = true;
    proceed(s);
}

static void on_timeout(void *arg)
{
    struct conmon_start *s = arg;
    conmon_kill_all(s->c);
    finish(s, err_set(&s->err, -E_TIMEOUT, "the container was not created within %d s",
                      CREATE_TIMEOUT_MS / 1000));
}

static int spawn_conmon(struct conmon_start *s, int sync_fd, struct err *err)
{
    struct container *c = s->c;
    struct arena a;
    arena_init(&a, 0);
    const char *argv[40];
    size_t n = 0;
    const char *const fixed[] = {
        c->rt->conmon, "-b", c->bundle, "-c", c->id, "-u", c->id, "-n", c->st.name, "-r",
        c->rt->oci_path, "-p", fs_join(&a, c->bundle, "pid"), "-P",
        fs_join(&a, c->bundle, "conmon.pid"), "--exit-dir",
        arena_printf(&a, "%s/exits", c->rt->run_dir), "-l",
        arena_printf(&a, "k8s-file:%s", c->st.log_path),
        /* We rotate; this bound holds while no agent runs. */
        "--log-size-max",
        arena_printf(&a, "%lld", (long long)(c->rt->log_max_bytes * c->rt->log_max_files)),
        "--no-sync-log", "--full-attach", "--runtime-arg", "--root", "--runtime-arg",
        arena_printf(&a, "%s/oci", c->rt->run_dir)};
    for (; n < ARRAY_SIZE(fixed); n++) {
        argv[n] = fixed[n];
    }
    if (c->tty) {
        argv[n++] = "-t";
    }
    if (c->stdin_open) {
        argv[n++] = "-i";
        if (!c->stdin_once) {
            argv[n++] = "--leave-stdin-open";
        }
    }
    argv[n] = NULL;
    CLEANUP(fd_closep)
    int log = open(arena_failed(&a) ? "" : arena_printf(&a, "%s/conmon.log", c->bundle),
                   O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const struct io_process_fd fds[] = {{.fd = sync_fd, .child = 3}};
    const char *const env[] = {"_OCI_SYNCPIPE=3", "PATH=" RUNTIME_PATH, NULL};
    const struct io_process_config cfg = {
        .argv = argv,
        .env = env,
        .fds = fds,
        .n_fds = ARRAY_SIZE(fds),
        .new_session = true,
        .stdio = {{.how = STDIO_NULL}, {.how = STDIO_FD, .fd = log}, {.how = STDIO_FD, .fd = log}}};
    int r = log < 0 ? err_sys(err, -errno, "create %s/conmon.log", c->bundle)
                    : io_process_spawn(c->rt->loop, &cfg, on_forked, s, &s->process, err);
    arena_fini(&a);
    return r;
}

int conmon_begin(struct container *c, conmon_done_fn *done, struct conmon_start **ret,
                 struct err *err)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return err_sys(err, -errno, "start conmon");
    }
    struct conmon_start *s = mem_zalloc(sizeof(*s));
    if (!s) {
        close(fds[0]);
        close(fds[1]);
        return err_set(err, -ENOMEM, "start conmon: out of memory");
    }
    s->c = c;
    s->done = done;
    buf_init(&s->text, SYNC_MAX);
    io_task_init(&s->end_task, end_task, s);
    io_timer_init(c->rt->loop, &s->timer, on_timeout, s);
    int r = stream_from_fd(c->rt->loop, fds[0], -1, &s->sync);
    if (r < 0) {
        err_sys(err, r, "start conmon");
    } else {
        stream_set_events(s->sync, &sync_events, s);
        stream_read_start(s->sync);
        r = spawn_conmon(s, fds[1], err);
    }
    close(fds[1]);
    if (r < 0) {
        start_free(s);
        return r;
    }
    io_timer_start(&s->timer, CREATE_TIMEOUT_MS, 0);
    *ret = s;
    return 0;
}

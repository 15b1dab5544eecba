/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a container: new, start, exit, stop, release, remove. Adoption is in
 * container_adopt.c, the start in container_conmon.c.
 *
 * Invariants:
 *  1. record.json is on the disk before anything else of the container exists, and is the last
 * thing to go.
 *  2. A signal is sent only through a pidfd, so it never hits another process.
 *  3. The exit callback comes once, on the loop, never inside a function of the user; stops that
 * wait are done after it.
 */
#include "runtime/container.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "runtime/container_private.h"
#include "io/file.h"
#include "runtime/fs.h"

#define KILL_AGAIN_MS 2000

/* ---- reading ---- */

const struct container_status *container_status(const struct container *c)
{
    return &c->st;
}

const char *container_note(const struct container *c)
{
    return c->note;
}

const char *container_bundle(const struct container *c)
{
    return c->bundle;
}

void container_on_exit(struct container *c, container_exit_fn *fn, void *arg)
{
    c->on_exit = fn;
    c->on_exit_arg = arg;
}

static void move(struct container *c, enum container_state to)
{
    sm_move(&c->sm, to);
    c->st.state = to;
}

/* A record that cannot be written costs the next agent some knowledge, not the container its life.
 */
static void save(struct container *c)
{
    struct err err = {0};
    if (record_write(c, &err) < 0) {
        log_warn("container %.12s: %s, ignoring", c->id, err.text);
    }
}

static const char *set_text(struct container *c, const char *text)
{
    char *copy = arena_strdup(&c->a, text);
    return copy ? copy : "";
}

static void finish_all(struct container *c, struct list *ops, int code, const struct err *err)
{
    for (struct list *l = list_pop_front(ops); l; l = list_pop_front(ops)) {
        struct runtime_op *op = CONTAINER_OF(l, struct runtime_op, link);
        if (err && code < 0) {
            op->err = *err;
        }
        runtime_op_finish(c->rt, op, code);
    }
}

/* ---- new ---- */

static const char *const *copy_layers(struct arena *a, const char *const *layers)
{
    size_t n = 0;
    while (layers[n]) {
        n++;
    }
    const char **copy = arena_zalloc(a, (n + 1) * sizeof(*copy));
    for (size_t i = 0; copy && i < n; i++) {
        copy[i] = arena_strdup(a, layers[i]);
    }
    return copy;
}

static int fill(struct container *c, const struct container_config *cfg, struct err *err)
{
    struct container_status *s = &c->st;
    struct arena *a = &c->a;
    uint8_t raw[32];
    random_bytes(raw, sizeof(raw));
    hex_encode(raw, sizeof(raw), c->id);
    sm_init(&c->sm, c->sm.states, c->sm.n, CONTAINER_NEW, c->id);
    s->id = c->id;
    s->pod_uid = arena_strdup(a, cfg->pod_uid);
    s->pod_namespace = arena_strdup(a, cfg->pod_namespace);
    s->pod_name = arena_strdup(a, cfg->pod_name);
    s->name = arena_strdup(a, cfg->name);
    s->attempt = cfg->attempt;
    s->image_name = arena_strdup(a, cfg->image_name ? cfg->image_name : "");
    s->image_id = arena_strdup(a, cfg->image->id);
    s->image_digest = arena_strdup(a, cfg->image->digest);
    s->log_path = runtime_log_path(c->rt, a, cfg->pod_namespace, cfg->pod_name, cfg->pod_uid,
                                   cfg->name, cfg->attempt);
    s->reason = s->message = "";
    s->created_at = wall_now();
    c->layers = copy_layers(a, cfg->image->layers);
    c->note = arena_strdup(a, cfg->note);
    c->tty = cfg->spec.tty;
    c->stdin_open = cfg->stdin_open;
    c->stdin_once = cfg->stdin_once;
    c->bundle = arena_printf(a, "%s/pods/%s/containers/%s/%d", c->rt->state_dir, cfg->pod_uid,
                             cfg->name, cfg->attempt);
    c->cgroup = arena_printf(a, "%s/%s", cfg->spec.cgroup_path, c->id);
    if (!cfg->image->stop_signal[0] || signal_parse(cfg->image->stop_signal, &c->stop_signal) < 0) {
        c->stop_signal = SIGTERM;
    }
    return arena_failed(a) ? err_set(err, -ENOMEM, "out of memory") : 0;
}

static int make_bundle(struct container *c, struct err *err)
{
    char path[PATH_MAX];
    int r = dir_make(c->bundle, 0700, err);
    snprintf(path, sizeof(path), "%s/record.json", c->bundle);
    if (r == 0 && access(path, F_OK) == 0) {
        return err_set(err, -E_EXISTS, "attempt %d exists", c->st.attempt);
    }
    r = r == 0 ? record_write(c, err) : r;
    if (r == 0) {
        const char *slash = strrchr(c->st.log_path, '/');
        snprintf(path, sizeof(path), "%.*s", (int)(slash - c->st.log_path), c->st.log_path);
        r = dir_make(path, 0755, err);
    }
    return r;
}

static int write_config(struct container *c, const struct container_config *cfg, struct err *err)
{
    struct arena a;
    struct json *j = NULL;
    arena_init(&a, 0);
    struct oci_spec spec = cfg->spec;
    spec.rootfs = fs_join(&a, c->bundle, "rootfs");
    spec.cgroup_path = c->cgroup;
    spec.security.user = cfg->image->user;
    char *path = fs_join(&a, c->bundle, "config.json");
    int r = spec.rootfs && path ? oci_spec_build(&spec, &a, &j, err)
                                : err_set(err, -ENOMEM, "out of memory");
    r = r == 0 ? fs_write_json(path, j, 0600, err) : r;
    arena_fini(&a);
    return r;
}

/* The record goes last (invariant 1). */
static int remove_bundle(const char *bundle, struct err *err)
{
    int r = rootfs_remove(bundle, err);
    return r == 0 ? fs_remove_tree(AT_FDCWD, bundle, err) : r;
}

int container_new(struct runtime *rt, const struct container_config *cfg, struct container **ret,
                  struct err *err)
{
    struct container *c = container_alloc(rt);
    if (!c) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    int r = fill(c, cfg, err);
    r = r == 0 ? make_bundle(c, err) : r;
    if (r == 0) {
        r = rootfs_mount(c->bundle, c->layers, err);
        r = r == 0 ? write_config(c, cfg, err) : r;
        if (r < 0) {
            (void)remove_bundle(c->bundle,
                                /* err= */ NULL); /* adoption finds and removes it otherwise */
        }
    }
    if (r < 0) {
        container_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* ---- exit ---- */

/* The exit file: a decimal number; its time is the time of the end. */
static bool read_exit_file(struct container *c)
{
    char path[PATH_MAX];
    struct stat st;
    uint64_t code;
    struct arena a;
    snprintf(path, sizeof(path), "%s/exits/%s", c->rt->run_dir, c->id);
    arena_init(&a, 0);
    char *text = stat(path, &st) == 0 ? fs_read_text(&a, path, 32) : NULL;
    bool ok = text && str_u64(str_of(text), &code) == 0 && code < 256;
    if (ok) {
        c->st.exit_code = (int)code;
        c->st.finished_at.us = (int64_t)st.st_mtim.tv_sec * 1000000 + st.st_mtim.tv_nsec / 1000;
    }
    arena_fini(&a);
    return ok;
}

static void set_reason(struct container *c)
{
    struct cgroup_usage u;
    if (cgroup_usage(c->rt->cgroups, c->cgroup, &u) == 0 && u.oom_kills > 0 &&
        c->st.exit_code != 0) {
        c->st.oom_killed = true;
    }
    c->st.reason = c->st.oom_killed ? "OOMKilled" : c->st.exit_code == 0 ? "Completed" : "Error";
}

void container_set_exited(struct container *c)
{
    if (read_exit_file(c)) {
        if (!c->st.started) { /* it ran and ended before an agent that was killed could note it */
            c->st.started = true;
            c->st.started_at = c->st.created_at;
        }
        set_reason(c);
    } else {
        c->st.exit_code = c->st.started ? 255 : 128;
        c->st.reason = c->st.started ? "Unknown" : "ContainerCannotRun";
        c->st.message =
            c->st.started ? "the end of the container was not observed" : "the start was cut short";
        c->st.finished_at = wall_now();
    }
    c->st.pid = 0;
    move(c, CONTAINER_EXITED);
    save(c);
}

static void close_watches(struct container *c)
{
    io_pidwatch_close(c->watch);
    io_pidwatch_close(c->conmon_watch);
    c->watch = c->conmon_watch = NULL;
    io_timer_stop(&c->stop_timer);
    c->kill_at_ms = INT64_MAX;
}

static void remove_step(struct container *c);

static void exited(struct container *c)
{
    close_watches(c);
    container_set_exited(c);
    if (c->remove_op) {
        finish_all(c, &c->stops, 0, NULL);
        remove_step(c);
        return;
    }
    finish_all(c, &c->stops, 0, NULL); /* deferred: they come after the callback below */
    if (c->on_exit) {
        c->on_exit(c->on_exit_arg, c);
    }
}

static void on_process_gone(void *arg)
{
    struct container *c = arg;
    io_pidwatch_close(c->watch);
    c->watch = NULL;
    if (!c->conmon_watch && c->st.state == CONTAINER_RUNNING) {
        exited(c); /* nobody is left to tell the code */
    }
}

/* conmon ends after it has written the exit file. Without one it was killed: the container itself
 * is then watched. */
static void on_conmon_gone(void *arg)
{
    struct container *c = arg;
    io_pidwatch_close(c->conmon_watch);
    c->conmon_watch = NULL;
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/exits/%s", c->rt->run_dir, c->id);
    if (c->st.state == CONTAINER_RUNNING && (!c->watch || access(path, F_OK) == 0)) {
        exited(c);
    }
}

int container_watch(struct container *c, struct err *err)
{
    int r = 0;
    if (c->conmon_pid > 0) {
        r = io_pidwatch_new(c->rt->loop, c->conmon_pid, c->conmon_start_time, on_conmon_gone, c,
                            &c->conmon_watch, err);
    }
    if (r == 0) {
        r = io_pidwatch_new(c->rt->loop, c->st.pid, c->pid_start, on_process_gone, c, &c->watch,
                            err);
    }
    return r;
}

/* ---- start ---- */

static void stop_begin(struct container *c);

static void on_deleted(void *arg, int code, int status, struct str out, struct str err_text)
{
    struct container *c = arg;
    c->run = NULL;
    struct runtime_op *op = TAKE_PTR(c->start_op);
    int start_code = op->err.code;
    finish_all(c, &c->stops, 0, NULL);
    runtime_op_finish(c->rt, op, start_code);
    if (c->remove_op) {
        remove_step(c);
    }
}

static int run_delete(struct container *c, io_run_fn *done, struct err *err)
{
    struct arena a;
    arena_init(&a, 0);
    const char *const argv[] = {
        c->rt->oci_path, "--root", arena_printf(&a, "%s/oci", c->rt->run_dir), "delete", "--force",
        c->id,           NULL};
    const struct io_process_config cfg = {.argv = argv};
    int r = !c->rt->oci_path ? err_set(err, -E_NOTSUP, "%s", c->rt->problem)
            : arena_failed(&a)
                ? err_set(err, -ENOMEM, "out of memory")
                : io_run_start(c->rt->loop, &cfg, STR_NULL, 64 << 10, 60000, done, c, &c->run, err);
    arena_fini(&a);
    return r;
}

static void start_failed(struct container *c, int code, const struct err *err)
{
    close_watches(c);
    c->start_op->err = *err;
    c->start_op->err.code = code;
    c->st.exit_code = 128;
    c->st.reason = "ContainerCannotRun";
    c->st.message = set_text(c, err->text);
    c->st.finished_at = wall_now();
    c->st.pid = 0;
    move(c, CONTAINER_EXITED);
    save(c);
    if (run_delete(c, on_deleted, /* err= */ NULL) < 0) {
        on_deleted(c, 0, 0, STR_NULL, STR_NULL); /* the release tries again */
    }
}

static void on_conmon_done(struct container *c, int code, const struct err *err)
{
    if (code < 0) {
        start_failed(c, code, err);
        return;
    }
    struct err watch_err = {0};
    c->st.started = true;
    c->st.started_at = wall_now();
    move(c, CONTAINER_RUNNING);
    save(c);
    if (container_watch(c, &watch_err) < 0) {
        log_warn("container %.12s: %s, ignoring", c->id, watch_err.text);
    }
    runtime_op_finish(c->rt, TAKE_PTR(c->start_op), 0);
    if (!list_empty(&c->stops) || c->remove_op) {
        stop_begin(c);
    }
}

void container_start(struct container *c, struct runtime_op *op)
{
    if (c->st.state != CONTAINER_NEW || c->rt->problem) {
        err_set(&op->err, -E_INVAL, "%s",
                c->rt->problem ? c->rt->problem : "the container was started before");
        runtime_op_finish(c->rt, op, c->rt->problem ? -E_NOTSUP : -E_INVAL);
        return;
    }
    c->start_op = op;
    move(c, CONTAINER_STARTING);
    struct err err = {0};
    int r = conmon_begin(c, on_conmon_done, &c->starting, &err);
    if (r < 0) {
        start_failed(c, r, &err);
    }
}

/* ---- stop ---- */

int container_signal(struct container *c, int signal)
{
    if (c->st.state != CONTAINER_RUNNING || !c->watch) {
        return -ESRCH;
    }
    return io_pidwatch_kill(c->watch, signal);
}

static int64_t now_ms(const struct container *c)
{
    return loop_now(c->rt->loop).us / 1000;
}

static void on_stop_timer(void *arg)
{
    struct container *c = arg;
    (void)container_signal(c, SIGKILL); /* gone already: its end is on the way */
    (void)cgroup_kill(c->rt->cgroups, c->cgroup);
    io_timer_start(&c->stop_timer, KILL_AGAIN_MS, 0);
}

static void stop_begin(struct container *c)
{
    int64_t left = c->kill_at_ms - now_ms(c);
    if (left <= 0 || c->remove_op) {
        on_stop_timer(c);
        return;
    }
    (void)container_signal(c, c->stop_signal); /* as above */
    io_timer_start(&c->stop_timer, left, 0);
}

void container_stop(struct container *c, int signal, int64_t grace_us, struct runtime_op *op)
{
    if (c->st.state != CONTAINER_RUNNING && c->st.state != CONTAINER_STARTING) {
        runtime_op_finish(c->rt, op, 0);
        return;
    }
    list_push_back(&c->stops, &op->link);
    int64_t kill_at = now_ms(c) + MAX_OF(grace_us, (int64_t)0) / 1000;
    bool first = c->kill_at_ms == INT64_MAX;
    c->kill_at_ms = MIN_OF(c->kill_at_ms, kill_at);
    c->stop_signal = signal > 0 ? signal : c->stop_signal;
    io_timer_init(c->rt->loop, &c->stop_timer, on_stop_timer, c);
    if (c->st.state == CONTAINER_STARTING) {
        return; /* on_conmon_done goes on */
    }
    if (first) {
        stop_begin(c);
    } else {
        io_timer_start(&c->stop_timer, MAX_OF(c->kill_at_ms - now_ms(c), (int64_t)0), 0);
    }
}

/* ---- release ---- */

struct release {
    struct cgroup_root *cgroups;
    char *bundle, *cgroup, *exit_file;
};

static void release_free(struct release *w)
{
    if (w) {
        mem_free(w->bundle);
        mem_free(w->cgroup);
        mem_free(w->exit_file);
        mem_free(w);
    }
}

static int release_work(void *arg, struct err *err)
{
    struct release *w = arg;
    int r = rootfs_remove(w->bundle, err);
    int g = cgroup_remove(w->cgroups, w->cgroup, err);
    for (int tries = 0; g == -E_BUSY && tries < 100; tries++) {
        usleep(10000);
        g = cgroup_remove(w->cgroups, w->cgroup, err);
    }
    (void)unlink(w->exit_file); /* may never have been there */
    release_free(w);
    return r < 0 ? r : g;
}

static void on_release_done(struct runtime_op *op, int code)
{
    struct container *c = op->arg;
    c->releasing = false;
    if (code == 0) {
        if (c->st.state != CONTAINER_RELEASED) {
            move(c, CONTAINER_RELEASED);
            save(c);
        }
    } else {
        err_wrap(&op->err, code, "container %.12s", c->id);
    }
    finish_all(c, &c->releases, code, &op->err);
    if (c->remove_op) {
        remove_step(c);
    }
}

static void on_release_deleted(void *arg, int code, int status, struct str out, struct str err_text)
{
    struct container *c = arg;
    c->run = NULL;
    struct release *w = mem_zalloc(sizeof(*w));
    if (w) {
        *w = (struct release){.cgroups = c->rt->cgroups,
                              .bundle = mem_strdup(c->bundle),
                              .cgroup = mem_strdup(c->cgroup),
                              .exit_file = mem_printf("%s/exits/%s", c->rt->run_dir, c->id)};
    }
    if (!w || !w->bundle || !w->cgroup || !w->exit_file) {
        release_free(w);
        runtime_op_finish(c->rt, &c->release_op, -ENOMEM);
        return;
    }
    if (code < 0 || (WIFEXITED(status) && WEXITSTATUS(status) != 0)) {
        log_debug("container %.12s: delete: " STR_FMT ", ignoring", c->id, STR_ARG(err_text));
    }
    runtime_work(c->rt, release_work, w, &c->release_op);
}

static void release_begin(struct container *c)
{
    c->releasing = true;
    c->release_op = (struct runtime_op){.done = on_release_done, .arg = c};
    struct err err = {0};
    if (run_delete(c, on_release_deleted, &err) < 0) {
        on_release_deleted(c, 0, 0, STR_NULL,
                           STR_NULL); /* without the OCI runtime: what we can do ourselves */
    }
}

void container_release(struct container *c, struct runtime_op *op)
{
    if (c->st.state == CONTAINER_RUNNING || c->st.state == CONTAINER_STARTING) {
        err_set(&op->err, -E_BUSY, "container %.12s is running", c->id);
        runtime_op_finish(c->rt, op, -E_BUSY);
    } else if (c->st.state == CONTAINER_RELEASED) {
        runtime_op_finish(c->rt, op, 0);
    } else {
        list_push_back(&c->releases, &op->link);
        if (!c->releasing) {
            release_begin(c);
        }
    }
}

/* ---- remove ---- */

static int remove_work(void *arg, struct err *err)
{
    const struct container *c = arg;
    int r = remove_bundle(c->bundle, err);
    if (r == 0) {
        /* containers/<name>, when this was its last attempt */
        char path[PATH_MAX];
        const char *slash = strrchr(c->bundle, '/');
        snprintf(path, sizeof(path), "%.*s", (int)(slash - c->bundle), c->bundle);
        (void)rmdir(path); /* not empty: other attempts */
    }
    return r;
}

static void on_removed(struct runtime_op *op, int code)
{
    struct container *c = op->arg;
    struct runtime *rt = c->rt;
    struct runtime_op *done = TAKE_PTR(c->remove_op);
    if (code < 0) {
        done->err = op->err;
    }
    container_free(c);
    runtime_op_finish(rt, done, code);
}

/* The next thing to do on the way out; called again when it is done. */
static void remove_step(struct container *c)
{
    if (c->st.state == CONTAINER_RUNNING) {
        io_timer_init(c->rt->loop, &c->stop_timer, on_stop_timer, c);
        on_stop_timer(c); /* exited() comes back here */
    } else if (c->st.state == CONTAINER_STARTING || c->releasing || c->start_op) {
        return; /* on_conmon_done, on_release_done or on_deleted come back */
    } else if (c->st.state != CONTAINER_RELEASED && c->own_op.done == NULL) {
        c->own_op.done = on_removed; /* marks that the release was tried */
        release_begin(c);
    } else {
        c->own_op = (struct runtime_op){.done = on_removed, .arg = c};
        runtime_work(c->rt, remove_work, c, &c->own_op);
    }
}

void container_remove(struct container *c, struct runtime_op *op)
{
    c->remove_op = op;
    c->on_exit = NULL;
    remove_step(c);
}

void container_detach(struct container *c)
{
    container_free(c);
}

/* ---- logs ---- */

static int log_newer(const void *a, const void *b)
{
    return strcmp(*(const char *const *)b, *(const char *const *)a);
}

struct old_logs {
    struct arena a;
    const char *prefix; /* "0.log." */
    char **names;
    size_t n;
};

static int add_old_log(void *arg, int dir_fd, const char *name)
{
    struct old_logs *l = arg;
    if (!str_starts(str_of(name), l->prefix)) {
        return 0;
    }
    l->names = arena_grow(&l->a, l->names, l->n * sizeof(char *), (l->n + 1) * sizeof(char *));
    char *text = arena_strdup(&l->a, name);
    if (!l->names || !text) {
        return -ENOMEM;
    }
    l->names[l->n++] = text;
    return 0;
}

int container_set_limits(struct container *c, const struct cgroup_limits *l, struct err *err)
{
    return c->st.state == CONTAINER_RUNNING
               ? cgroup_make(c->rt->cgroups, c->cgroup, l, err)
               : err_set(err, -E_CONFLICT, "container %s is not running", c->st.name);
}

/* Keeps the newest `keep` rotated files. */
static void drop_old_logs(const char *path, size_t keep)
{
    char dir[PATH_MAX], prefix[64];
    const char *slash = strrchr(path, '/');
    struct old_logs l = {.prefix = prefix};
    snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path);
    snprintf(prefix, sizeof(prefix), "%s.", slash + 1);
    arena_init(&l.a, 0);
    CLEANUP(fd_closep) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0 && fs_each(fd, ".", add_old_log, &l) == 0 && l.n > keep) {
        qsort(l.names, l.n, sizeof(char *), log_newer);
        for (size_t i = keep; i < l.n; i++) {
            (void)unlinkat(fd, l.names[i], 0); /* tried again at the next rotation */
        }
    }
    arena_fini(&l.a);
}

/* conmon's control pipe: "2 0 0" opens the log file anew. */
static int reopen_log(const struct container *c)
{
    char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/ctl", c->bundle);
    CLEANUP(fd_closep) int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 || write(fd, "2 0 0\n", 6) != 6 ? -errno : 0;
}

void container_rotate_log(struct container *c)
{
    struct stat st;
    char old[PATH_MAX], stamp[32];
    if (c->st.state != CONTAINER_RUNNING || stat(c->st.log_path, &st) < 0 ||
        st.st_size < c->rt->log_max_bytes) {
        return;
    }
    time_t now = (time_t)(wall_now().us / 1000000);
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
    snprintf(old, sizeof(old), "%s.%s", c->st.log_path, stamp);
    if (rename(c->st.log_path, old) < 0) {
        log_warn("container %.12s: rotate %s: %s, ignoring", c->id, c->st.log_path,
                 err_text(-errno));
        return;
    }
    int r = reopen_log(c);
    if (r < 0) {
        log_warn("container %.12s: reopen the log: %s, ignoring", c->id, err_text(r));
    }
    drop_old_logs(c->st.log_path, (size_t)MAX_OF(c->rt->log_max_files - 1, 0));
}

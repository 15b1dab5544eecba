/* SPDX-License-Identifier: Apache-2.0 */
/* Folders, programs and operations: see runtime.h. Detection of the OCI runtime is in oci_detect.c.
 */
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/file.h"
#include "runtime/fs.h"
#include "runtime/runtime_private.h"

/* ---- operations ---- */

static void finish_task(void *arg)
{
    struct runtime_op *op = arg;
    op->done(op, op->code);
}

void runtime_op_finish(struct runtime *rt, struct runtime_op *op, int code)
{
    op->code = code;
    if (code < 0 && !op->err.text[0]) {
        err_set(&op->err, code, "%s", err_text(code));
    }
    io_task_init(&op->task, finish_task, op);
    loop_defer(rt->loop, &op->task);
}

static void work_run(void *arg)
{
    struct runtime_op *op = arg;
    op->code = op->fn(op->work_arg, &op->err);
}

static void work_done(void *arg)
{
    struct runtime_op *op = arg;
    op->done(op, op->code);
}

void runtime_work(struct runtime *rt, runtime_work_fn *fn, void *work_arg, struct runtime_op *op)
{
    op->fn = fn;
    op->work_arg = work_arg;
    op->work = (struct io_work){.run = work_run, .done = work_done, .arg = op};
    loop_work(rt->loop, &op->work);
}

struct thread_call {
    int (*fn)(void *arg);
    void *arg;
    int code;
};

static void *thread_main(void *arg)
{
    struct thread_call *c = arg;
    c->code = c->fn(c->arg);
    return NULL;
}

int runtime_in_thread(int (*fn)(void *arg), void *arg)
{
    struct thread_call c = {.fn = fn, .arg = arg};
    pthread_t t;
    int r = pthread_create(&t, NULL, thread_main, &c);
    if (r != 0) {
        return -r;
    }
    pthread_join(t, NULL);
    return c.code;
}

/* ---- programs ---- */

char *runtime_find_program(const char *name)
{
    char path[PATH_MAX];
    struct str rest = STR_LIT(RUNTIME_PATH), dir;
    if (strchr(name, '/')) {
        return access(name, X_OK) == 0 ? mem_strdup(name) : NULL;
    }
    while (rest.n > 0) {
        str_cut(rest, ':', &dir, &rest);
        snprintf(path, sizeof(path), STR_FMT "/%s", STR_ARG(dir), name);
        if (access(path, X_OK) == 0) {
            return mem_strdup(path);
        }
    }
    return NULL;
}

/* Reads until the other side closes; -ETIMEDOUT. */
static int gather(int fd, int timeout_ms, struct buf *out)
{
    int64_t end = mono_now().us + (int64_t)timeout_ms * 1000;
    for (;;) {
        int left = (int)((end - mono_now().us) / 1000);
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int n = left > 0 ? poll(&p, 1, left) : 0;
        if (n == 0) {
            return -ETIMEDOUT;
        }
        char *to = buf_reserve(out, 4096);
        ssize_t got = to ? read(fd, to, 4096) : -1;
        if (!to) {
            return -ENOMEM;
        }
        if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? -errno : 0;
        }
        buf_commit(out, (size_t)got);
    }
}

static int spawn(const char *const *argv, int out_fd, pid_t *ret)
{
    static char *const env[] = {(char *)(uintptr_t) "PATH=" RUNTIME_PATH, NULL};
    posix_spawn_file_actions_t acts;
    posix_spawnattr_t attr;
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawn_file_actions_init(&acts);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_addopen(&acts, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&acts, out_fd, 1);
    posix_spawn_file_actions_adddup2(&acts, out_fd, 2);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &all);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    int r = posix_spawn(ret, argv[0], &acts, &attr, (char *const *)(uintptr_t)argv, env);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&acts);
    return -r;
}

int runtime_run_sync(const char *const *argv, int timeout_ms, struct buf *out, struct err *err)
{
    int fds[2], status = 0;
    pid_t pid;
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return err_sys(err, -errno, "run %s", argv[0]);
    }
    CLEANUP(fd_closep) int in = fds[0];
    int r = spawn(argv, fds[1], &pid);
    close(fds[1]);
    if (r < 0) {
        return err_sys(err, r, "run %s", argv[0]);
    }
    r = gather(in, timeout_ms, out);
    if (r < 0) {
        (void)kill(pid, SIGKILL); /* our child, not yet waited for */
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return r < 0 ? err_sys(err, r, "run %s", argv[0]) : status;
}

/* ---- making ---- */

static char *text_or(const char *text, const char *def)
{
    return mem_strdup(text ? text : def);
}

static int make_folders(struct runtime *rt, struct err *err)
{
    static const char *const state[] = {"pods", "images", "cni"};
    static const char *const run[] = {"sandboxes", "oci", "exits", "exec"};
    char path[PATH_MAX];
    /* Files of commands whose agent is gone, and so are they. */
    snprintf(path, sizeof(path), "%s/exec", rt->run_dir);
    int r = fs_remove_tree(AT_FDCWD, path, err);
    for (size_t i = 0; i < ARRAY_SIZE(state) && r == 0; i++) {
        snprintf(path, sizeof(path), "%s/%s", rt->state_dir, state[i]);
        r = dir_make(path, 0700, err);
    }
    for (size_t i = 0; i < ARRAY_SIZE(run) && r == 0; i++) {
        snprintf(path, sizeof(path), "%s/%s", rt->run_dir, run[i]);
        r = dir_make(path, 0700, err);
    }
    return r == 0 ? dir_make(rt->log_dir, 0755, err) : r;
}

/* Mount points in mountinfo are real paths, so ours must be too. */
static int make_real(char **path, struct err *err)
{
    char real[PATH_MAX];
    if (!realpath(*path, real)) {
        return err_sys(err, -errno, "%s", *path);
    }
    mem_free(*path);
    *path = mem_strdup(real);
    return *path ? 0 : err_set(err, -ENOMEM, "out of memory");
}

static int open_parts(struct runtime *rt, const struct runtime_config *c, struct err *err)
{
    char path[PATH_MAX];
    int r = make_folders(rt, err);
    r = r == 0 ? make_real(&rt->state_dir, err) : r;
    r = r == 0 ? make_real(&rt->run_dir, err) : r;
    r = r == 0 ? make_real(&rt->log_dir, err) : r;
    if (r < 0) {
        return r;
    }
    snprintf(path, sizeof(path), "%s/images", rt->state_dir);
    r = images_open(path, &rt->images, err);
    r = r == 0 ? cgroup_root_new(c->cgroup_parent, &rt->cgroups, err) : r;
    if (r < 0) {
        return r;
    }
    const struct cni_setup setup = {
        .conf_dir = c->cni_conf_dir ? c->cni_conf_dir : "/etc/cni/net.d",
        .bin_dirs = c->cni_bin_dirs ? c->cni_bin_dirs : "/opt/cni/bin:/usr/lib/cni",
        .bridge = c->cni_bridge ? c->cni_bridge : "cni0",
        .subnet = c->cni_subnet ? c->cni_subnet : "10.88.0.0/16",
        .state_dir = rt->state_dir,
        .rt = rt,
    };
    return cni_new(&setup, &rt->cni, err);
}

/* Pods that share process numbers want it; the others run without. */
static void find_pause(struct runtime *rt, const char *wanted)
{
    char own[PATH_MAX];
    ssize_t n = wanted ? -1 : readlink("/proc/self/exe", own, sizeof(own) - 1);
    if (n > 0) {
        own[n] = '\0';
        char *slash = strrchr(own, '/');
        rt->pause = slash ? mem_printf("%.*s/pause", (int)(slash - own), own) : NULL;
    } else if (wanted) {
        rt->pause = mem_strdup(wanted);
    }
    if (rt->pause && access(rt->pause, X_OK) < 0) {
        mem_free(TAKE_PTR(rt->pause));
    }
}

static void find_conmon(struct runtime *rt, const char *wanted)
{
    const char *name = wanted ? wanted : "conmon";
    rt->conmon = runtime_find_program(name);
    if (!rt->conmon && !rt->problem) {
        rt->problem = mem_printf("the program %s, which holds containers, is not installed", name);
    }
}

int runtime_new(struct io_loop *loop, const struct runtime_config *config, struct runtime **ret,
                struct err *err)
{
    struct runtime *rt = mem_zalloc(sizeof(*rt));
    if (!rt) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    rt->loop = loop;
    rt->state_dir = mem_strdup(config->state_dir);
    rt->run_dir = mem_strdup(config->run_dir);
    rt->log_dir = text_or(config->log_dir, "/var/log/pods");
    rt->log_max_bytes = config->log_max_bytes > 0 ? config->log_max_bytes : (int64_t)10 << 20;
    rt->log_max_files = config->log_max_files > 0 ? config->log_max_files : 5;
    int r = rt->state_dir && rt->run_dir && rt->log_dir ? open_parts(rt, config, err)
                                                        : err_set(err, -ENOMEM, "out of memory");
    r = r == 0 ? oci_detect(rt, config->oci_runtime, err) : r;
    if (r < 0) {
        runtime_free(rt);
        return err_wrap(err, r, "container runtime");
    }
    find_conmon(rt, config->conmon);
    find_pause(rt, config->pause);
    (void)buf_puts(&rt->notes,
                   cgroup_root_notes(rt->cgroups)); /* sticky; at worst a note is missing */
    *ret = rt;
    return 0;
}

void runtime_free(struct runtime *rt)
{
    if (!rt) {
        return;
    }
    cni_free(rt->cni);
    images_close(rt->images);
    cgroup_root_free(rt->cgroups);
    buf_fini(&rt->notes);
    mem_free(rt->state_dir);
    mem_free(rt->run_dir);
    mem_free(rt->log_dir);
    mem_free(rt->oci_path);
    mem_free(rt->oci_name);
    mem_free(rt->version);
    mem_free(rt->conmon);
    mem_free(rt->pause);
    mem_free(rt->problem);
    mem_free(rt);
}

/* ---- reading ---- */

const char *runtime_version(const struct runtime *rt)
{
    return rt->version ? rt->version : "none://";
}

const char *runtime_name(const struct runtime *rt)
{
    return rt->oci_name ? rt->oci_name : "none";
}

const char *runtime_problem(const struct runtime *rt)
{
    return rt->problem;
}

const char *runtime_notes(const struct runtime *rt)
{
    return buf_data(&rt->notes);
}

struct images *runtime_images(struct runtime *rt)
{
    return rt->images;
}

struct cgroup_root *runtime_cgroups(struct runtime *rt)
{
    return rt->cgroups;
}

struct cni *runtime_cni(struct runtime *rt)
{
    return rt->cni;
}

char *runtime_pod_dir(const struct runtime *rt, struct arena *a, const char *pod_uid)
{
    return arena_printf(a, "%s/pods/%s", rt->state_dir, pod_uid);
}

char *runtime_volume_dir(const struct runtime *rt, struct arena *a, const char *pod_uid)
{
    return arena_printf(a, "%s/pods/%s/volumes", rt->state_dir, pod_uid);
}

char *runtime_log_dir(const struct runtime *rt, struct arena *a, const char *ns, const char *pod,
                      const char *pod_uid)
{
    return arena_printf(a, "%s/%s_%s_%s", rt->log_dir, ns, pod, pod_uid);
}

char *runtime_log_path(const struct runtime *rt, struct arena *a, const char *ns, const char *pod,
                       const char *pod_uid, const char *container, int attempt)
{
    return arena_printf(a, "%s/%s_%s_%s/%s/%d.log", rt->log_dir, ns, pod, pod_uid, container,
                        attempt);
}

/* ---- pods ---- */

struct pod_remove {
    struct runtime *rt;
    char *dir, *uid;
};

static int remove_pod(void *arg, struct err *err)
{
    struct pod_remove *p = arg;
    struct arena a;
    arena_init(&a, 0);
    int r = fs_unmount_below(p->dir, err);
    r = r == 0 ? fs_remove_tree(AT_FDCWD, p->dir, err) : r;
    for (int q = 0; q < QOS_NR && r == 0; q++) {
        char *path = cgroup_pod_path(p->rt->cgroups, &a, (enum cgroup_qos)q, p->uid);
        r = path ? cgroup_remove(p->rt->cgroups, path, err)
                 : err_set(err, -ENOMEM, "out of memory");
        for (int tries = 0; r == -E_BUSY && tries < 50; tries++) {
            usleep(10000);
            r = cgroup_remove(p->rt->cgroups, path, err);
        }
    }
    arena_fini(&a);
    mem_free(p->dir);
    mem_free(p->uid);
    mem_free(p);
    return r;
}

void runtime_pod_remove(struct runtime *rt, const char *pod_uid, struct runtime_op *op)
{
    struct pod_remove *p = mem_zalloc(sizeof(*p));
    if (p) {
        *p = (struct pod_remove){.rt = rt,
                                 .dir = mem_printf("%s/pods/%s", rt->state_dir, pod_uid),
                                 .uid = mem_strdup(pod_uid)};
    }
    if (!p || !p->dir || !p->uid || !pod_uid[0] || strchr(pod_uid, '/')) {
        if (p) {
            mem_free(p->dir);
            mem_free(p->uid);
            mem_free(p);
        }
        runtime_op_finish(rt, op, p ? -E_INVAL : -ENOMEM);
        return;
    }
    runtime_work(rt, remove_pod, p, op);
}

struct name_list {
    struct arena *a;
    char **names;
    size_t n;
};

static int add_name(void *arg, int dir_fd, const char *name)
{
    struct name_list *l = arg;
    for (size_t i = 0; i < l->n; i++) {
        if (cstr_eq(l->names[i], name)) {
            return 0;
        }
    }
    l->names = arena_grow(l->a, l->names, l->n * sizeof(char *), (l->n + 1) * sizeof(char *));
    char *text = arena_strdup(l->a, name);
    if (!l->names || !text) {
        return -ENOMEM;
    }
    l->names[l->n++] = text;
    return 0;
}

int runtime_pod_list(struct runtime *rt, struct arena *a, char ***ret, size_t *ret_n,
                     struct err *err)
{
    struct name_list l = {.a = a};
    char **groups = NULL;
    size_t n = 0;
    char *pods = arena_printf(a, "%s/pods", rt->state_dir);
    char *boxes = arena_printf(a, "%s/sandboxes", rt->run_dir);
    int r = pods && boxes ? fs_each(AT_FDCWD, pods, add_name, &l) : -ENOMEM;
    r = r == 0 ? fs_each(AT_FDCWD, boxes, add_name, &l) : r;
    r = r == 0 ? cgroup_list_pods(rt->cgroups, a, &groups, &n) : r;
    for (size_t i = 0; i < n && r == 0; i++) {
        r = add_name(&l, -1, groups[i]);
    }
    if (r < 0) {
        return err_sys(err, r, "list what is left of pods");
    }
    *ret = l.names;
    *ret_n = l.n;
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After a restart of the agent: what do the records say, and what is true?
 *
 *   record     and                                          becomes
 *   running    conmon lives                                 RUNNING, watched
 *   running    conmon is gone, exit file                    EXITED with its code
 *   running    conmon is gone, no exit file, process lives  RUNNING, watched without conmon
 *   running    all gone (reboot)                            EXITED, 255, Unknown
 *   starting   conmon lives and the process was started     RUNNING (the agent was killed before it
 * noted it) new or     else                                         EXITED, 128, ContainerCannotRun
 *   starting
 *   exited, released                                        as it is
 *
 * A folder without a readable record is what a kill before the record's rename left: it is removed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "runtime/container_private.h"
#include "runtime/fs.h"

struct adoption {
    struct runtime *rt;
    struct arena a;
    container_found_fn *found;
    void *arg;
    struct runtime_op *op;
    struct io_task task;
    char *path; /* of the folder that is read */
    char **bundles;
    size_t n;
};

/* ---- what is true ---- */

static bool lives(pid_t pid, uint64_t start)
{
    return pid > 0 && start > 0 && process_start_time(pid) == start;
}

static void recover_start(struct container *c)
{
    pid_t conmon = conmon_read_pid(c, "conmon.pid"), pid = conmon_read_pid(c, "pid");
    if (!conmon_is_ours(c, conmon) || pid <= 0 || kill(pid, 0) < 0 || conmon_not_started(c)) {
        conmon_kill_all(c); /* what they have made so far is removed by the release */
        container_set_exited(c);
        return;
    }
    c->conmon_pid = conmon;
    c->conmon_start_time = process_start_time(conmon);
    c->st.pid = pid;
    c->pid_start = process_start_time(pid);
    c->st.started = true;
    c->st.started_at = wall_now();
    sm_move(&c->sm, CONTAINER_RUNNING);
    c->st.state = CONTAINER_RUNNING;
}

static void recover(struct container *c)
{
    struct err err = {0};
    if (c->st.state == CONTAINER_NEW || c->st.state == CONTAINER_STARTING) {
        recover_start(c);
    }
    if (c->st.state != CONTAINER_RUNNING) {
        return;
    }
    if (!lives(c->conmon_pid, c->conmon_start_time)) {
        c->conmon_pid = 0;
    }
    if (c->conmon_pid == 0 && !lives(c->st.pid, c->pid_start)) {
        container_set_exited(c);
        return;
    }
    if (container_watch(c, &err) < 0) {
        log_warn("container %.12s: %s, ignoring", c->id, err.text);
    }
    if (record_write(c, &err) < 0) {
        log_warn("container %.12s: %s, ignoring", c->id, err.text);
    }
}

/* ---- finding the records: pods/<uid>/containers/<name>/<attempt> ---- */

static int add_bundle(void *arg, int dir_fd, const char *name)
{
    struct adoption *ad = arg;
    uint64_t attempt;
    if (str_u64(str_of(name), &attempt) < 0) {
        return 0;
    }
    ad->bundles =
        arena_grow(&ad->a, ad->bundles, ad->n * sizeof(char *), (ad->n + 1) * sizeof(char *));
    char *path = fs_join(&ad->a, ad->path, name);
    if (!ad->bundles || !path) {
        return -ENOMEM;
    }
    ad->bundles[ad->n++] = path;
    return 0;
}

static int each_below(struct adoption *ad, int dir_fd, const char *name, const char *sub,
                      fs_entry_fn *fn)
{
    char *outer = ad->path;
    ad->path = arena_printf(&ad->a, "%s/%s%s", outer, name, sub);
    int r = ad->path ? fs_each(AT_FDCWD, ad->path, fn, ad) : -ENOMEM;
    ad->path = outer;
    return r == -ENOTDIR ? 0 : r;
}

static int add_container(void *arg, int dir_fd, const char *name)
{
    return each_below(arg, dir_fd, name, "", add_bundle);
}

static int add_pod(void *arg, int dir_fd, const char *name)
{
    return each_below(arg, dir_fd, name, "/containers", add_container);
}

/* "a/2" before "a/10": by length of the last part, then by text. */
static int by_path(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    size_t nx = (size_t)(strrchr(x, '/') - x), ny = (size_t)(strrchr(y, '/') - y);
    int order = str_cmp(str_n(x, nx), str_n(y, ny));
    if (order == 0 && strlen(x) != strlen(y)) {
        return strlen(x) < strlen(y) ? -1 : 1;
    }
    return order != 0 ? order : strcmp(x, y);
}

static int find_bundles(struct adoption *ad)
{
    ad->path = arena_printf(&ad->a, "%s/pods", ad->rt->state_dir);
    int r = ad->path ? fs_each(AT_FDCWD, ad->path, add_pod, ad) : -ENOMEM;
    if (r == 0 && ad->n > 1) {
        qsort(ad->bundles, ad->n, sizeof(char *), by_path);
    }
    return r;
}

static void adopt_one(struct adoption *ad, const char *bundle)
{
    struct container *c;
    struct err err = {0};
    if (record_load(ad->rt, bundle, &c, &err) < 0) {
        log_debug("%s: %s, removing it", bundle, err.text);
        if (rootfs_remove(bundle, &err) < 0 || fs_remove_tree(AT_FDCWD, bundle, &err) < 0) {
            log_warn("%s: %s, ignoring", bundle, err.text);
        }
        return;
    }
    recover(c);
    ad->found(ad->arg, c);
}

static void adopt_task(void *arg)
{
    struct adoption *ad = arg;
    int r = find_bundles(ad);
    for (size_t i = 0; i < ad->n && r == 0; i++) {
        adopt_one(ad, ad->bundles[i]);
    }
    struct runtime_op *op = ad->op;
    arena_fini(&ad->a);
    mem_free(ad);
    op->code = r;
    if (r < 0) {
        err_sys(&op->err, r, "look for containers");
    }
    op->done(op, r);
}

void container_adopt_all(struct runtime *rt, container_found_fn *found, void *arg,
                         struct runtime_op *op)
{
    struct adoption *ad = mem_zalloc(sizeof(*ad));
    if (!ad) {
        runtime_op_finish(rt, op, -ENOMEM);
        return;
    }
    *ad = (struct adoption){.rt = rt, .found = found, .arg = arg, .op = op};
    arena_init(&ad->a, 0);
    io_task_init(&ad->task, adopt_task, ad);
    loop_defer(rt->loop, &ad->task);
}

int container_layers_in_use(struct runtime *rt, struct arena *a, const char *const **ret,
                            struct err *err)
{
    struct adoption ad = {.rt = rt};
    const char **list = arena_zalloc(a, sizeof(*list));
    size_t n = 0;
    arena_init(&ad.a, 0);
    int r = find_bundles(&ad);
    for (size_t i = 0; i < ad.n && r == 0 && list; i++) {
        struct container *c;
        if (record_load(rt, ad.bundles[i], &c, /* err= */ NULL) < 0) {
            continue;
        }
        for (size_t k = 0; c->layers && c->layers[k] && list; k++) {
            list = arena_grow(a, list, (n + 1) * sizeof(*list), (n + 2) * sizeof(*list));
            if (list) {
                list[n++] = arena_strdup(a, c->layers[k]);
                list[n] = NULL;
            }
        }
        container_free(c);
    }
    arena_fini(&ad.a);
    if (r < 0 || arena_failed(a)) {
        return err_sys(err, r < 0 ? r : -ENOMEM, "list the layers in use");
    }
    *ret = list;
    return 0;
}

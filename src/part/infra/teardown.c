/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes a node's pods off the machine; see teardown.h.
 *
 *     find containers -> remove each, side by side -> pod by pod: network, sandbox, volumes, folder
 *                     -> the bridge -> the cgroups
 */
#include "teardown.h"

#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "runtime/cgroup.h"
#include "runtime/cni.h"
#include "runtime/container.h"
#include "runtime/sandbox.h"
#include "runtime/volumes.h"

struct teardown {
    struct runtime *rt;
    struct io_loop *loop;
    struct arena arena;
    struct runtime_op op;
    bool done;
    int first;
    struct err *err;
    size_t removing; /* containers whose removal is under way */
};

struct removal {
    struct runtime_op op;
    struct teardown *t;
};

static void note(struct teardown *t, int code, const struct err *err)
{
    if (code < 0 && t->first == 0) {
        t->first = code;
        if (t->err) {
            *t->err = *err;
        }
    }
}

static void on_done(struct runtime_op *op, int code)
{
    struct teardown *t = op->arg;
    note(t, code, &op->err);
    t->done = true;
}

/* The operation for the next step; wait_done() runs the loop until it is over. */
static struct runtime_op *begin(struct teardown *t)
{
    t->done = false;
    t->op = (struct runtime_op){.done = on_done, .arg = t};
    return &t->op;
}

static void wait_done(struct teardown *t)
{
    while (!t->done || t->removing) {
        loop_run_once(t->loop);
    }
}

static void on_removed(struct runtime_op *op, int code)
{
    struct removal *r = op->arg;
    note(r->t, code, &op->err);
    r->t->removing--;
    mem_free(r);
}

static void on_found(void *arg, struct container *c)
{
    struct teardown *t = arg;
    struct removal *r = mem_zalloc(sizeof(*r));
    if (!r) {
        struct err err;
        note(t, err_sys(&err, -ENOMEM, "remove a container"), &err);
        container_detach(c);
        return;
    }
    *r = (struct removal){.op = {.done = on_removed, .arg = r}, .t = t};
    t->removing++;
    container_remove(c, &r->op);
}

static int remove_volumes(void *arg, struct err *err)
{
    return volume_remove(arg, err);
}

static void remove_pod(struct teardown *t, const char *uid)
{
    cni_del(runtime_cni(t->rt), uid, NULL, begin(t));
    wait_done(t);
    sandbox_remove(t->rt, uid, begin(t));
    wait_done(t);
    char *volumes = runtime_volume_dir(t->rt, &t->arena, uid);
    if (volumes) {
        runtime_work(t->rt, remove_volumes, volumes, begin(t));
        wait_done(t);
    }
    runtime_pod_remove(t->rt, uid, begin(t));
    wait_done(t);
}

int infra_teardown(struct io_loop *loop, struct runtime *rt, struct err *err)
{
    struct teardown t = {.rt = rt, .loop = loop, .err = err};
    struct err own = {0};
    char **uids = NULL;
    size_t n = 0;
    arena_init(&t.arena, 0);
    container_adopt_all(rt, on_found, &t, begin(&t));
    wait_done(&t);
    note(&t, runtime_pod_list(rt, &t.arena, &uids, &n, &own), &own);
    for (size_t i = 0; i < n; i++) {
        remove_pod(&t, uids[i]);
    }
    cni_remove_network(runtime_cni(rt), begin(&t));
    wait_done(&t);
    cgroup_root_remove(runtime_cgroups(rt));
    log_info("removed what was left of %zu pods", n);
    arena_fini(&t.arena);
    return t.first;
}

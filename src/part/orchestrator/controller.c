/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of a controller: its queue, and carrying out the plans of its reconcile steps. */
#include "controller.h"

#include <string.h>

#include "api/object.h"
#include "base/log.h"
#include "orchestrator_private.h"

/* A plan under way: of a key of the queue, or on its own. */
struct running {
    struct list link;
    struct controller *c;
    struct plan_run *run;
    controller_done_fn *done; /* of a plan on its own */
    void *arg;
    int64_t requeue_ms;
    char key[]; /* "" on its own */
};

static void action_done(void *arg, const struct action *a, int code, const struct json *result)
{
    struct running *run = arg;
    if (run->c->ops->action) {
        run->c->ops->action(run->c, run->key, a, code, result);
    }
}

/* A stale copy, or a name that is taken for a moment: the retry mends it and nobody needs to know.
 */
static bool is_race(int code)
{
    return code == -E_CONFLICT || code == -E_NOENT || code == -E_EXISTS;
}

static void finish_key(struct controller *c, const char *key, int code, const char *text,
                       int64_t requeue_ms)
{
    if (code < 0) {
        if (is_race(code)) {
            log_debug("%s: key=%s: %s, will retry", c->ops->name, key, text);
        } else {
            log_warn("%s: key=%s: %s, will retry", c->ops->name, key, text);
        }
        workqueue_retry(c->queue, key);
    } else {
        workqueue_forget(c->queue, key);
        if (requeue_ms >= 0) {
            workqueue_add_after(c->queue, key, requeue_ms);
        }
    }
    workqueue_done(c->queue, key);
}

static void run_done(void *arg, int code, const char *text)
{
    struct running *run = arg;
    struct controller *c = run->c;
    list_del(&run->link);
    if (run->done) {
        run->done(c, run->arg, code, text);
    } else if (run->key[0]) {
        finish_key(c, run->key, code, text, run->requeue_ms);
    } else if (code < 0) {
        log_warn("%s: %s, ignoring", c->ops->name, text);
    }
    mem_free(run);
}

static struct running *begin(struct controller *c, struct arena *arena, struct plan *plan,
                             const char *key)
{
    static const struct plan_run_ops ops = {action_done, run_done};
    size_t n = strlen(key) + 1;
    struct running *run = mem_zalloc(sizeof(*run) + n);
    if (!run) {
        arena_fini(arena);
        return NULL;
    }
    memcpy(run->key, key, n);
    run->c = c;
    run->requeue_ms = plan->requeue_ms;
    run->run = plan_run_start(c->o->client, c->o->loop, c->recorder, arena, plan, &ops, run);
    if (!run->run) {
        mem_free(run);
        return NULL;
    }
    list_push_back(&c->runs, &run->link);
    return run;
}

void controller_run(struct controller *c, struct arena *arena, struct plan *plan,
                    controller_done_fn *done, void *arg)
{
    struct running *run = begin(c, arena, plan, "");
    if (run) {
        run->done = done;
        run->arg = arg;
    } else if (done) {
        done(c, arg, -E_NOMEM, "out of memory");
    }
}

static void work(void *arg, const char *key)
{
    struct controller *c = arg;
    struct arena arena;
    struct plan plan;
    arena_init(&arena, /* cap= */ 0);
    plan_init(&plan, &arena);
    int code = c->ops->reconcile(c, key, &plan);
    if (code == 0 && plan_failed(&plan)) {
        code = -E_NOMEM;
    }
    if (code < 0 || (plan.n == 0 && plan.events_n == 0)) {
        arena_fini(&arena);
        finish_key(c, key, code, err_text(code), plan.requeue_ms);
        return;
    }
    if (!begin(c, &arena, &plan, key)) {
        finish_key(c, key, -E_NOMEM, "out of memory", -1);
    }
}

void controller_add(struct controller *c, const char *ns, const char *name)
{
    controller_add_after(c, ns, name, /* ms= */ -1);
}

void controller_add_after(struct controller *c, const char *ns, const char *name, int64_t ms)
{
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    const char *key = arena_printf(&a, "%s/%s", ns ? ns : "", name);
    if (key && ms < 0) {
        workqueue_add(c->queue, key);
    } else if (key) {
        workqueue_add_after(c->queue, key, ms);
    }
    arena_fini(&a);
}

bool controller_split(struct arena *a, const char *key, const char **ret_ns, const char **ret_name)
{
    struct str ns, name;
    if (!str_cut(str_of(key), '/', &ns, &name)) {
        name = ns;
        ns = STR_NULL;
    }
    *ret_ns = arena_str(a, ns);
    *ret_name = arena_str(a, name);
    return *ret_ns && *ret_name;
}

int controller_init(struct controller *c, const struct controller_ops *ops, struct orchestrator *o)
{
    c->ops = ops;
    c->o = o;
    list_init(&c->runs);
    c->queue = workqueue_new(o->loop, ops->workers, work, c);
    c->recorder = recorder_new(o->client, o->loop, ops->name);
    if (!c->queue || !c->recorder) {
        return -E_NOMEM;
    }
    return ops->start ? ops->start(c) : 0;
}

void controller_fini(struct controller *c)
{
    LIST_FOR_EACH_SAFE (l, &c->runs) {
        struct running *run = CONTAINER_OF(l, struct running, link);
        plan_run_cancel(run->run);
        mem_free(run);
    }
    if (c->ops->stop) {
        c->ops->stop(c);
    }
    workqueue_free(c->queue);
    recorder_free(c->recorder);
}

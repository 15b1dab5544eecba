/* SPDX-License-Identifier: Apache-2.0 */
/* Building plans and carrying them out; the contract is in plan.h. */
#include "plan.h"

#include <stdio.h>
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "io/loop.h"
#include "recorder.h"

/* Where writes go when the arena is full; the plan is thrown away then. */
static struct action no_action;

void plan_init(struct plan *p, struct arena *a)
{
    *p = (struct plan){.arena = a, .requeue_ms = -1};
}

static void *grow(struct arena *a, void *items, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) {
        return items;
    }
    size_t want = *cap ? *cap * 2 : 8;
    void *bigger = arena_grow(a, items, *cap * size, want * size);
    if (bigger) {
        *cap = want;
    }
    return bigger;
}

static struct action *add(struct plan *p, const struct action *action)
{
    struct action *items = grow(p->arena, p->actions, p->n, &p->cap, sizeof(*items));
    if (!items) {
        return &no_action;
    }
    p->actions = items;
    p->actions[p->n] = *action;
    return &p->actions[p->n++];
}

struct action *plan_create(struct plan *p, const struct kind *kind, const char *ns,
                           struct json *object)
{
    struct action a = {.req = {.verb = API_CREATE, .kind = kind, .ns = ns, .body = object}};
    return add(p, &a);
}

struct action *plan_update(struct plan *p, const struct kind *kind, struct json *object,
                           const char *subresource)
{
    struct action a = {.req = {.verb = API_UPDATE,
                               .kind = kind,
                               .ns = obj_ns(object),
                               .name = obj_name(object),
                               .subresource = subresource,
                               .body = object}};
    return add(p, &a);
}

struct action *plan_patch(struct plan *p, const struct kind *kind, const char *ns, const char *name,
                          const char *subresource, enum api_patch type, struct json *patch)
{
    struct action a = {.req = {.verb = API_PATCH,
                               .kind = kind,
                               .ns = ns,
                               .name = name,
                               .subresource = subresource,
                               .patch = type,
                               .body = patch}};
    return add(p, &a);
}

struct action *plan_delete(struct plan *p, const struct kind *kind, const char *ns,
                           const char *name, const char *uid)
{
    struct action a = {.req = {.verb = API_DELETE,
                               .kind = kind,
                               .ns = ns,
                               .name = name,
                               .precondition_uid = uid,
                               .propagation = "Background"},
                       .flags = ACTION_F_ABSENT_OK};
    return add(p, &a);
}

struct action *plan_get(struct plan *p, const struct kind *kind, const char *ns, const char *name)
{
    struct action a = {.req = {.verb = API_GET, .kind = kind, .ns = ns, .name = name}};
    return add(p, &a);
}

void plan_event(struct plan *p, const struct kind *kind, const struct json *object,
                const char *type, const char *reason, const char *fmt, ...)
{
    struct plan_event *items =
        grow(p->arena, p->events, p->events_n, &p->events_cap, sizeof(*items));
    va_list ap;
    va_start(ap, fmt);
    const char *text = arena_vprintf(p->arena, fmt, ap);
    va_end(ap);
    if (items && text) {
        p->events = items;
        p->events[p->events_n++] = (struct plan_event){kind, object, type, reason, text};
    }
}

void plan_requeue(struct plan *p, int64_t ms)
{
    ms = ms > 0 ? ms : 0;
    if (p->requeue_ms < 0 || ms < p->requeue_ms) {
        p->requeue_ms = ms;
    }
}

bool plan_failed(const struct plan *p)
{
    return arena_failed(p->arena);
}

/* ---- carrying out ---- */

struct plan_call {
    struct api_call call;
    struct plan_run *run;
    size_t index;
    bool active;
};

struct plan_run {
    struct arena arena;
    struct plan plan;
    struct api_client *client;
    struct recorder *recorder;
    const struct plan_run_ops *ops;
    void *arg;
    struct io_loop *loop;
    struct io_task step; /* the next wave, or the end */
    struct plan_call *calls;
    size_t pending;
    size_t next; /* first action that was not started */
    int code;
    char text[512];
};

static void write_event(struct plan_run *run, const struct action_event *e, const char *type,
                        const char *value)
{
    char text[640];
    const char *at = strstr(e->text, "%s");
    if (!e->kind) {
        return;
    }
    if (at) {
        (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - e->text), e->text, value, at + 2);
    } else {
        (void)snprintf(text, sizeof(text), "%s", e->text);
    }
    recorder_event(run->recorder, e->kind, e->object, type, e->reason, text);
}

static bool is_success(const struct action *a, int code)
{
    return code >= 0 || (code == -E_NOENT && (a->flags & ACTION_F_ABSENT_OK)) ||
           (code == -E_EXISTS && (a->flags & ACTION_F_EXISTS_OK));
}

static void call_done(struct api_call *call, int code, struct json *result)
{
    struct plan_call *pc = call->arg;
    struct plan_run *run = pc->run;
    const struct action *a = &run->plan.actions[pc->index];
    pc->active = false;
    run->pending--;
    if (run->ops->action) {
        run->ops->action(run->arg, a, code, result);
    }
    if (is_success(a, code)) {
        if (a->ok.kind && code >= 0) {
            const char *name = obj_name(result);
            write_event(run, &a->ok, "Normal", name[0] ? name : a->req.name);
        }
    } else {
        if (a->failed.kind) {
            write_event(run, &a->failed, "Warning", call->err.text);
        }
        if (run->code == 0) {
            run->code = code;
            (void)cstr_copy(run->text, sizeof(run->text), call->err.text);
        }
    }
    if (run->pending == 0) {
        loop_defer(run->loop, &run->step);
    }
}

static void free_run(struct plan_run *run)
{
    struct arena arena = run->arena; /* run->calls lies in it */
    mem_free(run);
    arena_fini(&arena);
}

static void next_wave(void *arg)
{
    struct plan_run *run = arg;
    const struct plan *p = &run->plan;
    if (run->code < 0 || run->next == p->n) {
        run->ops->done(run->arg, run->code, run->text);
        free_run(run);
        return;
    }
    unsigned wave = p->actions[run->next].wave;
    size_t end = run->next;
    while (end < p->n && p->actions[end].wave == wave) {
        end++;
    }
    run->pending = end - run->next;
    for (; run->next < end; run->next++) {
        struct plan_call *pc = &run->calls[run->next];
        *pc = (struct plan_call){.run = run, .index = run->next, .active = true};
        pc->call.done = call_done;
        pc->call.arg = pc;
        api_call_start(run->client, &pc->call, &p->actions[run->next].req);
    }
}

/* Stable: actions of one wave keep their order. Plans are short or already sorted, so insertion is
 * fine. */
static void sort_by_wave(struct plan *p)
{
    for (size_t i = 1; i < p->n; i++) {
        struct action a = p->actions[i];
        size_t k = i;
        for (; k > 0 && p->actions[k - 1].wave > a.wave; k--) {
            p->actions[k] = p->actions[k - 1];
        }
        p->actions[k] = a;
    }
}

struct plan_run *plan_run_start(struct api_client *client, struct io_loop *loop,
                                struct recorder *recorder, struct arena *arena, struct plan *p,
                                const struct plan_run_ops *ops, void *arg)
{
    struct plan_run *run = mem_zalloc(sizeof(*run));
    struct plan_call *calls = arena_zalloc(arena, (p->n + 1) * sizeof(*calls));
    if (!run || !calls) {
        mem_free(run);
        arena_fini(arena);
        return NULL;
    }
    sort_by_wave(p);
    run->arena = *arena;
    arena_init(arena, /* cap= */ 0);
    run->plan = *p;
    run->plan.arena = &run->arena;
    run->calls = calls;
    run->client = client;
    run->loop = loop;
    run->recorder = recorder;
    run->ops = ops;
    run->arg = arg;
    for (size_t i = 0; i < p->events_n; i++) {
        const struct plan_event *e = &p->events[i];
        recorder_event(recorder, e->kind, e->object, e->type, e->reason, e->text);
    }
    io_task_init(&run->step, next_wave, run);
    loop_defer(loop, &run->step);
    return run;
}

void plan_run_cancel(struct plan_run *run)
{
    if (!run) {
        return;
    }
    io_task_cancel(&run->step);
    for (size_t i = 0; i < run->next; i++) {
        if (run->calls[i].active) {
            api_call_cancel(&run->calls[i].call);
        }
    }
    free_run(run);
}

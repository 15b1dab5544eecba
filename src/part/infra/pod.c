/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A pod's life: which state it is in and what the next step is. Every change (of its object, of a
 * container, of time) wakes step(), which looks at everything anew and does what is missing; so no
 * event can be lost between two states. The states are drawn in infra_private.h.
 */
#include <stdio.h>

#include "api/object.h"
#include "base/metrics.h"
#include "infra_private.h"
#include "pod_tokens.h"
#include "sync/digest.h"

#define DEFAULT_GRACE_S 30

static const struct sm_state states[POD_STATE_NR] = {
    [POD_NEW] = {"new",
                 SM_TO(POD_VOLUMES) | SM_TO(POD_RUNNING) | SM_TO(POD_ENDING) | SM_TO(POD_STOPPING)},
    [POD_VOLUMES] = {"volumes", SM_TO(POD_SANDBOX) | SM_TO(POD_STOPPING)},
    [POD_SANDBOX] = {"sandbox", SM_TO(POD_NETWORK) | SM_TO(POD_STOPPING)},
    [POD_NETWORK] = {"network", SM_TO(POD_RUNNING) | SM_TO(POD_STOPPING)},
    [POD_RUNNING] = {"running", SM_TO(POD_ENDING) | SM_TO(POD_STOPPING)},
    [POD_ENDING] = {"ending", SM_TO(POD_ENDED) | SM_TO(POD_STOPPING)},
    [POD_ENDED] = {"ended", SM_TO(POD_STOPPING)},
    [POD_STOPPING] = {"stopping", SM_TO(POD_TEARDOWN) | SM_TO(POD_ENDING)},
    [POD_TEARDOWN] = {"teardown", SM_TO(POD_GONE)},
    [POD_GONE] = {"gone", 0},
};

struct found {
    struct list link;
    struct container *c;
};

struct stale {
    struct list link;
    struct arena arena;
};

static void step(void *arg);
static void on_timer(void *arg);

/* ---- lifetime ---- */

struct pod *pod_new(struct infra *inf, const char *uid, const char *ns, const char *name)
{
    char label[64];
    struct pod *p = mem_zalloc(sizeof(*p));
    if (!p) {
        return NULL;
    }
    p->inf = inf;
    p->uid = mem_strdup(uid);
    p->ns = mem_strdup(ns);
    p->name = mem_strdup(name);
    (void)snprintf(label, sizeof(label), "pod %s/%s", ns, name);
    sm_init(&p->sm, states, POD_STATE_NR, POD_NEW, label);
    arena_init(&p->arena, 0);
    list_init(&p->found);
    list_init(&p->stale);
    list_init(&p->tokens);
    io_task_init(&p->step, step, p);
    io_timer_init(inf->loop, &p->timer, on_timer, p);
    if (!p->uid || !p->ns || !p->name || map_put(&inf->pods, str_of(uid), p, NULL) < 0) {
        mem_free(p->uid);
        mem_free(p->ns);
        mem_free(p->name);
        mem_free(p);
        return NULL;
    }
    return p;
}

void pod_free(struct pod *p)
{
    io_task_cancel(&p->step);
    io_timer_stop(&p->timer);
    pod_tokens_free(p, /* erase= */ false);
    for (size_t i = 0; i < p->n_slots; i++) {
        slot_free(p->slots[i]);
    }
    while (!list_empty(&p->found)) {
        struct found *f = CONTAINER_OF(list_pop_front(&p->found), struct found, link);
        container_detach(f->c);
        mem_free(f);
    }
    pod_drop_stale(p);
    (void)map_del(&p->inf->pods, str_of(p->uid)); /* it is p */
    mem_free(p->slots);
    mem_free(p->uid);
    mem_free(p->ns);
    mem_free(p->name);
    mem_free(p->fail_message);
    arena_fini(&p->arena);
    mem_free(p);
}

void pod_drop_stale(struct pod *p)
{
    while (!list_empty(&p->stale)) {
        struct stale *s = CONTAINER_OF(list_pop_front(&p->stale), struct stale, link);
        arena_fini(&s->arena);
        mem_free(s);
    }
}

/* Replaces the object. A runtime operation may have borrowed from the old one. */
static bool replace_object(struct pod *p, struct arena fresh, struct json *obj)
{
    struct stale *s = p->op_busy ? mem_zalloc(sizeof(*s)) : NULL;
    if (s) {
        s->arena = p->arena;
        list_push_back(&p->stale, &s->link);
    } else if (p->op_busy) {
        return false;
    } else {
        arena_fini(&p->arena);
    }
    p->arena = fresh;
    p->obj = obj;
    return true;
}

void pod_wake(struct pod *p)
{
    loop_defer(p->inf->loop, &p->step);
}

static void on_timer(void *arg)
{
    pod_wake(arg);
}

void pod_wake_at(struct pod *p, struct mono at)
{
    int64_t ms = (at.us - mono_now().us + 999) / 1000;
    ms = ms < 1 ? 1 : ms;
    /* step() clears the timer before it looks, so the nearest time of one look wins. */
    if (!io_timer_active(&p->timer) || ms < p->timer_ms) {
        io_timer_start(&p->timer, ms, 0);
        p->timer_ms = ms;
    }
}

/* ---- the object ---- */

static const struct {
    const char *list;
    enum slot_role role;
} roles[] = {{"spec.initContainers", SLOT_INIT},
             {"spec.containers", SLOT_MAIN},
             {"spec.ephemeralContainers", SLOT_EPHEMERAL}};

static const struct json *slot_spec(const struct json *obj, size_t i)
{
    for (size_t r = 0; r < ARRAY_SIZE(roles); r++) {
        const struct json *list = json_path(obj, roles[r].list);
        if (i < json_len(list)) {
            return json_at(list, i);
        }
        i -= json_len(list);
    }
    return NULL;
}

static void hand_over_found(struct pod *p)
{
    LIST_FOR_EACH_SAFE (l, &p->found) {
        struct found *f = CONTAINER_OF(l, struct found, link);
        struct slot *s = pod_slot(p, container_status(f->c)->name);
        if (s) {
            list_del(l);
            slot_adopt(s, f->c);
            mem_free(f);
        }
    }
}

/* Makes the slots that are missing: all at first, later those of new ephemeral containers. */
static void make_slots(struct pod *p)
{
    size_t n = 0, at = 0;
    for (size_t r = 0; r < ARRAY_SIZE(roles); r++) {
        n += json_len(json_path(p->obj, roles[r].list));
    }
    struct slot **slots = n > p->n_slots ? mem_realloc(p->slots, n * sizeof(struct slot *)) : NULL;
    if (!slots) {
        return; /* nothing is new, or no memory: the next update tries again */
    }
    p->slots = slots;
    for (size_t r = 0; r < ARRAY_SIZE(roles); r++) {
        JSON_FOR_EACH (c, json_path(p->obj, roles[r].list)) {
            struct slot *s = at == p->n_slots ? slot_new(p, c, roles[r].role) : NULL;
            if (s) {
                p->slots[p->n_slots++] = s;
            }
            at++;
        }
    }
    hand_over_found(p);
}

static int64_t meta_hash(const struct json *obj)
{
    int64_t labels = digest_hash(obj_labels(obj)), notes = digest_hash(obj_annotations(obj));
    return labels ^ (notes >> 1);
}

void pod_update(struct pod *p, const struct store_item *item)
{
    struct arena fresh;
    struct json *obj = NULL;
    struct wall start;
    arena_init(&fresh, 0);
    if (json_parse(&fresh, store_item_value(item), NULL, &obj, NULL) < 0) {
        arena_fini(&fresh);
        log_error("pod %s/%s: its object cannot be read, ignoring the change", p->ns, p->name);
        return;
    }
    p->refresh |= p->obj && meta_hash(obj) != meta_hash(p->obj);
    if (!replace_object(p, fresh, obj)) {
        arena_fini(&fresh);
        log_error("pod %s/%s: out of memory, a change is not seen yet", p->ns, p->name);
        return;
    }
    if (p->start_time.us == 0 &&
        time_parse(json_text(json_path(obj, "status.startTime")), &start) == 0) {
        p->start_time = start;
    }
    for (size_t i = 0; i < p->n_slots; i++) {
        p->slots[i]->spec = slot_spec(obj, i);
    }
    make_slots(p);
    pod_wake(p);
}

void pod_orphan(struct pod *p)
{
    p->orphan = true;
    pod_wake(p);
}

void pod_take_container(struct pod *p, struct container *c)
{
    struct found *f = mem_zalloc(sizeof(*f));
    if (!f) {
        log_error("out of memory: a container of pod %s/%s is not watched", p->ns, p->name);
        container_detach(c);
        return;
    }
    f->c = c;
    list_push_back(&p->found, &f->link);
}

void pod_forget_found(struct pod *p)
{
    while (!list_empty(&p->found)) {
        struct found *f = CONTAINER_OF(list_pop_front(&p->found), struct found, link);
        pod_forget_container(p, f->c);
        mem_free(f);
    }
}

/* ---- questions ---- */

struct slot *pod_slot(struct pod *p, const char *name)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        if (cstr_eq(p->slots[i]->name, name)) {
            return p->slots[i];
        }
    }
    return NULL;
}

bool pod_stopping(const struct pod *p)
{
    return p->orphan || p->failed || obj_deleting(p->obj);
}

int64_t pod_grace_us(const struct pod *p)
{
    int64_t s = json_path_i64(p->obj, "spec.terminationGracePeriodSeconds", DEFAULT_GRACE_S);
    if (obj_deleting(p->obj)) {
        s = json_path_i64(p->obj, "metadata.deletionGracePeriodSeconds", s);
    }
    return s * 1000000;
}

struct uses {
    const char *key;
    bool found;
};

static void uses_ref(void *arg, const char *key)
{
    struct uses *u = arg;
    u->found |= cstr_eq(u->key, key);
}

bool pod_uses(const struct pod *p, const char *key)
{
    struct uses u = {.key = key};
    struct arena a;
    arena_init(&a, 0);
    digest_pod_refs(&a, p->obj, uses_ref, &u);
    arena_fini(&a);
    return u.found;
}

static struct json *get_object(void *arg, struct arena *a, const char *resource, const char *ns,
                               const char *name)
{
    struct infra *inf = arg;
    return replica_get(inf->replica, a, resource, ns, name);
}

static const char *get_token(void *arg, const char *audience, int64_t seconds)
{
    return pod_tokens_get(arg, audience, seconds);
}

void pod_env_input(struct pod *p, const struct json *container, struct env_input *ret)
{
    *ret = (struct env_input){
        .pod = p->obj,
        .container = container,
        .pod_ips = p->ips,
        .host_ip = p->inf->node_ip,
        .node_name = replica_node(p->inf->replica),
        .allocatable = node_allocatable(p->inf),
        .get = get_object,
        .get_arg = p->inf,
        .token = get_token,
        .token_arg = p,
    };
}

void pod_fail(struct pod *p, const char *reason, const char *message)
{
    if (!p->failed) {
        p->failed = true;
        p->fail_reason = reason;
        p->fail_message = mem_strdup(message);
        pod_wake(p);
    }
}

/* ---- beginning ---- */

static bool any_alive(const struct pod *p)
{
    bool alive = false;
    for (size_t i = 0; i < p->n_slots; i++) {
        alive |= slot_alive(p->slots[i]);
    }
    return alive;
}

static bool mains_finished(const struct pod *p)
{
    size_t mains = 0;
    for (size_t i = 0; i < p->n_slots; i++) {
        const struct slot *s = p->slots[i];
        if (s->ephemeral) {
            continue;
        }
        if (!s->init && !slot_finished(s)) {
            return false;
        }
        mains += !s->init;
    }
    return mains > 0;
}

static void begin(struct pod *p)
{
    const char *phase = json_path_cstr(p->obj, "status.phase", "");
    if (p->start_time.us == 0) {
        p->start_time = wall_now();
    }
    if (cstr_eq(phase, "Succeeded") || cstr_eq(phase, "Failed")) {
        p->told_end = !mains_finished(p); /* what it was is known from its status alone */
        sm_move(&p->sm, POD_ENDING);
    } else if (mains_finished(p) || (any_alive(p) && pod_adopt_sandbox(p))) {
        p->refresh = true;
        for (size_t i = 0; i < p->n_slots; i++) {
            p->slots[i]->sandbox_began |= p->slots[i]->c != NULL;
        }
        sm_move(&p->sm, POD_RUNNING);
    } else {
        /* A new sandbox: what had ended with the old one runs again, init containers first. */
        metric_add(METRIC_POD_STARTS, 1);
        for (size_t i = 0; i < p->n_slots; i++) {
            if (p->slots[i]->init || !slot_finished(p->slots[i])) {
                slot_rearm(p->slots[i]);
            }
        }
        sm_move(&p->sm, POD_VOLUMES);
    }
    pod_wake(p);
}

/* ---- running ---- */

static void begin_ending(struct pod *p)
{
    sm_move(&p->sm, POD_ENDING);
    pod_wake(p);
}

/* An image or another part of a container's spec was changed: it is ended and started anew. */
static void restart_changed(struct pod *p)
{
    for (size_t i = 0; i < p->n_slots; i++) {
        struct slot *s = p->slots[i];
        struct arena a;
        arena_init(&a, 0);
        if (s->sm.state == SLOT_RUNNING && s->spec_mark &&
            !cstr_eq(s->spec_mark, pod_spec_mark(&a, s->spec))) {
            slot_event(s, "Normal", "Killing", "Container %s definition changed, will be restarted",
                       s->name);
            slot_stop(s, pod_grace_us(p), NULL);
        }
        arena_fini(&a);
    }
}

const char *pod_spec_mark(struct arena *a, const struct json *container)
{
    return arena_printf(a, "%s|%s", json_path_cstr(container, "name", ""),
                        json_path_cstr(container, "image", ""));
}

enum init_result { INIT_DONE, INIT_BUSY, INIT_FAILED };

static enum init_result run_init(struct pod *p, bool mains_began)
{
    for (size_t i = 0; i < p->n_slots && p->slots[i]->init; i++) {
        struct slot *s = p->slots[i];
        if (mains_began && !s->sidecar) {
            continue;
        }
        if (s->sm.state == SLOT_EXITED) {
            bool counts = !s->sidecar && s->sandbox_began; /* else it ended with an older sandbox */
            if (counts && slot_exit_code(s) == 0) {
                continue;
            }
            if (counts && slot_finished(s)) {
                return INIT_FAILED;
            }
            slot_rearm(s); /* stays as it is while the last attempt is being released */
        }
        if (s->sm.state == SLOT_WAITING) {
            slot_try_start(s);
        }
        if (!s->sidecar || !s->started) {
            return INIT_BUSY;
        }
    }
    return INIT_DONE;
}

static void run(struct pod *p)
{
    bool mains_began = false;
    pod_tokens_step(p);
    if (p->refresh && !p->refreshing) {
        pod_refresh(p);
    }
    for (size_t i = 0; i < p->n_slots; i++) {
        const struct slot *s = p->slots[i];
        mains_began |= !s->init && !s->ephemeral && s->sandbox_began;
    }
    restart_changed(p);
    pod_resize(p);
    enum init_result init = run_init(p, mains_began);
    if (init == INIT_FAILED) {
        begin_ending(p);
        return;
    }
    if (init == INIT_BUSY && !mains_began) {
        return;
    }
    for (size_t i = 0; i < p->n_slots; i++) {
        struct slot *s = p->slots[i];
        if (!s->init && s->sm.state == SLOT_EXITED && !slot_finished(s)) {
            slot_rearm(s);
        }
        bool due = !s->init && (!s->ephemeral || mains_began);
        if (due && s->sm.state == SLOT_WAITING) {
            slot_try_start(s);
        }
    }
    if (mains_finished(p)) {
        begin_ending(p);
    }
}

/* spec.activeDeadlineSeconds counts from status.startTime. */
static void watch_deadline(struct pod *p)
{
    int64_t s = json_path_i64(p->obj, "spec.activeDeadlineSeconds", 0);
    if (s <= 0 || p->sm.state >= POD_ENDING || p->start_time.us == 0) {
        return;
    }
    int64_t left = p->start_time.us + s * 1000000 - wall_now().us;
    if (left > 0) {
        pod_wake_at(p, (struct mono){mono_now().us + left});
        return;
    }
    pod_event(p, NULL, "Normal", "DeadlineExceeded",
              "Pod was active on the node longer than the specified deadline");
    pod_fail(p, "DeadlineExceeded",
             "Pod was active on the node longer than the specified deadline");
}

/* ---- stopping ---- */

static bool stop_some(struct pod *p, bool sidecars, int64_t left_us)
{
    bool alive = false;
    for (size_t i = p->n_slots; i-- > 0;) {
        struct slot *s = p->slots[i];
        if (s->sidecar == sidecars && slot_alive(s)) {
            slot_stop(s, left_us, "Stopping container");
            alive = true;
        }
    }
    return alive;
}

static void begin_stopping(struct pod *p)
{
    p->stop_began = mono_now();
    p->grace_us = pod_grace_us(p);
    p->teardown = 0;
    sm_move(&p->sm, POD_STOPPING);
}

static void stop(struct pod *p)
{
    int64_t grace = pod_grace_us(p);
    p->grace_us = MIN_OF(p->grace_us, grace); /* a later delete may only shorten it */
    int64_t left = p->stop_began.us + p->grace_us - mono_now().us;
    left = left < 0 ? 0 : left;
    if (stop_some(p, /* sidecars= */ false, left) || stop_some(p, true, left) || p->op_busy ||
        p->refreshing) {
        return;
    }
    bool keep = p->failed && !p->orphan && !obj_deleting(p->obj);
    pod_tell(p); /* the last word, while the containers' ends are known */
    sm_move(&p->sm, keep ? POD_ENDING : POD_TEARDOWN);
    pod_wake(p);
}

/* Nothing is left on the machine. The object goes when the parent has heard of it. */
static void gone(struct pod *p)
{
    struct err err;
    if (p->dead > 0) {
        return;
    }
    if (p->orphan) {
        pod_tokens_free(p, /* erase= */ true);
        pod_free(p);
        return;
    }
    if (!p->told_gone && replica_pod_gone(p->inf->replica, p->ns, p->name, p->uid, &err) < 0) {
        log_error("pod %s/%s: %s", p->ns, p->name, err.text);
        pod_wake_at(p, (struct mono){mono_now().us + 1000000});
        return;
    }
    p->told_gone = true;
}

static bool past_stopping(const struct pod *p)
{
    return p->sm.state == POD_STOPPING || p->sm.state == POD_TEARDOWN || p->sm.state == POD_GONE ||
           (p->failed && !p->orphan && !obj_deleting(p->obj) &&
            (p->sm.state == POD_ENDING || p->sm.state == POD_ENDED));
}

static void step(void *arg)
{
    struct pod *p = arg;
    if (!p->inf->ready || p->inf->stopping) {
        return;
    }
    io_timer_stop(&p->timer);
    if (pod_stopping(p) && !past_stopping(p)) {
        if (p->sm.state == POD_ENDING && p->op_busy) {
            return; /* its end wakes us */
        }
        begin_stopping(p);
    }
    switch ((enum pod_state)p->sm.state) {
    case POD_NEW:
        begin(p);
        break;
    case POD_VOLUMES:
    case POD_SANDBOX:
    case POD_NETWORK:
        pod_setup(p);
        break;
    case POD_RUNNING:
        run(p);
        break;
    case POD_STOPPING:
        stop(p);
        break;
    case POD_ENDING:
    case POD_TEARDOWN:
        pod_teardown(p);
        break;
    case POD_GONE:
        gone(p); /* may free it */
        return;
    case POD_ENDED:
    case POD_STATE_NR:
        break;
    }
    watch_deadline(p);
    if (p->sm.state < POD_TEARDOWN) {
        pod_tell(p);
    }
}

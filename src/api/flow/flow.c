/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fair queues over loop time: see flow.h.
 *
 * A slice begins with the first request after the loop has been idle or after SLICE_US of work. In
 * a slice every flow may spend its share at once; what comes beyond waits for the rounds. A round
 * visits each waiting flow once (deficit round robin with time as the currency), then the loop
 * reads from the network again.
 */
#include "api/flow/flow.h"

#include <stdio.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "io/loop.h"

#define SLICE_US 10000 /* shares are renewed after this much time */
#define SHARE_US 500   /* loop time of a flow of weight 1 in a slice, and in a round */

struct flow {
    struct flow_control *fc;
    struct list link;  /* in fc->turns while entries wait */
    struct list queue; /* struct flow_entry.link */
    size_t waiting;
    int64_t left;  /* microseconds of the present slice or round; below zero after a long request */
    int64_t slice; /* number of the slice that `left` is of */
    unsigned weight;
    bool running; /* one of its requests is being worked on */
    char name[FLOW_NAME_SIZE];
};

struct flow_control {
    struct io_loop *loop;
    int64_t (*now_us)(void);
    struct io_task task;
    struct map flows; /* name -> struct flow */
    struct list turns;
    size_t waiting;
    int64_t slice, slice_end;
};

static int64_t monotonic(void)
{
    return mono_now().us;
}

/* ---- flows ---- */

static void forget_idle(struct flow_control *fc)
{
    struct flow *idle[64];
    size_t n = 0;
    MAP_FOR_EACH (slot, &fc->flows) {
        struct flow *f = slot->value;
        if (f->waiting == 0 && !f->running && f->slice != fc->slice && n < ARRAY_SIZE(idle)) {
            idle[n++] = f;
        }
    }
    for (size_t i = 0; i < n; i++) {
        (void)map_del(&fc->flows, str_of(idle[i]->name));
        mem_free(idle[i]);
    }
}

static struct flow *flow_of(struct flow_control *fc, const struct flow_key *key)
{
    struct flow *f = map_get(&fc->flows, str_of(key->name));
    if (f) {
        return f;
    }
    if (map_len(&fc->flows) >= LIMIT_FLOWS) {
        forget_idle(fc);
    }
    f = mem_zalloc(sizeof(*f));
    if (!f) {
        return NULL;
    }
    f->fc = fc;
    f->weight = key->weight;
    f->slice = -1;
    list_init(&f->link);
    list_init(&f->queue);
    (void)cstr_copy(f->name, sizeof(f->name), key->name); /* names are cut by flow_key_of() */
    if (map_put(&fc->flows, str_of(f->name), f, NULL) < 0) {
        mem_free(f);
        return NULL;
    }
    return f;
}

/* A new slice gives every flow its share again; a debt stays. */
static void renew(struct flow_control *fc, struct flow *f, int64_t now)
{
    if (now >= fc->slice_end) {
        fc->slice++;
        fc->slice_end = now + SLICE_US;
    }
    if (f->slice != fc->slice) {
        int64_t share = (int64_t)f->weight * SHARE_US;
        f->left = f->left < 0 ? f->left + share : share;
        f->slice = fc->slice;
    }
}

static int64_t spend(struct flow_control *fc, struct flow *f, flow_fn *fn, void *arg, int64_t now)
{
    bool nested = f->running; /* a controller's call inside a request */
    f->running = true;
    fn(arg);
    f->running = nested;
    int64_t end = fc->now_us();
    f->left -= end - now;
    return end;
}

/* ---- rounds ---- */

static void leave(struct flow_entry *e)
{
    struct flow *f = e->flow;
    list_del(&e->link);
    e->flow = NULL;
    f->waiting--;
    f->fc->waiting--;
    if (f->waiting == 0) {
        list_del(&f->link);
    }
}

static void serve(struct flow_control *fc, struct flow *f)
{
    int64_t now = fc->now_us();
    f->left += (int64_t)f->weight * SHARE_US;
    while (f->waiting > 0 && f->left > 0) {
        struct flow_entry *e = CONTAINER_OF(f->queue.next, struct flow_entry, link);
        leave(e);
        now = spend(fc, f, e->fn, e->arg, now);
    }
    if (f->waiting == 0 && f->left > 0) {
        f->left = 0; /* nothing is saved up */
    }
}

static void round_of_turns(void *arg)
{
    struct flow_control *fc = arg;
    struct list turns;
    list_init(&turns);
    list_splice(&turns, &fc->turns);
    while (!list_empty(&turns)) {
        struct flow *f = CONTAINER_OF(turns.next, struct flow, link);
        list_del(&f->link);
        list_push_back(&fc->turns, &f->link);
        serve(fc, f);
    }
    if (fc->waiting > 0) {
        loop_defer(fc->loop, &fc->task);
    }
}

/* ---- the door ---- */

int flow_submit(struct flow_control *fc, const struct flow_key *key, struct flow_entry *e,
                flow_fn *fn, void *arg)
{
    if (key->weight == 0) {
        fn(arg);
        return 0;
    }
    struct flow *f = flow_of(fc, key);
    if (!f) {
        return -ENOMEM;
    }
    f->weight = key->weight; /* its level may have changed */
    int64_t now = fc->now_us();
    renew(fc, f, now);
    if (f->waiting == 0 && f->left > 0) {
        (void)spend(fc, f, fn, arg, now);
        return 0;
    }
    if (f->waiting >= LIMIT_FLOW_QUEUE || key->reject) {
        metric_add(METRIC_FLOW_REFUSED, 1);
        return -E_TOOMANY;
    }
    metric_add(METRIC_FLOW_QUEUED, 1);
    *e = (struct flow_entry){.flow = f, .fn = fn, .arg = arg};
    list_push_back(&f->queue, &e->link);
    if (f->waiting++ == 0) {
        list_push_back(&fc->turns, &f->link);
    }
    fc->waiting++;
    loop_defer(fc->loop, &fc->task);
    return 0;
}

void flow_cancel(struct flow_entry *e)
{
    if (e->flow) {
        leave(e);
    }
}

size_t flow_waiting(const struct flow_control *fc)
{
    return fc->waiting;
}

struct flow_control *flow_control_new(struct io_loop *loop, int64_t (*now_us)(void))
{
    struct flow_control *fc = mem_zalloc(sizeof(*fc));
    if (fc) {
        fc->loop = loop;
        fc->now_us = now_us ? now_us : monotonic;
        map_init(&fc->flows);
        list_init(&fc->turns);
        io_task_init(&fc->task, round_of_turns, fc);
    }
    return fc;
}

void flow_control_free(struct flow_control *fc)
{
    if (!fc) {
        return;
    }
    assert(fc->waiting == 0);
    io_task_cancel(&fc->task);
    map_fini(&fc->flows, mem_free);
    mem_free(fc);
}

/* ---- whose flow ---- */

#define WEIGHT_ADMIN 8
#define WEIGHT_NODE 2
#define WEIGHT_SYSTEM 4
#define WEIGHT_OTHER 1

static struct flow_key key_made(char text[FLOW_NAME_SIZE], unsigned weight, const char *level,
                                struct str name)
{
    if (name.n < 64) {
        (void)snprintf(text, FLOW_NAME_SIZE, "%s/" STR_FMT, level, STR_ARG(name)); /* it fits */
    } else {
        (void)snprintf(text, FLOW_NAME_SIZE, "%s/%.64s#%016llx", level, name.p,
                       (unsigned long long)hash_bytes(name.p, name.n)); /* it fits */
    }
    return (struct flow_key){.weight = weight, .name = text};
}

struct flow_key flow_key_of(const struct api_user *user, char text[FLOW_NAME_SIZE])
{
    struct str name = str_of(user->name), ns;
    if (api_user_in(user, "system:masters")) {
        return key_made(text, WEIGHT_ADMIN, "admin", name);
    }
    if (api_user_in(user, "system:nodes")) {
        return key_made(text, WEIGHT_NODE, "node", name);
    }
    if (str_starts(name, "system:serviceaccount:")) {
        name = str_n(name.p + 22, name.n - 22);
        (void)str_cut(name, ':', &ns, NULL);
        bool system = str_is(ns, "kube-system");
        return key_made(text, system ? WEIGHT_SYSTEM : WEIGHT_OTHER, "serviceaccounts", ns);
    }
    return key_made(text, WEIGHT_OTHER, "user", name);
}

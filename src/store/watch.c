/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches: cursors into the history.
 *
 * Invariants:
 *  1. w->next is the first event behind the cursor that w's prefix matches; NULL = none yet. It may
 *     be used only while next_rev is above the chain's floor; else the event was dropped.
 *  2. A watch with next == NULL has seen everything that is published. It keeps no revision, so a
 *     quiet watch never falls off the history.
 *  3. armed: the owner has drained the watch and is to be told. A watch is on s->ready from the
 * time that it is to be told until it is.
 */
#include "store_private.h"

#include "base/metrics.h"

struct store_watch {
    struct store *store;             /* NULL: the store is closed */
    struct store_resource *resource; /* NULL: of all */
    struct list link, ready_link;
    store_ready_fn *on_ready;
    void *arg;
    struct store_event *next;
    int64_t next_rev;
    bool armed, gone;
    size_t prefix_n;
    char prefix[];
};

static bool matches(const struct store_watch *w, const struct store_event *ev)
{
    return key_in(store_item_key(ev->item), str_n(w->prefix, w->prefix_n));
}

/* ---- walking the chain ---- */

static struct list *chain_head(const struct store_watch *w)
{
    return w->resource ? &w->resource->events : &w->store->events;
}

static int64_t chain_floor(const struct store_watch *w)
{
    return w->resource ? w->resource->floor_rev : w->store->floor_rev;
}

static struct store_event *event_of(const struct store_watch *w, struct list *l)
{
    return w->resource ? CONTAINER_OF(l, struct store_event, resource_link)
                       : CONTAINER_OF(l, struct store_event, link);
}

static struct list *link_of(const struct store_watch *w, struct store_event *ev)
{
    return w->resource ? &ev->resource_link : &ev->link;
}

/* Sets the cursor to the first match at l or behind it. */
static void seek_match(struct store_watch *w, struct list *l)
{
    for (; l != chain_head(w); l = l->next) {
        struct store_event *ev = event_of(w, l);
        if (matches(w, ev)) {
            w->next = ev;
            w->next_rev = ev->rev;
            return;
        }
    }
    w->next = NULL;
}

/* The first event after rev, looked for from the newest: most watchers are near it. */
static struct list *chain_after(const struct store_watch *w, int64_t rev)
{
    struct list *l = chain_head(w);
    while (l->prev != chain_head(w) && event_of(w, l->prev)->rev > rev) {
        l = l->prev;
    }
    return l;
}

/* ---- waking ---- */

static void make_ready(struct store *s, struct store_watch *w)
{
    w->armed = false;
    list_push_back(&s->ready, &w->ready_link);
}

static void notify_list(struct store *s, struct list *watches, struct store_event *ev)
{
    LIST_FOR_EACH (l, watches) {
        struct store_watch *w = CONTAINER_OF(l, struct store_watch, link);
        if (!w->next && matches(w, ev)) {
            w->next = ev;
            w->next_rev = ev->rev;
            if (w->armed) {
                make_ready(s, w);
            }
        }
    }
}

void watch_notify(struct store *s, struct store_event *ev)
{
    notify_list(s, &ev->resource->watches, ev);
    notify_list(s, &s->watches, ev);
}

void watch_run_ready(void *store)
{
    struct store *s = store;
    struct list batch; /* watches opened meanwhile wait for their own task */
    list_init(&batch);
    list_splice(&batch, &s->ready);
    for (struct list *l = list_pop_front(&batch); l; l = list_pop_front(&batch)) {
        struct store_watch *w = CONTAINER_OF(l, struct store_watch, ready_link);
        w->on_ready(w, w->arg);
    }
}

static void detach_list(struct list *watches)
{
    for (struct list *l = list_pop_front(watches); l; l = list_pop_front(watches)) {
        struct store_watch *w = CONTAINER_OF(l, struct store_watch, link);
        list_del(&w->ready_link);
        w->store = NULL;
        w->next = NULL;
    }
}

void watch_detach_all(struct store *s)
{
    MAP_FOR_EACH (slot, &s->resources) {
        struct store_resource *r = slot->value;
        detach_list(&r->watches);
    }
    detach_list(&s->watches);
}

/* ---- the calls ---- */

int store_watch_open(struct store *s, struct str prefix, int64_t from_rev, store_ready_fn *on_ready,
                     void *arg, struct store_watch **ret)
{
    if (from_rev > s->rev) {
        return -E_RANGE;
    }
    struct store_resource *r = NULL;
    if (prefix.n && memchr(prefix.p, '/', prefix.n)) {
        r = resource_get(s, prefix);
        if (!r) {
            return -ENOMEM;
        }
    }
    if (from_rev < (r ? r->floor_rev : s->floor_rev)) {
        return -E_GONE;
    }
    struct store_watch *w = mem_zalloc(sizeof *w + prefix.n);
    if (!w) {
        return -ENOMEM;
    }
    w->store = s;
    w->resource = r;
    w->on_ready = on_ready;
    w->arg = arg;
    w->armed = true;
    w->prefix_n = prefix.n;
    if (prefix.n) {
        memcpy(w->prefix, prefix.p, prefix.n);
    }
    list_init(&w->ready_link);
    list_push_back(r ? &r->watches : &s->watches, &w->link);
    seek_match(w, chain_after(w, from_rev));
    if (w->next) {
        make_ready(s, w);
        loop_defer(s->loop, &s->ready_task);
    }
    metric_add(METRIC_WATCHERS, 1);
    *ret = w;
    return 0;
}

int store_watch_next(struct store_watch *w, struct store_event **ret)
{
    if (!w->store) {
        return -E_CANCELED;
    }
    if (!w->gone && w->next && w->next_rev <= chain_floor(w)) {
        w->gone = true;
        metric_add(METRIC_WATCH_OVERFLOWS, 1);
    }
    if (w->gone) {
        return -E_GONE;
    }
    struct store_event *ev = w->next;
    if (!ev) {
        list_del(&w->ready_link); /* drained before its turn: nothing to be told any more */
        w->armed = true;
        return 0;
    }
    seek_match(w, link_of(w, ev)->next);
    metric_add(METRIC_WATCH_EVENTS, 1);
    *ret = ev;
    return 1;
}

int64_t store_watch_rev(const struct store_watch *w)
{
    return w->next ? w->next_rev - 1 : w->store ? w->store->rev : 0;
}

void store_watch_close(struct store_watch *w)
{
    if (!w) {
        return;
    }
    list_del(&w->link);
    list_del(&w->ready_link);
    metric_add(METRIC_WATCHERS, -1);
    mem_free(w);
}

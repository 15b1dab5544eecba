/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: an intrusive pairing heap over one libuv timer, so that a timer needs no closing and
 * starting one never allocates. A timer that fires and restarts itself at once waits for the next
 * tick.
 */
#include "base/mem.h"
#include "loop_private.h"

static bool before(const struct io_timer *a, const struct io_timer *b)
{
    return a->due != b->due ? a->due < b->due : a->seq < b->seq;
}

/* Joins two heaps; either may be NULL. A root has neither next nor prev. */
static struct io_timer *meld(struct io_timer *a, struct io_timer *b)
{
    if (!a || !b) {
        return a ? a : b;
    }
    if (before(b, a)) {
        struct io_timer *t = a;
        a = b;
        b = t;
    }
    b->next = a->child;
    if (b->next) {
        b->next->prev = b;
    }
    b->prev = a;
    a->child = b;
    return a;
}

/* Melds the children of a removed root: in pairs from the left, then the pairs from the right. */
static struct io_timer *meld_children(struct io_timer *first)
{
    struct io_timer *pairs = NULL;
    while (first) {
        struct io_timer *a = first, *b = a->next;
        first = b ? b->next : NULL;
        a->next = a->prev = NULL;
        if (b) {
            b->next = b->prev = NULL;
        }
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct io_timer *root = NULL;
    while (pairs) {
        struct io_timer *next = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

static void heap_remove(struct io_loop *l, struct io_timer *t)
{
    if (l->heap == t) {
        l->heap = meld_children(t->child);
    } else {
        if (t->prev->child == t) {
            t->prev->child = t->next;
        } else {
            t->prev->next = t->next;
        }
        if (t->next) {
            t->next->prev = t->prev;
        }
        l->heap = meld(l->heap, meld_children(t->child));
    }
    t->child = t->next = t->prev = NULL;
}

static void on_due(uv_timer_t *h)
{
    loop_fire_timers(h->data);
}

static void arm(struct io_loop *l)
{
    if (l->firing) {
        return;
    }
    if (!l->heap) {
        (void)uv_timer_stop(&l->timer);
        return;
    }
    int64_t wait = l->heap->due - (int64_t)uv_now(&l->uv);
    (void)uv_timer_start(&l->timer, on_due, (uint64_t)MAX_OF(wait, (int64_t)0), 0);
}

static void insert(struct io_loop *l, struct io_timer *t, int64_t ms)
{
    ms = MIN_OF(MAX_OF(ms, (int64_t)0), INT64_MAX / 2); /* "never" does not overflow */
    t->due = MAX_OF((int64_t)uv_now(&l->uv) + ms, (int64_t)1);
    t->seq = ++l->timer_seq;
    l->heap = meld(l->heap, t);
}

void io_timer_init(struct io_loop *l, struct io_timer *t, void (*fn)(void *arg), void *arg)
{
    *t = (struct io_timer){.loop = l, .fn = fn, .arg = arg};
}

void io_timer_start(struct io_timer *t, int64_t ms, int64_t repeat_ms)
{
    struct io_loop *l = t->loop;
    io_timer_stop(t);
    uv_update_time(&l->uv);
    t->repeat = repeat_ms;
    insert(l, t, ms);
    if (l->heap == t) {
        arm(l);
    }
}

void io_timer_stop(struct io_timer *t)
{
    if (t->due) {
        bool first = t->loop->heap == t;
        heap_remove(t->loop, t);
        t->due = 0;
        if (first) {
            arm(t->loop);
        }
    }
}

bool io_timer_active(const struct io_timer *t)
{
    return t->due != 0;
}

void loop_fire_timers(struct io_loop *l)
{
    int64_t now = (int64_t)uv_now(&l->uv);
    uint64_t newest = l->timer_seq;
    l->firing = true;
    while (l->heap && l->heap->due <= now && l->heap->seq <= newest) {
        struct io_timer *t = l->heap;
        heap_remove(l, t);
        t->due = 0;
        if (t->repeat > 0) {
            insert(l, t, t->repeat);
        }
        t->fn(t->arg);
    }
    l->firing = false;
    arm(l);
}

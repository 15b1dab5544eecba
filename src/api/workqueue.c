/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keyed work queue; the contract is in workqueue.h.
 *
 * A key has at most one item. An item is on the ready list, or out, or both dirty and out (it goes
 * to the ready list when done), and apart from that its timer may run. An item with none of these
 * and no failures is freed.
 */
#include "workqueue.h"

#include <string.h>

#include "base/list.h"
#include "base/map.h"
#include "io/loop.h"

#define RETRY_FIRST_MS 5
#define RETRY_MAX_MS 1000000
#define PER_TICK 64 /* keys handed out before the loop may do something else */

struct work_item {
    struct list link; /* on q->ready */
    struct workqueue *q;
    struct io_timer timer;
    int64_t due; /* loop time in ms of the timer */
    unsigned failures;
    bool ready, out, dirty;
    char key[];
};

struct workqueue {
    struct io_loop *loop;
    struct io_task task;
    struct map items;
    struct list ready;
    size_t n_ready;
    unsigned workers, out;
    bool paused;
    workqueue_fn *fn;
    void *arg;
};

static void release_if_idle(struct work_item *item)
{
    if (item->ready || item->out || item->failures || io_timer_active(&item->timer)) {
        return;
    }
    (void)map_del(&item->q->items, str_of(item->key)); /* the item itself */
    mem_free(item);
}

static void make_ready(struct work_item *item)
{
    if (item->out) {
        item->dirty = true;
    } else if (!item->ready) {
        item->ready = true;
        item->q->n_ready++;
        list_push_back(&item->q->ready, &item->link);
        loop_defer(item->q->loop, &item->q->task);
    }
}

static void timer_fired(void *arg)
{
    make_ready(arg);
}

static struct work_item *item_of(struct workqueue *q, const char *key)
{
    struct work_item *item = map_get(&q->items, str_of(key));
    if (item) {
        return item;
    }
    size_t n = strlen(key) + 1;
    item = mem_zalloc(sizeof(*item) + n);
    if (!item || map_put(&q->items, str_of(key), item, NULL) < 0) {
        mem_free(item);
        return NULL;
    }
    memcpy(item->key, key, n);
    item->q = q;
    list_init(&item->link);
    io_timer_init(q->loop, &item->timer, timer_fired, item);
    return item;
}

static void hand_out(void *arg)
{
    struct workqueue *q = arg;
    for (int i = 0; i < PER_TICK && q->out < q->workers && !q->paused; i++) {
        struct list *l = list_pop_front(&q->ready);
        if (!l) {
            return;
        }
        struct work_item *item = CONTAINER_OF(l, struct work_item, link);
        item->ready = false;
        item->out = true;
        q->n_ready--;
        q->out++;
        q->fn(q->arg, item->key);
    }
    if (!list_empty(&q->ready) && q->out < q->workers && !q->paused) {
        loop_defer(q->loop, &q->task);
    }
}

struct workqueue *workqueue_new(struct io_loop *loop, unsigned workers, workqueue_fn *fn, void *arg)
{
    struct workqueue *q = mem_zalloc(sizeof(*q));
    if (q) {
        q->loop = loop;
        q->workers = workers ? workers : 1;
        q->fn = fn;
        q->arg = arg;
        map_init(&q->items);
        list_init(&q->ready);
        io_task_init(&q->task, hand_out, q);
    }
    return q;
}

static void free_item(void *value)
{
    struct work_item *item = value;
    io_timer_stop(&item->timer);
    mem_free(item);
}

void workqueue_free(struct workqueue *q)
{
    if (q) {
        io_task_cancel(&q->task);
        map_fini(&q->items, free_item);
        mem_free(q);
    }
}

void workqueue_add(struct workqueue *q, const char *key)
{
    struct work_item *item = item_of(q, key);
    if (item) {
        make_ready(item);
    }
}

static void add_item_after(struct work_item *item, int64_t ms)
{
    int64_t due = loop_now(item->q->loop).us / 1000 + ms;
    if (!io_timer_active(&item->timer) || due < item->due) {
        item->due = due;
        io_timer_start(&item->timer, ms > 0 ? ms : 0, /* repeat_ms= */ 0);
    }
}

void workqueue_add_after(struct workqueue *q, const char *key, int64_t ms)
{
    struct work_item *item = item_of(q, key);
    if (item) {
        add_item_after(item, ms);
    }
}

void workqueue_retry(struct workqueue *q, const char *key)
{
    struct work_item *item = item_of(q, key);
    if (item) {
        int64_t ms = item->failures < 20 ? (int64_t)RETRY_FIRST_MS << item->failures : RETRY_MAX_MS;
        item->failures++;
        add_item_after(item, ms < RETRY_MAX_MS ? ms : RETRY_MAX_MS);
    }
}

void workqueue_forget(struct workqueue *q, const char *key)
{
    struct work_item *item = map_get(&q->items, str_of(key));
    if (item) {
        item->failures = 0;
        release_if_idle(item);
    }
}

void workqueue_done(struct workqueue *q, const char *key)
{
    struct work_item *item = map_get(&q->items, str_of(key));
    assert(item && item->out);
    item->out = false;
    q->out--;
    if (item->dirty) {
        item->dirty = false;
        make_ready(item);
    } else {
        release_if_idle(item);
    }
    if (!list_empty(&q->ready)) {
        loop_defer(q->loop, &q->task);
    }
}

void workqueue_pause(struct workqueue *q, bool paused)
{
    q->paused = paused;
    if (!paused && !list_empty(&q->ready)) {
        loop_defer(q->loop, &q->task);
    }
}

size_t workqueue_len(const struct workqueue *q)
{
    return q->n_ready + q->out;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Messages that wait in memory; see sink_queue.h. */
#include "sink_queue.h"

#include "base/mem.h"

void sink_queue_init(struct sink_queue *q)
{
    *q = (struct sink_queue){0};
    list_init(&q->items);
}

struct sink_item *sink_item_new(void)
{
    struct sink_item *it = mem_zalloc(sizeof(*it));
    if (it) {
        list_init(&it->link);
        arena_init_small(&it->arena, 0);
    }
    return it;
}

void sink_item_free(struct sink_item *it)
{
    if (it) {
        arena_fini(&it->arena);
        mem_free(it);
    }
}

static size_t size_of(const struct sink_item *it)
{
    return sizeof(*it) + it->message.bytes.n + (it->message.object ? it->arena.used : 0);
}

void sink_queue_push(struct sink_queue *q, struct sink_item *it)
{
    list_push_back(&q->items, &it->link);
    q->n++;
    q->bytes += size_of(it);
}

void sink_queue_remove(struct sink_queue *q, struct sink_item *it)
{
    list_del(&it->link);
    q->n--;
    q->bytes -= size_of(it);
    q->under_way -= it->under_way;
    sink_item_free(it);
}

void sink_queue_clear(struct sink_queue *q)
{
    while (!list_empty(&q->items)) {
        sink_queue_remove(q, CONTAINER_OF(q->items.next, struct sink_item, link));
    }
}

struct sink_item *sink_queue_find(struct sink_queue *q, uint64_t sequence)
{
    for (struct list *at = q->items.next; at != &q->items; at = at->next) {
        struct sink_item *it = CONTAINER_OF(at, struct sink_item, link);
        if (it->message.sequence == sequence) {
            return it;
        }
    }
    return NULL;
}

struct sink_item *sink_queue_oldest_idle(struct sink_queue *q)
{
    for (struct list *at = q->items.next; at != &q->items; at = at->next) {
        struct sink_item *it = CONTAINER_OF(at, struct sink_item, link);
        if (!it->under_way) {
            return it;
        }
    }
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the states of functions hold: one value, and queues of values in the order of their rows.
 * Values that own nothing lie in the state, others in a block of their own (stream/row.h).
 */
#ifndef STREAM_FN_KEPT_H
#define STREAM_FN_KEPT_H

#include "stream/row.h"

struct kept { /* zeroed: holds nothing */
    struct value value;
    struct row *row; /* private: the block behind the value */
    bool some;
};

int kept_set(struct kept *k, const struct value *v); /* 0 or -ENOMEM; then k is as before */
void kept_clear(struct kept *k);
/* The value, null where there is none. */
struct value kept_value(const struct kept *k);
int kept_save(const struct kept *k, struct arena *a, struct value *ret);
int kept_load(struct kept *k, const struct value *saved); /* into a zeroed one */
size_t kept_bytes(const struct kept *k);

struct queue { /* zeroed: empty; a ring */
    struct kept *items;
    uint32_t cap, first, n;
    size_t bytes; /* behind the items, the ring included */
};

static inline struct kept *queue_at(const struct queue *q, uint32_t i)
{
    return &q->items[(q->first + i) & (q->cap - 1)];
}
int queue_push(struct queue *q, const struct value *v); /* -ENOMEM, -E_LIMIT */
void queue_pop(struct queue *q);                        /* the oldest; nothing when it is empty */
int queue_append(struct queue *into, const struct queue *from);
void queue_fini(struct queue *q);
int queue_save(const struct queue *q, struct arena *a, struct value *ret);
int queue_load(struct queue *q, const struct value *saved);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Values and queues of values that function states hold. */
#include "kept.h"

#include <string.h>

#include "base/mem.h"

int kept_set(struct kept *k, const struct value *v)
{
    struct row *row = NULL;
    struct value value = *v;
    if (v->type >= VALUE_STRING) {
        row = row_new(v, 1, NULL, NULL, 0, 0);
        if (!row) {
            return -E_NOMEM;
        }
        value = row->cells[0];
    }
    row_unref(k->row);
    *k = (struct kept){.value = value, .row = row, .some = true};
    return 0;
}

void kept_clear(struct kept *k)
{
    row_unref(k->row);
    *k = (struct kept){.some = false};
}

struct value kept_value(const struct kept *k)
{
    return k->some ? k->value : VALUE_OF_NULL;
}

int kept_save(const struct kept *k, struct arena *a, struct value *ret)
{
    struct value *item = arena_alloc(a, sizeof(*item));
    if (!item) {
        return -E_NOMEM;
    }
    *item = value_save(a, &k->value);
    *ret = (struct value){.type = VALUE_ARRAY, .n = k->some ? 1 : 0, .items = item};
    return arena_failed(a) ? -E_NOMEM : 0;
}

int kept_load(struct kept *k, const struct value *saved)
{
    struct arena a;
    struct value v;
    if (saved->type != VALUE_ARRAY || saved->n > 1) {
        return -E_INVAL;
    }
    if (saved->n == 0) {
        return 0;
    }
    arena_init(&a, 0);
    int rc = value_load(&a, &saved->items[0], &v);
    rc = rc < 0 ? rc : kept_set(k, &v);
    arena_fini(&a);
    return rc;
}

size_t kept_bytes(const struct kept *k)
{
    return k->row ? k->row->bytes : 0;
}

/* ---- queues ---- */

static int grow(struct queue *q)
{
    uint32_t cap = q->cap ? q->cap * 2 : 8;
    if (cap > UINT32_C(1) << 30) {
        return -E_LIMIT;
    }
    struct kept *items = mem_alloc(cap * sizeof(*items));
    if (!items) {
        return -E_NOMEM;
    }
    for (uint32_t i = 0; i < q->n; i++) {
        items[i] = *queue_at(q, i);
    }
    mem_free(q->items);
    q->bytes += (cap - q->cap) * sizeof(*items);
    q->items = items;
    q->cap = cap;
    q->first = 0;
    return 0;
}

int queue_push(struct queue *q, const struct value *v)
{
    int rc = q->n == q->cap ? grow(q) : 0;
    if (rc < 0) {
        return rc;
    }
    struct kept *k = queue_at(q, q->n);
    *k = (struct kept){.some = false};
    rc = kept_set(k, v);
    if (rc == 0) {
        q->n++;
        q->bytes += kept_bytes(k);
    }
    return rc;
}

void queue_pop(struct queue *q)
{
    if (q->n == 0) {
        return;
    }
    struct kept *k = queue_at(q, 0);
    q->bytes -= kept_bytes(k);
    kept_clear(k);
    q->first = (q->first + 1) & (q->cap - 1);
    q->n--;
}

/* Blocks are immutable and counted: both queues hold them. */
int queue_append(struct queue *into, const struct queue *from)
{
    for (uint32_t i = 0; i < from->n; i++) {
        int rc = into->n == into->cap ? grow(into) : 0;
        if (rc < 0) {
            return rc;
        }
        struct kept *k = queue_at(into, into->n++);
        *k = *queue_at(from, i);
        (void)row_ref(k->row); /* returns it */
        into->bytes += kept_bytes(k);
    }
    return 0;
}

void queue_fini(struct queue *q)
{
    for (uint32_t i = 0; i < q->n; i++) {
        kept_clear(queue_at(q, i));
    }
    mem_free(q->items);
    *q = (struct queue){.n = 0};
}

int queue_save(const struct queue *q, struct arena *a, struct value *ret)
{
    struct value *items = arena_alloc(a, (q->n + 1) * sizeof(*items));
    for (uint32_t i = 0; items && i < q->n; i++) {
        items[i] = value_save(a, &queue_at(q, i)->value);
    }
    *ret = (struct value){.type = VALUE_ARRAY, .n = q->n, .items = items};
    return arena_failed(a) ? -E_NOMEM : 0;
}

int queue_load(struct queue *q, const struct value *saved)
{
    struct arena a;
    int rc = saved->type == VALUE_ARRAY ? 0 : -E_INVAL;
    arena_init(&a, 0);
    for (uint32_t i = 0; rc == 0 && i < saved->n; i++) {
        struct value v;
        rc = value_load(&a, &saved->items[i], &v);
        rc = rc < 0 ? rc : queue_push(q, &v);
        arena_clear(&a);
    }
    arena_fini(&a);
    return rc;
}

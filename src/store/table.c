/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Skip list with spans; see table.h.
 *
 * Invariants:
 *  1. On each level the keys ascend strictly.
 *  2. links[i].span is the distance in places to links[i].next, or to the place behind the last
 *     node when that is NULL; so the spans of one level add up to n + 1.
 */
#include "table.h"

#include <errno.h>
#include <string.h>

#include "base/encode.h"
#include "base/mem.h"

int table_init(struct table *t)
{
    *t = (struct table){0};
    random_bytes(&t->random, sizeof t->random);
    t->random |= 1; /* xorshift must not start at 0 */
    t->head = mem_zalloc(sizeof *t->head + TABLE_HEIGHT_MAX * sizeof t->head->links[0]);
    if (!t->head) {
        return -ENOMEM;
    }
    t->head->height = TABLE_HEIGHT_MAX;
    for (int i = 0; i < TABLE_HEIGHT_MAX; i++) {
        t->head->links[i].span = 1;
    }
    return 0;
}

void table_fini(struct table *t, void (*free_item)(struct store_item *it))
{
    struct table_node *n = t->head ? table_next(t->head) : NULL;
    while (n) {
        struct table_node *next = table_next(n);
        free_item(n->item);
        table_node_free(n);
        n = next;
    }
    table_node_free(t->head);
    *t = (struct table){0};
}

/* One level more with probability 1/4. Not predictable from outside, so that nobody can choose keys
 * that make the list degenerate. */
static uint32_t random_height(struct table *t)
{
    t->random ^= t->random << 13;
    t->random ^= t->random >> 7;
    t->random ^= t->random << 17;
    uint64_t bits = t->random >> 8;
    uint32_t height = 1;
    while ((bits & 3) == 0 && height < TABLE_HEIGHT_MAX) {
        height++;
        bits >>= 2;
    }
    return height;
}

struct table_node *table_node_new(struct table *t, struct str key)
{
    uint32_t height = random_height(t);
    struct table_node *n = mem_alloc(sizeof *n + height * sizeof n->links[0] + key.n);
    if (n) {
        *n = (struct table_node){.key_n = (uint32_t)key.n, .height = height};
        memcpy(&n->links[height], key.p, key.n);
    }
    return n;
}

void table_node_free(struct table_node *n)
{
    mem_free(n);
}

/* Whether n lies before the place that is sought. */
static bool is_before(const struct table_node *n, struct str key, enum table_seek how)
{
    struct str k = table_node_key(n);
    if (how == TABLE_BEHIND_PREFIX && k.n > key.n) {
        k.n = key.n;
    }
    int c = str_cmp(k, key);
    return how == TABLE_GE ? c < 0 : c <= 0;
}

struct table_node *table_seek(const struct table *t, struct str key, enum table_seek how,
                              size_t *ret_rank)
{
    struct table_node *n = t->head;
    size_t rank = 0;
    for (int i = TABLE_HEIGHT_MAX - 1; i >= 0; i--) {
        while (n->links[i].next && is_before(n->links[i].next, key, how)) {
            rank += n->links[i].span;
            n = n->links[i].next;
        }
    }
    if (ret_rank) {
        *ret_rank = rank;
    }
    return table_next(n);
}

struct table_node *table_find(const struct table *t, struct str key)
{
    struct table_node *n = table_seek(t, key, TABLE_GE, NULL);
    return n && str_eq(table_node_key(n), key) ? n : NULL;
}

/* The last node before key on each level, and its rank (the head has 0). */
static void find_before(struct table *t, struct str key, struct table_node *before[], size_t rank[])
{
    struct table_node *n = t->head;
    size_t r = 0;
    for (int i = TABLE_HEIGHT_MAX - 1; i >= 0; i--) {
        while (n->links[i].next && is_before(n->links[i].next, key, TABLE_GE)) {
            r += n->links[i].span;
            n = n->links[i].next;
        }
        before[i] = n;
        rank[i] = r;
    }
}

void table_link(struct table *t, struct table_node *n)
{
    struct table_node *before[TABLE_HEIGHT_MAX];
    size_t rank[TABLE_HEIGHT_MAX];
    find_before(t, table_node_key(n), before, rank);
    for (uint32_t i = 0; i < TABLE_HEIGHT_MAX; i++) {
        struct table_link *l = &before[i]->links[i];
        if (i < n->height) {
            size_t to_new = rank[0] + 1 - rank[i];
            n->links[i] = (struct table_link){.next = l->next, .span = l->span + 1 - to_new};
            *l = (struct table_link){.next = n, .span = to_new};
        } else {
            l->span++;
        }
    }
    t->n++;
}

void table_unlink(struct table *t, struct table_node *n)
{
    struct table_node *before[TABLE_HEIGHT_MAX];
    size_t rank[TABLE_HEIGHT_MAX];
    find_before(t, table_node_key(n), before, rank);
    assert(table_next(before[0]) == n);
    for (uint32_t i = 0; i < TABLE_HEIGHT_MAX; i++) {
        struct table_link *l = &before[i]->links[i];
        if (i < n->height) {
            l->span += n->links[i].span - 1;
            l->next = n->links[i].next;
        } else {
            l->span--;
        }
    }
    t->n--;
}

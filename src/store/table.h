/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ordered table of published items: a skip list by key, with spans, so that a position and the
 * number of keys in a range cost O(log n) like a look-up (W. Pugh, "Skip lists", 1990; the spans as
 * in Redis' sorted sets).
 *
 * Nodes are made apart from linking, because linking happens when a write is already durable and
 * must not fail. A node carries a copy of its key beside its pointers: a look-up then touches one
 * cache line a step, and never the items.
 */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct store_item;

#define TABLE_HEIGHT_MAX 12 /* 4^12 keys */

struct table_link {
    struct table_node *next;
    size_t span; /* how many places it jumps */
};

struct table_node {
    struct store_item *item; /* owned by the user of the table */
    int64_t disk_rev;        /* revision of the row on disk that holds this key; 0 = none */
    uint32_t key_n;
    uint32_t height;
    struct table_link links[]; /* height of them, then the key */
};

struct table {
    /* private */
    struct table_node *head; /* of full height, before the first key */
    size_t n;
    uint64_t random;
};

int table_init(struct table *t); /* 0 or -ENOMEM */
/* Frees the nodes, after free_item() of their items. A zeroed or half-built table is fine. */
void table_fini(struct table *t, void (*free_item)(struct store_item *it));

struct table_node *table_node_new(struct table *t, struct str key); /* NULL: no memory */
void table_node_free(struct table_node *n);                         /* NULL is fine */
static inline struct str table_node_key(const struct table_node *n)
{
    return str_n((const char *)&n->links[n->height], n->key_n);
}

struct table_node *table_find(const struct table *t, struct str key);
void table_link(struct table *t, struct table_node *n); /* its key must not be there */
void table_unlink(struct table *t, struct table_node *n);

enum table_seek { TABLE_GE, TABLE_GT, TABLE_BEHIND_PREFIX };
/* The first node whose key is >= key, > key, or behind every key that begins with `key`; NULL when
 * there is none. *ret_rank (may be NULL) is the number of nodes before it. */
struct table_node *table_seek(const struct table *t, struct str key, enum table_seek how,
                              size_t *ret_rank);
static inline struct table_node *table_next(const struct table_node *n)
{
    return n->links[0].next;
}

#endif

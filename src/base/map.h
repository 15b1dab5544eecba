/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from text to pointer. Keys are copied. Seeded SipHash, so outside keys cannot force
 * collisions; open addressing with backward-shift deletion. Iteration order is arbitrary; do not
 * change the map while iterating, except map_del of keys gathered before.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "str.h"

struct map_slot {
    char *key; /* NULL = empty slot; 0-terminated */
    uint32_t hash;
    uint32_t n; /* length of key */
    void *value;
};

struct map {
    /* private; iterate with MAP_FOR_EACH */
    struct map_slot *slots;
    size_t cap, len;
};

#define MAP_INIT ((struct map){0})

void map_init(struct map *m);
/* Frees the keys and the table; values are handed to free_fn first unless it is NULL. Usable again.
 */
void map_fini(struct map *m, void (*free_fn)(void *value));

/* 0, or -ENOMEM. An existing value is replaced and returned in *ret_old (may be NULL). */
int map_put(struct map *m, struct str key, void *value, void **ret_old);
void *map_get(const struct map *m, struct str key); /* NULL when absent */
void *map_del(struct map *m, struct str key);       /* the removed value or NULL */
static inline size_t map_len(const struct map *m)
{
    return m->len;
}

#define MAP_FOR_EACH(slot, m)                                                             \
    for (struct map_slot *slot = (m)->slots, *slot##_end = slot ? slot + (m)->cap : NULL; \
         slot != slot##_end; slot++)                                                      \
        if (slot->key)

uint64_t hash_bytes(const void *p, size_t n); /* SipHash-1-3 with a per-process random key */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Hash map from text to pointer; see map.h. SipHash-1-3 follows Aumasson and Bernstein, 2012. */
#include "map.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "encode.h"
#include "mem.h"

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
    random_bytes(seed, sizeof(seed));
}

static uint64_t rotl(uint64_t x, int b)
{
    return (x << b) | (x >> (64 - b));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

uint64_t hash_bytes(const void *data, size_t n)
{
    (void)pthread_once(&seed_once, make_seed); /* fails only for a bad argument */
    const unsigned char *p = data;
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575ull, seed[1] ^ 0x646f72616e646f6dull,
                     seed[0] ^ 0x6c7967656e657261ull, seed[1] ^ 0x7465646279746573ull};
    size_t whole = n & ~(size_t)7;
    for (size_t i = 0; i < whole; i += 8) {
        uint64_t m;
        memcpy(&m, p + i, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)n << 56;
    for (size_t i = whole; i < n; i++) {
        last |= (uint64_t)p[i] << (8 * (i - whole));
    }
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void map_init(struct map *m)
{
    *m = MAP_INIT;
}

void map_fini(struct map *m, void (*free_fn)(void *value))
{
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].key) {
            mem_free(m->slots[i].key);
            if (free_fn) {
                free_fn(m->slots[i].value);
            }
        }
    }
    mem_free(m->slots);
    map_init(m);
}

/* The slot that holds key, or the empty slot where it would go. cap is a power of two and never
 * full. */
static struct map_slot *probe(struct map_slot *slots, size_t cap, uint32_t hash, struct str key)
{
    size_t i = hash & (cap - 1);
    while (slots[i].key) {
        if (slots[i].hash == hash && slots[i].n == key.n &&
            (key.n == 0 || memcmp(slots[i].key, key.p, key.n) == 0)) {
            break;
        }
        i = (i + 1) & (cap - 1);
    }
    return &slots[i];
}

static int grow(struct map *m)
{
    size_t cap = m->cap ? m->cap * 2 : 8;
    struct map_slot *slots = mem_zalloc(cap * sizeof(*slots));
    if (!slots) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < m->cap; i++) {
        if (m->slots[i].key) {
            struct map_slot *s = &m->slots[i];
            *probe(slots, cap, s->hash, str_n(s->key, s->n)) = *s;
        }
    }
    mem_free(m->slots);
    m->slots = slots;
    m->cap = cap;
    return 0;
}

int map_put(struct map *m, struct str key, void *value, void **ret_old)
{
    uint32_t hash = (uint32_t)hash_bytes(key.p, key.n);
    if (key.n > UINT32_MAX / 2) {
        return -EINVAL;
    }
    if ((m->len + 1) * 4 > m->cap * 3 && grow(m) < 0) {
        return -ENOMEM;
    }
    struct map_slot *s = probe(m->slots, m->cap, hash, key);
    void *old = s->value;
    if (!s->key) {
        char *copy = mem_strndup(key.p, key.n);
        if (!copy) {
            return -ENOMEM;
        }
        *s = (struct map_slot){.key = copy, .hash = hash, .n = (uint32_t)key.n};
        m->len++;
        old = NULL;
    }
    s->value = value;
    if (ret_old) {
        *ret_old = old;
    }
    return 0;
}

void *map_get(const struct map *m, struct str key)
{
    if (m->len == 0) {
        return NULL;
    }
    struct map_slot *s = probe(m->slots, m->cap, (uint32_t)hash_bytes(key.p, key.n), key);
    return s->key ? s->value : NULL;
}

void *map_del(struct map *m, struct str key)
{
    if (m->len == 0) {
        return NULL;
    }
    struct map_slot *s = probe(m->slots, m->cap, (uint32_t)hash_bytes(key.p, key.n), key);
    if (!s->key) {
        return NULL;
    }
    void *value = s->value;
    mem_free(s->key);
    size_t hole = (size_t)(s - m->slots), mask = m->cap - 1;
    for (size_t i = (hole + 1) & mask; m->slots[i].key; i = (i + 1) & mask) {
        size_t home = m->slots[i].hash & mask;
        if (((i - home) & mask) >= ((i - hole) & mask)) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_slot){0};
    m->len--;
    return value;
}

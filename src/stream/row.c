/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in one block of memory each; see row.h. */
/* Rows: one block of memory each, and their form in checkpoints. */
#include "row.h"

#include <string.h>

#include "base/mem.h"

/* What lies behind the values of a row is laid out after its cells, each piece 8-byte aligned. */
struct place {
    char *at;
};

static size_t aligned(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static size_t deep_size(const struct value *v)
{
    size_t n = 0;
    switch (v->type) {
    case VALUE_STRING:
    case VALUE_BYTES:
        return aligned(v->n);
    case VALUE_ARRAY:
        n = v->n * sizeof(struct value);
        for (uint32_t i = 0; i < v->n; i++) {
            n += deep_size(&v->items[i]);
        }
        return n;
    case VALUE_OBJECT:
        n = v->n * sizeof(struct value_member);
        for (uint32_t i = 0; i < v->n; i++) {
            n += aligned(v->members[i].key.n) + deep_size(&v->members[i].value);
        }
        return n;
    default:
        return 0;
    }
}

static char *take(struct place *p, size_t n)
{
    char *at = p->at;
    p->at += aligned(n);
    return at;
}

static struct value place_value(struct place *p, const struct value *v)
{
    struct value out = *v;
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES) {
        char *to = take(p, v->n);
        if (v->n > 0) {
            memcpy(to, v->s, v->n);
        }
        out.s = to;
    } else if (v->type == VALUE_ARRAY) {
        struct value *items = (struct value *)(void *)take(p, v->n * sizeof(*items));
        for (uint32_t i = 0; i < v->n; i++) {
            items[i] = place_value(p, &v->items[i]);
        }
        out.items = items;
    } else if (v->type == VALUE_OBJECT) {
        struct value_member *members =
            (struct value_member *)(void *)take(p, v->n * sizeof(*members));
        for (uint32_t i = 0; i < v->n; i++) {
            struct str key = v->members[i].key;
            char *to = take(p, key.n);
            if (key.n > 0) {
                memcpy(to, key.p, key.n);
            }
            members[i].key = str_n(to, key.n);
            members[i].value = place_value(p, &v->members[i].value);
        }
        out.members = members;
    }
    return out;
}

struct row *row_new(const struct value *cells, uint32_t n_cells, const struct value *whole,
                    const struct value *meta, int64_t time_us, uint64_t sequence)
{
    static const struct value absent = {.type = VALUE_ABSENT};
    whole = whole ? whole : &absent;
    meta = meta ? meta : &absent;
    size_t bytes = sizeof(struct row) + n_cells * sizeof(struct value);
    size_t at = bytes;
    bytes += deep_size(whole) + deep_size(meta);
    for (uint32_t i = 0; i < n_cells; i++) {
        bytes += deep_size(&cells[i]);
    }
    struct row *r = bytes <= UINT32_MAX ? mem_alloc(bytes) : NULL;
    if (!r) {
        return NULL;
    }
    struct place p = {(char *)r + at};
    r->refs = 1;
    r->n_cells = n_cells;
    r->bytes = (uint32_t)bytes;
    r->time_us = time_us;
    r->sequence = sequence;
    r->meta = place_value(&p, meta);
    r->whole = place_value(&p, whole);
    for (uint32_t i = 0; i < n_cells; i++) {
        r->cells[i] = place_value(&p, &cells[i]);
    }
    return r;
}

struct row *row_ref(struct row *r)
{
    if (r) {
        r->refs++;
    }
    return r;
}

void row_unref(struct row *r)
{
    if (r && --r->refs == 0) {
        mem_free(r);
    }
}

/* [time, sequence, meta, whole, cell...] */
struct value row_save(struct arena *a, const struct row *r)
{
    struct value *items = arena_alloc(a, (r->n_cells + 4) * sizeof(*items));
    if (!items) {
        return VALUE_OF_NULL;
    }
    items[0] = value_int(r->time_us);
    items[1] = value_int((int64_t)r->sequence);
    items[2] = value_save(a, &r->meta);
    items[3] = value_save(a, &r->whole);
    for (uint32_t i = 0; i < r->n_cells; i++) {
        items[4 + i] = value_save(a, &r->cells[i]);
    }
    return (struct value){.type = VALUE_ARRAY, .n = r->n_cells + 4, .items = items};
}

struct row *row_load(const struct value *saved)
{
    struct arena a;
    struct value v;
    struct row *r = NULL;
    if (saved->type != VALUE_ARRAY || saved->n < 4) {
        return NULL;
    }
    arena_init(&a, 0);
    if (value_load(&a, saved, &v) == 0 && v.items[0].type == VALUE_INT &&
        v.items[1].type == VALUE_INT) {
        r = row_new(v.items + 4, v.n - 4, &v.items[3], &v.items[2], v.items[0].i,
                    (uint64_t)v.items[1].i);
    }
    arena_fini(&a);
    return r;
}

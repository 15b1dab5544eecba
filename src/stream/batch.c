/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of columns; see batch.h. */
#include "batch.h"

#include "base/limits.h"
#include "base/mem.h"

struct batch *batch_new(const struct shape *shape, size_t memory_cap)
{
    struct batch *b = mem_zalloc(sizeof(*b));
    if (!b) {
        return NULL;
    }
    b->refs = 1;
    b->shape = shape;
    b->n_columns = shape->n;
    arena_init(&b->arena, memory_cap ? memory_cap : LIMIT_BATCH_BYTES);
    b->columns = arena_zalloc(&b->arena, shape->n * sizeof(*b->columns));
    b->time_us = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*b->time_us));
    if (shape->whole) {
        b->whole = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*b->whole));
    }
    if (arena_failed(&b->arena)) {
        batch_unref(b);
        return NULL;
    }
    return b;
}

struct batch *batch_ref(struct batch *b)
{
    b->refs++;
    return b;
}

void batch_unref(struct batch *b)
{
    if (b && --b->refs == 0) {
        batch_unref(b->base); /* a chain of one or two: results of sub-queries */
        arena_fini(&b->arena);
        mem_free(b);
    }
}

static bool is_missing(const struct column *c, uint32_t row)
{
    return c->missing && (c->missing[row / 64] >> (row % 64) & 1);
}

void column_get(const struct column *c, uint32_t row, struct value *ret)
{
    if (c->kind == COLUMN_VALUE) {
        *ret = c->v[row];
    } else if (c->kind == COLUMN_CONST) {
        *ret = c->v[0];
    } else if (c->kind == COLUMN_ABSENT || is_missing(c, row)) {
        *ret = (struct value){.type = VALUE_ABSENT};
    } else if (c->kind == COLUMN_INT) {
        *ret = value_int(c->i[row]);
    } else if (c->kind == COLUMN_FLOAT) {
        *ret = value_float(c->f[row]);
    } else {
        *ret = value_bool(c->b[row]);
    }
}

#define CELLS_ON_STACK 64

struct row *batch_row(const struct batch *b, uint32_t row)
{
    struct value few[CELLS_ON_STACK];
    struct value *cells = few;
    if (b->n_columns > CELLS_ON_STACK) {
        cells = mem_alloc(b->n_columns * sizeof(*cells));
        if (!cells) {
            return NULL;
        }
    }
    for (uint32_t i = 0; i < b->n_columns; i++) {
        column_get(&b->columns[i], row, &cells[i]);
    }
    struct row *r = row_new(cells, b->n_columns, b->whole ? &b->whole[row] : NULL,
                            b->meta ? &b->meta[row] : NULL, b->time_us[row], b->sequence + row);
    if (cells != few) {
        mem_free(cells);
    }
    return r;
}

/* ---- typed columns ---- */

/* The one type of all values that are there; VALUE_NULL when they differ. */
static enum value_type common_type(const struct value *v, uint32_t n, uint32_t *ret_absent)
{
    enum value_type t = VALUE_ABSENT;
    uint32_t absent = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (v[i].type == VALUE_ABSENT) {
            absent++;
        } else if (t == VALUE_ABSENT) {
            t = (enum value_type)v[i].type;
        } else if (t != (enum value_type)v[i].type) {
            return VALUE_NULL;
        }
    }
    *ret_absent = absent;
    return t;
}

static uint64_t *missing_of(struct arena *a, const struct value *v, uint32_t n)
{
    uint64_t *bits = arena_zalloc(a, BATCH_ROWS / 8);
    for (uint32_t i = 0; bits && i < n; i++) {
        bits[i / 64] |= (uint64_t)(v[i].type == VALUE_ABSENT) << (i % 64);
    }
    return bits;
}

static void fill_words(struct column *c, enum column_kind kind, const struct value *v, uint32_t n)
{
    c->kind = kind;
    for (uint32_t i = 0; i < n; i++) {
        c->i[i] = v[i].type == VALUE_ABSENT ? 0 : v[i].i; /* a float's bits as well */
    }
}

static void fill_bools(struct column *c, const struct value *v, uint32_t n)
{
    c->kind = COLUMN_BOOL;
    for (uint32_t i = 0; i < n; i++) {
        c->b[i] = v[i].type != VALUE_ABSENT && v[i].b;
    }
}

void column_from_values(struct batch *b, struct column *c, struct value *values)
{
    uint32_t absent = 0;
    enum value_type t = common_type(values, b->rows, &absent);
    *c = (struct column){.kind = COLUMN_ABSENT};
    if (t == VALUE_ABSENT) {
        return;
    }
    if (t == VALUE_INT || t == VALUE_FLOAT || t == VALUE_BOOL) {
        void *data = arena_alloc(&b->arena, BATCH_ROWS * (t == VALUE_BOOL ? 1 : sizeof(int64_t)));
        c->missing = absent ? missing_of(&b->arena, values, b->rows) : NULL;
        if (data && (!absent || c->missing)) {
            c->i = data;
            if (t == VALUE_BOOL) {
                fill_bools(c, values, b->rows);
            } else {
                fill_words(c, t == VALUE_INT ? COLUMN_INT : COLUMN_FLOAT, values, b->rows);
            }
            return;
        }
    }
    *c = (struct column){.kind = COLUMN_VALUE, .v = values};
}

/* ---- a row of a result as an object ---- */

/* Members under construction; a key that comes again replaces the value and keeps its place. From
 * FEW_MEMBERS on a table of places finds it. */
struct members {
    struct value_member *m;
    uint32_t n;
    uint32_t *table; /* place + 1; NULL while there are few */
    uint32_t mask;
};

#define FEW_MEMBERS 16

static uint32_t *table_slot(const struct members *ms, struct str key)
{
    uint32_t at = (uint32_t)hash_bytes(key.p, key.n) & ms->mask;
    while (ms->table[at] && !str_eq(ms->m[ms->table[at] - 1].key, key)) {
        at = (at + 1) & ms->mask;
    }
    return &ms->table[at];
}

static struct value_member *find_member(const struct members *ms, struct str key)
{
    if (ms->table) {
        uint32_t place = *table_slot(ms, key);
        return place ? &ms->m[place - 1] : NULL;
    }
    for (uint32_t i = 0; i < ms->n; i++) {
        if (str_eq(ms->m[i].key, key)) {
            return &ms->m[i];
        }
    }
    return NULL;
}

static void set_member(struct members *ms, struct str key, const struct value *v)
{
    struct value_member *m = find_member(ms, key);
    if (m) {
        m->value = *v;
        return;
    }
    if (ms->table) {
        *table_slot(ms, key) = ms->n + 1;
    }
    ms->m[ms->n++] = (struct value_member){key, *v};
}

/* Most members that the object can have. */
static uint32_t count_members(const struct batch *b, uint32_t row)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < b->n_columns; i++) {
        struct value v;
        if (!b->shape->fields[i].spread) {
            n++;
        } else {
            column_get(&b->columns[i], row, &v);
            n += v.type == VALUE_OBJECT ? v.n : 0;
        }
    }
    return n;
}

static bool members_init(struct members *ms, struct arena *a, uint32_t most)
{
    *ms = (struct members){.m = arena_alloc(a, most * sizeof(*ms->m))};
    if (most > FEW_MEMBERS) {
        uint32_t size = 64;
        while (size < most * 2) {
            size *= 2;
        }
        ms->mask = size - 1;
        ms->table = arena_zalloc(a, size * sizeof(*ms->table));
    }
    return !arena_failed(a);
}

static void spread_members(struct members *ms, const struct value *v, bool nulls)
{
    for (uint32_t i = 0; v->type == VALUE_OBJECT && i < v->n; i++) {
        const struct value *member = &v->members[i].value;
        if (member->type != VALUE_ABSENT) {
            set_member(ms, v->members[i].key, member);
        } else if (nulls) {
            set_member(ms, v->members[i].key, &VALUE_OF_NULL);
        }
    }
}

struct value batch_object(struct arena *a, const struct batch *b, uint32_t row, bool nulls)
{
    struct members ms;
    if (!members_init(&ms, a, count_members(b, row))) {
        return VALUE_OF_NULL;
    }
    for (uint32_t i = 0; i < b->n_columns; i++) {
        const struct shape_field *f = &b->shape->fields[i];
        struct value v;
        column_get(&b->columns[i], row, &v);
        if (f->spread) {
            spread_members(&ms, &v, nulls);
        } else if (v.type != VALUE_ABSENT) {
            set_member(&ms, f->name, &v);
        } else if (nulls) {
            set_member(&ms, f->name, &VALUE_OF_NULL);
        }
    }
    return (struct value){.type = VALUE_OBJECT, .n = ms.n, .members = ms.m};
}

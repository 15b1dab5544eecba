/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a batch looked up in the groups of the index: by the hash of a value, and by a walk over
 * the tree of intervals.
 */
#include "index_private.h"

static bool same_value(const struct value *a, const struct value *b)
{
    if (a->type != b->type) {
        return false;
    }
    return a->type == VALUE_STRING ? str_eq(value_text(a), value_text(b))
           : a->type == VALUE_BOOL ? a->b == b->b
                                   : a->i == b->i; /* normal floats are equal in their bits */
}

static void touch(struct index *x, uint32_t entry, uint32_t row)
{
    uint64_t *rows = x->rows + (size_t)entry * ROW_WORDS, bit = (uint64_t)1 << (entry % 64);
    if (!(x->touched[entry / 64] & bit)) {
        x->touched[entry / 64] |= bit;
        x->touched[index_words(x) + entry / 64] &= ~bit;
        memset(rows, 0, ROW_WORDS * sizeof(*rows));
    }
    rows[row / 64] |= (uint64_t)1 << (row % 64);
}

static void match_equal(struct index *x, const struct index_group *g, const struct value *v,
                        uint32_t row)
{
    struct value key = index_normal(v);
    uint64_t hash = index_hash(&key);
    uint32_t at = (uint32_t)hash & g->mask;
    while (g->table[at] && g->postings[g->table[at] - 1].hash != hash) {
        at = (at + 1) & g->mask;
    }
    for (uint32_t i = g->table[at]; i && i <= g->n_postings; i++) {
        const struct index_posting *p = &g->postings[i - 1];
        if (p->hash != hash) {
            return;
        }
        if (same_value(&p->value, &key)) {
            touch(x, p->entry, row);
        }
    }
}

/* The rounded bounds let it through: the exact ones decide. */
static bool inside(const struct index_key *k, const struct value *v)
{
    if (k->low.value.type != VALUE_ABSENT) {
        int c = value_order(v, &k->low.value);
        if (c < 0 || (c == 0 && k->low.open)) {
            return false;
        }
    }
    if (k->high.value.type != VALUE_ABSENT) {
        int c = value_order(v, &k->high.value);
        if (c > 0 || (c == 0 && k->high.open)) {
            return false;
        }
    }
    return true;
}

/* Intervals whose lower bound is not above f. */
static uint32_t count_low(const struct index_group *g, double f)
{
    uint32_t from = 0, to = g->n_intervals;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (g->intervals[middle].low <= f) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/* Walks the leaves before `end` whose upper bound is not below the value: from a node to the next
 * to the right, going down only where some leaf below can match. */
static void match_range(struct index *x, const struct index_group *g, const struct value *v,
                        uint32_t row)
{
    double f = index_rounded(v);
    uint32_t end = count_low(g, f), node = 1, first = 0, width = g->leaves;
    while (first < end) {
        if (g->highest[node] >= f) {
            if (node < g->leaves) {
                node *= 2;
                width /= 2;
                continue;
            }
            uint32_t entry = g->intervals[first].entry;
            if (inside(&x->entries[entry]->key, v)) {
                touch(x, entry, row);
            }
        }
        first += width; /* the next subtree: up while this is a right child */
        while (node & 1 && node > 1) {
            node /= 2;
            width *= 2;
        }
        if (node == 1) {
            return;
        }
        node++;
    }
}

static void touch_inexactly(struct index *x, uint32_t entry, uint32_t row)
{
    touch(x, entry, row);
    x->touched[index_words(x) + entry / 64] |= (uint64_t)1 << (entry % 64);
}

/* A value that keys cannot be compared with, perhaps an error: the rules see for themselves. */
static void match_foreign(struct index *x, const struct index_group *g, const struct value *v,
                          uint32_t row)
{
    int class = index_class(v);
    for (uint32_t i = 0; i < g->n_postings && (g->classes & ~(1u << class)); i++) {
        if (index_class(&g->postings[i].value) != class) {
            touch_inexactly(x, g->postings[i].entry, row);
        }
    }
    for (uint32_t i = 0; class != 1 && i < g->n_intervals; i++) {
        touch_inexactly(x, g->intervals[i].entry, row);
    }
}

static void match_value(struct index *x, const struct index_group *g, const struct value *v,
                        uint32_t row)
{
    if (value_is_null(v)) {
        return;
    }
    int class = index_class(v);
    if (g->n_intervals && class == 1 && (v->type == VALUE_INT || !isnan(v->f))) {
        match_range(x, g, v, row);
    }
    if (g->classes & 1u << class) {
        match_equal(x, g, v, row);
    }
    if ((g->classes & ~(1u << class)) || class != 1) {
        match_foreign(x, g, v, row);
    }
}

void index_match_group(struct index *x, const struct index_group *g, const struct batch *b)
{
    struct value v;
    if (g->field.meta) {
        for (uint32_t i = 0; b->meta && i < b->rows; i++) {
            const struct value *found = value_get(&b->meta[i], g->field.name);
            if (found) {
                match_value(x, g, found, i);
            }
        }
        return;
    }
    if (g->field.slot >= b->n_columns || b->columns[g->field.slot].kind == COLUMN_ABSENT) {
        return;
    }
    for (uint32_t i = 0; i < b->rows; i++) {
        column_get(&b->columns[g->field.slot], i, &v);
        match_value(x, g, &v, i);
    }
}

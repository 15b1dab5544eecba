/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The groups of the index, from the keys of its rules: hash tables of values, and intervals sorted
 * by their lower bounds with a tree of the greatest upper bounds above them.
 */
#include <stdlib.h>

#include "base/mem.h"
#include "index_private.h"

void index_forget(struct index *x)
{
    for (uint32_t i = 0; i < x->n_groups; i++) {
        mem_free(x->groups[i].postings);
        mem_free(x->groups[i].table);
        mem_free(x->groups[i].intervals);
        mem_free(x->groups[i].highest);
    }
    mem_free(x->groups);
    mem_free(x->rows);
    mem_free(x->touched);
    mem_free(x->plain);
    x->groups = NULL;
    x->rows = x->touched = x->plain = NULL;
    x->n_groups = 0;
    x->built = false;
}

static int by_hash(const void *a, const void *b)
{
    const struct index_posting *x = a, *y = b;
    int c = (x->hash > y->hash) - (x->hash < y->hash);
    return c ? c : (x->entry > y->entry) - (x->entry < y->entry);
}

static int by_low(const void *a, const void *b)
{
    const struct index_interval *x = a, *y = b;
    int c = (x->low > y->low) - (x->low < y->low);
    return c ? c : (x->entry > y->entry) - (x->entry < y->entry);
}

static struct index_group *group_of(struct index *x, const struct index_field *f)
{
    for (uint32_t i = 0; i < x->n_groups; i++) {
        if (index_same_field(&x->groups[i].field, f)) {
            return &x->groups[i];
        }
    }
    struct index_group *grown = mem_realloc(x->groups, (x->n_groups + 1) * sizeof(*grown));
    if (!grown) {
        return NULL;
    }
    x->groups = grown;
    x->groups[x->n_groups] = (struct index_group){.field = *f};
    return &x->groups[x->n_groups++];
}

/* Groups exist, with the numbers of what they will hold. */
static int count(struct index *x)
{
    for (uint32_t i = 0; i < x->n; i++) {
        const struct index_key *k = &x->entries[i]->key;
        if (k->kind == INDEX_PLAIN) {
            x->plain[i / 64] |= (uint64_t)1 << (i % 64);
            continue;
        }
        struct index_group *g = group_of(x, &k->field);
        if (!g) {
            return -ENOMEM;
        }
        g->n_postings += k->n;
        g->n_intervals += k->kind == INDEX_RANGE;
    }
    return 0;
}

static int allocate(struct index_group *g)
{
    uint32_t size = 16;
    while (size < g->n_postings * 2) {
        size *= 2;
    }
    g->mask = size - 1;
    g->leaves = 1;
    while (g->leaves < g->n_intervals) {
        g->leaves *= 2;
    }
    g->postings = mem_alloc(g->n_postings * sizeof(*g->postings) + 1);
    g->table = mem_zalloc(size * sizeof(*g->table));
    g->intervals = mem_alloc(g->n_intervals * sizeof(*g->intervals) + 1);
    g->highest = mem_alloc(2 * g->leaves * sizeof(*g->highest));
    g->n_postings = g->n_intervals = 0;
    return g->postings && g->table && g->intervals && g->highest ? 0 : -ENOMEM;
}

static void put_key(struct index_group *g, const struct index_key *k, uint32_t entry)
{
    for (uint32_t i = 0; i < k->n; i++) {
        g->postings[g->n_postings++] = (struct index_posting){
            .value = k->values[i], .hash = index_hash(&k->values[i]), .entry = entry};
        g->classes |= 1u << index_class(&k->values[i]);
    }
    if (k->kind == INDEX_RANGE) {
        const struct value *low = &k->low.value, *high = &k->high.value;
        g->intervals[g->n_intervals++] = (struct index_interval){
            .low = low->type == VALUE_ABSENT ? -INFINITY : index_rounded(low),
            .high = high->type == VALUE_ABSENT ? INFINITY : index_rounded(high),
            .entry = entry};
    }
}

static void finish_group(struct index_group *g)
{
    qsort(g->postings, g->n_postings, sizeof(*g->postings), by_hash);
    for (uint32_t i = 0; i < g->n_postings; i++) {
        if (i > 0 && g->postings[i].hash == g->postings[i - 1].hash) {
            continue;
        }
        uint32_t at = (uint32_t)g->postings[i].hash & g->mask;
        while (g->table[at]) {
            at = (at + 1) & g->mask;
        }
        g->table[at] = i + 1;
    }
    qsort(g->intervals, g->n_intervals, sizeof(*g->intervals), by_low);
    for (uint32_t i = 0; i < g->leaves; i++) {
        g->highest[g->leaves + i] = i < g->n_intervals ? g->intervals[i].high : -INFINITY;
    }
    for (uint32_t i = g->leaves - 1; i > 0; i--) {
        g->highest[i] = fmax(g->highest[2 * i], g->highest[2 * i + 1]);
    }
}

int index_marks(struct index *x)
{
    x->rows = mem_alloc((size_t)x->n_built * ROW_WORDS * sizeof(*x->rows) + 1);
    x->touched = mem_zalloc((size_t)index_words(x) * 2 * sizeof(*x->touched));
    return x->rows && x->touched ? 0 : -ENOMEM;
}

int index_build(struct index *x)
{
    x->n_built = x->n;
    x->plain = mem_zalloc(index_words(x) * sizeof(*x->plain));
    int rc = x->plain ? index_marks(x) : -ENOMEM;
    rc = rc < 0 ? rc : count(x);
    for (uint32_t i = 0; rc == 0 && i < x->n_groups; i++) {
        rc = allocate(&x->groups[i]);
    }
    for (uint32_t i = 0; rc == 0 && i < x->n; i++) {
        if (x->entries[i]->key.kind != INDEX_PLAIN) {
            put_key(group_of(x, &x->entries[i]->key.field), &x->entries[i]->key, i);
        }
    }
    for (uint32_t i = 0; rc == 0 && i < x->n_groups; i++) {
        finish_group(&x->groups[i]);
    }
    if (rc < 0) {
        index_forget(x);
    }
    x->built = rc == 0;
    return rc;
}

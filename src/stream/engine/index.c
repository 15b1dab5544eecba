/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of predicates; see index.h.
 *
 * Rules stand in the order in which they were added. Their keys are put into groups, one a field:
 * a hash table of values, and intervals sorted by their lower bounds with a tree of the greatest
 * upper bounds above them. Groups are built anew by the first match after a change.
 *
 * A match marks rows in a bitmap of each rule that it meets, which also makes a row that meets a
 * rule twice count once.
 */
#include "index.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/mem.h"
#include "index_private.h"

#define ROW_WORDS (BATCH_ROWS / 64)

struct entry {
    void *rule;
    const struct expr *where;
    struct index_key key;
};

struct posting { /* of the hash table: a value and a rule */
    struct value value;
    uint64_t hash;
    uint32_t entry;
};

struct interval {
    double low, high; /* rounded bounds: they never leave out what is inside */
    uint32_t entry;
};

struct group {
    struct index_field field;
    struct posting *postings; /* sorted by hash */
    uint32_t *table;          /* place + 1 of the first posting of a hash */
    uint32_t mask;
    struct interval *intervals; /* sorted by low */
    double *highest;            /* tree: node i has 2i and 2i + 1, leaves are the intervals */
    uint32_t n_postings, n_intervals, leaves;
    uint32_t classes; /* of the postings' values: a bit each */
};

struct index {
    struct entry **entries;
    uint32_t n, cap;
    struct group *groups;
    uint32_t n_groups;
    uint64_t *rows;    /* ROW_WORDS of each rule */
    uint64_t *touched; /* a bit a rule: its rows are set; behind them a bit a rule: inexactly */
    uint64_t *plain;   /* a bit a rule without a key */
    uint32_t n_built;  /* rules that the groups know */
    bool built;
    unsigned matching; /* matches that run, one inside the other */
    bool changed;      /* rules came or went meanwhile; gone ones have no rule */
};

static uint32_t words_of(const struct index *x)
{
    return x->n_built / 64 + 1;
}

int index_new(struct index **ret)
{
    struct index *x = mem_zalloc(sizeof(*x));
    if (!x) {
        return -ENOMEM;
    }
    *ret = x;
    return 0;
}

static void forget_groups(struct index *x)
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

static void free_entry(struct entry *e)
{
    index_key_fini(&e->key);
    mem_free(e);
}

void index_free(struct index *x)
{
    if (!x) {
        return;
    }
    forget_groups(x);
    for (uint32_t i = 0; i < x->n; i++) {
        free_entry(x->entries[i]);
    }
    mem_free(x->entries);
    mem_free(x);
}

/* ---- rules ---- */

static int reserve(struct index *x)
{
    if (x->n < x->cap) {
        return 0;
    }
    uint32_t cap = x->cap ? x->cap * 2 : 8;
    struct entry **grown = mem_realloc(x->entries, cap * sizeof(struct entry *));
    if (!grown) {
        return -ENOMEM;
    }
    x->entries = grown;
    x->cap = cap;
    return 0;
}

/* Takes changes in, once no match runs any more. */
static void settle(struct index *x)
{
    uint32_t n = 0;
    if (x->matching || !x->changed) {
        return;
    }
    for (uint32_t i = 0; i < x->n; i++) {
        if (x->entries[i]->rule) {
            x->entries[n++] = x->entries[i];
        } else {
            free_entry(x->entries[i]);
        }
    }
    x->n = n;
    x->changed = false;
    forget_groups(x);
}

int index_add(struct index *x, void *rule, const struct expr *where)
{
    struct entry *e = mem_zalloc(sizeof(*e));
    if (!e || reserve(x) < 0 || index_key_of(where, &e->key) < 0) {
        mem_free(e);
        return -ENOMEM;
    }
    e->rule = rule;
    e->where = where;
    x->entries[x->n++] = e;
    x->changed = true;
    settle(x);
    return 0;
}

static uint32_t find_rule(const struct index *x, const void *rule)
{
    uint32_t i = 0;
    while (i < x->n && x->entries[i]->rule != rule) {
        i++;
    }
    return i;
}

void index_remove(struct index *x, void *rule)
{
    uint32_t i = find_rule(x, rule);
    if (i == x->n) {
        return;
    }
    x->entries[i]->rule = NULL;
    x->changed = true;
    settle(x);
}

uint32_t index_rules(const struct index *x)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < x->n; i++) {
        n += x->entries[i]->rule != NULL;
    }
    return n;
}

bool index_has_key(const struct index *x, const void *rule)
{
    uint32_t i = find_rule(x, rule);
    return i < x->n && x->entries[i]->key.kind != INDEX_PLAIN;
}

/* ---- building ---- */

static uint64_t hash_of(const struct value *v)
{
    uint64_t h = v->type == VALUE_STRING ? hash_bytes(v->s, v->n) : (uint64_t)v->i;
    h = (v->type == VALUE_BOOL ? (uint64_t)v->b + 2 : h) + v->type;
    h *= UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}

/* Values of one class can be compared without an error. */
static int class_of(const struct value *v)
{
    return value_is_number(v) ? 1 : v->type == VALUE_STRING ? 2 : v->type == VALUE_BOOL ? 3 : 0;
}

static bool same_value(const struct value *a, const struct value *b)
{
    if (a->type != b->type) {
        return false;
    }
    return a->type == VALUE_STRING ? str_eq(value_text(a), value_text(b))
           : a->type == VALUE_BOOL ? a->b == b->b
                                   : a->i == b->i; /* normal floats are equal in their bits */
}

static int by_hash(const void *a, const void *b)
{
    const struct posting *x = a, *y = b;
    int c = (x->hash > y->hash) - (x->hash < y->hash);
    return c ? c : (x->entry > y->entry) - (x->entry < y->entry);
}

static int by_low(const void *a, const void *b)
{
    const struct interval *x = a, *y = b;
    int c = (x->low > y->low) - (x->low < y->low);
    return c ? c : (x->entry > y->entry) - (x->entry < y->entry);
}

static struct group *group_of(struct index *x, const struct index_field *f)
{
    for (uint32_t i = 0; i < x->n_groups; i++) {
        if (index_same_field(&x->groups[i].field, f)) {
            return &x->groups[i];
        }
    }
    struct group *grown = mem_realloc(x->groups, (x->n_groups + 1) * sizeof(*grown));
    if (!grown) {
        return NULL;
    }
    x->groups = grown;
    x->groups[x->n_groups] = (struct group){.field = *f};
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
        struct group *g = group_of(x, &k->field);
        if (!g) {
            return -ENOMEM;
        }
        g->n_postings += k->n;
        g->n_intervals += k->kind == INDEX_RANGE;
    }
    return 0;
}

static int allocate(struct group *g)
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

static double rounded(const struct value *v)
{
    return v->type == VALUE_INT ? (double)v->i : v->f;
}

static void put_key(struct group *g, const struct index_key *k, uint32_t entry)
{
    for (uint32_t i = 0; i < k->n; i++) {
        g->postings[g->n_postings++] =
            (struct posting){.value = k->values[i], .hash = hash_of(&k->values[i]), .entry = entry};
        g->classes |= 1u << class_of(&k->values[i]);
    }
    if (k->kind == INDEX_RANGE) {
        const struct value *low = &k->low.value, *high = &k->high.value;
        g->intervals[g->n_intervals++] =
            (struct interval){.low = low->type == VALUE_ABSENT ? -INFINITY : rounded(low),
                              .high = high->type == VALUE_ABSENT ? INFINITY : rounded(high),
                              .entry = entry};
    }
}

static void finish_group(struct group *g)
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

static int allocate_marks(struct index *x)
{
    x->rows = mem_alloc((size_t)x->n_built * ROW_WORDS * sizeof(*x->rows) + 1);
    x->touched = mem_zalloc((size_t)words_of(x) * 2 * sizeof(*x->touched));
    return x->rows && x->touched ? 0 : -ENOMEM;
}

static int build(struct index *x)
{
    x->n_built = x->n;
    x->plain = mem_zalloc(words_of(x) * sizeof(*x->plain));
    int rc = x->plain ? allocate_marks(x) : -ENOMEM;
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
        forget_groups(x);
    }
    x->built = rc == 0;
    return rc;
}

/* ---- matching ---- */

static void touch(struct index *x, uint32_t entry, uint32_t row)
{
    uint64_t *rows = x->rows + (size_t)entry * ROW_WORDS, bit = (uint64_t)1 << (entry % 64);
    if (!(x->touched[entry / 64] & bit)) {
        x->touched[entry / 64] |= bit;
        x->touched[words_of(x) + entry / 64] &= ~bit;
        memset(rows, 0, ROW_WORDS * sizeof(*rows));
    }
    rows[row / 64] |= (uint64_t)1 << (row % 64);
}

static void match_equal(struct index *x, const struct group *g, const struct value *v, uint32_t row)
{
    struct value key = index_normal(v);
    uint64_t hash = hash_of(&key);
    uint32_t at = (uint32_t)hash & g->mask;
    while (g->table[at] && g->postings[g->table[at] - 1].hash != hash) {
        at = (at + 1) & g->mask;
    }
    for (uint32_t i = g->table[at]; i && i <= g->n_postings; i++) {
        const struct posting *p = &g->postings[i - 1];
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
static uint32_t count_low(const struct group *g, double f)
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
static void match_range(struct index *x, const struct group *g, const struct value *v, uint32_t row)
{
    double f = rounded(v);
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
    x->touched[words_of(x) + entry / 64] |= (uint64_t)1 << (entry % 64);
}

/* A value that keys cannot be compared with, perhaps an error: the rules see for themselves. */
static void match_foreign(struct index *x, const struct group *g, const struct value *v,
                          uint32_t row)
{
    int class = class_of(v);
    for (uint32_t i = 0; i < g->n_postings && (g->classes & ~(1u << class)); i++) {
        if (class_of(&g->postings[i].value) != class) {
            touch_inexactly(x, g->postings[i].entry, row);
        }
    }
    for (uint32_t i = 0; class != 1 && i < g->n_intervals; i++) {
        touch_inexactly(x, g->intervals[i].entry, row);
    }
}

static void match_value(struct index *x, const struct group *g, const struct value *v, uint32_t row)
{
    if (value_is_null(v)) {
        return;
    }
    int class = class_of(v);
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

static void match_group(struct index *x, const struct group *g, const struct batch *b)
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

static void select_rows(const uint64_t *rows, struct selection *ret)
{
    ret->n = 0;
    for (uint32_t w = 0; w < ROW_WORDS; w++) {
        for (uint64_t bits = rows[w]; bits; bits &= bits - 1) {
            ret->rows[ret->n++] = (uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits));
        }
    }
}

static void select_all(uint32_t rows, struct selection *ret)
{
    ret->n = rows;
    for (uint32_t i = 0; i < rows; i++) {
        ret->rows[i] = (uint16_t)i;
    }
}

static void call(struct index *x, uint32_t i, const struct batch *b, index_match_fn *fn, void *arg)
{
    struct selection sel;
    const struct entry *e = x->entries[i];
    if (!e->rule) {
        return; /* it went while the match ran */
    }
    if (e->key.kind == INDEX_PLAIN) {
        select_all(b->rows, &sel);
        fn(arg, e->rule, &sel, /* exact= */ !e->where);
        return;
    }
    bool inexact = x->touched[words_of(x) + i / 64] >> (i % 64) & 1;
    select_rows(x->rows + (size_t)i * ROW_WORDS, &sel);
    fn(arg, e->rule, &sel, e->key.exact && !inexact);
}

static void match(struct index *x, const struct batch *b, index_match_fn *fn, void *arg)
{
    for (uint32_t i = 0; i < x->n_groups; i++) {
        match_group(x, &x->groups[i], b);
    }
    for (uint32_t w = 0; b->rows && w < words_of(x); w++) {
        uint64_t bits = x->touched[w] | x->plain[w];
        for (; bits; bits &= bits - 1) {
            call(x, w * 64 + (uint32_t)__builtin_ctzll(bits), b, fn, arg);
        }
        x->touched[w] = 0;
    }
}

int index_match(struct index *x, const struct batch *b, index_match_fn *fn, void *arg)
{
    uint64_t *rows = x->rows, *touched = x->touched;
    if (!x->built && build(x) < 0) {
        return -ENOMEM;
    }
    bool inner = x->matching > 0; /* of what a rule sent back into the stream: marks of its own */
    if (inner && allocate_marks(x) < 0) {
        mem_free(x->rows);
        mem_free(x->touched);
        x->rows = rows;
        x->touched = touched;
        return -ENOMEM;
    }
    x->matching++;
    match(x, b, fn, arg);
    x->matching--;
    if (inner) {
        mem_free(x->rows);
        mem_free(x->touched);
        x->rows = rows;
        x->touched = touched;
    }
    settle(x);
    return 0;
}

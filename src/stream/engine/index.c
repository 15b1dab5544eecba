/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of predicates; see index.h.
 *
 * Rules stand in the order in which they were added. Their keys are put into groups, one a field
 * (index_build.c), built anew by the first match after a change.
 *
 * A match marks rows in a bitmap of each rule that it meets (index_match.c), which also makes a row
 * that meets a rule twice count once.
 */
#include "index.h"

#include "base/mem.h"
#include "index_private.h"

int index_new(struct index **ret)
{
    struct index *x = mem_zalloc(sizeof(*x));
    if (!x) {
        return -ENOMEM;
    }
    *ret = x;
    return 0;
}

static void free_entry(struct index_entry *e)
{
    index_key_fini(&e->key);
    mem_free(e);
}

void index_free(struct index *x)
{
    if (!x) {
        return;
    }
    index_forget(x);
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
    struct index_entry **grown = mem_realloc(x->entries, cap * sizeof(struct index_entry *));
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
    index_forget(x);
}

int index_add(struct index *x, void *rule, const struct expr *where)
{
    struct index_entry *e = mem_zalloc(sizeof(*e));
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

/* ---- matching ---- */

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
    const struct index_entry *e = x->entries[i];
    if (!e->rule) {
        return; /* it went while the match ran */
    }
    if (e->key.kind == INDEX_PLAIN) {
        select_all(b->rows, &sel);
        fn(arg, e->rule, &sel, /* exact= */ !e->where);
        return;
    }
    bool inexact = x->touched[index_words(x) + i / 64] >> (i % 64) & 1;
    select_rows(x->rows + (size_t)i * ROW_WORDS, &sel);
    fn(arg, e->rule, &sel, e->key.exact && !inexact);
}

static void match(struct index *x, const struct batch *b, index_match_fn *fn, void *arg)
{
    for (uint32_t i = 0; i < x->n_groups; i++) {
        index_match_group(x, &x->groups[i], b);
    }
    for (uint32_t w = 0; b->rows && w < index_words(x); w++) {
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
    if (!x->built && index_build(x) < 0) {
        return -ENOMEM;
    }
    bool inner = x->matching > 0; /* of what a rule sent back into the stream: marks of its own */
    if (inner && index_marks(x) < 0) {
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

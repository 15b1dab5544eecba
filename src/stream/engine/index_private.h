/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the predicate index share; see index.h. */
#ifndef STREAM_ENGINE_INDEX_PRIVATE_H
#define STREAM_ENGINE_INDEX_PRIVATE_H

#include <math.h>

#include "base/map.h"
#include "index.h"

/* What a key is about: a field of the stream, or a member of the metadata. */
struct index_field {
    bool meta;
    uint32_t slot;
    struct str name; /* of the member; borrowed from the expression */
};

static inline bool index_same_field(const struct index_field *a, const struct index_field *b)
{
    return a->meta == b->meta && (a->meta ? str_eq(a->name, b->name) : a->slot == b->slot);
}

/* A bound of an interval; type VALUE_ABSENT = none. */
struct index_bound {
    struct value value;
    bool open; /* the bound itself is outside */
};

enum index_kind {
    INDEX_PLAIN, /* no key: every row */
    INDEX_EQUAL, /* one of `values` */
    INDEX_RANGE  /* between low and high */
};

/* The key of a rule. */
struct index_key {
    enum index_kind kind;
    struct index_field field;
    bool exact;           /* nothing of the WHERE is left beside the key */
    struct value *values; /* heap; scalars and texts that borrow from the expression */
    uint32_t n;
    struct index_bound low, high;
};

/* where may be NULL. 0 or -ENOMEM. */
int index_key_of(const struct expr *where, struct index_key *ret);
void index_key_fini(struct index_key *k);

/* Numbers that are equal become the same value: a whole float that fits is an integer. */
static inline struct value index_normal(const struct value *v)
{
    if (v->type == VALUE_FLOAT && v->f >= -9223372036854775808.0 && v->f < 9223372036854775808.0 &&
        v->f == trunc(v->f)) {
        return value_int((int64_t)v->f);
    }
    return *v;
}

#define ROW_WORDS (BATCH_ROWS / 64)

struct index_entry {
    void *rule;
    const struct expr *where;
    struct index_key key;
};

struct index_posting { /* of the hash table: a value and a rule */
    struct value value;
    uint64_t hash;
    uint32_t entry;
};

struct index_interval {
    double low, high; /* rounded bounds: they never leave out what is inside */
    uint32_t entry;
};

struct index_group {
    struct index_field field;
    struct index_posting *postings; /* sorted by hash */
    uint32_t *table;                /* place + 1 of the first posting of a hash */
    uint32_t mask;
    struct index_interval *intervals; /* sorted by low */
    double *highest;                  /* tree: node i has 2i and 2i + 1, leaves are the intervals */
    uint32_t n_postings, n_intervals, leaves;
    uint32_t classes; /* of the postings' values: a bit each */
};

struct index {
    struct index_entry **entries;
    uint32_t n, cap;
    struct index_group *groups;
    uint32_t n_groups;
    uint64_t *rows;    /* ROW_WORDS of each rule */
    uint64_t *touched; /* a bit a rule: its rows are set; behind them a bit a rule: inexactly */
    uint64_t *plain;   /* a bit a rule without a key */
    uint32_t n_built;  /* rules that the groups know */
    bool built;
    unsigned matching; /* matches that run, one inside the other */
    bool changed;      /* rules came or went meanwhile; gone ones have no rule */
};

static inline uint32_t index_words(const struct index *x)
{
    return x->n_built / 64 + 1;
}

static inline uint64_t index_hash(const struct value *v)
{
    uint64_t h = v->type == VALUE_STRING ? hash_bytes(v->s, v->n) : (uint64_t)v->i;
    h = (v->type == VALUE_BOOL ? (uint64_t)v->b + 2 : h) + v->type;
    h *= UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 32;
}

/* Values of one class can be compared without an error. */
static inline int index_class(const struct value *v)
{
    return value_is_number(v) ? 1 : v->type == VALUE_STRING ? 2 : v->type == VALUE_BOOL ? 3 : 0;
}

static inline double index_rounded(const struct value *v)
{
    return v->type == VALUE_INT ? (double)v->i : v->f;
}

/* ---- index_build.c ---- */

int index_build(struct index *x); /* 0 or -ENOMEM */
/* Frees what index_build() made. */
void index_forget(struct index *x);
/* Bitmaps for one match: x->rows and x->touched. 0 or -ENOMEM. */
int index_marks(struct index *x);

/* ---- index_match.c ---- */

/* Marks the rows whose field a key of the group lets through. */
void index_match_group(struct index *x, const struct index_group *g, const struct batch *b);

#endif

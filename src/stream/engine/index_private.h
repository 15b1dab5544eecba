/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the predicate index share; see index.h. */
#ifndef STREAM_ENGINE_INDEX_PRIVATE_H
#define STREAM_ENGINE_INDEX_PRIVATE_H

#include <math.h>

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

#endif

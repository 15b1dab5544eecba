/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Expressions after planning: names are resolved to slots, functions to their table rows, constants
 * are folded. Two evaluators read them: expr_eval() below, for one row of any shape, which knows
 * everything; and the vector programs of program.h, for the hot path before windows, which know
 * the common operators over columns and call expr_eval() for the rest.
 */
#ifndef STREAM_EXPR_EXPR_H
#define STREAM_EXPR_EXPR_H

#include "stream/fn/function.h"
#include "stream/row.h"

enum expr_kind {
    EXPR_CONST,
    EXPR_FIELD,    /* cell `slot` of the row of source `source` */
    EXPR_META,     /* member `name` of the metadata of source `source`; empty name = all */
    EXPR_ALL,      /* the rows as one object: source, or -1 = all sources, later ones win */
    EXPR_COMPUTED, /* ev->computed[slot]: an alias, an aggregate, an analytic function's value */
    EXPR_CALL,     /* a scalar function */
    EXPR_NOT,
    EXPR_MINUS,
    EXPR_BINARY, /* AND and OR stop early */
    EXPR_BETWEEN,
    EXPR_IN,   /* list, or b gives an array */
    EXPR_LIKE, /* pattern constant: compiled; else b */
    EXPR_CASE,
    EXPR_ARROW, /* a->name; over an array it gives the member of each item */
    EXPR_INDEX,
    EXPR_SLICE,
    EXPR_OBJECT /* list of values with names: REPLACE of a wildcard inside a function */
};

struct expr {
    enum expr_kind kind;
    bool negated;
    int16_t source; /* index into struct tuple, -1 = any */
    uint32_t slot;
    enum value_op op;
    union {
        struct value value; /* EXPR_CONST; folded */
        struct str name;    /* the others */
    };
    const struct function *function;
    struct expr **list; /* arguments, IN list, CASE whens then thens (n_list = 2 * pairs) */
    struct str *names;  /* EXPR_OBJECT: n_list names; EXPR_ALL: n_names left out (EXCEPT) */
    uint32_t n_list, n_names;
    struct expr *a, *b, *c;
    const void *compiled; /* EXPR_LIKE: private to expr_like.c */
};

struct window_range { /* microseconds since 1970; window_start(), window_end(), window_trigger() */
    int64_t start, end, trigger;
    int64_t correction; /* 0 = fired in time; n = late rows fired it for the n-th time */
};

struct eval_rule { /* what functions may know of the rule; lives as long as it */
    struct str id;
    int64_t started_us;
    int64_t hits, last_hit_us;         /* last_hit_count(), last_hit_time(): rows that matched */
    int64_t agg_hits, last_agg_hit_us; /* last_agg_hit_*: emissions that passed HAVING */
    struct map *keyed_state;           /* get_keyed_state(): to struct value *; NULL = none */
    struct map *props;                 /* props(): to char *; NULL = none */
    const struct zone *zone;           /* clock fields of times; NULL = UTC */
};

/* Where an expression is evaluated. The caller fills what he has; functions that need what is not
 * there give null. */
struct eval {
    struct arena *arena;              /* results and what lies between */
    const struct tuple *tuple;        /* the row or joined rows; NULL for constants */
    const struct value *computed;     /* EXPR_COMPUTED */
    const struct window_range *range; /* NULL before windows */
    struct eval_rule *rule;
    int64_t now_us;
    uint32_t row_number; /* in the emission, from 1 */
    /* An analytic function's step for a row that does not meet WHEN: nothing is taken in, the value
     * is what the state gives. */
    bool skip;
};

/* 0, or -E_INVAL with a text, -ENOMEM, -E_LIMIT. *ret borrows from the arena, the row, the plan. */
int expr_eval(const struct expr *e, struct eval *ev, struct value *ret, struct err *err);
/* As a condition: null is false; what is no boolean is -E_INVAL "run Where error: ..." without the
 * prefix: the caller says which clause. */
int expr_test(const struct expr *e, struct eval *ev, bool *ret, struct err *err);

bool expr_is_const(const struct expr *e);

/* LIKE: '%' any text, '_' one character, '\' escapes; compiled into the arena. */
const void *expr_like_compile(struct arena *a, struct str pattern);
bool expr_like_match(const void *compiled, struct str text);

#endif

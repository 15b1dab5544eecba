/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of vector programs share; see program.h.
 *
 *   program.c          compiler, running of nodes
 *   program_compare.c  comparisons of columns: selections
 *   program_arith.c    arithmetic of columns
 *   program_match.c    IN, LIKE
 *   program_row.c      row by row
 *
 * A kernel knows some kinds of columns; where it meets others (or nulls, an overflow, a division by
 * zero), values go one by one through value_apply(), as in the row evaluator. Nodes that give
 * nothing but true, false or an error are conditions: they narrow selections instead of making
 * columns.
 */
#ifndef STREAM_EXPR_PROGRAM_PRIVATE_H
#define STREAM_EXPR_PROGRAM_PRIVATE_H

#include "program.h"

/* ---- what an expression reads ---- */

struct slots {
    uint32_t *slots;
    uint32_t n, end; /* end: one more than the greatest */
};

struct needs {
    struct slots fields, computed;
    bool all; /* EXPR_ALL: every cell */
};

int needs_collect(struct needs *needs, const struct expr *e); /* 0 or -ENOMEM */
void needs_fini(struct needs *n);

/* ---- nodes ---- */

enum node_kind {
    NODE_ROW, /* row by row: e as a whole */
    NODE_CONST,
    NODE_FIELD,
    NODE_COMPUTED,
    NODE_ARITH,   /* a op b */
    NODE_COMPARE, /* conditions from here on */
    NODE_AND,
    NODE_OR,
    NODE_NOT,
    NODE_BETWEEN, /* a, with numbers as constants */
    NODE_IN,      /* a, with constants */
    NODE_LIKE     /* a, with a compiled pattern */
};

struct node {
    enum node_kind kind;
    const struct expr *e;
    struct node *a, *b;
    struct needs needs; /* for the row evaluator */
};

static inline bool node_is_condition(const struct node *n)
{
    return n->kind >= NODE_COMPARE;
}

#define FAILED_WORDS (BATCH_ROWS / 64)

/* One run over a batch. */
struct run {
    const struct program_input *in;
    struct arena *arena; /* of what is computed */
    uint64_t failed[FAILED_WORDS];
};

/* Tells that a row failed; the caller takes it out of his selection. */
void run_fail(struct run *r, uint32_t row, const struct err *err);

/* 0, -ENOMEM, -E_LIMIT. Rows that fail leave the selection. */
int node_filter(struct run *r, const struct node *n, struct selection *sel);
int node_column(struct run *r, const struct node *n, struct selection *sel, struct column *ret);

int rows_filter(struct run *r, const struct node *n, struct selection *sel);
int rows_column(struct run *r, const struct node *n, struct selection *sel, struct column *ret);

/* Keeps the rows for which `a op b` holds. */
int compare_filter(struct run *r, enum value_op op, const struct column *a, const struct column *b,
                   struct selection *sel);
int arith_column(struct run *r, enum value_op op, const struct column *a, const struct column *b,
                 struct selection *sel, struct column *ret);
/* 1 = done, 0 = not for such a column: row by row. */
int between_filter(const struct expr *e, const struct column *c, struct selection *sel);
int in_filter(const struct expr *e, const struct column *c, struct selection *sel);
int like_filter(const struct expr *e, const struct column *c, struct selection *sel);

static inline bool column_misses(const struct column *c, uint32_t row)
{
    return c->missing && (c->missing[row / 64] >> (row % 64) & 1);
}

static inline bool column_is_typed(const struct column *c)
{
    return c->kind == COLUMN_INT || c->kind == COLUMN_FLOAT || c->kind == COLUMN_BOOL;
}

/* Integers up to here are exact as floats, and order with any other integer is kept. */
#define EXACT_MAX 9007199254740992.0

#endif

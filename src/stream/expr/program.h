/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector programs: an expression over the columns of a batch, one dispatch an operator and batch.
 *
 * The compiler turns comparisons, arithmetic, AND, OR, NOT, BETWEEN, IN, LIKE and CASE over fields
 * and constants into kernels over typed columns (SIMD where it pays, chosen at run time, with a
 * portable form); columns of mixed types and all other nodes go row by row through expr_eval(). The
 * results are those of expr_eval(), bit for bit: a test compares them.
 *
 * Programs see the first source only: they run before windows and joins.
 */
#ifndef STREAM_EXPR_PROGRAM_H
#define STREAM_EXPR_PROGRAM_H

#include "expr.h"
#include "stream/batch.h"

struct program;

/* e is borrowed and must outlive the program. -ENOMEM. */
int program_compile(const struct expr *e, struct program **ret, struct err *err);
void program_free(struct program *p);

/* A row whose evaluation failed: it is taken out of the selection after this call. */
typedef void program_error_fn(void *arg, uint32_t row, const struct err *err);

/* What rows are evaluated with; computed columns (aliases, analytic values) come by slot. */
struct program_input {
    struct batch *batch;           /* its arena takes what is computed */
    const struct column *computed; /* EXPR_COMPUTED by slot; NULL = none */
    struct eval_rule *rule;
    int64_t now_us;
    program_error_fn *on_error;
    void *arg;
};

/* Keeps the rows of `sel` for which the condition is true. 0, -ENOMEM, -E_LIMIT. */
int program_filter(struct program *p, const struct program_input *in, struct selection *sel);
/* The values of the selected rows, at their places (other places are undefined). Rows that fail are
 * taken out of sel. */
int program_column(struct program *p, const struct program_input *in, struct selection *sel,
                   struct column *ret);

#endif

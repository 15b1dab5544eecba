/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of vector programs share; see program.h. */
#ifndef STREAM_EXPR_PROGRAM_PRIVATE_H
#define STREAM_EXPR_PROGRAM_PRIVATE_H

#include "program.h"

/* ---- row by row (program_row.c) ---- */

struct slots {
    uint32_t *slots;
    uint32_t n, end; /* end: one more than the greatest */
};

/* What an expression reads. */
struct needs {
    struct slots fields, computed;
    bool all; /* EXPR_ALL: every cell */
};

int program_collect(struct needs *needs, const struct expr *e); /* 0 or -ENOMEM */
void needs_fini(struct needs *n);

struct rows {
    const struct needs *needs;
    const struct program_input *in;
    struct row *row; /* scratch */
    struct tuple *tuple;
    struct value *computed;
    struct eval ev;
};

int rows_begin(struct rows *r, const struct needs *needs, const struct program_input *in);
void rows_load(struct rows *r, uint32_t row);

#endif

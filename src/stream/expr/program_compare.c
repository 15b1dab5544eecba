/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparisons of columns: the rows for which they hold stay in the selection. Loops have no
 * branches: every row is written, and the place moves on where the comparison holds.
 */
#include <math.h>

#include "program_private.h"
#include "program_simd.h"

#define KEEP_WHERE(condition)                      \
    do {                                           \
        uint32_t kept_ = 0;                        \
        for (uint32_t i_ = 0; i_ < sel->n; i_++) { \
            uint16_t row = sel->rows[i_];          \
            sel->rows[kept_] = row;                \
            kept_ += (condition);                  \
        }                                          \
        sel->n = kept_;                            \
    } while (0)

#define KEEP_BY_OP(op, x, y)    \
    switch (op) {               \
    case VALUE_EQ:              \
        KEEP_WHERE((x) == (y)); \
        break;                  \
    case VALUE_NE:              \
        KEEP_WHERE((x) != (y)); \
        break;                  \
    case VALUE_LT:              \
        KEEP_WHERE((x) < (y));  \
        break;                  \
    case VALUE_LE:              \
        KEEP_WHERE((x) <= (y)); \
        break;                  \
    case VALUE_GT:              \
        KEEP_WHERE((x) > (y));  \
        break;                  \
    default:                    \
        KEEP_WHERE((x) >= (y)); \
        break;                  \
    }

/* A comparison with null is false. */
static void drop_missing(const struct column *c, struct selection *sel)
{
    if (c->missing) {
        KEEP_WHERE(!column_misses(c, row));
    }
}

/* a op b is b mirrored(op) a. */
static enum value_op mirrored(enum value_op op)
{
    static const enum value_op ops[] = {
        [VALUE_EQ] = VALUE_EQ, [VALUE_NE] = VALUE_NE, [VALUE_LT] = VALUE_GT,
        [VALUE_LE] = VALUE_GE, [VALUE_GT] = VALUE_LT, [VALUE_GE] = VALUE_LE};
    return ops[op];
}

/* ---- with a constant ---- */

/* A number as a float that any number of either type can be compared with exactly. */
static bool exact_float(const struct value *v, double *ret)
{
    *ret = v->type == VALUE_INT ? (double)v->i : v->f;
    return v->type == VALUE_INT ? v->i > -EXACT_MAX && v->i < EXACT_MAX
                                : fabs(*ret) < EXACT_MAX || isnan(*ret);
}

static bool with_number(enum value_op op, const struct column *c, const struct value *v,
                        struct selection *sel)
{
    double d;
    if (c->kind == COLUMN_INT && v->type == VALUE_INT) {
        if (!simd_compare_int(op, c->i, v->i, sel)) {
            KEEP_BY_OP(op, c->i[row], v->i);
        }
    } else if (c->kind == COLUMN_FLOAT && (v->type == VALUE_FLOAT || exact_float(v, &d))) {
        d = v->type == VALUE_FLOAT ? v->f : d;
        if (!simd_compare_float(op, c->f, d, sel)) {
            KEEP_BY_OP(op, c->f[row], d);
        }
    } else if (c->kind == COLUMN_INT && exact_float(v, &d)) {
        KEEP_BY_OP(op, (double)c->i[row], d);
    } else {
        return false;
    }
    drop_missing(c, sel);
    return true;
}

static bool with_bool(enum value_op op, const struct column *c, const struct value *v,
                      struct selection *sel)
{
    if (c->kind != COLUMN_BOOL || (op != VALUE_EQ && op != VALUE_NE)) {
        return false;
    }
    bool wanted = v->b == (op == VALUE_EQ);
    KEEP_WHERE((c->b[row] != 0) == wanted && !column_misses(c, row));
    return true;
}

static bool all_texts(const struct column *c, const struct selection *sel)
{
    uint32_t others = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        uint32_t t = c->v[sel->rows[i]].type;
        others += t != VALUE_STRING && t > VALUE_NULL;
    }
    return others == 0;
}

static bool with_text(enum value_op op, const struct column *c, const struct value *v,
                      struct selection *sel)
{
    if (c->kind != COLUMN_VALUE || (op != VALUE_EQ && op != VALUE_NE) || !all_texts(c, sel)) {
        return false;
    }
    uint32_t n = v->n, k = 0;
    bool equal = op == VALUE_EQ;
    for (uint32_t i = 0; i < sel->n; i++) {
        uint16_t row = sel->rows[i];
        const struct value *x = &c->v[row];
        bool same = x->type == VALUE_STRING && x->n == n && memcmp(x->s, v->s, n) == 0;
        sel->rows[k] = row;
        k += x->type == VALUE_STRING && same == equal;
    }
    sel->n = k;
    return true;
}

static bool with_const(enum value_op op, const struct column *c, const struct value *v,
                       struct selection *sel)
{
    if (value_is_null(v)) {
        sel->n = 0;
        return true;
    }
    return value_is_number(v)        ? with_number(op, c, v, sel)
           : v->type == VALUE_BOOL   ? with_bool(op, c, v, sel)
           : v->type == VALUE_STRING ? with_text(op, c, v, sel)
                                     : false;
}

/* ---- of two columns ---- */

static bool of_columns(enum value_op op, const struct column *a, const struct column *b,
                       struct selection *sel)
{
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == COLUMN_INT) {
        KEEP_BY_OP(op, a->i[row], b->i[row]);
    } else if (a->kind == COLUMN_FLOAT) {
        KEEP_BY_OP(op, a->f[row], b->f[row]);
    } else {
        return false;
    }
    drop_missing(a, sel);
    drop_missing(b, sel);
    return true;
}

/* Values one by one. */
static void by_values(struct run *r, enum value_op op, const struct column *a,
                      const struct column *b, struct selection *sel)
{
    uint32_t k = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        struct value x, y, yes;
        struct err err;
        uint16_t row = sel->rows[i];
        column_get(a, row, &x);
        column_get(b, row, &y);
        if (value_apply(op, &x, &y, &yes, &err) < 0) {
            run_fail(r, row, &err);
            continue;
        }
        sel->rows[k] = row;
        k += yes.b;
    }
    sel->n = k;
}

int compare_filter(struct run *r, enum value_op op, const struct column *a, const struct column *b,
                   struct selection *sel)
{
    if (a->kind == COLUMN_ABSENT || b->kind == COLUMN_ABSENT) {
        sel->n = 0;
        return 0;
    }
    bool done = b->kind == COLUMN_CONST   ? with_const(op, a, &b->v[0], sel)
                : a->kind == COLUMN_CONST ? with_const(mirrored(op), b, &a->v[0], sel)
                                          : of_columns(op, a, b, sel);
    if (!done) {
        by_values(r, op, a, b, sel);
    }
    return 0;
}

int between_filter(const struct expr *e, const struct column *c, struct selection *sel)
{
    struct selection out;
    if (c->kind != COLUMN_INT && c->kind != COLUMN_FLOAT) {
        return 0;
    }
    drop_missing(c, sel);
    out.n = sel->n;
    memcpy(out.rows, sel->rows, sel->n * sizeof(sel->rows[0]));
    if (!with_number(VALUE_GE, c, &e->b->value, &out) ||
        !with_number(VALUE_LE, c, &e->c->value, &out)) {
        return 0;
    }
    uint32_t k = 0, n = 0;
    for (uint32_t i = 0; i < sel->n; i++) {
        bool inside = k < out.n && out.rows[k] == sel->rows[i];
        sel->rows[n] = sel->rows[i];
        k += inside;
        n += inside != e->negated;
    }
    sel->n = n;
    return 1;
}

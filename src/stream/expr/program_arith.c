/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic of columns: loops over numbers of one type, with all else one by one. */
#include "program_private.h"

/* Operands without nulls among the selected rows. */
static bool complete(const struct column *c, const struct selection *sel)
{
    uint32_t missing = 0;
    for (uint32_t i = 0; c->missing && i < sel->n; i++) {
        missing += column_misses(c, sel->rows[i]);
    }
    return missing == 0;
}

static bool is_int(const struct column *c)
{
    return c->kind == COLUMN_INT || (c->kind == COLUMN_CONST && c->v[0].type == VALUE_INT);
}

static bool is_number(const struct column *c)
{
    return c->kind == COLUMN_INT || c->kind == COLUMN_FLOAT ||
           (c->kind == COLUMN_CONST && value_is_number(&c->v[0]));
}

static inline int64_t int_at(const struct column *c, uint32_t row)
{
    return c->kind == COLUMN_CONST ? c->v[0].i : c->i[row];
}

static inline double float_at(const struct column *c, uint32_t row)
{
    if (c->kind == COLUMN_CONST) {
        return c->v[0].type == VALUE_INT ? (double)c->v[0].i : c->v[0].f;
    }
    return c->kind == COLUMN_INT ? (double)c->i[row] : c->f[row];
}

#define FOR_SELECTED(statement)                \
    for (uint32_t i_ = 0; i_ < sel->n; i_++) { \
        uint32_t row = sel->rows[i_];          \
        statement;                             \
    }

/* False where something overflows, or the operator has no loop. */
static bool of_ints(enum value_op op, const struct column *a, const struct column *b,
                    const struct selection *sel, int64_t *out)
{
    bool over = false;
    switch (op) {
    case VALUE_ADD:
        FOR_SELECTED(over |= __builtin_add_overflow(int_at(a, row), int_at(b, row), &out[row]))
        return !over;
    case VALUE_SUB:
        FOR_SELECTED(over |= __builtin_sub_overflow(int_at(a, row), int_at(b, row), &out[row]))
        return !over;
    case VALUE_MUL:
        FOR_SELECTED(over |= __builtin_mul_overflow(int_at(a, row), int_at(b, row), &out[row]))
        return !over;
    case VALUE_DIV:
    case VALUE_MOD:
        for (uint32_t i = 0; i < sel->n; i++) {
            uint32_t row = sel->rows[i];
            int64_t x = int_at(a, row), y = int_at(b, row);
            if (y == 0 || y == -1) {
                return false;
            }
            out[row] = op == VALUE_DIV ? x / y : x % y;
        }
        return true;
    case VALUE_BIT_AND:
        FOR_SELECTED(out[row] = int_at(a, row) & int_at(b, row))
        return true;
    default:
        return false;
    }
}

static bool of_floats(enum value_op op, const struct column *a, const struct column *b,
                      const struct selection *sel, double *out)
{
    bool zero = false;
    switch (op) {
    case VALUE_ADD:
        FOR_SELECTED(out[row] = float_at(a, row) + float_at(b, row))
        return true;
    case VALUE_SUB:
        FOR_SELECTED(out[row] = float_at(a, row) - float_at(b, row))
        return true;
    case VALUE_MUL:
        FOR_SELECTED(out[row] = float_at(a, row) * float_at(b, row))
        return true;
    case VALUE_DIV:
        FOR_SELECTED({
            double y = float_at(b, row);
            zero |= y == 0;
            out[row] = float_at(a, row) / y;
        })
        return !zero;
    default:
        return false;
    }
}

static int by_values(struct run *r, enum value_op op, const struct column *a,
                     const struct column *b, struct selection *sel, struct column *ret)
{
    struct value *v = arena_alloc(r->arena, BATCH_ROWS * sizeof(*v));
    uint32_t k = 0;
    if (!v) {
        return -E_LIMIT;
    }
    for (uint32_t i = 0; i < sel->n; i++) {
        struct value x, y;
        struct err err;
        uint16_t row = sel->rows[i];
        column_get(a, row, &x);
        column_get(b, row, &y);
        if (value_apply(op, &x, &y, &v[row], &err) < 0) {
            run_fail(r, row, &err);
            continue;
        }
        sel->rows[k++] = row;
    }
    sel->n = k;
    *ret = (struct column){.kind = COLUMN_VALUE, .v = v};
    return 0;
}

int arith_column(struct run *r, enum value_op op, const struct column *a, const struct column *b,
                 struct selection *sel, struct column *ret)
{
    if (is_number(a) && is_number(b) && complete(a, sel) && complete(b, sel)) {
        bool ints = is_int(a) && is_int(b);
        void *out = arena_alloc(r->arena, BATCH_ROWS * sizeof(int64_t));
        if (!out) {
            return -E_LIMIT;
        }
        if (ints ? of_ints(op, a, b, sel, out) : of_floats(op, a, b, sel, out)) {
            *ret = (struct column){.kind = ints ? COLUMN_INT : COLUMN_FLOAT, .i = out};
            return 0;
        }
    }
    return by_values(r, op, a, b, sel, ret);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Operators over values: comparison and arithmetic with SQL's rules. */
#include <math.h>

#include "value.h"
#include "value_time.h"

static const char *const op_texts[VALUE_OP_NR] = {
    [VALUE_EQ] = "=",     [VALUE_NE] = "!=",     [VALUE_LT] = "<",    [VALUE_LE] = "<=",
    [VALUE_GT] = ">",     [VALUE_GE] = ">=",     [VALUE_ADD] = "+",   [VALUE_SUB] = "-",
    [VALUE_MUL] = "*",    [VALUE_DIV] = "/",     [VALUE_MOD] = "%",   [VALUE_BIT_AND] = "&",
    [VALUE_BIT_OR] = "|", [VALUE_BIT_XOR] = "^", [VALUE_AND] = "AND", [VALUE_OR] = "OR",
};

const char *value_op_text(enum value_op op)
{
    return op_texts[op];
}

/* "int64(3)", "string(red)": the type and the value as users of eKuiper see them. */
static void describe(struct buf *b, const struct value *v)
{
    (void)buf_printf(b, "%s(", value_type_go(v->type)); /* sticky, as below */
    (void)value_print_text(b, v);
    (void)buf_putc(b, ')');
}

static int invalid(enum value_op op, const struct value *a, const struct value *b, struct err *err)
{
    struct buf text = BUF_INIT;
    if (!err) {
        return -E_INVAL; /* nobody reads it: spare the text */
    }
    describe(&text, a);
    (void)buf_printf(&text, " %s ", op_texts[op]); /* sticky */
    describe(&text, b);
    (void)err_set(err, -E_INVAL, "invalid operation " STR_FMT, STR_ARG(buf_str(&text)));
    buf_fini(&text);
    return -E_INVAL;
}

static bool decide(enum value_op op, int order)
{
    switch (op) {
    case VALUE_EQ:
        return order == 0;
    case VALUE_NE:
        return order != 0;
    case VALUE_LT:
        return order < 0;
    case VALUE_LE:
        return order <= 0;
    case VALUE_GT:
        return order > 0;
    default:
        return order >= 0;
    }
}

static int divided_by_zero(struct err *err)
{
    return err_set(err, -E_INVAL, "divided by zero");
}

static int apply_float(enum value_op op, double a, double b, struct value *ret, struct err *err)
{
    switch (op) {
    case VALUE_ADD:
        *ret = value_float(a + b);
        return 0;
    case VALUE_SUB:
        *ret = value_float(a - b);
        return 0;
    case VALUE_MUL:
        *ret = value_float(a * b);
        return 0;
    case VALUE_DIV:
        *ret = value_float(a / b);
        return b == 0 ? divided_by_zero(err) : 0;
    case VALUE_MOD:
        *ret = value_float(fmod(a, b));
        return b == 0 ? divided_by_zero(err) : 0;
    default:
        return invalid(op, &(struct value){.type = VALUE_FLOAT, .f = a},
                       &(struct value){.type = VALUE_FLOAT, .f = b}, err);
    }
}

static int apply_int(enum value_op op, int64_t a, int64_t b, struct value *ret, struct err *err)
{
    int64_t i = 0;
    bool over = false;
    switch (op) {
    case VALUE_ADD:
        over = __builtin_add_overflow(a, b, &i);
        break;
    case VALUE_SUB:
        over = __builtin_sub_overflow(a, b, &i);
        break;
    case VALUE_MUL:
        over = __builtin_mul_overflow(a, b, &i);
        break;
    case VALUE_DIV:
    case VALUE_MOD:
        if (b == 0) {
            return divided_by_zero(err);
        }
        if (b == -1) { /* INT64_MIN / -1 is no int64 */
            over = op == VALUE_DIV && a == INT64_MIN;
            i = over || op == VALUE_MOD ? 0 : -a;
        } else {
            i = op == VALUE_DIV ? a / b : a % b;
        }
        break;
    case VALUE_BIT_AND:
        i = a & b;
        break;
    case VALUE_BIT_OR:
        i = a | b;
        break;
    case VALUE_BIT_XOR:
        i = a ^ b;
        break;
    default:
        return invalid(op, &(struct value){.type = VALUE_INT, .i = a},
                       &(struct value){.type = VALUE_INT, .i = b}, err);
    }
    if (over) {
        return apply_float(op, (double)a, (double)b, ret, err);
    }
    *ret = value_int(i);
    return 0;
}

static int apply_bool(enum value_op op, const struct value *a, const struct value *b,
                      struct value *ret, struct err *err)
{
    switch (op) {
    case VALUE_AND:
    case VALUE_BIT_AND:
        *ret = value_bool(a->b && b->b);
        return 0;
    case VALUE_OR:
    case VALUE_BIT_OR:
        *ret = value_bool(a->b || b->b);
        return 0;
    case VALUE_EQ:
        *ret = value_bool(a->b == b->b);
        return 0;
    case VALUE_NE:
    case VALUE_BIT_XOR:
        *ret = value_bool(a->b != b->b);
        return 0;
    default:
        return invalid(op, a, b, err);
    }
}

static bool is_comparison(enum value_op op)
{
    return op <= VALUE_GE;
}

/* NaN compares as in IEEE 754: unequal to all. */
static bool has_nan(const struct value *a, const struct value *b)
{
    return (a->type == VALUE_FLOAT && isnan(a->f)) || (b->type == VALUE_FLOAT && isnan(b->f));
}

static int apply_numbers(enum value_op op, const struct value *a, const struct value *b,
                         struct value *ret, struct err *err)
{
    if (is_comparison(op)) {
        *ret = value_bool(has_nan(a, b) ? op == VALUE_NE : decide(op, value_order(a, b)));
        return 0;
    }
    if (a->type == VALUE_INT && b->type == VALUE_INT) {
        return apply_int(op, a->i, b->i, ret, err);
    }
    if (op > VALUE_MOD) {
        return invalid(op, a, b, err);
    }
    return apply_float(op, a->type == VALUE_INT ? (double)a->i : a->f,
                       b->type == VALUE_INT ? (double)b->i : b->f, ret, err);
}

/* A time with a time, milliseconds or a text that reads as a time. */
static int apply_time(enum value_op op, const struct value *a, const struct value *b,
                      struct value *ret, struct err *err)
{
    struct wall x, y;
    if (!is_comparison(op) || value_time_of(a, &x) < 0 || value_time_of(b, &y) < 0) {
        return invalid(op, a, b, err);
    }
    *ret = value_bool(decide(op, (x.us > y.us) - (x.us < y.us)));
    return 0;
}

int value_apply(enum value_op op, const struct value *a, const struct value *b, struct value *ret,
                struct err *err)
{
    static const struct value no = {.type = VALUE_BOOL};
    if (op >= VALUE_AND) { /* null counts as false */
        a = value_is_null(a) ? &no : a;
        b = value_is_null(b) ? &no : b;
    }
    if (value_is_null(a) || value_is_null(b)) {
        *ret = is_comparison(op) ? value_bool(false) : VALUE_OF_NULL;
        return 0;
    }
    if (value_is_number(a) && value_is_number(b)) {
        return apply_numbers(op, a, b, ret, err);
    }
    if (a->type == VALUE_BOOL && b->type == VALUE_BOOL) {
        return apply_bool(op, a, b, ret, err);
    }
    if (a->type == VALUE_TIME || b->type == VALUE_TIME) {
        return apply_time(op, a, b, ret, err);
    }
    if (a->type == b->type && (a->type == VALUE_STRING || a->type == VALUE_BYTES) &&
        is_comparison(op)) {
        *ret = value_bool(decide(op, str_cmp(value_text(a), value_text(b))));
        return 0;
    }
    return invalid(op, a, b, err);
}

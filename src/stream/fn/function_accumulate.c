/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Accumulating functions: an aggregate over all rows of a stream so far. With two conditions behind
 * the value they run from a row that meets the first to one that meets the second, both included,
 * and begin anew after it. Results are floats but for acc_count(), as in eKuiper.
 */
#include "exact.h"
#include "family.h"
#include "stream/sql/ast.h"

enum acc_kind { ACC_AVG, ACC_COUNT, ACC_MAX, ACC_MIN, ACC_SUM };

struct acc {
    struct exact sum;
    double special; /* sum of NaN and infinities, which cannot be in `sum` */
    double max, min;
    int64_t n;
    bool began, has_special;
};

static void acc_reset(struct acc *s)
{
    *s = (struct acc){.began = s->began};
}

static void acc_add(struct acc *s, double x)
{
    if (isfinite(x)) {
        s->sum = exact_add_double(s->sum, x);
    } else {
        s->special += x;
        s->has_special = true;
    }
    s->max = s->n == 0 || x > s->max ? x : s->max;
    s->min = s->n == 0 || x < s->min ? x : s->min;
    s->n++;
}

static double acc_total(const struct acc *s)
{
    return s->has_special ? s->special : exact_double(s->sum);
}

static struct value acc_value(const struct acc *s, enum acc_kind kind)
{
    switch (kind) {
    case ACC_AVG:
        return value_float(s->n > 0 ? acc_total(s) / (double)s->n : 0);
    case ACC_COUNT:
        return value_int(s->n);
    case ACC_MAX:
        return value_float(s->max);
    case ACC_MIN:
        return value_float(s->min);
    default:
        return value_float(acc_total(s));
    }
}

static int take(struct acc *s, enum acc_kind kind, const struct value *v, struct err *err)
{
    double x = 0;
    if (value_is_null(v)) {
        return 0;
    }
    if (kind != ACC_COUNT && !value_is_number(v)) {
        return err_set(err, -E_INVAL, "the value should be number");
    }
    if (value_is_number(v)) {
        (void)function_double(v, &x, err); /* a number is one */
    }
    acc_add(s, x);
    return 0;
}

static int condition(const struct value *v, const char *name, bool *ret, struct err *err)
{
    *ret = v->type == VALUE_BOOL && v->b;
    return v->type == VALUE_BOOL || value_is_null(v)
               ? 0
               : err_set(err, -E_INVAL, "%s should be boolean", name);
}

static int acc_step(struct acc *s, enum acc_kind kind, struct eval *ev, const struct value *args,
                    unsigned argc, struct value *ret, struct err *err)
{
    bool begin = false, end = false;
    int rc = 0;
    if (argc == 1) {
        rc = ev->skip ? 0 : take(s, kind, &args[0], err);
        *ret = acc_value(s, kind);
        return rc;
    }
    rc = condition(&args[1], "onBegin", &begin, err);
    rc = rc < 0 ? rc : condition(&args[2], "onReset", &end, err);
    if (rc < 0) {
        return rc;
    }
    if (!s->began) {
        acc_reset(s);
        s->began = begin;
    }
    if (s->began && !ev->skip) {
        rc = take(s, kind, &args[0], err);
    }
    s->began = s->began && !end;
    *ret = acc_value(s, kind);
    return rc;
}

#define STEP(name, kind)                                                                   \
    static int name(void *state, struct eval *ev, const struct value *args, unsigned argc, \
                    struct value *ret, struct err *err)                                    \
    {                                                                                      \
        return acc_step(state, kind, ev, args, argc, ret, err);                            \
    }
STEP(avg_step, ACC_AVG)
STEP(count_step, ACC_COUNT)
STEP(max_step, ACC_MAX)
STEP(min_step, ACC_MIN)
STEP(sum_step, ACC_SUM)

/* [sum, sum, special, max, min, n, began, has_special] */
static int acc_save(const void *state, struct arena *a, struct value *ret)
{
    const struct acc *s = state;
    const double floats[] = {s->sum.high, s->sum.low, s->special, s->max, s->min};
    struct value *items = arena_alloc(a, 8 * sizeof(*items));
    if (items) {
        function_save_floats(a, floats, ARRAY_SIZE(floats), items);
        items[5] = value_int(s->n);
        items[6] = value_bool(s->began);
        items[7] = value_bool(s->has_special);
    }
    *ret = value_items(items, 8);
    return arena_failed(a) ? -E_NOMEM : 0;
}

static int acc_load(void *state, const struct value *saved)
{
    struct acc *s = state;
    double *floats[] = {&s->sum.high, &s->sum.low, &s->special, &s->max, &s->min};
    int rc = saved->type == VALUE_ARRAY && saved->n == 8 && saved->items[5].type == VALUE_INT &&
                     saved->items[6].type == VALUE_BOOL && saved->items[7].type == VALUE_BOOL
                 ? 0
                 : -E_INVAL;
    rc = rc < 0 ? rc : function_load_floats(saved->items, floats, ARRAY_SIZE(floats));
    if (rc == 0) {
        s->n = saved->items[5].i;
        s->began = saved->items[6].b;
        s->has_special = saved->items[7].b;
    }
    return rc;
}

#define ACC_OPS(step_fn)                                                                  \
    {                                                                                     \
        .size = sizeof(struct acc), .step = (step_fn), .save = acc_save, .load = acc_load \
    }
static const struct function_state_ops avg_ops = ACC_OPS(avg_step);
static const struct function_state_ops count_ops = ACC_OPS(count_step);
static const struct function_state_ops max_ops = ACC_OPS(max_step);
static const struct function_state_ops min_ops = ACC_OPS(min_step);
static const struct function_state_ops sum_ops = ACC_OPS(sum_step);

static int one_or_three(const struct ast_expr *call, struct err *err)
{
    return call->n_args == 1 || call->n_args == 3
               ? 0
               : err_set(err, -E_INVAL, "Expect 1/3 arguments but found %u.", call->n_args);
}

static const struct function functions[] = {
    ANALYTIC("acc_avg", 1, 3, one_or_three, &avg_ops, "The mean of all values so far."),
    ANALYTIC("acc_count", 1, 3, one_or_three, &count_ops,
             "How many values that are not null there were so far."),
    ANALYTIC("acc_max", 1, 3, one_or_three, &max_ops, "The greatest value so far."),
    ANALYTIC("acc_min", 1, 3, one_or_three, &min_ops, "The least value so far."),
    ANALYTIC("acc_sum", 1, 3, one_or_three, &sum_ops, "The sum of all values so far."),
};

const struct function_family function_accumulate = {functions, ARRAY_SIZE(functions)};

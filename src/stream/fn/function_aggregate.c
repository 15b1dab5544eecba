/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregate functions. Sums of integers stay integers until they overflow; sums of floats have
 * twice a double's precision (exact.h), so that adding and dropping rows of a sliding window does
 * not drift. Nulls are left out.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "exact.h"
#include "function.h"
#include "kept.h"
#include "stream/batch.h"
#include "stream/expr/expr.h"

/* ---- count ---- */

struct count {
    int64_t n;
};

/* count(*) has no arguments and counts rows. */
static int count_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                      struct value *ret, struct err *err)
{
    struct count *c = state;
    (void)ev;
    (void)ret;
    (void)err;
    c->n += argc == 0 || !value_is_null(&args[0]);
    return 0;
}

static int count_drop(void *state, struct eval *ev, const struct value *args, unsigned argc)
{
    struct count *c = state;
    (void)ev;
    c->n -= argc == 0 || !value_is_null(&args[0]);
    return 0;
}

static int count_merge(void *into, const void *from, struct err *err)
{
    (void)err;
    ((struct count *)into)->n += ((const struct count *)from)->n;
    return 0;
}

static int count_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    (void)ev;
    (void)err;
    *ret = value_int(((struct count *)state)->n);
    return 0;
}

static int count_save(const void *state, struct arena *a, struct value *ret)
{
    (void)a;
    *ret = value_int(((const struct count *)state)->n);
    return 0;
}

static int count_load(void *state, const struct value *saved)
{
    if (saved->type != VALUE_INT) {
        return -E_INVAL;
    }
    ((struct count *)state)->n = saved->i;
    return 0;
}

static uint32_t count_steps(void *const *states, const struct column *c, const uint16_t *rows,
                            uint32_t n)
{
    (void)c;
    (void)rows;
    for (uint32_t i = 0; i < n; i++) {
        ((struct count *)states[i])->n++;
    }
    return n;
}

static const struct function_state_ops count_ops = {.size = sizeof(struct count),
                                                    .step = count_step,
                                                    .steps = count_steps,
                                                    .drop = count_drop,
                                                    .merge = count_merge,
                                                    .result = count_result,
                                                    .save = count_save,
                                                    .load = count_load};

/* ---- sum and avg ---- */

struct sum {
    __int128 whole;    /* of the integers: cannot overflow in any window */
    struct exact real; /* of the floats */
    int64_t n, n_real;
    int64_t n_nan, n_plus, n_minus; /* NaN and infinities: they would spoil the sum for good */
};

static int sum_add(struct sum *s, const struct value *v, int sign)
{
    if (v->type == VALUE_INT) {
        s->whole += sign * (__int128)v->i;
    } else if (isfinite(v->f)) {
        s->real = exact_add_double(s->real, sign * v->f);
        s->n_real += sign;
    } else {
        *(isnan(v->f) ? &s->n_nan : v->f > 0 ? &s->n_plus : &s->n_minus) += sign;
        s->n_real += sign;
    }
    s->n += sign;
    if (s->n_real == 0) {
        s->real = (struct exact){0, 0};
    }
    return 0;
}

static int sum_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                    struct value *ret, struct err *err)
{
    (void)ev;
    (void)ret;
    if (argc == 0 || value_is_null(&args[0])) {
        return 0;
    }
    if (!value_is_number(&args[0])) {
        struct buf b = BUF_INIT;
        (void)value_print_text(&b, &args[0]); /* sticky */
        (void)err_set(err, -E_INVAL, "requires numeric but found %s(" STR_FMT ")",
                      value_type_name(args[0].type), STR_ARG(buf_str(&b)));
        buf_fini(&b);
        return -E_INVAL;
    }
    return sum_add(state, &args[0], 1);
}

static uint32_t sum_steps(void *const *states, const struct column *c, const uint16_t *rows,
                          uint32_t n)
{
    if (c->kind == COLUMN_INT) {
        for (uint32_t i = 0; i < n; i++) {
            struct sum *s = states[i];
            s->whole += c->i[rows[i]];
            s->n++;
        }
        return n;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct value v = value_float(c->f[rows[i]]);
        (void)sum_add(states[i], &v, 1); /* cannot fail */
    }
    return n;
}

static int sum_drop(void *state, struct eval *ev, const struct value *args, unsigned argc)
{
    (void)ev;
    return argc == 0 || !value_is_number(&args[0]) ? 0 : sum_add(state, &args[0], -1);
}

static int sum_merge(void *into, const void *from, struct err *err)
{
    struct sum *a = into;
    const struct sum *b = from;
    (void)err;
    a->whole += b->whole;
    a->real = exact_add(a->real, b->real);
    a->n += b->n;
    a->n_real += b->n_real;
    a->n_nan += b->n_nan;
    a->n_plus += b->n_plus;
    a->n_minus += b->n_minus;
    return 0;
}

static double sum_double(const struct sum *s)
{
    if (s->n_nan > 0 || (s->n_plus > 0 && s->n_minus > 0)) {
        return NAN;
    }
    if (s->n_plus > 0 || s->n_minus > 0) {
        return s->n_plus > 0 ? INFINITY : -INFINITY;
    }
    return s->real.high + (s->real.low + (double)s->whole);
}

static int sum_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    const struct sum *s = state;
    (void)ev;
    (void)err;
    if (s->n == 0) {
        *ret = VALUE_OF_NULL;
    } else if (s->n_real == 0 && s->whole >= INT64_MIN && s->whole <= INT64_MAX) {
        *ret = value_int((int64_t)s->whole);
    } else {
        *ret = value_float(sum_double(s));
    }
    return 0;
}

/* The average of integers is an integer, as in eKuiper. */
static int avg_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    const struct sum *s = state;
    (void)ev;
    (void)err;
    if (s->n == 0) {
        *ret = VALUE_OF_NULL;
    } else if (s->n_real == 0) {
        *ret = value_int((int64_t)(s->whole / s->n));
    } else {
        *ret = value_float(sum_double(s) / (double)s->n);
    }
    return 0;
}

#define SUM_WORDS ((sizeof(struct sum) + 7) / 8)

static int sum_save(const void *state, struct arena *a, struct value *ret)
{
    struct value *words = arena_alloc(a, SUM_WORDS * sizeof(*words));
    int64_t raw[SUM_WORDS] = {0};
    memcpy(raw, state, sizeof(struct sum));
    for (size_t i = 0; words && i < SUM_WORDS; i++) {
        words[i] = value_int(raw[i]);
    }
    *ret = (struct value){.type = VALUE_ARRAY, .n = SUM_WORDS, .items = words};
    return words ? 0 : -E_NOMEM;
}

static int sum_load(void *state, const struct value *saved)
{
    int64_t raw[SUM_WORDS];
    if (saved->type != VALUE_ARRAY || saved->n != SUM_WORDS) {
        return -E_INVAL;
    }
    for (size_t i = 0; i < SUM_WORDS; i++) {
        if (saved->items[i].type != VALUE_INT) {
            return -E_INVAL;
        }
        raw[i] = saved->items[i].i;
    }
    memcpy(state, raw, sizeof(struct sum));
    return 0;
}

#define SUM_OPS(result_fn)                                                                  \
    {                                                                                       \
        .size = sizeof(struct sum), .step = sum_step, .steps = sum_steps, .drop = sum_drop, \
        .merge = sum_merge, .result = (result_fn), .save = sum_save, .load = sum_load       \
    }
static const struct function_state_ops sum_ops = SUM_OPS(sum_result);
static const struct function_state_ops avg_ops = SUM_OPS(avg_result);

/* ---- min, max, last_value: one value that is kept ---- */

/* Where kinds are mixed, the one that counts must not hang on the order of the rows: windows put
 * states together in several ways. */
static int precedence(const struct value *v)
{
    return value_is_number(v) ? 3 : v->type == VALUE_TIME ? 2 : v->type == VALUE_STRING ? 1 : 0;
}

static int keep_least(struct kept *k, const struct value *v, int sign, struct err *err)
{
    if (value_is_null(v)) {
        return 0;
    }
    if (v->type == VALUE_ARRAY || v->type == VALUE_OBJECT || v->type == VALUE_BYTES) {
        return err_set(err, -E_INVAL, "requires number, text or time but found %s",
                       value_type_name(v->type));
    }
    int before = k->some ? precedence(v) - precedence(&k->value) : 0;
    if (before == 0) {
        return k->some && sign * value_order(v, &k->value) >= 0 ? 0 : kept_set(k, v);
    }
    enum value_type wanted = before > 0 ? v->type : k->value.type;
    enum value_type found = before > 0 ? k->value.type : v->type;
    int rc = before > 0 ? kept_set(k, v) : 0;
    return rc < 0 ? rc
                  : err_set(err, -E_INVAL, "requires %s but found %s", value_type_name(wanted),
                            value_type_name(found));
}

/* What is left out was told when it was taken in. */
static int merge_least(struct kept *into, const struct kept *from, int sign, struct err *err)
{
    int rc = from->some ? keep_least(into, &from->value, sign, err) : 0;
    return rc == -E_INVAL ? 0 : rc;
}

static int min_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                    struct value *ret, struct err *err)
{
    (void)ev;
    (void)argc;
    (void)ret;
    return keep_least(state, &args[0], 1, err);
}

static int max_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                    struct value *ret, struct err *err)
{
    (void)ev;
    (void)argc;
    (void)ret;
    return keep_least(state, &args[0], -1, err);
}

/* Least (sign 1) or greatest of a column; a value of another kind is for step() to refuse. */
static inline uint32_t least_steps(void *const *states, const struct column *c,
                                   const uint16_t *rows, uint32_t n, int sign)
{
    for (uint32_t i = 0; i < n; i++) {
        struct kept *k = states[i];
        struct value v =
            c->kind == COLUMN_INT ? value_int(c->i[rows[i]]) : value_float(c->f[rows[i]]);
        if (k->some && k->value.type == VALUE_INT && v.type == VALUE_INT) {
            k->value.i = sign * (v.i < k->value.i ? -1 : v.i > k->value.i) < 0 ? v.i : k->value.i;
            continue;
        }
        if (k->some && !value_is_number(&k->value)) {
            return i;
        }
        if (!k->some || sign * value_order(&v, &k->value) < 0) {
            k->value = v;
            k->some = true;
        }
    }
    return n;
}

static uint32_t min_steps(void *const *states, const struct column *c, const uint16_t *rows,
                          uint32_t n)
{
    return least_steps(states, c, rows, n, 1);
}

static uint32_t max_steps(void *const *states, const struct column *c, const uint16_t *rows,
                          uint32_t n)
{
    return least_steps(states, c, rows, n, -1);
}

static int min_merge(void *into, const void *from, struct err *err)
{
    return merge_least(into, from, 1, err);
}

static int max_merge(void *into, const void *from, struct err *err)
{
    return merge_least(into, from, -1, err);
}

/* last_value(x, ignore_null) */
static int last_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                     struct value *ret, struct err *err)
{
    bool skip = argc > 1 && args[1].type == VALUE_BOOL && args[1].b;
    (void)ev;
    (void)ret;
    (void)err;
    return skip && value_is_null(&args[0]) ? 0 : kept_set(state, &args[0]);
}

static int last_merge(void *into, const void *from, struct err *err)
{
    const struct kept *k = from;
    (void)err;
    return k->some ? kept_set(into, &k->value) : 0;
}

static int kept_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    (void)ev;
    (void)err;
    *ret = kept_value(state);
    return 0;
}

static void kept_fini(void *state)
{
    kept_clear(state);
}

static int save_kept(const void *state, struct arena *a, struct value *ret)
{
    return kept_save(state, a, ret);
}

static int load_kept(void *state, const struct value *saved)
{
    return kept_load(state, saved);
}

static size_t bytes_of_kept(const void *state)
{
    return kept_bytes(state);
}

#define KEPT_OPS(step_fn, steps_fn, merge_fn)                                                     \
    {                                                                                             \
        .size = sizeof(struct kept), .step = (step_fn), .steps = (steps_fn), .merge = (merge_fn), \
        .result = kept_result, .fini = kept_fini, .save = save_kept, .load = load_kept,           \
        .bytes = bytes_of_kept                                                                    \
    }
static const struct function_state_ops min_ops = KEPT_OPS(min_step, min_steps, min_merge);
static const struct function_state_ops max_ops = KEPT_OPS(max_step, max_steps, max_merge);
static const struct function_state_ops last_ops = KEPT_OPS(last_step, NULL, last_merge);

static int one_number(const struct ast_expr *call, struct err *err)
{
    return function_expect_number(call, 0, err) ? 0 : -E_INVAL;
}

static const struct function functions[] = {
    {.name = "avg",
     .kind = FUNCTION_AGGREGATE,
     .min_args = 1,
     .max_args = 1,
     .check = one_number,
     .state = &avg_ops,
     .help = "The mean of the values; of integers, an integer."},
    {.name = "count",
     .kind = FUNCTION_AGGREGATE,
     .min_args = 0,
     .max_args = 1,
     .flags = FUNCTION_F_NULLS,
     .state = &count_ops,
     .help = "How many rows there are, or values that are not null."},
    {.name = "last_value",
     .kind = FUNCTION_AGGREGATE,
     .min_args = 1,
     .max_args = 2,
     .flags = FUNCTION_F_NULLS,
     .state = &last_ops,
     .help = "The value of the last row; with true behind it, of the last that is not null."},
    {.name = "max",
     .kind = FUNCTION_AGGREGATE,
     .min_args = 1,
     .max_args = 1,
     .state = &max_ops,
     .help = "The greatest value."},
    {.name = "min",
     .kind = FUNCTION_AGGREGATE,
     .min_args = 1,
     .max_args = 1,
     .state = &min_ops,
     .help = "The least value."},
    {.name = "sum",
     .kind = FUNCTION_AGGREGATE,
     .min_args = 1,
     .max_args = 1,
     .check = one_number,
     .state = &sum_ops,
     .help = "The sum of the values; of integers, an integer unless it is too large."},
};

const struct function_family function_aggregate = {functions, ARRAY_SIZE(functions)};

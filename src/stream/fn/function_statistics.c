/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statistics of the numbers of a group; nulls are left out.
 *
 * Variances keep sums of x and x*x in twice a double's precision, around the first value. They
 * cannot drop a row, only merge: a great number that has left would leave its rounding behind.
 * Medians and percentiles keep the numbers.
 */
#include <stdlib.h>
#include <string.h>

#include "exact.h"
#include "family.h"
#include "stream/sql/ast.h"

static int want_number(const struct value *v, struct err *err)
{
    if (value_is_number(v)) {
        return 0;
    }
    struct buf b = BUF_INIT;
    (void)value_print_text(&b, v); /* sticky */
    (void)err_set(err, -E_INVAL, "requires float64 slice but found %s(" STR_FMT ")",
                  value_type_name(v->type), STR_ARG(buf_str(&b)));
    buf_fini(&b);
    return -E_INVAL;
}

/* ---- variance ---- */

struct variance {
    double origin; /* of the sums: a number near the data */
    struct exact sum, squares;
    int64_t n, n_special; /* n_special: NaN and infinities, which stay out of the sums */
};

static void variance_add(struct variance *s, double x)
{
    if (!isfinite(x)) {
        s->n_special++;
    } else {
        if (s->n == 0) {
            *s = (struct variance){.origin = x, .n_special = s->n_special};
        }
        struct exact d = exact_sum(x, -s->origin);
        s->sum = exact_add(s->sum, d);
        s->squares = exact_add(s->squares, exact_multiply(d, d));
        s->n++;
    }
}

static int variance_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                         struct value *ret, struct err *err)
{
    double x;
    (void)ev;
    (void)argc;
    (void)ret;
    if (value_is_null(&args[0])) {
        return 0;
    }
    int rc = want_number(&args[0], err);
    if (rc == 0 && function_double(&args[0], &x, err) == 0) {
        variance_add(state, x);
    }
    return rc;
}

/* Moves the origin of b to that of a: sum(x - a) = sum(x - b) + n (b - a). */
static int variance_merge(void *into, const void *from, struct err *err)
{
    struct variance *a = into;
    struct variance b = *(const struct variance *)from;
    (void)err;
    if (a->n == 0) {
        b.n_special += a->n_special;
        *a = b;
        return 0;
    }
    struct exact shift = exact_sum(b.origin, -a->origin);
    struct exact twice = exact_scale(exact_multiply(shift, b.sum), 2);
    struct exact moved = exact_scale(exact_multiply(shift, shift), (double)b.n);
    a->squares = exact_add(a->squares, exact_add(b.squares, exact_add(twice, moved)));
    a->sum = exact_add(a->sum, exact_add(b.sum, exact_scale(shift, (double)b.n)));
    a->n += b.n;
    a->n_special += b.n_special;
    return 0;
}

/* (sum of squares - sum^2 / n) / (n - less) */
static struct value variance_of(const struct variance *s, int less, bool root)
{
    if (s->n + s->n_special == 0) {
        return VALUE_OF_NULL;
    }
    if (s->n_special > 0 || s->n <= less) {
        return s->n_special > 0 ? value_float(NAN) : VALUE_OF_NULL;
    }
    struct exact square = exact_multiply(s->sum, s->sum);
    double n = (double)s->n;
    double rest = exact_double(exact_add(exact_scale(s->squares, n), exact_scale(square, -1)));
    double v = (rest > 0 ? rest : 0) / n / (n - less);
    return value_float(root ? sqrt(v) : v);
}

static int var_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    (void)ev;
    (void)err;
    *ret = variance_of(state, 0, false);
    return 0;
}

static int vars_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    (void)ev;
    (void)err;
    *ret = variance_of(state, 1, false);
    return 0;
}

static int stddev_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    (void)ev;
    (void)err;
    *ret = variance_of(state, 0, true);
    return 0;
}

static int stddevs_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    (void)ev;
    (void)err;
    *ret = variance_of(state, 1, true);
    return 0;
}

/* [origin, sum, sum, squares, squares, n, special] */
static int variance_save(const void *state, struct arena *a, struct value *ret)
{
    const struct variance *s = state;
    const double floats[] = {s->origin, s->sum.high, s->sum.low, s->squares.high, s->squares.low};
    struct value *items = arena_alloc(a, 7 * sizeof(*items));
    if (items) {
        function_save_floats(a, floats, ARRAY_SIZE(floats), items);
        items[5] = value_int(s->n);
        items[6] = value_int(s->n_special);
    }
    *ret = value_items(items, 7);
    return arena_failed(a) ? -E_NOMEM : 0;
}

static int variance_load(void *state, const struct value *saved)
{
    struct variance *s = state;
    double *floats[] = {&s->origin, &s->sum.high, &s->sum.low, &s->squares.high, &s->squares.low};
    int rc = saved->type == VALUE_ARRAY && saved->n == 7 && saved->items[5].type == VALUE_INT &&
                     saved->items[6].type == VALUE_INT
                 ? 0
                 : -E_INVAL;
    rc = rc < 0 ? rc : function_load_floats(saved->items, floats, ARRAY_SIZE(floats));
    if (rc == 0) {
        s->n = saved->items[5].i;
        s->n_special = saved->items[6].i;
    }
    return rc;
}

#define VARIANCE_OPS(result_fn)                                                          \
    {                                                                                    \
        .size = sizeof(struct variance), .step = variance_step, .merge = variance_merge, \
        .result = (result_fn), .save = variance_save, .load = variance_load              \
    }
static const struct function_state_ops var_ops = VARIANCE_OPS(var_result);
static const struct function_state_ops vars_ops = VARIANCE_OPS(vars_result);
static const struct function_state_ops stddev_ops = VARIANCE_OPS(stddev_result);
static const struct function_state_ops stddevs_ops = VARIANCE_OPS(stddevs_result);

/* ---- median, percentiles ---- */

struct sample { /* a ring, oldest first */
    double *items;
    uint32_t cap, first, n;
    double percent; /* of the last row, 0 to 1 */
};

static double *sample_at(const struct sample *s, uint32_t i)
{
    return &s->items[(s->first + i) & (s->cap - 1)];
}

static int sample_push(struct sample *s, double x)
{
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 16;
        double *items = cap > UINT32_C(1) << 30 ? NULL : mem_alloc(cap * sizeof(*items));
        if (!items) {
            return -E_NOMEM;
        }
        for (uint32_t i = 0; i < s->n; i++) {
            items[i] = *sample_at(s, i);
        }
        mem_free(s->items);
        s->items = items;
        s->cap = cap;
        s->first = 0;
    }
    s->n++;
    *sample_at(s, s->n - 1) = x;
    return 0;
}

static int sample_step(void *state, struct eval *ev, const struct value *args, unsigned argc,
                       struct value *ret, struct err *err)
{
    struct sample *s = state;
    double x = 0, percent = 0.5;
    (void)ev;
    (void)ret;
    if (argc > 1 &&
        (function_double(&args[1], &percent, err) < 0 || !(percent >= 0 && percent <= 1))) {
        return err_set(err, -E_INVAL, "the second parameter requires a number between 0 and 1");
    }
    s->percent = percent;
    if (value_is_null(&args[0])) {
        return 0;
    }
    int rc = want_number(&args[0], err);
    rc = rc < 0 ? rc : function_double(&args[0], &x, err);
    return rc < 0 ? rc : sample_push(s, x);
}

static int sample_drop(void *state, struct eval *ev, const struct value *args, unsigned argc)
{
    struct sample *s = state;
    (void)ev;
    (void)argc;
    if (s->n > 0 && value_is_number(&args[0])) {
        s->first = (s->first + 1) & (s->cap - 1);
        s->n--;
    }
    return 0;
}

static int sample_merge(void *into, const void *from, struct err *err)
{
    const struct sample *s = from;
    int rc = 0;
    (void)err;
    for (uint32_t i = 0; rc == 0 && i < s->n; i++) {
        rc = sample_push(into, *sample_at(s, i));
    }
    if (s->n > 0) { /* an empty one was never told */
        ((struct sample *)into)->percent = s->percent;
    }
    return rc;
}

/* NaN stands before all others. */
static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (isnan(x) || isnan(y)) {
        return (int)isnan(y) - (int)isnan(x);
    }
    return (x > y) - (x < y);
}

static double *sorted(const struct sample *s, struct eval *ev)
{
    double *items = arena_alloc(ev->arena, (s->n + 1) * sizeof(*items));
    for (uint32_t i = 0; items && i < s->n; i++) {
        items[i] = *sample_at(s, i);
    }
    if (items) {
        qsort(items, s->n, sizeof(*items), by_size);
    }
    return items;
}

static int median_result(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    const struct sample *s = state;
    double *items = s->n > 0 ? sorted(s, ev) : NULL;
    (void)err;
    *ret = VALUE_OF_NULL;
    if (items) {
        double high = items[s->n / 2], low = s->n % 2 ? high : items[s->n / 2 - 1];
        *ret = value_float(low == high ? low : low / 2 + high / 2);
    }
    return s->n > 0 && !items ? -E_NOMEM : 0;
}

/* eKuiper's: the place is percent * n; a whole place gives that item, another the mean of the two
 * around it, and one before the first item gives the first. */
static int percentile_cont(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    const struct sample *s = state;
    double *items = s->n > 0 ? sorted(s, ev) : NULL;
    (void)err;
    *ret = VALUE_OF_NULL;
    if (items) {
        double place = s->percent * s->n;
        uint32_t i = (uint32_t)place;
        bool whole = place == floor(place);
        *ret = value_float(i == 0               ? items[0]
                           : whole || i >= s->n ? items[i - 1]
                                                : items[i - 1] / 2 + items[i] / 2);
    }
    return s->n > 0 && !items ? -E_NOMEM : 0;
}

/* The nearest rank: the least item that so much of the sample does not exceed. */
static int percentile_disc(void *state, struct eval *ev, struct value *ret, struct err *err)
{
    const struct sample *s = state;
    double *items = s->n > 0 ? sorted(s, ev) : NULL;
    (void)err;
    *ret = VALUE_OF_NULL;
    if (items) {
        uint32_t i = (uint32_t)ceil(s->percent * s->n);
        *ret = value_float(items[i == 0 ? 0 : i - 1]);
    }
    return s->n > 0 && !items ? -E_NOMEM : 0;
}

static void sample_fini(void *state)
{
    mem_free(((struct sample *)state)->items);
}

/* [percent, number...] */
static int sample_save(const void *state, struct arena *a, struct value *ret)
{
    const struct sample *s = state;
    struct value *items = arena_alloc(a, (s->n + 1) * sizeof(*items));
    for (uint32_t i = 0; items && i <= s->n; i++) {
        struct value v = value_float(i == 0 ? s->percent : *sample_at(s, i - 1));
        items[i] = value_save(a, &v);
    }
    *ret = value_items(items, s->n + 1);
    return arena_failed(a) ? -E_NOMEM : 0;
}

static int sample_load(void *state, const struct value *saved)
{
    struct sample *s = state;
    struct arena a;
    int rc = saved->type == VALUE_ARRAY && saved->n > 0 ? 0 : -E_INVAL;
    arena_init(&a, 0);
    for (uint32_t i = 0; rc == 0 && i < saved->n; i++) {
        struct value v;
        double x = 0;
        rc = value_load(&a, &saved->items[i], &v);
        rc = rc < 0 ? rc : function_double(&v, &x, NULL);
        if (rc == 0 && i == 0) {
            s->percent = x;
        } else if (rc == 0) {
            rc = sample_push(s, x);
        }
        arena_clear(&a);
    }
    arena_fini(&a);
    return rc;
}

static size_t sample_bytes(const void *state)
{
    return ((const struct sample *)state)->cap * sizeof(double);
}

#define SAMPLE_OPS(result_fn)                                                                   \
    {                                                                                           \
        .size = sizeof(struct sample), .step = sample_step, .drop = sample_drop,                \
        .merge = sample_merge, .result = (result_fn), .fini = sample_fini, .save = sample_save, \
        .load = sample_load, .bytes = sample_bytes                                              \
    }
static const struct function_state_ops median_ops = SAMPLE_OPS(median_result);
static const struct function_state_ops cont_ops = SAMPLE_OPS(percentile_cont);
static const struct function_state_ops disc_ops = SAMPLE_OPS(percentile_disc);

/* ---- table ---- */

static int one_number(const struct ast_expr *call, struct err *err)
{
    return function_expect_number(call, 0, err) ? 0 : -E_INVAL;
}

static int two_numbers(const struct ast_expr *call, struct err *err)
{
    return function_expect_number(call, 0, err) && function_expect_number(call, 1, err) ? 0
                                                                                        : -E_INVAL;
}

static const struct function functions[] = {
    AGGREGATE("median", 1, 1, one_number, &median_ops, "The middle number."),
    AGGREGATE("percentile", 2, 2, two_numbers, &cont_ops, "As percentile_cont."),
    AGGREGATE("percentile_cont", 2, 2, two_numbers, &cont_ops,
              "The number below which such a part of the numbers lies, between two if need be."),
    AGGREGATE("percentile_disc", 2, 2, two_numbers, &disc_ops,
              "The first number which such a part of the numbers does not exceed."),
    AGGREGATE("stddev", 1, 1, one_number, &stddev_ops, "The standard deviation of a population."),
    AGGREGATE("stddevs", 1, 1, one_number, &stddevs_ops, "The standard deviation of a sample."),
    AGGREGATE("var", 1, 1, one_number, &var_ops, "The variance of a population."),
    AGGREGATE("vars", 1, 1, one_number, &vars_ops, "The variance of a sample."),
};

const struct function_family function_statistics = {functions, ARRAY_SIZE(functions)};

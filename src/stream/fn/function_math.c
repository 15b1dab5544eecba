/* SPDX-License-Identifier: Apache-2.0 */
/* Mathematical functions: floats in IEEE 754; a result that is no number is null. */
#include <math.h>
#include <stdio.h>

#include "base/encode.h"
#include "family.h"
#include "stream/sql/ast.h"

#define PURE FUNCTION_F_PURE

/* ---- checks of constant arguments ---- */

static int check_numbers(const struct ast_expr *call, struct err *err)
{
    return function_expect(call, "n", err);
}

static int check_ints(const struct ast_expr *call, struct err *err)
{
    return function_expect(call, "i", err);
}

/* ---- functions of one or two floats ---- */

static void number(double f, struct value *ret)
{
    *ret = isnan(f) ? VALUE_OF_NULL : value_float(f);
}

static double cot(double x)
{
    return 1 / tan(x);
}

static double degrees(double x)
{
    return x * 180 / M_PI;
}

static double radians(double x)
{
    return x * M_PI / 180;
}

#define OF_ONE(name, f)                                                                          \
    static int name(struct eval *ev, const struct value *args, unsigned argc, struct value *ret, \
                    struct err *err)                                                             \
    {                                                                                            \
        double x = 0;                                                                            \
        int rc = function_double(&args[0], &x, err);                                             \
        (void)ev;                                                                                \
        (void)argc;                                                                              \
        if (rc == 0) {                                                                           \
            number(f(x), ret);                                                                   \
        }                                                                                        \
        return rc;                                                                               \
    }

#define OF_TWO(name, f)                                                                          \
    static int name(struct eval *ev, const struct value *args, unsigned argc, struct value *ret, \
                    struct err *err)                                                             \
    {                                                                                            \
        double x = 0, y = 0;                                                                     \
        int rc = function_double(&args[0], &x, err);                                             \
        rc = rc < 0 ? rc : function_double(&args[1], &y, err);                                   \
        (void)ev;                                                                                \
        (void)argc;                                                                              \
        if (rc == 0) {                                                                           \
            number(f(x, y), ret);                                                                \
        }                                                                                        \
        return rc;                                                                               \
    }

OF_ONE(eval_acos, acos)
OF_ONE(eval_asin, asin)
OF_ONE(eval_atan, atan)
OF_ONE(eval_ceil, ceil)
OF_ONE(eval_cos, cos)
OF_ONE(eval_cosh, cosh)
OF_ONE(eval_degrees, degrees)
OF_ONE(eval_exp, exp)
OF_ONE(eval_floor, floor)
OF_ONE(eval_ln, log)
OF_ONE(eval_radians, radians)
OF_ONE(eval_round, round)
OF_ONE(eval_sin, sin)
OF_ONE(eval_sinh, sinh)
OF_ONE(eval_sqrt, sqrt)
OF_ONE(eval_tan, tan)
OF_ONE(eval_tanh, tanh)
OF_TWO(eval_atan2, atan2)
OF_TWO(eval_mod, fmod)
OF_TWO(eval_power, pow)

/* ---- the others ---- */

static int eval_abs(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                    struct err *err)
{
    double x = 0;
    (void)ev;
    (void)argc;
    if (args[0].type == VALUE_INT && args[0].i != INT64_MIN) {
        *ret = value_int(args[0].i < 0 ? -args[0].i : args[0].i);
        return 0;
    }
    int rc = function_double(&args[0], &x, err);
    if (rc == 0) {
        number(fabs(x), ret);
    }
    return rc;
}

static int eval_cot(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                    struct err *err)
{
    double x = 0;
    int rc = function_double(&args[0], &x, err);
    (void)ev;
    (void)argc;
    if (rc == 0 && x == 0) {
        return err_set(err, -E_INVAL, "out-of-range error");
    }
    if (rc == 0) {
        number(cot(x), ret);
    }
    return rc;
}

/* log(x) is of base 10, log(b, x) of base b. */
static int eval_log(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                    struct err *err)
{
    double x = 0, of = 0;
    int rc = function_double(&args[0], &x, err);
    (void)ev;
    if (rc == 0 && argc == 1) {
        number(log10(x), ret);
        return 0;
    }
    rc = rc < 0 ? rc : function_double(&args[1], &of, err);
    if (rc == 0) {
        number(log(of) / log(x), ret);
    }
    return rc;
}

static int eval_pi(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                   struct err *err)
{
    (void)ev;
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_float(M_PI);
    return 0;
}

static int eval_rand(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    (void)ev;
    (void)args;
    (void)argc;
    (void)err;
    *ret = value_float((double)random_below(1ULL << 53) / (double)(1ULL << 53));
    return 0;
}

static int eval_sign(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    double x = 0;
    int rc = function_double(&args[0], &x, err);
    (void)ev;
    (void)argc;
    if (rc == 0) {
        *ret = value_int(x > 0 ? 1 : x < 0 ? -1 : 0);
    }
    return rc;
}

/* ---- bits ---- */

static int operand(const struct value *v, const char *which, int64_t *ret, struct err *err)
{
    struct buf b = BUF_INIT;
    if (v->type == VALUE_INT) {
        *ret = v->i;
        return 0;
    }
    (void)value_print_text(&b, v); /* sticky; for the message only */
    (void)err_set(err, -E_INVAL, "Expect int type for %soperand but got " STR_FMT, which,
                  STR_ARG(buf_str(&b)));
    buf_fini(&b);
    return -E_INVAL;
}

#define OF_BITS(name, op)                                                                        \
    static int name(struct eval *ev, const struct value *args, unsigned argc, struct value *ret, \
                    struct err *err)                                                             \
    {                                                                                            \
        int64_t x = 0, y = 0;                                                                    \
        int rc = operand(&args[0], "the first ", &x, err);                                       \
        rc = rc < 0 ? rc : operand(&args[1], "the second ", &y, err);                            \
        (void)ev;                                                                                \
        (void)argc;                                                                              \
        if (rc == 0) {                                                                           \
            *ret = value_int(x op y);                                                            \
        }                                                                                        \
        return rc;                                                                               \
    }

OF_BITS(eval_bitand, &)
OF_BITS(eval_bitor, |)
OF_BITS(eval_bitxor, ^)

static int eval_bitnot(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                       struct err *err)
{
    int64_t x = 0;
    int rc = operand(&args[0], "", &x, err);
    (void)ev;
    (void)argc;
    if (rc == 0) {
        *ret = value_int(~x);
    }
    return rc;
}

/* ---- conv ---- */

static int digit_value(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'z' ? c - 'a' + 10
           : c >= 'A' && c <= 'Z' ? c - 'A' + 10
                                  : 99;
}

/* The number that a text is in a base; false when it is none or too large. */
static bool parse_base(struct str s, int base, bool *ret_negative, uint64_t *ret)
{
    *ret = 0;
    *ret_negative = s.n > 0 && s.p[0] == '-';
    for (size_t i = *ret_negative; i < s.n; i++) {
        int d = digit_value(s.p[i]);
        if (d >= base || __builtin_mul_overflow(*ret, (uint64_t)base, ret) ||
            __builtin_add_overflow(*ret, (uint64_t)d, ret)) {
            return false;
        }
    }
    return s.n > *ret_negative;
}

static struct value print_base(struct arena *a, uint64_t v, bool negative, int base)
{
    char digits[66], *at = digits + sizeof(digits);
    size_t n = 0;
    do {
        *--at = "0123456789abcdefghijklmnopqrstuvwxyz"[v % (uint64_t)base];
        n++;
    } while (v /= (uint64_t)base);
    if (negative) {
        *--at = '-';
        n++;
    }
    const char *text = arena_strndup(a, at, n);
    return text ? value_string(str_n(text, n)) : VALUE_OF_NULL;
}

/* conv("ff", 16, 10): null when the text is no number of that base. */
static int eval_conv(struct eval *ev, const struct value *args, unsigned argc, struct value *ret,
                     struct err *err)
{
    struct str text;
    int64_t from = 0, to = 0;
    uint64_t v = 0;
    bool negative = false;
    int rc = function_text(ev->arena, &args[0], &text, err);
    rc = rc < 0 ? rc : function_int(&args[1], &from, err);
    rc = rc < 0 ? rc : function_int(&args[2], &to, err);
    (void)argc;
    if (rc < 0) {
        return rc;
    }
    if (from < 2 || from > 36 || to < 2 || to > 36) {
        return err_set(err, -E_INVAL, "the bases of conv should be between 2 and 36");
    }
    *ret = parse_base(text, (int)from, &negative, &v) ? print_base(ev->arena, v, negative, (int)to)
                                                      : VALUE_OF_NULL;
    return arena_failed(ev->arena) ? -ENOMEM : 0;
}

static const struct function functions[] = {
    SCALAR("abs", 1, 1, PURE, check_numbers, eval_abs, "The absolute value; an integer stays one."),
    SCALAR("acos", 1, 1, PURE, check_numbers, eval_acos, "The arc cosine in radians."),
    SCALAR("asin", 1, 1, PURE, check_numbers, eval_asin, "The arc sine in radians."),
    SCALAR("atan", 1, 1, PURE, check_numbers, eval_atan, "The arc tangent in radians."),
    SCALAR("atan2", 2, 2, PURE, check_numbers, eval_atan2,
           "The angle of the point (second, first) in radians."),
    SCALAR("bitand", 2, 2, PURE, check_ints, eval_bitand, "The bits that both integers have."),
    SCALAR("bitnot", 1, 1, PURE, check_ints, eval_bitnot, "The inverted bits of an integer."),
    SCALAR("bitor", 2, 2, PURE, check_ints, eval_bitor, "The bits that one of the integers has."),
    SCALAR("bitxor", 2, 2, PURE, check_ints, eval_bitxor,
           "The bits that just one of the integers has."),
    SCALAR("ceil", 1, 1, PURE, check_numbers, eval_ceil,
           "The least whole number that is not less, as a float."),
    SCALAR("ceiling", 1, 1, PURE, check_numbers, eval_ceil, "The same as ceil."),
    SCALAR("conv", 3, 3, PURE, NULL, eval_conv,
           "The text of a number in another base: conv(text, from, to)."),
    SCALAR("cos", 1, 1, PURE, check_numbers, eval_cos, "The cosine of an angle in radians."),
    SCALAR("cosh", 1, 1, PURE, check_numbers, eval_cosh, "The hyperbolic cosine."),
    SCALAR("cot", 1, 1, PURE, check_numbers, eval_cot, "The cotangent of an angle in radians."),
    SCALAR("degrees", 1, 1, PURE, check_numbers, eval_degrees, "Radians as degrees."),
    SCALAR("exp", 1, 1, PURE, check_numbers, eval_exp, "The power of e."),
    SCALAR("floor", 1, 1, PURE, check_numbers, eval_floor,
           "The greatest whole number that is not greater, as a float."),
    SCALAR("ln", 1, 1, PURE, check_numbers, eval_ln, "The natural logarithm."),
    SCALAR("log", 1, 2, PURE, check_numbers, eval_log, "log(x) of base 10, or log(base, x)."),
    SCALAR("mod", 2, 2, PURE, check_numbers, eval_mod, "The remainder of a division, as a float."),
    SCALAR("pi", 0, 0, PURE, NULL, eval_pi, "The number pi."),
    SCALAR("pow", 2, 2, PURE, check_numbers, eval_power, "The same as power."),
    SCALAR("power", 2, 2, PURE, check_numbers, eval_power,
           "The first number to the power of the second, as a float."),
    SCALAR("radians", 1, 1, PURE, check_numbers, eval_radians, "Degrees as radians."),
    SCALAR("rand", 0, 0, 0, NULL, eval_rand, "A random number, at least 0 and less than 1."),
    SCALAR("round", 1, 1, PURE, check_numbers, eval_round,
           "The nearest whole number, halves away from zero, as a float."),
    SCALAR("sign", 1, 1, PURE, check_numbers, eval_sign, "1, 0 or -1."),
    SCALAR("sin", 1, 1, PURE, check_numbers, eval_sin, "The sine of an angle in radians."),
    SCALAR("sinh", 1, 1, PURE, check_numbers, eval_sinh, "The hyperbolic sine."),
    SCALAR("sqrt", 1, 1, PURE, check_numbers, eval_sqrt,
           "The square root; null for what is negative."),
    SCALAR("tan", 1, 1, PURE, check_numbers, eval_tan, "The tangent of an angle in radians."),
    SCALAR("tanh", 1, 1, PURE, check_numbers, eval_tanh, "The hyperbolic tangent."),
};

const struct function_family function_math = {functions, ARRAY_SIZE(functions)};

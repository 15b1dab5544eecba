/* SPDX-License-Identifier: Apache-2.0 */
/* The extensions math, encoders and optional types (cel-go ext, cel-spec proposal 246). */
#include <math.h>

#include "base/encode.h"
#include "cel_fn.h"

/* ---- math ---- */

/* The greatest (sign > 0) or least of the arguments, or of the one list. */
static bool extreme(struct cel_run *r, const struct cel_value *args, unsigned n, int sign,
                    struct cel_value *ret)
{
    bool list = n == 1 && args[0].kind == CEL_LIST, ok;
    uint32_t count = list ? cel_length(&args[0]) : n;
    if (count == 0) {
        return cel_fail(r, "math.@%s(list) argument must not be empty", sign > 0 ? "max" : "min");
    }
    for (uint32_t i = 0; i < count; i++) {
        struct cel_value v = list ? cel_item(&args[0], i) : args[i];
        if (v.kind != CEL_INT && v.kind != CEL_UINT && v.kind != CEL_DOUBLE) {
            return cel_no_overload(r);
        }
        if (i == 0 || cel_order(&v, ret, &ok) * sign > 0) {
            *ret = v;
        }
    }
    return true;
}

CEL_FN(greatest)
{
    return extreme(r, args, n, 1, ret);
}

CEL_FN(least)
{
    return extreme(r, args, n, -1, ret);
}

#define MATH(name, expression) \
    CEL_FN(name)               \
    {                          \
        double d = args[0].d;  \
        *ret = expression;     \
        return true;           \
    }

MATH(ceil, cel_double(ceil(d)))
MATH(floor, cel_double(floor(d)))
MATH(round, cel_double(round(d)))
MATH(trunc, cel_double(trunc(d)))
MATH(is_nan, cel_bool(isnan(d)))
MATH(is_inf, cel_bool(isinf(d)))
MATH(is_finite, cel_bool(isfinite(d)))

CEL_FN(sqrt)
{
    *ret = cel_double(sqrt(args[0].kind == CEL_INT    ? (double)args[0].i
                           : args[0].kind == CEL_UINT ? (double)args[0].u
                                                      : args[0].d));
    return true;
}

CEL_FN(abs)
{
    *ret = args[0];
    if (args[0].kind == CEL_DOUBLE) {
        ret->d = fabs(args[0].d);
    } else if (args[0].kind == CEL_INT && args[0].i < 0) {
        if (args[0].i == INT64_MIN) {
            return cel_fail(r, "integer overflow");
        }
        ret->i = -args[0].i;
    }
    return true;
}

CEL_FN(sign)
{
    const struct cel_value *v = &args[0];
    *ret = *v;
    if (v->kind == CEL_DOUBLE) {
        ret->d = isnan(v->d) ? v->d : v->d > 0 ? 1 : v->d < 0 ? -1 : 0;
    } else if (v->kind == CEL_INT) {
        ret->i = (v->i > 0) - (v->i < 0);
    } else {
        ret->u = v->u > 0;
    }
    return true;
}

#define BITS(name, expression) \
    CEL_FN(name)               \
    {                          \
        *ret = args[0];        \
        ret->u = expression;   \
        return true;           \
    }

BITS(bit_and, args[0].u &args[1].u)
BITS(bit_or, args[0].u | args[1].u)
BITS(bit_xor, args[0].u ^ args[1].u)
BITS(bit_not, ~args[0].u)

static bool shift(struct cel_run *r, const struct cel_value *args, bool left, struct cel_value *ret)
{
    int64_t by = args[1].i;
    const char *name = left ? "bitShiftLeft" : "bitShiftRight";
    if (by < 0) {
        return cel_fail(r, "math.%s() negative offset: %lld", name, (long long)by);
    }
    *ret = args[0];
    ret->u = by > 63 ? 0 : left ? args[0].u << by : args[0].u >> by;
    return true;
}

CEL_FN(shift_left)
{
    return shift(r, args, true, ret);
}

CEL_FN(shift_right)
{
    return shift(r, args, false, ret);
}

/* ---- encoders ---- */

CEL_FN(base64_encode)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    (void)base64_encode(&out, args[0].s, args[0].n);
    return cel_give_text(r, &out, ret);
}

CEL_FN(base64_decode)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    (void)buf_append_str(&text, cel_text(&args[0]));
    while (buf_len(&text) % 4) { /* padding may be left out */
        (void)buf_putc(&text, '=');
        if (buf_failed(&text)) {
            return cel_no_memory(r);
        }
    }
    if (base64_decode(&out, buf_str(&text)) < 0) {
        return cel_fail(r, "illegal base64 data");
    }
    if (!cel_give_text(r, &out, ret)) {
        return false;
    }
    ret->kind = CEL_BYTES;
    return true;
}

/* ---- optional types ---- */

CEL_FN(optional_of)
{
    *ret = cel_optional(r->a, &args[0]);
    return true;
}

static bool is_zero(const struct cel_value *v)
{
    switch (v->kind) {
    case CEL_NULL:
        return true;
    case CEL_BOOL:
        return !v->b;
    case CEL_INT:
    case CEL_UINT:
    case CEL_DURATION:
        return v->u == 0;
    case CEL_DOUBLE:
        return v->d == 0;
    case CEL_STRING:
    case CEL_BYTES:
        return v->n == 0;
    case CEL_LIST:
    case CEL_MAP:
    case CEL_OBJECT:
        return cel_length(v) == 0;
    case CEL_OPTIONAL:
        return !v->optional;
    default:
        return false;
    }
}

CEL_FN(optional_non_zero)
{
    *ret = cel_optional(r->a, is_zero(&args[0]) ? NULL : &args[0]);
    return true;
}

CEL_FN(optional_none)
{
    *ret = cel_optional(r->a, NULL);
    return true;
}

CEL_FN(optional_value)
{
    if (!args[0].optional) {
        return cel_fail(r, "optional.none() dereference");
    }
    *ret = *args[0].optional;
    return true;
}

CEL_FN(optional_has_value)
{
    *ret = cel_bool(args[0].optional != NULL);
    return true;
}

CEL_FN(optional_or)
{
    *ret = args[0].optional ? args[0] : args[1];
    return true;
}

CEL_FN(optional_or_value)
{
    *ret = args[0].optional ? *args[0].optional : args[1];
    return true;
}

CEL_FN(optional_unwrap)
{
    uint32_t count = cel_length(&args[0]), kept = 0;
    struct cel_value *items = arena_alloc(r->a, ((size_t)count + 1) * sizeof(*items));
    if (!items) {
        return cel_no_memory(r);
    }
    for (uint32_t i = 0; i < count; i++) {
        struct cel_value v = cel_item(&args[0], i);
        if (v.kind != CEL_OPTIONAL) {
            return cel_no_overload(r);
        }
        if (v.optional) {
            items[kept++] = *v.optional;
        }
    }
    *ret = cel_list_value(r->a, items, kept);
    return true;
}

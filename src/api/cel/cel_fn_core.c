/* SPDX-License-Identifier: Apache-2.0 */
/* The standard functions (cel-spec, langdef.md, "List of Standard Definitions"), but for time. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cel_fn.h"
#include "codec/utf8.h"

static bool int_overflow(struct cel_run *r)
{
    return cel_fail(r, "integer overflow");
}

static bool uint_overflow(struct cel_run *r)
{
    return cel_fail(r, "unsigned integer overflow");
}

static bool give_time(struct cel_run *r, int64_t seconds, int64_t nanos, struct cel_value *ret)
{
    seconds += nanos / CEL_NANOS;
    nanos %= CEL_NANOS;
    if (nanos < 0) {
        nanos += CEL_NANOS;
        seconds--;
    }
    if (seconds < CEL_TIME_MIN || seconds > CEL_TIME_MAX) {
        return cel_fail(r, "timestamp overflow");
    }
    *ret = cel_timestamp(seconds, (uint32_t)nanos);
    return true;
}

/* ---- arithmetic ---- */

CEL_FN(negate)
{
    if (args[0].kind == CEL_DOUBLE) {
        *ret = cel_double(-args[0].d);
        return true;
    }
    if (args[0].i == INT64_MIN) {
        return int_overflow(r);
    }
    *ret = cel_int(-args[0].i);
    return true;
}

static bool concat_lists(struct cel_run *r, const struct cel_value *a, const struct cel_value *b,
                         struct cel_value *ret)
{
    uint32_t n = cel_length(a), m = cel_length(b), at = 0;
    struct cel_value *items = arena_alloc(r->a, ((size_t)n + m + 1) * sizeof(*items));
    if (!items) {
        return cel_no_memory(r);
    }
    for (uint32_t i = 0; i < n; i++) {
        items[at++] = cel_item(a, i);
    }
    for (uint32_t i = 0; i < m; i++) {
        items[at++] = cel_item(b, i);
    }
    *ret = cel_list_value(r->a, items, at);
    return true;
}

static bool concat_texts(struct cel_run *r, const struct cel_value *a, const struct cel_value *b,
                         struct cel_value *ret)
{
    char *text = arena_alloc(r->a, (size_t)a->n + b->n + 1);
    if (!text) {
        return cel_no_memory(r);
    }
    memcpy(text, a->s, a->n);
    memcpy(text + a->n, b->s, b->n);
    *ret = a->kind == CEL_BYTES ? cel_bytes(str_n(text, (size_t)a->n + b->n))
                                : cel_string(str_n(text, (size_t)a->n + b->n));
    return true;
}

CEL_FN(add)
{
    const struct cel_value *a = &args[0], *b = &args[1];
    if (a->kind == CEL_TIMESTAMP || (a->kind == CEL_DURATION && b->kind == CEL_TIMESTAMP)) {
        const struct cel_value *t = a->kind == CEL_TIMESTAMP ? a : b, *d = t == a ? b : a;
        return give_time(r, t->i + d->i / CEL_NANOS, (int64_t)t->n + d->i % CEL_NANOS, ret);
    }
    *ret = *a;
    switch (a->kind) {
    case CEL_INT:
        return !__builtin_add_overflow(a->i, b->i, &ret->i) || int_overflow(r);
    case CEL_DURATION:
        return !__builtin_add_overflow(a->i, b->i, &ret->i) || cel_fail(r, "duration overflow");
    case CEL_UINT:
        return !__builtin_add_overflow(a->u, b->u, &ret->u) || uint_overflow(r);
    case CEL_DOUBLE:
        ret->d = a->d + b->d;
        return true;
    case CEL_LIST:
        return concat_lists(r, a, b, ret);
    default:
        return concat_texts(r, a, b, ret);
    }
}

CEL_FN(subtract)
{
    const struct cel_value *a = &args[0], *b = &args[1];
    *ret = *a;
    switch (a->kind) {
    case CEL_INT:
        return !__builtin_sub_overflow(a->i, b->i, &ret->i) || int_overflow(r);
    case CEL_UINT:
        return !__builtin_sub_overflow(a->u, b->u, &ret->u) || uint_overflow(r);
    case CEL_DURATION:
        return !__builtin_sub_overflow(a->i, b->i, &ret->i) || cel_fail(r, "duration overflow");
    case CEL_TIMESTAMP:
        break;
    default:
        ret->d = a->d - b->d;
        return true;
    }
    if (b->kind == CEL_DURATION) {
        return give_time(r, a->i - b->i / CEL_NANOS, (int64_t)a->n - b->i % CEL_NANOS, ret);
    }
    int64_t nanos;
    if (__builtin_mul_overflow(a->i - b->i, (int64_t)CEL_NANOS, &nanos) ||
        __builtin_add_overflow(nanos, (int64_t)a->n - (int64_t)b->n, &nanos)) {
        return cel_fail(r, "duration overflow");
    }
    *ret = cel_duration(nanos);
    return true;
}

CEL_FN(multiply)
{
    const struct cel_value *a = &args[0], *b = &args[1];
    *ret = *a;
    switch (a->kind) {
    case CEL_INT:
        return !__builtin_mul_overflow(a->i, b->i, &ret->i) || int_overflow(r);
    case CEL_UINT:
        return !__builtin_mul_overflow(a->u, b->u, &ret->u) || uint_overflow(r);
    default:
        ret->d = a->d * b->d;
        return true;
    }
}

CEL_FN(divide)
{
    const struct cel_value *a = &args[0], *b = &args[1];
    *ret = *a;
    if (a->kind == CEL_DOUBLE) {
        ret->d = a->d / b->d;
        return true;
    }
    if (b->u == 0) {
        return cel_fail(r, "division by zero");
    }
    if (a->kind == CEL_UINT) {
        ret->u = a->u / b->u;
        return true;
    }
    if (a->i == INT64_MIN && b->i == -1) {
        return int_overflow(r);
    }
    ret->i = a->i / b->i;
    return true;
}

CEL_FN(modulo)
{
    const struct cel_value *a = &args[0], *b = &args[1];
    *ret = *a;
    if (b->u == 0) {
        return cel_fail(r, "modulus by zero");
    }
    if (a->kind == CEL_UINT) {
        ret->u = a->u % b->u;
    } else if (b->i == -1) {
        if (a->i == INT64_MIN) {
            return int_overflow(r);
        }
        ret->i = 0;
    } else {
        ret->i = a->i % b->i;
    }
    return true;
}

/* ---- size and types ---- */

CEL_FN(size)
{
    *ret = cel_int((int64_t)cel_size_of(&args[0]));
    return true;
}

CEL_FN(type)
{
    *ret = cel_type_value(cel_type_of_value(&args[0]));
    return true;
}

CEL_FN(dyn)
{
    *ret = args[0];
    return true;
}

/* ---- conversions ---- */

static bool no_conversion(struct cel_run *r, const struct cel_value *v, const char *to)
{
    return cel_fail(r, "type conversion error from '%s' to '%s'", cel_kind_name(v->kind), to);
}

CEL_FN(int)
{
    const struct cel_value *v = &args[0];
    int64_t i;
    switch (v->kind) {
    case CEL_UINT:
        if (v->u > INT64_MAX) {
            return int_overflow(r);
        }
        *ret = cel_int((int64_t)v->u);
        return true;
    case CEL_DOUBLE:
        /* The ends are excluded: neither is exact as a double. */
        if (!(v->d > -9223372036854775808.0 && v->d < 9223372036854775807.0)) {
            return int_overflow(r);
        }
        *ret = cel_int((int64_t)v->d);
        return true;
    case CEL_STRING: {
        struct str s = cel_text(v);
        if (s.n > 1 && s.p[0] == '+') {
            s = str_n(s.p + 1, s.n - 1);
        }
        if (str_i64(s, &i) < 0) {
            return no_conversion(r, v, "int");
        }
        *ret = cel_int(i);
        return true;
    }
    default: /* int, seconds of a timestamp, nanoseconds of a duration */
        *ret = cel_int(v->i);
        return true;
    }
}

CEL_FN(uint)
{
    const struct cel_value *v = &args[0];
    uint64_t u = v->u;
    switch (v->kind) {
    case CEL_INT:
        if (v->i < 0) {
            return uint_overflow(r);
        }
        break;
    case CEL_DOUBLE:
        if (!(v->d >= 0 && v->d < 18446744073709551615.0)) {
            return uint_overflow(r);
        }
        u = (uint64_t)v->d;
        break;
    case CEL_STRING:
        if (str_u64(cel_text(v), &u) < 0) {
            return no_conversion(r, v, "uint");
        }
        break;
    default:
        break;
    }
    *ret = cel_uint(u);
    return true;
}

/* As Go's ParseFloat, without hexadecimal and underscores. */
static bool parse_double(struct str s, double *ret)
{
    char text[64], *end;
    if (s.n == 0 || s.n >= sizeof(text)) {
        return s.n > 0 && str_double(s, ret) == 0;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == 0 || strchr(" \t\n\r\f\vxXpP_()", s.p[i])) {
            return false;
        }
    }
    memcpy(text, s.p, s.n);
    text[s.n] = 0;
    *ret = strtod(text, &end);
    return *end == 0;
}

CEL_FN(double)
{
    const struct cel_value *v = &args[0];
    double d = v->d;
    if (v->kind == CEL_INT) {
        d = (double)v->i;
    } else if (v->kind == CEL_UINT) {
        d = (double)v->u;
    } else if (v->kind == CEL_STRING && !parse_double(cel_text(v), &d)) {
        return no_conversion(r, v, "double");
    }
    *ret = cel_double(d);
    return true;
}

CEL_FN(bool)
{
    bool b;
    if (args[0].kind == CEL_BOOL) {
        *ret = args[0];
        return true;
    }
    if (str_bool(cel_text(&args[0]), &b) < 0) {
        return no_conversion(r, &args[0], "bool");
    }
    *ret = cel_bool(b);
    return true;
}

bool cel_give_text(struct cel_run *r, const struct buf *text, struct cel_value *ret)
{
    const char *copy = buf_failed(text) ? NULL : arena_str(r->a, buf_str(text));
    if (!copy) {
        return cel_no_memory(r);
    }
    *ret = cel_string(str_n(copy, buf_len(text)));
    return true;
}

void cel_double_print(struct buf *out, double d)
{
    char text[40];
    int precision = 0;
    if (isnan(d)) {
        (void)buf_puts(out, "NaN");
        return;
    }
    if (isinf(d)) {
        (void)buf_puts(out, d > 0 ? "+Inf" : "-Inf");
        return;
    }
    do { /* the fewest digits that read back as d */
        (void)snprintf(text, sizeof(text), "%.*e", precision, d);
    } while (precision++ < 17 && strtod(text, NULL) != d);
    char *e = strchr(text, 'e');
    int64_t exponent = 0;
    (void)str_i64(str_of(e[1] == '+' ? e + 2 : e + 1), &exponent);
    if (exponent >= -4 && exponent < 6) {
        int digits = precision - 1;
        (void)snprintf(text, sizeof(text), "%.*f", (int)MAX_OF(digits - exponent, (int64_t)0), d);
    }
    (void)buf_puts(out, text);
}

CEL_FN(string)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    const struct cel_value *v = &args[0];
    switch (v->kind) {
    case CEL_STRING:
        *ret = *v;
        return true;
    case CEL_BYTES:
        if (!utf8_valid(cel_text(v))) {
            return cel_fail(r, "invalid UTF-8 in bytes, cannot convert to string");
        }
        *ret = cel_string(cel_text(v));
        return true;
    case CEL_BOOL:
        *ret = cel_string(v->b ? STR_LIT("true") : STR_LIT("false"));
        return true;
    case CEL_INT:
        (void)buf_printf(&out, "%" PRId64, v->i);
        break;
    case CEL_UINT:
        (void)buf_printf(&out, "%" PRIu64, v->u);
        break;
    case CEL_DOUBLE:
        cel_double_print(&out, v->d);
        break;
    case CEL_TIMESTAMP:
        cel_time_print(&out, v);
        break;
    case CEL_DURATION:
        cel_duration_print(&out, v->i);
        break;
    case CEL_IP:
        cel_ip_print(&out, v->opaque);
        break;
    default: {
        const struct cel_cidr *c = v->opaque;
        cel_ip_print(&out, &c->ip);
        (void)buf_printf(&out, "/%u", c->prefix);
        break;
    }
    }
    return cel_give_text(r, &out, ret);
}

CEL_FN(bytes)
{
    *ret = cel_bytes(cel_text(&args[0]));
    return true;
}

/* ---- texts ---- */

CEL_FN(contains)
{
    *ret = cel_bool(args[1].n == 0 || memmem(args[0].s, args[0].n, args[1].s, args[1].n) != NULL);
    return true;
}

CEL_FN(starts_with)
{
    *ret = cel_bool(args[0].n >= args[1].n && memcmp(args[0].s, args[1].s, args[1].n) == 0);
    return true;
}

CEL_FN(ends_with)
{
    *ret = cel_bool(args[0].n >= args[1].n &&
                    memcmp(args[0].s + args[0].n - args[1].n, args[1].s, args[1].n) == 0);
    return true;
}

CEL_FN(matches)
{
    struct regex *re = cel_regex(r, cel_text(&args[1]));
    if (!re) {
        return false;
    }
    *ret = cel_bool(regex_match(re, cel_text(&args[0])));
    return true;
}

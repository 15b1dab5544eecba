/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' quantities (apimachinery pkg/api/resource), exact in 128 bits of nano-units.
 *
 * Where it differs: amounts over MAX_UNITS are refused; Kubernetes holds decimals of any size.
 */
#include "quantity.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define NANO ((__int128)1000000000)
#define INT128_MAX ((__int128)(((unsigned __int128)1 << 127) - 1))
#define MAX_NANO (INT128_MAX - NANO)
#define DIGITS_MAX 256 /* of the numeric part; longer ones are not quantities of anything */

static const char format_text[] =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
static const char numeric_text[] = "unable to parse numeric part of quantity";
static const char suffix_text[] = "unable to parse quantity's suffix";

static const struct suffix {
    const char *text;
    enum quantity_format format;
    int exponent; /* of 10, or of 2 for QUANTITY_BINARY_SI */
} suffixes[] = {
    {"", QUANTITY_DECIMAL_SI, 0},   {"n", QUANTITY_DECIMAL_SI, -9}, {"u", QUANTITY_DECIMAL_SI, -6},
    {"m", QUANTITY_DECIMAL_SI, -3}, {"k", QUANTITY_DECIMAL_SI, 3},  {"M", QUANTITY_DECIMAL_SI, 6},
    {"G", QUANTITY_DECIMAL_SI, 9},  {"T", QUANTITY_DECIMAL_SI, 12}, {"P", QUANTITY_DECIMAL_SI, 15},
    {"E", QUANTITY_DECIMAL_SI, 18}, {"Ki", QUANTITY_BINARY_SI, 10}, {"Mi", QUANTITY_BINARY_SI, 20},
    {"Gi", QUANTITY_BINARY_SI, 30}, {"Ti", QUANTITY_BINARY_SI, 40}, {"Pi", QUANTITY_BINARY_SI, 50},
    {"Ei", QUANTITY_BINARY_SI, 60},
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* "e3", "E-3", "e+3". */
static bool parse_exponent(struct str s, int *ret)
{
    if (s.n < 2 || (s.p[0] != 'e' && s.p[0] != 'E')) {
        return false;
    }
    struct str digits = str_n(s.p + 1, s.n - 1);
    bool negative = digits.p[0] == '-';
    if (negative || digits.p[0] == '+') {
        digits.p++;
        digits.n--;
    }
    uint64_t v;
    if (digits.n == 0 || str_u64(digits, &v) < 0 || v > 1000) {
        return false;
    }
    *ret = negative ? -(int)v : (int)v;
    return true;
}

static bool find_suffix(struct str s, struct suffix *ret)
{
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (str_is(s, suffixes[i].text)) {
            *ret = suffixes[i];
            return true;
        }
    }
    ret->format = QUANTITY_DECIMAL_EXPONENT;
    return parse_exponent(s, &ret->exponent);
}

/* v * m, or false when it is over MAX_NANO. v and m are not negative. */
static bool mul_bounded(__int128 *v, __int128 m)
{
    return !__builtin_mul_overflow(*v, m, v) && *v <= MAX_NANO;
}

/* Divides by ten `times` times; what is lost rounds the result away from zero. */
static __int128 div_ten_up(__int128 v, int times)
{
    bool lost = false;
    for (; times > 0 && v; times--) {
        lost = lost || v % 10 != 0;
        v /= 10;
    }
    return lost ? v + 1 : v;
}

/* Numeric part as an integer of `scale` decimal places; trailing digits beyond what fits are an
 * error. */
static bool parse_digits(struct str s, __int128 *ret, int *ret_places)
{
    __int128 v = 0;
    int places = 0;
    bool dot = false, any = false;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '.') {
            if (dot) {
                return false;
            }
            dot = true;
            continue;
        }
        any = true;
        if (v > (MAX_NANO - 9) / 10) {
            if (!dot) {
                return false;
            }
            if (s.p[i] != '0') {
                v |= 1; /* sticky: still rounds up, far below a nano */
            }
            continue;
        }
        v = v * 10 + (s.p[i] - '0');
        places += dot;
    }
    *ret = v;
    *ret_places = places;
    return any;
}

/* mantissa * 10^-places * suffix, in nano-units. */
static bool scale_to_nano(__int128 v, int places, const struct suffix *suf, __int128 *ret)
{
    int exponent = 9 - places;
    if (suf->format == QUANTITY_BINARY_SI) {
        /* Decimal places first go away by division, so multiply by the power of two before. */
        for (int i = 0; i < suf->exponent; i++) {
            if (!mul_bounded(&v, 2)) {
                return false;
            }
        }
    } else {
        exponent += suf->exponent;
    }
    if (exponent < 0) {
        *ret = div_ten_up(v, -exponent);
        return true;
    }
    for (; exponent > 0 && v; exponent--) {
        if (!mul_bounded(&v, 10)) {
            return false;
        }
    }
    *ret = v;
    return true;
}

/* Cuts "[+-]digits.digits" from the front. */
static struct str cut_number(struct str *text, bool *ret_negative)
{
    struct str s = *text;
    *ret_negative = s.n > 0 && s.p[0] == '-';
    if (s.n > 0 && (s.p[0] == '-' || s.p[0] == '+')) {
        s.p++;
        s.n--;
    }
    size_t n = 0;
    while (n < s.n && (is_digit(s.p[n]) || s.p[n] == '.')) {
        n++;
    }
    *text = str_n(s.p + n, s.n - n);
    return str_n(s.p, n);
}

/* [eEinumkKMGTP]*[-+]?[0-9]* */
static bool suffix_shape_ok(struct str s)
{
    size_t i = 0;
    while (i < s.n && s.p[i] && strchr("eEinumkKMGTP", s.p[i])) {
        i++;
    }
    if (i < s.n && (s.p[i] == '-' || s.p[i] == '+')) {
        i++;
    }
    while (i < s.n && is_digit(s.p[i])) {
        i++;
    }
    return i == s.n;
}

int quantity_parse(struct str text, struct quantity *ret, struct err *err)
{
    bool negative;
    struct str rest = text;
    struct str number = cut_number(&rest, &negative);
    struct suffix suf = {0};
    __int128 v, nano;
    int places;
    if (text.n == 0 || !suffix_shape_ok(rest)) {
        return err_set(err, -E_INVAL, "%s", format_text);
    }
    if (!find_suffix(rest, &suf)) {
        return err_set(err, -E_INVAL, "%s", suffix_text);
    }
    if (number.n > DIGITS_MAX || !parse_digits(number, &v, &places)) {
        return err_set(err, -E_INVAL, "%s", numeric_text);
    }
    bool fits = scale_to_nano(v, places, &suf, &nano);
    if (suf.format == QUANTITY_BINARY_SI) {
        __int128 cap = (__int128)INT64_MAX * NANO;
        nano = fits && nano < cap ? nano : cap;
        if (nano > 0 && nano < NANO) {
            suf.format = QUANTITY_DECIMAL_SI;
        }
    } else if (!fits) {
        return err_set(err, -E_RANGE, "quantity '" STR_FMT "' is too large", STR_ARG(text));
    }
    *ret = (struct quantity){.nano = negative ? -nano : nano, .format = suf.format};
    return 0;
}

int quantity_from_json(const struct json *j, struct quantity *ret, struct err *err)
{
    if (json_is(j, JSON_STRING)) {
        return quantity_parse(json_text(j), ret, err);
    }
    if (json_is(j, JSON_INT)) {
        *ret = quantity_of(j->i, QUANTITY_DECIMAL_SI);
        return 0;
    }
    if (json_is(j, JSON_REAL)) {
        return quantity_parse(str_n(j->s, j->n), ret, err);
    }
    return err_set(err, -E_INVAL, "%s", format_text);
}

struct quantity quantity_of(int64_t value, enum quantity_format format)
{
    return (struct quantity){.nano = value * NANO, .format = format};
}

/* ---- printing ---- */

static char *print_magnitude(char *end, unsigned __int128 v)
{
    *--end = '\0';
    do {
        *--end = (char)('0' + (int)(v % 10));
        v /= 10;
    } while (v);
    return end;
}

static const char *suffix_of(enum quantity_format format, int exponent)
{
    for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
        if (suffixes[i].exponent == exponent && (exponent == 0 || suffixes[i].format == format)) {
            return suffixes[i].text;
        }
    }
    return "";
}

static void print_decimal(char *out, const char *sign, unsigned __int128 v,
                          enum quantity_format format)
{
    int exponent = -9;
    int max = format == QUANTITY_DECIMAL_SI ? 18 : 999;
    while (v % 1000 == 0 && exponent < max) {
        v /= 1000;
        exponent += 3;
    }
    char digits[QUANTITY_TEXT_SIZE];
    const char *number = print_magnitude(digits + sizeof(digits), v);
    if (format == QUANTITY_DECIMAL_SI || exponent == 0) {
        (void)snprintf(out, QUANTITY_TEXT_SIZE, "%s%s%s", sign, number,
                       suffix_of(QUANTITY_DECIMAL_SI, exponent));
    } else {
        (void)snprintf(out, QUANTITY_TEXT_SIZE, "%s%se%d", sign, number, exponent);
    }
}

static void print_binary(char *out, const char *sign, unsigned __int128 units)
{
    int exponent = 0;
    while (units % 1024 == 0 && exponent < 60) {
        units /= 1024;
        exponent += 10;
    }
    char digits[QUANTITY_TEXT_SIZE];
    (void)snprintf(out, QUANTITY_TEXT_SIZE, "%s%s%s", sign,
                   print_magnitude(digits + sizeof(digits), units),
                   suffix_of(QUANTITY_BINARY_SI, exponent));
}

char *quantity_print(struct quantity q, char out[QUANTITY_TEXT_SIZE])
{
    const char *sign = q.nano < 0 ? "-" : "";
    unsigned __int128 v = q.nano < 0 ? -(unsigned __int128)q.nano : (unsigned __int128)q.nano;
    if (v == 0) {
        (void)cstr_copy(out, QUANTITY_TEXT_SIZE, "0");
    } else if (q.format == QUANTITY_BINARY_SI && v % NANO == 0 && v >= 1024 * NANO) {
        print_binary(out, sign, v / NANO);
    } else {
        /* Small or fractional binary amounts are shown in decimal, so that no precision is lost. */
        print_decimal(out, sign, v,
                      q.format == QUANTITY_BINARY_SI ? QUANTITY_DECIMAL_SI : q.format);
    }
    return out;
}

/* ---- arithmetic ---- */

int quantity_cmp(struct quantity a, struct quantity b)
{
    return (a.nano > b.nano) - (a.nano < b.nano);
}

static __int128 saturate(__int128 sum, bool overflow, bool negative)
{
    if (overflow) {
        return negative ? -MAX_NANO : MAX_NANO;
    }
    return sum > MAX_NANO ? MAX_NANO : sum < -MAX_NANO ? -MAX_NANO : sum;
}

struct quantity quantity_add(struct quantity a, struct quantity b)
{
    __int128 sum;
    bool overflow = __builtin_add_overflow(a.nano, b.nano, &sum);
    return (struct quantity){.nano = saturate(sum, overflow, a.nano < 0),
                             .format = a.nano ? a.format : b.format};
}

struct quantity quantity_sub(struct quantity a, struct quantity b)
{
    __int128 sum;
    bool overflow = __builtin_sub_overflow(a.nano, b.nano, &sum);
    return (struct quantity){.nano = saturate(sum, overflow, a.nano < 0),
                             .format = a.nano ? a.format : b.format};
}

bool quantity_is_zero(struct quantity q)
{
    return q.nano == 0;
}

static int64_t scaled_up(__int128 nano, __int128 unit)
{
    __int128 v = nano / unit;
    if (nano % unit) {
        v += nano < 0 ? -1 : 1;
    }
    return v > INT64_MAX ? INT64_MAX : v < INT64_MIN ? INT64_MIN : (int64_t)v;
}

int64_t quantity_value(struct quantity q)
{
    return scaled_up(q.nano, NANO);
}

int64_t quantity_milli(struct quantity q)
{
    return scaled_up(q.nano, NANO / 1000);
}

int64_t quantity_json_value(const struct json *j)
{
    struct quantity q;
    return j && quantity_from_json(j, &q, /* err= */ NULL) == 0 ? quantity_value(q) : 0;
}

int64_t quantity_json_milli(const struct json *j)
{
    struct quantity q;
    return j && quantity_from_json(j, &q, /* err= */ NULL) == 0 ? quantity_milli(q) : 0;
}

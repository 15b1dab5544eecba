/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers of JSON, correctly rounded. Up to 19 digits are gathered as one integer m; m * 10^e is
 * exact in a double for m < 2^53 and |e| <= 22 (Clinger 1990), and rounded once from an exact
 * 128-bit product or quotient for |e| <= 19. All else goes to str_double().
 */
#include "json_scan.h"

#include <math.h>

#define DIGITS_MAX 19 /* of which no integer overflows 64 bits */
#define EXACT_MAX ((uint64_t)1 << 53)

static const double powers[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

static uint64_t power(unsigned e)
{
    uint64_t p = 1;
    while (e--) {
        p *= 10;
    }
    return p;
}

/* m / 10^e for m > 0: both are shifted to the top of their words, the quotient then has at least 62
 * bits, and a remainder is remembered in its lowest, far below what a double keeps. */
static double divide(uint64_t m, unsigned e)
{
    uint64_t p = power(e);
    int shift_m = __builtin_clzll(m), shift_p = __builtin_clzll(p);
    unsigned __int128 n = (unsigned __int128)(m << shift_m) << 63;
    p <<= shift_p;
    uint64_t q = (uint64_t)(n / p);
    q |= (unsigned __int128)q * p != n;
    return ldexp((double)q, shift_p - shift_m - 63);
}

/* False when this way is not exact. */
static bool compose(uint64_t m, int e, double *ret)
{
    if (m <= EXACT_MAX && e >= -22 && e <= 22) {
        *ret = e < 0 ? (double)m / powers[-e] : (double)m * powers[e];
        return true;
    }
    if (e < -DIGITS_MAX || e > DIGITS_MAX || m == 0) {
        return false;
    }
    *ret = e < 0 ? divide(m, (unsigned)-e)
                 : (double)((unsigned __int128)m * power((unsigned)e)); /* rounds once */
    return true;
}

static const char *slow(const char *from, const char *at, struct value *ret)
{
    double d;
    if (str_double(str_n(from, (size_t)(at - from)), &d) < 0 || isinf(d)) {
        return NULL;
    }
    *ret = value_float(d);
    return at;
}

/* at stands on 'e'; *e gets it added, bounded far beyond the range of floats. */
static const char *read_exponent(const char *at, int *e)
{
    bool minus = at[1] == '-';
    int x = 0;
    at += 1 + (minus || at[1] == '+');
    if ((unsigned char)(*at - '0') > 9) {
        return NULL;
    }
    for (; (unsigned char)(*at - '0') <= 9; at++) {
        x = x < 100000 ? x * 10 + (*at - '0') : x;
    }
    *e += minus ? -x : x;
    return at;
}

static const char *read_fraction(const char *from, const char *at, uint64_t m, uint32_t digits,
                                 struct value *ret)
{
    int e = 0;
    double d;
    if (*at == '.') {
        const char *first = ++at;
        unsigned x;
        while ((x = (unsigned char)(*at - '0')) <= 9) {
            m = m * 10 + x;
            at++;
        }
        if (at == first) {
            return NULL;
        }
        digits += (uint32_t)(at - first);
        e = -(int)(at - first);
    }
    if ((*at | 32) == 'e') {
        at = read_exponent(at, &e);
        if (!at) {
            return NULL;
        }
    }
    if (digits > DIGITS_MAX || !compose(m, e, &d)) {
        return slow(from, at, ret);
    }
    *ret = value_float(*from == '-' ? -d : d);
    return at;
}

const char *json_read_number(const char *at, struct value *ret)
{
    const char *from = at;
    at += *at == '-';
    const char *first = at;
    uint64_t m = 0;
    unsigned x;
    while ((x = (unsigned char)(*at - '0')) <= 9) {
        m = m * 10 + x;
        at++;
    }
    uint32_t digits = (uint32_t)(at - first);
    if (digits == 0 || (digits > 1 && *first == '0')) {
        return NULL;
    }
    if (*at == '.' || (*at | 32) == 'e') {
        return read_fraction(from, at, m, digits, ret);
    }
    if (digits >= DIGITS_MAX) {
        int64_t i;
        if (str_i64(str_n(from, (size_t)(at - from)), &i) < 0) {
            return slow(from, at, ret);
        }
        *ret = value_int(i);
        return at;
    }
    *ret = value_int(*from == '-' ? -(int64_t)m : (int64_t)m);
    return at;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text, fast: integers two digits at a time, floats of few decimals by a division. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "value.h"

#define WHOLE_MAX 1e15 /* floats without a fraction below it print as integers */

/* Floats of few decimals, as sensors give them. */
#define DECIMALS_MAX 6
#define DECIMALS_BELOW 1e9

static const char pairs[201] = "00010203040506070809101112131415161718192021222324"
                               "25262728293031323334353637383940414243444546474849"
                               "50515253545556575859606162636465666768697071727374"
                               "75767778798081828384858687888990919293949596979899";

static size_t print_unsigned(char *out, uint64_t u)
{
    char text[20];
    char *p = text + sizeof(text);
    while (u >= 100) {
        p -= 2;
        memcpy(p, pairs + u % 100 * 2, 2);
        u /= 100;
    }
    if (u >= 10) {
        p -= 2;
        memcpy(p, pairs + u * 2, 2);
    } else {
        *--p = (char)('0' + u);
    }
    size_t n = (size_t)(text + sizeof(text) - p);
    memcpy(out, p, n);
    return n;
}

size_t value_print_int(char out[24], int64_t i)
{
    if (i >= 0) {
        return print_unsigned(out, (uint64_t)i);
    }
    out[0] = '-';
    return 1 + print_unsigned(out + 1, 0 - (uint64_t)i);
}

/* The first d for which m / 10^d with an integer m is the float has the fewest digits, as m < 2^53
 * and 10^d are exact. 0 when there is none; the float has a fraction. */
static size_t print_decimals(char *out, double f)
{
    static const double powers[] = {1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6};
    static const uint64_t whole[] = {1, 10, 100, 1000, 10000, 100000, 1000000};
    double x = fabs(f);
    for (int d = 1; d <= DECIMALS_MAX; d++) {
        uint64_t m = (uint64_t)(x * powers[d] + 0.5);
        if ((double)m / powers[d] != x) {
            continue;
        }
        size_t n = 0;
        if (f < 0) {
            out[n++] = '-';
        }
        n += print_unsigned(out + n, m / whole[d]);
        out[n] = '.';
        uint64_t part = m % whole[d];
        for (int k = d; k > 0; k--, part /= 10) {
            out[n + (size_t)k] = (char)('0' + part % 10);
        }
        return n + (size_t)d + 1;
    }
    return 0;
}

/* 15 digits always survive in a double that is normal; the least ones have fewer. */
static size_t print_digits(char *out, double f)
{
    for (int precision = fabs(f) < 1e-300 ? 1 : 15; precision <= 17; precision++) {
        int n = snprintf(out, 32, "%.*g", precision, f);
        if (precision == 17 || strtod(out, NULL) == f) {
            return (size_t)n;
        }
    }
    return 0;
}

size_t value_print_float(char out[32], double f)
{
    double x = fabs(f);
    if (x < WHOLE_MAX && (double)(int64_t)f == f) {
        if (f == 0 && signbit(f)) {
            memcpy(out, "-0", 2);
            return 2;
        }
        return value_print_int(out, (int64_t)f);
    }
    size_t n = x < DECIMALS_BELOW ? print_decimals(out, f) : 0;
    return n > 0 ? n : print_digits(out, f);
}

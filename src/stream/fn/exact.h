/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sums of floats in twice a double's precision (about 106 bits), so that what is added and later
 * taken away leaves no trace that a result would show. Dekker's and Knuth's error-free sums.
 */
#ifndef STREAM_FN_EXACT_H
#define STREAM_FN_EXACT_H

#include <math.h>

struct exact {
    double high, low;
};

static inline struct exact exact_sum(double a, double b)
{
    double s = a + b, t = s - a;
    return (struct exact){s, (a - (s - t)) + (b - t)};
}

static inline struct exact exact_product(double a, double b)
{
    double p = a * b;
    return (struct exact){p, fma(a, b, -p)};
}

static inline struct exact exact_add(struct exact a, struct exact b)
{
    struct exact s = exact_sum(a.high, b.high), t = exact_sum(a.low, b.low);
    s = exact_sum(s.high, s.low + t.high);
    return exact_sum(s.high, s.low + t.low);
}

static inline struct exact exact_add_double(struct exact a, double f)
{
    struct exact s = exact_sum(a.high, f);
    return exact_sum(s.high, s.low + a.low);
}

static inline struct exact exact_multiply(struct exact a, struct exact b)
{
    struct exact p = exact_product(a.high, b.high);
    return exact_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

static inline struct exact exact_scale(struct exact a, double f)
{
    struct exact p = exact_product(a.high, f);
    return exact_sum(p.high, p.low + a.low * f);
}

static inline double exact_double(struct exact a)
{
    return a.high + a.low;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Comparison by vectors; see program_simd.h. */
#include "program_simd.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#define DENSE_MIN 64

#if defined(__x86_64__) || defined(__aarch64__)
/* Rows without gaps; a selection is ascending. */
static bool dense(const struct selection *sel)
{
    return sel->n >= DENSE_MIN && (uint32_t)(sel->rows[sel->n - 1] - sel->rows[0]) == sel->n - 1;
}

/* Writes the rows of up to 64 bits behind what is selected. */
static uint32_t expand(uint64_t bits, uint16_t first, struct selection *sel, uint32_t n)
{
    for (; bits; bits &= bits - 1) {
        sel->rows[n++] = (uint16_t)(first + __builtin_ctzll(bits));
    }
    return n;
}
#endif

#if defined(__x86_64__)

static bool has_vectors(void)
{
    return __builtin_cpu_supports("avx2");
}

/* The bits of 64 comparisons. The operator is a constant in every copy. */
#define FLOAT_BITS(name, predicate)                                                 \
    __attribute__((target("avx2"))) static uint64_t name(const double *x, double y) \
    {                                                                               \
        __m256d c = _mm256_set1_pd(y);                                              \
        uint64_t bits = 0;                                                          \
        for (unsigned i = 0; i < 64; i += 4) {                                      \
            __m256d m = _mm256_cmp_pd(_mm256_loadu_pd(x + i), c, predicate);        \
            bits |= (uint64_t)(unsigned)_mm256_movemask_pd(m) << i;                 \
        }                                                                           \
        return bits;                                                                \
    }
FLOAT_BITS(float_eq, _CMP_EQ_OQ)
FLOAT_BITS(float_ne, _CMP_NEQ_UQ)
FLOAT_BITS(float_lt, _CMP_LT_OQ)
FLOAT_BITS(float_le, _CMP_LE_OQ)
FLOAT_BITS(float_gt, _CMP_GT_OQ)
FLOAT_BITS(float_ge, _CMP_GE_OQ)

#define INT_BITS(name, compare)                                                                \
    __attribute__((target("avx2"))) static uint64_t name(const int64_t *x, int64_t y)          \
    {                                                                                          \
        __m256i c = _mm256_set1_epi64x(y);                                                     \
        uint64_t bits = 0;                                                                     \
        for (unsigned i = 0; i < 64; i += 4) {                                                 \
            __m256i v = _mm256_loadu_si256((const __m256i *)(x + i));                          \
            bits |= (uint64_t)(unsigned)_mm256_movemask_pd(_mm256_castsi256_pd(compare)) << i; \
        }                                                                                      \
        return bits;                                                                           \
    }
INT_BITS(int_eq, _mm256_cmpeq_epi64(v, c))
INT_BITS(int_lt, _mm256_cmpgt_epi64(c, v))
INT_BITS(int_gt, _mm256_cmpgt_epi64(v, c))

#elif defined(__aarch64__)

static bool has_vectors(void)
{
    return true; /* NEON is always there */
}

#define NEON_BITS(name, type, set, load, vector, compare)  \
    static uint64_t name(const type *x, type y)            \
    {                                                      \
        vector c = set(y);                                 \
        uint64_t bits = 0;                                 \
        for (unsigned i = 0; i < 64; i += 2) {             \
            uint64x2_t m = compare(load(x + i), c);        \
            bits |= (vgetq_lane_u64(m, 0) & 1) << i;       \
            bits |= (vgetq_lane_u64(m, 1) & 1) << (i + 1); \
        }                                                  \
        return bits;                                       \
    }
NEON_BITS(float_eq, double, vdupq_n_f64, vld1q_f64, float64x2_t, vceqq_f64)
NEON_BITS(float_lt, double, vdupq_n_f64, vld1q_f64, float64x2_t, vcltq_f64)
NEON_BITS(float_le, double, vdupq_n_f64, vld1q_f64, float64x2_t, vcleq_f64)
NEON_BITS(float_gt, double, vdupq_n_f64, vld1q_f64, float64x2_t, vcgtq_f64)
NEON_BITS(float_ge, double, vdupq_n_f64, vld1q_f64, float64x2_t, vcgeq_f64)
NEON_BITS(int_eq, int64_t, vdupq_n_s64, vld1q_s64, int64x2_t, vceqq_s64)
NEON_BITS(int_lt, int64_t, vdupq_n_s64, vld1q_s64, int64x2_t, vcltq_s64)
NEON_BITS(int_gt, int64_t, vdupq_n_s64, vld1q_s64, int64x2_t, vcgtq_s64)
static uint64_t float_ne(const double *x, double y)
{
    return ~float_eq(x, y);
}

#endif

#if defined(__x86_64__) || defined(__aarch64__)

static uint64_t int_ne(const int64_t *x, int64_t y)
{
    return ~int_eq(x, y);
}
static uint64_t int_le(const int64_t *x, int64_t y)
{
    return ~int_gt(x, y);
}
static uint64_t int_ge(const int64_t *x, int64_t y)
{
    return ~int_lt(x, y);
}

/* Whole groups of 64 rows by bits; the last rows stay for the caller's one by one. The groups may
 * be written over the selection: they hold no more rows than they were. */
#define COMPARE(kernel, simple)                                    \
    do {                                                           \
        uint32_t first = sel->rows[0], all = sel->n, kept = 0, at; \
        for (at = 0; at + 64 <= all; at += 64) {                   \
            uint16_t row = (uint16_t)(first + at);                 \
            kept = expand(kernel(x + row, y), row, sel, kept);     \
        }                                                          \
        for (; at < all; at++) {                                   \
            uint32_t row = first + at;                             \
            sel->rows[kept] = (uint16_t)row;                       \
            kept += (simple);                                      \
        }                                                          \
        sel->n = kept;                                             \
    } while (0)

#define COMPARE_BY_OP(type)              \
    switch (op) {                        \
    case VALUE_EQ:                       \
        COMPARE(type##_eq, x[row] == y); \
        return true;                     \
    case VALUE_NE:                       \
        COMPARE(type##_ne, x[row] != y); \
        return true;                     \
    case VALUE_LT:                       \
        COMPARE(type##_lt, x[row] < y);  \
        return true;                     \
    case VALUE_LE:                       \
        COMPARE(type##_le, x[row] <= y); \
        return true;                     \
    case VALUE_GT:                       \
        COMPARE(type##_gt, x[row] > y);  \
        return true;                     \
    default:                             \
        COMPARE(type##_ge, x[row] >= y); \
        return true;                     \
    }

bool simd_compare_int(enum value_op op, const int64_t *x, int64_t y, struct selection *sel)
{
    if (!dense(sel) || !has_vectors()) {
        return false;
    }
    COMPARE_BY_OP(int)
}

bool simd_compare_float(enum value_op op, const double *x, double y, struct selection *sel)
{
    if (!dense(sel) || !has_vectors()) {
        return false;
    }
    COMPARE_BY_OP(float)
}

#else

bool simd_compare_int(enum value_op op, const int64_t *x, int64_t y, struct selection *sel)
{
    return false;
}

bool simd_compare_float(enum value_op op, const double *x, double y, struct selection *sel)
{
    return false;
}

#endif

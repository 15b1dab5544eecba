/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Comparison of a dense run of numbers with a constant by vectors: AVX2 where the processor has it
 * (asked once), NEON on arm64. False: the selection is not dense or there are no vectors, and
 * nothing was done.
 */
#ifndef STREAM_EXPR_PROGRAM_SIMD_H
#define STREAM_EXPR_PROGRAM_SIMD_H

#include "program_private.h"

bool simd_compare_int(enum value_op op, const int64_t *x, int64_t y, struct selection *sel);
bool simd_compare_float(enum value_op op, const double *x, double y, struct selection *sel);

#endif

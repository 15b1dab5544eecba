/* SPDX-License-Identifier: Apache-2.0 */
/* The bounds of limits.def as constants. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
#define LIMIT(name, value, text) name = (value),
#include "limits.def"
#undef LIMIT
};

#endif

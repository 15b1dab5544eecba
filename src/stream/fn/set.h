/* SPDX-License-Identifier: Apache-2.0 */
/* A set of values in an arena: same means value_same(). The values are borrowed. */
#ifndef STREAM_FN_SET_H
#define STREAM_FN_SET_H

#include "stream/value.h"

struct value_set {
    const struct value **slots;
    uint32_t mask;
};

/* For at most n values; false when memory is short. */
bool value_set_init(struct value_set *s, struct arena *a, uint32_t n);
bool value_set_add(struct value_set *s, const struct value *v); /* false: it was there */
bool value_set_has(const struct value_set *s, const struct value *v);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Open addressing over borrowed values; at most half full. */
#include "set.h"

bool value_set_init(struct value_set *s, struct arena *a, uint32_t n)
{
    size_t cap = 8;
    while (cap < (size_t)n * 2) {
        cap *= 2;
    }
    s->slots = arena_zalloc(a, cap * sizeof(*s->slots));
    s->mask = (uint32_t)(cap - 1);
    return s->slots != NULL;
}

/* Where the value is or would be. */
static const struct value **place(const struct value_set *s, const struct value *v)
{
    uint32_t at = (uint32_t)value_hash(v, 0) & s->mask;
    while (s->slots[at] && !value_same(s->slots[at], v)) {
        at = (at + 1) & s->mask;
    }
    return &s->slots[at];
}

bool value_set_add(struct value_set *s, const struct value *v)
{
    const struct value **slot = place(s, v);
    bool fresh = !*slot;
    *slot = fresh ? v : *slot;
    return fresh;
}

bool value_set_has(const struct value_set *s, const struct value *v)
{
    return *place(s, v) != NULL;
}

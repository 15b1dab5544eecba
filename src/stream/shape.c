/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes: which fields the columns of a batch are; see batch.h. */
#include "batch.h"

#include "base/limits.h"
#include "base/mem.h"

void shape_init(struct shape *s)
{
    static _Atomic uint64_t last;
    *s = (struct shape){.id = ++last};
    map_init(&s->index);
}

void shape_fini(struct shape *s)
{
    for (uint32_t i = 0; i < s->n; i++) {
        mem_free((char *)s->fields[i].name.p);
    }
    mem_free(s->fields);
    map_fini(&s->index, NULL);
    shape_init(s);
}

/* Up to so many fields are looked through; a map of names is made beyond. */
#define FIELDS_FEW 8

int shape_find(const struct shape *s, struct str name)
{
    if (s->n > FIELDS_FEW) {
        return (int)(uintptr_t)map_get(&s->index, name) - 1;
    }
    for (uint32_t i = 0; i < s->n; i++) {
        if (str_eq(s->fields[i].name, name)) {
            return (int)i;
        }
    }
    return -1;
}

/* Of the field that is about to be added, and of all before when they become many. */
static int index_name(struct shape *s, struct str name)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && s->n == FIELDS_FEW && i < s->n; i++) {
        rc = map_put(&s->index, s->fields[i].name, (void *)(uintptr_t)(i + 1), NULL);
    }
    if (rc == 0 && s->n >= FIELDS_FEW) {
        rc = map_put(&s->index, name, (void *)(uintptr_t)(s->n + 1), NULL);
    }
    return rc;
}

static int reserve(struct shape *s)
{
    if (s->n < s->cap) {
        return 0;
    }
    uint32_t cap = s->cap + MAX_OF(s->cap, 1u);
    struct shape_field *fields = mem_realloc(s->fields, cap * sizeof(*fields));
    if (!fields) {
        return -ENOMEM;
    }
    s->fields = fields;
    s->cap = cap;
    return 0;
}

int shape_add(struct shape *s, struct str name, enum value_type type)
{
    int slot = shape_find(s, name);
    if (slot >= 0) {
        if (s->fields[slot].type == VALUE_NULL) {
            s->fields[slot].type = type;
        }
        return slot;
    }
    if (s->n >= LIMIT_STREAM_FIELDS) {
        return -E_LIMIT;
    }
    char *text = mem_strndup(name.p, name.n);
    if (!text || reserve(s) < 0 || index_name(s, name) < 0) {
        mem_free(text);
        return -ENOMEM;
    }
    s->fields[s->n] = (struct shape_field){
        .name = str_n(text, name.n), .type = type, .fallback = {.type = VALUE_ABSENT}};
    return (int)s->n++;
}

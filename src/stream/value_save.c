/* SPDX-License-Identifier: Apache-2.0 */
/* Values of checkpoints. */
#include <math.h>

#include "value.h"

static struct value marked(struct arena *a, const char *mark, struct value v)
{
    struct value_member *m = arena_alloc(a, sizeof(*m));
    if (!m) {
        return VALUE_OF_NULL;
    }
    *m = (struct value_member){str_of(mark), v};
    return (struct value){.type = VALUE_OBJECT, .n = 1, .members = m};
}

struct value value_save(struct arena *a, const struct value *v)
{
    struct value out = *v;
    switch (v->type) {
    case VALUE_ABSENT:
        return marked(a, "$a", value_bool(true));
    case VALUE_TIME:
        return marked(a, "$t", value_int(v->i));
    case VALUE_BYTES:
        return marked(a, "$b", value_copy(a, v));
    case VALUE_FLOAT: /* 2.0 prints as 2, infinities as null */
        return marked(
            a, "$f", isinf(v->f) ? value_string(v->f > 0 ? STR_LIT("+Inf") : STR_LIT("-Inf")) : *v);
    case VALUE_ARRAY: {
        struct value *items = arena_alloc(a, (v->n + 1) * sizeof(*items));
        for (uint32_t i = 0; items && i < v->n; i++) {
            items[i] = value_save(a, &v->items[i]);
        }
        out.items = items;
        return items ? out : VALUE_OF_NULL;
    }
    case VALUE_OBJECT: {
        struct value_member *members = arena_alloc(a, (v->n + 1) * sizeof(*members));
        for (uint32_t i = 0; members && i < v->n; i++) {
            char *key = arena_str(a, v->members[i].key);
            members[i].key = str_n(key, key ? v->members[i].key.n : 0);
            members[i].value = value_save(a, &v->members[i].value);
        }
        out.members = members;
        return members ? marked(a, "$o", out) : VALUE_OF_NULL;
    }
    default:
        return value_copy(a, v);
    }
}

static int load_float(const struct value *in, struct value *ret)
{
    if (in->type == VALUE_STRING) {
        *ret = value_float(str_is(value_text(in), "-Inf") ? -INFINITY : INFINITY);
        return 0;
    }
    *ret = value_float(in->type == VALUE_INT     ? (double)in->i
                       : in->type == VALUE_FLOAT ? in->f
                                                 : NAN);
    return value_is_number(in) || value_is_null(in) ? 0 : -E_INVAL;
}

int value_load(struct arena *a, const struct value *v, struct value *ret)
{
    *ret = *v;
    if (v->type == VALUE_ARRAY) {
        struct value *items = arena_alloc(a, (v->n + 1) * sizeof(*items));
        for (uint32_t i = 0; items && i < v->n; i++) {
            if (value_load(a, &v->items[i], &items[i]) < 0) {
                return -E_INVAL;
            }
        }
        ret->items = items;
        return items ? 0 : -E_NOMEM;
    }
    if (v->type != VALUE_OBJECT) {
        return 0;
    }
    struct str mark = v->n == 1 ? v->members[0].key : STR_NULL;
    const struct value *in = v->n == 1 ? &v->members[0].value : NULL;
    if (str_is(mark, "$a")) {
        *ret = (struct value){.type = VALUE_ABSENT};
        return 0;
    }
    if (str_is(mark, "$t") && in->type == VALUE_INT) {
        *ret = value_time((struct wall){in->i});
        return 0;
    }
    if (str_is(mark, "$f")) {
        return load_float(in, ret);
    }
    if (str_is(mark, "$b")) {
        return value_cast(a, in, VALUE_BYTES, ret, NULL);
    }
    if (!str_is(mark, "$o") || in->type != VALUE_OBJECT) {
        return -E_INVAL;
    }
    struct value_member *members = arena_alloc(a, (in->n + 1) * sizeof(*members));
    for (uint32_t i = 0; members && i < in->n; i++) {
        members[i].key = in->members[i].key;
        if (value_load(a, &in->members[i].value, &members[i].value) < 0) {
            return -E_INVAL;
        }
    }
    *ret = (struct value){.type = VALUE_OBJECT, .n = in->n, .members = members};
    return members ? 0 : -E_NOMEM;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Look-ups in the generated tables of types and fields: binary searches, no memory of their own. */
#include "api/schema.h"

#include <string.h>

const struct schema_type *schema_type_find(const char *name)
{
    size_t lo = 0, hi = schema_types_n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, schema_type_name(&schema_types[mid]));
        if (c == 0) {
            return &schema_types[mid];
        }
        if (c < 0) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return NULL;
}

const char *schema_type_short(const struct schema_type *t)
{
    const char *name = schema_type_name(t);
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name;
}

const struct schema_field *schema_field_find(const struct schema_type *t, struct str name)
{
    if (!t) {
        return NULL;
    }
    size_t lo = t->first, hi = lo + t->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = str_cmp(name, str_of(schema_field_name(&schema_fields[mid])));
        if (c == 0) {
            return &schema_fields[mid];
        }
        if (c < 0) {
            hi = mid;
        } else {
            lo = mid + 1;
        }
    }
    return NULL;
}

const struct schema_field *schema_field_get(const struct schema_type *t, const char *name)
{
    return schema_field_find(t, str_of(name));
}

const struct schema_field *schema_field_by_pb(const struct schema_type *t, uint32_t number,
                                              unsigned level)
{
    if (!t || number == 0) {
        return NULL;
    }
    SCHEMA_FOR_EACH_FIELD(f, t)
    {
        if (f->pb == number && schema_field_level(f) == level) {
            return f;
        }
    }
    return NULL;
}

const struct schema_field *schema_field_path(const struct schema_type *t, const char *path)
{
    struct str rest = str_of(path), head;
    const struct schema_field *f = NULL;
    bool more = true;
    while (more) {
        more = str_cut(rest, '.', &head, &rest);
        f = schema_field_find(t, head);
        if (!f) {
            return NULL;
        }
        t = schema_field_type(f);
    }
    return f;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Tables from the columns of a kind: see table.h. */
#include "api/table.h"

#include "api/object.h"
#include "api/table_private.h"
#include "base/mem.h"
#include "codec/jsonpath.h"

int table_include_parse(const char *text, enum table_include *ret)
{
    static const char *const names[] = {
        [TABLE_METADATA] = "Metadata", [TABLE_NONE] = "None", [TABLE_OBJECT] = "Object"};
    if (!text || !*text) {
        *ret = TABLE_METADATA;
        return 0;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (cstr_eq(text, names[i])) {
            *ret = (enum table_include)i;
            return 0;
        }
    }
    return -EINVAL;
}

static struct json *columns_of(struct arena *a, const struct kind *k)
{
    struct json *list = json_array(a);
    for (size_t i = 0; i < k->columns_n; i++) {
        const struct kind_column *c = &k->columns[i];
        struct json *o = json_push(list, json_object(a));
        json_set_str(o, "name", c->name);
        json_set_str(o, "type", c->type);
        json_set_str(o, "format", c->format);
        json_set_str(o, "description", c->doc);
        json_set_int(o, "priority", c->priority);
    }
    return list;
}

struct json *table_new(struct arena *a, const struct kind *k, struct json *metadata, bool columns)
{
    struct json *t = json_object(a);
    json_set_str(t, "kind", "Table");
    json_set_str(t, "apiVersion", "meta.k8s.io/v1");
    json_set(t, "metadata", metadata ? metadata : json_object(a));
    json_set(t, "columnDefinitions", columns ? columns_of(a, k) : json_null(a));
    json_set(t, "rows", json_array(a));
    return t;
}

/* A cell of a custom kind: what the path finds first, if it has the column's type. */
static struct json *custom_cell(const struct cell_input *in, const struct kind_column *c)
{
    struct arena *a = in->arena;
    const struct json *v = jsonpath_first(a, c->jsonpath, in->obj);
    bool number = json_is(v, JSON_INT) || json_is(v, JSON_REAL);
    if (!v) {
        return json_null(a);
    }
    if (cstr_eq(c->type, "string")) {
        CLEANUP(buf_finip) struct buf text = BUF_INIT;
        if (json_is(v, JSON_STRING)) {
            return json_string_n(a, json_text(v));
        }
        return json_print(&text, v) < 0 ? NULL : json_string_n(a, buf_str(&text));
    }
    if (cstr_eq(c->type, "integer")) {
        return number ? json_int(a, json_is(v, JSON_INT) ? v->i : (int64_t)json_double(v, 0))
                      : json_null(a);
    }
    if (cstr_eq(c->type, "date") && json_is(v, JSON_STRING)) {
        struct wall when;
        bool valid = time_parse(json_text(v), &when) == 0;
        return valid ? cell_age_of(in, v) : json_string(a, "<invalid>");
    }
    bool fits = (cstr_eq(c->type, "number") && number) ||
                (cstr_eq(c->type, "boolean") && json_is(v, JSON_BOOL));
    return fits ? json_clone(a, v) : json_null(a);
}

/* Whether a field is a number, whatever type its column has: absent, it is 0. */
static bool is_number(const struct kind *k, const char *path)
{
    const struct schema_field *f = schema_field_path(kind_storage(k)->type, path);
    return f && (f->value == SCHEMA_INT32 || f->value == SCHEMA_INT64);
}

static struct json *path_cell(const struct cell_input *in, const struct kind *k,
                              const struct kind_column *c)
{
    if (c->jsonpath) {
        return custom_cell(in, c);
    }
    struct json *v = json_path(in->obj, c->path);
    if (cstr_eq(c->type, "date")) {
        return cell_age_of(in, v);
    }
    if (!v) {
        return is_number(k, c->path) ? json_int(in->arena, 0) : json_string(in->arena, "");
    }
    return v;
}

struct json *partial_metadata(struct arena *a, struct json *obj)
{
    struct json *p = json_object(a);
    json_set_str(p, "kind", "PartialObjectMetadata");
    json_set_str(p, "apiVersion", "meta.k8s.io/v1");
    json_set(p, "metadata", json_get(obj, "metadata"));
    return p;
}

void table_add(struct arena *a, struct json *table, const struct kind *k, struct json *obj,
               enum table_include include, struct wall now)
{
    struct cell_input in = {.arena = a, .obj = obj, .now = now};
    struct json *row = json_push(json_get(table, "rows"), json_object(a));
    struct json *cells = json_set(row, "cells", json_array(a));
    for (size_t i = 0; i < k->columns_n; i++) {
        cell_fn *fn = table_cell_find(k->columns[i].cell);
        json_push(cells, fn ? fn(&in) : path_cell(&in, k, &k->columns[i]));
    }
    if (include == TABLE_METADATA) {
        json_set(row, "object", partial_metadata(a, obj));
    } else if (include == TABLE_OBJECT) {
        json_set(row, "object", obj);
    } else {
        json_set(row, "object", json_null(a));
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The CEL type of a structural schema, with the bounds that Kubernetes derives for its estimates:
 * from maxItems, maxProperties, maxLength and enum, else from how much fits into a request.
 */
#include "cel_private.h"
#include "cel_rules.h"

enum {
    REQUEST_BYTES = 3 << 20,
    DURATION_MAX = 32, /* characters of the longest JSON forms */
    DATE_SIZE = 12,
    DATETIME_MAX = 37
};

static const struct cel_type map_key = {.kind = CEL_STRING, .max = REQUEST_BYTES};

/* A type and the bytes of the smallest JSON that has it. */
struct built {
    const struct cel_type *type;
    uint64_t min;
};

static struct built build(struct arena *a, const struct json *schema, bool root);

static struct cel_type *new_type(struct arena *a, enum cel_kind kind, uint64_t max)
{
    struct cel_type *t = arena_zalloc(a, sizeof(*t));
    if (t) {
        t->kind = kind;
        t->max = max;
    }
    return t;
}

static bool flag(const struct json *schema, const char *name)
{
    return json_path_true(schema, name, false);
}

static uint64_t bound(const struct json *schema, const char *name, uint64_t otherwise)
{
    const struct json *j = json_get(schema, name);
    return j ? (uint64_t)MAX_OF(json_i64(j, 0), (int64_t)0) : otherwise;
}

/* Bytes of the longest text: a code point may take four. */
static uint64_t max_text(const struct json *schema)
{
    const struct json *values = json_get(schema, "enum");
    uint64_t longest = 0;
    if (json_get(schema, "maxLength")) {
        return bound(schema, "maxLength", 0) * 4;
    }
    if (!json_len(values)) {
        return REQUEST_BYTES - 2;
    }
    JSON_FOR_EACH (v, values) {
        longest = MAX_OF(longest, (uint64_t)json_text(v).n);
    }
    return longest;
}

static struct built build_string(struct arena *a, const struct json *schema)
{
    const char *format = json_path_cstr(schema, "format", "");
    if (cstr_eq(format, "byte")) {
        return (struct built){new_type(a, CEL_BYTES, bound(schema, "maxLength", REQUEST_BYTES - 2)),
                              2};
    }
    if (cstr_eq(format, "duration")) {
        return (struct built){new_type(a, CEL_DURATION, DURATION_MAX), 3};
    }
    if (cstr_eq(format, "date")) {
        return (struct built){new_type(a, CEL_TIMESTAMP, DATE_SIZE), DATE_SIZE};
    }
    if (cstr_eq(format, "date-time")) {
        return (struct built){new_type(a, CEL_TIMESTAMP, DATETIME_MAX), 21};
    }
    return (struct built){new_type(a, CEL_STRING, max_text(schema)), 2};
}

static void copy_list_keys(struct arena *a, const struct json *schema, struct cel_type *t)
{
    const struct json *keys = json_get(schema, "x-kubernetes-list-map-keys");
    const char **names = arena_alloc(a, (json_len(keys) + 1) * sizeof(*names));
    JSON_FOR_EACH (k, keys) {
        if (names && json_cstr(k, NULL)) {
            names[t->n_list_keys++] = arena_strdup(a, json_cstr(k, NULL));
        }
    }
    t->list_keys = names;
}

static struct built build_list(struct arena *a, const struct json *schema)
{
    const struct json *items = json_get(schema, "items");
    const char *list_type = json_path_cstr(schema, "x-kubernetes-list-type", "");
    struct built item = build(a, items, flag(items, "x-kubernetes-embedded-resource"));
    struct cel_type *t = item.type ? new_type(a, CEL_LIST, 0) : NULL;
    if (t) {
        t->elem = item.type;
        t->max = bound(schema, "maxItems", (REQUEST_BYTES - 2) / (item.min + 1));
        t->list_type = cstr_eq(list_type, "set")   ? CEL_LIST_SET
                       : cstr_eq(list_type, "map") ? CEL_LIST_MAP
                                                   : CEL_LIST_ATOMIC;
        copy_list_keys(a, schema, t);
    }
    return (struct built){t, 2};
}

static struct built build_map(struct arena *a, const struct json *schema,
                              const struct json *additional)
{
    struct built value = build(a, additional, flag(additional, "x-kubernetes-embedded-resource"));
    struct cel_type *t = value.type ? new_type(a, CEL_MAP, 0) : NULL;
    if (t) {
        t->key = &map_key;
        t->elem = value.type;
        t->max = bound(schema, "maxProperties", (REQUEST_BYTES - 2) / (value.min + 6));
    }
    return (struct built){t, 2};
}

static bool is_required(const struct json *schema, const char *name)
{
    JSON_FOR_EACH (r, json_get(schema, "required")) {
        if (cstr_eq(json_cstr(r, NULL), name)) {
            return true;
        }
    }
    return false;
}

struct fields {
    struct cel_field *items;
    uint32_t n;
};

static void add_field(struct arena *a, struct fields *f, const char *name,
                      const struct cel_type *type)
{
    const char *escaped = type ? cel_escape_name(a, name) : NULL;
    if (escaped) {
        f->items[f->n++] =
            (struct cel_field){.name = escaped, .json_name = arena_strdup(a, name), .type = type};
    }
}

static const struct cel_type *object_of(struct arena *a, struct fields *f)
{
    struct cel_type *t = new_type(a, CEL_OBJECT, 0);
    if (t && !arena_failed(a)) {
        cel_fields_sort(f->items, f->n);
        t->name = "object";
        t->fields = f->items;
        t->n_fields = f->n;
        return t;
    }
    return NULL;
}

/* What every object with a kind has, whatever its schema says. */
static const struct cel_type *metadata_type(struct arena *a)
{
    struct fields f = {arena_alloc(a, 2 * sizeof(struct cel_field)), 0};
    const struct cel_type *text = new_type(a, CEL_STRING, REQUEST_BYTES - 2);
    if (!f.items) {
        return NULL;
    }
    add_field(a, &f, "generateName", text);
    add_field(a, &f, "name", text);
    return object_of(a, &f);
}

static bool is_meta(const char *name)
{
    return cstr_eq(name, "apiVersion") || cstr_eq(name, "kind") || cstr_eq(name, "metadata");
}

static struct built build_object(struct arena *a, const struct json *schema, bool root)
{
    const struct json *properties = json_get(schema, "properties");
    struct built out = {NULL, 2};
    struct fields f = {arena_alloc(a, (json_len(properties) + 3) * sizeof(struct cel_field)), 0};
    if (!f.items) {
        return out;
    }
    JSON_FOR_EACH_MEMBER (m, properties) {
        bool embedded = flag(m->value, "x-kubernetes-embedded-resource");
        struct built field = build(a, m->value, embedded);
        if (root && is_meta(m->key)) {
            continue;
        }
        add_field(a, &f, m->key, field.type);
        if (field.type && is_required(schema, m->key) && !json_get(m->value, "default")) {
            out.min += strlen(m->key) + field.min + 4;
        }
    }
    if (root) {
        const struct cel_type *text = new_type(a, CEL_STRING, REQUEST_BYTES - 2);
        add_field(a, &f, "apiVersion", text);
        add_field(a, &f, "kind", text);
        add_field(a, &f, "metadata", metadata_type(a));
    }
    out.type = object_of(a, &f);
    return out;
}

/* Recursion follows the schema's JSON, whose depth its parser bounds. */
static struct built build(struct arena *a, const struct json *schema, bool root)
{
    const char *type = json_path_cstr(schema, "type", "");
    const struct json *additional = json_get(schema, "additionalProperties");
    if (flag(schema, "x-kubernetes-int-or-string")) {
        return (struct built){new_type(a, CEL_DYN, max_text(schema)), 1};
    }
    if (cstr_eq(type, "array")) {
        return build_list(a, schema);
    }
    if (cstr_eq(type, "object") && json_is(additional, JSON_OBJECT)) {
        return build_map(a, schema, additional);
    }
    if (cstr_eq(type, "object")) {
        return build_object(a, schema, root);
    }
    if (cstr_eq(type, "string")) {
        return build_string(a, schema);
    }
    return (struct built){cstr_eq(type, "boolean")   ? &cel_type_bool
                          : cstr_eq(type, "integer") ? &cel_type_int
                          : cstr_eq(type, "number")  ? &cel_type_double
                                                     : NULL,
                          cstr_eq(type, "boolean") ? 4 : 1};
}

const struct cel_type *cel_type_from_schema(struct arena *a, const struct json *schema, bool root)
{
    return build(a, schema, root).type;
}

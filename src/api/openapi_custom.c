/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAPI of custom kinds: the schema of the stored definition, with apiVersion, kind and metadata
 * put in.
 *
 * Version 3 shows it as it is. Version 2 knows less: value checks and defaults are left out, and
 * what may be null, a number or a text, or anything has no type there, for kubectl up to 1.24
 * checks manifests against it (apiextensions-apiserver's ToStructuralOpenAPIV2).
 */
#include <string.h>

#include "api/crd/crd.h"
#include "api/openapi.h"
#include "api/openapi_private.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/protobuf.h"

#define META "io.k8s.apimachinery.pkg.apis.meta.v1."

static const struct {
    const char *name, *doc;
} type_members[] = {{"apiVersion", "Group and version of the schema of this object."},
                    {"kind", "Kind of this object."}};

static bool same_version(const struct kind *k, const char *group, const char *version)
{
    return k->custom && strcmp(k->group, group) == 0 && strcmp(k->version, version) == 0;
}

bool openapi_custom_hash(const char *group, const char *version, char ret[CONTENT_HASH_SIZE])
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        if (same_version(kinds[i], group, version)) {
            crd_identity(kinds[i], &text);
            any = true;
        }
    }
    buf_puts(&text, SELVEDGE_VERSION);
    if (any) {
        content_hash(buf_str(&text), ret);
    }
    return any;
}

/* ---- the whole object's schema ---- */

static struct json *ref(struct arena *a, const char *root, const char *name, bool wrapped)
{
    struct json *r = json_object(a);
    struct json *inner = wrapped ? json_object(a) : r;
    json_set(inner, "$ref", json_printf(a, "#/%s/%s", root, name));
    if (wrapped) {
        json_push(json_set(r, "allOf", json_array(a)), inner);
    }
    return r;
}

static struct json *gvk(struct arena *a, const struct kind *k, const char *kind)
{
    struct json *list = json_array(a), *o = json_push(list, json_object(a));
    json_set_str(o, "group", k->group);
    json_set_str(o, "version", k->version);
    json_set_str(o, "kind", kind);
    return list;
}

static void set_type_members(struct arena *a, struct json *properties)
{
    for (size_t i = 0; i < ARRAY_SIZE(type_members); i++) {
        struct json *p = json_set(properties, type_members[i].name, json_object(a));
        json_set_str(p, "description", type_members[i].doc);
        json_set_str(p, "type", "string");
    }
}

/* The definition's schema with what every object has; NULL when it is gone. */
static struct json *object_schema(struct arena *a, const struct kind *k, const char *root)
{
    struct json *s = crd_schema_json(a, k);
    if (!s) {
        return NULL;
    }
    struct json *properties = json_ensure_object(s, "properties");
    set_type_members(a, properties);
    struct json *metadata = ref(a, root, META "ObjectMeta", /* wrapped= */ true);
    json_set_str(metadata, "description",
                 "Name, labels and everything else that all objects have.");
    json_set(properties, "metadata", metadata);
    json_set(s, "x-kubernetes-group-version-kind", gvk(a, k, k->kind));
    return s;
}

static struct json *list_schema(struct arena *a, const struct kind *k, const char *root,
                                const char *item)
{
    struct json *s = json_object(a);
    json_set(s, "description", json_printf(a, "%s is a list of %s", k->list_kind, k->kind));
    json_set_str(s, "type", "object");
    json_push(json_set(s, "required", json_array(a)), json_string(a, "items"));
    struct json *properties = json_set(s, "properties", json_object(a));
    set_type_members(a, properties);
    struct json *items = json_set(properties, "items", json_object(a));
    json_set_str(items, "description", "The objects.");
    json_set_str(items, "type", "array");
    json_set(items, "items", ref(a, root, item, /* wrapped= */ false));
    json_set(properties, "metadata", ref(a, root, META "ListMeta", /* wrapped= */ true));
    json_set(s, "x-kubernetes-group-version-kind", gvk(a, k, k->list_kind));
    return s;
}

/* ---- version 3 ---- */

static void member(struct buf *out, const char *name, const struct json *value)
{
    char last = buf_data(out)[buf_len(out) ? buf_len(out) - 1 : 0];
    buf_puts(out, last == '{' ? "" : ",");
    (void)json_print_string(out, str_of(name)); /* a failure sticks */
    buf_putc(out, ':');
    (void)json_print(out, value);
}

void openapi_v3_custom(struct buf *out, const struct kind *k)
{
    static const char root[] = "components/schemas";
    struct openapi_names names;
    struct arena a;
    arena_init(&a, 0);
    openapi_names_of(k, &names);
    struct json *s = object_schema(&a, k, root);
    struct json *list = list_schema(&a, k, root, names.type);
    if (s && !arena_failed(&a)) {
        member(out, names.type, s);
        member(out, names.list, list);
    }
    arena_fini(&a);
}

/* ---- version 2: the numbers are those of openapi_v2.c ---- */

enum { NAME = 1, VALUE = 2 };
enum {
    REF = 1,
    FORMAT = 2,
    DESCRIPTION = 4,
    REQUIRED = 19,
    ADDITIONAL = 21,
    TYPE = 22,
    ITEMS = 23,
    PROPERTIES = 25,
    EXTENSION = 31,
};

static void put(struct buf *out, uint32_t number, const char *s)
{
    if (*s) {
        pb_put_bytes(out, number, str_of(s));
    }
}

static void put_extension(struct buf *out, const char *name, const struct json *value)
{
    size_t named = pb_open(out, EXTENSION);
    put(out, NAME, name);
    size_t any = pb_open(out, VALUE);
    size_t yaml = pb_open(out, 2); /* JSON is YAML */
    (void)json_print(out, value);
    pb_close(out, yaml);
    pb_close(out, any);
    pb_close(out, named);
}

static void put_schema(struct buf *out, const struct json *s, int depth);

static void put_below(struct buf *out, uint32_t number, const struct json *s, int depth)
{
    size_t item = pb_open(out, number), inner = pb_open(out, 1);
    put_schema(out, s, depth + 1);
    pb_close(out, inner);
    pb_close(out, item);
}

static void put_properties(struct buf *out, const struct json *properties, int depth)
{
    size_t all = pb_open(out, PROPERTIES);
    JSON_FOR_EACH_MEMBER (m, properties) {
        size_t named = pb_open(out, 1);
        put(out, NAME, m->key);
        size_t schema = pb_open(out, VALUE);
        put_schema(out, m->value, depth + 1);
        pb_close(out, schema);
        pb_close(out, named);
    }
    pb_close(out, all);
}

static void put_type(struct buf *out, const struct json *s)
{
    const char *type = json_cstr(json_get(s, "type"), "");
    if (*type) {
        size_t item = pb_open(out, TYPE);
        put(out, 1, type);
        pb_close(out, item);
    }
    put(out, FORMAT, json_cstr(json_get(s, "format"), ""));
}

static void put_structure(struct buf *out, const struct json *s, int depth)
{
    const struct json *any = json_get(s, "additionalProperties");
    JSON_FOR_EACH (r, json_get(s, "required")) {
        put(out, REQUIRED, json_cstr(r, ""));
    }
    if (json_is(any, JSON_OBJECT)) {
        put_below(out, ADDITIONAL, any, depth);
    }
    put_type(out, s);
    if (json_is(json_get(s, "items"), JSON_OBJECT)) {
        put_below(out, ITEMS, json_get(s, "items"), depth);
    }
    if (json_len(json_get(s, "properties"))) {
        put_properties(out, json_get(s, "properties"), depth);
    }
}

static void put_schema(struct buf *out, const struct json *s, int depth)
{
    static const char *const shown[] = {"x-kubernetes-embedded-resource",
                                        "x-kubernetes-group-version-kind",
                                        "x-kubernetes-int-or-string",
                                        "x-kubernetes-list-map-keys",
                                        "x-kubernetes-list-type",
                                        "x-kubernetes-map-type",
                                        "x-kubernetes-preserve-unknown-fields"};
    const struct json *target = json_get(json_at(json_get(s, "allOf"), 0), "$ref");
    target = target ? target : json_get(s, "$ref");
    bool anything = json_path_true(s, "x-kubernetes-preserve-unknown-fields", false) ||
                    json_path_true(s, "x-kubernetes-int-or-string", false) ||
                    json_path_true(s, "nullable", false);
    if (depth > LIMIT_CRD_DEPTH + 2) {
        return;
    }
    if (target) {
        put(out, REF, json_cstr(target, ""));
        return;
    }
    put(out, DESCRIPTION, json_cstr(json_get(s, "description"), ""));
    if (!anything || depth == 0) {
        put_structure(out, s, depth);
    }
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
        if (json_get(s, shown[i])) {
            put_extension(out, shown[i], json_get(s, shown[i]));
        }
    }
}

static void put_named(struct buf *out, const char *name, const struct json *s)
{
    size_t named = pb_open(out, 1);
    put(out, NAME, name);
    size_t schema = pb_open(out, VALUE);
    put_schema(out, s, 0);
    pb_close(out, schema);
    pb_close(out, named);
}

void openapi_v2_custom(struct buf *out, const struct kind *k)
{
    static const char root[] = "definitions";
    struct openapi_names names;
    struct arena a;
    arena_init(&a, 0);
    openapi_names_of(k, &names);
    struct json *s = object_schema(&a, k, root);
    struct json *list = list_schema(&a, k, root, names.type);
    if (s && !arena_failed(&a)) {
        put_named(out, names.type, s);
        put_named(out, names.list, list);
    }
    arena_fini(&a);
}

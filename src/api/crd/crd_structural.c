/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A walk over the JSON of a schema. Structure (types, properties, items) may be said in the schema
 * itself, and only values may be restricted inside allOf, anyOf, oneOf and not, whose fields must
 * appear in the structure as well.
 *
 * The depth is bounded by LIMIT_CRD_DEPTH; defaults are checked by the compiled schema of their
 * node.
 */
#include "api/crd/crd_structural.h"

#include "api/crd/schema.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/regex.h"

enum level { LEVEL_ROOT, LEVEL_FIELD, LEVEL_ITEM };

struct walk {
    struct field_errors *e;
    const struct walk *up; /* the place as a chain; text only for errors */
    const char *name;      /* "properties", "items", ... */
    const char *key;       /* of a property: properties[key] */
    long index;            /* of allOf and its like; -1 = none */
    const char *root;      /* the path of the outermost */
    int depth;
};

static void node(const struct walk *w, const struct json *s, enum level level);

/* ---- the place ---- */

static const char *place(const struct walk *w)
{
    struct arena *a = w->e->arena;
    const struct walk *chain[LIMIT_CRD_DEPTH + 2];
    size_t n = 0;
    const char *text = NULL;
    for (; w && n < ARRAY_SIZE(chain); w = w->up) {
        chain[n++] = w;
    }
    while (n-- > 0) {
        const struct walk *p = chain[n];
        if (p->root) {
            text = p->root;
        } else if (p->key) {
            text = arena_printf(a, "%s.%s[%s]", text, p->name, p->key);
        } else if (p->index >= 0) {
            text = arena_printf(a, "%s.%s[%ld]", text, p->name, p->index);
        } else {
            text = arena_printf(a, "%s.%s", text, p->name);
        }
        text = text ? text : "";
    }
    return text;
}

static void forbid(const struct walk *w, const char *member, const char *why)
{
    field_error(w->e, FIELD_FORBIDDEN, arena_printf(w->e->arena, "%s.%s", place(w), member), NULL,
                why);
}

static void require(const struct walk *w, const char *member, const char *why)
{
    field_error(w->e, FIELD_REQUIRED, arena_printf(w->e->arena, "%s.%s", place(w), member), NULL,
                why);
}

static void invalid(const struct walk *w, const char *member, const struct json *v, const char *why)
{
    field_error(w->e, FIELD_INVALID, arena_printf(w->e->arena, "%s.%s", place(w), member), v, why);
}

static struct walk below(const struct walk *w, const char *name, const char *key, long index)
{
    return (struct walk){
        .e = w->e, .up = w, .name = name, .key = key, .index = index, .depth = w->depth + 1};
}

static bool has(const struct json *s, const char *name)
{
    return json_get(s, name) != NULL;
}

static bool is_true(const struct json *s, const char *name)
{
    return json_true(json_get(s, name), false);
}

static const char *type_of(const struct json *s)
{
    return json_cstr(json_get(s, "type"), "");
}

/* ---- what no schema may say ---- */

static void forbidden_members(const struct walk *w, const struct json *s)
{
    static const struct {
        const char *name, *why;
    } never[] = {
        {"$ref", "$ref is not supported"},
        {"id", "id is not supported"},
        {"additionalItems", "additionalItems is not supported"},
        {"definitions", "definitions is not supported"},
        {"dependencies", "dependencies is not supported"},
        {"patternProperties", "patternProperties is not supported"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(never); i++) {
        if (has(s, never[i].name)) {
            forbid(w, never[i].name, never[i].why);
        }
    }
    if (is_true(s, "uniqueItems")) {
        forbid(w, "uniqueItems",
               "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    }
    if (json_is(json_get(s, "items"), JSON_ARRAY)) {
        forbid(w, "items", "items must be a schema object and not an array");
    }
    if (cstr_eq(type_of(s), "null")) {
        forbid(w, "type", "type cannot be set to null, use nullable as an alternative");
    }
    const struct json *pattern = json_get(s, "pattern");
    CLEANUP(regex_freep) struct regex *re = NULL;
    struct err err = {0};
    if (json_text(pattern).n && regex_compile(json_text(pattern), &re, &err) < 0) {
        invalid(w, "pattern", pattern,
                arena_printf(w->e->arena, "must be a valid regular expression, but isn't: %s",
                             err.text));
    }
}

/* ---- value checks: allOf, anyOf, oneOf, not ---- */

/* The structure must know what a value check speaks of. */
static void known_to(const struct walk *w, const struct json *core, const struct json *value)
{
    JSON_FOR_EACH_MEMBER (m, json_get(value, "properties")) {
        struct walk here = below(w, "properties", m->key, -1);
        const struct json *p = json_get_n(json_get(core, "properties"), str_n(m->key, m->key_n));
        const struct json *any = json_get(core, "additionalProperties");
        p = p ? p : json_is(any, JSON_OBJECT) ? any : NULL;
        if (!p && !is_true(core, "x-kubernetes-preserve-unknown-fields") &&
            !json_true(any, false)) {
            field_error(w->e, FIELD_REQUIRED, place(&here), NULL,
                        "because it is defined in a value validation, it must be defined in the "
                        "structure too");
        }
    }
}

/* int-or-string may say so by anyOf of the two types. */
static bool types_allowed(const struct json *core)
{
    return is_true(core, "x-kubernetes-int-or-string");
}

/* What belongs to the structure may not stand in a part that only judges values. */
static void structural_members(const struct walk *w, const struct json *s, bool types)
{
    static const char *const structure[] = {"type",
                                            "default",
                                            "description",
                                            "title",
                                            "nullable",
                                            "additionalProperties",
                                            "x-kubernetes-preserve-unknown-fields",
                                            "x-kubernetes-embedded-resource",
                                            "x-kubernetes-int-or-string",
                                            "x-kubernetes-list-type",
                                            "x-kubernetes-list-map-keys",
                                            "x-kubernetes-map-type"};
    for (size_t i = types ? 1 : 0; i < ARRAY_SIZE(structure); i++) {
        if (has(s, structure[i]) &&
            !(json_is(json_get(s, structure[i]), JSON_BOOL) && !is_true(s, structure[i]))) {
            forbid(w, structure[i], "must be empty to be structural");
        }
    }
}

static void value_node(const struct walk *w, const struct json *s, const struct json *core,
                       bool types)
{
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    if (w->depth > LIMIT_CRD_DEPTH) {
        return; /* the compilation refuses it */
    }
    forbidden_members(w, s);
    structural_members(w, s, types);
    known_to(w, core, s);
    JSON_FOR_EACH_MEMBER (m, json_get(s, "properties")) {
        struct walk here = below(w, "properties", m->key, -1);
        const struct json *p = json_get_n(json_get(core, "properties"), str_n(m->key, m->key_n));
        value_node(&here, m->value, p, types_allowed(p));
    }
    if (json_is(json_get(s, "items"), JSON_OBJECT)) {
        struct walk here = below(w, "items", NULL, -1);
        const struct json *items = json_get(core, "items");
        value_node(&here, json_get(s, "items"), items, types_allowed(items));
    }
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        long i = 0;
        JSON_FOR_EACH (v, json_get(s, lists[l])) {
            struct walk here = below(w, lists[l], NULL, i++);
            value_node(&here, v, core, types);
        }
    }
    if (has(s, "not")) {
        struct walk here = below(w, "not", NULL, -1);
        value_node(&here, json_get(s, "not"), core, types);
    }
}

static void value_checks(const struct walk *w, const struct json *s)
{
    static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        long i = 0;
        JSON_FOR_EACH (v, json_get(s, lists[l])) {
            struct walk here = below(w, lists[l], NULL, i++);
            value_node(&here, v, s, types_allowed(s));
        }
    }
    if (has(s, "not")) {
        struct walk here = below(w, "not", NULL, -1);
        value_node(&here, json_get(s, "not"), s, types_allowed(s));
    }
}

/* ---- types and extensions ---- */

static void check_type(const struct walk *w, const struct json *s, enum level level)
{
    static const char *const types[] = {"array",  "boolean", "integer", "number",
                                        "object", "string",  NULL};
    static const char *const empty[] = {
        [LEVEL_ROOT] = "must not be empty at the root",
        [LEVEL_FIELD] = "must not be empty for specified object fields",
        [LEVEL_ITEM] = "must not be empty for specified array items"};
    const char *type = type_of(s);
    bool int_or_string = is_true(s, "x-kubernetes-int-or-string");
    bool preserve = is_true(s, "x-kubernetes-preserve-unknown-fields");
    if (level == LEVEL_ROOT && *type && !cstr_eq(type, "object")) {
        invalid(w, "type", json_get(s, "type"), "must be object at the root");
        return;
    }
    if (!*type) {
        if ((!int_or_string && !preserve) || level == LEVEL_ROOT) {
            require(w, "type", empty[level]);
        }
        return;
    }
    if (int_or_string) {
        invalid(w, "type", json_get(s, "type"),
                "must be empty if x-kubernetes-int-or-string is true");
    }
    for (size_t i = 0; types[i]; i++) {
        if (cstr_eq(type, types[i])) {
            return;
        }
    }
    if (!cstr_eq(type, "null")) {
        field_error_supported(w->e, arena_printf(w->e->arena, "%s.type", place(w)), type, types);
    }
}

/* A key of a map list: a property of the items, required or with a default. */
static void check_key(const struct walk *w, const struct json *items, const struct json *key,
                      long i)
{
    const struct json *p = json_get_n(json_get(items, "properties"), json_text(key));
    bool required = false;
    if (!p) {
        invalid(w, arena_printf(w->e->arena, "x-kubernetes-list-map-keys[%ld]", i), key,
                "must be defined in the items schema");
        return;
    }
    JSON_FOR_EACH (r, json_get(items, "required")) {
        required |= str_eq(json_text(r), json_text(key));
    }
    if (!required && !has(p, "default")) {
        require(w, arena_printf(w->e->arena, "items.properties[%s].default", json_cstr(key, "")),
                "this property is in x-kubernetes-list-map-keys, so it must have a default or be a "
                "required property");
    }
}

static void check_list_type(const struct walk *w, const struct json *s)
{
    static const char *const types[] = {"atomic", "map", "set", NULL};
    const char *list = json_cstr(json_get(s, "x-kubernetes-list-type"), "");
    const struct json *keys = json_get(s, "x-kubernetes-list-map-keys");
    if (*list && !cstr_eq(type_of(s), "array")) {
        if (!*type_of(s)) {
            require(w, "type", "must be array if x-kubernetes-list-type is specified");
        } else {
            invalid(w, "type", json_get(s, "type"),
                    "must be array if x-kubernetes-list-type is specified");
        }
    }
    if (*list && !cstr_eq(list, "atomic") && !cstr_eq(list, "map") && !cstr_eq(list, "set")) {
        field_error_supported(
            w->e, arena_printf(w->e->arena, "%s.x-kubernetes-list-type", place(w)), list, types);
    }
    if (json_len(keys) && !cstr_eq(list, "map")) {
        if (!*list) {
            require(w, "x-kubernetes-list-type",
                    "must be map if x-kubernetes-list-map-keys is non-empty");
        } else {
            invalid(w, "x-kubernetes-list-type", json_get(s, "x-kubernetes-list-type"),
                    "must be map if x-kubernetes-list-map-keys is non-empty");
        }
        return;
    }
    if (!cstr_eq(list, "map")) {
        return;
    }
    if (!json_len(keys)) {
        require(w, "x-kubernetes-list-map-keys",
                "must not be empty if x-kubernetes-list-type is map");
    }
    long i = 0;
    JSON_FOR_EACH (key, keys) {
        check_key(w, json_get(s, "items"), key, i++);
    }
}

static void check_map_type(const struct walk *w, const struct json *s)
{
    static const char *const types[] = {"atomic", "granular", NULL};
    const char *map = json_cstr(json_get(s, "x-kubernetes-map-type"), "");
    if (!*map) {
        return;
    }
    if (!cstr_eq(type_of(s), "object")) {
        invalid(w, "type", json_get(s, "type"),
                "must be object if x-kubernetes-map-type is specified");
    }
    if (!cstr_eq(map, "atomic") && !cstr_eq(map, "granular")) {
        field_error_supported(w->e, arena_printf(w->e->arena, "%s.x-kubernetes-map-type", place(w)),
                              map, types);
    }
}

static void check_extensions(const struct walk *w, const struct json *s)
{
    const struct json *preserve = json_get(s, "x-kubernetes-preserve-unknown-fields");
    if (json_is(preserve, JSON_BOOL) && !preserve->b) {
        invalid(w, "x-kubernetes-preserve-unknown-fields", preserve, "must be true or undefined");
    }
    if (is_true(s, "x-kubernetes-embedded-resource")) {
        if (!cstr_eq(type_of(s), "object")) {
            invalid(w, "type", json_get(s, "type"),
                    "must be object if x-kubernetes-embedded-resource is true");
        }
        if (!json_len(json_get(s, "properties")) &&
            !is_true(s, "x-kubernetes-preserve-unknown-fields")) {
            require(w, "properties",
                    "must not be empty if x-kubernetes-embedded-resource is true without "
                    "x-kubernetes-preserve-unknown-fields");
        }
    }
    check_list_type(w, s);
    check_map_type(w, s);
}

/* ---- defaults ---- */

static void add_error(const struct walk *w, const struct field_error *err)
{
    const char *dot = *err->path && *err->path != '[' ? "." : "";
    const char *path = arena_printf(w->e->arena, "%s.default%s%s", place(w), dot, err->path);
    field_error_body(w->e, err->type, path ? path : "", err->body);
}

static void check_default(const struct walk *w, const struct json *s)
{
    struct json *def = json_get(s, "default");
    struct arena a;
    struct crd_regexes regexes = {0};
    const struct crd_schema *compiled = NULL;
    struct err err = {0};
    if (!def) {
        return;
    }
    arena_init(&a, 0);
    if (crd_schema_compile(&a, s, &regexes, &compiled, &err) == 0) {
        struct field_errors e;
        struct json *unknown = json_array(&a), *copy = json_clone(&a, def);
        bool embedded = compiled->flags & CRD_F_EMBEDDED;
        crd_prune(&a, compiled, copy, embedded, unknown);
        if (json_len(unknown) && !arena_failed(&a)) {
            invalid(w, "default", def, "must be pruned: it has unknown fields");
        }
        field_errors_init(&e, &a);
        crd_check(&e, compiled, copy, NULL);
        for (size_t i = 0; i < e.n; i++) {
            add_error(w, &e.items[i]);
        }
    }
    crd_regexes_fini(&regexes);
    arena_fini(&a);
}

/* ---- the tree ---- */

static void check_root(const struct walk *w, const struct json *s)
{
    if (is_true(s, "nullable")) {
        forbid(w, "nullable", "nullable cannot be true at the root");
    }
    if (has(s, "default")) {
        forbid(w, "default", "must not be set at the root");
    }
    JSON_FOR_EACH_MEMBER (m, json_path(s, "properties.metadata.properties")) {
        if (!cstr_eq(m->key, "name") && !cstr_eq(m->key, "generateName")) {
            forbid(w, "properties[metadata]",
                   "must not specify anything other than name and generateName, but metadata is "
                   "implicitly specified");
            break;
        }
    }
}

static void check_additional(const struct walk *w, const struct json *s)
{
    const struct json *any = json_get(s, "additionalProperties");
    if (!any) {
        return;
    }
    if (json_is(any, JSON_BOOL) && !any->b) {
        forbid(w, "additionalProperties", "additionalProperties cannot be set to false");
    } else if (json_len(json_get(s, "properties"))) {
        forbid(w, "additionalProperties",
               "additionalProperties and properties are mutual exclusive");
    }
    if (w->root) {
        forbid(w, "additionalProperties", "must not be used at the root");
    }
    if (json_is(any, JSON_OBJECT)) {
        struct walk here = below(w, "additionalProperties", NULL, -1);
        node(&here, any, LEVEL_FIELD);
    }
}

static void node(const struct walk *w, const struct json *s, enum level level)
{
    if (w->depth > LIMIT_CRD_DEPTH) {
        field_error(w->e, FIELD_INVALID, place(w), NULL, "the schema is nested too deeply");
        return;
    }
    size_t before = w->e->n;
    forbidden_members(w, s);
    check_type(w, s, level);
    check_extensions(w, s);
    if (level == LEVEL_ROOT) {
        check_root(w, s);
    }
    check_additional(w, s);
    JSON_FOR_EACH_MEMBER (m, json_get(s, "properties")) {
        struct walk here = below(w, "properties", m->key, -1);
        node(&here, m->value, LEVEL_FIELD);
    }
    if (json_is(json_get(s, "items"), JSON_OBJECT)) {
        struct walk here = below(w, "items", NULL, -1);
        node(&here, json_get(s, "items"), LEVEL_ITEM);
    } else if (cstr_eq(type_of(s), "array") && !has(s, "items")) {
        require(w, "items", "must be specified");
    }
    value_checks(w, s);
    if (w->e->n == before && level != LEVEL_ROOT) {
        check_default(w, s);
    }
}

void crd_structural_check(struct field_errors *e, const char *path, const struct json *schema)
{
    struct walk w = {.e = e, .root = path, .index = -1};
    node(&w, schema, LEVEL_ROOT);
}

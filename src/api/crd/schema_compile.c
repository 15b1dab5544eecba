/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the JSON of an openAPIV3Schema to the tree of schema.h.
 *
 * Whatever is equal is stored once: the bytes of names, lists of names, property tables and nodes
 * are looked up before they are made. Children come before their parents, so that equal subtrees
 * have equal pointers, and two equal parents have equal bytes.
 */
#include "api/crd/schema.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/map.h"
#include "base/mem.h"
#include "codec/regex.h"

struct compile {
    struct arena *a;
    struct map seen;     /* bytes -> the one copy of them */
    struct map values;   /* JSON text -> struct json */
    struct map patterns; /* pattern -> struct regex */
    struct crd_regexes *regexes;
    struct err *err;
    size_t nodes;
};

static int node(struct compile *c, const struct json *j, int depth, const struct crd_schema **ret);

/* ---- what is equal is one ---- */

static const void *intern(struct compile *c, const void *p, size_t n)
{
    void *known = map_get(&c->seen, str_n(p, n));
    if (!known) {
        known = arena_dup(c->a, p, n);
        if (known && map_put(&c->seen, str_n(p, n), known, NULL) < 0) {
            return NULL;
        }
    }
    return known;
}

static const char *intern_text(struct compile *c, struct str s)
{
    /* With its final 0: names come from JSON trees, where every text has one. */
    return intern(c, s.p, s.n + 1);
}

static const struct json *intern_value(struct compile *c, const struct json *j)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    if (json_print(&text, j) < 0) {
        return NULL;
    }
    struct json *known = map_get(&c->values, buf_str(&text));
    if (!known) {
        known = json_clone(c->a, j);
        if (known && map_put(&c->values, buf_str(&text), known, NULL) < 0) {
            return NULL;
        }
    }
    return known;
}

/* An array of texts as a NULL-terminated list; *ret NULL when it is empty. */
static int texts(struct compile *c, const struct json *list, const char *const **ret)
{
    size_t n = 0;
    if (json_len(list) == 0) {
        return 0;
    }
    CLEANUP(mem_freep) const char **all = mem_zalloc((json_len(list) + 1) * sizeof(char *));
    JSON_FOR_EACH (item, list) {
        if (all && json_is(item, JSON_STRING)) {
            all[n++] = intern_text(c, json_text(item));
        }
    }
    *ret = all ? intern(c, all, (n + 1) * sizeof(char *)) : NULL;
    return *ret ? 0 : -E_NOMEM;
}

/* ---- checks ---- */

static bool format_checked(const char *format)
{
    static const char *const known[] = {
        "bsonobjectid", "uri",    "email",    "hostname", "ipv4",     "ipv6",
        "cidr",         "mac",    "uuid",     "uuid3",    "uuid4",    "uuid5",
        "isbn",         "isbn10", "isbn13",   "hexcolor", "rgbcolor", "byte",
        "creditcard",   "ssn",    "password", "date",     "duration", "datetime"};
    char plain[32];
    size_t n = 0;
    for (const char *p = format; *p && n < sizeof(plain) - 1; p++) {
        if (*p != '-') {
            plain[n++] = *p;
        }
    }
    plain[n] = '\0';
    for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
        if (cstr_eq(plain, known[i])) {
            return true;
        }
    }
    return false;
}

static int keep_regex(struct compile *c, struct regex *re)
{
    struct crd_regexes *r = c->regexes;
    if (r->n == r->cap) {
        size_t cap = r->cap ? r->cap * 2 : 8;
        struct regex **items = mem_realloc(r->items, cap * sizeof(struct regex *));
        if (!items) {
            return -E_NOMEM;
        }
        r->items = items;
        r->cap = cap;
    }
    r->items[r->n++] = re;
    return 0;
}

void crd_regexes_fini(struct crd_regexes *r)
{
    for (size_t i = 0; i < r->n; i++) {
        regex_free(r->items[i]);
    }
    mem_free(r->items);
    *r = (struct crd_regexes){0};
}

static int pattern(struct compile *c, const struct json *j, struct crd_checks *k)
{
    struct str s = json_text(json_get(j, "pattern"));
    CLEANUP(regex_freep) struct regex *re = NULL;
    if (s.n == 0) {
        return 0;
    }
    k->pattern = intern_text(c, s);
    k->regex = map_get(&c->patterns, s);
    if (k->regex) {
        return 0;
    }
    int code = regex_compile(s, &re, c->err);
    code = code < 0 ? code : keep_regex(c, re);
    if (code == 0) {
        k->regex = TAKE_PTR(re);
        code = map_put(&c->patterns, s, k->regex, NULL) < 0 ? -E_NOMEM : 0;
    }
    return code;
}

static int values(struct compile *c, const struct json *list, struct crd_checks *k)
{
    size_t n = 0;
    if (json_len(list) == 0) {
        return 0;
    }
    CLEANUP(mem_freep)
    const struct json **all = mem_zalloc((json_len(list) + 1) * sizeof(struct json *));
    JSON_FOR_EACH (item, list) {
        if (all) {
            all[n++] = intern_value(c, item);
        }
    }
    k->values = all ? intern(c, all, (n + 1) * sizeof(struct json *)) : NULL;
    return k->values ? 0 : -E_NOMEM;
}

static int alternatives(struct compile *c, const struct json *list, int depth,
                        const struct crd_schema *const **ret)
{
    size_t n = 0;
    int code = 0;
    if (json_len(list) == 0) {
        return 0;
    }
    CLEANUP(mem_freep)
    const struct crd_schema **all = mem_zalloc((json_len(list) + 1) * sizeof(struct crd_schema *));
    JSON_FOR_EACH (item, list) {
        code = code < 0 || !all ? code : node(c, item, depth + 1, &all[n++]);
    }
    if (code == 0) {
        *ret = all ? intern(c, all, (n + 1) * sizeof(struct crd_schema *)) : NULL;
        code = *ret ? 0 : -E_NOMEM;
    }
    return code;
}

static int64_t bound(const struct json *j, const char *name)
{
    const struct json *v = json_get(j, name);
    return v ? json_i64(v, -1) : -1;
}

static void numbers(const struct json *j, struct crd_checks *k)
{
    const struct json *lowest = json_get(j, "minimum"), *highest = json_get(j, "maximum");
    const struct json *step = json_get(j, "multipleOf");
    k->has_minimum = json_is(lowest, JSON_INT) || json_is(lowest, JSON_REAL);
    k->has_maximum = json_is(highest, JSON_INT) || json_is(highest, JSON_REAL);
    k->minimum = json_double(lowest, 0);
    k->maximum = json_double(highest, 0);
    k->exclusive_minimum = json_true(json_get(j, "exclusiveMinimum"), false);
    k->exclusive_maximum = json_true(json_get(j, "exclusiveMaximum"), false);
    k->multiple_of = json_double(step, 0);
    k->has_multiple_of = k->multiple_of > 0;
    k->unique = json_true(json_get(j, "uniqueItems"), false);
    k->min_length = bound(j, "minLength");
    k->max_length = bound(j, "maxLength");
    k->min_items = bound(j, "minItems");
    k->max_items = bound(j, "maxItems");
    k->min_properties = bound(j, "minProperties");
    k->max_properties = bound(j, "maxProperties");
}

/* Whether any member asks for a struct crd_checks. */
static bool has_checks(const struct json *j)
{
    static const char *const members[] = {"default",
                                          "required",
                                          "x-kubernetes-list-map-keys",
                                          "format",
                                          "pattern",
                                          "enum",
                                          "minimum",
                                          "maximum",
                                          "multipleOf",
                                          "minLength",
                                          "maxLength",
                                          "minItems",
                                          "maxItems",
                                          "minProperties",
                                          "maxProperties",
                                          "uniqueItems",
                                          "allOf",
                                          "anyOf",
                                          "oneOf",
                                          "not"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        if (json_get(j, members[i])) {
            return true;
        }
    }
    return false;
}

static int checks(struct compile *c, const struct json *j, int depth, struct crd_schema *s)
{
    struct crd_checks k;
    memset(&k, 0,
           sizeof(k)); /* also what lies between the members: equal checks have equal bytes */
    if (!has_checks(j)) {
        return 0;
    }
    numbers(j, &k);
    const struct json *def = json_get(j, "default");
    const char *format = json_cstr(json_get(j, "format"), "");
    if (def && !(k.def = intern_value(c, def))) {
        return -E_NOMEM;
    }
    if (format_checked(format)) {
        k.format = intern_text(c, str_of(format));
    }
    int code = texts(c, json_get(j, "required"), &k.required);
    code = code < 0 ? code : texts(c, json_get(j, "x-kubernetes-list-map-keys"), &k.list_keys);
    code = code < 0 ? code : values(c, json_get(j, "enum"), &k);
    code = code < 0 ? code : pattern(c, j, &k);
    code = code < 0 ? code : alternatives(c, json_get(j, "allOf"), depth, &k.all_of);
    code = code < 0 ? code : alternatives(c, json_get(j, "anyOf"), depth, &k.any_of);
    code = code < 0 ? code : alternatives(c, json_get(j, "oneOf"), depth, &k.one_of);
    if (code == 0 && json_is(json_get(j, "not"), JSON_OBJECT)) {
        code = node(c, json_get(j, "not"), depth + 1, &k.not_);
    }
    if (code == 0) {
        s->checks = intern(c, &k, sizeof(k));
        s->flags |= CRD_F_HAS_CHECKS | (k.def ? CRD_F_HAS_DEFAULTS : 0);
        code = s->checks ? 0 : -E_NOMEM;
    }
    return code;
}

/* ---- nodes ---- */

#define BELOW (CRD_F_HAS_DEFAULTS | CRD_F_HAS_SETS | CRD_F_HAS_EMBEDDED | CRD_F_HAS_CHECKS)

static int by_name(const void *a, const void *b)
{
    const struct crd_property *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static int properties(struct compile *c, const struct json *j, int depth, struct crd_schema *s)
{
    size_t n = 0;
    if (json_len(j) == 0) {
        return 0;
    }
    CLEANUP(mem_freep) struct crd_property *all = mem_zalloc(json_len(j) * sizeof(*all));
    if (!all) {
        return -E_NOMEM;
    }
    JSON_FOR_EACH_MEMBER (m, j) {
        all[n].name = intern_text(c, str_n(m->key, m->key_n));
        int code = node(c, m->value, depth + 1, &all[n].schema);
        if (code < 0 || !all[n].name) {
            return code < 0 ? code : -E_NOMEM;
        }
        s->flags |= all[n].schema->flags & BELOW;
        n++;
    }
    qsort(all, n, sizeof(*all), by_name);
    s->properties = intern(c, all, n * sizeof(*all));
    s->n_properties = (uint32_t)n;
    return s->properties ? 0 : -E_NOMEM;
}

static uint8_t type_of(const char *name)
{
    static const char *const names[] = {
        [CRD_OBJECT] = "object",   [CRD_ARRAY] = "array",   [CRD_STRING] = "string",
        [CRD_INTEGER] = "integer", [CRD_NUMBER] = "number", [CRD_BOOLEAN] = "boolean"};
    for (uint8_t i = CRD_OBJECT; i < ARRAY_SIZE(names); i++) {
        if (cstr_eq(name, names[i])) {
            return i;
        }
    }
    return CRD_ANY;
}

static uint8_t merge_of(const struct json *j)
{
    const char *list = json_cstr(json_get(j, "x-kubernetes-list-type"), "");
    const char *map = json_cstr(json_get(j, "x-kubernetes-map-type"), "");
    if (cstr_eq(list, "atomic") || cstr_eq(map, "atomic")) {
        return CRD_MERGE_ATOMIC;
    }
    return cstr_eq(list, "set")       ? CRD_MERGE_SET
           : cstr_eq(list, "map")     ? CRD_MERGE_MAP
           : cstr_eq(map, "granular") ? CRD_MERGE_GRANULAR
                                      : CRD_MERGE_UNSET;
}

static uint16_t flags_of(const struct json *j)
{
    static const struct {
        const char *name;
        uint16_t flags;
    } names[] = {
        {"nullable", CRD_F_NULLABLE},
        {"x-kubernetes-int-or-string", CRD_F_INT_OR_STRING},
        {"x-kubernetes-preserve-unknown-fields", CRD_F_PRESERVE},
        {"x-kubernetes-embedded-resource", CRD_F_EMBEDDED | CRD_F_HAS_EMBEDDED},
        {"additionalProperties", CRD_F_ANY_MEMBER}, /* when it is no schema but true */
    };
    uint16_t flags = 0;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        flags |= json_true(json_get(j, names[i].name), false) ? names[i].flags : 0;
    }
    return flags;
}

static int node(struct compile *c, const struct json *j, int depth, const struct crd_schema **ret)
{
    struct crd_schema s;
    memset(&s, 0, sizeof(s));
    if (depth > LIMIT_CRD_DEPTH || ++c->nodes > LIMIT_CRD_NODES) {
        return err_set(c->err, -E_LIMIT, "the schema is too large");
    }
    s.type = type_of(json_cstr(json_get(j, "type"), ""));
    s.merge = merge_of(j);
    s.flags = flags_of(j);
    if (s.merge == CRD_MERGE_SET || s.merge == CRD_MERGE_MAP) {
        s.flags |= CRD_F_HAS_SETS;
    }
    const struct json *items = json_get(j, "items");
    items = json_is(items, JSON_OBJECT) ? items : json_get(j, "additionalProperties");
    int code = properties(c, json_get(j, "properties"), depth, &s);
    if (code == 0 && json_is(items, JSON_OBJECT)) {
        code = node(c, items, depth + 1, &s.items);
        s.flags |= s.items ? s.items->flags & BELOW : 0;
    }
    code = code < 0 ? code : checks(c, j, depth, &s);
    if (code == 0) {
        *ret = intern(c, &s, sizeof(s));
        code = *ret ? 0 : -E_NOMEM;
    }
    return code;
}

int crd_schema_compile(struct arena *a, const struct json *schema, struct crd_regexes *regexes,
                       const struct crd_schema **ret, struct err *err)
{
    struct compile c = {.a = a, .regexes = regexes, .err = err};
    int code = node(&c, schema, 0, ret);
    map_fini(&c.seen, NULL);
    map_fini(&c.values, NULL);
    map_fini(&c.patterns, NULL);
    if (code == -E_NOMEM) {
        (void)err_set(err, code, "out of memory");
    }
    return code;
}

/* ---- reading ---- */

const struct crd_schema *crd_schema_property(const struct crd_schema *s, struct str name)
{
    size_t low = 0, high = s ? s->n_properties : 0;
    while (low < high) {
        size_t mid = (low + high) / 2;
        int c = str_cmp(name, str_of(s->properties[mid].name));
        if (c == 0) {
            return s->properties[mid].schema;
        }
        if (c < 0) {
            high = mid;
        } else {
            low = mid + 1;
        }
    }
    return NULL;
}

const struct crd_schema *crd_schema_member(const struct crd_schema *s, struct str name)
{
    const struct crd_schema *p = crd_schema_property(s, name);
    return p || !s || s->type == CRD_ARRAY ? p : s->items;
}

const char *const *crd_schema_keys(const struct crd_schema *s)
{
    static const char *const none[] = {NULL};
    return s && s->checks && s->checks->list_keys ? s->checks->list_keys : none;
}

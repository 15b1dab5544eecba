/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON trees in an arena: building, reading, comparing. Parsing is in json_parse.c, printing in
 * json_print.c.
 *
 * A container's slots live in its arena and are grown by doubling; the old slots stay behind until
 * the arena is freed. An object of INDEX_FROM members or more has an index: an open-addressing
 * table of positions + 1, twice as large as the slots, rebuilt when the slots grow or a member is
 * deleted.
 */
#include "json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"

#define INDEX_FROM 16u
#define DEPTH_MAX 1024 /* of trees built by code; parsed ones are bounded by LIMIT_JSON_DEPTH */

static struct json *node(struct arena *a, enum json_type type)
{
    struct json *j =
        a ? arena_zalloc(a, sizeof(*j)) : NULL; /* no arena: of a container that is NULL */
    if (j) {
        j->type = type;
        j->arena = a;
    }
    return j;
}

struct json *json_object(struct arena *a)
{
    return node(a, JSON_OBJECT);
}

struct json *json_array(struct arena *a)
{
    return node(a, JSON_ARRAY);
}

struct json *json_null(struct arena *a)
{
    return node(a, JSON_NULL);
}

struct json *json_string_n(struct arena *a, struct str s)
{
    struct json *j = s.n < UINT32_MAX ? node(a, JSON_STRING) : NULL;
    if (!j) {
        return NULL;
    }
    j->s = arena_str(a, s);
    j->n = (uint32_t)s.n;
    return j->s ? j : NULL;
}

struct json *json_string(struct arena *a, const char *s)
{
    return s ? json_string_n(a, str_of(s)) : NULL;
}

struct json *json_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = a ? arena_vprintf(a, fmt, ap) : NULL;
    va_end(ap);
    struct json *j = s ? node(a, JSON_STRING) : NULL;
    if (j) {
        j->s = s;
        j->n = (uint32_t)strlen(s);
    }
    return j;
}

struct json *json_int(struct arena *a, int64_t v)
{
    struct json *j = node(a, JSON_INT);
    if (j) {
        j->i = v;
    }
    return j;
}

struct json *json_real(struct arena *a, double v)
{
    struct json *j = isfinite(v) ? node(a, JSON_REAL) : NULL; /* JSON has no infinity and no NaN */
    if (!j) {
        return NULL;
    }
    j->d = v;
    j->s = arena_printf(a, "%.17g", v);
    for (int digits = 1; j->s && digits < 17;
         digits++) { /* the shortest text that reads back the same */
        char text[40];
        double back;
        (void)snprintf(text, sizeof(text), "%.*g", digits, v);
        if (str_double(str_of(text), &back) == 0 && back == v) {
            j->s = arena_strdup(a, text);
            break;
        }
    }
    j->n = j->s ? (uint32_t)strlen(j->s) : 0;
    return j->s ? j : NULL;
}

struct json *json_bool(struct arena *a, bool v)
{
    struct json *j = node(a, JSON_BOOL);
    if (j) {
        j->b = v;
    }
    return j;
}

/* ---- objects ---- */

static uint32_t key_hash(struct str key)
{
    return (uint32_t)hash_bytes(key.p, key.n);
}

static void index_insert(struct json *obj, uint32_t pos)
{
    uint32_t mask = obj->cap * 2 - 1;
    uint32_t i = obj->members[pos].hash & mask;
    while (obj->index[i]) {
        i = (i + 1) & mask;
    }
    obj->index[i] = pos + 1;
}

static void index_build(struct json *obj)
{
    obj->index = arena_zalloc(obj->arena, (size_t)obj->cap * 2 * sizeof(*obj->index));
    for (uint32_t i = 0; obj->index && i < obj->n; i++) {
        struct json_member *m = &obj->members[i];
        m->hash = key_hash(str_n(m->key, m->key_n));
        index_insert(obj, i);
    }
}

static bool is_key(const struct json_member *m, struct str key)
{
    return m->key_n == key.n && (key.n == 0 || memcmp(m->key, key.p, key.n) == 0);
}

/* Position of a member, or obj->n. */
static uint32_t find(const struct json *obj, struct str key)
{
    if (obj->index) {
        uint32_t hash = key_hash(key), mask = obj->cap * 2 - 1;
        for (uint32_t i = hash & mask; obj->index[i]; i = (i + 1) & mask) {
            const struct json_member *m = &obj->members[obj->index[i] - 1];
            if (m->hash == hash && is_key(m, key)) {
                return obj->index[i] - 1;
            }
        }
        return obj->n;
    }
    for (uint32_t i = 0; i < obj->n; i++) {
        const struct json_member *m = &obj->members[i];
        if (is_key(m, key)) {
            return i;
        }
    }
    return obj->n;
}

static bool grow_members(struct json *obj)
{
    uint32_t cap = obj->cap ? obj->cap * 2 : 4;
    struct json_member *m =
        cap > obj->cap ? arena_grow(obj->arena, obj->members, obj->n * sizeof(*m), cap * sizeof(*m))
                       : NULL;
    if (!m) {
        return false;
    }
    obj->members = m;
    obj->cap = cap;
    if (cap > INDEX_FROM) {
        index_build(obj);
        return obj->index != NULL;
    }
    return true;
}

struct json *json_set_n(struct json *obj, struct str key, struct json *value)
{
    if (!json_is(obj, JSON_OBJECT) || !value || key.n >= UINT32_MAX) {
        return value;
    }
    uint32_t at = find(obj, key);
    if (at < obj->n) {
        obj->members[at].value = value;
        return value;
    }
    char *copy = arena_str(obj->arena, key);
    if (!copy || (obj->n == obj->cap && !grow_members(obj))) {
        return value; /* the arena remembers that it failed */
    }
    obj->members[obj->n] =
        (struct json_member){.key = copy, .key_n = (uint32_t)key.n, .value = value};
    if (obj->index) {
        obj->members[obj->n].hash = key_hash(key);
        index_insert(obj, obj->n);
    }
    obj->n++;
    return value;
}

struct json *json_set(struct json *obj, const char *key, struct json *value)
{
    return json_set_n(obj, str_of(key), value);
}

void json_set_str(struct json *obj, const char *key, const char *s)
{
    if (obj && s) {
        json_set(obj, key, json_string(obj->arena, s));
    }
}

void json_set_int(struct json *obj, const char *key, int64_t v)
{
    if (obj) {
        json_set(obj, key, json_int(obj->arena, v));
    }
}

void json_set_bool(struct json *obj, const char *key, bool v)
{
    if (obj) {
        json_set(obj, key, json_bool(obj->arena, v));
    }
}

static struct json *ensure(struct json *obj, const char *key, enum json_type type)
{
    struct json *v = json_get(obj, key);
    if (!json_is(v, type) && json_is(obj, JSON_OBJECT)) {
        v = json_set(obj, key, node(obj->arena, type));
    }
    return v;
}

struct json *json_ensure_object(struct json *obj, const char *key)
{
    return ensure(obj, key, JSON_OBJECT);
}

struct json *json_ensure_array(struct json *obj, const char *key)
{
    return ensure(obj, key, JSON_ARRAY);
}

bool json_del_n(struct json *obj, struct str key)
{
    uint32_t at = json_is(obj, JSON_OBJECT) ? find(obj, key) : 0;
    if (!json_is(obj, JSON_OBJECT) || at == obj->n) {
        return false;
    }
    memmove(&obj->members[at], &obj->members[at + 1], (obj->n - at - 1) * sizeof(*obj->members));
    obj->n--;
    if (obj->index) {
        memset(obj->index, 0, (size_t)obj->cap * 2 * sizeof(*obj->index));
        for (uint32_t i = 0; i < obj->n; i++) {
            index_insert(obj, i);
        }
    }
    return true;
}

bool json_del(struct json *obj, const char *key)
{
    return json_del_n(obj, str_of(key));
}

struct json *json_get_n(const struct json *obj, struct str key)
{
    if (!json_is(obj, JSON_OBJECT)) {
        return NULL;
    }
    uint32_t at = find(obj, key);
    return at < obj->n ? obj->members[at].value : NULL;
}

struct json *json_get(const struct json *obj, const char *key)
{
    return json_get_n(obj, str_of(key));
}

/* ---- arrays ---- */

static bool grow_items(struct json *arr)
{
    uint32_t cap = arr->cap ? arr->cap * 2 : 4;
    struct json **items = cap > arr->cap ? arena_grow(arr->arena, arr->items,
                                                      arr->n * sizeof(*items), cap * sizeof(*items))
                                         : NULL;
    if (!items) {
        return false;
    }
    arr->items = items;
    arr->cap = cap;
    return true;
}

void json_insert(struct json *arr, size_t at, struct json *value)
{
    if (!json_is(arr, JSON_ARRAY) || !value) {
        return;
    }
    assert(at <= arr->n);
    if (arr->n == arr->cap && !grow_items(arr)) {
        return; /* the arena remembers that it failed */
    }
    memmove(&arr->items[at + 1], &arr->items[at], (arr->n - at) * sizeof(*arr->items));
    arr->items[at] = value;
    arr->n++;
}

struct json *json_push(struct json *arr, struct json *value)
{
    json_insert(arr, json_len(arr), value);
    return value;
}

void json_remove(struct json *arr, size_t at)
{
    if (json_is(arr, JSON_ARRAY)) {
        assert(at < arr->n);
        memmove(&arr->items[at], &arr->items[at + 1], (arr->n - at - 1) * sizeof(*arr->items));
        arr->n--;
    }
}

void json_replace(struct json *arr, size_t at, struct json *value)
{
    if (json_is(arr, JSON_ARRAY) && value) {
        assert(at < arr->n);
        arr->items[at] = value;
    }
}

struct json *json_at(const struct json *arr, size_t i)
{
    return json_is(arr, JSON_ARRAY) && i < arr->n ? arr->items[i] : NULL;
}

struct json **json_items_(const struct json *arr, struct json ***ret_end)
{
    bool some = json_is(arr, JSON_ARRAY) && arr->n;
    *ret_end = some ? arr->items + arr->n : NULL;
    return some ? arr->items : NULL;
}

struct json_member *json_members_(const struct json *obj, struct json_member **ret_end)
{
    bool some = json_is(obj, JSON_OBJECT) && obj->n;
    *ret_end = some ? obj->members + obj->n : NULL;
    return some ? obj->members : NULL;
}

/* ---- whole trees ---- */

static struct json *clone(struct arena *a, const struct json *j, int depth)
{
    if (!j || depth > DEPTH_MAX) {
        a->failed |= j != NULL;
        return NULL;
    }
    struct json *c = node(a, j->type);
    if (!c) {
        return NULL;
    }
    switch (j->type) {
    case JSON_OBJECT:
        JSON_FOR_EACH_MEMBER (m, j) {
            json_set_n(c, str_n(m->key, m->key_n), clone(a, m->value, depth + 1));
        }
        break;
    case JSON_ARRAY:
        JSON_FOR_EACH (item, j) {
            json_push(c, clone(a, item, depth + 1));
        }
        break;
    case JSON_STRING:
    case JSON_REAL:
        c->n = j->n;
        c->d = j->d;
        c->s = arena_strndup(a, j->s, j->n);
        break;
    default:
        c->i = j->i;
        break;
    }
    return c;
}

struct json *json_clone(struct arena *a, const struct json *j)
{
    return clone(a, j, 0);
}

static bool object_equal(const struct json *a, const struct json *b, int depth);

static bool equal(const struct json *a, const struct json *b, int depth)
{
    if (!a || !b || depth > DEPTH_MAX) {
        return a == b;
    }
    if (a->type != b->type) {
        bool numbers = (a->type == JSON_INT || a->type == JSON_REAL) &&
                       (b->type == JSON_INT || b->type == JSON_REAL);
        return numbers && json_double(a, 0) == json_double(b, 0);
    }
    switch (a->type) {
    case JSON_NULL:
        return true;
    case JSON_BOOL:
        return a->b == b->b;
    case JSON_INT:
        return a->i == b->i;
    case JSON_REAL:
        return a->d == b->d;
    case JSON_STRING:
        return a->n == b->n && memcmp(a->s, b->s, a->n) == 0;
    case JSON_ARRAY:
        for (uint32_t i = 0; a->n == b->n && i < a->n; i++) {
            if (!equal(a->items[i], b->items[i], depth + 1)) {
                return false;
            }
        }
        return a->n == b->n;
    case JSON_OBJECT:
        return object_equal(a, b, depth);
    }
    return false;
}

static bool object_equal(const struct json *a, const struct json *b, int depth)
{
    if (a->n != b->n) {
        return false;
    }
    for (uint32_t i = 0; i < a->n; i++) {
        const struct json_member *m = &a->members[i], *same = &b->members[i];
        struct str key = str_n(m->key, m->key_n);
        /* Usually both have the same order: look at the same place first. */
        struct json *other =
            str_eq(key, str_n(same->key, same->key_n)) ? same->value : json_get_n(b, key);
        if (!other || !equal(m->value, other, depth + 1)) {
            return false;
        }
    }
    return true;
}

bool json_equal(const struct json *a, const struct json *b)
{
    return equal(a, b, 0);
}

/* ---- reading ---- */

struct json *json_path(const struct json *j, const char *path)
{
    struct str rest = str_of(path), name;
    while (rest.n && j) {
        (void)str_cut(rest, '.', &name, &rest); /* without a dot, all of it is the name */
        j = json_get_n(j, name);
    }
    return (struct json *)j;
}

const char *json_cstr(const struct json *j, const char *def)
{
    return json_is(j, JSON_STRING) ? j->s : def;
}

struct str json_text(const struct json *j)
{
    return json_is(j, JSON_STRING) ? str_n(j->s, j->n) : STR_NULL;
}

int64_t json_i64(const struct json *j, int64_t def)
{
    if (json_is(j, JSON_REAL) && j->d == floor(j->d) && fabs(j->d) < 9007199254740992.0) {
        return (int64_t)j->d;
    }
    return json_is(j, JSON_INT) ? j->i : def;
}

double json_double(const struct json *j, double def)
{
    if (json_is(j, JSON_INT)) {
        return (double)j->i;
    }
    return json_is(j, JSON_REAL) ? j->d : def;
}

bool json_true(const struct json *j, bool def)
{
    return json_is(j, JSON_BOOL) ? j->b : def;
}

const char *json_path_cstr(const struct json *j, const char *path, const char *def)
{
    return json_cstr(json_path(j, path), def);
}

int64_t json_path_i64(const struct json *j, const char *path, int64_t def)
{
    return json_i64(json_path(j, path), def);
}

bool json_path_true(const struct json *j, const char *path, bool def)
{
    return json_true(json_path(j, path), def);
}

const char *json_type_name(enum json_type t)
{
    static const char *const names[] = {"null",   "boolean", "integer", "number",
                                        "string", "array",   "object"};
    return (size_t)t < ARRAY_SIZE(names) ? names[t] : "?";
}

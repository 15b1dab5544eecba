/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values: made from JSON in place, read as lists and maps whatever they are made of, compared.
 *
 * A list or map that is still JSON converts its elements one by one when they are read, by the
 * declared type that came with it.
 */
#include <math.h>
#include <stdio.h>

#include "base/map.h"
#include "cel_private.h"

enum { MAP_INDEX_FROM = 12 }; /* entries from which a map is hashed */

struct cel_value cel_bool(bool b)
{
    return (struct cel_value){.kind = CEL_BOOL, .b = b};
}

struct cel_value cel_int(int64_t i)
{
    return (struct cel_value){.kind = CEL_INT, .i = i};
}

struct cel_value cel_uint(uint64_t u)
{
    return (struct cel_value){.kind = CEL_UINT, .u = u};
}

struct cel_value cel_double(double d)
{
    return (struct cel_value){.kind = CEL_DOUBLE, .d = d};
}

struct cel_value cel_string(struct str s)
{
    return (struct cel_value){.kind = CEL_STRING, .n = (uint32_t)s.n, .s = s.p ? s.p : ""};
}

struct cel_value cel_bytes(struct str s)
{
    return (struct cel_value){.kind = CEL_BYTES, .n = (uint32_t)s.n, .s = s.p ? s.p : ""};
}

struct cel_value cel_lazy(void)
{
    return cel_of(CEL_DYN);
}

struct cel_value cel_null(void)
{
    return cel_of(CEL_NULL);
}

struct cel_value cel_error(struct str text)
{
    return (struct cel_value){.kind = CEL_ERROR, .n = (uint32_t)text.n, .s = text.p ? text.p : ""};
}

struct cel_value cel_opaque(enum cel_kind kind, const void *p)
{
    return (struct cel_value){.kind = kind, .opaque = p};
}

struct cel_value cel_timestamp(int64_t seconds, uint32_t nanos)
{
    return (struct cel_value){.kind = CEL_TIMESTAMP, .n = nanos, .i = seconds};
}

struct cel_value cel_duration(int64_t nanos)
{
    return (struct cel_value){.kind = CEL_DURATION, .i = nanos};
}

struct cel_value cel_type_value(const struct cel_type *t)
{
    return (struct cel_value){.kind = CEL_TYPE, .type_value = t};
}

struct cel_value cel_optional(struct arena *a, const struct cel_value *v)
{
    struct cel_value o = cel_of(CEL_OPTIONAL);
    o.optional = v ? arena_dup(a, v, sizeof(*v)) : NULL;
    return o;
}

struct cel_value cel_list_value(struct arena *a, const struct cel_value *items, uint32_t n)
{
    struct cel_list *l = arena_alloc(a, sizeof(*l));
    if (!l) {
        return cel_null();
    }
    *l = (struct cel_list){n, items};
    return (struct cel_value){.kind = CEL_LIST, .list = l};
}

/* ---- from JSON ---- */

static struct cel_value string_as(const struct json *j, const struct cel_type *t)
{
    struct cel_value v;
    struct str s = json_text(j);
    switch (t ? t->kind : CEL_DYN) {
    case CEL_TIMESTAMP: {
        char full[40];
        if (s.n == 10) { /* a date */
            int n = snprintf(full, sizeof(full), "%.10sT00:00:00Z", s.p);
            s = str_n(full, (size_t)n);
        }
        return cel_time_parse(s, &v) ? v : cel_error(STR_LIT("unexpected value: not a timestamp"));
    }
    case CEL_DURATION:
        return cel_duration_parse(s, &v) ? v
                                         : cel_error(STR_LIT("unexpected value: not a duration"));
    case CEL_BYTES:
        v = cel_bytes(s);
        v.in_json = 1; /* still base64: the evaluator decodes it when it is read */
        return v;
    default:
        return cel_string(s);
    }
}

static struct cel_value number_as(const struct json *j, const struct cel_type *t)
{
    enum cel_kind want = t ? t->kind : CEL_DYN;
    if (j->type == JSON_INT) {
        return want == CEL_DOUBLE              ? cel_double((double)j->i)
               : want == CEL_UINT && j->i >= 0 ? cel_uint((uint64_t)j->i)
                                               : cel_int(j->i);
    }
    bool whole =
        j->d >= -9223372036854775808.0 && j->d < 9223372036854775808.0 && j->d == trunc(j->d);
    return want == CEL_INT && whole ? cel_int((int64_t)j->d) : cel_double(j->d);
}

struct cel_value cel_from_json(const struct json *j, const struct cel_type *t)
{
    switch (j ? j->type : JSON_NULL) {
    case JSON_BOOL:
        return cel_bool(j->b);
    case JSON_INT:
    case JSON_REAL:
        return number_as(j, t);
    case JSON_STRING:
        return string_as(j, t);
    case JSON_ARRAY:
        return (struct cel_value){
            .kind = CEL_LIST, .in_json = 1, .j = j, .type = t && t->kind == CEL_LIST ? t : NULL};
    case JSON_OBJECT: {
        bool object = t && t->kind == CEL_OBJECT;
        return (struct cel_value){.kind = object ? CEL_OBJECT : CEL_MAP,
                                  .in_json = 1,
                                  .j = j,
                                  .type = object || (t && t->kind == CEL_MAP) ? t : NULL};
    }
    case JSON_NULL:
        break;
    }
    return cel_null();
}

/* ---- lists and maps ---- */

uint32_t cel_length(const struct cel_value *v)
{
    if (v->in_json) {
        return v->j->n;
    }
    return v->kind == CEL_LIST ? v->list->n : v->map->n;
}

struct cel_value cel_item(const struct cel_value *list, uint32_t i)
{
    if (list->in_json) {
        return cel_from_json(list->j->items[i], list->type ? list->type->elem : NULL);
    }
    return list->list->items[i];
}

struct cel_value cel_key_at(const struct cel_value *map, uint32_t i)
{
    if (map->in_json) {
        return cel_string(str_n(map->j->members[i].key, map->j->members[i].key_n));
    }
    return map->map->entries[i].key;
}

static const struct cel_field *field_by_json(const struct cel_type *t, const char *name)
{
    for (uint32_t i = 0; i < t->n_fields; i++) {
        if (cstr_eq(t->fields[i].json_name, name)) {
            return &t->fields[i];
        }
    }
    return NULL;
}

struct cel_value cel_value_at(const struct cel_value *map, uint32_t i)
{
    if (!map->in_json) {
        return map->map->entries[i].value;
    }
    const struct json_member *m = &map->j->members[i];
    const struct cel_type *t = map->type ? map->type->elem : NULL;
    if (map->kind == CEL_OBJECT) {
        const struct cel_field *f = field_by_json(map->type, m->key);
        t = f ? f->type : NULL;
    }
    return cel_from_json(m->value, t);
}

bool cel_map_get_field(const struct cel_value *map, struct str field, struct cel_value *ret)
{
    if (!map->in_json) {
        struct cel_value key = cel_string(field);
        return cel_map_get(map, &key, ret);
    }
    const struct cel_type *t = map->type ? map->type->elem : NULL;
    const struct json *j;
    if (map->kind == CEL_OBJECT) {
        const struct cel_field *f = cel_type_field(map->type, field);
        j = f ? json_get(map->j, f->json_name) : NULL;
        t = f ? f->type : NULL;
    } else {
        j = json_get_n(map->j, field);
    }
    if (j) {
        *ret = cel_from_json(j, t);
    }
    return j != NULL;
}

bool cel_is_key(const struct cel_value *v)
{
    return v->kind == CEL_BOOL || v->kind == CEL_INT || v->kind == CEL_UINT ||
           v->kind == CEL_STRING;
}

/* Equal keys hash alike across int, uint and double. */
static uint64_t key_hash(const struct cel_value *key)
{
    if (key->kind == CEL_STRING) {
        return hash_bytes(key->s, key->n);
    }
    uint64_t bits = key->kind == CEL_BOOL     ? (uint64_t)key->b
                    : key->kind == CEL_DOUBLE ? (uint64_t)(int64_t)key->d
                                              : key->u;
    return hash_bytes(&bits, sizeof(bits));
}

static uint32_t *index_slot(const struct cel_map *m, const struct cel_value *key)
{
    uint32_t at = (uint32_t)key_hash(key) & (m->index_cap - 1);
    while (m->index[at] && !cel_equal(&m->entries[m->index[at] - 1].key, key)) {
        at = (at + 1) & (m->index_cap - 1);
    }
    return &m->index[at];
}

static const struct cel_entry *map_find(const struct cel_map *m, const struct cel_value *key)
{
    if (m->index) {
        bool lossy = key->kind == CEL_DOUBLE && !(fabs(key->d) < 9.3e18);
        uint32_t at = lossy ? 0 : *index_slot(m, key);
        return at ? &m->entries[at - 1] : NULL;
    }
    for (uint32_t i = 0; i < m->n; i++) {
        if (cel_equal(&m->entries[i].key, key)) {
            return &m->entries[i];
        }
    }
    return NULL;
}

bool cel_map_get(const struct cel_value *map, const struct cel_value *key, struct cel_value *ret)
{
    if (map->in_json) {
        return key->kind == CEL_STRING && cel_map_get_field(map, cel_text(key), ret);
    }
    const struct cel_entry *e = map_find(map->map, key);
    if (e) {
        *ret = e->value;
    }
    return e != NULL;
}

static bool map_grow(struct arena *a, struct cel_map *m)
{
    uint32_t cap = m->cap ? m->cap * 2 : 8;
    struct cel_entry *grown =
        arena_grow(a, m->entries, m->cap * sizeof(*grown), cap * sizeof(*grown));
    if (!grown) {
        return false;
    }
    m->entries = grown;
    m->cap = cap;
    if (cap < MAP_INDEX_FROM) {
        return true;
    }
    m->index_cap = cap * 2;
    m->index = arena_zalloc(a, m->index_cap * sizeof(*m->index));
    for (uint32_t i = 0; m->index && i < m->n; i++) {
        *index_slot(m, &m->entries[i].key) = i + 1;
    }
    return m->index != NULL;
}

bool cel_map_add(struct arena *a, struct cel_map *m, struct cel_value key, struct cel_value value)
{
    if (map_find(m, &key) || (m->n == m->cap && !map_grow(a, m))) {
        return false;
    }
    if (m->index) {
        *index_slot(m, &key) = m->n + 1;
    }
    m->entries[m->n++] = (struct cel_entry){key, value};
    return true;
}

struct cel_value cel_map_value(struct cel_map *m)
{
    return (struct cel_value){.kind = CEL_MAP, .map = m};
}

struct cel_value cel_map_of(struct arena *a, const struct str *keys, const struct cel_value *values,
                            uint32_t n)
{
    struct cel_map *m = arena_zalloc(a, sizeof(*m));
    for (uint32_t i = 0; m && i < n; i++) {
        (void)cel_map_add(a, m, cel_string(keys[i]), values[i]); /* the first of a name counts */
    }
    return m && !arena_failed(a) ? cel_map_value(m) : cel_null();
}

/* ---- comparison ---- */

static int order_of(double a, double b)
{
    return a < b ? -1 : a > b;
}

/* Against a double an integer counts as the nearest double, as in cel-go. */
static double as_double(const struct cel_value *v)
{
    return v->kind == CEL_INT ? (double)v->i : v->kind == CEL_UINT ? (double)v->u : v->d;
}

static int order_numbers(const struct cel_value *a, const struct cel_value *b, bool *ok)
{
    if (a->kind == CEL_DOUBLE || b->kind == CEL_DOUBLE) {
        double x = as_double(a), y = as_double(b);
        *ok = !isnan(x) && !isnan(y);
        return order_of(x, y);
    }
    bool negative = a->kind == CEL_INT && a->i < 0;
    bool other_negative = b->kind == CEL_INT && b->i < 0;
    if (negative != other_negative) {
        return negative ? -1 : 1;
    }
    if (negative) {
        return a->i < b->i ? -1 : a->i > b->i;
    }
    return a->u < b->u ? -1 : a->u > b->u;
}

static bool is_number(const struct cel_value *v)
{
    return v->kind == CEL_INT || v->kind == CEL_UINT || v->kind == CEL_DOUBLE;
}

int cel_order(const struct cel_value *a, const struct cel_value *b, bool *ok)
{
    *ok = true;
    if (is_number(a) && is_number(b)) {
        return order_numbers(a, b, ok);
    }
    if (a->kind != b->kind) {
        *ok = false;
        return 0;
    }
    switch (a->kind) {
    case CEL_BOOL:
        return (int)a->b - (int)b->b;
    case CEL_STRING:
    case CEL_BYTES:
        return str_cmp(cel_text(a), cel_text(b));
    case CEL_DURATION:
        return a->i < b->i ? -1 : a->i > b->i;
    case CEL_TIMESTAMP:
        return a->i != b->i ? (a->i < b->i ? -1 : 1) : a->n < b->n ? -1 : a->n > b->n;
    default:
        *ok = false;
        return 0;
    }
}

static bool equal_at(const struct cel_value *a, const struct cel_value *b, unsigned depth);

static bool contains_at(const struct cel_value *list, const struct cel_value *v, unsigned depth)
{
    for (uint32_t i = 0; i < cel_length(list); i++) {
        struct cel_value item = cel_item(list, i);
        if (equal_at(&item, v, depth)) {
            return true;
        }
    }
    return false;
}

static bool is_unordered(const struct cel_value *v)
{
    return v->in_json && v->type && v->type->list_type != CEL_LIST_ATOMIC;
}

static bool equal_lists(const struct cel_value *a, const struct cel_value *b, unsigned depth)
{
    uint32_t n = cel_length(a);
    if (n != cel_length(b)) {
        return false;
    }
    bool unordered = is_unordered(a) || is_unordered(b);
    for (uint32_t i = 0; i < n; i++) {
        struct cel_value x = cel_item(a, i), y = cel_item(b, i);
        if (!equal_at(&x, &y, depth) && !(unordered && contains_at(b, &x, depth))) {
            return false;
        }
    }
    return true;
}

/* As cel_map_get(), but the keys of objects are those of JSON, as cel_key_at() gives them. */
static bool get_by_json_name(const struct cel_value *map, const struct cel_value *key,
                             struct cel_value *ret)
{
    if (map->kind != CEL_OBJECT || !map->in_json) {
        return cel_map_get(map, key, ret);
    }
    const struct json *j = key->kind == CEL_STRING ? json_get_n(map->j, cel_text(key)) : NULL;
    if (j) {
        const struct cel_field *f = field_by_json(map->type, key->s);
        *ret = cel_from_json(j, f ? f->type : NULL);
    }
    return j != NULL;
}

static bool equal_maps(const struct cel_value *a, const struct cel_value *b, unsigned depth)
{
    uint32_t n = cel_length(a);
    if (n != cel_length(b)) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct cel_value key = cel_key_at(a, i), x = cel_value_at(a, i), y;
        if (!get_by_json_name(b, &key, &y) || !equal_at(&x, &y, depth)) {
            return false;
        }
    }
    return true;
}

static bool equal_opaque(const struct cel_value *a, const struct cel_value *b)
{
    switch (a->kind) {
    case CEL_QUANTITY:
        return quantity_cmp(*(const struct quantity *)a->opaque,
                            *(const struct quantity *)b->opaque) == 0;
    case CEL_IP:
        return memcmp(a->opaque, b->opaque, sizeof(struct cel_ip)) == 0;
    case CEL_CIDR: {
        const struct cel_cidr *x = a->opaque, *y = b->opaque;
        return x->prefix == y->prefix && memcmp(&x->ip, &y->ip, sizeof(x->ip)) == 0;
    }
    case CEL_URL:
        return str_eq(((const struct cel_url *)a->opaque)->raw,
                      ((const struct cel_url *)b->opaque)->raw);
    case CEL_FORMAT:
        return cstr_eq(((const struct cel_format *)a->opaque)->name,
                       ((const struct cel_format *)b->opaque)->name);
    case CEL_SEMVER: {
        const struct cel_semver *x = a->opaque, *y = b->opaque;
        return memcmp(x->part, y->part, sizeof(x->part)) == 0 && str_eq(x->pre, y->pre);
    }
    default:
        return false;
    }
}

static bool equal_types(const struct cel_type *a, const struct cel_type *b)
{
    return a->kind == b->kind && (a->kind != CEL_OBJECT || cstr_eq(a->name, b->name));
}

static bool is_map(const struct cel_value *v)
{
    return v->kind == CEL_MAP || v->kind == CEL_OBJECT;
}

static bool equal_at(const struct cel_value *a, const struct cel_value *b, unsigned depth)
{
    bool ok;
    if (depth > LIMIT_CEL_DEPTH + LIMIT_JSON_DEPTH) {
        return false;
    }
    if (is_map(a) && is_map(b)) {
        return equal_maps(a, b, depth + 1);
    }
    if (is_number(a) && is_number(b)) {
        return cel_order(a, b, &ok) == 0 && ok;
    }
    if (a->kind != b->kind) {
        return false;
    }
    switch (a->kind) {
    case CEL_NULL:
        return true;
    case CEL_LIST:
        return equal_lists(a, b, depth + 1);
    case CEL_TYPE:
        return equal_types(a->type_value, b->type_value);
    case CEL_OPTIONAL:
        return a->optional && b->optional ? equal_at(a->optional, b->optional, depth + 1)
                                          : a->optional == b->optional;
    case CEL_BOOL:
    case CEL_STRING:
    case CEL_BYTES:
    case CEL_TIMESTAMP:
    case CEL_DURATION:
        return cel_order(a, b, &ok) == 0;
    default:
        return equal_opaque(a, b);
    }
}

bool cel_equal(const struct cel_value *a, const struct cel_value *b)
{
    return equal_at(a, b, 0);
}

const struct cel_type *cel_type_of_value(const struct cel_value *v)
{
    return v->kind == CEL_TYPE ? &cel_type_type : cel_type_simple(v->kind);
}

uint64_t cel_runes(struct str s)
{
    uint64_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    }
    return n;
}

uint64_t cel_size_of(const struct cel_value *v)
{
    switch (v->kind) {
    case CEL_STRING:
        return cel_runes(cel_text(v));
    case CEL_BYTES:
        return v->n;
    case CEL_LIST:
    case CEL_MAP:
    case CEL_OBJECT:
        return cel_length(v);
    default:
        return 1;
    }
}

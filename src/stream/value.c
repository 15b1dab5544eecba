/* SPDX-License-Identifier: Apache-2.0 */
/* Copies, sameness and order of values; see value.h. */
/* Values: copies, sameness and hash, order, and what a JSON tree becomes. */
#include "value.h"

#include <math.h>
#include <string.h>

#include "base/map.h"

static const char *const type_names[VALUE_TYPE_NR] = {
    [VALUE_ABSENT] = "null",   [VALUE_NULL] = "null",   [VALUE_BOOL] = "boolean",
    [VALUE_INT] = "bigint",    [VALUE_FLOAT] = "float", [VALUE_TIME] = "datetime",
    [VALUE_STRING] = "string", [VALUE_BYTES] = "bytea", [VALUE_ARRAY] = "array",
    [VALUE_OBJECT] = "struct",
};

const char *value_type_name(enum value_type t)
{
    return t < VALUE_TYPE_NR ? type_names[t] : "null";
}

const char *value_type_go(enum value_type t)
{
    static const char *const names[VALUE_TYPE_NR] = {
        [VALUE_ABSENT] = "<nil>",
        [VALUE_NULL] = "<nil>",
        [VALUE_BOOL] = "bool",
        [VALUE_INT] = "int64",
        [VALUE_FLOAT] = "float64",
        [VALUE_TIME] = "time.Time",
        [VALUE_STRING] = "string",
        [VALUE_BYTES] = "[]uint8",
        [VALUE_ARRAY] = "[]interface {}",
        [VALUE_OBJECT] = "map[string]interface {}",
    };
    return t < VALUE_TYPE_NR ? names[t] : "<nil>";
}

/* ---- copies ---- */

/* Depth of what comes from outside is bounded by its parser (LIMIT_EVENT_DEPTH). */
struct value value_copy(struct arena *a, const struct value *v)
{
    struct value out = *v;
    if (v->type == VALUE_STRING || v->type == VALUE_BYTES) {
        out.s = v->n > 0 ? arena_dup(a, v->s, v->n) : "";
    } else if (v->type == VALUE_ARRAY) {
        struct value *items = arena_alloc(a, (v->n + 1) * sizeof(*items));
        for (uint32_t i = 0; items && i < v->n; i++) {
            items[i] = value_copy(a, &v->items[i]);
        }
        out.items = items;
    } else if (v->type == VALUE_OBJECT) {
        struct value_member *members = arena_alloc(a, (v->n + 1) * sizeof(*members));
        for (uint32_t i = 0; members && i < v->n; i++) {
            char *key = arena_str(a, v->members[i].key);
            members[i].key = str_n(key, key ? v->members[i].key.n : 0);
            members[i].value = value_copy(a, &v->members[i].value);
        }
        out.members = members;
    }
    return arena_failed(a) ? VALUE_OF_NULL : out;
}

size_t value_size(const struct value *v)
{
    size_t n = 0;
    switch (v->type) {
    case VALUE_STRING:
    case VALUE_BYTES:
        return v->n;
    case VALUE_ARRAY:
        for (uint32_t i = 0; i < v->n; i++) {
            n += sizeof(struct value) + value_size(&v->items[i]);
        }
        return n;
    case VALUE_OBJECT:
        for (uint32_t i = 0; i < v->n; i++) {
            n += sizeof(struct value_member) + v->members[i].key.n +
                 value_size(&v->members[i].value);
        }
        return n;
    default:
        return 0;
    }
}

const struct value *value_get(const struct value *v, struct str key)
{
    if (v->type != VALUE_OBJECT) {
        return NULL;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (str_eq(v->members[i].key, key)) {
            return &v->members[i].value;
        }
    }
    return NULL;
}

/* ---- sameness ---- */

static bool same_members(const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const struct value *other = value_get(b, a->members[i].key);
        if (!other || !value_same(&a->members[i].value, other)) {
            return false;
        }
    }
    return true;
}

static bool same_items(const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < a->n; i++) {
        if (!value_same(&a->items[i], &b->items[i])) {
            return false;
        }
    }
    return true;
}

bool value_same(const struct value *a, const struct value *b)
{
    if (value_is_null(a) || value_is_null(b)) {
        return value_is_null(a) && value_is_null(b);
    }
    if (value_is_number(a) && value_is_number(b)) {
        return value_order(a, b) == 0;
    }
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case VALUE_BOOL:
        return a->b == b->b;
    case VALUE_TIME:
        return a->i == b->i;
    case VALUE_STRING:
    case VALUE_BYTES:
        return str_eq(value_text(a), value_text(b));
    case VALUE_ARRAY:
        return a->n == b->n && same_items(a, b);
    default:
        return a->n == b->n && same_members(a, b);
    }
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9E3779B97F4A7C15);
    return h ^ h >> 29;
}

/* A float that is a whole number hashes as the integer. */
static uint64_t hash_number(const struct value *v, uint64_t seed)
{
    uint64_t bits;
    if (v->type == VALUE_INT) {
        return mix(seed, (uint64_t)v->i);
    }
    if (v->f >= -9223372036854775808.0 && v->f < 9223372036854775808.0 && v->f == trunc(v->f)) {
        return mix(seed, (uint64_t)(int64_t)v->f);
    }
    double f = isnan(v->f) ? (double)NAN : v->f;
    memcpy(&bits, &f, sizeof(bits));
    return mix(seed, bits);
}

uint64_t value_hash(const struct value *v, uint64_t seed)
{
    uint64_t h = 0;
    if (value_is_null(v)) {
        return mix(seed, 1);
    }
    if (value_is_number(v)) {
        return hash_number(v, seed);
    }
    switch (v->type) {
    case VALUE_BOOL:
        return mix(seed, 2u + v->b);
    case VALUE_TIME:
        return mix(seed, (uint64_t)v->i ^ 4);
    case VALUE_STRING:
    case VALUE_BYTES:
        return mix(seed, hash_bytes(v->s, v->n));
    case VALUE_ARRAY:
        for (uint32_t i = 0; i < v->n; i++) {
            seed = value_hash(&v->items[i], seed);
        }
        return mix(seed, v->n);
    default: /* members count in any order */
        for (uint32_t i = 0; i < v->n; i++) {
            h += value_hash(&v->members[i].value,
                            hash_bytes(v->members[i].key.p, v->members[i].key.n));
        }
        return mix(seed, h);
    }
}

/* ---- order ---- */

static int order_int(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

/* NaN stands before all other numbers. */
static int order_float(double a, double b)
{
    if (isnan(a) || isnan(b)) {
        return (int)isnan(b) - (int)isnan(a);
    }
    return (a > b) - (a < b);
}

/* Exact, also where a double cannot hold the integer. */
static int order_mixed(int64_t i, double f)
{
    if (isnan(f)) {
        return 1;
    }
    if (f >= 9223372036854775808.0) {
        return -1;
    }
    if (f < -9223372036854775808.0) {
        return 1;
    }
    int64_t whole = (int64_t)f;
    int c = order_int(i, whole);
    return c != 0 ? c : order_float(0, f - (double)whole);
}

static int order_numbers(const struct value *a, const struct value *b)
{
    if (a->type == b->type) {
        return a->type == VALUE_INT ? order_int(a->i, b->i) : order_float(a->f, b->f);
    }
    return a->type == VALUE_INT ? order_mixed(a->i, b->f) : -order_mixed(b->i, a->f);
}

static int rank(const struct value *v)
{
    static const int ranks[VALUE_TYPE_NR] = {
        [VALUE_ABSENT] = 0, [VALUE_NULL] = 0,  [VALUE_BOOL] = 1,   [VALUE_INT] = 2,
        [VALUE_FLOAT] = 2,  [VALUE_TIME] = 3,  [VALUE_STRING] = 4, [VALUE_BYTES] = 5,
        [VALUE_ARRAY] = 6,  [VALUE_OBJECT] = 7};
    return ranks[v->type];
}

static int order_lists(const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        int c = a->type == VALUE_ARRAY ? value_order(&a->items[i], &b->items[i])
                                       : str_cmp(a->members[i].key, b->members[i].key);
        if (c == 0 && a->type == VALUE_OBJECT) {
            c = value_order(&a->members[i].value, &b->members[i].value);
        }
        if (c != 0) {
            return c;
        }
    }
    return order_int(a->n, b->n);
}

int value_order(const struct value *a, const struct value *b)
{
    int c = rank(a) - rank(b);
    if (c != 0) {
        return c;
    }
    switch (rank(a)) {
    case 0:
        return 0;
    case 1:
        return (int)a->b - (int)b->b;
    case 2:
        return order_numbers(a, b);
    case 3:
        return order_int(a->i, b->i);
    case 4:
    case 5:
        return str_cmp(value_text(a), value_text(b));
    default:
        return order_lists(a, b);
    }
}

/* ---- JSON trees ---- */

struct value value_from_json(struct arena *a, const struct json *j)
{
    if (!j || j->type == JSON_NULL) {
        return VALUE_OF_NULL;
    }
    switch (j->type) {
    case JSON_BOOL:
        return value_bool(j->b);
    case JSON_INT:
    case JSON_REAL:
        return j->type == JSON_INT ? value_int(j->i) : value_float(j->d);
    case JSON_STRING:
        return value_string(json_text(j));
    default:
        break;
    }
    struct value out = {.type = j->type == JSON_ARRAY ? VALUE_ARRAY : VALUE_OBJECT,
                        .n = (uint32_t)json_len(j)};
    if (j->type == JSON_ARRAY) {
        struct value *items = arena_alloc(a, (out.n + 1) * sizeof(*items));
        for (uint32_t k = 0; items && k < out.n; k++) {
            items[k] = value_from_json(a, json_at(j, k));
        }
        out.items = items;
        return items ? out : VALUE_OF_NULL;
    }
    struct value_member *members = arena_alloc(a, (out.n + 1) * sizeof(*members));
    uint32_t n = 0;
    JSON_FOR_EACH_MEMBER (m, j) {
        if (members) {
            members[n++] =
                (struct value_member){str_n(m->key, m->key_n), value_from_json(a, m->value)};
        }
    }
    out.members = members;
    return members ? out : VALUE_OF_NULL;
}

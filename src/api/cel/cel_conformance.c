/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs tests of the public conformance data, for conformance_test.py: a line of JSON in, a line
 * out.
 *
 *      in   {"expr", "container", "check", "mixed", "cross", "vars": [{"name", "type"}],
 *            "bindings": {name: ExprValue}}            (types and values as protobuf prints them)
 *      out  {"type": text} and {"value": Value} or {"error": text} or {"compileError": text}
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/encode.h"
#include "cel_private.h"

enum { LINE_MAX_BYTES = 1 << 20, VARS_MAX = 32 };

/* ---- types ---- */

static const struct cel_type *type_of(struct arena *a, const struct json *j);

static const struct cel_type *simple_type(const char *name)
{
    static const struct {
        const char *name;
        const struct cel_type *type;
    } types[] = {
        {"BOOL", &cel_type_bool},         {"INT64", &cel_type_int},
        {"UINT64", &cel_type_uint},       {"DOUBLE", &cel_type_double},
        {"STRING", &cel_type_string},     {"BYTES", &cel_type_bytes},
        {"DURATION", &cel_type_duration}, {"TIMESTAMP", &cel_type_timestamp},
    };
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (cstr_eq(name, types[i].name)) {
            return types[i].type;
        }
    }
    return NULL;
}

/* A google.api.expr Type; NULL when it is none that is known here. */
static const struct cel_type *type_of(struct arena *a, const struct json *j)
{
    const struct json *part;
    const char *name = json_path_cstr(j, "primitive", json_path_cstr(j, "wellKnown", NULL));
    if (name) {
        return simple_type(name);
    }
    if ((part = json_get(j, "listType"))) {
        const struct cel_type *elem = type_of(a, json_get(part, "elemType"));
        return elem ? cel_type_list(a, elem) : NULL;
    }
    if ((part = json_get(j, "mapType"))) {
        const struct cel_type *key = type_of(a, json_get(part, "keyType"));
        const struct cel_type *elem = type_of(a, json_get(part, "valueType"));
        return key && elem ? cel_type_map(a, key, elem) : NULL;
    }
    if ((part = json_get(j, "abstractType"))) {
        const struct json *of = json_at(json_get(part, "parameterTypes"), 0);
        const struct cel_type *elem = of ? type_of(a, of) : NULL;
        bool optional = cstr_eq(json_path_cstr(part, "name", NULL), "optional_type");
        return optional && elem ? cel_type_of(a, CEL_OPTIONAL, elem) : NULL;
    }
    if (json_get(j, "type")) {
        return &cel_type_type;
    }
    return json_get(j, "dyn") ? &cel_type_dyn : json_get(j, "null") ? &cel_type_null : NULL;
}

/* ---- values in ---- */

static bool value_of(struct arena *a, const struct json *j, struct cel_value *ret);

static double double_of(const struct json *j)
{
    const char *text = json_cstr(j, NULL);
    return text ? strtod(text, NULL) : json_double(j, 0);
}

static bool list_of(struct arena *a, const struct json *values, struct cel_value *ret)
{
    uint32_t n = (uint32_t)json_len(values);
    struct cel_value *items = arena_alloc(a, (n + 1) * sizeof(*items));
    for (uint32_t i = 0; items && i < n; i++) {
        if (!value_of(a, json_at(values, i), &items[i])) {
            return false;
        }
    }
    *ret = cel_list_value(a, items, n);
    return items != NULL;
}

static bool map_of(struct arena *a, const struct json *entries, struct cel_value *ret)
{
    struct cel_map *m = arena_zalloc(a, sizeof(*m));
    JSON_FOR_EACH (e, entries) {
        struct cel_value key, value;
        if (!m || !value_of(a, json_get(e, "key"), &key) ||
            !value_of(a, json_get(e, "value"), &value) || !cel_map_add(a, m, key, value)) {
            return false;
        }
    }
    *ret = cel_map_value(m);
    return m != NULL;
}

static bool object_of(const struct json *j, struct cel_value *ret)
{
    const char *type = json_path_cstr(j, "@type", "");
    struct str text = json_text(json_get(j, "value"));
    if (strstr(type, "google.protobuf.Duration")) {
        return cel_duration_parse(text, ret);
    }
    return strstr(type, "google.protobuf.Timestamp") && cel_time_parse(text, ret);
}

static bool value_of(struct arena *a, const struct json *j, struct cel_value *ret)
{
    const struct json *v;
    if ((v = json_get(j, "int64Value"))) {
        int64_t i = json_i64(v, 0);
        *ret = cel_int(v->type == JSON_STRING && str_i64(json_text(v), &i) < 0 ? 0 : i);
    } else if ((v = json_get(j, "uint64Value"))) {
        uint64_t u = (uint64_t)json_i64(v, 0);
        *ret = cel_uint(v->type == JSON_STRING && str_u64(json_text(v), &u) < 0 ? 0 : u);
    } else if ((v = json_get(j, "doubleValue"))) {
        *ret = cel_double(double_of(v));
    } else if ((v = json_get(j, "boolValue"))) {
        *ret = cel_bool(json_true(v, false));
    } else if ((v = json_get(j, "stringValue"))) {
        *ret = cel_string(json_text(v));
    } else if ((v = json_get(j, "bytesValue"))) {
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        if (base64_decode(&out, json_text(v)) < 0) {
            return false;
        }
        *ret = cel_bytes(str_n(arena_str(a, buf_str(&out)), buf_len(&out)));
    } else if (json_get(j, "nullValue")) {
        *ret = cel_null();
    } else if ((v = json_get(j, "listValue"))) {
        return list_of(a, json_get(v, "values"), ret);
    } else if ((v = json_get(j, "mapValue"))) {
        return map_of(a, json_get(v, "entries"), ret);
    } else if ((v = json_get(j, "typeValue"))) {
        const struct cel_type *t = cel_type_named(json_text(v));
        *ret = cel_type_value(t);
        return t != NULL;
    } else if ((v = json_get(j, "objectValue"))) {
        return object_of(v, ret);
    } else {
        return false;
    }
    return true;
}

/* ---- one test ---- */

/* As cel_equal(), but kinds must agree too, and NaN is itself. */
static bool same(const struct cel_value *a, const struct cel_value *b)
{
    if (a->kind != b->kind) {
        return false;
    }
    if (a->kind == CEL_DOUBLE) {
        return a->d == b->d || (isnan(a->d) && isnan(b->d));
    }
    if (a->kind == CEL_LIST) {
        bool equal = cel_length(a) == cel_length(b);
        for (uint32_t i = 0; equal && i < cel_length(a); i++) {
            struct cel_value x = cel_item(a, i), y = cel_item(b, i);
            equal = same(&x, &y);
        }
        return equal;
    }
    return cel_equal(a, b);
}

static const char *run_test(struct arena *a, const struct json *test, struct json *out)
{
    struct cel_var vars[VARS_MAX];
    struct cel_value values[VARS_MAX], got, want;
    uint32_t n = 0;
    struct err err;
    JSON_FOR_EACH (v, json_get(test, "vars")) {
        const char *name = json_path_cstr(v, "name", NULL);
        const struct cel_type *type = type_of(a, json_get(v, "type"));
        const struct json *bound = json_get(json_get(json_get(test, "bindings"), name), "value");
        if (n == VARS_MAX || !name || !type) {
            return "unknown declaration";
        }
        vars[n] = (struct cel_var){name, type};
        values[n] = cel_error(STR_LIT("no such attribute"));
        if (bound && !value_of(a, bound, &values[n])) {
            return "unknown binding";
        }
        n++;
    }
    struct cel_compile_opts opts = {
        .vars = vars,
        .n_vars = n,
        .flags = CEL_F_EXT | (json_path_true(test, "check", true) ? CEL_F_CHECKED : 0) |
                 (json_path_true(test, "cross", true) ? CEL_F_CROSS_TYPE : 0) | CEL_F_MIXED_LISTS,
        .container = json_path_cstr(test, "container", "")};
    CLEANUP(cel_program_freep) struct cel_program *p = NULL;
    CLEANUP(buf_finip) struct buf issues = BUF_INIT;
    opts.issues = &issues;
    if (cel_compile(json_text(json_get(test, "expr")), &opts, &p, &err) < 0) {
        (void)json_set(out, "compileError", json_string_n(a, buf_str(&issues)));
        return NULL;
    }
    json_set_str(out, "type", cel_program_type(p));
    struct cel_input in = {.arena = a, .vars = values};
    if (cel_eval(p, &in, &got, NULL, NULL, &err) < 0) {
        json_set_str(out, "error", err.text);
        return NULL;
    }
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    (void)cel_print(&text, &got);
    (void)json_set(out, "value", json_string_n(a, buf_str(&text)));
    const struct json *expected = json_get(test, "value");
    if (expected) {
        if (!value_of(a, expected, &want)) {
            return "unknown value";
        }
        json_set_bool(out, "same", same(&got, &want));
    }
    return NULL;
}

int main(void)
{
    char *line = mem_alloc(LINE_MAX_BYTES);
    while (line && fgets(line, LINE_MAX_BYTES, stdin)) {
        struct arena a;
        struct json *test, *out;
        CLEANUP(buf_finip) struct buf text = BUF_INIT;
        arena_init(&a, 0);
        out = json_object(&a);
        if (json_parse(&a, str_of(line), NULL, &test, NULL) < 0) {
            json_set_str(out, "unsupported", "not JSON");
        } else {
            json_set_str(out, "unsupported", run_test(&a, test, out));
        }
        (void)json_print(&text, out);
        (void)printf(STR_FMT "\n", STR_ARG(buf_str(&text)));
        arena_fini(&a);
    }
    mem_free(line);
    return 0;
}

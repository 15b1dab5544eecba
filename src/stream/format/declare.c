/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Declared types of streams: conversion of what a decoder found, or in strict streams (option
 * STRICT_VALIDATION) a check that lets only values of the same kind pass. Texts of errors are
 * eKuiper's.
 */
#include "base/encode.h"
#include "base/mem.h"
#include "fill.h"
#include "stream/sql/ast.h"

static int refuse(const struct value *v, const char *wanted, struct err *err)
{
    CLEANUP(buf_finip) struct buf text;
    buf_init(&text, 512);
    if (value_is_null(v)) {
        (void)buf_puts(&text, "<nil>"); /* what does not fit is cut */
    } else {
        (void)value_print_text(&text, v);
    }
    return err_set(err, -E_INVAL, "cannot convert %s(" STR_FMT ") to %s", value_type_go(v->type),
                   STR_ARG(buf_str(&text)), wanted);
}

/* What the JSON of a value is called in eKuiper's messages. */
static const char *json_type(const struct value *v)
{
    switch ((enum value_type)v->type) {
    case VALUE_BOOL:
        return v->b ? "true" : "false";
    case VALUE_INT:
    case VALUE_FLOAT:
        return "number";
    case VALUE_ARRAY:
        return "array";
    case VALUE_OBJECT:
        return "object";
    case VALUE_NULL:
    case VALUE_ABSENT:
        return "null";
    default:
        return "string";
    }
}

static int from_base64(struct arena *a, struct value *v, struct err *err)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    if (base64_decode(&out, value_text(v)) < 0) {
        return err_set(err, -E_INVAL, "illegal string " STR_FMT ", must be base64 encoded string",
                       STR_ARG(str_n(v->s, MIN_OF(v->n, 100u))));
    }
    const char *bytes = arena_dup(a, buf_data(&out), buf_len(&out));
    *v = (struct value){.type = VALUE_BYTES, .n = bytes ? (uint32_t)buf_len(&out) : 0, .s = bytes};
    return 0;
}

static int to_time(const struct declare *d, struct value *v, struct err *err)
{
    int64_t us;
    int rc = fill_instant(d->opts, v, &us, err);
    if (rc == 0) {
        *v = (struct value){.type = VALUE_TIME, .i = us};
    }
    return rc;
}

static bool whole_number(const struct value *v)
{
    return v->type == VALUE_FLOAT && v->f >= -9223372036854775808.0 &&
           v->f < 9223372036854775808.0 && v->f == (double)(int64_t)v->f;
}

/* Scalars of strict streams: the same kind, where nothing is lost. */
static int check(const struct declare *d, enum value_type type, struct value *v, struct err *err)
{
    switch (type) {
    case VALUE_INT:
        if (whole_number(v)) {
            *v = value_int((int64_t)v->f);
        }
        return v->type == VALUE_INT ? 0 : refuse(v, "int64", err);
    case VALUE_FLOAT:
        if (v->type == VALUE_INT) {
            *v = value_float((double)v->i);
        }
        return v->type == VALUE_FLOAT ? 0 : refuse(v, "float64", err);
    case VALUE_BOOL:
        return v->type == VALUE_BOOL ? 0 : refuse(v, "bool", err);
    case VALUE_STRING:
        return v->type == VALUE_STRING ? 0 : refuse(v, "string", err);
    case VALUE_TIME:
        return to_time(d, v, err);
    default: /* VALUE_BYTES */
        return v->type == VALUE_BYTES    ? 0
               : v->type == VALUE_STRING ? from_base64(d->arena, v, err)
                                         : refuse(v, "bytes", err);
    }
}

/* Scalars of other streams. -E_INVAL with an empty text means: a value of a wrong type. */
static int convert(const struct declare *d, enum value_type type, struct value *v, struct err *err)
{
    struct value converted;
    bool number = value_is_number(v);
    if (type == VALUE_TIME) {
        return v->type == VALUE_STRING || number ? to_time(d, v, err) : -E_INVAL;
    }
    if (type == VALUE_BYTES) {
        return v->type == VALUE_STRING ? from_base64(d->arena, v, err) : -E_INVAL;
    }
    bool fits = type == VALUE_BOOL ? number || v->type == VALUE_STRING : number;
    if (!fits) {
        return -E_INVAL;
    }
    int rc = value_cast(d->arena, v, type, &converted, err);
    if (rc == 0) {
        *v = converted;
    }
    return rc;
}

/* A cell of a text format. */
static int parse_text(const struct declare *d, enum value_type type, struct value *v,
                      struct err *err)
{
    struct json *j;
    struct value converted;
    if (v->n == 0) {
        *v = VALUE_OF_NULL;
        return 0;
    }
    if (type == VALUE_TIME || type == VALUE_BYTES) {
        return convert(d, type, v, err);
    }
    if (type == VALUE_ARRAY || type == VALUE_OBJECT) {
        int bad = json_parse(d->arena, value_text(v), NULL, &j, err);
        if (bad == 0) {
            *v = value_from_json(d->arena, j);
        }
        return bad;
    }
    int rc = value_cast(d->arena, v, type, &converted, err);
    if (rc == 0) {
        *v = converted;
    }
    return rc;
}

static int convert_items(const struct declare *d, struct str name, const struct ast_type *element,
                         struct value *v, struct err *err)
{
    if (!element || element->type == VALUE_NULL) {
        return 0;
    }
    struct value *items = arena_dup(d->arena, v->items, v->n * sizeof(*items));
    int rc = items || v->n == 0 ? 0 : -E_LIMIT;
    for (uint32_t i = 0; rc == 0 && i < v->n; i++) {
        rc = declare_convert(d, name, element->type, element, &items[i], err);
    }
    v->items = items;
    return rc < 0 && d->strict ? err_wrap(err, rc, "array element type mismatch") : rc;
}

static int convert_members(const struct declare *d, const struct ast_type *type, struct value *v,
                           struct err *err)
{
    struct value_member *members = arena_dup(d->arena, v->members, v->n * sizeof(*members));
    int rc = members || v->n == 0 ? 0 : -E_LIMIT;
    for (uint32_t i = 0; rc == 0 && type && i < type->n_columns; i++) {
        const struct ast_column *c = &type->columns[i];
        uint32_t at = 0;
        while (at < v->n && !str_eq(members[at].key, c->name)) {
            at++;
        }
        if (at < v->n) {
            rc = declare_convert(d, c->name, c->type.type, &c->type, &members[at].value, err);
            if (rc < 0 && d->strict) {
                (void)err_wrap(err, rc, "field " STR_FMT " type mismatch", STR_ARG(c->name));
            }
        } else if (d->strict && c->fallback.type == VALUE_ABSENT) {
            rc = err_set(err, -E_INVAL, "field " STR_FMT " is not found", STR_ARG(c->name));
        }
    }
    v->members = members;
    return rc;
}

static int wrong_type(const struct declare *d, struct str name, enum value_type type,
                      const struct value *v, struct err *err)
{
    if (d->strict && type == VALUE_ARRAY) {
        return err_set(err, -E_INVAL, "expect array but got %s", value_type_go(v->type));
    }
    if (d->strict) {
        return err_set(err, -E_INVAL, "expect struct but found %s", value_type_go(v->type));
    }
    return err_set(err, -E_INVAL, STR_FMT " has wrong type:%s, expect:%s", STR_ARG(name),
                   json_type(v), value_type_name(type));
}

int declare_convert(const struct declare *d, struct str name, enum value_type type,
                    const struct ast_type *nested, struct value *v, struct err *err)
{
    struct err inner = {.code = 0};
    bool container = type == VALUE_ARRAY || type == VALUE_OBJECT;
    int rc = 0;
    if (type == VALUE_NULL || (value_is_null(v) && (!d->strict || container))) {
        return 0;
    }
    if (d->texts && v->type == VALUE_STRING && type != VALUE_STRING) {
        rc = parse_text(d, type, v, &inner);
    } else if (!container) {
        rc = d->strict                   ? check(d, type, v, &inner)
             : v->type == (uint32_t)type ? 0
                                         : convert(d, type, v, &inner);
    }
    if (rc == 0 && container && !value_is_null(v)) {
        if (v->type != (uint32_t)type) {
            return wrong_type(d, name, type, v, err);
        }
        rc = type == VALUE_ARRAY
                 ? convert_items(d, name, nested ? nested->element : NULL, v, &inner)
                 : convert_members(d, nested, v, &inner);
    }
    if (rc < 0 && inner.code == 0) {
        return wrong_type(d, name, type, v, err);
    }
    return rc < 0 ? err_set(err, rc, "%s", inner.text) : 0;
}

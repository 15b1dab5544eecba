/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks a tree and its type side by side. The place where it stands is a chain of frames on the
 * stack, printed only when there is something to say. The depth of the walk is bounded by
 * LIMIT_JSON_DEPTH, whatever the schema looks like.
 *
 * Invariant: check_value() leaves *v either normalised or NULL, which means "remove the member".
 */
#include "api/schema_check.h"

#include <string.h>

#include "api/quantity.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"

struct place {
    const struct place *up;
    const char *key;              /* a member */
    size_t index;                 /* an item, when key is NULL */
    const struct schema_type *in; /* the struct that holds the member; NULL below maps and lists */
    int depth;
};

struct check {
    struct arena *arena;
    struct json *unknown;   /* NULL when nobody asks */
    const char *conversion; /* see struct schema_report */
    struct err *err;
};

static int check_members(struct check *c, const struct schema_type *t, struct json *obj,
                         const struct place *at);

/* ---- texts ---- */

static void print_path(struct buf *out, const struct place *p, bool indexes)
{
    const struct place *chain[LIMIT_JSON_DEPTH + 1];
    int n = 0;
    for (; p && p->up && n <= LIMIT_JSON_DEPTH; p = p->up) {
        chain[n++] = p;
    }
    while (n-- > 0) {
        if (chain[n]->key) {
            buf_puts(out, buf_len(out) ? "." : "");
            buf_puts(out, chain[n]->key);
        } else if (indexes) {
            buf_printf(out, "[%zu]", chain[n]->index);
        }
    }
}

static void report_unknown(struct check *c, const struct place *at)
{
    if (!c->unknown || json_len(c->unknown) >= SCHEMA_REPORT_MAX) {
        return;
    }
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    print_path(&text, at, true);
    if (!buf_failed(&text)) {
        json_push(c->unknown,
                  json_printf(c->arena, "unknown field \"" STR_FMT "\"", STR_ARG(buf_str(&text))));
    }
}

/* How Go would name the type of a field. */
static void print_go_type(struct buf *out, const struct schema_field *f, bool whole)
{
    static const char *const names[SCHEMA_VALUE_NR] = {
        [SCHEMA_STRING] = "string",
        [SCHEMA_INT32] = "int32",
        [SCHEMA_INT64] = "int64",
        [SCHEMA_BOOL] = "bool",
        [SCHEMA_DOUBLE] = "float64",
        [SCHEMA_BYTES] = "[]uint8",
        [SCHEMA_QUANTITY] = "resource.Quantity",
        [SCHEMA_INT_OR_STRING] = "intstr.IntOrString",
        [SCHEMA_TIME] = "v1.Time",
        [SCHEMA_MICRO_TIME] = "v1.MicroTime",
        [SCHEMA_FIELDS_V1] = "v1.FieldsV1",
        [SCHEMA_RAW] = "runtime.RawExtension",
        [SCHEMA_ANY] = "interface {}",
        [SCHEMA_STRINGS] = "[]string",
        [SCHEMA_OBJECT_OR_LIST] = "v1.JSONSchemaPropsOrArray",
        [SCHEMA_OBJECT_OR_BOOL] = "v1.JSONSchemaPropsOrBool",
        [SCHEMA_OBJECT_OR_STRINGS] = "v1.JSONSchemaPropsOrStringArray",
    };
    if (whole && f->shape == SCHEMA_LIST) {
        buf_puts(out, "[]");
    } else if (whole && f->shape == SCHEMA_MAP) {
        buf_puts(out, "map[string]");
    }
    const struct schema_type *t = schema_field_type(f);
    if (t) {
        buf_printf(out, "v1.%s", schema_type_short(t));
    } else {
        buf_puts(out, names[f->value]);
    }
}

const char *schema_go_kind(const struct json *j)
{
    switch (j->type) {
    case JSON_BOOL:
        return "bool";
    case JSON_INT:
    case JSON_REAL:
        return "number";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "array";
    case JSON_OBJECT:
        return "object";
    default:
        return "null";
    }
}

/* The kind of a value in Go's unstructured objects. */
static const char *go_reflect_kind(const struct json *j)
{
    switch (j->type) {
    case JSON_BOOL:
        return "bool";
    case JSON_INT:
        return "int64";
    case JSON_REAL:
        return "float64";
    case JSON_STRING:
        return "string";
    case JSON_ARRAY:
        return "slice";
    default:
        return "map";
    }
}

/* runtime.DefaultUnstructuredConverter's words. */
static const char *conversion_words(struct arena *a, const struct schema_field *f,
                                    const struct json *j, bool whole)
{
    static const char *const simple[SCHEMA_VALUE_NR] = {[SCHEMA_STRING] = "string",
                                                        [SCHEMA_INT32] = "int32",
                                                        [SCHEMA_INT64] = "int64",
                                                        [SCHEMA_BOOL] = "bool",
                                                        [SCHEMA_DOUBLE] = "float64"};
    const char *from = go_reflect_kind(j);
    if (whole && f->shape == SCHEMA_LIST) {
        return arena_printf(a, "cannot restore slice from %s", from);
    }
    if (whole && f->shape == SCHEMA_MAP) {
        return arena_printf(a, "cannot restore map from %s", from);
    }
    if (schema_field_type(f)) {
        return arena_printf(a, "cannot restore struct from: %s", from);
    }
    const char *to = simple[f->value];
    if (!to || (j->type == JSON_INT && f->value != SCHEMA_STRING && f->value != SCHEMA_BOOL)) {
        return NULL;
    }
    bool converts = (j->type == JSON_INT && f->value == SCHEMA_STRING) ||
                    (j->type == JSON_REAL && f->value != SCHEMA_STRING && f->value != SCHEMA_BOOL);
    return converts ? arena_printf(a, "cannot convert %s to %s", from, to)
                    : arena_printf(a, "unrecognized type: %s", to);
}

/* whole: the value of the field itself has the wrong type, not an item or a map's value. */
static int wrong_type(struct check *c, const struct schema_field *f, const struct json *j,
                      const struct place *at, bool whole)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    const struct place *holder = at;
    c->conversion = conversion_words(c->arena, f, j, whole);
    while (holder->up && !holder->in) {
        holder = holder->up;
    }
    buf_printf(&text, "json: cannot unmarshal %s", schema_go_kind(j));
    bool number = j->type == JSON_INT || j->type == JSON_REAL;
    if (number && (f->value == SCHEMA_INT32 || f->value == SCHEMA_INT64)) {
        buf_putc(&text, ' ');
        (void)json_print(&text, j); /* a failure sticks to the buffer */
    }
    buf_printf(&text, " into Go struct field %s.", schema_type_short(holder->in));
    CLEANUP(buf_finip) struct buf path = BUF_INIT;
    print_path(&path, holder, false);
    (void)buf_append_str(&text, buf_str(&path));
    buf_puts(&text, " of type ");
    print_go_type(&text, f, whole);
    return buf_failed(&text) ? err_set(c->err, -E_NOMEM, "out of memory")
                             : err_set(c->err, -E_INVAL, STR_FMT, STR_ARG(buf_str(&text)));
}

/* ---- one value that is no list and no map ---- */

static int check_int(struct check *c, const struct schema_field *f, const struct json *j,
                     const struct place *at, bool whole)
{
    bool fits = j->type == JSON_INT &&
                (f->value == SCHEMA_INT64 || (j->i >= INT32_MIN && j->i <= INT32_MAX));
    return fits ? 0 : wrong_type(c, f, j, at, whole);
}

static int check_quantity(struct check *c, struct json **v)
{
    struct quantity q;
    int rc = quantity_from_json(*v, &q, c->err);
    if (rc < 0) {
        c->err->code = rc == -E_RANGE ? -E_INVAL : rc;
        return c->err->code;
    }
    char text[QUANTITY_TEXT_SIZE];
    (void)quantity_print(q, text); /* returns text */
    if (!str_is(json_text(*v), text)) {
        *v = json_string(c->arena, text);
    }
    return *v ? 0 : -E_NOMEM;
}

static int check_time(struct check *c, const struct schema_field *f, struct json **v,
                      const struct place *at, bool whole)
{
    struct wall t;
    if ((*v)->type != JSON_STRING) {
        return wrong_type(c, f, *v, at, whole);
    }
    struct str s = json_text(*v);
    if (time_parse(s, &t) < 0) {
        return err_set(c->err, -E_INVAL,
                       "parsing time \"" STR_FMT
                       "\" as \"2006-01-02T15:04:05Z07:00\": cannot parse",
                       STR_ARG(s));
    }
    char text[TIME_TEXT_SIZE];
    const char *utc = f->value == SCHEMA_TIME ? time_text(t, text) : time_text_micro(t, text);
    if (!str_is(s, utc)) {
        *v = json_string(c->arena, utc);
    }
    return *v ? 0 : -E_NOMEM;
}

/* Line breaks are accepted and taken out, for people paste base64 in several lines. */
static int check_bytes(struct check *c, const struct schema_field *f, struct json **v,
                       const struct place *at, bool whole)
{
    if ((*v)->type != JSON_STRING) {
        return wrong_type(c, f, *v, at, whole);
    }
    CLEANUP(buf_finip) struct buf lines = BUF_INIT;
    CLEANUP(buf_finip) struct buf bytes = BUF_INIT;
    struct str text = json_text(*v);
    if (text.n && (memchr(text.p, '\n', text.n) || memchr(text.p, '\r', text.n))) {
        for (size_t i = 0; i < text.n; i++) {
            if (text.p[i] != '\n' && text.p[i] != '\r') {
                buf_putc(&lines, text.p[i]);
            }
        }
        text = buf_str(&lines);
        *v = buf_failed(&lines) ? NULL : json_string_n(c->arena, text);
    }
    int rc = *v ? base64_decode(&bytes, text) : -E_NOMEM;
    return rc == -E_INVAL ? err_set(c->err, rc, "illegal base64 data in the field") : rc;
}

static bool all_strings(const struct json *list)
{
    JSON_FOR_EACH (item, list) {
        if (!json_is(item, JSON_STRING)) {
            return false;
        }
    }
    return json_is(list, JSON_ARRAY);
}

/* A value that has two forms: an object of a type, and another one. */
static int check_either(struct check *c, const struct schema_field *f, struct json *j,
                        const struct place *at, bool whole)
{
    const struct schema_type *t = schema_field_inner(f);
    if (at->depth >= LIMIT_JSON_DEPTH) {
        return err_set(c->err, -E_LIMIT, "the object is nested deeper than %d", LIMIT_JSON_DEPTH);
    }
    if (j->type == JSON_OBJECT) {
        return check_members(c, t, j, at);
    }
    if (f->value == SCHEMA_OBJECT_OR_LIST && j->type == JSON_ARRAY) {
        for (size_t i = 0; i < json_len(j); i++) {
            struct json *item = json_at(j, i);
            const struct place here = {.up = at, .index = i, .depth = at->depth + 1};
            int rc = json_is(item, JSON_OBJECT) ? check_members(c, t, item, &here)
                                                : wrong_type(c, f, item, at, whole);
            if (rc < 0) {
                return rc;
            }
        }
        return 0;
    }
    bool ok = (f->value == SCHEMA_OBJECT_OR_BOOL && j->type == JSON_BOOL) ||
              (f->value == SCHEMA_OBJECT_OR_STRINGS && all_strings(j));
    return ok ? 0 : wrong_type(c, f, j, at, whole);
}

static int check_one(struct check *c, const struct schema_field *f, struct json **v,
                     const struct place *at, bool whole)
{
    struct json *j = *v;
    bool ok = true;
    switch ((enum schema_value)f->value) {
    case SCHEMA_STRING:
        ok = j->type == JSON_STRING;
        break;
    case SCHEMA_BOOL:
        ok = j->type == JSON_BOOL;
        break;
    case SCHEMA_DOUBLE:
        ok = j->type == JSON_INT || j->type == JSON_REAL;
        break;
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        return check_int(c, f, j, at, whole);
    case SCHEMA_INT_OR_STRING:
        return j->type == JSON_STRING ? 0 : check_int(c, f, j, at, whole);
    case SCHEMA_BYTES:
        return check_bytes(c, f, v, at, whole);
    case SCHEMA_QUANTITY:
        return check_quantity(c, v);
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return check_time(c, f, v, at, whole);
    case SCHEMA_OBJECT:
        ok = j->type == JSON_OBJECT;
        if (ok) {
            return check_members(c, schema_field_type(f), j, at);
        }
        break;
    case SCHEMA_FIELDS_V1:
    case SCHEMA_RAW:
        ok = j->type == JSON_OBJECT;
        break;
    case SCHEMA_STRINGS:
        ok = all_strings(j);
        break;
    case SCHEMA_OBJECT_OR_LIST:
    case SCHEMA_OBJECT_OR_BOOL:
    case SCHEMA_OBJECT_OR_STRINGS:
        return check_either(c, f, j, at, whole);
    case SCHEMA_ANY:
    case SCHEMA_VALUE_NR:
        break;
    }
    return ok ? 0 : wrong_type(c, f, j, at, whole);
}

/* ---- lists and maps ---- */

/* What Go makes of a null in a list or a map: the zero value. */
static struct json *null_item(struct check *c, const struct schema_field *f)
{
    switch (f->value) {
    case SCHEMA_STRING:
    case SCHEMA_BYTES:
        return json_string(c->arena, "");
    case SCHEMA_OBJECT:
        return json_object(c->arena);
    case SCHEMA_BOOL:
        return json_bool(c->arena, false);
    case SCHEMA_QUANTITY:
        return json_string(c->arena, "0");
    case SCHEMA_STRINGS:
        return json_array(c->arena);
    case SCHEMA_OBJECT_OR_LIST:
    case SCHEMA_OBJECT_OR_BOOL:
    case SCHEMA_OBJECT_OR_STRINGS:
        return json_object(c->arena);
    default:
        return json_int(c->arena, 0);
    }
}

/* An item of a list or a value of a map. */
static int check_item(struct check *c, const struct schema_field *f, struct json **v,
                      const struct place *at)
{
    if ((*v)->type == JSON_NULL && f->value != SCHEMA_ANY) {
        *v = null_item(c, f);
        if (!*v) {
            return err_set(c->err, -E_NOMEM, "out of memory");
        }
    }
    return check_one(c, f, v, at, false);
}

static int check_list(struct check *c, const struct schema_field *f, struct json *list,
                      const struct place *at)
{
    for (size_t i = 0; i < json_len(list); i++) {
        struct json *item = json_at(list, i);
        struct place here = {.up = at, .index = i, .depth = at->depth + 1};
        int rc = check_item(c, f, &item, &here);
        if (rc < 0) {
            return rc;
        }
        json_replace(list, i, item);
    }
    return 0;
}

static int check_map(struct check *c, const struct schema_field *f, struct json *map,
                     const struct place *at)
{
    JSON_FOR_EACH_MEMBER (m, map) {
        struct place here = {.up = at, .key = m->key, .depth = at->depth + 1};
        int rc = check_item(c, f, &m->value, &here);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

static bool is_zero(const struct schema_field *f, const struct json *j)
{
    if (f->shape == SCHEMA_ONE && (f->value == SCHEMA_ANY || f->value == SCHEMA_OBJECT_OR_BOOL)) {
        return false; /* false, 0 and "" are values */
    }
    switch (j->type) {
    case JSON_STRING:
        return j->n == 0 && f->value != SCHEMA_INT_OR_STRING;
    case JSON_INT:
        return j->i == 0 && f->value != SCHEMA_INT_OR_STRING;
    case JSON_REAL:
        return j->d == 0;
    case JSON_BOOL:
        return !j->b;
    case JSON_ARRAY:
        return j->n == 0 && f->shape == SCHEMA_LIST;
    case JSON_OBJECT:
        return j->n == 0 && f->shape == SCHEMA_MAP;
    default:
        return false;
    }
}

/* *v becomes NULL when the member is to go. */
static int check_value(struct check *c, const struct schema_field *f, struct json **v,
                       const struct place *at)
{
    int rc;
    if ((*v)->type == JSON_NULL) {
        *v = NULL;
        return 0;
    }
    if (at->depth >= LIMIT_JSON_DEPTH) {
        return err_set(c->err, -E_LIMIT, "the object is nested deeper than %d", LIMIT_JSON_DEPTH);
    }
    if (f->shape == SCHEMA_LIST) {
        rc = (*v)->type == JSON_ARRAY ? check_list(c, f, *v, at) : wrong_type(c, f, *v, at, true);
    } else if (f->shape == SCHEMA_MAP) {
        rc = (*v)->type == JSON_OBJECT ? check_map(c, f, *v, at) : wrong_type(c, f, *v, at, true);
    } else {
        rc = check_one(c, f, v, at, true);
    }
    if (rc == 0 && !(f->flags & (SCHEMA_F_REQUIRED | SCHEMA_F_KEEP_ZERO)) && is_zero(f, *v)) {
        *v = NULL;
    }
    return rc;
}

/* Takes out the members whose value is NULL; in one go, for there may be very many. */
static int compact(struct check *c, struct json *obj)
{
    struct json *kept = json_object(c->arena);
    JSON_FOR_EACH_MEMBER (m, obj) {
        json_set_n(kept, str_n(m->key, m->key_n), m->value);
    }
    if (!kept || arena_failed(c->arena)) {
        return err_set(c->err, -E_NOMEM, "out of memory");
    }
    *obj = *kept;
    return 0;
}

static int check_members(struct check *c, const struct schema_type *t, struct json *obj,
                         const struct place *at)
{
    bool gone = false;
    JSON_FOR_EACH_MEMBER (m, obj) {
        const struct schema_field *f = schema_field_find(t, str_n(m->key, m->key_n));
        const struct place here = {.up = at, .key = m->key, .in = t, .depth = at->depth + 1};
        if (f) {
            int rc = check_value(c, f, &m->value, &here);
            if (rc < 0) {
                return rc;
            }
        } else if (!(t->flags & SCHEMA_T_PRESERVE)) {
            report_unknown(c, &here);
            m->value = NULL;
        }
        gone = gone || !m->value;
    }
    return gone ? compact(c, obj) : 0;
}

int schema_check(struct arena *a, const struct schema_type *t, struct json *obj,
                 struct schema_report *report, struct err *err)
{
    struct err own;
    struct check c = {.arena = a, .err = err ? err : &own};
    if (report) {
        c.unknown = report->unknown = json_array(a);
    }
    if (!json_is(obj, JSON_OBJECT)) {
        return err_set(err, -E_INVAL, "json: cannot unmarshal %s into Go value of type v1.%s",
                       obj ? schema_go_kind(obj) : "null", schema_type_short(t));
    }
    const struct place root = {.in = t};
    int rc = check_members(&c, t, obj, &root);
    if (report) {
        report->conversion = c.conversion;
    }
    return rc == -E_NOMEM || arena_failed(a) ? err_set(err, -E_NOMEM, "out of memory") : rc;
}

int schema_wrap_body_error(const struct schema_type *t, int code, struct err *err)
{
    struct str group, version, kind = str_of(schema_pool + t->gvks);
    if (!str_cut(kind, '/', &group, &kind) || !str_cut(kind, '/', &version, &kind)) {
        return code;
    }
    return err_wrap(err, code,
                    STR_FMT " in version \"" STR_FMT "\" cannot be handled as a " STR_FMT,
                    STR_ARG(kind), STR_ARG(version), STR_ARG(kind));
}

int schema_check_object(struct arena *a, const struct schema_type *t, struct json *obj,
                        struct schema_report *report, struct err *err)
{
    int rc = schema_check(a, t, obj, report, err);
    return rc < 0 ? schema_wrap_body_error(t, rc, err) : 0;
}

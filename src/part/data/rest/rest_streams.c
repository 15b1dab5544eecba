/* SPDX-License-Identifier: Apache-2.0 */
/* /streams and /tables: definitions of where events and rows come from. */
#include <stdlib.h>

#include "base/mem.h"
#include "rest_private.h"
#include "part/data/source/source.h"
#include "stream/sql/sql.h"

static const char *noun(bool table)
{
    return table ? "table" : "stream";
}

static bool is_lookup(const struct engine_stream *s)
{
    return str_iis(engine_stream_option(s, "KIND"), "lookup");
}

/* The stream of the path, or NULL after an answer. */
static struct engine_stream *find(struct rest_call *c, bool table, const char *prefix)
{
    struct engine_stream *s = engine_stream(c->data->engine, c->name);
    struct err err;
    if (s && engine_stream_is_table(s) == table) {
        return s;
    }
    (void)err_set(&err, -E_NOENT, "%s " STR_FMT " is not found", table ? "Table" : "Stream",
                  STR_ARG(c->name));
    rest_error(c, prefix, &err);
    return NULL;
}

/* "Stream ns/name" that defines it, or NULL. */
static const char *object_of(const struct engine_stream *s)
{
    const struct data_stream *ds = engine_stream_data(s);
    return ds ? ds->object : NULL;
}

/* ---- lists ---- */

/* ?kind=scan|lookup of tables */
static bool kind_fits(struct rest_call *c, const struct engine_stream *s)
{
    const char *kind = http_query_get(c->arena, c->query, "kind");
    return !kind || !engine_stream_is_table(s) || cstr_eq(kind, "") ||
           cstr_eq(kind, is_lookup(s) ? "lookup" : "scan");
}

static void list(struct rest_call *c, bool table, bool details)
{
    struct json *out = json_array(c->arena);
    for (struct engine_stream *s = NULL; (s = engine_stream_next(c->data->engine, s));) {
        if (engine_stream_is_table(s) != table || !kind_fits(c, s)) {
            continue;
        }
        if (!details) {
            json_push(out, json_string(c->arena, engine_stream_name(s)));
            continue;
        }
        struct str type = engine_stream_option(s, "TYPE");
        struct str format = engine_stream_option(s, "FORMAT");
        struct json *o = json_push(out, json_object(c->arena));
        json_set_str(o, "name", engine_stream_name(s));
        json_set(o, "type", json_string_n(c->arena, type.n ? type : STR_LIT("mqtt")));
        json_set(o, "format", json_string_n(c->arena, format.n ? format : STR_LIT("json")));
    }
    rest_json(c, 200, out);
}

void rest_streams_list(struct rest_call *c)
{
    list(c, false, false);
}

void rest_tables_list(struct rest_call *c)
{
    list(c, true, false);
}

void rest_stream_details(struct rest_call *c)
{
    list(c, false, true);
}

void rest_table_details(struct rest_call *c)
{
    list(c, true, true);
}

/* ---- description ---- */

static struct json *schema_of(struct arena *a, const struct ast_column *columns, uint32_t n);

/* {"type": "array", "items": {...}}; nesting is bounded by the parser */
static struct json *type_schema(struct arena *a, const struct ast_type *t)
{
    struct json *o = json_object(a);
    json_set_str(o, "type", value_type_name(t->type));
    if (t->type == VALUE_ARRAY && t->element) {
        json_set(o, "items", type_schema(a, t->element));
    } else if (t->type == VALUE_OBJECT) {
        json_set(o, "properties", schema_of(a, t->columns, t->n_columns));
    }
    return o;
}

static struct json *schema_of(struct arena *a, const struct ast_column *columns, uint32_t n)
{
    struct json *o = json_object(a);
    for (uint32_t i = 0; i < n; i++) {
        json_set_n(o, columns[i].name, type_schema(a, &columns[i].type));
    }
    return o;
}

static struct json *fields_of(struct arena *a, const struct ast_column *columns, uint32_t n);

/* "bigint", or {"Type": "array", "ElementType": ...}, {"Type": "struct", "Fields": [...]} */
static struct json *field_type(struct arena *a, const struct ast_type *t)
{
    if (t->type != VALUE_ARRAY && t->type != VALUE_OBJECT) {
        return json_string(a, value_type_name(t->type));
    }
    struct json *o = json_object(a);
    json_set_str(o, "Type", value_type_name(t->type));
    if (t->type == VALUE_ARRAY && t->element) {
        json_set(o, "ElementType", field_type(a, t->element));
    } else if (t->type == VALUE_OBJECT) {
        json_set(o, "Fields", fields_of(a, t->columns, t->n_columns));
    }
    return o;
}

static struct json *fields_of(struct arena *a, const struct ast_column *columns, uint32_t n)
{
    struct json *list = json_array(a);
    for (uint32_t i = 0; i < n; i++) {
        struct json *o = json_push(list, json_object(a));
        json_set(o, "Name", json_string_n(a, columns[i].name));
        json_set(o, "FieldType", field_type(a, &columns[i].type));
    }
    return list;
}

static void describe(struct rest_call *c, bool table)
{
    struct engine_stream *s =
        find(c, table, table ? "describe table error" : "describe stream error");
    struct ast_statement *st;
    struct err err;
    if (!s) {
        return;
    }
    if (sql_parse(c->arena, str_of(engine_stream_ddl(s)), &st, &err) < 0) {
        rest_error(c, "describe", &err);
        return;
    }
    struct json *o = json_object(c->arena);
    json_set_str(o, "Name", engine_stream_name(s));
    json_set(o, "StreamFields", fields_of(c->arena, st->columns, st->n_columns));
    struct json *options = json_ensure_object(o, "Options");
    for (uint32_t i = 0; i < st->n_options; i++) {
        json_set_n(options, st->options[i].key, json_string_n(c->arena, st->options[i].value));
    }
    json_set_int(o, "StreamType", table);
    json_set_str(o, "Statement", engine_stream_ddl(s));
    rest_json(c, 200, o);
}

void rest_stream_get(struct rest_call *c)
{
    describe(c, false);
}

void rest_table_get(struct rest_call *c)
{
    describe(c, true);
}

void rest_stream_schema(struct rest_call *c)
{
    struct ast_statement *st;
    struct err err;
    bool table = str_starts(c->path, "tables");
    struct engine_stream *s = find(c, table, "get schema error");
    if (!s) {
        return;
    }
    if (sql_parse(c->arena, str_of(engine_stream_ddl(s)), &st, &err) < 0) {
        rest_error(c, "get schema error", &err);
        return;
    }
    rest_json(c, 200, schema_of(c->arena, st->columns, st->n_columns));
}

/* ---- definition ---- */

/* undo_arg: the name, 0, and for a replaced definition its former text. */
static void undo_create(struct rest_call *c)
{
    char *name = c->undo_arg;
    struct engine_stream *s = engine_stream(c->data->engine, str_of(name));
    if (s) {
        (void)data_drop(c->data, str_of(name), engine_stream_is_table(s), NULL);
    }
}

static void undo_with_text(struct rest_call *c)
{
    const char *name;
    (void)data_define(c->data, str_of(c->undo_arg), true, &name, NULL);
}

/* "Stream demo is created.": any statement about streams, as eKuiper allows. */
static void run_statement(struct rest_call *c, struct str sql)
{
    struct ast_statement *st;
    struct err err;
    const char *prefix =
        str_starts(c->path, "tables") ? "Table command error" : "Stream command error";
    const char *name;
    int rc = sql_parse(c->arena, sql, &st, &err);
    if (rc == 0 && st->kind != AST_CREATE) {
        rc = err_set(&err, -E_INVAL,
                     "only CREATE is taken here: use GET to show and describe, DELETE to drop");
    }
    rc = rc < 0 ? rc : data_define(c->data, sql, false, &name, &err);
    if (rc < 0) {
        rest_error(c, prefix, &err);
        return;
    }
    rest_keep(c, 201, "streams", str_of(name), sql, undo_create, mem_strdup(name),
              "%s %s is created.", st->table ? "Table" : "Stream", name);
}

void rest_streams_create(struct rest_call *c)
{
    struct json *body = rest_body(c);
    struct err err;
    if (!body) {
        return;
    }
    struct str sql = json_text(json_get(body, "sql"));
    if (sql.n == 0) {
        (void)err_set(&err, -E_INVAL, "sql is missing");
        rest_error(c, "Invalid body", &err);
        return;
    }
    run_statement(c, sql);
}

static void replace(struct rest_call *c, bool table)
{
    struct json *body = rest_body(c);
    const char *prefix = table ? "Table command error" : "Stream command error";
    struct ast_statement *st;
    struct err err;
    const char *name;
    if (!body) {
        return;
    }
    struct str sql = json_text(json_get(body, "sql"));
    struct engine_stream *old = engine_stream(c->data->engine, c->name);
    CLEANUP(mem_freep) char *before = old ? mem_strdup(engine_stream_ddl(old)) : NULL;
    if (old && rest_owned(c, prefix, object_of(old))) {
        return;
    }
    int rc = sql_parse(c->arena, sql, &st, &err);
    if (rc == 0 && (st->kind != AST_CREATE || st->table != table || !str_eq(st->name, c->name))) {
        rc = err_set(&err, -E_INVAL,
                     "Replace %s fails: the sql must be a CREATE %s statement of " STR_FMT,
                     noun(table), table ? "TABLE" : "STREAM", STR_ARG(c->name));
    }
    rc = rc < 0 ? rc : data_define(c->data, sql, true, &name, &err);
    if (rc < 0) {
        rest_error(c, prefix, &err);
        return;
    }
    rest_keep(c, 200, "streams", str_of(name), sql, before ? undo_with_text : undo_create,
              before ? TAKE_PTR(before) : mem_strdup(name), "%s %s is replaced.",
              table ? "Table" : "Stream", name);
}

void rest_stream_put(struct rest_call *c)
{
    replace(c, false);
}

void rest_table_put(struct rest_call *c)
{
    replace(c, true);
}

static void drop(struct rest_call *c, bool table)
{
    const char *prefix = table ? "delete table error" : "delete stream error";
    struct engine_stream *s = find(c, table, prefix);
    struct err err;
    if (!s) {
        return;
    }
    if (rest_owned(c, prefix, object_of(s))) {
        return;
    }
    char *before = mem_strdup(engine_stream_ddl(s));
    if (data_drop(c->data, c->name, table, &err) < 0) {
        mem_free(before);
        rest_error(c, prefix, &err);
        return;
    }
    rest_keep(c, 200, "streams", c->name, STR_NULL, undo_with_text, before,
              "%s " STR_FMT " is dropped.", table ? "Table" : "Stream", STR_ARG(c->name));
}

void rest_stream_delete(struct rest_call *c)
{
    drop(c, false);
}

void rest_table_delete(struct rest_call *c)
{
    drop(c, true);
}

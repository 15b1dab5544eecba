/* SPDX-License-Identifier: Apache-2.0 */
/* /schemas/protobuf: the registry of .proto texts (schemas.h) in eKuiper's form. */
#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"
#include "io/file.h"
#include "rest_private.h"
#include "part/data/schemas.h"

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void rest_schemas_list(struct rest_call *c)
{
    size_t n = 0;
    const char **all = arena_alloc(c->arena, (map_len(&c->data->schemas) + 1) * sizeof(char *));
    struct json *list = json_array(c->arena);
    MAP_FOR_EACH (slot, &c->data->schemas) {
        if (all) {
            all[n++] = slot->key;
        }
    }
    if (all) {
        qsort(all, n, sizeof(*all), by_name);
    }
    for (size_t i = 0; i < n; i++) {
        json_push(list, json_string(c->arena, all[i]));
    }
    rest_json(c, 200, list);
}

/* The text, or NULL after an answer. */
static const char *find(struct rest_call *c, const char *prefix)
{
    const char *text = schemas_text(c->data, c->name);
    struct err err;
    if (!text) {
        (void)err_set(&err, -E_NOENT, "schema protobuf." STR_FMT " is not found", STR_ARG(c->name));
        rest_error(c, prefix, &err);
    }
    return text;
}

void rest_schema_get(struct rest_call *c)
{
    const char *text = find(c, NULL);
    if (!text) {
        return;
    }
    struct json *o = json_object(c->arena);
    json_set_str(o, "type", "protobuf");
    json_set(o, "name", json_string_n(c->arena, c->name));
    json_set_str(o, "content", text);
    json_set_str(o, "file", "");
    json_set_str(o, "soFile", "");
    rest_json(c, 200, o);
}

/* ---- definition ---- */

/* The text of {"content": ...} or {"file": "file:///x.proto"}; *ret_heap is to be freed. */
static int read_text(const struct json *body, char **ret_heap, struct str *ret, struct err *err)
{
    const char *file = json_cstr(json_get(body, "file"), "");
    *ret = json_text(json_get(body, "content"));
    if (ret->n > 0 && *file) {
        return err_set(err, -E_INVAL, "cannot specify both content and file");
    }
    if (ret->n > 0) {
        return 0;
    }
    if (!*file) {
        return err_set(err, -E_INVAL, "must specify content or file");
    }
    if (!str_starts(str_of(file), "file:///") || !str_ends(str_of(file), ".proto")) {
        return err_set(err, -E_INVAL,
                       "file: only file:///... with the ending .proto is read: give the content");
    }
    size_t n;
    int rc = file_read(file + strlen("file://"), LIMIT_PROTOBUF_TEXT, ret_heap, &n, err);
    *ret = str_n(*ret_heap, rc < 0 ? 0 : n);
    return rc;
}

static int check_body(const struct rest_call *c, const struct json *body, struct str *ret_name,
                      struct err *err)
{
    const char *type = json_cstr(json_get(body, "type"), "protobuf");
    struct str name = json_text(json_get(body, "name"));
    *ret_name = c->name.n > 0 ? c->name : name;
    if (!json_is(body, JSON_OBJECT) || ret_name->n == 0) {
        return err_set(err, -E_INVAL, "name is required");
    }
    if (!cstr_eq(type, "protobuf") || (c->name.n > 0 && name.n > 0 && !str_eq(name, c->name))) {
        return err_set(err, -E_INVAL, "Type or name does not match");
    }
    return *json_cstr(json_get(body, "soFile"), "")
               ? err_set(err, -E_NOTSUP, "soFile: plugins are not supported, nor are they needed")
               : 0;
}

static void undo_create(struct rest_call *c)
{
    (void)schemas_drop(c->data, str_of(c->undo_arg), NULL);
}

/* undo_arg: the name and the former text behind it. */
static void undo_replace(struct rest_call *c)
{
    const char *name = c->undo_arg, *text = name + strlen(name) + 1;
    (void)schemas_define(c->data, str_of(name), str_of(text), true, NULL);
}

static char *name_and_text(struct str name, const char *text)
{
    struct buf b = BUF_INIT;
    (void)buf_append_str(&b, name); /* sticky */
    (void)buf_append(&b, "", 1);
    (void)buf_puts(&b, text ? text : "");
    char *both = buf_take(&b, NULL);
    buf_fini(&b);
    return both;
}

static void define(struct rest_call *c, bool replace)
{
    struct json *body = rest_body(c);
    CLEANUP(mem_freep) char *heap = NULL, *before = NULL;
    struct str name, text;
    struct err err;
    if (!body) {
        return;
    }
    int rc = check_body(c, body, &name, &err);
    rc = rc < 0 ? rc : read_text(body, &heap, &text, &err);
    if (rc < 0) {
        rest_error(c, "Invalid body", &err);
        return;
    }
    const char *old = schemas_text(c->data, name);
    before = old && replace ? name_and_text(name, old) : NULL;
    if (schemas_define(c->data, name, text, replace, &err) < 0) {
        rest_error(c, replace ? "schema update command error" : "schema create command error",
                   &err);
        return;
    }
    rest_keep(c, replace ? 200 : 201, "schemas", name, text, before ? undo_replace : undo_create,
              before ? TAKE_PTR(before) : mem_strndup(name.p, name.n),
              "protobuf schema " STR_FMT " is %s", STR_ARG(name), replace ? "updated" : "created");
}

void rest_schemas_create(struct rest_call *c)
{
    define(c, false);
}

void rest_schema_put(struct rest_call *c)
{
    define(c, true);
}

void rest_schema_delete(struct rest_call *c)
{
    struct err err;
    const char *text = find(c, "delete protobuf schema error");
    if (!text) {
        return;
    }
    char *before = name_and_text(c->name, text);
    if (schemas_drop(c->data, c->name, &err) < 0) {
        mem_free(before);
        rest_error(c, "delete protobuf schema error", &err);
        return;
    }
    rest_keep(c, 200, "schemas", c->name, STR_NULL, undo_replace, before,
              "protobuf schema " STR_FMT " is deleted", STR_ARG(c->name));
}

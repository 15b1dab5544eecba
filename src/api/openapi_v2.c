/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAPI 2.0 (Swagger) in the protobuf of gnostic: github.com/google/gnostic
 * openapiv2/OpenAPIv2.proto. Only what kubectl reads is written: the definitions, and for every
 * kind the path of one object with its PATCH, from which it learns whether the server knows dryRun.
 *
 *     Document {1: swagger, 2: Info {1: title, 2: version}, 8: Paths {2: NamedPathItem},
 *               9: Definitions {1: NamedSchema}}
 *     NamedX   {1: name, 2: value}
 *     PathItem {8: patch, an Operation {8: ParametersItem, 9: Responses, 13: NamedAny}}
 *     Schema   {1: $ref, 2: format, 4: description, 19: required,
 *               21: AdditionalPropertiesItem {1: Schema}, 22: TypeItem {1: text},
 *               23: ItemsItem {1: Schema}, 25: Properties {1: NamedSchema}, 31: NamedAny}
 *     Any      {2: YAML}
 */
#include "api/openapi.h"

#include <string.h>

#include "api/openapi_private.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/protobuf.h"

enum { NAMED_NAME = 1, NAMED_VALUE = 2 };
enum { DOC_SWAGGER = 1, DOC_INFO = 2, DOC_PATHS = 8, DOC_DEFINITIONS = 9 };
enum { INFO_TITLE = 1, INFO_VERSION = 2, PATHS_PATH = 2, ITEM_PATCH = 8 };
enum { OP_PARAMETERS = 8, OP_RESPONSES = 9, OP_EXTENSION = 13 };
enum { PARAM_PARAMETER = 1, PARAM_NON_BODY = 2, PARAM_QUERY = 3 };
enum { QUERY_IN = 2, QUERY_NAME = 4, QUERY_TYPE = 6 };
enum {
    SCHEMA_PB_REF = 1,
    SCHEMA_PB_FORMAT = 2,
    SCHEMA_PB_DESCRIPTION = 4,

    SCHEMA_PB_REQUIRED = 19,

    SCHEMA_PB_ADDITIONAL = 21,
    SCHEMA_PB_TYPE = 22,
    SCHEMA_PB_ITEMS = 23,
    SCHEMA_PB_PROPERTIES = 25,
    SCHEMA_PB_EXTENSION = 31,
};
enum { ANY_YAML = 2 };

static void put(struct buf *out, uint32_t number, const char *s)
{
    if (*s) {
        pb_put_bytes(out, number, str_of(s));
    }
}

static void put_any(struct buf *out, uint32_t number, const char *yaml)
{
    size_t any = pb_open(out, number);
    put(out, ANY_YAML, yaml);
    pb_close(out, any);
}

static void put_extension(struct buf *out, uint32_t number, const char *name, const char *yaml)
{
    if (*yaml) {
        size_t named = pb_open(out, number);
        put(out, NAMED_NAME, name);
        put_any(out, NAMED_VALUE, yaml);
        pb_close(out, named);
    }
}

/* "" says nothing. */
static void put_type(struct buf *out, const char *type)
{
    if (!*type) {
        return;
    }
    size_t item = pb_open(out, SCHEMA_PB_TYPE);
    put(out, 1, type);
    pb_close(out, item);
}

/* ---- definitions ---- */

static void put_ref(struct buf *out, const char *name)
{
    static const char prefix[] = "#/definitions/";
    size_t ref = pb_open(out, SCHEMA_PB_REF);
    buf_puts(out, prefix);
    buf_puts(out, name);
    pb_close(out, ref);
}

static void put_value(struct buf *out, const struct schema_field *f)
{
    int scalar = openapi_scalar_of(f->value);
    const struct schema_type *t = schema_field_type(f);
    const char *format;
    if (t) {
        put_ref(out, schema_type_name(t));
    } else if (scalar >= 0) {
        put_ref(out, openapi_scalars[scalar].name);
    } else {
        put_type(out, openapi_primitive(f->value, &format));
        put(out, SCHEMA_PB_FORMAT, format);
    }
    if (f->value == SCHEMA_STRINGS) {
        size_t items = pb_open(out, SCHEMA_PB_ITEMS);
        size_t item = pb_open(out, 1);
        put_type(out, "string");
        pb_close(out, item);
        pb_close(out, items);
    }
}

static void put_extensions(struct buf *out, const struct schema_field *f)
{
    bool list = f->shape == SCHEMA_LIST;
    if (f->flags & (SCHEMA_F_ATOMIC | SCHEMA_F_SET | SCHEMA_F_LIST_MAP)) {
        put_extension(out, SCHEMA_PB_EXTENSION,
                      list ? "x-kubernetes-list-type" : "x-kubernetes-map-type",
                      f->flags & SCHEMA_F_ATOMIC ? "atomic"
                      : f->flags & SCHEMA_F_SET  ? "set"
                                                 : "map");
    }
    if (*schema_field_keys(f)) {
        CLEANUP(buf_finip) struct buf yaml = BUF_INIT;
        buf_printf(&yaml, "[%s]%c", schema_field_keys(f), '\0');
        put_extension(out, SCHEMA_PB_EXTENSION, "x-kubernetes-list-map-keys",
                      buf_failed(&yaml) ? "" : buf_data(&yaml));
    }
    bool merge = f->flags & SCHEMA_F_MERGE, retain = f->flags & SCHEMA_F_RETAIN_KEYS;
    put_extension(out, SCHEMA_PB_EXTENSION, "x-kubernetes-patch-strategy",
                  merge && retain               ? "merge,retainKeys"
                  : merge                       ? "merge"
                  : retain                      ? "retainKeys"
                  : f->flags & SCHEMA_F_REPLACE ? "replace"
                                                : "");
    put_extension(out, SCHEMA_PB_EXTENSION, "x-kubernetes-patch-merge-key",
                  schema_field_merge_key(f));
}

static void put_field(struct buf *out, const struct schema_field *f)
{
    size_t named = pb_open(out, 1);
    put(out, NAMED_NAME, schema_field_name(f));
    size_t schema = pb_open(out, NAMED_VALUE);
    put(out, SCHEMA_PB_DESCRIPTION, schema_field_doc(f));
    if (f->shape == SCHEMA_ONE) {
        put_value(out, f);
    } else {
        bool list = f->shape == SCHEMA_LIST;
        put_type(out, list ? "array" : "object");
        size_t item = pb_open(out, list ? SCHEMA_PB_ITEMS : SCHEMA_PB_ADDITIONAL);
        size_t inner = pb_open(out, 1);
        put_value(out, f);
        pb_close(out, inner);
        pb_close(out, item);
    }
    put_extensions(out, f);
    pb_close(out, schema);
    pb_close(out, named);
}

/* The YAML of [{group, version, kind}]. */
static void put_gvks(struct buf *out, uint32_t number, struct str group, struct str version,
                     struct str kind, bool in_list)
{
    CLEANUP(buf_finip) struct buf yaml = BUF_INIT;
    buf_printf(&yaml, "%sgroup: \"" STR_FMT "\"\n%sversion: " STR_FMT "\n%skind: " STR_FMT "\n%c",
               in_list ? "- " : "", STR_ARG(group), in_list ? "  " : "", STR_ARG(version),
               in_list ? "  " : "", STR_ARG(kind), '\0');
    put_extension(out, number, "x-kubernetes-group-version-kind",
                  buf_failed(&yaml) ? "" : buf_data(&yaml));
}

static void put_struct(struct buf *out, const struct schema_type *t)
{
    put(out, SCHEMA_PB_DESCRIPTION, schema_type_doc(t));
    SCHEMA_FOR_EACH_FIELD(f, t)
    {
        if (f->flags & SCHEMA_F_REQUIRED) {
            put(out, SCHEMA_PB_REQUIRED, schema_field_name(f));
        }
    }
    put_type(out, "object");
    size_t properties = pb_open(out, SCHEMA_PB_PROPERTIES);
    SCHEMA_FOR_EACH_FIELD(f, t)
    {
        put_field(out, f);
    }
    pb_close(out, properties);
    struct str group, version, kind = str_of(schema_pool + t->gvks);
    if (str_cut(kind, '/', &group, &kind) && str_cut(kind, '/', &version, &kind)) {
        put_gvks(out, SCHEMA_PB_EXTENSION, group, version, kind, /* in_list= */ true);
    }
}

static void put_definition(void *arg, const struct schema_type *t,
                           const struct openapi_scalar_info *s)
{
    struct buf *out = arg;
    size_t named = pb_open(out, 1);
    put(out, NAMED_NAME, t ? schema_type_name(t) : s->name);
    size_t schema = pb_open(out, NAMED_VALUE);
    if (t) {
        put_struct(out, t);
    } else {
        put(out, SCHEMA_PB_FORMAT, s->format ? s->format : "");
        put(out, SCHEMA_PB_DESCRIPTION, s->doc);
        put_type(out, s->type);
    }
    pb_close(out, schema);
    pb_close(out, named);
}

/* ---- paths ---- */

static void put_query(struct buf *out, const char *name)
{
    size_t item = pb_open(out, OP_PARAMETERS);
    size_t parameter = pb_open(out, PARAM_PARAMETER);
    size_t non_body = pb_open(out, PARAM_NON_BODY);
    size_t query = pb_open(out, PARAM_QUERY);
    put(out, QUERY_IN, "query");
    put(out, QUERY_NAME, name);
    put(out, QUERY_TYPE, "string");
    pb_close(out, query);
    pb_close(out, non_body);
    pb_close(out, parameter);
    pb_close(out, item);
}

static void put_path(struct buf *out, const struct kind *k)
{
    size_t named = pb_open(out, PATHS_PATH);
    size_t name = pb_open(out, NAMED_NAME);
    openapi_path(out, k, OPENAPI_ITEM);
    pb_close(out, name);
    size_t item = pb_open(out, NAMED_VALUE);
    size_t patch = pb_open(out, ITEM_PATCH);
    put_query(out, "dryRun");
    put_query(out, "fieldManager");
    put_query(out, "fieldValidation");
    size_t responses = pb_open(out, OP_RESPONSES);
    pb_close(out, responses);
    put_gvks(out, OP_EXTENSION, str_of(k->group), str_of(k->version), str_of(k->kind),
             /* in_list= */ false);
    pb_close(out, patch);
    pb_close(out, item);
    pb_close(out, named);
}

int openapi_v2_document(struct buf *out, char ret_hash[CONTENT_HASH_SIZE])
{
    CLEANUP(openapi_needs_finip) struct openapi_needs needs = {0};
    size_t n, from = buf_len(out);
    const struct kind *const *kinds = kinds_all(&n);
    int rc = openapi_needs_init(&needs, /* group= */ NULL, /* version= */ NULL);
    if (rc < 0) {
        return rc;
    }
    put(out, DOC_SWAGGER, "2.0");
    size_t info = pb_open(out, DOC_INFO);
    put(out, INFO_TITLE, "Selvedge");
    put(out, INFO_VERSION, SELVEDGE_VERSION);
    pb_close(out, info);
    size_t paths = pb_open(out, DOC_PATHS);
    for (size_t i = 0; i < n; i++) {
        if (kinds[i]->verbs & KIND_PATCH) {
            put_path(out, kinds[i]);
        }
    }
    pb_close(out, paths);
    size_t definitions = pb_open(out, DOC_DEFINITIONS);
    openapi_each(&needs, put_definition, out);
    for (size_t i = 0; i < n; i++) {
        if (kinds[i]->custom) {
            openapi_v2_custom(out, kinds[i]);
        }
    }
    pb_close(out, definitions);
    if (buf_failed(out)) {
        return -E_NOMEM;
    }
    content_hash(str_n(buf_data(out) + from, buf_len(out) - from), ret_hash);
    return 0;
}

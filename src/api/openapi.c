/* SPDX-License-Identifier: Apache-2.0 */
/* The index of version 3, and what both versions share: see openapi.h and openapi_private.h. */
#include "api/openapi.h"

#include <stdio.h>
#include <string.h>

#include "api/openapi_private.h"
#include "base/err.h"
#include "base/mem.h"

#define APIEXTENSIONS "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."

/* Sorted by name. */
const struct openapi_scalar_info openapi_scalars[OPENAPI_SCALAR_NR] = {
    [OPENAPI_JSON] = {.name = APIEXTENSIONS "JSON", .doc = "Any JSON value.", .type = ""},
    [OPENAPI_OBJECT_OR_LIST] = {.name = APIEXTENSIONS "JSONSchemaPropsOrArray",
                                .doc = "A schema, or an array of schemas.",
                                .type = ""},
    [OPENAPI_OBJECT_OR_BOOL] = {.name = APIEXTENSIONS "JSONSchemaPropsOrBool",
                                .doc = "A schema, or whether everything or nothing is allowed.",
                                .type = ""},
    [OPENAPI_OBJECT_OR_STRINGS] = {.name = APIEXTENSIONS "JSONSchemaPropsOrStringArray",
                                   .doc = "A schema, or an array of texts.",
                                   .type = ""},
    [OPENAPI_QUANTITY] = {.name = "io.k8s.apimachinery.pkg.api.resource.Quantity",
                          .doc = "An amount with an optional unit: 500m, 2, 1.5Gi, 10k.",
                          .type = "string",
                          .v3 = "\"oneOf\":[{\"type\":\"string\"},{\"type\":\"number\"}]"},
    [OPENAPI_FIELDS_V1] = {.name = "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
                           .doc = "A set of fields as a tree of their names.",
                           .type = "object"},
    [OPENAPI_MICRO_TIME] = {.name = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
                            .doc = "A point in time in microseconds (RFC 3339).",
                            .type = "string",
                            .format = "date-time"},
    [OPENAPI_TIME] = {.name = "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
                      .doc = "A point in time in seconds (RFC 3339).",
                      .type = "string",
                      .format = "date-time"},
    [OPENAPI_RAW] = {.name = "io.k8s.apimachinery.pkg.runtime.RawExtension",
                     .doc = "An object of any kind.",
                     .type = "object"},
    [OPENAPI_INT_OR_STRING] =
        {.name = "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
         .doc = "A number, or a text such as a percentage or the name of a port.",
         .type = "string",
         .format = "int-or-string",
         .v3 = "\"format\":\"int-or-string\","
               "\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}]"},
};

int openapi_scalar_of(enum schema_value v)
{
    switch (v) {
    case SCHEMA_ANY:
        return OPENAPI_JSON;
    case SCHEMA_OBJECT_OR_LIST:
        return OPENAPI_OBJECT_OR_LIST;
    case SCHEMA_OBJECT_OR_BOOL:
        return OPENAPI_OBJECT_OR_BOOL;
    case SCHEMA_OBJECT_OR_STRINGS:
        return OPENAPI_OBJECT_OR_STRINGS;
    case SCHEMA_QUANTITY:
        return OPENAPI_QUANTITY;
    case SCHEMA_FIELDS_V1:
        return OPENAPI_FIELDS_V1;
    case SCHEMA_MICRO_TIME:
        return OPENAPI_MICRO_TIME;
    case SCHEMA_TIME:
        return OPENAPI_TIME;
    case SCHEMA_RAW:
        return OPENAPI_RAW;
    case SCHEMA_INT_OR_STRING:
        return OPENAPI_INT_OR_STRING;
    default:
        return -1;
    }
}

const char *openapi_primitive(enum schema_value v, const char **ret_format)
{
    *ret_format = "";
    switch (v) {
    case SCHEMA_INT32:
        *ret_format = "int32";
        return "integer";
    case SCHEMA_INT64:
        *ret_format = "int64";
        return "integer";
    case SCHEMA_DOUBLE:
        *ret_format = "double";
        return "number";
    case SCHEMA_BYTES:
        *ret_format = "byte";
        return "string";
    case SCHEMA_BOOL:
        return "boolean";
    case SCHEMA_STRINGS:
        return "array"; /* of strings, which the caller says */
    default:
        return "string";
    }
}

/* ---- what a document needs ---- */

static void need(struct openapi_needs *n, const struct schema_type *t)
{
    if (t) {
        n->types[t - schema_types] |= 1;
    }
}

static void need_kind(struct openapi_needs *n, const struct kind *k)
{
    need(n, k->type);
    need(n, k->custom ? schema_type_find("io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta")
                      : k->list_type);
    for (size_t i = 0; i < k->subs_n; i++) {
        need(n, k->subs[i].body);
    }
}

/* Marks what the marked types refer to until nothing new comes: each round goes one level deeper.
 */
static void close_over(struct openapi_needs *n)
{
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < schema_types_n; i++) {
            if (n->types[i] != 1) {
                continue;
            }
            n->types[i] = 3; /* needed, and looked into */
            more = true;
            SCHEMA_FOR_EACH_FIELD(f, &schema_types[i])
            {
                int scalar = openapi_scalar_of(f->value);
                if (scalar >= 0) {
                    n->scalars[scalar] = true;
                }
                need(n, schema_field_type(f));
            }
        }
    }
}

int openapi_needs_init(struct openapi_needs *n, const char *group, const char *version)
{
    size_t count;
    const struct kind *const *kinds = kinds_all(&count);
    bool any = false;
    *n = (struct openapi_needs){.types = mem_zalloc(schema_types_n)};
    if (!n->types) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        const struct kind *k = kinds[i];
        if (!group || (strcmp(k->group, group) == 0 && strcmp(k->version, version) == 0)) {
            need_kind(n, k);
            any = true;
        }
    }
    if (!any) {
        openapi_needs_finip(n);
        return -E_NOENT;
    }
    need(n, kind_body_type("", "v1", "DeleteOptions"));
    need(n, kind_body_type("", "v1", "Status"));
    close_over(n);
    return 0;
}

void openapi_needs_finip(struct openapi_needs *n)
{
    mem_free(n->types);
    n->types = NULL;
}

void openapi_each(const struct openapi_needs *n, openapi_name_fn *fn, void *arg)
{
    int s = 0;
    for (size_t i = 0; i <= schema_types_n; i++) {
        const struct schema_type *t = i < schema_types_n ? &schema_types[i] : NULL;
        for (; s < OPENAPI_SCALAR_NR &&
               (!t || strcmp(openapi_scalars[s].name, schema_type_name(t)) < 0);
             s++) {
            if (n->scalars[s]) {
                fn(arg, NULL, &openapi_scalars[s]);
            }
        }
        if (t && n->types[i]) {
            fn(arg, t, NULL);
        }
    }
}

void openapi_path(struct buf *out, const struct kind *k, enum openapi_path which)
{
    buf_printf(out, *k->group ? "/apis/%s" : "/api/%s", k->api_version);
    if (k->namespaced && which != OPENAPI_ALL_NAMESPACES) {
        buf_puts(out, "/namespaces/{namespace}");
    }
    buf_printf(out, which == OPENAPI_ITEM ? "/%s/{name}" : "/%s", k->plural);
}

void openapi_names_of(const struct kind *k, struct openapi_names *ret)
{
    *ret = (struct openapi_names){0};
    if (!k->custom) {
        (void)cstr_copy(ret->type, sizeof(ret->type), schema_type_name(k->type));
        (void)cstr_copy(ret->list, sizeof(ret->list),
                        k->list_type ? schema_type_name(k->list_type) : "");
        return;
    }
    /* stable.example.com/v1 Foo is com.example.stable.v1.Foo */
    struct str rest = str_of(k->group), label;
    size_t at = 0;
    for (bool more = true; more;) {
        more = str_rcut(rest, '.', &rest, &label);
        label = more ? label : rest;
        at += (size_t)snprintf(ret->type + at, sizeof(ret->type) - at, STR_FMT ".", STR_ARG(label));
    }
    /* Groups have at most 253 characters, versions and kinds 63: it fits. */
    (void)snprintf(ret->type + at, sizeof(ret->type) - at, "%s.%s", k->version, k->kind);
    memcpy(ret->list, ret->type, at);
    (void)snprintf(ret->list + at, sizeof(ret->list) - at, "%s.%s", k->version, k->list_kind);
}

/* ---- the index ---- */

/* The hash of the document of a group and version. That of compiled kinds never changes while the
 * program runs, so it is made once. */
static int hash_of(const struct kind *k, char (*known)[CONTENT_HASH_SIZE],
                   char ret[CONTENT_HASH_SIZE])
{
    if (openapi_custom_hash(k->group, k->version, ret)) {
        return 0;
    }
    if (!(*known)[0]) {
        CLEANUP(buf_finip) struct buf doc = BUF_INIT;
        char fresh[CONTENT_HASH_SIZE];
        int rc = openapi_v3_document(k->group, k->version, &doc, fresh);
        if (rc < 0) {
            return rc;
        }
        memcpy(*known, fresh, sizeof(fresh));
    }
    memcpy(ret, *known, CONTENT_HASH_SIZE);
    return 0;
}

int openapi_v3_index(struct buf *out)
{
    static char hashes[64][CONTENT_HASH_SIZE]; /* of the compiled kinds' groups and versions */
    size_t n, compiled = 0;
    bool first = true;
    const struct kind *const *kinds = kinds_all(&n);
    buf_puts(out, "{\"paths\":{");
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = kinds[i];
        if (i > 0 && strcmp(k->api_version, kinds[i - 1]->api_version) == 0) {
            continue;
        }
        char hash[CONTENT_HASH_SIZE], none[CONTENT_HASH_SIZE] = "";
        bool keep = !k->custom && compiled < ARRAY_SIZE(hashes);
        int rc = hash_of(k, keep ? &hashes[compiled++] : &none, hash);
        if (rc < 0) {
            return rc;
        }
        const char *root = *k->group ? "apis" : "api";
        buf_printf(out, "%s\"%s/%s\":{\"serverRelativeURL\":\"/openapi/v3/%s/%s?hash=%s\"}",
                   first ? "" : ",", root, k->api_version, root, k->api_version, hash);
        first = false;
    }
    buf_puts(out, "}}");
    return buf_failed(out) ? -E_NOMEM : 0;
}

bool openapi_v2_accepts(const char *accept)
{
    static const char asked[] = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
    return accept && (strstr(accept, asked) || strstr(accept, OPENAPI_V2_TYPE));
}

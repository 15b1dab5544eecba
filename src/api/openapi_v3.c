/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenAPI 3.0 of one group and version, written straight into a buffer
 * (spec.openapis.org/oas/v3.0.0; the x-kubernetes extensions as kube-openapi writes them). A
 * failure sticks to the buffer, so single writes are not checked.
 */
#include "api/openapi.h"

#include <ctype.h>
#include <string.h>

#include "api/openapi_private.h"
#include "base/err.h"
#include "base/mem.h"

#define REF "{\"$ref\":\"#/components/schemas/%s\"}"
#define CONTENT "\"content\":{\"application/json\":{\"schema\":" REF "}}"

static void text(struct buf *out, const char *s)
{
    (void)json_print_string(out, str_of(s)); /* a failure sticks */
}

/* A comma unless the buffer ends in an opening bracket. */
static void comma(struct buf *out)
{
    char last = buf_data(out)[buf_len(out) ? buf_len(out) - 1 : 0];
    if (buf_len(out) && last != '{' && last != '[') {
        buf_putc(out, ',');
    }
}

static void member(struct buf *out, const char *name)
{
    comma(out);
    text(out, name);
    buf_putc(out, ':');
}

static void text_member(struct buf *out, const char *name, const char *value)
{
    if (*value) {
        member(out, name);
        text(out, value);
    }
}

/* "a,b" as ["a","b"] */
static void list_member(struct buf *out, const char *name, const char *commas)
{
    struct str rest = str_of(commas), item;
    if (rest.n == 0) {
        return;
    }
    member(out, name);
    buf_putc(out, '[');
    for (bool more = true; more;) {
        more = str_cut(rest, ',', &item, &rest);
        comma(out);
        (void)json_print_string(out, item); /* a failure sticks */
    }
    buf_putc(out, ']');
}

/* ---- schemas ---- */

static const char *ref_name(const struct schema_field *f)
{
    int scalar = openapi_scalar_of(f->value);
    const struct schema_type *t = schema_field_type(f);
    return t ? schema_type_name(t) : scalar >= 0 ? openapi_scalars[scalar].name : NULL;
}

/* The members that say what one value is. alone: nothing else is said in this object, so that a
 * bare $ref will do. */
static void value_members(struct buf *out, const struct schema_field *f, bool alone)
{
    const char *ref = ref_name(f), *format;
    if (ref) {
        comma(out);
        if (alone) {
            buf_printf(out, "\"$ref\":\"#/components/schemas/%s\"", ref);
        } else {
            buf_printf(out, "\"allOf\":[" REF "]", ref);
        }
        return;
    }
    text_member(out, "type", openapi_primitive(f->value, &format));
    text_member(out, "format", format);
    if (f->value == SCHEMA_STRINGS) {
        member(out, "items");
        buf_puts(out, "{\"type\":\"string\"}");
    }
}

static void extensions(struct buf *out, const struct schema_field *f)
{
    bool list = f->shape == SCHEMA_LIST;
    if (f->flags & SCHEMA_F_ATOMIC) {
        text_member(out, list ? "x-kubernetes-list-type" : "x-kubernetes-map-type", "atomic");
    } else if (f->flags & (SCHEMA_F_SET | SCHEMA_F_LIST_MAP)) {
        text_member(out, "x-kubernetes-list-type", f->flags & SCHEMA_F_SET ? "set" : "map");
    }
    list_member(out, "x-kubernetes-list-map-keys", schema_field_keys(f));
    bool merge = f->flags & SCHEMA_F_MERGE, retain = f->flags & SCHEMA_F_RETAIN_KEYS;
    text_member(out, "x-kubernetes-patch-strategy",
                merge && retain               ? "merge,retainKeys"
                : merge                       ? "merge"
                : retain                      ? "retainKeys"
                : f->flags & SCHEMA_F_REPLACE ? "replace"
                                              : "");
    text_member(out, "x-kubernetes-patch-merge-key", schema_field_merge_key(f));
}

static void field(struct buf *out, const struct schema_field *f)
{
    member(out, schema_field_name(f));
    buf_putc(out, '{');
    text_member(out, "description", schema_field_doc(f));
    if (f->shape == SCHEMA_ONE) {
        value_members(out, f, /* alone= */ false);
        list_member(out, "enum", schema_field_values(f));
    } else {
        bool list = f->shape == SCHEMA_LIST;
        text_member(out, "type", list ? "array" : "object");
        member(out, list ? "items" : "additionalProperties");
        buf_putc(out, '{');
        value_members(out, f, /* alone= */ true);
        buf_putc(out, '}');
    }
    if (f->def) {
        member(out, "default");
        buf_puts(out, schema_field_default(f));
    }
    extensions(out, f);
    buf_putc(out, '}');
}

static void gvk_object(struct buf *out, struct str group, struct str version, struct str kind)
{
    buf_printf(out,
               "{\"group\":\"" STR_FMT "\",\"version\":\"" STR_FMT "\",\"kind\":\"" STR_FMT "\"}",
               STR_ARG(group), STR_ARG(version), STR_ARG(kind));
}

static void gvk_member(struct buf *out, const struct schema_type *t)
{
    struct str group, version, kind = str_of(schema_pool + t->gvks);
    if (str_cut(kind, '/', &group, &kind) && str_cut(kind, '/', &version, &kind)) {
        member(out, "x-kubernetes-group-version-kind");
        buf_putc(out, '[');
        gvk_object(out, group, version, kind);
        buf_putc(out, ']');
    }
}

static void required_member(struct buf *out, const struct schema_type *t)
{
    bool any = false;
    SCHEMA_FOR_EACH_FIELD(f, t)
    {
        if (f->flags & SCHEMA_F_REQUIRED) {
            if (!any) {
                member(out, "required");
                buf_putc(out, '[');
                any = true;
            }
            comma(out);
            text(out, schema_field_name(f));
        }
    }
    buf_puts(out, any ? "]" : "");
}

static void type_schema(struct buf *out, const struct schema_type *t)
{
    member(out, schema_type_name(t));
    buf_putc(out, '{');
    text_member(out, "description", schema_type_doc(t));
    text_member(out, "type", "object");
    required_member(out, t);
    member(out, "properties");
    buf_putc(out, '{');
    SCHEMA_FOR_EACH_FIELD(f, t)
    {
        field(out, f);
    }
    buf_putc(out, '}');
    gvk_member(out, t);
    text_member(out, "x-kubernetes-map-type", t->flags & SCHEMA_T_ATOMIC ? "atomic" : "");
    if (t->flags & SCHEMA_T_PRESERVE) {
        buf_puts(out, ",\"x-kubernetes-preserve-unknown-fields\":true");
    }
    buf_putc(out, '}');
}

static void scalar_schema(struct buf *out, const struct openapi_scalar_info *s)
{
    member(out, s->name);
    buf_putc(out, '{');
    text_member(out, "description", s->doc);
    if (s->v3) {
        comma(out);
        buf_puts(out, s->v3);
    } else {
        text_member(out, "type", s->type);
        text_member(out, "format", s->format ? s->format : "");
    }
    buf_putc(out, '}');
}

static void any_schema(void *arg, const struct schema_type *t, const struct openapi_scalar_info *s)
{
    if (t) {
        type_schema(arg, t);
    } else {
        scalar_schema(arg, s);
    }
}

/* ---- paths ---- */

struct operation {
    const char *method, *action; /* "get", "list" */
    const char *body, *answer;   /* names of schemas; NULL = none */
    const char *const *query;    /* names of its parameters, NULL-terminated */
};

static const char *const q_none[] = {NULL};
static const char *const q_list[] = {"allowWatchBookmarks",
                                     "continue",
                                     "fieldSelector",
                                     "labelSelector",
                                     "limit",
                                     "resourceVersion",
                                     "resourceVersionMatch",
                                     "sendInitialEvents",
                                     "timeoutSeconds",
                                     "watch",
                                     NULL};
static const char *const q_write[] = {"dryRun", "fieldManager", "fieldValidation", NULL};
static const char *const q_patch[] = {"dryRun", "fieldManager", "fieldValidation", "force", NULL};
static const char *const q_delete[] = {"dryRun", "gracePeriodSeconds", "orphanDependents",
                                       "propagationPolicy", NULL};

static void parameter(struct buf *out, const char *name, const char *in)
{
    bool number = cstr_eq(name, "limit") || cstr_eq(name, "timeoutSeconds") ||
                  cstr_eq(name, "gracePeriodSeconds");
    bool boolean = cstr_eq(name, "watch") || cstr_eq(name, "force") ||
                   cstr_eq(name, "allowWatchBookmarks") || cstr_eq(name, "sendInitialEvents") ||
                   cstr_eq(name, "orphanDependents");
    comma(out);
    buf_printf(out, "{\"name\":\"%s\",\"in\":\"%s\",%s\"schema\":{\"type\":\"%s\"}}", name, in,
               *in == 'p' ? "\"required\":true," : "",
               number    ? "integer"
               : boolean ? "boolean"
                         : "string");
}

/* kubectl apply sends a strategic merge patch wherever it is offered. */
static void request_body(struct buf *out, const struct operation *o, bool custom)
{
    member(out, "requestBody");
    buf_puts(out, "{\"content\":{");
    if (strcmp(o->action, "patch") == 0) {
        static const char *const patches[] = {"json-patch+json", "merge-patch+json",
                                              "strategic-merge-patch+json"};
        for (size_t i = 0; i < ARRAY_SIZE(patches) - custom; i++) {
            buf_printf(out, "%s\"application/%s\":{\"schema\":{\"type\":\"%s\"}}", i ? "," : "",
                       patches[i], i ? "object" : "array");
        }
    } else {
        buf_printf(out, "\"*/*\":{\"schema\":" REF "}", o->body);
    }
    buf_puts(out, "}}");
}

static void put_capital(struct buf *out, const char *s)
{
    buf_printf(out, "%c%s", toupper((unsigned char)*s), s + 1);
}

/* listPodForAllNamespaces, patchNamespacedDeploymentStatus...: unique in a document. */
static void operation_id(struct buf *out, const struct operation *o, const struct kind *k,
                         const char *sub, bool all)
{
    buf_puts(out, o->action);
    if (strcmp(o->action, "connect") == 0) {
        put_capital(out, o->method);
    }
    buf_printf(out, "%s%s", k->namespaced && !all ? "Namespaced" : "", k->kind);
    if (sub) {
        put_capital(out, sub);
    }
    buf_puts(out, all ? "ForAllNamespaces" : "");
}

static void operation(struct buf *out, const struct operation *o, const struct kind *k,
                      const struct kind_subresource *sub, bool all)
{
    member(out, o->method);
    buf_puts(out, "{\"operationId\":\"");
    operation_id(out, o, k, sub ? sub->name : NULL, all);
    buf_putc(out, '"');
    if (o->query[0]) {
        member(out, "parameters");
        buf_putc(out, '[');
        for (const char *const *q = o->query; *q; q++) {
            parameter(out, *q, "query");
        }
        buf_putc(out, ']');
    }
    if (o->body) {
        request_body(out, o, k->custom != NULL);
    }
    buf_puts(out, ",\"responses\":{\"200\":{\"description\":\"OK\"");
    if (o->answer) {
        buf_printf(out, "," CONTENT, o->answer);
    }
    buf_puts(out, "},\"401\":{\"description\":\"Unauthorized\"}}");
    text_member(out, "x-kubernetes-action", o->action);
    member(out, "x-kubernetes-group-version-kind");
    gvk_object(out, str_of(sub ? sub->group : k->group), str_of(sub ? sub->version : k->version),
               str_of(sub ? sub->kind : k->kind));
    buf_putc(out, '}');
}

static void path_parameters(struct buf *out, bool namespaced, bool item)
{
    if (namespaced || item) {
        member(out, "parameters");
        buf_putc(out, '[');
        if (item) {
            parameter(out, "name", "path");
        }
        if (namespaced) {
            parameter(out, "namespace", "path");
        }
        buf_putc(out, ']');
    }
}

static void open_path(struct buf *out, const struct kind *k, enum openapi_path which,
                      const char *sub)
{
    comma(out);
    buf_putc(out, '"');
    openapi_path(out, k, which);
    buf_printf(out, sub ? "/%s\":{" : "\":{", sub);
}

static const char *body_name(const char *kind)
{
    return schema_type_name(kind_body_type("", "v1", kind));
}

static void collection_path(struct buf *out, const struct kind *k,
                            const struct openapi_names *names)
{
    const struct operation list = {"get", "list", NULL, *names->list ? names->list : NULL, q_list};
    open_path(out, k, OPENAPI_COLLECTION, NULL);
    if (k->verbs & KIND_LIST) {
        operation(out, &list, k, NULL, false);
    }
    if (k->verbs & KIND_CREATE) {
        operation(out, &(struct operation){"post", "post", names->type, names->type, q_write}, k,
                  NULL, false);
    }
    if (k->verbs & KIND_DELETECOLLECTION) {
        const struct operation all = {"delete", "deletecollection", body_name("DeleteOptions"),
                                      body_name("Status"), q_delete};
        operation(out, &all, k, NULL, false);
    }
    path_parameters(out, k->namespaced, false);
    buf_putc(out, '}');
    if (k->namespaced && (k->verbs & KIND_LIST)) {
        open_path(out, k, OPENAPI_ALL_NAMESPACES, NULL);
        operation(out, &list, k, NULL, true);
        buf_putc(out, '}');
    }
}

static void item_path(struct buf *out, const struct kind *k, const char *type)
{
    if (!(k->verbs & KIND_GET)) {
        return;
    }
    open_path(out, k, OPENAPI_ITEM, NULL);
    operation(out, &(struct operation){"get", "get", NULL, type, q_none}, k, NULL, false);
    operation(out, &(struct operation){"put", "put", type, type, q_write}, k, NULL, false);
    operation(out, &(struct operation){"patch", "patch", type, type, q_patch}, k, NULL, false);
    operation(out,
              &(struct operation){"delete", "delete", body_name("DeleteOptions"),
                                  body_name("Status"), q_delete},
              k, NULL, false);
    path_parameters(out, k->namespaced, true);
    buf_putc(out, '}');
}

static void sub_path(struct buf *out, const struct kind *k, const struct kind_subresource *s,
                     const char *type)
{
    open_path(out, k, OPENAPI_ITEM, s->name);
    bool own = k->custom && s->sub == KIND_SUB_STATUS;
    const char *b = own ? type : s->body ? schema_type_name(s->body) : NULL;
    bool connect = !b && s->sub != KIND_SUB_LOG;
    if (s->verbs & KIND_GET) {
        operation(out, &(struct operation){"get", connect ? "connect" : "get", NULL, b, q_none}, k,
                  s, false);
    }
    if (s->verbs & KIND_CREATE) {
        operation(out, &(struct operation){"post", connect ? "connect" : "post", b, b, q_none}, k,
                  s, false);
    }
    if (s->verbs & KIND_UPDATE) {
        operation(out, &(struct operation){"put", "put", b, b, q_write}, k, s, false);
    }
    if (s->verbs & KIND_PATCH) {
        operation(out, &(struct operation){"patch", "patch", b, b, q_patch}, k, s, false);
    }
    path_parameters(out, k->namespaced, true);
    buf_putc(out, '}');
}

int openapi_v3_document(const char *group, const char *version, struct buf *out,
                        char ret_hash[CONTENT_HASH_SIZE])
{
    CLEANUP(openapi_needs_finip) struct openapi_needs needs = {0};
    size_t n, from = buf_len(out);
    const struct kind *const *kinds = kinds_all(&n);
    int rc = openapi_needs_init(&needs, group, version);
    if (rc < 0) {
        return rc;
    }
    buf_puts(
        out,
        "{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"Selvedge\",\"version\":\"" SELVEDGE_VERSION
        "\"},\"paths\":{");
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = kinds[i];
        if (strcmp(k->group, group) == 0 && strcmp(k->version, version) == 0) {
            struct openapi_names names;
            openapi_names_of(k, &names);
            collection_path(out, k, &names);
            item_path(out, k, names.type);
            for (size_t s = 0; s < k->subs_n; s++) {
                sub_path(out, k, &k->subs[s], names.type);
            }
        }
    }
    buf_puts(out, "},\"components\":{\"schemas\":{");
    openapi_each(&needs, any_schema, out);
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = kinds[i];
        if (k->custom && strcmp(k->group, group) == 0 && strcmp(k->version, version) == 0) {
            openapi_v3_custom(out, k);
        }
    }
    buf_puts(out, "}}}");
    if (buf_failed(out)) {
        return -E_NOMEM;
    }
    if (!openapi_custom_hash(group, version, ret_hash)) {
        content_hash(str_n(buf_data(out) + from, buf_len(out) - from), ret_hash);
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CustomResourceDefinition must obey, in Kubernetes' words (apiextensions/validation), but
 * for its schemas: those are crd_structural.c.
 *
 * Kubernetes shows the schema, columns and subresources of versions that all have the same at the
 * top of the spec ("spec.validation.openAPIV3Schema"), and so do we.
 */
#include "api/crd/crd_private.h"

#include <ctype.h>

#include "api/crd/crd_structural.h"
#include "api/name.h"
#include "api/object.h"
#include "base/mem.h"
#include "codec/jsonpath.h"

#define SELECTABLE_MAX 8

static const char *text(const struct json *o, const char *name)
{
    return json_cstr(json_get(o, name), "");
}

static const char *join(struct field_errors *e, const char *path, const char *name)
{
    const char *p = arena_printf(e->arena, "%s.%s", path, name);
    return p ? p : "";
}

static const char *lower(struct arena *a, const char *s)
{
    char *out = arena_strdup(a, s);
    for (char *p = out; p && *p; p++) {
        *p = (char)tolower((unsigned char)*p);
    }
    return out ? out : "";
}

bool crd_is_definition(const struct kind *k)
{
    return cstr_eq(k->plural, "customresourcedefinitions") &&
           cstr_eq(k->group, "apiextensions.k8s.io");
}

/* ---- what is filled ---- */

void crd_definition_defaults(struct arena *a, struct json *obj)
{
    struct json *spec = json_get(obj, "spec"), *names = json_get(spec, "names");
    const char *kind = text(names, "kind");
    if (names && *kind && !*text(names, "singular")) {
        json_set_str(names, "singular", lower(a, kind));
    }
    if (names && *kind && !*text(names, "listKind")) {
        json_set(names, "listKind", json_printf(a, "%sList", kind));
    }
    if (spec && !json_get(spec, "conversion")) {
        json_set_str(json_ensure_object(spec, "conversion"), "strategy", "None");
    }
}

static const char *storage_version(const struct json *obj)
{
    JSON_FOR_EACH (v, json_path(obj, "spec.versions")) {
        if (json_path_true(v, "storage", false)) {
            return text(v, "name");
        }
    }
    return "";
}

void crd_definition_create(struct arena *a, struct json *obj)
{
    struct json *status = json_set(obj, "status", json_object(a));
    struct json *names = json_set(status, "acceptedNames", json_object(a));
    json_set_str(names, "plural", "");
    json_set_str(names, "kind", "");
    json_set(status, "conditions", json_array(a));
    json_push(json_set(status, "storedVersions", json_array(a)),
              json_string(a, storage_version(obj)));
}

void crd_definition_update(struct arena *a, struct json *obj, const struct json *old, bool status)
{
    const char *version = storage_version(obj);
    (void)old;
    if (status) {
        return;
    }
    struct json *list = json_ensure_array(json_ensure_object(obj, "status"), "storedVersions");
    JSON_FOR_EACH (v, list) {
        if (cstr_eq(json_cstr(v, ""), version)) {
            return;
        }
    }
    if (*version) {
        struct json *more = json_clone(a, list);
        json_push(more, json_string(a, version));
        json_set(json_get(obj, "status"), "storedVersions", more);
    }
}

void crd_definition_deleted(struct json *obj)
{
    (void)obj_add_finalizer(obj, CRD_FINALIZER);
    (void)json_ensure_array(json_ensure_object(obj, "status"), "conditions");
    (void)obj_condition_set(
        obj, "Terminating", "True", "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
        wall_now());
}

/* ---- names ---- */

static void check_label(struct field_errors *e, const char *path, const struct json *v)
{
    const char *why = name_check_dns1035(json_text(v));
    if (why) {
        field_error(e, FIELD_INVALID, path, v, why);
    }
}

static void check_labels(struct field_errors *e, const char *path, const struct json *list)
{
    size_t i = 0;
    JSON_FOR_EACH (v, list) {
        check_label(e, arena_printf(e->arena, "%s[%zu]", path, i++), v);
    }
}

static void check_kind(struct field_errors *e, const char *path, const struct json *v)
{
    const char *s = json_cstr(v, "");
    const char *why = *s ? name_check_dns1035(str_of(lower(e->arena, s))) : NULL;
    if (!*s) {
        field_error(e, FIELD_REQUIRED, path, NULL, NULL);
    } else if (why) {
        field_error(
            e, FIELD_INVALID, path, v,
            arena_printf(e->arena, "may have mixed case, but should otherwise match: %s", why));
    }
}

static void check_names(struct field_errors *e, const struct json *names)
{
    static const char *const labels[] = {"plural", "singular"};
    for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
        const char *path = join(e, "spec.names", labels[i]);
        if (*text(names, labels[i])) {
            check_label(e, path, json_get(names, labels[i]));
        } else {
            field_error(e, FIELD_REQUIRED, path, NULL, NULL);
        }
    }
    check_kind(e, "spec.names.kind", json_get(names, "kind"));
    check_kind(e, "spec.names.listKind", json_get(names, "listKind"));
    check_labels(e, "spec.names.shortNames", json_get(names, "shortNames"));
    check_labels(e, "spec.names.categories", json_get(names, "categories"));
    if (*text(names, "kind") && cstr_eq(text(names, "kind"), text(names, "listKind"))) {
        field_error(e, FIELD_INVALID, "spec.names.listKind", json_get(names, "listKind"),
                    "kind and listKind may not be the same");
    }
}

/* The groups of the kinds that are compiled in are not to be had: their objects would lie under the
 * same keys. */
static bool is_own_group(const char *group)
{
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        if (!kinds[i]->custom && cstr_eq(kinds[i]->group, group)) {
            return true;
        }
    }
    return false;
}

static void check_group(struct field_errors *e, const struct json *obj)
{
    const struct json *group = json_path(obj, "spec.group");
    const char *g = json_cstr(group, ""), *plural = json_path_cstr(obj, "spec.names.plural", "");
    const char *why = *g ? name_check_dns_subdomain(str_of(g)) : NULL;
    if (!*g) {
        field_error(e, FIELD_REQUIRED, "spec.group", NULL, NULL);
    } else if (why) {
        field_error(e, FIELD_INVALID, "spec.group", group, why);
    } else if (!strchr(g, '.')) {
        field_error(e, FIELD_INVALID, "spec.group", group,
                    "should be a domain with at least one dot");
    } else if (is_own_group(g)) {
        field_error(e, FIELD_FORBIDDEN, "spec.group", NULL,
                    "the group belongs to the kinds of the server itself");
    }
    const char *name = arena_printf(e->arena, "%s.%s", plural, g);
    if (name && !cstr_eq(obj_name(obj), name)) {
        field_error_text(e, FIELD_INVALID, "metadata.name", obj_name(obj),
                         "must be spec.names.plural+\".\"+spec.group");
    }
}

static void check_approval(struct field_errors *e, const struct json *obj)
{
    struct str g = str_of(json_path_cstr(obj, "spec.group", ""));
    struct str v = str_of(obj_annotation(obj, "api-approved.kubernetes.io"));
    static const char path[] = "metadata.annotations[api-approved.kubernetes.io]";
    bool guarded = str_is(g, "k8s.io") || str_ends(g, ".k8s.io") || str_is(g, "kubernetes.io") ||
                   str_ends(g, ".kubernetes.io");
    if (guarded && v.n == 0) {
        field_error(e, FIELD_REQUIRED, path, NULL,
                    "protected groups must have approval annotation "
                    "\"api-approved.kubernetes.io\", see "
                    "https://github.com/kubernetes/enhancements/pull/1111");
    } else if (guarded && !str_starts(v, "unapproved") && !str_starts(v, "https://") &&
               !str_starts(v, "http://")) {
        field_error_text(e, FIELD_INVALID, path, v.p,
                         "protected groups must have approval annotation "
                         "\"api-approved.kubernetes.io\" with either a URL or a reason starting "
                         "with \"unapproved\", see "
                         "https://github.com/kubernetes/enhancements/pull/1111");
    }
}

/* ---- columns, subresources, selectable fields ---- */

static bool one_of(const char *s, const char *commas)
{
    struct str rest = str_of(commas), item;
    for (bool more = true; more;) {
        more = str_cut(rest, ',', &item, &rest);
        if (str_is(item, s)) {
            return true;
        }
    }
    return false;
}

static void check_column(struct field_errors *e, const char *path, const struct json *c)
{
    static const char types[] = "boolean,date,integer,number,string";
    static const char formats[] = "byte,date,date-time,double,float,int32,int64,password";
    static const char *const required[] = {"name", "type", "jsonPath"};
    for (size_t i = 0; i < ARRAY_SIZE(required); i++) {
        if (!*text(c, required[i])) {
            field_error(e, FIELD_REQUIRED, join(e, path, i == 2 ? "JSONPath" : required[i]), NULL,
                        NULL);
        }
    }
    if (*text(c, "type") && !one_of(text(c, "type"), types)) {
        field_error(e, FIELD_INVALID, join(e, path, "type"), json_get(c, "type"),
                    arena_printf(e->arena, "must be one of %s", types));
    }
    if (*text(c, "format") && !one_of(text(c, "format"), formats)) {
        field_error(e, FIELD_INVALID, join(e, path, "format"), json_get(c, "format"),
                    arena_printf(e->arena, "must be one of %s", formats));
    }
    const struct jsonpath *p;
    struct err err = {0};
    if (jsonpath_compile(e->arena, json_text(json_get(c, "jsonPath")), &p, &err) < 0) {
        field_error(e, FIELD_INVALID, join(e, path, "JSONPath"), json_get(c, "jsonPath"),
                    arena_strdup(e->arena, err.text));
    }
}

static void check_path(struct field_errors *e, const char *path, const struct json *v,
                       const char *const roots[2], const char *why)
{
    const struct jsonpath *p = NULL;
    struct str s = json_text(v);
    bool below = str_starts(s, roots[0]) || (roots[1] && str_starts(s, roots[1]));
    struct err err = {0};
    if (jsonpath_compile(e->arena, s, &p, &err) < 0 || !jsonpath_is_simple(p)) {
        field_error(e, FIELD_INVALID, path, v, "must be a simple json path starting with .");
    } else if (!below) {
        field_error(e, FIELD_INVALID, path, v, why);
    }
}

static void check_scale(struct field_errors *e, const char *path, const struct json *scale)
{
    static const struct {
        const char *name, *roots[2], *why;
        bool required;
    } paths[] = {
        {"specReplicasPath", {".spec.", NULL}, "should be a json path under .spec", true},
        {"statusReplicasPath", {".status.", NULL}, "should be a json path under .status", true},
        {"labelSelectorPath",
         {".status.", ".spec."},
         "should be a json path under either .status or .spec",
         false},
    };
    for (size_t i = 0; scale && i < ARRAY_SIZE(paths); i++) {
        const struct json *v = json_get(scale, paths[i].name);
        const char *at = join(e, path, paths[i].name);
        if (json_text(v).n) {
            check_path(e, at, v, paths[i].roots, paths[i].why);
        } else if (paths[i].required) {
            field_error(e, FIELD_REQUIRED, at, NULL, NULL);
        }
    }
}

static const struct json *schema_at(const struct json *schema, struct str path)
{
    struct str name;
    bool more = path.n > 0;
    while (more && schema) {
        more = str_cut(path, '.', &name, &path);
        schema = json_get_n(json_get(schema, "properties"), name);
    }
    return schema;
}

static void check_selectable(struct field_errors *e, const char *path, const struct json *list,
                             const struct json *schema)
{
    size_t i = 0;
    if (json_len(list) > SELECTABLE_MAX) {
        field_error(e, FIELD_TOO_MANY, path, json_int(e->arena, (int64_t)json_len(list)),
                    "must have at most 8 items");
    }
    JSON_FOR_EACH (f, list) {
        const char *at = arena_printf(e->arena, "%s[%zu].jsonPath", path, i++);
        struct str s = json_text(json_get(f, "jsonPath"));
        const struct jsonpath *p = NULL;
        struct err err = {0};
        const struct json *v = json_get(f, "jsonPath");
        if (s.n == 0) {
            field_error(e, FIELD_REQUIRED, at, NULL, NULL);
        } else if (s.p[0] != '.' || jsonpath_compile(e->arena, s, &p, &err) < 0 ||
                   !jsonpath_is_simple(p)) {
            field_error(e, FIELD_INVALID, at, v, "is an invalid path: must be a simple path");
        } else {
            const struct json *field = schema_at(schema, str_n(s.p + 1, s.n - 1));
            const char *type = text(field, "type");
            if (!field || str_starts(s, ".metadata")) {
                field_error(e, FIELD_INVALID, at, v,
                            "is an invalid path: does not refer to a valid field");
            } else if (!one_of(type, "string,integer,boolean")) {
                field_error(e, FIELD_INVALID, at, v,
                            "is an invalid path: must point to a field of type string, boolean or "
                            "integer. Enum string fields and strings with formats are allowed");
            }
        }
    }
}

/* ---- versions ---- */

/* Whether all versions have an equal member, which Kubernetes then shows at the top. */
static bool same_in_all(const struct json *versions, const char *member)
{
    const struct json *first = json_get(json_at(versions, 0), member);
    JSON_FOR_EACH (v, versions) {
        const struct json *m = json_get(v, member);
        if (m != first && !(m && first && json_equal(m, first))) {
            return false;
        }
    }
    return true;
}

static void check_schema(struct field_errors *e, const char *path, const struct json *v)
{
    const struct json *schema = json_path(v, "schema.openAPIV3Schema");
    size_t before = e->n;
    struct cel_rules *rules = NULL;
    if (!schema) {
        field_error(e, FIELD_REQUIRED, path, NULL, "schemas are required");
        return;
    }
    crd_structural_check(e, path, schema);
    if (e->n == before) {
        (void)cel_rules_compile(schema, path, crd_rule_problem, e, &rules); /* it has reported */
        cel_rules_free(rules);
    }
}

struct places {
    const char *schema, *columns, *subresources; /* of the version at hand */
    bool first_only_schema, first_only_columns, first_only_subresources;
};

static struct places places_of(struct field_errors *e, const struct json *versions, size_t i)
{
    struct places p = {.first_only_schema = same_in_all(versions, "schema"),
                       .first_only_columns = same_in_all(versions, "additionalPrinterColumns"),
                       .first_only_subresources = same_in_all(versions, "subresources")};
    const char *v = arena_printf(e->arena, "spec.versions[%zu]", i);
    v = v ? v : "";
    p.schema = p.first_only_schema ? "spec.validation.openAPIV3Schema"
                                   : join(e, v, "schema.openAPIV3Schema");
    p.columns = p.first_only_columns ? "spec.additionalPrinterColumns"
                                     : join(e, v, "additionalPrinterColumns");
    p.subresources = p.first_only_subresources ? "spec.subresources" : join(e, v, "subresources");
    return p;
}

static void check_version(struct field_errors *e, const struct json *versions, size_t i)
{
    const struct json *v = json_at(versions, i);
    struct places p = places_of(e, versions, i);
    const char *at = arena_printf(e->arena, "spec.versions[%zu]", i);
    const char *why = name_check_dns1035(str_of(text(v, "name")));
    size_t n = 0;
    if (why) {
        field_error(e, FIELD_INVALID, join(e, at ? at : "", "name"), json_get(v, "name"), why);
    }
    if (i == 0 || !p.first_only_schema) {
        check_schema(e, p.schema, v);
    }
    if (i == 0 || !p.first_only_columns) {
        JSON_FOR_EACH (c, json_get(v, "additionalPrinterColumns")) {
            const char *column = arena_printf(e->arena, "%s[%zu]", p.columns, n++);
            check_column(e, column ? column : "", c);
        }
    }
    if (i == 0 || !p.first_only_subresources) {
        check_scale(e, join(e, p.subresources, "scale"), json_path(v, "subresources.scale"));
    }
    check_selectable(e, join(e, at ? at : "", "selectableFields"), json_get(v, "selectableFields"),
                     json_path(v, "schema.openAPIV3Schema"));
    const struct json *warning = json_get(v, "deprecationWarning");
    if (warning && !json_path_true(v, "deprecated", false)) {
        field_error(e, FIELD_INVALID, join(e, at ? at : "", "deprecationWarning"), warning,
                    "can only be set for deprecated versions");
    }
}

static void check_versions(struct field_errors *e, const struct json *versions)
{
    size_t storage = 0;
    struct map names = MAP_INIT;
    bool unique = true;
    JSON_FOR_EACH (v, versions) {
        struct str name = json_text(json_get(v, "name"));
        storage += json_path_true(v, "storage", false);
        unique &= !map_get(&names, name);
        (void)map_put(&names, name, &names, NULL); /* without memory: one check less */
    }
    map_fini(&names, NULL);
    if (!unique) {
        field_error(e, FIELD_INVALID, "spec.versions", NULL, "must contain unique version names");
    }
    if (storage != 1) {
        field_error(e, FIELD_INVALID, "spec.versions", NULL,
                    "must have exactly one version marked as storage version");
    }
    for (size_t i = 0; i < json_len(versions); i++) {
        check_version(e, versions, i);
    }
}

static void check_conversion(struct field_errors *e, const struct json *conversion)
{
    const struct json *webhook = json_get(conversion, "webhook");
    const char *strategy = text(conversion, "strategy");
    static const char *const strategies[] = {"None", "Webhook", NULL};
    if (cstr_eq(strategy, "None")) {
        if (webhook) {
            field_error(e, FIELD_FORBIDDEN, "spec.conversion.webhook", NULL,
                        "should not be set when strategy is not set to Webhook");
        }
        return;
    }
    if (!cstr_eq(strategy, "Webhook")) {
        field_error_supported(e, "spec.conversion.strategy", strategy, strategies);
        return;
    }
    const struct json *config = json_get(webhook, "clientConfig");
    if (!config) {
        field_error(e, FIELD_REQUIRED, "spec.conversion.webhookClientConfig", NULL,
                    "required when strategy is set to Webhook");
    } else if (!*text(config, "url") == !json_get(config, "service")) {
        field_error(e, FIELD_REQUIRED, "spec.conversion.webhookClientConfig", NULL,
                    "exactly one of url or service is required");
    }
    bool known = false;
    JSON_FOR_EACH (v, json_get(webhook, "conversionReviewVersions")) {
        known |= one_of(json_cstr(v, ""), "v1,v1beta1");
    }
    if (!known) {
        field_error(e, FIELD_INVALID, "spec.conversion.conversionReviewVersions",
                    json_get(webhook, "conversionReviewVersions"),
                    "must include at least one of v1, v1beta1");
    }
}

/* ---- updates ---- */

static void check_immutable(struct field_errors *e, const struct json *obj, const struct json *old,
                            const char *path)
{
    const struct json *now = json_path(obj, path), *was = json_path(old, path);
    if (now != was && !(now && was && json_equal(now, was))) {
        field_error(e, FIELD_INVALID, path, now, "field is immutable");
    }
}

static void check_stored_versions(struct field_errors *e, const struct json *obj)
{
    size_t i = 0;
    JSON_FOR_EACH (stored, json_path(obj, "status.storedVersions")) {
        bool known = false;
        const char *name = json_cstr(stored, "");
        JSON_FOR_EACH (v, json_path(obj, "spec.versions")) {
            known |= cstr_eq(text(v, "name"), name);
        }
        if (!known) {
            const char *why = arena_printf(
                e->arena,
                "missing from spec.versions; %s was previously a storage version, and must remain "
                "in spec.versions until a storage migration ensures no data remains persisted in "
                "%s and removes %s from status.storedVersions",
                name, name, name);
            field_error(e, FIELD_INVALID, arena_printf(e->arena, "status.storedVersions[%zu]", i),
                        stored, why);
        }
        i++;
    }
}

void crd_definition_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const scopes[] = {"Cluster", "Namespaced", NULL};
    const struct json *spec = json_get(obj, "spec"), *versions = json_get(spec, "versions");
    const char *scope = text(spec, "scope");
    check_group(e, obj);
    if (!*scope) {
        field_error(e, FIELD_REQUIRED, "spec.scope", NULL, NULL);
    } else if (!one_of(scope, "Cluster,Namespaced")) {
        field_error_supported(e, "spec.scope", scope, scopes);
    }
    check_names(e, json_get(spec, "names"));
    if (json_path_true(spec, "preserveUnknownFields", false)) {
        field_error(e, FIELD_INVALID, "spec.preserveUnknownFields",
                    json_get(spec, "preserveUnknownFields"),
                    "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                    "spec.versions[*].schema instead");
    }
    bool same = old && json_equal(versions, json_path(old, "spec.versions"));
    if (!same) {
        check_versions(e, versions);
    }
    check_conversion(e, json_get(spec, "conversion"));
    check_approval(e, obj);
    if (old) {
        check_immutable(e, obj, old, "spec.group");
        check_immutable(e, obj, old, "spec.names.plural");
        if (obj_condition_true(old, "Established")) {
            check_immutable(e, obj, old, "spec.scope");
            check_immutable(e, obj, old, "spec.names.kind");
        }
        check_stored_versions(e, obj);
    }
}

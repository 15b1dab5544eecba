/* SPDX-License-Identifier: Apache-2.0 */
/* Metadata and the small checks that many kinds share (apimachinery pkg/api/validation). */
#include "api/validate.h"

#include "api/name.h"
#include "api/object.h"
#include "api/selector.h"
#include "base/mem.h"

#define ANNOTATIONS_MAX (256 << 10)

static void check_name(struct field_errors *e, const struct json *meta, validate_name_fn *check)
{
    const char *generate = json_cstr(json_get(meta, "generateName"), "");
    const char *name = json_cstr(json_get(meta, "name"), "");
    if (*generate) {
        /* The random tail makes a trailing '-' or '.' valid. */
        const char *whole =
            arena_printf(e->arena, "%.*sa", (int)MIN_OF(strlen(generate), 58u), generate);
        const char *why = check(str_of(whole));
        if (why) {
            field_error_text(e, FIELD_INVALID, "metadata.generateName", generate, why);
        }
    }
    if (!*name) {
        field_error(e, FIELD_REQUIRED, "metadata.name", NULL, "name or generateName is required");
        return;
    }
    const char *why = check(str_of(name));
    if (why) {
        field_error_text(e, FIELD_INVALID, "metadata.name", name, why);
    }
}

void validate_labels(struct field_errors *e, const char *path, const struct json *labels)
{
    JSON_FOR_EACH_MEMBER (m, labels) {
        const char *why = name_check_qualified(str_n(m->key, m->key_n));
        if (why) {
            field_error_text(e, FIELD_INVALID, path, m->key, why);
        }
        why = name_check_label_value(json_text(m->value));
        if (why) {
            field_error(e, FIELD_INVALID, path, m->value, why);
        }
    }
}

static void check_annotations(struct field_errors *e, const struct json *annotations)
{
    size_t total = 0;
    JSON_FOR_EACH_MEMBER (m, annotations) {
        char *lower = arena_strndup(e->arena, m->key, m->key_n);
        for (char *p = lower; p && *p; p++) {
            *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
        }
        const char *why = name_check_qualified(str_of(lower));
        if (why) {
            field_error_text(e, FIELD_INVALID, "metadata.annotations", m->key, why);
        }
        total += m->key_n + json_text(m->value).n;
    }
    if (total > ANNOTATIONS_MAX) {
        field_error(e, FIELD_TOO_LONG, "metadata.annotations", NULL,
                    "may not be more than 262144 bytes");
    }
}

static void check_owners(struct field_errors *e, const struct json *owners)
{
    static const char *const needed[] = {"apiVersion", "kind", "name", "uid"};
    int i = 0, controllers = 0;
    JSON_FOR_EACH (o, owners) {
        for (size_t k = 0; k < ARRAY_SIZE(needed); k++) {
            if (json_text(json_get(o, needed[k])).n == 0) {
                field_error_text(
                    e, FIELD_INVALID,
                    arena_printf(e->arena, "metadata.ownerReferences[%d].%s", i, needed[k]), "",
                    k == 0 ? "version must not be empty" : "must not be empty");
            }
        }
        controllers += json_path_true(o, "controller", false);
        i++;
    }
    if (controllers > 1) {
        field_error(e, FIELD_INVALID, "metadata.ownerReferences", owners,
                    "Only one reference can have Controller set to true");
    }
}

static void check_finalizers(struct field_errors *e, const struct json *finalizers)
{
    bool orphan = false, foreground = false;
    JSON_FOR_EACH (f, finalizers) {
        struct str s = json_text(f);
        const char *why = name_check_qualified(s);
        if (why) {
            field_error(e, FIELD_INVALID, "metadata.finalizers", f, why);
        }
        orphan |= str_is(s, "orphan");
        foreground |= str_is(s, "foregroundDeletion");
    }
    if (orphan && foreground) {
        field_error(e, FIELD_INVALID, "metadata.finalizers", finalizers,
                    "finalizer foregroundDeletion and orphan cannot be both set");
    }
}

void validate_metadata(struct field_errors *e, const struct json *obj, bool namespaced,
                       validate_name_fn *check)
{
    const struct json *meta = json_get(obj, "metadata");
    check_name(e, meta, check);
    const char *ns = obj_ns(obj);
    if (!namespaced && *ns) {
        field_error(e, FIELD_FORBIDDEN, "metadata.namespace", NULL, "not allowed on this type");
    } else if (namespaced && name_check_dns_label(str_of(ns))) {
        field_error_text(e, FIELD_INVALID, "metadata.namespace", ns,
                         name_check_dns_label(str_of(ns)));
    }
    validate_labels(e, "metadata.labels", json_get(meta, "labels"));
    check_annotations(e, json_get(meta, "annotations"));
    check_owners(e, json_get(meta, "ownerReferences"));
    check_finalizers(e, json_get(meta, "finalizers"));
}

static void check_new_finalizers(struct field_errors *e, const struct json *obj,
                                 const struct json *old)
{
    const char *list = "";
    JSON_FOR_EACH (f, json_path(obj, "metadata.finalizers")) {
        if (!obj_has_finalizer(old, json_cstr(f, ""))) {
            list = arena_printf(e->arena, "%s%s\"%s\"", list, *list ? ", " : "", json_cstr(f, ""));
        }
    }
    if (list && *list) {
        field_error(e, FIELD_FORBIDDEN, "metadata.finalizers", NULL,
                    arena_printf(e->arena,
                                 "no new finalizers can be added if the object is being deleted, "
                                 "found new finalizers []string{%s}",
                                 list));
    }
}

void validate_metadata_update(struct field_errors *e, const struct json *obj,
                              const struct json *old)
{
    static const char *const fixed[] = {"name", "namespace", "uid", "creationTimestamp"};
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        const char *path = arena_printf(e->arena, "metadata.%s", fixed[i]);
        validate_immutable(e, path, json_path(obj, path), json_path(old, path));
    }
    if (obj_deleting(old)) {
        check_new_finalizers(e, obj, old);
    }
}

void validate_not_negative(struct field_errors *e, const char *path, const struct json *n)
{
    if (json_is(n, JSON_INT) && n->i < 0) {
        field_error(e, FIELD_INVALID, path, n, "must be greater than or equal to 0");
    }
}

void validate_one_of(struct field_errors *e, const char *path, const struct json *value,
                     const char *const *supported)
{
    if (!json_is(value, JSON_STRING)) {
        return;
    }
    for (size_t i = 0; supported[i]; i++) {
        if (str_is(json_text(value), supported[i])) {
            return;
        }
    }
    field_error_supported(e, path, json_cstr(value, ""), supported);
}

bool validate_has_backstep(const char *path)
{
    struct str rest = str_of(path), part;
    for (bool more = true; more;) {
        more = str_cut(rest, '/', &part, &rest);
        if (str_is(part, "..")) {
            return true;
        }
    }
    return false;
}

void validate_immutable(struct field_errors *e, const char *path, const struct json *now,
                        const struct json *old)
{
    bool same = now && old ? json_equal(now, old) : now == old;
    if (!same) {
        field_error(e, FIELD_INVALID, path, now, "field is immutable");
    }
}

static void check_expression(struct field_errors *e, const char *path, const struct json *x)
{
    const char *key = json_path_cstr(x, "key", "");
    const char *op = json_path_cstr(x, "operator", "");
    size_t values = json_len(json_get(x, "values"));
    const char *values_path = arena_printf(e->arena, "%s.values", path);
    const char *op_path = arena_printf(e->arena, "%s.operator", path);
    if (cstr_eq(op, "In") || cstr_eq(op, "NotIn")) {
        if (values == 0) {
            field_error(e, FIELD_REQUIRED, values_path, NULL,
                        "must be specified when `operator` is 'In' or 'NotIn'");
        }
    } else if (cstr_eq(op, "Exists") || cstr_eq(op, "DoesNotExist")) {
        if (values > 0) {
            field_error(e, FIELD_FORBIDDEN, values_path, NULL,
                        "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
        }
    } else {
        field_error_text(e, FIELD_INVALID, op_path, op, "not a valid selector operator");
    }
    const char *why = name_check_qualified(str_of(key));
    if (why) {
        field_error_text(e, FIELD_INVALID, arena_printf(e->arena, "%s.key", path), key, why);
    }
}

void validate_label_selector(struct field_errors *e, const char *path, const struct json *selector)
{
    validate_labels(e, arena_printf(e->arena, "%s.matchLabels", path),
                    json_get(selector, "matchLabels"));
    int i = 0;
    JSON_FOR_EACH (x, json_get(selector, "matchExpressions")) {
        check_expression(e, arena_printf(e->arena, "%s.matchExpressions[%d]", path, i++), x);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas and limits of a namespace (ValidateResourceQuota, ValidateLimitRange). */
#include "api/name.h"
#include "api/object.h"
#include "api/quantity.h"
#include "api/rules/rules.h"
#include "base/mem.h"

/* ---- quotas ---- */

static bool is_standard(const char *name)
{
    static const char *const names[] = {"cpu",
                                        "memory",
                                        "ephemeral-storage",
                                        "storage",
                                        "requests.cpu",
                                        "requests.memory",
                                        "requests.storage",
                                        "requests.ephemeral-storage",
                                        "limits.cpu",
                                        "limits.memory",
                                        "limits.ephemeral-storage",
                                        "pods",
                                        "resourcequotas",
                                        "services",
                                        "replicationcontrollers",
                                        "secrets",
                                        "persistentvolumeclaims",
                                        "configmaps",
                                        "services.nodeports",
                                        "services.loadbalancers"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (cstr_eq(name, names[i])) {
            return true;
        }
    }
    return str_starts(str_of(name), "hugepages-");
}

static bool is_count(const char *name)
{
    static const char *const names[] = {"pods",
                                        "resourcequotas",
                                        "services",
                                        "replicationcontrollers",
                                        "secrets",
                                        "persistentvolumeclaims",
                                        "configmaps",
                                        "services.nodeports",
                                        "services.loadbalancers"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (cstr_eq(name, names[i])) {
            return true;
        }
    }
    return str_starts(str_of(name), "count/");
}

static void quota_amounts(struct field_errors *e, const char *path, const struct json *amounts)
{
    rule_amounts(e, path, amounts);
    JSON_FOR_EACH_MEMBER (m, amounts) {
        const char *p = rule_path(e, "%s[%s]", path, m->key);
        const char *why = name_check_qualified(str_n(m->key, m->key_n));
        struct quantity q;
        if (why) {
            field_error_text(e, FIELD_INVALID, p, m->key, why);
        } else if (!strchr(m->key, '/') && !is_standard(m->key)) {
            field_error_text(e, FIELD_INVALID, p, m->key, "must be a standard resource for quota");
        }
        if (is_count(m->key) && quantity_from_json(m->value, &q, NULL) == 0 &&
            q.nano % 1000000000 != 0) {
            field_error(e, FIELD_INVALID, p, m->value, "must be an integer");
        }
    }
}

static void quota_scopes(struct field_errors *e, const struct json *spec)
{
    static const char *const known[] = {"BestEffort",    "CrossNamespacePodAffinity",
                                        "NotBestEffort", "NotTerminating",
                                        "PriorityClass", "Terminating"};
    static const char *const operators[] = {"DoesNotExist", "Exists", "In", "NotIn", NULL};
    const struct json *scopes = json_get(spec, "scopes");
    JSON_FOR_EACH (scope, scopes) {
        bool fine = false;
        for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
            fine |= cstr_eq(json_cstr(scope, ""), known[i]);
        }
        if (!fine) {
            field_error(e, FIELD_INVALID, "spec.scopes", scopes, "unsupported scope");
        }
    }
    JSON_FOR_EACH (x, json_path(spec, "scopeSelector.matchExpressions")) {
        static const char path[] = "spec.scopeSelector.matchExpressions";
        const char *op = json_path_cstr(x, "operator", "");
        bool listed = cstr_eq(op, "In") || cstr_eq(op, "NotIn");
        validate_one_of(e, rule_path(e, "%s.operator", path), json_get(x, "operator"), operators);
        if (listed && json_len(json_get(x, "values")) == 0) {
            field_error(e, FIELD_REQUIRED, rule_path(e, "%s.values", path), NULL,
                        "must be at least one value when `operator` is 'In' or 'NotIn' for scope "
                        "selector");
        }
    }
}

/* Scopes other than BestEffort leave room for amounts; BestEffort counts pods alone. */
static bool scope_counts(const char *scope, const char *resource)
{
    static const char *const amounts[] = {"cpu",
                                          "memory",
                                          "ephemeral-storage",
                                          "requests.cpu",
                                          "requests.memory",
                                          "limits.cpu",
                                          "limits.memory",
                                          "pods",
                                          "count/pods",
                                          "requests.ephemeral-storage",
                                          "limits.ephemeral-storage"};
    if (cstr_eq(scope, "BestEffort")) {
        return cstr_eq(resource, "pods") || cstr_eq(resource, "count/pods");
    }
    for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
        if (cstr_eq(resource, amounts[i])) {
            return true;
        }
    }
    return false;
}

static bool has_scope(const struct json *scopes, const char *wanted)
{
    JSON_FOR_EACH (scope, scopes) {
        if (cstr_eq(json_cstr(scope, ""), wanted)) {
            return true;
        }
    }
    return false;
}

static void quota_scoped(struct field_errors *e, const struct json *spec)
{
    const struct json *scopes = json_get(spec, "scopes");
    JSON_FOR_EACH (scope, scopes) {
        JSON_FOR_EACH_MEMBER (m, json_get(spec, "hard")) {
            if (!scope_counts(json_cstr(scope, ""), m->key)) {
                field_error(e, FIELD_INVALID, "spec.scopes", scopes,
                            "unsupported scope applied to resource");
            }
        }
    }
    if ((has_scope(scopes, "BestEffort") && has_scope(scopes, "NotBestEffort")) ||
        (has_scope(scopes, "Terminating") && has_scope(scopes, "NotTerminating"))) {
        field_error(e, FIELD_INVALID, "spec.scopes", scopes, "conflicting scopes");
    }
}

static void quota_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    quota_amounts(e, "spec.hard", json_get(spec, "hard"));
    quota_scopes(e, spec);
    quota_scoped(e, spec);
    if (old) {
        validate_immutable(e, "spec.scopes", json_get(spec, "scopes"),
                           json_path(old, "spec.scopes"));
    }
}

const struct strategy rules_resource_quota = {
    .group = "", .kind = "ResourceQuota", .create = rule_status_reset, .validate = quota_validate};

/* ---- limit ranges ---- */

/* What a and b are called when a must not be more than b. */
struct order {
    const char *a, *b, *told, *text;
};

static void check_order(struct field_errors *e, const char *path, const struct json *item,
                        const struct order *o)
{
    JSON_FOR_EACH_MEMBER (m, json_get(item, o->a)) {
        struct quantity low, high;
        const struct json *other = json_get(json_get(item, o->b), m->key);
        if (other && quantity_from_json(m->value, &low, NULL) == 0 &&
            quantity_from_json(other, &high, NULL) == 0 && quantity_cmp(low, high) > 0) {
            const struct json *value = cstr_eq(o->told, o->a) ? m->value : other;
            const char *why = rule_path(e, o->text, json_cstr(m->value, ""), json_cstr(other, ""));
            field_error(e, FIELD_INVALID, rule_path(e, "%s.%s[%s]", path, o->told, m->key), value,
                        why);
        }
    }
}

static void ratios(struct field_errors *e, const char *path, const struct json *item)
{
    JSON_FOR_EACH_MEMBER (m, json_get(item, "maxLimitRequestRatio")) {
        struct quantity q;
        if (quantity_from_json(m->value, &q, NULL) == 0 &&
            quantity_cmp(q, quantity_of(1, QUANTITY_DECIMAL_SI)) < 0) {
            field_error(e, FIELD_INVALID, rule_path(e, "%s.maxLimitRequestRatio[%s]", path, m->key),
                        m->value, rule_path(e, "ratio %s is less than 1", json_cstr(m->value, "")));
        }
    }
}

static void item(struct field_errors *e, const char *path, const struct json *item)
{
    static const struct order orders[] = {
        {"min", "max", "min", "min value %s is greater than max value %s"},
        {"min", "defaultRequest", "defaultRequest",
         "min value %s is greater than default request value %s"},
        {"defaultRequest", "max", "defaultRequest",
         "default request value %s is greater than max value %s"},
        {"defaultRequest", "default", "defaultRequest",
         "default request value %s is greater than default limit value %s"},
        {"min", "default", "default", "min value %s is greater than default value %s"},
        {"default", "max", "default", "default value %s is greater than max value %s"},
    };
    static const char *const pod_only[] = {"default", "defaultRequest"};
    static const char *const lists[] = {"max", "min", "default", "defaultRequest",
                                        "maxLimitRequestRatio"};
    const char *type = json_path_cstr(item, "type", "");
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        rule_amounts(e, rule_path(e, "%s.%s", path, lists[i]), json_get(item, lists[i]));
    }
    for (size_t i = 0; i < ARRAY_SIZE(pod_only) && cstr_eq(type, "Pod"); i++) {
        if (json_len(json_get(item, pod_only[i]))) {
            field_error(e, FIELD_FORBIDDEN, rule_path(e, "%s.%s", path, pod_only[i]), NULL,
                        "may not be specified when `type` is 'Pod'");
        }
    }
    if (cstr_eq(type, "PersistentVolumeClaim") && !json_path(item, "min.storage") &&
        !json_path(item, "max.storage")) {
        field_error(e, FIELD_REQUIRED, path, NULL,
                    "either minimum or maximum storage value is required, but neither was "
                    "provided");
    }
    for (size_t i = 0; i < ARRAY_SIZE(orders); i++) {
        check_order(e, path, item, &orders[i]);
    }
    ratios(e, path, item);
}

static void range_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *limits = json_path(obj, "spec.limits");
    (void)old; /* everything may change */
    for (size_t i = 0; i < json_len(limits); i++) {
        const struct json *one = json_at(limits, i);
        const char *path = rule_path(e, "spec.limits[%zu]", i);
        const char *type = json_path_cstr(one, "type", "");
        rule_name(e, rule_path(e, "%s.type", path), json_get(one, "type"), name_check_qualified);
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(type, json_path_cstr(json_at(limits, k), "type", ""))) {
                field_error_text(e, FIELD_DUPLICATE, rule_path(e, "%s.type", path), type, NULL);
            }
        }
        item(e, path, one);
    }
}

const struct strategy rules_limit_range = {
    .group = "", .kind = "LimitRange", .validate = range_validate};

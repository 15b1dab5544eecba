/* SPDX-License-Identifier: Apache-2.0 */
/* Where a pod may run: affinity and spreading (ValidateAffinity, validateTopologySpreadConstraints
 * of pkg/apis/core/validation). */
#include "api/name.h"
#include "api/validate_pod_private.h"
#include "base/mem.h"

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

/* ---- nodes ---- */

static void node_values(struct pod_check *c, const char *path, const struct json *x)
{
    static const char *const operators[] = {"DoesNotExist", "Exists", "Gt", "In",
                                            "Lt",           "NotIn",  NULL};
    const char *op = json_path_cstr(x, "operator", "");
    size_t n = json_len(json_get(x, "values"));
    const char *values = pod_at(c, "%s.values", path);
    bool lists = cstr_eq(op, "In") || cstr_eq(op, "NotIn");
    bool compares = cstr_eq(op, "Gt") || cstr_eq(op, "Lt");
    if (lists && n == 0) {
        field_error(c->e, FIELD_REQUIRED, values, NULL,
                    "must be specified when `operator` is 'In' or 'NotIn'");
    } else if (compares && n != 1) {
        field_error(c->e, FIELD_REQUIRED, values, NULL,
                    "must be specified single value when `operator` is 'Lt' or 'Gt'");
    } else if (!lists && !compares && n > 0) {
        field_error(c->e, FIELD_FORBIDDEN, values, NULL,
                    "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    }
    for (size_t i = 0; operators[i]; i++) {
        if (cstr_eq(op, operators[i])) {
            return;
        }
    }
    field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.operator", path), op,
                     "not a valid selector operator");
}

static void node_term(struct pod_check *c, const char *path, const struct json *term)
{
    int i = 0;
    JSON_FOR_EACH (x, json_get(term, "matchExpressions")) {
        const char *p = pod_at(c, "%s.matchExpressions[%d]", path, i++);
        const char *why = name_check_qualified(json_text(json_get(x, "key")));
        if (why) {
            field_error(c->e, FIELD_INVALID, pod_at(c, "%s.key", p), json_get(x, "key"), why);
        }
        node_values(c, p, x);
    }
    i = 0;
    JSON_FOR_EACH (x, json_get(term, "matchFields")) {
        const char *p = pod_at(c, "%s.matchFields[%d]", path, i++);
        const char *op = json_path_cstr(x, "operator", ""), *key = json_path_cstr(x, "key", "");
        if (!cstr_eq(op, "In") && !cstr_eq(op, "NotIn")) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.operator", p), op,
                             "not a valid selector operator");
        } else if (json_len(json_get(x, "values")) != 1) {
            field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.values", p), NULL,
                        "must be only one value when `operator` is 'In' or 'NotIn' for node field "
                        "selector");
        }
        if (!cstr_eq(key, "metadata.name")) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.key", p), key,
                             "not a valid field selector key");
        }
    }
}

static void weight(struct pod_check *c, const char *path, const struct json *wish)
{
    int64_t n = json_path_i64(wish, "weight", 0);
    if (n < 1 || n > 100) {
        field_error(c->e, FIELD_INVALID, pod_at(c, "%s.weight", path), json_get(wish, "weight"),
                    "must be in the range 1-100");
    }
}

static void node_affinity(struct pod_check *c, const char *path, const struct json *affinity)
{
    const struct json *required = json_get(affinity, REQUIRED);
    const struct json *terms = json_get(required, "nodeSelectorTerms");
    int i = 0;
    if (required && json_len(terms) == 0) {
        field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s." REQUIRED ".nodeSelectorTerms", path),
                    NULL, "must have at least one node selector term");
    }
    JSON_FOR_EACH (term, terms) {
        node_term(c, pod_at(c, "%s." REQUIRED ".nodeSelectorTerms[%d]", path, i++), term);
    }
    i = 0;
    JSON_FOR_EACH (wish, json_get(affinity, PREFERRED)) {
        const char *p = pod_at(c, "%s." PREFERRED "[%d]", path, i++);
        weight(c, p, wish);
        node_term(c, pod_at(c, "%s.preference", p), json_get(wish, "preference"));
    }
}

/* ---- other pods ---- */

static void pod_term(struct pod_check *c, const char *path, const struct json *term)
{
    struct str key = json_text(json_get(term, "topologyKey"));
    validate_label_selector(c->e, pod_at(c, "%s.labelSelector", path),
                            json_get(term, "labelSelector"));
    validate_label_selector(c->e, pod_at(c, "%s.namespaceSelector", path),
                            json_get(term, "namespaceSelector"));
    if (key.n == 0) {
        field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.topologyKey", path), NULL,
                    "can not be empty");
    } else if (name_check_qualified(key)) {
        field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.topologyKey", path), key.p,
                         name_check_qualified(key));
    }
    int i = 0;
    JSON_FOR_EACH (ns, json_get(term, "namespaces")) {
        const char *why = name_check_dns_label(json_text(ns));
        if (why) {
            field_error(c->e, FIELD_INVALID, pod_at(c, "%s.namespace[%d]", path, i), ns, why);
        }
        i++;
    }
}

static void pod_affinity(struct pod_check *c, const char *path, const struct json *affinity)
{
    int i = 0;
    JSON_FOR_EACH (term, json_get(affinity, REQUIRED)) {
        pod_term(c, pod_at(c, "%s." REQUIRED "[%d]", path, i++), term);
    }
    i = 0;
    JSON_FOR_EACH (wish, json_get(affinity, PREFERRED)) {
        const char *p = pod_at(c, "%s." PREFERRED "[%d]", path, i++);
        weight(c, p, wish);
        pod_term(c, pod_at(c, "%s.podAffinityTerm", p), json_get(wish, "podAffinityTerm"));
    }
}

/* ---- spreading ---- */

static void spread(struct pod_check *c, const char *path, const struct json *list, size_t at)
{
    static const char *const actions[] = {"DoNotSchedule", "ScheduleAnyway", NULL};
    static const char *const policies[] = {"Honor", "Ignore", NULL};
    const struct json *s = json_at(list, at), *skew = json_get(s, "maxSkew");
    const struct json *domains = json_get(s, "minDomains");
    struct str key = json_text(json_get(s, "topologyKey"));
    const char *action = json_path_cstr(s, "whenUnsatisfiable", "");
    if (json_i64(skew, 0) <= 0) {
        field_error(c->e, FIELD_INVALID, pod_at(c, "%s.maxSkew", path), skew,
                    "must be greater than zero");
    }
    if (key.n == 0) {
        field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.topologyKey", path), NULL,
                    "can not be empty");
    }
    validate_one_of(c->e, pod_at(c, "%s.whenUnsatisfiable", path), json_get(s, "whenUnsatisfiable"),
                    actions);
    if (domains && json_i64(domains, 0) <= 0) {
        field_error(c->e, FIELD_INVALID, pod_at(c, "%s.minDomains", path), domains,
                    "must be greater than zero");
    } else if (domains && !cstr_eq(action, "DoNotSchedule")) {
        field_error(c->e, FIELD_INVALID, pod_at(c, "%s.minDomains", path), domains,
                    pod_at(c, "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not %s",
                           action));
    }
    validate_one_of(c->e, pod_at(c, "%s.nodeAffinityPolicy", path),
                    json_get(s, "nodeAffinityPolicy"), policies);
    validate_one_of(c->e, pod_at(c, "%s.nodeTaintsPolicy", path), json_get(s, "nodeTaintsPolicy"),
                    policies);
    validate_label_selector(c->e, pod_at(c, "%s.labelSelector", path),
                            json_get(s, "labelSelector"));
    for (size_t i = 0; i < at; i++) {
        const struct json *t = json_at(list, i);
        if (str_eq(json_text(json_get(t, "topologyKey")), key) &&
            cstr_eq(json_path_cstr(t, "whenUnsatisfiable", ""), action)) {
            field_error_text(c->e, FIELD_DUPLICATE,
                             pod_at(c, "%s.{topologyKey, whenUnsatisfiable}", path),
                             pod_at(c, "{%s, %s}", key.p, action), NULL);
        }
    }
}

void pod_check_placement(struct pod_check *c, const char *path, const struct json *spec)
{
    const struct json *affinity = json_get(spec, "affinity");
    const struct json *spreads = json_get(spec, "topologySpreadConstraints");
    node_affinity(c, pod_at(c, "%s.affinity.nodeAffinity", path),
                  json_get(affinity, "nodeAffinity"));
    pod_affinity(c, pod_at(c, "%s.affinity.podAffinity", path), json_get(affinity, "podAffinity"));
    pod_affinity(c, pod_at(c, "%s.affinity.podAntiAffinity", path),
                 json_get(affinity, "podAntiAffinity"));
    for (size_t i = 0; i < json_len(spreads); i++) {
        spread(c, pod_at(c, "%s.topologySpreadConstraints[%zu]", path, i), spreads, i);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ValidatingAdmissionPolicies and their bindings (pkg/apis/admissionregistration/validation).
 *
 * Expressions are compiled in the environment in which they will run, one after the other: a
 * variable is seen by what comes after it.
 */
#include "api/name.h"
#include "api/rules/admission.h"
#include "api/rules/rules.h"
#include "base/limits.h"
#include "base/mem.h"

#define GROUP "admissionregistration.k8s.io"

enum { ANNOTATIONS_MAX = 20, ANNOTATION_VALUE_MAX = 5 * 1024 };

/* ---- which requests ---- */

static void named_rule(struct field_errors *e, const char *path, const struct json *r)
{
    const struct json *names = json_get(r, "resourceNames");
    for (size_t i = 0; i < json_len(names); i++) {
        const struct json *name = json_at(names, i);
        const char *p = rule_path(e, "%s.resourceNames[%zu]", path, i);
        rule_name(e, p, name, name_check_path_segment);
        for (size_t k = 0; k < i; k++) {
            if (json_equal(json_at(names, k), name)) {
                field_error(e, FIELD_DUPLICATE, p, name, NULL);
                break;
            }
        }
    }
    rule_of_operations(e, path, r);
}

static void match_resources(struct field_errors *e, const char *path, const struct json *m)
{
    static const char *const policies[] = {"Equivalent", "Exact", NULL};
    static const char *const lists[] = {"resourceRules", "excludeResourceRules"};
    validate_one_of(e, rule_path(e, "%s.matchPolicy", path), json_get(m, "matchPolicy"), policies);
    validate_label_selector(e, rule_path(e, "%s.namespaceSelector", path),
                            json_get(m, "namespaceSelector"));
    validate_label_selector(e, rule_path(e, "%s.objectSelector", path),
                            json_get(m, "objectSelector"));
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        int n = 0;
        JSON_FOR_EACH (r, json_get(m, lists[i])) {
            named_rule(e, rule_path(e, "%s.%s[%d]", path, lists[i], n++), r);
        }
    }
}

/* ---- the policy ---- */

static void param_kind(struct field_errors *e, const struct json *kind)
{
    const char *path = "spec.paramKind";
    const struct json *version = json_get(kind, "apiVersion"), *name = json_get(kind, "kind");
    if (rule_required(e, path, kind, "apiVersion")) {
        struct str group = STR_NULL, v = json_text(version);
        const char *p = rule_path(e, "%s.apiVersion", path);
        if (str_cut(v, '/', &group, &v)) {
            const char *why = name_check_dns_subdomain(group);
            if (why) {
                field_error_text(e, FIELD_INVALID, p, arena_str(e->arena, group), why);
            }
        } else {
            v = json_text(version);
        }
        if (v.n == 0) {
            field_error(e, FIELD_INVALID, p, version, "version must be specified");
        } else if (name_check_dns1035(v)) {
            field_error_text(e, FIELD_INVALID, p, arena_str(e->arena, v), name_check_dns1035(v));
        }
    }
    if (rule_required(e, path, kind, "kind")) {
        char *lower = arena_str(e->arena, json_text(name));
        for (char *c = lower; c && *c; c++) {
            *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        }
        const char *why = name_check_dns1035(str_of(lower));
        if (why) {
            field_error(e, FIELD_INVALID, rule_path(e, "%s.kind", path), name,
                        rule_path(e, "may have mixed case, but should otherwise match: %s", why));
        }
    }
}

static bool blank(const struct json *text)
{
    struct str s = json_text(text);
    for (size_t i = 0; i < s.n; i++) {
        if (!strchr(" \t\r\n\v\f", s.p[i])) {
            return false;
        }
    }
    return true;
}

/* An expression that must be there. */
static void expression(struct field_errors *e, const char *path, const struct json *text,
                       const struct cel_admission_env *env, enum cel_admission_want want)
{
    if (blank(text)) {
        field_error(e, FIELD_REQUIRED, path, NULL, "expression is not specified");
        return;
    }
    const char *problem =
        cel_admission_compile(env, e->arena, /* authorizer= */ true, json_text(text), want, NULL);
    if (problem) {
        field_error(e, FIELD_INVALID, path, text, problem);
    }
}

static bool is_identifier(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9')) {
            return false;
        }
    }
    return s.n > 0;
}

static void variable(struct field_errors *e, const char *path, const struct json *list, size_t i,
                     struct cel_admission_env *env)
{
    const struct json *v = json_at(list, i), *name = json_get(v, "name");
    const struct json *text = json_get(v, "expression");
    const char *p = rule_path(e, "%s.name", path);
    if (blank(name)) {
        field_error(e, FIELD_REQUIRED, p, NULL, "name is not specified");
    } else if (!is_identifier(json_text(name))) {
        field_error(e, FIELD_INVALID, p, name, "name is not a valid CEL identifier");
    }
    for (size_t k = 0; k < i; k++) {
        if (json_equal(name, json_get(json_at(list, k), "name"))) {
            field_error(e, FIELD_DUPLICATE, p, name, NULL);
            return;
        }
    }
    p = rule_path(e, "%s.expression", path);
    if (blank(text)) {
        field_error(e, FIELD_REQUIRED, p, NULL, "expression is not specified");
        return;
    }
    const char *problem = cel_admission_declare(env, e->arena, json_text(name), json_text(text));
    if (problem) {
        field_error(e, FIELD_INVALID, p, text, problem);
    }
}

static void message(struct field_errors *e, const char *path, const struct json *v,
                    const struct cel_admission_env *env)
{
    const struct json *text = json_get(v, "message"), *computed = json_get(v, "messageExpression");
    const char *p = rule_path(e, "%s.messageExpression", path);
    if (json_text(computed).n && blank(computed)) {
        field_error(e, FIELD_INVALID, p, computed, "must be non-empty if specified");
    } else if (json_text(computed).n) {
        const char *problem = cel_admission_compile(env, e->arena, /* authorizer= */ false,
                                                    json_text(computed), CEL_WANT_STRING, NULL);
        if (problem) {
            field_error(e, FIELD_INVALID, p, computed, problem);
        }
    }
    p = rule_path(e, "%s.message", path);
    if (json_text(text).n && blank(text)) {
        field_error(e, FIELD_INVALID, p, text, "message must be non-empty if specified");
    } else if (memchr(json_text(text).p ? json_text(text).p : "", '\n', json_text(text).n)) {
        field_error(e, FIELD_INVALID, p, text, "message must not contain line breaks");
    }
}

static void validation(struct field_errors *e, const char *path, const struct json *v,
                       const struct cel_admission_env *env)
{
    static const char *const reasons[] = {"Forbidden", "Invalid", "RequestEntityTooLarge", NULL};
    expression(e, rule_path(e, "%s.expression", path), json_get(v, "expression"), env,
               CEL_WANT_BOOL);
    message(e, path, v, env);
    validate_one_of(e, rule_path(e, "%s.reason", path), json_get(v, "reason"), reasons);
}

static void annotation(struct field_errors *e, const char *path, const char *policy,
                       const struct json *list, size_t i, const struct cel_admission_env *env)
{
    const struct json *a = json_at(list, i), *key = json_get(a, "key");
    const struct json *value = json_get(a, "valueExpression");
    const char *p = rule_path(e, "%s.key", path);
    const char *why =
        name_check_qualified(str_of(rule_path(e, "%s/%s", policy, json_cstr(key, ""))));
    if (why) {
        field_error(e, FIELD_INVALID, p, key, why);
    }
    for (size_t k = 0; k < i; k++) {
        if (json_equal(key, json_get(json_at(list, k), "key"))) {
            field_error(e, FIELD_DUPLICATE, p, key, NULL);
            break;
        }
    }
    p = rule_path(e, "%s.valueExpression", path);
    if (blank(value)) {
        field_error(e, FIELD_REQUIRED, p, NULL, "valueExpression is not specified");
    } else if (json_text(value).n > ANNOTATION_VALUE_MAX) {
        field_error(e, FIELD_REQUIRED, p, NULL,
                    rule_path(e, "must not exceed %d bytes in length", ANNOTATION_VALUE_MAX));
    } else {
        expression(e, p, value, env, CEL_WANT_STRING_OR_NULL);
    }
}

static void annotations(struct field_errors *e, const char *policy, const struct json *list,
                        const struct cel_admission_env *env)
{
    if (json_len(list) > ANNOTATIONS_MAX) {
        field_error(e, FIELD_INVALID, "spec.auditAnnotations", list,
                    "must not have more than 20 auditAnnotations");
    }
    for (size_t i = 0; i < json_len(list); i++) {
        annotation(e, rule_path(e, "spec.auditAnnotations[%zu]", i), policy, list, i, env);
    }
}

/* Each of them costs a compilation, and more on every request. */
static bool too_many(struct field_errors *e, const char *path, const struct json *list)
{
    if (json_len(list) <= LIMIT_POLICY_ITEMS) {
        return false;
    }
    field_error(e, FIELD_TOO_MANY, path, list,
                rule_path(e, "must have at most %d items", LIMIT_POLICY_ITEMS));
    return true;
}

static void expressions(struct field_errors *e, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec"), *variables = json_get(spec, "variables");
    const struct json *list = json_get(spec, "validations");
    const struct cel_admission_opts opts = {.params = json_get(spec, "paramKind") != NULL,
                                            .max_variables = (uint32_t)json_len(variables)};
    CLEANUP(cel_admission_env_freep) struct cel_admission_env *env = cel_admission_env_new(&opts);
    if (!env) {
        field_error(e, FIELD_INVALID, "spec", NULL, "out of memory");
        return;
    }
    rule_match_conditions(e, "spec.matchConditions", json_get(spec, "matchConditions"), env);
    if (too_many(e, "spec.variables", variables) || too_many(e, "spec.validations", list)) {
        return;
    }
    for (size_t i = 0; i < json_len(variables); i++) {
        variable(e, rule_path(e, "spec.variables[%zu]", i), variables, i, env);
    }
    if (json_len(list) == 0 && json_len(json_get(spec, "auditAnnotations")) == 0) {
        const char *why = "validations or auditAnnotations must be supplied";
        field_error(e, FIELD_REQUIRED, "spec.validations", NULL, why);
        field_error(e, FIELD_REQUIRED, "spec.auditAnnotations", NULL, why);
    }
    for (size_t i = 0; i < json_len(list); i++) {
        validation(e, rule_path(e, "spec.validations[%zu]", i), json_at(list, i), env);
    }
    annotations(e, json_path_cstr(obj, "metadata.name", ""), json_get(spec, "auditAnnotations"),
                env);
}

static void policy(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const failures[] = {"Fail", "Ignore", NULL};
    const struct json *spec = json_get(obj, "spec"), *match = json_get(spec, "matchConstraints");
    if (old && json_equal(spec, json_get(old, "spec"))) {
        return; /* what was right stays so */
    }
    validate_one_of(e, "spec.failurePolicy", json_get(spec, "failurePolicy"), failures);
    if (json_get(spec, "paramKind")) {
        param_kind(e, json_get(spec, "paramKind"));
    }
    if (!match) {
        field_error(e, FIELD_REQUIRED, "spec.matchConstraints", NULL, NULL);
    } else {
        match_resources(e, "spec.matchConstraints", match);
    }
    if (match && json_len(json_get(match, "resourceRules")) == 0) {
        field_error(e, FIELD_REQUIRED, "spec.matchConstraints.resourceRules", NULL, NULL);
    }
    expressions(e, obj);
}

/* ---- the binding ---- */

static void param_ref(struct field_errors *e, const struct json *ref)
{
    static const char *const actions[] = {"Allow", "Deny", NULL};
    const char *path = "spec.paramRef", *both = "name and selector are mutually exclusive";
    const struct json *name = json_get(ref, "name"), *selector = json_get(ref, "selector");
    bool named = json_text(name).n > 0;
    if (named) {
        rule_name(e, rule_path(e, "%s.name", path), name, name_check_path_segment);
    }
    if (named && selector) {
        field_error(e, FIELD_FORBIDDEN, rule_path(e, "%s.name", path), NULL, both);
    }
    if (selector) {
        validate_label_selector(e, rule_path(e, "%s.selector", path), selector);
    }
    if (named && selector) {
        field_error(e, FIELD_FORBIDDEN, rule_path(e, "%s.selector", path), NULL, both);
    }
    if (!named && !selector) {
        field_error(e, FIELD_REQUIRED, path, NULL, "one of name or selector must be specified");
    }
    if (rule_required(e, path, ref, "parameterNotFoundAction")) {
        validate_one_of(e, rule_path(e, "%s.parameterNotFoundAction", path),
                        json_get(ref, "parameterNotFoundAction"), actions);
    }
}

static void actions(struct field_errors *e, const struct json *list)
{
    static const char *const known[] = {"Audit", "Deny", "Warn", NULL};
    const char *path = "spec.validationActions";
    bool deny = false, warn = false;
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *action = json_at(list, i);
        const char *p = rule_path(e, "%s[%zu]", path, i);
        validate_one_of(e, p, action, known);
        deny |= cstr_eq(json_cstr(action, ""), "Deny");
        warn |= cstr_eq(json_cstr(action, ""), "Warn");
        for (size_t k = 0; k < i; k++) {
            if (json_equal(json_at(list, k), action)) {
                field_error(e, FIELD_DUPLICATE, p, action, NULL);
                break;
            }
        }
    }
    if (deny && warn) {
        field_error(e, FIELD_INVALID, path, list,
                    "must not contain both Deny and Warn (repeating the same validation failure "
                    "information in the API response and headers serves no purpose)");
    }
    if (json_len(list) == 0) {
        field_error(e, FIELD_REQUIRED, path, NULL, "at least one validation action is required");
    }
}

static void binding(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    (void)old; /* everything may change */
    if (rule_required(e, "spec", spec, "policyName")) {
        rule_name(e, "spec.policyName", json_get(spec, "policyName"), name_check_dns_subdomain);
    }
    if (json_get(spec, "paramRef")) {
        param_ref(e, json_get(spec, "paramRef"));
    }
    if (json_get(spec, "matchResources")) {
        match_resources(e, "spec.matchResources", json_get(spec, "matchResources"));
    }
    actions(e, json_get(spec, "validationActions"));
}

const struct strategy rules_admission_policy = {.group = GROUP,
                                                .kind = "ValidatingAdmissionPolicy",
                                                .create = rule_status_reset,
                                                .validate = policy,
                                                .needs_version = true};
const struct strategy rules_admission_policy_binding = {.group = GROUP,
                                                        .kind = "ValidatingAdmissionPolicyBinding",
                                                        .validate = binding,
                                                        .needs_version = true};

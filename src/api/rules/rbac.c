/* SPDX-License-Identifier: Apache-2.0 */
/* Roles and bindings (pkg/apis/rbac/validation). Who may grant what is auth/'s business. */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/rules.h"
#include "base/mem.h"

#define GROUP "rbac.authorization.k8s.io"

/* ---- roles ---- */

static void policy_rule(struct field_errors *e, const char *path, const struct json *rule,
                        bool namespaced)
{
    static const char *const lists[][2] = {
        {"apiGroups", "resource rules must supply at least one api group"},
        {"resources", "resource rules must supply at least one resource"}};
    const struct json *urls = json_get(rule, "nonResourceURLs");
    if (json_len(json_get(rule, "verbs")) == 0) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.verbs", path), NULL,
                    "verbs must contain at least one value");
    }
    if (json_len(urls)) {
        const char *p = rule_path(e, "%s.nonResourceURLs", path);
        if (namespaced) {
            field_error(e, FIELD_INVALID, p, urls,
                        "namespaced rules cannot apply to non-resource URLs");
        }
        if (json_len(json_get(rule, "apiGroups")) + json_len(json_get(rule, "resources")) +
            json_len(json_get(rule, "resourceNames"))) {
            field_error(e, FIELD_INVALID, p, urls,
                        "rules cannot apply to both regular resources and non-resource URLs");
        }
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        if (json_len(json_get(rule, lists[i][0])) == 0) {
            field_error(e, FIELD_REQUIRED, rule_path(e, "%s.%s", path, lists[i][0]), NULL,
                        lists[i][1]);
        }
    }
}

static void policy_rules(struct field_errors *e, const struct json *obj, bool namespaced)
{
    int i = 0;
    JSON_FOR_EACH (rule, json_get(obj, "rules")) {
        policy_rule(e, rule_path(e, "rules[%d]", i++), rule, namespaced);
    }
}

static void role_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    (void)old; /* everything may change */
    policy_rules(e, obj, true);
}

static void cluster_role_validate(struct field_errors *e, const struct json *obj,
                                  const struct json *old)
{
    static const char path[] = "aggregationRule.clusterRoleSelectors";
    const struct json *rule = json_get(obj, "aggregationRule");
    const struct json *selectors = json_get(rule, "clusterRoleSelectors");
    (void)old;
    policy_rules(e, obj, false);
    if (rule && json_len(selectors) == 0) {
        field_error(e, FIELD_REQUIRED, path, NULL,
                    "at least one clusterRoleSelector required if aggregationRule is non-nil");
    }
    int i = 0;
    JSON_FOR_EACH (s, selectors) {
        validate_label_selector(e, rule_path(e, "%s[%d]", path, i++), s);
    }
}

const struct strategy rules_role = {.group = GROUP,
                                    .kind = "Role",
                                    .check_name = name_check_path_segment,
                                    .validate = role_validate};
const struct strategy rules_cluster_role = {.group = GROUP,
                                            .kind = "ClusterRole",
                                            .check_name = name_check_path_segment,
                                            .validate = cluster_role_validate};

/* ---- bindings ---- */

static void role_ref(struct field_errors *e, const struct json *ref, const char *const *kinds)
{
    static const char *const groups[] = {GROUP, NULL};
    validate_one_of(e, "roleRef.apiGroup", json_get(ref, "apiGroup"), groups);
    validate_one_of(e, "roleRef.kind", json_get(ref, "kind"), kinds);
    if (rule_required(e, "roleRef", ref, "name")) {
        rule_name(e, "roleRef.name", json_get(ref, "name"), name_check_path_segment);
    }
}

static void subject_group(struct field_errors *e, const char *path, const struct json *s,
                          const char *wanted)
{
    const char *const groups[] = {wanted, NULL};
    const char *group = json_path_cstr(s, "apiGroup", "");
    if (!cstr_eq(group, wanted)) {
        field_error_supported(e, rule_path(e, "%s.apiGroup", path), group, groups);
    }
}

static void subject(struct field_errors *e, const char *path, const struct json *s,
                    bool needs_namespace)
{
    static const char *const kinds[] = {"ServiceAccount", "User", "Group", NULL};
    const struct json *name = json_get(s, "name");
    const char *kind = json_path_cstr(s, "kind", "");
    (void)rule_required(e, path, s, "name"); /* told */
    if (cstr_eq(kind, "ServiceAccount")) {
        if (json_text(name).n) {
            rule_name(e, rule_path(e, "%s.name", path), name, name_check_dns_subdomain);
        }
        subject_group(e, path, s, "");
        if (needs_namespace) {
            (void)rule_required(e, path, s, "namespace"); /* told */
        }
    } else if (cstr_eq(kind, "User") || cstr_eq(kind, "Group")) {
        subject_group(e, path, s, GROUP);
    } else {
        field_error_supported(e, rule_path(e, "%s.kind", path), kind, kinds);
    }
}

static void binding(struct field_errors *e, const struct json *obj, const struct json *old,
                    const char *const *kinds, bool needs_namespace)
{
    const struct json *ref = json_get(obj, "roleRef"), *was = json_get(old, "roleRef");
    int i = 0;
    role_ref(e, ref, kinds);
    JSON_FOR_EACH (s, json_get(obj, "subjects")) {
        subject(e, rule_path(e, "subjects[%d]", i++), s, needs_namespace);
    }
    if (old && !(ref && was && json_equal(ref, was))) {
        field_error(e, FIELD_INVALID, "roleRef", ref, "cannot change roleRef");
    }
}

static void role_binding_validate(struct field_errors *e, const struct json *obj,
                                  const struct json *old)
{
    static const char *const kinds[] = {"Role", "ClusterRole", NULL};
    binding(e, obj, old, kinds, false);
}

static void cluster_role_binding_validate(struct field_errors *e, const struct json *obj,
                                          const struct json *old)
{
    static const char *const kinds[] = {"ClusterRole", NULL};
    binding(e, obj, old, kinds, true);
}

const struct strategy rules_role_binding = {.group = GROUP,
                                            .kind = "RoleBinding",
                                            .check_name = name_check_path_segment,
                                            .validate = role_binding_validate};
const struct strategy rules_cluster_role_binding = {.group = GROUP,
                                                    .kind = "ClusterRoleBinding",
                                                    .check_name = name_check_path_segment,
                                                    .validate = cluster_role_binding_validate};

/* SPDX-License-Identifier: Apache-2.0 */
/* What webhooks and admission policies have in common (pkg/apis/admissionregistration/validation).
 */
#include "api/name.h"
#include "api/rules/admission.h"
#include "api/rules/rules.h"
#include "base/mem.h"

enum { CONDITIONS_MAX = 64 };

static bool holds(const struct json *list, const char *text)
{
    JSON_FOR_EACH (item, list) {
        if (cstr_eq(json_cstr(item, ""), text)) {
            return true;
        }
    }
    return false;
}

void rule_of_operations(struct field_errors *e, const char *path, const struct json *rule)
{
    static const char *const operations[] = {"*", "CONNECT", "CREATE", "DELETE", "UPDATE", NULL};
    static const char *const scopes[] = {"*", "Cluster", "Namespaced", NULL};
    static const char *const lists[][2] = {{"operations", "operations"},
                                           {"apiGroups", "API groups"},
                                           {"apiVersions", "API versions"},
                                           {"resources", "resources"}};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        const struct json *list = json_get(rule, lists[i][0]);
        const char *p = rule_path(e, "%s.%s", path, lists[i][0]);
        if (json_len(list) == 0) {
            field_error(e, FIELD_REQUIRED, p, NULL, NULL);
        } else if (i < 3 && json_len(list) > 1 && holds(list, "*")) {
            field_error(e, FIELD_INVALID, p, list,
                        rule_path(e, "if '*' is present, must not specify other %s", lists[i][1]));
        }
    }
    int i = 0;
    JSON_FOR_EACH (op, json_get(rule, "operations")) {
        validate_one_of(e, rule_path(e, "%s.operations[%d]", path, i++), op, operations);
    }
    i = 0;
    JSON_FOR_EACH (version, json_get(rule, "apiVersions")) {
        if (!json_text(version).n) {
            field_error(e, FIELD_REQUIRED, rule_path(e, "%s.apiVersions[%d]", path, i), NULL, NULL);
        }
        i++;
    }
    validate_one_of(e, rule_path(e, "%s.scope", path), json_get(rule, "scope"), scopes);
}

static void expression(struct field_errors *e, const char *path, const struct json *text,
                       const struct cel_admission_env *env)
{
    const char *problem = env ? cel_admission_compile(env, e->arena, /* authorizer= */ true,
                                                      json_text(text), CEL_WANT_BOOL, NULL)
                              : cel_condition_problem(e->arena, json_text(text));
    if (problem) {
        field_error(e, FIELD_INVALID, path, text, problem);
    }
}

void rule_match_conditions(struct field_errors *e, const char *path, const struct json *list,
                           const struct cel_admission_env *env)
{
    if (json_len(list) > CONDITIONS_MAX) {
        field_error(e, FIELD_TOO_MANY, path, list, "must have at most 64 items");
        return;
    }
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *c = json_at(list, i);
        const char *p = rule_path(e, "%s[%zu]", path, i);
        if (rule_required(e, p, c, "expression")) {
            expression(e, rule_path(e, "%s.expression", p), json_get(c, "expression"), env);
        }
        if (rule_required(e, p, c, "name")) {
            rule_name(e, rule_path(e, "%s.name", p), json_get(c, "name"), name_check_qualified);
        }
        for (size_t k = 0; k < i; k++) {
            if (json_equal(json_get(c, "name"), json_get(json_at(list, k), "name"))) {
                field_error(e, FIELD_DUPLICATE, rule_path(e, "%s.name", p), json_get(c, "name"),
                            NULL);
                break;
            }
        }
    }
}

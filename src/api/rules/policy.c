/* SPDX-License-Identifier: Apache-2.0 */
/* Disruption budgets, priority classes and runtime classes (pkg/apis/{policy,scheduling,node}). */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/rules.h"
#include "base/mem.h"

/* ---- budgets ---- */

static void budget_create(struct arena *a, struct json *obj)
{
    static const char *const numbers[] = {"currentHealthy", "desiredHealthy", "disruptionsAllowed",
                                          "expectedPods"};
    struct json *status = json_set(obj, "status", json_object(a));
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        json_set_int(status, numbers[i], 0);
    }
}

static void budget_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const evictions[] = {"AlwaysAllow", "IfHealthyBudget", NULL};
    const struct json *spec = json_get(obj, "spec");
    const struct json *min = json_get(spec, "minAvailable"),
                      *max = json_get(spec, "maxUnavailable");
    (void)old; /* everything may change */
    if (min && max) {
        field_error(e, FIELD_INVALID, "spec", spec,
                    "minAvailable and maxUnavailable cannot be both set");
    }
    rule_int_or_percent(e, "spec.minAvailable", min, true);
    rule_int_or_percent(e, "spec.maxUnavailable", max, true);
    validate_label_selector(e, "spec.selector", json_get(spec, "selector"));
    validate_one_of(e, "spec.unhealthyPodEvictionPolicy",
                    json_get(spec, "unhealthyPodEvictionPolicy"), evictions);
}

static void budget_status(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const numbers[] = {"disruptionsAllowed", "currentHealthy", "desiredHealthy",
                                          "expectedPods"};
    (void)old;
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const char *path = rule_path(e, "status.%s", numbers[i]);
        validate_not_negative(e, path, json_path(obj, path));
    }
}

const struct strategy rules_disruption_budget = {.group = "policy",
                                                 .kind = "PodDisruptionBudget",
                                                 .create = budget_create,
                                                 .validate = budget_validate,
                                                 .validate_status = budget_status,
                                                 .needs_version = true};

/* ---- priority classes ---- */

#define USER_PRIORITY_MAX 1000000000

/* The classes of the system itself, which no user changes. */
static bool is_system_class(const struct json *obj)
{
    static const struct {
        const char *name;
        int64_t value;
    } classes[] = {{"system-cluster-critical", 2000000000}, {"system-node-critical", 2000001000}};
    for (size_t i = 0; i < ARRAY_SIZE(classes); i++) {
        if (cstr_eq(obj_name(obj), classes[i].name) &&
            json_path_i64(obj, "value", 0) == classes[i].value &&
            !json_path_true(obj, "globalDefault", false)) {
            return true;
        }
    }
    return false;
}

static void priority_create(struct arena *a, struct json *obj)
{
    (void)a;
    json_set_int(obj_meta(obj), "generation", 1);
}

static void priority_validate(struct field_errors *e, const struct json *obj,
                              const struct json *old)
{
    static const char *const policies[] = {"Never", "PreemptLowerPriority", NULL};
    const struct json *value = json_get(obj, "value");
    if (str_starts(str_of(obj_name(obj)), "system-")) {
        if (!is_system_class(obj)) {
            field_error(
                e, FIELD_FORBIDDEN, "metadata.name", NULL,
                rule_path(e,
                          "priority class names with 'system-' prefix are reserved for system "
                          "use only. error: %s is not a known system priority class",
                          obj_name(obj)));
        }
    } else if (json_i64(value, 0) > USER_PRIORITY_MAX) {
        field_error(e, FIELD_FORBIDDEN, "value", NULL,
                    "maximum allowed value of a user defined priority is 1000000000");
    }
    validate_one_of(e, "preemptionPolicy", json_get(obj, "preemptionPolicy"), policies);
    if (!old) {
        return;
    }
    if (json_i64(value, 0) != json_path_i64(old, "value", 0)) {
        field_error(e, FIELD_FORBIDDEN, "value", NULL, "may not be changed in an update.");
    }
    validate_immutable(e, "preemptionPolicy", json_get(obj, "preemptionPolicy"),
                       json_get(old, "preemptionPolicy"));
}

const struct strategy rules_priority_class = {.group = "scheduling.k8s.io",
                                              .kind = "PriorityClass",
                                              .create = priority_create,
                                              .validate = priority_validate};

/* ---- runtime classes ---- */

static void runtime_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    rule_name(e, "handler", json_get(obj, "handler"), name_check_dns_label);
    rule_amounts(e, "overhead.podFixed", json_path(obj, "overhead.podFixed"));
    validate_labels(e, "scheduling.nodeSelector", json_path(obj, "scheduling.nodeSelector"));
    if (old) {
        validate_immutable(e, "handler", json_get(obj, "handler"), json_get(old, "handler"));
    }
}

const struct strategy rules_runtime_class = {.group = "node.k8s.io",
                                             .kind = "RuntimeClass",
                                             .validate = runtime_validate,
                                             .needs_version = true};

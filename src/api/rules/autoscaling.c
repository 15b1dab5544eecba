/* SPDX-License-Identifier: Apache-2.0 */
/* HorizontalPodAutoscalers of version 2 (pkg/apis/autoscaling/validation). */
#include "api/name.h"
#include "api/object.h"
#include "api/quantity.h"
#include "api/rules/rules.h"
#include "base/mem.h"

#define WINDOW_MAX 3600
#define PERIOD_MAX 1800

static void create(struct arena *a, struct json *obj)
{
    struct json *status = json_set(obj, "status", json_object(a));
    json_set_int(status, "desiredReplicas", 0);
}

/* ---- metrics ---- */

static void target(struct field_errors *e, const char *path, const struct json *t)
{
    static const char *const types[] = {"AverageValue", "Utilization", "Value", NULL};
    static const char *const amounts[] = {"value", "averageValue"};
    const struct json *percentage = json_get(t, "averageUtilization");
    if (rule_required(e, path, t, "type")) {
        validate_one_of(e, rule_path(e, "%s.type", path), json_get(t, "type"), types);
    }
    if (percentage && json_i64(percentage, 0) < 1) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.averageUtilization", path), percentage,
                    "must be greater than 0");
    }
    for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
        struct quantity q;
        const struct json *v = json_get(t, amounts[i]);
        if (v && quantity_from_json(v, &q, NULL) == 0 && q.nano <= 0) {
            field_error(e, FIELD_INVALID, rule_path(e, "%s.%s", path, amounts[i]), v,
                        "must be positive");
        }
    }
}

static void resource_target(struct field_errors *e, const char *path, const struct json *part)
{
    const struct json *t = json_get(part, "target");
    bool percentage = json_get(t, "averageUtilization"), value = json_get(t, "averageValue");
    if (!json_text(json_get(part, "name")).n) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.name", path), NULL,
                    "must specify a resource name");
    }
    if (!percentage && !value) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.target.averageUtilization", path), NULL,
                    "must set either a target raw value or a target utilization");
    } else if (percentage && value) {
        field_error(e, FIELD_FORBIDDEN, rule_path(e, "%s.target.averageValue", path), NULL,
                    "may not set both a target raw value and a target utilization");
    }
}

static void metric_target(struct field_errors *e, const char *path, const struct json *part,
                          const char *kind)
{
    const struct json *t = json_get(part, "target");
    bool value = json_get(t, "value"), average = json_get(t, "averageValue");
    if (!*json_path_cstr(part, "metric.name", "")) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.metric.name", path), NULL,
                    "must specify a metric name");
    }
    if (cstr_eq(kind, "Pods")) {
        if (!average) {
            field_error(e, FIELD_REQUIRED, rule_path(e, "%s.target.averageValue", path), NULL,
                        "must specify a positive target averageValue");
        }
    } else if (!value && !average) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.target.averageValue", path), NULL,
                    "must set either a target value for metric or a per-pod target");
    }
    if (cstr_eq(kind, "Object")) {
        const char *p = rule_path(e, "%s.describedObject", path);
        (void)rule_required(e, p, json_get(part, "describedObject"), "kind"); /* told */
        (void)rule_required(e, p, json_get(part, "describedObject"), "name");
    }
}

static void metric(struct field_errors *e, const char *path, const struct json *m)
{
    static const char *const types[] = {"ContainerResource", "External", "Object", "Pods",
                                        "Resource",          NULL};
    static const char *const members[] = {"containerResource", "external", "object", "pods",
                                          "resource"};
    const char *type = json_path_cstr(m, "type", "");
    if (!*type) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.type", path), NULL,
                    "must specify a metric source type");
        return;
    }
    validate_one_of(e, rule_path(e, "%s.type", path), json_get(m, "type"), types);
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        const struct json *part = json_get(m, members[i]);
        const char *p = rule_path(e, "%s.%s", path, members[i]);
        bool meant = cstr_eq(type, types[i]);
        if (meant && !part) {
            field_error(e, FIELD_REQUIRED, p, NULL,
                        "must populate information for the given metric source");
        } else if (!meant && part) {
            field_error(e, FIELD_FORBIDDEN, p, NULL, "must populate the given metric source only");
        }
        if (!meant || !part) {
            continue;
        }
        target(e, rule_path(e, "%s.target", p), json_get(part, "target"));
        if (i == 0 || i == ARRAY_SIZE(members) - 1) {
            resource_target(e, p, part);
        } else {
            metric_target(e, p, part, type);
        }
        if (i == 0) {
            (void)rule_required(e, p, part, "container"); /* told */
        }
    }
}

/* ---- behavior ---- */

static void policy(struct field_errors *e, const char *path, const struct json *p)
{
    static const char *const types[] = {"Percent", "Pods", NULL};
    static const char *const numbers[] = {"value", "periodSeconds"};
    validate_one_of(e, rule_path(e, "%s.type", path), json_get(p, "type"), types);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        const struct json *n = json_get(p, numbers[i]);
        if (json_i64(n, 0) <= 0) {
            field_error(e, FIELD_INVALID, rule_path(e, "%s.%s", path, numbers[i]), n,
                        "must be greater than zero");
        }
    }
    if (json_path_i64(p, "periodSeconds", 0) > PERIOD_MAX) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.periodSeconds", path),
                    json_get(p, "periodSeconds"), "must be less than or equal to 1800");
    }
}

static void direction(struct field_errors *e, const char *path, const struct json *rules)
{
    static const char *const selections[] = {"Disabled", "Max", "Min", NULL};
    const struct json *window = json_get(rules, "stabilizationWindowSeconds");
    const struct json *policies = json_get(rules, "policies");
    if (!rules) {
        return;
    }
    if (json_i64(window, 0) < 0) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.stabilizationWindowSeconds", path), window,
                    "must be greater than or equal to zero");
    } else if (json_i64(window, 0) > WINDOW_MAX) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.stabilizationWindowSeconds", path), window,
                    "must be less than or equal to 3600");
    }
    validate_one_of(e, rule_path(e, "%s.selectPolicy", path), json_get(rules, "selectPolicy"),
                    selections);
    if (json_len(policies) == 0) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.policies", path), NULL,
                    "must specify at least one Policy");
    }
    int i = 0;
    JSON_FOR_EACH (p, policies) {
        policy(e, rule_path(e, "%s.policies[%d]", path, i++), p);
    }
}

/* ---- the whole ---- */

static void validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    const struct json *min = json_get(spec, "minReplicas"), *max = json_get(spec, "maxReplicas");
    (void)old; /* everything may change */
    if (min && json_i64(min, 0) < 1) {
        field_error(e, FIELD_INVALID, "spec.minReplicas", min,
                    "must be greater than or equal to 1");
    }
    if (json_i64(max, 0) < 1) {
        field_error(e, FIELD_INVALID, "spec.maxReplicas", max, "must be greater than 0");
    }
    if (min && json_i64(max, 0) < json_i64(min, 0)) {
        field_error(e, FIELD_INVALID, "spec.maxReplicas", max,
                    "must be greater than or equal to `minReplicas`");
    }
    (void)rule_required(e, "spec.scaleTargetRef", json_get(spec, "scaleTargetRef"),
                        "kind"); /* told */
    (void)rule_required(e, "spec.scaleTargetRef", json_get(spec, "scaleTargetRef"), "name");
    int i = 0;
    JSON_FOR_EACH (m, json_get(spec, "metrics")) {
        metric(e, rule_path(e, "spec.metrics[%d]", i++), m);
    }
    direction(e, "spec.behavior.scaleUp", json_path(spec, "behavior.scaleUp"));
    direction(e, "spec.behavior.scaleDown", json_path(spec, "behavior.scaleDown"));
}

const struct strategy rules_autoscaler = {.group = "autoscaling",
                                          .kind = "HorizontalPodAutoscaler",
                                          .create = create,
                                          .validate = validate};

/* SPDX-License-Identifier: Apache-2.0 */
/* Flow schemas and priority levels (pkg/apis/flowcontrol/validation). */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/rules.h"

#define GROUP "flowcontrol.apiserver.k8s.io"
#define PRECEDENCE_MAX 10000

static void schema_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const methods[] = {"ByNamespace", "ByUser", NULL};
    const struct json *spec = json_get(obj, "spec"), *order = json_get(spec, "matchingPrecedence");
    (void)old; /* everything may change */
    if (json_i64(order, 0) <= 0) {
        field_error(e, FIELD_INVALID, "spec.matchingPrecedence", order, "must be a positive value");
    } else if (json_i64(order, 0) > PRECEDENCE_MAX) {
        field_error(e, FIELD_INVALID, "spec.matchingPrecedence", order,
                    "must not be greater than 10000");
    }
    (void)rule_required(e, "spec.priorityLevelConfiguration",
                        json_get(spec, "priorityLevelConfiguration"), "name"); /* told */
    validate_one_of(e, "spec.distinguisherMethod.type", json_path(spec, "distinguisherMethod.type"),
                    methods);
}

const struct strategy rules_flow_schema = {
    .group = GROUP, .kind = "FlowSchema", .create = rule_status_reset, .validate = schema_validate};

static void limited(struct field_errors *e, const struct json *spec)
{
    static const char *const responses[] = {"Queue", "Reject", NULL};
    const struct json *queuing = json_path(spec, "limited.limitResponse.queuing");
    const struct json *type = json_path(spec, "limited.limitResponse.type");
    bool queue = cstr_eq(json_cstr(type, ""), "Queue");
    validate_not_negative(e, "spec.limited.nominalConcurrencyShares",
                          json_path(spec, "limited.nominalConcurrencyShares"));
    if (!json_text(type).n) {
        field_error(e, FIELD_REQUIRED, "spec.limited.limitResponse.type", NULL, NULL);
        return;
    }
    validate_one_of(e, "spec.limited.limitResponse.type", type, responses);
    if (queue && !queuing) {
        field_error(e, FIELD_REQUIRED, "spec.limited.limitResponse.queuing", NULL,
                    "must not be empty if limit response type is Limited");
    } else if (!queue && queuing) {
        field_error(e, FIELD_FORBIDDEN, "spec.limited.limitResponse.queuing", NULL,
                    "must be nil if limited.limitResponse.type is not Limited");
    }
}

static void level_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const types[] = {"Exempt", "Limited", NULL};
    const struct json *spec = json_get(obj, "spec");
    bool is_limited = cstr_eq(json_path_cstr(spec, "type", ""), "Limited");
    (void)old; /* everything may change */
    validate_one_of(e, "spec.type", json_get(spec, "type"), types);
    if (is_limited && !json_get(spec, "limited")) {
        field_error(e, FIELD_REQUIRED, "spec.limited", NULL,
                    "must not be empty when type is Limited");
    } else if (!is_limited && json_get(spec, "limited")) {
        field_error(e, FIELD_FORBIDDEN, "spec.limited", NULL,
                    "must be nil if the type is not Limited");
    } else if (is_limited) {
        limited(e, spec);
    }
    if (is_limited && json_get(spec, "exempt")) {
        field_error(e, FIELD_FORBIDDEN, "spec.exempt", NULL, "must be nil if the type is Limited");
    }
}

const struct strategy rules_priority_level = {.group = GROUP,
                                              .kind = "PriorityLevelConfiguration",
                                              .create = rule_status_reset,
                                              .validate = level_validate};

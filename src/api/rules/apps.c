/* SPDX-License-Identifier: Apache-2.0 */
/* DaemonSets, StatefulSets and revisions (pkg/registry/apps, pkg/apis/apps/validation). Deployments
 * and ReplicaSets are in api/strategy.c and api/validate_kinds.c. */
#include "api/object.h"
#include "api/rules/rules.h"
#include "base/mem.h"

static void status_numbers(struct arena *a, struct json *obj, const char *const *members)
{
    struct json *status = json_set(obj, "status", json_object(a));
    for (; *members; members++) {
        json_set_int(status, *members, 0);
    }
}

static void rolling_type(struct field_errors *e, const struct json *strategy)
{
    static const char *const types[] = {"OnDelete", "RollingUpdate", NULL};
    validate_one_of(e, "spec.updateStrategy.type", json_get(strategy, "type"), types);
}

/* ---- daemon sets ---- */

static void daemon_create(struct arena *a, struct json *obj)
{
    static const char *const numbers[] = {"currentNumberScheduled", "desiredNumberScheduled",
                                          "numberMisscheduled", "numberReady", NULL};
    status_numbers(a, obj, numbers);
}

static void daemon_rolling(struct field_errors *e, const struct json *strategy)
{
    const struct json *rolling = json_get(strategy, "rollingUpdate");
    const struct json *unavailable = json_get(rolling, "maxUnavailable");
    const struct json *surge = json_get(rolling, "maxSurge");
    rolling_type(e, strategy);
    if (!cstr_eq(json_path_cstr(strategy, "type", ""), "RollingUpdate")) {
        return;
    }
    if (!rolling) {
        field_error(e, FIELD_REQUIRED, "spec.updateStrategy.rollingUpdate", NULL, NULL);
        return;
    }
    rule_int_or_percent(e, "spec.updateStrategy.rollingUpdate.maxUnavailable", unavailable, true);
    rule_int_or_percent(e, "spec.updateStrategy.rollingUpdate.maxSurge", surge, true);
    if (rule_is_zero(unavailable) && rule_is_zero(surge)) {
        field_error(e, FIELD_REQUIRED, "spec.updateStrategy.rollingUpdate", NULL,
                    "cannot be 0 when maxSurge is 0");
    } else if (!rule_is_zero(unavailable) && !rule_is_zero(surge)) {
        field_error(e, FIELD_INVALID, "spec.updateStrategy.rollingUpdate.maxSurge", surge,
                    "may not be set when maxUnavailable is non-zero");
    }
}

static void daemon_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    rule_selector(e, spec, "empty selector is invalid for daemonset");
    rule_template(e, spec, /* always_restart= */ true);
    if (json_path(spec, "template.spec.activeDeadlineSeconds")) {
        field_error(e, FIELD_FORBIDDEN, "spec.template.spec.activeDeadlineSeconds", NULL,
                    "activeDeadlineSeconds in DaemonSet is not Supported");
    }
    validate_not_negative(e, "spec.minReadySeconds", json_get(spec, "minReadySeconds"));
    validate_not_negative(e, "spec.revisionHistoryLimit", json_get(spec, "revisionHistoryLimit"));
    daemon_rolling(e, json_get(spec, "updateStrategy"));
    if (old) {
        validate_immutable_selector(e, "spec.selector", json_get(spec, "selector"),
                                    json_path(old, "spec.selector"));
    }
}

const struct strategy rules_daemon_set = {
    .group = "apps", .kind = "DaemonSet", .create = daemon_create, .validate = daemon_validate};

/* ---- stateful sets ---- */

static void stateful_create(struct arena *a, struct json *obj)
{
    static const char *const numbers[] = {"availableReplicas", "replicas", NULL};
    status_numbers(a, obj, numbers);
}

static void stateful_strategy(struct field_errors *e, const struct json *strategy)
{
    const struct json *rolling = json_get(strategy, "rollingUpdate");
    if (!rule_required(e, "spec.updateStrategy", strategy, "type")) {
        return;
    }
    rolling_type(e, strategy);
    if (cstr_eq(json_path_cstr(strategy, "type", ""), "OnDelete") && rolling) {
        field_error(e, FIELD_INVALID, "spec.updateStrategy.rollingUpdate", rolling,
                    "only allowed for updateStrategy 'RollingUpdate'");
    }
    validate_not_negative(e, "spec.updateStrategy.rollingUpdate.partition",
                          json_get(rolling, "partition"));
    rule_int_or_percent(e, "spec.updateStrategy.rollingUpdate.maxUnavailable",
                        json_get(rolling, "maxUnavailable"), true);
}

static void stateful_update(struct field_errors *e, const struct json *spec, const struct json *was)
{
    static const char *const free[] = {"replicas",
                                       "ordinals",
                                       "template",
                                       "updateStrategy",
                                       "minReadySeconds",
                                       "persistentVolumeClaimRetentionPolicy",
                                       "revisionHistoryLimit"};
    struct json *same = json_clone(e->arena, spec);
    for (size_t i = 0; i < ARRAY_SIZE(free); i++) {
        rule_keep(same, was, free[i]);
    }
    if (same && was && !json_equal(same, was)) {
        field_error(e, FIELD_FORBIDDEN, "spec", NULL,
                    "updates to statefulset spec for fields other than 'replicas', 'ordinals', "
                    "'template', 'updateStrategy', 'persistentVolumeClaimRetentionPolicy' and "
                    "'minReadySeconds' are forbidden");
    }
}

static void stateful_validate(struct field_errors *e, const struct json *obj,
                              const struct json *old)
{
    static const char *const managements[] = {"OrderedReady", "Parallel", NULL};
    static const char *const retentions[] = {"Delete", "Retain", NULL};
    static const char *const numbers[] = {"replicas", "minReadySeconds", "revisionHistoryLimit",
                                          "ordinals.start"};
    const struct json *spec = json_get(obj, "spec");
    validate_one_of(e, "spec.podManagementPolicy", json_get(spec, "podManagementPolicy"),
                    managements);
    stateful_strategy(e, json_get(spec, "updateStrategy"));
    const struct json *retention = json_get(spec, "persistentVolumeClaimRetentionPolicy");
    validate_one_of(e, "spec.persistentVolumeClaimRetentionPolicy.whenDeleted",
                    json_get(retention, "whenDeleted"), retentions);
    validate_one_of(e, "spec.persistentVolumeClaimRetentionPolicy.whenScaled",
                    json_get(retention, "whenScaled"), retentions);
    for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
        validate_not_negative(e, rule_path(e, "spec.%s", numbers[i]), json_path(spec, numbers[i]));
    }
    rule_selector(e, spec, "empty selector is invalid for statefulset");
    rule_template(e, spec, /* always_restart= */ true);
    if (json_path(spec, "template.spec.activeDeadlineSeconds")) {
        field_error(e, FIELD_FORBIDDEN, "spec.template.spec.activeDeadlineSeconds", NULL,
                    "activeDeadlineSeconds in StatefulSet is not Supported");
    }
    if (old) {
        stateful_update(e, spec, json_get(old, "spec"));
    }
}

const struct strategy rules_stateful_set = {.group = "apps",
                                            .kind = "StatefulSet",
                                            .create = stateful_create,
                                            .validate = stateful_validate};

/* ---- revisions ---- */

static void revision_validate(struct field_errors *e, const struct json *obj,
                              const struct json *old)
{
    if (!json_get(obj, "data")) {
        field_error(e, FIELD_REQUIRED, "data", NULL, "data is mandatory");
    }
    validate_not_negative(e, "revision", json_get(obj, "revision"));
    if (old) {
        validate_immutable(e, "data", json_get(obj, "data"), json_get(old, "data"));
    }
}

const struct strategy rules_controller_revision = {
    .group = "apps", .kind = "ControllerRevision", .validate = revision_validate};

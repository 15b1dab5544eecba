/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs (pkg/registry/batch/job, pkg/apis/batch/validation). */
#include "api/object.h"
#include "api/rules/job.h"
#include "api/rules/rules.h"
#include "api/selector.h"
#include "base/mem.h"

#define UID_LABEL "batch.kubernetes.io/controller-uid"
#define NAME_LABEL "batch.kubernetes.io/job-name"
#define OLD_UID_LABEL "controller-uid"
#define OLD_NAME_LABEL "job-name"
#define INDEXES_MAX 100000

/* ---- what the server fills ---- */

/* The Job's pods are found by its uid, unless the user insists on a selector of his own. */
static void make_selector(struct json *obj)
{
    struct json *spec = json_ensure_object(obj, "spec");
    struct json *labels = json_ensure_object(
        json_ensure_object(json_ensure_object(spec, "template"), "metadata"), "labels");
    const char *uid = obj_uid(obj), *name = obj_name(obj);
    json_set_str(labels, UID_LABEL, uid);
    json_set_str(labels, OLD_UID_LABEL, uid);
    json_set_str(labels, NAME_LABEL, name);
    json_set_str(labels, OLD_NAME_LABEL, name);
    struct json *match = json_ensure_object(json_ensure_object(spec, "selector"), "matchLabels");
    if (!json_get(match, UID_LABEL)) {
        json_set_str(match, UID_LABEL, uid);
    }
}

static void create(struct arena *a, struct json *obj)
{
    rule_status_reset(a, obj);
    if (!json_path_true(obj, "spec.manualSelector", false)) {
        make_selector(obj);
    }
    struct json *labels = json_path(obj, "spec.template.metadata.labels");
    if (json_len(json_path(obj, "metadata.labels")) == 0 && json_len(labels)) {
        json_set(obj_meta(obj), "labels", json_clone(a, labels));
    }
}

/* ---- the spec, also of a CronJob's template ---- */

static void numbers(struct field_errors *e, const char *path, const struct json *spec)
{
    static const char *const members[] = {"parallelism",
                                          "completions",
                                          "activeDeadlineSeconds",
                                          "backoffLimit",
                                          "ttlSecondsAfterFinished",
                                          "backoffLimitPerIndex",
                                          "maxFailedIndexes"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        validate_not_negative(e, rule_path(e, "%s.%s", path, members[i]),
                              json_get(spec, members[i]));
    }
}

static void indexes(struct field_errors *e, const char *path, const struct json *spec)
{
    static const char *const modes[] = {"Indexed", "NonIndexed", NULL};
    const struct json *mode = json_get(spec, "completionMode");
    const struct json *completions = json_get(spec, "completions");
    const struct json *per_index = json_get(spec, "backoffLimitPerIndex");
    const struct json *most = json_get(spec, "maxFailedIndexes");
    bool indexed = cstr_eq(json_cstr(mode, ""), "Indexed");
    validate_one_of(e, rule_path(e, "%s.completionMode", path), mode, modes);
    if (indexed && !completions) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.completions", path), NULL,
                    "when completion mode is Indexed");
    }
    if (indexed && json_path_i64(spec, "parallelism", 0) > INDEXES_MAX) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.parallelism", path),
                    json_get(spec, "parallelism"),
                    "must be less than or equal to 100000 when completion mode is Indexed");
    }
    if (per_index && !indexed) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.backoffLimitPerIndex", path), per_index,
                    "requires indexed completion mode");
    }
    if (most && !per_index) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.backoffLimitPerIndex", path), NULL,
                    "when maxFailedIndexes is specified");
    }
    if (most && completions && json_i64(most, 0) > json_i64(completions, 0)) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.maxFailedIndexes", path), most,
                    "must be less than or equal to completions");
    }
}

static void exit_codes(struct field_errors *e, const char *path, const struct json *on)
{
    static const char *const operators[] = {"In", "NotIn", NULL};
    const struct json *values = json_get(on, "values");
    const char *p = rule_path(e, "%s.values", path);
    bool in = cstr_eq(json_path_cstr(on, "operator", ""), "In");
    int64_t last = INT64_MIN;
    validate_one_of(e, rule_path(e, "%s.operator", path), json_get(on, "operator"), operators);
    if (json_len(values) == 0) {
        field_error(e, FIELD_INVALID, p, values, "at least one value is required");
    } else if (json_len(values) > 255) {
        field_error(e, FIELD_TOO_MANY, p, values, "must have at most 255 items");
    }
    int i = 0;
    JSON_FOR_EACH (v, values) {
        if (in && json_i64(v, 0) == 0) {
            field_error(e, FIELD_INVALID, rule_path(e, "%s[%d]", p, i), v,
                        "must not be 0 for the In operator");
        }
        if (json_i64(v, 0) == last) {
            field_error(e, FIELD_DUPLICATE, rule_path(e, "%s[%d]", p, i), v, NULL);
        } else if (json_i64(v, 0) < last) {
            field_error(e, FIELD_INVALID, p, values, "must be ordered");
            break;
        }
        last = json_i64(v, 0);
        i++;
    }
}

static void failure_rule(struct field_errors *e, const char *path, const struct json *rule,
                         bool per_index)
{
    static const char *const actions[] = {"Count", "FailIndex", "FailJob", "Ignore", NULL};
    const struct json *codes = json_get(rule, "onExitCodes");
    const struct json *conditions = json_get(rule, "onPodConditions");
    const struct json *action = json_get(rule, "action");
    if (rule_required(e, path, rule, "action")) {
        validate_one_of(e, rule_path(e, "%s.action", path), action, actions);
    }
    if (cstr_eq(json_cstr(action, ""), "FailIndex") && !per_index) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.action", path), action,
                    "requires the backoffLimitPerIndex to be set");
    }
    if (codes) {
        exit_codes(e, rule_path(e, "%s.onExitCodes", path), codes);
    }
    if (codes && json_len(conditions)) {
        field_error(e, FIELD_INVALID, path, NULL,
                    "specifying both OnExitCodes and OnPodConditions is not supported");
    } else if (!codes && json_len(conditions) == 0) {
        field_error(e, FIELD_INVALID, path, NULL,
                    "specifying one of OnExitCodes and OnPodConditions is required");
    }
}

static void failure_policy(struct field_errors *e, const char *path, const struct json *spec)
{
    const struct json *policy = json_get(spec, "podFailurePolicy");
    const struct json *restart = json_path(spec, "template.spec.restartPolicy");
    if (!policy) {
        return;
    }
    if (!cstr_eq(json_cstr(restart, ""), "Never")) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.template.spec.restartPolicy", path), restart,
                    "only \"Never\" is supported when podFailurePolicy is specified");
    }
    int i = 0;
    JSON_FOR_EACH (rule, json_get(policy, "rules")) {
        failure_rule(e, rule_path(e, "%s.podFailurePolicy.rules[%d]", path, i++), rule,
                     json_get(spec, "backoffLimitPerIndex"));
    }
}

static void success_policy(struct field_errors *e, const char *path, const struct json *spec)
{
    const struct json *policy = json_get(spec, "successPolicy");
    const struct json *list = json_get(policy, "rules");
    if (!policy) {
        return;
    }
    if (!cstr_eq(json_path_cstr(spec, "completionMode", ""), "Indexed")) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.successPolicy", path), NULL,
                    "requires indexed completion mode");
    }
    if (json_len(list) == 0) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.successPolicy.rules", path), NULL,
                    "at least one rules must be specified when the successPolicy is specified");
    }
    int i = 0;
    JSON_FOR_EACH (rule, list) {
        const char *p = rule_path(e, "%s.successPolicy.rules[%d]", path, i++);
        if (!json_get(rule, "succeededCount") && !json_get(rule, "succeededIndexes")) {
            field_error(e, FIELD_REQUIRED, p, NULL,
                        "at least one of succeededCount or succeededIndexes must be specified");
        }
        validate_not_negative(e, rule_path(e, "%s.succeededCount", p),
                              json_get(rule, "succeededCount"));
    }
}

static void replacement(struct field_errors *e, const char *path, const struct json *spec)
{
    static const char *const any[] = {"Failed", "TerminatingOrFailed", NULL};
    static const char *const failed[] = {"Failed", NULL};
    validate_one_of(e, rule_path(e, "%s.podReplacementPolicy", path),
                    json_get(spec, "podReplacementPolicy"),
                    json_get(spec, "podFailurePolicy") ? failed : any);
}

void rules_job_spec(struct field_errors *e, const char *path, const struct json *spec)
{
    static const char *const restarts[] = {"OnFailure", "Never", NULL};
    const struct json *template = json_get(spec, "template");
    const struct json *restart = json_path(template, "spec.restartPolicy");
    const char *restart_path = rule_path(e, "%s.template.spec.restartPolicy", path);
    numbers(e, path, spec);
    indexes(e, path, spec);
    failure_policy(e, path, spec);
    success_policy(e, path, spec);
    replacement(e, path, spec);
    validate_labels(e, rule_path(e, "%s.template.labels", path),
                    json_path(template, "metadata.labels"));
    validate_pod_spec(e, rule_path(e, "%s.template.spec", path), json_get(template, "spec"));
    if (cstr_eq(json_cstr(restart, ""), "Always")) {
        field_error(e, FIELD_REQUIRED, restart_path, NULL,
                    "valid values: \"OnFailure\", \"Never\"");
    } else {
        validate_one_of(e, restart_path, restart, restarts);
    }
}

/* ---- the whole ---- */

static void selector(struct field_errors *e, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec"), *s = json_get(spec, "selector");
    const struct json *labels = json_path(spec, "template.metadata.labels");
    struct selector *parsed = NULL;
    if (!s) {
        field_error(e, FIELD_REQUIRED, "spec.selector", NULL, NULL);
        return;
    }
    validate_label_selector(e, "spec.selector", s);
    if (!json_path_true(spec, "manualSelector", false)) {
        struct json *made = json_object(e->arena);
        json_set_str(made, UID_LABEL, obj_uid(obj));
        json_set_str(made, OLD_UID_LABEL, obj_uid(obj));
        json_set_str(made, NAME_LABEL, obj_name(obj));
        json_set_str(made, OLD_NAME_LABEL, obj_name(obj));
        if (selector_from_json(e->arena, s, &parsed, NULL) == 0 &&
            !selector_match_labels(parsed, made)) {
            validate_refuse_selector(e, "spec.selector", s, "`selector` not auto-generated");
        }
    }
    if (selector_from_json(e->arena, s, &parsed, NULL) == 0 &&
        !selector_match_labels(parsed, labels)) {
        validate_refuse_labels(e, "spec.template.metadata.labels", labels,
                               "`selector` does not match template `labels`");
    }
}

/* Where a suspended Job that never ran will run may still change. */
static bool may_move(const struct json *old)
{
    return json_path_true(old, "spec.suspend", false) && !json_path(old, "status.startTime");
}

static void template_update(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const movable[] = {"nodeSelector", "affinity", "tolerations",
                                          "schedulingGates"};
    struct json *now = json_clone(e->arena, json_path(obj, "spec.template"));
    const struct json *was = json_path(old, "spec.template");
    if (now && may_move(old)) {
        for (size_t i = 0; i < ARRAY_SIZE(movable); i++) {
            rule_keep(json_ensure_object(now, "spec"), json_get(was, "spec"), movable[i]);
        }
        rule_keep(json_ensure_object(now, "metadata"), json_get(was, "metadata"), "labels");
        rule_keep(json_ensure_object(now, "metadata"), json_get(was, "metadata"), "annotations");
    }
    validate_immutable(e, "spec.template", now, was);
}

static void update(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const fixed[] = {"selector",       "podFailurePolicy",     "successPolicy",
                                        "completionMode", "backoffLimitPerIndex", "managedBy"};
    const struct json *now = json_get(obj, "spec"), *was = json_get(old, "spec");
    const struct json *completions = json_get(now, "completions");
    bool indexed = cstr_eq(json_path_cstr(now, "completionMode", ""), "Indexed");
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        validate_immutable(e, rule_path(e, "spec.%s", fixed[i]), json_get(now, fixed[i]),
                           json_get(was, fixed[i]));
    }
    /* An Indexed Job may grow or shrink in step with its parallelism. */
    bool in_step = indexed && completions && json_get(was, "completions") &&
                   json_i64(completions, -1) == json_path_i64(now, "parallelism", -2);
    if (!in_step) {
        validate_immutable(e, "spec.completions", completions, json_get(was, "completions"));
    }
    template_update(e, obj, old);
}

static void validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    if (!old && strlen(obj_name(obj)) > 63) {
        field_error_text(e, FIELD_INVALID, "metadata.name", obj_name(obj),
                         "must be no more than 63 characters");
    }
    rules_job_spec(e, "spec", json_get(obj, "spec"));
    selector(e, obj);
    if (old) {
        update(e, obj, old);
    }
}

static void validate_status(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const counters[] = {"active", "succeeded", "failed", "ready", "terminating"};
    (void)old;
    for (size_t i = 0; i < ARRAY_SIZE(counters); i++) {
        const char *path = rule_path(e, "status.%s", counters[i]);
        validate_not_negative(e, path, json_path(obj, path));
    }
}

const struct strategy rules_job = {.group = "batch",
                                   .kind = "Job",
                                   .create = create,
                                   .validate = validate,
                                   .validate_status = validate_status};

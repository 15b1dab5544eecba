/* SPDX-License-Identifier: Apache-2.0 */
/* CronJobs (pkg/registry/batch/cronjob, pkg/apis/batch/validation). */
#include "api/cron.h"
#include "api/object.h"
#include "api/rules/job.h"
#include "api/rules/rules.h"

/* The name of a Job adds eleven characters to that of its CronJob. */
#define NAME_MAX_LENGTH 52

static void schedule(struct field_errors *e, const struct json *spec)
{
    struct cron c;
    struct err err = {0};
    struct str text = json_text(json_get(spec, "schedule"));
    if (!rule_required(e, "spec", spec, "schedule")) {
        return;
    }
    if (strstr(text.p, "TZ")) {
        field_error(e, FIELD_INVALID, "spec.schedule", json_get(spec, "schedule"),
                    "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    } else if (cron_parse(text, &c, &err) < 0) {
        field_error_text(e, FIELD_INVALID, "spec.schedule", text.p, err.text);
    }
}

static void time_zone(struct field_errors *e, const struct json *zone)
{
    struct zone *z = NULL;
    struct err err = {0};
    const char *name = json_cstr(zone, "");
    if (!zone) {
        return;
    }
    if (!*name) {
        field_error_text(e, FIELD_INVALID, "spec.timeZone", name,
                         "timeZone must be nil or non-empty string");
    } else if (strcasecmp(name, "Local") == 0) {
        field_error_text(e, FIELD_INVALID, "spec.timeZone", name,
                         "timeZone must be an explicit time zone as defined in "
                         "https://www.iana.org/time-zones");
    } else if (zone_load(name, &z, &err) < 0) {
        field_error_text(e, FIELD_INVALID, "spec.timeZone", name, err.text);
    }
    zone_free(z);
}

static void template(struct field_errors *e, const struct json *spec)
{
    static const char path[] = "spec.jobTemplate.spec";
    const struct json *job = json_path(spec, "jobTemplate.spec");
    validate_labels(e, "spec.jobTemplate.labels", json_path(spec, "jobTemplate.metadata.labels"));
    rules_job_spec(e, path, job);
    if (json_get(job, "selector")) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.selector", path), json_get(job, "selector"),
                    "`selector` will be auto-generated");
    }
    if (json_path_true(job, "manualSelector", false)) {
        static const char *const allowed[] = {"nil", "false", NULL};
        field_error_supported(e, rule_path(e, "%s.manualSelector", path), "true", allowed);
    }
}

static void validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const policies[] = {"Allow", "Forbid", "Replace", NULL};
    static const char *const numbers[] = {"startingDeadlineSeconds", "successfulJobsHistoryLimit",
                                          "failedJobsHistoryLimit"};
    const struct json *spec = json_get(obj, "spec"), *zone = json_get(spec, "timeZone");
    const struct json *old_zone = json_path(old, "spec.timeZone");
    if (!old && strlen(obj_name(obj)) > NAME_MAX_LENGTH) {
        field_error_text(e, FIELD_INVALID, "metadata.name", obj_name(obj),
                         "must be no more than 52 characters");
    }
    schedule(e, spec);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        validate_not_negative(e, rule_path(e, "spec.%s", numbers[i]), json_get(spec, numbers[i]));
    }
    if (!zone || !old_zone || !json_equal(zone, old_zone)) {
        time_zone(e, zone);
    }
    validate_one_of(e, "spec.concurrencyPolicy", json_get(spec, "concurrencyPolicy"), policies);
    template(e, spec);
}

const struct strategy rules_cron_job = {
    .group = "batch", .kind = "CronJob", .create = rule_status_reset, .validate = validate};

/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile step of CronJobs; the contract is in cronjob.h. */
#include "cronjob.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "api/cron.h"
#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"
#include "workload.h"

#define MANY_MISSED 100
#define SECOND_US ((int64_t)1000000)
#define LATE_US ((int64_t)100000)       /* after the full minute, for clocks that are coarse */
#define LOOK_AGAIN_MS ((int64_t)600000) /* at the latest, in case that the clock was set */

struct step {
    const struct cronjob_in *in;
    struct plan *plan;
    struct arena *arena;
    struct json *cron, *status;
    struct json *active; /* references, as they will be */
};

static const char *name_of(const struct step *s)
{
    return obj_name(s->cron);
}

static void tell(struct step *s, const char *type, const char *reason, const char *text,
                 const char *value)
{
    plan_event(s->plan, known_kinds()->cron_job, s->cron, type, reason, text, value);
}

static bool time_at(const struct json *o, const char *path, struct wall *ret)
{
    return time_parse(str_of(json_path_cstr(o, path, "")), ret) == 0;
}

static const char *end_of(const struct json *job)
{
    return obj_condition_true(job, "Complete") ? "Complete"
           : obj_condition_true(job, "Failed") ? "Failed"
                                               : NULL;
}

/* ---- Jobs that are there ---- */

static const struct json *job_of(const struct step *s, const char *uid)
{
    for (size_t i = 0; i < s->in->n; i++) {
        if (strcmp(obj_uid(s->in->jobs[i]), uid) == 0) {
            return s->in->jobs[i];
        }
    }
    return NULL;
}

static bool is_listed(const struct step *s, const char *uid)
{
    JSON_FOR_EACH (ref, s->active) {
        if (strcmp(json_path_cstr(ref, "uid", ""), uid) == 0) {
            return true;
        }
    }
    return false;
}

/* What ended, or is gone, leaves the list. */
static void review_active(struct step *s)
{
    JSON_FOR_EACH (ref, json_get(s->status, "active")) {
        const struct json *job = job_of(s, json_path_cstr(ref, "uid", ""));
        const char *end = end_of(job);
        if (!job) {
            tell(s, "Normal", "MissingJob", "Active job went missing: %s",
                 json_path_cstr(ref, "name", ""));
        } else if (end) {
            plan_event(s->plan, known_kinds()->cron_job, s->cron, "Normal", "SawCompletedJob",
                       "Saw completed job: %s, condition: %s", obj_name(job), end);
        } else {
            json_push(s->active, ref);
        }
    }
}

static void raise_time(struct step *s, const char *field, struct wall t)
{
    char text[TIME_TEXT_SIZE];
    struct wall was;
    if (!time_at(s->status, field, &was) || was.us < t.us) {
        json_set_str(s->status, field, time_text(t, text));
    }
}

static void list_job(struct step *s, const struct json *job)
{
    struct json *ref = json_push(s->active, json_object(s->arena));
    json_set_str(ref, "kind", "Job");
    json_set_str(ref, "namespace", obj_ns(job));
    json_set_str(ref, "name", obj_name(job));
    json_set_str(ref, "uid", obj_uid(job));
    json_set_str(ref, "apiVersion", "batch/v1");
    json_set_str(ref, "resourceVersion", obj_rv(job));
}

static void review_job(struct step *s, const struct json *job)
{
    struct wall scheduled, completed;
    const char *end = end_of(job);
    bool own = time_parse(str_of(obj_annotation(job, CRON_SCHEDULED_ANNOTATION)), &scheduled) == 0;
    if (own) {
        raise_time(s, "lastScheduleTime", scheduled);
    }
    if (end && strcmp(end, "Complete") == 0 && time_at(job, "status.completionTime", &completed)) {
        raise_time(s, "lastSuccessfulTime", completed);
    }
    if (end || is_listed(s, obj_uid(job)) || obj_deleting(job)) {
        return;
    }
    if (own) {
        list_job(s, job);
    } else {
        tell(s, "Warning", "UnexpectedJob",
             "Saw a job that the controller did not create or forgot: %s", obj_name(job));
    }
}

/* ---- history ---- */

static struct wall began(const struct json *job)
{
    struct wall t;
    return time_at(job, "status.startTime", &t) ? t : obj_created(job);
}

static int older_first(const void *x, const void *y)
{
    const struct json *a = *(struct json *const *)x, *b = *(struct json *const *)y;
    int64_t p = began(a).us, q = began(b).us;
    return p != q ? (p < q ? -1 : 1) : strcmp(obj_name(a), obj_name(b));
}

static void plan_delete_job(struct step *s, const struct json *job, unsigned wave)
{
    struct action *a =
        plan_delete(s->plan, known_kinds()->job, obj_ns(job), obj_name(job), obj_uid(job));
    a->wave = wave;
    workload_events(a, known_kinds()->cron_job, s->cron, "SuccessfulDelete", "Deleted job %s",
                    "FailedDelete", "Deleted job: %s");
}

static void trim(struct step *s, const char *end, const char *limit)
{
    const struct json *most = json_get(json_get(s->cron, "spec"), limit);
    struct json **v = arena_alloc(s->arena, (s->in->n + 1) * sizeof(*v));
    size_t n = 0;
    if (!most || !v) {
        return;
    }
    for (size_t i = 0; i < s->in->n; i++) {
        if (cstr_eq(end_of(s->in->jobs[i]), end) && !obj_deleting(s->in->jobs[i])) {
            v[n++] = s->in->jobs[i];
        }
    }
    qsort((void *)v, n, sizeof(*v), older_first);
    int64_t spare = (int64_t)n - json_i64(most, 0);
    for (size_t i = 0; i < n && (int64_t)i < spare; i++) {
        plan_delete_job(s, v[i], 2);
    }
}

/* ---- when ---- */

/* The last moment of the schedule that is later than `from` and not later than now. Walks back in
 * growing strides first, for a center may have been off for a year. */
static bool last_due(const struct cron *c, const struct zone *z, struct wall from, struct wall now,
                     struct wall *ret)
{
    struct wall t, next;
    if (!cron_next(c, z, from, &t) || t.us > now.us) {
        return false;
    }
    *ret = t;
    if (!cron_next(c, z, t, &next) || next.us > now.us) {
        return true;
    }
    for (int64_t back = next.us - t.us;; back *= 4) {
        struct wall start = {MAX_OF(t.us, now.us - back)};
        if (!cron_next(c, z, start, &next) || next.us > now.us) {
            if (start.us == t.us) {
                return true;
            }
            continue;
        }
        while (next.us <= now.us) {
            *ret = next;
            if (!cron_next(c, z, next, &next)) {
                break;
            }
        }
        return true;
    }
}

/* From when on a start may have been missed. */
static struct wall earliest(const struct step *s)
{
    struct wall from, deadline = {0};
    const struct json *seconds = json_path(s->cron, "spec.startingDeadlineSeconds");
    if (!time_at(s->status, "lastScheduleTime", &from)) {
        from = obj_created(s->cron);
    }
    if (seconds) {
        deadline.us = s->in->now.us - json_i64(seconds, 0) * SECOND_US;
    }
    return from.us > deadline.us ? from : deadline;
}

static void warn_if_many(struct step *s, const struct cron *c, struct wall from)
{
    struct wall t = from;
    int missed = 0;
    while (missed <= MANY_MISSED && cron_next(c, s->in->zone, t, &t) && t.us <= s->in->now.us) {
        missed++;
    }
    if (missed > MANY_MISSED) {
        tell(s, "Warning", "TooManyMissedTimes",
             "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check "
             "clock skew%s",
             "");
    }
}

static void look_again(struct step *s, const struct cron *c)
{
    struct wall next;
    if (cron_next(c, s->in->zone, s->in->now, &next)) {
        int64_t ms = (next.us - s->in->now.us + LATE_US) / 1000;
        plan_requeue(s->plan, MIN_OF(ms, LOOK_AGAIN_MS));
    }
}

/* ---- making a Job ---- */

static const char *job_name(struct step *s, struct wall at)
{
    return arena_printf(s->arena, "%s-%lld", name_of(s), (long long)(at.us / SECOND_US / 60));
}

/* RFC 3339 in the CronJob's zone. */
static const char *local_text(struct step *s, struct wall at)
{
    char text[TIME_TEXT_SIZE];
    int32_t offset = zone_offset(s->in->zone, at.us / SECOND_US);
    int32_t minutes = (offset < 0 ? -offset : offset) / 60;
    at.us += offset * SECOND_US;
    (void)time_text(at, text);
    if (!offset) {
        return arena_strdup(s->arena, text);
    }
    return arena_printf(s->arena, "%.*s%c%02d:%02d", (int)strlen(text) - 1, text,
                        offset < 0 ? '-' : '+', minutes / 60, minutes % 60);
}

/* "Mon, 02 Jan 2006 15:04:05 +0000" */
static const char *mail_text(struct step *s, struct wall at)
{
    char text[64];
    struct tm tm;
    time_t seconds = (time_t)(at.us / SECOND_US);
    size_t n = gmtime_r(&seconds, &tm)
                   ? strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", &tm)
                   : 0;
    return arena_strndup(s->arena, text, n);
}

static void plan_job(struct step *s, struct wall at)
{
    const struct json *template = json_path(s->cron, "spec.jobTemplate");
    static const char *const copied[] = {"labels", "annotations"};
    struct json *job = json_object(s->arena);
    json_set_str(job, "apiVersion", "batch/v1");
    json_set_str(job, "kind", "Job");
    struct json *meta = obj_meta(job);
    json_set_str(meta, "name", job_name(s, at));
    json_set_str(meta, "namespace", obj_ns(s->cron));
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        const struct json *value = json_get(json_get(template, "metadata"), copied[i]);
        if (json_is(value, JSON_OBJECT)) {
            json_set(meta, copied[i], json_clone(s->arena, value));
        }
    }
    obj_set_annotation(job, CRON_SCHEDULED_ANNOTATION, local_text(s, at));
    json_push(json_ensure_array(meta, "ownerReferences"),
              obj_controller_ref_new(s->arena, s->cron, "batch/v1", "CronJob"));
    json_set(job, "spec", json_clone(s->arena, json_get(template, "spec")));
    struct action *a = plan_create(s->plan, known_kinds()->job, obj_ns(s->cron), job);
    a->wave = 3;
    a->flags = ACTION_F_EXISTS_OK;
    workload_events(a, known_kinds()->cron_job, s->cron, "SuccessfulCreate", "Created job %s",
                    "FailedCreate", "Error creating job: %s");
}

static void replace_active(struct step *s)
{
    JSON_FOR_EACH (ref, s->active) {
        const struct json *job = job_of(s, json_path_cstr(ref, "uid", ""));
        if (job && !obj_deleting(job)) {
            plan_delete_job(s, job, 2);
        }
    }
    s->active = json_array(s->arena);
}

static bool exists(const struct step *s, const char *name)
{
    for (size_t i = 0; i < s->in->n; i++) {
        if (cstr_eq(obj_name(s->in->jobs[i]), name)) {
            return true;
        }
    }
    return false;
}

static void make_due(struct step *s, const struct cron *c)
{
    const char *policy = json_path_cstr(s->cron, "spec.concurrencyPolicy", "Allow");
    const struct json *deadline = json_path(s->cron, "spec.startingDeadlineSeconds");
    struct wall at, from = earliest(s), now = s->in->now;
    if (!last_due(c, s->in->zone, from, now, &at)) {
        return;
    }
    warn_if_many(s, c, from);
    if (deadline && at.us + json_i64(deadline, 0) * SECOND_US < now.us) {
        tell(s, "Warning", "MissSchedule", "Missed scheduled time to start a job: %s",
             mail_text(s, at));
    } else if (exists(s, job_name(s, at))) {
        return;
    } else if (json_len(s->active) && strcmp(policy, "Forbid") == 0) {
        tell(s, "Normal", "JobAlreadyActive",
             "Not starting job because prior execution is running and concurrency policy is "
             "Forbid%s",
             "");
    } else {
        if (strcmp(policy, "Replace") == 0) {
            replace_active(s);
        }
        plan_job(s, at);
    }
}

static void schedule(struct step *s)
{
    const char *text = json_path_cstr(s->cron, "spec.schedule", "");
    const char *zone = json_path_cstr(s->cron, "spec.timeZone", "");
    struct cron c;
    struct err err;
    if (s->in->zone_error) {
        plan_event(s->plan, known_kinds()->cron_job, s->cron, "Warning", "UnknownTimeZone",
                   "invalid timeZone: \"%s\": %s", zone, s->in->zone_error);
    } else if (cron_parse(str_of(text), &c, &err) < 0) {
        plan_event(s->plan, known_kinds()->cron_job, s->cron, "Warning", "UnparseableSchedule",
                   "unparseable schedule: \"%s\" : %s", text, err.text);
    } else {
        make_due(s, &c);
        look_again(s, &c);
    }
}

/* ---- the step ---- */

static void write_status(struct step *s, const struct json *was)
{
    if (json_len(s->active)) {
        json_set(s->status, "active", s->active);
    } else {
        json_del(s->status, "active");
    }
    if (!json_equal(was, s->status)) {
        struct action *a = plan_update(s->plan, known_kinds()->cron_job, s->cron, "status");
        a->flags = ACTION_F_ABSENT_OK;
        a->wave = 1;
    }
}

int cronjob_reconcile(const struct cronjob_in *in, struct plan *plan)
{
    struct step s = {.in = in, .plan = plan, .arena = plan->arena, .cron = in->cron};
    const struct json *was = json_clone(s.arena, json_get(s.cron, "status"));
    s.status = json_ensure_object(s.cron, "status");
    s.active = json_array(s.arena);
    if (!was) {
        was = json_object(s.arena);
    }
    review_active(&s);
    for (size_t i = 0; i < in->n; i++) {
        review_job(&s, in->jobs[i]);
    }
    if (!obj_deleting(s.cron)) {
        trim(&s, "Complete", "successfulJobsHistoryLimit");
        trim(&s, "Failed", "failedJobsHistoryLimit");
        if (!json_path_true(s.cron, "spec.suspend", false)) {
            schedule(&s);
        }
    }
    write_status(&s, was);
    return plan_failed(plan) ? -E_NOMEM : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a Deployment: counters, and the conditions Available, Progressing and
 * ReplicaFailure. */
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "deployment_private.h"
#include "orchestrator_private.h"

#define NO_DEADLINE INT32_MAX

bool dep_has_deadline(const struct dep *d)
{
    const struct json *j = json_path(d->d, "spec.progressDeadlineSeconds");
    return j && json_i64(j, NO_DEADLINE) != NO_DEADLINE;
}

/* ---- conditions ---- */

static const char *reason_of(const struct json *condition)
{
    return json_cstr(json_get(condition, "reason"), "");
}

static void write_condition(struct dep *d, const char *type, const char *status, const char *reason,
                            const char *message, bool keep_transition)
{
    struct json *list = json_ensure_array(json_ensure_object(d->d, "status"), "conditions");
    struct json *c = conditions_get(list, type);
    char now[TIME_TEXT_SIZE];
    (void)time_text(d->in->now, now);
    if (!c) {
        c = json_push(list, json_object(d->arena));
        json_set_str(c, "type", type);
    }
    if (!keep_transition || !json_get(c, "lastTransitionTime")) {
        json_set_str(c, "lastTransitionTime", now);
    }
    json_set_str(c, "status", status);
    json_set_str(c, "lastUpdateTime", now);
    json_set_str(c, "reason", reason);
    json_set_str(c, "message", message);
}

void dep_condition_set(struct dep *d, const char *type, const char *status, const char *reason,
                       const char *message)
{
    const struct json *c = obj_condition(d->d, type);
    bool same = c && strcmp(json_cstr(json_get(c, "status"), ""), status) == 0;
    if (same && strcmp(reason_of(c), reason) == 0) {
        return;
    }
    write_condition(d, type, status, reason, message, same);
}

void dep_check_paused(struct dep *d)
{
    const char *reason = reason_of(obj_condition(d->d, "Progressing"));
    bool was = strcmp(reason, "DeploymentPaused") == 0;
    if (!dep_has_deadline(d) || strcmp(reason, "ProgressDeadlineExceeded") == 0) {
        return;
    }
    if (d->paused && !was) {
        dep_condition_set(d, "Progressing", "Unknown", "DeploymentPaused", "Deployment is paused");
    } else if (!d->paused && was) {
        dep_condition_set(d, "Progressing", "Unknown", "DeploymentResumed",
                          "Deployment is resumed");
    }
}

/* ---- counters ---- */

static int64_t counter(const struct json *status, const char *field)
{
    return json_i64(json_get(status, field), 0);
}

static void set_counter(struct json *status, const char *field, int64_t n)
{
    if (n > 0) {
        json_set_int(status, field, n);
    } else {
        json_del(status, field); /* Kubernetes leaves zeros out */
    }
}

static void count(struct dep *d)
{
    struct json *status = json_ensure_object(d->d, "status");
    int64_t actual = 0, ready = 0, available = 0;
    DEP_FOR_EACH(set, d)
    {
        actual += set->actual;
        ready += set->ready;
        available += set->available;
    }
    /* What is wanted counts as missing until it is there. */
    int64_t wanted = dep_total(d);
    json_set_int(status, "observedGeneration", obj_generation(d->d));
    set_counter(status, "replicas", actual);
    set_counter(status, "updatedReplicas", d->newest ? d->newest->actual : 0);
    set_counter(status, "readyReplicas", ready);
    set_counter(status, "availableReplicas", available);
    set_counter(status, "unavailableReplicas", wanted - available);
    if (available >= d->replicas - d->unavailable) {
        dep_condition_set(d, "Available", "True", "MinimumReplicasAvailable",
                          "Deployment has minimum availability.");
    } else {
        dep_condition_set(d, "Available", "False", "MinimumReplicasUnavailable",
                          "Deployment does not have minimum availability.");
    }
}

/* ---- progress ---- */

bool dep_complete(const struct dep *d, const struct json *status)
{
    return counter(status, "updatedReplicas") == d->replicas &&
           counter(status, "replicas") == d->replicas &&
           counter(status, "availableReplicas") == d->replicas &&
           counter(status, "observedGeneration") >= obj_generation(d->d);
}

static bool progresses(const struct json *was, const struct json *status)
{
    int64_t old_was = counter(was, "replicas") - counter(was, "updatedReplicas");
    int64_t old_now = counter(status, "replicas") - counter(status, "updatedReplicas");
    return counter(status, "updatedReplicas") > counter(was, "updatedReplicas") ||
           old_now < old_was || counter(status, "readyReplicas") > counter(was, "readyReplicas") ||
           counter(status, "availableReplicas") > counter(was, "availableReplicas");
}

/* Microseconds until the deadline passes; INT64_MAX when none runs. */
static int64_t time_left(const struct dep *d)
{
    const struct json *c = obj_condition(d->d, "Progressing");
    struct wall from;
    if (!c || strcmp(reason_of(c), "NewReplicaSetAvailable") == 0 ||
        time_parse(json_text(json_get(c, "lastUpdateTime")), &from) < 0) {
        return INT64_MAX;
    }
    int64_t deadline = json_path_i64(d->d, "spec.progressDeadlineSeconds", 600);
    return from.us + deadline * 1000000 - d->in->now.us;
}

static void set_progress(struct dep *d, const char *status, const char *reason, const char *what)
{
    const char *text =
        d->newest ? arena_printf(d->arena, "ReplicaSet \"%s\" %s", obj_name(d->newest->rs), what)
                  : arena_printf(d->arena, "Deployment \"%s\" %s", obj_name(d->d), what);
    if (strcmp(reason, "ReplicaSetUpdated") == 0) {
        /* Each step forward restarts the clock of the deadline. */
        const struct json *c = obj_condition(d->d, "Progressing");
        bool keep = strcmp(json_cstr(json_get(c, "status"), ""), "True") == 0;
        write_condition(d, "Progressing", status, reason, text, keep);
    } else {
        dep_condition_set(d, "Progressing", status, reason, text);
    }
}

static void judge_progress(struct dep *d)
{
    const struct json *status = json_get(d->d, "status");
    const struct json *c = obj_condition(d->d, "Progressing");
    bool settled = counter(status, "replicas") == counter(status, "updatedReplicas") && c &&
                   strcmp(reason_of(c), "NewReplicaSetAvailable") == 0;
    if (!dep_has_deadline(d)) {
        (void)obj_condition_del(d->d, "Progressing");
        return;
    }
    if (settled) {
        return;
    }
    if (dep_complete(d, status)) {
        set_progress(d, "True", "NewReplicaSetAvailable", "has successfully progressed.");
    } else if (progresses(d->was_status, status)) {
        set_progress(d, "True", "ReplicaSetUpdated", "is progressing.");
    } else if (time_left(d) < 0) {
        set_progress(d, "False", "ProgressDeadlineExceeded", "has timed out progressing.");
    }
}

static void copy_failure(struct dep *d)
{
    const struct json *failure = d->newest ? obj_condition(d->newest->rs, "ReplicaFailure") : NULL;
    DEP_FOR_EACH(set, d)
    {
        failure = failure ? failure : obj_condition(set->rs, "ReplicaFailure");
    }
    if (failure) {
        dep_condition_set(d, "ReplicaFailure", json_cstr(json_get(failure, "status"), "True"),
                          reason_of(failure), json_cstr(json_get(failure, "message"), ""));
    } else {
        (void)obj_condition_del(d->d, "ReplicaFailure");
    }
}

static void watch_deadline(struct dep *d)
{
    const char *reason = reason_of(obj_condition(d->d, "Progressing"));
    if (!dep_has_deadline(d) || dep_complete(d, json_get(d->d, "status")) ||
        strcmp(reason, "ProgressDeadlineExceeded") == 0) {
        return;
    }
    int64_t left = time_left(d);
    if (left != INT64_MAX) {
        plan_requeue(d->plan, left / 1000 + 1000);
    }
}

void dep_sync_status(struct dep *d, bool rollout)
{
    count(d);
    if (rollout) {
        judge_progress(d);
    }
    copy_failure(d);
    if (rollout) {
        watch_deadline(d);
    }
    if (json_equal(d->was_status, json_get(d->d, "status"))) {
        return;
    }
    struct action *a = plan_update(d->plan, known_kinds()->deployment, d->d, "status");
    a->flags = ACTION_F_ABSENT_OK;
    if (d->annotations_changed) {
        /* The patch beside it moves the revision; nobody else writes the status. */
        json_del(obj_meta(d->d), "resourceVersion");
    }
}

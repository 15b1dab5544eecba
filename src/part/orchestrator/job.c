/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile step of Jobs: what is asked, how it ends, the status. The contract is in job.h. */
#include "job.h"

#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/mem.h"
#include "job_private.h"
#include "orchestrator_private.h"
#include "workload.h"

/* ---- conditions ---- */

static bool is_true(const struct job *j, const char *type)
{
    return obj_condition_true(j->job, type);
}

/* With lastProbeTime, as Jobs have it. True when the status of the condition changed. */
static bool set_condition(struct job *j, const char *type, const char *status, const char *reason,
                          const char *message)
{
    char now[TIME_TEXT_SIZE];
    struct json *c = obj_condition(j->job, type);
    if (c && strcmp(json_path_cstr(c, "status", ""), status) == 0) {
        return false;
    }
    if (!c) {
        c = json_push(json_ensure_array(j->status, "conditions"), json_object(j->arena));
    }
    (void)time_text(j->in->now, now);
    json_set_str(c, "type", type);
    json_set_str(c, "status", status);
    json_set_str(c, "lastProbeTime", now);
    json_set_str(c, "lastTransitionTime", now);
    json_set_str(c, "reason", reason);
    json_set_str(c, "message", message);
    return true;
}

static void set_end(struct job *j, const char *end, const char *reason, const char *message)
{
    if (!j->end) {
        j->end = end;
        j->reason = reason;
        j->message = message;
    }
}

/* ---- what is asked ---- */

static void read_spec(struct job *j)
{
    const struct json *spec = json_get(j->job, "spec");
    j->indexed = strcmp(json_path_cstr(spec, "completionMode", ""), "Indexed") == 0;
    j->parallelism = MAX_OF(json_path_i64(spec, "parallelism", 1), 0);
    j->completions = json_path_i64(spec, "completions", -1);
    j->backoff_limit = json_path_i64(spec, "backoffLimit", 6);
    j->per_index_limit = json_path_i64(spec, "backoffLimitPerIndex", -1);
    j->per_index = j->indexed && j->per_index_limit >= 0;
    j->only_failed = json_get(spec, "podFailurePolicy") ||
                     strcmp(json_path_cstr(spec, "podReplacementPolicy", ""), "Failed") == 0;
    j->suspended = json_path_true(spec, "suspend", false);
    j->deleting = obj_deleting(j->job);
    j->status = json_ensure_object(j->job, "status");
    j->backoff = j->in->backoff;
}

static int64_t index_of(const struct job *j, const struct pod_facts *p)
{
    const char *text = pod_label(p, JOB_INDEX_LABEL);
    int64_t index;
    bool fine = j->indexed && text && str_i64(str_of(text), &index) == 0 && index >= 0 &&
                index < j->completions;
    return fine ? index : -1;
}

static int read_pods(struct job *j, struct err *err)
{
    struct selector *selector;
    size_t n;
    int r = selector_from_json(j->arena, json_path(j->job, "spec.selector"), &selector, err);
    if (r < 0) {
        return r;
    }
    struct pod_facts **pods =
        workload_claim(j->plan, j->job, known_kinds()->job, selector, j->in->pods, j->in->n, &n);
    j->pods = pods ? arena_zalloc(j->arena, (n + 1) * sizeof(*j->pods)) : NULL;
    if (!j->pods) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        j->pods[j->n++] = (struct job_pod){.p = pods[i], .index = index_of(j, pods[i])};
    }
    return 0;
}

/* ---- beginning and pausing ---- */

static void start_or_suspend(struct job *j)
{
    char now[TIME_TEXT_SIZE];
    const struct kind *kind = known_kinds()->job;
    (void)time_text(j->in->now, now);
    if (!j->suspended && !json_get(j->status, "startTime")) {
        json_set_str(j->status, "startTime", now);
    }
    if (j->suspended && set_condition(j, "Suspended", "True", "JobSuspended", "Job suspended")) {
        plan_event(j->plan, kind, j->job, "Normal", "Suspended", "Job suspended");
    } else if (!j->suspended && is_true(j, "Suspended")) {
        (void)set_condition(j, "Suspended", "False", "JobResumed", "Job resumed"); /* it changes */
        json_set_str(j->status, "startTime", now);
        plan_event(j->plan, kind, j->job, "Normal", "Resumed", "Job resumed");
    }
}

/* ---- the end ---- */

/* An end that was announced before stands. */
static void read_announced(struct job *j)
{
    static const struct {
        const char *announced, *end;
    } ends[] = {{"FailureTarget", "Failed"}, {"SuccessCriteriaMet", "Complete"}};
    for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
        const struct json *c = obj_condition(j->job, ends[i].announced);
        if (is_true(j, ends[i].announced)) {
            set_end(j, ends[i].end, json_path_cstr(c, "reason", ""),
                    json_path_cstr(c, "message", ""));
        }
    }
}

static bool too_many_restarts(const struct job *j)
{
    int64_t restarts = 0;
    if (strcmp(json_path_cstr(j->job, "spec.template.spec.restartPolicy", ""), "OnFailure") != 0) {
        return false;
    }
    JOB_FOR_EACH(pod, j)
    {
        restarts += pod->active ? pod->p->all_restarts : 0;
    }
    return j->backoff_limit == 0 ? restarts > 0 : restarts >= j->backoff_limit;
}

static bool past_deadline(struct job *j)
{
    const struct json *deadline = json_path(j->job, "spec.activeDeadlineSeconds");
    struct wall since;
    if (!deadline || j->suspended ||
        time_parse(str_of(json_path_cstr(j->status, "startTime", "")), &since) < 0) {
        return false;
    }
    int64_t left = since.us + json_i64(deadline, 0) * 1000000 - j->in->now.us;
    if (left > 0) {
        plan_requeue(j->plan, left / 1000 + 1);
    }
    return left <= 0;
}

static void look_for_failure(struct job *j)
{
    if (j->failed > j->backoff_limit || too_many_restarts(j)) {
        set_end(j, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
    } else if (past_deadline(j)) {
        set_end(j, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline");
    }
    if (!j->per_index) {
        return;
    }
    const struct json *most = json_path(j->job, "spec.maxFailedIndexes");
    if (most && j->lost.total > json_i64(most, 0)) {
        set_end(j, "Failed", "MaxFailedIndexesExceeded",
                "Job has exceeded the specified maximal number of failed indexes");
    } else if (j->lost.total > 0 && j->done.total + j->lost.total >= j->completions) {
        set_end(j, "Failed", "FailedIndexes", "Job has failed indexes");
    }
}

static void look_for_success(struct job *j)
{
    const char *message;
    bool enough = j->completions < 0 ? j->succeeded > 0 : j->succeeded >= j->completions;
    if (!j->end && job_success_policy(j, &message)) {
        set_end(j, "Complete", "SuccessPolicy", message);
    }
    if (!j->end && enough && j->active == 0 && !(j->suspended && j->succeeded == 0)) {
        set_end(j, "Complete", "CompletionsReached", "Reached expected number of succeeded pods");
    }
}

static void count_all(struct job *j)
{
    j->succeeded = j->indexed ? j->done.total : j->succeeded + (int64_t)json_len(j->ok);
    j->failed += (int64_t)json_len(j->bad);
}

/* Announces the end, and takes the pods that are left. */
static void wind_up(struct job *j)
{
    bool failing = strcmp(j->end, "Failed") == 0;
    (void)set_condition(j, failing ? "FailureTarget" : "SuccessCriteriaMet", "True", j->reason,
                        j->message); /* it may be there */
    if (failing) {
        job_count_rest(j);
    } else {
        JOB_FOR_EACH(pod, j)
        {
            pod->untrack = pod->untrack || pod->active || pod->going || pod->known;
        }
    }
    job_delete_active(j);
}

/* Everything is counted and nothing runs any more. */
static bool is_settled(const struct job *j)
{
    if (json_len(j->ok) || json_len(j->bad) || j->more || j->active || j->terminating) {
        return false;
    }
    JOB_FOR_EACH(pod, j)
    {
        if (pod->p->tracked) {
            return false;
        }
    }
    return true;
}

static void finish(struct job *j)
{
    char now[TIME_TEXT_SIZE];
    bool failed = strcmp(j->end, "Failed") == 0;
    (void)set_condition(j, j->end, "True", j->reason, j->message); /* it was not there */
    if (!failed) {
        json_set_str(j->status, "completionTime", time_text(j->in->now, now));
    }
    plan_event(j->plan, known_kinds()->job, j->job, failed ? "Warning" : "Normal",
               failed ? j->reason : "Completed", "%s", failed ? j->message : "Job completed");
}

/* ---- status ---- */

static struct json *uids(struct arena *a, const struct json *set)
{
    struct json *list = json_array(a);
    JSON_FOR_EACH_MEMBER (m, set) {
        json_push(list, json_string(a, m->key));
    }
    return list;
}

static void set_uncounted(struct job *j)
{
    struct json *uncounted = json_object(j->arena);
    if (json_len(j->ok)) {
        json_set(uncounted, "succeeded", uids(j->arena, j->ok));
    }
    if (json_len(j->bad)) {
        json_set(uncounted, "failed", uids(j->arena, j->bad));
    }
    json_set(j->status, "uncountedTerminatedPods", uncounted);
}

/* The counters as they are without those that are still listed. */
static void set_numbers(struct job *j, int64_t succeeded, int64_t failed)
{
    workload_count(j->status, "active", j->active);
    json_set_int(j->status, "ready", j->ready);
    json_set_int(j->status, "terminating", j->terminating);
    workload_count(j->status, "succeeded", j->indexed ? j->done.total : succeeded);
    workload_count(j->status, "failed", failed);
    if (j->indexed && j->done.total) {
        json_set_str(j->status, "completedIndexes", index_set_text(&j->done, j->arena));
    }
    if (j->per_index) {
        json_set_str(j->status, "failedIndexes", index_set_text(&j->lost, j->arena));
    }
    set_uncounted(j);
}

static void write_status(struct job *j, const struct json *was)
{
    if (json_equal(was, j->status)) {
        return;
    }
    struct action *a = plan_update(j->plan, known_kinds()->job, j->job, "status");
    a->flags = ACTION_F_ABSENT_OK;
    a->wave = JOB_WAVE_STATUS;
    a->tag = arena_dup(j->arena, &j->backoff, sizeof(j->backoff));
}

/* ---- the step ---- */

/* A Job that ended: its time to live, and pods that were forgotten. */
static void handle_ended(struct job *j, const struct json *condition)
{
    const struct json *ttl = json_path(j->job, "spec.ttlSecondsAfterFinished");
    struct wall ended;
    JOB_FOR_EACH(pod, j)
    {
        if (pod->p->tracked) {
            job_untrack(j->plan, pod->p);
        }
    }
    if (!ttl || j->deleting ||
        time_parse(str_of(json_path_cstr(condition, "lastTransitionTime", "")), &ended) < 0) {
        return;
    }
    int64_t left = ended.us + json_i64(ttl, 0) * 1000000 - j->in->now.us;
    if (left > 0) {
        plan_requeue(j->plan, left / 1000 + 1);
        return;
    }
    plan_delete(j->plan, known_kinds()->job, obj_ns(j->job), obj_name(j->job), obj_uid(j->job))
        ->req.propagation = "Foreground";
}

static bool is_ours(const struct json *job)
{
    const char *manager = json_path_cstr(job, "spec.managedBy", "");
    return !manager[0] || strcmp(manager, "kubernetes.io/job-controller") == 0;
}

static void carry_on(struct job *j, const struct json *was)
{
    int64_t succeeded = j->succeeded, failed = j->failed; /* settled */
    count_all(j);
    look_for_failure(j);
    look_for_success(j);
    if (j->end && !j->deleting) {
        wind_up(j);
    } else if (!j->deleting) {
        job_manage(j);
    }
    if (j->deleting) {
        JOB_FOR_EACH(pod, j)
        {
            pod->untrack = true;
        }
    }
    job_let_go(j);
    set_numbers(j, succeeded, failed);
    if (j->end && !j->deleting && is_settled(j)) {
        finish(j);
    }
    write_status(j, was);
    if (j->more) {
        plan_requeue(j->plan, 0);
    }
}

int job_reconcile(const struct job_in *in, struct plan *plan, struct err *err)
{
    struct job j = {.in = in, .plan = plan, .arena = plan->arena, .job = in->job};
    const struct json *was = json_clone(j.arena, json_get(j.job, "status"));
    if (!is_ours(j.job)) {
        return 0;
    }
    read_spec(&j);
    int r = read_pods(&j, err);
    if (r < 0) {
        return r;
    }
    bool complete = is_true(&j, "Complete");
    if (complete || is_true(&j, "Failed")) {
        handle_ended(&j, obj_condition(j.job, complete ? "Complete" : "Failed"));
        return 0;
    }
    if (!j.deleting) {
        start_or_suspend(&j);
    }
    read_announced(&j);
    r = job_count(&j);
    if (r < 0) {
        return r;
    }
    carry_on(&j, was);
    return 0;
}

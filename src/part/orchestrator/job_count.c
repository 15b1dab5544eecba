/* SPDX-License-Identifier: Apache-2.0 */
/* Counting the pods of a Job, each exactly once; how is drawn in job.h. */
#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "job_private.h"
#include "orchestrator_private.h"

#define FAILURES "batch.kubernetes.io/job-index-failure-count"

/* ---- what was written before ---- */

/* The uids whose pods are without the finalizer, or gone, are counted now. */
static struct json *count_settled(struct job *j, const struct json *uids,
                                  const struct json *tracked, int64_t *counter)
{
    struct json *left = json_object(j->arena);
    JSON_FOR_EACH (uid, uids) {
        const char *text = json_cstr(uid, "");
        if (json_get(tracked, text)) {
            json_set(left, text, json_bool(j->arena, true));
        } else {
            (*counter)++;
        }
    }
    return left;
}

static void read_uncounted(struct job *j)
{
    struct json *tracked = json_object(j->arena);
    const struct json *was = json_get(j->status, "uncountedTerminatedPods");
    JOB_FOR_EACH(pod, j)
    {
        if (pod->p->tracked) {
            json_set(tracked, pod->p->uid, json_bool(j->arena, true));
        }
    }
    j->succeeded = json_path_i64(j->status, "succeeded", 0);
    j->failed = json_path_i64(j->status, "failed", 0);
    j->ok = count_settled(j, json_get(was, "succeeded"), tracked, &j->succeeded);
    j->bad = count_settled(j, json_get(was, "failed"), tracked, &j->failed);
}

/* ---- one pod ---- */

static void judge(struct job *j, struct job_pod *pod)
{
    const struct pod_facts *p = pod->p;
    pod->going = j->in->is_going && j->in->is_going(j->in->going_arg, p);
    pod->succeeded = p->phase == POD_SUCCEEDED;
    pod->failed = p->phase == POD_FAILED || (p->deleting && !pod->succeeded && !j->only_failed);
    pod->active = pod_active(p) && !pod->going;
    pod->known = json_get(j->ok, p->uid) || json_get(j->bad, p->uid);
    j->active += pod->active;
    j->ready += pod->active && p->ready;
    j->terminating += (p->deleting || pod->going) && !pod_ended(p);
}

static bool has_room(const struct job *j, size_t new_indexes)
{
    return json_len(j->ok) + json_len(j->bad) + new_indexes < JOB_UNCOUNTED_MAX;
}

static void note(struct job *j, struct json *set, struct job_pod *pod)
{
    json_set(set, pod->p->uid, json_bool(j->arena, true));
    pod->known = true;
}

/* A row of failures ends with a success; which of those that ended since the last step came last
 * is told by their clocks. */
static void note_backoff(struct job *j, const struct json *whole, bool failed)
{
    struct wall at = job_ended_at(j, whole);
    if (failed) {
        j->backoff.failures++;
        j->backoff.last.us = MAX_OF(j->backoff.last.us, at.us);
    } else if (at.us >= j->backoff.last.us) {
        j->backoff = (struct job_backoff){0};
    }
}

/* The finalizer of an index' last failed pod stays until the next pod exists, for it holds the
 * number of failures. */
static bool must_stay(const struct job *j, const struct job_pod *failed)
{
    if (!j->per_index || failed->index < 0 || j->deleting ||
        index_set_has(&j->lost, failed->index) || index_set_has(&j->done, failed->index)) {
        return false;
    }
    JOB_FOR_EACH(pod, j)
    {
        if (pod->active && pod->index == failed->index) {
            return false;
        }
    }
    return true;
}

static void fail_job(struct job *j, const char *reason, const char *message)
{
    if (!j->end) {
        j->end = "Failed";
        j->reason = reason;
        j->message = message;
    }
}

/* Indexes that one step adds. */
struct gained {
    int64_t *done, *lost;
    size_t n_done, n_lost;
};

static void count_failed(struct job *j, struct job_pod *pod, struct gained *gained)
{
    const struct json *whole = j->in->pod ? j->in->pod(j->in->arg, j->arena, pod->p) : NULL;
    const char *message = "";
    enum policy_action action = job_policy(j, whole, &message);
    if (action == POLICY_FAIL_JOB) {
        fail_job(j, "PodFailurePolicy", message);
    }
    if (j->per_index && pod->index >= 0 && action != POLICY_IGNORE &&
        (action == POLICY_FAIL_INDEX || job_annotation(whole, FAILURES) >= j->per_index_limit)) {
        gained->lost[gained->n_lost++] = pod->index;
    }
    if (action != POLICY_IGNORE && (!j->indexed || pod->index >= 0)) {
        note(j, j->bad, pod);
        note_backoff(j, whole, /* failed= */ true);
    }
}

static void count_succeeded(struct job *j, struct job_pod *pod, struct gained *gained)
{
    const struct json *whole = j->in->pod ? j->in->pod(j->in->arg, j->arena, pod->p) : NULL;
    if (!j->indexed) {
        note(j, j->ok, pod);
    } else if (pod->index >= 0 && !index_set_has(&j->done, pod->index)) {
        gained->done[gained->n_done++] = pod->index;
    }
    note_backoff(j, whole, /* failed= */ false);
}

static void count_pod(struct job *j, struct job_pod *pod, struct gained *gained)
{
    if (!pod->p->tracked || (!pod->succeeded && !pod->failed)) {
        return;
    }
    if (!pod->known && !has_room(j, gained->n_done)) {
        j->more = true;
        return;
    }
    if (!pod->known && pod->succeeded) {
        count_succeeded(j, pod, gained);
    } else if (!pod->known) {
        count_failed(j, pod, gained);
    }
    pod->untrack = true;
}

int job_count(struct job *j)
{
    struct gained gained = {.done = arena_alloc(j->arena, (j->n + 1) * sizeof(int64_t)),
                            .lost = arena_alloc(j->arena, (j->n + 1) * sizeof(int64_t))};
    const struct json *done = json_get(j->status, "completedIndexes");
    const struct json *lost = json_get(j->status, "failedIndexes");
    int64_t limit = j->indexed ? MAX_OF(j->completions, 0) : 0;
    if (!gained.done || !gained.lost ||
        !index_set_parse(&j->done, j->arena, json_text(done), limit) ||
        !index_set_parse(&j->lost, j->arena, json_text(lost), limit)) {
        return -E_NOMEM;
    }
    read_uncounted(j);
    JOB_FOR_EACH(pod, j)
    {
        judge(j, pod);
    }
    JOB_FOR_EACH(pod, j)
    {
        count_pod(j, pod, &gained);
    }
    if (!index_set_add(&j->done, j->arena, gained.done, gained.n_done) ||
        !index_set_add(&j->lost, j->arena, gained.lost, gained.n_lost)) {
        return -E_NOMEM;
    }
    JOB_FOR_EACH(pod, j)
    {
        pod->untrack = pod->untrack && (pod->succeeded || !must_stay(j, pod));
    }
    return 0;
}

void job_count_rest(struct job *j)
{
    JOB_FOR_EACH(pod, j)
    {
        if (!pod->p->tracked || pod->succeeded) {
            continue;
        }
        if (!pod->known && !pod->failed) {
            if (!has_room(j, 0)) {
                j->more = true;
                continue;
            }
            if (!j->indexed || pod->index >= 0) {
                note(j, j->bad, pod);
            }
        }
        pod->untrack = pod->untrack || pod->known || !pod->failed;
    }
}

/* ---- letting go ---- */

void job_untrack(struct plan *plan, const struct pod_facts *p)
{
    struct arena *a = plan->arena;
    struct json *patch = json_object(a);
    struct json *meta = obj_meta(patch);
    json_set_str(meta, "uid", p->uid);
    json_push(json_ensure_array(meta, "$deleteFromPrimitiveList/finalizers"),
              json_string(a, JOB_TRACKING));
    struct action *action = plan_patch(plan, known_kinds()->pod, arena_strdup(a, p->ns),
                                       arena_strdup(a, p->name), NULL, API_PATCH_STRATEGIC, patch);
    action->flags = ACTION_F_ABSENT_OK;
    action->wave = JOB_WAVE_FINALIZERS;
}

void job_let_go(struct job *j)
{
    JOB_FOR_EACH(pod, j)
    {
        if (pod->p->tracked && pod->untrack) {
            job_untrack(j->plan, pod->p);
        }
    }
}

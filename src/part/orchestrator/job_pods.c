/* SPDX-License-Identifier: Apache-2.0 */
/* The pods of a Job: how many are wanted, which ones go, what they look like. */
#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "job_private.h"
#include "orchestrator_private.h"
#include "replicaset.h"
#include "workload.h"

#define DELAY_FIRST_MS 10000
#define DELAY_MAX_MS 600000
#define FAILURES "batch.kubernetes.io/job-index-failure-count"
#define IGNORED_FAILURES "batch.kubernetes.io/job-index-ignored-failure-count"
#define INDEX_ENV "JOB_COMPLETION_INDEX"

int64_t job_delay_ms(const struct job *j, int64_t failures, struct wall last)
{
    int64_t delay = DELAY_FIRST_MS;
    if (failures <= 0) {
        return 0;
    }
    for (int64_t i = 1; i < failures && delay < DELAY_MAX_MS; i++) {
        delay *= 2;
    }
    return MIN_OF(delay, DELAY_MAX_MS) - (j->in->now.us - last.us) / 1000;
}

/* ---- taking away ---- */

/* It goes because the Job does not need it: its end does not count. */
static void remove_pod(struct job *j, struct job_pod *pod)
{
    if (pod->p->tracked && !pod->untrack) {
        job_untrack(j->plan, pod->p);
        pod->untrack = false;
    }
    workload_delete(j->plan, pod->p, j->job, known_kinds()->job, "Deleted pod: %s")->wave =
        JOB_WAVE_PODS;
    pod->active = false;
    pod->going = true;
}

void job_delete_active(struct job *j)
{
    JOB_FOR_EACH(pod, j)
    {
        if (pod->active) {
            workload_delete(j->plan, pod->p, j->job, known_kinds()->job, "Deleted pod: %s")->wave =
                JOB_WAVE_PODS;
        }
    }
}

static struct job_pod *find(struct job *j, const struct pod_facts *p)
{
    JOB_FOR_EACH(pod, j)
    {
        if (pod->p == p) {
            return pod;
        }
    }
    return NULL;
}

/* Removes n active pods: those that are the least loss. */
static void remove_some(struct job *j, int64_t n)
{
    struct pod_facts **active = arena_alloc(j->arena, (j->n + 1) * sizeof(*active));
    size_t count = 0;
    JOB_FOR_EACH(pod, j)
    {
        if (active && pod->active) {
            active[count++] = pod->p;
        }
    }
    replicaset_rank(active, count, j->in->now);
    for (size_t i = 0; i < count && (int64_t)i < MIN_OF(n, WORKLOAD_BURST); i++) {
        remove_pod(j, find(j, active[i]));
    }
    if (n > WORKLOAD_BURST) {
        plan_requeue(j->plan, 0);
    }
}

static int by_index(const void *x, const void *y)
{
    const struct job_pod *a = *(struct job_pod *const *)x, *b = *(struct job_pod *const *)y;
    if (a->index != b->index) {
        return a->index < b->index ? -1 : 1;
    }
    return (a->p->created.us > b->p->created.us) - (a->p->created.us < b->p->created.us);
}

/* Active pods without a valid index, of an index that is done with, or of one that another pod
 * has. Returns how many went. */
static int64_t remove_useless(struct job *j)
{
    struct job_pod **v = arena_alloc(j->arena, (j->n + 1) * sizeof(*v));
    size_t n = 0;
    int64_t removed = 0, last = -1;
    JOB_FOR_EACH(pod, j)
    {
        if (v && pod->active) {
            v[n++] = pod;
        }
    }
    qsort((void *)v, n, sizeof(*v), by_index);
    for (size_t i = 0; i < n; i++) {
        int64_t index = v[i]->index;
        if (index < 0 || index == last || index_set_has(&j->done, index) ||
            index_set_has(&j->lost, index)) {
            remove_pod(j, v[i]);
            removed++;
        }
        last = index;
    }
    return removed;
}

/* ---- making ---- */

static bool has_env(const struct json *container)
{
    JSON_FOR_EACH (env, json_get(container, "env")) {
        if (strcmp(json_path_cstr(env, "name", ""), INDEX_ENV) == 0) {
            return true;
        }
    }
    return false;
}

static void add_index_env(struct json *containers, struct arena *a)
{
    JSON_FOR_EACH (container, containers) {
        if (has_env(container)) {
            continue;
        }
        struct json *env = json_push(json_ensure_array(container, "env"), json_object(a));
        json_set_str(env, "name", INDEX_ENV);
        struct json *ref = json_ensure_object(json_ensure_object(env, "valueFrom"), "fieldRef");
        json_set_str(ref, "fieldPath", "metadata.labels['" JOB_INDEX_LABEL "']");
    }
}

static void set_index(struct job *j, struct json *pod, int64_t index)
{
    const char *text = arena_printf(j->arena, "%lld", (long long)index);
    struct json *spec = json_get(pod, "spec");
    obj_set_label(pod, JOB_INDEX_LABEL, text);
    obj_set_annotation(pod, JOB_INDEX_LABEL, text);
    add_index_env(json_get(spec, "initContainers"), j->arena);
    add_index_env(json_get(spec, "containers"), j->arena);
    /* A host name holds 63 bytes; a longer one would be no valid pod. */
    const char *host = arena_printf(j->arena, "%s-%lld", obj_name(j->job), (long long)index);
    if (host && strlen(host) <= 63) {
        json_set_str(spec, "hostname", host);
    }
    json_set(obj_meta(pod), "generateName",
             json_printf(j->arena, "%.230s-%lld-", obj_name(j->job), (long long)index));
}

static struct json *new_pod(struct job *j)
{
    struct json *pod =
        workload_pod(j->arena, json_path(j->job, "spec.template"), j->job, known_kinds()->job);
    json_set(obj_meta(pod), "generateName", json_printf(j->arena, "%.245s-", obj_name(j->job)));
    (void)obj_add_finalizer(pod, JOB_TRACKING); /* a template does not have it */
    return pod;
}

static void plan_create_pod(struct job *j, const struct json *pod, size_t i)
{
    struct action *a = plan_create(j->plan, known_kinds()->pod, obj_ns(j->job), NULL);
    a->req.body = pod;
    a->wave = JOB_WAVE_PODS + workload_wave(i);
    workload_events(a, known_kinds()->job, j->job, "SuccessfulCreate", "Created pod: %s",
                    "FailedCreate", "Error creating: %s");
}

static void create_plain(struct job *j, int64_t n)
{
    int64_t delay = job_delay_ms(j, j->backoff.failures, j->backoff.last);
    const struct json *pod = new_pod(j);
    if (delay > 0) {
        plan_requeue(j->plan, delay);
        return;
    }
    for (int64_t i = 0; i < n; i++) {
        plan_create_pod(j, pod, (size_t)i);
    }
}

/* What the last failed pod of an index tells the next one. */
struct past {
    int64_t failures, ignored;
    struct wall last;
};

static struct past past_of(struct job *j, int64_t index)
{
    struct past past = {0};
    JOB_FOR_EACH(pod, j)
    {
        const char *unused;
        if (pod->index != index || !pod->failed || !pod->p->tracked || !j->in->pod) {
            continue;
        }
        const struct json *whole = j->in->pod(j->in->arg, j->arena, pod->p);
        bool ignored = job_policy(j, whole, &unused) == POLICY_IGNORE;
        past.failures = MAX_OF(past.failures, job_annotation(whole, FAILURES) + !ignored);
        past.ignored = MAX_OF(past.ignored, job_annotation(whole, IGNORED_FAILURES) + ignored);
        past.last.us = MAX_OF(past.last.us, job_ended_at(j, whole).us);
    }
    return past;
}

static void set_past(struct job *j, struct json *pod, const struct past *past)
{
    obj_set_annotation(pod, FAILURES, arena_printf(j->arena, "%lld", (long long)past->failures));
    if (past->ignored) {
        obj_set_annotation(pod, IGNORED_FAILURES,
                           arena_printf(j->arena, "%lld", (long long)past->ignored));
    }
}

/* Indexes that are done, lost, or have a pod. */
static bool taken_indexes(struct job *j, struct index_set *ret)
{
    int64_t *v = arena_alloc(j->arena, (j->n + 1) * sizeof(*v));
    size_t n = 0;
    JOB_FOR_EACH(pod, j)
    {
        bool leaving = (pod->p->deleting || pod->going) && !pod_ended(pod->p);
        if (v && pod->index >= 0 && (pod->active || pod->succeeded || leaving)) {
            v[n++] = pod->index;
        }
    }
    *ret = (struct index_set){0};
    return v && index_set_join(ret, j->arena, &j->done) &&
           index_set_join(ret, j->arena, &j->lost) && index_set_add(ret, j->arena, v, n);
}

static void create_indexed(struct job *j, int64_t n)
{
    struct index_set taken;
    int64_t delay = job_delay_ms(j, j->per_index ? 0 : j->backoff.failures, j->backoff.last);
    int64_t index = -1;
    if (delay > 0) {
        plan_requeue(j->plan, delay);
        return;
    }
    if (!taken_indexes(j, &taken)) {
        return; /* the plan has failed */
    }
    for (int64_t made = 0; made < n;) {
        index = index_set_gap(&taken, index + 1);
        if (index >= j->completions) {
            return;
        }
        struct past past = j->per_index ? past_of(j, index) : (struct past){0};
        delay = job_delay_ms(j, past.failures + past.ignored, past.last);
        if (delay > 0) {
            plan_requeue(j->plan, delay);
            continue;
        }
        struct json *pod = new_pod(j);
        set_index(j, pod, index);
        if (j->per_index) {
            set_past(j, pod, &past);
        }
        plan_create_pod(j, pod, (size_t)made++);
    }
}

/* ---- how many ---- */

static int64_t wanted(const struct job *j)
{
    if (j->suspended) {
        return 0;
    }
    if (j->completions < 0) {
        /* One success ends it: those that run may finish, none is added. */
        return j->succeeded > 0 ? MIN_OF(j->active, j->parallelism) : j->parallelism;
    }
    return MAX_OF(MIN_OF(j->parallelism, j->completions - j->succeeded - j->lost.total), 0);
}

void job_manage(struct job *j)
{
    int64_t active = j->active - (j->indexed && !j->suspended ? remove_useless(j) : 0);
    int64_t want = wanted(j);
    if (active > want) {
        remove_some(j, active - want);
        return;
    }
    int64_t missing = want - active - (j->only_failed ? j->terminating : 0);
    if (missing <= 0) {
        return;
    }
    if (missing > WORKLOAD_BURST) {
        plan_requeue(j->plan, 0);
    }
    if (j->indexed) {
        create_indexed(j, MIN_OF(missing, WORKLOAD_BURST));
    } else {
        create_plain(j, MIN_OF(missing, WORKLOAD_BURST));
    }
}

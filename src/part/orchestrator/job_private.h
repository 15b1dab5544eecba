/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the Job step share. */
#ifndef ORCHESTRATOR_JOB_PRIVATE_H
#define ORCHESTRATOR_JOB_PRIVATE_H

#include "job.h"
#include "job_indexes.h"

/* What stands in which wave of the plan: a pod is let go only after its end is written down. */
enum { JOB_WAVE_STATUS = 1, JOB_WAVE_FINALIZERS, JOB_WAVE_PODS };

/* Uids that status.uncountedTerminatedPods may hold before counting must catch up. */
#define JOB_UNCOUNTED_MAX 500

enum policy_action { POLICY_NONE, POLICY_COUNT, POLICY_IGNORE, POLICY_FAIL_JOB, POLICY_FAIL_INDEX };

struct job_pod {
    struct pod_facts *p;
    int64_t index; /* -1 = none, or not one of the Job's */
    bool going;    /* asked to go, not yet shown */
    bool active;
    bool succeeded, failed; /* for the Job; a pod that is deleted before its end counts as failed */
    bool untrack;           /* the finalizer may go */
    bool known;             /* its end is in the list of uncounted ones */
};

struct job {
    const struct job_in *in;
    struct plan *plan;
    struct arena *arena;
    struct json *job, *status;
    bool indexed, per_index, only_failed, suspended, deleting;
    int64_t parallelism, completions; /* completions -1 = none given */
    int64_t backoff_limit, per_index_limit;
    struct job_pod *pods;
    size_t n;
    struct index_set done, lost; /* succeeded and failed indexes */
    struct json *ok, *bad;       /* uids to be counted, as sets */
    bool more;                   /* there was no room for all that ended */
    int64_t succeeded, failed, active, ready, terminating;
    /* The end: "Complete" or "Failed" and why; NULL = not in sight. */
    const char *end, *reason, *message;
    struct job_backoff backoff;
};

#define JOB_FOR_EACH(pod, j) for (struct job_pod *pod = (j)->pods; pod < (j)->pods + (j)->n; pod++)

/* ---- job_count.c ---- */

/* Reads what ended from pods and status; fills the counts. */
int job_count(struct job *j);
/* The Job is failing: pods that still run count as failed. */
void job_count_rest(struct job *j);
/* Plans the removal of finalizers. */
void job_let_go(struct job *j);

/* ---- job_policy.c ---- */

/* What the failure policy says about a failed pod; *ret_message for POLICY_FAIL_JOB. */
enum policy_action job_policy(struct job *j, const struct json *pod, const char **ret_message);
bool job_success_policy(struct job *j, const char **ret_message);
int64_t job_annotation(const struct json *pod, const char *key);
struct wall job_ended_at(const struct job *j, const struct json *pod);

/* ---- job_pods.c ---- */

/* Makes and takes away pods. */
void job_manage(struct job *j);
void job_delete_active(struct job *j);
/* The delay after so many failures in a row, from `last` on; <= 0 = none left. */
int64_t job_delay_ms(const struct job *j, int64_t failures, struct wall last);

#endif

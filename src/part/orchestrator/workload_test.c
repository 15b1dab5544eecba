/* SPDX-License-Identifier: Apache-2.0 */
/* The pure steps of StatefulSets, DaemonSets, Jobs and CronJobs, and their revisions: a state in, a
 * plan out. */
#include "workload.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/object.h"
#include "base/mem.h"
#include "cronjob.h"
#include "daemonset.h"
#include "job.h"
#include "job_indexes.h"
#include "revision.h"
#include "statefulset.h"

#define NOW_S ((int64_t)1800000000) /* 2027-01-15T08:00:00Z */

static struct arena arena;
static struct pod_facts *pods[64];
static size_t n_pods;
static struct json *whole[64]; /* the same pods */

static int setup(void **state)
{
    arena_init(&arena, 0);
    n_pods = 0;
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < n_pods; i++) {
        pod_facts_free(pods[i]);
    }
    arena_fini(&arena);
    return 0;
}

/* Texts are written with ' for ". */
static struct json *json_of(const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    char *copy = arena_strdup(&arena, text);
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (json_parse(&arena, str_of(copy), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static struct wall now_plus(int64_t s)
{
    return (struct wall){(NOW_S + s) * 1000000};
}

/* A pod of the owner with the uid "u" and the label a=b; state: "Pending", "Running" (ready),
 * "Failed", "Succeeded", or "Leaving" (it runs, and is being deleted). */
static struct json *add_pod(const char *name, const char *state, const char *node,
                            const char *label, const char *value)
{
    bool leaving = strcmp(state, "Leaving") == 0, runs = leaving || strcmp(state, "Running") == 0;
    struct json *pod =
        json_of("{'metadata':{'namespace':'d','labels':{'a':'b'},'creationTimestamp':"
                "'2027-01-15T07:00:00Z','ownerReferences':[{'apiVersion':'x','kind':'X','name':'x',"
                "'uid':'u','controller':true}],'finalizers':['batch.kubernetes.io/job-tracking']},"
                "'spec':{},'status':{'conditions':[{'type':'Ready','status':'False',"
                "'lastTransitionTime':'2027-01-15T07:00:00Z'}]}}");
    json_set_str(obj_meta(pod), "name", name);
    json_set_str(obj_meta(pod), "uid", name);
    json_set_str(json_get(pod, "spec"), "nodeName", node);
    json_set_str(json_get(pod, "status"), "phase", runs ? "Running" : state);
    json_set_str(obj_condition(pod, "Ready"), "status", runs ? "True" : "False");
    if (label) {
        obj_set_label(pod, label, value);
    }
    if (leaving) {
        json_set_str(obj_meta(pod), "deletionTimestamp", "2027-01-15T08:00:30Z");
    }
    whole[n_pods] = pod;
    pods[n_pods++] = pod_facts_new(pod);
    return pod;
}

static struct json *whole_pod(const void *arg, struct arena *a, const struct pod_facts *p)
{
    for (size_t i = 0; i < n_pods; i++) {
        if (pods[i] == p) {
            return whole[i];
        }
    }
    return NULL;
}

#define WAVES 20

/* "create db-0; delete db-1": what a plan does to objects of a kind, wave by wave. */
static const char *deeds(const struct plan *p, const char *kind)
{
    const char *out = "";
    for (size_t i = 0; i < p->n * WAVES; i++) {
        const struct action *a = &p->actions[i % p->n];
        if (strcmp(a->req.kind->kind, kind) != 0 || a->req.subresource || a->wave != i / p->n) {
            continue;
        }
        const char *verb = a->req.verb == API_CREATE   ? "create"
                           : a->req.verb == API_DELETE ? "delete"
                           : a->req.verb == API_PATCH  ? "patch"
                                                       : "update";
        const char *name = a->req.name ? a->req.name : obj_name(a->req.body);
        name = name[0] ? name : json_path_cstr(a->req.body, "metadata.generateName", "");
        out = arena_printf(&arena, "%s%s%s %s", out, out[0] ? "; " : "", verb, name);
    }
    return out;
}

static const struct json *status_of(const struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        if (cstr_eq(p->actions[i].req.subresource, "status")) {
            return json_get(p->actions[i].req.body, "status");
        }
    }
    return NULL;
}

static bool has_event(const struct plan *p, const char *reason)
{
    for (size_t i = 0; i < p->events_n; i++) {
        if (strcmp(p->events[i].reason, reason) == 0) {
            return true;
        }
    }
    return false;
}

#define TEMPLATE                                                                                \
    "'selector':{'matchLabels':{'a':'b'}},'template':{'metadata':{'labels':{'a':'b'}},'spec':{" \
    "'containers':[{'name':'c','image':'i'}]}}"
#define META "'metadata':{'name':'db','namespace':'d','uid':'u','generation':1}"
#define HASH "controller-revision-hash"

/* ---- revisions ---- */

static struct json *a_revision(const char *name, int64_t number, const char *image)
{
    struct json *r = json_of(
        "{'metadata':{'namespace':'d','labels':{'a':'b'},'ownerReferences':[{'uid':'u',"
        "'controller':true}]},'data':{'spec':{'template':{'$patch':'replace','metadata':{'labels':{"
        "'a':'b'}},'spec':{'containers':[{'name':'c'}]}}}}}");
    json_set_str(obj_meta(r), "name", name);
    json_set_str(obj_meta(r), "uid", name);
    obj_set_label(r, "controller.kubernetes.io/hash", name);
    json_set_int(r, "revision", number);
    json_set_str(json_at(json_path(r, "data.spec.template.spec.containers"), 0), "image", image);
    return r;
}

static bool taken(const void *arg, const char *name)
{
    return true;
}

static bool nothing_in_use(const void *arg, const struct json *revision)
{
    return false;
}

static struct plan sync_revisions(struct json **found, size_t n, bool name_taken,
                                  struct revisions *ret, struct json **ret_owner)
{
    struct plan plan;
    struct err err = {0};
    plan_init(&plan, &arena);
    *ret_owner = json_of("{" META ",'spec':{" TEMPLATE "}}");
    struct revisions_in in = {.owner = *ret_owner,
                              .kind = kind_find_api("apps/v1", "StatefulSet"),
                              .found = found,
                              .n = n,
                              .name_taken = name_taken ? taken : NULL};
    assert_int_equal(revisions_sync(&in, &plan, ret, &err), 0);
    return plan;
}

static void a_template_without_a_revision_gets_the_next_one(void **state)
{
    struct json *found[] = {a_revision("old", 4, "j")}, *owner;
    struct revisions r;
    struct plan plan = sync_revisions(found, 1, false, &r, &owner);
    assert_true(r.fresh);
    assert_int_equal(json_path_i64(r.update, "revision", 0), 5);
    assert_string_equal(json_path_cstr(revision_template(r.update), "$patch", ""), "replace");
    assert_int_equal(plan.n, 1);
}

static void going_back_raises_the_old_revision(void **state)
{
    struct json *found[] = {a_revision("one", 1, "i"), a_revision("two", 2, "j")}, *owner;
    struct revisions r;
    struct plan plan = sync_revisions(found, 2, false, &r, &owner);
    assert_string_equal(obj_name(r.update), "one");
    assert_string_equal(deeds(&plan, "ControllerRevision"), "update one");
    assert_int_equal(json_path_i64(r.update, "revision", 0), 3);
    revisions_trim(&r, &plan, 0, nothing_in_use, NULL);
    assert_string_equal(deeds(&plan, "ControllerRevision"), "update one; delete two");
}

static void a_taken_name_counts_as_a_collision(void **state)
{
    struct json *owner;
    struct revisions r;
    struct plan plan = sync_revisions(NULL, 0, true, &r, &owner);
    assert_null(r.update);
    assert_int_equal(json_path_i64(owner, "status.collisionCount", 0), 1);
    assert_int_equal(plan.requeue_ms, 0);
}

/* ---- StatefulSets ---- */

static struct plan run_set(const char *spec)
{
    struct plan plan;
    struct err err = {0};
    struct json *revisions[] = {a_revision("old", 1, "j"), a_revision("new", 2, "i")};
    plan_init(&plan, &arena);
    struct statefulset_in in = {
        .set = json_of(arena_printf(&arena,
                                    "{" META ",'spec':{'serviceName':'s'," TEMPLATE
                                    ",%s},'status':{'currentRevision':'old'}}",
                                    spec)),
        .revisions = revisions,
        .n_revisions = 2,
        .pods = pods,
        .n = n_pods,
        .may_manage = true,
        .now = now_plus(0)};
    if (statefulset_reconcile(&in, &plan, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return plan;
}

static void stateful_pods_follow_the_table(void **state)
{
    static const struct {
        const char *spec;
        const char
            *states[4]; /* of db-0, db-1, ...; "" = none; a capital N behind = new revision */
        const char *deeds;
    } rows[] = {
        {"'replicas':3", {"", "", "", ""}, "create db-0"},
        {"'replicas':3", {"PendingN", "", "", ""}, ""},
        {"'replicas':3", {"RunningN", "", "", ""}, "create db-1"},
        {"'replicas':3", {"RunningN", "LeavingN", "", ""}, ""},
        {"'replicas':2", {"FailedN", "RunningN", "", ""}, "delete db-0"},
        {"'replicas':1", {"RunningN", "RunningN", "RunningN", ""}, "delete db-2"},
        {"'replicas':1", {"RunningN", "RunningN", "LeavingN", ""}, ""},
        {"'replicas':1", {"PendingN", "RunningN", "", ""}, ""},
        {"'replicas':3,'podManagementPolicy':'Parallel'",
         {"", "RunningN", "", ""},
         "create db-0; create db-2"},
        {"'replicas':1,'podManagementPolicy':'Parallel'",
         {"RunningN", "RunningN", "RunningN", ""},
         "delete db-2; delete db-1"},
        {"'replicas':2,'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':0}}",
         {"Running", "Running", "", ""},
         "delete db-1"},
        {"'replicas':2,'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':0}}",
         {"Running", "RunningN", "", ""},
         "delete db-0"},
        {"'replicas':2,'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{'partition':1}}",
         {"Running", "RunningN", "", ""},
         ""},
        {"'replicas':2,'updateStrategy':{'type':'OnDelete'}", {"Running", "Running", "", ""}, ""},
        {"'replicas':4,'updateStrategy':{'rollingUpdate':{'maxUnavailable':2}}",
         {"Running", "Running", "Running", "Running"},
         "delete db-3; delete db-2"},
        {"'replicas':2,'ordinals':{'start':1}",
         {"RunningN", "RunningN", "RunningN", ""},
         "delete db-0"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        (void)teardown(NULL);
        (void)setup(NULL);
        for (int k = 0; k < 4; k++) {
            size_t n = strlen(rows[i].states[k]);
            bool fresh = n && rows[i].states[k][n - 1] == 'N';
            if (n) {
                (void)add_pod(arena_printf(&arena, "db-%d", k),
                              arena_strndup(&arena, rows[i].states[k], n - fresh), "n", HASH,
                              fresh ? "new" : "old");
            }
        }
        struct plan plan = run_set(rows[i].spec);
        if (strcmp(deeds(&plan, "Pod"), rows[i].deeds) != 0) {
            fail_msg("row %zu: %s", i, deeds(&plan, "Pod"));
        }
    }
}

static void a_pod_below_the_partition_is_made_from_the_old_template(void **state)
{
    struct plan plan = run_set("'replicas':1,'updateStrategy':{'type':'RollingUpdate',"
                               "'rollingUpdate':{'partition':1}},'volumeClaimTemplates':[{"
                               "'metadata':{'name':'data'},'spec':{}}]");
    const struct json *pod = NULL;
    for (size_t i = 0; i < plan.n; i++) {
        pod = strcmp(plan.actions[i].req.kind->kind, "Pod") == 0 ? plan.actions[i].req.body : pod;
    }
    assert_string_equal(deeds(&plan, "PersistentVolumeClaim"), "create data-db-0");
    assert_string_equal(obj_label(pod, HASH), "old");
    assert_string_equal(json_path_cstr(json_at(json_path(pod, "spec.containers"), 0), "image", ""),
                        "j");
    assert_string_equal(json_path_cstr(json_at(json_path(pod, "spec.volumes"), 0),
                                       "persistentVolumeClaim.claimName", ""),
                        "data-db-0");
    assert_string_equal(obj_label(pod, "apps.kubernetes.io/pod-index"), "0");
}

static void ordinals_are_read_from_names(void **state)
{
    assert_int_equal(statefulset_ordinal("db", "db-12"), 12);
    assert_int_equal(statefulset_ordinal("db", "db-"), -1);
    assert_int_equal(statefulset_ordinal("db", "db--1"), -1);
    assert_int_equal(statefulset_ordinal("db", "dbx-1"), -1);
    assert_int_equal(statefulset_ordinal("db", "db-1x"), -1);
}

/* ---- DaemonSets ---- */

static struct plan run_daemon(const char *spec, const char *taint)
{
    static struct daemon_node a, b;
    static const struct daemon_node *const nodes[] = {&a, &b};
    struct plan plan;
    struct err err = {0};
    struct json *revisions[] = {a_revision("old", 1, "j"), a_revision("new", 2, "i")};
    a = (struct daemon_node){"n1", json_of("{'disk':'ssd'}"), NULL};
    b = (struct daemon_node){"n2", NULL, taint ? json_of(taint) : NULL};
    plan_init(&plan, &arena);
    struct daemonset_in in = {
        .set = json_of(arena_printf(&arena, "{" META ",'spec':{" TEMPLATE "%s}}", spec)),
        .revisions = revisions,
        .n_revisions = 2,
        .nodes = nodes,
        .n_nodes = 2,
        .pods = pods,
        .n = n_pods,
        .may_manage = true,
        .now = now_plus(0)};
    if (daemonset_reconcile(&in, &plan, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return plan;
}

#define CUT "[{'key':'node.kubernetes.io/unreachable','effect':'NoSchedule'}]"

static void daemons_follow_the_table(void **state)
{
    static const struct {
        const char *spec, *taint;
        const char *on_n1, *on_n2; /* as above */
        const char *deeds;
    } rows[] = {
        {"", NULL, "", "", "create db-; create db-"},
        {"", NULL, "RunningN", "RunningN", ""},
        {"", NULL, "RunningN", "LeavingN", ""},
        {"", NULL, "RunningN", "FailedN", "delete n2"},
        {"", "[{'key':'x','effect':'NoSchedule'}]", "", "", "create db-"},
        {"", "[{'key':'x','effect':'NoSchedule'}]", "RunningN", "RunningN", ""},
        {"", "[{'key':'x','effect':'NoExecute'}]", "RunningN", "RunningN", "delete n2"},
        {"", "[{'key':'x','effect':'PreferNoSchedule'}]", "RunningN", "", "create db-"},
        {"", "[{'key':'node.kubernetes.io/unschedulable','effect':'NoSchedule'}]", "RunningN", "",
         "create db-"},
        /* A node that is cut off is left alone, and takes no room from the others. */
        {"", CUT, "RunningN", "", ""},
        {"", CUT, "Running", "Running", "delete n1"},
        {"", CUT, "RunningN", "Running", ""},
        {"", NULL, "Running", "Running", "delete n1"},
        {"", NULL, "Pending", "Running", "delete n1"},
        {"", NULL, "PendingN", "Running", ""},
        {",'updateStrategy':{'rollingUpdate':{'maxUnavailable':'100%'}}", NULL, "Running",
         "Running", "delete n1; delete n2"},
        {",'updateStrategy':{'rollingUpdate':{'maxUnavailable':0,'maxSurge':1}}", NULL, "Running",
         "Running", "create db-"},
        {",'updateStrategy':{'type':'OnDelete'}", NULL, "Running", "Running", ""},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *states[] = {rows[i].on_n1, rows[i].on_n2}, *names[] = {"n1", "n2"};
        (void)teardown(NULL);
        (void)setup(NULL);
        for (int k = 0; k < 2; k++) {
            size_t n = strlen(states[k]);
            bool fresh = n && states[k][n - 1] == 'N';
            if (n) {
                (void)add_pod(names[k], arena_strndup(&arena, states[k], n - fresh), names[k], HASH,
                              fresh ? "new" : "old");
            }
        }
        struct plan plan = run_daemon(rows[i].spec, rows[i].taint);
        if (strcmp(deeds(&plan, "Pod"), rows[i].deeds) != 0) {
            fail_msg("row %zu: %s", i, deeds(&plan, "Pod"));
        }
    }
}

static void a_daemon_set_counts_a_cut_node_as_wanted(void **state)
{
    (void)add_pod("n1", "Running", "n1", HASH, "new");
    (void)add_pod("n2", "Pending", "n2", HASH, "old");
    struct plan plan = run_daemon("", CUT);
    const struct json *status = status_of(&plan);
    assert_int_equal(json_path_i64(status, "desiredNumberScheduled", 0), 2);
    assert_int_equal(json_path_i64(status, "currentNumberScheduled", 0), 2);
    assert_int_equal(json_path_i64(status, "updatedNumberScheduled", 0), 1);
    assert_int_equal(json_path_i64(status, "numberUnavailable", 0), 1);
}

/* ---- Jobs ---- */

static struct plan run_job(const char *spec, const char *status, struct job_backoff backoff)
{
    struct plan plan;
    struct err err = {0};
    plan_init(&plan, &arena);
    struct job_in in = {
        .job = json_of(
            arena_printf(&arena, "{" META ",'spec':{" TEMPLATE "%s},'status':{%s}}", spec, status)),
        .pods = pods,
        .n = n_pods,
        .pod = whole_pod,
        .backoff = backoff,
        .now = now_plus(0)};
    if (job_reconcile(&in, &plan, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return plan;
}

#define STARTED "'startTime':'2027-01-15T07:59:00Z'"
#define NO_BACKOFF ((struct job_backoff){0})

static void jobs_follow_the_table(void **state)
{
    static const struct {
        const char *spec, *status;
        const char *states[4]; /* of p0, p1, ...; in Indexed Jobs of these indexes */
        const char *deeds;
    } rows[] = {
        {",'completions':3,'parallelism':2", "", {0}, "create db-; create db-"},
        {",'completions':3,'parallelism':2,'suspend':true", "", {0}, ""},
        {",'completions':3,'parallelism':2,'managedBy':'x.y/z'", "", {0}, ""},
        {",'parallelism':2", STARTED, {"Running"}, "create db-"},
        {",'parallelism':2", STARTED, {"Running", "Succeeded"}, "patch p1"},
        {",'completions':2,'parallelism':2", STARTED, {"Succeeded"}, "patch p0; create db-"},
        {",'completions':1,'parallelism':1",
         STARTED,
         {"Running", "Running"},
         "patch p0; delete p0"},
        {",'completions':1,'parallelism':1,'suspend':true",
         STARTED,
         {"Running"},
         "patch p0; delete p0"},
        {",'completions':1,'parallelism':1,'backoffLimit':0", STARTED, {"Failed"}, "patch p0"},
        {",'completions':2,'parallelism':2,'backoffLimit':0",
         STARTED,
         {"Failed", "Running"},
         "patch p0; patch p1; delete p1"},
        {",'completions':1,'parallelism':1", STARTED, {"Leaving"}, "patch p0"},
        {",'completions':1,'parallelism':1,'podReplacementPolicy':'Failed'",
         STARTED,
         {"Leaving"},
         ""},
        {",'completions':1,'parallelism':1,'activeDeadlineSeconds':30",
         STARTED,
         {"Running"},
         "patch p0; delete p0"},
        {",'completions':3,'parallelism':3,'completionMode':'Indexed'",
         STARTED,
         {"Running", "", "Succeeded"},
         "patch p2; create db-1-"},
        {",'completions':2,'parallelism':2,'completionMode':'Indexed','backoffLimitPerIndex':0",
         STARTED,
         {"Failed", "Running"},
         "patch p0"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        (void)teardown(NULL);
        (void)setup(NULL);
        for (int k = 0; k < 4; k++) {
            if (rows[i].states[k] && rows[i].states[k][0]) {
                (void)add_pod(arena_printf(&arena, "p%d", k), rows[i].states[k], "n",
                              JOB_INDEX_LABEL, arena_printf(&arena, "%d", k));
            }
        }
        struct plan plan = run_job(rows[i].spec, rows[i].status, NO_BACKOFF);
        if (strcmp(deeds(&plan, "Pod"), rows[i].deeds) != 0) {
            fail_msg("row %zu: %s", i, deeds(&plan, "Pod"));
        }
    }
}

static void an_ended_pod_is_listed_then_let_go_then_counted(void **state)
{
    (void)add_pod("p0", "Succeeded", "n", NULL, NULL);
    struct plan plan = run_job(",'completions':1,'parallelism':1", STARTED, NO_BACKOFF);
    const struct json *status = status_of(&plan);
    assert_int_equal(json_len(json_path(status, "uncountedTerminatedPods.succeeded")), 1);
    assert_null(json_get(status, "succeeded"));
    assert_string_equal(deeds(&plan, "Pod"), "patch p0");
    /* The copy shows the pod without the finalizer: now it counts, and the Job is complete. */
    json_del(obj_meta(whole[0]), "finalizers");
    pod_facts_free(pods[0]);
    pods[0] = pod_facts_new(whole[0]);
    plan = run_job(",'completions':1,'parallelism':1",
                   STARTED ",'uncountedTerminatedPods':{'succeeded':['p0']}", NO_BACKOFF);
    status = status_of(&plan);
    assert_int_equal(json_path_i64(status, "succeeded", 0), 1);
    assert_int_equal(json_len(json_path(status, "uncountedTerminatedPods")), 0);
    assert_string_equal(json_path_cstr(status, "completionTime", ""), "2027-01-15T08:00:00Z");
    assert_true(has_event(&plan, "Completed"));
}

static void failures_delay_the_next_pod(void **state)
{
    struct job_backoff b = {.failures = 2, .last = now_plus(-5)};
    struct plan plan = run_job(",'parallelism':1", STARTED, b);
    assert_string_equal(deeds(&plan, "Pod"), "");
    assert_int_equal(plan.requeue_ms, 15000);
    b.last = now_plus(-20);
    plan = run_job(",'parallelism':1", STARTED, b);
    assert_string_equal(deeds(&plan, "Pod"), "create db-");
}

static void a_failure_policy_looks_at_exit_codes(void **state)
{
    struct json *pod = add_pod("p0", "Failed", "n", NULL, NULL);
    json_set(json_get(pod, "status"), "containerStatuses",
             json_of("[{'name':'c','state':{'terminated':{'exitCode':42}}}]"));
    struct plan plan =
        run_job(",'parallelism':1,'podFailurePolicy':{'rules':[{'action':'Ignore','onExitCodes':{"
                "'operator':'In','values':[1]}},{'action':'FailJob','onExitCodes':{'operator':"
                "'NotIn','values':[1]}}]}",
                STARTED, NO_BACKOFF);
    struct json *conditions = json_path(status_of(&plan), "conditions");
    assert_string_equal(json_path_cstr(conditions_get(conditions, "FailureTarget"), "message", ""),
                        "Container c for pod d/p0 failed with exit code 42 matching FailJob rule "
                        "at index 1");
}

static void a_success_policy_ends_a_job_early(void **state)
{
    (void)add_pod("p0", "Running", "n", JOB_INDEX_LABEL, "0");
    struct plan plan = run_job(",'completions':3,'parallelism':3,'completionMode':'Indexed',"
                               "'successPolicy':{'rules':[{'succeededIndexes':'1-2',"
                               "'succeededCount':1}]}",
                               STARTED ",'completedIndexes':'2'", NO_BACKOFF);
    struct json *c =
        conditions_get(json_path(status_of(&plan), "conditions"), "SuccessCriteriaMet");
    assert_string_equal(json_path_cstr(c, "reason", ""), "SuccessPolicy");
    assert_string_equal(deeds(&plan, "Pod"), "patch p0; delete p0");
}

static void an_ended_job_lives_its_time(void **state)
{
    static const char ended[] = "'conditions':[{'type':'Complete','status':'True',"
                                "'lastTransitionTime':'2027-01-15T07:59:50Z'}]";
    struct plan plan = run_job(",'ttlSecondsAfterFinished':30", ended, NO_BACKOFF);
    assert_string_equal(deeds(&plan, "Job"), "");
    assert_int_equal(plan.requeue_ms, 20001);
    plan = run_job(",'ttlSecondsAfterFinished':10", ended, NO_BACKOFF);
    assert_string_equal(deeds(&plan, "Job"), "delete db");
    assert_string_equal(plan.actions[0].req.propagation, "Foreground");
}

static void index_sets_are_read_joined_and_written(void **state)
{
    static const struct {
        const char *text;
        int64_t more[3];
        const char *want;
        int64_t total;
    } rows[] = {
        {"", {3, 1, 2}, "1-3", 3},
        {"0,2,4", {1, 3, 9}, "0-4,9", 6},
        {"1-5", {5, 6, 7}, "1-7", 7},
        {"7,3-4,x,9-8,-1", {0, 1, 99}, "0,1,3,4,7,99", 6},
        {"90-200", {0, 0, 0}, "0,90-99", 11},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct index_set s;
        int64_t more[3] = {rows[i].more[0], rows[i].more[1], rows[i].more[2]};
        assert_true(index_set_parse(&s, &arena, str_of(rows[i].text), 100));
        assert_true(index_set_add(&s, &arena, more, 3));
        assert_string_equal(index_set_text(&s, &arena), rows[i].want);
        assert_int_equal(s.total, rows[i].total);
        assert_true(index_set_has(&s, more[0]));
        assert_false(index_set_has(&s, index_set_gap(&s, 0)));
    }
}

/* ---- CronJobs ---- */

static struct plan run_cron(const char *spec, const char *status, struct json **jobs, size_t n)
{
    struct plan plan;
    plan_init(&plan, &arena);
    struct cronjob_in in = {
        .cron = json_of(arena_printf(
            &arena,
            "{'metadata':{'name':'tick','namespace':'d','uid':'u','creationTimestamp':"
            "'2027-01-15T07:30:30Z'},'spec':{'jobTemplate':{'spec':{}},%s},'status':{%s}}",
            spec, status)),
        .jobs = jobs,
        .n = n,
        .now = now_plus(30)};
    assert_int_equal(cronjob_reconcile(&in, &plan), 0);
    return plan;
}

static struct json *a_job(const char *name, const char *scheduled, const char *end)
{
    struct json *job = json_of("{'metadata':{'namespace':'d','creationTimestamp':"
                               "'2027-01-15T07:00:00Z'},'status':{}}");
    json_set_str(obj_meta(job), "name", name);
    json_set_str(obj_meta(job), "uid", name);
    if (scheduled) {
        obj_set_annotation(job, CRON_SCHEDULED_ANNOTATION, scheduled);
    }
    if (end) {
        (void)obj_condition_set(job, end, "True", "", "", now_plus(0));
        json_set_str(json_get(job, "status"), "completionTime", "2027-01-15T07:59:59Z");
    }
    return job;
}

#define DONE "'lastScheduleTime':'2027-01-15T08:00:00Z'"

static void a_due_job_is_made_once(void **state)
{
    struct plan plan = run_cron("'schedule':'*/10 * * * *'", "", NULL, 0);
    assert_string_equal(deeds(&plan, "Job"), "create tick-30000000");
    assert_int_equal(plan.requeue_ms, 570100);
    struct json *jobs[] = {a_job("tick-30000000", "2027-01-15T08:00:00Z", NULL)};
    plan = run_cron("'schedule':'*/10 * * * *'", "", jobs, 1);
    assert_string_equal(deeds(&plan, "Job"), "");
    assert_int_equal(json_len(json_path(status_of(&plan), "active")), 1);
    assert_string_equal(json_path_cstr(status_of(&plan), "lastScheduleTime", ""),
                        "2027-01-15T08:00:00Z");
    plan = run_cron("'schedule':'*/10 * * * *'", DONE, NULL, 0);
    assert_string_equal(deeds(&plan, "Job"), "");
}

static void crons_follow_the_table(void **state)
{
    static const struct {
        const char *spec, *deeds, *event;
    } rows[] = {
        {"'schedule':'* * * * *'", "create tick-30000000", NULL},
        {"'schedule':'* * * * *','suspend':true", "", NULL},
        {"'schedule':'0 0 30 2 *'", "", NULL},
        {"'schedule':'bad'", "", "UnparseableSchedule"},
        {"'schedule':'0 8 * * *','startingDeadlineSeconds':10", "", NULL},
        {"'schedule':'* * * * *','concurrencyPolicy':'Forbid'", "", "JobAlreadyActive"},
        {"'schedule':'* * * * *','concurrencyPolicy':'Replace'",
         "delete tick-1; create tick-30000000", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct json *jobs[] = {a_job("tick-1", "2027-01-15T07:31:00Z", NULL)};
        struct plan plan = run_cron(rows[i].spec, "", jobs, 1);
        if (strcmp(deeds(&plan, "Job"), rows[i].deeds) != 0 ||
            (rows[i].event && !has_event(&plan, rows[i].event))) {
            fail_msg("row %zu: %s", i, deeds(&plan, "Job"));
        }
    }
}

static void the_history_of_a_cron_job_is_kept_short(void **state)
{
    struct json *jobs[] = {a_job("tick-3", "2027-01-15T07:57:00Z", "Complete"),
                           a_job("tick-1", "2027-01-15T07:55:00Z", "Complete"),
                           a_job("tick-2", "2027-01-15T07:56:00Z", "Failed"),
                           a_job("manual", NULL, NULL)};
    struct plan plan = run_cron("'schedule':'0 0 1 1 *','successfulJobsHistoryLimit':1,"
                                "'failedJobsHistoryLimit':0",
                                "'active':[{'name':'tick-3','uid':'tick-3'},{'name':'gone','uid':"
                                "'gone'}]",
                                jobs, 4);
    assert_string_equal(deeds(&plan, "Job"), "delete tick-1; delete tick-2");
    assert_true(has_event(&plan, "SawCompletedJob"));
    assert_true(has_event(&plan, "MissingJob"));
    assert_true(has_event(&plan, "UnexpectedJob"));
    assert_string_equal(json_path_cstr(status_of(&plan), "lastSuccessfulTime", ""),
                        "2027-01-15T07:59:59Z");
    assert_null(json_get(status_of(&plan), "active"));
}

static void a_center_that_was_off_for_a_year_makes_one_job(void **state)
{
    struct plan plan =
        run_cron("'schedule':'* * * * *'", "'lastScheduleTime':'2026-01-01T00:00:00Z'", NULL, 0);
    assert_string_equal(deeds(&plan, "Job"), "create tick-30000000");
    assert_true(has_event(&plan, "TooManyMissedTimes"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_template_without_a_revision_gets_the_next_one),
        TEST(going_back_raises_the_old_revision),
        TEST(a_taken_name_counts_as_a_collision),
        TEST(stateful_pods_follow_the_table),
        TEST(a_pod_below_the_partition_is_made_from_the_old_template),
        TEST(ordinals_are_read_from_names),
        TEST(daemons_follow_the_table),
        TEST(a_daemon_set_counts_a_cut_node_as_wanted),
        TEST(jobs_follow_the_table),
        TEST(an_ended_pod_is_listed_then_let_go_then_counted),
        TEST(failures_delay_the_next_pod),
        TEST(a_failure_policy_looks_at_exit_codes),
        TEST(a_success_policy_ends_a_job_early),
        TEST(an_ended_job_lives_its_time),
        TEST(index_sets_are_read_joined_and_written),
        TEST(a_due_job_is_made_once),
        TEST(crons_follow_the_table),
        TEST(the_history_of_a_cron_job_is_kept_short),
        TEST(a_center_that_was_off_for_a_year_makes_one_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

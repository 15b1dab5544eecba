/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The workload controllers over the real API server in memory, with a node agent that is only
 * pretended and moody: it ends pods with success or failure, and takes its time, as a random
 * generator says. Whatever happens:
 *
 *   - no two pods of one ordinal or completion index are alive at the same time;
 *   - a Job counts every pod that ended exactly once, also when the controllers are stopped in the
 *     middle and start anew;
 *   - everything gets where it should.
 *
 * The seed is printed when something fails.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "api/informer.h"
#include "api/object.h"
#include "api/server.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/loop.h"
#include "orchestrator.h"
#include "store/store.h"

#define NS "default"
#define SEEDS 12
#define ROUNDS_MAX 200000

struct sim {
    struct io_loop *loop;
    struct store *store;
    struct api_server *server;
    struct api_client *client;
    struct orchestrator *o;
    struct informer *pods;
    struct map alive; /* "owner/number" -> the name of the pod (heap) */
    struct map moods; /* uid -> itself, of pods that the agent has dealt with */
    uint64_t seed, random;
    unsigned failures_left; /* pods that the agent may still let fail */
    unsigned succeeded, failed, calls;
    const char *broken; /* an invariant that does not hold */
};

static uint64_t next_random(struct sim *s)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return s->random >> 33;
}

static _Noreturn void give_up(struct sim *s, const char *why)
{
    fail_msg("seed %llu: %s", (unsigned long long)s->seed, why);
    abort();
}

/* ---- calls ---- */

struct sim_call {
    struct api_call call;
    struct sim *s;
    struct json **ret; /* into *arena */
    struct arena *arena;
    bool must, *done;
};

static void call_done(struct api_call *call, int code, struct json *result)
{
    struct sim_call *c = call->arg;
    if (code < 0 && c->must) {
        give_up(c->s, call->err.text);
    }
    if (c->ret) {
        *c->ret = code == 0 && result ? json_clone(c->arena, result) : NULL;
        *c->done = true;
    }
    c->s->calls--;
    mem_free(c);
}

static void start_call(struct sim *s, const struct api_request *r, struct arena *a,
                       struct json **ret, bool *done, bool must)
{
    struct sim_call *c = mem_zalloc(sizeof(*c));
    assert_non_null(c);
    *c = (struct sim_call){.s = s, .ret = ret, .arena = a, .must = must, .done = done};
    c->call.done = call_done;
    c->call.arg = c;
    s->calls++;
    api_call_start(s->client, &c->call, r);
}

static void nudge(void *arg)
{
}

/* One turn of the loop, or a few milliseconds when it is quiet. */
static void turn(struct sim *s)
{
    struct io_timer tick;
    io_timer_init(s->loop, &tick, nudge, NULL);
    io_timer_start(&tick, 2, 2);
    loop_run_once(s->loop);
    io_timer_stop(&tick);
    if (s->broken) {
        give_up(s, s->broken);
    }
}

static struct json *call(struct sim *s, struct arena *a, const struct api_request *r)
{
    struct json *result = NULL;
    bool done = false;
    start_call(s, r, a, &result, &done, r->verb != API_GET);
    while (!done) {
        turn(s);
    }
    return result;
}

static struct json *json_of(struct arena *a, const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    char *copy = arena_strdup(a, text);
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (json_parse(a, str_of(copy), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static void create(struct sim *s, const char *version, const char *kind, const char *ns,
                   const char *text)
{
    struct arena a;
    arena_init(&a, 0);
    struct api_request r = {.verb = API_CREATE,
                            .kind = kind_find_api(version, kind),
                            .ns = ns,
                            .body = json_of(&a, text)};
    (void)call(s, &a, &r);
    arena_fini(&a);
}

static void patch(struct sim *s, const char *version, const char *kind, const char *name,
                  const char *text)
{
    struct arena a;
    arena_init(&a, 0);
    struct api_request r = {.verb = API_PATCH,
                            .kind = kind_find_api(version, kind),
                            .ns = NS,
                            .name = name,
                            .patch = API_PATCH_MERGE,
                            .body = json_of(&a, text)};
    (void)call(s, &a, &r);
    arena_fini(&a);
}

static struct json *get(struct sim *s, struct arena *a, const char *version, const char *kind,
                        const char *name)
{
    struct api_request r = {
        .verb = API_GET, .kind = kind_find_api(version, kind), .ns = NS, .name = name};
    return call(s, a, &r);
}

/* ---- the moody agent ---- */

static void set_phase(struct sim *s, struct arena *a, const struct json *pod, const char *phase)
{
    char now[TIME_TEXT_SIZE];
    struct json *body = json_object(a);
    struct json *status = json_ensure_object(body, "status");
    json_set_str(obj_meta(body), "uid", obj_uid(pod));
    json_set_str(status, "phase", phase);
    struct json *c = json_push(json_ensure_array(status, "conditions"), json_object(a));
    json_set_str(c, "type", "Ready");
    json_set_str(c, "status", strcmp(phase, "Running") == 0 ? "True" : "False");
    json_set_str(c, "lastTransitionTime", time_text(wall_now(), now));
    struct api_request r = {.verb = API_PATCH,
                            .kind = kind_find_api("v1", "Pod"),
                            .ns = NS,
                            .name = obj_name(pod),
                            .subresource = "status",
                            .patch = API_PATCH_STRATEGIC,
                            .body = body};
    start_call(s, &r, NULL, NULL, NULL, /* must= */ false);
}

static void end_pod(struct sim *s, const struct json *pod, bool at_once)
{
    struct api_request r = {.verb = API_DELETE,
                            .kind = kind_find_api("v1", "Pod"),
                            .ns = NS,
                            .name = obj_name(pod),
                            .precondition_uid = obj_uid(pod),
                            .has_grace = at_once};
    start_call(s, &r, NULL, NULL, NULL, /* must= */ false);
}

static bool is_job_pod(const struct json *pod)
{
    const struct json *ref = obj_controller_ref(pod);
    return strcmp(json_path_cstr(ref, "kind", ""), "Job") == 0;
}

/* A pod that is bound: it runs, or ends at once, or (outside of Jobs) fails. */
static void decide(struct sim *s, struct arena *a, const struct json *pod)
{
    bool fails = s->failures_left > 0 && next_random(s) % 4 == 0;
    s->failures_left -= fails;
    if (!is_job_pod(pod)) {
        set_phase(s, a, pod, fails ? "Failed" : "Running");
        return;
    }
    s->failed += fails;
    s->succeeded += !fails;
    set_phase(s, a, pod, fails ? "Failed" : "Succeeded");
}

static const char *number_of(const struct json *pod)
{
    const char *index = obj_label(pod, "batch.kubernetes.io/job-completion-index");
    return index[0] ? index : obj_label(pod, "apps.kubernetes.io/pod-index");
}

static bool is_alive(const struct json *pod)
{
    const char *phase = json_path_cstr(pod, "status.phase", "Pending");
    return pod && strcmp(phase, "Succeeded") != 0 && strcmp(phase, "Failed") != 0;
}

static void check_alone(struct sim *s, struct arena *a, const struct json *was,
                        const struct json *pod)
{
    const struct json *any = pod ? pod : was;
    if (!number_of(any)[0]) {
        return;
    }
    const char *key = arena_printf(a, "%s/%s", json_path_cstr(obj_controller_ref(any), "uid", ""),
                                   number_of(any));
    const char *holder = map_get(&s->alive, str_of(key));
    bool mine = holder && strcmp(holder, obj_uid(any)) == 0;
    if (is_alive(pod) && holder && !mine) {
        s->broken = "two pods of one number are alive";
    } else if (is_alive(pod) && !holder) {
        (void)map_put(&s->alive, str_of(key), mem_strdup(obj_uid(pod)), NULL);
    } else if (!is_alive(pod) && mine) {
        mem_free(map_del(&s->alive, str_of(key)));
    }
}

static void agent_sees(void *arg, struct api_item *old, struct api_item *item)
{
    struct sim *s = arg;
    struct arena a;
    arena_init(&a, 0);
    struct json *was = old ? api_item_parse(old, &a) : NULL;
    struct json *pod = item ? api_item_parse(item, &a) : NULL;
    check_alone(s, &a, was, pod);
    bool bound = json_path_cstr(pod, "spec.nodeName", "")[0] != '\0';
    if (pod && bound && obj_deleting(pod)) {
        end_pod(s, pod, /* at_once= */ true);
    } else if (pod && bound && !map_get(&s->moods, str_of(item->uid))) {
        (void)map_put(&s->moods, str_of(item->uid), s, NULL);
        decide(s, &a, pod);
    }
    arena_fini(&a);
}

/* ---- lifetime ---- */

static void start_controllers(struct sim *s)
{
    s->o = orchestrator_start(s->client, s->loop, NULL);
    assert_non_null(s->o);
    while (!orchestrator_synced(s->o)) {
        turn(s);
    }
}

static void make_node(struct sim *s, int i)
{
    char text[640];
    (void)snprintf(
        text, sizeof(text),
        "{'metadata':{'name':'n%d'},'status':{'allocatable':{'cpu':'400','memory':'800Gi','pods':"
        "'1100'},'conditions':[{'type':'Ready','status':'True','reason':'KubeletReady','message':"
        "'ok','lastHeartbeatTime':'2026-01-01T00:00:00Z','lastTransitionTime':"
        "'2026-01-01T00:00:00Z'}]}}",
        i);
    create(s, "v1", "Node", NULL, text);
}

static void open_sim(struct sim *s, uint64_t seed)
{
    struct err err = {0};
    *s = (struct sim){.seed = seed, .random = seed * 977 + 1};
    log_init("test", LOG_ERROR);
    assert_int_equal(loop_new(&s->loop, &err), 0);
    struct store_opts o = {.index = &api_store_index};
    assert_int_equal(store_open(s->loop, &o, &s->store, &err), 0);
    s->server = api_server_new(s->loop, s->store, NULL, &err);
    assert_non_null(s->server);
    s->client = api_client_local(s->server, "test");
    struct informer_opts io = {.kind = kind_find_api("v1", "Pod"), .changed = agent_sees, .arg = s};
    s->pods = informer_new(s->client, s->loop, &io);
    start_controllers(s);
    for (int i = 0; i < 3; i++) {
        make_node(s, i);
    }
}

static void on_closed(void *arg, int code)
{
    *(bool *)arg = true;
}

static void close_sim(struct sim *s)
{
    bool closed = false;
    orchestrator_stop(s->o);
    informer_free(s->pods);
    while (s->calls > 0) {
        turn(s);
    }
    api_client_free(s->client);
    api_server_free(s->server);
    store_close(s->store, on_closed, &closed);
    while (!closed) {
        loop_run_once(s->loop);
    }
    loop_free(s->loop);
    map_fini(&s->alive, mem_free);
    map_fini(&s->moods, NULL);
}

typedef bool reached_fn(struct sim *s, struct arena *a);

/* Turns until it is reached; at random moments the controllers forget all and start anew. */
static void run_until(struct sim *s, reached_fn *reached, const char *what, unsigned restarts)
{
    struct arena a;
    arena_init(&a, 0);
    for (unsigned i = 0; i < ROUNDS_MAX; i++) {
        turn(s);
        if (restarts > 0 && next_random(s) % 40 == 0) {
            restarts--;
            orchestrator_stop(s->o);
            start_controllers(s);
        }
        if (i % 8 == 0 && reached(s, &a)) {
            arena_fini(&a);
            return;
        }
        arena_clear(&a);
    }
    give_up(s, what);
}

#define TEMPLATE(labels, policy)                                                    \
    "'template':{'metadata':{'labels':" labels "},'spec':{'restartPolicy':'" policy \
    "','terminationGracePeriodSeconds':0,'containers':[{'name':'c','image':'i'}]}}"

/* ---- Jobs ---- */

static bool job_ended(struct sim *s, struct arena *a)
{
    const struct json *job = get(s, a, "batch/v1", "Job", "work");
    return obj_condition_true(job, "Complete") || obj_condition_true(job, "Failed");
}

/* Failures come with a back-off of seconds, so there are few of them; with an index each, none. */
static void run_job(uint64_t seed, const char *spec, int64_t want, unsigned failures,
                    unsigned restarts)
{
    struct sim s;
    struct arena a;
    open_sim(&s, seed);
    s.failures_left = failures;
    create(&s, "batch/v1", "Job", NS, spec);
    run_until(&s, job_ended, "the Job does not end", restarts);
    arena_init(&a, 0);
    const struct json *job = get(&s, &a, "batch/v1", "Job", "work");
    const struct json *status = json_get(job, "status");
    if (json_path_i64(status, "succeeded", 0) != want || s.succeeded != want ||
        json_path_i64(status, "failed", 0) != s.failed ||
        json_len(json_get(status, "uncountedTerminatedPods")) != 0 || json_get(status, "active")) {
        give_up(&s, "the counts are wrong");
    }
    arena_fini(&a);
    close_sim(&s);
}

static void a_job_counts_every_pod_once_though_its_controller_restarts(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_job(seed,
                "{'metadata':{'name':'work'},'spec':{'completions':40,'parallelism':15,"
                "'backoffLimit':100," TEMPLATE("{}", "Never") "}}",
                40, /* failures= */ 0, /* restarts= */ 5);
    }
}

static void an_indexed_job_runs_every_index_once(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_job(seed,
                "{'metadata':{'name':'work'},'spec':{'completions':40,'parallelism':15,"
                "'completionMode':'Indexed'," TEMPLATE("{}", "Never") "}}",
                40, /* failures= */ 0, /* restarts= */ 5);
    }
}

/* The counts of a Job that fails: everything that failed, nothing else. */
static void a_failing_job_counts_what_failed(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct sim s;
        struct arena a;
        open_sim(&s, seed);
        s.failures_left = 1000;
        create(&s, "batch/v1", "Job", NS,
               "{'metadata':{'name':'work'},'spec':{'completions':30,'parallelism':30,"
               "'backoffLimit':2," TEMPLATE("{}", "Never") "}}");
        run_until(&s, job_ended, "the Job does not end", /* restarts= */ 3);
        arena_init(&a, 0);
        const struct json *job = get(&s, &a, "batch/v1", "Job", "work");
        int64_t succeeded = json_path_i64(job, "status.succeeded", 0);
        int64_t failed = json_path_i64(job, "status.failed", 0);
        /* Pods that ran when the Job failed were taken away: they count as failed, too. */
        if (obj_condition_true(job, "Failed") &&
            (failed <= 2 || succeeded > s.succeeded || succeeded + failed > 30 + s.failed)) {
            give_up(&s, "the counts are wrong");
        }
        arena_fini(&a);
        close_sim(&s);
    }
}

/* ---- StatefulSets ---- */

static bool set_settled(struct sim *s, struct arena *a)
{
    const struct json *set = get(s, a, "apps/v1", "StatefulSet", "db");
    const struct json *status = json_get(set, "status");
    int64_t replicas = json_path_i64(set, "spec.replicas", 0);
    return json_path_i64(status, "observedGeneration", 0) == obj_generation(set) &&
           json_path_i64(status, "replicas", -1) == replicas &&
           json_path_i64(status, "updatedReplicas", 0) == replicas &&
           json_path_i64(status, "availableReplicas", 0) == replicas &&
           cstr_eq(json_path_cstr(status, "currentRevision", ""),
                   json_path_cstr(status, "updateRevision", "?"));
}

static void run_set(uint64_t seed, const char *spec)
{
    struct sim s;
    open_sim(&s, seed);
    s.failures_left = 6;
    create(&s, "apps/v1", "StatefulSet", NS, spec);
    run_until(&s, set_settled, "the set does not settle", 2);
    for (int i = 0; i < 4; i++) {
        char text[160];
        (void)snprintf(
            text, sizeof(text),
            "{'spec':{'replicas':%d,'template':{'metadata':{'annotations':{'v':'%d'}}}}}",
            (int)(next_random(&s) % 8), (int)(next_random(&s) % 3));
        patch(&s, "apps/v1", "StatefulSet", "db", text);
        s.failures_left = 3;
        run_until(&s, set_settled, "the set does not settle", 2);
    }
    close_sim(&s);
}

#define SET_SPEC \
    "'serviceName':'db','selector':{'matchLabels':{'a':'b'}}," TEMPLATE("{'a':'b'}", "Always")

static void a_stateful_set_never_runs_an_ordinal_twice(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_set(seed, "{'metadata':{'name':'db'},'spec':{'replicas':5," SET_SPEC "}}");
    }
}

static void nor_does_a_parallel_one_that_may_lack_several(void **state)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        run_set(seed, "{'metadata':{'name':'db'},'spec':{'replicas':5,'podManagementPolicy':"
                      "'Parallel','updateStrategy':{'type':'RollingUpdate','rollingUpdate':{"
                      "'maxUnavailable':2}},'ordinals':{'start':3}," SET_SPEC "}}");
    }
}

/* ---- DaemonSets ---- */

static bool daemons_settled(struct sim *s, struct arena *a)
{
    const struct json *status = json_get(get(s, a, "apps/v1", "DaemonSet", "agent"), "status");
    const struct json *set = get(s, a, "apps/v1", "DaemonSet", "agent");
    return json_path_i64(status, "observedGeneration", 0) == obj_generation(set) &&
           json_path_i64(status, "desiredNumberScheduled", 0) == 3 &&
           json_path_i64(status, "updatedNumberScheduled", 0) == 3 &&
           json_path_i64(status, "numberAvailable", 0) == 3;
}

static void run_daemons(uint64_t seed, const char *strategy)
{
    struct sim s;
    char text[640];
    open_sim(&s, seed);
    s.failures_left = 1; /* each waits a second */
    (void)snprintf(text, sizeof(text),
                   "{'metadata':{'name':'agent'},'spec':{'updateStrategy':%s,'selector':{"
                   "'matchLabels':{'a':'b'}}," TEMPLATE("{'a':'b'}", "Always") "}}",
                   strategy);
    create(&s, "apps/v1", "DaemonSet", NS, text);
    run_until(&s, daemons_settled, "the daemons do not settle", 2);
    patch(&s, "apps/v1", "DaemonSet", "agent",
          "{'spec':{'template':{'metadata':{'annotations':{'v':'2'}}}}}");
    run_until(&s, daemons_settled, "the daemons do not settle", 2);
    close_sim(&s);
}

static void a_daemon_set_rolls_over_all_nodes(void **state)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        run_daemons(seed, "{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':1}}");
        run_daemons(seed, "{'type':'RollingUpdate','rollingUpdate':{'maxUnavailable':0,"
                          "'maxSurge':1}}");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_counts_every_pod_once_though_its_controller_restarts),
        cmocka_unit_test(an_indexed_job_runs_every_index_once),
        cmocka_unit_test(a_failing_job_counts_what_failed),
        cmocka_unit_test(a_stateful_set_never_runs_an_ordinal_twice),
        cmocka_unit_test(nor_does_a_parallel_one_that_may_lack_several),
        cmocka_unit_test(a_daemon_set_rolls_over_all_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

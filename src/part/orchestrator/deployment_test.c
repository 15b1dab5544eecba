/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reconcile step of Deployments: bounds, hashes, single steps, and whole rollouts simulated
 * with random seeds, in which the two promises of a rolling update are checked after every step.
 */
#include "deployment.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/object.h"
#include "base/mem.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, (size_t)1 << 30);
    return 0;
}

static int teardown(void **state)
{
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

/* ---- bounds and hashes ---- */

static void bounds_are_rounded_as_kubernetes_does(void **state)
{
    static const struct {
        const char *spec;
        int64_t surge, unavailable;
    } cases[] = {
        {"{'replicas':4}", 1, 1},
        {"{'replicas':3}", 1, 0},
        {"{'replicas':1}", 1, 0},
        {"{'replicas':0}", 0, 0},
        {"{'replicas':10,'strategy':{'rollingUpdate':{'maxSurge':'25%','maxUnavailable':'25%'}}}",
         3, 2},
        {"{'replicas':10,'strategy':{'rollingUpdate':{'maxSurge':0,'maxUnavailable':0}}}", 0, 1},
        {"{'replicas':10,'strategy':{'rollingUpdate':{'maxSurge':'0%','maxUnavailable':'5%'}}}", 0,
         1},
        {"{'replicas':3,'strategy':{'rollingUpdate':{'maxSurge':2,'maxUnavailable':9}}}", 2, 3},
        {"{'replicas':3,'strategy':{'rollingUpdate':{'maxSurge':'100%','maxUnavailable':'100%'}}}",
         3, 3},
        {"{'replicas':3,'strategy':{'type':'Recreate'}}", 0, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *d = json_object(&arena);
        int64_t surge, unavailable;
        json_set(d, "spec", json_of(cases[i].spec));
        /* The server sets Kubernetes' defaults; here the default of an absent field is the same 25
         * %. */
        deployment_bounds(d, &surge, &unavailable);
        if (surge != cases[i].surge || unavailable != cases[i].unavailable) {
            fail_msg("%s: %lld %lld", cases[i].spec, (long long)surge, (long long)unavailable);
        }
    }
}

static void the_hash_sees_what_matters_only(void **state)
{
    char a[TEMPLATE_HASH_SIZE], b[TEMPLATE_HASH_SIZE];
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"{'spec':{'a':1,'b':[2]}}", "{'spec':{'b':[2],'a':1}}", true},
        {"{'spec':{'a':1}}", "{'metadata':{'creationTimestamp':null},'spec':{'a':1,'r':{},'l':[]}}",
         true},
        {"{'metadata':{'labels':{'x':'y'}}}",
         "{'metadata':{'labels':{'x':'y','pod-template-hash':'z'}}}", true},
        {"{'spec':{'a':1}}", "{'spec':{'a':2}}", false},
        {"{'spec':{'a':'1'}}", "{'spec':{'b':'1'}}", false},
        {"{'spec':['a','b']}", "{'spec':['b','a']}", false},
        {"{'spec':['ab']}", "{'spec':['a','b']}", false},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *x = json_of(cases[i].one), *y = json_of(cases[i].other);
        template_hash(x, 0, a);
        template_hash(y, 0, b);
        if ((strcmp(a, b) == 0) != cases[i].same || template_equal(x, y) != cases[i].same) {
            fail_msg("%s %s %s %s", cases[i].one, a, cases[i].other, b);
        }
    }
    struct json *t = json_of("{'spec':{'a':1}}");
    assert_string_not_equal(template_hash(t, 0, a), template_hash(t, 1, b));
    assert_int_equal(strspn(a, "bcdfghjklmnpqrstvwxz2456789"), strlen(a));
}

/* ---- a simulated cluster ---- */

struct sim_set {
    struct json *rs;
    int64_t pods, ready;
    bool alive;
};

struct sim {
    struct json *d;
    struct sim_set sets[64];
    size_t n;
    uint64_t seed;
    int64_t now;
    uint64_t writes;
};

static uint64_t roll(struct sim *s, uint64_t bound)
{
    s->seed = s->seed * 6364136223846793005u + 1442695040888963407u;
    return (s->seed >> 33) % bound;
}

static struct sim_set *set_named(struct sim *s, const char *name)
{
    for (size_t i = 0; i < s->n; i++) {
        if (s->sets[i].alive && strcmp(obj_name(s->sets[i].rs), name) == 0) {
            return &s->sets[i];
        }
    }
    return NULL;
}

static void add_set(struct sim *s, const struct json *body)
{
    char time[TIME_TEXT_SIZE];
    assert_true(s->n < ARRAY_SIZE(s->sets));
    assert_null(set_named(s, obj_name(body)));
    struct sim_set *set = &s->sets[s->n++];
    *set = (struct sim_set){.rs = json_clone(&arena, body), .alive = true};
    struct json *meta = obj_meta(set->rs);
    json_set(meta, "uid", json_printf(&arena, "rs-%zu", s->n));
    json_set_str(meta, "creationTimestamp",
                 time_text((struct wall){(s->now + (int64_t)s->n) * 1000000}, time));
    json_set_int(meta, "generation", 1);
}

static void apply(struct sim *s, const struct action *a)
{
    s->writes++;
    if (strcmp(a->req.kind->kind, "Deployment") == 0) {
        if (a->req.verb == API_PATCH) {
            obj_set_annotation(s->d, REVISION_ANNOTATION,
                               obj_annotation(a->req.body, REVISION_ANNOTATION));
        } else {
            json_set(s->d, "status", json_clone(&arena, json_get(a->req.body, "status")));
        }
        return;
    }
    struct sim_set *set = a->req.verb == API_CREATE ? NULL : set_named(s, a->req.name);
    if (a->req.verb == API_CREATE) {
        add_set(s, a->req.body);
    } else if (a->req.verb == API_DELETE) {
        assert_int_equal(set->pods, 0);
        set->alive = false;
    } else {
        set->rs = json_clone(&arena, a->req.body);
        json_set_int(obj_meta(set->rs), "generation", obj_generation(set->rs) + 1);
    }
}

static bool sim_has_pods(const void *arg, const char *uid)
{
    const struct sim *s = arg;
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(obj_uid(s->sets[i].rs), uid) == 0) {
            return s->sets[i].pods > 0;
        }
    }
    return false;
}

/* One step of the Deployment's controller. */
static void reconcile(struct sim *s)
{
    struct json *sets[64];
    struct arena plan_arena;
    struct plan plan;
    struct err err;
    struct deployment_in in = {.deployment = json_clone(&arena, s->d),
                               .sets = sets,
                               .has_pods = sim_has_pods,
                               .arg = s,
                               .now = {s->now * 1000000}};
    for (size_t i = 0; i < s->n; i++) {
        if (s->sets[i].alive) {
            sets[in.n++] = json_clone(&arena, s->sets[i].rs);
        }
    }
    arena_init(&plan_arena, 0);
    plan_init(&plan, &plan_arena);
    assert_int_equal(deployment_reconcile(&in, &plan, &err), 0);
    assert_false(plan_failed(&plan));
    for (size_t i = 0; i < plan.n; i++) {
        apply(s, &plan.actions[i]);
    }
    arena_fini(&plan_arena);
}

/* One step of a ReplicaSet's controller and its pods: surplus pods go (those that are not ready
 * first), missing ones come, some get ready. Then its status tells. */
static void run_set(struct sim *s, struct sim_set *set)
{
    int64_t wanted = json_path_i64(set->rs, "spec.replicas", 0);
    if (set->pods > wanted) {
        set->pods = wanted;
        set->ready = MIN_OF(set->ready, set->pods);
    } else if (set->pods < wanted) {
        set->pods += 1 + (int64_t)roll(s, (uint64_t)(wanted - set->pods));
    }
    if (set->ready < set->pods) {
        set->ready += (int64_t)roll(s, (uint64_t)(set->pods - set->ready + 1));
    }
    struct json *status = json_ensure_object(set->rs, "status");
    json_set_int(status, "replicas", set->pods);
    json_set_int(status, "readyReplicas", set->ready);
    json_set_int(status, "availableReplicas", set->ready);
    json_set_int(status, "observedGeneration", obj_generation(set->rs));
}

static int64_t total_spec(const struct sim *s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += s->sets[i].alive ? json_path_i64(s->sets[i].rs, "spec.replicas", 0) : 0;
    }
    return n;
}

static int64_t total_ready(const struct sim *s)
{
    int64_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += s->sets[i].alive ? s->sets[i].ready : 0;
    }
    return n;
}

static void set_template(struct sim *s, uint64_t version)
{
    json_set(s->d, "spec", json_clone(&arena, json_get(s->d, "spec")));
    json_set(json_at(json_path(s->d, "spec.template.spec.containers"), 0), "image",
             json_printf(&arena, "v%llu", (unsigned long long)version));
    json_set_int(obj_meta(s->d), "generation", obj_generation(s->d) + 1);
}

static void sim_init(struct sim *s, uint64_t seed, const char *surge, const char *unavailable,
                     int64_t replicas)
{
    *s = (struct sim){.seed = seed * 7919 + 1, .now = 1000};
    s->d =
        json_of("{'metadata':{'name':'web','namespace':'d','uid':'u','generation':1},'spec':{"
                "'selector':{'matchLabels':{'app':'web'}},'progressDeadlineSeconds':600,"
                "'revisionHistoryLimit':2,'strategy':{'type':'RollingUpdate','rollingUpdate':{}},"
                "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c',"
                "'image':'v0'}]}}}}");
    json_set_int(json_get(s->d, "spec"), "replicas", replicas);
    struct json *rolling = json_path(s->d, "spec.strategy.rollingUpdate");
    json_set(rolling, "maxSurge", json_of(surge));
    json_set(rolling, "maxUnavailable", json_of(unavailable));
}

static bool is_complete(const struct sim *s)
{
    int64_t replicas = json_path_i64(s->d, "spec.replicas", 1);
    return json_path_i64(s->d, "status.observedGeneration", 0) == obj_generation(s->d) &&
           json_path_i64(s->d, "status.updatedReplicas", 0) == replicas &&
           json_path_i64(s->d, "status.replicas", 0) == replicas &&
           json_path_i64(s->d, "status.availableReplicas", 0) == replicas;
}

static void step(struct sim *s)
{
    size_t first = s->n ? roll(s, s->n) : 0;
    s->now++;
    if (roll(s, 3)) {
        reconcile(s);
    }
    for (size_t i = 0; i < s->n; i++) {
        struct sim_set *set = &s->sets[(first + i) % s->n];
        if (set->alive && roll(s, 2)) {
            run_set(s, set);
        }
    }
}

static void finish(struct sim *s, uint64_t seed)
{
    for (int i = 0; i < 2000 && !is_complete(s); i++) {
        step(s);
    }
    if (!is_complete(s)) {
        fail_msg("seed %llu: the rollout does not end", (unsigned long long)seed);
    }
}

static void a_rolling_update_keeps_its_promises(void **state)
{
    static const char *const bounds[][2] = {
        {"1", "0"},     {"0", "1"}, {"'25%'", "'25%'"}, {"'100%'", "0"},
        {"0", "'50%'"}, {"3", "2"}, {"'10%'", "'10%'"}, {"'100%'", "'100%'"}};
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct sim s;
        const char *const *b = bounds[seed % ARRAY_SIZE(bounds)];
        int64_t surge, unavailable, replicas = 1 + (int64_t)(seed % 13);
        arena_clear(&arena);
        sim_init(&s, seed, b[0], b[1], replicas);
        finish(&s, seed);
        deployment_bounds(s.d, &surge, &unavailable);
        for (int i = 0; i < 300; i++) {
            if (roll(&s, 25) == 0) {
                set_template(&s, roll(&s, 4));
            }
            step(&s);
            if (total_spec(&s) > replicas + surge) {
                fail_msg("seed %llu: %lld pods wanted, %lld + %lld allowed",
                         (unsigned long long)seed, (long long)total_spec(&s), (long long)replicas,
                         (long long)surge);
            }
            if (total_ready(&s) < replicas - unavailable) {
                fail_msg("seed %llu: %lld pods available, %lld - %lld promised",
                         (unsigned long long)seed, (long long)total_ready(&s), (long long)replicas,
                         (long long)unavailable);
            }
        }
        finish(&s, seed);
    }
}

static void scaling_in_the_middle_of_a_rollout_ends_well(void **state)
{
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct sim s;
        arena_clear(&arena);
        sim_init(&s, seed, "'25%'", "'25%'", 10);
        finish(&s, seed);
        set_template(&s, 1);
        for (int i = 0; i < 40; i++) {
            if (roll(&s, 10) == 0) {
                json_set_int(json_get(s.d, "spec"), "replicas", (int64_t)roll(&s, 21));
                json_set_int(obj_meta(s.d), "generation", obj_generation(s.d) + 1);
            }
            step(&s);
        }
        finish(&s, seed);
        int64_t replicas = json_path_i64(s.d, "spec.replicas", 0);
        assert_int_equal(total_spec(&s), replicas);
    }
}

static void a_settled_deployment_writes_nothing(void **state)
{
    struct sim s;
    sim_init(&s, 5, "1", "0", 3);
    finish(&s, 5);
    for (int i = 0; i < 5; i++) {
        reconcile(&s); /* the last status may still be on its way */
    }
    uint64_t writes = s.writes;
    for (int i = 0; i < 10; i++) {
        s.now += 100;
        reconcile(&s);
    }
    assert_int_equal(s.writes, writes);
    assert_string_equal(json_cstr(json_get(obj_condition(s.d, "Progressing"), "reason"), ""),
                        "NewReplicaSetAvailable");
    assert_non_null(strstr(json_cstr(json_get(obj_condition(s.d, "Progressing"), "message"), ""),
                           "has successfully progressed."));
}

static size_t count_alive(const struct sim *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        n += s->sets[i].alive;
    }
    return n;
}

static void old_revisions_go_beyond_the_limit(void **state)
{
    struct sim s;
    sim_init(&s, 6, "1", "0", 2);
    for (uint64_t version = 0; version < 6; version++) {
        set_template(&s, version);
        finish(&s, version);
    }
    for (int i = 0; i < 20; i++) {
        step(&s);
    }
    assert_int_equal(count_alive(&s), 3);
    assert_string_equal(obj_annotation(s.d, REVISION_ANNOTATION), "6");
}

static void a_rollout_without_progress_times_out_and_recovers(void **state)
{
    struct sim s;
    sim_init(&s, 7, "1", "0", 2);
    reconcile(&s);
    for (int i = 0; i < 3; i++) {
        s.now += 1;
        reconcile(&s);
    }
    assert_string_equal(json_cstr(json_get(obj_condition(s.d, "Progressing"), "reason"), ""),
                        "NewReplicaSetCreated");
    s.now += 700;
    reconcile(&s);
    const struct json *c = obj_condition(s.d, "Progressing");
    assert_string_equal(json_cstr(json_get(c, "reason"), ""), "ProgressDeadlineExceeded");
    assert_string_equal(json_cstr(json_get(c, "status"), ""), "False");
    finish(&s, 7);
    reconcile(&s);
    assert_string_equal(json_cstr(json_get(obj_condition(s.d, "Progressing"), "reason"), ""),
                        "NewReplicaSetAvailable");
}

static void recreate_waits_for_the_last_old_pod(void **state)
{
    struct sim s;
    sim_init(&s, 8, "1", "0", 3);
    json_set(json_get(s.d, "spec"), "strategy", json_of("{'type':'Recreate'}"));
    finish(&s, 8);
    set_template(&s, 1);
    reconcile(&s);
    reconcile(&s);
    assert_int_equal(total_spec(&s), 0);
    assert_int_equal(s.n, 1); /* the pods are still there */
    run_set(&s, &s.sets[0]);
    reconcile(&s);
    assert_int_equal(s.n, 2);
    assert_int_equal(total_spec(&s), 3);
    finish(&s, 8);
}

static bool taken(const void *arg, const char *name)
{
    return true;
}

static void a_taken_name_counts_a_collision(void **state)
{
    struct sim s;
    struct plan plan;
    struct err err;
    sim_init(&s, 9, "1", "0", 3);
    struct deployment_in in = {.deployment = s.d, .name_taken = taken, .now = {5000000}};
    plan_init(&plan, &arena);
    assert_int_equal(deployment_reconcile(&in, &plan, &err), 0);
    assert_int_equal(plan.n, 1);
    assert_string_equal(plan.actions[0].req.subresource, "status");
    assert_int_equal(json_path_i64(plan.actions[0].req.body, "status.collisionCount", 0), 1);
}

static void scaling_tells_what_it_did(void **state)
{
    struct sim s;
    struct plan plan;
    struct err err;
    sim_init(&s, 10, "1", "0", 3);
    finish(&s, 10);
    json_set_int(json_get(s.d, "spec"), "replicas", 5);
    struct json *sets[] = {json_clone(&arena, s.sets[0].rs)};
    struct deployment_in in = {.deployment = s.d, .sets = sets, .n = 1, .now = {5000000}};
    plan_init(&plan, &arena);
    assert_int_equal(deployment_reconcile(&in, &plan, &err), 0);
    assert_int_equal(plan.events_n, 1);
    assert_string_equal(plan.events[0].reason, "ScalingReplicaSet");
    char want[128];
    (void)snprintf(want, sizeof(want), "Scaled up replica set %s from 3 to 5", obj_name(sets[0]));
    assert_string_equal(plan.events[0].text, want);
}

/* The arena fails at one point after the other; the step must say so. */
static void lack_of_memory_is_told(void **state)
{
    struct sim s;
    struct err err;
    sim_init(&s, 11, "1", "0", 3);
    finish(&s, 11);
    set_template(&s, 1);
    for (size_t cap = 64;; cap += 40) {
        struct arena a;
        struct plan plan;
        struct json *sets[] = {json_clone(&arena, s.sets[0].rs)};
        struct deployment_in in = {
            .deployment = json_clone(&arena, s.d), .sets = sets, .n = 1, .now = {5000000}};
        arena_init(&a, cap);
        plan_init(&plan, &a);
        int r = deployment_reconcile(&in, &plan, &err);
        bool told = r == -E_NOMEM || plan_failed(&plan);
        arena_fini(&a);
        if (!told) {
            assert_int_equal(r, 0);
            break;
        }
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(bounds_are_rounded_as_kubernetes_does),
        TEST(the_hash_sees_what_matters_only),
        TEST(a_rolling_update_keeps_its_promises),
        TEST(scaling_in_the_middle_of_a_rollout_ends_well),
        TEST(a_settled_deployment_writes_nothing),
        TEST(old_revisions_go_beyond_the_limit),
        TEST(a_rollout_without_progress_times_out_and_recovers),
        TEST(recreate_waits_for_the_last_old_pod),
        TEST(a_taken_name_counts_a_collision),
        TEST(scaling_tells_what_it_did),
        TEST(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

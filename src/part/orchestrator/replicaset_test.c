/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile step of ReplicaSets and the index of pods. */
#include "replicaset.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"
#include "workload.h"

#define NOW_S 1000000

static struct arena arena;
static struct pod_facts *made[600];
static size_t n_made;

static int setup(void **state)
{
    arena_init(&arena, 0);
    n_made = 0;
    return 0;
}

static int teardown(void **state)
{
    for (size_t i = 0; i < n_made; i++) {
        pod_facts_free(made[i]);
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

static struct json *a_set(int64_t replicas)
{
    struct json *rs = json_of(
        "{'metadata':{'name':'rs','namespace':'d','uid':'rs-uid','generation':1},'spec':{'selector':{"
        "'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'web'},'annotations':{"
        "'x':'y'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
    json_set_int(json_get(rs, "spec"), "replicas", replicas);
    return rs;
}

/* A pod of the set. */
static struct pod_facts *a_pod(const char *name, const char *phase, const char *node, bool ready)
{
    struct json *pod =
        json_of("{'metadata':{'namespace':'d','labels':{'app':'web'},'creationTimestamp':"
                "'1970-01-12T13:46:00Z','ownerReferences':[{'apiVersion':'apps/v1','kind':"
                "'ReplicaSet','name':'rs','uid':'rs-uid','controller':true}]},'spec':{},"
                "'status':{'conditions':[{'type':'Ready','status':'False',"
                "'lastTransitionTime':'1970-01-12T13:46:00Z'}]}}");
    json_set_str(json_get(pod, "metadata"), "name", name);
    json_set(json_get(pod, "metadata"), "uid", json_printf(&arena, "uid-%s", name));
    json_set_str(json_get(pod, "status"), "phase", phase);
    json_set_str(json_get(pod, "spec"), "nodeName", node);
    json_set_str(obj_condition(pod, "Ready"), "status", ready ? "True" : "False");
    return made[n_made++] = pod_facts_new(pod);
}

static struct plan run(struct replicaset_in *in)
{
    struct plan plan;
    struct err err = {0};
    plan_init(&plan, &arena);
    in->now = (struct wall){(int64_t)NOW_S * 1000000};
    in->kind = in->kind ? in->kind : known_kinds()->replicaset;
    if (replicaset_reconcile(in, &plan, &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_false(plan_failed(&plan));
    return plan;
}

static size_t count(const struct plan *p, enum api_verb verb, const char *kind)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n; i++) {
        n += p->actions[i].req.verb == verb && strcmp(p->actions[i].req.kind->kind, kind) == 0;
    }
    return n;
}

static void missing_pods_are_created_in_growing_waves(void **state)
{
    struct replicaset_in in = {.rs = a_set(10), .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_CREATE, "Pod"), 10);
    size_t in_wave[8] = {0};
    for (size_t i = 0; i < plan.n; i++) {
        if (plan.actions[i].req.verb == API_CREATE) {
            in_wave[plan.actions[i].wave]++;
        }
    }
    assert_int_equal(in_wave[0], 1);
    assert_int_equal(in_wave[1], 2);
    assert_int_equal(in_wave[2], 4);
    assert_int_equal(in_wave[3], 3);
    const struct json *pod = NULL;
    for (size_t i = 0; i < plan.n; i++) {
        pod = plan.actions[i].req.verb == API_CREATE ? plan.actions[i].req.body : pod;
    }
    assert_string_equal(json_path_cstr(pod, "metadata.generateName", ""), "rs-");
    assert_string_equal(obj_label(pod, "app"), "web");
    assert_string_equal(obj_annotation(pod, "x"), "y");
    assert_true(obj_controlled_by(pod, "rs-uid"));
    assert_string_equal(
        json_cstr(json_get(json_at(json_path(pod, "spec.containers"), 0), "image"), ""), "i");
}

static void one_step_has_a_bound(void **state)
{
    struct replicaset_in in = {.rs = a_set(2000), .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_CREATE, "Pod"), WORKLOAD_BURST);
    assert_int_equal(plan.requeue_ms, 0);
}

static void nothing_is_touched_while_the_copy_lags(void **state)
{
    struct replicaset_in in = {.rs = a_set(3), .may_manage = false};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_CREATE, "Pod"), 0);
}

static bool all_going(const void *arg, const struct pod_facts *p)
{
    return strcmp(p->name, arg) == 0;
}

static void a_pod_that_was_asked_to_go_is_not_counted_again(void **state)
{
    struct pod_facts *pods[] = {a_pod("a", "Running", "n1", true),
                                a_pod("b", "Running", "n1", true)};
    struct replicaset_in in = {.rs = a_set(1),
                               .pods = pods,
                               .n = 2,
                               .is_going = all_going,
                               .arg = "b",
                               .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_DELETE, "Pod"), 0);
}

static void surplus_pods_go_in_kubernetes_order(void **state)
{
    struct pod_facts *unassigned = a_pod("unassigned", "Pending", "", false);
    struct pod_facts *pending = a_pod("pending", "Pending", "n1", false);
    struct pod_facts *not_ready = a_pod("not-ready", "Running", "n1", false);
    struct pod_facts *cheap = a_pod("cheap", "Running", "n1", true);
    struct pod_facts *crowded = a_pod("crowded", "Running", "n2", true);
    struct pod_facts *crowd = a_pod("crowd", "Running", "n2", true);
    struct pod_facts *alone = a_pod("alone", "Running", "n3", true);
    cheap->deletion_cost = -5;
    crowd->restarts = 3;
    struct pod_facts *pods[] = {alone, crowded, crowd, cheap, not_ready, pending, unassigned};
    static const char *const want[] = {"unassigned", "pending", "not-ready", "cheap",
                                       "crowd",      "crowded", "alone"};
    replicaset_rank(pods, ARRAY_SIZE(pods), (struct wall){(int64_t)NOW_S * 1000000});
    for (size_t i = 0; i < ARRAY_SIZE(want); i++) {
        assert_string_equal(pods[i]->name, want[i]);
    }
    struct replicaset_in in = {
        .rs = a_set(5), .pods = pods, .n = ARRAY_SIZE(pods), .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_DELETE, "Pod"), 2);
    for (size_t i = 0; i < plan.n; i++) {
        if (plan.actions[i].req.verb == API_DELETE) {
            assert_true(strcmp(plan.actions[i].req.name, "unassigned") == 0 ||
                        strcmp(plan.actions[i].req.name, "pending") == 0);
            assert_non_null(plan.actions[i].req.precondition_uid);
        }
    }
}

static void ended_and_deleted_pods_are_replaced(void **state)
{
    struct pod_facts *pods[] = {
        a_pod("a", "Failed", "n1", false), a_pod("b", "Succeeded", "n1", false),
        a_pod("c", "Running", "n1", true), a_pod("d", "Running", "n1", true)};
    pods[3]->deleting = true;
    struct replicaset_in in = {.rs = a_set(2), .pods = pods, .n = 4, .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_CREATE, "Pod"), 1);
    assert_int_equal(count(&plan, API_DELETE, "Pod"), 0);
}

static struct pod_facts *with(struct pod_facts *p, const char *owner, const char *labels)
{
    p->owner = owner;
    p->labels = labels;
    return p;
}

static void orphans_are_adopted_and_strangers_released(void **state)
{
    struct pod_facts *pods[] = {
        with(a_pod("orphan", "Running", "n1", true), "", "app\0web\0"),
        with(a_pod("other", "Running", "n1", true), "", "app\0db\0"),
        with(a_pod("stranger", "Running", "n1", true), "rs-uid", "app\0db\0"),
    };
    struct replicaset_in in = {.rs = a_set(1), .pods = pods, .n = 3, .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_PATCH, "Pod"), 2);
    assert_int_equal(count(&plan, API_CREATE, "Pod"), 0);
    for (size_t i = 0; i < plan.n; i++) {
        const struct action *a = &plan.actions[i];
        if (a->req.verb != API_PATCH) {
            continue;
        }
        const struct json *ref = json_at(json_path(a->req.body, "metadata.ownerReferences"), 0);
        bool release = strcmp(a->req.name, "stranger") == 0;
        assert_string_equal(json_cstr(json_get(ref, "$patch"), ""), release ? "delete" : "");
        assert_string_equal(json_cstr(json_get(ref, "uid"), ""), "rs-uid");
        assert_true(json_path_cstr(a->req.body, "metadata.uid", "")[0]);
    }
}

static void the_status_counts_and_waits_for_min_ready(void **state)
{
    struct pod_facts *pods[] = {a_pod("a", "Running", "n1", true),
                                a_pod("b", "Running", "n1", true),
                                a_pod("c", "Pending", "", false)};
    struct json *rs = a_set(3);
    json_set_int(json_get(rs, "spec"), "minReadySeconds", 10);
    pods[1]->ready_since.us = ((int64_t)NOW_S - 3) * 1000000;
    struct replicaset_in in = {.rs = rs, .pods = pods, .n = 3, .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(plan.n, 1);
    const struct json *status = json_get(plan.actions[0].req.body, "status");
    assert_string_equal(plan.actions[0].req.subresource, "status");
    assert_int_equal(json_path_i64(status, "replicas", 0), 3);
    assert_int_equal(json_path_i64(status, "fullyLabeledReplicas", 0), 3);
    assert_int_equal(json_path_i64(status, "readyReplicas", 0), 2);
    assert_int_equal(json_path_i64(status, "availableReplicas", 0), 1);
    assert_int_equal(json_path_i64(status, "observedGeneration", 0), 1);
    assert_in_range(plan.requeue_ms, 7000, 7001);
    /* The same again writes nothing. */
    in.rs = json_clone(&arena, plan.actions[0].req.body);
    plan = run(&in);
    assert_int_equal(plan.n, 0);
}

static void a_failure_shows_as_a_condition_and_goes_away(void **state)
{
    struct replicaset_in in = {.rs = a_set(0), .last_error = "exceeded quota", .may_manage = true};
    struct plan plan = run(&in);
    const struct json *c = obj_condition(plan.actions[0].req.body, "ReplicaFailure");
    assert_string_equal(json_cstr(json_get(c, "reason"), ""), "FailedCreate");
    assert_string_equal(json_cstr(json_get(c, "message"), ""), "exceeded quota");
    in.rs = json_clone(&arena, plan.actions[0].req.body);
    in.last_error = NULL;
    plan = run(&in);
    assert_null(obj_condition(plan.actions[0].req.body, "ReplicaFailure"));
}

static void a_set_that_is_being_deleted_touches_no_pod(void **state)
{
    struct json *rs = a_set(3);
    json_set_str(json_get(rs, "metadata"), "deletionTimestamp", "2026-01-01T00:00:00Z");
    struct replicaset_in in = {.rs = rs, .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_CREATE, "Pod"), 0);
}

static void the_index_finds_pods_by_owner_node_and_namespace(void **state)
{
    struct pod_index *x = pod_index_new();
    struct json *pod = json_of("{'metadata':{'namespace':'d','name':'p','uid':'u'},'spec':{}}");
    pod_index_change(x, NULL, pod);
    assert_non_null(pod_index_orphans(x, "d"));
    assert_null(pod_index_on_node(x, "n1"));
    struct json *bound = json_clone(&arena, pod);
    json_set_str(json_get(bound, "spec"), "nodeName", "n1");
    json_push(json_ensure_array(json_get(bound, "metadata"), "ownerReferences"),
              json_of("{'uid':'o','controller':true}"));
    pod_index_change(x, pod, bound);
    assert_null(pod_index_orphans(x, "d"));
    assert_string_equal(POD_GROUP(pod_index_owned(x, "o")->next)->name, "p");
    assert_string_equal(POD_OF_NODE(pod_index_on_node(x, "n1")->next)->name, "p");
    pod_index_change(x, bound, NULL);
    assert_null(pod_index_owned(x, "o"));
    assert_null(pod_index_on_node(x, "n1"));
    assert_null(pod_index_get(x, "d", "p"));
    pod_index_free(x);
}

/* The arena fails at one point after the other; the step must say so. */
static void a_replication_controller_owns_its_pods_by_a_map_of_labels(void **state)
{
    struct pod_facts *pods[] = {with(a_pod("orphan", "Running", "n1", true), "", "app\0web\0"),
                                with(a_pod("other", "Running", "n1", true), "", "app\0db\0")};
    struct json *rc = a_set(2);
    json_set(json_get(rc, "spec"), "selector", json_path(rc, "spec.template.metadata.labels"));
    struct replicaset_in in = {.kind = known_kinds()->replication_controller,
                               .rs = rc,
                               .pods = pods,
                               .n = 2,
                               .may_manage = true};
    struct plan plan = run(&in);
    assert_int_equal(count(&plan, API_PATCH, "Pod"), 1);
    assert_int_equal(count(&plan, API_CREATE, "Pod"), 1);
    for (size_t i = 0; i < plan.n; i++) {
        const struct action *a = &plan.actions[i];
        if (a->req.verb == API_CREATE && a->req.kind == known_kinds()->pod) {
            const struct json *owner = obj_controller_ref(a->req.body);
            assert_string_equal(json_path_cstr(owner, "apiVersion", ""), "v1");
            assert_string_equal(json_path_cstr(owner, "kind", ""), "ReplicationController");
        }
    }
}

static void lack_of_memory_is_told(void **state)
{
    struct pod_facts *pods[] = {
        with(a_pod("orphan", "Running", "n1", true), "", "app\0web\0"),
        with(a_pod("stranger", "Running", "n1", true), "rs-uid", "app\0db\0"),
        a_pod("a", "Running", "n1", true),
    };
    for (size_t cap = 64;; cap += 40) {
        struct arena a;
        struct plan plan;
        struct err err;
        struct replicaset_in in = {.kind = known_kinds()->replicaset,
                                   .rs = a_set(cap % 3 ? 1 : 7),
                                   .pods = pods,
                                   .n = 3,
                                   .may_manage = true};
        arena_init(&a, cap);
        plan_init(&plan, &a);
        int r = replicaset_reconcile(&in, &plan, &err);
        bool told = r == -E_NOMEM || plan_failed(&plan);
        arena_fini(&a);
        if (!told && cap > 40000) {
            assert_int_equal(r, 0);
            break;
        }
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(missing_pods_are_created_in_growing_waves),
        TEST(one_step_has_a_bound),
        TEST(nothing_is_touched_while_the_copy_lags),
        TEST(a_pod_that_was_asked_to_go_is_not_counted_again),
        TEST(surplus_pods_go_in_kubernetes_order),
        TEST(ended_and_deleted_pods_are_replaced),
        TEST(orphans_are_adopted_and_strangers_released),
        TEST(the_status_counts_and_waits_for_min_ready),
        TEST(a_failure_shows_as_a_condition_and_goes_away),
        TEST(a_set_that_is_being_deleted_touches_no_pod),
        TEST(the_index_finds_pods_by_owner_node_and_namespace),
        TEST(a_replication_controller_owns_its_pods_by_a_map_of_labels),
        TEST(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

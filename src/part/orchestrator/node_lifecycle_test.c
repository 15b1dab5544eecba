/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile steps of nodes and namespaces, and the garbage collector's decision. */
#include "node_lifecycle.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/object.h"
#include "base/mem.h"
#include "garbage.h"
#include "namespace.h"

static struct arena arena;

static int setup(void **state)
{
    arena_init(&arena, 0);
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

static struct json *a_node(const char *ready, const char *reason, const char *spec)
{
    struct json *node =
        json_of("{'metadata':{'name':'n1','uid':'u','resourceVersion':'7'},'status':{"
                "'conditions':[{'type':'MemoryPressure','status':'False','reason':'ok'},{"
                "'type':'Ready'}]}}");
    json_set(node, "spec", json_of(spec));
    json_set_str(obj_condition(node, "Ready"), "status", ready);
    json_set_str(obj_condition(node, "Ready"), "reason", reason);
    return node;
}

static struct plan run(struct json *node, int64_t silent_ms, const struct json *saved,
                       const struct list *pods)
{
    struct plan plan;
    plan_init(&plan, &arena);
    struct node_in in = {.node = node,
                         .silent_ms = silent_ms,
                         .grace_ms = 50000,
                         .saved = saved,
                         .pods = pods,
                         .now = {1000000}};
    node_reconcile(&in, &plan);
    assert_false(plan_failed(&plan));
    return plan;
}

static void a_node_that_is_heard_of_is_left_alone(void **state)
{
    struct plan plan = run(a_node("True", "KubeletReady", "{}"), 10000, NULL, NULL);
    assert_int_equal(plan.n, 0);
    assert_int_equal(plan.requeue_ms, 40001);
}

static void a_silent_node_is_marked_unknown(void **state)
{
    struct plan plan = run(a_node("True", "KubeletReady", "{}"), 50000, NULL, NULL);
    assert_int_equal(plan.n, 1);
    assert_string_equal(plan.actions[0].req.subresource, "status");
    const struct json *node = plan.actions[0].req.body;
    const struct json *ready = obj_condition(node, "Ready");
    assert_string_equal(json_cstr(json_get(ready, "status"), ""), "Unknown");
    assert_string_equal(json_cstr(json_get(ready, "reason"), ""), "NodeStatusUnknown");
    assert_string_equal(json_cstr(json_get(ready, "message"), ""),
                        "Kubelet stopped posting node status.");
    assert_string_equal(obj_condition_status(node, "MemoryPressure"), "Unknown");
    assert_string_equal(json_cstr(json_get(obj_condition(node, "DiskPressure"), "reason"), ""),
                        "NodeStatusNeverUpdated");
    assert_true(node_is_marked(node));
    assert_string_equal(plan.events[0].text, "Node n1 status is now: NodeNotReady");
}

static const struct json *patched_taints(const struct plan *plan)
{
    assert_int_equal(plan->n, 1);
    assert_int_equal(plan->actions[0].req.verb, API_PATCH);
    assert_string_equal(obj_rv(plan->actions[0].req.body), "7");
    return json_path(plan->actions[0].req.body, "spec.taints");
}

static void taints_follow_conditions_and_never_evict(void **state)
{
    static const struct {
        const char *ready, *key;
    } cases[] = {
        {"False", "node.kubernetes.io/not-ready"},
        {"Unknown", "node.kubernetes.io/unreachable"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct plan plan =
            run(a_node(cases[i].ready, "x", "{'taints':[{'key':'own','effect':'NoExecute'}]}"), 0,
                NULL, NULL);
        const struct json *taints = patched_taints(&plan);
        assert_int_equal(json_len(taints), 2);
        assert_string_equal(json_cstr(json_get(json_at(taints, 0), "key"), ""), "own");
        assert_string_equal(json_cstr(json_get(json_at(taints, 1), "key"), ""), cases[i].key);
        assert_string_equal(json_cstr(json_get(json_at(taints, 1), "effect"), ""), "NoSchedule");
    }
    struct plan plan = run(a_node("True", "x",
                                  "{'unschedulable':true,'taints':[{'key':"
                                  "'node.kubernetes.io/unreachable','effect':'NoSchedule'}]}"),
                           0, NULL, NULL);
    const struct json *taints = patched_taints(&plan);
    assert_int_equal(json_len(taints), 1);
    assert_string_equal(json_cstr(json_get(json_at(taints, 0), "key"), ""),
                        "node.kubernetes.io/unschedulable");
    plan =
        run(a_node("True", "x",
                   "{'taints':[{'key':'node.kubernetes.io/unschedulable','effect':'NoSchedule'}]}"),
            0, NULL, NULL);
    assert_int_equal(patched_taints(&plan)->type, JSON_NULL);
}

static void a_node_that_is_back_gets_its_conditions_back(void **state)
{
    const struct json *saved =
        json_of("[{'type':'Ready','status':'True','reason':'KubeletReady','message':"
                "'m'},{'type':'MemoryPressure','status':'False','reason':'ok'}]");
    struct plan plan = run(a_node("Unknown", "NodeStatusUnknown", "{}"), 100, saved, NULL);
    assert_int_equal(plan.n, 1);
    assert_true(obj_condition_true(plan.actions[0].req.body, "Ready"));
    /* What the agent said itself is not touched: only the taint follows. */
    plan = run(a_node("Unknown", "AgentSaysSo", "{}"), 100, saved, NULL);
    (void)patched_taints(&plan);
}

static struct pod_facts *a_pod(const char *status, const char *reason)
{
    struct json *pod =
        json_of("{'metadata':{'namespace':'d','name':'p','uid':'p-uid'},'spec':{'nodeName':"
                "'n1'},'status':{'phase':'Running','conditions':[{'type':'Ready'},{'type':"
                "'ContainersReady','status':'True'}]}}");
    json_set_str(obj_condition(pod, "Ready"), "status", status);
    json_set_str(obj_condition(pod, "Ready"), "reason", reason);
    return pod_facts_new(pod);
}

static void check_pod(const char *ready, const char *node_spec, const char *pod_status,
                      const char *pod_reason, const char *want)
{
    struct list pods;
    struct pod_facts *p = a_pod(pod_status, pod_reason);
    list_init(&pods);
    list_push_back(&pods, &p->by_node);
    struct plan plan = run(a_node(ready, "x", node_spec), 100, NULL, &pods);
    assert_int_equal(plan.n, want ? 1 : 0);
    if (want) {
        const struct json *c = json_at(json_path(plan.actions[0].req.body, "status.conditions"), 0);
        assert_string_equal(json_cstr(json_get(c, "type"), ""), "Ready");
        assert_string_equal(json_cstr(json_get(c, "status"), ""), want);
    }
    pod_facts_free(p);
}

#define NOT_READY "{'taints':[{'key':'node.kubernetes.io/not-ready','effect':'NoSchedule'}]}"

static void pods_of_a_node_that_is_not_ready_are_not_ready(void **state)
{
    check_pod("False", NOT_READY, "True", "", "False");
    check_pod("False", NOT_READY, "False", "ContainersNotReady", NULL);
    check_pod("True", "{}", "False", "NodeNotReady", "True");
    check_pod("True", "{}", "False", "ContainersNotReady", NULL);
    check_pod("True", "{}", "True", "", NULL);
}

/* ---- garbage ---- */

static void the_collector_decides_by_its_owners(void **state)
{
    static const struct {
        struct garbage_in in;
        enum owner_state owners[3];
        enum garbage_verdict want;
    } cases[] = {
        {{.n = 0}, {0}, GARBAGE_KEEP},
        {{.n = 1}, {OWNER_SOLID}, GARBAGE_KEEP},
        {{.n = 1}, {OWNER_ABSENT}, GARBAGE_DELETE_BACKGROUND},
        {{.n = 1}, {OWNER_UNVERIFIED}, GARBAGE_VERIFY},
        {{.n = 2}, {OWNER_ABSENT, OWNER_UNVERIFIED}, GARBAGE_VERIFY},
        {{.n = 2}, {OWNER_SOLID, OWNER_ABSENT}, GARBAGE_UNLINK},
        {{.n = 2}, {OWNER_SOLID, OWNER_WAITING}, GARBAGE_UNLINK},
        {{.n = 1}, {OWNER_WAITING}, GARBAGE_DELETE_BACKGROUND},
        {{.n = 1, .has_dependents = true}, {OWNER_WAITING}, GARBAGE_DELETE_FOREGROUND},
        {{.n = 1, .orphan = true}, {OWNER_ABSENT}, GARBAGE_DELETE_ORPHAN},
        {{.n = 1, .foreground = true}, {OWNER_ABSENT}, GARBAGE_DELETE_FOREGROUND},
        {{.n = 1, .deleting = true}, {OWNER_ABSENT}, GARBAGE_KEEP},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct garbage_in in = cases[i].in;
        in.owners = cases[i].owners;
        if (garbage_decide(&in) != cases[i].want) {
            fail_msg("case %zu: %d", i, (int)garbage_decide(&in));
        }
    }
}

/* ---- namespaces ---- */

static struct json *a_namespace(void)
{
    return json_of("{'metadata':{'name':'team','deletionTimestamp':'2026-01-01T00:00:00Z'},'spec':{"
                   "'finalizers':['kubernetes']},'status':{'phase':'Terminating'}}");
}

static void a_namespace_is_emptied_checked_and_then_let_go(void **state)
{
    struct api_item item = {.ns = "team", .name = "p", .uid = "u", .refs = 1};
    struct api_item *items[] = {&item, &item};
    bool deleting[] = {false, true}, verify;
    const char *finalizer[] = {NULL, "example.dev/hold"};
    struct namespace_content content = {kind_find_api("v1", "Pod"), items, deleting, finalizer, 2};
    struct plan plan;
    plan_init(&plan, &arena);
    struct namespace_in in = {.ns = a_namespace(), .contents = &content, .n = 1, .now = {1000000}};
    namespace_reconcile(&in, &plan, &verify);
    assert_false(verify);
    assert_int_equal(plan.n, 2); /* one delete, one status */
    assert_int_equal(plan.actions[0].req.verb, API_DELETE);
    const struct json *c = obj_condition(plan.actions[1].req.body, "NamespaceContentRemaining");
    assert_string_equal(json_cstr(json_get(c, "message"), ""),
                        "Some resources are remaining: pods. has 2 resource instances");
    c = obj_condition(plan.actions[1].req.body, "NamespaceFinalizersRemaining");
    assert_string_equal(
        json_cstr(json_get(c, "message"), ""),
        "Some content in the namespace has finalizers remaining: example.dev/hold in 1 "
        "resource instances");
    content.n = 0;
    plan_init(&plan, &arena);
    namespace_reconcile(&in, &plan, &verify);
    assert_true(verify);
    assert_int_equal(plan.n, 0);
    in.verified = true;
    namespace_reconcile(&in, &plan, &verify);
    assert_int_equal(plan.n, 1);
    assert_string_equal(plan.actions[0].req.subresource, "finalize");
    assert_int_equal(json_len(json_path(plan.actions[0].req.body, "spec.finalizers")), 0);
}

/* The arena fails at one point after the other; the step must say so. */
static void lack_of_memory_is_told(void **state)
{
    struct list pods;
    struct pod_facts *p = a_pod("True", "");
    list_init(&pods);
    list_push_back(&pods, &p->by_node);
    for (int kind = 0; kind < 3; kind++) {
        bool told = true;
        for (size_t cap = 64; told; cap += 40) {
            struct arena a;
            struct plan plan;
            struct json *node = kind == 0   ? a_node("True", "x", "{}")
                                : kind == 1 ? a_node("Unknown", "x", "{}")
                                            : a_node("False", "x", NOT_READY);
            struct node_in in = {
                .node = node, .silent_ms = kind == 0 ? 60000 : 0, .grace_ms = 50000, .pods = &pods};
            arena_init(&a, cap);
            plan_init(&plan, &a);
            node_reconcile(&in, &plan);
            told = plan_failed(&plan);
            arena_fini(&a);
        }
    }
    pod_facts_free(p);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_node_that_is_heard_of_is_left_alone),
        TEST(a_silent_node_is_marked_unknown),
        TEST(taints_follow_conditions_and_never_evict),
        TEST(a_node_that_is_back_gets_its_conditions_back),
        TEST(pods_of_a_node_that_is_not_ready_are_not_ready),
        TEST(the_collector_decides_by_its_owners),
        TEST(a_namespace_is_emptied_checked_and_then_let_go),
        TEST(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Fairness between flows, on a clock that the test moves. */
#include "api/flow/flow_schemas.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/server.h"
#include "base/err.h"
#include "base/limits.h"
#include "io/loop.h"

static struct io_loop *loop;
static struct flow_control *fc;
static int64_t now;

static int64_t clock_us(void)
{
    return now;
}

struct work {
    struct flow_entry e;
    int64_t cost;
    int order; /* 0 = not yet run */
};
static int runs;

static void work_run(void *arg)
{
    struct work *w = arg;
    now += w->cost;
    w->order = ++runs;
}

static const struct flow_key greedy = {.weight = 1, .name = "greedy"};
static const struct flow_key quiet = {.weight = 1, .name = "quiet"};
static const struct flow_key heavy = {.weight = 4, .name = "heavy"};

static int setup(void **state)
{
    struct err err;
    (void)state;
    now = 1000000;
    runs = 0;
    assert_int_equal(loop_new(&loop, &err), 0);
    fc = flow_control_new(loop, clock_us);
    assert_non_null(fc);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    flow_control_free(fc);
    loop_free(loop);
    return 0;
}

static void a_request_of_a_caller_with_share_left_runs_at_once(void **state)
{
    struct work w = {.cost = 100};
    (void)state;
    assert_int_equal(flow_submit(fc, &quiet, &w.e, work_run, &w), 0);
    assert_int_equal(w.order, 1);
}

static void a_flood_does_not_hold_up_a_quiet_caller(void **state)
{
    static struct work flood[100];
    struct work mine = {.cost = 10};
    (void)state;
    for (size_t i = 0; i < 100; i++) {
        flood[i] = (struct work){.cost = 100};
        assert_int_equal(flow_submit(fc, &greedy, &flood[i].e, work_run, &flood[i]), 0);
    }
    assert_int_equal(runs, 5); /* its share of the slice */
    assert_int_equal(flow_submit(fc, &quiet, &mine.e, work_run, &mine), 0);
    assert_int_equal(mine.order, 6);
    while (flow_waiting(fc) > 0) {
        loop_run_ready(loop);
    }
    for (size_t i = 0; i < 100; i++) {
        assert_int_not_equal(flood[i].order, 0);
        assert_true(i == 0 || flood[i].order > flood[i - 1].order);
    }
}

static void two_floods_share_by_weight(void **state)
{
    static struct work a[400], b[400];
    size_t done_a = 0, done_b = 0;
    (void)state;
    for (size_t i = 0; i < 400; i++) {
        a[i] = (struct work){.cost = 100};
        b[i] = (struct work){.cost = 100};
        assert_int_equal(flow_submit(fc, &greedy, &a[i].e, work_run, &a[i]), 0);
        assert_int_equal(flow_submit(fc, &heavy, &b[i].e, work_run, &b[i]), 0);
    }
    while (!b[399].order) {
        loop_run_ready(loop);
    }
    for (size_t i = 0; i < 400; i++) {
        done_a += a[i].order && a[i].order < b[399].order;
        done_b++;
    }
    assert_in_range(done_a, done_b / 5, done_b / 3);
    while (flow_waiting(fc) > 0) {
        loop_run_ready(loop);
    }
}

static void one_long_request_is_paid_for_by_its_caller(void **state)
{
    struct work big = {.cost = 3000}, next = {.cost = 10}, mine = {.cost = 10};
    (void)state;
    assert_int_equal(flow_submit(fc, &greedy, &big.e, work_run, &big), 0);
    assert_int_equal(flow_submit(fc, &greedy, &next.e, work_run, &next), 0);
    assert_int_equal(next.order, 0);
    assert_int_equal(flow_submit(fc, &quiet, &mine.e, work_run, &mine), 0);
    assert_int_equal(mine.order, 2);
    while (flow_waiting(fc) > 0) {
        loop_run_ready(loop);
    }
    assert_int_equal(next.order, 3);
}

static void a_full_queue_refuses_and_a_cancelled_entry_never_runs(void **state)
{
    static struct work w[LIMIT_FLOW_QUEUE + 2];
    (void)state;
    w[0].cost = 1000;
    for (size_t i = 0; i < LIMIT_FLOW_QUEUE + 1; i++) {
        assert_int_equal(flow_submit(fc, &greedy, &w[i].e, work_run, &w[i]), 0);
    }
    struct work *last = &w[LIMIT_FLOW_QUEUE + 1];
    assert_int_equal(flow_submit(fc, &greedy, &last->e, work_run, last), -E_TOOMANY);
    for (size_t i = 1; i < LIMIT_FLOW_QUEUE + 1; i++) {
        flow_cancel(&w[i].e);
    }
    flow_cancel(&w[1].e);
    loop_run_ready(loop);
    assert_int_equal(runs, 1);
}

static void callers_fall_into_flows(void **state)
{
    static const char *const masters[] = {"system:masters", NULL}, *const none[] = {NULL};
    char a[FLOW_NAME_SIZE], b[FLOW_NAME_SIZE], long_name[300] = {0};
    struct api_user u = {"root", masters};
    (void)state;
    assert_string_equal(flow_key_of(&u, a).name, "admin/root");
    u = (struct api_user){"system:serviceaccount:kube-system:x", none};
    assert_string_equal(flow_key_of(&u, a).name, "serviceaccounts/kube-system");
    for (size_t i = 0; i < sizeof(long_name) - 1; i++) {
        long_name[i] = 'a';
    }
    u = (struct api_user){long_name, none};
    (void)flow_key_of(&u, a);
    long_name[sizeof(long_name) - 2] = 'b';
    (void)flow_key_of(&u, b);
    assert_string_not_equal(a, b);
}

static void exempt_flows_never_wait_and_reject_never_queues(void **state)
{
    const struct flow_key exempt = {.weight = 0, .name = "exempt"};
    const struct flow_key strict = {.weight = 1, .reject = true, .name = "strict"};
    struct work w[6] = {{.cost = 5000}, {.cost = 5000}, {.cost = 5000},
                        {.cost = 5000}, {.cost = 5000}, {.cost = 5000}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(flow_submit(fc, &exempt, &w[i].e, work_run, &w[i]), 0);
        assert_int_equal(w[i].order, i + 1);
    }
    assert_int_equal(flow_submit(fc, &strict, &w[4].e, work_run, &w[4]), 0);
    assert_int_equal(flow_submit(fc, &strict, &w[5].e, work_run, &w[5]), -E_TOOMANY);
    assert_int_equal(w[5].order, 0);
    assert_int_equal(flow_waiting(fc), 0);
}

static struct json *parsed(struct arena *a, const char *text)
{
    struct json *j = NULL;
    assert_int_equal(json_parse(a, str_of(text), NULL, &j, NULL), 0);
    return j;
}

static void shares_become_weights(void **state)
{
    static const struct {
        const char *spec;
        unsigned weight;
    } cases[] = {
        {"{\"type\":\"Exempt\"}", 0},
        {"{\"type\":\"Limited\",\"limited\":{}}", 1},
        {"{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":0}}", 1},
        {"{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":100}}", 3},
        {"{\"type\":\"Limited\",\"limited\":{\"nominalConcurrencyShares\":100000}}", 16},
    };
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(flow_level_weight(parsed(&a, cases[i].spec)), cases[i].weight);
    }
    arena_fini(&a);
}

static void schemas_match_by_subject_verb_resource_and_place(void **state)
{
    static const char *const groups[] = {"team", NULL};
    static const struct api_user ann = {.name = "ann", .groups = groups};
    static const struct api_user account = {.name = "system:serviceaccount:n:web",
                                            .groups = groups + 1};
    static const struct {
        const struct api_user *user;
        const char *verb, *resource, *ns;
        bool want;
    } cases[] = {
        {&ann, "list", "pods", "n", true},      {&ann, "watch", "pods", "n", false},
        {&ann, "list", "secrets", "n", false},  {&ann, "list", "pods", "other", false},
        {&ann, "list", "pods", "", false},      {&account, "get", "nodes", "", true},
        {&account, "get", "nodes", "n", false}, {&ann, "get", "nodes", "", false},
    };
    struct arena a;
    arena_init(&a, 0);
    const struct json *spec = parsed(
        &a, "{\"rules\":[{\"subjects\":[{\"kind\":\"User\",\"user\":{\"name\":\"bob\"}},"
            "{\"kind\":\"Group\",\"group\":{\"name\":\"team\"}}],\"resourceRules\":[{\"verbs\":"
            "[\"list\"],\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"pods/status\"],"
            "\"namespaces\":[\"n\"]}]},{\"subjects\":[{\"kind\":\"ServiceAccount\","
            "\"serviceAccount\":{\"namespace\":\"n\",\"name\":\"*\"}}],\"resourceRules\":[{"
            "\"verbs\":[\"*\"],\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"clusterScope\":"
            "true}]}]}");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct flow_request q = {.user = cases[i].user,
                                       .verb = cases[i].verb,
                                       .group = "",
                                       .resource = cases[i].resource,
                                       .ns = cases[i].ns};
        assert_int_equal(flow_schema_matches(spec, &q), cases[i].want);
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(exempt_flows_never_wait_and_reject_never_queues, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(shares_become_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(schemas_match_by_subject_verb_resource_and_place, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_request_of_a_caller_with_share_left_runs_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_flood_does_not_hold_up_a_quiet_caller, setup, teardown),
        cmocka_unit_test_setup_teardown(two_floods_share_by_weight, setup, teardown),
        cmocka_unit_test_setup_teardown(one_long_request_is_paid_for_by_its_caller, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_full_queue_refuses_and_a_cancelled_entry_never_runs,
                                        setup, teardown),
        cmocka_unit_test(callers_fall_into_flows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

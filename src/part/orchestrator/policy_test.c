/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of Services, budgets, volumes and autoscalers: objects in, plans out. */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/object.h"
#include "autoscale.h"
#include "base/mem.h"
#include "disruption.h"
#include "endpoints.h"
#include "orchestrator_private.h"
#include "volume_binding.h"

static struct arena arena;
static struct plan plan;

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

static int setup(void **state)
{
    arena_init(&arena, 0);
    plan_init(&plan, &arena);
    return 0;
}

static int teardown(void **state)
{
    arena_fini(&arena);
    return 0;
}

#define PODS_MAX 400
static struct pod_facts *made[PODS_MAX];
static size_t n_made;

static const struct pod_facts *facts(const char *name, const char *ip, bool ready, bool deleting)
{
    char text[512];
    (void)snprintf(
        text, sizeof(text),
        "{'metadata':{'namespace':'d','name':'%s','uid':'u-%s'%s},'spec':{'nodeName':'n1',"
        "'containers':[{'name':'c','ports':[{'name':'web','containerPort':%s}]}]},'status':{"
        "'phase':'Running','podIP':'%s','conditions':[{'type':'Ready','status':'%s'}]}}",
        name, name, deleting ? ",'deletionTimestamp':'2026-01-01T00:00:00Z'" : "",
        name[0] == 'o' ? "81" : "80", ip, ready ? "True" : "False");
    made[n_made] = pod_facts_new(json_of(text));
    assert_non_null(made[n_made]);
    return made[n_made++];
}

static void free_facts(void)
{
    while (n_made > 0) {
        pod_facts_free(made[--n_made]);
    }
}

static const char service[] =
    "{'metadata':{'namespace':'d','name':'web','uid':'s','labels':{'app':'web'}},'spec':{'clusterIP':"
    "'10.96.0.9','ports':[{'port':80,'protocol':'TCP','targetPort':'web'}],'selector':{'app':'web'}}}";

static const struct json *body(size_t i)
{
    assert_true(i < plan.n);
    return plan.actions[i].req.body;
}

/* ---- endpoints ---- */

static void endpoints_follow_readiness_and_named_ports(void **state)
{
    const struct pod_facts *pods[] = {
        facts("b", "10.1.0.2", true, false),     facts("a", "10.1.0.1", true, false),
        facts("c", "10.1.0.3", false, false),    facts("gone", "10.1.0.4", true, true),
        facts("other", "10.1.0.5", true, false), facts("new", "", false, false)};
    const struct json *svc = json_of(service);
    struct endpoint_groups gs = endpoint_groups(&arena, svc, pods, ARRAY_SIZE(pods));
    assert_int_equal(gs.n, 2);
    endpoints_plan(&plan, svc, &gs, NULL);
    assert_int_equal(plan.n, 1);
    const struct json *subsets = json_get(body(0), "subsets");
    assert_int_equal(json_len(subsets), 2);
    const struct json *first = json_at(subsets, 0);
    assert_int_equal(json_len(json_get(first, "addresses")), 2);
    assert_string_equal(json_path_cstr(json_at(json_get(first, "addresses"), 0), "ip", ""),
                        "10.1.0.1");
    assert_string_equal(json_path_cstr(json_at(json_get(first, "notReadyAddresses"), 0), "ip", ""),
                        "10.1.0.3");
    assert_int_equal(json_path_i64(json_at(json_get(json_at(subsets, 1), "ports"), 0), "port", 0),
                     81);
    /* Nothing to write when it is there already. */
    struct json *now = json_clone(&arena, body(0));
    plan_init(&plan, &arena);
    endpoints_plan(&plan, svc, &gs, now);
    assert_int_equal(plan.n, 0);
    free_facts();
}

static struct slices_in slices_in_of(const struct json *svc, const struct slice_want *want,
                                     struct json **existing, size_t n)
{
    return (struct slices_in){.owner = svc,
                              .owner_api = "v1",
                              .owner_kind = "Service",
                              .service = "web",
                              .manager = "m",
                              .labels = obj_labels(svc),
                              .wants = want,
                              .n_wants = want ? 1 : 0,
                              .existing = existing,
                              .n_existing = n,
                              .max = 3};
}

static struct slice_want want_of(const struct json *svc, int from, int to)
{
    static const struct pod_facts *pods[PODS_MAX];
    size_t n = 0;
    for (int i = from; i < to; i++) {
        char name[16], ip[20];
        (void)snprintf(name, sizeof(name), "p%03d", i);
        (void)snprintf(ip, sizeof(ip), "10.1.%d.%d", i / 100, i % 100);
        pods[n++] = facts(name, ip, true, false);
    }
    struct endpoint_groups gs = endpoint_groups(&arena, svc, pods, n);
    return n ? slice_want_of(&arena, svc, &gs.v[0], NULL) : (struct slice_want){0};
}

/* Carries the plan out on the list of slices. */
static size_t carry_out(struct json **slices, size_t n)
{
    for (size_t i = 0; i < plan.n; i++) {
        const struct api_request *r = &plan.actions[i].req;
        size_t at = 0;
        if (r->verb == API_CREATE) {
            slices[n++] = json_clone(&arena, r->body);
            continue;
        }
        for (; at < n && strcmp(obj_name(slices[at]), r->name) != 0; at++) {
        }
        assert_true(at < n);
        slices[at] = r->verb == API_DELETE ? slices[--n] : json_clone(&arena, r->body);
    }
    return n;
}

static size_t endpoints_in(struct json **slices, size_t n)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        assert_in_range(json_len(json_get(slices[i], "endpoints")), 1, 3);
        sum += json_len(json_get(slices[i], "endpoints"));
    }
    return sum;
}

static void a_few_new_endpoints_change_one_slice(void **state)
{
    struct json *slices[16], *svc = json_of(service);
    struct slice_want w = want_of(svc, 0, 7);
    struct slices_in in = slices_in_of(svc, &w, slices, 0);
    slices_plan(&plan, &in);
    assert_int_equal(plan.n, 3); /* 3 + 3 + 1 */
    size_t n = carry_out(slices, 0);
    assert_int_equal(endpoints_in(slices, n), 7);
    assert_string_not_equal(obj_name(slices[0]), obj_name(slices[1]));

    plan_init(&plan, &arena);
    in.existing = slices;
    in.n_existing = n;
    slices_plan(&plan, &in);
    assert_int_equal(plan.n, 0); /* settled */

    free_facts();
    w = want_of(svc, 0, 9);
    plan_init(&plan, &arena);
    in = slices_in_of(svc, &w, slices, n);
    slices_plan(&plan, &in);
    assert_int_equal(plan.n, 1);
    assert_int_equal(plan.actions[0].req.verb, API_UPDATE);
    n = carry_out(slices, n);
    assert_int_equal(endpoints_in(slices, n), 9);

    free_facts();
    w = want_of(svc, 8, 10); /* most go, one is new */
    plan_init(&plan, &arena);
    in = slices_in_of(svc, &w, slices, n);
    slices_plan(&plan, &in);
    n = carry_out(slices, n);
    assert_int_equal(endpoints_in(slices, n), 2);
    assert_int_equal(n, 1);

    plan_init(&plan, &arena);
    in = slices_in_of(svc, NULL, slices, n);
    slices_plan(&plan, &in);
    assert_int_equal(carry_out(slices, n), 0);
    free_facts();
}

static void hand_made_endpoints_are_mirrored(void **state)
{
    size_t n;
    struct slice_want *v = endpoints_mirrored(
        &arena,
        json_of("{'subsets':[{'addresses':[{'ip':'192.0.2.1'},{'ip':'2001:db8::1'}],"
                "'notReadyAddresses':[{'ip':'192.0.2.2'}],'ports':[{'name':'x','port':5}]}]}"),
        &n);
    assert_int_equal(n, 2);
    assert_string_equal(v[0].address_type, "IPv4");
    assert_int_equal(json_len(v[0].endpoints), 2);
    assert_false(json_path_true(json_at(v[0].endpoints, 1), "conditions.ready", true));
    assert_string_equal(v[1].address_type, "IPv6");
}

/* ---- budgets ---- */

static struct json *budget(const char *spec, size_t n_pods, size_t n_ready, int64_t scale)
{
    const struct pod_facts *pods[PODS_MAX];
    struct json *pdb = json_of("{'metadata':{'namespace':'d','name':'b','generation':2}}");
    json_set(pdb, "spec", json_of(spec));
    for (size_t i = 0; i < n_pods; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "p%zu", i);
        pods[i] = facts(name, "10.1.0.1", i < n_ready, false);
    }
    struct disruption_in in = {.pdb = pdb,
                               .pods = pods,
                               .n = n_pods,
                               .scale = scale,
                               .why = "no scale",
                               .now = {INT64_C(1000000000000000)}};
    plan_init(&plan, &arena);
    disruption_plan(&plan, &in);
    free_facts();
    return json_get(pdb, "status");
}

static void a_budget_says_how_many_may_go(void **state)
{
    static const struct {
        const char *spec;
        size_t pods, ready;
        int64_t scale, allowed, desired, expected;
    } cases[] = {
        {"{'minAvailable':2}", 3, 3, 0, 1, 2, 3},
        {"{'minAvailable':2}", 3, 1, 0, 0, 2, 3},
        {"{'maxUnavailable':1}", 3, 3, 3, 1, 2, 3},
        {"{'maxUnavailable':'50%'}", 3, 3, 3, 2, 1, 3},
        {"{'minAvailable':'50%'}", 3, 3, 3, 1, 2, 3},
        {"{'maxUnavailable':0}", 2, 2, 2, 0, 2, 2},
        {"{'minAvailable':0}", 0, 0, 0, 0, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct json *st =
            budget(cases[i].spec, cases[i].pods, cases[i].ready, cases[i].scale);
        if (json_path_i64(st, "disruptionsAllowed", -1) != cases[i].allowed ||
            json_path_i64(st, "desiredHealthy", -1) != cases[i].desired ||
            json_path_i64(st, "expectedPods", -1) != cases[i].expected) {
            fail_msg("case %zu", i);
        }
        assert_int_equal(json_path_i64(st, "observedGeneration", 0), 2);
        assert_int_equal(plan.n, 1);
    }
    const struct json *st = budget("{'maxUnavailable':1}", 1, 1, -1);
    assert_int_equal(json_path_i64(st, "disruptionsAllowed", -1), 0);
    assert_int_equal(plan.events_n, 1);
}

/* ---- volumes ---- */

static struct json *a_volume(const char *name, const char *size, const char *more)
{
    struct json *pv = json_of(more);
    struct json *spec = json_ensure_object(pv, "spec");
    json_set_str(obj_meta(pv), "name", name);
    json_set_str(json_ensure_object(spec, "capacity"), "storage", size);
    json_set_str(spec, "storageClassName", "c");
    json_push(json_ensure_array(spec, "accessModes"), json_string(&arena, "ReadWriteOnce"));
    return pv;
}

static const char a_claim[] =
    "{'metadata':{'namespace':'d','name':'c1','uid':'u1'},'spec':{'storageClassName':'c','accessModes':"
    "['ReadWriteOnce'],'resources':{'requests':{'storage':'2Gi'}}}}";

static void the_smallest_volume_that_fits_is_taken(void **state)
{
    struct json *claim = json_of(a_claim);
    struct json *pvs[] = {
        a_volume("small", "1Gi", "{}"), a_volume("large", "9Gi", "{}"),
        a_volume("right", "3Gi", "{}"),
        a_volume("taken", "2Gi", "{'spec':{'claimRef':{'namespace':'d','name':'x','uid':'y'}}}"),
        a_volume("there", "2Gi",
                 "{'spec':{'nodeAffinity':{'required':{'nodeSelectorTerms':[{'matchExpressions':[{"
                 "'key':'zone','operator':'In','values':['a']}]}]}}}}")};
    const struct volume_node elsewhere = {"n", json_of("{'zone':'b'}")};
    const struct volume_node there = {"n", json_of("{'zone':'a'}")};
    assert_string_equal(obj_name(volume_choose(pvs, 5, claim, &elsewhere)), "right");
    assert_string_equal(obj_name(volume_choose(pvs, 5, claim, &there)), "there");
    json_set(json_get(pvs[1], "spec"), "claimRef", json_of("{'namespace':'d','name':'c1'}"));
    assert_string_equal(obj_name(volume_choose(pvs, 5, claim, &there)), "large"); /* reserved */
}

static void a_claim_and_its_volume_name_each_other_then_are_bound(void **state)
{
    struct json *claim = json_of(a_claim), *pv = a_volume("v", "2Gi", "{}");
    struct claim_in in = {.claim = claim, .pvs = &pv, .n_pvs = 1};
    claim_plan(&plan, &in);
    assert_int_equal(plan.n, 2);
    assert_string_equal(json_path_cstr(pv, "spec.claimRef.uid", ""), "u1");
    assert_string_equal(json_path_cstr(claim, "spec.volumeName", ""), "v");
    plan_init(&plan, &arena);
    in.volume = pv;
    claim_plan(&plan, &in);
    assert_string_equal(json_path_cstr(claim, "status.phase", ""), "Bound");
    plan_init(&plan, &arena);
    claim_plan(&plan, &in);
    assert_int_equal(plan.n, 0);
    struct volume_in vin = {.volume = pv, .claim = claim};
    volume_plan(&plan, &vin);
    assert_string_equal(json_path_cstr(pv, "status.phase", ""), "Bound");
    vin.claim = NULL; /* deleted */
    volume_plan(&plan, &vin);
    assert_string_equal(json_path_cstr(pv, "status.phase", ""), "Released");
    in.volume = NULL;
    claim_plan(&plan, &in);
    assert_string_equal(json_path_cstr(claim, "status.phase", ""), "Lost");
}

static void a_claim_that_waits_is_bound_when_a_node_was_chosen(void **state)
{
    struct json *claim = json_of(a_claim), *pv = a_volume("v", "2Gi", "{}");
    const struct json *class = json_of("{'provisioner':'kubernetes.io/no-provisioner',"
                                       "'volumeBindingMode':'WaitForFirstConsumer'}");
    struct claim_in in = {.claim = claim, .pvs = &pv, .n_pvs = 1, .storage_class = class};
    claim_plan(&plan, &in);
    assert_string_equal(json_path_cstr(claim, "spec.volumeName", ""), "");
    assert_int_equal(plan.events_n, 1);
    assert_string_equal(plan.events[0].reason, "WaitForFirstConsumer");
    const struct volume_node node = {"n", NULL};
    in.node = &node;
    plan_init(&plan, &arena);
    claim_plan(&plan, &in);
    assert_string_equal(json_path_cstr(claim, "spec.volumeName", ""), "v");
}

/* ---- autoscaling ---- */

static struct autoscale_pod loaded(const char *used)
{
    char text[256];
    (void)snprintf(text, sizeof(text), "{'containers':[{'name':'c','usage':{'cpu':'%s'}}]}", used);
    return (struct autoscale_pod){
        .name = "p",
        .pod = json_of(
            "{'spec':{'containers':[{'name':'c','resources':{'requests':{'cpu':'100m'}}}]}}"),
        .metrics = *used ? json_of(text) : NULL,
        .ready = true};
}

static int64_t replicas(const char *a, const char *b)
{
    const struct json *spec =
        json_of("{'type':'Resource','resource':{'name':'cpu','target':{'type':"
                "'Utilization','averageUtilization':50}}}");
    struct autoscale_pod pods[] = {loaded(a), loaded(b)};
    struct autoscale_metric m;
    struct err err = {0};
    if (autoscale_metric(&arena, spec, pods, 2, 2, &m, &err) < 0) {
        return -1;
    }
    return m.replicas;
}

static void the_load_decides_how_many_pods_are_wanted(void **state)
{
    assert_int_equal(replicas("100m", "100m"), 4);
    assert_int_equal(replicas("50m", "53m"), 2); /* within a tenth */
    assert_int_equal(replicas("10m", "10m"), 1);
    assert_int_equal(replicas("200m", ""), 4); /* the unknown one is taken to be idle */
    assert_int_equal(replicas("10m", ""), 2);  /* or fully used: no change downwards */
    assert_int_equal(replicas("", ""), -1);
}

static void other_metrics_say_that_there_is_no_such_api(void **state)
{
    struct autoscale_metric m;
    struct err err = {0};
    const struct json *spec = json_of("{'type':'Pods','pods':{'metric':{'name':'hits'}}}");
    assert_int_equal(autoscale_metric(&arena, spec, NULL, 0, 1, &m, &err), -E_AGAIN);
    assert_string_equal(m.condition, "FailedGetPodsMetric");
    assert_string_equal(err.text,
                        "unable to get metric hits: unable to fetch metrics from custom metrics "
                        "API: no custom metrics API (custom.metrics.k8s.io) registered");
}

static void policies_and_windows_slow_changes_down(void **state)
{
    struct autoscale_past past = {0};
    const struct json *spec = json_of("{'minReplicas':1,'maxReplicas':50}");
    const struct wall now = {INT64_C(1000000000)}, later = {INT64_C(1400000000)};
    struct autoscale_limit l = autoscale_limit(&past, spec, 2, 40, now);
    assert_int_equal(l.replicas, 6); /* 4 more, or the double */
    assert_string_equal(l.reason, "ScaleUpLimit");
    l = autoscale_limit(&past, spec, 6, 1, now); /* 40 was wanted a moment ago */
    assert_int_equal(l.replicas, 6);
    assert_string_equal(l.able_reason, "ScaleDownStabilized");
    l = autoscale_limit(&past, spec, 6, 1, later);
    assert_int_equal(l.replicas, 1);
    l = autoscale_limit(&past,
                        json_of("{'minReplicas':1,'maxReplicas':50,'behavior':{'scaleUp':{"
                                "'selectPolicy':'Disabled'}}}"),
                        6, 20, later);
    assert_int_equal(l.replicas, 6);
    autoscale_changed(&past, 4, later);
    l = autoscale_limit(&past, spec, 6, 40, later); /* the 4 of this period are used up */
    assert_int_equal(l.replicas, 6);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(endpoints_follow_readiness_and_named_ports),
        TEST(a_few_new_endpoints_change_one_slice),
        TEST(hand_made_endpoints_are_mirrored),
        TEST(a_budget_says_how_many_may_go),
        TEST(the_smallest_volume_that_fits_is_taken),
        TEST(a_claim_and_its_volume_name_each_other_then_are_bound),
        TEST(a_claim_that_waits_is_bound_when_a_node_was_chosen),
        TEST(the_load_decides_how_many_pods_are_wanted),
        TEST(other_metrics_say_that_there_is_no_such_api),
        TEST(policies_and_windows_slow_changes_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where pods are placed, and what is said when they cannot be. */
#include "sched.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/clock.h"
#include "base/mem.h"
#include "taint_eviction.h"

static struct arena arena;

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

static void merge(struct json *into, const struct json *more)
{
    JSON_FOR_EACH_MEMBER (m, more) {
        struct json *have = json_get(into, m->key);
        if (json_is(have, JSON_OBJECT) && m->value->type == JSON_OBJECT) {
            merge(have, m->value);
        } else {
            json_set(into, m->key, json_clone(&arena, m->value));
        }
    }
}

static struct json *a_node(const char *name, const char *more)
{
    struct json *node =
        json_of("{'metadata':{'labels':{}},'spec':{},'status':{'allocatable':{'cpu':'4',"
                "'memory':'8Gi','ephemeral-storage':'10Gi','pods':'10'},'conditions':[{"
                "'type':'Ready','status':'True'}]}}");
    json_set_str(json_get(node, "metadata"), "name", name);
    json_set_str(json_path(node, "metadata.labels"), "kubernetes.io/hostname", name);
    merge(node, json_of(more));
    return node;
}

static struct json *a_pod(const char *name, const char *more)
{
    struct json *pod =
        json_of("{'metadata':{'namespace':'d','labels':{}},'spec':{'containers':[{'name':"
                "'c','image':'i'}]},'status':{'phase':'Pending'}}");
    json_set_str(json_get(pod, "metadata"), "name", name);
    json_set(json_get(pod, "metadata"), "uid", json_printf(&arena, "uid-%s", name));
    merge(pod, json_of(more));
    return pod;
}

static struct json *placed(const char *name, const char *node, const char *more)
{
    struct json *pod = a_pod(name, more);
    json_set_str(json_get(pod, "spec"), "nodeName", node);
    return pod;
}

static struct sched *s;

static int setup(void **state)
{
    arena_init(&arena, 0);
    s = sched_new();
    return 0;
}

static int teardown(void **state)
{
    sched_free(s);
    arena_fini(&arena);
    return 0;
}

static void add_node(const char *name, const char *more)
{
    assert_int_equal(sched_set_node(s, a_node(name, more)), 0);
}

static void add_pod(const char *name, const char *node, const char *more)
{
    assert_int_equal(sched_set_pod(s, placed(name, node, more)), 0);
}

static void expect(const char *pod, const char *node)
{
    const char *got = NULL;
    struct err err = {0};
    if (sched_place(s, &arena, a_pod("new", pod), NULL, &got, &err) < 0) {
        fail_msg("%s: %s", pod, err.text);
    }
    if (strcmp(got, node) != 0) {
        fail_msg("%s was placed on %s", pod, got);
    }
}

static void expect_none(const char *pod, const char *text)
{
    const char *got = NULL;
    struct err err = {0};
    int r = sched_place(s, &arena, a_pod("new", pod), NULL, &got, &err);
    if (r == 0) {
        fail_msg("%s was placed on %s", pod, got);
    }
    assert_int_equal(r, -E_AGAIN);
    assert_string_equal(err.text, text);
}

static void filters_say_why_in_kubernetes_words(void **state)
{
    expect_none("{}", "no nodes available to schedule pods");
    add_node("n1", "{'spec':{'taints':[{'key':'k','value':'v','effect':'NoSchedule'}]}}");
    add_node("n2", "{'metadata':{'labels':{'zone':'a'}},'status':{'allocatable':{'cpu':'1'}}}");
    expect_none("{'spec':{'nodeSelector':{'zone':'b'}}}",
                "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 "
                "node(s) had untolerated taint {k: v}.");
    expect_none("{'spec':{'containers':[{'resources':{'requests':{'cpu':'2','memory':'9Gi'}}}]}}",
                "0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) had "
                "untolerated taint {k: v}.");
    expect("{'spec':{'tolerations':[{'key':'k','operator':'Exists'}],'nodeSelector':{"
           "'kubernetes.io/hostname':'n1'}}}",
           "n1");
    expect("{}", "n2");
    add_node("n2", "{'spec':{'unschedulable':true}}");
    expect_none("{}",
                "0/2 nodes are available: 1 node(s) had untolerated taint {k: v}, 1 node(s) were "
                "unschedulable.");
    expect(
        "{'spec':{'tolerations':[{'operator':'Exists'}],'nodeSelector':{'kubernetes.io/hostname':"
        "'n2'}}}",
        "n2");
}

static void a_node_that_is_not_ready_counts_as_tainted(void **state)
{
    add_node("n1", "{'status':{'conditions':[{'type':'Ready','status':'Unknown'}]}}");
    expect_none("{}", "0/1 nodes are available: 1 node(s) had untolerated taint "
                      "{node.kubernetes.io/unreachable: }.");
    expect(
        "{'spec':{'tolerations':[{'key':'node.kubernetes.io/unreachable','operator':'Exists'}]}}",
        "n1");
}

static void room_is_what_is_left(void **state)
{
    add_node("n1", "{'status':{'allocatable':{'pods':'3'}}}");
    add_pod("a", "n1", "{'spec':{'containers':[{'resources':{'requests':{'cpu':'3'}}}]}}");
    expect_none("{'spec':{'containers':[{'resources':{'requests':{'cpu':'1500m'}}}]}}",
                "0/1 nodes are available: 1 Insufficient cpu.");
    expect("{'spec':{'containers':[{'resources':{'requests':{'cpu':'1'}}}]}}", "n1");
    expect_none(
        "{'spec':{'containers':[{}],'initContainers':[{'resources':{'requests':{'cpu':'2'}}}]}}",
        "0/1 nodes are available: 1 Insufficient cpu.");
    add_pod("b", "n1", "{}");
    add_pod("c", "n1", "{}");
    expect_none("{}", "0/1 nodes are available: 1 Too many pods.");
    sched_del_pod(s, "d", "c");
    expect("{}", "n1");
    /* A pod that has ended takes no room. */
    add_pod("b", "n1", "{'status':{'phase':'Succeeded'}}");
    add_pod("a", "n1", "{'status':{'phase':'Failed'}}");
    expect("{'spec':{'containers':[{'resources':{'requests':{'cpu':'4'}}}]}}", "n1");
}

static void pods_known_before_their_node_count_when_it_comes(void **state)
{
    add_pod("a", "n1", "{'spec':{'containers':[{'resources':{'requests':{'cpu':'3'}}}]}}");
    add_node("n1", "{}");
    expect_none("{'spec':{'containers':[{'resources':{'requests':{'cpu':'2'}}}]}}",
                "0/1 nodes are available: 1 Insufficient cpu.");
    sched_del_node(s, "n1");
    add_node("n1", "{}");
    expect_none("{'spec':{'containers':[{'resources':{'requests':{'cpu':'2'}}}]}}",
                "0/1 nodes are available: 1 Insufficient cpu.");
}

static void host_ports_are_used_once(void **state)
{
    add_node("n1", "{}");
    add_pod("a", "n1", "{'spec':{'containers':[{'ports':[{'hostPort':80,'protocol':'TCP'}]}]}}");
    expect_none(
        "{'spec':{'containers':[{'ports':[{'hostPort':80}]}]}}",
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
    expect("{'spec':{'containers':[{'ports':[{'hostPort':80,'protocol':'UDP'}]}]}}", "n1");
    add_pod("b", "n1", "{'spec':{'containers':[{'ports':[{'hostPort':90,'hostIP':'10.0.0.1'}]}]}}");
    expect("{'spec':{'containers':[{'ports':[{'hostPort':90,'hostIP':'10.0.0.2'}]}]}}", "n1");
    expect_none(
        "{'spec':{'containers':[{'ports':[{'hostPort':90,'hostIP':'0.0.0.0'}]}]}}",
        "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.");
}

#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

static void node_affinity_chooses(void **state)
{
    add_node("n1", "{'metadata':{'labels':{'disk':'ssd','size':'5'}}}");
    add_node("n2", "{'metadata':{'labels':{'disk':'hdd'}}}");
    expect("{'spec':{'affinity':{'nodeAffinity':{'" REQUIRED
           "':{'nodeSelectorTerms':[{'matchExpressions':"
           "[{'key':'disk','operator':'NotIn','values':['ssd']}]}]}}}}}",
           "n2");
    expect("{'spec':{'affinity':{'nodeAffinity':{'" REQUIRED
           "':{'nodeSelectorTerms':[{'matchExpressions':"
           "[{'key':'size','operator':'Gt','values':['4']}]}]}}}}}",
           "n1");
    expect("{'spec':{'affinity':{'nodeAffinity':{'" REQUIRED
           "':{'nodeSelectorTerms':[{'matchFields':"
           "[{'key':'metadata.name','operator':'In','values':['n2']}]}]}}}}}",
           "n2");
    expect_none("{'spec':{'affinity':{'nodeAffinity':{'" REQUIRED
                "':{'nodeSelectorTerms':[{}]}}}}}",
                "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.");
    expect("{'spec':{'affinity':{'nodeAffinity':{'" PREFERRED "':[{'weight':10,'preference':{"
           "'matchExpressions':[{'key':'disk','operator':'In','values':['hdd']}]}}]}}}}",
           "n2");
}

static void pod_affinity_and_anti_affinity_hold(void **state)
{
    add_node("n1", "{'metadata':{'labels':{'zone':'a'}}}");
    add_node("n2", "{'metadata':{'labels':{'zone':'b'}}}");
    add_pod("db", "n1", "{'metadata':{'labels':{'app':'db'}}}");
    static const char near_db[] = "{'spec':{'affinity':{'podAffinity':{'" REQUIRED
                                  "':[{'labelSelector':{'matchLabels':{'app':'db'}},"
                                  "'topologyKey':'zone'}]}}}}";
    static const char far_from_db[] = "{'spec':{'affinity':{'podAntiAffinity':{'" REQUIRED
                                      "':[{'labelSelector':{'matchLabels':{'app':"
                                      "'db'}},'topologyKey':'zone'}]}}}}";
    expect(near_db, "n1");
    expect(far_from_db, "n2");
    expect("{'spec':{'affinity':{'podAntiAffinity':{'" PREFERRED
           "':[{'weight':100,'podAffinityTerm':{"
           "'labelSelector':{'matchLabels':{'app':'db'}},'topologyKey':'zone'}}]}}}}",
           "n2");
    add_pod("db2", "n2", "{'metadata':{'labels':{'app':'db'}}}");
    expect_none(far_from_db,
                "0/2 nodes are available: 2 node(s) didn't match pod anti-affinity rules.");
    expect_none("{'spec':{'affinity':{'podAffinity':{'" REQUIRED
                "':[{'labelSelector':{'matchLabels':{"
                "'app':'web'}},'topologyKey':'zone'}]}}}}",
                "0/2 nodes are available: 2 node(s) didn't match pod affinity rules.");
    /* The first of a group that wants to be together may start it. */
    const char *node;
    assert_int_equal(
        sched_place(s, &arena,
                    a_pod("new",
                          "{'metadata':{'labels':{'app':'web'}},'spec':{'affinity':{'podAffinity':"
                          "{'" REQUIRED "':[{'labelSelector':{'matchLabels':{'app':'web'}},"
                          "'topologyKey':'zone'}]}}}}"),
                    NULL, &node, NULL),
        0);
}

static void placed_pods_keep_away_what_they_do_not_bear(void **state)
{
    add_node("n1", "{}");
    add_pod("hermit", "n1",
            "{'spec':{'affinity':{'podAntiAffinity':{'" REQUIRED
            "':[{'labelSelector':{'matchLabels':{"
            "'app':'web'}},'topologyKey':'kubernetes.io/hostname'}]}}}}");
    expect_none(
        "{'metadata':{'labels':{'app':'web'}}}",
        "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.");
    expect("{'metadata':{'labels':{'app':'db'}}}", "n1");
    sched_del_pod(s, "d", "hermit");
    expect("{'metadata':{'labels':{'app':'web'}}}", "n1");
}

static void hard_spreading_bounds_the_skew(void **state)
{
    add_node("n1", "{'metadata':{'labels':{'zone':'a'}}}");
    add_node("n2", "{'metadata':{'labels':{'zone':'b'}}}");
    add_node("n3", "{}");
    static const char pod[] =
        "{'metadata':{'labels':{'app':'web'}},'spec':{'topologySpreadConstraints':[{'maxSkew':1,"
        "'topologyKey':'zone','whenUnsatisfiable':'DoNotSchedule','labelSelector':{'matchLabels':{'app':"
        "'web'}}}]}}";
    add_pod("a", "n1", "{'metadata':{'labels':{'app':'web'}}}");
    expect(pod, "n2");
    add_node("n2", "{'metadata':{'labels':{'zone':'b'}},'spec':{'unschedulable':true}}");
    expect_none(
        pod, "0/3 nodes are available: 1 node(s) didn't match pod topology spread constraints, 1 "
             "node(s) didn't match pod topology spread constraints (missing required label), 1 "
             "node(s) were unschedulable.");
}

static void pods_go_where_there_is_room_and_no_brother(void **state)
{
    add_node("n1", "{}");
    add_node("n2", "{}");
    add_pod("big", "n1",
            "{'spec':{'containers':[{'resources':{'requests':{'cpu':'3','memory':'6Gi'}}}]}}");
    expect("{}", "n2");
    static const char owned[] = "{'metadata':{'ownerReferences':[{'uid':'rs','controller':true}]}}";
    add_pod("brother", "n2", owned);
    expect(owned, "n1");
}

static void soft_taints_and_images_weigh(void **state)
{
    add_node("n1", "{'spec':{'taints':[{'key':'k','effect':'PreferNoSchedule'}]}}");
    add_node("n2", "{}");
    expect("{}", "n2");
    add_node("n1", "{'status':{'images':[{'names':['i'],'sizeBytes':500000000}]}}");
    expect("{}", "n1");
}

static void tolerations_cover_taints_as_kubernetes_says(void **state)
{
    static const struct {
        const char *toleration;
        bool covered;
    } cases[] = {
        {"{'key':'k','operator':'Equal','value':'v','effect':'NoSchedule'}", true},
        {"{'key':'k','value':'v'}", true},
        {"{'key':'k','value':'w'}", false},
        {"{'key':'k','operator':'Exists'}", true},
        {"{'operator':'Exists'}", true},
        {"{'operator':'Exists','effect':'NoExecute'}", false},
        {"{'key':'x','operator':'Exists'}", false},
        {"{'value':'v'}", false},
        {"{}", false},
    };
    struct json *taint = json_of("{'key':'k','value':'v','effect':'NoSchedule'}");
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *list = json_array(&arena);
        json_push(list, json_of(cases[i].toleration));
        if (taint_tolerated(taint, list) != cases[i].covered) {
            fail_msg("%s", cases[i].toleration);
        }
    }
}

static void no_execute_taints_leave_time_as_tolerated(void **state)
{
    static const struct {
        const char *taints, *tolerations;
        int64_t seconds;
    } cases[] = {
        {"[]", "[]", STAYS_FOREVER},
        {"[{'key':'a','effect':'NoSchedule'}]", "[]", STAYS_FOREVER},
        {"[{'key':'a','effect':'NoExecute'}]", "[]", 0},
        {"[{'key':'a','effect':'NoExecute'}]", "[{'key':'a','operator':'Exists'}]", STAYS_FOREVER},
        {"[{'key':'a','effect':'NoExecute'}]",
         "[{'key':'a','operator':'Exists','tolerationSeconds':300}]", 300},
        {"[{'key':'a','effect':'NoExecute'},{'key':'b','effect':'NoExecute'}]",
         "[{'key':'a','operator':'Exists','tolerationSeconds':300},{'key':'b','operator':'Exists',"
         "'tolerationSeconds':20}]",
         20},
        {"[{'key':'a','effect':'NoExecute'},{'key':'b','effect':'NoExecute'}]",
         "[{'key':'a','operator':'Exists'}]", 0},
        {"[{'key':'a','effect':'NoExecute'}]",
         "[{'key':'a','operator':'Exists','tolerationSeconds':-1}]", 0},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_true(taint_stay_seconds(json_of(cases[i].taints), json_of(cases[i].tolerations)) ==
                    cases[i].seconds);
    }
}

static void five_thousand_pods_are_placed_in_moments(void **state)
{
    for (int i = 0; i < 100; i++) {
        add_node(arena_printf(&arena, "n%d", i),
                 "{'status':{'allocatable':{'cpu':'64','memory':'256Gi','pods':'110'}}}");
    }
    static const char more[] =
        "{'metadata':{'ownerReferences':[{'uid':'rs','controller':true}]},'spec':{'containers':[{"
        "'resources':{'requests':{'cpu':'100m','memory':'64Mi'}}}]}}";
    int64_t begin = mono_now().us;
    for (int i = 0; i < 5000; i++) {
        struct arena a;
        const char *node;
        arena_init(&a, 0);
        struct json *pod = a_pod(arena_printf(&a, "p%d", i), more);
        assert_int_equal(sched_place(s, &a, pod, NULL, &node, NULL), 0);
        assert_int_equal(sched_assume(s, pod, node), 0);
        arena_fini(&a);
        arena_clear(&arena);
    }
    print_message("5000 pods over 100 nodes in %lld ms\n",
                  (long long)((mono_now().us - begin) / 1000));
}

static void thousands_of_pods_a_second_find_their_place_among_a_thousand_nodes(void **state)
{
    static const char more[] =
        "{'metadata':{'labels':{'app':'web'},'ownerReferences':[{'uid':'rs','controller':true}]},"
        "'spec':{'topologySpreadConstraints':[{'maxSkew':5,'topologyKey':'zone','whenUnsatisfiable':"
        "'ScheduleAnyway','labelSelector':{'matchLabels':{'app':'web'}}}],'containers':[{"
        "'resources':{'requests':{'cpu':'100m','memory':'64Mi'}}}]}}";
    enum { PODS = 2000 };
    for (int i = 0; i < 1000; i++) {
        struct json *node = a_node(arena_printf(&arena, "n%d", i),
                                   "{'status':{'allocatable':{'cpu':'64','pods':'110'}}}");
        obj_set_label(node, "zone", i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c");
        assert_int_equal(sched_set_node(s, node), 0);
        arena_clear(&arena);
    }
    int64_t spent[2] = {0, 0};
    for (int plain = 0; plain < 2; plain++) {
        int64_t begin = mono_now().us;
        for (int i = 0; i < PODS; i++) {
            struct arena a;
            const char *node;
            arena_init(&a, 0);
            struct json *pod = a_pod(arena_printf(&arena, "p%d-%d", plain, i), more);
            if (plain) {
                (void)json_del(json_get(pod, "spec"), "topologySpreadConstraints");
            }
            assert_int_equal(sched_place(s, &a, pod, NULL, &node, NULL), 0);
            assert_int_equal(sched_assume(s, pod, node), 0);
            arena_fini(&a);
            arena_clear(&arena);
        }
        spent[plain] = MAX_OF(mono_now().us - begin, 1);
    }
    print_message("1000 nodes: %lld pods/s with a spread constraint, %lld pods/s without\n",
                  (long long)(PODS * INT64_C(1000000) / spent[0]),
                  (long long)(PODS * INT64_C(1000000) / spent[1]));
}

/* ---- preemption ---- */

static const char *who_goes(const char *pod, const struct sched_budget *budgets, size_t n_budgets,
                            const char **ret_node)
{
    struct sched_victim *v;
    struct err err = {0};
    const char *names = "";
    size_t n;
    if (sched_preempt(s, &arena, a_pod("new", pod), NULL, budgets, n_budgets, ret_node, &v, &n,
                      &err) < 0) {
        return arena_strdup(&arena, err.text);
    }
    for (size_t i = 0; i < n; i++) {
        names = arena_printf(&arena, "%s%s%s", names, i ? " " : "", v[i].name);
    }
    return names;
}

#define ASKS(cpu, priority)                                           \
    "{'metadata':{'labels':{'app':'x'}},'spec':{'priority':" priority \
    ",'containers':[{'resources':{'requests':{'cpu':'" cpu "'}}}]}}"

static void the_least_important_pods_go_and_no_more_than_needed(void **state)
{
    const char *node = "";
    add_node("n1", "{}");
    add_node("n2", "{}");
    add_pod("a", "n1", ASKS("2", "10"));
    add_pod("b", "n1", ASKS("2", "5"));
    add_pod("c", "n2", ASKS("4", "50"));
    assert_string_equal(who_goes(ASKS("2", "100"), NULL, 0, &node), "b");
    assert_string_equal(node, "n1");
    assert_string_equal(who_goes(ASKS("3", "100"), NULL, 0, &node), "a b");
    assert_string_equal(who_goes(ASKS("2", "5"), NULL, 0, &node),
                        "0/2 nodes are available: 2 No preemption victims found for incoming pod.");
    /* Trying has changed nothing. */
    assert_string_equal(who_goes(ASKS("2", "100"), NULL, 0, &node), "b");
    expect_none(ASKS("1", "0"), "0/2 nodes are available: 2 Insufficient cpu.");
}

static void preemption_breaks_a_budget_only_when_it_must(void **state)
{
    const char *node = "";
    struct selector *sel = NULL;
    assert_int_equal(
        selector_from_json(&arena, json_of("{'matchLabels':{'app':'guarded'}}"), &sel, NULL), 0);
    const struct sched_budget budget = {"d", sel, 0};
    add_node("n1", "{}");
    add_node("n2", "{}");
    add_pod(
        "guarded", "n1",
        "{'metadata':{'labels':{'app':'guarded'}},'spec':{'priority':1,'containers':[{'resources':"
        "{'requests':{'cpu':'4'}}}]}}");
    add_pod("free", "n2", ASKS("4", "20"));
    assert_string_equal(who_goes(ASKS("1", "100"), &budget, 1, &node), "free");
    assert_string_equal(who_goes(ASKS("1", "10"), &budget, 1, &node), "guarded");
}

static void preemption_does_not_help_where_the_node_itself_is_wrong(void **state)
{
    const char *node = "";
    add_node("n1", "{'spec':{'unschedulable':true}}");
    add_pod("a", "n1", ASKS("4", "0"));
    assert_string_equal(who_goes(ASKS("1", "100"), NULL, 0, &node),
                        "0/1 nodes are available: 1 Preemption is not helpful for scheduling.");
}

static void room_that_was_made_is_kept_for_who_made_it(void **state)
{
    add_node("n1", "{}");
    assert_int_equal(sched_nominate(s, a_pod("vip", ASKS("3", "100")), "n1"), 0);
    expect_none(ASKS("2", "0"), "0/1 nodes are available: 1 Insufficient cpu.");
    expect(ASKS("1", "0"), "n1");
    expect(ASKS("2", "200"), "n1"); /* more important */
    sched_unnominate(s, "d", "vip");
    expect(ASKS("2", "0"), "n1");
}

static void extended_resources_are_counted(void **state)
{
    static const char gpu[] =
        "{'spec':{'containers':[{'resources':{'limits':{'example.com/gpu':'1'}}}]}}";
    add_node("n1", "{}");
    add_node("n2", "{'status':{'allocatable':{'example.com/gpu':'1'}}}");
    expect(gpu, "n2");
    add_pod("a", "n2", gpu);
    expect_none(gpu, "0/2 nodes are available: 2 Insufficient example.com/gpu.");
}

static const char *only_n2(void *arg, const char *node, const struct json *labels)
{
    (void)arg;
    return strcmp(json_cstr(json_get(labels, "kubernetes.io/hostname"), ""), "n2") == 0 &&
                   strcmp(node, "n2") == 0
               ? NULL
               : "node(s) had volume node affinity conflict";
}

static void volumes_have_a_say(void **state)
{
    const struct sched_volumes volumes = {only_n2, NULL};
    const char *node = "";
    struct err err = {0};
    add_node("n1", "{}");
    assert_int_equal(sched_place(s, &arena, a_pod("new", "{}"), &volumes, &node, &err), -E_AGAIN);
    assert_string_equal(err.text,
                        "0/1 nodes are available: 1 node(s) had volume node affinity conflict.");
    add_node("n2", "{}");
    assert_int_equal(sched_place(s, &arena, a_pod("new", "{}"), &volumes, &node, &err), 0);
    assert_string_equal(node, "n2");
}

/* The arena fails at one point after the other; the decision must say so or be right. */
static void lack_of_memory_is_told(void **state)
{
    static const char pod[] =
        "{'metadata':{'labels':{'app':'web'},'ownerReferences':[{'uid':'rs','controller':true}]},'spec':{"
        "'nodeSelector':{'zone':'a'},'containers':[{'ports':[{'hostPort':80}],'image':'i'}],"
        "'tolerations':[{'key':'x'}],'topologySpreadConstraints':[{'maxSkew':1,'topologyKey':'zone',"
        "'whenUnsatisfiable':'DoNotSchedule','labelSelector':{'matchLabels':{'app':'web'}}}],'affinity':{"
        "'podAffinity':{'" REQUIRED
        "':[{'labelSelector':{'matchLabels':{'app':'db'}},'topologyKey':'zone'}],"
        "'" PREFERRED
        "':[{'weight':1,'podAffinityTerm':{'labelSelector':{},'topologyKey':'zone'}}]},"
        "'podAntiAffinity':{'" REQUIRED
        "':[{'labelSelector':{'matchLabels':{'app':'no'}},'topologyKey':"
        "'zone'}]},'nodeAffinity':{'" REQUIRED
        "':{'nodeSelectorTerms':[{'matchExpressions':[{'key':'zone',"
        "'operator':'Exists'}]}]}}}}}";
    add_node("n1", "{'metadata':{'labels':{'zone':'a'}}}");
    add_node("n2", "{'spec':{'unschedulable':true,'taints':[{'key':'k','effect':'NoSchedule'}]}}");
    add_pod("db", "n1", "{'metadata':{'labels':{'app':'db'}}}");
    struct json *wanted = a_pod("new", pod);
    for (size_t cap = 64;; cap += 40) {
        struct arena a;
        const char *node = NULL;
        arena_init(&a, cap);
        int r = sched_place(s, &a, wanted, NULL, &node, NULL);
        arena_fini(&a);
        if (r == 0) {
            assert_string_equal(node, "n1");
            break;
        }
        assert_int_equal(r, -E_NOMEM);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(filters_say_why_in_kubernetes_words),
        TEST(a_node_that_is_not_ready_counts_as_tainted),
        TEST(room_is_what_is_left),
        TEST(pods_known_before_their_node_count_when_it_comes),
        TEST(host_ports_are_used_once),
        TEST(node_affinity_chooses),
        TEST(pod_affinity_and_anti_affinity_hold),
        TEST(placed_pods_keep_away_what_they_do_not_bear),
        TEST(hard_spreading_bounds_the_skew),
        TEST(pods_go_where_there_is_room_and_no_brother),
        TEST(soft_taints_and_images_weigh),
        TEST(tolerations_cover_taints_as_kubernetes_says),
        TEST(no_execute_taints_leave_time_as_tolerated),
        TEST(five_thousand_pods_are_placed_in_moments),
        TEST(thousands_of_pods_a_second_find_their_place_among_a_thousand_nodes),
        TEST(the_least_important_pods_go_and_no_more_than_needed),
        TEST(preemption_breaks_a_budget_only_when_it_must),
        TEST(preemption_does_not_help_where_the_node_itself_is_wrong),
        TEST(room_that_was_made_is_kept_for_who_made_it),
        TEST(extended_resources_are_counted),
        TEST(volumes_have_a_say),
        TEST(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

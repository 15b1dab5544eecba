/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patches: the examples of the RFCs, Kubernetes' strategic merge rules, and patches that
 * kubectl 1.32 and a kubelet 1.32 really sent (golden cases from recorded conversations).
 */
#include "patch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "kind.h"

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

/* Cases are written with ' for ", which no case needs. */
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

struct patch_case {
    const char *target, *patch, *want; /* want NULL = refused with `code` */
    int code;
    const char *text;
};

typedef int patch_fn(const struct json *target, const struct json *patch, struct json **ret,
                     struct err *err);

static void check_texts(const char *patch, const struct json *got, const struct json *want)
{
    if (!json_equal(got, want)) {
        CLEANUP(buf_finip) struct buf b = BUF_INIT;
        (void)json_print(&b, got);
        fail_msg("%s gave " STR_FMT, patch, STR_ARG(buf_str(&b)));
    }
}

/* Equality of objects does not see the order of lists' items only; lists compare in order. */
static void run_cases(const struct patch_case *cases, size_t n, patch_fn *fn)
{
    for (size_t i = 0; i < n; i++) {
        struct json *target = json_of(cases[i].target), *patch = json_of(cases[i].patch);
        struct json *target_was = json_clone(&arena, target),
                    *patch_was = json_clone(&arena, patch);
        struct json *out = NULL;
        struct err err = {0};
        int r = fn(target, patch, &out, &err);
        assert_true(json_equal(target, target_was));
        assert_true(json_equal(patch, patch_was));
        if (cases[i].want) {
            if (r < 0) {
                fail_msg("%s: %s", cases[i].patch, err.text);
            }
            check_texts(cases[i].patch, out, json_of(cases[i].want));
        } else {
            if (r != cases[i].code) {
                fail_msg("%s: code %d, %s", cases[i].patch, r, err.text);
            }
            if (cases[i].text && !strstr(err.text, cases[i].text)) {
                fail_msg("%s: %s", cases[i].patch, err.text);
            }
        }
    }
}

static int run_json(const struct json *target, const struct json *patch, struct json **ret,
                    struct err *err)
{
    return patch_json(&arena, target, patch, ret, err);
}

static int run_merge(const struct json *target, const struct json *patch, struct json **ret,
                     struct err *err)
{
    return patch_merge(&arena, target, patch, ret, err);
}

static int run_pod(const struct json *target, const struct json *patch, struct json **ret,
                   struct err *err)
{
    return patch_strategic(&arena, kind_find_api("v1", "Pod")->type, target, patch, ret, err);
}

static int run_deployment(const struct json *target, const struct json *patch, struct json **ret,
                          struct err *err)
{
    return patch_strategic(&arena, kind_find_api("apps/v1", "Deployment")->type, target, patch, ret,
                           err);
}

static int run_node(const struct json *target, const struct json *patch, struct json **ret,
                    struct err *err)
{
    return patch_strategic(&arena, kind_find_api("v1", "Node")->type, target, patch, ret, err);
}

static void json_patches_apply_as_rfc_6902_says(void **state)
{
    static const struct patch_case cases[] = {
        {"{'foo':'bar'}", "[{'op':'add','path':'/baz','value':'qux'}]",
         "{'baz':'qux','foo':'bar'}"},
        {"{'foo':['bar','baz']}", "[{'op':'add','path':'/foo/1','value':'qux'}]",
         "{'foo':['bar','qux','baz']}"},
        {"{'baz':'qux','foo':'bar'}", "[{'op':'remove','path':'/baz'}]", "{'foo':'bar'}"},
        {"{'foo':['a','b','c']}", "[{'op':'remove','path':'/foo/1'}]", "{'foo':['a','c']}"},
        {"{'a':'b'}", "[{'op':'replace','path':'/a','value':null}]", "{'a':null}"},
        {"{'a':[1,2]}", "[{'op':'replace','path':'/a/1','value':3}]", "{'a':[1,3]}"},
        {"{'foo':{'bar':'baz','waldo':'fred'},'qux':{'corge':'grault'}}",
         "[{'op':'move','from':'/foo/waldo','path':'/qux/thud'}]",
         "{'foo':{'bar':'baz'},'qux':{'corge':'grault','thud':'fred'}}"},
        {"{'foo':['all','grass','cows','eat']}", "[{'op':'move','from':'/foo/1','path':'/foo/3'}]",
         "{'foo':['all','cows','eat','grass']}"},
        {"{'a':1}", "[{'op':'move','from':'/a','path':'/a'}]", "{'a':1}"},
        {"{'a':{'b':[1]}}",
         "[{'op':'copy','from':'/a/b','path':'/c'},{'op':'add','path':'/c/-','value':2}]",
         "{'a':{'b':[1]},'c':[1,2]}"},
        {"{'baz':'qux','foo':['a',2,'c']}",
         "[{'op':'test','path':'/baz','value':'qux'},{'op':'test','path':'/foo/1','value':2}]",
         "{'baz':'qux','foo':['a',2,'c']}"},
        {"{'/':9,'~1':10,'m~n':8}",
         "[{'op':'test','path':'/~01','value':10},{'op':'test','path':'/~1','value':9},{'op':'remove','path':'/m~0n'}]",
         "{'/':9,'~1':10}"},
        {"{'a':1}", "[{'op':'add','path':'','value':[1]}]", "[1]"},
        {"{'a':1}",
         "[{'op':'test','path':'','value':{'a':1}},{'op':'replace','path':'','value':{}}]", "{}"},
        {"{'foo':['bar']}", "[{'op':'add','path':'/foo/-','value':['abc','def']}]",
         "{'foo':['bar',['abc','def']]}"},
        {"{'a':1}", "[]", "{'a':1}"},
        {"{'':1}", "[{'op':'replace','path':'/','value':2}]", "{'':2}"},
        {"{'a':null}",
         "[{'op':'test','path':'/a','value':null},{'op':'test','path':'/b','value':null}]",
         "{'a':null}"},
        {"{'a':1}", "{'op':'add'}", NULL, -E_INVAL, "cannot unmarshal object"},
        {"{'a':1}", "[3]", NULL, -E_INVAL, "needs the text 'op'"},
        {"{'a':1}", "[{'op':'add','path':'/b'}]", NULL, -E_INVAL, "needs a value"},
        {"{'a':1}", "[{'op':'add','path':'b','value':1}]", NULL, -E_INVAL, "must start with '/'"},
        {"{'a':1}", "[{'op':'add','path':'/~2','value':1}]", NULL, -E_INVAL, "bad escape"},
        {"{'a':1}", "[{'op':'spam','path':'/b','value':1}]", NULL, -E_INVALID,
         "Unexpected kind: spam"},
        {"{'a':1}", "[{'op':'test','path':'/a','value':2}]", NULL, -E_INVALID,
         "testing path /a failed: test failed"},
        {"{'a':1}", "[{'op':'test','path':'/a','value':'1'}]", NULL, -E_INVALID, "test failed"},
        {"{'a':1}", "[{'op':'replace','path':'/x','value':2}]", NULL, -E_INVALID,
         "replace operation does not apply: doc is missing key: /x: missing value"},
        {"{'a':1}", "[{'op':'remove','path':'/x'}]", NULL, -E_INVALID, "missing value"},
        {"{'a':1}", "[{'op':'remove','path':''}]", NULL, -E_INVALID, "root"},
        {"{'a':1}", "[{'op':'add','path':'/x/y','value':2}]", NULL, -E_INVALID,
         "add operation does not apply: doc is missing path: \"/x/y\": missing value"},
        {"{'a':[1]}", "[{'op':'add','path':'/a/2','value':2}]", NULL, -E_INVALID, "invalid index"},
        {"{'a':[1]}", "[{'op':'add','path':'/a/01','value':2}]", NULL, -E_INVALID, "invalid index"},
        {"{'a':[1]}", "[{'op':'remove','path':'/a/-'}]", NULL, -E_INVALID, "missing value"},
        {"{'a':{'b':1}}", "[{'op':'move','from':'/a','path':'/a/b'}]", NULL, -E_INVALID,
         "lies inside"},
        {"{'a':1}", "[{'op':'copy','from':'/x','path':'/b'}]", NULL, -E_INVALID, "missing value"},
    };
    run_cases(cases, ARRAY_SIZE(cases), run_json);
}

static void a_json_patch_is_bounded(void **state)
{
    struct json *many = json_array(&arena);
    struct json *op = json_of("{'op':'add','path':'/b','value':1}");
    for (int i = 0; i <= LIMIT_PATCH_OPS; i++) {
        json_push(many, op);
    }
    struct json *out;
    struct err err = {0};
    assert_int_equal(run_json(json_of("{}"), many, &out, &err), -E_LIMIT);
    assert_string_equal(err.text,
                        "The allowed maximum operations in a JSON patch is 10000, got 10001");
    /* Copies that double the document, and copies that nest it. */
    struct json *doubling = json_array(&arena);
    struct json *nesting = json_array(&arena);
    for (int i = 0; i < 2000; i++) {
        struct json *copy = json_push(doubling, json_of("{'op':'copy','from':''}"));
        json_set(copy, "path", json_printf(&arena, "/c%d", i));
        json_push(nesting, json_of("{'op':'copy','from':'/a','path':'/a/a'}"));
    }
    assert_int_equal(run_json(json_of("{'a':1}"), doubling, &out, &err), -E_LIMIT);
    assert_int_equal(run_json(json_of("{'a':{'a':{}}}"), nesting, &out, &err), -E_LIMIT);
}

static void merge_patches_apply_as_rfc_7386_says(void **state)
{
    static const struct patch_case cases[] = {
        {"{'a':'b'}", "{'a':'c'}", "{'a':'c'}"},
        {"{'a':'b'}", "{'b':'c'}", "{'a':'b','b':'c'}"},
        {"{'a':'b'}", "{'a':null}", "{}"},
        {"{'a':'b','b':'c'}", "{'a':null}", "{'b':'c'}"},
        {"{'a':['b']}", "{'a':'c'}", "{'a':'c'}"},
        {"{'a':'c'}", "{'a':['b']}", "{'a':['b']}"},
        {"{'a':{'b':'c'}}", "{'a':{'b':'d','c':null}}", "{'a':{'b':'d'}}"},
        {"{'a':[{'b':'c'}]}", "{'a':[1]}", "{'a':[1]}"},
        {"['a','b']", "['c','d']", "['c','d']"},
        {"{'a':'b'}", "['c']", "['c']"},
        {"{'a':'foo'}", "null", "null"},
        {"{'a':'foo'}", "'bar'", "'bar'"},
        {"{'e':null}", "{'a':1}", "{'e':null,'a':1}"},
        {"[1,2]", "{'a':'b','c':null}", "{'a':'b'}"},
        {"{}", "{'a':{'bb':{'ccc':null}}}", "{'a':{'bb':{}}}"},
        /* kubectl label, annotate, scale */
        {"{'metadata':{'labels':{'a':'b','c':'d'}}}", "{'metadata':{'labels':{'a':null}}}",
         "{'metadata':{'labels':{'c':'d'}}}"},
        {"{'spec':{'replicas':3}}", "{'spec':{'replicas':2}}", "{'spec':{'replicas':2}}"},
    };
    run_cases(cases, ARRAY_SIZE(cases), run_merge);
}

static void strategic_patches_merge_lists_by_key(void **state)
{
    static const struct patch_case cases[] = {
        /* kubectl set image */
        {"{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'busybox','command':['sleep']}]}}}}",
         "{'spec':{'template':{'spec':{'$setElementOrder/containers':[{'name':'c'}],'containers':[{'image':'busybox:2','name':'c'}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'busybox:2','command':['sleep']}]}}}}"},
        /* kubectl rollout restart, pause, resume */
        {"{'spec':{'template':{'metadata':{'labels':{'app':'web'}}}}}",
         "{'spec':{'template':{'metadata':{'annotations':{'kubectl.kubernetes.io/restartedAt':'2026-11-20T22:47:22Z'}}}}}",
         "{'spec':{'template':{'metadata':{'labels':{'app':'web'},'annotations':{'kubectl.kubernetes.io/restartedAt':'2026-11-20T22:47:22Z'}}}}}"},
        {"{'spec':{'paused':true}}", "{'spec':{'paused':null}}", "{'spec':{}}"},
        /* a new container behind, one removed, one changed */
        {"{'spec':{'template':{'spec':{'containers':[{'name':'a','image':'1'},{'name':'b','image':'2'}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'name':'a','$patch':'delete'},{'name':'c','image':'3'},{'name':'b','image':'4'}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'name':'b','image':'4'},{'name':'c','image':'3'}]}}}}"},
        {"{'spec':{'template':{'spec':{'containers':[{'name':'a','image':'1'}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'$patch':'replace'},{'name':'z','image':'9'}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'name':'z','image':'9'}]}}}}"},
        /* lists without a merge key are replaced */
        {"{'spec':{'template':{'spec':{'containers':[{'name':'a','command':['x','y']}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'name':'a','command':['z']}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'name':'a','command':['z']}]}}}}"},
        /* $retainKeys: kubectl apply from RollingUpdate to Recreate */
        {"{'spec':{'strategy':{'type':'RollingUpdate','rollingUpdate':{'maxSurge':1}}}}",
         "{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}}",
         "{'spec':{'strategy':{'type':'Recreate'}}}"},
        {"{'spec':{'strategy':{'type':'A'}}}",
         "{'spec':{'strategy':{'$retainKeys':['x'],'type':'Recreate'}}}", NULL, -E_INVAL,
         "invalid patch format of retainKeys"},
        /* $patch in maps */
        {"{'spec':{'selector':{'matchLabels':{'a':'b'}}}}",
         "{'spec':{'selector':{'$patch':'replace','matchLabels':{'c':'d'}}}}",
         "{'spec':{'selector':{'matchLabels':{'c':'d'}}}}"},
        {"{'spec':{'selector':{'matchLabels':{'a':'b'}},'replicas':1}}",
         "{'spec':{'selector':{'$patch':'delete'}}}", "{'spec':{'selector':{},'replicas':1}}"},
        {"{'spec':{}}", "{'spec':{'$patch':'smash'}}", NULL, -E_INVAL, "unknown patch type: smash"},
        {"{'spec':{}}", "[]", NULL, -E_INVAL, "must be an object"},
        {"{'spec':{'template':{'spec':{'containers':[]}}}}",
         "{'spec':{'template':{'spec':{'containers':[{'image':'x'}]}}}}", NULL, -E_INVAL,
         "does not contain declared merge key: name"},
        {"{}", "{'spec':{'template':{'spec':{'containers':[{'name':'x','$patch':'delete'}]}}}}",
         "{'spec':{'template':{'spec':{'containers':[]}}}}"},
        /* finalizers: a list of primitives that merges */
        {"{'metadata':{'finalizers':['a','b']}}",
         "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a'],'finalizers':['c','b']}}",
         "{'metadata':{'finalizers':['b','c']}}"},
        {"{'metadata':{'finalizers':['a','b']}}",
         "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a']}}",
         "{'metadata':{'finalizers':['b']}}"},
        {"{'metadata':{'finalizers':['a','b','x']}}",
         "{'metadata':{'$setElementOrder/finalizers':['c','b','a'],'finalizers':['c']}}",
         "{'metadata':{'finalizers':['x','c','b','a']}}"},
        /* unknown fields (a newer client) fall back to merge patch */
        {"{'spec':{'odd':{'a':1,'l':[1]}}}", "{'spec':{'odd':{'b':2,'l':[2]}}}",
         "{'spec':{'odd':{'a':1,'b':2,'l':[2]}}}"},
        {"{'data':{'a':'1'}}", "{'data':{'b':'2'}}", "{'data':{'a':'1','b':'2'}}"},
    };
    run_cases(cases, ARRAY_SIZE(cases), run_deployment);
}

static void element_order_is_kept_for_what_only_the_server_has(void **state)
{
    static const struct patch_case cases[] = {
        {"{'spec':{'containers':[{'name':'a'},{'name':'side'},{'name':'b'}]}}",
         "{'spec':{'$setElementOrder/containers':[{'name':'b'},{'name':'a'}]}}",
         "{'spec':{'containers':[{'name':'side'},{'name':'b'},{'name':'a'}]}}"},
        {"{'spec':{'containers':[{'name':'a'},{'name':'side'}]}}",
         "{'spec':{'$setElementOrder/containers':[{'name':'n'},{'name':'a'}],'containers':[{'name':'n'}]}}",
         "{'spec':{'containers':[{'name':'side'},{'name':'n'},{'name':'a'}]}}"},
        {"{'spec':{'containers':[{'name':'a'}]}}",
         "{'spec':{'$setElementOrder/containers':[{'name':'a'}],'containers':[{'name':'n'}]}}",
         NULL, -E_INVAL, "doesn't match $setElementOrder list"},
        /* The same merge key twice: both stay, the first is changed. */
        {"{'spec':{'containers':[{'name':'a','ports':[{'containerPort':53,'protocol':'TCP'},{'containerPort':53,'protocol':'UDP'}]}]}}",
         "{'spec':{'containers':[{'name':'a','ports':[{'containerPort':53,'name':'dns'}]}]}}",
         "{'spec':{'containers':[{'name':'a','ports':[{'containerPort':53,'protocol':'TCP','name':'dns'},{'containerPort':53,'protocol':'UDP'}]}]}}"},
        /* volumes: retainKeys with merge */
        {"{'spec':{'volumes':[{'name':'v','emptyDir':{}}]}}",
         "{'spec':{'volumes':[{'$retainKeys':['name','hostPath'],'name':'v','hostPath':{'path':'/x'}}]}}",
         "{'spec':{'volumes':[{'name':'v','hostPath':{'path':'/x'}}]}}"},
        /* tolerations have no merge key: replaced */
        {"{'spec':{'tolerations':[{'key':'a'}]}}", "{'spec':{'tolerations':[{'key':'b'}]}}",
         "{'spec':{'tolerations':[{'key':'b'}]}}"},
        /* A kubelet's status of a pod that starts. */
        {"{'metadata':{'uid':'u'},'status':{'conditions':[{'type':'PodScheduled','status':'True','lastProbeTime':null}],'phase':'Pending'}}",
         "{'metadata':{'uid':'u'},'status':{'$setElementOrder/conditions':[{'type':'PodReadyToStartContainers'},{'type':'Initialized'},{'type':'PodScheduled'}],'conditions':[{'type':'PodReadyToStartContainers','status':'False'},{'type':'Initialized','status':'True'}],'hostIP':'10.0.0.1'}}",
         "{'metadata':{'uid':'u'},'status':{'conditions':[{'type':'PodReadyToStartContainers','status':'False'},{'type':'Initialized','status':'True'},{'type':'PodScheduled','status':'True','lastProbeTime':null}],'phase':'Pending','hostIP':'10.0.0.1'}}"},
    };
    run_cases(cases, ARRAY_SIZE(cases), run_pod);
}

static void a_nodes_conditions_and_taints_patch_as_recorded(void **state)
{
    static const struct patch_case cases[] = {
        {"{'status':{'conditions':[{'type':'MemoryPressure','status':'False','lastHeartbeatTime':'1'},{'type':'Ready','status':'False','lastHeartbeatTime':'1'}]}}",
         "{'status':{'$setElementOrder/conditions':[{'type':'MemoryPressure'},{'type':'Ready'}],'conditions':[{'lastHeartbeatTime':'2','type':'MemoryPressure'},{'lastHeartbeatTime':'2','status':'True','type':'Ready'}]}}",
         "{'status':{'conditions':[{'type':'MemoryPressure','status':'False','lastHeartbeatTime':'2'},{'type':'Ready','status':'True','lastHeartbeatTime':'2'}]}}"},
        /* kubectl taint sends the whole list; taints have no merge key. */
        {"{'spec':{'taints':[{'key':'a','effect':'NoSchedule'}]}}",
         "{'spec':{'taints':[{'effect':'NoSchedule','key':'k','value':'v'}]}}",
         "{'spec':{'taints':[{'effect':'NoSchedule','key':'k','value':'v'}]}}"},
        {"{'spec':{'taints':[{'key':'a'}]}}", "{'spec':{'taints':null}}", "{'spec':{}}"},
        {"{'spec':{'podCIDR':'x'}}", "{'spec':{'unschedulable':true}}",
         "{'spec':{'podCIDR':'x','unschedulable':true}}"},
        {"{'status':{'addresses':[{'type':'InternalIP','address':'1'}]}}",
         "{'status':{'addresses':[{'$patch':'replace'},{'type':'Hostname','address':'n'}]}}",
         "{'status':{'addresses':[{'type':'Hostname','address':'n'}]}}"},
    };
    run_cases(cases, ARRAY_SIZE(cases), run_node);
}

static void deep_patches_are_refused_not_followed(void **state)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct json *j = NULL, *out;
    for (int i = 0; i < LIMIT_JSON_DEPTH - 1; i++) {
        (void)buf_puts(&b, "{\"a\":");
    }
    (void)buf_puts(&b, "1");
    for (int i = 0; i < LIMIT_JSON_DEPTH - 1; i++) {
        (void)buf_putc(&b, '}');
    }
    assert_int_equal(json_parse(&arena, buf_str(&b), NULL, &j, NULL), 0);
    assert_int_equal(run_merge(j, j, &out, NULL), 0);
    assert_true(json_equal(out, j));
    struct json *deeper = j;
    for (int i = 0; i < 10; i++) {
        struct json *outer = json_object(&arena);
        json_set(outer, "a", deeper);
        deeper = outer;
    }
    assert_int_equal(run_merge(deeper, deeper, &out, NULL), -E_LIMIT);
    assert_int_equal(run_pod(deeper, deeper, &out, NULL), -E_LIMIT);
}

/* The arena fails at one point after the other. */
static void lack_of_memory_is_told(void **state)
{
    struct json *target =
        json_of("{'metadata':{'finalizers':['a','b']},'spec':{'containers':[{'name':'a'},{"
                "'name':'side'}],'volumes':[{'name':'v','emptyDir':{}}]}}");
    struct json *patch = json_of(
        "{'metadata':{'$deleteFromPrimitiveList/finalizers':['a'],'finalizers':['c']},'spec':{"
        "'$setElementOrder/containers':[{'name':'n'},{'name':'a'}],'containers':[{'name':'n'},{'name':'side',"
        "'$patch':'delete'}],'volumes':[{'$retainKeys':['name','hostPath'],'name':'v','hostPath':{}}]}}");
    struct json *ops =
        json_of("[{'op':'copy','from':'/spec','path':'/x~1y'},{'op':'move','from':"
                "'/metadata','path':'/m'},{'op':'add','path':'/spec/containers/0','value':{}}]");
    for (int fn = 0; fn < 3; fn++) {
        int r = -E_NOMEM;
        for (size_t cap = 64; r == -E_NOMEM; cap += 40) {
            struct arena a;
            struct json *out = NULL;
            arena_init(&a, cap);
            r = fn == 0   ? patch_json(&a, target, ops, &out, NULL)
                : fn == 1 ? patch_merge(&a, target, patch, &out, NULL)
                          : patch_strategic(&a, kind_find_api("v1", "Pod")->type, target, patch,
                                            &out, NULL);
            arena_fini(&a);
        }
        assert_int_equal(r, 0);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(json_patches_apply_as_rfc_6902_says),
        TEST(a_json_patch_is_bounded),
        TEST(merge_patches_apply_as_rfc_7386_says),
        TEST(strategic_patches_merge_lists_by_key),
        TEST(element_order_is_kept_for_what_only_the_server_has),
        TEST(a_nodes_conditions_and_taints_patch_as_recorded),
        TEST(deep_patches_are_refused_not_followed),
        TEST(lack_of_memory_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

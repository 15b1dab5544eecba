/* SPDX-License-Identifier: Apache-2.0 */
/* What `kubectl get` shows of pods and nodes in all their states. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/table.h"
#include "base/mem.h"

static struct json *row(struct arena *a, const char *plural, const char *text)
{
    const struct kind *k = kind_find("", "v1", plural);
    struct json *obj = NULL, *t;
    struct wall now;
    struct err err;
    assert_int_equal(time_parse(STR_LIT("2026-11-21T12:00:00Z"), &now), 0);
    if (json_parse(a, str_of(text), NULL, &obj, &err) < 0) {
        fail_msg("%s", err.text);
    }
    t = table_new(a, k, NULL, false);
    table_add(a, t, k, obj, TABLE_NONE, now);
    return json_get(json_at(json_get(t, "rows"), 0), "cells");
}

static void the_state_of_a_pod_is_told_in_kubectls_words(void **state)
{
    static const struct {
        const char *pod, *ready, *status, *restarts;
    } cases[] = {
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Pending\"}}", "0/1",
         "Pending", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]},\"status\":{\"phase\":"
         "\"Running\",\"containerStatuses\":[{\"name\":\"a\",\"ready\":true,\"state\":{\"running\":{}}},"
         "{\"name\":\"b\",\"ready\":false,\"restartCount\":3,\"state\":{\"waiting\":{\"reason\":"
         "\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{\"finishedAt\":"
         "\"2026-11-21T11:57:00Z\"}}}]}}",
         "1/2", "CrashLoopBackOff", "3 (3m ago)"},
        {"{\"spec\":{\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"a\"}]},"
         "\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{"
         "\"running\":{}}}]}}",
         "0/1", "Init:0/1", "0"},
        {"{\"spec\":{\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"a\"}]},"
         "\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{"
         "\"terminated\":{\"exitCode\":2}}}]}}",
         "0/1", "Init:ExitCode:2", "0"},
        {"{\"spec\":{\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\"}],\"containers\":[{"
         "\"name\":\"a\"}]},\"status\":{\"phase\":\"Running\",\"initContainerStatuses\":[{\"name\":\"s\","
         "\"started\":true,\"ready\":true,\"state\":{\"running\":{}}}],\"containerStatuses\":[{\"name\":"
         "\"a\",\"ready\":true,\"state\":{\"running\":{}}}]}}",
         "2/2", "Running", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Succeeded\","
         "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"reason\":\"Completed\","
         "\"exitCode\":0}}}]}}",
         "0/1", "Completed", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Failed\","
         "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"signal\":9}}}]}}",
         "0/1", "Signal:9", "0"},
        {"{\"metadata\":{\"deletionTimestamp\":\"2026-11-21T12:00:00Z\"},\"spec\":{\"containers\":[{"
         "\"name\":\"a\"}]},\"status\":{\"phase\":\"Running\"}}",
         "0/1", "Terminating", "0"},
        {"{\"metadata\":{\"deletionTimestamp\":\"2026-11-21T12:00:00Z\"},\"spec\":{\"containers\":[{"
         "\"name\":\"a\"}]},\"status\":{\"phase\":\"Running\",\"reason\":\"NodeLost\"}}",
         "0/1", "Unknown", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Failed\",\"reason\":"
         "\"Evicted\"}}",
         "0/1", "Evicted", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Pending\",\"conditions\":[{"
         "\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":\"SchedulingGated\"}]}}",
         "0/1", "SchedulingGated", "0"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json *cells = row(&a, "pods", cases[i].pod);
        assert_string_equal(json_cstr(json_at(cells, 1), ""), cases[i].ready);
        assert_string_equal(json_cstr(json_at(cells, 2), ""), cases[i].status);
        assert_string_equal(json_cstr(json_at(cells, 3), ""), cases[i].restarts);
        arena_fini(&a);
    }
}

static void a_node_tells_whether_it_takes_pods(void **state)
{
    static const struct {
        const char *node, *status, *roles;
    } cases[] = {
        {"{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}", "Ready",
         "<none>"},
        {"{\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
         "\"Unknown\"}]}}",
         "NotReady,SchedulingDisabled", "<none>"},
        {"{\"metadata\":{\"labels\":{\"node-role.kubernetes.io/edge\":\"\",\"kubernetes.io/role\":\"a\"}}}",
         "Unknown", "a,edge"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json *cells = row(&a, "nodes", cases[i].node);
        assert_string_equal(json_cstr(json_at(cells, 1), ""), cases[i].status);
        assert_string_equal(json_cstr(json_at(cells, 2), ""), cases[i].roles);
        arena_fini(&a);
    }
}

static void a_table_names_its_columns_once(void **state)
{
    (void)state;
    struct arena a;
    size_t n;
    const struct kind *const *all = kinds_all(&n);
    arena_init(&a, 0);
    for (size_t i = 0; i < n; i++) {
        struct json *t = table_new(&a, all[i], NULL, true);
        const struct json *columns = json_get(t, "columnDefinitions");
        assert_int_equal(json_len(columns), all[i]->columns_n);
        JSON_FOR_EACH (c, columns) {
            assert_string_not_equal(json_path_cstr(c, "description", ""), "");
        }
        struct json *later = table_new(&a, all[i], NULL, false);
        assert_true(json_is(json_get(later, "columnDefinitions"), JSON_NULL));
    }
    arena_fini(&a);
}

/* The cells of one object of a kind, without its name and its age (the objects have neither). */
static void tells(const char *api_version, const char *kind, const char *object, const char *wanted)
{
    struct arena a;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    struct json *obj = NULL, *t;
    struct wall now;
    arena_init(&a, 0);
    char *quoted = arena_strdup(&a, object);
    for (char *p = quoted; *p; p++) {
        *p = *p == '\'' ? '"' : *p; /* JSON in C is hard to read */
    }
    assert_int_equal(json_parse(&a, str_of(quoted), NULL, &obj, NULL), 0);
    assert_int_equal(time_parse(STR_LIT("2026-11-21T12:00:00Z"), &now), 0);
    const struct kind *k = kind_find_api(api_version, kind);
    assert_non_null(k);
    t = table_new(&a, k, NULL, false);
    table_add(&a, t, k, obj, TABLE_NONE, now);
    JSON_FOR_EACH (cell, json_get(json_at(json_get(t, "rows"), 0), "cells")) {
        const char *text = json_cstr(cell, NULL);
        if (text && (!*text || strcmp(text, "<unknown>") == 0)) {
            continue; /* no name, no age */
        }
        buf_puts(&out, buf_len(&out) ? "|" : "");
        if (text) {
            buf_puts(&out, text);
        } else {
            (void)json_print(&out, cell);
        }
    }
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), wanted);
    arena_fini(&a);
}

static void workloads_tell_how_far_they_are(void **state)
{
    (void)state;
    tells("batch/v1", "Job",
          "{'spec':{'completions':3},'status':{'succeeded':1,'startTime':'2026-11-21T11:58:30Z'}}",
          "Running|1/3|90s|<none>");
    tells(
        "batch/v1", "Job",
        "{'spec':{'parallelism':4},'status':{'succeeded':1,'startTime':'2026-11-21T11:58:30Z',"
        "'completionTime':'2026-11-21T11:58:37Z','conditions':[{'type':'Complete','status':'True'}]}}",
        "Complete|1/1 of 4|7s|<none>");
    tells("batch/v1", "Job", "{'status':{'conditions':[{'type':'Suspended','status':'True'}]}}",
          "Suspended|0/1|<none>");
    tells(
        "batch/v1", "CronJob",
        "{'spec':{'schedule':'@daily','suspend':true,'timeZone':'UTC'},'status':{'active':[{},{}],"
        "'lastScheduleTime':'2026-11-21T11:00:00Z'}}",
        "@daily|UTC|True|2|60m|<none>");
    tells(
        "apps/v1", "ControllerRevision",
        "{'revision':2,'metadata':{'ownerReferences':[{'apiVersion':'apps/v1','kind':'StatefulSet',"
        "'name':'web','controller':true}]}}",
        "statefulset.apps/web|2");
    tells("apps/v1", "DaemonSet",
          "{'spec':{'selector':{'matchLabels':{'a':'b'}},'template':{'spec':{'nodeSelector':"
          "{'z':'1','y':'2'},'containers':[{'name':'c','image':'i'},{'name':'d','image':'j'}]}}},"
          "'status':{'desiredNumberScheduled':2,'numberReady':1}}",
          "2|0|1|0|0|y=2,z=1|c,d|i,j|a=b");
}

static void autoscalers_tell_what_they_measure(void **state)
{
    (void)state;
    tells(
        "autoscaling/v2", "HorizontalPodAutoscaler",
        "{'spec':{'scaleTargetRef':{'kind':'Deployment','name':'d'},'minReplicas':2,'maxReplicas':9,"
        "'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{'averageUtilization':80}}},"
        "{'type':'Pods','pods':{'target':{'averageValue':'1k'}}},{'type':'External','external':{}}]},"
        "'status':{'currentReplicas':3,'currentMetrics':[{'type':'Resource','resource':{'name':'cpu',"
        "'current':{'averageUtilization':12}}},{'type':'Pods','pods':{'current':{'averageValue':"
        "'500'}}}]}}",
        "Deployment/d|cpu: 12%/80%, 500/1k + 1 more...|2|9|3");
    tells("autoscaling/v2", "HorizontalPodAutoscaler",
          "{'spec':{'scaleTargetRef':{'kind':'D','name':'d'},'maxReplicas':9,'metrics':[{'type':"
          "'Object','object':{'target':{'averageValue':'2'}}},{'type':'ContainerResource',"
          "'containerResource':{'name':'memory','target':{'averageValue':'1Gi'}}}]}}",
          "D/d|<unknown>/2 (avg), memory: <unknown>/1Gi|<unset>|9|0");
}

static void networks_tell_where_they_lead(void **state)
{
    (void)state;
    tells(
        "v1", "Service",
        "{'spec':{'type':'LoadBalancer','clusterIPs':['10.0.0.1'],'externalIPs':['9.9.9.9'],'ports':"
        "[{'port':80,'nodePort':30080,'protocol':'TCP'},{'port':53,'protocol':'UDP'}],'selector':"
        "{'b':'2','a':'1'}},'status':{'loadBalancer':{'ingress':[{'hostname':'lb'},{'ip':'1.1.1.1'},"
        "{'ip':'1.1.1.1'}]}}}",
        "LoadBalancer|10.0.0.1|1.1.1.1,lb,9.9.9.9|80:30080/TCP,53/UDP|a=1,b=2");
    tells("v1", "Endpoints",
          "{'subsets':[{'addresses':[{'ip':'::1'}]},{'addresses':[{'ip':'1.1.1.1'}],"
          "'ports':[{'port':1}]}]}",
          "::1,1.1.1.1:1");
    tells("discovery.k8s.io/v1", "EndpointSlice", "{'addressType':'IPv4'}", "IPv4|<unset>|<unset>");
    tells("networking.k8s.io/v1", "Ingress",
          "{'spec':{'rules':[{'host':'a'},{},{'host':'b'},{'host':'c'},{'host':'d'}]}}",
          "<none>|a,b,c + 1 more...|80");
    tells(
        "networking.k8s.io/v1", "NetworkPolicy",
        "{'spec':{'podSelector':{'matchExpressions':[{'key':'x','operator':'In','values':['2','1']}]}}}",
        "x in (1,2)");
}

static void storage_tells_what_there_is(void **state)
{
    (void)state;
    tells("v1", "PersistentVolume",
          "{'spec':{'capacity':{'storage':'1Gi'},'accessModes':['ReadWriteOncePod','ReadOnlyMany'],"
          "'persistentVolumeReclaimPolicy':'Retain','claimRef':{'namespace':'n','name':'c'}},"
          "'status':{'phase':'Bound'}}",
          "1Gi|ROX,RWOP|Retain|Bound|n/c|<unset>|<unset>");
    tells("v1", "PersistentVolumeClaim",
          "{'metadata':{'deletionTimestamp':'2026-11-21T12:00:00Z'},'spec':{'volumeName':'v',"
          "'storageClassName':'s','volumeMode':'Block'},'status':{'phase':'Bound','accessModes':"
          "['ReadWriteOnce'],'capacity':{'storage':'2Gi'}}}",
          "Terminating|v|2Gi|RWO|s|<unset>|Block");
    tells("storage.k8s.io/v1", "CSIDriver",
          "{'spec':{'attachRequired':false,'tokenRequests':[{'audience':'a'},{'audience':'b'}]}}",
          "false|false|false|a,b|false|<none>");
}

static void policies_tell_what_they_allow(void **state)
{
    (void)state;
    tells(
        "v1", "ResourceQuota",
        "{'status':{'hard':{'pods':'2','limits.cpu':'4','cpu':'1'},'used':{'pods':'1','cpu':'500m'}}}",
        "cpu: 500m/1, pods: 1/2|limits.cpu: 0/4");
    tells("policy/v1", "PodDisruptionBudget",
          "{'spec':{'maxUnavailable':'25%'},'status':{'disruptionsAllowed':1}}", "N/A|25%|1");
    tells(
        "rbac.authorization.k8s.io/v1", "RoleBinding",
        "{'roleRef':{'kind':'Role','name':'r'},'subjects':[{'kind':'User','name':'u'},{'kind':'User',"
        "'name':'v'},{'kind':'ServiceAccount','namespace':'n','name':'s'}]}",
        "Role/r|u, v|n/s");
    tells("certificates.k8s.io/v1", "CertificateSigningRequest",
          "{'spec':{'signerName':'a/b','username':'u','expirationSeconds':86400},'status':{"
          "'certificate':'eA==','conditions':[{'type':'Approved','status':'True'}]}}",
          "a/b|u|24h|Approved,Issued");
    tells(
        "metrics.k8s.io/v1beta1", "PodMetrics",
        "{'window':'10s','containers':[{'usage':{'cpu':'1m','memory':'1Mi'}},{'usage':{'cpu':'2m',"
        "'memory':'2Mi'}}]}",
        "3m|3Mi|10s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_of_a_pod_is_told_in_kubectls_words),
        cmocka_unit_test(a_node_tells_whether_it_takes_pods),
        cmocka_unit_test(a_table_names_its_columns_once),
        cmocka_unit_test(workloads_tell_how_far_they_are),
        cmocka_unit_test(autoscalers_tell_what_they_measure),
        cmocka_unit_test(networks_tell_where_they_lead),
        cmocka_unit_test(storage_tells_what_there_is),
        cmocka_unit_test(policies_tell_what_they_allow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

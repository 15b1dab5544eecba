/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parts of the node agent: environment, status, back-off, files of pods. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/object.h"
#include "backoff.h"
#include "base/mem.h"
#include "pod_env.h"
#include "pod_files.h"
#include "pod_status.h"
#include "pod_volumes.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static struct json *parse(const char *text)
{
    struct json *j = NULL;
    struct err err;
    if (json_parse(&arena, str_of(text), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

/* ---- $(VAR) ---- */

static void names_in_parentheses_are_replaced_and_everything_else_stays(void **state)
{
    static const char *const env[] = {"A=a", "EMPTY=", "AB=ab", NULL};
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},           {"$(A)", "a"},     {"x$(A)y", "xay"}, {"$(AB)$(A)", "aba"},
        {"$(NO)", "$(NO)"}, {"$$(A)", "$(A)"}, {"$$$(A)", "$a"},  {"$$$$(A)", "$$(A)"},
        {"$A", "$A"},       {"$", "$"},        {"$(A", "$(A"},    {"$()", "$()"},
        {"$(EMPTY)", ""},   {"a$$b", "a$b"},   {"$(A))", "a)"},   {"$((A))", "$((A))"},
        {"100%", "100%"},   {"$(A)$", "a$"},   {"é$(A)", "éa"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_string_equal(env_expand(&arena, cases[i].in, env), cases[i].out);
    }
}

/* ---- environment ---- */

static struct json *cluster(void *arg, struct arena *a, const char *resource, const char *ns,
                            const char *name)
{
    (void)arg;
    (void)a;
    if (!cstr_eq(ns, "ns")) {
        return NULL;
    }
    if (cstr_eq(resource, "configmaps") && cstr_eq(name, "m")) {
        return parse(
            "{\"data\":{\"f1\":\"hello\",\"bad=name\":\"x\"},\"binaryData\":{\"b\":\"AAE=\"}}");
    }
    if (cstr_eq(resource, "secrets") && cstr_eq(name, "s")) {
        return parse("{\"data\":{\"pw\":\"c2ho\"}}");
    }
    return NULL;
}

static const char *const image_env[] = {"PATH=/bin", "B=image", NULL};

static struct env_input input(const char *container)
{
    static const char *const ips[] = {"10.0.0.7", "fd00::7", NULL};
    return (struct env_input){
        .pod = parse("{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\",\"uid\":\"u-1\","
                     "\"labels\":{\"app\":\"e\"},\"annotations\":{\"note\":\"a \\\"b\\\"\"}},"
                     "\"spec\":{\"serviceAccountName\":\"sa\"}}"),
        .container = parse(container),
        .pod_ips = ips,
        .host_ip = "192.0.2.1",
        .node_name = "n1",
        .hostname = "web",
        .image_env = image_env,
        .allocatable = parse("{\"cpu\":\"2\",\"memory\":\"1Gi\"}"),
        .get = cluster,
    };
}

static const char *value_of(const char *const *env, const char *name)
{
    for (size_t i = 0, n = strlen(name); env[i]; i++) {
        if (strncmp(env[i], name, n) == 0 && env[i][n] == '=') {
            return env[i] + n + 1;
        }
    }
    return NULL;
}

static void variables_come_from_everywhere_and_later_ones_win(void **state)
{
    struct env_input in = input(
        "{\"envFrom\":[{\"configMapRef\":{\"name\":\"m\"}},{\"prefix\":\"S_\",\"secretRef\":{\"name\":\"s\"}},"
        "{\"configMapRef\":{\"name\":\"none\",\"optional\":true}}],"
        "\"env\":[{\"name\":\"B\",\"value\":\"b\"},{\"name\":\"C\",\"value\":\"$(B)/c\"},"
        "{\"name\":\"EARLY\",\"value\":\"x$(LATE)\"},{\"name\":\"LATE\",\"value\":\"z\"},"
        "{\"name\":\"P\",\"value\":\"$(PATH)\"},{\"name\":\"f1\",\"value\":\"mine\"},"
        "{\"name\":\"PW\",\"valueFrom\":{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"pw\"}}},"
        "{\"name\":\"NONE\",\"valueFrom\":{\"configMapKeyRef\":{\"name\":\"m\",\"key\":\"no\",\"optional\":true}}},"
        "{\"name\":\"LABEL\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.labels['app']\"}}},"
        "{\"name\":\"IPS\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"status.podIPs\"}}},"
        "{\"name\":\"NODE\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"spec.nodeName\"}}},"
        "{\"name\":\"MEM\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.memory\",\"divisor\":\"1Mi\"}}},"
        "{\"name\":\"CPU\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"requests.cpu\",\"divisor\":\"1m\"}}},"
        "{\"name\":\"CPUS\",\"valueFrom\":{\"resourceFieldRef\":{\"resource\":\"limits.cpu\"}}}],"
        "\"resources\":{\"requests\":{\"cpu\":\"50m\"},\"limits\":{\"memory\":\"32Mi\"}}}");
    static const struct {
        const char *name, *value;
    } wanted[] = {
        {"PATH", "/bin"},
        {"B", "b"},
        {"C", "b/c"},
        {"EARLY", "x$(LATE)"},
        {"LATE", "z"},
        {"f1", "mine"},
        {"S_pw", "shh"},
        {"PW", "shh"},
        {"LABEL", "e"},
        {"NODE", "n1"},
        {"IPS", "10.0.0.7,fd00::7"},
        {"MEM", "32"},
        {"CPU", "50"},
        {"CPUS", "2"},
        {"HOSTNAME", "web"},
        {"P", "$(PATH)"},
    };
    const char *const *env;
    struct err err;
    (void)state;
    if (env_build(&in, &arena, &env, &err) < 0) {
        fail_msg("%s", err.text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(wanted); i++) {
        assert_string_equal(value_of(env, wanted[i].name), wanted[i].value);
    }
    assert_null(value_of(env, "NONE"));
    assert_null(value_of(env, "bad"));
}

static void what_is_missing_is_told_in_a_kubelets_words(void **state)
{
    static const struct {
        const char *from, *text;
    } cases[] = {
        {"{\"configMapKeyRef\":{\"name\":\"late\",\"key\":\"a\"}}", "configmap \"late\" not found"},
        {"{\"secretKeyRef\":{\"name\":\"late\",\"key\":\"a\"}}", "secret \"late\" not found"},
        {"{\"configMapKeyRef\":{\"name\":\"m\",\"key\":\"a\"}}",
         "couldn't find key a in ConfigMap ns/m"},
        {"{\"secretKeyRef\":{\"name\":\"s\",\"key\":\"a\"}}", "couldn't find key a in Secret ns/s"},
        {"{\"fieldRef\":{\"fieldPath\":\"spec.nothing\"}}", "unsupported fieldPath: spec.nothing"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[300];
        const char *const *env;
        struct err err = {0};
        (void)snprintf(text, sizeof(text), "{\"env\":[{\"name\":\"X\",\"valueFrom\":%s}]}",
                       cases[i].from);
        struct env_input in = input(text);
        assert_true(env_build(&in, &arena, &env, &err) < 0);
        assert_string_equal(err.text, cases[i].text);
    }
}

static void command_and_args_stand_over_the_images_own(void **state)
{
    static const char *const entry[] = {"/entry", NULL}, *const cmd[] = {"cmd", NULL},
                             *const none[] = {NULL};
    static const char *const env[] = {"W=word", NULL};
    static const struct {
        const char *container, *argv;
    } cases[] = {
        {"{}", "/entry cmd"},
        {"{\"args\":[\"$(W)\"]}", "/entry word"},
        {"{\"command\":[\"sh\"]}", "sh"},
        {"{\"command\":[\"sh\"],\"args\":[\"-c\",\"$$(W)\"]}", "sh -c $(W)"},
    };
    const char *const *argv;
    struct err err;
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[100] = "";
        assert_int_equal(env_argv(&arena, parse(cases[i].container), entry, cmd, env, &argv, NULL),
                         0);
        for (size_t k = 0; argv[k]; k++) {
            (void)strncat(text, k ? " " : "", 2);
            (void)strncat(text, argv[k], 30);
        }
        assert_string_equal(text, cases[i].argv);
    }
    assert_int_equal(env_argv(&arena, parse("{}"), none, none, env, &argv, &err), -E_INVAL);
    assert_string_equal(err.text, "no command specified");
}

/* ---- volumes ---- */

static void a_plan_holds_the_files_of_every_volume(void **state)
{
    struct env_input in = input("{}");
    struct volume_plan *plan = NULL;
    struct err err;
    (void)state;
    struct json *pod = json_clone(&arena, in.pod);
    json_set(
        json_get(pod, "spec"), "volumes",
        parse(
            "[{\"name\":\"m\",\"configMap\":{\"name\":\"m\",\"items\":[{\"key\":\"f1\",\"path\":\"deep/er\",\"mode\":256}]}},"
            "{\"name\":\"s\",\"secret\":{\"secretName\":\"s\",\"defaultMode\":256}},"
            "{\"name\":\"e\",\"emptyDir\":{\"medium\":\"Memory\",\"sizeLimit\":\"1Mi\"}},"
            "{\"name\":\"h\",\"hostPath\":{\"path\":\"/srv\",\"type\":\"Directory\"}},"
            "{\"name\":\"d\",\"downwardAPI\":{\"items\":[{\"path\":\"labels\",\"fieldRef\":{\"fieldPath\":\"metadata.labels\"}},"
            "{\"path\":\"notes\",\"fieldRef\":{\"fieldPath\":\"metadata.annotations\"}}]}},"
            "{\"name\":\"o\",\"configMap\":{\"name\":\"none\",\"optional\":true}}]"));
    in.pod = pod;
    if (volumes_plan(&in, "/v", false, &plan, &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(plan->n, 6);
    assert_string_equal(plan->items[0].dir, "/v/kubernetes.io~configmap/m");
    assert_int_equal(plan->items[0].n_files, 1);
    assert_string_equal(plan->items[0].files[0].path, "deep/er");
    assert_int_equal(plan->items[0].files[0].mode, 0400);
    assert_memory_equal(plan->items[0].files[0].data, "hello", 5);
    assert_true(plan->items[1].memory);
    assert_int_equal(plan->items[1].files[0].mode, 0400);
    assert_memory_equal(plan->items[1].files[0].data, "shh", 3);
    assert_true(plan->items[2].kind == VOLUME_EMPTY && plan->items[2].memory);
    assert_int_equal(plan->items[2].size, 1 << 20);
    assert_string_equal(plan->items[3].dir, "/srv");
    assert_memory_equal(plan->items[4].files[0].data, "app=\"e\"", 7);
    assert_memory_equal(plan->items[4].files[1].data, "note=\"a \\\"b\\\"\"", 14);
    assert_int_equal(plan->items[5].n_files, 0);
    volumes_plan_free(plan);

    json_set(json_get(pod, "spec"), "volumes",
             parse("[{\"name\":\"x\",\"configMap\":{\"name\":\"none\"}}]"));
    assert_true(volumes_plan(&in, "/v", false, &plan, &err) < 0);
    assert_string_equal(err.text,
                        "MountVolume.SetUp failed for volume \"x\" : configmap \"none\" not found");
    json_set(json_get(pod, "spec"), "volumes",
             parse("[{\"name\":\"x\",\"nfs\":{\"server\":\"s\"}}]"));
    assert_int_equal(volumes_plan(&in, "/v", false, &plan, &err), -E_NOTSUP);
}

static const char *token_of(void *arg, const char *audience, int64_t seconds)
{
    (void)arg;
    return cstr_eq(audience, "vault") && seconds == 600 ? "the token" : NULL;
}

static void a_token_or_ca_that_is_missing_leaves_its_file_out(void **state)
{
    struct env_input in = input("{}");
    struct volume_plan *plan = NULL;
    struct err err;
    (void)state;
    struct json *pod = json_clone(&arena, in.pod);
    json_set(
        json_get(pod, "spec"), "volumes",
        parse("[{\"name\":\"p\",\"projected\":{\"sources\":[{\"serviceAccountToken\":{\"audience\":"
              "\"vault\",\"expirationSeconds\":600,\"path\":\"vault\"}},{\"serviceAccountToken\":{"
              "\"expirationSeconds\":3607,\"path\":\"token\"}},{\"configMap\":{\"name\":"
              "\"kube-root-ca.crt\",\"items\":[{\"key\":\"ca.crt\",\"path\":\"ca.crt\"}]}}]}}]"));
    in.pod = pod;
    in.token = token_of;
    assert_int_equal(volumes_plan(&in, "/v", false, &plan, &err), 0);
    assert_int_equal(plan->items[0].n_files, 1);
    assert_true(plan->items[0].memory);
    assert_string_equal(plan->items[0].files[0].path, "vault");
    assert_memory_equal(plan->items[0].files[0].data, "the token", 9);
    volumes_plan_free(plan);
    json_set(json_get(pod, "spec"), "volumes",
             parse("[{\"name\":\"p\",\"projected\":{\"sources\":[{\"clusterTrustBundle\":{\"path\":"
                   "\"x\"}}]}}]"));
    assert_int_equal(volumes_plan(&in, "/v", false, &plan, &err), -E_NOTSUP);
}

/* ---- files ---- */

static void a_hosts_file_names_the_pod_and_its_aliases(void **state)
{
    static const char *const ips[] = {"10.0.0.7", NULL};
    const struct json *pod = parse(
        "{\"metadata\":{\"name\":\"web\",\"namespace\":\"ns\"},\"spec\":{\"subdomain\":\"sub\","
        "\"hostAliases\":[{\"ip\":\"192.0.2.9\",\"hostnames\":[\"a\",\"b\"]}]}}");
    (void)state;
    const char *text = pod_hosts_file(&arena, pod, "web", ips, "");
    assert_non_null(strstr(text, "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
    assert_non_null(strstr(text, "10.0.0.7\tweb.sub.ns.svc.cluster.local\tweb\n"));
    assert_non_null(strstr(text, "# Entries added by HostAliases.\n192.0.2.9\ta\tb\n"));
    const struct json *host = parse("{\"spec\":{\"hostNetwork\":true}}");
    assert_string_equal(pod_hosts_file(&arena, host, "n1", ips, "127.0.0.1 n1\n"),
                        "# Kubernetes-managed hosts file (host network).\n127.0.0.1 n1\n");
}

static void the_resolver_is_the_nodes_or_the_pods_own(void **state)
{
    static const char host[] =
        "# comment\nnameserver 192.0.2.53\nsearch example\noptions timeout:1\nnameserver 192.0.2.54";
    (void)state;
    assert_string_equal(
        pod_resolv_file(&arena, parse("{\"spec\":{\"dnsPolicy\":\"ClusterFirst\"}}"), host),
        "search example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\noptions timeout:1\n");
    assert_string_equal(
        pod_resolv_file(
            &arena,
            parse(
                "{\"spec\":{\"dnsPolicy\":\"None\",\"dnsConfig\":{\"nameservers\":[\"10.0.0.1\"],"
                "\"searches\":[\"x\",\"y\"],\"options\":[{\"name\":\"ndots\",\"value\":\"2\"},{\"name\":\"edns0\"}]}}}"),
            host),
        "search x y\nnameserver 10.0.0.1\noptions ndots:2 edns0\n");
}

static void a_host_name_is_at_most_63_characters(void **state)
{
    char name[120], text[300];
    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[62] = '-';
    name[sizeof(name) - 1] = '\0';
    (void)snprintf(text, sizeof(text), "{\"metadata\":{\"name\":\"%s\"}}", name);
    assert_int_equal(strlen(pod_hostname(&arena, parse(text), "n1")), 62);
    assert_string_equal(pod_hostname(&arena, parse("{\"spec\":{\"hostNetwork\":true}}"), "n1"),
                        "n1");
    assert_string_equal(
        pod_hostname(&arena, parse("{\"metadata\":{\"name\":\"p\"},\"spec\":{\"hostname\":\"h\"}}"),
                     "n1"),
        "h");
}

/* ---- back-off ---- */

static void restarts_wait_longer_each_time_and_are_forgiven_after_ten_minutes(void **state)
{
    struct backoff b = {0};
    struct mono now = {1000000}, ended = now;
    static const int seconds[] = {10, 20, 40, 80, 160, 300, 300};
    (void)state;
    assert_int_equal(backoff_wait(&b, now, ended), 0);
    for (size_t i = 0; i < ARRAY_SIZE(seconds); i++) {
        backoff_next(&b, now);
        assert_int_equal(backoff_seconds(&b), seconds[i]);
        ended.us = now.us + 1000;
        now = ended;
        assert_int_equal(backoff_wait(&b, now, ended), (int64_t)seconds[i] * 1000000);
        now.us += (int64_t)seconds[i] * 1000000;
        assert_int_equal(backoff_wait(&b, now, ended), 0);
    }
    now.us += 2 * BACKOFF_MAX_US + 1;
    assert_int_equal(backoff_wait(&b, now, now), 0);
    backoff_next(&b, now);
    assert_int_equal(backoff_seconds(&b), 10);
}

/* ---- status ---- */

static const struct json *pod_with(const char *policy)
{
    char text[400];
    (void)snprintf(
        text, sizeof(text),
        "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"restartPolicy\":\"%s\",\"containers\":[{\"name\":\"c\"}]},"
        "\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"True\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"},"
        "{\"type\":\"DisruptionTarget\",\"status\":\"True\"}]}}",
        policy);
    return parse(text);
}

static struct fact_slot waiting(bool init)
{
    return (struct fact_slot){
        .init = init, .spec = parse("{\"name\":\"w\"}"), .reason = "ContainerCreating"};
}

static struct fact_slot running(bool is_ready)
{
    return (struct fact_slot){.spec = parse("{\"name\":\"r\"}"),
                              .state = FACT_RUNNING,
                              .started = true,
                              .ready = is_ready};
}

static struct fact_slot ended(bool init, int code)
{
    return (struct fact_slot){
        .init = init,
        .ready = init && code == 0,
        .spec = parse("{\"name\":\"e\"}"),
        .state = FACT_TERMINATED,
        .end = {.valid = true, .exit_code = code, .reason = code ? "Error" : "Completed"}};
}

static struct fact_slot crashing(bool init, int code)
{
    struct fact_slot s = waiting(init);
    s.reason = "CrashLoopBackOff";
    s.last = ended(init, code).end;
    return s;
}

static void the_phase_follows_the_containers(void **state)
{
    const struct {
        const char *policy;
        struct fact_slot a, b;
        const char *phase;
    } cases[] = {
        {"Always", waiting(false), waiting(false), "Pending"},
        {"Always", running(true), running(false), "Running"},
        {"Always", running(true), waiting(false), "Pending"},
        {"Always", running(true), crashing(false, 1), "Running"},
        {"Always", crashing(false, 0), crashing(false, 1), "Running"},
        {"Always", ended(false, 0), ended(false, 0), "Running"},
        {"OnFailure", ended(false, 0), ended(false, 0), "Succeeded"},
        {"OnFailure", ended(false, 0), crashing(false, 1), "Running"},
        {"Never", ended(false, 0), ended(false, 0), "Succeeded"},
        {"Never", ended(false, 0), ended(false, 3), "Failed"},
        {"Never", ended(false, 3), running(true), "Running"},
        {"Always", ended(true, 0), running(true), "Running"},
        {"Always", ended(true, 0), waiting(false), "Pending"},
        {"Always", crashing(true, 1), waiting(false), "Pending"},
        {"Never", ended(true, 1), waiting(false), "Failed"},
        {"Always", waiting(true), waiting(false), "Pending"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fact_slot slots[] = {cases[i].a, cases[i].b};
        struct fact_pod f = {.pod = pod_with(cases[i].policy), .slots = slots, .n_slots = 2};
        if (!cstr_eq(pod_status_phase(&f), cases[i].phase)) {
            fail_msg("case %zu: %s, not %s", i, pod_status_phase(&f), cases[i].phase);
        }
    }
}

static void a_deleted_pod_succeeds_when_all_ended_well(void **state)
{
    struct fact_slot slots[] = {ended(false, 0), ended(false, 0)};
    struct fact_pod f = {.pod = pod_with("Always"), .slots = slots, .n_slots = 2, .ended = true};
    (void)state;
    assert_string_equal(pod_status_phase(&f), "Succeeded");
    slots[1].end.exit_code = 137;
    assert_string_equal(pod_status_phase(&f), "Failed");
}

static void conditions_stand_in_kubernetes_order_with_its_reasons(void **state)
{
    static const char *const ips[] = {"10.0.0.7", NULL};
    struct fact_slot slots[] = {waiting(true), waiting(false)};
    struct fact_pod f = {.pod = pod_with("Always"),
                         .slots = slots,
                         .n_slots = 2,
                         .pod_ips = ips,
                         .host_ip = "192.0.2.1",
                         .start_time = {1000000},
                         .sandbox_ready = true};
    static const char *const order[] = {
        "PodReadyToStartContainers", "Initialized",  "Ready",
        "ContainersReady",           "PodScheduled", "DisruptionTarget"};
    struct wall now = {INT64_C(1800000000) * 1000000};
    (void)state;
    struct json *s = pod_status_make(&arena, &f, now);
    for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
        assert_string_equal(json_path_cstr(json_at(json_get(s, "conditions"), i), "type", ""),
                            order[i]);
    }
    struct json *c = conditions_get(json_get(s, "conditions"), "Initialized");
    assert_string_equal(json_path_cstr(c, "reason", ""), "ContainersNotInitialized");
    assert_string_equal(json_path_cstr(c, "message", ""), "containers with incomplete status: [w]");
    c = conditions_get(json_get(s, "conditions"), "PodScheduled");
    assert_string_equal(json_path_cstr(c, "lastTransitionTime", ""), "2026-01-01T00:00:00Z");
    c = conditions_get(json_get(s, "conditions"), "Ready");
    assert_string_equal(json_path_cstr(c, "message", ""), "containers with unready status: [w]");
    assert_string_equal(json_path_cstr(c, "lastTransitionTime", ""), "2027-01-15T08:00:00Z");
    assert_string_equal(json_path_cstr(s, "podIP", ""), "10.0.0.7");
    assert_string_equal(json_path_cstr(json_at(json_get(s, "hostIPs"), 0), "ip", ""), "192.0.2.1");
    assert_int_equal(json_len(json_get(s, "initContainerStatuses")), 1);
    assert_string_equal(
        json_path_cstr(json_at(json_get(s, "containerStatuses"), 0), "state.waiting.reason", ""),
        "ContainerCreating");

    struct fact_slot good[] = {ended(false, 0)};
    struct fact_pod done = {.pod = pod_with("Never"), .slots = good, .n_slots = 1};
    s = pod_status_make(&arena, &done, now);
    assert_string_equal(
        json_path_cstr(conditions_get(json_get(s, "conditions"), "Ready"), "reason", ""),
        "PodCompleted");
    assert_string_equal(
        json_path_cstr(conditions_get(json_get(s, "conditions"), "Initialized"), "status", ""),
        "True");
}

static void the_qos_class_follows_requests_and_limits(void **state)
{
    static const struct {
        const char *resources, *class;
    } cases[] = {
        {"{}", "BestEffort"},
        {"{\"requests\":{\"cpu\":\"10m\"}}", "Burstable"},
        {"{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"}}", "Guaranteed"},
        {"{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"1000m\",\"memory\":\"1024Mi\"}}",
         "Guaranteed"},
        {"{\"limits\":{\"cpu\":\"1\",\"memory\":\"1Gi\"},\"requests\":{\"cpu\":\"500m\"}}",
         "Burstable"},
        {"{\"limits\":{\"memory\":\"1Gi\"}}", "Burstable"},
        {"{\"requests\":{\"cpu\":\"0\"}}", "BestEffort"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char text[300];
        (void)snprintf(text, sizeof(text), "{\"spec\":{\"containers\":[{\"resources\":%s}]}}",
                       cases[i].resources);
        assert_string_equal(pod_qos_class(parse(text)), cases[i].class);
    }
}

#define INFRA_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        INFRA_TEST(names_in_parentheses_are_replaced_and_everything_else_stays),
        INFRA_TEST(variables_come_from_everywhere_and_later_ones_win),
        INFRA_TEST(what_is_missing_is_told_in_a_kubelets_words),
        INFRA_TEST(command_and_args_stand_over_the_images_own),
        INFRA_TEST(a_plan_holds_the_files_of_every_volume),
        INFRA_TEST(a_token_or_ca_that_is_missing_leaves_its_file_out),
        INFRA_TEST(a_hosts_file_names_the_pod_and_its_aliases),
        INFRA_TEST(the_resolver_is_the_nodes_or_the_pods_own),
        INFRA_TEST(a_host_name_is_at_most_63_characters),
        INFRA_TEST(restarts_wait_longer_each_time_and_are_forgiven_after_ten_minutes),
        INFRA_TEST(the_phase_follows_the_containers),
        INFRA_TEST(a_deleted_pod_succeeds_when_all_ended_well),
        INFRA_TEST(conditions_stand_in_kubernetes_order_with_its_reasons),
        INFRA_TEST(the_qos_class_follows_requests_and_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults: what a short manifest becomes, kind by kind. */
#include "api/defaults.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/kind.h"
#include "api/schema_check.h"
#include "base/mem.h"

static void becomes(const char *api_version, const char *kind, const char *text, const char *wanted)
{
    struct arena a;
    struct err err;
    struct json *obj = NULL, *want = NULL;
    const struct kind *k = kind_find_api(api_version, kind);
    arena_init(&a, 0);
    assert_int_equal(json_parse(&a, str_of(text), NULL, &obj, &err), 0);
    if (json_parse(&a, str_of(wanted), NULL, &want, &err) < 0) {
        fail_msg("%s", err.text);
    }
    assert_int_equal(schema_check(&a, k->type, obj, NULL, &err), 0);
    for (int twice = 0; twice < 2; twice++) {
        schema_defaults(&a, k->type, obj);
        if (!json_equal(obj, want)) {
            CLEANUP(buf_finip) struct buf out = BUF_INIT;
            json_print(&out, obj);
            buf_putc(&out, '\0');
            fail_msg("%s", buf_data(&out));
        }
        /* What defaults made passes the check unchanged. */
        assert_int_equal(schema_check(&a, k->type, obj, NULL, &err), 0);
    }
    assert_false(arena_failed(&a));
    arena_fini(&a);
}

#define POD_DEFAULTS                                                                      \
    "\"restartPolicy\":\"Always\",\"dnsPolicy\":\"ClusterFirst\",\"securityContext\":{}," \
    "\"schedulerName\":\"default-scheduler\",\"terminationGracePeriodSeconds\":30"
#define CONTAINER_DEFAULTS \
    "\"terminationMessagePath\":\"/dev/termination-log\",\"terminationMessagePolicy\":\"File\""

static void a_pod_gets_what_kubernetes_gives_it(void **state)
{
    (void)state;
    becomes("v1", "Pod", "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"busybox\"}]}}",
            "{\"spec\":{\"enableServiceLinks\":true," POD_DEFAULTS ",\"containers\":[{"
            "\"name\":\"c\",\"image\":\"busybox\",\"imagePullPolicy\":\"Always\","
            "\"resources\":{}," CONTAINER_DEFAULTS "}]}}");
}

static void what_was_given_is_kept(void **state)
{
    (void)state;
    becomes("v1", "Pod",
            "{\"spec\":{\"enableServiceLinks\":false,\"restartPolicy\":\"Never\","
            "\"terminationGracePeriodSeconds\":0,\"dnsPolicy\":\"\",\"schedulerName\":\"mine\","
            "\"securityContext\":{\"runAsUser\":0},\"serviceAccount\":\"old\"}}",
            "{\"spec\":{\"enableServiceLinks\":false,\"restartPolicy\":\"Never\","
            "\"terminationGracePeriodSeconds\":0,\"dnsPolicy\":\"ClusterFirst\","
            "\"schedulerName\":\"mine\",\"securityContext\":{\"runAsUser\":0},"
            "\"serviceAccount\":\"old\",\"serviceAccountName\":\"old\"}}");
}

static const char *pull_policy(struct arena *a, const char *image)
{
    const struct kind *k = kind_find("", "v1", "pods");
    struct json *pod = json_object(a);
    struct json *c =
        json_push(json_ensure_array(json_ensure_object(pod, "spec"), "containers"), json_object(a));
    json_set_str(c, "image", image);
    schema_defaults(a, k->type, pod);
    return json_path_cstr(c, "imagePullPolicy", "");
}

static void the_tag_decides_when_an_image_is_pulled(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    assert_string_equal(pull_policy(&a, "busybox:latest"), "Always");
    assert_string_equal(pull_policy(&a, "host:5000/x/busybox"), "Always");
    assert_string_equal(pull_policy(&a, "busybox:1.36"), "IfNotPresent");
    assert_string_equal(pull_policy(&a, "host:5000/busybox:1"), "IfNotPresent");
    assert_string_equal(pull_policy(&a, "busybox@sha256:00"), "IfNotPresent");
    arena_fini(&a);
}

static void ports_probes_and_volumes_are_completed(void **state)
{
    (void)state;
    becomes(
        "v1", "Pod",
        "{\"spec\":{\"hostNetwork\":true,\"containers\":[{\"image\":\"a:1\",\"ports\":"
        "[{\"containerPort\":80}],\"readinessProbe\":{\"httpGet\":{\"port\":80}},\"env\":"
        "[{\"name\":\"N\",\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\"}}}],"
        "\"resources\":{\"limits\":{\"cpu\":\"1\"},\"requests\":{\"memory\":\"1Mi\"}}}],"
        "\"volumes\":[{\"name\":\"a\"},{\"name\":\"b\",\"configMap\":{\"name\":\"m\"}},"
        "{\"name\":\"c\",\"hostPath\":{\"path\":\"/x\"}}]}}",
        "{\"spec\":{\"hostNetwork\":true,\"enableServiceLinks\":true," POD_DEFAULTS
        ",\"containers\":[{\"image\":\"a:1\",\"imagePullPolicy\":\"IfNotPresent\"," CONTAINER_DEFAULTS
        ",\"ports\":[{\"containerPort\":80,\"hostPort\":80,"
        "\"protocol\":\"TCP\"}],\"readinessProbe\":{\"httpGet\":{\"port\":80,\"path\":\"/\","
        "\"scheme\":\"HTTP\"},\"timeoutSeconds\":1,\"periodSeconds\":10,"
        "\"successThreshold\":1,\"failureThreshold\":3},\"env\":[{\"name\":\"N\","
        "\"valueFrom\":{\"fieldRef\":{\"fieldPath\":\"metadata.name\",\"apiVersion\":\"v1\"}}}],"
        "\"resources\":{\"limits\":{\"cpu\":\"1\"},\"requests\":{\"memory\":\"1Mi\","
        "\"cpu\":\"1\"}}}],\"volumes\":[{\"name\":\"a\",\"emptyDir\":{}},{\"name\":\"b\","
        "\"configMap\":{\"name\":\"m\",\"defaultMode\":420}},{\"name\":\"c\",\"hostPath\":"
        "{\"path\":\"/x\",\"type\":\"\"}}]}}");
}

static void a_deployment_rolls_by_quarters(void **state)
{
    (void)state;
    becomes("apps/v1", "Deployment",
            "{\"spec\":{\"selector\":{},\"template\":{\"spec\":{\"containers\":[{\"image\":\"a:1\","
            "\"resources\":{\"limits\":{\"cpu\":\"1\"}}}]}}}}",
            "{\"spec\":{\"replicas\":1,\"revisionHistoryLimit\":10,\"progressDeadlineSeconds\":600,"
            "\"strategy\":{\"type\":\"RollingUpdate\",\"rollingUpdate\":{\"maxSurge\":\"25%\","
            "\"maxUnavailable\":\"25%\"}},\"selector\":{},\"template\":{\"spec\":{" POD_DEFAULTS
            ",\"containers\":[{\"image\":\"a:1\",\"imagePullPolicy\":\"IfNotPresent\","
            "\"resources\":{\"limits\":{\"cpu\":\"1\"}}," CONTAINER_DEFAULTS "}]}}}}");
    becomes("apps/v1", "Deployment",
            "{\"spec\":{\"replicas\":0,\"strategy\":{\"type\":\"Recreate\"}}}",
            "{\"spec\":{\"replicas\":0,\"revisionHistoryLimit\":10,"
            "\"progressDeadlineSeconds\":600,\"strategy\":{\"type\":\"Recreate\"}}}");
}

static void the_other_kinds(void **state)
{
    (void)state;
    becomes("apps/v1", "ReplicaSet", "{\"spec\":{}}", "{\"spec\":{\"replicas\":1}}");
    becomes("v1", "Secret", "{}", "{\"type\":\"Opaque\"}");
    becomes("v1", "ConfigMap", "{}", "{}");
    becomes("v1", "Namespace", "{\"metadata\":{\"name\":\"a\"}}",
            "{\"metadata\":{\"name\":\"a\",\"labels\":{\"kubernetes.io/metadata.name\":\"a\"}}}");
    becomes("v1", "Node", "{\"status\":{\"capacity\":{\"cpu\":\"4\"}}}",
            "{\"status\":{\"capacity\":{\"cpu\":\"4\"},\"allocatable\":{\"cpu\":\"4\"}}}");
    becomes("coordination.k8s.io/v1", "Lease", "{\"spec\":{}}", "{\"spec\":{}}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pod_gets_what_kubernetes_gives_it),
        cmocka_unit_test(what_was_given_is_kept),
        cmocka_unit_test(the_tag_decides_when_an_image_is_pulled),
        cmocka_unit_test(ports_probes_and_volumes_are_completed),
        cmocka_unit_test(a_deployment_rolls_by_quarters),
        cmocka_unit_test(the_other_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

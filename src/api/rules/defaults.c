/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Defaults that depend on other fields, by type (pkg/apis/<group>/v1/defaults.go). Those of pods,
 * nodes and namespaces stand in api/defaults.c, those that depend on nothing in kinds/.
 */
#include "api/object.h"
#include "api/rules/rules.h"
#include "base/mem.h"

static bool has_text(const struct json *obj, const char *member)
{
    return json_text(json_get(obj, member)).n > 0;
}

static void default_int(struct json *obj, const char *member, int64_t n)
{
    if (!json_get(obj, member)) {
        json_set_int(obj, member, n);
    }
}

static void default_text(struct json *obj, const char *member, const char *text)
{
    if (!has_text(obj, member)) {
        json_set_str(obj, member, text);
    }
}

static struct json *texts(struct arena *a, const char *const *list)
{
    struct json *out = json_array(a);
    for (; *list; list++) {
        json_push(out, json_string(a, *list));
    }
    return out;
}

/* ---- apps, batch ---- */

static void rolling_update(struct arena *a, struct json *strategy)
{
    if (!json_get(strategy, "rollingUpdate") &&
        cstr_eq(json_path_cstr(strategy, "type", ""), "RollingUpdate")) {
        json_set(strategy, "rollingUpdate", json_object(a));
    }
}

static void stateful_set(struct arena *a, struct json *spec)
{
    (void)a;
    JSON_FOR_EACH (claim, json_get(spec, "volumeClaimTemplates")) {
        json_set_str(claim, "kind", "PersistentVolumeClaim");
        json_set_str(claim, "apiVersion", "v1");
    }
}

/* Not of a CronJob's template: its Jobs get them when they are made. */
static void job(struct arena *a, struct json *obj)
{
    (void)a;
    struct json *spec = json_get(obj, "spec");
    if (!spec) {
        return;
    }
    if (!json_get(spec, "completions") && !json_get(spec, "parallelism")) {
        json_set_int(spec, "completions", 1);
    }
    default_int(spec, "parallelism", 1);
    default_int(spec, "backoffLimit", json_get(spec, "backoffLimitPerIndex") ? INT32_MAX : 6);
    default_text(spec, "completionMode", "NonIndexed");
    if (!json_get(spec, "suspend")) {
        json_set_bool(spec, "suspend", false);
    }
    default_text(spec, "podReplacementPolicy",
                 json_get(spec, "podFailurePolicy") ? "Failed" : "TerminatingOrFailed");
}

static void pod_condition_pattern(struct arena *a, struct json *pattern)
{
    (void)a;
    default_text(pattern, "status", "True");
}

/* ---- services ---- */

static void service_affinity(struct json *spec)
{
    if (cstr_eq(json_path_cstr(spec, "sessionAffinity", ""), "ClientIP")) {
        struct json *config = json_ensure_object(spec, "sessionAffinityConfig");
        default_int(json_ensure_object(config, "clientIP"), "timeoutSeconds", 10800);
    } else {
        (void)json_del(spec, "sessionAffinityConfig");
    }
}

static void service(struct arena *a, struct json *spec)
{
    const char *type = json_path_cstr(spec, "type", "");
    bool balanced = cstr_eq(type, "LoadBalancer");
    service_affinity(spec);
    JSON_FOR_EACH (port, json_get(spec, "ports")) {
        const struct json *target = json_get(port, "targetPort");
        bool given = json_is(target, JSON_INT) ? target->i != 0 : json_text(target).n > 0;
        if (!given) {
            json_set(port, "targetPort", json_int(a, json_path_i64(port, "port", 0)));
        }
    }
    if (balanced || cstr_eq(type, "NodePort")) {
        default_text(spec, "externalTrafficPolicy", "Cluster");
    }
    if (!cstr_eq(type, "ExternalName")) {
        default_text(spec, "internalTrafficPolicy", "Cluster");
    }
    if (balanced && !json_get(spec, "allocateLoadBalancerNodePorts")) {
        json_set_bool(spec, "allocateLoadBalancerNodePorts", true);
    }
}

static void balancer_address(struct arena *a, struct json *ingress)
{
    (void)a;
    if (has_text(ingress, "ip")) {
        default_text(ingress, "ipMode", "VIP");
    }
}

/* ---- storage ---- */

static void volume_phase(struct arena *a, struct json *obj)
{
    (void)a;
    default_text(json_ensure_object(obj, "status"), "phase", "Pending");
}

static void csi_driver(struct arena *a, struct json *spec)
{
    static const char *const modes[] = {"Persistent", NULL};
    if (json_len(json_get(spec, "volumeLifecycleModes")) == 0) {
        json_set(spec, "volumeLifecycleModes", texts(a, modes));
    }
}

/* ---- quotas ---- */

static void fill_amounts(struct arena *a, struct json *into, const struct json *from)
{
    JSON_FOR_EACH_MEMBER (m, from) {
        if (!json_get(into, m->key)) {
            json_set(into, m->key, json_clone(a, m->value));
        }
    }
}

static void limit_range_item(struct arena *a, struct json *item)
{
    if (!cstr_eq(json_path_cstr(item, "type", ""), "Container")) {
        return;
    }
    const struct json *max = json_get(item, "max"), *min = json_get(item, "min");
    if (json_len(max)) {
        fill_amounts(a, json_ensure_object(item, "default"), max);
    }
    const struct json *limits = json_get(item, "default");
    if (json_len(limits) + json_len(min)) {
        struct json *requests = json_ensure_object(item, "defaultRequest");
        fill_amounts(a, requests, limits);
        fill_amounts(a, requests, min);
    }
}

/* ---- networks ---- */

static void network_policy(struct arena *a, struct json *spec)
{
    static const char *const both[] = {"Ingress", "Egress", NULL};
    static const char *const one[] = {"Ingress", NULL};
    if (json_len(json_get(spec, "policyTypes")) == 0) {
        json_set(spec, "policyTypes", texts(a, json_len(json_get(spec, "egress")) ? both : one));
    }
}

/* ---- roles ---- */

#define RBAC "rbac.authorization.k8s.io"

static void role_ref(struct arena *a, struct json *ref)
{
    (void)a;
    default_text(ref, "apiGroup", RBAC);
}

static void subject(struct arena *a, struct json *s)
{
    (void)a;
    const char *kind = json_path_cstr(s, "kind", "");
    if (cstr_eq(kind, "User") || cstr_eq(kind, "Group")) {
        default_text(s, "apiGroup", RBAC);
    }
}

/* ---- autoscalers ---- */

static void autoscaler_metrics(struct arena *a, struct json *spec)
{
    if (json_len(json_get(spec, "metrics"))) {
        return;
    }
    struct json *metric = json_push(json_set(spec, "metrics", json_array(a)), json_object(a));
    json_set_str(metric, "type", "Resource");
    struct json *resource = json_set(metric, "resource", json_object(a));
    json_set_str(resource, "name", "cpu");
    struct json *target = json_set(resource, "target", json_object(a));
    json_set_str(target, "type", "Utilization");
    json_set_int(target, "averageUtilization", 80);
}

static void push_policy(struct arena *a, struct json *list, const char *type, int64_t value)
{
    struct json *p = json_push(list, json_object(a));
    json_set_str(p, "type", type);
    json_set_int(p, "value", value);
    json_set_int(p, "periodSeconds", 15);
}

static void autoscaler_behavior(struct arena *a, struct json *behavior)
{
    struct json *up = json_ensure_object(behavior, "scaleUp");
    struct json *down = json_ensure_object(behavior, "scaleDown");
    default_int(up, "stabilizationWindowSeconds", 0);
    default_text(up, "selectPolicy", "Max");
    default_text(down, "selectPolicy", "Max");
    if (!json_get(up, "policies")) {
        struct json *list = json_set(up, "policies", json_array(a));
        push_policy(a, list, "Pods", 4);
        push_policy(a, list, "Percent", 100);
    }
    if (!json_get(down, "policies")) {
        push_policy(a, json_set(down, "policies", json_array(a)), "Percent", 100);
    }
}

/* ---- all of them, sorted by name ---- */

/* The labels of the template stand for a selector and labels that are not there. */
static void replication_controller(struct arena *a, struct json *obj)
{
    struct json *spec = json_get(obj, "spec");
    struct json *labels = json_path(spec, "template.metadata.labels");
    if (json_len(labels) > 0 && json_len(json_get(spec, "selector")) == 0) {
        json_set(spec, "selector", json_clone(a, labels));
    }
    if (json_len(labels) > 0 && json_len(json_path(obj, "metadata.labels")) == 0) {
        json_set(json_ensure_object(obj, "metadata"), "labels", json_clone(a, labels));
    }
}

static const struct {
    const char *type;
    defaults_rule_fn *fn;
} rules[] = {
    {"io.k8s.api.apps.v1.DaemonSetUpdateStrategy", rolling_update},
    {"io.k8s.api.apps.v1.StatefulSetSpec", stateful_set},
    {"io.k8s.api.apps.v1.StatefulSetUpdateStrategy", rolling_update},
    {"io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerBehavior", autoscaler_behavior},
    {"io.k8s.api.autoscaling.v2.HorizontalPodAutoscalerSpec", autoscaler_metrics},
    {"io.k8s.api.batch.v1.Job", job},
    {"io.k8s.api.batch.v1.PodFailurePolicyOnPodConditionsPattern", pod_condition_pattern},
    {"io.k8s.api.core.v1.LimitRangeItem", limit_range_item},
    {"io.k8s.api.core.v1.LoadBalancerIngress", balancer_address},
    {"io.k8s.api.core.v1.PersistentVolume", volume_phase},
    {"io.k8s.api.core.v1.PersistentVolumeClaim", volume_phase},
    {"io.k8s.api.core.v1.ReplicationController", replication_controller},
    {"io.k8s.api.core.v1.ServiceSpec", service},
    {"io.k8s.api.networking.v1.NetworkPolicySpec", network_policy},
    {"io.k8s.api.rbac.v1.RoleRef", role_ref},
    {"io.k8s.api.rbac.v1.Subject", subject},
    {"io.k8s.api.storage.v1.CSIDriverSpec", csi_driver},
};

defaults_rule_fn *rules_defaults_find(const char *type_name)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        if (strcmp(rules[i].type, type_name) == 0) {
            return rules[i].fn;
        }
    }
    return NULL;
}

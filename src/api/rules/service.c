/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services (ValidateService). What hangs together is brought into agreement, and addresses and node
 * ports are given out, by api/admission/service.c.
 */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/port.h"
#include "api/rules/rules.h"
#include "base/mem.h"

#define AFFINITY_SECONDS_MAX 86400

static bool is_type(const struct json *spec, const char *type)
{
    return cstr_eq(json_path_cstr(spec, "type", ""), type);
}

static bool takes_node_ports(const struct json *spec)
{
    return is_type(spec, "NodePort") || is_type(spec, "LoadBalancer");
}

static void create(struct arena *a, struct json *obj)
{
    struct json *status = json_set(obj, "status", json_object(a));
    json_set(status, "loadBalancer", json_object(a));
}

/* ---- ports ---- */

static void check_port(struct field_errors *e, const char *path, const struct json *spec,
                       const struct json *port)
{
    static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
    const struct json *name = json_get(port, "name");
    bool several = json_len(json_get(spec, "ports")) > 1;
    if (json_text(name).n) {
        rule_name(e, rule_path(e, "%s.name", path), name, name_check_dns_label);
    } else if (several) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.name", path), NULL, NULL);
    }
    rule_port(e, rule_path(e, "%s.port", path), json_get(port, "port"));
    validate_one_of(e, rule_path(e, "%s.protocol", path), json_get(port, "protocol"), protocols);
    rule_port_or_name(e, rule_path(e, "%s.targetPort", path), json_get(port, "targetPort"));
    if (json_get(port, "appProtocol")) {
        rule_name(e, rule_path(e, "%s.appProtocol", path), json_get(port, "appProtocol"),
                  name_check_qualified);
    }
    if (json_path_i64(port, "nodePort", 0) && is_type(spec, "ClusterIP")) {
        field_error(e, FIELD_FORBIDDEN, rule_path(e, "%s.nodePort", path), NULL,
                    "may not be used when `type` is 'ClusterIP'");
    }
}

static bool same_number(const struct json *a, const struct json *b, const char *member)
{
    return json_path_i64(a, member, 0) != 0 &&
           json_path_i64(a, member, 0) == json_path_i64(b, member, 0) &&
           cstr_eq(json_path_cstr(a, "protocol", ""), json_path_cstr(b, "protocol", ""));
}

/* Names, numbers and node ports are unique; the second of two is told. */
static void check_unique(struct field_errors *e, const struct json *ports, size_t i)
{
    const struct json *p = json_at(ports, i);
    const char *name = json_path_cstr(p, "name", "");
    for (size_t k = 0; k < i; k++) {
        const struct json *q = json_at(ports, k);
        if (*name && cstr_eq(name, json_path_cstr(q, "name", ""))) {
            field_error_text(e, FIELD_DUPLICATE, rule_path(e, "spec.ports[%zu].name", i), name,
                             NULL);
        }
        if (same_number(p, q, "port")) {
            struct json *key = json_object(e->arena);
            json_set(key, "protocol", json_get(p, "protocol"));
            json_set(key, "port", json_get(p, "port"));
            field_error(e, FIELD_DUPLICATE, rule_path(e, "spec.ports[%zu]", i), key, NULL);
        }
        if (same_number(p, q, "nodePort")) {
            field_error(e, FIELD_DUPLICATE, rule_path(e, "spec.ports[%zu].nodePort", i),
                        json_get(p, "nodePort"), NULL);
        }
    }
}

static void check_ports(struct field_errors *e, const struct json *spec)
{
    const struct json *ports = json_get(spec, "ports");
    bool headless = cstr_eq(json_path_cstr(spec, "clusterIP", ""), "None");
    if (json_len(ports) == 0 && !headless && !is_type(spec, "ExternalName")) {
        field_error(e, FIELD_REQUIRED, "spec.ports", NULL, NULL);
    }
    for (size_t i = 0; i < json_len(ports); i++) {
        check_port(e, rule_path(e, "spec.ports[%zu]", i), spec, json_at(ports, i));
        check_unique(e, ports, i);
    }
}

/* ---- addresses ---- */

#define NO_IP "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"

static void check_cluster_ips(struct field_errors *e, const struct json *spec)
{
    const struct json *list = json_get(spec, "clusterIPs");
    int i = 0;
    if (is_type(spec, "ExternalName")) {
        if (json_len(list)) {
            field_error(e, FIELD_FORBIDDEN, "spec.clusterIPs", NULL,
                        "may not be set for ExternalName services");
        }
        return;
    }
    JSON_FOR_EACH (ip, list) {
        const char *path = rule_path(e, "spec.clusterIPs[%d]", i++), *text = json_cstr(ip, "");
        if (!cstr_eq(text, "None")) {
            if (!rule_is_ip(text, NULL)) {
                field_error(e, FIELD_INVALID, path, ip, NO_IP);
            }
        } else if (takes_node_ports(spec)) {
            field_error(e, FIELD_INVALID, path, ip,
                        rule_path(e, "may not be set to 'None' for %s services",
                                  json_path_cstr(spec, "type", "")));
        }
    }
}

static void check_external(struct field_errors *e, const struct json *spec)
{
    struct str name = json_text(json_get(spec, "externalName"));
    int i = 0;
    JSON_FOR_EACH (ip, json_get(spec, "externalIPs")) {
        if (!rule_is_ip(json_cstr(ip, ""), NULL)) {
            field_error(e, FIELD_INVALID, rule_path(e, "spec.externalIPs[%d]", i), ip, NO_IP);
        }
        i++;
    }
    if (!is_type(spec, "ExternalName")) {
        return;
    }
    if (name.n == 0) {
        field_error(e, FIELD_REQUIRED, "spec.externalName", NULL, NULL);
        return;
    }
    struct str cut = str_n(name.p, name.n - (name.p[name.n - 1] == '.'));
    const char *why = name_check_dns_subdomain(cut);
    if (why) {
        field_error_text(e, FIELD_INVALID, "spec.externalName", name.p, why);
    }
}

static void check_balancer(struct field_errors *e, const struct json *spec)
{
    static const char *const members[] = {"loadBalancerSourceRanges",
                                          "allocateLoadBalancerNodePorts", "loadBalancerClass"};
    const struct json *ranges = json_get(spec, "loadBalancerSourceRanges");
    int i = 0;
    for (size_t k = 0; k < ARRAY_SIZE(members) && !is_type(spec, "LoadBalancer"); k++) {
        if (json_get(spec, members[k])) {
            field_error(e, FIELD_FORBIDDEN, rule_path(e, "spec.%s", members[k]), NULL,
                        "may only be used when `type` is 'LoadBalancer'");
        }
    }
    JSON_FOR_EACH (range, ranges) {
        if (!rule_is_cidr(json_cstr(range, ""))) {
            field_error(e, FIELD_INVALID, rule_path(e, "spec.loadBalancerSourceRanges[%d]", i),
                        range, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        }
        i++;
    }
}

/* ---- policies ---- */

static void check_affinity(struct field_errors *e, const struct json *spec)
{
    static const char *const kinds[] = {"ClientIP", "None", NULL};
    const struct json *seconds = json_path(spec, "sessionAffinityConfig.clientIP.timeoutSeconds");
    validate_one_of(e, "spec.sessionAffinity", json_get(spec, "sessionAffinity"), kinds);
    if (seconds && (json_i64(seconds, 0) <= 0 || json_i64(seconds, 0) > AFFINITY_SECONDS_MAX)) {
        field_error(e, FIELD_INVALID, "spec.sessionAffinityConfig.clientIP.timeoutSeconds", seconds,
                    "must be greater than 0 and less than 86400");
    }
}

static void check_policies(struct field_errors *e, const struct json *spec)
{
    static const char *const families[] = {"SingleStack", "PreferDualStack", "RequireDualStack",
                                           NULL};
    static const char *const reach[] = {"Cluster", "Local", NULL};
    static const char *const distributions[] = {"PreferClose", NULL};
    const struct json *outside = json_get(spec, "externalTrafficPolicy");
    const struct json *health = json_get(spec, "healthCheckNodePort");
    bool local = is_type(spec, "LoadBalancer") && cstr_eq(json_cstr(outside, ""), "Local");
    validate_one_of(e, "spec.ipFamilyPolicy", json_get(spec, "ipFamilyPolicy"), families);
    validate_one_of(e, "spec.internalTrafficPolicy", json_get(spec, "internalTrafficPolicy"),
                    reach);
    validate_one_of(e, "spec.trafficDistribution", json_get(spec, "trafficDistribution"),
                    distributions);
    if (outside && !takes_node_ports(spec) && json_len(json_get(spec, "externalIPs")) == 0) {
        field_error(e, FIELD_INVALID, "spec.externalTrafficPolicy", outside,
                    "may only be set for externally-accessible services");
    } else {
        validate_one_of(e, "spec.externalTrafficPolicy", outside, reach);
    }
    if (json_i64(health, 0) && !local) {
        field_error(e, FIELD_INVALID, "spec.healthCheckNodePort", health,
                    "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is "
                    "'Local'");
    }
}

/* ---- the whole ---- */

static void check_update(struct field_errors *e, const struct json *spec, const struct json *was)
{
    const struct json *now = json_get(spec, "clusterIPs"), *then = json_get(was, "clusterIPs");
    const char *ip = json_cstr(json_at(now, 0), ""), *old_ip = json_cstr(json_at(then, 0), "");
    if (is_type(spec, "ExternalName") || is_type(was, "ExternalName") || !*old_ip) {
        return;
    }
    /* That it does not change is seen where addresses are given out: admission/service.c. */
    if (!*ip) {
        field_error(e, FIELD_INVALID, "spec.clusterIPs[0]", now,
                    "primary clusterIP can not be unset");
    }
}

static void validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const types[] = {"ClusterIP", "ExternalName", "LoadBalancer", "NodePort",
                                        NULL};
    const struct json *spec = json_get(obj, "spec");
    check_ports(e, spec);
    validate_labels(e, "spec.selector", json_get(spec, "selector"));
    check_affinity(e, spec);
    validate_one_of(e, "spec.type", json_get(spec, "type"), types);
    check_cluster_ips(e, spec);
    check_external(e, spec);
    check_balancer(e, spec);
    check_policies(e, spec);
    if (old) {
        check_update(e, spec, json_get(old, "spec"));
    }
}

const struct strategy rules_service = {.group = "",
                                       .kind = "Service",
                                       .check_name = name_check_dns1035,
                                       .create = create,
                                       .validate = validate,
                                       .status_moves_metadata = true};

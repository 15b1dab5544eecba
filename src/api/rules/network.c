/* SPDX-License-Identifier: Apache-2.0 */
/* Ingresses, their classes and network policies (pkg/apis/networking/validation). */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/port.h"
#include "api/rules/rules.h"
#include "base/mem.h"

/* ---- ingresses ---- */

static void ingress_create(struct arena *a, struct json *obj)
{
    struct json *status = json_set(obj, "status", json_object(a));
    json_set(status, "loadBalancer", json_object(a));
}

static void host(struct field_errors *e, const char *path, const struct json *value)
{
    struct str s = json_text(value);
    if (s.n == 0) {
        return;
    }
    if (rule_is_ip(s.p, NULL)) {
        field_error(e, FIELD_INVALID, path, value, "must be a DNS name, not an IP address");
        return;
    }
    bool wild = str_starts(s, "*.");
    const char *why = name_check_dns_subdomain(wild ? str_n(s.p + 2, s.n - 2) : s);
    if (why) {
        field_error(e, FIELD_INVALID, path, value, why);
    }
}

static void http_path(struct field_errors *e, const char *path, const struct json *o)
{
    static const char *const types[] = {"Exact", "ImplementationSpecific", "Prefix", NULL};
    static const char *const inside[] = {"//", "/./", "/../", "%2f", "%2F"};
    static const char *const ends[] = {"/..", "/."};
    const struct json *type = json_get(o, "pathType"), *value = json_get(o, "path");
    const char *p = rule_path(e, "%s.path", path), *text = json_cstr(value, "");
    bool free = cstr_eq(json_cstr(type, ""), "ImplementationSpecific");
    if (!type) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.pathType", path), NULL,
                    "pathType must be specified");
        return;
    }
    validate_one_of(e, rule_path(e, "%s.pathType", path), type, types);
    if (*text != '/' && !(free && !*text)) {
        field_error_text(e, FIELD_INVALID, p, text, "must be an absolute path");
    }
    for (size_t i = 0; i < ARRAY_SIZE(inside) && !free; i++) {
        if (strstr(text, inside[i])) {
            field_error_text(e, FIELD_INVALID, p, text,
                             rule_path(e, "must not contain '%s'", inside[i]));
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(ends) && !free; i++) {
        if (str_ends(str_of(text), ends[i])) {
            field_error_text(e, FIELD_INVALID, p, text,
                             rule_path(e, "cannot end with '%s'", ends[i]));
        }
    }
}

static void backend_service(struct field_errors *e, const char *path, const struct json *service)
{
    const struct json *port = json_get(service, "port"), *name = json_get(port, "name");
    const struct json *number = json_get(port, "number");
    const char *p = rule_path(e, "%s.port", path);
    if (rule_required(e, path, service, "name")) {
        rule_name(e, rule_path(e, "%s.name", path), json_get(service, "name"), name_check_dns1035);
    }
    if (json_text(name).n && json_i64(number, 0)) {
        field_error_text(e, FIELD_INVALID, p, "", "cannot set both port name & port number");
    } else if (json_text(name).n) {
        rule_port_or_name(e, rule_path(e, "%s.name", p), name);
    } else if (number) {
        rule_port(e, rule_path(e, "%s.number", p), number);
    } else {
        field_error(e, FIELD_REQUIRED, p, NULL, "port name or number is required");
    }
}

static void backend(struct field_errors *e, const char *path, const struct json *b)
{
    const struct json *service = json_get(b, "service"), *resource = json_get(b, "resource");
    if (service && resource) {
        field_error_text(e, FIELD_INVALID, path, "",
                         "cannot set both resource and service backends");
    } else if (service) {
        backend_service(e, rule_path(e, "%s.service", path), service);
    } else if (resource) {
        (void)rule_required(e, rule_path(e, "%s.resource", path), resource, "kind"); /* told */
        (void)rule_required(e, rule_path(e, "%s.resource", path), resource, "name");
    } else {
        field_error_text(e, FIELD_INVALID, path, "", "resource or service backend is required");
    }
}

static void ingress_rule(struct field_errors *e, const char *path, const struct json *rule)
{
    const struct json *http = json_get(rule, "http"), *paths = json_get(http, "paths");
    host(e, rule_path(e, "%s.host", path), json_get(rule, "host"));
    if (http && json_len(paths) == 0) {
        field_error(e, FIELD_REQUIRED, rule_path(e, "%s.http.paths", path), NULL, NULL);
    }
    int i = 0;
    JSON_FOR_EACH (o, paths) {
        const char *p = rule_path(e, "%s.http.paths[%d]", path, i++);
        http_path(e, p, o);
        backend(e, rule_path(e, "%s.backend", p), json_get(o, "backend"));
    }
}

static void tls(struct field_errors *e, const char *path, const struct json *o)
{
    int i = 0;
    JSON_FOR_EACH (h, json_get(o, "hosts")) {
        host(e, rule_path(e, "%s.hosts[%d]", path, i++), h);
    }
    if (json_text(json_get(o, "secretName")).n) {
        rule_name(e, rule_path(e, "%s.secretName", path), json_get(o, "secretName"),
                  name_check_dns_subdomain);
    }
}

static void ingress_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char annotation[] = "kubernetes.io/ingress.class";
    const struct json *spec = json_get(obj, "spec"), *rules = json_get(spec, "rules");
    const struct json *fallback = json_get(spec, "defaultBackend");
    const struct json *class = json_get(spec, "ingressClassName");
    int i = 0;
    if (!old && class && *obj_annotation(obj, annotation)) {
        field_error_text(e, FIELD_INVALID, "annotations.kubernetes.io/ingress.class",
                         obj_annotation(obj, annotation),
                         "can not be set when the class field is also set");
    }
    if (json_len(rules) == 0 && !fallback) {
        field_error(e, FIELD_INVALID, "spec", rules ? rules : json_array(e->arena),
                    "either `defaultBackend` or `rules` must be specified");
    }
    if (fallback) {
        backend(e, "spec.defaultBackend", fallback);
    }
    JSON_FOR_EACH (rule, rules) {
        ingress_rule(e, rule_path(e, "spec.rules[%d]", i++), rule);
    }
    i = 0;
    JSON_FOR_EACH (o, json_get(spec, "tls")) {
        tls(e, rule_path(e, "spec.tls[%d]", i++), o);
    }
    if (class) {
        rule_name(e, "spec.ingressClassName", class, name_check_dns_subdomain);
    }
}

const struct strategy rules_ingress = {.group = "networking.k8s.io",
                                       .kind = "Ingress",
                                       .create = ingress_create,
                                       .validate = ingress_validate};

/* ---- classes ---- */

static bool has_domain_and_path(struct str s)
{
    struct str domain, path;
    return str_cut(s, '/', &domain, &path) && path.n > 0 && !name_check_dns_subdomain(domain);
}

static void class_parameters(struct field_errors *e, const struct json *p)
{
    static const char *const scopes[] = {"Cluster", "Namespace", NULL};
    const struct json *ns = json_get(p, "namespace");
    bool inside = cstr_eq(json_path_cstr(p, "scope", ""), "Namespace");
    if (!p) {
        return;
    }
    (void)rule_required(e, "spec.parameters", p, "kind"); /* told */
    (void)rule_required(e, "spec.parameters", p, "name");
    validate_one_of(e, "spec.parameters.scope", json_get(p, "scope"), scopes);
    if (inside && !json_text(ns).n) {
        field_error(e, FIELD_REQUIRED, "spec.parameters.namespace", NULL,
                    "`parameters.scope` is set to 'Namespace'");
    } else if (!inside && ns) {
        field_error(e, FIELD_FORBIDDEN, "spec.parameters.namespace", NULL,
                    "`parameters.scope` is set to 'Cluster'");
    }
}

static void class_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec"), *controller = json_get(spec, "controller");
    struct str s = json_text(controller);
    if (s.n > 250) {
        field_error(e, FIELD_TOO_LONG, "spec.controller", controller,
                    "may not be more than 250 bytes");
    }
    if (s.n == 0) {
        field_error(e, FIELD_REQUIRED, "spec.controller", NULL, NULL);
    } else if (!has_domain_and_path(s)) {
        field_error(e, FIELD_INVALID, "spec.controller", controller,
                    "must be a domain-prefixed path (such as \"acme.io/foo\")");
    }
    class_parameters(e, json_get(spec, "parameters"));
    if (old) {
        validate_immutable(e, "spec.controller", controller, json_path(old, "spec.controller"));
    }
}

const struct strategy rules_ingress_class = {
    .group = "networking.k8s.io", .kind = "IngressClass", .validate = class_validate};

/* ---- policies ---- */

static void policy_port(struct field_errors *e, const char *path, const struct json *port)
{
    static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
    const struct json *number = json_get(port, "port"), *end = json_get(port, "endPort");
    validate_one_of(e, rule_path(e, "%s.protocol", path), json_get(port, "protocol"), protocols);
    rule_port_or_name(e, rule_path(e, "%s.port", path), number);
    if (!end) {
        return;
    }
    const char *p = rule_path(e, "%s.endPort", path);
    rule_port(e, p, end);
    if (!number) {
        field_error(e, FIELD_INVALID, p, end, "may not be specified when `port` is not specified");
    } else if (json_is(number, JSON_STRING)) {
        field_error(e, FIELD_INVALID, p, end, "may not be specified when `port` is non-numeric");
    } else if (json_i64(end, 0) < json_i64(number, 0)) {
        field_error(e, FIELD_INVALID, p, end, "must be greater than or equal to `port`");
    }
}

static void policy_block(struct field_errors *e, const char *path, const struct json *block)
{
    const struct json *cidr = json_get(block, "cidr");
    int i = 0;
    if (!rule_required(e, path, block, "cidr")) {
        return;
    }
    if (!rule_is_cidr(json_cstr(cidr, ""))) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.cidr", path), cidr,
                    "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
    JSON_FOR_EACH (x, json_get(block, "except")) {
        if (!rule_is_cidr(json_cstr(x, ""))) {
            field_error(e, FIELD_INVALID, rule_path(e, "%s.except[%d]", path, i), x,
                        "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
        }
        i++;
    }
}

static void policy_peer(struct field_errors *e, const char *path, const struct json *peer)
{
    const struct json *pods = json_get(peer, "podSelector");
    const struct json *namespaces = json_get(peer, "namespaceSelector");
    const struct json *block = json_get(peer, "ipBlock");
    if (!pods && !namespaces && !block) {
        field_error(e, FIELD_REQUIRED, path, NULL, "must specify a peer");
    } else if (block && (pods || namespaces)) {
        field_error(e, FIELD_FORBIDDEN, path, NULL,
                    "may not specify both ipBlock and another peer");
    }
    validate_label_selector(e, rule_path(e, "%s.podSelector", path), pods);
    validate_label_selector(e, rule_path(e, "%s.namespaceSelector", path), namespaces);
    if (block) {
        policy_block(e, rule_path(e, "%s.ipBlock", path), block);
    }
}

static void policy_rules(struct field_errors *e, const char *member, const char *peers,
                         const struct json *spec)
{
    int i = 0;
    JSON_FOR_EACH (rule, json_get(spec, member)) {
        const char *path = rule_path(e, "spec.%s[%d]", member, i++);
        int k = 0;
        JSON_FOR_EACH (port, json_get(rule, "ports")) {
            policy_port(e, rule_path(e, "%s.ports[%d]", path, k++), port);
        }
        k = 0;
        JSON_FOR_EACH (peer, json_get(rule, peers)) {
            policy_peer(e, rule_path(e, "%s.%s[%d]", path, peers, k++), peer);
        }
    }
}

static void policy_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const types[] = {"Egress", "Ingress", NULL};
    const struct json *spec = json_get(obj, "spec"), *list = json_get(spec, "policyTypes");
    (void)old; /* everything may change */
    validate_label_selector(e, "spec.podSelector", json_get(spec, "podSelector"));
    policy_rules(e, "ingress", "from", spec);
    policy_rules(e, "egress", "to", spec);
    if (json_len(list) > 2) {
        field_error(e, FIELD_INVALID, "spec.policyTypes", list,
                    "may not specify more than two policyTypes");
        return;
    }
    int i = 0;
    JSON_FOR_EACH (type, list) {
        validate_one_of(e, rule_path(e, "spec.policyTypes[%d]", i++), type, types);
    }
}

const struct strategy rules_network_policy = {
    .group = "networking.k8s.io", .kind = "NetworkPolicy", .validate = policy_validate};

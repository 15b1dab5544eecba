/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints and EndpointSlices (pkg/apis/core/validation, pkg/apis/discovery/validation). */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/port.h"
#include "api/rules/rules.h"
#include "base/mem.h"

#define ENDPOINTS_MAX 1000
#define ADDRESSES_MAX 100
#define PORTS_MAX 20000
#define NO_IP "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"

static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};

/* ---- Endpoints ---- */

static void addresses(struct field_errors *e, const char *path, const struct json *list)
{
    int i = 0;
    JSON_FOR_EACH (a, list) {
        const char *p = rule_path(e, "%s[%d]", path, i++);
        if (!rule_is_ip(json_path_cstr(a, "ip", ""), NULL)) {
            field_error(e, FIELD_INVALID, rule_path(e, "%s.ip", p), json_get(a, "ip"), NO_IP);
        }
        if (json_text(json_get(a, "hostname")).n) {
            rule_name(e, rule_path(e, "%s.hostname", p), json_get(a, "hostname"),
                      name_check_dns_label);
        }
        if (json_text(json_get(a, "nodeName")).n) {
            rule_name(e, rule_path(e, "%s.nodeName", p), json_get(a, "nodeName"),
                      name_check_dns_subdomain);
        }
    }
}

static void ports(struct field_errors *e, const char *path, const struct json *list)
{
    int i = 0;
    JSON_FOR_EACH (port, list) {
        const char *p = rule_path(e, "%s[%d]", path, i++);
        if (json_text(json_get(port, "name")).n) {
            rule_name(e, rule_path(e, "%s.name", p), json_get(port, "name"), name_check_dns_label);
        } else if (json_len(list) > 1) {
            field_error(e, FIELD_REQUIRED, rule_path(e, "%s.name", p), NULL, NULL);
        }
        rule_port(e, rule_path(e, "%s.port", p), json_get(port, "port"));
        validate_one_of(e, rule_path(e, "%s.protocol", p), json_get(port, "protocol"), protocols);
    }
}

static void endpoints_validate(struct field_errors *e, const struct json *obj,
                               const struct json *old)
{
    (void)old; /* everything may change */
    int i = 0;
    JSON_FOR_EACH (s, json_get(obj, "subsets")) {
        const char *p = rule_path(e, "subsets[%d]", i++);
        const struct json *ready = json_get(s, "addresses"),
                          *not = json_get(s, "notReadyAddresses");
        if (json_len(ready) + json_len(not ) == 0) {
            field_error(e, FIELD_REQUIRED, p, NULL,
                        "must specify `addresses` or `notReadyAddresses`");
        }
        addresses(e, rule_path(e, "%s.addresses", p), ready);
        addresses(e, rule_path(e, "%s.notReadyAddresses", p), not );
        ports(e, rule_path(e, "%s.ports", p), json_get(s, "ports"));
    }
}

const struct strategy rules_endpoints = {
    .group = "", .kind = "Endpoints", .validate = endpoints_validate};

/* ---- EndpointSlices ---- */

static bool fits(const char *type, const char *address)
{
    bool v6 = false;
    if (cstr_eq(type, "FQDN")) {
        return !name_check_dns_subdomain(str_of(address));
    }
    return rule_is_ip(address, &v6) && v6 == cstr_eq(type, "IPv6");
}

static void endpoint(struct field_errors *e, const char *path, const struct json *endpoint,
                     const char *type)
{
    const struct json *list = json_get(endpoint, "addresses");
    const char *p = rule_path(e, "%s.addresses", path);
    int i = 0;
    if (json_len(list) == 0) {
        field_error(e, FIELD_REQUIRED, p, NULL, "must contain at least 1 address");
    } else if (json_len(list) > ADDRESSES_MAX) {
        field_error(e, FIELD_TOO_MANY, p, list, "must have at most 100 items");
    }
    JSON_FOR_EACH (address, list) {
        if (!fits(type, json_cstr(address, ""))) {
            field_error(e, FIELD_INVALID, rule_path(e, "%s[%d]", p, i), address,
                        cstr_eq(type, "IPv4")   ? "must be a valid IPv4 address"
                        : cstr_eq(type, "IPv6") ? "must be a valid IPv6 address"
                                                : "must be a valid domain name");
        }
        i++;
    }
    if (json_get(endpoint, "nodeName")) {
        rule_name(e, rule_path(e, "%s.nodeName", path), json_get(endpoint, "nodeName"),
                  name_check_dns_subdomain);
    }
    if (json_get(endpoint, "hostname")) {
        rule_name(e, rule_path(e, "%s.hostname", path), json_get(endpoint, "hostname"),
                  name_check_dns_label);
    }
}

static void slice_ports(struct field_errors *e, const struct json *list)
{
    if (json_len(list) > PORTS_MAX) {
        field_error(e, FIELD_TOO_MANY, "ports", list, "must have at most 20000 items");
        return;
    }
    int i = 0;
    JSON_FOR_EACH (port, list) {
        const char *p = rule_path(e, "ports[%d]", i++);
        struct str name = json_text(json_get(port, "name"));
        if (name.n) {
            rule_name(e, rule_path(e, "%s.name", p), json_get(port, "name"), name_check_dns_label);
        }
        validate_one_of(e, rule_path(e, "%s.protocol", p), json_get(port, "protocol"), protocols);
        rule_port(e, rule_path(e, "%s.port", p), json_get(port, "port"));
    }
}

static void slice_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const types[] = {"FQDN", "IPv4", "IPv6", NULL};
    const struct json *type = json_get(obj, "addressType"), *list = json_get(obj, "endpoints");
    if (rule_required(e, "", obj, "addressType")) {
        validate_one_of(e, "addressType", type, types);
    }
    if (json_len(list) > ENDPOINTS_MAX) {
        field_error(e, FIELD_TOO_MANY, "endpoints", list, "must have at most 1000 items");
        return;
    }
    int i = 0;
    JSON_FOR_EACH (one, list) {
        endpoint(e, rule_path(e, "endpoints[%d]", i++), one, json_cstr(type, ""));
    }
    slice_ports(e, json_get(obj, "ports"));
    if (old) {
        validate_immutable(e, "addressType", type, json_get(old, "addressType"));
    }
}

const struct strategy rules_endpoint_slice = {
    .group = "discovery.k8s.io", .kind = "EndpointSlice", .validate = slice_validate};

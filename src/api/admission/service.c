/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Services: the fields that the server fills, and what it gives out (cluster IP, node ports,
 * health check port), as the registry of Services in kube-apiserver does.
 *
 * The mutate step brings the fields that hang together into agreement; webhooks see the result. The
 * addresses are given out in the validate step, in one go with the write, so that a webhook's
 * waiting time cannot let two Services have the same one. A dry run shows an address and keeps
 * none.
 *
 * Single-stack IPv4: what needs a second family is refused, as a single-stack cluster does.
 */
#include "api/admission/service.h"

#include "api/admission/admission.h"
#include "api/admission/plugins.h"
#include "api/admission/state.h"
#include "api/alloc/service_alloc.h"
#include "api/handler_private.h"
#include "api/server_private.h"

#define PORTS_MAX 256

static bool is_service(const struct kind *k)
{
    return !*k->group && cstr_eq(k->kind, "Service");
}

static const char *type_of(const struct json *svc)
{
    return json_path_cstr(svc, "spec.type", "ClusterIP");
}

static bool is_type(const struct json *svc, const char *type)
{
    return cstr_eq(type_of(svc), type);
}

static bool needs_ip(const struct json *svc)
{
    return svc && !is_type(svc, "ExternalName");
}

static bool needs_ports(const struct json *svc)
{
    return svc && (is_type(svc, "NodePort") ||
                   (is_type(svc, "LoadBalancer") &&
                    json_path_true(svc, "spec.allocateLoadBalancerNodePorts", true)));
}

static bool needs_health_port(const struct json *svc)
{
    return svc && is_type(svc, "LoadBalancer") &&
           cstr_eq(json_path_cstr(svc, "spec.externalTrafficPolicy", ""), "Local");
}

static bool is_external(const struct json *svc)
{
    return is_type(svc, "NodePort") || is_type(svc, "LoadBalancer") ||
           (is_type(svc, "ClusterIP") && json_len(json_path(svc, "spec.externalIPs")) > 0);
}

static const char *ip_of(const struct json *svc)
{
    const char *ip = json_path_cstr(svc, "spec.clusterIP", "");
    return *ip ? ip : json_cstr(json_at(json_path(svc, "spec.clusterIPs"), 0), "");
}

static bool is_headless(const struct json *svc)
{
    return needs_ip(svc) && cstr_eq(ip_of(svc), "None");
}

/* ---- what an update that leaves fields out means ---- */

static const struct json *same_port(const struct json *svc, const struct json *port)
{
    JSON_FOR_EACH (p, json_path(svc, "spec.ports")) {
        if (json_equal(json_get(p, "port"), json_get(port, "port")) &&
            cstr_eq(json_path_cstr(p, "protocol", "TCP"),
                    json_path_cstr(port, "protocol", "TCP"))) {
            return p;
        }
    }
    return NULL;
}

/* A PUT without them keeps the address and the ports that were given out. */
static void keep_given(struct json *svc, const struct json *old)
{
    struct json *spec = json_get(svc, "spec");
    if (needs_ip(svc) && needs_ip(old)) {
        if (!*json_path_cstr(spec, "clusterIP", "")) {
            json_set(spec, "clusterIP", json_path(old, "spec.clusterIP"));
        }
        if (json_len(json_get(spec, "clusterIPs")) == 0 &&
            cstr_eq(json_path_cstr(spec, "clusterIP", ""), ip_of(old))) {
            json_set(spec, "clusterIPs", json_path(old, "spec.clusterIPs"));
        }
    }
    if (needs_ports(svc) && needs_ports(old)) {
        JSON_FOR_EACH (port, json_get(spec, "ports")) {
            if (json_path_i64(port, "nodePort", 0) == 0) {
                json_set(port, "nodePort", json_get(same_port(old, port), "nodePort"));
            }
        }
    }
    if (needs_health_port(svc) && needs_health_port(old) &&
        json_path_i64(spec, "healthCheckNodePort", 0) == 0) {
        json_set(spec, "healthCheckNodePort", json_path(old, "spec.healthCheckNodePort"));
    }
}

static void drop_same(struct json *svc, const struct json *old, const char *member)
{
    struct json *spec = json_get(svc, "spec");
    const struct json *now = json_get(spec, member), *was = json_get(json_get(old, "spec"), member);
    if (now && was && json_equal(now, was)) {
        (void)json_del(spec, member);
    }
}

/* Fields that only the old type had, and that the client merely sent back, go. */
static void drop_of_type(struct json *svc, const struct json *old)
{
    if (needs_ip(old) && !needs_ip(svc)) {
        drop_same(svc, old, "clusterIP");
        drop_same(svc, old, "clusterIPs");
        drop_same(svc, old, "ipFamilies");
        drop_same(svc, old, "ipFamilyPolicy");
        drop_same(svc, old, "internalTrafficPolicy");
    }
    if (needs_ports(old) && !needs_ports(svc)) {
        JSON_FOR_EACH (port, json_path(svc, "spec.ports")) {
            const struct json *was = json_get(same_port(old, port), "nodePort");
            const struct json *now = json_get(port, "nodePort");
            if (now && was && json_equal(now, was)) {
                (void)json_del(port, "nodePort");
            }
        }
    }
    if (needs_health_port(old) && !needs_health_port(svc)) {
        drop_same(svc, old, "healthCheckNodePort");
    }
    if (is_type(old, "LoadBalancer") && !is_type(svc, "LoadBalancer")) {
        drop_same(svc, old, "allocateLoadBalancerNodePorts");
        drop_same(svc, old, "loadBalancerClass");
        (void)json_del(json_get(svc, "status"), "loadBalancer");
        json_ensure_object(json_ensure_object(svc, "status"), "loadBalancer");
    }
    if (is_external(old) && !is_external(svc)) {
        drop_same(svc, old, "externalTrafficPolicy");
    }
}

/* ---- defaults that hang on other fields ---- */

static void set_default(struct json *o, const char *member, struct json *value)
{
    if (!json_get(o, member)) {
        json_set(o, member, value);
    }
}

static void set_defaults(struct arena *a, struct json *svc)
{
    struct json *spec = json_get(svc, "spec");
    if (cstr_eq(json_path_cstr(spec, "sessionAffinity", "None"), "ClientIP")) {
        struct json *client =
            json_ensure_object(json_ensure_object(spec, "sessionAffinityConfig"), "clientIP");
        set_default(client, "timeoutSeconds", json_int(a, 10800));
    } else {
        (void)json_del(spec, "sessionAffinityConfig");
    }
    JSON_FOR_EACH (port, json_get(spec, "ports")) {
        const struct json *target = json_get(port, "targetPort");
        if (!target || (json_is(target, JSON_INT) && target->i == 0) ||
            (json_is(target, JSON_STRING) && !json_text(target).n)) {
            json_set(port, "targetPort", json_get(port, "port"));
        }
    }
    if (is_external(svc)) {
        set_default(spec, "externalTrafficPolicy", json_string(a, "Cluster"));
    }
    if (needs_ip(svc)) {
        set_default(spec, "internalTrafficPolicy", json_string(a, "Cluster"));
    }
    if (is_type(svc, "LoadBalancer")) {
        set_default(spec, "allocateLoadBalancerNodePorts", json_bool(a, true));
    }
    json_ensure_object(json_ensure_object(svc, "status"), "loadBalancer");
}

/* clusterIP is the first of clusterIPs; the one that was given sets the other. */
static void join_ips(struct arena *a, struct json *svc, const struct json *old)
{
    struct json *spec = json_get(svc, "spec");
    const char *ip = json_path_cstr(spec, "clusterIP", "");
    const struct json *ips = json_get(spec, "clusterIPs");
    const char *first = json_cstr(json_at(ips, 0), "");
    bool only_ip_moved = old && !cstr_eq(ip, ip_of(old)) && cstr_eq(first, ip_of(old));
    if (*ip && (json_len(ips) == 0 || only_ip_moved)) {
        struct json *list = json_set(spec, "clusterIPs", json_array(a));
        json_push(list, json_string(a, ip));
    } else if (*first && !*ip && !only_ip_moved) {
        json_set_str(spec, "clusterIP", first);
    } else if (!*ip) {
        (void)json_del(spec, "clusterIP");
        (void)json_del(spec, "clusterIPs");
    }
}

/* ---- families ---- */

static bool refuse(struct admission *ad, const struct field_errors *e)
{
    struct status_about about = handler_about_kind(ad->op, obj_name(ad->obj));
    return admission_refuse(ad, status_invalid(ad->op->arena, &about, e));
}

static bool set_families(struct admission *ad, struct json *svc)
{
    struct arena *a = ad->op->arena;
    struct json *spec = json_get(svc, "spec");
    bool by_hand = is_headless(svc) && json_len(json_get(spec, "selector")) == 0;
    struct json *families = json_ensure_array(spec, "ipFamilies");
    struct field_errors e;
    field_errors_init(&e, a);
    set_default(spec, "ipFamilyPolicy",
                json_string(a, by_hand ? "RequireDualStack" : "SingleStack"));
    const char *policy = json_path_cstr(spec, "ipFamilyPolicy", "");
    if (json_len(families) == 0) {
        json_push(families, json_string(a, "IPv4"));
    }
    if (by_hand) {
        const char *first = json_cstr(json_at(families, 0), "");
        if (json_len(families) == 1 && !cstr_eq(policy, "SingleStack")) {
            json_push(families, json_string(a, cstr_eq(first, "IPv4") ? "IPv6" : "IPv4"));
        }
        return true;
    }
    if (cstr_eq(policy, "RequireDualStack")) {
        field_error_text(&e, FIELD_INVALID, "spec.ipFamilyPolicy", policy,
                         "this cluster is not configured for dual-stack services");
    }
    for (size_t i = 0; i < json_len(families); i++) {
        const char *family = json_cstr(json_at(families, i), "");
        if (!cstr_eq(family, "IPv4")) {
            field_error_text(&e, FIELD_INVALID, arena_printf(a, "spec.ipFamilies[%zu]", i), family,
                             "not configured on this cluster");
        }
    }
    return e.n == 0 || refuse(ad, &e);
}

static bool mutate(struct admission *ad)
{
    if (!is_service(ad->kind) || *ad->subresource || !ad->obj) {
        return true;
    }
    struct arena *a = ad->op->arena;
    (void)json_ensure_object(ad->obj, "spec");
    if (ad->old) {
        keep_given(ad->obj, ad->old);
        drop_of_type(ad->obj, ad->old);
    }
    set_defaults(a, ad->obj);
    if (!needs_ip(ad->obj)) {
        return true;
    }
    join_ips(a, ad->obj, ad->old);
    return set_families(ad, ad->obj);
}

/* ---- giving out ---- */

static const char *ips_text(struct arena *a, const struct json *svc)
{
    const char *text = "[]string{";
    const char *comma = "";
    JSON_FOR_EACH (ip, json_path(svc, "spec.clusterIPs")) {
        text = arena_printf(a, "%s%s\"%s\"", text ? text : "", comma, json_cstr(ip, ""));
        comma = ", ";
    }
    return arena_printf(a, "%s}", text ? text : "");
}

static void check_ip(struct admission *ad, const struct service_alloc *sa, struct field_errors *e)
{
    struct arena *a = ad->op->arena;
    const char *ip = ip_of(ad->obj), *why = NULL;
    switch (service_alloc_ip(sa, ip)) {
    case SERVICE_IP_TAKEN:
        why = "provided IP is already allocated";
        break;
    case SERVICE_IP_OUTSIDE:
        why = arena_printf(a,
                           "the provided IP (%s) is not in the valid range. The range of valid IPs "
                           "is %s",
                           ip, service_alloc_range(sa));
        break;
    case SERVICE_IP_BAD:
        why = "must be a valid IPv4 address of this single-stack cluster, None, or empty";
        break;
    case SERVICE_IP_FREE:
        return;
    }
    field_error_raw(e, FIELD_INVALID, "spec.clusterIPs", ips_text(a, ad->obj),
                    arena_printf(a, "failed to allocate IP %s: %s", ip, why ? why : ""));
}

static bool give_ip(struct admission *ad, const struct service_alloc *sa, struct field_errors *e)
{
    struct arena *a = ad->op->arena;
    struct json *spec = json_get(ad->obj, "spec");
    const char *ip = ip_of(ad->obj), *was = needs_ip(ad->old) ? ip_of(ad->old) : "";
    if (*was && !cstr_eq(ip, was)) {
        field_error_raw(e, FIELD_INVALID, "spec.clusterIPs[0]", ips_text(a, ad->obj),
                        "may not change once set");
        return true;
    }
    if (cstr_eq(ip, "None") || *was) {
        return true;
    }
    if (json_len(json_get(spec, "clusterIPs")) > 1) {
        field_error_raw(e, FIELD_INVALID, "spec.clusterIPs", ips_text(a, ad->obj),
                        "may only hold up to 1 values for ipFamilyPolicy SingleStack");
        return true;
    }
    if (*ip) {
        check_ip(ad, sa, e);
        return true;
    }
    char fresh[SERVICE_IP_SIZE];
    service_alloc_pick_ip(sa, fresh);
    if (!fresh[0]) {
        return admission_refuse(ad, status_failure(a, 500, "InternalError",
                                                   "failed to allocate a serviceIP: range is full",
                                                   NULL));
    }
    json_set_str(spec, "clusterIP", fresh);
    json_push(json_set(spec, "clusterIPs", json_array(a)), json_string(a, fresh));
    return true;
}

/* The node ports that this write has or was given so far. */
struct ports {
    int64_t v[PORTS_MAX];
    size_t n;
};

static bool had_port(const struct json *old, int64_t port)
{
    JSON_FOR_EACH (p, json_path(old, "spec.ports")) {
        if (json_path_i64(p, "nodePort", 0) == port) {
            return true;
        }
    }
    return json_path_i64(old, "spec.healthCheckNodePort", 0) == port;
}

static void check_port(const struct json *old, const struct service_alloc *sa, const char *path,
                       const struct json *port, struct field_errors *e)
{
    int64_t n = json_i64(port, 0);
    if (had_port(old, n)) {
        return;
    }
    if (n < NODE_PORT_FIRST || n > NODE_PORT_LAST) {
        field_error(e, FIELD_INVALID, path, port,
                    "provided port is not in the valid range. The range of valid ports is "
                    "30000-32767");
    } else if (service_alloc_port_taken(sa, n)) {
        field_error(e, FIELD_INVALID, path, port, "provided port is already allocated");
    }
}

/* TCP and UDP of one port share the node port. */
static int64_t twin(const struct json *svc, const struct json *port)
{
    JSON_FOR_EACH (p, json_path(svc, "spec.ports")) {
        int64_t n = json_path_i64(p, "nodePort", 0);
        if (p != port && n > 0 && json_equal(json_get(p, "port"), json_get(port, "port")) &&
            !cstr_eq(json_path_cstr(p, "protocol", "TCP"),
                     json_path_cstr(port, "protocol", "TCP"))) {
            return n;
        }
    }
    return 0;
}

static bool fresh_port(struct admission *ad, const struct service_alloc *sa, struct json *o,
                       const char *member, struct ports *used)
{
    int64_t n = service_alloc_pick_port(sa, used->v, used->n);
    if (n == 0 || used->n == PORTS_MAX) {
        return admission_refuse(ad, status_failure(ad->op->arena, 500, "InternalError",
                                                   "failed to allocate a nodePort: range is full",
                                                   NULL));
    }
    used->v[used->n++] = n;
    json_set_int(o, member, n);
    return true;
}

static bool give_ports(struct admission *ad, const struct service_alloc *sa, struct field_errors *e)
{
    struct json *spec = json_get(ad->obj, "spec");
    struct ports used = {.n = 0};
    size_t i = 0;
    JSON_FOR_EACH (port, json_get(spec, "ports")) {
        const struct json *n = json_get(port, "nodePort");
        if (json_i64(n, 0) > 0) {
            check_port(ad->old, sa, arena_printf(ad->op->arena, "spec.ports[%zu].nodePort", i), n,
                       e);
            if (used.n < PORTS_MAX) {
                used.v[used.n++] = json_i64(n, 0);
            }
        }
        i++;
    }
    JSON_FOR_EACH (port, json_get(spec, "ports")) {
        if (!needs_ports(ad->obj) || json_path_i64(port, "nodePort", 0) > 0) {
            continue;
        }
        int64_t shared = twin(ad->obj, port);
        if (shared) {
            json_set_int(port, "nodePort", shared);
        } else if (!fresh_port(ad, sa, port, "nodePort", &used)) {
            return false;
        }
    }
    const struct json *health = json_get(spec, "healthCheckNodePort");
    if (json_i64(health, 0) > 0) {
        check_port(ad->old, sa, "spec.healthCheckNodePort", health, e);
    } else if (needs_health_port(ad->obj)) {
        return fresh_port(ad, sa, spec, "healthCheckNodePort", &used);
    }
    return true;
}

static bool give_out(struct admission *ad)
{
    if (!is_service(ad->kind) || *ad->subresource || !ad->obj) {
        return true;
    }
    const struct service_alloc *sa = ad->op->server->admission.services;
    struct field_errors e;
    field_errors_init(&e, ad->op->arena);
    if (needs_ip(ad->obj) && !give_ip(ad, sa, &e)) {
        return false;
    }
    if (!give_ports(ad, sa, &e)) {
        return false;
    }
    return e.n == 0 || refuse(ad, &e);
}

const struct admission_plugin service_plugin = {
    .name = "ServiceAllocation", .mutate = mutate, .validate = give_out};

/* ---- the table ---- */

int service_state_start(struct api_server *s, struct err *err)
{
    const char *range = s->opts.service_range ? s->opts.service_range : SERVICE_RANGE_DEFAULT;
    int rc = service_alloc_new(range, &s->admission.services, err);
    if (rc < 0) {
        return rc == -E_NOMEM ? err_set(err, rc, "out of memory") : rc;
    }
    struct store_list list = {0};
    rc = store_list(s->store, &(struct store_list_opts){.prefix = STR_LIT("services/")}, &list);
    for (size_t i = 0; rc == 0 && i < list.n; i++) {
        struct arena a;
        struct str ns, name;
        struct json *svc = NULL;
        arena_init(&a, 0);
        if (api_key_parse(store_item_key(list.items[i]), &ns, &name)) {
            rc = json_parse(&a, store_item_value(list.items[i]), NULL, &svc, NULL);
            rc = rc < 0 ? rc
                        : service_alloc_set(s->admission.services, arena_str(&a, ns),
                                            arena_str(&a, name), svc);
        }
        arena_fini(&a);
    }
    store_list_fini(&list);
    return rc < 0 ? err_set(err, rc, "read the services: %s", err_text(rc)) : 0;
}

void service_state_wrote(struct api_server *s, const struct kind *k, const char *ns,
                         const char *name, const struct json *obj)
{
    if (is_service(k)) {
        /* Without memory what it had stays taken: nothing is given out twice. */
        (void)service_alloc_set(s->admission.services, ns, name, obj);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The pods behind a Service, and its Endpoints: see endpoints.h. */
#include "endpoints.h"

#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"

static bool publishes_all(const struct json *service)
{
    return json_path_true(service, "spec.publishNotReadyAddresses", false);
}

static bool is_headless(const struct json *service)
{
    return strcmp(json_path_cstr(service, "spec.clusterIP", ""), "None") == 0;
}

/* ---- groups ---- */

static int64_t resolve(const struct json *port, const struct pod_facts *p)
{
    const struct json *target = json_get(port, "targetPort");
    if (json_is(target, JSON_STRING)) {
        return pod_port(p, json_cstr(target, ""), json_path_cstr(port, "protocol", "TCP"));
    }
    return json_i64(target, json_path_i64(port, "port", 0));
}

static bool any_named(const struct json *service)
{
    JSON_FOR_EACH (port, json_path(service, "spec.ports")) {
        if (json_is(json_get(port, "targetPort"), JSON_STRING)) {
            return true;
        }
    }
    return false;
}

static const char *ports_key(struct arena *a, const struct json *service, const struct pod_facts *p)
{
    const char *key = "";
    JSON_FOR_EACH (port, json_path(service, "spec.ports")) {
        key = arena_printf(a, "%s/%lld", key ? key : "", (long long)resolve(port, p));
    }
    return key ? key : "";
}

static struct json *ports_of(struct arena *a, const struct json *service, const struct pod_facts *p)
{
    struct json *ports = json_array(a);
    JSON_FOR_EACH (port, json_path(service, "spec.ports")) {
        int64_t number = resolve(port, p);
        if (number <= 0) {
            continue; /* the pod has no port of this name */
        }
        struct json *o = json_push(ports, json_object(a));
        json_set_str(o, "name", json_path_cstr(port, "name", ""));
        json_set_str(o, "protocol", json_path_cstr(port, "protocol", "TCP"));
        json_set_int(o, "port", number);
        json_set_str(o, "appProtocol", json_path_cstr(port, "appProtocol", NULL));
    }
    return ports;
}

static struct endpoint_group *group_of(struct arena *a, struct endpoint_groups *gs, const char *key)
{
    for (size_t i = 0; i < gs->n; i++) {
        if (strcmp(gs->v[i].key, key) == 0) {
            return &gs->v[i];
        }
    }
    struct endpoint_group *v = arena_grow(a, gs->v, gs->n * sizeof(*v), (gs->n + 1) * sizeof(*v));
    if (!v) {
        return NULL;
    }
    gs->v = v;
    v[gs->n] = (struct endpoint_group){.key = key};
    return &v[gs->n++];
}

static void add_pod(struct arena *a, struct endpoint_group *g, const struct pod_facts *p)
{
    if (g->n == g->cap) {
        size_t cap = g->cap ? g->cap * 2 : 16, size = sizeof(*g->pods);
        const struct pod_facts **pods = arena_grow(a, (void *)g->pods, g->n * size, cap * size);
        if (!pods) {
            return;
        }
        g->pods = pods;
        g->cap = cap;
    }
    g->pods[g->n++] = p;
}

static int by_address(const void *x, const void *y)
{
    const struct pod_facts *a = *(const struct pod_facts *const *)x;
    const struct pod_facts *b = *(const struct pod_facts *const *)y;
    int r = strcmp(a->ip, b->ip);
    return r ? r : strcmp(a->uid, b->uid);
}

static bool of_family(const struct json *service, const char *ip)
{
    const char *family = json_cstr(json_at(json_path(service, "spec.ipFamilies"), 0), "IPv4");
    return (strchr(ip, ':') != NULL) == (strcmp(family, "IPv6") == 0);
}

struct endpoint_groups endpoint_groups(struct arena *a, const struct json *service,
                                       const struct pod_facts **pods, size_t n)
{
    struct endpoint_groups gs = {0};
    bool named = any_named(service);
    if (n > 1) {
        qsort((void *)pods, n, sizeof(*pods), by_address);
    }
    for (size_t i = 0; i < n; i++) {
        const struct pod_facts *p = pods[i];
        if (!p->ip[0] || pod_ended(p) || !of_family(service, p->ip)) {
            continue;
        }
        struct endpoint_group *g = group_of(a, &gs, named ? ports_key(a, service, p) : "");
        if (g && !g->ports) {
            g->ports = ports_of(a, service, p);
        }
        if (g) {
            add_pod(a, g, p);
        }
    }
    return gs;
}

/* ---- endpoints ---- */

static struct json *target_ref(struct arena *a, const struct pod_facts *p)
{
    struct json *ref = json_object(a);
    json_set_str(ref, "kind", "Pod");
    json_set_str(ref, "namespace", p->ns);
    json_set_str(ref, "name", p->name);
    json_set_str(ref, "uid", p->uid);
    return ref;
}

static const char *hostname_of(const struct json *service, const struct pod_facts *p)
{
    return p->hostname[0] && strcmp(p->subdomain, obj_name(service)) == 0 ? p->hostname : NULL;
}

static struct json *address_of(struct arena *a, const struct json *service,
                               const struct pod_facts *p)
{
    struct json *o = json_object(a);
    json_set_str(o, "ip", p->ip);
    json_set_str(o, "hostname", hostname_of(service, p));
    json_set_str(o, "nodeName", p->node);
    json_set(o, "targetRef", target_ref(a, p));
    return o;
}

/* The same ports as an Endpoints object writes them. */
static struct json *plain_ports(struct arena *a, const struct json *ports)
{
    struct json *list = json_array(a);
    JSON_FOR_EACH (port, ports) {
        struct json *o = json_push(list, json_object(a));
        const char *name = json_path_cstr(port, "name", "");
        json_set_str(o, "name", *name ? name : NULL);
        json_set(o, "port", json_get(port, "port"));
        json_set(o, "protocol", json_get(port, "protocol"));
        json_set(o, "appProtocol", json_get(port, "appProtocol"));
    }
    return list;
}

static struct json *subset_of(struct arena *a, const struct json *service,
                              const struct endpoint_group *g, size_t *room)
{
    struct json *subset = json_object(a), *ready = json_array(a), *not_ready = json_array(a);
    bool all = publishes_all(service);
    for (size_t i = 0; i<g->n && * room> 0; i++) {
        const struct pod_facts *p = g->pods[i];
        if (p->deleting && !all) {
            continue;
        }
        json_push(p->ready || all ? ready : not_ready, address_of(a, service, p));
        (*room)--;
    }
    if (json_len(ready) + json_len(not_ready) == 0) {
        return NULL;
    }
    if (json_len(ready)) {
        json_set(subset, "addresses", ready);
    }
    if (json_len(not_ready)) {
        json_set(subset, "notReadyAddresses", not_ready);
    }
    if (json_len(g->ports)) {
        json_set(subset, "ports", plain_ports(a, g->ports));
    }
    return subset;
}

static struct json *endpoint_labels(struct arena *a, const struct json *service)
{
    const struct json *labels = obj_labels(service);
    struct json *copy = labels ? json_clone(a, labels) : json_object(a);
    if (is_headless(service)) {
        json_set_str(copy, "service.kubernetes.io/headless", "");
    }
    return copy;
}

static bool same_objects(const struct json *a, const struct json *b)
{
    return json_len(a) == 0 ? json_len(b) == 0 : b && json_equal(a, b);
}

#define OVER_CAPACITY "endpoints.kubernetes.io/over-capacity"

void endpoints_plan(struct plan *plan, const struct json *service,
                    const struct endpoint_groups *groups, const struct json *now)
{
    struct arena *a = plan->arena;
    const struct kind *kind = known_kinds()->endpoints;
    struct json *subsets = json_array(a), *labels = endpoint_labels(a, service);
    size_t room = ENDPOINTS_MAX, total = 0;
    for (size_t i = 0; i < groups->n; i++) {
        struct json *subset = subset_of(a, service, &groups->v[i], &room);
        total += groups->v[i].n;
        json_push(subsets, subset);
    }
    if (now && same_objects(subsets, json_get(now, "subsets")) &&
        same_objects(labels, obj_labels(now))) {
        return;
    }
    struct json *o = now ? json_clone(a, now) : json_object(a);
    struct json *meta = obj_meta(o);
    json_set_str(meta, "name", obj_name(service));
    json_set_str(meta, "namespace", obj_ns(service));
    json_set(meta, "labels", labels);
    if (total > ENDPOINTS_MAX) {
        obj_set_annotation(o, OVER_CAPACITY, "truncated");
    } else {
        (void)json_del(json_get(meta, "annotations"), OVER_CAPACITY);
    }
    json_set(o, "subsets", subsets);
    if (now) {
        plan_update(plan, kind, o, NULL)->flags = ACTION_F_ABSENT_OK;
    } else {
        plan_create(plan, kind, obj_ns(service), o);
    }
}

/* ---- slices of pods ---- */

struct slice_want slice_want_of(struct arena *a, const struct json *service,
                                const struct endpoint_group *g, const struct json *zones)
{
    bool all = publishes_all(service);
    struct slice_want w = {.ports = g->ports, .endpoints = json_array(a)};
    w.address_type = g->n && strchr(g->pods[0]->ip, ':') ? "IPv6" : "IPv4";
    for (size_t i = 0; i < g->n; i++) {
        const struct pod_facts *p = g->pods[i];
        struct json *o = json_push(w.endpoints, json_object(a));
        json_push(json_ensure_array(o, "addresses"), json_string(a, p->ip));
        struct json *c = json_ensure_object(o, "conditions");
        json_set_bool(c, "ready", all || (p->ready && !p->deleting));
        json_set_bool(c, "serving", all || p->ready);
        json_set_bool(c, "terminating", p->deleting);
        json_set_str(o, "hostname", hostname_of(service, p));
        json_set(o, "targetRef", target_ref(a, p));
        json_set_str(o, "nodeName", p->node[0] ? p->node : NULL);
        json_set_str(o, "zone", json_cstr(json_get(zones, p->node), NULL));
    }
    return w;
}

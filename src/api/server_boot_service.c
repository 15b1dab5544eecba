/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Service `kubernetes` in namespace default, with the Endpoints and the EndpointSlice that
 * point at this server: pods find the API by it.
 */
#include "api/server_boot.h"

#include <netinet/in.h>
#include <arpa/inet.h>

#include "api/alloc/service_alloc.h"
#include "api/object.h"
#include "api/server_private.h"

#define NAME "kubernetes"
#define NS "default"

static struct json *object_of(struct arena *a, const char *label, const char *value)
{
    struct json *o = json_object(a), *meta = obj_meta(o);
    json_set_str(meta, "name", NAME);
    json_set_str(meta, "namespace", NS);
    obj_set_label(o, label, value);
    return o;
}

static struct json *port_of(struct arena *a, int64_t port)
{
    struct json *p = json_object(a);
    json_set_str(p, "name", "https");
    json_set_str(p, "protocol", "TCP");
    json_set_int(p, "port", port);
    return p;
}

static struct json *service(struct arena *a, const struct api_server *s)
{
    char ip[SERVICE_IP_SIZE];
    struct json *o = object_of(a, "component", "apiserver");
    obj_set_label(o, "provider", "kubernetes");
    struct json *spec = json_ensure_object(o, "spec");
    service_alloc_first_ip(s->admission.services, ip);
    json_set_str(spec, "clusterIP", ip);
    json_push(json_ensure_array(spec, "clusterIPs"), json_string(a, ip));
    struct json *port = json_push(json_ensure_array(spec, "ports"), port_of(a, 443));
    json_set_int(port, "targetPort", s->opts.advertise_port);
    json_set_str(spec, "type", "ClusterIP");
    json_set_str(spec, "sessionAffinity", "None");
    return o;
}

static struct json *endpoints(struct arena *a, const struct api_server *s)
{
    struct json *o = object_of(a, "endpointslice.kubernetes.io/skip-mirror", "true");
    struct json *subset = json_push(json_ensure_array(o, "subsets"), json_object(a));
    struct json *address = json_push(json_ensure_array(subset, "addresses"), json_object(a));
    json_set_str(address, "ip", s->opts.advertise_address);
    json_push(json_ensure_array(subset, "ports"), port_of(a, s->opts.advertise_port));
    return o;
}

static struct json *slice(struct arena *a, const struct api_server *s)
{
    struct json *o = object_of(a, "kubernetes.io/service-name", NAME);
    struct in6_addr six;
    json_set_str(o, "addressType",
                 inet_pton(AF_INET6, s->opts.advertise_address, &six) == 1 ? "IPv6" : "IPv4");
    struct json *ep = json_push(json_ensure_array(o, "endpoints"), json_object(a));
    json_push(json_ensure_array(ep, "addresses"), json_string(a, s->opts.advertise_address));
    json_set_bool(json_ensure_object(ep, "conditions"), "ready", true);
    json_push(json_ensure_array(o, "ports"), port_of(a, s->opts.advertise_port));
    return o;
}

/* Made when absent; when it is there only its addresses and ports are brought up to date. */
static int ensure(struct api_server *s, struct arena *a, const struct kind *k, struct json *wanted)
{
    static const char *const members[] = {"subsets", "endpoints", "ports"};
    const char *key = k ? api_key(a, k, NS, NAME) : NULL;
    struct store_item *it = key ? store_get(s->store, str_of(key)) : NULL;
    struct json *now = NULL;
    bool changed = false;
    if (!key || arena_failed(a)) {
        return -E_NOMEM;
    }
    if (!it) {
        return server_boot_write(s, HANDLER_CREATE, k, wanted);
    }
    if (json_parse(a, store_item_value(it), NULL, &now, NULL) < 0) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        struct json *v = json_get(wanted, members[i]);
        if (v && !json_equal(v, json_get(now, members[i]))) {
            json_set(now, members[i], v);
            changed = true;
        }
    }
    return changed ? server_boot_write(s, HANDLER_UPDATE, k, now) : 0;
}

int server_boot_service(struct api_server *s)
{
    struct arena a;
    if (!s->opts.advertise_address || !s->opts.advertise_port) {
        return 0;
    }
    arena_init(&a, /* cap= */ 0);
    int rc = ensure(s, &a, kind_find("", "v1", "services"), service(&a, s));
    rc = rc < 0 ? rc : ensure(s, &a, kind_find("", "v1", "endpoints"), endpoints(&a, s));
    rc = rc < 0
             ? rc
             : ensure(s, &a, kind_find("discovery.k8s.io", "v1", "endpointslices"), slice(&a, s));
    arena_fini(&a);
    return rc;
}

int server_boot_priorities(struct api_server *s)
{
    static const struct {
        const char *name, *about;
        int64_t value;
    } classes[] = {
        {"system-cluster-critical",
         "Used for system critical pods that must run in the cluster, but can be moved to another "
         "node if necessary.",
         2000000000},
        {"system-node-critical",
         "Used for system critical pods that must not be moved from their current node.",
         2000001000},
    };
    const struct kind *k = kind_find("scheduling.k8s.io", "v1", "priorityclasses");
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(classes); i++) {
        struct arena a;
        arena_init(&a, /* cap= */ 0);
        struct json *o = json_object(&a);
        json_set_str(obj_meta(o), "name", classes[i].name);
        json_set_str(o, "description", classes[i].about);
        json_set_int(o, "value", classes[i].value);
        const char *key = api_key(&a, k, "", classes[i].name);
        rc = arena_failed(&a)                   ? -E_NOMEM
             : store_get(s->store, str_of(key)) ? 0
                                                : server_boot_write(s, HANDLER_CREATE, k, o);
        arena_fini(&a);
    }
    return rc;
}

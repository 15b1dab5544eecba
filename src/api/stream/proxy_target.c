/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a proxy request goes. A name is [SCHEME:]NAME[:PORT], as Kubernetes cuts it
 * (utilnet.SplitSchemeNamePort): "web", "web:8080", "https:web:", "https:web:443".
 */
#include "api/object.h"
#include "api/stream/proxy.h"

struct wanted {
    struct str scheme, name, port;
};

static bool split_name(struct str text, struct wanted *w)
{
    struct str first, second, third;
    *w = (struct wanted){0};
    if (!str_cut(text, ':', &first, &second)) {
        w->name = first;
    } else if (!str_cut(second, ':', &second, &third)) {
        w->name = first;
        w->port = second;
    } else {
        w->scheme = first;
        w->name = second;
        w->port = third;
    }
    bool scheme = w->scheme.n == 0 || str_is(w->scheme, "http") || str_is(w->scheme, "https");
    return scheme && w->name.n > 0 && !memchr(w->port.p ? w->port.p : "", ':', w->port.n);
}

static bool refuse(struct server_call *call, int code, const char *text)
{
    api_reply_error(call->x, code, text ? text : "out of memory");
    return false;
}

/* The stored object; NULL when it has replied. */
static struct json *find(struct server_call *call, const char *plural, const char *ns,
                         const char *name, bool must)
{
    struct arena *a = http_exchange_arena(call->x);
    const struct kind *k = kind_find("", "v1", plural);
    const char *key = k && name ? api_key(a, k, ns, name) : NULL;
    struct store_item *it = key ? store_get(call->server->store, str_of(key)) : NULL;
    struct json *obj = it ? handler_item_tree(a, k, it) : NULL;
    if (!obj && must) {
        struct status_about about = {.kind = plural, .name = name};
        server_reply_status(call->x, status_not_found(a, &about));
    }
    return obj;
}

static bool read_port(struct str text, uint16_t *ret)
{
    uint64_t n = 0;
    if (str_u64(text, &n) < 0 || n == 0 || n > UINT16_MAX) {
        return false;
    }
    *ret = (uint16_t)n;
    return true;
}

/* ---- pods ---- */

static uint16_t default_port(const struct json *pod, bool tls)
{
    JSON_FOR_EACH (c, json_path(pod, "spec.containers")) {
        const struct json *port = json_at(json_get(c, "ports"), 0);
        int64_t n = json_path_i64(port, "containerPort", 0);
        if (n > 0 && n <= UINT16_MAX) {
            return (uint16_t)n;
        }
    }
    return tls ? 443 : 80;
}

static bool resolve_pod(struct server_call *call, const struct wanted *w, struct upstream_target *t)
{
    struct arena *a = http_exchange_arena(call->x);
    const char *name = arena_str(a, w->name);
    const struct json *pod = find(call, "pods", call->route.ns, name, true);
    if (!pod) {
        return false;
    }
    uint16_t port = default_port(pod, t->tls);
    if (w->port.n > 0 && !read_port(w->port, &port)) {
        return refuse(call, -E_INVAL,
                      arena_printf(a, "invalid pod request \"%s\"", call->route.name));
    }
    t->req = (struct node_stream_req){.type = NODE_STREAM_PORT,
                                      .node = json_path_cstr(pod, "spec.nodeName", ""),
                                      .ns = call->route.ns,
                                      .pod = name,
                                      .uid = obj_uid(pod),
                                      .container = "",
                                      .port = port};
    return *t->req.node ? true
                        : refuse(call, -E_INVAL,
                                 arena_printf(a, "pod %s does not have a host assigned", name));
}

/* ---- services ---- */

/* The name of the service's port that is meant; NULL when it has replied. */
static const char *service_port(struct server_call *call, const struct json *service,
                                struct str port)
{
    struct arena *a = http_exchange_arena(call->x);
    const struct json *ports = json_path(service, "spec.ports");
    uint16_t number;
    if (port.n == 0) {
        return json_len(ports) == 1 ? json_path_cstr(json_at(ports, 0), "name", "") : "";
    }
    if (!read_port(port, &number)) {
        return arena_str(a, port);
    }
    JSON_FOR_EACH (p, ports) {
        if (json_path_i64(p, "port", 0) == number) {
            return json_path_cstr(p, "name", "");
        }
    }
    (void)refuse(
        call, -E_BUSY,
        arena_printf(a, "no service port %u found for service \"%s\"", number, obj_name(service)));
    return NULL;
}

static uint16_t endpoint_port(const struct json *subset, const char *name)
{
    JSON_FOR_EACH (p, json_get(subset, "ports")) {
        int64_t n = json_path_i64(p, "port", 0);
        if (cstr_eq(json_path_cstr(p, "name", ""), name) && n > 0 && n <= UINT16_MAX) {
            return (uint16_t)n;
        }
    }
    return 0;
}

/* Ready addresses that have the port; the i-th of them into *t when t is given. */
static size_t endpoints_walk(struct server_call *call, const struct json *endpoints,
                             const char *port_name, size_t i, struct upstream_target *t)
{
    size_t n = 0;
    JSON_FOR_EACH (subset, json_get(endpoints, "subsets")) {
        uint16_t port = endpoint_port(subset, port_name);
        JSON_FOR_EACH (at, port ? json_get(subset, "addresses") : NULL) {
            if (t && n == i) {
                bool pod = cstr_eq(json_path_cstr(at, "targetRef.kind", ""), "Pod");
                t->host = json_path_cstr(at, "ip", "");
                t->port = port;
                t->req = (struct node_stream_req){.type = NODE_STREAM_PORT,
                                                  .node = pod ? json_path_cstr(at, "nodeName", NULL)
                                                              : NULL,
                                                  .ns = call->route.ns,
                                                  .pod = json_path_cstr(at, "targetRef.name", ""),
                                                  .uid = json_path_cstr(at, "targetRef.uid", ""),
                                                  .container = "",
                                                  .port = port};
            }
            n++;
        }
    }
    return n;
}

static bool resolve_service(struct server_call *call, const struct wanted *w,
                            struct upstream_target *t)
{
    struct arena *a = http_exchange_arena(call->x);
    const char *name = arena_str(a, w->name);
    const struct json *service = find(call, "services", call->route.ns, name, true);
    const char *port = service ? service_port(call, service, w->port) : NULL;
    if (!port) {
        return false;
    }
    const struct json *endpoints = find(call, "endpoints", call->route.ns, name, false);
    size_t n = endpoints_walk(call, endpoints, port, 0, NULL);
    if (n == 0) {
        return refuse(
            call, -E_BUSY,
            arena_printf(a, "no endpoints available for service \"%s\"", call->route.name));
    }
    size_t turn = (size_t)(mono_now().us / 1000) % n; /* any will do; not always the same */
    (void)endpoints_walk(call, endpoints, port, turn, t);
    return true;
}

/* ---- nodes ---- */

static bool resolve_node(struct server_call *call, const struct wanted *w,
                         struct upstream_target *t)
{
    struct arena *a = http_exchange_arena(call->x);
    const char *name = arena_str(a, w->name);
    if (!find(call, "nodes", "", name, true)) {
        return false;
    }
    if (w->port.n > 0 && !str_is(w->port, "10250") && !str_is(w->port, "10255")) {
        return refuse(call, -E_INVAL, "only the node's own endpoints (port 10250) can be reached");
    }
    t->tls = false; /* the tunnel is encrypted */
    t->req = (struct node_stream_req){
        .type = NODE_STREAM_AGENT, .node = name, .ns = "", .pod = "", .uid = "", .container = ""};
    return true;
}

bool proxy_resolve(struct server_call *call, struct upstream_target *ret)
{
    struct arena *a = http_exchange_arena(call->x);
    const struct http_request *r = http_exchange_request(call->x);
    const char *plural = call->route.kind->plural;
    struct wanted w;
    *ret = (struct upstream_target){.authority = arena_str(a, r->authority)};
    if (!split_name(str_of(call->route.name), &w)) {
        return refuse(call, -E_INVAL,
                      arena_printf(a, "invalid request \"%.300s\"", call->route.name));
    }
    ret->tls = str_is(w.scheme, "https");
    bool ok = cstr_eq(plural, "pods")       ? resolve_pod(call, &w, ret)
              : cstr_eq(plural, "services") ? resolve_service(call, &w, ret)
                                            : resolve_node(call, &w, ret);
    if (ok && arena_failed(a)) {
        return refuse(call, -E_NOMEM, NULL);
    }
    return ok;
}

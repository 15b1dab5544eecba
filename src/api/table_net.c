/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of services, their endpoints, ingresses and network policies (printers/internalversion). */
#include <stdlib.h>

#include "api/object.h"
#include "api/table_private.h"
#include "base/mem.h"

#define SHOWN 3 /* of a list; the rest is counted */

/* ---- lists that show their beginning ---- */

struct head {
    struct arena *arena;
    const char *text;
    size_t n;
};

static void head_add(struct head *h, const char *item)
{
    if (h->n++ < SHOWN) {
        const char *more = arena_printf(h->arena, "%s%s%s", h->text, *h->text ? "," : "", item);
        h->text = more ? more : "";
    }
}

static struct json *head_cell(const struct head *h, const char *none)
{
    if (h->n > SHOWN) {
        return json_printf(h->arena, "%s + %zu more...", h->text, h->n - SHOWN);
    }
    return json_string(h->arena, *h->text ? h->text : none);
}

/* ---- services ---- */

struct json *cell_service_cluster_ip(const struct cell_input *in)
{
    return cell_text(in, json_cstr(json_at(json_path(in->obj, "spec.clusterIPs"), 0), ""));
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The addresses or names of a load balancer: sorted, each once. */
static const char *balancer(struct arena *a, const struct json *ingress)
{
    const char *names[16], *all = "";
    size_t n = 0;
    JSON_FOR_EACH (i, ingress) {
        const char *ip = json_path_cstr(i, "ip", ""), *host = json_path_cstr(i, "hostname", "");
        if ((*ip || *host) && n < ARRAY_SIZE(names)) {
            names[n++] = *ip ? ip : host;
        }
    }
    qsort(names, n, sizeof(names[0]), compare_texts);
    for (size_t i = 0; i < n && all; i++) {
        if (i == 0 || strcmp(names[i], names[i - 1]) != 0) {
            all = arena_printf(a, "%s%s%s", all, *all ? "," : "", names[i]);
        }
    }
    return all ? all : "";
}

struct json *cell_service_external_ip(const struct cell_input *in)
{
    struct arena *a = in->arena;
    const char *type = json_path_cstr(in->obj, "spec.type", "");
    const char *own = cell_join(a, json_path(in->obj, "spec.externalIPs"), NULL);
    if (cstr_eq(type, "ExternalName")) {
        return json_string(a, json_path_cstr(in->obj, "spec.externalName", ""));
    }
    if (!cstr_eq(type, "LoadBalancer")) {
        return cell_text(in, own);
    }
    const char *made = balancer(a, json_path(in->obj, "status.loadBalancer.ingress"));
    const char *all = arena_printf(a, "%s%s%s", made, *made && *own ? "," : "", own);
    return json_string(a, all && *all ? all : "<pending>");
}

struct json *cell_service_ports(const struct cell_input *in)
{
    const char *all = "";
    JSON_FOR_EACH (p, json_path(in->obj, "spec.ports")) {
        long long port = json_path_i64(p, "port", 0), node = json_path_i64(p, "nodePort", 0);
        const char *protocol = json_path_cstr(p, "protocol", "");
        const char *sep = *all ? "," : "";
        all = node ? arena_printf(in->arena, "%s%s%lld:%lld/%s", all, sep, port, node, protocol)
                   : arena_printf(in->arena, "%s%s%lld/%s", all, sep, port, protocol);
        if (!all) {
            break;
        }
    }
    return cell_text(in, all);
}

struct json *cell_service_selector(const struct cell_input *in)
{
    return cell_labels(in, json_path(in->obj, "spec.selector"));
}

/* ---- endpoints ---- */

static const char *with_port(struct arena *a, const char *ip, long long port)
{
    const char *s = strchr(ip, ':') ? arena_printf(a, "[%s]:%lld", ip, port)
                                    : arena_printf(a, "%s:%lld", ip, port);
    return s ? s : "";
}

static void subset(struct head *h, const struct json *s)
{
    const struct json *ports = json_get(s, "ports"), *addresses = json_get(s, "addresses");
    JSON_FOR_EACH (port, ports) {
        JSON_FOR_EACH (address, addresses) {
            head_add(h, with_port(h->arena, json_path_cstr(address, "ip", ""),
                                  json_path_i64(port, "port", 0)));
        }
    }
    if (json_len(ports) == 0) {
        JSON_FOR_EACH (address, addresses) {
            head_add(h, json_path_cstr(address, "ip", ""));
        }
    }
}

struct json *cell_endpoints(const struct cell_input *in)
{
    struct head h = {.arena = in->arena, .text = ""};
    const struct json *subsets = json_get(in->obj, "subsets");
    JSON_FOR_EACH (s, subsets) {
        subset(&h, s);
    }
    return head_cell(&h, json_len(subsets) ? "" : "<none>");
}

struct json *cell_slice_ports(const struct cell_input *in)
{
    struct head h = {.arena = in->arena, .text = ""};
    JSON_FOR_EACH (p, json_get(in->obj, "ports")) {
        const struct json *number = json_get(p, "port");
        const char *text = number ? arena_printf(in->arena, "%lld", (long long)json_i64(number, 0))
                                  : json_path_cstr(p, "name", "*");
        head_add(&h, text ? text : "");
    }
    return head_cell(&h, "<unset>");
}

struct json *cell_slice_endpoints(const struct cell_input *in)
{
    struct head h = {.arena = in->arena, .text = ""};
    JSON_FOR_EACH (e, json_get(in->obj, "endpoints")) {
        JSON_FOR_EACH (address, json_get(e, "addresses")) {
            head_add(&h, json_cstr(address, ""));
        }
    }
    return head_cell(&h, "<unset>");
}

/* ---- ingresses ---- */

struct json *cell_ingress_class(const struct cell_input *in)
{
    return cell_text(in, json_path_cstr(in->obj, "spec.ingressClassName", ""));
}

struct json *cell_ingress_hosts(const struct cell_input *in)
{
    struct head h = {.arena = in->arena, .text = ""};
    JSON_FOR_EACH (rule, json_path(in->obj, "spec.rules")) {
        const char *host = json_path_cstr(rule, "host", "");
        if (*host) {
            head_add(&h, host);
        }
    }
    return head_cell(&h, "*");
}

struct json *cell_ingress_address(const struct cell_input *in)
{
    return json_string(in->arena,
                       balancer(in->arena, json_path(in->obj, "status.loadBalancer.ingress")));
}

struct json *cell_ingress_ports(const struct cell_input *in)
{
    return json_string(in->arena, json_len(json_path(in->obj, "spec.tls")) ? "80, 443" : "80");
}

struct json *cell_ingress_class_parameters(const struct cell_input *in)
{
    const struct json *p = json_path(in->obj, "spec.parameters");
    const char *group = json_path_cstr(p, "apiGroup", NULL);
    if (!p) {
        return cell_text(in, "");
    }
    return json_printf(in->arena, "%s%s%s/%s", json_path_cstr(p, "kind", ""), group ? "." : "",
                       group ? group : "", json_path_cstr(p, "name", ""));
}

struct json *cell_network_policy_selector(const struct cell_input *in)
{
    return cell_label_selector(in, json_path(in->obj, "spec.podSelector"));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Reading what a pod asks for: resources, ports, affinities, spreading. */
#include <string.h>

#include "api/object.h"
#include "api/quantity.h"
#include "base/mem.h"
#include "sched_private.h"

/* ---- resources ---- */

static const struct json *request(const struct json *container, const char *name)
{
    const struct json *resources = json_get(container, "resources");
    const struct json *asked = json_get(json_get(resources, "requests"), name);
    return asked ? asked : json_get(json_get(resources, "limits"), name);
}

static struct sched_amount container_asks(const struct json *container)
{
    return (struct sched_amount){
        .cpu = quantity_json_milli(request(container, "cpu")),
        .memory = quantity_json_value(request(container, "memory")),
        .storage = quantity_json_value(request(container, "ephemeral-storage")),
    };
}

static void add(struct sched_amount *sum, struct sched_amount a)
{
    sum->cpu += a.cpu;
    sum->memory += a.memory;
    sum->storage += a.storage;
}

static void raise_to(struct sched_amount *most, struct sched_amount a)
{
    most->cpu = MAX_OF(most->cpu, a.cpu);
    most->memory = MAX_OF(most->memory, a.memory);
    most->storage = MAX_OF(most->storage, a.storage);
}

/* The containers together, or the hungriest init container with the sidecars that run beside it. */
struct sched_amount pod_asks(const struct json *pod)
{
    const struct json *spec = json_get(pod, "spec");
    struct sched_amount sum = {0}, sidecars = {0}, peak = {0};
    JSON_FOR_EACH (c, json_get(spec, "initContainers")) {
        struct sched_amount asks = container_asks(c);
        if (strcmp(json_cstr(json_get(c, "restartPolicy"), ""), "Always") == 0) {
            add(&sidecars, asks);
            raise_to(&peak, sidecars);
        } else {
            add(&asks, sidecars);
            raise_to(&peak, asks);
        }
    }
    JSON_FOR_EACH (c, json_get(spec, "containers")) {
        add(&sum, container_asks(c));
    }
    add(&sum, sidecars);
    raise_to(&sum, peak);
    const struct json *overhead = json_get(spec, "overhead");
    add(&sum, (struct sched_amount){
                  .cpu = quantity_json_milli(json_get(overhead, "cpu")),
                  .memory = quantity_json_value(json_get(overhead, "memory")),
              });
    sum.pods = 1;
    return sum;
}

struct resource_list pod_extended(struct arena *a, const struct json *pod)
{
    struct arena scratch;
    struct resource_list l = {0};
    bool any = false;
    JSON_FOR_EACH (c, json_path(pod, "spec.containers")) {
        JSON_FOR_EACH_MEMBER (m, json_path(c, "resources.limits")) {
            any |= strchr(m->key, '/') || str_starts(str_of(m->key), "hugepages-");
        }
    }
    if (!any) {
        return l; /* extended resources are always limited */
    }
    arena_init(&scratch, /* cap= */ 0);
    struct resource_list all = pod_requests(&scratch, json_get(pod, "spec"));
    for (size_t i = 0; i < all.n; i++) {
        if (strchr(all.v[i].name, '/') || str_starts(str_of(all.v[i].name), "hugepages-")) {
            resource_list_add(a, &l, all.v[i].name, all.v[i].q);
        }
    }
    arena_fini(&scratch);
    return l;
}

bool read_ports(struct arena *a, const struct json *pod, struct sched_port **ret, size_t *ret_n)
{
    size_t n = 0;
    *ret = NULL;
    JSON_FOR_EACH (c, json_path(pod, "spec.containers")) {
        JSON_FOR_EACH (port, json_get(c, "ports")) {
            n += json_i64(json_get(port, "hostPort"), 0) > 0;
        }
    }
    *ret_n = n;
    if (n == 0) {
        return true;
    }
    struct sched_port *v = *ret = arena_alloc(a, n * sizeof(*v));
    if (!v) {
        return false;
    }
    JSON_FOR_EACH (c, json_path(pod, "spec.containers")) {
        JSON_FOR_EACH (port, json_get(c, "ports")) {
            int64_t number = json_i64(json_get(port, "hostPort"), 0);
            if (number > 0) {
                const char *ip = json_cstr(json_get(port, "hostIP"), "");
                *v++ = (struct sched_port){
                    .port = number,
                    .protocol = arena_strdup(a, json_cstr(json_get(port, "protocol"), "TCP")),
                    .ip = arena_strdup(a, strcmp(ip, "0.0.0.0") == 0 ? "" : ip),
                };
            }
        }
    }
    return !arena_failed(a);
}

/* ---- node affinity ---- */

static int read_selector(struct arena *a, const struct json *exprs, struct selector **ret,
                         struct err *err)
{
    *ret = NULL;
    if (json_len(exprs) == 0) {
        return 0;
    }
    struct json *j = json_object(a);
    json_set(j, "matchExpressions", json_clone(a, exprs));
    return selector_from_json(a, j, ret, err);
}

static int read_node_term(struct arena *a, const struct json *term, struct node_term *ret,
                          struct err *err)
{
    *ret = (struct node_term){0};
    int r = read_selector(a, json_get(term, "matchExpressions"), &ret->labels, err);
    return r < 0 ? r : read_selector(a, json_get(term, "matchFields"), &ret->fields, err);
}

static int read_node_affinity(struct want *w, struct err *err)
{
    const struct json *affinity = json_path(w->pod, "spec.affinity.nodeAffinity");
    const struct json *required =
        json_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
    const struct json *preferred =
        json_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution");
    const struct json *terms = json_get(required, "nodeSelectorTerms");
    w->has_node_terms = json_is(required, JSON_OBJECT);
    w->node_terms = arena_alloc(w->arena, (json_len(terms) + 1) * sizeof(*w->node_terms));
    w->preferred = arena_alloc(w->arena, (json_len(preferred) + 1) * sizeof(*w->preferred));
    if (!w->node_terms || !w->preferred) {
        return -E_NOMEM;
    }
    JSON_FOR_EACH (term, terms) {
        int r = read_node_term(w->arena, term, &w->node_terms[w->n_node_terms++], err);
        if (r < 0) {
            return r;
        }
    }
    JSON_FOR_EACH (entry, preferred) {
        struct node_term *t = &w->preferred[w->n_preferred++];
        int r = read_node_term(w->arena, json_get(entry, "preference"), t, err);
        if (r < 0) {
            return r;
        }
        t->weight = json_i64(json_get(entry, "weight"), 1);
    }
    return 0;
}

/* ---- pod affinity ---- */

static int read_pod_term(struct arena *a, const struct json *term, const char *own_ns,
                         int64_t weight, struct pod_term *ret, struct err *err)
{
    struct selector *selector = NULL, *ns_selector = NULL;
    int r = selector_from_json(a, json_get(term, "labelSelector"), &selector, err);
    if (r == 0 && json_is(json_get(term, "namespaceSelector"), JSON_OBJECT)) {
        r = selector_from_json(a, json_get(term, "namespaceSelector"), &ns_selector, err);
    }
    if (r < 0) {
        return r;
    }
    const struct json *namespaces = json_get(term, "namespaces");
    *ret = (struct pod_term){
        .selector = selector,
        .namespaces = namespaces ? json_clone(a, namespaces) : NULL,
        .ns_selector = ns_selector,
        .own_ns = arena_strdup(a, own_ns),
        .topology_key = arena_strdup(a, json_cstr(json_get(term, "topologyKey"), "")),
        .weight = weight,
    };
    return arena_failed(a) ? -E_NOMEM : 0;
}

int read_pod_terms(struct arena *a, const struct json *pod, const char *field, bool preferred,
                   int64_t sign, struct pod_terms *terms, struct err *err)
{
    const struct json *affinity = json_get(json_path(pod, "spec.affinity"), field);
    const struct json *list =
        json_get(affinity, preferred ? "preferredDuringSchedulingIgnoredDuringExecution"
                                     : "requiredDuringSchedulingIgnoredDuringExecution");
    if (json_len(list) == 0) {
        return 0;
    }
    struct pod_term *v =
        arena_grow(a, terms->v, terms->n * sizeof(*v), (terms->n + json_len(list)) * sizeof(*v));
    if (!v) {
        return -E_NOMEM;
    }
    terms->v = v;
    JSON_FOR_EACH (entry, list) {
        const struct json *term = preferred ? json_get(entry, "podAffinityTerm") : entry;
        int64_t weight = preferred ? sign * json_i64(json_get(entry, "weight"), 1) : sign;
        int r = read_pod_term(a, term, obj_ns(pod), weight, &v[terms->n], err);
        if (r < 0) {
            return r;
        }
        terms->n++;
    }
    return 0;
}

/* ---- spreading ---- */

/* matchLabelKeys: the pod's own values of these labels are required, too. */
static struct json *with_label_keys(const struct want *w, const struct json *constraint)
{
    const struct json *selector = json_get(constraint, "labelSelector");
    struct json *copy = selector ? json_clone(w->arena, selector) : NULL;
    JSON_FOR_EACH (key, json_get(constraint, "matchLabelKeys")) {
        const char *value = json_cstr(json_get(w->labels, json_cstr(key, "")), NULL);
        if (copy && value) {
            json_set_str(json_ensure_object(copy, "matchLabels"), json_cstr(key, ""), value);
        }
    }
    return copy;
}

static int read_spreads(struct want *w, struct err *err)
{
    const struct json *list = json_path(w->pod, "spec.topologySpreadConstraints");
    w->spreads = arena_zalloc(w->arena, (json_len(list) + 1) * sizeof(*w->spreads));
    if (!w->spreads) {
        return -E_NOMEM;
    }
    JSON_FOR_EACH (c, list) {
        struct selector *selector;
        int r = selector_from_json(w->arena, with_label_keys(w, c), &selector, err);
        if (r < 0) {
            return r;
        }
        w->spreads[w->n_spreads++] = (struct spread){
            .key = json_cstr(json_get(c, "topologyKey"), ""),
            .max_skew = json_i64(json_get(c, "maxSkew"), 1),
            .min_domains = json_i64(json_get(c, "minDomains"), 1),
            .hard = strcmp(json_cstr(json_get(c, "whenUnsatisfiable"), "DoNotSchedule"),
                           "DoNotSchedule") == 0,
            .selector = selector,
            .self = selector_match_labels(selector, w->labels),
            .counts = json_object(w->arena),
        };
    }
    return 0;
}

/* ---- all of it ---- */

static int read_all(struct want *w, struct err *err)
{
    struct selector *node_selector = NULL;
    int r =
        selector_from_map(w->arena, json_path(w->pod, "spec.nodeSelector"), &node_selector, err);
    w->node_selector = node_selector;
    r = r < 0 ? r : read_node_affinity(w, err);
    r = r < 0 ? r : read_pod_terms(w->arena, w->pod, "podAffinity", false, 1, &w->affinity, err);
    r = r < 0 ? r : read_pod_terms(w->arena, w->pod, "podAntiAffinity", false, 1, &w->anti, err);
    r = r < 0 ? r : read_pod_terms(w->arena, w->pod, "podAffinity", true, 1, &w->soft, err);
    r = r < 0 ? r : read_pod_terms(w->arena, w->pod, "podAntiAffinity", true, -1, &w->soft, err);
    return r < 0 ? r : read_spreads(w, err);
}

int want_init(struct want *w, struct sched *s, struct arena *a, const struct json *pod,
              struct err *err)
{
    *w = (struct want){
        .s = s,
        .arena = a,
        .pod = pod,
        .labels = obj_labels(pod),
        .tolerations = json_path(pod, "spec.tolerations"),
        .ns = obj_ns(pod),
        .owner = json_cstr(json_get(obj_controller_ref(pod), "uid"), ""),
        .asks = pod_asks(pod),
        .priority = json_path_i64(pod, "spec.priority", 0),
        .extended = pod_extended(a, pod),
    };
    int r = read_all(w, err);
    if (r == 0 && !read_ports(a, pod, &w->ports, &w->n_ports)) {
        r = -E_NOMEM;
    }
    return r == -E_NOMEM ? err_set(err, r, "out of memory") : r;
}

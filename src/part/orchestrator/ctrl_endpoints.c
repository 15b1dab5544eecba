/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives Endpoints and EndpointSlices: of Services with a selector, from pods; of hand-made
 * Endpoints, as mirrored slices.
 *
 * A change of a pod is gathered with others for a moment, then the Services that select it are
 * reconciled. Selectors of Services are kept small, by namespace, so that finding them needs no
 * parsing.
 */
#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/map.h"
#include "endpoints.h"
#include "orchestrator_private.h"

#define GATHER_MS 100
#define BY_PODS "endpointslice-controller.k8s.io"
#define BY_MIRROR "endpointslicemirroring-controller.k8s.io"

/* A Service with a selector. */
struct chosen {
    struct list link;
    size_t n; /* pairs */
    char *name;
    char texts[]; /* key, value, ... */
};

struct space {
    struct list services;
};

struct endpoints_ctrl {
    struct controller base;
    struct map spaces; /* namespace -> struct space */
};

static struct endpoints_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct endpoints_ctrl, base);
}

static int start(struct controller *c)
{
    map_init(&self(c)->spaces);
    return 0;
}

static void free_chosen(struct chosen *ch)
{
    list_del(&ch->link);
    mem_free(ch->name);
    mem_free(ch);
}

static void free_space(void *value)
{
    struct space *s = value;
    if (s) {
        LIST_FOR_EACH_SAFE (l, &s->services) {
            free_chosen(CONTAINER_OF(l, struct chosen, link));
        }
        mem_free(s);
    }
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->spaces, free_space);
}

/* ---- which Services select a pod ---- */

static void forget_service(struct endpoints_ctrl *ec, const char *ns, const char *name)
{
    struct space *s = map_get(&ec->spaces, str_of(ns));
    if (!s) {
        return;
    }
    LIST_FOR_EACH_SAFE (l, &s->services) {
        struct chosen *ch = CONTAINER_OF(l, struct chosen, link);
        if (strcmp(ch->name, name) == 0) {
            free_chosen(ch);
        }
    }
    if (list_empty(&s->services)) {
        (void)map_del(&ec->spaces, str_of(ns)); /* s itself */
        mem_free(s);
    }
}

static void remember_service(struct endpoints_ctrl *ec, const struct json *service)
{
    const struct json *selector = json_path(service, "spec.selector");
    struct space *s = map_get(&ec->spaces, str_of(obj_ns(service)));
    size_t n = 0;
    if (json_len(selector) == 0) {
        return;
    }
    JSON_FOR_EACH_MEMBER (m, selector) {
        n += m->key_n + json_text(m->value).n + 2;
    }
    struct chosen *ch = mem_zalloc(sizeof(*ch) + n);
    char *name = mem_strdup(obj_name(service));
    if (!s && (s = mem_zalloc(sizeof(*s)))) {
        list_init(&s->services);
        if (map_put(&ec->spaces, str_of(obj_ns(service)), s, NULL) < 0) {
            mem_free(TAKE_PTR(s));
        }
    }
    if (!ch || !name || !s) {
        mem_free(ch); /* without memory the Service is found again at its next change */
        mem_free(name);
        return;
    }
    char *at = ch->texts;
    JSON_FOR_EACH_MEMBER (m, selector) {
        struct str value = json_text(m->value);
        memcpy(at, m->key, m->key_n + 1);
        at += m->key_n + 1;
        memcpy(at, value.p ? value.p : "", value.n);
        at += value.n + 1; /* zeroed memory ends it */
    }
    ch->n = json_len(selector);
    ch->name = name;
    list_push_back(&s->services, &ch->link);
}

static bool selects(const struct chosen *ch, const struct json *pod)
{
    const char *at = ch->texts;
    const struct json *labels = obj_labels(pod);
    for (size_t i = 0; i < ch->n; i++) {
        const char *value = at + strlen(at) + 1;
        if (strcmp(json_cstr(json_get(labels, at), "\1"), value) != 0) {
            return false;
        }
        at = value + strlen(value) + 1;
    }
    return pod != NULL;
}

/* ---- what changed ---- */

static bool same(const struct change *ch, const char *path)
{
    const struct json *a = json_path(ch->was, path), *b = json_path(ch->object, path);
    return a == b || (a && b && json_equal(a, b));
}

/* Nothing that an endpoint shows is different. */
static bool irrelevant(const struct change *ch)
{
    return ch->was && ch->object && same(ch, "metadata.labels") && same(ch, "status.podIP") &&
           same(ch, "status.phase") && same(ch, "spec.nodeName") &&
           obj_deleting(ch->was) == obj_deleting(ch->object) &&
           obj_condition_true(ch->was, "Ready") == obj_condition_true(ch->object, "Ready");
}

static void pod_changed(struct controller *c, const struct change *change)
{
    const struct api_item *item = change->item ? change->item : change->old;
    const struct space *s = map_get(&self(c)->spaces, str_of(item->ns));
    if (!s || irrelevant(change)) {
        return;
    }
    LIST_FOR_EACH (l, &s->services) {
        const struct chosen *ch = CONTAINER_OF(l, struct chosen, link);
        if (selects(ch, change->was) || selects(ch, change->object)) {
            controller_add_after(c, item->ns, ch->name, GATHER_MS);
        }
    }
}

/* The Endpoints of a Service go with it; the slices are the garbage collector's. */
static void service_gone(struct controller *c, const struct api_item *service)
{
    const struct kind *kind = known_kinds()->endpoints;
    const struct api_item *it =
        informer_get(orchestrator_informer(c->o, kind), service->ns, service->name);
    struct arena a;
    struct plan plan;
    if (!it) {
        return;
    }
    arena_init(&a, /* cap= */ 0);
    plan_init(&plan, &a);
    plan_delete(&plan, kind, arena_strdup(&a, it->ns), arena_strdup(&a, it->name),
                arena_strdup(&a, it->uid));
    if (plan_failed(&plan)) {
        arena_fini(&a);
        return;
    }
    controller_run(c, &a, &plan, NULL, NULL);
}

static void changed(struct controller *c, const struct change *change)
{
    const struct known_kinds *k = known_kinds();
    const struct api_item *item = change->item ? change->item : change->old;
    if (change->kind == k->pod) {
        pod_changed(c, change);
    } else if (change->kind == k->service) {
        forget_service(self(c), item->ns, item->name);
        if (change->object) {
            remember_service(self(c), change->object);
        } else {
            service_gone(c, item);
        }
        controller_add(c, item->ns, item->name);
    } else if (change->kind == k->endpoints) {
        controller_add(c, item->ns, item->name);
    } else if (change->kind == k->slice) {
        const struct json *o = change->object ? change->object : change->was;
        const char *name = obj_label(o, SLICE_SERVICE);
        if (*name) {
            controller_add_after(c, item->ns, name, GATHER_MS);
        }
    }
}

/* ---- reconcile ---- */

struct slice_search {
    struct arena *a;
    const char *service, *manager;
    struct json **v;
    size_t n, cap;
};

static bool find_slice(void *arg, struct api_item *item)
{
    struct slice_search *s = arg;
    if (!memmem(item->text.p, item->text.n, s->manager, strlen(s->manager)) ||
        !memmem(item->text.p, item->text.n, s->service, strlen(s->service))) {
        return true; /* cannot be one: spared from parsing */
    }
    struct json *o = api_item_parse(item, s->a);
    if (strcmp(obj_label(o, SLICE_SERVICE), s->service) != 0 ||
        strcmp(obj_label(o, SLICE_MANAGER), s->manager) != 0 || obj_deleting(o)) {
        return true;
    }
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 8, size = sizeof(*s->v);
        struct json **v = arena_grow(s->a, s->v, s->n * size, cap * size);
        if (!v) {
            return false;
        }
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = o;
    return true;
}

static void find_slices(struct controller *c, struct slice_search *s, const char *ns)
{
    informer_each(orchestrator_informer(c->o, known_kinds()->slice), ns, find_slice, s);
}

static struct json *zones_of(struct controller *c, struct arena *a,
                             const struct endpoint_groups *groups)
{
    struct json *zones = json_object(a);
    for (size_t i = 0; i < groups->n; i++) {
        for (size_t k = 0; k < groups->v[i].n; k++) {
            const char *node = groups->v[i].pods[k]->node;
            if (!node[0] || json_get(zones, node)) {
                continue;
            }
            const char *zone = obj_label(orchestrator_get(c->o, a, known_kinds()->node, NULL, node),
                                         "topology.kubernetes.io/zone");
            json_set(zones, node, *zone ? json_string(a, zone) : json_null(a));
        }
    }
    return zones;
}

static struct endpoint_groups pods_of(struct controller *c, struct arena *a,
                                      const struct json *service)
{
    const struct list *pods = pod_index_in_ns(c->o->pods, obj_ns(service));
    const struct pod_facts **v = NULL;
    size_t n = 0, cap = 0;
    struct selector *s = NULL;
    if (selector_from_map(a, json_path(service, "spec.selector"), &s, NULL) < 0 || !pods) {
        return (struct endpoint_groups){0};
    }
    LIST_FOR_EACH (l, pods) {
        const struct pod_facts *p = POD_OF_NS(l);
        if (!selector_match(s, pod_label, p)) {
            continue;
        }
        if (n == cap) {
            size_t more = cap ? cap * 2 : 64;
            const struct pod_facts **bigger =
                arena_grow(a, (void *)v, n * sizeof(*v), more * sizeof(*v));
            if (!bigger) {
                break;
            }
            v = bigger;
            cap = more;
        }
        v[n++] = p;
    }
    return endpoint_groups(a, service, v, n);
}

static bool is_headless(const struct json *service)
{
    return strcmp(json_path_cstr(service, "spec.clusterIP", ""), "None") == 0;
}

static void from_pods(struct controller *c, struct plan *plan, const struct json *service,
                      const struct json *now)
{
    struct arena *a = plan->arena;
    struct endpoint_groups groups = pods_of(c, a, service);
    struct json *zones = zones_of(c, a, &groups);
    struct slice_want *wants = arena_alloc(a, (groups.n + 1) * sizeof(*wants));
    struct slice_search found = {.a = a, .service = obj_name(service), .manager = BY_PODS};
    endpoints_plan(plan, service, &groups, now);
    find_slices(c, &found, obj_ns(service));
    for (size_t i = 0; wants && i < groups.n; i++) {
        wants[i] = slice_want_of(a, service, &groups.v[i], zones);
    }
    struct slices_in in = {.owner = service,
                           .owner_api = "v1",
                           .owner_kind = "Service",
                           .service = obj_name(service),
                           .manager = BY_PODS,
                           .labels = obj_labels(service),
                           .headless = is_headless(service),
                           .wants = wants,
                           .n_wants = wants ? groups.n : 0,
                           .existing = found.v,
                           .n_existing = found.n,
                           .max = SLICE_SIZE};
    slices_plan(plan, &in);
}

static bool is_mirrored(const struct json *endpoints)
{
    return endpoints && !obj_deleting(endpoints) &&
           strcmp(obj_label(endpoints, "endpointslice.kubernetes.io/skip-mirror"), "true") != 0 &&
           !*obj_annotation(endpoints, "control-plane.alpha.kubernetes.io/leader");
}

/* A Service without a selector: what a person wrote is shown as slices, too. */
static void mirror(struct controller *c, struct plan *plan, const char *ns, const char *name,
                   const struct json *service, const struct json *endpoints)
{
    struct arena *a = plan->arena;
    struct slice_search found = {.a = a, .service = name, .manager = BY_MIRROR};
    struct slices_in in = {.owner = endpoints,
                           .owner_api = "v1",
                           .owner_kind = "Endpoints",
                           .service = name,
                           .manager = BY_MIRROR,
                           .labels = obj_labels(endpoints),
                           .max = ENDPOINTS_MAX};
    find_slices(c, &found, ns);
    in.existing = found.v;
    in.n_existing = found.n;
    if (service && is_mirrored(endpoints)) {
        in.wants = endpoints_mirrored(a, endpoints, &in.n_wants);
        in.n_wants = in.wants ? in.n_wants : 0;
    }
    slices_plan(plan, &in);
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    const struct known_kinds *k = known_kinds();
    struct json *service = orchestrator_get(c->o, plan->arena, k->service, ns, name);
    struct json *endpoints = orchestrator_get(c->o, plan->arena, k->endpoints, ns, name);
    if (!service) {
        if (endpoints) {
            mirror(c, plan, ns, name, NULL, endpoints);
        }
        return 0;
    }
    if (obj_deleting(service) ||
        strcmp(json_path_cstr(service, "spec.type", ""), "ExternalName") == 0) {
        return 0;
    }
    if (json_len(json_path(service, "spec.selector")) > 0) {
        from_pods(c, plan, service, endpoints);
    } else if (endpoints) {
        mirror(c, plan, ns, name, service, endpoints);
    }
    return 0;
}

const struct controller_ops endpoints_controller = {
    .name = "endpoint-slice-controller",
    .size = sizeof(struct endpoints_ctrl),
    .workers = 16,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over the containers of a pod: see pod_resources.h. */
#include "api/pod_resources.h"

#include "base/mem.h"

const struct quantity *resource_list_get(const struct resource_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++) {
        if (cstr_eq(l->v[i].name, name)) {
            return &l->v[i].q;
        }
    }
    return NULL;
}

static struct quantity *slot(struct arena *a, struct resource_list *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++) {
        if (cstr_eq(l->v[i].name, name)) {
            return &l->v[i].q;
        }
    }
    struct resource_amount *v = arena_grow(a, l->v, l->n * sizeof(*v), (l->n + 1) * sizeof(*v));
    const char *copy = arena_strdup(a, name);
    if (!v || !copy) {
        return NULL;
    }
    l->v = v;
    l->v[l->n] = (struct resource_amount){.name = copy};
    return &l->v[l->n++].q;
}

void resource_list_add(struct arena *a, struct resource_list *l, const char *name,
                       struct quantity q)
{
    struct quantity *at = slot(a, l, name);
    if (at) {
        *at = quantity_add(*at, q);
    }
}

void resource_list_add_all(struct arena *a, struct resource_list *l,
                           const struct resource_list *more)
{
    for (size_t i = 0; i < more->n; i++) {
        resource_list_add(a, l, more->v[i].name, more->v[i].q);
    }
}

static void raise_all(struct arena *a, struct resource_list *l, const struct resource_list *other)
{
    for (size_t i = 0; i < other->n; i++) {
        struct quantity *at = slot(a, l, other->v[i].name);
        if (at && quantity_cmp(*at, other->v[i].q) < 0) {
            *at = other->v[i].q;
        }
    }
}

static void add_map(struct arena *a, struct resource_list *l, const struct json *map,
                    const struct json *but)
{
    JSON_FOR_EACH_MEMBER (m, map) {
        struct quantity q;
        if (!json_get(but, m->key) && quantity_from_json(m->value, &q, NULL) == 0) {
            resource_list_add(a, l, m->key, q);
        }
    }
}

static struct resource_list container_list(struct arena *a, const struct json *c, bool limits)
{
    struct resource_list l = {0};
    const struct json *most = json_path(c, "resources.limits");
    const struct json *asked = limits ? NULL : json_path(c, "resources.requests");
    add_map(a, &l, asked, NULL);
    add_map(a, &l, most, asked);
    return l;
}

static struct resource_list pod_list(struct arena *a, const struct json *spec, bool limits)
{
    struct resource_list sum = {0}, sidecars = {0}, peak = {0};
    JSON_FOR_EACH (c, json_get(spec, "initContainers")) {
        struct resource_list l = container_list(a, c, limits);
        if (cstr_eq(json_path_cstr(c, "restartPolicy", ""), "Always")) {
            resource_list_add_all(a, &sidecars, &l);
            raise_all(a, &peak, &sidecars);
        } else {
            resource_list_add_all(a, &l, &sidecars);
            raise_all(a, &peak, &l);
        }
    }
    JSON_FOR_EACH (c, json_get(spec, "containers")) {
        struct resource_list l = container_list(a, c, limits);
        resource_list_add_all(a, &sum, &l);
    }
    resource_list_add_all(a, &sum, &sidecars);
    raise_all(a, &sum, &peak);
    JSON_FOR_EACH_MEMBER (m, json_get(spec, "overhead")) {
        struct quantity q;
        /* A limit that is not there does not come into being by overhead. */
        if ((!limits || resource_list_get(&sum, m->key)) &&
            quantity_from_json(m->value, &q, NULL) == 0) {
            resource_list_add(a, &sum, m->key, q);
        }
    }
    return sum;
}

struct resource_list pod_requests(struct arena *a, const struct json *spec)
{
    return pod_list(a, spec, false);
}

struct resource_list pod_limits(struct arena *a, const struct json *spec)
{
    return pod_list(a, spec, true);
}

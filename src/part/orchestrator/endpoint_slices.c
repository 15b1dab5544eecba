/* SPDX-License-Identifier: Apache-2.0 */
/* Packing endpoints into slices, and mirroring hand-made Endpoints: see endpoints.h. */
#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/map.h"
#include "base/mem.h"
#include "endpoints.h"
#include "orchestrator_private.h"

/* One slice on its way from what it is to what it will be. */
struct slice {
    struct json *object;
    struct json *endpoints; /* as they will be */
    bool used;              /* it holds endpoints of some want */
    bool changed;
};

struct packing {
    struct plan *plan;
    const struct slices_in *in;
    struct slice *slices;
    size_t counter; /* for names */
};

static const char *endpoint_id(struct arena *a, const struct json *ep)
{
    const char *id = arena_printf(a, "%s %s", json_cstr(json_at(json_get(ep, "addresses"), 0), ""),
                                  json_path_cstr(ep, "targetRef.uid", ""));
    return id ? id : "";
}

static bool same_ports(const struct json *a, const struct json *b)
{
    return json_len(a) == 0 ? json_len(b) == 0 : b && json_equal(a, b);
}

static bool fits(const struct slice *s, const struct slice_want *w)
{
    return same_ports(json_get(s->object, "ports"), w->ports) &&
           strcmp(json_path_cstr(s->object, "addressType", ""), w->address_type) == 0;
}

/* ---- labels and names ---- */

static struct json *labels_of(struct arena *a, const struct slices_in *in)
{
    struct json *labels = in->labels ? json_clone(a, in->labels) : json_object(a);
    json_set_str(labels, SLICE_SERVICE, in->service);
    json_set_str(labels, SLICE_MANAGER, in->manager);
    if (in->headless) {
        json_set_str(labels, "service.kubernetes.io/headless", "");
    }
    return labels;
}

static bool name_taken(const struct packing *p, const char *name)
{
    for (size_t i = 0; i < p->in->n_existing; i++) {
        if (strcmp(obj_name(p->in->existing[i]), name) == 0) {
            return true;
        }
    }
    return false;
}

/* "web-x7k2q": looks like a generated name, but the same owner gets the same ones. */
static const char *next_name(struct packing *p)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    struct arena *a = p->plan->arena;
    for (;;) {
        uint64_t h = UINT64_C(1469598103934665603);
        const char *seed =
            arena_printf(a, "%s %s %zu", obj_uid(p->in->owner), p->in->manager, p->counter++);
        char tail[6] = "";
        for (const char *c = seed ? seed : ""; *c; c++) {
            h = (h ^ (unsigned char)*c) * UINT64_C(1099511628211);
        }
        h ^= h >> 29;
        for (size_t i = 0; i < 5; i++) {
            tail[i] = alphabet[h % (sizeof(alphabet) - 1)];
            h /= sizeof(alphabet) - 1;
        }
        const char *name = arena_printf(a, "%.57s-%s", p->in->service, tail);
        if (!name || !name_taken(p, name)) {
            return name ? name : "";
        }
    }
}

/* ---- packing ---- */

/* Keeps of a slice what is still wanted, in its newest form. */
static void keep_wanted(struct packing *p, struct slice *s, struct json *left)
{
    struct arena *a = p->plan->arena;
    s->endpoints = json_array(a);
    s->used = true;
    JSON_FOR_EACH (ep, json_get(s->object, "endpoints")) {
        const char *id = endpoint_id(a, ep);
        struct json *wanted = json_get(left, id);
        if (!wanted) {
            s->changed = true;
            continue;
        }
        s->changed |= !json_equal(wanted, ep);
        json_push(s->endpoints, wanted);
        (void)json_set(left, id, json_null(a)); /* placed */
    }
}

static size_t room_of(const struct packing *p, const struct slice *s)
{
    return json_len(s->endpoints) < p->in->max ? p->in->max - json_len(s->endpoints) : 0;
}

struct rest {
    struct json **v;
    size_t n;
};

static void pour(struct packing *p, struct slice *s, struct rest *rest)
{
    size_t room = room_of(p, s);
    while (room-- > 0 && rest->n > 0) {
        json_push(s->endpoints, rest->v[--rest->n]);
        s->changed = true;
    }
}

/* The fullest slice that takes all of the rest. */
static struct slice *tightest(const struct packing *p, const struct slice_want *w, size_t n)
{
    struct slice *best = NULL;
    for (size_t i = 0; i < p->in->n_existing; i++) {
        struct slice *s = &p->slices[i];
        if (s->endpoints && fits(s, w) && room_of(p, s) >= n &&
            (!best || room_of(p, s) < room_of(p, best))) {
            best = s;
        }
    }
    return best;
}

static void create_slice(struct packing *p, const struct slice_want *w, struct rest *rest)
{
    struct arena *a = p->plan->arena;
    struct json *o = json_object(a), *meta = obj_meta(o);
    struct json *endpoints = json_ensure_array(o, "endpoints");
    json_set_str(meta, "name", next_name(p));
    json_set_str(meta, "namespace", obj_ns(p->in->owner));
    json_set(meta, "generateName", json_printf(a, "%s-", p->in->service));
    json_set(meta, "labels", labels_of(a, p->in));
    json_push(json_ensure_array(meta, "ownerReferences"),
              obj_controller_ref_new(a, p->in->owner, p->in->owner_api, p->in->owner_kind));
    json_set_str(o, "addressType", w->address_type);
    json_set(o, "ports", w->ports);
    for (size_t i = 0; i < p->in->max && rest->n > 0; i++) {
        json_push(endpoints, rest->v[--rest->n]);
    }
    plan_create(p->plan, known_kinds()->slice, obj_ns(p->in->owner), o);
}

static void pack(struct packing *p, const struct slice_want *w)
{
    struct arena *a = p->plan->arena;
    struct json *left = json_object(a);
    JSON_FOR_EACH (ep, w->endpoints) {
        json_set(left, endpoint_id(a, ep), ep);
    }
    for (size_t i = 0; i < p->in->n_existing; i++) {
        if (!p->slices[i].used && fits(&p->slices[i], w)) {
            keep_wanted(p, &p->slices[i], left);
        }
    }
    struct rest rest = {.v = arena_alloc(a, (json_len(w->endpoints) + 1) * sizeof(*rest.v))};
    JSON_FOR_EACH_MEMBER (m, left) {
        if (rest.v && !json_is(m->value, JSON_NULL)) {
            rest.v[rest.n++] = m->value;
        }
    }
    for (size_t i = 0; i < p->in->n_existing && rest.n > 0; i++) {
        struct slice *s = &p->slices[i];
        if (s->endpoints && s->changed && json_len(s->endpoints) > 0 && fits(s, w)) {
            pour(p, s, &rest);
        }
    }
    while (rest.n >= p->in->max) {
        create_slice(p, w, &rest);
    }
    struct slice *s = rest.n > 0 ? tightest(p, w, rest.n) : NULL;
    if (s) {
        pour(p, s, &rest);
    } else if (rest.n > 0) {
        create_slice(p, w, &rest);
    }
}

static void finish(struct packing *p, struct slice *s)
{
    struct plan *plan = p->plan;
    const struct kind *kind = known_kinds()->slice;
    struct json *labels = labels_of(plan->arena, p->in);
    if (json_len(s->endpoints) == 0) {
        plan_delete(plan, kind, obj_ns(s->object), obj_name(s->object), obj_uid(s->object));
    } else if (s->changed || !json_equal(labels, obj_labels(s->object))) {
        json_set(s->object, "endpoints", s->endpoints);
        json_set(obj_meta(s->object), "labels", labels);
        plan_update(plan, kind, s->object, NULL)->flags = ACTION_F_ABSENT_OK;
    }
}

void slices_plan(struct plan *plan, const struct slices_in *in)
{
    struct packing p = {.plan = plan, .in = in};
    p.slices = arena_zalloc(plan->arena, (in->n_existing + 1) * sizeof(*p.slices));
    if (!p.slices) {
        return;
    }
    for (size_t i = 0; i < in->n_existing; i++) {
        p.slices[i].object = in->existing[i];
    }
    for (size_t i = 0; i < in->n_wants; i++) {
        pack(&p, &in->wants[i]);
    }
    for (size_t i = 0; i < in->n_existing; i++) {
        finish(&p, &p.slices[i]);
    }
}

/* ---- mirroring ---- */

static struct json *mirrored_ports(struct arena *a, const struct json *subset)
{
    struct json *ports = json_array(a);
    JSON_FOR_EACH (port, json_get(subset, "ports")) {
        struct json *o = json_push(ports, json_object(a));
        json_set_str(o, "name", json_path_cstr(port, "name", ""));
        json_set_str(o, "protocol", json_path_cstr(port, "protocol", "TCP"));
        json_set(o, "port", json_get(port, "port"));
        json_set(o, "appProtocol", json_get(port, "appProtocol"));
    }
    return ports;
}

static void mirror_list(struct arena *a, struct slice_want *w, const struct json *addresses,
                        bool ready, bool six)
{
    JSON_FOR_EACH (address, addresses) {
        const char *ip = json_path_cstr(address, "ip", "");
        if ((strchr(ip, ':') != NULL) != six) {
            continue;
        }
        struct json *o = json_push(w->endpoints, json_object(a));
        json_push(json_ensure_array(o, "addresses"), json_string(a, ip));
        json_set_bool(json_ensure_object(o, "conditions"), "ready", ready);
        json_set(o, "hostname", json_get(address, "hostname"));
        json_set(o, "targetRef", json_get(address, "targetRef"));
        json_set(o, "nodeName", json_get(address, "nodeName"));
    }
}

struct slice_want *endpoints_mirrored(struct arena *a, const struct json *endpoints, size_t *ret_n)
{
    const struct json *subsets = json_get(endpoints, "subsets");
    struct slice_want *v = arena_zalloc(a, (2 * json_len(subsets) + 1) * sizeof(*v));
    *ret_n = 0;
    JSON_FOR_EACH (subset, subsets) {
        for (int six = 0; v && six < 2; six++) {
            struct slice_want *w = &v[*ret_n];
            *w = (struct slice_want){.ports = mirrored_ports(a, subset),
                                     .address_type = six ? "IPv6" : "IPv4",
                                     .endpoints = json_array(a)};
            mirror_list(a, w, json_get(subset, "addresses"), true, six);
            mirror_list(a, w, json_get(subset, "notReadyAddresses"), false, six);
            *ret_n += json_len(w->endpoints) > 0;
        }
    }
    return v;
}

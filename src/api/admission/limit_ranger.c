/* SPDX-License-Identifier: Apache-2.0 */
/*
 * LimitRange: what containers get that say nothing, and what they (and pods, and claims) may ask
 * for. Only creates are looked at, as in Kubernetes.
 */
#include "api/admission/lookup.h"
#include "api/admission/plugins.h"
#include "api/handler_private.h"
#include "api/pod_resources.h"

static const struct kind *range_kind(void)
{
    static const struct kind *k;
    k = k ? k : kind_find("", "v1", "limitranges");
    return k;
}

static bool is_core(const struct admission *ad, const char *kind)
{
    return !*ad->kind->group && cstr_eq(ad->kind->kind, kind);
}

/* ---- the LimitRange itself: bounds that follow from others ---- */

static void fill_missing(struct json *item, const char *to, const char *from)
{
    JSON_FOR_EACH_MEMBER (m, json_get(item, from)) {
        if (!json_get(json_get(item, to), m->key)) {
            json_set(json_ensure_object(item, to), m->key, m->value);
        }
    }
}

static void complete_range(struct json *range)
{
    JSON_FOR_EACH (item, json_path(range, "spec.limits")) {
        if (cstr_eq(json_path_cstr(item, "type", ""), "Container")) {
            fill_missing(item, "default", "max");
            fill_missing(item, "defaultRequest", "default");
            fill_missing(item, "defaultRequest", "min");
        }
    }
}

/* ---- defaults ---- */

/* Adds what the container does not say; the names that were added, joined by ", ". */
static const char *add_defaults(struct arena *a, struct json *container, const char *member,
                                const struct json *defaults, const char *names)
{
    struct json *resources = json_ensure_object(container, "resources");
    JSON_FOR_EACH_MEMBER (m, defaults) {
        if (!json_get(json_get(resources, member), m->key)) {
            json_set(json_ensure_object(resources, member), m->key, m->value);
            names = *names ? arena_printf(a, "%s, %s", names, m->key) : m->key;
            names = names ? names : "";
        }
    }
    return names;
}

static const char *note(struct arena *a, const char *text, const char *names, const char *what,
                        const char *of, const struct json *container)
{
    if (!*names) {
        return text;
    }
    text = arena_printf(a, "%s%s%s %s for %s %s", text, *text ? "; " : "", names, what, of,
                        json_path_cstr(container, "name", ""));
    return text ? text : "";
}

static void default_pod(struct admission *ad, const struct lookup *ranges)
{
    static const struct {
        const char *path, *of;
    } lists[] = {{"spec.initContainers", "init container"}, {"spec.containers", "container"}};
    struct arena *a = ad->op->arena;
    const char *text = "";
    for (size_t l = ARRAY_SIZE(lists); l-- > 0;) {
        JSON_FOR_EACH (c, json_path(ad->obj, lists[l].path)) {
            const char *requests = "", *limits = "";
            for (size_t i = 0; i < ranges->n; i++) {
                JSON_FOR_EACH (item, json_path(ranges->v[i], "spec.limits")) {
                    if (cstr_eq(json_path_cstr(item, "type", ""), "Container")) {
                        limits = add_defaults(a, c, "limits", json_get(item, "default"), limits);
                        requests = add_defaults(a, c, "requests", json_get(item, "defaultRequest"),
                                                requests);
                    }
                }
            }
            text = note(a, text, requests, "request", lists[l].of, c);
            text = note(a, text, limits, "limit", lists[l].of, c);
        }
    }
    if (*text) {
        obj_set_annotation(ad->obj, "kubernetes.io/limit-ranger",
                           arena_printf(a, "LimitRanger plugin set: %s", text));
    }
}

static bool mutate(struct admission *ad)
{
    if (!ad->obj || *ad->subresource) {
        return true;
    }
    if (ad->kind == range_kind()) {
        complete_range(ad->obj);
    } else if (is_core(ad, "Pod") && ad->verb == SERVER_CREATE) {
        struct lookup ranges =
            lookup_all(ad->op->server, ad->op->arena, range_kind(), ad->op->ns, NULL);
        if (ranges.n > 0) {
            default_pod(ad, &ranges);
        }
    }
    return true;
}

/* ---- bounds ---- */

struct bound {
    struct arena *a;
    const char *type, *resource;
    struct quantity enforced;
    const struct quantity *request, *limit; /* NULL = not said */
    struct json *errors;
};

static const char *text_of(struct arena *a, struct quantity q)
{
    char text[QUANTITY_TEXT_SIZE];
    const char *copy = arena_strdup(a, quantity_print(q, text));
    return copy ? copy : "";
}

static void add_error(const struct bound *b, const char *which, const char *tail)
{
    json_push(b->errors, json_printf(b->a, "%s %s usage per %s is %s%s", which, b->resource,
                                     b->type, text_of(b->a, b->enforced), tail ? tail : ""));
}

static void check_min(const struct bound *b)
{
    if (!b->request) {
        add_error(b, "minimum", ".  No request is specified");
    } else if (quantity_cmp(*b->request, b->enforced) < 0) {
        add_error(b, "minimum",
                  arena_printf(b->a, ", but request is %s", text_of(b->a, *b->request)));
    } else if (b->limit && quantity_cmp(*b->limit, b->enforced) < 0) {
        add_error(b, "minimum", arena_printf(b->a, ", but limit is %s", text_of(b->a, *b->limit)));
    }
}

static void check_max(const struct bound *b)
{
    if (!b->limit) {
        add_error(b, "maximum", ".  No limit is specified");
    } else if (quantity_cmp(*b->limit, b->enforced) > 0) {
        add_error(b, "maximum", arena_printf(b->a, ", but limit is %s", text_of(b->a, *b->limit)));
    } else if (b->request && quantity_cmp(*b->request, b->enforced) > 0) {
        add_error(b, "maximum",
                  arena_printf(b->a, ", but request is %s", text_of(b->a, *b->request)));
    }
}

static void check_max_request(const struct bound *b)
{
    if (!b->request) {
        add_error(b, "maximum", ".  No request is specified");
    } else if (quantity_cmp(*b->request, b->enforced) > 0) {
        add_error(b, "maximum",
                  arena_printf(b->a, ", but request is %s", text_of(b->a, *b->request)));
    }
}

static void check_ratio(const struct bound *b)
{
    const char *why = NULL;
    if (!b->request || quantity_is_zero(*b->request)) {
        why = "no request is specified or request is 0";
    } else if (!b->limit || quantity_is_zero(*b->limit)) {
        why = "no limit is specified or limit is 0";
    } else {
        double ratio = (double)b->limit->nano / (double)b->request->nano;
        if (ratio > (double)b->enforced.nano / 1e9) {
            why = arena_printf(b->a, "provided ratio is %f", ratio);
        }
    }
    if (why) {
        json_push(b->errors, json_printf(b->a, "%s max limit to request ratio per %s is %s, but %s",
                                         b->resource, b->type, text_of(b->a, b->enforced), why));
    }
}

typedef void check_fn(const struct bound *b);

static void check_map(struct bound *b, const struct json *map, const struct resource_list *requests,
                      const struct resource_list *limits, check_fn *check)
{
    JSON_FOR_EACH_MEMBER (m, map) {
        if (quantity_from_json(m->value, &b->enforced, NULL) == 0) {
            b->resource = m->key;
            b->request = resource_list_get(requests, m->key);
            b->limit = resource_list_get(limits, m->key);
            check(b);
        }
    }
}

static struct resource_list said(struct arena *a, const struct json *map)
{
    struct resource_list l = {0};
    JSON_FOR_EACH_MEMBER (m, map) {
        struct quantity q;
        if (quantity_from_json(m->value, &q, NULL) == 0) {
            resource_list_add(a, &l, m->key, q);
        }
    }
    return l;
}

static void check_item(struct bound *b, const struct json *item,
                       const struct resource_list *requests, const struct resource_list *limits)
{
    check_map(b, json_get(item, "min"), requests, limits, check_min);
    check_map(b, json_get(item, "max"), requests, limits, check_max);
    check_map(b, json_get(item, "maxLimitRequestRatio"), requests, limits, check_ratio);
}

static void check_pod(struct bound *b, const struct json *item, const struct json *pod)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers"};
    if (cstr_eq(b->type, "Pod")) {
        struct resource_list requests = pod_requests(b->a, json_get(pod, "spec"));
        struct resource_list limits = pod_limits(b->a, json_get(pod, "spec"));
        check_item(b, item, &requests, &limits);
        return;
    }
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        JSON_FOR_EACH (c, json_path(pod, lists[l])) {
            struct resource_list requests = said(b->a, json_path(c, "resources.requests"));
            struct resource_list limits = said(b->a, json_path(c, "resources.limits"));
            check_item(b, item, &requests, &limits);
        }
    }
}

static void check_claim(struct bound *b, const struct json *item, const struct json *claim)
{
    struct resource_list requests = said(b->a, json_path(claim, "spec.resources.requests"));
    struct resource_list none = {0};
    check_map(b, json_get(item, "min"), &requests, &none, check_min);
    check_map(b, json_get(item, "max"), &requests, &none, check_max_request);
}

static bool refuse(struct admission *ad, const struct json *errors)
{
    const char *text = json_cstr(json_at(errors, 0), "");
    for (size_t i = 1; text && i < json_len(errors); i++) {
        text = arena_printf(ad->op->arena, "%s, %s", text, json_cstr(json_at(errors, i), ""));
    }
    return admission_forbid(
        ad, json_len(errors) > 1 ? arena_printf(ad->op->arena, "[%s]", text ? text : "") : text);
}

static bool validate(struct admission *ad)
{
    bool pod = is_core(ad, "Pod"), claim = is_core(ad, "PersistentVolumeClaim");
    if (!ad->obj || *ad->subresource || ad->verb != SERVER_CREATE || (!pod && !claim)) {
        return true;
    }
    struct arena *a = ad->op->arena;
    struct lookup ranges = lookup_all(ad->op->server, a, range_kind(), ad->op->ns, NULL);
    for (size_t i = 0; i < ranges.n; i++) {
        struct bound b = {.a = a, .errors = json_array(a)};
        JSON_FOR_EACH (item, json_path(ranges.v[i], "spec.limits")) {
            b.type = json_path_cstr(item, "type", "");
            if (pod && (cstr_eq(b.type, "Container") || cstr_eq(b.type, "Pod"))) {
                check_pod(&b, item, ad->obj);
            } else if (claim && cstr_eq(b.type, "PersistentVolumeClaim")) {
                check_claim(&b, item, ad->obj);
            }
        }
        if (json_len(b.errors) > 0) {
            return refuse(ad, b.errors);
        }
    }
    return true;
}

const struct admission_plugin limit_ranger_plugin = {
    .name = "LimitRanger", .mutate = mutate, .validate = validate};

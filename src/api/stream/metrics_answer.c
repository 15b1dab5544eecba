/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics.k8s.io/v1beta1 as the metrics server answers it: the nodes and pods of the store that the
 * request's selectors match, with the figures that their nodes gave. What has no figures is left
 * out of lists and not found by name.
 */
#include "api/stream/metrics_answer.h"

#include "api/handler_private.h"
#include "api/metrics.h"
#include "api/selector.h"
#include "api/server_private.h"
#include "base/map.h"

#define API_VERSION "metrics.k8s.io/v1beta1"

struct answer {
    struct metrics_query *query;
    const struct kind *kind; /* of the objects: v1 Node or Pod */
    struct json **objects;   /* of the store */
    size_t n;
};

/* ---- one object ---- */

static void set_usage(struct json *o, const struct metrics_usage *u)
{
    struct json *usage = json_ensure_object(o, "usage");
    json_set(usage, "cpu", json_printf(usage->arena, "%lldn", (long long)u->cpu_nano));
    json_set(usage, "memory",
             json_printf(usage->arena, "%lldKi", (long long)(u->memory_bytes / 1024)));
}

/* Kind, metadata, timestamp and window. */
static struct json *head(struct arena *a, const char *kind, const struct json *obj, struct wall at,
                         int64_t window_us)
{
    char text[TIME_TEXT_SIZE];
    struct json *o = json_object(a), *meta;
    json_set_str(o, "kind", kind);
    json_set_str(o, "apiVersion", API_VERSION);
    meta = json_ensure_object(o, "metadata");
    json_set_str(meta, "name", obj_name(obj));
    json_set_str(meta, "namespace", *obj_ns(obj) ? obj_ns(obj) : NULL);
    json_set_str(meta, "creationTimestamp", time_text(wall_now(), text));
    json_set(meta, "labels", json_clone(a, obj_labels(obj)));
    json_set_str(o, "timestamp", time_text(at, text));
    json_set(o, "window",
             json_printf(a, "%lld.%03llds", (long long)(window_us / 1000000),
                         (long long)(window_us / 1000 % 1000)));
    return o;
}

static bool known(const struct metrics_usage *u)
{
    return u->cpu_nano >= 0 && u->memory_bytes >= 0;
}

static struct json *node_metrics(struct handler_op *op, const struct json *obj)
{
    struct metrics_node m;
    if (!metrics_node(op->server, obj_name(obj), &m) || !known(&m.usage)) {
        return NULL;
    }
    struct json *o = head(op->arena, "NodeMetrics", obj, m.at, m.window_us);
    set_usage(o, &m.usage);
    return o;
}

static struct json *pod_metrics(struct handler_op *op, const struct json *obj)
{
    struct metrics_pod m;
    const char *node = json_path_cstr(obj, "spec.nodeName", "");
    if (!metrics_pod(op->server, node, obj_ns(obj), obj_name(obj), obj_uid(obj), &m) ||
        m.n_containers == 0) {
        return NULL;
    }
    struct json *o = head(op->arena, "PodMetrics", obj, m.at, m.window_us);
    struct json *list = json_ensure_array(o, "containers");
    for (size_t i = 0; i < m.n_containers; i++) {
        struct json *c = json_push(list, json_object(op->arena));
        json_set_str(c, "name", m.containers[i].name);
        set_usage(c, &m.containers[i].usage);
        if (!known(&m.containers[i].usage)) {
            return NULL; /* it has just begun */
        }
    }
    return o;
}

/* ---- the answer ---- */

static void ready(void *arg)
{
    struct handler_op *op = arg;
    struct answer *s = op->impl;
    bool pods = cstr_eq(op->kind->plural, "pods");
    struct json *list = json_object(op->arena), *items, *one = NULL;
    s->query = NULL;
    op->cancelled = NULL;
    json_set_str(list, "kind", op->kind->list_kind);
    json_set_str(list, "apiVersion", API_VERSION);
    (void)json_ensure_object(list, "metadata"); /* made empty */
    items = json_ensure_array(list, "items");
    for (size_t i = 0; i < s->n; i++) {
        one = pods ? pod_metrics(op, s->objects[i]) : node_metrics(op, s->objects[i]);
        json_push(items, one);
    }
    struct status_about about = {
        .group = "metrics.k8s.io", .kind = op->kind->plural, .name = op->name};
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
    } else if (op->verb == HANDLER_LIST) {
        handler_ok_tree(op, 200, list);
    } else if (one) {
        handler_ok_tree(op, 200, one);
    } else {
        handler_fail(op, status_not_found(op->arena, &about));
    }
}

static void cancelled(struct handler_op *op)
{
    struct answer *s = op->impl;
    metrics_cancel(s->query);
}

/* ---- what is asked for ---- */

/* The stored objects; -E_* when the selectors are no good. */
static int select_objects(struct handler_op *op, struct answer *s, struct err *err)
{
    struct selector *labels = NULL, *fields = NULL;
    struct store_list list = {0};
    bool one = op->verb == HANDLER_GET;
    int rc = handler_selectors(op->arena, s->kind, &op->opt, &labels, &fields, err);
    if (rc < 0) {
        return rc;
    }
    const char *ns = s->kind->namespaced && *op->ns ? op->ns : NULL;
    const char *prefix =
        one ? api_key(op->arena, s->kind, op->ns, op->name) : api_key(op->arena, s->kind, ns, NULL);
    const struct store_list_opts opts = {.prefix = str_of(prefix)};
    rc = prefix ? store_list(op->server->store, &opts, &list) : -ENOMEM;
    if (rc < 0) {
        return err_set(err, rc, "%s", err_text(rc));
    }
    s->objects = arena_zalloc(op->arena, (list.n + 1) * sizeof(*s->objects));
    for (size_t i = 0; s->objects && i < list.n; i++) {
        bool exact = !one || str_is(store_item_key(list.items[i]), prefix);
        struct json *obj = exact && api_item_match(list.items[i], labels, fields)
                               ? handler_item_tree(op->arena, s->kind, list.items[i])
                               : NULL;
        if (obj) {
            s->objects[s->n++] = obj;
        }
    }
    store_list_fini(&list);
    return 0;
}

/* The nodes whose figures are needed, each once. */
static const char *const *nodes_of(struct handler_op *op, const struct answer *s, bool pods)
{
    const char **out = arena_zalloc(op->arena, (s->n + 1) * sizeof(*out));
    struct map seen = MAP_INIT;
    size_t n = 0;
    for (size_t i = 0; out && i < s->n; i++) {
        const char *node =
            pods ? json_path_cstr(s->objects[i], "spec.nodeName", "") : obj_name(s->objects[i]);
        if (*node && !map_get(&seen, str_of(node))) {
            out[n++] = node;
            (void)map_put(&seen, str_of(node), op, NULL); /* asked for twice at the worst */
        }
    }
    map_fini(&seen, NULL);
    return (const char *const *)out;
}

static void run(struct handler_op *op, bool pods)
{
    struct answer *s = arena_zalloc(op->arena, sizeof(*s));
    struct err err = {0};
    if (!s) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    s->kind = kind_find("", "v1", pods ? "pods" : "nodes");
    int rc = select_objects(op, s, &err);
    if (rc < 0) {
        handler_fail_code(op, rc, err.text);
        return;
    }
    const char *const *nodes = nodes_of(op, s, pods);
    op->impl = s;
    s->query = nodes ? metrics_ask(op->server, nodes, ready, op) : NULL;
    if (!s->query) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    op->cancelled = cancelled;
}

void metrics_answer_nodes(struct handler_op *op)
{
    run(op, false);
}

void metrics_answer_pods(struct handler_op *op)
{
    run(op, true);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node authorizer, after plugin/pkg/auth/authorizer/node and NodeRestriction.
 *
 * A node may: read, create and update its own Node and its status, own its Lease, read the pods
 * bound to it, update their status, evict and delete them, write Events, read the ConfigMaps,
 * Secrets and ServiceAccounts to which its pods refer, and ask for tokens of these ServiceAccounts.
 * It makes no pods: through their references it could read any Secret.
 */
#include "api/auth/authz.h"

#include "api/object.h"
#include "api/selector.h"
#include "api/server_private.h"

struct node_request {
    struct api_server *server;
    struct arena *arena;
    const struct authz_attrs *r;
    const char *node;
};

static bool is(const struct authz_attrs *r, const char *verb)
{
    return cstr_eq(r->verb, verb);
}

static bool writes(const struct authz_attrs *r)
{
    return is(r, "update") || is(r, "patch");
}

static bool reads_many(const struct authz_attrs *r)
{
    return is(r, "list") || is(r, "watch");
}

/* The selector asks for exactly field=value. */
static bool selects(struct node_request *q, const char *field, const char *value)
{
    struct selector *s = NULL;
    const char *text = q->r->field_selector;
    if (!text || selector_parse_fields(q->arena, text, &s, NULL) < 0) {
        return false;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->terms[i].op == SELECTOR_EQ && cstr_eq(s->terms[i].key, field) &&
            (!value || cstr_eq(s->terms[i].values[0], value))) {
            return true;
        }
    }
    return false;
}

static struct json *load_pod(struct node_request *q, const char *ns, const char *name)
{
    const struct kind *pods = kind_find("", "v1", "pods");
    const char *key = api_key(q->arena, pods, ns, name);
    struct store_item *it = key ? store_get_latest(q->server->store, str_of(key)) : NULL;
    return it ? handler_item_tree(q->arena, pods, it) : NULL;
}

static bool node_pods(struct node_request *q)
{
    const struct authz_attrs *r = q->r;
    if (reads_many(r)) {
        return selects(q, "spec.nodeName", q->node);
    }
    bool itself = !*r->subresource;
    bool fits = (itself && (is(r, "get") || is(r, "delete"))) ||
                (writes(r) && cstr_eq(r->subresource, "status")) ||
                (is(r, "create") && cstr_eq(r->subresource, "eviction"));
    if (!fits || !*r->name) {
        return false;
    }
    /* A pod that is not there may be asked for: the answer is 404, as for the real authorizer's
     * graph it would be 403; a node that lost a deletion must be able to learn of it. */
    struct json *pod = load_pod(q, r->ns, r->name);
    return !pod || cstr_eq(json_path_cstr(pod, "spec.nodeName", ""), q->node);
}

static bool node_nodes(struct node_request *q)
{
    const struct authz_attrs *r = q->r;
    if (reads_many(r)) {
        return selects(q, "metadata.name", q->node);
    }
    if (is(r, "create")) {
        return cstr_eq(obj_name(r->body), q->node);
    }
    return cstr_eq(r->name, q->node) && (is(r, "get") || writes(r)) &&
           (!*r->subresource || cstr_eq(r->subresource, "status"));
}

static bool node_leases(struct node_request *q)
{
    const struct authz_attrs *r = q->r;
    if (!cstr_eq(r->ns, "kube-node-lease")) {
        return false;
    }
    if (is(r, "create")) {
        return cstr_eq(obj_name(r->body), q->node);
    }
    return cstr_eq(r->name, q->node) && (is(r, "get") || is(r, "delete") || writes(r));
}

static bool node_events(struct node_request *q)
{
    return is(q->r, "create") || writes(q->r);
}

/* What in a pod's spec refers to another object: a member of this name with its name inside. */
struct reference {
    const char *holder, *field;
};
static const struct reference secret_refs[] = {
    {"secret", "secretName"}, {"secret", "name"}, {"secretKeyRef", "name"}, {"secretRef", "name"}};
static const struct reference configmap_refs[] = {
    {"configMap", "name"}, {"configMapKeyRef", "name"}, {"configMapRef", "name"}};

static bool member_refers(const struct json_member *m, const struct reference *refs, size_t n,
                          const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (cstr_eq(m->key, refs[i].holder) &&
            cstr_eq(json_path_cstr(m->value, refs[i].field, NULL), name)) {
            return true;
        }
    }
    return false;
}

/* Walks the spec with a stack of its own; what does not fit is not granted. */
static bool refers(const struct json *spec, const struct reference *refs, size_t n_refs,
                   const char *name)
{
    const struct json *stack[256];
    size_t n = 0;
    stack[n++] = spec;
    while (n) {
        const struct json *at = stack[--n];
        JSON_FOR_EACH_MEMBER (m, at) {
            if (member_refers(m, refs, n_refs, name)) {
                return true;
            }
            if (json_len(m->value) && n < ARRAY_SIZE(stack)) {
                stack[n++] = m->value;
            }
        }
        JSON_FOR_EACH (item, at) {
            if (json_len(item) && n < ARRAY_SIZE(stack)) {
                stack[n++] = item;
            }
        }
    }
    return false;
}

static bool pod_refers(const struct json *pod, const char *resource, const char *name)
{
    const struct json *spec = json_get(pod, "spec");
    if (cstr_eq(resource, "serviceaccounts")) {
        return cstr_eq(json_path_cstr(spec, "serviceAccountName", "default"), name);
    }
    if (cstr_eq(resource, "configmaps")) {
        return refers(spec, configmap_refs, ARRAY_SIZE(configmap_refs), name);
    }
    JSON_FOR_EACH (pull, json_get(spec, "imagePullSecrets")) {
        if (cstr_eq(json_path_cstr(pull, "name", NULL), name)) {
            return true;
        }
    }
    return refers(spec, secret_refs, ARRAY_SIZE(secret_refs), name);
}

/* A ConfigMap, Secret or ServiceAccount that one of the node's pods in the namespace uses. */
static bool node_refers(struct node_request *q)
{
    const struct authz_attrs *r = q->r;
    const struct kind *pods = kind_find("", "v1", "pods");
    const char *name = r->name;
    struct selector *mine = NULL;
    struct store_list list = {0};
    const char *text = arena_printf(q->arena, "spec.nodeName=%s", q->node);
    bool token = cstr_eq(r->resource, "serviceaccounts") && cstr_eq(r->subresource, "token");
    bool single = token ? is(r, "create") : is(r, "get") && !*r->subresource;
    if (reads_many(r) && !*r->subresource) {
        struct selector *s = NULL;
        single = selects(q, "metadata.name", NULL) &&
                 selector_parse_fields(q->arena, r->field_selector, &s, NULL) == 0 && s->n == 1;
        name = single ? s->terms[0].values[0] : "";
    }
    const char *prefix = api_key(q->arena, pods, r->ns, "");
    if (!single || !*r->ns || !text || !prefix ||
        selector_parse_fields(q->arena, text, &mine, NULL) < 0 ||
        store_list(q->server->store, &(struct store_list_opts){.prefix = str_of(prefix)}, &list) <
            0) {
        return false;
    }
    bool found = false;
    for (size_t i = 0; i < list.n && !found; i++) {
        if (api_item_match(list.items[i], NULL, mine)) {
            struct json *pod = handler_item_tree(q->arena, pods, list.items[i]);
            found = pod_refers(pod, r->resource, name);
        }
    }
    store_list_fini(&list);
    return found;
}

static bool allowed(struct node_request *q)
{
    static const struct {
        const char *group, *resource;
        bool (*allowed)(struct node_request *q);
    } rules[] = {
        {"", "configmaps", node_refers},
        {"", "events", node_events},
        {"", "nodes", node_nodes},
        {"", "pods", node_pods},
        {"", "secrets", node_refers},
        {"", "serviceaccounts", node_refers},
        {"coordination.k8s.io", "leases", node_leases},
        {"events.k8s.io", "events", node_events},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        if (cstr_eq(rules[i].group, q->r->group) && cstr_eq(rules[i].resource, q->r->resource)) {
            return rules[i].allowed(q);
        }
    }
    return false;
}

bool authz_node_allows(struct api_server *s, struct arena *a, const struct authz_attrs *r)
{
    struct node_request q = {.server = s, .arena = a, .r = r, .node = api_user_node(r->user)};
    return q.node && !r->path && allowed(&q);
}

/* ---- what a node may write about itself ---- */

/* Labels of Kubernetes' own domains that a node may set; all of other domains are free. */
static bool label_allowed(const char *key)
{
    static const char *const names[] = {"kubernetes.io/hostname",
                                        "kubernetes.io/arch",
                                        "kubernetes.io/os",
                                        "beta.kubernetes.io/arch",
                                        "beta.kubernetes.io/os",
                                        "topology.kubernetes.io/zone",
                                        "topology.kubernetes.io/region",
                                        "node.kubernetes.io/instance-type"};
    struct str domain, name;
    if (!str_cut(str_of(key), '/', &domain, &name)) {
        return true;
    }
    bool theirs = str_is(domain, "kubernetes.io") || str_ends(domain, ".kubernetes.io") ||
                  str_is(domain, "k8s.io") || str_ends(domain, ".k8s.io");
    if (!theirs || str_is(domain, "kubelet.kubernetes.io") ||
        str_is(domain, "node.kubernetes.io")) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (cstr_eq(key, names[i])) {
            return true;
        }
    }
    return false;
}

static bool same(const struct json *a, const struct json *b)
{
    size_t n = json_len(a) + json_len(b);
    return n == 0 || (a && b && json_equal(a, b));
}

/* The first label that differs and may not; NULL when there is none. */
static const char *label_refused(const struct json *obj, const struct json *old)
{
    const struct json *sides[2] = {obj_labels(obj), obj_labels(old)};
    for (size_t i = 0; i < 2; i++) {
        JSON_FOR_EACH_MEMBER (m, sides[i]) {
            const struct json *other = json_get(sides[1 - i], m->key);
            if (!(other && json_equal(other, m->value)) && !label_allowed(m->key)) {
                return m->key;
            }
        }
    }
    return NULL;
}

int authz_node_write(const struct api_user *u, const struct kind *k, const struct json *obj,
                     const struct json *old, struct err *err)
{
    const char *node = api_user_node(u);
    if (!node || api_user_in(u, "system:masters") || !cstr_eq(k->kind, "Node")) {
        return 0;
    }
    const char *label = label_refused(obj, old);
    if (label) {
        return err_set(err, -E_ACCESS, "node \"%s\" is not allowed to modify labels: %s", node,
                       label);
    }
    if (old && !same(json_path(obj, "spec.taints"), json_path(old, "spec.taints"))) {
        return err_set(err, -E_ACCESS, "node \"%s\" is not allowed to modify taints", node);
    }
    if (!same(json_path(obj, "metadata.ownerReferences"),
              json_path(old, "metadata.ownerReferences"))) {
        return err_set(err, -E_ACCESS, "node \"%s\" is not allowed to modify ownerReferences",
                       node);
    }
    return 0;
}

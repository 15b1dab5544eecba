/* SPDX-License-Identifier: Apache-2.0 */
/* May the pod run on a node? In Kubernetes' order, with its words. */
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "sched_private.h"

/* ---- taints ---- */

static bool tolerates(const struct json *toleration, const struct json *taint)
{
    const char *effect = json_cstr(json_get(toleration, "effect"), "");
    const char *key = json_cstr(json_get(toleration, "key"), "");
    const char *op = json_cstr(json_get(toleration, "operator"), "Equal");
    bool exists = strcmp(op, "Exists") == 0;
    if (effect[0] && strcmp(effect, json_cstr(json_get(taint, "effect"), "")) != 0) {
        return false;
    }
    if (key[0] ? strcmp(key, json_cstr(json_get(taint, "key"), "")) != 0 : !exists) {
        return false;
    }
    return exists || strcmp(json_cstr(json_get(toleration, "value"), ""),
                            json_cstr(json_get(taint, "value"), "")) == 0;
}

bool taint_tolerated(const struct json *taint, const struct json *tolerations)
{
    JSON_FOR_EACH (t, tolerations) {
        if (tolerates(t, taint)) {
            return true;
        }
    }
    return false;
}

/* The first taint that keeps the pod away. */
static const struct json *untolerated(const struct want *w, const struct sched_node *node)
{
    JSON_FOR_EACH (taint, node->taints) {
        const char *effect = json_cstr(json_get(taint, "effect"), "");
        bool keeps_away = strcmp(effect, "NoSchedule") == 0 || strcmp(effect, "NoExecute") == 0;
        if (keeps_away && !taint_tolerated(taint, w->tolerations)) {
            return taint;
        }
    }
    if (node->not_ready && !taint_tolerated(node->not_ready, w->tolerations)) {
        return node->not_ready;
    }
    return NULL;
}

static bool cordoned(const struct want *w, const struct sched_node *node)
{
    struct json *taint = NULL;
    if (!node->unschedulable) {
        return false;
    }
    taint = json_object(w->arena);
    json_set_str(taint, "key", "node.kubernetes.io/unschedulable");
    json_set_str(taint, "effect", "NoSchedule");
    return !taint_tolerated(taint, w->tolerations);
}

/* ---- room ---- */

static bool ports_conflict(const struct sched_port *a, const struct sched_port *b)
{
    return a->port == b->port && strcmp(a->protocol, b->protocol) == 0 &&
           (!a->ip[0] || !b->ip[0] || strcmp(a->ip, b->ip) == 0);
}

static bool ports_taken(const struct want *w, const struct sched_node *node)
{
    if (w->n_ports == 0) {
        return false;
    }
    LIST_FOR_EACH (l, &node->pods) {
        const struct sched_pod *p = CONTAINER_OF(l, struct sched_pod, on_node);
        for (size_t i = 0; i < p->n_ports; i++) {
            for (size_t k = 0; k < w->n_ports; k++) {
                if (ports_conflict(&p->ports[i], &w->ports[k])) {
                    return true;
                }
            }
        }
    }
    return false;
}

static bool lacks(int64_t asks, int64_t has, int64_t used)
{
    return asks > 0 && asks > has - used;
}

/* What is taken, with the pods that wait for this node and are not less important. */
static struct sched_amount taken(const struct want *w, const struct sched_node *node)
{
    struct sched_amount sum = node->used;
    LIST_FOR_EACH (l, &node->nominated) {
        const struct sched_nominee *n = CONTAINER_OF(l, struct sched_nominee, on_node);
        struct str ns, name;
        (void)str_cut(str_of(n->key), '/', &ns, &name);
        if (n->priority >= w->priority && !(str_is(ns, w->ns) && str_is(name, obj_name(w->pod)))) {
            sum.cpu += n->asks.cpu;
            sum.memory += n->asks.memory;
            sum.storage += n->asks.storage;
            sum.pods += n->asks.pods;
        }
    }
    return sum;
}

static const char *check_extended(const struct want *w, const struct sched_node *node)
{
    for (size_t i = 0; i < w->extended.n; i++) {
        const char *name = w->extended.v[i].name;
        const struct quantity *has = resource_list_get(&node->extended, name);
        struct quantity sum = w->extended.v[i].q;
        if (quantity_is_zero(sum)) {
            continue;
        }
        LIST_FOR_EACH (l, &node->pods) {
            const struct sched_pod *p = CONTAINER_OF(l, struct sched_pod, on_node);
            const struct quantity *q = resource_list_get(&p->extended, name);
            sum = q ? quantity_add(sum, *q) : sum;
        }
        if (!has || quantity_cmp(sum, *has) > 0) {
            const char *text = arena_printf(w->arena, "Insufficient %s", name);
            return text ? text : "Insufficient extended resources";
        }
    }
    return NULL;
}

static size_t check_room(const struct want *w, const struct sched_node *node, const char **why)
{
    struct sched_amount used = list_empty(&node->nominated) ? node->used : taken(w, node);
    size_t n = 0;
    if (used.pods + 1 > node->has.pods) {
        why[n++] = "Too many pods";
    }
    if (lacks(w->asks.cpu, node->has.cpu, used.cpu)) {
        why[n++] = "Insufficient cpu";
    }
    if (lacks(w->asks.memory, node->has.memory, used.memory)) {
        why[n++] = "Insufficient memory";
    }
    if (lacks(w->asks.storage, node->has.storage, used.storage)) {
        why[n++] = "Insufficient ephemeral-storage";
    }
    const char *more = w->extended.n ? check_extended(w, node) : NULL;
    if (more) {
        why[n++] = more;
    }
    return n;
}

/* ---- neighbours ---- */

static const char *check_spread(const struct want *w, const struct sched_node *node)
{
    for (size_t i = 0; i < w->n_spreads; i++) {
        const struct spread *sp = &w->spreads[i];
        const char *value = json_cstr(json_get(node->labels, sp->key), NULL);
        if (!sp->hard) {
            continue;
        }
        if (!value) {
            return "node(s) didn't match pod topology spread constraints (missing required label)";
        }
        int64_t n = json_i64(json_get(sp->counts, value), 0);
        if (n + sp->self - sp->least > sp->max_skew) {
            return "node(s) didn't match pod topology spread constraints";
        }
    }
    return NULL;
}

static bool marked(const struct want *w, const struct json *set, const char *key,
                   const struct sched_node *node)
{
    const char *value = json_cstr(json_get(node->labels, key), NULL);
    return value && json_get(set, topology_key(w->arena, key, value));
}

static bool is_refused(const struct want *w, const struct sched_node *node)
{
    JSON_FOR_EACH_MEMBER (m, w->refused) {
        const char *eq = strchr(m->key, '='); /* a label key holds none */
        struct str key = str_n(m->key, (size_t)(eq - m->key));
        if (str_is(json_text(json_get_n(node->labels, key)), eq + 1) &&
            json_get_n(node->labels, key)) {
            return true;
        }
    }
    return false;
}

static const char *check_neighbours(const struct want *w, const struct sched_node *node)
{
    for (size_t i = 0; i < w->affinity.n; i++) {
        const char *key = w->affinity.v[i].topology_key;
        bool alone = w->affinity_alone && json_get(node->labels, key);
        if (!alone && !marked(w, w->affine, key, node)) {
            return "node(s) didn't match pod affinity rules";
        }
    }
    for (size_t i = 0; i < w->anti.n; i++) {
        if (marked(w, w->repelled, w->anti.v[i].topology_key, node)) {
            return "node(s) didn't match pod anti-affinity rules";
        }
    }
    return is_refused(w, node) ? "node(s) didn't satisfy existing pods anti-affinity rules" : NULL;
}

/* What speaks against the node itself, whatever runs there. */
static const char *check_self(const struct want *w, const struct sched_node *node)
{
    if (cordoned(w, node)) {
        return "node(s) were unschedulable";
    }
    const struct json *taint = untolerated(w, node);
    if (taint) {
        const char *text = arena_printf(w->arena, "node(s) had untolerated taint {%s: %s}",
                                        json_cstr(json_get(taint, "key"), ""),
                                        json_cstr(json_get(taint, "value"), ""));
        return text ? text : "node(s) had untolerated taint";
    }
    if (!node_matches(w, node)) {
        return "node(s) didn't match Pod's node affinity/selector";
    }
    return NULL;
}

static const char *check_node(const struct want *w, const struct sched_node *node)
{
    const char *why = check_self(w, node);
    if (!why && ports_taken(w, node)) {
        why = "node(s) didn't have free ports for the requested pod ports";
    }
    return why;
}

static const char *check_volumes(const struct want *w, const struct sched_node *node)
{
    return w->volumes ? w->volumes->check(w->volumes->arg, node->name, node->labels) : NULL;
}

bool sched_hopeless(const struct want *w, const struct sched_node *node)
{
    return check_self(w, node) || check_volumes(w, node);
}

size_t sched_filter(const struct want *w, const struct sched_node *node,
                    const char *reasons[REASONS_MAX])
{
    const char *why = check_node(w, node);
    if (!why) {
        size_t n = check_room(w, node, reasons);
        if (n > 0) {
            return n;
        }
        why = check_volumes(w, node);
        why = why ? why : check_spread(w, node);
        why = why ? why : check_neighbours(w, node);
    }
    reasons[0] = why;
    return why ? 1 : 0;
}

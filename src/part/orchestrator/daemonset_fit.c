/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes a DaemonSet is for, and the pod that it makes for one. */
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "daemonset_private.h"
#include "orchestrator_private.h"
#include "sched.h"
#include "workload.h"

#define UNREACHABLE "node.kubernetes.io/unreachable"
#define TEMPLATE_GENERATION "pod-template-generation"

/* ---- tolerations ---- */

static void add_toleration(struct json *list, struct arena *a, const char *key, const char *effect)
{
    JSON_FOR_EACH (t, list) {
        if (strcmp(json_path_cstr(t, "key", ""), key) == 0 &&
            strcmp(json_path_cstr(t, "effect", ""), effect) == 0 &&
            strcmp(json_path_cstr(t, "operator", ""), "Exists") == 0 &&
            !json_get(t, "tolerationSeconds")) {
            return;
        }
    }
    struct json *t = json_push(list, json_object(a));
    json_set_str(t, "key", key);
    json_set_str(t, "operator", "Exists");
    json_set_str(t, "effect", effect);
}

/* A daemon stays whatever happens to its node, and starts where other pods may not. */
static struct json *with_daemon_tolerations(struct arena *a, const struct json *spec)
{
    const struct json *own = json_get(spec, "tolerations");
    struct json *list = json_is(own, JSON_ARRAY) ? json_clone(a, own) : json_array(a);
    add_toleration(list, a, "node.kubernetes.io/not-ready", "NoExecute");
    add_toleration(list, a, UNREACHABLE, "NoExecute");
    add_toleration(list, a, "node.kubernetes.io/disk-pressure", "NoSchedule");
    add_toleration(list, a, "node.kubernetes.io/memory-pressure", "NoSchedule");
    add_toleration(list, a, "node.kubernetes.io/pid-pressure", "NoSchedule");
    add_toleration(list, a, "node.kubernetes.io/unschedulable", "NoSchedule");
    if (json_path_true(spec, "hostNetwork", false)) {
        add_toleration(list, a, "node.kubernetes.io/network-unavailable", "NoSchedule");
    }
    return list;
}

/* ---- fitting ---- */

static int read_terms(struct arena *a, const struct json *exprs, const struct selector **ret,
                      struct err *err)
{
    size_t n = 0;
    *ret = NULL;
    if (json_len(exprs) == 0) {
        return 0;
    }
    struct selector *s = arena_zalloc(a, sizeof(*s));
    struct selector_term *terms = arena_zalloc(a, json_len(exprs) * sizeof(*terms));
    if (!s || !terms) {
        return -E_NOMEM;
    }
    JSON_FOR_EACH (expr, exprs) {
        int r = selector_term_from_json(a, expr, &terms[n++], err);
        if (r < 0) {
            return r;
        }
    }
    s->terms = terms;
    s->n = n;
    *ret = s;
    return 0;
}

static int read_affinity(struct daemon_fit *fit, struct arena *a, const struct json *spec,
                         struct err *err)
{
    const struct json *terms =
        json_path(spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
                        "nodeSelectorTerms");
    fit->has_terms = terms != NULL;
    fit->labels = arena_zalloc(a, (json_len(terms) + 1) * sizeof(*fit->labels));
    fit->fields = arena_zalloc(a, (json_len(terms) + 1) * sizeof(*fit->fields));
    if (!fit->labels || !fit->fields) {
        return -E_NOMEM;
    }
    JSON_FOR_EACH (term, terms) {
        size_t i = fit->n_terms++;
        int r = read_terms(a, json_get(term, "matchExpressions"), &fit->labels[i], err);
        r = r < 0 ? r : read_terms(a, json_get(term, "matchFields"), &fit->fields[i], err);
        if (r < 0) {
            return r;
        }
    }
    return 0;
}

int daemon_fit_init(struct daemon_fit *fit, struct arena *a, const struct json *set,
                    struct err *err)
{
    const struct json *spec = json_path(set, "spec.template.spec");
    struct selector *selector;
    *fit = (struct daemon_fit){.tolerations = with_daemon_tolerations(a, spec),
                               .node_name = json_path_cstr(spec, "nodeName", "")};
    int r = selector_from_map(a, json_get(spec, "nodeSelector"), &selector, err);
    fit->selector = r < 0 ? NULL : selector;
    return r < 0 ? r : read_affinity(fit, a, spec, err);
}

static const char *field_of_node(const void *arg, const char *key)
{
    const struct daemon_node *node = arg;
    return strcmp(key, "metadata.name") == 0 ? node->name : NULL;
}

static bool matches(const struct daemon_fit *fit, const struct daemon_node *node)
{
    if ((fit->node_name[0] && strcmp(fit->node_name, node->name) != 0) ||
        !selector_match_labels(fit->selector, node->labels)) {
        return false;
    }
    for (size_t i = 0; i < fit->n_terms; i++) {
        const struct selector *labels = fit->labels[i], *fields = fit->fields[i];
        if ((labels || fields) && (!labels || selector_match_labels(labels, node->labels)) &&
            (!fields || selector_match(fields, field_of_node, node))) {
            return true;
        }
    }
    return !fit->has_terms;
}

void daemon_fit_judge(const struct daemon_fit *fit, struct daemon_place *place)
{
    const struct daemon_node *node = place->node;
    place->wanted = place->tolerated = node && matches(fit, node);
    if (!place->wanted) {
        return;
    }
    JSON_FOR_EACH (taint, node->taints) {
        const char *effect = json_path_cstr(taint, "effect", "");
        if (strcmp(json_path_cstr(taint, "key", ""), UNREACHABLE) == 0) {
            place->cut = true;
        } else if (strcmp(effect, "PreferNoSchedule") != 0 &&
                   !taint_tolerated(taint, fit->tolerations)) {
            place->wanted = false;
            place->tolerated = place->tolerated && strcmp(effect, "NoExecute") != 0;
        }
    }
}

/* ---- the pod ---- */

/* The scheduler places it, on this node only. */
static void bind_to(struct arena *a, struct json *spec, const char *node)
{
    struct json *affinity =
        json_ensure_object(json_ensure_object(spec, "affinity"), "nodeAffinity");
    struct json *required = json_object(a), *term = json_object(a), *field = json_object(a);
    json_set_str(field, "key", "metadata.name");
    json_set_str(field, "operator", "In");
    json_push(json_ensure_array(field, "values"), json_string(a, node));
    json_push(json_ensure_array(term, "matchFields"), field);
    json_push(json_ensure_array(required, "nodeSelectorTerms"), term);
    json_set(affinity, "requiredDuringSchedulingIgnoredDuringExecution", required);
}

struct json *daemon_pod(struct daemon *d, const char *node)
{
    struct json *pod = workload_pod(d->arena, json_path(d->set, "spec.template"), d->set,
                                    known_kinds()->daemon_set);
    struct json *spec = json_get(pod, "spec");
    const char *generation = obj_annotation(d->set, "deprecated.daemonset.template.generation");
    json_set(obj_meta(pod), "generateName", json_printf(d->arena, "%.245s-", obj_name(d->set)));
    obj_set_label(pod, REVISION_HASH_LABEL, d->hash);
    if (generation[0]) {
        obj_set_label(pod, TEMPLATE_GENERATION, generation);
    }
    bind_to(d->arena, spec, node);
    json_set(spec, "tolerations", json_clone(d->arena, d->fit.tolerations));
    return pod;
}

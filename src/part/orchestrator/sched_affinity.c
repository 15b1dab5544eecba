/* SPDX-License-Identifier: Apache-2.0 */
/* Node affinity, pod affinity and anti-affinity, topology spreading: who is where. */
#include <string.h>

#include "base/mem.h"
#include "sched_private.h"

/* ---- nodes ---- */

static const char *field_of_node(const void *arg, const char *key)
{
    const struct sched_node *node = arg;
    return strcmp(key, "metadata.name") == 0 ? node->name : NULL;
}

bool node_term_matches(const struct node_term *t, const struct sched_node *node)
{
    if (!t->labels && !t->fields) {
        return false; /* an empty term matches nothing */
    }
    return (!t->labels || selector_match_labels(t->labels, node->labels)) &&
           (!t->fields || selector_match(t->fields, field_of_node, node));
}

bool node_matches(const struct want *w, const struct sched_node *node)
{
    if (!selector_match_labels(w->node_selector, node->labels)) {
        return false;
    }
    for (size_t i = 0; i < w->n_node_terms; i++) {
        if (node_term_matches(&w->node_terms[i], node)) {
            return true;
        }
    }
    return !w->has_node_terms;
}

/* ---- pods ---- */

static bool in_namespaces(const struct sched *s, const struct pod_term *t, const char *ns)
{
    JSON_FOR_EACH (name, t->namespaces) {
        if (strcmp(json_cstr(name, ""), ns) == 0) {
            return true;
        }
    }
    if (t->ns_selector) {
        return selector_match_labels(t->ns_selector, sched_namespace_labels(s, ns));
    }
    return json_len(t->namespaces) == 0 && strcmp(t->own_ns, ns) == 0;
}

bool pod_term_matches(const struct sched *s, const struct pod_term *t, selector_get_fn *get,
                      const void *labels, const char *ns)
{
    return in_namespaces(s, t, ns) && selector_match(t->selector, get, labels);
}

static bool placed_matches(const struct want *w, const struct pod_term *t,
                           const struct sched_pod *p)
{
    return pod_term_matches(w->s, t, pod_label, p->facts, p->facts->ns);
}

static const char *own_label(const void *labels, const char *key)
{
    return json_cstr(json_get(labels, key), NULL);
}

static bool self_matches(const struct want *w, const struct pod_term *t)
{
    return pod_term_matches(w->s, t, own_label, w->labels, w->ns);
}

const char *topology_key(struct arena *a, const char *key, const char *value)
{
    return arena_printf(a, "%s=%s", key, value);
}

static void mark(const struct want *w, struct json *set, const char *key,
                 const struct sched_node *node)
{
    const char *value = json_cstr(json_get(node->labels, key), NULL);
    const char *name = value ? topology_key(w->arena, key, value) : NULL;
    if (name && !json_get(set, name)) {
        json_set(set, name, json_bool(w->arena, true));
    }
}

static bool matches_all(const struct want *w, const struct pod_terms *terms,
                        const struct sched_pod *p)
{
    for (size_t i = 0; i < terms->n; i++) {
        if (!placed_matches(w, &terms->v[i], p)) {
            return false;
        }
    }
    return terms->n > 0;
}

/* Weights of preferred terms, summed by domain. */
static void survey_soft(struct want *w, const struct sched_node *node)
{
    for (size_t i = 0; i < w->soft.n; i++) {
        const struct pod_term *t = &w->soft.v[i];
        const char *value = json_cstr(json_get(node->labels, t->topology_key), NULL);
        const char *name = value ? topology_key(w->arena, t->topology_key, value) : NULL;
        int64_t sum = 0;
        if (!name) {
            continue;
        }
        LIST_FOR_EACH (l, &node->pods) {
            sum += placed_matches(w, t, CONTAINER_OF(l, struct sched_pod, on_node)) ? t->weight : 0;
        }
        if (sum) {
            sum += json_i64(json_get(w->wanted, name), 0);
            json_set(w->wanted, name, json_int(w->arena, sum));
        }
    }
}

/* What one placed pod means for the pod's own rules. */
static void survey_pod(struct want *w, const struct sched_node *node, const struct sched_pod *p)
{
    if (matches_all(w, &w->affinity, p)) {
        w->affinity_alone = false;
        for (size_t i = 0; i < w->affinity.n; i++) {
            mark(w, w->affine, w->affinity.v[i].topology_key, node);
        }
    }
    for (size_t i = 0; i < w->anti.n; i++) {
        if (placed_matches(w, &w->anti.v[i], p)) {
            mark(w, w->repelled, w->anti.v[i].topology_key, node);
        }
    }
}

/* What the rules of placed pods mean for this one. */
static void survey_refusals(struct want *w, const struct sched_node *node)
{
    LIST_FOR_EACH (l, &node->pods) {
        const struct sched_pod *p = CONTAINER_OF(l, struct sched_pod, on_node);
        for (size_t i = 0; i < p->anti.n; i++) {
            if (self_matches(w, &p->anti.v[i])) {
                mark(w, w->refused, p->anti.v[i].topology_key, node);
            }
        }
    }
}

/* ---- spreading ---- */

static bool has_keys(const struct want *w, const struct sched_node *node, bool hard)
{
    for (size_t i = 0; i < w->n_spreads; i++) {
        if (w->spreads[i].hard == hard && !json_get(node->labels, w->spreads[i].key)) {
            return false;
        }
    }
    return true;
}

static int64_t count_on_node(const struct want *w, const struct spread *sp,
                             const struct sched_node *node)
{
    int64_t n = 0;
    LIST_FOR_EACH (l, &node->pods) {
        const struct sched_pod *p = CONTAINER_OF(l, struct sched_pod, on_node);
        n += !p->facts->deleting && strcmp(p->facts->ns, w->ns) == 0 &&
             selector_match(sp->selector, pod_label, p->facts);
    }
    return n;
}

static void survey_spread(struct want *w, struct spread *sp)
{
    for (size_t i = 0; i < w->s->n; i++) {
        const struct sched_node *node = w->s->order[i];
        const char *value = json_cstr(json_get(node->labels, sp->key), NULL);
        if (value && node_matches(w, node) && has_keys(w, node, sp->hard)) {
            int64_t n = json_i64(json_get(sp->counts, value), 0) + count_on_node(w, sp, node);
            json_set(sp->counts, value, json_int(w->arena, n));
        }
    }
    sp->least = INT64_MAX;
    JSON_FOR_EACH_MEMBER (m, sp->counts) {
        sp->least = MIN_OF(sp->least, json_i64(m->value, 0));
    }
    if (json_len(sp->counts) == 0 || (int64_t)json_len(sp->counts) < sp->min_domains) {
        sp->least = 0;
    }
}

void want_survey(struct want *w)
{
    w->affine = json_object(w->arena);
    w->repelled = json_object(w->arena);
    w->refused = json_object(w->arena);
    w->wanted = json_object(w->arena);
    w->affinity_alone = w->affinity.n > 0;
    for (size_t i = 0; w->affinity_alone && i < w->affinity.n; i++) {
        w->affinity_alone = self_matches(w, &w->affinity.v[i]);
    }
    for (size_t i = 0; i < w->s->n; i++) {
        const struct sched_node *node = w->s->order[i];
        if (node->anti_pods > 0) {
            survey_refusals(w, node);
        }
        survey_soft(w, node);
        if (w->affinity.n == 0 && w->anti.n == 0) {
            continue;
        }
        LIST_FOR_EACH (l, &node->pods) {
            survey_pod(w, node, CONTAINER_OF(l, struct sched_pod, on_node));
        }
    }
    for (size_t i = 0; i < w->n_spreads; i++) {
        survey_spread(w, &w->spreads[i]);
    }
}

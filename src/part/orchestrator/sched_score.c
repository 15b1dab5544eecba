/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of the nodes that do is the best? Each scorer gives raw numbers, which are stretched to
 * 0..100 over the nodes at hand and weighted as in Kubernetes; ties go to the node with fewer pods,
 * then to the first.
 */
#include <string.h>

#include "base/mem.h"
#include "sched_private.h"

/* Higher is better; negative numbers are fine. */
typedef double score_fn(const struct want *w, const struct sched_node *node);

static double free_share(int64_t has, int64_t used, int64_t asks)
{
    return has <= 0 || used + asks > has ? 0 : (double)(has - used - asks) / (double)has;
}

/* Pods that ask for nothing still take something: Kubernetes counts 100m and 200 MB. */
static double least_allocated(const struct want *w, const struct sched_node *node)
{
    int64_t cpu = w->asks.cpu ? w->asks.cpu : 100;
    int64_t memory = w->asks.memory ? w->asks.memory : 200 << 20;
    return 50 * free_share(node->has.cpu, node->used.cpu, cpu) +
           50 * free_share(node->has.memory, node->used.memory, memory);
}

static double node_preference(const struct want *w, const struct sched_node *node)
{
    double sum = 0;
    for (size_t i = 0; i < w->n_preferred; i++) {
        if (node_term_matches(&w->preferred[i], node)) {
            sum += (double)w->preferred[i].weight;
        }
    }
    return sum;
}

static double soft_taints(const struct want *w, const struct sched_node *node)
{
    double n = 0;
    JSON_FOR_EACH (taint, node->taints) {
        const char *effect = json_cstr(json_get(taint, "effect"), "");
        n += strcmp(effect, "PreferNoSchedule") == 0 && !taint_tolerated(taint, w->tolerations);
    }
    return -n;
}

/* Pods in the node's domains that the pod wants (or does not want) to be near to. */
static double pod_preference(const struct want *w, const struct sched_node *node)
{
    double sum = 0;
    for (size_t i = 0; json_len(w->wanted) > 0 && i < w->soft.n; i++) {
        const char *key = w->soft.v[i].topology_key;
        const char *value = json_cstr(json_get(node->labels, key), NULL);
        const char *name = value ? topology_key(w->arena, key, value) : NULL;
        bool seen = false; /* another term of the same key has counted the domain */
        for (size_t k = 0; k < i; k++) {
            seen = seen || strcmp(w->soft.v[k].topology_key, key) == 0;
        }
        sum += name && !seen ? (double)json_i64(json_get(w->wanted, name), 0) : 0;
    }
    return sum;
}

/* Pods of the same owner on the node, and soft spread constraints. */
static double spreading(const struct want *w, const struct sched_node *node)
{
    double crowd = 0;
    if (w->owner[0]) {
        crowd += (double)(uintptr_t)map_get(&node->owners, str_of(w->owner));
    }
    for (size_t i = 0; i < w->n_spreads; i++) {
        const char *value = json_cstr(json_get(node->labels, w->spreads[i].key), NULL);
        if (!w->spreads[i].hard) {
            /* A node without the label is the last choice. */
            crowd += value ? (double)json_i64(json_get(w->spreads[i].counts, value), 0) : 1e6;
        }
    }
    return -crowd;
}

/* Bytes of the pod's images that the node has. */
static double images_there(const struct want *w, const struct sched_node *node)
{
    double bytes = 0;
    JSON_FOR_EACH (c, json_path(w->pod, "spec.containers")) {
        const char *wanted = json_cstr(json_get(c, "image"), "");
        JSON_FOR_EACH (image, node->images) {
            JSON_FOR_EACH (name, json_get(image, "names")) {
                if (strcmp(json_cstr(name, ""), wanted) == 0) {
                    bytes += json_double(json_get(image, "sizeBytes"), 0);
                }
            }
        }
    }
    return bytes;
}

static const struct scorer {
    score_fn *fn;
    double weight;
    bool stretch; /* false: it is 0..100 already */
} scorers[] = {
    {least_allocated, 1, false}, {node_preference, 2, true}, {soft_taints, 3, true},
    {pod_preference, 2, true},   {spreading, 2, true},       {images_there, 1, true},
};

static void add_scores(const struct want *w, const struct scorer *sc, struct sched_node **nodes,
                       size_t n, double *sum, double *raw)
{
    double low = 0, high = 0;
    for (size_t i = 0; i < n; i++) {
        raw[i] = sc->fn(w, nodes[i]);
        low = i == 0 || raw[i] < low ? raw[i] : low;
        high = i == 0 || raw[i] > high ? raw[i] : high;
    }
    for (size_t i = 0; i < n; i++) {
        double score = !sc->stretch ? raw[i] : high > low ? 100 * (raw[i] - low) / (high - low) : 0;
        sum[i] += sc->weight * score;
    }
}

const struct sched_node *sched_best(const struct want *w, struct sched_node **nodes, size_t n)
{
    double *sum = arena_zalloc(w->arena, n * sizeof(*sum));
    double *raw = arena_alloc(w->arena, n * sizeof(*raw));
    size_t best = 0;
    if (!sum || !raw || n == 1) {
        return nodes[0];
    }
    for (size_t i = 0; i < ARRAY_SIZE(scorers); i++) {
        add_scores(w, &scorers[i], nodes, n, sum, raw);
    }
    for (size_t i = 1; i < n; i++) {
        bool better = sum[i] > sum[best] + 1e-9;
        bool equal = !better && sum[i] > sum[best] - 1e-9;
        if (better || (equal && nodes[i]->used.pods < nodes[best]->used.pods)) {
            best = i;
        }
    }
    return nodes[best];
}

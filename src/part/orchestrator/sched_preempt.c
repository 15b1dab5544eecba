/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Preemption: which pods of lower priority would have to go so that a pod fits. Tried on the
 * picture itself: pods are taken off a node, asked about, and put back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sched_private.h"

struct candidate {
    const struct sched_node *node;
    struct sched_pod **victims;
    size_t n;
    size_t broken; /* budgets that the victims would break */
    int64_t highest, sum;
    struct wall started; /* the earliest start among the most important victims */
};

struct attempt {
    struct want *w;
    const struct sched_budget *budgets;
    size_t n_budgets;
    int64_t *used; /* of each budget, while one node is tried */
    const char *why[REASONS_MAX];
};

/* The rules about neighbours are counted anew where the pod, or pods there, have some. */
static bool fits(struct attempt *at, const struct sched_node *node)
{
    struct want *w = at->w;
    if (w->affinity.n || w->anti.n || w->n_spreads || w->s->anti_pods) {
        for (size_t i = 0; i < w->n_spreads; i++) {
            w->spreads[i].counts = json_object(w->arena);
        }
        want_survey(w);
    }
    return sched_filter(w, node, at->why) == 0;
}

/* The most important first, among equals those that run longest. */
static int by_importance(const void *x, const void *y)
{
    const struct sched_pod *a = *(struct sched_pod *const *)x, *b = *(struct sched_pod *const *)y;
    if (a->priority != b->priority) {
        return a->priority > b->priority ? -1 : 1;
    }
    return a->started.us < b->started.us ? -1 : a->started.us > b->started.us;
}

/* Taking the pod away would break a budget that has no room left. */
static bool breaks_budget(struct attempt *at, const struct sched_pod *p)
{
    bool breaks = false;
    for (size_t i = 0; i < at->n_budgets; i++) {
        const struct sched_budget *b = &at->budgets[i];
        if (strcmp(b->ns, p->facts->ns) == 0 && selector_match(b->selector, pod_label, p->facts)) {
            breaks |= ++at->used[i] > b->allowed;
        }
    }
    return breaks;
}

/* Puts a pod back if the new one still fits; else it stays away as a victim. */
static void reprieve(struct attempt *at, struct candidate *c, struct sched_pod *p, bool broken)
{
    struct sched *s = at->w->s;
    sched_attach(s, p);
    if (fits(at, c->node)) {
        return;
    }
    sched_detach(s, p);
    c->victims[c->n++] = p;
    c->broken += broken;
}

static size_t lower_pods(const struct want *w, struct sched_node *node, struct sched_pod **v)
{
    size_t n = 0;
    LIST_FOR_EACH (l, &node->pods) {
        struct sched_pod *p = CONTAINER_OF(l, struct sched_pod, on_node);
        if (p->priority < w->priority) {
            v[n++] = p;
        }
    }
    return n;
}

static bool try_node(struct attempt *at, struct sched_node *node, struct candidate *c)
{
    struct want *w = at->w;
    size_t room = (size_t)MAX_OF(node->used.pods, 0) + 1;
    struct sched_pod **low = arena_alloc(w->arena, room * sizeof(*low));
    bool *broken = arena_alloc(w->arena, room * sizeof(*broken));
    *c = (struct candidate){.node = node,
                            .victims = arena_alloc(w->arena, room * sizeof(*c->victims))};
    size_t n = low ? lower_pods(w, node, low) : 0;
    if (n == 0 || !broken || !c->victims) {
        return false;
    }
    qsort((void *)low, n, sizeof(*low), by_importance);
    memset(at->used, 0, (at->n_budgets + 1) * sizeof(*at->used));
    for (size_t i = 0; i < n; i++) {
        broken[i] = breaks_budget(at, low[i]);
        sched_detach(w->s, low[i]);
    }
    bool ok = fits(at, node);
    for (int pass = 0; ok && pass < 2; pass++) {
        for (size_t i = 0; i < n; i++) {
            if (broken[i] == (pass == 0)) {
                reprieve(at, c, low[i], broken[i]);
            }
        }
    }
    for (size_t i = 0; i < (ok ? c->n : n); i++) {
        sched_attach(w->s, ok ? c->victims[i] : low[i]);
    }
    for (size_t i = 0; ok && i < c->n; i++) {
        const struct sched_pod *p = c->victims[i];
        c->sum += p->priority + (INT64_C(1) << 31);
        if (i == 0 || p->priority > c->highest) {
            c->highest = p->priority;
            c->started = p->started;
        } else if (p->priority == c->highest && p->started.us < c->started.us) {
            c->started = p->started;
        }
    }
    return ok && c->n > 0;
}

static bool is_better(const struct candidate *a, const struct candidate *b)
{
    if (!b->node || a->broken != b->broken) {
        return !b->node || a->broken < b->broken;
    }
    if (a->highest != b->highest) {
        return a->highest < b->highest;
    }
    if (a->sum != b->sum) {
        return a->sum < b->sum;
    }
    return a->n != b->n ? a->n < b->n : a->started.us > b->started.us;
}

static int refuse(const struct want *w, size_t hopeless, size_t none, struct err *err)
{
    if (hopeless && none) {
        return err_set(err, -E_AGAIN,
                       "0/%zu nodes are available: %zu No preemption victims found for incoming "
                       "pod, %zu Preemption is not helpful for scheduling.",
                       w->s->n, none, hopeless);
    }
    return err_set(err, -E_AGAIN, "0/%zu nodes are available: %zu %s.", w->s->n, w->s->n,
                   none ? "No preemption victims found for incoming pod"
                        : "Preemption is not helpful for scheduling");
}

#define ENOUGH_CANDIDATES 100

int sched_preempt(struct sched *s, struct arena *a, const struct json *pod,
                  const struct sched_volumes *volumes, const struct sched_budget *budgets,
                  size_t n_budgets, const char **ret_node, struct sched_victim **ret_victims,
                  size_t *ret_n, struct err *err)
{
    struct want w;
    struct candidate best = {0}, c;
    size_t hopeless = 0, none = 0, found = 0;
    int r = want_init(&w, s, a, pod, err);
    if (r < 0) {
        return r;
    }
    w.volumes = volumes;
    want_survey(&w);
    struct attempt at = {.w = &w, .budgets = budgets, .n_budgets = n_budgets};
    at.used = arena_alloc(a, (n_budgets + 1) * sizeof(*at.used));
    for (size_t i = 0; at.used && i < s->n && found < ENOUGH_CANDIDATES; i++) {
        struct sched_node *node = s->order[(s->turn + i) % s->n];
        if (sched_hopeless(&w, node)) {
            hopeless++;
        } else if (!try_node(&at, node, &c)) {
            none++;
        } else {
            found++;
            best = is_better(&c, &best) ? c : best;
        }
    }
    struct sched_victim *v = best.node ? arena_alloc(a, best.n * sizeof(*v)) : NULL;
    if (arena_failed(a)) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    if (!best.node) {
        return refuse(&w, hopeless, none, err);
    }
    for (size_t i = 0; i < best.n; i++) {
        const struct pod_facts *p = best.victims[i]->facts;
        v[i] = (struct sched_victim){arena_strdup(a, p->ns), arena_strdup(a, p->name),
                                     arena_strdup(a, p->uid)};
    }
    *ret_node = best.node->name;
    *ret_victims = v;
    *ret_n = best.n;
    return arena_failed(a) ? err_set(err, -E_NOMEM, "out of memory") : 0;
}

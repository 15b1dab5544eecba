/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GROUP BY over the tuples of a window that fires.
 */
#include "group.h"

struct seen { /* DISTINCT: the arguments that one aggregate of a group has taken */
    struct seen *next;
    uint64_t hash;
    struct value *args;
};

struct distinct {
    struct seen **slots;
    uint32_t n, cap;
};

struct group {
    uint64_t hash;
    struct value *keys;
    struct group *next; /* in the slot */
    struct joined **tuples;
    uint32_t n, cap;
    void *states;
    struct distinct *distinct; /* one an aggregate; NULL where there is no DISTINCT */
};

struct grouping {
    struct window *w;
    const struct window_range *range;
    struct group **slots;
    uint32_t mask;
    struct group **groups; /* in order of first tuples */
    uint32_t n_groups, cap_groups;
    bool told; /* an aggregate's error was reported: once an emission */
};

/* ---- states ---- */

static size_t aligned(size_t n)
{
    return (n + 15) & ~(size_t)15;
}

int states_layout(struct window *w)
{
    w->state_offsets = mem_alloc((w->spec.n_aggregates + 1) * sizeof(*w->state_offsets));
    if (!w->state_offsets) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < w->spec.n_aggregates; i++) {
        w->state_offsets[i] = (uint32_t)w->states_size;
        w->states_size += aligned(w->spec.aggregates[i].function->state->size);
    }
    return 0;
}

void *state_at(const struct window *w, void *states, uint32_t aggregate)
{
    return (char *)states + w->state_offsets[aggregate];
}

void states_fini(const struct window *w, void *states)
{
    for (uint32_t i = 0; states && i < w->spec.n_aggregates; i++) {
        const struct function_state_ops *ops = w->spec.aggregates[i].function->state;
        if (ops->fini) {
            ops->fini(state_at(w, states, i));
        }
    }
}

int state_result(struct window *w, uint32_t aggregate, void *state, struct eval *ev,
                 struct value *ret)
{
    struct err err;
    *ret = VALUE_OF_NULL;
    const struct function *f = w->spec.aggregates[aggregate].function;
    int rc = f->state->result(state, ev, ret, &err);
    if (rc < 0 && rc != -ENOMEM) {
        err_wrap(&err, rc, "run Select error: call func %s error", f->name);
        window_report(w, NULL, &err);
        *ret = VALUE_OF_NULL;
        return 0;
    }
    return rc;
}

int states_result(struct window *w, void *states, struct eval *ev, struct value *ret)
{
    int rc = 0;
    for (uint32_t i = 0; rc >= 0 && i < w->spec.n_aggregates; i++) {
        rc = state_result(w, i, state_at(w, states, i), ev, &ret[i]);
    }
    return rc;
}

/* ---- groups ---- */

static void set_eval(struct grouping *g, const struct joined *j, struct eval *ev)
{
    *ev = (struct eval){.arena = &g->w->scratch,
                        .tuple = &j->tuple,
                        .computed = j->computed ? j->computed->cells : NULL,
                        .range = g->range,
                        .rule = g->w->spec.rule,
                        .now_us = g->w->now_us};
}

static bool same_keys(const struct grouping *g, const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < g->w->spec.n_keys; i++) {
        if (!value_same(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

static int grow_groups(struct grouping *g)
{
    struct arena *a = &g->w->scratch;
    if (g->n_groups == g->cap_groups) {
        uint32_t cap = g->cap_groups ? g->cap_groups * 2 : 16;
        g->groups =
            arena_grow(a, g->groups, g->cap_groups * sizeof(*g->groups), cap * sizeof(*g->groups));
        g->cap_groups = cap;
    }
    if (!g->slots || g->n_groups > g->mask) {
        uint32_t cap = g->slots ? (g->mask + 1) * 4 : 16;
        g->slots = arena_zalloc(a, cap * sizeof(*g->slots));
        g->mask = cap - 1;
        for (uint32_t i = 0; g->slots && g->groups && i < g->n_groups; i++) {
            struct group **slot = &g->slots[g->groups[i]->hash & g->mask];
            g->groups[i]->next = *slot;
            *slot = g->groups[i];
        }
    }
    return g->slots && g->groups ? 0 : -ENOMEM;
}

static struct group *find_group(struct grouping *g, struct value *keys)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < g->w->spec.n_keys; i++) {
        hash = value_hash(&keys[i], hash);
    }
    for (struct group *at = g->slots ? g->slots[hash & g->mask] : NULL; at; at = at->next) {
        if (at->hash == hash && same_keys(g, at->keys, keys)) {
            return at;
        }
    }
    struct group *group = arena_zalloc(&g->w->scratch, sizeof(*group));
    if (!group || grow_groups(g) < 0) {
        return NULL;
    }
    group->hash = hash;
    group->keys = keys;
    group->next = g->slots[hash & g->mask];
    g->slots[hash & g->mask] = group;
    g->groups[g->n_groups++] = group;
    return group;
}

static int add_tuple(struct grouping *g, struct group *group, struct joined *j)
{
    if (group->n == group->cap) {
        uint32_t cap = group->cap ? group->cap * 2 : 4;
        group->tuples =
            arena_grow(&g->w->scratch, group->tuples, group->cap * sizeof(j), cap * sizeof(j));
        group->cap = cap;
    }
    if (!group->tuples) {
        return -ENOMEM;
    }
    group->tuples[group->n++] = j;
    return 0;
}

static int group_tuple(struct grouping *g, struct joined *j)
{
    struct window *w = g->w;
    struct eval ev;
    set_eval(g, j, &ev);
    struct value *keys = arena_alloc(&w->scratch, (w->spec.n_keys + 1) * sizeof(*keys));
    if (!keys) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < w->spec.n_keys; i++) {
        struct err err;
        int rc = expr_eval(w->spec.keys[i], &ev, &keys[i], &err);
        if (rc == -ENOMEM) {
            return rc;
        }
        if (rc < 0) {
            err_wrap(&err, rc, "run Group By error");
            window_report(w, joined_row(j), &err);
            return 0;
        }
    }
    struct group *group = find_group(g, keys);
    return group ? add_tuple(g, group, j) : -ENOMEM;
}

/* ---- aggregates ---- */

/* Whether DISTINCT has seen these arguments; remembers them. */
static bool seen_before(struct grouping *g, struct distinct *d, const struct value *args,
                        uint32_t n)
{
    struct arena *a = &g->w->scratch;
    uint64_t hash = 0;
    for (uint32_t i = 0; i < n; i++) {
        hash = value_hash(&args[i], hash);
    }
    if (!d->slots || d->n >= d->cap) {
        uint32_t cap = d->cap ? d->cap * 4 : 16;
        struct seen **slots = arena_zalloc(a, cap * sizeof(*slots));
        for (uint32_t i = 0; slots && i < d->cap; i++) {
            for (struct seen *s = d->slots[i], *next; s; s = next) {
                next = s->next;
                s->next = slots[s->hash & (cap - 1)];
                slots[s->hash & (cap - 1)] = s;
            }
        }
        d->slots = slots;
        d->cap = cap;
    }
    if (!d->slots) {
        return false; /* the arena has failed: the emission is left out */
    }
    struct seen **slot = &d->slots[hash & (d->cap - 1)];
    for (struct seen *s = *slot; s; s = s->next) {
        uint32_t i = 0;
        while (s->hash == hash && i < n && value_same(&s->args[i], &args[i])) {
            i++;
        }
        if (s->hash == hash && i == n) {
            return true;
        }
    }
    struct seen *s = arena_alloc(a, sizeof(*s));
    if (s) {
        *s = (struct seen){*slot, hash, arena_dup(a, args, (n + 1) * sizeof(*args))};
        *slot = s;
        d->n++;
    }
    return false;
}

/* One aggregate takes one tuple: the FILTER, the arguments, the step. */
static int take(struct grouping *g, struct group *group, uint32_t i, const struct joined *j,
                struct value *args, struct err *err)
{
    const struct aggregate_call *call = &g->w->spec.aggregates[i];
    struct eval ev;
    set_eval(g, j, &ev);
    if (call->filter) {
        bool yes = false;
        int rc = expr_test(call->filter, &ev, &yes, err);
        if (rc < 0 || !yes) {
            return rc;
        }
    }
    for (uint32_t k = 0; k < call->n_args; k++) {
        int rc = expr_eval(call->args[k], &ev, &args[k], err);
        if (rc < 0) {
            return rc;
        }
    }
    if (call->distinct && seen_before(g, &group->distinct[i], args, call->n_args)) {
        return 0;
    }
    struct value none;
    return call->function->state->step(state_at(g->w, group->states, i), &ev, args, call->n_args,
                                       &none, err);
}

static int aggregate(struct grouping *g, struct group *group)
{
    struct window *w = g->w;
    struct arena *a = &w->scratch;
    group->states = arena_zalloc(a, w->states_size + 1);
    group->distinct = arena_zalloc(a, (w->spec.n_aggregates + 1) * sizeof(*group->distinct));
    if (!group->states || !group->distinct) {
        group->states = NULL;
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < w->spec.n_aggregates; i++) {
        const struct aggregate_call *call = &w->spec.aggregates[i];
        struct value *args = arena_alloc(a, (call->n_args + 1) * sizeof(*args));
        if (!args) {
            return -ENOMEM;
        }
        for (uint32_t t = 0; t < group->n; t++) {
            struct err err;
            int rc = take(g, group, i, group->tuples[t], args, &err);
            if (rc == -ENOMEM) {
                return rc;
            }
            if (rc < 0 && !g->told) {
                g->told = true;
                err_wrap(&err, rc, "run Select error: call func %s error", call->function->name);
                window_report(w, joined_row(group->tuples[t]), &err);
            }
        }
    }
    return arena_failed(a) ? -ENOMEM : 0;
}

/* ---- emission ---- */

static int show(struct grouping *g, struct group *group, struct window_group *ret)
{
    struct window *w = g->w;
    uint32_t n = w->spec.needs_rows ? group->n : MIN_OF(group->n, 1u);
    struct value *values = arena_alloc(&w->scratch, (w->spec.n_aggregates + 1) * sizeof(*values));
    if (!values || window_show(w, group->tuples, n, ret) < 0) {
        return -ENOMEM;
    }
    ret->aggregates = values;
    struct eval ev = {.arena = &w->scratch,
                      .tuple = n > 0 ? ret->tuples[0] : NULL,
                      .range = g->range,
                      .rule = w->spec.rule,
                      .now_us = w->now_us};
    return states_result(w, group->states, &ev, values);
}

static int emit_groups(struct grouping *g)
{
    struct window *w = g->w;
    struct window_group *groups = arena_alloc(&w->scratch, (g->n_groups + 1) * sizeof(*groups));
    if (!groups) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < g->n_groups; i++) {
        int rc = aggregate(g, g->groups[i]);
        rc = rc < 0 ? rc : show(g, g->groups[i], &groups[i]);
        if (rc < 0) {
            return rc;
        }
    }
    struct window_output out = {
        .range = *g->range, .groups = groups, .n_groups = g->n_groups, .arena = &w->scratch};
    w->emit(w->arg, &out);
    return 0;
}

int group_and_emit(struct window *w, const struct window_range *range, struct joined **tuples,
                   uint32_t n)
{
    struct grouping g = {.w = w, .range = range};
    int rc = 0;
    if (n == 0 && w->spec.n_keys > 0) {
        return 0;
    }
    if (w->spec.n_keys == 0) { /* one group, even of no tuples */
        struct value *keys = arena_zalloc(&w->scratch, sizeof(*keys));
        rc = keys && find_group(&g, keys) ? 0 : -ENOMEM;
    }
    for (uint32_t i = 0; rc >= 0 && i < n; i++) {
        rc = group_tuple(&g, tuples[i]);
    }
    if (rc >= 0 && g.n_groups > 0) {
        rc = emit_groups(&g);
    }
    for (uint32_t i = 0; i < g.n_groups; i++) {
        states_fini(w, g.groups[i]->states);
    }
    return rc;
}

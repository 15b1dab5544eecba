/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups in an open-addressing table; order is that of their first rows.
 */
#include "fold.h"
#include "group.h"

/* ---- may it be folded ---- */

static bool reads_context(const struct expr *e) /* as deep as LIMIT_SQL_DEPTH */
{
    if (!e) {
        return false;
    }
    if (e->kind == EXPR_CALL && (e->function->flags & FUNCTION_F_CONTEXT)) {
        return true;
    }
    for (uint32_t i = 0; i < e->n_list; i++) {
        if (reads_context(e->list[i])) {
            return true;
        }
    }
    return reads_context(e->a) || reads_context(e->b) || reads_context(e->c);
}

static bool call_folds(const struct aggregate_call *c, bool merges)
{
    const struct function_state_ops *ops = c->function->state;
    if (c->distinct || reads_context(c->filter) || !ops->save || !ops->load ||
        (merges && !ops->merge)) {
        return false;
    }
    for (uint32_t i = 0; i < c->n_args; i++) {
        if (reads_context(c->args[i])) {
            return false;
        }
    }
    return true;
}

bool fold_reads_rows_only(const struct window_spec *s)
{
    if (!s->grouped || s->needs_rows || s->n_sources > 1 || reads_context(s->where)) {
        return false;
    }
    for (uint32_t i = 0; i < s->n_keys; i++) {
        if (reads_context(s->keys[i])) {
            return false;
        }
    }
    for (uint32_t i = 0; i < s->n_aggregates; i++) {
        if (!call_folds(&s->aggregates[i], s->kind == AST_WINDOW_HOPPING)) {
            return false;
        }
    }
    return true;
}

bool fold_possible(const struct window_spec *s)
{
    bool bags = s->kind == AST_WINDOW_TUMBLING || s->kind == AST_WINDOW_HOPPING ||
                s->kind == AST_WINDOW_SESSION || s->kind == AST_WINDOW_STATE ||
                (s->kind == AST_WINDOW_COUNT && s->interval == s->length);
    return bags && fold_reads_rows_only(s);
}

/* ---- life ---- */

struct fold *fold_new(bool small)
{
    struct fold *f = mem_zalloc(sizeof(*f));
    if (f) { /* the window's limit is charged, not the arena's */
        (small ? arena_init_small : arena_init)(&f->arena, SIZE_MAX);
    }
    return f;
}

void fold_free(struct window *w, struct fold *f)
{
    if (!f) {
        return;
    }
    for (uint32_t i = 0; i < f->n; i++) {
        states_fini(w, f->groups[i]->states);
        row_unref(f->groups[i]->first);
        row_unref(f->groups[i]->computed);
    }
    w->bytes -= f->bytes;
    arena_fini(&f->arena);
    mem_free(f->groups);
    mem_free(f->slots);
    mem_free(f);
}

static bool charge(struct window *w, struct fold *f, size_t bytes)
{
    if (!window_charge(w, bytes, NULL)) {
        return false;
    }
    f->bytes += bytes;
    return true;
}

/* ---- groups ---- */

uint64_t fold_hash(const struct window *w, const struct value *keys)
{
    uint64_t hash = 0;
    for (uint32_t i = 0; i < w->spec.n_keys; i++) {
        hash = value_hash(&keys[i], hash);
    }
    return hash;
}

static bool same_keys(const struct window *w, const struct value *a, const struct value *b)
{
    for (uint32_t i = 0; i < w->spec.n_keys; i++) {
        if (a[i].type == VALUE_INT && b[i].type == VALUE_INT ? a[i].i != b[i].i
                                                             : !value_same(&a[i], &b[i])) {
            return false;
        }
    }
    return true;
}

static int grow(struct fold *f)
{
    if (f->n == f->cap) {
        uint32_t cap = f->cap ? f->cap * 2 : 8;
        struct fold_group **groups = mem_realloc(f->groups, cap * sizeof(struct fold_group *));
        if (!groups) {
            return -ENOMEM;
        }
        f->groups = groups;
        f->cap = cap;
    }
    if (f->n * 2 < f->cap_slots) {
        return 0;
    }
    uint32_t cap = f->cap_slots ? f->cap_slots * 2 : 16;
    uint32_t *slots = mem_zalloc(cap * sizeof(*slots));
    if (!slots) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < f->n; i++) {
        uint32_t at = (uint32_t)f->groups[i]->hash & (cap - 1);
        while (slots[at]) {
            at = (at + 1) & (cap - 1);
        }
        slots[at] = i + 1;
    }
    mem_free(f->slots);
    f->slots = slots;
    f->cap_slots = cap;
    return 0;
}

static struct fold_group *new_group(struct window *w, struct fold *f, const struct value *keys,
                                    uint64_t hash)
{
    uint32_t n_keys = w->spec.n_keys;
    struct fold_group *g = arena_zalloc(&f->arena, sizeof(*g) + w->states_size);
    struct value *copy = arena_alloc(&f->arena, (n_keys + 1) * sizeof(*copy));
    if (!g || !copy) {
        return NULL;
    }
    for (uint32_t i = 0; i < n_keys; i++) {
        copy[i] = value_copy(&f->arena, &keys[i]);
    }
    g->hash = hash;
    g->keys = copy;
    return arena_failed(&f->arena) ? NULL : g;
}

struct fold_group *fold_find(struct window *w, struct fold *f, const struct value *keys,
                             uint64_t hash, int *ret_rc)
{
    *ret_rc = 0;
    uint32_t mask = f->cap_slots - 1, at = (uint32_t)hash & mask;
    while (f->slots && f->slots[at]) {
        struct fold_group *g = f->groups[f->slots[at] - 1];
        if (g->hash == hash && same_keys(w, g->keys, keys)) {
            return g;
        }
        at = (at + 1) & mask;
    }
    size_t bytes = sizeof(struct fold_group) + w->states_size + 3 * sizeof(void *);
    for (uint32_t i = 0; i < w->spec.n_keys; i++) {
        bytes += sizeof(struct value) + value_size(&keys[i]);
    }
    if (!charge(w, f, bytes)) {
        return NULL;
    }
    struct fold_group *g = grow(f) < 0 ? NULL : new_group(w, f, keys, hash);
    if (!g) {
        *ret_rc = -ENOMEM;
        return NULL;
    }
    at = (uint32_t)hash & (f->cap_slots - 1);
    while (f->slots[at]) {
        at = (at + 1) & (f->cap_slots - 1);
    }
    f->groups[f->n++] = g;
    f->slots[at] = f->n;
    return g;
}

void fold_show_first(struct window *w, struct fold *f, struct fold_group *g, struct row *first,
                     struct row *computed)
{
    size_t bytes = (first ? first->bytes : 0) + (computed ? computed->bytes : 0);
    g->first = first;
    g->computed = computed;
    f->bytes += bytes;
    w->bytes += bytes; /* a little beyond the limit: the next row meets it */
}

/* ---- rows ---- */

int fold_step(struct window *w, struct fold *f, struct fold_group *g, uint32_t aggregate,
              struct eval *ev, const struct value *args, struct err *err)
{
    const struct aggregate_call *call = &w->spec.aggregates[aggregate];
    const struct function_state_ops *ops = call->function->state;
    void *state = state_at(w, g->states, aggregate);
    struct value none;
    size_t before = ops->bytes ? ops->bytes(state) : 0;
    int rc = ops->step(state, ev, args, call->n_args, &none, err);
    if (ops->bytes) {
        size_t after = ops->bytes(state);
        f->bytes += after - before;
        w->bytes += after - before;
    }
    return rc;
}

static void tell(struct window *w, const struct kept *k, struct err *err, int rc,
                 const char *clause)
{
    err_wrap(err, rc, "run %s error", clause);
    window_report(w, k->row, err);
}

/* 1 = take the row, 0 = not, or -ENOMEM. */
static int passes(struct window *w, const struct expr *e, struct eval *ev, const struct kept *k,
                  const char *clause)
{
    struct err err;
    bool yes = false;
    int rc = expr_test(e, ev, &yes, &err);
    if (rc == -ENOMEM) {
        return rc;
    }
    if (rc < 0) {
        tell(w, k, &err, rc, clause);
        return 0;
    }
    return yes;
}

static int step_all(struct window *w, struct fold *f, struct fold_group *g, struct eval *ev,
                    const struct kept *k)
{
    for (uint32_t i = 0; i < w->spec.n_aggregates; i++) {
        const struct aggregate_call *call = &w->spec.aggregates[i];
        struct err err;
        int rc = call->filter ? passes(w, call->filter, ev, k, "Select") : 1;
        struct value *args = arena_alloc(&w->scratch, (call->n_args + 1) * sizeof(*args));
        if (rc < 0 || !args) {
            return -ENOMEM;
        }
        if (rc == 0) {
            continue;
        }
        for (uint32_t a = 0; rc >= 0 && a < call->n_args; a++) {
            rc = expr_eval(call->args[a], ev, &args[a], &err);
        }
        rc = rc < 0 ? rc : fold_step(w, f, g, i, ev, args, &err);
        if (rc == -ENOMEM) {
            return rc;
        }
        if (rc < 0) {
            err_wrap(&err, rc, "call func %s error", call->function->name);
            tell(w, k, &err, rc, "Select");
        }
    }
    return 0;
}

static int add(struct window *w, struct fold *f, const struct kept *k)
{
    struct eval ev;
    struct err err;
    window_eval_for(w, k, &ev);
    ev.rule = w->spec.rule;
    int rc = w->spec.where ? passes(w, w->spec.where, &ev, k, "Where") : 1;
    if (rc <= 0) {
        return rc;
    }
    struct value *keys = arena_alloc(&w->scratch, (w->spec.n_keys + 1) * sizeof(*keys));
    if (!keys) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < w->spec.n_keys; i++) {
        rc = expr_eval(w->spec.keys[i], &ev, &keys[i], &err);
        if (rc < 0) {
            if (rc != -ENOMEM) {
                tell(w, k, &err, rc, "Group By");
            }
            return rc == -ENOMEM ? rc : 0;
        }
    }
    struct fold_group *g = fold_find(w, f, keys, fold_hash(w, keys), &rc);
    if (!g) {
        return rc;
    }
    if (!g->first) {
        fold_show_first(w, f, g, row_ref(k->row), row_ref(k->computed));
    }
    return step_all(w, f, g, &ev, k);
}

int fold_add(struct window *w, struct fold *f, const struct kept *k)
{
    int rc = add(w, f, k);
    arena_clear(&w->scratch);
    return rc;
}

int fold_merge(struct window *w, struct fold *into, const struct fold *from)
{
    for (uint32_t i = 0; i < from->n; i++) {
        const struct fold_group *src = from->groups[i];
        int rc;
        struct fold_group *g = fold_find(w, into, src->keys, src->hash, &rc);
        if (!g) {
            return rc;
        }
        if (!g->first) {
            fold_show_first(w, into, g, row_ref(src->first), row_ref(src->computed));
        }
        for (uint32_t a = 0; a < w->spec.n_aggregates; a++) {
            struct err err;
            rc = w->spec.aggregates[a].function->state->merge(
                state_at(w, g->states, a), state_at(w, (void *)(uintptr_t)src->states, a), &err);
            if (rc == -ENOMEM) {
                return rc;
            }
            if (rc < 0) {
                err_wrap(&err, rc, "run Select error: call func %s error",
                         w->spec.aggregates[a].function->name);
                window_report(w, src->first, &err);
            }
        }
    }
    return 0;
}

/* ---- emission ---- */

struct value *fold_show(struct window *w, const struct window_range *range, struct row *row,
                        struct row *computed, struct eval *ret_ev, struct window_group *ret)
{
    struct joined *j =
        arena_zalloc(&w->scratch, sizeof(*j) + w->spec.n_sources * sizeof(j->tuple.rows[0]));
    struct value *values = arena_alloc(&w->scratch, (w->spec.n_aggregates + 1) * sizeof(*values));
    if (!j || !values) {
        return NULL;
    }
    j->tuple.n = w->spec.n_sources;
    j->tuple.rows[0] = row;
    j->computed = computed;
    if (window_show(w, &j, row ? 1 : 0, ret) < 0) {
        return NULL;
    }
    *ret_ev = (struct eval){.arena = &w->scratch,
                            .tuple = &j->tuple,
                            .range = range,
                            .rule = w->spec.rule,
                            .now_us = w->now_us};
    ret->aggregates = values;
    return values;
}

static int show(struct window *w, const struct window_range *range, const struct fold_group *g,
                void *states, struct window_group *ret)
{
    struct eval ev;
    struct value *values =
        fold_show(w, range, g ? g->first : NULL, g ? g->computed : NULL, &ev, ret);
    return values ? states_result(w, states, &ev, values) : -ENOMEM;
}

static int emit(struct window *w, const struct window_range *range,
                const struct window_group *groups, uint32_t n)
{
    struct window_output out = {
        .range = *range, .groups = groups, .n_groups = n, .arena = &w->scratch};
    w->emit(w->arg, &out);
    return 0;
}

/* A window without rows: one group of nothing, unless keys or WHERE leave none. */
static int emit_empty(struct window *w, const struct window_range *range)
{
    struct window_group group;
    if (w->spec.n_keys > 0 || w->spec.where) {
        return 0;
    }
    void *states = arena_zalloc(&w->scratch, w->states_size + 1);
    int rc = states ? show(w, range, NULL, states, &group) : -ENOMEM;
    rc = rc < 0 ? rc : emit(w, range, &group, 1);
    states_fini(w, states);
    return rc;
}

int fold_emit(struct window *w, const struct window_range *range, const struct fold *f)
{
    if (!f || f->n == 0) {
        return emit_empty(w, range);
    }
    struct window_group *groups = arena_alloc(&w->scratch, f->n * sizeof(*groups));
    if (!groups) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < f->n; i++) {
        int rc = show(w, range, f->groups[i], f->groups[i]->states, &groups[i]);
        if (rc < 0) {
            return rc;
        }
    }
    return emit(w, range, groups, f->n);
}

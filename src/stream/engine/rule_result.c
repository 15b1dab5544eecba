/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results of windows: having, unnest, order, limit, distinct, projection. All of an emission lies
 * in the window's arena until the result batch has its own copy.
 */
#include <stdlib.h>

#include "base/limits.h"
#include "engine_private.h"

struct line { /* a row of the result on its way */
    const struct tuple *tuple;
    const struct value *computed;
    struct value *order;  /* n_order */
    struct value *fields; /* n_fields, once projected */
    uint32_t number;      /* row_number(), from 1 */
};

struct work {
    struct pipeline *pipeline;
    const struct window_output *out;
    struct line *lines;
    uint32_t n, cap;
    struct err err;
    const char *clause; /* of the failure */
};

static const struct tuple no_rows = {.n = 0};

static void eval_for(const struct work *w, const struct line *l, struct eval *ev)
{
    *ev = (struct eval){.arena = w->out->arena,
                        .tuple = l->tuple ? l->tuple : &no_rows,
                        .computed = l->computed,
                        .range = &w->out->range,
                        .rule = &w->pipeline->rule->eval,
                        .now_us = w->pipeline->rule->engine->now_us,
                        .row_number = l->number};
}

static int fail(struct work *w, const char *clause, int rc)
{
    w->clause = clause;
    return rc;
}

static int no_memory(struct work *w)
{
    return fail(w, "window", err_sys(&w->err, -E_NOMEM, "a result was dropped"));
}

/* ---- lines of groups or of tuples ---- */

static int add_line(struct work *w, const struct line *l)
{
    if (w->n == w->cap) {
        uint32_t cap = w->cap ? w->cap * 2 : 16;
        struct line *lines =
            arena_grow(w->out->arena, w->lines, w->cap * sizeof(*lines), cap * sizeof(*lines));
        if (!lines) {
            return no_memory(w);
        }
        w->lines = lines;
        w->cap = cap;
    }
    w->lines[w->n++] = *l;
    return 0;
}

/* Analytic values of the tuple, then the group's aggregates. */
static int group_line(struct work *w, const struct window_group *g)
{
    const struct plan *plan = w->pipeline->plan;
    uint32_t n = plan->n_analytics + plan->window->n_aggregates;
    struct value *computed = arena_alloc(w->out->arena, (n + 1) * sizeof(*computed));
    const struct value *before = g->n_tuples > 0 && g->computed ? g->computed[0] : NULL;
    if (!computed) {
        return no_memory(w);
    }
    for (uint32_t i = 0; i < plan->n_analytics; i++) {
        computed[i] = before ? before[i] : VALUE_OF_NULL;
    }
    for (uint32_t i = 0; i < plan->window->n_aggregates; i++) {
        computed[plan->n_analytics + i] = g->aggregates[i];
    }
    return add_line(
        w, &(struct line){.tuple = g->n_tuples > 0 ? g->tuples[0] : NULL, .computed = computed});
}

static int make_lines(struct work *w)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < w->out->n_groups; i++) {
        const struct window_group *g = &w->out->groups[i];
        if (w->pipeline->plan->window->grouped) {
            rc = group_line(w, g);
            continue;
        }
        for (uint32_t k = 0; rc == 0 && k < g->n_tuples; k++) {
            rc = add_line(w, &(struct line){.tuple = g->tuples[k],
                                            .computed = g->computed ? g->computed[k] : NULL});
        }
    }
    return rc;
}

static int keep_having(struct work *w)
{
    const struct plan *plan = w->pipeline->plan;
    struct eval_rule *rule = &w->pipeline->rule->eval;
    uint32_t n = 0;
    for (uint32_t i = 0; plan->having && i < w->n; i++) {
        struct eval ev;
        bool yes;
        eval_for(w, &w->lines[i], &ev);
        int rc = expr_test(plan->having, &ev, &yes, &w->err);
        if (rc < 0) {
            return fail(w, "run Having error", rc);
        }
        if (yes) {
            w->lines[n++] = w->lines[i];
        }
    }
    w->n = plan->having ? n : w->n;
    if (w->n > 0) {
        rule->agg_hits++;
        rule->last_agg_hit_us = w->pipeline->rule->engine->now_us;
    }
    for (uint32_t i = 0; i < w->n; i++) {
        w->lines[i].number = i + 1;
    }
    return 0;
}

/* ---- order ---- */

static const char *order_type(const struct value *v)
{
    switch (v->type) {
    case VALUE_BOOL:
        return "bool";
    case VALUE_INT:
        return "int";
    case VALUE_FLOAT:
        return "float64";
    case VALUE_TIME:
        return "time.Time";
    case VALUE_STRING:
        return "string";
    default:
        return value_type_name(v->type);
    }
}

static int check_comparable(struct work *w, uint32_t column)
{
    const struct value *first = NULL;
    for (uint32_t i = 0; i < w->n; i++) {
        const struct value *v = &w->lines[i].order[column];
        if (value_is_null(v)) {
            continue;
        }
        if (first && first->type != v->type && !(value_is_number(first) && value_is_number(v))) {
            return fail(w, "run Order By error",
                        err_set(&w->err, -E_INVAL, "incompatible types for comparison: %s and %s",
                                order_type(first), order_type(v)));
        }
        first = first ? first : v;
    }
    return 0;
}

static int by_order(const void *a, const void *b, void *arg)
{
    const struct line *x = a, *y = b;
    const struct plan *plan = arg;
    for (uint32_t i = 0; i < plan->n_order; i++) {
        int c = value_order(&x->order[i], &y->order[i]);
        if (c != 0) {
            return plan->order[i].descending ? -c : c;
        }
    }
    return (x->number > y->number) - (x->number < y->number); /* equal ones keep their order */
}

static int sort_lines(struct work *w)
{
    const struct plan *plan = w->pipeline->plan;
    for (uint32_t i = 0; plan->n_order > 0 && i < w->n; i++) {
        struct line *l = &w->lines[i];
        struct eval ev;
        eval_for(w, l, &ev);
        l->order = arena_alloc(w->out->arena, plan->n_order * sizeof(struct value));
        if (!l->order) {
            return no_memory(w);
        }
        for (uint32_t k = 0; k < plan->n_order; k++) {
            int rc = expr_eval(plan->order[k].expr, &ev, &l->order[k], &w->err);
            if (rc < 0) {
                return fail(w, "run Order By error", rc);
            }
        }
    }
    for (uint32_t k = 0; k < plan->n_order; k++) {
        int rc = check_comparable(w, k);
        if (rc < 0) {
            return rc;
        }
    }
    if (plan->n_order > 0 && w->n > 1) {
        qsort_r(w->lines, w->n, sizeof(struct line), by_order, (void *)plan);
    }
    return 0;
}

/* ---- projection ---- */

static int project(struct work *w, struct line *l)
{
    const struct plan *plan = w->pipeline->plan;
    struct eval ev;
    eval_for(w, l, &ev);
    l->fields = arena_alloc(w->out->arena, (plan->n_fields + 1) * sizeof(struct value));
    if (!l->fields) {
        return no_memory(w);
    }
    for (uint32_t i = 0; i < plan->n_fields; i++) {
        int rc = expr_eval(plan->fields[i].expr, &ev, &l->fields[i], &w->err);
        if (rc < 0) {
            return fail(w, plan->fields[i].unnest ? NULL : "run Select error", rc);
        }
    }
    return 0;
}

/* Members of an item stand before columns of the same name, wherever those are, as in eKuiper. */
static void give_way(const struct plan *plan, struct line *l, const struct value *item)
{
    for (uint32_t i = 0; i < plan->n_fields; i++) {
        const struct plan_field *f = &plan->fields[i];
        const struct value *found = f->spread || f->unnest ? NULL : value_get(item, f->name);
        l->fields[i] = found ? *found : l->fields[i];
    }
}

/* A row for each item: objects are spread, other items are called as the field. */
static int unnest_line(struct work *w, const struct line *l, uint32_t field)
{
    const struct plan *plan = w->pipeline->plan;
    const struct value *list = &l->fields[field];
    if (list->type != VALUE_ARRAY) {
        return fail(
            w, NULL,
            err_set(&w->err, -E_INVAL, "the argument for the unnest function should be array"));
    }
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < list->n; i++) {
        struct line one = *l;
        one.fields = arena_dup(w->out->arena, l->fields, plan->n_fields * sizeof(struct value));
        struct value_member *m = arena_alloc(w->out->arena, sizeof(*m));
        if (!one.fields || !m) {
            return no_memory(w);
        }
        *m = (struct value_member){plan->fields[field].name, list->items[i]};
        one.fields[field] = list->items[i].type == VALUE_OBJECT
                                ? list->items[i]
                                : (struct value){.type = VALUE_OBJECT, .n = 1, .members = m};
        give_way(plan, &one, &one.fields[field]);
        rc = add_line(w, &one);
    }
    return rc;
}

static int unnest(struct work *w)
{
    const struct plan *plan = w->pipeline->plan;
    struct work more = *w;
    int rc = 0;
    for (uint32_t f = 0; rc == 0 && f < plan->n_fields; f++) {
        if (!plan->fields[f].unnest) {
            continue;
        }
        more.lines = NULL;
        more.n = more.cap = 0;
        for (uint32_t i = 0; rc == 0 && i < w->n; i++) {
            rc = unnest_line(&more, &w->lines[i], f);
        }
        w->lines = more.lines;
        w->n = more.n;
        w->cap = more.cap;
    }
    w->err = more.err;
    w->clause = more.clause;
    return rc;
}

static bool same_fields(const struct plan *plan, const struct line *a, const struct line *b)
{
    for (uint32_t i = 0; i < plan->n_fields; i++) {
        if (!value_same(&a->fields[i], &b->fields[i])) {
            return false;
        }
    }
    return true;
}

static int make_distinct(struct work *w)
{
    const struct plan *plan = w->pipeline->plan;
    uint32_t slots = 16, n = 0;
    while (slots < w->n * 2) {
        slots *= 2;
    }
    uint32_t *table = arena_zalloc(w->out->arena, slots * sizeof(*table));
    if (!table) {
        return no_memory(w);
    }
    for (uint32_t i = 0; i < w->n; i++) {
        uint64_t hash = 7;
        for (uint32_t k = 0; k < plan->n_fields; k++) {
            hash = value_hash(&w->lines[i].fields[k], hash);
        }
        uint32_t at = (uint32_t)hash & (slots - 1);
        while (table[at] && !same_fields(plan, &w->lines[table[at] - 1], &w->lines[i])) {
            at = (at + 1) & (slots - 1);
        }
        if (!table[at]) {
            w->lines[n] = w->lines[i];
            table[at] = ++n;
        }
    }
    w->n = n;
    return 0;
}

static int project_all(struct work *w)
{
    const struct plan *plan = w->pipeline->plan;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < w->n; i++) {
        rc = project(w, &w->lines[i]);
    }
    rc = rc < 0 || !plan->unnests ? rc : unnest(w);
    rc = rc < 0 || !plan->distinct ? rc : make_distinct(w);
    if (rc == 0 && plan->limit >= 0 && (int64_t)w->n > plan->limit) {
        w->n = (uint32_t)plan->limit;
    }
    return rc;
}

/* ---- the result ---- */

static struct batch *to_batch(const struct work *w)
{
    static const struct value absent = {.type = VALUE_ABSENT};
    const struct plan *plan = w->pipeline->plan;
    struct batch *out = batch_new(&w->pipeline->shape, 0);
    if (!out) {
        return NULL;
    }
    out->rows = w->n;
    for (uint32_t f = 0; w->n > 0 && f < plan->n_fields; f++) {
        struct value *v = arena_alloc(&out->arena, w->n * sizeof(*v));
        for (uint32_t i = 0; v && i < w->n; i++) {
            const struct value *field = &w->lines[i].fields[f];
            bool drop = value_is_null(field) && pipeline_drops_null(w->pipeline, f);
            v[i] = absent;
            if (!drop) {
                v[i] = value_copy(&out->arena, field);
            }
        }
        out->columns[f] = (struct column){.kind = COLUMN_VALUE, .v = v};
    }
    for (uint32_t i = 0; i < w->n && i < BATCH_ROWS; i++) {
        out->time_us[i] = w->out->range.end;
    }
    if (arena_failed(&out->arena)) {
        batch_unref(out);
        return NULL;
    }
    return out;
}

void pipeline_on_window(void *arg, const struct window_output *output)
{
    struct pipeline *p = arg;
    struct work w = {.pipeline = p, .out = output};
    int rc = make_lines(&w);
    bool some = w.n > 0;
    p->op_window.out += w.n;
    rc = rc < 0 ? rc : keep_having(&w);
    rc = rc < 0 ? rc : sort_lines(&w);
    p->op_project.in += w.n;
    rc = rc < 0 ? rc : project_all(&w);
    if (rc == 0 && some && w.n == 0) {
        return; /* HAVING, unnest or LIMIT left nothing */
    }
    struct batch *out = rc == 0 ? to_batch(&w) : NULL;
    if (rc == 0 && !out) {
        rc = no_memory(&w);
    }
    if (rc < 0) {
        p->op_project.errors++;
        pipeline_error(p, w.clause, &w.err);
        return;
    }
    bool single = p->plan->window->kind == AST_WINDOW_NONE;
    if (pipeline_emit(p, out, single && p->plan->unnests, single ? NULL : &output->range) < 0) {
        (void)no_memory(&w);
        pipeline_error(p, w.clause, &w.err);
    }
}

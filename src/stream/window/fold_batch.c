/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fast path of folds: conditions, keys and arguments of a batch are computed as columns by
 * vector programs; rows are cut into runs of one bag; for a run each row finds its group, and then
 * each aggregate takes the run's rows at once.
 */
#include "fold.h"

#include "base/limits.h"
#include "group.h"
#include "stream/expr/program.h"

/* An expression as a column: a column of the batch where it is a field, else a program. */
struct source_column {
    const struct expr *e;
    struct program *program;
};

struct call_columns {
    struct program *filter;
    struct source_column arg;   /* the first */
    struct source_column *more; /* the others */
};

struct fold_programs {
    struct program *filter, *where;
    struct source_column *keys;
    struct call_columns *calls;
};

/* One batch on its way. */
struct run {
    struct window *w;
    struct batch *batch;
    struct program_input in;
    const char *clause;      /* for messages */
    struct selection *times; /* rows that the window sees */
    struct selection *sel;   /* of them, rows that are folded: WHERE, keys that fail */
    uint32_t at;             /* in sel */
    struct column *keys;
    struct call_input *calls;
    struct fold_group **groups; /* by row of the batch */
    void **states;
};

struct call_input {
    const struct selection
        *sel; /* rows that the aggregate takes: its FILTER, arguments that fail */
    struct column *args;
    uint32_t at; /* in sel */
};

/* ---- programs ---- */

static int compile(const struct expr *e, struct program **ret, struct err *err)
{
    return e ? program_compile(e, ret, err) : 0;
}

static int compile_column(const struct expr *e, struct source_column *ret, struct err *err)
{
    ret->e = e;
    bool direct = e->kind == EXPR_FIELD || e->kind == EXPR_COMPUTED;
    return direct ? 0 : program_compile(e, &ret->program, err);
}

void fold_programs_free(struct window *w)
{
    struct fold_programs *p = w->programs;
    if (!p) {
        return;
    }
    program_free(p->filter);
    program_free(p->where);
    for (uint32_t i = 0; p->keys && i < w->spec.n_keys; i++) {
        program_free(p->keys[i].program);
    }
    for (uint32_t i = 0; p->calls && i < w->spec.n_aggregates; i++) {
        program_free(p->calls[i].filter);
        program_free(p->calls[i].arg.program);
        for (uint32_t k = 1; p->calls[i].more && k < w->spec.aggregates[i].n_args; k++) {
            program_free(p->calls[i].more[k - 1].program);
        }
        mem_free(p->calls[i].more);
    }
    mem_free(p->keys);
    mem_free(p->calls);
    mem_free(p);
    w->programs = NULL;
}

static int compile_call(const struct aggregate_call *call, struct call_columns *c, struct err *err)
{
    int rc = compile(call->filter, &c->filter, err);
    if (call->n_args > 1) {
        c->more = mem_zalloc((call->n_args - 1) * sizeof(*c->more));
        rc = c->more ? rc : -ENOMEM;
    }
    for (uint32_t k = 0; rc >= 0 && k < call->n_args; k++) {
        rc = compile_column(call->args[k], k == 0 ? &c->arg : &c->more[k - 1], err);
    }
    return rc;
}

int fold_programs_make(struct window *w, struct err *err)
{
    struct fold_programs *p = w->programs = mem_zalloc(sizeof(*p));
    if (!p) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    p->keys = mem_zalloc((w->spec.n_keys + 1) * sizeof(*p->keys));
    p->calls = mem_zalloc((w->spec.n_aggregates + 1) * sizeof(*p->calls));
    if (!p->keys || !p->calls) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    int rc = compile(w->spec.filter, &p->filter, err);
    rc = rc < 0 ? rc : compile(w->spec.where, &p->where, err);
    for (uint32_t i = 0; rc >= 0 && i < w->spec.n_keys; i++) {
        rc = compile_column(w->spec.keys[i], &p->keys[i], err);
    }
    for (uint32_t i = 0; rc >= 0 && i < w->spec.n_aggregates; i++) {
        rc = compile_call(&w->spec.aggregates[i], &p->calls[i], err);
    }
    return rc;
}

/* ---- columns of a batch ---- */

static void on_row_error(void *arg, uint32_t row, const struct err *err)
{
    struct run *r = arg;
    struct row *copy = batch_row(r->batch, row);
    struct err told = *err;
    err_wrap(&told, err->code, "run %s error", r->clause);
    window_report(r->w, copy, &told);
    row_unref(copy);
}

static int filter(struct run *r, struct program *p, const char *clause, struct selection *sel)
{
    r->clause = clause;
    return p ? program_filter(p, &r->in, sel) : 0;
}

/* A direct column needs no selection of its own: nothing in it can fail. */
static int column_of(struct run *r, const struct source_column *c, const char *clause,
                     struct selection *sel, struct column *ret)
{
    r->clause = clause;
    if (c->program) {
        return program_column(c->program, &r->in, sel, ret);
    }
    *ret = (struct column){.kind = COLUMN_ABSENT};
    if (c->e->kind == EXPR_COMPUTED) {
        if (r->in.computed) {
            *ret = r->in.computed[c->e->slot];
        }
    } else if (c->e->slot < r->batch->n_columns) {
        *ret = r->batch->columns[c->e->slot];
    }
    return 0;
}

static bool plain_call(const struct aggregate_call *call, const struct call_columns *c)
{
    bool plain = !c->filter && !c->arg.program;
    for (uint32_t k = 1; plain && k < call->n_args; k++) {
        plain = !c->more[k - 1].program;
    }
    return plain;
}

static int prepare_call(struct run *r, uint32_t i)
{
    struct window *w = r->w;
    const struct aggregate_call *call = &w->spec.aggregates[i];
    const struct call_columns *c = &w->programs->calls[i];
    struct call_input *in = &r->calls[i];
    struct selection *sel = r->sel;
    if (!plain_call(call, c)) {
        sel = arena_dup(&r->batch->arena, sel, sizeof(*sel));
        if (!sel) {
            return -ENOMEM;
        }
    }
    in->sel = sel;
    in->args = arena_alloc(&r->batch->arena, (call->n_args + 1) * sizeof(*in->args));
    if (!in->args) {
        return -ENOMEM;
    }
    int rc = filter(r, c->filter, "Select", sel);
    for (uint32_t k = 0; rc >= 0 && k < call->n_args; k++) {
        rc = column_of(r, k == 0 ? &c->arg : &c->more[k - 1], "Select", sel, &in->args[k]);
    }
    return rc;
}

static int prepare(struct run *r)
{
    struct window *w = r->w;
    struct arena *a = &r->batch->arena;
    r->keys = arena_alloc(a, (w->spec.n_keys + 1) * sizeof(*r->keys));
    r->calls = arena_zalloc(a, (w->spec.n_aggregates + 1) * sizeof(*r->calls));
    r->groups = arena_alloc(a, BATCH_ROWS * sizeof(struct fold_group *));
    r->states = arena_alloc(a, BATCH_ROWS * sizeof(void *));
    if (!r->keys || !r->calls || !r->groups || !r->states) {
        return -ENOMEM;
    }
    int rc = filter(r, w->programs->where, "Where", r->sel);
    for (uint32_t i = 0; rc >= 0 && i < w->spec.n_keys; i++) {
        rc = column_of(r, &w->programs->keys[i], "Group By", r->sel, &r->keys[i]);
    }
    for (uint32_t i = 0; rc >= 0 && i < w->spec.n_aggregates; i++) {
        rc = prepare_call(r, i);
    }
    return rc;
}

/* ---- a run of rows of one bag ---- */

static int show_first(struct run *r, struct fold *f, struct fold_group *g, uint32_t row)
{
    struct row *first = batch_row(r->batch, row), *computed = NULL;
    if (first && r->in.computed && r->w->n_computed > 0) {
        computed = window_computed_row(r->w, r->batch, r->in.computed, row);
        if (!computed) {
            row_unref(first);
            first = NULL;
        }
    }
    if (!first) {
        return -ENOMEM;
    }
    fold_show_first(r->w, f, g, first, computed);
    return 0;
}

/* Finds the group of each row; rows without one (limit) have NULL. */
static int find_groups(struct run *r, struct fold *f, const uint16_t *rows, uint32_t n,
                       struct value *keys)
{
    struct window *w = r->w;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = rows[i];
        uint64_t hash = 0;
        int rc;
        for (uint32_t k = 0; k < w->spec.n_keys; k++) {
            column_get(&r->keys[k], row, &keys[k]);
            hash = value_hash(&keys[k], hash);
        }
        struct fold_group *g = fold_find(w, f, keys, hash, &rc);
        r->groups[row] = g;
        if (g && !g->first) {
            rc = show_first(r, f, g, row);
        }
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* One row, as the row path does it. */
static int step_one(struct run *r, struct fold *f, uint32_t i, uint32_t row)
{
    struct window *w = r->w;
    const struct aggregate_call *call = &w->spec.aggregates[i];
    struct value *args = arena_alloc(&w->scratch, (call->n_args + 1) * sizeof(*args));
    struct eval ev = {.arena = &w->scratch, .rule = w->spec.rule, .now_us = r->batch->time_us[row]};
    struct err err;
    if (!args) {
        return -ENOMEM;
    }
    for (uint32_t k = 0; k < call->n_args; k++) {
        column_get(&r->calls[i].args[k], row, &args[k]);
    }
    int rc = fold_step(w, f, r->groups[row], i, &ev, args, &err);
    arena_clear(&w->scratch);
    if (rc < 0 && rc != -ENOMEM) {
        r->clause = "Select";
        err_wrap(&err, rc, "call func %s error", call->function->name);
        on_row_error(r, row, &err);
        return 0;
    }
    return rc;
}

static bool by_column(const struct aggregate_call *call, const struct call_input *in)
{
    if (!call->function->state->steps || call->n_args > 1) {
        return false;
    }
    const struct column *c = in->args;
    return call->n_args == 0 || ((c->kind == COLUMN_INT || c->kind == COLUMN_FLOAT) && !c->missing);
}

/* The aggregate takes its rows up to `last`. */
static int step_run(struct run *r, struct fold *f, uint32_t i, uint32_t last)
{
    struct call_input *in = &r->calls[i];
    const struct aggregate_call *call = &r->w->spec.aggregates[i];
    uint32_t offset = r->w->state_offsets[i];
    bool whole = by_column(call, in);
    while (in->at < in->sel->n && in->sel->rows[in->at] <= last) {
        uint32_t n = 0;
        const uint16_t *rows = &in->sel->rows[in->at];
        while (whole && in->at + n < in->sel->n && rows[n] <= last && r->groups[rows[n]]) {
            r->states[n] = r->groups[rows[n]]->states + offset;
            n++;
        }
        uint32_t taken = n > 0 ? call->function->state->steps(r->states, in->args, rows, n) : 0;
        in->at += taken;
        if (taken < n || n == 0) {
            int rc = r->groups[rows[taken]] ? step_one(r, f, i, rows[taken]) : 0;
            in->at++;
            if (rc < 0) {
                return rc;
            }
        }
    }
    return 0;
}

/* Aggregates whose selections are their own skip rows before the run. */
static void skip_to(struct run *r, uint32_t row)
{
    for (uint32_t i = 0; i < r->w->spec.n_aggregates; i++) {
        struct call_input *in = &r->calls[i];
        while (in->at < in->sel->n && in->sel->rows[in->at] < row) {
            in->at++;
        }
    }
}

/* Folds the rows [first, last] of the batch. */
static int fold_run(struct run *r, struct bag *bag, uint32_t first, uint32_t last)
{
    const struct selection *sel = r->sel;
    while (r->at < sel->n && sel->rows[r->at] < first) {
        r->at++;
    }
    const uint16_t *rows = &sel->rows[r->at];
    uint32_t n = 0;
    while (r->at + n < sel->n && rows[n] <= last) {
        n++;
    }
    r->at += n;
    if (n == 0) {
        return 0;
    }
    struct fold *f = bag_fold(bag);
    struct value *keys = arena_alloc(&r->batch->arena, (r->w->spec.n_keys + 1) * sizeof(*keys));
    if (!f || !keys) {
        return -ENOMEM;
    }
    int rc = find_groups(r, f, rows, n, keys);
    skip_to(r, first);
    for (uint32_t i = 0; rc >= 0 && i < r->w->spec.n_aggregates; i++) {
        rc = step_run(r, f, i, last);
    }
    return rc;
}

/* ---- runs ---- */

/* Rows from `at` on that lie in one slice of a tumbling or hopping window; 0 with *ret_bag NULL:
 * the first is in no window. */
static int slice_run(struct run *r, uint32_t at, struct bag **ret_bag, uint32_t *ret_n)
{
    struct window *w = r->w;
    const int64_t *time = r->batch->time_us;
    int64_t t = time[r->times->rows[at]];
    *ret_n = 1;
    *ret_bag = NULL;
    if (!slices_wants(w, t)) {
        return 0;
    }
    const struct slice *s = slices_for(w, t);
    if (!s) {
        return -ENOMEM;
    }
    uint32_t n = 1;
    while (at + n < r->times->n && time[r->times->rows[at + n]] >= s->from &&
           time[r->times->rows[at + n]] < s->until &&
           slices_wants(w, time[r->times->rows[at + n]])) {
        n++;
    }
    *ret_bag = &w->slices[s - w->slices].bag;
    *ret_n = n;
    return 0;
}

static int session_run(struct run *r, uint32_t at, struct bag **ret_bag, uint32_t *ret_n)
{
    struct window *w = r->w;
    const int64_t *time = r->batch->time_us;
    int rc = session_begin(w, time[r->times->rows[at]]);
    uint32_t n = 1;
    while (at + n < r->times->n) {
        int64_t t = time[r->times->rows[at + n]];
        if (t < w->session_last || t > w->session_last + w->spec.interval || t >= w->session_cut) {
            break;
        }
        w->session_last = t;
        n++;
    }
    *ret_bag = &w->session;
    *ret_n = n;
    return rc;
}

static int push(struct window *w, struct batch *b, const struct column *computed,
                const struct selection *sel)
{
    struct run r = {.w = w, .batch = b};
    r.in = (struct program_input){.batch = b,
                                  .computed = computed,
                                  .rule = w->spec.rule,
                                  .now_us = b->rows > 0 ? b->time_us[b->rows - 1] : 0,
                                  .on_error = on_row_error,
                                  .arg = &r};
    r.times = arena_dup(&b->arena, sel, sizeof(*sel));
    int rc = r.times ? filter(&r, w->programs->filter, "Window Filter", r.times) : -ENOMEM;
    r.sel = rc >= 0 ? arena_dup(&b->arena, r.times, sizeof(*sel)) : NULL;
    rc = rc < 0 ? rc : r.sel ? prepare(&r) : -ENOMEM;
    for (uint32_t at = 0, n; rc >= 0 && at < r.times->n; at += n) {
        struct bag *bag = NULL;
        rc = w->spec.kind == AST_WINDOW_SESSION ? session_run(&r, at, &bag, &n)
                                                : slice_run(&r, at, &bag, &n);
        if (rc >= 0 && bag) {
            rc = fold_run(&r, bag, r.times->rows[at], r.times->rows[at + n - 1]);
        }
        if (rc >= 0 && !w->spec.event_time) {
            w->now_us = MAX_OF(w->now_us, b->time_us[r.times->rows[at + n - 1]]);
        }
    }
    return rc;
}

/* Batches are shared by all rules of a stream: what is computed for this one lies in an arena of
 * its own. */
int fold_push_batch(struct window *w, struct batch *b, const struct column *computed,
                    const struct selection *sel)
{
    struct batch view = *b;
    arena_init(&view.arena, LIMIT_BATCH_BYTES);
    int rc = push(w, &view, computed, sel);
    arena_fini(&view.arena);
    return rc;
}

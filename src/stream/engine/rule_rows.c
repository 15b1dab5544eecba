/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows in: event time first, then analytic functions, the filter, and either the window or, for a
 * columnar plan, the projection. What a columnar plan computes lies in the arena of its result, so
 * that thousands of rules over one batch do not pile up in the batch.
 */
#include "engine_private.h"

static int64_t now_of(const struct pipeline *p)
{
    return p->rule->engine->now_us;
}

/* ---- results ---- */

static int feed(struct pipeline *p, struct batch *out)
{
    struct arena a;
    arena_init(&a, 0);
    struct value *objects = arena_alloc(&a, (out->rows + 1) * sizeof(*objects));
    int64_t *times = arena_alloc(&a, (out->rows + 1) * sizeof(*times));
    for (uint32_t i = 0; objects && times && i < out->rows; i++) {
        objects[i] = batch_object(&a, out, i, true);
        times[i] = out->rows <= BATCH_ROWS ? out->time_us[i] : now_of(p);
    }
    int rc = arena_failed(&a)
                 ? -E_NOMEM
                 : engine_push_values(p->rule->engine, p->feeds, objects, NULL, times, out->rows);
    arena_fini(&a);
    return rc;
}

int pipeline_emit(struct pipeline *p, struct batch *out, bool single,
                  const struct window_range *range)
{
    int rc = 0;
    p->op_project.out += out->rows;
    if (p->feeds) {
        rc = feed(p, out);
    } else {
        p->rule->results += out->rows;
        p->rule->on_result(p->rule->arg, p->rule, out, single, range);
    }
    batch_unref(out);
    return rc;
}

static void emit_error(struct rule *r, const struct err *err)
{
    struct batch *out = batch_new(&r->engine->error_shape, 0);
    char *text = out ? arena_strdup(&out->arena, err->text) : NULL;
    struct value *v = text ? arena_alloc(&out->arena, sizeof(*v)) : NULL;
    if (v) {
        *v = value_string(str_of(text));
        out->rows = 1;
        out->columns[0] = (struct column){.kind = COLUMN_CONST, .v = v};
        r->on_result(r->arg, r, out, true, NULL);
    }
    batch_unref(out);
}

/* Decoders and joins tell the clause of their errors themselves. */
static bool names_clause(const char *clause, const char *text)
{
    return str_starts(str_of(text), clause) || str_starts(str_of(text), "run Join error");
}

void pipeline_error(struct pipeline *p, const char *clause, const struct err *err)
{
    struct err full = *err;
    if (clause && !names_clause(clause, err->text)) {
        (void)err_wrap(&full, err->code, "%s", clause);
    }
    rule_failed(p->rule, &full);
    if (p->rule->opts.send_error) {
        emit_error(p->rule, &full);
    }
}

/* ---- programs ----
 * They are compiled when the first row needs them: most rules of a node wait for their event. */

static void free_fields(struct pipeline *p)
{
    for (uint32_t i = 0; p->fields && i < p->plan->n_fields; i++) {
        program_free(p->fields[i]);
    }
    mem_free(TAKE_PTR(p->fields));
}

static int need_fields(struct pipeline *p)
{
    if (p->fields) {
        return 0;
    }
    p->fields = mem_zalloc(p->plan->n_fields * sizeof(struct program *) + 1);
    int rc = p->fields ? 0 : -E_NOMEM;
    for (uint32_t i = 0; rc == 0 && i < p->plan->n_fields; i++) {
        rc = program_compile(p->plan->fields[i].expr, &p->fields[i], NULL);
    }
    if (rc < 0) {
        free_fields(p);
    }
    return rc;
}

static int filter_rows(struct pipeline *p, const struct program_input *in, struct selection *sel)
{
    int rc = p->filter ? 0 : program_compile(p->plan->filter, &p->filter, NULL);
    return rc < 0 ? rc : program_filter(p->filter, in, sel);
}

/* ---- projection of columns ---- */

struct failing {
    struct pipeline *pipeline;
    const char *clause;
    struct op_count *op;
};

static void on_row_error(void *arg, uint32_t row, const struct err *err)
{
    struct failing *f = arg;
    (void)row;
    f->op->errors++;
    pipeline_error(f->pipeline, f->clause, err);
}

static uint64_t *gather_missing(struct arena *a, const uint64_t *from, const struct selection *sel)
{
    uint64_t *to = from ? arena_zalloc(a, BATCH_ROWS / 8) : NULL;
    for (uint32_t i = 0; to && i < sel->n; i++) {
        uint32_t at = sel->rows[i];
        to[i / 64] |= (from[at / 64] >> (at % 64) & 1) << (i % 64);
    }
    return to;
}

/* The selected places of a column, one behind the other. */
static int gather(struct arena *a, struct column *c, const struct selection *sel)
{
    struct column out = *c;
    if (c->kind == COLUMN_ABSENT || c->kind == COLUMN_CONST) {
        return 0;
    }
    size_t size = c->kind == COLUMN_BOOL    ? 1
                  : c->kind == COLUMN_VALUE ? sizeof(struct value)
                                            : sizeof(int64_t);
    void *data = arena_alloc(a, MAX_OF(sel->n, 1u) * size);
    if (!data) {
        return -E_NOMEM;
    }
    switch (c->kind) {
    case COLUMN_BOOL:
        out.b = data;
        for (uint32_t i = 0; i < sel->n; i++) {
            out.b[i] = c->b[sel->rows[i]];
        }
        break;
    case COLUMN_VALUE:
        out.v = data;
        for (uint32_t i = 0; i < sel->n; i++) {
            out.v[i] = c->v[sel->rows[i]];
        }
        break;
    default: /* eight bytes each */
        out.i = data;
        for (uint32_t i = 0; i < sel->n; i++) {
            out.i[i] = c->i[sel->rows[i]];
        }
    }
    if (c->kind != COLUMN_VALUE) {
        out.missing = gather_missing(a, c->missing, sel);
    }
    *c = out;
    return arena_failed(a) ? -E_NOMEM : 0;
}

bool pipeline_drops_null(const struct pipeline *p, uint32_t field)
{
    const struct plan_field *f = &p->plan->fields[field];
    return !p->rule->opts.send_nil && !f->spread && f->expr->kind != EXPR_FIELD;
}

/* Computed nulls become absent; the values may belong to others, so they are copied. */
static int drop_nulls(struct arena *a, struct column *c, uint32_t rows)
{
    if (c->kind == COLUMN_CONST && value_is_null(c->v)) {
        c->kind = COLUMN_ABSENT;
    }
    if (c->kind != COLUMN_VALUE) {
        return 0;
    }
    struct value *v = arena_dup(a, c->v, rows * sizeof(*v));
    for (uint32_t i = 0; v && i < rows; i++) {
        if (value_is_null(&v[i])) {
            v[i].type = VALUE_ABSENT;
        }
    }
    c->v = v ? v : c->v;
    return v ? 0 : -E_NOMEM;
}

static int project(struct pipeline *p, struct batch *out, struct batch *view,
                   const struct column *computed, struct selection *sel)
{
    struct failing f = {p, "run Select error", &p->op_project};
    const struct program_input in = {.batch = view,
                                     .computed = computed,
                                     .rule = &p->rule->eval,
                                     .now_us = now_of(p),
                                     .on_error = on_row_error,
                                     .arg = &f};
    int rc = need_fields(p);
    for (uint32_t i = 0; rc == 0 && sel->n > 0 && i < p->plan->n_fields; i++) {
        rc = program_column(p->fields[i], &in, sel, &out->columns[i]);
    }
    bool all = sel->n == view->rows;
    for (uint32_t i = 0; rc == 0 && !all && i < p->plan->n_fields; i++) {
        rc = gather(&view->arena, &out->columns[i], sel);
    }
    for (uint32_t i = 0; rc == 0 && sel->n > 0 && i < p->plan->n_fields; i++) {
        rc = pipeline_drops_null(p, i) ? drop_nulls(&view->arena, &out->columns[i], sel->n) : 0;
    }
    for (uint32_t i = 0; i < sel->n; i++) {
        out->time_us[i] = view->time_us[sel->rows[i]];
    }
    out->rows = sel->n;
    return rc;
}

static int take_columns(struct pipeline *p, struct batch *b, const struct column *computed,
                        struct selection *sel)
{
    struct batch *out = batch_new(&p->shape, 0);
    if (!out) {
        return -E_NOMEM;
    }
    p->op_project.in += sel->n;
    out->base = batch_ref(b);
    struct batch view = *b;
    view.arena = out->arena; /* what is computed belongs to the result */
    int rc = project(p, out, &view, computed, sel);
    out->arena = view.arena;
    if (rc < 0 || out->rows == 0) {
        batch_unref(out);
        return rc;
    }
    p->rule->eval.hits += out->rows;
    p->rule->eval.last_hit_us = now_of(p);
    return pipeline_emit(p, out, true, NULL);
}

/* ---- windows ---- */

static int push_rows(struct pipeline *p, uint32_t source, struct batch *b,
                     const struct selection *sel)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < sel->n; i++) {
        struct row *r = batch_row(b, sel->rows[i]);
        rc = r ? window_push(p->window, source, r) : -E_NOMEM;
        row_unref(r);
    }
    return rc;
}

static int take_window(struct pipeline *p, uint32_t source, struct batch *b,
                       const struct column *computed, const struct selection *sel)
{
    p->op_window.in += sel->n;
    int rc = source == 0 && (p->plan->n_sources == 1 || computed)
                 ? window_push_batch(p->window, b, computed, sel)
                 : push_rows(p, source, b, sel);
    return rc < 0 || p->watermark ? rc : pipeline_arm(p);
}

static int take_match(struct pipeline *p, const struct batch *b, const struct selection *sel)
{
    int rc = pipeline_match_rows(p, b, sel);
    return rc < 0 || p->watermark || !p->running ? rc : pipeline_arm(p);
}

/* ---- rows of one source, in their order ---- */

/* The time since *began belongs to an operator; the next one begins. */
static void spent(struct op_count *op, struct mono *began)
{
    struct mono now = mono_now();
    op->us += (uint64_t)(now.us - began->us);
    *began = now;
}

int pipeline_filter(struct pipeline *p, struct batch *b, const struct column *computed,
                    struct selection *sel)
{
    struct failing f = {p, "run Where error", &p->op_filter};
    const struct program_input in = {.batch = b,
                                     .computed = computed,
                                     .rule = &p->rule->eval,
                                     .now_us = now_of(p),
                                     .on_error = on_row_error,
                                     .arg = &f};
    return filter_rows(p, &in, sel);
}

/* *columns: of the analytic functions, kept for further rows of the batch; NULL at first. */
static int take_ordered(struct pipeline *p, uint32_t source, struct batch *b, struct selection *sel,
                        bool exact, struct column **columns)
{
    struct column *computed = NULL;
    struct mono began = mono_now();
    int rc = 0;
    if (source == 0 && p->analytics) {
        rc = analytic_run(p, b, sel, columns);
        computed = *columns;
        spent(&p->op_analytic, &began);
    }
    if (source == 0 && p->plan->filter && exact && p->indexed) { /* the index has done it */
        p->op_filter.in += sel->n;
        p->op_filter.out += sel->n;
    }
    if (rc == 0 && source == 0 && p->plan->filter && !(exact && p->indexed)) {
        p->op_filter.in += sel->n;
        rc = pipeline_filter(p, b, computed, sel);
        p->op_filter.out += sel->n;
        spent(&p->op_filter, &began);
    }
    if (rc < 0 || sel->n == 0) {
        return rc;
    }
    if (p->match) {
        return take_match(p, b, sel);
    }
    bool columnar = p->plan->columnar;
    rc = columnar ? take_columns(p, b, computed, sel) : take_window(p, source, b, computed, sel);
    spent(columnar ? &p->op_project : &p->op_window, &began);
    return rc;
}

/* Where a condition reads what earlier rows did, each row goes all the way before the next. */
static int take_each(struct pipeline *p, uint32_t source, struct batch *b,
                     const struct selection *sel, bool exact)
{
    struct column *columns = NULL;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < sel->n && p->running; i++) {
        struct selection one;
        one.n = 1;
        one.rows[0] = sel->rows[i];
        rc = take_ordered(p, source, b, &one, exact, &columns);
    }
    return rc;
}

int pipeline_rows(struct pipeline *p, uint32_t source, struct batch *b, struct selection *sel,
                  bool exact)
{
    struct column *columns = NULL;
    return p->plan->sequential ? take_each(p, source, b, sel, exact)
                               : take_ordered(p, source, b, sel, exact, &columns);
}

/* In processing time the time of a row is that of its arrival, whatever its TIMESTAMP says. */
static int take_arrived(struct pipeline *p, uint32_t source, struct batch *b, struct selection *sel,
                        bool exact)
{
    int64_t *own = b->time_us;
    if (b->arrival_us && !p->rule->opts.event_time) {
        b->time_us = b->arrival_us;
    }
    int rc = pipeline_rows(p, source, b, sel, exact);
    b->time_us = own;
    return rc;
}

int pipeline_take(struct pipeline *p, uint32_t source, struct batch *b, struct selection *sel,
                  bool exact)
{
    if (!p->running) {
        return 0;
    }
    if (!p->watermark) {
        return take_arrived(p, source, b, sel, exact);
    }
    int rc = watermark_push(p->watermark, source, b, now_of(p));
    return rc < 0 ? rc : pipeline_arm(p);
}

/* ---- opening ---- */

static void on_window_error(void *arg, const struct row *row, const struct err *err)
{
    struct pipeline *p = arg;
    (void)row;
    p->op_window.errors++;
    pipeline_error(p, "run Window error", err);
}

static int open_window(struct pipeline *p, struct err *err)
{
    struct window_spec spec = *p->plan->window;
    spec.event_time = p->rule->opts.event_time;
    spec.rule = &p->rule->eval;
    spec.zone = p->rule->zone ? p->rule->zone : p->rule->engine->zone;
    spec.memory_limit = p->rule->opts.memory_limit;
    spec.n_computed = p->plan->n_analytics;
    spec.lateness = spec.event_time ? p->rule->opts.allowed_lateness_us : 0;
    return window_new(&spec, pipeline_on_window, on_window_error, p, &p->window, err);
}

/* The index filters in front, unless all rows must be seen. */
static int tap_all(struct pipeline *p, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < p->plan->n_sources; i++) {
        struct tap *t = &p->taps[i];
        bool indexed = i == 0 && !p->watermark && !p->analytics && !p->plan->sequential;
        p->indexed |= indexed;
        rc = index_add(t->stream->index, t, indexed ? p->plan->filter : NULL);
        if (rc == 0) {
            list_push_back(&t->stream->taps, &t->link);
        }
    }
    return rc < 0 ? err_sys(err, rc, "start rule %s", p->rule->id) : 0;
}

static int push_table_row(void *arg, struct row *r)
{
    const struct tap *t = arg;
    return window_push(t->pipeline->window, t->source, r);
}

static int load_tables(struct pipeline *p, struct err *err)
{
    int rc = 0;
    for (uint32_t i = 1; rc == 0 && i < p->plan->n_sources; i++) {
        if (p->plan->sources[i].table && !p->plan->sources[i].stream->lookup) {
            rc = stream_each_row(p->plan->sources[i].stream, push_table_row, &p->taps[i]);
        }
    }
    return rc < 0 ? err_sys(err, rc, "start rule %s", p->rule->id) : 0;
}

/* What a sub-query or MATCH_RECOGNIZE gives is in order already, and without a window nothing waits
 * for time. */
static bool passes_at_once(const struct plan *plan)
{
    return plan->columnar && !plan->sources[0].stream->engine;
}

int pipeline_open(struct pipeline *p, struct err *err)
{
    int rc = 0;
    if (p->plan->n_analytics > 0 && !p->analytics) {
        rc = analytic_new(p->plan, &p->analytics);
        rc = rc < 0 ? err_sys(err, rc, "start rule %s", p->rule->id) : 0;
    }
    if (rc == 0 && p->plan->match) {
        rc = pipeline_match_open(p);
        rc = rc < 0 ? err_sys(err, rc, "start rule %s", p->rule->id) : 0;
    } else if (rc == 0 && !p->plan->columnar) {
        rc = open_window(p, err);
    }
    if (rc == 0 && p->rule->opts.event_time && !passes_at_once(p->plan)) {
        rc = pipeline_watermark_open(p, err);
    }
    rc = rc < 0 ? rc : pipeline_restore(p, err);
    p->reached_us = p->watermark ? watermark_at(p->watermark) : INT64_MIN;
    rc = rc < 0 ? rc : tap_all(p, err);
    if (rc == 0 && p->window) {
        rc = load_tables(p, err);
        if (rc == 0 && !p->watermark) {
            rc = window_advance(p->window, now_of(p));
        }
    }
    p->running = rc == 0;
    return rc < 0 ? rc : pipeline_arm(p);
}

void pipeline_close(struct pipeline *p)
{
    p->running = false;
    wheel_cancel(p->rule->engine->wheel, &p->timer);
    for (uint32_t i = 0; i < p->plan->n_sources; i++) {
        index_remove(p->taps[i].stream->index, &p->taps[i]);
        list_del(&p->taps[i].link);
    }
    window_free(TAKE_PTR(p->window));
    match_free(TAKE_PTR(p->match));
    watermark_free(TAKE_PTR(p->watermark));
    analytic_free(TAKE_PTR(p->analytics), p->plan);
    program_free(TAKE_PTR(p->filter));
    free_fields(p);
}

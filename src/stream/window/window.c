/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Life of a window and the way of a row into it: filter, then the kind's own conditions.
 */
#include "window.h"

#include "base/limits.h"
#include "finger.h"
#include "fold.h"
#include "group.h"
#include "slide.h"
#include "window_private.h"

/* Fewer rows than that are not worth columns. */
#define COLUMNS_FROM 8

/* ---- queues ---- */

int rowq_push(struct rowq *q, const struct kept *k)
{
    if (q->first + q->n == q->cap) {
        if (q->first >= q->cap / 2 && q->first > 0) {
            memmove(q->items, q->items + q->first, q->n * sizeof(*q->items));
        } else {
            size_t cap = q->cap ? q->cap * 2 : 16;
            struct kept *items = mem_alloc(cap * sizeof(*items));
            if (!items) {
                return -ENOMEM;
            }
            if (q->n > 0) {
                memcpy(items, q->items + q->first, q->n * sizeof(*items));
            }
            mem_free(q->items);
            q->items = items;
            q->cap = cap;
        }
        q->first = 0;
    }
    q->items[q->first + q->n++] = *k;
    return 0;
}

void rowq_drop(struct rowq *q, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        row_unref(rowq_at(q, i)->row);
        row_unref(rowq_at(q, i)->computed);
    }
    q->first += n;
    q->n -= n;
    if (q->n == 0) {
        q->first = 0;
        if (q->cap > 1024) {
            mem_free(q->items);
            *q = (struct rowq){0};
        }
    }
}

void rowq_fini(struct rowq *q)
{
    rowq_drop(q, q->n);
    mem_free(q->items);
    *q = (struct rowq){0};
}

/* ---- memory ---- */

size_t window_kept_bytes(const struct kept *k)
{
    return sizeof(*k) + k->row->bytes + (k->computed ? k->computed->bytes : 0);
}

void window_kept_release(struct window *w, struct kept *k)
{
    w->bytes -= window_kept_bytes(k);
    row_unref(k->row);
    row_unref(k->computed);
}

void window_drop_oldest(struct window *w, struct rowq *q, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        w->bytes -= window_kept_bytes(rowq_at(q, i));
    }
    rowq_drop(q, n);
}

void window_report(struct window *w, const struct row *row, const struct err *err)
{
    if (w->error) {
        w->error(w->arg, row, err);
    }
}

bool window_charge(struct window *w, size_t bytes, const struct row *row)
{
    size_t limit = w->spec.memory_limit ? w->spec.memory_limit : LIMIT_RULE_BYTES;
    if (w->bytes + bytes > limit) {
        struct err err;
        err_set(&err, -E_LIMIT,
                "the window holds %zu bytes, the limit of the rule is %zu: a row was dropped",
                w->bytes, limit);
        w->refused++;
        window_report(w, row, &err);
        return false;
    }
    w->bytes += bytes;
    return true;
}

/* ---- life ---- */

/* As deep as the parser lets an expression be (LIMIT_SQL_DEPTH). */
static uint32_t computed_of(const struct expr *e)
{
    if (!e) {
        return 0;
    }
    uint32_t n = e->kind == EXPR_COMPUTED ? e->slot + 1 : 0;
    for (uint32_t i = 0; i < e->n_list; i++) {
        n = MAX_OF(n, computed_of(e->list[i]));
    }
    n = MAX_OF(n, computed_of(e->a));
    n = MAX_OF(n, computed_of(e->b));
    return MAX_OF(n, computed_of(e->c));
}

static uint32_t computed_of_all(struct expr *const *list, uint32_t n_list)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < n_list; i++) {
        n = MAX_OF(n, computed_of(list[i]));
    }
    return n;
}

/* How many computed columns have to stay with a row. */
static uint32_t count_computed(const struct window_spec *s)
{
    uint32_t n = MAX_OF(s->n_computed, computed_of(s->filter));
    n = MAX_OF(n, computed_of(s->where));
    n = MAX_OF(n, computed_of(s->when));
    n = MAX_OF(n, computed_of(s->begin));
    n = MAX_OF(n, computed_of(s->emit));
    n = MAX_OF(n, computed_of_all(s->partition, s->n_partition));
    n = MAX_OF(n, computed_of_all(s->keys, s->n_keys));
    for (uint32_t i = 0; i < s->n_aggregates; i++) {
        n = MAX_OF(n, computed_of_all(s->aggregates[i].args, s->aggregates[i].n_args));
        n = MAX_OF(n, computed_of(s->aggregates[i].filter));
    }
    for (uint32_t i = 0; i + 1 < s->n_sources; i++) {
        n = MAX_OF(n, computed_of(s->joins[i].on));
    }
    return n;
}

static int check_spec(const struct window_spec *s, struct err *err)
{
    switch (s->kind) {
    case AST_WINDOW_TUMBLING:
    case AST_WINDOW_SLIDING:
        return s->length > 0 ? 0 : err_set(err, -E_INVAL, "a window needs a length above 0");
    case AST_WINDOW_HOPPING:
    case AST_WINDOW_SESSION:
        return s->length > 0 && s->interval > 0
                   ? 0
                   : err_set(err, -E_INVAL, "a window needs a length and an interval above 0");
    case AST_WINDOW_COUNT:
        return s->length > 0 && s->interval >= 0
                   ? 0
                   : err_set(err, -E_INVAL, "a count window needs a number of rows above 0");
    case AST_WINDOW_STATE:
        return s->begin ? 0 : err_set(err, -E_INVAL, "a state window needs a condition");
    case AST_WINDOW_NONE:
        return 0;
    }
    return err_set(err, -E_INVAL, "unknown kind of window");
}

int window_new(const struct window_spec *spec, window_emit_fn *emit, window_error_fn *error,
               void *arg, struct window **ret, struct err *err)
{
    int rc = check_spec(spec, err);
    if (rc < 0) {
        return rc;
    }
    struct window *w = mem_zalloc(sizeof(*w));
    if (!w) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    w->spec = *spec;
    w->spec.n_sources = MAX_OF(spec->n_sources, 1u);
    if (spec->kind == AST_WINDOW_TUMBLING ||
        (spec->kind == AST_WINDOW_COUNT && spec->interval == 0)) {
        w->spec.interval = spec->length;
    }
    w->emit = emit;
    w->error = error;
    w->arg = arg;
    w->now_us = w->next_end = w->last_end = w->first_start = w->continued_at = INT64_MIN;
    if (spec->rule) {
        w->conditions = *spec->rule;
        w->conditions.hits = w->conditions.last_hit_us = 0;
    }
    w->folds = fold_possible(&w->spec);
    w->n_computed = count_computed(&w->spec);
    arena_init(&w->scratch, spec->memory_limit ? spec->memory_limit : LIMIT_RULE_BYTES);
    w->single = mem_zalloc(sizeof(*w->single) + w->spec.n_sources * sizeof(w->single->rows[0]));
    w->tables = mem_zalloc(w->spec.n_sources * sizeof(*w->tables));
    if (!w->single || !w->tables || states_layout(w) < 0) {
        window_free(w);
        return err_set(err, -ENOMEM, "out of memory");
    }
    w->single->n = w->spec.n_sources;
    bool by_batch = spec->kind == AST_WINDOW_TUMBLING || spec->kind == AST_WINDOW_HOPPING ||
                    spec->kind == AST_WINDOW_SESSION;
    rc = w->folds && by_batch ? fold_programs_make(w, err) : 0;
    if (rc >= 0 && finger_possible(&w->spec)) {
        rc = finger_new(&w->fingers);
    }
    if (rc >= 0 && !w->folds && slide_possible(&w->spec)) {
        rc = slide_new(w, &w->slide);
    }
    if (rc < 0) {
        window_free(w);
        return err_set(err, rc, "out of memory");
    }
    *ret = w;
    return 0;
}

void window_free(struct window *w)
{
    if (!w) {
        return;
    }
    for (uint32_t i = 0; i < w->n_slices; i++) {
        bag_clear(w, &w->slices[i].bag);
    }
    for (uint32_t i = 0; i < w->n_partitions; i++) {
        bag_clear(w, &w->partitions[i].bag);
        row_unref(w->partitions[i].key);
    }
    for (uint32_t i = 0; w->tables && i < w->spec.n_sources; i++) {
        rowq_fini(&w->tables[i]);
    }
    bag_clear(w, &w->session);
    slide_free(w, w->slide);
    finger_free(w, w->fingers);
    rowq_fini(&w->rows);
    mem_free(w->slices);
    mem_free(w->partitions);
    mem_free(w->partition_slots);
    mem_free(w->triggers);
    mem_free(w->firings);
    mem_free(w->tables);
    mem_free(w->state_offsets);
    fold_programs_free(w);
    mem_free(w->single);
    arena_fini(&w->scratch);
    mem_free(w);
}

size_t window_bytes(const struct window *w)
{
    return sizeof(*w) + w->bytes;
}

/* ---- rows in ---- */

void window_eval_for(struct window *w, const struct kept *k, struct eval *ev)
{
    for (uint32_t i = 0; i < w->single->n; i++) {
        w->single->rows[i] = NULL;
    }
    w->single->rows[k->source] = k->row;
    *ev = (struct eval){.arena = &w->scratch,
                        .tuple = w->single,
                        .computed = k->computed ? k->computed->cells : NULL,
                        .rule = &w->conditions,
                        .now_us = k->row->time_us};
}

bool window_test(struct window *w, const struct expr *e, const struct kept *k, const char *clause)
{
    struct eval ev;
    struct err err;
    bool yes = false;
    window_eval_for(w, k, &ev);
    int rc = expr_test(e, &ev, &yes, &err);
    if (rc < 0) {
        err_wrap(&err, rc, "run %s error", clause);
        window_report(w, k->row, &err);
        yes = false;
    }
    arena_clear(&w->scratch);
    return yes;
}

static int push_table(struct window *w, struct kept *k)
{
    struct rowq *q = &w->tables[k->source];
    if (!window_charge(w, window_kept_bytes(k), k->row)) {
        row_unref(k->row);
        row_unref(k->computed);
        return 0;
    }
    int rc = rowq_push(q, k);
    if (rc < 0) {
        window_kept_release(w, k);
        return rc;
    }
    uint32_t retain = w->spec.joins[k->source - 1].retain;
    if (retain > 0 && q->n > retain) {
        window_drop_oldest(w, q, q->n - retain);
    }
    return 0;
}

static int push_alone(struct window *w, struct kept *k)
{
    struct rowq one = {.items = k, .n = 1, .cap = 1};
    int64_t t = k->row->time_us;
    struct window_range range = {t, t, t};
    int rc = fire_rows(w, &range, &one, 0, 1);
    row_unref(k->row);
    row_unref(k->computed);
    return rc;
}

/* Takes k. */
static int push_kept(struct window *w, struct kept *k)
{
    if (k->source > 0 && w->spec.joins[k->source - 1].table) {
        return push_table(w, k);
    }
    w->now_us = w->spec.event_time ? w->now_us : MAX_OF(w->now_us, k->row->time_us);
    if (w->spec.filter && w->spec.kind != AST_WINDOW_STATE &&
        !window_test(w, w->spec.filter, k, "Window Filter")) {
        row_unref(k->row);
        row_unref(k->computed);
        return 0;
    }
    switch (w->spec.kind) {
    case AST_WINDOW_TUMBLING:
    case AST_WINDOW_HOPPING:
        return slices_push(w, k);
    case AST_WINDOW_SLIDING:
        return sliding_push(w, k);
    case AST_WINDOW_COUNT:
        return count_push(w, k);
    case AST_WINDOW_SESSION:
        return session_push(w, k);
    case AST_WINDOW_STATE:
        return state_push(w, k);
    case AST_WINDOW_NONE:
        break;
    }
    return push_alone(w, k);
}

int window_push(struct window *w, uint32_t source, struct row *row)
{
    if (source >= w->spec.n_sources) {
        return -E_INVAL;
    }
    struct kept k = {.row = row_ref(row), .source = source};
    return push_kept(w, &k);
}

struct row *window_computed_row(struct window *w, const struct batch *b,
                                const struct column *computed, uint32_t row)
{
    struct value *values = arena_alloc(&w->scratch, w->n_computed * sizeof(*values));
    if (!values) {
        arena_clear(&w->scratch);
        return NULL;
    }
    for (uint32_t i = 0; i < w->n_computed; i++) {
        column_get(&computed[i], row, &values[i]);
    }
    struct row *r = row_new(values, w->n_computed, NULL, NULL, b->time_us[row], 0);
    arena_clear(&w->scratch);
    return r;
}

int window_push_batch(struct window *w, struct batch *b, const struct column *computed,
                      const struct selection *sel)
{
    if (w->programs && sel->n >= COLUMNS_FROM) {
        return fold_push_batch(w, b, computed, sel);
    }
    for (uint32_t i = 0; i < sel->n; i++) {
        uint32_t at = sel->rows[i];
        struct kept k = {.row = batch_row(b, at)};
        if (!k.row) {
            return -ENOMEM;
        }
        if (computed && w->n_computed > 0) {
            k.computed = window_computed_row(w, b, computed, at);
            if (!k.computed) {
                row_unref(k.row);
                return -ENOMEM;
            }
        }
        int rc = push_kept(w, &k);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int window_advance(struct window *w, int64_t us)
{
    if (us < w->now_us) {
        return 0;
    }
    w->now_us = us;
    switch (w->spec.kind) {
    case AST_WINDOW_TUMBLING:
    case AST_WINDOW_HOPPING:
        return slices_advance(w);
    case AST_WINDOW_SLIDING:
        return sliding_advance(w);
    case AST_WINDOW_SESSION:
        return session_advance(w);
    case AST_WINDOW_COUNT:
    case AST_WINDOW_STATE:
    case AST_WINDOW_NONE:
        break;
    }
    return 0;
}

int64_t window_next(const struct window *w)
{
    switch (w->spec.kind) {
    case AST_WINDOW_TUMBLING:
    case AST_WINDOW_HOPPING:
        return slices_next(w);
    case AST_WINDOW_SLIDING:
        return sliding_next(w);
    case AST_WINDOW_SESSION:
        return session_next(w);
    case AST_WINDOW_COUNT:
    case AST_WINDOW_STATE:
    case AST_WINDOW_NONE:
        break;
    }
    return INT64_MAX;
}

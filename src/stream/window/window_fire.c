/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A window fires: its kept rows are joined, grouped and aggregated, and handed to the emit
 * callback. All of it lies in the scratch arena until the callback has returned.
 */
#include "window_private.h"
#include "fold.h"
#include "group.h"
#include "finger.h"
#include "slide.h"

/* A window that waits holds no more than this for its next emission. */
#define KEEP_BYTES ((size_t)64 << 10)

/* The rows by source; tables add what they hold. */
static int split_sources(struct window *w, const struct kept **rows, uint32_t n,
                         struct row_list **ret)
{
    uint32_t n_sources = w->spec.n_sources;
    struct row_list *lists = arena_zalloc(&w->scratch, n_sources * sizeof(*lists));
    if (!lists) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        lists[rows[i]->source].n++;
    }
    for (uint32_t s = 0; s < n_sources; s++) {
        size_t room = lists[s].n + w->tables[s].n + 1;
        lists[s].items = arena_alloc(&w->scratch, room * sizeof(*lists[s].items));
        lists[s].n = 0;
        if (!lists[s].items) {
            return -ENOMEM;
        }
        for (size_t i = 0; i < w->tables[s].n; i++) {
            lists[s].items[lists[s].n++] = rowq_at(&w->tables[s], i);
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        struct row_list *l = &lists[rows[i]->source];
        l->items[l->n++] = rows[i];
    }
    *ret = lists;
    return 0;
}

int window_show(struct window *w, struct joined *const *tuples, uint32_t n,
                struct window_group *ret)
{
    const struct tuple **list = arena_alloc(&w->scratch, (n + 1) * sizeof(*list));
    const struct value **computed = arena_alloc(&w->scratch, (n + 1) * sizeof(*computed));
    if (!list || !computed) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        list[i] = &tuples[i]->tuple;
        computed[i] = tuples[i]->computed ? tuples[i]->computed->cells : NULL;
    }
    *ret = (struct window_group){.tuples = list, .n_tuples = n, .computed = computed};
    return 0;
}

/* Keeps the tuples that meet WHERE. */
static uint32_t meet_where(struct window *w, const struct window_range *range,
                           struct joined **tuples, uint32_t n)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct eval ev = {.arena = &w->scratch,
                          .tuple = &tuples[i]->tuple,
                          .computed = tuples[i]->computed ? tuples[i]->computed->cells : NULL,
                          .range = range,
                          .rule = w->spec.rule,
                          .now_us = w->now_us};
        struct err err;
        bool yes = false;
        int rc = expr_test(w->spec.where, &ev, &yes, &err);
        if (rc < 0) {
            err_wrap(&err, rc, "run Where error");
            window_report(w, joined_row(tuples[i]), &err);
            yes = false;
        }
        tuples[kept] = tuples[i];
        kept += yes;
    }
    return kept;
}

/* Not grouped: one group with all tuples. */
static int emit_tuples(struct window *w, const struct window_range *range, struct joined **tuples,
                       uint32_t n)
{
    struct window_group group;
    if (window_show(w, tuples, n, &group) < 0) {
        return -ENOMEM;
    }
    struct window_output out = {
        .range = *range, .groups = &group, .n_groups = 1, .arena = &w->scratch};
    w->emit(w->arg, &out);
    return 0;
}

static int fire_kept(struct window *w, const struct window_range *range, const struct kept **rows,
                     uint32_t n)
{
    struct row_list *lists;
    struct joined **tuples;
    struct err err;
    int rc = split_sources(w, rows, n, &lists);
    if (rc < 0) {
        return rc;
    }
    rc = join_rows(w, lists, &tuples, &n, &err);
    if (rc == -E_INVAL) {
        window_report(w, NULL, &err);
        return 0;
    }
    if (rc >= 0 && w->spec.where) {
        n = meet_where(w, range, tuples, n);
    }
    if (rc < 0 || (n == 0 && (w->spec.n_sources > 1 || w->spec.where))) {
        return rc;
    }
    return w->spec.grouped ? group_and_emit(w, range, tuples, n) : emit_tuples(w, range, tuples, n);
}

/* Memory that an emission needs is bounded by the arena: what does not fit is told. */
static int finish(struct window *w, int rc)
{
    if (rc == -ENOMEM && arena_failed(&w->scratch)) {
        struct err err;
        err_set(&err, -E_LIMIT, "a window was left out: its result needs too much memory");
        window_report(w, NULL, &err);
        rc = 0;
    }
    if (w->scratch.used > KEEP_BYTES) {
        arena_fini(&w->scratch);
    }
    arena_clear(&w->scratch);
    return rc;
}

int fire_rows(struct window *w, const struct window_range *range, const struct rowq *q, size_t from,
              size_t n)
{
    const struct kept **rows = arena_alloc(&w->scratch, (n + 1) * sizeof(*rows));
    for (size_t i = 0; rows && i < n; i++) {
        rows[i] = rowq_at(q, from + i);
    }
    return finish(w, rows ? fire_kept(w, range, rows, (uint32_t)n) : -ENOMEM);
}

int fire_slide(struct window *w, const struct window_range *range, size_t from, size_t n)
{
    int rc = w->slide ? slide_fire(w, range, from, n) : -E_INVAL;
    return rc == -E_INVAL ? fire_rows(w, range, &w->rows, from, n) : rc;
}

int fire_fingers(struct window *w, const struct window_range *range, int64_t from, int64_t until)
{
    struct fold *sum = fold_new(/* small= */ true);
    int rc = sum ? finger_sum(w, w->fingers, from, until, sum) : -ENOMEM;
    rc = rc < 0 ? rc : fold_emit(w, range, sum);
    fold_free(w, sum);
    return finish(w, rc);
}

int drop_slide(struct window *w, size_t n)
{
    int rc = w->slide && n > 0 ? slide_evict(w, n) : 0;
    window_drop_oldest(w, &w->rows, n);
    return rc;
}

static int fire_kept_bags(struct window *w, const struct window_range *range,
                          struct bag *const *bags, uint32_t n_bags)
{
    size_t n = 0;
    for (uint32_t i = 0; i < n_bags; i++) {
        n += bags[i]->rows.n;
    }
    const struct kept **rows = arena_alloc(&w->scratch, (n + 1) * sizeof(*rows));
    if (!rows) {
        return -ENOMEM;
    }
    n = 0;
    for (uint32_t i = 0; i < n_bags; i++) {
        for (size_t k = 0; k < bags[i]->rows.n; k++) {
            rows[n++] = rowq_at(&bags[i]->rows, k);
        }
    }
    return fire_kept(w, range, rows, (uint32_t)n);
}

/* Several bags are put together first. */
static int fire_folds(struct window *w, const struct window_range *range, struct bag *const *bags,
                      uint32_t n)
{
    if (n <= 1) {
        return fold_emit(w, range, n == 1 ? bags[0]->fold : NULL);
    }
    struct fold *sum = fold_new(/* small= */ false);
    int rc = sum ? 0 : -ENOMEM;
    for (uint32_t i = 0; rc >= 0 && i < n; i++) {
        rc = bags[i]->fold ? fold_merge(w, sum, bags[i]->fold) : 0;
    }
    rc = rc < 0 ? rc : fold_emit(w, range, sum);
    fold_free(w, sum);
    return rc;
}

int fire_bags(struct window *w, const struct window_range *range, struct bag *const *bags,
              uint32_t n)
{
    int rc = w->folds ? fire_folds(w, range, bags, n) : fire_kept_bags(w, range, bags, n);
    return finish(w, rc);
}

/* ---- bags ---- */

struct fold *bag_fold(struct bag *b)
{
    if (!b->fold) {
        b->fold = fold_new(/* small= */ false);
    }
    return b->fold;
}

int bag_add(struct window *w, struct bag *b, struct kept *k)
{
    int rc = 0;
    if (w->folds) {
        struct fold *f = bag_fold(b);
        rc = f ? fold_add(w, f, k) : -ENOMEM;
    } else if (window_charge(w, window_kept_bytes(k), k->row)) {
        rc = rowq_push(&b->rows, k);
        if (rc == 0) {
            return 0;
        }
        w->bytes -= window_kept_bytes(k);
    }
    row_unref(k->row);
    row_unref(k->computed);
    return rc;
}

bool bag_empty(const struct bag *b)
{
    return b->rows.n == 0 && (!b->fold || b->fold->n == 0);
}

void bag_clear(struct window *w, struct bag *b)
{
    window_drop_oldest(w, &b->rows, b->rows.n);
    rowq_fini(&b->rows);
    fold_free(w, b->fold);
    b->fold = NULL;
}

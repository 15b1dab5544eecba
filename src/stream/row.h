/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows: events taken out of a batch to be kept (in a window, a table, a join), with all they point
 * to in one block of memory; and tuples, which are rows of several sources side by side.
 *
 * A row's cells follow the shape of its source as it was when the row was made: a later shape only
 * adds slots, so a slot beyond n_cells is absent. Rows are immutable and counted: windows of
 * several rules share them.
 */
#ifndef STREAM_ROW_H
#define STREAM_ROW_H

#include "value.h"

struct row {
    /* read-only */
    uint32_t refs;
    uint32_t n_cells;
    uint32_t bytes;     /* of the whole block, for limits */
    int64_t time_us;    /* event time, else arrival */
    uint64_t sequence;  /* of the source: order of arrival, offset of checkpoints */
    struct value meta;  /* VALUE_OBJECT (topic, ...) or VALUE_ABSENT */
    struct value whole; /* the whole event as VALUE_OBJECT where some rule selects *, else absent */
    struct value cells[];
};

/* A copy of all that is given; NULL when memory is short. */
struct row *row_new(const struct value *cells, uint32_t n_cells, const struct value *whole,
                    const struct value *meta, int64_t time_us, uint64_t sequence);
struct row *row_ref(struct row *r); /* returns r; NULL stays NULL */
void row_unref(struct row *r);      /* NULL is fine */

static inline const struct value *row_cell(const struct row *r, uint32_t slot)
{
    static const struct value absent = {.type = VALUE_ABSENT};
    return r && slot < r->n_cells ? &r->cells[slot] : &absent;
}

/* What row_new() stores, as a value and back, for checkpoints. Load: NULL when it is not of this
 * form or memory is short. */
struct value row_save(struct arena *a, const struct row *r);
struct row *row_load(const struct value *saved);

/* Rows of the sources of a statement, by position in FROM ... JOIN ...; NULL = an outer join found
 * none. Rows are borrowed. */
struct tuple {
    uint32_t n;
    const struct row *rows[];
};

#endif

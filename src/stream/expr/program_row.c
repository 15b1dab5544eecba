/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Row by row: the row evaluator over the rows of a batch, for what has no kernel. One scratch row a
 * program is filled with those cells that its expressions name.
 */
#include "program_private.h"

#include "base/mem.h"

static int add_slot(struct slots *s, uint32_t slot)
{
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->slots[i] == slot) {
            return 0;
        }
    }
    uint32_t *grown = mem_realloc(s->slots, (s->n + 1) * sizeof(*grown));
    if (!grown) {
        return -ENOMEM;
    }
    s->slots = grown;
    s->slots[s->n++] = slot;
    s->end = MAX_OF(s->end, slot + 1);
    return 0;
}

int needs_collect(struct needs *needs, const struct expr *e)
{
    int rc = 0;
    if (!e) {
        return 0;
    }
    if (e->kind == EXPR_FIELD) {
        rc = add_slot(&needs->fields, e->slot);
    } else if (e->kind == EXPR_COMPUTED) {
        rc = add_slot(&needs->computed, e->slot);
    }
    needs->all |= e->kind == EXPR_ALL;
    for (uint32_t i = 0; rc == 0 && i < e->n_list; i++) {
        rc = needs_collect(needs, e->list[i]);
    }
    const struct expr *sides[] = {e->a, e->b, e->c};
    for (uint32_t i = 0; rc == 0 && i < ARRAY_SIZE(sides); i++) {
        rc = needs_collect(needs, sides[i]);
    }
    return rc;
}

void needs_fini(struct needs *n)
{
    mem_free(n->fields.slots);
    mem_free(n->computed.slots);
}

/* The rows of a batch, one after the other, as the row evaluator wants them. */
struct rows {
    const struct needs *needs;
    const struct program_input *in;
    struct row *row; /* scratch */
    struct value *computed;
    struct eval ev;
};

static int rows_begin(struct rows *r, const struct run *run, const struct node *n)
{
    const struct needs *needs = &n->needs;
    const struct batch *b = run->in->batch;
    uint32_t cells = needs->all ? MAX_OF(b->n_columns, needs->fields.end) : needs->fields.end;
    *r = (struct rows){.needs = needs, .in = run->in};
    r->row = arena_zalloc(run->arena, sizeof(*r->row) + cells * sizeof(struct value));
    struct tuple *tuple = arena_zalloc(run->arena, sizeof(*tuple) + sizeof(tuple->rows[0]));
    if (run->in->computed) {
        r->computed = arena_zalloc(run->arena, (needs->computed.end + 1) * sizeof(struct value));
    }
    if (arena_failed(run->arena)) {
        return -E_LIMIT;
    }
    r->row->refs = 1;
    r->row->n_cells = cells;
    tuple->n = 1;
    tuple->rows[0] = r->row;
    r->ev = (struct eval){.arena = run->arena,
                          .tuple = tuple,
                          .computed = r->computed,
                          .rule = run->in->rule,
                          .now_us = run->in->now_us};
    return 0;
}

static void rows_load(struct rows *r, uint32_t row)
{
    const struct batch *b = r->in->batch;
    r->row->time_us = b->time_us[row];
    r->row->sequence = b->sequence + row;
    r->row->meta = b->meta ? b->meta[row] : (struct value){.type = VALUE_ABSENT};
    r->row->whole = b->whole ? b->whole[row] : (struct value){.type = VALUE_ABSENT};
    for (uint32_t i = 0; r->needs->all && i < r->row->n_cells; i++) {
        batch_get(b, i, row, &r->row->cells[i]);
    }
    for (uint32_t i = 0; !r->needs->all && i < r->needs->fields.n; i++) {
        uint32_t slot = r->needs->fields.slots[i];
        batch_get(b, slot, row, &r->row->cells[slot]);
    }
    for (uint32_t i = 0; r->computed && i < r->needs->computed.n; i++) {
        uint32_t slot = r->needs->computed.slots[i];
        column_get(&r->in->computed[slot], row, &r->computed[slot]);
    }
}

/* A failure of the batch rather than of a row; 0 = of the row. */
static int fatal(const struct run *run, int rc)
{
    return rc == -ENOMEM || arena_failed(run->arena) ? (rc == -ENOMEM ? -ENOMEM : -E_LIMIT) : 0;
}

int rows_filter(struct run *run, const struct node *n, struct selection *sel)
{
    struct rows rows;
    int rc = rows_begin(&rows, run, n);
    uint32_t k = 0;
    for (uint32_t i = 0; rc == 0 && i < sel->n; i++) {
        struct err err;
        bool yes = false;
        rows_load(&rows, sel->rows[i]);
        int failed = expr_test(n->e, &rows.ev, &yes, &err);
        if (failed < 0) {
            rc = fatal(run, failed);
            if (rc == 0) {
                run_fail(run, sel->rows[i], &err);
            }
            continue;
        }
        sel->rows[k] = sel->rows[i];
        k += yes;
    }
    sel->n = k;
    return rc;
}

int rows_column(struct run *run, const struct node *n, struct selection *sel, struct column *ret)
{
    struct rows rows;
    int rc = rows_begin(&rows, run, n);
    struct value *values = arena_alloc(run->arena, BATCH_ROWS * sizeof(*values));
    uint32_t k = 0;
    for (uint32_t i = 0; rc == 0 && values && i < sel->n; i++) {
        struct err err;
        uint16_t row = sel->rows[i];
        rows_load(&rows, row);
        int failed = expr_eval(n->e, &rows.ev, &values[row], &err);
        if (failed < 0) {
            rc = fatal(run, failed);
            if (rc == 0) {
                run_fail(run, row, &err);
            }
            continue;
        }
        sel->rows[k++] = row;
    }
    sel->n = k;
    *ret = (struct column){.kind = COLUMN_VALUE, .v = values};
    return rc < 0 || values ? rc : -E_LIMIT;
}

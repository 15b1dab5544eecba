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

int program_collect(struct needs *needs, const struct expr *e)
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
        rc = program_collect(needs, e->list[i]);
    }
    const struct expr *sides[] = {e->a, e->b, e->c};
    for (uint32_t i = 0; rc == 0 && i < ARRAY_SIZE(sides); i++) {
        rc = program_collect(needs, sides[i]);
    }
    return rc;
}

void needs_fini(struct needs *n)
{
    mem_free(n->fields.slots);
    mem_free(n->computed.slots);
}

/* Makes the scratch row and the array of computed values in the batch's arena. */
int rows_begin(struct rows *r, const struct needs *needs, const struct program_input *in)
{
    struct batch *b = in->batch;
    uint32_t cells = needs->all ? MAX_OF(b->n_columns, needs->fields.end) : needs->fields.end;
    *r = (struct rows){.needs = needs, .in = in};
    r->row = arena_zalloc(&b->arena, sizeof(*r->row) + cells * sizeof(struct value));
    r->tuple = arena_zalloc(&b->arena, sizeof(*r->tuple) + sizeof(r->tuple->rows[0]));
    r->computed = arena_zalloc(&b->arena, (needs->computed.end + 1) * sizeof(struct value));
    if (arena_failed(&b->arena)) {
        return -E_LIMIT;
    }
    r->row->refs = 1;
    r->row->n_cells = cells;
    r->tuple->n = 1;
    r->tuple->rows[0] = r->row;
    r->ev = (struct eval){.arena = &b->arena,
                          .tuple = r->tuple,
                          .computed = r->computed,
                          .rule = in->rule,
                          .now_us = in->now_us};
    return 0;
}

void rows_load(struct rows *r, uint32_t row)
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
    for (uint32_t i = 0; r->in->computed && i < r->needs->computed.n; i++) {
        uint32_t slot = r->needs->computed.slots[i];
        column_get(&r->in->computed[slot], row, &r->computed[slot]);
    }
}

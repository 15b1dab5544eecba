/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filling the columns of a batch, row after row: what all decoders share.
 *
 * A column's kind is that of its first value; a value of another kind turns it into COLUMN_VALUE.
 * Declared types are converted or checked here, defaults and the event time are found here. A row
 * that fails is dropped, whatever was filled of it.
 *
 *      fill_begin(batch)   { fill_row()  fill_value()...  fill_end_row() | fill_drop_row() }...
 *      fill_finish()
 */
#ifndef STREAM_FORMAT_FILL_H
#define STREAM_FORMAT_FILL_H

#include "format.h"

#define FILL_NOWHERE UINT32_MAX     /* a field that nobody names */
#define FILL_TIME (UINT32_MAX - 1u) /* the event time, where the shape does not name it */

struct fill {
    /* read-only for decoders */
    struct batch *b;
    const struct shape *shape;
    const struct format_options *opts; /* of the decoder */
    uint32_t row;
    uint32_t columns;
    uint32_t *filled; /* rows that a column has, at most row + 1; heap */
    uint32_t filled_cap;
    uint32_t time_slot;                   /* of the event time; FILL_TIME, FILL_NOWHERE = arrival */
    struct value time_value;              /* for FILL_TIME */
    const struct value_member *meta_seen; /* metadata that was copied last, and its copy */
    struct value meta_copy;
    bool texts;     /* values come as texts (CSV): declared types parse them */
    bool declared;  /* some field has a type or a default */
    struct err err; /* why the row fails; code 0 = it does not */
};

void fill_init(struct fill *f, const struct format_options *opts, const struct shape *shape);
void fill_fini(struct fill *f);
/* 0 or -ENOMEM. Rows that the batch holds stay. */
int fill_begin(struct fill *f, struct batch *b);
/* Pads columns that lack their last rows. */
void fill_finish(struct fill *f);

/* Where a field's values go: a slot, FILL_TIME or FILL_NOWHERE. */
uint32_t fill_slot(const struct fill *f, struct str name);

/* Whether the field has a declared type that `t` is not. */
static inline bool fill_foreign(const struct fill *f, uint32_t slot, enum value_type t)
{
    return f->declared &&
           (f->shape->fields[slot].type != VALUE_NULL || f->shape->fields[slot].declared) &&
           (f->shape->fields[slot].type != t || t >= VALUE_ARRAY);
}

void fill_slow(struct fill *f, uint32_t slot, const struct value *v);

/* The value of a field of the current row; a second one replaces the first. slot may be FILL_TIME.
 */
static inline void fill_value(struct fill *f, uint32_t slot, const struct value *v)
{
    if (slot < f->columns && f->filled[slot] == f->row && !fill_foreign(f, slot, v->type)) {
        struct column *c = &f->b->columns[slot];
        if (c->kind == COLUMN_VALUE) {
            c->v[f->row] = *v;
            f->filled[slot] = f->row + 1;
            return;
        }
        if ((c->kind == COLUMN_INT && v->type == VALUE_INT) ||
            (c->kind == COLUMN_FLOAT && v->type == VALUE_FLOAT)) {
            c->i[f->row] = v->i; /* or the float's bits */
            f->filled[slot] = f->row + 1;
            return;
        }
    }
    fill_slow(f, slot, v);
}

/* A row begins: the place is the next of the batch, which is not full. */
static inline void fill_row(struct fill *f)
{
    f->row = f->b->rows;
}
void fill_drop_row(struct fill *f);
/* The row is complete: its time and metadata are those of the payload unless a field gives the
 * time. whole is NULL where the shape does not want it. 0, or a negative code: the row was
 * dropped; -E_LIMIT: the arena failed. */
int fill_end_row(struct fill *f, const struct payload *p, const struct value *whole,
                 struct err *err);

/* n rows at once, of which the columns were filled by other means: nothing is declared, no field
 * gives the time, nobody wants whole events. */
int fill_end_rows(struct fill *f, const struct payload *p, uint32_t n);

/* Event time of a value in microseconds: numbers are milliseconds. 0 or -E_INVAL with a text. */
int fill_instant(const struct format_options *opts, const struct value *v, int64_t *ret_us,
                 struct err *err);

/* A value made one of a declared type (declare.c). strict: checked rather than converted. 0, or
 * -E_INVAL with eKuiper's text. */
struct declare {
    struct arena *arena;
    const struct format_options *opts;
    bool strict, texts;
};
int declare_convert(const struct declare *d, struct str name, enum value_type type,
                    const struct ast_type *nested, struct value *v, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Batches: up to BATCH_ROWS events of one stream as columns, and shapes, which say what the columns
 * are.
 *
 *      payloads (JSON, CSV, binary)  --decoder-->  batch  --programs, selections-->  batch of
 * results
 *
 * A shape is the union of the fields that the rules of a stream name; one decode fills all of them,
 * for all rules. A column is typed where all its values in the batch are of one type (absent ones
 * apart), else it holds values. A batch owns an arena in which its columns, its texts and all that
 * is computed from it lie; it is counted, so that sinks and windows may keep it.
 *
 * Results of rules are batches too: their shape names the columns of the result, and a column
 * marked `spread` holds objects whose members stand in the result (SELECT *, changed_cols).
 */
#ifndef STREAM_BATCH_H
#define STREAM_BATCH_H

#include "base/map.h"
#include "row.h"

#define BATCH_ROWS 1024

struct shape_field {
    struct str name;                 /* owned by the shape */
    enum value_type type;            /* declared; VALUE_NULL = any */
    bool spread;                     /* results only */
    const struct ast_type *declared; /* nested declaration for validation, or NULL; borrowed */
    struct value fallback;           /* DEFAULT, VALUE_ABSENT = none */
};

struct shape {
    uint64_t id;      /* no other shape of this process has it; with n it tells the names */
    struct map index; /* private: name to slot + 1, of a shape with many fields */
    struct shape_field *fields;
    uint32_t n, cap;
    bool whole;  /* some rule wants the whole event */
    bool meta;   /* some rule reads metadata */
    bool strict; /* declared types are checked, not converted (STRICT_VALIDATION) */
};

void shape_init(struct shape *s);
void shape_fini(struct shape *s);
/* The slot of a field, added when it is new; -ENOMEM, -E_LIMIT (LIMIT_STREAM_FIELDS). The type of a
 * field that is there stays, unless it was any. Batches made before keep their fewer columns. */
int shape_add(struct shape *s, struct str name, enum value_type type);
int shape_find(const struct shape *s, struct str name); /* slot or -1 */

enum column_kind {
    COLUMN_ABSENT, /* no row has it */
    COLUMN_INT,    /* i */
    COLUMN_FLOAT,  /* f */
    COLUMN_BOOL,   /* b */
    COLUMN_VALUE,  /* v: any types */
    COLUMN_CONST   /* v[0] is the value of every row */
};

struct column {
    enum column_kind kind;
    union {
        int64_t *i;
        double *f;
        uint8_t *b;
        struct value *v;
    };
    /* Typed columns: bit set = the row has no value there (absent); NULL = all rows have one. */
    uint64_t *missing;
};

/* Rows of a batch that are still in play, ascending. */
struct selection {
    uint32_t n;
    uint16_t rows[BATCH_ROWS];
};

struct batch {
    /* read-only for all but its maker */
    uint32_t refs;
    uint32_t rows;
    uint32_t n_columns;
    struct column *columns;
    const struct shape *shape; /* borrowed: lives as long as the stream or the rule */
    int64_t *time_us;          /* of each row: event time or arrival */
    int64_t *arrival_us;       /* of each row; NULL where time_us is the arrival */
    uint64_t sequence;         /* of row 0; row i has sequence + i */
    struct value *whole;       /* of each row, VALUE_OBJECT; NULL when shape->whole is false */
    struct value *meta;        /* of each row; NULL when there is none */
    struct batch *base; /* keeps alive what the columns point to; unreferenced with it; NULL */
    struct arena arena;
};

/* An empty batch with room for BATCH_ROWS; columns are COLUMN_ABSENT. NULL when memory is short.
 * memory_cap bounds its arena (0 = LIMIT_BATCH_BYTES). */
struct batch *batch_new(const struct shape *shape, size_t memory_cap);
struct batch *batch_ref(struct batch *b);
void batch_unref(struct batch *b);

void column_get(const struct column *c, uint32_t row, struct value *ret);
static inline void batch_get(const struct batch *b, uint32_t slot, uint32_t row, struct value *ret)
{
    if (slot < b->n_columns) {
        column_get(&b->columns[slot], row, ret);
    } else {
        *ret = (struct value){.type = VALUE_ABSENT};
    }
}
/* The row as a counted row of its own. NULL when memory is short. */
struct row *batch_row(const struct batch *b, uint32_t row);
/* Fills a column of the batch from values (one a row, in the batch's arena, VALUE_ABSENT where
 * there is none), typed where they allow it. When the arena failed the column holds the values. */
void column_from_values(struct batch *b, struct column *c, struct value *values);
/* The row of a result as one object, spread columns merged in order, absent ones left out (or null
 * when `nulls`). */
struct value batch_object(struct arena *a, const struct batch *b, uint32_t row, bool nulls);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Filling the columns of a batch; see fill.h. */
#include "fill.h"

#include <string.h>

#include "base/mem.h"

#define MISSING_BYTES (BATCH_ROWS / 8)

void fill_init(struct fill *f, const struct format_options *opts, const struct shape *shape)
{
    *f = (struct fill){.opts = opts, .shape = shape};
}

void fill_fini(struct fill *f)
{
    mem_free(f->filled);
    f->filled = NULL;
}

static bool any_declared(const struct shape *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (s->fields[i].type != VALUE_NULL || s->fields[i].declared ||
            s->fields[i].fallback.type != VALUE_ABSENT) {
            return true;
        }
    }
    return false;
}

int fill_begin(struct fill *f, struct batch *b)
{
    if (f->filled_cap < b->n_columns) {
        uint32_t *grown = mem_realloc(f->filled, b->n_columns * sizeof(*grown));
        if (!grown) {
            return -ENOMEM;
        }
        f->filled = grown;
        f->filled_cap = b->n_columns;
    }
    for (uint32_t i = 0; i < b->n_columns; i++) {
        f->filled[i] = b->rows;
    }
    f->b = b;
    f->row = b->rows;
    f->columns = b->n_columns;
    f->declared = any_declared(f->shape, b->n_columns);
    f->err.code = 0;
    f->meta_seen = NULL;
    f->time_value.type = VALUE_ABSENT;
    f->time_slot = FILL_NOWHERE;
    if (f->opts->timestamp.n) {
        int slot = shape_find(f->shape, f->opts->timestamp);
        f->time_slot = slot >= 0 && (uint32_t)slot < f->columns ? (uint32_t)slot : FILL_TIME;
    }
    return 0;
}

uint32_t fill_slot(const struct fill *f, struct str name)
{
    int slot = shape_find(f->shape, name);
    if (slot >= 0 && (uint32_t)slot < f->columns) {
        return (uint32_t)slot;
    }
    return f->time_slot == FILL_TIME && str_eq(name, f->opts->timestamp) ? FILL_TIME : FILL_NOWHERE;
}

/* ---- columns ---- */

static enum column_kind kind_of(enum value_type t)
{
    return t == VALUE_INT     ? COLUMN_INT
           : t == VALUE_FLOAT ? COLUMN_FLOAT
           : t == VALUE_BOOL  ? COLUMN_BOOL
                              : COLUMN_VALUE;
}

static size_t width_of(enum column_kind k)
{
    return k == COLUMN_VALUE ? sizeof(struct value) : k == COLUMN_BOOL ? 1 : sizeof(int64_t);
}

/* Rows [from, to) have no value there. The bits of a typed column lie behind its data, so that this
 * cannot fail. */
static void pad(struct column *c, uint32_t from, uint32_t to)
{
    if (c->kind == COLUMN_ABSENT || from >= to) {
        return;
    }
    if (c->kind == COLUMN_VALUE) {
        for (uint32_t i = from; i < to; i++) {
            c->v[i] = (struct value){.type = VALUE_ABSENT};
        }
        return;
    }
    size_t width = width_of(c->kind);
    if (!c->missing) {
        c->missing = memset((char *)c->v + BATCH_ROWS * width, 0, MISSING_BYTES);
    }
    for (uint32_t i = from; i < to; i++) {
        c->missing[i / 64] |= (uint64_t)1 << (i % 64);
    }
    memset((char *)c->v + from * width, 0, (to - from) * width);
}

/* A column of no values so far gets a kind; its rows before `row` have none. */
static bool start_column(struct batch *b, struct column *c, enum column_kind kind, uint32_t row)
{
    void *data = arena_alloc(&b->arena, BATCH_ROWS * width_of(kind) + MISSING_BYTES);
    if (!data) {
        return false;
    }
    *c = (struct column){.kind = kind, .v = data};
    pad(c, 0, row);
    return true;
}

/* The first `rows` values of a typed column as values. */
static bool widen(struct batch *b, struct column *c, uint32_t rows)
{
    struct value *v = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*v));
    if (!v) {
        return false;
    }
    for (uint32_t i = 0; i < rows; i++) {
        column_get(c, i, &v[i]);
    }
    *c = (struct column){.kind = COLUMN_VALUE, .v = v};
    return true;
}

static void store(struct column *c, uint32_t row, const struct value *v)
{
    if (c->kind == COLUMN_VALUE) {
        c->v[row] = *v;
    } else if (c->kind == COLUMN_BOOL) {
        c->b[row] = v->b;
    } else {
        c->i[row] = v->i;
    }
}

static void put(struct fill *f, uint32_t slot, const struct value *v)
{
    struct column *c = &f->b->columns[slot];
    enum column_kind kind = kind_of((enum value_type)v->type);
    uint32_t have = MIN_OF(f->filled[slot], f->row);
    if (c->kind == COLUMN_ABSENT) {
        if (!start_column(f->b, c, kind, f->row)) {
            return;
        }
        have = f->row;
    } else if (c->kind != COLUMN_VALUE && c->kind != kind && !widen(f->b, c, have)) {
        return;
    }
    pad(c, have, f->row);
    store(c, f->row, v);
    f->filled[slot] = f->row + 1;
}

void fill_slow(struct fill *f, uint32_t slot, const struct value *v)
{
    if (slot == FILL_TIME) {
        f->time_value = *v;
        return;
    }
    if (slot >= f->columns || v->type == VALUE_ABSENT) {
        return;
    }
    struct value converted = *v;
    if (fill_foreign(f, slot, (enum value_type)v->type)) {
        const struct shape_field *field = &f->shape->fields[slot];
        struct declare d = {
            .arena = &f->b->arena, .opts = f->opts, .strict = f->shape->strict, .texts = f->texts};
        if (f->err.code == 0) {
            int rc = declare_convert(&d, field->name, field->type, field->declared, &converted,
                                     &f->err); /* kept in f->err until the row ends */
            if (rc < 0 && (d.strict || d.texts)) {
                (void)err_wrap(&f->err, rc, "field " STR_FMT " type mismatch",
                               STR_ARG(field->name));
            }
        }
        if (f->err.code) {
            return;
        }
    }
    put(f, slot, &converted);
}

/* ---- rows ---- */

void fill_drop_row(struct fill *f)
{
    for (uint32_t i = 0; i < f->columns; i++) {
        f->filled[i] = MIN_OF(f->filled[i], f->row);
    }
    f->time_value.type = VALUE_ABSENT;
    f->err.code = 0;
}

/* Defaults, and in strict streams the fields that must be there. */
static void complete_row(struct fill *f)
{
    for (uint32_t i = 0; i < f->columns && f->err.code == 0; i++) {
        const struct shape_field *field = &f->shape->fields[i];
        if (f->filled[i] > f->row) {
            continue;
        }
        if (field->fallback.type != VALUE_ABSENT) {
            fill_slow(f, i, &field->fallback);
        } else if (f->shape->strict && field->type != VALUE_NULL) {
            err_set(&f->err, -E_INVAL, "field " STR_FMT " is not found", STR_ARG(field->name));
        }
    }
    if (f->err.code && f->shape->strict) {
        (void)err_wrap(&f->err, f->err.code, "error in preprocessor");
    }
}

static void find_time(struct fill *f, int64_t *ret_us)
{
    struct value v = f->time_value;
    if (f->time_slot != FILL_TIME && f->filled[f->time_slot] > f->row) {
        column_get(&f->b->columns[f->time_slot], f->row, &v);
    }
    if (value_is_null(&v)) {
        err_set(&f->err, -E_INVAL, "cannot find timestamp field " STR_FMT,
                STR_ARG(f->opts->timestamp));
    } else if (fill_instant(f->opts, &v, ret_us, &f->err) < 0) {
        (void)err_wrap(&f->err, f->err.code,
                       "cannot convert timestamp field " STR_FMT " to timestamp with error",
                       STR_ARG(f->opts->timestamp));
    }
}

static void set_arrival(struct fill *f, int64_t us)
{
    struct batch *b = f->b;
    if (!b->arrival_us) {
        b->arrival_us = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*b->arrival_us));
    }
    if (b->arrival_us) {
        b->arrival_us[f->row] = us;
    }
}

/* Payloads of one call often share their metadata: it is copied once. */
static void set_meta(struct fill *f, const struct value *meta)
{
    struct batch *b = f->b;
    if (!b->meta && meta->type == VALUE_OBJECT) {
        b->meta = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*b->meta));
        for (uint32_t i = 0; b->meta && i < f->row; i++) {
            b->meta[i] = (struct value){.type = VALUE_ABSENT};
        }
    }
    if (!b->meta) {
        return;
    }
    if (meta->type != VALUE_OBJECT || meta->members != f->meta_seen) {
        f->meta_copy = value_copy(&b->arena, meta);
        f->meta_seen = meta->type == VALUE_OBJECT ? meta->members : NULL;
    }
    b->meta[f->row] = f->meta_copy;
}

/* The whole event with converted values and defaults in it, as the columns have them. */
static struct value declared_whole(struct fill *f, const struct value *whole)
{
    struct value_member *m =
        arena_alloc(&f->b->arena, (whole->n + f->columns) * sizeof(struct value_member));
    uint32_t n = whole->n;
    if (!m) {
        return *whole;
    }
    memcpy(m, whole->members, whole->n * sizeof(*m));
    for (uint32_t i = 0; i < f->columns; i++) {
        const struct shape_field *field = &f->shape->fields[i];
        uint32_t at = 0;
        if (f->filled[i] <= f->row || (field->type == VALUE_NULL && !field->declared)) {
            continue;
        }
        while (at < n && !str_eq(m[at].key, field->name)) {
            at++;
        }
        m[at].key = field->name;
        column_get(&f->b->columns[i], f->row, &m[at].value);
        n = MAX_OF(n, at + 1);
    }
    return (struct value){.type = VALUE_OBJECT, .n = n, .members = m};
}

int fill_end_row(struct fill *f, const struct payload *p, const struct value *whole,
                 struct err *err)
{
    struct batch *b = f->b;
    int64_t time_us = p->arrival_us;
    if (f->declared && f->err.code == 0) {
        complete_row(f);
    } else if (f->err.code && f->shape->strict) {
        (void)err_wrap(&f->err, f->err.code, "error in preprocessor");
    }
    if (f->time_slot != FILL_NOWHERE && f->err.code == 0) {
        find_time(f, &time_us);
        set_arrival(f, p->arrival_us);
    }
    if (f->shape->meta && f->err.code == 0) {
        set_meta(f, &p->meta);
    }
    if (arena_failed(&b->arena)) {
        fill_drop_row(f);
        return -E_LIMIT;
    }
    if (f->err.code) {
        int code = err_set(err, -E_INVAL, "%s", f->err.text);
        fill_drop_row(f);
        return code;
    }
    b->time_us[f->row] = time_us;
    if (b->whole) {
        b->whole[f->row] = whole ? f->declared ? declared_whole(f, whole) : *whole
                                 : (struct value){.type = VALUE_ABSENT};
    }
    f->time_value.type = VALUE_ABSENT;
    b->rows++;
    return 0;
}

int fill_end_rows(struct fill *f, const struct payload *p, uint32_t n)
{
    struct batch *b = f->b;
    for (uint32_t i = 0; i < n; i++) {
        b->time_us[f->row + i] = p->arrival_us;
    }
    for (uint32_t i = 0; f->shape->meta && i < n; i++) {
        set_meta(f, &p->meta);
        f->row++;
    }
    if (arena_failed(&b->arena)) {
        return -E_LIMIT;
    }
    b->rows += n;
    return 0;
}

void fill_finish(struct fill *f)
{
    for (uint32_t i = 0; i < f->columns; i++) {
        pad(&f->b->columns[i], MIN_OF(f->filled[i], f->b->rows), f->b->rows);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Results as CSV (RFC 4180): a line a row, line breaks between lines, cells in the order of the
 * columns. The header line, where it is wanted, comes once, before the first row. Where columns are
 * spread the members of the first row are the columns from then on.
 */
#include "base/mem.h"
#include "encoder_private.h"

struct delimited_encoder {
    struct encoder e;
    struct buf names; /* of spread results, each with a 0 behind it */
    uint32_t n;       /* names; 0 = not known yet */
    bool headed;      /* the header line was written */
};

static int init(struct encoder *e, struct err *err)
{
    if (e->opts.delimiter == 0) {
        e->opts.delimiter = ',';
    }
    return 0;
}

static void fini(struct encoder *e)
{
    buf_fini(&((struct delimited_encoder *)e)->names);
}

static void put_text(struct encoder *e, struct str s, struct buf *out)
{
    bool quote = s.n && (memchr(s.p, e->opts.delimiter, s.n) || memchr(s.p, '"', s.n) ||
                         memchr(s.p, '\n', s.n) || memchr(s.p, '\r', s.n));
    if (!quote) {
        (void)buf_append_str(out, s); /* failures stick */
        return;
    }
    (void)buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        (void)buf_putc(out, s.p[i]);
        if (s.p[i] == '"') {
            (void)buf_putc(out, '"');
        }
    }
    (void)buf_putc(out, '"');
}

static void put_cell(struct encoder *e, const struct value *v, struct buf *out)
{
    if (value_is_number(v) || v->type == VALUE_BOOL) {
        (void)encoder_text(out, v); /* failures stick */
        return;
    }
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    struct str s = value_text(v);
    if (v->type != VALUE_STRING) {
        (void)encoder_text(&text, v);
        s = buf_str(&text);
    }
    put_text(e, s, out);
}

static void put_columns(struct encoder *e, uint32_t row, bool names, struct buf *out)
{
    const struct batch *b = e->batch;
    for (uint32_t i = 0; i < b->n_columns; i++) {
        struct value v;
        if (i) {
            (void)buf_putc(out, e->opts.delimiter);
        }
        if (names) {
            put_text(e, b->shape->fields[i].name, out);
        } else {
            column_get(&b->columns[i], row, &v);
            put_cell(e, &v, out);
        }
    }
}

static void learn_names(struct delimited_encoder *c, const struct value *object)
{
    for (uint32_t i = 0; i < object->n; i++) {
        (void)buf_append_str(&c->names, object->members[i].key); /* failures stick */
        (void)buf_putc(&c->names, '\0');
    }
    c->n = object->n;
}

/* object NULL: the names. */
static void put_spread(struct delimited_encoder *c, const struct value *object, struct buf *out)
{
    const char *name = buf_data(&c->names);
    for (uint32_t i = 0; !buf_failed(&c->names) && i < c->n; i++) {
        struct str key = str_of(name);
        name += key.n + 1;
        if (i) {
            (void)buf_putc(out, c->e.opts.delimiter);
        }
        if (!object) {
            put_text(&c->e, key, out);
            continue;
        }
        const struct value *v = value_get(object, key);
        put_cell(&c->e, v ? v : &VALUE_OF_NULL, out);
    }
}

static void put_row(struct delimited_encoder *c, bool spread, uint32_t row, struct buf *out)
{
    struct encoder *e = &c->e;
    struct value object = {.type = VALUE_OBJECT};
    if (spread) {
        arena_clear(&e->scratch);
        object = batch_object(&e->scratch, e->batch, row, /* nulls= */ true);
        if (c->n == 0) {
            learn_names(c, &object);
        }
    }
    for (bool names = e->opts.header && !c->headed;; names = false) {
        if (spread) {
            put_spread(c, names ? NULL : &object, out);
        } else {
            put_columns(e, row, names, out);
        }
        if (!names) {
            return;
        }
        (void)buf_putc(out, '\n');
        c->headed = true;
    }
}

static int encode(struct encoder *e, uint32_t first, uint32_t n, bool array, struct buf *out,
                  struct err *err)
{
    struct delimited_encoder *c = (struct delimited_encoder *)e;
    bool spread = encoder_spreads(e->batch);
    for (uint32_t i = 0; i < n; i++) {
        if (i) {
            (void)buf_putc(out, '\n'); /* failures stick */
        }
        put_row(c, spread, first + i, out);
    }
    return buf_failed(&c->names) ? err_set(err, -ENOMEM, "no memory for a result") : 0;
}

const struct encoder_ops encode_delimited = {
    .size = sizeof(struct delimited_encoder),
    .init = init,
    .fini = fini,
    .encode = encode,
};

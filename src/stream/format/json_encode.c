/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of results as JSON, straight from the columns. The texts of the names, `,"name":`, are made
 * once a shape.
 */
#include "base/mem.h"
#include "encoder_private.h"

struct json_encoder {
    struct encoder e;
    uint64_t shape; /* for which the names are */
    uint32_t n;
    struct str *names; /* point into text */
    struct buf text;
};

static void forget_names(struct json_encoder *j)
{
    mem_free(j->names);
    j->names = NULL;
    j->n = 0;
    buf_clear(&j->text);
}

static void fini(struct encoder *e)
{
    struct json_encoder *j = (struct json_encoder *)e;
    forget_names(j);
    buf_fini(&j->text);
}

static bool same_names(const struct json_encoder *j, const struct batch *b)
{
    return j->names && j->shape == b->shape->id && j->n == b->n_columns;
}

static int make_names(struct json_encoder *j, const struct batch *b)
{
    forget_names(j);
    j->names = mem_alloc((b->n_columns + 1) * sizeof(*j->names));
    for (uint32_t i = 0; j->names && i < b->n_columns; i++) {
        size_t from = buf_len(&j->text);
        (void)buf_putc(&j->text, ','); /* a failure sticks */
        (void)json_print_string(&j->text, b->shape->fields[i].name);
        (void)buf_putc(&j->text, ':');
        j->names[i].n = buf_len(&j->text) - from;
    }
    if (!j->names || buf_failed(&j->text)) {
        forget_names(j);
        return -ENOMEM;
    }
    const char *at = buf_data(&j->text);
    for (uint32_t i = 0; i < b->n_columns; i++) {
        j->names[i].p = at;
        at += j->names[i].n;
    }
    j->shape = b->shape->id;
    j->n = b->n_columns;
    return 0;
}

static bool write_cell(struct writer *w, struct str name, bool first, const struct value *v)
{
    if (!writer_need(w, name.n + WRITER_NUMBER)) {
        return false;
    }
    memcpy(w->at, name.p + first, name.n - first); /* the first has no comma */
    w->at += name.n - first;
    return writer_json(w, v);
}

static bool write_row(struct json_encoder *j, struct writer *w, uint32_t row)
{
    const struct batch *b = j->e.batch;
    bool first = true, ok = writer_need(w, 2);
    if (ok) {
        *w->at++ = '{';
    }
    for (uint32_t i = 0; ok && i < b->n_columns; i++) {
        struct value v;
        column_get(&b->columns[i], row, &v);
        if (v.type == VALUE_ABSENT && !j->e.nulls) {
            continue;
        }
        ok = write_cell(w, j->names[i], first, &v);
        first = false;
    }
    ok = ok && writer_need(w, 1);
    if (ok) {
        *w->at++ = '}';
    }
    return ok;
}

/* With spread columns, names may come twice; alone, a spread column is the object. */
static bool write_spread_row(struct json_encoder *j, struct writer *w, uint32_t row)
{
    const struct batch *b = j->e.batch;
    struct value v;
    if (b->n_columns == 1 && !j->e.nulls) {
        column_get(&b->columns[0], row, &v);
    } else {
        arena_clear(&j->e.scratch);
        v = batch_object(&j->e.scratch, b, row, j->e.nulls);
    }
    if (v.type != VALUE_OBJECT) {
        v = (struct value){.type = VALUE_OBJECT};
    }
    return !arena_failed(&j->e.scratch) && writer_json(w, &v);
}

static int encode(struct encoder *e, uint32_t first, uint32_t n, bool array, struct buf *out,
                  struct err *err)
{
    struct json_encoder *j = (struct json_encoder *)e;
    struct writer w;
    bool spread = encoder_spreads(e->batch), bracket = array || n != 1;
    bool ok = same_names(j, e->batch) || make_names(j, e->batch) == 0;
    writer_begin(&w, out);
    for (uint32_t i = 0; ok && i < n; i++) {
        ok = writer_need(&w, 2);
        if (ok && bracket) {
            *w.at++ = i ? ',' : '[';
        }
        ok = ok && (spread ? write_spread_row(j, &w, first + i) : write_row(j, &w, first + i));
    }
    if (ok && bracket && writer_need(&w, 2)) {
        if (n == 0) {
            *w.at++ = '[';
        }
        *w.at++ = ']';
    }
    writer_end(&w);
    return ok ? 0 : err_set(err, -ENOMEM, "no memory for a result");
}

const struct encoder_ops encode_json = {
    .size = sizeof(struct json_encoder),
    .fini = fini,
    .encode = encode,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format urlencoded (application/x-www-form-urlencoded, WHATWG URL section 5): key=value pairs
 * with '&' between them. Values are texts; a key that comes more than once has an array of them.
 */
#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/utf8.h"
#include "decoder_private.h"
#include "encoder_private.h"

#define URLENCODED_PAIRS 1000

/* The pairs of an event gather in the arena. */
struct pairs {
    struct value_member *m;
    uint32_t n, cap;
};

static bool add_to_array(struct arena *a, struct value *v, const struct value *more)
{
    uint32_t n = v->type == VALUE_ARRAY ? v->n : 1;
    struct value *items = arena_alloc(a, (n + 1) * sizeof(*items));
    if (!items) {
        return false;
    }
    memcpy(items, v->type == VALUE_ARRAY ? v->items : v, n * sizeof(*items));
    items[n] = *more;
    *v = (struct value){.type = VALUE_ARRAY, .n = n + 1, .items = items};
    return true;
}

static int add_pair(struct arena *a, struct pairs *p, struct str key, const struct value *v)
{
    for (uint32_t i = 0; i < p->n; i++) {
        if (str_eq(p->m[i].key, key)) {
            return add_to_array(a, &p->m[i].value, v) ? 0 : -E_LIMIT;
        }
    }
    if (p->n == p->cap) {
        uint32_t cap = p->cap ? p->cap * 2 : 16;
        struct value_member *grown =
            arena_grow(a, p->m, p->cap * sizeof(*grown), cap * sizeof(*grown));
        if (!grown) {
            return -E_LIMIT;
        }
        p->m = grown;
        p->cap = cap;
    }
    p->m[p->n++] = (struct value_member){key, *v};
    return 0;
}

/* 0, -E_PARSE, -E_LIMIT. */
static int read_pair(struct arena *a, struct str text, struct pairs *p)
{
    struct str raw_key, raw_value;
    (void)str_cut(text, '=', &raw_key, &raw_value); /* without '=' it is a key alone */
    const char *key = percent_decode(a, raw_key, /* plus_is_space= */ true);
    const char *value = percent_decode(a, raw_value, /* plus_is_space= */ true);
    if (arena_failed(a)) {
        return -E_LIMIT;
    }
    if (!key || !value || !utf8_valid(str_of(key)) || !utf8_valid(str_of(value)) ||
        p->n >= URLENCODED_PAIRS) {
        return -E_PARSE;
    }
    struct value v = value_string(str_of(value));
    return add_pair(a, p, str_of(key), &v);
}

static int read_pairs(struct arena *a, struct str text, struct pairs *p)
{
    int rc = 0;
    while (rc == 0 && text.n) {
        struct str one;
        (void)str_cut(text, '&', &one, &text); /* the last has no '&' behind it */
        rc = one.n ? read_pair(a, one, p) : 0;
    }
    return rc;
}

static int init(struct decoder *d, struct err *err)
{
    d->fill.texts = true;
    return 0;
}

static int decode(struct decoder *d)
{
    struct fill *f = &d->fill;
    struct pairs p = {.n = 0};
    int rc = read_pairs(&f->b->arena, d->payload->bytes, &p);
    if (rc == -E_PARSE || (rc == 0 && p.n == 0)) {
        struct err err;
        err_set(&err, -E_PARSE, "the payload is no urlencoded form");
        decoder_refuse(d, &err);
        return 1;
    }
    if (rc < 0) {
        return rc;
    }
    fill_row(f);
    for (uint32_t i = 0; i < p.n; i++) {
        uint32_t slot = fill_slot(f, p.m[i].key);
        if (slot != FILL_NOWHERE) {
            fill_value(f, slot, &p.m[i].value);
        }
    }
    rc = decoder_end_row(d, &(struct value){.type = VALUE_OBJECT, .n = p.n, .members = p.m});
    return rc < 0 ? rc : 1;
}

const struct decoder_ops decode_urlencoded = {
    .size = sizeof(struct decoder),
    .init = init,
    .decode = decode,
};

/* ---- encoding ---- */

static void write_pair(struct buf *out, struct str key, const struct value *v, bool first)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    (void)encoder_text(&text, v); /* failures stick to the buffers */
    (void)buf_puts(out, first ? "" : "&");
    (void)percent_encode(out, key);
    (void)buf_putc(out, '=');
    (void)percent_encode(out, buf_str(&text));
}

static void write_row(struct encoder *e, uint32_t row, struct buf *out)
{
    bool first = true;
    arena_clear(&e->scratch);
    struct value v = batch_object(&e->scratch, e->batch, row, e->nulls);
    for (uint32_t i = 0; v.type == VALUE_OBJECT && i < v.n; i++) {
        const struct value *cell = &v.members[i].value;
        bool array = cell->type == VALUE_ARRAY;
        for (uint32_t k = 0; k < (array ? cell->n : 1); k++) {
            write_pair(out, v.members[i].key, array ? &cell->items[k] : cell, first);
            first = false;
        }
    }
}

static int encode(struct encoder *e, uint32_t first, uint32_t n, bool array, struct buf *out,
                  struct err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i) {
            (void)buf_putc(out, '\n'); /* a failure sticks */
        }
        write_row(e, first + i, out);
    }
    return 0;
}

const struct encoder_ops encode_urlencoded = {
    .size = sizeof(struct encoder),
    .encode = encode,
};

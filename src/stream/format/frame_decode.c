/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to batches; see frame.h. The columns of a full frame are used where they lie, in a copy of
 * the frame or, where the payload is stable and aligned, in the payload; those of a shorter frame
 * are copied into columns that have room, as rows may follow. Frames are little endian, as are all
 * processors that we build for.
 */
#include "base/crc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "codec/utf8.h"
#include "decoder_private.h"
#include "frame.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "columns are used in place");

struct frame {
    const char *p;
    uint32_t n, rows, columns;
    bool timed;
    const struct payload *payload;
};

struct frame_column {
    struct str name, texts;
    enum frame_type type;
    const char *data;
    const uint64_t *missing;
};

static uint32_t u32_at(const char *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static uint16_t u16_at(const char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

int64_t frame_length(struct str bytes)
{
    if (bytes.n < 8) {
        return 0;
    }
    uint32_t n = u32_at(bytes.p + 4);
    bool fits = n >= FRAME_HEADER && n <= LIMIT_EVENT_BYTES && n % 8 == 0;
    return u32_at(bytes.p) == FRAME_MAGIC && fits ? (int64_t)n : -E_PROTO;
}

/* ---- checks ---- */

static const char *read_header(struct str bytes, struct frame *f)
{
    if (bytes.n < FRAME_HEADER || frame_length(bytes) != (int64_t)bytes.n) {
        return "its length is wrong";
    }
    if (crc32c(0, bytes.p + 12, bytes.n - 12) != u32_at(bytes.p + 8)) {
        return "its checksum is wrong";
    }
    if (bytes.p[12] != FRAME_VERSION || (bytes.p[13] & ~(int)FRAME_F_TIME)) {
        return "its version is not known";
    }
    f->n = (uint32_t)bytes.n;
    f->timed = bytes.p[13] & FRAME_F_TIME;
    f->columns = u16_at(bytes.p + 14);
    f->rows = u32_at(bytes.p + 16);
    if (f->rows == 0 || f->rows > BATCH_ROWS) {
        return "its number of rows is wrong";
    }
    if (f->columns > (f->n - FRAME_HEADER) / FRAME_COLUMN) {
        return "its columns are cut off";
    }
    return NULL;
}

static bool inside(const struct frame *f, uint32_t offset, size_t n, uint32_t align)
{
    return offset >= FRAME_HEADER && offset % align == 0 && offset <= f->n && n <= f->n - offset;
}

static size_t width_of(enum frame_type t)
{
    return t == FRAME_BOOL ? 1 : t >= FRAME_TEXT ? 4 : 8;
}

static bool ends_ascend(const struct frame *f, const struct frame_column *c)
{
    uint32_t last = 0, bad = 0;
    for (uint32_t i = 0; i < f->rows; i++) {
        uint32_t end = u32_at(c->data + (size_t)i * 4);
        bad |= end < last;
        last = end;
    }
    return !bad && last <= c->texts.n;
}

/* Column i, of which all lies inside the frame. NULL or what is wrong. */
static const char *read_column(const struct frame *f, uint32_t i, struct frame_column *c)
{
    const char *p = f->p + FRAME_HEADER + (size_t)i * FRAME_COLUMN;
    uint32_t missing = u32_at(p + 12), texts = u32_at(p + 16), texts_n = u32_at(p + 20);
    c->type = (enum frame_type)p[6];
    if (c->type < FRAME_INT || c->type > FRAME_ANY) {
        return "the type of a column is not known";
    }
    bool text = c->type >= FRAME_TEXT;
    size_t width = width_of(c->type);
    if (!inside(f, u32_at(p), u16_at(p + 4), 1) ||
        !inside(f, u32_at(p + 8), f->rows * width, (uint32_t)width) ||
        (missing && !inside(f, missing, ((size_t)f->rows + 63) / 64 * 8, 8)) ||
        (text && !inside(f, texts, texts_n, 1))) {
        return "a column lies outside of it";
    }
    c->name = str_n(f->p + u32_at(p), u16_at(p + 4));
    c->data = f->p + u32_at(p + 8);
    c->missing = missing ? (const uint64_t *)(const void *)(f->p + missing) : NULL;
    c->texts = text ? str_n(f->p + texts, texts_n) : STR_NULL;
    if (!utf8_valid(c->name) || (text && !ends_ascend(f, c)) ||
        (c->type == FRAME_TEXT && !utf8_valid(c->texts))) {
        return "a text of it is broken";
    }
    return NULL;
}

static bool misses(const struct frame_column *c, uint32_t row)
{
    return c->missing && (c->missing[row / 64] >> (row % 64) & 1);
}

/* ---- values ---- */

static struct value any_value(struct arena *a, struct str text)
{
    struct json *j;
    return json_parse(a, text, NULL, &j, NULL) == 0 ? value_from_json(a, j) : VALUE_OF_NULL;
}

static struct value value_at(struct arena *a, const struct frame_column *c, uint32_t row)
{
    struct value v = {.type = VALUE_ABSENT};
    if (misses(c, row)) {
        return v;
    }
    if (c->type < FRAME_TEXT) {
        const char *p = c->data + (size_t)row * width_of(c->type);
        if (c->type == FRAME_BOOL) {
            return value_bool(*p != 0);
        }
        v.type = c->type == FRAME_INT     ? VALUE_INT
                 : c->type == FRAME_FLOAT ? VALUE_FLOAT
                                          : VALUE_TIME;
        memcpy(&v.i, p, sizeof(v.i));
        return v;
    }
    uint32_t from = row ? u32_at(c->data + (size_t)(row - 1) * 4) : 0;
    struct str text = str_n(c->texts.p + from, u32_at(c->data + (size_t)row * 4) - from);
    if (c->type == FRAME_ANY) {
        return any_value(a, text);
    }
    v = value_string(text);
    v.type = c->type == FRAME_BYTES ? VALUE_BYTES : VALUE_STRING;
    return v;
}

/* ---- columns ---- */

static struct value *texts_of(struct arena *a, const struct frame *f, const struct frame_column *c)
{
    struct value *v = arena_alloc(a, BATCH_ROWS * sizeof(*v));
    uint32_t type = c->type == FRAME_TEXT ? VALUE_STRING : VALUE_BYTES, from = 0;
    for (uint32_t i = 0; v && i < f->rows; i++) {
        uint32_t to = u32_at(c->data + (size_t)i * 4);
        v[i] = (struct value){
            .type = misses(c, i) ? VALUE_ABSENT : type, .n = to - from, .s = c->texts.p + from};
        from = to;
    }
    return v;
}

static struct value *values_of(struct arena *a, const struct frame *f, const struct frame_column *c)
{
    if (c->type == FRAME_TEXT || c->type == FRAME_BYTES) {
        return texts_of(a, f, c);
    }
    struct value *v = arena_alloc(a, BATCH_ROWS * sizeof(*v));
    for (uint32_t i = 0; v && i < f->rows; i++) {
        v[i] = value_at(a, c, i);
    }
    return v;
}

/* A typed column: in place when the frame is full, as then nothing is added behind. */
static bool typed_column(struct arena *a, const struct frame *f, const struct frame_column *c,
                         struct column *ret)
{
    size_t width = width_of(c->type);
    ret->kind = c->type == FRAME_INT     ? COLUMN_INT
                : c->type == FRAME_FLOAT ? COLUMN_FLOAT
                                         : COLUMN_BOOL;
    if (f->rows == BATCH_ROWS) {
        ret->v = (struct value *)(void *)c->data;
        ret->missing = (uint64_t *)c->missing;
        return true;
    }
    char *data = arena_alloc(a, BATCH_ROWS * width + BATCH_ROWS / 8); /* with bits, as in fill.c */
    if (!data) {
        return false;
    }
    memcpy(data, c->data, f->rows * width);
    ret->v = (struct value *)(void *)data;
    if (c->missing) {
        ret->missing = memset(data + BATCH_ROWS * width, 0, BATCH_ROWS / 8);
        memcpy(ret->missing, c->missing, ((size_t)f->rows + 63) / 64 * 8);
    }
    return true;
}

static bool take_column(struct fill *fill, const struct frame *f, const struct frame_column *c)
{
    uint32_t slot = fill_slot(fill, c->name);
    struct arena *a = &fill->b->arena;
    if (slot >= fill->columns) {
        return true;
    }
    struct column *column = &fill->b->columns[slot];
    fill->filled[slot] = f->rows;
    if (c->type == FRAME_INT || c->type == FRAME_FLOAT || c->type == FRAME_BOOL) {
        return typed_column(a, f, c, column);
    }
    column->v = values_of(a, f, c);
    column->kind = COLUMN_VALUE;
    return column->v != NULL;
}

/* ---- rows ---- */

static struct value whole_row(struct arena *a, const struct frame *f, const struct frame_column *c,
                              uint32_t row)
{
    struct value_member *m = arena_alloc(a, f->columns * sizeof(*m));
    uint32_t n = 0;
    for (uint32_t i = 0; m && i < f->columns; i++) {
        m[n] = (struct value_member){c[i].name, value_at(a, &c[i], row)};
        n += m[n].value.type != VALUE_ABSENT;
    }
    return (struct value){.type = VALUE_OBJECT, .n = n, .members = m};
}

/* Where types are declared rows may be refused, and whole events are wanted row by row. */
static int fill_by_values(struct decoder *d, const struct frame *f, const struct frame_column *c)
{
    struct fill *fill = &d->fill;
    int rc = 0;
    for (uint32_t row = 0; rc == 0 && row < f->rows; row++) {
        struct value whole = {.type = VALUE_ABSENT};
        fill_row(fill);
        for (uint32_t i = 0; i < f->columns; i++) {
            uint32_t slot = fill_slot(fill, c[i].name);
            struct value v = value_at(&fill->b->arena, &c[i], row);
            if (slot != FILL_NOWHERE) {
                fill_value(fill, slot, &v);
            }
        }
        if (fill->b->whole) {
            whole = whole_row(&fill->b->arena, f, c, row);
        }
        uint32_t before = fill->b->rows;
        rc = decoder_end_row(d, &whole);
        if (rc == 0 && fill->b->rows > before && f->timed && fill->time_slot == FILL_NOWHERE &&
            !misses(&c[0], row)) {
            memcpy(&fill->b->time_us[before], c[0].data + (size_t)row * 8, 8);
        }
    }
    return rc;
}

static int fill_columns(struct decoder *d, const struct frame *f, const struct frame_column *c)
{
    struct fill *fill = &d->fill;
    fill_row(fill);
    for (uint32_t i = 0; i < f->columns; i++) {
        if (!take_column(fill, f, &c[i])) {
            return -E_LIMIT;
        }
    }
    int rc = fill_end_rows(fill, d->payload, f->rows);
    for (uint32_t row = 0; rc == 0 && f->timed && row < f->rows; row++) {
        if (!misses(&c[0], row)) {
            memcpy(&fill->b->time_us[row], c[0].data + (size_t)row * 8, 8);
        }
    }
    return rc;
}

static void refuse(struct decoder *d, const char *why)
{
    struct err err;
    err_set(&err, -E_PROTO, "the frame is refused: %s", why);
    decoder_refuse(d, &err);
}

/* The frame's bytes where its columns may stay. */
static const char *settle(struct decoder *d)
{
    struct str bytes = d->payload->bytes;
    bool aligned = (uintptr_t)bytes.p % 8 == 0;
    return d->payload->stable && aligned ? bytes.p : arena_dup(&d->fill.b->arena, bytes.p, bytes.n);
}

static int decode(struct decoder *d)
{
    struct frame f = {.n = 0};
    const char *why = read_header(d->payload->bytes, &f);
    if (why) {
        refuse(d, why);
        return 1;
    }
    if (d->fill.b->rows > 0) {
        return 0; /* a frame has a batch of its own */
    }
    f.p = settle(d);
    struct frame_column *c = arena_alloc(&d->fill.b->arena, f.columns * sizeof(*c));
    if (!f.p || !c) {
        return -E_LIMIT;
    }
    for (uint32_t i = 0; !why && i < f.columns; i++) {
        why = read_column(&f, i, &c[i]);
    }
    if (!why && f.timed && (f.columns == 0 || c[0].type != FRAME_TIME)) {
        why = "it has no event time";
    }
    if (why) {
        refuse(d, why);
        return 1;
    }
    bool by_values =
        d->fill.declared || d->fill.time_slot != FILL_NOWHERE || d->fill.b->whole != NULL;
    int rc = by_values ? fill_by_values(d, &f, c) : fill_columns(d, &f, c);
    if (rc < 0) {
        d->fill.b->rows = 0; /* a frame comes entirely or not at all */
        return rc;
    }
    return 1;
}

const struct decoder_ops decode_batch = {
    .size = sizeof(struct decoder),
    .decode = decode,
};

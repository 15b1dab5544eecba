/* SPDX-License-Identifier: Apache-2.0 */
/* Results as frames of columns; see frame.h. Results with spread columns are not of this kind. */
#include "base/crc.h"
#include "base/limits.h"
#include "base/mem.h"
#include "encoder_private.h"
#include "frame.h"

struct part { /* of a batch that becomes a frame */
    const struct batch *b;
    uint32_t first, n;
};

/* A type that holds all values of the column; FRAME_ANY where they differ. */
static enum frame_type type_of(const struct part *p, const struct column *c)
{
    static const enum frame_type types[VALUE_TYPE_NR] = {
        [VALUE_BOOL] = FRAME_BOOL, [VALUE_INT] = FRAME_INT,     [VALUE_FLOAT] = FRAME_FLOAT,
        [VALUE_TIME] = FRAME_TIME, [VALUE_STRING] = FRAME_TEXT, [VALUE_BYTES] = FRAME_BYTES,
        [VALUE_NULL] = FRAME_ANY,  [VALUE_ARRAY] = FRAME_ANY,   [VALUE_OBJECT] = FRAME_ANY};
    enum frame_type t = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        struct value v;
        column_get(c, p->first + i, &v);
        enum frame_type one = types[v.type];
        if (one == 0) {
            continue;
        }
        t = t == 0 || t == one ? one : FRAME_ANY;
    }
    return t == 0 ? FRAME_ANY : t;
}

static void align(struct buf *out, size_t from)
{
    static const char zeros[8];
    (void)buf_append(out, zeros, (8 - (buf_len(out) - from) % 8) % 8); /* a failure sticks */
}

static void put_u32(struct buf *out, uint32_t v)
{
    (void)buf_append(out, &v, sizeof(v)); /* a failure sticks */
}

static void set_u32(struct buf *out, size_t at, uint32_t v)
{
    if (!buf_failed(out)) {
        memcpy(out->data + out->start + at, &v, sizeof(v));
    }
}

static bool put_missing(const struct part *p, const struct column *c, struct buf *out)
{
    uint64_t bits[BATCH_ROWS / 64] = {0}, any = 0;
    for (uint32_t i = 0; i < p->n; i++) {
        struct value v;
        column_get(c, p->first + i, &v);
        bits[i / 64] |= (uint64_t)(v.type == VALUE_ABSENT) << (i % 64);
    }
    for (uint32_t i = 0; i < BATCH_ROWS / 64; i++) {
        any |= bits[i];
    }
    if (any) {
        (void)buf_append(out, bits, ((size_t)p->n + 63) / 64 * 8); /* a failure sticks */
    }
    return any != 0;
}

static void put_numbers(const struct part *p, const struct column *c, enum frame_type t,
                        struct buf *out)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct value v;
        column_get(c, p->first + i, &v);
        if (v.type == VALUE_ABSENT) {
            v.i = 0;
        }
        if (t == FRAME_BOOL) {
            (void)buf_putc(out, (char)(v.type != VALUE_ABSENT && v.b)); /* failures stick */
        } else {
            (void)buf_append(out, &v.i, sizeof(v.i));
        }
    }
}

/* Texts go to a buffer of their own, their ends to the frame. */
static void put_texts(const struct part *p, const struct column *c, enum frame_type t,
                      struct buf *texts, struct buf *out)
{
    for (uint32_t i = 0; i < p->n; i++) {
        struct value v;
        column_get(c, p->first + i, &v);
        if (v.type != VALUE_ABSENT && t == FRAME_ANY) {
            (void)value_print_json(texts, &v); /* failures stick */
        } else if (v.type != VALUE_ABSENT) {
            (void)buf_append_str(texts, value_text(&v));
        }
        put_u32(out, (uint32_t)buf_len(texts));
    }
}

static void put_column(const struct part *p, uint32_t i, size_t frame, struct buf *out)
{
    CLEANUP(buf_finip) struct buf texts = BUF_INIT;
    const struct column *c = &p->b->columns[i];
    struct str name = p->b->shape->fields[i].name;
    size_t entry = frame + FRAME_HEADER + (size_t)i * FRAME_COLUMN;
    enum frame_type t = type_of(p, c);
    set_u32(out, entry, (uint32_t)(buf_len(out) - frame));
    set_u32(out, entry + 4, (uint32_t)name.n | (uint32_t)t << 16);
    (void)buf_append_str(out, name); /* failures stick */
    align(out, frame);
    size_t missing = buf_len(out) - frame;
    if (put_missing(p, c, out)) {
        set_u32(out, entry + 12, (uint32_t)missing);
    }
    set_u32(out, entry + 8, (uint32_t)(buf_len(out) - frame));
    if (t < FRAME_TEXT) {
        put_numbers(p, c, t, out);
    } else {
        put_texts(p, c, t, &texts, out);
        set_u32(out, entry + 16, (uint32_t)(buf_len(out) - frame));
        set_u32(out, entry + 20, (uint32_t)buf_len(&texts));
        (void)buf_append_str(out, buf_str(&texts));
        out->failed |= buf_failed(&texts);
    }
    align(out, frame);
}

static void put_frame(const struct part *p, struct buf *out)
{
    static const char zeros[FRAME_COLUMN];
    size_t frame = buf_len(out);
    put_u32(out, FRAME_MAGIC);
    put_u32(out, 0);
    put_u32(out, 0);
    put_u32(out, FRAME_VERSION | p->b->n_columns << 16);
    put_u32(out, p->n);
    put_u32(out, 0);
    for (uint32_t i = 0; i < p->b->n_columns; i++) {
        (void)buf_append(out, zeros, sizeof(zeros)); /* failures stick */
    }
    for (uint32_t i = 0; i < p->b->n_columns; i++) {
        put_column(p, i, frame, out);
    }
    if (!buf_failed(out)) {
        uint32_t n = (uint32_t)(buf_len(out) - frame);
        set_u32(out, frame + 4, n);
        set_u32(out, frame + 8, crc32c(0, buf_data(out) + frame + 12, n - 12));
    }
}

static int encode(struct encoder *e, uint32_t first, uint32_t n, bool array, struct buf *out,
                  struct err *err)
{
    struct part p = {.b = e->batch, .first = first, .n = n};
    size_t before = buf_len(out);
    if (encoder_spreads(e->batch)) {
        return err_set(err, -E_INVAL, "the format batch wants columns with names rather than *");
    }
    for (uint32_t i = 0; i < e->batch->n_columns; i++) {
        if (e->batch->shape->fields[i].name.n > UINT16_MAX) {
            return err_set(err, -E_INVAL, "the name of column %u is too long for a frame", i);
        }
    }
    if (n == 0) {
        return 0;
    }
    put_frame(&p, out);
    return buf_len(out) - before <= LIMIT_EVENT_BYTES
               ? 0
               : err_set(err, -E_LIMIT, "a frame of more than %d bytes", LIMIT_EVENT_BYTES);
}

const struct encoder_ops encode_batch = {
    .size = sizeof(struct encoder),
    .encode = encode,
};

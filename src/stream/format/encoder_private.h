/* SPDX-License-Identifier: Apache-2.0 */
/* What the encoders of all formats share; see format.h. */
#ifndef STREAM_FORMAT_ENCODER_PRIVATE_H
#define STREAM_FORMAT_ENCODER_PRIVATE_H

#include "format.h"

struct encoder {
    const struct encoder_ops *ops;
    struct format_options opts; /* texts are the encoder's own */
    struct arena scratch;       /* cleared before every row */
    const struct batch *batch;  /* that is encoded */
    bool nulls;
};

/* A format. The framework allocates `size` bytes, which begin with struct encoder. */
struct encoder_ops {
    size_t size;
    int (*init)(struct encoder *e, struct err *err); /* NULL = nothing to do */
    void (*fini)(struct encoder *e);                 /* also after a failed init */
    /* Rows [first, first + n) of e->batch. 0 or a negative code with err set. */
    int (*encode)(struct encoder *e, uint32_t first, uint32_t n, bool array, struct buf *out,
                  struct err *err);
};

extern const struct encoder_ops encode_json, encode_delimited, encode_binary, encode_urlencoded,
    encode_protobuf, encode_batch;

/* Whether the object of a row is to be made by batch_object(): some column is spread. */
bool encoder_spreads(const struct batch *b);

/* Text of a cell as CSV and forms have it: no text for null, JSON for containers. */
int encoder_text(struct buf *out, const struct value *v);

/* ---- writing into a buffer through a pointer ---- */

struct writer {
    struct buf *out;
    char *start, *at, *end; /* of the room that is reserved */
};

/* Room for n more bytes at w->at; false when memory is short. */
bool writer_grow(struct writer *w, size_t n);
static inline bool writer_need(struct writer *w, size_t n)
{
    return __builtin_expect((size_t)(w->end - w->at) >= n, 1) || writer_grow(w, n);
}
void writer_begin(struct writer *w, struct buf *out);
void writer_end(struct writer *w); /* commits what was written */

#define WRITER_NUMBER 32 /* room that a number needs */

/* The JSON of a value, nested containers included; false when memory is short. */
bool writer_json(struct writer *w, const struct value *v);
bool writer_json_text(struct writer *w, struct str s); /* quoted and escaped */

#endif

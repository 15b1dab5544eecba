/* SPDX-License-Identifier: Apache-2.0 */
/* What the decoders of all formats share; see format.h. */
#ifndef STREAM_FORMAT_DECODER_PRIVATE_H
#define STREAM_FORMAT_DECODER_PRIVATE_H

#include "fill.h"

struct decoder {
    const struct decoder_ops *ops;
    struct format_options opts; /* texts are the decoder's own */
    const struct shape *shape;
    struct fill fill;
    bool told;     /* something was wrong with the payload */
    size_t inside; /* where in payloads[*at] the next event begins; 0 = at its beginning */
    decoder_error_fn *on_error;
    void *arg;
    const struct payload *payload; /* that is decoded */
};

/* A format. The framework allocates `size` bytes, which begin with struct decoder. */
struct decoder_ops {
    size_t size;
    int (*init)(struct decoder *d, struct err *err); /* NULL = nothing to do */
    void (*fini)(struct decoder *d);                 /* also after a failed init */
    void (*begin)(struct decoder *d);                /* before the payloads of a call; NULL */
    /* Events of d->payload from d->inside on into d->fill until the batch is full. 1 = the payload
     * is done, 0 = the batch is full and d->inside says where to go on, -ENOMEM, -E_LIMIT. What is
     * no event is told by decoder_refuse(). */
    int (*decode)(struct decoder *d);
};

extern const struct decoder_ops decode_json, decode_delimited, decode_binary, decode_urlencoded,
    decode_protobuf, decode_batch;

/* Tells what is wrong with the payload, once a payload. */
void decoder_refuse(struct decoder *d, const struct err *err);
/* Ends the row; tells when it was refused. 0, or -E_LIMIT. */
int decoder_end_row(struct decoder *d, const struct value *whole);

static inline bool decoder_full(const struct decoder *d)
{
    return d->fill.b->rows == BATCH_ROWS;
}

#endif

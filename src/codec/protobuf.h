/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The wire format of Protocol Buffers (protobuf.dev/programming-guides/encoding): a reader over
 * bytes that are there completely, and a writer into a buffer. Nothing is allocated by the reader.
 *
 *     varint: 7 bits a byte, least first     field: varint (number << 3 | wire type), then
 *     0 varint | 1 eight bytes | 2 varint length and so many bytes | 5 four bytes
 *
 * Groups (wire types 3 and 4) are refused: nobody sends them any more.
 */
#ifndef CODEC_PROTOBUF_H
#define CODEC_PROTOBUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_BYTES = 2, PB_FIXED32 = 5 };

struct pb_reader {
    const uint8_t *at, *end;
};

struct pb_field {
    uint32_t number; /* >= 1 */
    enum pb_wire wire;
    uint64_t value;   /* all but PB_BYTES */
    struct str bytes; /* PB_BYTES; borrowed from the input */
};

static inline struct pb_reader pb_reader_of(struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    return (struct pb_reader){p, p ? p + s.n : NULL};
}

/* The next field: 1, 0 at the end, -E_PROTO on malformed bytes (the reader is then of no use). */
int pb_next(struct pb_reader *r, struct pb_field *ret);
/* One bare varint, as packed repeated fields hold them: the same results. */
int pb_next_varint(struct pb_reader *r, uint64_t *ret);

/* ---- writing; a failure sticks to the buffer ---- */

void pb_put_varint(struct buf *out, uint64_t v);
void pb_put_uint(struct buf *out, uint32_t number, uint64_t v);
void pb_put_bytes(struct buf *out, uint32_t number, struct str bytes); /* also when empty */
/* A message inside a message: pb_open() leaves room for the length, pb_close() fills it in. Returns
 * what pb_close() needs. */
size_t pb_open(struct buf *out, uint32_t number);
void pb_close(struct buf *out, size_t mark);

#endif

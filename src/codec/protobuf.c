/* SPDX-License-Identifier: Apache-2.0 */
/* The wire format of Protocol Buffers: see protobuf.h. */
#include "protobuf.h"

#include <string.h>

#include "base/err.h"

/* The longest length that pb_close() writes: 4 bytes hold 2^28 - 1. */
#define LENGTH_BYTES 4

int pb_next_varint(struct pb_reader *r, uint64_t *ret)
{
    uint64_t v = 0;
    if (r->at == r->end) {
        return 0;
    }
    for (unsigned shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t b = *r->at++;
        if (shift == 63 && b > 1) {
            return -E_PROTO;
        }
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return 1;
        }
    }
    return -E_PROTO;
}

static int fixed(struct pb_reader *r, size_t n, uint64_t *ret)
{
    if ((size_t)(r->end - r->at) < n) {
        return -E_PROTO;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)r->at[i] << (8 * i);
    }
    r->at += n;
    *ret = v;
    return 1;
}

static int bytes(struct pb_reader *r, struct str *ret)
{
    uint64_t n;
    if (pb_next_varint(r, &n) != 1 || n > (uint64_t)(r->end - r->at)) {
        return -E_PROTO;
    }
    *ret = str_n((const char *)r->at, (size_t)n);
    r->at += n;
    return 1;
}

int pb_next(struct pb_reader *r, struct pb_field *ret)
{
    uint64_t tag;
    int rc = pb_next_varint(r, &tag);
    if (rc != 1) {
        return rc;
    }
    *ret = (struct pb_field){.number = (uint32_t)(tag >> 3), .wire = (enum pb_wire)(tag & 7)};
    if (tag >> 3 == 0 || tag >> 32 != 0) {
        return -E_PROTO;
    }
    switch (ret->wire) {
    case PB_VARINT:
        return pb_next_varint(r, &ret->value) == 1 ? 1 : -E_PROTO;
    case PB_FIXED64:
        return fixed(r, 8, &ret->value);
    case PB_FIXED32:
        return fixed(r, 4, &ret->value);
    case PB_BYTES:
        return bytes(r, &ret->bytes);
    default:
        return -E_PROTO;
    }
}

/* ---- writing ---- */

void pb_put_varint(struct buf *out, uint64_t v)
{
    for (; v >= 0x80; v >>= 7) {
        buf_putc(out, (char)(v | 0x80));
    }
    buf_putc(out, (char)v);
}

void pb_put_uint(struct buf *out, uint32_t number, uint64_t v)
{
    pb_put_varint(out, (uint64_t)number << 3 | PB_VARINT);
    pb_put_varint(out, v);
}

void pb_put_bytes(struct buf *out, uint32_t number, struct str b)
{
    pb_put_varint(out, (uint64_t)number << 3 | PB_BYTES);
    pb_put_varint(out, b.n);
    (void)buf_append_str(out, b); /* a failure sticks */
}

size_t pb_open(struct buf *out, uint32_t number)
{
    static const char room[LENGTH_BYTES];
    pb_put_varint(out, (uint64_t)number << 3 | PB_BYTES);
    (void)buf_append(out, room, sizeof(room)); /* a failure sticks */
    return buf_len(out);
}

/* The length is written in LENGTH_BYTES bytes whatever it is: a varint may have zero digits on top.
 */
void pb_close(struct buf *out, size_t mark)
{
    if (buf_failed(out)) {
        return;
    }
    size_t n = buf_len(out) - mark;
    uint8_t *at = (uint8_t *)out->data + out->start + mark - LENGTH_BYTES;
    for (int i = 0; i < LENGTH_BYTES; i++, n >>= 7) {
        at[i] = (uint8_t)((n & 0x7f) | (i < LENGTH_BYTES - 1 ? 0x80 : 0));
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes in the compressed forms that rules know: zlib (RFC 1950), flate (RFC 1951), gzip (RFC
 * 1952), zstd (RFC 8878). */
#ifndef STREAM_FN_COMPRESS_H
#define STREAM_FN_COMPRESS_H

#include "base/buf.h"
#include "base/err.h"

enum compress_method { COMPRESS_ZLIB, COMPRESS_FLATE, COMPRESS_GZIP, COMPRESS_ZSTD };

/* By name; -E_INVAL "unsupported compressor: NAME". */
int compress_method(struct str name, enum compress_method *ret, struct err *err);
/* Append; the limit of the buffer bounds the output (-E_LIMIT, also when memory is short).
 * -E_INVAL: what cannot be read. */
int compress_bytes(struct buf *out, enum compress_method m, struct str in, struct err *err);
int decompress_bytes(struct buf *out, enum compress_method m, struct str in, struct err *err);

#endif

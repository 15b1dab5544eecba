/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Schemas as people write them: the text of one .proto file to the FileDescriptorSet that decoders
 * and encoders take (format.h). proto3 and proto2 (a text without `syntax` is proto2): messages,
 * also inside each other, with scalar, enum, message, repeated, map and oneof fields; options are
 * read over but for `packed`; services are read over. What a single text cannot say, or nobody
 * writes any more, is refused: imports, groups, extensions, editions.
 * Specification: protobuf.dev, "Protocol Buffers Language Specification" of proto3 and proto2.
 */
#ifndef STREAM_FORMAT_PROTOBUF_TEXT_H
#define STREAM_FORMAT_PROTOBUF_TEXT_H

#include "base/buf.h"
#include "base/err.h"

/* Appends the set to out. -E_INVAL with "line 3: ...", -E_LIMIT, -E_NOMEM. */
int protobuf_text_compile(struct str text, struct buf *out, struct err *err);

#endif

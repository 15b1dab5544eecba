/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The format batch: up to BATCH_ROWS events in one frame of columns, for local sources that can do
 * better than text. All numbers are little endian; offsets count from the beginning of the frame
 * and are multiples of 8 where they lead to numbers of 8 bytes. A frame on a stream is taken off by
 * its length.
 *
 *      0  u32  magic "SVB1"
 *      4  u32  length of the frame in bytes, a multiple of 8
 *      8  u32  CRC-32C of the bytes from 12 to the end
 *     12  u8   version, 1
 *     13  u8   flags: 1 = the first column is the event time, of type 4
 *     14  u16  columns
 *     16  u32  rows, 1 to 1024
 *     20  u32  0
 *     24       columns * 32 bytes:
 *                0  u32  offset of the name, UTF-8
 *                4  u16  bytes of the name
 *                6  u8   type
 *                7  u8   0
 *                8  u32  offset of the data
 *               12  u32  offset of the bitmap of missing values, 0 = every row has a value
 *               16  u32  offset of the texts (types 5 to 7), else 0
 *               20  u32  bytes of the texts
 *               24  u64  0
 *
 *      type  1 integer  i64 a row             5 text   u32 ends of the texts, one a row
 *            2 float    IEEE 754 double       6 bytes  as 5
 *            3 boolean  a byte, 0 or 1        7 any    as 5, texts are JSON
 *            4 time     i64 microseconds since 1970
 *
 * The bitmap has a u64 for every 64 rows, row 0 in the lowest bit; set = the row lacks the field.
 * A text begins where that of the row before ends, the first at the offset of the texts.
 *
 * A text of type 7 that is no JSON is null.
 *
 * A new version is a new number at 12; readers refuse what they do not know.
 */
#ifndef STREAM_FORMAT_FRAME_H
#define STREAM_FORMAT_FRAME_H

#include "format.h"

#define FRAME_MAGIC 0x31425653u
#define FRAME_VERSION 1
#define FRAME_HEADER 24
#define FRAME_COLUMN 32
#define FRAME_F_TIME 1u

enum frame_type {
    FRAME_INT = 1,
    FRAME_FLOAT,
    FRAME_BOOL,
    FRAME_TIME,
    FRAME_TEXT,
    FRAME_BYTES,
    FRAME_ANY
};

/* The length of the frame at the beginning of what a stream has brought so far: > 0, 0 = more bytes
 * are needed to know, -E_PROTO = no frame. At most LIMIT_EVENT_BYTES. */
int64_t frame_length(struct str bytes);

#endif

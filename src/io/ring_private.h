/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of the shared memory of a ring. For ring_reader.c, ring_writer.c and their tests.
 *
 *      page 0   written by the reader     magic, size, how far it has read, asleep, control
 *      page 1   written by the writer     how far it has written, generation, dropped
 *      then     the records, mapped twice in a row, so that every record is contiguous
 *
 * Positions count bytes since the ring was made and never go back; a record lies at its position
 * modulo the capacity:
 *
 *      u32 length, u32 RING_RECORD, bytes, zero to seven bytes to a multiple of 8
 *
 * The reader gives memory back in whole chunks, after it has punched a hole there: what was read
 * costs no memory, and the writer never writes where a hole is being made.
 */
#ifndef IO_RING_PRIVATE_H
#define IO_RING_PRIVATE_H

#include <stdatomic.h>

#include "ring.h"

#define RING_MAGIC 0x52564c53u /* "SLVR" */
#define RING_PAGE 4096u
#define RING_DATA ((size_t)2 * RING_PAGE)
#define RING_HEAD 8u

#define RING_RECORD 0x7265u

struct ring_page_reader {
    uint32_t magic;
    uint32_t version;
    uint64_t capacity;
    _Atomic uint64_t read; /* a multiple of the chunk */
    _Atomic uint32_t asleep;
    _Atomic uint64_t control;
};

struct ring_page_writer {
    _Atomic uint64_t written;
    _Atomic uint64_t dropped;
    _Atomic uint32_t generation;
};

static inline uint64_t ring_round(uint64_t n)
{
    return (n + 7) & ~(uint64_t)7;
}

static inline uint64_t ring_chunk(size_t capacity)
{
    return capacity / 16 < (256 << 10) ? capacity / 16 : 256 << 10;
}

/* Maps the two pages and twice the data. NULL and errno on failure. */
void *ring_map(int fd, size_t capacity);
void ring_unmap(void *base, size_t capacity);

#endif

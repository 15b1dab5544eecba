/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bounded ring of byte records between two processes: one writer, one reader, shared memory.
 *
 * The reader makes it (a sealed memfd and an eventfd, both close-on-exec) and hands the two
 * descriptors to the writer's process. Neither side ever waits for the other: a record that does
 * not fit is dropped and counted by the writer. The writer rings the bell (the eventfd) only when
 * the reader said that it sleeps.
 *
 * Each side may be killed at any moment and come back: a half-written record was never published; a
 * new writer continues with a new generation; the reader takes everything that it finds in the
 * memory for outside bytes: it copies records out before it looks at them and checks every length
 * and position, and skips what makes no sense (ring_stats.broken). One thread a side.
 */
#ifndef IO_RING_H
#define IO_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/str.h"

struct ring_reader;
struct ring_writer;

/* ---- the reading side ---- */

struct ring_stats {
    uint64_t records, bytes; /* read */
    uint64_t dropped;        /* by all writers, because the ring was full */
    uint64_t broken;         /* times that the content made no sense and was skipped */
    uint32_t generation;     /* of the writer: 0 = none yet, +1 with each that opens the ring */
};

/* capacity is rounded up to a power of two, at least 64 kB, at most LIMIT_RING_BYTES. What was
 * read costs no memory. */
int ring_reader_new(size_t capacity, struct ring_reader **ret, struct err *err);
void ring_reader_free(struct ring_reader *r);      /* NULL is fine */
int ring_reader_fd(const struct ring_reader *r);   /* of the memory, for the writer's process */
int ring_reader_bell(const struct ring_reader *r); /* readable when there is something to read */

/* Up to max records and about 1 MB; a record of any size comes alone. Their bytes are valid until
 * the next ring_read(). 0: the ring is empty. */
size_t ring_read(struct ring_reader *r, struct str *ret_records, size_t max);
/* Before waiting for the bell. True: it will ring with the next record. False: something came
 * meanwhile, read on. */
bool ring_sleep(struct ring_reader *r);
void ring_bell_clear(struct ring_reader *r); /* after the bell rang */
void ring_reader_stats(struct ring_reader *r, struct ring_stats *ret);
/* A number for the writer, which sees it before each record it writes: "read your settings again".
 */
void ring_control_set(struct ring_reader *r, uint64_t value);

/* ---- the writing side ---- */

/* Both descriptors stay the caller's and must stay open; anything but a sound ring is refused. */
int ring_writer_open(int fd, int bell, struct ring_writer **ret, struct err *err);
void ring_writer_close(struct ring_writer *w); /* NULL is fine */
/* Writes one record made of n pieces. 0; -E_AGAIN: full, dropped and counted; -E_TOOBIG: more than
 * the ring can ever hold (half its capacity), dropped and counted. Never waits. */
int ring_write(struct ring_writer *w, const struct iovec *pieces, size_t n);
uint64_t ring_control(const struct ring_writer *w);

#endif

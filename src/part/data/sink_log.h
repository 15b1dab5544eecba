/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable queue of messages on disk: segment files in a folder, appended to, read in order, and
 * removed when all their messages were acknowledged.
 *
 *   FOLDER/00000000000000000001.log    records from sequence 1 on
 *   FOLDER/00000000000000004097.log    ...
 *   FOLDER/acknowledged                text: the highest sequence that is done with, in order
 *
 *   record:  length u32 | crc32c u32 | sequence u64 | bytes        (little endian)
 *            the checksum covers sequence and bytes
 *
 * Invariants:
 *  1. What sink_log_append() took is on the disk when sink_log_sync() returned 0.
 *  2. Sequences have no gaps, except where a damaged record was skipped (counted in `damaged`).
 *  3. A torn tail, as a power cut leaves it, is cut off at the next opening; nothing before it is
 *     lost.
 *  4. Over its limit in bytes the oldest segment goes, whole, counted in `dropped`.
 *
 * Synchronous, for the loop thread: an append is one write(2) into the page cache; sync is one
 * fdatasync(2) for all appends before it.
 */
#ifndef PART_DATA_SINK_LOG_H
#define PART_DATA_SINK_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct sink_log;

struct sink_log_stats {
    uint64_t first, next;      /* sequences: oldest that is not acknowledged; of the next append */
    uint64_t bytes;            /* on disk */
    uint64_t dropped, damaged; /* messages */
};

/* Opens or makes the folder. max_bytes 0 = no limit. -E_IO, -E_NOSPACE, ... with a sentence. */
int sink_log_open(const char *folder, uint64_t max_bytes, struct sink_log **ret, struct err *err);
void sink_log_close(struct sink_log *l); /* NULL is fine; syncs what it can */
/* Removes the folder and all in it. */
void sink_log_destroy(struct sink_log *l);

/* Takes a message; *ret_sequence is its number. -E_NOSPACE and others leave the log as it was. */
int sink_log_append(struct sink_log *l, struct str bytes, uint64_t *ret_sequence, struct err *err);
int sink_log_sync(struct sink_log *l, struct err *err);
/* The message of a sequence, or the next one after it where it is gone: into out (cleared first).
 * 1 with *ret_sequence; 0: there is none yet. Reading in order is cheap. */
int sink_log_read(struct sink_log *l, uint64_t sequence, struct buf *out, uint64_t *ret_sequence,
                  struct err *err);
/* All up to this sequence are done with. The file `acknowledged` is written at most once a second
 * and at the close: after a crash some messages are sent again. */
void sink_log_acknowledge(struct sink_log *l, uint64_t sequence);
void sink_log_stats(const struct sink_log *l, struct sink_log_stats *ret);

#endif

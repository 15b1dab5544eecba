/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A durable queue of messages on disk: segment files in a folder, appended to, read in order, and
 * removed when all their messages were acknowledged.
 *
 *   FOLDER/00000000000000000001.log    records from sequence 1 on
 *   FOLDER/00000000000000004097.log    ...
 *   FOLDER/acknowledged                two slots of 4096 bytes of text, written in turn:
 *                                      "crc32c generation acknowledged epoch held_from note"
 *
 *   record:  length u32 | crc32c u32 | sequence u64 | bytes        (little endian)
 *            the checksum covers sequence and bytes
 *
 * Invariants:
 *  1. What sink_log_append() took is on the disk when sink_log_sync() returned 0.
 *  2. Sequences have no gaps, except where a damaged record was skipped (counted in `damaged`).
 *  3. A torn tail, as a power cut leaves it, is cut off at the next opening; nothing before it is
 *     lost.
 *  4. Over its limit in bytes the oldest segment goes, whole, counted in `dropped`; or, where that
 *     was asked for, the append is refused.
 *  5. A segment is removed only when `acknowledged` on the disk is behind it: so a note that stands
 *     there (how long the sink's file was then) is never older than what is gone. The slots lie on
 *     the disk from the beginning: a full disk does not keep them from being written.
 *  6. epoch and sequence together name a message for all time: a folder that is made anew has
 *     another epoch.
 *
 * A transaction: who keeps a checkpoint elsewhere asks sink_log_hold() once, writes down the
 * sequence of the last message with the checkpoint, hands messages on only up to that, and after a
 * crash cuts off with sink_log_cut() what came behind it.
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
    uint64_t epoch;            /* of the folder: random, below 2^53: whole in JSON */
};

/* Text that is to stand beside what is acknowledged, appended to out (no line feed, below 3,900
 * bytes). < 0: not now, with a sentence; then nothing is written. */
typedef int sink_log_note_fn(void *arg, struct buf *out, struct err *err);

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
/* All up to this sequence are done with. The file `acknowledged` is written at most once a second,
 * when a segment is done with, and at the close: after a crash some messages are sent again. */
void sink_log_acknowledge(struct sink_log *l, uint64_t sequence);
int sink_log_settle(struct sink_log *l, struct err *err); /* writes it now; err may be NULL */
void sink_log_notes(struct sink_log *l, sink_log_note_fn *fn, void *arg); /* NULL = no more */
const char *sink_log_note(const struct sink_log *l); /* that was there at the opening; "" = none */

/* A full log refuses messages (-E_NOSPACE) and drops none. */
void sink_log_refuse(struct sink_log *l);
/* From now on messages are part of transactions; those before are not (asked for again: no change).
 */
int sink_log_hold(struct sink_log *l, struct err *err);
/* Removes the messages after a sequence, but none that is acknowledged or older than
 * sink_log_hold(); the next append is at least sequence + 1. On the disk when it returns 0. */
int sink_log_cut(struct sink_log *l, uint64_t sequence, struct err *err);
void sink_log_stats(const struct sink_log *l, struct sink_log_stats *ret);

#endif

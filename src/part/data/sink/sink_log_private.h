/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the durable queue: sink_log.c has segments and records, sink_log_mark.c what
 * is acknowledged and the cut. */
#ifndef PART_DATA_SINK_LOG_PRIVATE_H
#define PART_DATA_SINK_LOG_PRIVATE_H

#include "base/clock.h"
#include "base/list.h"
#include "sink_log.h"

struct segment {
    struct list link;
    uint64_t first; /* sequence of its first record */
    uint64_t bytes;
};

struct sink_log {
    char *folder;
    uint64_t max_bytes;
    bool refuse;          /* over max_bytes nothing is dropped: the append fails */
    struct list segments; /* oldest first */
    uint64_t bytes, next, acknowledged;
    uint64_t dropped, damaged;
    int fd;      /* of the last segment, for appending */
    bool synced; /* the folder's entry of the last segment is on disk */
    /* the place of reading */
    int read_fd;
    struct segment *read_segment;
    uint64_t read_at, read_next; /* offset; sequence that stands there, or later */
    /* the file `acknowledged` */
    int mark_fd;
    uint64_t generation; /* of the slot written last */
    uint64_t acknowledged_on_disk;
    uint64_t epoch, held_from;
    struct mono acknowledged_at;
    char *note;
    sink_log_note_fn *on_note;
    void *on_note_arg;
};

/* ---- sink_log.c ---- */

char *sink_log_path(const struct sink_log *l, uint64_t first); /* of a segment; heap */
struct segment *sink_log_first(const struct sink_log *l);
struct segment *sink_log_last(const struct sink_log *l);
void sink_log_remove(struct sink_log *l, struct segment *s); /* with its file */
void sink_log_close_fds(struct sink_log *l);                 /* opened again when they are needed */
int sink_log_sync_folder(const struct sink_log *l, struct err *err);
/* The offset behind the last record of a segment whose sequence is not above `sequence`. */
int sink_log_end_of(const struct sink_log *l, const struct segment *s, uint64_t sequence,
                    uint64_t *ret_offset, struct err *err);

/* ---- sink_log_mark.c ---- */

int sink_log_read_mark(struct sink_log *l,
                       struct err *err); /* makes the file where there is none */
/* A segment is done with when the next one begins at or before what is not acknowledged on disk. */
void sink_log_tidy(struct sink_log *l);

#endif

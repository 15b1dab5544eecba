/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frames of the socket source, without any I/O: a length of 4 bytes (little endian), then so
 * many bytes, an event's.
 *
 *      +----+----+----+----+-----------------+
 *      | length, low first |  length bytes   | ...
 *      +----+----+----+----+-----------------+
 */
#ifndef PART_DATA_SOCKET_FRAMES_H
#define PART_DATA_SOCKET_FRAMES_H

#include "base/buf.h"

struct socket_frames { /* private */
    struct buf in;
    size_t at; /* what was handed out */
};

void socket_frames_init(struct socket_frames *f);
void socket_frames_fini(struct socket_frames *f);
/* What came; after it all whole frames are to be taken. -ENOMEM, -E_LIMIT. */
int socket_frames_feed(struct socket_frames *f, const char *data, size_t n);
/* 1: a frame, borrowed until the next feed; 0: more must come; -E_TOOBIG: it is longer than
 * LIMIT_EVENT_BYTES, and there is no way on. */
int socket_frames_next(struct socket_frames *f, struct str *ret);
/* Of the frame that is too large. */
uint32_t socket_frames_length(const struct socket_frames *f);

#endif

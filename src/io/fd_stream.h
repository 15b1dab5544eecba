/* SPDX-License-Identifier: Apache-2.0 */
/* A stream over a non-blocking descriptor: sockets, pipes, terminals. For src/io only. */
#ifndef IO_FD_STREAM_H
#define IO_FD_STREAM_H

#include "io/stream.h"

/* Takes fd, also on failure. wfd < 0: fd serves both directions. */
int fd_stream_new(struct io_loop *l, int fd, int wfd, enum stream_kind kind, struct stream **ret);

#endif

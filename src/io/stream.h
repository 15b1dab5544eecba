/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A bidirectional byte stream: TCP, Unix socket, pipe or terminal, TLS over one of them, a
 * WebSocket carrying bytes, an HTTP/2 stream, or what an upgraded HTTP connection turned into.
 *
 *     write ->  queue (copied; high water = caller's pause, low water = on_drain) -> peer
 *     read  <-  on_read(data) only while reading is on; data is valid within the callback
 *
 * Life: a stream is made by somebody (tcp.h, tls.h, stream_from_fd, net/), owned by one user who
 * sets the callbacks, and ends with stream_close() or stream_finish(). After either no callback
 * comes and the pointer is invalid for the caller, who may free what `arg` points to at once. Both
 * may be called inside a callback of the same stream.
 *
 * Callbacks never come inside stream_write(), stream_read_start() and the like.
 * Order of the end: on_eof (peer finished sending; writing still works) at most once; on_error (the
 * stream is dead; close it) at most once, nothing after it. While reading is off, on_read and
 * on_eof wait; on_error does not.
 */
#ifndef IO_STREAM_H
#define IO_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

struct buf;
struct io_loop;
struct stream;
struct tls_peer;

/* Any member may be NULL: data is then dropped. */
struct stream_events {
    void (*on_read)(void *arg, const char *data, size_t n); /* n > 0 */
    void (*on_eof)(void *arg);
    void (*on_error)(void *arg, int code);
    void (*on_drain)(void *arg); /* after a write that returned >= STREAM_LOW_WATER */
};

#define STREAM_LOW_WATER ((ssize_t)64 << 10)

/* ev must live as long as the stream (make it static const). */
void stream_set_events(struct stream *s, const struct stream_events *ev, void *arg);

void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s);

/*
 * Queues a copy. Returns the bytes that now wait in this stream (0 = all is gone already), or
 * -EPIPE after shutdown or failure, -ENOMEM, -E_LIMIT when more than LIMIT_WRITE_QUEUE_HARD bytes
 * waited before the call; then nothing was taken.
 * Back-pressure: a producer stops when the result is over its own high water (LIMIT_WRITE_QUEUE at
 * most) and goes on in on_drain, which comes once the queue is below STREAM_LOW_WATER again.
 * Writes of one tick leave together, in one writev or TLS record batch.
 */
ssize_t stream_write(struct stream *s, const void *data, size_t n);
ssize_t stream_writev(struct stream *s, const struct str *parts, size_t n_parts);
ssize_t stream_queued(const struct stream *s);
void stream_flush(struct stream *s); /* now instead of at the end of the tick */

void stream_shutdown(struct stream *s); /* the peer sees EOF after the queued bytes */
void stream_close(struct stream *s);    /* at once; queued bytes may be lost. NULL is fine */
/* Closes after the queue is written and the peer has closed or some seconds have passed; what still
 * comes in is dropped. The polite way to end a connection after a last message. NULL is fine. */
void stream_finish(struct stream *s);

enum stream_kind { STREAM_TCP, STREAM_UNIX, STREAM_FD, STREAM_HTTP, STREAM_PAIR };

struct stream_peer {
    enum stream_kind kind;
    char address[64]; /* "192.0.2.7:51234", "[::1]:80", "unix", "" */
    pid_t pid;        /* Unix sockets (SO_PEERCRED); else -1 */
    uid_t uid;        /* (uid_t)-1 when unknown */
    gid_t gid;
    bool tls;
    const char *alpn;            /* "h2", "http/1.1" or "" */
    const struct tls_peer *cert; /* the peer's certificate (tls.h) or NULL; lives with the stream */
};
void stream_get_peer(struct stream *s, struct stream_peer *ret);
struct io_loop *stream_loop(const struct stream *s);

/* A pipe, a terminal, a socketpair end, a FIFO. Takes fd (also on failure closes it). write_fd may
 * be another descriptor for the other direction (two pipes), or -1: fd serves both directions as
 * far as it can. EIO of a terminal whose other side is gone counts as EOF. */
int stream_from_fd(struct io_loop *l, int fd, int write_fd, struct stream **ret);

/* A stream that yields the bytes of `prefix` first (its content is taken, it is empty afterwards),
 * then those of lower, which it takes. For protocols that read too far before they handed over.
 * Without a prefix that is lower itself. NULL on -ENOMEM: lower is then still the caller's. */
struct stream *stream_with_prefix(struct stream *lower, struct buf *prefix);

/* Two ends of an in-memory stream on one loop, with the same back-pressure: for tests and for
 * clients inside the process. */
int stream_pair(struct io_loop *l, struct stream *ret[2]);

#endif

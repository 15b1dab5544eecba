/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For those who implement a stream (src/io, src/net): the common head and the operations.
 *
 * The head is the first member of the implementation's struct. close() must see to it that no
 * callback comes any more and free the memory in a later tick, since a callback may be on the
 * stack.
 */
#ifndef IO_STREAM_IMPL_H
#define IO_STREAM_IMPL_H

#include "io/stream.h"

struct stream_ops {
    ssize_t (*writev)(struct stream *s, const struct str *parts, size_t n_parts);
    ssize_t (*queued)(const struct stream *s);
    void (*flush)(struct stream *s);
    void (*read_start)(struct stream *s);
    void (*read_stop)(struct stream *s);
    void (*shutdown)(struct stream *s);
    void (*close)(struct stream *s);
    void (*get_peer)(struct stream *s, struct stream_peer *ret);
};

#define STREAM_MAGIC 0x5354524du

struct stream {
    uint32_t magic;
    bool closed; /* set by stream_close(); an implementation looks at it after each callback */
    const struct stream_ops *ops;
    const struct stream_events *ev;
    void *arg;
    struct io_loop *loop;
};

void stream_init(struct stream *s, const struct stream_ops *ops, struct io_loop *loop);

/* Call the user's callback when there is one and the stream is not closed. */
void stream_emit_read(struct stream *s, const char *data, size_t n);
void stream_emit_eof(struct stream *s);
void stream_emit_error(struct stream *s, int code);
void stream_emit_drain(struct stream *s);

#endif

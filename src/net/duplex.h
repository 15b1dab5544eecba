/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/2 stream with both directions open, as a struct stream: what http_exchange_stream() and
 * http_call_ops.on_stream give on HTTP/2. The owner is the connection's side; it feeds and pulls.
 * Received bytes go back to the flow control windows only when the user has read them.
 */
#ifndef NET_DUPLEX_H
#define NET_DUPLEX_H

#include "base/buf.h"
#include "io/stream_impl.h"

struct duplex;

/* Calls from the duplex to its owner; none comes after closed() or duplex_gone(). */
struct duplex_owner_ops {
    void (*consume)(void *owner, size_t n);
    void (*wake)(void *owner);               /* duplex_pull() has bytes, or the end */
    void (*closed)(void *owner, bool clean); /* the user closed; clean: both directions had ended */
    void (*get_peer)(void *owner, struct stream_peer *ret);
};

struct duplex *duplex_new(struct io_loop *l, const struct duplex_owner_ops *ops, void *owner);
struct stream *duplex_stream(struct duplex *d);

/* From the owner. */
void duplex_feed(struct duplex *d, const char *data, size_t n);
void duplex_feed_end(struct duplex *d);
size_t duplex_pull(struct duplex *d, char *out, size_t n, bool *eof);
void duplex_gone(struct duplex *d, int code); /* the HTTP/2 stream is gone; 0 = it ended well */

#endif

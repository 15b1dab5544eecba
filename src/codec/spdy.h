/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SPDY/3.1 (draft-mbelshe-httpbis-spdy-00, with the session window of 3.1), server role, sans-I/O:
 * the streams of `kubectl exec`, `attach` and `port-forward` of clients that do not speak
 * WebSocket.
 *
 * Bytes from the peer go into spdy_feed(), which calls back for streams, data and resets; bytes for
 * the peer gather in spdy_output(). The client opens the streams (odd ids).
 *
 * Where we differ from the draft: flow control windows are not enforced, because the only clients
 * that exist (client-go's) neither send nor obey WINDOW_UPDATE; back-pressure is the connection's.
 * SETTINGS, HEADERS and WINDOW_UPDATE are read and have no effect.
 */
#ifndef CODEC_SPDY_H
#define CODEC_SPDY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct spdy;

struct spdy_header {
    struct str name, value; /* names are lower case on the wire; borrowed during the callback */
};

/* Called inside spdy_feed(); they may call spdy_reply() and its sisters, not spdy_feed() or
 * spdy_free(). */
struct spdy_ops {
    /* A new stream. Answer with spdy_reply() or spdy_reset(). fin: the client will send no data on
     * it. */
    void (*stream)(void *arg, uint32_t id, const struct spdy_header *headers, size_t n, bool fin);
    void (*data)(void *arg, uint32_t id, struct str data, bool fin);
    void (*reset)(void *arg, uint32_t id, uint32_t status); /* the stream is gone */
    void (*goaway)(void *arg);                              /* the client opens no more streams */
};

enum spdy_reset {
    SPDY_PROTOCOL_ERROR = 1,
    SPDY_INVALID_STREAM = 2,
    SPDY_REFUSED_STREAM = 3,
    SPDY_CANCEL = 5
};

struct spdy *spdy_new(const struct spdy_ops *ops,
                      void *arg); /* NULL on -ENOMEM; ops must outlive it */
void spdy_free(struct spdy *s);   /* NULL is fine */

/* 0, or a negative code after which the connection must be closed: -E_PROTO, -E_LIMIT, -ENOMEM. */
int spdy_feed(struct spdy *s, struct str bytes, struct err *err);

/* Unknown or closed ids are ignored: a stream may have gone meanwhile. */
void spdy_reply(struct spdy *s, uint32_t id);
void spdy_data(struct spdy *s, uint32_t id, struct str data,
               bool fin); /* cut into frames of 32 kB */
void spdy_reset(struct spdy *s, uint32_t id, enum spdy_reset status);
void spdy_goaway(struct spdy *s);

/* What is to be sent; the caller consumes it. Failure is sticky there (buf_failed). */
struct buf *spdy_output(struct spdy *s);

#endif

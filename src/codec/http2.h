/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP/2 connection (RFC 9113), sans-I/O, both roles, a thin layer over nghttp2: feed() bytes
 * of the peer, drain() bytes for it. Flow control follows the consumer: received bytes count
 * against the windows until http2_consume() says that they were used, so a slow reader stops its
 * peer.
 *
 * Callbacks come inside http2_feed() and http2_drain(). In them every function may be called except
 * feed, drain and free.
 */
#ifndef CODEC_HTTP2_H
#define CODEC_HTTP2_H

#include "base/buf.h"
#include "base/err.h"
#include "codec/http_head.h"

struct http2;

#define HTTP2_STREAM_WINDOW ((uint32_t)64 << 10)
#define HTTP2_CONNECTION_WINDOW ((uint32_t)1 << 20)

/* Error codes of RFC 9113 section 7 that we send. */
enum { HTTP2_NO_ERROR = 0, HTTP2_INTERNAL = 2, HTTP2_REFUSED = 7, HTTP2_CANCEL = 8 };

struct http2_ops {
    /* A request (server) or a response (client; also 1xx) is complete up to its headers. head lies
     * in an arena that lives until the callback returns: copy what is kept. stream_arg: what
     * http2_request() got, NULL for a new request: set it with http2_set_stream_arg(). end: no body
     * follows. Return < 0 to reset the stream (-E_NOMEM or -E_BUSY: refused). */
    int (*on_head)(void *arg, int32_t id, void *stream_arg, const struct http_head *head, bool end);
    void (*on_data)(void *arg, int32_t id, void *stream_arg, const char *data, size_t n);
    void (*on_end)(void *arg, int32_t id, void *stream_arg); /* the peer finished its direction */
    /* The stream is gone: 0 = both directions ended well, else a negative code. Last callback. */
    void (*on_close)(void *arg, int32_t id, void *stream_arg, int code);
    /* Bytes of the body are wanted: write up to n to out. Returns their number; 0 with *eof false =
     * none now, call http2_resume() later. */
    size_t (*pull)(void *arg, int32_t id, void *stream_arg, char *out, size_t n, bool *eof);
    void (*on_pong)(void *arg); /* the answer to http2_ping(); may be NULL */
    void (*on_goaway)(void *arg, uint32_t error, struct str debug); /* may be NULL */
};

struct http2 *http2_new(bool server, const struct http2_ops *ops, void *arg); /* NULL on -ENOMEM */
void http2_free(struct http2 *h); /* on_close comes for no stream; NULL is fine */

/* 0, or a negative code: the connection must be closed after draining (GOAWAY lies ready). */
int http2_feed(struct http2 *h, const char *data, size_t n);
/* Appends at most about max bytes to out; 0 = all is drained, 1 = more waits, or -ENOMEM. */
int http2_drain(struct http2 *h, struct buf *out, size_t max);
bool http2_wants_write(const struct http2 *h);
bool http2_alive(const struct http2 *h); /* false: nothing more will be read or written */

/* Client. Pseudo headers from head: method, target, authority, protocol; scheme is a separate
 * argument. Returns the stream's id or a negative code. body: pull() will be asked. */
int32_t http2_request(struct http2 *h, const char *scheme, const struct http_head *head, bool body,
                      void *stream_arg);
/* Server. status 1xx sends an informational head. */
int http2_respond(struct http2 *h, int32_t id, int status, const struct http_headers *headers,
                  bool body);
void http2_set_stream_arg(struct http2 *h, int32_t id, void *stream_arg);
void http2_resume(struct http2 *h, int32_t id);            /* pull() has bytes again, or eof */
void http2_consume(struct http2 *h, int32_t id, size_t n); /* n bytes of on_data were used */
void http2_reset(struct http2 *h, int32_t id, uint32_t error);
int http2_ping(struct http2 *h);
/* GOAWAY without error: streams that run go on, new ones are refused. */
int http2_goaway(struct http2 *h);
size_t http2_streams(const struct http2 *h); /* open now */
uint32_t http2_peer_max_streams(const struct http2 *h);

#endif

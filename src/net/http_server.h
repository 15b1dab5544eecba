/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP server over any stream: TLS or plain TCP, Unix socket, the turned-round tunnel. HTTP/1.1,
 * and HTTP/2 by ALPN or prior knowledge.
 *
 * The handler is called when the head of a request is complete. It, or something it started, ends
 * the exchange exactly once: http_reply(), http_reply_end() after http_reply_start(),
 * http_exchange_abort() or http_exchange_stream(). The exchange is invalid after that. If the peer
 * goes away first, the on_close function is called instead and the exchange is invalid when it
 * returns; nothing else comes afterwards. So: keep the pointer until you end it or on_close tells
 * you.
 *
 *     handler -> [collect or read the body] -> reply -> gone
 *                                           \> reply_start, reply_write..., reply_end -> gone
 *              any time until then: on_close -> gone
 *
 * Callbacks never come inside functions of this header, except that http_server_stop() and
 * http_exchange_collect_body() never call on_close of the exchange at hand.
 */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/stream.h"
#include "net/http.h"

struct http_server;
struct http_exchange;
struct io_loop;
struct listener;
struct tls_ctx;

typedef void http_handler_fn(struct http_exchange *x, void *arg);

struct http_server_config {
    struct io_loop *loop;
    http_handler_fn *handler;
    void *arg;
    /* Makes the body of replies that the server writes itself (400, 408, 413, 431, 503, ...):
     * appends to body and returns its content type. NULL = plain text. */
    const char *(*error_body)(void *arg, int status, const char *text, struct buf *body);
    unsigned max_connections; /* 0 = LIMIT_CONNECTIONS; above it new ones are closed at once */
    int64_t idle_timeout_ms;  /* 0 = 180 s without a request on the connection */
    int64_t
        head_timeout_ms; /* 0 = 10 s from the first byte to the end of the headers, and for TLS */
    int64_t body_timeout_ms;  /* 0 = 60 s without a byte of a body that is being read */
    int64_t write_timeout_ms; /* 0 = 120 s without progress of queued output */
};

int http_server_new(const struct http_server_config *cfg, struct http_server **ret);
/* Closes idle connections, refuses new requests, lets running exchanges end; after grace_ms those
 * that are left get on_close. done (may be NULL) comes once, from the loop, when no connection is
 * left. Listeners given to the server are closed. */
void http_server_stop(struct http_server *s, int64_t grace_ms, void (*done)(void *arg), void *arg);
/* Closes everything at once: on_close comes for each running exchange before it returns. NULL is
 * fine.
 */
void http_server_free(struct http_server *s);

/* Listeners that belong to the server. tls NULL = plain; the context is referenced. */
int http_server_listen_tcp(struct http_server *s, const char *host, uint16_t port,
                           struct tls_ctx *tls, uint16_t *ret_port, struct err *err);
int http_server_listen_unix(struct http_server *s, const char *path, unsigned mode,
                            struct err *err);

enum http_protocol { HTTP_PROTOCOL_AUTO, HTTP_PROTOCOL_1, HTTP_PROTOCOL_2 };
/* Serves a stream; takes it in every case. AUTO: HTTP/2 when the first bytes are its preface.
 * identity (may be NULL, copied) is what http_exchange_peer() shows. on_end (may be NULL) comes
 * when the connection is gone, not inside the call and not after http_server_free(). -ENOMEM,
 * -E_BUSY. */
int http_server_serve(struct http_server *s, struct stream *stream, enum http_protocol protocol,
                      const char *identity, void (*on_end)(void *arg), void *arg);
size_t http_server_connections(const struct http_server *s);

/* ---- the request ---- */

const struct http_request *http_exchange_request(const struct http_exchange *x);
struct arena *http_exchange_arena(struct http_exchange *x); /* lives as long as the exchange */
struct io_loop *http_exchange_loop(const struct http_exchange *x);
struct http_server *http_exchange_server(const struct http_exchange *x);

struct http_peer {
    struct stream_peer
        stream;           /* address, Unix credentials, TLS certificate with its verify error */
    const char *identity; /* as given to http_server_serve(), else NULL */
};
void http_exchange_peer(struct http_exchange *x, struct http_peer *ret);

/* The peer went away, a time-out or the server's end: free what belongs to the exchange. */
void http_exchange_on_close(struct http_exchange *x, void (*fn)(void *arg), void *arg);

/* The whole body, at most limit bytes, in memory that lives as long as the exchange (also
 * 0-terminated). done comes once from the loop; when the body is too large, malformed or cut off,
 * the server replies by itself and on_close comes instead. A body that nobody asks for is
 * discarded. */
void http_exchange_collect_body(struct http_exchange *x, size_t limit,
                                void (*done)(struct http_exchange *x, struct str body, void *arg),
                                void *arg);
/* The body piece by piece. on_data(n == 0) is its end. */
void http_exchange_read_body(struct http_exchange *x,
                             void (*on_data)(struct http_exchange *x, struct str data, void *arg),
                             void *arg);
void http_exchange_pause_body(struct http_exchange *x, bool paused);

/* ---- the reply ---- */

/* Complete reply; body is copied. content-length, date and connection are added by the server: do
 * not pass them. Ends the exchange. HEAD requests: pass the body as for GET, it is not sent. */
void http_reply(struct http_exchange *x, int status, const struct http_header *headers, size_t n,
                struct str body);
/* The same, taking the buffer's content (b is empty afterwards): no copy of large lists. */
void http_reply_take(struct http_exchange *x, int status, const struct http_header *headers,
                     size_t n, struct buf *b);
/* Common case: one content type. */
void http_reply_text(struct http_exchange *x, int status, const char *content_type,
                     struct str body);

/* A stream of unknown length (watch, log). 0, or a negative code: then end it with
 * http_exchange_abort(). A writer stops when http_reply_write() returns more than LIMIT_WRITE_QUEUE
 * (or its own bound) and goes on in on_drain, which comes after a write that returned >=
 * STREAM_LOW_WATER. Data leaves at the end of the tick. */
int http_reply_start(struct http_exchange *x, int status, const struct http_header *headers,
                     size_t n);
/* Bytes that wait for this exchange's peer, or -EPIPE, -ENOMEM, -E_LIMIT (nothing was taken). */
ssize_t http_reply_write(struct http_exchange *x, struct str data);
ssize_t http_reply_queued(const struct http_exchange *x);
void http_exchange_on_drain(struct http_exchange *x, void (*fn)(void *arg), void *arg);
void http_reply_end(struct http_exchange *x); /* ends the exchange; what is queued is still sent */
/* Ends the exchange without a proper end: the peer sees a cut connection or RST_STREAM. */
void http_exchange_abort(struct http_exchange *x);

/* Turns the exchange into a byte stream and ends it as an exchange: on HTTP/1.1 replies "101" with
 * "Upgrade: protocol" (or 200 to CONNECT), on HTTP/2 status 200 with both directions open. Headers
 * as for http_reply(). The request must not have a body that was read already. NULL when the
 * request does not allow it (-> reply 400 or 426 yourself) or memory is short. Reading starts off.
 */
struct stream *http_exchange_stream(struct http_exchange *x, const char *protocol,
                                    const struct http_header *headers, size_t n);
/* Whether the request asks for `protocol`: by Upgrade on HTTP/1.1; on HTTP/2 by extended CONNECT,
 * or by our own header "selvedge-stream: protocol" on any request. */
bool http_exchange_wants_stream(const struct http_exchange *x, const char *protocol);

#endif

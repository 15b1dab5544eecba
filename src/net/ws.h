/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A WebSocket connection (RFC 6455) over a stream: whole messages, answers pings, does the closing
 * handshake.
 *
 * Ends with exactly one on_close; the ws is invalid when that returns. ws_abort() ends it without.
 * No callback comes inside functions of this header.
 */
#ifndef NET_WS_H
#define NET_WS_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "net/http.h"

struct ws;
struct http_exchange;
struct http_client;
struct stream;

struct ws_events {
    void (*on_message)(struct ws *w, void *arg, bool binary, struct str data);
    void (*on_drain)(struct ws *w, void *arg); /* may be NULL */
    /* code: the peer's close code, WEBSOCKET_NO_STATUS, or 1006 when the connection broke */
    void (*on_close)(struct ws *w, void *arg, int code, struct str reason);
};

/* Server side. The subprotocols that the client offers, in its order: false at the end. Start with
 * *at = 0. */
bool ws_offers(const struct http_exchange *x, const char *subprotocol);
bool ws_wanted(const struct http_exchange *x); /* a well-formed WebSocket upgrade (section 4.2.1) */
/* Answers 101 and ends the exchange. subprotocol NULL = none. NULL: nothing was sent, the exchange
 * still wants its reply. */
struct ws *ws_accept(struct http_exchange *x, const char *subprotocol, const struct ws_events *ev,
                     void *arg);

/* Over a stream whose handshake is done; takes it. */
struct ws *ws_new(struct stream *s, bool server, const struct ws_events *ev, void *arg);

/* Client side: asks for path with one subprotocol (NULL = none); done comes once, unless cancelled:
 * w, or NULL and err. */
struct ws_connect;
struct ws_connect *ws_connect(struct http_client *c, const char *path,
                              const struct http_header *headers, size_t n, const char *subprotocol,
                              const struct ws_events *ev, void *ev_arg,
                              void (*done)(void *arg, struct ws *w, const struct err *err),
                              void *arg);
void ws_connect_cancel(struct ws_connect *c); /* NULL is fine */

/* Bytes that wait, as stream_write(); a message in one frame. */
ssize_t ws_send(struct ws *w, bool binary, struct str data);
ssize_t ws_send2(struct ws *w, bool binary, struct str head, struct str data); /* head + data */
void ws_pause(struct ws *w, bool paused); /* no on_message while paused; the peer is slowed down */
/* Sends Close; on_close comes when the peer answers or after 5 s. */
void ws_close(struct ws *w, int code, const char *reason);
void ws_abort(struct ws *w); /* NULL is fine */

#endif

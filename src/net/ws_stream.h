/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes in WebSocket messages as a struct stream: how kubectl carries SPDY/3.1 through proxies that
 * know only WebSocket. Where messages begin and end means nothing.
 */
#ifndef NET_WS_STREAM_H
#define NET_WS_STREAM_H

struct http_exchange;
struct stream;

/* Answers 101 with the subprotocol and ends the exchange. Reading starts off. NULL: nothing was
 * sent, the exchange still wants its reply. */
struct stream *ws_stream_accept(struct http_exchange *x, const char *subprotocol);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pods/portforward: what is common to its two ways.
 *
 *   SPDY/3.1, bare or carried in WebSocket messages (portforward_spdy.c): the client opens a pair
 * of streams, "data" and "error", for each connection, as many as it likes at a time. WebSocket
 * channels (portforward_ws.c): one connection for each port of the query; channel 2i is its data,
 * 2i + 1 its errors.
 */
#ifndef API_STREAM_PORTFORWARD_H
#define API_STREAM_PORTFORWARD_H

#include "api/exec_proxy_private.h"

#define PORTFORWARD_PROTOCOL "portforward.k8s.io"

/* r names the pod. Ends the exchange sooner or later. */
void portforward_start(struct server_call *call, const struct node_stream_req *r);

/* For the files of it. A copy of the request for one port whose texts live in the arena. */
void portforward_copy(struct arena *a, const struct node_stream_req *r,
                      struct node_stream_req *ret);
/* What a client is told of a connection that failed, in a kubelet's words. */
void portforward_failure(const struct node_stream_req *r, int port, const char *text, char *out,
                         size_t size);
/* First the session (NULL: -ENOMEM), then the answer to the exchange, which takes r with it, then
 * the session's stream; NULL gives it up. */
struct portforward_session;
struct portforward_session *portforward_spdy_new(struct api_server *server,
                                                 const struct node_stream_req *r);
void portforward_spdy_start(struct portforward_session *s, struct stream *stream);
void portforward_ws(struct server_call *call, const struct node_stream_req *r,
                    const char *protocol);

#endif

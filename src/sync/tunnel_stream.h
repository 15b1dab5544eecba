/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams to a node (api/node_stream.h) as they travel in the reverse tunnel.
 *
 *   GET /selvedge/v1/stream?req=<JSON of struct node_stream_req>   upgrade: selvedge-node-stream
 *
 * The node accepts (101 or 200) when its opener said opened(); a refusal is a Kubernetes Status
 * whose `code` is the HTTP status and whose details hold our own code. After that both sides speak
 * the channel frames of node_stream.h, and the node's last frame is CHANNEL_END:
 * {"code":0,"message":""}.
 */
#ifndef SYNC_TUNNEL_STREAM_H
#define SYNC_TUNNEL_STREAM_H

#include "api/node_stream.h"
#include "base/arena.h"
#include "base/list.h"
#include "codec/json.h"

#define TUNNEL_STREAM_PATH "/selvedge/v1/stream"
#define TUNNEL_STREAM_PROTOCOL "selvedge-node-stream"
#define CHANNEL_END 254

struct http_client;
struct http_exchange;

/* The request as JSON and back. Texts of the result live in the arena. */
struct json *tunnel_stream_encode(struct arena *a, const struct node_stream_req *req);
int tunnel_stream_decode(struct arena *a, const struct json *j, struct node_stream_req *ret,
                         struct err *err);

/* Parent: opens a stream over a tunnel's client. link is put on `streams` while it lives. */
struct node_stream *tunnel_stream_open(struct http_client *client, struct list *streams,
                                       const struct node_stream_req *req,
                                       const struct node_stream_events *events, void *events_arg,
                                       struct err *err);
/* The tunnel is going: every stream of the list ends with this text. Before the client is freed. */
void tunnel_stream_end_all(struct list *streams, const char *text);

/* Child: answers the exchange of a stream request with what `open` gives. */
void tunnel_stream_serve(struct http_exchange *x, node_stream_open_fn *open, void *open_arg);

#endif

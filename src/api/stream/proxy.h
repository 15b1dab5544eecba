/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy subresources: pods/[SCHEME:]NAME[:PORT]/proxy/PATH,
 * services/[SCHEME:]NAME[:PORT]/proxy/PATH and nodes/NAME/proxy/PATH.
 */
#ifndef API_STREAM_PROXY_H
#define API_STREAM_PROXY_H

#include "api/exec_proxy_private.h"
#include "api/stream/upstream.h"

/* Ends the exchange sooner or later. Who may call has been checked. */
void proxy_start(struct server_call *call);

/* proxy_target.c: what the name of the route means. Texts in the call's arena. False when it has
 * replied. */
bool proxy_resolve(struct server_call *call, struct upstream_target *ret);

/* proxy_splice.c: joins two streams, which it takes, until one of them has ended. */
void proxy_splice(struct api_server *server, struct stream *a, struct stream *b);

#endif

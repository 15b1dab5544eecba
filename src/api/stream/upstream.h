/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP client to something behind a node: a port of a pod, the node's agent; or to an address
 * that can be dialled from here. One request each; the connection goes with it.
 */
#ifndef API_STREAM_UPSTREAM_H
#define API_STREAM_UPSTREAM_H

#include "api/node_pipe.h"
#include "api/server_private.h"

struct http_client;
struct upstream;

/* Texts are borrowed for the call. */
struct upstream_target {
    struct node_stream_req req; /* PORT or AGENT; node NULL: host and port are dialled */
    const char *host;
    uint16_t port;
    bool tls;              /* its certificate is not checked, as Kubernetes' proxies do */
    const char *authority; /* the Host header */
};

/* c lives until upstream_close(); or NULL and err. Once, unless closed before, not inside the call.
 */
typedef void upstream_fn(void *arg, struct http_client *c, const struct err *err);

/* NULL with err when it cannot even be tried. */
struct upstream *upstream_open(struct api_server *server, const struct upstream_target *t,
                               upstream_fn *done, void *arg, struct err *err);
/* The client is freed in a later tick, so this may be called inside its callbacks; calls under way
 * must have been cancelled. NULL is fine. */
void upstream_close(struct upstream *u);

#endif

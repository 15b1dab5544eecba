/* SPDX-License-Identifier: Apache-2.0 */
/* What exec_proxy*.c share. */
#ifndef API_EXEC_PROXY_PRIVATE_H
#define API_EXEC_PROXY_PRIVATE_H

#include "api/server_http.h"
#include "api/server_private.h"

/* A stream between a client and a node; embedded as the first member. */
struct exec_proxy {
    struct list link; /* api_server.streams */
    struct node_stream *node;
    void (*end)(struct exec_proxy *p); /* the server drains */
};

/* exec_proxy_query.c. One that returns false has replied. */
bool exec_proxy_read_query(struct server_call *call, struct node_stream_req *r);
/* What admission is asked about: PodExecOptions and its sisters; r is read for exec and attach. */
struct json *exec_proxy_options(struct server_call *call, const struct node_stream_req *r);
/* The streams, container and command of options. */
bool exec_proxy_read_options(struct server_call *call, const struct json *o,
                             struct node_stream_req *r);

/* What protocols before v4 say on the error channel: the Status' message, heap; NULL on success. */
char *exec_proxy_legacy_error(struct str status);

/* exec_proxy_ws.c: exec and attach. r is complete. Ends the exchange. */
void exec_proxy_remote(struct server_call *call, const struct node_stream_req *r);

/* exec_proxy_spdy.c: the same for clients that ask for SPDY/3.1 (kubectl before 1.30). */
bool exec_proxy_wants_spdy(const struct http_exchange *x);
void exec_proxy_spdy(struct server_call *call, const struct node_stream_req *r);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reverse tunnel: the child dials its parent, then the roles turn round, so that the parent can
 * send requests to a child behind any NAT.
 *
 *     child                                   parent
 *       | GET <path>  Upgrade: selvedge-tunnel  ->|   HTTP/1.1 over TLS
 *       |<- 101 Switching Protocols               |
 *       |<========= HTTP/2: parent is client =====|   child's http_server answers
 *
 * Both sides ping when the line is quiet and declare it dead after two intervals without a byte.
 */
#ifndef NET_TUNNEL_H
#define NET_TUNNEL_H

#include <stdint.h>

#include "base/err.h"
#include "net/http.h"

struct http_client;
struct http_exchange;
struct http_server;
struct tunnel_child;
struct tunnel_parent;

#define TUNNEL_PROTOCOL "selvedge-tunnel"
#define TUNNEL_PING_MS 10000

struct tunnel_child_config {
    struct http_client *client; /* of the parent, HTTP/1.1; borrowed */
    const char *path;
    const struct http_header *headers; /* copied */
    size_t n_headers;
    struct http_server *server; /* answers what comes; borrowed */
    const char *identity;       /* what its handler sees as http_peer.identity */
    int64_t ping_ms;            /* 0 = TUNNEL_PING_MS */
    void (*up)(void *arg);
    /* Once after up, or instead of it; the tunnel is invalid when it returns. Reconnecting is the
     * caller's. */
    void (*down)(void *arg, const struct err *err);
    void *arg;
};

struct tunnel_child *tunnel_child_start(const struct tunnel_child_config *cfg); /* NULL: -ENOMEM */
/* No callback afterwards. To be called before the server is freed. NULL is fine. */
void tunnel_child_stop(struct tunnel_child *t);

/* Parent: in the handler of <path>, after the caller is known. Answers 101 and ends the exchange.
 * NULL: the request is not a tunnel's (reply 400) or memory is short. name: Host header of the
 * requests. down comes once, not inside the call; the tunnel and its client are invalid when it
 * returns. */
struct tunnel_parent *tunnel_accept(struct http_exchange *x, const char *name, int64_t ping_ms,
                                    void (*down)(void *arg, const struct err *err), void *arg);
struct http_client *tunnel_client(struct tunnel_parent *t); /* lives as long as the tunnel */
void tunnel_parent_close(struct tunnel_parent *t);          /* no callback; NULL is fine */

#endif

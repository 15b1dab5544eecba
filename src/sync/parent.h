/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The upper end of the links to child nodes: joining, sync streams, heartbeats, reverse tunnels.
 *
 *   POST /selvedge/v1/join     bootstrap token; {"node","csr"}   -> {"certificate","ca"}
 *   GET  /selvedge/v1/ca       anybody                           -> {"ca"}
 *   POST /selvedge/v1/renew    node certificate (may be expired); {"csr"} -> {"certificate","ca"}
 *   POST /selvedge/v1/report   node certificate; {"key","uid","entry"}: what it tells of a stream,
 *                              table or rule (placed.h)
 *   POST /selvedge/v1/sync     node certificate; digest.h
 *   GET  /selvedge/v1/tunnel   node certificate; net/tunnel.h
 *
 * One watcher of the store serves all nodes: a change of a pod costs its node, a change of a config
 * map the nodes that refer to it, a change of a stream, table or rule the nodes that it names. Each
 * heartbeat renews the node's Lease. A node that connects anew replaces its older connection. Loop
 * thread only.
 */
#ifndef SYNC_PARENT_H
#define SYNC_PARENT_H

#include <stdint.h>

#include "api/node_stream.h"
#include "base/err.h"

struct sync_parent;
struct api_server;
struct io_loop;
struct store;

/* First this, since the server's options want the opener; then the server; then
 * sync_parent_register(). store is borrowed. */
int sync_parent_new(struct io_loop *loop, struct store *store, struct sync_parent **ret,
                    struct err *err);
/* Adds the routes to the server, before it is used. The CA signs the nodes' certificates (copied).
 */
int sync_parent_register(struct sync_parent *p, struct api_server *server, const char *ca_cert_pem,
                         const char *ca_key_pem, struct err *err);
/* Cuts all nodes off. Streams to nodes end. Before the server and the store are freed; NULL is
 * fine. */
void sync_parent_free(struct sync_parent *p);

/* For api_server_opts.open_stream with the sync_parent as its argument: logs and exec through the
 * node's tunnel. */
struct node_stream *sync_parent_open_stream(void *arg, const struct node_stream_req *req,
                                            const struct node_stream_events *events,
                                            void *events_arg, struct err *err);

struct sync_parent_info {
    size_t nodes, connections, tunnels, wants;
};
void sync_parent_info(const struct sync_parent *p, struct sync_parent_info *ret);

#endif

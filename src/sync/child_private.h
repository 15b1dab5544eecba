/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the child's side share; see child.h for its users' view. */
#ifndef SYNC_CHILD_PRIVATE_H
#define SYNC_CHILD_PRIVATE_H

#include "base/buf.h"
#include "base/sm.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "sync/child.h"
#include "sync/pki.h"

enum child_state {
    CHILD_IDLE,
    CHILD_JOINING,
    CHILD_RENEWING,
    CHILD_DIALING,
    CHILD_SYNCING,
    CHILD_LIVE,
    CHILD_STATE_NR
};

struct sync_child {
    struct io_loop *loop;
    struct replica *replica;
    struct lane *lane;
    struct link_watch *links;
    struct pki pki;
    struct sm sm;
    char *host, *bearer;
    uint16_t port;
    char pin[65]; /* hash of the CA's key; "" = none */
    node_stream_open_fn *open_stream;
    void *open_stream_arg;

    struct http_client *client; /* HTTP/2: sync stream and status lane */
    struct http_call *call;     /* the sync stream */
    struct http_fetch *fetch;   /* joining or renewing */
    struct http_client *bare;   /* of a join: no certificate yet */
    char *first_ca;             /* what the parent says is its CA, checked; of a join */
    struct io_task join;
    struct buf in; /* the line that is being received */
    int answer;    /* HTTP status of the sync stream */

    struct http_client *tunnel_client; /* HTTP/1.1 */
    struct http_server *tunnel_server;
    struct tunnel_child *tunnel;

    struct io_timer retry, heartbeat, echo, tunnel_retry, renewal;
    int64_t heartbeat_ms, backoff_ms;
    bool renewing; /* a renewal beside a live stream */
    bool rejoin;   /* the parent does not know our certificate: use the token again */
    char last_error[256];
};

/* child.c: gives up what is open and tries again later. why is logged once until it changes. */
void child_fail(struct sync_child *c, const char *why);
void child_dial(struct sync_child *c);
int child_client_new(struct sync_child *c, enum http_protocol protocol, struct http_client **ret,
                     struct err *err);
/* Frees the clients, so that the next ones use new certificates. */
void child_disconnect(struct sync_child *c);

/* child_join.c: both end in child_dial() or child_fail(). */
void child_join(struct sync_child *c);
void child_renew(struct sync_child *c);
/* Renews beside a live stream when it is time. */
void child_renew_if_due(struct sync_child *c);

/* child_tunnel.c */
void child_tunnel_start(struct sync_child *c);
void child_tunnel_stop(struct sync_child *c);

#endif

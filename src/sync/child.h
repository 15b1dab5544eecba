/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lower end of the link to the parent: joins once, then keeps the sync stream, the status lane
 * and the reverse tunnel up for as long as it lives. Nothing on the node waits for it.
 *
 *     IDLE --timer--> JOINING --certificate--> DIALING --200--> SYNCING --BOOKMARK--> LIVE
 *      ^  \                                    ^     |             |                   |
 *      |   \--expired--> RENEWING --ok---------/     |             |                   |
 *      \---------------- any failure: back off ------+-------------+-------------------/
 *
 * What is heard goes to the replica; what the replica's outbox holds goes up. A heartbeat is one
 * byte each 30 s and is echoed, so an idle node costs less than 1 MB a day. A change of the
 * machine's links cuts the back-off short and probes a connection that may be dead. Loop thread
 * only.
 */
#ifndef SYNC_CHILD_H
#define SYNC_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "api/node_stream.h"
#include "base/err.h"

struct sync_child;
struct io_loop;
struct replica;

#define SYNC_HEARTBEAT_MS 30000

/* Texts are copied. */
struct sync_child_opts {
    struct io_loop *loop;
    struct replica *replica; /* borrowed */
    const char *parent;      /* "https://host[:port]", port 6443 when it is not given */
    const char *pki_dir;     /* node.key (0600), node.crt, ca.crt; made when it is absent */
    /* "id.secret[@sha256:<hash of the CA's key>]", read when there is no certificate yet; NULL:
     * none. Without a hash the parent's CA is trusted at first sight. */
    const char *token;
    node_stream_open_fn *open_stream; /* what the parent asks for through the tunnel */
    void *open_stream_arg;
    int64_t heartbeat_ms; /* 0 = SYNC_HEARTBEAT_MS */
};

/* Starts at once, in the background. -E_INVAL: a malformed address or token. */
int sync_child_new(const struct sync_child_opts *opts, struct sync_child **ret, struct err *err);
void sync_child_free(struct sync_child *c); /* NULL is fine */
/* LIVE: the replica holds what the parent had at the last BOOKMARK. */
bool sync_child_live(const struct sync_child *c);

/* Cuts "https://host:port" (host may be in brackets); host is heap. */
int sync_parent_address(const char *text, char **ret_host, uint16_t *ret_port, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the parent's side share; see parent.h for its users' view. */
#ifndef SYNC_PARENT_PRIVATE_H
#define SYNC_PARENT_PRIVATE_H

#include "api/server.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "io/loop.h"
#include "net/http_server.h"
#include "net/tunnel.h"
#include "store/store.h"
#include "sync/digest.h"
#include "sync/parent.h"

enum { PARENT_WATCHES = 12 };

struct sync_parent {
    struct io_loop *loop;
    struct store *store;
    char *ca_cert, *ca_key;
    struct map nodes;   /* name -> struct sync_node */
    struct map by_ref;  /* key -> struct ref_watch */
    struct list conns;  /* struct conn.link */
    struct map placed;  /* key -> struct placed: streams, tables, rules (parent_placed.c) */
    struct map members; /* name of every Node -> its labels, placed_labels() */
    struct io_timer flush;
    struct store_watch *watches[PARENT_WATCHES];
    struct io_task drain;
    size_t n_wants;
};

/* What is known of a node: the keys of its pods, and how it is connected. Lives while any of these
 * is there. */
struct sync_node {
    struct sync_parent *parent;
    struct map pods; /* key -> itself (a set) */
    struct conn *conn;
    struct node_tunnel *tunnel;
    char name[];
};

struct node_tunnel {
    struct sync_node *node;
    struct tunnel_parent *tunnel;
    struct list streams; /* struct tunnel_stream.link */
};

struct sync_node *parent_node(struct sync_parent *p, const char *name); /* made; NULL: -ENOMEM */
void parent_node_release(struct sync_node *n);                          /* frees it when unused */

/* parent_index.c: the shared watcher. */
int parent_index_open(struct sync_parent *p, struct err *err);
void parent_index_close(struct sync_parent *p);
/* Takes in everything that is published, so that the index equals the store. */
void parent_index_drain(struct sync_parent *p);

/* parent_sync.c: one sync stream. */
struct conn;
void conn_route(void *arg, struct http_exchange *x, const struct api_user *user);
/* item: its newest state; NULL when it is gone. */
void conn_pod_changed(struct conn *c, const char *key, struct store_item *item);
/* Of an object that the node has for itself: its Node, a stream, table or rule. */
void conn_object_changed(struct conn *c, const char *key, struct store_item *item);
void conn_ref_changed(struct sync_parent *p, const char *key, struct store_item *item, int64_t rev);
/* Ends the exchange and frees the connection; not from inside a call of the index. */
void conn_abort(struct conn *c);
void conn_abort_all(struct sync_parent *p);

/* parent_placed.c: streams, tables and rules. */
void parent_placed_open(struct sync_parent *p);
void parent_placed_forget(struct sync_parent *p); /* to be listed anew */
void parent_placed_close(struct sync_parent *p);
void parent_placed_event(struct sync_parent *p, struct store_item *item, bool deleted);
/* item: the Node; NULL: it is gone. name.p ends with a zero. */
void parent_placed_node(struct sync_parent *p, struct str name, struct store_item *item);
/* Calls fn for each that the node is to have. */
void parent_placed_each(struct sync_parent *p, const char *node,
                        void (*fn)(void *arg, const char *key, struct store_item *item), void *arg);
/* digest_hash() of what the node told last; 0: nothing is known. */
int64_t parent_placed_hash(struct sync_parent *p, const char *key, const char *node);
void parent_report_route(void *arg, struct http_exchange *x, const struct api_user *user);

/* parent_join.c */
void parent_join_route(void *arg, struct http_exchange *x, const struct api_user *user);
void parent_ca_route(void *arg, struct http_exchange *x, const struct api_user *user);
void parent_renew_route(void *arg, struct http_exchange *x, const struct api_user *user);

/* parent_tunnel.c */
void parent_tunnel_route(void *arg, struct http_exchange *x, const struct api_user *user);
void node_tunnel_close(struct node_tunnel *t); /* NULL is fine */

/* parent_lease.c: renews (or makes) the Lease of a node. */
void parent_lease_renew(struct sync_parent *p, const char *node);

#endif

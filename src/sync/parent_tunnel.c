/* SPDX-License-Identifier: Apache-2.0 */
/* The reverse tunnels of nodes at their parent, and streams through them. */
#include "base/log.h"
#include "parent_private.h"
#include "tunnel_stream.h"

/* The heartbeat of the sync stream tells a dead link sooner; this only keeps NATs open. */
#define PING_MS 240000

void node_tunnel_close(struct node_tunnel *t)
{
    if (!t) {
        return;
    }
    tunnel_stream_end_all(&t->streams, "the node's connection was lost");
    tunnel_parent_close(t->tunnel);
    mem_free(t);
}

static void tunnel_down(void *arg, const struct err *err)
{
    struct node_tunnel *t = arg;
    struct sync_node *n = t->node;
    log_debug("tunnel of node %s: %s", n->name, err ? err->text : "closed");
    tunnel_stream_end_all(&t->streams, "the node's connection was lost");
    if (n->tunnel == t) {
        n->tunnel = NULL;
        parent_node_release(n);
    }
    mem_free(t);
}

void parent_tunnel_route(void *arg, struct http_exchange *x, const struct api_user *user)
{
    struct sync_parent *p = arg;
    const char *name = api_user_node(user);
    if (!name) {
        api_reply_error(x, -E_ACCESS, "only nodes have a tunnel");
        return;
    }
    struct sync_node *n = parent_node(p, name);
    struct node_tunnel *t = n ? mem_zalloc(sizeof(*t)) : NULL;
    if (!t) {
        api_reply_error(x, -E_NOMEM, "out of memory");
        return;
    }
    t->node = n;
    list_init(&t->streams);
    t->tunnel = tunnel_accept(x, n->name, PING_MS, tunnel_down, t);
    if (!t->tunnel) {
        mem_free(t);
        parent_node_release(n);
        api_reply_error(x, -E_INVAL, "this is no request for a tunnel");
        return;
    }
    node_tunnel_close(n->tunnel);
    n->tunnel = t;
    log_debug("tunnel of node %s is up", n->name);
}

struct node_stream *sync_parent_open_stream(void *arg, const struct node_stream_req *req,
                                            const struct node_stream_events *events,
                                            void *events_arg, struct err *err)
{
    struct sync_parent *p = arg;
    struct sync_node *n = map_get(&p->nodes, str_of(req->node));
    if (!n || !n->tunnel) {
        (void)err_set(err, -E_INTERNAL, "node %s is not connected", req->node);
        return NULL;
    }
    return tunnel_stream_open(tunnel_client(n->tunnel->tunnel), &n->tunnel->streams, req, events,
                              events_arg, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One forwarded connection of a port-forward: what the client sends goes to the pod's port, what
 * comes back goes to the session, which knows how its client wants to hear it.
 *
 *     OPENING (the node is asked; the client's bytes wait) -> OPEN -> both directions have ended
 *                      \-> failed: a sentence for the client
 */
#ifndef API_STREAM_PORT_LINK_H
#define API_STREAM_PORT_LINK_H

#include "api/node_pipe.h"
#include "api/server_private.h"

struct port_link;

/* None comes inside a function of this header. */
struct port_link_ops {
    void (*data)(struct port_link *l, struct str data); /* from the pod */
    void (*eof)(struct port_link *l);                   /* the pod sends no more */
    /* The client's bytes have gone after port_link_write() returned true. */
    void (*drained)(struct port_link *l);
    /* Over; text NULL when both directions have ended well. Call port_link_fini(), now or later. */
    void (*over)(struct port_link *l, const char *text);
};

/* Embed it. */
struct port_link {
    struct list link; /* public: for the session */
    /* private */
    const struct port_link_ops *ops;
    struct node_pipe *opening;
    struct stream *stream;
    struct buf early; /* what the client sent while OPENING */
    struct io_task end_task;
    struct io_loop *loop;
    char *fail_text;
    bool client_done, node_done, paused, full, over;
};

/* req is a PORT request, borrowed. A failure comes by over. */
void port_link_start(struct port_link *l, struct api_server *server,
                     const struct node_stream_req *req, const struct port_link_ops *ops);
/* True: wait for drained before more. */
bool port_link_write(struct port_link *l, struct str data);
void port_link_end_input(struct port_link *l);          /* the client sends no more */
void port_link_pause(struct port_link *l, bool paused); /* the client does not keep up */
void port_link_fini(struct port_link *l);               /* no callback any more */

#endif

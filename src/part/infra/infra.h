/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node agent: runs the pods that the node's replica holds and tells how they are, and what the
 * machine is.
 *
 * It reads from the replica alone and starts at once, with or without a parent: first it adopts
 * what earlier agents left running, then it starts what is missing and ends what nobody wants. Loop
 * thread only.
 */
#ifndef INFRA_INFRA_H
#define INFRA_INFRA_H

#include "api/node_stream.h"
#include "base/err.h"

struct infra;
struct io_loop;
struct replica;
struct runtime;
struct sync_child;

/* Texts are copied, the rest is borrowed and must outlive the agent. */
struct infra_opts {
    struct io_loop *loop;
    struct runtime *runtime;
    struct replica *replica;
    const char *state_dir;
    const char *node_ip; /* NULL = the address of the default route */
    /* "k=v,k=v": labels of the Node when it is made; NULL = none beside Kubernetes' own */
    const char *node_labels;
    int64_t max_pods; /* 0 = 110 */
    /* When the disk is fuller than high percent, images that no pod here wants lose their names
     * until it would be below low. 0 = 100, never: an image that was imported by hand is not to be
     * had again by itself. Layers without a name go in any case. */
    int image_gc_high, image_gc_low;
};

int infra_new(const struct infra_opts *opts, struct infra **ret, struct err *err);
/* Containers go on without the agent. NULL is fine. */
void infra_free(struct infra *inf);
/* The link over which tokens of service accounts are asked for; NULL takes it away again (before it
 * is freed). Borrowed. */
void infra_set_parent(struct infra *inf, struct sync_child *parent);
/* Operations that the runtime still has under way: the loop must run until it is 0 before
 * infra_free(). infra_stop() begins no new ones. */
void infra_stop(struct infra *inf);
size_t infra_busy(const struct infra *inf);
size_t infra_pods(const struct infra *inf);

/* For api_server_opts.open_stream and sync_child_opts.open_stream, with the infra as argument: logs
 * and exec of the pods of this node. */
struct node_stream *infra_open_stream(void *arg, const struct node_stream_req *req,
                                      const struct node_stream_events *events, void *events_arg,
                                      struct err *err);

#endif

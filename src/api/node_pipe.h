/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A stream of plain bytes to a port of a pod or to a node's agent (node_stream.h, PORT and AGENT)
 * as a struct stream, so that an HTTP client or a port-forward can stand on it. Loop thread only.
 */
#ifndef API_NODE_PIPE_H
#define API_NODE_PIPE_H

#include "api/node_stream.h"
#include "io/stream.h"

struct io_loop;
struct node_pipe;

/* s, which is the caller's now and does not read yet; or NULL and err (the node is not connected,
 * nothing listens, ...). Comes once, unless cancelled, not inside the call. */
typedef void node_pipe_fn(void *arg, struct stream *s, const struct err *err);

/* NULL with err when it cannot even be tried. The handle is gone when done has been called. */
struct node_pipe *node_pipe_open(struct io_loop *loop, node_stream_open_fn *open, void *open_arg,
                                 const struct node_stream_req *req, node_pipe_fn *done, void *arg,
                                 struct err *err);
void node_pipe_cancel(struct node_pipe *p); /* NULL is fine */
/* Why it broke, in a sentence; for on_error of a stream that came from here. */
const char *node_pipe_problem(const struct stream *s);

#endif

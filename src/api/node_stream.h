/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams from the API server to the node that runs a pod: logs, exec, attach, and plain bytes to a
 * port of a pod or to the node agent itself (node_pipe.h makes a struct stream of those).
 *
 * The embedding program gives the server an opener (node_stream_open_fn): a center's opener goes
 * through the reverse tunnel of the node, an edge's goes straight to its runtime. The server speaks
 * WebSocket or plain HTTP with the user's client and never learns which.
 *
 * A stream carries messages on numbered channels, the numbers of Kubernetes' remotecommand. Where
 * they must travel as bytes (in the tunnel) each message is framed so:
 *
 *      0        1                 5
 *      +--------+-----------------+----------------
 *      | channel| length, 4 B, BE | data ...
 *      +--------+-----------------+----------------
 *
 * Logs use CHANNEL_STDOUT only. An exec ends with one message on CHANNEL_ERROR, a Kubernetes Status
 * in JSON ({"metadata":{},"status":"Success"} or reason NonZeroExitCode with the cause ExitCode),
 * and then ended(0). An attach ends so, too, always with Success. CHANNEL_CLOSE carries one byte:
 * the channel that its sender has closed (stdin's end).
 *
 * A stream of bytes (PORT, AGENT) uses CHANNEL_STDIN for what goes to the node and CHANNEL_STDOUT
 * for what comes back; CHANNEL_CLOSE with CHANNEL_STDIN, or from the node with CHANNEL_STDOUT, is
 * the end of that direction. It ends when both directions have.
 *
 * Loop thread only. Callbacks never come inside open, send or close.
 */
#ifndef API_NODE_STREAM_H
#define API_NODE_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

enum node_channel {
    CHANNEL_STDIN = 0,
    CHANNEL_STDOUT = 1,
    CHANNEL_STDERR = 2,
    CHANNEL_ERROR = 3,
    CHANNEL_RESIZE = 4, /* {"Width":80,"Height":24} */
    CHANNEL_CLOSE = 255,
};

enum node_stream_type {
    NODE_STREAM_LOG,
    NODE_STREAM_EXEC,
    NODE_STREAM_ATTACH,
    NODE_STREAM_PORT,  /* bytes to a TCP port that something in the pod listens on at localhost */
    NODE_STREAM_AGENT, /* bytes to the agent's HTTP server (what a kubelet answers on its port) */
    NODE_STREAM_TYPE_NR
};

/* What is asked for. All texts are borrowed until open returns. */
struct node_stream_req {
    enum node_stream_type type;
    const char *node; /* spec.nodeName, never empty */
    const char *ns, *pod, *uid;
    /* log, exec, attach: checked to be one of the pod's, never empty; "" for the others. AGENT has
     * no ns, pod and uid either. */
    const char *container;
    int port; /* PORT: 1 to 65535 */
    /* exec, attach */
    const char *const *command; /* exec: NULL-terminated, at least one */
    bool in, out, err, tty;
    /* log */
    bool follow, previous, timestamps;
    int64_t tail_lines;     /* -1 = all */
    int64_t limit_bytes;    /* -1 = no limit */
    int64_t since_seconds;  /* -1 = none */
    const char *since_time; /* RFC 3339; NULL = none */
};

struct node_stream_events {
    /* The node has accepted; comes once, before any message. */
    void (*opened)(void *arg);
    /* data is borrowed. */
    void (*message)(void *arg, uint8_t channel, struct str data);
    /* send() may be called again after it returned 1. */
    void (*drained)(void *arg);
    /* Over, once: 0 = complete; else why, in a sentence for a person (-E_NOENT: no such container
     * or no previous one; -E_INVAL: the container waits to start; -E_UNREACH: the node is not
     * connected). The stream is freed after it returns. Does not come after close. */
    void (*ended)(void *arg, int code, const char *text);
};

struct node_stream;

struct node_stream_ops {
    /* The data is copied. 0; 1 = taken, but wait for drained before sending more; negative = lost,
     * ended follows. */
    int (*send)(struct node_stream *s, uint8_t channel, struct str data);
    /* While paused no message comes (at most what was in flight); the producer must be held back.
     */
    void (*pause)(struct node_stream *s, bool paused);
    /* Ends it from this side and frees it; no callback comes any more. */
    void (*close)(struct node_stream *s);
};

/* Embed as the first member. */
struct node_stream {
    const struct node_stream_ops *ops;
};

/* NULL with err when it cannot even be tried (the node has no tunnel, out of memory); every later
 * failure goes to ended. */
typedef struct node_stream *node_stream_open_fn(void *arg, const struct node_stream_req *req,
                                                const struct node_stream_events *events,
                                                void *events_arg, struct err *err);

/* ---- the framing ---- */

#define CHANNEL_HEADER 5

/* Appends one framed message; 0 or the buffer's error. */
int channel_frame(struct buf *out, uint8_t channel, struct str data);
/* Takes the first whole message of `in` without consuming it: returns the number of bytes that it
 * takes (consume them when done), 0 when more bytes are needed, -E_LIMIT when it is longer than
 * LIMIT_WS_MESSAGE. */
int64_t channel_next(struct str in, uint8_t *ret_channel, struct str *ret_data);

#endif

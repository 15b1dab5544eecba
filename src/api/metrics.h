/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nodes and pods use: asked of the nodes when somebody wants to know, through their tunnels,
 * all at a time with a bounded wait, and kept for a few seconds. Nothing travels when nobody asks.
 *
 *     metrics_ask(server, nodes) -> done -> metrics_pod(), metrics_node() as often as wanted, at
 * once
 *
 * A node that is cut off, or that did not answer in time, has no figures. metrics.k8s.io and the
 * HorizontalPodAutoscaler stand on it. Loop thread only.
 */
#ifndef API_METRICS_H
#define API_METRICS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"

struct api_server;

struct metrics_usage {
    int64_t cpu_nano;     /* billionths of a processor; -1 = not known (it has just begun) */
    int64_t memory_bytes; /* working set; -1 = not known */
};

struct metrics_container {
    const char *name;
    struct metrics_usage usage;
};

/* Read-only; valid until the next return to the loop. */
struct metrics_pod {
    const char *ns, *name, *uid;
    const struct metrics_container *containers;
    size_t n_containers;
    struct wall at;    /* when it was measured, by the node's clock */
    int64_t window_us; /* over which the CPU's rate was taken; 0 = not known */
};

struct metrics_node {
    struct metrics_usage usage;
    struct wall at;
    int64_t window_us;
};

struct metrics_query;
typedef void metrics_done_fn(void *arg);

/* Brings the figures of these nodes (NULL-terminated names; NULL = all nodes) up to date. done
 * comes once, from the loop, in at most METRICS_WAIT_MS; not after a cancel. NULL: -ENOMEM. */
#define METRICS_WAIT_MS 5000
struct metrics_query *metrics_ask(struct api_server *s, const char *const *nodes,
                                  metrics_done_fn *done, void *arg);
void metrics_cancel(struct metrics_query *q); /* NULL is fine; not after done */

/* What is known now, not older than a minute. False: nothing. */
bool metrics_node(struct api_server *s, const char *node, struct metrics_node *ret);
/* uid may be "". */
bool metrics_pod(struct api_server *s, const char *node, const char *ns, const char *name,
                 const char *uid, struct metrics_pod *ret);

/* For the server. */
struct metrics;
void metrics_free(struct metrics *m); /* NULL is fine; queries are dropped */

#endif

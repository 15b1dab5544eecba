/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fairness between callers: whose request is worked on next when more is asked than the loop can
 * do.
 *
 * A flow is one caller (a user, a node, the service accounts of a namespace) at a level with a
 * weight. Requests are charged with the loop time that they took, so a list of 10,000 pods costs
 * its caller more than a read by name. A flow that has used up its share of the present slice of
 * time waits in its own queue; the queues are served in turn, each for its weight, and the loop
 * reads from the network between two rounds. A quiet caller's request therefore waits for at most
 * one round, whatever others do. The queues are bounded: above that a request is refused (429).
 *
 *     flow_submit() --+-- share left, nothing of the flow waits --> fn at once
 *                     +-- else --> queue --> fn in a later tick
 *                     +-- queue full --> -E_TOOMANY
 *
 * Kubernetes calls this priority and fairness; it counts seats, we count time, because one loop
 * does the work. Loop thread only.
 */
#ifndef API_FLOW_H
#define API_FLOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/str.h"

struct api_user;
struct flow;
struct flow_control;
struct io_loop;

typedef void flow_fn(void *arg);

/* Embedded in the request; zeroed before the first use. */
struct flow_entry {
    /* private */
    struct list link;
    struct flow *flow; /* while it waits */
    flow_fn *fn;
    void *arg;
};

/* Which flow: the level's weight, and a name that is unique over all levels. */
struct flow_key {
    unsigned weight; /* 1 to 16; 0 = exempt: neither waits nor is charged */
    bool reject;     /* what could not run at once is refused */
    const char *name;
};

/* now_us NULL = the monotonic clock; tests give their own. NULL when memory is short. */
struct flow_control *flow_control_new(struct io_loop *loop, int64_t (*now_us)(void));
/* Nothing may wait any more; NULL is fine. */
void flow_control_free(struct flow_control *fc);

/* Runs fn(arg), inside the call or later, once. 0, -E_TOOMANY when too many requests of the flow
 * wait, -ENOMEM; fn is not called after a failure. */
int flow_submit(struct flow_control *fc, const struct flow_key *key, struct flow_entry *e,
                flow_fn *fn, void *arg);
/* fn will not be called any more. Fine for an entry that does not wait. */
void flow_cancel(struct flow_entry *e);

size_t flow_waiting(const struct flow_control *fc); /* entries in all queues */

/* The flow of a caller: administrators, the nodes (each by itself), the system's and the other
 * service accounts (by namespace), everybody else by name; who gives no credentials shares one.
 * text holds the name and needs FLOW_NAME_SIZE bytes; longer names are cut by a hash. */
#define FLOW_NAME_SIZE 128
struct flow_key flow_key_of(const struct api_user *user, char text[FLOW_NAME_SIZE]);

#endif

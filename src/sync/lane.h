/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status lane: empties a replica's outbox to the parent, as ordinary Kubernetes requests.
 *
 * Statuses of different objects go side by side, one object at a time; a pod's deletion waits for
 * its last status; events keep their order. An answer that says "that object is gone there" ends
 * the matter as a success does. Nothing is lost when the connection breaks: an entry leaves the
 * outbox when the parent has answered.
 */
#ifndef SYNC_LANE_H
#define SYNC_LANE_H

#include "base/err.h"
#include "sync/replica.h"

struct lane;
struct io_loop;
struct http_client;

int lane_new(struct io_loop *loop, struct replica *r, struct lane **ret, struct err *err);
void lane_free(struct lane *l); /* NULL is fine */
/* Begins to send over this client; requests under way on an earlier one are forgotten. */
void lane_open(struct lane *l, struct http_client *c);
/* The connection is gone: what was under way is sent again after the next lane_open(). To be called
 * before the client is freed. */
void lane_close(struct lane *l);

#endif

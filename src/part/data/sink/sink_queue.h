/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What waits in a sink: messages in order, in memory. Those at the head are under way; a message
 * leaves when it was delivered or given up. Bounded by number and bytes. (What must outlive the
 * process waits in sink_log.h instead.)
 */
#ifndef PART_DATA_SINK_QUEUE_H
#define PART_DATA_SINK_QUEUE_H

#include "base/list.h"
#include "sink.h"

struct sink_item {
    struct list link;
    struct sink_message message;
    struct arena arena; /* of the message's bytes and values */
    unsigned attempts;
    bool under_way;
    bool failed; /* to be sent again after the pause */
};

struct sink_queue {
    struct list items;
    size_t n, bytes;
    size_t under_way;
};

void sink_queue_init(struct sink_queue *q);
void sink_queue_clear(struct sink_queue *q); /* frees all, also what is under way */
/* An empty message with its arena, not yet in the queue; NULL when memory is short. */
struct sink_item *sink_item_new(void);
void sink_item_free(struct sink_item *it); /* NULL is fine */
void sink_queue_push(struct sink_queue *q, struct sink_item *it);
struct sink_item *sink_queue_find(struct sink_queue *q, uint64_t sequence); /* or NULL */
struct sink_item *sink_queue_oldest_idle(struct sink_queue *q);     /* not under way; NULL = none */
void sink_queue_remove(struct sink_queue *q, struct sink_item *it); /* and frees it */

#endif

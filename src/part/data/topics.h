/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory topics: from the memory sink of one rule to the memory source of a stream, without bytes.
 * Topics are levels separated by '/', subscriptions may use '+' and '#', as in MQTT. A message is
 * handed on in the next tick of the loop, so that rules that feed each other in a circle make no
 * recursion; what waits is bounded, the oldest are dropped and counted.
 */
#ifndef PART_DATA_TOPICS_H
#define PART_DATA_TOPICS_H

#include "base/list.h"
#include "stream/value.h"

struct io_loop;
struct topics;

/* deleted: NULL, or the key of the row that the event takes out of a lookup table. */
typedef void topic_fn(void *arg, const char *topic, const struct value *event,
                      const struct value *deleted);

struct topic_subscriber { /* embedded; public: fn, ready, arg */
    topic_fn *fn;
    /* Whether fn may be called; when not, all messages wait for topics_resume(). NULL = always. */
    bool (*ready)(void *arg);
    void *arg;
    char *filter; /* private, as the rest */
    struct list link;
};

struct topics *topics_new(struct io_loop *l); /* NULL when memory is short */
void topics_free(struct topics *t);           /* what waits is dropped; no subscriber may be left */
int topics_subscribe(struct topics *t, struct topic_subscriber *s, const char *filter);
void topics_unsubscribe(struct topics *t, struct topic_subscriber *s);
int topics_publish(struct topics *t, const char *topic, const struct value *event); /* copied */
int topics_delete(struct topics *t, const char *topic, const struct value *event,
                  const struct value *key); /* copied */
void topics_resume(struct topics *t);
uint64_t topics_dropped(const struct topics *t);

#endif

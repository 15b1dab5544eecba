/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which thread a rule runs on. Every stream is defined in the loop's engine, every rule is planned
 * there; one that is placed on a shard is planned once more in the shard's engine when it starts,
 * with the streams that it reads.
 *
 * A rule goes to the thread with the fewest running rules, of equals to a shard, as the loop's
 * thread has sources, sinks and REST beside. Rules that read a table stay on the loop's thread: its
 * rows are there; and those with a lateTopic: the topics are there.
 */
#ifndef PART_DATA_PLACEMENT_H
#define PART_DATA_PLACEMENT_H

#include "data_private.h"
#include "shard.h"

struct data_shard {
    struct data *data;
    struct shard *shard;
    uint32_t index;
    uint32_t rules; /* that run there */
};

/* threads: with the loop's own; 1 = no shards. */
int placement_open(struct data *d, unsigned threads, struct err *err);
void placement_close(struct data *d); /* after the rules */

/* Chooses the thread of a planned rule that is about to start: r->live, r->shard. */
int placement_choose(struct data_rule *r, rule_result_fn *on_result, struct err *err);
/* It runs now, or does so no more. */
void placement_count(struct data_rule *r, bool runs);
unsigned placement_thread(const struct data_rule *r); /* where it runs or ran: 0 = the loop's */
void placement_forget(struct data_rule *r); /* of a stopped rule: r->live is r->rule again */
/* The caller becomes the holder of r->live: all that was delivered before has been processed and
 * its results are with the sinks. Nothing on the loop's thread. */
void placement_hold(struct data_rule *r);
void placement_release(struct data_rule *r);
/* rule_skip() of r->live. */
void placement_skip(struct data_rule *r, struct data_stream *ds, bool skip);

/* A stream has a new definition in the loop's engine, or is gone. */
int placement_redefine(struct data_stream *ds, struct err *err);
int placement_schema_changed(struct data *d, struct str schema, struct err *err);
void placement_undefine(struct data *d, struct str name, bool table);

struct source;
/* Events of a source to the shards whose rules read it; what finds no room is counted. */
void placement_deliver(struct source *s, struct data_stream *ds, const struct payload *payloads,
                       uint32_t n);
void placement_deliver_values(struct source *s, struct data_stream *ds, const struct value *events,
                              const struct value *meta, uint32_t n);
/* Whether all of them have room; when not, ops->resume comes later. */
bool placement_room(struct data_stream *ds);

#endif

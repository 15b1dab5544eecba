/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules and the places of their sources. A source is shared: it goes back to the lowest place that
 * some rule needs, and the events between pass those rules by that have seen them (rule_skip), so
 * that none counts an event twice.
 *
 *      source     |----------------------o---->          o place of the source
 *      rule a     |======================o               in step
 *      rule b     |================================u     "behind of": passed by until u
 *
 * Invariant: a running rule is either in step with the source or waits for it at `until`, which is
 * above the place of the source; data_stream.behind counts the second.
 */
#ifndef PART_DATA_REPLAY_H
#define PART_DATA_REPLAY_H

#include "data_private.h"
#include "part/data/source/source.h"

struct rule_read {
    struct data_stream *stream;
    struct source_place *until;   /* heap; NULL = in step */
    struct source_place *covered; /* of the last checkpoint on the disk; heap; NULL = none */
};

/* Around rule_start() and rule_stop(). saved: {stream: place} of the checkpoint, or NULL. */
int replay_before(struct data_rule *r);
void replay_begin(struct data_rule *r, const struct value *saved);
void replay_end(struct data_rule *r);

/* Closes the source of a stream and opens it anew, by its definition of now; rules go on where they
 * were if it has such a place. */
void replay_reopen(struct data_stream *ds);

/* Of n events that the source delivers now, `at` after its place: how many go to the engine at
 * once, at least 1. Who is passed by is arranged. */
uint32_t replay_part(struct source *s, uint32_t at, uint32_t n);

/* The places of a rule as a value; those places, once a checkpoint with them is on the disk. */
struct value replay_value(const struct data_rule *r, struct arena *a);
void replay_covered(struct data_rule *r, const struct value *places);

void replay_hurry(struct data_stream *ds); /* its rules take a checkpoint now */
bool replay_congested(const struct data_stream *ds);

#endif

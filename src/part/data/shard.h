/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shards: engines on threads of their own, so that rules use more than one core. The loop's thread
 * has an engine as well; a rule lives on one of them, chosen when it starts (placement.c).
 *
 *      loop's thread                                         shard's thread
 *      source_deliver --shard_push--> [events] --a turn---> engine_push --> on_result, encoder
 *      sinks <---------- run ------- [notes] <--shard_post-----------------------+
 *      REST ----------shard_hold-----------------------------> engine (between two turns)
 *
 * Only events and notes cross the threads. Invariants:
 *  1. The engine, what hangs on it and the notes of the running turn belong to the holder: the
 *     thread during a turn (at most SHARD_TURN events), else the loop's thread after shard_hold().
 *     The thread begins no turn while somebody holds or waits to hold: nobody starves.
 *  2. The thread begins no turn while notes of an earlier one wait, and never waits inside a turn:
 *     shard_hold() takes no longer than a turn, and what waits to go out is bounded by two turns.
 *  3. Both queues are in order. After shard_settle() all that was pushed has been processed and all
 *     that came of it has been handed on: a rule is saved and stopped then only.
 *  4. Events (shard_events.h) are copied once for all shards, are read-only, and go with the last
 *     reference. Notes own what they carry.
 *  5. One lock a shard; nothing is computed, allocated or called under it.
 *
 * All functions belong to the loop's thread except shard_post(), which belongs to the holder. A
 * shard that is NULL stands for the loop's own engine: hold, settle and release do nothing.
 */
#ifndef PART_DATA_SHARD_H
#define PART_DATA_SHARD_H

#include "base/list.h"
#include "stream/engine/engine.h"

#define SHARD_TURN 256 /* events */

struct io_loop;
struct shard;

/* ---- from the shard to the loop ---- */

struct shard_note { /* embedded; public: fn. It runs once, on the loop, and frees the note */
    struct list link;
    void (*fn)(struct shard_note *n);
};

/* In a callback of the shard's engine. */
void shard_post(struct shard *s, struct shard_note *n);

/* ---- life ---- */

struct shard_config {
    struct io_loop *loop;
    const char *zone;            /* NULL = UTC */
    schema_find_fn *find_schema; /* of the engine; called on the loop's thread */
    void *schema_arg;
    /* Of the engine. on_error and on_late come from the holder, on_use from the loop's thread. */
    void (*on_error)(struct shard *s, struct rule *r, const struct err *err);
    void (*on_late)(struct shard *s, struct rule *r, const struct value *event);
    void (*on_use)(struct shard *s, struct engine_stream *stream, bool used);
    /* There is room again, after shard_room() said no. */
    void (*on_room)(void *arg);
    void *arg;
};

int shard_new(const struct shard_config *cfg, struct shard **ret, struct err *err);
void shard_free(struct shard *s); /* ends the thread; no callback afterwards; NULL is fine */
void *shard_arg(const struct shard *s);

/* ---- control ---- */

/* Until shard_release() the caller is the holder. May be nested. */
struct engine *shard_hold(struct shard *s);
void shard_release(struct shard *s);
/* By the holder: see invariant 3. */
void shard_settle(struct shard *s);

/* ---- events in ---- */

struct shard_events; /* shard_events.h */

/* Whether a source that can wait may deliver: little is there yet; with `soon`: nothing that waits,
 * as all is processed at once when a rule takes a checkpoint. When not, on_room comes later. */
bool shard_room(struct shard *s, bool soon);
/* Takes a reference of its own. stream is of the shard's engine. -E_AGAIN: full. */
int shard_push(struct shard *s, struct engine_stream *stream, struct shard_events *ev);

#endif

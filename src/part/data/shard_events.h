/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A delivery of a source on its way to the shards: a copy, read-only, shared by all of them, freed
 * with the last reference. Made on the loop's thread, read and released by any.
 */
#ifndef PART_DATA_SHARD_EVENTS_H
#define PART_DATA_SHARD_EVENTS_H

#include "stream/engine/engine.h"

struct shard_events {
    uint32_t refs; /* atomic */
    uint32_t n;
    size_t bytes;
    struct payload *payloads; /* NULL: values */
    struct value *values, *meta;
    int64_t *arrival;
    struct arena arena;
};

/* One reference, the caller's. NULL when memory is short. meta of values may be NULL. */
struct shard_events *shard_events_payloads(const struct payload *payloads, uint32_t n);
struct shard_events *shard_events_values(const struct value *events, const struct value *meta,
                                         int64_t arrival_us, uint32_t n);
struct shard_events *shard_events_ref(struct shard_events *ev);
void shard_events_unref(struct shard_events *ev); /* NULL is fine */

#endif

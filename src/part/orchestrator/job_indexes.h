/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of completion indexes, written as "1,3-5,7". They lie in an arena; the intervals are sorted
 * and do not touch.
 */
#ifndef ORCHESTRATOR_JOB_INDEXES_H
#define ORCHESTRATOR_JOB_INDEXES_H

#include <stdbool.h>

#include "base/arena.h"

struct index_span {
    int64_t first, last;
};

struct index_set {
    /* read-only */
    struct index_span *v;
    size_t n;
    int64_t total; /* how many indexes */
};

/* What is not below `limit`, and what makes no sense, is left out. False when the arena failed. */
bool index_set_parse(struct index_set *s, struct arena *a, struct str text, int64_t limit);
bool index_set_has(const struct index_set *s, int64_t index);
/* Adds n indexes in any order (they are sorted in place). False when the arena failed. */
bool index_set_add(struct index_set *s, struct arena *a, int64_t *indexes, size_t n);
bool index_set_join(struct index_set *s, struct arena *a, const struct index_set *other);
/* NULL when the arena failed. */
const char *index_set_text(const struct index_set *s, struct arena *a);
/* The lowest index >= from that is not in the set. */
int64_t index_set_gap(const struct index_set *s, int64_t from);

#endif

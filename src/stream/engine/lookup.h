/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of a lookup table: the latest of each key, shared by all rules that join it. A key is a
 * number, a text or a bool; 1 and 1.0 are the same.
 */
#ifndef STREAM_ENGINE_LOOKUP_H
#define STREAM_ENGINE_LOOKUP_H

#include "base/list.h"
#include "base/map.h"
#include "stream/batch.h"

struct lookup {
    /* private */
    struct str key; /* name of the key's field; borrowed */
    struct map by_key;
    struct list entries; /* in order of their keys' first arrival */
};

/* A row as the shape has it now: cells of fields that it got since come from the whole event. NULL
 * when memory is short. */
struct row *row_in_shape(const struct row *r, const struct shape *shape);

void lookup_init(struct lookup *l, struct str key);
void lookup_fini(struct lookup *l);
/* What the other one holds is this one's, which must be empty; the other one is. */
void lookup_move(struct lookup *to, struct lookup *from);
/* Takes the row over. -E_INVAL: the event has no key; -E_LIMIT: there are LIMIT_TABLE_ROWS. */
int lookup_put(struct lookup *l, struct row *r, struct err *err);
void lookup_delete(struct lookup *l, const struct value *key); /* what is not there: nothing */
/* NULL: there is none. A row that was made before the shape grew is made anew: -E_NOMEM. */
int lookup_find(struct lookup *l, const struct shape *shape, const struct value *key,
                const struct row **ret);
/* All rows, borrowed until the next change, in the arena. */
int lookup_all_rows(struct lookup *l, const struct shape *shape, struct arena *a,
                    const struct row ***ret, uint32_t *ret_n);

#endif

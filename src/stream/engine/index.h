/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index of predicates: which of thousands of rules on one stream want which rows of a batch.
 *
 *      WHERE kind = "pump" AND t > 80        hash of (kind, "pump") -> rule
 *      WHERE t BETWEEN 20 AND 30             intervals over t       -> rule
 *      WHERE meta(topic) = "a/b"             hash of the topic      -> rule
 *      WHERE f(x) OR y                       plain: every row, every batch
 *
 * Of each rule's WHERE one condition is taken as its key: equality or IN with constants, or bounds,
 * of a field of the stream or of a member of its metadata. The cost of a batch follows the matches
 * and the plain rules, not the rules.
 *
 * The index is a filter in front: what it gives is a superset of the rows that match, and it says
 * when it is exact. Otherwise the rule filters the rows by its whole WHERE, so that results and
 * errors are those of the WHERE (rows whose type cannot be compared with the key come inexactly; an
 * error in another condition is not told for rows that the key has ruled out). Rules with analytic
 * functions must see every row: they are added without a WHERE.
 */
#ifndef STREAM_ENGINE_INDEX_H
#define STREAM_ENGINE_INDEX_H

#include "stream/batch.h"
#include "stream/expr/expr.h"

struct index;

int index_new(struct index **ret);
void index_free(struct index *x); /* NULL is fine */

/* rule is what index_match() hands back, and may be added once. where (NULL = every row) is
 * borrowed until index_remove(); its fields are those of source 0. 0 or -ENOMEM. */
int index_add(struct index *x, void *rule, const struct expr *where);
void index_remove(struct index *x, void *rule); /* nothing when it is not there */
uint32_t index_rules(const struct index *x);
/* True when the rule has a key, false when it is plain or not there: for EXPLAIN. */
bool index_has_key(const struct index *x, const void *rule);

/* sel (never empty, ascending) may be changed by the callee. exact: WHERE is true for all of them.
 * Rules may be added and removed inside: new ones see the next batch, removed ones no more; and a
 * match may run inside. */
typedef void index_match_fn(void *arg, void *rule, struct selection *sel, bool exact);

/* Calls fn for every rule that a row of the batch may match, in the order of index_add(). 0 or
 * -ENOMEM (then nothing was called). */
int index_match(struct index *x, const struct batch *b, index_match_fn *fn, void *arg);

#endif

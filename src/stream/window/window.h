/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows with what is folded over them: rows in, groups of rows or aggregates out.
 *
 *      rows --filter--> window --(fires)--> join --> group and aggregate --> window_emit_fn
 *
 * All six kinds of eKuiper. Time windows are aligned to natural time in the rule's zone (a 10 s
 * window ends at :00, :10, ...; a day at local midnight). A sliding window fires at each row that
 * meets WHEN (every row when there is none), after its delay; a count window at each interval-th
 * row; a session when no row came for its time-out or it grew to its length; a state window runs
 * from a row that meets `begin` to one that meets `emit`.
 *
 * Where the statement needs aggregates only, no row is kept: partial aggregates are kept a slice
 * (panes of tumbling and hopping windows, two-stacks for sliding ones in order, a finger tree out
 * of order), and rows are folded in straight from the batch. Otherwise counted rows are kept.
 *
 * Time is given from outside (window_advance), so a virtual clock works: in event time it is the
 * watermark, and rows arrive ordered by it (watermark.h); in processing time it is the clock.
 * Single-threaded.
 */
#ifndef STREAM_WINDOW_WINDOW_H
#define STREAM_WINDOW_WINDOW_H

#include "stream/batch.h"
#include "stream/expr/expr.h"
#include "stream/sql/ast.h"

struct aggregate_call {
    const struct function *function;
    struct expr **args; /* count(*) has none */
    uint32_t n_args;
    struct expr *filter; /* FILTER (WHERE ...) or NULL */
    bool distinct;
};

/* A lookup table on the right of a join: it is asked when the join needs a row. Rows are borrowed
 * until the table changes, which is not while a window fires. 0 or -E_NOMEM. */
struct join_lookup {
    void *arg;
    int key_slot; /* of the field that is its key; -1: nothing reads it */
    int (*one)(void *arg, const struct value *key, const struct row **ret); /* NULL: none */
    int (*every)(void *arg, struct arena *a, const struct row ***ret, uint32_t *ret_n);
};

/* A join of the window's rows; source i + 1 is joined to what stands left of it. */
struct join_spec {
    enum ast_join_kind kind;
    struct expr *on; /* NULL = all pairs */
    bool table;      /* the right side is a scan table: its rows stay, no window drops them */
    uint32_t retain; /* of a table: how many of its latest rows stay; 0 = all */
    const struct join_lookup *lookup; /* INNER, LEFT and CROSS only; NULL = none */
};

struct window_spec {
    /* The window as written; kind NONE: every push of a row fires at once with that row alone (join
     * with tables, aggregates without a window). */
    enum ast_window_kind kind;
    int64_t length, interval, delay; /* as in struct ast_window */
    struct str unit;
    bool event_time;
    int64_t lateness; /* us: tumbling, hopping and sliding windows keep what they fired so long,
                         for window_correct() */
    const struct expr *filter, *when, *begin, *emit; /* NULL = none; see one source-0 row each */
    struct expr **partition;                         /* of state windows */
    uint32_t n_partition;
    /* What is folded. */
    const struct expr *where; /* of the window's (joined) tuples, before they are grouped; NULL =
                                 none. A window of which no tuple meets it is not emitted. eKuiper
                                 does WHERE here for count windows, event time and joins, and before
                                 the window otherwise */
    uint32_t n_computed;      /* EXPR_COMPUTED values of source 0 that stay with each row (analytic
                                 functions); those that expressions of this spec read always do */
    uint32_t n_sources;
    const struct join_spec *joins; /* n_sources - 1 */
    struct expr **keys;            /* GROUP BY */
    uint32_t n_keys;
    const struct aggregate_call *aggregates;
    uint32_t n_aggregates;
    bool grouped;    /* GROUP BY or an aggregate is there: output is groups, else single tuples */
    bool needs_rows; /* the projection reads more than keys, aggregates and the group's first row */
    /* Surroundings; borrowed, outlive the window. */
    struct eval_rule *rule;
    struct zone *zone;   /* NULL = UTC */
    size_t memory_limit; /* bytes of rows and states; 0 = LIMIT_RULE_BYTES */
};

struct window_group {
    const struct tuple *const
        *tuples; /* all tuples of the group where needs_rows, else the one whose cells bare
                    fields show: the first (eKuiper shows it); none in an empty window */
    uint32_t n_tuples;
    /* Of each tuple: the EXPR_COMPUTED values that came with its row of source 0; an item is NULL
     * where there were none. */
    const struct value *const *computed;
    const struct value *aggregates; /* n_aggregates values */
};

struct window_output {
    struct window_range range;
    const struct window_group *groups; /* not grouped: one group with all tuples in order */
    uint32_t n_groups;
    struct arena *arena; /* lives until the callback returns */
};

/* Called inside window_push* and window_advance. A time window without rows is emitted too, unless
 * it is grouped by keys or joined: then there is nothing to show. After 1,000 empty windows in a
 * row the grid jumps to the next row or to now. */
typedef void window_emit_fn(void *arg, const struct window_output *out);
/* A row whose filter, key or argument failed to compute (the row is left out), or a limit that was
 * reached (-E_LIMIT: what was dropped is in the text). */
typedef void window_error_fn(void *arg, const struct row *row, const struct err *err);

struct window;

/* spec is copied, its expressions are borrowed. -ENOMEM, -E_INVAL with a sentence. */
int window_new(const struct window_spec *spec, window_emit_fn *emit, window_error_fn *error,
               void *arg, struct window **ret, struct err *err);
void window_free(struct window *w);

/* Rows of one source, in order of time. The row is referenced as long as it is needed. */
int window_push(struct window *w, uint32_t source, struct row *row);
/* A row that is late (watermark.h): windows of it that have fired fire again, as corrections
 * (range.correction counts them); those to come have it too. Rows beyond `lateness` are left out,
 * and by other kinds of windows than tumbling, hopping and sliding all late ones: 1 = taken (or
 * FILTER does not want it), 0 = left out. */
int window_correct(struct window *w, uint32_t source, struct row *row);
/* The selected rows of a batch of source 0; computed: columns of EXPR_COMPUTED or NULL. The fast
 * path: keys and arguments are computed as columns. */
int window_push_batch(struct window *w, struct batch *b, const struct column *computed,
                      const struct selection *sel);
/* Time is now `us`: all that is due until then fires, in order. Call it once when the rule starts:
 * the windows of processing time begin there. */
int window_advance(struct window *w, int64_t us);
/* When window_advance() must be called next; INT64_MAX = when rows come. */
int64_t window_next(const struct window *w);
size_t window_bytes(const struct window *w); /* what it holds */

/* The state as a value in the arena, and back (into a fresh window of a compatible spec: -E_INVAL
 * when it does not fit). */
int window_save(const struct window *w, struct arena *a, struct value *ret);
int window_load(struct window *w, const struct value *saved, struct err *err);

#endif

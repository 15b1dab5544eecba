/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MATCH_RECOGNIZE: finds sequences of rows, per partition, as a nondeterministic automaton that
 * runs over rows in order of their time.
 *
 *      rows --> partition --> attempts (one a first row) --> runs, the preferred one first
 *                                                               |
 *      match_emit_fn <-- the preferred run of the earliest attempt that reached the end
 *
 * A run that reaches the end of the pattern cuts off those of its attempt that are less preferred;
 * the match is told once no better one can come. With SKIP PAST LAST ROW a match ends the attempts
 * that began in it. A partition exists only while an attempt of it runs.
 *
 * Conditions and measures see the row at hand as source 0, and other rows of the match as
 * EXPR_COMPUTED: slot i is what `refs[i]` says. Single-threaded; time is given from outside.
 */
#ifndef STREAM_WINDOW_MATCH_H
#define STREAM_WINDOW_MATCH_H

#include "stream/expr/expr.h"
#include "stream/sql/ast.h"

enum match_ref_kind {
    MATCH_LAST,       /* the offset-th row from the end of those of the variable; A.x, last(A.x) */
    MATCH_FIRST,      /* the offset-th from the beginning */
    MATCH_PREV,       /* the row `offset` places before the row at hand, in the match */
    MATCH_CLASSIFIER, /* the name of the part that the row at hand stands for */
    MATCH_NUMBER,     /* of the match, from 1 */
    MATCH_AGGREGATE   /* over the rows of the variable */
};

struct match_ref {
    enum match_ref_kind kind;
    int32_t variable; /* index into steps; the rows of all steps of that name; -1 = any row */
    uint32_t offset;  /* of MATCH_PREV at least 1 */
    const struct expr *expr;          /* over that row; of MATCH_AGGREGATE its argument or NULL */
    const struct function *aggregate; /* MATCH_AGGREGATE */
};

struct match_spec {
    const struct ast_pattern_step *steps; /* at most LIMIT_MATCH_STEPS, not all of them optional */
    struct expr **defines;                /* n_steps; NULL = any row */
    uint32_t n_steps;
    struct expr **partition;
    uint32_t n_partition;
    const struct match_ref *refs;
    uint32_t n_refs;
    struct expr **measures;
    uint32_t n_measures;
    int64_t within_us; /* 0 = unbounded */
    bool skip_past;    /* else TO NEXT ROW */
    bool all_rows;     /* a result for each row of a match, with what was known at that row */
    struct eval_rule *rule;
    size_t max_runs; /* of all partitions; 0 = LIMIT_MATCH_RUNS. More: the newest attempt ends */
};

/* One result: measures hold n_measures values, row is the (last) row of the match. Both live until
 * the callback returns. Called inside match_push and match_advance. */
typedef void match_emit_fn(void *arg, const struct value *measures, const struct row *row);
/* A condition or measure failed to compute (the row does not meet it, the measure is null), or
 * -E_LIMIT: what was given up is in the text. */
typedef void match_error_fn(void *arg, const struct row *row, const struct err *err);

struct match;

/* spec is copied, what it points to is borrowed. -ENOMEM. */
int match_new(const struct match_spec *spec, match_emit_fn *emit, match_error_fn *error, void *arg,
              struct match **ret);
void match_free(struct match *m); /* NULL is fine; nothing is told */
/* The next row, in order of time; referenced as long as it is needed. 0 or -ENOMEM. */
int match_push(struct match *m, struct row *row);
/* Time is now `us`: attempts that WITHIN ends are over, and their matches are told. */
int match_advance(struct match *m, int64_t us);
int64_t match_next(const struct match *m); /* when to advance next; INT64_MAX = when rows come */
size_t match_runs(const struct match *m);  /* what it holds */

/* What is under way, as a value in the arena, and back into a fresh matcher of the same pattern:
 * -E_INVAL "the saved state of MATCH_RECOGNIZE ..." when it does not fit; the matcher can then only
 * be freed. */
int match_save(struct match *m, struct arena *a, struct value *ret);
int match_load(struct match *m, const struct value *saved, struct err *err);

#endif

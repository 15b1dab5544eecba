/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The plan of one SELECT: names resolved to slots of the streams' shapes, what is computed once a
 * row or once a group taken out into computed slots, conditions put where they cost least.
 *
 *      rows -> [analytic functions] -> [filter] -> [window, join, where, group] -> [having]
 *           -> [unnest] -> [order] -> [limit] -> [projection]
 *
 * Slots of EXPR_COMPUTED: first the analytic functions, then the aggregates.
 *
 * Aliases may be used in every clause and in other fields, in any order; within its own expression
 * the name of an alias is the column's.
 */
#ifndef STREAM_ENGINE_PLAN_H
#define STREAM_ENGINE_PLAN_H

#include "stream/sql/ast.h"
#include "stream/window/match.h"
#include "stream/window/window.h"

struct engine;
struct engine_stream;

struct plan_source {
    struct engine_stream *stream;
    struct str name; /* alias, else the stream's name */
    bool table;
};

struct plan_analytic {
    const struct function *function;
    struct expr **args;
    uint32_t n_args;
    struct expr **partition;
    uint32_t n_partition;
    struct expr *when; /* NULL = every row */
};

struct plan_field {
    struct str name;
    struct expr *expr;
    bool spread; /* its members are columns of the result */
    bool unnest; /* its items are rows of the result: objects are spread, others named by `name` */
};

struct plan_order {
    struct expr *expr;
    bool descending;
};

/* MATCH_RECOGNIZE: the only operator of its plan, whose results feed a hidden stream. */
struct plan_match {
    struct match_spec spec; /* `rule` is the rule's; measures begin with columns of the partition */
    struct str *names;      /* of the measures */
};

struct plan {
    struct arena arena;
    struct plan_source *sources; /* in order of FROM, JOIN; an analytic function sees source 0 */
    uint32_t n_sources;
    struct plan_analytic *analytics;
    uint32_t n_analytics;
    struct expr *filter;        /* before the window, over source 0; NULL = none */
    bool columnar;              /* no window, join, group: rows go straight to the projection */
    struct window_spec *window; /* NULL: columnar; `rule`, `zone` and limits are the rule's */
    struct expr *having;
    struct plan_field *fields;
    uint32_t n_fields;
    struct plan_order *order;
    uint32_t n_order;
    int64_t limit;            /* -1 = none */
    struct plan_match *match; /* NULL = none */
    bool distinct, unnests;
    bool row_number; /* row_number() is there: rows are counted after HAVING */
    bool
        sequential; /* a condition reads what earlier rows did (last_hit_time): one row at a time */
};

/* Finds a stream by name for the planner: of the engine, or hidden ones of sub-queries. */
typedef struct engine_stream *plan_find_fn(void *arg, struct str name);

/* Plans; fields that the statement names are added to the shapes of its streams. The tree may be
 * freed afterwards. -E_INVAL with a sentence in eKuiper's words where users know them, -ENOMEM. */
int plan_make(const struct ast_select *s, plan_find_fn *find, void *arg, struct plan **ret,
              struct err *err);
/* The same of MATCH_RECOGNIZE behind a source. */
int plan_make_match(const struct ast_source *s, plan_find_fn *find, void *arg, struct plan **ret,
                    struct err *err);
void plan_free(struct plan *p); /* NULL is fine */
/* One operator a line, the last first, as eKuiper's EXPLAIN. */
int plan_explain(const struct plan *p, struct buf *out);

#endif

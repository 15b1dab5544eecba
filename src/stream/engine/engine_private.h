/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the engine share.
 *
 *   engine.c       the engine: time, events in
 *   catalog.c      streams and tables
 *   lookup.c       rows of lookup tables
 *   plan*.c        from a statement to a plan
 *   rule.c         life of a rule, checkpoints, status
 *   rule_rows.c    rows in: analytic functions, filter, projection as columns, windows
 *   rule_time.c    timers, event time, late rows, time out of sub-queries
 *   rule_match.c   MATCH_RECOGNIZE
 *   rule_result.c  results of windows: having, unnest, order, limit, projection
 *   index*.c       which rules want which rows
 */
#ifndef STREAM_ENGINE_ENGINE_PRIVATE_H
#define STREAM_ENGINE_ENGINE_PRIVATE_H

#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "engine.h"
#include "index.h"
#include "lookup.h"
#include "plan.h"
#include "stream/expr/program.h"
#include "stream/sql/ast.h"
#include "stream/window/watermark.h"
#include "stream/window/wheel.h"

struct engine {
    struct engine_options opts;
    char *zone_name;
    struct zone *zone; /* NULL = UTC */
    int64_t now_us;
    struct map streams;       /* name -> struct engine_stream */
    struct list stream_order; /* by name */
    struct map rules;         /* id -> struct rule */
    struct wheel *wheel;
    struct shape error_shape; /* of results {"error": "..."} */
};

/* A rule's interest in a stream: the i-th source of one of its pipelines. */
struct tap {
    struct list link; /* of the stream's taps */
    struct pipeline *pipeline;
    struct engine_stream *stream;
    uint32_t source;
    bool skip; /* rule_skip() */
};

struct engine_stream {
    struct engine *engine; /* NULL: hidden, the result of a sub-query */
    struct list link;
    char *name, *ddl;
    const char *plain;                /* within name: what follows the scope */
    struct arena arena;               /* of the definition */
    struct ast_statement *definition; /* NULL: hidden */
    bool table, lookup;
    struct shape shape;
    struct decoder *decoder;
    struct index *index; /* of taps */
    struct list taps;    /* of running pipelines */
    uint32_t users;      /* running rules that read it */
    uint64_t sequence;   /* of the next row */
    uint64_t rows, errors;
    uint32_t retain;   /* of a table: how many rows stay; 0 = all, within LIMIT_TABLE_ROWS */
    struct row **kept; /* of a table: its rows, a ring once there are as many as stay */
    uint32_t n_kept, cap_kept, oldest;
    struct lookup by_key; /* of a lookup table: its rows */
    void *data;
};

struct op_count {
    uint64_t in, out, errors;
    uint64_t us; /* spent in it; a window's and projection's with what they hand on to */
};

/* One SELECT at work. A rule has one, and one more for each sub-query and each branch of UNION. */
struct pipeline {
    struct rule *rule;
    struct plan *plan;
    struct list link;                    /* of the rule's pipelines; inner ones first */
    struct engine_stream *feeds;         /* a hidden stream; NULL: the rule's result */
    char *signature;                     /* rule_save.c */
    struct tap *taps;                    /* plan->n_sources */
    struct program *filter;              /* NULL until a row needs it */
    struct program **fields;             /* of a columnar plan; the same */
    struct shape shape;                  /* of the result */
    struct window *window;               /* NULL when columnar */
    struct match *match;                 /* of MATCH_RECOGNIZE, else NULL */
    struct match_results *match_results; /* rule_match.c: while the matcher runs */
    struct watermark *watermark;         /* NULL in processing time */
    int64_t reached_us; /* in event time: nothing earlier comes out; INT64_MIN = not known */
    struct analytic_state *analytics; /* rule_analytic.c */
    struct wheel_timer timer;
    uint64_t late; /* rows that no window took for their lateness */
    struct op_count op_analytic, op_filter, op_window, op_project;
    bool running;
    bool indexed; /* the index knows the filter: what it calls exact has passed it */
};

struct rule_state { /* what rule_save() gave */
    struct arena arena;
    struct value value;
};

struct rule {
    struct engine *engine;
    char *id, *sql;
    char *scope; /* NULL: none */
    struct rule_options opts;
    char *zone_name;
    struct zone *zone;
    rule_result_fn *on_result;
    void *arg;
    struct list pipelines;
    struct engine_stream **hidden; /* results of sub-queries */
    uint32_t n_hidden;
    struct eval_rule eval;
    struct rule_state *saved; /* to start with; NULL (rule_save.c) */
    bool running;
    uint64_t results, errors;
    char **streams; /* of rule_stream(); heap, and so is each */
    uint32_t n_streams;
};

/* ---- catalog.c ---- */

/* A stream that exists inside a rule only. */
struct engine_stream *stream_new_hidden(struct engine *e, struct str name, struct err *err);
void stream_free(struct engine_stream *s);
/* Rows of a table as they are now, in the current shape; borrowed until the next call. */
int stream_each_row(struct engine_stream *s, int (*fn)(void *arg, struct row *r), void *arg);
int stream_keep_row(struct engine_stream *s, const struct batch *b, uint32_t row);
/* An event that is none, or no row: counted, and told to the rules that read the stream. */
void stream_refused(struct engine_stream *s, const struct err *err);
/* Hands a decoded batch to all taps. */
int stream_spread(struct engine_stream *s, struct batch *b);
void catalog_free(struct engine *e);

/* ---- rule.c ---- */

void rule_failed(struct rule *r, const struct err *err);
int rule_replan(struct rule *r, struct err *err); /* a stream of it has a new definition */
bool rule_reads(const struct rule *r, const struct engine_stream *s);

/* ---- rule_save.c ---- */

char *rule_signature(const struct ast_select *s); /* heap; NULL when memory is short */
void rule_forget_saved(struct rule *r);
/* Gives a pipeline that was just opened the state that rule_load() left for it. */
int pipeline_restore(struct pipeline *p, struct err *err);

/* ---- rule_rows.c ---- */

/* Rows for a tap; exact: the filter is known to hold for all of sel. */
int pipeline_take(struct pipeline *p, uint32_t source, struct batch *b, struct selection *sel,
                  bool exact);
/* The same when they are in order of time. */
int pipeline_rows(struct pipeline *p, uint32_t source, struct batch *b, struct selection *sel,
                  bool exact);
/* WHERE before the window: leaves in sel what meets it. */
int pipeline_filter(struct pipeline *p, struct batch *b, const struct column *computed,
                    struct selection *sel);
/* What goes out: to the rule's callback or to a hidden stream. Takes the batch. */
int pipeline_emit(struct pipeline *p, struct batch *out, bool single,
                  const struct window_range *range);
/* Whether a null of the field is left out of the result: it is computed and sendNilField not set.
 */
bool pipeline_drops_null(const struct pipeline *p, uint32_t field);
/* "run Where error: ...": told, and sent as a result with sendError; clause may be NULL. */
void pipeline_error(struct pipeline *p, const char *clause, const struct err *err);
int pipeline_open(struct pipeline *p, struct err *err);
void pipeline_close(struct pipeline *p);

/* ---- rule_time.c ---- */

int pipeline_arm(struct pipeline *p); /* the timer of its window */
int pipeline_time(struct pipeline *p, int64_t now_us);
int pipeline_watermark_open(struct pipeline *p, struct err *err);

/* ---- rule_match.c ---- */

int pipeline_match_open(struct pipeline *p);
int pipeline_match_rows(struct pipeline *p, const struct batch *b, const struct selection *sel);
int pipeline_match_time(struct pipeline *p, int64_t us);

/* ---- rule_result.c ---- */

void pipeline_on_window(void *arg, const struct window_output *out);

/* ---- rule_analytic.c ---- */

int analytic_new(const struct plan *plan, struct analytic_state **ret);
void analytic_free(struct analytic_state *s, const struct plan *plan);
/* Computes the analytic functions for the selected rows, in order, into *columns (n_analytics of
 * them), which are made in the batch's arena where *columns is NULL. Rows that fail are taken out
 * of sel. */
int analytic_run(struct pipeline *p, struct batch *b, struct selection *sel,
                 struct column **columns);
int analytic_save(const struct analytic_state *s, const struct plan *plan, struct arena *a,
                  struct value *ret);
int analytic_load(struct analytic_state *s, const struct plan *plan, const struct value *saved);
size_t analytic_bytes(const struct analytic_state *s, const struct plan *plan);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The engine: streams, tables and rules, and the events that flow through them. No I/O: sources
 * push payloads in, results come out by callback, and time is given from outside, so that a test
 * runs days in milliseconds. One engine a thread; all calls come from its thread.
 *
 *      engine_push(stream, payloads)                              result_fn(rule, batch)
 *         |  one decode a batch, for all rules of the stream            ^
 *         v                                                             |
 *      predicate index --> rule: analytic, filter, window, join, group, having, project, order
 *
 * Streams are shared: all rules that read a stream read the same batches. Definitions are text
 * (CREATE STREAM ...), rules are SQL with options, both in eKuiper's language; engine/catalog.h
 * has what REST and kinds need to show and store them.
 */
#ifndef STREAM_ENGINE_ENGINE_H
#define STREAM_ENGINE_ENGINE_H

#include "stream/batch.h"
#include "stream/format/format.h"

struct engine;
struct engine_stream; /* a stream or a table */
struct rule;
struct window_range; /* expr/expr.h */

struct engine_options {
    const char *zone; /* time zone for natural time and formats; NULL = UTC */
    /* A rule could not compute something: which event and why; it goes on. May be NULL. */
    void (*on_error)(void *arg, struct rule *r, const struct err *err);
    /* An event of a rule with rule_late_topic() came so late that no window takes it; it lives
     * until the callback returns. May be NULL. */
    void (*on_late)(void *arg, struct rule *r, const struct value *event);
    /* A stream got its first rule (start the source) or lost its last (stop it). May be NULL. */
    void (*on_use)(void *arg, struct engine_stream *s, bool used);
    void *arg;
    /* The schemas that SCHEMAID names (stream/format/format.h); NULL = there are none. */
    schema_find_fn *find_schema;
    void *schema_arg;
};

int engine_new(const struct engine_options *opts, int64_t now_us, struct engine **ret,
               struct err *err);
void engine_free(struct engine *e);

/* ---- streams and tables ---- */

/* CREATE STREAM or CREATE TABLE. -E_EXISTS "Stream demo already exists", -E_PARSE, -E_INVAL. With
 * `replace`, an existing one gets the new definition (its VERSION must be lexically greater where
 * both have one); rules that read it are planned anew. */
int engine_define(struct engine *e, struct str ddl, bool replace, struct err *err);
/* The same in a scope: the engine knows it as "scope/name", rules of the scope (rule_options) and
 * its own text by its plain name. An empty scope is none. */
int engine_define_in(struct engine *e, struct str scope, struct str ddl, bool replace,
                     struct err *err);
/* -E_NOENT; -E_CONFLICT with the names of the rules that read it. */
int engine_drop(struct engine *e, struct str name, bool table, struct err *err);

/* A schema has a new text: its streams decode by it. When one of them cannot, all stay with the old
 * one and err names it. */
int engine_schema_changed(struct engine *e, struct str schema, struct err *err);

struct engine_stream *engine_stream(struct engine *e, struct str name); /* NULL = there is none */
const char *engine_stream_name(const struct engine_stream *s);
const char *engine_stream_ddl(const struct engine_stream *s);
bool engine_stream_is_table(const struct engine_stream *s);
bool engine_stream_is_lookup(const struct engine_stream *s); /* a table with KIND="lookup" */
/* An option of WITH (...), key in upper case; empty when absent. TYPE, DATASOURCE, FORMAT, ... */
struct str engine_stream_option(const struct engine_stream *s, const char *key);
/* The next stream or table in order of names; start with NULL. */
struct engine_stream *engine_stream_next(struct engine *e, struct engine_stream *s);
void engine_stream_set_data(struct engine_stream *s, void *data); /* the owner of its source */
void *engine_stream_data(const struct engine_stream *s);

/* Events of a stream or rows of a table. All rules see them before it returns (windows fire in
 * engine_advance). Payloads that are no events are counted and told by on_error. 0 or -ENOMEM. */
int engine_push(struct engine *e, struct engine_stream *s, const struct payload *payloads,
                uint32_t n);
/* The same with what is decoded already (memory topics, simulator, tests): an object each, copied.
 */
int engine_push_values(struct engine *e, struct engine_stream *s, const struct value *events,
                       const struct value *meta, const int64_t *arrival_us, uint32_t n);

/* The row of a lookup table with this KEY goes. Rows that are pushed take the place of that with
 * the same KEY. */
void engine_delete(struct engine *e, struct engine_stream *s, const struct value *key);

/* Time is now: windows, sessions, delays, schedules, idle sources. Never goes back. */
int engine_advance(struct engine *e, int64_t now_us);
int64_t engine_next(const struct engine *e); /* when to advance next; INT64_MAX = nothing waits */
int64_t engine_now(const struct engine *e);

/* ---- rules ---- */

struct rule_options {            /* zero-initialised: eKuiper's defaults */
    bool event_time;             /* isEventTime */
    int64_t late_tolerance_us;   /* lateTolerance */
    int64_t idle_timeout_us;     /* ours: idleTimeout */
    int64_t allowed_lateness_us; /* ours: allowedLateness: windows are corrected */
    const char *late_topic;      /* ours: lateTopic: what is later still goes to on_late; copied.
                                    NULL = it is counted only */
    bool send_error;             /* sendError: errors are results {"error": "..."} */
    bool send_nil;               /* sendNilField */
    uint32_t qos;                /* 0, 1 at least once, 2 exactly once */
    int64_t checkpoint_us;       /* checkpointInterval; 0 = 300 s */
    size_t memory_limit;         /* ours: memoryLimit, bytes; 0 = LIMIT_RULE_BYTES */
    const char *zone;            /* NULL = the engine's */
    const char *scope;           /* where streams are looked up first; NULL or "" = nowhere */
};

/* Results: one emission is one batch (a window that fired, or the rows of one pushed batch that
 * passed). `single`: the rows are independent events (no window), a sink may send each by itself.
 * The batch may be kept by batch_ref(). range is NULL without a window. */
typedef void rule_result_fn(void *arg, struct rule *r, struct batch *results, bool single,
                            const struct window_range *range);

/* Plans and adds a rule, stopped. SQL is copied. -E_EXISTS, -E_PARSE, -E_INVAL with a sentence (an
 * unknown stream, a misused function). */
int rule_new(struct engine *e, struct str id, struct str sql, const struct rule_options *opts,
             rule_result_fn *on_result, void *arg, struct rule **ret, struct err *err);
void rule_free(struct rule *r); /* stops first; NULL is fine */
int rule_start(struct rule *r, struct err *err);
void rule_stop(struct rule *r); /* windows are dropped, unless saved before */
bool rule_running(const struct rule *r);
const char *rule_id(const struct rule *r);
const char *rule_late_topic(const struct rule *r); /* NULL = none */
/* The i-th stream or table that it reads, in order of FROM and JOIN; NULL beyond the last. */
const char *rule_stream(const struct rule *r, uint32_t i);
/* While set, events of the stream pass the rule by: of a source that was wound back for others. */
void rule_skip(struct rule *r, const struct engine_stream *s, bool skip);
/* Plan as text, one operator a line, indented, as eKuiper's explain. */
int rule_explain(const struct rule *r, struct buf *out);
/* Counts and times of each operator, as an object: in, out, errors, us, bytes. */
struct json *rule_status(const struct rule *r, struct arena *a);
size_t rule_bytes(const struct rule *r);

/* The whole state (analytic functions, windows, watermark) with the sequence numbers of the
 * sources up to which it holds. load: into a stopped rule; the parts whose SQL is unchanged keep
 * their state, the others start empty; *ret_kept counts them. */
int rule_save(const struct rule *r, struct arena *a, struct value *ret);
int rule_load(struct rule *r, const struct value *saved, uint32_t *ret_kept, struct err *err);

#endif

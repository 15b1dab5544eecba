/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the part share: the part itself, its streams, its rules.
 *
 * Invariants:
 *  1. What REST acknowledged is in the store: an answer waits for data_keep().
 *  2. A source is open exactly while a running rule reads its stream (engine's on_use).
 *  3. The engine's clock is moved by data_turn() alone, before every delivery and when it is due.
 */
#ifndef PART_DATA_DATA_PRIVATE_H
#define PART_DATA_DATA_PRIVATE_H

#include "base/arena.h"
#include "base/list.h"
#include "base/map.h"
#include "codec/json.h"
#include "data.h"
#include "io/loop.h"
#include "store/store.h"
#include "stream/engine/engine.h"

struct broker;
struct data_shard;
struct objects;
struct rule_schedule;
struct shard;
struct sink;
struct source;
struct topics;

struct data {
    struct io_loop *loop;
    char *dir, *zone;
    struct engine *engine;
    struct data_shard *shards; /* threads beside the loop's (placement.h); NULL = none */
    uint32_t n_shards;
    uint32_t loop_rules; /* that run on the loop's thread */
    struct store *store;
    struct topics *topics;
    struct broker *broker;    /* NULL: this node runs none */
    struct objects *objects;  /* NULL: no API gives definitions (objects.c) */
    struct list mqtt_sources; /* of the node's own broker (source_mqtt.c) */
    struct list mqtt_shares;  /* connections of sinks (mqtt_share.c) */
    struct list http_sources; /* that wait for pushes (source_http_push.c) */
    struct map streams;       /* name -> struct data_stream; streams and tables share the names */
    struct map rules;         /* id -> struct data_rule */
    struct map schemas;       /* name -> struct schema (schemas.c) */
    struct map tests;         /* id -> struct rule_test (rest_test.c) */
    struct io_timer clock;
    struct wall started;
    uint16_t port; /* of the REST interface */
    bool stopping;
    void (*stopped)(void *arg);
    void *stopped_arg;
    unsigned flushing; /* sinks that are flushed while the part stops */
};

struct data_stream {
    struct data *data;
    struct engine_stream *stream;
    uint32_t users;                /* engines with running rules over it */
    uint32_t shards;               /* of them, those of shards */
    bool always;                   /* a lookup table: counts as one of the users */
    struct source *source;         /* NULL while there are none */
    char *trouble;                 /* why the source could not be opened; heap; NULL */
    const char *object;            /* "Stream ns/name" that defines it, borrowed; NULL: REST does */
    unsigned keepers;              /* running rules with checkpoints */
    unsigned behind;               /* running rules that the source is behind of (replay.h) */
    struct engine_stream *there[]; /* of each shard, while a rule there runs over it */
};

enum data_rule_state {
    RULE_STOPPED,
    RULE_RUNNING,
    RULE_FAILED,
    RULE_WAITING, /* for the next time of its schedule */
    RULE_STATE_NR
};

struct rule_read; /* replay.h */

struct inherited { /* the state of a rule */
    struct arena arena;
    struct value value;
};

struct data_rule {
    struct data *data;
    char *id;
    char *text;            /* the definition as given; heap */
    struct json *json;     /* of text, while the rule is defined or started; else NULL */
    struct arena *reading; /* of json; the same */
    struct rule *rule;     /* NULL when it could not be planned */
    struct rule *live;     /* which runs, or ran last: `rule`, or one of a shard (placement.h) */
    struct shard *shard;   /* of `live`; NULL = the loop's thread */
    struct sink **sinks;
    uint32_t n_sinks;
    enum data_rule_state state;
    bool triggered;              /* is to run after a restart of the process */
    bool nulls;                  /* sendNilField */
    bool saves;                  /* qos > 0: it has checkpoints */
    struct inherited *inherited; /* from the rule that this one replaced, until it starts; NULL */
    char *reason;                /* why it is stopped or failed; heap; NULL */
    uint64_t errors;             /* rows that failed */
    struct list taking;          /* checkpoints that are not on the disk yet (checkpoint.c) */
    struct rule_read *reads;     /* its streams while it runs */
    uint32_t n_reads;
    uint64_t checkpoints;     /* on the disk */
    char *checkpoint_trouble; /* why the last one is not; heap; NULL */
    char *last_error;         /* heap; NULL */
    struct wall started, stopped, last_error_at;
    struct io_timer *checkpoint;    /* NULL: it never ran with checkpoints */
    const char *object;             /* "Rule ns/name" that defines it, borrowed; NULL: REST does */
    struct rule_schedule *schedule; /* NULL: it runs as long as it is started */
};

/* ---- the clock (data.c) ---- */

void data_turn(struct data *d); /* the engine's time becomes now; the next wake-up is arranged */

/* ---- what is kept (keep.c) ---- */

/* Ends an answer that waited for the store: code 0, or why the write did not happen. Comes once, on
 * the loop, also at once when nothing can be kept. */
typedef void data_kept_fn(void *arg, int code, const char *text);
/* Writes value under "group//name" (value.p NULL: deletes), then done. done may be NULL. */
void data_keep(struct data *d, const char *group, struct str name, struct str value,
               data_kept_fn *done, void *arg);
/* Calls fn for everything kept in a group, in order of names; name and value are borrowed. */
void data_kept_each(struct data *d, const char *group,
                    void (*fn)(struct data *d, struct str name, struct str value));
struct str data_kept(struct data *d, const char *group, struct str name); /* p NULL = nothing */

/* ---- streams and tables (streams.c) ---- */

/* CREATE ... of a stream or table, not yet kept. replace: an existing one gets the definition. */
int data_define(struct data *d, struct str ddl, bool replace, const char **ret_name,
                struct err *err);
/* The same in a scope (engine_define_in()). */
int data_define_in(struct data *d, struct str scope, struct str ddl, bool replace,
                   const char **ret_name, struct err *err);
/* "rules r1, r2 read it" as -E_CONFLICT unless force. */
int data_drop(struct data *d, struct str name, bool table, struct err *err);
void data_streams_load(struct data *d);
void data_streams_free(struct data *d);
void data_stream_used(struct data *d, struct engine_stream *s, bool used);
void data_stream_open(struct data_stream *s); /* its source, unless it is; what fails is told */
void data_stream_count(struct data_stream *s, bool used); /* an engine more, or less, uses it */

/* ---- rules (rules.c) ---- */

/* Plans a rule of JSON text {id, sql, actions, options}; name, when not empty, must be its id or
 * becomes it. Not yet kept, not started. -E_EXISTS unless replace. */
int data_rule_define(struct data *d, struct str text, struct str name, bool replace,
                     struct data_rule **ret, struct err *err);
/* Plans and checks without adding. *ret_streams (may be NULL): names of the sources, in arena. */
int data_rule_check(struct data *d, struct str text, struct arena *a, struct json **ret_streams,
                    struct err *err);
/* With a schedule: runs or waits as that says; else runs. */
int data_rule_start(struct data_rule *r, struct err *err);
void data_rule_stop(struct data_rule *r, const char *reason); /* reason is copied; NULL = by hand */
/* The same without the schedule: what it does at its times. */
int data_rule_run(struct data_rule *r, struct err *err);
void data_rule_rest(struct data_rule *r, enum data_rule_state state, const char *reason);
void data_rule_drop(struct data_rule *r);
void data_rule_take_out(struct data_rule *r); /* the same, its checkpoint stays */
void data_rule_forget(struct data_rule *r);   /* of a stopped rule: starts with an empty state */
struct data_rule *data_rule_find(struct data *d, struct str id);
/* The definition, read again; NULL when it is no JSON (any more) or memory is short. */
struct json *data_rule_json(const struct data_rule *r, struct arena *a);
const char *data_rule_state_name(const struct data_rule *r); /* "running", "stopped", ... */
/* eKuiper's status object. */
struct json *data_rule_status(struct data_rule *r, struct arena *a);
void data_rules_load(struct data *d);
void data_rules_free(struct data *d);
void data_rule_failed(struct data *d, struct str id, const struct rule *rule, const char *text);

/* ---- options of rules (rule_options.c) ---- */

/* Of a rule whose JSON is there. */
int data_rule_read_options(struct data_rule *r, struct rule_options *ret, struct err *err);
int data_rule_options(const struct json *options, struct rule_options *ret, struct err *err);
/* Milliseconds as a number, or Go's text; NULL leaves *ret_us. */
int data_rule_duration(const struct json *j, const char *name, int64_t *ret_us, struct err *err);

/* ---- schedules (rule_schedule.c) ---- */

int rule_schedule_read(struct data_rule *r, struct err *err); /* from its options */
void rule_schedule_free(struct data_rule *r);
/* Runs or rests the rule, now and at all changes to come. A run that fails at its time is told by
 * the state and tried again each minute. */
int rule_schedule_start(struct data_rule *r, struct err *err);
void rule_schedule_stop(struct data_rule *r);
int64_t
rule_schedule_next_ms(const struct data_rule *r); /* of the next run, since 1970; 0 = none */

/* ---- checkpoints (checkpoint.c) ---- */

void checkpoint_init(struct data_rule *r);
void checkpoint_fini(struct data_rule *r);
/* Starts the planned rule, whose sinks are open, from the state that it or its predecessor left:
 * sinks and sources go back to where they were then. */
int checkpoint_begin(struct data_rule *r, struct err *err);
void checkpoint_start(struct data_rule *r); /* writes one now and each interval, with qos > 0 */
/* Before the sinks are closed: those that wait for them are given up. */
void checkpoint_end(struct data_rule *r);
/* State, places in the sources, marks in the sinks, as they are now; in the arena. */
int checkpoint_value(struct data_rule *r, struct arena *a, struct value *ret, struct err *err);
/* Writes the checkpoint of a rule with qos > 0 that runs; ends by itself. */
void data_rule_save(struct data_rule *r);
void checkpoint_hurry(struct data_rule *r); /* the same, unless one is under way */

#endif

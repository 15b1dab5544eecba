/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sinks: what a rule does with its results (an action). The framework (sink.c) turns an emission
 * into messages (sendSingle, omitIfEmpty, fields, dataField, dataTemplate, format, batchSize with
 * lingerInterval), keeps them in order in a queue, hands them to the connector (a sink_ops),
 * repeats what failed, and counts. With enableCache the queue is a durable segmented log
 * (sink_log.h), so that nothing is lost by a dead peer, a stop or a kill -9.
 *
 *      results -> transform -> encode -> queue (memory, or log on disk) -> ops->send -> sink_done
 *
 * A rule with qos > 0 takes checkpoints (checkpoint.c): sink_mark() says up to which message
 * results were handed over, sink_reached() whether all of them are safe. With qos 2 the queue is
 * always on the disk, messages leave it only when sink_release() said that the checkpoint behind
 * them is there, and sink_resume() takes back what came after it.
 *
 * Queue full: the oldest message is dropped and counted, unless the rule says otherwise
 * (disableBufferFullDiscard: the newest is refused and counted as an error); with a cache the limit
 * is bytes on disk (maxDiskCache as in eKuiper counts messages; cacheBytes is ours). With qos > 0 a
 * full queue on disk, as a full disk, drops nothing: messages are held in memory within the bounds
 * of a queue there, and sink_congested() asks sources that can to wait.
 */
#ifndef PART_DATA_SINK_H
#define PART_DATA_SINK_H

#include "codec/json.h"
#include "stream/engine/engine.h"

struct buf;
struct data;
struct shard;
struct sink;

struct sink_message {
    struct str bytes;
    const struct value *object; /* the row or rows as values, for kinds that take values (memory);
                                   NULL when it was read back from the log */
    uint64_t sequence; /* of the message in this sink, from 1; durable sinks go on counting */
};

struct sink_ops {
    const char *type; /* key of the action, lower case: "mqtt" */
    size_t size;      /* of the implementation's struct, which begins with struct sink; zeroed */
    bool values;      /* wants values, no bytes */
    bool reads_conf;  /* reads sink.conf after open() too */
    unsigned window;  /* messages under way at once; 0 = 1 */
    int (*open)(struct sink *s, struct err *err); /* -E_INVAL: the configuration is wrong */
    void (*close)(struct sink *s);                /* no sink_done() afterwards */
    /* Takes a message (valid until sink_done for it). Ends with exactly one sink_done(), which may
     * come inside. */
    void (*send)(struct sink *s, const struct sink_message *m);
    /* Kinds that can undo what a crash repeats (file), else NULL: makes what it delivered durable
     * and writes how to come back here; sink_note() has it at the next opening. window is 1. */
    int (*note)(struct sink *s, struct buf *out, struct err *err);
};

struct sink_mark {
    uint64_t epoch; /* of the queue on disk; 0 = it is in memory */
    uint64_t sequence;
};

struct sink {
    /* read-only for implementations */
    const struct sink_ops *ops;
    struct data *data;
    struct io_loop *loop;
    const char *rule;
    uint32_t index;          /* of the action in the rule */
    const struct json *conf; /* the action's object; NULL after open() unless ops->reads_conf */
    uint64_t in, sent, dropped, errors, retries;
    char *trouble; /* why the last message failed; heap; NULL */
    struct arena arena;
    void (*on_progress)(void *arg); /* of its owner: sink_reached() may have changed; or NULL */
    void *progress_arg;
    void *frame; /* private to sink.c */
};

const struct sink_ops *sink_find(struct str type);
/* action: {"mqtt": {...}}; rule is borrowed; qos of the rule. err names rule, index and kind. */
int sink_open(struct data *d, const char *rule, uint32_t index, const struct json *action,
              unsigned qos, struct sink **ret, struct err *err);
/* The same with a kind that stands in no table; conf is its configuration (copied). */
int sink_open_with(struct data *d, const struct sink_ops *ops, const char *rule, uint32_t index,
                   const struct json *conf, unsigned qos, struct sink **ret, struct err *err);
/* Waits for nothing: what is queued in memory only is lost and counted (the caller flushed before).
 * NULL is fine. */
void sink_close(struct sink *s);
/* Calls done once when all messages are acknowledged or kept on disk, or grace_ms are over. */
void sink_flush(struct sink *s, int64_t grace_ms, void (*done)(void *arg), void *arg);
/* An emission of the rule. */
void sink_take(struct sink *s, struct batch *results, bool single, bool nulls);
/* After the opening: emissions come in the thread of a shard, by sink_collect(), which makes the
 * messages there and posts them. NULL is fine. */
void sink_set_shard(struct sink *s, struct shard *shard);
void sink_collect(struct sink *s, struct batch *results, bool single, bool nulls);
/* code 0: delivered. Retryable codes (err_retryable) repeat it with a jittered back-off, without
 * end when there is a cache, retryCount times (default 3) when not; others drop it, counted. */
void sink_done(struct sink *s, uint64_t sequence, int code, const char *why);

/* ---- for connectors ---- */

const char *sink_note(const struct sink *s); /* what ops->note wrote last; "" = nothing */
/* Writes down what is acknowledged, and the note, now; 0 also where there is no cache. */
int sink_settle(struct sink *s, struct err *err);
/* "RULE/ACTION/EPOCH/SEQUENCE" in ASCII, the same whenever the message is repeated, also after a
 * crash; false: there is no such key (no cache, or it does not fit). */
bool sink_key(const struct sink *s, uint64_t sequence, char *out, size_t n);

/* ---- checkpoints ---- */

/* What it took until now is in its queue: what lingered is a message, a cache is synced. */
int sink_mark(struct sink *s, struct sink_mark *ret, struct err *err);
/* All up to the mark is on the disk, or was delivered or given up. */
bool sink_reached(const struct sink *s, const struct sink_mark *m);
/* The checkpoint with this mark is on the disk: qos 2 sends up to it. */
void sink_release(struct sink *s, const struct sink_mark *m);
/* After the opening, qos 2: goes back to the mark of the last checkpoint; NULL: there is none. */
int sink_resume(struct sink *s, const struct sink_mark *m, struct err *err);
bool sink_congested(const struct sink *s);

extern const struct sink_ops sink_file, sink_log_kind, sink_memory, sink_mqtt, sink_nop, sink_rest;

#endif

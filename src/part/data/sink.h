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
 * Queue full: the oldest message is dropped and counted, unless the rule says otherwise
 * (disableBufferFullDiscard: the newest is refused and counted as an error); with a cache the limit
 * is bytes on disk (maxDiskCache as in eKuiper counts messages; cacheBytes is ours).
 */
#ifndef PART_DATA_SINK_H
#define PART_DATA_SINK_H

#include "codec/json.h"
#include "stream/engine/engine.h"

struct data;
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
    unsigned window;  /* messages under way at once; 0 = 1 */
    int (*open)(struct sink *s, struct err *err); /* -E_INVAL: the configuration is wrong */
    void (*close)(struct sink *s);                /* no sink_done() afterwards */
    /* Takes a message (valid until sink_done for it). Ends with exactly one sink_done(), which may
     * come inside. */
    void (*send)(struct sink *s, const struct sink_message *m);
};

struct sink {
    /* read-only for implementations */
    const struct sink_ops *ops;
    struct data *data;
    struct io_loop *loop;
    const char *rule;
    uint32_t index;    /* of the action in the rule */
    struct json *conf; /* the action's object; lives as long as the sink */
    uint64_t in, sent, dropped, errors, retries;
    char *trouble; /* why the last message failed; heap; NULL */
    struct arena arena;
    void *frame; /* private to sink.c */
};

const struct sink_ops *sink_find(struct str type);
/* action: {"mqtt": {...}}. err names rule, index and kind. */
int sink_open(struct data *d, const char *rule, uint32_t index, const struct json *action,
              struct sink **ret, struct err *err);
/* The same with a kind that stands in no table; conf is its configuration (copied). */
int sink_open_with(struct data *d, const struct sink_ops *ops, const char *rule, uint32_t index,
                   const struct json *conf, struct sink **ret, struct err *err);
/* Waits for nothing: what is queued in memory only is lost and counted (the caller flushed before).
 * NULL is fine. */
void sink_close(struct sink *s);
/* Calls done once when all messages are acknowledged or kept on disk, or grace_ms are over. */
void sink_flush(struct sink *s, int64_t grace_ms, void (*done)(void *arg), void *arg);
/* An emission of the rule. */
void sink_take(struct sink *s, struct batch *results, bool single, bool nulls);
/* code 0: delivered. Retryable codes (err_retryable) repeat it with a jittered back-off, without
 * end when there is a cache, retryCount times (default 3) when not; others drop it, counted. */
void sink_done(struct sink *s, uint64_t sequence, int code, const char *why);

extern const struct sink_ops sink_file, sink_log_kind, sink_memory, sink_mqtt, sink_nop, sink_rest;

#endif

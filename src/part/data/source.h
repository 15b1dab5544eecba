/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sources: where the events of a stream come from. One table of kinds (source.c); a kind is a
 * source_ops. The part opens a source when a stream gets its first running rule and closes it after
 * the last.
 *
 * A source runs on the loop and delivers payloads; the engine has processed them when
 * source_deliver() returns. It must not deliver within open(), and must give the loop its turn (at
 * most SOURCE_BURST events or 1 MB at a time), so that a flood starves nobody.
 */
#ifndef PART_DATA_SOURCE_H
#define PART_DATA_SOURCE_H

#include "codec/json.h"
#include "stream/engine/engine.h"

#define SOURCE_BURST 4096

struct data;
struct source;

struct source_ops {
    const char *type; /* of TYPE = "...", lower case */
    size_t size;      /* of the implementation's struct, which begins with struct source; zeroed */
    /* Reads s->conf, starts. What fails later (a lost broker) is told by source_told() and retried
     * with a jittered back-off by the source itself. -E_INVAL: the options are wrong. */
    int (*open)(struct source *s, struct err *err);
    void (*close)(struct source *s); /* no delivery afterwards; frees what open() took */
    /* Rewindable sources alone (file): the next event is number `offset` since the source's begin.
     * Called before the first delivery. */
    int (*seek)(struct source *s, uint64_t offset, struct err *err);
};

struct source {
    /* read-only for implementations */
    const struct source_ops *ops;
    struct data *data;
    struct io_loop *loop;
    struct engine_stream *stream;
    const char *name;       /* of the stream */
    const char *datasource; /* DATASOURCE: topic, path, URL path */
    struct json *conf; /* options: WITH (...) in lower case over the configuration of CONF_KEY, with
                          EXTRA merged in; lives as long as the source */
    uint64_t events, bytes, errors;
    bool connected;
    char *trouble;      /* why it is not connected; heap; NULL */
    struct arena arena; /* of conf */
};

/* Alphabetical; NULL when there is no such kind. */
const struct source_ops *source_find(struct str type);
/* Opens a source for a stream. *ret only on success; err names the stream and the kind. */
int source_open(struct data *d, struct engine_stream *stream, struct source **ret, struct err *err);
void source_close(struct source *s); /* NULL is fine */

void source_deliver(struct source *s, const struct payload *payloads, uint32_t n);
void source_deliver_values(struct source *s, const struct value *events, const struct value *meta,
                           uint32_t n);
/* Connected, or not and why (copied). For status and the log; the same state twice is told once. */
void source_told(struct source *s, bool connected, const char *why);

extern const struct source_ops source_file, source_http_pull, source_http_push, source_memory,
    source_mqtt, source_simulator, source_socket;

#endif

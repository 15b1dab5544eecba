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

struct buf;
struct data;
struct sink_log;
struct source;

/* Where a source is: the event that comes next. Places of one source are ordered by round, file,
 * event; byte and identity belong to that. */
struct source_place {
    uint64_t round;    /* of a file that is read in a loop */
    char file[256];    /* in a folder; else "" */
    uint64_t event;    /* how many came before it */
    uint64_t byte;     /* of the file */
    uint64_t identity; /* of the file or of the queue: a place in another one means nothing */
};

struct source_ops {
    const char *type; /* of TYPE = "...", lower case */
    size_t size;      /* of the implementation's struct, which begins with struct source; zeroed */
    bool kept; /* for rules with qos > 0 what it delivers goes through an inbox on the disk */
    /* Reads s->conf, starts. What fails later (a lost broker) is told by source_told() and retried
     * with a jittered back-off by the source itself. -E_INVAL: the options are wrong. */
    int (*open)(struct source *s, struct err *err);
    void (*close)(struct source *s); /* no delivery afterwards; frees what open() took */
    /* Sources that can go back (file), else all four are NULL; see replay.h. */
    void (*place)(const struct source *s, struct source_place *ret);
    /* -E_NOENT with the reason: a place that it had (before a restart) is gone. */
    int (*check)(struct source *s, const struct source_place *p, struct err *err);
    /* Goes on from a place that it has: before the first delivery or between two. */
    void (*seek)(struct source *s, const struct source_place *to);
    /* Nobody comes back before this place: what was read there may be given up. */
    void (*covered)(struct source *s, const struct source_place *upto);
    /* There is room again, after source_ready() said no. NULL: the kind cannot wait. */
    void (*resume)(struct source *s);
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
    struct source_inbox *inbox; /* source_inbox.h; NULL = it has none */
    uint64_t events, bytes, errors;
    uint64_t dropped; /* that found no room with a thread of rules, once for each thread */
    bool connected;
    bool waits;         /* for resume() */
    char *trouble;      /* why it is not connected; heap; NULL */
    struct arena arena; /* of conf */
};

/* Alphabetical; NULL when there is no such kind. */
const struct source_ops *source_find(struct str type);
/* Whether all that was delivered until now stays if the process is killed now; then its sender may
 * be told so. Always, where there is no inbox: then nothing more is promised. < 0: it does not, the
 * sender is to send it again. */
int source_synced(struct source *s);
/* Past the inbox: to the engine. */
void source_process(struct source *s, const struct payload *payloads, uint32_t n);
bool source_can_go_back(const struct source *s); /* then these: */
void source_place(const struct source *s, struct source_place *ret);
int source_check(struct source *s, const struct source_place *p, struct err *err);
void source_seek(struct source *s, const struct source_place *to);
void source_covered(struct source *s, const struct source_place *upto);

/* < 0, 0, > 0: a comes before b, ... */
int source_place_compare(const struct source_place *a, const struct source_place *b);
/* Whether rules that read it with qos > 0 have to wait; such a source looks again soon. */
bool source_congested(const struct source *s);
/* Whether the threads of rules have room: a kind that can wait asks before each delivery (at most
 * 256 events) and, when the answer is no, goes on in ops->resume. What has an inbox never waits:
 * it is taken to the disk. */
bool source_ready(struct source *s);
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

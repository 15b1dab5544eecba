/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event time: holds rows back until no earlier one can come, and lets them go in order of time.
 *
 * The watermark is the least of the sources' greatest times, less the tolerance for late rows. A
 * source that was silent for `idle_us` of clock time does not count (eKuiper lacks this: there a
 * silent source stalls the rule). A source with a watermark of its own (a sub-query) counts with
 * that. Rows older than the watermark are late: they are counted and go
 * to the late callback, whose owner may hand them to the windows that still keep a state for them
 * (window_correct()).
 *
 * In-order batches pass through unchanged. The sequence of a batch that was gathered from several
 * is that of its first row. Single-threaded.
 */
#ifndef STREAM_WINDOW_WATERMARK_H
#define STREAM_WINDOW_WATERMARK_H

#include "stream/batch.h"

struct watermark_spec {
    uint32_t n_sources;
    const struct shape *const *shapes; /* of the sources, borrowed: to gather and to load rows */
    uint64_t tables;      /* bit i: source i is a table; its rows pass at once and move no time */
    uint64_t told;        /* bit i: source i has a watermark of its own, which watermark_reach()
                             tells: its rows move no time, and it needs no tolerance */
    int64_t tolerance_us; /* lateTolerance */
    int64_t idle_us;      /* 0 = a silent source holds the rule up, as in eKuiper */
    size_t memory_limit;  /* of rows that wait; 0 = LIMIT_RULE_BYTES. When it is reached all rows
                             go and time with them: what comes later is late */
};

/* Rows of one source, ordered; the whole batch is meant. */
typedef void watermark_rows_fn(void *arg, uint32_t source, struct batch *b);
/* All rows until `us` were handed on. Never goes back; the same again when more rows of it came. */
typedef void watermark_time_fn(void *arg, int64_t us);
typedef void watermark_late_fn(void *arg, uint32_t source, struct batch *b, uint32_t row);

struct watermark_ops {
    watermark_rows_fn *rows;
    watermark_time_fn *time;
    watermark_late_fn *late; /* NULL = counted only */
};

struct watermark;
int watermark_new(const struct watermark_spec *spec, const struct watermark_ops *ops, void *arg,
                  struct watermark **ret);
void watermark_free(struct watermark *w);
int watermark_push(struct watermark *w, uint32_t source, struct batch *b, int64_t now_us);
/* Source i has come to `us`: nothing earlier comes from it. */
int watermark_reach(struct watermark *w, uint32_t source, int64_t us, int64_t now_us);
/* The clock alone went on: idle sources. */
int watermark_tick(struct watermark *w, int64_t now_us);
int64_t watermark_at(const struct watermark *w); /* INT64_MIN before the first row */
uint64_t watermark_late_rows(const struct watermark *w);
/* Lets all go (a stream that ended, tests). */
int watermark_flush(struct watermark *w);
int watermark_save(const struct watermark *w, struct arena *a, struct value *ret);
int watermark_load(struct watermark *w, const struct value *saved, struct err *err);

#endif

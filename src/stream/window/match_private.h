/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the matcher (match.c) and its checkpoints (match_save.c) share.
 */
#ifndef STREAM_WINDOW_MATCH_PRIVATE_H
#define STREAM_WINDOW_MATCH_PRIVATE_H

#include "base/limits.h"
#include "base/list.h"
#include "base/mem.h"
#include "match.h"

struct history { /* a row of a match and those before it */
    uint32_t refs;
    uint32_t step;
    uint32_t saving, place; /* match_save.c: of this saving, its place in it */
    struct row *row;
    struct history *before; /* NULL = the first */
};

struct run {
    struct list node;
    struct history *rows;
    uint32_t step, count; /* rows that stand for this step so far */
};

struct attempt {
    struct list node;
    struct list runs;
    struct history *found; /* the best match so far, or NULL */
    uint64_t first;        /* sequence of its first row within the matcher */
    uint64_t found_last;   /* of the last row of `found` */
    int64_t first_us;
};

struct partition {
    struct list node; /* of its bucket */
    struct list attempts;
    struct row *sample; /* a row of it: its key is computed anew */
    uint64_t hash;
};

enum { BUCKETS = 1024 };

struct match {
    struct match_spec spec;
    match_emit_fn *emit;
    match_error_fn *error;
    void *arg;
    size_t runs, max_runs;
    uint32_t savings; /* how often it was saved */
    uint64_t rows, matches;
    int64_t now_us;
    struct arena arena; /* of one row's evaluation */
    struct list buckets[BUCKETS];
};

void history_unref(struct history *h);
struct history *history_ref(struct history *h); /* returns h; NULL stays NULL */
/* Takes the history; NULL is -ENOMEM. */
int run_add(struct match *m, struct list *to, struct history *rows, uint32_t step, uint32_t count);
/* The last of its partition. */
struct attempt *attempt_new(struct partition *p, uint64_t first, int64_t first_us);
struct partition *partition_new(struct match *m, struct row *sample, uint64_t hash);
/* PARTITION BY of a row, in m->arena. */
int partition_keys(struct match *m, struct row *row, struct value **ret, uint64_t *ret_hash);

#endif

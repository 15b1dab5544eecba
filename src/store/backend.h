/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What makes writes durable. The core (store_*.c) decides on revisions, conflicts, order and
 * visibility; a backend keeps rows and two numbers, atomically, and gives them back at the start.
 */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include "store/store.h"

/* One version of a key. The current state is the row with the greatest rev of each key, unless that
 * is a deletion. */
struct store_row {
    int64_t rev, create_rev, origin;
    enum store_op_type type;
    unsigned flags;
    struct str key, value;
};

struct store_meta {
    int64_t compacted_rev; /* history up to this may be incomplete */
    int64_t ceiling_rev;   /* no revision above this was handed out, except to rows */
};

/* One atomic change. */
struct store_commit {
    const struct store_row *rows;
    size_t n;
    const int64_t *drop; /* revisions of rows that are superfluous; unknown ones are ignored */
    size_t n_drop;
    struct store_meta meta; /* values below 0: unchanged */
};

/* 0, or a negative code that ends the load. row is borrowed. */
typedef int store_row_fn(void *arg, const struct store_row *row, struct err *err);

struct store_backend_ops {
    const char *name;
    size_t size; /* of its state, which the core allocates, zeroed, and hands in as b */
    /* NULL: this backend keeps nothing; then the others are NULL too. Loop thread, may block. After
     * a failure close is not called. Errors as of store_open(). */
    int (*open)(void *b, const char *path, struct err *err);
    /* Once, right after open, loop thread: every row in ascending order of rev, then *ret. */
    int (*load)(void *b, store_row_fn *fn, void *arg, struct store_meta *ret, struct err *err);
    /* Commit thread, may block. 0 = all of it is durable; else none of it happened. -E_NOSPACE
     * where that is the reason. The next commit is tried as if nothing had been. */
    int (*commit)(void *b, const struct store_commit *c, struct err *err);
    /* Commit thread (loop thread when opening fails later); frees what open made. */
    void (*close)(void *b);
};

extern const struct store_backend_ops store_backend_memory, store_backend_sqlite;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program `data` as a child of the edge: started when the node has a stream, table or rule,
 * ended when it has none any more, started again when it dies. It outlives an edge that is killed;
 * the next one finds it by the lock on its state and goes on with it. Loop thread only.
 */
#ifndef EDGE_DATA_CHILD_H
#define EDGE_DATA_CHILD_H

#include <stdbool.h>

#include "base/err.h"

struct data_child;
struct io_loop;
struct store;

struct data_child_opts { /* texts are borrowed for good */
    struct io_loop *loop;
    struct store *store;
    const char *state_dir; /* of the edge: STATE/data, STATE/run/api.sock */
    const char *program;   /* NULL: `data` beside this program */
    const char *args;      /* more options, separated by spaces; NULL */
    const char *log_level;
};

int data_child_new(const struct data_child_opts *opts, struct data_child **ret, struct err *err);
/* Ends it (SIGTERM) and starts none any more. */
void data_child_stop(struct data_child *c);
bool data_child_running(const struct data_child *c);
void data_child_free(struct data_child *c); /* one that runs is left alone; NULL is fine */

/* Ends the one that an edge of this state left behind, if any, and waits for it: of a teardown. */
void data_child_end_left(const char *state_dir);

#endif

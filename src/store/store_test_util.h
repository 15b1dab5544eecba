/* SPDX-License-Identifier: Apache-2.0 */
/* For the tests of the store: a loop, a store on it, and calls that wait for their answer. */
#ifndef STORE_STORE_TEST_UTIL_H
#define STORE_STORE_TEST_UTIL_H

#include "base/mem.h"
#include "io/loop.h"
#include "store/store.h"

struct fixture {
    struct io_loop *loop;
    struct store *s;
    struct store_opts opts; /* change before fixture_open() */
    char dir[64], path[96]; /* of the SQLite file */
    bool on_disk;
};

/* A folder and a loop; the store is not open yet. */
void fixture_init(struct fixture *fx, bool on_disk);
void fixture_fini(struct fixture *fx); /* closes the store */
void fixture_open(struct fixture *fx);
int fixture_try_open(struct fixture *fx, struct err *err);
int fixture_close(struct fixture *fx); /* the code of the closing */
void fixture_reopen(struct fixture *fx);
/* What is on the disk at this moment, as after a crash, in a store of its own. */
void fixture_open_crashed_copy(const struct fixture *fx, struct fixture *copy);

/* A request that can be waited for. */
struct waiter {
    struct store_req req;
    bool done;
    int code;
    int64_t rev;
    char text[256];
};
void waiter_init(struct waiter *w);
int waiter_wait(struct fixture *fx, struct waiter *w); /* its code */
/* Submit and wait; the code of whichever fails. expected as in struct store_op. */
int put(struct fixture *fx, const char *key, const char *value, int64_t expected);
int put_flags(struct fixture *fx, const char *key, const char *value, int64_t expected,
              unsigned flags);
int del(struct fixture *fx, const char *key, const char *last, int64_t expected);

/* "key=value key=value ..." of a list, with "@rev" behind each when with_rev; static memory. */
const char *list_text(struct fixture *fx, const struct store_list_opts *o, bool with_rev);
const char *get_text(struct fixture *fx, const char *key); /* the value, or "-" */
/* What a watch has: "+key=value@rev" created, "~" changed, "-" deleted, "!code" its end. */
const char *watch_text(struct store_watch *w);

#endif

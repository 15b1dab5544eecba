/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the loop, for the files of src/io. */
#ifndef IO_LOOP_PRIVATE_H
#define IO_LOOP_PRIVATE_H

#include <uv.h>

#include "io/loop.h"

struct io_loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* tasks deferred by timers */
    uv_check_t check;     /* tasks deferred by events */
    uv_idle_t idle;       /* active while tasks wait: the poll does not block then */
    uv_timer_t timer;     /* for the earliest io_timer */
    uv_async_t wake;
    struct list tasks;
    struct list signals;   /* of struct loop_signal */
    struct list finishing; /* of struct finisher: streams that stream_finish() still holds */
    struct list orphans;   /* of struct io_process: children that nobody waits for */
    struct io_timer *heap;
    uint64_t timer_seq;
    bool firing; /* the timer is armed again after all due ones ran */
    pthread_mutex_t mail_lock;
    struct io_mail *mail_first, **mail_last;
    char *scratch;
};

/* Parts of loop_free(). */
void loop_close_signals(struct io_loop *l);
void stream_close_finishing(struct io_loop *l);
void process_free_orphans(struct io_loop *l);
/* Whether a handle is one of the loop's own. */
bool loop_owns_handle(const struct io_loop *l, const uv_handle_t *h);
/* timer.c */
void loop_fire_timers(struct io_loop *l);

/* err_sys for a libuv code, which is a negative errno on Linux. */
int loop_uv_err(struct err *err, int rc, const char *what);

#endif

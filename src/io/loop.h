/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event loop: one a thread, over libuv, with what every user needs around it: tasks for the
 * next tick, timers, mail from other threads, work in the thread pool, signals, readiness of a
 * descriptor, changes of a file.
 *
 * Tasks, timers, mails and works are embedded in the user's struct and never allocate. A task or a
 * timer is plain data: once stopped, its memory is free at once, and stopping one that is not
 * active is fine. All functions belong to the loop's thread, except loop_post().
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/list.h"

struct io_loop;
struct uv_loop_s;

int loop_new(struct io_loop **ret, struct err *err);
/* Finishes handles that are closing and frees the loop. Every stream, listener, watch and client of
 * it must have been closed before (else it asserts). NULL is fine. */
void loop_free(struct io_loop *l);
void loop_run(struct io_loop *l);              /* until loop_stop(); may be called again */
void loop_stop(struct io_loop *l);             /* ends loop_run() after the current tick */
void loop_run_once(struct io_loop *l);         /* one tick, waits for one event: for tests */
void loop_run_ready(struct io_loop *l);        /* one tick, does not wait: for tests */
struct mono loop_now(const struct io_loop *l); /* time at the start of this tick */
struct uv_loop_s *loop_uv(struct io_loop *l);  /* for src/io only */
/* A buffer that every reader of the loop shares; its content is valid within one callback. */
#define LOOP_SCRATCH_SIZE ((size_t)64 << 10)
char *loop_scratch(struct io_loop *l);

/* ---- tasks: run once, soon, in order, never inside loop_defer() ---- */

struct io_task {
    /* private; zero or io_task_init() before the first use */
    struct list link;
    void (*fn)(void *arg);
    void *arg;
};

void io_task_init(struct io_task *t, void (*fn)(void *arg), void *arg);
/* Runs t on the next tick; deferring a task that already waits changes nothing. t must have been
 * initialised. */
void loop_defer(struct io_loop *l, struct io_task *t);
void io_task_cancel(struct io_task *t);
bool io_task_pending(const struct io_task *t);

/* ---- timers ---- */

struct io_timer {
    /* private */
    struct io_loop *loop;
    void (*fn)(void *arg);
    void *arg;
    int64_t due, repeat; /* milliseconds of loop time; due 0 = stopped */
    uint64_t seq;
    struct io_timer *child, *next, *prev; /* pairing heap */
};

void io_timer_init(struct io_loop *l, struct io_timer *t, void (*fn)(void *arg), void *arg);
/* Fires after ms milliseconds, then every repeat_ms unless that is 0. Restarts a running timer. */
void io_timer_start(struct io_timer *t, int64_t ms, int64_t repeat_ms);
void io_timer_stop(struct io_timer *t); /* also of a zeroed one */
bool io_timer_active(const struct io_timer *t);

/* ---- mail: from any thread to the loop ---- */

struct io_mail {
    struct io_mail *next;  /* private */
    void (*fn)(void *arg); /* public: set before the post */
    void *arg;
};

/* Any thread. fn(arg) runs on the loop, in order of posting. The mail is the loop's until fn runs.
 * Mails posted but not delivered when the loop is freed are delivered by loop_free(). */
void loop_post(struct io_loop *l, struct io_mail *m);

/* ---- work in the thread pool (files, hashes; never sockets) ---- */

struct io_work {
    void (*run)(void *arg);  /* public: in a pool thread */
    void (*done)(void *arg); /* public: on the loop, afterwards */
    void *arg;               /* public */
    /* private */
    struct io_loop *loop;
    void *req[16]; /* a uv_work_t */
};

/* The work is the loop's until done. It cannot be cancelled. */
void loop_work(struct io_loop *l, struct io_work *w);

/* ---- signals ---- */

/* Calls fn(signum) for every delivery of signum until the loop is freed. */
int loop_on_signal(struct io_loop *l, int signum, void (*fn)(void *arg, int signum), void *arg,
                   struct err *err);

/* ---- readiness of a descriptor (level-triggered) ---- */

enum { IO_READABLE = 1u << 0, IO_WRITABLE = 1u << 1 };
struct io_poll;
/* events: wanted bits; fn gets the ready ones, or code < 0. The descriptor stays the caller's and
 * must stay open until io_poll_close(). Not for plain files. */
int io_poll_new(struct io_loop *l, int fd, void (*fn)(void *arg, unsigned events, int code),
                void *arg, struct io_poll **ret);
void io_poll_set(struct io_poll *p, unsigned events); /* 0 = wait for nothing */
void io_poll_close(struct io_poll *p);                /* no callback afterwards; NULL is fine */

/* ---- changes of a file or of the entries of a folder (inotify) ---- */

struct io_fswatch;
/* name: of the entry in a folder, or the file's own; may be NULL. Several changes may come as one.
 */
int io_fswatch_new(struct io_loop *l, const char *path, void (*fn)(void *arg, const char *name),
                   void *arg, struct io_fswatch **ret, struct err *err);
void io_fswatch_close(struct io_fswatch *w); /* no callback afterwards; NULL is fine */

#endif

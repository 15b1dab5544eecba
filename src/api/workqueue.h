/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A queue of keys that need work, on the loop: the heart of every controller.
 *
 * A key is handed out once however often it was added; while it is being worked on it is not handed
 * out again, and when it was added meanwhile it comes back after workqueue_done(). At most
 * `workers` keys are out at one time. Loop thread only; the function is never called inside a
 * function of this header.
 */
#ifndef API_WORKQUEUE_H
#define API_WORKQUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct io_loop;
struct workqueue;

/* Starts work on a key (borrowed, valid until workqueue_done()); must lead to exactly one
 * workqueue_done(), now or later. */
typedef void workqueue_fn(void *arg, const char *key);

struct workqueue *workqueue_new(struct io_loop *loop, unsigned workers, workqueue_fn *fn,
                                void *arg);
/* Forgets everything, also keys that are out: do not call done for them. NULL is fine. */
void workqueue_free(struct workqueue *q);

/* All of them drop the key on -ENOMEM, which a later change or a resync heals. */
void workqueue_add(struct workqueue *q, const char *key);
/* After ms; an earlier time that was set before stays. */
void workqueue_add_after(struct workqueue *q, const char *key, int64_t ms);
/* After 5 ms, 10 ms, ... 1000 s, doubling at each call until workqueue_forget(). */
void workqueue_retry(struct workqueue *q, const char *key);
void workqueue_forget(struct workqueue *q, const char *key);
void workqueue_done(struct workqueue *q, const char *key);

/* While paused, keys gather but are not handed out. */
void workqueue_pause(struct workqueue *q, bool paused);
/* Keys that wait or are out; delayed ones are not counted. */
size_t workqueue_len(const struct workqueue *q);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reconcile step wants done: requests and events. Building a plan does no I/O; plan_run()
 * carries it out.
 *
 * Requests stand in waves: those of one wave run side by side (the store commits them together),
 * the next wave begins when all of the one before have succeeded. A failure ends the plan after its
 * wave. Everything in a plan lives in its arena.
 */
#ifndef ORCHESTRATOR_PLAN_H
#define ORCHESTRATOR_PLAN_H

#include "api/client.h"

struct recorder;

enum {
    ACTION_F_ABSENT_OK = 1u << 0, /* "not found" is success: it should be gone */
    ACTION_F_EXISTS_OK = 1u << 1, /* "already exists" is success */
};

/* An event to write when an action ends. "%s" in text stands for the name of the object (success)
 * or for the reason (failure). */
struct action_event {
    const struct kind *kind; /* NULL = none */
    const struct json *object;
    const char *reason;
    const char *text;
};

struct action {
    struct api_request req;
    unsigned wave;
    unsigned flags;
    struct action_event ok, failed;
    void *tag; /* for the controller's result function */
};

struct plan_event {
    const struct kind *kind;
    const struct json *object;
    const char *type; /* "Normal", "Warning" */
    const char *reason, *text;
};

struct plan {
    struct arena *arena;
    struct action *actions;
    size_t n, cap;
    struct plan_event *events;
    size_t events_n, events_cap;
    int64_t requeue_ms; /* look again after this time; -1 = only when something changes */
};

void plan_init(struct plan *p, struct arena *a);
/* Each returns the action, so that wave and flags can be set; never NULL (a failed arena shows in
 * plan_failed()). */
struct action *plan_create(struct plan *p, const struct kind *kind, const char *ns,
                           struct json *object);
/* Replaces the object if its resourceVersion is still the one in it. */
struct action *plan_update(struct plan *p, const struct kind *kind, struct json *object,
                           const char *subresource);
struct action *plan_patch(struct plan *p, const struct kind *kind, const char *ns, const char *name,
                          const char *subresource, enum api_patch type, struct json *patch);
/* uid guards against deleting a successor; may be NULL. */
struct action *plan_delete(struct plan *p, const struct kind *kind, const char *ns,
                           const char *name, const char *uid);
/* Asks the server; the controller's action function gets the answer. */
struct action *plan_get(struct plan *p, const struct kind *kind, const char *ns, const char *name);
void plan_event(struct plan *p, const struct kind *kind, const struct json *object,
                const char *type, const char *reason, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
void plan_requeue(struct plan *p, int64_t ms); /* the earliest wins */
bool plan_failed(const struct plan *p);        /* out of memory while building */

/* ---- carrying out ---- */

struct plan_run;

struct plan_run_ops {
    /* Every action that was tried; result as in api_done_fn. May be NULL. */
    void (*action)(void *arg, const struct action *action, int code, const struct json *result);
    /* Once, at the end: 0 or the first failure. The run is freed after it returns. Never called
     * inside plan_run_start(). */
    void (*done)(void *arg, int code, const char *text);
};

struct io_loop;
/* Takes the arena's content (arena is moved out and reset; p must have been built in it). NULL on
 * -ENOMEM: the arena is freed then. */
struct plan_run *plan_run_start(struct api_client *client, struct io_loop *loop,
                                struct recorder *recorder, struct arena *arena, struct plan *p,
                                const struct plan_run_ops *ops, void *arg);
void plan_run_cancel(struct plan_run *run); /* no callback comes afterwards; NULL is fine */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A client at a running container's own input and output, through conmon's socket. Any number may
 * be attached at a time: all see the output from now on, each may write to the input. What the
 * container wrote before is in its log (logs.h).
 */
#ifndef RUNTIME_ATTACH_H
#define RUNTIME_ATTACH_H

#include "base/str.h"
#include "runtime/container.h"

struct attach;

/* None comes inside a function of this header. */
struct attach_events {
    void (*output)(void *arg, int fd, struct str data); /* fd 1 or 2 (with a terminal always 1) */
    void (*drained)(void *arg);                         /* after attach_send() returned true */
    /* The container has ended, or conmon let go. attach_close() is still to be called. */
    void (*ended)(void *arg);
};

/* -E_CONFLICT when it does not run. Reading starts off: attach_pause(a, false). */
int attach_open(struct container *c, const struct attach_events *ev, void *arg, struct attach **ret,
                struct err *err);
/* True: wait for drained before more. Goes nowhere when the container has no input. */
bool attach_send(struct attach *a, struct str data);
/* The client's input has ended. The container's own ends with it if it was made with stdin_once. */
void attach_end_input(struct attach *a);
void attach_pause(struct attach *a, bool paused);
void attach_close(struct attach *a); /* NULL is fine */

/* The window of a container with a terminal; nothing happens to others. */
void container_resize(struct container *c, uint16_t rows, uint16_t cols);

#endif

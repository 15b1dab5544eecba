/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP connections to localhost as a pod sees it. A socket belongs to the network namespace of the
 * thread that makes it, so two are made there by a helper thread; connecting them is ordinary
 * non-blocking work of the loop.
 */
#ifndef RUNTIME_NETNS_DIAL_H
#define RUNTIME_NETNS_DIAL_H

#include <stdint.h>

#include "runtime/runtime.h"

struct stream;

struct netns_dial;
/* s on success, which is the caller's; else NULL and err says why. Comes once, unless cancelled. */
typedef void netns_dial_fn(void *arg, struct stream *s, const struct err *err);

/* netns: a path as in sandbox_paths.net; "" = our own namespace. Tries 127.0.0.1, then ::1. `over`
 * comes when nothing of the dial is under way any more, also after a cancel: the runtime must live
 * until then. NULL on -ENOMEM. */
struct netns_dial *netns_dial(struct runtime *rt, const char *netns, uint16_t port,
                              netns_dial_fn *done, void (*over)(void *over_arg), void *arg,
                              void *over_arg);
void netns_dial_cancel(struct netns_dial *d); /* done does not come any more; NULL is fine */

#endif

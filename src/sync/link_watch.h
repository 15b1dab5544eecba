/* SPDX-License-Identifier: Apache-2.0 */
/* Tells when a link or an address of the machine changes (rtnetlink(7)), so that a reconnect need
 * not wait for its timer. Links of pods (veth) are passed over. */
#ifndef SYNC_LINK_WATCH_H
#define SYNC_LINK_WATCH_H

struct io_loop;
struct link_watch;

/* NULL when the kernel refuses; nothing else depends on it. */
struct link_watch *link_watch_new(struct io_loop *loop, void (*changed)(void *arg), void *arg);
void link_watch_free(struct link_watch *w); /* NULL is fine */

#endif

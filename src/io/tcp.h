/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TCP and Unix sockets: listeners and connects that yield streams. TCP_NODELAY and keep-alive are
 * on (probe after 300 s, every 30 s, 4 tries). Descriptors are close-on-exec.
 */
#ifndef IO_TCP_H
#define IO_TCP_H

#include <stdint.h>

#include "base/err.h"
#include "io/stream.h"

struct io_loop;
struct listener;
struct io_connect;

/* on_accept gets the stream's ownership; it comes from the loop. When descriptors run out,
 * accepting pauses for a moment and goes on by itself. */
typedef void listener_accept_fn(void *arg, struct stream *s);

/* host: a numeric address, NULL or "" for all (IPv6 with IPv4 where the kernel has it). port 0 =
 * any free one. */
int tcp_listen(struct io_loop *l, const char *host, uint16_t port, listener_accept_fn *on_accept,
               void *arg, struct listener **ret, struct err *err);
/* A stale socket file is replaced; mode is set before anybody can connect. */
int unix_listen(struct io_loop *l, const char *path, unsigned mode, listener_accept_fn *on_accept,
                void *arg, struct listener **ret, struct err *err);
uint16_t listener_port(const struct listener *ln);
void listener_pause(struct listener *ln, bool paused); /* the backlog holds new ones meanwhile */
void listener_close(struct listener *ln);              /* removes a socket file; NULL is fine */

/* s on success, else NULL and err says why ("connect to center:6443: connection refused"). Comes
 * once, unless cancelled, never inside the submitting call. */
typedef void io_connect_fn(void *arg, struct stream *s, const struct err *err);

/* Tries every address of the name in turn; timeout_ms bounds the whole (0 = 30 s). NULL on -ENOMEM.
 * The handle is gone when the callback has been called. */
struct io_connect *tcp_connect(struct io_loop *l, const char *host, uint16_t port,
                               int64_t timeout_ms, io_connect_fn *fn, void *arg);
struct io_connect *unix_connect(struct io_loop *l, const char *path, io_connect_fn *fn, void *arg);
void io_connect_cancel(struct io_connect *c); /* no callback afterwards; NULL is fine */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the HTTP server.
 *
 *     http_server.c    the server: listeners, handshakes, start and stop
 *     server_conn.c    a connection: which protocol, time-outs, the end
 *     server_http1.c   HTTP/1.1 on it: one exchange at a time
 *     server_http2.c   HTTP/2 on it: many
 *     http_exchange.c  the exchange as the handler sees it
 *
 * Life of an exchange: made by a protocol file, handed to the handler (live), ended by the handler
 * (ended) or by the connection (exchange_lost). On HTTP/2 an ended exchange stays until its output
 * has left.
 */
#ifndef NET_HTTP_SERVER_PRIVATE_H
#define NET_HTTP_SERVER_PRIVATE_H

#include "base/arena.h"
#include "base/list.h"
#include "codec/http1.h"
#include "codec/http2.h"
#include "io/loop.h"
#include "io/tls.h"
#include "net/duplex.h"
#include "net/http_server.h"

struct http_server {
    struct http_server_config cfg;
    struct list listeners, handshakes, conns;
    size_t n_conns, n_handshakes;
    size_t peak; /* of n_conns since memory was given back last */
    bool stopping;
    struct io_timer grace, trim;
    struct io_task done_task;
    void (*done)(void *arg);
    void *done_arg;
    int64_t date_second;
    char date[40];
};

enum conn_kind { CONN_UNKNOWN, CONN_HTTP1, CONN_HTTP2 };

struct server_conn {
    struct list link;
    struct http_server *server;
    struct stream *stream;
    enum conn_kind kind;
    bool closing;         /* nothing may be done with it any more; it is freed soon */
    bool feeding;         /* its protocol code is on the stack */
    struct str *unparsed; /* while feeding: what of the bytes at hand was not parsed yet */
    char *identity;
    void (*on_end)(void *arg);
    void *on_end_arg;
    int64_t ping_ms; /* > 0: a tunnel: pings instead of an idle time-out */
    struct io_timer timer;
    struct io_task task, free_task;
    uint64_t given, last_sent; /* bytes handed to the stream; of these written at the last look */
    struct buf in;             /* bytes not yet parsed */
    /* HTTP/1.1 */
    struct http1_parser parser;
    struct http_exchange *x;
    bool keep_alive, heard_eof;
    uint64_t dropped; /* body bytes passed over since the last reply */
    /* HTTP/2 */
    struct http2 *h2;
    struct list exchanges;
    uint64_t pulled, last_pulled; /* body bytes that left; at the last look */
    uint64_t heard;               /* bytes received, for the pings */
    uint64_t heard_before;
    bool ping_open;
};

enum body_mode { BODY_HELD, BODY_COLLECT, BODY_READ, BODY_DROP };

#define EXCHANGE_MAGIC 0x48545458u

struct http_exchange {
    uint32_t magic;
    struct server_conn *conn;
    struct list link; /* HTTP/2: on conn->exchanges */
    struct arena arena;
    struct http_request req;
    int32_t id;   /* HTTP/2 */
    bool live;    /* the handler has it and has not ended it */
    bool is_head; /* no body is sent: HEAD, 204, 304 */
    bool expect_continue;
    /* request body */
    enum body_mode mode;
    bool paused, body_done, body_told;
    size_t limit;
    struct buf body; /* collected, or held until somebody wants it */
    size_t dropped;
    size_t held; /* HTTP/2: bytes of it that the window still counts */
    void (*collected)(struct http_exchange *x, struct str body, void *arg);
    void (*on_data)(struct http_exchange *x, struct str data, void *arg);
    void *body_arg;
    struct io_task body_task;
    /* reply */
    void (*on_close)(void *arg);
    void *close_arg;
    void (*on_drain)(void *arg);
    void *drain_arg;
    struct io_task drain_task;
    bool started, chunked, want_drain;
    struct buf out; /* HTTP/2 */
    bool out_eof;
    struct duplex *duplex;
    struct str protocol; /* extended CONNECT's, or of selvedge-stream */
};

/* ---- server_conn.c ---- */
int conn_serve(struct http_server *s, struct stream *stream, enum http_protocol protocol,
               const char *identity, int64_t ping_ms, void (*on_end)(void *arg), void *arg);
void conn_close(struct server_conn *c);  /* at once; exchanges are lost */
void conn_finish(struct server_conn *c); /* what is queued is still written */
/* The stream is somebody else's now; the connection goes. Returns the stream with what was read too
 * far in front of it, NULL on -ENOMEM (nothing happened). */
struct stream *conn_release(struct server_conn *c);
ssize_t conn_write(struct server_conn *c, const struct str *parts, size_t n);
void conn_set_timer(struct server_conn *c); /* by what the connection is waiting for */
void conn_stop(struct server_conn *c);      /* the server stops: no new request */

/* ---- server_http1.c ---- */
void http1_conn_feed(struct server_conn *c, const char *data, size_t n);
void http1_conn_eof(struct server_conn *c);
void http1_conn_resume(struct server_conn *c); /* later: look at `in` again */
int http1_exchange_reply(struct http_exchange *x, int status, const struct http_header *headers,
                         size_t n, struct str body, bool complete);
void http1_exchange_end(struct http_exchange *x);
/* A reply without an exchange (bytes that are no request); the connection ends. */
void http1_conn_refuse(struct server_conn *c, int status, const char *text);
struct stream *http1_exchange_stream(struct http_exchange *x, const char *protocol,
                                     const struct http_header *headers, size_t n);

/* ---- server_http2.c ---- */
int http2_conn_start(struct server_conn *c);
void http2_conn_feed(struct server_conn *c, const char *data, size_t n);
void http2_conn_flush(struct server_conn *c);
void http2_exchange_reply(struct http_exchange *x, int status, const struct http_header *headers,
                          size_t n, bool body);
struct stream *http2_exchange_stream(struct http_exchange *x, const struct http_header *headers,
                                     size_t n);
bool http2_conn_blocked(const struct server_conn *c); /* bodies wait for the peer's windows */
void http2_exchange_detach(struct http_exchange *x);  /* freed when the stream closes */

/* ---- http_exchange.c ---- */
struct http_exchange *exchange_new(struct server_conn *c);
void exchange_free(struct http_exchange *x);
/* Fills req from a head whose text lives as long as the exchange; calls the handler. */
void exchange_start(struct http_exchange *x, const struct http_head *head);
/* A piece of the body; x may be gone afterwards. */
void exchange_body(struct http_exchange *x, struct str data);
void exchange_body_end(struct http_exchange *x);
bool exchange_takes_body(const struct http_exchange *x); /* to use it or to drop it */
bool exchange_wants_body(const struct http_exchange *x);
/* The peer is gone: tells the handler and frees x. */
void exchange_lost(struct http_exchange *x);
/* The server itself answers; the handler gets on_close. x is gone afterwards. */
void exchange_refuse(struct http_exchange *x, int status, const char *text);
void exchange_drained(struct http_exchange *x);
const char *server_error_body(struct http_server *s, int status, const char *text,
                              struct buf *body);
const char *server_date(struct http_server *s);

/* For the tunnel: http_server_serve() with pings. */
int http_server_serve_tunnel(struct http_server *s, struct stream *stream, const char *identity,
                             int64_t ping_ms, void (*on_end)(void *arg), void *arg);
/* Closes the connection that was served with this argument of on_end. */
void http_server_close_owner(struct http_server *s, const void *on_end_arg);

#endif

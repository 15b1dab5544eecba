/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the HTTP client.
 *
 *     http_client.c    the client: which call goes on which connection; the calls' API
 *     client_conn.c    a connection: dial, TLS, time-outs, the end
 *     client_http1.c   one call at a time on it
 *     client_http2.c   many calls on it
 *     http_fetch.c     whole answers
 *
 * A call waits in client->waiting, then belongs to a connection, then is over. Its memory goes in a
 * later tick, so that code on the stack may look at call->over.
 */
#ifndef NET_HTTP_CLIENT_PRIVATE_H
#define NET_HTTP_CLIENT_PRIVATE_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/list.h"
#include "codec/http1.h"
#include "codec/http2.h"
#include "io/loop.h"
#include "io/tcp.h"
#include "io/tls.h"
#include "net/duplex.h"
#include "net/http_client.h"

struct http_client {
    struct http_client_config cfg; /* host and unix_path are our copies */
    char *authority;               /* Host header */
    struct list conns, waiting;
    size_t n_conns;
    struct io_task pump;
    bool single; /* over one given stream: never dials */
    bool freed;
    bool used_h2; /* the origin spoke HTTP/2 before: one connection is enough */
    void (*on_end)(void *arg, int code);
    void *on_end_arg;
};

enum client_conn_kind { CLIENT_DIALLING, CLIENT_HTTP1, CLIENT_HTTP2 };

struct client_conn {
    struct list link;
    struct http_client *client;
    enum client_conn_kind kind;
    struct io_connect *dial;
    struct tls_handshake *handshake;
    struct stream *stream;
    struct io_timer timer; /* dialling: the whole time-out; else idle or ping */
    struct io_task task, free_task;
    bool closing, draining; /* draining: takes no new call */
    bool used;              /* has carried a call before */
    struct list calls;
    struct list links; /* HTTP/2: byte streams that calls turned into */
    /* HTTP/1.1 */
    struct http1_parser parser;
    struct buf in;
    bool keep_alive, got_bytes; /* of the current answer */
    struct str *unparsed;
    /* HTTP/2 */
    struct http2 *h2;
    uint64_t heard, heard_before;
    bool ping_open;
};

#define CALL_MAGIC 0x43414c4cu

struct http_call {
    uint32_t magic;
    struct list link; /* client->waiting or conn->calls */
    struct http_client *client;
    struct client_conn *conn; /* NULL while waiting */
    const struct http_call_ops *ops;
    void *arg;
    struct arena arena;
    struct http_head head;
    struct http_response response;
    char *upgrade;
    struct io_timer timer;
    struct io_task free_task;
    int64_t idle_ms;
    bool over, retried, has_response;
    /* body to send */
    int64_t body_length; /* of a streaming body; 0 = not known */
    bool stream_body, body_ended, want_drain;
    struct buf out; /* HTTP/1.1: kept for a retry; streaming: until it is sent */
    size_t pulled;  /* HTTP/2: bytes of a fixed body already sent */
    /* body received */
    bool paused, in_ended;
    struct buf in; /* while paused */
    struct io_task unpause;
    /* HTTP/2 */
    int32_t id;
    struct duplex *duplex;
};

/* ---- http_client.c ---- */
void client_pump(struct http_client *c);
/* Each ends the call; it is not touched afterwards by its caller. */
void call_finish(struct http_call *call);
void call_fail(struct http_call *call, int code, const char *text);
void call_hand_over(struct http_call *call, struct stream *s);
void call_headers(struct http_call *call, const struct http_head *head);
/* Gives data to the user, or keeps it while paused. False when the call is over. */
bool call_data(struct http_call *call, struct str data);
void call_data_end(struct http_call *call);
void call_drained(struct http_call *call);
void call_detach(struct http_call *call); /* from its connection or the queue */
void call_requeue(struct http_call *call);
bool call_may_retry(const struct http_call *call);

/* ---- client_conn.c ---- */
int client_conn_dial(struct http_client *c);
int client_conn_adopt(struct http_client *c, struct stream *s, enum http_protocol protocol);
/* Its calls fail with the code, or go back to the queue where that is safe. */
void client_conn_close(struct client_conn *k, int code, const char *text);
bool client_conn_takes(const struct client_conn *k); /* another call now */
void client_conn_start(struct client_conn *k, struct http_call *call);
void client_conn_idle(struct client_conn *k); /* a call has ended: arm the idle timer */
struct stream *client_conn_release(struct client_conn *k);

/* ---- client_http1.c ---- */
void client1_start(struct client_conn *k, struct http_call *call);
void client1_feed(struct client_conn *k, const char *data, size_t n);
void client1_eof(struct client_conn *k);
ssize_t client1_write(struct http_call *call, struct str data);
void client1_end_body(struct http_call *call);

/* ---- client_http2.c ---- */
int client2_open(struct client_conn *k);
void client2_start(struct client_conn *k, struct http_call *call);
void client2_feed(struct client_conn *k, const char *data, size_t n);
void client2_flush(struct client_conn *k);
void client2_close_links(struct client_conn *k, int code);
void client2_drop(struct http_call *call); /* the call is over for its user: reset the stream */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP client for one origin: host and port (with TLS or without), a Unix socket, or a stream that
 * somebody else set up (the tunnel). HTTP/2 multiplexes all calls on one connection; HTTP/1.1 keeps
 * up to max_connections alive. Connections are made when a call needs one; a dead one is replaced.
 *
 * A call is one-shot. It ends with exactly one of on_end, on_error, on_stream; the call is invalid
 * when that returns. http_call_cancel() ends it without any. No callback comes inside
 * http_call_start() or http_call_cancel(). A request that was not yet sent when its kept connection
 * turned out to be closed is retried once on a new one (only without a streaming body).
 */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <sys/types.h>

#include "base/err.h"
#include "io/stream.h"
#include "net/http.h"
#include "net/http_server.h" /* enum http_protocol */

struct http_client;
struct http_call;
struct io_loop;
struct tls_ctx;

struct http_client_config {
    struct io_loop *loop;
    const char *host; /* name or address; also the Host header and the TLS name */
    uint16_t port;
    const char *unix_path;       /* instead of host and port; host is then only the Host header */
    struct tls_ctx *tls;         /* NULL = plain; referenced */
    enum http_protocol protocol; /* AUTO: what ALPN says, HTTP/1.1 without TLS */
    unsigned max_connections;    /* HTTP/1.1; 0 = 8 */
    int64_t connect_timeout_ms;  /* 0 = 15 s, TLS included */
    int64_t idle_timeout_ms;     /* of a kept connection without calls; 0 = 90 s; < 0 = never */
    int64_t ping_ms;             /* HTTP/2: ping when quiet, and dead after twice that; 0 = off */
};

int http_client_new(const struct http_client_config *cfg, struct http_client **ret);
/* Over a stream that is connected already; takes it in every case. host is the Host header. on_end
 * (may be NULL) comes once when the connection is gone, not after http_client_free(); calls fail
 * with -E_UNREACH from then on. */
int http_client_from_stream(struct io_loop *l, struct stream *s, enum http_protocol protocol,
                            const char *host, int64_t ping_ms, void (*on_end)(void *arg, int code),
                            void *arg, struct http_client **ret);
/* Calls under way end with on_error(-E_CANCELED) before it returns. NULL is fine. Not from inside a
 * callback of one of its calls. */
void http_client_free(struct http_client *c);
/* Drops idle connections; a call that runs keeps its own. New calls connect anew (new certificate).
 */
void http_client_reset(struct http_client *c);

struct http_call_request {
    const char *method;                /* NULL = "GET" */
    const char *path;                  /* with the query, escaped */
    const struct http_header *headers; /* copied; host, content-length, connection are added */
    size_t n_headers;
    struct str body;     /* copied */
    bool stream_body;    /* body comes by http_call_write() ... http_call_end_body() */
    int64_t body_length; /* of a streaming body, when it is known; <= 0: HTTP/1.1 sends chunks */
    const char *upgrade; /* ask for a byte stream of this protocol: on_stream on success */
    int64_t timeout_ms;  /* from start to the response's head; 0 = 60 s, < 0 = none */
    int64_t idle_ms;     /* between pieces of the response's body; 0 = none */
};

/* Members may be NULL, except on_error. */
struct http_call_ops {
    void (*on_headers)(struct http_call *c, void *arg, const struct http_response *r);
    void (*on_data)(struct http_call *c, void *arg, struct str data);
    void (*on_end)(struct http_call *c, void *arg);
    void (*on_error)(struct http_call *c, void *arg, const struct err *err);
    /* The server agreed to `upgrade`; s is the caller's now; reading is off. Any other answer takes
     * the way of on_headers. */
    void (*on_stream)(struct http_call *c, void *arg, struct stream *s,
                      const struct http_response *r);
    void (*on_drain)(struct http_call *c, void *arg); /* of a streaming body */
};

/* NULL on -ENOMEM, and while the client is being freed; every other failure goes to on_error. ops
 * must be static. */
struct http_call *http_call_start(struct http_client *c, const struct http_call_request *req,
                                  const struct http_call_ops *ops, void *arg);
void http_call_cancel(struct http_call *c);             /* NULL is fine */
void http_call_pause(struct http_call *c, bool paused); /* of on_data; the peer is slowed down */
ssize_t http_call_write(struct http_call *c, struct str data); /* as http_reply_write() */
void http_call_end_body(struct http_call *c);

/* The whole answer at once. code 0 whatever the status, or negative with err set (resp is then
 * NULL). body (0-terminated) and resp are valid within done. More than limit bytes: -E_TOOBIG. */
typedef void http_fetch_fn(void *arg, int code, const struct http_response *resp, struct str body,
                           const struct err *err);
struct http_fetch;
struct http_fetch *http_fetch(struct http_client *c, const struct http_call_request *req,
                              size_t limit, http_fetch_fn *done, void *arg); /* NULL on -ENOMEM */
void http_fetch_cancel(struct http_fetch *f);                                /* NULL is fine */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.1 messages (RFC 9112), sans-I/O, both roles: bytes go in, events come out.
 *
 *     struct http1_parser p;
 *     http1_init(&p, HTTP1_REQUEST);
 *     while ((type = http1_next(&p, &in, arena, &ev)) != HTTP1_MORE) { ... }
 *
 * `in` shrinks from the front by what was consumed. The parser keeps only an incomplete head; a
 * quiet connection holds no buffer.
 *
 * Strict, so that no two parties can disagree about where a message ends: CRLF only, no obs-fold,
 * no space before ':', Transfer-Encoding only "chunked" and never with Content-Length, no repeated
 * differing Content-Length, exactly one Host in HTTP/1.1, chunk sizes in hex without sign and
 * bounded, chunk extensions are skipped but bounded, trailers are checked and dropped. HTTP/1.0 has
 * no chunked.
 */
#ifndef CODEC_HTTP1_H
#define CODEC_HTTP1_H

#include "base/buf.h"
#include "base/err.h"
#include "codec/http_head.h"

enum http1_role { HTTP1_REQUEST, HTTP1_RESPONSE };

enum http1_type {
    HTTP1_MORE,  /* all input is consumed (or handed over: see HTTP1_END); feed more */
    HTTP1_HEAD,  /* ev.head, in the arena */
    HTTP1_BODY,  /* ev.data, borrowed from the input */
    HTTP1_END,   /* the message is complete; the parser is ready for the next one */
    HTTP1_ERROR, /* ev.err; the parser is finished. ev.status fits the reply (400, 413, 431, 501...)
                  */
};

struct http1_event {
    struct http_head *head;
    struct str data;
    bool keep_alive;      /* HTTP1_HEAD: the connection may carry another message afterwards */
    bool expect_continue; /* HTTP1_HEAD of a request: the sender waits for 100 */
    bool chunked;         /* HTTP1_HEAD: the body's length is not known beforehand */
    bool has_body;        /* HTTP1_HEAD */
    int status;
    struct err err;
};

struct http1_parser {
    /* private */
    enum http1_role role;
    int state;
    bool no_body; /* response to HEAD, or a successful CONNECT */
    bool chunked, to_eof, any_trailer;
    uint8_t line_flags;
    uint32_t line_n;    /* bytes of the chunk size line or trailers so far */
    uint64_t left;      /* body or chunk bytes to come */
    struct buf partial; /* an incomplete head or line */
};

void http1_init(struct http1_parser *p, enum http1_role role);
void http1_fini(struct http1_parser *p);
/* Response parser: the next response answers HEAD or CONNECT, so that it has no body (2xx of
 * CONNECT).
 */
void http1_expect_no_body(struct http1_parser *p);
/* ev->head is allocated in a; -ENOMEM shows as HTTP1_ERROR with status 503. */
enum http1_type http1_next(struct http1_parser *p, struct str *in, struct arena *a,
                           struct http1_event *ev);
/* The peer closed. HTTP1_END when this ends a response without length, HTTP1_MORE between messages,
 * else HTTP1_ERROR (cut off). */
enum http1_type http1_eof(struct http1_parser *p, struct http1_event *ev);
bool http1_idle(const struct http1_parser *p); /* between messages, nothing buffered */

/* ---- writing ---- */

/* Head line and headers, without the blank line. Names and values are checked: -EINVAL. */
int http1_put_request(struct buf *out, struct str method, struct str target);
int http1_put_status(struct buf *out, int status, int version);
int http1_put_header(struct buf *out, struct str name, struct str value);
int http1_put_end(struct buf *out); /* the blank line */
/* Frame of one chunk: head, then the n bytes, then "\r\n". n > 0. */
#define HTTP1_CHUNK_HEAD_SIZE 20
size_t http1_chunk_head(char out[HTTP1_CHUNK_HEAD_SIZE], size_t n);
#define HTTP1_LAST_CHUNK "0\r\n\r\n"

#endif

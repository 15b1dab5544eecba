/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a request and a response are made of, whatever the version of HTTP: method, target, status
 * and a list of headers. All text lies in an arena or is borrowed.
 */
#ifndef CODEC_HTTP_HEAD_H
#define CODEC_HTTP_HEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct http_header {
    struct str name; /* as received; compare with str_ieq(). HTTP/2 sends lower case */
    struct str value;
};

#define HTTP_HEADER(n, v) ((struct http_header){STR_LIT(n), str_of(v)})

struct http_headers {
    struct http_header *v;
    size_t n;
};

/* The first value of a header, or one with p == NULL. name in any case. */
struct str http_header_get(const struct http_headers *h, const char *name);
bool http_header_has(const struct http_headers *h, const char *name);
/* Whether a comma-separated list header (any of its lines) holds the token, case ignored. */
bool http_header_has_token(const struct http_headers *h, const char *name, const char *token);
/* Appends; copies both texts into the arena. 0 or -ENOMEM. */
int http_header_add(struct arena *a, struct http_headers *h, struct str name, struct str value);

struct http_head {
    /* requests */
    struct str method;
    struct str target;    /* request-target as received: "/api?x=1", "*", "host:443" */
    struct str authority; /* Host or :authority */
    struct str protocol;  /* :protocol of extended CONNECT (RFC 8441), else empty */
    /* responses */
    int status;
    /* both */
    int version; /* 10, 11, 20 */
    struct http_headers headers;
    int64_t content_length; /* -1 = not declared */
};

/* The phrase of a status code ("Not Found"); "" when unknown. */
const char *http_status_text(int status);
bool http_is_token(struct str s);       /* RFC 9110 section 5.6.2 */
bool http_is_field_value(struct str s); /* section 5.5: no CR, LF, NUL or other controls */

#endif

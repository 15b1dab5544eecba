/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP server and the HTTP client share. */
#ifndef NET_HTTP_H
#define NET_HTTP_H

#include "base/arena.h"
#include "base/str.h"
#include "codec/http_head.h"

struct http_request {
    struct str method;
    struct str
        path; /* before '?', as received (percent-escapes are not decoded), begins with '/' */
    struct str query; /* after '?', without it; empty when there is none */
    struct str authority;
    struct http_headers headers;
    int version;            /* 10, 11, 20 */
    int64_t content_length; /* -1 = not declared */
};

struct http_response {
    int status;
    struct http_headers headers;
    int64_t content_length; /* -1 = not declared */
    int version;
};

/* The decoded value of the first `name` in a query string; NULL when absent or when its escapes are
 * bad; "" when it has no '='. */
const char *http_query_get(struct arena *a, struct str query, const char *name);
/* Whether all escapes of a query can be decoded, and to something else than a zero byte. */
bool http_query_valid(struct str query);
/* Walks a query: false at the end. Values are decoded; a pair with bad escapes is skipped. Start
 * with *at = query. */
bool http_query_next(struct arena *a, struct str *at, const char **ret_name,
                     const char **ret_value);

#endif

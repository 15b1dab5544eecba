/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP peers of sinks and sources: "http://host:8080/path" with TLS options, as a client. */
#ifndef PART_DATA_ENDPOINT_H
#define PART_DATA_ENDPOINT_H

#include "codec/json.h"
#include "net/http_client.h"

struct endpoint {
    struct http_client *client;
    char *path;                  /* heap: with the query */
    struct http_header *headers; /* in the arena that was given */
    size_t n_headers;
};

/* url, insecureSkipVerify, certificationPath, privateKeyPath, rootCaPath, headers of conf. Nothing
 * is connected yet. -E_INVAL with the option's name. */
int endpoint_open(struct io_loop *l, struct arena *a, const struct json *conf, struct endpoint *ret,
                  struct err *err);
/* "method" of conf, or what stands for it: GET, POST, PUT, PATCH, DELETE, HEAD in any case. */
int endpoint_method(const struct json *conf, const char *none, const char **ret, struct err *err);
/* "timeout" or "interval" of conf, in milliseconds or as Go's text: 1 ms to 10 days. */
int endpoint_time(const struct json *conf, const char *option, int64_t none_ms, int64_t *ret_ms,
                  struct err *err);
/* Whether a text may stand in a request line or a header: no control characters; no blanks in a
 * path. */
bool endpoint_text_ok(struct str s, bool path);
void endpoint_close(struct endpoint *e); /* a zeroed one is fine */

/* "tcp://host:1883", "ssl://host": scheme may be missing. host is heap. */
int endpoint_split(struct str url, struct str *ret_scheme, char **ret_host, uint16_t *ret_port,
                   struct str *ret_path, struct err *err);

#endif

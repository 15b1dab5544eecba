/* SPDX-License-Identifier: Apache-2.0 */
/* Between http1.c (framing) and http1_head.c (content of heads). */
#ifndef CODEC_HTTP1_PRIVATE_H
#define CODEC_HTTP1_PRIVATE_H

#include "codec/http1.h"

/* How the body that follows a head ends. */
struct http1_framing {
    bool chunked, to_eof;
    uint64_t length;
};

/* Parses a complete head, blank line included; its pieces point into text. 0, or the status that
 * fits the refusal and *ret_error. Sets keep_alive and expect_continue of ev. */
int http1_parse_head(enum http1_role role, bool no_body, struct str text, struct arena *a,
                     struct http_head *head, struct http1_framing *ret, struct http1_event *ev,
                     const char **ret_error);
bool http1_trailers_fine(struct str text);

#endif

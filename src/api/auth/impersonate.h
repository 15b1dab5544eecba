/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The headers Impersonate-User, -Group, -Uid and -Extra-*: an authenticated user asks to be treated
 * as somebody else. Every part of the other's identity needs the verb impersonate.
 */
#ifndef API_AUTH_IMPERSONATE_H
#define API_AUTH_IMPERSONATE_H

#include "api/server.h"
#include "codec/http_head.h"

/* *u becomes the other (in the arena) when there are such headers. 0; or -E_ACCESS, -E_INVALID (a
 * group without a user), -E_LIMIT, -E_NOMEM with *ret_status, the Status to answer. */
int impersonate(struct api_server *s, struct arena *a, const struct http_headers *h,
                struct api_user *u, struct json **ret_status);

#endif

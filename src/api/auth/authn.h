/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls: certificates, Unix peers, bearer tokens. The order is told in server.h. */
#ifndef API_AUTHN_H
#define API_AUTHN_H

#include "api/server.h"

/* A user in the arena. 0; -E_UNAUTHORIZED with a sentence when credentials were given and are
 * wrong. Nobody who gives none is system:anonymous. */
int authn_exchange(struct api_server *s, struct http_exchange *x, struct api_user *ret,
                   struct err *err);
/* The part that needs no connection: a bearer token. audiences: for whom it must be meant, NULL =
 * this server; *ret_audiences (may be NULL) gets those of them that it is meant for, or NULL when
 * it is of a kind that names none. */
int authn_token(struct api_server *s, struct arena *a, struct str token,
                const char *const *audiences, struct api_user *ret,
                const char *const **ret_audiences, struct err *err);
/* Reads the lines "token,user,uid,groups" into s->tokens. 0, -E_PARSE, -E_NOMEM. */
int authn_load_csv(struct api_server *s, const char *csv, struct err *err);

bool authn_is_anonymous(const struct api_user *u);
extern const struct api_user authn_anonymous;

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of service accounts: JWTs that this server has signed.
 *
 *     ServiceAccount --TokenRequest--> {"sub":"system:serviceaccount:NS:NAME","exp":...} --> Bearer
 *     Secret of type kubernetes.io/service-account-token --> the old kind, without an end
 *
 * A signature is checked once and remembered; whether the account (and the pod, node or Secret to
 * which the token is bound) still lives is asked at every request. Claims are those of Kubernetes
 * 1.32 (pkg/serviceaccount/claims.go and legacy.go). The first key signs; all verify, found by
 * their id, so that a key is exchanged by putting a new one in front.
 */
#ifndef API_AUTH_TOKENS_H
#define API_AUTH_TOKENS_H

#include "api/server.h"
#include "base/clock.h"

#define TOKENS_ISSUER "https://kubernetes.default.svc"

struct tokens;

/* o->token_keys and o->root_ca are read; without keys nothing is signed and nothing verifies. */
int tokens_new(struct api_server *s, const struct api_server_opts *o, struct tokens **ret,
               struct err *err);
void tokens_free(struct tokens *t); /* NULL is fine */

bool tokens_can_sign(const struct tokens *t);
const char *tokens_root_ca(const struct tokens *t); /* "" when there is none */

/* What a token is bound to, besides its account; a NULL name = nothing. */
struct token_binding {
    const char *name, *uid;
};

struct token_request {
    const char *ns, *name, *uid;  /* the account */
    const char *const *audiences; /* NULL-terminated */
    int64_t seconds;              /* of life */
    int64_t warn_seconds;         /* 0, or when its holder should have taken a new one */
    struct token_binding pod, secret, node;
};

/* In the arena; *ret_end is its end. -E_NOTSUP without keys, -E_NOMEM. */
int tokens_issue(struct tokens *t, struct arena *a, const struct token_request *r,
                 const char **ret_token, struct wall *ret_end);
/* The old kind, for a Secret. */
int tokens_issue_legacy(struct tokens *t, struct arena *a, const char *ns, const char *account,
                        const char *uid, const char *secret, const char **ret_token);

/* Who a token is, in the arena. audiences: for whom it must be meant, NULL = this server;
 * *ret_audiences (may be NULL) gets those that it is meant for of them. -E_UNAUTHORIZED with a
 * sentence; -E_NOMEM. */
int tokens_verify(struct tokens *t, struct arena *a, struct str token, const char *const *audiences,
                  struct api_user *ret, const char *const **ret_audiences, struct err *err);

/* The JSON Web Key Set (RFC 7517) and the discovery document of OpenID Connect; base is
 * "https://host:port" of this server. In the arena. */
struct json *tokens_jwks(struct tokens *t, struct arena *a);
struct json *tokens_discovery(struct tokens *t, struct arena *a, const char *base);

#endif

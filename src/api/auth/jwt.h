/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Web Tokens in the compact form of RFC 7515: header.claims.signature, each base64url.
 * Cutting and joining only; whether the claims are believed is decided elsewhere.
 */
#ifndef API_AUTH_JWT_H
#define API_AUTH_JWT_H

#include "codec/json.h"
#include "io/jws.h"

struct jwt {
    const char *alg, *kid;  /* "" when absent */
    struct json *claims;    /* an object */
    struct str signed_part; /* of the token's text */
    struct str signature;   /* raw */
};

/* Whether a text looks like one: two dots, and the first part begins as JSON does. */
bool jwt_shape(struct str token);
/* Outside input. All lives in the arena, but signed_part, which borrows from token. -E_PARSE,
 * -E_LIMIT (LIMIT_TOKEN), -E_NOMEM. */
int jwt_parse(struct arena *a, struct str token, struct jwt *ret);
/* In the arena; NULL when signing or the arena failed. */
const char *jwt_sign(struct arena *a, const struct jws_key *key, const struct json *claims);

#endif

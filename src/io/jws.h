/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that sign tokens: the raw signatures of JSON Web Signatures (RFC 7515, RFC 7518 section 3)
 * with ES256 (ECDSA P-256) or RS256 (RSA 2048 and more), and what a JWK of the public half says.
 * Knows nothing of JSON or base64; nothing of OpenSSL is seen outside src/io.
 */
#ifndef IO_JWS_H
#define IO_JWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

struct jws_key;

/* pem: a private key (signs and verifies) or a public one (verifies). -E_CERT, -E_NOMEM. */
int jws_key_load(struct str pem, struct jws_key **ret, struct err *err);
void jws_key_free(struct jws_key *k); /* NULL is fine */

/* base64url of the SHA-256 of the DER SubjectPublicKeyInfo, as Kubernetes names its keys. */
const char *jws_key_id(const struct jws_key *k);
const char *jws_key_alg(const struct jws_key *k); /* "ES256" or "RS256" */
bool jws_key_signs(const struct jws_key *k);      /* it holds the private half */

/* Appends the raw signature (ES256: 64 bytes, r and s). 0, -E_CERT or -E_NOMEM. */
int jws_sign(const struct jws_key *k, struct str data, struct buf *out);
/* Any bytes may come in. */
bool jws_verify(const struct jws_key *k, struct str data, struct str signature);

/* The numbers of the public half, big-endian: x and y (32 bytes each) of ES256, n and e of RS256.
 */
int jws_key_public(const struct jws_key *k, struct buf *ret_x_or_n, struct buf *ret_y_or_e);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS 1.3 over any stream, by OpenSSL, with little memory for a quiet connection (no BIO buffers,
 * released record buffers, no tickets).
 *
 * A server may ask for client certificates. One that is unknown, expired or otherwise bad does not
 * fail the handshake: what was wrong is in struct tls_peer, so that the server can answer with a
 * clear 401. A client checks the server's certificate and name strictly, or by a pinned CA hash.
 */
#ifndef IO_TLS_H
#define IO_TLS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "io/stream.h"

struct tls_ctx;
struct tls_handshake;

struct tls_config {
    /* Own certificate chain and key, PEM. Servers must, clients may have them. */
    struct str cert_pem;
    struct str key_pem;
    /* Server: the CA of client certificates; empty = do not ask for one.
     * Client: the CAs that are trusted; empty = the system's, unless pinned or insecure. */
    struct str ca_pem;
    bool h2; /* offer or accept ALPN h2 besides http/1.1 */
    /* Clients only: */
    const char *server_name;   /* name to check instead of the host that was dialled */
    const char *pinned_sha256; /* hex of SHA-256 of the CA's public key (x509_key_hash): trust the
                                  chain that the server sends if it ends in that CA */
    bool insecure;             /* do not check the server at all */
};

/* The texts are copied or parsed; they are not needed afterwards. A context is reference-counted
 * and starts with one reference. */
int tls_server_new(const struct tls_config *cfg, struct tls_ctx **ret, struct err *err);
int tls_client_new(const struct tls_config *cfg, struct tls_ctx **ret, struct err *err);
struct tls_ctx *tls_ctx_ref(struct tls_ctx *c);
void tls_ctx_unref(struct tls_ctx *c); /* NULL is fine */
/* New own certificate and key, for handshakes from now on. On failure the old ones stay. */
int tls_ctx_reload(struct tls_ctx *c, struct str cert_pem, struct str key_pem, struct err *err);

/* The certificate that the peer presented. */
struct tls_peer {
    const char *cn;          /* "" when there is none */
    const char *const *orgs; /* O entries, NULL-terminated */
    bool verified;           /* chain, dates and use are fine */
    bool expired_only;       /* not verified, but nothing except its own end is wrong */
    const char *error;       /* a sentence when not verified, else "" */
    int64_t not_before;      /* seconds since 1970 */
    int64_t not_after;
    char serial[48]; /* hex */
    char sha256[65]; /* hex of the certificate's DER */
    struct str der;  /* the certificate itself */
};

/* s is the encrypted stream on success, else NULL. alpn is "" when none was agreed on. */
typedef void tls_done_fn(void *arg, struct stream *s, const char *alpn, const struct err *err);

/* Takes `lower` in every case; it is closed on failure. timeout_ms 0 = 10 s. NULL on -ENOMEM. The
 * handle is gone when done has been called. done never comes inside the call. */
struct tls_handshake *tls_accept(struct tls_ctx *c, struct stream *lower, int64_t timeout_ms,
                                 tls_done_fn *done, void *arg);
struct tls_handshake *tls_connect(struct tls_ctx *c, struct stream *lower, const char *host,
                                  int64_t timeout_ms, tls_done_fn *done, void *arg);
void tls_handshake_cancel(struct tls_handshake *h); /* closes lower; NULL is fine */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Between tls_ctx.c, tls.c and the x509 files. */
#ifndef IO_TLS_PRIVATE_H
#define IO_TLS_PRIVATE_H

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "io/tls.h"

struct tls_ctx {
    unsigned refs;
    bool server, h2, insecure;
    SSL_CTX *ssl;
    char *server_name;
    uint8_t pin[32];
    bool pinned;
};

/* What the verification of the peer said; reached from OpenSSL through SSL_set_app_data(). */
struct tls_verdict {
    const struct tls_ctx *ctx;
    int error; /* X509_V_*; X509_V_OK also when the peer has no certificate */
};

/* One certificate and the chain after it. Returns what the caller frees. */
int x509_read_chain(struct str pem, X509 **ret_cert, STACK_OF(X509) * *ret_chain, struct err *err);
X509 *x509_read_cert(struct str pem, struct err *err);
EVP_PKEY *x509_read_key(struct str pem, struct err *err);
int x509_key_sha256(X509 *cert, uint8_t out[32]);
/* err from OpenSSL's error queue, which is emptied: "what: reason". Returns code. */
int x509_fail(struct err *err, int code, const char *what);
/* NULL on -ENOMEM. One heap block. error: X509_V_*. */
struct tls_peer *tls_peer_new(X509 *cert, int error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys, certificate requests and certificates: ECDSA P-256, PEM, X.509 v3 (RFC 5280), PKCS #10
 * (RFC 2986). Everything is PEM text in and out, so that nothing of OpenSSL is seen outside src/io.
 * Texts made here are heap (mem_free), 0-terminated. Errors are sentences.
 */
#ifndef IO_X509_H
#define IO_X509_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* A new P-256 private key, PKCS #8. */
int x509_key_new(char **ret_pem, struct err *err);

struct x509_subject {
    const char *cn;
    const char *const *orgs; /* NULL-terminated; NULL = none */
};

enum { X509_USE_SERVER = 1u << 0, X509_USE_CLIENT = 1u << 1 };

struct x509_profile {
    struct x509_subject subject;
    unsigned use;            /* X509_USE_* */
    const char *const *sans; /* DNS names and IP addresses, told apart by their form; may be NULL */
    int64_t seconds; /* validity from now; may be negative to make an expired one for tests */
};

/* A self-signed CA (pathlen 1) with its key. */
int x509_ca_new(const char *cn, int64_t seconds, char **ret_cert_pem, char **ret_key_pem,
                struct err *err);
/* A certificate for the public key in key_pem or csr_pem (give one, the other NULL). The CSR's
 * subject is ignored: the profile says who it is for. */
int x509_sign(const char *ca_cert_pem, const char *ca_key_pem, const char *key_pem,
              const char *csr_pem, const struct x509_profile *p, char **ret_cert_pem,
              struct err *err);

int x509_csr_new(const char *key_pem, const struct x509_subject *subject, const char *const *sans,
                 char **ret_pem, struct err *err);

/* What a CSR or a certificate says. One heap block: x509_info_free(). */
struct x509_info {
    const char *cn;          /* "" when there is none */
    const char *const *orgs; /* NULL-terminated */
    const char *const *sans; /* DNS names and IP addresses as text, NULL-terminated */
    bool is_ca;
    unsigned use;       /* extended key usage */
    int64_t not_before; /* seconds since 1970; 0 for a CSR */
    int64_t not_after;
    char serial[48];     /* hex; "" for a CSR */
    char key_sha256[65]; /* hex, SHA-256 of the DER SubjectPublicKeyInfo (RFC 7469's pin) */
    char sha256[65];     /* hex, SHA-256 of the whole DER; "" for a CSR */
};

/* Outside input of at most 64 kB. A CSR's self-signature is verified, its key must be P-256, P-384
 * or RSA >= 2048. */
int x509_csr_parse(struct str pem, struct x509_info **ret, struct err *err);
int x509_cert_parse(struct str pem, struct x509_info **ret,
                    struct err *err); /* the first of a file */
void x509_info_free(struct x509_info *i);

/* Whether cert was issued by ca, is within its dates now and belongs to key (each may be NULL). */
int x509_check(struct str cert_pem, const char *ca_pem, const char *key_pem, struct err *err);

/* key_pem goes to a file of mode 0600, cert_pem of 0644; atomic (file.h). Same as
 * file_write_atomic() with the mode; here so that nobody forgets it. */
int x509_save_key(const char *path, const char *key_pem, struct err *err);
int x509_save_cert(const char *path, const char *cert_pem, struct err *err);
int x509_load(const char *path, char **ret_pem, struct err *err); /* at most 256 kB, must be PEM */

#endif

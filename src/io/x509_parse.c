/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading keys, requests and certificates, which come from outside: sizes are bounded, what is not
 * understood is an error, text that could fool a reader (NUL, controls) is refused.
 */
#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/encode.h"
#include "base/mem.h"
#include "tls_private.h"
#include "x509.h"

#define PEM_MAX ((size_t)256 << 10)
#define OUTSIDE_MAX ((size_t)64 << 10)
#define CHAIN_MAX 256 /* the system's bundle is not read here */
#define SANS_MAX 256
#define ORGS_MAX 64

int x509_fail(struct err *err, int code, const char *what)
{
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    (void)err_set(err, code, "%s: %s", what, reason ? reason : "failed");
    ERR_clear_error();
    return code;
}

/* There is no terminal to ask for a password: an encrypted key is an error. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static BIO *open_pem(struct str pem, size_t max, struct err *err)
{
    if (pem.n == 0 || pem.n > max) {
        (void)err_set(err, -E_CERT, pem.n ? "the PEM text is too large" : "the PEM text is empty");
        return NULL;
    }
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    if (!b) {
        (void)err_set(err, -ENOMEM, "no memory to read PEM");
    }
    return b;
}

X509 *x509_read_cert(struct str pem, struct err *err)
{
    BIO *b = open_pem(pem, PEM_MAX, err);
    X509 *cert = b ? PEM_read_bio_X509(b, NULL, no_password, NULL) : NULL;
    if (b && !cert) {
        (void)x509_fail(err, -E_CERT, "read a certificate");
    }
    BIO_free(b);
    return cert;
}

EVP_PKEY *x509_read_key(struct str pem, struct err *err)
{
    BIO *b = open_pem(pem, PEM_MAX, err);
    EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
    if (b && !key) {
        (void)x509_fail(err, -E_CERT, "read a private key");
    }
    BIO_free(b);
    return key;
}

int x509_read_chain(struct str pem, X509 **ret_cert, STACK_OF(X509) * *ret_chain, struct err *err)
{
    BIO *b = open_pem(pem, PEM_MAX, err);
    X509 *cert = b ? PEM_read_bio_X509(b, NULL, no_password, NULL) : NULL;
    STACK_OF(X509) *chain = sk_X509_new_null();
    bool ok = cert && chain;
    while (ok && sk_X509_num(chain) < CHAIN_MAX) {
        X509 *next = PEM_read_bio_X509(b, NULL, no_password, NULL);
        if (!next) {
            break;
        }
        ok = sk_X509_push(chain, next) > 0;
        if (!ok) {
            X509_free(next);
        }
    }
    BIO_free(b);
    if (!ok) {
        X509_free(cert);
        sk_X509_pop_free(chain, X509_free);
        return b ? x509_fail(err, -E_CERT, "read certificates") : -E_CERT;
    }
    ERR_clear_error(); /* "no start line" at the end */
    *ret_cert = cert;
    *ret_chain = chain;
    return 0;
}

int x509_key_sha256(X509 *cert, uint8_t out[32])
{
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &der);
    if (n <= 0) {
        return -E_CERT;
    }
    (void)SHA256(der, (size_t)n, out); /* cannot fail on memory */
    OPENSSL_free(der);
    return 0;
}

/* ---- what it says ---- */

/* Everything lies in one arena whose first allocation is the info itself. */
struct parsed {
    struct arena arena;
    struct x509_info info;
};

static const char *asn1_text(struct arena *a, const ASN1_STRING *s)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, s);
    char *text = n >= 0 ? arena_strndup(a, (const char *)utf8, (size_t)n) : NULL;
    OPENSSL_free(utf8);
    for (int i = 0; text && i < n; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return NULL;
        }
    }
    return text;
}

/* The last CN (as Go takes it) and all O. False on text that must not be believed. */
static bool read_name(struct arena *a, const X509_NAME *name, const char **ret_cn,
                      const char *const **ret_orgs)
{
    const char **orgs = arena_zalloc(a, (ORGS_MAX + 1) * sizeof *orgs);
    size_t n = 0;
    *ret_cn = "";
    for (int i = 0; orgs && i < X509_NAME_entry_count(name); i++) {
        const X509_NAME_ENTRY *e = X509_NAME_get_entry(name, i);
        int nid = OBJ_obj2nid(X509_NAME_ENTRY_get_object(e));
        if (nid != NID_commonName && nid != NID_organizationName) {
            continue;
        }
        const char *text = asn1_text(a, X509_NAME_ENTRY_get_data(e));
        if (!text || (nid == NID_organizationName && n == ORGS_MAX)) {
            return false;
        }
        if (nid == NID_commonName) {
            *ret_cn = text;
        } else {
            orgs[n++] = text;
        }
    }
    *ret_orgs = orgs;
    return orgs != NULL;
}

static const char *san_text(struct arena *a, const GENERAL_NAME *g)
{
    int type;
    const ASN1_STRING *v = GENERAL_NAME_get0_value(g, &type);
    char text[INET6_ADDRSTRLEN];
    if (type == GEN_DNS) {
        return asn1_text(a, v);
    }
    if (type == GEN_IPADD) {
        int n = ASN1_STRING_length(v);
        int family = n == 4 ? AF_INET : AF_INET6;
        return (n == 4 || n == 16) && inet_ntop(family, ASN1_STRING_get0_data(v), text, sizeof text)
                   ? arena_strdup(a, text)
                   : NULL;
    }
    return ""; /* of another kind: not shown */
}

static bool read_sans(struct arena *a, GENERAL_NAMES *names, const char *const **ret)
{
    int n = names ? sk_GENERAL_NAME_num(names) : 0;
    if (n > SANS_MAX) {
        return false;
    }
    const char **sans = arena_zalloc(a, ((size_t)n + 1) * sizeof *sans);
    size_t out = 0;
    for (int i = 0; sans && i < n; i++) {
        const char *text = san_text(a, sk_GENERAL_NAME_value(names, i));
        if (!text) {
            return false;
        }
        if (*text) {
            sans[out++] = text;
        }
    }
    *ret = sans;
    return sans != NULL;
}

static int64_t asn1_seconds(const ASN1_TIME *t)
{
    struct tm tm;
    return t && ASN1_TIME_to_tm(t, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void serial_text(X509 *cert, char out[48])
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    int n = serial ? ASN1_STRING_length(serial) : 0;
    out[0] = '\0';
    if (n > 0 && n <= 20) { /* RFC 5280 section 4.1.2.2 */
        hex_encode(ASN1_STRING_get0_data(serial), (size_t)n, out);
    }
}

static void cert_sha256(X509 *cert, char out[65])
{
    uint8_t hash[32];
    unsigned n = 0;
    out[0] = '\0';
    if (X509_digest(cert, EVP_sha256(), hash, &n) == 1) {
        hex_encode(hash, n, out);
    }
}

static struct parsed *parsed_new(void)
{
    struct parsed *p = mem_zalloc(sizeof *p);
    if (p) {
        arena_init(&p->arena, (size_t)1 << 20);
    }
    return p;
}

void x509_info_free(struct x509_info *i)
{
    if (i) {
        struct parsed *p = CONTAINER_OF(i, struct parsed, info);
        arena_fini(&p->arena);
        mem_free(p);
    }
}

static bool key_strong(EVP_PKEY *key)
{
    char group[32] = "";
    size_t n;
    if (EVP_PKEY_is_a(key, "RSA")) {
        return EVP_PKEY_get_bits(key) >= 2048 && EVP_PKEY_get_bits(key) <= 8192;
    }
    return EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_group_name(key, group, sizeof group, &n) == 1 &&
           (strcmp(group, "prime256v1") == 0 || strcmp(group, "secp384r1") == 0);
}

static int check_request(X509_REQ *req, struct err *err)
{
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    if (!key || !key_strong(key)) {
        ERR_clear_error();
        return err_set(err, -E_CERT, "the request's key must be P-256, P-384 or RSA of 2048 bits");
    }
    if (X509_REQ_verify(req, key) != 1) {
        ERR_clear_error();
        return err_set(err, -E_CERT, "the request is not signed by its own key");
    }
    return 0;
}

static int read_request(X509_REQ *req, struct parsed *p, struct err *err)
{
    STACK_OF(X509_EXTENSION) *exts = X509_REQ_get_extensions(req);
    GENERAL_NAMES *names = X509V3_get_d2i(exts, NID_subject_alt_name, NULL, NULL);
    unsigned char *der = NULL;
    int n = i2d_X509_PUBKEY(X509_REQ_get_X509_PUBKEY(req), &der);
    uint8_t hash[32];
    bool ok = n > 0 &&
              read_name(&p->arena, X509_REQ_get_subject_name(req), &p->info.cn, &p->info.orgs) &&
              read_sans(&p->arena, names, &p->info.sans);
    if (ok) {
        (void)SHA256(der, (size_t)n, hash); /* cannot fail on memory */
        hex_encode(hash, sizeof hash, p->info.key_sha256);
    }
    OPENSSL_free(der);
    GENERAL_NAMES_free(names);
    sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
    return ok ? 0 : err_set(err, -E_CERT, "the request's names are not acceptable");
}

int x509_csr_parse(struct str pem, struct x509_info **ret, struct err *err)
{
    BIO *b = open_pem(pem, OUTSIDE_MAX, err);
    X509_REQ *req = b ? PEM_read_bio_X509_REQ(b, NULL, no_password, NULL) : NULL;
    struct parsed *p = req ? parsed_new() : NULL;
    int rc = p ? check_request(req, err) : -E_CERT;
    if (b && !req) {
        (void)x509_fail(err, -E_CERT, "read the certificate request");
    } else if (req && !p) {
        rc = err_set(err, -ENOMEM, "no memory to read a certificate request");
    }
    rc = rc == 0 ? read_request(req, p, err) : rc;
    BIO_free(b);
    X509_REQ_free(req);
    ERR_clear_error();
    if (rc < 0) {
        x509_info_free(p ? &p->info : NULL);
        return rc;
    }
    *ret = &p->info;
    return 0;
}

static bool read_cert_names(X509 *cert, struct parsed *p)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    bool ok = read_name(&p->arena, X509_get_subject_name(cert), &p->info.cn, &p->info.orgs) &&
              read_sans(&p->arena, names, &p->info.sans);
    GENERAL_NAMES_free(names);
    return ok;
}

int x509_cert_parse(struct str pem, struct x509_info **ret, struct err *err)
{
    uint8_t hash[32];
    if (pem.n > OUTSIDE_MAX) {
        return err_set(err, -E_CERT, "the PEM text is too large");
    }
    X509 *cert = x509_read_cert(pem, err);
    if (!cert) {
        return -E_CERT;
    }
    struct parsed *p = parsed_new();
    int rc = p ? 0 : err_set(err, -ENOMEM, "no memory to read a certificate");
    if (rc == 0 && (!read_cert_names(cert, p) || x509_key_sha256(cert, hash) < 0)) {
        rc = err_set(err, -E_CERT, "the certificate's names are not acceptable");
    }
    if (rc == 0) {
        uint32_t use = X509_get_extended_key_usage(cert);
        p->info.is_ca = X509_check_ca(cert) > 0;
        p->info.use = use == UINT32_MAX ? 0
                                        : (use & XKU_SSL_SERVER ? X509_USE_SERVER : 0) |
                                              (use & XKU_SSL_CLIENT ? X509_USE_CLIENT : 0);
        p->info.not_before = asn1_seconds(X509_get0_notBefore(cert));
        p->info.not_after = asn1_seconds(X509_get0_notAfter(cert));
        serial_text(cert, p->info.serial);
        cert_sha256(cert, p->info.sha256);
        hex_encode(hash, sizeof hash, p->info.key_sha256);
        *ret = &p->info;
    } else {
        x509_info_free(p ? &p->info : NULL);
    }
    X509_free(cert);
    ERR_clear_error();
    return rc;
}

static int check_issuer(X509 *cert, const char *ca_pem, struct err *err)
{
    X509 *ca = x509_read_cert(str_of(ca_pem), err);
    if (!ca) {
        return -E_CERT;
    }
    bool ok =
        X509_check_issued(ca, cert) == X509_V_OK && X509_verify(cert, X509_get0_pubkey(ca)) == 1;
    X509_free(ca);
    ERR_clear_error();
    return ok ? 0 : err_set(err, -E_CERT, "the certificate was not issued by this CA");
}

int x509_check(struct str cert_pem, const char *ca_pem, const char *key_pem, struct err *err)
{
    X509 *cert = x509_read_cert(cert_pem, err);
    if (!cert) {
        return -E_CERT;
    }
    int rc = ca_pem ? check_issuer(cert, ca_pem, err) : 0;
    if (rc == 0 && X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0) {
        rc = err_set(err, -E_CERT, "the certificate is not valid yet");
    }
    if (rc == 0 && X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0) {
        rc = err_set(err, -E_CERT, "the certificate has expired");
    }
    EVP_PKEY *key = rc == 0 && key_pem ? x509_read_key(str_of(key_pem), err) : NULL;
    if (rc == 0 && key_pem && (!key || X509_check_private_key(cert, key) != 1)) {
        rc = key ? err_set(err, -E_CERT, "the certificate belongs to another key") : -E_CERT;
    }
    EVP_PKEY_free(key);
    X509_free(cert);
    ERR_clear_error();
    return rc;
}

/* ---- the peer of a connection ---- */

/* Packs the parts behind the struct, so that one mem_free() is enough. */
static struct tls_peer *pack_peer(const struct tls_peer *from)
{
    size_t n_orgs = 0, text = strlen(from->cn) + 1;
    for (; from->orgs[n_orgs]; n_orgs++) {
        text += strlen(from->orgs[n_orgs]) + 1;
    }
    size_t head = sizeof *from + (n_orgs + 1) * sizeof(char *);
    struct tls_peer *p = mem_alloc(head + text + from->der.n);
    if (!p) {
        return NULL;
    }
    const char **orgs = (const char **)(p + 1);
    char *at = (char *)p + head;
    *p = *from;
    p->cn = memcpy(at, from->cn, strlen(from->cn) + 1);
    at += strlen(from->cn) + 1;
    for (size_t i = 0; i < n_orgs; i++) {
        size_t n = strlen(from->orgs[i]) + 1;
        orgs[i] = memcpy(at, from->orgs[i], n);
        at += n;
    }
    orgs[n_orgs] = NULL;
    p->orgs = orgs;
    p->der.p = memcpy(at, from->der.p, from->der.n);
    return p;
}

struct tls_peer *tls_peer_new(X509 *cert, int error)
{
    struct arena a;
    unsigned char *der = NULL;
    struct tls_peer t = {.verified = error == X509_V_OK,
                         .error = error == X509_V_OK ? "" : X509_verify_cert_error_string(error)};
    arena_init(&a, (size_t)256 << 10);
    int n = i2d_X509(cert, &der);
    if (!read_name(&a, X509_get_subject_name(cert), &t.cn, &t.orgs)) {
        static const char *const no_orgs[] = {NULL};
        t.cn = "";
        t.orgs = no_orgs;
        t.verified = false;
        t.error = "the certificate's subject is not acceptable";
    }
    t.not_before = asn1_seconds(X509_get0_notBefore(cert));
    t.not_after = asn1_seconds(X509_get0_notAfter(cert));
    /* OpenSSL checks chain and signatures first, so this error says that those are fine. */
    t.expired_only =
        error == X509_V_ERR_CERT_HAS_EXPIRED && t.cn[0] && t.not_after < (int64_t)time(NULL);
    serial_text(cert, t.serial);
    cert_sha256(cert, t.sha256);
    t.der = str_n((const char *)der, n > 0 ? (size_t)n : 0);
    struct tls_peer *p = pack_peer(&t);
    OPENSSL_free(der);
    arena_fini(&a);
    ERR_clear_error();
    return p;
}

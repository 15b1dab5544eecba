/* SPDX-License-Identifier: Apache-2.0 */
/* Making keys, requests and certificates; see x509.h. Reading them is in x509_parse.c. */
#include "x509.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/file.h"
#include "tls_private.h"

#define BACKDATE_S 300 /* certificates are valid a little earlier: clocks differ */
#define FILE_MAX ((size_t)256 << 10)

/* The text of a memory BIO as a heap string; frees the BIO. */
static int take_text(BIO *b, bool ok, char **ret, struct err *err, const char *what)
{
    char *p = NULL;
    long n = ok ? BIO_get_mem_data(b, &p) : 0;
    char *text = ok ? mem_strndup(p, (size_t)n) : NULL;
    BIO_free(b);
    if (!ok) {
        return x509_fail(err, -E_CERT, what);
    }
    if (!text) {
        return err_set(err, -ENOMEM, "%s: out of memory", what);
    }
    *ret = text;
    return 0;
}

static int print_key(EVP_PKEY *key, char **ret, struct err *err)
{
    BIO *b = BIO_new(BIO_s_mem());
    bool ok = b && PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL) == 1;
    return take_text(b, ok, ret, err, "write a private key");
}

static int print_cert(X509 *cert, char **ret, struct err *err)
{
    BIO *b = BIO_new(BIO_s_mem());
    bool ok = b && PEM_write_bio_X509(b, cert) == 1;
    return take_text(b, ok, ret, err, "write a certificate");
}

int x509_key_new(char **ret_pem, struct err *err)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key) {
        return x509_fail(err, -E_CERT, "make a P-256 key");
    }
    int rc = print_key(key, ret_pem, err);
    EVP_PKEY_free(key);
    return rc;
}

static bool add_entry(X509_NAME *name, int nid, const char *value)
{
    return X509_NAME_add_entry_by_NID(name, nid, MBSTRING_UTF8, (const unsigned char *)value, -1,
                                      -1, 0) == 1;
}

static bool fill_name(X509_NAME *name, const struct x509_subject *s)
{
    bool ok = true;
    for (const char *const *o = s->orgs; o && *o; o++) {
        ok = ok && add_entry(name, NID_organizationName, *o);
    }
    return ok && add_entry(name, NID_commonName, s->cn);
}

static bool add_ext(STACK_OF(X509_EXTENSION) * *list, int nid, int critical, const char *value,
                    X509V3_CTX *ctx)
{
    X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, ctx, nid, value);
    bool ok = e && (!critical || X509_EXTENSION_set_critical(e, 1) == 1) &&
              X509v3_add_ext(list, e, -1) != NULL;
    X509_EXTENSION_free(e);
    return ok;
}

static GENERAL_NAME *general_name(const char *san)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(san);
    GENERAL_NAME *g = GENERAL_NAME_new();
    if (g && ip) {
        GENERAL_NAME_set0_value(g, GEN_IPADD, ip);
        return g;
    }
    ERR_clear_error(); /* of the try as an address */
    ASN1_IA5STRING *dns = ASN1_IA5STRING_new();
    if (g && dns && ASN1_STRING_set(dns, san, -1) == 1) {
        GENERAL_NAME_set0_value(g, GEN_DNS, dns);
        return g;
    }
    ASN1_OCTET_STRING_free(ip);
    ASN1_IA5STRING_free(dns);
    GENERAL_NAME_free(g);
    return NULL;
}

static bool add_sans(STACK_OF(X509_EXTENSION) * *list, const char *const *sans)
{
    if (!sans || !*sans) {
        return true;
    }
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    bool ok = names != NULL;
    for (; ok && *sans; sans++) {
        GENERAL_NAME *g = general_name(*sans);
        ok = g && sk_GENERAL_NAME_push(names, g) > 0;
        if (g && !ok) {
            GENERAL_NAME_free(g);
        }
    }
    ok = ok && X509V3_add1_i2d(list, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    GENERAL_NAMES_free(names);
    return ok;
}

static bool set_serial(X509 *cert)
{
    uint8_t serial[16];
    random_bytes(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x3f) | 0x40); /* positive, full length (RFC 5280 4.1.2.2) */
    BIGNUM *n = BN_bin2bn(serial, sizeof serial, NULL);
    bool ok = n && BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
    BN_free(n);
    return ok;
}

static bool set_times(X509 *cert, int64_t seconds)
{
    int64_t from = seconds < 0 ? seconds - BACKDATE_S : -BACKDATE_S;
    return X509_gmtime_adj(X509_getm_notBefore(cert), (long)from) &&
           X509_gmtime_adj(X509_getm_notAfter(cert), (long)seconds);
}

static bool add_all(X509 *cert, const STACK_OF(X509_EXTENSION) * list)
{
    bool ok = true;
    for (int i = 0; i < sk_X509_EXTENSION_num(list); i++) {
        ok = ok && X509_add_ext(cert, sk_X509_EXTENSION_value(list, i), -1) == 1;
    }
    return ok;
}

static bool ca_extensions(X509 *cert, X509V3_CTX *ctx)
{
    STACK_OF(X509_EXTENSION) *list = NULL;
    bool ok = add_ext(&list, NID_basic_constraints, 1, "CA:TRUE,pathlen:1", ctx) &&
              add_ext(&list, NID_key_usage, 1, "keyCertSign,cRLSign,digitalSignature", ctx) &&
              add_ext(&list, NID_subject_key_identifier, 0, "hash", ctx) && add_all(cert, list);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return ok;
}

int x509_ca_new(const char *cn, int64_t seconds, char **ret_cert_pem, char **ret_key_pem,
                struct err *err)
{
    struct x509_subject subject = {.cn = cn};
    CLEANUP(mem_freep) char *key_pem = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = X509_new();
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
    int rc = 0;
    if (!key || !cert || X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
        !set_times(cert, seconds) || !fill_name(X509_get_subject_name(cert), &subject) ||
        X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1 ||
        X509_set_pubkey(cert, key) != 1 || !ca_extensions(cert, &ctx) ||
        X509_sign(cert, key, EVP_sha256()) <= 0) {
        rc = x509_fail(err, -E_CERT, "make a CA certificate");
    }
    rc = rc == 0 ? print_key(key, &key_pem, err) : rc;
    rc = rc == 0 ? print_cert(cert, ret_cert_pem, err) : rc;
    if (rc == 0) {
        *ret_key_pem = TAKE_PTR(key_pem);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}

static bool leaf_extensions(X509 *cert, X509V3_CTX *ctx, const struct x509_profile *p)
{
    static const char *const uses[] = {NULL, "serverAuth", "clientAuth", "serverAuth,clientAuth"};
    const char *use = uses[p->use & (X509_USE_SERVER | X509_USE_CLIENT)];
    STACK_OF(X509_EXTENSION) *list = NULL;
    bool ok = add_ext(&list, NID_basic_constraints, 1, "CA:FALSE", ctx) &&
              add_ext(&list, NID_key_usage, 1, "digitalSignature", ctx) &&
              (!use || add_ext(&list, NID_ext_key_usage, 0, use, ctx)) &&
              add_ext(&list, NID_subject_key_identifier, 0, "hash", ctx) &&
              add_ext(&list, NID_authority_key_identifier, 0, "keyid", ctx) &&
              add_sans(&list, p->sans) && add_all(cert, list);
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    return ok;
}

/* The public key that is to be certified; the caller frees it. */
static EVP_PKEY *subject_key(const char *key_pem, const char *csr_pem, struct err *err)
{
    if (key_pem) {
        return x509_read_key(str_of(key_pem), err);
    }
    BIO *b = BIO_new_mem_buf(csr_pem, -1);
    X509_REQ *req = b ? PEM_read_bio_X509_REQ(b, NULL, NULL, NULL) : NULL;
    EVP_PKEY *key = req ? X509_REQ_get_pubkey(req) : NULL;
    if (!key) {
        (void)x509_fail(err, -E_CERT, "read the certificate request");
    }
    X509_REQ_free(req);
    BIO_free(b);
    return key;
}

int x509_sign(const char *ca_cert_pem, const char *ca_key_pem, const char *key_pem,
              const char *csr_pem, const struct x509_profile *p, char **ret_cert_pem,
              struct err *err)
{
    X509V3_CTX ctx;
    X509 *ca = x509_read_cert(str_of(ca_cert_pem), err);
    EVP_PKEY *ca_key = ca ? x509_read_key(str_of(ca_key_pem), err) : NULL;
    EVP_PKEY *key = ca_key ? subject_key(key_pem, csr_pem, err) : NULL;
    X509 *cert = key ? X509_new() : NULL;
    int rc = key ? 0 : -E_CERT;
    X509V3_set_ctx(&ctx, ca, cert, NULL, NULL, 0);
    if (rc == 0 &&
        (!cert || X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
         !set_times(cert, p->seconds) || !fill_name(X509_get_subject_name(cert), &p->subject) ||
         X509_set_issuer_name(cert, X509_get_subject_name(ca)) != 1 ||
         X509_set_pubkey(cert, key) != 1 || !leaf_extensions(cert, &ctx, p) ||
         X509_sign(cert, ca_key, EVP_sha256()) <= 0)) {
        rc = x509_fail(err, -E_CERT, "sign a certificate");
    }
    rc = rc == 0 ? print_cert(cert, ret_cert_pem, err) : rc;
    X509_free(cert);
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    X509_free(ca);
    return rc;
}

int x509_csr_new(const char *key_pem, const struct x509_subject *subject, const char *const *sans,
                 char **ret_pem, struct err *err)
{
    EVP_PKEY *key = x509_read_key(str_of(key_pem), err);
    if (!key) {
        return -E_CERT;
    }
    X509_REQ *req = X509_REQ_new();
    STACK_OF(X509_EXTENSION) *list = NULL;
    bool ok = req && X509_REQ_set_version(req, X509_REQ_VERSION_1) == 1 &&
              fill_name(X509_REQ_get_subject_name(req), subject) &&
              X509_REQ_set_pubkey(req, key) == 1 && add_sans(&list, sans) &&
              (!list || X509_REQ_add_extensions(req, list) == 1) &&
              X509_REQ_sign(req, key, EVP_sha256()) > 0;
    BIO *b = ok ? BIO_new(BIO_s_mem()) : NULL;
    ok = b && PEM_write_bio_X509_REQ(b, req) == 1;
    int rc = take_text(b, ok, ret_pem, err, "make a certificate request");
    sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return rc;
}

int x509_save_key(const char *path, const char *key_pem, struct err *err)
{
    return file_write_atomic(path, key_pem, strlen(key_pem), 0600, err);
}

int x509_save_cert(const char *path, const char *cert_pem, struct err *err)
{
    return file_write_atomic(path, cert_pem, strlen(cert_pem), 0644, err);
}

int x509_load(const char *path, char **ret_pem, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    size_t n;
    int rc = file_read(path, FILE_MAX, &text, &n, err);
    if (rc < 0) {
        return rc;
    }
    if (strlen(text) != n || !strstr(text, "-----BEGIN ")) {
        return err_set(err, -E_CERT, "'%s' is not a PEM file", path);
    }
    *ret_pem = TAKE_PTR(text);
    return 0;
}

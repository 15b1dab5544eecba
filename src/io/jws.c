/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures of tokens over OpenSSL; see jws.h. */
#include "jws.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "base/encode.h"
#include "base/mem.h"
#include "tls_private.h"

#define COORDINATE 32 /* bytes of a P-256 number */
#define RSA_LEAST_BITS 2048

struct jws_key {
    EVP_PKEY *key;
    bool ec, signs;
    char id[64];
};

/* There is no terminal to ask for a password: an encrypted key is an error. */
static int no_password(char *buf, int size, int writing, void *arg)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static EVP_PKEY *read_pem(struct str pem, bool *ret_private)
{
    BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
    EVP_PKEY *key = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
    *ret_private = key != NULL;
    if (b && !key) {
        ERR_clear_error(); /* of the try as a private key */
        (void)BIO_reset(b);
        key = PEM_read_bio_PUBKEY(b, NULL, no_password, NULL);
    }
    BIO_free(b);
    return key;
}

static bool fits(EVP_PKEY *key, bool *ret_ec)
{
    char group[64] = "";
    *ret_ec = EVP_PKEY_is_a(key, "EC") == 1;
    if (*ret_ec) {
        return EVP_PKEY_get_group_name(key, group, sizeof(group), NULL) == 1 &&
               str_is(str_of(group), "prime256v1");
    }
    return EVP_PKEY_is_a(key, "RSA") == 1 && EVP_PKEY_get_bits(key) >= RSA_LEAST_BITS;
}

static int make_id(struct jws_key *k)
{
    unsigned char *der = NULL, hash[32];
    int n = i2d_PUBKEY(k->key, &der);
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    bool ok = n > 0 && EVP_Digest(der, (size_t)n, hash, NULL, EVP_sha256(), NULL) == 1 &&
              base64url_encode(&text, hash, sizeof(hash)) == 0 && buf_putc(&text, '\0') == 0;
    OPENSSL_free(der);
    return ok && cstr_copy(k->id, sizeof(k->id), buf_data(&text)) ? 0 : -E_CERT;
}

int jws_key_load(struct str pem, struct jws_key **ret, struct err *err)
{
    struct jws_key *k = mem_zalloc(sizeof(*k));
    if (!k) {
        return err_sys(err, -ENOMEM, "read a signing key");
    }
    k->key = pem.n <= INT32_MAX ? read_pem(pem, &k->signs) : NULL;
    if (!k->key || !fits(k->key, &k->ec) || make_id(k) < 0) {
        bool read = k->key != NULL;
        jws_key_free(k);
        return read ? err_set(err, -E_CERT, "a signing key must be P-256 or RSA of %d bits or more",
                              RSA_LEAST_BITS)
                    : x509_fail(err, -E_CERT, "read a signing key");
    }
    *ret = k;
    return 0;
}

void jws_key_free(struct jws_key *k)
{
    if (k) {
        EVP_PKEY_free(k->key);
        mem_free(k);
    }
}

const char *jws_key_id(const struct jws_key *k)
{
    return k->id;
}

const char *jws_key_alg(const struct jws_key *k)
{
    return k->ec ? "ES256" : "RS256";
}

bool jws_key_signs(const struct jws_key *k)
{
    return k->signs;
}

/* ---- signatures: OpenSSL's are DER for ECDSA, those of tokens are two numbers ---- */

static int put_numbers(struct buf *out, const unsigned char *der, size_t n)
{
    unsigned char raw[2 * COORDINATE];
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)n);
    bool ok = sig && BN_bn2binpad(ECDSA_SIG_get0_r(sig), raw, COORDINATE) == COORDINATE &&
              BN_bn2binpad(ECDSA_SIG_get0_s(sig), raw + COORDINATE, COORDINATE) == COORDINATE;
    ECDSA_SIG_free(sig);
    return ok ? buf_append(out, raw, sizeof(raw)) : -E_CERT;
}

int jws_sign(const struct jws_key *k, struct str data, struct buf *out)
{
    unsigned char sig[1024]; /* RSA of up to 8192 bits */
    size_t n = sizeof(sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && k->signs && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
              EVP_DigestSign(ctx, sig, &n, (const unsigned char *)data.p, data.n) == 1;
    EVP_MD_CTX_free(ctx);
    if (!ok) {
        ERR_clear_error();
        return -E_CERT;
    }
    return k->ec ? put_numbers(out, sig, n) : buf_append(out, sig, n);
}

/* Two numbers as DER; the length, or 0. */
static size_t der_of(struct str raw, unsigned char **ret_der)
{
    if (raw.n != (size_t)2 * COORDINATE) {
        return 0;
    }
    const unsigned char *p = (const unsigned char *)raw.p;
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(p, COORDINATE, NULL), *s = BN_bin2bn(p + COORDINATE, COORDINATE, NULL);
    if (!sig || !r || !s || ECDSA_SIG_set0(sig, r, s) != 1) {
        BN_free(r);
        BN_free(s);
        ECDSA_SIG_free(sig);
        return 0;
    }
    int n = i2d_ECDSA_SIG(sig, ret_der);
    ECDSA_SIG_free(sig);
    return n > 0 ? (size_t)n : 0;
}

bool jws_verify(const struct jws_key *k, struct str data, struct str signature)
{
    unsigned char *der = NULL;
    size_t n = k->ec ? der_of(signature, &der) : signature.n;
    const unsigned char *sig = k->ec ? der : (const unsigned char *)signature.p;
    EVP_MD_CTX *ctx = n ? EVP_MD_CTX_new() : NULL;
    bool ok = ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, k->key) == 1 &&
              EVP_DigestVerify(ctx, sig, n, (const unsigned char *)data.p, data.n) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ERR_clear_error(); /* what a bad signature leaves behind */
    return ok;
}

/* ---- the public half ---- */

static int put_number(const struct jws_key *k, const char *name, size_t width, struct buf *out)
{
    BIGNUM *n = NULL;
    if (EVP_PKEY_get_bn_param(k->key, name, &n) != 1) {
        return -E_CERT;
    }
    size_t size = MAX_OF(width, (size_t)BN_num_bytes(n));
    char *at = buf_reserve(out, size);
    bool ok = at && BN_bn2binpad(n, (unsigned char *)at, (int)size) == (int)size;
    BN_free(n);
    if (ok) {
        buf_commit(out, size);
    }
    return ok ? 0 : -ENOMEM;
}

int jws_key_public(const struct jws_key *k, struct buf *ret_x_or_n, struct buf *ret_y_or_e)
{
    size_t width = k->ec ? COORDINATE : 1;
    int rc =
        put_number(k, k->ec ? OSSL_PKEY_PARAM_EC_PUB_X : OSSL_PKEY_PARAM_RSA_N, width, ret_x_or_n);
    return rc < 0 ? rc
                  : put_number(k, k->ec ? OSSL_PKEY_PARAM_EC_PUB_Y : OSSL_PKEY_PARAM_RSA_E, width,
                               ret_y_or_e);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts: own certificate, trust, ALPN, the checks of the peer; see tls.h. */
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/encode.h"
#include "base/mem.h"
#include "tls_private.h"

static int set_certificate(SSL_CTX *ssl, struct str cert_pem, struct str key_pem, struct err *err)
{
    X509 *cert = NULL;
    STACK_OF(X509) *chain = NULL;
    int rc = x509_read_chain(cert_pem, &cert, &chain, err);
    if (rc < 0) {
        return rc;
    }
    EVP_PKEY *key = x509_read_key(key_pem, err);
    rc = key ? 0 : -E_CERT;
    if (rc == 0 && SSL_CTX_use_cert_and_key(ssl, cert, key, chain, /* override= */ 1) != 1) {
        rc = x509_fail(err, -E_CERT, "use the certificate with its key");
    }
    EVP_PKEY_free(key);
    X509_free(cert);
    sk_X509_pop_free(chain, X509_free);
    return rc;
}

static int trust(SSL_CTX *ssl, struct str ca_pem, struct err *err)
{
    X509 *ca = NULL;
    STACK_OF(X509) *more = NULL;
    int rc = x509_read_chain(ca_pem, &ca, &more, err);
    if (rc < 0) {
        return err_wrap(err, rc, "CA certificates");
    }
    X509_STORE *store = SSL_CTX_get_cert_store(ssl);
    bool ok = X509_STORE_add_cert(store, ca) == 1;
    for (int i = 0; i < sk_X509_num(more); i++) {
        ok = X509_STORE_add_cert(store, sk_X509_value(more, i)) == 1 && ok;
    }
    X509_free(ca);
    sk_X509_pop_free(more, X509_free);
    return ok ? 0 : x509_fail(err, -E_CERT, "trust the CA certificates");
}

/* A bad client certificate is recorded, not refused: the server answers 401 with the reason. */
static int verify_client(X509_STORE_CTX *store, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls_verdict *v = SSL_get_app_data(ssl);
    (void)arg;
    if (X509_verify_cert(store) != 1) {
        v->error = X509_STORE_CTX_get_error(store);
        v->error = v->error == X509_V_OK ? X509_V_ERR_UNSPECIFIED : v->error;
    }
    ERR_clear_error();
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

/* Trusts the certificate of the presented chain that has the pinned key, and nothing else. */
static int verify_pinned(X509_STORE_CTX *store, void *arg)
{
    const struct tls_ctx *c = arg;
    STACK_OF(X509) *presented = X509_STORE_CTX_get0_untrusted(store);
    STACK_OF(X509) *trusted = sk_X509_new_null();
    uint8_t hash[32];
    for (int i = 0; trusted && i < sk_X509_num(presented); i++) {
        X509 *cert = sk_X509_value(presented, i);
        if (x509_key_sha256(cert, hash) == 0 && CRYPTO_memcmp(hash, c->pin, sizeof hash) == 0) {
            (void)sk_X509_push(trusted, cert); /* short of memory, the check fails below */
        }
    }
    X509_STORE_CTX_set0_trusted_stack(store, trusted);
    int ok = X509_verify_cert(store);
    X509_STORE_CTX_set0_trusted_stack(store, NULL);
    sk_X509_free(trusted);
    return ok == 1;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n,
                       const unsigned char *in, unsigned in_n, void *arg)
{
    static const unsigned char ours[] = "\x02h2\x08http/1.1";
    const struct tls_ctx *c = arg;
    const unsigned char *list = c->h2 ? ours : ours + 3;
    unsigned n = (unsigned)(sizeof ours - 1) - (c->h2 ? 0 : 3);
    unsigned char *chosen;
    (void)ssl;
    int rc = SSL_select_next_proto(&chosen, out_n, list, n, in, in_n);
    *out = chosen;
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void set_common(SSL_CTX *ssl)
{
    (void)SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION); /* known to OpenSSL 3 */
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    (void)SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET);
    (void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_num_tickets(ssl, 0);
}

static int setup_server(struct tls_ctx *c, const struct tls_config *cfg, struct err *err)
{
    int rc = set_certificate(c->ssl, cfg->cert_pem, cfg->key_pem, err);
    SSL_CTX_set_alpn_select_cb(c->ssl, select_alpn, c);
    if (rc == 0 && cfg->ca_pem.n) {
        /* The names of the CAs are not sent: a client would hold back a foreign certificate, and
         * the user would not learn that it is the wrong one. */
        rc = trust(c->ssl, cfg->ca_pem, err);
        SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
        SSL_CTX_set_cert_verify_callback(c->ssl, verify_client, NULL);
    }
    return rc;
}

static int setup_trust(struct tls_ctx *c, const struct tls_config *cfg, struct err *err)
{
    if (cfg->insecure) {
        return 0;
    }
    SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
    if (cfg->pinned_sha256) {
        c->pinned = hex_decode(str_of(cfg->pinned_sha256), c->pin, sizeof c->pin) == sizeof c->pin;
        SSL_CTX_set_cert_verify_callback(c->ssl, verify_pinned, c);
        return c->pinned ? 0 : err_set(err, -EINVAL, "the CA hash is not 64 hexadecimal digits");
    }
    if (cfg->ca_pem.n) {
        return trust(c->ssl, cfg->ca_pem, err);
    }
    return SSL_CTX_set_default_verify_paths(c->ssl) == 1
               ? 0
               : x509_fail(err, -E_CERT, "load the system's CA certificates");
}

static int setup_client(struct tls_ctx *c, const struct tls_config *cfg, struct err *err)
{
    static const unsigned char alpn[] = "\x02h2\x08http/1.1";
    size_t skip = cfg->h2 ? 0 : 3;
    if (SSL_CTX_set_alpn_protos(c->ssl, alpn + skip, (unsigned)(sizeof alpn - 1 - skip)) != 0) {
        return err_set(err, -ENOMEM, "no memory for a TLS context");
    }
    int rc = setup_trust(c, cfg, err);
    if (rc == 0 && cfg->cert_pem.n) {
        rc = set_certificate(c->ssl, cfg->cert_pem, cfg->key_pem, err);
    }
    return rc;
}

static int ctx_new(bool server, const struct tls_config *cfg, struct tls_ctx **ret, struct err *err)
{
    struct tls_ctx *c = mem_zalloc(sizeof *c);
    if (!c) {
        return err_set(err, -ENOMEM, "no memory for a TLS context");
    }
    c->refs = 1;
    c->server = server;
    c->h2 = cfg->h2;
    c->insecure = cfg->insecure;
    c->server_name = mem_strdup(cfg->server_name);
    c->ssl = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    int rc = 0;
    if (!c->ssl || (cfg->server_name && !c->server_name)) {
        rc = err_set(err, -ENOMEM, "no memory for a TLS context");
    } else {
        set_common(c->ssl);
        rc = server ? setup_server(c, cfg, err) : setup_client(c, cfg, err);
    }
    if (rc < 0) {
        tls_ctx_unref(c);
        return rc;
    }
    *ret = c;
    return 0;
}

int tls_server_new(const struct tls_config *cfg, struct tls_ctx **ret, struct err *err)
{
    return ctx_new(true, cfg, ret, err);
}

int tls_client_new(const struct tls_config *cfg, struct tls_ctx **ret, struct err *err)
{
    return ctx_new(false, cfg, ret, err);
}

struct tls_ctx *tls_ctx_ref(struct tls_ctx *c)
{
    c->refs++;
    return c;
}

void tls_ctx_unref(struct tls_ctx *c)
{
    if (c && --c->refs == 0) {
        SSL_CTX_free(c->ssl);
        mem_free(c->server_name);
        mem_free(c);
    }
}

int tls_ctx_reload(struct tls_ctx *c, struct str cert_pem, struct str key_pem, struct err *err)
{
    return set_certificate(c->ssl, cert_pem, key_pem, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates for nodes: the first one for a bootstrap token, later ones for the old certificate.
 *
 * The CSR proves that the node holds its key; what the certificate says is ours alone: CN
 * "system:node:NAME", O "system:nodes", for clients, a year. A renewal keeps the name. An expired
 * certificate is good for nothing but its renewal: the TLS handshake proved the old key.
 */
#include <stdio.h>
#include <time.h>

#include "api/name.h"
#include "base/limits.h"
#include "base/log.h"
#include "io/tls.h"
#include "io/x509.h"
#include "parent_private.h"

#define CERT_SECONDS ((int64_t)365 * 86400)
#define BODY_LIMIT ((size_t)128 << 10)

struct join {
    struct sync_parent *parent;
    bool renew;
    char name[254]; /* of the node; a renewal knows it from the certificate */
};

static void reply_certificate(struct sync_parent *p, struct http_exchange *x, const char *name,
                              const char *csr)
{
    static const char *const orgs[] = {"system:nodes", NULL};
    CLEANUP(mem_freep) char *cert = NULL;
    struct arena *a = http_exchange_arena(x);
    struct err err;
    struct x509_profile profile = {
        .subject = {.cn = arena_printf(a, "system:node:%s", name), .orgs = orgs},
        .use = X509_USE_CLIENT,
        .seconds = CERT_SECONDS,
    };
    int rc = x509_sign(p->ca_cert, p->ca_key, NULL, csr, &profile, &cert, &err);
    if (rc < 0) {
        api_reply_error(x, rc, err.text);
        return;
    }
    struct json *o = json_object(a);
    json_set_str(o, "certificate", cert);
    json_set_str(o, "ca", p->ca_cert);
    log_info("node %s got a certificate", name);
    api_reply_json(x, 200, o);
}

/* The CSR's text once it is known to be one; NULL and a reply otherwise. */
static const char *checked_csr(struct http_exchange *x, const struct json *body)
{
    struct x509_info *info = NULL;
    struct err err;
    struct str csr = json_text(json_get(body, "csr"));
    int rc = csr.n ? x509_csr_parse(csr, &info, &err)
                   : err_set(&err, -E_INVAL, "the body has no text 'csr'");
    x509_info_free(info);
    if (rc < 0) {
        api_reply_error(x, -E_INVAL, err.text);
        return NULL;
    }
    return csr.p;
}

static void on_body(struct http_exchange *x, struct str text, void *arg)
{
    struct join *j = arg;
    struct json *body = NULL;
    struct err err;
    int rc = json_parse(http_exchange_arena(x), text, NULL, &body, &err);
    if (rc < 0) {
        api_reply_error(x, -E_INVAL, err.text);
        return;
    }
    if (!j->renew) {
        struct str name = json_text(json_get(body, "node"));
        const char *wrong = name_check_dns_subdomain(name);
        if (wrong || name.n >= sizeof(j->name)) {
            api_reply_error(x, -E_INVAL, wrong ? wrong : "the node's name is too long");
            return;
        }
        (void)cstr_copy(j->name, sizeof(j->name), name.p); /* fits, as checked */
    }
    /* A token must not be enough to take over a node that is there and well. */
    struct sync_node *n = map_get(&j->parent->nodes, str_of(j->name));
    if (!j->renew && n && n->conn) {
        api_reply_error(x, -E_CONFLICT, "a node of that name is connected");
        return;
    }
    const char *csr = checked_csr(x, body);
    if (csr) {
        reply_certificate(j->parent, x, j->name, csr);
    }
}

static void collect(struct sync_parent *p, struct http_exchange *x, bool renew, const char *name)
{
    struct join *j = arena_zalloc(http_exchange_arena(x), sizeof(*j));
    if (!j || !str_is(http_exchange_request(x)->method, "POST")) {
        api_reply_error(x, j ? -E_METHOD : -E_NOMEM, j ? "POST it" : "out of memory");
        return;
    }
    j->parent = p;
    j->renew = renew;
    (void)cstr_copy(j->name, sizeof(j->name), name ? name : ""); /* names of nodes fit */
    http_exchange_collect_body(x, BODY_LIMIT, on_body, j);
}

void parent_join_route(void *arg, struct http_exchange *x, const struct api_user *user)
{
    if (!api_user_in(user, "system:bootstrappers") && !api_user_in(user, "system:masters")) {
        api_reply_error(x, -E_ACCESS, "joining wants a bootstrap token (selvedge token create)");
        return;
    }
    collect(arg, x, false, NULL);
}

void parent_ca_route(void *arg, struct http_exchange *x, const struct api_user *user)
{
    struct sync_parent *p = arg;
    struct json *o = json_object(http_exchange_arena(x));
    (void)user; /* a CA's certificate is no secret */
    json_set_str(o, "ca", p->ca_cert);
    api_reply_json(x, 200, o);
}

/* The node named by a certificate of our CA that is fine but for its end; NULL otherwise. */
static const char *expired_node(struct sync_parent *p, struct arena *a, const struct tls_peer *cert)
{
    static const char prefix[] = "system:node:";
    struct str name = str_of(cert->cn);
    bool node = false;
    (void)p;
    for (size_t i = 0; cert->orgs && cert->orgs[i]; i++) {
        node |= cstr_eq(cert->orgs[i], "system:nodes");
    }
    if (!node || !str_starts(name, prefix) || !cert->expired_only) {
        return NULL;
    }
    return arena_strndup(a, name.p + sizeof(prefix) - 1, name.n - (sizeof(prefix) - 1));
}

void parent_renew_route(void *arg, struct http_exchange *x, const struct api_user *user)
{
    struct sync_parent *p = arg;
    const char *name = api_user_node(user);
    struct http_peer peer;
    http_exchange_peer(x, &peer);
    if (!name && peer.stream.cert) {
        name = expired_node(p, http_exchange_arena(x), peer.stream.cert);
    }
    if (!name) {
        api_reply_error(x, -E_UNAUTHORIZED, "renewing wants the node's certificate");
        return;
    }
    collect(p, x, true, name);
}

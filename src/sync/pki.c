/* SPDX-License-Identifier: Apache-2.0 */
/* A node's key and certificates in files; see pki.h. */
#include "pki.h"

#include "base/encode.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/file.h"
#include "io/x509.h"

static char *path_of(const struct pki *p, const char *name)
{
    return mem_printf("%s/%s", p->dir, name);
}

static int load_key(struct pki *p, struct err *err)
{
    CLEANUP(mem_freep) char *path = path_of(p, "node.key");
    if (!path) {
        return err_sys(err, -ENOMEM, "load the node's key");
    }
    if (file_exists(path)) {
        return x509_load(path, &p->key, err);
    }
    int rc = x509_key_new(&p->key, err);
    return rc < 0 ? rc : x509_save_key(path, p->key, err);
}

static int read_dates(struct pki *p, struct err *err)
{
    struct x509_info *info = NULL;
    int rc = x509_cert_parse(str_of(p->cert), &info, err);
    if (rc == 0) {
        p->not_before = info->not_before;
        p->not_after = info->not_after;
    }
    x509_info_free(info);
    return rc;
}

static int load_certs(struct pki *p, struct err *err)
{
    CLEANUP(mem_freep) char *cert = path_of(p, "node.crt");
    CLEANUP(mem_freep) char *ca = path_of(p, "ca.crt");
    if (!cert || !ca) {
        return err_sys(err, -ENOMEM, "load the node's certificate");
    }
    if (!file_exists(cert) || !file_exists(ca)) {
        return 0;
    }
    int rc = x509_load(cert, &p->cert, err);
    rc = rc < 0 ? rc : x509_load(ca, &p->ca, err);
    return rc < 0 ? rc : read_dates(p, err);
}

int pki_open(const char *dir, struct pki *ret, struct err *err)
{
    struct pki p = {.dir = mem_strdup(dir)};
    int rc = p.dir ? dir_make(dir, 0700, err) : err_sys(err, -ENOMEM, "open '%s'", dir);
    rc = rc < 0 ? rc : load_key(&p, err);
    rc = rc < 0 ? rc : load_certs(&p, err);
    if (rc < 0) {
        pki_fini(&p);
        return rc;
    }
    *ret = p;
    return 0;
}

void pki_fini(struct pki *p)
{
    mem_free(p->key);
    mem_free(p->cert);
    mem_free(p->ca);
    mem_free(p->dir);
    *p = (struct pki){0};
}

int pki_csr(const struct pki *p, const char *node, char **ret, struct err *err)
{
    static const char *const orgs[] = {"system:nodes", NULL};
    CLEANUP(mem_freep) char *cn = mem_printf("system:node:%s", node);
    struct x509_subject subject = {.cn = cn, .orgs = orgs};
    return cn ? x509_csr_new(p->key, &subject, /* sans= */ NULL, ret, err)
              : err_sys(err, -ENOMEM, "make a certificate request");
}

int pki_store(struct pki *p, const char *cert, const char *ca, struct err *err)
{
    CLEANUP(mem_freep) char *cert_path = path_of(p, "node.crt");
    CLEANUP(mem_freep) char *ca_path = path_of(p, "ca.crt");
    CLEANUP(mem_freep) char *new_cert = mem_strdup(cert);
    CLEANUP(mem_freep) char *new_ca = mem_strdup(ca);
    if (!cert_path || !ca_path || !new_cert || !new_ca) {
        return err_sys(err, -ENOMEM, "keep the certificate");
    }
    int rc = x509_check(str_of(cert), ca, p->key, err);
    rc = rc < 0 ? rc : x509_save_cert(ca_path, ca, err);
    rc = rc < 0 ? rc : x509_save_cert(cert_path, cert, err);
    if (rc < 0) {
        return err_wrap(err, rc, "keep the certificate");
    }
    mem_free(p->cert);
    mem_free(p->ca);
    p->cert = TAKE_PTR(new_cert);
    p->ca = TAKE_PTR(new_ca);
    return read_dates(p, err);
}

bool pki_expired(const struct pki *p, int64_t now_s)
{
    return p->cert && now_s >= p->not_after;
}

bool pki_due(const struct pki *p, int64_t now_s)
{
    return p->cert && now_s >= p->not_before + (p->not_after - p->not_before) / 3 * 2;
}

int pki_token_parse(const char *token, char **ret_bearer, char ret_hash[65], struct err *err)
{
    struct str text = str_trim(str_of(token)), bearer, pin, id, secret;
    unsigned char digest[32];
    while (text.n && (text.p[text.n - 1] == '\n' || text.p[text.n - 1] == '\r')) {
        text.n--;
    }
    bool pinned = str_cut(text, '@', &bearer, &pin);
    if (!str_cut(bearer, '.', &id, &secret) || id.n != 6 || secret.n != 16) {
        return err_set(err, -E_INVAL, "the token is not of the form id.secret[@sha256:hash]");
    }
    if (pinned && (!str_starts(pin, "sha256:") || pin.n != 7 + 64 ||
                   hex_decode(str_n(pin.p + 7, 64), digest, sizeof(digest)) != sizeof(digest))) {
        return err_set(err, -E_INVAL, "the token's hash is not sha256: and 64 hex digits");
    }
    ret_hash[0] = '\0';
    if (pinned) {
        hex_encode(digest, sizeof(digest), ret_hash);
    }
    *ret_bearer = mem_strndup(bearer.p, bearer.n);
    return *ret_bearer ? 0 : err_sys(err, -ENOMEM, "read the token");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The certificates of one API server; see server_pki.h. */
#include "api/server_pki.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/x509.h"

#define DAY INT64_C(86400)
#define CA_DAYS 3650
#define SERVER_DAYS 365
#define ADMIN_DAYS 365
#define SANS_MAX 64
#define DIR_MAX 1000

struct names {
    const char *v[SANS_MAX + 1]; /* NULL-terminated */
    size_t n;
    struct arena *arena;
};

static void add_name(struct names *names, const char *name)
{
    for (size_t i = 0; i < names->n; i++) {
        if (cstr_eq(names->v[i], name)) {
            return;
        }
    }
    char *copy = names->n < SANS_MAX ? arena_strdup(names->arena, name) : NULL;
    if (copy) {
        names->v[names->n++] = copy;
    }
}

/* Every address of the machine, except those that are only valid on one link. */
static void add_own_addresses(struct names *names)
{
    struct ifaddrs *list = NULL;
    if (getifaddrs(&list) < 0) {
        return; /* the given names still serve */
    }
    for (struct ifaddrs *i = list; i; i = i->ifa_next) {
        char text[INET6_ADDRSTRLEN];
        if (!i->ifa_addr || !(i->ifa_flags & IFF_UP)) {
            continue;
        }
        if (i->ifa_addr->sa_family == AF_INET) {
            const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)i->ifa_addr;
            if (inet_ntop(AF_INET, &a->sin_addr, text, sizeof(text))) {
                add_name(names, text);
            }
        } else if (i->ifa_addr->sa_family == AF_INET6) {
            const struct sockaddr_in6 *a = (const struct sockaddr_in6 *)(const void *)i->ifa_addr;
            if (!IN6_IS_ADDR_LINKLOCAL(&a->sin6_addr) &&
                inet_ntop(AF_INET6, &a->sin6_addr, text, sizeof(text))) {
                add_name(names, text);
            }
        }
    }
    freeifaddrs(list);
}

static bool is_wildcard(const char *host)
{
    return !*host || cstr_eq(host, "0.0.0.0") || cstr_eq(host, "::");
}

bool server_pki_address(const char *host, char out[SERVER_ADDRESS_SIZE])
{
    struct ifaddrs *list = NULL;
    bool found = false;
    if (!is_wildcard(host)) {
        return cstr_copy(out, SERVER_ADDRESS_SIZE, host);
    }
    if (getifaddrs(&list) < 0) {
        return false;
    }
    for (struct ifaddrs *i = list; i && !found; i = i->ifa_next) {
        if (i->ifa_addr && i->ifa_addr->sa_family == AF_INET && (i->ifa_flags & IFF_UP) &&
            !(i->ifa_flags & IFF_LOOPBACK)) {
            const struct sockaddr_in *a = (const struct sockaddr_in *)(const void *)i->ifa_addr;
            found = inet_ntop(AF_INET, &a->sin_addr, out, SERVER_ADDRESS_SIZE) != NULL;
        }
    }
    freeifaddrs(list);
    return found;
}

static void server_names(struct names *names, const char *host, const char *extra)
{
    char own[256] = "";
    add_name(names, "localhost");
    add_name(names, "127.0.0.1");
    add_name(names, "::1");
    add_name(names, "kubernetes");
    add_name(names, "kubernetes.default");
    add_name(names, "kubernetes.default.svc");
    if (gethostname(own, sizeof(own) - 1) == 0 && *own) {
        add_name(names, own);
    }
    if (is_wildcard(host)) {
        add_own_addresses(names);
    } else {
        add_name(names, host);
    }
    struct str rest = str_of(extra), one;
    while (rest.n) {
        (void)str_cut(rest, ',', &one, &rest); /* without a comma, all of it is the name */
        char *text = arena_str(names->arena, str_trim(one));
        if (text && *text) {
            add_name(names, text);
        }
    }
}

/* Loads NAME.crt and NAME.key; 0 when neither is there, 1 when both are. */
static int load_pair(struct arena *a, const char *dir, const char *name, char **cert, char **key,
                     struct err *err)
{
    char *cert_path = arena_printf(a, "%s/%s.crt", dir, name),
         *key_path = arena_printf(a, "%s/%s.key", dir, name);
    if (!cert_path || !key_path) {
        return err_sys(err, -ENOMEM, "load '%s'", name);
    }
    if (!file_exists(cert_path) || !file_exists(key_path)) {
        return 0;
    }
    int rc = x509_load(cert_path, cert, err);
    rc = rc < 0 ? rc : x509_load(key_path, key, err);
    return rc < 0 ? rc : 1;
}

/* The key first: a certificate without its key would be taken for complete. */
static int save_pair(struct arena *a, const char *dir, const char *name, const char *cert,
                     const char *key, struct err *err)
{
    char *cert_path = arena_printf(a, "%s/%s.crt", dir, name),
         *key_path = arena_printf(a, "%s/%s.key", dir, name);
    if (!cert_path || !key_path) {
        return err_sys(err, -ENOMEM, "save '%s'", name);
    }
    int rc = x509_save_key(key_path, key, err);
    return rc < 0 ? rc : x509_save_cert(cert_path, cert, err);
}

static int open_ca(struct arena *a, const struct server_pki_opts *o, struct server_pki *p,
                   struct err *err)
{
    int rc = load_pair(a, o->dir, "ca", &p->ca_cert, &p->ca_key, err);
    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    char *cn = arena_printf(a, "%s-ca", o->name);
    rc = cn ? x509_ca_new(cn, CA_DAYS * DAY, &p->ca_cert, &p->ca_key, err)
            : err_sys(err, -ENOMEM, "make a CA");
    return rc < 0 ? rc : save_pair(a, o->dir, "ca", p->ca_cert, p->ca_key, err);
}

/* Whether a certificate is ours, young enough and for all of the names. */
static bool still_good(const struct server_pki *p, const char *cert, const char *key,
                       const struct names *names)
{
    struct x509_info *info = NULL;
    if (x509_check(str_of(cert), p->ca_cert, key, NULL) < 0 ||
        x509_cert_parse(str_of(cert), &info, NULL) < 0) {
        return false;
    }
    int64_t now = wall_now().us / 1000000;
    bool good = now < info->not_before + (info->not_after - info->not_before) * 2 / 3;
    for (size_t i = 0; good && names && i < names->n; i++) {
        bool found = false;
        for (const char *const *san = info->sans; *san; san++) {
            found |= cstr_eq(*san, names->v[i]);
        }
        good = found;
    }
    x509_info_free(info);
    return good;
}

/* The pair NAME: what is on the disk when it still serves, else a new one. */
static int open_pair(struct arena *a, const char *dir, const char *name, const struct server_pki *p,
                     const struct x509_profile *profile, const struct names *names, char **cert,
                     char **key, struct err *err)
{
    int rc = load_pair(a, dir, name, cert, key, err);
    if (rc < 0 || (rc > 0 && still_good(p, *cert, *key, names))) {
        return rc < 0 ? rc : 0;
    }
    mem_free(TAKE_PTR(*cert));
    mem_free(TAKE_PTR(*key));
    rc = x509_key_new(key, err);
    rc = rc < 0 ? rc : x509_sign(p->ca_cert, p->ca_key, *key, NULL, profile, cert, err);
    return rc < 0 ? rc : save_pair(a, dir, name, *cert, *key, err);
}

static void put_base64(struct buf *out, const char *text)
{
    (void)base64_encode(out, text, strlen(text)); /* buffers remember failure */
}

static int write_kubeconfig(const struct server_pki_opts *o, const struct server_pki *p,
                            const char *cert, const char *key, struct err *err)
{
    struct buf b = BUF_INIT;
    const char *reach = is_wildcard(o->host) ? "127.0.0.1" : o->host;
    bool v6 = strchr(reach, ':') != NULL;
    (void)buf_printf(&b,
                     "apiVersion: v1\nkind: Config\ncurrent-context: %s\n"
                     "clusters:\n- name: %s\n  cluster:\n    server: https://%s%s%s:%u\n"
                     "    certificate-authority-data: ",
                     o->name, o->name, v6 ? "[" : "", reach, v6 ? "]" : "", o->port);
    put_base64(&b, p->ca_cert);
    (void)buf_printf(&b,
                     "\ncontexts:\n- name: %s\n  context:\n    cluster: %s\n    user: admin\n"
                     "users:\n- name: admin\n  user:\n    client-certificate-data: ",
                     o->name, o->name);
    put_base64(&b, cert);
    (void)buf_puts(&b, "\n    client-key-data: ");
    put_base64(&b, key);
    (void)buf_puts(&b, "\n");
    int rc = -ENOMEM;
    CLEANUP(mem_freep) char *old = NULL;
    size_t old_n;
    if (buf_failed(&b)) {
        (void)err_sys(err, rc, "write '%s'", o->kubeconfig);
    } else {
        bool same = file_read(o->kubeconfig, 1 << 20, &old, &old_n, NULL) == 0 &&
                    str_eq(buf_str(&b), str_n(old, old_n));
        rc = same ? 0 : file_write_atomic(o->kubeconfig, buf_data(&b), buf_len(&b), 0600, err);
    }
    buf_fini(&b);
    return rc;
}

/* ---- keys of tokens ---- */

static int load_key(struct arena *a, const char *dir, const char *name, struct server_pki *p,
                    struct err *err)
{
    char *path = arena_printf(a, "%s/%s", dir, name);
    size_t n = 0;
    while (p->token_keys[n]) {
        n++;
    }
    if (n == SERVER_PKI_TOKEN_KEYS) {
        return err_set(err, -E_LIMIT, "%s: there are more than %d keys of tokens", dir,
                       SERVER_PKI_TOKEN_KEYS);
    }
    return path ? x509_load(path, &p->token_keys[n], err) : err_sys(err, -ENOMEM, "load a key");
}

static int load_old_keys(struct arena *a, const char *dir, struct server_pki *p, struct err *err)
{
    CLEANUP(mem_freep) char **names = NULL;
    size_t n = 0;
    int rc = dir_list(dir, DIR_MAX, &names, &n, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (str_starts(str_of(names[i]), "sa-") && str_ends(str_of(names[i]), ".key")) {
            rc = load_key(a, dir, names[i], p, err);
        }
    }
    return rc;
}

static int open_token_keys(struct arena *a, const char *dir, struct server_pki *p, struct err *err)
{
    char *path = arena_printf(a, "%s/sa.key", dir);
    int rc = path ? 0 : err_sys(err, -ENOMEM, "open the keys of tokens");
    if (rc == 0 && !file_exists(path)) {
        CLEANUP(mem_freep) char *key = NULL;
        rc = x509_key_new(&key, err);
        rc = rc < 0 ? rc : x509_save_key(path, key, err);
    }
    rc = rc < 0 ? rc : load_key(a, dir, "sa.key", p, err);
    return rc < 0 ? rc : load_old_keys(a, dir, p, err);
}

static int open_all(struct arena *a, const struct server_pki_opts *o, struct server_pki *p,
                    struct err *err)
{
    static const char *const masters[] = {"system:masters", NULL};
    struct names names = {.arena = a};
    CLEANUP(mem_freep) char *admin_cert = NULL;
    CLEANUP(mem_freep) char *admin_key = NULL;
    server_names(&names, o->host, o->extra_sans);
    const struct x509_profile server = {.subject = {.cn = o->name},
                                        .use = X509_USE_SERVER,
                                        .sans = names.v,
                                        .seconds = SERVER_DAYS * DAY};
    const struct x509_profile admin = {.subject = {.cn = "admin", .orgs = masters},
                                       .use = X509_USE_CLIENT,
                                       .seconds = ADMIN_DAYS * DAY};
    int rc = dir_make(o->dir, 0700, err);
    rc = rc < 0 ? rc : open_ca(a, o, p, err);
    rc = rc < 0 ? rc
                : open_pair(a, o->dir, "server", p, &server, &names, &p->server_cert,
                            &p->server_key, err);
    rc = rc < 0 || !o->token_keys ? rc : open_token_keys(a, o->dir, p, err);
    rc = rc < 0 ? rc : open_pair(a, o->dir, "admin", p, &admin, NULL, &admin_cert, &admin_key, err);
    if (rc == 0) {
        p->server_chain = mem_printf("%s%s", p->server_cert, p->ca_cert);
        rc = p->server_chain ? 0 : err_sys(err, -ENOMEM, "open the certificates");
    }
    return rc < 0 ? rc : write_kubeconfig(o, p, admin_cert, admin_key, err);
}

int server_pki_open(const struct server_pki_opts *opts, struct server_pki *ret, struct err *err)
{
    struct arena a;
    struct server_pki p = {0};
    arena_init(&a, 0);
    int rc = open_all(&a, opts, &p, err);
    arena_fini(&a);
    if (rc < 0) {
        server_pki_fini(&p);
        return rc;
    }
    *ret = p;
    return 0;
}

void server_pki_fini(struct server_pki *p)
{
    mem_free(p->ca_cert);
    mem_free(p->ca_key);
    mem_free(p->server_cert);
    mem_free(p->server_key);
    mem_free(p->server_chain);
    for (size_t i = 0; i < ARRAY_SIZE(p->token_keys); i++) {
        mem_free(p->token_keys[i]);
    }
    *p = (struct server_pki){0};
}

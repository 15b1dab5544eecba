/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, certificates and headers of HTTP peers; see endpoint.h. */
#include "endpoint.h"

#include "base/mem.h"
#include "codec/http_head.h"
#include "data_private.h"
#include "io/file.h"
#include "io/tls.h"

#define PEM_MAX ((size_t)1 << 20)
#define TIME_MAX_US (INT64_C(10) * 86400 * 1000 * 1000)

static uint16_t default_port(struct str scheme)
{
    return str_is(scheme, "https")                            ? 443
           : str_is(scheme, "ssl") || str_is(scheme, "mqtts") ? 8883
           : str_is(scheme, "tcp") || str_is(scheme, "mqtt")  ? 1883
                                                              : 80;
}

int endpoint_split(struct str url, struct str *ret_scheme, char **ret_host, uint16_t *ret_port,
                   struct str *ret_path, struct err *err)
{
    url = url.p ? url : STR_LIT(""); /* none was given */
    const char *mark = memmem(url.p, url.n, "://", 3);
    struct str rest = url, scheme = STR_LIT(""), authority, host, port;
    uint64_t number;
    if (mark) {
        scheme = str_n(url.p, (size_t)(mark - url.p));
        rest = str_n(mark + 3, url.n - scheme.n - 3);
    }
    const char *slash = memchr(rest.p, '/', rest.n);
    authority = str_n(rest.p, slash ? (size_t)(slash - rest.p) : rest.n);
    *ret_path = slash ? str_n(slash, rest.n - authority.n) : STR_LIT("/");
    bool bracket = str_starts(authority, "[");
    bool has_port = bracket ? memmem(authority.p, authority.n, "]:", 2) != NULL
                            : memchr(authority.p, ':', authority.n) != NULL;
    host = authority;
    number = default_port(scheme);
    if (has_port && (!str_rcut(authority, ':', &host, &port) || str_u64(port, &number) < 0 ||
                     number == 0 || number > UINT16_MAX)) {
        return err_set(err, -E_INVAL, "'" STR_FMT "' has no valid port", STR_ARG(url));
    }
    if (bracket && str_ends(host, "]")) {
        host = str_n(host.p + 1, host.n - 2);
    }
    if (host.n == 0) {
        return err_set(err, -E_INVAL, "'" STR_FMT "' has no host", STR_ARG(url));
    }
    *ret_host = mem_strndup(host.p, host.n);
    *ret_port = (uint16_t)number;
    *ret_scheme = scheme;
    return *ret_host ? 0 : err_sys(err, -E_NOMEM, "read a URL");
}

static int read_pem(const struct json *conf, const char *option, char **ret, size_t *ret_n,
                    struct err *err)
{
    const char *path = json_cstr(json_get(conf, option), NULL);
    int rc = path ? file_read(path, PEM_MAX, ret, ret_n, err) : 0;
    return rc < 0 ? err_wrap(err, rc, "%s", option) : 0;
}

static int make_tls(const struct json *conf, struct tls_ctx **ret, struct err *err)
{
    CLEANUP(mem_freep) char *cert = NULL;
    CLEANUP(mem_freep) char *key = NULL;
    CLEANUP(mem_freep) char *ca = NULL;
    size_t cert_n = 0, key_n = 0, ca_n = 0;
    int rc = read_pem(conf, "certificationPath", &cert, &cert_n, err);
    rc = rc < 0 ? rc : read_pem(conf, "privateKeyPath", &key, &key_n, err);
    rc = rc < 0 ? rc : read_pem(conf, "rootCaPath", &ca, &ca_n, err);
    const struct tls_config cfg = {.cert_pem = str_n(cert, cert_n),
                                   .key_pem = str_n(key, key_n),
                                   .ca_pem = str_n(ca, ca_n),
                                   .insecure =
                                       json_true(json_get(conf, "insecureSkipVerify"), false)};
    return rc < 0 ? rc : tls_client_new(&cfg, ret, err);
}

bool endpoint_text_ok(struct str s, bool path)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < ' ' && (path || c != '\t')) || c == 0x7f || (path && c == ' ')) {
            return false;
        }
    }
    return true;
}

int endpoint_method(const struct json *conf, const char *none, const char **ret, struct err *err)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"};
    const char *wanted = json_cstr(json_get(conf, "method"), none);
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (str_iis(str_of(wanted), methods[i])) {
            *ret = methods[i];
            return 0;
        }
    }
    return err_set(err, -E_INVAL, "method '%s' is not GET, POST, PUT, PATCH, DELETE or HEAD",
                   wanted);
}

int endpoint_time(const struct json *conf, const char *option, int64_t none_ms, int64_t *ret_ms,
                  struct err *err)
{
    int64_t us = none_ms * 1000;
    int rc = data_rule_duration(json_get(conf, option), option, &us, err);
    if (rc == 0 && (us < 1000 || us > TIME_MAX_US)) {
        rc = err_set(err, -E_INVAL, "%s is not between 1 ms and 10 days", option);
    }
    *ret_ms = us / 1000;
    return rc;
}

static int read_headers(struct arena *a, const struct json *conf, struct endpoint *e,
                        struct err *err)
{
    const struct json *headers = json_get(conf, "headers");
    e->headers = arena_alloc(a, (json_len(headers) + 1) * sizeof(*e->headers));
    if (headers && !json_is(headers, JSON_OBJECT)) {
        return err_set(err, -E_INVAL, "headers: an object of texts is expected");
    }
    JSON_FOR_EACH_MEMBER (m, headers) {
        char *name = arena_strndup(a, m->key, m->key_n);
        for (uint32_t i = 0; name && i < m->key_n; i++) { /* HTTP/2 wants lower case */
            name[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] + 32) : name[i];
        }
        if (name && (!http_is_token(str_of(name)) || !json_is(m->value, JSON_STRING) ||
                     !endpoint_text_ok(json_text(m->value), /* path= */ false))) {
            return err_set(err, -E_INVAL, "headers: '%s' is no header with a text", name);
        }
        if (e->headers && name) {
            e->headers[e->n_headers++] = (struct http_header){str_of(name), json_text(m->value)};
        }
    }
    return arena_failed(a) ? err_sys(err, -E_NOMEM, "read headers") : 0;
}

int endpoint_open(struct io_loop *l, struct arena *a, const struct json *conf, struct endpoint *ret,
                  struct err *err)
{
    CLEANUP(mem_freep) char *host = NULL;
    struct str scheme, path, url = json_text(json_get(conf, "url"));
    struct tls_ctx *tls = NULL;
    uint16_t port;
    *ret = (struct endpoint){0};
    int rc = endpoint_split(url, &scheme, &host, &port, &path, err);
    if (rc == 0 && !str_is(scheme, "http") && !str_is(scheme, "https")) {
        rc = err_set(err, -E_INVAL, "'" STR_FMT "' begins with neither http:// nor https://",
                     STR_ARG(url));
    }
    if (rc == 0 && !endpoint_text_ok(path, /* path= */ true)) {
        rc = err_set(err, -E_INVAL, "the path has blanks or control characters");
    }
    rc = rc < 0 || !str_is(scheme, "https") ? rc : make_tls(conf, &tls, err);
    rc = rc < 0 ? err_wrap(err, rc, "url") : read_headers(a, conf, ret, err);
    if (rc == 0) {
        const struct http_client_config cfg = {
            .loop = l, .host = host, .port = port, .tls = tls, .max_connections = 4};
        ret->path = mem_strndup(path.p, path.n);
        rc = ret->path ? http_client_new(&cfg, &ret->client) : -E_NOMEM;
        rc = rc < 0 ? err_sys(err, rc, "url") : 0;
    }
    tls_ctx_unref(tls);
    if (rc < 0) {
        endpoint_close(ret);
    }
    return rc;
}

void endpoint_close(struct endpoint *e)
{
    http_client_free(e->client);
    mem_free(e->path);
    *e = (struct endpoint){0};
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking connection to an API server; see admin.h. */
#include "admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/mem.h"
#include "codec/yaml.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/tls.h"
#include "net/http_client.h"

#define FILE_MAX ((size_t)1 << 20)
#define BODY_MAX ((size_t)16 << 20)

struct admin {
    struct arena arena; /* of the kubeconfig's texts */
    struct io_loop *loop;
    struct tls_ctx *tls, *tls_http1; /* the second does not offer HTTP/2 */
    struct http_client *http;
    struct api_client *api;
    const char *ca, *cert, *key;
    char *host;
    uint16_t port;
};

/* ---- the kubeconfig ---- */

static struct json *by_name(const struct json *list, const char *name, const char *member)
{
    JSON_FOR_EACH (item, list) {
        if (name && cstr_eq(json_cstr(json_get(item, "name"), NULL), name)) {
            return json_get(item, member);
        }
    }
    return NULL;
}

/* NAME-data (base64) or the file that NAME refers to; *ret stays NULL when there is neither. */
static int text_of(struct admin *a, const struct json *from, const char *name, const char **ret,
                   struct err *err)
{
    char data_name[64];
    (void)snprintf(data_name, sizeof(data_name), "%s-data", name);
    struct str data = json_text(json_get(from, data_name));
    const char *path = json_cstr(json_get(from, name), NULL);
    if (data.n) {
        struct buf b = BUF_INIT;
        int rc = base64_decode(&b, data);
        *ret = rc == 0 ? arena_str(&a->arena, buf_str(&b)) : NULL;
        buf_fini(&b);
        return *ret ? 0 : err_set(err, -E_INVAL, "%s is not base64", data_name);
    }
    if (path) {
        CLEANUP(mem_freep) char *text = NULL;
        size_t n;
        int rc = file_read(path, FILE_MAX, &text, &n, err);
        *ret = rc == 0 ? arena_strndup(&a->arena, text, n) : NULL;
        return rc;
    }
    return 0;
}

/* https://HOST[:PORT], the host possibly in brackets. */
static int parse_server(struct admin *a, const char *url, struct err *err)
{
    struct str host = str_of(url ? url : ""), port_text;
    uint64_t port = 443;
    if (!str_starts(host, "https://")) {
        return err_set(err, -E_INVAL, "the server's address '%s' does not begin with https://",
                       url ? url : "");
    }
    host = str_n(host.p + 8, host.n - 8);
    (void)str_cut(host, '/', &host, &port_text); /* the path is of no use */
    struct str bracket = str_n(host.p, 0);
    if (str_starts(host, "[") && str_cut(host, ']', &bracket, &port_text)) {
        host = str_n(bracket.p + 1, bracket.n - 1);
        (void)str_cut(port_text, ':', &bracket,
                      &port_text); /* what stands before the colon is empty */
    } else {
        (void)str_rcut(host, ':', &host, &port_text); /* without a colon the port text is empty */
    }
    if (port_text.n && (str_u64(port_text, &port) < 0 || port == 0 || port > UINT16_MAX)) {
        return err_set(err, -E_INVAL, "'%s' has a bad port", url);
    }
    a->host = arena_str(&a->arena, host);
    a->port = (uint16_t)port;
    return a->host ? 0 : err_sys(err, -ENOMEM, "read the server's address");
}

static int read_config(struct admin *a, const char *path, struct err *err)
{
    CLEANUP(mem_freep) char *text = NULL;
    struct json *config;
    size_t n;
    int rc = file_read(path, FILE_MAX, &text, &n, err);
    if (rc == 0) {
        rc = yaml_parse(&a->arena, str_n(text, n), &config, err);
    }
    if (rc < 0) {
        return rc;
    }
    const char *current = json_path_cstr(config, "current-context", NULL);
    const struct json *context = by_name(json_get(config, "contexts"), current, "context");
    const struct json *cluster =
        by_name(json_get(config, "clusters"), json_path_cstr(context, "cluster", NULL), "cluster");
    const struct json *user =
        by_name(json_get(config, "users"), json_path_cstr(context, "user", NULL), "user");
    if (!cluster || !user) {
        return err_set(err, -E_INVAL, "its current context names no cluster or no user");
    }
    rc = parse_server(a, json_path_cstr(cluster, "server", NULL), err);
    rc = rc < 0 ? rc : text_of(a, cluster, "certificate-authority", &a->ca, err);
    rc = rc < 0 ? rc : text_of(a, user, "client-certificate", &a->cert, err);
    rc = rc < 0 ? rc : text_of(a, user, "client-key", &a->key, err);
    if (rc == 0 && !a->cert) {
        return err_set(err, -E_NOTSUP, "its user has no client certificate");
    }
    return rc;
}

/* ---- lifetime ---- */

static int connect_client(struct admin *a, struct err *err)
{
    int rc = loop_new(&a->loop, err);
    if (rc < 0) {
        return rc;
    }
    struct tls_config tls = {.cert_pem = str_of(a->cert),
                             .key_pem = str_of(a->key),
                             .ca_pem = str_of(a->ca),
                             .h2 = true};
    rc = tls_client_new(&tls, &a->tls, err);
    if (rc < 0) {
        return rc;
    }
    tls.h2 = false;
    rc = tls_client_new(&tls, &a->tls_http1, err);
    if (rc < 0) {
        return rc;
    }
    struct http_client_config http = {
        .loop = a->loop, .host = a->host, .port = a->port, .tls = a->tls};
    rc = http_client_new(&http, &a->http);
    a->api = rc == 0 ? api_client_http(a->http, a->loop) : NULL;
    return a->api ? 0 : err_sys(err, rc < 0 ? rc : -ENOMEM, "make a client");
}

int admin_open(const char *kubeconfig, struct admin **ret, struct err *err)
{
    struct admin *a = mem_zalloc(sizeof(*a));
    if (!a) {
        return err_sys(err, -ENOMEM, "read '%s'", kubeconfig);
    }
    arena_init(&a->arena, 0);
    int rc = read_config(a, kubeconfig, err);
    if (rc < 0) {
        rc = err_wrap(err, rc, "read '%s'", kubeconfig);
    } else {
        rc = connect_client(a, err);
    }
    if (rc < 0) {
        admin_close(a);
        return rc;
    }
    *ret = a;
    return 0;
}

const char *admin_default_kubeconfig(void)
{
    const char *env = getenv("KUBECONFIG");
    return env && *env ? env : "run/kubeconfig";
}

void admin_close(struct admin *a)
{
    if (!a) {
        return;
    }
    api_client_free(a->api);
    http_client_free(a->http);
    tls_ctx_unref(a->tls);
    tls_ctx_unref(a->tls_http1);
    loop_free(a->loop);
    arena_fini(&a->arena);
    mem_free(a);
}

const char *admin_ca_pem(const struct admin *a)
{
    return a->ca ? a->ca : "";
}

struct io_loop *admin_loop(struct admin *a)
{
    return a->loop;
}

int admin_connection(struct admin *a, struct http_client **ret)
{
    struct http_client_config http = {.loop = a->loop,
                                      .host = a->host,
                                      .port = a->port,
                                      .tls = a->tls_http1,
                                      .protocol = HTTP_PROTOCOL_1,
                                      .max_connections = 1};
    return http_client_new(&http, ret);
}

/* ---- calls ---- */

struct pending {
    struct api_call call;
    struct arena *arena;
    struct json *result;
    struct err *err;
    int code;
    bool done;
};

static void on_done(struct api_call *call, int code, struct json *result)
{
    struct pending *p = call->arg;
    p->done = true;
    p->code = code;
    if (code < 0 && p->err) {
        *p->err = call->err;
    }
    p->result = json_clone(p->arena, result);
}

int admin_call(struct admin *a, const struct api_request *req, struct arena *arena,
               struct json **ret_object, struct err *err)
{
    struct pending p = {.call = {.done = on_done}, .arena = arena, .err = err};
    p.call.arg = &p;
    api_call_start(a->api, &p.call, req);
    while (!p.done) {
        loop_run_once(a->loop);
    }
    if (p.code == 0 && ret_object) {
        *ret_object = p.result;
    }
    return p.code;
}

struct fetch {
    struct arena *arena;
    struct str body;
    struct err *err;
    int code;
    bool done;
};

static void on_fetched(void *arg, int code, const struct http_response *resp, struct str body,
                       const struct err *err)
{
    struct fetch *f = arg;
    f->done = true;
    f->code = code;
    if (code < 0) {
        if (f->err) {
            *f->err = *err;
        }
    } else if (resp->status != 200) {
        f->code = err_set(f->err, -E_BUSY, "answered %d: " STR_FMT, resp->status, STR_ARG(body));
    } else {
        f->body = str_n(arena_str(f->arena, body), body.n);
    }
}

int admin_get(struct admin *a, const char *path, struct arena *arena, struct str *ret_body,
              struct err *err)
{
    struct fetch f = {.arena = arena, .err = err};
    struct http_call_request req = {.path = path};
    if (!http_fetch(a->http, &req, BODY_MAX, on_fetched, &f)) {
        return err_sys(err, -ENOMEM, "get %s", path);
    }
    while (!f.done) {
        loop_run_once(a->loop);
    }
    if (f.code == 0 && ret_body) {
        *ret_body = f.body;
    }
    return f.code;
}

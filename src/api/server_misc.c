/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that are no objects: health, version, metrics, discovery, OpenAPI, OpenID. */
#include "api/auth/tokens.h"
#include "api/discovery.h"
#include "api/openapi.h"
#include "api/server_http.h"
#include "api/server_private.h"
#include "base/metrics.h"

/* ---- health ---- */

/* NULL = fine. */
static const char *check_ready(struct api_server *s)
{
    if (s->draining) {
        return "shutdown";
    }
    if (!list_empty(&s->boot)) {
        return "namespaces";
    }
    return s->opts.not_ready ? s->opts.not_ready(s->opts.not_ready_arg) : NULL;
}

static void health(struct api_server *s, struct http_exchange *x, const char *name, bool ready)
{
    const struct http_request *req = http_exchange_request(x);
    const char *missing = ready ? check_ready(s) : NULL;
    bool verbose = http_query_get(http_exchange_arena(x), req->query, "verbose") != NULL;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (verbose || missing) {
        (void)buf_puts(&b, "[+]ping ok\n[+]store ok\n"); /* a short page when memory is short */
        if (missing) {
            (void)buf_printf(&b, "[-]%s failed\n", missing);
        }
        (void)buf_printf(&b, "%s check %s\n", name, missing ? "failed" : "passed");
    } else {
        (void)buf_puts(&b, "ok");
    }
    http_reply_text(x, missing ? 500 : 200, "text/plain; charset=utf-8", buf_str(&b));
}

/* ---- version: kubectl's dispatcher and Helm look at it ---- */

static void version(struct http_exchange *x)
{
    struct arena *a = http_exchange_arena(x);
    struct json *v = json_object(a);
    json_set_str(v, "major", "1");
    json_set_str(v, "minor", "32");
    json_set_str(v, "gitVersion", "v1.32.13+selvedge-" SELVEDGE_VERSION);
    json_set_str(v, "gitCommit", "");
    json_set_str(v, "gitTreeState", "clean");
    json_set_str(v, "buildDate", "1970-01-01T00:00:00Z");
    json_set_str(v, "goVersion", "");
    json_set_str(v, "compiler", "gcc");
    json_set_str(v, "platform", "linux/amd64");
    api_reply_json(x, 200, v);
}

/* Some clients end such paths with a slash. */
static struct str plain_path(const struct http_request *req)
{
    struct str p = req->path;
    while (p.n > 1 && p.p[p.n - 1] == '/') {
        p.n--;
    }
    return p;
}

bool server_misc_public(struct api_server *s, struct http_exchange *x)
{
    const struct http_request *req = http_exchange_request(x);
    bool get = str_is(req->method, "GET") || str_is(req->method, "HEAD");
    if (!get || req->path.n < 6) {
        return false;
    }
    struct str path = plain_path(req);
    if (str_is(path, "/version")) {
        version(x);
    } else if (str_is(path, "/healthz")) {
        health(s, x, "healthz", false);
    } else if (str_is(path, "/livez")) {
        health(s, x, "livez", false);
    } else if (str_is(path, "/readyz")) {
        health(s, x, "readyz", true);
    } else {
        return false;
    }
    return true;
}

/* ---- the rest ---- */

static void metrics(struct http_exchange *x)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (metrics_print(&b) < 0) {
        api_reply_error(x, -E_NOMEM, "out of memory");
        return;
    }
    http_reply_text(x, 200, "text/plain; version=0.0.4", buf_str(&b));
}

static const char *header_text(struct server_call *call, const char *name)
{
    struct str s = http_header_get(&http_exchange_request(call->x)->headers, name);
    return s.p ? arena_str(http_exchange_arena(call->x), s) : NULL;
}

/* False when the path is none of discovery's. */
static bool discovery(struct server_call *call)
{
    struct arena *a = http_exchange_arena(call->x);
    const struct http_request *req = http_exchange_request(call->x);
    struct discovery_reply reply;
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    const char *host = req->authority.n ? arena_str(a, req->authority) : NULL;
    const char *path = arena_str(a, plain_path(req));
    int code =
        path ? discovery_get(a, path, header_text(call, "accept"), host, &body, &reply) : -E_NOMEM;
    if (code == -E_NOENT) {
        return false;
    }
    if (code < 0) {
        api_reply_error(call->x, code, err_text(code));
        return true;
    }
    const struct http_header headers[] = {
        HTTP_HEADER("content-type", reply.content_type),
        HTTP_HEADER("vary", "Accept"),
        HTTP_HEADER("cache-control", reply.etag[0] ? "public" : "no-cache, private"),
        HTTP_HEADER("etag", reply.etag),
    };
    size_t n = ARRAY_SIZE(headers) - (reply.etag[0] ? 0 : 1);
    struct str known = http_header_get(&req->headers, "if-none-match");
    if (reply.etag[0] && known.n && str_is(known, reply.etag)) {
        http_reply(call->x, 304, headers, n, STR_NULL);
    } else {
        http_reply_take(call->x, 200, headers, n, &body);
    }
    return true;
}

/* ---- OpenAPI ---- */

static void document(struct server_call *call, const char *type, const char *hash, bool for_good,
                     struct buf *body)
{
    const struct http_request *req = http_exchange_request(call->x);
    const char *etag = arena_printf(http_exchange_arena(call->x), "\"%s\"", hash);
    const struct http_header headers[] = {
        HTTP_HEADER("content-type", type),
        HTTP_HEADER("vary", "Accept"),
        HTTP_HEADER("cache-control", for_good ? "public, immutable" : "no-cache, private"),
        HTTP_HEADER("etag", etag ? etag : ""),
    };
    struct str known = http_header_get(&req->headers, "if-none-match");
    if (known.n && etag && str_is(known, etag)) {
        http_reply(call->x, 304, headers, ARRAY_SIZE(headers), STR_NULL);
    } else {
        http_reply_take(call->x, 200, headers, ARRAY_SIZE(headers), body);
    }
}

static int openapi_v3(struct server_call *call, struct str rest, struct buf *body)
{
    char hash[CONTENT_HASH_SIZE];
    struct arena *a = http_exchange_arena(call->x);
    struct str query = http_exchange_request(call->x)->query;
    const char *group = "", *version = NULL;
    if (rest.n == 0) {
        int code = openapi_v3_index(body);
        if (code == 0) {
            content_hash(buf_str(body), hash);
            document(call, "application/json", hash, false, body);
        }
        return code;
    }
    if (str_starts(rest, "/api/")) {
        version = arena_strndup(a, rest.p + 5, rest.n - 5);
    } else if (str_starts(rest, "/apis/")) {
        struct str g, v;
        (void)str_cut(str_n(rest.p + 6, rest.n - 6), '/', &g, &v);
        group = arena_str(a, g);
        version = arena_str(a, v);
    }
    if (!group || !version) {
        return arena_failed(a) ? -E_NOMEM : -E_NOENT;
    }
    int code = openapi_v3_document(group, version, body, hash);
    if (code == 0) {
        document(call, "application/json", hash, http_query_get(a, query, "hash") != NULL, body);
    }
    return code;
}

/* False when the path is none of OpenAPI's. */
static bool openapi(struct server_call *call)
{
    char hash[CONTENT_HASH_SIZE];
    struct str path = plain_path(http_exchange_request(call->x));
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    int code = -E_NOENT;
    if (str_is(path, "/openapi/v2") && !openapi_v2_accepts(header_text(call, "accept"))) {
        api_reply_error(call->x, -E_NOTACCEPT,
                        "only the following media types are accepted: " OPENAPI_V2_TYPE);
        return true;
    }
    if (str_is(path, "/openapi/v2")) {
        code = openapi_v2_document(&body, hash);
        if (code == 0) {
            document(call, OPENAPI_V2_TYPE, hash, false, &body);
        }
    } else if (str_starts(path, "/openapi/v3")) {
        size_t n = strlen("/openapi/v3");
        code = openapi_v3(call, str_n(path.p + n, path.n - n), &body);
    }
    if (code < 0 && code != -E_NOENT) {
        api_reply_error(call->x, code, err_text(code));
    }
    return code != -E_NOENT;
}

/* ---- OpenID Connect: how others verify the tokens of service accounts ---- */

static bool openid(struct server_call *call)
{
    struct http_exchange *x = call->x;
    struct arena *a = http_exchange_arena(x);
    struct tokens *t = call->server->sa_tokens;
    const struct http_request *req = http_exchange_request(x);
    const char *type = "application/jwk-set+json";
    struct str path = plain_path(req);
    struct json *doc = NULL;
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    if (!tokens_can_sign(t)) {
        return false;
    }
    if (str_is(path, "/openid/v1/jwks")) {
        doc = tokens_jwks(t, a);
    } else if (str_is(path, "/.well-known/openid-configuration")) {
        type = "application/json";
        doc = tokens_discovery(t, a, arena_printf(a, "https://" STR_FMT, STR_ARG(req->authority)));
    } else {
        return false;
    }
    if (arena_failed(a) || json_print(&body, doc) < 0) {
        api_reply_error(x, -E_NOMEM, "out of memory");
        return true;
    }
    const struct http_header headers[] = {HTTP_HEADER("content-type", type),
                                          HTTP_HEADER("cache-control", "public, max-age=3600")};
    http_reply_take(x, 200, headers, ARRAY_SIZE(headers), &body);
    return true;
}

bool server_misc_private(struct server_call *call)
{
    struct http_exchange *x = call->x;
    const struct http_request *req = http_exchange_request(x);
    if (!str_is(req->method, "GET") && !str_is(req->method, "HEAD")) {
        return false;
    }
    if (str_is(req->path, "/metrics")) {
        metrics(x);
        return true;
    }
    if (str_starts(req->path, "/openapi")) {
        return openapi(call);
    }
    if (str_starts(req->path, "/openid/") || str_starts(req->path, "/.well-known/")) {
        return openid(call);
    }
    return str_starts(req->path, "/api") && discovery(call);
}

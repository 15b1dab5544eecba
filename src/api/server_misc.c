/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that are no objects: health, version, metrics, discovery, OpenAPI. */
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

bool server_misc_public(struct api_server *s, struct http_exchange *x)
{
    const struct http_request *req = http_exchange_request(x);
    bool get = str_is(req->method, "GET") || str_is(req->method, "HEAD");
    if (!get || req->path.n < 6) {
        return false;
    }
    if (str_is(req->path, "/version")) {
        version(x);
    } else if (str_is(req->path, "/healthz")) {
        health(s, x, "healthz", false);
    } else if (str_is(req->path, "/livez")) {
        health(s, x, "livez", false);
    } else if (str_is(req->path, "/readyz")) {
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
    return false;
}

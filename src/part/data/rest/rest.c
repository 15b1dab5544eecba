/* SPDX-License-Identifier: Apache-2.0 */
/* Routes of the REST interface, bodies, answers, and answers that wait for the store. */
#include "rest.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/utsname.h>

#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "rest_private.h"

#define BODY_MAX ((size_t)4 << 20)
#define BODY_MAX_SET ((size_t)64 << 20) /* of a whole rule set */
#define ERROR_UNDEFINED 1000            /* eKuiper's codes */
#define ERROR_NOT_FOUND 1002

/* ---- answers ---- */

static void end_call(struct rest_call *c)
{
    mem_free(c->text);
    mem_free(c->undo_arg);
    mem_free(c);
}

void rest_done(struct rest_call *c)
{
    end_call(c);
}

static void reply(struct rest_call *c, int status, bool is_json, struct str body)
{
    if (c->x) {
        http_exchange_on_close(c->x, NULL, NULL);
        http_reply_text(c->x, status, is_json ? "application/json" : "text/plain; charset=utf-8",
                        body);
    }
    end_call(c);
}

static char *format(const char *fmt, va_list ap)
{
    struct buf b = BUF_INIT;
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    char *at = n >= 0 ? buf_reserve(&b, (size_t)n + 1) : NULL;
    if (at) {
        (void)vsnprintf(at, (size_t)n + 1, fmt, again);
        buf_commit(&b, (size_t)n);
    }
    va_end(again);
    char *text = buf_take(&b, NULL);
    buf_fini(&b);
    return text;
}

void rest_text(struct rest_call *c, int status, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    CLEANUP(mem_freep) char *text = format(fmt, ap);
    va_end(ap);
    reply(c, text ? status : 503, false, str_of(text ? text : "out of memory"));
}

void rest_json(struct rest_call *c, int status, const struct json *j)
{
    struct buf b = BUF_INIT;
    bool ok = j && json_print(&b, j) == 0;
    reply(c, ok ? status : 503, ok, ok ? buf_str(&b) : STR_LIT("out of memory"));
    buf_fini(&b);
}

static void reply_problem(struct rest_call *c, int status, const char *prefix, const char *text)
{
    struct buf b = BUF_INIT, message = BUF_INIT;
    bool missing = status == 404;
    (void)buf_printf(&message, "%s%s%s", prefix ? prefix : "", prefix ? ": " : "",
                     text); /* sticky, as below */
    (void)buf_printf(&b, "{\"error\":%d,\"message\":", missing ? ERROR_NOT_FOUND : ERROR_UNDEFINED);
    (void)json_print_string(&b, buf_str(&message));
    (void)buf_putc(&b, '}');
    reply(c, status, true, buf_str(&b));
    buf_fini(&b);
    buf_fini(&message);
}

static void reply_error(struct rest_call *c, int code, const char *prefix, const char *text)
{
    int status = err_http_status(code);
    reply_problem(c, code == -E_NOENT ? 404 : status >= 500 ? status : 400, prefix, text);
}

bool rest_owned(struct rest_call *c, const char *prefix, const char *object)
{
    if (!object) {
        return false;
    }
    char *text = arena_printf(c->arena, "%s defines it: change it there, with kubectl", object);
    reply_problem(c, 409, prefix, text ? text : "out of memory");
    return true;
}

void rest_error(struct rest_call *c, const char *prefix, const struct err *err)
{
    reply_error(c, err->code, prefix, err->text);
}

/* ---- answers that wait for the store ---- */

static void on_kept(void *arg, int code, const char *text)
{
    struct rest_call *c = arg;
    if (code < 0) {
        if (c->undo) {
            c->undo(c);
        }
        reply_error(c, code, "keep the definition", text);
        return;
    }
    CLEANUP(mem_freep) char *answer = TAKE_PTR(c->text);
    reply(c, c->status, false, str_of(answer ? answer : ""));
}

void rest_keep(struct rest_call *c, int status, const char *group, struct str name,
               struct str value, void (*undo)(struct rest_call *c), void *undo_arg, const char *fmt,
               ...)
{
    va_list ap;
    va_start(ap, fmt);
    c->text = format(fmt, ap);
    va_end(ap);
    c->waits = true;
    c->status = status;
    c->undo = undo;
    c->undo_arg = undo_arg;
    data_keep(c->data, group, name, value, on_kept, c);
}

struct json *rest_body(struct rest_call *c)
{
    struct json *j = NULL;
    struct err err;
    if (json_parse(c->arena, c->body, NULL, &j, &err) < 0) {
        rest_error(c, "Invalid body", &err);
        return NULL;
    }
    return j;
}

/* ---- small answers ---- */

static void root(struct rest_call *c)
{
    struct utsname u = {0};
    struct json *o = json_object(c->arena);
    (void)uname(&u);
    json_set_str(o, "version", SELVEDGE_VERSION);
    json_set_str(o, "os", "linux");
    json_set_str(o, "arch", cstr_eq(u.machine, "x86_64") ? "amd64" : u.machine);
    json_set_int(o, "upTimeSeconds", (wall_now().us - c->data->started.us) / 1000000);
    rest_json(c, 200, o);
}

static void ping(struct rest_call *c)
{
    rest_text(c, 200, "%s", "");
}

static void metrics(struct rest_call *c)
{
    struct buf b = BUF_INIT;
    metrics_print(&b);
    reply(c, 200, false, buf_str(&b));
    buf_fini(&b);
}

static void nothing_there(struct rest_call *c)
{
    rest_json(c, 200, json_array(c->arena));
}

static void unsupported(struct rest_call *c)
{
    struct err err;
    (void)err_set(
        &err, -E_NOTSUP,
        "not supported: plugins, external services, custom schemas and uploads of eKuiper "
        "are not part of Selvedge");
    rest_error(c, NULL, &err);
}

/* ---- routes ---- */

/* A path's segments; "*" takes one as the call's name. First fit counts. */
static const struct route {
    const char *method, *path;
    rest_fn *fn;
} routes[] = {
    {"GET", "", root},
    {"POST", "", root},
    {"GET", "ping", ping},
    {"GET", "metrics", metrics},
    {"GET", "streams", rest_streams_list},
    {"POST", "streams", rest_streams_create},
    {"GET", "streamdetails", rest_stream_details},
    {"GET", "streams/*", rest_stream_get},
    {"PUT", "streams/*", rest_stream_put},
    {"DELETE", "streams/*", rest_stream_delete},
    {"GET", "streams/*/schema", rest_stream_schema},
    {"GET", "tables", rest_tables_list},
    {"POST", "tables", rest_streams_create},
    {"GET", "tabledetails", rest_table_details},
    {"GET", "tables/*", rest_table_get},
    {"PUT", "tables/*", rest_table_put},
    {"DELETE", "tables/*", rest_table_delete},
    {"GET", "tables/*/schema", rest_stream_schema},
    {"GET", "rules", rest_rules_list},
    {"POST", "rules", rest_rules_create},
    {"POST", "rules/validate", rest_rule_validate},
    {"GET", "rules/status/all", rest_rules_status},
    {"GET", "rules/*", rest_rule_get},
    {"PUT", "rules/*", rest_rule_put},
    {"DELETE", "rules/*", rest_rule_delete},
    {"GET", "rules/*/status", rest_rule_status},
    {"GET", "v2/rules/*/status", rest_rule_status},
    {"POST", "rules/*/start", rest_rule_start},
    {"POST", "rules/*/stop", rest_rule_stop},
    {"POST", "rules/*/restart", rest_rule_restart},
    {"GET", "rules/*/topo", rest_rule_topo},
    {"GET", "rules/*/explain", rest_rule_explain},
    {"PUT", "rules/*/reset_state", rest_rule_reset},
    {"GET", "schemas/protobuf", rest_schemas_list},
    {"POST", "schemas/protobuf", rest_schemas_create},
    {"GET", "schemas/protobuf/*", rest_schema_get},
    {"PUT", "schemas/protobuf/*", rest_schema_put},
    {"DELETE", "schemas/protobuf/*", rest_schema_delete},
    {"POST", "ruleset/import", rest_set_import},
    {"POST", "ruleset/export", rest_set_export},
    {"GET", "ruleset/export", rest_set_export},
    {"POST", "ruletest", rest_test_create},
    {"POST", "ruletest/*/start", rest_test_start},
    {"DELETE", "ruletest/*", rest_test_delete},
    {"GET", "test/*", rest_test_watch},
    {"GET", "services", nothing_there},
    {"GET", "services/functions", nothing_there},
    {"GET", "plugins/sources", nothing_there},
    {"GET", "plugins/sinks", nothing_there},
    {"GET", "plugins/functions", nothing_there},
    {"GET", "plugins/portables", nothing_there},
    {"GET", "plugins/udfs", nothing_there},
    {"GET", "connections", nothing_there},
};

/* What eKuiper has and we do not: said so, instead of 404. */
static const char *const unsupported_prefixes[] = {
    "services", "plugins", "schemas", "udf",    "config",   "configs", "connections",
    "data",     "async",   "trace",   "tracer", "metadata", "batch",
};

/* Whether the path fits the pattern; *ret_name gets what '*' stands for. */
static bool fits(struct str path, const char *pattern, struct str *ret_name)
{
    struct str rest = str_of(pattern);
    for (;;) {
        struct str segment, wanted;
        bool more_path = str_cut(path, '/', &segment, &path);
        bool more_pattern = str_cut(rest, '/', &wanted, &rest);
        if (str_is(wanted, "*") ? segment.n == 0 : !str_eq(segment, wanted)) {
            return false;
        }
        if (str_is(wanted, "*")) {
            *ret_name = segment;
        }
        if (more_path != more_pattern) {
            return false;
        }
        if (!more_path) {
            return true;
        }
    }
}

bool rest_has_path(struct str path)
{
    struct str name;
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        if (path.n > 0 && fits(str_n(path.p + 1, path.n - 1), routes[i].path, &name)) {
            return true;
        }
    }
    return false;
}

static void dispatch(struct rest_call *c)
{
    struct err err;
    struct str first = c->path, name;
    bool known = false;
    for (size_t i = 0; i < ARRAY_SIZE(routes); i++) {
        name = STR_NULL;
        if (!fits(c->path, routes[i].path, &name)) {
            continue;
        }
        known = true;
        if (str_is(c->method, routes[i].method)) {
            char *decoded = percent_decode(c->arena, name, false);
            if (!decoded) {
                (void)err_set(&err, -E_INVAL, "the path has bad escapes");
                rest_error(c, NULL, &err);
                return;
            }
            c->name = str_of(decoded);
            routes[i].fn(c);
            return;
        }
    }
    (void)str_cut(c->path, '/', &first, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(unsupported_prefixes); i++) {
        if (str_is(first, unsupported_prefixes[i])) {
            unsupported(c);
            return;
        }
    }
    rest_text(c, known ? 405 : 404, known ? "405 method not allowed\n" : "404 page not found\n");
}

static void on_gone(void *arg)
{
    struct rest_call *c = arg;
    c->x = NULL;
    c->arena = NULL;
    if (!c->waits) {
        end_call(c); /* the body had not come yet */
    }
}

static void on_body(struct http_exchange *x, struct str body, void *arg)
{
    struct rest_call *c = arg;
    (void)x;
    c->body = body;
    dispatch(c);
}

void rest_handle(struct data *d, struct http_exchange *x)
{
    const struct http_request *req = http_exchange_request(x);
    struct rest_call *c = mem_zalloc(sizeof(*c));
    if (!c) {
        http_reply_text(x, 503, "text/plain", STR_LIT("out of memory\n"));
        return;
    }
    *c = (struct rest_call){.data = d,
                            .x = x,
                            .arena = http_exchange_arena(x),
                            .method = req->method,
                            .path = str_n(req->path.p + 1, req->path.n - 1),
                            .query = req->query};
    if (str_ends(c->path, "/")) {
        c->path.n--;
    }
    http_exchange_on_close(x, on_gone, c);
    if (str_is(c->method, "GET") || str_is(c->method, "DELETE")) {
        dispatch(c);
    } else {
        bool set = str_is(c->path, "ruleset/import");
        http_exchange_collect_body(x, set ? BODY_MAX_SET : BODY_MAX, on_body, c);
    }
}

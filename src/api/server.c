/* SPDX-License-Identifier: Apache-2.0 */
/* The server's life, and what becomes of an exchange: see server.h. */
#include "api/server.h"

#include "api/admission/webhook.h"
#include "api/apply/managers.h"
#include "api/auth/authn.h"
#include "api/auth/authz.h"
#include "api/auth/impersonate.h"
#include "api/auth/rbac.h"
#include "api/auth/rbac_defaults.h"
#include "api/auth/tokens.h"
#include "api/crd/crd.h"
#include "api/exec_proxy.h"
#include "api/flow/flow_schemas.h"
#include "api/metrics.h"
#include "api/server_boot.h"
#include "api/server_http.h"
#include "api/server_private.h"
#include "api/watch.h"
#include "base/limits.h"
#include "base/log.h"

/* ---- lifetime ---- */

static int open_auth(struct api_server *s, struct err *err)
{
    int rc = rbac_new(s->store, &s->rbac);
    if (rc == 0 && s->opts.no_namespaces) {
        rc = rbac_defaults_builtin(s->rbac);
    }
    if (rc < 0) {
        return err_set(err, rc, "read the roles: %s", err_text(rc));
    }
    rc = tokens_new(s, &s->opts, &s->sa_tokens, err);
    s->opts.token_keys = NULL; /* borrowed until here */
    s->opts.root_ca = NULL;
    return rc < 0 || s->opts.no_namespaces ? rc : server_boot(s, err);
}

/* The parts, in the order in which they need each other; what was made before a failure is freed
 * with the server. */
static int open_parts(struct api_server *s, struct err *err)
{
    s->flows = flow_control_new(s->loop, NULL);
    if (!s->flows) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    s->schemas = flow_schemas_new(s, err);
    if (!s->schemas) {
        return -ENOMEM;
    }
    if (crd_set_new(s, &s->crds) < 0) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    s->webhooks = webhooks_new(s, err);
    if (!s->webhooks) {
        return -ENOMEM;
    }
    int rc = admission_start(s, err);
    s->opts.service_range = NULL; /* borrowed until here */
    if (rc == 0 && s->opts.token_csv) {
        rc = authn_load_csv(s, s->opts.token_csv, err);
    }
    s->opts.token_csv = NULL; /* borrowed until here */
    return rc < 0 ? rc : open_auth(s, err);
}

struct api_server *api_server_new(struct io_loop *loop, struct store *store,
                                  const struct api_server_opts *opts, struct err *err)
{
    struct api_server *s = mem_zalloc(sizeof(*s));
    if (!s) {
        (void)err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    s->loop = loop;
    s->store = store;
    s->opts = opts ? *opts : (struct api_server_opts){0};
    arena_init(&s->arena, 0);
    list_init(&s->watches);
    list_init(&s->streams);
    list_init(&s->boot);
    if (open_parts(s, err) < 0) {
        api_server_free(s);
        return NULL;
    }
    return s;
}

void api_server_drain(struct api_server *s)
{
    s->draining = true;
    watch_http_end_all(s);
    exec_proxy_end_all(s);
}

void api_server_free(struct api_server *s)
{
    if (!s) {
        return;
    }
    api_server_drain(s);
    server_boot_cancel(s);
    rbac_free(s->rbac);
    tokens_free(s->sa_tokens);
    assert(list_empty(&s->watches)); /* a client of this server still watches: a bug of its owner */
    metrics_free(s->metrics);
    webhooks_free(s->webhooks);
    crd_set_free(s->crds);
    admission_stop(s);
    flow_schemas_free(s->schemas);
    flow_control_free(s->flows);
    arena_fini(&s->arena);
    mem_free(s);
}

int api_server_route(struct api_server *s, const char *prefix, unsigned flags, server_route_fn *fn,
                     void *arg)
{
    for (size_t i = 0; i < s->n_routes; i++) {
        if (cstr_eq(s->routes[i].prefix, prefix)) {
            return -E_EXISTS;
        }
    }
    size_t size = sizeof(*s->routes);
    struct server_route *routes =
        arena_grow(&s->arena, s->routes, s->n_routes * size, (s->n_routes + 1) * size);
    char *copy = arena_strdup(&s->arena, prefix);
    if (!routes || !copy) {
        return -ENOMEM;
    }
    s->routes = routes;
    s->routes[s->n_routes++] =
        (struct server_route){.prefix = copy, .flags = flags, .fn = fn, .arg = arg};
    return 0;
}

struct store *api_server_store(struct api_server *s)
{
    return s->store;
}

const char *api_error_body(void *arg, int status, const char *text, struct buf *body)
{
    (void)arg;
    struct arena a;
    arena_init(&a, 0);
    const char *reason = status == 413   ? "RequestEntityTooLarge"
                         : status == 408 ? "Timeout"
                         : status == 503 ? "ServiceUnavailable"
                         : status >= 500 ? "InternalError"
                                         : "BadRequest";
    struct json *s = status_failure(&a, status, reason, text, /* about= */ NULL);
    int code = json_print(body, s);
    arena_fini(&a);
    return code < 0 ? "text/plain" : "application/json";
}

/* ---- one exchange ---- */

static const struct server_route *find_route(const struct api_server *s, struct str path)
{
    for (size_t i = 0; i < s->n_routes; i++) {
        const char *p = s->routes[i].prefix;
        size_t n = strlen(p);
        bool below = n > 0 && p[n - 1] == '/' && str_starts(path, p);
        if (below || str_is(path, p)) {
            return &s->routes[i];
        }
    }
    return NULL;
}

static void not_found_page(struct http_exchange *x)
{
    http_reply_text(x, 404, "text/plain; charset=utf-8", STR_LIT("404 page not found\n"));
}

static void op_done(struct handler_op *op)
{
    server_reply(op->arg);
}

static void call_closed(void *arg)
{
    struct server_call *call = arg;
    flow_cancel(&call->turn);
    handler_cancel(&call->op);
}

static bool watch_wanted(struct server_call *call)
{
    return (call->op.verb == HANDLER_LIST || call->op.verb == HANDLER_GET) && !call->route.sub &&
           (call->op.opt.watch || call->route.watch);
}

/* Work begins when it is the caller's turn: at once, unless he asks for more than his share. */
static void in_turn(struct server_call *call, flow_fn *work)
{
    char name[FLOW_NAME_SIZE];
    const struct route *r = &call->route;
    struct arena *a = http_exchange_arena(call->x);
    bool watch = watch_wanted(call);
    const char *resource =
        r->sub ? arena_printf(a, "%s/%s", r->kind->plural, r->subresource) : r->kind->plural;
    const struct flow_request q = {.user = &call->user,
                                   .verb = authz_verb(watch ? HANDLER_WATCH : call->op.verb),
                                   .group = r->kind->group,
                                   .resource = resource ? resource : "",
                                   .ns = r->ns};
    struct flow_key key = flow_schemas_key(call->server->schemas, &q, name);
    http_exchange_on_close(call->x, call_closed, call);
    int code = flow_submit(call->server->flows, &key, &call->turn, work, call);
    if (code < 0) {
        api_reply_error(call->x, code, "too many requests, please try again later");
    }
}

static void run(void *arg)
{
    struct server_call *call = arg;
    struct handler_op *op = &call->op;
    const struct route *r = &call->route;
    op->server = call->server;
    op->arena = http_exchange_arena(call->x);
    op->user = &call->user;
    op->kind = r->kind;
    op->sub = r->sub;
    op->ns = r->ns;
    op->name = r->name;
    op->done = op_done;
    op->arg = call;
    handler_run(op);
}

static void run_with_body(void *arg)
{
    struct server_call *call = arg;
    struct http_exchange *x = call->x;
    struct str body = call->body;
    struct handler_op *op = &call->op;
    struct err err = {0};
    const struct http_headers *h = &http_exchange_request(x)->headers;
    struct str type = http_header_get(h, "content-type");
    if (op->verb == HANDLER_PATCH) {
        type = op->patch == HANDLER_PATCH_APPLY ? STR_LIT("application/yaml")
                                                : STR_LIT("application/json");
    }
    struct arena *a = http_exchange_arena(x);
    bool del = op->verb == HANDLER_DELETE || op->verb == HANDLER_DELETE_COLLECTION;
    if (del && body.n == 0) {
        run(call);
        return;
    }
    int code = server_body(a, type, body, &op->body, &op->problems, &err);
    if (code < 0) {
        api_reply_error(x, code, err.text);
        return;
    }
    if (del) {
        handler_read_delete_options(op, op->body);
    }
    run(call);
}

static void body_done(struct http_exchange *x, struct str body, void *arg)
{
    struct server_call *call = arg;
    (void)x;
    call->body = body;
    in_turn(call, run_with_body);
}

static bool patch_type(struct server_call *call)
{
    static const struct {
        const char *type;
        enum handler_patch patch;
    } types[] = {
        {"application/json-patch+json", HANDLER_PATCH_JSON},
        {"application/merge-patch+json", HANDLER_PATCH_MERGE},
        {"application/strategic-merge-patch+json", HANDLER_PATCH_STRATEGIC},
        {"application/apply-patch+yaml", HANDLER_PATCH_APPLY},
    };
    struct str type =
        media_type(http_header_get(&http_exchange_request(call->x)->headers, "content-type"));
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (str_iis(type, types[i].type)) {
            call->op.patch = types[i].patch;
            return true;
        }
    }
    const char *why = "the body of the request was in an unknown format - accepted media types "
                      "include: application/json-patch+json, application/merge-patch+json, "
                      "application/strategic-merge-patch+json, application/apply-patch+yaml";
    api_reply_error(call->x, -E_MEDIATYPE, why);
    return false;
}

static const struct {
    const char *method;
    enum handler_verb one, many; /* with a name, without */
    bool one_ok, many_ok;
} methods[] = {
    {"GET", HANDLER_GET, HANDLER_LIST, true, true},
    {"HEAD", HANDLER_GET, HANDLER_LIST, true, true},
    {"POST", HANDLER_CREATE, HANDLER_CREATE, false, true},
    {"PUT", HANDLER_UPDATE, 0, true, false},
    {"PATCH", HANDLER_PATCH, 0, true, false},
    {"DELETE", HANDLER_DELETE, HANDLER_DELETE_COLLECTION, true, true},
};

static unsigned verb_bit(enum handler_verb v)
{
    static const unsigned bits[HANDLER_VERB_NR] = {
        [HANDLER_GET] = KIND_GET,       [HANDLER_LIST] = KIND_LIST,
        [HANDLER_CREATE] = KIND_CREATE, [HANDLER_UPDATE] = KIND_UPDATE,
        [HANDLER_PATCH] = KIND_PATCH,   [HANDLER_DELETE] = KIND_DELETE,
        [HANDLER_WATCH] = KIND_WATCH,   [HANDLER_DELETE_COLLECTION] = KIND_DELETECOLLECTION,
    };
    return bits[v];
}

/* False when the method does not fit the path; it has replied then. */
static bool choose_verb(struct server_call *call)
{
    struct str method = http_exchange_request(call->x)->method;
    const struct route *r = &call->route;
    for (size_t i = 0; i < ARRAY_SIZE(methods); i++) {
        if (!str_is(method, methods[i].method)) {
            continue;
        }
        bool one = *r->name != '\0';
        enum handler_verb v = one ? methods[i].one : methods[i].many;
        bool fits = one ? methods[i].one_ok : methods[i].many_ok;
        if (r->sub && v == HANDLER_DELETE) {
            fits = false;
        }
        if (r->sub && str_is(method, "POST")) {
            v = HANDLER_CREATE;
            fits = true;
        }
        unsigned verbs = r->sub ? r->sub->verbs : r->kind->verbs;
        if (fits && (verbs & verb_bit(v))) {
            call->op.verb = v;
            return true;
        }
    }
    api_reply_error(call->x, -E_METHOD,
                    "the server does not allow this method on the requested resource");
    return false;
}

static void start_watch(void *arg)
{
    struct server_call *call = arg;
    struct arena *a = http_exchange_arena(call->x);
    struct route_options *o = &call->op.opt;
    const struct route *r = &call->route;
    struct err err = {0};
    if (*r->name) {
        /* A watch of one object is a watch with a selector. */
        o->field_selector = arena_printf(a, "metadata.name=%s", r->name);
    }
    struct authz_request q = {.user = &call->user,
                              .verb = HANDLER_WATCH,
                              .kind = r->kind,
                              .subresource = "",
                              .ns = r->ns,
                              .name = r->name,
                              .field_selector = o->field_selector};
    if (authz_check(call->server, a, &q, &err) < 0) {
        struct status_about about = {
            .group = r->kind->group, .kind = r->kind->plural, .name = r->name};
        server_reply_status(call->x, status_forbidden(a, &about, err.text));
        return;
    }
    if (call->server->draining) {
        api_reply_error(call->x, -E_BUSY, "the server is shutting down");
        return;
    }
    struct watch_request w = {.kind = r->kind,
                              .ns = r->ns,
                              .opt = o,
                              .form = call->form == ACCEPT_TABLE  ? WATCH_TABLES
                                      : call->form == ACCEPT_JSON ? WATCH_OBJECTS
                                                                  : WATCH_PARTIAL,
                              .include = call->include};
    watch_http_start(call->server, call->x, &w);
}

static bool is_stream(const struct route *r)
{
    return r->sub && (r->sub->sub == KIND_SUB_LOG || r->sub->sub == KIND_SUB_EXEC ||
                      r->sub->sub == KIND_SUB_ATTACH || r->sub->sub == KIND_SUB_PORTFORWARD ||
                      r->sub->sub == KIND_SUB_PROXY);
}

/* The manager's name: fieldManager, else the client's program. */
static const char *manager_of(struct server_call *call)
{
    struct str agent = http_header_get(&http_exchange_request(call->x)->headers, "user-agent");
    if (call->op.opt.field_manager && *call->op.opt.field_manager) {
        return call->op.opt.field_manager;
    }
    (void)str_cut(agent, '/', &agent, NULL);
    agent.n = MIN_OF(agent.n, (size_t)APPLY_MANAGER_MAX);
    return agent.n > 0 ? arena_str(http_exchange_arena(call->x), agent) : NULL;
}

static bool read_options(struct server_call *call)
{
    const struct http_request *req = http_exchange_request(call->x);
    struct handler_op *op = &call->op;
    struct err err = {0};
    int code = route_options(http_exchange_arena(call->x), req->query, &op->opt, &err);
    if (code == 0 && table_include_parse(op->opt.include_object, &call->include) < 0) {
        code = err_set(&err, -E_INVAL, "includeObject must be None, Metadata or Object");
    }
    if (code < 0) {
        api_reply_error(call->x, code, err.text);
        return false;
    }
    op->manager = manager_of(call);
    op->del.propagation = op->opt.propagation;
    if (!op->del.propagation && op->opt.has_orphan) {
        op->del.propagation = op->opt.orphan ? "Orphan" : "Background";
    }
    op->del.has_grace = op->opt.has_grace;
    op->del.grace_seconds = op->opt.grace_seconds;
    return true;
}

static void handle_resource(struct server_call *call)
{
    const struct http_request *req = http_exchange_request(call->x);
    if (is_stream(&call->route)) {
        exec_proxy_start(call);
        return;
    }
    if (!choose_verb(call) || !read_options(call)) {
        return;
    }
    if (accept_choose(http_header_get(&req->headers, "accept"), &call->form) < 0) {
        api_reply_error(call->x, -E_NOTACCEPT,
                        "only the following media types are accepted: application/json");
        return;
    }
    if (watch_wanted(call)) {
        in_turn(call, start_watch);
        return;
    }
    if (call->op.verb == HANDLER_GET || call->op.verb == HANDLER_LIST) {
        in_turn(call, run);
        return;
    }
    if (call->op.verb == HANDLER_PATCH && !patch_type(call)) {
        return;
    }
    http_exchange_on_close(call->x, call_closed, call);
    http_exchange_collect_body(call->x, LIMIT_BODY, body_done, call);
}

/* The verb of a path that is no resource: the method in lower case. */
static const char *path_verb(struct arena *a, struct str method)
{
    char *verb = arena_str(a, method);
    for (char *c = verb; c && *c; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    return verb ? verb : "";
}

static void handle_path(struct server_call *call)
{
    struct http_exchange *x = call->x;
    struct arena *a = http_exchange_arena(x);
    const struct http_request *req = http_exchange_request(x);
    struct err err = {0};
    const char *verb = path_verb(a, req->method);
    if (authz_path(call->server, a, &call->user, verb, req->path, &err) < 0) {
        server_reply_status(x, status_code(a, -E_ACCESS, err.text));
        return;
    }
    if (!server_misc_private(call)) {
        not_found_page(x);
    }
}

static void handle_known(struct server_call *call)
{
    struct http_exchange *x = call->x;
    if (call->route.type == ROUTE_RESOURCE) {
        handle_resource(call);
    } else if (call->route.type == ROUTE_NO_RESOURCE) {
        struct json *s = status_failure(http_exchange_arena(x), 404, "NotFound",
                                        "the server could not find the requested resource",
                                        /* about= */ NULL);
        json_set(s, "details", json_object(http_exchange_arena(x)));
        server_reply_status(x, s);
    } else {
        handle_path(call);
    }
}

void api_server_handle(struct api_server *s, struct http_exchange *x)
{
    struct arena *a = http_exchange_arena(x);
    struct str path = http_exchange_request(x)->path;
    struct err err = {0};
    if (server_misc_public(s, x)) {
        return;
    }
    struct server_call *call = arena_zalloc(a, sizeof(*call));
    if (!call) {
        http_reply_text(x, 503, "text/plain", STR_LIT("out of memory\n"));
        return;
    }
    call->server = s;
    call->x = x;
    const struct server_route *route = find_route(s, path);
    int code = authn_exchange(s, x, &call->user, &err);
    if (code < 0 && route && (route->flags & SERVER_ROUTE_ANONYMOUS)) {
        call->user = authn_anonymous;
    } else if (code < 0) {
        api_reply_error(x, code, err.text);
        return;
    }
    if (route && !(route->flags & SERVER_ROUTE_ANONYMOUS) && authn_is_anonymous(&call->user)) {
        api_reply_error(x, -E_UNAUTHORIZED, "Unauthorized: this path needs credentials");
        return;
    }
    struct json *refusal;
    if (impersonate(s, a, &http_exchange_request(x)->headers, &call->user, &refusal) < 0) {
        server_reply_status(x, refusal);
        return;
    }
    if (route) {
        route->fn(route->arg, x, &call->user);
        return;
    }
    code = route_parse(a, path, &call->route);
    if (code < 0) {
        api_reply_error(x, code, "the path is malformed");
        return;
    }
    handle_known(call);
}

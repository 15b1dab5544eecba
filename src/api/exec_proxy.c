/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of which pod and container, and the way of logs. Remote commands go on in
 * exec_proxy_ws.c.
 */
#include "api/exec_proxy.h"

#include "api/admission/admission.h"
#include "api/auth/authz.h"
#include "api/exec_proxy_private.h"
#include "api/object.h"
#include "api/stream/portforward.h"
#include "api/stream/proxy.h"

#define LOG_HIGH ((ssize_t)256 << 10)

static bool fail(struct server_call *call, int code, const char *text)
{
    api_reply_error(call->x, code, text ? text : "out of memory");
    return false;
}

/* ---- which pod ---- */

static const char *container_names(struct arena *a, const struct json *pod)
{
    const char *all = "";
    JSON_FOR_EACH (c, json_path(pod, "spec.containers")) {
        all = arena_printf(a, "%s%s%s", all ? all : "", all && *all ? " " : "",
                           json_path_cstr(c, "name", ""));
    }
    return all ? all : "";
}

static bool has_container(const struct json *pod, const char *name)
{
    static const char *const lists[] = {"spec.containers", "spec.initContainers",
                                        "spec.ephemeralContainers"};
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        JSON_FOR_EACH (c, json_path(pod, lists[i])) {
            if (cstr_eq(json_path_cstr(c, "name", ""), name)) {
                return true;
            }
        }
    }
    return false;
}

static bool choose_container(struct server_call *call, const struct json *pod,
                             struct node_stream_req *r)
{
    struct arena *a = http_exchange_arena(call->x);
    const struct json *containers = json_path(pod, "spec.containers");
    if (!*r->container && json_len(containers) == 1) {
        r->container = json_path_cstr(json_at(containers, 0), "name", "");
    }
    if (!*r->container) {
        r->container = obj_annotation(pod, "kubectl.kubernetes.io/default-container");
    }
    if (!*r->container) {
        return fail(
            call, -E_INVAL,
            arena_printf(a, "a container name must be specified for pod %s, choose one of: [%s]",
                         call->route.name, container_names(a, pod)));
    }
    if (!has_container(pod, r->container)) {
        return fail(call, -E_INVAL,
                    arena_printf(a, "container %.253s is not valid for pod %s", r->container,
                                 call->route.name));
    }
    return true;
}

static bool find_pod(struct server_call *call, struct node_stream_req *r)
{
    struct arena *a = http_exchange_arena(call->x);
    const struct route *t = &call->route;
    const char *key = api_key(a, t->kind, t->ns, t->name);
    struct store_item *it = key ? store_get(call->server->store, str_of(key)) : NULL;
    struct json *pod = it ? handler_item_tree(a, t->kind, it) : NULL;
    if (!pod) {
        struct status_about about = {.kind = t->kind->plural, .name = t->name};
        server_reply_status(call->x, status_not_found(a, &about));
        return false;
    }
    if (call->route.sub->sub == KIND_SUB_PORTFORWARD) {
        r->container = "";
    } else if (!choose_container(call, pod, r)) {
        return false;
    }
    r->node = json_path_cstr(pod, "spec.nodeName", "");
    r->ns = t->ns;
    r->pod = t->name;
    r->uid = obj_uid(pod);
    if (!*r->node) {
        return fail(call, -E_INVAL,
                    arena_printf(a, "pod %s does not have a host assigned", t->name));
    }
    return true;
}

static bool may(struct server_call *call, enum handler_verb verb)
{
    struct arena *a = http_exchange_arena(call->x);
    const struct route *t = &call->route;
    struct err err = {0};
    struct authz_request q = {.user = &call->user,
                              .verb = verb,
                              .kind = t->kind,
                              .subresource = t->subresource,
                              .ns = t->ns,
                              .name = t->name};
    if (authz_check(call->server, a, &q, &err) == 0) {
        return true;
    }
    struct status_about about = {.group = t->kind->group,
                                 .kind = arena_printf(a, "%s/%s", t->kind->plural, t->subresource),
                                 .name = t->name};
    server_reply_status(call->x, status_forbidden(a, &about, err.text));
    return false;
}

/* ---- logs ---- */

struct log_stream {
    struct exec_proxy base;
    struct http_exchange *x;
    bool started;
};

static void log_free(struct log_stream *g, bool close)
{
    list_del(&g->base.link);
    if (close && g->base.node) {
        g->base.node->ops->close(g->base.node);
    }
    mem_free(g);
}

static void log_client_gone(void *arg)
{
    log_free(arg, true);
}

static void log_drained(void *arg)
{
    struct log_stream *g = arg;
    g->base.node->ops->pause(g->base.node, false);
}

static bool log_start(struct log_stream *g)
{
    const struct http_header headers[] = {HTTP_HEADER("content-type", "text/plain"),
                                          HTTP_HEADER("cache-control", "no-cache, private")};
    if (!g->started && http_reply_start(g->x, 200, headers, ARRAY_SIZE(headers)) < 0) {
        http_exchange_abort(g->x);
        log_free(g, true);
        return false;
    }
    g->started = true;
    return true;
}

static void log_opened(void *arg)
{
    (void)log_start(arg); /* a failure has ended it */
}

static void log_message(void *arg, uint8_t channel, struct str data)
{
    struct log_stream *g = arg;
    if (channel != CHANNEL_STDOUT || !log_start(g)) {
        return;
    }
    ssize_t waits = http_reply_write(g->x, data);
    if (waits < 0) {
        http_exchange_abort(g->x);
        log_free(g, true);
    } else if (waits >= LOG_HIGH) {
        g->base.node->ops->pause(g->base.node, true);
    }
}

static void log_ended(void *arg, int code, const char *text)
{
    struct log_stream *g = arg;
    struct http_exchange *x = g->x;
    bool started = g->started;
    if (code == 0 && !started && !log_start(g)) {
        return;
    }
    log_free(g, false);
    if (code < 0 && !started) {
        api_reply_error(x, code, text ? text : err_text(code));
    } else {
        http_reply_end(x);
    }
}

static void log_end(struct exec_proxy *p)
{
    struct log_stream *g = CONTAINER_OF(p, struct log_stream, base);
    struct http_exchange *x = g->x;
    bool started = g->started;
    log_free(g, true);
    if (started) {
        http_reply_end(x);
    } else {
        api_reply_error(x, -E_BUSY, "the server is shutting down");
    }
}

static const struct node_stream_events log_events = {
    .opened = log_opened, .message = log_message, .ended = log_ended};

static void start_log(struct server_call *call, struct node_stream_req *r)
{
    const struct api_server_opts *o = &call->server->opts;
    struct log_stream *g = mem_zalloc(sizeof(*g));
    struct err err = {0};
    r->type = NODE_STREAM_LOG;
    if (!g) {
        fail(call, -E_NOMEM, NULL);
        return;
    }
    g->x = call->x;
    g->base.end = log_end;
    list_init(&g->base.link);
    g->base.node = o->open_stream(o->open_stream_arg, r, &log_events, g, &err);
    if (!g->base.node) {
        mem_free(g);
        fail(call, err.code ? err.code : -E_UNREACH, err.text);
        return;
    }
    list_push_back(&call->server->streams, &g->base.link);
    http_exchange_on_close(call->x, log_client_gone, g);
    http_exchange_on_drain(call->x, log_drained, g);
}

char *exec_proxy_legacy_error(struct str status)
{
    struct arena a;
    struct json *j = NULL;
    arena_init(&a, 0);
    int rc = json_parse(&a, status, NULL, &j, NULL);
    bool good = rc == 0 && cstr_eq(json_path_cstr(j, "status", ""), "Success");
    char *text = good ? NULL : mem_strdup(json_path_cstr(j, "message", "the command failed"));
    arena_fini(&a);
    return text;
}

/* ---- the entry ---- */

static bool method_verb(struct str method, enum handler_verb *ret)
{
    static const struct {
        const char *method;
        enum handler_verb verb;
    } verbs[] = {{"GET", HANDLER_GET},      {"HEAD", HANDLER_GET},   {"OPTIONS", HANDLER_GET},
                 {"POST", HANDLER_CREATE},  {"PUT", HANDLER_UPDATE}, {"PATCH", HANDLER_PATCH},
                 {"DELETE", HANDLER_DELETE}};
    for (size_t i = 0; i < ARRAY_SIZE(verbs); i++) {
        if (str_is(method, verbs[i].method)) {
            *ret = verbs[i].verb;
            return true;
        }
    }
    return false;
}

/* exec, attach and port-forward, once they may be. */
static void start_stream(struct server_call *call, struct node_stream_req *r)
{
    enum kind_sub sub = call->route.sub->sub;
    if (!find_pod(call, r)) {
        return;
    }
    if (!call->server->opts.open_stream || call->server->draining) {
        fail(call, call->server->draining ? -E_BUSY : -E_NOTSUP,
             "this server has no way to its nodes");
        return;
    }
    if (sub == KIND_SUB_LOG) {
        start_log(call, r);
        return;
    }
    if (sub == KIND_SUB_PORTFORWARD) {
        portforward_start(call, r);
        return;
    }
    r->type = sub == KIND_SUB_EXEC ? NODE_STREAM_EXEC : NODE_STREAM_ATTACH;
    if (sub == KIND_SUB_EXEC && !r->command[0]) {
        fail(call, -E_INVAL, "you must specify at least 1 command");
        return;
    }
    if (!r->in && !r->out && !r->err) {
        fail(call, -E_INVAL, "you must specify at least 1 of stdin, stdout, stderr");
        return;
    }
    exec_proxy_remote(call, r);
}

/* Admission has let it pass; options may have been changed by it. */
static void admitted(struct handler_op *op, struct json *options)
{
    struct server_call *call = op->arg;
    struct node_stream_req r = {
        .tail_lines = -1, .limit_bytes = -1, .since_seconds = -1, .container = ""};
    http_exchange_on_close(call->x, NULL, NULL);
    if (call->route.sub->sub == KIND_SUB_PROXY) {
        proxy_start(call);
    } else if (exec_proxy_read_options(call, options, &r)) {
        start_stream(call, &r);
    }
}

static void client_gone(void *arg)
{
    handler_cancel(arg);
}

static void refused(struct handler_op *op)
{
    server_reply(op->arg);
}

/* Asks admission: it is a connection (operation CONNECT), not a read. */
static void ask(struct server_call *call, const struct node_stream_req *r)
{
    struct handler_op *op = &call->op;
    *op = (struct handler_op){.server = call->server,
                              .arena = http_exchange_arena(call->x),
                              .user = &call->user,
                              .verb = HANDLER_CREATE,
                              .kind = call->route.kind,
                              .sub = call->route.sub,
                              .ns = call->route.ns,
                              .name = call->route.name,
                              .done = refused,
                              .arg = call};
    http_exchange_on_close(call->x, client_gone, op);
    admission_connect(op, exec_proxy_options(call, r), admitted);
}

void exec_proxy_start(struct server_call *call)
{
    struct node_stream_req r = {0};
    enum handler_verb verb;
    enum kind_sub sub = call->route.sub->sub;
    struct str method = http_exchange_request(call->x)->method;
    bool stream = str_is(method, "GET") || (str_is(method, "POST") && sub != KIND_SUB_LOG);
    if (!method_verb(method, &verb) || (sub != KIND_SUB_PROXY && !stream)) {
        fail(call, -E_METHOD, "the server does not allow this method on the requested resource");
        return;
    }
    if (!may(call, verb) || (sub != KIND_SUB_PROXY && !exec_proxy_read_query(call, &r))) {
        return;
    }
    if (sub == KIND_SUB_LOG) {
        start_stream(call, &r);
    } else {
        ask(call, &r);
    }
}

void exec_proxy_end_all(struct api_server *s)
{
    LIST_FOR_EACH_SAFE (l, &s->streams) {
        struct exec_proxy *p = CONTAINER_OF(l, struct exec_proxy, link);
        p->end(p);
    }
}

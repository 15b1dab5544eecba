/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client over HTTP: Kubernetes' REST conventions, JSON bodies, watches as newline-delimited
 * events.
 *
 * Works against our own server and a stock Kubernetes alike.
 */
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/list.h"
#include "base/limits.h"
#include "client_private.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "object.h"

#define ANSWER_MAX ((size_t)64 << 20)
#define LINE_MAX_BYTES ((size_t)LIMIT_OBJECT * 2) /* a watch event: an object and its wrapping */
#define WATCH_TIMEOUT "3600"
#define WATCH_IDLE_MS 150000 /* bookmarks come every minute: a watch this quiet is dead */

struct client_http {
    struct api_client base;
    struct http_client *http;
    struct io_loop *loop;
};

/* ---- addresses ---- */

static void put_segment(struct buf *b, const char *segment)
{
    (void)buf_putc(b, '/'); /* failure is sticky and asked once by the caller */
    (void)percent_encode(b, str_of(segment));
}

static void put_path(struct buf *b, const struct kind *kind, const char *ns, const char *name,
                     const char *subresource)
{
    (void)buf_puts(b, kind->group[0] ? "/apis" : "/api");
    if (kind->group[0]) {
        put_segment(b, kind->group);
    }
    put_segment(b, kind->version);
    if (kind->namespaced && ns && ns[0]) {
        (void)buf_puts(b, "/namespaces");
        put_segment(b, ns);
    }
    put_segment(b, kind->plural);
    if (name && name[0]) {
        put_segment(b, name);
    }
    if (subresource && subresource[0]) {
        put_segment(b, subresource);
    }
}

/* sep is '?' for the first parameter and '&' afterwards. */
static void put_query(struct buf *b, char *sep, const char *key, const char *value)
{
    if (value && value[0]) {
        (void)buf_printf(b, "%c%s=", *sep, key);
        (void)percent_encode(b, str_of(value));
        *sep = '&';
    }
}

/* ---- calls ---- */

struct http_api_call {
    struct client_http *client;
    struct api_call *call;
    struct http_fetch *fetch;
    struct io_task fail; /* when it could not even be started */
    char what[320];      /* "get pods default/web", for error texts */
};

static void end_call(struct http_api_call *hc, int code, struct json *result)
{
    struct api_call *call = hc->call;
    mem_free(hc);
    api_call_finish(call, code, result);
}

static void call_answered(void *arg, int code, const struct http_response *resp, struct str body,
                          const struct err *err)
{
    struct http_api_call *hc = arg;
    struct api_call *call = hc->call;
    struct json *result = NULL;
    if (code < 0) {
        (void)err_set(&call->err, code, "%s: %s", hc->what, err ? err->text : err_text(code));
        end_call(hc, code, NULL);
        return;
    }
    bool success = resp->status >= 200 && resp->status < 300;
    int r = json_parse(&call->arena, body, NULL, &result, &call->err);
    if (r < 0 && success) {
        end_call(hc, err_wrap(&call->err, r, "%s: answer", hc->what), NULL);
        return;
    }
    if (!success) {
        code = api_code_of(resp->status, result);
        (void)err_set(&call->err, code, "%s: %s", hc->what,
                      json_cstr(json_get(result, "message"), err_text(code)));
    }
    end_call(hc, code, result);
}

static void fail_later(void *arg)
{
    struct http_api_call *hc = arg;
    (void)err_set(&hc->call->err, -E_NOMEM, "%s: out of memory", hc->what);
    end_call(hc, -E_NOMEM, NULL);
}

static const char *method_of(enum api_verb verb)
{
    static const char *const methods[] = {
        [API_GET] = "GET",    [API_LIST] = "GET",    [API_CREATE] = "POST",
        [API_UPDATE] = "PUT", [API_PATCH] = "PATCH", [API_DELETE] = "DELETE",
    };
    return methods[verb];
}

static const char *content_type_of(const struct api_request *req)
{
    static const char *const patches[] = {
        [API_PATCH_MERGE] = "application/merge-patch+json",
        [API_PATCH_STRATEGIC] = "application/strategic-merge-patch+json",
        [API_PATCH_JSON] = "application/json-patch+json",
    };
    return req->verb == API_PATCH ? patches[req->patch] : "application/json";
}

static void put_target(struct buf *b, const struct api_request *req)
{
    char sep = '?', limit[24] = "";
    put_path(b, req->kind, req->ns, req->verb == API_CREATE && !req->subresource ? NULL : req->name,
             req->subresource);
    put_query(b, &sep, "labelSelector", req->label_selector);
    put_query(b, &sep, "fieldSelector", req->field_selector);
    put_query(b, &sep, "resourceVersion", req->resource_version);
    put_query(b, &sep, "fieldManager", req->field_manager);
    if (req->limit > 0) {
        (void)snprintf(limit, sizeof(limit), "%lld", (long long)req->limit);
    }
    put_query(b, &sep, "limit", limit);
    put_query(b, &sep, "continue", req->continue_token);
    (void)buf_putc(b, '\0');
}

static void put_delete_options(struct buf *b, const struct api_request *req, struct arena *a)
{
    struct json *o = json_object(a);
    json_set_str(o, "kind", "DeleteOptions");
    json_set_str(o, "apiVersion", "v1");
    json_set_str(o, "propagationPolicy", req->propagation);
    if (req->has_grace) {
        json_set_int(o, "gracePeriodSeconds", req->grace_seconds);
    }
    if (req->precondition_uid) {
        json_set_str(json_ensure_object(o, "preconditions"), "uid", req->precondition_uid);
    }
    (void)json_print(b, o);
}

static struct http_fetch *start_fetch(struct http_api_call *hc, const struct api_request *req)
{
    CLEANUP(buf_finip) struct buf target = BUF_INIT;
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    put_target(&target, req);
    if (req->verb == API_DELETE) {
        put_delete_options(&body, req, &hc->call->arena);
    } else if (req->body) {
        (void)json_print(&body, req->body);
    }
    struct http_header headers[] = {
        HTTP_HEADER("accept", "application/json"),
        HTTP_HEADER("content-type", content_type_of(req)),
    };
    struct http_call_request hr = {
        .method = method_of(req->verb),
        .path = buf_data(&target),
        .headers = headers,
        .n_headers = buf_len(&body) ? 2 : 1,
        .body = buf_str(&body),
    };
    if (buf_failed(&target) || buf_failed(&body) || arena_failed(&hc->call->arena)) {
        return NULL;
    }
    return http_fetch(hc->client->http, &hr, ANSWER_MAX, call_answered, hc);
}

static void http_call_begin(struct api_client *c, struct api_call *call,
                            const struct api_request *req)
{
    struct client_http *client = CONTAINER_OF(c, struct client_http, base);
    struct http_api_call *hc = mem_zalloc(sizeof(*hc));
    /* Without these few bytes nothing can be reported either; the process is lost. */
    assert(hc);
    hc->client = client;
    hc->call = call;
    call->impl = hc;
    api_describe(req, hc->what, sizeof(hc->what));
    io_task_init(&hc->fail, fail_later, hc);
    hc->fetch = start_fetch(hc, req);
    if (!hc->fetch) {
        loop_defer(client->loop, &hc->fail);
    }
}

static void http_call_forget(struct api_client *c, struct api_call *call)
{
    struct http_api_call *hc = call->impl;
    io_task_cancel(&hc->fail);
    http_fetch_cancel(hc->fetch);
    mem_free(hc);
}

/* ---- watches ---- */

struct http_watch {
    struct api_watch base;
    struct http_call *call;
    const struct api_watch_ops *ops;
    void *arg;
    struct buf line; /* an event that is not complete yet */
    int status;      /* of the answer */
    bool in_event;   /* a callback runs: stop only marks */
    bool stopped;
};

static void free_watch(struct http_watch *w)
{
    buf_fini(&w->line);
    mem_free(w);
}

static void end_watch(struct http_watch *w, int code, const char *text)
{
    const struct api_watch_ops *ops = w->ops;
    void *arg = w->arg;
    struct http_call *call = w->call;
    w->call = NULL;
    http_call_cancel(call);
    w->in_event = true;
    ops->end(arg, code, text);
    free_watch(w);
}

static int64_t error_event(const struct json *status, const char **ret_text)
{
    int code = api_code_of((int)json_path_i64(status, "code", 500), status);
    *ret_text = json_cstr(json_get(status, "message"), err_text(code));
    return code;
}

/* Hands one event to the user. 0, or the code with which the watch is over. */
static int deliver(struct http_watch *w, struct arena *a, struct str line, const char **ret_text)
{
    static const char *const types[] = {
        [API_ADDED] = "ADDED",
        [API_MODIFIED] = "MODIFIED",
        [API_DELETED] = "DELETED",
        [API_BOOKMARK] = "BOOKMARK",
    };
    struct json *event = NULL;
    *ret_text = "a watch event is no JSON";
    if (json_parse(a, line, NULL, &event, NULL) < 0) {
        return -E_PROTO;
    }
    const char *type = json_cstr(json_get(event, "type"), "");
    const struct json *object = json_get(event, "object");
    if (strcmp(type, "ERROR") == 0) {
        return (int)error_event(object, ret_text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        if (strcmp(type, types[i]) != 0) {
            continue;
        }
        struct api_item *item = i == API_BOOKMARK ? NULL : api_item_new(object);
        if (i != API_BOOKMARK && !item) {
            *ret_text = "out of memory";
            return -E_NOMEM;
        }
        w->in_event = true;
        w->ops->event(w->arg, (enum api_event)i, item, obj_rev(object));
        w->in_event = false;
        api_item_unref(item);
        return 0;
    }
    *ret_text = "an unknown type of watch event";
    return -E_PROTO;
}

/* Cuts whole lines off the buffer. Returns false when the watch is gone. */
static bool feed(struct http_watch *w, struct str data)
{
    if (buf_append_str(&w->line, data) < 0) {
        end_watch(w, -E_TOOBIG, "a watch event is too large");
        return false;
    }
    const char *end;
    while ((end = memchr(buf_data(&w->line), '\n', buf_len(&w->line)))) {
        size_t n = (size_t)(end - buf_data(&w->line));
        const char *text;
        struct arena a;
        arena_init(&a, /* cap= */ 0);
        int r = n ? deliver(w, &a, str_n(buf_data(&w->line), n), &text) : 0;
        bool stopped = w->stopped;
        if (stopped) {
            free_watch(w);
        } else if (r < 0) {
            end_watch(w, r, text);
            stopped = true;
        } else {
            buf_consume(&w->line, n + 1);
        }
        arena_fini(&a);
        if (stopped) {
            return false;
        }
    }
    return true;
}

static void watch_headers(struct http_call *c, void *arg, const struct http_response *r)
{
    struct http_watch *w = arg;
    w->status = r->status;
}

static void watch_data(struct http_call *c, void *arg, struct str data)
{
    struct http_watch *w = arg;
    if (w->status == 200) {
        (void)feed(w, data); /* false: w is gone, and there is nothing more to do */
    } else {
        (void)buf_append_str(&w->line, data); /* a Status; too long a one is cut */
    }
}

static void watch_over(struct http_call *c, void *arg)
{
    struct http_watch *w = arg;
    struct arena a;
    struct json *status = NULL;
    w->call = NULL;
    if (w->status == 200) {
        end_watch(w, 0, "");
        return;
    }
    arena_init(&a, /* cap= */ 0);
    (void)json_parse(&a, buf_str(&w->line), NULL, &status, NULL); /* else the code's own text */
    int code = api_code_of(w->status, status);
    end_watch(w, code, json_cstr(json_get(status, "message"), err_text(code)));
    arena_fini(&a);
}

static void watch_failed(struct http_call *c, void *arg, const struct err *err)
{
    struct http_watch *w = arg;
    w->call = NULL;
    end_watch(w, err->code, err->text);
}

static struct api_watch *http_watch_begin(struct api_client *c, const struct kind *kind,
                                          const char *ns, const char *label_selector,
                                          const char *field_selector, int64_t from_rev,
                                          const struct api_watch_ops *ops, void *arg)
{
    static const struct http_call_ops call_ops = {
        .on_headers = watch_headers,
        .on_data = watch_data,
        .on_end = watch_over,
        .on_error = watch_failed,
    };
    struct client_http *client = CONTAINER_OF(c, struct client_http, base);
    CLEANUP(buf_finip) struct buf target = BUF_INIT;
    char sep = '?', rev[24];
    (void)snprintf(rev, sizeof(rev), "%lld", (long long)from_rev);
    put_path(&target, kind, ns, NULL, NULL);
    put_query(&target, &sep, "watch", "true");
    put_query(&target, &sep, "allowWatchBookmarks", "true");
    put_query(&target, &sep, "timeoutSeconds", WATCH_TIMEOUT);
    put_query(&target, &sep, "resourceVersion", from_rev > 0 ? rev : NULL);
    put_query(&target, &sep, "labelSelector", label_selector);
    put_query(&target, &sep, "fieldSelector", field_selector);
    (void)buf_putc(&target, '\0');
    struct http_watch *w = mem_zalloc(sizeof(*w));
    if (!w || buf_failed(&target)) {
        mem_free(w);
        return NULL;
    }
    struct http_header accept = HTTP_HEADER("accept", "application/json");
    struct http_call_request req = {
        .method = "GET",
        .path = buf_data(&target),
        .headers = &accept,
        .n_headers = 1,
        .idle_ms = WATCH_IDLE_MS,
    };
    buf_init(&w->line, LINE_MAX_BYTES);
    w->ops = ops;
    w->arg = arg;
    w->call = http_call_start(client->http, &req, &call_ops, w);
    if (!w->call) {
        free_watch(w);
        return NULL;
    }
    return &w->base;
}

static void http_watch_stop(struct api_watch *base)
{
    struct http_watch *w = CONTAINER_OF(base, struct http_watch, base);
    http_call_cancel(w->call);
    w->call = NULL;
    if (w->in_event) {
        w->stopped = true; /* feed() frees it when the callback returns */
    } else {
        free_watch(w);
    }
}

/* ---- the client ---- */

static void http_free(struct api_client *c)
{
    mem_free(CONTAINER_OF(c, struct client_http, base));
}

struct api_client *api_client_http(struct http_client *http, struct io_loop *loop)
{
    static const struct api_client_ops ops = {
        .name = "http",
        .call_start = http_call_begin,
        .call_cancel = http_call_forget,
        .watch_start = http_watch_begin,
        .watch_stop = http_watch_stop,
        .free = http_free,
    };
    struct client_http *client = mem_zalloc(sizeof(*client));
    if (!client) {
        return NULL;
    }
    client->base.ops = &ops;
    client->http = http;
    client->loop = loop;
    return &client->base;
}

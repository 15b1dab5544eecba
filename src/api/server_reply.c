/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers as HTTP replies. An object that is asked for as JSON is sent as its stored bytes, a list
 * as the concatenation of stored bytes; only tables, metadata and converted kinds are parsed and
 * printed.
 */
#include <zlib.h>

#include "api/crd/crd.h"
#include "api/object.h"
#include "api/server_http.h"
#include "api/server_private.h"

#define GZIP_MIN ((size_t)128 << 10)
#define HEADERS_MAX 24

struct reply {
    struct http_header headers[HEADERS_MAX];
    size_t n;
};

static void header(struct reply *r, struct http_header h)
{
    if (r->n < HEADERS_MAX) {
        r->headers[r->n++] = h;
    }
}

/* Quotes and backslashes are escaped, controls dropped (RFC 9111 warn-text). */
static struct str warning_value(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.n * 2 + 16);
    if (!out) {
        return STR_NULL;
    }
    size_t n = (size_t)(stpcpy(out, "299 - \"") - out);
    for (size_t i = 0; i < text.n; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if (c == '"' || c == '\\') {
            out[n++] = '\\';
        }
        if (c >= 0x20 && c != 0x7f) {
            out[n++] = (char)c;
        }
    }
    out[n++] = '"';
    return str_n(out, n);
}

/* Clients of Kubernetes try again only when they are told when. */
static bool is_retryable(int http)
{
    return http == 429 || http == 503 || http == 504;
}

static void start(struct reply *r, struct server_call *call)
{
    r->n = 0;
    header(r, HTTP_HEADER("content-type", "application/json"));
    header(r, HTTP_HEADER("cache-control", "no-cache, private"));
    const struct kind *k = call->op.kind;
    if (k && k->custom && k->crd->warning) {
        struct str value = warning_value(http_exchange_arena(call->x), str_of(k->crd->warning));
        if (value.p) {
            header(r, (struct http_header){STR_LIT("warning"), value});
        }
    }
    JSON_FOR_EACH (w, call->op.warnings) {
        struct str value = warning_value(http_exchange_arena(call->x), json_text(w));
        if (value.p) {
            header(r, (struct http_header){STR_LIT("warning"), value});
        }
    }
}

/* ---- gzip of large lists ---- */

static bool wants_gzip(struct http_exchange *x)
{
    return http_header_has_token(&http_exchange_request(x)->headers, "accept-encoding", "gzip");
}

/* 0 and `out` filled, or a negative code: send it plain. */
static int gzip(const struct buf *in, struct buf *out)
{
    z_stream z = {0};
    if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    uLong bound = deflateBound(&z, (uLong)buf_len(in));
    char *to = buf_reserve(out, bound);
    int code = -ENOMEM;
    if (to) {
        z.next_in = (Bytef *)(uintptr_t)buf_data(in);
        z.avail_in = (uInt)buf_len(in);
        z.next_out = (Bytef *)to;
        z.avail_out = (uInt)bound;
        code = deflate(&z, Z_FINISH) == Z_STREAM_END ? 0 : -EIO;
        if (code == 0) {
            buf_commit(out, z.total_out);
        }
    }
    (void)deflateEnd(&z); /* only frees */
    return code;
}

/* An eviction that a budget refuses is not to be repeated by the client library on its own:
 * Kubernetes names no time then, and kubectl drain waits for itself. */
static bool says_retry(const struct server_call *call, int http)
{
    const struct json *details = json_get(call->op.result, "details");
    return is_retryable(http) &&
           !(http == 429 && details && json_path_i64(details, "retryAfterSeconds", 0) <= 0);
}

static void send_buf(struct server_call *call, int http, struct buf *body)
{
    struct reply r;
    start(&r, call);
    if (says_retry(call, http)) {
        header(&r, HTTP_HEADER("retry-after", "1"));
    }
    struct http_exchange *x = call->x;
    handler_fini(&call->op);
    if (buf_failed(body)) {
        http_exchange_abort(x);
    } else if (buf_len(body) >= GZIP_MIN && buf_len(body) < UINT32_MAX && wants_gzip(x)) {
        CLEANUP(buf_finip) struct buf packed = BUF_INIT;
        if (gzip(body, &packed) == 0) {
            header(&r, HTTP_HEADER("content-encoding", "gzip"));
            http_reply_take(x, http, r.headers, r.n, &packed);
        } else {
            http_reply_take(x, http, r.headers, r.n, body);
        }
    } else {
        http_reply_take(x, http, r.headers, r.n, body);
    }
    buf_fini(body);
}

/* The answer when there was no room to build one: nearly always the request's arena is full. */
#define NO_TREE_HTTP 413
static const struct str no_tree =
    STR_LIT("{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{},\"status\":\"Failure\","
            "\"message\":\"the request needs more memory than one request may have\","
            "\"reason\":\"RequestEntityTooLarge\",\"code\":413}");

static void send_tree(struct server_call *call, int http, const struct json *tree)
{
    struct buf body = BUF_INIT;
    if (tree) {
        (void)json_print(&body, tree); /* a failure stays in the buffer */
    } else {
        http = NO_TREE_HTTP;
        (void)buf_append_str(&body, no_tree);
    }
    send_buf(call, http, &body);
}

/* ---- objects ---- */

static bool is_object(const struct json *tree)
{
    return !cstr_eq(obj_kind(tree), "Status");
}

/* A Scale has columns of its own, whatever it is the scale of (printers/internalversion). */
static const struct kind *table_kind(const struct server_call *call, const struct json *o)
{
    static const struct kind_column columns[] = {
        {.name = "Name",
         .type = "string",
         .format = "name",
         .doc = "Its name",
         .path = "metadata.name"},
        {.name = "Desired",
         .type = "integer",
         .format = "",
         .doc = "Wanted instances",
         .path = "spec.replicas"},
        {.name = "Available",
         .type = "integer",
         .format = "",
         .doc = "Instances that exist",
         .path = "status.replicas"},
        {.name = "Age",
         .type = "string",
         .format = "",
         .doc = "Time since it was created",
         .cell = KIND_CELL_AGE},
    };
    static const struct kind scale = {.columns = columns, .columns_n = ARRAY_SIZE(columns)};
    return cstr_eq(obj_kind(o), "Scale") ? &scale : call->op.kind;
}

static void send_object(struct server_call *call, struct json *o)
{
    struct arena *a = http_exchange_arena(call->x);
    struct json *tree = o;
    if (call->form == ACCEPT_TABLE && o && is_object(o)) {
        struct json *meta = json_object(a);
        json_set_str(meta, "resourceVersion", obj_rv(o));
        const struct kind *k = table_kind(call, o);
        tree = table_new(a, k, meta, true);
        table_add(a, tree, k, o, call->include, wall_now());
    } else if (call->form == ACCEPT_PARTIAL && o && is_object(o)) {
        tree = partial_metadata(a, o);
    }
    send_tree(call, call->op.http, arena_failed(a) ? NULL : tree);
}

static void send_item(struct server_call *call)
{
    struct handler_op *op = &call->op;
    if (call->form != ACCEPT_JSON || !kind_item_plain(op->kind, op->item)) {
        send_object(call, handler_tree(op));
        return;
    }
    struct reply r;
    start(&r, call);
    struct store_item *it = op->item;
    op->item = NULL;
    http_reply(call->x, op->http, r.headers, r.n, store_item_value(it));
    store_item_unref(it);
}

/* ---- lists ---- */

/* Lists of custom kinds say "" where there is no next page, as Kubernetes does. */
static struct json *list_metadata(struct arena *a, const struct handler_op *op)
{
    const struct handler_list *l = &op->list;
    struct json *meta = json_object(a);
    json_set(meta, "resourceVersion", json_printf(a, "%lld", (long long)l->rev));
    json_set_str(meta, "continue", l->cont ? l->cont : op->kind->custom ? "" : NULL);
    if (l->remaining >= 0) {
        json_set_int(meta, "remainingItemCount", l->remaining);
    }
    return meta;
}

static int print_head(struct buf *out, const char *kind, const char *api_version,
                      const struct json *meta)
{
    int code =
        buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":", kind, api_version);
    return code < 0 ? code : json_print(out, meta);
}

/* One row or item at a time, so that a large list never stands in memory as a tree. */
static void print_rows(struct server_call *call, struct buf *out)
{
    const struct handler_op *op = &call->op;
    struct wall now = wall_now();
    struct arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < op->list.n && !buf_failed(out); i++) {
        arena_clear(&a);
        struct json *o = handler_list_tree(&a, op, i);
        struct json *tree = o;
        if (call->form == ACCEPT_TABLE) {
            struct json *table = table_new(&a, op->kind, NULL, false);
            table_add(&a, table, op->kind, o, call->include, now);
            tree = json_at(json_get(table, "rows"), 0);
        } else if (call->form == ACCEPT_PARTIAL_LIST) {
            tree = partial_metadata(&a, o);
        }
        if (i > 0) {
            (void)buf_putc(out, ','); /* failures stay in the buffer */
        }
        if (!tree || arena_failed(&a) || json_print(out, tree) < 0) {
            out->failed = true;
        }
    }
    arena_fini(&a);
}

static void print_items(const struct handler_op *op, struct buf *out)
{
    size_t total = 0;
    for (size_t i = 0; i < op->list.n; i++) {
        total += store_item_value(op->list.items[i]).n + 1;
    }
    (void)buf_reserve(out, total + 2); /* a failure stays in the buffer */
    for (size_t i = 0; i < op->list.n; i++) {
        if (i > 0) {
            (void)buf_putc(out, ',');
        }
        (void)buf_append_str(out, store_item_value(op->list.items[i]));
    }
}

static bool all_plain(const struct handler_op *op)
{
    for (size_t i = 0; i < op->list.n; i++) {
        if (!kind_item_plain(op->kind, op->list.items[i])) {
            return false;
        }
    }
    return true;
}

static void send_list(struct server_call *call)
{
    const struct handler_op *op = &call->op;
    struct arena *a = http_exchange_arena(call->x);
    struct json *meta = list_metadata(a, op);
    struct buf out = BUF_INIT;
    if (call->form == ACCEPT_TABLE) {
        struct json *head = table_new(a, op->kind, NULL, true);
        (void)print_head(&out, "Table", "meta.k8s.io/v1", meta);
        (void)buf_puts(&out, ",\"columnDefinitions\":");
        (void)json_print(&out, json_get(head, "columnDefinitions"));
        (void)buf_puts(&out, ",\"rows\":[");
        print_rows(call, &out);
    } else {
        bool partial = call->form == ACCEPT_PARTIAL_LIST;
        (void)print_head(&out, partial ? "PartialObjectMetadataList" : op->kind->list_kind,
                         partial ? "meta.k8s.io/v1" : op->kind->api_version, meta);
        (void)buf_puts(&out, ",\"items\":[");
        if (partial || !all_plain(op)) {
            print_rows(call, &out);
        } else {
            print_items(op, &out);
        }
    }
    (void)buf_puts(&out, "]}\n");
    send_buf(call, 200, &out);
}

void server_reply(struct server_call *call)
{
    struct handler_op *op = &call->op;
    if (op->item) {
        send_item(call);
    } else if (op->verb == HANDLER_LIST && !op->result) {
        if (op->http == 200) {
            send_list(call);
        } else {
            send_tree(call, op->http, NULL);
        }
    } else if (op->http < 300) {
        send_object(call, op->result);
    } else {
        send_tree(call, op->http, op->result);
    }
}

/* ---- without an operation ---- */

void server_reply_status(struct http_exchange *x, const struct json *status)
{
    api_reply_json(x, status ? status_http(status) : NO_TREE_HTTP, status);
}

void api_reply_json(struct http_exchange *x, int http_status, const struct json *body)
{
    const struct http_header headers[] = {HTTP_HEADER("content-type", "application/json"),
                                          HTTP_HEADER("cache-control", "no-cache, private"),
                                          HTTP_HEADER("retry-after", "1")};
    size_t n = ARRAY_SIZE(headers) - (is_retryable(http_status) ? 0 : 1);
    struct buf text = BUF_INIT;
    if (!body || json_print(&text, body) < 0) {
        buf_fini(&text);
        http_reply(x, NO_TREE_HTTP, headers, n, no_tree);
        return;
    }
    http_reply_take(x, http_status, headers, n, &text);
    buf_fini(&text);
}

void api_reply_error(struct http_exchange *x, int code, const char *message)
{
    server_reply_status(x, status_code(http_exchange_arena(x), code, message));
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of every operation: authorization, dispatch, answers, and the way into the store. */
#include "api/handler.h"

#include "api/admission/webhook.h"
#include "api/handler_private.h"
#include "api/auth/authz.h"
#include "api/crd/crd.h"
#include "api/crd/crd_convert.h"
#include "api/server_private.h"
#include "base/limits.h"

#define RESTARTS_MAX 5

struct status_about handler_about(const struct handler_op *op)
{
    return (struct status_about){
        .group = op->kind->group, .kind = op->kind->plural, .name = op->name};
}

struct status_about handler_about_kind(const struct handler_op *op, const char *name)
{
    return (struct status_about){.group = op->kind->group, .kind = op->kind->kind, .name = name};
}

/* ---- answers ---- */

static void finish(struct handler_op *op)
{
    op->waiting = false;
    op->done(op);
}

static void on_refusal_durable(struct store_req *req, int code, const char *text)
{
    struct handler_op *op = req->arg;
    if (code < 0) {
        op->result = status_code(op->arena, code, text ? text : err_text(code));
        op->http = op->result ? status_http(op->result) : 503;
    }
    finish(op);
}

/* A write is refused by the newest state ("not found", "already exists"), which may still be lost:
 * the answer waits until that state is durable. */
static bool refusal_waits(struct handler_op *op)
{
    struct store *store = op->server->store;
    bool write = op->verb != HANDLER_GET && op->verb != HANDLER_LIST && op->verb != HANDLER_WATCH;
    if (!write || op->waiting || op->http >= 500 || store_next_rev(store) == store_rev(store) + 1) {
        return false;
    }
    op->req = (struct store_req){.done = on_refusal_durable, .arg = op};
    op->waiting = store_barrier(store, &op->req) == 0;
    return op->waiting;
}

void handler_fail(struct handler_op *op, struct json *status)
{
    op->result = status;
    op->http = status ? status_http(status) : 503;
    if (!refusal_waits(op)) {
        finish(op);
    }
}

void handler_fail_code(struct handler_op *op, int code, const char *message)
{
    handler_fail(op, status_code(op->arena, code, message));
}

void handler_ok_tree(struct handler_op *op, int http, struct json *result)
{
    op->http = result ? http : 503;
    op->result = result;
    finish(op);
}

static void converted_answer(struct handler_op *op, struct json *obj)
{
    handler_ok_tree(op, op->http_ok, obj);
}

void handler_ok_item(struct handler_op *op, int http, struct store_item *item)
{
    if (crd_item_foreign(op->kind, item)) {
        op->http_ok = http;
        crd_handler_to_served(op, item, converted_answer);
        return;
    }
    op->http = http;
    op->item = store_item_ref(item);
    finish(op);
}

void handler_dry(struct handler_op *op, int http, struct json *obj)
{
    handler_ok_tree(op, http, kind_to_served(op->arena, op->kind, obj));
}

void handler_fini(struct handler_op *op)
{
    store_item_unref(op->item);
    op->item = NULL;
    store_item_unref(op->converted_item);
    op->converted_item = NULL;
    store_list_fini(&op->list.list);
}

void handler_cancel(struct handler_op *op)
{
    webhooks_cancel(op);
    crd_handler_cancel(op);
    if (op->cancelled) {
        op->cancelled(op);
    }
    if (op->waiting) {
        store_req_cancel(&op->req);
        op->waiting = false;
    }
    if (op->verb == HANDLER_DELETE_COLLECTION) {
        handler_collection_cancel(op);
    }
    handler_fini(op);
}

struct json *handler_item_tree(struct arena *a, const struct kind *k, const struct store_item *it)
{
    struct json *obj = NULL;
    if (json_parse(a, store_item_value(it), NULL, &obj, NULL) < 0) {
        return NULL;
    }
    return kind_to_served(a, k, obj);
}

struct json *handler_list_tree(struct arena *a, const struct handler_op *op, size_t i)
{
    struct json *tree = op->list.trees ? op->list.trees[i] : NULL;
    return tree ? tree : handler_item_tree(a, op->kind, op->list.items[i]);
}

static struct json *list_tree(struct handler_op *op)
{
    struct arena *a = op->arena;
    struct json *list = json_object(a);
    json_set_str(list, "kind", op->kind->list_kind);
    json_set_str(list, "apiVersion", op->kind->api_version);
    struct json *meta = json_set(list, "metadata", json_object(a));
    json_set(meta, "resourceVersion", json_printf(a, "%lld", (long long)op->list.rev));
    json_set_str(meta, "continue", op->list.cont);
    if (op->list.remaining >= 0) {
        json_set_int(meta, "remainingItemCount", op->list.remaining);
    }
    struct json *items = json_set(list, "items", json_array(a));
    for (size_t i = 0; i < op->list.n; i++) {
        json_push(items, handler_list_tree(a, op, i));
    }
    return arena_failed(a) ? NULL : list;
}

struct json *handler_tree(struct handler_op *op)
{
    if (op->result) {
        return op->result;
    }
    if (op->item) {
        return handler_item_tree(op->arena, op->kind, op->item);
    }
    return op->verb == HANDLER_LIST && op->http == 200 ? list_tree(op) : NULL;
}

/* ---- checks before a write ---- */

bool handler_guard(struct handler_op *op, enum server_write verb, const struct json *old)
{
    const struct api_server_opts *o = &op->server->opts;
    struct err err = {0};
    if (!o->write_guard) {
        return true;
    }
    int code = o->write_guard(o->write_guard_arg, op->user, verb, op->kind, op->ns, op->name,
                              op->sub ? op->sub->name : "", old, &err);
    if (code == 0) {
        return true;
    }
    struct status_about about = handler_about(op);
    handler_fail(op, code == -E_ACCESS ? status_forbidden(op->arena, &about, err.text)
                                       : status_failure(op->arena, err_http_status(code),
                                                        err_reason(code), err.text, &about));
    return false;
}

bool handler_namespace_open(struct handler_op *op)
{
    struct arena *a = op->arena;
    if (!op->kind->namespaced) {
        return true;
    }
    const struct kind *k = kind_find("", "v1", "namespaces");
    const char *key = api_key(a, k, "", op->ns);
    struct store_item *it = key ? store_get_latest(op->server->store, str_of(key)) : NULL;
    if (!it) {
        struct status_about about = {.kind = "namespaces", .name = op->ns};
        handler_fail(op, status_not_found(a, &about));
        return false;
    }
    /* Most namespaces live: the text is looked at before it is parsed. */
    struct str text = store_item_value(it);
    if (!memmem(text.p, text.n, "deletionTimestamp", 17)) {
        return true;
    }
    struct json *ns = handler_item_tree(a, k, it);
    if (!obj_deleting(ns)) {
        return true;
    }
    struct status_about about = handler_about(op);
    struct json *s = status_forbidden(
        a, &about,
        arena_printf(a,
                     "unable to create new content in namespace %s because it is being terminated",
                     op->ns));
    status_cause(s, "NamespaceTerminating",
                 arena_printf(a, "namespace %s is being terminated", op->ns), "metadata.namespace");
    handler_fail(op, s);
    return false;
}

static void load_again(struct handler_op *op, struct json *obj)
{
    (void)obj; /* op->converted */
    handler_again(op);
}

/* What was stored in another version, or under another definition, as this one has it now. False
 * when a webhook must be asked first: the operation then begins anew. */
static bool load_custom(struct handler_op *op, struct store_item *it)
{
    struct json *stored = json_clone(op->arena, op->old);
    const char *version = obj_api_version(stored);
    op->stale = !cstr_eq(version, op->kind->storage->api_version);
    if (op->verb != HANDLER_DELETE && crd_object_foreign(op->kind, op->old, op->kind)) {
        if (op->converted_item != it) {
            crd_handler_to_served(op, it, load_again);
            return false;
        }
        op->old = json_clone(op->arena, op->converted);
        return true;
    }
    op->old = kind_to_served(op->arena, op->kind, op->old);
    json_set_str(stored, "apiVersion", obj_api_version(op->old));
    op->stale |= !json_equal(stored, op->old);
    return true;
}

bool handler_load(struct handler_op *op)
{
    const char *key = api_key(op->arena, op->kind, op->ns, op->name);
    struct store_item *it = key ? store_get_latest(op->server->store, str_of(key)) : NULL;
    if (!it) {
        struct status_about about = handler_about(op);
        handler_fail(op, status_not_found(op->arena, &about));
        return false;
    }
    if (json_parse(op->arena, store_item_value(it), NULL, &op->old, NULL) < 0) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return false;
    }
    op->old_rev = it->rev;
    op->latest = it;
    return !op->kind->custom || kind_item_plain(op->kind, it) || load_custom(op, it);
}

/* ---- writes ---- */

static void fail_write(struct handler_op *op, int code, const char *text)
{
    struct status_about about = handler_about(op);
    struct arena *a = op->arena;
    if (code == -E_EXISTS) {
        handler_fail(op, status_exists(a, &about));
    } else if (code == -E_NOENT) {
        handler_fail(op, status_not_found(a, &about));
    } else if (code == -E_CONFLICT) {
        handler_fail(op, status_outdated(a, &about));
    } else if (code == -E_TOOBIG) {
        handler_fail(
            op, status_failure(a, 413, "RequestEntityTooLarge",
                               arena_printf(a, "the object is larger than %d bytes", LIMIT_OBJECT),
                               &about));
    } else {
        handler_fail(op, status_failure(a, err_http_status(code), err_reason(code),
                                        text ? text : err_text(code), &about));
    }
}

static void on_stored(struct store_req *req, int code, const char *text)
{
    struct handler_op *op = req->arg;
    op->waiting = false;
    if (code < 0) {
        admission_lost(op->server, op->kind, op->ns, op->name);
        fail_write(op, code, text);
    } else if (op->committed) {
        op->committed(op);
    } else if (op->item) {
        struct store_item *held = op->item; /* by handler_unchanged() */
        op->item = NULL;
        handler_ok_item(op, op->http_ok, held);
        store_item_unref(held);
    } else {
        handler_ok_item(op, op->http_ok, req->item);
    }
}

static bool print_object(struct handler_op *op, struct json *obj, struct buf *out)
{
    if (op->kind->custom) {
        obj = crd_to_storage(op->arena, op->kind, obj);
    }
    json_set(obj_meta(obj), "resourceVersion",
             json_printf(op->arena, "%lld", (long long)store_next_rev(op->server->store)));
    buf_init(out, 0);
    if (arena_failed(op->arena) || json_print(out, obj) < 0) {
        buf_fini(out);
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return false;
    }
    return true;
}

static void submit(struct handler_op *op, const struct store_op *store_op, const struct json *obj,
                   void (*committed)(struct handler_op *op))
{
    op->committed = committed;
    op->req = (struct store_req){.done = on_stored, .arg = op};
    op->waiting = true;
    server_index_hint(obj);
    int code = store_txn(op->server->store, &op->req, store_op, 1);
    server_index_hint(NULL);
    if (code == -E_CONFLICT && op->verb == HANDLER_PATCH && op->restarts++ < RESTARTS_MAX) {
        op->waiting = false;
        handler_again(op); /* it changed while a conversion webhook was waited for */
    } else if (code < 0) {
        op->waiting = false;
        fail_write(op, code, NULL);
    } else {
        admission_wrote(op->server, op->kind, op->ns, op->name,
                        store_op->type == STORE_PUT ? obj : NULL, op->req.rev);
    }
}

static void submit_object(struct handler_op *op, struct json *obj)
{
    struct buf text;
    const char *key = api_key(op->arena, op->kind, op->ns, op->name);
    if (!print_object(op, obj, &text)) {
        return;
    }
    bool put = op->pending.type == STORE_PUT;
    struct store_op store_op = {.type = op->pending.type,
                                .flags = put && op->kind->ephemeral ? STORE_F_EPHEMERAL : 0,
                                .key = str_of(key),
                                .value = buf_str(&text),
                                .expected_rev = op->pending.expected};
    submit(op, &store_op, obj, op->pending.committed);
    buf_fini(&text);
}

static void write_object(struct handler_op *op, struct json *obj)
{
    if (op->kind->retired) {
        fail_write(op, -E_NOENT, NULL);
    } else if (op->kind->custom && crd_object_foreign(op->kind, obj, op->kind->storage)) {
        crd_handler_to_storage(op, obj, submit_object);
    } else {
        submit_object(op, obj);
    }
}

void handler_put(struct handler_op *op, struct json *obj, int64_t expected, int http,
                 void (*committed)(struct handler_op *op))
{
    op->http_ok = http;
    op->pending.type = STORE_PUT;
    op->pending.expected = expected;
    op->pending.committed = committed;
    write_object(op, obj);
}

void handler_remove(struct handler_op *op, struct json *last, int64_t expected,
                    void (*committed)(struct handler_op *op))
{
    op->http_ok = 200;
    op->pending.type = STORE_DELETE;
    op->pending.expected = expected;
    op->pending.committed = committed;
    write_object(op, last);
}

void handler_unchanged(struct handler_op *op, struct store_item *item)
{
    const char *key = api_key(op->arena, op->kind, op->ns, op->name);
    op->http_ok = 200;
    op->committed = NULL;
    if (key && store_get(op->server->store, str_of(key)) == item) {
        handler_ok_item(op, 200, item);
        return;
    }
    op->item = store_item_ref(item);
    op->req = (struct store_req){.done = on_stored, .arg = op};
    op->waiting = true;
    int code = store_barrier(op->server->store, &op->req);
    if (code < 0) {
        op->waiting = false;
        fail_write(op, code, NULL);
    }
}

/* ---- reads ---- */

static void get(struct handler_op *op)
{
    const char *key = api_key(op->arena, op->kind, op->ns, op->name);
    struct store_item *it = key ? store_get(op->server->store, str_of(key)) : NULL;
    if (!it) {
        struct status_about about = handler_about(op);
        handler_fail(op, status_not_found(op->arena, &about));
        return;
    }
    handler_ok_item(op, 200, it);
}

bool handler_allowed(struct handler_op *op)
{
    struct err err = {0};
    struct authz_request r = {.user = op->user,
                              .verb = op->verb,
                              .kind = op->kind,
                              .subresource = op->sub ? op->sub->name : "",
                              .ns = op->ns,
                              .name = op->name,
                              .field_selector = op->opt.field_selector,
                              .body = op->body};
    if (authz_check(op->server, op->arena, &r, &err) == 0) {
        return true;
    }
    struct status_about about = handler_about(op);
    if (r.subresource[0]) {
        about.kind = arena_printf(op->arena, "%s/%s", op->kind->plural, r.subresource);
    }
    struct json *s = status_forbidden(op->arena, &about, err.text);
    if (about.kind != op->kind->plural) {
        json_set_str(json_get(s, "details"), "kind", op->kind->plural);
    }
    handler_fail(op, s);
    return false;
}

void handler_again(struct handler_op *op)
{
    static void (*const verbs[HANDLER_VERB_NR])(struct handler_op *) = {
        [HANDLER_GET] = get,
        [HANDLER_LIST] = handler_list,
        [HANDLER_CREATE] = handler_create,
        [HANDLER_UPDATE] = handler_update,
        [HANDLER_PATCH] = handler_patch,
        [HANDLER_DELETE] = handler_delete,
        [HANDLER_DELETE_COLLECTION] = handler_delete_collection,
    };
    bool own = !op->sub || handler_writes_status(op);
    if (own || op->verb == HANDLER_LIST) {
        verbs[op->verb](op);
    } else {
        handler_sub(op);
    }
}

void handler_run(struct handler_op *op)
{
    if (!handler_allowed(op)) {
        return;
    }
    if (op->server->draining) {
        handler_fail_code(op, -E_BUSY, "the server is shutting down");
        return;
    }
    bool writes =
        op->verb == HANDLER_CREATE || op->verb == HANDLER_UPDATE || op->verb == HANDLER_PATCH;
    if (writes && !handler_check_options(op)) {
        return;
    }
    if (op->kind->stored) {
        handler_again(op);
    } else {
        handler_answer(op);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch of api/client.h to an implementation, and the shared encoded object. */
#include "client.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "client_private.h"
#include "object.h"

void api_call_start(struct api_client *c, struct api_call *call, const struct api_request *req)
{
    call->client = c;
    call->impl = NULL;
    call->err = (struct err){0};
    arena_init(&call->arena, /* cap= */ 0);
    c->ops->call_start(c, call, req);
}

void api_call_cancel(struct api_call *call)
{
    if (!call->client) {
        return;
    }
    call->client->ops->call_cancel(call->client, call);
    call->client = NULL;
    arena_fini(&call->arena);
}

void api_call_finish(struct api_call *call, int code, struct json *result)
{
    /* done may free the call, or start it anew; its arena is moved out, so that it outlives both.
     */
    struct arena arena = call->arena;
    struct api_item **items = call->items;
    size_t n = items ? call->n_items : 0;
    arena_init(&call->arena, /* cap= */ 0);
    call->client = NULL;
    call->impl = NULL;
    call->done(call, code, result);
    for (size_t i = 0; i < n; i++) {
        api_item_unref(items[i]);
    }
    arena_fini(&arena);
}

struct api_watch *api_watch_start(struct api_client *c, const struct kind *kind, const char *ns,
                                  const char *label_selector, const char *field_selector,
                                  int64_t from_rev, const struct api_watch_ops *ops, void *arg)
{
    struct api_watch *w =
        c->ops->watch_start(c, kind, ns, label_selector, field_selector, from_rev, ops, arg);
    if (w) {
        w->client = c;
    }
    return w;
}

void api_watch_stop(struct api_watch *w)
{
    if (w) {
        w->client->ops->watch_stop(w);
    }
}

void api_client_free(struct api_client *c)
{
    if (c) {
        c->ops->free(c);
    }
}

struct api_item *api_item_ref(struct api_item *item)
{
    item->refs++;
    return item;
}

void api_item_unref(struct api_item *item)
{
    if (item && --item->refs == 0) {
        if (item->backing_unref) {
            item->backing_unref(item->backing);
        }
        mem_free(item);
    }
}

struct json *api_item_parse(const struct api_item *item, struct arena *a)
{
    struct json *j = NULL;
    return json_parse(a, item->text, /* opts= */ NULL, &j, /* err= */ NULL) == 0 ? j : NULL;
}

struct api_item *api_item_new_text(struct str text, const struct json *object)
{
    const char *ns = obj_ns(object), *name = obj_name(object), *uid = obj_uid(object);
    size_t ns_n = strlen(ns) + 1, name_n = strlen(name) + 1, uid_n = strlen(uid) + 1;
    struct api_item *item = mem_alloc(sizeof(*item) + text.n + 1 + ns_n + name_n + uid_n);
    if (!item) {
        return NULL;
    }
    char *at = (char *)(item + 1);
    *item = (struct api_item){.text = {at, text.n}, .rev = obj_rev(object), .refs = 1};
    memcpy(at, text.p, text.n);
    at[text.n] = '\0';
    item->ns = memcpy(at + text.n + 1, ns, ns_n);
    item->name = memcpy(at + text.n + 1 + ns_n, name, name_n);
    item->uid = memcpy(at + text.n + 1 + ns_n + name_n, uid, uid_n);
    return item;
}

struct api_item *api_item_new(const struct json *object)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    return json_print(&b, object) == 0 ? api_item_new_text(buf_str(&b), object) : NULL;
}

int api_code_of(int status, const struct json *answer)
{
    static const struct {
        int status, code;
    } codes[] = {
        {400, -E_INVAL},  {401, -E_UNAUTHORIZED}, {403, -E_ACCESS},   {404, -E_NOENT},
        {405, -E_METHOD}, {406, -E_NOTACCEPT},    {409, -E_CONFLICT}, {410, -E_GONE},
        {413, -E_TOOBIG}, {415, -E_MEDIATYPE},    {422, -E_INVALID},  {429, -E_TOOMANY},
        {501, -E_NOTSUP}, {503, -E_BUSY},         {504, -E_TIMEOUT},  {507, -E_NOSPACE},
    };
    if (strcmp(json_cstr(json_get(answer, "reason"), ""), "AlreadyExists") == 0) {
        return -E_EXISTS;
    }
    for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
        if (codes[i].status == status) {
            return codes[i].code;
        }
    }
    return status >= 500 ? -E_INTERNAL : -E_PROTO;
}

void api_describe(const struct api_request *req, char *out, size_t size)
{
    static const char *const verbs[] = {
        [API_GET] = "get",       [API_LIST] = "list",   [API_CREATE] = "create",
        [API_UPDATE] = "update", [API_PATCH] = "patch", [API_DELETE] = "delete",
    };
    (void)snprintf(out, size, "%s %s%s%s %s%s%s", verbs[req->verb], req->kind->plural,
                   req->subresource ? "/" : "", req->subresource ? req->subresource : "",
                   req->ns ? req->ns : "", req->ns && req->ns[0] && req->name ? "/" : "",
                   req->name ? req->name : "");
}

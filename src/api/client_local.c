/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client inside the server's process: a call is a handler_op, a watch is a feed. No bytes are
 * made that HTTP would need; items of a watch share the store's memory.
 */
#include "api/client_private.h"
#include "api/handler.h"
#include "api/server_private.h"
#include "api/watch.h"

struct local_client {
    struct api_client base;
    struct api_server *server;
    struct api_user user;
    struct api_call *starved; /* calls for which there was no memory at all, linked by their impl */
    struct io_task starved_task;
    char name[];
};

/* In the call's arena. */
struct local_call {
    struct api_call *call;
    struct handler_op op;
    struct io_task task; /* the answer is handed out on the next tick */
    bool as_items;
    char what[320];
};

static const char *const root_groups[] = {"system:masters", "system:authenticated", NULL};

static struct local_client *local_of(struct api_client *c)
{
    return CONTAINER_OF(c, struct local_client, base);
}

/* ---- calls ---- */

static struct api_item *share(const struct kind *k, struct store_item *it);

/* The list's items without parsing one; NULL when there are none to share or memory is short. */
static struct json *list_as_items(struct local_call *lc)
{
    struct handler_op *op = &lc->op;
    struct api_call *call = lc->call;
    if (!lc->as_items || op->http != 200 || op->result || op->list.trees) {
        return NULL;
    }
    struct json *list = json_object(&call->arena);
    struct json *meta = json_ensure_object(list, "metadata");
    json_set(meta, "resourceVersion", json_printf(&call->arena, "%lld", (long long)op->list.rev));
    json_set_str(meta, "continue", op->list.cont);
    call->items = arena_alloc(&call->arena, (op->list.n + 1) * sizeof(struct api_item *));
    for (call->n_items = 0; call->items && call->n_items < op->list.n; call->n_items++) {
        struct api_item *item = share(op->kind, op->list.items[call->n_items]);
        if (!item) {
            break;
        }
        call->items[call->n_items] = item;
    }
    if (!call->items || call->n_items < op->list.n) {
        while (call->items && call->n_items > 0) {
            api_item_unref(call->items[--call->n_items]);
        }
        call->items = NULL;
        return NULL;
    }
    return list;
}

static void deliver(void *arg)
{
    struct local_call *lc = arg;
    struct api_call *call = lc->call;
    struct json *result = list_as_items(lc);
    result = result ? result : handler_tree(&lc->op);
    int code = result ? 0 : -E_NOMEM;
    if (result && lc->op.http >= 300) {
        code = api_code_of(lc->op.http, result);
    }
    if (code < 0) {
        (void)err_set(&call->err, code, "%s: %s", lc->what,
                      json_path_cstr(result, "message", "out of memory"));
    }
    handler_fini(&lc->op);
    api_call_finish(call, code, result);
}

static void op_done(struct handler_op *op)
{
    struct local_call *lc = op->arg;
    /* Writes answer from the loop already; one way for all keeps the order simple. */
    loop_defer(lc->op.server->loop, &lc->task);
}

static enum handler_verb verb_of(enum api_verb v)
{
    static const enum handler_verb verbs[] = {
        [API_GET] = HANDLER_GET,       [API_LIST] = HANDLER_LIST,   [API_CREATE] = HANDLER_CREATE,
        [API_UPDATE] = HANDLER_UPDATE, [API_PATCH] = HANDLER_PATCH, [API_DELETE] = HANDLER_DELETE,
    };
    return verbs[v];
}

static void fill(struct handler_op *op, const struct api_request *r, struct arena *a)
{
    static const enum handler_patch patches[] = {[API_PATCH_MERGE] = HANDLER_PATCH_MERGE,
                                                 [API_PATCH_STRATEGIC] = HANDLER_PATCH_STRATEGIC,
                                                 [API_PATCH_JSON] = HANDLER_PATCH_JSON};
    op->verb = verb_of(r->verb);
    op->kind = r->kind;
    op->ns = r->ns ? arena_strdup(a, r->ns) : "";
    op->name = r->name ? arena_strdup(a, r->name) : "";
    op->body = r->body ? json_clone(a, r->body) : NULL;
    op->patch = patches[r->patch];
    op->opt.label_selector = arena_strdup(a, r->label_selector);
    op->opt.field_selector = arena_strdup(a, r->field_selector);
    op->opt.resource_version = arena_strdup(a, r->resource_version);
    op->opt.limit = r->limit;
    op->opt.cont = arena_strdup(a, r->continue_token);
    op->opt.validation = VALIDATION_IGNORE;
    op->del = (struct handler_delete_options){.uid = arena_strdup(a, r->precondition_uid),
                                              .propagation = arena_strdup(a, r->propagation),
                                              .has_grace = r->has_grace,
                                              .grace_seconds = r->grace_seconds};
}

static void deliver_starved(void *arg)
{
    struct local_client *local = arg;
    while (local->starved) {
        struct api_call *call = local->starved;
        local->starved = call->impl;
        (void)err_set(&call->err, -E_NOMEM, "out of memory");
        api_call_finish(call, -E_NOMEM, NULL);
    }
}

static bool forget_starved(struct local_client *local, struct api_call *call)
{
    struct api_call *before = NULL;
    for (struct api_call *c = local->starved; c; before = c, c = c->impl) {
        if (c == call) {
            if (before) {
                before->impl = c->impl;
            } else {
                local->starved = c->impl;
            }
            return true;
        }
    }
    return false;
}

/* A program's user without "system:". */
static const char *manager_name(const struct api_user *user)
{
    return str_starts(str_of(user->name), "system:") ? user->name + 7 : user->name;
}

static void call_begin(struct api_client *c, struct api_call *call, const struct api_request *r)
{
    struct local_client *local = local_of(c);
    struct arena *a = &call->arena;
    struct local_call *lc = arena_zalloc(a, sizeof(*lc));
    if (!lc) {
        call->impl = local->starved;
        local->starved = call;
        loop_defer(local->server->loop, &local->starved_task);
        return;
    }
    call->impl = lc;
    lc->call = call;
    lc->as_items = r->as_items && r->verb == API_LIST;
    io_task_init(&lc->task, deliver, lc);
    api_describe(r, lc->what, sizeof(lc->what));
    struct handler_op *op = &lc->op;
    op->server = local->server;
    op->arena = a;
    op->user = &local->user;
    op->manager = r->field_manager ? r->field_manager : manager_name(&local->user);
    op->done = op_done;
    op->arg = lc;
    fill(op, r, a);
    bool sub = r->subresource && *r->subresource;
    op->sub = sub ? kind_subresource(r->kind, r->subresource) : NULL;
    if (arena_failed(a) || (sub && !op->sub)) {
        op->http = arena_failed(a) ? 503 : 404;
        op->result = status_code(a, arena_failed(a) ? -E_NOMEM : -E_NOENT,
                                 "the server could not find the requested resource");
        op_done(op);
        return;
    }
    handler_run(op);
}

static void call_forget(struct api_client *c, struct api_call *call)
{
    if (forget_starved(local_of(c), call)) {
        return;
    }
    struct local_call *lc = call->impl;
    io_task_cancel(&lc->task);
    handler_cancel(&lc->op);
}

/* ---- watches ---- */

struct local_watch {
    struct api_watch base;
    struct watch_feed feed;
    const struct api_watch_ops *ops;
    void *arg;
    struct io_task task;
    int failed; /* the feed could not be opened */
    bool in_event, stopped;
    struct err err;
};

static void item_backing_unref(void *backing)
{
    store_item_unref(backing);
}

/* Shares the bytes of the store. Kinds that convert have no bytes in their served form. */
static struct api_item *share(const struct kind *k, struct store_item *it)
{
    struct arena a;
    struct api_item *item;
    if (!kind_item_plain(k, it)) {
        arena_init(&a, 0);
        item = api_item_new(handler_item_tree(&a, k, it));
        arena_fini(&a);
        return item;
    }
    item = mem_zalloc(sizeof(*item));
    if (!item) {
        return NULL;
    }
    struct str key = store_item_key(it), name = STR_NULL;
    (void)api_key_parse(key, NULL, &name);
    item->text = store_item_value(it);
    item->rev = it->rev;
    item->ns = server_item_ns(it);
    item->name = name.p ? name.p : "";
    item->uid = server_item_uid(it);
    item->refs = 1;
    item->backing = store_item_ref(it);
    item->backing_unref = item_backing_unref;
    return item;
}

static void watch_free(struct local_watch *w)
{
    io_task_cancel(&w->task);
    if (w->failed == 0) {
        watch_feed_close(&w->feed);
    }
    mem_free(w);
}

static void watch_end(struct local_watch *w, int code, const char *text)
{
    w->in_event = true;
    w->ops->end(w->arg, code, text);
    watch_free(w);
}

static bool hand_out(struct local_watch *w, const struct watch_change *c)
{
    static const enum api_event events[WATCH_TYPE_NR] = {[WATCH_ADDED] = API_ADDED,
                                                         [WATCH_MODIFIED] = API_MODIFIED,
                                                         [WATCH_DELETED] = API_DELETED,
                                                         [WATCH_BOOKMARK] = API_BOOKMARK};
    struct api_item *item = c->item ? share(w->feed.kind, c->item) : NULL;
    if (c->item && !item) {
        return false;
    }
    w->in_event = true;
    w->ops->event(w->arg, events[c->type], item, c->rev);
    w->in_event = false;
    api_item_unref(item);
    return true;
}

static void watch_pump(void *arg)
{
    struct local_watch *w = arg;
    struct watch_change c;
    int code = w->failed;
    if (code < 0) {
        watch_end(w, code, w->err.text);
        return;
    }
    while ((code = watch_feed_next(&w->feed, &c)) == 1) {
        if (!hand_out(w, &c)) {
            watch_end(w, -E_NOMEM, "out of memory");
            return;
        }
        if (w->stopped) {
            watch_free(w);
            return;
        }
    }
    if (code < 0) {
        watch_end(w, code == -E_CANCELED ? 0 : code, err_text(code));
    }
}

static void watch_ready(void *arg)
{
    struct local_watch *w = arg;
    loop_defer(w->feed.server->loop, &w->task);
}

static struct api_watch *watch_begin(struct api_client *c, const struct kind *kind, const char *ns,
                                     const char *label_selector, const char *field_selector,
                                     int64_t from_rev, const struct api_watch_ops *ops, void *arg)
{
    struct local_client *local = local_of(c);
    struct local_watch *w = mem_zalloc(sizeof(*w));
    if (!w) {
        return NULL;
    }
    w->ops = ops;
    w->arg = arg;
    io_task_init(&w->task, watch_pump, w);
    struct route_options o = {.label_selector = label_selector, .field_selector = field_selector};
    int code = watch_feed_open(&w->feed, local->server, kind, ns, &o, from_rev, false, watch_ready,
                               w, &w->err);
    w->failed = code;
    w->feed.server = local->server;
    loop_defer(local->server->loop, &w->task);
    return &w->base;
}

static void watch_stop(struct api_watch *base)
{
    struct local_watch *w = CONTAINER_OF(base, struct local_watch, base);
    if (w->in_event) {
        w->stopped = true;
    } else {
        watch_free(w);
    }
}

/* ---- the client ---- */

static void client_free(struct api_client *c)
{
    io_task_cancel(&local_of(c)->starved_task);
    mem_free(local_of(c));
}

static const struct api_client_ops local_ops = {.name = "local",
                                                .call_start = call_begin,
                                                .call_cancel = call_forget,
                                                .watch_start = watch_begin,
                                                .watch_stop = watch_stop,
                                                .free = client_free};

struct api_client *api_client_local(struct api_server *server, const char *user)
{
    size_t n = strlen(user) + 1;
    struct local_client *c = mem_zalloc(sizeof(*c) + n);
    if (!c) {
        return NULL;
    }
    memcpy(c->name, user, n);
    c->base.ops = &local_ops;
    c->server = server;
    io_task_init(&c->starved_task, deliver_starved, c);
    c->user = (struct api_user){c->name, root_groups};
    return &c->base;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Deletion: preconditions, finalizers, the grace of pods, and collections.
 *
 *     DELETE --+-- nothing holds it --------------------> gone (Status, or the object for pods)
 *              +-- finalizers ----> deletionTimestamp, stays until the last finalizer is removed
 *              +-- a pod on a node -> deletionTimestamp = now + grace, stays until its node deletes
 * it with 0
 *              +-- a namespace ----> Terminating, stays until /finalize empties spec.finalizers
 */
#include "api/handler_private.h"

#include "api/admission/admission.h"
#include "api/crd/crd.h"
#include "api/server_private.h"
#include "base/clock.h"

static bool is_pod(const struct handler_op *op)
{
    return cstr_eq(op->kind->kind, "Pod") && !*op->kind->group;
}

static bool is_namespace(const struct handler_op *op)
{
    return cstr_eq(op->kind->kind, "Namespace") && !*op->kind->group;
}

bool handler_last_gone(const struct json *obj)
{
    return obj_deleting(obj) && json_len(json_path(obj, "metadata.finalizers")) == 0 &&
           json_len(json_path(obj, "spec.finalizers")) == 0 &&
           json_path_i64(obj, "metadata.deletionGracePeriodSeconds", 0) == 0;
}

void handler_read_delete_options(struct handler_op *op, const struct json *o)
{
    const struct json *grace = json_get(o, "gracePeriodSeconds");
    const struct json *orphan = json_get(o, "orphanDependents");
    if (json_is(grace, JSON_INT)) {
        op->del.has_grace = true;
        op->del.grace_seconds = grace->i;
    }
    const char *propagation = json_path_cstr(o, "propagationPolicy", NULL);
    if (propagation) {
        op->del.propagation = propagation;
    } else if (json_is(orphan, JSON_BOOL)) {
        op->del.propagation = orphan->b ? "Orphan" : "Background";
    }
    op->del.uid = json_path_cstr(o, "preconditions.uid", op->del.uid);
    op->del.resource_version =
        json_path_cstr(o, "preconditions.resourceVersion", op->del.resource_version);
    JSON_FOR_EACH (d, json_get(o, "dryRun")) {
        op->opt.dry_run |= cstr_eq(json_cstr(d, ""), "All");
    }
}

static bool check_preconditions(struct handler_op *op)
{
    struct status_about about = handler_about(op);
    const char *why = NULL;
    if (op->del.uid && !cstr_eq(op->del.uid, obj_uid(op->old))) {
        why = arena_printf(
            op->arena, "Precondition failed: UID in precondition: %.64s, UID in object meta: %s",
            op->del.uid, obj_uid(op->old));
    } else if (op->del.resource_version && !cstr_eq(op->del.resource_version, obj_rv(op->old))) {
        why = arena_printf(op->arena,
                           "Precondition failed: ResourceVersion in precondition: %.64s, "
                           "ResourceVersion in object meta: %s",
                           op->del.resource_version, obj_rv(op->old));
    }
    if (!why) {
        return true;
    }
    handler_fail(op, status_conflict(op->arena, &about, why));
    return false;
}

/* Seconds that the object may still take; 0 for all but running pods (CheckGracefulDelete). */
static int64_t grace_of(const struct handler_op *op)
{
    if (!is_pod(op)) {
        return 0;
    }
    int64_t grace = op->del.has_grace
                        ? op->del.grace_seconds
                        : json_path_i64(op->old, "spec.terminationGracePeriodSeconds", 30);
    const char *phase = json_path_cstr(op->old, "status.phase", "");
    if (!*json_path_cstr(op->old, "spec.nodeName", "") || cstr_eq(phase, "Failed") ||
        cstr_eq(phase, "Succeeded")) {
        return 0;
    }
    return grace < 0 ? 1 : grace;
}

/* Orphan and Foreground leave work for the garbage collector: finalizers say so. */
static void set_propagation(struct handler_op *op, struct json *obj)
{
    const char *p = op->del.propagation;
    if (!p) {
        return;
    }
    (void)obj_del_finalizer(obj, "orphan");
    (void)obj_del_finalizer(obj, "foregroundDeletion");
    if (cstr_eq(p, "Orphan")) {
        (void)obj_add_finalizer(obj, "orphan");
    } else if (cstr_eq(p, "Foreground")) {
        (void)obj_add_finalizer(obj, "foregroundDeletion");
    }
}

static void set_deletion(struct json *obj, int64_t grace, bool show_grace)
{
    char text[TIME_TEXT_SIZE];
    struct json *meta = obj_meta(obj);
    struct wall when = {wall_now().us + grace * 1000000};
    json_set_str(meta, "deletionTimestamp", time_text(when, text));
    if (show_grace) {
        json_set_int(meta, "deletionGracePeriodSeconds", grace);
    }
}

static void deleted_status(struct handler_op *op)
{
    if (is_pod(op) || is_namespace(op)) {
        handler_ok_item(op, 200, op->req.item);
        return;
    }
    struct status_about about = handler_about(op);
    about.uid = obj_uid(op->old);
    handler_ok_tree(op, 200, status_success(op->arena, 200, &about));
}

static void remove_now(struct handler_op *op, struct json *obj, bool show_object)
{
    if (!op->opt.dry_run) {
        handler_remove(op, obj, op->old_rev, show_object ? NULL : deleted_status);
        return;
    }
    if (show_object || is_pod(op)) {
        handler_dry(op, 200, obj);
        return;
    }
    struct status_about about = handler_about(op);
    about.uid = obj_uid(op->old);
    handler_ok_tree(op, 200, status_success(op->arena, 200, &about));
}

/* A deletion of something that is being deleted: a pod's grace may only become shorter. */
static void delete_again(struct handler_op *op, struct json *obj, int64_t grace)
{
    int64_t now_grace = json_path_i64(obj, "metadata.deletionGracePeriodSeconds", 0);
    bool held = json_len(json_path(obj, "metadata.finalizers")) > 0 ||
                json_len(json_path(obj, "spec.finalizers")) > 0;
    if (is_pod(op) && op->del.has_grace && grace < now_grace) {
        if (grace == 0 && !held) {
            json_set_int(obj_meta(obj), "deletionGracePeriodSeconds", 0);
            remove_now(op, obj, false);
            return;
        }
        set_deletion(obj, grace, true);
    } else if (is_pod(op) && grace == 0 && !held) {
        remove_now(op, obj, false);
        return;
    }
    if (op->opt.dry_run) {
        handler_dry(op, 200, obj);
    } else if (json_equal(obj, op->old)) {
        handler_unchanged(op, op->latest);
    } else {
        handler_put(op, obj, op->old_rev, 200, NULL);
    }
}

static bool check_propagation(struct handler_op *op)
{
    static const char *const known[] = {"Background", "Foreground", "Orphan", NULL};
    const char *p = op->del.propagation;
    if (!p || !*p) {
        op->del.propagation = NULL;
        return true;
    }
    for (size_t i = 0; known[i]; i++) {
        if (cstr_eq(p, known[i])) {
            return true;
        }
    }
    struct field_errors e;
    struct status_about about = {.group = "meta.k8s.io", .kind = "DeleteOptions", .name = ""};
    static const char *const texts[] = {"Background", "Foreground", "Orphan", "nil", NULL};
    field_errors_init(&e, op->arena);
    field_error_supported(&e, "propagationPolicy", p, texts);
    handler_fail(op, status_invalid(op->arena, &about, &e));
    return false;
}

static void delete_admitted(struct handler_op *op, struct json *none)
{
    (void)none;
    struct json *obj = json_clone(op->arena, op->old);
    int64_t grace = grace_of(op);
    set_propagation(op, obj);
    if (crd_is_definition(op->kind) && !obj_deleting(op->old)) {
        crd_definition_deleted(obj);
    }
    if (obj_deleting(op->old)) {
        delete_again(op, obj, grace);
        return;
    }
    bool held = json_len(json_path(obj, "metadata.finalizers")) > 0 ||
                json_len(json_path(obj, "spec.finalizers")) > 0;
    if (grace == 0 && !held) {
        if (is_pod(op)) {
            set_deletion(obj, 0, true);
        }
        remove_now(op, obj, false);
        return;
    }
    /* The real server shows no grace on namespaces, which are held by spec.finalizers alone. */
    set_deletion(obj, grace, !is_namespace(op));
    if (is_namespace(op)) {
        json_set_str(json_ensure_object(obj, "status"), "phase", "Terminating");
    }
    if (op->kind->generation) {
        json_set_int(obj_meta(obj), "generation", obj_generation(obj) + 1);
    }
    if (op->opt.dry_run) {
        handler_dry(op, 200, obj);
        return;
    }
    handler_put(op, obj, op->old_rev, 200, NULL);
}

void handler_delete(struct handler_op *op)
{
    if (check_propagation(op) && handler_load(op) && check_preconditions(op) &&
        handler_guard(op, SERVER_DELETE, op->old)) {
        admission_validate(op, NULL, delete_admitted);
    }
}

/* ---- collections ---- */

/*
 * The members are listed once and deleted a few hundred at a time, each with memory of its own, so
 * that a collection may be as large as the store. What was deleted is shown when it is not too
 * much; else the answer is a Status, which is what OpenAPI promises.
 */
#define COLLECTION_RUNNING 500
#define COLLECTION_SHOWN 1000

struct collection {
    struct handler_op *whole;
    struct handler_op list; /* its items are referenced until the end */
    size_t at;              /* the next of them */
    struct list running;    /* struct collection_item.link */
    size_t n_running, n_deleted;
    bool starting;
    struct json *items;
    struct json *failure; /* the first Status */
};

struct collection_item {
    struct handler_op op;
    struct arena arena;
    struct list link;
    struct collection *c;
};

static void item_free(struct collection_item *item)
{
    list_del(&item->link);
    item->c->n_running--;
    arena_fini(&item->arena);
    mem_free(item);
}

static void collection_end(struct collection *c)
{
    struct handler_op *op = c->whole;
    handler_fini(&c->list);
    if (c->failure) {
        handler_fail(op, c->failure);
        return;
    }
    if (c->n_deleted > COLLECTION_SHOWN) {
        handler_ok_tree(op, 200, status_success(op->arena, 200, /* about= */ NULL));
        return;
    }
    struct json *list = json_object(op->arena);
    json_set_str(list, "kind", op->kind->list_kind);
    json_set_str(list, "apiVersion", op->kind->api_version);
    struct json *meta = json_set(list, "metadata", json_object(op->arena));
    json_set(meta, "resourceVersion",
             json_printf(op->arena, "%lld", (long long)store_rev(op->server->store)));
    json_set(list, "items", c->items);
    handler_ok_tree(op, 200, list);
}

static void start_items(struct collection *c);

static void item_done(struct handler_op *op)
{
    struct collection_item *item = CONTAINER_OF(op, struct collection_item, op);
    struct collection *c = item->c;
    struct arena *a = c->whole->arena;
    /* Somebody else deleted it meanwhile: that is what was wanted. */
    if (op->http >= 400 && op->http != 404 && !c->failure) {
        c->failure =
            op->result ? json_clone(a, op->result) : status_code(a, -E_NOMEM, "out of memory");
    } else if (op->http < 300 && op->old && ++c->n_deleted <= COLLECTION_SHOWN) {
        json_push(c->items, json_clone(a, kind_to_served(op->arena, op->kind, op->old)));
    }
    handler_fini(op);
    item_free(item);
    if (!c->starting) {
        start_items(c);
    }
}

static int start_item(struct collection *c, const struct store_item *it)
{
    struct handler_op *op = c->whole;
    struct collection_item *item = mem_zalloc(sizeof(*item));
    struct str ns, name;
    if (!item || !api_key_parse(store_item_key(it), &ns, &name)) {
        mem_free(item);
        return -ENOMEM;
    }
    item->c = c;
    arena_init(&item->arena, 0);
    list_push_back(&c->running, &item->link);
    c->n_running++;
    item->op = (struct handler_op){.server = op->server,
                                   .arena = &item->arena,
                                   .user = op->user,
                                   .verb = HANDLER_DELETE,
                                   .kind = op->kind,
                                   .ns = arena_str(&item->arena, ns),
                                   .name = arena_str(&item->arena, name),
                                   .opt = {.dry_run = op->opt.dry_run},
                                   .del = op->del,
                                   .done = item_done};
    if (arena_failed(&item->arena)) {
        item_free(item);
        return -ENOMEM;
    }
    handler_delete(&item->op);
    return 0;
}

static void start_items(struct collection *c)
{
    struct handler_list *l = &c->list.list;
    c->starting = true; /* one that is refused at once does not start others by itself */
    while (c->at < l->n && c->n_running < COLLECTION_RUNNING && !c->failure) {
        if (start_item(c, l->items[c->at++]) < 0) {
            c->failure = status_code(c->whole->arena, -E_NOMEM, "out of memory");
        }
    }
    c->starting = false;
    if (c->n_running == 0) {
        collection_end(c);
    }
}

static void list_done(struct handler_op *list)
{
    struct collection *c = list->arg;
    if (list->http != 200) {
        c->failure =
            list->result ? list->result : status_code(c->whole->arena, -E_NOMEM, "out of memory");
    }
    start_items(c);
}

void handler_collection_cancel(struct handler_op *op)
{
    struct collection *c = op->impl;
    if (!c) {
        return;
    }
    LIST_FOR_EACH_SAFE (l, &c->running) {
        struct collection_item *item = CONTAINER_OF(l, struct collection_item, link);
        handler_cancel(&item->op);
        item_free(item);
    }
    handler_fini(&c->list);
}

void handler_delete_collection(struct handler_op *op)
{
    struct collection *c = arena_zalloc(op->arena, sizeof(*c));
    if (!c) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    c->whole = op;
    c->items = json_array(op->arena);
    list_init(&c->running);
    c->list = (struct handler_op){.server = op->server,
                                  .arena = op->arena,
                                  .user = op->user,
                                  .verb = HANDLER_LIST,
                                  .kind = op->kind,
                                  .ns = op->ns,
                                  .name = "",
                                  .opt = op->opt,
                                  .list.raw = true,
                                  .done = list_done,
                                  .arg = c};
    op->impl = c;
    handler_list(&c->list);
}

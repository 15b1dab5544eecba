/* SPDX-License-Identifier: Apache-2.0 */
/* Subresources other than status: scale, binding, finalize. Eviction is in handler_evict.c, streams
 * are in exec_proxy.c.
 */
#include "api/handler_private.h"

#include "api/admission/admission.h"
#include "api/selector.h"
#include "api/server_private.h"
#include "base/clock.h"

static void not_allowed(struct handler_op *op)
{
    handler_fail_code(op, -E_METHOD,
                      "the server does not allow this method on the requested resource");
}

/* ---- scale ---- */

static const char *selector_text(struct arena *a, const struct json *selector)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct selector *s = NULL;
    if (!selector || selector_from_owner(a, selector, &s, NULL) < 0 || selector_print(&b, s) < 0) {
        return "";
    }
    return arena_strndup(a, buf_data(&b), buf_len(&b));
}

static struct json *scale_of(struct handler_op *op, const struct json *obj)
{
    static const char *const shown[] = {"name", "namespace", "uid", "resourceVersion",
                                        "creationTimestamp"};
    struct arena *a = op->arena;
    const struct kind_subresource *sub = op->sub;
    struct json *s = json_object(a);
    json_set_str(s, "kind", "Scale");
    json_set_str(s, "apiVersion", "autoscaling/v1");
    struct json *meta = json_set(s, "metadata", json_object(a));
    for (size_t i = 0; i < ARRAY_SIZE(shown); i++) {
        json_set(meta, shown[i], json_get(json_get(obj, "metadata"), shown[i]));
    }
    struct json *spec = json_set(s, "spec", json_object(a));
    json_set_int(spec, "replicas", json_path_i64(obj, sub->spec_replicas_path, 0));
    struct json *status = json_set(s, "status", json_object(a));
    json_set_int(status, "replicas", json_path_i64(obj, sub->status_replicas_path, 0));
    if (sub->selector_path) {
        const struct json *selector = json_path(obj, sub->selector_path);
        json_set_str(status, "selector",
                     json_is(selector, JSON_STRING) ? json_cstr(selector, "")
                                                    : selector_text(a, selector));
    }
    return s;
}

static void scale_stored(struct handler_op *op)
{
    struct store_item *it = op->item ? op->item : op->req.item;
    struct json *obj = handler_item_tree(op->arena, op->kind, it);
    store_item_unref(op->item);
    op->item = NULL;
    handler_ok_tree(op, 200, scale_of(op, obj));
}

static bool check_scale(struct handler_op *op, const struct json *scale)
{
    struct status_about about = handler_about(op);
    const struct json *n = json_path(scale, "spec.replicas");
    const char *rv = obj_rv(scale);
    if (*rv && !cstr_eq(rv, obj_rv(op->old))) {
        handler_fail(op, status_outdated(op->arena, &about));
        return false;
    }
    if (n && !json_is(n, JSON_INT)) {
        handler_fail_code(op, -E_INVAL, "spec.replicas must be a whole number");
        return false;
    }
    if (json_i64(n, 0) < 0 || json_i64(n, 0) > INT32_MAX) {
        struct field_errors e;
        field_errors_init(&e, op->arena);
        field_error(&e, FIELD_INVALID, "spec.replicas", n, "must be greater than or equal to 0");
        about = (struct status_about){.group = "autoscaling", .kind = "Scale", .name = op->name};
        handler_fail(op, status_invalid(op->arena, &about, &e));
        return false;
    }
    return true;
}

/* Sets the number at a dotted path of plain names ("spec.replicas"). */
static void set_number(struct json *obj, const char *path, int64_t n)
{
    struct str rest = str_of(path), head;
    while (str_cut(rest, '.', &head, &rest)) {
        obj = json_ensure_object(obj, arena_str(obj->arena, head));
        if (!obj) {
            return;
        }
    }
    json_set_int(obj, arena_str(obj->arena, head), n);
}

static void scale_submit(struct handler_op *op, struct json *obj)
{
    if (op->opt.dry_run) {
        handler_ok_tree(op, 200, scale_of(op, obj));
    } else {
        handler_put(op, obj, op->old_rev, 200, scale_stored);
    }
}

static void scale_write(struct handler_op *op)
{
    struct json *scale = op->body;
    if (!handler_load(op)) {
        return;
    }
    if (op->verb == HANDLER_PATCH &&
        !handler_apply_patch(op, op->sub->body, scale_of(op, op->old), &scale)) {
        return;
    }
    if (!check_scale(op, scale) || !handler_guard(op, SERVER_UPDATE, op->old)) {
        return;
    }
    struct json *obj = json_clone(op->arena, op->old);
    if (!obj) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    int64_t wanted = json_path_i64(scale, "spec.replicas", 0);
    if (json_path_i64(obj, op->sub->spec_replicas_path, 0) == wanted) {
        handler_ok_tree(op, 200, scale_of(op, obj));
        return;
    }
    set_number(obj, op->sub->spec_replicas_path, wanted);
    if (op->kind->generation) {
        json_set_int(obj_meta(obj), "generation", obj_generation(obj) + 1);
    }
    if (handler_track(op, obj) && handler_check_rules(op, obj, op->old)) {
        admission_validate(op, obj, scale_submit);
    }
}

static void scale(struct handler_op *op)
{
    if (op->verb == HANDLER_UPDATE || op->verb == HANDLER_PATCH) {
        scale_write(op);
    } else if (op->verb != HANDLER_GET) {
        not_allowed(op);
    } else if (handler_load(op)) {
        handler_ok_tree(op, 200, scale_of(op, op->old));
    }
}

/* ---- binding ---- */

static void created_status(struct handler_op *op)
{
    handler_ok_tree(op, 201, status_success(op->arena, 201, /* about= */ NULL));
}

/* Why the pod cannot be bound; NULL when it can. */
static const char *binding_refusal(struct handler_op *op)
{
    const char *now = json_path_cstr(op->old, "spec.nodeName", "");
    const char *uid = obj_uid(op->body);
    if (*uid && !cstr_eq(uid, obj_uid(op->old))) {
        return "the pod is another one of the same name";
    }
    if (obj_deleting(op->old)) {
        return arena_printf(op->arena, "pod %s is being deleted, cannot be assigned to a host",
                            op->name);
    }
    if (*now) {
        return arena_printf(op->arena, "pod %s is already assigned to node \"%s\"", op->name, now);
    }
    return NULL;
}

static void binding(struct handler_op *op)
{
    struct status_about about = {.kind = "pods/binding", .name = op->name};
    const char *node = json_path_cstr(op->body, "target.name", "");
    const char *kind = json_path_cstr(op->body, "target.kind", "Node");
    if (op->verb != HANDLER_CREATE) {
        not_allowed(op);
        return;
    }
    if (!*node || !cstr_eq(kind, "Node")) {
        handler_fail_code(op, -E_INVAL, "a binding needs a target of kind Node with a name");
        return;
    }
    if (!handler_load(op)) {
        return;
    }
    const char *why = binding_refusal(op);
    if (why) {
        handler_fail(op, status_conflict(op->arena, &about, why));
        return;
    }
    if (!handler_guard(op, SERVER_UPDATE, op->old)) {
        return;
    }
    struct json *obj = json_clone(op->arena, op->old);
    json_set_str(json_ensure_object(obj, "spec"), "nodeName", node);
    JSON_FOR_EACH_MEMBER (m, obj_annotations(op->body)) {
        obj_set_annotation(obj, m->key, json_cstr(m->value, ""));
    }
    (void)obj_condition_set(obj, "PodScheduled", "True", NULL, NULL, wall_now());
    if (op->opt.dry_run) {
        created_status(op);
        return;
    }
    handler_put(op, obj, op->old_rev, 201, created_status);
}

/* ---- finalize: the namespace controller takes its mark off ---- */

static void finalize(struct handler_op *op)
{
    struct status_about about = handler_about(op);
    if (op->verb != HANDLER_UPDATE) {
        not_allowed(op);
        return;
    }
    if (!handler_load(op)) {
        return;
    }
    const char *rv = obj_rv(op->body);
    if (*rv && !cstr_eq(rv, obj_rv(op->old))) {
        handler_fail(op, status_outdated(op->arena, &about));
        return;
    }
    if (!handler_guard(op, SERVER_UPDATE, op->old)) {
        return;
    }
    struct json *obj = json_clone(op->arena, op->old);
    struct json *wanted = json_path(op->body, "spec.finalizers");
    struct json *spec = json_ensure_object(obj, "spec");
    if (json_len(wanted)) {
        json_set(spec, "finalizers", json_clone(op->arena, wanted));
    } else {
        (void)json_del(spec, "finalizers");
    }
    handler_store_update(op, obj);
}

void handler_sub(struct handler_op *op)
{
    switch (op->sub->sub) {
    case KIND_SUB_SCALE:
        scale(op);
        break;
    case KIND_SUB_BINDING:
        binding(op);
        break;
    case KIND_SUB_EVICTION:
        if (op->verb == HANDLER_CREATE) {
            handler_evict(op);
        } else {
            not_allowed(op);
        }
        break;
    case KIND_SUB_FINALIZE:
        finalize(op);
        break;
    case KIND_SUB_EPHEMERALCONTAINERS:
    case KIND_SUB_RESIZE:
        handler_pod_part(op);
        break;
    default:
        handler_answer(op);
    }
}

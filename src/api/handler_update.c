/* SPDX-License-Identifier: Apache-2.0 */
/* Update and patch: what may change, admission, and the write. */
#include "api/handler_private.h"

#include "api/admission/admission.h"
#include "api/patch.h"
#include "api/schema_check.h"
#include "api/server_private.h"
#include "api/strategy.h"

/* ---- update ---- */

/* What no write may change in metadata comes from the stored object. */
static void update_metadata(struct json *obj, const struct json *old)
{
    static const char *const fixed[] = {
        "uid",        "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        "generation", "generateName",      "resourceVersion"};
    struct json *meta = obj_meta(obj);
    const struct json *was = json_get(old, "metadata");
    handler_drop_foreign(meta);
    for (size_t i = 0; i < ARRAY_SIZE(fixed); i++) {
        struct json *v = json_get(was, fixed[i]);
        if (v) {
            json_set(meta, fixed[i], v);
        } else {
            (void)json_del(meta, fixed[i]);
        }
    }
}

/* Whether anything but metadata (and status, where that is a subresource) differs. */
static bool spec_differs(const struct kind *k, const struct json *obj, const struct json *old)
{
    bool with_status = k->custom && !kind_has_status(k);
    const struct json *sides[2] = {obj, old};
    for (size_t i = 0; i < 2; i++) {
        JSON_FOR_EACH_MEMBER (m, sides[i]) {
            if (cstr_eq(m->key, "metadata") || (cstr_eq(m->key, "status") && !with_status)) {
                continue;
            }
            const struct json *other = json_get(sides[1 - i], m->key);
            if (!other || !json_equal(m->value, other)) {
                return true;
            }
        }
    }
    return false;
}

/* The versions that the client has seen must be the stored ones. */
static bool check_versions(struct handler_op *op, const struct json *body)
{
    struct status_about about = handler_about(op);
    const char *uid = obj_uid(body), *rv = obj_rv(body);
    if (*uid && !cstr_eq(uid, obj_uid(op->old))) {
        const char *why = arena_printf(
            op->arena, "Precondition failed: UID in precondition: %.64s, UID in object meta: %s",
            uid, obj_uid(op->old));
        handler_fail(op, status_conflict(op->arena, &about, why));
        return false;
    }
    if (*rv && !cstr_eq(rv, "0") && !cstr_eq(rv, obj_rv(op->old))) {
        handler_fail(op, status_outdated(op->arena, &about));
        return false;
    }
    if (!*rv && op->verb == HANDLER_UPDATE && strategy_needs_version(op->kind)) {
        struct field_errors e;
        field_errors_init(&e, op->arena);
        field_error(&e, FIELD_INVALID, "metadata.resourceVersion", json_int(op->arena, 0),
                    "must be specified for an update");
        about = handler_about_kind(op, op->name);
        handler_fail(op, status_invalid(op->arena, &about, &e));
        return false;
    }
    return true;
}

void handler_store_update(struct handler_op *op, struct json *obj)
{
    const struct json *old = op->old;
    if (op->kind->generation && spec_differs(op->kind, obj, old)) {
        json_set_int(obj_meta(obj), "generation", obj_generation(old) + 1);
    }
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    if (op->opt.dry_run) {
        handler_dry(op, 200, obj);
    } else if (handler_last_gone(obj)) {
        handler_remove(op, obj, op->old_rev, NULL);
    } else if (!op->stale && json_equal(obj, old)) {
        handler_unchanged(op, op->latest);
    } else {
        handler_put(op, obj, op->old_rev, 200, NULL);
    }
}

static void update_check(struct handler_op *op, struct json *obj)
{
    if (handler_check_rules(op, obj, op->old)) {
        admission_validate(op, obj, handler_store_update);
    }
}

/* body is the whole wanted object, in served form. */
void handler_replace(struct handler_op *op, struct json *body)
{
    enum server_write verb = op->verb == HANDLER_PATCH ? SERVER_PATCH : SERVER_UPDATE;
    if (!handler_check_identity(op, body) || !handler_check_schema(op, body) ||
        !check_versions(op, body) || !handler_guard(op, verb, op->old)) {
        return;
    }
    const struct kind *k = handler_form(op);
    struct json *obj = kind_to_storage(op->arena, op->kind, body);
    handler_set_defaults(op, obj);
    struct json *managers = json_path(obj, "metadata.managedFields");
    strategy_update(op->arena, k, obj, op->old, handler_writes_status(op));
    update_metadata(obj, op->old);
    if (op->applied) { /* also where the rest of the metadata is not to be written */
        json_set(obj_meta(obj), "managedFields", managers);
    }
    if (!handler_track(op, obj)) {
        return;
    }
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    admission_mutate(op, obj, update_check);
}

void handler_update(struct handler_op *op)
{
    if (handler_load(op)) {
        handler_replace(op, op->body);
    }
}

/* ---- patch ---- */

bool handler_apply_patch(struct handler_op *op, const struct schema_type *type,
                         const struct json *target, struct json **ret)
{
    struct err err = {0};
    int code;
    if (op->patch == HANDLER_PATCH_JSON) {
        code = patch_json(op->arena, target, op->body, ret, &err);
    } else if (!json_is(op->body, JSON_OBJECT)) {
        handler_fail_code(
            op, -E_INVAL,
            arena_printf(op->arena,
                         "%sjson: cannot unmarshal %s into Go value of type "
                         "map[string]interface {}",
                         op->patch == HANDLER_PATCH_MERGE ? "error decoding patch: " : "",
                         schema_go_kind(op->body)));
        return false;
    } else if (op->patch == HANDLER_PATCH_MERGE) {
        code = patch_merge(op->arena, target, op->body, ret, &err);
    } else if (op->kind->custom && !(op->sub && op->sub->sub == KIND_SUB_SCALE)) {
        handler_fail_code(op, -E_MEDIATYPE,
                          "the body of the request was in an unknown format - accepted media "
                          "types include: application/json-patch+json, "
                          "application/merge-patch+json, application/apply-patch+yaml");
        return false;
    } else {
        code = patch_strategic(op->arena, type, target, op->body, ret, &err);
    }
    if (code == 0) {
        return true;
    }
    if (code == -E_INVALID) { /* as in Kubernetes: neither whose patch it is nor why */
        struct json *status =
            status_failure(op->arena, 422, "Invalid",
                           "the server rejected our request due to an error in our request", NULL);
        json_set(status, "details", json_object(op->arena));
        handler_fail(op, status);
    } else {
        handler_fail_code(op, code, *err.text ? err.text : err_text(code));
    }
    return false;
}

void handler_patch(struct handler_op *op)
{
    struct json *wanted;
    if (op->patch == HANDLER_PATCH_APPLY) {
        handler_apply(op);
        return;
    }
    if (!handler_load(op)) {
        return;
    }
    struct json *served = kind_to_served(op->arena, op->kind, op->old);
    if (!handler_apply_patch(op, op->kind->type, served, &wanted)) {
        return;
    }
    /* A version in the patch must match; the target's own, if it is still there, always does. */
    handler_replace(op, wanted);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pods/ephemeralcontainers and pods/resize: the body is the whole pod, of which only one part is
 * looked at and may change.
 */
#include "api/defaults.h"
#include "api/handler_private.h"

#include "api/admission/admission.h"
#include "api/schema_check.h"
#include "api/validate.h"

static void take_ephemeral(struct handler_op *op, struct json *obj, const struct json *wanted)
{
    struct json *list = json_path(wanted, "spec.ephemeralContainers");
    struct json *spec = json_ensure_object(obj, "spec");
    if (json_len(list) > 0) {
        json_set(spec, "ephemeralContainers", json_clone(op->arena, list));
    } else {
        (void)json_del(spec, "ephemeralContainers");
    }
}

static const struct json *container_named(const struct json *pod, const struct json *like)
{
    const char *name = json_path_cstr(like, "name", "");
    JSON_FOR_EACH (c, json_path(pod, "spec.containers")) {
        if (cstr_eq(json_path_cstr(c, "name", ""), name)) {
            return c;
        }
    }
    return NULL;
}

static void take_resources(struct handler_op *op, struct json *obj, const struct json *wanted)
{
    JSON_FOR_EACH (c, json_path(obj, "spec.containers")) {
        const struct json *want = container_named(wanted, c);
        const struct json *resources = json_get(want, "resources");
        if (resources) {
            json_set(c, "resources", json_clone(op->arena, resources));
        }
    }
}

/* The node has not yet done what is wanted: Kubernetes 1.32 says "Proposed" until it answers. */
static void mark_proposed(struct json *obj, const struct json *old)
{
    if (!json_equal(json_path(obj, "spec.containers"), json_path(old, "spec.containers")) &&
        *json_path_cstr(obj, "spec.nodeName", "")) {
        json_set_str(json_ensure_object(obj, "status"), "resize", "Proposed");
    }
}

/* The pod as it is wanted, checked against the schema, with defaults; false when it has ended. */
static bool read_wanted(struct handler_op *op, struct json **ret)
{
    struct status_about about = handler_about(op);
    struct err err = {0};
    struct json *wanted = op->body;
    if (op->verb == HANDLER_PATCH &&
        !handler_apply_patch(op, op->kind->type, kind_to_served(op->arena, op->kind, op->old),
                             &wanted)) {
        return false;
    }
    int code = schema_check_object(op->arena, op->kind->type, wanted, /* report= */ NULL, &err);
    if (code < 0) {
        handler_fail_code(op, code, err.text);
        return false;
    }
    const char *rv = obj_rv(wanted), *uid = obj_uid(wanted);
    if ((*rv && !cstr_eq(rv, obj_rv(op->old))) || (*uid && !cstr_eq(uid, obj_uid(op->old)))) {
        handler_fail(op, status_outdated(op->arena, &about));
        return false;
    }
    schema_defaults(op->arena, op->kind->type, wanted);
    *ret = wanted;
    return true;
}

static bool check_part(struct handler_op *op, struct json *obj)
{
    struct field_errors e;
    struct status_about about = handler_about_kind(op, op->name);
    field_errors_init(&e, op->arena);
    if (op->sub->sub == KIND_SUB_RESIZE) {
        validate_pod_resize(&e, obj, op->old);
    } else {
        validate_ephemeral_containers(&e, obj, op->old);
    }
    if (e.n > 0) {
        handler_fail(op, status_invalid(op->arena, &about, &e));
        return false;
    }
    return true;
}

static void write_part(struct handler_op *op)
{
    struct json *wanted;
    enum server_write verb = op->verb == HANDLER_PATCH ? SERVER_PATCH : SERVER_UPDATE;
    if (!read_wanted(op, &wanted) || !handler_guard(op, verb, op->old)) {
        return;
    }
    struct json *obj = json_clone(op->arena, op->old);
    bool resize = op->sub->sub == KIND_SUB_RESIZE;
    (resize ? take_resources : take_ephemeral)(op, obj, wanted);
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
    } else if (check_part(op, obj)) {
        if (resize) {
            mark_proposed(obj, op->old);
        }
        admission_validate(op, obj, handler_store_update);
    }
}

void handler_pod_part(struct handler_op *op)
{
    if (!handler_load(op)) {
        return;
    }
    if (op->verb == HANDLER_GET) {
        handler_ok_tree(op, 200, kind_to_served(op->arena, op->kind, op->old));
    } else if (op->verb == HANDLER_UPDATE || op->verb == HANDLER_PATCH) {
        write_part(op);
    } else {
        handler_fail_code(op, -E_METHOD,
                          "the server does not allow this method on the requested resource");
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What create, update and patch have in common: the body's type, place, schema and rules, and who
 * has set what.
 */
#include "api/handler_private.h"

#include "api/auth/authz.h"
#include "api/crd/crd.h"
#include "api/defaults.h"
#include "api/schema_check.h"
#include "api/server_private.h"
#include "api/strategy.h"

bool handler_writes_status(const struct handler_op *op)
{
    return op->sub && (op->sub->sub == KIND_SUB_STATUS || op->sub->sub == KIND_SUB_APPROVAL);
}

/* ---- the body ---- */

static bool bad_request(struct handler_op *op, const char *text)
{
    handler_fail_code(op, -E_INVAL, text ? text : "out of memory");
    return false;
}

/* apiVersion and kind must be the path's; absent ones are filled. */
static bool check_type(struct handler_op *op, struct json *body)
{
    const struct kind *k = op->kind;
    if (!json_is(body, JSON_OBJECT)) {
        return bad_request(op, "the body of the request must be a JSON object");
    }
    const char *version = obj_api_version(body), *kind = obj_kind(body);
    if (*version && !cstr_eq(version, k->api_version)) {
        return bad_request(op, arena_printf(op->arena,
                                            "the API version in the data (%.100s) does not match "
                                            "the expected API version (%s)",
                                            version, k->api_version));
    }
    if (*kind && !cstr_eq(kind, k->kind)) {
        return bad_request(op, arena_printf(op->arena,
                                            "the kind in the data (%.100s) does not match the "
                                            "expected kind (%s)",
                                            kind, k->kind));
    }
    json_set_str(body, "kind", k->kind);
    json_set_str(body, "apiVersion", k->api_version);
    return true;
}

/* Name and namespace must be the URL's; absent ones are filled. */
static bool check_place(struct handler_op *op, struct json *body)
{
    struct json *meta = obj_meta(body);
    const char *ns = obj_ns(body), *name = obj_name(body);
    if (*ns && !cstr_eq(ns, op->ns)) {
        return bad_request(op, "the namespace of the provided object does not match the namespace "
                               "sent on the request");
    }
    if (*op->name && *name && !cstr_eq(name, op->name)) {
        return bad_request(op, arena_printf(op->arena,
                                            "the name of the object (%.253s) does not match the "
                                            "name on the URL (%.253s)",
                                            name, op->name));
    }
    if (op->kind->namespaced) {
        json_set_str(meta, "namespace", op->ns);
    }
    if (*op->name) {
        json_set_str(meta, "name", op->name);
    }
    return true;
}

bool handler_check_identity(struct handler_op *op, struct json *body)
{
    return check_type(op, body) && check_place(op, body);
}

/* The kind in whose form an object is while it is worked on. */
const struct kind *handler_form(const struct handler_op *op)
{
    return op->kind->custom ? op->kind : kind_storage(op->kind);
}

/* Brings body into Kubernetes' form; unknown members are gathered in op->problems. */
static int normalise(struct handler_op *op, struct json *body, const char **ret_conversion,
                     struct err *err)
{
    struct schema_report report = {0};
    op->problems = op->problems ? op->problems : json_array(op->arena);
    if (op->kind->custom) {
        return crd_decode(op->arena, op->kind, body, op->problems, err);
    }
    int code = schema_check_object(op->arena, op->kind->type, body, &report, err);
    JSON_FOR_EACH (text, report.unknown) {
        json_push(op->problems, text);
    }
    *ret_conversion = report.conversion;
    return code;
}

static int wrap_body_error(const struct handler_op *op, struct err *err)
{
    return op->kind->custom ? crd_wrap_body_error(op->kind, err)
                            : schema_wrap_body_error(op->kind->type, -E_INVAL, err);
}

/* Types; unknown and duplicate fields are warned of or refused. */
bool handler_check_schema(struct handler_op *op, struct json *body)
{
    struct err err = {0};
    const char *conversion = NULL;
    int code = normalise(op, body, &conversion, &err);
    if (code < 0) {
        if (conversion && op->verb == HANDLER_PATCH && op->patch == HANDLER_PATCH_STRATEGIC) {
            handler_fail_strategic(op, conversion);
        } else {
            handler_fail_code(op, code, err.text);
        }
        return false;
    }
    if (json_len(op->problems) == 0 || op->opt.validation == VALIDATION_IGNORE) {
        return true;
    }
    if (op->opt.validation == VALIDATION_WARN) {
        op->warnings = op->problems;
        return true;
    }
    const char *all = "";
    JSON_FOR_EACH (w, op->problems) {
        all = arena_printf(op->arena, "%s%s%s", all, *all ? ", " : "", json_cstr(w, ""));
        if (!all) {
            break;
        }
    }
    err_set(&err, -E_INVAL, "strict decoding error: %s", all ? all : "");
    (void)wrap_body_error(op, &err);
    return bad_request(op, err.text);
}

/* Custom objects got theirs with handler_check_schema(). */
void handler_set_defaults(struct handler_op *op, struct json *obj)
{
    if (!op->kind->custom) {
        schema_defaults(op->arena, kind_storage(op->kind)->type, obj);
    }
}

/* What clients send and the server never keeps. */
void handler_drop_foreign(struct json *meta)
{
    static const char *const members[] = {"selfLink", "clusterName"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        (void)json_del(meta, members[i]);
    }
}

bool handler_check_rules(struct handler_op *op, const struct json *obj, const struct json *old)
{
    struct field_errors e;
    struct err err;
    if (authz_node_write(op->user, op->kind, obj, old, &err) < 0) {
        struct status_about node = handler_about(op);
        handler_fail(op, status_forbidden(op->arena, &node, err.text));
        return false;
    }
    field_errors_init(&e, op->arena);
    strategy_validate(&e, handler_form(op), obj, old, handler_writes_status(op));
    if (e.n == 0) {
        return true;
    }
    struct status_about about = handler_about_kind(op, obj_name(obj));
    handler_fail(op, status_invalid(op->arena, &about, &e));
    return false;
}

/* ---- who has set what ---- */

struct apply_request handler_apply_request(const struct handler_op *op)
{
    return (struct apply_request){.kind = handler_form(op),
                                  .api_version = op->kind->api_version,
                                  .manager = op->manager ? op->manager : "unknown",
                                  .subresource = op->sub ? op->sub->name : "",
                                  .now = wall_now(),
                                  .force = op->opt.force};
}

/* Notes what this write changes as its manager's; an applied object has its managers already. */
bool handler_track(struct handler_op *op, struct json *obj)
{
    struct apply_request r = handler_apply_request(op);
    const char *at = "";
    const char *why =
        apply_managers_invalid(op->arena, json_path(obj, "metadata.managedFields"), &at);
    if (why) {
        struct field_errors e;
        struct status_about about = handler_about_kind(op, obj_name(obj));
        field_errors_init(&e, op->arena);
        field_error(&e, FIELD_INVALID, at, NULL, why);
        handler_fail(op, status_invalid(op->arena, &about, &e));
        return false;
    }
    if (!op->applied) {
        apply_track(op->arena, &r, op->old, obj);
    }
    return true;
}

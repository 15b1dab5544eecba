/* SPDX-License-Identifier: Apache-2.0 */
/* Create, update and patch of objects and of their status. */
#include "api/handler_private.h"

#include "api/admission/admission.h"
#include "api/auth/authz.h"
#include "api/crd/crd.h"
#include "api/defaults.h"
#include "api/patch.h"
#include "api/schema_check.h"
#include "api/server_private.h"
#include "api/strategy.h"
#include "base/clock.h"
#include "base/encode.h"

#define GENERATE_ATTEMPTS 8
#define GENERATE_BASE 58

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
static const struct kind *form_of(const struct handler_op *op)
{
    return op->kind->custom ? op->kind : kind_storage(op->kind);
}

/* Brings body into Kubernetes' form; unknown members are gathered in op->problems. */
static int normalise(struct handler_op *op, struct json *body, struct err *err)
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
    int code = normalise(op, body, &err);
    if (code < 0) {
        handler_fail_code(op, code, err.text);
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
static void set_defaults(struct handler_op *op, struct json *obj)
{
    if (!op->kind->custom) {
        schema_defaults(op->arena, kind_storage(op->kind)->type, obj);
    }
}

/* What clients send and the server never keeps. */
static void drop_foreign(struct json *meta)
{
    static const char *const members[] = {"selfLink", "clusterName"};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        (void)json_del(meta, members[i]);
    }
}

static bool check_rules(struct handler_op *op, const struct json *obj, const struct json *old)
{
    struct field_errors e;
    struct err err;
    if (authz_node_write(op->user, op->kind, obj, old, &err) < 0) {
        struct status_about node = handler_about(op);
        handler_fail(op, status_forbidden(op->arena, &node, err.text));
        return false;
    }
    field_errors_init(&e, op->arena);
    strategy_validate(&e, form_of(op), obj, old, handler_writes_status(op));
    if (e.n == 0) {
        return true;
    }
    struct status_about about = handler_about_kind(op, obj_name(obj));
    handler_fail(op, status_invalid(op->arena, &about, &e));
    return false;
}

/* ---- create ---- */

static void create_metadata(struct handler_op *op, struct json *obj)
{
    static const char *const cleared[] = {"resourceVersion",
                                          "uid",
                                          "creationTimestamp",
                                          "deletionTimestamp",
                                          "deletionGracePeriodSeconds",
                                          "generation"};
    char uid[UUID_TEXT_SIZE], now[TIME_TEXT_SIZE];
    struct json *meta = obj_meta(obj);
    for (size_t i = 0; i < ARRAY_SIZE(cleared); i++) {
        (void)json_del(meta, cleared[i]);
    }
    drop_foreign(meta);
    uuid_make(uid);
    json_set_str(meta, "uid", uid);
    json_set_str(meta, "resourceVersion", ""); /* its place; the value comes with the revision */
    if (op->kind->generation) {
        json_set_int(meta, "generation", 1);
    }
    json_set_str(meta, "creationTimestamp", time_text(wall_now(), now));
}

static void generate_name(struct handler_op *op, struct json *obj)
{
    char tail[6];
    struct json *meta = obj_meta(obj);
    const char *base = json_path_cstr(meta, "generateName", "");
    random_name(tail, 5);
    const char *name = arena_printf(op->arena, "%.*s%s", GENERATE_BASE, base, tail);
    json_set_str(meta, "name", name);
    op->name = name ? name : "";
}

static void create_submit(struct handler_op *op, struct json *obj)
{
    struct store *store = op->server->store;
    bool generated = op->attempts > 0;
    for (; generated && op->attempts < GENERATE_ATTEMPTS; op->attempts++) {
        const char *key = api_key(op->arena, op->kind, op->ns, op->name);
        if (!key || !store_get_latest(store, str_of(key))) {
            break;
        }
        generate_name(op, obj);
    }
    const char *key = api_key(op->arena, op->kind, op->ns, op->name);
    if (key && store_get_latest(store, str_of(key))) {
        struct status_about about = handler_about(op);
        handler_fail(op, status_exists(op->arena, &about));
        return;
    }
    if (op->opt.dry_run) {
        (void)json_del(obj_meta(obj), "resourceVersion");
        handler_dry(op, 201, obj);
        return;
    }
    handler_put(op, obj, 0, 201, NULL);
}

/* kind, apiVersion and metadata first, whatever the client's order was: people read raw answers. */
static struct json *in_order(struct arena *a, struct json *obj)
{
    static const char *const first[] = {"kind", "apiVersion", "metadata"};
    struct json *o = json_object(a);
    for (size_t i = 0; i < ARRAY_SIZE(first); i++) {
        json_set(o, first[i], json_get(obj, first[i]));
    }
    JSON_FOR_EACH_MEMBER (m, obj) {
        if (!json_get(o, m->key)) {
            json_set_n(o, str_n(m->key, m->key_n), m->value);
        }
    }
    return o;
}

/* ---- who has set what ---- */

struct apply_request handler_apply_request(const struct handler_op *op)
{
    return (struct apply_request){.kind = form_of(op),
                                  .api_version = op->kind->api_version,
                                  .manager = op->manager ? op->manager : "unknown",
                                  .subresource = op->sub ? op->sub->name : "",
                                  .now = wall_now(),
                                  .force = op->opt.force};
}

/* Notes what this write changes as its manager's; an applied object has its managers already. */
static bool track(struct handler_op *op, struct json *obj)
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

static void create_check(struct handler_op *op, struct json *obj)
{
    if (check_rules(op, obj, NULL)) {
        admission_validate(op, obj, create_submit);
    }
}

void handler_create(struct handler_op *op)
{
    struct json *body = op->body;
    if (!check_type(op, body) || !check_place(op, body) || !handler_check_schema(op, body)) {
        return;
    }
    if (*obj_rv(body)) {
        handler_fail(op,
                     status_failure(op->arena, 500, NULL,
                                    "resourceVersion should not be set on objects to be created",
                                    /* about= */ NULL));
        return;
    }
    op->name = obj_name(body);
    if (!*op->name && *json_path_cstr(body, "metadata.generateName", "")) {
        generate_name(op, body);
        op->attempts = 1;
    }
    if (!handler_guard(op, SERVER_CREATE, NULL) || !handler_namespace_open(op)) {
        return;
    }
    struct json *obj = in_order(op->arena, kind_to_storage(op->arena, op->kind, body));
    const struct kind *k = form_of(op);
    set_defaults(op, obj);
    create_metadata(op, obj);
    if (!track(op, obj)) { /* what the server adds from here on is nobody's */
        return;
    }
    strategy_create(op->arena, k, obj);
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    admission_mutate(op, obj, create_check);
}

/* ---- update ---- */

/* What no write may change in metadata comes from the stored object. */
static void update_metadata(struct json *obj, const struct json *old)
{
    static const char *const fixed[] = {
        "uid",        "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        "generation", "generateName",      "resourceVersion"};
    struct json *meta = obj_meta(obj);
    const struct json *was = json_get(old, "metadata");
    drop_foreign(meta);
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
    if (check_rules(op, obj, op->old)) {
        admission_validate(op, obj, handler_store_update);
    }
}

/* body is the whole wanted object, in served form. */
void handler_replace(struct handler_op *op, struct json *body)
{
    enum server_write verb = op->verb == HANDLER_PATCH ? SERVER_PATCH : SERVER_UPDATE;
    if (!check_type(op, body) || !check_place(op, body) || !handler_check_schema(op, body) ||
        !check_versions(op, body) || !handler_guard(op, verb, op->old)) {
        return;
    }
    const struct kind *k = form_of(op);
    struct json *obj = kind_to_storage(op->arena, op->kind, body);
    set_defaults(op, obj);
    struct json *managers = json_path(obj, "metadata.managedFields");
    strategy_update(op->arena, k, obj, op->old, handler_writes_status(op));
    update_metadata(obj, op->old);
    if (op->applied) { /* also where the rest of the metadata is not to be written */
        json_set(obj_meta(obj), "managedFields", managers);
    }
    if (!track(op, obj)) {
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
        return bad_request(op, "a patch must be a JSON object");
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
    if (code == -E_INVALID) {
        const char *text = arena_printf(op->arena,
                                        "the server rejected our request due to an error "
                                        "in our request: %s",
                                        err.text);
        struct status_about about = handler_about(op);
        handler_fail(op, status_failure(op->arena, 422, "Invalid", text, &about));
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

/* SPDX-License-Identifier: Apache-2.0 */
/* Server-side apply: a PATCH whose body is what its manager wants of the object (apply/managers.h).
 */
#include "api/handler_private.h"

#include "api/server_private.h"

static bool printable(const char *s)
{
    for (; *s; s++) {
        if ((unsigned char)*s < ' ' || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

static void check_manager(struct handler_op *op, struct field_errors *e)
{
    const char *manager = op->opt.field_manager ? op->opt.field_manager : "";
    bool apply = op->verb == HANDLER_PATCH && op->patch == HANDLER_PATCH_APPLY;
    if (apply && !*manager) {
        field_error(e, FIELD_REQUIRED, "fieldManager", NULL, "is required for apply patch");
    }
    if (strlen(manager) > APPLY_MANAGER_MAX) {
        field_error(e, FIELD_TOO_LONG, "fieldManager", NULL, "may not be more than 128 bytes");
    }
    if (!printable(manager)) {
        field_error_text(e, FIELD_INVALID, "fieldManager", manager,
                         "should only contain printable characters");
    }
    if (!apply && op->verb == HANDLER_PATCH && op->opt.has_force) {
        field_error(e, FIELD_FORBIDDEN, "force", NULL, "may not be specified for non-apply patch");
    }
}

bool handler_check_options(struct handler_op *op)
{
    struct status_about about = {.group = "meta.k8s.io",
                                 .kind = op->verb == HANDLER_CREATE   ? "CreateOptions"
                                         : op->verb == HANDLER_UPDATE ? "UpdateOptions"
                                                                      : "PatchOptions",
                                 .name = ""};
    struct field_errors e;
    field_errors_init(&e, op->arena);
    check_manager(op, &e);
    if (e.n > 0) {
        handler_fail(op, status_invalid(op->arena, &about, &e));
    }
    return e.n == 0;
}

/* A part of the object that this endpoint does not write is not applied either. */
static struct json *own_part(struct handler_op *op, struct json *body)
{
    if (!kind_has_status(op->kind)) {
        return body;
    }
    if (!handler_writes_status(op)) {
        (void)json_del(body, "status");
        return body;
    }
    static const char *const kept[] = {"kind", "apiVersion", "metadata", "status"};
    struct json *part = json_object(op->arena);
    for (size_t i = 0; i < ARRAY_SIZE(kept); i++) {
        json_set(part, kept[i], json_get(body, kept[i]));
    }
    return part;
}

/* `unknown field "spec.foo"` -> `.spec.foo: field not declared in schema` */
static bool refuse_unknown(struct handler_op *op)
{
    JSON_FOR_EACH (problem, op->problems) {
        struct str text = json_text(problem), field;
        if (!str_starts(text, "unknown field \"")) {
            continue;
        }
        (void)str_cut(str_n(text.p + 15, text.n - 15), '"', &field, NULL);
        handler_fail(op, status_failure(op->arena, 500, NULL,
                                        arena_printf(op->arena,
                                                     "failed to create typed patch object "
                                                     "(%s/%s; %s, Kind=%s): ." STR_FMT
                                                     ": field not declared in schema",
                                                     op->ns, op->name, op->kind->api_version,
                                                     op->kind->kind, STR_ARG(field)),
                                        /* about= */ NULL));
        return true;
    }
    return false;
}

/* The configuration is kept as it was sent: a zero is a wish, too. The schema is asked about a
 * copy.
 */
static bool check_config(struct handler_op *op)
{
    if (!json_is(op->body, JSON_OBJECT)) {
        handler_fail_code(op, -E_INVAL, "an apply patch must be an object");
        return false;
    }
    if (json_path(op->body, "metadata.managedFields")) {
        handler_fail_code(op, -E_INVAL, "metadata.managedFields must be nil");
        return false;
    }
    if (!handler_check_identity(op, op->body)) {
        return false;
    }
    enum field_validation validation = op->opt.validation;
    op->opt.validation = VALIDATION_IGNORE;
    if (!handler_check_schema(op, json_clone(op->arena, op->body)) || refuse_unknown(op)) {
        return false;
    }
    op->opt.validation = validation;
    return true;
}

static void conflict(struct handler_op *op, const struct apply_conflicts *c)
{
    struct arena *a = op->arena;
    struct json *s =
        status_failure(a, 409, "Conflict", apply_conflict_text(a, c), /* about= */ NULL);
    for (size_t i = 0; i < c->n; i++) {
        status_cause(s, "FieldManagerConflict",
                     arena_printf(a, "conflict with %s", c->items[i].manager), c->items[i].path);
    }
    handler_fail(op, s);
}

/* The object with the configuration applied; false when that has ended the operation. */
static bool apply(struct handler_op *op, const struct json *live, struct json **ret)
{
    struct apply_request r = handler_apply_request(op);
    struct apply_conflicts conflicts;
    struct err err = {0};
    r.kind = op->kind;
    int code = apply_config(op->arena, &r, live, own_part(op, op->body), ret, &conflicts, &err);
    op->applied = code == 0; /* a refusal ends the operation: nothing of it is touched after that */
    if (code == -E_CONFLICT) {
        conflict(op, &conflicts);
    } else if (code == -E_INVAL) {
        handler_fail(op, status_failure(op->arena, 500, NULL, err.text, /* about= */ NULL));
    } else if (code < 0) {
        handler_fail_code(op, code, err.text);
    }
    return code == 0;
}

static void create_by_apply(struct handler_op *op)
{
    struct status_about about = handler_about(op);
    struct json *obj;
    if (op->sub) {
        handler_fail(op, status_not_found(op->arena, &about));
        return;
    }
    if (*obj_uid(op->body)) {
        handler_fail(op, status_conflict(op->arena, &about,
                                         arena_printf(op->arena,
                                                      "uid mismatch: the provided object specified "
                                                      "uid %.64s, and no existing object was found",
                                                      obj_uid(op->body))));
        return;
    }
    op->verb = HANDLER_CREATE;
    if (handler_allowed(op) && apply(op, NULL, &obj)) {
        op->body = obj;
        handler_create(op);
    }
}

void handler_apply(struct handler_op *op)
{
    const char *key = api_key(op->arena, op->kind, op->ns, op->name);
    bool exists = key && store_get_latest(op->server->store, str_of(key));
    struct json *obj;
    op->applied = false;
    if (!check_config(op)) {
        return;
    }
    if (!exists) {
        create_by_apply(op);
    } else if (handler_load(op) && apply(op, kind_to_served(op->arena, op->kind, op->old), &obj)) {
        handler_replace(op, obj);
    }
}

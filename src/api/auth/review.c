/* SPDX-License-Identifier: Apache-2.0 */
/* Reviews: see review.h. */
#include "api/auth/review.h"

#include "api/auth/authn.h"
#include "api/auth/authz.h"
#include "api/auth/rbac.h"
#include "api/auth/tokens.h"
#include "api/handler_private.h"
#include "api/server_private.h"
#include "base/limits.h"

/* ---- answers ---- */

/* The request with a status: what its sender gets back. */
static void answer(struct handler_op *op, struct json *status)
{
    struct arena *a = op->arena;
    struct json *o = json_object(a);
    json_set_str(o, "kind", op->kind->kind);
    json_set_str(o, "apiVersion", op->kind->api_version);
    struct json *meta = json_get(op->body, "metadata");
    meta = json_set(o, "metadata", json_is(meta, JSON_OBJECT) ? meta : json_object(a));
    json_set(meta, "creationTimestamp", json_null(a));
    json_set(o, "spec", json_get(op->body, "spec"));
    json_set(o, "status", status);
    handler_ok_tree(op, 201, arena_failed(a) ? NULL : o);
}

static void invalid(struct handler_op *op, const char *path, const char *value, const char *detail)
{
    struct field_errors e;
    struct status_about about = handler_about_kind(op, obj_name(op->body));
    field_errors_init(&e, op->arena);
    field_error_text(&e, FIELD_INVALID, path, value, detail);
    handler_fail(op, status_invalid(op->arena, &about, &e));
}

/* ---- users ---- */

struct json *review_user_info(struct arena *a, const struct api_user *u)
{
    struct json *o = json_object(a);
    json_set_str(o, "username", u->name);
    json_set_str(o, "uid", u->uid);
    struct json *groups = json_ensure_array(o, "groups");
    for (const char *const *g = u->groups; *g; g++) {
        json_push(groups, json_string(a, *g));
    }
    if (json_len(u->extra)) {
        json_set(o, "extra", json_clone(a, u->extra));
    }
    return o;
}

void review_self_subject(struct handler_op *op)
{
    struct json *status = json_object(op->arena);
    json_set(status, "userInfo", review_user_info(op->arena, op->user));
    answer(op, status);
}

/* A NULL-terminated list of the texts of an array. */
static const char *const *texts(struct arena *a, const struct json *list, size_t max)
{
    size_t n = 0;
    const char **out = arena_zalloc(a, (MIN_OF(json_len(list), max) + 1) * sizeof(*out));
    JSON_FOR_EACH (item, out ? list : NULL) {
        if (n < max) {
            out[n++] = json_cstr(item, "");
        }
    }
    return out;
}

void review_token(struct handler_op *op)
{
    struct arena *a = op->arena;
    struct err err = {0};
    struct api_user u = {0};
    struct json *status = json_object(a);
    const struct json *wanted = json_path(op->body, "spec.audiences");
    const char *const *audiences =
        json_len(wanted) ? texts(a, wanted, LIMIT_TOKEN_AUDIENCES) : NULL;
    const char *const *common = NULL;
    struct str text = json_text(json_path(op->body, "spec.token"));
    if (text.n == 0) {
        handler_fail_code(op, -E_INVAL, "token is required for TokenReview in authentication");
        return;
    }
    int rc = authn_token(op->server, a, text, audiences, &u, &common, &err);
    if (rc == 0) {
        json_set_bool(status, "authenticated", true);
        json_set(status, "user", review_user_info(a, &u));
        struct json *list = common ? json_ensure_array(status, "audiences") : NULL;
        for (; common && *common; common++) {
            json_push(list, json_string(a, *common));
        }
    } else {
        const char *why = strchr(err.text, ' ');
        json_set(status, "user", json_object(a));
        json_set(status, "error", json_printf(a, "[invalid bearer token,%s]", why ? why : ""));
    }
    answer(op, status);
}

/* ---- may he? ---- */

static const char *text_at(const struct json *o, const char *key)
{
    return json_path_cstr(o, key, "");
}

/* False when it has ended the operation. */
static bool read_attributes(struct handler_op *op, const struct api_user *u,
                            struct authz_attrs *ret)
{
    const struct json *spec = json_get(op->body, "spec");
    const struct json *r = json_get(spec, "resourceAttributes");
    const struct json *n = json_get(spec, "nonResourceAttributes");
    if (!r == !n) {
        invalid(op, "spec.resourceAttributes", "null",
                r ? "cannot be specified in combination with nonResourceAttributes"
                  : "exactly one of nonResourceAttributes or resourceAttributes must be specified");
        return false;
    }
    *ret = (struct authz_attrs){.user = u,
                                .verb = text_at(r ? r : n, "verb"),
                                .group = text_at(r, "group"),
                                .resource = text_at(r, "resource"),
                                .subresource = text_at(r, "subresource"),
                                .ns = text_at(r, "namespace"),
                                .name = text_at(r, "name"),
                                .path = n ? text_at(n, "path") : NULL};
    return true;
}

static void answer_access(struct handler_op *op, const struct api_user *u)
{
    struct authz_attrs q;
    const char *reason;
    if (!read_attributes(op, u, &q)) {
        return;
    }
    struct json *status = json_object(op->arena);
    bool allowed = authz_explain(op->server, op->arena, &q, &reason);
    json_set_bool(status, "allowed", allowed);
    json_set_str(status, "reason", reason && *reason ? reason : NULL);
    answer(op, status);
}

void review_self_access(struct handler_op *op)
{
    answer_access(op, op->user);
}

void review_subject_access(struct handler_op *op)
{
    const struct json *spec = json_get(op->body, "spec");
    struct api_user u = {.name = text_at(spec, "user"),
                         .groups = texts(op->arena, json_get(spec, "groups"), SIZE_MAX),
                         .uid = json_path_cstr(spec, "uid", NULL),
                         .extra = json_get(spec, "extra")};
    if (!u.groups) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
    } else if (!*u.name && !*u.groups) {
        invalid(op, "spec.user", "", "at least one of user or group must be specified");
    } else {
        answer_access(op, &u);
    }
}

void review_local_access(struct handler_op *op)
{
    const struct json *r = json_path(op->body, "spec.resourceAttributes");
    if (json_path(op->body, "spec.nonResourceAttributes")) {
        invalid(op, "spec.nonResourceAttributes", "null", "disallowed on this kind of request");
    } else if (!cstr_eq(text_at(r, "namespace"), op->ns)) {
        invalid(op, "spec.resourceAttributes.namespace", text_at(r, "namespace"),
                "must match metadata.namespace");
    } else {
        review_subject_access(op);
    }
}

/* ---- what may he? ---- */

struct listing {
    struct arena *arena;
    struct json *resource, *other;
};

static bool list_rule(void *arg, const struct rbac_rule *rule)
{
    struct listing *l = arg;
    struct json *o = rbac_rule_json(l->arena, rule);
    json_push(*rule->resources ? l->resource : l->other, o);
    return !arena_failed(l->arena);
}

void review_self_rules(struct handler_op *op)
{
    struct arena *a = op->arena;
    const char *ns = json_path_cstr(op->body, "spec.namespace", "");
    struct json *status = json_object(a);
    struct listing l = {.arena = a};
    if (!*ns) {
        handler_fail_code(op, -E_INVAL, "no namespace on request");
        return;
    }
    l.resource = json_ensure_array(status, "resourceRules");
    l.other = json_ensure_array(status, "nonResourceRules");
    rbac_visit(op->server->rbac, op->user, ns, list_rule, &l);
    bool node = api_user_node(op->user) != NULL;
    json_set_bool(status, "incomplete", node);
    if (node) {
        json_set_str(status, "evaluationError",
                     "node authorizer does not support user rule resolution");
    }
    answer(op, status);
}

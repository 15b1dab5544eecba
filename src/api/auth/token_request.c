/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subresource token of a ServiceAccount (pkg/registry/core/serviceaccount/storage/token.go): a
 * token for some audiences and some time, bound to an object that lives.
 */
#include "api/auth/review.h"
#include "api/auth/tokens.h"
#include "api/handler_private.h"
#include "api/server_private.h"
#include "base/clock.h"
#include "base/limits.h"

#define SECONDS_DEFAULT 3600
#define SECONDS_LEAST 600
#define SECONDS_MOST (INT64_C(1) << 32)
/* A pod's own token asks for this; it lives a year, and its reader is expected to read the file
 * anew long before (Kubernetes' --service-account-extend-token-expiration). */
#define SECONDS_POD 3607
#define SECONDS_EXTENDED (INT64_C(365) * 24 * 3600)

static bool bad(struct handler_op *op, const char *text)
{
    handler_fail_code(op, -E_INVAL, text ? text : "out of memory");
    return false;
}

static bool forbid(struct handler_op *op, const char *why)
{
    struct status_about about = handler_about(op);
    handler_fail(op, status_forbidden(op->arena, &about, why));
    return false;
}

static bool check_seconds(struct handler_op *op, int64_t seconds)
{
    struct field_errors e;
    struct status_about about = {
        .group = "authentication.k8s.io", .kind = "TokenRequest", .name = op->name};
    if (seconds >= SECONDS_LEAST && seconds <= SECONDS_MOST) {
        return true;
    }
    field_errors_init(&e, op->arena);
    field_error(&e, FIELD_INVALID, "spec.expirationSeconds", json_int(op->arena, seconds),
                seconds < SECONDS_LEAST ? "may not specify a duration less than 10 minutes"
                                        : "may not specify a duration larger than 2^32 seconds");
    handler_fail(op, status_invalid(op->arena, &about, &e));
    return false;
}

static bool check_shape(struct handler_op *op)
{
    const struct json *spec = json_get(op->body, "spec");
    const struct json *seconds = json_get(spec, "expirationSeconds");
    const struct json *audiences = json_get(spec, "audiences");
    if (json_len(audiences) > LIMIT_TOKEN_AUDIENCES) {
        return bad(op, "spec.audiences has too many items");
    }
    const char *name = obj_name(op->body), *ns = obj_ns(op->body);
    if (*name && !cstr_eq(name, op->name)) {
        return bad(op, "the name of the object does not match the name on the URL");
    }
    if (*ns && !cstr_eq(ns, op->ns)) {
        return bad(op, "the namespace of the provided object does not match the namespace sent on "
                       "the request");
    }
    return check_seconds(op, json_i64(seconds, SECONDS_DEFAULT));
}

/* ---- what the token is bound to ---- */

static struct json *find(struct handler_op *op, const char *plural, const char *ns,
                         const char *name)
{
    const struct kind *k = kind_find("", "v1", plural);
    const char *key = api_key(op->arena, k, ns, name);
    struct store_item *it = key ? store_get_latest(op->server->store, str_of(key)) : NULL;
    return it ? handler_item_tree(op->arena, k, it) : NULL;
}

static bool find_bound(struct handler_op *op, const char *plural, const char *ns,
                       const struct json *ref, struct json **ret)
{
    const char *name = json_path_cstr(ref, "name", ""), *uid = json_path_cstr(ref, "uid", "");
    struct status_about about = {.kind = plural, .name = name};
    *ret = find(op, plural, ns, name);
    if (!*ret) {
        handler_fail(op, status_not_found(op->arena, &about));
        return false;
    }
    if (*uid && !cstr_eq(uid, obj_uid(*ret))) {
        const char *why = arena_printf(
            op->arena,
            "the UID in the bound object reference (%.64s) does not match the UID in record. The "
            "object might have been deleted and then recreated",
            uid);
        handler_fail(op, status_conflict(op->arena, &about, why));
        return false;
    }
    return true;
}

static struct token_binding binding_of(const struct json *obj)
{
    return (struct token_binding){obj_name(obj), obj_uid(obj)};
}

static bool bind_pod(struct handler_op *op, const struct json *ref, struct token_request *r)
{
    struct json *pod;
    if (!find_bound(op, "pods", op->ns, ref, &pod)) {
        return false;
    }
    if (!cstr_eq(json_path_cstr(pod, "spec.serviceAccountName", "default"), op->name)) {
        return bad(op, arena_printf(op->arena,
                                    "cannot bind token for serviceaccount \"%s\" to pod running "
                                    "with different serviceaccount name.",
                                    op->name));
    }
    const char *node = json_path_cstr(pod, "spec.nodeName", "");
    const struct json *on = *node ? find(op, "nodes", "", node) : NULL;
    r->pod = binding_of(pod);
    if (*node) {
        r->node = (struct token_binding){node, on ? obj_uid(on) : ""};
    }
    return true;
}

static bool bind_object(struct handler_op *op, struct token_request *r)
{
    const struct json *ref = json_path(op->body, "spec.boundObjectRef");
    const char *kind = json_path_cstr(ref, "kind", "");
    const char *version = json_path_cstr(ref, "apiVersion", "");
    struct json *obj;
    if (!json_is(ref, JSON_OBJECT) || (!*kind && !*version && !json_path(ref, "name"))) {
        return true;
    }
    bool core = !*version || cstr_eq(version, "v1");
    if (core && cstr_eq(kind, "Pod")) {
        return bind_pod(op, ref, r);
    }
    if (core && cstr_eq(kind, "Secret")) {
        bool found = find_bound(op, "secrets", op->ns, ref, &obj);
        r->secret = found ? binding_of(obj) : r->secret;
        return found;
    }
    if (core && cstr_eq(kind, "Node")) {
        bool found = find_bound(op, "nodes", "", ref, &obj);
        r->node = found ? binding_of(obj) : r->node;
        return found;
    }
    return bad(op,
               arena_printf(op->arena, "cannot bind token to object of type %.100s, Kind=%.100s",
                            version, kind));
}

/* A node asks only for its own pods (NodeRestriction). */
static bool check_node(struct handler_op *op, const struct token_request *r)
{
    const char *node = api_user_node(op->user);
    if (!node || api_user_in(op->user, "system:masters")) {
        return true;
    }
    if (!r->pod.name) {
        return forbid(op, "node requested token not bound to a pod");
    }
    if (!*json_path_cstr(op->body, "spec.boundObjectRef.uid", "")) {
        return forbid(op, "node requested token with a pod binding without a uid");
    }
    if (!cstr_eq(r->node.name, node)) {
        return forbid(op, "node requested token bound to a pod scheduled on a different node");
    }
    return true;
}

/* ---- the answer ---- */

static const char *const *audiences_of(struct handler_op *op)
{
    static const char *const own[] = {TOKENS_ISSUER, NULL};
    const struct json *list = json_path(op->body, "spec.audiences");
    const char **out = arena_zalloc(op->arena, (json_len(list) + 1) * sizeof(*out));
    size_t n = 0;
    JSON_FOR_EACH (one, out ? list : NULL) {
        out[n++] = json_cstr(one, "");
    }
    return n == 0 && out ? own : out;
}

static bool for_this_server(const char *const *audiences)
{
    for (; *audiences; audiences++) {
        if (cstr_eq(*audiences, TOKENS_ISSUER)) {
            return true;
        }
    }
    return false;
}

static void answer(struct handler_op *op, const struct token_request *r, const char *token,
                   struct wall end)
{
    struct arena *a = op->arena;
    char text[TIME_TEXT_SIZE];
    struct json *o = json_object(a);
    json_set_str(o, "kind", "TokenRequest");
    json_set_str(o, "apiVersion", "authentication.k8s.io/v1");
    struct json *meta = json_set(o, "metadata", json_object(a));
    json_set_str(meta, "name", op->name);
    json_set_str(meta, "namespace", op->ns);
    json_set_str(meta, "creationTimestamp", time_text(wall_now(), text));
    struct json *spec = json_set(o, "spec", json_object(a));
    struct json *audiences = json_ensure_array(spec, "audiences");
    for (const char *const *one = r->audiences; *one; one++) {
        json_push(audiences, json_string(a, *one));
    }
    json_set_int(spec, "expirationSeconds",
                 json_path_i64(op->body, "spec.expirationSeconds", SECONDS_DEFAULT));
    struct json *ref = json_path(op->body, "spec.boundObjectRef");
    json_set(spec, "boundObjectRef", json_len(ref) ? ref : json_null(a));
    struct json *status = json_set(o, "status", json_object(a));
    json_set_str(status, "token", token);
    json_set_str(status, "expirationTimestamp", time_text(end, text));
    handler_ok_tree(op, 201, arena_failed(a) ? NULL : o);
}

/* A pod's token lives longer than it was asked for; what it asked for is when to warn. */
static void extend(struct token_request *r)
{
    if (r->pod.name && r->seconds == SECONDS_POD && for_this_server(r->audiences)) {
        r->warn_seconds = r->seconds;
        r->seconds = SECONDS_EXTENDED;
    }
}

void token_request_run(struct handler_op *op)
{
    if (!handler_load(op) || !check_shape(op)) {
        return;
    }
    struct token_request r = {
        .ns = op->ns,
        .name = op->name,
        .uid = obj_uid(op->old),
        .audiences = audiences_of(op),
        .seconds = json_path_i64(op->body, "spec.expirationSeconds", SECONDS_DEFAULT)};
    if (!r.audiences) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    if (!bind_object(op, &r) || !check_node(op, &r)) {
        return;
    }
    const char *token = "";
    struct wall end;
    int64_t seconds = r.seconds;
    extend(&r);
    int rc = op->opt.dry_run ? 0 : tokens_issue(op->server->sa_tokens, op->arena, &r, &token, &end);
    if (rc < 0) {
        handler_fail_code(op, rc, rc == -E_NOTSUP ? "this server signs no tokens" : err_text(rc));
        return;
    }
    end = (struct wall){wall_now().us + seconds * 1000000};
    answer(op, &r, token, end);
}

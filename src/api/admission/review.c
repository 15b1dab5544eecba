/* SPDX-License-Identifier: Apache-2.0 */
/* AdmissionReview's request (admission.k8s.io/v1), and the authorizer of expressions. */
#include "api/admission/review.h"

#include "api/auth/authz.h"
#include "api/object.h"
#include "base/mem.h"

/* ---- the request ---- */

const char *admission_operation(const struct admission *ad)
{
    static const char *const names[] = {[SERVER_CREATE] = "CREATE",
                                        [SERVER_UPDATE] = "UPDATE",
                                        [SERVER_PATCH] = "UPDATE",
                                        [SERVER_DELETE] = "DELETE",
                                        [SERVER_CONNECT] = "CONNECT"};
    return names[ad->verb];
}

static struct json *triple(struct arena *a, const struct kind *k, const char *last,
                           const char *value)
{
    struct json *o = json_object(a);
    json_set_str(o, "group", k->group);
    json_set_str(o, "version", k->version);
    json_set_str(o, last, value);
    return o;
}

/* What is asked about where that is no object of the kind: the options of a connection, an
 * Eviction. NULL otherwise. */
static const struct json *own_body(const struct admission *ad)
{
    const struct kind_subresource *sub = ad->op->sub;
    if (ad->verb == SERVER_CONNECT) {
        return ad->obj;
    }
    return sub && sub->sub == KIND_SUB_EVICTION ? ad->op->body : NULL;
}

static struct json *kind_of(const struct admission *ad, const struct kind *k)
{
    struct arena *a = ad->op->arena;
    const struct json *body = own_body(ad);
    struct str group = STR_NULL, version = str_of(obj_api_version(body));
    if (!body) {
        return triple(a, k, "kind", k->kind);
    }
    struct json *o = json_object(a);
    if (!str_cut(version, '/', &group, &version)) {
        version = group;
        group = STR_NULL;
    }
    json_set(o, "group", json_string_n(a, group));
    json_set(o, "version", json_string_n(a, version));
    json_set_str(o, "kind", obj_kind(body));
    return o;
}

static struct json *user_of(struct arena *a, const struct api_user *user)
{
    struct json *o = json_object(a), *groups = json_array(a);
    json_set_str(o, "username", user->name);
    json_set_str(o, "uid", user->uid);
    for (size_t i = 0; user->groups[i]; i++) {
        json_push(groups, json_string(a, user->groups[i]));
    }
    json_set(o, "groups", groups);
    if (user->extra) {
        json_set(o, "extra", (struct json *)user->extra);
    }
    return o;
}

static struct json *options_of(const struct admission *ad)
{
    static const char *const kinds[] = {[SERVER_CREATE] = "CreateOptions",
                                        [SERVER_UPDATE] = "UpdateOptions",
                                        [SERVER_PATCH] = "PatchOptions",
                                        [SERVER_DELETE] = "DeleteOptions"};
    struct arena *a = ad->op->arena;
    if (ad->verb == SERVER_CONNECT) {
        return json_null(a);
    }
    struct json *o = json_object(a);
    json_set_str(o, "kind", kinds[ad->verb]);
    json_set_str(o, "apiVersion", "meta.k8s.io/v1");
    json_set_str(o, "fieldManager", ad->op->opt.field_manager);
    if (ad->op->opt.dry_run) {
        json_push(json_set(o, "dryRun", json_array(a)), json_string(a, "All"));
    }
    return o;
}

static struct json *served(const struct admission *ad, const struct kind *as,
                           const struct json *obj)
{
    struct arena *a = ad->op->arena;
    return obj ? kind_to_served(a, as, json_clone(a, obj)) : json_null(a);
}

struct json *admission_request(const struct admission *ad, const struct kind *as, const char *uid)
{
    const struct handler_op *op = ad->op;
    const struct kind *k = op->kind;
    struct arena *a = op->arena;
    struct json *r = json_object(a);
    json_set_str(r, "uid", uid);
    json_set(r, "kind", kind_of(ad, as));
    json_set(r, "resource", triple(a, as, "resource", as->plural));
    json_set(r, "requestKind", kind_of(ad, k));
    json_set(r, "requestResource", triple(a, k, "resource", k->plural));
    if (*ad->subresource) {
        json_set_str(r, "subResource", ad->subresource);
        json_set_str(r, "requestSubResource", ad->subresource);
    }
    json_set_str(r, "name", op->name);
    if (*op->ns) {
        json_set_str(r, "namespace", op->ns);
    }
    json_set_str(r, "operation", admission_operation(ad));
    json_set(r, "userInfo", user_of(a, op->user));
    const struct json *body = own_body(ad);
    json_set(r, "object", body ? json_clone(a, body) : served(ad, as, ad->obj));
    json_set(r, "oldObject", body ? json_null(a) : served(ad, as, ad->old));
    json_set_bool(r, "dryRun", op->opt.dry_run);
    json_set(r, "options", options_of(ad));
    return r;
}

/* ---- the authorizer ---- */

/* The user of a service account, with the groups that its tokens give it. */
static bool account_user(struct arena *a, const struct cel_access *q, struct api_user *ret)
{
    const char **groups = arena_zalloc(a, 4 * sizeof(*groups));
    const char *name = arena_printf(a, "system:serviceaccount:%s:%s", q->account_ns, q->account);
    if (!groups || !name) {
        return false;
    }
    groups[0] = "system:serviceaccounts";
    groups[1] = arena_printf(a, "system:serviceaccounts:%s", q->account_ns);
    groups[2] = "system:authenticated";
    *ret = (struct api_user){.name = name, .groups = groups};
    return groups[1] != NULL;
}

static void ask(void *arg, const struct cel_access *q, struct cel_access_answer *ret)
{
    struct handler_op *op = arg;
    struct api_user account;
    struct authz_attrs attrs = {.user = op->user,
                                .verb = q->verb,
                                .group = q->group,
                                .resource = q->resource,
                                .subresource = q->subresource,
                                .ns = q->ns,
                                .name = q->name,
                                .path = *q->path ? q->path : NULL,
                                .field_selector = *q->field_selector ? q->field_selector : NULL};
    *ret = (struct cel_access_answer){.reason = ""};
    if (*q->account) {
        if (!account_user(op->arena, q, &account)) {
            ret->error = "out of memory";
            return;
        }
        attrs.user = &account;
    }
    const char *reason = "";
    ret->allowed = authz_explain(op->server, op->arena, &attrs, &reason);
    ret->reason = reason ? reason : "";
}

struct cel_authorizer admission_authorizer(struct handler_op *op)
{
    return (struct cel_authorizer){.ask = ask, .arg = op};
}

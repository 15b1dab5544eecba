/* SPDX-License-Identifier: Apache-2.0 */
/* Authorization: see authz.h. */
#include "api/auth/authz.h"

#include "api/auth/rbac.h"
#include "api/selector.h"
#include "api/server_private.h"

#define PATH_SHOWN 200u /* bytes of a path in a refusal */

const char *authz_verb(enum handler_verb v)
{
    static const char *const names[HANDLER_VERB_NR] = {
        [HANDLER_GET] = "get",       [HANDLER_LIST] = "list",
        [HANDLER_CREATE] = "create", [HANDLER_UPDATE] = "update",
        [HANDLER_PATCH] = "patch",   [HANDLER_DELETE] = "delete",
        [HANDLER_WATCH] = "watch",   [HANDLER_DELETE_COLLECTION] = "deletecollection",
    };
    return names[v];
}

static bool allows(struct api_server *s, struct arena *a, const struct authz_attrs *q)
{
    return api_user_in(q->user, "system:masters") || rbac_allows(s->rbac, q) ||
           authz_node_allows(s, a, q);
}

bool authz_explain(struct api_server *s, struct arena *a, const struct authz_attrs *q,
                   const char **ret_reason)
{
    const char *node = api_user_node(q->user);
    *ret_reason = "";
    if (api_user_in(q->user, "system:masters") || authz_node_allows(s, a, q)) {
        return true;
    }
    bool allowed = rbac_explain(s->rbac, a, q, ret_reason);
    if (!allowed && node && !q->path && *ret_reason && !**ret_reason) {
        *ret_reason =
            arena_printf(a, "no relationship found between node '%s' and this object", node);
    }
    return allowed;
}

/* ---- refusals ---- */

static int refuse(struct api_server *s, struct arena *a, const struct authz_attrs *q,
                  struct err *err)
{
    const char *reason;
    if (authz_explain(s, a, q, &reason)) {
        return 0; /* cannot be: both ways read the same rules */
    }
    const char *sep = reason && *reason ? ": " : "";
    reason = reason ? reason : "";
    if (q->path) {
        return err_set(err, -E_ACCESS, "forbidden: User \"%s\" cannot %s path \"%.*s\"%s%s",
                       q->user->name, q->verb, (int)PATH_SHOWN, q->path, sep, reason);
    }
    if (*q->ns) {
        return err_set(err, -E_ACCESS,
                       "User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\" in the "
                       "namespace \"%s\"%s%s",
                       q->user->name, q->verb, q->resource, *q->subresource ? "/" : "",
                       q->subresource, q->group, q->ns, sep, reason);
    }
    return err_set(err, -E_ACCESS,
                   "User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\" at the cluster "
                   "scope%s%s",
                   q->user->name, q->verb, q->resource, *q->subresource ? "/" : "", q->subresource,
                   q->group, sep, reason);
}

int authz_ask(struct api_server *s, struct arena *a, const struct authz_attrs *q, struct err *err)
{
    return allows(s, a, q) ? 0 : refuse(s, a, q, err);
}

/* ---- operations on kinds ---- */

/* A list or watch whose field selector asks for one name is about that object. */
static const char *selected_name(struct arena *a, const struct authz_request *r)
{
    struct selector *s = NULL;
    bool many = r->verb == HANDLER_LIST || r->verb == HANDLER_WATCH;
    if (!many || *r->name || !r->field_selector || !strstr(r->field_selector, "metadata.name") ||
        selector_parse_fields(a, r->field_selector, &s, NULL) < 0) {
        return r->name;
    }
    for (size_t i = 0; i < s->n; i++) {
        if (s->terms[i].op == SELECTOR_EQ && cstr_eq(s->terms[i].key, "metadata.name")) {
            return s->terms[i].values[0];
        }
    }
    return r->name;
}

int authz_check(struct api_server *s, struct arena *a, const struct authz_request *r,
                struct err *err)
{
    if (api_user_in(r->user, "system:masters")) {
        return 0;
    }
    struct authz_attrs q = {.user = r->user,
                            .verb = authz_verb(r->verb),
                            .group = r->kind->group,
                            .resource = r->kind->plural,
                            .subresource = r->subresource,
                            .ns = r->ns,
                            .name = selected_name(a, r),
                            .field_selector = r->field_selector,
                            .body = r->body};
    return authz_ask(s, a, &q, err);
}

int authz_path(struct api_server *s, struct arena *a, const struct api_user *u, const char *verb,
               struct str path, struct err *err)
{
    struct authz_attrs q = {.user = u,
                            .verb = verb,
                            .group = "",
                            .resource = "",
                            .subresource = "",
                            .ns = "",
                            .name = "",
                            .path = arena_str(a, path)};
    if (api_user_in(u, "system:masters")) {
        return 0;
    }
    return q.path ? authz_ask(s, a, &q, err) : err_set(err, -E_NOMEM, "out of memory");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Impersonation: see impersonate.h. After k8s.io/apiserver/pkg/endpoints/filters/impersonation.go.
 */
#include "api/auth/impersonate.h"

#include "api/auth/authz.h"
#include "api/status.h"
#include "base/encode.h"
#include "base/limits.h"
#include "base/mem.h"

#define USER "impersonate-user"
#define GROUP "impersonate-group"
#define UID "impersonate-uid"
#define EXTRA "impersonate-extra-"
#define ACCOUNT "system:serviceaccount:"

struct wish {
    struct api_server *server;
    struct arena *arena;
    const struct api_user *asker;
    const char *user, *uid;
    const char **groups;
    size_t n_groups;
    struct json *extra;
    size_t n_extra;
    struct json *status;
};

static int refuse(struct wish *w, int code, struct json *status)
{
    w->status = status;
    return code;
}

static bool starts_icase(struct str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && str_ieq(str_n(s.p, n), str_n(prefix, n));
}

/* ---- reading ---- */

/* The key of an extra header: lower case, percent-encoding undone. */
static const char *extra_key(struct arena *a, struct str name)
{
    char *key = arena_strndup(a, name.p + strlen(EXTRA), name.n - strlen(EXTRA));
    for (char *c = key; c && *c; c++) {
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    }
    char *plain = key ? percent_decode(a, str_of(key), /* plus_is_space= */ false) : NULL;
    return plain ? plain : key;
}

static int read_header(struct wish *w, const struct http_header *h)
{
    struct arena *a = w->arena;
    const char *value = arena_str(a, h->value);
    if (str_iis(h->name, USER)) {
        w->user = value;
    } else if (str_iis(h->name, UID)) {
        w->uid = value;
    } else if (str_iis(h->name, GROUP)) {
        w->groups[w->n_groups++] = value;
    } else {
        const char *key = extra_key(a, h->name);
        struct json *list = key ? json_ensure_array(w->extra, key) : NULL;
        json_push(list, json_string(a, value));
        w->n_extra++;
    }
    if (w->n_groups + w->n_extra > LIMIT_IMPERSONATION_GROUPS) {
        return refuse(w, -E_LIMIT,
                      status_code(a, -E_INVAL, "too many groups and extra values to impersonate"));
    }
    return arena_failed(a) ? -E_NOMEM : 0;
}

static int read_headers(struct wish *w, const struct http_headers *h)
{
    w->groups = arena_zalloc(w->arena, (LIMIT_IMPERSONATION_GROUPS + 6) * sizeof(*w->groups));
    w->extra = json_object(w->arena);
    if (!w->groups || !w->extra) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < h->n; i++) {
        if (starts_icase(h->v[i].name, "impersonate-") &&
            (str_iis(h->v[i].name, USER) || str_iis(h->v[i].name, GROUP) ||
             str_iis(h->v[i].name, UID) || starts_icase(h->v[i].name, EXTRA))) {
            int rc = read_header(w, &h->v[i]);
            if (rc < 0) {
                return rc;
            }
        }
    }
    if (w->user && *w->user) {
        return 0;
    }
    return refuse(w, -E_INVALID,
                  status_failure(w->arena, 500, "InternalError",
                                 "Internal error occurred: requested groups, uid or extra values "
                                 "without impersonating a user",
                                 /* about= */ NULL));
}

/* ---- may he? ---- */

static int may(struct wish *w, const char *group, const char *resource, const char *sub,
               const char *ns, const char *name)
{
    struct err err;
    struct authz_attrs q = {.user = w->asker,
                            .verb = "impersonate",
                            .group = group,
                            .resource = resource,
                            .subresource = sub,
                            .ns = ns,
                            .name = name};
    int rc = authz_ask(w->server, w->arena, &q, &err);
    if (rc == 0) {
        return 0;
    }
    struct status_about about = {.group = group, .kind = resource, .name = name};
    return refuse(w, rc, status_forbidden(w->arena, &about, err.text));
}

static bool account_of(struct arena *a, const char *user, const char **ret_ns,
                       const char **ret_name)
{
    struct str rest, ns, name;
    if (!str_starts(str_of(user), ACCOUNT)) {
        return false;
    }
    rest = str_of(user + strlen(ACCOUNT));
    if (!str_cut(rest, ':', &ns, &name) || !ns.n || !name.n) {
        return false;
    }
    *ret_ns = arena_str(a, ns);
    *ret_name = arena_str(a, name);
    return *ret_ns && *ret_name;
}

static int may_user(struct wish *w)
{
    const char *ns, *name;
    if (account_of(w->arena, w->user, &ns, &name)) {
        return may(w, "", "serviceaccounts", "", ns, name);
    }
    return may(w, "", "users", "", "", w->user);
}

static int may_all(struct wish *w)
{
    int rc = may_user(w);
    for (size_t i = 0; i < w->n_groups && rc == 0; i++) {
        rc = may(w, "", "groups", "", "", w->groups[i]);
    }
    JSON_FOR_EACH_MEMBER (m, w->extra) {
        JSON_FOR_EACH (value, rc == 0 ? m->value : NULL) {
            rc = may(w, "authentication.k8s.io", "userextras", m->key, "", json_cstr(value, ""));
            if (rc < 0) {
                break;
            }
        }
    }
    return rc == 0 && w->uid ? may(w, "authentication.k8s.io", "uids", "", "", w->uid) : rc;
}

/* ---- the other ---- */

static bool has_group(const struct wish *w, const char *group)
{
    for (size_t i = 0; i < w->n_groups; i++) {
        if (cstr_eq(w->groups[i], group)) {
            return true;
        }
    }
    return false;
}

static void add_group(struct wish *w, const char *group)
{
    if (!has_group(w, group)) {
        w->groups[w->n_groups++] = group;
    }
}

static void become(struct wish *w, struct api_user *u)
{
    const char *ns, *name;
    if (w->n_groups == 0 && account_of(w->arena, w->user, &ns, &name)) {
        add_group(w, "system:serviceaccounts");
        add_group(w, arena_printf(w->arena, "system:serviceaccounts:%s", ns));
    }
    if (cstr_eq(w->user, "system:anonymous")) {
        add_group(w, "system:unauthenticated");
    } else if (!has_group(w, "system:unauthenticated")) {
        add_group(w, "system:authenticated");
    }
    *u = (struct api_user){.name = w->user,
                           .groups = w->groups,
                           .uid = w->uid,
                           .extra = json_len(w->extra) ? w->extra : NULL};
}

int impersonate(struct api_server *s, struct arena *a, const struct http_headers *h,
                struct api_user *u, struct json **ret_status)
{
    struct wish w = {.server = s, .arena = a, .asker = u};
    bool wanted = false;
    for (size_t i = 0; i < h->n && !wanted; i++) {
        wanted = starts_icase(h->v[i].name, "impersonate-") &&
                 (str_iis(h->v[i].name, USER) || str_iis(h->v[i].name, GROUP) ||
                  str_iis(h->v[i].name, UID) || starts_icase(h->v[i].name, EXTRA));
    }
    if (!wanted) {
        return 0;
    }
    int rc = read_headers(&w, h);
    rc = rc < 0 ? rc : may_all(&w);
    if (rc == 0) {
        become(&w, u);
        rc = arena_failed(a) ? -E_NOMEM : 0;
    }
    if (rc < 0) {
        *ret_status = w.status ? w.status : status_code(a, -E_NOMEM, "out of memory");
    }
    return rc;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nobody grants what he does not hold: a role's writer needs every permission in it (or the verb
 * escalate on it), the writer of a binding every permission of its role (or the verb bind on that).
 * After pkg/registry/rbac/{role,rolebinding}/policybased and its texts.
 */
#include <stdlib.h>

#include "api/admission/admission.h"
#include "api/auth/rbac.h"
#include "api/object.h"
#include "api/server_private.h"

#define GROUP "rbac.authorization.k8s.io"

/* ---- what the writer holds ---- */

struct holdings {
    struct arena *arena;
    struct rbac_rule *rules;
    size_t n, cap;
};

static bool hold(void *arg, const struct rbac_rule *rule)
{
    struct holdings *h = arg;
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 64, size = sizeof(*h->rules);
        struct rbac_rule *grown = arena_grow(h->arena, h->rules, h->cap * size, cap * size);
        if (!grown) {
            return false;
        }
        h->rules = grown;
        h->cap = cap;
    }
    h->rules[h->n++] = *rule;
    return true;
}

static bool may(struct admission *ad, const char *verb, const char *resource, const char *ns,
                const char *name)
{
    struct authz_attrs q = {.user = ad->op->user,
                            .verb = verb,
                            .group = GROUP,
                            .resource = resource,
                            .subresource = "",
                            .ns = ns,
                            .name = name};
    return authz_ask(ad->op->server, ad->op->arena, &q, NULL) == 0;
}

/* ---- the refusal ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *groups_text(struct arena *a, const struct api_user *u)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    for (const char *const *g = u->groups; *g; g++) {
        (void)buf_puts(&b, g == u->groups ? "" : " "); /* sticky, here and below */
        (void)json_print_string(&b, str_of(*g));
    }
    return buf_failed(&b) ? NULL : arena_str(a, buf_str(&b));
}

static bool refuse(struct admission *ad, struct rbac_rule *missing, size_t n)
{
    struct arena *a = ad->op->arena;
    n = rbac_rules_compact(a, missing, n);
    const char **lines = arena_zalloc(a, n * sizeof(*lines));
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    for (size_t i = 0; i < n && lines; i++) {
        lines[i] = rbac_rule_text(a, &missing[i]);
    }
    if (arena_failed(a)) {
        return admission_refuse(ad, NULL);
    }
    qsort(lines, n, sizeof(*lines), by_text);
    (void)buf_printf(&text,
                     "user \"%s\" (groups=[%s]) is attempting to grant RBAC permissions not "
                     "currently held:\n",
                     ad->op->user->name, groups_text(a, ad->op->user));
    for (size_t i = 0; i < n; i++) {
        (void)buf_printf(&text, "%s%s", i ? "\n" : "", lines[i]);
    }
    return buf_failed(&text) ? admission_refuse(ad, NULL)
                             : admission_forbid(ad, arena_str(a, buf_str(&text)));
}

/* Whether the writer holds all rules; ns "" when they are to hold cluster-wide. */
static bool holds(struct admission *ad, const char *ns, const struct json *rules)
{
    struct holdings h = {.arena = ad->op->arena};
    struct rbac_rule *wanted, *missing = NULL;
    size_t n = 0, n_wanted = rbac_rules_parse(ad->op->arena, rules, &wanted);
    rbac_visit(ad->op->server->rbac, ad->op->user, ns, hold, &h);
    int rc = rbac_rules_missing(ad->op->arena, h.rules, h.n, wanted, n_wanted, &missing, &n);
    if (rc == -E_LIMIT) {
        return admission_forbid(ad, "the role has too many rules to be compared with what its "
                                    "writer holds");
    }
    if (rc < 0) {
        return admission_refuse(ad, NULL);
    }
    return n == 0 || refuse(ad, missing, n);
}

/* ---- roles ---- */

static bool same(const struct json *a, const struct json *b, const char *member)
{
    const struct json *x = json_get(a, member), *y = json_get(b, member);
    return (!json_len(x) && !json_len(y)) || (x && y && json_equal(x, y));
}

static bool check_role(struct admission *ad)
{
    const char *ns = obj_ns(ad->obj);
    if (ad->old && same(ad->obj, ad->old, "rules") && same(ad->obj, ad->old, "aggregationRule")) {
        return true;
    }
    if (may(ad, "escalate", ad->kind->plural, ns, obj_name(ad->obj))) {
        return true;
    }
    /* An aggregated role may come to hold anything. */
    struct authz_attrs all = {.user = ad->op->user,
                              .verb = "*",
                              .group = "*",
                              .resource = "*",
                              .subresource = "",
                              .ns = "",
                              .name = ""};
    if (json_get(ad->obj, "aggregationRule") &&
        authz_ask(ad->op->server, ad->op->arena, &all, NULL) < 0) {
        return admission_forbid(ad,
                                "must have cluster-admin privileges to use the aggregationRule");
    }
    return holds(ad, ns, json_get(ad->obj, "rules"));
}

/* ---- bindings ---- */

static bool check_binding(struct admission *ad)
{
    const char *ns = obj_ns(ad->obj);
    const char *name = json_path_cstr(ad->obj, "roleRef.name", "");
    bool local = cstr_eq(json_path_cstr(ad->obj, "roleRef.kind", ""), "Role");
    const char *resource = local ? "roles" : "clusterroles";
    const struct kind *k = kind_find(GROUP, "v1", resource);
    if (ad->old && same(ad->obj, ad->old, "roleRef") && same(ad->obj, ad->old, "subjects")) {
        return true;
    }
    if (may(ad, "bind", resource, ns, name)) {
        return true;
    }
    struct json *role = admission_get(ad, k, local ? ns : "", name);
    if (!role) {
        struct status_about about = {.group = GROUP, .kind = resource, .name = name};
        return admission_refuse(ad, status_not_found(ad->op->arena, &about));
    }
    return holds(ad, ns, json_get(role, "rules"));
}

static bool validate(struct admission *ad)
{
    static const struct {
        const char *plural;
        bool (*check)(struct admission *ad);
    } kinds[] = {{"clusterrolebindings", check_binding},
                 {"clusterroles", check_role},
                 {"rolebindings", check_binding},
                 {"roles", check_role}};
    if (!cstr_eq(ad->kind->group, GROUP) || !ad->obj ||
        api_user_in(ad->op->user, "system:masters")) {
        return true;
    }
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (cstr_eq(kinds[i].plural, ad->kind->plural)) {
            return kinds[i].check(ad);
        }
    }
    return true;
}

const struct admission_plugin escalation_plugin = {.name = "RBACEscalation", .validate = validate};

/* SPDX-License-Identifier: Apache-2.0 */
/* Decisions over the index of roles and bindings, and the reasons for them; see rbac.h. */
#include "api/auth/rbac_private.h"

#define GROUP RBAC_GROUP
#define DECISION_KEY 512

/* ---- walking ---- */

/* A rule, how it came to the user, and nothing (rule NULL) when the binding's role is missing. */
typedef bool walk_fn(void *arg, const struct rbac_rule *rule, const struct subject_link *link);

static bool walk_link(struct rbac *r, const struct subject_link *l, walk_fn *fn, void *arg)
{
    const struct role *role = map_get(&r->roles, str_of(l->binding->role));
    if (!role) {
        return fn(arg, NULL, l);
    }
    for (size_t i = 0; i < role->n; i++) {
        if (!fn(arg, &role->rules[i], l)) {
            return false;
        }
    }
    return true;
}

/* The bindings of one subject: cluster-wide ones, or those of the namespace. */
static bool walk_subject(struct rbac *r, char type, const char *name, const char *ns, walk_fn *fn,
                         void *arg)
{
    char key[512];
    size_t n = strlen(name);
    if (n + 1 >= sizeof(key)) {
        return true; /* no binding can name it: names of subjects are shorter */
    }
    key[0] = type;
    memcpy(key + 1, name, n);
    struct subject *s = map_get(&r->subjects, str_n(key, n + 1));
    if (!s) {
        return true;
    }
    LIST_FOR_EACH (at, &s->links) {
        const struct subject_link *l = CONTAINER_OF(at, struct subject_link, in_subject);
        if (strcmp(l->binding->ns, ns) == 0 && !walk_link(r, l, fn, arg)) {
            return false;
        }
    }
    return true;
}

static bool walk_scope(struct rbac *r, const struct api_user *u, const char *ns, walk_fn *fn,
                       void *arg)
{
    if (!walk_subject(r, 'U', u->name, ns, fn, arg)) {
        return false;
    }
    for (const char *const *g = u->groups; *g; g++) {
        if (!walk_subject(r, 'G', *g, ns, fn, arg)) {
            return false;
        }
    }
    return true;
}

static void walk(struct rbac *r, const struct api_user *u, const char *ns, walk_fn *fn, void *arg)
{
    if (walk_scope(r, u, "", fn, arg) && *ns) {
        (void)walk_scope(r, u, ns, fn, arg); /* ended or not: the walk is over */
    }
}

/* ---- decisions ---- */

struct question {
    const struct authz_attrs *attrs;
    enum outcome outcome;
};

static bool ask_any_name(void *arg, const struct rbac_rule *rule, const struct subject_link *link)
{
    struct question *q = arg;
    (void)link;
    if (rule && rbac_rule_matches(rule, q->attrs, /* with_name= */ false)) {
        q->outcome = *rule->names ? BY_NAME : ALLOWED;
    }
    return q->outcome != ALLOWED;
}

static bool ask_name(void *arg, const struct rbac_rule *rule, const struct subject_link *link)
{
    struct question *q = arg;
    (void)link;
    if (rule && rbac_rule_matches(rule, q->attrs, /* with_name= */ true)) {
        q->outcome = ALLOWED;
    }
    return q->outcome != ALLOWED;
}

/* Appends a text and its end; false when there is no room. */
static bool put_part(char *key, size_t *n, const char *text)
{
    size_t len = strlen(text) + 1;
    if (*n + len > DECISION_KEY) {
        return false;
    }
    memcpy(key + *n, text, len);
    *n += len;
    return true;
}

/* The texts cannot be mistaken for each other: none holds a NUL, and the groups are counted. */
static size_t decision_key(const struct authz_attrs *q, char key[DECISION_KEY])
{
    size_t n = 1, groups = 0;
    bool fits = put_part(key, &n, q->user->name);
    for (const char *const *g = q->user->groups; *g && fits; g++, groups++) {
        fits = put_part(key, &n, *g);
    }
    key[0] = (char)(q->path ? groups | 0x80 : groups);
    if (groups > 0x7f || !fits || !put_part(key, &n, q->verb)) {
        return 0;
    }
    if (q->path) {
        return put_part(key, &n, q->path) ? n : 0;
    }
    fits = put_part(key, &n, q->group) && put_part(key, &n, q->resource) &&
           put_part(key, &n, q->subresource) && put_part(key, &n, q->ns);
    return fits ? n : 0;
}

static void remember(struct rbac *r, struct decision **slot, const char *key, size_t n,
                     enum outcome outcome)
{
    if (!*slot || (*slot)->n != n) {
        struct decision *d = mem_realloc(*slot, sizeof(**slot) + n);
        if (!d) {
            return; /* it is asked anew the next time */
        }
        *slot = d;
    }
    (*slot)->generation = r->generation;
    (*slot)->outcome = outcome;
    (*slot)->n = n;
    memcpy((*slot)->key, key, n);
}

bool rbac_allows(struct rbac *r, const struct authz_attrs *attrs)
{
    char key[DECISION_KEY];
    size_t n = decision_key(attrs, key);
    struct question q = {.attrs = attrs};
    struct decision **slot = n ? &r->decisions[hash_bytes(key, n) % RBAC_DECISIONS] : NULL;
    if (slot && *slot && (*slot)->generation == r->generation && (*slot)->n == n &&
        memcmp((*slot)->key, key, n) == 0) {
        q.outcome = (*slot)->outcome;
    } else {
        walk(r, attrs->user, attrs->ns, ask_any_name, &q);
        if (slot) {
            remember(r, slot, key, n, q.outcome);
        }
    }
    if (q.outcome != BY_NAME) {
        return q.outcome == ALLOWED;
    }
    q.outcome = DENIED;
    walk(r, attrs->user, attrs->ns, ask_name, &q);
    return q.outcome == ALLOWED;
}

/* ---- reasons ---- */

struct explanation {
    const struct authz_attrs *attrs;
    struct arena *arena;
    const char *reason, *missing;
    size_t n_missing;
};

static const char *subject_text(struct arena *a, const struct subject_link *l)
{
    return cstr_eq(l->kind, "ServiceAccount")
               ? arena_printf(a, "%s \"%s/%s\"", l->kind, l->name, l->ns)
               : arena_printf(a, "%s \"%s\"", l->kind, l->name);
}

static void tell_missing(struct explanation *e, const struct binding *b)
{
    bool cluster = cstr_eq(b->role_kind, "ClusterRole");
    const char *text = arena_printf(e->arena, "%s." GROUP " \"%s\" not found",
                                    cluster ? "clusterrole" : "role", b->role_name);
    e->missing = e->missing ? arena_printf(e->arena, "%s, %s", e->missing, text) : text;
    e->n_missing++;
}

static bool explain(void *arg, const struct rbac_rule *rule, const struct subject_link *l)
{
    struct explanation *e = arg;
    const struct binding *b = l->binding;
    if (!rule) {
        if (e->n_missing < 8) {
            tell_missing(e, b);
        }
        return true;
    }
    if (!rbac_rule_matches(rule, e->attrs, /* with_name= */ true)) {
        return true;
    }
    e->reason =
        arena_printf(e->arena, "RBAC: allowed by %s \"%s%s%s\" of %s \"%s\" to %s",
                     *b->ns ? "RoleBinding" : "ClusterRoleBinding", b->name, *b->ns ? "/" : "",
                     b->ns, b->role_kind, b->role_name, subject_text(e->arena, l));
    return false;
}

bool rbac_explain(struct rbac *r, struct arena *a, const struct authz_attrs *attrs,
                  const char **ret_reason)
{
    struct explanation e = {.attrs = attrs, .arena = a};
    walk(r, attrs->user, attrs->ns, explain, &e);
    *ret_reason = "";
    if (e.reason) {
        *ret_reason = e.reason;
    } else if (e.missing) {
        *ret_reason = arena_printf(a, e.n_missing > 1 ? "RBAC: [%s]" : "RBAC: %s", e.missing);
    }
    return e.reason != NULL;
}

/* ---- all rules of a user ---- */

struct visitor {
    bool (*fn)(void *arg, const struct rbac_rule *rule);
    void *arg;
};

static bool visit(void *arg, const struct rbac_rule *rule, const struct subject_link *link)
{
    const struct visitor *v = arg;
    (void)link;
    return !rule || v->fn(v->arg, rule);
}

void rbac_visit(struct rbac *r, const struct api_user *user, const char *ns,
                bool (*fn)(void *arg, const struct rbac_rule *rule), void *arg)
{
    struct visitor v = {.fn = fn, .arg = arg};
    walk(r, user, ns, visit, &v);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The index of roles and bindings, kept equal to the store; see rbac.h. */
#include "api/auth/rbac.h"

#include "api/auth/rbac_private.h"
#include "api/object.h"
#include "base/log.h"

#define GROUP RBAC_GROUP

/* Roles before bindings, though the order does not matter for a decision. */
static const char *const prefixes[RBAC_WATCHES] = {"clusterroles." GROUP "/", "roles." GROUP "/",
                                                   "clusterrolebindings." GROUP "/",
                                                   "rolebindings." GROUP "/"};

/* ---- roles ---- */

static size_t list_bytes(const char *const *list, size_t *ret_pointers)
{
    size_t bytes = 0;
    for (; *list; list++) {
        bytes += strlen(*list) + 1;
        (*ret_pointers)++;
    }
    (*ret_pointers)++;
    return bytes;
}

static size_t rule_bytes(const struct rbac_rule *r, size_t *ret_pointers)
{
    return list_bytes(r->verbs, ret_pointers) + list_bytes(r->groups, ret_pointers) +
           list_bytes(r->resources, ret_pointers) + list_bytes(r->names, ret_pointers) +
           list_bytes(r->urls, ret_pointers);
}

struct packer {
    const char **pointer;
    char *text;
};

static const char *const *pack(struct packer *p, const char *const *list)
{
    const char **first = p->pointer;
    for (; *list; list++) {
        size_t n = strlen(*list) + 1;
        memcpy(p->text, *list, n);
        *p->pointer++ = p->text;
        p->text += n;
    }
    *p->pointer++ = NULL;
    return first;
}

/* One block a role: there may be a role in each of 10,000 namespaces. */
static struct role *role_pack(const struct rbac_rule *rules, size_t n)
{
    size_t pointers = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        bytes += rule_bytes(&rules[i], &pointers);
    }
    size_t head = sizeof(struct role) + n * sizeof(struct rbac_rule);
    struct role *role = mem_alloc(head + pointers * sizeof(char *) + bytes);
    if (!role) {
        return NULL;
    }
    struct packer p = {.pointer = (const char **)(void *)((char *)role + head)};
    p.text = (char *)(p.pointer + pointers);
    role->n = n;
    for (size_t i = 0; i < n; i++) {
        role->rules[i] = (struct rbac_rule){.verbs = pack(&p, rules[i].verbs),
                                            .groups = pack(&p, rules[i].groups),
                                            .resources = pack(&p, rules[i].resources),
                                            .names = pack(&p, rules[i].names),
                                            .urls = pack(&p, rules[i].urls)};
    }
    return role;
}

static int put_role(struct rbac *r, struct arena *a, const struct json *obj)
{
    struct rbac_rule *rules;
    void *old = NULL;
    size_t n = rbac_rules_parse(a, json_get(obj, "rules"), &rules);
    const char *key = arena_printf(a, "%s/%s", obj_ns(obj), obj_name(obj));
    struct role *role = arena_failed(a) ? NULL : role_pack(rules, n);
    if (!role || map_put(&r->roles, str_of(key), role, &old) < 0) {
        mem_free(role);
        return -E_NOMEM;
    }
    mem_free(old);
    return 0;
}

/* ---- bindings ---- */

static void binding_free(struct rbac *r, struct binding *b)
{
    for (size_t i = 0; b && i < b->n; i++) {
        struct subject *s = b->links[i].subject;
        if (!s) {
            continue;
        }
        list_del(&b->links[i].in_subject);
        if (list_empty(&s->links)) {
            mem_free(map_del(&r->subjects, str_of(s->key)));
        }
    }
    if (b) {
        mem_free(b->texts);
        mem_free(b);
    }
}

static struct subject *subject_of(struct rbac *r, const char *key)
{
    struct subject *s = map_get(&r->subjects, str_of(key));
    if (s) {
        return s;
    }
    size_t n = strlen(key) + 1;
    s = mem_alloc(sizeof(*s) + n);
    if (!s || map_put(&r->subjects, str_of(key), s, NULL) < 0) {
        mem_free(s);
        return NULL;
    }
    list_init(&s->links);
    memcpy(s->key, key, n);
    return s;
}

/* The key of a subject; NULL for kinds that nobody is. */
static const char *subject_key(struct arena *a, const struct json *subject, const char *ns)
{
    const char *kind = json_path_cstr(subject, "kind", "");
    const char *name = json_path_cstr(subject, "name", "");
    if (cstr_eq(kind, "User")) {
        return arena_printf(a, "U%s", name);
    }
    if (cstr_eq(kind, "Group")) {
        return arena_printf(a, "G%s", name);
    }
    const char *home = json_path_cstr(subject, "namespace", ns);
    return cstr_eq(kind, "ServiceAccount") && *home
               ? arena_printf(a, "Usystem:serviceaccount:%s:%s", home, name)
               : NULL;
}

/* Copies a text into the binding's block of texts. */
static char *keep(char **at, const char *text)
{
    size_t n = strlen(text) + 1;
    char *p = memcpy(*at, text, n);
    *at += n;
    return p;
}

static size_t text_bytes(const struct json *obj, const char *role_key)
{
    size_t n = strlen(obj_ns(obj)) + strlen(obj_name(obj)) + strlen(role_key) +
               strlen(json_path_cstr(obj, "roleRef.kind", "")) +
               strlen(json_path_cstr(obj, "roleRef.name", "")) + 5;
    JSON_FOR_EACH (s, json_get(obj, "subjects")) {
        n += strlen(json_path_cstr(s, "kind", "")) + strlen(json_path_cstr(s, "name", "")) +
             strlen(json_path_cstr(s, "namespace", obj_ns(obj))) + 3;
    }
    return n;
}

static bool link_subject(struct rbac *r, struct arena *a, struct binding *b, char **text,
                         const struct json *subject)
{
    const char *key = subject_key(a, subject, b->ns);
    struct subject_link *l = &b->links[b->n++];
    *l = (struct subject_link){.binding = b,
                               .kind = keep(text, json_path_cstr(subject, "kind", "")),
                               .name = keep(text, json_path_cstr(subject, "name", "")),
                               .ns = keep(text, json_path_cstr(subject, "namespace", b->ns))};
    list_init(&l->in_subject);
    l->subject = key ? subject_of(r, key) : NULL;
    if (l->subject) {
        list_push_back(&l->subject->links, &l->in_subject);
    }
    return !arena_failed(a) && (l->subject || !key);
}

static struct binding *binding_make(struct rbac *r, struct arena *a, const struct json *obj)
{
    const struct json *subjects = json_get(obj, "subjects");
    const char *ref_kind = json_path_cstr(obj, "roleRef.kind", "");
    const char *ref_name = json_path_cstr(obj, "roleRef.name", "");
    const char *home = cstr_eq(ref_kind, "Role") ? obj_ns(obj) : "";
    const char *key = arena_printf(a, "%s/%s", home, ref_name);
    struct binding *b = mem_zalloc(sizeof(*b) + json_len(subjects) * sizeof(*b->links));
    char *text = b && key ? mem_alloc(text_bytes(obj, key)) : NULL;
    if (!text) {
        mem_free(b);
        return NULL;
    }
    b->texts = text;
    b->ns = keep(&text, obj_ns(obj));
    b->name = keep(&text, obj_name(obj));
    b->role_kind = keep(&text, ref_kind);
    b->role_name = keep(&text, ref_name);
    b->role = keep(&text, key);
    JSON_FOR_EACH (s, subjects) {
        if (!link_subject(r, a, b, &text, s)) {
            binding_free(r, b);
            return NULL;
        }
    }
    return b;
}

static int put_binding(struct rbac *r, struct arena *a, struct str key, const struct json *obj)
{
    void *old = NULL;
    struct binding *b = binding_make(r, a, obj);
    if (!b || map_put(&r->bindings, key, b, &old) < 0) {
        binding_free(r, b);
        return -E_NOMEM;
    }
    binding_free(r, old);
    return 0;
}

/* ---- following the store ---- */

static bool is_binding(struct str key)
{
    return str_starts(key, prefixes[2]) || str_starts(key, prefixes[3]);
}

static int put_object(struct rbac *r, struct arena *a, struct str key, const struct json *obj)
{
    r->generation++;
    return is_binding(key) ? put_binding(r, a, key, obj) : put_role(r, a, obj);
}

static void put_item(struct rbac *r, const struct store_item *it)
{
    struct arena a;
    struct json *obj = NULL;
    arena_init(&a, 0);
    int rc = json_parse(&a, store_item_value(it), NULL, &obj, NULL);
    rc = rc < 0 ? rc : put_object(r, &a, store_item_key(it), obj);
    if (rc < 0) {
        log_error("rbac: " STR_FMT ": %s, its rules do not hold", STR_ARG(store_item_key(it)),
                  err_text(rc));
    }
    arena_fini(&a);
}

static void drop_item(struct rbac *r, const struct store_item *it)
{
    struct str key = store_item_key(it), resource, rest;
    r->generation++;
    if (is_binding(key)) {
        binding_free(r, map_del(&r->bindings, key));
    } else if (str_cut(key, '/', &resource, &rest)) {
        mem_free(map_del(&r->roles, rest));
    }
}

static void forget(struct rbac *r)
{
    for (size_t i = 0; i < RBAC_WATCHES; i++) {
        store_watch_close(r->watches[i]);
        r->watches[i] = NULL;
    }
    MAP_FOR_EACH (slot, &r->bindings) {
        binding_free(r, slot->value);
    }
    map_fini(&r->bindings, NULL);
    map_fini(&r->roles, mem_free);
    map_fini(&r->subjects, mem_free);
    r->generation++;
}

static void on_ready(struct store_watch *w, void *arg);

static int load(struct rbac *r)
{
    int rc = 0;
    for (size_t i = 0; i < RBAC_WATCHES && rc == 0; i++) {
        struct store_list l = {0};
        rc = store_list(r->store, &(struct store_list_opts){.prefix = str_of(prefixes[i])}, &l);
        for (size_t k = 0; rc == 0 && k < l.n; k++) {
            put_item(r, l.items[k]);
        }
        rc = rc < 0 ? rc
                    : store_watch_open(r->store, str_of(prefixes[i]), l.rev, on_ready, r,
                                       &r->watches[i]);
        store_list_fini(&l);
    }
    return rc;
}

static void on_ready(struct store_watch *w, void *arg)
{
    struct rbac *r = arg;
    struct store_event *ev;
    int rc;
    while ((rc = store_watch_next(w, &ev)) == 1) {
        if (ev->type == STORE_DELETE) {
            drop_item(r, ev->item);
        } else {
            put_item(r, ev->item);
        }
    }
    if (rc == -E_GONE) {
        forget(r);
        rc = load(r);
        if (rc < 0) {
            log_error("rbac: read the roles anew: %s", err_text(rc));
        }
    }
}

int rbac_new(struct store *store, struct rbac **ret)
{
    struct rbac *r = mem_zalloc(sizeof(*r));
    if (!r) {
        return -E_NOMEM;
    }
    r->store = store;
    map_init(&r->roles);
    map_init(&r->bindings);
    map_init(&r->subjects);
    r->generation = 1;
    int rc = load(r);
    if (rc < 0) {
        rbac_free(r);
        return rc;
    }
    *ret = r;
    return 0;
}

void rbac_free(struct rbac *r)
{
    if (!r) {
        return;
    }
    forget(r);
    for (size_t i = 0; i < RBAC_DECISIONS; i++) {
        mem_free(r->decisions[i]);
    }
    mem_free(r);
}

int rbac_add(struct rbac *r, const struct json *obj)
{
    static const struct {
        const char *kind, *prefix;
    } kinds[] = {{"ClusterRole", "clusterroles." GROUP "/"},
                 {"ClusterRoleBinding", "clusterrolebindings." GROUP "/"},
                 {"Role", "roles." GROUP "/"},
                 {"RoleBinding", "rolebindings." GROUP "/"}};
    struct arena a;
    int rc = -E_INVAL;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (cstr_eq(kinds[i].kind, obj_kind(obj))) {
            const char *key =
                arena_printf(&a, "%s%s/%s", kinds[i].prefix, obj_ns(obj), obj_name(obj));
            rc = key ? put_object(r, &a, str_of(key), obj) : -E_NOMEM;
        }
    }
    arena_fini(&a);
    return rc;
}

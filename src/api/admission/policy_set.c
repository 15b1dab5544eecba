/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policies and bindings of a store, compiled. Anything that changes among them makes the set
 * stale; it is read anew when it is asked next.
 */
#include "api/admission/policy.h"
#include "api/object.h"
#include "api/server_private.h"
#include "base/log.h"

enum { POLICIES, BINDINGS, WATCHES_NR };

struct policy_set {
    struct api_server *server;
    struct store_watch *watches[WATCHES_NR];
    struct arena arena;
    struct policy *items;
    size_t n;
    bool stale;
};

static const char *const prefixes[WATCHES_NR] = {
    [POLICIES] = "validatingadmissionpolicies.admissionregistration.k8s.io//",
    [BINDINGS] = "validatingadmissionpolicybindings.admissionregistration.k8s.io//"};

/* ---- compilation ---- */

/* The expressions at `member` of the items of a list. False with p->problem. */
static bool compile_list(struct policy_set *set, struct policy *p, const struct json *list,
                         const char *member, enum cel_admission_want want,
                         struct cel_program ***ret)
{
    struct arena *a = &set->arena;
    bool authorizer = want != CEL_WANT_STRING; /* a message does not see it */
    *ret = arena_zalloc(a, (json_len(list) + 1) * sizeof(**ret));
    for (size_t i = 0; *ret && !p->problem && i < json_len(list); i++) {
        struct str text = json_text(json_get(json_at(list, i), member));
        if (text.n > 0) {
            p->problem = cel_admission_compile(p->env, a, authorizer, text, want, &(*ret)[i]);
        }
    }
    return *ret && !p->problem;
}

static void compile(struct policy_set *set, struct policy *p)
{
    const struct json *variables = json_get(p->spec, "variables");
    const struct json *validations = json_get(p->spec, "validations");
    const struct cel_admission_opts opts = {.params = json_get(p->spec, "paramKind") != NULL,
                                            .max_variables = (uint32_t)json_len(variables)};
    p->env = cel_admission_env_new(&opts);
    if (!p->env) {
        p->problem = "out of memory";
        return;
    }
    if (!compile_list(set, p, json_get(p->spec, "matchConditions"), "expression", CEL_WANT_BOOL,
                      &p->conditions)) {
        return;
    }
    JSON_FOR_EACH (v, variables) {
        const char *problem =
            cel_admission_declare(p->env, &set->arena, json_text(json_get(v, "name")),
                                  json_text(json_get(v, "expression")));
        p->problem = p->problem ? p->problem : problem;
    }
    (void)(compile_list(set, p, validations, "expression", CEL_WANT_BOOL, &p->validations) &&
           compile_list(set, p, validations, "messageExpression", CEL_WANT_STRING, &p->messages) &&
           compile_list(set, p, json_get(p->spec, "auditAnnotations"), "valueExpression",
                        CEL_WANT_STRING_OR_NULL, &p->annotations));
}

static void free_programs(struct cel_program **programs, size_t n)
{
    for (size_t i = 0; programs && i < n; i++) {
        cel_program_free(programs[i]);
    }
}

static void forget(struct policy_set *set)
{
    for (size_t i = 0; i < set->n; i++) {
        struct policy *p = &set->items[i];
        size_t validations = json_len(json_get(p->spec, "validations"));
        free_programs(p->conditions, json_len(json_get(p->spec, "matchConditions")));
        free_programs(p->validations, validations);
        free_programs(p->messages, validations);
        free_programs(p->annotations, json_len(json_get(p->spec, "auditAnnotations")));
        cel_admission_env_free(p->env);
    }
    set->items = NULL;
    set->n = 0;
    arena_clear(&set->arena);
}

/* ---- reading ---- */

static void read_policy(struct policy_set *set, const struct json *obj)
{
    struct policy *p = &set->items[set->n++];
    const struct json *spec = json_get(obj, "spec");
    *p = (struct policy){
        .name = obj_name(obj),
        .spec = spec,
        .match =
            admission_match_read(&set->arena, json_get(spec, "matchConstraints"), "resourceRules"),
        .ignore_failure = cstr_eq(json_path_cstr(spec, "failurePolicy", ""), "Ignore")};
}

static void read_binding(struct policy_set *set, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec"), *match = json_get(spec, "matchResources");
    const char *policy = json_path_cstr(spec, "policyName", "");
    struct policy *p = NULL;
    for (size_t i = 0; i < set->n && !p; i++) {
        p = cstr_eq(set->items[i].name, policy) ? &set->items[i] : NULL;
    }
    if (!p) {
        return; /* a binding of nothing is in force as soon as its policy comes */
    }
    size_t size = sizeof(*p->bindings);
    struct policy_binding *grown =
        arena_grow(&set->arena, p->bindings, p->n_bindings * size, (p->n_bindings + 1) * size);
    if (!grown) {
        return;
    }
    p->bindings = grown;
    struct policy_binding *b = &grown[p->n_bindings++];
    *b = (struct policy_binding){.name = obj_name(obj),
                                 .param_ref = json_get(spec, "paramRef"),
                                 .match = admission_match_read(&set->arena, match, "resourceRules"),
                                 .narrowed = match != NULL};
    b->match.any = true;
    JSON_FOR_EACH (action, json_get(spec, "validationActions")) {
        const char *name = json_cstr(action, "");
        b->deny |= cstr_eq(name, "Deny");
        b->warn |= cstr_eq(name, "Warn");
        b->audit |= cstr_eq(name, "Audit");
    }
}

/* Calls read() for every object below a prefix. */
static bool read_all(struct policy_set *set, const char *prefix,
                     void (*read)(struct policy_set *set, const struct json *obj))
{
    struct store_list list = {0};
    struct store_list_opts opts = {.prefix = str_of(prefix)};
    if (store_list(set->server->store, &opts, &list) < 0) {
        return false;
    }
    if (read == read_policy) {
        set->items = arena_alloc(&set->arena, (list.n + 1) * sizeof(*set->items));
    }
    for (size_t i = 0; set->items && i < list.n; i++) {
        struct json *obj = NULL;
        if (json_parse(&set->arena, store_item_value(list.items[i]), NULL, &obj, NULL) == 0) {
            read(set, obj);
        }
    }
    store_list_fini(&list);
    return true;
}

const struct policy *policy_set_all(struct policy_set *set, size_t *ret_n)
{
    if (set->stale) {
        forget(set);
        bool whole = read_all(set, prefixes[POLICIES], read_policy) &&
                     read_all(set, prefixes[BINDINGS], read_binding);
        for (size_t i = 0; i < set->n; i++) {
            if (set->items[i].n_bindings > 0) {
                compile(set, &set->items[i]);
            }
        }
        set->stale = !whole || arena_failed(&set->arena);
    }
    *ret_n = set->n;
    return set->items;
}

/* ---- following ---- */

static void changed(struct store_watch *w, void *arg);

static int follow(struct policy_set *set, size_t i, int64_t rev)
{
    return store_watch_open(set->server->store, str_of(prefixes[i]), rev, changed, set,
                            &set->watches[i]);
}

static void changed(struct store_watch *w, void *arg)
{
    struct policy_set *set = arg;
    struct store_event *e;
    int code;
    set->stale = true;
    while ((code = store_watch_next(w, &e)) > 0) { /* only that there was one counts */
    }
    if (code == -E_GONE) {
        size_t i = w == set->watches[BINDINGS] ? BINDINGS : POLICIES;
        store_watch_close(w);
        set->watches[i] = NULL;
        if (follow(set, i, store_rev(set->server->store)) < 0) {
            log_warn("admission policies are not followed: out of memory");
        }
    }
}

struct policy_set *policy_set_new(struct api_server *s, struct err *err)
{
    struct policy_set *set = mem_zalloc(sizeof(*set));
    if (!set) {
        (void)err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    set->server = s;
    set->stale = true;
    arena_init(&set->arena, 0);
    for (size_t i = 0; i < WATCHES_NR; i++) {
        int code = follow(set, i, store_rev(s->store));
        if (code < 0) {
            (void)err_set(err, code, "watch admission policies: %s", err_text(code));
            policy_set_free(set);
            return NULL;
        }
    }
    return set;
}

void policy_set_free(struct policy_set *set)
{
    if (!set) {
        return;
    }
    for (size_t i = 0; i < WATCHES_NR; i++) {
        store_watch_close(set->watches[i]);
    }
    forget(set);
    arena_fini(&set->arena);
    mem_free(set);
}

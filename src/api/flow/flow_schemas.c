/* SPDX-License-Identifier: Apache-2.0 */
/* Flow schemas and levels of a store, in the order in which they are asked: see flow_schemas.h. */
#include "api/flow/flow_schemas.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/object.h"
#include "api/server_private.h"
#include "base/log.h"
#include "base/map.h"

enum { SHARES_A_WEIGHT = 30, WEIGHT_MAX = 16 };
enum { SCHEMAS, LEVELS, WATCHES_NR };

struct level {
    const char *name;
    unsigned weight;
    bool reject; /* limitResponse: Reject */
};

struct schema {
    const char *name;
    const struct json *spec;
    const struct level *level;
    int64_t precedence;
};

struct flow_schemas {
    struct api_server *server;
    struct store_watch *watches[WATCHES_NR];
    struct arena arena;
    struct level *levels;
    struct schema *schemas; /* sorted */
    size_t n_levels, n_schemas;
    bool stale;
};

static const char *const prefixes[WATCHES_NR] = {
    [SCHEMAS] = "flowschemas.flowcontrol.apiserver.k8s.io//",
    [LEVELS] = "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io//"};

/* ---- matching ---- */

static bool holds(const struct json *list, const char *value)
{
    JSON_FOR_EACH (item, list) {
        const char *s = json_cstr(item, "");
        if (cstr_eq(s, "*") || cstr_eq(s, value)) {
            return true;
        }
    }
    return false;
}

static bool is_account(const struct json *account, const char *user)
{
    static const char prefix[] = "system:serviceaccount:";
    struct str name = str_of(user), ns;
    if (!str_starts(name, prefix)) {
        return false;
    }
    name = str_n(name.p + sizeof(prefix) - 1, name.n - sizeof(prefix) + 1);
    (void)str_cut(name, ':', &ns, &name);
    const char *wanted = json_path_cstr(account, "name", "");
    return str_is(ns, json_path_cstr(account, "namespace", "")) &&
           (cstr_eq(wanted, "*") || str_is(name, wanted));
}

static bool subject_fits(const struct json *s, const struct api_user *u)
{
    const char *kind = json_path_cstr(s, "kind", "");
    const char *user = json_path_cstr(s, "user.name", "");
    const char *group = json_path_cstr(s, "group.name", "");
    if (cstr_eq(kind, "User")) {
        return cstr_eq(user, "*") || cstr_eq(user, u->name);
    }
    if (cstr_eq(kind, "Group")) {
        return cstr_eq(group, "*") || api_user_in(u, group);
    }
    return is_account(json_get(s, "serviceAccount"), u->name);
}

static bool rule_fits(const struct json *rule, const struct flow_request *q)
{
    bool place = *q->ns ? holds(json_get(rule, "namespaces"), q->ns)
                        : json_path_true(rule, "clusterScope", false);
    return place && holds(json_get(rule, "verbs"), q->verb) &&
           holds(json_get(rule, "apiGroups"), q->group) &&
           holds(json_get(rule, "resources"), q->resource);
}

static bool rules_fit(const struct json *r, const struct flow_request *q)
{
    bool subject = false;
    JSON_FOR_EACH (s, json_get(r, "subjects")) {
        subject = subject || subject_fits(s, q->user);
    }
    JSON_FOR_EACH (rule, json_get(r, "resourceRules")) {
        if (subject && rule_fits(rule, q)) {
            return true;
        }
    }
    return false;
}

bool flow_schema_matches(const struct json *schema_spec, const struct flow_request *q)
{
    JSON_FOR_EACH (r, json_get(schema_spec, "rules")) {
        if (rules_fit(r, q)) {
            return true;
        }
    }
    return false;
}

unsigned flow_level_weight(const struct json *level_spec)
{
    int64_t shares = json_path_i64(level_spec, "limited.nominalConcurrencyShares", SHARES_A_WEIGHT);
    if (cstr_eq(json_path_cstr(level_spec, "type", ""), "Exempt")) {
        return 0;
    }
    int64_t weight = shares / SHARES_A_WEIGHT;
    return (unsigned)MIN_OF(MAX_OF(weight, (int64_t)1), (int64_t)WEIGHT_MAX);
}

/* ---- reading ---- */

static bool read_level(struct flow_schemas *f, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec");
    f->levels[f->n_levels++] = (struct level){
        .name = obj_name(obj),
        .weight = flow_level_weight(spec),
        .reject = cstr_eq(json_path_cstr(spec, "limited.limitResponse.type", ""), "Reject")};
    return true;
}

static bool read_schema(struct flow_schemas *f, const struct json *obj)
{
    const struct json *spec = json_get(obj, "spec");
    const char *level = json_path_cstr(spec, "priorityLevelConfiguration.name", "");
    for (size_t i = 0; i < f->n_levels; i++) {
        if (cstr_eq(f->levels[i].name, level)) {
            f->schemas[f->n_schemas++] =
                (struct schema){.name = obj_name(obj),
                                .spec = spec,
                                .level = &f->levels[i],
                                .precedence = json_path_i64(spec, "matchingPrecedence", 1000)};
            return true;
        }
    }
    return false;
}

/* Calls read() for what lies below a prefix; *ret_items is made for all of it. */
static void read_all(struct flow_schemas *f, size_t which, size_t size, void *ret_items,
                     bool (*read)(struct flow_schemas *f, const struct json *obj))
{
    struct store_list list = {0};
    struct store_list_opts opts = {.prefix = str_of(prefixes[which])};
    if (store_list(f->server->store, &opts, &list) < 0) {
        return;
    }
    void *items = arena_alloc(&f->arena, (list.n + 1) * size);
    memcpy(ret_items, &items, sizeof(items));
    for (size_t i = 0; items && i < list.n; i++) {
        struct json *obj = NULL;
        if (json_parse(&f->arena, store_item_value(list.items[i]), NULL, &obj, NULL) == 0) {
            (void)read(f, obj); /* a schema without its level is passed over */
        }
    }
    store_list_fini(&list);
}

static int by_precedence(const void *a, const void *b)
{
    const struct schema *x = a, *y = b;
    return x->precedence != y->precedence ? (x->precedence > y->precedence ? 1 : -1)
                                          : strcmp(x->name, y->name);
}

static void refresh(struct flow_schemas *f)
{
    arena_clear(&f->arena);
    f->levels = NULL;
    f->schemas = NULL;
    f->n_levels = f->n_schemas = 0;
    read_all(f, LEVELS, sizeof(*f->levels), &f->levels, read_level);
    read_all(f, SCHEMAS, sizeof(*f->schemas), &f->schemas, read_schema);
    if (f->n_schemas > 1) {
        qsort(f->schemas, f->n_schemas, sizeof(*f->schemas), by_precedence);
    }
    f->stale = arena_failed(&f->arena);
}

/* ---- the answer ---- */

static struct flow_key key_of(const struct schema *s, const struct flow_request *q,
                              char text[FLOW_NAME_SIZE])
{
    const char *method = json_path_cstr(s->spec, "distinguisherMethod.type", "");
    const char *who = cstr_eq(method, "ByUser")        ? q->user->name
                      : cstr_eq(method, "ByNamespace") ? q->ns
                                                       : "";
    (void)snprintf(text, FLOW_NAME_SIZE, "schema/%016llx/%016llx",
                   (unsigned long long)hash_bytes(s->name, strlen(s->name)),
                   (unsigned long long)hash_bytes(who, strlen(who))); /* it fits */
    return (struct flow_key){.weight = s->level->weight, .reject = s->level->reject, .name = text};
}

struct flow_key flow_schemas_key(struct flow_schemas *f, const struct flow_request *q,
                                 char text[FLOW_NAME_SIZE])
{
    if (f->stale) {
        refresh(f);
    }
    for (size_t i = 0; i < f->n_schemas; i++) {
        if (flow_schema_matches(f->schemas[i].spec, q)) {
            return key_of(&f->schemas[i], q, text);
        }
    }
    return flow_key_of(q->user, text);
}

/* ---- following ---- */

static void changed(struct store_watch *w, void *arg);

static int follow(struct flow_schemas *f, size_t i)
{
    struct store *store = f->server->store;
    return store_watch_open(store, str_of(prefixes[i]), store_rev(store), changed, f,
                            &f->watches[i]);
}

static void changed(struct store_watch *w, void *arg)
{
    struct flow_schemas *f = arg;
    struct store_event *e;
    int code;
    f->stale = true;
    while ((code = store_watch_next(w, &e)) > 0) { /* only that there was one counts */
    }
    if (code == -E_GONE) {
        size_t i = w == f->watches[LEVELS] ? LEVELS : SCHEMAS;
        store_watch_close(w);
        f->watches[i] = NULL;
        if (follow(f, i) < 0) {
            log_warn("flow schemas are not followed: out of memory");
        }
    }
}

struct flow_schemas *flow_schemas_new(struct api_server *s, struct err *err)
{
    struct flow_schemas *f = mem_zalloc(sizeof(*f));
    if (!f) {
        (void)err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    f->server = s;
    f->stale = true;
    arena_init(&f->arena, 0);
    for (size_t i = 0; i < WATCHES_NR; i++) {
        int code = follow(f, i);
        if (code < 0) {
            (void)err_set(err, code, "watch flow schemas: %s", err_text(code));
            flow_schemas_free(f);
            return NULL;
        }
    }
    return f;
}

void flow_schemas_free(struct flow_schemas *f)
{
    if (!f) {
        return;
    }
    for (size_t i = 0; i < WATCHES_NR; i++) {
        store_watch_close(f->watches[i]);
    }
    arena_fini(&f->arena);
    mem_free(f);
}

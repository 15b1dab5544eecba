/* SPDX-License-Identifier: Apache-2.0 */
/* The webhook configurations of a store, parsed, and which hooks a write concerns. */
#include "api/admission/webhook.h"

#include "api/object.h"
#include "api/server_private.h"
#include "base/log.h"

struct hooks {
    struct webhook *items;
    size_t n;
};

struct webhook_set {
    struct api_server *server;
    struct store_watch *watches[2];
    struct arena arena;
    struct hooks types[2]; /* validating, mutating */
    bool stale;
};

static const char *const resources[2] = {
    "validatingwebhookconfigurations.admissionregistration.k8s.io//",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io//"};

/* ---- reading ---- */

static void read_hook(struct webhook_set *set, const struct json *def, struct webhook *ret)
{
    struct arena *a = &set->arena;
    const char *effects = json_path_cstr(def, "sideEffects", "");
    *ret = (struct webhook){
        .name = json_path_cstr(def, "name", ""),
        .def = def,
        .match = admission_match_read(a, def, "rules"),
        .timeout_ms = json_path_i64(def, "timeoutSeconds", 10) * 1000,
        .ignore_failure = cstr_eq(json_path_cstr(def, "failurePolicy", ""), "Ignore"),
        .side_effects = !cstr_eq(effects, "None") && !cstr_eq(effects, "NoneOnDryRun"),
        .reinvoke = cstr_eq(json_path_cstr(def, "reinvocationPolicy", ""), "IfNeeded")};
}

static void read_type(struct webhook_set *set, size_t type)
{
    struct arena *a = &set->arena;
    struct hooks *h = &set->types[type];
    struct store_list list = {0};
    *h = (struct hooks){0};
    struct store_list_opts opts = {.prefix = str_of(resources[type])};
    if (store_list(set->server->store, &opts, &list) < 0) {
        return;
    }
    for (size_t i = 0; i < list.n; i++) {
        struct json *config = NULL;
        if (json_parse(a, store_item_value(list.items[i]), NULL, &config, NULL) < 0) {
            continue;
        }
        const struct json *hooks = json_get(config, "webhooks");
        size_t size = sizeof(*h->items);
        h->items = arena_grow(a, h->items, h->n * size, (h->n + json_len(hooks)) * size);
        JSON_FOR_EACH (def, hooks) {
            if (h->items) {
                read_hook(set, def, &h->items[h->n++]);
            }
        }
    }
    store_list_fini(&list);
}

static void refresh(struct webhook_set *set)
{
    if (set->stale) {
        arena_clear(&set->arena);
        read_type(set, 0);
        read_type(set, 1);
        set->stale = arena_failed(&set->arena);
    }
}

static void changed(struct store_watch *w, void *arg);

static int follow(struct webhook_set *set, size_t type, int64_t rev)
{
    return store_watch_open(set->server->store, str_of(resources[type]), rev, changed, set,
                            &set->watches[type]);
}

static void changed(struct store_watch *w, void *arg)
{
    struct webhook_set *set = arg;
    struct store_event *e;
    int code;
    set->stale = true;
    while ((code = store_watch_next(w, &e)) > 0) { /* only that there was one counts */
    }
    if (code == -E_GONE) {
        size_t type = w == set->watches[1];
        store_watch_close(w);
        set->watches[type] = NULL;
        if (follow(set, type, store_rev(set->server->store)) < 0) {
            log_warn("webhook configurations are not followed: out of memory");
        }
    }
}

struct webhook_set *webhook_set_new(struct api_server *s, struct err *err)
{
    struct webhook_set *set = mem_zalloc(sizeof(*set));
    if (!set) {
        (void)err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    set->server = s;
    set->stale = true;
    arena_init(&set->arena, 0);
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        int code = follow(set, i, store_rev(s->store));
        if (code < 0) {
            (void)err_set(err, code, "watch webhook configurations: %s", err_text(code));
            webhook_set_free(set);
            return NULL;
        }
    }
    return set;
}

void webhook_set_free(struct webhook_set *set)
{
    if (!set) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
        store_watch_close(set->watches[i]);
    }
    arena_fini(&set->arena);
    mem_free(set);
}

struct webhook *webhooks_for(struct webhook_set *set, const struct admission *ad, bool mutating,
                             size_t *ret_n)
{
    struct arena *a = ad->op->arena;
    struct webhook *fit = NULL;
    *ret_n = 0;
    refresh(set);
    const struct hooks *h = &set->types[mutating];
    /* No hook may keep its own configuration from being mended. */
    if (h->n == 0 || cstr_eq(ad->kind->group, "admissionregistration.k8s.io")) {
        return NULL;
    }
    for (size_t i = 0; i < h->n; i++) {
        const struct kind *as = admission_matches(&h->items[i].match, ad);
        if (!as) {
            continue;
        }
        fit = fit ? fit : arena_zalloc(a, h->n * sizeof(*fit));
        if (!fit) {
            return NULL;
        }
        struct webhook *copy = &fit[(*ret_n)++];
        *copy = h->items[i];
        copy->def = json_clone(a, copy->def);
        copy->name = json_path_cstr(copy->def, "name", "");
        copy->as = as;
        copy->match = (struct admission_match){0};
    }
    return fit;
}

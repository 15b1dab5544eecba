/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The set of definitions of one server: reads them from the store, follows their changes, and keeps
 * the registry of kinds in step.
 *
 * Invariants
 * 1. What the shells of the registry point to is crd->body of a definition that is accepted. A body
 *    is freed only when no shell points to it any more, in the same turn of the loop in which the
 *    shells change, with nobody up the stack who could hold what it contains.
 * 2. A definition is served from the moment in which it is known to be accepted, before its status
 *    says so: who reads Established may use the kind at once.
 */
#include "api/crd/crd.h"

#include "api/crd/crd_private.h"

#include <stdlib.h>

#include "api/object.h"
#include "api/server_private.h"
#include "api/watch.h"
#include "api/webhook_client.h"
#include "base/log.h"
#include "base/mem.h"

#define PREFIX "customresourcedefinitions.apiextensions.k8s.io/"

static void on_ready(struct store_watch *w, void *arg);

const char *crd_key(struct arena *a, const char *name)
{
    return arena_printf(a, PREFIX "/%s", name);
}

struct json *crd_read(struct arena *a, const struct crd *crd)
{
    const char *key = crd_key(a, crd->name);
    struct store_item *it = key ? store_get(crd->set->store, str_of(key)) : NULL;
    struct json *obj = NULL;
    return it && json_parse(a, store_item_value(it), NULL, &obj, NULL) == 0 ? obj : NULL;
}

/* ---- the registry ---- */

/* The arrays of the set, from the definitions that are shown. */
static int list_kinds(struct crd_set *set)
{
    size_t n = 0;
    MAP_FOR_EACH (slot, &set->all) {
        const struct crd *crd = slot->value;
        n += crd->shown ? crd->shown->n : 0;
    }
    const struct kind **served = mem_realloc(set->kinds.served, (n + 1) * sizeof(struct kind *));
    if (!served) {
        return -E_NOMEM;
    }
    set->kinds.served = served;
    const struct kind **stored = mem_realloc(set->kinds.stored, (n + 1) * sizeof(struct kind *));
    if (!stored) {
        return -E_NOMEM;
    }
    set->kinds.stored = stored;
    set->kinds.n_served = set->kinds.n_stored = 0;
    MAP_FOR_EACH (slot, &set->all) {
        const struct crd_body *b = ((struct crd *)slot->value)->shown;
        for (size_t i = 0; b && i < b->n; i++) {
            if (b->versions[i].served) {
                served[set->kinds.n_served++] = b->kinds[i];
            }
        }
        if (b) {
            stored[set->kinds.n_stored++] = b->kinds[b->storage];
        }
    }
    return 0;
}

static int by_group(const void *a, const void *b)
{
    const struct kind *const *x = a, *const *y = b;
    return kind_cmp(*x, *y);
}

static void tell_registry(struct crd_set *set)
{
    int code = list_kinds(set);
    if (set->kinds.n_served) {
        qsort(set->kinds.served, set->kinds.n_served, sizeof(struct kind *), by_group);
    }
    code = code < 0 ? code : kinds_changed();
    if (code < 0) {
        log_error("custom kinds: out of memory, the list of kinds is not up to date");
    }
    watch_http_end_retired(set->server);
}

/* ---- one definition ---- */

static void hide(struct crd *crd, const struct crd_body *next)
{
    if (crd->shown) {
        crd_body_retire(crd->shown, next);
        crd->shown = NULL;
    }
}

static void crd_free(struct crd *crd)
{
    io_timer_stop(&crd->retry);
    crd_writer_stop(crd);
    hide(crd, NULL);
    crd_body_free(crd->body);
    mem_free(crd->name);
    mem_free(crd);
}

static struct crd *crd_get(struct crd_set *set, struct str name)
{
    struct crd *crd = map_get(&set->all, name);
    if (crd) {
        return crd;
    }
    crd = mem_zalloc(sizeof(*crd));
    if (!crd) {
        return NULL;
    }
    crd->set = set;
    crd->name = mem_strndup(name.p, name.n);
    io_timer_init(set->server->loop, &crd->retry, crd_poke, crd);
    if (!crd->name || map_put(&set->all, name, crd, NULL) < 0) {
        crd_free(crd);
        return NULL;
    }
    return crd;
}

/* A new body when the definition has changed. The old one stays where the new one is not valid. */
static struct crd_body *compile(struct crd *crd, const struct json *obj)
{
    struct crd_body *fresh = NULL;
    struct err err = {0};
    bool same =
        crd->body && crd->generation == obj_generation(obj) && cstr_eq(crd->uid, obj_uid(obj));
    if (same) {
        return NULL;
    }
    if (crd_body_new(crd, obj, &fresh, &err) < 0) {
        log_warn("custom kind '%s': %s, ignoring its change", crd->name, err.text);
        return NULL;
    }
    crd->generation = obj_generation(obj);
    (void)cstr_copy(crd->uid, sizeof(crd->uid), obj_uid(obj));
    return fresh;
}

static void show(struct crd *crd, struct crd_body *fresh)
{
    struct crd_body *old = crd->body;
    struct crd_body *b = fresh ? fresh : old;
    if (fresh) {
        fresh->since = store_next_rev(crd->set->store) - 1;
        hide(crd, fresh);
        crd->body = fresh;
    }
    crd_body_publish(b, crd->terminating);
    crd->shown = b;
    if (fresh) {
        crd_body_free(old);
    }
}

static void apply(struct crd *crd, int64_t rev, struct json *obj)
{
    struct crd_body *fresh = compile(crd, obj);
    crd->rev = rev;
    crd->terminating = obj_deleting(obj);
    bool changed = (fresh || crd->body) && crd_status_decide(crd, fresh ? fresh : crd->body, obj);
    if (crd->accepted) {
        show(crd, fresh);
    } else if (fresh && !crd->shown) {
        crd_body_free(crd->body);
        crd->body = fresh; /* waits for its names */
    } else if (fresh) {
        /* Its new names are another's: it is served under the old ones. */
        crd_body_free(fresh);
    }
    if (crd->terminating) {
        crd_writer_clean(crd, obj);
    } else if (changed) {
        crd_writer_status(crd, obj);
    }
}

static void apply_item(struct crd_set *set, const struct store_item *it)
{
    struct str name, key = store_item_key(it);
    struct arena a;
    struct json *obj = NULL;
    (void)str_rcut(key, '/', NULL, &name); /* every key of an object has one */
    struct crd *crd = crd_get(set, name);
    arena_init(&a, 0);
    if (!crd || json_parse(&a, store_item_value(it), NULL, &obj, NULL) < 0) {
        log_error("custom kind '" STR_FMT "': out of memory, it is not served", STR_ARG(name));
    } else {
        apply(crd, it->rev, obj);
    }
    arena_fini(&a);
}

static void drop(struct crd_set *set, struct str name)
{
    struct crd *crd = map_del(&set->all, name);
    if (crd) {
        crd_free(crd);
    }
}

/* Those that wait for names which may be free now. */
static void apply_waiting(struct crd_set *set)
{
    MAP_FOR_EACH (slot, &set->all) {
        struct crd *crd = slot->value;
        struct arena a;
        if (crd->accepted || !crd->body) {
            continue;
        }
        arena_init(&a, 0);
        struct json *obj = crd_read(&a, crd);
        if (obj) {
            apply(crd, crd->rev, obj);
        }
        arena_fini(&a);
    }
}

void crd_poke(void *arg)
{
    struct crd *crd = arg;
    struct arena a;
    arena_init(&a, 0);
    struct json *obj = crd_read(&a, crd);
    if (obj) {
        apply(crd, crd->rev, obj);
    }
    arena_fini(&a);
    tell_registry(crd->set);
}

/* ---- the store's changes ---- */

static int load(struct crd_set *set)
{
    struct store_list_opts o = {.prefix = STR_LIT(PREFIX)};
    struct store_list list = {0};
    int code = store_list(set->store, &o, &list);
    for (size_t i = 0; code == 0 && i < list.n; i++) {
        apply_item(set, list.items[i]);
    }
    if (code == 0) {
        code = store_watch_open(set->store, o.prefix, list.rev, on_ready, set, &set->watch);
    }
    store_list_fini(&list);
    apply_waiting(set);
    tell_registry(set);
    return code;
}

/* The history has moved past us: what is gone since goes, the rest is read anew. */
static void reload(struct crd_set *set)
{
    store_watch_close(set->watch);
    set->watch = NULL;
    for (bool again = true; again;) {
        again = false;
        MAP_FOR_EACH (slot, &set->all) {
            struct crd *crd = slot->value;
            struct arena a;
            arena_init(&a, 0);
            const char *key = crd_key(&a, crd->name);
            bool gone = key && !store_get(set->store, str_of(key));
            arena_fini(&a);
            if (gone) {
                drop(set, str_n(slot->key, slot->n));
                again = true;
                break;
            }
        }
    }
    if (load(set) < 0) {
        log_error("custom kinds: out of memory, their changes are not followed any more");
    }
}

static void on_ready(struct store_watch *w, void *arg)
{
    struct crd_set *set = arg;
    struct store_event *ev;
    int code;
    while ((code = store_watch_next(w, &ev)) == 1) {
        if (ev->type == STORE_PUT) {
            apply_item(set, ev->item);
        } else {
            struct str name;
            (void)str_rcut(store_item_key(ev->item), '/', NULL, &name); /* as above */
            drop(set, name);
        }
    }
    if (code == -E_GONE) {
        reload(set);
        return;
    }
    apply_waiting(set);
    tell_registry(set);
}

/* ---- lifetime ---- */

int crd_set_new(struct api_server *s, struct crd_set **ret)
{
    struct crd_set *set = mem_zalloc(sizeof(*set));
    if (!set) {
        return -E_NOMEM;
    }
    set->server = s;
    set->store = s->store;
    map_init(&set->all);
    set->webhooks = webhook_pool_new(s);
    if (!set->webhooks) {
        mem_free(set);
        return -E_NOMEM;
    }
    kind_set_add(&set->kinds);
    *ret = set;
    return load(set);
}

static void free_one(void *value)
{
    crd_free(value);
}

void crd_set_free(struct crd_set *set)
{
    if (!set) {
        return;
    }
    store_watch_close(set->watch);
    map_fini(&set->all, free_one);
    set->kinds.n_served = set->kinds.n_stored = 0;
    kind_set_remove(&set->kinds);
    mem_free(set->kinds.served);
    mem_free(set->kinds.stored);
    webhook_pool_free(set->webhooks);
    mem_free(set);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the deletion of namespaces: everything in it goes, then its finalizer.
 *
 * What is in a namespace is read from the informers. They may lag, so before the finalizer goes the
 * server is asked once for each kind (creates in a namespace that is being deleted are refused, so
 * nothing can come afterwards).
 */
#include <string.h>

#include "api/object.h"
#include "base/map.h"
#include "namespace.h"
#include "orchestrator_private.h"

struct namespace_ctrl {
    struct controller base;
    struct map verify; /* key -> struct verified */
};

/* Answers of the server for one namespace. */
struct verified {
    bool asked, found;
};

static struct namespace_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct namespace_ctrl, base);
}

static int start(struct controller *c)
{
    map_init(&self(c)->verify);
    return 0;
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->verify, mem_free);
}

static bool is_terminating(struct controller *c, const char *ns)
{
    const struct api_item *item =
        informer_get(orchestrator_informer(c->o, known_kinds()->ns), "", ns);
    return item && memmem(item->text.p, item->text.n, "\"deletionTimestamp\"", 19);
}

static void changed(struct controller *c, const struct change *change)
{
    const struct api_item *item = change->item ? change->item : change->old;
    if (change->kind == known_kinds()->ns) {
        controller_add(c, "", item->name);
    } else if (item->ns[0] && !change->object && is_terminating(c, item->ns)) {
        controller_add_after(c, "", item->ns, /* ms= */ 20); /* many go at once */
    }
}

/* ---- what is left ---- */

struct gather {
    struct arena *arena;
    struct namespace_content *content;
    size_t cap;
    bool failed;
};

static bool grow(struct gather *g)
{
    struct namespace_content *c = g->content;
    size_t cap = g->cap ? g->cap * 2 : 16;
    c->items =
        arena_grow(g->arena, (void *)c->items, g->cap * sizeof(*c->items), cap * sizeof(*c->items));
    c->deleting = arena_grow(g->arena, c->deleting, g->cap * sizeof(*c->deleting),
                             cap * sizeof(*c->deleting));
    c->finalizer = arena_grow(g->arena, (void *)c->finalizer, g->cap * sizeof(*c->finalizer),
                              cap * sizeof(*c->finalizer));
    g->cap = cap;
    return c->items && c->deleting && c->finalizer;
}

static bool take(void *arg, struct api_item *item)
{
    struct gather *g = arg;
    struct namespace_content *c = g->content;
    if (c->n == g->cap && !grow(g)) {
        g->failed = true;
        return false;
    }
    struct json *object = api_item_parse(item, g->arena);
    c->items[c->n] = item;
    c->deleting[c->n] = obj_deleting(object);
    c->finalizer[c->n] = json_cstr(json_at(json_path(object, "metadata.finalizers"), 0), NULL);
    c->n++;
    return true;
}

static bool has_content(const struct kind *k)
{
    return k->namespaced && (k->verbs & KIND_DELETE);
}

static int gather_all(struct controller *c, const char *ns, struct arena *a,
                      struct namespace_in *in)
{
    struct namespace_content *v = arena_zalloc(a, (c->o->watched_n + 1) * sizeof(*v));
    if (!v) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < c->o->watched_n; i++) {
        if (has_content(c->o->watched[i]->kind)) {
            struct gather g = {.arena = a, .content = &v[in->n++]};
            g.content->kind = c->o->watched[i]->kind;
            informer_each(c->o->watched[i]->informer, ns, take, &g);
            if (g.failed) {
                return -E_NOMEM;
            }
        }
    }
    in->contents = v;
    return 0;
}

/* ---- asking the server ---- */

static struct verified *verified_of(struct namespace_ctrl *nc, const char *key)
{
    struct verified *v = map_get(&nc->verify, str_of(key));
    if (!v) {
        v = mem_zalloc(sizeof(*v));
        if (!v || map_put(&nc->verify, str_of(key), v, NULL) < 0) {
            mem_free(v);
            return NULL;
        }
    }
    return v;
}

static void plan_verify(struct controller *c, struct plan *plan, const char *ns)
{
    for (size_t i = 0; i < c->o->watched_n; i++) {
        if (has_content(c->o->watched[i]->kind)) {
            struct action *a = plan_get(plan, c->o->watched[i]->kind, ns, NULL);
            a->req.verb = API_LIST;
            a->req.limit = 1;
        }
    }
    plan_requeue(plan, 0);
}

static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    struct verified *v = map_get(&self(c)->verify, str_of(key));
    if (v && a->req.verb == API_LIST) {
        v->found = v->found || code < 0 || json_len(json_get(result, "items")) > 0;
    }
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *none, *name;
    if (!controller_split(plan->arena, key, &none, &name)) {
        return -E_NOMEM;
    }
    struct json *ns = orchestrator_get(c->o, plan->arena, known_kinds()->ns, NULL, name);
    if (!ns || !obj_deleting(ns)) {
        mem_free(map_del(&self(c)->verify, str_of(key)));
        return 0;
    }
    struct verified *v = verified_of(self(c), key);
    struct namespace_in in = {.ns = ns, .now = wall_now()};
    int r = v ? gather_all(c, name, plan->arena, &in) : -E_NOMEM;
    if (r < 0) {
        return r;
    }
    bool verify;
    in.verified = v->asked && !v->found;
    namespace_reconcile(&in, plan, &verify);
    if (!verify && !in.verified) {
        *v = (struct verified){0}; /* there was something: what was asked before is old */
    } else if (verify && v->found) {
        /* The copy lags behind the server: wait for it, then ask again. */
        *v = (struct verified){0};
        plan_requeue(plan, 200);
    } else if (verify) {
        v->asked = true;
        plan_verify(c, plan, arena_strdup(plan->arena, name));
    }
    return 0;
}

const struct controller_ops namespace_controller = {
    .name = "namespace-controller",
    .size = sizeof(struct namespace_ctrl),
    .workers = 4,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* What the drivers of controllers that make pods share; the contract is in ctrl_pods.h. */
#include "ctrl_pods.h"

#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/mem.h"

#define PODS_A_MS 100 /* an owner of so many waits one millisecond after a change, and so on */
#define MOMENT_MAX_MS 200
#define LAG_RECHECK_MS 5
#define LAG_MAX_US ((int64_t)300 * 1000000) /* then believe the copy; Kubernetes waits as long */

void ctrl_pods_init(struct ctrl_pods *x, struct controller *c, const struct kind *owner)
{
    x->c = c;
    x->owner = owner;
    map_init(&x->memory);
    map_init(&x->going);
}

static void free_memory(void *value)
{
    struct pods_memory *m = value;
    mem_free(m->last_error);
    mem_free(m);
}

void ctrl_pods_fini(struct ctrl_pods *x)
{
    map_fini(&x->memory, free_memory);
    map_fini(&x->going, NULL);
}

struct pods_memory *ctrl_pods_memory(struct ctrl_pods *x, const char *key)
{
    struct pods_memory *m = map_get(&x->memory, str_of(key));
    if (!m) {
        m = mem_zalloc(sizeof(*m));
        if (!m || map_put(&x->memory, str_of(key), m, NULL) < 0) {
            mem_free(m);
            return NULL;
        }
    }
    return m;
}

void ctrl_pods_forget(struct ctrl_pods *x, const char *key)
{
    struct pods_memory *gone = map_del(&x->memory, str_of(key));
    if (gone) {
        free_memory(gone);
    }
}

/* ---- what changed ---- */

struct orphan_search {
    struct controller *c;
    const struct json *labels;
};

static bool offer(void *arg, struct api_item *item)
{
    struct orphan_search *search = arg;
    struct arena a;
    struct selector *s = NULL;
    arena_init(&a, /* cap= */ 0);
    struct json *owner = api_item_parse(item, &a);
    if (owner && selector_from_owner(&a, json_path(owner, "spec.selector"), &s, NULL) == 0 &&
        selector_match_labels(s, search->labels)) {
        controller_add(search->c, item->ns, item->name);
    }
    arena_fini(&a);
    return true;
}

void ctrl_pods_offer(struct ctrl_pods *x, const struct json *orphan)
{
    struct informer *owners = orchestrator_informer(x->c->o, x->owner);
    struct orphan_search search = {x->c, obj_labels(orphan)};
    if (owners && json_len(search.labels)) {
        informer_each(owners, obj_ns(orphan), offer, &search);
    }
}

/* A step looks at all pods of its owner, so the owner of many is not looked at for each of them:
 * what comes within a moment is seen together. */
static void add_owner(struct ctrl_pods *x, const struct json *pod)
{
    const struct json *ref = obj_controller_ref(pod);
    if (strcmp(json_cstr(json_get(ref, "kind"), ""), x->owner->kind) == 0) {
        const char *name = json_cstr(json_get(ref, "name"), "");
        size_t n = pod_index_owned_n(x->c->o->pods, json_cstr(json_get(ref, "uid"), ""));
        if (n < PODS_A_MS) {
            controller_add(x->c, obj_ns(pod), name);
        } else {
            controller_add_after(x->c, obj_ns(pod), name,
                                 (int64_t)MIN_OF(n / PODS_A_MS, MOMENT_MAX_MS));
        }
    }
}

static void pod_changed(struct ctrl_pods *x, const struct change *change)
{
    if (change->was && (!change->object || obj_deleting(change->object))) {
        (void)map_del(&x->going, str_of(obj_uid(change->was))); /* now the copy shows it */
    }
    add_owner(x, change->was);
    add_owner(x, change->object);
    if (change->object && !obj_controller_ref(change->object) && !obj_deleting(change->object)) {
        ctrl_pods_offer(x, change->object);
    }
}

void ctrl_pods_changed(struct ctrl_pods *x, const struct change *change)
{
    if (change->kind == known_kinds()->pod) {
        pod_changed(x, change);
    } else if (change->kind == x->owner) {
        struct api_item *item = change->item ? change->item : change->old;
        controller_add(x->c, item->ns, item->name);
    }
}

/* ---- what was done ---- */

static void remember_error(struct pods_memory *m, const struct action *a, int code,
                           const struct json *result)
{
    mem_free(m->last_error);
    m->last_error = NULL;
    if (code < 0 && code != -E_NOENT) {
        m->last_error = mem_strdup(json_cstr(json_get(result, "message"), err_text(code)));
        m->last_error_delete = a->req.verb == API_DELETE;
    }
}

static void remember_going(struct ctrl_pods *x, const struct action *a)
{
    struct pod_facts *p = pod_index_get(x->c->o->pods, a->req.ns, a->req.name);
    if (p && !p->deleting && cstr_eq(p->uid, a->req.precondition_uid)) {
        (void)map_put(&x->going, str_of(p->uid), x, NULL); /* else it may be asked twice */
    }
}

void ctrl_pods_action(struct ctrl_pods *x, const char *key, const struct action *a, int code,
                      const struct json *result)
{
    struct pods_memory *m = map_get(&x->memory, str_of(key));
    bool pod = a->req.kind == known_kinds()->pod;
    if (!m || (!pod && a->req.kind != x->owner)) {
        return;
    }
    if (pod && (a->req.verb == API_CREATE || a->req.verb == API_DELETE)) {
        remember_error(m, a, code, result);
    }
    if (code < 0) {
        return;
    }
    if (a->req.verb == API_DELETE) {
        if (pod) {
            remember_going(x, a);
        }
        return;
    }
    int64_t *need = pod ? &m->need_pods : &m->need_own;
    if (obj_rev(result) > *need) {
        *need = obj_rev(result);
        m->since = loop_now(x->c->o->loop);
    }
}

bool ctrl_pods_caught_up(struct ctrl_pods *x, const struct pods_memory *m, struct plan *plan)
{
    struct orchestrator *o = x->c->o;
    struct informer *pods = orchestrator_informer(o, known_kinds()->pod);
    struct informer *owners = orchestrator_informer(o, x->owner);
    if ((informer_rev(pods) >= m->need_pods && informer_rev(owners) >= m->need_own) ||
        loop_now(o->loop).us - m->since.us > LAG_MAX_US) {
        return true;
    }
    plan_requeue(plan, LAG_RECHECK_MS);
    return false;
}

bool ctrl_pods_is_going(const void *arg, const struct pod_facts *p)
{
    const struct ctrl_pods *x = arg;
    return map_get(&x->going, str_of(p->uid)) != NULL;
}

/* ---- which pods ---- */

static size_t list_length(const struct list *l)
{
    size_t n = 0;
    if (l) {
        LIST_FOR_EACH (at, l) {
            n++;
        }
    }
    return n;
}

static size_t append(struct pod_facts **pods, size_t n, const struct list *l)
{
    if (l) {
        LIST_FOR_EACH (at, l) {
            pods[n++] = POD_GROUP(at);
        }
    }
    return n;
}

struct pod_facts **ctrl_pods_of(struct ctrl_pods *x, struct arena *a, const struct json *owner,
                                size_t *ret_n)
{
    const struct pod_index *index = x->c->o->pods;
    const struct list *owned = pod_index_owned(index, obj_uid(owner));
    const struct list *orphans = pod_index_orphans(index, obj_ns(owner));
    struct pod_facts **pods =
        arena_alloc(a, (list_length(owned) + list_length(orphans) + 1) * sizeof(*pods));
    if (pods) {
        *ret_n = append(pods, append(pods, 0, owned), orphans);
    }
    return pods;
}

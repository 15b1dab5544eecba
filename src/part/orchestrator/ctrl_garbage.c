/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Garbage collection: objects whose owners are gone are deleted; foreground and orphan deletion of
 * owners.
 *
 * The graph holds only objects that have owners, or that wait for their dependents; everything else
 * is looked up in the informers. An owner that the informers do not know is asked for at the server
 * (its uid must match) before anything is deleted. Keys of the queue are uids.
 *
 *      owner deleted ------------> its dependents are looked at, each deleted when no owner is left
 *      owner deleting, finalizer foregroundDeletion: dependents first; the finalizer goes with the
 * last one that blocks (blockOwnerDeletion) owner deleting, finalizer orphan: dependents lose their
 * reference, then the finalizer goes
 */
#include <string.h>

#include "api/object.h"
#include "api/patch.h"
#include "base/log.h"
#include "base/map.h"
#include "garbage.h"
#include "orchestrator_private.h"

#define FOREGROUND "foregroundDeletion"
#define ORPHAN "orphan"
#define VERIFY_AGAIN_MS 1000 /* the server has it, the copy lags behind */
#define ABSENT_MAX 4096      /* remembered uids of owners that are gone */

struct gc_ref {
    struct list link; /* among the dependents of its owner */
    struct gc_object *from;
    const struct kind *kind; /* NULL: not known here */
    char *name, *uid;
    bool blocks;
};

struct gc_object {
    const struct kind *kind;
    char *ns, *name, *uid;
    bool deleting, orphan, foreground;
    struct gc_ref *refs;
    size_t n;
};

/* The dependents of one uid. */
struct gc_owner {
    struct list dependents;
};

struct garbage_ctrl {
    struct controller base;
    struct map objects; /* uid -> struct gc_object */
    struct map owners;  /* uid -> struct gc_owner */
    struct map absent;  /* uid of owners verified to be gone -> a mark */
};

static struct garbage_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct garbage_ctrl, base);
}

/* ---- the graph ---- */

static void free_object(void *value)
{
    struct gc_object *o = value;
    if (!o) {
        return;
    }
    for (size_t i = 0; i < o->n; i++) {
        list_del(&o->refs[i].link);
        mem_free(o->refs[i].name);
        mem_free(o->refs[i].uid);
    }
    mem_free(o->refs);
    mem_free(o->ns);
    mem_free(o->name);
    mem_free(o->uid);
    mem_free(o);
}

static int start(struct controller *c)
{
    struct garbage_ctrl *g = self(c);
    map_init(&g->objects);
    map_init(&g->owners);
    map_init(&g->absent);
    return 0;
}

static void stop(struct controller *c)
{
    struct garbage_ctrl *g = self(c);
    map_fini(&g->objects, free_object);
    map_fini(&g->owners, mem_free);
    map_fini(&g->absent, NULL);
}

static struct gc_owner *owner_of(struct garbage_ctrl *g, const char *uid)
{
    struct gc_owner *o = map_get(&g->owners, str_of(uid));
    if (!o) {
        o = mem_zalloc(sizeof(*o));
        if (!o || map_put(&g->owners, str_of(uid), o, NULL) < 0) {
            mem_free(o);
            return NULL;
        }
        list_init(&o->dependents);
    }
    return o;
}

static const struct list *dependents_of(const struct garbage_ctrl *g, const char *uid)
{
    const struct gc_owner *o = map_get(&g->owners, str_of(uid));
    return o && !list_empty(&o->dependents) ? &o->dependents : NULL;
}

static bool read_refs(struct garbage_ctrl *g, struct gc_object *o, const struct json *object)
{
    const struct json *list = json_get(json_get(object, "metadata"), "ownerReferences");
    o->refs = mem_zalloc((json_len(list) + 1) * sizeof(*o->refs));
    if (!o->refs) {
        return false;
    }
    JSON_FOR_EACH (j, list) {
        struct gc_ref *ref = &o->refs[o->n++];
        list_init(&ref->link);
        ref->from = o;
        ref->kind = kind_find_api(json_cstr(json_get(j, "apiVersion"), ""),
                                  json_cstr(json_get(j, "kind"), ""));
        ref->name = mem_strdup(json_cstr(json_get(j, "name"), ""));
        ref->uid = mem_strdup(json_cstr(json_get(j, "uid"), ""));
        ref->blocks = json_true(json_get(j, "blockOwnerDeletion"), false);
        struct gc_owner *owner = ref->uid && ref->name ? owner_of(g, ref->uid) : NULL;
        if (!owner) {
            return false;
        }
        list_push_back(&owner->dependents, &ref->link);
    }
    return true;
}

static struct gc_object *make_object(struct garbage_ctrl *g, const struct kind *kind,
                                     const struct json *object)
{
    struct gc_object *o = mem_zalloc(sizeof(*o));
    if (!o) {
        return NULL;
    }
    o->kind = kind;
    o->ns = mem_strdup(obj_ns(object));
    o->name = mem_strdup(obj_name(object));
    o->uid = mem_strdup(obj_uid(object));
    o->deleting = obj_deleting(object);
    o->orphan = obj_has_finalizer(object, ORPHAN);
    o->foreground = obj_has_finalizer(object, FOREGROUND);
    if (!o->ns || !o->name || !o->uid || !read_refs(g, o, object)) {
        free_object(o);
        return NULL;
    }
    return o;
}

/* Its owners may wait for it. */
static void wake_owners(struct garbage_ctrl *g, const struct gc_object *o)
{
    for (size_t i = 0; i < o->n; i++) {
        if (map_get(&g->objects, str_of(o->refs[i].uid))) {
            workqueue_add(g->base.queue, o->refs[i].uid);
        }
    }
}

static void wake_dependents(struct garbage_ctrl *g, const char *uid)
{
    const struct list *dependents = dependents_of(g, uid);
    if (dependents) {
        LIST_FOR_EACH (l, dependents) {
            workqueue_add(g->base.queue, CONTAINER_OF(l, struct gc_ref, link)->from->uid);
        }
    }
}

static void drop_empty_owner(struct garbage_ctrl *g, const char *uid)
{
    struct gc_owner *o = map_get(&g->owners, str_of(uid));
    if (o && list_empty(&o->dependents)) {
        (void)map_del(&g->owners, str_of(uid)); /* o itself */
        mem_free(o);
    }
}

static void forget(struct garbage_ctrl *g, const char *uid)
{
    struct gc_object *o = map_del(&g->objects, str_of(uid));
    if (!o) {
        return;
    }
    wake_owners(g, o);
    for (size_t i = 0; i < o->n; i++) {
        list_del(&o->refs[i].link);
        drop_empty_owner(g, o->refs[i].uid);
    }
    free_object(o);
}

/* ---- what changed ---- */

static bool concerns(const struct json *object)
{
    bool owned = json_len(json_get(json_get(object, "metadata"), "ownerReferences")) > 0;
    return owned || (obj_deleting(object) &&
                     (obj_has_finalizer(object, ORPHAN) || obj_has_finalizer(object, FOREGROUND)));
}

static void remember_absent(struct garbage_ctrl *g, const char *uid)
{
    if (map_len(&g->absent) >= ABSENT_MAX) {
        map_fini(&g->absent, NULL); /* they are asked for again */
    }
    (void)map_put(&g->absent, str_of(uid), g, NULL); /* else it is asked for again */
}

static void changed(struct controller *c, const struct change *change)
{
    struct garbage_ctrl *g = self(c);
    if (!change->object) {
        forget(g, change->old->uid);
        if (dependents_of(g, change->old->uid)) {
            remember_absent(g, change->old->uid);
            wake_dependents(g, change->old->uid);
        }
        return;
    }
    forget(g, change->item->uid);
    if (!concerns(change->object)) {
        return;
    }
    struct gc_object *o = make_object(g, change->kind, change->object);
    if (!o || map_put(&g->objects, str_of(o->uid), o, NULL) < 0) {
        free_object(o);
        log_error("garbage-collector: out of memory, an object is not followed, ignoring");
        return;
    }
    workqueue_add(c->queue, o->uid);
}

/* ---- owners ---- */

static enum owner_state state_of(struct garbage_ctrl *g, const struct gc_object *o,
                                 const struct gc_ref *ref)
{
    if (map_get(&g->absent, str_of(ref->uid))) {
        return OWNER_ABSENT; /* also when its kind has gone meanwhile */
    }
    struct informer *inf = ref->kind ? orchestrator_informer(g->base.o, ref->kind) : NULL;
    if (!inf || (ref->kind->namespaced && !o->ns[0])) {
        return OWNER_SOLID; /* not known here, or a reference that cannot be right */
    }
    const struct api_item *item = informer_get(inf, ref->kind->namespaced ? o->ns : "", ref->name);
    if (item && strcmp(item->uid, ref->uid) == 0) {
        const struct gc_object *owner = map_get(&g->objects, str_of(ref->uid));
        return owner && owner->deleting && owner->foreground ? OWNER_WAITING : OWNER_SOLID;
    }
    return OWNER_UNVERIFIED;
}

static void plan_verify(struct garbage_ctrl *g, struct plan *plan, const struct gc_object *o,
                        const enum owner_state *states)
{
    for (size_t i = 0; i < o->n; i++) {
        const struct gc_ref *ref = &o->refs[i];
        if (states[i] == OWNER_UNVERIFIED) {
            struct action *a = plan_get(
                plan, ref->kind, arena_strdup(plan->arena, ref->kind->namespaced ? o->ns : ""),
                arena_strdup(plan->arena, ref->name));
            a->flags = ACTION_F_ABSENT_OK;
            a->tag = arena_strdup(plan->arena, ref->uid);
        }
    }
    plan_requeue(plan, VERIFY_AGAIN_MS);
}

/* ---- patches ---- */

/* Custom kinds have no strategic merge: the lists as they shall be, if the object is still as it
 * was seen. NULL when it is not seen any more. */
static struct json *merge_form(struct garbage_ctrl *g, struct plan *plan, const struct gc_object *o,
                               const struct json *patch)
{
    static const char *const lists[] = {"ownerReferences", "finalizers"};
    struct informer *inf = orchestrator_informer(g->base.o, o->kind);
    const struct api_item *item = inf ? informer_get(inf, o->ns, o->name) : NULL;
    struct json *object = item ? api_item_parse(item, plan->arena) : NULL, *after;
    struct err err;
    if (!object || patch_strategic(plan->arena, o->kind->type, json_get(object, "metadata"),
                                   json_get(patch, "metadata"), &after, &err) < 0) {
        return NULL;
    }
    struct json *out = json_object(plan->arena), *meta = obj_meta(out);
    json_set_str(meta, "uid", o->uid);
    json_set_str(meta, "resourceVersion", obj_rv(object));
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        struct json *list = json_get(after, lists[i]);
        json_set(meta, lists[i], json_len(list) ? list : json_null(plan->arena));
    }
    return out;
}

static void plan_object_patch(struct garbage_ctrl *g, struct plan *plan, const struct gc_object *o,
                              struct json *patch, unsigned wave)
{
    bool custom = o->kind->custom;
    json_set_str(obj_meta(patch), "uid", o->uid);
    patch = custom ? merge_form(g, plan, o, patch) : patch;
    if (!patch) {
        return;
    }
    struct action *a = plan_patch(plan, o->kind, arena_strdup(plan->arena, o->ns),
                                  arena_strdup(plan->arena, o->name), NULL,
                                  custom ? API_PATCH_MERGE : API_PATCH_STRATEGIC, patch);
    a->flags = ACTION_F_ABSENT_OK;
    a->wave = wave;
}

static void add_unlink(struct plan *plan, struct json *patch, const char *uid)
{
    struct json *ref = json_object(plan->arena);
    json_set_str(ref, "$patch", "delete");
    json_set_str(ref, "uid", uid);
    json_push(json_ensure_array(obj_meta(patch), "ownerReferences"), ref);
}

static void plan_remove_finalizer(struct garbage_ctrl *g, struct plan *plan,
                                  const struct gc_object *o, const char *name, unsigned wave)
{
    struct json *patch = json_object(plan->arena);
    json_push(json_ensure_array(obj_meta(patch), "$deleteFromPrimitiveList/finalizers"),
              json_string(plan->arena, name));
    plan_object_patch(g, plan, o, patch, wave);
}

/* ---- reconcile ---- */

static void orphan_dependents(struct garbage_ctrl *g, struct plan *plan, const struct gc_object *o)
{
    const struct list *dependents = dependents_of(g, o->uid);
    if (dependents) {
        LIST_FOR_EACH (l, dependents) {
            struct json *patch = json_object(plan->arena);
            add_unlink(plan, patch, o->uid);
            plan_object_patch(g, plan, CONTAINER_OF(l, struct gc_ref, link)->from, patch, 0);
        }
    }
    plan_remove_finalizer(g, plan, o, ORPHAN, 1);
}

static void wait_for_dependents(struct garbage_ctrl *g, struct plan *plan,
                                const struct gc_object *o)
{
    const struct list *dependents = dependents_of(g, o->uid);
    bool blocked = false;
    if (dependents) {
        LIST_FOR_EACH (l, dependents) {
            const struct gc_ref *ref = CONTAINER_OF(l, struct gc_ref, link);
            blocked = blocked || ref->blocks;
            if (!ref->from->deleting) {
                workqueue_add(g->base.queue, ref->from->uid);
            }
        }
    }
    if (!blocked) {
        plan_remove_finalizer(g, plan, o, FOREGROUND, 0);
    }
}

static void plan_removal(struct plan *plan, const struct gc_object *o, const char *propagation)
{
    struct action *a =
        plan_delete(plan, o->kind, arena_strdup(plan->arena, o->ns),
                    arena_strdup(plan->arena, o->name), arena_strdup(plan->arena, o->uid));
    a->req.propagation = propagation;
}

static int judge(struct garbage_ctrl *g, struct plan *plan, const struct gc_object *o)
{
    enum owner_state *states = arena_alloc(plan->arena, (o->n + 1) * sizeof(*states));
    if (!states) {
        return -E_NOMEM;
    }
    for (size_t i = 0; i < o->n; i++) {
        states[i] = state_of(g, o, &o->refs[i]);
    }
    struct garbage_in in = {
        .owners = states,
        .n = o->n,
        .deleting = o->deleting,
        .orphan = o->orphan,
        .foreground = o->foreground,
        .has_dependents = dependents_of(g, o->uid) != NULL,
    };
    struct json *patch;
    switch (garbage_decide(&in)) {
    case GARBAGE_KEEP:
        break;
    case GARBAGE_VERIFY:
        plan_verify(g, plan, o, states);
        break;
    case GARBAGE_UNLINK:
        patch = json_object(plan->arena);
        for (size_t i = 0; i < o->n; i++) {
            if (states[i] != OWNER_SOLID) {
                add_unlink(plan, patch, o->refs[i].uid);
            }
        }
        plan_object_patch(g, plan, o, patch, 0);
        break;
    case GARBAGE_DELETE_BACKGROUND:
        plan_removal(plan, o, "Background");
        break;
    case GARBAGE_DELETE_FOREGROUND:
        plan_removal(plan, o, "Foreground");
        break;
    case GARBAGE_DELETE_ORPHAN:
        plan_removal(plan, o, "Orphan");
        break;
    }
    return 0;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct garbage_ctrl *g = self(c);
    const struct gc_object *o = map_get(&g->objects, str_of(key));
    if (!o) {
        return 0;
    }
    if (o->deleting && o->orphan) {
        orphan_dependents(g, plan, o);
    } else if (o->deleting && o->foreground) {
        wait_for_dependents(g, plan, o);
    } else {
        return judge(g, plan, o);
    }
    return 0;
}

/* The answer about an owner that the copy does not have. */
static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    if (a->req.verb != API_GET) {
        return;
    }
    if (code == -E_NOENT || (code == 0 && strcmp(obj_uid(result), a->tag) != 0)) {
        remember_absent(self(c), a->tag);
        workqueue_add(c->queue, key);
    }
}

const struct controller_ops garbage_controller = {
    .name = "garbage-collector",
    .size = sizeof(struct garbage_ctrl),
    .workers = 32,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* Finding ControllerRevisions; the contract is in ctrl_revisions.h. */
#include "ctrl_revisions.h"

#include <string.h>

#include "api/object.h"

void ctrl_revisions_changed(struct ctrl_pods *x, const struct change *change)
{
    if (change->kind != known_kinds()->revision) {
        return;
    }
    const struct json *object = change->object ? change->object : change->was;
    const struct json *ref = obj_controller_ref(object);
    if (strcmp(json_cstr(json_get(ref, "kind"), ""), x->owner->kind) == 0) {
        controller_add(x->c, obj_ns(object), json_cstr(json_get(ref, "name"), ""));
    } else if (!ref && change->object) {
        ctrl_pods_offer(x, object);
    }
}

struct collect {
    struct arena *arena;
    const char *uid;
    struct json **v;
    size_t n, cap;
};

/* One that names the owner's uid, or has no owner: only those are worth parsing. */
static bool may_belong(const struct api_item *item, const char *uid)
{
    return memmem(item->text.p, item->text.n, uid, strlen(uid)) ||
           !memmem(item->text.p, item->text.n, "\"ownerReferences\"", 17);
}

static bool collect(void *arg, struct api_item *item)
{
    struct collect *col = arg;
    if (!may_belong(item, col->uid)) {
        return true;
    }
    if (col->n == col->cap) {
        size_t cap = col->cap ? col->cap * 2 : 16;
        struct json **v =
            arena_grow(col->arena, (void *)col->v, col->cap * sizeof(*v), cap * sizeof(*v));
        if (!v) {
            return false;
        }
        col->v = v;
        col->cap = cap;
    }
    struct json *revision = api_item_parse(item, col->arena);
    if (revision) {
        col->v[col->n++] = revision;
    }
    return true;
}

struct json **ctrl_revisions_of(struct controller *c, struct arena *a, const struct json *owner,
                                size_t *ret_n)
{
    struct collect col = {.arena = a, .uid = obj_uid(owner)};
    struct informer *inf = orchestrator_informer(c->o, known_kinds()->revision);
    if (inf) {
        informer_each(inf, obj_ns(owner), collect, &col);
    }
    *ret_n = col.n;
    return col.v;
}

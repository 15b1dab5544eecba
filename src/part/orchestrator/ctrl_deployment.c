/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the reconcile step of Deployments. */
#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "base/log.h"
#include "base/map.h"
#include "deployment.h"
#include "orchestrator_private.h"
#include "pod_index.h"

struct deployment_ctrl {
    struct controller base;
    struct map errors; /* key -> text of the last failure to create a ReplicaSet */
};

static struct deployment_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct deployment_ctrl, base);
}

static int start(struct controller *c)
{
    map_init(&self(c)->errors);
    return 0;
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->errors, mem_free);
}

/* ---- what changed ---- */

static bool add_owner(struct controller *c, const struct json *rs)
{
    const struct json *ref = obj_controller_ref(rs);
    if (ref && strcmp(json_cstr(json_get(ref, "kind"), ""), "Deployment") == 0) {
        controller_add(c, obj_ns(rs), json_cstr(json_get(ref, "name"), ""));
    }
    return ref != NULL;
}

struct orphan_search {
    struct controller *c;
    const struct json *labels;
};

static bool offer_orphan(void *arg, struct api_item *item)
{
    struct orphan_search *search = arg;
    struct arena a;
    struct selector *s = NULL;
    arena_init(&a, /* cap= */ 0);
    struct json *d = api_item_parse(item, &a);
    if (d && selector_from_json(&a, json_path(d, "spec.selector"), &s, NULL) == 0 &&
        selector_match_labels(s, search->labels)) {
        controller_add(search->c, item->ns, item->name);
    }
    arena_fini(&a);
    return true;
}

static void set_changed(struct controller *c, const struct change *change)
{
    if (change->was) {
        (void)add_owner(c, change->was);
    }
    if (change->object && !add_owner(c, change->object)) {
        struct orphan_search search = {c, obj_labels(change->object)};
        informer_each(orchestrator_informer(c->o, known_kinds()->deployment),
                      obj_ns(change->object), offer_orphan, &search);
    }
}

/* Recreate waits until the last old pod is gone. */
static void pod_changed(struct controller *c, const struct change *change)
{
    const char *phase = json_path_cstr(change->object, "status.phase", "");
    bool ended = strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0;
    const struct json *ref = obj_controller_ref(change->was);
    struct arena a;
    if (!ref || (change->object && !ended)) {
        return;
    }
    arena_init(&a, /* cap= */ 0);
    struct json *rs = orchestrator_get(c->o, &a, known_kinds()->replicaset, obj_ns(change->was),
                                       json_cstr(json_get(ref, "name"), ""));
    if (rs) {
        (void)add_owner(c, rs);
    }
    arena_fini(&a);
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == known_kinds()->deployment) {
        struct api_item *item = change->item ? change->item : change->old;
        controller_add(c, item->ns, item->name);
    } else if (change->kind == known_kinds()->replicaset) {
        set_changed(c, change);
    } else if (change->kind == known_kinds()->pod) {
        pod_changed(c, change);
    }
}

/* ---- reconcile ---- */

struct collect {
    struct arena *arena;
    const char *uid;
    struct json **sets;
    size_t n, cap;
};

/* A set that names the Deployment's uid, or has no owner: only those are worth parsing. */
static bool may_belong(const struct api_item *item, const char *uid)
{
    return memmem(item->text.p, item->text.n, uid, strlen(uid)) ||
           !memmem(item->text.p, item->text.n, "\"ownerReferences\"", 17);
}

static bool collect_set(void *arg, struct api_item *item)
{
    struct collect *col = arg;
    if (!may_belong(item, col->uid)) {
        return true;
    }
    if (col->n == col->cap) {
        size_t cap = col->cap ? col->cap * 2 : 16;
        struct json **sets = arena_grow(col->arena, (void *)col->sets, col->cap * sizeof(*sets),
                                        cap * sizeof(*sets));
        if (!sets) {
            return false;
        }
        col->sets = sets;
        col->cap = cap;
    }
    struct json *rs = api_item_parse(item, col->arena);
    if (rs) {
        col->sets[col->n++] = rs;
    }
    return true;
}

struct lookup {
    struct controller *c;
    const char *ns;
};

static bool has_pods(const void *arg, const char *rs_uid)
{
    const struct lookup *l = arg;
    const struct list *pods = pod_index_owned(l->c->o->pods, rs_uid);
    if (!pods) {
        return false;
    }
    LIST_FOR_EACH (at, pods) {
        if (!pod_ended(POD_GROUP(at))) {
            return true;
        }
    }
    return false;
}

static bool name_taken(const void *arg, const char *name)
{
    const struct lookup *l = arg;
    return informer_get(orchestrator_informer(l->c->o, known_kinds()->replicaset), l->ns, name);
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    struct err err;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *d = orchestrator_get(c->o, plan->arena, known_kinds()->deployment, ns, name);
    if (!d) {
        mem_free(map_del(&self(c)->errors, str_of(key)));
        return 0;
    }
    struct collect col = {.arena = plan->arena, .uid = obj_uid(d)};
    struct lookup lookup = {c, ns};
    informer_each(orchestrator_informer(c->o, known_kinds()->replicaset), ns, collect_set, &col);
    struct deployment_in in = {
        .deployment = d,
        .sets = col.sets,
        .n = col.n,
        .has_pods = has_pods,
        .name_taken = name_taken,
        .arg = &lookup,
        .create_error = map_get(&self(c)->errors, str_of(key)),
        .now = wall_now(),
    };
    int r = deployment_reconcile(&in, plan, &err);
    if (r == -E_INVAL) {
        log_warn("deployment-controller: key=%s: %s, ignoring", key, err.text);
        return 0;
    }
    return r;
}

static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    struct map *errors = &self(c)->errors;
    if (a->req.kind != known_kinds()->replicaset || a->req.verb != API_CREATE) {
        return;
    }
    mem_free(map_del(errors, str_of(key)));
    if (code < 0 && code != -E_EXISTS) {
        char *text = mem_strdup(json_cstr(json_get(result, "message"), err_text(code)));
        if (text && map_put(errors, str_of(key), text, NULL) < 0) {
            mem_free(text);
        }
    }
}

const struct controller_ops deployment_controller = {
    .name = "deployment-controller",
    .size = sizeof(struct deployment_ctrl),
    .workers = 8,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

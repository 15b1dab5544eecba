/* SPDX-License-Identifier: Apache-2.0 */
/* Drives claims and volumes: keys are "c/NS/NAME" of claims and "v//NAME" of volumes. */
#include <string.h>

#include "api/object.h"
#include "base/map.h"
#include "orchestrator_private.h"
#include "volume_binding.h"

static void add_key(struct controller *c, char what, const char *ns, const char *name)
{
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    const char *key = arena_printf(&a, "%c/%s/%s", what, ns, name);
    if (key) {
        workqueue_add(c->queue, key);
    }
    arena_fini(&a);
}

/* ---- what changed ---- */

/* Claims that have no volume yet may find one. */
static bool offer_claim(void *arg, struct api_item *item)
{
    if (!memmem(item->text.p, item->text.n, "\"phase\":\"Bound\"", 15)) {
        add_key(arg, 'c', item->ns, item->name);
    }
    return true;
}

static void claims_of_pod(struct controller *c, const struct json *pod)
{
    JSON_FOR_EACH (v, json_path(pod, "spec.volumes")) {
        const char *claim = json_path_cstr(v, "persistentVolumeClaim.claimName", "");
        if (*claim) {
            add_key(c, 'c', obj_ns(pod), claim);
        }
    }
}

static void changed(struct controller *c, const struct change *change)
{
    const struct known_kinds *k = known_kinds();
    const struct api_item *item = change->item ? change->item : change->old;
    const struct json *o = change->object ? change->object : change->was;
    struct informer *claims = orchestrator_informer(c->o, k->pvc);
    if (change->kind == k->pvc) {
        add_key(c, 'c', item->ns, item->name);
        const char *volume = json_path_cstr(o, "spec.volumeName", "");
        if (*volume) {
            add_key(c, 'v', "", volume);
        }
    } else if (change->kind == k->pv) {
        const struct json *ref = json_path(o, "spec.claimRef");
        add_key(c, 'v', "", item->name);
        if (ref) {
            add_key(c, 'c', json_path_cstr(ref, "namespace", ""), json_path_cstr(ref, "name", ""));
        } else {
            informer_each(claims, NULL, offer_claim, c);
        }
    } else if (change->kind == k->storage_class) {
        informer_each(claims, NULL, offer_claim, c);
    } else if (change->kind == k->pod && claims && informer_len(claims) > 0) {
        const char *phase = json_path_cstr(change->object, "status.phase", "");
        if (!change->object || strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
            claims_of_pod(c, o);
        }
    }
}

/* ---- reconcile ---- */

struct all {
    struct arena *a;
    struct json **v;
    size_t n, cap;
};

static bool keep(void *arg, struct api_item *item)
{
    struct all *all = arg;
    if (all->n < all->cap) {
        struct json *o = api_item_parse(item, all->a);
        if (o) {
            all->v[all->n++] = o;
        }
    }
    return true;
}

static bool uses(const struct json *pod, const char *claim)
{
    const char *phase = json_path_cstr(pod, "status.phase", "");
    if (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0) {
        return false;
    }
    JSON_FOR_EACH (v, json_path(pod, "spec.volumes")) {
        if (strcmp(json_path_cstr(v, "persistentVolumeClaim.claimName", ""), claim) == 0) {
            return true;
        }
    }
    return false;
}

struct use_search {
    const char *claim;
    bool found;
};

static bool find_use(void *arg, struct api_item *item)
{
    struct use_search *s = arg;
    struct arena a;
    if (!memmem(item->text.p, item->text.n, "persistentVolumeClaim", 21)) {
        return true;
    }
    arena_init(&a, /* cap= */ 0);
    s->found = uses(api_item_parse(item, &a), s->claim);
    arena_fini(&a);
    return !s->found;
}

static int claim_step(struct controller *c, struct plan *plan, const char *ns, const char *name)
{
    const struct known_kinds *k = known_kinds();
    struct arena *a = plan->arena;
    struct json *claim = orchestrator_get(c->o, a, k->pvc, ns, name);
    if (!claim) {
        return 0;
    }
    struct informer *pvs = orchestrator_informer(c->o, k->pv);
    const char *volume = json_path_cstr(claim, "spec.volumeName", "");
    const char *node = obj_annotation(claim, VOLUME_SELECTED_NODE);
    const char *class = claim_class(claim);
    struct all all = {.a = a, .cap = informer_len(pvs)};
    struct use_search use = {.claim = name};
    all.v = arena_alloc(a, (all.cap + 1) * sizeof(*all.v));
    if (!all.v) {
        return -E_NOMEM;
    }
    if (!*volume) {
        informer_each(pvs, NULL, keep, &all);
    }
    if (obj_deleting(claim)) {
        informer_each(orchestrator_informer(c->o, k->pod), ns, find_use, &use);
    }
    const struct json *chosen = *node ? orchestrator_get(c->o, a, k->node, NULL, node) : NULL;
    struct volume_node on = {.name = node, .labels = obj_labels(chosen)};
    struct claim_in in = {
        .claim = claim,
        .volume = *volume ? orchestrator_get(c->o, a, k->pv, NULL, volume) : NULL,
        .pvs = all.v,
        .n_pvs = all.n,
        .storage_class = *class ? orchestrator_get(c->o, a, k->storage_class, NULL, class) : NULL,
        .node = chosen ? &on : NULL,
        .in_use = use.found,
    };
    claim_plan(plan, &in);
    return 0;
}

static int volume_step(struct controller *c, struct plan *plan, const char *name)
{
    struct volume_in in = {.volume =
                               orchestrator_get(c->o, plan->arena, known_kinds()->pv, NULL, name)};
    if (!in.volume) {
        return 0;
    }
    const struct json *ref = json_path(in.volume, "spec.claimRef");
    if (ref) {
        in.claim =
            orchestrator_get(c->o, plan->arena, known_kinds()->pvc,
                             json_path_cstr(ref, "namespace", ""), json_path_cstr(ref, "name", ""));
    }
    volume_plan(plan, &in);
    return 0;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key + 2, &ns, &name)) {
        return -E_NOMEM;
    }
    return key[0] == 'c' ? claim_step(c, plan, ns, name) : volume_step(c, plan, name);
}

const struct controller_ops volume_controller = {
    .name = "persistentvolume-controller",
    .size = sizeof(struct controller),
    .workers = 8,
    .changed = changed,
    .reconcile = reconcile,
};

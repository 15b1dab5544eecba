/* SPDX-License-Identifier: Apache-2.0 */
/* Claims of a pod to place: see sched_claims.h. */
#include "sched_claims.h"

#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"
#include "volume_binding.h"

struct pod_claim {
    struct json *claim, *pv; /* pv NULL: not bound yet */
    const struct json *storage_class;
};

/* "web" of a pod's claim, the volume's own for an ephemeral one. */
static const char *claim_name(struct arena *a, const struct json *pod, const struct json *volume)
{
    if (json_get(volume, "ephemeral")) {
        return arena_printf(a, "%s-%s", obj_name(pod), json_path_cstr(volume, "name", ""));
    }
    return json_path_cstr(volume, "persistentVolumeClaim.claimName", NULL);
}

static const char *check(void *arg, const char *node, const struct json *labels)
{
    const struct pod_claims *pc = arg;
    const struct volume_node on = {node, labels};
    for (size_t i = 0; i < pc->n; i++) {
        const struct pod_claim *c = &pc->v[i];
        const char *selected = obj_annotation(c->claim, VOLUME_SELECTED_NODE);
        const char *provisioner = json_path_cstr(c->storage_class, "provisioner", "");
        bool made = *provisioner && strcmp(provisioner, "kubernetes.io/no-provisioner") != 0;
        if (c->pv) {
            if (!volume_on_node(c->pv, &on)) {
                return "node(s) had volume node affinity conflict";
            }
        } else if (*selected && strcmp(selected, node) != 0) {
            return "node(s) were not the one that a claim waits for";
        } else if (!made && !volume_choose(pc->pvs, pc->n_pvs, c->claim, &on)) {
            return "node(s) didn't find available persistent volumes to bind";
        }
    }
    return NULL;
}

struct volumes_all {
    struct pod_claims *pc;
    size_t cap;
};

static bool keep(void *arg, struct api_item *item)
{
    struct volumes_all *all = arg;
    struct json *o = all->pc->n_pvs < all->cap ? api_item_parse(item, all->pc->arena) : NULL;
    if (o) {
        all->pc->pvs[all->pc->n_pvs++] = o;
    }
    return true;
}

static int read_volumes(struct pod_claims *pc, struct orchestrator *o)
{
    struct informer *inf = orchestrator_informer(o, known_kinds()->pv);
    struct volumes_all all = {pc, informer_len(inf)};
    pc->pvs = arena_alloc(pc->arena, (all.cap + 1) * sizeof(struct json *));
    if (!pc->pvs) {
        return -E_NOMEM;
    }
    informer_each(inf, NULL, keep, &all);
    return 0;
}

static int read_claim(struct pod_claims *pc, struct orchestrator *o, const char *ns,
                      const char *name, struct err *err)
{
    const struct known_kinds *k = known_kinds();
    struct pod_claim *c = &pc->v[pc->n];
    c->claim = orchestrator_get(o, pc->arena, k->pvc, ns, name);
    const char *volume = json_path_cstr(c->claim, "spec.volumeName", "");
    const char *class = claim_class(c->claim);
    if (!c->claim) {
        return err_set(err, -E_AGAIN, "persistentvolumeclaim \"%s\" not found", name);
    }
    if (obj_deleting(c->claim)) {
        return err_set(err, -E_AGAIN, "persistentvolumeclaim \"%s\" is being deleted", name);
    }
    if (strcmp(json_path_cstr(c->claim, "status.phase", ""), "Lost") == 0) {
        return err_set(err, -E_AGAIN,
                       "persistentvolumeclaim \"%s\" bound to non-existent persistentvolume \"%s\"",
                       name, volume);
    }
    if (*volume && *obj_annotation(c->claim, "pv.kubernetes.io/bind-completed")) {
        c->pv = orchestrator_get(o, pc->arena, k->pv, NULL, volume);
        pc->n++;
        return c->pv ? 0
                     : err_set(err, -E_AGAIN,
                               "node(s) unavailable due to one or more pvc(s) bound to "
                               "non-existent pv(s)");
    }
    c->storage_class =
        *class ? orchestrator_get(o, pc->arena, k->storage_class, NULL, class) : NULL;
    if (!class_waits(c->storage_class)) {
        return err_set(err, -E_AGAIN, "pod has unbound immediate PersistentVolumeClaims");
    }
    pc->waits = true;
    pc->n++;
    return pc->pvs ? 0 : read_volumes(pc, o);
}

int pod_claims_read(struct pod_claims *pc, struct orchestrator *o, struct arena *a,
                    const struct json *pod, struct err *err)
{
    const struct json *volumes = json_path(pod, "spec.volumes");
    int rc = 0;
    *pc = (struct pod_claims){.volumes = {.check = check, .arg = pc}, .arena = a};
    JSON_FOR_EACH (volume, volumes) {
        const char *name = claim_name(a, pod, volume);
        if (name && !pc->v) {
            pc->v = arena_zalloc(a, (json_len(volumes) + 1) * sizeof(*pc->v));
        }
        if (name && pc->v && rc == 0) {
            rc = read_claim(pc, o, obj_ns(pod), name, err);
        }
    }
    return rc == 0 && arena_failed(a) ? -E_NOMEM : rc;
}

void pod_claims_select(const struct pod_claims *pc, struct plan *plan, const char *node)
{
    for (size_t i = 0; i < pc->n; i++) {
        const struct json *claim = pc->v[i].claim;
        if (pc->v[i].pv || *obj_annotation(claim, VOLUME_SELECTED_NODE)) {
            continue;
        }
        struct json *patch = json_object(plan->arena);
        json_set_str(obj_meta(patch), "resourceVersion", obj_rv(claim));
        obj_set_annotation(patch, VOLUME_SELECTED_NODE, node);
        plan_patch(plan, known_kinds()->pvc, obj_ns(claim), obj_name(claim), NULL, API_PATCH_MERGE,
                   patch)
            ->flags = ACTION_F_ABSENT_OK;
    }
}

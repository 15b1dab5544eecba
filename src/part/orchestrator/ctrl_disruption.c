/* SPDX-License-Identifier: Apache-2.0 */
/* Drives the status of PodDisruptionBudgets. */
#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "disruption.h"
#include "orchestrator_private.h"

#define GATHER_MS 20

/* ---- what changed ---- */

struct pod_search {
    struct controller *c;
    const struct change *change;
};

static bool offer(void *arg, struct api_item *item)
{
    struct pod_search *s = arg;
    struct arena a;
    struct selector *sel = NULL;
    arena_init(&a, /* cap= */ 0);
    struct json *pdb = api_item_parse(item, &a);
    if (pdb && selector_from_json(&a, json_path(pdb, "spec.selector"), &sel, NULL) == 0 &&
        ((s->change->was && selector_match_labels(sel, obj_labels(s->change->was))) ||
         (s->change->object && selector_match_labels(sel, obj_labels(s->change->object))))) {
        controller_add_after(s->c, item->ns, item->name, GATHER_MS);
    }
    arena_fini(&a);
    return true;
}

/* Every budget of a namespace: a controller wants another number of pods. */
static bool offer_all(void *arg, struct api_item *item)
{
    controller_add_after(arg, item->ns, item->name, GATHER_MS);
    return true;
}

static void changed(struct controller *c, const struct change *change)
{
    const struct known_kinds *k = known_kinds();
    const struct api_item *item = change->item ? change->item : change->old;
    struct informer *pdbs = orchestrator_informer(c->o, k->pdb);
    if (change->kind == k->pdb) {
        controller_add(c, item->ns, item->name);
    } else if (!pdbs || informer_len(pdbs) == 0) {
        return;
    } else if (change->kind == k->pod) {
        struct pod_search s = {c, change};
        informer_each(pdbs, item->ns, offer, &s);
    } else if (strcmp(change->kind->group, "apps") == 0 && change->kind->namespaced) {
        const struct json *was = json_path(change->was, "spec.replicas");
        const struct json *is = json_path(change->object, "spec.replicas");
        if (!was || !is || !json_equal(was, is)) {
            informer_each(pdbs, item->ns, offer_all, c);
        }
    }
}

/* ---- the pods and what their controllers want ---- */

static const struct pod_facts **find_pods(struct controller *c, struct arena *a,
                                          const struct json *pdb, size_t *ret_n)
{
    const struct list *pods = pod_index_in_ns(c->o->pods, obj_ns(pdb));
    const struct pod_facts **v = NULL;
    struct selector *s = NULL;
    size_t cap = 0;
    *ret_n = 0;
    if (!pods || selector_from_json(a, json_path(pdb, "spec.selector"), &s, NULL) < 0) {
        return NULL;
    }
    LIST_FOR_EACH (l, pods) {
        const struct pod_facts *p = POD_OF_NS(l);
        if (pod_ended(p) || !selector_match(s, pod_label, p)) {
            continue;
        }
        if (*ret_n == cap) {
            size_t more = cap ? cap * 2 : 32;
            const struct pod_facts **bigger =
                arena_grow(a, (void *)v, *ret_n * sizeof(*v), more * sizeof(*v));
            if (!bigger) {
                break;
            }
            v = bigger;
            cap = more;
        }
        v[(*ret_n)++] = p;
    }
    return v;
}

/* The object that wants the pods: the Deployment of a ReplicaSet, else the owner itself. */
static struct json *scaled_owner(struct controller *c, struct arena *a, const struct pod_facts *p)
{
    const struct kind *k = cstr_eq(p->owner_kind, "ReplicationController")
                               ? known_kinds()->replication_controller
                               : kind_find_api("apps/v1", p->owner_kind);
    struct json *owner = k ? orchestrator_get(c->o, a, k, p->ns, p->owner_name) : NULL;
    if (!owner || strcmp(obj_uid(owner), p->owner) != 0) {
        return NULL;
    }
    const struct json *above = obj_controller_ref(owner);
    if (k == known_kinds()->replicaset && above) {
        struct json *d = orchestrator_get(c->o, a, known_kinds()->deployment, p->ns,
                                          json_path_cstr(above, "name", ""));
        return d ? d : owner;
    }
    return json_path(owner, "spec.replicas") ? owner : NULL;
}

static int64_t sum_scales(struct controller *c, struct arena *a, const struct disruption_in *in,
                          const char **ret_why)
{
    struct json *seen = json_object(a), *owners = json_object(a);
    int64_t sum = 0;
    for (size_t i = 0; i < in->n; i++) {
        const struct pod_facts *p = in->pods[i];
        if (p->owner[0] && json_get(owners, p->owner)) {
            continue;
        }
        const struct json *owner = p->owner[0] ? scaled_owner(c, a, p) : NULL;
        if (!owner) {
            *ret_why = arena_printf(a, "found no controllers for pod \"%s\"", p->name);
            return -1;
        }
        json_set(owners, p->owner, json_bool(a, true));
        if (!json_get(seen, obj_uid(owner))) {
            json_set(seen, obj_uid(owner), json_bool(a, true));
            sum += json_path_i64(owner, "spec.replicas", 1);
        }
    }
    return sum;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *pdb = orchestrator_get(c->o, plan->arena, known_kinds()->pdb, ns, name);
    if (!pdb || obj_deleting(pdb)) {
        return 0;
    }
    struct disruption_in in = {.pdb = pdb, .why = "", .now = wall_now()};
    in.pods = find_pods(c, plan->arena, pdb, &in.n);
    in.scale = disruption_needs_scale(pdb) ? sum_scales(c, plan->arena, &in, &in.why) : 0;
    disruption_plan(plan, &in);
    return 0;
}

const struct controller_ops disruption_controller = {
    .name = "controllermanager", /* as events of Kubernetes' disruption controller are signed */
    .size = sizeof(struct controller),
    .workers = 8,
    .changed = changed,
    .reconcile = reconcile,
};

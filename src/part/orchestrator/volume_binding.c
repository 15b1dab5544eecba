/* SPDX-License-Identifier: Apache-2.0 */
/* Claims and volumes: see volume_binding.h. */
#include "volume_binding.h"

#include <string.h>

#include "api/object.h"
#include "api/quantity.h"
#include "api/selector.h"
#include "base/mem.h"
#include "orchestrator_private.h"

#define BOUND_BY "pv.kubernetes.io/bound-by-controller"
#define BIND_DONE "pv.kubernetes.io/bind-completed"
#define CLAIM_GUARD "kubernetes.io/pvc-protection"
#define VOLUME_GUARD "kubernetes.io/pv-protection"

/* ---- fitting ---- */

static const char *class_of(const struct json *o)
{
    const char *old = obj_annotation(o, "volume.beta.kubernetes.io/storage-class");
    return *old ? old : json_path_cstr(o, "spec.storageClassName", "");
}

const char *claim_class(const struct json *claim)
{
    return class_of(claim);
}

bool class_waits(const struct json *storage_class)
{
    return strcmp(json_path_cstr(storage_class, "volumeBindingMode", ""), "WaitForFirstConsumer") ==
           0;
}

bool volume_is_for(const struct json *pv, const struct json *claim)
{
    const struct json *ref = json_path(pv, "spec.claimRef");
    const char *uid = json_path_cstr(ref, "uid", "");
    return ref && strcmp(json_path_cstr(ref, "name", ""), obj_name(claim)) == 0 &&
           strcmp(json_path_cstr(ref, "namespace", ""), obj_ns(claim)) == 0 &&
           (!*uid || strcmp(uid, obj_uid(claim)) == 0);
}

static bool has_text(const struct json *list, const char *text)
{
    JSON_FOR_EACH (item, list) {
        if (strcmp(json_cstr(item, ""), text) == 0) {
            return true;
        }
    }
    return false;
}

static bool modes_fit(const struct json *pv, const struct json *claim)
{
    JSON_FOR_EACH (mode, json_path(claim, "spec.accessModes")) {
        if (!has_text(json_path(pv, "spec.accessModes"), json_cstr(mode, ""))) {
            return false;
        }
    }
    return strcmp(json_path_cstr(pv, "spec.volumeMode", "Filesystem"),
                  json_path_cstr(claim, "spec.volumeMode", "Filesystem")) == 0;
}

static bool is_large_enough(const struct json *pv, const struct json *claim)
{
    return quantity_json_value(json_path(pv, "spec.capacity.storage")) >=
           quantity_json_value(json_path(claim, "spec.resources.requests.storage"));
}

static const char *node_field(const struct volume_node *node, const char *key)
{
    return strcmp(key, "metadata.name") == 0 ? node->name : NULL;
}

static bool term_allows(const struct json *term, const struct volume_node *node)
{
    struct arena a;
    bool ok =
        json_len(json_get(term, "matchExpressions")) + json_len(json_get(term, "matchFields")) > 0;
    arena_init(&a, /* cap= */ 0);
    JSON_FOR_EACH (expr, json_get(term, "matchExpressions")) {
        struct selector_term t;
        ok = ok && selector_term_from_json(&a, expr, &t, NULL) == 0 &&
             selector_term_match(&t, json_cstr(json_get(node->labels, t.key), NULL));
    }
    JSON_FOR_EACH (expr, json_get(term, "matchFields")) {
        struct selector_term t;
        ok = ok && selector_term_from_json(&a, expr, &t, NULL) == 0 &&
             selector_term_match(&t, node_field(node, t.key));
    }
    arena_fini(&a);
    return ok;
}

bool volume_on_node(const struct json *pv, const struct volume_node *node)
{
    const struct json *terms = json_path(pv, "spec.nodeAffinity.required.nodeSelectorTerms");
    JSON_FOR_EACH (term, terms) {
        if (term_allows(term, node)) {
            return true;
        }
    }
    return json_len(terms) == 0;
}

static bool selector_fits(const struct json *pv, const struct json *claim)
{
    const struct json *wanted = json_path(claim, "spec.selector");
    struct selector *s = NULL;
    struct arena a;
    if (!wanted) {
        return true;
    }
    arena_init(&a, /* cap= */ 0);
    bool ok =
        selector_from_json(&a, wanted, &s, NULL) == 0 && selector_match_labels(s, obj_labels(pv));
    arena_fini(&a);
    return ok;
}

bool volume_fits(const struct json *pv, const struct json *claim, const struct volume_node *node)
{
    bool reserved = volume_is_for(pv, claim);
    const char *phase = json_path_cstr(pv, "status.phase", "");
    if (obj_deleting(pv) || (json_path(pv, "spec.claimRef") && !reserved) ||
        (node && !volume_on_node(pv, node)) || !is_large_enough(pv, claim) ||
        !modes_fit(pv, claim)) {
        return false;
    }
    if (reserved) {
        return true;
    }
    return (!*phase || strcmp(phase, "Available") == 0) &&
           strcmp(class_of(pv), class_of(claim)) == 0 && selector_fits(pv, claim);
}

struct json *volume_choose(struct json **pvs, size_t n, const struct json *claim,
                           const struct volume_node *node)
{
    struct json *best = NULL;
    int64_t size = 0;
    for (size_t i = 0; i < n; i++) {
        if (!volume_fits(pvs[i], claim, node)) {
            continue;
        }
        if (json_path(pvs[i], "spec.claimRef")) {
            return pvs[i];
        }
        int64_t has = quantity_json_value(json_path(pvs[i], "spec.capacity.storage"));
        if (!best || has < size || (has == size && strcmp(obj_name(pvs[i]), obj_name(best)) < 0)) {
            best = pvs[i];
            size = has;
        }
    }
    return best;
}

/* ---- claims ---- */

static void update_claim(struct plan *plan, struct json *claim, const char *sub, unsigned wave)
{
    struct action *a = plan_update(plan, known_kinds()->pvc, claim, sub);
    a->flags = ACTION_F_ABSENT_OK;
    a->wave = wave;
}

/* Both name each other: first the volume, so that no second claim takes it. */
static void bind(struct plan *plan, const struct claim_in *in, struct json *pv)
{
    struct arena *a = plan->arena;
    struct json *ref = json_path(pv, "spec.claimRef");
    bool reserved = ref != NULL;
    if (!reserved || !*json_path_cstr(ref, "uid", "")) {
        struct json *claim_ref =
            json_set(json_ensure_object(pv, "spec"), "claimRef", json_object(a));
        json_set_str(claim_ref, "apiVersion", "v1");
        json_set_str(claim_ref, "kind", "PersistentVolumeClaim");
        json_set_str(claim_ref, "name", obj_name(in->claim));
        json_set_str(claim_ref, "namespace", obj_ns(in->claim));
        json_set_str(claim_ref, "uid", obj_uid(in->claim));
        json_set_str(claim_ref, "resourceVersion", obj_rv(in->claim));
        if (!reserved) {
            obj_set_annotation(pv, BOUND_BY, "yes");
        }
        plan_update(plan, known_kinds()->pv, pv, NULL);
    }
    if (!*json_path_cstr(in->claim, "spec.volumeName", "")) {
        json_set_str(json_ensure_object(in->claim, "spec"), "volumeName", obj_name(pv));
        obj_set_annotation(in->claim, BOUND_BY, "yes");
    }
    if (!*obj_annotation(in->claim, BIND_DONE)) {
        obj_set_annotation(in->claim, BIND_DONE, "yes");
        update_claim(plan, in->claim, NULL, 1);
    }
}

static void show_phase(struct plan *plan, const struct claim_in *in, const char *phase,
                       const struct json *pv)
{
    struct arena *a = plan->arena;
    struct json *status = json_object(a);
    const struct json *was = json_get(in->claim, "status");
    json_set_str(status, "phase", phase);
    if (pv) {
        json_set(status, "accessModes", json_clone(a, json_path(pv, "spec.accessModes")));
        json_set(status, "capacity", json_clone(a, json_path(pv, "spec.capacity")));
    }
    if (!was || !json_equal(was, status)) {
        json_set(in->claim, "status", status);
        update_claim(plan, in->claim, "status", 0);
    }
}

static void explain_waiting(struct plan *plan, const struct claim_in *in)
{
    const struct kind *kind = known_kinds()->pvc;
    const char *class = claim_class(in->claim);
    const char *provisioner = json_path_cstr(in->storage_class, "provisioner", "");
    if (in->storage_class && class_waits(in->storage_class) && !in->node) {
        plan_event(plan, kind, in->claim, "Normal", "WaitForFirstConsumer",
                   "waiting for first consumer to be created before binding");
    } else if (*class && !in->storage_class) {
        plan_event(plan, kind, in->claim, "Warning", "ProvisioningFailed",
                   "storageclass.storage.k8s.io \"%s\" not found", class);
    } else if (*provisioner && strcmp(provisioner, "kubernetes.io/no-provisioner") != 0) {
        plan_event(plan, kind, in->claim, "Normal", "ExternalProvisioning",
                   "Waiting for a volume to be created either by the external provisioner '%s' or "
                   "manually by the system administrator. If volume creation is delayed, please "
                   "verify that the provisioner is running and correctly registered.",
                   provisioner);
    } else {
        plan_event(plan, kind, in->claim, "Normal", "FailedBinding",
                   "no persistent volumes available for this claim and no storage class is set");
    }
}

static void bound_claim(struct plan *plan, const struct claim_in *in)
{
    const struct json *ref = json_path(in->volume, "spec.claimRef");
    bool done = *obj_annotation(in->claim, BIND_DONE) != '\0';
    if (!in->volume || (ref && !volume_is_for(in->volume, in->claim))) {
        if (done) {
            show_phase(plan, in, "Lost", NULL);
            plan_event(plan, known_kinds()->pvc, in->claim, "Warning", "ClaimLost",
                       "Bound claim has lost its PersistentVolume. Data on the volume is lost!");
        } else {
            show_phase(plan, in, "Pending", NULL);
        }
    } else if (!ref || !*json_path_cstr(ref, "uid", "") || !done) {
        bind(plan, in, in->volume);
    } else {
        show_phase(plan, in, "Bound", in->volume);
    }
}

/* A claim that is deleted goes when no pod uses it any more. */
static void guard_claim(struct plan *plan, const struct claim_in *in)
{
    if (!in->in_use && obj_del_finalizer(in->claim, CLAIM_GUARD)) {
        update_claim(plan, in->claim, NULL, 0);
    }
}

void claim_plan(struct plan *plan, const struct claim_in *in)
{
    if (obj_deleting(in->claim)) {
        guard_claim(plan, in);
        return;
    }
    if (*json_path_cstr(in->claim, "spec.volumeName", "")) {
        bound_claim(plan, in);
        return;
    }
    bool waits = class_waits(in->storage_class) && !in->node;
    struct json *pv = NULL;
    for (size_t i = 0; waits && !pv && i < in->n_pvs; i++) {
        pv = volume_is_for(in->pvs[i], in->claim) ? in->pvs[i] : NULL; /* pre-bound: no waiting */
    }
    pv = waits ? pv : volume_choose(in->pvs, in->n_pvs, in->claim, in->node);
    if (pv) {
        bind(plan, in, pv);
        return;
    }
    show_phase(plan, in, "Pending", NULL);
    explain_waiting(plan, in);
}

/* ---- volumes ---- */

static void set_volume_phase(struct plan *plan, struct json *pv, const char *phase,
                             const char *message)
{
    struct json *status = json_ensure_object(pv, "status");
    if (strcmp(json_path_cstr(status, "phase", ""), phase) == 0) {
        return;
    }
    char now[TIME_TEXT_SIZE];
    json_set_str(status, "phase", phase);
    json_set_str(status, "lastPhaseTransitionTime", time_text(wall_now(), now));
    if (message) {
        json_set_str(status, "message", message);
    } else {
        (void)json_del(status, "message");
    }
    plan_update(plan, known_kinds()->pv, pv, "status")->flags = ACTION_F_ABSENT_OK;
}

static void released(struct plan *plan, struct json *pv)
{
    const char *policy = json_path_cstr(pv, "spec.persistentVolumeReclaimPolicy", "Retain");
    const char *phase = json_path_cstr(pv, "status.phase", "");
    if (strcmp(policy, "Retain") == 0) {
        set_volume_phase(plan, pv, "Released", NULL);
    } else if (strcmp(phase, "Released") != 0 && strcmp(phase, "Failed") != 0) {
        set_volume_phase(plan, pv, "Released", NULL);
    } else if (strcmp(phase, "Released") == 0) {
        bool recycle = strcmp(policy, "Recycle") == 0;
        const char *why = recycle
                              ? "the reclaim policy Recycle is deprecated and not supported"
                              : "no deleter for this volume runs in this cluster: delete it and "
                                "what is on it by hand";
        plan_event(plan, known_kinds()->pv, pv, "Warning",
                   recycle ? "VolumeFailedRecycle" : "VolumeFailedDelete", "%s", why);
        set_volume_phase(plan, pv, "Failed", why);
    }
}

void volume_plan(struct plan *plan, const struct volume_in *in)
{
    const struct json *ref = json_path(in->volume, "spec.claimRef");
    bool has_uid = *json_path_cstr(ref, "uid", "") != '\0';
    const char *phase = json_path_cstr(in->volume, "status.phase", "");
    if (obj_deleting(in->volume)) {
        if (strcmp(phase, "Bound") != 0 && obj_del_finalizer(in->volume, VOLUME_GUARD)) {
            plan_update(plan, known_kinds()->pv, in->volume, NULL)->flags = ACTION_F_ABSENT_OK;
        } else if (strcmp(phase, "Bound") == 0 && has_uid &&
                   (!in->claim || !volume_is_for(in->volume, in->claim))) {
            released(plan, in->volume);
        }
    } else if (!has_uid) {
        set_volume_phase(plan, in->volume, "Available", NULL);
    } else if (!in->claim || !volume_is_for(in->volume, in->claim)) {
        released(plan, in->volume);
    } else {
        set_volume_phase(plan, in->volume, "Bound", NULL);
    }
}

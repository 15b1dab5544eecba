/* SPDX-License-Identifier: Apache-2.0 */
/* The pods of a StatefulSet and their claims, as objects. */
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"
#include "statefulset_private.h"
#include "workload.h"

bool sts_has_claims(const struct sts *s)
{
    return json_len(json_path(s->set, "spec.volumeClaimTemplates")) > 0;
}

static const char *pod_name(struct sts *s, int64_t ordinal)
{
    return arena_printf(s->arena, "%s-%lld", s->name, (long long)ordinal);
}

static const char *claim_name(struct sts *s, const struct json *template, int64_t ordinal)
{
    return arena_printf(s->arena, "%s-%s-%lld", obj_name(template), s->name, (long long)ordinal);
}

/* ---- claims ---- */

static bool policy_deletes(const struct sts *s, const char *when)
{
    const struct json *policy = json_path(s->set, "spec.persistentVolumeClaimRetentionPolicy");
    return strcmp(json_cstr(json_get(policy, when), "Retain"), "Delete") == 0;
}

static struct json *claim_owner(struct sts *s, const struct pod_facts *pod)
{
    if (!pod) {
        return obj_controller_ref_new(s->arena, s->set, "apps/v1", "StatefulSet");
    }
    struct json *ref = json_object(s->arena);
    json_set_str(ref, "apiVersion", "v1");
    json_set_str(ref, "kind", "Pod");
    json_set_str(ref, "name", pod->name);
    json_set_str(ref, "uid", pod->uid);
    json_set_bool(ref, "controller", true);
    json_set_bool(ref, "blockOwnerDeletion", true);
    return ref;
}

static struct json *new_claim(struct sts *s, const struct json *template, int64_t ordinal)
{
    struct json *claim = json_clone(s->arena, template);
    struct json *meta = obj_meta(claim);
    json_set_str(claim, "apiVersion", "v1");
    json_set_str(claim, "kind", "PersistentVolumeClaim");
    (void)json_del(claim, "status");
    (void)json_del(meta, "creationTimestamp");
    json_set_str(meta, "name", claim_name(s, template, ordinal));
    json_set_str(meta, "namespace", obj_ns(s->set));
    JSON_FOR_EACH_MEMBER (m, json_path(s->set, "spec.selector.matchLabels")) {
        obj_set_label(claim, m->key, json_cstr(m->value, ""));
    }
    if (policy_deletes(s, "whenDeleted")) {
        json_push(json_ensure_array(meta, "ownerReferences"), claim_owner(s, NULL));
    }
    return claim;
}

static void create_claim(struct sts *s, const struct json *template, int64_t ordinal)
{
    const char *name = claim_name(s, template, ordinal), *pod = pod_name(s, ordinal);
    const struct kind *kind = known_kinds()->stateful_set;
    if (s->in->claim && s->in->claim(s->in->arg, s->arena, name)) {
        return;
    }
    struct action *a =
        plan_create(s->plan, known_kinds()->claim, obj_ns(s->set), new_claim(s, template, ordinal));
    a->wave = STS_WAVE_CLAIMS;
    a->flags = ACTION_F_EXISTS_OK;
    workload_events(a, kind, s->set, "SuccessfulCreate",
                    arena_printf(s->arena, "create Claim %s Pod %s in StatefulSet %s success", name,
                                 pod, s->name),
                    "FailedCreate",
                    arena_printf(s->arena,
                                 "create Claim %s for Pod %s in StatefulSet %s failed error: %%s",
                                 name, pod, s->name));
}

void sts_create_claims(struct sts *s, int64_t ordinal)
{
    JSON_FOR_EACH (template, json_path(s->set, "spec.volumeClaimTemplates")) {
        create_claim(s, template, ordinal);
    }
}

/* The claim's references as they should be; false when they are already. Those of other owners are
 * kept, and so are those of a stranger of the same name. */
static bool set_owners(struct sts *s, struct json *claim, const struct json *ref,
                       const char *pod_uid)
{
    struct json *was = json_get(json_get(claim, "metadata"), "ownerReferences");
    struct json *refs = json_array(s->arena);
    bool had = false, changed = false;
    JSON_FOR_EACH (r, was) {
        const char *uid = json_cstr(json_get(r, "uid"), "");
        bool own = strcmp(uid, obj_uid(s->set)) == 0 || (pod_uid && strcmp(uid, pod_uid) == 0) ||
                   strcmp(json_cstr(json_get(r, "kind"), ""), "Pod") == 0;
        if (own && ref && strcmp(uid, json_cstr(json_get(ref, "uid"), "")) == 0) {
            had = true;
        } else if (own) {
            changed = true;
            continue;
        }
        json_push(refs, r);
    }
    if (ref && !had) {
        json_push(refs, json_clone(s->arena, ref));
        changed = true;
    }
    json_set(obj_meta(claim), "ownerReferences", refs);
    return changed;
}

void sts_sync_claims(struct sts *s, int64_t ordinal, const struct pod_facts *pod)
{
    const struct json *ref = NULL;
    if (!s->in->claim || !sts_has_claims(s)) {
        return;
    }
    if (pod && policy_deletes(s, "whenScaled")) {
        ref = claim_owner(s, pod);
    } else if (policy_deletes(s, "whenDeleted")) {
        ref = claim_owner(s, NULL);
    }
    JSON_FOR_EACH (template, json_path(s->set, "spec.volumeClaimTemplates")) {
        struct json *claim = s->in->claim(s->in->arg, s->arena, claim_name(s, template, ordinal));
        if (claim && !obj_deleting(claim) && set_owners(s, claim, ref, pod ? pod->uid : NULL)) {
            struct action *a = plan_update(s->plan, known_kinds()->claim, claim, NULL);
            a->wave = STS_WAVE_CLAIMS;
            a->flags = ACTION_F_ABSENT_OK;
        }
    }
}

/* ---- pods ---- */

/* A volume for each claim stands in for one of the same name in the template. */
static void set_volumes(struct sts *s, struct json *pod, int64_t ordinal)
{
    if (!sts_has_claims(s)) {
        return;
    }
    struct json *spec = json_get(pod, "spec");
    const struct json *was = json_get(spec, "volumes");
    struct json *volumes = json_array(s->arena);
    const struct json *templates = json_path(s->set, "spec.volumeClaimTemplates");
    JSON_FOR_EACH (template, templates) {
        struct json *v = json_push(volumes, json_object(s->arena));
        json_set_str(v, "name", obj_name(template));
        json_set_str(json_ensure_object(v, "persistentVolumeClaim"), "claimName",
                     claim_name(s, template, ordinal));
    }
    JSON_FOR_EACH (v, was) {
        bool replaced = false;
        JSON_FOR_EACH (template, templates) {
            replaced |= cstr_eq(json_path_cstr(v, "name", ""), obj_name(template));
        }
        if (!replaced) {
            json_push(volumes, v);
        }
    }
    json_set(spec, "volumes", volumes);
}

/* New pods below the partition are made from the revision that is still the current one. */
static bool wants_current(const struct sts *s, int64_t ordinal)
{
    if (!s->rolling) {
        return false;
    }
    if (!s->has_rolling) {
        return ordinal < s->start + json_path_i64(s->set, "status.currentReplicas", 0);
    }
    return ordinal < s->start + s->partition;
}

static struct json *new_pod(struct sts *s, int64_t ordinal)
{
    bool old = wants_current(s, ordinal) && s->current_template;
    const struct json *template = old ? s->current_template : json_path(s->set, "spec.template");
    struct json *pod = workload_pod(s->arena, template, s->set, known_kinds()->stateful_set);
    const char *name = pod_name(s, ordinal);
    json_set_str(obj_meta(pod), "name", name);
    obj_set_label(pod, POD_NAME_LABEL, name);
    obj_set_label(pod, POD_INDEX_LABEL, arena_printf(s->arena, "%lld", (long long)ordinal));
    obj_set_label(pod, REVISION_HASH_LABEL, old ? s->current : s->update);
    struct json *spec = json_get(pod, "spec");
    json_set_str(spec, "hostname", name);
    if (json_path_cstr(s->set, "spec.serviceName", "")[0]) {
        json_set_str(spec, "subdomain", json_path_cstr(s->set, "spec.serviceName", ""));
    }
    set_volumes(s, pod, ordinal);
    return pod;
}

void sts_create(struct sts *s, int64_t ordinal)
{
    const char *name = pod_name(s, ordinal);
    sts_create_claims(s, ordinal);
    sts_sync_claims(s, ordinal, NULL);
    struct action *a =
        plan_create(s->plan, known_kinds()->pod, obj_ns(s->set), new_pod(s, ordinal));
    a->wave = STS_WAVE_PODS;
    workload_events(
        a, known_kinds()->stateful_set, s->set, "SuccessfulCreate",
        arena_printf(s->arena, "create Pod %s in StatefulSet %s successful", name, s->name),
        "FailedCreate",
        arena_printf(s->arena, "create Pod %s in StatefulSet %s failed error: %%s", name, s->name));
}

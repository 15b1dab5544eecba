/* SPDX-License-Identifier: Apache-2.0 */
/* What reconcile steps of kinds that make pods share; the contract is in workload.h. */
#include "workload.h"

#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"

struct json *workload_pod(struct arena *a, const struct json *pod_template,
                          const struct json *owner, const struct kind *kind)
{
    static const char *const copied[] = {"labels", "annotations", "finalizers"};
    const struct json *from = json_get(pod_template, "metadata");
    struct json *pod = json_object(a);
    json_set_str(pod, "apiVersion", "v1");
    json_set_str(pod, "kind", "Pod");
    struct json *meta = obj_meta(pod);
    json_set_str(meta, "namespace", obj_ns(owner));
    for (size_t i = 0; i < ARRAY_SIZE(copied); i++) {
        const struct json *value = json_get(from, copied[i]);
        if (value && value->type != JSON_NULL) {
            json_set(meta, copied[i], json_clone(a, value));
        }
    }
    json_push(json_ensure_array(meta, "ownerReferences"),
              obj_controller_ref_new(a, owner, kind->api_version, kind->kind));
    json_set(pod, "spec", json_clone(a, json_get(pod_template, "spec")));
    return pod;
}

static void plan_reference(struct plan *plan, const struct kind *kind, const char *ns,
                           const char *name, const char *uid, struct json *ref)
{
    struct json *patch = json_object(plan->arena);
    struct json *meta = obj_meta(patch);
    json_set_str(meta, "uid", uid);
    json_push(json_ensure_array(meta, "ownerReferences"), ref);
    plan_patch(plan, kind, arena_strdup(plan->arena, ns), arena_strdup(plan->arena, name), NULL,
               API_PATCH_STRATEGIC, patch)
        ->flags = ACTION_F_ABSENT_OK;
}

void workload_adopt(struct plan *plan, const struct kind *kind, const char *ns, const char *name,
                    const char *uid, const struct json *owner, const struct kind *owner_kind)
{
    plan_reference(
        plan, kind, ns, name, uid,
        obj_controller_ref_new(plan->arena, owner, owner_kind->api_version, owner_kind->kind));
}

void workload_release(struct plan *plan, const struct kind *kind, const char *ns, const char *name,
                      const char *uid, const struct json *owner)
{
    struct json *ref = json_object(plan->arena);
    json_set_str(ref, "$patch", "delete");
    json_set_str(ref, "uid", obj_uid(owner));
    plan_reference(plan, kind, ns, name, uid, ref);
}

struct pod_facts **workload_claim(struct plan *plan, const struct json *owner,
                                  const struct kind *owner_kind, const struct selector *selector,
                                  struct pod_facts **pods, size_t n, size_t *ret_n)
{
    const struct kind *kind = known_kinds()->pod;
    bool deleting = obj_deleting(owner);
    struct pod_facts **claimed = arena_alloc(plan->arena, (n + 1) * sizeof(*claimed));
    size_t count = 0;
    for (size_t i = 0; claimed && i < n; i++) {
        struct pod_facts *p = pods[i];
        bool match = selector_match(selector, pod_label, p);
        if (p->owner[0]) {
            if (match) {
                claimed[count++] = p;
            } else if (!deleting) {
                workload_release(plan, kind, p->ns, p->name, p->uid, owner);
            }
        } else if (match && !deleting && pod_active(p)) {
            workload_adopt(plan, kind, p->ns, p->name, p->uid, owner, owner_kind);
            claimed[count++] = p;
        }
    }
    *ret_n = count;
    return claimed;
}

void workload_events(struct action *a, const struct kind *owner_kind, const struct json *owner,
                     const char *ok_reason, const char *ok_text, const char *bad_reason,
                     const char *bad_text)
{
    a->ok = (struct action_event){owner_kind, owner, ok_reason, ok_text};
    a->failed = (struct action_event){owner_kind, owner, bad_reason, bad_text};
}

struct action *workload_delete(struct plan *plan, const struct pod_facts *p,
                               const struct json *owner, const struct kind *owner_kind,
                               const char *ok_text)
{
    struct arena *a = plan->arena;
    struct action *action = plan_delete(plan, known_kinds()->pod, arena_strdup(a, p->ns),
                                        arena_strdup(a, p->name), arena_strdup(a, p->uid));
    workload_events(action, owner_kind, owner, "SuccessfulDelete", ok_text, "FailedDelete",
                    "Error deleting: %s");
    return action;
}

void workload_count(struct json *status, const char *field, int64_t n)
{
    if (n) {
        json_set_int(status, field, n);
    } else {
        json_del(status, field);
    }
}

int64_t workload_scaled(const struct json *j, int64_t total, bool up, int64_t def)
{
    struct str text = json_text(j);
    int64_t percent;
    if (!json_is(j, JSON_STRING)) {
        return j ? json_i64(j, def) : def;
    }
    if (!str_ends(text, "%") || str_i64(str_n(text.p, text.n - 1), &percent) < 0 || percent < 0 ||
        percent > 1000000) {
        return def;
    }
    return (total * percent + (up ? 99 : 0)) / 100;
}

unsigned workload_wave(size_t i)
{
    unsigned wave = 0;
    for (size_t n = i + 1; n > 1; n >>= 1) {
        wave++;
    }
    return wave;
}

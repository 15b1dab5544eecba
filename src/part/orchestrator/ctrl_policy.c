/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The status of ValidatingAdmissionPolicies: what types say to their expressions, once a generation
 * (pkg/controller/validatingadmissionpolicystatus).
 */
#include "api/admission/policy_types.h"
#include "api/object.h"
#include "orchestrator_private.h"

static const struct kind *policy_kind(void)
{
    static const struct kind *k;
    k = k ? k : kind_find_api("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy");
    return k;
}

static bool is_checked(const struct json *policy)
{
    return json_path_i64(policy, "status.observedGeneration", 0) >= obj_generation(policy);
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == policy_kind() && change->item && !is_checked(change->object)) {
        controller_add(c, "", change->item->name);
    }
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct arena *a = plan->arena;
    const char *ns, *name;
    if (!controller_split(a, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *policy = orchestrator_get(c->o, a, policy_kind(), NULL, name);
    if (!policy || is_checked(policy)) {
        return 0;
    }
    struct json *warnings = policy_type_warnings(a, policy), *types = json_object(a);
    if (!warnings) {
        return -E_NOMEM;
    }
    if (json_len(warnings) > 0) {
        json_set(types, "expressionWarnings", warnings);
    }
    struct json *status = json_ensure_object(policy, "status");
    json_set_int(status, "observedGeneration", obj_generation(policy));
    json_set(status, "typeChecking", types);
    plan_update(plan, policy_kind(), policy, "status");
    return 0;
}

const struct controller_ops policy_controller = {
    .name = "validatingadmissionpolicy-status-controller",
    .size = sizeof(struct controller),
    .workers = 1,
    .changed = changed,
    .reconcile = reconcile,
};

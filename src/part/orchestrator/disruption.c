/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a PodDisruptionBudget: see disruption.h. */
#include "disruption.h"

#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"

bool disruption_needs_scale(const struct json *pdb)
{
    return json_path(pdb, "spec.maxUnavailable") ||
           json_is(json_path(pdb, "spec.minAvailable"), JSON_STRING);
}

/* A number, or a percentage of the total, rounded up. */
static int64_t scaled(const struct json *v, int64_t total)
{
    struct str text = json_text(v);
    int64_t percent;
    if (!json_is(v, JSON_STRING)) {
        return json_i64(v, 0);
    }
    if (!str_ends(text, "%") || str_i64(str_n(text.p, text.n - 1), &percent) < 0) {
        return 0;
    }
    return (total * percent + 99) / 100;
}

/* Evictions that were granted: dropped when the pod is gone or going, or when it stayed too long.
 */
static struct json *still_disrupted(struct plan *plan, const struct disruption_in *in)
{
    struct json *keep = json_object(plan->arena);
    for (size_t i = 0; i < in->n; i++) {
        const struct pod_facts *p = in->pods[i];
        const struct json *at = json_get(json_path(in->pdb, "status.disruptedPods"), p->name);
        struct wall when;
        if (!at || p->deleting || time_parse(json_text(at), &when) < 0) {
            continue;
        }
        int64_t left = when.us / 1000 + DISRUPTION_TIMEOUT_MS - in->now.us / 1000;
        if (left <= 0) {
            plan_event(plan, known_kinds()->pdb, in->pdb, "Warning", "NotDeleted",
                       "Pod was expected by PDB %s/%s to be deleted but it wasn't", obj_ns(in->pdb),
                       obj_name(in->pdb));
            continue;
        }
        json_set(keep, p->name, json_clone(plan->arena, at));
        plan_requeue(plan, left + 1);
    }
    return keep;
}

static int64_t healthy(const struct disruption_in *in, const struct json *disrupted)
{
    int64_t n = 0;
    for (size_t i = 0; i < in->n; i++) {
        const struct pod_facts *p = in->pods[i];
        n += p->ready && !p->deleting && !json_get(disrupted, p->name);
    }
    return n;
}

static void write_status(struct plan *plan, const struct disruption_in *in,
                         const struct json *before)
{
    if (!before || !json_equal(before, json_get(in->pdb, "status"))) {
        plan_update(plan, known_kinds()->pdb, in->pdb, "status")->flags = ACTION_F_ABSENT_OK;
    }
}

static void set_condition(const struct disruption_in *in, const char *status, const char *reason,
                          const char *message)
{
    (void)obj_condition_set(in->pdb, "DisruptionAllowed", status, reason, message, in->now);
    struct json *c = obj_condition(in->pdb, "DisruptionAllowed");
    json_set_int(c, "observedGeneration", obj_generation(in->pdb));
    if (!json_get(c, "message")) {
        json_set_str(c, "message", "");
    }
}

void disruption_plan(struct plan *plan, const struct disruption_in *in)
{
    const struct json *min = json_path(in->pdb, "spec.minAvailable");
    const struct json *max = json_path(in->pdb, "spec.maxUnavailable");
    const struct json *was = json_get(in->pdb, "status");
    const struct json *before = was ? json_clone(plan->arena, was) : NULL;
    struct json *status = json_ensure_object(in->pdb, "status");
    bool needs_scale = disruption_needs_scale(in->pdb);
    int64_t expected = needs_scale ? in->scale : (int64_t)in->n, desired = 0;
    if (expected < 0) {
        plan_event(plan, known_kinds()->pdb, in->pdb, "Warning", "CalculateExpectedPodCountFailed",
                   "Failed to calculate the number of expected pods: %s", in->why);
        json_set_int(status, "disruptionsAllowed", 0);
        set_condition(in, "False", "SyncFailed", in->why);
        write_status(plan, in, before);
        return;
    }
    if (max) {
        desired = MAX_OF(expected - scaled(max, expected), 0);
    } else if (min) {
        desired = scaled(min, expected);
    }
    struct json *disrupted = still_disrupted(plan, in);
    int64_t current = healthy(in, disrupted);
    int64_t allowed = expected > 0 ? MAX_OF(current - desired, 0) : 0;
    json_set_int(status, "disruptionsAllowed", allowed);
    json_set_int(status, "currentHealthy", current);
    json_set_int(status, "desiredHealthy", desired);
    json_set_int(status, "expectedPods", expected);
    json_set_int(status, "observedGeneration", obj_generation(in->pdb));
    if (json_len(disrupted)) {
        json_set(status, "disruptedPods", disrupted);
    } else {
        (void)json_del(status, "disruptedPods");
    }
    set_condition(in, allowed > 0 ? "True" : "False",
                  allowed > 0 ? "SufficientPods" : "InsufficientPods", "");
    write_status(plan, in, before);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile step of a node; the contract is in node_lifecycle.h. */
#include "node_lifecycle.h"

#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"

#define MARK_REASON "NodeStatusUnknown"
#define NEVER_REASON "NodeStatusNeverUpdated"

static const char *reason_of(const struct json *node, const char *type)
{
    return json_cstr(json_get(obj_condition(node, type), "reason"), "");
}

bool node_is_marked(const struct json *node)
{
    const char *reason = reason_of(node, "Ready");
    return strcmp(obj_condition_status(node, "Ready"), "Unknown") == 0 &&
           (strcmp(reason, MARK_REASON) == 0 || strcmp(reason, NEVER_REASON) == 0);
}

/* ---- conditions ---- */

static bool mark_unknown(const struct node_in *in)
{
    static const char *const types[] = {"Ready", "MemoryPressure", "DiskPressure", "PIDPressure"};
    bool changed = false;
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        const char *status = obj_condition_status(in->node, types[i]);
        if (!status[0]) {
            changed |= obj_condition_set(in->node, types[i], "Unknown", NEVER_REASON,
                                         "Kubelet never posted node status.", in->now);
        } else if (strcmp(status, "Unknown") != 0) {
            changed |= obj_condition_set(in->node, types[i], "Unknown", MARK_REASON,
                                         "Kubelet stopped posting node status.", in->now);
        }
    }
    return changed;
}

/* The Lease is renewed again, but the agent saw no reason to send its unchanged status: what it
 * said last holds. */
static bool restore(const struct node_in *in)
{
    bool changed = false;
    JSON_FOR_EACH (c, in->saved) {
        const char *type = json_cstr(json_get(c, "type"), "");
        const char *reason = reason_of(in->node, type);
        if (strcmp(reason, MARK_REASON) == 0 || strcmp(reason, NEVER_REASON) == 0) {
            changed |=
                obj_condition_set(in->node, type, json_cstr(json_get(c, "status"), "Unknown"),
                                  json_cstr(json_get(c, "reason"), ""),
                                  json_cstr(json_get(c, "message"), ""), in->now);
        }
    }
    return changed;
}

static bool plan_conditions(const struct node_in *in, struct plan *plan)
{
    const struct kind *kind = known_kinds()->node;
    bool silent = in->silent_ms >= in->grace_ms;
    bool changed = silent ? mark_unknown(in) : node_is_marked(in->node) ? restore(in) : false;
    if (!silent) {
        plan_requeue(plan, in->grace_ms - in->silent_ms + 1);
    }
    if (changed) {
        plan_update(plan, kind, in->node, "status")->flags = ACTION_F_ABSENT_OK;
        if (silent) {
            plan_event(plan, kind, in->node, "Normal", "NodeNotReady",
                       "Node %s status is now: NodeNotReady", obj_name(in->node));
        }
    }
    return changed;
}

/* ---- taints ---- */

struct own_taint {
    const char *key;
    const char *condition, *status; /* the taint stands while the condition has this status */
};

static const struct own_taint own_taints[] = {
    {"node.kubernetes.io/not-ready", "Ready", "False"},
    {"node.kubernetes.io/unreachable", "Ready", "Unknown"},
    {"node.kubernetes.io/memory-pressure", "MemoryPressure", "True"},
    {"node.kubernetes.io/disk-pressure", "DiskPressure", "True"},
    {"node.kubernetes.io/pid-pressure", "PIDPressure", "True"},
    {"node.kubernetes.io/network-unavailable", "NetworkUnavailable", "True"},
    {"node.kubernetes.io/unschedulable", NULL, NULL},
};

static bool is_wanted(const struct json *node, const struct own_taint *t)
{
    return t->condition ? strcmp(obj_condition_status(node, t->condition), t->status) == 0
                        : json_path_true(node, "spec.unschedulable", false);
}

static bool is_taint(const struct json *taint, const char *key)
{
    return strcmp(json_cstr(json_get(taint, "key"), ""), key) == 0 &&
           strcmp(json_cstr(json_get(taint, "effect"), ""), "NoSchedule") == 0;
}

/* NULL when it is no taint of ours. */
static const struct own_taint *own_taint_of(const struct json *taint)
{
    for (size_t i = 0; i < ARRAY_SIZE(own_taints); i++) {
        if (is_taint(taint, own_taints[i].key)) {
            return &own_taints[i];
        }
    }
    return NULL;
}

static bool has_taint(const struct json *taints, const char *key)
{
    JSON_FOR_EACH (taint, taints) {
        if (is_taint(taint, key)) {
            return true;
        }
    }
    return false;
}

static bool plan_taints(const struct node_in *in, struct plan *plan)
{
    const struct json *was = json_path(in->node, "spec.taints");
    struct json *taints = json_array(plan->arena);
    bool changed = false;
    JSON_FOR_EACH (taint, was) {
        const struct own_taint *own = own_taint_of(taint);
        if (own && !is_wanted(in->node, own)) {
            changed = true;
        } else {
            json_push(taints, json_clone(plan->arena, taint));
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(own_taints); i++) {
        if (is_wanted(in->node, &own_taints[i]) && !has_taint(was, own_taints[i].key)) {
            struct json *taint = json_push(taints, json_object(plan->arena));
            json_set_str(taint, "key", own_taints[i].key);
            json_set_str(taint, "effect", "NoSchedule");
            changed = true;
        }
    }
    if (changed) {
        struct json *patch = json_object(plan->arena);
        json_set_str(obj_meta(patch), "resourceVersion", obj_rv(in->node));
        json_set(json_ensure_object(patch, "spec"), "taints",
                 json_len(taints) ? taints : json_null(plan->arena));
        plan_patch(plan, known_kinds()->node, NULL, obj_name(in->node), NULL, API_PATCH_MERGE,
                   patch)
            ->flags = ACTION_F_ABSENT_OK;
    }
    return changed;
}

/* ---- pods ---- */

static void plan_pod_ready(const struct node_in *in, struct plan *plan, const struct pod_facts *p,
                           bool ready)
{
    char now[TIME_TEXT_SIZE];
    struct json *patch = json_object(plan->arena), *c = json_object(plan->arena);
    json_set_str(obj_meta(patch), "uid", p->uid);
    json_set_str(c, "type", "Ready");
    json_set_str(c, "status", ready ? "True" : "False");
    json_set_str(c, "lastTransitionTime", time_text(in->now, now));
    if (ready) {
        json_set(c, "reason", json_null(plan->arena));
        json_set(c, "message", json_null(plan->arena));
    } else {
        json_set_str(c, "reason", "NodeNotReady");
        json_set_str(c, "message", "Node is not ready");
    }
    json_push(json_ensure_array(json_ensure_object(patch, "status"), "conditions"), c);
    plan_patch(plan, known_kinds()->pod, arena_strdup(plan->arena, p->ns),
               arena_strdup(plan->arena, p->name), "status", API_PATCH_STRATEGIC, patch)
        ->flags = ACTION_F_ABSENT_OK;
}

static void plan_pods(const struct node_in *in, struct plan *plan)
{
    bool ready = obj_condition_true(in->node, "Ready");
    if (!in->pods) {
        return;
    }
    LIST_FOR_EACH (l, in->pods) {
        const struct pod_facts *p = POD_OF_NODE(l);
        if (pod_ended(p)) {
            continue;
        }
        if (!ready && p->ready) {
            plan_pod_ready(in, plan, p, false);
        } else if (ready && p->marked_not_ready && p->containers_ready && !p->deleting) {
            plan_pod_ready(in, plan, p, true);
        }
    }
}

void node_reconcile(const struct node_in *in, struct plan *plan)
{
    if (obj_deleting(in->node)) {
        return;
    }
    /* One write a step: each moves the revision that the next one must name. */
    if (!plan_conditions(in, plan) && !plan_taints(in, plan)) {
        plan_pods(in, plan);
    }
}

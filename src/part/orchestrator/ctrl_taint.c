/* SPDX-License-Identifier: Apache-2.0 */
/* Evicts pods from nodes with NoExecute taints that they do not tolerate (kubectl taint ...
 * :NoExecute). */
#include <string.h>

#include "api/object.h"
#include "base/map.h"
#include "orchestrator_private.h"
#include "pod_index.h"
#include "sched.h"
#include "taint_eviction.h"

static bool is_no_execute(const struct json *taint)
{
    return strcmp(json_cstr(json_get(taint, "effect"), ""), "NoExecute") == 0;
}

bool taints_evict(const struct json *taints)
{
    JSON_FOR_EACH (taint, taints) {
        if (is_no_execute(taint)) {
            return true;
        }
    }
    return false;
}

/* The shortest time for which a toleration of the pod covers the taint; -1 when none does. */
static int64_t stay_seconds(struct arena *a, const struct json *taint,
                            const struct json *tolerations)
{
    int64_t shortest = -1;
    JSON_FOR_EACH (t, tolerations) {
        struct json *one = json_array(a);
        json_push(one, t);
        if (taint_tolerated(taint, one)) {
            const struct json *seconds = json_get(t, "tolerationSeconds");
            int64_t s = seconds ? MAX_OF(json_i64(seconds, 0), 0) : STAYS_FOREVER;
            shortest = shortest < 0 ? s : MIN_OF(shortest, s);
        }
    }
    return shortest;
}

int64_t taint_stay_seconds(const struct json *taints, const struct json *tolerations)
{
    int64_t shortest = STAYS_FOREVER;
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    JSON_FOR_EACH (taint, taints) {
        if (is_no_execute(taint)) {
            int64_t s = stay_seconds(&a, taint, tolerations);
            shortest = MIN_OF(shortest, s < 0 ? 0 : s);
        }
    }
    arena_fini(&a);
    return shortest;
}

/* ---- the driver ---- */

struct first_met {
    struct mono at;
};

struct taint_ctrl {
    struct controller base;
    struct map met; /* uid of a pod -> struct first_met: since when its node is tainted so */
};

static struct taint_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct taint_ctrl, base);
}

static int start(struct controller *c)
{
    map_init(&self(c)->met);
    return 0;
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->met, mem_free);
}

static void node_changed(struct controller *c, const struct change *change)
{
    bool was = taints_evict(json_path(change->was, "spec.taints"));
    bool is = taints_evict(json_path(change->object, "spec.taints"));
    const struct list *pods =
        was || is ? pod_index_on_node(c->o->pods, obj_name(change->object)) : NULL;
    if (pods) {
        LIST_FOR_EACH (l, pods) {
            controller_add(c, POD_OF_NODE(l)->ns, POD_OF_NODE(l)->name);
        }
    }
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == known_kinds()->node && change->object) {
        node_changed(c, change);
    } else if (change->kind == known_kinds()->pod) {
        const char *was = json_path_cstr(change->was, "spec.nodeName", "");
        const char *is = json_path_cstr(change->object, "spec.nodeName", "");
        if (!change->object) {
            mem_free(map_del(&self(c)->met, str_of(change->old->uid)));
        } else if (strcmp(was, is) != 0) {
            controller_add(c, change->item->ns, change->item->name);
        }
    }
}

static int64_t seconds_since_met(struct controller *c, const char *uid)
{
    struct first_met *met = map_get(&self(c)->met, str_of(uid));
    if (!met) {
        met = mem_zalloc(sizeof(*met));
        if (!met || map_put(&self(c)->met, str_of(uid), met, NULL) < 0) {
            mem_free(met);
            return 0;
        }
        met->at = loop_now(c->o->loop);
    }
    return (loop_now(c->o->loop).us - met->at.us) / 1000000;
}

static void plan_eviction(struct plan *plan, const struct json *pod)
{
    char now[TIME_TEXT_SIZE];
    const struct kind *kind = known_kinds()->pod;
    struct json *patch = json_object(plan->arena), *c = json_object(plan->arena);
    json_set_str(obj_meta(patch), "uid", obj_uid(pod));
    json_set_str(c, "type", "DisruptionTarget");
    json_set_str(c, "status", "True");
    json_set_str(c, "reason", "DeletionByTaintManager");
    json_set_str(c, "message", "Taint manager: deleting due to NoExecute taint");
    json_set_str(c, "lastTransitionTime", time_text(wall_now(), now));
    json_push(json_ensure_array(json_ensure_object(patch, "status"), "conditions"), c);
    plan_patch(plan, kind, obj_ns(pod), obj_name(pod), "status", API_PATCH_STRATEGIC, patch)
        ->flags = ACTION_F_ABSENT_OK;
    plan_delete(plan, kind, obj_ns(pod), obj_name(pod), obj_uid(pod))->wave = 1;
    plan_event(plan, kind, pod, "Normal", "TaintManagerEviction", "Marking for deletion Pod %s/%s",
               obj_ns(pod), obj_name(pod));
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *pod = orchestrator_get(c->o, plan->arena, known_kinds()->pod, ns, name);
    struct json *node = orchestrator_get(c->o, plan->arena, known_kinds()->node, NULL,
                                         json_path_cstr(pod, "spec.nodeName", ""));
    const struct json *taints = json_path(node, "spec.taints");
    if (!pod || obj_deleting(pod) || !taints_evict(taints)) {
        mem_free(map_del(&self(c)->met, str_of(obj_uid(pod))));
        return 0;
    }
    int64_t stay = taint_stay_seconds(taints, json_path(pod, "spec.tolerations"));
    if (stay == STAYS_FOREVER) {
        return 0;
    }
    int64_t left = stay - seconds_since_met(c, obj_uid(pod));
    if (left <= 0) {
        plan_eviction(plan, pod);
    } else {
        plan_requeue(plan, left * 1000);
    }
    return 0;
}

const struct controller_ops taint_controller = {
    .name = "taint-eviction-controller",
    .size = sizeof(struct taint_ctrl),
    .workers = 16,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
};

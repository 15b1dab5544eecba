/* SPDX-License-Identifier: Apache-2.0 */
/* The condition Dangling of FlowSchemas: whether their priority level exists
 * (util/flowcontrol/apf_controller). */
#include "api/object.h"
#include "orchestrator_private.h"

#define API "flowcontrol.apiserver.k8s.io/v1"

static const struct kind *schema_kind(void)
{
    static const struct kind *k;
    k = k ? k : kind_find_api(API, "FlowSchema");
    return k;
}

static const struct kind *level_kind(void)
{
    static const struct kind *k;
    k = k ? k : kind_find_api(API, "PriorityLevelConfiguration");
    return k;
}

static bool add(void *arg, struct api_item *item)
{
    controller_add(arg, "", item->name);
    return true;
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == schema_kind() && change->item) {
        controller_add(c, "", change->item->name);
    } else if (change->kind == level_kind() && (!change->old || !change->item)) {
        informer_each(orchestrator_informer(c->o, schema_kind()), NULL, add, c);
    }
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct arena *a = plan->arena;
    const char *ns, *name;
    if (!controller_split(a, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *schema = orchestrator_get(c->o, a, schema_kind(), NULL, name);
    if (!schema) {
        return 0;
    }
    const char *level = json_path_cstr(schema, "spec.priorityLevelConfiguration.name", "");
    bool found = orchestrator_get(c->o, a, level_kind(), NULL, level) != NULL;
    const char *message =
        arena_printf(a,
                     "This FlowSchema references the PriorityLevelConfiguration "
                     "object named \"%s\" %s",
                     level, found ? "and it exists" : "but there is no such object");
    const struct json *was = json_clone(a, json_get(schema, "status"));
    (void)obj_condition_set(schema, "Dangling", found ? "False" : "True",
                            found ? "Found" : "NotFound", message, wall_now());
    if (!was || !json_equal(was, json_get(schema, "status"))) {
        plan_update(plan, schema_kind(), schema, "status");
    }
    return 0;
}

const struct controller_ops flow_controller = {
    .name = "priority-and-fairness-config-consumer",
    .size = sizeof(struct controller),
    .workers = 1,
    .changed = changed,
    .reconcile = reconcile,
};

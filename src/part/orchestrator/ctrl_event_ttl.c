/* SPDX-License-Identifier: Apache-2.0 */
/* Deletes Events an hour after they last happened. */
#include "api/object.h"
#include "orchestrator_private.h"

struct event_ttl_ctrl {
    struct controller base;
};

/* When it last happened: whichever of its times is set, else when it was made. */
static struct wall last_time(const struct json *event)
{
    static const char *const fields[] = {"series.lastObservedTime", "lastTimestamp", "eventTime",
                                         "firstTimestamp"};
    struct wall t;
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (time_parse(json_text(json_path(event, fields[i])), &t) == 0) {
            return t;
        }
    }
    return obj_created(event);
}

static int64_t left_ms(struct controller *c, const struct json *event)
{
    return c->o->opts.event_ttl_ms - (wall_now().us - last_time(event).us) / 1000;
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind == known_kinds()->event && change->object && !change->was) {
        int64_t ms = left_ms(c, change->object);
        controller_add_after(c, change->item->ns, change->item->name, ms > 0 ? ms : 0);
    }
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *event = orchestrator_get(c->o, plan->arena, known_kinds()->event, ns, name);
    int64_t ms = event ? left_ms(c, event) : 0;
    if (event && ms <= 0) {
        plan_delete(plan, known_kinds()->event, ns, name, obj_uid(event));
    } else if (event) {
        plan_requeue(plan, ms); /* it happened again meanwhile */
    }
    return 0;
}

const struct controller_ops event_ttl_controller = {
    .name = "event-ttl-controller",
    .size = sizeof(struct event_ttl_ctrl),
    .workers = 32,
    .changed = changed,
    .reconcile = reconcile,
};

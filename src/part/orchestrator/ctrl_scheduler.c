/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the scheduler: pods of schedulerName default-scheduler that have no node.
 *
 * Pods wait in the work queue. A decision is made against the picture (sched.h), which counts the
 * pod at once, so the next decision need not wait for the bind to be written; a bind that fails is
 * taken back. A pod that fits nowhere is tried again when something changes that could help it
 * (nodes, pods that leave), at the latest after a minute.
 */
#include <string.h>

#include "api/object.h"
#include "base/log.h"
#include "base/map.h"
#include "orchestrator_private.h"
#include "sched.h"

#define RETRY_MS 60000
#define RECHECK_MS 1000 /* changes that may help are gathered for so long */

struct scheduler {
    struct controller base;
    struct sched *sched;
    struct map waiting; /* "ns/name" of pods that fit nowhere -> the map as a mark */
    struct map assumed; /* "ns/name" of pods whose bind the copy does not show yet */
    struct io_timer recheck;
};

static struct scheduler *self(struct controller *c)
{
    return CONTAINER_OF(c, struct scheduler, base);
}

/* ---- waiting pods ---- */

static void recheck(void *arg)
{
    struct scheduler *s = arg;
    MAP_FOR_EACH (slot, &s->waiting) {
        workqueue_add(s->base.queue, slot->key);
    }
}

/* Something changed that may make room. */
static void may_help(struct scheduler *s)
{
    if (map_len(&s->waiting) > 0 && !io_timer_active(&s->recheck)) {
        io_timer_start(&s->recheck, RECHECK_MS, /* repeat_ms= */ 0);
    }
}

static int start(struct controller *c)
{
    struct scheduler *s = self(c);
    map_init(&s->waiting);
    map_init(&s->assumed);
    io_timer_init(c->o->loop, &s->recheck, recheck, s);
    s->sched = sched_new();
    return s->sched ? 0 : -E_NOMEM;
}

static void stop(struct controller *c)
{
    struct scheduler *s = self(c);
    io_timer_stop(&s->recheck);
    map_fini(&s->waiting, NULL);
    map_fini(&s->assumed, NULL);
    sched_free(s->sched);
}

/* ---- what changed ---- */

static bool is_pending(const struct json *pod)
{
    const char *phase = json_path_cstr(pod, "status.phase", "Pending");
    const char *scheduler = json_path_cstr(pod, "spec.schedulerName", "default-scheduler");
    return pod && json_path_cstr(pod, "spec.nodeName", "")[0] == '\0' && !obj_deleting(pod) &&
           strcmp(scheduler, "default-scheduler") == 0 && strcmp(phase, "Succeeded") != 0 &&
           strcmp(phase, "Failed") != 0 && json_len(json_path(pod, "spec.schedulingGates")) == 0;
}

static void pod_changed(struct scheduler *s, const struct change *change)
{
    const struct api_item *item = change->item ? change->item : change->old;
    struct arena a;
    arena_init(&a, /* cap= */ 0);
    const char *key = arena_printf(&a, "%s/%s", item->ns, item->name);
    bool bound = json_path_cstr(change->object, "spec.nodeName", "")[0] != '\0';
    if (!key) {
        arena_fini(&a);
        return;
    }
    if (!change->object) {
        (void)map_del(&s->waiting, str_of(key));
        (void)map_del(&s->assumed, str_of(key));
        sched_del_pod(s->sched, item->ns, item->name);
        may_help(s);
    } else if (bound) {
        (void)map_del(&s->waiting, str_of(key));
        (void)map_del(&s->assumed, str_of(key));
        (void)sched_set_pod(s->sched, change->object); /* without memory it takes no room */
        may_help(s);
    } else if (is_pending(change->object) && !map_get(&s->assumed, str_of(key))) {
        /* Our own status patch is no reason to try again. */
        bool status_only =
            change->was && map_get(&s->waiting, str_of(key)) &&
            json_equal(json_get(change->was, "spec"), json_get(change->object, "spec")) &&
            json_equal(obj_labels(change->was), obj_labels(change->object));
        if (!status_only) {
            workqueue_add(s->base.queue, key);
        }
    }
    arena_fini(&a);
}

static void changed(struct controller *c, const struct change *change)
{
    struct scheduler *s = self(c);
    if (change->kind == known_kinds()->pod) {
        pod_changed(s, change);
    } else if (change->kind == known_kinds()->node) {
        if (change->object) {
            (void)sched_set_node(s->sched, change->object); /* without memory it is left out */
        } else {
            sched_del_node(s->sched, change->old->name);
        }
        may_help(s);
    } else if (change->kind == known_kinds()->ns) {
        if (change->object) {
            (void)sched_set_namespace(s->sched, change->object); /* only for namespace selectors */
        } else {
            sched_del_namespace(s->sched, change->old->name);
        }
    }
}

/* ---- binding ---- */

static void plan_bind(struct controller *c, struct plan *plan, const struct json *pod,
                      const char *node)
{
    struct json *b = json_object(plan->arena);
    struct json *meta = json_ensure_object(b, "metadata");
    struct json *target = json_ensure_object(b, "target");
    json_set_str(b, "apiVersion", "v1");
    json_set_str(b, "kind", "Binding");
    json_set_str(meta, "name", obj_name(pod));
    json_set_str(meta, "namespace", obj_ns(pod));
    json_set_str(meta, "uid", obj_uid(pod));
    json_set_str(target, "apiVersion", "v1");
    json_set_str(target, "kind", "Node");
    json_set_str(target, "name", node);
    struct action *a = plan_create(plan, known_kinds()->pod, obj_ns(pod), b);
    a->req.name = obj_name(pod);
    a->req.subresource = "binding";
    a->flags = ACTION_F_ABSENT_OK;
    a->ok = (struct action_event){known_kinds()->pod, pod, "Scheduled",
                                  arena_printf(plan->arena, "Successfully assigned %s/%s to %s",
                                               obj_ns(pod), obj_name(pod), node)};
}

static void plan_unschedulable(struct plan *plan, const struct json *pod, const char *why)
{
    const struct json *was = obj_condition(pod, "PodScheduled");
    char now[TIME_TEXT_SIZE];
    plan_event(plan, known_kinds()->pod, pod, "Warning", "FailedScheduling", "%s", why);
    if (strcmp(json_cstr(json_get(was, "status"), ""), "False") == 0 &&
        strcmp(json_cstr(json_get(was, "message"), ""), why) == 0) {
        return;
    }
    bool moved = strcmp(json_cstr(json_get(was, "status"), ""), "False") != 0;
    struct json *patch = json_object(plan->arena);
    struct json *c = json_object(plan->arena);
    json_set_str(json_ensure_object(patch, "metadata"), "uid", obj_uid(pod));
    json_set_str(c, "type", "PodScheduled");
    json_set_str(c, "status", "False");
    json_set_str(c, "reason", "Unschedulable");
    json_set_str(c, "message", why);
    if (moved) {
        json_set_str(c, "lastTransitionTime", time_text(wall_now(), now));
    }
    json_push(json_ensure_array(json_ensure_object(patch, "status"), "conditions"), c);
    plan_patch(plan, known_kinds()->pod, obj_ns(pod), obj_name(pod), "status", API_PATCH_STRATEGIC,
               patch)
        ->flags = ACTION_F_ABSENT_OK;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct scheduler *s = self(c);
    const char *ns, *name, *node;
    struct err err = {0};
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *pod = orchestrator_get(c->o, plan->arena, known_kinds()->pod, ns, name);
    if (!is_pending(pod) || map_get(&s->assumed, str_of(key))) {
        (void)map_del(&s->waiting, str_of(key));
        return 0;
    }
    int r = sched_place(s->sched, plan->arena, pod, &node, &err);
    if (r == -E_AGAIN || r == -E_INVAL) {
        (void)map_put(&s->waiting, str_of(key), s, NULL); /* else the minute's retry finds it */
        plan_unschedulable(plan, pod, err.text);
        plan_requeue(plan, RETRY_MS);
        return 0;
    }
    if (r == 0) {
        r = sched_assume(s->sched, pod, node);
    }
    if (r == 0) {
        r = map_put(&s->assumed, str_of(key), s, NULL);
    }
    if (r == 0) {
        (void)map_del(&s->waiting, str_of(key));
        plan_bind(c, plan, pod, arena_strdup(plan->arena, node));
    }
    return r;
}

/* A bind that failed gives the room back. */
static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    struct scheduler *s = self(c);
    if (code >= 0 || !cstr_eq(a->req.subresource, "binding")) {
        return;
    }
    if (map_del(&s->assumed, str_of(key))) {
        sched_del_pod(s->sched, a->req.ns, a->req.name);
        may_help(s);
    }
}

const struct controller_ops scheduler_controller = {
    .name = "default-scheduler",
    .size = sizeof(struct scheduler),
    .workers = 256,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

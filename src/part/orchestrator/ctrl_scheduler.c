/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives the scheduler: pods of schedulerName default-scheduler that have no node.
 *
 * Pods wait in the work queue; one of lower priority steps back while one of higher priority is in
 * it. A decision is made against the picture (sched.h), which counts the
 * pod at once, so the next decision need not wait for the bind to be written; a bind that fails is
 * taken back. A pod that fits nowhere is tried again when something changes that could help it
 * (nodes, pods that leave, claims), at the latest after a minute. Meanwhile, if pods of lower
 * priority would make room, these are deleted and the room is kept for it (preemption).
 */
#include <string.h>

#include "api/object.h"
#include "base/log.h"
#include "base/map.h"
#include "orchestrator_private.h"
#include "api/selector.h"
#include "sched.h"
#include "sched_claims.h"

#define RETRY_MS 60000
#define RECHECK_MS 1000 /* changes that may help are gathered for so long */

#define PRIORITIES 32

/* How many pods of one priority are in the queue. */
struct rank {
    int64_t priority;
    size_t n;
};

struct queued {
    int64_t priority;
};

struct scheduler {
    struct controller base;
    struct map queued; /* "ns/name" -> struct queued: is in the queue and was not looked at yet */
    struct rank ranks[PRIORITIES];
    size_t n_ranks;
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

/* ---- who comes first ---- */

static void count_rank(struct scheduler *s, int64_t priority, int by)
{
    for (size_t i = 0; i < s->n_ranks; i++) {
        if (s->ranks[i].priority == priority) {
            s->ranks[i].n += (size_t)by;
            if (s->ranks[i].n == 0) {
                s->ranks[i] = s->ranks[--s->n_ranks];
            }
            return;
        }
    }
    if (by > 0 && s->n_ranks < PRIORITIES) { /* more priorities than that: the rest is equal */
        s->ranks[s->n_ranks++] = (struct rank){priority, 1};
    }
}

static void leave_queue(struct scheduler *s, const char *key)
{
    struct queued *q = map_del(&s->queued, str_of(key));
    if (q) {
        count_rank(s, q->priority, -1);
        mem_free(q);
    }
}

static void enter_queue(struct scheduler *s, const char *key, int64_t priority)
{
    struct queued *q = mem_alloc(sizeof(*q));
    leave_queue(s, key);
    if (q && map_put(&s->queued, str_of(key), q, NULL) == 0) {
        q->priority = priority;
        count_rank(s, priority, 1);
    } else {
        mem_free(q); /* it is only not waited for */
    }
    workqueue_add(s->base.queue, key);
}

static bool is_outranked(const struct scheduler *s, int64_t priority)
{
    for (size_t i = 0; i < s->n_ranks; i++) {
        if (s->ranks[i].priority > priority) {
            return true;
        }
    }
    return false;
}

static int start(struct controller *c)
{
    struct scheduler *s = self(c);
    map_init(&s->queued);
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
    map_fini(&s->queued, mem_free);
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
           strcmp(phase, "Failed") != 0;
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
        leave_queue(s, key);
        sched_unnominate(s->sched, item->ns, item->name);
        sched_del_pod(s->sched, item->ns, item->name);
        may_help(s);
    } else if (bound) {
        leave_queue(s, key);
        sched_unnominate(s->sched, item->ns, item->name);
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
        const char *nominated = json_path_cstr(change->object, "status.nominatedNodeName", "");
        if (!change->was && *nominated) {
            (void)sched_nominate(s->sched, change->object, nominated); /* room is only not kept */
        }
        if (!status_only) {
            enter_queue(s, key, json_path_i64(change->object, "spec.priority", 0));
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
    } else if (change->kind == known_kinds()->pvc || change->kind == known_kinds()->pv) {
        may_help(s);
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

/* nominated NULL: stays as it is. */
static void plan_unscheduled(struct plan *plan, const struct json *pod, const char *reason,
                             const char *why, const char *nominated)
{
    const struct json *was = obj_condition(pod, "PodScheduled");
    char now[TIME_TEXT_SIZE];
    if (!nominated && strcmp(json_cstr(json_get(was, "status"), ""), "False") == 0 &&
        strcmp(json_cstr(json_get(was, "message"), ""), why) == 0) {
        return;
    }
    bool moved = strcmp(json_cstr(json_get(was, "status"), ""), "False") != 0;
    struct json *patch = json_object(plan->arena);
    struct json *c = json_object(plan->arena);
    json_set_str(json_ensure_object(patch, "metadata"), "uid", obj_uid(pod));
    json_set_str(c, "type", "PodScheduled");
    json_set_str(c, "status", "False");
    json_set_str(c, "reason", reason);
    json_set_str(c, "message", why);
    if (moved) {
        json_set_str(c, "lastTransitionTime", time_text(wall_now(), now));
    }
    json_push(json_ensure_array(json_ensure_object(patch, "status"), "conditions"), c);
    json_set_str(json_get(patch, "status"), "nominatedNodeName", nominated);
    plan_patch(plan, known_kinds()->pod, obj_ns(pod), obj_name(pod), "status", API_PATCH_STRATEGIC,
               patch)
        ->flags = ACTION_F_ABSENT_OK;
}

/* ---- preemption ---- */

struct budget_search {
    struct arena *a;
    struct sched_budget *v;
    size_t n, cap;
};

static bool keep_budget(void *arg, struct api_item *item)
{
    struct budget_search *b = arg;
    struct json *pdb = b->n < b->cap ? api_item_parse(item, b->a) : NULL;
    struct selector *s = NULL;
    if (pdb && selector_from_json(b->a, json_path(pdb, "spec.selector"), &s, NULL) == 0) {
        b->v[b->n++] = (struct sched_budget){obj_ns(pdb), s,
                                             json_path_i64(pdb, "status.disruptionsAllowed", 0)};
    }
    return true;
}

static void plan_victim(struct controller *c, struct plan *plan, const struct json *pod,
                        const struct sched_victim *v, const char *node)
{
    const struct kind *kind = known_kinds()->pod;
    struct json *victim = orchestrator_get(c->o, plan->arena, kind, v->ns, v->name);
    char now[TIME_TEXT_SIZE];
    if (!victim || strcmp(obj_uid(victim), v->uid) != 0 || obj_deleting(victim)) {
        return;
    }
    struct json *patch = json_object(plan->arena), *cond = json_object(plan->arena);
    json_set_str(obj_meta(patch), "uid", v->uid);
    json_set_str(cond, "type", "DisruptionTarget");
    json_set_str(cond, "status", "True");
    json_set_str(cond, "reason", "PreemptionByScheduler");
    json_set_str(cond, "message",
                 "default-scheduler: preempting to accommodate a higher priority pod");
    json_set_str(cond, "lastTransitionTime", time_text(wall_now(), now));
    json_push(json_ensure_array(json_ensure_object(patch, "status"), "conditions"), cond);
    plan_patch(plan, kind, v->ns, v->name, "status", API_PATCH_STRATEGIC, patch)->flags =
        ACTION_F_ABSENT_OK;
    plan_delete(plan, kind, v->ns, v->name, v->uid)->wave = 1;
    plan_event(plan, kind, victim, "Normal", "Preempted", "Preempted by pod %s on node %s",
               obj_uid(pod), node);
}

/* The node on which room is being made, or NULL with the sentence why there is none. */
static const char *preempt(struct scheduler *s, struct plan *plan, const struct json *pod,
                           const struct sched_volumes *volumes, const char **ret_why)
{
    struct informer *pdbs = orchestrator_informer(s->base.o, known_kinds()->pdb);
    struct budget_search b = {.a = plan->arena, .cap = informer_len(pdbs)};
    struct sched_victim *victims;
    struct err err = {0};
    const char *node = json_path_cstr(pod, "status.nominatedNodeName", "");
    size_t n;
    if (strcmp(json_path_cstr(pod, "spec.preemptionPolicy", ""), "Never") == 0) {
        *ret_why = "not eligible due to preemptionPolicy=Never.";
        return NULL;
    }
    if (*node && sched_room_is_coming(s->sched, pod, node)) {
        *ret_why = "not eligible due to a terminating pod on the nominated node.";
        return NULL;
    }
    b.v = arena_alloc(plan->arena, (b.cap + 1) * sizeof(*b.v));
    if (b.v) {
        informer_each(pdbs, NULL, keep_budget, &b);
    }
    if (!b.v || sched_preempt(s->sched, plan->arena, pod, volumes, b.v, b.n, &node, &victims, &n,
                              &err) < 0) {
        *ret_why = arena_strdup(plan->arena, err.text);
        return NULL;
    }
    node = arena_strdup(plan->arena, node);
    for (size_t i = 0; node && i < n; i++) {
        plan_victim(&s->base, plan, pod, &victims[i], node);
    }
    if (node) {
        (void)sched_nominate(s->sched, pod, node); /* room is only not kept */
    }
    return node;
}

/* ---- reconcile ---- */

static void plan_unschedulable(struct scheduler *s, struct plan *plan, const char *key,
                               const struct json *pod, const struct sched_volumes *volumes,
                               const char *text)
{
    const char *why = NULL;
    const char *node = volumes ? preempt(s, plan, pod, volumes, &why) : NULL;
    if (why) {
        text = arena_printf(plan->arena, "%s preemption: %s", text, why);
    }
    text = arena_strdup(plan->arena, text ? text : "");
    (void)map_put(&s->waiting, str_of(key), s, NULL); /* else the minute's retry finds it */
    plan_event(plan, known_kinds()->pod, pod, "Warning", "FailedScheduling", "%s",
               text ? text : "");
    plan_unscheduled(plan, pod, "Unschedulable", text ? text : "", node);
    plan_requeue(plan, RETRY_MS);
}

/* Claims that wait for this choice are told; the pod is bound when they are. */
static void plan_claims(struct scheduler *s, struct plan *plan, const char *key,
                        const struct json *pod, const struct pod_claims *claims, const char *node)
{
    pod_claims_select(claims, plan, arena_strdup(plan->arena, node));
    (void)sched_nominate(s->sched, pod, node);        /* room is only not kept */
    (void)map_put(&s->waiting, str_of(key), s, NULL); /* else the minute's retry finds it */
    plan_requeue(plan, RETRY_MS);
}

static int place(struct scheduler *s, struct plan *plan, const char *key, const struct json *pod)
{
    struct pod_claims claims;
    const char *node;
    struct err err = {0};
    int r = pod_claims_read(&claims, s->base.o, plan->arena, pod, &err);
    if (r == -E_AGAIN) {
        plan_unschedulable(s, plan, key, pod, NULL, err.text);
        return 0;
    }
    r = r < 0 ? r
              : sched_place(s->sched, plan->arena, pod, claims.n ? &claims.volumes : NULL, &node,
                            &err);
    if (r == -E_AGAIN || r == -E_INVAL) {
        plan_unschedulable(s, plan, key, pod, r == -E_AGAIN ? &claims.volumes : NULL, err.text);
        return 0;
    }
    if (r == 0 && claims.waits) {
        plan_claims(s, plan, key, pod, &claims, node);
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
        sched_unnominate(s->sched, obj_ns(pod), obj_name(pod));
        plan_bind(&s->base, plan, pod, arena_strdup(plan->arena, node));
    }
    return r;
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    struct scheduler *s = self(c);
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct json *pod = orchestrator_get(c->o, plan->arena, known_kinds()->pod, ns, name);
    int64_t priority = json_path_i64(pod, "spec.priority", 0);
    leave_queue(s, key);
    if (!is_pending(pod) || map_get(&s->assumed, str_of(key))) {
        (void)map_del(&s->waiting, str_of(key));
        return 0;
    }
    if (json_len(json_path(pod, "spec.schedulingGates")) > 0) {
        plan_unscheduled(plan, pod, "SchedulingGated",
                         "Scheduling is blocked due to non-empty scheduling gates", NULL);
        return 0;
    }
    if (is_outranked(s, priority)) {
        enter_queue(s, key, priority); /* comes back behind those that are in the queue */
        return 0;
    }
    return place(s, plan, key, pod);
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

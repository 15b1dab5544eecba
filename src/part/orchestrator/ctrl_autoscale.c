/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Drives HorizontalPodAutoscalers. A key's turn has two halves: the first asks metrics.k8s.io for
 * what the pods of the namespace use, the second, when the answer is there, decides and writes.
 */
#include <string.h>

#include "api/object.h"
#include "api/selector.h"
#include "autoscale.h"
#include "base/map.h"
#include "orchestrator_private.h"
#include "pod_index.h"

#define PERIOD_MS 15000

struct scaler {
    struct autoscale_past past;
    struct arena arena;   /* of metrics */
    struct json *metrics; /* name of a pod -> PodMetrics; NULL: to be asked for */
};

struct autoscale_ctrl {
    struct controller base;
    struct map scalers; /* "ns/name" -> struct scaler */
};

static struct autoscale_ctrl *self(struct controller *c)
{
    return CONTAINER_OF(c, struct autoscale_ctrl, base);
}

static void free_scaler(void *value)
{
    struct scaler *s = value;
    if (s) {
        arena_fini(&s->arena);
        mem_free(s);
    }
}

static int start(struct controller *c)
{
    map_init(&self(c)->scalers);
    return 0;
}

static void stop(struct controller *c)
{
    map_fini(&self(c)->scalers, free_scaler);
}

static struct scaler *scaler_of(struct controller *c, const char *key)
{
    struct scaler *s = map_get(&self(c)->scalers, str_of(key));
    if (!s && (s = mem_zalloc(sizeof(*s)))) {
        arena_init(&s->arena, /* cap= */ 0);
        if (map_put(&self(c)->scalers, str_of(key), s, NULL) < 0) {
            free_scaler(TAKE_PTR(s));
        }
    }
    return s;
}

static void changed(struct controller *c, const struct change *change)
{
    if (change->kind != known_kinds()->hpa) {
        return;
    }
    const struct api_item *item = change->item ? change->item : change->old;
    const struct json *was = json_get(change->was, "spec"), *is = json_get(change->object, "spec");
    if (!was || !is || !json_equal(was, is)) { /* our own status is no reason */
        controller_add(c, item->ns, item->name);
    }
}

/* ---- the first half ---- */

static int ask(struct plan *plan, const char *ns)
{
    const struct kind *k = kind_find_api("metrics.k8s.io/v1beta1", "PodMetrics");
    struct action *a = plan_get(plan, k, ns, NULL);
    a->req.verb = API_LIST;
    return k ? 0 : -E_NOTSUP;
}

/* What was measured, also nothing, wakes the second half. */
static void action(struct controller *c, const char *key, const struct action *a, int code,
                   const struct json *result)
{
    struct scaler *s = a->req.verb == API_LIST ? scaler_of(c, key) : NULL;
    if (!s) {
        return;
    }
    arena_clear(&s->arena);
    s->metrics = json_object(&s->arena);
    JSON_FOR_EACH (item, code == 0 ? json_get(result, "items") : NULL) {
        json_set(s->metrics, obj_name(item), json_clone(&s->arena, item));
    }
    if (arena_failed(&s->arena)) {
        s->metrics = NULL;
    }
    workqueue_add(c->queue, key);
}

/* ---- the second half ---- */

struct turn {
    struct controller *c;
    struct plan *plan;
    struct scaler *s;
    struct json *hpa, *status;
    const struct json *spec;
    struct json *target;
    const struct kind *kind;
    const struct kind_subresource *scale;
    int64_t current;
    struct autoscale_pod *pods;
    size_t n_pods;
    struct wall now;
};

static void condition(struct turn *t, const char *type, bool ok, const char *reason,
                      const char *text)
{
    (void)obj_condition_set(t->hpa, type, ok ? "True" : "False", reason, text, t->now);
}

static bool find_target(struct turn *t)
{
    const struct json *ref = json_get(t->spec, "scaleTargetRef");
    const char *api = json_path_cstr(ref, "apiVersion", ""),
               *kind = json_path_cstr(ref, "kind", "");
    const char *name = json_path_cstr(ref, "name", "");
    t->kind = kind_find_api(api, kind);
    t->scale = t->kind ? kind_subresource(t->kind, "scale") : NULL;
    t->target =
        t->scale ? orchestrator_get(t->c->o, t->plan->arena, t->kind, obj_ns(t->hpa), name) : NULL;
    if (t->target) {
        t->current = json_path_i64(t->target, t->scale->spec_replicas_path, 0);
        condition(t, "AbleToScale", true, "SucceededGetScale",
                  "the HPA controller was able to get the target's current scale");
        return true;
    }
    const char *why =
        t->scale
            ? arena_printf(t->plan->arena, "%s/scale%s%s \"%s\" not found", t->kind->plural,
                           *t->kind->group ? "." : "", t->kind->group, name)
            : arena_printf(t->plan->arena, "no matches for kind \"%s\" in group \"%s\"", kind, api);
    plan_event(t->plan, known_kinds()->hpa, t->hpa, "Warning", "FailedGetScale", "%s",
               why ? why : "");
    condition(t, "AbleToScale", false, "FailedGetScale",
              arena_printf(t->plan->arena,
                           "the HPA controller was unable to get the target's current scale: %s",
                           why ? why : ""));
    return false;
}

static void find_pods(struct turn *t)
{
    struct arena *a = t->plan->arena;
    struct selector *sel = NULL;
    const struct list *pods = pod_index_in_ns(t->c->o->pods, obj_ns(t->hpa));
    size_t cap = 0;
    if (!pods || !t->scale->selector_path ||
        selector_from_owner(a, json_path(t->target, t->scale->selector_path), &sel, NULL) < 0) {
        return;
    }
    LIST_FOR_EACH (l, pods) {
        const struct pod_facts *p = POD_OF_NS(l);
        if (p->deleting || pod_ended(p) || !selector_match(sel, pod_label, p)) {
            continue;
        }
        if (t->n_pods == cap) {
            size_t more = cap ? cap * 2 : 16, size = sizeof(*t->pods);
            struct autoscale_pod *v = arena_grow(a, t->pods, cap * size, more * size);
            if (!v) {
                return;
            }
            t->pods = v;
            cap = more;
        }
        t->pods[t->n_pods++] = (struct autoscale_pod){
            .name = p->name,
            .pod = orchestrator_get(t->c->o, a, known_kinds()->pod, p->ns, p->name),
            .metrics = json_get(t->s->metrics, p->name),
            .ready = p->ready,
        };
    }
}

struct wish {
    int64_t replicas; /* -1: none could be computed */
    const char *metric;
    size_t failed, n;
};

static void metric_failed(struct turn *t, struct wish *w, const struct autoscale_metric *m,
                          const char *text)
{
    plan_event(t->plan, known_kinds()->hpa, t->hpa, "Warning", m->condition, "%s", text);
    if (w->failed++ == 0) {
        condition(t, "ScalingActive", false, m->condition,
                  arena_printf(t->plan->arena,
                               "the HPA was unable to compute the replica count: %s", text));
    }
}

static struct wish wish_of(struct turn *t)
{
    struct wish w = {.replicas = -1};
    struct json *shown = json_array(t->plan->arena);
    const char *first = NULL;
    JSON_FOR_EACH (spec, json_get(t->spec, "metrics")) {
        struct autoscale_metric m;
        struct err err = {0};
        w.n++;
        if (autoscale_metric(t->plan->arena, spec, t->pods, t->n_pods, t->current, &m, &err) < 0) {
            first = first ? first : arena_strdup(t->plan->arena, err.text);
            metric_failed(t, &w, &m, err.text);
            continue;
        }
        json_push(shown, m.status);
        if (m.replicas > w.replicas) {
            w.replicas = m.replicas;
            w.metric = m.name;
        }
    }
    if (json_len(shown)) {
        json_set(t->status, "currentMetrics", shown);
    } else {
        (void)json_del(t->status, "currentMetrics");
    }
    /* With a figure missing it is not safe to go down. */
    if (w.failed > 0 && (w.replicas < 0 || w.replicas < t->current)) {
        plan_event(t->plan, known_kinds()->hpa, t->hpa, "Warning", "FailedComputeMetricsReplicas",
                   "invalid metrics (%zu invalid out of %zu), first error is: %s", w.failed, w.n,
                   first ? first : "");
        w.replicas = -1;
    } else if (w.replicas >= 0) {
        condition(t, "ScalingActive", true, "ValidMetricFound",
                  arena_printf(t->plan->arena,
                               "the HPA was able to successfully calculate a replica count from %s",
                               w.metric ? w.metric : ""));
    }
    return w;
}

static void rescale(struct turn *t, int64_t wanted, const char *why)
{
    struct json *patch = json_object(t->plan->arena);
    char now[TIME_TEXT_SIZE];
    json_set_int(json_ensure_object(patch, "spec"), "replicas", wanted);
    plan_patch(t->plan, t->kind, obj_ns(t->hpa), obj_name(t->target), "scale", API_PATCH_MERGE,
               patch);
    plan_event(t->plan, known_kinds()->hpa, t->hpa, "Normal", "SuccessfulRescale",
               "New size: %lld; reason: %s", (long long)wanted, why);
    condition(t, "AbleToScale", true, "SucceededRescale",
              arena_printf(t->plan->arena,
                           "the HPA controller was able to update the target scale to %lld",
                           (long long)wanted));
    json_set_str(t->status, "lastScaleTime", time_text(t->now, now));
    autoscale_changed(&t->s->past, wanted - t->current, t->now);
}

/* The wanted number of replicas; *ret_why says why it is another one. */
static int64_t decide(struct turn *t, const char **ret_why)
{
    int64_t min = json_path_i64(t->spec, "minReplicas", 1);
    int64_t max = json_path_i64(t->spec, "maxReplicas", 1);
    if (t->current == 0 && min != 0) {
        condition(t, "ScalingActive", false, "ScalingDisabled",
                  "scaling is disabled since the replica count of the target is zero");
        return 0;
    }
    if (t->current > max || t->current < min) {
        *ret_why = t->current > max ? "Current number of replicas above Spec.MaxReplicas"
                                    : "Current number of replicas below Spec.MinReplicas";
        return t->current > max ? max : min;
    }
    find_pods(t);
    struct wish w = wish_of(t);
    if (w.replicas < 0) {
        return t->current;
    }
    struct autoscale_limit l =
        autoscale_limit(&t->s->past, t->spec, t->current, w.replicas, t->now);
    condition(t, "AbleToScale", true, l.able_reason, l.able_text);
    condition(t, "ScalingLimited", l.limited, l.reason, l.text);
    *ret_why = l.replicas > t->current
                   ? arena_printf(t->plan->arena, "%s above target", w.metric ? w.metric : "")
                   : "All metrics below target";
    return l.replicas;
}

static void take_turn(struct turn *t)
{
    const struct json *was = json_get(t->hpa, "status");
    const struct json *before = was ? json_clone(t->plan->arena, was) : NULL;
    const char *why = "";
    t->status = json_ensure_object(t->hpa, "status");
    if (find_target(t)) {
        int64_t wanted = decide(t, &why);
        json_set_int(t->status, "currentReplicas", t->current);
        json_set_int(t->status, "desiredReplicas", wanted);
        if (wanted != t->current) {
            rescale(t, wanted, why ? why : "");
        }
    } else if (!json_get(t->status, "desiredReplicas")) {
        json_set_int(t->status, "desiredReplicas", 0);
    }
    if (!before || !json_equal(before, t->status)) {
        plan_update(t->plan, known_kinds()->hpa, t->hpa, "status")->flags = ACTION_F_ABSENT_OK;
    }
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    struct turn t = {.c = c, .plan = plan, .now = wall_now()};
    t.hpa = orchestrator_get(c->o, plan->arena, known_kinds()->hpa, ns, name);
    if (!t.hpa || obj_deleting(t.hpa)) {
        free_scaler(map_del(&self(c)->scalers, str_of(key)));
        return 0;
    }
    t.s = scaler_of(c, key);
    if (!t.s) {
        return -E_NOMEM;
    }
    if (!t.s->metrics) {
        return ask(plan, ns);
    }
    t.spec = json_get(t.hpa, "spec");
    take_turn(&t);
    arena_clear(&t.s->arena);
    t.s->metrics = NULL;
    plan_requeue(plan, PERIOD_MS);
    return 0;
}

const struct controller_ops autoscale_controller = {
    .name = "horizontal-pod-autoscaler",
    .size = sizeof(struct autoscale_ctrl),
    .workers = 4,
    .start = start,
    .stop = stop,
    .changed = changed,
    .reconcile = reconcile,
    .action = action,
};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * autoscaling/v1 HorizontalPodAutoscaler over autoscaling/v2
 * (pkg/apis/autoscaling/v1/conversion.go): version 1 knows one measure, the use of CPU. Everything
 * else travels in annotations, with the names that version 1 has for it, so that nothing is lost on
 * a way there and back.
 */
#include "api/kind_private.h"

#include "api/object.h"
#include "api/schema_check.h"
#include "base/mem.h"

#define PREFIX "autoscaling.alpha.kubernetes.io/"

/* ---- names of one measure ---- */

struct naming {
    const char *v1, *v2; /* v2: a path below the measure */
};

static const struct naming object_names[] = {
    {"target", "describedObject"},           {"metricName", "metric.name"},
    {"selector", "metric.selector"},         {"targetValue", "target.value"},
    {"averageValue", "target.averageValue"}, {"currentValue", "current.value"},
    {"averageValue", "current.averageValue"}};
static const struct naming pods_names[] = {{"metricName", "metric.name"},
                                           {"selector", "metric.selector"},
                                           {"targetAverageValue", "target.averageValue"},
                                           {"currentAverageValue", "current.averageValue"}};
static const struct naming resource_names[] = {
    {"name", "name"},
    {"container", "container"},
    {"targetAverageUtilization", "target.averageUtilization"},
    {"targetAverageValue", "target.averageValue"},
    {"currentAverageUtilization", "current.averageUtilization"},
    {"currentAverageValue", "current.averageValue"}};
static const struct naming external_names[] = {
    {"metricName", "metric.name"},     {"metricSelector", "metric.selector"},
    {"targetValue", "target.value"},   {"targetAverageValue", "target.averageValue"},
    {"currentValue", "current.value"}, {"currentAverageValue", "current.averageValue"}};

static const struct {
    const char *member;
    const struct naming *names;
    size_t n;
} measures[] = {
    {"object", object_names, ARRAY_SIZE(object_names)},
    {"pods", pods_names, ARRAY_SIZE(pods_names)},
    {"resource", resource_names, ARRAY_SIZE(resource_names)},
    {"containerResource", resource_names, ARRAY_SIZE(resource_names)},
    {"external", external_names, ARRAY_SIZE(external_names)},
};

static bool is_part(const char *path, const char *part)
{
    struct str head, rest;
    (void)str_cut(str_of(path), '.', &head, &rest); /* without a dot: no part */
    return str_is(head, part);
}

/* Sets "a.b" or "a" of obj. */
static void set_path(struct json *obj, const char *path, struct json *value)
{
    struct str head, rest;
    if (str_cut(str_of(path), '.', &head, &rest)) {
        obj = json_ensure_object(obj, arena_str(obj->arena, head));
        path = rest.p; /* ends where the whole path ends */
    }
    json_set(obj, path, value);
}

static const char *target_type(const struct json *target)
{
    return json_get(target, "averageUtilization") ? "Utilization"
           : json_get(target, "value")            ? "Value"
                                                  : "AverageValue";
}

/* One metric, wanted (status false) or measured. */
static struct json *metric(struct arena *a, const struct json *from, bool to_v1, bool status)
{
    const char *other = status ? "target" : "current";
    struct json *out = json_object(a);
    json_set(out, "type", json_get(from, "type"));
    for (size_t i = 0; i < ARRAY_SIZE(measures); i++) {
        const struct json *part = json_get(from, measures[i].member);
        if (!part) {
            continue;
        }
        struct json *into = json_set(out, measures[i].member, json_object(a));
        for (size_t k = 0; k < measures[i].n; k++) {
            const struct naming *n = &measures[i].names[k];
            if (is_part(n->v2, other)) {
                continue;
            }
            struct json *v = to_v1 ? json_path(part, n->v2) : json_get(part, n->v1);
            if (v && to_v1) {
                json_set(into, n->v1, v);
            } else if (v) {
                set_path(into, n->v2, v);
            }
        }
        if (!to_v1 && !status) {
            struct json *target = json_ensure_object(into, "target");
            json_set_str(target, "type", target_type(target));
        }
    }
    return out;
}

static struct json *metrics(struct arena *a, const struct json *list, bool to_v1, bool status)
{
    struct json *out = json_array(a);
    JSON_FOR_EACH (m, list) {
        json_push(out, metric(a, m, to_v1, status));
    }
    return out;
}

/* The measure that version 1 has a field for. */
static const struct json *cpu_of(const struct json *metric, const char *amount)
{
    const struct json *r = json_get(metric, "resource");
    return cstr_eq(json_path_cstr(metric, "type", ""), "Resource") &&
                   cstr_eq(json_path_cstr(r, "name", ""), "cpu")
               ? json_path(r, amount)
               : NULL;
}

/* ---- annotations ---- */

static void put(struct json *obj, const char *name, const struct json *value)
{
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    if (json_len(value) && json_print(&text, value) == 0) {
        struct json *meta = obj_meta(obj);
        json_set(json_ensure_object(meta, "annotations"), name,
                 json_string_n(obj->arena, buf_str(&text)));
    }
}

/* Takes an annotation out; NULL when it is absent or no JSON. */
static struct json *take(struct arena *a, struct json *obj, const char *name)
{
    struct json *annotations = json_path(obj, "metadata.annotations"), *value = NULL;
    const struct json *text = json_get(annotations, name);
    if (!text) {
        return NULL;
    }
    (void)json_parse(a, json_text(text), /* opts= */ NULL, &value, /* err= */ NULL); /* else NULL */
    (void)json_del(annotations, name);
    if (json_len(annotations) == 0) {
        (void)json_del(json_get(obj, "metadata"), "annotations");
    }
    return value;
}

/* ---- the two ways ---- */

struct json *kind_scaler_to_v1(struct arena *a, const struct json *obj)
{
    struct json *out = json_clone(a, obj), *rest = json_array(a);
    struct json *spec = json_get(out, "spec"), *status = json_get(out, "status");
    const struct json *target = NULL, *now = NULL;
    JSON_FOR_EACH (m, json_get(spec, "metrics")) {
        const struct json *cpu = target ? NULL : cpu_of(m, "target.averageUtilization");
        if (cpu) {
            target = cpu;
        } else {
            json_push(rest, m);
        }
    }
    JSON_FOR_EACH (m, json_get(status, "currentMetrics")) {
        now = now ? now : cpu_of(m, "current.averageUtilization");
    }
    put(out, PREFIX "metrics", metrics(a, rest, true, false));
    put(out, PREFIX "behavior", json_get(spec, "behavior"));
    put(out, PREFIX "current-metrics", metrics(a, json_get(status, "currentMetrics"), true, true));
    put(out, PREFIX "conditions", json_get(status, "conditions"));
    if (target) {
        json_set(spec, "targetCPUUtilizationPercentage", json_clone(a, target));
    }
    if (now) {
        json_set(status, "currentCPUUtilizationPercentage", json_clone(a, now));
    }
    (void)json_del(spec, "metrics");
    (void)json_del(spec, "behavior");
    (void)json_del(status, "currentMetrics");
    (void)json_del(status, "conditions");
    if (status && !json_get(status, "currentReplicas")) {
        json_set_int(status, "currentReplicas", 0);
    }
    json_set_str(out, "apiVersion", "autoscaling/v1");
    return out;
}

static struct json *cpu_metric(struct arena *a, struct json *percentage)
{
    struct json *m = json_object(a);
    json_set_str(m, "type", "Resource");
    struct json *r = json_set(m, "resource", json_object(a));
    json_set_str(r, "name", "cpu");
    struct json *target = json_set(r, "target", json_object(a));
    json_set_str(target, "type", "Utilization");
    json_set(target, "averageUtilization", percentage);
    return m;
}

static void drop_annotated(struct json *obj)
{
    (void)json_del(json_get(obj, "spec"), "metrics");
    (void)json_del(json_get(obj, "spec"), "behavior");
    (void)json_del(json_get(obj, "status"), "currentMetrics");
    (void)json_del(json_get(obj, "status"), "conditions");
}

struct json *kind_scaler_to_v2(struct arena *a, const struct kind *to, const struct json *obj)
{
    struct json *out = json_clone(a, obj);
    struct json *spec = json_get(out, "spec"), *status = json_get(out, "status");
    struct json *percentage = json_get(spec, "targetCPUUtilizationPercentage");
    struct json *list = metrics(a, take(a, out, PREFIX "metrics"), false, false);
    struct json *behavior = take(a, out, PREFIX "behavior");
    struct json *current = take(a, out, PREFIX "current-metrics");
    struct json *conditions = take(a, out, PREFIX "conditions");
    if (percentage) {
        json_insert(list, 0, cpu_metric(a, percentage));
    }
    if (spec && json_len(list)) {
        json_set(spec, "metrics", list);
    }
    if (spec && behavior) {
        json_set(spec, "behavior", behavior);
    }
    if (status && json_len(current)) {
        json_set(status, "currentMetrics", metrics(a, current, false, true));
    }
    if (status && json_len(conditions)) {
        json_set(status, "conditions", conditions);
    }
    (void)json_del(spec, "targetCPUUtilizationPercentage");
    (void)json_del(status, "currentCPUUtilizationPercentage");
    json_set_str(out, "apiVersion", "autoscaling/v2");
    if (schema_check(a, to->type, out, /* report= */ NULL, /* err= */ NULL) < 0) {
        drop_annotated(out); /* somebody wrote an annotation by hand that does not fit */
        if (percentage) {
            json_push(json_ensure_array(spec, "metrics"), cpu_metric(a, percentage));
        }
    }
    return out;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of what runs pods: templates, jobs, autoscalers (printers/internalversion). */
#include "api/object.h"
#include "api/table_private.h"
#include "base/mem.h"

/* ---- pod templates, wherever they are ---- */

static struct json *containers(const struct cell_input *in, const char *path, const char *member)
{
    return json_string(in->arena, cell_join(in->arena, json_path(in->obj, path), member));
}

struct json *cell_template_containers(const struct cell_input *in)
{
    return containers(in, "spec.template.spec.containers", "name");
}

struct json *cell_template_images(const struct cell_input *in)
{
    return containers(in, "spec.template.spec.containers", "image");
}

struct json *cell_template_node_selector(const struct cell_input *in)
{
    return cell_labels(in, json_path(in->obj, "spec.template.spec.nodeSelector"));
}

struct json *cell_job_template_containers(const struct cell_input *in)
{
    return containers(in, "spec.jobTemplate.spec.template.spec.containers", "name");
}

struct json *cell_job_template_images(const struct cell_input *in)
{
    return containers(in, "spec.jobTemplate.spec.template.spec.containers", "image");
}

struct json *cell_job_template_selector(const struct cell_input *in)
{
    return cell_label_selector(in, json_path(in->obj, "spec.jobTemplate.spec.selector"));
}

struct json *cell_pod_template_containers(const struct cell_input *in)
{
    return containers(in, "template.spec.containers", "name");
}

struct json *cell_pod_template_images(const struct cell_input *in)
{
    return containers(in, "template.spec.containers", "image");
}

struct json *cell_pod_template_labels(const struct cell_input *in)
{
    return cell_labels(in, json_path(in->obj, "template.metadata.labels"));
}

struct json *cell_selector(const struct cell_input *in)
{
    return cell_label_selector(in, json_path(in->obj, "spec.selector"));
}

struct json *cell_replicas_ready(const struct cell_input *in)
{
    return json_printf(in->arena, "%lld/%lld",
                       (long long)json_path_i64(in->obj, "status.readyReplicas", 0),
                       (long long)json_path_i64(in->obj, "spec.replicas", 0));
}

struct json *cell_controller(const struct cell_input *in)
{
    const struct json *ref = obj_controller_ref(in->obj);
    const char *slash = strrchr(obj_api_version(ref), '/');
    char *kind = arena_strdup(in->arena, obj_kind(ref));
    if (!ref || !kind) {
        return cell_text(in, "");
    }
    for (char *p = kind; *p; p++) {
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;
    }
    int group = slash ? (int)(slash - obj_api_version(ref)) : 0;
    return json_printf(in->arena, "%s%s%.*s/%s", kind, group ? "." : "", group,
                       obj_api_version(ref), json_path_cstr(ref, "name", ""));
}

/* ---- jobs ---- */

struct json *cell_job_status(const struct cell_input *in)
{
    static const char *const ended[] = {"Complete", "Failed"};
    static const char *const going[] = {"Suspended", "FailureTarget", "SuccessCriteriaMet"};
    for (size_t i = 0; i < ARRAY_SIZE(ended); i++) {
        if (obj_condition_true(in->obj, ended[i])) {
            return json_string(in->arena, ended[i]);
        }
    }
    if (obj_deleting(in->obj)) {
        return json_string(in->arena, "Terminating");
    }
    for (size_t i = 0; i < ARRAY_SIZE(going); i++) {
        if (obj_condition_true(in->obj, going[i])) {
            return json_string(in->arena, going[i]);
        }
    }
    return json_string(in->arena, "Running");
}

struct json *cell_job_completions(const struct cell_input *in)
{
    long long done = json_path_i64(in->obj, "status.succeeded", 0);
    const struct json *wanted = json_path(in->obj, "spec.completions");
    long long parallel = json_path_i64(in->obj, "spec.parallelism", 0);
    if (wanted) {
        return json_printf(in->arena, "%lld/%lld", done, (long long)json_i64(wanted, 0));
    }
    return parallel > 1 ? json_printf(in->arena, "%lld/1 of %lld", done, parallel)
                        : json_printf(in->arena, "%lld/1", done);
}

struct json *cell_job_duration(const struct cell_input *in)
{
    struct wall from, to = in->now;
    char text[AGE_TEXT_SIZE];
    const struct json *end = json_path(in->obj, "status.completionTime");
    if (time_parse(json_text(json_path(in->obj, "status.startTime")), &from) < 0 ||
        (end && time_parse(json_text(end), &to) < 0)) {
        return json_string(in->arena, "");
    }
    return json_string(in->arena, age_text((to.us - from.us) / 1000000, text));
}

struct json *cell_cronjob_timezone(const struct cell_input *in)
{
    return cell_text(in, json_path_cstr(in->obj, "spec.timeZone", ""));
}

struct json *cell_cronjob_suspend(const struct cell_input *in)
{
    const struct json *suspend = json_path(in->obj, "spec.suspend");
    return json_string(in->arena, !suspend                    ? "<unset>"
                                  : json_true(suspend, false) ? "True"
                                                              : "False");
}

struct json *cell_cronjob_active(const struct cell_input *in)
{
    return json_int(in->arena, (int64_t)json_len(json_path(in->obj, "status.active")));
}

struct json *cell_cronjob_last_schedule(const struct cell_input *in)
{
    const struct json *last = json_path(in->obj, "status.lastScheduleTime");
    return last ? cell_age_of(in, last) : cell_text(in, "");
}

/* ---- autoscalers ---- */

struct json *cell_hpa_reference(const struct cell_input *in)
{
    const struct json *ref = json_path(in->obj, "spec.scaleTargetRef");
    return json_printf(in->arena, "%s/%s", json_path_cstr(ref, "kind", ""),
                       json_path_cstr(ref, "name", ""));
}

struct json *cell_hpa_min(const struct cell_input *in)
{
    const struct json *min = json_path(in->obj, "spec.minReplicas");
    return min ? json_printf(in->arena, "%lld", (long long)json_i64(min, 0))
               : json_string(in->arena, "<unset>");
}

struct json *cell_hpa_replicas(const struct cell_input *in)
{
    return json_int(in->arena, json_path_i64(in->obj, "status.currentReplicas", 0));
}

/* The member of a metric that its type names; current: of a measured one. */
static const struct json *metric_part(const struct json *metric, const char *type)
{
    static const char *const members[][2] = {{"ContainerResource", "containerResource"},
                                             {"External", "external"},
                                             {"Object", "object"},
                                             {"Pods", "pods"},
                                             {"Resource", "resource"}};
    for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
        if (cstr_eq(type, members[i][0])) {
            return json_get(metric, members[i][1]);
        }
    }
    return NULL;
}

/* "cpu: 10%/80%", "100m/1 (avg)" */
static const char *metric_text(struct arena *a, const struct json *spec, const struct json *status)
{
    const char *type = json_path_cstr(spec, "type", "");
    const struct json *part = metric_part(spec, type), *target = json_get(part, "target");
    const struct json *now = json_get(metric_part(status, type), "current");
    bool resource = cstr_eq(type, "Resource") || cstr_eq(type, "ContainerResource");
    const char *name = resource ? json_path_cstr(part, "name", "") : "";
    const char *sep = resource ? ": " : "";
    if (!part) {
        return "<unknown type>";
    }
    const char *average = json_path_cstr(target, "averageValue", NULL);
    if (average) {
        const char *mark = resource || cstr_eq(type, "Pods") ? "" : " (avg)";
        return arena_printf(a, "%s%s%s/%s%s", name, sep,
                            json_path_cstr(now, "averageValue", "<unknown>"), average, mark);
    }
    if (!resource) {
        return arena_printf(a, "%s/%s", json_path_cstr(now, "value", "<unknown>"),
                            json_path_cstr(target, "value", "<auto>"));
    }
    const struct json *is = json_get(now, "averageUtilization");
    const struct json *wanted = json_get(target, "averageUtilization");
    const char *left = is ? arena_printf(a, "%lld%%", (long long)json_i64(is, 0)) : "<unknown>";
    const char *right =
        wanted ? arena_printf(a, "%lld%%", (long long)json_i64(wanted, 0)) : "<auto>";
    return arena_printf(a, "%s: %s/%s", name, left, right);
}

struct json *cell_hpa_targets(const struct cell_input *in)
{
    const struct json *metrics = json_path(in->obj, "spec.metrics");
    const struct json *now = json_path(in->obj, "status.currentMetrics");
    const char *all = "";
    for (size_t i = 0; i < json_len(metrics) && i < 2 && all; i++) {
        const char *one = metric_text(in->arena, json_at(metrics, i), json_at(now, i));
        all = arena_printf(in->arena, "%s%s%s", all, i ? ", " : "", one ? one : "");
    }
    size_t n = json_len(metrics);
    return n > 2 ? json_printf(in->arena, "%s + %zu more...", all ? all : "", n - 2)
                 : cell_text(in, all);
}

/* ---- what nodes run by themselves: streams, tables, rules ---- */

struct json *cell_placed_ready(const struct cell_input *in)
{
    return json_printf(in->arena, "%lld/%lld",
                       (long long)json_path_i64(in->obj, "status.summary.ready", 0),
                       (long long)json_path_i64(in->obj, "status.summary.desired", 0));
}

struct json *cell_placed_nodes(const struct cell_input *in)
{
    const char *name = json_path_cstr(in->obj, "spec.nodeName", "");
    const struct json *labels = json_path(in->obj, "spec.nodeSelector");
    return *name                  ? json_string(in->arena, name)
           : json_len(labels) > 0 ? cell_labels(in, labels)
                                  : json_string(in->arena, "<all>");
}

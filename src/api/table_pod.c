/* SPDX-License-Identifier: Apache-2.0 */
/*
 * READY, STATUS and RESTARTS of a pod: printPod() of Kubernetes' printers/internalversion, whose
 * answers people and scripts know ("Init:0/1", "CrashLoopBackOff", "3 (2m ago)").
 */
#include "api/object.h"
#include "api/table_private.h"
#include "base/mem.h"

struct pod_summary {
    int ready, total;
    int64_t restarts;
    int64_t restarted_us; /* when a container ended last; 0 = never */
    const char *reason;
};

static const struct json *find_named(const struct json *list, const char *name)
{
    JSON_FOR_EACH (o, list) {
        if (cstr_eq(json_path_cstr(o, "name", NULL), name)) {
            return o;
        }
    }
    return NULL;
}

/* An init container that goes on beside the others. */
static bool is_sidecar(const struct json *container)
{
    return cstr_eq(json_path_cstr(container, "restartPolicy", ""), "Always");
}

static int64_t last_end(const struct json *status)
{
    struct wall t;
    const struct json *at = json_path(status, "lastState.terminated.finishedAt");
    return at && time_parse(json_text(at), &t) == 0 ? t.us : 0;
}

static const char *end_reason(struct arena *a, const char *prefix, const struct json *terminated)
{
    const char *reason = json_path_cstr(terminated, "reason", "");
    int64_t signal = json_path_i64(terminated, "signal", 0);
    if (*reason) {
        return arena_printf(a, "%s%s", prefix, reason);
    }
    if (signal) {
        return arena_printf(a, "%sSignal:%lld", prefix, (long long)signal);
    }
    return arena_printf(a, "%sExitCode:%lld", prefix,
                        (long long)json_path_i64(terminated, "exitCode", 0));
}

/* Why the pod still initialises because of this container; NULL when it does not. */
static const char *init_reason(struct arena *a, const struct json *status,
                               const struct json *container, int i, size_t n, struct pod_summary *s)
{
    const struct json *terminated = json_path(status, "state.terminated");
    const char *waiting = json_path_cstr(status, "state.waiting.reason", "");
    if (terminated && json_path_i64(terminated, "exitCode", 0) == 0) {
        return NULL;
    }
    if (is_sidecar(container) && json_path_true(status, "started", false)) {
        s->ready += json_path_true(status, "ready", false);
        return NULL;
    }
    if (terminated) {
        return end_reason(a, "Init:", terminated);
    }
    if (*waiting && !cstr_eq(waiting, "PodInitializing")) {
        return arena_printf(a, "Init:%s", waiting);
    }
    return arena_printf(a, "Init:%d/%zu", i, n);
}

/* True while the pod initialises. What sidecars did counts afterwards, too. */
static bool summarize_init(struct arena *a, const struct json *pod, struct pod_summary *s,
                           struct pod_summary *sidecars)
{
    const struct json *specs = json_path(pod, "spec.initContainers");
    int i = 0;
    JSON_FOR_EACH (status, json_path(pod, "status.initContainerStatuses")) {
        const struct json *spec = find_named(specs, json_path_cstr(status, "name", ""));
        int64_t restarts = json_path_i64(status, "restartCount", 0);
        s->restarts += restarts;
        s->restarted_us = MAX_OF(s->restarted_us, last_end(status));
        if (is_sidecar(spec)) {
            sidecars->restarts += restarts;
            sidecars->restarted_us = MAX_OF(sidecars->restarted_us, last_end(status));
        }
        const char *reason = init_reason(a, status, spec, i++, json_len(specs), s);
        if (reason) {
            s->reason = reason;
            return true;
        }
    }
    return false;
}

static void summarize_running(struct arena *a, const struct json *pod, struct pod_summary *s)
{
    const struct json *statuses = json_path(pod, "status.containerStatuses");
    bool running = false;
    for (size_t i = json_len(statuses); i-- > 0;) {
        const struct json *status = json_at(statuses, i);
        const char *waiting = json_path_cstr(status, "state.waiting.reason", "");
        const struct json *terminated = json_path(status, "state.terminated");
        s->restarts += json_path_i64(status, "restartCount", 0);
        s->restarted_us = MAX_OF(s->restarted_us, last_end(status));
        if (*waiting) {
            s->reason = waiting;
        } else if (terminated) {
            s->reason = end_reason(a, "", terminated);
        } else if (json_path_true(status, "ready", false) && json_path(status, "state.running")) {
            running = true;
            s->ready++;
        }
    }
    if (running && cstr_eq(s->reason, "Completed")) {
        s->reason = obj_condition_true(pod, "Ready") ? "Running" : "NotReady";
    }
}

static void summarize(struct arena *a, const struct json *pod, struct pod_summary *s)
{
    const char *phase = json_path_cstr(pod, "status.phase", "");
    const char *why = json_path_cstr(pod, "status.reason", "");
    *s = (struct pod_summary){.reason = *why ? why : phase,
                              .total = (int)json_len(json_path(pod, "spec.containers"))};
    const struct json *scheduled = obj_condition(pod, "PodScheduled");
    if (cstr_eq(json_path_cstr(scheduled, "reason", ""), "SchedulingGated")) {
        s->reason = "SchedulingGated";
    }
    JSON_FOR_EACH (c, json_path(pod, "spec.initContainers")) {
        s->total += is_sidecar(c);
    }
    struct pod_summary sidecars = {0};
    if (!summarize_init(a, pod, s, &sidecars) || obj_condition_true(pod, "Initialized")) {
        s->restarts = sidecars.restarts;
        s->restarted_us = sidecars.restarted_us;
        summarize_running(a, pod, s);
    }
    bool terminal = cstr_eq(phase, "Succeeded") || cstr_eq(phase, "Failed");
    if (obj_deleting(pod) && cstr_eq(why, "NodeLost")) {
        s->reason = "Unknown";
    } else if (obj_deleting(pod) && !terminal) {
        s->reason = "Terminating";
    }
}

struct json *cell_pod_ready(const struct cell_input *in)
{
    struct pod_summary s;
    summarize(in->arena, in->obj, &s);
    return json_printf(in->arena, "%d/%d", s.ready, s.total);
}

struct json *cell_pod_status(const struct cell_input *in)
{
    struct pod_summary s;
    summarize(in->arena, in->obj, &s);
    return json_string(in->arena, s.reason ? s.reason : "");
}

struct json *cell_pod_restarts(const struct cell_input *in)
{
    struct pod_summary s;
    char age[AGE_TEXT_SIZE];
    summarize(in->arena, in->obj, &s);
    if (s.restarts == 0 || s.restarted_us == 0) {
        return json_printf(in->arena, "%lld", (long long)s.restarts);
    }
    return json_printf(in->arena, "%lld (%s ago)", (long long)s.restarts,
                       age_text((in->now.us - s.restarted_us) / 1000000, age));
}

struct json *cell_pod_readiness_gates(const struct cell_input *in)
{
    int n = 0, open = 0;
    JSON_FOR_EACH (gate, json_path(in->obj, "spec.readinessGates")) {
        open += obj_condition_true(in->obj, json_path_cstr(gate, "conditionType", ""));
        n++;
    }
    return n ? json_printf(in->arena, "%d/%d", open, n) : cell_text(in, "");
}

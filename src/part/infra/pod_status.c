/* SPDX-License-Identifier: Apache-2.0 */
/* The status of a pod as a kubelet writes it; see pod_status.h. The rules of the phase are those of
 * kubelet_pods.go getPhase(), those of conditions of status/generate.go, in Kubernetes 1.32. */
#include "pod_status.h"

#include "api/object.h"
#include "api/quantity.h"
#include "base/mem.h"

/* ---- quality of service ---- */

static bool sets(const struct json *list, const char *resource)
{
    const struct json *v = json_get(list, resource);
    return v && quantity_json_milli(v) != 0;
}

static void judge_container(const struct json *c, bool *any, bool *guaranteed)
{
    static const char *const names[] = {"cpu", "memory"};
    const struct json *requests = json_path(c, "resources.requests");
    const struct json *limits = json_path(c, "resources.limits");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        bool limit = sets(limits, names[i]);
        const struct json *request = json_get(requests, names[i]);
        *any |= limit || sets(requests, names[i]);
        *guaranteed &= limit && (!request || quantity_json_milli(request) ==
                                                 quantity_json_milli(json_get(limits, names[i])));
    }
}

const char *pod_qos_class(const struct json *pod)
{
    bool any = false, guaranteed = true;
    JSON_FOR_EACH (c, json_path(pod, "spec.containers")) {
        judge_container(c, &any, &guaranteed);
    }
    JSON_FOR_EACH (c, json_path(pod, "spec.initContainers")) {
        judge_container(c, &any, &guaranteed);
    }
    return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

/* ---- phase ---- */

struct tally {
    int init_pending, init_failed;
    int waiting, running, stopped, succeeded;
};

static void count_init(const struct fact_slot *s, struct tally *t)
{
    if (s->sidecar) {
        t->init_pending += !s->started;
    } else if (s->state == FACT_RUNNING) {
        t->init_pending++;
    } else if (s->state == FACT_TERMINATED) {
        t->init_failed += s->end.exit_code != 0;
    } else if (s->last.valid) {
        t->init_failed += s->last.exit_code != 0;
        t->init_pending += s->last.exit_code == 0;
    } else {
        t->init_pending++;
    }
}

static void count_main(const struct fact_slot *s, struct tally *t)
{
    if (s->state == FACT_RUNNING) {
        t->running++;
    } else if (s->state == FACT_TERMINATED) {
        t->stopped++;
        t->succeeded += s->end.exit_code == 0;
    } else if (s->last.valid) {
        t->stopped++;
    } else {
        t->waiting++;
    }
}

/* A pod that was deleted and has ended: Failed unless everything that ran ended well. */
static const char *last_phase(const struct fact_pod *f)
{
    for (size_t i = 0; i < f->n_slots; i++) {
        const struct fact_slot *s = &f->slots[i];
        const struct fact_end *e = s->state == FACT_TERMINATED ? &s->end : &s->last;
        if (!s->sidecar && !s->ephemeral && e->valid && e->exit_code != 0) {
            return "Failed";
        }
    }
    return "Succeeded";
}

const char *pod_status_phase(const struct fact_pod *f)
{
    const char *policy = json_path_cstr(f->pod, "spec.restartPolicy", "Always");
    struct tally t = {0};
    if (f->failed) {
        return "Failed";
    }
    if (f->ended) {
        return last_phase(f);
    }
    for (size_t i = 0; i < f->n_slots; i++) {
        if (!f->slots[i].ephemeral) {
            (f->slots[i].init ? count_init : count_main)(&f->slots[i], &t);
        }
    }
    if (t.init_failed > 0 && cstr_eq(policy, "Never")) {
        return "Failed";
    }
    bool mains_began = t.running + t.stopped > 0;
    if ((t.init_pending + t.init_failed > 0 && !mains_began) || t.waiting > 0) {
        return "Pending";
    }
    if (t.running > 0) {
        return "Running";
    }
    if (t.stopped == 0) {
        return "Pending";
    }
    if (cstr_eq(policy, "Always")) {
        return "Running";
    }
    if (t.stopped == t.succeeded) {
        return "Succeeded";
    }
    return cstr_eq(policy, "Never") ? "Failed" : "Running";
}

/* ---- containers ---- */

static void set_time(struct json *o, const char *key, struct wall t)
{
    char text[TIME_TEXT_SIZE];
    if (t.us) {
        json_set_str(o, key, time_text(t, text));
    } else if (o) {
        json_set(o, key, json_null(o->arena));
    }
}

static struct json *end_json(struct arena *a, const struct fact_end *e)
{
    struct json *o = json_object(a), *t = json_ensure_object(o, "terminated");
    json_set_int(t, "exitCode", e->exit_code);
    json_set_str(t, "reason", e->reason);
    if (e->message && *e->message) {
        json_set_str(t, "message", e->message);
    }
    set_time(t, "startedAt", e->started_at);
    set_time(t, "finishedAt", e->finished_at);
    if (e->container_id && *e->container_id) {
        json_set_str(t, "containerID", e->container_id);
    }
    return o;
}

static struct json *state_json(struct arena *a, const struct fact_slot *s)
{
    struct json *o = json_object(a);
    if (s->state == FACT_TERMINATED) {
        return end_json(a, &s->end);
    }
    if (s->state == FACT_RUNNING) {
        set_time(json_ensure_object(o, "running"), "startedAt", s->started_at);
        return o;
    }
    struct json *w = json_ensure_object(o, "waiting");
    json_set_str(w, "reason", s->reason);
    if (s->message && *s->message) {
        json_set_str(w, "message", s->message);
    }
    return o;
}

static void add_mounts(struct arena *a, struct json *o, const struct json *spec)
{
    if (json_len(json_get(spec, "volumeMounts")) == 0) {
        return;
    }
    struct json *list = json_ensure_array(o, "volumeMounts");
    JSON_FOR_EACH (m, json_get(spec, "volumeMounts")) {
        struct json *v = json_push(list, json_object(a));
        json_set_str(v, "name", json_path_cstr(m, "name", NULL));
        json_set_str(v, "mountPath", json_path_cstr(m, "mountPath", NULL));
        if (json_path_true(m, "readOnly", false)) {
            json_set_bool(v, "readOnly", true);
            json_set_str(v, "recursiveReadOnly", "Disabled");
        }
    }
}

/* What the node has granted, and what is in force (pods/resize). */
static void add_resources(struct arena *a, struct json *o, const struct fact_slot *s)
{
    struct json *applied = NULL;
    if (s->state != FACT_RUNNING || !s->applied || !*s->applied ||
        json_parse(a, str_of(s->applied), NULL, &applied, NULL) < 0 || json_len(applied) == 0) {
        return;
    }
    json_set(o, "allocatedResources", json_clone(a, json_get(applied, "requests")));
    json_set(o, "resources", applied);
}

static struct json *slot_json(struct arena *a, const struct fact_slot *s)
{
    struct json *o = json_object(a);
    const char *image = s->image && *s->image ? s->image : json_path_cstr(s->spec, "image", "");
    json_set_str(o, "name", json_path_cstr(s->spec, "name", ""));
    json_set(o, "state", state_json(a, s));
    json_set(o, "lastState", s->last.valid ? end_json(a, &s->last) : json_object(a));
    json_set_bool(o, "ready", s->ready && !s->ephemeral);
    json_set_int(o, "restartCount", s->restart_count);
    json_set_str(o, "image", image);
    json_set_str(o, "imageID", s->image_id ? s->image_id : "");
    if (s->container_id && *s->container_id) {
        json_set_str(o, "containerID", s->container_id);
    }
    if (!s->ephemeral) {
        json_set_bool(o, "started", s->started);
    }
    add_mounts(a, o, s->spec);
    add_resources(a, o, s);
    return o;
}

/* ---- conditions ---- */

struct names {
    struct arena *arena;
    const char *text; /* "a b" */
};

static void add_name(struct names *n, const struct fact_slot *s)
{
    const char *name = json_path_cstr(s->spec, "name", "");
    n->text = n->text ? arena_printf(n->arena, "%s %s", n->text, name) : name;
}

struct verdict {
    const char *status, *reason, *message;
};

static struct verdict initialized(struct arena *a, const struct fact_pod *f, const char *phase)
{
    struct names incomplete = {.arena = a};
    for (size_t i = 0; i < f->n_slots; i++) {
        const struct fact_slot *s = &f->slots[i];
        bool done = s->sidecar ? s->started : s->state == FACT_TERMINATED && s->end.exit_code == 0;
        if (s->init && !done) {
            add_name(&incomplete, s);
        }
    }
    if (cstr_eq(phase, "Succeeded")) {
        return (struct verdict){"True", "PodCompleted", NULL};
    }
    if (!incomplete.text) {
        return (struct verdict){"True", NULL, NULL};
    }
    return (struct verdict){
        "False", "ContainersNotInitialized",
        arena_printf(a, "containers with incomplete status: [%s]", incomplete.text)};
}

static struct verdict containers_ready(struct arena *a, const struct fact_pod *f, const char *phase)
{
    struct names unready = {.arena = a};
    for (size_t i = 0; i < f->n_slots; i++) {
        const struct fact_slot *s = &f->slots[i];
        if ((!s->init || s->sidecar) && !s->ephemeral && !s->ready) {
            add_name(&unready, s);
        }
    }
    if (cstr_eq(phase, "Succeeded")) {
        return (struct verdict){"False", "PodCompleted", NULL};
    }
    if (cstr_eq(phase, "Failed")) {
        return (struct verdict){"False", "PodFailed", NULL};
    }
    if (!unready.text) {
        return (struct verdict){"True", NULL, NULL};
    }
    return (struct verdict){"False", "ContainersNotReady",
                            arena_printf(a, "containers with unready status: [%s]", unready.text)};
}

static struct verdict ready(struct arena *a, const struct fact_pod *f, struct verdict containers)
{
    if (!cstr_eq(containers.status, "True")) {
        return containers;
    }
    JSON_FOR_EACH (g, json_path(f->pod, "spec.readinessGates")) {
        const char *type = json_path_cstr(g, "conditionType", "");
        const char *status = obj_condition_status(f->pod, type);
        if (!*status) {
            return (struct verdict){
                "False", "ReadinessGatesNotReady",
                arena_printf(a,
                             "corresponding condition of pod readiness gate \"%s\" does not exist.",
                             type)};
        }
        if (!cstr_eq(status, "True")) {
            return (struct verdict){
                "False", "ReadinessGatesNotReady",
                arena_printf(a, "the status of pod readiness gate \"%s\" is not \"True\", but %s",
                             type, status)};
        }
    }
    return containers;
}

/* Appends a condition; its transition time is the old one when the status is the same. */
static void put_condition(struct arena *a, struct json *list, const struct json *old_list,
                          const char *type, struct verdict v, struct wall now)
{
    char text[TIME_TEXT_SIZE];
    const struct json *old = conditions_get(old_list, type);
    bool same = old && cstr_eq(json_path_cstr(old, "status", ""), v.status);
    struct json *c = json_push(list, json_object(a));
    json_set_str(c, "type", type);
    json_set_str(c, "status", v.status);
    json_set(c, "lastProbeTime", json_null(a));
    json_set_str(c, "lastTransitionTime",
                 same ? json_path_cstr(old, "lastTransitionTime", NULL) : time_text(now, text));
    json_set_str(c, "reason", v.reason);
    json_set_str(c, "message", v.message);
}

static struct json *conditions(struct arena *a, const struct fact_pod *f, const char *phase,
                               struct wall now)
{
    static const char *const ours[] = {"PodReadyToStartContainers", "Initialized", "Ready",
                                       "ContainersReady", "PodScheduled"};
    const struct json *old = json_path(f->pod, "status.conditions");
    struct json *list = json_array(a);
    struct verdict containers = containers_ready(a, f, phase);
    put_condition(a, list, old, ours[0],
                  (struct verdict){f->sandbox_ready ? "True" : "False", NULL, NULL}, now);
    put_condition(a, list, old, ours[1], initialized(a, f, phase), now);
    put_condition(a, list, old, ours[2], ready(a, f, containers), now);
    put_condition(a, list, old, ours[3], containers, now);
    put_condition(a, list, old, ours[4], (struct verdict){"True", NULL, NULL}, now);
    JSON_FOR_EACH (c, old) {
        const char *type = json_path_cstr(c, "type", "");
        bool own = false;
        for (size_t i = 0; i < ARRAY_SIZE(ours); i++) {
            own |= cstr_eq(type, ours[i]);
        }
        if (!own) {
            json_push(list, json_clone(a, c));
        }
    }
    return list;
}

/* ---- all ---- */

static void add_addresses(struct arena *a, struct json *status, const struct fact_pod *f)
{
    if (f->host_ip && *f->host_ip) {
        json_set_str(status, "hostIP", f->host_ip);
        struct json *list = json_ensure_array(status, "hostIPs");
        json_set_str(json_push(list, json_object(a)), "ip", f->host_ip);
    }
    for (size_t i = 0; f->pod_ips && f->pod_ips[i]; i++) {
        if (i == 0) {
            json_set_str(status, "podIP", f->pod_ips[0]);
        }
        struct json *list = json_ensure_array(status, "podIPs");
        json_set_str(json_push(list, json_object(a)), "ip", f->pod_ips[i]);
    }
}

struct json *pod_status_make(struct arena *a, const struct fact_pod *f, struct wall now)
{
    const char *phase = pod_status_phase(f), *qos = json_path_cstr(f->pod, "status.qosClass", NULL);
    struct json *status = json_object(a);
    json_set_str(status, "phase", phase);
    json_set(status, "conditions", conditions(a, f, phase, now));
    json_set_str(status, "message", f->message);
    json_set_str(status, "reason", f->reason);
    add_addresses(a, status, f);
    set_time(status, "startTime", f->start_time);
    for (size_t i = 0; i < f->n_slots; i++) {
        const struct fact_slot *s = &f->slots[i];
        struct json *list = json_ensure_array(status, s->ephemeral ? "ephemeralContainerStatuses"
                                                      : s->init    ? "initContainerStatuses"
                                                                   : "containerStatuses");
        json_push(list, slot_json(a, s));
    }
    json_set_str(status, "resize", f->resize);
    json_set_str(status, "qosClass", qos ? qos : pod_qos_class(f->pod));
    return arena_failed(a) ? NULL : status;
}

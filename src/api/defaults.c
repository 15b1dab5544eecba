/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Walks an object and its type: first the defaults that are data, then the type's own rule, then
 * the objects inside, so that what a rule made gets its defaults, too. Depth is bounded by the
 * schema, which has no cycles without a bound: LIMIT_JSON_DEPTH stops any.
 */
#include "api/defaults.h"

#include "api/rules/rules.h"
#include "base/limits.h"
#include "base/mem.h"

/* ---- rules by type ---- */

static void volume_rule(struct arena *a, struct json *v)
{
    if (json_len(v) == 1 && json_get(v, "name")) {
        json_set(v, "emptyDir", json_object(a));
    }
}

/* "latest", or neither tag nor digest, is pulled always. */
static bool is_latest(const char *image)
{
    const char *slash = strrchr(image, '/');
    const char *rest = slash ? slash : image;
    if (*image == '\0' || strchr(rest, '@')) {
        return false;
    }
    const char *colon = strrchr(rest, ':');
    return !colon || strcmp(colon, ":latest") == 0;
}

static void container_rule(struct arena *a, struct json *c)
{
    (void)a;
    if (!json_get(c, "imagePullPolicy")) {
        bool always = is_latest(json_path_cstr(c, "image", ""));
        json_set_str(c, "imagePullPolicy", always ? "Always" : "IfNotPresent");
    }
}

static void strategy_rule(struct arena *a, struct json *s)
{
    if (!json_get(s, "rollingUpdate") && cstr_eq(json_path_cstr(s, "type", ""), "RollingUpdate")) {
        json_set(s, "rollingUpdate", json_object(a));
    }
}

/* The old name of serviceAccountName is kept equal to the new one. */
static void pod_spec_rule(struct arena *a, struct json *spec)
{
    (void)a;
    const char *name = json_path_cstr(spec, "serviceAccountName", "");
    const char *old = json_path_cstr(spec, "serviceAccount", "");
    if (*name) {
        json_set_str(spec, "serviceAccount", name);
    } else if (*old) {
        json_set_str(spec, "serviceAccountName", old);
    }
}

static void pod_container(struct arena *a, struct json *c, bool host_network)
{
    struct json *resources = json_get(c, "resources");
    JSON_FOR_EACH_MEMBER (m, json_get(resources, "limits")) {
        struct json *requests = json_ensure_object(resources, "requests");
        if (!json_get(requests, m->key)) {
            json_set(requests, m->key, json_clone(a, m->value));
        }
    }
    JSON_FOR_EACH (port, json_get(c, "ports")) {
        if (host_network && json_path_i64(port, "hostPort", 0) == 0) {
            json_set_int(port, "hostPort", json_path_i64(port, "containerPort", 0));
        }
    }
}

static void pod_rule(struct arena *a, struct json *pod)
{
    struct json *spec = json_get(pod, "spec");
    bool host_network = json_path_true(spec, "hostNetwork", false);
    if (spec && !json_get(spec, "enableServiceLinks")) {
        json_set_bool(spec, "enableServiceLinks", true);
    }
    JSON_FOR_EACH (c, json_get(spec, "initContainers")) {
        pod_container(a, c, host_network);
    }
    JSON_FOR_EACH (c, json_get(spec, "containers")) {
        pod_container(a, c, host_network);
    }
}

static void node_status_rule(struct arena *a, struct json *status)
{
    struct json *capacity = json_get(status, "capacity");
    if (capacity && !json_get(status, "allocatable")) {
        json_set(status, "allocatable", json_clone(a, capacity));
    }
}

static void namespace_rule(struct arena *a, struct json *ns)
{
    (void)a;
    const char *name = json_path_cstr(ns, "metadata.name", "");
    if (*name) {
        struct json *labels = json_ensure_object(json_ensure_object(ns, "metadata"), "labels");
        json_set_str(labels, "kubernetes.io/metadata.name", name);
    }
}

#define CORE "io.k8s.api.core.v1."

/* Sorted by name. */
static const struct {
    const char *type;
    defaults_rule_fn *fn;
} rules[] = {
    {"io.k8s.api.apps.v1.DeploymentStrategy", strategy_rule},
    {CORE "Container", container_rule},
    {CORE "EphemeralContainer", container_rule},
    {CORE "Namespace", namespace_rule},
    {CORE "NodeStatus", node_status_rule},
    {CORE "Pod", pod_rule},
    {CORE "PodSpec", pod_spec_rule},
    {CORE "Volume", volume_rule},
};

static defaults_rule_fn *find_rule(const struct schema_type *t)
{
    for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
        if (strcmp(rules[i].type, schema_type_name(t)) == 0) {
            return rules[i].fn;
        }
    }
    return rules_defaults_find(schema_type_name(t));
}

/* ---- the walk ---- */

static void walk(struct arena *a, const struct schema_type *t, struct json *obj, int depth);

static void set_absent(struct arena *a, const struct schema_type *t, struct json *obj)
{
    SCHEMA_FOR_EACH_FIELD(f, t)
    {
        struct json *value;
        if (f->def != 0 && !json_get(obj, schema_field_name(f)) &&
            json_parse(a, str_of(schema_field_default(f)), /* opts= */ NULL, &value,
                       /* err= */ NULL) == 0) {
            json_set(obj, schema_field_name(f), value);
        }
    }
}

static void walk_member(struct arena *a, const struct schema_field *f, struct json *value,
                        int depth)
{
    const struct schema_type *t = schema_field_type(f);
    if (f->shape == SCHEMA_ONE) {
        walk(a, t, value, depth);
        return;
    }
    JSON_FOR_EACH (item, value) {
        walk(a, t, item, depth);
    }
    JSON_FOR_EACH_MEMBER (m, value) {
        walk(a, t, m->value, depth);
    }
}

static void walk(struct arena *a, const struct schema_type *t, struct json *obj, int depth)
{
    if (!json_is(obj, JSON_OBJECT) || depth > LIMIT_JSON_DEPTH) {
        return;
    }
    set_absent(a, t, obj);
    defaults_rule_fn *rule = find_rule(t);
    if (rule) {
        rule(a, obj);
    }
    JSON_FOR_EACH_MEMBER (m, obj) {
        const struct schema_field *f = schema_field_find(t, str_n(m->key, m->key_n));
        if (schema_field_type(f)) {
            walk_member(a, f, m->value, depth + 1);
        }
    }
}

void schema_defaults(struct arena *a, const struct schema_type *t, struct json *obj)
{
    walk(a, t, obj, 0);
}

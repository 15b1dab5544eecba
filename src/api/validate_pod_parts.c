/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of a pod that only a subresource may change: ephemeral containers, and the resources of
 * running containers (pods/resize). Texts are those of Kubernetes 1.32. */
#include "api/object.h"
#include "api/quantity.h"
#include "api/strategy.h"
#include "api/validate_pod_private.h"
#include "base/mem.h"

/* ---- ephemeral containers ---- */

static const struct json *named(const struct json *list, const char *name)
{
    JSON_FOR_EACH (c, list) {
        if (cstr_eq(json_path_cstr(c, "name", ""), name)) {
            return c;
        }
    }
    return NULL;
}

static void collect(struct map *names, const struct json *list)
{
    JSON_FOR_EACH (c, list) {
        (void)pod_seen(names, json_text(json_get(c, "name")));
    }
}

/* What an ephemeral container must not ask for: it has no place in the pod's plan. */
static void check_forbidden(struct pod_check *c, const char *path, const struct json *o)
{
    static const char *const fields[] = {"ports",        "livenessProbe", "readinessProbe",
                                         "startupProbe", "lifecycle",     "resources",
                                         "resizePolicy"};
    for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
        if (json_len(json_get(o, fields[i])) > 0) {
            field_error(c->e, FIELD_FORBIDDEN, pod_at(c, "%s.%s", path, fields[i]), NULL,
                        "cannot be set for an Ephemeral Container");
        }
    }
    size_t i = 0;
    JSON_FOR_EACH (m, json_get(o, "volumeMounts")) {
        if (*json_path_cstr(m, "subPath", "") || *json_path_cstr(m, "subPathExpr", "")) {
            field_error(c->e, FIELD_FORBIDDEN,
                        pod_at(c, "%s.volumeMounts[%zu].%s", path, i,
                               *json_path_cstr(m, "subPath", "") ? "subPath" : "subPathExpr"),
                        NULL, "cannot be set for an Ephemeral Container");
        }
        i++;
    }
}

static void check_target(struct pod_check *c, const char *path, const struct json *o,
                         const struct json *spec)
{
    const char *target = json_path_cstr(o, "targetContainerName", "");
    if (*target && !named(json_get(spec, "containers"), target) &&
        !named(json_get(spec, "initContainers"), target)) {
        field_error_text(c->e, FIELD_NOT_FOUND, pod_at(c, "%s.targetContainerName", path), target,
                         NULL);
    }
}

/* Existing ones stay as they are. */
static void check_kept(struct field_errors *e, const struct json *now, const struct json *old)
{
    JSON_FOR_EACH (was, old) {
        const char *name = json_path_cstr(was, "name", "");
        const struct json *is = named(now, name);
        if (!is || !json_equal(is, was)) {
            field_error(e, FIELD_FORBIDDEN, "spec.ephemeralContainers", NULL,
                        arena_printf(e->arena,
                                     "existing ephemeral containers \"%s\" may not be %s\n", name,
                                     is ? "changed" : "removed"));
        }
    }
}

void validate_ephemeral_containers(struct field_errors *e, const struct json *pod,
                                   const struct json *old)
{
    const struct json *spec = json_get(pod, "spec"), *now = json_get(spec, "ephemeralContainers");
    struct pod_check c = {.e = e};
    size_t i = 0;
    map_init(&c.containers);
    map_init(&c.volumes);
    map_init(&c.host_ports);
    collect(&c.containers, json_get(spec, "initContainers"));
    collect(&c.containers, json_get(spec, "containers"));
    collect(&c.volumes, json_get(spec, "volumes"));
    JSON_FOR_EACH (o, now) {
        const char *path = pod_at(&c, "spec.ephemeralContainers[%zu]", i++);
        pod_check_container(&c, path, o, /* init= */ false);
        check_forbidden(&c, path, o);
        check_target(&c, path, o, spec);
    }
    check_kept(e, now, json_path(old, "spec.ephemeralContainers"));
    map_fini(&c.containers, NULL);
    map_fini(&c.volumes, NULL);
    map_fini(&c.host_ports, NULL);
}

/* ---- resize ---- */

static bool movable(const char *resource)
{
    return cstr_eq(resource, "cpu") || cstr_eq(resource, "memory");
}

static bool same_amount(const struct json *a, const struct json *b)
{
    struct quantity x, y;
    return a && b && quantity_from_json(a, &x, NULL) == 0 && quantity_from_json(b, &y, NULL) == 0 &&
           quantity_cmp(x, y) == 0;
}

/* Of requests or limits, only cpu and memory may change, and none may go. */
static void check_moves(struct pod_check *c, const char *path, const char *what,
                        const struct json *now, const struct json *old)
{
    bool fixed = true;
    JSON_FOR_EACH_MEMBER (m, now) {
        fixed &= movable(m->key) || same_amount(m->value, json_get(old, m->key));
    }
    JSON_FOR_EACH_MEMBER (m, old) {
        fixed &= movable(m->key) || json_get(now, m->key);
        if (movable(m->key) && !json_get(now, m->key)) {
            field_error(c->e, FIELD_FORBIDDEN, path, NULL,
                        pod_at(c, "resource %s cannot be removed", what));
        }
    }
    if (!fixed) {
        field_error(c->e, FIELD_FORBIDDEN, path, NULL, "only cpu and memory resources are mutable");
    }
}

void validate_pod_resize(struct field_errors *e, const struct json *pod, const struct json *old)
{
    static const char *const kinds[] = {"requests", "limits"};
    struct pod_check c = {.e = e};
    const struct json *was_list = json_path(old, "spec.containers");
    size_t i = 0;
    JSON_FOR_EACH (o, json_path(pod, "spec.containers")) {
        const struct json *was = json_get(json_at(was_list, i), "resources");
        const struct json *is = json_get(o, "resources");
        const char *path = pod_at(&c, "spec.containers[%zu]", i++);
        pod_check_resources(&c, path, is);
        for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
            check_moves(&c, pod_at(&c, "%s.resources.%s", path, kinds[k]), kinds[k],
                        json_get(is, kinds[k]), json_get(was, kinds[k]));
        }
    }
    const char *qos = strategy_qos_class(json_get(pod, "spec"));
    if (!cstr_eq(qos, strategy_qos_class(json_get(old, "spec")))) {
        field_error_text(e, FIELD_INVALID, "spec", qos,
                         "Pod QOS Class may not change as a result of resizing");
    }
}

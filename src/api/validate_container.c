/* SPDX-License-Identifier: Apache-2.0 */
/* One container of a pod's spec: ports, environment, mounts, resources, probes. */
#include "api/quantity.h"
#include "api/rules/port.h"
#include "api/validate_pod_private.h"
#include "base/mem.h"

static void map_finip_keys(struct map *m)
{
    map_fini(m, NULL);
}

/* ---- ports ---- */

static bool check_port_number(struct pod_check *c, const char *path, const struct json *n)
{
    if (json_is(n, JSON_INT) && (n->i < 1 || n->i > 65535)) {
        field_error(c->e, FIELD_INVALID, path, n, "must be between 1 and 65535, inclusive");
        return false;
    }
    return true;
}

static void check_host_port(struct pod_check *c, const char *path, const struct json *port)
{
    const struct json *host = json_get(port, "hostPort");
    int64_t n = json_i64(host, 0);
    if (n == 0) {
        return;
    }
    const char *p = pod_at(c, "%s.hostPort", path);
    if (!check_port_number(c, p, host)) {
        return;
    }
    if (c->host_network && n != json_path_i64(port, "containerPort", 0)) {
        field_error(c->e, FIELD_INVALID, p, host,
                    "must match `containerPort` when `hostNetwork` is true");
    }
    const char *key = pod_at(c, "%s/%s/%lld", json_path_cstr(port, "protocol", "TCP"),
                             json_path_cstr(port, "hostIP", ""), (long long)n);
    if (pod_seen(&c->host_ports, str_of(key))) {
        field_error_text(c->e, FIELD_DUPLICATE, p, key, NULL);
    }
}

static void check_ports(struct pod_check *c, const char *path, const struct json *ports)
{
    static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
    CLEANUP(map_finip_keys) struct map names = MAP_INIT;
    int i = 0;
    JSON_FOR_EACH (port, ports) {
        const char *p = pod_at(c, "%s.ports[%d]", path, i++);
        const struct json *number = json_get(port, "containerPort");
        if (json_i64(number, 0) == 0) {
            field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.containerPort", p), NULL, NULL);
        } else {
            check_port_number(c, pod_at(c, "%s.containerPort", p), number);
        }
        check_host_port(c, p, port);
        validate_one_of(c->e, pod_at(c, "%s.protocol", p), json_get(port, "protocol"), protocols);
        struct str name = json_text(json_get(port, "name"));
        const char *why = name.n ? rule_port_name_error(name) : NULL;
        if (why) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.name", p), name.p, why);
        } else if (name.n && pod_seen(&names, name)) {
            field_error_text(c->e, FIELD_DUPLICATE, pod_at(c, "%s.name", p), name.p, NULL);
        }
    }
}

static void check_env_source(struct pod_check *c, const char *path, const struct json *env)
{
    static const char *const sources[] = {"fieldRef", "resourceFieldRef", "configMapKeyRef",
                                          "secretKeyRef"};
    const struct json *from = json_get(env, "valueFrom");
    if (!from) {
        return;
    }
    int n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        n += json_get(from, sources[i]) != NULL;
    }
    const char *p = pod_at(c, "%s.valueFrom", path);
    if (n == 0) {
        field_error_text(c->e, FIELD_INVALID, p, "",
                         "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` "
                         "or `secretKeyRef`");
    } else if (json_text(json_get(env, "value")).n) {
        field_error_text(c->e, FIELD_INVALID, p, "",
                         "may not be specified when `value` is not empty");
    } else if (n > 1) {
        field_error_text(c->e, FIELD_INVALID, p, "",
                         "may not have more than one field specified at a time");
    }
    if (json_get(from, "configMapKeyRef")) {
        const char *ref = pod_at(c, "%s.configMapKeyRef", p);
        pod_check_required(c, ref, json_get(from, "configMapKeyRef"), "key");
    }
    if (json_get(from, "secretKeyRef")) {
        pod_check_required(c, pod_at(c, "%s.secretKeyRef", p), json_get(from, "secretKeyRef"),
                           "key");
    }
    if (json_get(from, "fieldRef")) {
        pod_check_required(c, pod_at(c, "%s.fieldRef", p), json_get(from, "fieldRef"), "fieldPath");
    }
    if (json_get(from, "resourceFieldRef")) {
        pod_check_required(c, pod_at(c, "%s.resourceFieldRef", p),
                           json_get(from, "resourceFieldRef"), "resource");
    }
}

static const char *env_name_error(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < 0x20 || s.p[i] > 0x7e || s.p[i] == '=') {
            return "a valid environment variable name must consist only of printable ASCII "
                   "characters other than '='";
        }
    }
    return NULL;
}

static void check_env(struct pod_check *c, const char *path, const struct json *env)
{
    int i = 0;
    JSON_FOR_EACH (v, env) {
        const char *p = pod_at(c, "%s.env[%d]", path, i++);
        struct str name = json_text(json_get(v, "name"));
        if (name.n == 0) {
            field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.name", p), NULL, NULL);
        } else if (env_name_error(name)) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.name", p), name.p,
                             env_name_error(name));
        }
        check_env_source(c, p, v);
    }
}

static void check_mounts(struct pod_check *c, const char *path, const struct json *mounts)
{
    CLEANUP(map_finip_keys) struct map points = MAP_INIT;
    int i = 0;
    JSON_FOR_EACH (m, mounts) {
        const char *p = pod_at(c, "%s.volumeMounts[%d]", path, i++);
        struct str name = json_text(json_get(m, "name"));
        if (name.n == 0) {
            field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.name", p), NULL, NULL);
        } else if (!map_get(&c->volumes, name)) {
            field_error_text(c->e, FIELD_NOT_FOUND, pod_at(c, "%s.name", p), name.p, NULL);
        }
        struct str point = json_text(json_get(m, "mountPath"));
        const char *sub = json_path_cstr(m, "subPath", "");
        if (point.n == 0) {
            field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.mountPath", p), NULL, NULL);
        } else if (pod_seen(&points, point)) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.mountPath", p), point.p,
                             "must be unique");
        }
        if (*sub == '/') {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.subPath", p), sub,
                             "must be a relative path");
        } else if (validate_has_backstep(sub)) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.subPath", p), sub,
                             "must not contain '..'");
        }
    }
}

static void check_amounts(struct pod_check *c, const char *path, const struct json *amounts)
{
    JSON_FOR_EACH_MEMBER (m, amounts) {
        struct quantity q;
        struct err err;
        const char *p = pod_at(c, "%s[%s]", path, m->key);
        if (quantity_from_json(m->value, &q, &err) < 0) {
            field_error(c->e, FIELD_INVALID, p, m->value, err.text);
        } else if (q.nano < 0) {
            field_error(c->e, FIELD_INVALID, p, m->value, "must be greater than or equal to 0");
        }
    }
}

void pod_check_resources(struct pod_check *c, const char *path, const struct json *resources)
{
    const struct json *requests = json_get(resources, "requests");
    const struct json *limits = json_get(resources, "limits");
    check_amounts(c, pod_at(c, "%s.resources.limits", path), limits);
    check_amounts(c, pod_at(c, "%s.resources.requests", path), requests);
    JSON_FOR_EACH_MEMBER (m, requests) {
        const struct json *limit = json_get(limits, m->key);
        struct quantity want, most;
        if (limit && quantity_from_json(m->value, &want, NULL) == 0 &&
            quantity_from_json(limit, &most, NULL) == 0 && quantity_cmp(want, most) > 0) {
            field_error(c->e, FIELD_INVALID, pod_at(c, "%s.resources.requests", path), m->value,
                        pod_at(c, "must be less than or equal to %s limit of %s", m->key,
                               json_cstr(limit, "")));
        }
    }
}

/* What a probe or a hook does. */
static void check_handler(struct pod_check *c, const char *path, const struct json *handler)
{
    static const char *const schemes[] = {"HTTP", "HTTPS", NULL};
    const struct json *http = json_get(handler, "httpGet"), *exec = json_get(handler, "exec");
    const struct json *tcp = json_get(handler, "tcpSocket");
    if (exec && json_len(json_get(exec, "command")) == 0) {
        field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.exec.command", path), NULL, NULL);
    }
    if (http) {
        pod_check_required(c, pod_at(c, "%s.httpGet", path), http, "path");
        rule_port_or_name(c->e, pod_at(c, "%s.httpGet.port", path), json_get(http, "port"));
        validate_one_of(c->e, pod_at(c, "%s.httpGet.scheme", path), json_get(http, "scheme"),
                        schemes);
    }
    if (tcp) {
        rule_port_or_name(c->e, pod_at(c, "%s.tcpSocket.port", path), json_get(tcp, "port"));
    }
    check_port_number(c, pod_at(c, "%s.grpc.port", path), json_path(handler, "grpc.port"));
}

static void check_hook(struct pod_check *c, const char *path, const struct json *hook)
{
    static const char *const handlers[] = {"exec", "httpGet", "tcpSocket", "sleep"};
    int n = 0;
    if (!hook) {
        return;
    }
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        if (json_get(hook, handlers[i]) && n++ > 0) {
            field_error(c->e, FIELD_FORBIDDEN, pod_at(c, "%s.%s", path, handlers[i]), NULL,
                        "may not specify more than 1 handler type");
        }
    }
    if (n == 0) {
        field_error(c->e, FIELD_REQUIRED, path, NULL, "must specify a handler type");
    }
    check_handler(c, path, hook);
}

static void check_probe(struct pod_check *c, const char *path, const struct json *probe)
{
    static const char *const handlers[] = {"exec", "httpGet", "tcpSocket", "grpc"};
    static const char *const times[] = {"initialDelaySeconds", "timeoutSeconds", "periodSeconds",
                                        "successThreshold", "failureThreshold"};
    if (!probe) {
        return;
    }
    int n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(handlers); i++) {
        if (json_get(probe, handlers[i]) && n++ > 0) {
            field_error(c->e, FIELD_FORBIDDEN, pod_at(c, "%s.%s", path, handlers[i]), NULL,
                        "may not specify more than 1 handler type");
        }
    }
    if (n == 0) {
        field_error(c->e, FIELD_REQUIRED, path, NULL, "must specify a handler type");
    }
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        validate_not_negative(c->e, pod_at(c, "%s.%s", path, times[i]), json_get(probe, times[i]));
    }
    check_handler(c, path, probe);
}

/* Only a container that serves again may have to prove it more than once. */
static void check_success(struct pod_check *c, const char *path, const struct json *probe)
{
    const struct json *n = json_get(probe, "successThreshold");
    if (n && json_i64(n, 1) > 1) {
        field_error(c->e, FIELD_INVALID, pod_at(c, "%s.successThreshold", path), n, "must be 1");
    }
}

static void check_image(struct pod_check *c, const char *path, const struct json *o)
{
    static const char *const pulls[] = {"Always", "IfNotPresent", "Never", NULL};
    struct str image = json_text(json_get(o, "image"));
    const char *p = pod_at(c, "%s.image", path);
    if (image.n == 0) {
        field_error(c->e, FIELD_REQUIRED, p, NULL, NULL);
    } else if (str_trim(image).n != image.n) {
        field_error_text(c->e, FIELD_INVALID, p, image.p,
                         "must not have leading or trailing whitespace");
    }
    validate_one_of(c->e, pod_at(c, "%s.imagePullPolicy", path), json_get(o, "imagePullPolicy"),
                    pulls);
}

static void check_restart(struct pod_check *c, const char *path, const char *restart, bool init)
{
    static const char *const only[] = {"Always", NULL};
    if (!restart || (init && cstr_eq(restart, "Always"))) {
        return;
    }
    if (init) {
        field_error_supported(c->e, pod_at(c, "%s.restartPolicy", path), restart, only);
    } else {
        field_error(c->e, FIELD_FORBIDDEN, pod_at(c, "%s.restartPolicy", path), NULL,
                    "may not be set for non-init containers");
    }
}

/* allowed: an init container has probes only when it goes on running. */
static void check_probes(struct pod_check *c, const char *path, const struct json *o, bool allowed)
{
    static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        const struct json *probe = json_get(o, probes[i]);
        const char *probe_path = pod_at(c, "%s.%s", path, probes[i]);
        if (probe && !allowed) {
            field_error(c->e, FIELD_FORBIDDEN, probe_path, NULL,
                        "may not be set for init containers without restartPolicy=Always");
        } else {
            check_probe(c, probe_path, probe);
            if (i != 1) {
                check_success(c, probe_path, probe);
            }
        }
    }
}

void pod_check_container(struct pod_check *c, const char *path, const struct json *o, bool init)
{
    static const char *const policies[] = {"File", "FallbackToLogsOnError", NULL};
    const char *restart = json_path_cstr(o, "restartPolicy", NULL);
    pod_check_name(c, path, o, &c->containers);
    check_image(c, path, o);
    validate_one_of(c->e, pod_at(c, "%s.terminationMessagePolicy", path),
                    json_get(o, "terminationMessagePolicy"), policies);
    check_ports(c, path, json_get(o, "ports"));
    check_env(c, path, json_get(o, "env"));
    check_mounts(c, path, json_get(o, "volumeMounts"));
    pod_check_resources(c, path, json_get(o, "resources"));
    check_restart(c, path, restart, init);
    check_hook(c, pod_at(c, "%s.lifecycle.postStart", path), json_path(o, "lifecycle.postStart"));
    check_hook(c, pod_at(c, "%s.lifecycle.preStop", path), json_path(o, "lifecycle.preStop"));
    check_probes(c, path, o, !init || restart);
}

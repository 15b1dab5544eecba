/* SPDX-License-Identifier: Apache-2.0 */
/* Pod specs (pkg/apis/core/validation), in pods and in the templates of controllers. */
#include "api/name.h"
#include "api/object.h"
#include "api/quantity.h"
#include "api/validate.h"
#include "base/map.h"
#include "base/mem.h"

struct pod_check {
    struct field_errors *e;
    struct map containers; /* names of all containers so far */
    struct map volumes;    /* names of the volumes */
    struct map host_ports; /* "port/protocol/ip" */
    bool host_network;
};

static char here; /* what the maps hold: only the keys count */

static const char *at(struct pod_check *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static const char *at(struct pod_check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *s = arena_vprintf(c->e->arena, fmt, ap);
    va_end(ap);
    return s ? s : "";
}

static void map_finip_keys(struct map *m)
{
    map_fini(m, NULL);
}

static bool seen(struct map *m, struct str key)
{
    if (map_get(m, key)) {
        return true;
    }
    (void)map_put(m, key, &here, NULL); /* out of memory: only a duplicate goes unnoticed */
    return false;
}

static void check_name(struct pod_check *c, const char *path, const struct json *o,
                       struct map *names)
{
    const char *p = at(c, "%s.name", path);
    struct str name = json_text(json_get(o, "name"));
    if (name.n == 0) {
        field_error(c->e, FIELD_REQUIRED, p, NULL, NULL);
        return;
    }
    const char *why = name_check_dns_label(name);
    if (why) {
        field_error_text(c->e, FIELD_INVALID, p, name.p, why);
    } else if (seen(names, name)) {
        field_error_text(c->e, FIELD_DUPLICATE, p, name.p, NULL);
    }
}

/* ---- volumes ---- */

static void check_required(struct pod_check *c, const char *path, const struct json *o,
                           const char *member)
{
    if (json_text(json_get(o, member)).n == 0) {
        field_error(c->e, FIELD_REQUIRED, at(c, "%s.%s", path, member), NULL, NULL);
    }
}

/* keyed: items of a ConfigMap or Secret; those of the downward API name fields instead. */
static void check_items(struct pod_check *c, const char *path, const struct json *items, bool keyed)
{
    int i = 0;
    JSON_FOR_EACH (item, items) {
        const char *p = at(c, "%s.items[%d]", path, i++);
        if (keyed) {
            check_required(c, p, item, "key");
        }
        check_required(c, p, item, "path");
        const char *rel = json_path_cstr(item, "path", "");
        if (*rel == '/') {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.path", p), rel,
                             "must be a relative path");
        } else if (strstr(rel, "..")) {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.path", p), rel,
                             "must not contain '..'");
        }
    }
}

static void check_mode(struct pod_check *c, const char *path, const struct json *source)
{
    const struct json *mode = json_get(source, "defaultMode");
    if (json_is(mode, JSON_INT) && (mode->i < 0 || mode->i > 0777)) {
        field_error(c->e, FIELD_INVALID, at(c, "%s.defaultMode", path), mode,
                    "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

static void check_volume_source(struct pod_check *c, const char *path, const char *source,
                                const struct json *v)
{
    const char *p = at(c, "%s.%s", path, source);
    if (cstr_eq(source, "configMap")) {
        check_required(c, p, v, "name");
    } else if (cstr_eq(source, "secret")) {
        check_required(c, p, v, "secretName");
    } else if (cstr_eq(source, "hostPath")) {
        check_required(c, p, v, "path");
        if (strstr(json_path_cstr(v, "path", ""), "..")) {
            field_error(c->e, FIELD_INVALID, at(c, "%s.path", p), json_get(v, "path"),
                        "must not contain '..'");
        }
    } else if (cstr_eq(source, "persistentVolumeClaim")) {
        check_required(c, p, v, "claimName");
    }
    check_items(c, p, json_get(v, "items"), !cstr_eq(source, "downwardAPI"));
    check_mode(c, p, v);
}

static void check_volume(struct pod_check *c, const char *path, const struct json *v)
{
    check_name(c, path, v, &c->volumes);
    int sources = 0;
    JSON_FOR_EACH_MEMBER (m, v) {
        if (cstr_eq(m->key, "name") || !json_is(m->value, JSON_OBJECT)) {
            continue;
        }
        if (sources++ > 0) {
            field_error(c->e, FIELD_FORBIDDEN, at(c, "%s.%s", path, m->key), NULL,
                        "may not specify more than 1 volume type");
        } else {
            check_volume_source(c, path, m->key, m->value);
        }
    }
    if (sources == 0) {
        field_error(c->e, FIELD_REQUIRED, path, NULL, "must specify a volume type");
    }
}

/* ---- containers ---- */

static bool check_port_number(struct pod_check *c, const char *path, const struct json *n)
{
    if (json_is(n, JSON_INT) && (n->i < 1 || n->i > 65535)) {
        field_error(c->e, FIELD_INVALID, path, n, "must be between 1 and 65535, inclusive");
        return false;
    }
    return true;
}

static const char *port_name_error(struct str s)
{
    bool letter = false;
    for (size_t i = 0; i < s.n; i++) {
        char ch = s.p[i];
        bool lower = ch >= 'a' && ch <= 'z';
        letter |= lower;
        if (!lower && !(ch >= '0' && ch <= '9') && ch != '-') {
            return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
        }
        if (ch == '-' && i + 1 < s.n && s.p[i + 1] == '-') {
            return "must not contain consecutive hyphens";
        }
    }
    if (s.n > 15) {
        return "must be no more than 15 characters";
    }
    if (!letter) {
        return "must contain at least one letter (a-z)";
    }
    if (s.p[0] == '-' || s.p[s.n - 1] == '-') {
        return "must not begin or end with a hyphen";
    }
    return NULL;
}

static void check_host_port(struct pod_check *c, const char *path, const struct json *port)
{
    const struct json *host = json_get(port, "hostPort");
    int64_t n = json_i64(host, 0);
    if (n == 0) {
        return;
    }
    const char *p = at(c, "%s.hostPort", path);
    if (!check_port_number(c, p, host)) {
        return;
    }
    if (c->host_network && n != json_path_i64(port, "containerPort", 0)) {
        field_error(c->e, FIELD_INVALID, p, host,
                    "must match `containerPort` when `hostNetwork` is true");
    }
    const char *key = at(c, "%s/%s/%lld", json_path_cstr(port, "protocol", "TCP"),
                         json_path_cstr(port, "hostIP", ""), (long long)n);
    if (seen(&c->host_ports, str_of(key))) {
        field_error_text(c->e, FIELD_DUPLICATE, p, key, NULL);
    }
}

static void check_ports(struct pod_check *c, const char *path, const struct json *ports)
{
    static const char *const protocols[] = {"SCTP", "TCP", "UDP", NULL};
    CLEANUP(map_finip_keys) struct map names = MAP_INIT;
    int i = 0;
    JSON_FOR_EACH (port, ports) {
        const char *p = at(c, "%s.ports[%d]", path, i++);
        const struct json *number = json_get(port, "containerPort");
        if (json_i64(number, 0) == 0) {
            field_error(c->e, FIELD_REQUIRED, at(c, "%s.containerPort", p), NULL, NULL);
        } else {
            check_port_number(c, at(c, "%s.containerPort", p), number);
        }
        check_host_port(c, p, port);
        validate_one_of(c->e, at(c, "%s.protocol", p), json_get(port, "protocol"), protocols);
        struct str name = json_text(json_get(port, "name"));
        const char *why = name.n ? port_name_error(name) : NULL;
        if (why) {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.name", p), name.p, why);
        } else if (name.n && seen(&names, name)) {
            field_error_text(c->e, FIELD_DUPLICATE, at(c, "%s.name", p), name.p, NULL);
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
    const char *p = at(c, "%s.valueFrom", path);
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
        const char *ref = at(c, "%s.configMapKeyRef", p);
        check_required(c, ref, json_get(from, "configMapKeyRef"), "key");
    }
    if (json_get(from, "secretKeyRef")) {
        check_required(c, at(c, "%s.secretKeyRef", p), json_get(from, "secretKeyRef"), "key");
    }
    if (json_get(from, "fieldRef")) {
        check_required(c, at(c, "%s.fieldRef", p), json_get(from, "fieldRef"), "fieldPath");
    }
    if (json_get(from, "resourceFieldRef")) {
        check_required(c, at(c, "%s.resourceFieldRef", p), json_get(from, "resourceFieldRef"),
                       "resource");
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
        const char *p = at(c, "%s.env[%d]", path, i++);
        struct str name = json_text(json_get(v, "name"));
        if (name.n == 0) {
            field_error(c->e, FIELD_REQUIRED, at(c, "%s.name", p), NULL, NULL);
        } else if (env_name_error(name)) {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.name", p), name.p,
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
        const char *p = at(c, "%s.volumeMounts[%d]", path, i++);
        struct str name = json_text(json_get(m, "name"));
        if (name.n == 0) {
            field_error(c->e, FIELD_REQUIRED, at(c, "%s.name", p), NULL, NULL);
        } else if (!map_get(&c->volumes, name)) {
            field_error_text(c->e, FIELD_NOT_FOUND, at(c, "%s.name", p), name.p, NULL);
        }
        struct str point = json_text(json_get(m, "mountPath"));
        const char *sub = json_path_cstr(m, "subPath", "");
        if (point.n == 0) {
            field_error(c->e, FIELD_REQUIRED, at(c, "%s.mountPath", p), NULL, NULL);
        } else if (seen(&points, point)) {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.mountPath", p), point.p,
                             "must be unique");
        }
        if (*sub == '/') {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.subPath", p), sub,
                             "must be a relative path");
        } else if (strstr(sub, "..")) {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.subPath", p), sub,
                             "must not contain '..'");
        }
    }
}

static void check_amounts(struct pod_check *c, const char *path, const struct json *amounts)
{
    JSON_FOR_EACH_MEMBER (m, amounts) {
        struct quantity q;
        struct err err;
        const char *p = at(c, "%s[%s]", path, m->key);
        if (quantity_from_json(m->value, &q, &err) < 0) {
            field_error(c->e, FIELD_INVALID, p, m->value, err.text);
        } else if (q.nano < 0) {
            field_error(c->e, FIELD_INVALID, p, m->value, "must be greater than or equal to 0");
        }
    }
}

static void check_resources(struct pod_check *c, const char *path, const struct json *resources)
{
    const struct json *requests = json_get(resources, "requests");
    const struct json *limits = json_get(resources, "limits");
    check_amounts(c, at(c, "%s.resources.limits", path), limits);
    check_amounts(c, at(c, "%s.resources.requests", path), requests);
    JSON_FOR_EACH_MEMBER (m, requests) {
        const struct json *limit = json_get(limits, m->key);
        struct quantity want, most;
        if (limit && quantity_from_json(m->value, &want, NULL) == 0 &&
            quantity_from_json(limit, &most, NULL) == 0 && quantity_cmp(want, most) > 0) {
            field_error(c->e, FIELD_INVALID, at(c, "%s.resources.requests", path), m->value,
                        at(c, "must be less than or equal to %s limit of %s", m->key,
                           json_cstr(limit, "")));
        }
    }
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
            field_error(c->e, FIELD_FORBIDDEN, at(c, "%s.%s", path, handlers[i]), NULL,
                        "may not specify more than 1 handler type");
        }
    }
    if (n == 0) {
        field_error(c->e, FIELD_REQUIRED, path, NULL, "must specify a handler type");
    }
    for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
        validate_not_negative(c->e, at(c, "%s.%s", path, times[i]), json_get(probe, times[i]));
    }
}

static void check_container(struct pod_check *c, const char *path, const struct json *o, bool init)
{
    static const char *const pulls[] = {"Always", "IfNotPresent", "Never", NULL};
    static const char *const policies[] = {"File", "FallbackToLogsOnError", NULL};
    check_name(c, path, o, &c->containers);
    struct str image = json_text(json_get(o, "image"));
    const char *p = at(c, "%s.image", path);
    if (image.n == 0) {
        field_error(c->e, FIELD_REQUIRED, p, NULL, NULL);
    } else if (str_trim(image).n != image.n) {
        field_error_text(c->e, FIELD_INVALID, p, image.p,
                         "must not have leading or trailing whitespace");
    }
    validate_one_of(c->e, at(c, "%s.imagePullPolicy", path), json_get(o, "imagePullPolicy"), pulls);
    validate_one_of(c->e, at(c, "%s.terminationMessagePolicy", path),
                    json_get(o, "terminationMessagePolicy"), policies);
    check_ports(c, path, json_get(o, "ports"));
    check_env(c, path, json_get(o, "env"));
    check_mounts(c, path, json_get(o, "volumeMounts"));
    check_resources(c, path, json_get(o, "resources"));
    const char *restart = json_path_cstr(o, "restartPolicy", NULL);
    if (restart && (!init || !cstr_eq(restart, "Always"))) {
        static const char *const only[] = {"Always", NULL};
        if (init) {
            field_error_supported(c->e, at(c, "%s.restartPolicy", path), restart, only);
        } else {
            field_error(c->e, FIELD_FORBIDDEN, at(c, "%s.restartPolicy", path), NULL,
                        "may not be set for non-init containers");
        }
    }
    static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe"};
    for (size_t i = 0; i < ARRAY_SIZE(probes); i++) {
        const struct json *probe = json_get(o, probes[i]);
        const char *probe_path = at(c, "%s.%s", path, probes[i]);
        if (probe && init && !restart) {
            field_error(c->e, FIELD_FORBIDDEN, probe_path, NULL,
                        "may not be set for init containers without restartPolicy=Always");
        } else {
            check_probe(c, probe_path, probe);
        }
    }
}

/* ---- the spec ---- */

static void check_tolerations(struct pod_check *c, const char *path, const struct json *list)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
    int i = 0;
    JSON_FOR_EACH (t, list) {
        const char *p = at(c, "%s.tolerations[%d]", path, i++);
        struct str key = json_text(json_get(t, "key"));
        const char *op = json_path_cstr(t, "operator", "Equal");
        if (key.n && name_check_qualified(key)) {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.key", p), key.p,
                             name_check_qualified(key));
        }
        if (key.n == 0 && !cstr_eq(op, "Exists")) {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.operator", p), op,
                             "operator must be Exists when `key` is empty, which means \"match all "
                             "values and all keys\"");
        }
        if (!cstr_eq(op, "Exists") && !cstr_eq(op, "Equal") && *op) {
            static const char *const ops[] = {"Equal", "Exists", NULL};
            field_error_supported(c->e, at(c, "%s.operator", p), op, ops);
        }
        if (json_text(json_get(t, "effect")).n) {
            validate_one_of(c->e, at(c, "%s.effect", p), json_get(t, "effect"), effects);
        }
        if (json_get(t, "tolerationSeconds") &&
            !cstr_eq(json_path_cstr(t, "effect", ""), "NoExecute")) {
            field_error(c->e, FIELD_INVALID, at(c, "%s.effect", p), json_get(t, "effect"),
                        "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
    }
}

static void check_container_lists(struct pod_check *c, const char *path, const struct json *spec)
{
    const struct json *containers = json_get(spec, "containers");
    if (json_len(containers) == 0) {
        field_error(c->e, FIELD_REQUIRED, at(c, "%s.containers", path), NULL, NULL);
    }
    int i = 0;
    JSON_FOR_EACH (o, containers) {
        check_container(c, at(c, "%s.containers[%d]", path, i++), o, false);
    }
    i = 0;
    JSON_FOR_EACH (o, json_get(spec, "initContainers")) {
        check_container(c, at(c, "%s.initContainers[%d]", path, i++), o, true);
    }
}

static void check_spec_names(struct pod_check *c, const char *path, const struct json *spec)
{
    static const char *const subdomains[] = {"nodeName", "serviceAccountName"};
    for (size_t i = 0; i < ARRAY_SIZE(subdomains); i++) {
        struct str s = json_text(json_get(spec, subdomains[i]));
        const char *why = s.n ? name_check_dns_subdomain(s) : NULL;
        if (why) {
            field_error_text(c->e, FIELD_INVALID, at(c, "%s.%s", path, subdomains[i]), s.p, why);
        }
    }
    struct str host = json_text(json_get(spec, "hostname"));
    const char *why = host.n ? name_check_dns_label(host) : NULL;
    if (why) {
        field_error_text(c->e, FIELD_INVALID, at(c, "%s.hostname", path), host.p, why);
    }
}

void validate_pod_spec(struct field_errors *e, const char *path, const struct json *spec)
{
    static const char *const restarts[] = {"Always", "OnFailure", "Never", NULL};
    static const char *const dns[] = {"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None",
                                      NULL};
    struct pod_check c = {.e = e, .host_network = json_path_true(spec, "hostNetwork", false)};
    int i = 0;
    JSON_FOR_EACH (v, json_get(spec, "volumes")) {
        check_volume(&c, at(&c, "%s.volumes[%d]", path, i++), v);
    }
    check_container_lists(&c, path, spec);
    validate_one_of(e, at(&c, "%s.restartPolicy", path), json_get(spec, "restartPolicy"), restarts);
    validate_one_of(e, at(&c, "%s.dnsPolicy", path), json_get(spec, "dnsPolicy"), dns);
    validate_labels(e, at(&c, "%s.nodeSelector", path), json_get(spec, "nodeSelector"));
    validate_not_negative(e, at(&c, "%s.terminationGracePeriodSeconds", path),
                          json_get(spec, "terminationGracePeriodSeconds"));
    const struct json *deadline = json_get(spec, "activeDeadlineSeconds");
    if (json_is(deadline, JSON_INT) && (deadline->i < 1 || deadline->i > INT32_MAX)) {
        field_error(e, FIELD_INVALID, at(&c, "%s.activeDeadlineSeconds", path), deadline,
                    "must be between 1 and 2147483647, inclusive");
    }
    check_tolerations(&c, path, json_get(spec, "tolerations"));
    check_spec_names(&c, path, spec);
    map_fini(&c.containers, NULL);
    map_fini(&c.volumes, NULL);
    map_fini(&c.host_ports, NULL);
}

/* ---- updates ---- */

/* Gives the containers of `to` the images of `from`, where the names agree. */
static void copy_images(struct json *to, const struct json *from)
{
    size_t n = json_len(to);
    for (size_t i = 0; i < n && n == json_len(from); i++) {
        struct json *image = json_get(json_at(from, i), "image");
        if (image) {
            json_set(json_at(to, i), "image", image);
        }
    }
}

static void copy_member(struct json *to, const struct json *from, const char *key)
{
    struct json *v = json_get(from, key);
    if (v) {
        json_set(to, key, v);
    } else {
        json_del(to, key);
    }
}

static bool tolerations_kept(const struct json *now, const struct json *old)
{
    JSON_FOR_EACH (t, old) {
        bool found = false;
        JSON_FOR_EACH (u, now) {
            found |= json_equal(t, u);
        }
        if (!found) {
            return false;
        }
    }
    return true;
}

void validate_pod_update(struct field_errors *e, const struct json *pod, const struct json *old)
{
    const struct json *was = json_get(old, "spec");
    const struct json *is = json_get(pod, "spec");
    if (json_len(json_get(is, "containers")) != json_len(json_get(was, "containers"))) {
        field_error(e, FIELD_FORBIDDEN, "spec.containers", NULL,
                    "pod updates may not add or remove containers");
        return;
    }
    struct json *same = json_clone(e->arena, is);
    copy_images(json_get(same, "containers"), json_get(was, "containers"));
    copy_images(json_get(same, "initContainers"), json_get(was, "initContainers"));
    copy_member(same, was, "activeDeadlineSeconds");
    if (tolerations_kept(json_get(is, "tolerations"), json_get(was, "tolerations"))) {
        copy_member(same, was, "tolerations");
    }
    if (json_path_i64(was, "terminationGracePeriodSeconds", 0) < 0 &&
        json_path_i64(is, "terminationGracePeriodSeconds", 0) == 1) {
        copy_member(same, was, "terminationGracePeriodSeconds");
    }
    if (!json_equal(same, was)) {
        field_error(e, FIELD_FORBIDDEN, "spec", NULL,
                    "pod updates may not change fields other than `spec.containers[*].image`,"
                    "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
                    "`spec.tolerations` (only additions to existing tolerations),"
                    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
                    "previously negative)");
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pod specs (pkg/apis/core/validation), in pods and in the templates of controllers. */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/rules.h"
#include "api/validate_pod_private.h"
#include "base/mem.h"

static char here; /* what the maps hold: only the keys count */

const char *pod_at(struct pod_check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    const char *s = arena_vprintf(c->e->arena, fmt, ap);
    va_end(ap);
    return s ? s : "";
}

bool pod_seen(struct map *m, struct str key)
{
    if (map_get(m, key)) {
        return true;
    }
    (void)map_put(m, key, &here, NULL); /* out of memory: only a duplicate goes unnoticed */
    return false;
}

void pod_check_name(struct pod_check *c, const char *path, const struct json *o, struct map *names)
{
    const char *p = pod_at(c, "%s.name", path);
    struct str name = json_text(json_get(o, "name"));
    if (name.n == 0) {
        field_error(c->e, FIELD_REQUIRED, p, NULL, NULL);
        return;
    }
    const char *why = name_check_dns_label(name);
    if (why) {
        field_error_text(c->e, FIELD_INVALID, p, name.p, why);
    } else if (pod_seen(names, name)) {
        field_error_text(c->e, FIELD_DUPLICATE, p, name.p, NULL);
    }
}

/* ---- volumes ---- */

void pod_check_required(struct pod_check *c, const char *path, const struct json *o,
                        const char *member)
{
    if (json_text(json_get(o, member)).n == 0) {
        field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.%s", path, member), NULL, NULL);
    }
}

/* keyed: items of a ConfigMap or Secret; those of the downward API name fields instead. */
static void check_items(struct pod_check *c, const char *path, const struct json *items, bool keyed)
{
    int i = 0;
    JSON_FOR_EACH (item, items) {
        const char *p = pod_at(c, "%s.items[%d]", path, i++);
        if (keyed) {
            pod_check_required(c, p, item, "key");
        }
        pod_check_required(c, p, item, "path");
        const char *rel = json_path_cstr(item, "path", "");
        if (*rel == '/') {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.path", p), rel,
                             "must be a relative path");
        } else if (validate_has_backstep(rel)) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.path", p), rel,
                             "must not contain '..'");
        }
    }
}

static void check_mode(struct pod_check *c, const char *path, const struct json *source)
{
    const struct json *mode = json_get(source, "defaultMode");
    if (json_is(mode, JSON_INT) && (mode->i < 0 || mode->i > 0777)) {
        field_error(c->e, FIELD_INVALID, pod_at(c, "%s.defaultMode", path), mode,
                    "must be a number between 0 and 0777 (octal), both inclusive");
    }
}

static void check_volume_source(struct pod_check *c, const char *path, const char *source,
                                const struct json *v)
{
    const char *p = pod_at(c, "%s.%s", path, source);
    if (cstr_eq(source, "configMap")) {
        pod_check_required(c, p, v, "name");
    } else if (cstr_eq(source, "secret")) {
        pod_check_required(c, p, v, "secretName");
    } else if (cstr_eq(source, "hostPath")) {
        pod_check_required(c, p, v, "path");
        if (validate_has_backstep(json_path_cstr(v, "path", ""))) {
            field_error(c->e, FIELD_INVALID, pod_at(c, "%s.path", p), json_get(v, "path"),
                        "must not contain '..'");
        }
    } else if (cstr_eq(source, "persistentVolumeClaim")) {
        pod_check_required(c, p, v, "claimName");
    }
    check_items(c, p, json_get(v, "items"), !cstr_eq(source, "downwardAPI"));
    check_mode(c, p, v);
}

static void check_volume(struct pod_check *c, const char *path, const struct json *v)
{
    pod_check_name(c, path, v, &c->volumes);
    int sources = 0;
    JSON_FOR_EACH_MEMBER (m, v) {
        if (cstr_eq(m->key, "name") || !json_is(m->value, JSON_OBJECT)) {
            continue;
        }
        if (sources++ > 0) {
            field_error(c->e, FIELD_FORBIDDEN, pod_at(c, "%s.%s", path, m->key), NULL,
                        "may not specify more than 1 volume type");
        } else {
            check_volume_source(c, path, m->key, m->value);
        }
    }
    if (sources == 0) {
        field_error(c->e, FIELD_REQUIRED, path, NULL, "must specify a volume type");
    }
}

/* ---- the spec ---- */

static void check_tolerations(struct pod_check *c, const char *path, const struct json *list)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
    int i = 0;
    JSON_FOR_EACH (t, list) {
        const char *p = pod_at(c, "%s.tolerations[%d]", path, i++);
        struct str key = json_text(json_get(t, "key"));
        const char *op = json_path_cstr(t, "operator", "Equal");
        if (key.n && name_check_qualified(key)) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.key", p), key.p,
                             name_check_qualified(key));
        }
        if (key.n == 0 && !cstr_eq(op, "Exists")) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.operator", p), op,
                             "operator must be Exists when `key` is empty, which means \"match all "
                             "values and all keys\"");
        }
        if (!cstr_eq(op, "Exists") && !cstr_eq(op, "Equal") && *op) {
            static const char *const ops[] = {"Equal", "Exists", NULL};
            field_error_supported(c->e, pod_at(c, "%s.operator", p), op, ops);
        }
        if (json_text(json_get(t, "effect")).n) {
            validate_one_of(c->e, pod_at(c, "%s.effect", p), json_get(t, "effect"), effects);
        }
        if (json_get(t, "tolerationSeconds") &&
            !cstr_eq(json_path_cstr(t, "effect", ""), "NoExecute")) {
            field_error(c->e, FIELD_INVALID, pod_at(c, "%s.effect", p), json_get(t, "effect"),
                        "effect must be 'NoExecute' when `tolerationSeconds` is set");
        }
    }
}

static void check_container_lists(struct pod_check *c, const char *path, const struct json *spec)
{
    const struct json *containers = json_get(spec, "containers");
    if (json_len(containers) == 0) {
        field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.containers", path), NULL, NULL);
    }
    int i = 0;
    JSON_FOR_EACH (o, containers) {
        pod_check_container(c, pod_at(c, "%s.containers[%d]", path, i++), o, false);
    }
    i = 0;
    JSON_FOR_EACH (o, json_get(spec, "initContainers")) {
        pod_check_container(c, pod_at(c, "%s.initContainers[%d]", path, i++), o, true);
    }
}

static void check_spec_names(struct pod_check *c, const char *path, const struct json *spec)
{
    static const char *const subdomains[] = {"nodeName", "serviceAccountName"};
    for (size_t i = 0; i < ARRAY_SIZE(subdomains); i++) {
        struct str s = json_text(json_get(spec, subdomains[i]));
        const char *why = s.n ? name_check_dns_subdomain(s) : NULL;
        if (why) {
            field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.%s", path, subdomains[i]), s.p,
                             why);
        }
    }
    struct str host = json_text(json_get(spec, "hostname"));
    const char *why = host.n ? name_check_dns_label(host) : NULL;
    if (why) {
        field_error_text(c->e, FIELD_INVALID, pod_at(c, "%s.hostname", path), host.p, why);
    }
}

static void check_network(struct pod_check *c, const char *path, const struct json *spec)
{
    const struct json *servers = json_path(spec, "dnsConfig.nameservers");
    int i = 0;
    if (cstr_eq(json_path_cstr(spec, "dnsPolicy", ""), "None") && json_len(servers) == 0) {
        field_error(c->e, FIELD_REQUIRED, pod_at(c, "%s.dnsConfig", path), NULL,
                    json_get(spec, "dnsConfig")
                        ? "must provide at least one DNS nameserver when `dnsPolicy` is None"
                        : "must provide `dnsConfig` when `dnsPolicy` is None");
    }
    JSON_FOR_EACH (server, servers) {
        if (!rule_is_ip(json_cstr(server, ""), NULL)) {
            field_error(c->e, FIELD_INVALID, pod_at(c, "%s.dnsConfig.nameservers[%d]", path, i),
                        server, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        }
        i++;
    }
    i = 0;
    JSON_FOR_EACH (alias, json_get(spec, "hostAliases")) {
        if (!rule_is_ip(json_path_cstr(alias, "ip", ""), NULL)) {
            field_error(c->e, FIELD_INVALID, pod_at(c, "%s.hostAliases[%d].ip", path, i),
                        json_get(alias, "ip"),
                        "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        }
        i++;
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
        check_volume(&c, pod_at(&c, "%s.volumes[%d]", path, i++), v);
    }
    check_container_lists(&c, path, spec);
    validate_one_of(e, pod_at(&c, "%s.restartPolicy", path), json_get(spec, "restartPolicy"),
                    restarts);
    validate_one_of(e, pod_at(&c, "%s.dnsPolicy", path), json_get(spec, "dnsPolicy"), dns);
    validate_labels(e, pod_at(&c, "%s.nodeSelector", path), json_get(spec, "nodeSelector"));
    validate_not_negative(e, pod_at(&c, "%s.terminationGracePeriodSeconds", path),
                          json_get(spec, "terminationGracePeriodSeconds"));
    const struct json *deadline = json_get(spec, "activeDeadlineSeconds");
    if (json_is(deadline, JSON_INT) && (deadline->i < 1 || deadline->i > INT32_MAX)) {
        field_error(e, FIELD_INVALID, pod_at(&c, "%s.activeDeadlineSeconds", path), deadline,
                    "must be between 1 and 2147483647, inclusive");
    }
    check_tolerations(&c, path, json_get(spec, "tolerations"));
    pod_check_placement(&c, path, spec);
    check_spec_names(&c, path, spec);
    check_network(&c, path, spec);
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

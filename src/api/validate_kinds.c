/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds other than Pod: what pkg/apis/{core,apps,coordination}/validation asks of them. */
#include "api/name.h"
#include "api/object.h"
#include "api/quantity.h"
#include "api/selector.h"
#include "api/validate.h"
#include "base/encode.h"
#include "base/mem.h"

#define DATA_MAX (1 << 20)

/* ---- workloads ---- */

/* owner: the kind that is told in words. */
static void check_template(struct field_errors *e, const struct json *spec, const char *owner)
{
    static const char *const always[] = {"Always", NULL};
    const struct json *selector = json_get(spec, "selector");
    const struct json *template = json_get(spec, "template");
    const struct json *labels = json_path(template, "metadata.labels");
    struct selector *parsed = NULL;
    if (selector && selector_from_owner(e->arena, selector, &parsed, NULL) == 0 &&
        !selector_empty(parsed) && !selector_match_labels(parsed, labels)) {
        validate_refuse_labels(e, "spec.template.metadata.labels", labels,
                               "`selector` does not match template `labels`");
    }
    validate_labels(e, "spec.template.metadata.labels", labels);
    validate_pod_spec(e, "spec.template.spec", json_get(template, "spec"));
    validate_one_of(e, "spec.template.spec.restartPolicy",
                    json_path(template, "spec.restartPolicy"), always);
    if (json_path(template, "spec.activeDeadlineSeconds")) {
        field_error(e, FIELD_FORBIDDEN, "spec.template.spec.activeDeadlineSeconds", NULL,
                    arena_printf(e->arena, "activeDeadlineSeconds in %s is not Supported", owner));
    }
}

static void check_selector(struct field_errors *e, const struct json *spec, const char *empty)
{
    const struct json *selector = json_get(spec, "selector");
    if (!selector) {
        field_error(e, FIELD_REQUIRED, "spec.selector", NULL, NULL);
        return;
    }
    validate_label_selector(e, "spec.selector", selector);
    if (json_len(json_get(selector, "matchLabels")) == 0 &&
        json_len(json_get(selector, "matchExpressions")) == 0) {
        field_error(e, FIELD_INVALID, "spec.selector", selector, empty);
    }
}

/* A whole number or "25%". */
static void check_int_or_percent(struct field_errors *e, const char *path, const struct json *v)
{
    if (json_is(v, JSON_STRING)) {
        struct str s = json_text(v);
        uint64_t n;
        if (!str_ends(s, "%") || str_u64(str_n(s.p, s.n - 1), &n) < 0) {
            field_error(e, FIELD_INVALID, path, v,
                        "a valid percent string must be a numeric string followed by an ending '%' "
                        "(e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')");
        } else if (n > 100 && str_ends(str_of(path), "maxUnavailable")) {
            field_error(e, FIELD_INVALID, path, v, "must not be greater than 100%");
        }
    } else {
        validate_not_negative(e, path, v);
    }
}

static bool is_zero(const struct json *v)
{
    return json_is(v, JSON_INT) ? v->i == 0 : cstr_eq(json_cstr(v, NULL), "0%");
}

static void check_strategy(struct field_errors *e, const struct json *strategy)
{
    static const char *const types[] = {"Recreate", "RollingUpdate", NULL};
    const struct json *rolling = json_get(strategy, "rollingUpdate");
    if (cstr_eq(json_path_cstr(strategy, "type", ""), "Recreate") && rolling) {
        field_error(e, FIELD_FORBIDDEN, "spec.strategy.rollingUpdate", NULL,
                    "may not be specified when strategy `type` is 'Recreate'");
        return;
    }
    validate_one_of(e, "spec.strategy.type", json_get(strategy, "type"), types);
    const struct json *unavailable = json_get(rolling, "maxUnavailable");
    const struct json *surge = json_get(rolling, "maxSurge");
    check_int_or_percent(e, "spec.strategy.rollingUpdate.maxUnavailable", unavailable);
    check_int_or_percent(e, "spec.strategy.rollingUpdate.maxSurge", surge);
    if (is_zero(unavailable) && is_zero(surge)) {
        field_error(e, FIELD_INVALID, "spec.strategy.rollingUpdate.maxUnavailable", unavailable,
                    "may not be 0 when `maxSurge` is 0");
    }
}

void validate_deployment(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    validate_not_negative(e, "spec.replicas", json_get(spec, "replicas"));
    check_selector(e, spec, "empty selector is invalid for deployment");
    check_template(e, spec, "ReplicaSet");
    check_strategy(e, json_get(spec, "strategy"));
    validate_not_negative(e, "spec.minReadySeconds", json_get(spec, "minReadySeconds"));
    validate_not_negative(e, "spec.revisionHistoryLimit", json_get(spec, "revisionHistoryLimit"));
    const struct json *deadline = json_get(spec, "progressDeadlineSeconds");
    validate_not_negative(e, "spec.progressDeadlineSeconds", deadline);
    if (deadline && json_i64(deadline, 0) <= json_path_i64(spec, "minReadySeconds", 0)) {
        field_error(e, FIELD_INVALID, "spec.progressDeadlineSeconds", deadline,
                    "must be greater than minReadySeconds");
    }
    if (old) {
        validate_immutable_selector(e, "spec.selector", json_get(spec, "selector"),
                                    json_path(old, "spec.selector"));
    }
}

void validate_replication_controller(struct field_errors *e, const struct json *obj,
                                     const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    (void)old; /* everything may change */
    validate_not_negative(e, "spec.replicas", json_get(spec, "replicas"));
    validate_not_negative(e, "spec.minReadySeconds", json_get(spec, "minReadySeconds"));
    if (json_len(json_get(spec, "selector")) == 0) {
        field_error(e, FIELD_REQUIRED, "spec.selector", NULL, NULL);
    }
    validate_labels(e, "spec.selector", json_get(spec, "selector"));
    if (!json_get(spec, "template")) {
        field_error(e, FIELD_REQUIRED, "spec.template", NULL, NULL);
    } else {
        check_template(e, spec, "ReplicationController");
    }
}

void validate_replicaset(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    validate_not_negative(e, "spec.replicas", json_get(spec, "replicas"));
    validate_not_negative(e, "spec.minReadySeconds", json_get(spec, "minReadySeconds"));
    check_selector(e, spec, "empty selector is invalid for deployment");
    if (!json_get(spec, "template")) {
        field_error(e, FIELD_REQUIRED, "spec.template", NULL, NULL);
    } else {
        check_template(e, spec, "ReplicaSet");
    }
    if (old) {
        validate_immutable_selector(e, "spec.selector", json_get(spec, "selector"),
                                    json_path(old, "spec.selector"));
    }
}

/* ---- small kinds ---- */

void validate_namespace(struct field_errors *e, const struct json *obj, const struct json *old)
{
    (void)old; /* nothing but metadata, which is checked for every kind */
    int i = 0;
    JSON_FOR_EACH (f, json_path(obj, "spec.finalizers")) {
        const char *why = name_check_qualified(json_text(f));
        if (why) {
            field_error(e, FIELD_INVALID, arena_printf(e->arena, "spec.finalizers[%d]", i), f, why);
        }
        i++;
    }
}

static const char *data_key_error(struct str key)
{
    static const char why[] =
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
        "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
        "'[-._a-zA-Z0-9]+')";
    for (size_t i = 0; i < key.n; i++) {
        char c = key.p[i];
        bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    c == '-' || c == '_' || c == '.';
        if (!fine) {
            return why;
        }
    }
    if (key.n == 0) {
        return why;
    }
    if (key.n > 253) {
        return "must be no more than 253 characters";
    }
    if (key.p[0] == '.' && (key.n == 1 || key.p[1] == '.')) {
        return key.n == 1 ? "must not be '.'" : "must not start with '..'";
    }
    return NULL;
}

/* base64 texts: their form is checked, their decoded length is counted. */
static size_t check_base64(struct field_errors *e, const char *path, const struct json *value)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (base64_decode(&b, json_text(value)) < 0) {
        field_error(e, FIELD_INVALID, path, value, "illegal base64 data");
    }
    return buf_len(&b);
}

static size_t check_data(struct field_errors *e, const char *member, const struct json *data,
                         bool base64)
{
    size_t total = 0;
    JSON_FOR_EACH_MEMBER (m, data) {
        const char *path = arena_printf(e->arena, "%s[%s]", member, m->key);
        const char *why = data_key_error(str_n(m->key, m->key_n));
        if (why) {
            field_error_text(e, FIELD_INVALID, path, m->key, why);
        }
        total += base64 ? check_base64(e, path, m->value) : json_text(m->value).n;
    }
    return total;
}

static void check_fixed(struct field_errors *e, const struct json *obj, const struct json *old,
                        const char *const *members)
{
    static const char why[] = "field is immutable when `immutable` is set";
    if (!json_path_true(old, "immutable", false)) {
        return;
    }
    if (!json_path_true(obj, "immutable", false)) {
        field_error(e, FIELD_FORBIDDEN, "immutable", NULL, why);
    }
    for (; *members; members++) {
        const struct json *now = json_get(obj, *members), *was = json_get(old, *members);
        if (json_len(now) + json_len(was) > 0 && !(now && was && json_equal(now, was))) {
            field_error(e, FIELD_FORBIDDEN, *members, NULL, why);
        }
    }
}

void validate_configmap(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const members[] = {"data", "binaryData", NULL};
    const struct json *data = json_get(obj, "data"), *binary = json_get(obj, "binaryData");
    size_t total = check_data(e, "data", data, false) + check_data(e, "binaryData", binary, true);
    JSON_FOR_EACH_MEMBER (m, binary) {
        if (json_get(data, m->key)) {
            field_error_text(e, FIELD_INVALID, arena_printf(e->arena, "binaryData[%s]", m->key),
                             m->key, "duplicate of key present in data");
        }
    }
    if (total > DATA_MAX) {
        field_error(e, FIELD_TOO_LONG, "[]", NULL, "may not be more than 1048576 bytes");
    }
    check_fixed(e, obj, old, members);
}

static void check_secret_type(struct field_errors *e, const struct json *obj)
{
    static const struct {
        const char *type, *keys[2];
    } types[] = {
        {"kubernetes.io/dockercfg", {".dockercfg"}},
        {"kubernetes.io/dockerconfigjson", {".dockerconfigjson"}},
        {"kubernetes.io/ssh-auth", {"ssh-privatekey"}},
        {"kubernetes.io/tls", {"tls.crt", "tls.key"}},
    };
    const char *type = json_path_cstr(obj, "type", "");
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        for (size_t k = 0; cstr_eq(type, types[i].type) && k < 2 && types[i].keys[k]; k++) {
            if (!json_get(json_get(obj, "data"), types[i].keys[k])) {
                field_error(e, FIELD_REQUIRED, arena_printf(e->arena, "data[%s]", types[i].keys[k]),
                            NULL, NULL);
            }
        }
    }
}

void validate_secret(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const members[] = {"data", NULL};
    if (check_data(e, "data", json_get(obj, "data"), true) > DATA_MAX) {
        field_error(e, FIELD_TOO_LONG, "data", NULL, "may not be more than 1048576 bytes");
    }
    check_secret_type(e, obj);
    if (old) {
        validate_immutable(e, "type", json_get(obj, "type"), json_get(old, "type"));
    }
    check_fixed(e, obj, old, members);
}

static void check_taints(struct field_errors *e, const struct json *taints)
{
    static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
    int i = 0;
    JSON_FOR_EACH (t, taints) {
        const char *path = arena_printf(e->arena, "spec.taints[%d]", i);
        struct str key = json_text(json_get(t, "key"));
        const char *why = name_check_qualified(key);
        if (why) {
            field_error_text(e, FIELD_INVALID, arena_printf(e->arena, "%s.key", path), key.p, why);
        }
        why = name_check_label_value(json_text(json_get(t, "value")));
        if (why) {
            field_error(e, FIELD_INVALID, arena_printf(e->arena, "%s.value", path),
                        json_get(t, "value"), why);
        }
        const char *effect_path = arena_printf(e->arena, "%s.effect", path);
        if (json_text(json_get(t, "effect")).n == 0) {
            field_error(e, FIELD_REQUIRED, effect_path, NULL, NULL);
        } else {
            validate_one_of(e, effect_path, json_get(t, "effect"), effects);
        }
        for (int k = 0; k < i; k++) {
            const struct json *u = json_at(taints, (size_t)k);
            if (str_eq(json_text(json_get(u, "key")), key) &&
                str_eq(json_text(json_get(u, "effect")), json_text(json_get(t, "effect")))) {
                field_error(e, FIELD_DUPLICATE, path, t,
                            "taints must be unique by key and effect pair");
            }
        }
        i++;
    }
}

void validate_node(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const lists[] = {"capacity", "allocatable"};
    check_taints(e, json_path(obj, "spec.taints"));
    for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
        JSON_FOR_EACH_MEMBER (m, json_get(json_get(obj, "status"), lists[i])) {
            struct quantity q;
            struct err err;
            if (quantity_from_json(m->value, &q, &err) < 0) {
                field_error(e, FIELD_INVALID,
                            arena_printf(e->arena, "status.%s[%s]", lists[i], m->key), m->value,
                            err.text);
            }
        }
    }
    const char *cidr = json_path_cstr(old, "spec.podCIDR", "");
    if (*cidr && !cstr_eq(cidr, json_path_cstr(obj, "spec.podCIDR", ""))) {
        field_error(e, FIELD_FORBIDDEN, "spec.podCIDRs", NULL,
                    "node updates may not change podCIDR except from \"\" to valid");
    }
}

void validate_lease(struct field_errors *e, const struct json *obj, const struct json *old)
{
    (void)old; /* every update is allowed */
    const struct json *seconds = json_path(obj, "spec.leaseDurationSeconds");
    if (json_is(seconds, JSON_INT) && seconds->i <= 0) {
        field_error(e, FIELD_INVALID, "spec.leaseDurationSeconds", seconds,
                    "must be greater than 0");
    }
    validate_not_negative(e, "spec.leaseTransitions", json_path(obj, "spec.leaseTransitions"));
}

void validate_event(struct field_errors *e, const struct json *obj, const struct json *old)
{
    (void)old;
    const char *about = json_path_cstr(obj, "involvedObject.namespace", "");
    const char *ns = obj_ns(obj);
    if (*about ? !cstr_eq(about, ns) : !cstr_eq(ns, "default") && !cstr_eq(ns, "kube-system")) {
        field_error_text(e, FIELD_INVALID, "involvedObject.namespace", about,
                         "does not match event.namespace");
    }
}

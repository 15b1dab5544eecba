/* SPDX-License-Identifier: Apache-2.0 */
/* Strategies by kind: see strategy.h. */
#include "api/strategy.h"

#include "api/crd/crd.h"
#include "api/name.h"
#include "api/object.h"
#include "api/quantity.h"
#include "api/rules/rules.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"

/* ---- pods ---- */

const char *strategy_qos_class(const struct json *spec)
{
    static const char *const lists[] = {"initContainers", "containers"};
    static const char *const amounts[] = {"cpu", "memory"};
    bool any = false, all = true;
    for (size_t l = 0; l < ARRAY_SIZE(lists); l++) {
        JSON_FOR_EACH (c, json_get(spec, lists[l])) {
            for (size_t i = 0; i < ARRAY_SIZE(amounts); i++) {
                struct quantity request, limit;
                const struct json *r = json_get(json_path(c, "resources.requests"), amounts[i]);
                const struct json *m = json_get(json_path(c, "resources.limits"), amounts[i]);
                bool has_r =
                    r && quantity_from_json(r, &request, NULL) == 0 && !quantity_is_zero(request);
                bool has_m =
                    m && quantity_from_json(m, &limit, NULL) == 0 && !quantity_is_zero(limit);
                any |= has_r || has_m;
                all &= has_m && (!has_r || quantity_cmp(request, limit) == 0);
            }
        }
    }
    return !any ? "BestEffort" : all ? "Guaranteed" : "Burstable";
}

static void pod_create(struct arena *a, struct json *obj)
{
    struct json *spec = json_ensure_object(obj, "spec");
    if (!json_text(json_get(spec, "serviceAccountName")).n) {
        const char *old_name = json_path_cstr(spec, "serviceAccount", "");
        json_set_str(spec, "serviceAccountName", *old_name ? old_name : "default");
    }
    /* The old name of the field is kept equal to the new one. */
    json_set(spec, "serviceAccount", json_get(spec, "serviceAccountName"));
    struct json *status = json_set(obj, "status", json_object(a));
    json_set_str(status, "phase", "Pending");
    json_set_str(status, "qosClass", strategy_qos_class(spec));
}

static void pod_update(struct arena *a, struct json *obj, const struct json *old, bool status)
{
    if (status) {
        struct json *owners = json_path(old, "metadata.ownerReferences");
        if (owners) {
            json_set(obj_meta(obj), "ownerReferences", owners);
        } else {
            json_del(obj_meta(obj), "ownerReferences");
        }
        struct json *qos = json_path(old, "status.qosClass");
        if (qos) {
            json_set(json_ensure_object(obj, "status"), "qosClass", qos);
        }
    }
}

static void pod_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    validate_pod_spec(e, "spec", json_get(obj, "spec"));
    if (old) {
        validate_pod_update(e, obj, old);
    } else if (json_len(json_path(obj, "spec.ephemeralContainers")) > 0) {
        field_error(e, FIELD_FORBIDDEN, "spec.ephemeralContainers", NULL,
                    "cannot be set on create");
    }
}

/* ---- workloads ---- */

static void deployment_create(struct arena *a, struct json *obj)
{
    json_set(obj, "status", json_object(a));
}

static void replicaset_create(struct arena *a, struct json *obj)
{
    struct json *status = json_set(obj, "status", json_object(a));
    json_set_int(status, "replicas", 0);
}

/* ---- others ---- */

static void namespace_create(struct arena *a, struct json *obj)
{
    struct json *list = json_set(json_ensure_object(obj, "spec"), "finalizers", json_array(a));
    json_push(list, json_string(a, "kubernetes"));
    struct json *status = json_set(obj, "status", json_object(a));
    json_set_str(status, "phase", "Active");
}

static void namespace_update(struct arena *a, struct json *obj, const struct json *old, bool status)
{
    (void)a;
    (void)status;
    /* Only /finalize may touch the finalizers of the spec. */
    struct json *spec = json_get(old, "spec");
    if (spec) {
        json_set(obj, "spec", spec);
    }
}

static void secret_strings(struct arena *a, struct json *obj)
{
    JSON_FOR_EACH_MEMBER (m, json_get(obj, "stringData")) {
        CLEANUP(buf_finip) struct buf b = BUF_INIT;
        struct str s = json_text(m->value);
        if (base64_encode(&b, s.p, s.n) == 0) {
            json_set_n(json_ensure_object(obj, "data"), str_n(m->key, m->key_n),
                       json_string_n(a, buf_str(&b)));
        }
    }
    (void)json_del(obj, "stringData");
    if (!json_text(json_get(obj, "type")).n) {
        json_set_str(obj, "type", "Opaque");
    }
}

static void secret_update(struct arena *a, struct json *obj, const struct json *old, bool status)
{
    (void)status;
    if (!json_text(json_get(obj, "type")).n && json_get(old, "type")) {
        json_set(obj, "type", json_get(old, "type"));
    }
    secret_strings(a, obj);
}

static void definition_create(struct arena *a, struct json *obj)
{
    crd_definition_defaults(a, obj);
    crd_definition_create(a, obj);
}

static void definition_update(struct arena *a, struct json *obj, const struct json *old,
                              bool status)
{
    crd_definition_defaults(a, obj);
    crd_definition_update(a, obj, old, status);
}

/* ---- all of them ---- */

static const struct strategy config_map = {
    .group = "", .kind = "ConfigMap", .validate = validate_configmap};
static const struct strategy definition = {.group = "apiextensions.k8s.io",
                                           .kind = "CustomResourceDefinition",
                                           .create = definition_create,
                                           .update = definition_update,
                                           .validate = crd_definition_validate};
static const struct strategy deployment = {.group = "apps",
                                           .kind = "Deployment",
                                           .create = deployment_create,
                                           .validate = validate_deployment};
static const struct strategy event = {.group = "", .kind = "Event", .validate = validate_event};
static const struct strategy lease = {.group = "coordination.k8s.io",
                                      .kind = "Lease",
                                      .validate = validate_lease,
                                      .needs_version = true};
static const struct strategy namespace = {.group = "",
                                          .kind = "Namespace",
                                          .check_name = name_check_dns_label,
                                          .create = namespace_create,
                                          .update = namespace_update,
                                          .validate = validate_namespace};
static const struct strategy node = {
    .group = "", .kind = "Node", .validate = validate_node, .status_moves_metadata = true};
static const struct strategy pod = {.group = "",
                                    .kind = "Pod",
                                    .create = pod_create,
                                    .update = pod_update,
                                    .validate = pod_validate,
                                    .status_moves_metadata = true};
static const struct strategy replica_set = {.group = "apps",
                                            .kind = "ReplicaSet",
                                            .create = replicaset_create,
                                            .validate = validate_replicaset};
static const struct strategy replication_controller = {.group = "",
                                                       .kind = "ReplicationController",
                                                       .create = replicaset_create,
                                                       .validate = validate_replication_controller};
static const struct strategy secret = {.group = "",
                                       .kind = "Secret",
                                       .create = secret_strings,
                                       .update = secret_update,
                                       .validate = validate_secret};

static const struct strategy *const strategies[] = {
    &config_map,
    &definition,
    &deployment,
    &event,
    &lease,
    &namespace,
    &node,
    &pod,
    &replica_set,
    &replication_controller,
    &secret,
    &rules_autoscaler,
    &rules_certificate_request,
    &rules_cluster_role,
    &rules_cluster_role_binding,
    &rules_controller_revision,
    &rules_cron_job,
    &rules_csi_driver,
    &rules_csi_node,
    &rules_daemon_set,
    &rules_disruption_budget,
    &rules_endpoint_slice,
    &rules_endpoints,
    &rules_flow_schema,
    &rules_ingress,
    &rules_ingress_class,
    &rules_job,
    &rules_limit_range,
    &rules_mutating_webhooks,
    &rules_network_policy,
    &rules_pod_template,
    &rules_priority_class,
    &rules_priority_level,
    &rules_resource_quota,
    &rules_role,
    &rules_role_binding,
    &rules_rule,
    &rules_runtime_class,
    &rules_service,
    &rules_stateful_set,
    &rules_storage_class,
    &rules_stream,
    &rules_table,
    &rules_validating_webhooks,
    &rules_admission_policy,
    &rules_admission_policy_binding,
    &rules_volume,
    &rules_volume_attachment,
    &rules_volume_claim,
};

static const struct strategy *find(const struct kind *k)
{
    static const struct strategy plain = {0};
    if (k->custom) {
        return &plain; /* whatever its name is */
    }
    for (size_t i = 0; i < ARRAY_SIZE(strategies); i++) {
        if (cstr_eq(strategies[i]->kind, k->kind) && cstr_eq(strategies[i]->group, k->group)) {
            return strategies[i];
        }
    }
    return &plain;
}

void strategy_create(struct arena *a, const struct kind *k, struct json *obj)
{
    const struct strategy *s = find(k);
    if (s->create) {
        s->create(a, obj);
    }
    if (k->custom && k->crd->has_status) {
        (void)json_del(obj, "status");
    }
}

/* Everything but status (and metadata, where that is allowed) is as it was. */
static void only_status(struct json *obj, const struct json *old, bool metadata)
{
    const char *extra[32];
    size_t n = 0;
    JSON_FOR_EACH_MEMBER (m, obj) {
        if (!json_get(old, m->key) && !cstr_eq(m->key, "status") && n < ARRAY_SIZE(extra)) {
            extra[n++] = m->key;
        }
    }
    for (size_t i = 0; i < n; i++) {
        (void)json_del(obj, extra[i]);
    }
    JSON_FOR_EACH_MEMBER (m, old) {
        if (!cstr_eq(m->key, "status") && !(metadata && cstr_eq(m->key, "metadata"))) {
            json_set(obj, m->key, json_clone(obj->arena, m->value));
        }
    }
}

void strategy_update(struct arena *a, const struct kind *k, struct json *obj,
                     const struct json *old, bool status)
{
    const struct strategy *s = find(k);
    if (status) {
        only_status(obj, old, s->status_moves_metadata);
    } else if (kind_has_status(k)) {
        rule_keep(obj, old, "status");
    }
    if (s->update) {
        s->update(a, obj, old, status);
    }
}

void strategy_validate(struct field_errors *e, const struct kind *k, const struct json *obj,
                       const struct json *old, bool status)
{
    const struct strategy *s = find(k);
    validate_metadata(e, obj, k->namespaced,
                      s->check_name ? s->check_name : name_check_dns_subdomain);
    if (old) {
        validate_metadata_update(e, obj, old);
    }
    rule_validate_fn *validate = status ? s->validate_status : s->validate;
    if (validate) {
        validate(e, obj, old);
    }
    if (k->custom) {
        crd_validate_object(e, k, obj, old);
    }
}

bool strategy_needs_version(const struct kind *k)
{
    return find(k)->needs_version;
}

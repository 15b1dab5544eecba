/* SPDX-License-Identifier: Apache-2.0 */
/* Volumes and claims (ValidatePersistentVolume, ValidatePersistentVolumeClaim of
 * pkg/apis/core/validation). */
#include "api/name.h"
#include "api/object.h"
#include "api/quantity.h"
#include "api/rules/rules.h"
#include "base/mem.h"

static const char *const volume_modes[] = {"Block", "Filesystem", NULL};

static void access_modes(struct field_errors *e, const struct json *modes, const char *missing)
{
    static const char *const known[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                        "ReadWriteOncePod", NULL};
    bool alone = false;
    if (json_len(modes) == 0) {
        field_error(e, FIELD_REQUIRED, "spec.accessModes", NULL, missing);
    }
    JSON_FOR_EACH (mode, modes) {
        validate_one_of(e, "spec.accessModes", mode, known);
        alone |= cstr_eq(json_cstr(mode, ""), "ReadWriteOncePod");
    }
    if (alone && json_len(modes) > 1) {
        field_error(e, FIELD_FORBIDDEN, "spec.accessModes", NULL,
                    "may not use ReadWriteOncePod with other access modes");
    }
}

static void size(struct field_errors *e, const char *path, const struct json *amount)
{
    struct quantity q;
    if (quantity_from_json(amount, &q, NULL) == 0 && q.nano <= 0) {
        field_error(e, FIELD_INVALID, path, amount, "must be greater than zero");
    }
}

static void class_name(struct field_errors *e, const struct json *spec)
{
    if (json_text(json_get(spec, "storageClassName")).n) {
        rule_name(e, "spec.storageClassName", json_get(spec, "storageClassName"),
                  name_check_dns_subdomain);
    }
}

/* ---- volumes ---- */

static const char *const sources[] = {"awsElasticBlockStore",
                                      "azureDisk",
                                      "azureFile",
                                      "cephfs",
                                      "cinder",
                                      "csi",
                                      "fc",
                                      "flexVolume",
                                      "flocker",
                                      "glusterfs",
                                      "hostPath",
                                      "gcePersistentDisk",
                                      "iscsi",
                                      "local",
                                      "nfs",
                                      "photonPersistentDisk",
                                      "portworxVolume",
                                      "quobyte",
                                      "rbd",
                                      "scaleIO",
                                      "storageos",
                                      "vsphereVolume"};

static void volume_create(struct arena *a, struct json *obj)
{
    struct json *status = json_set(obj, "status", json_object(a));
    json_set_str(status, "phase", "Pending");
}

static void path_of(struct field_errors *e, const char *source, const struct json *v)
{
    const char *path = rule_path(e, "spec.%s", source);
    if (rule_required(e, path, v, "path") && validate_has_backstep(json_path_cstr(v, "path", ""))) {
        field_error(e, FIELD_INVALID, rule_path(e, "%s.path", path), json_get(v, "path"),
                    "must not contain '..'");
    }
}

static void volume_source(struct field_errors *e, const struct json *spec)
{
    int n = 0;
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        if (json_get(spec, sources[i]) && n++ > 0) {
            field_error(e, FIELD_FORBIDDEN, rule_path(e, "spec.%s", sources[i]), NULL,
                        "may not specify more than 1 volume type");
        }
    }
    const struct json *local = json_get(spec, "local"), *host = json_get(spec, "hostPath");
    const struct json *nfs = json_get(spec, "nfs"), *csi = json_get(spec, "csi");
    if (n == 0) {
        field_error(e, FIELD_REQUIRED, "spec", NULL, "must specify a volume type");
    }
    if (host) {
        path_of(e, "hostPath", host);
    }
    if (local) {
        path_of(e, "local", local);
        if (!json_path(spec, "nodeAffinity.required")) {
            field_error(e, FIELD_REQUIRED, "metadata.annotations", NULL,
                        "Local volume requires node affinity");
        }
    }
    if (nfs && rule_required(e, "spec.nfs", nfs, "server") &&
        rule_required(e, "spec.nfs", nfs, "path") && *json_path_cstr(nfs, "path", "") != '/') {
        field_error(e, FIELD_INVALID, "spec.nfs.path", json_get(nfs, "path"),
                    "must be an absolute path");
    }
    if (csi && rule_required(e, "spec.csi", csi, "driver")) {
        (void)rule_required(e, "spec.csi", csi, "volumeHandle"); /* told */
    }
}

static void volume_capacity(struct field_errors *e, const struct json *capacity)
{
    static const char *const only[] = {"storage", NULL};
    const struct json *storage = json_get(capacity, "storage");
    if (json_len(capacity) == 0) {
        field_error(e, FIELD_REQUIRED, "spec.capacity", NULL, NULL);
    } else if (!storage || json_len(capacity) > 1) {
        CLEANUP(buf_finip) struct buf text = BUF_INIT;
        (void)json_print(&text, capacity); /* without memory: an empty text */
        field_error_supported(e, "spec.capacity", rule_path(e, STR_FMT, STR_ARG(buf_str(&text))),
                              only);
    } else {
        size(e, "spec.capacity[storage]", storage);
    }
}

static void volume_update(struct field_errors *e, const struct json *spec, const struct json *was)
{
    for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
        const struct json *now = json_get(spec, sources[i]), *then = json_get(was, sources[i]);
        if (now && then ? !json_equal(now, then) : now != then) {
            field_error(e, FIELD_FORBIDDEN, "spec.persistentvolumesource", NULL,
                        "spec.persistentvolumesource is immutable after creation");
            break;
        }
    }
    validate_immutable(e, "spec.volumeMode", json_get(spec, "volumeMode"),
                       json_get(was, "volumeMode"));
    if (json_get(was, "nodeAffinity")) {
        validate_immutable(e, "spec.nodeAffinity", json_get(spec, "nodeAffinity"),
                           json_get(was, "nodeAffinity"));
    }
}

static void volume_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const policies[] = {"Delete", "Recycle", "Retain", NULL};
    const struct json *spec = json_get(obj, "spec"), *affinity = json_get(spec, "nodeAffinity");
    access_modes(e, json_get(spec, "accessModes"), NULL);
    volume_capacity(e, json_get(spec, "capacity"));
    validate_one_of(e, "spec.persistentVolumeReclaimPolicy",
                    json_get(spec, "persistentVolumeReclaimPolicy"), policies);
    if (affinity && !json_get(affinity, "required")) {
        field_error(e, FIELD_REQUIRED, "spec.nodeAffinity.required", NULL,
                    "must specify required node constraints");
    }
    volume_source(e, spec);
    class_name(e, spec);
    validate_one_of(e, "spec.volumeMode", json_get(spec, "volumeMode"), volume_modes);
    if (old) {
        volume_update(e, spec, json_get(old, "spec"));
    }
}

const struct strategy rules_volume = {
    .group = "", .kind = "PersistentVolume", .create = volume_create, .validate = volume_validate};

/* ---- claims ---- */

/* A claim that is bound may ask for more; the binder may name its volume and its class. */
static void claim_update(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *was = json_get(old, "spec"), *spec = json_get(obj, "spec");
    const struct json *now = json_path(spec, "resources.requests.storage");
    const struct json *then = json_path(was, "resources.requests.storage");
    const struct json *capacity = json_path(old, "status.capacity.storage");
    bool bound = cstr_eq(json_path_cstr(old, "status.phase", ""), "Bound");
    struct json *same = json_clone(e->arena, spec);
    if (!json_text(json_get(was, "volumeName")).n) {
        rule_keep(same, was, "volumeName");
    }
    if (!json_text(json_get(was, "storageClassName")).n) {
        rule_keep(same, was, "storageClassName");
    }
    if (bound && then) {
        json_set(json_ensure_object(json_ensure_object(same, "resources"), "requests"), "storage",
                 json_clone(e->arena, then));
        rule_keep(same, was, "volumeAttributesClassName");
    }
    if (same && was && !json_equal(same, was)) {
        field_error(e, FIELD_FORBIDDEN, "spec", NULL,
                    "spec is immutable after creation except resources.requests and "
                    "volumeAttributesClassName for bound claims");
    }
    struct quantity a, b, c;
    if (now && then && quantity_from_json(now, &a, NULL) == 0 &&
        quantity_from_json(then, &b, NULL) == 0 && quantity_cmp(a, b) < 0 &&
        (!capacity || quantity_from_json(capacity, &c, NULL) < 0 || quantity_cmp(a, c) <= 0)) {
        field_error(e, FIELD_FORBIDDEN, "spec.resources.requests.storage", NULL,
                    "field can not be less than status.capacity");
    }
}

static void claim_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *spec = json_get(obj, "spec");
    const struct json *storage = json_path(spec, "resources.requests.storage");
    access_modes(e, json_get(spec, "accessModes"), "at least 1 access mode is required");
    if (json_get(spec, "selector")) {
        validate_label_selector(e, "spec.selector", json_get(spec, "selector"));
    }
    if (!storage) {
        field_error(e, FIELD_REQUIRED, "spec.resources[storage]", NULL, NULL);
    } else {
        size(e, "spec.resources[storage]", storage);
    }
    class_name(e, spec);
    validate_one_of(e, "spec.volumeMode", json_get(spec, "volumeMode"), volume_modes);
    if (old) {
        claim_update(e, obj, old);
    }
}

const struct strategy rules_volume_claim = {.group = "",
                                            .kind = "PersistentVolumeClaim",
                                            .create = volume_create,
                                            .validate = claim_validate};

/* SPDX-License-Identifier: Apache-2.0 */
/* Storage classes and drivers (pkg/apis/storage/validation). */
#include "api/name.h"
#include "api/object.h"
#include "api/rules/rules.h"
#include "base/mem.h"

#define PARAMETERS_MAX 512

static bool same(const struct json *a, const struct json *b)
{
    return a && b ? json_equal(a, b) : json_len(a) + json_len(b) == 0 && !a == !b;
}

/* "updates to X are forbidden." */
static void forbid_change(struct field_errors *e, const struct json *obj, const struct json *old,
                          const char *member)
{
    if (!same(json_get(obj, member), json_get(old, member))) {
        field_error(e, FIELD_FORBIDDEN, member, NULL,
                    rule_path(e, "updates to %s are forbidden.", member));
    }
}

static void class_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const policies[] = {"Delete", "Retain", NULL};
    static const char *const modes[] = {"Immediate", "WaitForFirstConsumer", NULL};
    const struct json *parameters = json_get(obj, "parameters");
    if (rule_required(e, "", obj, "provisioner")) {
        rule_name(e, "provisioner", json_get(obj, "provisioner"), name_check_qualified);
    }
    if (json_len(parameters) > PARAMETERS_MAX) {
        field_error(e, FIELD_TOO_LONG, "parameters", NULL, "may not be more than 512 bytes");
    }
    JSON_FOR_EACH_MEMBER (m, parameters) {
        if (m->key_n == 0) {
            field_error_text(e, FIELD_INVALID, "parameters", m->key, "field can not be empty.");
        }
    }
    validate_one_of(e, "reclaimPolicy", json_get(obj, "reclaimPolicy"), policies);
    validate_one_of(e, "volumeBindingMode", json_get(obj, "volumeBindingMode"), modes);
    if (old) {
        forbid_change(e, obj, old, "parameters");
        forbid_change(e, obj, old, "provisioner");
        forbid_change(e, obj, old, "reclaimPolicy");
        validate_immutable(e, "volumeBindingMode", json_get(obj, "volumeBindingMode"),
                           json_get(old, "volumeBindingMode"));
    }
}

const struct strategy rules_storage_class = {
    .group = "storage.k8s.io", .kind = "StorageClass", .validate = class_validate};

/* ---- drivers ---- */

static void driver_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    static const char *const modes[] = {"Ephemeral", "Persistent", NULL};
    static const char *const policies[] = {"ReadWriteOnceWithFSType", "File", "None", NULL};
    const struct json *spec = json_get(obj, "spec");
    if (strlen(obj_name(obj)) > 63) {
        field_error(e, FIELD_TOO_LONG, "metadata.name", json_path(obj, "metadata.name"),
                    "may not be more than 63 bytes");
    }
    int i = 0;
    JSON_FOR_EACH (mode, json_get(spec, "volumeLifecycleModes")) {
        validate_one_of(e, rule_path(e, "spec.volumeLifecycleModes[%d]", i++), mode, modes);
    }
    validate_one_of(e, "spec.fsGroupPolicy", json_get(spec, "fsGroupPolicy"), policies);
    if (old) {
        validate_immutable(e, "spec.attachedRequired", json_get(spec, "attachRequired"),
                           json_path(old, "spec.attachRequired"));
        validate_immutable(e, "spec.volumeLifecycleModes", json_get(spec, "volumeLifecycleModes"),
                           json_path(old, "spec.volumeLifecycleModes"));
    }
}

const struct strategy rules_csi_driver = {.group = "storage.k8s.io",
                                          .kind = "CSIDriver",
                                          .validate = driver_validate,
                                          .needs_version = true};

static void node_validate(struct field_errors *e, const struct json *obj, const struct json *old)
{
    const struct json *drivers = json_path(obj, "spec.drivers");
    (void)old; /* drivers come and go */
    for (size_t i = 0; i < json_len(drivers); i++) {
        const struct json *d = json_at(drivers, i);
        const char *path = rule_path(e, "spec.drivers[%zu]", i);
        (void)rule_required(e, path, d, "name"); /* told */
        (void)rule_required(e, path, d, "nodeID");
        validate_not_negative(e, rule_path(e, "%s.allocatable.count", path),
                              json_path(d, "allocatable.count"));
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(json_path_cstr(json_at(drivers, k), "name", ""),
                        json_path_cstr(d, "name", ""))) {
                field_error(e, FIELD_DUPLICATE, rule_path(e, "%s.name", path), json_get(d, "name"),
                            NULL);
            }
        }
    }
}

const struct strategy rules_csi_node = {
    .group = "storage.k8s.io", .kind = "CSINode", .validate = node_validate};

static void attachment_create(struct arena *a, struct json *obj)
{
    struct json *status = json_set(obj, "status", json_object(a));
    json_set_bool(status, "attached", false);
}

static void attachment_validate(struct field_errors *e, const struct json *obj,
                                const struct json *old)
{
    const struct json *spec = json_get(obj, "spec"), *source = json_get(spec, "source");
    const struct json *name = json_get(source, "persistentVolumeName");
    const struct json *inside = json_get(source, "inlineVolumeSpec");
    (void)rule_required(e, "spec", spec, "attacher"); /* told */
    (void)rule_required(e, "spec", spec, "nodeName");
    if (!name == !inside) {
        field_error(e, FIELD_REQUIRED, "spec.source", NULL,
                    "must specify exactly one of inlineVolumeSpec and persistentVolumeName");
    }
    if (old && !json_equal(spec, json_get(old, "spec"))) {
        field_error(e, FIELD_INVALID, "spec", spec, "field is immutable");
    }
}

const struct strategy rules_volume_attachment = {.group = "storage.k8s.io",
                                                 .kind = "VolumeAttachment",
                                                 .create = attachment_create,
                                                 .validate = attachment_validate,
                                                 .needs_version = true};

/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of volumes, claims and storage drivers (printers/internalversion). */
#include "api/object.h"
#include "api/table_private.h"
#include "base/mem.h"

static struct json *text_or(const struct cell_input *in, const char *path, const char *none)
{
    return json_string(in->arena, json_path_cstr(in->obj, path, none));
}

static struct json *flag(const struct cell_input *in, const char *path, bool absent)
{
    return json_bool(in->arena, json_path_true(in->obj, path, absent));
}

/* ---- volumes and claims ---- */

/* In Kubernetes' order, whatever the object's is. */
static struct json *access_modes(const struct cell_input *in, const char *path)
{
    static const char *const modes[][2] = {{"ReadWriteOnce", "RWO"},
                                           {"ReadOnlyMany", "ROX"},
                                           {"ReadWriteMany", "RWX"},
                                           {"ReadWriteOncePod", "RWOP"}};
    const char *all = "";
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        JSON_FOR_EACH (mode, json_path(in->obj, path)) {
            if (cstr_eq(json_cstr(mode, ""), modes[i][0]) && all) {
                all = arena_printf(in->arena, "%s%s%s", all, *all ? "," : "", modes[i][1]);
                break;
            }
        }
    }
    return json_string(in->arena, all ? all : "");
}

struct json *cell_pv_access_modes(const struct cell_input *in)
{
    return access_modes(in, "spec.accessModes");
}

struct json *cell_pv_capacity(const struct cell_input *in)
{
    return text_or(in, "spec.capacity.storage", "");
}

struct json *cell_pv_claim(const struct cell_input *in)
{
    const struct json *ref = json_path(in->obj, "spec.claimRef");
    return ref ? json_printf(in->arena, "%s/%s", json_path_cstr(ref, "namespace", ""),
                             json_path_cstr(ref, "name", ""))
               : json_string(in->arena, "");
}

static bool has_volume(const struct cell_input *in)
{
    return *json_path_cstr(in->obj, "spec.volumeName", "") != '\0';
}

struct json *cell_pvc_access_modes(const struct cell_input *in)
{
    return has_volume(in) ? access_modes(in, "status.accessModes") : json_string(in->arena, "");
}

struct json *cell_pvc_capacity(const struct cell_input *in)
{
    return has_volume(in) ? text_or(in, "status.capacity.storage", "0")
                          : json_string(in->arena, "");
}

struct json *cell_storage_class(const struct cell_input *in)
{
    const char *old = obj_annotation(in->obj, "volume.beta.kubernetes.io/storage-class");
    return *old ? json_string(in->arena, old) : text_or(in, "spec.storageClassName", "");
}

struct json *cell_volume_attributes_class(const struct cell_input *in)
{
    return text_or(in, "spec.volumeAttributesClassName", "<unset>");
}

struct json *cell_volume_mode(const struct cell_input *in)
{
    return text_or(in, "spec.volumeMode", "<unset>");
}

struct json *cell_volume_status(const struct cell_input *in)
{
    return obj_deleting(in->obj) ? json_string(in->arena, "Terminating")
                                 : text_or(in, "status.phase", "");
}

/* ---- storage classes ---- */

struct json *cell_storage_class_name(const struct cell_input *in)
{
    static const char *const marks[] = {"storageclass.kubernetes.io/is-default-class",
                                        "storageclass.beta.kubernetes.io/is-default-class"};
    bool is_default = false;
    for (size_t i = 0; i < ARRAY_SIZE(marks); i++) {
        is_default |= cstr_eq(obj_annotation(in->obj, marks[i]), "true");
    }
    return json_printf(in->arena, "%s%s", obj_name(in->obj), is_default ? " (default)" : "");
}

struct json *cell_storage_class_expansion(const struct cell_input *in)
{
    return flag(in, "allowVolumeExpansion", false);
}

/* ---- drivers ---- */

struct json *cell_csi_attach(const struct cell_input *in)
{
    return flag(in, "spec.attachRequired", true);
}

struct json *cell_csi_pod_info(const struct cell_input *in)
{
    return flag(in, "spec.podInfoOnMount", false);
}

struct json *cell_csi_capacity(const struct cell_input *in)
{
    return flag(in, "spec.storageCapacity", false);
}

struct json *cell_csi_republish(const struct cell_input *in)
{
    return flag(in, "spec.requiresRepublish", false);
}

struct json *cell_csi_tokens(const struct cell_input *in)
{
    const struct json *requests = json_path(in->obj, "spec.tokenRequests");
    return json_string(in->arena,
                       requests ? cell_join(in->arena, requests, "audience") : "<unset>");
}

struct json *cell_csi_modes(const struct cell_input *in)
{
    return cell_text(in,
                     cell_join(in->arena, json_path(in->obj, "spec.volumeLifecycleModes"), NULL));
}

struct json *cell_csinode_drivers(const struct cell_input *in)
{
    return json_int(in->arena, (int64_t)json_len(json_path(in->obj, "spec.drivers")));
}

struct json *cell_attachment_pv(const struct cell_input *in)
{
    return text_or(in, "spec.source.persistentVolumeName", "");
}

struct json *cell_attachment_attached(const struct cell_input *in)
{
    return flag(in, "status.attached", false);
}

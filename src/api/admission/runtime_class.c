/* SPDX-License-Identifier: Apache-2.0 */
/* RuntimeClass: what a class of runtimes costs a pod and where it is found. */
#include "api/admission/admission.h"
#include "api/admission/plugins.h"
#include "api/handler_private.h"

static bool reject(struct admission *ad, const char *why)
{
    return admission_forbid(ad, why ? why : "out of memory");
}

static bool set_overhead(struct admission *ad, struct json *spec, const struct json *class)
{
    struct json *fixed = json_path(class, "overhead.podFixed");
    const struct json *said = json_get(spec, "overhead");
    if (said && !fixed) {
        return reject(ad, class ? "pod rejected: Pod's Overhead doesn't match RuntimeClass's "
                                  "defined Overhead"
                                : "pod rejected: Pod Overhead set without corresponding "
                                  "RuntimeClass defined Overhead");
    }
    if (said && !json_equal(said, fixed)) {
        return reject(ad,
                      "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead");
    }
    json_set(spec, "overhead", fixed);
    return true;
}

static bool set_scheduling(struct admission *ad, struct json *spec, const struct json *class)
{
    JSON_FOR_EACH_MEMBER (m, json_path(class, "scheduling.nodeSelector")) {
        struct json *selector = json_ensure_object(spec, "nodeSelector");
        const struct json *said = json_get(selector, m->key);
        if (said && !json_equal(said, m->value)) {
            return reject(ad, arena_printf(ad->op->arena,
                                           "conflict: runtimeClass.scheduling.nodeSelector[%s] = "
                                           "%s; pod.spec.nodeSelector[%s] = %s",
                                           m->key, json_cstr(m->value, ""), m->key,
                                           json_cstr(said, "")));
        }
        json_set(selector, m->key, m->value);
    }
    JSON_FOR_EACH (t, json_path(class, "scheduling.tolerations")) {
        struct json *tolerations = json_ensure_array(spec, "tolerations");
        bool there = false;
        JSON_FOR_EACH (has, tolerations) {
            there = there || json_equal(has, t);
        }
        if (!there) {
            json_push(tolerations, t);
        }
    }
    return true;
}

static bool mutate(struct admission *ad)
{
    if (!ad->obj || *ad->subresource || ad->verb != SERVER_CREATE || *ad->kind->group ||
        !cstr_eq(ad->kind->kind, "Pod")) {
        return true;
    }
    struct json *spec = json_ensure_object(ad->obj, "spec");
    const char *name = json_path_cstr(spec, "runtimeClassName", "");
    const struct json *class =
        *name ? admission_get(ad, kind_find("node.k8s.io", "v1", "runtimeclasses"), "", name)
              : NULL;
    if (*name && !class) {
        return reject(
            ad, arena_printf(ad->op->arena, "pod rejected: RuntimeClass \"%s\" not found", name));
    }
    return set_overhead(ad, spec, class) && set_scheduling(ad, spec, class);
}

const struct admission_plugin runtime_class_plugin = {.name = "RuntimeClass", .mutate = mutate};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Volumes and claims: the default class of claims that name none, and the finalizers that keep what
 * is in use (DefaultStorageClass, StorageObjectInUseProtection). Also the default class of
 * Ingresses (DefaultIngressClass), which is the same idea.
 */
#include "api/admission/lookup.h"
#include "api/admission/plugins.h"
#include "api/handler_private.h"

static bool is_default(const struct json *class, const char *mark, const char *old_mark)
{
    return cstr_eq(obj_annotation(class, mark), "true") ||
           (old_mark && cstr_eq(obj_annotation(class, old_mark), "true"));
}

/* The youngest of the defaults, then the first by name. */
static const struct json *default_of(struct admission *ad, const struct kind *k, const char *mark,
                                     const char *old_mark)
{
    struct lookup l = lookup_all(ad->op->server, ad->op->arena, k, NULL, "is-default-class");
    const struct json *best = NULL;
    for (size_t i = 0; i < l.n; i++) {
        if (is_default(l.v[i], mark, old_mark) &&
            (!best || obj_created(l.v[i]).us > obj_created(best).us)) {
            best = l.v[i];
        }
    }
    return best;
}

static void default_storage(struct admission *ad)
{
    struct json *spec = json_ensure_object(ad->obj, "spec");
    if (json_get(spec, "storageClassName") ||
        *obj_annotation(ad->obj, "volume.beta.kubernetes.io/storage-class")) {
        return;
    }
    const struct json *class = default_of(ad, kind_find("storage.k8s.io", "v1", "storageclasses"),
                                          "storageclass.kubernetes.io/is-default-class",
                                          "storageclass.beta.kubernetes.io/is-default-class");
    if (class) {
        json_set_str(spec, "storageClassName", obj_name(class));
    }
}

static void default_ingress(struct admission *ad)
{
    struct json *spec = json_ensure_object(ad->obj, "spec");
    if (json_get(spec, "ingressClassName") ||
        *obj_annotation(ad->obj, "kubernetes.io/ingress.class")) {
        return;
    }
    const struct json *class =
        default_of(ad, kind_find("networking.k8s.io", "v1", "ingressclasses"),
                   "ingressclass.kubernetes.io/is-default-class", NULL);
    if (class) {
        json_set_str(spec, "ingressClassName", obj_name(class));
    }
}

static bool mutate(struct admission *ad)
{
    const struct kind *k = ad->kind;
    if (!ad->obj || *ad->subresource || ad->verb != SERVER_CREATE) {
        return true;
    }
    if (!*k->group && cstr_eq(k->kind, "PersistentVolumeClaim")) {
        default_storage(ad);
        (void)obj_add_finalizer(ad->obj, "kubernetes.io/pvc-protection");
    } else if (!*k->group && cstr_eq(k->kind, "PersistentVolume")) {
        (void)obj_add_finalizer(ad->obj, "kubernetes.io/pv-protection");
    } else if (cstr_eq(k->kind, "Ingress") && cstr_eq(k->group, "networking.k8s.io")) {
        default_ingress(ad);
    }
    return true;
}

const struct admission_plugin storage_plugin = {.name = "StorageDefaults", .mutate = mutate};

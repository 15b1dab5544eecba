/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers over Kubernetes objects; the contract is in object.h. */
#include "object.h"

#include <string.h>

const char *obj_kind(const struct json *o)
{
    return json_cstr(json_get(o, "kind"), "");
}

const char *obj_api_version(const struct json *o)
{
    return json_cstr(json_get(o, "apiVersion"), "");
}

static const char *meta_text(const struct json *o, const char *field)
{
    return json_cstr(json_get(json_get(o, "metadata"), field), "");
}

const char *obj_name(const struct json *o)
{
    return meta_text(o, "name");
}

const char *obj_ns(const struct json *o)
{
    return meta_text(o, "namespace");
}

const char *obj_uid(const struct json *o)
{
    return meta_text(o, "uid");
}

const char *obj_rv(const struct json *o)
{
    return meta_text(o, "resourceVersion");
}

int64_t obj_rev(const struct json *o)
{
    int64_t rev = 0;
    return str_i64(str_of(obj_rv(o)), &rev) == 0 && rev > 0 ? rev : 0;
}

int64_t obj_generation(const struct json *o)
{
    return json_path_i64(o, "metadata.generation", 0);
}

bool obj_deleting(const struct json *o)
{
    return meta_text(o, "deletionTimestamp")[0] != '\0';
}

struct wall obj_created(const struct json *o)
{
    struct wall t = {0};
    (void)time_parse(str_of(meta_text(o, "creationTimestamp")), &t); /* stays 0 when malformed */
    return t;
}

struct json *obj_meta(struct json *o)
{
    return json_ensure_object(o, "metadata");
}

char *obj_key(struct arena *a, const char *ns, const char *name)
{
    return ns && ns[0] ? arena_printf(a, "%s/%s", ns, name) : arena_strdup(a, name);
}

const struct json *obj_labels(const struct json *o)
{
    return json_get(json_get(o, "metadata"), "labels");
}

const struct json *obj_annotations(const struct json *o)
{
    return json_get(json_get(o, "metadata"), "annotations");
}

const char *obj_label(const struct json *o, const char *key)
{
    return json_cstr(json_get(obj_labels(o), key), "");
}

const char *obj_annotation(const struct json *o, const char *key)
{
    return json_cstr(json_get(obj_annotations(o), key), "");
}

void obj_set_label(struct json *o, const char *key, const char *value)
{
    json_set_str(json_ensure_object(obj_meta(o), "labels"), key, value);
}

void obj_set_annotation(struct json *o, const char *key, const char *value)
{
    json_set_str(json_ensure_object(obj_meta(o), "annotations"), key, value);
}

bool obj_labels_include(const struct json *whole, const struct json *part)
{
    JSON_FOR_EACH_MEMBER (m, part) {
        const struct json *have = json_get_n(whole, str_n(m->key, m->key_n));
        if (!json_is(have, JSON_STRING) || !str_eq(json_text(have), json_text(m->value))) {
            return false;
        }
    }
    return true;
}

/* ---- finalizers ---- */

static int finalizer_index(const struct json *o, const char *name)
{
    const struct json *list = json_get(json_get(o, "metadata"), "finalizers");
    for (size_t i = 0; i < json_len(list); i++) {
        if (cstr_eq(json_cstr(json_at(list, i), NULL), name)) {
            return (int)i;
        }
    }
    return -1;
}

bool obj_has_finalizer(const struct json *o, const char *name)
{
    return finalizer_index(o, name) >= 0;
}

bool obj_add_finalizer(struct json *o, const char *name)
{
    if (!o || obj_has_finalizer(o, name)) {
        return false;
    }
    json_push(json_ensure_array(obj_meta(o), "finalizers"), json_string(o->arena, name));
    return true;
}

bool obj_del_finalizer(struct json *o, const char *name)
{
    int at = finalizer_index(o, name);
    if (at < 0) {
        return false;
    }
    struct json *meta = json_get(o, "metadata");
    struct json *list = json_get(meta, "finalizers");
    json_remove(list, (size_t)at);
    if (json_len(list) == 0) {
        json_del(meta, "finalizers");
    }
    return true;
}

/* ---- owners ---- */

static const struct json *owner_refs(const struct json *o)
{
    return json_get(json_get(o, "metadata"), "ownerReferences");
}

const struct json *obj_controller_ref(const struct json *o)
{
    JSON_FOR_EACH (ref, owner_refs(o)) {
        if (json_true(json_get(ref, "controller"), false)) {
            return ref;
        }
    }
    return NULL;
}

const struct json *obj_owner_ref(const struct json *o, const char *uid)
{
    JSON_FOR_EACH (ref, owner_refs(o)) {
        if (cstr_eq(json_cstr(json_get(ref, "uid"), NULL), uid)) {
            return ref;
        }
    }
    return NULL;
}

bool obj_controlled_by(const struct json *o, const char *uid)
{
    const struct json *ref = obj_controller_ref(o);
    return ref && cstr_eq(json_cstr(json_get(ref, "uid"), NULL), uid);
}

struct json *obj_controller_ref_new(struct arena *a, const struct json *owner,
                                    const char *api_version, const char *kind)
{
    struct json *ref = json_object(a);
    json_set_str(ref, "apiVersion", api_version);
    json_set_str(ref, "kind", kind);
    json_set_str(ref, "name", obj_name(owner));
    json_set_str(ref, "uid", obj_uid(owner));
    json_set_bool(ref, "controller", true);
    json_set_bool(ref, "blockOwnerDeletion", true);
    return ref;
}

/* ---- conditions ---- */

struct json *conditions_get(const struct json *conditions, const char *type)
{
    JSON_FOR_EACH (c, conditions) {
        if (cstr_eq(json_cstr(json_get(c, "type"), NULL), type)) {
            return c;
        }
    }
    return NULL;
}

static bool condition_equals(const struct json *c, const char *status, const char *reason,
                             const char *message)
{
    return strcmp(json_cstr(json_get(c, "status"), ""), status) == 0 &&
           strcmp(json_cstr(json_get(c, "reason"), ""), reason ? reason : "") == 0 &&
           strcmp(json_cstr(json_get(c, "message"), ""), message ? message : "") == 0;
}

static void set_or_del(struct json *c, const char *key, const char *text)
{
    if (text && text[0]) {
        json_set_str(c, key, text);
    } else {
        json_del(c, key);
    }
}

bool conditions_set(struct json *conditions, const char *type, const char *status,
                    const char *reason, const char *message, struct wall now)
{
    if (!conditions) {
        return false;
    }
    struct json *c = conditions_get(conditions, type);
    if (c && condition_equals(c, status, reason, message)) {
        return false;
    }
    bool moved = !c || strcmp(json_cstr(json_get(c, "status"), ""), status) != 0;
    if (!c) {
        c = json_push(conditions, json_object(conditions->arena));
        json_set_str(c, "type", type);
    }
    json_set_str(c, "status", status);
    if (moved) {
        char text[TIME_TEXT_SIZE];
        json_set_str(c, "lastTransitionTime", time_text(now, text));
    }
    set_or_del(c, "reason", reason);
    set_or_del(c, "message", message);
    return true;
}

struct json *obj_condition(const struct json *o, const char *type)
{
    return conditions_get(json_get(json_get(o, "status"), "conditions"), type);
}

const char *obj_condition_status(const struct json *o, const char *type)
{
    return json_cstr(json_get(obj_condition(o, type), "status"), "");
}

bool obj_condition_true(const struct json *o, const char *type)
{
    return strcmp(obj_condition_status(o, type), "True") == 0;
}

bool obj_condition_set(struct json *o, const char *type, const char *status, const char *reason,
                       const char *message, struct wall now)
{
    return conditions_set(json_ensure_array(json_ensure_object(o, "status"), "conditions"), type,
                          status, reason, message, now);
}

bool obj_condition_del(struct json *o, const char *type)
{
    struct json *list = json_get(json_get(o, "status"), "conditions");
    for (size_t i = 0; i < json_len(list); i++) {
        if (cstr_eq(json_cstr(json_get(json_at(list, i), "type"), NULL), type)) {
            json_remove(list, i);
            return true;
        }
    }
    return false;
}

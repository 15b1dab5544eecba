/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ServiceAccount: a pod has an account that exists, its account's image pull secrets, and, unless
 * somebody said no, a volume with the account's token, the cluster's CA and the namespace's name
 * (plugin/pkg/admission/serviceaccount). A Secret of type kubernetes.io/service-account-token gets
 * its token when it is written.
 *
 * The account "default" is passed over while it is missing: its controller is about to make it. A
 * server that signs no tokens (an edge) gives its pods no volume.
 */
#include "api/admission/admission.h"
#include "api/auth/tokens.h"
#include "api/object.h"
#include "api/server_private.h"
#include "base/encode.h"

#define MOUNT_PATH "/var/run/secrets/kubernetes.io/serviceaccount"
#define VOLUME_PREFIX "kube-api-access-"
#define TOKEN_SECONDS 3607 /* more than the default, so that it can be told from others */
#define TOKEN_SECRET "kubernetes.io/service-account-token"

static struct json *find_account(struct admission *ad, const char *name)
{
    return admission_get(ad, kind_find("", "v1", "serviceaccounts"), ad->op->ns, name);
}

/* ---- the volume ---- */

static struct json *token_volume(struct arena *a, const char *name)
{
    struct json *v = json_object(a);
    json_set_str(v, "name", name);
    struct json *projected = json_ensure_object(v, "projected");
    struct json *sources = json_ensure_array(projected, "sources");
    struct json *token =
        json_ensure_object(json_push(sources, json_object(a)), "serviceAccountToken");
    json_set_int(token, "expirationSeconds", TOKEN_SECONDS);
    json_set_str(token, "path", "token");
    struct json *ca = json_ensure_object(json_push(sources, json_object(a)), "configMap");
    struct json *item = json_push(json_ensure_array(ca, "items"), json_object(a));
    json_set_str(item, "key", "ca.crt");
    json_set_str(item, "path", "ca.crt");
    json_set_str(ca, "name", "kube-root-ca.crt");
    struct json *down = json_ensure_object(json_push(sources, json_object(a)), "downwardAPI");
    item = json_push(json_ensure_array(down, "items"), json_object(a));
    struct json *field = json_ensure_object(item, "fieldRef");
    json_set_str(field, "apiVersion", "v1");
    json_set_str(field, "fieldPath", "metadata.namespace");
    json_set_str(item, "path", "namespace");
    json_set_int(projected, "defaultMode", 0644);
    return v;
}

static bool mounts_something(const struct json *container)
{
    JSON_FOR_EACH (m, json_get(container, "volumeMounts")) {
        if (cstr_eq(json_path_cstr(m, "mountPath", ""), MOUNT_PATH)) {
            return true;
        }
    }
    return false;
}

/* Mounts it into every container that has nothing there; true when there was one. */
static bool mount_into(struct json *containers, const char *name)
{
    bool used = false;
    JSON_FOR_EACH (c, containers) {
        if (!mounts_something(c)) {
            struct json *m = json_push(json_ensure_array(c, "volumeMounts"), json_object(c->arena));
            json_set_str(m, "name", name);
            json_set_bool(m, "readOnly", true);
            json_set_str(m, "mountPath", MOUNT_PATH);
            used = true;
        }
    }
    return used;
}

/* The name of a volume that looks like ours: one that was copied from another pod. */
static const char *volume_there(const struct json *spec)
{
    JSON_FOR_EACH (v, json_get(spec, "volumes")) {
        const char *name = json_path_cstr(v, "name", "");
        if (str_starts(str_of(name), VOLUME_PREFIX) && json_path(v, "projected.sources")) {
            return name;
        }
    }
    return NULL;
}

static void add_volume(struct arena *a, struct json *spec)
{
    char tail[6];
    const char *there = volume_there(spec);
    random_name(tail, 5);
    const char *name = there ? there : arena_printf(a, VOLUME_PREFIX "%s", tail);
    bool used = mount_into(json_get(spec, "initContainers"), name);
    used |= mount_into(json_get(spec, "containers"), name);
    if (used && !there) {
        json_push(json_ensure_array(spec, "volumes"), token_volume(a, name));
    }
}

/* ---- pods ---- */

static bool wants_token(const struct json *spec, const struct json *account)
{
    const struct json *own = json_get(spec, "automountServiceAccountToken");
    return json_true(own ? own : json_get(account, "automountServiceAccountToken"), true);
}

static bool mutate_pod(struct admission *ad)
{
    struct json *spec = json_ensure_object(ad->obj, "spec");
    const char *name = json_path_cstr(spec, "serviceAccountName", "default");
    struct arena *a = ad->op->arena;
    if (*obj_annotation(ad->obj, "kubernetes.io/config.mirror")) {
        return true;
    }
    struct json *account = find_account(ad, name);
    if (!account && !cstr_eq(name, "default")) {
        return admission_forbid(
            ad, arena_printf(a,
                             "error looking up service account %s/%s: serviceaccount \"%s\" not "
                             "found",
                             ad->op->ns, name, name));
    }
    const struct json *pull = json_get(account, "imagePullSecrets");
    if (json_len(pull) && !json_len(json_get(spec, "imagePullSecrets"))) {
        json_set(spec, "imagePullSecrets", json_clone(a, pull));
    }
    if (tokens_can_sign(ad->op->server->sa_tokens) && wants_token(spec, account)) {
        add_volume(a, spec);
    }
    return true;
}

/* ---- Secrets of the old kind ---- */

static void put_data(struct json *data, const char *key, const char *text)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    if (*text && !json_get(data, key) && base64_encode(&b, text, strlen(text)) == 0) {
        json_set(data, key, json_string_n(data->arena, buf_str(&b)));
    }
}

static bool mutate_secret(struct admission *ad)
{
    struct tokens *t = ad->op->server->sa_tokens;
    const char *name = obj_annotation(ad->obj, "kubernetes.io/service-account.name");
    const char *token = "";
    if (!cstr_eq(json_path_cstr(ad->obj, "type", ""), TOKEN_SECRET) || !tokens_can_sign(t) ||
        json_path(ad->obj, "data.token")) {
        return true;
    }
    struct json *account = *name ? find_account(ad, name) : NULL;
    if (!account) {
        return true; /* the controller takes it away when the account does not come */
    }
    obj_set_annotation(ad->obj, "kubernetes.io/service-account.uid", obj_uid(account));
    if (tokens_issue_legacy(t, ad->op->arena, ad->op->ns, name, obj_uid(account), obj_name(ad->obj),
                            &token) < 0) {
        return admission_refuse(ad, NULL);
    }
    struct json *data = json_ensure_object(ad->obj, "data");
    put_data(data, "ca.crt", tokens_root_ca(t));
    put_data(data, "namespace", ad->op->ns);
    put_data(data, "token", token);
    return true;
}

static bool mutate(struct admission *ad)
{
    bool core = !*ad->kind->group && !*ad->subresource && ad->obj;
    if (core && ad->verb == SERVER_CREATE && cstr_eq(ad->kind->plural, "pods")) {
        return mutate_pod(ad);
    }
    return !core || !cstr_eq(ad->kind->plural, "secrets") || mutate_secret(ad);
}

const struct admission_plugin service_account_plugin = {.name = "ServiceAccount", .mutate = mutate};

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every namespace has for the identity of its pods: the ServiceAccount "default" and the
 * ConfigMap kube-root-ca.crt with the cluster's CA. And Secrets of type
 * kubernetes.io/service-account-token: written once more when their account comes (the server then
 * puts the token in), deleted when it has gone.
 *
 * Keys: "/NAMESPACE", and "NAMESPACE/SECRET".
 */
#include "api/object.h"
#include "orchestrator_private.h"

#define ACCOUNT "default"
#define ROOT_CA "kube-root-ca.crt"
#define TOKEN_SECRET "kubernetes.io/service-account-token"
#define ACCOUNT_NAME "kubernetes.io/service-account.name"
#define ACCOUNT_UID "kubernetes.io/service-account.uid"
#define LAG_MS 2000

struct kinds {
    const struct kind *account, *config, *secret;
};

static const struct kinds *kinds(void)
{
    static struct kinds k;
    if (!k.account) {
        k = (struct kinds){.account = kind_find_api("v1", "ServiceAccount"),
                           .config = kind_find_api("v1", "ConfigMap"),
                           .secret = kind_find_api("v1", "Secret")};
    }
    return &k;
}

/* ---- what changed ---- */

static bool is_token_secret(const struct api_item *item)
{
    const char *type = "\"" TOKEN_SECRET "\"";
    return memmem(item->text.p, item->text.n, type, strlen(type)) != NULL;
}

static bool add_secret(void *arg, struct api_item *item)
{
    if (is_token_secret(item)) {
        controller_add(arg, item->ns, item->name);
    }
    return true;
}

static void account_changed(struct controller *c, const struct change *change)
{
    const struct api_item *item = change->item ? change->item : change->old;
    if (!change->item && cstr_eq(item->name, ACCOUNT)) {
        controller_add(c, "", item->ns);
    }
    if (!change->item || !change->old) {
        informer_each(orchestrator_informer(c->o, kinds()->secret), item->ns, add_secret, c);
    }
}

static void changed(struct controller *c, const struct change *change)
{
    const struct api_item *item = change->item ? change->item : change->old;
    if (change->kind == known_kinds()->ns && change->item) {
        controller_add(c, "", item->name);
    } else if (change->kind == kinds()->account) {
        account_changed(c, change);
    } else if (change->kind == kinds()->config && cstr_eq(item->name, ROOT_CA)) {
        controller_add(c, "", item->ns);
    } else if (change->kind == kinds()->secret && change->item && is_token_secret(item)) {
        controller_add(c, item->ns, item->name);
    }
}

/* ---- namespaces ---- */

static struct json *named(struct arena *a, const char *ns, const char *name)
{
    struct json *o = json_object(a);
    struct json *meta = json_ensure_object(o, "metadata");
    json_set_str(meta, "name", name);
    json_set_str(meta, "namespace", ns);
    return o;
}

static void plan_root_ca(struct controller *c, struct plan *plan, const char *ns)
{
    struct arena *a = plan->arena;
    const char *ca = c->o->opts.root_ca;
    struct json *have = ca ? orchestrator_get(c->o, a, kinds()->config, ns, ROOT_CA) : NULL;
    if (!ca || cstr_eq(json_cstr(json_get(json_get(have, "data"), "ca.crt"), ""), ca)) {
        return;
    }
    struct json *o = have ? have : named(a, ns, ROOT_CA);
    obj_set_annotation(o, "kubernetes.io/description",
                       "Contains a CA bundle that can be used to verify the kube-apiserver when "
                       "using internal endpoints such as the internal service IP or "
                       "kubernetes.default.svc. No other usage is guaranteed across distributions "
                       "of Kubernetes clusters.");
    json_set_str(json_ensure_object(o, "data"), "ca.crt", ca);
    if (have) {
        plan_update(plan, kinds()->config, o, NULL);
    } else {
        plan_create(plan, kinds()->config, ns, o)->flags |= ACTION_F_EXISTS_OK;
    }
}

static void reconcile_namespace(struct controller *c, struct plan *plan, const char *name)
{
    struct json *ns = orchestrator_get(c->o, plan->arena, known_kinds()->ns, NULL, name);
    if (!ns || obj_deleting(ns)) {
        return;
    }
    if (!informer_get(orchestrator_informer(c->o, kinds()->account), name, ACCOUNT)) {
        plan_create(plan, kinds()->account, name, named(plan->arena, name, ACCOUNT))->flags |=
            ACTION_F_EXISTS_OK;
    }
    plan_root_ca(c, plan, name);
}

/* ---- Secrets ---- */

static void reconcile_secret(struct controller *c, struct plan *plan, const char *ns,
                             const char *name)
{
    struct informer *accounts = orchestrator_informer(c->o, kinds()->account);
    struct json *secret = orchestrator_get(c->o, plan->arena, kinds()->secret, ns, name);
    if (!secret || obj_deleting(secret) ||
        !cstr_eq(json_path_cstr(secret, "type", ""), TOKEN_SECRET)) {
        return;
    }
    const char *uid = obj_annotation(secret, ACCOUNT_UID);
    const char *account = obj_annotation(secret, ACCOUNT_NAME);
    const struct api_item *item = *account ? informer_get(accounts, ns, account) : NULL;
    bool gone = *uid && (!item || !cstr_eq(item->uid, uid));
    if (gone && informer_rev(accounts) < obj_rev(secret)) {
        plan_requeue(plan, LAG_MS); /* the copy of the accounts may be older than the Secret */
    } else if (gone) {
        plan_delete(plan, kinds()->secret, ns, name, obj_uid(secret));
    } else if (item && !json_path(secret, "data.token")) {
        plan_update(plan, kinds()->secret, secret, NULL);
    }
}

static int reconcile(struct controller *c, const char *key, struct plan *plan)
{
    const char *ns, *name;
    if (!controller_split(plan->arena, key, &ns, &name)) {
        return -E_NOMEM;
    }
    if (*ns) {
        reconcile_secret(c, plan, ns, name);
    } else {
        reconcile_namespace(c, plan, name);
    }
    return 0;
}

const struct controller_ops service_account_controller = {
    .name = "serviceaccount-controller",
    .size = sizeof(struct controller),
    .workers = 8,
    .changed = changed,
    .reconcile = reconcile,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* The table of plug-ins and how they are run: see admission.h. */
#include "api/admission/admission.h"

#include "api/admission/plugins.h"
#include "api/admission/webhook.h"
#include "api/handler_private.h"

/* In the order of kube-apiserver. */
static const struct admission_plugin *const plugins[] = {
    &certificate_request_plugin,
    &limit_ranger_plugin,
    &service_account_plugin,
    &priority_plugin,
    &storage_plugin,
    &runtime_class_plugin,
    &escalation_plugin,
    &service_plugin,
    &policy_plugin,
    &quota_plugin, /* counts what will be written */
};

bool admission_forbid(struct admission *ad, const char *why)
{
    struct status_about about = handler_about(ad->op);
    return admission_refuse(ad, status_forbidden(ad->op->arena, &about, why));
}

bool admission_refuse(struct admission *ad, struct json *status)
{
    ad->refusal = status;
    return false;
}

void admission_warn(struct admission *ad, const char *text)
{
    if (!ad->op->warnings) {
        ad->op->warnings = json_array(ad->op->arena);
    }
    json_push(ad->op->warnings, json_string(ad->op->arena, text));
}

struct json *admission_get(struct admission *ad, const struct kind *k, const char *ns,
                           const char *name)
{
    const char *key = api_key(ad->op->arena, k, ns, name);
    struct store_item *it =
        key ? store_get_latest(api_server_store(ad->op->server), str_of(key)) : NULL;
    return it ? handler_item_tree(ad->op->arena, k, it) : NULL;
}

static enum server_write write_verb(enum handler_verb verb)
{
    switch (verb) {
    case HANDLER_CREATE:
        return SERVER_CREATE;
    case HANDLER_UPDATE:
        return SERVER_UPDATE;
    case HANDLER_PATCH:
        return SERVER_PATCH;
    default:
        return SERVER_DELETE;
    }
}

static struct admission admission_of(struct handler_op *op, struct json *obj)
{
    return (struct admission){.op = op,
                              .verb = write_verb(op->verb),
                              .kind = op->kind->custom ? op->kind : kind_storage(op->kind),
                              .subresource = op->sub ? op->sub->name : "",
                              .obj = obj,
                              .old = op->old};
}

void admission_mutate(struct handler_op *op, struct json *obj, admission_next_fn *next)
{
    struct admission ad = admission_of(op, obj);
    for (size_t i = 0; i < ARRAY_SIZE(plugins); i++) {
        if (plugins[i]->mutate && !plugins[i]->mutate(&ad)) {
            handler_fail(op, ad.refusal);
            return;
        }
    }
    webhooks_run(&ad, true, next);
}

static void validate_last(struct handler_op *op, struct json *obj)
{
    struct admission ad = admission_of(op, obj);
    for (size_t i = 0; i < ARRAY_SIZE(plugins); i++) {
        if (plugins[i]->validate && !plugins[i]->validate(&ad)) {
            handler_fail(op, ad.refusal);
            return;
        }
    }
    op->commit(op, obj);
}

void admission_validate(struct handler_op *op, struct json *obj, admission_next_fn *next)
{
    struct admission ad = admission_of(op, obj);
    op->commit = next;
    webhooks_run(&ad, false, validate_last);
}

/* ---- connections ---- */

static struct admission connection_of(struct handler_op *op, struct json *options)
{
    return (struct admission){.op = op,
                              .verb = SERVER_CONNECT,
                              .kind = op->kind,
                              .subresource = op->sub->name,
                              .obj = options};
}

static void connect_last(struct handler_op *op, struct json *options)
{
    struct admission ad = connection_of(op, options);
    if (policy_plugin.validate(&ad)) {
        op->commit(op, options);
    } else {
        handler_fail(op, ad.refusal);
    }
}

static void connect_validate(struct handler_op *op, struct json *options)
{
    struct admission ad = connection_of(op, options);
    webhooks_run(&ad, false, connect_last);
}

void admission_connect(struct handler_op *op, struct json *options, admission_next_fn *next)
{
    struct admission ad = connection_of(op, options);
    op->commit = next;
    webhooks_run(&ad, true, connect_validate);
}

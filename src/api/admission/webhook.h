/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Admission webhooks: what Mutating- and ValidatingWebhookConfigurations ask for
 * (admissionregistration.k8s.io/v1, AdmissionReview v1).
 *
 * webhook_config.c keeps the configurations parsed and tells which hooks a write concerns;
 * webhook.c calls them: mutating ones one after the other, validating ones all at once.
 */
#ifndef API_ADMISSION_WEBHOOK_H
#define API_ADMISSION_WEBHOOK_H

#include "api/admission/admission.h"
#include "api/admission/match.h"
#include "api/webhook_client.h"

struct webhooks;

/* One server's hooks. It follows the store's configurations. NULL with err. */
struct webhooks *webhooks_new(struct api_server *s, struct err *err);
void webhooks_free(struct webhooks *w); /* NULL is fine */

/* Calls the hooks of one type that concern ad and goes on with next: inside the call when there are
 * none. A refusal, or an object that changed meanwhile, ends or restarts the operation instead. */
void webhooks_run(const struct admission *ad, bool mutating, admission_next_fn *next);
/* The operation is cancelled. */
void webhooks_cancel(struct handler_op *op);

/* ---- between webhook.c and webhook_config.c ---- */

/* One hook of a configuration. */
struct webhook {
    const char *name;       /* "pods.example.com" */
    const struct json *def; /* the whole entry */
    struct admission_match match;
    const struct kind *as; /* of a copy: the kind in whose form it gets the object */
    int64_t timeout_ms;
    bool ignore_failure; /* failurePolicy: Ignore */
    bool side_effects;   /* a dry run would not be one */
    bool reinvoke;       /* reinvocationPolicy: IfNeeded */
};

struct webhook_set;

/* Copies of the hooks of a type that concern ad, in the order in which they are called; they live
 * in the operation's arena, without what they match. */
struct webhook *webhooks_for(struct webhook_set *set, const struct admission *ad, bool mutating,
                             size_t *ret_n);
struct webhook_set *webhook_set_new(struct api_server *s, struct err *err);
void webhook_set_free(struct webhook_set *set);

#endif

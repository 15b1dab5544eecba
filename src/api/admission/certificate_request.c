/* SPDX-License-Identifier: Apache-2.0 */
/* CertificateSigningRequests: who asks is written into them by the server. */
#include "api/admission/admission.h"
#include "api/admission/plugins.h"
#include "api/handler_private.h"

static bool mutate(struct admission *ad)
{
    if (ad->verb != SERVER_CREATE || !cstr_eq(ad->kind->group, "certificates.k8s.io") ||
        !cstr_eq(ad->kind->kind, "CertificateSigningRequest")) {
        return true;
    }
    struct arena *a = ad->op->arena;
    const struct api_user *user = ad->op->user;
    struct json *spec = json_ensure_object(ad->obj, "spec"), *groups = json_array(a);
    for (const char *const *g = user->groups; *g; g++) {
        json_push(groups, json_string(a, *g));
    }
    (void)json_del(spec, "uid");
    (void)json_del(spec, "extra");
    json_set_str(spec, "username", user->name);
    json_set_str(spec, "uid", user->uid);
    json_set(spec, "groups", groups);
    json_set(spec, "extra", user->extra ? json_clone(a, user->extra) : NULL);
    return true;
}

const struct admission_plugin certificate_request_plugin = {.name = "CertificateSubject",
                                                            .mutate = mutate};

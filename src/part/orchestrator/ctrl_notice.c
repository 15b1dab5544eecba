/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Says, once for each object, that nothing here acts on it yet: Ingresses and NetworkPolicies are
 * kept as data. An Event, so that whoever describes the object reads it.
 */
#include <string.h>

#include "api/object.h"
#include "orchestrator_private.h"

static const struct notice {
    const char *kind, *reason, *text;
} notices[] = {
    {"Ingress", "NotEnforced",
     "No ingress controller runs in this cluster: nothing routes by it yet"},
    {"NetworkPolicy", "NotEnforced", "Network policies are not enforced by this cluster yet"},
};

static const struct notice *notice_of(const struct kind *k)
{
    for (size_t i = 0; i < ARRAY_SIZE(notices); i++) {
        if (strcmp(k->kind, notices[i].kind) == 0 && strcmp(k->group, "networking.k8s.io") == 0) {
            return &notices[i];
        }
    }
    return NULL;
}

/* Only what is made while this runs: the first listing brings what was told of before. */
static void changed(struct controller *c, const struct change *change)
{
    const struct notice *n = notice_of(change->kind);
    if (n && change->object && !change->was && orchestrator_synced(c->o)) {
        recorder_event(c->recorder, change->kind, change->object, "Warning", n->reason, n->text);
    }
}

const struct controller_ops notice_controller = {
    .name = "selvedge",
    .size = sizeof(struct controller),
    .workers = 1,
    .changed = changed,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* What plug-ins remember: see state.h. */
#include "api/admission/state.h"

#include "api/admission/policy.h"
#include "api/admission/quota.h"
#include "api/admission/service.h"
#include "api/alloc/service_alloc.h"
#include "api/handler_private.h"
#include "api/server_private.h"

int admission_start(struct api_server *s, struct err *err)
{
    int rc = service_state_start(s, err);
    if (rc < 0) {
        return rc;
    }
    s->admission.quota = quota_ledger_new(s);
    if (!s->admission.quota) {
        return err_set(err, -E_NOMEM, "out of memory");
    }
    s->admission.policies = policy_set_new(s, err);
    return s->admission.policies ? 0 : -E_NOMEM;
}

void admission_stop(struct api_server *s)
{
    policy_set_free(TAKE_PTR(s->admission.policies));
    quota_ledger_free(TAKE_PTR(s->admission.quota));
    service_alloc_free(TAKE_PTR(s->admission.services));
}

void admission_wrote(struct api_server *s, const struct kind *k, const char *ns, const char *name,
                     const struct json *obj, int64_t rev)
{
    k = kind_storage(k);
    service_state_wrote(s, k, ns, name, obj);
    quota_ledger_wrote(s->admission.quota, k, ns, name, obj, rev);
}

void admission_lost(struct api_server *s, const struct kind *k, const char *ns, const char *name)
{
    struct arena a;
    k = kind_storage(k);
    arena_init(&a, /* cap= */ 0);
    const char *key = api_key(&a, k, ns, name);
    struct store_item *it = key ? store_get_latest(s->store, str_of(key)) : NULL;
    struct json *obj = it ? handler_item_tree(&a, k, it) : NULL;
    service_state_wrote(s, k, ns, name, obj);
    quota_ledger_lost(s->admission.quota, k, ns, name);
    arena_fini(&a);
}

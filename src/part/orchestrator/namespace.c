/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile step of a namespace that is being deleted (Kubernetes
 * pkg/controller/namespace/deletion). */
#include "namespace.h"

#include <stdlib.h>
#include <string.h>

#include "api/object.h"
#include "base/mem.h"
#include "orchestrator_private.h"

#define RECHECK_MS 1000 /* pods end in their own time; their going is seen at once anyway */

static int64_t remaining(const struct namespace_in *in)
{
    int64_t n = 0;
    for (size_t i = 0; i < in->n; i++) {
        n += (int64_t)in->contents[i].n;
    }
    return n;
}

static void plan_content(const struct namespace_in *in, struct plan *plan)
{
    for (size_t i = 0; i < in->n; i++) {
        const struct namespace_content *c = &in->contents[i];
        for (size_t k = 0; k < c->n; k++) {
            if (!c->deleting[k]) {
                plan_delete(plan, c->kind, arena_strdup(plan->arena, c->items[k]->ns),
                            arena_strdup(plan->arena, c->items[k]->name),
                            arena_strdup(plan->arena, c->items[k]->uid));
            }
        }
    }
}

/* "pods. has 2 resource instances, secrets. has 1 resource instances" */
static const char *list_kinds(const struct namespace_in *in, struct arena *a)
{
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    for (size_t i = 0; i < in->n; i++) {
        const struct namespace_content *c = &in->contents[i];
        if (c->n > 0) {
            (void)buf_printf(&b, "%s%s.%s has %zu resource instances", buf_len(&b) ? ", " : "",
                             c->kind->plural, c->kind->group, c->n);
        }
    }
    return arena_str(a, buf_str(&b));
}

/* "example.dev/x in 2 resource instances" for the first finalizer found; "" when none holds. */
static const char *list_finalizers(const struct namespace_in *in, struct arena *a)
{
    const char *first = NULL;
    size_t n = 0;
    for (size_t i = 0; i < in->n; i++) {
        for (size_t k = 0; k < in->contents[i].n; k++) {
            const char *f = in->contents[i].finalizer[k];
            first = first ? first : f;
            n += f && strcmp(f, first) == 0;
        }
    }
    return first ? arena_printf(a, "%s in %zu resource instances", first, n) : "";
}

static bool set_conditions(const struct namespace_in *in, struct arena *a)
{
    bool left = remaining(in) > 0;
    const char *finalizers = list_finalizers(in, a);
    struct json *ns = in->ns;
    bool c =
        obj_condition_set(ns, "NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered",
                          "All resources successfully discovered", in->now);
    c |= obj_condition_set(ns, "NamespaceDeletionGroupVersionParsingFailure", "False",
                           "ParsedGroupVersions", "All legacy kube types successfully parsed",
                           in->now);
    c |= obj_condition_set(ns, "NamespaceDeletionContentFailure", "False", "ContentDeleted",
                           "All content successfully deleted, may be waiting on finalization",
                           in->now);
    c |= left ? obj_condition_set(
                    ns, "NamespaceContentRemaining", "True", "SomeResourcesRemain",
                    arena_printf(a, "Some resources are remaining: %s", list_kinds(in, a)), in->now)
              : obj_condition_set(ns, "NamespaceContentRemaining", "False", "ContentRemoved",
                                  "All content successfully removed", in->now);
    c |= finalizers && finalizers[0]
             ? obj_condition_set(
                   ns, "NamespaceFinalizersRemaining", "True", "SomeFinalizersRemain",
                   arena_printf(a, "Some content in the namespace has finalizers remaining: %s",
                                finalizers),
                   in->now)
             : obj_condition_set(ns, "NamespaceFinalizersRemaining", "False",
                                 "ContentHasNoFinalizers",
                                 "All content-preserving finalizers finished", in->now);
    return c;
}

static bool drop_finalizer(struct json *ns)
{
    struct json *list = json_path(ns, "spec.finalizers");
    for (size_t i = 0; i < json_len(list); i++) {
        if (strcmp(json_cstr(json_at(list, i), ""), "kubernetes") == 0) {
            json_remove(list, i);
            return true;
        }
    }
    return false;
}

void namespace_reconcile(const struct namespace_in *in, struct plan *plan, bool *ret_verify)
{
    const struct kind *kind = known_kinds()->ns;
    *ret_verify = false;
    if (!obj_deleting(in->ns) || json_len(json_path(in->ns, "spec.finalizers")) == 0) {
        return;
    }
    if (remaining(in) > 0) {
        plan_content(in, plan);
        plan_requeue(plan, RECHECK_MS);
        if (set_conditions(in, plan->arena)) {
            plan_update(plan, kind, in->ns, "status")->flags = ACTION_F_ABSENT_OK;
        }
    } else if (!in->verified) {
        *ret_verify = true;
    } else if (drop_finalizer(in->ns)) {
        plan_update(plan, kind, in->ns, "finalize")->flags = ACTION_F_ABSENT_OK;
    }
}

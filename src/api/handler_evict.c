/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The eviction subresource: a deletion that PodDisruptionBudgets may refuse.
 *
 * Budget, condition and deletion are computed from the newest state and submitted in one go, in
 * this order; two evictions at a time cannot both use the last disruption that is allowed.
 */
#include "api/admission/lookup.h"
#include "api/handler_private.h"
#include "api/selector.h"
#include "api/server_boot.h"
#include "api/server_private.h"
#include "base/clock.h"

#define DISRUPTED_MAX 2000

static bool is_ready(const struct json *pod)
{
    return obj_condition_true(pod, "Ready");
}

/* Pods that give nothing up by going. */
static bool budget_matters(const struct json *pod)
{
    const char *phase = json_path_cstr(pod, "status.phase", "");
    return !obj_deleting(pod) && !cstr_eq(phase, "Pending") && !cstr_eq(phase, "Succeeded") &&
           !cstr_eq(phase, "Failed");
}

static size_t budgets_of(struct handler_op *op, struct json **ret_first)
{
    struct lookup all = lookup_all(op->server, op->arena,
                                   kind_find("policy", "v1", "poddisruptionbudgets"), op->ns, NULL);
    size_t n = 0;
    for (size_t i = 0; i < all.n; i++) {
        struct selector *s = NULL;
        if (selector_from_json(op->arena, json_path(all.v[i], "spec.selector"), &s, NULL) == 0 &&
            selector_match_labels(s, obj_labels(op->old))) {
            *ret_first = n++ == 0 ? all.v[i] : *ret_first;
        }
    }
    return n;
}

static bool too_many(struct handler_op *op, const char *why, int64_t retry_s)
{
    struct status_about none = {0};
    struct json *s = status_failure(op->arena, 429, "TooManyRequests",
                                    "Cannot evict pod as it would violate the pod's disruption "
                                    "budget.",
                                    &none);
    struct json *details = json_ensure_object(s, "details");
    status_cause(s, "DisruptionBudget", why ? why : "", NULL);
    if (retry_s > 0) {
        json_set_int(details, "retryAfterSeconds", retry_s);
    }
    handler_fail(op, s);
    return false;
}

/* Whether the budget says nothing against a pod that is not ready anyway. */
static bool passes_unhealthy(const struct json *pdb, const struct json *pod)
{
    int64_t desired = json_path_i64(pdb, "status.desiredHealthy", 0);
    if (is_ready(pod)) {
        return false;
    }
    if (cstr_eq(json_path_cstr(pdb, "spec.unhealthyPodEvictionPolicy", ""), "AlwaysAllow")) {
        return true;
    }
    return desired > 0 && json_path_i64(pdb, "status.currentHealthy", 0) >= desired;
}

static bool check_budget(struct handler_op *op, const struct json *pdb)
{
    struct arena *a = op->arena;
    struct status_about about = {
        .group = "policy", .kind = "poddisruptionbudgets", .name = obj_name(pdb)};
    int64_t allowed = json_path_i64(pdb, "status.disruptionsAllowed", 0);
    if (json_path_i64(pdb, "status.observedGeneration", 0) < obj_generation(pdb)) {
        return too_many(op,
                        arena_printf(a,
                                     "The disruption budget %s is still being processed by the "
                                     "server.",
                                     obj_name(pdb)),
                        10);
    }
    if (allowed < 0 || json_len(json_path(pdb, "status.disruptedPods")) > DISRUPTED_MAX) {
        handler_fail(op, status_forbidden(a, &about,
                                          allowed < 0
                                              ? "pdb disruptions allowed is negative"
                                              : "DisruptedPods map too big - too many evictions "
                                                "not confirmed by PDB controller"));
        return false;
    }
    if (allowed == 0) {
        return too_many(
            op,
            arena_printf(a,
                         "The disruption budget %s needs %lld healthy pods and has %lld currently",
                         obj_name(pdb), (long long)json_path_i64(pdb, "status.desiredHealthy", 0),
                         (long long)json_path_i64(pdb, "status.currentHealthy", 0)),
            0);
    }
    return true;
}

static bool use_budget(struct handler_op *op, struct json *pdb)
{
    char now[TIME_TEXT_SIZE];
    struct json *status = json_ensure_object(pdb, "status");
    int64_t allowed = json_path_i64(status, "disruptionsAllowed", 0) - 1;
    int64_t rev = obj_rev(pdb);
    json_set_int(status, "disruptionsAllowed", allowed);
    json_set_str(json_ensure_object(status, "disruptedPods"), op->name, time_text(wall_now(), now));
    if (allowed == 0) {
        (void)obj_condition_set(pdb, "DisruptionAllowed", "False", "InsufficientPods", "",
                                wall_now());
    }
    return server_boot_put(op->server, kind_find("policy", "v1", "poddisruptionbudgets"), pdb,
                           rev) == 0;
}

static bool mark_pod(struct handler_op *op)
{
    struct json *pod = json_clone(op->arena, op->old);
    if (!obj_condition_set(pod, "DisruptionTarget", "True", "EvictionByEvictionAPI",
                           "Eviction API: evicting", wall_now())) {
        return !arena_failed(op->arena);
    }
    return server_boot_put(op->server, op->kind, pod, op->old_rev) == 0;
}

static bool allowed_by_budgets(struct handler_op *op)
{
    struct json *pdb = NULL;
    size_t n = budget_matters(op->old) ? budgets_of(op, &pdb) : 0;
    if (n > 1) {
        handler_fail(op, status_failure(op->arena, 500, "InternalError",
                                        "This pod has more than one PodDisruptionBudget, which the "
                                        "eviction subresource does not support.",
                                        NULL));
        return false;
    }
    if (n == 0 || passes_unhealthy(pdb, op->old)) {
        return true;
    }
    if (!check_budget(op, pdb)) {
        return false;
    }
    if (!op->opt.dry_run && !use_budget(op, pdb)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return false;
    }
    return true;
}

static void eviction_done(struct handler_op *op)
{
    op->done = *(handler_done_fn **)op->impl;
    if (op->http < 300) {
        store_item_unref(op->item);
        op->item = NULL;
        op->http = 201;
        op->result = status_success(op->arena, 201, /* about= */ NULL);
    }
    op->done(op);
}

/* What would refuse the deletion is asked before a budget is used. */
static bool check_body(struct handler_op *op)
{
    struct status_about about = handler_about(op);
    const char *name = obj_name(op->body);
    const char *uid = op->del.uid, *rv = op->del.resource_version;
    if (*name && !cstr_eq(name, op->name)) {
        handler_fail_code(op, -E_INVAL, "name in URL does not match name in Eviction object");
        return false;
    }
    if ((uid && !cstr_eq(uid, obj_uid(op->old))) || (rv && !cstr_eq(rv, obj_rv(op->old)))) {
        handler_fail(op, status_conflict(op->arena, &about,
                                         "the pod is not the one that the preconditions name"));
        return false;
    }
    op->del.resource_version = NULL; /* the condition moves it */
    return true;
}

void handler_evict(struct handler_op *op)
{
    handler_done_fn **done = arena_alloc(op->arena, sizeof(*done));
    if (!done) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    handler_read_delete_options(op, json_get(op->body, "deleteOptions"));
    if (!handler_load(op) || !check_body(op) || !allowed_by_budgets(op)) {
        return;
    }
    if (!op->opt.dry_run && !obj_deleting(op->old) && !mark_pod(op)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    *done = op->done;
    op->impl = done;
    op->done = eviction_done;
    handler_delete(op);
}

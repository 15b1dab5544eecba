/* SPDX-License-Identifier: Apache-2.0 */
/* Cells of what governs others: quotas, budgets, roles, certificates, flows, metrics. */
#include <stdlib.h>

#include "api/object.h"
#include "api/quantity.h"
#include "api/table_private.h"
#include "base/mem.h"

/* ---- quotas and budgets ---- */

static int compare_members(const void *a, const void *b)
{
    const struct json_member *const *x = a, *const *y = b;
    return strcmp((*x)->key, (*y)->key);
}

/* "cpu: 1/2, memory: 1Gi/4Gi" of the resources that are limits, or of the others. */
static struct json *quota(const struct cell_input *in, bool limits)
{
    const struct json *hard = json_path(in->obj, "status.hard");
    const struct json *used = json_path(in->obj, "status.used");
    const struct json_member **sorted =
        arena_alloc(in->arena, (json_len(hard) + 1) * sizeof(*sorted));
    const char *all = "";
    size_t n = 0;
    if (!sorted) {
        return NULL;
    }
    JSON_FOR_EACH_MEMBER (m, hard) {
        if (str_starts(str_of(m->key), "limits.") == limits) {
            sorted[n++] = m;
        }
    }
    qsort(sorted, n, sizeof(*sorted), compare_members);
    for (size_t i = 0; i < n && all; i++) {
        all = arena_printf(in->arena, "%s%s%s: %s/%s", all, *all ? ", " : "", sorted[i]->key,
                           json_cstr(json_get(used, sorted[i]->key), "0"),
                           json_cstr(sorted[i]->value, "0"));
    }
    return json_string(in->arena, all ? all : "");
}

struct json *cell_quota_requests(const struct cell_input *in)
{
    return quota(in, false);
}

struct json *cell_quota_limits(const struct cell_input *in)
{
    return quota(in, true);
}

static struct json *number_or_percentage(const struct cell_input *in, const char *path)
{
    const struct json *v = json_path(in->obj, path);
    return json_is(v, JSON_INT) ? json_printf(in->arena, "%lld", (long long)json_i64(v, 0))
                                : json_string(in->arena, json_cstr(v, "N/A"));
}

struct json *cell_pdb_min(const struct cell_input *in)
{
    return number_or_percentage(in, "spec.minAvailable");
}

struct json *cell_pdb_max(const struct cell_input *in)
{
    return number_or_percentage(in, "spec.maxUnavailable");
}

struct json *cell_priority_default(const struct cell_input *in)
{
    return json_bool(in->arena, json_path_true(in->obj, "globalDefault", false));
}

/* ---- role bindings ---- */

struct json *cell_binding_role(const struct cell_input *in)
{
    const struct json *ref = json_get(in->obj, "roleRef");
    return json_printf(in->arena, "%s/%s", json_path_cstr(ref, "kind", ""),
                       json_path_cstr(ref, "name", ""));
}

static struct json *subjects(const struct cell_input *in, const char *kind)
{
    const char *all = "";
    bool spaced = cstr_eq(kind, "ServiceAccount");
    JSON_FOR_EACH (s, json_get(in->obj, "subjects")) {
        if (all && cstr_eq(json_path_cstr(s, "kind", ""), kind)) {
            all = arena_printf(in->arena, "%s%s%s%s%s", all, *all ? ", " : "",
                               spaced ? json_path_cstr(s, "namespace", "") : "", spaced ? "/" : "",
                               json_path_cstr(s, "name", ""));
        }
    }
    return json_string(in->arena, all ? all : "");
}

struct json *cell_binding_users(const struct cell_input *in)
{
    return subjects(in, "User");
}

struct json *cell_binding_groups(const struct cell_input *in)
{
    return subjects(in, "Group");
}

struct json *cell_binding_service_accounts(const struct cell_input *in)
{
    return subjects(in, "ServiceAccount");
}

/* ---- certificates, webhooks ---- */

struct json *cell_csr_duration(const struct cell_input *in)
{
    char text[AGE_TEXT_SIZE];
    const struct json *s = json_path(in->obj, "spec.expirationSeconds");
    return s ? json_string(in->arena, age_text(json_i64(s, 0), text)) : cell_text(in, "");
}

struct json *cell_csr_condition(const struct cell_input *in)
{
    bool denied = obj_condition(in->obj, "Denied"), approved = obj_condition(in->obj, "Approved");
    bool failed = obj_condition(in->obj, "Failed");
    bool issued = *json_path_cstr(in->obj, "status.certificate", "") != '\0';
    const char *decision = denied ? "Denied" : approved ? "Approved" : "Pending";
    return json_printf(in->arena, "%s%s%s", decision, failed ? ",Failed" : "",
                       issued ? ",Issued" : "");
}

/* A LabelSelector as Go prints the struct, which is what users of Kubernetes see. */
static struct json *selector_in_go(struct arena *a, const struct json *selector)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    (void)buf_puts(&out, "&LabelSelector{MatchLabels:map[string]string{");
    JSON_FOR_EACH_MEMBER (m, json_get(selector, "matchLabels")) {
        (void)buf_printf(&out, "%s: %s,", m->key, json_cstr(m->value, ""));
    }
    (void)buf_puts(&out, "},MatchExpressions:[]LabelSelectorRequirement{");
    JSON_FOR_EACH (r, json_get(selector, "matchExpressions")) {
        (void)buf_printf(&out, "LabelSelectorRequirement{Key:%s,Operator:%s,Values:[",
                         json_path_cstr(r, "key", ""), json_path_cstr(r, "operator", ""));
        const struct json *values = json_get(r, "values");
        for (size_t i = 0; i < json_len(values); i++) {
            (void)buf_printf(&out, "%s%s", i ? " " : "", json_cstr(json_at(values, i), ""));
        }
        (void)buf_puts(&out, "],},");
    }
    (void)buf_puts(&out, "},}");
    return json_string_n(a, buf_str(&out));
}

struct json *cell_policy_validations(const struct cell_input *in)
{
    return json_int(in->arena, (int64_t)json_len(json_path(in->obj, "spec.validations")));
}

struct json *cell_policy_param_kind(const struct cell_input *in)
{
    const struct json *kind = json_path(in->obj, "spec.paramKind");
    return kind ? json_printf(in->arena, "%s/%s", json_path_cstr(kind, "apiVersion", ""),
                              json_path_cstr(kind, "kind", ""))
                : json_string(in->arena, "<unset>");
}

struct json *cell_policy_param_ref(const struct cell_input *in)
{
    const struct json *ref = json_path(in->obj, "spec.paramRef");
    const char *name = json_path_cstr(ref, "name", ""), *ns = json_path_cstr(ref, "namespace", "");
    if (!*name) {
        return json_get(ref, "selector") ? selector_in_go(in->arena, json_get(ref, "selector"))
                                         : json_string(in->arena, "<unset>");
    }
    return json_printf(in->arena, "%s/%s", *ns ? ns : "*", name);
}

struct json *cell_webhooks(const struct cell_input *in)
{
    return json_int(in->arena, (int64_t)json_len(json_get(in->obj, "webhooks")));
}

/* ---- priority and fairness ---- */

struct json *cell_flow_distinguisher(const struct cell_input *in)
{
    return cell_text(in, json_path_cstr(in->obj, "spec.distinguisherMethod.type", ""));
}

struct json *cell_flow_missing(const struct cell_input *in)
{
    const struct json *dangling = obj_condition(in->obj, "Dangling");
    return json_string(in->arena, json_path_cstr(dangling, "status", "?"));
}

static struct json *number_or_none(const struct cell_input *in, const struct json *n)
{
    return n ? json_printf(in->arena, "%lld", (long long)json_i64(n, 0)) : cell_text(in, "");
}

struct json *cell_level_shares(const struct cell_input *in)
{
    const struct json *limited = json_path(in->obj, "spec.limited.nominalConcurrencyShares");
    return number_or_none(in, limited ? limited
                                      : json_path(in->obj, "spec.exempt.nominalConcurrencyShares"));
}

struct json *cell_level_queues(const struct cell_input *in)
{
    return number_or_none(in, json_path(in->obj, "spec.limited.limitResponse.queuing.queues"));
}

struct json *cell_level_hand_size(const struct cell_input *in)
{
    return number_or_none(in, json_path(in->obj, "spec.limited.limitResponse.queuing.handSize"));
}

struct json *cell_level_queue_length(const struct cell_input *in)
{
    return number_or_none(
        in, json_path(in->obj, "spec.limited.limitResponse.queuing.queueLengthLimit"));
}

/* ---- metrics ---- */

static struct json *usage(const struct cell_input *in, const char *resource)
{
    struct quantity q, sum = quantity_of(0, QUANTITY_DECIMAL_SI);
    char text[QUANTITY_TEXT_SIZE];
    const struct json *own = json_get(json_get(in->obj, "usage"), resource);
    if (own) {
        return json_string(in->arena, json_cstr(own, "0"));
    }
    bool first = true;
    JSON_FOR_EACH (c, json_get(in->obj, "containers")) {
        const struct json *part = json_get(json_get(c, "usage"), resource);
        if (part && quantity_from_json(part, &q, NULL) == 0) {
            sum = first ? q : quantity_add(sum, q);
            first = false;
        }
    }
    return json_string(in->arena, quantity_print(sum, text));
}

struct json *cell_metrics_cpu(const struct cell_input *in)
{
    return usage(in, "cpu");
}

struct json *cell_metrics_memory(const struct cell_input *in)
{
    return usage(in, "memory");
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ValidatingAdmissionPolicy: asks every policy in force whether a write may be.
 *
 *     policy x binding x parameter --conditions--> validations --> allow | deny | warn | audit
 *
 * What a policy decides is carried out as its binding says (validationActions). An expression that
 * cannot be evaluated is a refusal, unless failurePolicy is Ignore. There is no audit log: what
 * would go there is logged.
 */
#include "api/admission/policy.h"

#include "api/admission/plugins.h"
#include "api/admission/review.h"
#include "api/auth/authz.h"
#include "api/handler_private.h"
#include "api/server_private.h"
#include "base/log.h"

#define GROUP "admissionregistration.k8s.io"

enum { MESSAGE_MAX = 5 * 1024 };

/* One policy with one binding and one parameter, while it is asked. */
struct question {
    struct admission *ad;
    const struct policy *policy;
    const struct policy_binding *binding;
    struct cel_admission_run run;
};

/* ---- decisions ---- */

/* The first refusal is the one that is told. */
static void refuse(struct admission *ad, const char *policy, const char *binding,
                   const char *reason, const char *message)
{
    struct arena *a = ad->op->arena;
    struct status_about about = handler_about(ad->op);
    const char *text =
        binding
            ? arena_printf(a,
                           "ValidatingAdmissionPolicy '%s' with binding '%s' denied request: "
                           "%s",
                           policy, binding, message)
            : arena_printf(a, "ValidatingAdmissionPolicy '%s' denied request: %s", policy, message);
    if (ad->refusal) {
        return;
    }
    struct json *status = status_forbidden(a, &about, text ? text : "out of memory");
    json_set_str(status, "reason", reason);
    json_set_int(status, "code",
                 cstr_eq(reason, "Forbidden")               ? 403
                 : cstr_eq(reason, "RequestEntityTooLarge") ? 413
                                                            : 422);
    status_cause(status, "", text, "");
    (void)admission_refuse(ad, status);
}

static void carry_out(const struct question *q, const char *reason, const char *message)
{
    const struct policy_binding *b = q->binding;
    if (b->warn) {
        const char *text = arena_printf(q->ad->op->arena,
                                        "Validation failed for ValidatingAdmissionPolicy '%s' "
                                        "with binding '%s': %s",
                                        q->policy->name, b->name, message);
        admission_warn(q->ad, text ? text : "");
    }
    if (b->audit) {
        log_info("admission policy '%s' with binding '%s': user='%s' %s %s '%s/%s': %s",
                 q->policy->name, b->name, q->ad->op->user->name, admission_operation(q->ad),
                 q->ad->op->kind->plural, q->ad->op->ns, q->ad->op->name, message);
    }
    if (b->deny) {
        refuse(q->ad, q->policy->name, b->name, reason, message);
    }
}

/* Something could not be evaluated. */
static void failed(const struct question *q, const char *why)
{
    if (!q->policy->ignore_failure) {
        carry_out(q, "Invalid", why);
    }
}

/* The policy or its binding is not in order. Such a refusal knows no action but Deny. */
static void misconfigured(struct admission *ad, const struct policy *p,
                          const struct policy_binding *b, const char *why)
{
    const char *text =
        arena_printf(ad->op->arena, "failed to configure %s: %s", b ? "binding" : "policy", why);
    if (!p->ignore_failure) {
        refuse(ad, p->name, b ? b->name : NULL, "Invalid", text ? text : "out of memory");
    }
}

/* ---- asking ---- */

static struct str trim(struct str s)
{
    static const char blanks[] = " \t\r\n\v\f";
    while (s.n && strchr(blanks, s.p[0])) {
        s = str_n(s.p + 1, s.n - 1);
    }
    while (s.n && strchr(blanks, s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

/* What is said when a validation fails: messageExpression, message, or the expression itself. NULL
 * when the budget is used up, with err. */
static const char *message_of(struct question *q, const struct json *validation,
                              const struct cel_program *program, struct err *err)
{
    struct arena *a = q->ad->op->arena;
    struct str text = trim(json_text(json_get(validation, "message")));
    struct cel_value v;
    struct str source = json_text(json_get(validation, "messageExpression"));
    int rc = program ? cel_admission_eval(&q->run, program, source, &v, err) : -E_INVAL;
    if (rc == -E_LIMIT) {
        (void)err_wrap(err, rc, "failed messageExpression");
        return NULL;
    }
    if (rc == 0 && v.kind == CEL_STRING) {
        struct str said = trim(str_n(v.s, v.n));
        bool fits = said.n > 0 && said.n <= MESSAGE_MAX && !memchr(said.p, '\n', said.n);
        text = fits ? said : text;
    }
    if (text.n == 0) {
        struct str expression = trim(json_text(json_get(validation, "expression")));
        return arena_printf(a, "failed expression: " STR_FMT, STR_ARG(expression));
    }
    return arena_str(a, text);
}

/* One validation. False when the budget is used up: nothing more is asked. */
static bool ask_validation(struct question *q, size_t i)
{
    const struct json *v = json_at(json_get(q->policy->spec, "validations"), i);
    struct cel_value result;
    struct err err = {0};
    int rc = cel_admission_eval(&q->run, q->policy->validations[i],
                                json_text(json_get(v, "expression")), &result, &err);
    if (rc < 0) {
        failed(q, err.text);
        return rc == -E_INVAL;
    }
    if (result.kind == CEL_BOOL && result.b) {
        return true;
    }
    const char *message = message_of(q, v, q->policy->messages[i], &err);
    if (!message) {
        failed(q, err.text);
        return false;
    }
    carry_out(q, json_path_cstr(v, "reason", "Invalid"), message);
    return true;
}

static void ask_annotation(struct question *q, size_t i)
{
    const struct json *a = json_at(json_get(q->policy->spec, "auditAnnotations"), i);
    struct cel_value v;
    struct err err = {0};
    if (cel_admission_eval(&q->run, q->policy->annotations[i],
                           json_text(json_get(a, "valueExpression")), &v, &err) < 0) {
        if (!q->policy->ignore_failure) {
            refuse(q->ad, q->policy->name, q->binding->name, "Invalid", err.text);
        }
        return;
    }
    struct str value = v.kind == CEL_STRING ? trim(str_n(v.s, v.n)) : STR_NULL;
    if (value.n > 0) {
        log_info("admission policy '%s': %s='" STR_FMT "'", q->policy->name,
                 json_path_cstr(a, "key", ""), STR_ARG(value));
    }
}

/* Whether the policy's conditions hold; what could not be evaluated is dealt with. */
static bool applies(struct question *q)
{
    struct err err = {0};
    cel_admission_budget(&q->run, CEL_COST_PER_CONDITIONS);
    switch (cel_admission_match(&q->run, json_get(q->policy->spec, "matchConditions"),
                                q->policy->conditions, &err)) {
    case CEL_MATCH_YES:
        return true;
    case CEL_MATCH_NO:
        return false;
    case CEL_MATCH_FAILED:
        failed(q, err.text);
        break;
    }
    return false;
}

static void ask(struct question *q, const struct json *request, const struct json *ns,
                const struct json *param)
{
    struct arena *a = q->ad->op->arena;
    const struct cel_authorizer authorizer = admission_authorizer(q->ad->op);
    const struct cel_admission_input in = {
        .request = request, .params = param, .ns = ns, .authorizer = &authorizer};
    if (cel_admission_start(&q->run, q->policy->env, a, &in) < 0) {
        failed(q, "out of memory");
        return;
    }
    if (!applies(q)) {
        return;
    }
    size_t n = json_len(json_get(q->policy->spec, "validations"));
    cel_admission_budget(&q->run, CEL_COST_PER_POLICY);
    for (size_t i = 0; i < n && ask_validation(q, i); i++) {
    }
    n = json_len(json_get(q->policy->spec, "auditAnnotations"));
    cel_admission_budget(&q->run, CEL_COST_PER_POLICY);
    for (size_t i = 0; i < n; i++) {
        ask_annotation(q, i);
    }
}

/* ---- the way through ---- */

static void ask_binding(struct admission *ad, const struct policy *p,
                        const struct policy_binding *b, const struct json *request,
                        const struct json *ns)
{
    struct json **params = NULL;
    struct err err = {0};
    size_t n = 0;
    if (policy_params(ad, p, b, &params, &n, &err) < 0) {
        misconfigured(ad, p, b, err.text);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct question q = {.ad = ad, .policy = p, .binding = b};
        ask(&q, request, ns, params[i]);
    }
}

static void ask_policy(struct admission *ad, const struct policy *p, const struct json *ns)
{
    const struct kind *as = p->n_bindings ? admission_matches(&p->match, ad) : NULL;
    const struct json *request = NULL;
    for (size_t i = 0; as && i < p->n_bindings; i++) {
        const struct policy_binding *b = &p->bindings[i];
        if (b->narrowed && !admission_matches(&b->match, ad)) {
            continue;
        }
        if (p->problem) {
            misconfigured(ad, p, NULL, p->problem);
            return;
        }
        request = request ? request : admission_request(ad, as, NULL);
        ask_binding(ad, p, b, request, ns);
    }
}

/* ---- who may refer to parameters ---- */

/* The user as Go prints him, which is what users of Kubernetes see. */
static const char *user_in_go(struct arena *a, const struct api_user *u)
{
    const char *groups = "";
    for (size_t i = 0; u->groups[i] && groups; i++) {
        groups = arena_printf(a, "%s%s%s", groups, i ? " " : "", u->groups[i]);
    }
    return arena_printf(a, "&{%s %s [%s] map[]}", u->name, u->uid ? u->uid : "",
                        groups ? groups : "");
}

/* Whether the writer may read what is of the kind; the resource of an unknown one is *. */
static bool may_get(struct admission *ad, const struct json *kind, const char *ns, const char *name)
{
    const char *version = json_path_cstr(kind, "apiVersion", NULL);
    const struct kind *k = kind_find_api(version ? version : "", json_path_cstr(kind, "kind", ""));
    struct str group = STR_NULL;
    bool grouped = version && str_cut(str_of(version), '/', &group, NULL);
    struct authz_attrs q = {.user = ad->op->user,
                            .verb = "get",
                            .group = !version  ? "*"
                                     : grouped ? arena_str(ad->op->arena, group)
                                               : "",
                            .resource = k ? k->plural : "*",
                            .subresource = "",
                            .ns = ns,
                            .name = name};
    return q.group && authz_ask(ad->op->server, ad->op->arena, &q, NULL) == 0;
}

static bool forbid_field(struct admission *ad, const char *path, const char *why)
{
    struct field_errors e;
    struct status_about about = handler_about_kind(ad->op, obj_name(ad->obj));
    field_errors_init(&e, ad->op->arena);
    field_error(&e, FIELD_FORBIDDEN, path, NULL, why);
    return admission_refuse(ad, status_invalid(ad->op->arena, &about, &e));
}

/* Through the messages of a policy its writer reads its parameters, so he must be allowed to. */
static bool policy_allowed(struct admission *ad)
{
    const struct json *kind = json_path(ad->obj, "spec.paramKind");
    const char *user = user_in_go(ad->op->arena, ad->op->user);
    if (!kind || json_equal(kind, json_path(ad->old, "spec.paramKind")) ||
        may_get(ad, kind, "*", "*")) {
        return true;
    }
    return forbid_field(ad, "spec.paramKind",
                        arena_printf(ad->op->arena,
                                     "user %s must have \"get\" permission on all objects of the "
                                     "referenced paramKind (kind=%s, apiVersion=%s)",
                                     user, json_path_cstr(kind, "kind", ""),
                                     json_path_cstr(kind, "apiVersion", "")));
}

static bool binding_allowed(struct admission *ad)
{
    const struct json *spec = json_get(ad->obj, "spec"), *ref = json_get(spec, "paramRef");
    const struct json *before = json_get(ad->old, "spec");
    const char *user = user_in_go(ad->op->arena, ad->op->user);
    if (!ref || (json_equal(ref, json_get(before, "paramRef")) &&
                 json_equal(json_get(spec, "policyName"), json_get(before, "policyName")))) {
        return true;
    }
    const struct kind *policies = kind_find(GROUP, "v1", "validatingadmissionpolicies");
    const struct json *policy =
        admission_get(ad, policies, "", json_path_cstr(spec, "policyName", ""));
    if (may_get(ad, json_path(policy, "spec.paramKind"), json_path_cstr(ref, "namespace", ""),
                json_path_cstr(ref, "name", ""))) {
        return true;
    }
    return forbid_field(ad, "spec.paramRef",
                        arena_printf(ad->op->arena,
                                     "user %s does not have \"get\" permission on the object "
                                     "referenced by paramRef",
                                     user));
}

static bool validate(struct admission *ad)
{
    if (cstr_eq(ad->kind->group, GROUP)) { /* no policy may keep itself from being mended */
        if (cstr_eq(ad->kind->kind, "ValidatingAdmissionPolicy")) {
            return !ad->obj || *ad->subresource || policy_allowed(ad);
        }
        if (cstr_eq(ad->kind->kind, "ValidatingAdmissionPolicyBinding")) {
            return !ad->obj || binding_allowed(ad);
        }
    }
    size_t n = 0;
    struct policy_set *set = ad->op->server->admission.policies;
    const struct policy *all = set ? policy_set_all(set, &n) : NULL;
    const struct json *ns = NULL;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 && *ad->op->ns) {
            ns = admission_get(ad, kind_find("", "v1", "namespaces"), "", ad->op->ns);
        }
        ask_policy(ad, &all[i], ns);
    }
    return !ad->refusal && !arena_failed(ad->op->arena); /* a refusal may have failed, too */
}

const struct admission_plugin policy_plugin = {.name = "ValidatingAdmissionPolicy",
                                               .validate = validate};

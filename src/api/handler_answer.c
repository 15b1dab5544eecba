/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What code answers instead of the store: kinds with `stored: false` and subresources that make
 * something (see handler_answer_fn in handler.h). To answer one, add its row.
 */
#include "api/auth/review.h"
#include "api/defaults.h"
#include "api/handler_private.h"
#include "api/schema_check.h"
#include "api/stream/metrics_answer.h"
#include "base/mem.h"

/* POST /bindings is the old form of POST /pods/NAME/binding. */
static void binding(struct handler_op *op)
{
    const struct kind *pods = kind_find("", "v1", "pods");
    if (!*obj_name(op->body)) {
        handler_fail_code(op, -E_INVAL, "a binding needs the name of its pod");
        return;
    }
    op->name = obj_name(op->body);
    op->kind = pods;
    op->sub = kind_subresource(pods, "binding");
    handler_sub(op);
}

/* Sorted by group, resource and subresource. */
static const struct {
    const char *group, *plural, *sub;
    handler_answer_fn *fn;
} answers[] = {
    {"", "bindings", "", binding},
    {"", "serviceaccounts", "token", token_request_run},
    {"authentication.k8s.io", "selfsubjectreviews", "", review_self_subject},
    {"authentication.k8s.io", "tokenreviews", "", review_token},
    {"authorization.k8s.io", "localsubjectaccessreviews", "", review_local_access},
    {"authorization.k8s.io", "selfsubjectaccessreviews", "", review_self_access},
    {"authorization.k8s.io", "selfsubjectrulesreviews", "", review_self_rules},
    {"authorization.k8s.io", "subjectaccessreviews", "", review_subject_access},
    {"metrics.k8s.io", "nodes", "", metrics_answer_nodes},
    {"metrics.k8s.io", "pods", "", metrics_answer_pods},
};

static handler_answer_fn *find(const struct handler_op *op)
{
    const char *sub = op->sub ? op->sub->name : "";
    for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
        if (cstr_eq(answers[i].group, op->kind->group) &&
            cstr_eq(answers[i].plural, op->kind->plural) && cstr_eq(answers[i].sub, sub)) {
            return answers[i].fn;
        }
    }
    return NULL;
}

/* Brings the body of a create into Kubernetes' form. False when it has ended the operation. */
static bool check_body(struct handler_op *op)
{
    const struct schema_type *t = op->sub ? op->sub->body : op->kind->type;
    struct err err = {0};
    int code = schema_check_object(op->arena, t, op->body, /* report= */ NULL, &err);
    if (code < 0) {
        handler_fail_code(op, code, err.text);
        return false;
    }
    schema_defaults(op->arena, t, op->body);
    if (op->kind->namespaced) {
        json_set_str(obj_meta(op->body), "namespace", op->ns);
    }
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return false;
    }
    return true;
}

void handler_answer(struct handler_op *op)
{
    handler_answer_fn *fn = find(op);
    if (!fn) {
        handler_fail_code(op, -E_NOTSUP,
                          arena_printf(op->arena, "%s%s%s is not supported by this server",
                                       op->kind->plural, op->sub ? "/" : "",
                                       op->sub ? op->sub->name : ""));
        return;
    }
    if (op->verb != HANDLER_CREATE || check_body(op)) {
        fn(op);
    }
}

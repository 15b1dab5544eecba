/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kubernetes' authorization library: authorizer.group('apps').resource('deployments').check('get').
 *
 * Every step copies the question that has been gathered so far and adds to it; check() asks.
 */
#include "cel_fn.h"
#include "api/name.h"

/* A question on its way, behind the values of all four kinds of it. */
struct access {
    const struct cel_authorizer *authorizer;
    struct cel_access q;
};

static const struct cel_access nothing = {"", "", "", "", "", "", "", "", "", "", ""};

struct cel_value cel_authorizer(const struct cel_authorizer *z)
{
    return cel_opaque(CEL_AUTHORIZER, z);
}

static struct access *access_new(struct arena *a, const struct cel_authorizer *z,
                                 const struct cel_access *q)
{
    struct access *to = arena_zalloc(a, sizeof(*to));
    if (to) {
        *to = (struct access){z, *q};
    }
    return to;
}

struct cel_value cel_resource_check(struct arena *a, const struct cel_authorizer *z,
                                    const struct cel_access *q)
{
    return cel_opaque(CEL_RESOURCE_CHECK, access_new(a, z, q));
}

/* A text of the caller's, kept; NULL when memory is short. */
static const char *text_of(struct cel_run *r, const struct cel_value *v)
{
    return arena_str(r->a, cel_text(v));
}

/* The question behind a value, copied so that it can be added to. NULL with an error. */
static struct access *go_on(struct cel_run *r, const struct cel_value *from)
{
    const struct access *before = from->opaque;
    struct access *to = before ? access_new(r->a, before->authorizer, &before->q) : NULL;
    if (!to) {
        (void)cel_no_memory(r);
    }
    return to;
}

static bool give(struct cel_run *r, enum cel_kind kind, const struct access *a,
                 struct cel_value *ret)
{
    *ret = cel_opaque(kind, a);
    return !arena_failed(r->a) || cel_no_memory(r);
}

/* ---- what is asked about ---- */

CEL_FN(access_path)
{
    struct access *to = access_new(r->a, args[0].opaque, &nothing);
    if (args[1].n == 0) {
        return cel_fail(r, "path must not be empty");
    }
    if (!to) {
        return cel_no_memory(r);
    }
    to->q.path = text_of(r, &args[1]);
    return give(r, CEL_PATH_CHECK, to, ret);
}

CEL_FN(access_group)
{
    struct access *to = access_new(r->a, args[0].opaque, &nothing);
    if (!to) {
        return cel_no_memory(r);
    }
    to->q.group = text_of(r, &args[1]);
    return give(r, CEL_GROUP_CHECK, to, ret);
}

struct account_authorizer {
    struct cel_authorizer z; /* what the expression goes on with */
    const struct cel_authorizer *asked;
    const char *ns, *name;
};

static void ask_for_account(void *arg, const struct cel_access *q, struct cel_access_answer *ret)
{
    const struct account_authorizer *account = arg;
    struct cel_access full = *q;
    full.account_ns = account->ns;
    full.account = account->name;
    account->asked->ask(account->asked->arg, &full, ret);
}

CEL_FN(access_account)
{
    struct account_authorizer *to = arena_zalloc(r->a, sizeof(*to));
    if (name_check_dns_label(cel_text(&args[1]))) {
        return cel_fail(r, "Invalid service account namespace");
    }
    if (name_check_dns_subdomain(cel_text(&args[2]))) {
        return cel_fail(r, "Invalid service account name");
    }
    if (!to) {
        return cel_no_memory(r);
    }
    *to = (struct account_authorizer){.z = {ask_for_account, to},
                                      .asked = args[0].opaque,
                                      .ns = text_of(r, &args[1]),
                                      .name = text_of(r, &args[2])};
    *ret = cel_authorizer(&to->z);
    return !arena_failed(r->a) || cel_no_memory(r);
}

CEL_FN(access_resource)
{
    struct access *to = go_on(r, &args[0]);
    if (args[1].n == 0) {
        return cel_fail(r, "resource must not be empty");
    }
    if (to) {
        to->q.resource = text_of(r, &args[1]);
    }
    return to && give(r, CEL_RESOURCE_CHECK, to, ret);
}

/* name_: the member of the question that the function sets. */
#define ADDS(function, member)                             \
    CEL_FN(function)                                       \
    {                                                      \
        struct access *to = go_on(r, &args[0]);            \
        if (to) {                                          \
            to->q.member = text_of(r, &args[1]);           \
        }                                                  \
        return to && give(r, CEL_RESOURCE_CHECK, to, ret); \
    }

ADDS(access_subresource, subresource)
ADDS(access_namespace, ns)
ADDS(access_name, name)
ADDS(access_field_selector, field_selector)
ADDS(access_label_selector, label_selector)

/* ---- the answer ---- */

CEL_FN(access_check)
{
    struct access *to = go_on(r, &args[0]);
    struct cel_access_answer *answer = arena_zalloc(r->a, sizeof(*answer));
    if (!to || !answer) {
        return cel_no_memory(r);
    }
    to->q.verb = text_of(r, &args[1]);
    if (arena_failed(r->a)) {
        return cel_no_memory(r);
    }
    to->authorizer->ask(to->authorizer->arg, &to->q, answer);
    *ret = cel_opaque(CEL_DECISION, answer);
    return true;
}

static const struct cel_access_answer *answer_of(const struct cel_value *v)
{
    return v->opaque;
}

CEL_FN(decision_allowed)
{
    *ret = cel_bool(answer_of(&args[0])->allowed);
    return true;
}

CEL_FN(decision_reason)
{
    *ret = cel_string(str_of(answer_of(&args[0])->reason));
    return true;
}

CEL_FN(decision_errored)
{
    *ret = cel_bool(answer_of(&args[0])->error != NULL);
    return true;
}

CEL_FN(decision_error)
{
    const char *error = answer_of(&args[0])->error;
    *ret = cel_string(str_of(error ? error : ""));
    return true;
}

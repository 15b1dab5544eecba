/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calling admission webhooks.
 *
 *     mutating:   hook 1 -> patch -> hook 2 -> patch ... -> (IfNeeded: once more) -> next
 *     validating: all hooks at once -> next, or the first refusal
 *
 * While hooks are waited for the stored object may change. Then a patch or a deletion starts again
 * from the newest state, and an update is a conflict.
 */
#include "api/admission/webhook.h"

#include "api/admission/review.h"
#include "api/cel/cel_admission.h"
#include "api/defaults.h"
#include "api/handler_private.h"
#include "api/patch.h"
#include "api/schema_check.h"
#include "api/server_private.h"
#include "base/encode.h"
#include "base/log.h"

#define RESTARTS 5

struct hook_call {
    struct admission_run *run;
    const struct webhook *hook;
    struct webhook_call *call; /* while it is under way */
    const char *uid;
};

struct admission_run {
    struct handler_op *op;
    struct json *obj;
    enum server_write verb;
    const struct kind *kind; /* as stored */
    const char *subresource;
    bool mutating, again, changed;
    admission_next_fn *next;
    struct hook_call *calls;
    size_t n, at, running;
    size_t last_change; /* the hook that changed the object last */
    struct json *refusal;
};

struct webhooks {
    struct webhook_set *set;
    struct webhook_pool *pool;
};

/* ---- the review ---- */

static struct json *review_of(const struct admission_run *run, const struct kind *as,
                              const char *uid)
{
    const struct admission ad = {.op = run->op,
                                 .verb = run->verb,
                                 .kind = run->kind,
                                 .subresource = run->subresource,
                                 .obj = run->obj,
                                 .old = run->op->old};
    struct json *review = json_object(run->op->arena);
    json_set_str(review, "kind", "AdmissionReview");
    json_set_str(review, "apiVersion", "admission.k8s.io/v1");
    json_set(review, "request", admission_request(&ad, as, uid));
    return review;
}

/* ---- the answer ---- */

static struct json *internal_error(struct arena *a, const char *hook, const char *why)
{
    return status_failure(
        a, 500, "InternalError",
        arena_printf(a, "Internal error occurred: failed calling webhook \"%s\": %s", hook, why),
        /* about= */ NULL);
}

/* The Status of a hook that said no. */
static struct json *denied(struct arena *a, const char *hook, const struct json *status)
{
    const char *message = json_path_cstr(status, "message", "");
    const char *reason = json_path_cstr(status, "reason", "");
    int64_t code = json_path_i64(status, "code", 0);
    const char *text =
        *message ? arena_printf(a, "admission webhook \"%s\" denied the request: %s", hook, message)
        : *reason ? arena_printf(a, "admission webhook \"%s\" denied the request: %s", hook, reason)
                  : arena_printf(
                        a, "admission webhook \"%s\" denied the request without explanation", hook);
    int http = code >= 400 && code < 600 ? (int)code : 403;
    struct json *s = status_failure(a, http,
                                    *reason       ? reason
                                    : http == 403 ? "Forbidden"
                                                  : NULL,
                                    text, /* about= */ NULL);
    json_set(s, "details", json_clone(a, json_get(status, "details")));
    return s;
}

/* What is left after a hook's patch must be an object of the kind again. NULL with err. The options
 * of a connection are read by who makes it. */
static struct json *patched(struct admission_run *run, const struct kind *k, const struct json *ops,
                            struct err *err)
{
    struct arena *a = run->op->arena;
    bool options = run->verb == SERVER_CONNECT;
    struct json *before = json_clone(a, run->obj), *after = NULL;
    before = options ? before : kind_to_served(a, k, before);
    if (patch_json(a, before, ops, &after, err) < 0 || options) {
        return after;
    }
    if (!k->custom && schema_check_object(a, k->type, after, NULL, err) < 0) {
        return NULL;
    }
    struct json *obj = kind_to_storage(a, k, after);
    if (!k->custom) {
        schema_defaults(a, kind_storage(k)->type, obj);
    }
    return obj;
}

static const char *apply_patch(struct admission_run *run, const struct json *response)
{
    struct arena *a = run->op->arena;
    struct str text = json_text(json_get(response, "patch"));
    CLEANUP(buf_finip) struct buf patch = BUF_INIT;
    struct json *ops = NULL;
    struct err err = {0};
    if (!cstr_eq(json_path_cstr(response, "patchType", ""), "JSONPatch")) {
        return "webhook returned response.patch but not response.patchType=JSONPatch";
    }
    if (base64_decode(&patch, text) < 0) {
        return "response.patch is not base64";
    }
    struct json *obj = json_parse(a, buf_str(&patch), NULL, &ops, &err) == 0
                           ? patched(run, run->calls[run->at].hook->as, ops, &err)
                           : NULL;
    if (!obj) {
        return arena_printf(a, "%s", err.text);
    }
    if (!json_equal(obj, run->obj)) {
        run->obj = obj;
        run->changed = true;
        run->last_change = run->at;
    }
    return NULL;
}

static void take_warnings(struct admission_run *run, const struct json *response)
{
    struct admission ad = {.op = run->op};
    JSON_FOR_EACH (w, json_get(response, "warnings")) {
        admission_warn(&ad, json_cstr(w, ""));
    }
}

/* NULL = fine; else why the answer is none. A refusal goes to run->refusal. */
static const char *read_answer(struct hook_call *c, struct str body)
{
    struct admission_run *run = c->run;
    struct arena *a = run->op->arena;
    struct json *review = NULL;
    struct err err = {0};
    if (json_parse(a, body, NULL, &review, &err) < 0) {
        return arena_printf(a, "%s", err.text);
    }
    const struct json *response = json_get(review, "response");
    if (!cstr_eq(json_path_cstr(review, "kind", ""), "AdmissionReview") ||
        !cstr_eq(json_path_cstr(review, "apiVersion", ""), "admission.k8s.io/v1")) {
        return "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview";
    }
    if (!response) {
        return "webhook response was absent";
    }
    if (!cstr_eq(json_path_cstr(response, "uid", ""), c->uid)) {
        return arena_printf(a, "expected response.uid=\"%s\", got \"%.64s\"", c->uid,
                            json_path_cstr(response, "uid", ""));
    }
    take_warnings(run, response);
    if (!json_path_true(response, "allowed", false)) {
        run->refusal = denied(a, c->hook->name, json_get(response, "status"));
        return NULL;
    }
    if (!json_get(response, "patch") || json_is(json_get(response, "patch"), JSON_NULL)) {
        return NULL;
    }
    return run->mutating && run->obj ? apply_patch(run, response)
                                     : "a validating webhook may not return a patch";
}

/* ---- the way through ---- */

static bool is_fresh(const struct admission_run *run)
{
    struct handler_op *op = run->op;
    const char *key = api_key(op->arena, op->kind, op->ns, op->name);
    struct store_item *it = key ? store_get_latest(op->server->store, str_of(key)) : NULL;
    bool stored = run->verb != SERVER_CREATE && run->verb != SERVER_CONNECT;
    return !stored || (it && it->rev == op->old_rev);
}

static void finish(struct admission_run *run)
{
    struct handler_op *op = run->op;
    op->admission = NULL;
    if (arena_failed(op->arena)) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
    } else if (run->refusal) {
        handler_fail(op, run->refusal);
    } else if (is_fresh(run)) {
        run->next(op, run->obj);
    } else if (run->verb != SERVER_UPDATE && op->restarts++ < RESTARTS) {
        handler_again(op);
    } else {
        struct status_about about = handler_about(op);
        handler_fail(op, status_outdated(op->arena, &about));
    }
}

static void call_hook(struct admission_run *run, size_t i);

/* After a change by a later hook, those that wish it see the object once more. */
static bool wants_again(const struct admission_run *run, size_t i)
{
    return !run->again || (run->calls[i].hook->reinvoke && run->last_change > i);
}

static void next_mutating(struct admission_run *run)
{
    for (;;) {
        while (run->at < run->n && !wants_again(run, run->at)) {
            run->at++;
        }
        if (run->at < run->n && !run->refusal) {
            call_hook(run, run->at);
            if (run->running > 0) {
                return;
            }
            continue; /* it was not called: spared or refused */
        }
        if (run->again || !run->changed || run->refusal) {
            finish(run);
            return;
        }
        run->again = true;
        run->at = 0;
    }
}

static void answered(void *arg, int code, struct str body, const struct err *err)
{
    struct hook_call *c = arg;
    struct admission_run *run = c->run;
    c->call = NULL;
    run->running--;
    const char *why = code < 0 ? arena_strdup(run->op->arena, err->text) : read_answer(c, body);
    if (why && !c->hook->ignore_failure && !run->refusal) {
        run->refusal = internal_error(run->op->arena, c->hook->name, why);
    } else if (why && c->hook->ignore_failure) {
        log_warn("webhook '%s': %s, ignoring", c->hook->name, why);
    }
    if (run->mutating) {
        run->at++;
        next_mutating(run);
    } else if (run->running == 0) {
        finish(run);
    }
}

/* A hook whose matchConditions do not hold is not called, nor one whose conditions fail: that is a
 * refusal, unless the hook's failures are ignored. */
static bool is_spared(struct admission_run *run, const struct webhook *hook,
                      const struct json *review)
{
    struct err err;
    const struct cel_authorizer authorizer = admission_authorizer(run->op);
    const struct cel_admission_input in = {.request = json_get(review, "request"),
                                           .authorizer = &authorizer};
    switch (
        cel_match_conditions(run->op->arena, json_get(hook->def, "matchConditions"), &in, &err)) {
    case CEL_MATCH_YES:
        return false;
    case CEL_MATCH_NO:
        return true;
    case CEL_MATCH_FAILED:
        break;
    }
    if (hook->ignore_failure) {
        log_warn("webhook '%s': %s, ignoring", hook->name, err.text);
    } else if (!run->refusal) {
        struct admission ad = {.op = run->op};
        (void)admission_forbid(&ad, err.text);
        run->refusal = ad.refusal;
    }
    return true;
}

/* Calls it, or refuses, or goes on to the next one where it need not be called. */
static void call_hook(struct admission_run *run, size_t i)
{
    struct hook_call *c = &run->calls[i];
    struct arena *a = run->op->arena;
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    char uid[UUID_TEXT_SIZE];
    uuid_make(uid);
    c->uid = arena_strdup(a, uid);
    const struct json *review = review_of(run, c->hook->as, c->uid);
    if (is_spared(run, c->hook, review)) {
        run->at += run->mutating;
        return;
    }
    if (!arena_failed(a) && json_print(&body, review) == 0) {
        c->call = webhook_call_start(run->op->server->webhooks->pool,
                                     json_get(c->hook->def, "clientConfig"), buf_str(&body),
                                     c->hook->timeout_ms, answered, c);
    }
    if (c->call) {
        run->running++;
    } else {
        run->refusal = status_code(a, -E_NOMEM, "out of memory");
    }
}

static bool side_effects_refused(struct admission_run *run)
{
    struct handler_op *op = run->op;
    for (size_t i = 0; i < run->n && op->opt.dry_run; i++) {
        if (run->calls[i].hook->side_effects) {
            handler_fail_code(op, -E_INVAL,
                              arena_printf(op->arena,
                                           "admission webhook \"%s\" does not support dry run",
                                           run->calls[i].hook->name));
            return true;
        }
    }
    return false;
}

static void start(struct admission_run *run)
{
    if (run->mutating) {
        next_mutating(run);
        return;
    }
    for (size_t i = 0; i < run->n; i++) {
        call_hook(run, i);
    }
    if (run->running == 0) {
        finish(run);
    }
}

void webhooks_run(const struct admission *ad, bool mutating, admission_next_fn *next)
{
    struct handler_op *op = ad->op;
    struct webhooks *w = op->server->webhooks;
    size_t n = 0;
    struct webhook *hooks = w ? webhooks_for(w->set, ad, mutating, &n) : NULL;
    if (n == 0) {
        next(op, ad->obj);
        return;
    }
    struct admission_run *run = arena_zalloc(op->arena, sizeof(*run));
    struct hook_call *calls = arena_zalloc(op->arena, n * sizeof(*calls));
    if (!hooks || !run || !calls) {
        handler_fail_code(op, -E_NOMEM, "out of memory");
        return;
    }
    *run = (struct admission_run){.op = op,
                                  .obj = ad->obj,
                                  .verb = ad->verb,
                                  .kind = ad->kind,
                                  .subresource = ad->subresource,
                                  .mutating = mutating,
                                  .next = next,
                                  .calls = calls,
                                  .n = n};
    for (size_t i = 0; i < n; i++) {
        calls[i] = (struct hook_call){.run = run, .hook = &hooks[i]};
    }
    if (!side_effects_refused(run)) {
        op->admission = run;
        start(run);
    }
}

void webhooks_cancel(struct handler_op *op)
{
    struct admission_run *run = op->admission;
    for (size_t i = 0; run && i < run->n; i++) {
        webhook_call_cancel(run->calls[i].call);
    }
    op->admission = NULL;
}

struct webhooks *webhooks_new(struct api_server *s, struct err *err)
{
    struct webhooks *w = mem_zalloc(sizeof(*w));
    if (!w) {
        (void)err_set(err, -ENOMEM, "out of memory");
        return NULL;
    }
    w->set = webhook_set_new(s, err);
    w->pool = w->set ? webhook_pool_new(s) : NULL;
    if (!w->pool) {
        webhooks_free(w);
        return NULL;
    }
    return w;
}

void webhooks_free(struct webhooks *w)
{
    if (w) {
        webhook_pool_free(w->pool);
        webhook_set_free(w->set);
        mem_free(w);
    }
}

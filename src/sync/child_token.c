/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the parent for tokens; see child_token.h. */
#include "sync/child_token.h"

#include "base/clock.h"
#include "base/mem.h"
#include "child_private.h"
#include "codec/json.h"

#define ANSWER_MS 10000
#define ANSWER_BYTES ((size_t)256 << 10)

struct child_token {
    struct http_fetch *fetch;
    child_token_fn *done;
    void *arg;
};

bool child_token_possible(const struct sync_child *c)
{
    return c && c->client && (c->sm.state == CHILD_SYNCING || c->sm.state == CHILD_LIVE);
}

static int code_of(int status)
{
    return status == 404   ? -E_NOENT
           : status == 403 ? -E_ACCESS
           : status == 409 ? -E_CONFLICT
           : status < 500  ? -E_INVALID
                           : -E_BUSY;
}

static int read_answer(struct arena *a, int status, struct str body, const char **ret_token,
                       int64_t *ret_end, struct err *err)
{
    struct json *o = NULL;
    struct wall end;
    int rc = json_parse(a, body, NULL, &o, NULL);
    if (status >= 300) {
        return err_set(err, code_of(status), "failed to fetch token: %s",
                       json_path_cstr(o, "message", "the parent gave no reason"));
    }
    const char *token = json_path_cstr(o, "status.token", "");
    if (rc < 0 || !*token ||
        time_parse(json_text(json_path(o, "status.expirationTimestamp")), &end) < 0) {
        return err_set(err, -E_PARSE, "failed to fetch token: the parent's answer is no token");
    }
    *ret_token = token;
    *ret_end = end.us;
    return 0;
}

static void answered(void *arg, int code, const struct http_response *resp, struct str body,
                     const struct err *err)
{
    struct child_token *t = arg;
    struct err why = {0};
    struct arena a;
    const char *token = NULL;
    int64_t end = 0;
    arena_init(&a, 0);
    if (code < 0) {
        (void)err_set(&why, code, "failed to fetch token: %s", err->text);
    } else {
        code = read_answer(&a, resp->status, body, &token, &end, &why);
    }
    child_token_fn *done = t->done;
    void *done_arg = t->arg;
    mem_free(t);
    done(done_arg, code, token, end, &why);
    arena_fini(&a);
}

static struct json *request(struct arena *a, const struct child_token_ask *ask)
{
    struct json *o = json_object(a);
    json_set_str(o, "kind", "TokenRequest");
    json_set_str(o, "apiVersion", "authentication.k8s.io/v1");
    struct json *spec = json_ensure_object(o, "spec");
    struct json *audiences = json_ensure_array(spec, "audiences");
    if (*ask->audience) {
        json_push(audiences, json_string(a, ask->audience));
    }
    json_set_int(spec, "expirationSeconds", ask->seconds);
    struct json *ref = json_ensure_object(spec, "boundObjectRef");
    json_set_str(ref, "kind", "Pod");
    json_set_str(ref, "apiVersion", "v1");
    json_set_str(ref, "name", ask->pod);
    json_set_str(ref, "uid", ask->uid);
    return o;
}

struct child_token *child_token_start(struct sync_child *c, const struct child_token_ask *ask,
                                      child_token_fn *done, void *arg)
{
    static const struct http_header headers[] = {
        {STR_LIT("content-type"), STR_LIT("application/json")},
        {STR_LIT("accept"), STR_LIT("application/json")}};
    struct child_token *t = child_token_possible(c) ? mem_zalloc(sizeof(*t)) : NULL;
    struct arena a;
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    if (!t) {
        return NULL;
    }
    *t = (struct child_token){.done = done, .arg = arg};
    arena_init(&a, 0);
    const char *path =
        arena_printf(&a, "/api/v1/namespaces/%s/serviceaccounts/%s/token", ask->ns, ask->account);
    if (path && json_print(&body, request(&a, ask)) == 0) {
        struct http_call_request req = {.method = "POST",
                                        .path = path,
                                        .headers = headers,
                                        .n_headers = ARRAY_SIZE(headers),
                                        .body = buf_str(&body),
                                        .timeout_ms = ANSWER_MS};
        t->fetch = http_fetch(c->client, &req, ANSWER_BYTES, answered, t);
    }
    arena_fini(&a);
    if (!t->fetch) {
        mem_free(t);
        return NULL;
    }
    return t;
}

void child_token_cancel(struct child_token *t)
{
    if (t) {
        http_fetch_cancel(t->fetch);
        mem_free(t);
    }
}

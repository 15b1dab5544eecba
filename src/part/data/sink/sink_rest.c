/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The REST sink: each message is the body of a request (url, method, bodyType, headers, timeout).
 * With a cache it carries the header Idempotency-Key (sink_key()), the same at every repetition,
 * unless the action names one itself. An answer of 5xx, 408 or 429 and a broken connection are
 * tried again; other refusals are not.
 */
#include <stdio.h>

#include "base/mem.h"
#include "part/data/endpoint.h"
#include "sink.h"

#define ANSWER_MAX ((size_t)64 << 10)
#define WINDOW 1
#define KEY_MAX 512

struct rest {
    struct sink sink;
    struct endpoint peer;
    struct http_header *headers;
    size_t n_headers; /* one more is allocated: the key */
    bool own_key;
    const char *method;
    int64_t timeout_ms;
    struct http_fetch *fetch;
    uint64_t sequence; /* under way */
};

static const char *type_of_body(const char *body_type)
{
    return cstr_eq(body_type, "text")         ? "text/plain"
           : cstr_eq(body_type, "html")       ? "text/html"
           : cstr_eq(body_type, "xml")        ? "application/xml"
           : cstr_eq(body_type, "javascript") ? "application/javascript"
           : cstr_eq(body_type, "form")       ? "application/x-www-form-urlencoded;param=value"
           : cstr_eq(body_type, "json")       ? "application/json"
           : cstr_eq(body_type, "binary")     ? "application/octet-stream"
           : cstr_eq(body_type, "none")       ? ""
                                              : NULL;
}

static int rest_open(struct sink *s, struct err *err)
{
    struct rest *r = (struct rest *)s;
    const char *body_type = json_cstr(json_get(s->conf, "bodyType"), "json");
    const char *type = type_of_body(body_type);
    if (!type) {
        return err_set(err, -E_INVAL,
                       "bodyType '%s' is not none, json, text, html, xml, javascript, form, "
                       "binary",
                       body_type);
    }
    int rc = endpoint_method(s->conf, "POST", &r->method, err);
    rc = rc < 0 ? rc : endpoint_time(s->conf, "timeout", 5000, &r->timeout_ms, err);
    rc = rc < 0 ? rc : endpoint_open(s->loop, &s->arena, s->conf, &r->peer, err);
    r->headers =
        rc < 0 ? NULL : arena_alloc(&s->arena, (r->peer.n_headers + 2) * sizeof(*r->headers));
    if (rc == 0 && !r->headers) {
        rc = err_sys(err, -E_NOMEM, "open a sink");
    }
    if (rc < 0) {
        return rc;
    }
    bool own = *type == '\0';
    for (size_t i = 0; i < r->peer.n_headers; i++) {
        own |= str_is(r->peer.headers[i].name, "content-type");
        r->own_key |= str_iis(r->peer.headers[i].name, "idempotency-key");
        r->headers[r->n_headers++] = r->peer.headers[i];
    }
    if (!own) {
        r->headers[r->n_headers++] = (struct http_header){STR_LIT("content-type"), str_of(type)};
    }
    return 0;
}

static void rest_close(struct sink *s)
{
    struct rest *r = (struct rest *)s;
    http_fetch_cancel(r->fetch);
    endpoint_close(&r->peer);
}

static void on_answer(void *arg, int code, const struct http_response *resp, struct str body,
                      const struct err *err)
{
    struct rest *r = arg;
    char why[256];
    r->fetch = NULL;
    if (code < 0) {
        sink_done(&r->sink, r->sequence, err_retryable(code) ? code : -E_UNREACH, err->text);
        return;
    }
    if (resp->status >= 200 && resp->status < 300) {
        sink_done(&r->sink, r->sequence, 0, NULL);
        return;
    }
    bool again = resp->status >= 500 || resp->status == 408 || resp->status == 429;
    (void)snprintf(why, sizeof(why), "the server answered %d: " STR_FMT, resp->status,
                   STR_ARG(str_n(body.p, MIN_OF(body.n, 160u))));
    sink_done(&r->sink, r->sequence, again ? -E_BUSY : -E_INVALID, why);
}

static void rest_send(struct sink *s, const struct sink_message *m)
{
    struct rest *r = (struct rest *)s;
    char key[KEY_MAX];
    size_t n = r->n_headers;
    if (!r->own_key && sink_key(s, m->sequence, key, sizeof(key))) {
        r->headers[n++] = (struct http_header){STR_LIT("idempotency-key"), str_of(key)};
    }
    const struct http_call_request req = {.method = r->method,
                                          .path = r->peer.path,
                                          .headers = r->headers,
                                          .n_headers = n,
                                          .body = m->bytes,
                                          .timeout_ms = r->timeout_ms};
    r->sequence = m->sequence;
    r->fetch = http_fetch(r->peer.client, &req, ANSWER_MAX, on_answer, r);
    if (!r->fetch) {
        sink_done(s, m->sequence, -E_NOMEM, NULL);
    }
}

const struct sink_ops sink_rest = {.type = "rest",
                                   .size = sizeof(struct rest),
                                   .window = WINDOW,
                                   .reads_conf = true,
                                   .open = rest_open,
                                   .close = rest_close,
                                   .send = rest_send};

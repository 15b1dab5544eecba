/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP pull source: asks a URL every `interval` milliseconds; the body of a 2xx answer is an
 * event or a list of them. With `incremental` an answer that is the same as the last is left out.
 * DATASOURCE is added to `url`. See endpoint.h for TLS and headers; method, body, timeout.
 */
#include <stdio.h>

#include "base/limits.h"
#include "base/mem.h"
#include "part/data/data_private.h"
#include "part/data/endpoint.h"
#include "source.h"

struct pull {
    struct source source;
    struct endpoint peer;
    const char *method;
    char *path;
    struct http_fetch *fetch;
    int64_t interval_ms, timeout_ms;
    bool incremental, some;
    uint64_t last; /* hash of the last body */
    struct io_timer timer;
};

static void on_answer(void *arg, int code, const struct http_response *resp, struct str body,
                      const struct err *err)
{
    struct pull *p = arg;
    char why[64];
    p->fetch = NULL;
    io_timer_start(&p->timer, p->interval_ms, 0);
    if (code < 0) {
        source_told(&p->source, false, err->text);
        return;
    }
    if (resp->status < 200 || resp->status >= 300) {
        (void)snprintf(why, sizeof(why), "the server answered %d", resp->status);
        p->source.errors++;
        source_told(&p->source, false, why);
        return;
    }
    source_told(&p->source, true, NULL);
    uint64_t hash = hash_bytes(body.p, body.n);
    if (p->incremental && p->some && hash == p->last) {
        return;
    }
    p->some = true;
    p->last = hash;
    struct payload payload = {.bytes = body, .arrival_us = wall_now().us};
    source_deliver(&p->source, &payload, 1);
    (void)source_synced(&p->source); /* nobody sends it again: told and counted */
}

static void on_timer(void *arg)
{
    struct pull *p = arg;
    const struct json *c = p->source.conf;
    if (!source_ready(&p->source)) {
        return; /* until pull_resume() */
    }
    const struct http_call_request req = {.method = p->method,
                                          .path = p->path,
                                          .headers = p->peer.headers,
                                          .n_headers = p->peer.n_headers,
                                          .body = json_text(json_get(c, "body")),
                                          .timeout_ms = p->timeout_ms};
    p->fetch = http_fetch(p->peer.client, &req, LIMIT_EVENT_BYTES, on_answer, p);
    if (!p->fetch) {
        io_timer_start(&p->timer, p->interval_ms, 0); /* out of memory: the next time */
    }
}

static void pull_close(struct source *s)
{
    struct pull *p = (struct pull *)s;
    io_timer_stop(&p->timer);
    http_fetch_cancel(TAKE_PTR(p->fetch));
    endpoint_close(&p->peer);
    mem_free(TAKE_PTR(p->path));
}

static void pull_resume(struct source *s)
{
    struct pull *p = (struct pull *)s;
    if (!p->fetch) {
        io_timer_start(&p->timer, 1, 0);
    }
}

static int pull_open(struct source *s, struct err *err)
{
    struct pull *p = (struct pull *)s;
    p->incremental = json_true(json_get(s->conf, "incremental"), false);
    io_timer_init(s->loop, &p->timer, on_timer, p);
    int rc = endpoint_time(s->conf, "interval", 10000, &p->interval_ms, err);
    rc = rc < 0 ? rc : endpoint_time(s->conf, "timeout", 5000, &p->timeout_ms, err);
    rc = rc < 0 ? rc : endpoint_method(s->conf, "GET", &p->method, err);
    if (rc == 0 && !endpoint_text_ok(str_of(s->datasource), /* path= */ true)) {
        rc = err_set(err, -E_INVAL, "DATASOURCE has blanks or control characters");
    }
    rc = rc < 0 ? rc : endpoint_open(s->loop, &s->arena, s->conf, &p->peer, err);
    if (rc == 0) {
        bool slash = str_ends(str_of(p->peer.path), "/");
        const char *more = s->datasource;
        more += slash && *more == '/';
        p->path = mem_printf("%s%s", p->peer.path, more);
        rc = p->path ? 0 : err_sys(err, -E_NOMEM, "url");
    }
    if (rc < 0) {
        pull_close(s);
        return rc;
    }
    io_timer_start(&p->timer, 0, 0);
    return 0;
}

const struct source_ops source_http_pull = {.type = "httppull",
                                            .size = sizeof(struct pull),
                                            .kept = true,
                                            .open = pull_open,
                                            .close = pull_close,
                                            .resume = pull_resume};

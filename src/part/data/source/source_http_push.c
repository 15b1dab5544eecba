/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP push source: the body of each request to its path is an event (or a list of them).
 * DATASOURCE is the path; `method` POST (default) or another. Pushes come to the part's HTTP
 * server, where no path of the REST interface may be taken.
 */
#include "source_http_push.h"

#include "base/limits.h"
#include "base/mem.h"
#include "part/data/data_private.h"
#include "part/data/endpoint.h"
#include "net/http_server.h"
#include "part/data/rest/rest.h"
#include "source.h"

struct push {
    struct source source;
    struct list link;
    const char *method;
};

static int push_open(struct source *s, struct err *err)
{
    struct push *p = (struct push *)s;
    int rc = endpoint_method(s->conf, "POST", &p->method, err);
    if (rc < 0) {
        return rc;
    }
    if (s->datasource[0] != '/') {
        return err_set(err, -E_INVAL, "DATASOURCE '%s' is no path such as /api/data",
                       s->datasource);
    }
    if (rest_has_path(str_of(s->datasource))) {
        return err_set(err, -E_INVAL, "DATASOURCE '%s' is a path of the REST interface",
                       s->datasource);
    }
    list_push_back(&s->data->http_sources, &p->link);
    source_told(s, true, NULL);
    return 0;
}

static void push_close(struct source *s)
{
    list_del(&((struct push *)s)->link);
}

const struct source_ops source_http_push = {.type = "httppush",
                                            .size = sizeof(struct push),
                                            .kept = true,
                                            .open = push_open,
                                            .close = push_close};

/* The next one of a path behind `after` (NULL = the first). */
static struct push *find(struct data *d, const struct push *after, const struct http_request *req)
{
    const struct list *at = after ? after->link.next : d->http_sources.next;
    for (; at != &d->http_sources; at = at->next) {
        struct push *p = CONTAINER_OF(at, struct push, link);
        if (str_is(req->path, p->source.datasource) && str_is(req->method, p->method)) {
            return p;
        }
    }
    return NULL;
}

/* The threads of rules are behind: the client comes again. */
static void refuse(struct http_exchange *x)
{
    const struct http_header headers[] = {
        {STR_LIT("content-type"), STR_LIT("text/plain; charset=utf-8")},
        {STR_LIT("retry-after"), STR_LIT("1")},
    };
    http_reply(x, 429, headers, ARRAY_SIZE(headers), STR_LIT("rules are behind: try again\n"));
}

/* Streams may share a path: each of them gets the body. */
static void on_body(struct http_exchange *x, struct str body, void *arg)
{
    struct data *d = arg;
    const struct http_request *req = http_exchange_request(x);
    struct push *p = find(d, NULL, req); /* it may have gone meanwhile */
    if (!p) {
        http_reply_text(x, 404, "text/plain; charset=utf-8", STR_LIT("404 page not found\n"));
        return;
    }
    for (struct push *one = p; one; one = find(d, one, req)) {
        if (!source_ready(&one->source)) { /* all of them take it, or none */
            refuse(x);
            return;
        }
    }
    struct value_member m = {STR_LIT("method"), value_string(req->method)};
    struct payload payload = {.bytes = body,
                              .arrival_us = wall_now().us,
                              .meta = {.type = VALUE_OBJECT, .n = 1, .members = &m}};
    for (struct push *next; p; p = next) {
        next = find(d, p, req);
        source_deliver(&p->source, &payload, 1);
    }
    http_reply_text(x, 200, "text/plain; charset=utf-8", STR_LIT("ok"));
}

bool http_push_handle(struct data *d, struct http_exchange *x)
{
    if (!find(d, NULL, http_exchange_request(x))) {
        return false;
    }
    http_exchange_collect_body(x, LIMIT_EVENT_BYTES, on_body, d);
    return true;
}

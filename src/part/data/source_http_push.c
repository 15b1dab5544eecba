/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP push source: the body of each request to its path is an event (or a list of them).
 * DATASOURCE is the path; `method` POST (default) or PUT. Pushes come to the part's HTTP server.
 */
#include "source_http_push.h"

#include "base/mem.h"
#include "data_private.h"
#include "base/limits.h"
#include "net/http_server.h"
#include "source.h"

struct push {
    struct source source;
    struct list link;
    const char *method;
};

static int push_open(struct source *s, struct err *err)
{
    struct push *p = (struct push *)s;
    p->method = json_cstr(json_get(s->conf, "method"), "POST");
    if (s->datasource[0] != '/') {
        return err_set(err, -E_INVAL, "DATASOURCE '%s' is no path such as /api/data",
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

const struct source_ops source_http_push = {
    .type = "httppush", .size = sizeof(struct push), .open = push_open, .close = push_close};

static struct push *find(struct data *d, struct str method, struct str path)
{
    for (struct list *at = d->http_sources.next; at != &d->http_sources; at = at->next) {
        struct push *p = CONTAINER_OF(at, struct push, link);
        if (str_is(path, p->source.datasource) && str_iis(method, p->method)) {
            return p;
        }
    }
    return NULL;
}

static void on_body(struct http_exchange *x, struct str body, void *arg)
{
    struct data *d = arg;
    const struct http_request *req = http_exchange_request(x);
    struct push *p = find(d, req->method, req->path); /* it may have gone meanwhile */
    if (!p) {
        http_reply_text(x, 404, "text/plain; charset=utf-8", STR_LIT("404 page not found\n"));
        return;
    }
    struct value_member m = {STR_LIT("method"), value_string(req->method)};
    struct payload payload = {.bytes = body,
                              .arrival_us = wall_now().us,
                              .meta = {.type = VALUE_OBJECT, .n = 1, .members = &m}};
    source_deliver(&p->source, &payload, 1);
    http_reply_text(x, 200, "text/plain; charset=utf-8", STR_LIT("ok"));
}

bool http_push_handle(struct data *d, struct http_exchange *x)
{
    const struct http_request *req = http_exchange_request(x);
    if (!find(d, req->method, req->path)) {
        return false;
    }
    http_exchange_collect_body(x, LIMIT_EVENT_BYTES, on_body, d);
    return true;
}

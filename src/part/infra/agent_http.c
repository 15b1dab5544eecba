/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's own HTTP server: the read-only paths that a kubelet answers on its port. It owns no
 * socket; streams of the type AGENT end here (stream_bytes.c), after the API server has judged who
 * may.
 *
 *   /healthz  /pods  /runningpods  /stats/summary  /metrics  /metrics/resource
 *   /containerLogs/NAMESPACE/POD/CONTAINER?follow&previous&timestamps&tailLines&sinceSeconds&...
 */
#include "base/encode.h"
#include "base/metrics.h"
#include "infra_private.h"
#include "net/http_server.h"
#include "stats.h"

#define LOG_HIGH ((ssize_t)256 << 10)
#define IDLE_MS 60000

struct agent_http {
    struct infra *inf;
    struct http_server *server;
    struct stats *stats;
};

static void refuse(struct http_exchange *x, int status, const char *text)
{
    http_reply_text(x, status, "text/plain; charset=utf-8", str_of(text));
}

static void reply_json(struct http_exchange *x, const struct json *j)
{
    static const struct http_header type = {STR_LIT("content-type"), STR_LIT("application/json")};
    struct buf b = BUF_INIT;
    if (!j || json_print(&b, j) < 0) {
        refuse(x, 503, "out of memory\n");
    } else {
        http_reply_take(x, 200, &type, 1, &b);
    }
    buf_fini(&b);
}

/* ---- /pods ---- */

static void pods(struct agent_http *h, struct http_exchange *x, bool running)
{
    struct arena *a = http_exchange_arena(x);
    struct json *o = json_object(a);
    json_set_str(o, "kind", "PodList");
    json_set_str(o, "apiVersion", "v1");
    (void)json_ensure_object(o, "metadata"); /* made empty */
    struct json *items = json_ensure_array(o, "items");
    MAP_FOR_EACH (slot, &h->inf->pods) {
        const struct pod *p = slot->value;
        if (p->obj && !p->orphan && (!running || p->sm.state == POD_RUNNING)) {
            json_push(items, json_clone(a, p->obj));
        }
    }
    reply_json(x, arena_failed(a) ? NULL : o);
}

/* ---- figures ---- */

struct figures {
    struct http_exchange *x;
    struct stats_req *req;
    bool prometheus;
};

static void seconds(struct buf *b, const char *name, const char *labels, const struct json *ns)
{
    if (ns) {
        (void)buf_printf(b, "%s%s %.9f\n", name, labels,
                         (double)json_i64(ns, 0) / 1e9); /* sticky */
    }
}

static void bytes(struct buf *b, const char *name, const char *labels, const struct json *n)
{
    if (n) {
        (void)buf_printf(b, "%s%s %lld\n", name, labels, (long long)json_i64(n, 0)); /* sticky */
    }
}

static void family(struct buf *b, const char *name, const char *type, const char *help)
{
    (void)buf_printf(b, "# HELP %s [STABLE] %s\n# TYPE %s %s\n", name, help, name, type);
}

enum { CPU, MEMORY };

static void series(struct buf *b, int what, const char *name, const char *labels,
                   const struct json *o)
{
    if (what == CPU) {
        seconds(b, name, labels, json_path(o, "cpu.usageCoreNanoSeconds"));
    } else {
        bytes(b, name, labels, json_path(o, "memory.workingSetBytes"));
    }
}

/* One family of all containers and one of all pods. */
static void pod_series(struct buf *b, struct arena *a, int what, const struct json *summary)
{
    const char *container =
        what == CPU ? "container_cpu_usage_seconds_total" : "container_memory_working_set_bytes";
    const char *pod = what == CPU ? "pod_cpu_usage_seconds_total" : "pod_memory_working_set_bytes";
    const char *type = what == CPU ? "counter" : "gauge";
    family(b, container, type, "Use by the container");
    JSON_FOR_EACH (p, json_get(summary, "pods")) {
        JSON_FOR_EACH (c, json_get(p, "containers")) {
            const char *labels = arena_printf(
                a, "{container=\"%s\",namespace=\"%s\",pod=\"%s\"}", json_path_cstr(c, "name", ""),
                json_path_cstr(p, "podRef.namespace", ""), json_path_cstr(p, "podRef.name", ""));
            series(b, what, container, labels ? labels : "", c);
        }
    }
    family(b, pod, type, "Use by the pod");
    JSON_FOR_EACH (p, json_get(summary, "pods")) {
        const char *labels = arena_printf(a, "{namespace=\"%s\",pod=\"%s\"}",
                                          json_path_cstr(p, "podRef.namespace", ""),
                                          json_path_cstr(p, "podRef.name", ""));
        series(b, what, pod, labels ? labels : "", p);
    }
}

static void reply_prometheus(struct http_exchange *x, const struct json *summary)
{
    static const char type[] = "text/plain; version=0.0.4; charset=utf-8";
    struct buf b = BUF_INIT;
    const struct json *node = json_get(summary, "node");
    for (int what = CPU; what <= MEMORY; what++) {
        const char *name =
            what == CPU ? "node_cpu_usage_seconds_total" : "node_memory_working_set_bytes";
        pod_series(&b, http_exchange_arena(x), what, summary);
        family(&b, name, what == CPU ? "counter" : "gauge", "Use of the machine");
        series(&b, what, name, "", node);
    }
    family(&b, "resource_scrape_error", "gauge", "1 if there was an error while getting figures");
    (void)buf_printf(&b, "resource_scrape_error %d\n", summary ? 0 : 1); /* asked below */
    if (buf_failed(&b)) {
        refuse(x, 503, "out of memory\n");
    } else {
        http_reply_text(x, 200, type, buf_str(&b));
    }
    buf_fini(&b);
}

static void figures_done(void *arg, const struct json *summary)
{
    struct figures *f = arg;
    f->req = NULL;
    if (f->prometheus) {
        reply_prometheus(f->x, summary);
    } else {
        reply_json(f->x, summary);
    }
}

static void figures_gone(void *arg)
{
    stats_cancel(((struct figures *)arg)->req);
}

static void figures(struct agent_http *h, struct http_exchange *x, bool prometheus)
{
    struct figures *f = arena_zalloc(http_exchange_arena(x), sizeof(*f));
    if (f) {
        *f = (struct figures){.x = x, .prometheus = prometheus};
        f->req = stats_ask(h->stats, figures_done, f);
    }
    if (!f || !f->req) {
        refuse(x, 503, "out of memory\n");
        return;
    }
    http_exchange_on_close(x, figures_gone, f);
}

static void own_metrics(struct http_exchange *x)
{
    struct buf b = BUF_INIT;
    if (metrics_print(&b) < 0) {
        refuse(x, 503, "out of memory\n");
    } else {
        http_reply_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&b));
    }
    buf_fini(&b);
}

/* ---- /containerLogs ---- */

struct logs {
    struct http_exchange *x;
    struct node_stream *node;
    bool started;
};

static void logs_opened(void *arg)
{
    struct logs *g = arg;
    const struct http_header type = HTTP_HEADER("content-type", "text/plain");
    g->started = http_reply_start(g->x, 200, &type, 1) == 0;
}

static void logs_message(void *arg, uint8_t channel, struct str data)
{
    struct logs *g = arg;
    (void)channel;
    if (g->started && http_reply_write(g->x, data) >= LOG_HIGH) {
        g->node->ops->pause(g->node, true);
    }
}

static void logs_ended(void *arg, int code, const char *text)
{
    struct logs *g = arg;
    g->node = NULL;
    if (g->started) {
        http_reply_end(g->x);
    } else {
        refuse(g->x, err_http_status(code), text && *text ? text : err_text(code));
    }
}

static void logs_gone(void *arg)
{
    struct logs *g = arg;
    if (g->node) {
        g->node->ops->close(g->node);
    }
}

static void logs_drained(void *arg)
{
    struct logs *g = arg;
    if (g->node) {
        g->node->ops->pause(g->node, false);
    }
}

static const struct node_stream_events logs_events = {
    .opened = logs_opened, .message = logs_message, .ended = logs_ended};

static int64_t number(struct arena *a, struct str query, const char *name)
{
    int64_t n = -1;
    const char *text = http_query_get(a, query, name);
    return text && str_i64(str_of(text), &n) == 0 && n >= 0 ? n : -1;
}

static bool flag(struct arena *a, struct str query, const char *name)
{
    bool on = false;
    const char *text = http_query_get(a, query, name);
    return text && (!*text || (str_bool(str_of(text), &on) == 0 && on));
}

static void logs(struct agent_http *h, struct http_exchange *x, struct str path)
{
    struct arena *a = http_exchange_arena(x);
    struct str q = http_exchange_request(x)->query, ns, pod, container;
    struct err err = {0};
    struct logs *g = arena_zalloc(a, sizeof(*g));
    if (!str_cut(path, '/', &ns, &pod) || !str_cut(pod, '/', &pod, &container) || !g) {
        refuse(x, 404, "404 page not found\n");
        return;
    }
    g->x = x;
    struct node_stream_req req = {
        .type = NODE_STREAM_LOG,
        .node = replica_node(h->inf->replica),
        .ns = arena_str(a, ns),
        .pod = arena_str(a, pod),
        .uid = "",
        .container = arena_str(a, container),
        .follow = flag(a, q, "follow"),
        .previous = flag(a, q, "previous"),
        .timestamps = flag(a, q, "timestamps"),
        .tail_lines = number(a, q, "tailLines"),
        .limit_bytes = number(a, q, "limitBytes"),
        .since_seconds = number(a, q, "sinceSeconds"),
    };
    g->node = arena_failed(a) ? NULL : infra_open_stream(h->inf, &req, &logs_events, g, &err);
    if (!g->node) {
        refuse(x, err.code ? err_http_status(err.code) : 503,
               err.code ? err.text : "out of memory");
        return;
    }
    http_exchange_on_close(x, logs_gone, g);
    http_exchange_on_drain(x, logs_drained, g);
}

/* ---- the door ---- */

static void handle(struct http_exchange *x, void *arg)
{
    struct agent_http *h = arg;
    const struct http_request *r = http_exchange_request(x);
    struct str path = r->path;
    if (!str_is(r->method, "GET") && !str_is(r->method, "HEAD")) {
        refuse(x, 405, "Method Not Allowed\n");
    } else if (str_is(path, "/healthz") || str_is(path, "/healthz/ping")) {
        refuse(x, 200, "ok");
    } else if (str_is(path, "/pods") || str_is(path, "/pods/") || str_is(path, "/runningpods/")) {
        pods(h, x, str_starts(path, "/runningpods"));
    } else if (str_is(path, "/stats/summary")) {
        figures(h, x, /* prometheus= */ false);
    } else if (str_is(path, "/metrics/resource")) {
        figures(h, x, /* prometheus= */ true);
    } else if (str_is(path, "/metrics")) {
        own_metrics(x);
    } else if (str_starts(path, "/containerLogs/")) {
        size_t n = strlen("/containerLogs/");
        logs(h, x, str_n(path.p + n, path.n - n));
    } else {
        refuse(x, 404, "404 page not found\n");
    }
}

int agent_http_serve(struct agent_http *h, struct stream *s)
{
    return http_server_serve(h->server, s, HTTP_PROTOCOL_1, "agent", NULL, NULL);
}

int agent_http_new(struct infra *inf, struct agent_http **ret, struct err *err)
{
    struct agent_http *h = mem_zalloc(sizeof(*h));
    if (!h) {
        return err_sys(err, -ENOMEM, "start the agent's HTTP server");
    }
    struct http_server_config config = {
        .loop = inf->loop, .handler = handle, .arg = h, .idle_timeout_ms = IDLE_MS};
    h->inf = inf;
    h->stats = stats_new(inf);
    int rc = h->stats ? http_server_new(&config, &h->server) : -ENOMEM;
    if (rc < 0) {
        agent_http_free(h);
        return err_sys(err, rc, "start the agent's HTTP server");
    }
    *ret = h;
    return 0;
}

void agent_http_free(struct agent_http *h)
{
    if (h) {
        http_server_free(h->server);
        stats_free(h->stats);
        mem_free(h);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Figures of nodes, fetched and kept for a moment; see api/metrics.h. Each node's answer
 * (stats/summary of the kubelet API) is cut down to what is asked for here, some 100 bytes a
 * container, and goes after a minute.
 */
#include "api/metrics.h"

#include "api/stream/upstream.h"
#include "base/limits.h"
#include "base/map.h"
#include "codec/json.h"
#include "net/http_client.h"

#define PATH "/stats/summary?only_cpu_and_memory=true"
#define FRESH_US ((int64_t)5 * 1000000)
#define KEEP_US ((int64_t)60 * 1000000)
#define FAILED_US ((int64_t)5 * 1000000) /* a node that failed is not asked again before */
#define SWEEP_MS 30000
#define ANSWER_MAX ((size_t)8 << 20)

struct node_figures {
    struct arena arena; /* of the pods */
    struct metrics_node node;
    struct metrics_pod *pods;
    size_t n_pods;
    struct mono got, failed; /* us 0 = never */
    struct fetch *fetch;     /* under way */
};

struct metrics {
    struct api_server *server;
    struct map nodes; /* name -> struct node_figures */
    struct list queries;
    struct io_timer sweep;
};

struct fetch {
    struct metrics *m;
    struct node_figures *into;
    struct upstream *upstream;
    struct http_fetch *http;
};

struct metrics_query {
    struct list link;
    struct metrics *m;
    metrics_done_fn *done;
    void *arg;
    struct map nodes; /* names that it waits for -> themselves (a set) */
    struct io_timer limit;
    struct io_task finish;
};

/* ---- one node's answer ---- */

static struct metrics_usage read_usage(const struct json *o)
{
    return (struct metrics_usage){.cpu_nano = json_path_i64(o, "cpu.usageNanoCores", -1),
                                  .memory_bytes = json_path_i64(o, "memory.workingSetBytes", -1)};
}

static void read_pod(struct arena *a, const struct json *j, struct metrics_pod *p)
{
    const struct json *list = json_get(j, "containers");
    struct metrics_container *c = arena_zalloc(a, (json_len(list) + 1) * sizeof(*c));
    p->ns = arena_strdup(a, json_path_cstr(j, "podRef.namespace", ""));
    p->name = arena_strdup(a, json_path_cstr(j, "podRef.name", ""));
    p->uid = arena_strdup(a, json_path_cstr(j, "podRef.uid", ""));
    p->containers = c;
    JSON_FOR_EACH (i, c ? list : NULL) {
        struct metrics_container *at = &c[p->n_containers++];
        at->name = arena_strdup(a, json_path_cstr(i, "name", ""));
        at->usage = read_usage(i);
        struct wall t;
        if (time_parse(json_text(json_path(i, "cpu.time")), &t) == 0) {
            p->at = t;
        }
        p->window_us = MAX_OF(p->window_us, json_path_i64(i, "cpu.windowMs", 0) * 1000);
    }
}

/* Replaces what was known of the node. */
static void take_in(struct node_figures *f, const struct json *summary)
{
    const struct json *node = json_get(summary, "node"), *pods = json_get(summary, "pods");
    struct arena a;
    arena_init(&a, 0);
    struct metrics_pod *list = arena_zalloc(&a, (json_len(pods) + 1) * sizeof(*list));
    size_t n = 0;
    JSON_FOR_EACH (p, list ? pods : NULL) {
        read_pod(&a, p, &list[n++]);
    }
    if (arena_failed(&a) || !node) {
        arena_fini(&a);
        f->failed = mono_now();
        return;
    }
    arena_fini(&f->arena);
    f->arena = a;
    f->pods = list;
    f->n_pods = n;
    f->node = (struct metrics_node){.usage = read_usage(node),
                                    .window_us = json_path_i64(node, "cpu.windowMs", 0) * 1000};
    (void)time_parse(json_text(json_path(node, "cpu.time")), &f->node.at); /* 0 when it is none */
    f->got = mono_now();
    f->failed = (struct mono){0};
}

/* ---- fetching ---- */

static void node_settled(struct metrics *m, const struct node_figures *f);

static void fetch_free(struct fetch *t)
{
    t->into->fetch = NULL;
    http_fetch_cancel(t->http);
    upstream_close(t->upstream);
    mem_free(t);
}

static void fetch_over(struct fetch *t, struct str body)
{
    struct metrics *m = t->m;
    struct node_figures *f = t->into;
    struct arena a;
    struct json *summary = NULL;
    arena_init(&a, 0);
    if (body.n > 0 && json_parse(&a, body, NULL, &summary, NULL) == 0) {
        take_in(f, summary);
    } else {
        f->failed = mono_now();
    }
    arena_fini(&a);
    fetch_free(t);
    node_settled(m, f);
}

static void fetched(void *arg, int code, const struct http_response *resp, struct str body,
                    const struct err *err)
{
    struct fetch *t = arg;
    (void)err; /* a node that does not answer is left out */
    t->http = NULL;
    fetch_over(t, code == 0 && resp->status == 200 ? body : STR_NULL);
}

static void connected(void *arg, struct http_client *c, const struct err *err)
{
    struct fetch *t = arg;
    const struct http_call_request req = {.path = PATH, .timeout_ms = METRICS_WAIT_MS};
    (void)err; /* as above */
    t->http = c ? http_fetch(c, &req, ANSWER_MAX, fetched, t) : NULL;
    if (!t->http) {
        fetch_over(t, STR_NULL);
    }
}

/* False when it cannot even be tried. */
static bool fetch_start(struct metrics *m, const char *node, struct node_figures *f)
{
    const struct upstream_target target = {.req = {.type = NODE_STREAM_AGENT,
                                                   .node = node,
                                                   .ns = "",
                                                   .pod = "",
                                                   .uid = "",
                                                   .container = ""},
                                           .authority = node};
    struct fetch *t = mem_zalloc(sizeof(*t));
    if (!t) {
        return false;
    }
    t->m = m;
    t->into = f;
    t->upstream = upstream_open(m->server, &target, connected, t, NULL);
    if (!t->upstream) {
        mem_free(t);
        f->failed = mono_now();
        return false;
    }
    f->fetch = t;
    return true;
}

/* ---- queries ---- */

static void query_free(struct metrics_query *q)
{
    list_del(&q->link);
    io_timer_stop(&q->limit);
    io_task_cancel(&q->finish);
    map_fini(&q->nodes, NULL);
    mem_free(q);
}

static void finish(void *arg)
{
    struct metrics_query *q = arg;
    metrics_done_fn *done = q->done;
    void *done_arg = q->arg;
    query_free(q);
    done(done_arg);
}

static void node_settled(struct metrics *m, const struct node_figures *f)
{
    LIST_FOR_EACH (l, &m->queries) {
        struct metrics_query *q = CONTAINER_OF(l, struct metrics_query, link);
        MAP_FOR_EACH (slot, &q->nodes) {
            if (slot->value == f) {
                (void)map_del(&q->nodes, str_n(slot->key, slot->n)); /* it is f */
                break;                                               /* the map has changed */
            }
        }
        if (map_len(&q->nodes) == 0) {
            loop_defer(m->server->loop, &q->finish);
        }
    }
}

static struct node_figures *figures_of(struct metrics *m, const char *node)
{
    struct node_figures *f = map_get(&m->nodes, str_of(node));
    if (!f) {
        f = mem_zalloc(sizeof(*f));
        if (!f || map_put(&m->nodes, str_of(node), f, NULL) < 0) {
            mem_free(f);
            return NULL;
        }
        arena_init(&f->arena, 0);
    }
    return f;
}

static bool recent(struct mono t, int64_t us)
{
    return t.us != 0 && mono_now().us - t.us < us;
}

static void want_node(struct metrics_query *q, const char *node)
{
    struct node_figures *f = figures_of(q->m, node);
    if (!f || recent(f->got, FRESH_US) || recent(f->failed, FAILED_US)) {
        return;
    }
    if ((f->fetch || fetch_start(q->m, node, f)) && map_put(&q->nodes, str_of(node), f, NULL) < 0) {
        return; /* without memory it is not waited for */
    }
}

static void want_all(struct metrics_query *q)
{
    const struct kind *k = kind_find("", "v1", "nodes");
    struct arena a;
    arena_init(&a, 0);
    const char *prefix = k ? api_key(&a, k, NULL, NULL) : NULL;
    struct store_list list = {0};
    const struct store_list_opts opts = {.prefix = str_of(prefix)};
    if (prefix && store_list(q->m->server->store, &opts, &list) == 0) {
        for (size_t i = 0; i < list.n; i++) {
            struct str name;
            (void)api_key_parse(store_item_key(list.items[i]), NULL, &name); /* it is a node's */
            want_node(q, arena_str(&a, name));
        }
        store_list_fini(&list);
    }
    arena_fini(&a);
}

/* ---- the hub ---- */

static void node_free(void *value)
{
    struct node_figures *f = value;
    if (f->fetch) {
        fetch_free(f->fetch);
    }
    arena_fini(&f->arena);
    mem_free(f);
}

static void on_sweep(void *arg)
{
    struct metrics *m = arg;
    for (bool more = true; more;) {
        more = false;
        MAP_FOR_EACH (slot, &m->nodes) {
            struct node_figures *f = slot->value;
            if (!f->fetch && !recent(f->got, KEEP_US)) {
                (void)map_del(&m->nodes, str_n(slot->key, slot->n)); /* it is f */
                node_free(f);
                more = true; /* the map has changed: begin anew */
                break;
            }
        }
    }
    if (map_len(&m->nodes) == 0) {
        io_timer_stop(&m->sweep);
    }
}

static struct metrics *metrics_of(struct api_server *s)
{
    if (!s->metrics) {
        s->metrics = mem_zalloc(sizeof(*s->metrics));
        if (s->metrics) {
            s->metrics->server = s;
            map_init(&s->metrics->nodes);
            list_init(&s->metrics->queries);
            io_timer_init(s->loop, &s->metrics->sweep, on_sweep, s->metrics);
        }
    }
    return s->metrics;
}

struct metrics_query *metrics_ask(struct api_server *s, const char *const *nodes,
                                  metrics_done_fn *done, void *arg)
{
    struct metrics *m = metrics_of(s);
    struct metrics_query *q = m ? mem_zalloc(sizeof(*q)) : NULL;
    if (!q) {
        return NULL;
    }
    q->m = m;
    q->done = done;
    q->arg = arg;
    map_init(&q->nodes);
    list_push_back(&m->queries, &q->link);
    io_timer_init(s->loop, &q->limit, finish, q);
    io_task_init(&q->finish, finish, q);
    for (size_t i = 0; nodes && nodes[i]; i++) {
        want_node(q, nodes[i]);
    }
    if (!nodes) {
        want_all(q);
    }
    if (map_len(&q->nodes) == 0) {
        loop_defer(s->loop, &q->finish);
    } else {
        io_timer_start(&q->limit, METRICS_WAIT_MS, 0);
    }
    if (!io_timer_active(&m->sweep)) {
        io_timer_start(&m->sweep, SWEEP_MS, SWEEP_MS);
    }
    return q;
}

void metrics_cancel(struct metrics_query *q)
{
    if (q) {
        query_free(q);
    }
}

void metrics_free(struct metrics *m)
{
    if (!m) {
        return;
    }
    while (!list_empty(&m->queries)) {
        query_free(CONTAINER_OF(m->queries.next, struct metrics_query, link));
    }
    io_timer_stop(&m->sweep);
    map_fini(&m->nodes, node_free);
    mem_free(m);
}

/* ---- reading ---- */

static struct node_figures *known(struct api_server *s, const char *node)
{
    struct node_figures *f = s->metrics ? map_get(&s->metrics->nodes, str_of(node)) : NULL;
    return f && f->failed.us == 0 && recent(f->got, KEEP_US) ? f : NULL;
}

bool metrics_node(struct api_server *s, const char *node, struct metrics_node *ret)
{
    const struct node_figures *f = known(s, node);
    if (f) {
        *ret = f->node;
    }
    return f;
}

bool metrics_pod(struct api_server *s, const char *node, const char *ns, const char *name,
                 const char *uid, struct metrics_pod *ret)
{
    const struct node_figures *f = known(s, node);
    for (size_t i = 0; f && i < f->n_pods; i++) {
        const struct metrics_pod *p = &f->pods[i];
        if (cstr_eq(p->ns, ns) && cstr_eq(p->name, name) && (!*uid || cstr_eq(p->uid, uid))) {
            *ret = *p;
            return true;
        }
    }
    return false;
}

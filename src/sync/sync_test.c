/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A parent and a child in one process, over TLS on loopback, through a relay that cuts the line in
 * the middle of anything.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/object.h"
#include "api/server.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "child.h"
#include "digest.h"
#include "io/file.h"
#include "io/loop.h"
#include "io/tcp.h"
#include "io/tls.h"
#include "io/x509.h"
#include "net/http_server.h"
#include "parent.h"
#include "placed.h"
#include "replica.h"

#define TOKEN "abcdef.0123456789abcdef"
#define NODE "n1"
#define WAIT_US ((int64_t)30 * 1000000)

/* ---- chance, with a seed that can be given again ---- */

static uint64_t seed, chance_state;

static uint64_t chance(uint64_t below)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return chance_state % below;
}

static void chance_begin(void)
{
    const char *given = getenv("SYNC_TEST_SEED");
    if (!given || str_u64(str_of(given), &seed) < 0) {
        seed = random_below(UINT64_MAX - 1) + 1;
    }
    chance_state = seed;
}

/* ---- the relay ---- */

struct relay;

struct pipe_end {
    struct relay *relay;
    struct pipe_end *other;
    struct stream *s;
    struct io_connect *connect;
    struct list link;
};

struct relay {
    struct io_loop *loop;
    struct listener *listener;
    struct list ends;
    uint16_t target;
    bool down;         /* new connections are cut at once */
    int64_t cut_after; /* bytes until all is cut; < 0 = never */
    int cuts;
};

static void end_close(struct pipe_end *e)
{
    struct pipe_end *o = e->other;
    io_connect_cancel(e->connect);
    stream_close(e->s);
    list_del(&e->link);
    mem_free(e);
    if (o) {
        o->other = NULL;
        end_close(o);
    }
}

static void relay_cut(struct relay *r)
{
    while (!list_empty(&r->ends)) {
        end_close(CONTAINER_OF(r->ends.next, struct pipe_end, link));
    }
    r->cuts++;
}

static void end_read(void *arg, const char *data, size_t n)
{
    struct pipe_end *e = arg;
    struct relay *r = e->relay;
    if (r->cut_after >= 0 && (int64_t)n > r->cut_after) {
        if (e->other && e->other->s && r->cut_after > 0) {
            (void)stream_write(e->other->s, data, (size_t)r->cut_after);
            stream_flush(e->other->s);
        }
        r->cut_after = -1;
        relay_cut(r);
        return;
    }
    r->cut_after -= r->cut_after >= 0 ? (int64_t)n : 0;
    if (e->other && e->other->s) {
        (void)stream_write(e->other->s, data, n);
    }
}

static void end_eof(void *arg)
{
    end_close(arg);
}

static void end_error(void *arg, int code)
{
    (void)code;
    end_close(arg);
}

static const struct stream_events end_events = {
    .on_read = end_read, .on_eof = end_eof, .on_error = end_error};

static void relay_connected(void *arg, struct stream *s, const struct err *err)
{
    struct pipe_end *e = arg;
    (void)err;
    e->connect = NULL;
    if (!s) {
        end_close(e);
        return;
    }
    e->s = s;
    stream_set_events(s, &end_events, e);
    stream_read_start(s);
    stream_read_start(e->other->s);
}

static void relay_accept(void *arg, struct stream *s)
{
    struct relay *r = arg;
    if (r->down) {
        stream_close(s);
        return;
    }
    struct pipe_end *in = mem_zalloc(sizeof(*in)), *out = mem_zalloc(sizeof(*out));
    assert_true(in && out);
    in->relay = out->relay = r;
    in->other = out;
    out->other = in;
    in->s = s;
    list_push_back(&r->ends, &in->link);
    list_push_back(&r->ends, &out->link);
    stream_set_events(s, &end_events, in);
    out->connect = tcp_connect(r->loop, "127.0.0.1", r->target, 0, relay_connected, out);
}

/* ---- the fixture ---- */

struct top {
    struct store *store;
    struct sync_parent *parent;
    struct api_server *api;
    struct http_server *http;
    struct tls_ctx *tls;
};

struct fixture {
    struct io_loop *loop;
    struct top top;
    struct relay relay;
    char *ca_cert, *ca_key, *server_cert, *server_key;
    char ca_hash[65];
    char dir[64];
    /* the child */
    struct store *store;
    struct replica *replica;
    struct sync_child *child;
    node_stream_open_fn *open_stream;
};

static struct store *memory_store(struct io_loop *loop)
{
    struct store *s = NULL;
    struct store_opts opts = {.index = &api_store_index};
    assert_int_equal(store_open(loop, &opts, &s, NULL), 0);
    return s;
}

static void closed(void *arg, int code)
{
    (void)code;
    *(bool *)arg = true;
}

static void close_store(struct fixture *f, struct store *s)
{
    bool done = false;
    store_close(s, closed, &done);
    while (!done) {
        loop_run_once(f->loop);
    }
}

static void make_pki(struct fixture *f)
{
    static const char *const sans[] = {"127.0.0.1", NULL};
    struct x509_profile p = {
        .subject = {.cn = "top"}, .use = X509_USE_SERVER, .sans = sans, .seconds = 3600};
    struct x509_info *info = NULL;
    assert_int_equal(x509_ca_new("test-ca", 3600, &f->ca_cert, &f->ca_key, NULL), 0);
    assert_int_equal(x509_key_new(&f->server_key, NULL), 0);
    assert_int_equal(
        x509_sign(f->ca_cert, f->ca_key, f->server_key, NULL, &p, &f->server_cert, NULL), 0);
    assert_int_equal(x509_cert_parse(str_of(f->ca_cert), &info, NULL), 0);
    (void)cstr_copy(f->ca_hash, sizeof(f->ca_hash), info->key_sha256);
    x509_info_free(info);
}

static void on_exchange(struct http_exchange *x, void *arg)
{
    struct fixture *f = arg;
    api_server_handle(f->top.api, x);
}

static void top_open(struct fixture *f)
{
    struct top *t = &f->top;
    struct err err;
    if (!t->store) {
        t->store = memory_store(f->loop);
    }
    assert_int_equal(sync_parent_new(f->loop, t->store, &t->parent, &err), 0);
    struct api_server_opts opts = {.open_stream = sync_parent_open_stream,
                                   .open_stream_arg = t->parent,
                                   .token_csv = TOKEN ",boot,1,\"system:bootstrappers\"\n"};
    t->api = api_server_new(f->loop, t->store, &opts, &err);
    assert_non_null(t->api);
    assert_int_equal(sync_parent_register(t->parent, t->api, f->ca_cert, f->ca_key, &err), 0);
    struct tls_config tls = {.cert_pem = str_of(f->server_cert),
                             .key_pem = str_of(f->server_key),
                             .ca_pem = str_of(f->ca_cert),
                             .h2 = true};
    struct http_server_config http = {.loop = f->loop, .handler = on_exchange, .arg = f};
    assert_int_equal(tls_server_new(&tls, &t->tls, &err), 0);
    assert_int_equal(http_server_new(&http, &t->http), 0);
    assert_int_equal(
        http_server_listen_tcp(t->http, "127.0.0.1", 0, t->tls, &f->relay.target, &err), 0);
}

static void top_close(struct fixture *f)
{
    sync_parent_free(TAKE_PTR(f->top.parent));
    http_server_free(TAKE_PTR(f->top.http));
    api_server_free(TAKE_PTR(f->top.api));
    tls_ctx_unref(TAKE_PTR(f->top.tls));
}

static void child_open(struct fixture *f, const char *token)
{
    CLEANUP(mem_freep)
    char *url = mem_printf("https://127.0.0.1:%u", listener_port(f->relay.listener));
    CLEANUP(mem_freep) char *pki = mem_printf("%s/pki", f->dir);
    struct err err = {0};
    struct sync_child_opts opts = {.loop = f->loop,
                                   .replica = f->replica,
                                   .parent = url,
                                   .pki_dir = pki,
                                   .token = token,
                                   .open_stream = f->open_stream,
                                   .open_stream_arg = f,
                                   .heartbeat_ms = 500};
    if (sync_child_new(&opts, &f->child, &err) < 0) {
        fail_msg("%s", err.text);
    }
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err;
    log_init("sync_test", getenv("SYNC_TEST_LOG") ? LOG_DEBUG : LOG_ERROR);
    assert_int_equal(loop_new(&f->loop, &err), 0);
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/sync-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    make_pki(f);
    top_open(f);
    f->relay.loop = f->loop;
    f->relay.cut_after = -1;
    list_init(&f->relay.ends);
    assert_int_equal(
        tcp_listen(f->loop, "127.0.0.1", 0, relay_accept, &f->relay, &f->relay.listener, &err), 0);
    f->store = memory_store(f->loop);
    assert_int_equal(replica_new(f->loop, f->store, NODE, &f->replica, &err), 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sync_child_free(f->child);
    relay_cut(&f->relay);
    listener_close(f->relay.listener);
    top_close(f);
    close_store(f, f->top.store);
    replica_free(f->replica);
    close_store(f, f->store);
    loop_free(f->loop);
    mem_free(f->ca_cert);
    mem_free(f->ca_key);
    mem_free(f->server_cert);
    mem_free(f->server_key);
    (void)tree_remove(f->dir, NULL);
    mem_free(f);
    return 0;
}

typedef bool condition_fn(struct fixture *f, const void *arg);

static void no_op(void *arg)
{
    (void)arg; /* only ends the wait of a tick */
}

static bool wait_for(struct fixture *f, condition_fn *fn, const void *arg)
{
    int64_t end = mono_now().us + WAIT_US;
    struct io_timer tick;
    io_timer_init(f->loop, &tick, no_op, f);
    io_timer_start(&tick, 5, 5);
    bool ok = fn(f, arg);
    while (!ok && mono_now().us < end) {
        loop_run_once(f->loop);
        ok = fn(f, arg);
    }
    io_timer_stop(&tick);
    return ok;
}

static void turn(struct fixture *f, int64_t ms)
{
    int64_t end = mono_now().us + ms * 1000;
    while (mono_now().us < end) {
        loop_run_ready(f->loop);
    }
}

static bool is_live(struct fixture *f, const void *arg)
{
    (void)arg;
    return f->child && sync_child_live(f->child);
}

static void join(struct fixture *f)
{
    CLEANUP(mem_freep) char *token = mem_printf(TOKEN "@sha256:%s", f->ca_hash);
    child_open(f, token);
    assert_true(wait_for(f, is_live, NULL));
}

/* ---- objects at the top ---- */

struct put {
    struct store_req req;
};

static void put_done(struct store_req *req, int code, const char *text)
{
    (void)text;
    assert_int_equal(code, 0);
    mem_free(CONTAINER_OF(req, struct put, req));
}

static void top_put(struct fixture *f, const char *key, const char *value)
{
    struct put *p = mem_zalloc(sizeof(*p));
    struct store_put_opts opts = {.expected_rev = STORE_ANY_REV};
    p->req.done = put_done;
    assert_int_equal(store_put(f->top.store, &p->req, str_of(key), str_of(value), &opts), 0);
}

static void top_delete(struct fixture *f, const char *key)
{
    struct store_item *it = store_get_latest(f->top.store, str_of(key));
    if (it) {
        struct put *p = mem_zalloc(sizeof(*p));
        struct store_put_opts opts = {.expected_rev = STORE_ANY_REV};
        p->req.done = put_done;
        assert_int_equal(
            store_delete(f->top.store, &p->req, str_of(key), store_item_value(it), &opts), 0);
    }
}

static void put_map(struct fixture *f, const char *name, unsigned uid, unsigned data)
{
    char key[64], value[400];
    (void)snprintf(key, sizeof(key), "configmaps/ns/%s", name);
    (void)snprintf(
        value, sizeof(value),
        "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\","
        "\"uid\":\"m-%u\"},\"data\":{\"x\":\"%u\"}}",
        name, uid, data);
    top_put(f, key, value);
}

static void put_pod(struct fixture *f, const char *name, unsigned uid, const char *node,
                    const char *map, unsigned label)
{
    char key[64], value[900], node_text[64] = "";
    (void)snprintf(key, sizeof(key), "pods/ns/%s", name);
    if (*node) {
        (void)snprintf(node_text, sizeof(node_text), "\"nodeName\":\"%s\",", node);
    }
    (void)snprintf(
        value, sizeof(value),
        "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"ns\",\"name\":\"%s\","
        "\"uid\":\"p-%u\",\"labels\":{\"l\":\"%u\"},\"managedFields\":[{\"manager\":\"m\",\"operation\":"
        "\"Update\",\"apiVersion\":\"v1\",\"fieldsType\":\"FieldsV1\",\"fieldsV1\":{}}]},"
        "\"spec\":{%s\"containers\":[{\"name\":\"c\",\"image\":\"i\",\"envFrom\":[{\"configMapRef\":"
        "{\"name\":\"%s\"}}]}]},\"status\":{\"phase\":\"Pending\",\"qosClass\":\"BestEffort\"}}",
        name, uid, label, node_text, map);
    top_put(f, key, value);
}

static void put_namespace(struct fixture *f)
{
    top_put(
        f, "namespaces//ns",
        "{\"apiVersion\":\"v1\",\"kind\":\"Namespace\",\"metadata\":{\"name\":\"ns\",\"uid\":\"ns\"},"
        "\"spec\":{\"finalizers\":[\"kubernetes\"]},\"status\":{\"phase\":\"Active\"}}");
}

static struct json *parse(struct arena *a, const struct store_item *it)
{
    struct json *j = NULL;
    if (it) {
        assert_int_equal(json_parse(a, store_item_value(it), NULL, &j, NULL), 0);
    }
    return j;
}

/* ---- what the child should hold ---- */

struct wanted {
    struct map keys;
};

static void want_key(void *arg, const char *key)
{
    struct wanted *w = arg;
    assert_int_equal(map_put(&w->keys, str_of(key), w, NULL), 0);
}

static void make_wanted(struct fixture *f, struct wanted *w)
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = STR_LIT("pods/")};
    assert_int_equal(store_list(f->top.store, &opts, &l), 0);
    for (size_t i = 0; i < l.n; i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json *pod = parse(&a, l.items[i]);
        if (cstr_eq(json_path_cstr(pod, "spec.nodeName", ""), NODE)) {
            want_key(w, l.items[i]->bytes);
            digest_pod_refs(&a, pod, want_key, w);
        }
        arena_fini(&a);
    }
    store_list_fini(&l);
}

/* Of both sides, without what may differ. */
static bool same_object(const struct store_item *top, const struct store_item *local)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *x = parse(&a, top), *y = parse(&a, local);
    bool same = digest_strip(x) == digest_strip(y);
    arena_fini(&a);
    return same;
}

static bool has_what_it_should(struct fixture *f, const void *arg)
{
    static const char *const prefixes[] = {"pods/", "configmaps/", "namespaces/"};
    struct wanted w = {0};
    bool ok = is_live(f, NULL);
    size_t found = 0, expected = 0;
    (void)arg;
    make_wanted(f, &w);
    MAP_FOR_EACH (slot, &w.keys) {
        struct store_item *top = store_get(f->top.store, str_of(slot->key));
        struct store_item *local = store_get(f->store, str_of(slot->key));
        expected += top != NULL;
        ok = ok && !top == !local && (!top || same_object(top, local));
    }
    for (size_t i = 0; i < ARRAY_SIZE(prefixes); i++) {
        found += store_count(f->store, str_of(prefixes[i]));
    }
    map_fini(&w.keys, NULL);
    return ok && found == expected;
}

/* ---- watching for needless writes ---- */

struct watcher {
    struct store_watch *watch;
    struct map seen; /* key -> hash of the last value without its revision */
    int needless, events;
};

static void on_ready(struct store_watch *w, void *arg)
{
    struct watcher *x = arg;
    struct store_event *ev;
    while (store_watch_next(w, &ev) == 1) {
        struct str key = store_item_key(ev->item);
        struct arena a;
        if (str_starts(key, OUTBOX)) {
            continue;
        }
        arena_init(&a, 0);
        struct json *obj = parse(&a, ev->item);
        (void)json_del(json_get(obj, "metadata"), "resourceVersion");
        uintptr_t hash = ev->type == STORE_DELETE ? 1 : (uintptr_t)digest_hash(obj);
        void *old = NULL;
        assert_int_equal(map_put(&x->seen, key, (void *)hash, &old), 0); /* NOLINT: a number */
        x->needless += (uintptr_t)old == hash;
        x->events++;
        arena_fini(&a);
    }
}

/* The agent's part for pods that are to go. */
static void finish_deleted(struct fixture *f)
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = STR_LIT("pods/")};
    assert_int_equal(store_list(f->store, &opts, &l), 0);
    for (size_t i = 0; i < l.n; i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json *pod = parse(&a, l.items[i]);
        if (obj_deleting(pod)) {
            assert_int_equal(
                replica_pod_gone(f->replica, obj_ns(pod), obj_name(pod), obj_uid(pod), NULL), 0);
        }
        arena_fini(&a);
    }
    store_list_fini(&l);
}

static void set_some_status(struct fixture *f, unsigned n)
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = STR_LIT("pods/")};
    assert_int_equal(store_list(f->store, &opts, &l), 0);
    if (l.n > 0) {
        struct arena a;
        arena_init(&a, 0);
        struct json *pod = parse(&a, l.items[chance(l.n)]), *status = json_object(&a);
        json_set_str(status, "phase", "Running");
        json_set_str(status, "qosClass", "BestEffort");
        json_set(status, "message", json_printf(&a, "s%u", n));
        (void)replica_set_status(f->replica, "pods", obj_ns(pod), obj_name(pod), obj_uid(pod),
                                 status, NULL); /* it may be gone by now */
        arena_fini(&a);
    }
    store_list_fini(&l);
}

static void send_event(struct fixture *f, unsigned n)
{
    struct arena a;
    char text[64];
    arena_init(&a, 0);
    struct json *o = json_object(&a), *meta = json_ensure_object(o, "metadata");
    (void)snprintf(text, sizeof(text), "event-%05u", n);
    json_set_str(o, "apiVersion", "v1");
    json_set_str(o, "kind", "Event");
    json_set_str(meta, "name", text);
    json_set_str(meta, "namespace", "ns");
    struct json *about = json_ensure_object(o, "involvedObject");
    json_set_str(about, "kind", "Pod");
    json_set_str(about, "namespace", "ns");
    json_set_str(about, "name", "p");
    json_set_str(o, "reason", "Test");
    json_set_str(o, "message", text);
    json_set_str(o, "type", "Normal");
    json_set_int(o, "count", 1);
    assert_int_equal(replica_event(f->replica, o, NULL), 0);
    arena_fini(&a);
}

static bool outbox_is_empty(struct fixture *f, const void *arg)
{
    (void)arg;
    finish_deleted(f);
    return has_what_it_should(f, NULL) && store_count(f->store, STR_LIT(OUTBOX)) == 0;
}

static bool statuses_agree(struct fixture *f)
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = STR_LIT("pods/")};
    bool ok = true;
    assert_int_equal(store_list(f->store, &opts, &l), 0);
    for (size_t i = 0; i < l.n; i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json *local = parse(&a, l.items[i]);
        struct json *top = parse(&a, store_get(f->top.store, store_item_key(l.items[i])));
        const char *message = json_path_cstr(local, "status.message", "");
        ok = ok && cstr_eq(json_path_cstr(top, "status.message", ""), message);
        arena_fini(&a);
    }
    store_list_fini(&l);
    return ok;
}

static bool events_in_order(struct fixture *f, unsigned n)
{
    struct store_list l = {0};
    struct store_list_opts opts = {.prefix = STR_LIT("events/ns/event-")};
    int64_t last = 0;
    assert_int_equal(store_list(f->top.store, &opts, &l), 0);
    bool ok = l.n == n;
    for (size_t i = 0; i < l.n; i++) {
        ok = ok && l.items[i]->create_rev > last;
        last = l.items[i]->create_rev;
    }
    store_list_fini(&l);
    return ok;
}

/* ---- tests ---- */

static void a_node_joins_with_a_token_and_gets_what_concerns_it(void **state)
{
    struct fixture *f = *state;
    put_namespace(f);
    put_map(f, "mine", 1, 1);
    put_map(f, "foreign", 2, 1);
    put_pod(f, "a", 1, NODE, "mine", 1);
    put_pod(f, "b", 2, "n2", "foreign", 1);
    put_pod(f, "c", 3, "", "foreign", 1);
    join(f);
    assert_true(wait_for(f, has_what_it_should, NULL));
    assert_non_null(store_get(f->store, STR_LIT("configmaps/ns/mine")));
    assert_null(store_get(f->store, STR_LIT("configmaps/ns/foreign")));
    assert_null(store_get(f->store, STR_LIT("pods/ns/b")));
    put_pod(f, "a", 1, NODE, "foreign", 2);
    turn(f, 50); /* until it is published */
    assert_true(wait_for(f, has_what_it_should, NULL));
    assert_null(store_get(f->store, STR_LIT("configmaps/ns/mine")));
    struct sync_parent_info info;
    sync_parent_info(f->top.parent, &info);
    assert_int_equal(info.connections, 1);
    struct arena a;
    arena_init(&a, 0);
    struct json *lease = parse(
        &a, store_get(f->top.store, STR_LIT("leases.coordination.k8s.io/kube-node-lease/" NODE)));
    assert_string_equal(json_path_cstr(lease, "spec.holderIdentity", ""), NODE);
    arena_fini(&a);
}

static bool has_cert(struct fixture *f, const void *arg)
{
    CLEANUP(mem_freep) char *path = mem_printf("%s/pki/node.crt", f->dir);
    (void)arg;
    return file_exists(path);
}

static void a_node_that_is_lured_to_another_center_does_not_join(void **state)
{
    struct fixture *f = *state;
    child_open(f, TOKEN "@sha256:0000000000000000000000000000000000000000000000000000000000000000");
    turn(f, 1500);
    assert_false(has_cert(f, NULL));
}

static void a_node_with_a_wrong_token_does_not_join(void **state)
{
    struct fixture *f = *state;
    CLEANUP(mem_freep) char *token = mem_printf("abcdef.ffffffffffffffff@sha256:%s", f->ca_hash);
    child_open(f, token);
    turn(f, 1500);
    assert_false(has_cert(f, NULL));
}

static void write_pki(struct fixture *f, int64_t seconds)
{
    static const char *const orgs[] = {"system:nodes", NULL};
    struct x509_profile p = {.subject = {.cn = "system:node:" NODE, .orgs = orgs},
                             .use = X509_USE_CLIENT,
                             .seconds = seconds};
    CLEANUP(mem_freep) char *dir = mem_printf("%s/pki", f->dir);
    CLEANUP(mem_freep) char *key_path = mem_printf("%s/pki/node.key", f->dir);
    CLEANUP(mem_freep) char *cert_path = mem_printf("%s/pki/node.crt", f->dir);
    CLEANUP(mem_freep) char *ca_path = mem_printf("%s/pki/ca.crt", f->dir);
    CLEANUP(mem_freep) char *key = NULL;
    CLEANUP(mem_freep) char *cert = NULL;
    assert_int_equal(dir_make(dir, 0700, NULL), 0);
    assert_int_equal(x509_key_new(&key, NULL), 0);
    assert_int_equal(x509_sign(f->ca_cert, f->ca_key, key, NULL, &p, &cert, NULL), 0);
    assert_int_equal(x509_save_key(key_path, key, NULL), 0);
    assert_int_equal(x509_save_cert(cert_path, cert, NULL), 0);
    assert_int_equal(x509_save_cert(ca_path, f->ca_cert, NULL), 0);
}

static void an_expired_certificate_is_renewed_with_the_old_key(void **state)
{
    struct fixture *f = *state;
    write_pki(f, -3600);
    child_open(f, NULL);
    assert_true(wait_for(f, is_live, NULL));
}

static bool pod_marked(struct fixture *f, const void *arg)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *pod = replica_get(f->replica, &a, "pods", "ns", arg);
    bool marked = obj_deleting(pod);
    arena_fini(&a);
    return marked;
}

static bool pod_absent(struct fixture *f, const void *arg)
{
    struct arena a;
    arena_init(&a, 0);
    bool absent = !replica_get(f->replica, &a, "pods", "ns", arg);
    arena_fini(&a);
    return absent;
}

static void a_pod_that_vanished_at_the_parent_stays_until_its_containers_are_gone(void **state)
{
    struct fixture *f = *state;
    put_namespace(f);
    put_map(f, "m", 1, 1);
    put_pod(f, "a", 1, NODE, "m", 1);
    join(f);
    assert_true(wait_for(f, has_what_it_should, NULL));
    top_delete(f, "pods/ns/a");
    assert_true(wait_for(f, pod_marked, "a"));
    turn(f, 50);
    assert_true(pod_marked(f, "a"));
    assert_int_equal(replica_pod_gone(f->replica, "ns", "a", "p-1", NULL), 0);
    assert_true(wait_for(f, pod_absent, "a"));
    assert_true(wait_for(f, outbox_is_empty, NULL));
}

static bool pod_has_uid(struct fixture *f, const void *arg)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *pod = replica_get(f->replica, &a, "pods", "ns", "a");
    bool ok = cstr_eq(obj_uid(pod), arg);
    arena_fini(&a);
    return ok;
}

static void a_pod_that_was_made_anew_replaces_the_old_one(void **state)
{
    struct fixture *f = *state;
    put_namespace(f);
    put_map(f, "m", 1, 1);
    put_pod(f, "a", 1, NODE, "m", 1);
    join(f);
    assert_true(wait_for(f, pod_has_uid, "p-1"));
    relay_cut(&f->relay);
    f->relay.down = true;
    top_delete(f, "pods/ns/a");
    put_pod(f, "a", 9, NODE, "m", 1);
    turn(f, 50);
    f->relay.down = false;
    assert_true(wait_for(f, pod_has_uid, "p-9"));
    assert_false(pod_marked(f, "a"));
}

static bool top_status_is(struct fixture *f, const void *arg)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *pod = parse(&a, store_get(f->top.store, STR_LIT("pods/ns/a")));
    bool ok = cstr_eq(json_path_cstr(pod, "status.message", ""), arg);
    arena_fini(&a);
    return ok;
}

static void a_status_that_another_wrote_during_a_cut_is_put_right_again(void **state)
{
    struct fixture *f = *state;
    struct arena a;
    put_namespace(f);
    put_map(f, "m", 1, 1);
    put_pod(f, "a", 1, NODE, "m", 1);
    join(f);
    assert_true(wait_for(f, pod_has_uid, "p-1"));
    arena_init(&a, 0);
    struct json *status = json_object(&a);
    json_set_str(status, "phase", "Running");
    json_set_str(status, "message", "mine");
    assert_int_equal(replica_set_status(f->replica, "pods", "ns", "a", "p-1", status, NULL), 0);
    arena_fini(&a);
    assert_true(wait_for(f, top_status_is, "mine"));
    relay_cut(&f->relay);
    f->relay.down = true;
    put_pod(f, "a", 1, NODE, "m", 1); /* as a node lifecycle controller would: status is another */
    turn(f, 50);
    f->relay.down = false;
    assert_true(wait_for(f, top_status_is, "mine"));
}

static void nothing_travels_down_when_only_a_status_changed(void **state)
{
    struct fixture *f = *state;
    struct watcher w = {0};
    put_namespace(f);
    put_map(f, "m", 1, 1);
    put_pod(f, "a", 1, NODE, "m", 1);
    join(f);
    assert_true(wait_for(f, has_what_it_should, NULL));
    assert_int_equal(
        store_watch_open(f->store, STR_LIT("pods/"), store_rev(f->store), on_ready, &w, &w.watch),
        0);
    char other[900];
    struct store_item *it = store_get(f->top.store, STR_LIT("pods/ns/a"));
    (void)snprintf(other, sizeof(other), "%s", store_item_value(it).p);
    char *phase = strstr(other, "Pending");
    memcpy(phase, "Running", 7);
    top_put(f, "pods/ns/a", other);
    turn(f, 200);
    assert_int_equal(w.events, 0);
    store_watch_close(w.watch);
    map_fini(&w.seen, NULL);
}

static void random_change(struct fixture *f, unsigned i)
{
    static const char *const nodes[] = {NODE, NODE, NODE, "n2"};
    char pod[16], map[16];
    unsigned n = (unsigned)chance(8), m = (unsigned)chance(5);
    (void)snprintf(pod, sizeof(pod), "pod-%u", n);
    (void)snprintf(map, sizeof(map), "map-%u", m);
    switch (chance(8)) {
    case 0:
    case 1:
        put_map(f, map, m, i);
        break;
    case 2:
        (void)snprintf(pod, sizeof(pod), "configmaps/ns/map-%u", m);
        top_delete(f, pod);
        break;
    case 3: /* another pod of that name, perhaps elsewhere */
        (void)snprintf(map, sizeof(map), "pods/ns/pod-%u", n);
        top_delete(f, map);
        (void)snprintf(map, sizeof(map), "map-%u", m);
        put_pod(f, pod, 1000 + i, nodes[chance(4)], map, i);
        break;
    case 4:
        (void)snprintf(pod, sizeof(pod), "pods/ns/pod-%u", n);
        top_delete(f, pod);
        break;
    case 5:
        f->relay.cut_after = (int64_t)chance(3000);
        break;
    default:
        set_some_status(f, i);
        break;
    }
}

static void tell_all(const char *side, struct store *store)
{
    struct store_list l = {0};
    struct store_list_opts opts = {0};
    assert_int_equal(store_list(store, &opts, &l), 0);
    for (size_t i = 0; i < l.n; i++) {
        struct str key = store_item_key(l.items[i]);
        if (!str_starts(key, "events/")) {
            print_error("%s: %.*s origin %lld: %.*s\n", side, STR_ARG(key),
                        (long long)l.items[i]->origin, STR_ARG(store_item_value(l.items[i])));
        }
    }
    store_list_fini(&l);
}

static void tell_difference(struct fixture *f)
{
    tell_all("parent", f->top.store);
    tell_all("child", f->store);
}

static void whatever_is_cut_and_when_both_ends_agree_afterwards(void **state)
{
    struct fixture *f = *state;
    struct watcher w = {0};
    unsigned events = 0, changes = 400;
    chance_begin();
    put_namespace(f);
    join(f);
    assert_int_equal(
        store_watch_open(f->store, STR_LIT(""), store_rev(f->store), on_ready, &w, &w.watch), 0);
    for (unsigned i = 1; i <= changes; i++) {
        random_change(f, i);
        if (i % 7 == 0) {
            send_event(f, ++events);
        }
        finish_deleted(f);
        turn(f, (int64_t)chance(4));
        if (i % 50 == 0) {
            assert_true(wait_for(f, is_live, NULL));
        }
    }
    f->relay.cut_after = -1;
    if (!wait_for(f, outbox_is_empty, NULL)) {
        tell_difference(f);
        fail_msg("seed %llu, after %d cuts the ends do not agree: live %d, outbox %zu",
                 (unsigned long long)seed, f->relay.cuts, is_live(f, NULL),
                 store_count(f->store, STR_LIT(OUTBOX)));
    }
    if (!statuses_agree(f) || w.needless || !events_in_order(f, events) || f->relay.cuts < 3) {
        fail_msg("seed %llu, %d cuts: statuses agree %d, needless writes %d, events in order %d",
                 (unsigned long long)seed, f->relay.cuts, statuses_agree(f), w.needless,
                 events_in_order(f, events));
    }
    store_watch_close(w.watch);
    map_fini(&w.seen, NULL);
}

/* ---- streams through the tunnel ---- */

struct echo {
    struct node_stream base;
    const struct node_stream_events *events;
    void *arg;
    struct io_task begin, end;
    bool closed;
};

static void echo_free(void *arg)
{
    mem_free(arg);
}

static void echo_begin(void *arg)
{
    struct echo *e = arg;
    e->events->opened(e->arg);
    e->events->message(e->arg, CHANNEL_STDOUT, STR_LIT("hello"));
}

static int echo_send(struct node_stream *s, uint8_t channel, struct str data)
{
    struct echo *e = CONTAINER_OF(s, struct echo, base);
    if (channel == CHANNEL_CLOSE) {
        e->closed = true;
        io_task_cancel(&e->begin);
        e->events->ended(e->arg, -E_NOENT, "as it was wished");
        mem_free(e);
        return 0;
    }
    e->events->message(e->arg, CHANNEL_STDERR, data);
    return 0;
}

static void echo_pause(struct node_stream *s, bool paused)
{
    (void)s;
    (void)paused;
}

static void echo_close(struct node_stream *s)
{
    struct echo *e = CONTAINER_OF(s, struct echo, base);
    io_task_cancel(&e->begin);
    echo_free(e);
}

static const struct node_stream_ops echo_ops = {
    .send = echo_send, .pause = echo_pause, .close = echo_close};

static struct node_stream *echo_open(void *arg, const struct node_stream_req *req,
                                     const struct node_stream_events *events, void *events_arg,
                                     struct err *err)
{
    struct fixture *f = arg;
    if (cstr_eq(req->container, "none")) {
        (void)err_set(err, -E_NOENT, "no container 'none'");
        return NULL;
    }
    struct echo *e = mem_zalloc(sizeof(*e));
    e->base.ops = &echo_ops;
    e->events = events;
    e->arg = events_arg;
    io_task_init(&e->begin, echo_begin, e);
    loop_defer(f->loop, &e->begin);
    return &e->base;
}

struct seen {
    bool opened, ended;
    int code;
    char text[256], out[8192], errors[8192];
};

static void seen_opened(void *arg)
{
    ((struct seen *)arg)->opened = true;
}

static void seen_message(void *arg, uint8_t channel, struct str data)
{
    struct seen *s = arg;
    char *at = channel == CHANNEL_STDOUT ? s->out : s->errors;
    (void)strncat(at, data.p, data.n);
}

static void seen_drained(void *arg)
{
    (void)arg;
}

static void seen_ended(void *arg, int code, const char *text)
{
    struct seen *s = arg;
    s->ended = true;
    s->code = code;
    (void)cstr_copy(s->text, sizeof(s->text), text);
}

static const struct node_stream_events seen_events = {
    .opened = seen_opened, .message = seen_message, .drained = seen_drained, .ended = seen_ended};

static bool has_tunnel(struct fixture *f, const void *arg)
{
    struct sync_parent_info info;
    (void)arg;
    sync_parent_info(f->top.parent, &info);
    return info.tunnels == 1;
}

static bool has_out(struct fixture *f, const void *arg)
{
    (void)f;
    return ((const struct seen *)arg)->out[0] != '\0';
}

static bool has_echo(struct fixture *f, const void *arg)
{
    (void)f;
    return ((const struct seen *)arg)->errors[0] != '\0';
}

static bool has_ended(struct fixture *f, const void *arg)
{
    (void)f;
    return ((const struct seen *)arg)->ended;
}

static struct node_stream *open_to(struct fixture *f, const char *node, const char *container,
                                   struct seen *seen, struct err *err)
{
    static const char *const command[] = {"sh", "-c", "exit 3", NULL};
    struct node_stream_req req = {.type = NODE_STREAM_EXEC,
                                  .node = node,
                                  .ns = "ns",
                                  .pod = "p",
                                  .uid = "u",
                                  .container = container,
                                  .command = command,
                                  .in = true,
                                  .out = true};
    return sync_parent_open_stream(f->top.parent, &req, &seen_events, seen, err);
}

static void streams_reach_the_node_through_its_tunnel(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {0}, refused = {0};
    struct err err = {0};
    f->open_stream = echo_open;
    assert_null(open_to(f, NODE, "c", &seen, &err));
    assert_string_equal(err.text, "node n1 is not connected");
    join(f);
    assert_true(wait_for(f, has_tunnel, NULL));
    struct node_stream *s = open_to(f, NODE, "c", &seen, &err);
    assert_non_null(s);
    assert_true(wait_for(f, has_out, &seen));
    assert_true(seen.opened);
    assert_string_equal(seen.out, "hello");
    assert_true(s->ops->send(s, CHANNEL_STDIN, STR_LIT("ping")) >= 0);
    assert_true(wait_for(f, has_echo, &seen));
    assert_string_equal(seen.errors, "ping");
    assert_true(s->ops->send(s, CHANNEL_CLOSE, STR_LIT("\0")) >= 0);
    assert_true(wait_for(f, has_ended, &seen));
    assert_int_equal(seen.code, -E_NOENT);
    assert_string_equal(seen.text, "as it was wished");
    assert_non_null(open_to(f, NODE, "none", &refused, &err));
    assert_true(wait_for(f, has_ended, &refused));
    assert_false(refused.opened);
    assert_int_equal(refused.code, -E_NOENT);
    assert_string_equal(refused.text, "no container 'none'");
}

static void a_stream_ends_with_a_word_when_the_node_is_cut_off(void **state)
{
    struct fixture *f = *state;
    struct seen seen = {0};
    struct err err = {0};
    f->open_stream = echo_open;
    join(f);
    assert_true(wait_for(f, has_tunnel, NULL));
    assert_non_null(open_to(f, NODE, "c", &seen, &err));
    assert_true(wait_for(f, has_out, &seen));
    relay_cut(&f->relay);
    assert_true(wait_for(f, has_ended, &seen));
    assert_true(seen.code < 0);
    assert_true(strlen(seen.text) > 5);
    assert_true(wait_for(f, has_tunnel, NULL));
}

/* ---- streams, tables, rules ---- */

#define RULE "rules.data.selvedge.dev/ns/r"

static void put_node(struct fixture *f, const char *name, const char *site)
{
    char key[64], value[400];
    (void)snprintf(key, sizeof(key), "nodes//%s", name);
    (void)snprintf(value, sizeof(value),
                   "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":{\"name\":\"%s\",\"uid\":"
                   "\"u-%s\",\"labels\":{\"site\":\"%s\"}},\"spec\":{},\"status\":{}}",
                   name, name, site);
    top_put(f, key, value);
}

/* As a client's write does, the status stays. */
static void put_rule(struct fixture *f, const char *site, unsigned generation)
{
    struct arena a;
    struct buf text = BUF_INIT;
    arena_init(&a, 0);
    struct json *old = parse(&a, store_get_latest(f->top.store, STR_LIT(RULE)));
    struct json *o = json_object(&a), *meta = json_ensure_object(o, "metadata");
    json_set_str(o, "apiVersion", "data.selvedge.dev/v1alpha1");
    json_set_str(o, "kind", "Rule");
    json_set_str(meta, "namespace", "ns");
    json_set_str(meta, "name", "r");
    json_set_str(meta, "uid", "r-1");
    json_set_int(meta, "generation", generation);
    struct json *spec = json_ensure_object(o, "spec");
    json_set_str(json_ensure_object(spec, "nodeSelector"), "site", site);
    json_set(o, "status", json_clone(&a, json_get(old, "status")));
    assert_int_equal(json_print(&text, o), 0);
    assert_int_equal(buf_putc(&text, '\0'), 0);
    top_put(f, RULE, buf_data(&text));
    buf_fini(&text);
    arena_fini(&a);
}

/* What `data` does by replica_report_route(). */
static void report(struct fixture *f, const char *state, unsigned generation)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *entry = json_object(&a);
    json_set_str(entry, "state", state);
    json_set_int(entry, "observedGeneration", generation);
    entry = placed_clean(&a, entry, NODE, NULL);
    assert_int_equal(replica_set_status(f->replica, "rules.data.selvedge.dev", "ns", "r", "r-1",
                                        placed_status(&a, &entry, 1, 1, generation, NULL), NULL),
                     0);
    arena_fini(&a);
}

static bool has_rule(struct fixture *f, const void *arg)
{
    return (store_get(f->store, STR_LIT(RULE)) != NULL) == (arg != NULL);
}

/* arg: "state ready/desired nodes" of the status at the top. */
static bool rule_shows(struct fixture *f, const void *arg)
{
    struct arena a;
    char shown[64];
    arena_init(&a, 0);
    const struct json *status =
        json_get(parse(&a, store_get(f->top.store, STR_LIT(RULE))), "status");
    (void)snprintf(shown, sizeof(shown), "%s %d/%d %zu", json_path_cstr(status, "state", ""),
                   (int)json_path_i64(status, "summary.ready", 0),
                   (int)json_path_i64(status, "summary.desired", 0),
                   json_len(json_get(status, "nodes")));
    arena_fini(&a);
    return cstr_eq(shown, arg);
}

static bool nothing_waits(struct fixture *f, const void *arg)
{
    (void)arg;
    return store_count(f->store, STR_LIT(OUTBOX)) == 0;
}

static void a_rule_is_on_the_nodes_whose_labels_it_names(void **state)
{
    struct fixture *f = *state;
    put_node(f, NODE, "north");
    put_node(f, "n2", "south");
    put_rule(f, "south", 1);
    join(f);
    assert_true(wait_for(f, rule_shows, "Pending 0/1 0"));
    assert_true(has_rule(f, NULL));
    put_rule(f, "north", 2);
    assert_true(wait_for(f, has_rule, "yes"));
    report(f, "Running", 2);
    assert_true(wait_for(f, rule_shows, "Running 1/1 1"));
    put_node(f, NODE, "east"); /* it moves away */
    assert_true(wait_for(f, has_rule, NULL));
    assert_true(wait_for(f, rule_shows, "NoNode 0/0 0"));
    put_node(f, NODE, "north");
    put_node(f, "n2", "north");
    assert_true(wait_for(f, has_rule, "yes"));
    report(f, "Failed", 2);
    assert_true(wait_for(f, rule_shows, "Failed 0/2 1"));
    top_delete(f, "nodes//n2");
    report(f, "Stopped", 2);
    assert_true(wait_for(f, rule_shows, "Stopped 1/1 1"));
    top_delete(f, RULE);
    assert_true(wait_for(f, has_rule, NULL));
    assert_true(wait_for(f, nothing_waits, NULL));
}

static void a_report_is_asked_for_again_when_the_parent_does_not_know_it(void **state)
{
    struct fixture *f = *state;
    struct watcher w = {0};
    put_node(f, NODE, "north");
    put_rule(f, "north", 1);
    join(f);
    assert_true(wait_for(f, has_rule, "yes"));
    report(f, "Running", 1);
    assert_true(wait_for(f, rule_shows, "Running 1/1 1"));
    top_close(f); /* the center begins anew, and somebody lost the status */
    struct store_item *it = store_get(f->top.store, STR_LIT(RULE));
    char text[900];
    (void)snprintf(text, sizeof(text), "%s", store_item_value(it).p);
    char *status = strstr(text, ",\"status\"");
    assert_non_null(status);
    (void)cstr_copy(status, sizeof(text) - (size_t)(status - text), "}");
    top_put(f, RULE, text);
    turn(f, 20);
    assert_int_equal(
        store_watch_open(f->store, STR_LIT("rules"), store_rev(f->store), on_ready, &w, &w.watch),
        0);
    top_open(f);
    assert_true(wait_for(f, rule_shows, "Running 1/1 1"));
    turn(f, 50);
    assert_int_equal(w.events, 0); /* nothing came down for it */
    store_watch_close(w.watch);
    map_fini(&w.seen, NULL);
}

#define SYNC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SYNC_TEST(a_node_joins_with_a_token_and_gets_what_concerns_it),
        SYNC_TEST(a_node_that_is_lured_to_another_center_does_not_join),
        SYNC_TEST(a_node_with_a_wrong_token_does_not_join),
        SYNC_TEST(an_expired_certificate_is_renewed_with_the_old_key),
        SYNC_TEST(a_pod_that_vanished_at_the_parent_stays_until_its_containers_are_gone),
        SYNC_TEST(a_pod_that_was_made_anew_replaces_the_old_one),
        SYNC_TEST(a_status_that_another_wrote_during_a_cut_is_put_right_again),
        SYNC_TEST(nothing_travels_down_when_only_a_status_changed),
        SYNC_TEST(a_rule_is_on_the_nodes_whose_labels_it_names),
        SYNC_TEST(a_report_is_asked_for_again_when_the_parent_does_not_know_it),
        SYNC_TEST(whatever_is_cut_and_when_both_ends_agree_afterwards),
        SYNC_TEST(streams_reach_the_node_through_its_tunnel),
        SYNC_TEST(a_stream_ends_with_a_word_when_the_node_is_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All controllers together over the real API server and a store in memory, with a kubelet that is
 * only pretended: it sets the status of every pod that has a node, and ends those that are deleted.
 */
#include "orchestrator.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "api/informer.h"
#include "api/object.h"
#include "api/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "net/http_server.h"
#include "store/store.h"

struct fixture {
    struct io_loop *loop;
    struct store *store;
    struct api_server *server;
    struct api_client *client;
    struct orchestrator *o;
    struct http_server *http_server; /* only where the controllers talk HTTP */
    struct http_client *http_client;
    struct api_client *remote;
    struct informer *pods; /* of the kubelet */
    struct arena arena;    /* of answers */
    bool kubelet_off;
    const char *broken_image; /* pods with it never get ready */
};

/* ---- calls ---- */

struct answer {
    int code;
    struct json *body;
    char text[512];
    bool done;
};

struct waiting {
    struct api_call call;
    struct fixture *f;
    struct answer *answer;
};

static void on_done(struct api_call *call, int code, struct json *result)
{
    struct waiting *w = call->arg;
    w->answer->code = code;
    w->answer->body = result ? json_clone(&w->f->arena, result) : NULL;
    (void)cstr_copy(w->answer->text, sizeof(w->answer->text), call->err.text);
    w->answer->done = true;
}

static struct answer call(struct fixture *f, const struct api_request *r)
{
    struct answer a = {0};
    struct waiting w = {.f = f, .answer = &a};
    w.call.done = on_done;
    w.call.arg = &w;
    api_call_start(f->client, &w.call, r);
    while (!a.done) {
        loop_run_once(f->loop);
    }
    return a;
}

/* Texts are written with ' for ". */
static struct json *json_of(struct fixture *f, const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    char *copy = arena_strdup(&f->arena, text);
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (json_parse(&f->arena, str_of(copy), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static const struct kind *kind_of(const char *name)
{
    static const char *const versions[] = {"v1", "apps/v1", "coordination.k8s.io/v1"};
    for (size_t i = 0; i < ARRAY_SIZE(versions); i++) {
        const struct kind *k = kind_find_api(versions[i], name);
        if (k) {
            return k;
        }
    }
    fail_msg("no kind %s", name);
    return NULL;
}

#define NS "default"

static const char *ns_of(const struct kind *k, const char *ns)
{
    return k->namespaced ? ns : NULL;
}

static struct json *create(struct fixture *f, const char *kind, const char *ns, struct json *body)
{
    const struct kind *k = kind_of(kind);
    struct answer a = call(
        f, &(struct api_request){.verb = API_CREATE, .kind = k, .ns = ns_of(k, ns), .body = body});
    if (a.code < 0) {
        fail_msg("%s", a.text);
    }
    return a.body;
}

static struct json *get(struct fixture *f, const char *kind, const char *ns, const char *name)
{
    const struct kind *k = kind_of(kind);
    struct answer a = call(
        f, &(struct api_request){.verb = API_GET, .kind = k, .ns = ns_of(k, ns), .name = name});
    return a.code == 0 ? a.body : NULL;
}

static struct json *list(struct fixture *f, const char *kind, const char *ns)
{
    const struct kind *k = kind_of(kind);
    struct answer a =
        call(f, &(struct api_request){.verb = API_LIST, .kind = k, .ns = ns_of(k, ns)});
    assert_int_equal(a.code, 0);
    return json_get(a.body, "items");
}

static void patch(struct fixture *f, const char *kind, const char *name, const char *sub,
                  const char *text)
{
    const struct kind *k = kind_of(kind);
    struct answer a = call(f, &(struct api_request){.verb = API_PATCH,
                                                    .kind = k,
                                                    .ns = ns_of(k, NS),
                                                    .name = name,
                                                    .subresource = sub,
                                                    .patch = API_PATCH_STRATEGIC,
                                                    .body = json_of(f, text)});
    if (a.code < 0) {
        fail_msg("%s", a.text);
    }
}

static void del(struct fixture *f, const char *kind, const char *ns, const char *name,
                const char *propagation)
{
    const struct kind *k = kind_of(kind);
    struct answer a = call(f, &(struct api_request){.verb = API_DELETE,
                                                    .kind = k,
                                                    .ns = ns_of(k, ns),
                                                    .name = name,
                                                    .propagation = propagation});
    if (a.code < 0) {
        fail_msg("%s", a.text);
    }
}

/* ---- the pretended kubelet ---- */

struct kubelet_call {
    struct api_call call;
    struct arena arena;
};

static void kubelet_done(struct api_call *call, int code, struct json *result)
{
    struct kubelet_call *kc = call->arg;
    arena_fini(&kc->arena);
    mem_free(kc);
}

static void run_pod(struct fixture *f, struct kubelet_call *kc, const struct json *pod)
{
    const char *image =
        json_cstr(json_get(json_at(json_path(pod, "spec.containers"), 0), "image"), "");
    bool ready = !f->broken_image || strcmp(image, f->broken_image) != 0;
    struct json *body = json_object(&kc->arena);
    struct json *status = json_ensure_object(body, "status");
    char now[TIME_TEXT_SIZE];
    (void)time_text(wall_now(), now);
    json_set_str(status, "phase", "Running");
    static const char *const types[] = {"Ready", "ContainersReady"};
    for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
        struct json *c =
            json_push(json_ensure_array(status, "conditions"), json_object(&kc->arena));
        json_set_str(c, "type", types[i]);
        json_set_str(c, "status", ready ? "True" : "False");
        json_set_str(c, "lastTransitionTime", now);
    }
    struct api_request r = {.verb = API_PATCH,
                            .kind = kind_of("Pod"),
                            .ns = obj_ns(pod),
                            .name = obj_name(pod),
                            .subresource = "status",
                            .patch = API_PATCH_STRATEGIC,
                            .body = body};
    api_call_start(f->client, &kc->call, &r);
}

static void end_pod(struct fixture *f, struct kubelet_call *kc, const struct json *pod)
{
    struct api_request r = {.verb = API_DELETE,
                            .kind = kind_of("Pod"),
                            .ns = obj_ns(pod),
                            .name = obj_name(pod),
                            .precondition_uid = obj_uid(pod),
                            .has_grace = true};
    api_call_start(f->client, &kc->call, &r);
}

static void kubelet_sees(void *arg, struct api_item *old, struct api_item *item)
{
    struct fixture *f = arg;
    struct kubelet_call *kc = item && !f->kubelet_off ? mem_zalloc(sizeof(*kc)) : NULL;
    if (!kc) {
        return;
    }
    arena_init(&kc->arena, 0);
    kc->call.done = kubelet_done;
    kc->call.arg = kc;
    struct json *pod = api_item_parse(item, &kc->arena);
    bool bound = json_path_cstr(pod, "spec.nodeName", "")[0] != '\0';
    if (bound && obj_deleting(pod)) {
        end_pod(f, kc, pod);
    } else if (bound && strcmp(json_path_cstr(pod, "status.phase", ""), "Pending") == 0) {
        run_pod(f, kc, pod);
    } else {
        arena_fini(&kc->arena);
        mem_free(kc);
    }
}

static void make_node(struct fixture *f, const char *name)
{
    struct json *node = json_of(
        f,
        "{'metadata':{},'status':{'allocatable':{'cpu':'4','memory':'8Gi','pods':'110'},"
        "'capacity':{'cpu':'4','memory':'8Gi','pods':'110'},'conditions':[{'type':'Ready','status':"
        "'True','reason':'KubeletReady','message':'ok','lastHeartbeatTime':'2026-01-01T00:00:00Z',"
        "'lastTransitionTime':'2026-01-01T00:00:00Z'}]}}");
    json_set_str(json_get(node, "metadata"), "name", name);
    create(f, "Node", NULL, node);
}

static void renew_lease(struct fixture *f, const char *name)
{
    char now[TIME_TEXT_SIZE];
    struct json *lease = get(f, "Lease", "kube-node-lease", name);
    bool fresh = !lease;
    lease = fresh ? json_of(f, "{'metadata':{},'spec':{}}") : lease;
    json_set_str(json_get(lease, "metadata"), "name", name);
    json_set_str(json_get(lease, "spec"), "renewTime", time_text_micro(wall_now(), now));
    if (fresh) {
        create(f, "Lease", "kube-node-lease", lease);
        return;
    }
    struct answer a = call(f, &(struct api_request){.verb = API_UPDATE,
                                                    .kind = kind_of("Lease"),
                                                    .ns = "kube-node-lease",
                                                    .name = name,
                                                    .body = lease});
    assert_int_equal(a.code, 0);
}

/* ---- waiting ---- */

typedef bool condition_fn(struct fixture *f, const void *arg);

static void wake(void *arg)
{
}

static bool wait_ms(struct fixture *f, int64_t ms, condition_fn *fn, const void *arg)
{
    int64_t end = mono_now().us + ms * 1000;
    struct io_timer tick;
    bool met = false;
    while (!(met = fn(f, arg)) && mono_now().us < end) {
        int64_t until = mono_now().us + 5000;
        /* A timer lets a quiet loop wake up. */
        io_timer_init(f->loop, &tick, wake, NULL);
        io_timer_start(&tick, 5, 5);
        do {
            loop_run_once(f->loop);
        } while (mono_now().us < until);
        io_timer_stop(&tick);
        arena_clear(&f->arena);
    }
    return met;
}

#define WAIT(f, fn, arg) assert_true(wait_ms((f), 20000, (fn), (arg)))

static bool available(struct fixture *f, const void *arg)
{
    const struct json *d = get(f, "Deployment", NS, arg);
    int64_t replicas = json_path_i64(d, "spec.replicas", 1);
    return d && json_path_i64(d, "status.observedGeneration", 0) >= obj_generation(d) &&
           json_path_i64(d, "status.updatedReplicas", 0) == replicas &&
           json_path_i64(d, "status.replicas", 0) == replicas &&
           json_path_i64(d, "status.availableReplicas", 0) == replicas;
}

static size_t count_pods(struct fixture *f, const char *image)
{
    size_t n = 0;
    JSON_FOR_EACH (pod, list(f, "Pod", NS)) {
        const char *have =
            json_cstr(json_get(json_at(json_path(pod, "spec.containers"), 0), "image"), "");
        n += !obj_deleting(pod) && (!image || strcmp(have, image) == 0);
    }
    return n;
}

static bool no_pods(struct fixture *f, const void *arg)
{
    return json_len(list(f, "Pod", NS)) == 0;
}

static bool no_sets(struct fixture *f, const void *arg)
{
    return json_len(list(f, "ReplicaSet", NS)) == 0 && no_pods(f, arg);
}

static bool is_synced(struct fixture *f, const void *arg)
{
    return orchestrator_synced(f->o) && get(f, "Namespace", NULL, "kube-node-lease");
}

/* ---- lifetime ---- */

static void handle(struct http_exchange *x, void *arg)
{
    api_server_handle(arg, x);
}

/* The controllers talk to the server over a Unix socket; HTTP/1.1 needs a connection for each
 * watch. */
static void make_remote(struct fixture *f, enum http_protocol protocol)
{
    char path[64];
    struct err err = {0};
    (void)snprintf(path, sizeof(path), "/tmp/orchestrator-test-%d.sock", (int)getpid());
    struct http_server_config sc = {.loop = f->loop, .handler = handle, .arg = f->server};
    assert_int_equal(http_server_new(&sc, &f->http_server), 0);
    if (http_server_listen_unix(f->http_server, path, 0600, &err) < 0) {
        fail_msg("%s", err.text);
    }
    struct http_client_config cc = {.loop = f->loop,
                                    .host = "localhost",
                                    .unix_path = path,
                                    .protocol = protocol,
                                    .max_connections = 64};
    assert_int_equal(http_client_new(&cc, &f->http_client), 0);
    f->remote = api_client_http(f->http_client, f->loop);
    assert_non_null(f->remote);
}

struct variant {
    int64_t node_grace_ms;
    bool http;
    enum http_protocol protocol;
};

static int setup_with(void **state, const struct variant *v)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err = {0};
    log_init("test", LOG_ERROR);
    arena_init(&f->arena, 0);
    assert_int_equal(loop_new(&f->loop, &err), 0);
    struct store_opts o = {.index = &api_store_index};
    assert_int_equal(store_open(f->loop, &o, &f->store, &err), 0);
    f->server = api_server_new(f->loop, f->store, NULL, &err);
    assert_non_null(f->server);
    f->client = api_client_local(f->server, "test");
    if (v->http) {
        make_remote(f, v->protocol);
    }
    struct orchestrator_opts opts = {.node_grace_ms = v->node_grace_ms, .orphan_grace_ms = 100};
    f->o = orchestrator_start(f->remote ? f->remote : f->client, f->loop, &opts);
    assert_non_null(f->o);
    struct informer_opts io = {.kind = kind_of("Pod"), .changed = kubelet_sees, .arg = f};
    f->pods = informer_new(f->client, f->loop, &io);
    WAIT(f, is_synced, NULL);
    *state = f;
    return 0;
}

static int setup(void **state)
{
    return setup_with(state, &(struct variant){0});
}

static int setup_short_grace(void **state)
{
    return setup_with(state, &(struct variant){.node_grace_ms = 400});
}

static int setup_http1(void **state)
{
    return setup_with(state, &(struct variant){.http = true, .protocol = HTTP_PROTOCOL_1});
}

static int setup_http2(void **state)
{
    return setup_with(state, &(struct variant){.http = true, .protocol = HTTP_PROTOCOL_2});
}

static void on_closed(void *arg, int code)
{
    *(bool *)arg = true;
}

static bool never(struct fixture *f, const void *arg)
{
    return false;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool closed = false;
    f->kubelet_off = true;
    orchestrator_stop(f->o);
    (void)wait_ms(f, 20, never, NULL); /* what the kubelet has asked is answered */
    informer_free(f->pods);
    api_client_free(f->remote);
    http_client_free(f->http_client);
    http_server_free(f->http_server);
    api_client_free(f->client);
    api_server_free(f->server);
    store_close(f->store, on_closed, &closed);
    while (!closed) {
        loop_run_once(f->loop);
    }
    loop_free(f->loop);
    arena_fini(&f->arena);
    mem_free(f);
    return 0;
}

static void make_deployment(struct fixture *f, const char *ns, int replicas)
{
    struct json *d = json_of(
        f, "{'metadata':{'name':'web'},'spec':{'selector':{'matchLabels':{'app':'web'}},"
           "'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c',"
           "'image':'one'}]}}}}");
    json_set_int(json_get(d, "spec"), "replicas", replicas);
    create(f, "Deployment", ns, d);
}

#define SET_IMAGE(image) \
    "{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'" image "'}]}}}}"

/* ---- Deployments ---- */

static void a_deployment_of_three_gets_three_running_pods(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_node(f, "n2");
    make_deployment(f, NS, 3);
    WAIT(f, available, "web");
    assert_int_equal(count_pods(f, NULL), 3);
    struct json *sets = list(f, "ReplicaSet", NS);
    assert_int_equal(json_len(sets), 1);
    const struct json *rs = json_at(sets, 0);
    assert_true(obj_label(rs, "pod-template-hash")[0]);
    assert_string_equal(obj_annotation(rs, "deployment.kubernetes.io/revision"), "1");
    const struct json *d = get(f, "Deployment", NS, "web");
    assert_string_equal(obj_annotation(d, "deployment.kubernetes.io/revision"), "1");
    assert_string_equal(json_cstr(json_get(obj_condition(d, "Progressing"), "reason"), ""),
                        "NewReplicaSetAvailable");
    assert_string_equal(obj_condition_status(d, "Available"), "True");
    /* They are spread over the nodes. */
    size_t on_first = 0;
    JSON_FOR_EACH (pod, list(f, "Pod", NS)) {
        on_first += strcmp(json_path_cstr(pod, "spec.nodeName", ""), "n1") == 0;
        assert_true(obj_controlled_by(pod, obj_uid(rs)));
    }
    assert_in_range(on_first, 1, 2);
}

static bool rolled_to_two(struct fixture *f, const void *arg)
{
    return available(f, arg) && count_pods(f, "two") == 4 && count_pods(f, NULL) == 4;
}

static bool rolled_to_one(struct fixture *f, const void *arg)
{
    return available(f, arg) && count_pods(f, "one") == 4 && count_pods(f, NULL) == 4;
}

static void a_new_image_rolls_out_and_can_be_undone(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_deployment(f, NS, 4);
    WAIT(f, available, "web");
    patch(f, "Deployment", "web", NULL, SET_IMAGE("two"));
    WAIT(f, rolled_to_two, "web");
    assert_string_equal(
        obj_annotation(get(f, "Deployment", NS, "web"), "deployment.kubernetes.io/revision"), "2");
    assert_int_equal(json_len(list(f, "ReplicaSet", NS)), 2);
    /* Back: the old set is used again and becomes revision 3. */
    patch(f, "Deployment", "web", NULL, SET_IMAGE("one"));
    WAIT(f, rolled_to_one, "web");
    assert_int_equal(json_len(list(f, "ReplicaSet", NS)), 2);
    assert_string_equal(
        obj_annotation(get(f, "Deployment", NS, "web"), "deployment.kubernetes.io/revision"), "3");
    JSON_FOR_EACH (rs, list(f, "ReplicaSet", NS)) {
        if (json_path_i64(rs, "spec.replicas", 0) == 4) {
            assert_string_equal(obj_annotation(rs, "deployment.kubernetes.io/revision"), "3");
            assert_string_equal(obj_annotation(rs, "deployment.kubernetes.io/revision-history"),
                                "1");
        }
    }
}

static void a_broken_image_stops_the_rollout_with_pods_left(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_deployment(f, NS, 4);
    WAIT(f, available, "web");
    f->broken_image = "broken";
    patch(f, "Deployment", "web", NULL, SET_IMAGE("broken"));
    (void)wait_ms(f, 500, never, NULL);
    /* 25 % of 4: one more, one less. */
    assert_int_equal(count_pods(f, "one"), 3);
    assert_int_equal(count_pods(f, "broken"), 2);
    patch(f, "Deployment", "web", NULL, SET_IMAGE("one"));
    WAIT(f, rolled_to_one, "web");
}

static bool has_six(struct fixture *f, const void *arg)
{
    return available(f, arg) && count_pods(f, NULL) == 6;
}

static bool has_none(struct fixture *f, const void *arg)
{
    return available(f, arg) && no_pods(f, arg);
}

static void scaling_up_and_down_and_to_zero(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_deployment(f, NS, 2);
    WAIT(f, available, "web");
    patch(f, "Deployment", "web", NULL, "{'spec':{'replicas':6}}");
    WAIT(f, has_six, "web");
    patch(f, "Deployment", "web", NULL, "{'spec':{'replicas':0}}");
    WAIT(f, has_none, "web");
    assert_int_equal(json_len(list(f, "ReplicaSet", NS)), 1);
}

static void a_recreate_never_runs_two_versions(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_deployment(f, NS, 4);
    WAIT(f, available, "web");
    patch(f, "Deployment", "web", NULL,
          "{'spec':{'strategy':{'$retainKeys':['type'],'type':'Recreate'}}}");
    patch(f, "Deployment", "web", NULL, SET_IMAGE("two"));
    int64_t end = mono_now().us + 20 * 1000000;
    while (!rolled_to_two(f, "web")) {
        assert_true(mono_now().us < end);
        size_t one = count_pods(f, "one"), two = count_pods(f, "two");
        assert_true(one == 0 || two == 0);
        arena_clear(&f->arena);
    }
}

static void a_paused_deployment_waits(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_deployment(f, NS, 4);
    WAIT(f, available, "web");
    patch(f, "Deployment", "web", NULL, "{'spec':{'paused':true}}");
    patch(f, "Deployment", "web", NULL, SET_IMAGE("two"));
    (void)wait_ms(f, 200, never, NULL);
    assert_int_equal(count_pods(f, "two"), 0);
    const struct json *d = get(f, "Deployment", NS, "web");
    assert_string_equal(json_cstr(json_get(obj_condition(d, "Progressing"), "reason"), ""),
                        "DeploymentPaused");
    patch(f, "Deployment", "web", NULL, "{'spec':{'paused':null}}");
    WAIT(f, rolled_to_two, "web");
}

/* ---- deletion ---- */

static bool is_gone(struct fixture *f, const void *arg)
{
    return !get(f, "Deployment", NS, arg) && no_sets(f, arg);
}

static void deleting_a_deployment_deletes_what_it_made(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_deployment(f, NS, 3);
    WAIT(f, available, "web");
    del(f, "Deployment", NS, "web", "Background");
    WAIT(f, is_gone, "web");
    make_deployment(f, NS, 3);
    WAIT(f, available, "web");
    del(f, "Deployment", NS, "web", "Foreground");
    WAIT(f, is_gone, "web");
}

static bool orphaned(struct fixture *f, const void *arg)
{
    const struct json *sets = list(f, "ReplicaSet", NS);
    return !get(f, "Deployment", NS, arg) && json_len(sets) == 1 &&
           !obj_controller_ref(json_at(sets, 0));
}

static bool adopted(struct fixture *f, const void *arg)
{
    const struct json *sets = list(f, "ReplicaSet", NS);
    return json_len(sets) == 1 && obj_controller_ref(json_at(sets, 0)) && available(f, arg);
}

static void orphaned_sets_are_adopted_again(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_deployment(f, NS, 3);
    WAIT(f, available, "web");
    del(f, "Deployment", NS, "web", "Orphan");
    WAIT(f, orphaned, "web");
    assert_int_equal(count_pods(f, NULL), 3);
    make_deployment(f, NS, 3);
    WAIT(f, adopted, "web");
    assert_int_equal(count_pods(f, NULL), 3);
}

static bool namespace_gone(struct fixture *f, const void *arg)
{
    return !get(f, "Namespace", NULL, arg);
}

static bool available_there(struct fixture *f, const void *arg)
{
    return json_path_i64(get(f, "Deployment", arg, "web"), "status.availableReplicas", 0) == 2;
}

static void a_namespace_goes_with_everything_in_it(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    create(f, "Namespace", NULL, json_of(f, "{'metadata':{'name':'team'}}"));
    make_deployment(f, "team", 2);
    create(f, "ConfigMap", "team", json_of(f, "{'metadata':{'name':'c'},'data':{'a':'b'}}"));
    WAIT(f, available_there, "team");
    del(f, "Namespace", NULL, "team", NULL);
    WAIT(f, namespace_gone, "team");
    assert_int_equal(json_len(list(f, "Pod", "team")), 0);
    assert_int_equal(json_len(list(f, "ConfigMap", "team")), 0);
    assert_int_equal(json_len(list(f, "Event", "team")), 0);
}

static bool child_gone(struct fixture *f, const void *arg)
{
    return !get(f, "ConfigMap", NS, arg);
}

static void an_object_of_an_owner_that_never_was_is_collected(void **state)
{
    struct fixture *f = *state;
    create(f, "ConfigMap", NS,
           json_of(f,
                   "{'metadata':{'name':'child','ownerReferences':[{'apiVersion':'v1','kind':"
                   "'ConfigMap','name':'nobody','uid':'11111111-2222-3333-4444-555555555555'}]}}"));
    WAIT(f, child_gone, "child");
}

/* ---- nodes and scheduling ---- */

static bool has_taint(const struct json *node, const char *key)
{
    JSON_FOR_EACH (t, json_path(node, "spec.taints")) {
        if (strcmp(json_cstr(json_get(t, "key"), ""), key) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_unknown(struct fixture *f, const void *arg)
{
    const struct json *node = get(f, "Node", NULL, arg);
    const struct json *pods = list(f, "Pod", NS);
    return strcmp(obj_condition_status(node, "Ready"), "Unknown") == 0 &&
           has_taint(node, "node.kubernetes.io/unreachable") && json_len(pods) == 1 &&
           strcmp(obj_condition_status(json_at(pods, 0), "Ready"), "False") == 0;
}

static bool is_back(struct fixture *f, const void *arg)
{
    const struct json *node = get(f, "Node", NULL, arg);
    const struct json *pods = list(f, "Pod", NS);
    return obj_condition_true(node, "Ready") &&
           !has_taint(node, "node.kubernetes.io/unreachable") && json_len(pods) == 1 &&
           obj_condition_true(json_at(pods, 0), "Ready");
}

static void a_silent_node_becomes_unknown_and_keeps_its_pods(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    renew_lease(f, "n1");
    make_deployment(f, NS, 1);
    WAIT(f, available, "web");
    char uid[64];
    (void)cstr_copy(uid, sizeof(uid), obj_uid(json_at(list(f, "Pod", NS), 0)));
    WAIT(f, is_unknown, "n1");
    assert_string_equal(uid, obj_uid(json_at(list(f, "Pod", NS), 0)));
    renew_lease(f, "n1");
    WAIT(f, is_back, "n1");
    assert_string_equal(uid, obj_uid(json_at(list(f, "Pod", NS), 0)));
}

static bool none_on_first(struct fixture *f, const void *arg)
{
    size_t n = 0;
    JSON_FOR_EACH (pod, list(f, "Pod", NS)) {
        n += strcmp(json_path_cstr(pod, "spec.nodeName", ""), "n1") == 0;
    }
    return n == 0;
}

static void pods_of_a_deleted_node_are_made_anew_elsewhere(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_deployment(f, NS, 2);
    WAIT(f, available, "web");
    f->kubelet_off = true; /* nobody ends the pods of the old node */
    del(f, "Node", NULL, "n1", NULL);
    WAIT(f, none_on_first, NULL);
    f->kubelet_off = false;
    make_node(f, "n2");
    WAIT(f, available, "web");
}

static bool none_on_first_and_available(struct fixture *f, const void *arg)
{
    return none_on_first(f, arg) && available(f, "web");
}

static void a_no_execute_taint_moves_pods_away(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    make_node(f, "n2");
    make_deployment(f, NS, 4);
    WAIT(f, available, "web");
    patch(f, "Node", "n1", NULL, "{'spec':{'taints':[{'key':'k','effect':'NoExecute'}]}}");
    WAIT(f, none_on_first_and_available, NULL);
}

static bool says_unschedulable(struct fixture *f, const void *arg)
{
    const struct json *pod = json_at(list(f, "Pod", NS), 0);
    return strcmp(json_cstr(json_get(obj_condition(pod, "PodScheduled"), "message"), ""), arg) == 0;
}

static void a_pod_waits_for_a_node_and_then_runs(void **state)
{
    struct fixture *f = *state;
    make_node(f, "n1");
    patch(f, "Node", "n1", NULL, "{'spec':{'unschedulable':true}}");
    make_deployment(f, NS, 1);
    WAIT(f, says_unschedulable,
         "0/1 nodes are available: 1 node(s) were unschedulable. preemption: 0/1 nodes are "
         "available: 1 Preemption is not helpful for scheduling.");
    patch(f, "Node", "n1", NULL, "{'spec':{'unschedulable':null}}");
    WAIT(f, available, "web");
}

static bool all_bound(struct fixture *f, const void *arg)
{
    const struct json *d = get(f, "Deployment", NS, "web");
    return json_path_i64(d, "status.availableReplicas", 0) == *(const int *)arg;
}

static void hundreds_of_pods_are_placed_quickly(void **state)
{
    struct fixture *f = *state;
    static const int n = 500;
    for (int i = 0; i < 10; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "n%d", i);
        make_node(f, name);
    }
    int64_t begin = mono_now().us;
    make_deployment(f, NS, n);
    WAIT(f, all_bound, &n);
    print_message("%d pods available after %lld ms\n", n,
                  (long long)((mono_now().us - begin) / 1000));
}

#define HTTP1(fn) cmocka_unit_test_setup_teardown(fn, setup_http1, teardown)
#define HTTP2(fn) cmocka_unit_test_setup_teardown(fn, setup_http2, teardown)
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(int argc, char **argv)
{
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    const struct CMUnitTest tests[] = {
        TEST(a_deployment_of_three_gets_three_running_pods),
        TEST(a_new_image_rolls_out_and_can_be_undone),
        TEST(a_broken_image_stops_the_rollout_with_pods_left),
        TEST(scaling_up_and_down_and_to_zero),
        TEST(a_recreate_never_runs_two_versions),
        TEST(a_paused_deployment_waits),
        TEST(deleting_a_deployment_deletes_what_it_made),
        TEST(orphaned_sets_are_adopted_again),
        TEST(a_namespace_goes_with_everything_in_it),
        TEST(an_object_of_an_owner_that_never_was_is_collected),
        cmocka_unit_test_setup_teardown(a_silent_node_becomes_unknown_and_keeps_its_pods,
                                        setup_short_grace, teardown),
        TEST(pods_of_a_deleted_node_are_made_anew_elsewhere),
        TEST(a_no_execute_taint_moves_pods_away),
        TEST(a_pod_waits_for_a_node_and_then_runs),
        TEST(hundreds_of_pods_are_placed_quickly),
        /* The same over HTTP. */
        HTTP1(a_new_image_rolls_out_and_can_be_undone),
        HTTP1(deleting_a_deployment_deletes_what_it_made),
        HTTP1(a_namespace_goes_with_everything_in_it),
        HTTP2(a_new_image_rolls_out_and_can_be_undone),
        HTTP2(orphaned_sets_are_adopted_again),
        HTTP2(a_pod_waits_for_a_node_and_then_runs),
        HTTP2(hundreds_of_pods_are_placed_quickly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server below HTTP, over a store in memory, through the in-process client: what Kubernetes'
 * clients and controllers rely on. The texts of refusals are golden.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/client.h"
#include "api/object.h"
#include "api/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "store/store.h"

struct fixture {
    struct io_loop *loop;
    struct store *store;
    struct api_server *server;
    struct api_client *client;
    struct arena arena; /* of answers */
};

struct answer {
    int code;
    struct json *body;
    char text[768];
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
    w->answer->body = json_clone(&w->f->arena, result);
    cstr_copy(w->answer->text, sizeof(w->answer->text), json_path_cstr(result, "message", ""));
    w->answer->done = true;
}

static struct answer call(struct fixture *f, const struct api_request *r)
{
    struct answer a = {0};
    struct waiting w = {.f = f, .answer = &a};
    w.call.done = on_done;
    w.call.arg = &w;
    api_call_start(f->client, &w.call, r);
    assert_false(a.done);
    while (!a.done) {
        loop_run_once(f->loop);
    }
    return a;
}

static struct json *parse(struct fixture *f, const char *text)
{
    struct json *j = NULL;
    struct err err;
    int code = json_parse(&f->arena, str_of(text), NULL, &j, &err);
    if (code < 0 && code != -E_NOMEM) {
        fail_msg("%s: %s", err.text, text);
    }
    return j;
}

static const struct kind *kind_of(const char *plural)
{
    static const char *const places[][2] = {
        {"", "v1"}, {"apps", "v1"}, {"coordination.k8s.io", "v1"}, {"events.k8s.io", "v1"}};
    for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
        const struct kind *k = kind_find(places[i][0], places[i][1], plural);
        if (k) {
            return k;
        }
    }
    fail_msg("no kind %s", plural);
    return NULL;
}

static struct answer create(struct fixture *f, const char *plural, const char *text)
{
    const struct kind *k = kind_of(plural);
    return call(f, &(struct api_request){.verb = API_CREATE,
                                         .kind = k,
                                         .ns = k->namespaced ? "default" : NULL,
                                         .body = parse(f, text)});
}

static struct answer get(struct fixture *f, const char *plural, const char *name)
{
    const struct kind *k = kind_of(plural);
    return call(
        f, &(struct api_request){
               .verb = API_GET, .kind = k, .ns = k->namespaced ? "default" : NULL, .name = name});
}

static struct answer patch(struct fixture *f, const char *plural, const char *name, const char *sub,
                           const char *text)
{
    const struct kind *k = kind_of(plural);
    return call(f, &(struct api_request){.verb = API_PATCH,
                                         .kind = k,
                                         .ns = k->namespaced ? "default" : NULL,
                                         .name = name,
                                         .subresource = sub,
                                         .patch = API_PATCH_STRATEGIC,
                                         .body = parse(f, text)});
}

static struct answer put(struct fixture *f, const char *plural, const char *name, const char *sub,
                         struct json *body)
{
    const struct kind *k = kind_of(plural);
    return call(f, &(struct api_request){.verb = API_UPDATE,
                                         .kind = k,
                                         .ns = k->namespaced ? "default" : NULL,
                                         .name = name,
                                         .subresource = sub,
                                         .body = body});
}

static struct answer del(struct fixture *f, const char *plural, const char *name, int64_t grace,
                         const char *propagation)
{
    const struct kind *k = kind_of(plural);
    return call(f, &(struct api_request){.verb = API_DELETE,
                                         .kind = k,
                                         .ns = k->namespaced ? "default" : NULL,
                                         .name = name,
                                         .has_grace = grace >= 0,
                                         .grace_seconds = grace,
                                         .propagation = propagation});
}

static const char pod_text[] =
    "{\"metadata\":{\"name\":\"p\",\"labels\":{\"app\":\"web\"}},"
    "\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"busybox\"}]}}";

static const char deployment_text[] =
    "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":3,\"selector\":{\"matchLabels\":{\"app\":"
    "\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}},\"spec\":{\"containers\":["
    "{\"name\":\"c\",\"image\":\"busybox\"}]}}}}";

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err = {0};
    log_init("test", LOG_WARN);
    arena_init(&f->arena, 0);
    assert_int_equal(loop_new(&f->loop, &err), 0);
    struct store_opts o = {.index = &api_store_index};
    assert_int_equal(store_open(f->loop, &o, &f->store, &err), 0);
    f->server = api_server_new(f->loop, f->store, NULL, &err);
    assert_non_null(f->server);
    f->client = api_client_local(f->server, "test");
    while (get(f, "namespaces", "kube-system").code != 0) {
        loop_run_ready(f->loop);
    }
    *state = f;
    return 0;
}

static void on_closed(void *arg, int code)
{
    assert_int_equal(code, 0);
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool closed = false;
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

/* ---- creating ---- */

static void a_created_object_has_its_metadata(void **state)
{
    struct fixture *f = *state;
    struct answer a =
        create(f, "configmaps", "{\"metadata\":{\"name\":\"a\"},\"data\":{\"k\":\"v\"}}");
    assert_int_equal(a.code, 0);
    assert_string_equal(obj_kind(a.body), "ConfigMap");
    assert_string_equal(obj_api_version(a.body), "v1");
    assert_string_equal(obj_ns(a.body), "default");
    assert_int_equal(strlen(obj_uid(a.body)), 36);
    assert_true(obj_rev(a.body) > 0);
    assert_true(obj_created(a.body).us > 0);
    struct answer b = get(f, "configmaps", "a");
    assert_true(json_equal(a.body, b.body));
}

static void names_are_generated_from_a_base(void **state)
{
    struct fixture *f = *state;
    struct answer a = create(f, "configmaps", "{\"metadata\":{\"generateName\":\"x-\"}}");
    struct answer b = create(f, "configmaps", "{\"metadata\":{\"generateName\":\"x-\"}}");
    assert_int_equal(a.code, 0);
    assert_int_equal(b.code, 0);
    assert_int_equal(strlen(obj_name(a.body)), 7);
    assert_string_not_equal(obj_name(a.body), obj_name(b.body));
}

static void the_status_of_a_new_pod_is_the_servers(void **state)
{
    struct fixture *f = *state;
    struct json *pod = parse(f, pod_text);
    json_set_str(json_ensure_object(pod, "status"), "phase", "Running");
    struct answer a =
        call(f, &(struct api_request){
                    .verb = API_CREATE, .kind = kind_of("pods"), .ns = "default", .body = pod});
    assert_int_equal(a.code, 0);
    assert_string_equal(json_path_cstr(a.body, "status.phase", ""), "Pending");
    assert_string_equal(json_path_cstr(a.body, "status.qosClass", ""), "BestEffort");
    assert_string_equal(json_path_cstr(a.body, "spec.serviceAccountName", ""), "default");
    assert_string_equal(json_path_cstr(a.body, "spec.restartPolicy", ""), "Always");
}

struct refusal {
    const char *plural, *body;
    int code;
    const char *text;
};

static void refusals_speak_as_kubernetes_does(void **state)
{
    static const struct refusal refusals[] = {
        {"pods", "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[]}}", -E_INVALID,
         "Pod \"p\" is invalid: spec.containers: Required value"},
        {"pods", "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}",
         -E_INVALID, "Pod \"p\" is invalid: spec.containers[0].image: Required value"},
        {"pods",
         "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"restartPolicy\":\"x\",\"containers\":[{\"name\":\"c\","
         "\"image\":\"i\",\"volumeMounts\":[{\"name\":\"v\",\"mountPath\":\"/x\"}]}]}}",
         -E_INVALID,
         "Pod \"p\" is invalid: [spec.containers[0].volumeMounts[0].name: Not found: \"v\", "
         "spec.restartPolicy: Unsupported value: \"x\": supported values: \"Always\", "
         "\"OnFailure\", \"Never\"]"},
        {"deployments",
         "{\"metadata\":{\"name\":\"d\"},\"spec\":{\"selector\":{\"matchLabels\":{\"a\":\"b\"}},"
         "\"template\":{\"metadata\":{\"labels\":{\"a\":\"c\"}},\"spec\":{\"containers\":[{\"name\":"
         "\"c\",\"image\":\"i\"}]}}}}",
         -E_INVALID,
         "Deployment.apps \"d\" is invalid: spec.template.metadata.labels: Invalid value: "
         "map[string]string{\"a\":\"c\"}: `selector` does not match template `labels`"},
        {"configmaps", "{\"metadata\":{\"name\":\"a\",\"resourceVersion\":\"7\"}}", -E_INTERNAL,
         "resourceVersion should not be set on objects to be created"},
        {"configmaps", "{\"metadata\":{}}", -E_INVALID,
         "ConfigMap \"\" is invalid: metadata.name: Required value: name or generateName is "
         "required"},
        {"configmaps", "{\"metadata\":{\"name\":\"a\",\"namespace\":\"other\"}}", -E_INVAL,
         "the namespace of the provided object does not match the namespace sent on the request"},
        {"configmaps", "{\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"}}", -E_INVAL,
         "the kind in the data (Pod) does not match the expected kind (ConfigMap)"},
        {"secrets",
         "{\"metadata\":{\"name\":\"a\"},\"type\":\"kubernetes.io/tls\",\"data\":{\"tls.crt\":\"\"}}",
         -E_INVALID, "Secret \"a\" is invalid: data[tls.key]: Required value"},
        {"namespaces", "{\"metadata\":{\"name\":\"a.b\"}}", -E_INVALID, NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        struct answer a = create(*state, refusals[i].plural, refusals[i].body);
        assert_int_equal(a.code, refusals[i].code);
        if (refusals[i].text) {
            assert_string_equal(a.text, refusals[i].text);
        }
        assert_string_equal(obj_kind(a.body), "Status");
    }
}

static void a_second_object_of_the_same_name_already_exists(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(create(f, "pods", pod_text).code, 0);
    struct answer a = create(f, "pods", pod_text);
    assert_int_equal(a.code, -E_EXISTS);
    assert_string_equal(a.text, "pods \"p\" already exists");
    assert_string_equal(json_path_cstr(a.body, "details.kind", ""), "pods");
    assert_int_equal(json_path_i64(a.body, "code", 0), 409);
}

static void an_object_needs_its_namespace(void **state)
{
    struct fixture *f = *state;
    struct answer a = call(f, &(struct api_request){.verb = API_CREATE,
                                                    .kind = kind_of("pods"),
                                                    .ns = "nowhere",
                                                    .body = parse(f, pod_text)});
    assert_int_equal(a.code, -E_NOENT);
    assert_string_equal(a.text, "namespaces \"nowhere\" not found");
}

static void what_is_not_there_is_not_found(void **state)
{
    struct answer a = get(*state, "deployments", "web");
    assert_int_equal(a.code, -E_NOENT);
    assert_string_equal(a.text, "deployments.apps \"web\" not found");
    assert_string_equal(json_path_cstr(a.body, "details.group", ""), "apps");
}

/* ---- changing ---- */

static void a_stale_update_is_a_conflict(void **state)
{
    struct fixture *f = *state;
    struct answer a = create(f, "configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    struct json *first = json_clone(&f->arena, a.body);
    json_set_str(json_ensure_object(a.body, "data"), "x", "1");
    assert_int_equal(put(f, "configmaps", "a", NULL, a.body).code, 0);
    json_set_str(json_ensure_object(first, "data"), "x", "2");
    struct answer b = put(f, "configmaps", "a", NULL, first);
    assert_int_equal(b.code, -E_CONFLICT);
    assert_string_equal(b.text,
                        "Operation cannot be fulfilled on configmaps \"a\": the object has been "
                        "modified; please apply your changes to the latest version and try again");
}

static void a_change_of_nothing_keeps_the_revision(void **state)
{
    struct fixture *f = *state;
    struct answer a = create(f, "deployments", deployment_text);
    struct answer b = patch(f, "deployments", "web", NULL, "{\"spec\":{\"replicas\":3}}");
    assert_int_equal(b.code, 0);
    assert_string_equal(obj_rv(a.body), obj_rv(b.body));
    struct answer c = put(f, "deployments", "web", NULL, b.body);
    assert_int_equal(c.code, 0);
    assert_string_equal(obj_rv(a.body), obj_rv(c.body));
}

static void a_repeated_write_waits_for_the_one_that_it_repeats(void **state)
{
    struct fixture *f = *state;
    struct answer answers[2] = {0};
    struct waiting w[2] = {0};
    struct json *body = parse(f, "{\"data\":{\"x\":\"y\"}}");
    create(f, "configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    for (size_t i = 0; i < 2; i++) {
        w[i] = (struct waiting){.f = f, .answer = &answers[i]};
        w[i].call.done = on_done;
        w[i].call.arg = &w[i];
        api_call_start(f->client, &w[i].call,
                       &(struct api_request){.verb = API_PATCH,
                                             .kind = kind_of("configmaps"),
                                             .ns = "default",
                                             .name = "a",
                                             .patch = API_PATCH_MERGE,
                                             .body = body});
    }
    while (!answers[0].done || !answers[1].done) {
        loop_run_once(f->loop);
    }
    assert_int_equal(answers[1].code, 0);
    assert_string_equal(obj_rv(answers[0].body), obj_rv(answers[1].body));
}

static void generation_counts_changes_of_the_spec_only(void **state)
{
    struct fixture *f = *state;
    struct answer a = create(f, "deployments", deployment_text);
    assert_int_equal(obj_generation(a.body), 1);
    a = patch(f, "deployments", "web", NULL, "{\"metadata\":{\"labels\":{\"x\":\"y\"}}}");
    assert_int_equal(obj_generation(a.body), 1);
    a = patch(f, "deployments", "web", "status", "{\"status\":{\"replicas\":2}}");
    assert_int_equal(a.code, 0);
    assert_int_equal(obj_generation(a.body), 1);
    assert_int_equal(json_path_i64(a.body, "status.replicas", 0), 2);
    a = patch(f, "deployments", "web", NULL, "{\"spec\":{\"replicas\":5}}");
    assert_int_equal(obj_generation(a.body), 2);
    assert_int_equal(json_path_i64(a.body, "status.replicas", 0), 2);
}

static void status_and_spec_have_their_own_doors(void **state)
{
    struct fixture *f = *state;
    create(f, "deployments", deployment_text);
    struct answer a = patch(f, "deployments", "web", "status",
                            "{\"spec\":{\"replicas\":9},\"status\":{\"replicas\":2}}");
    assert_int_equal(a.code, 0);
    assert_int_equal(json_path_i64(a.body, "spec.replicas", 0), 3);
    a = patch(f, "deployments", "web", NULL, "{\"status\":{\"replicas\":7}}");
    assert_int_equal(json_path_i64(a.body, "status.replicas", 0), 2);
}

static void scale_changes_replicas(void **state)
{
    struct fixture *f = *state;
    create(f, "deployments", deployment_text);
    struct answer a = patch(f, "deployments", "web", "scale", "{\"spec\":{\"replicas\":2}}");
    assert_int_equal(a.code, 0);
    assert_string_equal(obj_kind(a.body), "Scale");
    assert_string_equal(json_path_cstr(a.body, "status.selector", ""), "app=web");
    a = get(f, "deployments", "web");
    assert_int_equal(json_path_i64(a.body, "spec.replicas", 0), 2);
    assert_int_equal(obj_generation(a.body), 2);
}

static void a_pods_spec_is_fixed_but_for_images(void **state)
{
    struct fixture *f = *state;
    create(f, "pods", pod_text);
    struct answer a = patch(f, "pods", "p", NULL,
                            "{\"spec\":{\"containers\":[{\"name\":\"c\",\"image\":\"other\"}]}}");
    assert_int_equal(a.code, 0);
    a = patch(f, "pods", "p", NULL, "{\"spec\":{\"hostNetwork\":true}}");
    assert_int_equal(a.code, -E_INVALID);
    assert_true(str_starts(str_of(a.text), "Pod \"p\" is invalid: spec: Forbidden: pod updates may "
                                           "not change fields other than"));
}

static void a_selector_is_immutable(void **state)
{
    struct fixture *f = *state;
    create(f, "deployments", deployment_text);
    struct answer a = patch(f, "deployments", "web", NULL,
                            "{\"spec\":{\"selector\":{\"matchLabels\":{\"b\":\"c\"}},\"template\":{"
                            "\"metadata\":{\"labels\":{\"b\":\"c\"}}}}}");
    assert_int_equal(a.code, -E_INVALID);
    assert_true(str_ends(str_of(a.text), "field is immutable"));
}

/* ---- deleting ---- */

static void a_plain_object_is_gone_at_once(void **state)
{
    struct fixture *f = *state;
    struct answer a = create(f, "configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    struct answer b = del(f, "configmaps", "a", -1, "Background");
    assert_int_equal(b.code, 0);
    assert_string_equal(json_path_cstr(b.body, "status", ""), "Success");
    assert_string_equal(json_path_cstr(b.body, "details.uid", ""), obj_uid(a.body));
    assert_int_equal(get(f, "configmaps", "a").code, -E_NOENT);
}

static void finalizers_hold_an_object(void **state)
{
    struct fixture *f = *state;
    create(f, "configmaps", "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"x.io/hold\"]}}");
    struct answer a = del(f, "configmaps", "a", -1, NULL);
    assert_int_equal(a.code, 0);
    assert_true(obj_deleting(a.body));
    assert_int_equal(json_path_i64(a.body, "metadata.deletionGracePeriodSeconds", -1), 0);
    a = patch(f, "configmaps", "a", NULL,
              "{\"metadata\":{\"finalizers\":[\"x.io/hold\",\"y.io/new\"]}}");
    assert_int_equal(a.code, -E_INVALID);
    assert_true(strstr(a.text, "no new finalizers can be added if the object is being deleted") !=
                NULL);
    a = patch(f, "configmaps", "a", NULL, "{\"metadata\":{\"finalizers\":null}}");
    assert_int_equal(a.code, 0);
    assert_string_equal(obj_kind(a.body), "ConfigMap");
    assert_int_equal(get(f, "configmaps", "a").code, -E_NOENT);
}

static void foreground_deletion_waits_for_the_collector(void **state)
{
    struct fixture *f = *state;
    create(f, "deployments", deployment_text);
    struct answer a = del(f, "deployments", "web", -1, "Foreground");
    assert_true(obj_deleting(a.body));
    assert_true(obj_has_finalizer(a.body, "foregroundDeletion"));
    assert_int_equal(obj_generation(a.body), 2);
}

static void a_pod_on_a_node_gets_its_grace(void **state)
{
    struct fixture *f = *state;
    create(f, "pods", pod_text);
    struct answer a = call(
        f,
        &(struct api_request){.verb = API_CREATE,
                              .kind = kind_of("pods"),
                              .ns = "default",
                              .name = "p",
                              .subresource = "binding",
                              .body = parse(f, "{\"target\":{\"kind\":\"Node\",\"name\":\"n\"}}")});
    assert_int_equal(a.code, 0);
    a = get(f, "pods", "p");
    assert_string_equal(json_path_cstr(a.body, "spec.nodeName", ""), "n");
    assert_true(obj_condition_true(a.body, "PodScheduled"));
    a = del(f, "pods", "p", -1, NULL);
    assert_int_equal(json_path_i64(a.body, "metadata.deletionGracePeriodSeconds", 0), 30);
    a = del(f, "pods", "p", 60, NULL); /* never longer */
    assert_int_equal(json_path_i64(a.body, "metadata.deletionGracePeriodSeconds", 0), 30);
    a = del(f, "pods", "p", 5, NULL);
    assert_int_equal(json_path_i64(a.body, "metadata.deletionGracePeriodSeconds", 0), 5);
    a = del(f, "pods", "p", 0, NULL);
    assert_int_equal(a.code, 0);
    assert_int_equal(get(f, "pods", "p").code, -E_NOENT);
}

static void an_unscheduled_pod_is_gone_at_once(void **state)
{
    struct fixture *f = *state;
    create(f, "pods", pod_text);
    assert_int_equal(del(f, "pods", "p", -1, NULL).code, 0);
    assert_int_equal(get(f, "pods", "p").code, -E_NOENT);
}

static void a_precondition_must_hold(void **state)
{
    struct fixture *f = *state;
    create(f, "pods", pod_text);
    struct answer a = call(f, &(struct api_request){.verb = API_DELETE,
                                                    .kind = kind_of("pods"),
                                                    .ns = "default",
                                                    .name = "p",
                                                    .precondition_uid = "other"});
    assert_int_equal(a.code, -E_CONFLICT);
    assert_true(strstr(a.text, "Precondition failed: UID in precondition: other") != NULL);
}

static void a_namespace_ends_through_finalize(void **state)
{
    struct fixture *f = *state;
    create(f, "namespaces", "{\"metadata\":{\"name\":\"tns\"}}");
    struct answer a = del(f, "namespaces", "tns", -1, NULL);
    assert_int_equal(a.code, 0);
    assert_string_equal(json_path_cstr(a.body, "status.phase", ""), "Terminating");
    a = call(f, &(struct api_request){.verb = API_CREATE,
                                      .kind = kind_of("pods"),
                                      .ns = "tns",
                                      .body = parse(f, pod_text)});
    assert_int_equal(a.code, -E_ACCESS);
    assert_string_equal(a.text,
                        "pods \"p\" is forbidden: unable to create new content in namespace "
                        "tns because it is being terminated");
    a = get(f, "namespaces", "tns");
    json_del(json_get(a.body, "spec"), "finalizers");
    a = put(f, "namespaces", "tns", "finalize", a.body);
    assert_int_equal(a.code, 0);
    assert_int_equal(get(f, "namespaces", "tns").code, -E_NOENT);
}

/* ---- lists ---- */

static struct answer list(struct fixture *f, const char *plural, const char *labels,
                          const char *fields)
{
    return call(f, &(struct api_request){.verb = API_LIST,
                                         .kind = kind_of(plural),
                                         .ns = "default",
                                         .label_selector = labels,
                                         .field_selector = fields});
}

static void lists_are_sorted_and_selected(void **state)
{
    static const char *const names[] = {"c", "a", "b"};
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        char text[128];
        (void)snprintf(text, sizeof(text),
                       "{\"metadata\":{\"name\":\"%s\",\"labels\":{\"n\":\"%s\"}}}", names[i],
                       names[i]);
        create(f, "configmaps", text);
    }
    struct answer a = list(f, "configmaps", NULL, NULL);
    assert_string_equal(obj_kind(a.body), "ConfigMapList");
    assert_int_equal(json_len(json_get(a.body, "items")), 3);
    assert_string_equal(obj_name(json_at(json_get(a.body, "items"), 0)), "a");
    a = list(f, "configmaps", "n in (a,c)", NULL);
    assert_int_equal(json_len(json_get(a.body, "items")), 2);
    assert_string_equal(obj_name(json_at(json_get(a.body, "items"), 1)), "c");
    a = list(f, "configmaps", NULL, "metadata.name=b");
    assert_int_equal(json_len(json_get(a.body, "items")), 1);
    a = list(f, "configmaps", NULL, "spec.foo=b");
    assert_int_equal(a.code, -E_INVAL);
    assert_string_equal(a.text, "field label not supported: spec.foo");
}

static void pods_are_selected_by_their_fields(void **state)
{
    struct fixture *f = *state;
    create(f, "pods", pod_text);
    assert_int_equal(
        json_len(
            json_get(list(f, "pods", NULL, "status.phase=Pending,spec.nodeName=").body, "items")),
        1);
    assert_int_equal(
        json_len(json_get(list(f, "pods", NULL, "status.phase!=Pending").body, "items")), 0);
}

/* ---- watches ---- */

struct seen {
    char log[512];
    int end;
    bool ended;
};

static void on_event(void *arg, enum api_event type, struct api_item *item, int64_t rev)
{
    static const char letters[] = "AMDB";
    struct seen *s = arg;
    size_t n = strlen(s->log);
    assert_true(rev > 0);
    (void)snprintf(s->log + n, sizeof(s->log) - n, "%c:%s ", letters[type], item ? item->name : "");
    if (item) {
        assert_int_equal(strlen(item->uid), 36);
    }
}

static void on_end(void *arg, int code, const char *text)
{
    struct seen *s = arg;
    (void)text;
    s->ended = true;
    s->end = code;
}

static const struct api_watch_ops watch_ops = {.event = on_event, .end = on_end};

static void settle(struct fixture *f)
{
    for (int i = 0; i < 5; i++) {
        loop_run_ready(f->loop);
    }
}

static void a_watch_tells_every_change_once(void **state)
{
    struct fixture *f = *state;
    struct seen s = {0};
    create(f, "configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    struct api_watch *w =
        api_watch_start(f->client, kind_of("configmaps"), "default", NULL, NULL, 0, &watch_ops, &s);
    settle(f);
    create(f, "configmaps", "{\"metadata\":{\"name\":\"b\"}}");
    patch(f, "configmaps", "a", NULL, "{\"data\":{\"x\":\"y\"}}");
    patch(f, "configmaps", "a", NULL, "{\"data\":{\"x\":\"y\"}}");
    del(f, "configmaps", "b", -1, NULL);
    settle(f);
    assert_string_equal(s.log, "A:a A:b M:a D:b ");
    api_watch_stop(w);
}

static void a_selector_makes_objects_come_and_go(void **state)
{
    struct fixture *f = *state;
    struct seen s = {0};
    struct api_watch *w = api_watch_start(f->client, kind_of("configmaps"), "default", "on=yes",
                                          NULL, 0, &watch_ops, &s);
    create(f, "configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    patch(f, "configmaps", "a", NULL, "{\"metadata\":{\"labels\":{\"on\":\"yes\"}}}");
    patch(f, "configmaps", "a", NULL, "{\"data\":{\"x\":\"y\"}}");
    patch(f, "configmaps", "a", NULL, "{\"metadata\":{\"labels\":{\"on\":\"no\"}}}");
    del(f, "configmaps", "a", -1, NULL);
    settle(f);
    assert_string_equal(s.log, "A:a M:a D:a ");
    api_watch_stop(w);
}

static void a_watch_from_a_forgotten_revision_is_gone(void **state)
{
    struct fixture *f = *state;
    struct seen s = {0};
    create(f, "configmaps", "{\"metadata\":{\"name\":\"a\"}}");
    create(f, "configmaps", "{\"metadata\":{\"name\":\"b\"}}");
    store_compact(f->store, store_rev(f->store));
    (void)api_watch_start(f->client, kind_of("configmaps"), "default", NULL, NULL, 1, &watch_ops,
                          &s);
    settle(f);
    assert_true(s.ended);
    assert_int_equal(s.end, -E_GONE);
}

/* ---- when memory is short ---- */

static int exercise(struct fixture *f)
{
    struct answer a[] = {create(f, "deployments", deployment_text),
                         patch(f, "deployments", "web", NULL, "{\"spec\":{\"replicas\":4}}"),
                         list(f, "deployments", "a!=b", "metadata.name=web"),
                         patch(f, "deployments", "web", "scale", "{\"spec\":{\"replicas\":2}}"),
                         del(f, "deployments", "web", -1, "Background")};
    int worst = 0;
    for (size_t i = 0; i < ARRAY_SIZE(a); i++) {
        worst = a[i].code < 0 ? a[i].code : worst;
    }
    return worst;
}

static void a_failed_allocation_is_an_answer_not_a_crash(void **state)
{
    struct fixture *f = *state;
    (void)mem_fail_at(0);
    assert_int_equal(exercise(f), 0);
    unsigned long whole = mem_fail_at(0);
    for (unsigned long n = 1; n <= whole + 8; n++) {
        arena_clear(&f->arena);
        (void)mem_fail_at(n);
        (void)exercise(f); /* whatever fails, every call answers */
        (void)mem_fail_at(0);
        (void)del(f, "deployments", "web", -1, NULL);
    }
    assert_int_equal(exercise(f), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_created_object_has_its_metadata),
        TEST(names_are_generated_from_a_base),
        TEST(the_status_of_a_new_pod_is_the_servers),
        TEST(refusals_speak_as_kubernetes_does),
        TEST(a_second_object_of_the_same_name_already_exists),
        TEST(an_object_needs_its_namespace),
        TEST(what_is_not_there_is_not_found),
        TEST(a_stale_update_is_a_conflict),
        TEST(a_change_of_nothing_keeps_the_revision),
        TEST(a_repeated_write_waits_for_the_one_that_it_repeats),
        TEST(generation_counts_changes_of_the_spec_only),
        TEST(status_and_spec_have_their_own_doors),
        TEST(scale_changes_replicas),
        TEST(a_pods_spec_is_fixed_but_for_images),
        TEST(a_selector_is_immutable),
        TEST(a_plain_object_is_gone_at_once),
        TEST(finalizers_hold_an_object),
        TEST(foreground_deletion_waits_for_the_collector),
        TEST(a_pod_on_a_node_gets_its_grace),
        TEST(an_unscheduled_pod_is_gone_at_once),
        TEST(a_precondition_must_hold),
        TEST(a_namespace_ends_through_finalize),
        TEST(lists_are_sorted_and_selected),
        TEST(pods_are_selected_by_their_fields),
        TEST(a_watch_tells_every_change_once),
        TEST(a_selector_makes_objects_come_and_go),
        TEST(a_watch_from_a_forgotten_revision_is_gone),
        TEST(a_failed_allocation_is_an_answer_not_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

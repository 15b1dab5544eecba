/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Definitions: what is refused and in which words, and the life of a custom kind in a server over a
 * store in memory.
 */
#include "api/crd/crd.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "api/client.h"
#include "api/kind_private.h"
#include "api/object.h"
#include "api/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"

/* ---- refusals ---- */

static struct json *parse(struct arena *a, const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    if (json_parse(a, str_of(text), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

#define DEFINITION(versions, more)                                                       \
    "{\"apiVersion\":\"apiextensions.k8s.io/v1\",\"kind\":\"CustomResourceDefinition\"," \
    "\"metadata\":{\"name\":\"foos.example.com\"},\"spec\":{\"group\":\"example.com\","  \
    "\"scope\":\"Namespaced\",\"names\":{\"plural\":\"foos\",\"kind\":\"Foo\"}," more    \
    "\"versions\":[" versions "]}}"
#define VERSION(name, storage, schema, more)                               \
    "{\"name\":\"" name "\",\"served\":true,\"storage\":" storage "," more \
    "\"schema\":{\"openAPIV3Schema\":" schema "}}"
#define OBJECT(properties) "{\"type\":\"object\",\"properties\":{" properties "}}"

/* The definition's errors, "PATH: BODY" a line. */
static void expect(const char *definition, const char *wanted)
{
    struct arena a;
    struct field_errors e;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    arena_init(&a, 0);
    struct json *obj = parse(&a, definition);
    field_errors_init(&e, &a);
    crd_definition_defaults(&a, obj);
    crd_definition_create(&a, obj);
    crd_definition_validate(&e, obj, NULL);
    for (size_t i = 0; i < e.n; i++) {
        buf_printf(&out, "%s%s: %s", i ? "\n" : "", e.items[i].path, e.items[i].body);
    }
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), wanted);
    arena_fini(&a);
}

static void expect_schema(const char *schema, const char *wanted)
{
    CLEANUP(mem_freep)
    char *text = mem_printf(DEFINITION("{\"name\":\"v1\",\"served\":true,\"storage\":true,"
                                       "\"schema\":{\"openAPIV3Schema\":%s}}",
                                       ""),
                            schema);
    assert_non_null(text);
    expect(text, wanted);
}

#define ROOT "spec.validation.openAPIV3Schema"

static void schemas_must_be_structural(void **state)
{
    (void)state;
    expect_schema(OBJECT("\"a\":{\"type\":\"string\"}"), "");
    expect_schema("{}", ROOT ".type: Required value: must not be empty at the root");
    expect_schema("{\"type\":\"string\"}",
                  ROOT ".type: Invalid value: \"string\": must be object at the root");
    expect_schema(OBJECT("\"a\":{}"),
                  ROOT ".properties[a].type: Required value: must not be empty for specified "
                       "object fields");
    expect_schema(OBJECT("\"a\":{\"type\":\"array\",\"items\":{}}"),
                  ROOT ".properties[a].items.type: Required value: must not be empty for specified "
                       "array items");
    expect_schema(OBJECT("\"a\":{\"type\":\"array\"}"),
                  ROOT ".properties[a].items: Required value: must be specified");
    expect_schema(OBJECT("\"a\":{\"type\":\"int\"}"),
                  ROOT ".properties[a].type: Unsupported value: \"int\": supported values: "
                       "\"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\"");
    expect_schema(OBJECT("\"a\":{\"type\":\"string\",\"pattern\":\"[\"}"),
                  ROOT ".properties[a].pattern: Invalid value: \"[\": must be a valid regular "
                       "expression, but isn't: error parsing regexp: missing closing ]: `[`");
    expect_schema(OBJECT("\"a\":{\"type\":\"object\",\"additionalProperties\":false}"), ROOT
                  ".properties[a].additionalProperties: Forbidden: additionalProperties cannot "
                  "be set to false");
    expect_schema(OBJECT("\"a\":{\"type\":\"integer\",\"default\":\"x\"}"), ROOT
                  ".properties[a].default: Invalid value: \"string\":  in body must be of type "
                  "integer: \"string\"");
    expect_schema(OBJECT("\"a\":{\"type\":\"integer\",\"anyOf\":[{\"type\":\"integer\"}]}"),
                  ROOT ".properties[a].anyOf[0].type: Forbidden: must be empty to be structural");
    expect_schema(OBJECT("\"a\":{\"x-kubernetes-int-or-string\":true,\"anyOf\":[{\"type\":"
                         "\"integer\"},{\"type\":\"string\"}]}"),
                  "");
    expect_schema(
        OBJECT("\"a\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
               "\"x-kubernetes-list-map-keys\":[\"k\"],\"items\":{\"type\":\"object\","
               "\"properties\":{\"k\":{\"type\":\"string\"}}}}"),
        ROOT ".properties[a].items.properties[k].default: Required value: this property is in "
             "x-kubernetes-list-map-keys, so it must have a default or be a required property");
    expect_schema(OBJECT("\"metadata\":{\"type\":\"object\",\"properties\":{\"labels\":{\"type\":"
                         "\"object\"}}}"),
                  ROOT
                  ".properties[metadata]: Forbidden: must not specify anything other than name "
                  "and generateName, but metadata is implicitly specified");
}

static void names_versions_and_paths_are_checked(void **state)
{
    (void)state;
    expect(DEFINITION(VERSION("v1", "false", "{\"type\":\"object\"}", ""), ""),
           "spec.versions: Invalid value: null: must have exactly one version marked as storage "
           "version");
    expect("{\"metadata\":{\"name\":\"roles.rbac.authorization.k8s.io\",\"annotations\":{"
           "\"api-approved.kubernetes.io\":\"https://example.com\"}},\"spec\":{\"group\":"
           "\"rbac.authorization.k8s.io\",\"scope\":\"Cluster\",\"names\":{\"plural\":\"roles\","
           "\"kind\":\"Role\"},\"versions\":[" VERSION("v1", "true", "{\"type\":\"object\"}",
                                                       "") "]}}",
           "spec.group: Forbidden: the group belongs to the kinds of the server itself");
    expect(DEFINITION(VERSION("V1", "true", "{\"type\":\"object\"}", ""), ""),
           "spec.versions[0].name: Invalid value: \"V1\": a DNS-1035 label must consist of lower "
           "case alphanumeric characters or '-', start with an alphabetic character, and end with "
           "an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
           "'[a-z]([-a-z0-9]*[a-z0-9])?')");
    expect(
        DEFINITION(VERSION("v1", "true", "{\"type\":\"object\"}",
                           "\"additionalPrinterColumns\":[{\"name\":\"A\",\"type\":\"text\","
                           "\"jsonPath\":\".a[\"}],"),
                   ""),
        "spec.additionalPrinterColumns[0].type: Invalid value: \"text\": must be one of "
        "boolean,date,integer,number,string\n"
        "spec.additionalPrinterColumns[0].JSONPath: Invalid value: \".a[\": invalid array index");
    expect(DEFINITION(VERSION("v1", "true", "{\"type\":\"object\"}",
                              "\"subresources\":{\"scale\":{\"specReplicasPath\":\".n\"}},"),
                      ""),
           "spec.subresources.scale.specReplicasPath: Invalid value: \".n\": should be a json path "
           "under .spec\nspec.subresources.scale.statusReplicasPath: Required value");
    expect(
        DEFINITION(VERSION("v1", "true", "{\"type\":\"object\"}", ""),
                   "\"conversion\":{\"strategy\":\"Webhook\"},"),
        "spec.conversion.webhookClientConfig: Required value: required when strategy is set to "
        "Webhook\nspec.conversion.conversionReviewVersions: Invalid value: null: must include at "
        "least one of v1, v1beta1");
}

static void versions_are_ordered_as_kubernetes_does(void **state)
{
    (void)state;
    static const char *const order[] = {"v10",     "v2",        "v1",   "v11beta2", "v10beta3",
                                        "v3beta1", "v12alpha1", "foo1", "foo10"};
    for (size_t i = 0; i + 1 < ARRAY_SIZE(order); i++) {
        assert_true(kind_version_priority(order[i], order[i + 1]) > 0);
        assert_true(kind_version_priority(order[i + 1], order[i]) < 0);
    }
}

/* ---- a life ---- */

struct fixture {
    struct io_loop *loop;
    struct store *store;
    struct api_server *server;
    struct api_client *client;
    struct arena arena;
};

struct answer {
    struct fixture *f;
    int code;
    struct json *body;
    bool done;
};

static void on_done(struct api_call *call, int code, struct json *result)
{
    struct answer *a = call->arg;
    a->code = code;
    a->body = json_clone(&a->f->arena, result);
    a->done = true;
}

static struct answer call(struct fixture *f, const struct api_request *r)
{
    struct answer a = {.f = f};
    struct api_call c = {.done = on_done, .arg = &a};
    api_call_start(f->client, &c, r);
    while (!a.done) {
        loop_run_once(f->loop);
    }
    return a;
}

static void start_server(struct fixture *f)
{
    struct err err;
    f->server = api_server_new(f->loop, f->store, NULL, &err);
    assert_non_null(f->server);
    f->client = api_client_local(f->server, "test");
    assert_non_null(f->client);
}

static void stop_server(struct fixture *f)
{
    api_client_free(f->client);
    api_server_free(f->server);
}

static const struct kind *definitions(void)
{
    return kind_find("apiextensions.k8s.io", "v1", "customresourcedefinitions");
}

static const struct kind *foos(void)
{
    return kind_find("example.com", "v1", "foos");
}

static struct answer create(struct fixture *f, const struct kind *k, const char *text)
{
    return call(f, &(struct api_request){.verb = API_CREATE,
                                         .kind = k,
                                         .ns = k->namespaced ? "default" : NULL,
                                         .body = parse(&f->arena, text)});
}

static struct answer get(struct fixture *f, const struct kind *k, const char *name)
{
    return call(
        f, &(struct api_request){
               .verb = API_GET, .kind = k, .ns = k->namespaced ? "default" : NULL, .name = name});
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct store_opts opts = {.index = &api_store_index};
    struct err err;
    assert_non_null(f);
    log_init("test", LOG_ERROR);
    assert_int_equal(loop_new(&f->loop, &err), 0);
    assert_int_equal(store_open(f->loop, &opts, &f->store, &err), 0);
    arena_init(&f->arena, 0);
    start_server(f);
    while (store_count(f->store, str_of("namespaces/")) < 4) {
        loop_run_once(f->loop);
    }
    *state = f;
    return 0;
}

static void on_closed(void *arg, int code)
{
    (void)code;
    *(bool *)arg = true;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    bool closed = false;
    stop_server(f);
    store_close(f->store, on_closed, &closed);
    while (!closed) {
        loop_run_once(f->loop);
    }
    arena_fini(&f->arena);
    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static const char foo_definition[] = DEFINITION(
    VERSION("v1", "true", OBJECT("\"n\":{\"type\":\"integer\",\"default\":1,\"maximum\":9}"), ""),
    "");

static void establish(struct fixture *f)
{
    assert_int_equal(create(f, definitions(), foo_definition).code, 0);
    while (!obj_condition_true(get(f, definitions(), "foos.example.com").body, "Established")) {
        /* asking runs the loop */
    }
}

static void a_custom_kind_lives_with_its_definition(void **state)
{
    struct fixture *f = *state;
    uint64_t generation = kinds_generation();
    establish(f);
    const struct kind *k = foos();
    assert_non_null(k);
    assert_true(kinds_generation() > generation);
    assert_ptr_equal(kind_find_api("example.com/v1", "Foo"), k);
    struct answer a = create(f, k, "{\"metadata\":{\"name\":\"a\"},\"bad\":1}");
    assert_int_equal(a.code, 0);
    assert_int_equal(json_path_i64(a.body, "n", 0), 1);
    assert_null(json_get(a.body, "bad"));
    assert_int_equal(create(f, k, "{\"metadata\":{\"name\":\"b\"},\"n\":10}").code, -E_INVALID);

    /* The definition goes with its objects; the kind that somebody may hold stays readable. */
    struct api_request del = {
        .verb = API_DELETE, .kind = definitions(), .name = "foos.example.com"};
    assert_int_equal(call(f, &del).code, 0);
    while (foos()) {
        loop_run_once(f->loop);
    }
    assert_true(k->retired);
    assert_string_equal(k->plural, "foos");
    assert_int_equal(store_count(f->store, str_of("foos.example.com/")), 0);
    assert_int_equal(create(f, k, "{\"metadata\":{\"name\":\"c\"}}").code, -E_NOENT);
    establish(f);
    assert_ptr_equal(foos(), k);
    assert_false(k->retired);
}

static void a_server_serves_the_definitions_of_its_store_at_once(void **state)
{
    struct fixture *f = *state;
    establish(f);
    assert_int_equal(create(f, foos(), "{\"metadata\":{\"name\":\"a\"}}").code, 0);
    stop_server(f);
    assert_null(foos());
    start_server(f);
    assert_non_null(foos());
    assert_int_equal(get(f, foos(), "a").code, 0);
}

static void a_default_that_comes_later_is_read_from_older_objects(void **state)
{
    struct fixture *f = *state;
    establish(f);
    assert_int_equal(create(f, foos(), "{\"metadata\":{\"name\":\"a\"}}").code, 0);
    struct json *crd = get(f, definitions(), "foos.example.com").body;
    struct json *schema =
        json_path(json_at(json_path(crd, "spec.versions"), 0), "schema.openAPIV3Schema.properties");
    json_set(schema, "later", parse(&f->arena, "{\"type\":\"string\",\"default\":\"x\"}"));
    assert_int_equal(call(f, &(struct api_request){.verb = API_UPDATE,
                                                   .kind = definitions(),
                                                   .name = "foos.example.com",
                                                   .body = crd})
                         .code,
                     0);
    while (!*json_path_cstr(get(f, foos(), "a").body, "later", "")) {
        /* asking runs the loop */
    }
    assert_int_equal(json_path_i64(get(f, foos(), "a").body, "n", 0), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schemas_must_be_structural),
        cmocka_unit_test(names_versions_and_paths_are_checked),
        cmocka_unit_test(versions_are_ordered_as_kubernetes_does),
        cmocka_unit_test_setup_teardown(a_custom_kind_lives_with_its_definition, setup, teardown),
        cmocka_unit_test_setup_teardown(a_server_serves_the_definitions_of_its_store_at_once, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_default_that_comes_later_is_read_from_older_objects,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Discovery and OpenAPI documents: they parse, every reference resolves, and they say what kubectl
 * asks for. */
#include "api/openapi.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/kind.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/json.h"
#include "codec/protobuf.h"

static struct json *parse(struct arena *a, const struct buf *text)
{
    struct json *j = NULL;
    struct err err;
    if (json_parse(a, buf_str(text), NULL, &j, &err) < 0) {
        fail_msg("%s", err.text);
    }
    return j;
}

static struct json *discover(struct arena *a, const char *path, const char *accept,
                             struct discovery_reply *reply)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    assert_int_equal(discovery_get(a, path, accept, "host:6443", &out, reply), 0);
    return parse(a, &out);
}

static const struct json *by_name(const struct json *list, const char *key, const char *name)
{
    JSON_FOR_EACH (item, list) {
        if (cstr_eq(json_path_cstr(item, key, ""), name)) {
            return item;
        }
    }
    return NULL;
}

static void the_old_discovery(void **state)
{
    (void)state;
    struct arena a;
    struct discovery_reply r;
    arena_init(&a, 0);
    struct json *d = discover(&a, "/api", NULL, &r);
    assert_string_equal(json_cstr(json_at(json_get(d, "versions"), 0), ""), "v1");
    assert_string_equal(r.etag, "");
    d = discover(&a, "/apis", "application/json, */*", &r);
    assert_string_equal(json_path_cstr(d, "kind", ""), "APIGroupList");
    assert_non_null(by_name(json_get(d, "groups"), "name", "apps"));
    assert_null(by_name(json_get(d, "groups"), "name", ""));
    d = discover(&a, "/apis/apps", NULL, &r);
    assert_string_equal(json_path_cstr(d, "preferredVersion.groupVersion", ""), "apps/v1");
    d = discover(&a, "/api/v1", NULL, &r);
    const struct json *eviction = by_name(json_get(d, "resources"), "name", "pods/eviction");
    assert_string_equal(json_path_cstr(eviction, "group", ""), "policy");
    assert_string_equal(json_path_cstr(eviction, "kind", ""), "Eviction");
    const struct json *pods = by_name(json_get(d, "resources"), "name", "pods");
    assert_string_equal(json_cstr(json_at(json_get(pods, "shortNames"), 0), ""), "po");
    d = discover(&a, "/apis/apps/v1/", NULL, &r);
    assert_string_equal(json_path_cstr(d, "groupVersion", ""), "apps/v1");
    arena_fini(&a);
}

static void the_aggregated_discovery(void **state)
{
    (void)state;
    struct arena a;
    struct discovery_reply r, again;
    const char *accept =
        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
        "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,"
        "application/json";
    arena_init(&a, 0);
    struct json *d = discover(&a, "/api", accept, &r);
    assert_string_equal(r.content_type,
                        "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
    assert_int_equal(strlen(r.etag), 34);
    (void)discover(&a, "/api", accept, &again);
    assert_string_equal(r.etag, again.etag);
    assert_int_equal(json_len(json_get(d, "items")), 1);
    d = discover(&a, "/apis", accept, &again);
    assert_string_not_equal(r.etag, again.etag);
    const struct json *apps = by_name(json_get(d, "items"), "metadata.name", "apps");
    const struct json *v1 = json_at(json_get(apps, "versions"), 0);
    const struct json *deployments = by_name(json_get(v1, "resources"), "resource", "deployments");
    const struct json *scale =
        by_name(json_get(deployments, "subresources"), "subresource", "scale");
    assert_string_equal(json_path_cstr(scale, "responseKind.group", ""), "autoscaling");
    (void)discover(&a, "/apis",
                   "application/json;as=APIGroupDiscoveryList;v=v2beta1;g=apidiscovery.k8s.io", &r);
    assert_non_null(strstr(r.content_type, "v2beta1"));
    arena_fini(&a);
}

static void what_is_not_served_is_not_found(void **state)
{
    (void)state;
    static const char *const paths[] = {
        "/apis/nothing", "/apis/apps/v2", "/apis/apps/v1/x", "/api/v2",
        "/apix",         "/apis//",       "/apis//v1",       ""};
    struct arena a;
    struct discovery_reply r;
    arena_init(&a, 0);
    for (size_t i = 0; i < ARRAY_SIZE(paths); i++) {
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        assert_int_equal(discovery_get(&a, paths[i], NULL, NULL, &out, &r), -E_NOENT);
    }
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    char hash[CONTENT_HASH_SIZE];
    assert_int_equal(openapi_v3_document("apps", "v2", &out, hash), -E_NOENT);
    arena_fini(&a);
}

static void check_refs(const struct json *j, const struct json *schemas)
{
    static const char prefix[] = "#/components/schemas/";
    const char *ref = json_path_cstr(j, "$ref", NULL);
    if (ref) {
        assert_true(str_starts(str_of(ref), prefix));
        assert_non_null(json_get(schemas, ref + sizeof(prefix) - 1));
    }
    JSON_FOR_EACH (item, j) {
        check_refs(item, schemas);
    }
    JSON_FOR_EACH_MEMBER (m, j) {
        check_refs(m->value, schemas);
    }
}

static void check_patch(struct arena *a, const struct json *d, const struct kind *k)
{
    const char *path =
        arena_printf(a, "%s/%s%s/%s/{name}", *k->group ? "/apis" : "/api", k->api_version,
                     k->namespaced ? "/namespaces/{namespace}" : "", k->plural);
    const struct json *patch = json_get(json_get(json_get(d, "paths"), path), "patch");
    assert_non_null(by_name(json_get(patch, "parameters"), "name", "fieldValidation"));
    const struct json *gvk = json_get(patch, "x-kubernetes-group-version-kind");
    assert_string_equal(json_path_cstr(gvk, "kind", ""), k->kind);
    assert_string_equal(json_path_cstr(gvk, "group", "?"), k->group);
}

static void every_document_of_version_3_is_whole(void **state)
{
    (void)state;
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = kinds[i];
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        char hash[CONTENT_HASH_SIZE];
        struct arena a;
        arena_init(&a, 0);
        assert_int_equal(openapi_v3_document(k->group, k->version, &out, hash), 0);
        struct json *d = parse(&a, &out);
        struct json *schemas = json_path(d, "components.schemas");
        assert_non_null(json_get(schemas, schema_type_name(k->type)));
        check_refs(d, schemas);
        if (k->verbs & KIND_PATCH) {
            check_patch(&a, d, k);
        }
        arena_fini(&a);
    }
}

static void the_index_names_every_document_with_its_hash(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a, 0);
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    CLEANUP(buf_finip) struct buf doc = BUF_INIT;
    char hash[CONTENT_HASH_SIZE];
    assert_int_equal(openapi_v3_index(&out), 0);
    const struct json *paths = json_get(parse(&a, &out), "paths");
    assert_int_equal(openapi_v3_document("apps", "v1", &doc, hash), 0);
    assert_string_equal(json_path_cstr(json_get(paths, "apis/apps/v1"), "serverRelativeURL", ""),
                        arena_printf(&a, "/openapi/v3/apis/apps/v1?hash=%s", hash));
    assert_non_null(json_get(paths, "api/v1"));
    arena_fini(&a);
}

/* The one length-delimited field `number` of a message that is named `name`, or the first. */
static struct str find_message(struct str message, uint32_t number, const char *name)
{
    struct pb_reader r = pb_reader_of(message);
    struct pb_field f;
    while (pb_next(&r, &f) == 1) {
        if (f.number == number && (!name || str_is(find_message(f.bytes, 1, NULL), name))) {
            return f.bytes;
        }
    }
    return STR_NULL;
}

static void version_2_holds_the_definitions(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    char hash[CONTENT_HASH_SIZE];
    assert_int_equal(openapi_v2_document(&out, hash), 0);
    struct str doc = buf_str(&out);
    assert_true(str_is(find_message(doc, 1, NULL), "2.0"));
    struct str definitions = find_message(doc, 9, NULL);
    struct str spec =
        find_message(find_message(definitions, 1, "io.k8s.api.apps.v1.DeploymentSpec"), 2, NULL);
    struct str replicas =
        find_message(find_message(find_message(spec, 25, NULL), 1, "replicas"), 2, NULL);
    assert_true(str_is(find_message(replicas, 2, NULL), "int32"));
    assert_true(str_is(find_message(find_message(replicas, 22, NULL), 1, NULL), "integer"));
    struct str selector =
        find_message(find_message(find_message(spec, 25, NULL), 1, "selector"), 2, NULL);
    assert_true(str_is(find_message(selector, 1, NULL),
                       "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"));
    struct str path = find_message(find_message(doc, 8, NULL), 2,
                                   "/apis/apps/v1/namespaces/{namespace}/deployments/{name}");
    struct str patch = find_message(find_message(path, 2, NULL), 8, NULL);
    struct str gvk = find_message(patch, 13, "x-kubernetes-group-version-kind");
    assert_true(str_is(find_message(find_message(gvk, 2, NULL), 2, NULL),
                       "group: \"apps\"\nversion: v1\nkind: Deployment\n"));
    assert_true(openapi_v2_accepts("application/com.github.proto-openapi.spec.v2@v1.0+protobuf"));
    assert_false(openapi_v2_accepts("application/json"));
    assert_false(openapi_v2_accepts(NULL));
}

static void memory_may_run_out(void **state)
{
    (void)state;
    for (unsigned long i = 1; i < 8; i++) {
        char hash[CONTENT_HASH_SIZE];
        CLEANUP(buf_finip) struct buf out = BUF_INIT;
        mem_fail_at(i);
        int rc = openapi_v3_document("apps", "v1", &out, hash);
        mem_fail_at(0);
        assert_true(rc == 0 || rc == -E_NOMEM);
        buf_clear(&out);
        mem_fail_at(i);
        rc = openapi_v2_document(&out, hash);
        mem_fail_at(0);
        assert_true(rc == 0 || rc == -E_NOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_old_discovery),
        cmocka_unit_test(the_aggregated_discovery),
        cmocka_unit_test(what_is_not_served_is_not_found),
        cmocka_unit_test(every_document_of_version_3_is_whole),
        cmocka_unit_test(the_index_names_every_document_with_its_hash),
        cmocka_unit_test(version_2_holds_the_definitions),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

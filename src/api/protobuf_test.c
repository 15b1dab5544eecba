/* SPDX-License-Identifier: Apache-2.0 */
/* Protobuf bodies, put together field by field, become the JSON that a client would have sent. */
#include "api/protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/kind.h"
#include "base/mem.h"
#include "codec/protobuf.h"

static void envelope(struct buf *out, const char *api_version, const char *kind, struct str raw)
{
    (void)buf_append(out, "k8s\0", 4);
    size_t meta = pb_open(out, 1);
    pb_put_bytes(out, 1, str_of(api_version));
    pb_put_bytes(out, 2, str_of(kind));
    pb_close(out, meta);
    pb_put_bytes(out, 2, raw);
    pb_put_bytes(out, 3, str_of(""));
    pb_put_bytes(out, 4, str_of(""));
}

static void becomes(const char *api_version, const char *kind, const struct buf *raw,
                    const char *wanted)
{
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    struct arena a;
    struct err err = {0};
    struct json *obj = NULL;
    arena_init(&a, 0);
    envelope(&body, api_version, kind, buf_str(raw));
    if (protobuf_decode(&a, buf_str(&body), &obj, &err) < 0) {
        fail_msg("%s", err.text);
    }
    json_del(obj, "apiVersion");
    json_del(obj, "kind");
    json_print(&out, obj);
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), wanted);
    arena_fini(&a);
}

/* Nested single-field messages: numbers end in 0; the innermost one gets `text`. */
static void nested(struct buf *out, const uint32_t *numbers, struct str text)
{
    size_t marks[16], n = 0;
    for (; numbers[n + 1]; n++) {
        marks[n] = pb_open(out, numbers[n]);
    }
    pb_put_bytes(out, numbers[n], text);
    while (n-- > 0) {
        pb_close(out, marks[n]);
    }
}

static void maps_and_bytes(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    nested(&raw, (uint32_t[]){1, 1, 0}, str_of("s")); /* metadata.name */
    nested(&raw, (uint32_t[]){1, 3, 0}, str_of(""));  /* namespace: a zero */
    nested(&raw, (uint32_t[]){1, 8, 0}, str_of(""));  /* creationTimestamp: unset */
    size_t entry = pb_open(&raw, 2);                  /* data["a"] = "abc" */
    pb_put_bytes(&raw, 1, str_of("a"));
    pb_put_bytes(&raw, 2, str_of("abc"));
    pb_close(&raw, entry);
    entry = pb_open(&raw, 2); /* data["b"]: an absent value is a zero value */
    pb_put_bytes(&raw, 1, str_of("b"));
    pb_close(&raw, entry);
    pb_put_uint(&raw, 5, 0); /* immutable: false is a pointer's value */
    becomes("v1", "Secret", &raw,
            "{\"metadata\":{\"name\":\"s\"},\"data\":{\"a\":\"YWJj\",\"b\":\"\"},"
            "\"immutable\":false}");
}

static void embedded_messages_and_odd_values(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    size_t spec = pb_open(&raw, 2);
    size_t volume = pb_open(&raw, 1);
    pb_put_bytes(&raw, 1, str_of("v"));
    nested(&raw, (uint32_t[]){2, 2, 1, 0}, str_of("Memory")); /* volumeSource.emptyDir.medium */
    pb_close(&raw, volume);
    size_t container = pb_open(&raw, 2);
    pb_put_bytes(&raw, 1, str_of("c"));
    size_t probe = pb_open(&raw, 10);
    size_t handler = pb_open(&raw, 1), get = pb_open(&raw, 2), port = pb_open(&raw, 2);
    pb_put_uint(&raw, 1, 0); /* an int */
    pb_put_uint(&raw, 2, 8080);
    pb_put_bytes(&raw, 3, str_of(""));
    pb_close(&raw, port);
    pb_close(&raw, get);
    pb_close(&raw, handler);
    pb_put_uint(&raw, 2, 0);
    pb_close(&raw, probe);
    size_t resources = pb_open(&raw, 8), limit = pb_open(&raw, 1);
    pb_put_bytes(&raw, 1, str_of("cpu"));
    nested(&raw, (uint32_t[]){2, 1, 0}, str_of("500m"));
    pb_close(&raw, limit);
    pb_close(&raw, resources);
    pb_close(&raw, container);
    pb_put_uint(&raw, 4, 0);  /* terminationGracePeriodSeconds is a pointer */
    pb_put_uint(&raw, 11, 0); /* hostNetwork is none */
    pb_put_uint(&raw, 25, (uint64_t)-5);
    pb_put_uint(&raw, 999, 7); /* a field of the future */
    pb_close(&raw, spec);
    becomes("v1", "Pod", &raw,
            "{\"spec\":{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"Memory\"}}],"
            "\"containers\":[{\"name\":\"c\",\"livenessProbe\":{\"httpGet\":{\"port\":8080}},"
            "\"resources\":{\"limits\":{\"cpu\":\"500m\"}}}],"
            "\"terminationGracePeriodSeconds\":0,\"priority\":-5}}");
}

static void times_and_raw_json(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    size_t metadata = pb_open(&raw, 1), entry = pb_open(&raw, 17);
    pb_put_bytes(&raw, 1, str_of("m"));
    nested(&raw, (uint32_t[]){7, 1, 0}, str_of("{\"f:a\":{}}"));
    pb_close(&raw, entry);
    pb_close(&raw, metadata);
    size_t spec = pb_open(&raw, 2), renew = pb_open(&raw, 4);
    pb_put_uint(&raw, 1, 1795215884);
    pb_put_uint(&raw, 2, 5000);
    pb_close(&raw, renew);
    pb_close(&raw, spec);
    becomes("coordination.k8s.io/v1", "Lease", &raw,
            "{\"metadata\":{\"managedFields\":[{\"manager\":\"m\",\"fieldsV1\":{\"f:a\":{}}}]},"
            "\"spec\":{\"renewTime\":\"2026-11-20T23:04:44.000005Z\"}}");
}

static void packed_numbers_are_a_list(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    nested(&raw, (uint32_t[]){2, 14, 4, 0}, str_of("\x01\x02\x7f"));
    becomes("v1", "Pod", &raw,
            "{\"spec\":{\"securityContext\":{\"supplementalGroups\":[1,2,127]}}}");
}

static void options_are_bodies_of_any_group(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    pb_put_uint(&raw, 1, 0);
    pb_put_bytes(&raw, 4, str_of("Background"));
    pb_put_bytes(&raw, 5, str_of("All"));
    becomes("apps/v1", "DeleteOptions", &raw,
            "{\"gracePeriodSeconds\":0,\"propagationPolicy\":\"Background\",\"dryRun\":[\"All\"]}");
}

static int decode(struct str body, char text[256])
{
    struct arena a;
    struct err err = {0};
    struct json *obj;
    arena_init(&a, 0);
    int rc = protobuf_decode(&a, body, &obj, &err);
    cstr_copy(text, 256, err.text);
    arena_fini(&a);
    return rc;
}

static void refuse(const char *kind, const uint32_t *numbers, struct str value, const char *why)
{
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    char text[256];
    nested(&raw, numbers, value);
    envelope(&body, "v1", kind, buf_str(&raw));
    assert_int_equal(decode(buf_str(&body), text), -E_PROTO);
    assert_string_equal(text, why);
}

/* A schema of a definition: JSON inside, and values of two forms. */
static void put_schema(struct buf *raw)
{
    static const char *const values[] = {"1", "null"};
    size_t spec = pb_open(raw, 2), version = pb_open(raw, 7), schema = pb_open(raw, 4);
    size_t props = pb_open(raw, 1);
    nested(raw, (uint32_t[]){8, 1, 0}, str_of("{\"a\":false}")); /* default */
    for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
        nested(raw, (uint32_t[]){20, 1, 0}, str_of(values[i])); /* enum */
    }
    nested(raw, (uint32_t[]){24, 1, 5, 0}, str_of("string")); /* items: one schema */
    size_t member = pb_open(raw, 29);                         /* properties["p"] */
    pb_put_bytes(raw, 1, str_of("p"));
    size_t inner = pb_open(raw, 2);
    nested(raw, (uint32_t[]){24, 2, 5, 0}, str_of("integer")); /* items: several */
    size_t other = pb_open(raw, 30);                           /* additionalProperties: false */
    pb_put_uint(raw, 1, 0);
    pb_close(raw, other);
    pb_close(raw, inner);
    pb_close(raw, member);
    nested(raw, (uint32_t[]){30, 2, 5, 0}, str_of("number")); /* additionalProperties: a schema */
    member = pb_open(raw, 32);                                /* dependencies["d"]: texts */
    pb_put_bytes(raw, 1, str_of("d"));
    nested(raw, (uint32_t[]){2, 2, 0}, str_of("x"));
    pb_close(raw, member);
    pb_put_uint(raw, 38, 1); /* x-kubernetes-preserve-unknown-fields */
    pb_close(raw, props);
    pb_close(raw, schema);
    pb_close(raw, version);
    pb_close(raw, spec);
}

static void schemas_of_definitions(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    put_schema(&raw);
    becomes("apiextensions.k8s.io/v1", "CustomResourceDefinition", &raw,
            "{\"spec\":{\"versions\":[{\"schema\":{\"openAPIV3Schema\":{\"default\":{\"a\":false},"
            "\"enum\":[1,null],\"items\":{\"type\":\"string\"},\"properties\":{\"p\":{\"items\":"
            "[{\"type\":\"integer\"}],\"additionalProperties\":false}},"
            "\"additionalProperties\":{\"type\":\"number\"},\"dependencies\":{\"d\":[\"x\"]},"
            "\"x-kubernetes-preserve-unknown-fields\":true}}}]}}");
}

static void sources_of_volumes_lie_in_a_message_of_their_own(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    nested(&raw, (uint32_t[]){2, 3, 0}, str_of("ReadWriteOnce"));
    nested(&raw, (uint32_t[]){2, 2, 5, 1, 0}, str_of("server")); /* spec.(source).nfs */
    becomes("v1", "PersistentVolume", &raw,
            "{\"spec\":{\"accessModes\":[\"ReadWriteOnce\"],\"nfs\":{\"server\":\"server\"}}}");
}

static void maps_hold_lists_and_times(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf review = BUF_INIT;
    CLEANUP(buf_finip) struct buf budget = BUF_INIT;
    size_t spec = pb_open(&review, 2), entry = pb_open(&review, 5);
    pb_put_bytes(&review, 1, str_of("k"));
    size_t list = pb_open(&review, 2);
    pb_put_bytes(&review, 1, str_of("a"));
    pb_put_bytes(&review, 1, str_of("b"));
    pb_close(&review, list);
    pb_close(&review, entry);
    pb_close(&review, spec);
    becomes("authorization.k8s.io/v1", "SubjectAccessReview", &review,
            "{\"spec\":{\"extra\":{\"k\":[\"a\",\"b\"]}}}");
    size_t status = pb_open(&budget, 3), pod = pb_open(&budget, 2);
    pb_put_bytes(&budget, 1, str_of("p"));
    size_t time = pb_open(&budget, 2);
    pb_put_uint(&budget, 1, 1774745999);
    pb_close(&budget, time);
    pb_close(&budget, pod);
    pb_close(&budget, status);
    becomes("policy/v1", "PodDisruptionBudget", &budget,
            "{\"status\":{\"disruptedPods\":{\"p\":\"2026-03-29T00:59:59Z\"}}}");
}

/* spec.matchConstraints.resourceRules[0]: {names 1, rule 2: {operations 1, rule 2: {groups 1 ...}}}
 */
static void rules_of_policies_lie_two_messages_deep(void **state)
{
    CLEANUP(buf_finip) struct buf raw = BUF_INIT;
    size_t spec = pb_open(&raw, 2), match = pb_open(&raw, 2), named = pb_open(&raw, 3);
    pb_put_bytes(&raw, 1, str_of("web"));
    size_t with_operations = pb_open(&raw, 2);
    pb_put_bytes(&raw, 1, str_of("CREATE"));
    size_t rule = pb_open(&raw, 2);
    pb_put_bytes(&raw, 1, str_of("apps"));
    pb_put_bytes(&raw, 2, str_of("v1"));
    pb_put_bytes(&raw, 3, str_of("deployments"));
    pb_put_bytes(&raw, 4, str_of("*"));
    pb_close(&raw, rule);
    pb_close(&raw, with_operations);
    pb_close(&raw, named);
    pb_close(&raw, match);
    pb_close(&raw, spec);
    becomes("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy", &raw,
            "{\"spec\":{\"matchConstraints\":{\"resourceRules\":[{\"resourceNames\":[\"web\"],"
            "\"operations\":[\"CREATE\"],\"apiGroups\":[\"apps\"],\"apiVersions\":[\"v1\"],"
            "\"resources\":[\"deployments\"],\"scope\":\"*\"}]}}}");
}

static void malformed_bodies_say_what_is_wrong(void **state)
{
    (void)state;
    char text[256];
    assert_int_equal(decode(str_of("{}"), text), -E_PROTO);
    assert_int_equal(decode(str_n("k8s\0\x0a\x05", 6), text), -E_PROTO);
    CLEANUP(buf_finip) struct buf body = BUF_INIT;
    envelope(&body, "v1", "Nothing", STR_NULL);
    assert_int_equal(decode(buf_str(&body), text), -E_INVAL);
    assert_string_equal(text, "no kind \"Nothing\" is registered for version \"v1\"");
    refuse("Pod", (uint32_t[]){2, 10, 0}, str_n("\xff", 1),
           "protobuf: field nodeName: is not UTF-8");
    refuse("Pod", (uint32_t[]){2, 11, 0}, str_of("x"),
           "protobuf: field hostNetwork: has the wrong wire type");
    refuse("Pod", (uint32_t[]){2, 0}, str_of("\x0a"), "protobuf: malformed PodSpec");
    refuse("Pod", (uint32_t[]){1, 17, 7, 1, 0}, str_of("{"),
           "protobuf: field fieldsV1: holds no JSON");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(maps_and_bytes),
        cmocka_unit_test(embedded_messages_and_odd_values),
        cmocka_unit_test(times_and_raw_json),
        cmocka_unit_test(packed_numbers_are_a_list),
        cmocka_unit_test(options_are_bodies_of_any_group),
        cmocka_unit_test(schemas_of_definitions),
        cmocka_unit_test(sources_of_volumes_lie_in_a_message_of_their_own),
        cmocka_unit_test(maps_hold_lists_and_times),
        cmocka_unit_test(rules_of_policies_lie_two_messages_deep),
        cmocka_unit_test(malformed_bodies_say_what_is_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

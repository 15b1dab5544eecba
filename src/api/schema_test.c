/* SPDX-License-Identifier: Apache-2.0 */
/* Kinds and types as the generated tables hold them, and the check of objects against them. */
#include "api/schema_check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/kind.h"
#include "base/mem.h"

struct fixture {
    struct arena arena;
    struct err err;
    struct schema_report report;
    struct buf out;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    arena_init(&f->arena, 0);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_fini(&f->arena);
    buf_fini(&f->out);
    mem_free(f);
    return 0;
}

static int check(struct fixture *f, const char *kind, const char *text)
{
    struct json *obj = NULL;
    const struct schema_type *t =
        kind_body_type(cstr_eq(kind, "Deployment") ? "apps" : "", "v1", kind);
    assert_non_null(t);
    assert_int_equal(json_parse(&f->arena, str_of(text), NULL, &obj, &f->err), 0);
    f->err.text[0] = '\0';
    int rc = schema_check_object(&f->arena, t, obj, &f->report, &f->err);
    buf_clear(&f->out);
    json_print(&f->out, obj);
    buf_putc(&f->out, '\0');
    return rc;
}

static void becomes(struct fixture *f, const char *kind, const char *text, const char *wanted)
{
    assert_int_equal(check(f, kind, text), 0);
    assert_string_equal(buf_data(&f->out), wanted);
}

static void refuse(struct fixture *f, const char *kind, const char *text, const char *why)
{
    assert_int_equal(check(f, kind, text), -E_INVAL);
    assert_string_equal(f->err.text, why);
}

static void kinds_are_found_by_every_name(void **state)
{
    (void)state;
    const struct kind *pod = kind_find("", "v1", "pods");
    assert_non_null(pod);
    assert_ptr_equal(kind_find_gvk(NULL, "v1", "Pod"), pod);
    assert_ptr_equal(kind_find_api("v1", "Pod"), pod);
    assert_string_equal(kind_find_api("apps/v1", "Deployment")->short_names[0], "deploy");
    assert_null(kind_find("apps", "v1", "pods"));
    assert_null(kind_find_api("v2", "Pod"));
    assert_null(kind_find_gvk("", "v1", NULL));
    assert_string_equal(kind_subresource(pod, "eviction")->group, "policy");
    assert_true(kind_has_status(pod));
    assert_false(kind_has_status(kind_find("", "v1", "configmaps")));
    assert_true(kind_find("coordination.k8s.io", "v1", "leases")->ephemeral);
    assert_string_equal(pod->sync_path, "spec.nodeName");
}

static void every_kind_is_whole(void **state)
{
    (void)state;
    size_t n;
    const struct kind *const *kinds = kinds_all(&n);
    assert_true(n >= 12);
    for (size_t i = 0; i < n; i++) {
        const struct kind *k = kinds[i];
        assert_ptr_equal(kind_find(k->group, k->version, k->plural), k);
        assert_ptr_equal(kind_body_type(k->group, k->version, k->kind), k->type);
        assert_true(!(k->verbs & KIND_LIST) == !kind_body_type(k->group, k->version, k->list_kind));
        assert_true(k->columns_n > 0 || !k->stored);
        assert_non_null(schema_field_path(k->type, "metadata.ownerReferences.uid"));
    }
}

static void types_are_sorted_and_refer_to_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < schema_types_n; i++) {
        const struct schema_type *t = &schema_types[i];
        assert_ptr_equal(schema_type_find(schema_type_name(t)), t);
        assert_true(*schema_type_doc(t) != '\0');
        SCHEMA_FOR_EACH_FIELD(f, t)
        {
            assert_ptr_equal(schema_field_get(t, schema_field_name(f)), f);
            assert_true(f->ref < schema_types_n && f->value < SCHEMA_VALUE_NR);
            assert_true(*schema_field_doc(f) != '\0');
            if (f->pb) {
                assert_ptr_equal(schema_field_by_pb(t, f->pb, schema_field_level(f)), f);
            }
        }
    }
    assert_null(schema_type_find("io.k8s.api.core.v1.Nothing"));
}

static void fields_know_how_to_merge(void **state)
{
    (void)state;
    const struct schema_type *pod = kind_find("", "v1", "pods")->type;
    const struct schema_field *f = schema_field_path(pod, "spec.containers.ports");
    assert_string_equal(schema_field_merge_key(f), "containerPort");
    assert_string_equal(schema_field_keys(f), "containerPort,protocol");
    assert_int_equal(f->flags, SCHEMA_F_MERGE | SCHEMA_F_LIST_MAP);
    f = schema_field_path(pod, "spec.volumes");
    assert_true(f->flags & SCHEMA_F_RETAIN_KEYS);
    assert_true(schema_field_path(pod, "metadata.finalizers")->flags & SCHEMA_F_SET);
    assert_null(schema_field_path(pod, "spec.nothing.name"));
    assert_null(schema_field_path(pod, "spec.nodeName.x"));
}

static void a_good_object_stays_as_it_is(void **state)
{
    const char *text = "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"name\":\"a\"},"
                       "\"spec\":{\"containers\":[{\"name\":\"c\",\"resources\":{\"limits\":"
                       "{\"cpu\":\"500m\"}},\"livenessProbe\":{\"httpGet\":{\"port\":\"web\"}}}],"
                       "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{}}]}}";
    becomes(*state, "Pod", text, text);
}

static void values_get_their_canonical_form(void **state)
{
    becomes(*state, "Pod",
            "{\"metadata\":{\"name\":\"a\",\"creationTimestamp\":null,\"labels\":{},"
            "\"deletionTimestamp\":\"2026-01-01T02:00:00.5+01:00\"},"
            "\"spec\":{\"hostNetwork\":false,\"nodeName\":\"\",\"enableServiceLinks\":false,"
            "\"containers\":[{\"name\":\"\",\"command\":[],\"resources\":{\"limits\":{\"cpu\":0.5,"
            "\"memory\":\"1024Mi\"}}}],\"nodeSelector\":{\"a\":null}}}",
            "{\"metadata\":{\"name\":\"a\",\"deletionTimestamp\":\"2026-01-01T01:00:00Z\"},"
            "\"spec\":{\"enableServiceLinks\":false,\"containers\":[{\"name\":\"\",\"resources\":"
            "{\"limits\":{\"cpu\":\"500m\",\"memory\":\"1Gi\"}}}],\"nodeSelector\":{\"a\":\"\"}}}");
    becomes(*state, "Secret", "{\"data\":{\"a\":\"YW\\nJj\"}}", "{\"data\":{\"a\":\"YWJj\"}}");
}

static void unknown_fields_are_told_and_removed(void **state)
{
    struct fixture *f = *state;
    becomes(f, "Pod",
            "{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\",\"imag\":1}],\"x\":{}},"
            "\"foo\":null}",
            "{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]}}");
    assert_int_equal(json_len(f->report.unknown), 3);
    assert_string_equal(json_cstr(json_at(f->report.unknown, 0), ""),
                        "unknown field \"spec.containers[1].imag\"");
    assert_string_equal(json_cstr(json_at(f->report.unknown, 1), ""), "unknown field \"spec.x\"");
    assert_string_equal(json_cstr(json_at(f->report.unknown, 2), ""), "unknown field \"foo\"");
}

static void wrong_types_are_refused_in_the_words_of_go(void **state)
{
#define DEPLOYMENT "Deployment in version \"v1\" cannot be handled as a Deployment: "
    refuse(*state, "Deployment", "{\"spec\":{\"replicas\":\"x\"}}",
           DEPLOYMENT "json: cannot unmarshal string into Go struct field "
                      "DeploymentSpec.spec.replicas of type int32");
    refuse(*state, "Deployment", "{\"spec\":{\"replicas\":1.5}}",
           DEPLOYMENT "json: cannot unmarshal number 1.5 into Go struct field "
                      "DeploymentSpec.spec.replicas of type int32");
    refuse(*state, "Deployment", "{\"spec\":{\"replicas\":2147483648}}",
           DEPLOYMENT "json: cannot unmarshal number 2147483648 into Go struct field "
                      "DeploymentSpec.spec.replicas of type int32");
    refuse(*state, "Deployment", "{\"spec\":{\"template\":{\"spec\":{\"containers\":{}}}}}",
           DEPLOYMENT "json: cannot unmarshal object into Go struct field "
                      "PodSpec.spec.template.spec.containers of type []v1.Container");
    refuse(*state, "Deployment",
           "{\"spec\":{\"template\":{\"spec\":{\"containers\":[{\"command\":[1]}]}}}}",
           DEPLOYMENT "json: cannot unmarshal number into Go struct field "
                      "Container.spec.template.spec.containers.command of type string");
    refuse(*state, "ConfigMap", "{\"data\":{\"a\":true}}",
           "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal "
           "bool into Go struct field ConfigMap.data of type string");
    refuse(*state, "ConfigMap", "[]",
           "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal "
           "array into Go value of type v1.ConfigMap");
    refuse(*state, "Pod", "{\"spec\":{\"overhead\":{\"cpu\":\"many\"}}}",
           "Pod in version \"v1\" cannot be handled as a Pod: quantities must match the regular "
           "expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    assert_int_equal(check(*state, "Pod", "{\"metadata\":{\"deletionTimestamp\":\"soon\"}}"),
                     -E_INVAL);
    assert_int_equal(check(*state, "Secret", "{\"data\":{\"a\":\"?\"}}"), -E_INVAL);
}

static void a_flood_of_unknown_fields_costs_little(void **state)
{
    struct fixture *f = *state;
    CLEANUP(buf_finip) struct buf text = BUF_INIT;
    buf_puts(&text, "{\"metadata\":{");
    for (int i = 0; i < 100000; i++) {
        buf_printf(&text, "%s\"x%d\":1", i ? "," : "", i);
    }
    buf_puts(&text, "}}");
    buf_putc(&text, '\0');
    becomes(f, "Pod", buf_data(&text), "{\"metadata\":{}}");
    assert_int_equal(json_len(f->report.unknown), SCHEMA_REPORT_MAX);
}

static void events_are_served_under_both_names(void **state)
{
    struct fixture *f = *state;
    const struct kind *k = kind_find("events.k8s.io", "v1", "events");
    struct json *obj = NULL;
    const char *text = "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\",\"regarding\":"
                       "{\"name\":\"a\"},\"note\":\"n\",\"deprecatedCount\":2,\"reason\":\"r\"}";
    assert_int_equal(json_parse(&f->arena, str_of(text), NULL, &obj, &f->err), 0);
    assert_ptr_equal(kind_storage(k), kind_find("", "v1", "events"));
    struct json *stored = kind_to_storage(&f->arena, k, obj);
    assert_string_equal(json_path_cstr(stored, "apiVersion", ""), "v1");
    assert_string_equal(json_path_cstr(stored, "involvedObject.name", ""), "a");
    assert_string_equal(json_path_cstr(stored, "message", ""), "n");
    assert_int_equal(json_path_i64(stored, "count", 0), 2);
    assert_true(json_equal(kind_to_served(&f->arena, k, stored), obj));
}

static void memory_may_run_out_anywhere(void **state)
{
    struct fixture *f = *state;
    const struct schema_type *t = kind_find("", "v1", "pods")->type;
    for (size_t cap = 256; cap < 16384; cap += 256) {
        struct arena a;
        struct json *obj = NULL;
        arena_init(&a, cap);
        const char *text = "{\"x\":1,\"metadata\":{\"y\":[],\"labels\":{\"a\":null}},\"spec\":"
                           "{\"overhead\":{\"cpu\":1,\"memory\":\"1024Mi\"}}}";
        if (json_parse(&a, str_of(text), NULL, &obj, NULL) == 0) {
            int rc = schema_check(&a, t, obj, &f->report, &f->err);
            assert_true(rc == 0 || rc == -E_NOMEM);
        }
        arena_fini(&a);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(kinds_are_found_by_every_name),
        TEST(every_kind_is_whole),
        TEST(types_are_sorted_and_refer_to_types),
        TEST(fields_know_how_to_merge),
        TEST(a_good_object_stays_as_it_is),
        TEST(values_get_their_canonical_form),
        TEST(unknown_fields_are_told_and_removed),
        TEST(wrong_types_are_refused_in_the_words_of_go),
        TEST(a_flood_of_unknown_fields_costs_little),
        TEST(events_are_served_under_both_names),
        TEST(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

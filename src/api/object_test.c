/* SPDX-License-Identifier: Apache-2.0 */
/* Object helpers and name rules. */
#include "object.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/mem.h"
#include "name.h"

static struct arena arena;

static struct json *json_of(const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    if (json_parse(&arena, str_of(text), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static void absent_metadata_reads_as_empty_text(void **state)
{
    assert_string_equal(obj_name(NULL), "");
    assert_string_equal(obj_ns(json_of("{}")), "");
    assert_string_equal(obj_label(json_of("{\"metadata\":{\"labels\":[]}}"), "a"), "");
    assert_int_equal(obj_rev(json_of("{\"metadata\":{\"resourceVersion\":\"x\"}}")), 0);
    assert_int_equal(obj_rev(json_of("{\"metadata\":{\"resourceVersion\":\"12\"}}")), 12);
    assert_false(obj_deleting(json_of("{\"metadata\":{\"deletionTimestamp\":null}}")));
    assert_null(obj_controller_ref(NULL));
    assert_int_equal(obj_created(NULL).us, 0);
    assert_string_equal(obj_key(&arena, "", "n"), "n");
    assert_string_equal(obj_key(&arena, "d", "n"), "d/n");
}

static void finalizers_are_added_once_and_removed(void **state)
{
    struct json *o = json_of("{}");
    assert_true(obj_add_finalizer(o, "orphan"));
    assert_false(obj_add_finalizer(o, "orphan"));
    assert_true(obj_has_finalizer(o, "orphan"));
    assert_true(obj_del_finalizer(o, "orphan"));
    assert_false(obj_del_finalizer(o, "orphan"));
    assert_null(json_path(o, "metadata.finalizers"));
}

static void a_condition_moves_its_time_only_when_its_status_changes(void **state)
{
    struct json *o = json_of("{}");
    struct wall t1 = {1000000}, t2 = {2000000};
    assert_true(obj_condition_set(o, "Ready", "True", "Ok", "fine", t1));
    assert_false(obj_condition_set(o, "Ready", "True", "Ok", "fine", t2));
    assert_true(obj_condition_set(o, "Ready", "True", "Ok", "better", t2));
    assert_string_equal(json_cstr(json_get(obj_condition(o, "Ready"), "lastTransitionTime"), ""),
                        "1970-01-01T00:00:01Z");
    assert_true(obj_condition_set(o, "Ready", "False", "Bad", "", t2));
    assert_string_equal(json_cstr(json_get(obj_condition(o, "Ready"), "lastTransitionTime"), ""),
                        "1970-01-01T00:00:02Z");
    assert_null(json_get(obj_condition(o, "Ready"), "message"));
    assert_false(obj_condition_true(o, "Ready"));
    assert_true(obj_condition_del(o, "Ready"));
    assert_string_equal(obj_condition_status(o, "Ready"), "");
}

static void owners_are_found_by_uid(void **state)
{
    struct json *owner = json_of("{\"metadata\":{\"name\":\"rs\",\"uid\":\"u1\"}}");
    struct json *o = json_of("{\"metadata\":{\"ownerReferences\":[{\"uid\":\"u0\"}]}}");
    assert_null(obj_controller_ref(o));
    json_push(json_path(o, "metadata.ownerReferences"),
              obj_controller_ref_new(&arena, owner, "apps/v1", "ReplicaSet"));
    assert_true(obj_controlled_by(o, "u1"));
    assert_false(obj_controlled_by(o, "u0"));
    assert_non_null(obj_owner_ref(o, "u0"));
}

static void labels_include_a_part(void **state)
{
    struct json *whole = json_of("{\"a\":\"1\",\"b\":\"2\"}");
    assert_true(obj_labels_include(whole, json_of("{\"a\":\"1\"}")));
    assert_false(obj_labels_include(whole, json_of("{\"a\":\"2\"}")));
    assert_false(obj_labels_include(whole, json_of("{\"c\":\"\"}")));
    assert_true(obj_labels_include(NULL, NULL));
}

static void names_follow_kubernetes_rules(void **state)
{
    char long_label[65] = {0};
    memset(long_label, 'a', 64);
    assert_null(name_check_dns_label(STR_LIT("a-1")));
    assert_non_null(name_check_dns_label(STR_LIT("a.b")));
    assert_non_null(name_check_dns_label(STR_LIT("-a")));
    assert_non_null(name_check_dns_label(STR_LIT("")));
    assert_non_null(name_check_dns_label(str_of(long_label)));
    assert_null(name_check_dns_subdomain(STR_LIT("a.b-c.d")));
    assert_non_null(name_check_dns_subdomain(STR_LIT("a..b")));
    assert_non_null(name_check_dns_subdomain(STR_LIT("A")));
    assert_non_null(name_check_dns1035(STR_LIT("1a")));
    assert_null(name_check_dns1035(STR_LIT("a1")));
    assert_null(name_check_qualified(STR_LIT("example.com/My_name.x")));
    assert_non_null(name_check_qualified(STR_LIT("example.com/")));
    assert_non_null(name_check_qualified(STR_LIT("Exa_mple/x")));
    assert_null(name_check_label_value(STR_LIT("")));
    assert_null(name_check_label_value(STR_LIT("V1_.x")));
    assert_non_null(name_check_label_value(STR_LIT("_")));
}

static int setup(void **state)
{
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_metadata_reads_as_empty_text),
        cmocka_unit_test(finalizers_are_added_once_and_removed),
        cmocka_unit_test(a_condition_moves_its_time_only_when_its_status_changes),
        cmocka_unit_test(owners_are_found_by_uid),
        cmocka_unit_test(labels_include_a_part),
        cmocka_unit_test(names_follow_kubernetes_rules),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

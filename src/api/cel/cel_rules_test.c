/* SPDX-License-Identifier: Apache-2.0 */
/* Tests of x-kubernetes-validations: what is refused at the definition and what at objects, with
 * Kubernetes' words. */
#include "cel_rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/mem.h"

struct env {
    struct arena a;
    struct buf told; /* "path: Cause: value: detail\n" a problem */
    struct cel_rules *rules;
};

static int setup(void **state)
{
    struct env *e = mem_zalloc(sizeof(*e));
    arena_init(&e->a, 0);
    *state = e;
    return 0;
}

static int teardown(void **state)
{
    struct env *e = *state;
    cel_rules_free(e->rules);
    buf_fini(&e->told);
    arena_fini(&e->a);
    mem_free(e);
    return 0;
}

static void tell(void *arg, const struct cel_problem *p)
{
    static const char *const causes[] = {"Invalid", "Required", "Forbidden", "Duplicate"};
    struct env *e = arg;
    (void)buf_printf(&e->told, "%s%s: %s: %s%s%s", buf_len(&e->told) ? "\n" : "", p->path,
                     causes[p->cause], p->value ? p->value : "", p->value ? ": " : "", p->detail);
}

static struct json *parse(struct env *e, const char *text)
{
    struct json *j = NULL;
    struct err err;
    if (text && json_parse(&e->a, str_of(text), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static const char *told(struct env *e)
{
    const char *text = arena_str(&e->a, buf_str(&e->told));
    buf_clear(&e->told);
    return text;
}

/* A schema of one object type with these properties and rules. */
static void define(struct env *e, const char *properties, const char *rules)
{
    const char *text =
        arena_printf(&e->a, "{\"type\":\"object\",\"properties\":{%s},%s}", properties, rules);
    int rc = cel_rules_compile(parse(e, text), "schema", tell, e, &e->rules);
    assert_string_equal(told(e), "");
    assert_int_equal(rc, 0);
}

static const char *refused(struct env *e, const char *schema)
{
    assert_int_equal(cel_rules_compile(parse(e, schema), "schema", tell, e, &e->rules), -E_INVAL);
    return told(e);
}

static const char *check(struct env *e, const char *obj, const char *old)
{
    int n = cel_rules_check(e->rules, &e->a, parse(e, obj), parse(e, old), "", tell, e);
    assert_int_equal(n > 0, buf_len(&e->told) > 0);
    return told(e);
}

#define REPLICAS "\"replicas\":{\"type\":\"integer\"},\"max\":{\"type\":\"integer\"}"

static void test_a_schema_without_rules_passes_everything(void **state)
{
    struct env *e = *state;
    assert_int_equal(cel_rules_compile(parse(e, "{\"type\":\"object\"}"), "s", tell, e, &e->rules),
                     0);
    assert_null(e->rules);
    assert_int_equal(cel_rules_check(NULL, &e->a, NULL, NULL, "", tell, e), 0);
}

static void test_a_broken_rule_is_told_with_path_and_message(void **state)
{
    struct env *e = *state;
    define(e,
           "\"spec\":{\"type\":\"object\",\"properties\":{" REPLICAS
           "},\"x-kubernetes-validations\":[{\"rule\":\"self.replicas <= self.max\"},"
           "{\"rule\":\"self.replicas != 7\",\"message\":\"seven is taken\","
           "\"reason\":\"FieldValueForbidden\",\"fieldPath\":\".replicas\"},"
           "{\"rule\":\"self.max < 100\",\"messageExpression\":\"'max is ' + "
           "string(self.max)\"}]}",
           "\"x-kubernetes-validations\":[{\"rule\":\"self.metadata.name.startsWith('a')\"}]");
    assert_string_equal(
        check(e, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"replicas\":1,\"max\":2}}", NULL), "");
    assert_string_equal(
        check(e, "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"replicas\":7,\"max\":2}}", NULL),
        ": Invalid: \"object\": failed rule: self.metadata.name.startsWith('a')\n"
        "spec: Invalid: \"object\": failed rule: self.replicas <= self.max\n"
        "spec.replicas: Forbidden: seven is taken");
    assert_string_equal(
        check(e, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"replicas\":1,\"max\":200}}", NULL),
        "spec: Invalid: \"object\": max is 200");
    assert_string_equal(check(e, "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"max\":2}}", NULL),
                        "spec: Invalid: \"object\": no such key: replicas evaluating rule: failed "
                        "rule: self.replicas <= self.max\n"
                        "spec: Invalid: \"object\": no such key: replicas evaluating rule: seven "
                        "is taken");
}

static void test_transition_rules_need_an_old_value(void **state)
{
    struct env *e = *state;
    define(e,
           "\"spec\":{\"type\":\"object\",\"properties\":{\"id\":{\"type\":\"string\","
           "\"x-kubernetes-validations\":[{\"rule\":\"self == oldSelf\",\"message\":\"immutable\"}]"
           "},\"n\":{\"type\":\"integer\",\"x-kubernetes-validations\":[{\"rule\":\"oldSelf."
           "hasValue() || self == 1\",\"optionalOldSelf\":true}]}}}",
           "\"description\":\"\"");
    assert_string_equal(check(e, "{\"spec\":{\"id\":\"a\"}}", NULL), "");
    assert_string_equal(check(e, "{\"spec\":{\"id\":\"b\"}}", "{\"spec\":{\"id\":\"a\"}}"),
                        "spec.id: Invalid: \"string\": immutable");
    assert_string_equal(check(e, "{\"spec\":{\"id\":\"b\"}}", "{\"spec\":{}}"), "");
    assert_string_equal(check(e, "{\"spec\":{\"n\":2}}", NULL),
                        "spec.n: Invalid: \"integer\": failed rule: oldSelf.hasValue() || self == "
                        "1");
    assert_string_equal(check(e, "{\"spec\":{\"n\":2}}", "{\"spec\":{\"n\":3}}"), "");
}

static void test_items_of_map_lists_meet_their_old_selves(void **state)
{
    struct env *e = *state;
    define(e,
           "\"l\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"map\","
           "\"x-kubernetes-list-map-keys\":[\"k\"],\"items\":{\"type\":\"object\","
           "\"properties\":{\"k\":{\"type\":\"string\"},\"v\":{\"type\":\"integer\"}},"
           "\"x-kubernetes-validations\":[{\"rule\":\"self.v >= oldSelf.v\"}]}}",
           "\"description\":\"\"");
    assert_string_equal(check(e, "{\"l\":[{\"k\":\"b\",\"v\":1},{\"k\":\"a\",\"v\":1}]}",
                              "{\"l\":[{\"k\":\"a\",\"v\":5},{\"k\":\"b\",\"v\":0}]}"),
                        "l[1]: Invalid: \"object\": failed rule: self.v >= oldSelf.v");
}

static void test_an_unchanged_value_keeps_its_fault(void **state)
{
    struct env *e = *state;
    define(e,
           "\"a\":{\"type\":\"integer\",\"x-kubernetes-validations\":[{\"rule\":\"self < 5\"}]},"
           "\"b\":{\"type\":\"integer\"}",
           "\"description\":\"\"");
    assert_string_equal(check(e, "{\"a\":9,\"b\":2}", "{\"a\":9,\"b\":1}"), "");
    assert_string_equal(check(e, "{\"a\":8,\"b\":2}", "{\"a\":9,\"b\":1}"),
                        "a: Invalid: \"integer\": failed rule: self < 5");
}

static void test_sets_maps_and_unions_have_their_types(void **state)
{
    struct env *e = *state;
    define(e,
           "\"s\":{\"type\":\"array\",\"x-kubernetes-list-type\":\"set\",\"maxItems\":5,\"items\":{"
           "\"type\":\"string\",\"maxLength\":5}},"
           "\"m\":{\"type\":\"object\",\"maxProperties\":5,\"additionalProperties\":{\"type\":"
           "\"integer\",\"x-kubernetes-validations\":[{\"rule\":\"self > 0\"}]}},"
           "\"p\":{\"x-kubernetes-int-or-string\":true},"
           "\"my-prop\":{\"type\":\"integer\"},\"e\":{\"type\":\"object\","
           "\"x-kubernetes-embedded-resource\":true,\"x-kubernetes-preserve-unknown-fields\":true}",
           "\"x-kubernetes-validations\":[{\"rule\":\"!has(self.s) || self.s == oldSelf.s\"},"
           "{\"rule\":\"!has(self.p) || (type(self.p) == int ? self.p < 100 : "
           "self.p.endsWith('%'))\"},{\"rule\":\"!has(self.my__dash__prop) || "
           "self.my__dash__prop > 0\"},{\"rule\":\"!has(self.e) || self.e.kind == 'Pod'\"}]");
    assert_string_equal(check(e, "{\"s\":[\"a\",\"b\"]}", "{\"s\":[\"b\",\"a\"]}"), "");
    assert_string_equal(check(e, "{\"s\":[\"a\",\"c\"]}", "{\"s\":[\"b\",\"a\"]}"),
                        ": Invalid: \"object\": failed rule: !has(self.s) || self.s == oldSelf.s");
    assert_string_equal(check(e, "{\"m\":{\"x\":0}}", NULL),
                        "m[x]: Invalid: \"integer\": failed rule: self > 0");
    assert_string_equal(check(e, "{\"p\":\"5%\",\"my-prop\":1,\"e\":{\"kind\":\"Pod\"}}", NULL),
                        "");
    assert_string_equal(check(e, "{\"p\":100,\"my-prop\":0,\"e\":{\"kind\":\"Job\"}}", NULL),
                        ": Invalid: \"object\": failed rule: !has(self.p) || (type(self.p) == int "
                        "? self.p < 100 : self.p.endsWith('%'))\n"
                        ": Invalid: \"object\": failed rule: !has(self.my__dash__prop) || "
                        "self.my__dash__prop > 0\n"
                        ": Invalid: \"object\": failed rule: !has(self.e) || self.e.kind == "
                        "'Pod'");
}

static void test_bad_rules_are_refused_with_the_definition(void **state)
{
    struct env *e = *state;
    assert_string_equal(
        refused(e, "{\"type\":\"object\",\"properties\":{\"spec\":{\"type\":\"object\","
                   "\"properties\":{},\"x-kubernetes-validations\":[{\"rule\":\"self.foo\"}]}}}"),
        "schema.properties[spec].x-kubernetes-validations[0].rule: Invalid: "
        "apiextensions.ValidationRule{Rule:\"self.foo\", Message:\"\", MessageExpression:\"\", "
        "Reason:(*apiextensions.FieldValueErrorReason)(nil), FieldPath:\"\", "
        "OptionalOldSelf:(*bool)(nil)}: compilation failed: ERROR: <input>:1:5: undefined field "
        "'foo'\n | self.foo\n | ....^");
    assert_non_null(strstr(refused(e, "{\"type\":\"object\",\"x-kubernetes-validations\":[{"
                                      "\"rule\":\"self.kind\"}]}"),
                           "cel expression must evaluate to a bool"));
    assert_string_equal(refused(e, "{\"type\":\"object\",\"x-kubernetes-validations\":[{"
                                   "\"rule\":\" \"}]}"),
                        "schema.x-kubernetes-validations[0].rule: Required: rule is not specified");
    assert_string_equal(
        refused(e, "{\"type\":\"object\",\"properties\":{\"l\":{\"type\":\"array\",\"items\":{"
                   "\"type\":\"string\",\"x-kubernetes-validations\":[{\"rule\":\"self == "
                   "oldSelf\"}],\"maxLength\":9},\"maxItems\":9}}}"),
        "schema.properties[l].items.x-kubernetes-validations[0].rule: Invalid: \"self == "
        "oldSelf\": oldSelf cannot be used on the uncorrelatable portion of the schema within "
        "schema.properties[l].items");
    assert_non_null(strstr(refused(e, "{\"type\":\"object\",\"x-kubernetes-validations\":[{"
                                      "\"rule\":\"true\",\"fieldPath\":\".nope\"}]}"),
                           "fieldPath must be a valid path"));
}

static void test_rules_without_bounds_cost_too_much(void **state)
{
    struct env *e = *state;
    assert_string_equal(
        refused(e, "{\"type\":\"object\",\"properties\":{\"tags\":{\"type\":\"array\",\"items\":{"
                   "\"type\":\"string\"},\"x-kubernetes-validations\":[{\"rule\":\"self.all(x, "
                   "x.contains('gpu'))\"}]}}}"),
        "schema.properties[tags].x-kubernetes-validations[0].rule: Forbidden: estimated rule cost "
        "exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, "
        "maxProperties, and maxLength where arrays, maps, and strings are declared)\n"
        "schema.properties[tags].x-kubernetes-validations[0].rule: Forbidden: contributed to "
        "estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema\n"
        "schema: Forbidden: x-kubernetes-validations estimated rule cost total for entire "
        "OpenAPIv3 schema exceeds budget by factor of more than 100x (try simplifying the rule, or "
        "adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are "
        "declared)");
    define(e,
           "\"tags\":{\"type\":\"array\",\"maxItems\":333333,\"items\":{\"type\":\"string\","
           "\"maxLength\":63},\"x-kubernetes-validations\":[{\"rule\":\"self.all(x, "
           "x.contains('gpu'))\"}]}",
           "\"description\":\"\"");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_schema_without_rules_passes_everything),
        TEST(test_a_broken_rule_is_told_with_path_and_message),
        TEST(test_transition_rules_need_an_old_value),
        TEST(test_items_of_map_lists_meet_their_old_selves),
        TEST(test_an_unchanged_value_keeps_its_fault),
        TEST(test_sets_maps_and_unions_have_their_types),
        TEST(test_bad_rules_are_refused_with_the_definition),
        TEST(test_rules_without_bounds_cost_too_much),
    };
    return cmocka_run_group_tests_name("cel_rules", tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests of the evaluator beside the public conformance data: Kubernetes' libraries, values that are
 * JSON, declared types, texts of errors, costs and bounds.
 */
#include "cel.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "base/mem.h"
#include "cel_admission.h"

struct env {
    struct arena a;
    struct cel_var vars[4];
    struct cel_value values[4];
    uint32_t n;
    uint64_t cost, estimate, limit;
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
    arena_fini(&e->a);
    mem_free(e);
    return 0;
}

static void declare(struct env *e, const char *name, const struct cel_type *type, const char *text)
{
    struct json *j = NULL;
    assert_int_equal(json_parse(&e->a, str_of(text), NULL, &j, NULL), 0);
    e->vars[e->n] = (struct cel_var){name, type};
    e->values[e->n++] = cel_from_json(j, type);
}

/* What the expression gives, as text; errors behind "error: ". */
static const char *eval(struct env *e, const char *text)
{
    struct cel_compile_opts opts = {.vars = e->vars, .n_vars = e->n, .flags = CEL_F_ALL};
    CLEANUP(cel_program_freep) struct cel_program *p = NULL;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    struct cel_value v;
    struct err err;
    if (cel_compile(str_of(text), &opts, &p, &err) < 0) {
        return arena_printf(&e->a, "compile: %s", err.text);
    }
    e->estimate = cel_program_cost(p);
    struct cel_input in = {.arena = &e->a, .vars = e->values, .cost_limit = e->limit};
    if (cel_eval(p, &in, &v, &e->cost, NULL, &err) < 0) {
        return arena_printf(&e->a, "error: %s", err.text);
    }
    assert_int_equal(cel_print(&out, &v), 0);
    return arena_str(&e->a, buf_str(&out));
}

struct expectation {
    const char *text, *want;
};

static void expect_all(struct env *e, const struct expectation *cases, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *got = eval(e, cases[i].text);
        if (!cstr_eq(got, cases[i].want)) {
            fail_msg("%s gives %s, not %s", cases[i].text, got, cases[i].want);
        }
    }
}
#define EXPECT(e, ...)                                            \
    do {                                                          \
        static const struct expectation cases_[] = {__VA_ARGS__}; \
        expect_all((e), cases_, ARRAY_SIZE(cases_));              \
    } while (0)

static void test_values_of_json_are_read_in_place(void **state)
{
    struct env *e = *state;
    declare(e, "self", NULL,
            "{\"a\":{\"b\":[1,2.5,\"x\",null,true]},\"n\":9007199254740993,\"k.l\":1}");
    EXPECT(e, {"self.a.b", "[1, 2.5, \"x\", null, true]"}, {"self.a.b[1] == 2.5", "true"},
           {"self.n", "9007199254740993"}, {"self['k.l']", "1"}, {"self.`k.l`", "1"},
           {"has(self.a.c)", "false"}, {"self.a.c", "error: no such key: c"},
           {"self.a.b[9]", "error: index out of bounds: 9"}, {"size(self.a.b)", "5"},
           {"self.a.b.filter(x, type(x) == int)", "[1]"}, {"self.?z.orValue('no')", "\"no\""},
           {"self.all(k, k != 'q')", "true"}, {"self.exists(k, v, k == 'n' && v > 5)", "true"},
           {"1 in self.a.b || self.nope", "true"}, {"self.nope || 1 in self.a.b", "true"},
           {"self.a == {'b': [dyn(1), 2.5, 'x', null, true]}", "true"});
}

static void test_declared_types_convert_and_check(void **state)
{
    struct env *e = *state;
    static struct cel_field fields[] = {{"when", "when", &cel_type_timestamp, 0},
                                        {"data", "data", &cel_type_bytes, 0},
                                        {"took", "took", &cel_type_duration, 0},
                                        {"size", "size", &cel_type_double, 0},
                                        {"a__dash__b", "a-b", &cel_type_int, 0}};
    static const struct cel_type self = {
        .kind = CEL_OBJECT, .name = "object", .fields = fields, .n_fields = ARRAY_SIZE(fields)};
    cel_fields_sort(fields, ARRAY_SIZE(fields));
    declare(e, "self", &self,
            "{\"when\":\"2026-11-21T05:00:00Z\",\"data\":\"aGk=\",\"took\":\"90s\",\"size\":3,"
            "\"a-b\":7}");
    EXPECT(e, {"self.when.getFullYear()", "2026"}, {"self.when.getHours('Europe/Berlin')", "6"},
           {"self.data == b'hi'", "true"}, {"self.took > duration('1m')", "true"},
           {"self.size / 2.0", "1.5"}, {"self.a__dash__b + 1", "8"},
           {"self.siz", "compile: ERROR: <input>:1:5: undefined field 'siz'\n | self.siz\n | "
                        "....^"},
           {"self.size + 1",
            "compile: ERROR: <input>:1:11: found no matching overload for '_+_' applied to "
            "'(double, int)'\n | self.size + 1\n | ..........^"},
           {"self.size > 1", "true"}, {"has(self.when)", "true"}, {"self == self", "true"},
           {"type(self.when) == google.protobuf.Timestamp", "true"});
}

static void test_errors_of_compilation_are_all_told(void **state)
{
    struct env *e = *state;
    EXPECT(e,
           {"a +\n\tb", "compile: ERROR: <input>:1:1: undeclared reference to 'a' (in container "
                        "'')\n | a +\n | ^\nERROR: <input>:2:2: undeclared reference to 'b' (in "
                        "container '')\n |  b\n | .^"},
           {"1 + ", "compile: ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting "
                    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, "
                    "NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 + \n | ....^"},
           {"[1, 'a']", "compile: ERROR: <input>:1:5: expected type 'int' but found 'string'\n | "
                        "[1, 'a']\n | ....^"},
           {"'a'.matches('[')", "compile: ERROR: <input>:1:13: invalid matches argument: error "
                                "parsing regexp: missing closing ]: `[`\n | 'a'.matches('[')\n | "
                                "............^"});
}

static void test_urls_addresses_and_quantities(void **state)
{
    struct env *e = *state;
    EXPECT(e, {"url('https://u:p@ex.com:8080/a b?x=1&x=2&y=%20').getHost()", "\"ex.com:8080\""},
           {"url('https://ex.com:80/a?x=1&x=2').getQuery()['x']", "[\"1\", \"2\"]"},
           {"url('https://[::1]:80/').getHostname()", "\"::1\""},
           {"url('https://ex.com/a%20b').getEscapedPath()", "\"/a%20b\""},
           {"isURL('../a') || isURL('')", "false"}, {"isURL('/a/b')", "true"},
           {"url('https://ex.com').getScheme() + url('https://ex.com').getPort()", "\"https\""},
           {"ip('192.168.0.1').family()", "4"}, {"ip('::1').isLoopback()", "true"},
           {"isIP('1.2.3.04') || isIP('::ffff:1.2.3.4')", "false"},
           {"ip.isCanonical('2001:DB8::1')", "false"},
           {"cidr('10.0.0.0/8').containsIP('10.1.2.3')", "true"},
           {"cidr('10.0.0.0/8').containsCIDR(cidr('10.0.0.0/7'))", "false"},
           {"string(cidr('10.1.2.3/8').masked())", "\"10.0.0.0/8\""},
           {"cidr('fe80::/64').prefixLength()", "64"},
           {"quantity('1.5Gi').add(quantity('512Mi')) == quantity('2Gi')", "true"},
           {"quantity('50k').asInteger()", "50000"}, {"quantity('500m').isInteger()", "false"},
           {"quantity('1').compareTo(quantity('2'))", "-1"}, {"isQuantity('1.x')", "false"},
           {"quantity('1500m').asApproximateFloat()", "1.5"}, {"quantity('-3').sign()", "-1"});
}

static void test_formats_semver_and_regex(void **state)
{
    struct env *e = *state;
    EXPECT(e, {"format.dns1123Label().validate('my-name').hasValue()", "false"},
           {"format.named('uuid').value().validate('nope').value()",
            "[\"does not match the UUID format\"]"},
           {"format.dns1123LabelPrefix().validate('my-name-').hasValue()", "false"},
           {"format.date().validate('2026-02-30').hasValue()", "true"},
           {"semver('1.2.3').isLessThan(semver('1.10.0'))", "true"},
           {"semver('1.0.0-alpha.2').compareTo(semver('1.0.0-alpha.10'))", "-1"},
           {"semver('v1.2', true).minor()", "2"}, {"isSemver('v1.2')", "false"},
           {"'abc 123 def 45'.find('[0-9]+')", "\"123\""},
           {"'abc 123 def 45'.findAll('[0-9]+')", "[\"123\", \"45\"]"},
           {"'a1b2c3'.findAll('[0-9]', 2)", "[\"1\", \"2\"]"},
           {"'aaa'.matches('^a{2,3}$')", "true"});
}

static void test_lists_of_kubernetes(void **state)
{
    struct env *e = *state;
    EXPECT(e, {"[1, 2, 2].isSorted() && !['b', 'a'].isSorted()", "true"}, {"[1, 2, 3].sum()", "6"},
           {"[1.5, 2.5].sum()", "4"}, {"['b', 'a'].min() + ['b', 'a'].max()", "\"ab\""},
           {"[1, 2, 1].indexOf(1) + [1, 2, 1].lastIndexOf(1)", "2"},
           {"dyn([]).min()", "error: min called on empty list"},
           {"[[1], [2, 3]].flatten()", "[1, 2, 3]"}, {"[3, 1, 2].sort()", "[1, 2, 3]"},
           {"[1, 1, 2].distinct()", "[1, 2]"}, {"lists.range(3)", "[0, 1, 2]"},
           {"[1, 2, 3, 4].slice(1, 3)", "[2, 3]"}, {"sets.contains([1, 2], [2])", "true"},
           {"sets.equivalent([1, 1], [1])", "true"}, {"sets.intersects([1], [2])", "false"});
}

static void test_cost_is_counted_and_bounded(void **state)
{
    struct env *e = *state;
    static const struct cel_type text = {.kind = CEL_STRING, .max = 252};
    static const struct cel_type self = {.kind = CEL_LIST, .elem = &text, .max = 333333};
    declare(e, "self", &self, "[\"a\",\"b\",\"c\"]");
    assert_string_equal(eval(e, "self.all(x, x.contains('gpu') || true)"), "true");
    assert_true(e->cost > 3 && e->cost < 30);
    /* Known of Kubernetes: this costs 30 for each element when texts have 63 characters. */
    (void)eval(e, "self.all(x, x.contains('gpu'))");
    assert_int_equal(e->estimate, 30 * 333333 + 2);
    e->limit = 100;
    assert_string_equal(eval(e, "self.all(x, self.all(y, self.all(z, x + y + z != '')))"),
                        "error: operation cancelled: actual cost limit exceeded");
    assert_string_equal(eval(e, "true || self.all(x, self.all(y, self.all(z, x + y + z != '')))"),
                        "true");
    assert_string_equal(eval(e, "self.all(x, self.all(y, self.all(z, x + y + z != ''))) || true"),
                        "error: operation cancelled: actual cost limit exceeded");
}

static void test_depth_and_size_are_bounded(void **state)
{
    struct env *e = *state;
    CLEANUP(buf_finip) struct buf deep = BUF_INIT;
    CLEANUP(buf_finip) struct buf chain = BUF_INIT;
    for (int i = 0; i < 3000; i++) {
        (void)buf_puts(&deep, "[");
        (void)buf_puts(&chain, i ? " && true" : "true");
    }
    assert_non_null(strstr(eval(e, arena_str(&e->a, buf_str(&deep))), "recursion limit exceeded"));
    assert_string_equal(eval(e, arena_str(&e->a, buf_str(&chain))), "true");
}

static void test_a_variable_may_be_an_error(void **state)
{
    struct env *e = *state;
    struct str keys[] = {STR_LIT("good"), STR_LIT("bad")};
    struct cel_value values[] = {cel_int(1), cel_error(STR_LIT("it failed"))};
    e->vars[0] = (struct cel_var){"variables", NULL};
    e->values[0] = cel_map_of(&e->a, keys, values, 2);
    e->n = 1;
    EXPECT(e, {"variables.good", "1"}, {"variables.bad", "error: it failed"},
           {"variables.bad || variables.good == 1", "true"});
}

static void test_names_of_properties_are_escaped(void **state)
{
    struct env *e = *state;
    static const struct expectation cases[] = {{"plain", "plain"},
                                               {"a.b", "a__dot__b"},
                                               {"a-b", "a__dash__b"},
                                               {"a/b", "a__slash__b"},
                                               {"a__b", "a__underscores__b"},
                                               {"in", "__in__"},
                                               {"namespace", "__namespace__"},
                                               {"_a", "_a"}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_string_equal(cel_escape_name(&e->a, cases[i].text), cases[i].want);
    }
    assert_null(cel_escape_name(&e->a, "a b"));
    assert_null(cel_escape_name(&e->a, "1a"));
    assert_null(cel_escape_name(&e->a, ""));
}

static void test_conditions_of_webhooks_see_the_request(void **state)
{
    struct env *e = *state;
    struct json *request = NULL, *conditions = NULL;
    struct err err;
    static const struct {
        const char *conditions;
        enum cel_match want;
    } cases[] = {
        {"[]", CEL_MATCH_YES},
        {"[{\"expression\":\"request.operation == 'CREATE' && oldObject == null\"}]",
         CEL_MATCH_YES},
        {"[{\"expression\":\"'admins' in request.userInfo.groups\"},{\"expression\":\"request."
         "resource.group != ''\"}]",
         CEL_MATCH_NO},
        {"[{\"expression\":\"object.metadata.nope\"},{\"expression\":\"request.dryRun\"}]",
         CEL_MATCH_NO},
        {"[{\"expression\":\"object.metadata.labels['x'] == 'y'\"}]", CEL_MATCH_FAILED}};
    assert_int_equal(
        json_parse(&e->a,
                   STR_LIT("{\"operation\":\"CREATE\",\"dryRun\":false,\"resource\":{\"group\":"
                           "\"\",\"version\":\"v1\",\"resource\":\"pods\"},\"userInfo\":{"
                           "\"groups\":[\"admins\"]},\"object\":{\"metadata\":{\"labels\":{}}},"
                           "\"oldObject\":null}"),
                   NULL, &request, NULL),
        0);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(json_parse(&e->a, str_of(cases[i].conditions), NULL, &conditions, NULL),
                         0);
        const struct cel_admission_input in = {.request = request};
        assert_int_equal(cel_match_conditions(&e->a, conditions, &in, &err), cases[i].want);
    }
    assert_string_equal(err.text, "expression 'object.metadata.labels['x'] == 'y'' resulted in "
                                  "error: no such key: x");
    assert_null(cel_condition_problem(&e->a, STR_LIT("object.spec.x > 1")));
    assert_string_equal(cel_condition_problem(&e->a, STR_LIT("'a'")), "must evaluate to bool");
    assert_non_null(
        strstr(cel_condition_problem(&e->a, STR_LIT("request.nope")), "undefined field 'nope'"));
}

static void answer(void *arg, const struct cel_access *q, struct cel_access_answer *ret)
{
    char *asked = arg;
    (void)snprintf(asked, 200, "%s|%s|%s|%s|%s|%s|%s|%s|%s", q->verb, q->group, q->resource,
                   q->subresource, q->ns, q->name, q->path, q->account_ns, q->account);
    *ret = (struct cel_access_answer){.allowed = cstr_eq(q->verb, "get"), .reason = "because"};
}

static void test_the_authorizer_is_asked_what_was_gathered(void **state)
{
    static const struct {
        const char *text, *asked;
        bool want;
    } cases[] = {
        {"authorizer.group('apps').resource('deployments').subresource('scale').namespace('n')"
         ".name('x').check('get').allowed()",
         "get|apps|deployments|scale|n|x|||", true},
        {"authorizer.path('/healthz').check('put').allowed()", "put||||||/healthz||", false},
        {"authorizer.serviceAccount('n', 'a').group('').resource('pods').check('get').reason() == "
         "'because'",
         "get||pods|||||n|a", true},
        {"authorizer.requestResource.check('get').errored()", "get|batch|jobs||here|j|||", false},
    };
    struct env *e = *state;
    struct json *request = NULL;
    char asked[200];
    const struct cel_authorizer z = {answer, asked};
    assert_int_equal(json_parse(&e->a,
                                STR_LIT("{\"requestResource\":{\"group\":\"batch\",\"version\":"
                                        "\"v1\",\"resource\":\"jobs\"},\"namespace\":\"here\","
                                        "\"name\":\"j\"}"),
                                NULL, &request, NULL),
                     0);
    const struct cel_admission_input in = {.request = request, .authorizer = &z};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct json *list = json_array(&e->a);
        struct err err = {0};
        json_set_str(json_push(list, json_object(&e->a)), "expression", cases[i].text);
        assert_int_equal(cel_match_conditions(&e->a, list, &in, &err),
                         cases[i].want ? CEL_MATCH_YES : CEL_MATCH_NO);
        assert_string_equal(asked, cases[i].asked);
    }
}

static void test_variables_are_evaluated_once_and_only_when_they_are_read(void **state)
{
    struct env *e = *state;
    const struct cel_admission_opts opts = {.max_variables = 4};
    CLEANUP(cel_admission_env_freep) struct cel_admission_env *env = cel_admission_env_new(&opts);
    CLEANUP(cel_program_freep) struct cel_program *lazy = NULL, *fails = NULL;
    struct cel_admission_run run;
    struct cel_value v;
    struct err err = {0};
    assert_null(cel_admission_declare(env, &e->a, STR_LIT("two"), STR_LIT("1 + 1")));
    assert_null(
        cel_admission_declare(env, &e->a, STR_LIT("bad"), STR_LIT("[1][int(variables.two)]")));
    assert_null(cel_admission_declare(env, &e->a, STR_LIT("list"), STR_LIT("[variables.two]")));
    assert_non_null(strstr(cel_admission_declare(env, &e->a, STR_LIT("x"), STR_LIT("variables.y")),
                           "undefined field 'y'"));
    assert_string_equal(
        cel_admission_compile(env, &e->a, true, STR_LIT("variables.list"), CEL_WANT_BOOL, NULL),
        "must evaluate to bool");
    assert_null(cel_admission_compile(env, &e->a, true,
                                      STR_LIT("has(variables.bad) && variables.list[0] == 2 && "
                                              "(variables.two == 2 || variables.bad == 1)"),
                                      CEL_WANT_BOOL, &lazy));
    assert_null(cel_admission_compile(env, &e->a, true, STR_LIT("variables.bad == 1"),
                                      CEL_WANT_BOOL, &fails));
    const struct cel_admission_input in = {0};
    assert_int_equal(cel_admission_start(&run, env, &e->a, &in), 0);
    assert_int_equal(cel_admission_eval(&run, lazy, STR_LIT("lazy"), &v, &err), 0);
    assert_true(v.kind == CEL_BOOL && v.b);
    assert_int_equal(cel_admission_eval(&run, fails, STR_LIT("fails"), &v, &err), -E_INVAL);
    assert_string_equal(err.text, "expression 'fails' resulted in error: composited variable "
                                  "\"bad\" fails to evaluate: index out of bounds: 2");
    cel_admission_budget(&run, 3);
    assert_int_equal(cel_admission_eval(&run, lazy, STR_LIT("lazy"), &v, &err), -E_LIMIT);
}

static void test_values_leave_as_json(void **state)
{
    struct env *e = *state;
    struct cel_compile_opts opts = {.flags = CEL_F_ALL | CEL_F_MIXED_LISTS};
    CLEANUP(cel_program_freep) struct cel_program *p = NULL;
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    struct cel_value v;
    struct cel_input in = {.arena = &e->a};
    assert_int_equal(cel_compile(STR_LIT("{'a': [1, 2u, 0.5, b'hi', null, true, duration('90s')]}"),
                                 &opts, &p, NULL),
                     0);
    assert_int_equal(cel_eval(p, &in, &v, NULL, NULL, NULL), 0);
    assert_int_equal(json_print(&out, cel_to_json(&e->a, &v)), 0);
    assert_string_equal(arena_str(&e->a, buf_str(&out)),
                        "{\"a\":[1,2,0.5,\"aGk=\",null,true,\"90s\"]}");
}

static void test_any_failed_allocation_is_told(void **state)
{
    static const char text[] = "[1, 2].map(x, string(x) + 'a').filter(s, s.matches('^[0-9]a' + "
                               "'$')).all(s, {s: 1}[s] == 1)";
    int rc = -E_NOMEM;
    for (unsigned long n = 1; rc == -E_NOMEM; n++) {
        struct cel_compile_opts opts = {.flags = CEL_F_ALL};
        struct cel_program *p = NULL;
        struct arena a;
        struct cel_value v;
        arena_init(&a, 0);
        struct cel_input in = {.arena = &a};
        mem_fail_at(n);
        rc = cel_compile(str_of(text), &opts, &p, NULL);
        if (rc == 0) {
            rc = cel_eval(p, &in, &v, NULL, NULL, NULL);
        }
        mem_fail_at(0);
        assert_true(rc == 0 || rc == -E_NOMEM);
        cel_program_free(p);
        arena_fini(&a);
    }
    assert_int_equal(rc, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_values_of_json_are_read_in_place),
        TEST(test_declared_types_convert_and_check),
        TEST(test_errors_of_compilation_are_all_told),
        TEST(test_urls_addresses_and_quantities),
        TEST(test_formats_semver_and_regex),
        TEST(test_lists_of_kubernetes),
        TEST(test_cost_is_counted_and_bounded),
        TEST(test_depth_and_size_are_bounded),
        TEST(test_a_variable_may_be_an_error),
        TEST(test_names_of_properties_are_escaped),
        TEST(test_conditions_of_webhooks_see_the_request),
        TEST(test_the_authorizer_is_asked_what_was_gathered),
        TEST(test_variables_are_evaluated_once_and_only_when_they_are_read),
        TEST(test_values_leave_as_json),
        TEST(test_any_failed_allocation_is_told),
    };
    return cmocka_run_group_tests_name("cel", tests, NULL, NULL);
}

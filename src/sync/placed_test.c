/* SPDX-License-Identifier: Apache-2.0 */
/* Who has a stream, table or rule, and what the reports of nodes become. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "placed.h"

static struct arena arena;

static struct json *parse(const char *text)
{
    struct buf b = BUF_INIT;
    struct json *j = NULL;
    for (; *text; text++) {
        (void)buf_putc(&b, *text == '\'' ? '"' : *text);
    }
    assert_int_equal(json_parse(&arena, buf_str(&b), NULL, &j, NULL), 0);
    buf_fini(&b);
    return j;
}

static const char *print(const struct json *j)
{
    struct buf b = BUF_INIT;
    assert_int_equal(json_print(&b, j), 0);
    char *text = arena_str(&arena, buf_str(&b));
    buf_fini(&b);
    return text;
}

static bool matches(const char *spec, const char *node, const char *labels)
{
    struct placed_where w;
    char *have = placed_labels(parse(labels));
    assert_int_equal(placed_where_read(&w, parse(spec)), 0);
    bool yes = placed_matches(&w, node, have);
    placed_where_fini(&w);
    mem_free(have);
    return yes;
}

static void a_spec_names_nodes_by_name_and_by_labels(void **state)
{
    (void)state;
    assert_true(matches("{'spec':{}}", "n1", "{}"));
    assert_true(matches("{'spec':{'nodeName':'n1'}}", "n1", "{}"));
    assert_false(matches("{'spec':{'nodeName':'n1'}}", "n2", "{}"));
    assert_true(
        matches("{'spec':{'nodeSelector':{'a':'1','b':''}}}", "n1", "{'b':'','c':'x','a':'1'}"));
    assert_false(matches("{'spec':{'nodeSelector':{'a':'1'}}}", "n1", "{'a':'2'}"));
    assert_false(matches("{'spec':{'nodeSelector':{'a':''}}}", "n1", "{'b':''}"));
    assert_false(matches("{'spec':{'nodeName':'n1','nodeSelector':{'a':'1'}}}", "n1", "{}"));
}

static void labels_are_equal_in_any_order(void **state)
{
    (void)state;
    char *a = placed_labels(parse("{'a':'1','b':'2'}")),
         *b = placed_labels(parse("{'b':'2','a':'1'}"));
    char *c = placed_labels(parse("{'a':'1'}"));
    assert_true(placed_labels_equal(a, b));
    assert_false(placed_labels_equal(a, c));
    assert_false(placed_labels_equal(c, a));
    mem_free(a);
    mem_free(b);
    mem_free(c);
}

static void a_report_is_kept_in_the_name_of_its_node_without_what_is_unknown(void **state)
{
    struct err err;
    (void)state;
    const struct json *entry = placed_clean(
        &arena,
        parse("{'name':'another','state':'Running','results':3,'errors':0,'message':'','x':{'y':1},"
              "'observedGeneration':2,'lastError':7}"),
        "n1", &err);
    assert_string_equal(
        print(entry),
        "{\"name\":\"n1\",\"state\":\"Running\",\"observedGeneration\":2,\"results\":3}");
    assert_null(placed_clean(&arena, parse("{'state':'Root'}"), "n1", &err));
    assert_null(placed_clean(&arena, parse("[]"), "n1", &err));
}

static void a_message_is_cut_between_characters(void **state)
{
    char text[3000] = "{'state':'Failed','message':'x";
    (void)state;
    for (int i = 0; i < 1000; i++) {
        strncat(text, "\xc3\xa4", sizeof(text) - strlen(text) - 1);
    }
    strncat(text, "'}", sizeof(text) - strlen(text) - 1);
    const struct json *entry = placed_clean(&arena, parse(text), "n1", NULL);
    assert_int_equal(json_text(json_get(entry, "message")).n, 1023);
}

static struct json *status_of(struct json **entries, size_t n, size_t desired,
                              const struct json *before)
{
    return placed_status(&arena, entries, n, desired, 5, before);
}

static void expect(const struct json *status, const char *state, const char *summary,
                   const char *ready, const char *message)
{
    const struct json *c = json_at(json_get(status, "conditions"), 0);
    assert_string_equal(json_path_cstr(status, "state", ""), state);
    assert_string_equal(print(json_get(status, "summary")), print(parse(summary)));
    assert_string_equal(json_cstr(json_get(c, "status"), ""), ready);
    assert_string_equal(json_cstr(json_get(c, "reason"), ""), state);
    assert_string_equal(json_cstr(json_get(c, "message"), ""), message);
}

static void the_condition_is_true_when_every_node_has_the_newest_spec(void **state)
{
    struct json *entries[3] = {
        parse("{'name':'c','state':'Running','observedGeneration':5}"),
        parse("{'name':'a','state':'Stopped','observedGeneration':5}"),
        parse("{'name':'b','state':'Running','observedGeneration':4}"),
    };
    (void)state;
    expect(status_of(entries, 0, 0, NULL), "NoNode", "{'desired':0,'ready':0}", "False",
           "no node has the name and the labels that the spec wants");
    expect(status_of(entries, 3, 3, NULL), "Pending", "{'desired':3,'ready':2,'running':1}",
           "False", "1 of 3 nodes have not told yet that they have generation 5");
    json_set_int(entries[1], "observedGeneration", 5); /* they were sorted: it is b */
    expect(status_of(entries, 3, 3, NULL), "Running", "{'desired':3,'ready':3,'running':2}", "True",
           "3 nodes have it");
    entries[0] = parse("{'name':'z','state':'Failed','message':'no','observedGeneration':5}");
    const struct json *status = status_of(entries, 3, 3, NULL);
    expect(status, "Failed", "{'desired':3,'ready':2,'running':2,'failed':1}", "False", "z: no");
    assert_string_equal(json_cstr(json_get(json_at(json_get(status, "nodes"), 0), "name"), ""),
                        "z"); /* failures first */
    assert_non_null(placed_entry(status, "b"));
    assert_null(placed_entry(status, "d"));
}

static void the_time_of_the_condition_stays_while_it_stays(void **state)
{
    struct json *entry = parse("{'name':'a','state':'Running','observedGeneration':5}");
    const struct json *before =
        parse("{'conditions':[{'status':'True','lastTransitionTime':'2001-01-01T00:00:00Z'}]}");
    (void)state;
    const struct json *status = status_of(&entry, 1, 1, before);
    const struct json *c = json_at(json_get(status, "conditions"), 0);
    assert_string_equal(json_cstr(json_get(c, "lastTransitionTime"), ""), "2001-01-01T00:00:00Z");
    status = status_of(&entry, 1, 2, before);
    c = json_at(json_get(status, "conditions"), 0);
    assert_string_not_equal(json_cstr(json_get(c, "lastTransitionTime"), ""),
                            "2001-01-01T00:00:00Z");
}

static void of_very_many_nodes_all_are_counted_and_some_are_shown(void **state)
{
    enum { MANY = 10000 };
    struct json **entries = arena_alloc(&arena, MANY * sizeof(struct json *));
    (void)state;
    for (int i = 0; i < MANY; i++) {
        entries[i] = json_object(&arena);
        json_set(entries[i], "name", json_printf(&arena, "n%05d", i));
        json_set_str(entries[i], "state", i % 1000 == 7 ? "Failed" : "Running");
        json_set_int(entries[i], "observedGeneration", 5);
    }
    const struct json *status = status_of(entries, MANY, MANY, NULL);
    expect(status, "Failed", "{'desired':10000,'ready':9990,'running':9990,'failed':10}", "False",
           "n00007:  (and 9 nodes more)");
    assert_int_equal(json_len(json_get(status, "nodes")), LIMIT_PLACED_NODES);
    assert_non_null(placed_entry(status, "n09007"));
}

static int begin(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int end(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_spec_names_nodes_by_name_and_by_labels, begin, end),
        cmocka_unit_test_setup_teardown(labels_are_equal_in_any_order, begin, end),
        cmocka_unit_test_setup_teardown(
            a_report_is_kept_in_the_name_of_its_node_without_what_is_unknown, begin, end),
        cmocka_unit_test_setup_teardown(a_message_is_cut_between_characters, begin, end),
        cmocka_unit_test_setup_teardown(the_condition_is_true_when_every_node_has_the_newest_spec,
                                        begin, end),
        cmocka_unit_test_setup_teardown(the_time_of_the_condition_stays_while_it_stays, begin, end),
        cmocka_unit_test_setup_teardown(of_very_many_nodes_all_are_counted_and_some_are_shown,
                                        begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What `kubectl get` shows of pods and nodes in all their states. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/table.h"
#include "base/mem.h"

static struct json *row(struct arena *a, const char *plural, const char *text)
{
    const struct kind *k = kind_find("", "v1", plural);
    struct json *obj = NULL, *t;
    struct wall now;
    struct err err;
    assert_int_equal(time_parse(STR_LIT("2026-11-21T12:00:00Z"), &now), 0);
    if (json_parse(a, str_of(text), NULL, &obj, &err) < 0) {
        fail_msg("%s", err.text);
    }
    t = table_new(a, k, NULL, false);
    table_add(a, t, k, obj, TABLE_NONE, now);
    return json_get(json_at(json_get(t, "rows"), 0), "cells");
}

static void the_state_of_a_pod_is_told_in_kubectls_words(void **state)
{
    static const struct {
        const char *pod, *ready, *status, *restarts;
    } cases[] = {
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Pending\"}}", "0/1",
         "Pending", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"},{\"name\":\"b\"}]},\"status\":{\"phase\":"
         "\"Running\",\"containerStatuses\":[{\"name\":\"a\",\"ready\":true,\"state\":{\"running\":{}}},"
         "{\"name\":\"b\",\"ready\":false,\"restartCount\":3,\"state\":{\"waiting\":{\"reason\":"
         "\"CrashLoopBackOff\"}},\"lastState\":{\"terminated\":{\"finishedAt\":"
         "\"2026-11-21T11:57:00Z\"}}}]}}",
         "1/2", "CrashLoopBackOff", "3 (3m ago)"},
        {"{\"spec\":{\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"a\"}]},"
         "\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{"
         "\"running\":{}}}]}}",
         "0/1", "Init:0/1", "0"},
        {"{\"spec\":{\"initContainers\":[{\"name\":\"i\"}],\"containers\":[{\"name\":\"a\"}]},"
         "\"status\":{\"phase\":\"Pending\",\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{"
         "\"terminated\":{\"exitCode\":2}}}]}}",
         "0/1", "Init:ExitCode:2", "0"},
        {"{\"spec\":{\"initContainers\":[{\"name\":\"s\",\"restartPolicy\":\"Always\"}],\"containers\":[{"
         "\"name\":\"a\"}]},\"status\":{\"phase\":\"Running\",\"initContainerStatuses\":[{\"name\":\"s\","
         "\"started\":true,\"ready\":true,\"state\":{\"running\":{}}}],\"containerStatuses\":[{\"name\":"
         "\"a\",\"ready\":true,\"state\":{\"running\":{}}}]}}",
         "2/2", "Running", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Succeeded\","
         "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"reason\":\"Completed\","
         "\"exitCode\":0}}}]}}",
         "0/1", "Completed", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Failed\","
         "\"containerStatuses\":[{\"name\":\"a\",\"state\":{\"terminated\":{\"signal\":9}}}]}}",
         "0/1", "Signal:9", "0"},
        {"{\"metadata\":{\"deletionTimestamp\":\"2026-11-21T12:00:00Z\"},\"spec\":{\"containers\":[{"
         "\"name\":\"a\"}]},\"status\":{\"phase\":\"Running\"}}",
         "0/1", "Terminating", "0"},
        {"{\"metadata\":{\"deletionTimestamp\":\"2026-11-21T12:00:00Z\"},\"spec\":{\"containers\":[{"
         "\"name\":\"a\"}]},\"status\":{\"phase\":\"Running\",\"reason\":\"NodeLost\"}}",
         "0/1", "Unknown", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Failed\",\"reason\":"
         "\"Evicted\"}}",
         "0/1", "Evicted", "0"},
        {"{\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":\"Pending\",\"conditions\":[{"
         "\"type\":\"PodScheduled\",\"status\":\"False\",\"reason\":\"SchedulingGated\"}]}}",
         "0/1", "SchedulingGated", "0"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json *cells = row(&a, "pods", cases[i].pod);
        assert_string_equal(json_cstr(json_at(cells, 1), ""), cases[i].ready);
        assert_string_equal(json_cstr(json_at(cells, 2), ""), cases[i].status);
        assert_string_equal(json_cstr(json_at(cells, 3), ""), cases[i].restarts);
        arena_fini(&a);
    }
}

static void a_node_tells_whether_it_takes_pods(void **state)
{
    static const struct {
        const char *node, *status, *roles;
    } cases[] = {
        {"{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"}]}}", "Ready",
         "<none>"},
        {"{\"spec\":{\"unschedulable\":true},\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
         "\"Unknown\"}]}}",
         "NotReady,SchedulingDisabled", "<none>"},
        {"{\"metadata\":{\"labels\":{\"node-role.kubernetes.io/edge\":\"\",\"kubernetes.io/role\":\"a\"}}}",
         "Unknown", "a,edge"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena a;
        arena_init(&a, 0);
        struct json *cells = row(&a, "nodes", cases[i].node);
        assert_string_equal(json_cstr(json_at(cells, 1), ""), cases[i].status);
        assert_string_equal(json_cstr(json_at(cells, 2), ""), cases[i].roles);
        arena_fini(&a);
    }
}

static void a_table_names_its_columns_once(void **state)
{
    (void)state;
    struct arena a;
    size_t n;
    const struct kind *const *all = kinds_all(&n);
    arena_init(&a, 0);
    for (size_t i = 0; i < n; i++) {
        struct json *t = table_new(&a, all[i], NULL, true);
        const struct json *columns = json_get(t, "columnDefinitions");
        assert_int_equal(json_len(columns), all[i]->columns_n);
        JSON_FOR_EACH (c, columns) {
            assert_string_not_equal(json_path_cstr(c, "type", ""), "date");
        }
        struct json *later = table_new(&a, all[i], NULL, false);
        assert_true(json_is(json_get(later, "columnDefinitions"), JSON_NULL));
    }
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_state_of_a_pod_is_told_in_kubectls_words),
        cmocka_unit_test(a_node_tells_whether_it_takes_pods),
        cmocka_unit_test(a_table_names_its_columns_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

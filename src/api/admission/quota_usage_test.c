/* SPDX-License-Identifier: Apache-2.0 */
/* What objects count for in quotas, and what is given out only once. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/admission/quota_usage.h"
#include "api/alloc/service_alloc.h"
#include "base/mem.h"

static struct arena arena;

/* Texts are written with ' for ". */
static struct json *json_of(const char *text)
{
    struct json *j = NULL;
    struct err err = {0};
    char *copy = arena_strdup(&arena, text);
    for (char *c = copy; *c; c++) {
        *c = *c == '\'' ? '"' : *c;
    }
    if (json_parse(&arena, str_of(copy), NULL, &j, &err) < 0) {
        fail_msg("%s: %s", text, err.text);
    }
    return j;
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

static const char *amount(const struct quota_usage *u, const char *name)
{
    static char text[QUANTITY_TEXT_SIZE];
    const struct quantity *q = resource_list_get(&u->amounts, name);
    return q ? quantity_print(*q, text) : "none";
}

static void a_pod_counts_by_its_hungriest_moment(void **state)
{
    (void)state;
    struct quota_usage u = quota_usage_of(
        &arena, kind_find("", "v1", "pods"),
        json_of(
            "{'spec':{'overhead':{'cpu':'10m'},'initContainers':[{'resources':{'requests':{'cpu':"
            "'1'}}}],'containers':[{'resources':{'requests':{'cpu':'200m'},'limits':{'cpu':'1',"
            "'memory':'1Gi','x.io/gpu':'2'}}},{'resources':{'requests':{'cpu':'300m'}}}]}}"));
    assert_string_equal(amount(&u, "pods"), "1");
    assert_string_equal(amount(&u, "count/pods"), "1");
    assert_string_equal(amount(&u, "requests.cpu"), "1010m");
    assert_string_equal(amount(&u, "cpu"), "1010m");
    assert_string_equal(amount(&u, "limits.cpu"), "1010m");
    assert_string_equal(amount(&u, "requests.memory"), "1Gi");
    assert_string_equal(amount(&u, "requests.x.io/gpu"), "2");
    u = quota_usage_of(&arena, kind_find("", "v1", "pods"),
                       json_of("{'status':{'phase':'Failed'}}"));
    assert_string_equal(amount(&u, "pods"), "none");
    assert_string_equal(amount(&u, "count/pods"), "1");
}

static void services_and_claims_count_what_they_take(void **state)
{
    (void)state;
    struct quota_usage u =
        quota_usage_of(&arena, kind_find("", "v1", "services"),
                       json_of("{'spec':{'type':'NodePort','ports':[{'port':1},{'port':2}]}}"));
    assert_string_equal(amount(&u, "services.nodeports"), "2");
    assert_string_equal(amount(&u, "services.loadbalancers"), "0");
    u = quota_usage_of(
        &arena, kind_find("", "v1", "persistentvolumeclaims"),
        json_of("{'spec':{'storageClassName':'fast','resources':{'requests':{'storage':"
                "'3Gi'}}}}"));
    assert_string_equal(amount(&u, "requests.storage"), "3Gi");
    assert_string_equal(amount(&u, "fast.storageclass.storage.k8s.io/requests.storage"), "3Gi");
    u = quota_usage_of(&arena, kind_find("apps", "v1", "deployments"), json_of("{}"));
    assert_string_equal(amount(&u, "count/deployments.apps"), "1");
}

static void scopes_choose_pods(void **state)
{
    (void)state;
    const struct kind *pods = kind_find("", "v1", "pods");
    struct quota_usage idle = quota_usage_of(&arena, pods, json_of("{'spec':{}}"));
    struct quota_usage vip = quota_usage_of(
        &arena, pods,
        json_of("{'spec':{'priorityClassName':'vip','activeDeadlineSeconds':5,'containers':[{"
                "'resources':{'requests':{'cpu':'1'}}}]}}"));
    static const struct {
        const char *quota;
        bool idle, vip;
    } cases[] = {
        {"{'spec':{'scopes':['BestEffort']}}", true, false},
        {"{'spec':{'scopes':['NotBestEffort','Terminating']}}", false, true},
        {"{'spec':{'scopeSelector':{'matchExpressions':[{'scopeName':'PriorityClass','operator':"
         "'In','values':['vip']}]}}}",
         false, true},
        {"{'spec':{'scopeSelector':{'matchExpressions':[{'scopeName':'PriorityClass','operator':"
         "'DoesNotExist'}]}}}",
         true, false},
        {"{'spec':{}}", true, true},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        const struct json *q = json_of(cases[i].quota);
        assert_int_equal(quota_scopes_match(q, &idle), cases[i].idle);
        assert_int_equal(quota_scopes_match(q, &vip), cases[i].vip);
    }
}

static const char *used(const struct quota_table *t, const char *name)
{
    static char text[QUANTITY_TEXT_SIZE];
    const struct json *q = json_of("{'spec':{'hard':{'pods':'9','requests.memory':'1Gi'}}}");
    struct resource_list l = quota_table_used(t, &arena, q, "d");
    const struct quantity *v = resource_list_get(&l, name);
    return v ? quantity_print(*v, text) : "none";
}

static void a_table_adds_up_what_is_there_whatever_the_order_of_news(void **state)
{
    (void)state;
    const struct kind *pods = kind_find("", "v1", "pods");
    const struct json *pod =
        json_of("{'spec':{'containers':[{'resources':{'requests':{'memory':'64Mi'}}}]}}");
    struct quota_table *t = quota_table_new();
    assert_non_null(t);
    assert_int_equal(quota_table_set(t, pods, "d", "early", pod, 1), 0);
    assert_string_equal(used(t, "pods"), "0"); /* not tracked */
    assert_int_equal(quota_table_track(t, "d"), 0);
    assert_int_equal(quota_table_set(t, pods, "d", "a", pod, 5), 0);
    assert_int_equal(quota_table_set(t, pods, "d", "b", pod, 6), 0);
    assert_string_equal(used(t, "pods"), "2");
    assert_string_equal(used(t, "requests.memory"), "128Mi");
    assert_int_equal(quota_table_set(t, pods, "d", "a", NULL, 8), 0);
    assert_int_equal(quota_table_set(t, pods, "d", "a", pod, 7), 0); /* older news */
    assert_string_equal(used(t, "pods"), "1");
    quota_table_forget(t, pods, "d", "b");
    assert_string_equal(used(t, "pods"), "0");
    quota_table_free(t);
}

/* ---- addresses ---- */

static void an_address_is_given_out_once_until_it_is_free_again(void **state)
{
    (void)state;
    struct service_alloc *sa;
    char ip[SERVICE_IP_SIZE], text[160], name[16];
    assert_int_equal(service_alloc_new("10.0.0.0/28", &sa, NULL), 0);
    for (int i = 0; i < 14; i++) {
        service_alloc_pick_ip(sa, ip);
        assert_int_equal(service_alloc_ip(sa, ip), SERVICE_IP_FREE);
        (void)snprintf(text, sizeof(text), "{'spec':{'clusterIPs':['%s']}}", ip);
        (void)snprintf(name, sizeof(name), "s%d", i);
        assert_int_equal(service_alloc_set(sa, "d", name, json_of(text)), 0);
        assert_int_equal(service_alloc_ip(sa, ip), SERVICE_IP_TAKEN);
    }
    service_alloc_pick_ip(sa, ip);
    assert_string_equal(ip, "");
    assert_int_equal(service_alloc_set(sa, "d", "s3", NULL), 0);
    service_alloc_pick_ip(sa, ip);
    assert_int_equal(service_alloc_ip(sa, ip), SERVICE_IP_FREE);
    assert_int_equal(service_alloc_ip(sa, "10.0.0.0"), SERVICE_IP_OUTSIDE);
    assert_int_equal(service_alloc_ip(sa, "10.0.0.15"), SERVICE_IP_OUTSIDE);
    assert_int_equal(service_alloc_ip(sa, "::1"), SERVICE_IP_BAD);
    service_alloc_free(sa);
}

static void node_ports_are_given_out_once_also_for_two_protocols(void **state)
{
    (void)state;
    struct service_alloc *sa;
    assert_int_equal(service_alloc_new(SERVICE_RANGE_DEFAULT, &sa, NULL), 0);
    assert_int_equal(
        service_alloc_set(
            sa, "d", "dns",
            json_of("{'spec':{'ports':[{'nodePort':30053,'protocol':'TCP'},{"
                    "'nodePort':30053,'protocol':'UDP'}],'healthCheckNodePort':30054}}")),
        0);
    assert_true(service_alloc_port_taken(sa, 30053));
    assert_true(service_alloc_port_taken(sa, 30054));
    assert_int_equal(service_alloc_set(sa, "d", "dns", NULL), 0);
    assert_false(service_alloc_port_taken(sa, 30053));
    int64_t port = service_alloc_pick_port(sa, NULL, 0);
    assert_in_range(port, NODE_PORT_FIRST, NODE_PORT_LAST);
    service_alloc_free(sa);
}

static void a_range_that_is_none_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",           "10.0.0.0",    "10.0.0.1/16", "10.0.0.0/8",
                                      "fd00::/108", "10.0.0.0/31", "10.0.0.0/x"};
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct service_alloc *sa;
        struct err err = {0};
        assert_int_equal(service_alloc_new(bad[i], &sa, &err), -E_INVAL);
        assert_true(err.text[0] != '\0');
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_pod_counts_by_its_hungriest_moment),
        TEST(services_and_claims_count_what_they_take),
        TEST(scopes_choose_pods),
        TEST(a_table_adds_up_what_is_there_whatever_the_order_of_news),
        TEST(an_address_is_given_out_once_until_it_is_free_again),
        TEST(node_ports_are_given_out_once_also_for_two_protocols),
        TEST(a_range_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

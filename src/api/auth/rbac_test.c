/* SPDX-License-Identifier: Apache-2.0 */
/* Roles: what rules allow, how they follow the store, and what their writers must hold. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/auth/rbac.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"

struct fixture {
    struct io_loop *loop;
    struct store *store;
    struct rbac *rbac;
    struct arena arena;
};

static const char *const team[] = {"team", "system:authenticated", NULL};
static const struct api_user alice = {.name = "alice", .groups = team};
static const char *const robot_groups[] = {"system:serviceaccounts", NULL};
static const struct api_user robot = {.name = "system:serviceaccount:ci:robot",
                                      .groups = robot_groups};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err = {0};
    log_init("test", LOG_WARN);
    arena_init(&f->arena, 0);
    assert_int_equal(loop_new(&f->loop, &err), 0);
    struct store_opts o = {.index = &api_store_index};
    assert_int_equal(store_open(f->loop, &o, &f->store, &err), 0);
    assert_int_equal(rbac_new(f->store, &f->rbac), 0);
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
    rbac_free(f->rbac);
    store_close(f->store, on_closed, &closed);
    while (!closed) {
        loop_run_once(f->loop);
    }
    loop_free(f->loop);
    arena_fini(&f->arena);
    mem_free(f);
    return 0;
}

static void stored(struct store_req *req, int code, const char *text)
{
    (void)text;
    assert_int_equal(code, 0);
    *(bool *)req->arg = true;
}

static void wait_for(struct fixture *f, const bool *done)
{
    while (!*done) {
        loop_run_once(f->loop);
    }
}

#define RBAC "rbac.authorization.k8s.io"

static void put(struct fixture *f, const char *resource, const char *ns, const char *name,
                const char *rest)
{
    bool done = false;
    struct store_req req = {.done = stored, .arg = &done};
    const char *key = arena_printf(&f->arena, "%s." RBAC "/%s/%s", resource, ns, name);
    const char *value =
        arena_printf(&f->arena, "{\"metadata\":{\"name\":\"%s\"%s%s%s,\"uid\":\"u\"},%s}", name,
                     *ns ? ",\"namespace\":\"" : "", ns, *ns ? "\"" : "", rest);
    assert_int_equal(store_put(f->store, &req, str_of(key), str_of(value), NULL), 0);
    wait_for(f, &done);
}

static void drop(struct fixture *f, const char *resource, const char *ns, const char *name)
{
    bool done = false;
    struct store_req req = {.done = stored, .arg = &done};
    const char *key = arena_printf(&f->arena, "%s." RBAC "/%s/%s", resource, ns, name);
    assert_int_equal(store_delete(f->store, &req, str_of(key), STR_LIT("{}"), NULL), 0);
    wait_for(f, &done);
}

static bool may(struct fixture *f, const struct api_user *u, const char *verb, const char *resource,
                const char *sub, const char *ns, const char *name)
{
    struct authz_attrs q = {.user = u,
                            .verb = verb,
                            .group = "",
                            .resource = resource,
                            .subresource = sub,
                            .ns = ns,
                            .name = name};
    const char *reason;
    bool first = rbac_allows(f->rbac, &q), again = rbac_allows(f->rbac, &q);
    assert_int_equal(first, again); /* remembered or not */
    assert_int_equal(first, rbac_explain(f->rbac, &f->arena, &q, &reason));
    return first;
}

static void a_role_holds_in_its_namespace_for_its_subjects(void **state)
{
    struct fixture *f = *state;
    assert_false(may(f, &alice, "get", "pods", "", "a", "p"));
    put(f, "rolebindings", "a", "b",
        "\"roleRef\":{\"kind\":\"Role\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"Group\",\"name\":"
        "\"team\"},{\"kind\":\"ServiceAccount\",\"name\":\"robot\",\"namespace\":\"ci\"}]");
    assert_false(may(f, &alice, "get", "pods", "", "a", "p")); /* the role is not there yet */
    put(f, "roles", "a", "r",
        "\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]");
    assert_true(may(f, &alice, "get", "pods", "", "a", "p"));
    assert_true(may(f, &robot, "get", "pods", "", "a", "p"));
    assert_false(may(f, &alice, "list", "pods", "", "a", ""));
    assert_false(may(f, &alice, "get", "pods", "log", "a", "p"));
    assert_false(may(f, &alice, "get", "pods", "", "b", "p"));
    assert_false(may(f, &alice, "get", "pods", "", "", "p"));
    drop(f, "rolebindings", "a", "b");
    assert_false(may(f, &alice, "get", "pods", "", "a", "p"));
    assert_false(may(f, &robot, "get", "pods", "", "a", "p"));
}

static void a_cluster_role_holds_where_it_is_bound(void **state)
{
    struct fixture *f = *state;
    put(f, "clusterroles", "", "r",
        "\"rules\":[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]}]");
    put(f, "rolebindings", "a", "local",
        "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\","
        "\"name\":\"alice\"}]");
    assert_true(may(f, &alice, "deletecollection", "secrets", "", "a", ""));
    assert_false(may(f, &alice, "get", "nodes", "", "", "n"));
    put(f, "clusterrolebindings", "", "all",
        "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\","
        "\"name\":\"alice\"}]");
    assert_true(may(f, &alice, "get", "nodes", "status", "", "n"));
    put(f, "clusterroles", "", "r", "\"rules\":null");
    assert_false(may(f, &alice, "get", "nodes", "", "", "n"));
}

static void names_and_subresources_are_told_apart(void **state)
{
    struct fixture *f = *state;
    put(f, "clusterroles", "", "r",
        "\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"configmaps\"],\"resourceNames\":[\"one\"]"
        ",\"verbs\":[\"get\",\"update\"]},{\"apiGroups\":[\"\"],\"resources\":[\"*/scale\",\"pods/"
        "log\"],\"verbs\":[\"get\"]}]");
    put(f, "clusterrolebindings", "", "b",
        "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"Group\","
        "\"name\":\"team\"}]");
    assert_true(may(f, &alice, "get", "configmaps", "", "a", "one"));
    assert_false(may(f, &alice, "get", "configmaps", "", "a", "two"));
    assert_true(may(f, &alice, "update", "configmaps", "", "b", "one"));
    assert_false(may(f, &alice, "list", "configmaps", "", "a", ""));
    assert_true(may(f, &alice, "get", "pods", "log", "a", "p"));
    assert_false(may(f, &alice, "get", "pods", "", "a", "p"));
    assert_false(may(f, &alice, "get", "pods", "logs", "a", "p"));
    assert_true(may(f, &alice, "get", "things", "scale", "a", "p"));
}

static void paths_end_in_a_star(void **state)
{
    struct fixture *f = *state;
    struct authz_attrs q = {.user = &alice,
                            .verb = "get",
                            .group = "",
                            .resource = "",
                            .subresource = "",
                            .ns = "",
                            .name = ""};
    put(f, "clusterroles", "", "r",
        "\"rules\":[{\"nonResourceURLs\":[\"/logs/*\",\"/one\"],\"verbs\":[\"get\"]}]");
    put(f, "clusterrolebindings", "", "b",
        "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\","
        "\"name\":\"alice\"}]");
    static const struct {
        const char *path;
        bool allowed;
    } cases[] = {{"/logs/a/b", true}, {"/logs/", true}, {"/logs", false},
                 {"/one", true},      {"/one/", false}, {"/", false}};
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        q.path = cases[i].path;
        assert_int_equal(rbac_allows(f->rbac, &q), cases[i].allowed);
    }
}

static void reasons_are_those_of_kubernetes(void **state)
{
    struct fixture *f = *state;
    const char *reason;
    struct authz_attrs q = {.user = &robot,
                            .verb = "get",
                            .group = "",
                            .resource = "pods",
                            .subresource = "",
                            .ns = "a",
                            .name = ""};
    put(f, "rolebindings", "a", "b",
        "\"roleRef\":{\"kind\":\"Role\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"ServiceAccount\","
        "\"name\":\"robot\",\"namespace\":\"ci\"}]");
    assert_false(rbac_explain(f->rbac, &f->arena, &q, &reason));
    assert_string_equal(reason, "RBAC: role.rbac.authorization.k8s.io \"r\" not found");
    put(f, "roles", "a", "r",
        "\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\"]}]");
    assert_true(rbac_explain(f->rbac, &f->arena, &q, &reason));
    assert_string_equal(reason, "RBAC: allowed by RoleBinding \"b/a\" of Role \"r\" to "
                                "ServiceAccount \"robot/ci\"");
}

/* ---- comparing ---- */

static size_t rules_of(struct fixture *f, const char *text, struct rbac_rule **ret)
{
    struct json *j = NULL;
    assert_int_equal(json_parse(&f->arena, str_of(text), NULL, &j, NULL), 0);
    return rbac_rules_parse(&f->arena, j, ret);
}

static void what_is_missing_is_told_in_one_rule_a_resource(void **state)
{
    struct fixture *f = *state;
    struct rbac_rule *have, *want, *missing = NULL;
    size_t n = 0;
    size_t n_have = rules_of(f,
                             "[{\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"*/log\"],\"verbs\":["
                             "\"get\"]},{\"apiGroups\":[\"apps\"],\"resources\":[\"*\"],\"verbs\":["
                             "\"*\"]},{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],"
                             "\"resourceNames\":[\"s\"],\"verbs\":[\"get\"]},{\"nonResourceURLs\":["
                             "\"/a/*\"],\"verbs\":[\"get\"]}]",
                             &have);
    size_t n_want =
        rules_of(f,
                 "[{\"apiGroups\":[\"\"],\"resources\":[\"pods\",\"pods/log\"],\"verbs\":[\"get\","
                 "\"list\",\"watch\"]},{\"apiGroups\":[\"apps\"],\"resources\":[\"deployments\"],"
                 "\"verbs\":[\"patch\"]},{\"apiGroups\":[\"\"],\"resources\":[\"secrets\"],"
                 "\"resourceNames\":[\"s\",\"t\"],\"verbs\":[\"get\"]},{\"nonResourceURLs\":[\"/a/"
                 "b\",\"/c\"],\"verbs\":[\"get\"]}]",
                 &want);
    assert_int_equal(rbac_rules_missing(&f->arena, have, n_have, want, n_want, &missing, &n), 0);
    n = rbac_rules_compact(&f->arena, missing, n);
    static const char *const texts[] = {
        "{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"list\" \"watch\"]}",
        "{APIGroups:[\"\"], Resources:[\"pods/log\"], Verbs:[\"list\" \"watch\"]}",
        "{APIGroups:[\"\"], Resources:[\"secrets\"], ResourceNames:[\"t\"], Verbs:[\"get\"]}",
        "{NonResourceURLs:[\"/c\"], Verbs:[\"get\"]}",
    };
    assert_int_equal(n, ARRAY_SIZE(texts));
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(rbac_rule_text(&f->arena, &missing[i]), texts[i]);
    }
}

static void a_holder_of_everything_lacks_nothing(void **state)
{
    struct fixture *f = *state;
    struct rbac_rule *have, *want, *missing = NULL;
    size_t n = 0;
    size_t n_have = rules_of(f,
                             "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\"],\"verbs\":[\"*\"]},{"
                             "\"nonResourceURLs\":[\"*\"],\"verbs\":[\"*\"]}]",
                             &have);
    size_t n_want = rules_of(f,
                             "[{\"apiGroups\":[\"*\"],\"resources\":[\"*\",\"*/x\"],\"verbs\":["
                             "\"*\"]},{\"nonResourceURLs\":[\"*\",\"/x\"],\"verbs\":[\"*\"]}]",
                             &want);
    assert_int_equal(rbac_rules_missing(&f->arena, have, n_have, want, n_want, &missing, &n), 0);
    assert_int_equal(n, 0);
}

/* Not a test of time: it prints what a decision costs. */
static void decisions_are_remembered(void **state)
{
    struct fixture *f = *state;
    put(f, "clusterroles", "", "r",
        "\"rules\":[{\"apiGroups\":[\"\"],\"resources\":[\"pods\"],\"verbs\":[\"get\",\"list\"]}]");
    for (int i = 0; i < 50; i++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "b%d", i);
        put(f, "clusterrolebindings", "", name,
            "\"roleRef\":{\"kind\":\"ClusterRole\",\"name\":\"r\"},\"subjects\":[{\"kind\":\"User\""
            ",\"name\":\"alice\"}]");
    }
    struct authz_attrs q = {.user = &alice,
                            .verb = "get",
                            .group = "",
                            .resource = "nodes",
                            .subresource = "",
                            .ns = "",
                            .name = "n"};
    struct mono begin = mono_now();
    for (int i = 0; i < 100000; i++) {
        assert_false(rbac_allows(f->rbac, &q));
    }
    print_message("a remembered decision: %lld ns\n",
                  (long long)((mono_now().us - begin.us) * 1000 / 100000));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_role_holds_in_its_namespace_for_its_subjects),
        TEST(a_cluster_role_holds_where_it_is_bound),
        TEST(names_and_subresources_are_told_apart),
        TEST(paths_end_in_a_star),
        TEST(reasons_are_those_of_kubernetes),
        TEST(what_is_missing_is_told_in_one_rule_a_resource),
        TEST(a_holder_of_everything_lacks_nothing),
        TEST(decisions_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

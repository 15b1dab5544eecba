/* SPDX-License-Identifier: Apache-2.0 */
/* Who may do what, and who is who by a token. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/auth/authn.h"
#include "api/auth/authz.h"
#include "api/auth/impersonate.h"
#include "api/client.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"

struct fixture {
    struct io_loop *loop;
    struct store *store;
    struct api_server *server;
    struct api_client *client;
};

static const char *const node_groups[] = {"system:nodes", "system:authenticated", NULL};
static const char *const no_groups[] = {"system:authenticated", NULL};
static const char *const master_groups[] = {"system:masters", NULL};
static const struct api_user node = {"system:node:n1", node_groups};
static const struct api_user alice = {"alice", no_groups};
static const struct api_user admin = {"admin", master_groups};

static void on_done(struct api_call *call, int code, struct json *result)
{
    (void)result;
    if (code != 0) {
        fail_msg("%s", call->err.text);
    }
    *(bool *)call->arg = true;
}

static void create(struct fixture *f, const char *plural, const char *ns, const char *text)
{
    struct arena a;
    struct json *body = NULL;
    bool done = false;
    struct api_call call = {.done = on_done, .arg = &done};
    arena_init(&a, 0);
    assert_int_equal(json_parse(&a, str_of(text), NULL, &body, NULL), 0);
    api_call_start(
        f->client, &call,
        &(struct api_request){
            .verb = API_CREATE, .kind = kind_find("", "v1", plural), .ns = ns, .body = body});
    while (!done) {
        loop_run_once(f->loop);
    }
    arena_fini(&a);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err = {0};
    log_init("test", LOG_WARN);
    assert_int_equal(loop_new(&f->loop, &err), 0);
    struct store_opts o = {.index = &api_store_index};
    assert_int_equal(store_open(f->loop, &o, &f->store, &err), 0);
    const struct api_server_opts opts = {
        .token_csv = "0123456789,bob,1,\"ops,system:masters\"\nabcdefghij,carol,2\n"};
    f->server = api_server_new(f->loop, f->store, &opts, &err);
    assert_non_null(f->server);
    f->client = api_client_local(f->server, "test");
    create(
        f, "pods", "default",
        "{\"metadata\":{\"name\":\"mine\"},\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":"
        "\"s3\",\"image\":\"i\",\"envFrom\":[{\"configMapRef\":{\"name\":\"cm\"}}]}],\"volumes\":[{"
        "\"name\":\"v\",\"secret\":{\"secretName\":\"s1\"}},{\"name\":\"w\",\"projected\":{"
        "\"sources\":[{\"secret\":{\"name\":\"s2\"}}]}}]}}");
    create(
        f, "pods", "default",
        "{\"metadata\":{\"name\":\"other\"},\"spec\":{\"nodeName\":\"n2\",\"containers\":[{\"name\":"
        "\"c\",\"image\":\"i\",\"envFrom\":[{\"secretRef\":{\"name\":\"s4\"}}]}]}}");
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
    api_client_free(f->client);
    api_server_free(f->server);
    store_close(f->store, on_closed, &closed);
    while (!closed) {
        loop_run_once(f->loop);
    }
    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static bool allowed(struct fixture *f, const struct api_user *u, enum handler_verb verb,
                    const char *plural, const char *name, const char *sub, const char *fields,
                    char *text)
{
    struct arena a;
    struct err err = {0};
    const struct kind *k = kind_find("", "v1", plural);
    if (!k) {
        k = kind_find("coordination.k8s.io", "v1", plural);
    }
    arena_init(&a, 0);
    struct authz_request r = {.user = u,
                              .verb = verb,
                              .kind = k,
                              .subresource = sub,
                              .ns = !k->namespaced              ? ""
                                    : cstr_eq(plural, "leases") ? "kube-node-lease"
                                                                : "default",
                              .name = name,
                              .field_selector = fields};
    int code = authz_check(f->server, &a, &r, &err);
    if (text) {
        cstr_copy(text, 512, err.text);
    }
    arena_fini(&a);
    return code == 0;
}

static void a_node_reaches_what_concerns_it_and_nothing_else(void **state)
{
    static const struct {
        bool allowed;
        enum handler_verb verb;
        const char *plural, *name, *sub, *fields;
    } cases[] = {
        {true, HANDLER_GET, "nodes", "n1", "", NULL},
        {false, HANDLER_GET, "nodes", "n2", "", NULL},
        {false, HANDLER_LIST, "nodes", "", "", NULL},
        {true, HANDLER_WATCH, "nodes", "", "", "metadata.name=n1"},
        {true, HANDLER_PATCH, "nodes", "n1", "status", NULL},
        {false, HANDLER_DELETE, "nodes", "n1", "", NULL},
        {true, HANDLER_UPDATE, "leases", "n1", "", NULL},
        {false, HANDLER_UPDATE, "leases", "n2", "", NULL},
        {true, HANDLER_GET, "pods", "mine", "", NULL},
        {false, HANDLER_GET, "pods", "other", "", NULL},
        {true, HANDLER_PATCH, "pods", "mine", "status", NULL},
        {false, HANDLER_PATCH, "pods", "mine", "", NULL},
        {false, HANDLER_PATCH, "pods", "other", "status", NULL},
        {true, HANDLER_DELETE, "pods", "mine", "", NULL},
        {false, HANDLER_DELETE, "pods", "other", "", NULL},
        {false, HANDLER_LIST, "pods", "", "", NULL},
        {false, HANDLER_LIST, "pods", "", "", "spec.nodeName=n2"},
        {true, HANDLER_LIST, "pods", "", "", "spec.nodeName=n1"},
        {false, HANDLER_CREATE, "pods", "mine", "exec", NULL},
        {false, HANDLER_CREATE, "pods", "", "", NULL},
        {true, HANDLER_GET, "configmaps", "cm", "", NULL},
        {false, HANDLER_GET, "configmaps", "s1", "", NULL},
        {true, HANDLER_GET, "secrets", "s1", "", NULL},
        {true, HANDLER_GET, "secrets", "s2", "", NULL},
        {false, HANDLER_GET, "secrets", "s3", "", NULL}, /* the name of a container */
        {false, HANDLER_GET, "secrets", "s4", "", NULL}, /* of another node's pod */
        {true, HANDLER_WATCH, "secrets", "", "", "metadata.name=s1"},
        {false, HANDLER_WATCH, "secrets", "", "", NULL},
        {false, HANDLER_UPDATE, "secrets", "s1", "", NULL},
        {true, HANDLER_GET, "serviceaccounts", "default", "", NULL},
        {true, HANDLER_CREATE, "events", "", "", NULL},
        {false, HANDLER_LIST, "events", "", "", NULL},
        {false, HANDLER_CREATE, "namespaces", "", "", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        bool is = allowed(*state, &node, cases[i].verb, cases[i].plural, cases[i].name,
                          cases[i].sub, cases[i].fields, NULL);
        if (is != cases[i].allowed) {
            fail_msg("case %zu: %s %s", i, cases[i].plural, cases[i].name);
        }
    }
}

static void a_refusal_names_the_user_and_what_was_asked(void **state)
{
    char text[512];
    assert_false(allowed(*state, &alice, HANDLER_LIST, "pods", "", "", NULL, text));
    assert_string_equal(text,
                        "User \"alice\" cannot list resource \"pods\" in API group \"\" in the "
                        "namespace \"default\"");
    assert_false(allowed(*state, &alice, HANDLER_GET, "nodes", "n", "status", NULL, text));
    assert_string_equal(text,
                        "User \"alice\" cannot get resource \"nodes/status\" in API group \"\" "
                        "at the cluster scope");
    assert_true(allowed(*state, &admin, HANDLER_DELETE_COLLECTION, "secrets", "", "", NULL, NULL));
}

static void a_node_does_not_promote_itself(void **state)
{
    static const struct {
        bool allowed;
        const char *old, *now;
    } cases[] = {
        {true, NULL, "{\"metadata\":{\"labels\":{\"kubernetes.io/hostname\":\"n1\",\"x\":\"y\"}}}"},
        {false, NULL,
         "{\"metadata\":{\"labels\":{\"node-role.kubernetes.io/control-plane\":\"\"}}}"},
        {true, "{\"metadata\":{\"labels\":{\"node-role.kubernetes.io/a\":\"\"}}}",
         "{\"metadata\":{\"labels\":{\"node-role.kubernetes.io/a\":\"\",\"b.c/d\":\"\"}}}"},
        {false, "{\"metadata\":{\"labels\":{\"node-restriction.kubernetes.io/a\":\"\"}}}", "{}"},
        {false, "{\"spec\":{\"taints\":[{\"key\":\"a\"}]}}", "{\"spec\":{}}"},
        {true, "{\"spec\":{\"taints\":[{\"key\":\"a\"}]}}",
         "{\"spec\":{\"taints\":[{\"key\":\"a\"}],\"podCIDR\":\"10.0.0.0/24\"}}"},
        {false, "{}", "{\"metadata\":{\"ownerReferences\":[{\"uid\":\"x\"}]}}"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct arena a;
        struct err err = {0};
        struct json *old = NULL, *now = NULL;
        const struct kind *k = kind_find("", "v1", "nodes");
        arena_init(&a, 0);
        if (cases[i].old) {
            assert_int_equal(json_parse(&a, str_of(cases[i].old), NULL, &old, NULL), 0);
        }
        assert_int_equal(json_parse(&a, str_of(cases[i].now), NULL, &now, NULL), 0);
        bool is = authz_node_write(&node, k, now, old, &err) == 0;
        if (is != cases[i].allowed) {
            fail_msg("case %zu: %s", i, err.text);
        }
        assert_int_equal(authz_node_write(&admin, k, now, old, &err), 0);
        arena_fini(&a);
    }
}

static void a_static_token_names_its_user(void **state)
{
    struct fixture *f = *state;
    struct arena a;
    struct api_user u;
    struct err err;
    arena_init(&a, 0);
    assert_int_equal(authn_token(f->server, &a, STR_LIT("0123456789"), NULL, &u, NULL, &err), 0);
    assert_string_equal(u.name, "bob");
    assert_true(api_user_in(&u, "system:masters"));
    assert_true(api_user_in(&u, "system:authenticated"));
    assert_int_equal(authn_token(f->server, &a, STR_LIT("abcdefghij"), NULL, &u, NULL, &err), 0);
    assert_false(api_user_in(&u, "system:masters"));
    assert_int_equal(authn_token(f->server, &a, STR_LIT("abcdefghi"), NULL, &u, NULL, &err),
                     -E_UNAUTHORIZED);
    arena_fini(&a);
}

static void put_token(struct fixture *f, const char *id, const char *expires)
{
    char text[512];
    (void)snprintf(text, sizeof(text),
                   "{\"metadata\":{\"name\":\"bootstrap-token-%s\"},\"type\":"
                   "\"bootstrap.kubernetes.io/token\",\"stringData\":{\"token-id\":\"%s\","
                   "\"token-secret\":\"0123456789abcdef\",\"expiration\":\"%s\","
                   "\"usage-bootstrap-authentication\":\"true\"}}",
                   id, id, expires);
    create(f, "secrets", "kube-system", text);
}

static void a_bootstrap_token_lives_until_it_expires(void **state)
{
    struct fixture *f = *state;
    struct arena a;
    struct api_user u;
    struct err err;
    arena_init(&a, 0);
    put_token(f, "aaaaaa", "2999-01-01T00:00:00Z");
    put_token(f, "bbbbbb", "2001-01-01T00:00:00Z");
    assert_int_equal(
        authn_token(f->server, &a, STR_LIT("aaaaaa.0123456789abcdef"), NULL, &u, NULL, &err), 0);
    assert_string_equal(u.name, "system:bootstrap:aaaaaa");
    assert_true(api_user_in(&u, "system:bootstrappers"));
    assert_int_equal(
        authn_token(f->server, &a, STR_LIT("aaaaaa.0123456789abcdee"), NULL, &u, NULL, &err),
        -E_UNAUTHORIZED);
    assert_int_equal(
        authn_token(f->server, &a, STR_LIT("bbbbbb.0123456789abcdef"), NULL, &u, NULL, &err),
        -E_UNAUTHORIZED);
    assert_string_equal(err.text, "Unauthorized: the bootstrap token \"bbbbbb\" has expired");
    arena_fini(&a);
}

/* ---- impersonation ---- */

static int become(struct fixture *f, struct arena *a, struct api_user *u, const char *const *lines,
                  const char **ret_message)
{
    struct http_headers h = {0};
    struct json *status = NULL;
    for (; lines[0]; lines += 2) {
        assert_int_equal(http_header_add(a, &h, str_of(lines[0]), str_of(lines[1])), 0);
    }
    int rc = impersonate(f->server, a, &h, u, &status);
    *ret_message = rc < 0 ? json_path_cstr(status, "message", "") : "";
    return rc;
}

static void an_administrator_becomes_whom_he_names(void **state)
{
    static const char *const whole[] = {"Impersonate-User",
                                        "eve",
                                        "impersonate-GROUP",
                                        "a",
                                        "Impersonate-Group",
                                        "b",
                                        "Impersonate-Uid",
                                        "7",
                                        "Impersonate-Extra-Acme%2fScope",
                                        "x",
                                        NULL};
    static const char *const account[] = {"Impersonate-User", "system:serviceaccount:ns:sa", NULL};
    static const char *const nobody[] = {"Impersonate-User", "system:anonymous", NULL};
    static const char *const none[] = {"Accept", "impersonate-user", NULL};
    struct fixture *f = *state;
    struct arena a;
    const char *message;
    arena_init(&a, 0);
    struct api_user u = admin;
    assert_int_equal(become(f, &a, &u, whole, &message), 0);
    assert_string_equal(u.name, "eve");
    assert_string_equal(u.uid, "7");
    assert_true(api_user_in(&u, "a") && api_user_in(&u, "b"));
    assert_true(api_user_in(&u, "system:authenticated") && !api_user_in(&u, "system:masters"));
    assert_string_equal(json_cstr(json_at(json_get(u.extra, "acme/scope"), 0), ""), "x");
    u = admin;
    assert_int_equal(become(f, &a, &u, account, &message), 0);
    assert_true(api_user_in(&u, "system:serviceaccounts:ns"));
    u = admin;
    assert_int_equal(become(f, &a, &u, nobody, &message), 0);
    assert_true(api_user_in(&u, "system:unauthenticated"));
    assert_false(api_user_in(&u, "system:authenticated"));
    u = admin;
    assert_int_equal(become(f, &a, &u, none, &message), 0);
    assert_string_equal(u.name, "admin");
    arena_fini(&a);
}

static void others_do_not_and_nobody_becomes_a_group_alone(void **state)
{
    static const char *const user[] = {"Impersonate-User", "eve", NULL};
    static const char *const group[] = {"Impersonate-Group", "system:masters", NULL};
    struct fixture *f = *state;
    struct arena a;
    const char *message;
    arena_init(&a, 0);
    struct api_user u = alice;
    assert_int_equal(become(f, &a, &u, user, &message), -E_ACCESS);
    assert_string_equal(message, "users \"eve\" is forbidden: User \"alice\" cannot impersonate "
                                 "resource \"users\" in API group \"\" at the cluster scope");
    assert_string_equal(u.name, "alice");
    u = admin;
    assert_int_equal(become(f, &a, &u, group, &message), -E_INVALID);
    const char *many[2 * (LIMIT_IMPERSONATION_GROUPS + 2) + 1] = {"Impersonate-User", "eve"};
    for (size_t i = 1; i <= LIMIT_IMPERSONATION_GROUPS + 1; i++) {
        many[2 * i] = "Impersonate-Group";
        many[2 * i + 1] = "g";
    }
    u = admin;
    assert_int_equal(become(f, &a, &u, many, &message), -E_LIMIT);
    arena_fini(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_node_reaches_what_concerns_it_and_nothing_else),
        TEST(a_refusal_names_the_user_and_what_was_asked),
        TEST(a_node_does_not_promote_itself),
        TEST(a_static_token_names_its_user),
        TEST(a_bootstrap_token_lives_until_it_expires),
        TEST(an_administrator_becomes_whom_he_names),
        TEST(others_do_not_and_nobody_becomes_a_group_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

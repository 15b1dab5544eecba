/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of service accounts: issued, believed, and not believed any more. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/auth/jwt.h"
#include "api/auth/tokens.h"
#include "api/client.h"
#include "api/object.h"
#include "api/server_private.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "io/x509.h"

struct fixture {
    struct io_loop *loop;
    struct store *store;
    struct api_server *server;
    struct api_client *client;
    struct arena arena;
    char *keys[3];
    struct json *result;
    int code;
};

static void on_done(struct api_call *call, int code, struct json *result)
{
    struct fixture *f = call->arg;
    f->result = json_clone(&f->arena, result);
    f->code = code;
    call->arg = NULL;
}

static struct json *request(struct fixture *f, struct api_request *r, const char *text)
{
    struct json *body = NULL;
    struct api_call call = {.done = on_done, .arg = f};
    if (text) {
        assert_int_equal(json_parse(&f->arena, str_of(text), NULL, &body, NULL), 0);
        r->body = body;
    }
    api_call_start(f->client, &call, r);
    while (call.arg) {
        loop_run_once(f->loop);
    }
    return f->result;
}

static struct json *create(struct fixture *f, const char *plural, const char *text)
{
    struct json *o =
        request(f,
                &(struct api_request){
                    .verb = API_CREATE, .kind = kind_find("", "v1", plural), .ns = "default"},
                text);
    assert_int_equal(f->code, 0);
    return o;
}

static void drop(struct fixture *f, const char *plural, const char *name)
{
    (void)request(f,
                  &(struct api_request){.verb = API_DELETE,
                                        .kind = kind_find("", "v1", plural),
                                        .ns = "default",
                                        .name = name,
                                        .has_grace = true},
                  NULL);
    assert_int_equal(f->code, 0);
}

static void open_server(struct fixture *f, const char *const *keys)
{
    struct err err = {0};
    const struct api_server_opts opts = {.token_keys = keys, .root_ca = "the CA"};
    f->server = api_server_new(f->loop, f->store, &opts, &err);
    assert_non_null(f->server);
    f->client = api_client_local(f->server, "test");
}

static void close_server(struct fixture *f)
{
    api_client_free(f->client);
    api_server_free(f->server);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    struct err err = {0};
    log_init("test", LOG_WARN);
    arena_init(&f->arena, 0);
    assert_int_equal(loop_new(&f->loop, &err), 0);
    struct store_opts o = {.index = &api_store_index};
    assert_int_equal(store_open(f->loop, &o, &f->store, &err), 0);
    assert_int_equal(x509_key_new(&f->keys[0], &err), 0);
    open_server(f, (const char *const *)f->keys);
    create(f, "serviceaccounts", "{\"metadata\":{\"name\":\"robot\"}}");
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
    close_server(f);
    store_close(f->store, on_closed, &closed);
    while (!closed) {
        loop_run_once(f->loop);
    }
    loop_free(f->loop);
    arena_fini(&f->arena);
    mem_free(f->keys[0]);
    mem_free(f->keys[1]);
    mem_free(f);
    return 0;
}

static struct json *ask(struct fixture *f, const char *spec)
{
    return request(f,
                   &(struct api_request){.verb = API_CREATE,
                                         .kind = kind_find("", "v1", "serviceaccounts"),
                                         .ns = "default",
                                         .name = "robot",
                                         .subresource = "token"},
                   spec);
}

static const char *token_of(struct json *answer)
{
    return json_path_cstr(answer, "status.token", "");
}

static int verify(struct fixture *f, const char *token, struct api_user *u, struct err *err)
{
    return tokens_verify(f->server->sa_tokens, &f->arena, str_of(token), NULL, u, NULL, err);
}

static void a_token_is_its_account(void **state)
{
    struct fixture *f = *state;
    struct api_user u;
    struct err err;
    struct jwt j;
    const char *token = token_of(ask(f, "{\"spec\":{}}"));
    assert_int_equal(f->code, 0);
    assert_int_equal(verify(f, token, &u, &err), 0);
    assert_string_equal(u.name, "system:serviceaccount:default:robot");
    assert_true(api_user_in(&u, "system:serviceaccounts"));
    assert_true(api_user_in(&u, "system:serviceaccounts:default"));
    assert_true(api_user_in(&u, "system:authenticated"));
    assert_int_equal(jwt_parse(&f->arena, str_of(token), &j), 0);
    assert_string_equal(json_path_cstr(j.claims, "iss", ""), TOKENS_ISSUER);
    assert_string_equal(json_path_cstr(j.claims, "sub", ""), u.name);
    assert_int_equal(json_path_i64(j.claims, "exp", 0) - json_path_i64(j.claims, "iat", 0), 3600);
    const struct json *private = json_get(j.claims, "kubernetes.io");
    assert_string_equal(json_path_cstr(private, "serviceaccount.uid", ""), u.uid);
    drop(f, "serviceaccounts", "robot");
    assert_int_equal(verify(f, token, &u, &err), -E_UNAUTHORIZED);
    create(f, "serviceaccounts", "{\"metadata\":{\"name\":\"robot\"}}");
    assert_int_equal(verify(f, token, &u, &err), -E_UNAUTHORIZED); /* another one by that name */
}

static void a_changed_token_is_refused(void **state)
{
    struct fixture *f = *state;
    struct api_user u;
    struct err err;
    const char *good = token_of(ask(f, "{\"spec\":{}}"));
    /* Of the last letter only two bits count, so it is left out. */
    for (size_t i = 0; i + 1 < strlen(good); i += 7) {
        char *bad = arena_strdup(&f->arena, good);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        assert_int_equal(verify(f, bad, &u, &err), -E_UNAUTHORIZED);
    }
    assert_int_equal(verify(f, "ey.ey.ey", &u, &err), -E_UNAUTHORIZED);
    assert_int_equal(verify(f, "", &u, &err), -E_UNAUTHORIZED);
    assert_int_equal(verify(f, good, &u, &err), 0);
}

/* Not a test of time: it prints what a request with a token costs. */
static void what_is_known_is_not_checked_twice(void **state)
{
    struct fixture *f = *state;
    struct api_user u;
    struct err err;
    const char *token = token_of(ask(f, "{\"spec\":{}}"));
    struct mono begin = mono_now();
    assert_int_equal(verify(f, token, &u, &err), 0);
    struct mono first = mono_now();
    for (int i = 0; i < 10000; i++) {
        struct arena a;
        arena_init(&a, 0);
        assert_int_equal(
            tokens_verify(f->server->sa_tokens, &a, str_of(token), NULL, &u, NULL, &err), 0);
        arena_fini(&a);
    }
    print_message("a token: %lld us the first time, then %lld ns\n",
                  (long long)(first.us - begin.us),
                  (long long)((mono_now().us - first.us) * 1000 / 10000));
}

static void a_token_for_others_is_not_for_us(void **state)
{
    struct fixture *f = *state;
    struct api_user u;
    struct err err;
    const char *const vault[] = {"other", "vault", NULL};
    const char *const *common = NULL;
    const char *token = token_of(ask(f, "{\"spec\":{\"audiences\":[\"vault\"]}}"));
    assert_int_equal(verify(f, token, &u, &err), -E_UNAUTHORIZED);
    assert_int_equal(
        tokens_verify(f->server->sa_tokens, &f->arena, str_of(token), vault, &u, &common, &err), 0);
    assert_string_equal(common[0], "vault");
    assert_null(common[1]);
}

static void a_bound_token_ends_with_its_pod(void **state)
{
    struct fixture *f = *state;
    struct api_user u;
    struct err err;
    struct json *pod = create(f, "pods",
                              "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"serviceAccountName\":"
                              "\"robot\",\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    const char *spec = arena_printf(&f->arena,
                                    "{\"spec\":{\"expirationSeconds\":3607,\"boundObjectRef\":{"
                                    "\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"name\":\"p\",\"uid\":"
                                    "\"%s\"}}}",
                                    obj_uid(pod));
    const char *token = token_of(ask(f, spec));
    assert_int_equal(f->code, 0);
    assert_int_equal(verify(f, token, &u, &err), 0);
    const struct json *name =
        json_at(json_get(u.extra, "authentication.kubernetes.io/pod-name"), 0);
    assert_string_equal(json_cstr(name, ""), "p");
    (void)ask(f, "{\"spec\":{\"boundObjectRef\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"name\":"
                 "\"p\",\"uid\":\"another\"}}}");
    assert_int_equal(f->code, -E_CONFLICT);
    (void)ask(f, "{\"spec\":{\"boundObjectRef\":{\"kind\":\"Pod\",\"apiVersion\":\"v1\",\"name\":"
                 "\"q\"}}}");
    assert_int_equal(f->code, -E_NOENT);
    drop(f, "pods", "p");
    assert_int_equal(verify(f, token, &u, &err), -E_UNAUTHORIZED);
}

static void a_short_life_is_refused_with_the_known_words(void **state)
{
    struct fixture *f = *state;
    struct json *status = ask(f, "{\"spec\":{\"expirationSeconds\":599}}");
    assert_int_equal(f->code, -E_INVALID);
    assert_string_equal(json_path_cstr(status, "message", ""),
                        "TokenRequest.authentication.k8s.io \"robot\" is invalid: "
                        "spec.expirationSeconds: Invalid value: 599: may not specify a duration "
                        "less than 10 minutes");
}

static void a_secret_gets_a_token_of_the_old_kind(void **state)
{
    struct fixture *f = *state;
    struct api_user u;
    struct err err;
    struct buf token = BUF_INIT;
    struct json *secret = create(f, "secrets",
                                 "{\"metadata\":{\"name\":\"s\",\"annotations\":{\"kubernetes.io/"
                                 "service-account.name\":\"robot\"}},\"type\":\"kubernetes.io/"
                                 "service-account-token\"}");
    assert_int_equal(base64_decode(&token, json_text(json_path(secret, "data.token"))), 0);
    char *text = arena_str(&f->arena, buf_str(&token));
    buf_fini(&token);
    assert_int_equal(verify(f, text, &u, &err), 0);
    assert_string_equal(u.name, "system:serviceaccount:default:robot");
    drop(f, "secrets", "s");
    assert_int_equal(verify(f, text, &u, &err), -E_UNAUTHORIZED);
}

static void an_old_key_verifies_and_a_removed_one_does_not(void **state)
{
    struct fixture *f = *state;
    struct api_user u;
    struct err err;
    const char *token = token_of(ask(f, "{\"spec\":{}}"));
    char *first = f->keys[0];
    assert_int_equal(x509_key_new(&f->keys[0], &err), 0);
    f->keys[1] = first;
    close_server(f);
    open_server(f, (const char *const *)f->keys);
    assert_int_equal(verify(f, token, &u, &err), 0);
    assert_int_equal(json_len(json_get(tokens_jwks(f->server->sa_tokens, &f->arena), "keys")), 2);
    const char *const only[] = {f->keys[0], NULL};
    close_server(f);
    open_server(f, only);
    assert_int_equal(verify(f, token, &u, &err), -E_UNAUTHORIZED);
}

static void a_pod_gets_the_volume_and_an_unwilling_one_none(void **state)
{
    struct fixture *f = *state;
    struct json *pod =
        create(f, "pods",
               "{\"metadata\":{\"name\":\"a\"},\"spec\":{\"initContainers\":[{\"name\":\"i\","
               "\"image\":\"i\"}],\"containers\":[{\"name\":\"c\",\"image\":\"i\"},{\"name\":\"d\","
               "\"image\":\"i\",\"volumeMounts\":[{\"name\":\"e\",\"mountPath\":\"/var/run/secrets/"
               "kubernetes.io/serviceaccount\"}]}],\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}}]}"
               "}");
    const struct json *spec = json_get(pod, "spec");
    assert_int_equal(json_len(json_get(spec, "volumes")), 2);
    const char *name = json_path_cstr(json_at(json_get(spec, "volumes"), 1), "name", "");
    assert_true(str_starts(str_of(name), "kube-api-access-"));
    const struct json *c = json_get(spec, "containers");
    assert_int_equal(json_len(json_get(json_at(c, 0), "volumeMounts")), 1);
    assert_int_equal(json_len(json_get(json_at(c, 1), "volumeMounts")), 1);
    pod = create(f, "pods",
                 "{\"metadata\":{\"name\":\"b\"},\"spec\":{\"automountServiceAccountToken\":false,"
                 "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    assert_null(json_path(pod, "spec.volumes"));
    struct json *status =
        request(f,
                &(struct api_request){
                    .verb = API_CREATE, .kind = kind_find("", "v1", "pods"), .ns = "default"},
                "{\"metadata\":{\"name\":\"c\"},\"spec\":{\"serviceAccountName\":\"nobody\","
                "\"containers\":[{\"name\":\"c\",\"image\":\"i\"}]}}");
    assert_int_equal(f->code, -E_ACCESS);
    assert_string_equal(json_path_cstr(status, "message", ""),
                        "pods \"c\" is forbidden: error looking up service account default/nobody: "
                        "serviceaccount \"nobody\" not found");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_its_account),
        TEST(a_changed_token_is_refused),
        TEST(what_is_known_is_not_checked_twice),
        TEST(a_token_for_others_is_not_for_us),
        TEST(a_bound_token_ends_with_its_pod),
        TEST(a_short_life_is_refused_with_the_known_words),
        TEST(a_secret_gets_a_token_of_the_old_kind),
        TEST(an_old_key_verifies_and_a_removed_one_does_not),
        TEST(a_pod_gets_the_volume_and_an_unwilling_one_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, methods, times and headers of HTTP peers: what is taken and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"
#include "endpoint.h"
#include "io/loop.h"

struct fixture {
    struct io_loop *loop;
    struct arena arena;
    struct endpoint e;
    struct err err;
};

static int open_with(struct fixture *f, const char *conf)
{
    struct json *j = NULL;
    f->err = (struct err){0};
    assert_int_equal(json_parse(&f->arena, str_of(conf), NULL, &j, &f->err), 0);
    return endpoint_open(f->loop, &f->arena, j, &f->e, &f->err);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));
    arena_init(&f->arena, 0);
    *state = f;
    return loop_new(&f->loop, &f->err);
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    arena_fini(&f->arena);
    loop_free(f->loop);
    mem_free(f);
    return 0;
}

static void a_url_has_its_parts(void **state)
{
    static const struct {
        const char *url, *scheme, *host, *path;
        uint16_t port;
    } good[] = {
        {"http://a.example/x?y=1", "http", "a.example", "/x?y=1", 80},
        {"https://a.example", "https", "a.example", "/", 443},
        {"tcp://127.0.0.1:1884", "tcp", "127.0.0.1", "/", 1884},
        {"ssl://[::1]", "ssl", "::1", "/", 8883},
        {"http://[fe80::1]:81/", "http", "fe80::1", "/", 81},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        struct str scheme, path;
        struct err err;
        uint16_t port;
        CLEANUP(mem_freep) char *host = NULL;
        assert_int_equal(endpoint_split(str_of(good[i].url), &scheme, &host, &port, &path, &err),
                         0);
        assert_true(str_is(scheme, good[i].scheme) && str_is(path, good[i].path));
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
    }
}

static void what_could_break_a_request_is_refused(void **state)
{
    static const struct {
        const char *conf, *said;
    } wrong[] = {
        {"{}", "has no host"},
        {"{\"url\": \"http://\"}", "has no host"},
        {"{\"url\": \"http://h:0/\"}", "no valid port"},
        {"{\"url\": \"http://h:99999/\"}", "no valid port"},
        {"{\"url\": \"ftp://h/\"}", "neither http:// nor https://"},
        {"{\"url\": \"http://h/a b\"}", "blanks or control characters"},
        {"{\"url\": \"http://h/a\\r\\nX: y\"}", "blanks or control characters"},
        {"{\"url\": \"http://h/\", \"headers\": []}", "an object of texts"},
        {"{\"url\": \"http://h/\", \"headers\": {\"a b\": \"c\"}}", "'a b' is no header"},
        {"{\"url\": \"http://h/\", \"headers\": {\"a\": \"b\\r\\nc: d\"}}", "'a' is no header"},
        {"{\"url\": \"http://h/\", \"headers\": {\"a\": 5}}", "'a' is no header"},
        {"{\"url\": \"https://h/\", \"rootCaPath\": \"/nonexistent.pem\"}", "rootCaPath"},
    };
    struct fixture *f = *state;
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        assert_true(open_with(f, wrong[i].conf) < 0);
        if (!strstr(f->err.text, wrong[i].said)) {
            fail_msg("%s: %s", wrong[i].conf, f->err.text);
        }
    }
    assert_int_equal(open_with(f, "{\"url\": \"http://h/x\", \"headers\": {\"X-Key\": \"a\\tb\"}}"),
                     0);
    assert_true(str_is(f->e.headers[0].name, "x-key"));
    endpoint_close(&f->e);
}

static void methods_and_times_are_checked(void **state)
{
    struct fixture *f = *state;
    struct json *j = NULL;
    const char *method = NULL;
    int64_t ms = 0;
    const char *text = "{\"method\": \"put\", \"timeout\": \"1.5s\", \"interval\": 0, \"never\": "
                       "9223372036854775807}";
    assert_int_equal(json_parse(&f->arena, str_of(text), NULL, &j, &f->err), 0);
    assert_int_equal(endpoint_method(j, "GET", &method, &f->err), 0);
    assert_string_equal(method, "PUT");
    assert_int_equal(endpoint_method(NULL, "GET /x", &method, &f->err), -E_INVAL);
    assert_int_equal(endpoint_time(j, "timeout", 5000, &ms, &f->err), 0);
    assert_int_equal(ms, 1500);
    assert_int_equal(endpoint_time(j, "absent", 5000, &ms, &f->err), 0);
    assert_int_equal(ms, 5000);
    assert_int_equal(endpoint_time(j, "interval", 5000, &ms, &f->err), -E_INVAL);
    assert_int_equal(endpoint_time(j, "never", 5000, &ms, &f->err), -E_INVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_url_has_its_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(what_could_break_a_request_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(methods_and_times_are_checked, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

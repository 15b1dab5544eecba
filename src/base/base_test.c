/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the base layer: texts, times, encodings, maps, arenas, buffers, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "arena.h"
#include "buf.h"
#include "encode.h"
#include "err.h"
#include "list.h"
#include "map.h"
#include "mem.h"
#include "metrics.h"
#include "options.h"
#include "sm.h"
#include "clock.h"
#include "crc.h"

static void errors_read_as_sentences(void **state)
{
    struct err err;
    int rc = err_sys(&err, -EACCES, "mount '%s'", "/y");
    rc = err_wrap(&err, rc, "start pod '%s'", "x");
    assert_int_equal(rc, -EACCES);
    assert_string_equal(err.text, "start pod 'x': mount '/y': Permission denied");
    assert_int_equal(err_http_status(-E_CONFLICT), 409);
    assert_string_equal(err_reason(-E_GONE), "Expired");
    assert_int_equal(err_set(NULL, -E_INVAL, "x"), -EINVAL);
}

static void numbers_are_parsed_in_full_range(void **state)
{
    int64_t v;
    assert_int_equal(str_i64(STR_LIT("-9223372036854775808"), &v), 0);
    assert_true(v == INT64_MIN);
    assert_int_equal(str_i64(STR_LIT("9223372036854775808"), &v), -ERANGE);
    assert_int_equal(str_i64(STR_LIT("1x"), &v), -EINVAL);
    assert_int_equal(str_i64(STR_LIT("-"), &v), -EINVAL);
    uint64_t u;
    assert_int_equal(str_u64(STR_LIT("18446744073709551615"), &u), 0);
    assert_int_equal(str_u64(STR_LIT("18446744073709551616"), &u), -ERANGE);
    double d;
    assert_int_equal(str_double(STR_LIT("1e3"), &d), 0);
    assert_true(d == 1000);
    assert_int_equal(str_double(STR_LIT("01"), &d), -EINVAL);
    assert_int_equal(str_double(STR_LIT("0x1"), &d), -EINVAL);
    assert_int_equal(str_double(STR_LIT("nan"), &d), -EINVAL);
}

static void addresses_of_options_have_a_host_and_a_port(void **state)
{
    static const char *const bad[] = {"", "x", ":70000", "1.2.3.4:", "1.2.3.4:-1", "1.2.3.4:1x"};
    static const struct {
        const char *text, *host;
        uint16_t port;
    } good[] = {
        {"1.2.3.4:80", "1.2.3.4", 80}, {"[::1]:0", "::1", 0}, {"name:65535", "name", 65535}};
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        char *host = NULL;
        uint16_t port;
        struct err err = {0};
        assert_int_equal(options_address("listen", bad[i], &host, &port, &err), -E_INVAL);
        assert_null(host);
        assert_non_null(strstr(err.text, "--listen"));
    }
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        char *host = NULL;
        uint16_t port;
        assert_int_equal(options_address("listen", good[i].text, &host, &port, NULL), 0);
        assert_string_equal(host, good[i].host);
        assert_int_equal(port, good[i].port);
        mem_free(host);
    }
}

static void text_is_cut(void **state)
{
    struct str h, t;
    assert_true(str_cut(STR_LIT("a/b/c"), '/', &h, &t));
    assert_true(str_is(h, "a") && str_is(t, "b/c"));
    assert_true(str_rcut(STR_LIT("a/b/c"), '/', &h, &t));
    assert_true(str_is(h, "a/b") && str_is(t, "c"));
    assert_false(str_cut(STR_LIT("abc"), '/', &h, &t));
    assert_true(str_is(h, "abc") && t.n == 0);
    assert_true(str_is(str_trim(STR_LIT(" \tx ")), "x"));
}

static void times_round_trip(void **state)
{
    struct wall w;
    char text[TIME_TEXT_SIZE];
    assert_int_equal(time_parse(STR_LIT("2026-11-20T23:02:21.856342592Z"), &w), 0);
    assert_string_equal(time_text_micro(w, text), "2026-11-20T23:02:21.856342Z");
    assert_int_equal(time_parse(STR_LIT("2024-02-29T01:00:00+02:00"), &w), 0);
    assert_string_equal(time_text(w, text), "2024-02-28T23:00:00Z");
    assert_int_equal(time_parse(STR_LIT("2024-13-01T00:00:00Z"), &w), -EINVAL);
    assert_int_equal(time_parse(STR_LIT("yesterday"), &w), -EINVAL);
    char age[AGE_TEXT_SIZE];
    assert_string_equal(age_text(119, age), "119s");
    assert_string_equal(age_text(200, age), "3m20s");
    assert_string_equal(age_text(7 * 3600 + 60, age), "7h1m");
    assert_string_equal(age_text(3 * 86400, age), "3d");
    int64_t us;
    assert_int_equal(duration_parse(STR_LIT("1h1m1.5s"), &us), 0);
    assert_true(us == 3661500000);
    assert_int_equal(duration_parse(STR_LIT("5"), &us), -EINVAL);
}

static void encodings_round_trip(void **state)
{
    for (size_t n = 0; n < 50; n++) {
        unsigned char raw[50];
        random_bytes(raw, n);
        struct buf b = BUF_INIT, d = BUF_INIT;
        assert_int_equal(base64_encode(&b, raw, n), 0);
        assert_int_equal(base64_decode(&d, buf_str(&b)), 0);
        assert_true(str_eq(buf_str(&d), str_n((char *)raw, n)));
        buf_clear(&b);
        buf_clear(&d);
        assert_int_equal(base64url_encode(&b, raw, n), 0);
        assert_int_equal(base64url_decode(&d, buf_str(&b)), 0);
        assert_true(str_eq(buf_str(&d), str_n((char *)raw, n)));
        buf_fini(&b);
        buf_fini(&d);
    }
    struct buf d = BUF_INIT;
    assert_int_equal(base64_decode(&d, STR_LIT("a===")), -EINVAL);
    assert_int_equal(base64_decode(&d, STR_LIT("a b=")), -EINVAL);
    buf_fini(&d);
    struct arena a;
    arena_init(&a, 0);
    assert_string_equal(percent_decode(&a, STR_LIT("a%2Fb+c"), true), "a/b c");
    assert_null(percent_decode(&a, STR_LIT("a%2"), true));
    assert_null(percent_decode(&a, STR_LIT("a%00"), true));
    arena_fini(&a);
    char id[UUID_TEXT_SIZE];
    uuid_make(id);
    assert_int_equal(strlen(id), 36);
    assert_int_equal(id[14], '4');
}

static void a_map_holds_what_was_put(void **state)
{
    struct map m = MAP_INIT;
    char key[16];
    for (uintptr_t i = 1; i <= 2000; i++) {
        assert_int_equal(map_put(&m, str_n(key, (size_t)snprintf(key, sizeof(key), "k%d", (int)i)),
                                 (void *)i, NULL),
                         0);
    }
    for (uintptr_t i = 1; i <= 2000; i += 2) {
        assert_ptr_equal(map_del(&m, str_n(key, (size_t)snprintf(key, sizeof(key), "k%d", (int)i))),
                         (void *)i);
    }
    assert_int_equal(map_len(&m), 1000);
    for (uintptr_t i = 1; i <= 2000; i++) {
        void *want = i % 2 ? NULL : (void *)i;
        assert_ptr_equal(map_get(&m, str_n(key, (size_t)snprintf(key, sizeof(key), "k%d", (int)i))),
                         want);
    }
    map_fini(&m, NULL);
}

static void an_arena_fails_at_its_cap_and_stays_failed(void **state)
{
    struct arena a;
    arena_init(&a, 1000);
    assert_non_null(arena_alloc(&a, 900));
    assert_null(arena_alloc(&a, 200));
    assert_null(arena_alloc(&a, 1));
    assert_true(arena_failed(&a));
    arena_clear(&a);
    assert_non_null(arena_alloc(&a, 1));
    char *p = arena_dup(&a, "abc", 4);
    p = arena_grow(&a, p, 4, 500);
    assert_string_equal(p, "abc");
    arena_fini(&a);
}

static void a_buffer_keeps_its_limit(void **state)
{
    struct buf b;
    buf_init(&b, 10);
    assert_int_equal(buf_puts(&b, "12345678"), 0);
    buf_consume(&b, 4);
    assert_int_equal(buf_puts(&b, "abcdef"), 0);
    assert_true(str_is(buf_str(&b), "5678abcdef"));
    assert_int_equal(buf_putc(&b, 'x'), -EMSGSIZE);
    assert_true(buf_failed(&b));
    buf_clear(&b);
    assert_int_equal(buf_printf(&b, "%d", 42), 0);
    size_t n;
    char *s = buf_take(&b, &n);
    assert_string_equal(s, "42");
    mem_free(s);
    buf_fini(&b);
}

static void lists_link_and_unlink(void **state)
{
    struct list head, other, item[3];
    list_init(&head);
    list_init(&other);
    for (size_t i = 0; i < 3; i++) {
        list_push_back(&head, &item[i]);
    }
    list_del(&item[1]);
    list_del(&item[1]);
    list_splice(&other, &head);
    assert_true(list_empty(&head));
    assert_ptr_equal(list_pop_front(&other), &item[0]);
    assert_ptr_equal(list_pop_front(&other), &item[2]);
    assert_null(list_pop_front(&other));
}

static void metrics_print_with_their_help(void **state)
{
    struct buf b = BUF_INIT;
    metric_add(METRIC_WATCHERS, 3);
    assert_int_equal(metrics_print(&b), 0);
    assert_int_equal(buf_putc(&b, '\0'), 0);
    assert_non_null(strstr(buf_data(&b), "\nselvedge_watchers 3\n"));
    buf_fini(&b);
}

static void states_move_along_the_table(void **state)
{
    static const struct sm_state states[] = {{"idle", SM_TO(1)}, {"busy", SM_TO(0)}};
    struct sm m;
    sm_init(&m, states, 2, 0, "test");
    sm_move(&m, 1);
    assert_string_equal(sm_name(&m), "busy");
}

static void checksums_are_the_same_with_and_without_the_instruction(void **state)
{
    char bytes[300];
    assert_int_equal(crc32c(0, "123456789", 9), 0xE3069283); /* RFC 3720's kind of check value */
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 7);
        uint32_t whole = crc32c(0, bytes, i + 1);
        assert_int_equal(whole, crc32c_portable(0, bytes, i + 1));
        assert_int_equal(whole, crc32c(crc32c(0, bytes, i / 2), bytes + i / 2, i + 1 - i / 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_read_as_sentences),
        cmocka_unit_test(numbers_are_parsed_in_full_range),
        cmocka_unit_test(addresses_of_options_have_a_host_and_a_port),
        cmocka_unit_test(text_is_cut),
        cmocka_unit_test(times_round_trip),
        cmocka_unit_test(encodings_round_trip),
        cmocka_unit_test(a_map_holds_what_was_put),
        cmocka_unit_test(an_arena_fails_at_its_cap_and_stays_failed),
        cmocka_unit_test(a_buffer_keeps_its_limit),
        cmocka_unit_test(lists_link_and_unlink),
        cmocka_unit_test(metrics_print_with_their_help),
        cmocka_unit_test(states_move_along_the_table),
        cmocka_unit_test(checksums_are_the_same_with_and_without_the_instruction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

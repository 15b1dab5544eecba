/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of WebSocket frames; examples are those of RFC 6455 section 5.7 where it has one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/limits.h"
#include "base/mem.h"
#include "websocket.h"

/* Feeds bytes in pieces of `step`; writes what came to log: "text Hello;close 1000 bye;". Returns
 * the last code. */
static int decode(bool server, const char *bytes, size_t n, size_t step, char *log, size_t size)
{
    static const char *const names[] = {"", "text", "binary", "",     "",    "",
                                        "", "",     "close",  "ping", "pong"};
    struct websocket_decoder d;
    struct websocket_event ev;
    int rc = 0;
    size_t o = 0;
    log[0] = '\0';
    websocket_decoder_init(&d, server);
    for (size_t at = 0; at < n && rc >= 0; at += step) {
        struct str in = str_n(bytes + at, MIN_OF(step, n - at));
        while ((rc = websocket_next(&d, &in, &ev)) > 0) {
            o += (size_t)snprintf(log + o, size - o, "%s", names[ev.op]);
            if (ev.op == WEBSOCKET_CLOSE) {
                o += (size_t)snprintf(log + o, size - o, " %d", ev.close_code);
            }
            o += (size_t)snprintf(log + o, size - o, " " STR_FMT ";", STR_ARG(ev.data));
        }
        assert_true(rc < 0 || in.n == 0);
    }
    if (rc < 0) {
        (void)snprintf(log + o, size - o, "broken %d", ev.close_code);
    }
    websocket_decoder_fini(&d);
    return rc;
}

static void frames_are_decoded_however_they_are_cut(void **state)
{
    static const struct {
        bool server;
        const char *bytes;
        size_t n;
        const char *want;
    } cases[] = {
        {false, "\x81\x05Hello", 7, "text Hello;"},
        {true, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11, "text Hello;"},
        {false, "\x01\x03Hel\x80\x02lo", 9, "text Hello;"},
        {false, "\x01\x03Hel\x89\x01p\x80\x02lo", 12, "ping p;text Hello;"},
        {false, "\x82\x00\x8a\x00\x88\x00", 6, "binary ;pong ;close 1005 ;"},
        {false,
         "\x88\x05\x03\xe8"
         "bye\x81\x01x",
         10, "close 1000 bye;"},
        {false, "\x82\x01\xff\x82\x01g", 6, "binary \xff;binary g;"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        for (size_t step = 1; step <= cases[i].n; step++) {
            char log[128];
            assert_true(
                decode(cases[i].server, cases[i].bytes, cases[i].n, step, log, sizeof(log)) >= 0);
            assert_string_equal(log, cases[i].want);
        }
    }
}

static void broken_frames_are_refused_with_their_close_code(void **state)
{
    static const struct {
        bool server;
        const char *bytes;
        size_t n;
        int close_code;
    } cases[] = {
        {true, "\x81\x05Hello", 7, 1002},                  /* not masked */
        {false, "\x81\x85\1\2\3\4Hello", 11, 1002},        /* masked */
        {false, "\x91\x00", 2, 1002},                      /* reserved bit */
        {false, "\x83\x00", 2, 1002},                      /* unknown opcode */
        {false, "\x80\x00", 2, 1002},                      /* continues nothing */
        {false, "\x01\x01x\x81\x01y", 6, 1002},            /* a new message inside one */
        {false, "\x09\x00", 2, 1002},                      /* fragmented control frame */
        {false, "\x89\x7e\x00\x7e", 4, 1002},              /* long control frame */
        {false, "\x82\x7e\x00\x05", 4, 1002},              /* length not in the shortest form */
        {false, "\x82\x7f\0\0\0\0\0\0\xff\xff", 10, 1002}, /* the same with 8 bytes */
        {false, "\x82\x7f\xff\0\0\0\0\0\0\0", 10, 1002},   /* highest bit set */
        {false, "\x82\x7f\0\0\0\0\x7f\0\0\0", 10, 1009},   /* 2 GB */
        {false, "\x81\x01\xff", 3, 1007},                  /* text that is not UTF-8 */
        {false, "\x88\x02\x03\xed", 4, 1002},              /* 1005 on the wire */
        {false, "\x88\x01\x03", 3, 1002},                  /* half a code */
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char log[128], want[32];
        (void)snprintf(want, sizeof(want), "broken %d", cases[i].close_code);
        assert_true(decode(cases[i].server, cases[i].bytes, cases[i].n, 100, log, sizeof(log)) < 0);
        assert_string_equal(log, want);
    }
}

static void what_one_side_puts_the_other_reads(void **state)
{
    static const size_t sizes[] = {0, 1, 125, 126, 65535, 65536, LIMIT_WS_MESSAGE};
    for (size_t i = 0; i < ARRAY_SIZE(sizes) * 2; i++) {
        size_t n = sizes[i / 2];
        bool from_server = i % 2;
        struct buf wire = BUF_INIT;
        struct websocket_decoder d;
        struct websocket_event ev;
        char *data = mem_alloc(n);
        memset(data, 'x', n);
        assert_int_equal(websocket_put(&wire, from_server, WEBSOCKET_BINARY, data, n), 0);
        assert_int_equal(websocket_put_close(&wire, from_server, WEBSOCKET_NORMAL, "over"), 0);
        websocket_decoder_init(&d, !from_server);
        struct str in = buf_str(&wire);
        assert_int_equal(websocket_next(&d, &in, &ev), 1);
        assert_true(ev.op == WEBSOCKET_BINARY && str_eq(ev.data, str_n(data, n)));
        assert_int_equal(websocket_next(&d, &in, &ev), 1);
        assert_true(ev.op == WEBSOCKET_CLOSE && ev.close_code == WEBSOCKET_NORMAL &&
                    str_is(ev.data, "over"));
        assert_int_equal(in.n, 0);
        websocket_decoder_fini(&d);
        buf_fini(&wire);
        mem_free(data);
    }
}

static void fragments_do_not_pass_the_limit(void **state)
{
    struct websocket_decoder d;
    struct websocket_event ev;
    char frame[4 + 60000] = {0x02, 126, (char)(60000 >> 8), (char)(60000 & 255)};
    int rc = 0, count = 0;
    websocket_decoder_init(&d, false);
    while (rc == 0 && count < 100) {
        struct str in = str_n(frame, sizeof(frame));
        rc = websocket_next(&d, &in, &ev);
        frame[0] = 0;
        count++;
    }
    assert_int_equal(rc, -E_TOOBIG);
    assert_int_equal(ev.close_code, WEBSOCKET_TOO_BIG);
    assert_int_equal(count, LIMIT_WS_MESSAGE / 60000 + 1);
    websocket_decoder_fini(&d);
}

static void the_accept_key_is_the_rfcs(void **state)
{
    char out[WEBSOCKET_ACCEPT_SIZE], key[WEBSOCKET_KEY_SIZE];
    websocket_accept_key(STR_LIT("dGhlIHNhbXBsZSBub25jZQ=="), out);
    assert_string_equal(out, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    websocket_make_key(key);
    assert_true(websocket_key_valid(str_of(key)));
    assert_false(websocket_key_valid(STR_LIT("short")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_decoded_however_they_are_cut),
        cmocka_unit_test(broken_frames_are_refused_with_their_close_code),
        cmocka_unit_test(what_one_side_puts_the_other_reads),
        cmocka_unit_test(fragments_do_not_pass_the_limit),
        cmocka_unit_test(the_accept_key_is_the_rfcs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 framing: what is accepted, what is refused, and that cutting the input changes nothing.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "http1.h"

/* What a conversation says: one line an event, body bytes joined. */
static void add_event(struct buf *out, enum http1_type type, const struct http1_event *ev)
{
    static bool in_body;
    int rc = 0;
    if (type == HTTP1_MORE) {
        return;
    }
    if (in_body && type != HTTP1_BODY) {
        rc |= buf_puts(out, "|");
        in_body = false;
    }
    if (type == HTTP1_HEAD && ev->head->status) {
        rc |=
            buf_printf(out, "%d %d keep=%d;", ev->head->version, ev->head->status, ev->keep_alive);
    } else if (type == HTTP1_HEAD) {
        rc |= buf_printf(out, STR_FMT " " STR_FMT " host=" STR_FMT " keep=%d expect=%d;",
                         STR_ARG(ev->head->method), STR_ARG(ev->head->target),
                         STR_ARG(ev->head->authority), ev->keep_alive, ev->expect_continue);
    } else if (type == HTTP1_BODY) {
        rc |= buf_append_str(out, ev->data);
        in_body = true;
    } else if (type == HTTP1_END) {
        rc |= buf_puts(out, "end;");
    } else if (type == HTTP1_ERROR) {
        rc |= buf_printf(out, "error %d;", ev->status);
    }
    assert_int_equal(rc, 0);
}

static void converse(enum http1_role role, bool no_body, struct str text, size_t step,
                     struct buf *out)
{
    struct http1_parser p;
    struct http1_event ev;
    struct arena a;
    enum http1_type type = HTTP1_MORE;
    arena_init(&a, 0);
    http1_init(&p, role);
    if (no_body) {
        http1_expect_no_body(&p);
    }
    for (size_t at = 0; at < text.n && type != HTTP1_ERROR; at += step) {
        size_t n = MIN_OF(step, text.n - at);
        char *exact = mem_dup(text.p + at, n); /* overreads are seen */
        struct str in = str_n(exact, n);
        do {
            type = http1_next(&p, &in, &a, &ev);
            add_event(out, type, &ev);
        } while (type != HTTP1_MORE && type != HTTP1_ERROR);
        assert_true(type == HTTP1_ERROR || in.n == 0);
        mem_free(exact);
    }
    if (type != HTTP1_ERROR) {
        add_event(out, http1_eof(&p, &ev), &ev);
    }
    http1_fini(&p);
    arena_fini(&a);
}

static void expect(enum http1_role role, bool no_body, const char *text, const char *want)
{
    size_t n = strlen(text);
    for (size_t step = 1; step <= n; step++) {
        struct buf got = BUF_INIT;
        converse(role, no_body, str_n(text, n), step, &got);
        assert_int_equal(buf_putc(&got, '\0'), 0);
        assert_string_equal(buf_data(&got), want);
        buf_fini(&got);
    }
}

#define H "Host: h\r\n"

static void requests_are_read_however_they_are_cut(void **state)
{
    (void)state;
    expect(HTTP1_REQUEST, false, "GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\n",
           "GET /a?b=c host=h keep=1 expect=0;end;");
    expect(HTTP1_REQUEST, false, "GET / HTTP/1.0\r\n\r\n", "GET / host= keep=0 expect=0;end;");
    expect(HTTP1_REQUEST, false, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
           "GET / host= keep=1 expect=0;end;");
    expect(HTTP1_REQUEST, false, "GET / HTTP/1.1\r\n" H "Connection: x, Close\r\n\r\n",
           "GET / host=h keep=0 expect=0;end;");
    expect(HTTP1_REQUEST, false,
           "POST / HTTP/1.1\r\n" H "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
           "POST / host=h keep=1 expect=1;hello|end;");
    expect(HTTP1_REQUEST, false, "\r\nGET http://x:1/p?q HTTP/1.1\r\nhost: h\r\n\r\n",
           "GET /p?q host=x:1 keep=1 expect=0;end;");
    expect(HTTP1_REQUEST, false, "OPTIONS * HTTP/1.1\r\n" H "\r\n",
           "OPTIONS * host=h keep=1 expect=0;end;");
    expect(HTTP1_REQUEST, false, "CONNECT h:1 HTTP/1.1\r\n" H "\r\n",
           "CONNECT h:1 host=h keep=1 expect=0;end;");
}

static void pipelined_requests_come_one_after_the_other(void **state)
{
    (void)state;
    expect(HTTP1_REQUEST, false,
           "POST /1 HTTP/1.1\r\n" H "Content-Length: 2\r\n\r\nab"
           "GET /2 HTTP/1.1\r\n" H "\r\n"
           "POST /3 HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
           "GET /4 HTTP/1.1\r\n" H "\r\n",
           "POST /1 host=h keep=1 expect=0;ab|end;GET /2 host=h keep=1 expect=0;end;"
           "POST /3 host=h keep=1 expect=0;abc|end;GET /4 host=h keep=1 expect=0;end;");
}

static void chunked_bodies_are_joined(void **state)
{
    (void)state;
    expect(HTTP1_REQUEST, false,
           "POST / HTTP/1.1\r\n" H "Transfer-Encoding: Chunked\r\n\r\n"
           "5;x=\"y\"\r\nhello\r\n00A\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n",
           "POST / host=h keep=1 expect=0;hello0123456789|end;");
}

static void responses_end_as_their_head_says(void **state)
{
    (void)state;
    expect(HTTP1_RESPONSE, false, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab",
           "11 200 keep=1;ab|end;");
    expect(HTTP1_RESPONSE, false, "HTTP/1.1 200\r\n\r\nto the end",
           "11 200 keep=0;to the end|end;");
    expect(HTTP1_RESPONSE, false, "HTTP/1.1 204 No Content\r\n\r\n", "11 204 keep=1;end;");
    expect(HTTP1_RESPONSE, true, "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n",
           "11 200 keep=1;end;");
    expect(HTTP1_RESPONSE, false,
           "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
           "11 100 keep=1;11 200 keep=1;end;");
    expect(HTTP1_RESPONSE, false, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab",
           "11 200 keep=1;ab|error 400;");
}

static void refuse(const char *text, int status)
{
    for (size_t step = 1; step <= strlen(text); step++) {
        struct buf got = BUF_INIT;
        char want[32];
        converse(HTTP1_REQUEST, false, str_of(text), step, &got);
        (void)snprintf(want, sizeof want, "error %d;", status);
        assert_true(str_ends(buf_str(&got), want));
        buf_fini(&got);
    }
}

#define POST "POST / HTTP/1.1\r\n" H

static void what_could_smuggle_a_request_is_refused(void **state)
{
    (void)state;
    refuse(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    refuse(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400);
    refuse(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 501);
    refuse(POST "Transfer-Encoding: identity\r\n\r\n", 501);
    refuse(POST "Transfer-Encoding: chunked, identity\r\n\r\n", 501);
    refuse(POST "Transfer-Encoding: xchunked\r\n\r\n", 501);
    refuse(POST "Transfer-Encoding:\r\n\r\n", 501);
    refuse(POST "Transfer-Encoding : chunked\r\n\r\n", 400);
    refuse(POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400);
    refuse(POST "Content-Length: 5, 6\r\n\r\n", 400);
    refuse(POST "Content-Length: 5,\r\n\r\n", 400);
    refuse(POST "Content-Length: +5\r\n\r\n", 400);
    refuse(POST "Content-Length: -5\r\n\r\n", 400);
    refuse(POST "Content-Length: 0x5\r\n\r\n", 400);
    refuse(POST "Content-Length: 5 5\r\n\r\n", 400);
    refuse(POST "Content-Length:\r\n\r\n", 400);
    refuse(POST "Content-Length: 99999999999999999999\r\n\r\n", 400);
    refuse(POST " Folded: 1\r\n\r\n", 400);
    refuse(POST "A: b\r\n\tfolded\r\n\r\n", 400);
    refuse(POST "A: b\nB: c\r\n\r\n", 400);
    refuse(POST "A: b\rB: c\r\n\r\n", 400);
    refuse(POST "A\x01: b\r\n\r\n", 400);
    refuse(POST "A: \x01\r\n\r\n", 400);
    refuse(POST ": b\r\n\r\n", 400);
    refuse(POST "no colon\r\n\r\n", 400);
    refuse("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
}

#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static void bad_chunks_are_refused(void **state)
{
    (void)state;
    refuse(CHUNKED "g\r\n", 400);
    refuse(CHUNKED "\r\n", 400);
    refuse(CHUNKED ";x\r\n", 400);
    refuse(CHUNKED "-1\r\n", 400);
    refuse(CHUNKED "+1\r\n", 400);
    refuse(CHUNKED "0x1\r\n", 400);
    refuse(CHUNKED " 1\r\n", 400);
    refuse(CHUNKED "1 \r\na\r\n", 400);
    refuse(CHUNKED "1\na\r\n", 400);
    refuse(CHUNKED "1\r\nab\r\n", 400);
    refuse(CHUNKED "1\r\na\n0\r\n", 400);
    refuse(CHUNKED "ffffffffffffffff1\r\n", 400);
    refuse(CHUNKED "0\r\nbad trailer\r\n\r\n", 400);
    refuse(CHUNKED "0\r\n folded: 1\r\n\r\n", 400);
}

static void bad_request_lines_are_refused(void **state)
{
    (void)state;
    refuse("GET /\r\n\r\n", 400);
    refuse("GET  / HTTP/1.1\r\n" H "\r\n", 400);
    refuse("GET / HTTP/1.1 \r\n" H "\r\n", 400);
    refuse("GET / HTTP/2.0\r\n" H "\r\n", 505);
    refuse("GET / http/1.1\r\n" H "\r\n", 400);
    refuse("G@T / HTTP/1.1\r\n" H "\r\n", 400);
    refuse("GET x HTTP/1.1\r\n" H "\r\n", 400);
    refuse("GET /\x7f HTTP/1.1\r\n" H "\r\n", 400);
    refuse("CONNECT /x HTTP/1.1\r\n" H "\r\n", 400);
    refuse("GET / HTTP/1.1\r\n\r\n", 400);
    refuse("GET / HTTP/1.1\r\n" H H "\r\n", 400);
    refuse("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400);
    refuse("GET / HTTP/1.1\r\nHost: u@b\r\n\r\n", 400);
}

static void heads_have_a_limit(void **state)
{
    (void)state;
    struct buf text = BUF_INIT, got = BUF_INIT;
    assert_int_equal(buf_puts(&text, "GET / HTTP/1.1\r\nHost: h\r\n"), 0);
    while (buf_len(&text) < LIMIT_HEADERS + 10) {
        assert_int_equal(buf_printf(&text, "X-%zu: %0900d\r\n", buf_len(&text), 1), 0);
    }
    for (size_t step = 1000; step < 200000; step *= 3) {
        converse(HTTP1_REQUEST, false, buf_str(&text), step, &got);
        assert_true(str_is(buf_str(&got), "error 431;"));
        buf_clear(&got);
    }
    buf_clear(&text);
    assert_int_equal(buf_puts(&text, "GET / HTTP/1.1\r\nHost: h\r\n"), 0);
    for (int i = 0; i < LIMIT_HEADER_COUNT; i++) {
        assert_int_equal(buf_printf(&text, "X-%d: 1\r\n", i), 0);
    }
    assert_int_equal(buf_puts(&text, "\r\n"), 0);
    converse(HTTP1_REQUEST, false, buf_str(&text), 7, &got);
    assert_true(str_is(buf_str(&got), "error 431;"));
    buf_fini(&got);
    buf_fini(&text);
}

static void a_quiet_parser_holds_no_memory(void **state)
{
    (void)state;
    struct http1_parser p;
    struct http1_event ev;
    struct arena a;
    struct str in = STR_LIT("GET / HTTP/1.1\r\nHost");
    arena_init(&a, 0);
    http1_init(&p, HTTP1_REQUEST);
    assert_true(http1_idle(&p));
    assert_int_equal(http1_next(&p, &in, &a, &ev), HTTP1_MORE);
    assert_false(http1_idle(&p));
    in = STR_LIT(": h\r\n\r\n");
    assert_int_equal(http1_next(&p, &in, &a, &ev), HTTP1_HEAD);
    assert_int_equal(http1_next(&p, &in, &a, &ev), HTTP1_END);
    assert_true(http1_idle(&p));
    assert_null(p.partial.data);
    http1_fini(&p);
    arena_fini(&a);
}

static void nothing_can_be_injected_into_what_is_written(void **state)
{
    (void)state;
    struct buf b = BUF_INIT;
    assert_int_equal(http1_put_request(&b, STR_LIT("GET"), STR_LIT("/ HTTP/1.1\r\nX: y")), -EINVAL);
    assert_int_equal(http1_put_request(&b, STR_LIT("G T"), STR_LIT("/")), -EINVAL);
    assert_int_equal(http1_put_request(&b, STR_LIT("GET"), STR_LIT("")), -EINVAL);
    assert_int_equal(http1_put_header(&b, STR_LIT("A"), STR_LIT("b\r\nC: d")), -EINVAL);
    assert_int_equal(http1_put_header(&b, STR_LIT("A b"), STR_LIT("c")), -EINVAL);
    assert_int_equal(http1_put_status(&b, 42, 11), -EINVAL);
    assert_int_equal(buf_len(&b), 0);
    buf_fini(&b);
}

static void running_out_of_memory_is_a_503(void **state)
{
    (void)state;
    const char *text =
        "POST /x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n"
        "T: t\r\n\r\n";
    for (unsigned long n = 1; n < 100; n++) {
        struct http1_parser p;
        struct http1_event ev;
        struct arena a;
        enum http1_type type = HTTP1_MORE;
        arena_init(&a, 0);
        http1_init(&p, HTTP1_REQUEST);
        (void)mem_fail_at(n);
        for (size_t at = 0; text[at] && type != HTTP1_ERROR; at++) {
            struct str in = str_n(text + at, 1);
            do {
                type = http1_next(&p, &in, &a, &ev);
            } while (type != HTTP1_MORE && type != HTTP1_ERROR);
        }
        unsigned long made = mem_fail_at(0);
        assert_true(type == HTTP1_ERROR ? ev.status == 503 : made < n);
        http1_fini(&p);
        arena_fini(&a);
        if (type != HTTP1_ERROR) {
            return;
        }
    }
    fail();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_read_however_they_are_cut),
        cmocka_unit_test(pipelined_requests_come_one_after_the_other),
        cmocka_unit_test(chunked_bodies_are_joined),
        cmocka_unit_test(responses_end_as_their_head_says),
        cmocka_unit_test(what_could_smuggle_a_request_is_refused),
        cmocka_unit_test(bad_chunks_are_refused),
        cmocka_unit_test(bad_request_lines_are_refused),
        cmocka_unit_test(heads_have_a_limit),
        cmocka_unit_test(a_quiet_parser_holds_no_memory),
        cmocka_unit_test(nothing_can_be_injected_into_what_is_written),
        cmocka_unit_test(running_out_of_memory_is_a_503),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

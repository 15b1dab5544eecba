/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server against a client that writes its own bytes: malformed requests, pipelines, clients
 * that leave at any moment, and memory that runs out at any allocation.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "loopback_fixture.h"

struct raw {
    struct loopback b;
    struct stream *s;
    struct buf got;
    bool over;
};

static void on_read(void *arg, const char *data, size_t n)
{
    struct raw *r = arg;
    assert_int_equal(buf_append(&r->got, data, n), 0);
}

static void on_eof(void *arg)
{
    ((struct raw *)arg)->over = true;
}

static void on_error(void *arg, int code)
{
    (void)code;
    ((struct raw *)arg)->over = true;
}

static void raw_connect(struct raw *r)
{
    static const struct stream_events ev = {
        .on_read = on_read, .on_eof = on_eof, .on_error = on_error};
    struct stream *ends[2];
    assert_int_equal(stream_pair(r->b.loop, ends), 0);
    assert_int_equal(http_server_serve(r->b.server, ends[0], HTTP_PROTOCOL_AUTO, NULL, NULL, NULL),
                     0);
    r->s = ends[1];
    r->over = false;
    buf_clear(&r->got);
    stream_set_events(r->s, &ev, r);
    stream_read_start(r->s);
}

static void raw_open(struct raw *r)
{
    *r = (struct raw){0};
    loopback_open(&r->b, OVER_TCP);
    raw_connect(r);
}

static void raw_close(struct raw *r)
{
    stream_close(r->s);
    buf_fini(&r->got);
    loopback_close(&r->b);
}

static void turn(struct raw *r, int n)
{
    for (int i = 0; i < n; i++) {
        loop_run_ready(r->b.loop);
    }
}

static void say(struct raw *r, const char *text)
{
    assert_true(stream_write(r->s, text, strlen(text)) >= 0);
    turn(r, 20);
}

static size_t count(const struct raw *r, const char *what)
{
    struct str rest = buf_str(&r->got);
    size_t n = 0;
    for (const char *at; (at = memmem(rest.p, rest.n, what, strlen(what))); n++) {
        rest = str_n(at + 1, rest.n - (size_t)(at + 1 - rest.p));
    }
    return n;
}

static void malformed_bytes_get_a_status_and_a_closed_connection(void **state)
{
    static const struct {
        const char *bytes, *status;
    } cases[] = {
        {"GARBAGE\r\n\r\n", "400"},
        {"GET / HTTP/3.0\r\n\r\n", "505"},
        {"GET / HTTP/1.1\r\n\r\n", "400"},
        {"\x16\x03\x01\x02\n", "400"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "400"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "501"},
        {"POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "400"},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnot a frame at all, is it", ""},
    };
    struct raw r;
    (void)state;
    raw_open(&r);
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char want[64];
        (void)snprintf(want, sizeof want, "HTTP/1.1 %s", cases[i].status);
        say(&r, cases[i].bytes);
        assert_true(r.over);
        if (*cases[i].status) {
            assert_true(str_starts(buf_str(&r.got), want));
            assert_int_equal(count(&r, "\"code\":"), 1);
            assert_int_equal(count(&r, "connection: close"), 1);
        }
        stream_close(r.s);
        raw_connect(&r);
    }
    say(&r, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_int_equal(count(&r, "hello"), 1);
    raw_close(&r);
}

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct raw r;
    bool done = false;
    (void)state;
    raw_open(&r);
    for (int i = 0; i < 50; i++) {
        assert_true(stream_write(r.s, "GET /late HTTP/1.1\r\nHost: h\r\n\r\n", 31) >= 0);
        assert_true(stream_write(r.s, "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n", 32) >= 0);
    }
    assert_true(stream_write(r.s, "GET /nothing HTTP/1.1\r\nHost: h\r\n\r\n", 34) >= 0);
    for (int i = 0; i < 1000 && !done; i++) {
        loopback_turn(&r.b, 5);
        done = count(&r, "404 Not Found") == 1;
    }
    assert_true(done);
    assert_int_equal(r.b.requests, 101);
    raw_close(&r);
}

static void expect_100_is_answered_only_when_the_body_is_wanted(void **state)
{
    struct raw r;
    (void)state;
    raw_open(&r);
    say(&r, "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_true(str_is(buf_str(&r.got), "HTTP/1.1 100 Continue\r\n\r\n"));
    say(&r, "abc");
    assert_int_equal(count(&r, "200 OK"), 1);
    assert_false(r.over);
    buf_clear(&r.got);
    say(&r, "POST /none HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    assert_int_equal(count(&r, "100 Continue"), 0);
    assert_int_equal(count(&r, "404 Not Found"), 1);
    assert_true(r.over);
    raw_close(&r);
}

static void http_1_0_gets_plain_replies(void **state)
{
    struct raw r;
    (void)state;
    raw_open(&r);
    say(&r, "GET /stream?n=100 HTTP/1.0\r\n\r\n");
    assert_true(r.over);
    assert_int_equal(count(&r, "chunked"), 0);
    raw_close(&r);
}

static void what_follows_an_upgrade_belongs_to_the_new_protocol(void **state)
{
    struct raw r;
    (void)state;
    raw_open(&r);
    say(&r, "GET /up HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n"
            "\r\nGET / echoed");
    assert_int_equal(count(&r, "101 Switching Protocols"), 1);
    assert_int_equal(count(&r, "GET / echoed"), 1);
    raw_close(&r);
}

/* A conversation of every kind, cut off after each byte. */
static const char conversation[] =
    "GET /hello HTTP/1.1\r\nHost: h\r\n\r\n"
    "POST /echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    "POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nabcd"
    "GET /stream?n=100000 HTTP/1.1\r\nHost: h\r\n\r\n"
    "GET /never HTTP/1.1\r\nHost: h\r\n\r\n";

static void a_client_may_leave_at_any_byte(void **state)
{
    struct raw r;
    (void)state;
    raw_open(&r);
    for (size_t n = 1; n < sizeof conversation; n++) {
        assert_true(stream_write(r.s, conversation, n) >= 0);
        turn(&r, 15);
        stream_close(r.s);
        turn(&r, 10);
        raw_connect(&r);
    }
    loopback_turn(&r.b, 100); /* a paused body hears of the end when it goes on */
    assert_int_equal(http_server_connections(r.b.server), 1);
    raw_close(&r);
}

static void a_streamed_reply_ends_when_a_client_with_an_unread_body_leaves(void **state)
{
    struct raw r;
    (void)state;
    raw_open(&r);
    say(&r, "GET /stream?n=100000000 HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\nabc");
    for (int i = 0; i < 30; i++) {
        static const char body[30000];
        assert_true(stream_write(r.s, body, i < 29 ? sizeof body : 10) >= 0);
        turn(&r, 3);
    }
    stream_read_stop(r.s);
    stream_close(r.s);
    turn(&r, 20);
    assert_int_equal(r.b.lost, 1);
    raw_connect(&r);
    say(&r, "POST /never HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc");
    stream_close(r.s);
    turn(&r, 20);
    assert_int_equal(r.b.lost, 2);
    raw_connect(&r);
    raw_close(&r);
}

static void every_byte_may_come_alone(void **state)
{
    struct raw r;
    (void)state;
    raw_open(&r);
    for (size_t i = 0; i < sizeof conversation - 1; i++) {
        assert_true(stream_write(r.s, conversation + i, 1) >= 0);
        turn(&r, 3);
    }
    loopback_turn(&r.b, 50);
    turn(&r, 20);
    assert_int_equal(r.b.requests, 5);
    assert_int_equal(count(&r, "200 OK"), 4);
    raw_close(&r);
}

/* The fixture's handler asserts that its own allocations work: it is not what is tested. */
static void plain_handler(struct http_exchange *x, void *arg)
{
    (void)arg;
    http_reply_text(x, 200, "text/plain", STR_LIT("hello"));
}

static void out_of_memory_never_kills_the_server(void **state)
{
    struct io_loop *loop;
    struct http_server *server;
    (void)state;
    assert_int_equal(loop_new(&loop, NULL), 0);
    const struct http_server_config cfg = {.loop = loop, .handler = plain_handler};
    assert_int_equal(http_server_new(&cfg, &server), 0);
    static const char *const texts[] = {
        "GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
        "bad\r\n\r\n",
    };
    for (size_t t = 0; t < ARRAY_SIZE(texts); t++) {
        for (unsigned long n = 1; n < 60; n++) {
            struct stream *ends[2];
            assert_int_equal(stream_pair(loop, ends), 0);
            assert_true(stream_write(ends[1], texts[t], strlen(texts[t])) >= 0);
            (void)mem_fail_at(n);
            (void)http_server_serve(server, ends[0], HTTP_PROTOCOL_AUTO, "x", NULL, NULL);
            for (int i = 0; i < 20; i++) {
                loop_run_ready(loop);
            }
            (void)mem_fail_at(0);
            stream_close(ends[1]);
            for (int i = 0; i < 5; i++) {
                loop_run_ready(loop);
            }
        }
    }
    assert_int_equal(http_server_connections(server), 0);
    http_server_free(server);
    loop_free(loop);
}

static void a_head_that_does_not_end_times_out(void **state)
{
    struct io_loop *loop;
    struct http_server *server;
    struct raw r = {0};
    (void)state;
    assert_int_equal(loop_new(&loop, NULL), 0);
    const struct http_server_config cfg = {
        .loop = loop, .handler = plain_handler, .head_timeout_ms = 40, .idle_timeout_ms = 80};
    assert_int_equal(http_server_new(&cfg, &server), 0);
    r.b.loop = loop;
    r.b.server = server;
    raw_connect(&r);
    for (int i = 0; i < 30 && !r.over; i++) {
        (void)stream_write(r.s, "G", 1); /* drip by drip does not help */
        loopback_turn(&r.b, 10);
    }
    assert_true(r.over);
    assert_int_equal(count(&r, "408 Request Timeout"), 1);
    stream_close(r.s);
    raw_connect(&r);
    say(&r, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    loopback_turn(&r.b, 40);
    assert_false(r.over);
    loopback_turn(&r.b, 120);
    assert_true(r.over); /* idle */
    stream_close(r.s);
    buf_fini(&r.got);
    http_server_free(server);
    loop_free(loop);
}

static void connections_over_the_limit_are_closed(void **state)
{
    struct io_loop *loop;
    struct http_server *server;
    struct stream *ends[2][2];
    (void)state;
    assert_int_equal(loop_new(&loop, NULL), 0);
    const struct http_server_config cfg = {
        .loop = loop, .handler = plain_handler, .max_connections = 1};
    assert_int_equal(http_server_new(&cfg, &server), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stream_pair(loop, ends[i]), 0);
        assert_int_equal(http_server_serve(server, ends[i][0], HTTP_PROTOCOL_1, NULL, NULL, NULL),
                         i == 0 ? 0 : -E_BUSY);
    }
    assert_int_equal(http_server_connections(server), 1);
    stream_close(ends[0][1]);
    stream_close(ends[1][1]);
    http_server_free(server);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_bytes_get_a_status_and_a_closed_connection),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(expect_100_is_answered_only_when_the_body_is_wanted),
        cmocka_unit_test(http_1_0_gets_plain_replies),
        cmocka_unit_test(what_follows_an_upgrade_belongs_to_the_new_protocol),
        cmocka_unit_test(a_client_may_leave_at_any_byte),
        cmocka_unit_test(a_streamed_reply_ends_when_a_client_with_an_unread_body_leaves),
        cmocka_unit_test(every_byte_may_come_alone),
        cmocka_unit_test(out_of_memory_never_kills_the_server),
        cmocka_unit_test(a_head_that_does_not_end_times_out),
        cmocka_unit_test(connections_over_the_limit_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

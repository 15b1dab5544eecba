/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of HTTP/2 connections: a client and a server that hand each other bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/mem.h"
#include "http2.h"

struct side {
    struct http2 *h;
    bool server;
    char log[2048];
    size_t to_send;  /* bytes of body that pull() still gives */
    size_t received; /* bytes of on_data */
    bool consume;    /* give received bytes back at once */
    int32_t last_id;
    int refuse;
    int pongs;
};

static void note(struct side *s, const char *fmt, ...)
{
    va_list ap;
    size_t n = strlen(s->log);
    va_start(ap, fmt);
    (void)vsnprintf(s->log + n, sizeof(s->log) - n, fmt, ap);
    va_end(ap);
}

static int on_head(void *arg, int32_t id, void *stream_arg, const struct http_head *head, bool end)
{
    struct side *s = arg;
    s->last_id = id;
    if (s->refuse) {
        return -E_BUSY;
    }
    if (s->server) {
        note(s, STR_FMT " " STR_FMT " " STR_FMT " x=" STR_FMT "%s;", STR_ARG(head->method),
             STR_ARG(head->target), STR_ARG(head->authority),
             STR_ARG(http_header_get(&head->headers, "X-A")), end ? " end" : "");
    } else {
        note(s, "%d%s;", head->status, end ? " end" : "");
    }
    return 0;
}

static void on_data(void *arg, int32_t id, void *stream_arg, const char *data, size_t n)
{
    struct side *s = arg;
    s->received += n;
    if (s->consume) {
        http2_consume(s->h, id, n);
    }
}

static void on_end(void *arg, int32_t id, void *stream_arg)
{
    note(arg, "end;");
}

static void on_close(void *arg, int32_t id, void *stream_arg, int code)
{
    note(arg, "close %d;", code);
}

static size_t pull(void *arg, int32_t id, void *stream_arg, char *out, size_t n, bool *eof)
{
    struct side *s = arg;
    n = MIN_OF(n, s->to_send);
    memset(out, 'b', n);
    s->to_send -= n;
    *eof = s->to_send == 0;
    return n;
}

static void on_pong(void *arg)
{
    ((struct side *)arg)->pongs++;
}

static const struct http2_ops ops = {on_head, on_data, on_end, on_close, pull, on_pong, NULL};

static bool move(struct side *from, struct side *to)
{
    struct buf wire = BUF_INIT;
    assert_true(http2_drain(from->h, &wire, 16384) >= 0);
    bool some = buf_len(&wire) > 0;
    assert_int_equal(http2_feed(to->h, buf_data(&wire), buf_len(&wire)), 0);
    buf_fini(&wire);
    return some;
}

static void settle(struct side *a, struct side *b)
{
    bool ab, ba;
    do {
        ab = move(a, b);
        ba = move(b, a);
    } while (ab || ba);
}

static void start(struct side *c, struct side *s)
{
    *c = (struct side){.consume = true};
    *s = (struct side){.server = true, .consume = true};
    c->h = http2_new(false, &ops, c);
    s->h = http2_new(true, &ops, s);
    assert_non_null(c->h);
    assert_non_null(s->h);
    settle(c, s);
}

static void stop(struct side *c, struct side *s)
{
    http2_free(c->h);
    http2_free(s->h);
}

static int32_t request(struct side *c, bool body)
{
    struct http_header header = {STR_LIT("X-A"), STR_LIT("1")};
    struct http_head head = {.method = STR_LIT("POST"),
                             .target = STR_LIT("/p?q=1"),
                             .authority = STR_LIT("host:1"),
                             .headers = {&header, 1}};
    return http2_request(c->h, "https", &head, body, NULL);
}

static void a_request_and_its_response_pass(void **state)
{
    struct side c, s;
    struct http_headers none = {0};
    start(&c, &s);
    c.to_send = 5;
    assert_true(request(&c, true) > 0);
    settle(&c, &s);
    assert_string_equal(s.log, "POST /p?q=1 host:1 x=1;end;");
    assert_int_equal(s.received, 5);
    assert_int_equal(http2_respond(s.h, s.last_id, 100, &none, false), 0);
    s.to_send = 100000;
    assert_int_equal(http2_respond(s.h, s.last_id, 200, &none, true), 0);
    settle(&c, &s);
    assert_string_equal(c.log, "100;200;end;close 0;");
    assert_int_equal(c.received, 100000);
    assert_int_equal(http2_streams(c.h) + http2_streams(s.h), 0);
    stop(&c, &s);
}

static void a_slow_reader_stops_its_peer(void **state)
{
    struct side c, s;
    struct http_headers none = {0};
    start(&c, &s);
    c.consume = false;
    assert_true(request(&c, false) > 0);
    settle(&c, &s);
    assert_string_equal(s.log, "POST /p?q=1 host:1 x=1 end;");
    s.to_send = 1000000;
    assert_int_equal(http2_respond(s.h, s.last_id, 200, &none, true), 0);
    settle(&c, &s);
    assert_int_equal(c.received, HTTP2_STREAM_WINDOW);
    http2_consume(c.h, s.last_id, c.received);
    settle(&c, &s);
    assert_int_equal(c.received, 2 * HTTP2_STREAM_WINDOW);
    /* A stream that goes away gives its bytes back: others do not starve. */
    for (int i = 0; i < 40; i++) {
        http2_reset(c.h, s.last_id, HTTP2_CANCEL);
        settle(&c, &s);
        size_t before = c.received;
        assert_true(request(&c, false) > 0);
        settle(&c, &s);
        s.to_send = 1000000;
        assert_int_equal(http2_respond(s.h, s.last_id, 200, &none, true), 0);
        settle(&c, &s);
        assert_int_equal(c.received - before, HTTP2_STREAM_WINDOW);
    }
    stop(&c, &s);
}

static void refused_and_cancelled_streams_end_with_their_code(void **state)
{
    struct side c, s;
    start(&c, &s);
    s.refuse = 1;
    assert_true(request(&c, false) > 0);
    settle(&c, &s);
    assert_non_null(strstr(c.log, "close -16;")); /* EBUSY */
    s.refuse = 0;
    c.log[0] = '\0';
    int32_t id = request(&c, false);
    http2_reset(c.h, id, HTTP2_CANCEL); /* before it left */
    settle(&c, &s);
    assert_string_equal(c.log, "close -125;"); /* ECANCELED */
    assert_int_equal(http2_streams(c.h), 0);
    stop(&c, &s);
}

static void pings_are_answered_and_garbage_ends_the_connection(void **state)
{
    struct side c, s;
    start(&c, &s);
    assert_int_equal(http2_ping(c.h), 0);
    settle(&c, &s);
    assert_int_equal(c.pongs, 1);
    assert_true(http2_alive(s.h));
    assert_true(http2_feed(s.h, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 12) < 0 ||
                http2_wants_write(s.h));
    struct buf wire = BUF_INIT;
    assert_true(http2_drain(s.h, &wire, 65536) >= 0);
    assert_false(http2_alive(s.h));
    buf_fini(&wire);
    stop(&c, &s);
}

static void heads_over_the_limit_reset_their_stream_only(void **state)
{
    struct side c, s;
    struct http_header big[40];
    static char value[2000];
    memset(value, 'v', sizeof(value));
    for (size_t i = 0; i < ARRAY_SIZE(big); i++) {
        big[i] = (struct http_header){STR_LIT("x-big"), str_n(value, sizeof(value))};
    }
    struct http_head head = {.method = STR_LIT("GET"),
                             .target = STR_LIT("/"),
                             .authority = STR_LIT("h"),
                             .headers = {big, ARRAY_SIZE(big)}};
    start(&c, &s);
    assert_true(http2_request(c.h, "https", &head, false, NULL) > 0);
    settle(&c, &s);
    assert_string_equal(s.log, "");
    assert_non_null(strstr(c.log, "close"));
    assert_true(request(&c, false) > 0);
    settle(&c, &s);
    assert_string_equal(s.log, "POST /p?q=1 host:1 x=1 end;");
    stop(&c, &s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_and_its_response_pass),
        cmocka_unit_test(a_slow_reader_stops_its_peer),
        cmocka_unit_test(refused_and_cancelled_streams_end_with_their_code),
        cmocka_unit_test(pings_are_answered_and_garbage_ends_the_connection),
        cmocka_unit_test(heads_over_the_limit_reset_their_stream_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

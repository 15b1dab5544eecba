/* SPDX-License-Identifier: Apache-2.0 */
/* Server and client against each other, over every transport. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/mem.h"
#include "codec/websocket.h"
#include "io/tcp.h"
#include "loopback_fixture.h"
#include "net/ws.h"

static void each(void (*body)(struct loopback *b))
{
    static const char *const names[] = {"TCP", "Unix", "TLS", "HTTP/2", "HTTP/2 in a pair"};
    for (int t = 0; t < TRANSPORT_NR; t++) {
        struct loopback b;
        loopback_open(&b, t);
        print_message("over %s\n", names[t]);
        body(&b);
        loopback_close(&b);
    }
}

static char *big_text(size_t n)
{
    char *p = mem_alloc(n);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) {
        p[i] = (char)(i * 31 + (i >> 8));
    }
    return p;
}

/* ---- simple requests ---- */

static void simple(struct loopback *b)
{
    struct answer a;
    for (int i = 0; i < 3; i++) {
        fetch(b, &a, "GET", "/hello", STR_NULL);
        assert_int_equal(a.code, 0);
        assert_int_equal(a.status, 200);
        assert_true(str_is(buf_str(&a.body), "hello"));
        assert_string_equal(a.content_type, "text/plain");
        answer_free(&a);
    }
    fetch(b, &a, "HEAD", "/hello", STR_NULL);
    assert_int_equal(a.status, 200);
    assert_int_equal(buf_len(&a.body), 0);
    answer_free(&a);
    fetch(b, &a, "GET", "/nothing", STR_NULL);
    assert_int_equal(a.status, 404);
    answer_free(&a);
    fetch(b, &a, "GET", "/late", STR_NULL);
    assert_true(str_is(buf_str(&a.body), "late"));
    answer_free(&a);
    assert_int_equal(http_server_connections(b->server), 1); /* kept alive */
}

static void requests_are_answered_and_connections_kept(void **state)
{
    (void)state;
    each(simple);
}

static void bodies(struct loopback *b)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 65536, 1000000, (size_t)4 << 20};
    for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
        struct answer a;
        char *text = big_text(sizes[i]);
        fetch(b, &a, "POST", "/echo", str_n(text, sizes[i]));
        assert_int_equal(a.code, 0);
        assert_int_equal(a.status, 200);
        assert_true(str_eq(buf_str(&a.body), str_n(text, sizes[i])));
        answer_free(&a);
        mem_free(text);
    }
}

static void bodies_travel_both_ways(void **state)
{
    (void)state;
    each(bodies);
}

static void too_big(struct loopback *b)
{
    struct answer a;
    size_t n = ((size_t)4 << 20) + 1;
    char *text = big_text(n);
    fetch(b, &a, "POST", "/echo", str_n(text, n));
    assert_int_equal(a.code, 0);
    assert_int_equal(a.status, 413);
    assert_string_equal(a.content_type, "application/json");
    answer_free(&a);
    fetch(b, &a, "GET", "/hello", STR_NULL);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    mem_free(text);
}

static void a_body_over_the_limit_gets_413(void **state)
{
    (void)state;
    each(too_big);
}

static void ignored_body(struct loopback *b)
{
    struct answer a;
    char *text = big_text(100000);
    for (int i = 0; i < 3; i++) {
        fetch(b, &a, "POST", "/hello", str_n(text, 100000));
        assert_int_equal(a.code, 0);
        assert_int_equal(a.status, 200);
        answer_free(&a);
    }
    mem_free(text);
}

static void a_body_that_nobody_reads_does_no_harm(void **state)
{
    (void)state;
    each(ignored_body);
}

static void concurrent(struct loopback *b)
{
    struct answer a[100];
    for (int i = 0; i < 100; i++) {
        (void)fetch_start(b, &a[i], "GET", i % 2 ? "/late" : "/hello", STR_NULL);
    }
    for (int i = 0; i < 100; i++) {
        loopback_wait(b, &a[i].done);
        assert_int_equal(a[i].code, 0);
        assert_true(str_is(buf_str(&a[i].body), i % 2 ? "late" : "hello"));
        answer_free(&a[i]);
    }
    assert_int_equal(b->requests, 100);
    bool h2 = b->transport == OVER_H2 || b->transport == OVER_PAIR_H2;
    assert_true(http_server_connections(b->server) <= (h2 ? 1 : 8));
}

static void many_requests_at_once_share_few_connections(void **state)
{
    (void)state;
    each(concurrent);
}

/* ---- streams of data and back-pressure ---- */

struct reader {
    struct loopback *b;
    struct http_call *call;
    struct io_timer timer;
    size_t n;
    int pauses;
    bool done, failed;
};

static void reader_resume(void *arg)
{
    struct reader *r = arg;
    http_call_pause(r->call, false);
}

static void reader_data(struct http_call *c, void *arg, struct str data)
{
    struct reader *r = arg;
    r->n += data.n;
    if (r->pauses > 0) {
        r->pauses--;
        http_call_pause(c, true);
        io_timer_start(&r->timer, 3, 0);
    }
}

static void reader_end(struct http_call *c, void *arg)
{
    (void)c;
    ((struct reader *)arg)->done = true;
}

static void reader_error(struct http_call *c, void *arg, const struct err *err)
{
    struct reader *r = arg;
    (void)c;
    (void)err;
    r->done = r->failed = true;
}

static const struct http_call_ops reader_ops = {
    .on_data = reader_data, .on_end = reader_end, .on_error = reader_error};

static void reader_start(struct reader *r, struct loopback *b, const char *path, int pauses)
{
    const struct http_call_request req = {.path = path};
    *r = (struct reader){.b = b, .pauses = pauses};
    io_timer_init(b->loop, &r->timer, reader_resume, r);
    r->call = http_call_start(b->client, &req, &reader_ops, r);
    assert_non_null(r->call);
}

static void slow_reader(struct loopback *b)
{
    struct reader r;
    reader_start(&r, b, "/stream?n=20000000", 60);
    loopback_wait(b, &r.done);
    assert_false(r.failed);
    assert_int_equal(r.n, 20000000);
    assert_true(b->drained > 0);
    assert_true(b->max_queued < (size_t)1 << 20); /* bounded, whatever the length */
}

static void a_slow_reader_stops_the_producer_and_memory_stays_bounded(void **state)
{
    (void)state;
    each(slow_reader);
}

static void stuck_reader(struct loopback *b)
{
    struct reader r;
    reader_start(&r, b, "/stream?n=100000000", 1000000);
    loopback_turn(b, 100);
    io_timer_stop(&r.timer);
    http_call_pause(r.call, true);
    loopback_turn(b, 50);
    size_t n = r.n;
    loopback_turn(b, 100);
    assert_int_equal(r.n, n);
    assert_true(b->max_queued < (size_t)1 << 20);
    http_call_cancel(r.call);
    for (int i = 0; i < 200 && b->lost == 0; i++) {
        loopback_turn(b, 10);
    }
    assert_int_equal(b->lost, 1); /* the producer hears of the cancel */
}

static void a_cancelled_call_ends_its_producer(void **state)
{
    (void)state;
    each(stuck_reader);
}

static void slow_server(struct loopback *b)
{
    struct answer a;
    char *text = big_text((size_t)3 << 20);
    fetch(b, &a, "POST", "/slow", str_n(text, (size_t)3 << 20));
    assert_int_equal(a.code, 0);
    assert_true(str_is(buf_str(&a.body), "3145728"));
    answer_free(&a);
    mem_free(text);
}

static void a_server_that_pauses_gets_the_whole_body(void **state)
{
    (void)state;
    each(slow_server);
}

struct sender {
    struct http_call *call;
    size_t left, max_queued;
    bool done, failed;
    struct buf body;
};

static void sender_go(struct sender *s)
{
    static const char piece[16384];
    while (s->left) {
        size_t n = MIN_OF(s->left, sizeof piece);
        ssize_t queued = http_call_write(s->call, str_n(piece, n));
        assert_true(queued >= 0);
        s->left -= n;
        s->max_queued = MAX_OF(s->max_queued, (size_t)queued);
        if (queued > 256 << 10) {
            return;
        }
    }
    http_call_end_body(s->call);
}

static void sender_drain(struct http_call *c, void *arg)
{
    (void)c;
    sender_go(arg);
}

static void sender_data(struct http_call *c, void *arg, struct str data)
{
    struct sender *s = arg;
    (void)c;
    assert_int_equal(buf_append_str(&s->body, data), 0);
}

static void sender_end(struct http_call *c, void *arg)
{
    (void)c;
    ((struct sender *)arg)->done = true;
}

static void sender_error(struct http_call *c, void *arg, const struct err *err)
{
    struct sender *s = arg;
    (void)c;
    (void)err;
    s->done = s->failed = true;
}

static void streaming_body(struct loopback *b)
{
    static const struct http_call_ops ops = {.on_data = sender_data,
                                             .on_end = sender_end,
                                             .on_error = sender_error,
                                             .on_drain = sender_drain};
    const struct http_call_request req = {.method = "POST", .path = "/slow", .stream_body = true};
    struct sender s = {.left = 10000000};
    s.call = http_call_start(b->client, &req, &ops, &s);
    sender_go(&s);
    loopback_wait(b, &s.done);
    assert_false(s.failed);
    assert_true(str_is(buf_str(&s.body), "10000000"));
    assert_true(s.max_queued < (size_t)1 << 20);
    buf_fini(&s.body);
}

static void a_streaming_request_body_feels_back_pressure(void **state)
{
    (void)state;
    each(streaming_body);
}

/* ---- byte streams and WebSockets ---- */

struct peer {
    struct loopback *b;
    struct stream *s;
    struct buf got;
    size_t want;
    bool open, full, eof, failed;
    int status;
};

static void peer_on_read(void *arg, const char *data, size_t n)
{
    struct peer *p = arg;
    assert_int_equal(buf_append(&p->got, data, n), 0);
    p->full = buf_len(&p->got) >= p->want;
}

static void peer_on_eof(void *arg)
{
    ((struct peer *)arg)->eof = true;
}

static void peer_on_error(void *arg, int code)
{
    struct peer *p = arg;
    (void)code;
    p->eof = p->failed = true;
}

static const struct stream_events peer_events = {
    .on_read = peer_on_read, .on_eof = peer_on_eof, .on_error = peer_on_error};

static void peer_stream(struct http_call *c, void *arg, struct stream *s,
                        const struct http_response *r)
{
    struct peer *p = arg;
    (void)c;
    (void)r;
    p->s = s;
    p->open = true;
    stream_set_events(s, &peer_events, p);
    stream_read_start(s);
}

static void peer_headers(struct http_call *c, void *arg, const struct http_response *r)
{
    struct peer *p = arg;
    (void)c;
    p->status = r->status;
}

static void peer_done(struct http_call *c, void *arg)
{
    (void)c;
    ((struct peer *)arg)->open = true;
}

static void peer_error(struct http_call *c, void *arg, const struct err *err)
{
    struct peer *p = arg;
    (void)c;
    (void)err;
    p->open = p->failed = true;
}

static const struct http_call_ops peer_ops = {.on_headers = peer_headers,
                                              .on_end = peer_done,
                                              .on_error = peer_error,
                                              .on_stream = peer_stream};

static void byte_stream(struct loopback *b)
{
    const struct http_call_request req = {.path = "/up", .upgrade = "echo"};
    struct peer p = {.b = b, .want = 1000000};
    char *text = big_text(1000000);
    assert_non_null(http_call_start(b->client, &req, &peer_ops, &p));
    loopback_wait(b, &p.open);
    assert_non_null(p.s);
    assert_true(stream_write(p.s, text, 1000000) >= 0);
    loopback_wait(b, &p.full);
    assert_true(str_eq(buf_str(&p.got), str_n(text, 1000000)));
    stream_shutdown(p.s);
    loopback_wait(b, &p.eof);
    assert_false(p.failed);
    assert_int_equal(b->upgraded_ended, 1);
    stream_close(p.s);
    buf_fini(&p.got);
    mem_free(text);
}

static void an_exchange_becomes_a_byte_stream(void **state)
{
    (void)state;
    each(byte_stream);
}

static void refused_stream(struct loopback *b)
{
    const struct http_call_request req = {.path = "/up", .upgrade = "other"};
    struct peer p = {.b = b};
    assert_non_null(http_call_start(b->client, &req, &peer_ops, &p));
    loopback_wait(b, &p.open);
    assert_null(p.s);
    assert_int_equal(p.status, 426);
}

static void a_refused_upgrade_is_an_ordinary_answer(void **state)
{
    (void)state;
    each(refused_stream);
}

static void dropped_stream(struct loopback *b)
{
    const struct http_call_request req = {.path = "/up", .upgrade = "echo"};
    struct peer p = {.b = b, .want = 5};
    assert_non_null(http_call_start(b->client, &req, &peer_ops, &p));
    loopback_wait(b, &p.open);
    assert_true(stream_write(p.s, "abcde", 5) >= 0);
    loopback_wait(b, &p.full);
    stream_close(p.s); /* at once */
    for (int i = 0; i < 200 && b->upgraded_ended == 0; i++) {
        loopback_turn(b, 5);
    }
    assert_int_equal(b->upgraded_ended, 1);
    buf_fini(&p.got);
}

static void the_other_side_learns_that_a_stream_was_closed(void **state)
{
    (void)state;
    each(dropped_stream);
}

struct chat {
    struct ws *ws;
    struct buf got;
    int messages, close_code;
    bool open, failed, closed, last;
};

static void chat_open(void *arg, struct ws *w, const struct err *err)
{
    struct chat *c = arg;
    (void)err;
    c->ws = w;
    c->open = true;
    c->failed = !w;
}

static void chat_message(struct ws *w, void *arg, bool binary, struct str data)
{
    struct chat *c = arg;
    (void)w;
    (void)binary;
    c->messages++;
    buf_clear(&c->got);
    assert_int_equal(buf_append_str(&c->got, data), 0);
    c->last = str_is(data, "last");
}

static void chat_close(struct ws *w, void *arg, int code, struct str reason)
{
    struct chat *c = arg;
    (void)w;
    (void)reason;
    c->closed = true;
    c->close_code = code;
}

static const struct ws_events chat_events = {.on_message = chat_message, .on_close = chat_close};

static void a_websocket_echoes_messages_and_closes_in_order(void **state)
{
    (void)state;
    for (int t = 0; t < TRANSPORT_NR; t++) {
        struct loopback b;
        struct chat c = {0};
        loopback_open(&b, t);
        assert_non_null(ws_connect(b.client, "/ws", NULL, 0, "a", &chat_events, &c, chat_open, &c));
        loopback_wait(&b, &c.open);
        assert_false(c.failed);
        for (size_t n = 1; n < 300000; n *= 7) {
            char *text = big_text(n);
            assert_true(ws_send(c.ws, true, str_n(text, n)) >= 0);
            mem_free(text);
        }
        assert_true(ws_send(c.ws, false, STR_LIT("last")) >= 0);
        loopback_wait(&b, &c.last);
        assert_int_equal(c.messages, 8);
        ws_close(c.ws, WEBSOCKET_NORMAL, "bye");
        loopback_wait(&b, &c.closed);
        assert_int_equal(c.close_code, WEBSOCKET_NORMAL);
        assert_int_equal(b.upgraded_ended, 1);
        buf_fini(&c.got);
        loopback_close(&b);
    }
}

/* ---- ends ---- */

static void lost_peer(struct loopback *b)
{
    struct answer a;
    struct http_fetch *f = fetch_start(b, &a, "GET", "/never", STR_NULL);
    while (b->requests == 0) {
        loopback_turn(b, 5);
    }
    http_fetch_cancel(f);
    for (int i = 0; i < 200 && b->lost == 0; i++) {
        loopback_turn(b, 5);
    }
    assert_int_equal(b->lost, 1);
    assert_false(a.done);
}

static void the_handler_learns_that_its_peer_is_gone(void **state)
{
    (void)state;
    each(lost_peer);
}

static void freed_server(struct loopback *b)
{
    struct answer a;
    (void)fetch_start(b, &a, "GET", "/never", STR_NULL);
    while (b->requests == 0) {
        loopback_turn(b, 5);
    }
    http_server_free(b->server);
    b->server = NULL;
    assert_int_equal(b->lost, 1);
    loopback_wait(b, &a.done);
    assert_true(a.code < 0);
    answer_free(&a);
}

static void freeing_the_server_ends_what_runs(void **state)
{
    (void)state;
    each(freed_server);
}

static void freed_client(struct loopback *b)
{
    struct answer a, c;
    (void)fetch_start(b, &a, "GET", "/never", STR_NULL);
    while (b->requests == 0) {
        loopback_turn(b, 5);
    }
    (void)fetch_start(b, &c, "GET", "/hello", STR_NULL);
    http_client_free(b->client);
    b->client = NULL;
    assert_int_equal(a.code, -E_CANCELED);
    assert_int_equal(c.code, -E_CANCELED);
    answer_free(&a);
    answer_free(&c);
}

static void freeing_the_client_fails_its_calls(void **state)
{
    (void)state;
    each(freed_client);
}

static void on_stopped(void *arg)
{
    *(bool *)arg = true;
}

static void graceful(struct loopback *b)
{
    struct answer a;
    bool stopped = false;
    (void)fetch_start(b, &a, "GET", "/late", STR_NULL);
    while (b->requests == 0) {
        loopback_turn(b, 1);
    }
    http_server_stop(b->server, 5000, on_stopped, &stopped);
    loopback_wait(b, &a.done);
    assert_int_equal(a.code, 0);
    assert_int_equal(a.status, 200);
    loopback_wait(b, &stopped);
    assert_int_equal(http_server_connections(b->server), 0);
    answer_free(&a);
}

static void a_graceful_stop_lets_running_requests_end(void **state)
{
    (void)state;
    each(graceful);
}

static void impatient(struct loopback *b)
{
    struct answer a;
    bool stopped = false;
    (void)fetch_start(b, &a, "GET", "/never", STR_NULL);
    while (b->requests == 0) {
        loopback_turn(b, 1);
    }
    http_server_stop(b->server, 20, on_stopped, &stopped);
    loopback_wait(b, &stopped);
    loopback_wait(b, &a.done);
    assert_int_equal(b->lost, 1);
    assert_true(a.code < 0);
    answer_free(&a);
}

static void the_grace_time_of_a_stop_is_kept(void **state)
{
    (void)state;
    each(impatient);
}

static void a_server_that_is_not_there_is_an_error_that_reads_well(void **state)
{
    struct loopback b;
    struct answer a;
    (void)state;
    loopback_open(&b, OVER_TCP);
    http_server_free(b.server);
    b.server = NULL;
    fetch(&b, &a, "GET", "/hello", STR_NULL);
    assert_int_equal(a.code, -E_CONNREFUSED);
    assert_non_null(strstr(a.error, "connection was refused"));
    loopback_close(&b);
}

static void a_restarted_server_gets_the_request_again(void **state)
{
    struct loopback b;
    struct answer a;
    (void)state;
    loopback_open(&b, OVER_UNIX);
    fetch(&b, &a, "GET", "/hello", STR_NULL);
    answer_free(&a);
    const struct http_server_config cfg = {.loop = b.loop};
    (void)cfg;
    http_client_reset(b.client);
    fetch(&b, &a, "GET", "/hello", STR_NULL);
    assert_int_equal(a.status, 200);
    answer_free(&a);
    loopback_close(&b);
}

static void a_call_times_out(void **state)
{
    (void)state;
    for (int t = 0; t < TRANSPORT_NR; t++) {
        struct loopback b;
        struct peer p = {0};
        const struct http_call_request req = {.path = "/never", .timeout_ms = 30};
        loopback_open(&b, t);
        assert_non_null(http_call_start(b.client, &req, &peer_ops, &p));
        loopback_wait(&b, &p.open);
        assert_true(p.failed);
        for (int i = 0; i < 200 && b.lost == 0; i++) {
            loopback_turn(&b, 5);
        }
        assert_int_equal(b.lost, 1);
        loopback_close(&b);
    }
}

static void count_answer(void *arg, int code, const struct http_response *r, struct str body,
                         const struct err *err)
{
    struct answer *a = arg;
    (void)r;
    (void)body;
    (void)err;
    assert_false(a->done);
    a->done = true;
    a->code = code;
}

static void hello(struct http_exchange *x, void *arg)
{
    (void)arg;
    char *big = arena_zalloc(http_exchange_arena(x), 300000);
    http_reply_text(x, big ? 200 : 503, "text/plain", str_n(big, big ? 300000 : 0));
}

static void lost(void *arg)
{
    *(bool *)arg = true;
}

static void a_peer_that_never_reads_is_dropped(void **state)
{
    (void)state;
    for (int protocol = HTTP_PROTOCOL_1; protocol <= HTTP_PROTOCOL_2; protocol++) {
        struct loopback b = {0};
        struct stream *ends[2];
        struct reader r = {.b = &b, .pauses = 1000000};
        bool gone = false;
        const struct http_call_request req = {.path = "/"};
        assert_int_equal(loop_new(&b.loop, NULL), 0);
        const struct http_server_config cfg = {
            .loop = b.loop, .handler = hello, .write_timeout_ms = 60, .idle_timeout_ms = 60};
        assert_int_equal(http_server_new(&cfg, &b.server), 0);
        assert_int_equal(stream_pair(b.loop, ends), 0);
        assert_int_equal(http_server_serve(b.server, ends[0], protocol, NULL, lost, &gone), 0);
        assert_int_equal(
            http_client_from_stream(b.loop, ends[1], protocol, "h", 0, NULL, NULL, &b.client), 0);
        io_timer_init(b.loop, &r.timer, reader_resume, &r);
        r.call = http_call_start(b.client, &req, &reader_ops, &r);
        loopback_turn(&b, 5);
        http_call_pause(r.call, true);
        io_timer_stop(&r.timer);
        loopback_wait(&b, &gone);
        http_client_free(b.client);
        http_server_free(b.server);
        loop_free(b.loop);
    }
}

/* Every allocation of the client and the server fails once; whatever happens, the call ends. */
static void running_out_of_memory_ends_calls_and_nothing_else(void **state)
{
    (void)state;
    for (int protocol = HTTP_PROTOCOL_1; protocol <= HTTP_PROTOCOL_2; protocol++) {
        for (unsigned long n = 1; n < 120; n++) {
            struct loopback b = {0};
            struct stream *ends[2];
            struct answer a = {0};
            const struct http_call_request req = {
                .method = "POST", .path = "/", .body = STR_LIT("body")};
            assert_int_equal(loop_new(&b.loop, NULL), 0);
            const struct http_server_config cfg = {.loop = b.loop, .handler = hello};
            assert_int_equal(http_server_new(&cfg, &b.server), 0);
            assert_int_equal(stream_pair(b.loop, ends), 0);
            (void)mem_fail_at(n);
            (void)http_server_serve(b.server, ends[0], protocol, NULL, NULL, NULL);
            int rc =
                http_client_from_stream(b.loop, ends[1], protocol, "h", 0, NULL, NULL, &b.client);
            struct http_fetch *f =
                rc == 0 ? http_fetch(b.client, &req, 1000000, count_answer, &a) : NULL;
            for (int i = 0; i < 200 && f && !a.done; i++) {
                loop_run_ready(b.loop);
            }
            (void)mem_fail_at(0);
            assert_true(!f || a.done);
            http_client_free(b.client);
            http_server_free(b.server);
            loop_free(b.loop);
        }
    }
}

/* ---- who is there ---- */

static void a_unix_socket_tells_the_peers_credentials(void **state)
{
    struct loopback b;
    struct answer a;
    char want[64];
    (void)state;
    loopback_open(&b, OVER_UNIX);
    fetch(&b, &a, "GET", "/peer", STR_NULL);
    (void)snprintf(want, sizeof want, "uid=%d pid=%d tls=0", (int)getuid(), (int)getpid());
    assert_true(str_starts(buf_str(&a.body), want));
    answer_free(&a);
    loopback_close(&b);
}

static void ask_with_certificate(struct loopback *b, const char *cert, const char *key,
                                 const char *want)
{
    struct answer a;
    const struct tls_config cfg = {
        .ca_pem = str_of(b->pki.ca_cert), .cert_pem = str_of(cert), .key_pem = str_of(key)};
    tls_ctx_unref(b->client_tls);
    assert_int_equal(tls_client_new(&cfg, &b->client_tls, NULL), 0);
    http_client_free(b->client);
    const struct http_client_config cc = {
        .loop = b->loop, .host = "127.0.0.1", .port = b->port, .tls = b->client_tls};
    assert_int_equal(http_client_new(&cc, &b->client), 0);
    fetch(b, &a, "GET", "/peer", STR_NULL);
    assert_string_equal(a.error, "");
    assert_int_equal(buf_putc(&a.body, '\0'), 0);
    assert_non_null(strstr(buf_data(&a.body), want));
    answer_free(&a);
}

static void client_certificates_good_or_bad_reach_the_handler(void **state)
{
    struct loopback b;
    (void)state;
    loopback_open(&b, OVER_TLS);
    ask_with_certificate(&b, NULL, NULL, "tls=1 cn=- o=- verified=0 error=-");
    ask_with_certificate(&b, b.pki.client_cert, b.pki.client_key,
                         "cn=system:node:n1 o=system:nodes verified=1 error= id");
    ask_with_certificate(&b, b.pki.expired_cert, b.pki.client_key,
                         "cn=old o=o verified=0 error=certificate has expired");
    ask_with_certificate(&b, b.pki.unknown_cert, b.pki.client_key,
                         "cn=mallory o=o verified=0 error=unable to get local issuer");
    ask_with_certificate(&b, b.pki.server_cert, b.pki.server_key, "verified=0");
    loopback_close(&b);
}

static void a_server_that_is_not_trusted_is_refused(void **state)
{
    struct loopback b;
    struct answer a;
    (void)state;
    loopback_open(&b, OVER_TLS);
    const struct tls_config cfg = {.ca_pem = str_of(b.pki.other_ca_cert)};
    tls_ctx_unref(b.client_tls);
    assert_int_equal(tls_client_new(&cfg, &b.client_tls, NULL), 0);
    http_client_free(b.client);
    const struct http_client_config cc = {
        .loop = b.loop, .host = "127.0.0.1", .port = b.port, .tls = b.client_tls};
    assert_int_equal(http_client_new(&cc, &b.client), 0);
    fetch(&b, &a, "GET", "/hello", STR_NULL);
    assert_int_equal(a.code, -E_CERT);
    assert_int_equal(b.requests, 0);
    loopback_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_answered_and_connections_kept),
        cmocka_unit_test(bodies_travel_both_ways),
        cmocka_unit_test(a_body_over_the_limit_gets_413),
        cmocka_unit_test(a_body_that_nobody_reads_does_no_harm),
        cmocka_unit_test(many_requests_at_once_share_few_connections),
        cmocka_unit_test(a_slow_reader_stops_the_producer_and_memory_stays_bounded),
        cmocka_unit_test(a_cancelled_call_ends_its_producer),
        cmocka_unit_test(a_server_that_pauses_gets_the_whole_body),
        cmocka_unit_test(a_streaming_request_body_feels_back_pressure),
        cmocka_unit_test(an_exchange_becomes_a_byte_stream),
        cmocka_unit_test(a_refused_upgrade_is_an_ordinary_answer),
        cmocka_unit_test(the_other_side_learns_that_a_stream_was_closed),
        cmocka_unit_test(a_websocket_echoes_messages_and_closes_in_order),
        cmocka_unit_test(the_handler_learns_that_its_peer_is_gone),
        cmocka_unit_test(freeing_the_server_ends_what_runs),
        cmocka_unit_test(freeing_the_client_fails_its_calls),
        cmocka_unit_test(a_graceful_stop_lets_running_requests_end),
        cmocka_unit_test(the_grace_time_of_a_stop_is_kept),
        cmocka_unit_test(a_server_that_is_not_there_is_an_error_that_reads_well),
        cmocka_unit_test(a_restarted_server_gets_the_request_again),
        cmocka_unit_test(a_call_times_out),
        cmocka_unit_test(a_peer_that_never_reads_is_dropped),
        cmocka_unit_test(running_out_of_memory_ends_calls_and_nothing_else),
        cmocka_unit_test(a_unix_socket_tells_the_peers_credentials),
        cmocka_unit_test(client_certificates_good_or_bad_reach_the_handler),
        cmocka_unit_test(a_server_that_is_not_trusted_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

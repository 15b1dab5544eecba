/* SPDX-License-Identifier: Apache-2.0 */
/* One suite over every kind of stream: pair, socketpair, TCP, TLS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "loop.h"
#include "stream.h"
#include "tcp.h"
#include "tls.h"
#include "x509.h"

enum kind { PAIR, SOCKETPAIR, TCP, TLS, PREFIXED, KIND_NR };

struct end {
    struct stream *s;
    struct buf got;
    size_t count;
    int eofs, errors, drains;
    bool keep;
    size_t stop_after; /* stops reading after so many bytes in one callback */
};

static struct io_loop *loop;
static struct end ends[2];

static void on_read(void *arg, const char *data, size_t n)
{
    struct end *e = arg;
    e->count += n;
    if (e->keep) {
        assert_int_equal(buf_append(&e->got, data, n), 0);
    }
    if (e->stop_after && e->count >= e->stop_after) {
        stream_read_stop(e->s);
    }
}

static void on_eof(void *arg)
{
    ((struct end *)arg)->eofs++;
}

static void on_error(void *arg, int code)
{
    assert_true(code < 0);
    ((struct end *)arg)->errors++;
}

static void on_drain(void *arg)
{
    ((struct end *)arg)->drains++;
}

static const struct stream_events events = {
    .on_read = on_read, .on_eof = on_eof, .on_error = on_error, .on_drain = on_drain};

static void take(int i, struct stream *s)
{
    ends[i] = (struct end){.s = s, .keep = true};
    stream_set_events(s, &events, &ends[i]);
}

static void on_accept(void *arg, struct stream *s)
{
    *(struct stream **)arg = s;
}

static void on_connect(void *arg, struct stream *s, const struct err *err)
{
    (void)err;
    *(struct stream **)arg = s;
}

static void turn(int n)
{
    for (int i = 0; i < n; i++) {
        loop_run_ready(loop);
        (void)usleep(200);
    }
}

static void tcp_pair(struct stream *s[2])
{
    struct listener *ln;
    s[0] = s[1] = NULL;
    assert_int_equal(tcp_listen(loop, "127.0.0.1", 0, on_accept, &s[0], &ln, NULL), 0);
    assert_non_null(tcp_connect(loop, "127.0.0.1", listener_port(ln), 0, on_connect, &s[1]));
    for (int i = 0; i < 1000 && (!s[0] || !s[1]); i++) {
        turn(1);
    }
    listener_close(ln);
    assert_true(s[0] && s[1]);
}

static void on_tls(void *arg, struct stream *s, const char *alpn, const struct err *err)
{
    (void)alpn;
    (void)err;
    *(struct stream **)arg = s;
}

static void tls_pair(struct stream *s[2])
{
    char *ca, *ca_key, *key, *cert;
    const char *sans[] = {"here", NULL};
    struct tls_ctx *server, *client;
    struct stream *lower[2];
    const struct x509_profile p = {
        .subject = {.cn = "s"}, .use = X509_USE_SERVER, .sans = sans, .seconds = 60};
    assert_int_equal(x509_ca_new("ca", 60, &ca, &ca_key, NULL), 0);
    assert_int_equal(x509_key_new(&key, NULL), 0);
    assert_int_equal(x509_sign(ca, ca_key, key, NULL, &p, &cert, NULL), 0);
    const struct tls_config sc = {.cert_pem = str_of(cert), .key_pem = str_of(key)};
    const struct tls_config cc = {.ca_pem = str_of(ca)};
    assert_int_equal(tls_server_new(&sc, &server, NULL), 0);
    assert_int_equal(tls_client_new(&cc, &client, NULL), 0);
    tcp_pair(lower);
    s[0] = s[1] = NULL;
    assert_non_null(tls_accept(server, lower[0], 0, on_tls, &s[0]));
    assert_non_null(tls_connect(client, lower[1], "here", 0, on_tls, &s[1]));
    for (int i = 0; i < 1000 && (!s[0] || !s[1]); i++) {
        turn(1);
    }
    assert_true(s[0] && s[1]);
    tls_ctx_unref(server);
    tls_ctx_unref(client);
    mem_free(ca);
    mem_free(ca_key);
    mem_free(key);
    mem_free(cert);
}

static void open_kind(int kind)
{
    struct stream *s[2];
    int fds[2];
    assert_int_equal(loop_new(&loop, NULL), 0);
    switch (kind) {
    case PAIR:
        assert_int_equal(stream_pair(loop, s), 0);
        break;
    case SOCKETPAIR:
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(stream_from_fd(loop, fds[0], -1, &s[0]), 0);
        assert_int_equal(stream_from_fd(loop, fds[1], -1, &s[1]), 0);
        break;
    case TCP:
        tcp_pair(s);
        break;
    case TLS:
        tls_pair(s);
        break;
    case PREFIXED:
        assert_int_equal(stream_pair(loop, s), 0);
        for (int i = 0; i < 2; i++) {
            struct buf b = BUF_INIT;
            assert_int_equal(buf_puts(&b, "front"), 0);
            s[i] = stream_with_prefix(s[i], &b);
        }
        break;
    }
    take(0, s[0]);
    take(1, s[1]);
}

static void close_kind(void)
{
    for (int i = 0; i < 2; i++) {
        stream_close(ends[i].s);
        buf_fini(&ends[i].got);
    }
    loop_free(loop);
}

static void each(void (*body)(int kind))
{
    static const char *const names[] = {"pair", "socketpair", "TCP", "TLS", "prefixed"};
    for (int k = 0; k < KIND_NR; k++) {
        print_message("over %s\n", names[k]);
        open_kind(k);
        body(k);
        close_kind();
    }
}

static void wait_count(int i, size_t n)
{
    for (int t = 0; t < 20000 && ends[i].count < n; t++) {
        loop_run_ready(loop);
    }
    assert_int_equal(ends[i].count, n);
}

static void wait_eof(int i)
{
    for (int t = 0; t < 5000 && !ends[i].eofs && !ends[i].errors; t++) {
        turn(1);
    }
}

/* ---- the suite ---- */

static void order(int kind)
{
    size_t front = kind == PREFIXED ? 5 : 0;
    const struct str parts[] = {STR_LIT("a"), STR_LIT(""), STR_LIT("bc")};
    stream_read_start(ends[1].s);
    assert_true(stream_write(ends[0].s, "hello ", 6) >= 0);
    assert_int_equal(ends[1].count, 0); /* no callback inside */
    assert_true(stream_writev(ends[0].s, parts, 3) >= 0);
    wait_count(1, front + 9);
    assert_true(str_is(buf_str(&ends[1].got), front ? "fronthello abc" : "hello abc"));
    for (int i = 0; i < 1000; i++) {
        char c = (char)i;
        assert_true(stream_write(ends[0].s, &c, 1) >= 0);
    }
    wait_count(1, front + 1009);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(buf_data(&ends[1].got)[front + 9 + (size_t)i], (char)i);
    }
}

static void bytes_arrive_in_order(void **state)
{
    (void)state;
    each(order);
}

static void pressure(int kind)
{
    static const char piece[16384];
    size_t sent = 0, front = kind == PREFIXED ? 5 : 0;
    ssize_t queued = 0;
    ends[1].keep = false;
    for (int i = 0; i < 100000 && queued < LIMIT_WRITE_QUEUE; i++) {
        queued = stream_write(ends[0].s, piece, sizeof piece);
        assert_true(queued >= 0);
        sent += sizeof piece;
        if (i % 16 == 0) {
            turn(1);
        }
    }
    assert_true(queued >= LIMIT_WRITE_QUEUE); /* nobody reads: the queue grows as told */
    turn(20);
    assert_int_equal(ends[0].drains, 0);
    assert_int_equal(ends[1].count, 0);
    stream_read_start(ends[1].s);
    wait_count(1, sent + front);
    turn(5);
    assert_int_equal(ends[0].drains, 1);
    assert_int_equal(stream_queued(ends[0].s), 0);
}

static void the_queue_tells_and_drains(void **state)
{
    (void)state;
    each(pressure);
}

static void refuse(int kind)
{
    size_t n = (size_t)LIMIT_WRITE_QUEUE_HARD + ((size_t)9 << 20);
    char *big = mem_zalloc(n);
    (void)kind;
    assert_true(stream_write(ends[0].s, big, n) > LIMIT_WRITE_QUEUE_HARD);
    assert_int_equal(stream_write(ends[0].s, "x", 1), -E_LIMIT);
    mem_free(big);
}

static void a_queue_over_the_hard_limit_takes_no_more(void **state)
{
    (void)state;
    each(refuse);
}

static void half_close(int kind)
{
    size_t front = kind == PREFIXED ? 5 : 0;
    stream_read_start(ends[0].s);
    stream_read_start(ends[1].s);
    assert_true(stream_write(ends[0].s, "last", 4) >= 0);
    stream_shutdown(ends[0].s);
    assert_int_equal(stream_write(ends[0].s, "x", 1), -EPIPE);
    wait_eof(1);
    assert_int_equal(ends[1].eofs, 1);
    assert_int_equal(ends[1].count, front + 4);
    assert_true(stream_write(ends[1].s, "answer", 6) >= 0);
    wait_count(0, front + 6);
    stream_shutdown(ends[1].s);
    wait_eof(0);
    assert_int_equal(ends[0].eofs, 1);
    assert_int_equal(ends[0].errors + ends[1].errors, 0);
}

static void after_a_shutdown_the_other_direction_still_works(void **state)
{
    (void)state;
    each(half_close);
}

static void gone(int kind)
{
    (void)kind;
    stream_read_start(ends[1].s);
    stream_close(ends[0].s);
    ends[0].s = NULL;
    wait_eof(1);
    assert_int_equal(ends[1].eofs + ends[1].errors, 1);
    for (int i = 0; i < 50; i++) { /* a write to nobody does no harm */
        (void)stream_write(ends[1].s, "x", 1);
        turn(1);
    }
    assert_int_equal(stream_write(ends[1].s, "x", 1), -EPIPE);
}

static void a_closed_peer_is_seen(void **state)
{
    (void)state;
    each(gone);
}

static void finish(int kind)
{
    size_t n = 3000000, front = kind == PREFIXED ? 5 : 0;
    char *big = mem_zalloc(n);
    ends[1].keep = false;
    assert_true(stream_write(ends[0].s, big, n) >= 0);
    stream_finish(ends[0].s);
    ends[0].s = NULL;
    turn(5);
    stream_read_start(ends[1].s);
    wait_count(1, n + front);
    wait_eof(1);
    assert_int_equal(ends[1].eofs, 1);
    assert_int_equal(ends[1].errors, 0);
    mem_free(big);
}

static void a_finished_stream_loses_nothing(void **state)
{
    (void)state;
    each(finish);
}

static void stop_reading(int kind)
{
    static const char piece[40000];
    (void)kind;
    ends[1].keep = false;
    ends[1].stop_after = 1;
    stream_read_start(ends[1].s);
    assert_true(stream_write(ends[0].s, piece, sizeof piece) >= 0);
    turn(20);
    size_t n = ends[1].count;
    assert_true(n > 0);
    turn(20);
    assert_int_equal(ends[1].count, n); /* stopped inside the callback */
    while (ends[1].count < sizeof piece) {
        stream_read_start(ends[1].s);
        turn(2);
    }
}

static void reading_stops_where_it_is_told_to(void **state)
{
    (void)state;
    each(stop_reading);
}

static void close_at_once(void *arg, const char *data, size_t n)
{
    struct end *e = arg;
    (void)data;
    (void)n;
    stream_close(e->s);
    e->s = NULL;
    e->count++;
}

static void close_inside(int kind)
{
    static const struct stream_events ev = {.on_read = close_at_once};
    static const char piece[100000];
    (void)kind;
    stream_set_events(ends[1].s, &ev, &ends[1]);
    stream_read_start(ends[1].s);
    assert_true(stream_write(ends[0].s, piece, sizeof piece) >= 0);
    turn(20);
    assert_int_equal(ends[1].count, 1);
    assert_null(ends[1].s);
}

static void a_stream_may_be_closed_inside_its_callback(void **state)
{
    (void)state;
    each(close_inside);
}

static void pipes_carry_one_direction_each(void **state)
{
    int fds[2];
    struct stream *r, *w;
    (void)state;
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(stream_from_fd(loop, fds[0], -1, &r), 0);
    assert_int_equal(stream_from_fd(loop, fds[1], -1, &w), 0);
    take(0, r);
    take(1, w);
    stream_read_start(r);
    assert_true(stream_write(w, "abc", 3) >= 0);
    stream_shutdown(w); /* a pipe's write end: the reader sees EOF */
    wait_eof(0);
    assert_int_equal(ends[0].eofs, 1);
    assert_int_equal(ends[0].count, 3);
    close_kind();
}

static void a_broken_pipe_is_an_error_not_a_death(void **state)
{
    int fds[2];
    struct stream *w;
    (void)state;
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(stream_from_fd(loop, fds[1], -1, &w), 0);
    take(0, w);
    take(1, w);
    (void)close(fds[0]);
    assert_true(stream_write(w, "abc", 3) >= 0);
    turn(5);
    assert_int_equal(ends[1].errors, 1);
    assert_int_equal(stream_write(w, "abc", 3), -EPIPE);
    ends[0].s = NULL;
    close_kind();
}

static struct err connect_error;

static void on_failed(void *arg, struct stream *s, const struct err *err)
{
    assert_null(s);
    connect_error = *err;
    *(int *)arg = 1;
}

static void connects_fail_with_a_sentence(void **state)
{
    int done = 0;
    (void)state;
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_non_null(tcp_connect(loop, "127.0.0.1", 1, 0, on_failed, &done));
    while (!done) {
        turn(1);
    }
    assert_string_equal(connect_error.text, "connect to 127.0.0.1:1: the connection was refused");
    done = 0;
    assert_non_null(unix_connect(loop, "/tmp/no/such/socket", on_failed, &done));
    while (!done) {
        turn(1);
    }
    assert_int_equal(connect_error.code, -E_NOENT);
    struct io_connect *c = tcp_connect(loop, "localhost", 1, 0, on_failed, &done);
    turn(1);
    io_connect_cancel(c); /* while it resolves */
    loop_free(loop);
}

static void a_unix_listener_replaces_a_stale_socket_only(void **state)
{
    struct listener *a, *b;
    char path[64];
    struct err err;
    struct stream *s = NULL;
    (void)state;
    (void)snprintf(path, sizeof path, "/tmp/io-test-%d.sock", (int)getpid());
    assert_int_equal(loop_new(&loop, NULL), 0);
    assert_int_equal(unix_listen(loop, path, 0600, on_accept, &s, &a, &err), 0);
    assert_int_equal(unix_listen(loop, path, 0600, on_accept, &s, &b, &err), -EADDRINUSE);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)close(fd);
    listener_close(a);
    assert_int_equal(access(path, F_OK), -1);
    stream_close(s);
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_arrive_in_order),
        cmocka_unit_test(the_queue_tells_and_drains),
        cmocka_unit_test(a_queue_over_the_hard_limit_takes_no_more),
        cmocka_unit_test(after_a_shutdown_the_other_direction_still_works),
        cmocka_unit_test(a_closed_peer_is_seen),
        cmocka_unit_test(a_finished_stream_loses_nothing),
        cmocka_unit_test(reading_stops_where_it_is_told_to),
        cmocka_unit_test(a_stream_may_be_closed_inside_its_callback),
        cmocka_unit_test(pipes_carry_one_direction_each),
        cmocka_unit_test(a_broken_pipe_is_an_error_not_a_death),
        cmocka_unit_test(connects_fail_with_a_sentence),
        cmocka_unit_test(a_unix_listener_replaces_a_stale_socket_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The reverse tunnel: a child dials its parent over TLS, then the parent asks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/mem.h"
#include "io/tcp.h"
#include "loopback_fixture.h"
#include "net/tunnel.h"

/* child: the fixture (its server has the handler). parent: a server of its own that accepts
 * tunnels. */
struct pair {
    struct loopback child;
    struct http_server *parent;
    struct tls_ctx *parent_tls;
    struct http_client *dialler; /* the child's client of the parent */
    struct tls_ctx *dialler_tls;
    struct tunnel_parent *accepted;
    struct tunnel_child *dialled;
    int64_t ping_ms;
    bool up, child_down, parent_down;
    char why[256];
    struct listener *relay; /* a middle man that can go silent */
    struct stream *relay_in, *relay_out;
    bool deaf;
    uint16_t parent_port;
};

static void on_parent_down(void *arg, const struct err *err)
{
    struct pair *p = arg;
    (void)err;
    p->parent_down = true;
    p->accepted = NULL;
}

static void on_up(void *arg)
{
    ((struct pair *)arg)->up = true;
}

static void on_down(void *arg, const struct err *err)
{
    struct pair *p = arg;
    p->child_down = true;
    p->dialled = NULL;
    (void)cstr_copy(p->why, sizeof p->why, err->text);
}

static void parent_handler(struct http_exchange *x, void *arg)
{
    struct pair *p = arg;
    if (!str_is(http_exchange_request(x)->path, "/tunnel")) {
        http_reply_text(x, 403, "text/plain", STR_LIT("no"));
        return;
    }
    p->accepted = tunnel_accept(x, "node-1", p->ping_ms, on_parent_down, p);
    if (!p->accepted) {
        http_reply_text(x, 400, "text/plain", STR_LIT("not a tunnel"));
    }
}

static void dial(struct pair *p, const char *path)
{
    const struct tunnel_child_config cfg = {.client = p->dialler,
                                            .path = path,
                                            .server = p->child.server,
                                            .identity = "the parent",
                                            .ping_ms = p->ping_ms,
                                            .up = on_up,
                                            .down = on_down,
                                            .arg = p};
    p->dialled = tunnel_child_start(&cfg);
    assert_non_null(p->dialled);
}

static void open_pair(struct pair *p, int64_t ping_ms, bool relayed);

static void close_pair(struct pair *p)
{
    tunnel_child_stop(p->dialled);
    tunnel_parent_close(p->accepted);
    http_client_free(p->dialler);
    http_server_free(p->parent);
    listener_close(p->relay);
    stream_close(p->relay_in);
    stream_close(p->relay_out);
    tls_ctx_unref(p->parent_tls);
    tls_ctx_unref(p->dialler_tls);
    loopback_close(&p->child);
}

/* ---- a relay between the two that can stop passing bytes without closing ---- */

static void relay_up(void *arg, const char *data, size_t n)
{
    struct pair *p = arg;
    if (!p->deaf && p->relay_out) {
        (void)stream_write(p->relay_out, data, n);
    }
}

static void relay_down(void *arg, const char *data, size_t n)
{
    struct pair *p = arg;
    if (!p->deaf && p->relay_in) {
        (void)stream_write(p->relay_in, data, n);
    }
}

static void relay_connected(void *arg, struct stream *s, const struct err *err)
{
    static const struct stream_events in = {.on_read = relay_up}, out = {.on_read = relay_down};
    struct pair *p = arg;
    (void)err;
    assert_non_null(s);
    p->relay_out = s;
    stream_set_events(s, &out, p);
    stream_read_start(s);
    stream_set_events(p->relay_in, &in, p);
    stream_read_start(p->relay_in);
}

static void relay_accept(void *arg, struct stream *s)
{
    struct pair *p = arg;
    assert_null(p->relay_in);
    p->relay_in = s;
    assert_non_null(tcp_connect(p->child.loop, "127.0.0.1", p->parent_port, 0, relay_connected, p));
}

static void open_pair(struct pair *p, int64_t ping_ms, bool relayed)
{
    *p = (struct pair){.ping_ms = ping_ms};
    loopback_open(&p->child, OVER_TLS);
    struct pki *k = &p->child.pki;
    const struct tls_config server = {.cert_pem = str_of(k->server_cert),
                                      .key_pem = str_of(k->server_key),
                                      .ca_pem = str_of(k->ca_cert),
                                      .h2 = true};
    const struct tls_config client = {.cert_pem = str_of(k->client_cert),
                                      .key_pem = str_of(k->client_key),
                                      .ca_pem = str_of(k->ca_cert)};
    assert_int_equal(tls_server_new(&server, &p->parent_tls, NULL), 0);
    assert_int_equal(tls_client_new(&client, &p->dialler_tls, NULL), 0);
    const struct http_server_config sc = {
        .loop = p->child.loop, .handler = parent_handler, .arg = p};
    assert_int_equal(http_server_new(&sc, &p->parent), 0);
    assert_int_equal(
        http_server_listen_tcp(p->parent, "127.0.0.1", 0, p->parent_tls, &p->parent_port, NULL), 0);
    uint16_t port = p->parent_port;
    if (relayed) {
        assert_int_equal(
            tcp_listen(p->child.loop, "127.0.0.1", 0, relay_accept, p, &p->relay, NULL), 0);
        port = listener_port(p->relay);
    }
    const struct http_client_config cc = {.loop = p->child.loop,
                                          .host = "127.0.0.1",
                                          .port = port,
                                          .tls = p->dialler_tls,
                                          .protocol = HTTP_PROTOCOL_1};
    assert_int_equal(http_client_new(&cc, &p->dialler), 0);
}

static void establish(struct pair *p)
{
    dial(p, "/tunnel");
    loopback_wait(&p->child, &p->up);
    for (int i = 0; i < 500 && !p->accepted; i++) {
        loopback_turn(&p->child, 2);
    }
    assert_non_null(p->accepted);
    http_client_free(p->child.client); /* fetch() goes through the tunnel from here on */
    p->child.client = tunnel_client(p->accepted);
}

/* ---- the tests ---- */

static void the_parent_asks_and_the_child_answers(void **state)
{
    struct pair p;
    struct answer a[100], s, big;
    (void)state;
    open_pair(&p, 0, false);
    establish(&p);
    (void)fetch_start(&p.child, &s, "GET", "/stream?n=5000000", STR_NULL);
    for (int i = 0; i < 100; i++) {
        (void)fetch_start(&p.child, &a[i], "GET", i % 2 ? "/late" : "/peer", STR_NULL);
    }
    for (int i = 0; i < 100; i++) {
        loopback_wait(&p.child, &a[i].done);
        assert_int_equal(a[i].code, 0);
        assert_int_equal(a[i].status, 200);
        if (i % 2 == 0) {
            assert_true(str_ends(buf_str(&a[i].body), "id=the parent"));
        }
        answer_free(&a[i]);
    }
    loopback_wait(&p.child, &s.done);
    assert_int_equal(buf_len(&s.body), 5000000);
    char *text = mem_zalloc(1000000);
    fetch(&p.child, &big, "POST", "/echo", str_n(text, 1000000));
    assert_int_equal(buf_len(&big.body), 1000000);
    mem_free(text);
    answer_free(&big);
    answer_free(&s);
    p.child.client = NULL;
    close_pair(&p);
}

static void each_side_learns_that_the_other_has_gone(void **state)
{
    struct pair p;
    struct answer a;
    (void)state;
    open_pair(&p, 0, false);
    establish(&p);
    (void)fetch_start(&p.child, &a, "GET", "/never", STR_NULL);
    loopback_turn(&p.child, 20);
    tunnel_child_stop(p.dialled);
    p.dialled = NULL;
    loopback_wait(&p.child, &p.parent_down);
    assert_true(a.done && a.code < 0);
    assert_int_equal(p.child.lost, 1);
    assert_false(p.child_down);
    p.child.client = NULL;
    p.up = false;

    dial(&p, "/tunnel");
    loopback_wait(&p.child, &p.up);
    for (int i = 0; i < 500 && !p.accepted; i++) {
        loopback_turn(&p.child, 2);
    }
    tunnel_parent_close(p.accepted);
    p.accepted = NULL;
    loopback_wait(&p.child, &p.child_down);
    answer_free(&a);
    close_pair(&p);
}

static void a_silent_line_is_declared_dead_by_both(void **state)
{
    struct pair p;
    struct answer a;
    (void)state;
    open_pair(&p, 50, true);
    establish(&p);
    loopback_turn(&p.child, 400); /* pings keep it alive */
    assert_false(p.parent_down || p.child_down);
    fetch(&p.child, &a, "GET", "/hello", STR_NULL);
    assert_int_equal(a.code, 0);
    answer_free(&a);
    p.deaf = true;
    loopback_wait(&p.child, &p.parent_down);
    loopback_wait(&p.child, &p.child_down);
    p.child.client = NULL;
    close_pair(&p);
}

static void a_refused_tunnel_says_why(void **state)
{
    struct pair p;
    (void)state;
    open_pair(&p, 0, false);
    dial(&p, "/other");
    loopback_wait(&p.child, &p.child_down);
    assert_string_equal(p.why, "the parent refused the tunnel with status 403");
    close_pair(&p);
}

static void a_tunnel_may_be_stopped_while_it_dials(void **state)
{
    struct pair p;
    (void)state;
    for (int turns = 0; turns < 40; turns++) {
        open_pair(&p, 0, false);
        dial(&p, "/tunnel");
        for (int i = 0; i < turns; i++) {
            loop_run_ready(p.child.loop);
        }
        tunnel_child_stop(p.dialled);
        p.dialled = NULL;
        loopback_turn(&p.child, 5);
        close_pair(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parent_asks_and_the_child_answers),
        cmocka_unit_test(each_side_learns_that_the_other_has_gone),
        cmocka_unit_test(a_silent_line_is_declared_dead_by_both),
        cmocka_unit_test(a_refused_tunnel_says_why),
        cmocka_unit_test(a_tunnel_may_be_stopped_while_it_dials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

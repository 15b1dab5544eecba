/* SPDX-License-Identifier: Apache-2.0 */
/* A server and a client in one process; see loopback_fixture.h. */
#include "loopback_fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/mem.h"
#include "io/x509.h"
#include "net/ws.h"

#define PIECE ((size_t)16 << 10)
#define HIGH_WATER ((ssize_t)256 << 10)

/* ---- certificates ---- */

static char *issue(const struct pki *p, const char *key, const char *cn, const char *org,
                   unsigned use, int64_t seconds, bool by_other)
{
    const char *orgs[] = {org, NULL}, *sans[] = {"localhost", "127.0.0.1", NULL};
    const struct x509_profile profile = {.subject = {.cn = cn, .orgs = orgs},
                                         .use = use,
                                         .sans = use & X509_USE_SERVER ? sans : NULL,
                                         .seconds = seconds};
    char *cert = NULL;
    struct err err;
    int rc = x509_sign(by_other ? p->other_ca_cert : p->ca_cert,
                       by_other ? p->other_ca_key : p->ca_key, key, NULL, &profile, &cert, &err);
    assert_int_equal(rc, 0);
    return cert;
}

void pki_make(struct pki *p)
{
    assert_int_equal(x509_ca_new("test-ca", 3600, &p->ca_cert, &p->ca_key, NULL), 0);
    assert_int_equal(x509_ca_new("other-ca", 3600, &p->other_ca_cert, &p->other_ca_key, NULL), 0);
    assert_int_equal(x509_key_new(&p->server_key, NULL), 0);
    assert_int_equal(x509_key_new(&p->client_key, NULL), 0);
    p->server_cert = issue(p, p->server_key, "server", "o", X509_USE_SERVER, 3600, false);
    p->client_cert =
        issue(p, p->client_key, "system:node:n1", "system:nodes", X509_USE_CLIENT, 3600, false);
    p->expired_cert = issue(p, p->client_key, "old", "o", X509_USE_CLIENT, -60, false);
    p->unknown_cert = issue(p, p->client_key, "mallory", "o", X509_USE_CLIENT, 3600, true);
}

void pki_free(struct pki *p)
{
    char **all[] = {&p->ca_cert,      &p->ca_key,      &p->other_ca_cert, &p->other_ca_key,
                    &p->server_cert,  &p->server_key,  &p->client_key,    &p->client_cert,
                    &p->expired_cert, &p->unknown_cert};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        mem_free(*all[i]);
        *all[i] = NULL;
    }
}

/* ---- the handler ---- */

struct producer {
    struct loopback *b;
    struct http_exchange *x;
    size_t left;
};

static void produce(void *arg)
{
    static const char piece[PIECE];
    struct producer *p = arg;
    while (p->left) {
        size_t n = MIN_OF(p->left, PIECE);
        ssize_t queued = http_reply_write(p->x, str_n(piece, n));
        assert_true(queued >= 0);
        p->left -= n;
        p->b->max_queued = MAX_OF(p->b->max_queued, (size_t)queued);
        if (queued > HIGH_WATER) {
            return;
        }
    }
    http_reply_end(p->x);
    mem_free(p);
}

static void producer_drained(void *arg)
{
    struct producer *p = arg;
    p->b->drained++;
    produce(arg);
}

static void producer_lost(void *arg)
{
    struct producer *p = arg;
    p->b->lost++;
    mem_free(p);
}

static void reply_stream(struct loopback *b, struct http_exchange *x)
{
    uint64_t n = 0;
    const char *text = http_query_get(http_exchange_arena(x), http_exchange_request(x)->query, "n");
    assert_int_equal(str_u64(str_of(text), &n), 0);
    struct producer *p = mem_zalloc(sizeof *p);
    *p = (struct producer){.b = b, .x = x, .left = (size_t)n};
    http_exchange_on_close(x, producer_lost, p);
    http_exchange_on_drain(x, producer_drained, p);
    assert_int_equal(http_reply_start(x, 200, NULL, 0), 0);
    produce(p);
}

struct late {
    struct loopback *b;
    struct http_exchange *x;
    struct io_timer timer;
};

static void late_reply(void *arg)
{
    struct late *l = arg;
    http_reply_text(l->x, 200, "text/plain", STR_LIT("late"));
    mem_free(l);
}

static void late_lost(void *arg)
{
    struct late *l = arg;
    l->b->lost++;
    io_timer_stop(&l->timer);
    mem_free(l);
}

static void reply_late(struct loopback *b, struct http_exchange *x, int64_t ms)
{
    struct late *l = mem_zalloc(sizeof *l);
    l->b = b;
    l->x = x;
    io_timer_init(b->loop, &l->timer, late_reply, l);
    io_timer_start(&l->timer, ms, 0);
    http_exchange_on_close(x, late_lost, l);
}

static void echo_body(struct http_exchange *x, struct str body, void *arg)
{
    struct loopback *b = arg;
    b->received = body.n;
    http_reply_text(x, 200, "application/octet-stream", body);
}

struct slow {
    struct loopback *b;
    struct http_exchange *x;
    struct io_timer timer;
    size_t n;
    int pauses;
};

static void slow_resume(void *arg)
{
    struct slow *s = arg;
    http_exchange_pause_body(s->x, false);
}

static void slow_lost(void *arg)
{
    struct slow *s = arg;
    s->b->lost++;
    io_timer_stop(&s->timer);
    mem_free(s);
}

static void slow_data(struct http_exchange *x, struct str data, void *arg)
{
    struct slow *s = arg;
    s->n += data.n;
    s->b->received = s->n;
    if (data.n == 0) {
        char text[32];
        (void)snprintf(text, sizeof text, "%zu", s->n);
        io_timer_stop(&s->timer);
        mem_free(s);
        http_reply_text(x, 200, "text/plain", str_of(text));
    } else if (s->pauses < 20) {
        s->pauses++;
        http_exchange_pause_body(x, true);
        io_timer_start(&s->timer, 2, 0);
    }
}

static void reply_slow(struct loopback *b, struct http_exchange *x)
{
    struct slow *s = mem_zalloc(sizeof *s);
    s->b = b;
    s->x = x;
    io_timer_init(b->loop, &s->timer, slow_resume, s);
    http_exchange_on_close(x, slow_lost, s);
    http_exchange_read_body(x, slow_data, s);
}

struct echo {
    struct loopback *b;
    struct stream *s;
};

static void echo_on_read(void *arg, const char *data, size_t n)
{
    struct echo *e = arg;
    assert_true(stream_write(e->s, data, n) >= 0);
}

static void echo_end(struct echo *e)
{
    e->b->upgraded_ended++;
    stream_finish(e->s);
    mem_free(e);
}

static void echo_on_eof(void *arg)
{
    echo_end(arg);
}

static void echo_on_error(void *arg, int code)
{
    (void)code;
    echo_end(arg);
}

static void reply_up(struct loopback *b, struct http_exchange *x)
{
    static const struct stream_events ev = {
        .on_read = echo_on_read, .on_eof = echo_on_eof, .on_error = echo_on_error};
    struct stream *s =
        http_exchange_wants_stream(x, "echo") ? http_exchange_stream(x, "echo", NULL, 0) : NULL;
    if (!s) {
        http_reply_text(x, 426, "text/plain", STR_LIT("upgrade to echo"));
        return;
    }
    struct echo *e = mem_zalloc(sizeof *e);
    e->b = b;
    e->s = s;
    stream_set_events(s, &ev, e);
    stream_read_start(s);
}

static void ws_echo(struct ws *w, void *arg, bool binary, struct str data)
{
    (void)arg;
    (void)ws_send(w, binary, data);
}

static void ws_over(struct ws *w, void *arg, int code, struct str reason)
{
    struct loopback *b = arg;
    (void)w;
    (void)code;
    (void)reason;
    b->upgraded_ended++;
}

static void reply_ws(struct loopback *b, struct http_exchange *x)
{
    static const struct ws_events ev = {.on_message = ws_echo, .on_close = ws_over};
    if (!ws_wanted(x) || !ws_accept(x, ws_offers(x, "a") ? "a" : NULL, &ev, b)) {
        http_reply_text(x, 400, "text/plain", STR_LIT("not a WebSocket"));
    }
}

static void reply_peer(struct http_exchange *x)
{
    struct http_peer p;
    char text[512];
    http_exchange_peer(x, &p);
    const struct tls_peer *c = p.stream.cert;
    (void)snprintf(text, sizeof text, "uid=%d pid=%d tls=%d cn=%s o=%s verified=%d error=%s id=%s",
                   (int)p.stream.uid, (int)p.stream.pid, p.stream.tls, c ? c->cn : "-",
                   c && c->orgs[0] ? c->orgs[0] : "-", c && c->verified, c ? c->error : "-",
                   p.identity ? p.identity : "-");
    http_reply_text(x, 200, "text/plain", str_of(text));
}

static void handle(struct http_exchange *x, void *arg)
{
    struct loopback *b = arg;
    const struct http_request *r = http_exchange_request(x);
    b->requests++;
    if (str_is(r->path, "/hello")) {
        http_reply_text(x, 200, "text/plain", STR_LIT("hello"));
    } else if (str_is(r->path, "/echo")) {
        http_exchange_collect_body(x, (size_t)4 << 20, echo_body, b);
    } else if (str_is(r->path, "/late")) {
        reply_late(b, x, 20);
    } else if (str_is(r->path, "/never")) {
        reply_late(b, x, 3600000);
    } else if (str_is(r->path, "/stream")) {
        reply_stream(b, x);
    } else if (str_is(r->path, "/slow")) {
        reply_slow(b, x);
    } else if (str_is(r->path, "/up")) {
        reply_up(b, x);
    } else if (str_is(r->path, "/ws")) {
        reply_ws(b, x);
    } else if (str_is(r->path, "/peer")) {
        reply_peer(x);
    } else {
        http_reply_text(x, 404, "text/plain", STR_LIT("no such path"));
    }
}

static const char *error_body(void *arg, int status, const char *text, struct buf *body)
{
    (void)arg;
    (void)buf_printf(body, "{\"code\":%d,\"message\":\"%s\"}", status, text);
    return "application/json";
}

/* ---- both sides ---- */

static void make_tls(struct loopback *b)
{
    pki_make(&b->pki);
    const struct tls_config server = {.cert_pem = str_of(b->pki.server_cert),
                                      .key_pem = str_of(b->pki.server_key),
                                      .ca_pem = str_of(b->pki.ca_cert),
                                      .h2 = true};
    const struct tls_config client = {.ca_pem = str_of(b->pki.ca_cert),
                                      .h2 = b->transport == OVER_H2};
    assert_int_equal(tls_server_new(&server, &b->server_tls, NULL), 0);
    assert_int_equal(tls_client_new(&client, &b->client_tls, NULL), 0);
}

static void open_client(struct loopback *b)
{
    const struct http_client_config cfg = {.loop = b->loop,
                                           .host = "127.0.0.1",
                                           .port = b->port,
                                           .unix_path = b->transport == OVER_UNIX ? b->path : NULL,
                                           .tls = b->client_tls};
    struct stream *ends[2];
    if (b->transport != OVER_PAIR_H2) {
        assert_int_equal(http_client_new(&cfg, &b->client), 0);
        return;
    }
    assert_int_equal(stream_pair(b->loop, ends), 0);
    assert_int_equal(http_server_serve(b->server, ends[0], HTTP_PROTOCOL_AUTO, "pair", NULL, NULL),
                     0);
    assert_int_equal(http_client_from_stream(b->loop, ends[1], HTTP_PROTOCOL_2, "pair", 0, NULL,
                                             NULL, &b->client),
                     0);
}

void loopback_open(struct loopback *b, enum transport t)
{
    struct err err;
    *b = (struct loopback){.transport = t};
    assert_int_equal(loop_new(&b->loop, &err), 0);
    const struct http_server_config cfg = {
        .loop = b->loop, .handler = handle, .arg = b, .error_body = error_body};
    assert_int_equal(http_server_new(&cfg, &b->server), 0);
    if (t == OVER_TLS || t == OVER_H2) {
        make_tls(b);
    }
    if (t == OVER_UNIX) {
        (void)snprintf(b->path, sizeof b->path, "/tmp/net-test-%d.sock", (int)getpid());
        assert_int_equal(http_server_listen_unix(b->server, b->path, 0600, &err), 0);
    } else {
        assert_int_equal(
            http_server_listen_tcp(b->server, "127.0.0.1", 0, b->server_tls, &b->port, &err), 0);
    }
    open_client(b);
}

void loopback_close(struct loopback *b)
{
    http_client_free(b->client);
    http_server_free(b->server);
    tls_ctx_unref(b->server_tls);
    tls_ctx_unref(b->client_tls);
    pki_free(&b->pki);
    loop_free(b->loop);
}

void loopback_wait(struct loopback *b, const bool *flag)
{
    int64_t end = mono_now().us + 20000000;
    while (!*flag && mono_now().us < end) {
        loop_run_ready(b->loop);
        if (!*flag) {
            struct timespec ts = {.tv_nsec = 20000};
            (void)nanosleep(&ts, NULL);
        }
    }
    assert_true(*flag);
}

void loopback_turn(struct loopback *b, int64_t ms)
{
    int64_t end = mono_now().us + ms * 1000;
    while (mono_now().us < end) {
        loop_run_ready(b->loop);
        struct timespec ts = {.tv_nsec = 50000};
        (void)nanosleep(&ts, NULL);
    }
}

static void on_fetched(void *arg, int code, const struct http_response *r, struct str body,
                       const struct err *err)
{
    struct answer *a = arg;
    a->done = true;
    a->code = code;
    if (code == 0) {
        struct str type = http_header_get(&r->headers, "content-type");
        a->status = r->status;
        assert_int_equal(buf_append_str(&a->body, body), 0);
        (void)snprintf(a->content_type, sizeof a->content_type, STR_FMT, STR_ARG(type));
    } else {
        (void)cstr_copy(a->error, sizeof a->error, err->text);
    }
}

struct http_fetch *fetch_start(struct loopback *b, struct answer *a, const char *method,
                               const char *path, struct str body)
{
    const struct http_call_request req = {.method = method, .path = path, .body = body};
    *a = (struct answer){0};
    struct http_fetch *f = http_fetch(b->client, &req, (size_t)64 << 20, on_fetched, a);
    assert_non_null(f);
    assert_false(a->done);
    return f;
}

void fetch(struct loopback *b, struct answer *a, const char *method, const char *path,
           struct str body)
{
    (void)fetch_start(b, a, method, path, body);
    loopback_wait(b, &a->done);
}

void answer_free(struct answer *a)
{
    buf_fini(&a->body);
}

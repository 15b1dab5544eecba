/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The TLS stream and the handshake that makes one; see tls.h.
 *
 *     user --write--> out (plain) --SSL_write--> BIO --stream_write--> lower
 *     user <--read--- stack buffer <--SSL_read-- BIO <- `in` (the lower stream's chunk)
 *
 * OpenSSL talks to the lower stream through a BIO of our own that holds no bytes: it reads from the
 * chunk at hand and writes into the lower stream's queue. Only ciphertext that came while the user
 * does not read is kept (in_left).
 *
 * Invariant: user callbacks are never called while OpenSSL is on the stack.
 */
#include "tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "io/loop.h"
#include "io/stream_impl.h"
#include "tls_private.h"

#define RECORD ((size_t)16 << 10)
#define DIRECT_WRITE ((size_t)32 << 10)
#define LOWER_MAX                                                                   \
    ((ssize_t)128 << 10) /* bytes in the lower queue above which we stop encrypting \
                          */
#define HANDSHAKE_MS 10000

struct tls_stream {
    struct stream base;
    struct stream *lower;
    struct tls_ctx *ctx;
    SSL *ssl;
    struct tls_verdict verdict;
    struct tls_peer *peer; /* made when somebody asks */
    struct str in;         /* ciphertext at hand */
    struct buf in_left;    /* ciphertext that waits for the user to read */
    struct buf out;        /* plaintext that waits for the lower queue */
    struct io_task task, free_task;
    int failed;
    int lower_rc; /* of the last write to the lower stream */
    bool deaf;    /* the peer does not take bytes any more; what it sent is still read */
    bool reading, lower_eof, eof, told_error, drain, ending, shut, cut;
};

struct tls_handshake {
    struct tls_stream *s;
    struct io_timer timer;
    struct io_task begin;
    tls_done_fn *done;
    void *arg;
};

/* ---- the BIO ---- */

static int bio_read(BIO *b, char *out, int n)
{
    struct tls_stream *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    if (s->in.n == 0) {
        if (!s->lower_eof) {
            BIO_set_retry_read(b);
            return -1;
        }
        s->cut = true;
        return 0;
    }
    size_t take = MIN_OF((size_t)n, s->in.n);
    memcpy(out, s->in.p, take);
    s->in.p += take;
    s->in.n -= take;
    return (int)take;
}

static int bio_write(BIO *b, const char *data, int n)
{
    struct tls_stream *s = BIO_get_data(b);
    BIO_clear_retry_flags(b);
    ssize_t rc = stream_write(s->lower, data, (size_t)n);
    s->lower_rc = rc < 0 ? (int)rc : 0;
    return rc < 0 ? -1 : n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    (void)b;
    (void)num;
    (void)ptr;
    return cmd == BIO_CTRL_FLUSH;
}

static int bio_create(BIO *b)
{
    BIO_set_init(b, 1);
    return 1;
}

static BIO *bio_new(struct tls_stream *s)
{
    static BIO_METHOD *method; /* one for the process, never freed */
    if (!method) {
        method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "stream");
        if (!method) {
            return NULL;
        }
        (void)BIO_meth_set_read(method, bio_read); /* setters of a fresh struct do not fail */
        (void)BIO_meth_set_write(method, bio_write);
        (void)BIO_meth_set_ctrl(method, bio_ctrl);
        (void)BIO_meth_set_create(method, bio_create);
    }
    BIO *b = BIO_new(method);
    if (b) {
        BIO_set_data(b, s);
    }
    return b;
}

/* ---- failures ---- */

static void fail(struct tls_stream *s, int code)
{
    if (!s->failed) {
        s->failed = code;
        buf_fini(&s->out);
        loop_defer(s->base.loop, &s->task);
    }
}

/* ---- writing ---- */

/* Encrypts while the lower queue has room; returns the bytes taken. */
static size_t encrypt(struct tls_stream *s, const char *p, size_t n)
{
    size_t done = 0;
    while (done < n && !s->failed && stream_queued(s->lower) < LOWER_MAX) {
        ERR_clear_error();
        int rc = SSL_write(s->ssl, p + done, (int)MIN_OF(n - done, RECORD));
        if (rc <= 0 && s->lower_rc == -EPIPE) {
            s->deaf = true; /* the lower stream tells its error when all is read */
            return n;
        }
        if (rc <= 0) {
            fail(s, s->lower_rc < 0 ? s->lower_rc : -EPROTO);
        } else {
            done += (size_t)rc;
        }
    }
    return done;
}

static void pump_out(struct tls_stream *s)
{
    if (buf_len(&s->out)) {
        size_t n = encrypt(s, buf_data(&s->out), buf_len(&s->out));
        if (!s->failed) {
            buf_consume(&s->out, n);
        }
    }
    if (buf_len(&s->out) == 0) {
        buf_fini(&s->out);
        if (s->ending && !s->shut && !s->failed && !s->deaf) {
            s->shut = true;
            ERR_clear_error();
            (void)SSL_shutdown(s->ssl); /* queues close_notify */
            stream_shutdown(s->lower);
        }
    }
    stream_flush(s->lower);
}

static ssize_t tls_queued(const struct stream *base)
{
    const struct tls_stream *s = (const struct tls_stream *)base;
    return (ssize_t)buf_len(&s->out) + stream_queued(s->lower);
}

static ssize_t tls_writev(struct stream *base, const struct str *parts, size_t n_parts)
{
    struct tls_stream *s = (struct tls_stream *)base;
    size_t total = 0, done = 0;
    if (s->failed || s->ending || s->deaf) {
        return -EPIPE;
    }
    if (tls_queued(base) > LIMIT_WRITE_QUEUE_HARD) {
        return -E_LIMIT;
    }
    for (size_t i = 0; i < n_parts; i++) {
        total += parts[i].n;
    }
    if (buf_len(&s->out) + total >= DIRECT_WRITE) {
        pump_out(s);
        for (size_t i = 0; i < n_parts && buf_len(&s->out) == 0; i++) {
            size_t n = encrypt(s, parts[i].p, parts[i].n);
            done += n;
            if (n < parts[i].n) {
                break;
            }
        }
        if (s->failed || s->deaf) {
            return -EPIPE;
        }
    }
    if (total > done && !buf_reserve(&s->out, total - done)) {
        s->out.failed = false;
        if (done) {
            fail(s, -ENOMEM); /* a part is on its way: the stream cannot be mended */
        }
        return -ENOMEM;
    }
    for (size_t i = 0; i < n_parts; i++) {
        size_t skip = MIN_OF(done, parts[i].n);
        done -= skip;
        (void)buf_append(&s->out, parts[i].p + skip, parts[i].n - skip); /* reserved above */
    }
    loop_defer(base->loop, &s->task);
    ssize_t queued = tls_queued(base);
    s->drain |= queued >= STREAM_LOW_WATER;
    return queued;
}

static void tls_flush(struct stream *base)
{
    struct tls_stream *s = (struct tls_stream *)base;
    if (!s->failed) {
        pump_out(s);
    }
}

/* ---- reading ---- */

static void keep_rest(struct tls_stream *s)
{
    if (s->in.n && buf_append(&s->in_left, s->in.p, s->in.n) < 0) {
        fail(s, -ENOMEM);
    }
    s->in = STR_NULL;
}

static void read_failed(struct tls_stream *s, int ssl_error)
{
    if (ssl_error == SSL_ERROR_ZERO_RETURN) {
        s->eof = true;
        stream_read_stop(s->lower);
        stream_emit_eof(&s->base);
    } else if (ssl_error != SSL_ERROR_WANT_READ && ssl_error != SSL_ERROR_WANT_WRITE) {
        fail(s, s->cut ? -ECONNRESET : -EPROTO);
    }
}

/* Decrypts `in` and gives it to the user until all is used or the user has enough. */
static void decrypt(struct tls_stream *s)
{
    char plain[RECORD];
    while (s->reading && !s->eof && !s->failed && !s->base.closed) {
        ERR_clear_error();
        int n = SSL_read(s->ssl, plain, sizeof plain);
        if (n <= 0) {
            read_failed(s, SSL_get_error(s->ssl, n));
            return;
        }
        stream_emit_read(&s->base, plain, (size_t)n);
    }
}

static void decrypt_left(struct tls_stream *s)
{
    struct buf left = s->in_left;
    buf_init(&s->in_left, 0);
    s->in = buf_str(&left);
    decrypt(s);
    if (!s->base.closed) {
        keep_rest(s);
    }
    s->in = STR_NULL;
    buf_fini(&left);
}

static void settle(struct tls_stream *s)
{
    if (!s->base.closed && !s->failed && s->drain && tls_queued(&s->base) < STREAM_LOW_WATER) {
        s->drain = false;
        stream_emit_drain(&s->base);
    }
    if (!s->base.closed && s->failed && !s->told_error) {
        s->told_error = true;
        io_task_cancel(&s->task);
        stream_read_stop(s->lower);
        stream_emit_error(&s->base, s->failed);
    }
}

static void on_task(void *arg)
{
    struct tls_stream *s = arg;
    if (!s->failed) {
        pump_out(s);
    }
    if (s->reading && !s->eof && !s->failed) {
        decrypt_left(s);
    }
    settle(s);
}

static void lower_on_read(void *arg, const char *data, size_t n)
{
    struct tls_stream *s = arg;
    s->in = str_n(data, n);
    if (buf_len(&s->in_left)) {
        keep_rest(s);
        decrypt_left(s);
    } else {
        decrypt(s);
        if (!s->base.closed) {
            keep_rest(s);
        }
    }
    settle(s);
}

static void lower_on_eof(void *arg)
{
    struct tls_stream *s = arg;
    s->lower_eof = true;
    decrypt_left(s);
    settle(s);
}

static void lower_on_error(void *arg, int code)
{
    struct tls_stream *s = arg;
    fail(s, code);
    settle(s);
}

static void lower_on_drain(void *arg)
{
    on_task(arg);
}

static const struct stream_events lower_events = {
    .on_read = lower_on_read,
    .on_eof = lower_on_eof,
    .on_error = lower_on_error,
    .on_drain = lower_on_drain,
};

static void tls_read_start(struct stream *base)
{
    struct tls_stream *s = (struct tls_stream *)base;
    if (!s->reading && !s->failed && !s->eof) {
        s->reading = true;
        stream_read_start(s->lower);
        loop_defer(base->loop, &s->task); /* what OpenSSL or in_left hold already */
    }
}

static void tls_read_stop(struct stream *base)
{
    struct tls_stream *s = (struct tls_stream *)base;
    s->reading = false;
    stream_read_stop(s->lower);
}

static void tls_shutdown(struct stream *base)
{
    struct tls_stream *s = (struct tls_stream *)base;
    s->ending = true;
    loop_defer(base->loop, &s->task);
}

/* ---- life ---- */

static void free_stream(void *arg)
{
    struct tls_stream *s = arg;
    SSL_free(s->ssl);
    tls_ctx_unref(s->ctx);
    mem_free(s->peer);
    buf_fini(&s->in_left);
    buf_fini(&s->out);
    mem_free(s);
}

static void tls_close(struct stream *base)
{
    struct tls_stream *s = (struct tls_stream *)base;
    if (!s->failed && !s->shut) {
        ERR_clear_error();
        (void)SSL_shutdown(s->ssl); /* close_notify, as far as it goes */
    }
    io_task_cancel(&s->task);
    stream_close(s->lower);
    s->lower = NULL;
    s->in = STR_NULL;
    loop_defer(base->loop, &s->free_task);
}

static void tls_get_peer(struct stream *base, struct stream_peer *ret)
{
    struct tls_stream *s = (struct tls_stream *)base;
    const unsigned char *alpn;
    unsigned n;
    stream_get_peer(s->lower, ret);
    ret->tls = true;
    SSL_get0_alpn_selected(s->ssl, &alpn, &n);
    ret->alpn = n == 2 ? "h2" : n ? "http/1.1" : "";
    X509 *cert = s->peer ? NULL : SSL_get0_peer_certificate(s->ssl);
    if (cert) {
        s->peer = tls_peer_new(cert, s->verdict.error);
    }
    ret->cert = s->peer;
}

static const struct stream_ops tls_ops = {
    .writev = tls_writev,
    .queued = tls_queued,
    .flush = tls_flush,
    .read_start = tls_read_start,
    .read_stop = tls_read_stop,
    .shutdown = tls_shutdown,
    .close = tls_close,
    .get_peer = tls_get_peer,
};

static struct tls_stream *stream_new(struct tls_ctx *c, struct stream *lower)
{
    struct tls_stream *s = mem_zalloc(sizeof *s);
    if (!s) {
        return NULL;
    }
    stream_init(&s->base, &tls_ops, stream_loop(lower));
    io_task_init(&s->task, on_task, s);
    io_task_init(&s->free_task, free_stream, s);
    s->ctx = tls_ctx_ref(c);
    s->verdict.ctx = c;
    s->ssl = SSL_new(c->ssl);
    BIO *bio = s->ssl ? bio_new(s) : NULL;
    if (!bio) {
        free_stream(s);
        return NULL;
    }
    SSL_set_app_data(s->ssl, &s->verdict);
    SSL_set_bio(s->ssl, bio, bio);
    s->lower = lower;
    return s;
}

/* ---- the handshake ---- */

static void free_handshake(struct tls_handshake *h)
{
    io_timer_stop(&h->timer);
    io_task_cancel(&h->begin);
    mem_free(h);
}

/* The lower stream ends politely, so that our alert arrives. */
static void drop_stream(struct tls_stream *s)
{
    stream_finish(s->lower);
    s->lower = NULL;
    s->base.closed = true;
    io_task_cancel(&s->task);
    loop_defer(s->base.loop, &s->free_task);
}

static void handshake_failed(struct tls_handshake *h, int code, const char *text)
{
    struct err err;
    tls_done_fn *done = h->done;
    void *arg = h->arg;
    metric_add(METRIC_TLS_HANDSHAKE_FAILURES, 1);
    (void)err_set(&err, code, "TLS handshake: %s", text);
    drop_stream(h->s);
    free_handshake(h);
    done(arg, NULL, "", &err);
}

static void handshake_done(struct tls_handshake *h)
{
    struct tls_stream *s = h->s;
    tls_done_fn *done = h->done;
    void *arg = h->arg;
    const unsigned char *alpn;
    unsigned n;
    SSL_get0_alpn_selected(s->ssl, &alpn, &n);
    stream_read_stop(s->lower);
    stream_flush(s->lower);
    stream_set_events(s->lower, &lower_events, s);
    free_handshake(h);
    done(arg, &s->base, n == 2 ? "h2" : n ? "http/1.1" : "", NULL);
}

static const char *handshake_error(SSL *ssl, bool cut)
{
    long verdict = SSL_get_verify_result(ssl);
    unsigned long e = ERR_peek_last_error();
    const char *reason = e ? ERR_reason_error_string(e) : NULL;
    if (verdict != X509_V_OK && !SSL_is_server(ssl)) {
        return X509_verify_cert_error_string(verdict);
    }
    return cut ? "the peer closed the connection" : reason ? reason : "protocol error";
}

static void handshake_step(struct tls_handshake *h)
{
    struct tls_stream *s = h->s;
    ERR_clear_error();
    int rc = SSL_do_handshake(s->ssl);
    if (rc == 1) {
        keep_rest(s);
        handshake_done(h);
        return;
    }
    int e = SSL_get_error(s->ssl, rc);
    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
        stream_flush(s->lower);
        return;
    }
    bool cert = !SSL_is_server(s->ssl) && SSL_get_verify_result(s->ssl) != X509_V_OK;
    handshake_failed(h,
                     cert     ? -E_CERT
                     : s->cut ? -ECONNRESET
                              : -EPROTO,
                     handshake_error(s->ssl, s->cut));
}

static void handshake_on_read(void *arg, const char *data, size_t n)
{
    struct tls_handshake *h = arg;
    h->s->in = str_n(data, n);
    handshake_step(h);
}

static void handshake_on_eof(void *arg)
{
    struct tls_handshake *h = arg;
    h->s->lower_eof = true;
    handshake_step(h);
}

static void handshake_on_error(void *arg, int code)
{
    handshake_failed(arg, code, err_text(code));
}

static const struct stream_events handshake_events = {
    .on_read = handshake_on_read,
    .on_eof = handshake_on_eof,
    .on_error = handshake_on_error,
};

static void handshake_begin(void *arg)
{
    struct tls_handshake *h = arg;
    stream_read_start(h->s->lower);
    if (!SSL_is_server(h->s->ssl)) {
        handshake_step(h);
    }
}

static void handshake_timeout(void *arg)
{
    handshake_failed(arg, -ETIMEDOUT, "timed out");
}

static struct tls_handshake *handshake_new(struct tls_ctx *c, struct stream *lower,
                                           int64_t timeout_ms, tls_done_fn *done, void *arg)
{
    struct tls_handshake *h = mem_zalloc(sizeof *h);
    struct tls_stream *s = h ? stream_new(c, lower) : NULL;
    if (!s) {
        mem_free(h);
        stream_close(lower);
        return NULL;
    }
    h->s = s;
    h->done = done;
    h->arg = arg;
    io_timer_init(s->base.loop, &h->timer, handshake_timeout, h);
    io_timer_start(&h->timer, timeout_ms > 0 ? timeout_ms : HANDSHAKE_MS, 0);
    io_task_init(&h->begin, handshake_begin, h);
    stream_set_events(lower, &handshake_events, h);
    loop_defer(s->base.loop, &h->begin);
    return h;
}

struct tls_handshake *tls_accept(struct tls_ctx *c, struct stream *lower, int64_t timeout_ms,
                                 tls_done_fn *done, void *arg)
{
    struct tls_handshake *h = handshake_new(c, lower, timeout_ms, done, arg);
    if (h) {
        SSL_set_accept_state(h->s->ssl);
    }
    return h;
}

/* The name to check: an address is checked against the certificate's addresses (RFC 9110 4.3.5). */
static bool set_name(SSL *ssl, const char *host)
{
    uint8_t ip[16];
    bool is_ip = inet_pton(AF_INET, host, ip) == 1 || inet_pton(AF_INET6, host, ip) == 1;
    if (is_ip) {
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    }
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, host) == 1 && SSL_set_tlsext_host_name(ssl, host) == 1;
}

struct tls_handshake *tls_connect(struct tls_ctx *c, struct stream *lower, const char *host,
                                  int64_t timeout_ms, tls_done_fn *done, void *arg)
{
    struct tls_handshake *h = handshake_new(c, lower, timeout_ms, done, arg);
    if (!h) {
        return NULL;
    }
    SSL_set_connect_state(h->s->ssl);
    if (!set_name(h->s->ssl, c->server_name ? c->server_name : host)) {
        tls_handshake_cancel(h);
        return NULL;
    }
    return h;
}

void tls_handshake_cancel(struct tls_handshake *h)
{
    if (h) {
        drop_stream(h->s);
        free_handshake(h);
    }
}

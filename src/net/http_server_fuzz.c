/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as what a client sends to the whole server, HTTP/1.1 or HTTP/2. The first
 * byte chooses the size of the pieces and when the client leaves; the path's first letter chooses
 * what the handler does. The server must answer or close, and nothing may be left over.
 */
#include "base/mem.h"
#include "io/loop.h"
#include "net/http_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct io_loop *loop;
static struct http_server *server;

struct held {
    struct http_exchange *x;
    struct io_task task;
};

static void held_lost(void *arg)
{
    struct held *h = arg;
    io_task_cancel(&h->task);
    mem_free(h);
}

static void held_reply(void *arg)
{
    struct held *h = arg;
    struct http_exchange *x = h->x;
    mem_free(h);
    if (http_reply_start(x, 200, NULL, 0) < 0) {
        http_exchange_abort(x);
        return;
    }
    (void)http_reply_write(x, STR_LIT("some")); /* whatever it returns, the end follows */
    http_reply_end(x);
}

/* Later, unless the peer leaves before. */
static void hold(struct http_exchange *x, bool reply)
{
    struct held *h = mem_zalloc(sizeof *h);
    assert(h);
    h->x = x;
    io_task_init(&h->task, held_reply, h);
    http_exchange_on_close(x, held_lost, h);
    if (reply) {
        loop_defer(loop, &h->task);
    }
}

static void collected(struct http_exchange *x, struct str body, void *arg)
{
    (void)arg;
    http_reply_text(x, 200, "text/plain", body);
}

static void piece(struct http_exchange *x, struct str data, void *arg)
{
    (void)arg;
    if (data.n == 0) {
        http_reply_text(x, 204, "text/plain", STR_NULL);
    }
}

static void echo(void *arg, const char *data, size_t n)
{
    (void)stream_write(arg, data, n); /* a failure shows as the stream's end */
}

static void echo_end(void *arg)
{
    stream_finish(arg);
}

static void echo_error(void *arg, int code)
{
    (void)code;
    stream_close(arg);
}

static void upgrade(struct http_exchange *x)
{
    static const struct stream_events ev = {
        .on_read = echo, .on_eof = echo_end, .on_error = echo_error};
    struct stream *s = http_exchange_stream(x, "echo", NULL, 0);
    if (!s) {
        http_reply_text(x, 426, "text/plain", STR_NULL);
        return;
    }
    stream_set_events(s, &ev, s);
    stream_read_start(s);
}

static void handle(struct http_exchange *x, void *arg)
{
    const struct http_request *r = http_exchange_request(x);
    struct http_peer peer;
    (void)arg;
    http_exchange_peer(x, &peer);
    switch (r->path.n > 1 ? r->path.p[1] : 0) {
    case 'c':
        http_exchange_collect_body(x, 64, collected, NULL);
        break;
    case 'r':
        http_exchange_read_body(x, piece, NULL);
        break;
    case 'l':
        hold(x, true);
        break;
    case 'n':
        hold(x, false);
        break;
    case 'u':
        upgrade(x);
        break;
    case 'a':
        http_exchange_abort(x);
        break;
    default:
        http_reply_text(x, 200, "text/plain", r->path);
        break;
    }
}

static void swallow(void *arg, const char *data, size_t n)
{
    (void)data;
    *(size_t *)arg += n;
}

static void turn(int n)
{
    for (int i = 0; i < n; i++) {
        loop_run_ready(loop);
    }
}

static int setup(void)
{
    const struct http_server_config cfg = {.handler = handle};
    struct http_server_config mine = cfg;
    int rc = loop_new(&loop, NULL);
    mine.loop = loop;
    return rc == 0 ? http_server_new(&mine, &server) : rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct stream_events ev = {.on_read = swallow};
    struct stream *ends[2];
    size_t got = 0;
    if (!loop) {
        int rc = setup();
        assert(rc == 0);
    }
    if (size < 2) {
        return 0;
    }
    int rc = stream_pair(loop, ends);
    assert(rc == 0);
    stream_set_events(ends[1], &ev, &got);
    stream_read_start(ends[1]);
    rc = http_server_serve(server, ends[0], HTTP_PROTOCOL_AUTO, NULL, NULL, NULL);
    assert(rc == 0);
    size_t step = (size_t)(data[0] & 0x7f) * 4 + 1;
    for (size_t at = 1; at < size; at += step) {
        (void)stream_write(ends[1], data + at, MIN_OF(step, size - at)); /* refused once closed */
        turn(2);
    }
    if (data[0] & 0x80) {
        turn(6);
    }
    stream_close(ends[1]);
    turn(6);
    assert(http_server_connections(server) == 0);
    return 0;
}

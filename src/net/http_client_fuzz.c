/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as what a server answers to the client. The first byte chooses the
 * protocol and the size of the pieces, the second what the three calls do with their answers. Every
 * call must end exactly once.
 */
#include "base/mem.h"
#include "io/loop.h"
#include "net/http_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct asked {
    struct http_call *call; /* NULL once it is over */
    uint8_t how;
    int pieces;
};

static struct io_loop *loop;

static void on_data(struct http_call *c, void *arg, struct str data)
{
    struct asked *a = arg;
    (void)data;
    a->pieces++;
    if (a->how & 1 && a->pieces == 1) {
        http_call_pause(c, true);
        http_call_pause(c, false);
    }
    if (a->how & 2 && a->pieces == 2) {
        http_call_cancel(c);
        a->call = NULL;
    }
}

static void over(struct asked *a)
{
    assert(a->call);
    a->call = NULL;
}

static void on_end(struct http_call *c, void *arg)
{
    (void)c;
    over(arg);
}

static void on_error(struct http_call *c, void *arg, const struct err *err)
{
    (void)c;
    assert(err->code < 0 && err->text[0]);
    over(arg);
}

static void stream_error(void *arg, int code)
{
    (void)code;
    stream_close(arg);
}

static void stream_end(void *arg)
{
    stream_finish(arg);
}

static void on_stream(struct http_call *c, void *arg, struct stream *s,
                      const struct http_response *r)
{
    static const struct stream_events ev = {.on_error = stream_error, .on_eof = stream_end};
    struct asked *a = arg;
    (void)c;
    (void)r;
    over(a);
    if (a->how & 4) {
        stream_close(s);
        return;
    }
    stream_set_events(s, &ev, s);
    stream_read_start(s);
    (void)stream_write(s, "hello", 5); /* a failure shows as its error */
}

static const struct http_call_ops ops = {
    .on_data = on_data, .on_end = on_end, .on_error = on_error, .on_stream = on_stream};

static void ask(struct http_client *client, struct asked *a, uint8_t how)
{
    const struct http_call_request req = {.method = how & 8    ? "POST"
                                                    : how & 16 ? "HEAD"
                                                               : "GET",
                                          .path = "/",
                                          .body = how & 8 ? STR_LIT("body") : STR_NULL,
                                          .upgrade = how & 32 ? "echo" : NULL};
    *a = (struct asked){.how = how};
    a->call = http_call_start(client, &req, &ops, a);
    assert(a->call);
}

static void turn(int n)
{
    for (int i = 0; i < n; i++) {
        loop_run_ready(loop);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream *ends[2];
    struct http_client *client;
    struct asked asked[3];
    static const struct stream_events none;
    int rc = loop ? 0 : loop_new(&loop, NULL);
    assert(rc == 0);
    if (size < 3) {
        return 0;
    }
    rc = stream_pair(loop, ends);
    assert(rc == 0);
    stream_set_events(ends[1], &none, NULL);
    stream_read_start(ends[1]);
    rc = http_client_from_stream(loop, ends[0], data[0] & 1 ? HTTP_PROTOCOL_2 : HTTP_PROTOCOL_1,
                                 "h", 0, NULL, NULL, &client);
    assert(rc == 0);
    for (int i = 0; i < 3; i++) {
        ask(client, &asked[i], (uint8_t)(data[1] << i));
    }
    turn(3);
    size_t step = (size_t)(data[0] >> 1) * 4 + 1;
    for (size_t at = 2; at < size; at += step) {
        (void)stream_write(ends[1], data + at, MIN_OF(step, size - at)); /* refused once closed */
        turn(2);
    }
    turn(3);
    stream_close(ends[1]);
    turn(3);
    http_client_free(client);
    for (int i = 0; i < 3; i++) {
        assert(!asked[i].call);
    }
    turn(4);
    return 0;
}

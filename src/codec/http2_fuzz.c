/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: any bytes as the peer's side of an HTTP/2 connection; the first byte chooses our
 * role. */
#include "base/mem.h"
#include "http2.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct http2 *connection;

static int on_head(void *arg, int32_t id, void *stream_arg, const struct http_head *head, bool end)
{
    struct http_headers none = {0};
    if (head->method.n == 3) {
        return http2_respond(connection, id, 200, &none, true);
    }
    return head->method.n == 4 ? -E_BUSY : 0;
}

static void on_data(void *arg, int32_t id, void *stream_arg, const char *data, size_t n)
{
    http2_consume(connection, id, n / 2);
}

static void on_end(void *arg, int32_t id, void *stream_arg)
{
    http2_resume(connection, id);
}

static void on_close(void *arg, int32_t id, void *stream_arg, int code)
{
}

static size_t pull(void *arg, int32_t id, void *stream_arg, char *out, size_t n, bool *eof)
{
    out[0] = 'x';
    *eof = id % 4 == 1;
    return n ? 1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct http2_ops ops = {on_head, on_data, on_end, on_close, pull, NULL, NULL};
    if (size == 0) {
        return 0;
    }
    connection = http2_new(data[0] & 1, &ops, NULL);
    if (!connection) {
        return 0;
    }
    struct buf out = BUF_INIT;
    struct http_head head = {
        .method = STR_LIT("GET"), .target = STR_LIT("/"), .authority = STR_LIT("h")};
    if (!(data[0] & 1)) {
        (void)http2_request(connection, "https", &head, true,
                            NULL); /* so that responses have a stream */
    }
    (void)http2_drain(connection, &out, 4096);
    (void)http2_feed(connection, (const char *)data + 1, size - 1); /* any result */
    (void)http2_drain(connection, &out, 4096);
    buf_fini(&out);
    http2_free(connection);
    return 0;
}

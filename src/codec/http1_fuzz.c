/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: any bytes as HTTP/1.1, in both roles. The first byte chooses the role and the size
 * of the pieces; the same bytes in one piece must give the same events, so that nobody can be
 * fooled by how the network cuts.
 */
#include "base/mem.h"
#include "http1.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int add(struct buf *log, enum http1_type type, const struct http1_event *ev)
{
    switch (type) {
    case HTTP1_HEAD:
        return buf_printf(log, "H%d/%zu/%lld/%d;", ev->head->status, ev->head->headers.n,
                          (long long)ev->head->content_length, ev->keep_alive);
    case HTTP1_BODY:
        return buf_append_str(log, ev->data);
    case HTTP1_END:
        return buf_puts(log, "E;");
    case HTTP1_ERROR:
        return buf_printf(log, "X%d;", ev->status);
    case HTTP1_MORE:
        break;
    }
    return 0;
}

static void run(const char *p, size_t n, size_t step, enum http1_role role, struct buf *log)
{
    struct http1_parser parser;
    struct http1_event ev;
    struct arena a;
    enum http1_type type = HTTP1_MORE;
    arena_init(&a, 0);
    http1_init(&parser, role);
    for (size_t at = 0; at < n && type != HTTP1_ERROR; at += step) {
        struct str in = str_n(p + at, MIN_OF(step, n - at));
        do {
            type = http1_next(&parser, &in, &a, &ev);
            int rc = add(log, type, &ev);
            assert(rc == 0);
        } while (type != HTTP1_MORE && type != HTTP1_ERROR);
    }
    if (type != HTTP1_ERROR) {
        (void)add(log, http1_eof(&parser, &ev), &ev);
    }
    http1_fini(&parser);
    arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct buf whole = BUF_INIT, cut = BUF_INIT;
    if (size < 2) {
        return 0;
    }
    enum http1_role role = data[0] & 1 ? HTTP1_RESPONSE : HTTP1_REQUEST;
    const char *p = (const char *)data + 1;
    run(p, size - 1, size - 1, role, &whole);
    run(p, size - 1, (size_t)(data[0] >> 1) + 1, role, &cut);
    assert(str_eq(buf_str(&whole), buf_str(&cut)));
    buf_fini(&whole);
    buf_fini(&cut);
    return 0;
}

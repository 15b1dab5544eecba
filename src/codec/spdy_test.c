/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the SPDY/3.1 server codec, with a small client of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <zlib.h>

#include "base/mem.h"
#include "spdy.h"
#include "spdy_private.h"

struct seen {
    struct spdy *s;
    char log[512];
};

static void note(struct seen *seen, const char *fmt, ...)
{
    va_list ap;
    size_t n = strlen(seen->log);
    va_start(ap, fmt);
    (void)vsnprintf(seen->log + n, sizeof(seen->log) - n, fmt, ap);
    va_end(ap);
}

static void on_stream(void *arg, uint32_t id, const struct spdy_header *h, size_t n, bool fin)
{
    struct seen *seen = arg;
    note(seen, "stream %u%s", id, fin ? " fin" : "");
    for (size_t i = 0; i < n; i++) {
        note(seen, " " STR_FMT "=" STR_FMT, STR_ARG(h[i].name), STR_ARG(h[i].value));
    }
    note(seen, ";");
    spdy_reply(seen->s, id);
}

static void on_data(void *arg, uint32_t id, struct str data, bool fin)
{
    struct seen *seen = arg;
    note(seen, "data %u " STR_FMT "%s;", id, STR_ARG(data), fin ? " fin" : "");
    spdy_data(seen->s, id, data, fin);
}

static void on_reset(void *arg, uint32_t id, uint32_t status)
{
    note(arg, "reset %u %u;", id, status);
}

static void on_goaway(void *arg)
{
    note(arg, "goaway;");
}

static const struct spdy_ops ops = {on_stream, on_data, on_reset, on_goaway};

static void client_put32(struct buf *b, uint32_t v)
{
    char raw[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    assert_int_equal(buf_append(b, raw, 4), 0);
}

static void client_syn(struct buf *wire, z_stream *z, uint32_t id, const char *name,
                       const char *value)
{
    struct buf block = BUF_INIT;
    unsigned char packed[512];
    client_put32(&block, 1);
    client_put32(&block, (uint32_t)strlen(name));
    assert_int_equal(buf_puts(&block, name), 0);
    client_put32(&block, (uint32_t)strlen(value));
    assert_int_equal(buf_puts(&block, value), 0);
    z->next_in = (Bytef *)(uintptr_t)buf_data(&block);
    z->avail_in = (uInt)buf_len(&block);
    z->next_out = packed;
    z->avail_out = sizeof(packed);
    assert_int_equal(deflate(z, Z_SYNC_FLUSH), Z_OK);
    uint32_t n = (uint32_t)(sizeof(packed) - z->avail_out);
    client_put32(wire, 0x80030001u);
    client_put32(wire, 10 + n);
    client_put32(wire, id);
    client_put32(wire, 0);
    assert_int_equal(buf_append(wire, "\0\0", 2), 0);
    assert_int_equal(buf_append(wire, packed, n), 0);
    buf_fini(&block);
}

static void client_data(struct buf *wire, uint32_t id, const char *text, bool fin)
{
    client_put32(wire, id);
    client_put32(wire, (fin ? 1u << 24 : 0) | (uint32_t)strlen(text));
    assert_int_equal(buf_puts(wire, text), 0);
}

static void a_conversation(struct buf *wire)
{
    z_stream z = {0};
    assert_int_equal(deflateInit(&z, Z_DEFAULT_COMPRESSION), Z_OK);
    assert_int_equal(deflateSetDictionary(&z, spdy_dictionary, SPDY_DICTIONARY_SIZE), Z_OK);
    client_syn(wire, &z, 1, "streamtype", "error");
    client_syn(wire, &z, 3, "streamtype", "stdin");
    client_data(wire, 3, "hello", false);
    client_data(wire, 3, "", true);
    client_put32(wire, 0x80030006u); /* PING 1 */
    client_put32(wire, 4);
    client_put32(wire, 1);
    client_put32(wire, 0x80030003u); /* RST_STREAM 1 CANCEL */
    client_put32(wire, 8);
    client_put32(wire, 1);
    client_put32(wire, 5);
    client_put32(wire, 0x80030007u); /* GOAWAY */
    client_put32(wire, 8);
    client_put32(wire, 3);
    client_put32(wire, 0);
    assert_int_equal(deflateEnd(&z),
                     Z_DATA_ERROR); /* ended in the midst of the stream, as a connection is */
}

static const char expected[] =
    "stream 1 streamtype=error;stream 3 streamtype=stdin;data 3 hello;data 3  fin;"
    "reset 1 5;goaway;";

static void the_dictionary_has_its_checksum(void **state)
{
    assert_int_equal(adler32(1, spdy_dictionary, SPDY_DICTIONARY_SIZE), SPDY_DICTIONARY_ADLER);
}

static void a_conversation_is_the_same_however_it_is_cut(void **state)
{
    struct buf wire = BUF_INIT;
    a_conversation(&wire);
    for (size_t step = 1; step <= buf_len(&wire); step += step < 16 ? 1 : 29) {
        struct seen seen = {0};
        seen.s = spdy_new(&ops, &seen);
        for (size_t at = 0; at < buf_len(&wire); at += step) {
            size_t n = MIN_OF(step, buf_len(&wire) - at);
            assert_int_equal(spdy_feed(seen.s, str_n(buf_data(&wire) + at, n), NULL), 0);
        }
        assert_string_equal(seen.log, expected);
        assert_false(buf_failed(spdy_output(seen.s)));
        assert_true(buf_len(spdy_output(seen.s)) > 40);
        spdy_free(seen.s);
    }
    buf_fini(&wire);
}

static void garbage_ends_the_connection_with_a_reason(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        int code;
    } cases[] = {
        {"\x80\x02\0\1\0\0\0\0", 8, -E_PROTO},
        {"\x80\x03\0\1\0\0\0\3abc", 11, -E_PROTO},
        {"\x80\x03\0\1\0\0\0\14\0\0\0\1\0\0\0\0\0\0zz", 20, -E_PROTO},
        {"\0\0\0\1\0\xff\xff\xff", 8, -E_LIMIT},
        {"\x80\x03\0\6\0\0\0\1x", 9, -E_PROTO},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct seen seen = {0};
        struct err err = {0};
        seen.s = spdy_new(&ops, &seen);
        assert_int_equal(spdy_feed(seen.s, str_n(cases[i].bytes, cases[i].n), &err), cases[i].code);
        assert_non_null(strstr(err.text, "SPDY"));
        spdy_free(seen.s);
    }
}

static void data_for_an_unknown_stream_is_answered_by_a_reset(void **state)
{
    struct seen seen = {0};
    seen.s = spdy_new(&ops, &seen);
    assert_int_equal(spdy_feed(seen.s, str_n("\0\0\0\7\0\0\0\1x", 9), NULL), 0);
    assert_string_equal(seen.log, "");
    assert_int_equal(buf_len(spdy_output(seen.s)), 16);
    spdy_free(seen.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dictionary_has_its_checksum),
        cmocka_unit_test(a_conversation_is_the_same_however_it_is_cut),
        cmocka_unit_test(garbage_ends_the_connection_with_a_reason),
        cmocka_unit_test(data_for_an_unknown_stream_is_answered_by_a_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

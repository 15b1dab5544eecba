/* SPDX-License-Identifier: Apache-2.0 */
/* The wire format: reading, malformed bytes, and writing what reads back. */
#include "protobuf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/err.h"
#include "base/mem.h"

#define BYTES(s) ((struct str){s, sizeof(s) - 1})

static void fields_of_every_wire_type_are_read(void **state)
{
    (void)state;
    struct pb_reader r = pb_reader_of(BYTES("\x08\x96\x01\x12\x03"
                                            "abc"
                                            "\x1d\x01\x00\x00\x80\x21\x02\0\0\0\0\0\0\0"));
    struct pb_field f;
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.number, 1);
    assert_int_equal(f.value, 150);
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.number, 2);
    assert_true(str_is(f.bytes, "abc"));
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.value, 0x80000001u);
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.wire, PB_FIXED64);
    assert_int_equal(f.value, 2);
    assert_int_equal(pb_next(&r, &f), 0);
}

static void malformed_bytes_are_refused(void **state)
{
    (void)state;
    static const struct str bad[] = {
        BYTES("\x08"),                                         /* no value */
        BYTES("\x08\x80"),                                     /* half a varint */
        BYTES("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), /* over 64 bits */
        BYTES("\x00\x01"),                                     /* field 0 */
        BYTES("\x12\x05"
              "ab"),                                           /* too short */
        BYTES("\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), /* a huge length */
        BYTES("\x0b\x0c"),                                     /* a group */
        BYTES("\x1d\x01"),
        BYTES("\x21\x01"),
    };
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct pb_reader r = pb_reader_of(bad[i]);
        struct pb_field f;
        assert_int_equal(pb_next(&r, &f), -E_PROTO);
    }
}

static void what_is_written_reads_back(void **state)
{
    (void)state;
    CLEANUP(buf_finip) struct buf b = BUF_INIT;
    struct pb_field f;
    size_t outer = pb_open(&b, 7);
    pb_put_uint(&b, 1, UINT64_MAX);
    size_t inner = pb_open(&b, 2);
    pb_close(&b, inner);
    pb_put_bytes(&b, 1000, STR_LIT("x"));
    pb_close(&b, outer);
    struct pb_reader r = pb_reader_of(buf_str(&b));
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.number, 7);
    assert_int_equal(pb_next(&r, &f), 0);
    r = pb_reader_of(f.bytes);
    assert_int_equal(pb_next(&r, &f), 1);
    assert_true(f.value == UINT64_MAX);
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.bytes.n, 0);
    assert_int_equal(pb_next(&r, &f), 1);
    assert_int_equal(f.number, 1000);
    assert_int_equal(pb_next(&r, &f), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_of_every_wire_type_are_read),
        cmocka_unit_test(malformed_bytes_are_refused),
        cmocka_unit_test(what_is_written_reads_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

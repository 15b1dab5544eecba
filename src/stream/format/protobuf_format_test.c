/* SPDX-License-Identifier: Apache-2.0 */
/* The descriptor set is built here, as protoc would write it for
 *
 *   syntax = "proto3"; package lab;
 *   message Reading {
 *     int64 id = 1; double temp = 2; string name = 3; repeated int32 codes = 4;
 *     Place place = 5; map<string, sint32> tags = 6; optional bool ok = 7; fixed32 crc = 8;
 *     message Place { float x = 1; Place inner = 2; }
 *   }
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "codec/protobuf.h"
#include "format.h"
#include "protobuf_schema.h"

static void put_field(struct buf *out, const char *name, uint32_t number, uint32_t label,
                      uint32_t type, const char *type_name)
{
    size_t mark = pb_open(out, 2);
    pb_put_bytes(out, 1, str_of(name));
    pb_put_uint(out, 3, number);
    pb_put_uint(out, 4, label);
    pb_put_uint(out, 5, type);
    if (type_name) {
        pb_put_bytes(out, 6, str_of(type_name));
    }
    if (str_is(str_of(name), "ok")) {
        pb_put_uint(out, 9, 0); /* the oneof of an optional field */
    }
    pb_close(out, mark);
}

static void put_schema(struct buf *out)
{
    size_t file = pb_open(out, 1);
    pb_put_bytes(out, 2, STR_LIT("lab"));
    size_t reading = pb_open(out, 4);
    put_field(out, "id", 1, 1, SCHEMA_INT64, NULL);
    put_field(out, "temp", 2, 1, SCHEMA_DOUBLE, NULL);
    put_field(out, "name", 3, 1, SCHEMA_STRING, NULL);
    put_field(out, "codes", 4, 3, SCHEMA_INT32, NULL);
    put_field(out, "place", 5, 1, SCHEMA_MESSAGE, ".lab.Reading.Place");
    put_field(out, "tags", 6, 3, SCHEMA_MESSAGE, ".lab.Reading.TagsEntry");
    put_field(out, "ok", 7, 1, SCHEMA_BOOL, NULL);
    put_field(out, "crc", 8, 1, SCHEMA_FIXED32, NULL);
    size_t place = pb_open(out, 3);
    put_field(out, "x", 1, 1, SCHEMA_FLOAT, NULL);
    put_field(out, "inner", 2, 1, SCHEMA_MESSAGE, ".lab.Reading.Place");
    pb_put_bytes(out, 1, STR_LIT("Place"));
    pb_close(out, place);
    size_t entry = pb_open(out, 3);
    put_field(out, "key", 1, 1, SCHEMA_STRING, NULL);
    put_field(out, "value", 2, 1, SCHEMA_SINT32, NULL);
    pb_put_bytes(out, 1, STR_LIT("TagsEntry"));
    size_t options = pb_open(out, 7);
    pb_put_uint(out, 7, 1);
    pb_close(out, options);
    pb_close(out, entry);
    pb_put_bytes(out, 1, STR_LIT("Reading"));
    pb_close(out, reading);
    pb_put_bytes(out, 12, STR_LIT("proto3"));
    pb_close(out, file);
}

static const char *const names[] = {"id", "temp", "name", "codes", "place", "tags", "ok", "crc"};

struct fixture {
    struct buf schema;
    struct format_options opts;
    struct shape shape;
    struct decoder *json, *pb;
    struct encoder *to_json, *to_pb;
    uint32_t errors;
};

static void setup(struct fixture *f)
{
    struct err err;
    *f = (struct fixture){.errors = 0};
    put_schema(&f->schema);
    f->opts = (struct format_options){.format = STR_LIT("protobuf"),
                                      .schema = buf_str(&f->schema),
                                      .message = STR_LIT("lab.Reading")};
    shape_init(&f->shape);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        shape_add(&f->shape, str_of(names[i]), VALUE_NULL);
    }
    struct format_options json = {0};
    assert_int_equal(decoder_new(&json, &f->shape, &f->json, &err), 0);
    assert_int_equal(encoder_new(&json, &f->to_json, &err), 0);
    assert_int_equal(decoder_new(&f->opts, &f->shape, &f->pb, &err), 0);
    assert_int_equal(encoder_new(&f->opts, &f->to_pb, &err), 0);
}

static void teardown(struct fixture *f)
{
    decoder_free(f->json);
    decoder_free(f->pb);
    encoder_free(f->to_json);
    encoder_free(f->to_pb);
    shape_fini(&f->shape);
    buf_fini(&f->schema);
}

static void count_error(void *arg, const struct payload *p, const struct err *err)
{
    ((struct fixture *)arg)->errors++;
}

static struct batch *decode(struct fixture *f, struct decoder *d, struct str bytes)
{
    struct batch *b = batch_new(&f->shape, 0);
    struct payload p = {.bytes = bytes};
    uint32_t at = 0;
    f->errors = 0;
    assert_int_equal(decoder_decode(d, &p, 1, &at, b, count_error, f), 0);
    return b;
}

/* JSON to a message and back. */
static void expect(struct fixture *f, const char *in, const char *out)
{
    struct err err;
    struct buf message = BUF_INIT, text = BUF_INIT;
    struct batch *b = decode(f, f->json, str_of(in));
    assert_int_equal(encoder_encode(f->to_pb, b, 0, 1, false, false, &message, &err), 0);
    batch_unref(b);
    b = decode(f, f->pb, buf_str(&message));
    assert_int_equal(f->errors, 0);
    assert_int_equal(encoder_encode(f->to_json, b, 0, 1, false, false, &text, &err), 0);
    buf_putc(&text, '\0');
    assert_string_equal(buf_data(&text), out);
    batch_unref(b);
    buf_fini(&message);
    buf_fini(&text);
}

static void messages_bring_back_what_was_written(void **state)
{
    struct fixture f;
    setup(&f);
    const char *full = "{\"id\":-5,\"temp\":21.5,\"name\":\"\xc3\xa9\",\"codes\":[1,-2,300],"
                       "\"place\":{\"x\":0.5,\"inner\":{\"x\":2}},\"tags\":{\"a\":-1,\"b\":2},"
                       "\"ok\":false,\"crc\":4000000000}";
    expect(&f, full, full);
    expect(&f, "{}", "{\"id\":0,\"temp\":0,\"name\":\"\",\"codes\":[],\"tags\":{},\"crc\":0}");
    f.shape.whole = true;
    expect(&f, full, full);
    teardown(&f);
}

static void packed_and_single_items_are_read(void **state)
{
    struct fixture f;
    struct buf m = BUF_INIT;
    setup(&f);
    pb_put_uint(&m, 4, 7);
    pb_put_bytes(&m, 4, str_n("\x01\x80\x01", 3));
    pb_put_uint(&m, 99, 1); /* of a newer schema */
    struct batch *b = decode(&f, f.pb, buf_str(&m));
    struct value v;
    batch_get(b, 3, 0, &v);
    assert_int_equal(v.n, 3);
    assert_int_equal(v.items[0].i, 7);
    assert_int_equal(v.items[2].i, 128);
    batch_unref(b);
    buf_fini(&m);
    teardown(&f);
}

static void broken_messages_are_refused(void **state)
{
    static const struct str bad[] = {
        {"\x08", 1},                 /* a varint is missing */
        {"\x0d\x01\x02\x03\x04", 5}, /* id as four bytes */
        {"\x1a\x05"
         "ab",
         4},                 /* a text that is cut */
        {"\x1a\x01\xff", 3}, /* no UTF-8 */
        {"\x22\x01\x80", 3}, /* packed varints that are cut */
        {"\x2a\x01\x0d", 3}, /* broken inside */
    };
    struct fixture f;
    setup(&f);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct batch *b = decode(&f, f.pb, bad[i]);
        assert_int_equal(b->rows, 0);
        assert_int_equal(f.errors, 1);
        batch_unref(b);
    }
    teardown(&f);
}

static void what_a_field_cannot_hold_is_refused(void **state)
{
    struct fixture f;
    struct err err;
    struct buf out = BUF_INIT;
    setup(&f);
    struct batch *b = decode(&f, f.json, STR_LIT("{\"id\":\"x\"}"));
    assert_int_equal(encoder_encode(f.to_pb, b, 0, 1, false, false, &out, &err), -E_INVAL);
    assert_string_equal(err.text, "field id of the message cannot hold a string");
    batch_unref(b);
    b = decode(&f, f.json, STR_LIT("{\"crc\":-1}"));
    assert_int_equal(encoder_encode(f.to_pb, b, 0, 1, false, false, &out, &err), -E_INVAL);
    batch_unref(b);
    buf_fini(&out);
    teardown(&f);
}

static void schemas_are_checked(void **state)
{
    struct fixture f;
    struct decoder *d;
    struct err err;
    setup(&f);
    f.opts.message = STR_LIT("Place");
    assert_int_equal(decoder_new(&f.opts, &f.shape, &d, &err), 0);
    decoder_free(d);
    f.opts.message = STR_LIT("lab.Nothing");
    assert_int_equal(decoder_new(&f.opts, &f.shape, &d, &err), -E_INVAL);
    assert_string_equal(err.text, "the schema has no message 'lab.Nothing'");
    f.opts.schema = STR_LIT("syntax = \"proto3\";");
    assert_int_equal(decoder_new(&f.opts, &f.shape, &d, &err), -E_INVAL);
    assert_string_equal(err.text, "the schema is no FileDescriptorSet");
    f.opts.schema = STR_NULL;
    assert_int_equal(decoder_new(&f.opts, &f.shape, &d, &err), -E_INVAL);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_bring_back_what_was_written),
        cmocka_unit_test(packed_and_single_items_are_read),
        cmocka_unit_test(broken_messages_are_refused),
        cmocka_unit_test(what_a_field_cannot_hold_is_refused),
        cmocka_unit_test(schemas_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

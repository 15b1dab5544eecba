/* SPDX-License-Identifier: Apache-2.0 */
/* CSV, binary payloads, forms and frames, both ways. SEED=n repeats the random ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/crc.h"
#include "base/mem.h"
#include "frame.h"
#include "stream/sql/ast.h"

struct fixture {
    struct shape shape;
    struct decoder *d;
    struct batch *b;
    uint32_t errors;
    struct err last;
};

static void setup(struct fixture *f, const struct format_options *opts, const char *const *names)
{
    struct err err;
    memset(f, 0, sizeof(*f));
    shape_init(&f->shape);
    for (; names && *names; names++) {
        assert_true(shape_add(&f->shape, str_of(*names), VALUE_NULL) >= 0);
    }
    assert_int_equal(decoder_new(opts, &f->shape, &f->d, &err), 0);
}

static void teardown(struct fixture *f)
{
    batch_unref(f->b);
    decoder_free(f->d);
    shape_fini(&f->shape);
}

static void count_error(void *arg, const struct payload *p, const struct err *err)
{
    struct fixture *f = arg;
    f->errors++;
    f->last = *err;
}

static void decode_bytes(struct fixture *f, struct str bytes)
{
    struct payload p = {.bytes = bytes, .arrival_us = 7};
    uint32_t at = 0;
    batch_unref(f->b);
    f->b = batch_new(&f->shape, 0);
    f->errors = 0;
    assert_int_equal(decoder_decode(f->d, &p, 1, &at, f->b, count_error, f), 0);
}

static void decode(struct fixture *f, const char *text)
{
    decode_bytes(f, str_of(text));
}

static void expect_json(const struct batch *b, const char *text)
{
    struct encoder *e;
    struct buf out = BUF_INIT;
    struct err err;
    assert_int_equal(encoder_new(&(struct format_options){0}, &e, &err), 0);
    assert_int_equal(encoder_encode(e, b, 0, b->rows, true, false, &out, &err), 0);
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), text);
    buf_fini(&out);
    encoder_free(e);
}

static void expect_encoded(const struct format_options *opts, const struct batch *b,
                           const char *text)
{
    struct encoder *e;
    struct buf out = BUF_INIT;
    struct err err;
    assert_int_equal(encoder_new(opts, &e, &err), 0);
    assert_int_equal(encoder_encode(e, b, 0, b->rows, true, false, &out, &err), 0);
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), text);
    buf_fini(&out);
    encoder_free(e);
}

static void an_unknown_format_is_refused(void **state)
{
    struct shape shape;
    struct decoder *d;
    struct encoder *e;
    struct err err;
    shape_init(&shape);
    assert_int_equal(
        decoder_new(&(struct format_options){.format = STR_LIT("avro")}, &shape, &d, &err),
        -E_INVAL);
    assert_string_equal(err.text, "format avro is not supported");
    assert_int_equal(encoder_new(&(struct format_options){.format = STR_LIT("avro")}, &e, &err),
                     -E_INVAL);
    shape_fini(&shape);
}

/* ---- CSV ---- */

static void lines_are_events_and_cells_may_be_quoted(void **state)
{
    static const char *const names[] = {"col0", "col2", NULL};
    struct fixture f;
    setup(&f, &(struct format_options){.format = STR_LIT("DELIMITED")}, names);
    decode(&f, "a,b,c\r\n\n\"x, \"\"y\"\"\nz\",,\"\"\nlast");
    assert_int_equal(f.errors, 0);
    expect_json(f.b,
                "[{\"col0\":\"a\",\"col2\":\"c\"},{\"col0\":\"x, \\\"y\\\"\\nz\",\"col2\":\"\"},"
                "{\"col0\":\"last\"}]");
    decode(&f, "a\n\"open,b\nc\n");
    assert_int_equal(f.errors, 1);
    assert_int_equal(f.b->rows, 1);
    decode(&f, "a\n\xff\xfe\nc\n");
    assert_int_equal(f.errors, 1);
    expect_json(f.b, "[{\"col0\":\"a\"},{\"col0\":\"c\"}]");
    teardown(&f);
}

static void a_header_names_the_columns_once(void **state)
{
    static const char *const names[] = {"temp", "id", NULL};
    struct fixture f;
    setup(
        &f,
        &(struct format_options){.format = STR_LIT("delimited"), .header = true, .delimiter = ';'},
        names);
    decode(&f, "id;temp\n1;20");
    expect_json(f.b, "[{\"temp\":\"20\",\"id\":\"1\"}]");
    decode(&f, "2;21;extra");
    expect_json(f.b, "[{\"temp\":\"21\",\"id\":\"2\"}]");
    decode(&f, "id;temp\n3;22"); /* a file again */
    expect_json(f.b, "[{\"temp\":\"22\",\"id\":\"3\"}]");
    teardown(&f);
}

static void declared_columns_name_and_convert_cells(void **state)
{
    struct fixture f;
    struct ast_type types[] = {{.type = VALUE_INT}, {.type = VALUE_FLOAT}, {.type = VALUE_STRING}};
    struct err err;
    memset(&f, 0, sizeof(f));
    shape_init(&f.shape);
    const char *names[] = {"n", "x", "s"};
    for (int i = 0; i < 3; i++) {
        int slot = shape_add(&f.shape, str_of(names[i]), types[i].type);
        f.shape.fields[slot].declared = &types[i];
    }
    f.shape.whole = true;
    assert_int_equal(
        decoder_new(&(struct format_options){.format = STR_LIT("delimited")}, &f.shape, &f.d, &err),
        0);
    decode(&f, "5,1.5,007\n,2,x");
    assert_int_equal(f.errors, 0);
    assert_int_equal(f.b->columns[1].kind, COLUMN_FLOAT);
    expect_json(f.b, "[{\"n\":5,\"x\":1.5,\"s\":\"007\"},{\"n\":null,\"x\":2,\"s\":\"x\"}]");
    assert_int_equal(value_get(&f.b->whole[0], STR_LIT("n"))->type, VALUE_INT);
    decode(&f, "five,1,x");
    assert_int_equal(f.errors, 1);
    teardown(&f);
}

static void results_become_lines(void **state)
{
    static const char *const names[] = {"a", "b", NULL};
    struct fixture f;
    setup(&f, &(struct format_options){0}, names);
    decode(&f, "[{\"a\":1,\"b\":\"x,y\"},{\"a\":\"say \\\"hi\\\"\"},{\"b\":[1,2]}]");
    expect_encoded(&(struct format_options){.format = STR_LIT("delimited"), .header = true}, f.b,
                   "a,b\n1,\"x,y\"\n\"say \"\"hi\"\"\",\n,\"[1,2]\"");
    f.shape.fields[0].spread = true;
    decode(&f, "[{\"a\":{\"x\":1,\"b\":0},\"b\":3},{\"a\":{\"x\":2},\"b\":4}]");
    expect_encoded(&(struct format_options){.format = STR_LIT("delimited"), .header = true}, f.b,
                   "x,b\n1,3\n2,4");
    expect_json(f.b, "[{\"x\":1,\"b\":3},{\"x\":2,\"b\":4}]");
    teardown(&f);
}

/* ---- binary, urlencoded ---- */

static void a_binary_payload_is_one_event(void **state)
{
    static const char *const names[] = {"self", NULL};
    struct fixture f;
    setup(&f, &(struct format_options){.format = STR_LIT("binary")}, names);
    decode_bytes(&f, str_n("\0\xff{", 3));
    struct value v;
    batch_get(f.b, 0, 0, &v);
    assert_true(v.type == VALUE_BYTES && v.n == 3 && memcmp(v.s, "\0\xff{", 3) == 0);
    teardown(&f);
}

static void forms_are_read_and_written(void **state)
{
    static const char *const names[] = {"a", "b", NULL};
    struct fixture f;
    struct format_options opts = {.format = STR_LIT("urlencoded")};
    setup(&f, &opts, names);
    decode(&f, "a=1+2%26&b=x&b=y&c=&b=z");
    assert_int_equal(f.errors, 0);
    expect_json(f.b, "[{\"a\":\"1 2&\",\"b\":[\"x\",\"y\",\"z\"]}]");
    expect_encoded(&opts, f.b, "a=1%202%26&b=x&b=y&b=z");
    decode(&f, "a=%zz");
    assert_int_equal(f.errors, 1);
    teardown(&f);
}

/* ---- frames ---- */

static uint64_t state_;

static uint32_t below(uint32_t n)
{
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return (uint32_t)(state_ >> 11) % n;
}

static void start(void)
{
    const char *given = getenv("SEED");
    uint64_t s = (uint64_t)time(NULL);
    if (given) {
        assert_int_equal(str_u64(str_of(given), &s), 0);
    }
    print_message("SEED=%llu\n", (unsigned long long)s);
    state_ = s * 2654435761u + 1;
}

static struct value random_cell(uint32_t kind)
{
    static const struct value items[] = {{.type = VALUE_INT, .i = 1}, {.type = VALUE_NULL}};
    if (below(4) == 0 && kind % 2) {
        return (struct value){.type = VALUE_ABSENT};
    }
    switch (kind / 2) {
    case 0:
        return value_int((int64_t)below(1000) - 500);
    case 1:
        return value_float((double)below(1000) / 8);
    case 2:
        return value_bool(below(2));
    case 3:
        return (struct value){.type = VALUE_TIME, .i = below(100000)};
    case 4:
        return value_string(below(2) ? STR_LIT("text \xc3\xa9") : STR_LIT(""));
    case 5:
        return (struct value){.type = VALUE_BYTES, .n = 3, .s = "\0\xff\x01"};
    default:
        return below(2) ? (struct value){.type = VALUE_ARRAY, .n = 2, .items = items}
                        : value_float(0.5);
    }
}

static struct batch *random_batch(struct shape *shape, uint32_t rows)
{
    struct batch *b = batch_new(shape, 0);
    b->rows = rows;
    for (uint32_t c = 0; c < shape->n; c++) {
        struct value *v = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*v));
        uint32_t kind = below(14);
        for (uint32_t i = 0; i < rows; i++) {
            v[i] = random_cell(kind);
        }
        column_from_values(b, &b->columns[c], v);
    }
    return b;
}

static void expect_same(const struct batch *a, const struct batch *b)
{
    assert_int_equal(a->rows, b->rows);
    for (uint32_t c = 0; c < a->n_columns; c++) {
        for (uint32_t i = 0; i < a->rows; i++) {
            struct value x, y;
            batch_get(a, c, i, &x);
            batch_get(b, c, i, &y);
            if (x.type != y.type || !value_same(&x, &y)) {
                fail_msg("column %u, row %u: types %u and %u", c, i, x.type, y.type);
            }
        }
    }
}

static void frames_bring_back_what_was_written(void **state)
{
    static const char *const names[] = {"a", "b", "c", "name of d", NULL};
    struct fixture f;
    struct format_options opts = {.format = STR_LIT("batch")};
    struct encoder *e;
    struct err err;
    start();
    setup(&f, &opts, names);
    assert_int_equal(encoder_new(&opts, &e, &err), 0);
    for (int round = 0; round < 300; round++) {
        struct buf out = BUF_INIT;
        uint32_t rows = below(4) ? 1 + below(200) : BATCH_ROWS;
        struct batch *b = random_batch(&f.shape, rows);
        if (below(2)) {
            buf_puts(&out, "12345678"); /* behind another frame */
        }
        size_t before = buf_len(&out);
        assert_int_equal(encoder_encode(e, b, 0, rows, false, false, &out, &err), 0);
        struct str frame = str_n(buf_data(&out) + before, buf_len(&out) - before);
        assert_int_equal(frame_length(frame), frame.n);
        decode_bytes(&f, frame);
        assert_int_equal(f.errors, 0);
        expect_same(b, f.b);
        batch_unref(b);
        buf_fini(&out);
    }
    encoder_free(e);
    teardown(&f);
}

static void what_is_no_frame_is_refused(void **state)
{
    static const struct str bad[] = {{"", 0},
                                     {"SVB1", 4},
                                     {"SVB1\x08\0\0\0", 8},
                                     {"SVB1\x18\0\0\0", 8},
                                     {"{\"a\":1,\"b\":22}", 14}};
    struct fixture f;
    setup(&f, &(struct format_options){.format = STR_LIT("batch")}, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        decode_bytes(&f, bad[i]);
        assert_int_equal(f.errors, 1);
        assert_int_equal(f.b->rows, 0);
    }
    teardown(&f);
}

static void a_frame_has_a_batch_of_its_own(void **state)
{
    static const char *const names[] = {"a", NULL};
    struct fixture f;
    struct format_options opts = {.format = STR_LIT("batch")};
    struct encoder *e;
    struct err err;
    struct buf out = BUF_INIT;
    start();
    setup(&f, &opts, names);
    assert_int_equal(encoder_new(&opts, &e, &err), 0);
    struct batch *b = random_batch(&f.shape, 10);
    assert_int_equal(encoder_encode(e, b, 0, 10, false, false, &out, &err), 0);
    struct payload p[] = {{.bytes = buf_str(&out)}, {.bytes = buf_str(&out)}};
    uint32_t at = 0;
    for (uint32_t i = 1; i <= 2; i++) {
        batch_unref(f.b);
        f.b = batch_new(&f.shape, 0);
        assert_int_equal(decoder_decode(f.d, p, 2, &at, f.b, count_error, &f), 0);
        assert_int_equal(at, i);
        expect_same(b, f.b);
    }
    batch_unref(b);
    buf_fini(&out);
    encoder_free(e);
    teardown(&f);
}

/* Whatever byte is changed, with a checksum that fits: refused, or a batch that can be read. */
static void broken_frames_do_no_harm(void **state)
{
    static const char *const names[] = {"a", "b", "c", NULL};
    struct fixture f;
    struct format_options opts = {.format = STR_LIT("batch")};
    struct encoder *e;
    struct err err;
    start();
    setup(&f, &opts, names);
    assert_int_equal(encoder_new(&opts, &e, &err), 0);
    for (int round = 0; round < 3000; round++) {
        struct buf out = BUF_INIT;
        struct batch *b = random_batch(&f.shape, 1 + below(30));
        assert_int_equal(encoder_encode(e, b, 0, b->rows, false, false, &out, &err), 0);
        char *bytes = mem_dup(buf_data(&out), buf_len(&out));
        uint32_t n = (uint32_t)buf_len(&out);
        bytes[12 + below(below(2) ? 100 : n - 12)] = (char)below(256);
        if (below(20)) {
            uint32_t crc = crc32c(0, bytes + 12, n - 12);
            memcpy(bytes + 8, &crc, sizeof(crc));
        }
        decode_bytes(&f, str_n(bytes, n));
        for (uint32_t c = 0; c < 3; c++) {
            for (uint32_t i = 0; i < f.b->rows; i++) {
                struct value v;
                batch_get(f.b, c, i, &v);
                (void)value_hash(&v, 0);
            }
        }
        mem_free(bytes);
        batch_unref(b);
        buf_fini(&out);
    }
    encoder_free(e);
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_format_is_refused),
        cmocka_unit_test(lines_are_events_and_cells_may_be_quoted),
        cmocka_unit_test(a_header_names_the_columns_once),
        cmocka_unit_test(declared_columns_name_and_convert_cells),
        cmocka_unit_test(results_become_lines),
        cmocka_unit_test(a_binary_payload_is_one_event),
        cmocka_unit_test(forms_are_read_and_written),
        cmocka_unit_test(frames_bring_back_what_was_written),
        cmocka_unit_test(what_is_no_frame_is_refused),
        cmocka_unit_test(a_frame_has_a_batch_of_its_own),
        cmocka_unit_test(broken_frames_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

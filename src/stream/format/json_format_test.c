/* SPDX-License-Identifier: Apache-2.0 */
/* JSON events: what is read, refused, converted and written again. SEED=n repeats the random ones.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "format.h"
#include "json_scan.h"

struct fixture {
    struct shape shape;
    struct decoder *d;
    struct encoder *e;
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
    assert_int_equal(encoder_new(opts, &f->e, &err), 0);
}

static void teardown(struct fixture *f)
{
    batch_unref(f->b);
    decoder_free(f->d);
    encoder_free(f->e);
    shape_fini(&f->shape);
}

static void count_error(void *arg, const struct payload *p, const struct err *err)
{
    struct fixture *f = arg;
    f->errors++;
    f->last = *err;
}

/* Decodes one payload into a new batch. */
static int decode(struct fixture *f, const char *text)
{
    struct payload p = {.bytes = str_of(text), .arrival_us = 7};
    uint32_t at = 0;
    batch_unref(f->b);
    f->b = batch_new(&f->shape, 0);
    f->errors = 0;
    return decoder_decode(f->d, &p, 1, &at, f->b, count_error, f);
}

static struct value cell(struct fixture *f, uint32_t slot, uint32_t row)
{
    struct value v;
    batch_get(f->b, slot, row, &v);
    return v;
}

static void expect_encoded(struct fixture *f, const char *text)
{
    struct buf out = BUF_INIT;
    struct err err;
    assert_int_equal(encoder_encode(f->e, f->b, 0, f->b->rows, false, false, &out, &err), 0);
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), text);
    buf_fini(&out);
}

static const char *const ab[] = {"a", "b", NULL};
static const struct format_options json = {.timestamp = {NULL, 0}};

static void only_named_members_are_read(void **state)
{
    struct fixture f;
    setup(&f, &json, ab);
    decode(&f, "{\"x\":[1,{\"y\":\"\\u00e9\"}],\"b\":\"t\",\"z\":-1.5e3,\"a\":12, \"n\" : null}");
    assert_int_equal(f.errors, 0);
    assert_int_equal(f.b->rows, 1);
    assert_int_equal(f.b->time_us[0], 7);
    assert_int_equal(f.b->columns[0].kind, COLUMN_INT);
    expect_encoded(&f, "{\"a\":12,\"b\":\"t\"}");
    teardown(&f);
}

static void columns_are_typed_until_types_mix(void **state)
{
    struct fixture f;
    setup(&f, &json, ab);
    decode(&f, "[{\"a\":1},{\"b\":true},{\"a\":2,\"b\":false},{},{\"a\":3}]");
    assert_int_equal(f.b->rows, 5);
    assert_int_equal(f.b->columns[0].kind, COLUMN_INT);
    assert_int_equal(f.b->columns[1].kind, COLUMN_BOOL);
    assert_int_equal(cell(&f, 0, 1).type, VALUE_ABSENT);
    expect_encoded(&f, "[{\"a\":1},{\"b\":true},{\"a\":2,\"b\":false},{},{\"a\":3}]");
    decode(&f, "[{\"a\":1},{},{\"a\":2.5},{\"a\":null},{\"a\":\"x\"},{\"a\":[1,{\"k\":\"v\"}]}]");
    assert_int_equal(f.b->columns[0].kind, COLUMN_VALUE);
    expect_encoded(
        &f, "[{\"a\":1},{},{\"a\":2.5},{\"a\":null},{\"a\":\"x\"},{\"a\":[1,{\"k\":\"v\"}]}]");
    teardown(&f);
}

static void the_order_of_members_may_change_and_members_may_be_left_out(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", NULL};
    struct fixture f;
    setup(&f, &json, names);
    decode(&f,
           "[{\"a\":1,\"b\":2,\"c\":3,\"d\":4},{\"d\":4,\"c\":3,\"b\":2,\"a\":1},{\"b\":2,\"d\":4},"
           "{\"a\":1,\"b\":2,\"c\":3,\"d\":4},{\"aa\":9,\"a\":1,\"a\":5,\"d\" : 4},"
           "{\"\\u0061\":7}]");
    assert_int_equal(f.errors, 0);
    expect_encoded(&f, "[{\"a\":1,\"b\":2,\"c\":3,\"d\":4},{\"a\":1,\"b\":2,\"c\":3,\"d\":4},"
                       "{\"b\":2,\"d\":4},{\"a\":1,\"b\":2,\"c\":3,\"d\":4},{\"a\":5,\"d\":4},"
                       "{\"a\":7}]");
    teardown(&f);
}

static void a_field_that_is_named_later_is_read_from_then_on(void **state)
{
    struct fixture f;
    setup(&f, &json, ab);
    decode(&f, "{\"a\":1,\"c\":3}");
    expect_encoded(&f, "{\"a\":1}");
    assert_int_equal(shape_add(&f.shape, STR_LIT("c"), VALUE_NULL), 2);
    decode(&f, "{\"a\":1,\"c\":3}");
    expect_encoded(&f, "{\"a\":1,\"c\":3}");
    teardown(&f);
}

static void whole_events_keep_their_order_and_the_last_of_a_name(void **state)
{
    struct fixture f;
    setup(&f, &json, ab);
    f.shape.whole = true;
    decode(&f, "{\"z\":{\"q\":[],\"q\":{\"r\":1}},\"a\":1,\"z\":2,\"m\":[[1,2],\"x\"]}");
    assert_int_equal(f.errors, 0);
    struct buf out = BUF_INIT;
    assert_int_equal(value_print_json(&out, &f.b->whole[0]), 0);
    buf_putc(&out, '\0');
    assert_string_equal(buf_data(&out), "{\"z\":2,\"a\":1,\"m\":[[1,2],\"x\"]}");
    buf_fini(&out);
    assert_int_equal(cell(&f, 0, 0).i, 1);
    teardown(&f);
}

static void garbage_is_refused_and_leaves_no_trace(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "x",
                                      "{",
                                      "{\"a\"",
                                      "{\"a\":",
                                      "{\"a\":1",
                                      "{\"a\":1,}",
                                      "{\"a\":1}x",
                                      "{\"a\":01}",
                                      "{\"a\":1.}",
                                      "{\"a\":.5}",
                                      "{\"a\":+1}",
                                      "{\"a\":1e}",
                                      "{\"a\":nul}",
                                      "{\"a\":\"x}",
                                      "{\"a\":\"\\x\"}",
                                      "{\"a\":\"\\ud800\"}",
                                      "{\"a\":\"\xff\"}",
                                      "{\"a\":\"\n\"}",
                                      "{a:1}",
                                      "{\"a\":[1,]}",
                                      "{\"a\":[1}",
                                      "{\"x\":[1,]}",
                                      "{\"x\":{\"y\"}}",
                                      "{\"x\":[1}}",
                                      "{\"x\":tru}",
                                      "{\"x\":-}",
                                      "{\"x\":1 2}",
                                      "{\"x\":\"\\q\"}",
                                      "{,}",
                                      "{\"a\":1e999}",
                                      "\"a\"",
                                      "12",
                                      "[1]",
                                      "[{\"a\":1} {\"a\":2}]",
                                      "[{\"a\":1}",
                                      "[,]",
                                      "[{\"a\":1}]x",
                                      "[",
                                      "[[{\"a\":1}]]"};
    struct fixture f;
    setup(&f, &json, ab);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(decode(&f, bad[i]), 0);
        if (f.errors != 1) {
            fail_msg("accepted: %s", bad[i]);
        }
        assert_true(f.b->rows <= 1); /* of an array, what stood before */
    }
    decode(&f, "[{\"a\":1,\"b\":2},{\"a\":8,\"b\":x},{\"a\":3}]");
    expect_encoded(&f, "{\"a\":1,\"b\":2}");
    teardown(&f);
}

static void a_row_that_fails_leaves_nothing_for_the_next(void **state)
{
    struct fixture f;
    setup(&f, &json, ab);
    f.b = batch_new(&f.shape, 0);
    const char *texts[] = {"{\"a\":1}", "{\"a\":2,\"b\":3,oops}", "{\"b\":4}"};
    struct payload p[3];
    uint32_t at = 0;
    for (int i = 0; i < 3; i++) {
        p[i] = (struct payload){.bytes = str_of(texts[i])};
    }
    assert_int_equal(decoder_decode(f.d, p, 3, &at, f.b, count_error, &f), 0);
    assert_int_equal(at, 3);
    assert_int_equal(f.errors, 1);
    expect_encoded(&f, "[{\"a\":1},{\"b\":4}]");
    teardown(&f);
}

static void nesting_is_bounded(void **state)
{
    struct fixture f;
    char text[400];
    setup(&f, &json, ab);
    for (int name = 'a'; name <= 'x'; name += 'x' - 'a') {
        for (int depth = 64; depth <= 65; depth++) {
            int n = snprintf(text, sizeof(text), "{\"%c\":", name);
            memset(text + n, '[', (size_t)depth);
            text[n + depth] = '1';
            memset(text + n + depth + 1, ']', (size_t)depth);
            snprintf(text + n + 2 * depth + 1, 2, "}");
            decode(&f, text);
            assert_int_equal(f.errors, depth == 65);
        }
    }
    teardown(&f);
}

static void a_long_array_fills_batch_after_batch(void **state)
{
    struct fixture f;
    struct buf text = BUF_INIT;
    uint32_t n = 10000;
    setup(&f, &json, ab);
    buf_puts(&text, " [");
    for (uint32_t i = 0; i < n; i++) {
        buf_printf(&text, "%s{\"a\":%u,\"b\":\"text of %u\"}", i ? " , " : "", i, i);
    }
    buf_puts(&text, "] ");
    struct payload p = {.bytes = buf_str(&text)};
    uint32_t at = 0, next = 0;
    while (at == 0) {
        struct batch *b = batch_new(&f.shape, 0);
        assert_int_equal(decoder_decode(f.d, &p, 1, &at, b, count_error, &f), 0);
        for (uint32_t i = 0; i < b->rows; i++, next++) {
            char want[32];
            struct value v;
            assert_int_equal(b->columns[0].i[i], next);
            batch_get(b, 1, i, &v);
            snprintf(want, sizeof(want), "text of %u", next);
            assert_true(str_is(value_text(&v), want));
        }
        batch_unref(b);
    }
    assert_int_equal(next, n);
    assert_int_equal(f.errors, 0);
    buf_fini(&text);
    teardown(&f);
}

static void an_event_larger_than_a_window_is_read(void **state)
{
    struct fixture f;
    struct buf text = BUF_INIT;
    setup(&f, &json, ab);
    buf_puts(&text, "[{\"a\":1},{\"b\":\"");
    for (int i = 0; i < 300000; i++) {
        buf_putc(&text, 'x');
    }
    buf_puts(&text, "\"},{\"a\":2}]");
    buf_putc(&text, '\0');
    decode(&f, buf_data(&text));
    assert_int_equal(f.errors, 0);
    assert_int_equal(f.b->rows, 3);
    assert_int_equal(cell(&f, 1, 1).n, 300000);
    buf_fini(&text);
    teardown(&f);
}

static void a_batch_without_memory_hands_on_what_it_has(void **state)
{
    struct fixture f;
    char text[9000];
    struct payload p[40];
    setup(&f, &json, ab);
    snprintf(text, sizeof(text), "{\"a\":1,\"b\":\"%8000d\"}", 5);
    for (int i = 0; i < 40; i++) {
        p[i] = (struct payload){.bytes = str_of(text)};
    }
    uint32_t at = 0, rows = 0, batches = 0;
    while (at < 40) {
        struct batch *b = batch_new(&f.shape, 100 << 10);
        int rc = decoder_decode(f.d, p, 40, &at, b, count_error, &f);
        assert_true(rc == 0 || rc == -E_LIMIT);
        assert_true(b->rows > 0);
        rows += b->rows;
        batches++;
        batch_unref(b);
    }
    assert_int_equal(rows, 40);
    assert_true(batches > 3);
    struct batch *b = batch_new(&f.shape, 20 << 10);
    at = 0;
    assert_int_equal(decoder_decode(f.d, p, 1, &at, b, count_error, &f), -E_LIMIT);
    assert_int_equal(at, 1); /* it would not fit into any */
    assert_int_equal(f.errors, 1);
    batch_unref(b);
    teardown(&f);
}

/* ---- types ---- */

static void declared_types_convert(void **state)
{
    struct fixture f;
    setup(&f, &json, NULL);
    shape_add(&f.shape, STR_LIT("i"), VALUE_INT);
    shape_add(&f.shape, STR_LIT("f"), VALUE_FLOAT);
    shape_add(&f.shape, STR_LIT("t"), VALUE_TIME);
    shape_add(&f.shape, STR_LIT("y"), VALUE_BYTES);
    f.shape.fields[0].fallback = value_int(42);
    decode(&f, "{\"f\":3,\"t\":1500,\"y\":\"aGk=\"}");
    assert_int_equal(f.errors, 0);
    assert_int_equal(cell(&f, 0, 0).i, 42);
    assert_int_equal(f.b->columns[1].kind, COLUMN_FLOAT);
    assert_true(cell(&f, 1, 0).f == 3.0);
    assert_int_equal(cell(&f, 2, 0).i, 1500000);
    assert_int_equal(cell(&f, 3, 0).type, VALUE_BYTES);
    assert_true(str_is(str_n(cell(&f, 3, 0).s, cell(&f, 3, 0).n), "hi"));
    decode(&f, "{\"i\":\"red\"}");
    assert_int_equal(f.errors, 1);
    assert_string_equal(f.last.text, "i has wrong type:string, expect:bigint");
    teardown(&f);
}

static void strict_streams_check(void **state)
{
    struct fixture f;
    setup(&f, &json, NULL);
    shape_add(&f.shape, STR_LIT("size"), VALUE_INT);
    shape_add(&f.shape, STR_LIT("color"), VALUE_STRING);
    f.shape.strict = true;
    decode(&f, "{\"size\":3.0,\"color\":\"red\"}");
    assert_int_equal(f.errors, 0);
    decode(&f, "{\"size\":\"red\",\"color\":\"red\"}");
    assert_string_equal(f.last.text, "error in preprocessor: field size type mismatch: cannot "
                                     "convert string(red) to int64");
    decode(&f, "{\"size\":1}");
    assert_string_equal(f.last.text, "error in preprocessor: field color is not found");
    assert_int_equal(f.b->rows, 0);
    teardown(&f);
}

static void a_field_gives_the_event_time(void **state)
{
    struct fixture f;
    struct format_options opts = {.timestamp = STR_LIT("ts")};
    setup(&f, &opts, ab);
    decode(&f,
           "[{\"ts\":1541152486013,\"a\":1},{\"a\":2,\"ts\":\"1970-01-01T00:00:02Z\"},{\"a\":3}]");
    assert_int_equal(f.b->rows, 2);
    assert_int_equal(f.b->time_us[0], 1541152486013000);
    assert_int_equal(f.b->time_us[1], 2000000);
    assert_int_equal(f.errors, 1);
    teardown(&f);
}

static void times_follow_their_format(void **state)
{
    static const struct {
        const char *format, *text, *want; /* want NULL: refused */
    } cases[] = {
        {"YYYY-MM-dd HH:mm:ss", "2018-11-02 09:54:46", "2018-11-02T09:54:46Z"},
        {"yyyy/M/d", "2018/3/4", "2018-03-04T00:00:00Z"},
        {"YYYY-MM-dd'T'HH:mm:ss.SSSZZ", "2018-11-02T09:54:46.013+02:00",
         "2018-11-02T07:54:46.013Z"},
        {"YYYY-MM-dd", "2018-11-02 09:00", NULL},
        {"YYYY-MM-dd", "2018-13-02", NULL},
        {"HH:mm", "x", NULL},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        struct fixture f;
        struct wall want;
        char text[100];
        struct format_options opts = {.timestamp = STR_LIT("ts"),
                                      .timestamp_format = str_of(cases[i].format)};
        setup(&f, &opts, ab);
        snprintf(text, sizeof(text), "{\"ts\":\"%s\"}", cases[i].text);
        decode(&f, text);
        assert_int_equal(f.errors, cases[i].want == NULL);
        if (cases[i].want) {
            assert_int_equal(time_parse(str_of(cases[i].want), &want), 0);
            assert_int_equal(f.b->time_us[0], want.us);
        }
        teardown(&f);
    }
}

/* ---- numbers ---- */

static const char *read_number(const char *text, struct value *v)
{
    char padded[600 + JSON_PAD] = {0};
    assert_true(strlen(text) < 600);
    memcpy(padded, text, strlen(text));
    const char *end = json_read_number(padded, v);
    return end ? text + (end - padded) : NULL;
}

static void integers_are_exact_and_others_are_floats(void **state)
{
    struct value v;
    assert_non_null(read_number("9223372036854775807", &v));
    assert_true(v.type == VALUE_INT && v.i == INT64_MAX);
    assert_non_null(read_number("-9223372036854775808", &v));
    assert_true(v.type == VALUE_INT && v.i == INT64_MIN);
    assert_non_null(read_number("9223372036854775808", &v));
    assert_true(v.type == VALUE_FLOAT && v.f == 9223372036854775808.0);
    assert_non_null(read_number("1.0", &v));
    assert_int_equal(v.type, VALUE_FLOAT);
    assert_non_null(read_number("99999999999999999999999999999999", &v));
    assert_true(v.f == 99999999999999999999999999999999.0);
    assert_null(read_number("1e400", &v));
}

static uint64_t next_random(uint64_t *s)
{
    *s ^= *s << 13;
    *s ^= *s >> 7;
    *s ^= *s << 17;
    return *s;
}

static uint64_t seed(void)
{
    const char *given = getenv("SEED");
    uint64_t s = (uint64_t)time(NULL);
    if (given) {
        assert_int_equal(str_u64(str_of(given), &s), 0);
    }
    print_message("SEED=%llu\n", (unsigned long long)s);
    return s * 2654435761u + 1;
}

static void floats_are_rounded_as_the_c_library_does(void **state)
{
    uint64_t s = seed();
    for (int i = 0; i < 300000; i++) {
        char text[64];
        uint64_t r = next_random(&s), m = next_random(&s) >> (next_random(&s) % 64);
        int kind = (int)(r % 4), e = (int)(r >> 8) % 26;
        if (kind == 0) {
            snprintf(text, sizeof(text), "%llue%d", (unsigned long long)m, e - 22);
        } else if (kind == 1) {
            double d;
            memcpy(&d, &m, sizeof(d));
            if (!isfinite(d)) {
                continue;
            }
            snprintf(text, sizeof(text), "%.17g", d);
        } else if (kind == 2) {
            snprintf(text, sizeof(text), "-%llu.%llu", (unsigned long long)m % 1000,
                     (unsigned long long)next_random(&s) % 1000000000000ull);
        } else {
            snprintf(text, sizeof(text), "0.%0*llu", 1 + e % 19, (unsigned long long)m);
        }
        struct value v;
        double want = strtod(text, NULL);
        if (isinf(want) || (text[0] == '0' && text[1] != '.')) {
            continue;
        }
        if (!read_number(text, &v) || (v.type == VALUE_FLOAT && v.f != want)) {
            fail_msg("%s is read as %.17g, not %.17g", text, v.f, want);
        }
    }
}

/* ---- round trip ---- */

static void random_value(uint64_t *s, struct buf *out, int depth)
{
    static const char *const texts[] = {
        "\"\"", "\"plain\"", "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"",
        "\"a\\\"b\\\\c\\n\\t\\u0001\"", "\"a text of more than sixteen bytes\""};
    switch (next_random(s) % (depth ? 8 : 6)) {
    case 0:
        buf_printf(out, "%lld", (long long)next_random(s) >> (next_random(s) % 64));
        return;
    case 1:
        buf_printf(out, "%lld.%u1", (long long)(next_random(s) % 2000) - 1000,
                   (unsigned)(next_random(s) % 100000));
        return;
    case 2:
        buf_puts(out, texts[next_random(s) % ARRAY_SIZE(texts)]);
        return;
    case 3:
        buf_puts(out, next_random(s) % 2 ? "true" : "false");
        return;
    case 4:
        buf_puts(out, "null");
        return;
    case 5:
        buf_printf(out, "%llu", (unsigned long long)next_random(s) % 100);
        return;
    default:
        break;
    }
    bool object = next_random(s) % 2;
    uint32_t n = next_random(s) % 20;
    buf_putc(out, object ? '{' : '[');
    for (uint32_t i = 0; i < n; i++) {
        buf_puts(out, i ? "," : "");
        if (object) {
            buf_printf(out, "\"k%u\":", i);
        }
        random_value(s, out, depth - 1);
    }
    buf_putc(out, object ? '}' : ']');
}

static void what_is_read_is_written_again(void **state)
{
    static const char *const names[] = {"f0", "f1", "f2", "f3", NULL};
    struct fixture f;
    uint64_t s = seed();
    setup(&f, &json, names);
    for (int round = 0; round < 3000; round++) {
        struct buf text = BUF_INIT, want = BUF_INIT;
        uint32_t rows = 2 + next_random(&s) % 5; /* one alone is written without brackets */
        buf_putc(&text, '[');
        buf_putc(&want, '[');
        for (uint32_t i = 0; i < rows; i++) {
            buf_puts(&text, i ? " ,\n{" : "{");
            buf_puts(&want, i ? ",{" : "{");
            bool first = true, named = false;
            for (uint32_t k = 0; k < 6; k++) { /* f4 and f5 nobody names */
                struct buf v = BUF_INIT;
                if (next_random(&s) % 4 == 0) {
                    continue;
                }
                random_value(&s, &v, 3);
                buf_printf(&text, "%s\"f%u\":" STR_FMT, first ? "" : ",", k, STR_ARG(buf_str(&v)));
                if (k < 4) {
                    buf_printf(&want, "%s\"f%u\":" STR_FMT, named ? "," : "", k,
                               STR_ARG(buf_str(&v)));
                    named = true;
                }
                first = false;
                buf_fini(&v);
            }
            buf_putc(&text, '}');
            buf_putc(&want, '}');
        }
        buf_append(&text, "]", 2);
        buf_append(&want, "]", 2);
        decode(&f, buf_data(&text));
        assert_int_equal(f.errors, 0);
        expect_encoded(&f, buf_data(&want));
        buf_fini(&text);
        buf_fini(&want);
    }
    teardown(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_named_members_are_read),
        cmocka_unit_test(columns_are_typed_until_types_mix),
        cmocka_unit_test(the_order_of_members_may_change_and_members_may_be_left_out),
        cmocka_unit_test(a_field_that_is_named_later_is_read_from_then_on),
        cmocka_unit_test(whole_events_keep_their_order_and_the_last_of_a_name),
        cmocka_unit_test(garbage_is_refused_and_leaves_no_trace),
        cmocka_unit_test(a_row_that_fails_leaves_nothing_for_the_next),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_long_array_fills_batch_after_batch),
        cmocka_unit_test(an_event_larger_than_a_window_is_read),
        cmocka_unit_test(a_batch_without_memory_hands_on_what_it_has),
        cmocka_unit_test(declared_types_convert),
        cmocka_unit_test(strict_streams_check),
        cmocka_unit_test(a_field_gives_the_event_time),
        cmocka_unit_test(times_follow_their_format),
        cmocka_unit_test(integers_are_exact_and_others_are_floats),
        cmocka_unit_test(floats_are_rounded_as_the_c_library_does),
        cmocka_unit_test(what_is_read_is_written_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

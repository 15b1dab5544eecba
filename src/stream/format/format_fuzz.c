/* SPDX-License-Identifier: Apache-2.0 */
/* One payload through a decoder in all its modes; see format_fuzz.h. */
#include "format_fuzz.h"

#include "base/mem.h"

static void note(void *arg, const struct payload *p, const struct err *err)
{
    assert(err->code < 0);
    *(bool *)arg = false;
}

static void must_print(struct encoder *e, const struct batch *b)
{
    struct buf out = BUF_INIT;
    struct arena a;
    struct json *j;
    struct err err;
    arena_init(&a, (size_t)256 << 20);
    int rc = encoder_encode(e, b, 0, b->rows, /* array= */ true, /* nulls= */ false, &out, &err);
    assert(rc == 0);
    rc = json_parse(&a, buf_str(&out), NULL, &j, &err);
    assert(rc != -E_PARSE);
    for (uint32_t i = 0; b->whole && i < b->rows; i++) {
        buf_clear(&out);
        rc = value_print_json(&out, &b->whole[i]);
        assert(rc == 0);
    }
    arena_fini(&a);
    buf_fini(&out);
}

static bool run(const struct format_options *opts, const struct shape *shape, struct str bytes)
{
    struct payload p = {.bytes = bytes, .arrival_us = 1};
    struct decoder *d;
    struct encoder *e;
    bool good = true;
    uint32_t at = 0;
    if (decoder_new(opts, shape, &d, NULL) < 0) {
        return false;
    }
    int rc = encoder_new(&(struct format_options){0}, &e, NULL);
    assert(rc == 0);
    for (int i = 0; at == 0 && i < 100; i++) {
        struct batch *b = batch_new(shape, 0);
        rc = decoder_decode(d, &p, 1, &at, b, note, &good);
        assert(rc == 0 || rc == -E_LIMIT);
        must_print(e, b);
        batch_unref(b);
    }
    encoder_free(e);
    decoder_free(d);
    return good;
}

bool fuzz_format(const struct format_options *opts, struct str bytes)
{
    static const char *const names[] = {"a", "b", "id", "self", "col0", "col1"};
    struct shape shape;
    shape_init(&shape);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        int slot = shape_add(&shape, str_of(names[i]), VALUE_NULL);
        assert(slot >= 0);
    }
    bool good = run(opts, &shape, bytes);
    shape.whole = true;
    (void)run(opts, &shape, bytes); /* what is read entirely may be refused where it was skipped */
    static const enum value_type types[] = {VALUE_INT,   VALUE_FLOAT, VALUE_TIME,
                                            VALUE_BYTES, VALUE_BOOL,  VALUE_STRING};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        shape.fields[i].type = types[i];
    }
    (void)run(opts, &shape, bytes);
    shape.strict = true;
    (void)run(opts, &shape, bytes);
    shape_fini(&shape);
    return good;
}

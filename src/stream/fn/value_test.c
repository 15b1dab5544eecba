/* SPDX-License-Identifier: Apache-2.0 */
/* Values: operators with eKuiper's texts, sameness and hash, order, printing, checkpoints, rows. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "stream/row.h"

static struct value json_value(struct arena *a, const char *text)
{
    struct json *tree;
    assert_int_equal(json_parse(a, str_of(text), NULL, &tree, NULL), 0);
    return value_from_json(a, tree);
}

static void gives(const char *a, enum value_op op, const char *b, const char *wanted)
{
    struct arena arena;
    struct buf out = BUF_INIT;
    struct err err;
    struct value ret;
    arena_init(&arena, 0);
    struct value x = json_value(&arena, a), y = json_value(&arena, b);
    if (value_apply(op, &x, &y, &ret, &err) < 0) {
        (void)buf_puts(&out, err.text);
    } else {
        (void)value_print_json(&out, &ret);
    }
    if (!str_is(buf_str(&out), wanted)) {
        fail_msg("%s %s %s: " STR_FMT, a, value_op_text(op), b, STR_ARG(buf_str(&out)));
    }
    buf_fini(&out);
    arena_fini(&arena);
}

static void operators_follow_ekuiper(void **state)
{
    (void)state;
    gives("7", VALUE_DIV, "2", "3");
    gives("7", VALUE_DIV, "2.0", "3.5");
    gives("7", VALUE_DIV, "0", "divided by zero");
    gives("7", VALUE_MOD, "0", "divided by zero");
    gives("-7", VALUE_MOD, "2", "-1");
    gives("9223372036854775807", VALUE_ADD, "1", "9.223372036854776e+18");
    gives("-9223372036854775808", VALUE_DIV, "-1", "9.223372036854776e+18");
    gives("6", VALUE_BIT_AND, "3", "2");
    gives("6", VALUE_BIT_XOR, "3", "5");
    gives("5", VALUE_MUL, "\"a\"", "invalid operation int64(5) * string(a)");
    gives("50", VALUE_EQ, "\"v1\"", "invalid operation int64(50) = string(v1)");
    gives("\"red\"", VALUE_GT, "3", "invalid operation string(red) > int64(3)");
    gives("1.5", VALUE_BIT_OR, "1", "invalid operation float64(1.5) | int64(1)");
    gives("true", VALUE_LT, "false", "invalid operation bool(true) < bool(false)");
    gives("9007199254740993", VALUE_GT, "9007199254740992.0", "true");
    gives("1", VALUE_EQ, "1.0", "true");
    gives("\"a\"", VALUE_LT, "\"b\"", "true");
    gives("null", VALUE_EQ, "null", "false");
    gives("null", VALUE_ADD, "1", "null");
    gives("null", VALUE_OR, "true", "true");
    gives("null", VALUE_AND, "true", "false");
}

static void times_compare_with_numbers_and_texts(void **state)
{
    const struct value t = value_time((struct wall){1568854515678000});
    const struct value text = value_string(STR_LIT("2019-09-19T00:55:15.000Z"));
    const struct value ms = value_int(1568854515678), other = value_string(STR_LIT("noon"));
    struct value ret;
    struct err err;
    (void)state;
    assert_int_equal(value_apply(VALUE_GT, &t, &text, &ret, &err), 0);
    assert_true(ret.b);
    assert_int_equal(value_apply(VALUE_EQ, &t, &ms, &ret, &err), 0);
    assert_true(ret.b);
    assert_int_equal(value_apply(VALUE_EQ, &t, &other, &ret, &err), -E_INVAL);
    assert_int_equal(value_apply(VALUE_ADD, &t, &ms, &ret, &err), -E_INVAL);
}

static uint64_t rnd_state;

static uint64_t rnd(void)
{
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 7;
    rnd_state ^= rnd_state << 17;
    return rnd_state;
}

static void start(void)
{
    const char *given = getenv("SEED");
    uint64_t seed = (uint64_t)time(NULL);
    if (given) {
        assert_int_equal(str_u64(str_of(given), &seed), 0);
    }
    print_message("SEED=%llu\n", (unsigned long long)seed);
    rnd_state = seed * 2654435761u + 1;
}

static size_t digits_of(const char *text)
{
    size_t n = 0, zeros = 0;
    bool some = false;
    for (; *text && *text != 'e'; text++) {
        if (*text >= '0' && *text <= '9') {
            some = some || *text != '0';
            n += some;
            zeros = *text == '0' ? zeros + 1 : 0;
        }
    }
    return n > zeros ? n - zeros : 0;
}

/* Against the C library: one digit less does not read back. */
static void check_float(double f)
{
    char text[33], shorter[64];
    size_t n = value_print_float(text, f);
    assert_true(n <= 32);
    text[n] = 0;
    double back = strtod(text, NULL);
    if (memcmp(&back, &f, sizeof(f)) != 0) {
        fail_msg("%.17g prints as %s", f, text);
    }
    size_t digits = digits_of(text);
    if (digits > 1 && fabs(f) < 1e15) {
        (void)snprintf(shorter, sizeof(shorter), "%.*e", (int)digits - 2, f);
        if (strtod(shorter, NULL) == f) {
            fail_msg("%.17g prints as %s, %s would do", f, text, shorter);
        }
    }
}

static void floats_print_shortest_and_read_back(void **state)
{
    static const double edges[] = {0.0,
                                   -0.0,
                                   0.1,
                                   1e15,
                                   1e21,
                                   5e-324,
                                   1e-5,
                                   1e-4,
                                   123.456,
                                   1e9 + 0.1,
                                   9007199254740993.0,
                                   1.7976931348623157e308};
    (void)state;
    start();
    for (size_t i = 0; i < ARRAY_SIZE(edges); i++) {
        check_float(edges[i]);
    }
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bits = rnd();
        double f;
        memcpy(&f, &bits, sizeof(f));
        if (isfinite(f)) {
            check_float(f);
        }
        check_float((double)(int64_t)(rnd() % 20000000 - 10000000) / 1000);
        check_float((double)(rnd() % 100000) * 1e-7);
    }
}

static struct value random_value(struct arena *a, unsigned depth)
{
    static const char *const texts[] = {"", "a", "ab", "\xc3\xa4"};
    struct value v = {.type = (uint32_t)(rnd() >> 20) % (depth > 2 ? VALUE_ARRAY : VALUE_TYPE_NR)};
    uint32_t n = (uint32_t)(rnd() >> 20) % 3;
    switch (v.type) {
    case VALUE_BOOL:
        return value_bool(n > 1);
    case VALUE_INT:
    case VALUE_TIME:
        v.i = (int64_t)(rnd() >> 20) % 4 - 1;
        return v;
    case VALUE_FLOAT:
        return value_float(((double)((rnd() >> 20) % 8) - 2) / 2);
    case VALUE_STRING:
    case VALUE_BYTES:
        v.s = texts[(rnd() >> 20) % 4];
        v.n = (uint32_t)strlen(v.s);
        return v;
    case VALUE_ARRAY: {
        struct value *items = arena_alloc(a, 4 * sizeof(*items));
        for (uint32_t i = 0; i < n; i++) {
            items[i] = random_value(a, depth + 1);
        }
        v.n = n;
        v.items = items;
        return v;
    }
    case VALUE_OBJECT: {
        static const char *const names[] = {"x", "y", "z"};
        struct value_member *members = arena_alloc(a, 4 * sizeof(*members));
        for (uint32_t i = 0; i < n; i++) {
            members[i] = (struct value_member){str_of(names[i]), random_value(a, depth + 1)};
        }
        v.n = n;
        v.members = members;
        return v;
    }
    default:
        return v;
    }
}

static void sameness_hash_and_order_agree(void **state)
{
    struct arena a;
    (void)state;
    start();
    arena_init(&a, 0);
    for (unsigned i = 0; i < 20000; i++) {
        struct value x = random_value(&a, 0), y = random_value(&a, 0), z = random_value(&a, 0);
        int xy = value_order(&x, &y);
        assert_true((xy > 0) == (value_order(&y, &x) < 0));
        assert_true(value_same(&x, &y) == value_same(&y, &x));
        if (value_same(&x, &y)) {
            assert_true(value_hash(&x, 7) == value_hash(&y, 7));
        }
        if (xy <= 0 && value_order(&y, &z) <= 0) {
            assert_true(value_order(&x, &z) <= 0);
        }
        arena_clear(&a);
    }
    arena_fini(&a);
}

static void values_survive_checkpoints_as_text(void **state)
{
    struct arena a;
    (void)state;
    start();
    arena_init(&a, 0);
    for (unsigned i = 0; i < 5000; i++) {
        struct buf text = BUF_INIT;
        struct value x = random_value(&a, 0), saved = value_save(&a, &x), y;
        (void)value_print_json(&text, &saved);
        (void)buf_putc(&text, 0);
        saved = json_value(&a, buf_data(&text));
        assert_int_equal(value_load(&a, &saved, &y), 0);
        assert_true(x.type == y.type && value_same(&x, &y));
        buf_fini(&text);
        arena_clear(&a);
    }
    struct value x = value_float(-INFINITY), saved = value_save(&a, &x), y;
    assert_true(value_load(&a, &saved, &y) == 0 && y.f == -INFINITY);
    saved = json_value(&a, "{\"$q\":1}");
    assert_int_equal(value_load(&a, &saved, &y), -E_INVAL);
    arena_fini(&a);
}

static void a_row_owns_all_it_points_to(void **state)
{
    struct arena a;
    (void)state;
    arena_init(&a, 0);
    struct value cells[2] = {json_value(&a, "{\"a\":[\"text\",1.5]}"), value_int(3)};
    struct value meta = json_value(&a, "{\"topic\":\"t\"}");
    struct row *r = row_new(cells, 2, NULL, &meta, 5, 6);
    assert_non_null(r);
    struct value saved = row_save(&a, r);
    struct row *again = row_load(&saved);
    arena_clear(&a);
    assert_non_null(again);
    for (int i = 0; i < 2; i++) {
        const struct row *x = i ? again : r;
        const struct value *list = value_get(&x->cells[0], STR_LIT("a"));
        assert_true(str_is(value_text(&list->items[0]), "text"));
        assert_true(x->time_us == 5 && x->sequence == 6 && row_cell(x, 1)->i == 3);
        assert_int_equal(row_cell(x, 2)->type, VALUE_ABSENT);
        assert_int_equal(x->whole.type, VALUE_ABSENT);
        assert_true(str_is(value_text(value_get(&x->meta, STR_LIT("topic"))), "t"));
    }
    row_unref(row_ref(r));
    row_unref(r);
    row_unref(again);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operators_follow_ekuiper),
        cmocka_unit_test(times_compare_with_numbers_and_texts),
        cmocka_unit_test(floats_print_shortest_and_read_back),
        cmocka_unit_test(sameness_hash_and_order_agree),
        cmocka_unit_test(values_survive_checkpoints_as_text),
        cmocka_unit_test(a_row_owns_all_it_points_to),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every aggregate function in every kind of window gives the same whether rows are kept and
 * computed at the end, or folded as they come; with states saved and loaded in between. The seed is
 * printed and may be given.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "base/mem.h"
#include "window.h"

#define MS INT64_C(1000)
#define ROWS 120

static struct expr field_key = {.kind = EXPR_FIELD, .slot = 0};
static struct expr field_value = {.kind = EXPR_FIELD, .slot = 1};
static struct expr half = {
    .kind = EXPR_CONST, .source = -1, .value = {.type = VALUE_FLOAT, .f = 0.5}};
static struct expr limit = {.kind = EXPR_CONST, .source = -1, .value = {.type = VALUE_INT, .i = 1}};
static struct expr above = {
    .kind = EXPR_BINARY, .op = VALUE_GT, .source = -1, .a = &field_key, .b = &limit};
static struct expr *keys[] = {&field_key};

struct side { /* one of the two windows */
    struct window *window;
    struct window_spec spec;
    struct buf text;
    int errors;
};

static void print(struct buf *b, const struct value *v)
{
    if (v->type == VALUE_FLOAT) {
        double f = fabs(v->f) < 1e-9 ? 0 : v->f; /* the order of additions differs */
        buf_printf(b, " %.9g", f);
    } else if (v->type == VALUE_ARRAY) {
        for (uint32_t i = 0; i < v->n; i++) { /* one level: lists of values */
            buf_puts(b, i > 0 ? "," : " [");
            value_print_json(b, &v->items[i]);
        }
    } else {
        buf_puts(b, " ");
        value_print_json(b, v);
    }
}

static void on_emit(void *arg, const struct window_output *out)
{
    struct side *s = arg;
    buf_printf(&s->text, "[%lld %lld]", (long long)out->range.start, (long long)out->range.end);
    for (uint32_t i = 0; i < out->n_groups; i++) {
        const struct window_group *g = &out->groups[i];
        if (g->n_tuples > 0) {
            buf_printf(&s->text, "%lld", (long long)g->tuples[0]->rows[0]->time_us);
        }
        print(&s->text, &g->aggregates[0]);
        buf_puts(&s->text, ";");
    }
    buf_puts(&s->text, "\n");
}

static void on_error(void *arg, const struct row *row, const struct err *err)
{
    (void)row;
    (void)err;
    ((struct side *)arg)->errors++;
}

static void open_side(struct side *s, const struct window_spec *spec, bool keep)
{
    struct err err;
    *s = (struct side){.spec = *spec};
    s->spec.needs_rows = keep;
    assert_int_equal(window_new(&s->spec, on_emit, on_error, s, &s->window, &err), 0);
}

static void reload(struct side *s)
{
    struct arena a;
    struct value saved;
    struct err err = {0};
    arena_init(&a, 0);
    assert_int_equal(window_save(s->window, &a, &saved), 0);
    window_free(s->window);
    assert_int_equal(window_new(&s->spec, on_emit, on_error, s, &s->window, &err), 0);
    if (window_load(s->window, &saved, &err) < 0) {
        fail_msg("%s", err.text);
    }
    arena_fini(&a);
}

static struct value any_value(void)
{
    switch (random() % 6) {
    case 0:
        return (struct value){.type = random() % 2 ? VALUE_NULL : VALUE_ABSENT};
    case 1:
        return value_float((double)(random() % 1000) / 8);
    default:
        return value_int(random() % 20 - 10);
    }
}

static void push(struct side sides[2], int64_t at)
{
    struct value cells[] = {value_int(random() % 4), any_value()};
    struct row *r = row_new(cells, 2, NULL, NULL, at, (uint64_t)at);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(window_push(sides[i].window, 0, r), 0);
    }
    row_unref(r);
}

static void compare(const struct function *f, enum ast_window_kind kind)
{
    struct expr *args[] = {&field_value, &half};
    struct aggregate_call call = {.function = f,
                                  .args = args,
                                  .n_args = MIN_OF(MAX_OF(f->min_args, (uint8_t)1), (uint8_t)2),
                                  .filter = random() % 4 ? NULL : &above};
    struct window_spec spec = {.kind = kind,
                               .length = kind == AST_WINDOW_COUNT ? 1 + random() % 9 : 50 * MS,
                               .interval = kind == AST_WINDOW_COUNT ? 1 + random() % 3 : 20 * MS,
                               .unit = str_of("ms"),
                               .event_time = random() % 2,
                               .begin = kind == AST_WINDOW_STATE ? &above : NULL,
                               .where = random() % 3 ? NULL : &above,
                               .n_sources = 1,
                               .keys = keys,
                               .n_keys = random() % 2,
                               .aggregates = &call,
                               .n_aggregates = 1,
                               .grouped = true};
    if (kind == AST_WINDOW_COUNT) {
        spec.interval = MIN_OF(spec.interval, spec.length);
    }
    struct side sides[2];
    open_side(&sides[0], &spec, true);
    open_side(&sides[1], &spec, false);
    int64_t at = 1000000;
    for (int i = 0; i < ROWS; i++) {
        at += random() % (10 * MS);
        push(sides, at);
        for (int k = 0; k < 2 && i % 3 == 0; k++) {
            assert_int_equal(window_advance(sides[k].window, at), 0);
        }
        if (random() % 20 == 0) {
            reload(&sides[0]);
            reload(&sides[1]);
        }
    }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(window_advance(sides[k].window, at + 1000 * MS), 0);
        buf_putc(&sides[k].text, '\0');
    }
    if (!cstr_eq(buf_data(&sides[0].text), buf_data(&sides[1].text))) {
        const char *x = buf_data(&sides[0].text), *y = buf_data(&sides[1].text);
        size_t n = 0;
        while (x[n] == y[n]) {
            n++;
        }
        n -= MIN_OF(n, (size_t)100);
        fail_msg("%s in kind %d:\nkept   ...%.300s\nfolded ...%.300s", f->name, kind, x + n, y + n);
    }
    for (int k = 0; k < 2; k++) {
        window_free(sides[k].window);
        buf_fini(&sides[k].text);
    }
}

static void folding_agrees_with_keeping_rows_for_every_aggregate(void **state)
{
    (void)state;
    const char *given = getenv("SEED");
    uint64_t seed = (uint64_t)time(NULL);
    if (given) {
        (void)str_u64(str_of(given), &seed); /* the time stays where it is no number */
    }
    print_message("SEED=%llu\n", (unsigned long long)seed);
    srandom((unsigned)seed);
    uint32_t n, tried = 0;
    const struct function *const *all = function_all(&n);
    for (uint32_t i = 0; i < n; i++) {
        if (all[i]->kind != FUNCTION_AGGREGATE) {
            continue;
        }
        tried++;
        for (enum ast_window_kind k = AST_WINDOW_TUMBLING; k <= AST_WINDOW_STATE; k++) {
            for (int round = 0; round < 10; round++) {
                compare(all[i], k);
            }
        }
    }
    print_message("%u aggregates\n", tried);
    assert_true(tried >= 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folding_agrees_with_keeping_rows_for_every_aggregate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Vector programs against the row evaluator: random expressions over random columns (typed, with
 * gaps, of mixed types, NaN, infinities, numbers at the edges), same values, same errors, bit for
 * bit. SEED=n repeats a run.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "program.h"

#define COLUMNS 8
#define COMPUTED 2

static uint64_t state;

static uint64_t rnd(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(rnd() >> 11) % n;
}

static void start(uint64_t add)
{
    const char *given = getenv("SEED");
    uint64_t s = (uint64_t)time(NULL);
    if (given) {
        assert_int_equal(str_u64(str_of(given), &s), 0);
    }
    print_message("SEED=%llu\n", (unsigned long long)s);
    state = (s + add) * 2654435761u + 1;
}

/* ---- values ---- */

static struct value random_int(void)
{
    static const int64_t edges[] = {INT64_MAX, INT64_MIN, INT64_MAX - 1,   -1,
                                    0,         1,         (1ll << 53) + 1, -(1ll << 53)};
    return value_int(below(6) ? (int64_t)below(10) - 3 : edges[below(ARRAY_SIZE(edges))]);
}

static struct value random_float(void)
{
    static const double edges[] = {NAN,   INFINITY, -INFINITY, -0.0, 9007199254740993.0,
                                   1e300, 9.3e18};
    return value_float(below(6) ? ((double)below(20) - 6) / 2 : edges[below(ARRAY_SIZE(edges))]);
}

static struct value random_value(void)
{
    static const char *const texts[] = {"", "red", "blue", "reds", "a longer text than others"};
    static const struct value items[] = {{.type = VALUE_INT, .i = 1}, {.type = VALUE_NULL}};
    switch (below(10)) {
    case 0:
        return (struct value){.type = VALUE_ABSENT};
    case 1:
        return VALUE_OF_NULL;
    case 2:
        return value_bool(below(2));
    case 3:
    case 4:
        return random_int();
    case 5:
        return random_float();
    case 6:
        return (struct value){.type = VALUE_TIME, .i = (int64_t)below(5) * 1000};
    case 7:
        return (struct value){.type = VALUE_ARRAY, .n = 2, .items = items};
    default:
        return value_string(str_of(texts[below(ARRAY_SIZE(texts))]));
    }
}

/* A value of a column of one of the kinds that decoders make. */
static struct value cell_of(uint32_t kind)
{
    static const struct value absent = {.type = VALUE_ABSENT};
    switch (kind) {
    case 0:
        return random_int();
    case 1:
        return random_float();
    case 2:
        return value_bool(below(2));
    case 3:
        return value_string(below(2) ? STR_LIT("red") : STR_LIT("blue"));
    case 4:
        return random_value();
    case 5:
        return value_int(below(7));
    case 6:
        return value_float((double)below(14) / 2);
    default:
        return absent;
    }
}

static void random_column(struct batch *b, struct column *c)
{
    struct value *v = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*v));
    uint32_t kind = below(8), gaps = below(2) ? 0 : 4;
    for (uint32_t i = 0; i < b->rows; i++) {
        bool gap = kind != 4 && gaps && below(gaps) == 0;
        v[i] = cell_of(gap ? 7 : kind);
    }
    column_from_values(b, c, v);
}

/* ---- expressions ---- */

static struct expr *new_expr(struct arena *a, enum expr_kind kind)
{
    struct expr *e = arena_zalloc(a, sizeof(*e));
    e->kind = kind;
    e->source = -1;
    return e;
}

static struct expr *random_const(struct arena *a)
{
    struct expr *e = new_expr(a, EXPR_CONST);
    e->value = below(3) ? random_int() : random_value();
    return e;
}

static struct expr *random_expr(struct arena *a, int depth);

static struct expr *leaf(struct arena *a)
{
    struct expr *e = new_expr(a, below(6) ? EXPR_FIELD : EXPR_COMPUTED);
    e->source = 0;
    e->slot = e->kind == EXPR_FIELD ? below(COLUMNS + 1) : below(COMPUTED);
    return below(4) ? e : random_const(a);
}

static struct expr *binary(struct arena *a, enum value_op op, int depth)
{
    struct expr *e = new_expr(a, EXPR_BINARY);
    e->op = op;
    e->a = random_expr(a, depth);
    e->b = random_expr(a, depth);
    return e;
}

static struct expr *random_list(struct arena *a, struct expr *e, uint32_t n, int depth)
{
    e->n_list = n;
    e->list = arena_alloc(a, n * sizeof(*e->list));
    for (uint32_t i = 0; i < n; i++) {
        e->list[i] = depth ? random_expr(a, depth) : random_const(a);
    }
    return e;
}

static struct expr *special(struct arena *a, int depth)
{
    static const char *const patterns[] = {"%e%", "re_", "red", "%", ""};
    static const enum expr_kind kinds[] = {EXPR_NOT, EXPR_MINUS, EXPR_BETWEEN,
                                           EXPR_IN,  EXPR_LIKE,  EXPR_CASE};
    struct expr *e = new_expr(a, kinds[below(ARRAY_SIZE(kinds))]);
    e->negated = below(2);
    switch (e->kind) {
    case EXPR_BETWEEN:
        e->a = random_expr(a, depth);
        e->b = below(3) ? random_const(a) : random_expr(a, depth);
        e->c = below(3) ? random_const(a) : random_expr(a, depth);
        return e;
    case EXPR_IN:
        e->a = random_expr(a, depth);
        return random_list(a, e, 1 + below(4), below(3) ? 0 : depth);
    case EXPR_LIKE:
        e->a = random_expr(a, depth);
        e->compiled = expr_like_compile(a, str_of(patterns[below(ARRAY_SIZE(patterns))]));
        return e;
    case EXPR_CASE:
        e->a = below(2) ? random_expr(a, depth) : NULL;
        e->c = below(2) ? random_expr(a, depth) : NULL;
        return random_list(a, e, 2 * (1 + below(2)), depth);
    default:
        e->a = random_expr(a, depth);
        return e;
    }
}

static struct expr *random_expr(struct arena *a, int depth)
{
    if (depth <= 0 || below(5) == 0) {
        return leaf(a);
    }
    uint32_t choice = below(10);
    return choice < 4   ? binary(a, VALUE_EQ + below(6), depth - 1)
           : choice < 6 ? binary(a, VALUE_ADD + below(8), depth - 1)
           : choice < 8 ? binary(a, below(2) ? VALUE_AND : VALUE_OR, depth - 1)
                        : special(a, depth - 1);
}

/* ---- comparison ---- */

struct seen {
    uint8_t failed[BATCH_ROWS];
    struct err errs[BATCH_ROWS];
};

static void remember(void *arg, uint32_t row, const struct err *err)
{
    struct seen *s = arg;
    assert_false(s->failed[row]); /* once a row */
    s->failed[row] = 1;
    s->errs[row] = *err;
}

static bool identical(const struct value *a, const struct value *b)
{
    if (a->type != b->type) {
        return false;
    }
    if (a->type == VALUE_FLOAT) {
        return memcmp(&a->f, &b->f, sizeof(a->f)) == 0 || (isnan(a->f) && isnan(b->f));
    }
    return value_same(a, b);
}

struct world {
    struct batch *b;
    struct column computed[COMPUTED];
    struct tuple *tuple;
    struct row *row;
    struct value values[COMPUTED];
};

static int by_row(struct world *w, const struct expr *e, uint32_t row, struct value *ret,
                  struct err *err)
{
    struct eval ev = {.arena = &w->b->arena, .tuple = w->tuple, .computed = w->values, .now_us = 5};
    for (uint32_t i = 0; i < COLUMNS; i++) {
        batch_get(w->b, i, row, &w->row->cells[i]);
    }
    for (uint32_t i = 0; i < COMPUTED; i++) {
        column_get(&w->computed[i], row, &w->values[i]);
    }
    return expr_eval(e, &ev, ret, err);
}

static void random_selection(const struct batch *b, struct selection *sel)
{
    uint32_t step = below(3) ? 1 : 3;
    sel->n = 0;
    for (uint32_t i = 0; i < b->rows; i++) {
        if (step == 1 || below(step) == 0) {
            sel->rows[sel->n++] = (uint16_t)i;
        }
    }
}

static void expect_text(const struct seen *s, uint32_t row, const struct err *err)
{
    if (!s->failed[row]) {
        fail_msg("row %u did not fail: %s", row, err->text);
    }
    assert_string_equal(s->errs[row].text, err->text);
}

static void check_column(struct world *w, struct program *p, const struct expr *e)
{
    struct seen *s = test_calloc(1, sizeof(*s));
    struct program_input in = {
        .batch = w->b, .computed = w->computed, .now_us = 5, .on_error = remember, .arg = s};
    struct selection all, sel;
    struct column c;
    random_selection(w->b, &all);
    sel = all;
    assert_int_equal(program_column(p, &in, &sel, &c), 0);
    uint32_t k = 0;
    for (uint32_t i = 0; i < all.n; i++) {
        struct value want, got;
        struct err err;
        uint32_t row = all.rows[i];
        if (by_row(w, e, row, &want, &err) < 0) {
            expect_text(s, row, &err);
            continue;
        }
        assert_true(k < sel.n && sel.rows[k++] == row);
        column_get(&c, row, &got);
        if (!identical(&want, &got)) {
            fail_msg("row %u: type %u and %u, %g and %g, %lld and %lld", row, want.type, got.type,
                     want.f, got.f, (long long)want.i, (long long)got.i);
        }
    }
    assert_int_equal(k, sel.n);
    test_free(s);
}

static void check_filter(struct world *w, struct program *p, const struct expr *e)
{
    struct seen *s = test_calloc(1, sizeof(*s));
    struct program_input in = {
        .batch = w->b, .computed = w->computed, .now_us = 5, .on_error = remember, .arg = s};
    struct selection all, sel;
    random_selection(w->b, &all);
    sel = all;
    assert_int_equal(program_filter(p, &in, &sel), 0);
    uint32_t k = 0;
    for (uint32_t i = 0; i < all.n; i++) {
        struct value want;
        struct err err;
        uint32_t row = all.rows[i];
        int rc = by_row(w, e, row, &want, &err);
        if (rc < 0) {
            expect_text(s, row, &err);
        } else if (want.type != VALUE_BOOL && !value_is_null(&want)) {
            assert_true(s->failed[row]);
        } else if (want.type == VALUE_BOOL && want.b) {
            assert_true(k < sel.n && sel.rows[k++] == row);
        }
    }
    assert_int_equal(k, sel.n);
    test_free(s);
}

static void programs_give_what_the_row_evaluator_gives(void **unused)
{
    start(0);
    for (int round = 0; round < 1500; round++) {
        struct shape shape;
        struct arena a;
        struct world w;
        struct program *p;
        struct err err;
        shape_init(&shape);
        for (int i = 0; i < COLUMNS; i++) {
            char name[2] = {(char)('a' + i), '\0'};
            shape_add(&shape, str_of(name), VALUE_NULL);
        }
        arena_init(&a, 0);
        w.b = batch_new(&shape, 0);
        w.b->rows = below(4) ? 1 + below(130) : BATCH_ROWS;
        memset(w.b->time_us, 0, BATCH_ROWS * sizeof(*w.b->time_us));
        for (int i = 0; i < COLUMNS; i++) {
            random_column(w.b, &w.b->columns[i]);
        }
        for (int i = 0; i < COMPUTED; i++) {
            random_column(w.b, &w.computed[i]);
        }
        w.row = arena_zalloc(&a, sizeof(*w.row) + COLUMNS * sizeof(struct value));
        w.row->n_cells = COLUMNS;
        w.tuple = arena_zalloc(&a, sizeof(*w.tuple) + sizeof(w.tuple->rows[0]));
        w.tuple->n = 1;
        w.tuple->rows[0] = w.row;
        for (int i = 0; i < 4; i++) {
            struct expr *e = random_expr(&a, 4);
            assert_int_equal(program_compile(e, &p, &err), 0);
            check_column(&w, p, e);
            check_filter(&w, p, e);
            program_free(p);
        }
        batch_unref(w.b);
        arena_fini(&a);
        shape_fini(&shape);
    }
}

static void no_memory_is_told_and_nothing_leaks(void **unused)
{
    struct arena a;
    struct program *p;
    struct err err;
    start(1);
    arena_init(&a, 0);
    struct expr *e = random_expr(&a, 5);
    int rc = -ENOMEM;
    for (unsigned long n = 1; rc < 0; n++) {
        mem_fail_at(n);
        rc = program_compile(e, &p, &err);
        mem_fail_at(0);
        assert_true(rc == 0 || rc == -ENOMEM);
    }
    program_free(p);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(programs_give_what_the_row_evaluator_gives),
        cmocka_unit_test(no_memory_is_told_and_nothing_leaks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

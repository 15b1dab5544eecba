/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The index against the WHERE itself, row by row: random rules over random columns. What the index
 * gives is a superset of the rows that match or fail on the key, exact where it says so, in the
 * order in which the rules were added. SEED=n repeats a run.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "base/mem.h"
#include "index.h"

#define COLUMNS 4
#define RULES 60

static uint64_t state;

static uint32_t below(uint32_t n)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 11) % n;
}

static void start(void)
{
    const char *given = getenv("SEED");
    uint64_t s = (uint64_t)time(NULL);
    if (given) {
        assert_int_equal(str_u64(str_of(given), &s), 0);
    }
    print_message("SEED=%llu\n", (unsigned long long)s);
    state = s * 2654435761u + 1;
}

/* ---- rules ---- */

static struct value random_value(bool numbers)
{
    static const double floats[] = {0.5, 1, 2.5, -0.0, NAN, INFINITY, 9007199254740993.0, 1e300};
    static const int64_t ints[] = {INT64_MAX, INT64_MIN, (1ll << 53) + 1, (1ll << 53)};
    switch (below(numbers ? 6 : 10)) {
    case 0:
    case 1:
    case 2:
        return value_int(below(8));
    case 3:
        return value_int(ints[below(4)]);
    case 4:
    case 5:
        return value_float(floats[below(8)]);
    case 6:
        return value_bool(below(2));
    case 7:
        return VALUE_OF_NULL;
    default:
        return value_string(below(2) ? STR_LIT("red") : STR_LIT("blue"));
    }
}

static struct expr *new_expr(struct arena *a, enum expr_kind kind)
{
    struct expr *e = arena_zalloc(a, sizeof(*e));
    e->kind = kind;
    e->source = -1;
    return e;
}

static struct expr *constant(struct arena *a, bool numbers)
{
    struct expr *e = new_expr(a, EXPR_CONST);
    e->value = random_value(numbers);
    return e;
}

static struct expr *field(struct arena *a)
{
    struct expr *e = new_expr(a, below(6) ? EXPR_FIELD : EXPR_META);
    e->source = 0;
    e->slot = below(COLUMNS + 1);
    e->name = STR_LIT("topic");
    return e;
}

static struct expr *condition(struct arena *a)
{
    struct expr *e;
    switch (below(8)) {
    case 0:
        e = new_expr(a, EXPR_BETWEEN);
        e->negated = below(6) == 0;
        e->a = field(a);
        e->b = constant(a, true);
        e->c = constant(a, true);
        return e;
    case 1:
        e = new_expr(a, EXPR_IN);
        e->negated = below(6) == 0;
        e->a = field(a);
        e->n_list = 1 + below(3);
        e->list = arena_alloc(a, e->n_list * sizeof(*e->list));
        for (uint32_t i = 0; i < e->n_list; i++) {
            e->list[i] = constant(a, false);
        }
        return e;
    default:
        e = new_expr(a, EXPR_BINARY);
        e->op = below(2) ? VALUE_EQ : VALUE_EQ + below(6);
        bool turned = below(3) == 0;
        e->a = turned ? constant(a, e->op != VALUE_EQ) : field(a);
        e->b = turned ? field(a) : constant(a, e->op != VALUE_EQ);
        return e;
    }
}

static struct expr *random_where(struct arena *a, int depth)
{
    if (depth == 0 || below(3) == 0) {
        return condition(a);
    }
    struct expr *e = new_expr(a, EXPR_BINARY);
    e->op = below(3) ? VALUE_AND : VALUE_OR;
    e->a = random_where(a, depth - 1);
    e->b = below(4) ? random_where(a, depth - 1) : e->a;
    return e;
}

/* ---- comparison ---- */

struct world {
    struct batch *b;
    struct row *row;
    struct tuple *tuple;
    struct expr *where[RULES];
    char ids[RULES]; /* rules are places of it */
    struct selection got[RULES];
    bool called[RULES], exact[RULES];
    int last;
};

static void take(void *arg, void *rule, struct selection *sel, bool exact)
{
    struct world *w = arg;
    int i = (int)((char *)rule - w->ids);
    assert_true(i > w->last); /* in order, once each */
    assert_true(sel->n > 0);
    w->last = i;
    w->got[i] = *sel;
    w->called[i] = true;
    w->exact[i] = exact;
}

static bool holds(struct world *w, const struct expr *where, uint32_t row)
{
    struct eval ev = {.arena = &w->b->arena, .tuple = w->tuple};
    bool yes = false;
    for (uint32_t i = 0; i < COLUMNS; i++) {
        batch_get(w->b, i, row, &w->row->cells[i]);
    }
    w->row->meta = w->b->meta[row];
    return !where || (expr_test(where, &ev, &yes, NULL) == 0 && yes);
}

static void check(struct world *w, struct index *x)
{
    memset(w->called, 0, sizeof(w->called));
    w->last = -1;
    assert_int_equal(index_match(x, w->b, take, w), 0);
    for (int i = 0; i < RULES; i++) {
        uint32_t k = 0;
        for (uint32_t row = 0; w->ids[i] && row < w->b->rows; row++) {
            bool in = w->called[i] && k < w->got[i].n && w->got[i].rows[k] == row;
            bool wanted = holds(w, w->where[i], row);
            if ((wanted && !in) || (in && w->exact[i] && !wanted)) {
                fail_msg("rule %d, row %u: %s", i, row, in ? "is no match" : "is missing");
            }
            k += in;
        }
        assert_true(!w->called[i] || (w->ids[i] && k == w->got[i].n));
    }
}

static void random_batch(struct world *w, struct shape *shape, struct arena *a)
{
    static struct value_member topic = {.key = {"topic", 5}};
    w->b = batch_new(shape, 0);
    w->b->rows = below(3) ? 1 + below(100) : BATCH_ROWS;
    w->b->meta = arena_alloc(&w->b->arena, BATCH_ROWS * sizeof(struct value));
    topic.value = value_string(STR_LIT("red"));
    for (uint32_t i = 0; i < w->b->rows; i++) {
        w->b->time_us[i] = 0;
        w->b->meta[i] = below(3) ? (struct value){.type = VALUE_OBJECT, .n = 1, .members = &topic}
                                 : (struct value){.type = VALUE_ABSENT};
    }
    for (uint32_t c = 0; c < COLUMNS; c++) {
        struct value *v = arena_alloc(&w->b->arena, BATCH_ROWS * sizeof(*v));
        for (uint32_t i = 0; i < w->b->rows; i++) {
            v[i] = c == 0   ? value_int(below(9))
                   : c == 1 ? value_float((double)below(9) / 2)
                   : c == 2 ? value_string(below(2) ? STR_LIT("red") : STR_LIT("green"))
                            : random_value(false);
        }
        column_from_values(w->b, &w->b->columns[c], v);
    }
    w->row = arena_zalloc(a, sizeof(*w->row) + COLUMNS * sizeof(struct value));
    w->row->n_cells = COLUMNS;
    w->tuple = arena_zalloc(a, sizeof(*w->tuple) + sizeof(w->tuple->rows[0]));
    w->tuple->n = 1;
    w->tuple->rows[0] = w->row;
}

static void the_index_finds_what_the_conditions_find(void **unused)
{
    struct world *w = test_calloc(1, sizeof(*w));
    start();
    for (int round = 0; round < 250; round++) {
        struct shape shape;
        struct arena a;
        struct index *x;
        shape_init(&shape);
        arena_init(&a, 0);
        for (int i = 0; i < COLUMNS; i++) {
            char name[2] = {(char)('a' + i), '\0'};
            shape_add(&shape, str_of(name), VALUE_NULL);
        }
        random_batch(w, &shape, &a);
        assert_int_equal(index_new(&x), 0);
        for (int i = 0; i < RULES; i++) {
            w->where[i] = below(20) ? random_where(&a, 3) : NULL;
            w->ids[i] = 1;
            assert_int_equal(index_add(x, &w->ids[i], w->where[i]), 0);
        }
        check(w, x);
        for (int i = 0; i < RULES; i += 1 + (int)below(4)) {
            index_remove(x, &w->ids[i]);
            w->ids[i] = 0;
        }
        check(w, x);
        index_free(x);
        batch_unref(w->b);
        arena_fini(&a);
        shape_fini(&shape);
    }
    test_free(w);
}

static void keys_are_found_where_they_are(void **unused)
{
    struct expr f = {.kind = EXPR_FIELD}, c = {.kind = EXPR_CONST, .value = value_int(5)};
    struct expr eq = {.kind = EXPR_BINARY, .op = VALUE_EQ, .a = &f, .b = &c};
    struct expr ne = {.kind = EXPR_BINARY, .op = VALUE_NE, .a = &f, .b = &c};
    struct expr and = {.kind = EXPR_BINARY, .op = VALUE_AND, .a = &ne, .b = &eq};
    struct expr or = {.kind = EXPR_BINARY, .op = VALUE_OR, .a = &ne, .b = &eq};
    struct index *x;
    assert_int_equal(index_new(&x), 0);
    assert_int_equal(index_add(x, &and, &and), 0);
    assert_int_equal(index_add(x, & or, & or), 0);
    assert_int_equal(index_rules(x), 2);
    assert_true(index_has_key(x, &and));
    assert_false(index_has_key(x, & or));
    index_remove(x, &eq); /* was never there */
    assert_int_equal(index_rules(x), 2);
    index_free(x);
}

struct inside {
    struct index *x;
    const struct batch *b;
    struct expr *eq;
    char ids[4];
    int calls[4], depth;
};

/* The first rule removes the second, adds the fourth and matches again. */
static void change(void *arg, void *rule, struct selection *sel, bool exact)
{
    struct inside *in = arg;
    int i = (int)((char *)rule - in->ids);
    in->calls[i]++;
    assert_int_equal(sel->n, 1);
    assert_true(exact);
    if (i == 0 && in->depth++ == 0) {
        index_remove(in->x, &in->ids[1]);
        assert_int_equal(index_add(in->x, &in->ids[3], in->eq), 0);
        assert_int_equal(index_match(in->x, in->b, change, in), 0);
    }
}

static void rules_come_and_go_while_a_match_runs(void **unused)
{
    struct expr f = {.kind = EXPR_FIELD}, c = {.kind = EXPR_CONST, .value = value_int(5)};
    struct expr eq = {.kind = EXPR_BINARY, .op = VALUE_EQ, .a = &f, .b = &c};
    struct inside in = {.eq = &eq};
    struct shape shape;
    shape_init(&shape);
    assert_int_equal(shape_add(&shape, STR_LIT("a"), VALUE_NULL), 0);
    struct batch *b = batch_new(&shape, 0);
    struct value v[] = {value_int(4), value_int(5)};
    b->rows = 2;
    column_from_values(b, &b->columns[0], v);
    in.b = b;
    assert_int_equal(index_new(&in.x), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(index_add(in.x, &in.ids[i], &eq), 0);
    }
    assert_int_equal(index_match(in.x, b, change, &in), 0);
    assert_int_equal(in.calls[0], 2);
    assert_int_equal(in.calls[1], 0);
    assert_int_equal(in.calls[2], 2);
    assert_int_equal(in.calls[3], 0);
    assert_int_equal(index_rules(in.x), 3);
    assert_int_equal(index_match(in.x, b, change, &in), 0);
    assert_int_equal(in.calls[3], 1);
    index_free(in.x);
    batch_unref(b);
    shape_fini(&shape);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_finds_what_the_conditions_find),
        cmocka_unit_test(rules_come_and_go_while_a_match_runs),
        cmocka_unit_test(keys_are_found_where_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

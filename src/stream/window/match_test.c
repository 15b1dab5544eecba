/* SPDX-License-Identifier: Apache-2.0 */
/* MATCH_RECOGNIZE over rows with two cells: a key and a number. Matches are told as the numbers of
 * their rows. */
#include "match.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/mem.h"

struct told {
    struct buf text;
    unsigned errors;
};

static void on_match(void *arg, const struct value *measures, const struct row *row)
{
    struct told *t = arg;
    (void)row;
    (void)buf_puts(&t->text, buf_len(&t->text) ? " " : "");
    for (int i = 0; i < 2; i++) {
        (void)buf_puts(&t->text, i ? "-" : "");
        (void)value_print_json(&t->text, &measures[i]);
    }
}

static void on_error(void *arg, const struct row *row, const struct err *err)
{
    struct told *t = arg;
    (void)row;
    (void)err;
    t->errors++;
}

/* Expressions over the row at hand (cell 1) and over reference 2, the row before. */
static struct expr key = {.kind = EXPR_FIELD, .slot = 0};
static struct expr number = {.kind = EXPR_FIELD, .slot = 1};
static struct expr ten = {.kind = EXPR_CONST, .value = {.type = VALUE_INT, .i = 10}};
static struct expr slot0 = {.kind = EXPR_COMPUTED, .slot = 0};
static struct expr slot1 = {.kind = EXPR_COMPUTED, .slot = 1};
static struct expr slot2 = {.kind = EXPR_COMPUTED, .slot = 2};
static struct expr above = {.kind = EXPR_BINARY, .op = VALUE_GT, .a = &number, .b = &ten};
static struct expr falls = {.kind = EXPR_BINARY, .op = VALUE_LT, .a = &number, .b = &slot2};
static struct expr rises = {.kind = EXPR_BINARY, .op = VALUE_GT, .a = &number, .b = &slot2};

static const struct match_ref refs[] = {
    {.kind = MATCH_FIRST, .variable = -1, .expr = &number},
    {.kind = MATCH_LAST, .variable = -1, .expr = &number},
    {.kind = MATCH_PREV, .variable = -1, .offset = 1, .expr = &number},
};
static struct expr *measures[] = {&slot0, &slot1};
static struct expr *partition[] = {&key};

/* The base of every test: first and last number of a match. */
static struct match_spec spec_of(const struct ast_pattern_step *steps, struct expr **defines,
                                 uint32_t n)
{
    return (struct match_spec){.steps = steps,
                               .defines = defines,
                               .n_steps = n,
                               .refs = refs,
                               .n_refs = ARRAY_SIZE(refs),
                               .measures = measures,
                               .n_measures = 2,
                               .partition = partition,
                               .n_partition = 1,
                               .skip_past = true};
}

struct event {
    int64_t ms, key, number;
};

static int push(struct match *m, const struct event *e)
{
    struct value cells[] = {value_int(e->key), value_int(e->number)};
    struct row *row = row_new(cells, 2, NULL, NULL, e->ms * 1000, 0);
    int rc = row ? match_push(m, row) : -ENOMEM;
    row_unref(row);
    return rc;
}

/* Into a fresh matcher, through its saved state. */
static struct match *reborn(struct match *m, const struct match_spec *spec, struct told *told)
{
    struct arena a;
    struct value saved;
    struct match *next;
    struct err err = {0};
    arena_init(&a, 0);
    size_t runs = match_runs(m);
    assert_int_equal(match_save(m, &a, &saved), 0);
    match_free(m);
    assert_int_equal(match_new(spec, on_match, on_error, told, &next), 0);
    if (match_load(next, &saved, &err) < 0) {
        fail_msg("%s", err.text);
    }
    arena_fini(&a);
    assert_int_equal(match_runs(next), runs);
    return next;
}

/* With every event the matcher is as it was, also after it was saved and loaded before it. */
static void check_reborn(const struct match_spec *spec, const struct event *events, size_t n,
                         const char *wanted)
{
    struct told told = {0};
    struct match *m;
    assert_int_equal(match_new(spec, on_match, on_error, &told, &m), 0);
    for (size_t i = 0; i < n; i++) {
        m = reborn(m, spec, &told);
        assert_int_equal(push(m, &events[i]), 0);
    }
    char *got = mem_strndup(buf_data(&told.text), buf_len(&told.text));
    assert_string_equal(got, wanted);
    mem_free(got);
    match_free(m);
    buf_fini(&told.text);
}

static void check(const struct match_spec *spec, const struct event *events, size_t n,
                  const char *wanted)
{
    struct told told = {0};
    struct match *m;
    assert_int_equal(match_new(spec, on_match, on_error, &told, &m), 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(push(m, &events[i]), 0);
    }
    char *got = mem_strndup(buf_data(&told.text), buf_len(&told.text));
    assert_string_equal(got, wanted);
    assert_int_equal(told.errors, 0);
    mem_free(got);
    match_free(m);
    buf_fini(&told.text);
    check_reborn(spec, events, n, wanted);
}

#define ONE(text)                                            \
    {                                                        \
        .name = {text, sizeof(text) - 1}, .min = 1, .max = 1 \
    }
#define MANY(text)                                                    \
    {                                                                 \
        .name = {text, sizeof(text) - 1}, .min = 1, .max = UINT32_MAX \
    }
#define ANY(text)                                                     \
    {                                                                 \
        .name = {text, sizeof(text) - 1}, .min = 0, .max = UINT32_MAX \
    }

static void a_fall_and_a_rise_are_found_per_partition(void **state)
{
    static const struct ast_pattern_step steps[] = {ONE("A"), MANY("DOWN"), MANY("UP")};
    static struct expr *defines[] = {NULL, &falls, &rises};
    static const struct event events[] = {{1, 1, 20}, {2, 2, 7},  {3, 1, 15}, {4, 1, 12}, {5, 2, 8},
                                          {6, 1, 14}, {7, 1, 18}, {8, 1, 17}, {9, 2, 3}};
    struct match_spec spec = spec_of(steps, defines, 3);
    (void)state;
    check(&spec, events, ARRAY_SIZE(events), "20-18");
}

static void greedy_parts_take_all_and_lazy_ones_little(void **state)
{
    static const struct ast_pattern_step greedy[] = {MANY("A"), ONE("B")};
    static const struct ast_pattern_step lazy[] = {
        {.name = {"A", 1}, .min = 1, .max = UINT32_MAX, .lazy = true}, ONE("B")};
    static struct expr *defines[] = {&above, NULL};
    static const struct event events[] = {{1, 1, 11}, {2, 1, 12}, {3, 1, 13}, {4, 1, 1}, {5, 1, 2}};
    struct match_spec spec = spec_of(greedy, defines, 2);
    (void)state;
    check(&spec, events, ARRAY_SIZE(events), "11-1");
    spec.steps = lazy;
    check(&spec, events, ARRAY_SIZE(events), "11-12 13-1");
}

static void skipping_to_the_next_row_finds_overlapping_matches(void **state)
{
    static const struct ast_pattern_step steps[] = {ONE("A"), ONE("B")};
    static struct expr *defines[] = {&above, &rises};
    static const struct event events[] = {{1, 1, 11}, {2, 1, 12}, {3, 1, 13}, {4, 1, 14}};
    struct match_spec spec = spec_of(steps, defines, 2);
    (void)state;
    check(&spec, events, ARRAY_SIZE(events), "11-12 13-14");
    spec.skip_past = false;
    check(&spec, events, ARRAY_SIZE(events), "11-12 12-13 13-14");
}

static void all_rows_are_told_as_they_were_known(void **state)
{
    static const struct ast_pattern_step steps[] = {ONE("A"), ONE("B")};
    static struct expr *defines[] = {&above, &rises};
    static const struct event events[] = {{1, 1, 11}, {2, 1, 12}};
    struct match_spec spec = spec_of(steps, defines, 2);
    (void)state;
    spec.all_rows = true;
    check(&spec, events, ARRAY_SIZE(events), "11-11 11-12");
}

static void an_optional_part_may_be_missing(void **state)
{
    static const struct ast_pattern_step steps[] = {ONE("A"), ANY("M"), ONE("B")};
    static struct expr *defines[] = {&above, &falls, &rises};
    static const struct event events[] = {{1, 1, 11}, {2, 1, 12}, {3, 1, 30},
                                          {4, 1, 20}, {5, 1, 11}, {6, 1, 40}};
    struct match_spec spec = spec_of(steps, defines, 3);
    (void)state;
    check(&spec, events, ARRAY_SIZE(events), "11-12 30-40");
}

static void within_ends_what_takes_too_long(void **state)
{
    static const struct ast_pattern_step steps[] = {ONE("A"), MANY("B")};
    static struct expr *defines[] = {&above, &rises};
    static const struct event events[] = {{0, 1, 11}, {5, 1, 12}, {11, 1, 13}};
    struct match_spec spec = spec_of(steps, defines, 2);
    struct told told = {0};
    struct match *m;
    (void)state;
    spec.within_us = 10000;
    assert_int_equal(match_new(&spec, on_match, on_error, &told, &m), 0);
    assert_int_equal(match_next(m), INT64_MAX);
    assert_int_equal(push(m, &events[0]), 0);
    assert_int_equal(push(m, &events[1]), 0);
    assert_int_equal(match_next(m), 10001);
    assert_int_equal(match_advance(m, 10000), 0);
    assert_int_equal(buf_len(&told.text), 0);
    assert_int_equal(match_advance(m, 10001), 0);
    assert_true(str_is(buf_str(&told.text), "11-12"));
    assert_int_equal(match_runs(m), 0);
    assert_int_equal(push(m, &events[2]), 0);
    assert_int_equal(match_runs(m), 1);
    match_free(m);
    buf_fini(&told.text);
}

static void runs_are_bounded(void **state)
{
    static const struct ast_pattern_step steps[] = {MANY("A"), ONE("B")};
    static struct expr never = {.kind = EXPR_CONST, .value = {.type = VALUE_BOOL}};
    static struct expr *defines[] = {NULL, &never};
    struct match_spec spec = spec_of(steps, defines, 2);
    struct told told = {0};
    struct match *m;
    (void)state;
    spec.max_runs = 50;
    assert_int_equal(match_new(&spec, on_match, on_error, &told, &m), 0);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(push(m, &(struct event){i, 1, i}), 0);
        assert_true(match_runs(m) <= 50);
    }
    assert_int_equal(told.errors, 250);
    match_free(m);
    buf_fini(&told.text);
}

static void memory_that_runs_out_is_told(void **state)
{
    static const struct ast_pattern_step steps[] = {ONE("A"), MANY("DOWN"), MANY("UP")};
    static struct expr *defines[] = {NULL, &falls, &rises};
    struct match_spec spec = spec_of(steps, defines, 3);
    int rc = -1;
    (void)state;
    for (unsigned long n = 1; rc != 0 && n < 1000; n++) {
        struct told told = {0};
        struct match *m = NULL;
        (void)mem_fail_at(n);
        rc = match_new(&spec, on_match, on_error, &told, &m);
        for (int i = 0; rc == 0 && i < 8; i++) {
            rc = push(m, &(struct event){i, i % 2, i < 4 ? 100 - i : i});
        }
        (void)mem_fail_at(0);
        assert_true(rc == 0 || rc == -ENOMEM || rc == -E_NOMEM);
        match_free(m);
        buf_fini(&told.text);
    }
    assert_int_equal(rc, 0);
}

/* A state as it is saved in the middle of matches of two partitions. */
static struct match_spec save_some(struct arena *a, struct value *ret)
{
    static const struct ast_pattern_step steps[] = {ONE("A"), MANY("B"), ONE("C")};
    static struct expr *defines[] = {NULL, &falls, &rises};
    const struct match_spec spec = spec_of(steps, defines, 3);
    static const struct event events[] = {{1, 1, 9}, {2, 1, 8}, {3, 2, 5}, {4, 1, 7}, {5, 2, 4}};
    struct told told = {0};
    struct match *m;
    assert_int_equal(match_new(&spec, on_match, on_error, &told, &m), 0);
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        assert_int_equal(push(m, &events[i]), 0);
    }
    assert_true(match_runs(m) > 3);
    assert_int_equal(match_save(m, a, ret), 0);
    match_free(m);
    return spec;
}

/* 1 = it was taken, and the matcher goes on with it. */
static int load_and_go_on(const struct match_spec *spec, const struct value *saved)
{
    static const struct event events[] = {{6, 1, 8}, {7, 2, 9}, {8, 2, 1}};
    struct told told = {0};
    struct match *m;
    struct err err = {0};
    assert_int_equal(match_new(spec, on_match, on_error, &told, &m), 0);
    int rc = match_load(m, saved, &err);
    if (rc < 0) {
        assert_int_equal(rc, -E_INVAL);
        assert_non_null(strstr(err.text, "the saved state of MATCH_RECOGNIZE is"));
    }
    for (size_t i = 0; rc == 0 && i < ARRAY_SIZE(events); i++) {
        assert_int_equal(push(m, &events[i]), 0);
    }
    (void)match_next(m);
    match_free(m);
    buf_fini(&told.text);
    return rc == 0;
}

static void a_damaged_state_is_refused(void **state)
{
    static const int64_t hostile[] = {INT64_MIN, -2, -1, 0, 1, 2, 3, 7, 1000000, INT64_MAX};
    struct arena a;
    struct value saved;
    unsigned refused = 0, tried = 0;
    (void)state;
    arena_init(&a, 0);
    const struct match_spec spec = save_some(&a, &saved);
    assert_int_equal(load_and_go_on(&spec, &saved), 1);
    struct value *items = (struct value *)(uintptr_t)saved.items;
    for (uint32_t i = 0; i < saved.n; i++) {
        struct value whole = items[i];
        items[i] = value_string(str_of("x"));
        assert_int_equal(load_and_go_on(&spec, &saved), 0);
        items[i] = whole;
        for (uint32_t k = 0; whole.type == VALUE_ARRAY && k < whole.n; k++) {
            struct value *one = (struct value *)(uintptr_t)&whole.items[k], was = *one;
            for (size_t h = 0; h < ARRAY_SIZE(hostile); h++, tried++) {
                *one = value_int(hostile[h]);
                refused += !load_and_go_on(&spec, &saved);
            }
            *one = was;
            items[i].n = k; /* cut short */
            refused += !load_and_go_on(&spec, &saved);
            items[i].n = whole.n;
        }
    }
    assert_true(refused > tried / 2);
    assert_int_equal(load_and_go_on(&spec, &saved), 1);
    saved.n--;
    assert_int_equal(load_and_go_on(&spec, &saved), 0);
    arena_fini(&a);
}

static void a_state_that_finds_no_memory_is_not_loaded(void **state)
{
    struct arena a;
    struct value saved;
    struct err err = {0};
    int rc = -1;
    (void)state;
    arena_init(&a, 0);
    const struct match_spec spec = save_some(&a, &saved);
    unsigned long n = 1;
    for (; rc < 0 && n < 1000; n++) {
        struct told told = {0};
        struct match *m = NULL;
        assert_int_equal(match_new(&spec, on_match, on_error, &told, &m), 0);
        mem_fail_at(n);
        rc = match_load(m, &saved, &err);
        (void)mem_fail_at(0);
        match_free(m);
        buf_fini(&told.text);
    }
    assert_int_equal(rc, 0);
    assert_true(n > 20);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fall_and_a_rise_are_found_per_partition),
        cmocka_unit_test(greedy_parts_take_all_and_lazy_ones_little),
        cmocka_unit_test(skipping_to_the_next_row_finds_overlapping_matches),
        cmocka_unit_test(all_rows_are_told_as_they_were_known),
        cmocka_unit_test(an_optional_part_may_be_missing),
        cmocka_unit_test(within_ends_what_takes_too_long),
        cmocka_unit_test(runs_are_bounded),
        cmocka_unit_test(memory_that_runs_out_is_told),
        cmocka_unit_test(a_damaged_state_is_refused),
        cmocka_unit_test(a_state_that_finds_no_memory_is_not_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

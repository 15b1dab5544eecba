/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Windows case by case: what the model test (window_model_test.c) leaves out. Joins, natural time
 * over changes of the clock, late rows, limits of memory, allocations that fail, damaged states.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "base/mem.h"
#include "io/zone.h"
#include "watermark.h"
#include "window.h"

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)

static struct expr field_id = {.kind = EXPR_FIELD, .slot = 0};
static struct expr field_right = {.kind = EXPR_FIELD, .source = 1, .slot = 0};
static struct expr field_third = {.kind = EXPR_FIELD, .source = 2, .slot = 0};
static struct expr first_second = {
    .kind = EXPR_BINARY, .op = VALUE_EQ, .source = -1, .a = &field_id, .b = &field_right};
static struct expr first_third = {
    .kind = EXPR_BINARY, .op = VALUE_EQ, .source = -1, .a = &field_id, .b = &field_third};
static struct expr *keys[] = {&field_id};
static struct expr *args[] = {&field_id};

struct seen {
    struct buf text;
    struct window_range last;
    int emitted, errors, corrections;
    char error[200];
};

static void print_row(struct buf *b, const struct row *r)
{
    if (!r) {
        buf_puts(b, "-");
    } else {
        value_print_text(b, row_cell(r, 0));
    }
}

/* "1-1 2-- |" : tuples, a cell each source; aggregates behind '='. */
static void on_emit(void *arg, const struct window_output *out)
{
    struct seen *s = arg;
    s->last = out->range;
    s->emitted++;
    s->corrections += out->range.correction > 0;
    for (uint32_t i = 0; i < out->n_groups; i++) {
        const struct window_group *g = &out->groups[i];
        for (uint32_t k = 0; k < g->n_tuples; k++) {
            for (uint32_t c = 0; c < g->tuples[k]->n; c++) {
                buf_puts(&s->text, c > 0 ? "/" : "");
                print_row(&s->text, g->tuples[k]->rows[c]);
            }
            buf_puts(&s->text, " ");
        }
        if (g->aggregates) {
            buf_puts(&s->text, "=");
            value_print_text(&s->text, &g->aggregates[0]);
            buf_puts(&s->text, " ");
        }
    }
    buf_puts(&s->text, "|");
}

static void on_error(void *arg, const struct row *row, const struct err *err)
{
    struct seen *s = arg;
    (void)row;
    s->errors++;
    cstr_copy(s->error, sizeof(s->error), err->text);
}

static const struct function *aggregate(const char *name)
{
    for (uint32_t i = 0; i < function_aggregate.n; i++) {
        if (cstr_eq(function_aggregate.functions[i].name, name)) {
            return &function_aggregate.functions[i];
        }
    }
    fail_msg("no aggregate %s", name);
    return NULL;
}

static struct row *new_row(struct value v, int64_t at)
{
    struct row *r = row_new(&v, 1, NULL, NULL, at, 0);
    assert_non_null(r);
    return r;
}

static int push(struct window *w, uint32_t source, struct value v, int64_t at)
{
    struct row *r = new_row(v, at);
    int rc = window_push(w, source, r);
    row_unref(r);
    return rc;
}

static void assert_seen(struct seen *s, const char *text)
{
    buf_putc(&s->text, '\0');
    assert_string_equal(buf_data(&s->text), text);
    buf_fini(&s->text);
}

static struct window *open(const struct window_spec *spec, struct seen *s)
{
    struct window *w = NULL;
    struct err err;
    *s = (struct seen){0};
    assert_int_equal(window_new(spec, on_emit, on_error, s, &w, &err), 0);
    return w;
}

/* ---- joins ---- */

/* The ids of each source, a digit each; '.' is a row without id; "" no row. */
static void join(enum ast_join_kind kind, enum ast_join_kind kind2, const char *const ids[3],
                 const char *want)
{
    struct seen s;
    struct join_spec joins[] = {{.kind = kind, .on = kind == AST_JOIN_CROSS ? NULL : &first_second},
                                {.kind = kind2, .on = &first_third}};
    struct window_spec spec = {.kind = AST_WINDOW_TUMBLING,
                               .length = SECOND,
                               .unit = str_of("ss"),
                               .n_sources = ids[2] ? 3 : 2,
                               .joins = joins};
    struct window *w = open(&spec, &s);
    for (uint32_t i = 0; i < spec.n_sources; i++) {
        for (const char *c = ids[i]; *c; c++) {
            struct value none = {.type = VALUE_ABSENT};
            assert_int_equal(push(w, i, *c == '.' ? none : value_int(*c - '0'), 100), 0);
        }
    }
    assert_int_equal(window_advance(w, SECOND), 0);
    assert_seen(&s, want);
    assert_int_equal(s.errors, 0);
    window_free(w);
}

#define IDS(a, b, c) ((const char *const[]){a, b, c})

static void joins_give_their_rows_in_the_order_of_ekuiper(void **state)
{
    (void)state;
    join(AST_JOIN_INNER, 0, IDS("123", "124", NULL), "1/1 2/2 |");
    join(AST_JOIN_INNER, 0, IDS("121", "112", NULL), "1/1 1/1 2/2 1/1 1/1 |");
    join(AST_JOIN_INNER, 0, IDS("123", "", NULL), "");
    join(AST_JOIN_INNER, 0, IDS("1.3", "1.4", NULL), "1/1 |");
    join(AST_JOIN_LEFT, 0, IDS("123", "124", NULL), "1/1 2/2 3/- |");
    join(AST_JOIN_LEFT, 0, IDS("123", "", NULL), "1/- 2/- 3/- |");
    join(AST_JOIN_RIGHT, 0, IDS("121", "1.4", NULL), "1/1 1/1 -/<nil> -/4 |");
    join(AST_JOIN_RIGHT, 0, IDS("", "12", NULL), "-/1 -/2 |");
    join(AST_JOIN_RIGHT, 0, IDS("12", "", NULL), "");
    join(AST_JOIN_FULL, 0, IDS("123", "1242", NULL), "1/1 2/2 2/2 3/- -/4 |");
    join(AST_JOIN_FULL, 0, IDS("", "12", NULL), "-/1 -/2 |");
    join(AST_JOIN_CROSS, 0, IDS("12", "34", NULL), "1/3 1/4 2/3 2/4 |");
    join(AST_JOIN_CROSS, 0, IDS("", "34", NULL), "");
}

static void several_joins_follow_each_other(void **state)
{
    (void)state;
    join(AST_JOIN_LEFT, AST_JOIN_INNER, IDS("15", "14", "25"), "5/-/5 |");
    join(AST_JOIN_LEFT, AST_JOIN_LEFT, IDS("15", "14", "25"), "1/1/- 5/-/5 |");
    join(AST_JOIN_INNER, AST_JOIN_RIGHT, IDS("13", "14", "15"), "1/1/1 -/-/5 |");
    join(AST_JOIN_FULL, AST_JOIN_FULL, IDS("", "1", "1"), "-/1/- -/-/1 |");
    join(AST_JOIN_FULL, AST_JOIN_FULL, IDS("1", "1", ""), "1/1/- |");
}

static void a_join_of_what_cannot_be_compared_is_an_error(void **state)
{
    (void)state;
    struct seen s;
    struct join_spec on = {.kind = AST_JOIN_FULL, .on = &first_second};
    struct window_spec spec = {.kind = AST_WINDOW_TUMBLING,
                               .length = SECOND,
                               .unit = str_of("ss"),
                               .n_sources = 2,
                               .joins = &on};
    struct window *w = open(&spec, &s);
    push(w, 0, value_int(1), 1);
    push(w, 0, value_int(2), 1);
    push(w, 1, value_int(1), 1);
    push(w, 1, value_string(str_of("3")), 1);
    assert_int_equal(window_advance(w, SECOND), 0);
    assert_int_equal(s.emitted, 0);
    assert_string_equal(s.error, "run Join error: invalid operation int64(1) = string(3)");
    window_free(w);
    buf_fini(&s.text);
}

static void rows_of_a_table_stay(void **state)
{
    (void)state;
    struct seen s;
    struct join_spec on = {.kind = AST_JOIN_INNER, .on = &first_second, .table = true, .retain = 2};
    struct window_spec spec = {.kind = AST_WINDOW_NONE, .n_sources = 2, .joins = &on};
    struct window *w = open(&spec, &s);
    for (int i = 1; i <= 3; i++) {
        push(w, 1, value_int(i), 0);
    }
    push(w, 0, value_int(1), 5); /* only the last two rows of the table stay */
    push(w, 0, value_int(2), 6);
    push(w, 0, value_int(3), 7);
    assert_seen(&s, "2/2 |3/3 |");
    window_free(w);
}

/* ---- natural time ---- */

static int64_t at(const char *text)
{
    struct wall t;
    assert_int_equal(time_parse(str_of(text), &t), 0);
    return t.us;
}

static void ends_at(struct zone *z, const char *unit, int64_t length, const char *from,
                    const char *const *ends)
{
    struct seen s;
    struct window_spec spec = {.kind = AST_WINDOW_TUMBLING,
                               .length = length,
                               .unit = str_of(unit),
                               .n_sources = 1,
                               .zone = z};
    struct window *w = open(&spec, &s);
    int64_t last = at(from);
    assert_int_equal(window_advance(w, last), 0);
    for (; *ends; ends++) {
        assert_int_equal(window_next(w), at(*ends));
        push(w, 0, value_int(1), window_next(w) - 1);
        assert_int_equal(window_advance(w, at(*ends)), 0);
        assert_int_equal(s.last.end, at(*ends));
        last = s.last.end;
    }
    assert_int_equal(s.errors, 0);
    assert_true(last > at(from));
    window_free(w);
    buf_fini(&s.text);
}

#define ENDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void windows_end_at_natural_time(void **state)
{
    (void)state;
    struct zone *berlin = NULL;
    struct err err;
    ends_at(NULL, "ss", 10 * SECOND, "2026-03-01T10:00:03Z",
            ENDS("2026-03-01T10:00:10Z", "2026-03-01T10:00:20Z"));
    ends_at(NULL, "dd", 24 * HOUR, "2026-03-01T10:00:03Z",
            ENDS("2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"));
    if (zone_load("Europe/Berlin", &berlin, &err) < 0) {
        print_message("skipped: %s\n", err.text);
        return;
    }
    /* Days of 23 and 25 hours. */
    ends_at(berlin, "dd", 24 * HOUR, "2026-03-28T12:00:00Z",
            ENDS("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z", "2026-03-30T22:00:00Z"));
    ends_at(berlin, "dd", 24 * HOUR, "2026-10-24T12:00:00Z",
            ENDS("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"));
    ends_at(berlin, "hh", 6 * HOUR, "2026-03-28T18:00:00Z",
            ENDS("2026-03-28T23:00:00Z", "2026-03-29T04:00:00Z", "2026-03-29T10:00:00Z"));
    ends_at(berlin, "hh", 6 * HOUR, "2026-10-24T20:00:00Z",
            ENDS("2026-10-24T22:00:00Z", "2026-10-25T05:00:00Z", "2026-10-25T11:00:00Z"));
    ends_at(berlin, "hh", HOUR, "2026-10-25T00:30:00Z",
            ENDS("2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-25T03:00:00Z"));
    zone_free(berlin);
}

/* ---- late rows ---- */

static void late_rows_correct_windows_that_have_fired(void **state)
{
    (void)state;
    struct seen s;
    struct aggregate_call count = {.function = aggregate("count")};
    struct window_spec spec = {.kind = AST_WINDOW_HOPPING,
                               .length = 2 * SECOND,
                               .interval = SECOND,
                               .unit = str_of("ss"),
                               .event_time = true,
                               .lateness = 3 * SECOND,
                               .n_sources = 1,
                               .aggregates = &count,
                               .n_aggregates = 1,
                               .grouped = true};
    struct window *w = open(&spec, &s);
    push(w, 0, value_int(1), 10 * SECOND + 1);
    window_advance(w, 12 * SECOND);
    assert_seen(&s, "1 =1 |1 =1 |");
    struct row *late = new_row(value_int(7), 10 * SECOND + 5);
    s.text = BUF_INIT;
    assert_int_equal(window_correct(w, 0, late), 1);
    assert_seen(&s, "1 =2 |1 =2 |");
    assert_int_equal(s.corrections, 2);
    row_unref(late);
    late = new_row(value_int(7), 5 * SECOND);
    assert_int_equal(window_correct(w, 0, late), 0);
    row_unref(late);
    window_free(w);
}

/* ---- watermark ---- */

struct passed {
    int64_t times[4096], marks[4096];
    int n, n_marks;
    int64_t mark;
    uint64_t late;
};

static void on_rows(void *arg, uint32_t source, struct batch *b)
{
    struct passed *p = arg;
    (void)source;
    for (uint32_t i = 0; i < b->rows; i++) {
        struct value v;
        batch_get(b, 0, i, &v);
        assert_int_equal(v.i, b->time_us[i]);
        p->times[p->n++] = b->time_us[i];
    }
}

static void on_time(void *arg, int64_t us)
{
    struct passed *p = arg;
    assert_true(us >= p->mark); /* again where rows of that time came after it */
    p->mark = us;
}

static void on_late(void *arg, uint32_t source, struct batch *b, uint32_t row)
{
    struct passed *p = arg;
    (void)source;
    (void)b;
    (void)row;
    p->late++;
}

static struct batch *times_batch(const struct shape *shape, const int64_t *times, uint32_t n)
{
    struct batch *b = batch_new(shape, 0);
    struct value *v = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*v));
    b->rows = n;
    for (uint32_t i = 0; i < n; i++) {
        b->time_us[i] = times[i];
        v[i] = value_int(times[i]);
    }
    column_from_values(b, &b->columns[0], v);
    return b;
}

static int by_time(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Two sources, random disorder, saved and loaded: what passes is what was not late, in order. */
static void watermark_round(const struct shape *shape)
{
    const struct shape *shapes[] = {shape, shape};
    struct passed p = {.mark = INT64_MIN};
    struct watermark_spec spec = {
        .n_sources = 1 + (uint32_t)(random() % 2), .shapes = shapes, .tolerance_us = random() % 50};
    struct watermark_ops ops = {on_rows, on_time, on_late};
    struct watermark *w;
    assert_int_equal(watermark_new(&spec, &ops, &p, &w), 0);
    int64_t expected[4096], greatest[2] = {INT64_MIN, INT64_MIN}, mark = INT64_MIN;
    int n = 0;
    uint64_t late = 0;
    for (int round = 0; round < 30; round++) {
        uint32_t source = (uint32_t)random() % spec.n_sources, rows = 1 + (uint32_t)random() % 20;
        int64_t times[20];
        for (uint32_t i = 0; i < rows; i++) {
            times[i] = 1000 + round * 10 + random() % 60;
            if (times[i] < mark) {
                late++;
                continue;
            }
            expected[n++] = times[i];
            greatest[source] = MAX_OF(greatest[source], times[i]);
            int64_t least = greatest[0];
            least = spec.n_sources == 2 ? MIN_OF(least, greatest[1]) : least;
            mark = least == INT64_MIN ? mark : MAX_OF(mark, least - spec.tolerance_us);
        }
        struct batch *b = times_batch(shape, times, rows);
        assert_int_equal(watermark_push(w, source, b, round), 0);
        batch_unref(b);
        assert_true(watermark_at(w) == mark);
        if (random() % 4 == 0) {
            struct arena a;
            struct value saved;
            struct err err;
            arena_init(&a, 0);
            assert_int_equal(watermark_save(w, &a, &saved), 0);
            watermark_free(w);
            assert_int_equal(watermark_new(&spec, &ops, &p, &w), 0);
            assert_int_equal(watermark_load(w, &saved, &err), 0);
            arena_fini(&a);
        }
    }
    assert_int_equal(watermark_late_rows(w), late);
    assert_int_equal(p.late, late);
    assert_int_equal(watermark_flush(w), 0);
    qsort(expected, (size_t)n, sizeof(*expected), by_time);
    assert_int_equal(p.n, n);
    assert_memory_equal(p.times, expected, (size_t)n * sizeof(*expected));
    watermark_free(w);
}

static void a_watermark_lets_rows_go_in_order_of_time(void **state)
{
    (void)state;
    struct shape shape;
    unsigned seed = (unsigned)time(NULL);
    print_message("seed %u\n", seed);
    srandom(seed);
    shape_init(&shape);
    shape_add(&shape, str_of("t"), VALUE_NULL);
    for (int i = 0; i < 300; i++) {
        watermark_round(&shape);
    }
    shape_fini(&shape);
}

static void a_silent_source_and_a_table_hold_nothing_up(void **state)
{
    (void)state;
    struct shape shape;
    shape_init(&shape);
    shape_add(&shape, str_of("t"), VALUE_NULL);
    const struct shape *shapes[] = {&shape, &shape, &shape};
    struct passed p = {.mark = INT64_MIN};
    struct watermark_spec spec = {
        .n_sources = 3, .shapes = shapes, .tables = 4, .idle_us = 10 * SECOND};
    struct watermark_ops ops = {on_rows, on_time, NULL};
    struct watermark *w;
    assert_int_equal(watermark_new(&spec, &ops, &p, &w), 0);
    int64_t times[] = {5, 7};
    struct batch *b = times_batch(&shape, times, 2);
    assert_int_equal(watermark_push(w, 0, b, 100 * SECOND), 0);
    assert_int_equal(p.n, 0);
    assert_int_equal(watermark_tick(w, 105 * SECOND), 0);
    assert_int_equal(p.n, 0);
    assert_int_equal(watermark_push(w, 2, b, 106 * SECOND), 0);
    assert_int_equal(p.n, 2); /* the table's */
    batch_unref(b);
    times[0] = times[1] = 9;
    b = times_batch(&shape, times, 1);
    assert_int_equal(watermark_push(w, 0, b, 111 * SECOND), 0); /* source 1 is idle by now */
    assert_int_equal(p.n, 5);
    assert_int_equal(watermark_at(w), 9);
    batch_unref(b);
    watermark_free(w);
    shape_fini(&shape);
}

/* ---- limits and failures ---- */

static void a_window_that_is_full_says_what_it_drops(void **state)
{
    (void)state;
    struct seen s;
    struct window_spec spec = {.kind = AST_WINDOW_TUMBLING,
                               .length = SECOND,
                               .unit = str_of("ss"),
                               .n_sources = 1,
                               .memory_limit = 20000};
    struct window *w = open(&spec, &s);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(push(w, 0, value_string(str_of("a text of some length")), 5), 0);
        assert_true(window_bytes(w) < 25000);
    }
    assert_true(s.errors > 500 && s.errors < 1000);
    assert_non_null(strstr(s.error, "the limit of the rule is 20000: a row was dropped"));
    assert_int_equal(window_advance(w, SECOND), 0);
    size_t bytes = window_bytes(w);
    push(w, 0, value_int(1), SECOND + 1);
    assert_true(window_bytes(w) > bytes); /* there is room again */
    window_free(w);
    buf_fini(&s.text);
}

/* One life of a window; 0, or -ENOMEM from any call. */
static int live(enum ast_window_kind kind, bool rows, struct seen *s)
{
    struct aggregate_call calls[] = {{.function = aggregate("count")},
                                     {.function = aggregate("max"), .args = args, .n_args = 1}};
    struct window_spec spec = {.kind = kind,
                               .length = kind == AST_WINDOW_COUNT ? 3 : 2 * SECOND,
                               .interval = kind == AST_WINDOW_COUNT ? 2 : SECOND,
                               .unit = str_of("ss"),
                               .n_sources = 1,
                               .begin = &first_second,
                               .keys = keys,
                               .n_keys = 1,
                               .aggregates = calls,
                               .n_aggregates = 2,
                               .grouped = true,
                               .needs_rows = rows};
    static const char *const texts[] = {"red", "green", "red", "a rather long text",
                                        "red", "green"};
    struct window *w, *second = NULL;
    struct arena a;
    struct value saved;
    struct row *row = NULL;
    arena_init(&a, 0);
    if (kind == AST_WINDOW_STATE) {
        static struct expr always = {
            .kind = EXPR_CONST, .source = -1, .value = {.type = VALUE_BOOL, .b = true}};
        spec.begin = &always;
    }
    int rc = window_new(&spec, on_emit, on_error, s, &w, NULL);
    if (rc < 0) {
        return rc;
    }
    for (int i = 0; rc >= 0 && i < 12; i++) {
        struct value v = value_string(str_of(texts[i % 6]));
        row = row_new(&v, 1, NULL, NULL, i * SECOND / 3, 0);
        rc = row ? window_push(w, 0, row) : -ENOMEM;
        row_unref(row);
        rc = rc < 0 ? rc : window_advance(w, i * SECOND / 3);
    }
    rc = rc < 0 ? rc : window_save(w, &a, &saved);
    rc = rc < 0 ? rc : window_new(&spec, on_emit, on_error, s, &second, NULL);
    if (rc >= 0 && window_load(second, &saved, NULL) < 0) {
        rc = -ENOMEM; /* rows that cannot be allocated look like damaged ones */
    }
    rc = rc < 0 ? rc : window_advance(second, 60 * SECOND);
    window_free(second);
    window_free(w);
    arena_fini(&a);
    return rc;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    for (enum ast_window_kind kind = AST_WINDOW_TUMBLING; kind <= AST_WINDOW_STATE; kind++) {
        for (int rows = 0; rows < 2; rows++) {
            int rc = -ENOMEM;
            unsigned long n = 1;
            for (; n < 5000; n++) {
                struct seen s = {0};
                mem_fail_at(n);
                rc = live(kind, rows, &s);
                unsigned long made = mem_fail_at(0);
                buf_fini(&s.text);
                if (made < n) {
                    break;
                }
            }
            assert_int_equal(rc, 0);
            assert_true(n > 20 && n < 5000);
        }
    }
}

static void a_damaged_state_is_refused(void **state)
{
    (void)state;
    struct seen s;
    struct aggregate_call count = {.function = aggregate("count")};
    struct window_spec spec = {.kind = AST_WINDOW_TUMBLING,
                               .length = SECOND,
                               .unit = str_of("ss"),
                               .n_sources = 1,
                               .keys = keys,
                               .n_keys = 1,
                               .aggregates = &count,
                               .n_aggregates = 1,
                               .grouped = true};
    struct window *w = open(&spec, &s);
    push(w, 0, value_int(1), 5);
    push(w, 0, value_int(2), 6);
    struct arena a;
    struct value saved;
    struct err err;
    arena_init(&a, 0);
    assert_int_equal(window_save(w, &a, &saved), 0);
    window_free(w);
    struct value *items = (struct value *)(uintptr_t)saved.items;
    for (uint32_t i = 0; i < saved.n; i++) {
        struct value kept = items[i];
        items[i] = value_string(str_of("x"));
        w = open(&spec, &s);
        assert_int_equal(window_load(w, &saved, &err), -E_INVAL);
        window_free(w);
        items[i] = kept;
        uint32_t n = saved.n;
        saved.n = i;
        w = open(&spec, &s);
        assert_int_equal(window_load(w, &saved, &err), -E_INVAL);
        window_free(w);
        saved.n = n;
    }
    spec.kind = AST_WINDOW_SLIDING;
    w = open(&spec, &s);
    assert_int_equal(window_load(w, &saved, &err), -E_INVAL);
    window_free(w);
    arena_fini(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joins_give_their_rows_in_the_order_of_ekuiper),
        cmocka_unit_test(several_joins_follow_each_other),
        cmocka_unit_test(a_join_of_what_cannot_be_compared_is_an_error),
        cmocka_unit_test(rows_of_a_table_stay),
        cmocka_unit_test(windows_end_at_natural_time),
        cmocka_unit_test(late_rows_correct_windows_that_have_fired),
        cmocka_unit_test(a_watermark_lets_rows_go_in_order_of_time),
        cmocka_unit_test(a_silent_source_and_a_table_hold_nothing_up),
        cmocka_unit_test(a_window_that_is_full_says_what_it_drops),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(a_damaged_state_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

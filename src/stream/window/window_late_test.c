/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late rows against a plain list: sliding, tumbling and hopping windows with allowed lateness, of
 * rows in random disorder, saved and loaded in between. The model keeps all rows it was given and,
 * at each firing, scans them. The seed is printed and may be given: SEED=n.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <cmocka.h>

#include "base/mem.h"
#include "watermark.h"
#include "window.h"

#define MS INT64_C(1000)
enum { ROWS = 600, FIRINGS = 4000, KEYS = 5 };

struct item {
    int64_t at, key, value;
};

struct fired { /* by the model */
    int64_t at, corrections;
};

struct world {
    struct window_spec spec;
    struct aggregate_call calls[4];
    struct window *window;
    struct item rows[ROWS]; /* in order of place_of(), then of coming */
    int n_rows;
    int64_t triggers[ROWS]; /* that wait, in order */
    int n_triggers;
    struct fired fired[FIRINGS];
    int n_fired;
    int64_t now, disorder;
    int64_t next_end;    /* of tumbling and hopping windows; -1 = no row came yet */
    int64_t first_start; /* what the first of them says for its start; INT64_MIN = it has fired */
    bool scans;          /* an aggregate that cannot be merged is there */
    struct buf got, want;
    unsigned seed;
};

static struct expr field_key = {.kind = EXPR_FIELD, .slot = 0};
static struct expr field_value = {.kind = EXPR_FIELD, .slot = 1};
static struct expr zero = {.kind = EXPR_CONST, .value = {.type = VALUE_INT, .i = 0}};
static struct expr is_zero = {
    .kind = EXPR_BINARY, .op = VALUE_EQ, .source = -1, .a = &field_key, .b = &zero};
static struct expr *keys[] = {&field_key};
static struct expr *args[] = {&field_value};

static int64_t pick(int64_t n)
{
    return rand() % n;
}

static const struct function *aggregate(const char *name)
{
    const struct function *f = function_find(str_of(name));
    assert_non_null(f);
    return f;
}

/* ---- what the window emits ---- */

static void on_emit(void *arg, const struct window_output *out)
{
    struct world *t = arg;
    (void)buf_printf(&t->got, "%lld-%lld #%lld:", (long long)out->range.start,
                     (long long)out->range.end, (long long)out->range.correction);
    for (uint32_t i = 0; i < out->n_groups; i++) {
        const struct value *a = out->groups[i].aggregates;
        (void)buf_printf(&t->got, " [");
        for (int k = 0; k < 4; k++) {
            (void)value_print_json(&t->got, &a[k]);
            (void)buf_putc(&t->got, ' ');
        }
        (void)buf_printf(&t->got, "]");
    }
    (void)buf_putc(&t->got, '\n');
}

static void on_error(void *arg, const struct row *row, const struct err *err)
{
    (void)arg;
    (void)row;
    fail_msg("%s", err->text);
}

/* ---- the model ---- */

static bool slides(const struct world *t)
{
    return t->spec.kind == AST_WINDOW_SLIDING;
}

static void want_group(struct world *t, const struct item **rows, int n)
{
    int64_t sum = 0, most = INT64_MIN;
    for (int i = 0; i < n; i++) {
        sum += rows[i]->value;
        most = MAX_OF(most, rows[i]->value);
    }
    (void)buf_printf(&t->want, " [%d %lld %lld [", n, (long long)sum, (long long)most);
    for (int i = 0; i < n; i++) {
        (void)buf_printf(&t->want, "%s%lld", i > 0 ? "," : "", (long long)rows[i]->value);
    }
    (void)buf_printf(&t->want, "] ]");
}

static void want_fire(struct world *t, const struct fired *f)
{
    const struct window_spec *s = &t->spec;
    int64_t end = f->at + s->delay, from = f->at - s->length, start = from;
    int64_t until = slides(t) && s->delay == 0 ? end + 1 : end;
    const struct item *in[ROWS];
    int n = 0;
    for (int i = 0; i < t->n_rows; i++) {
        if (t->rows[i].at >= from && t->rows[i].at < until) {
            in[n++] = &t->rows[i];
        }
    }
    if (!slides(t) && f->corrections == 0 && t->first_start != INT64_MIN) {
        start = t->first_start;
        t->first_start = INT64_MIN;
    }
    if (n == 0) { /* grouped by keys: nothing to show */
        return;
    }
    (void)buf_printf(&t->want, "%lld-%lld #%lld:", (long long)start, (long long)end,
                     (long long)f->corrections);
    for (bool told[KEYS] = {false}, all = false; n > 0 && !all;) {
        const struct item *group[ROWS];
        int64_t key = -1;
        int m = 0;
        for (int i = 0; i < n; i++) {
            if (s->n_keys == 0 || (!told[in[i]->key] && (key < 0 || in[i]->key == key))) {
                key = in[i]->key;
                group[m++] = in[i];
            }
        }
        all = m == 0 || s->n_keys == 0;
        if (m > 0) {
            told[key] = true;
            want_group(t, group, m);
        }
    }
    (void)buf_putc(&t->want, '\n');
}

static struct fired *model_fired(struct world *t, int64_t at)
{
    int i = t->n_fired;
    for (int k = 0; k < t->n_fired; k++) {
        if (t->fired[k].at == at) {
            return &t->fired[k];
        }
    }
    assert_true(t->n_fired < FIRINGS);
    for (; i > 0 && t->fired[i - 1].at > at; i--) {
        t->fired[i] = t->fired[i - 1];
    }
    t->n_fired++;
    t->fired[i] = (struct fired){.at = at};
    return &t->fired[i];
}

/* What rows are ordered by: their time; between two cuts of a tumbling or hopping window they stand
 * as they came. */
static int64_t place_of(const struct world *t, int64_t at)
{
    int64_t step = t->spec.interval, length = t->spec.length;
    if (slides(t)) {
        return at;
    }
    return MIN_OF((at / step + 1) * step, ((at + length) / step + 1) * step - length);
}

static void model_row(struct world *t, const struct item *r)
{
    int i = t->n_rows++;
    for (; i > 0 && place_of(t, t->rows[i - 1].at) > place_of(t, r->at); i--) {
        t->rows[i] = t->rows[i - 1];
    }
    t->rows[i] = *r;
    if (!slides(t) && t->next_end < 0) {
        t->next_end = (r->at / t->spec.interval + 1) * t->spec.interval;
        t->first_start = t->spec.kind == AST_WINDOW_HOPPING ? r->at - t->spec.interval : r->at;
    }
    if (!slides(t) || (t->spec.when && r->key != 0)) {
        return;
    }
    if (r->at >= t->now || r->at + t->spec.delay > t->now) {
        for (i = t->n_triggers++; i > 0 && t->triggers[i - 1] > r->at; i--) {
            t->triggers[i] = t->triggers[i - 1];
        }
        t->triggers[i] = r->at;
    } else {
        (void)model_fired(t, r->at);
    }
}

/* All firings so far that have the late row. */
static void model_correct(struct world *t, int64_t at)
{
    int64_t step = t->spec.interval;
    for (int64_t e = slides(t) ? t->next_end : (at / step + 1) * step;
         e < t->next_end && e - t->spec.length <= at; e += step) {
        struct fired *f = model_fired(t, e);
        f->corrections++;
        want_fire(t, f);
    }
    for (int i = 0; slides(t) && i < t->n_fired; i++) {
        struct fired *f = &t->fired[i];
        bool has = t->spec.delay > 0 ? at < f->at + t->spec.delay : at <= f->at;
        if (has && at >= f->at - t->spec.length) {
            f->corrections++;
            want_fire(t, f);
        }
    }
}

static void model_time(struct world *t)
{
    while (t->next_end >= 0 && t->next_end <= t->now) {
        want_fire(t, &(struct fired){.at = t->next_end});
        t->next_end += t->spec.interval;
    }
    while (t->n_triggers > 0 && t->triggers[0] + t->spec.delay <= t->now) {
        struct fired now = {.at = t->triggers[0]};
        memmove(t->triggers, t->triggers + 1, (size_t)--t->n_triggers * sizeof(*t->triggers));
        (void)model_fired(t, now.at);
        want_fire(t, &now);
    }
}

/* ---- a round ---- */

static void make_statement(struct world *t)
{
    static const char *const names[] = {"count", "sum", "max", "collect"};
    for (int i = 0; i < 4; i++) {
        t->calls[i] =
            (struct aggregate_call){.function = aggregate(names[i]), .args = args, .n_args = i > 0};
    }
    t->spec = (struct window_spec){.kind = AST_WINDOW_SLIDING,
                                   .length = (1 + pick(pick(2) ? 100 : 2000)) * MS,
                                   .delay = pick(2) * pick(50) * MS,
                                   .unit = str_of("ms"),
                                   .event_time = true,
                                   .lateness = (1 + pick(150)) * MS,
                                   .when = pick(2) ? &is_zero : NULL,
                                   .n_sources = 1,
                                   .keys = keys,
                                   .n_keys = (uint32_t)pick(2),
                                   .aggregates = t->calls,
                                   .n_aggregates = 4,
                                   .needs_rows = t->scans,
                                   .grouped = true};
    int64_t kind = pick(4); /* half of them slide */
    if (kind < 2) {
        bool hops = kind == 1;
        t->spec.kind = hops ? AST_WINDOW_HOPPING : AST_WINDOW_TUMBLING;
        t->spec.interval = (1 + pick(50)) * MS;
        t->spec.length = t->spec.interval + (hops ? pick(100) * MS : 0);
        t->spec.delay = 0;
        t->spec.when = NULL;
        t->spec.n_keys = 1;
    }
}

/* A late row of `at` can still be taken. */
static bool takes(const struct world *t, int64_t at)
{
    if (slides(t)) {
        return at >= t->now - t->spec.lateness;
    }
    return t->next_end >= 0 && at >= t->next_end - t->spec.length - t->spec.lateness;
}

static void save_and_load(struct world *t)
{
    struct arena a;
    struct value saved;
    struct err err;
    arena_init(&a, 0);
    assert_int_equal(window_save(t->window, &a, &saved), 0);
    window_free(t->window);
    assert_int_equal(window_new(&t->spec, on_emit, on_error, t, &t->window, &err), 0);
    assert_int_equal(window_load(t->window, &saved, &err), 0);
    arena_fini(&a);
}

static void push(struct world *t, const struct item *r)
{
    struct value cells[] = {value_int(r->key), value_int(r->value)};
    struct row *row = row_new(cells, 2, NULL, NULL, r->at, 0);
    assert_non_null(row);
    if (r->at >= t->now) {
        model_row(t, r);
        assert_int_equal(window_push(t->window, 0, row), 0);
    } else {
        bool taken = takes(t, r->at);
        assert_int_equal(window_correct(t->window, 0, row), taken);
        if (taken) {
            model_row(t, r);
            model_correct(t, r->at);
        }
    }
    row_unref(row);
}

static void one_round(unsigned seed, bool scans)
{
    struct world *t = mem_zalloc(sizeof(*t));
    struct err err;
    t->seed = seed;
    t->scans = scans;
    srand(seed);
    make_statement(t);
    t->disorder = pick(40);
    t->next_end = -1;
    t->first_start = INT64_MIN;
    assert_int_equal(window_new(&t->spec, on_emit, on_error, t, &t->window, &err), 0);
    int64_t ahead = 0;
    for (int i = 0; i < ROWS; i++) {
        bool late =
            pick(100) < t->disorder && t->now > 0; /* the watermark lets the first be first */
        ahead += pick(3) == 0 ? 0 : pick(10) * MS;
        int64_t behind = t->now - pick(300) * MS;
        struct item r = {late ? MAX_OF(behind, 0) : ahead, pick(KEYS), pick(100)};
        push(t, &r);
        if (pick(3) > 0 && ahead > t->now) {
            t->now = ahead; /* rows of this very time may still come: they are not late */
            assert_int_equal(window_advance(t->window, t->now), 0);
            model_time(t);
        }
        if (pick(60) == 0) {
            save_and_load(t);
        }
    }
    (void)buf_putc(&t->got, '\0');
    (void)buf_putc(&t->want, '\0');
    if (strcmp(buf_data(&t->got), buf_data(&t->want)) != 0) {
        const char *g = buf_data(&t->got), *w = buf_data(&t->want);
        while (*g && *g == *w) {
            g++, w++;
        }
        fail_msg("SEED=%u: got ...%.300s\nwant ...%.300s", seed, g, w);
    }
    window_free(t->window);
    buf_fini(&t->got);
    buf_fini(&t->want);
    mem_free(t);
}

static void windows_are_corrected_as_a_list_of_all_rows_says(void **state)
{
    (void)state;
    const char *given = getenv("SEED");
    unsigned seed = (unsigned)time(NULL) % 1000000;
    int64_t n;
    if (given && str_i64(str_of(given), &n) == 0) {
        seed = (unsigned)n;
    }
    print_message("SEED=%u\n", seed);
    for (unsigned i = 0; i < (given ? 1u : 60u); i++) {
        one_round(seed + i, i % 4 == 3);
    }
}

/* ---- memory ---- */

static void on_told(void *arg, const struct row *row, const struct err *err)
{
    struct world *t = arg;
    (void)row;
    (void)buf_printf(&t->want, "%s\n", err->text);
}

/* Rows, late ones among them; -ENOMEM where any of them, or a window, was lost. */
static int live(struct world *t)
{
    static const int64_t times[] = {10, 20, 30, 15, 40, 50, 22, 60, 70, 80, 75, 90, 33, 99, 100};
    struct err err;
    int64_t now = INT64_MIN;
    int all = window_new(&t->spec, on_emit, on_told, t, &t->window, &err);
    for (size_t i = 0; t->window && i < 10 * ARRAY_SIZE(times); i++) {
        int64_t at = (times[i % ARRAY_SIZE(times)] + 100 * (int64_t)(i / ARRAY_SIZE(times))) * MS;
        struct value cells[] = {value_int((int64_t)i % 2), value_int((int64_t)i)};
        struct row *row = row_new(cells, 2, NULL, NULL, at, 0);
        int rc = !row       ? -ENOMEM
                 : at < now ? window_correct(t->window, 0, row)
                            : window_push(t->window, 0, row);
        row_unref(row);
        now = MAX_OF(now, at);
        int moved = window_advance(t->window, now);
        all = all < 0 ? all : rc < 0 ? rc : MIN_OF(moved, 0);
    }
    window_free(t->window);
    buf_fini(&t->got);
    buf_fini(&t->want);
    t->window = NULL;
    return all;
}

static void a_window_goes_on_when_an_allocation_fails(void **state)
{
    (void)state;
    for (int keyed = 0; keyed < 2; keyed++) {
        struct world *t = mem_zalloc(sizeof(*t));
        srand(7);
        make_statement(t);
        t->spec.kind = AST_WINDOW_SLIDING;
        t->spec.length = 60 * MS;
        t->spec.lateness = 80 * MS;
        t->spec.delay = 0;
        t->spec.when = NULL;
        t->spec.n_keys = (uint32_t)keyed;
        int rc = -ENOMEM;
        unsigned long n = 1, failed = 0;
        for (; n < 100000; n += n < 500 ? 1 : 37) {
            mem_fail_at(n);
            rc = live(t);
            failed += rc < 0;
            if (mem_fail_at(0) < n) {
                break;
            }
        }
        assert_int_equal(rc, 0);
        assert_true(failed > 100);
        mem_free(t);
    }
}

static void a_limit_of_memory_is_told_and_leaves_nothing_behind(void **state)
{
    (void)state;
    struct world *t = mem_zalloc(sizeof(*t));
    struct err err;
    srand(7);
    make_statement(t);
    t->spec.kind = AST_WINDOW_SLIDING;
    t->spec.length = 5000 * MS;
    t->spec.lateness = 100 * MS;
    t->spec.delay = 0;
    t->spec.when = NULL;
    t->spec.n_keys = 1;
    t->spec.memory_limit = 60000;
    assert_int_equal(window_new(&t->spec, on_emit, on_told, t, &t->window, &err), 0);
    for (int i = 0; i < 3000; i++) {
        int64_t late = i % 10 == 9 ? 50 : 0;
        struct value cells[] = {value_int(i % 7), value_int(1)};
        struct row *row = row_new(cells, 2, NULL, NULL, (i * 10 - late) * MS, 0);
        assert_true((late ? window_correct : window_push)(t->window, 0, row) >= 0);
        row_unref(row);
        assert_int_equal(window_advance(t->window, MAX_OF(i * 10 - late, i / 10 * 100) * MS), 0);
        assert_true(window_bytes(t->window) < 90000);
        buf_clear(&t->got);
    }
    (void)buf_putc(&t->want, '\0');
    assert_non_null(strstr(buf_data(&t->want), "the limit of the rule is 60000"));
    assert_int_equal(window_advance(t->window, 49999 * MS), 0); /* all has left */
    buf_clear(&t->got);
    for (int64_t at = 50000; at < 50003; at++) {
        struct value cells[] = {value_int(3), value_int(at - 50000)};
        struct row *row = row_new(cells, 2, NULL, NULL, at * MS, 0);
        assert_int_equal(window_push(t->window, 0, row), 0);
        row_unref(row);
    }
    assert_int_equal(window_advance(t->window, 50002 * MS), 0);
    (void)buf_putc(&t->got, '\0');
    assert_string_equal(buf_data(&t->got), "45000000-50000000 #0: [1 0 0 [0] ]\n"
                                           "45001000-50001000 #0: [2 1 1 [0,1] ]\n"
                                           "45002000-50002000 #0: [3 3 2 [0,1,2] ]\n");
    window_free(t->window);
    buf_fini(&t->got);
    buf_fini(&t->want);
    mem_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_are_corrected_as_a_list_of_all_rows_says),
        cmocka_unit_test(a_window_goes_on_when_an_allocation_fails),
        cmocka_unit_test(a_limit_of_memory_is_told_and_leaves_nothing_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

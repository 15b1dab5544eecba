/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every kind of window over random rows, against a model that keeps all rows and scans them. Rows
 * come out of order through a watermark in event time, in order in processing time, one by one or
 * in batches; states are saved and loaded in between. The seed is printed and may be given.
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
#define ROWS_MAX 400
#define KEYS_MAX 8

enum { FIELD_K, FIELD_S, FIELD_V, FIELDS };

struct item { /* a row of the model */
    int64_t at;
    int64_t k;
    int s;
    bool has_v;
    bool real;
    int64_t v;
};

/* What the window saw, in order. */
struct event {
    bool is_time;
    int64_t us;
    struct item row;
};

struct world {
    struct window_spec spec;
    struct expr fields[FIELDS], condition, condition_const, where, where_const;
    struct expr *keys[2], *arg_v[1], *partition[1];
    struct aggregate_call calls[5];
    struct shape shape;
    const struct shape *shapes[1];
    struct window *window;
    struct watermark *watermark;
    struct event events[3 * ROWS_MAX];
    int n_events;
    struct buf got, want;
    int errors;
    bool by_batch;
    struct batch *batch;
    unsigned seed;
};

static const char *const words[] = {"red", "green", "blue", "", "ultraviolet and more"};

static int64_t pick(int64_t n)
{
    return random() % n;
}

/* ---- the window under test ---- */

static void print_value(struct buf *b, const struct value *v)
{
    buf_printf(b, " ");
    value_print_json(b, v);
}

static void on_emit(void *arg, const struct window_output *out)
{
    struct world *t = arg;
    buf_printf(&t->got, "[%lld %lld]", (long long)(out->range.start / MS),
               (long long)(out->range.end / MS));
    for (uint32_t i = 0; i < out->n_groups; i++) {
        const struct window_group *g = &out->groups[i];
        buf_printf(&t->got, "{");
        if (!t->spec.grouped || t->spec.needs_rows) {
            for (uint32_t k = 0; k < g->n_tuples; k++) {
                buf_printf(&t->got, "%llu,", (unsigned long long)g->tuples[k]->rows[0]->time_us);
            }
        } else if (g->n_tuples > 0) {
            buf_printf(&t->got, "%llu", (unsigned long long)g->tuples[0]->rows[0]->time_us);
        }
        for (uint32_t a = 0; t->spec.grouped && a < t->spec.n_aggregates; a++) {
            print_value(&t->got, &g->aggregates[a]);
        }
        buf_printf(&t->got, "}");
    }
    buf_printf(&t->got, "\n");
}

static void on_error(void *arg, const struct row *row, const struct err *err)
{
    struct world *t = arg;
    (void)row;
    print_message("error: %s\n", err->text);
    t->errors++;
}

/* ---- the model ---- */

static bool in_where(const struct world *t, const struct item *r)
{
    return !t->spec.where || r->k > t->where_const.value.i;
}

static bool in_filter(const struct world *t, const struct item *r)
{
    return !t->spec.filter || r->k > t->where_const.value.i;
}

static bool same_group(const struct world *t, const struct item *a, const struct item *b)
{
    return (t->spec.n_keys < 1 || a->s == b->s) && (t->spec.n_keys < 2 || a->k == b->k);
}

static void want_aggregates(struct world *t, const struct item **rows, int n)
{
    int64_t count = 0, sum = 0, least = 0, most = 0;
    bool any_real = false, least_real = false, most_real = false;
    for (int i = 0; i < n; i++) {
        if (!rows[i]->has_v) {
            continue;
        }
        sum += rows[i]->v;
        any_real = any_real || rows[i]->real;
        if (count == 0 || rows[i]->v < least) {
            least = rows[i]->v;
            least_real = rows[i]->real;
        }
        if (count == 0 || rows[i]->v > most) {
            most = rows[i]->v;
            most_real = rows[i]->real;
        }
        count++;
    }
    struct value v[5] = {value_int(n), value_int(count), VALUE_OF_NULL, VALUE_OF_NULL,
                         VALUE_OF_NULL};
    if (count > 0) {
        v[2] = any_real ? value_float((double)sum) : value_int(sum);
        v[3] = least_real ? value_float((double)least) : value_int(least);
        v[4] = most_real ? value_float((double)most) : value_int(most);
    }
    for (int i = 0; i < 5; i++) {
        print_value(&t->want, &v[i]);
    }
}

static void want_group(struct world *t, const struct item **rows, int n)
{
    buf_printf(&t->want, "{");
    if (!t->spec.grouped || t->spec.needs_rows) {
        for (int i = 0; i < n; i++) {
            buf_printf(&t->want, "%llu,", (unsigned long long)rows[i]->at);
        }
    } else if (n > 0) {
        buf_printf(&t->want, "%llu", (unsigned long long)rows[0]->at);
    }
    if (t->spec.grouped) {
        want_aggregates(t, rows, n);
    }
    buf_printf(&t->want, "}");
}

/* The window [start, end] with the rows. */
static void want(struct world *t, int64_t start, int64_t end, const struct item **all, int n_all)
{
    const struct item *rows[3 * ROWS_MAX], *group[3 * ROWS_MAX];
    bool done[3 * ROWS_MAX] = {false};
    int n = 0;
    for (int i = 0; i < n_all; i++) {
        if (in_where(t, all[i])) {
            rows[n++] = all[i];
        }
    }
    if (n == 0 && (t->spec.where || (t->spec.grouped && t->spec.n_keys > 0))) {
        return;
    }
    buf_printf(&t->want, "[%lld %lld]", (long long)(start / MS), (long long)(end / MS));
    if (!t->spec.grouped || t->spec.n_keys == 0) {
        want_group(t, rows, n);
    } else {
        for (int i = 0; i < n; i++) {
            int m = 0;
            for (int k = i; k < n && !done[i]; k++) {
                if (same_group(t, rows[i], rows[k])) {
                    group[m++] = rows[k];
                    done[k] = k != i || done[k];
                }
            }
            if (m > 0) {
                want_group(t, group, m);
            }
        }
    }
    buf_printf(&t->want, "\n");
}

struct rows {
    const struct item *items[3 * ROWS_MAX];
    int n;
};

static int64_t grid_after(int64_t t, int64_t step)
{
    return (t / step + 1) * step;
}

static int want_range(struct world *t, const struct rows *r, int64_t from, int64_t until,
                      int64_t start, int64_t end)
{
    struct rows in = {.n = 0};
    for (int i = 0; i < r->n; i++) {
        if (r->items[i]->at >= from && r->items[i]->at < until) {
            in.items[in.n++] = r->items[i];
        }
    }
    want(t, start, end, in.items, in.n);
    return in.n;
}

/* The time of the next row that any window has, but not after now. */
static int64_t next_row(const struct rows *r, int64_t from, int64_t step, int64_t length,
                        int64_t now)
{
    int64_t least = now;
    for (int i = 0; i < r->n; i++) {
        int64_t at = r->items[i]->at;
        if (at >= from - step && at >= grid_after(at, step) - length) {
            least = MIN_OF(least, at);
        }
    }
    return least;
}

static void model_grid(struct world *t)
{
    struct rows r = {.n = 0};
    int64_t step = t->spec.kind == AST_WINDOW_TUMBLING ? t->spec.length : t->spec.interval;
    int64_t end = INT64_MIN, first = INT64_MIN;
    for (int i = 0; i < t->n_events; i++) {
        struct event *e = &t->events[i];
        if (end == INT64_MIN && (!e->is_time || !t->spec.event_time)) {
            end = grid_after(e->us, step);
            first = !t->spec.event_time                  ? INT64_MIN
                    : t->spec.kind == AST_WINDOW_HOPPING ? e->us - step
                                                         : e->us;
        }
        if (!e->is_time) {
            r.items[r.n++] = &e->row;
            continue;
        }
        int empty = 0;
        while (end != INT64_MIN && end <= e->us) {
            int64_t start = end - t->spec.length;
            int n = want_range(t, &r, start, end, first != INT64_MIN ? first : start, end);
            first = INT64_MIN;
            end += step;
            empty = n == 0 ? empty + 1 : 0;
            if (empty > 1000) {
                end = grid_after(next_row(&r, end, step, t->spec.length, e->us), step);
            }
        }
    }
}

static void model_sliding(struct world *t)
{
    struct rows r = {.n = 0};
    int64_t pending[3 * ROWS_MAX];
    int n_pending = 0, next = 0;
    int64_t len = t->spec.length, delay = t->spec.delay;
    for (int i = 0; i < t->n_events; i++) {
        struct event *e = &t->events[i];
        if (!e->is_time) {
            r.items[r.n++] = &e->row;
            bool fires = !t->spec.when || e->row.k > t->condition_const.value.i;
            if (fires && !t->spec.event_time && delay == 0) {
                (void)want_range(t, &r, e->us - len, e->us + 1, e->us - len, e->us);
            } else if (fires) {
                pending[n_pending++] = e->us;
            }
            continue;
        }
        for (; next < n_pending && pending[next] + delay <= e->us; next++) {
            int64_t at = pending[next], due = at + delay;
            (void)want_range(t, &r, at - len, delay > 0 ? due : due + 1, at - len, due);
        }
    }
}

static void model_count(struct world *t)
{
    struct rows r = {.n = 0};
    int64_t counted = 0;
    for (int i = 0; i < t->n_events; i++) {
        if (t->events[i].is_time) {
            continue;
        }
        r.items[r.n++] = &t->events[i].row;
        if (++counted % t->spec.interval == 0 && counted >= t->spec.length) {
            const struct item **from = &r.items[r.n - t->spec.length];
            want(t, from[0]->at, t->events[i].us, from, (int)t->spec.length);
        }
    }
}

static void model_session(struct world *t)
{
    struct rows open = {.n = 0};
    int64_t start = 0, cut = 0, last = INT64_MIN, continued = INT64_MIN;
    for (int i = 0; i < t->n_events; i++) {
        struct event *e = &t->events[i];
        int64_t idle = last + t->spec.interval;
        bool row = !e->is_time;
        if (open.n > 0) {
            bool in_reach = t->spec.event_time ? row && e->us <= idle : cut <= idle;
            bool cuts = in_reach && e->us >= cut;
            bool ends = row || t->spec.event_time ? e->us > idle : e->us >= idle;
            if (cuts || ends) {
                want(t, start, cuts ? cut : idle, open.items, open.n);
                continued = cuts ? cut : INT64_MIN;
                open.n = 0;
            }
        }
        if (row) {
            if (open.n == 0) {
                start = continued != INT64_MIN && e->us <= idle ? continued : e->us;
                continued = INT64_MIN;
                cut = grid_after(e->us + t->spec.length - !t->spec.event_time, t->spec.length);
            }
            open.items[open.n++] = &e->row;
            last = e->us;
        }
    }
}

static void model_state(struct world *t)
{
    static struct rows open[KEYS_MAX];
    bool running[KEYS_MAX] = {false};
    int64_t start[KEYS_MAX] = {0};
    for (int i = 0; i < KEYS_MAX; i++) {
        open[i].n = 0;
    }
    for (int i = 0; i < t->n_events; i++) {
        struct event *e = &t->events[i];
        if (e->is_time) {
            continue;
        }
        int p = t->spec.n_partition > 0 ? e->row.s : 0;
        bool begins = e->row.k > t->condition_const.value.i;
        bool emits = e->row.k > t->where_const.value.i;
        bool ended = false;
        if (!running[p] && !begins) {
            continue;
        }
        if (running[p] && !t->spec.emit && begins) {
            if (!t->spec.filter || open[p].n > 0) {
                want(t, start[p], e->us, open[p].items, open[p].n);
            }
            open[p].n = 0;
            start[p] = e->us;
        }
        ended = running[p] && t->spec.emit && emits;
        if (!running[p]) {
            start[p] = e->us;
        }
        running[p] = true;
        if (in_filter(t, &e->row)) {
            open[p].items[open[p].n++] = &e->row;
        }
        if (ended) {
            if (!t->spec.filter || open[p].n > 0) {
                want(t, start[p], e->us, open[p].items, open[p].n);
            }
            open[p].n = 0;
            running[p] = false;
        }
    }
}

static void run_model(struct world *t)
{
    switch (t->spec.kind) {
    case AST_WINDOW_TUMBLING:
    case AST_WINDOW_HOPPING:
        model_grid(t);
        break;
    case AST_WINDOW_SLIDING:
        model_sliding(t);
        break;
    case AST_WINDOW_COUNT:
        model_count(t);
        break;
    case AST_WINDOW_SESSION:
        model_session(t);
        break;
    case AST_WINDOW_STATE:
        model_state(t);
        break;
    case AST_WINDOW_NONE:
        break;
    }
}

/* ---- the statement ---- */

static struct expr *field(struct world *t, uint32_t slot)
{
    t->fields[slot] = (struct expr){.kind = EXPR_FIELD, .slot = slot};
    return &t->fields[slot];
}

static struct expr *k_above(struct world *t, struct expr *e, struct expr *constant, int64_t n)
{
    *constant = (struct expr){.kind = EXPR_CONST, .source = -1, .value = value_int(n)};
    *e = (struct expr){.kind = EXPR_BINARY, .op = VALUE_GT, .a = field(t, FIELD_K), .b = constant};
    return e;
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

static void make_statement(struct world *t)
{
    static const char *const names[] = {"count", "count", "sum", "min", "max"};
    struct window_spec *s = &t->spec;
    s->kind = AST_WINDOW_TUMBLING + (enum ast_window_kind)pick(6);
    s->event_time = s->kind != AST_WINDOW_COUNT && pick(2);
    s->unit = str_of("ms");
    static const int64_t spans[] = {1, 2, 5, 10, 50, 200, 1000};
    s->length = spans[pick(7)] * MS;
    s->interval = spans[pick(7)] * MS;
    if (s->kind == AST_WINDOW_COUNT) {
        s->length = 1 + pick(20);
        s->interval = pick(3) ? 1 + pick(s->length) : s->length;
    } else if (s->kind == AST_WINDOW_SLIDING) {
        s->delay = pick(3) ? 0 : spans[pick(5)] * MS;
    }
    s->grouped = pick(4) > 0;
    s->needs_rows = pick(3) == 0;
    s->n_sources = 1;
    s->n_keys = s->grouped ? (uint32_t)pick(3) : 0;
    t->keys[0] = field(t, FIELD_S);
    t->keys[1] = field(t, FIELD_K);
    s->keys = t->keys;
    t->arg_v[0] = field(t, FIELD_V);
    for (int i = 0; i < 5; i++) {
        t->calls[i] = (struct aggregate_call){
            .function = aggregate(names[i]), .args = t->arg_v, .n_args = i > 0};
    }
    s->aggregates = t->calls;
    s->n_aggregates = s->grouped ? 5 : 0;
    struct expr *condition = k_above(t, &t->condition, &t->condition_const, pick(5));
    struct expr *where = k_above(t, &t->where, &t->where_const, pick(4));
    bool is_state = s->kind == AST_WINDOW_STATE;
    s->when = s->kind == AST_WINDOW_SLIDING && pick(2) ? condition : NULL;
    s->begin = is_state ? condition : NULL;
    s->emit = is_state && pick(2) ? where : NULL;
    t->partition[0] = field(t, FIELD_S);
    s->partition = t->partition;
    s->n_partition = is_state && pick(2);
    switch (pick(3)) {
    case 0:
        s->where = where;
        break;
    case 1:
        s->filter = where;
        break;
    default:
        break;
    }
}

/* ---- rows ---- */

static void cells_of(const struct item *r, struct value cells[FIELDS])
{
    cells[FIELD_K] = value_int(r->k);
    cells[FIELD_S] = value_string(str_of(words[r->s]));
    cells[FIELD_V] = !r->has_v ? (r->k % 2 ? VALUE_OF_NULL : (struct value){.type = VALUE_ABSENT})
                     : r->real ? value_float((double)r->v)
                               : value_int(r->v);
}

static struct item item_of_row(const struct batch *b, uint32_t i)
{
    struct item r = {.at = b->time_us[i]};
    struct value v;
    batch_get(b, FIELD_K, i, &v);
    r.k = v.i;
    batch_get(b, FIELD_S, i, &v);
    while (!str_eq(value_text(&v), str_of(words[r.s]))) {
        r.s++;
    }
    batch_get(b, FIELD_V, i, &v);
    r.has_v = !value_is_null(&v);
    r.real = v.type == VALUE_FLOAT;
    r.v = r.real ? (int64_t)v.f : v.i;
    return r;
}

static struct batch *make_batch(struct world *t, const struct item *items, uint32_t n)
{
    struct batch *b = batch_new(&t->shape, 0);
    struct value *columns[FIELDS];
    b->rows = n;
    for (int c = 0; c < FIELDS; c++) {
        columns[c] = arena_alloc(&b->arena, BATCH_ROWS * sizeof(struct value));
    }
    for (uint32_t i = 0; i < n; i++) {
        struct value cells[FIELDS];
        cells_of(&items[i], cells);
        for (int c = 0; c < FIELDS; c++) {
            columns[c][i] = cells[c];
        }
        b->time_us[i] = items[i].at;
    }
    for (int c = 0; c < FIELDS; c++) {
        column_from_values(b, &b->columns[c], columns[c]);
    }
    return b;
}

static void save_and_load(struct world *t)
{
    struct arena a;
    struct value saved;
    struct err err = {0};
    arena_init(&a, 0);
    assert_int_equal(window_save(t->window, &a, &saved), 0);
    size_t bytes = window_bytes(t->window);
    window_free(t->window);
    assert_int_equal(window_new(&t->spec, on_emit, on_error, t, &t->window, &err), 0);
    int rc = window_load(t->window, &saved, &err);
    if (rc < 0) {
        fail_msg("seed %u: %s", t->seed, err.text);
    }
    assert_true(window_bytes(t->window) <= 2 * bytes + 10000);
    arena_fini(&a);
}

static void remember(struct world *t, bool is_time, int64_t us, const struct item *row)
{
    if (row && t->spec.filter && t->spec.kind != AST_WINDOW_STATE && !in_filter(t, row)) {
        return;
    }
    struct event *e = &t->events[t->n_events++];
    *e = (struct event){.is_time = is_time, .us = us};
    if (row) {
        e->row = *row;
    }
}

static void rows_to_window(void *arg, uint32_t source, struct batch *b)
{
    struct world *t = arg;
    (void)source;
    struct selection sel = {.n = 0};
    for (uint32_t i = 0; i < b->rows; i++) {
        struct item r = item_of_row(b, i);
        remember(t, false, r.at, &r);
        sel.rows[sel.n++] = (uint16_t)i;
        if (!t->by_batch) {
            struct row *row = batch_row(b, i);
            assert_int_equal(window_push(t->window, 0, row), 0);
            row_unref(row);
        }
    }
    if (t->by_batch) {
        assert_int_equal(window_push_batch(t->window, b, NULL, &sel), 0);
    }
}

static void time_to_window(void *arg, int64_t us)
{
    struct world *t = arg;
    remember(t, true, us, NULL);
    assert_int_equal(window_advance(t->window, us), 0);
    assert_true(window_next(t->window) > us || t->spec.kind == AST_WINDOW_SESSION);
    if (pick(10) == 0) {
        save_and_load(t);
    }
}

static void run_rows(struct world *t)
{
    struct item items[50];
    int64_t now = 3600000000 * 24 * 365 + pick(1000000);
    int total = 1 + (int)pick(300);
    static const int64_t paces[] = {1, 10, 1000, 20000, 300000};
    int64_t pace = paces[pick(5)];
    if (!t->spec.event_time) {
        time_to_window(t, now);
    }
    for (int done = 0; done < total;) {
        int n = 1 + (int)pick(MIN_OF(total - done, 50));
        for (int i = 0; i < n; i++) {
            now += pick(4) ? pick(2 * pace) : 0;
            items[i] = (struct item){.at = now,
                                     .k = pick(5),
                                     .s = (int)pick(5),
                                     .has_v = pick(5) > 0,
                                     .real = pick(3) == 0,
                                     .v = pick(2000) - 1000};
            if (t->spec.event_time && pick(3) == 0) {
                items[i].at -= pick(10 * pace);
            }
        }
        struct batch *b = make_batch(t, items, (uint32_t)n);
        if (t->spec.event_time) {
            assert_int_equal(watermark_push(t->watermark, 0, b, now), 0);
        } else {
            rows_to_window(t, 0, b);
        }
        batch_unref(b);
        done += n;
        if (!t->spec.event_time && pick(2)) {
            now += pick(3) ? 0 : pick(100 * pace);
            time_to_window(t, now);
        }
    }
    if (t->spec.event_time) {
        assert_int_equal(watermark_flush(t->watermark), 0);
    }
    time_to_window(t, now + 3000 * MS);
}

static void one_round(unsigned seed)
{
    static struct world world;
    struct world *t = &world;
    memset(t, 0, sizeof(*t));
    t->seed = seed;
    srandom(seed);
    shape_init(&t->shape);
    shape_add(&t->shape, str_of("k"), VALUE_NULL);
    shape_add(&t->shape, str_of("s"), VALUE_NULL);
    shape_add(&t->shape, str_of("v"), VALUE_NULL);
    t->shapes[0] = &t->shape;
    make_statement(t);
    t->by_batch = pick(2);
    struct err err;
    assert_int_equal(window_new(&t->spec, on_emit, on_error, t, &t->window, &err), 0);
    struct watermark_spec ws = {
        .n_sources = 1, .shapes = t->shapes, .tolerance_us = pick(2) ? 0 : pick(100) * MS};
    struct watermark_ops ops = {rows_to_window, time_to_window, NULL};
    assert_int_equal(watermark_new(&ws, &ops, t, &t->watermark), 0);
    run_rows(t);
    run_model(t);
    buf_printf(&t->want, "%s", "");
    buf_printf(&t->got, "%s", "");
    struct str got = buf_str(&t->got), wanted = buf_str(&t->want);
    if (!str_eq(got, wanted)) {
        size_t at = 0;
        while (at < got.n && at < wanted.n && got.p[at] == wanted.p[at]) {
            at++;
        }
        size_t from = at > 300 ? at - 300 : 0;
        print_message("kind %d event %d batch %d length %lld interval %lld delay %lld grouped %d "
                      "rows %d keys %u\ngot  ...%.*s\nwant ...%.*s\n",
                      t->spec.kind, t->spec.event_time, t->by_batch, (long long)t->spec.length,
                      (long long)t->spec.interval, (long long)t->spec.delay, t->spec.grouped,
                      t->spec.needs_rows, t->spec.n_keys, (int)MIN_OF(got.n - from, 600u),
                      got.p + from, (int)MIN_OF(wanted.n - from, 600u), wanted.p + from);
        fail_msg("seed %u", seed);
    }
    assert_int_equal(t->errors, 0);
    window_free(t->window);
    watermark_free(t->watermark);
    shape_fini(&t->shape);
    buf_fini(&t->got);
    buf_fini(&t->want);
}

static void windows_agree_with_a_scan_of_all_rows(void **state)
{
    (void)state;
    const char *given = getenv("SEED");
    uint64_t n = 0;
    unsigned seed = given && str_u64(str_of(given), &n) == 0 ? (unsigned)n : (unsigned)time(NULL);
    print_message("SEED=%u\n", seed);
    for (unsigned i = 0; i < (given ? 1 : 3000); i++) {
        one_round(seed + i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_agree_with_a_scan_of_all_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

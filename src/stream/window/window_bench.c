/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What windows cost on one core, in process: grouping by 1,000 keys, sliding windows of 1 s to 1 h,
 * the same with late rows, sessions, joins; and sqlite beside it for the forms that a batch job
 * would have (its table is filled before the clock runs). `window_bench WORD` runs those with the
 * word in their name. Each figure is the median of five runs, in time of the processor.
 *
 * "binary": columns of numbers come as they are, a copy of them is counted; "JSON": events of 93
 * bytes are decoded first.
 */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "stream/format/format.h"
#include "window.h"

#define RUNS 5
#define SECOND INT64_C(1000000)
#define KEYS 1000

static uint64_t emitted;

static void on_emit(void *arg, const struct window_output *out)
{
    for (uint32_t i = 0; i < out->n_groups; i++) {
        emitted += 1 + out->groups[i].n_tuples;
    }
}

static void on_error(void *arg, const struct row *row, const struct err *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* ---- a statement ---- */

static struct expr field_key = {.kind = EXPR_FIELD, .slot = 0};
static struct expr field_value = {.kind = EXPR_FIELD, .slot = 1};
static struct expr right_key = {.kind = EXPR_FIELD, .source = 1, .slot = 0};
static struct expr same_key = {
    .kind = EXPR_BINARY, .op = VALUE_EQ, .source = -1, .a = &field_key, .b = &right_key};
static struct expr *keys[] = {&field_key};
static struct expr *args[] = {&field_value};
static struct aggregate_call calls[4];

static const struct function *aggregate(const char *name)
{
    for (uint32_t i = 0; i < function_aggregate.n; i++) {
        if (cstr_eq(function_aggregate.functions[i].name, name)) {
            return &function_aggregate.functions[i];
        }
    }
    fprintf(stderr, "no aggregate %s\n", name);
    exit(1);
}

static struct window_spec statement(enum ast_window_kind kind, int64_t length, int64_t interval)
{
    static const char *const names[] = {"count", "sum", "min", "max"};
    for (int i = 0; i < 4; i++) {
        calls[i] =
            (struct aggregate_call){.function = aggregate(names[i]), .args = args, .n_args = i > 0};
    }
    return (struct window_spec){.kind = kind,
                                .length = length,
                                .interval = interval,
                                .unit = str_of("ms"),
                                .n_sources = 1,
                                .keys = keys,
                                .n_keys = 1,
                                .aggregates = calls,
                                .n_aggregates = 4,
                                .grouped = true,
                                .memory_limit = (size_t)2 << 30};
}

/* ---- rows ---- */

struct bench {
    struct window_spec spec;
    uint32_t events;
    int64_t pace_us; /* between events */
    int64_t *key;
    double *value;
    struct shape shape;
    struct payload *payloads; /* JSON */
    struct buf text;
    bool json, text_keys;
};

static void make_rows(struct bench *b)
{
    uint64_t s = 88172645463325252u;
    b->key = malloc(b->events * sizeof(*b->key));
    b->value = malloc(b->events * sizeof(*b->value));
    for (uint32_t i = 0; i < b->events; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        b->key[i] = (int64_t)(s % KEYS);
        b->value[i] = (double)(s >> 40) / 100;
    }
    shape_init(&b->shape);
    shape_add(&b->shape, str_of("device"), VALUE_NULL);
    shape_add(&b->shape, str_of("temp"), VALUE_NULL);
}

static void make_json(struct bench *b)
{
    b->payloads = calloc(b->events, sizeof(*b->payloads));
    size_t *ends = calloc(b->events + 1, sizeof(*ends));
    for (uint32_t i = 0; i < b->events; i++) {
        buf_printf(&b->text,
                   "{\"device\":\"pump-a-%04u\",\"ts\":16%011llu,\"temp\":%05.2f,\"hum\":%02u.%u,"
                   "\"status\":\"nominal-steady\"}",
                   (unsigned)b->key[i], (unsigned long long)i * 977, 10 + b->value[i] / 2000,
                   i % 90 + 10, i % 10);
        ends[i + 1] = buf_len(&b->text);
    }
    for (uint32_t i = 0; i < b->events; i++) {
        b->payloads[i] =
            (struct payload){.bytes = str_n(buf_data(&b->text) + ends[i], ends[i + 1] - ends[i]),
                             .arrival_us = i * b->pace_us,
                             .stable = true};
    }
    free(ends);
}

static struct batch *typed_batch(const struct bench *b, uint32_t from, uint32_t n)
{
    struct batch *batch = batch_new(&b->shape, 0);
    batch->rows = n;
    int64_t *key = arena_dup(&batch->arena, b->key + from, n * sizeof(*key));
    double *value = arena_dup(&batch->arena, b->value + from, n * sizeof(*value));
    batch->columns[0] = (struct column){.kind = COLUMN_INT, .i = key};
    batch->columns[1] = (struct column){.kind = COLUMN_FLOAT, .f = value};
    for (uint32_t i = 0; i < n; i++) {
        batch->time_us[i] = (from + i) * b->pace_us;
    }
    return batch;
}

static void bad_payload(void *arg, const struct payload *p, const struct err *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* Of this thread, so that what else the machine does counts little. */
static double cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail with this clock */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- one run ---- */

static void check(int rc, const char *what)
{
    if (rc < 0) {
        fprintf(stderr, "%s: %d\n", what, rc);
        exit(1);
    }
}

static void push(const struct bench *b, struct window *w, struct batch *batch)
{
    struct selection sel = {.n = batch->rows};
    for (uint32_t i = 0; i < batch->rows; i++) {
        sel.rows[i] = (uint16_t)i;
    }
    int64_t last = batch->time_us[batch->rows - 1];
    if (b->spec.n_sources == 2) { /* every second row is of the other stream */
        for (uint32_t i = 0; i < batch->rows; i++) {
            struct row *row = batch_row(batch, i);
            check(window_push(w, i % 2, row), "push");
            row_unref(row);
        }
    } else {
        check(window_push_batch(w, batch, NULL, &sel), "push");
    }
    check(window_advance(w, last), "advance");
    batch_unref(batch);
}

static double run(const struct bench *b)
{
    struct window *w;
    struct decoder *d = NULL;
    struct err err;
    check(window_new(&b->spec, on_emit, on_error, NULL, &w, &err), "window");
    struct format_options opts = {.format = str_of("json")};
    if (b->json) {
        check(decoder_new(&opts, &b->shape, &d, &err), "decoder");
    }
    double from = cpu_us();
    for (uint32_t at = 0; at < b->events;) {
        struct batch *batch;
        if (b->json) {
            batch = batch_new(&b->shape, 0);
            check(decoder_decode(d, b->payloads, b->events, &at, batch, bad_payload, NULL),
                  "decode");
        } else {
            uint32_t n = MIN_OF(b->events - at, (uint32_t)BATCH_ROWS);
            batch = typed_batch(b, at, n);
            at += n;
        }
        push(b, w, batch);
    }
    check(window_advance(w, b->events * b->pace_us + b->spec.length * 2), "advance");
    double us = cpu_us() - from;
    window_free(w);
    decoder_free(d);
    return (double)b->events / us;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static const char *wanted;

static double measure(const char *name, struct bench *b, double aim)
{
    if (wanted && !strstr(name, wanted)) {
        return 0;
    }
    make_rows(b);
    if (b->json) {
        make_json(b);
    }
    double rates[RUNS];
    for (int i = 0; i < RUNS; i++) {
        rates[i] = run(b);
    }
    qsort(rates, RUNS, sizeof(*rates), by_size);
    printf("%-58s %8.2f M/s", name, rates[RUNS / 2]);
    if (aim > 0) {
        printf("  aim %.0f  ratio %.2f", aim, rates[RUNS / 2] / aim);
    }
    printf("  (%u events, median of %d)\n", b->events, RUNS);
    fflush(stdout);
    free(b->key);
    free(b->value);
    free(b->payloads);
    buf_fini(&b->text);
    shape_fini(&b->shape);
    return rates[RUNS / 2];
}

/* ---- sqlite ---- */

static void fill(sqlite3 *db, const struct bench *b)
{
    sqlite3_stmt *st;
    sqlite3_exec(db, "CREATE TABLE e(t INTEGER, k INTEGER, v REAL); BEGIN", NULL, NULL, NULL);
    sqlite3_prepare_v2(db, "INSERT INTO e VALUES (?,?,?)", -1, &st, NULL);
    for (uint32_t i = 0; i < b->events; i++) {
        sqlite3_bind_int64(st, 1, i * b->pace_us);
        sqlite3_bind_int64(st, 2, b->key[i]);
        sqlite3_bind_double(st, 3, b->value[i]);
        sqlite3_step(st);
        sqlite3_reset(st);
    }
    sqlite3_finalize(st);
    sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
}

static void beside(const char *name, struct bench *b, const char *sql, double ours)
{
    sqlite3 *db;
    if (ours == 0 || sqlite3_open(":memory:", &db) != SQLITE_OK) {
        return;
    }
    make_rows(b);
    fill(db, b);
    double rates[3];
    for (int i = 0; i < 3; i++) {
        sqlite3_stmt *st;
        double from = cpu_us();
        sqlite3_prepare_v2(db, sql, -1, &st, NULL);
        while (sqlite3_step(st) == SQLITE_ROW) {
            emitted += (uint64_t)sqlite3_column_int64(st, 1);
        }
        sqlite3_finalize(st);
        rates[i] = (double)b->events / (cpu_us() - from);
    }
    qsort(rates, 3, sizeof(*rates), by_size);
    printf("%-58s %8.2f M/s  ours is %.1f times as fast  (%u events, median of 3)\n", name,
           rates[1], ours / rates[1], b->events);
    fflush(stdout);
    free(b->key);
    free(b->value);
    shape_fini(&b->shape);
    sqlite3_close(db);
}

/* ---- rows out of order ---- */

#define LATE_US (SECOND / 5) /* how late a row is at most */

struct late {
    struct bench bench;
    uint32_t percent;
    int64_t *time;
};

/* So many rows of a hundred come up to LATE_US after their time. */
static void make_times(struct late *l)
{
    uint64_t s = 88172645463325252u;
    l->time = malloc(l->bench.events * sizeof(*l->time));
    for (uint32_t i = 0; i < l->bench.events; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        bool late = s % 100 < l->percent;
        int64_t at = i * l->bench.pace_us;
        l->time[i] = late ? MAX_OF(at - (int64_t)(s >> 32) % LATE_US, 0) : at;
    }
}

static double run_late(const struct late *l)
{
    const struct bench *b = &l->bench;
    struct window *w;
    struct err err;
    int64_t now = INT64_MIN;
    check(window_new(&b->spec, on_emit, on_error, NULL, &w, &err), "window");
    double from = cpu_us();
    for (uint32_t i = 0; i < b->events; i++) {
        struct value cells[] = {value_int(b->key[i]), value_float(b->value[i])};
        struct row *row = row_new(cells, 2, NULL, NULL, l->time[i], i);
        check(row ? 0 : -1, "row");
        if (l->time[i] < now) {
            check(window_correct(w, 0, row), "correct");
        } else {
            now = l->time[i];
            check(window_push(w, 0, row), "push");
            check(window_advance(w, now), "advance");
        }
        row_unref(row);
    }
    double us = cpu_us() - from;
    window_free(w);
    return (double)b->events / us;
}

static void measure_late(const char *name, struct late *l)
{
    double rates[3];
    if (wanted && !strstr(name, wanted)) {
        return;
    }
    make_rows(&l->bench);
    make_times(l);
    uint64_t before = emitted;
    for (int i = 0; i < 3; i++) {
        rates[i] = run_late(l);
    }
    qsort(rates, 3, sizeof(*rates), by_size);
    printf("%-58s %8.2f M/s  %.1f results an event  (%u events, median of 3)\n", name, rates[1],
           (double)(emitted - before) / 6 / l->bench.events, l->bench.events);
    fflush(stdout);
    free(l->bench.key);
    free(l->bench.value);
    free(l->time);
    shape_fini(&l->bench.shape);
}

/* Windows of 1 h hold 180,000 rows; a result an event, and one for each window that a late row
 * corrects. */
static void disorder(void)
{
    static const struct {
        const char *name;
        int64_t length;
        uint32_t percent;
    } all[] = {{"sliding 1 min, late rows are taken, none is late", 60 * SECOND, 0},
               {"sliding 1 min, late rows are taken, 1 % are late", 60 * SECOND, 1},
               {"sliding 1 min, late rows are taken, 10 % are late", 60 * SECOND, 10},
               {"sliding 1 h, late rows are taken, none is late", 3600 * SECOND, 0},
               {"sliding 1 h, late rows are taken, 1 % are late", 3600 * SECOND, 1},
               {"sliding 1 h, late rows are taken, 10 % are late", 3600 * SECOND, 10}};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        struct late l = {.bench = {.events = 250000, .pace_us = 20000}, .percent = all[i].percent};
        l.bench.spec = statement(AST_WINDOW_SLIDING, all[i].length, 0);
        l.bench.spec.n_keys = 0;
        l.bench.spec.event_time = true;
        l.bench.spec.lateness = SECOND;
        measure_late(all[i].name, &l);
    }
}

/* ---- all of them ---- */

static void tumbling(void)
{
    struct bench b = {.events = 2000000, .pace_us = 5};
    b.spec = statement(AST_WINDOW_TUMBLING, SECOND, 0);
    double ours = measure("tumbling 1 s, 1,000 keys, 4 aggregates, binary", &b, 10);
    beside("  the same by sqlite, GROUP BY over a filled table", &b,
           "SELECT t / 1000000, count(*), sum(v), min(v), max(v) FROM e GROUP BY 1, k", ours);
    struct bench j = {.events = 300000, .pace_us = 5, .json = true};
    j.spec = statement(AST_WINDOW_TUMBLING, SECOND, 0);
    (void)measure("tumbling 1 s, 1,000 keys, 4 aggregates, JSON", &j, 2);
}

static void hopping(void)
{
    struct bench b = {.events = 2000000, .pace_us = 5};
    b.spec = statement(AST_WINDOW_HOPPING, 10 * SECOND, SECOND);
    (void)measure("hopping 10 s by 1 s, 1,000 keys, binary", &b, 0);
}

static void sliding(void)
{
    static const struct {
        const char *name;
        int64_t length;
    } lengths[] = {{"sliding 1 s, one result an event, binary", SECOND},
                   {"sliding 1 min, one result an event, binary", 60 * SECOND},
                   {"sliding 1 h, one result an event, binary", 3600 * SECOND}};
    for (int i = 0; i < 3; i++) {
        struct bench b = {.events = 300000, .pace_us = 20000}; /* 50 events a second */
        b.spec = statement(AST_WINDOW_SLIDING, lengths[i].length, 0);
        b.spec.n_keys = 0;
        double ours = measure(lengths[i].name, &b, 0);
        if (i == 0) {
            beside("  the same by sqlite, OVER (RANGE ...)", &b,
                   "SELECT t, count(*) OVER w, sum(v) OVER w, min(v) OVER w, max(v) OVER w FROM e "
                   "WINDOW w AS (ORDER BY t RANGE BETWEEN 1000000 PRECEDING AND CURRENT ROW)",
                   ours);
        }
    }
}

static void others(void)
{
    struct bench s = {.events = 2000000, .pace_us = 5};
    s.spec = statement(AST_WINDOW_SESSION, 60 * SECOND, SECOND);
    (void)measure("session, 1,000 keys, binary", &s, 0);
    struct bench c = {.events = 500000, .pace_us = 5};
    c.spec = statement(AST_WINDOW_COUNT, 10000, 10000);
    (void)measure("count 10,000, 1,000 keys, binary", &c, 0);
    static const struct join_spec on_key = {.kind = AST_JOIN_INNER, .on = &same_key};
    struct bench j = {.events = 500000, .pace_us = 500}; /* 2,000 events a second */
    j.spec = statement(AST_WINDOW_TUMBLING, SECOND, 0);
    j.spec.n_sources = 2;
    j.spec.joins = &on_key;
    (void)measure("inner join of 1,000 with 1,000 rows, 1 s, then grouped", &j, 0);
}

int main(int argc, char **argv)
{
    wanted = argc > 1 ? argv[1] : NULL;
    tumbling();
    hopping();
    sliding();
    disorder();
    others();
    return emitted == 0;
}

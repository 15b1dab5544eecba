/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What rules cost on one core, in process, the whole way: payloads into the engine, one decode a
 * batch, index, operators, results to a callback that makes JSON of them as a sink does (of JSON
 * events) or counts them (of frames). No I/O. `engine_bench WORD` runs the measurements with the
 * word in their name. Rates are of the thread's own processor time, the median of five runs, each
 * with a fresh engine; planning is not in it.
 *
 * JSON: events of 93 bytes with five fields, handed over in hundreds as a source does.
 * Frames: 1,024 events of three columns each (format/frame.h).
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "engine.h"

#define RUNS 5
#define SECOND INT64_C(1000000)
#define STREAMS_MAX 2

static void check(int rc, const struct err *err)
{
    if (rc < 0) {
        fprintf(stderr, "%s\n", err ? err->text : "out of memory");
        exit(1);
    }
}

/* ---- events ---- */

struct source {
    struct payload *payloads;
    uint32_t n, events, together; /* payloads, events in all, payloads that are pushed at once */
    struct buf text;
};

static uint64_t next_random(void)
{
    static uint64_t s = 88172645463325252u;
    s ^= s << 13, s ^= s >> 7, s ^= s << 17;
    return s;
}

static void point_to(struct source *s, const size_t *ends, int64_t pace_us)
{
    s->payloads = calloc(s->n, sizeof(*s->payloads));
    for (uint32_t i = 0; i < s->n; i++) {
        s->payloads[i] =
            (struct payload){.bytes = str_n(buf_data(&s->text) + ends[i], ends[i + 1] - ends[i]),
                             .arrival_us = (int64_t)i * pace_us,
                             .stable = true};
    }
}

static void make_json(struct source *s, uint32_t events, uint32_t keys, int64_t pace_us)
{
    size_t *ends = calloc(events + 1, sizeof(*ends));
    *s = (struct source){.n = events, .events = events, .together = 100};
    for (uint32_t i = 0; i < events; i++) {
        uint64_t r = next_random();
        buf_printf(
            &s->text,
            "{\"device\":\"pump-a-%04u\",\"ts\":16%011llu,\"temp\":%02u.%02u,\"hum\":%02u.%u,"
            "\"status\":\"nominal-steady\"}",
            (unsigned)(r % keys), (unsigned long long)i * 977, 10 + (unsigned)(r >> 20) % 80,
            10 + (unsigned)(r >> 30) % 90, 10 + (unsigned)(r >> 40) % 90, (unsigned)(r >> 50) % 10);
        ends[i + 1] = buf_len(&s->text);
    }
    point_to(s, ends, pace_us);
    free(ends);
}

static struct column column_of(struct batch *b, struct value *v)
{
    struct column c;
    column_from_values(b, &c, v);
    return c;
}

static void make_frames(struct source *s, uint32_t frames, uint32_t keys, int64_t pace_us)
{
    static const char *const names[] = {"id", "temp", "hum"};
    struct format_options opts = {.format = STR_LIT("batch")};
    size_t *ends = calloc(frames + 1, sizeof(*ends));
    struct shape shape;
    struct encoder *e;
    struct err err;
    *s = (struct source){.n = frames, .events = frames * BATCH_ROWS, .together = 1};
    shape_init(&shape);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        shape_add(&shape, str_of(names[i]), VALUE_NULL);
    }
    check(encoder_new(&opts, &e, &err), &err);
    for (uint32_t k = 0; k < frames; k++) {
        struct batch *b = batch_new(&shape, 0);
        struct value *v = arena_alloc(&b->arena, 3 * BATCH_ROWS * sizeof(*v));
        b->rows = BATCH_ROWS;
        for (uint32_t i = 0; i < BATCH_ROWS; i++) {
            uint64_t r = next_random();
            v[i] = value_int((int64_t)(r % keys));
            v[BATCH_ROWS + i] = value_float(10 + (double)((r >> 20) % 8000) / 100);
            v[2 * BATCH_ROWS + i] = value_float((double)((r >> 40) % 1000) / 10);
        }
        for (uint32_t c = 0; c < 3; c++) {
            b->columns[c] = column_of(b, v + (size_t)c * BATCH_ROWS);
        }
        check(encoder_encode(e, b, 0, BATCH_ROWS, false, false, &s->text, &err), &err);
        batch_unref(b);
        ends[k + 1] = buf_len(&s->text);
    }
    point_to(s, ends, pace_us * BATCH_ROWS);
    encoder_free(e);
    shape_fini(&shape);
    free(ends);
}

static void free_source(struct source *s)
{
    free(s->payloads);
    buf_fini(&s->text);
}

/* ---- a run ---- */

struct run {
    struct engine *e;
    struct engine_stream *streams[STREAMS_MAX];
    struct encoder *json; /* NULL: results are counted */
    struct buf out;
    uint64_t results;
};

static void on_result(void *arg, struct rule *r, struct batch *results, bool single,
                      const struct window_range *range)
{
    struct run *run = arg;
    struct err err;
    run->results += results->rows;
    if (run->json && single) {
        for (uint32_t i = 0; i < results->rows; i++) {
            check(encoder_encode(run->json, results, i, 1, true, false, &run->out, &err), &err);
        }
    } else if (run->json) {
        check(encoder_encode(run->json, results, 0, results->rows, true, false, &run->out, &err),
              &err);
    }
    buf_clear(&run->out);
}

static void on_error(void *arg, struct rule *r, const struct err *err)
{
    check(err->code, err);
}

static void open_run(struct run *run, uint32_t streams, const char *format)
{
    static const char *const names[STREAMS_MAX] = {"s", "t"};
    struct engine_options opts = {.on_error = on_error};
    struct err err;
    *run = (struct run){.results = 0};
    check(engine_new(&opts, 0, &run->e, &err), &err);
    for (uint32_t i = 0; i < streams; i++) {
        CLEANUP(mem_freep)
        char *ddl = mem_printf("CREATE STREAM %s () WITH (FORMAT=\"%s\")", names[i], format);
        check(engine_define(run->e, str_of(ddl), false, &err), &err);
        run->streams[i] = engine_stream(run->e, str_of(names[i]));
    }
    if (cstr_eq(format, "json")) {
        check(encoder_new(&(struct format_options){.delimiter = 0}, &run->json, &err), &err);
    }
}

static void close_run(struct run *run)
{
    engine_free(run->e);
    encoder_free(run->json);
    buf_fini(&run->out);
}

static void add_rule(struct run *run, const char *id, const char *sql)
{
    struct rule_options opts = {.memory_limit = (size_t)1 << 30};
    struct rule *r;
    struct err err;
    check(rule_new(run->e, str_of(id), str_of(sql), &opts, on_result, run, &r, &err), &err);
    check(rule_start(r, &err), &err);
}

/* Of this thread, so that what else the machine does counts little. */
static double cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail with this clock */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Events a microsecond. */
static double push_all(struct run *run, const struct source *s, uint32_t streams)
{
    double from = cpu_us();
    for (uint32_t at = 0; at < s->n; at += s->together) {
        uint32_t n = MIN_OF(s->together, s->n - at);
        struct engine_stream *to = run->streams[at / s->together % streams];
        check(engine_advance(run->e, s->payloads[at + n - 1].arrival_us), NULL);
        check(engine_push(run->e, to, s->payloads + at, n), NULL);
    }
    return s->events / (cpu_us() - from);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(const char *name, double *rates, double aim, const struct source *s,
                   uint64_t results)
{
    qsort(rates, RUNS, sizeof(*rates), by_size);
    double rate = rates[RUNS / 2];
    printf("%-52s %8.2f M/s", name, rate);
    if (aim > 0) {
        printf("  aim %.0f  ratio %.2f", aim, rate / aim);
    }
    printf("  (%u events, %.4f results an event, best run %.2f)\n", s->events,
           (double)results / s->events, rates[RUNS - 1]);
    fflush(stdout);
}

static const char *wanted;

static bool skipped(const char *name)
{
    return wanted && !strstr(name, wanted);
}

static void measure(const char *name, const char *sql, uint32_t streams, bool json, int64_t pace_us,
                    double aim)
{
    struct source s;
    double rates[RUNS];
    uint64_t results = 0;
    if (skipped(name)) {
        return;
    }
    if (json) {
        make_json(&s, 200000, 1000, pace_us);
    } else {
        make_frames(&s, 1000, 1000, pace_us);
    }
    for (int i = 0; i < RUNS; i++) {
        struct run run;
        open_run(&run, streams, json ? "json" : "batch");
        add_rule(&run, "r", sql);
        rates[i] = push_all(&run, &s, streams);
        results = run.results;
        close_run(&run);
    }
    report(name, rates, aim, &s, results);
    free_source(&s);
}

/* ---- many rules on one stream ---- */

/* Each wants one of 10,000 devices: with 10,000 rules every event is of one rule. */
static void many_rules(uint32_t rules)
{
    struct source s;
    double rates[RUNS];
    uint64_t results = 0;
    char name[64];
    (void)snprintf(name, sizeof(name), "JSON, %u rules, device = ...", rules);
    if (skipped(name)) {
        return;
    }
    make_json(&s, 200000, 10000, 5);
    for (int i = 0; i < RUNS; i++) {
        struct run run;
        open_run(&run, 1, "json");
        for (uint32_t k = 0; k < rules; k++) {
            char id[32], sql[128];
            (void)snprintf(id, sizeof(id), "r%u", k);
            (void)snprintf(sql, sizeof(sql),
                           "SELECT device, temp FROM s WHERE device = \"pump-a-%04u\"", k);
            add_rule(&run, id, sql);
        }
        rates[i] = push_all(&run, &s, 1);
        results = run.results;
        close_run(&run);
    }
    report(name, rates, 0, &s, results);
    free_source(&s);
}

/* ---- memory ---- */

/* What the allocator has handed out, its own headers with it. */
static size_t allocated(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void memory_of(const char *name, const char *sql, uint32_t rules)
{
    struct run run;
    if (skipped(name)) {
        return;
    }
    open_run(&run, 1, "json");
    add_rule(&run, "first", sql);
    size_t before = allocated();
    for (uint32_t k = 0; k < rules; k++) {
        char id[32];
        (void)snprintf(id, sizeof(id), "r%u", k);
        add_rule(&run, id, sql);
    }
    printf("%-52s %8zu bytes  (in the engine alone, %u rules)\n", name,
           (allocated() - before) / rules, rules);
    fflush(stdout);
    close_run(&run);
}

int main(int argc, char **argv)
{
    static const char *const windowed =
        "SELECT id, count(*) AS n, avg(temp) AS t, max(temp) AS m FROM s GROUP BY id, "
        "TUMBLINGWINDOW(ss, 1)";
    static const char *const plain = "SELECT a, b FROM s WHERE a > 30";
    wanted = argc > 1 ? argv[1] : NULL;
    measure("JSON, filter and project", "SELECT device, temp FROM s WHERE temp > 80", 1, true, 5,
            5);
    measure("JSON, filter and project, all pass", "SELECT device, temp FROM s WHERE temp > 0", 1,
            true, 5, 5);
    measure("JSON, group by 1,000 devices, 1 s",
            "SELECT device, count(*) AS n, avg(temp) AS t, max(temp) AS m FROM s GROUP BY device, "
            "TUMBLINGWINDOW(ss, 1)",
            1, true, 20, 2);
    measure("frames, filter", "SELECT id, temp FROM s WHERE temp > 80", 1, false, 5, 20);
    measure("frames, group by 1,000 numbers, 1 s", windowed, 1, false, 5, 10);
    measure("frames, join of 1,000 with 1,000 rows, 1 s",
            "SELECT s.id, s.temp, t.hum FROM s INNER JOIN t ON s.id = t.id GROUP BY "
            "TUMBLINGWINDOW(ss, 1)",
            2, false, 500, 0);
    measure("frames, sessions of 1 s at most",
            "SELECT id, count(*) AS n, avg(temp) AS t FROM s GROUP BY id, SESSIONWINDOW(ss, 1, 1)",
            1, false, 5, 0);
    for (uint32_t rules = 1; rules <= 10000; rules *= rules == 1 ? 100 : 10) {
        many_rules(rules);
    }
    memory_of("memory of an idle rule, filter", plain, 1000);
    memory_of("memory of an idle rule, filter, of many", plain, 10000);
    memory_of("memory of an idle rule, window of groups",
              "SELECT a, count(*) AS n, avg(a) AS m FROM s WHERE a > 30 GROUP BY a, "
              "TUMBLINGWINDOW(ss, 10)",
              1000);
    return 0;
}

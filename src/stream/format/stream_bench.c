/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What decoding, filtering, projecting and encoding cost on one core, in process, with hot caches
 * and without I/O. `stream_bench WORD` runs the measurements with the word in their name. Each
 * figure is the median of five runs, in time of the processor.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "stream/engine/index.h"
#include "stream/expr/program.h"
#include "stream/format/format.h"

#define EVENTS 100000
#define RUNS 5

/* ---- events: 93 bytes with five fields ---- */

struct events {
    struct buf text;
    struct payload *payloads;
    size_t bytes;
};

static void make_events(struct events *e)
{
    static const char *const kinds[] = {"pump-a", "pump-b", "fan-02", "valve7"};
    e->payloads = calloc(EVENTS, sizeof(*e->payloads));
    size_t *ends = calloc(EVENTS + 1, sizeof(*ends));
    uint64_t s = 88172645463325252u;
    for (uint32_t i = 0; i < EVENTS; i++) {
        s ^= s << 13, s ^= s >> 7, s ^= s << 17;
        buf_printf(&e->text,
                   "{\"device\":\"%s-%04u\",\"ts\":16%011llu,\"temp\":%02u.%02u,\"hum\":%02u.%u,"
                   "\"status\":\"nominal-steady\"}",
                   kinds[s % 4], (unsigned)(s >> 8) % 1000, (unsigned long long)i * 977,
                   10 + (unsigned)(s >> 20) % 80, 10 + (unsigned)(s >> 30) % 90,
                   10 + (unsigned)(s >> 40) % 90, (unsigned)(s >> 50) % 10);
        ends[i + 1] = buf_len(&e->text);
    }
    for (uint32_t i = 0; i < EVENTS; i++) {
        e->payloads[i] = (struct payload){
            .bytes = str_n(buf_data(&e->text) + ends[i], ends[i + 1] - ends[i]), .stable = true};
    }
    e->bytes = buf_len(&e->text) / EVENTS;
    free(ends);
}

/* ---- expressions by hand: temp > limit ---- */

static struct expr field_temp = {.kind = EXPR_FIELD, .source = 0};
static struct expr limit = {.kind = EXPR_CONST, .value = {.type = VALUE_FLOAT, .f = 80}};
static struct expr hotter = {
    .kind = EXPR_BINARY, .op = VALUE_GT, .source = -1, .a = &field_temp, .b = &limit};

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

typedef uint64_t measure_fn(void *arg); /* returns how many events it took */

/* Of this thread, so that what else the machine does counts little. */
static double cpu_us(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail with this clock */
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double measure(measure_fn *fn, void *arg)
{
    double rates[RUNS];
    for (int i = 0; i < RUNS; i++) {
        double from = cpu_us();
        uint64_t n = fn(arg);
        rates[i] = (double)n / (cpu_us() - from);
    }
    qsort(rates, RUNS, sizeof(*rates), by_size);
    return rates[RUNS / 2];
}

static void report(const char *name, double rate, double aim, const char *of)
{
    printf("%-52s %8.2f M/s", name, rate);
    if (aim > 0) {
        printf("  aim %.0f  ratio %.2f", aim, rate / aim);
    }
    printf("  (%s)\n", of);
    fflush(stdout);
}

/* ---- JSON ---- */

struct json_case {
    struct events events;
    struct shape shape, result;
    struct decoder *d;
    struct encoder *e;
    struct program *p;
    bool filter, encode;
    struct buf out;
    uint64_t passed;
};

static void fail(void *arg, const struct payload *p, const struct err *err)
{
    fprintf(stderr, "%s\n", err->text);
    exit(1);
}

/* SELECT device, temp WHERE temp > 80: a row at a time to the encoder, as a sink gets them. */
static void project(struct json_case *c, struct batch *b, const struct selection *sel)
{
    struct batch *r = batch_new(&c->result, 0);
    struct err err;
    r->rows = sel->n;
    for (uint32_t k = 0; k < 2; k++) {
        const struct column *from = &b->columns[k == 0 ? 0 : 2];
        struct value *v = arena_alloc(&r->arena, BATCH_ROWS * sizeof(*v));
        for (uint32_t i = 0; i < sel->n; i++) {
            column_get(from, sel->rows[i], &v[i]);
        }
        column_from_values(r, &r->columns[k], v);
    }
    for (uint32_t i = 0; i < r->rows; i++) {
        if (encoder_encode(c->e, r, i, 1, false, false, &c->out, &err) < 0) {
            exit(1);
        }
    }
    buf_clear(&c->out);
    batch_unref(r);
}

static uint64_t run_json(void *arg)
{
    struct json_case *c = arg;
    uint32_t at = 0;
    c->passed = 0;
    while (at < EVENTS) {
        struct batch *b = batch_new(&c->shape, 0);
        if (decoder_decode(c->d, c->events.payloads, EVENTS, &at, b, fail, NULL) < 0) {
            exit(1);
        }
        struct selection sel;
        sel.n = b->rows;
        for (uint32_t i = 0; i < b->rows; i++) {
            sel.rows[i] = (uint16_t)i;
        }
        struct program_input in = {.batch = b};
        if (c->filter && program_filter(c->p, &in, &sel) < 0) {
            exit(1);
        }
        if (c->encode) {
            project(c, b, &sel);
        }
        c->passed += sel.n;
        batch_unref(b);
    }
    return EVENTS;
}

static void bench_json(void)
{
    struct json_case c = {.filter = false};
    struct err err;
    char of[64];
    make_events(&c.events);
    shape_init(&c.shape);
    shape_init(&c.result);
    for (const char *const *n =
             (const char *const[]){"device", "ts", "temp", "hum", "status", NULL};
         *n; n++) {
        shape_add(&c.shape, str_of(*n), VALUE_NULL);
    }
    shape_add(&c.result, STR_LIT("device"), VALUE_NULL);
    shape_add(&c.result, STR_LIT("temp"), VALUE_NULL);
    field_temp.slot = 2;
    if (decoder_new(&(struct format_options){0}, &c.shape, &c.d, &err) < 0 ||
        encoder_new(&(struct format_options){0}, &c.e, &err) < 0 ||
        program_compile(&hotter, &c.p, &err) < 0) {
        exit(1);
    }
    snprintf(of, sizeof(of), "events of %zu bytes, 5 of 5 fields", c.events.bytes);
    report("json decode", measure(run_json, &c), 0, of);
    c.filter = true;
    report("json decode, filter", measure(run_json, &c), 0, of);
    c.encode = true;
    double rate = measure(run_json, &c);
    snprintf(of, sizeof(of), "events of %zu bytes, %.0f %% pass", c.events.bytes,
             100.0 * (double)c.passed / EVENTS);
    report("json decode, filter, project, encode", rate, 5, of);
    limit.value.f = 0;
    rate = measure(run_json, &c);
    snprintf(of, sizeof(of), "events of %zu bytes, %.0f %% pass", c.events.bytes,
             100.0 * (double)c.passed / EVENTS);
    report("json decode, filter, project, encode", rate, 5, of);
    limit.value.f = 80;
    program_free(c.p);
    decoder_free(c.d);
    encoder_free(c.e);
    shape_fini(&c.shape);
    shape_fini(&c.result);
    buf_fini(&c.out);
    buf_fini(&c.events.text);
    free(c.events.payloads);
}

/* ---- JSON beside jq ---- */

static void bench_jq(void)
{
    struct events e = {.bytes = 0};
    char path[] = "/tmp/stream-bench-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "w");
    if (!f) {
        exit(1);
    }
    make_events(&e);
    for (uint32_t i = 0; i < EVENTS; i++) {
        fprintf(f, STR_FMT "\n", STR_ARG(e.payloads[i].bytes));
    }
    fclose(f);
    struct rusage used;
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
        (void)dup2(null, STDOUT_FILENO); /* a failure shows jq's output, nothing worse */
        execlp("jq", "jq", "-c", "select(.temp > 80) | {device, temp}", path, (char *)NULL);
        _exit(127);
    }
    int status = 1;
    (void)wait4(child, &status, 0, &used); /* a failure leaves status as it is */
    double us = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
                (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    double rate = EVENTS / us;
    unlink(path);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
        report("jq, the same filter and projection", rate, 0, "a process, from a file to nowhere");
    } else {
        printf("%-52s not installed\n", "jq");
    }
    buf_fini(&e.text);
    free(e.payloads);
}

/* ---- frames ---- */

struct frame_case {
    struct buf frame;
    struct payload payload;
    struct shape shape;
    struct decoder *d;
    struct program *p;
    uint64_t passed;
};

static uint64_t run_frames(void *arg)
{
    struct frame_case *c = arg;
    uint32_t frames = 4 * EVENTS / BATCH_ROWS;
    for (uint32_t k = 0; k < frames; k++) {
        uint32_t at = 0;
        struct batch *b = batch_new(&c->shape, 0);
        struct program_input in = {.batch = b};
        struct selection sel;
        if (decoder_decode(c->d, &c->payload, 1, &at, b, fail, NULL) < 0) {
            exit(1);
        }
        sel.n = b->rows;
        for (uint32_t i = 0; i < b->rows; i++) {
            sel.rows[i] = (uint16_t)i;
        }
        if (program_filter(c->p, &in, &sel) < 0) {
            exit(1);
        }
        c->passed += sel.n;
        batch_unref(b);
    }
    return (uint64_t)frames * BATCH_ROWS;
}

/* Frames of 1,024 events with four columns, one of them texts. */
static void bench_frames(void)
{
    static const char *const names[] = {"device", "ts", "temp", "hum"};
    struct frame_case c = {.passed = 0};
    struct format_options opts = {.format = STR_LIT("batch")};
    struct encoder *e;
    struct err err;
    shape_init(&c.shape);
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        shape_add(&c.shape, str_of(names[i]), VALUE_NULL);
    }
    struct batch *b = batch_new(&c.shape, 0);
    b->rows = BATCH_ROWS;
    for (uint32_t k = 0; k < 4; k++) {
        struct value *v = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*v));
        for (uint32_t i = 0; i < BATCH_ROWS; i++) {
            v[i] = k == 0   ? value_string(i % 2 ? STR_LIT("pump-a-0042") : STR_LIT("fan-02-0007"))
                   : k == 1 ? value_int(1600000000000 + i)
                            : value_float(10 + (i * 37 + k) % 80);
        }
        column_from_values(b, &b->columns[k], v);
    }
    field_temp.slot = 2;
    if (encoder_new(&opts, &e, &err) < 0 || decoder_new(&opts, &c.shape, &c.d, &err) < 0 ||
        encoder_encode(e, b, 0, BATCH_ROWS, false, false, &c.frame, &err) < 0 ||
        program_compile(&hotter, &c.p, &err) < 0) {
        exit(1);
    }
    c.payload = (struct payload){.bytes = buf_str(&c.frame), .stable = true};
    report("framed batch, filter", measure(run_frames, &c), 20, "4 columns, one of texts");
    program_free(c.p);
    decoder_free(c.d);
    encoder_free(e);
    batch_unref(b);
    buf_fini(&c.frame);
    shape_fini(&c.shape);
}

/* ---- many rules ---- */

struct rules_case {
    struct index *x;
    struct batch *b;
    struct expr *nodes;
    uint64_t matches;
};

static void count_match(void *arg, void *rule, struct selection *sel, bool exact)
{
    ((struct rules_case *)arg)->matches += sel->n;
}

static uint64_t run_rules(void *arg)
{
    struct rules_case *c = arg;
    c->matches = 0;
    for (uint32_t i = 0; i < EVENTS / BATCH_ROWS; i++) {
        if (index_match(c->x, c->b, count_match, c) < 0) {
            exit(1);
        }
    }
    return EVENTS / BATCH_ROWS * BATCH_ROWS;
}

/* Rules of the form id = N, or BETWEEN bounds over N; each event matches about one of them. */
static void bench_rules_of(struct rules_case *c, uint32_t rules, bool ranges)
{
    char of[64], name[64];
    c->nodes = calloc(rules, 4 * sizeof(*c->nodes));
    if (index_new(&c->x) < 0 || !c->nodes) {
        exit(1);
    }
    for (uint32_t i = 0; i < rules; i++) {
        struct expr *e = &c->nodes[4 * i];
        e[1] = (struct expr){.kind = EXPR_FIELD, .slot = 0};
        e[2] = (struct expr){.kind = EXPR_CONST, .value = value_int((int64_t)i * 10000 / rules)};
        e[3] = (struct expr){.kind = EXPR_CONST,
                             .value = value_int((int64_t)(i + 1) * 10000 / rules - 1)};
        e[0] = ranges ? (struct expr){.kind = EXPR_BETWEEN, .a = &e[1], .b = &e[2], .c = &e[3]}
                      : (struct expr){.kind = EXPR_BINARY, .op = VALUE_EQ, .a = &e[1], .b = &e[2]};
        if (index_add(c->x, &e[0], &e[0]) < 0) {
            exit(1);
        }
    }
    double rate = measure(run_rules, c);
    snprintf(name, sizeof(name), "index of %u rules, %s", rules, ranges ? "ranges" : "equality");
    snprintf(of, sizeof(of), "%.3f matches an event",
             (double)c->matches / (EVENTS / BATCH_ROWS * BATCH_ROWS));
    report(name, rate, 0, of);
    index_free(c->x);
    free(c->nodes);
}

static void bench_rules(void)
{
    struct rules_case c = {.matches = 0};
    struct shape shape;
    shape_init(&shape);
    shape_add(&shape, STR_LIT("id"), VALUE_NULL);
    c.b = batch_new(&shape, 0);
    c.b->rows = BATCH_ROWS;
    struct value *v = arena_alloc(&c.b->arena, BATCH_ROWS * sizeof(*v));
    for (uint32_t i = 0; i < BATCH_ROWS; i++) {
        v[i] = value_int((int64_t)i * 7919 % 10000);
    }
    column_from_values(c.b, &c.b->columns[0], v);
    for (int ranges = 0; ranges < 2; ranges++) {
        for (uint32_t rules = 1; rules <= 10000; rules *= rules == 1 ? 100 : 10) {
            bench_rules_of(&c, rules, ranges);
        }
    }
    batch_unref(c.b);
    shape_fini(&shape);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } benches[] = {
        {"json", bench_json}, {"jq", bench_jq}, {"frames", bench_frames}, {"rules", bench_rules}};
    for (size_t i = 0; i < ARRAY_SIZE(benches); i++) {
        if (argc < 2 || strstr(benches[i].name, argv[1])) {
            benches[i].run();
        }
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What decoding, filtering, projecting and encoding cost on one core, in process, with hot caches
 * and without I/O. `stream_bench WORD` runs the measurements with the word in their name. Each
 * figure is the median of five runs.
 */
#include <stdio.h>
#include <stdlib.h>

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

static double measure(measure_fn *fn, void *arg)
{
    double rates[RUNS];
    for (int i = 0; i < RUNS; i++) {
        struct mono from = mono_now();
        uint64_t n = fn(arg);
        rates[i] = (double)n / (double)(mono_now().us - from.us);
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

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } benches[] = {{"json", bench_json}};
    for (size_t i = 0; i < ARRAY_SIZE(benches); i++) {
        if (argc < 2 || strstr(benches[i].name, argv[1])) {
            benches[i].run();
        }
    }
    return 0;
}

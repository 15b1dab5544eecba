/* SPDX-License-Identifier: Apache-2.0 */
/* `rule bench`: the rules of a file over its events again and again, as fast as they go. */
#include <stdio.h>

#include "base/mem.h"
#include "rule.h"

#define EVENTS_DEFAULT 1000000
#define BURST 1024

static void count_result(void *arg, struct rule *r, struct batch *b, bool single,
                         const struct window_range *range)
{
    (void)r;
    (void)single;
    (void)range;
    *(uint64_t *)arg += b->rows;
}

static int run(struct rule_file *f, uint64_t events, uint64_t *results, struct err *err)
{
    const struct json *list = json_get(f->json, "events");
    struct payload *payloads = mem_zalloc(BURST * sizeof(*payloads));
    const char *name = json_cstr(json_get(json_at(list, 0), "stream"), "");
    struct engine_stream *s = engine_stream(f->engine, str_of(name));
    size_t n = json_len(list);
    uint64_t done = 0;
    int rc = 0;
    if (!payloads || !s || n == 0) {
        mem_free(payloads);
        return err_set(err, -E_INVAL, "bench needs events of a stream");
    }
    for (size_t i = 0; i < BURST; i++) {
        struct buf b = BUF_INIT;
        (void)json_print(&b, json_get(json_at(list, i % n), "data")); /* sticky */
        size_t length = buf_len(&b);
        char *text = arena_strndup(&f->arena, buf_data(&b), length);
        payloads[i] = (struct payload){.bytes = str_n(text, text ? length : 0), .stable = true};
        buf_fini(&b);
    }
    struct mono start = mono_now();
    int64_t clock = engine_now(f->engine);
    while (rc == 0 && done < events) {
        clock += 1000; /* a burst a millisecond */
        for (size_t i = 0; i < BURST; i++) {
            payloads[i].arrival_us = clock;
        }
        rc = engine_advance(f->engine, clock);
        rc = rc < 0 ? rc : engine_push(f->engine, s, payloads, BURST);
        done += BURST;
    }
    double seconds = (double)(mono_now().us - start.us) / 1e6;
    (void)printf("%llu events, %llu results, %.3f s, %.0f events/s\n", (unsigned long long)done,
                 (unsigned long long)*results, seconds, (double)done / seconds);
    mem_free(payloads);
    return rc < 0 ? err_sys(err, rc, "push events") : 0;
}

int rule_bench(int argc, char **argv)
{
    struct rule_file f;
    struct err err;
    uint64_t events = EVENTS_DEFAULT, results = 0;
    if (argc < 2 || argc > 3 || (argc == 3 && str_u64(str_of(argv[2]), &events) < 0)) {
        (void)fputs("usage: selvedge rule bench FILE [EVENTS]\n", stderr);
        return 2;
    }
    int rc = rule_file_open(argv[1], count_result, NULL, &results, &f, &err);
    if (rc == 0) {
        rc = run(&f, events, &results, &err);
        rule_file_close(&f);
    }
    if (rc < 0) {
        (void)fprintf(stderr, "rule: %s\n", err.text);
    }
    return rc < 0 ? 2 : 0;
}

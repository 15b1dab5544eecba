/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `rule bench`: the rules of a file over its events again and again, as fast as they go. With
 * --threads N they are dealt out to N engines, as `data --threads` does it: rules by turn, each
 * engine over all events; where there are fewer rules than threads, each engine has all rules over
 * its share of the events.
 */
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/limits.h"
#include "base/mem.h"
#include "rule.h"

#define EVENTS_DEFAULT 1000000
#define BURST 1024

struct runner { /* of a thread; all but `start` is its own while it runs */
    pthread_t thread;
    pthread_barrier_t *start;
    struct rule_file file;
    struct engine_stream *stream;
    struct payload *payloads; /* BURST */
    uint64_t events, results;
    int64_t us, cpu_us;
    int rc;
};

static void count_result(void *arg, struct rule *r, struct batch *b, bool single,
                         const struct window_range *range)
{
    (void)r;
    (void)single;
    (void)range;
    ((struct runner *)arg)->results += b->rows;
}

static int make_payloads(struct runner *r, struct err *err)
{
    struct rule_file *f = &r->file;
    const struct json *list = json_get(f->json, "events");
    const char *name = json_cstr(json_get(json_at(list, 0), "stream"), "");
    size_t n = json_len(list);
    r->stream = engine_stream(f->engine, str_of(name));
    r->payloads = mem_zalloc(BURST * sizeof(*r->payloads));
    if (!r->payloads || !r->stream || n == 0) {
        return err_set(err, -E_INVAL, "bench needs events of a stream");
    }
    for (size_t i = 0; i < BURST; i++) {
        struct buf b = BUF_INIT;
        (void)json_print(&b, json_get(json_at(list, i % n), "data")); /* sticky */
        size_t length = buf_len(&b);
        char *text = arena_strndup(&f->arena, buf_data(&b), length);
        r->payloads[i] = (struct payload){.bytes = str_n(text, text ? length : 0), .stable = true};
        buf_fini(&b);
    }
    return arena_failed(&f->arena) ? err_sys(err, -E_NOMEM, "make events") : 0;
}

/* The rules that are this thread's, of `threads`; all of them where they are too few. */
static int open_runner(struct runner *r, const char *path, uint64_t events, uint32_t index,
                       uint32_t threads, struct err *err)
{
    int rc = rule_file_open(path, count_result, NULL, r, &r->file, err);
    bool few = r->file.n_rules < threads;
    r->events = few ? (events + threads - 1) / threads : events;
    for (uint32_t i = 0; rc == 0 && !few && i < r->file.n_rules; i++) {
        if (i % threads != index) {
            rule_free(r->file.rules[i]);
        }
    }
    return rc < 0 ? rc : make_payloads(r, err);
}

/* Beside the clock's: on a machine that others use it is what can be compared. */
static int64_t thread_cpu_us(void)
{
    struct timespec t = {0};
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail */
    return t.tv_sec * INT64_C(1000000) + t.tv_nsec / 1000;
}

static void *run(void *arg)
{
    struct runner *r = arg;
    struct engine *e = r->file.engine;
    uint64_t done = 0;
    (void)pthread_barrier_wait(r->start); /* which of them is told so does not matter */
    struct mono start = mono_now();
    int64_t cpu_start = thread_cpu_us();
    int64_t clock = engine_now(e);
    while (r->rc == 0 && done < r->events) {
        clock += 1000; /* a burst a millisecond */
        for (size_t i = 0; i < BURST; i++) {
            r->payloads[i].arrival_us = clock;
        }
        r->rc = engine_advance(e, clock);
        r->rc = r->rc < 0 ? r->rc : engine_push(e, r->stream, r->payloads, BURST);
        done += BURST;
    }
    r->events = done;
    r->us = mono_now().us - start.us;
    r->cpu_us = thread_cpu_us() - cpu_start;
    return NULL;
}

static void print(const struct runner *r, const char *name)
{
    double seconds = (double)r->us / 1e6;
    (void)printf("%s%llu events, %llu results, %.3f s, %.0f events/s, %.3f s of CPU\n", name,
                 (unsigned long long)r->events, (unsigned long long)r->results, seconds,
                 (double)r->events / seconds, (double)r->cpu_us / 1e6);
}

/* All rules over all events: what N engines with a part of the rules each did is that once. */
static int report(const struct runner *all, uint32_t threads, struct err *err)
{
    struct runner sum = {0};
    bool few = all[0].file.n_rules < threads;
    for (uint32_t i = 0; i < threads; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "thread %u: ", i);
        if (all[i].rc < 0) {
            return err_sys(err, all[i].rc, "push events");
        }
        if (threads > 1) {
            print(&all[i], name);
        }
        sum.events = few ? sum.events + all[i].events : all[i].events;
        sum.results += all[i].results;
        sum.us = MAX_OF(sum.us, all[i].us);
        sum.cpu_us += all[i].cpu_us;
    }
    print(&sum, threads > 1 ? "together: " : "");
    return 0;
}

static int run_all(struct runner *all, uint32_t threads, struct err *err)
{
    pthread_barrier_t start;
    int rc = pthread_barrier_init(&start, NULL, threads);
    if (rc != 0) {
        return err_sys(err, -rc, "start threads");
    }
    for (uint32_t i = 0; i < threads; i++) {
        all[i].start = &start;
    }
    for (uint32_t i = 1; i < threads; i++) {
        rc = pthread_create(&all[i].thread, NULL, run, &all[i]);
        if (rc != 0) { /* those that run wait for ever: the program ends */
            return err_sys(err, -rc, "start thread %u", i);
        }
    }
    (void)run(&all[0]);
    for (uint32_t i = 1; i < threads; i++) {
        (void)pthread_join(all[i].thread, NULL); /* cannot fail: nobody else joins it */
    }
    (void)pthread_barrier_destroy(&start);
    return report(all, threads, err);
}

static int read_arguments(int argc, char **argv, uint64_t *ret_events, uint64_t *ret_threads)
{
    bool events = false;
    for (int i = 2; i < argc; i++) {
        if (cstr_eq(argv[i], "--threads") && i + 1 < argc) {
            if (str_u64(str_of(argv[++i]), ret_threads) < 0 || *ret_threads < 1 ||
                *ret_threads > LIMIT_SHARDS) {
                return -E_INVAL;
            }
        } else if (events || str_u64(str_of(argv[i]), ret_events) < 0) {
            return -E_INVAL;
        } else {
            events = true;
        }
    }
    return argc < 2 ? -E_INVAL : 0;
}

int rule_bench(int argc, char **argv)
{
    struct err err;
    uint64_t events = EVENTS_DEFAULT, threads = 1;
    if (read_arguments(argc, argv, &events, &threads) < 0) {
        (void)fputs("usage: selvedge rule bench FILE [EVENTS] [--threads N]\n", stderr);
        return 2;
    }
    struct runner *all = mem_zalloc(threads * sizeof(*all));
    int rc = all ? 0 : err_sys(&err, -E_NOMEM, "start threads");
    for (uint32_t i = 0; rc == 0 && i < threads; i++) {
        rc = open_runner(&all[i], argv[1], events, i, (uint32_t)threads, &err);
    }
    rc = rc < 0 ? rc : run_all(all, (uint32_t)threads, &err);
    for (uint32_t i = 0; all && i < threads; i++) {
        mem_free(all[i].payloads);
        rule_file_close(&all[i].file);
    }
    mem_free(all);
    if (rc < 0) {
        (void)fprintf(stderr, "rule: %s\n", err.text);
    }
    return rc < 0 ? 2 : 0;
}

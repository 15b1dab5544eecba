/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A broker and its ring without rules, for tests and measurements: what test/e2e/test_mqtt.py and
 * test/bench/mqtt_bench.py drive.
 *
 *      broker_probe DIR PLUGIN KEY=VALUE...       keys: port address tls_port cert key ca require
 *                                                 users acl anonymous ring max_message quiet
 *
 * Commands, one a line on the standard input: "topics FILTER...", "status", "count", "reload",
 * "latency", "quit". Answers and events are lines of JSON on the standard output. With quiet=true
 * events are counted only; a payload of quiet events begins with its time of sending in
 * nanoseconds of CLOCK_MONOTONIC (8 bytes, little-endian), which "latency" tells about.
 */
#include <openssl/evp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/log.h"
#include "broker.h"
#include "codec/json.h"
#include "io/loop.h"
#include "io/stream.h"

#define SAMPLES ((size_t)1 << 20)

struct probe {
    struct io_loop *loop;
    struct broker *broker;
    struct stream *in;
    struct buf line;
    bool quiet;
    uint64_t events, bytes;
    struct timespec first, last;
    uint32_t *latency_us; /* of the last SAMPLES events */
    size_t n_latency;
};

static const char *const state_names[BROKER_STATE_NR] = {"starting", "running", "waiting",
                                                         "stopping"};

static void print(struct json *j)
{
    CLEANUP(buf_finip) struct buf out = BUF_INIT;
    if (json_print(&out, j) == 0) {
        (void)printf(STR_FMT "\n", STR_ARG(buf_str(&out))); /* a test that went away is no matter */
        (void)fflush(stdout);
    }
}

static void print_status(struct probe *p)
{
    struct broker_status s;
    struct broker_local local;
    struct arena a;
    arena_init(&a, 0);
    broker_status(p->broker, &s);
    broker_local(p->broker, &local);
    struct json *j = json_object(&a);
    json_set_str(j, "state", state_names[s.state]);
    json_set_str(j, "why", s.why ? s.why : "");
    json_set_int(j, "restarts", s.restarts);
    json_set_int(j, "pid", s.pid);
    json_set_int(j, "events", (int64_t)s.events);
    json_set_int(j, "bytes", (int64_t)s.bytes);
    json_set_int(j, "dropped", (int64_t)s.dropped);
    json_set_int(j, "broken", (int64_t)s.broken);
    json_set_str(j, "socket", local.path);
    json_set_str(j, "user", local.username);
    json_set_str(j, "password", local.password);
    print(j);
    arena_fini(&a);
}

static const char *hash_of(struct str s, char out[HEX_SIZE(32)])
{
    uint8_t hash[32];
    unsigned n = sizeof(hash);
    bool ok = EVP_Digest(s.p, s.n, hash, &n, EVP_sha256(), /* impl= */ NULL) == 1;
    hex_encode(hash, ok ? n : 0, out);
    return out;
}

static void print_event(const struct mqtt_event *e)
{
    char hex[HEX_SIZE(32)];
    struct arena a;
    arena_init(&a, (size_t)64 << 20);
    struct json *j = json_object(&a);
    json_set(j, "topic", json_string_n(&a, e->topic));
    if (e->payload.n <= 4096) {
        json_set(j, "payload", json_string_n(&a, e->payload));
    }
    json_set_int(j, "length", (int64_t)e->payload.n);
    json_set_str(j, "sha256", hash_of(e->payload, hex));
    json_set(j, "client", json_string_n(&a, e->client));
    json_set(j, "user", json_string_n(&a, e->user));
    json_set_int(j, "qos", e->qos);
    json_set_bool(j, "retain", e->retain);
    json_set_int(j, "time", e->time_us);
    struct json *properties = json_array(&a);
    struct str rest = e->properties, name, value;
    while (mqtt_property_next(&rest, &name, &value)) {
        json_push(properties, json_string_n(&a, name));
        json_push(properties, json_string_n(&a, value));
    }
    json_set(j, "properties", properties);
    print(j);
    arena_fini(&a);
}

static void count_latency(struct probe *p, const struct mqtt_event *e, const struct timespec *now)
{
    uint64_t sent;
    if (e->payload.n >= sizeof(sent)) {
        memcpy(&sent, e->payload.p, sizeof(sent));
        uint64_t ns = (uint64_t)now->tv_sec * 1000000000u + (uint64_t)now->tv_nsec;
        p->latency_us[p->n_latency++ % SAMPLES] = ns > sent ? (uint32_t)((ns - sent) / 1000) : 0;
    }
}

static void on_events(void *arg, const struct mqtt_event *events, size_t n)
{
    struct probe *p = arg;
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
    if (p->events == 0) {
        p->first = now;
    }
    p->last = now;
    p->events += n;
    for (size_t i = 0; i < n; i++) {
        p->bytes += events[i].payload.n;
        if (p->quiet) {
            count_latency(p, &events[i], &now);
        } else {
            print_event(&events[i]);
        }
    }
}

static void on_state(void *arg)
{
    print_status(arg);
}

static void print_count(struct probe *p)
{
    double seconds = (double)(p->last.tv_sec - p->first.tv_sec) +
                     (double)(p->last.tv_nsec - p->first.tv_nsec) / 1e9;
    (void)printf("{\"count\":%llu,\"bytes\":%llu,\"seconds\":%.6f}\n",
                 (unsigned long long)p->events, (unsigned long long)p->bytes, seconds);
    (void)fflush(stdout);
    p->events = p->bytes = 0;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void print_latency(struct probe *p)
{
    size_t n = MIN_OF(p->n_latency, SAMPLES);
    uint32_t none = 0, *l = n ? p->latency_us : &none;
    qsort(p->latency_us, n, sizeof(*p->latency_us), compare);
    size_t top = n ? n - 1 : 0;
    (void)printf("{\"samples\":%zu,\"p50\":%u,\"p99\":%u,\"p999\":%u,\"max\":%u}\n", n, l[top / 2],
                 l[top * 99 / 100], l[top * 999 / 1000], l[top]);
    (void)fflush(stdout);
    p->n_latency = 0;
}

static void answer(int code, const struct err *err)
{
    (void)printf("{\"code\":%d,\"error\":\"%s\"}\n", code, code < 0 ? err->text : "");
    (void)fflush(stdout);
}

static void set_topics(struct probe *p, struct str rest)
{
    const char *filters[256];
    char *copies[256];
    size_t n = 0;
    struct err err;
    for (bool more = rest.n > 0; more && n < ARRAY_SIZE(filters); n++) {
        struct str filter;
        more = str_cut(rest, ' ', &filter, &rest);
        filters[n] = copies[n] = mem_strndup(filter.p, filter.n);
    }
    answer(broker_topics(p->broker, filters, n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        mem_free(copies[i]);
    }
}

static void on_stopped(void *arg)
{
    struct probe *p = arg;
    loop_stop(p->loop);
}

static void quit(struct probe *p)
{
    if (p->in) {
        stream_close(p->in);
        p->in = NULL;
        broker_stop(p->broker, on_stopped, p);
    }
}

static void on_command(struct probe *p, struct str line)
{
    struct str word, rest = STR_NULL;
    struct err err;
    (void)str_cut(line, ' ', &word, &rest); /* without a blank the rest is empty */
    if (str_is(word, "topics")) {
        set_topics(p, rest);
    } else if (str_is(word, "status")) {
        print_status(p);
    } else if (str_is(word, "count")) {
        print_count(p);
    } else if (str_is(word, "latency")) {
        print_latency(p);
    } else if (str_is(word, "reload")) {
        answer(broker_reload(p->broker, &err), &err);
    } else if (str_is(word, "quit")) {
        quit(p);
    }
}

static void on_read(void *arg, const char *data, size_t n)
{
    struct probe *p = arg;
    (void)buf_append(&p->line, data, n); /* short of memory: the test sees no answer */
    struct str line, rest = buf_str(&p->line);
    while (p->in && str_cut(rest, '\n', &line, &rest)) {
        on_command(p, line);
    }
    buf_consume(&p->line, buf_len(&p->line) - rest.n);
}

static void on_eof(void *arg)
{
    quit(arg);
}

static void on_error(void *arg, int code)
{
    quit(arg);
}

static void on_signal(void *arg, int signum)
{
    quit(arg);
}

static uint64_t number(const char *text)
{
    uint64_t value = 0;
    return str_u64(str_of(text), &value) == 0 ? value : 0;
}

/* One KEY=VALUE. False when there is no such key. */
static bool set_option(struct broker_config *c, struct probe *p, const char *arg)
{
    struct str key, rest;
    if (!str_cut(str_of(arg), '=', &key, &rest)) {
        return false;
    }
    const char *value = rest.p;
    const struct {
        const char *key;
        const char **text;
    } texts[] = {{"address", &c->address},        {"cert", &c->tls.cert_file},
                 {"key", &c->tls.key_file},       {"ca", &c->tls.ca_file},
                 {"users", &c->users_file},       {"acl", &c->acl_file},
                 {"tls_address", &c->tls.address}};
    const struct {
        const char *key;
        bool *flag;
    } flags[] = {{"require", &c->tls.require_certificate},
                 {"anonymous", &c->anonymous},
                 {"quiet", &p->quiet},
                 {"ephemeral", &c->ephemeral}};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        if (str_is(key, texts[i].key)) {
            *texts[i].text = value;
            return true;
        }
    }
    for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
        if (str_is(key, flags[i].key)) {
            *flags[i].flag = cstr_eq(value, "true");
            return true;
        }
    }
    if (str_is(key, "port")) {
        c->port = (uint16_t)number(value);
    } else if (str_is(key, "tls_port")) {
        c->tls.port = (uint16_t)number(value);
    } else if (str_is(key, "ring")) {
        c->ring_bytes = number(value);
    } else if (str_is(key, "max_message")) {
        c->max_message = number(value);
    } else {
        return false;
    }
    return true;
}

static int run(struct probe *p, const struct broker_config *c)
{
    static const struct stream_events events = {
        .on_read = on_read, .on_eof = on_eof, .on_error = on_error};
    struct err err;
    if (broker_start(c, &p->broker, &err) < 0 ||
        loop_on_signal(p->loop, SIGTERM, on_signal, p, &err) < 0) {
        (void)fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    if (stream_from_fd(p->loop, dup(0), /* write_fd= */ -1, &p->in) < 0) {
        return 1;
    }
    stream_set_events(p->in, &events, p);
    stream_read_start(p->in);
    loop_run(p->loop);
    return 0;
}

int main(int argc, char **argv)
{
    struct probe p = {0};
    struct err err;
    log_init("broker_probe", LOG_INFO);
    if (argc < 3 || loop_new(&p.loop, &err) < 0) {
        (void)fprintf(stderr, "usage: broker_probe DIR PLUGIN KEY=VALUE...\n");
        return 2;
    }
    struct broker_config c = {.loop = p.loop,
                              .dir = argv[1],
                              .plugin = argv[2],
                              .on_events = on_events,
                              .on_state = on_state,
                              .arg = &p};
    for (int i = 3; i < argc; i++) {
        if (!set_option(&c, &p, argv[i])) {
            (void)fprintf(stderr, "broker_probe: what is '%s'?\n", argv[i]);
            return 2;
        }
    }
    p.latency_us = mem_zalloc(SAMPLES * sizeof(*p.latency_us));
    int status = p.latency_us ? run(&p, &c) : 1;
    loop_free(p.loop);
    buf_fini(&p.line);
    mem_free(p.latency_us);
    return status;
}

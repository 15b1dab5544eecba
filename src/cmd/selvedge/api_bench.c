/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures a center as its clients see it, over TLS on loopback, client and server on this machine:
 * durable creates, reads, patches and server-side applies a second with 64 connections, and how
 * long one change takes to reach 1,000 and 10,000 watchers. A stock API server with etcd on two
 * such cores, measured with 1 kB ConfigMaps and 16 connections: 2,314 creates, 1,454 reads, 1,240
 * patches a second.
 *
 * usage: api_bench          starts a center of its own in a temporary folder
 *        api_bench FILE     uses the server of that kubeconfig
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "admin.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/loop.h"
#include "net/http_client.h"
#include "paths.h"

#define CLIENTS 64
#define WATCHERS 10000
#define WATCHERS_AT_ONCE 500
#define BASE "/api/v1/namespaces/default/configmaps"

/* ---- requests in a closed loop ---- */

enum what { CREATE, GET, PATCH, APPLY };

struct load {
    struct admin *admin;
    enum what what;
    int next, total, done, failed;
    int64_t *latency_us; /* of each request */
    char body[1400];
};

struct client {
    struct load *load;
    struct http_client *http;
    struct io_task task;
    int64_t sent_us;
};

static void send_next(void *arg);

static void on_answer(void *arg, int code, const struct http_response *resp, struct str body,
                      const struct err *err)
{
    struct client *c = arg;
    struct load *l = c->load;
    if (code < 0 || resp->status < 200 || resp->status > 299) {
        if (l->failed++ == 0) {
            (void)fprintf(stderr, "request failed: %s " STR_FMT "\n", code < 0 ? err->text : "",
                          STR_ARG(body));
        }
    }
    l->latency_us[l->done++] = mono_now().us - c->sent_us;
    loop_defer(admin_loop(l->admin), &c->task);
}

static void send_next(void *arg)
{
    struct client *c = arg;
    struct load *l = c->load;
    if (l->next == l->total) {
        return;
    }
    int i = l->next++;
    char path[128], body[1600];
    struct http_header type =
        HTTP_HEADER("content-type", l->what == PATCH   ? "application/merge-patch+json"
                                    : l->what == APPLY ? "application/apply-patch+yaml"
                                                       : "application/json");
    struct http_call_request req = {.path = path, .headers = &type, .n_headers = 1};
    if (l->what == CREATE) {
        (void)snprintf(path, sizeof(path), BASE);
        (void)snprintf(
            body, sizeof(body),
            "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"bench-%d\"},"
            "\"data\":{\"text\":\"%s\"}}",
            i, l->body);
        req.method = "POST";
        req.body = str_of(body);
    } else {
        (void)snprintf(path, sizeof(path), BASE "/bench-%d", i % 1000);
        if (l->what == PATCH) {
            (void)snprintf(body, sizeof(body), "{\"data\":{\"n\":\"%d\"}}", i);
            req.method = "PATCH";
            req.body = str_of(body);
        } else if (l->what == APPLY) {
            (void)snprintf(path, sizeof(path), BASE "/bench-%d?fieldManager=bench&force=true",
                           i % 1000);
            (void)snprintf(body, sizeof(body),
                           "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\","
                           "\"data\":{\"n\":\"%d\",\"m\":\"x\"}}",
                           i);
            req.method = "PATCH";
            req.body = str_of(body);
        }
    }
    c->sent_us = mono_now().us;
    struct http_fetch *f = http_fetch(c->http, &req, 1 << 20, on_answer, c);
    assert(f);
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double quantile_ms(int64_t *v, int n, double q)
{
    qsort(v, (size_t)n, sizeof(*v), by_value);
    return (double)v[(int)((n - 1) * q)] / 1000.0;
}

static int run_load(struct admin *admin, enum what what, int total, const char *name, double peer)
{
    static struct load l;
    static struct client clients[CLIENTS];
    l = (struct load){.admin = admin, .what = what, .total = total};
    l.latency_us = mem_alloc((size_t)total * sizeof(*l.latency_us));
    assert(l.latency_us);
    memset(l.body, 'x', 1000);
    int64_t from = mono_now().us;
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.load = &l};
        int rc = admin_connection(admin, &clients[i].http);
        assert(rc == 0);
        io_task_init(&clients[i].task, send_next, &clients[i]);
        send_next(&clients[i]);
    }
    while (l.done < total) {
        loop_run_once(admin_loop(admin));
    }
    double seconds = (double)(mono_now().us - from) / 1e6, rate = total / seconds;
    double p50 = quantile_ms(l.latency_us, total, 0.5),
           p99 = quantile_ms(l.latency_us, total, 0.99);
    (void)printf("%-26s %8.0f/s   ", name, rate);
    if (peer > 0) { /* what was measured of it */
        (void)printf("%.1f x a stock API server's %.0f/s   ", rate / peer, peer);
    }
    (void)printf("p50 %.2f ms  p99 %.2f ms   (%d requests, %d connections, %d failed)\n", p50, p99,
                 total, CLIENTS, l.failed);
    for (int i = 0; i < CLIENTS; i++) {
        io_task_cancel(&clients[i].task);
        http_client_free(clients[i].http);
    }
    mem_free(l.latency_us);
    return l.failed ? -1 : 0;
}

/* ---- one change to many watchers ---- */

struct watch_load {
    int listed; /* watchers that have the first state */
    int seen;   /* of the present change */
    int64_t sent_us;
    int64_t *latency_us;
    int n;
    int ended;
};

static void on_event(void *arg, enum api_event type, struct api_item *item, int64_t rev)
{
    struct watch_load *w = arg;
    w->listed += type == API_ADDED;
    if (item && cstr_eq(item->name, "bench-watched") && type == API_MODIFIED) {
        w->latency_us[w->n++] = mono_now().us - w->sent_us;
        w->seen++;
    }
}

static void on_end(void *arg, int code, const char *text)
{
    struct watch_load *w = arg;
    if (w->ended++ > 0) {
        return;
    }
    (void)fprintf(stderr, "a watch ended: %d %s\n", code, text ? text : "");
}

static int change(struct admin *admin, enum api_verb verb, int i, struct err *err)
{
    struct arena a;
    arena_init(&a, 0);
    struct json *o = json_object(&a);
    json_set_str(o, "apiVersion", "v1");
    json_set_str(o, "kind", "ConfigMap");
    json_set_str(json_ensure_object(o, "metadata"), "name", "bench-watched");
    json_set(json_ensure_object(o, "data"), "n", json_printf(&a, "%d", i));
    struct api_request req = {.verb = verb,
                              .kind = kind_find("", "v1", "configmaps"),
                              .ns = "default",
                              .name = verb == API_CREATE ? NULL : "bench-watched",
                              .body = o};
    int rc = admin_call(admin, &req, &a, NULL, err);
    arena_fini(&a);
    return rc;
}

static int run_watch(struct admin *admin, int watchers, int changes, struct err *err)
{
    static const struct api_watch_ops ops = {.event = on_event, .end = on_end};
    static struct http_client *http[WATCHERS];
    static struct api_client *api[WATCHERS];
    static struct api_watch *watch[WATCHERS];
    struct watch_load w = {.latency_us =
                               mem_alloc(sizeof(int64_t) * (size_t)watchers * (size_t)changes)};
    assert(w.latency_us);
    int rc = 0;
    for (int i = 0; rc == 0 && i < watchers; i++) {
        rc = admin_connection(admin, &http[i]);
        api[i] = rc == 0 ? api_client_http(http[i], admin_loop(admin)) : NULL;
        watch[i] = api[i] ? api_watch_start(api[i], kind_find("", "v1", "configmaps"), "default",
                                            NULL, "metadata.name=bench-watched", 0, &ops, &w)
                          : NULL;
        rc = watch[i] ? 0 : err_sys(err, -ENOMEM, "start a watch");
        while (rc == 0 && (i + 1) % WATCHERS_AT_ONCE == 0 && w.listed <= i && !w.ended) {
            loop_run_once(admin_loop(admin)); /* more at once would be refused as a flood */
        }
    }
    for (int i = 0; rc == 0 && i < changes && !w.ended; i++) {
        w.seen = 0;
        w.sent_us = mono_now().us;
        rc = change(admin, API_UPDATE, watchers + i, err);
        while (rc == 0 && w.seen < watchers && !w.ended) {
            loop_run_once(admin_loop(admin));
        }
    }
    if (rc == 0 && w.ended) {
        return err_set(err, -E_IO, "%d watches ended early", w.ended); /* their handles are gone */
    }
    if (rc == 0 && w.n) {
        (void)printf(
            "%-26s p50 %.2f ms  p99 %.2f ms   (%d changes, %d watchers, from sending the write)\n",
            "one change to all watchers", quantile_ms(w.latency_us, w.n, 0.5),
            quantile_ms(w.latency_us, w.n, 0.99), changes, watchers);
    }
    for (int i = 0; i < watchers; i++) {
        api_watch_stop(watch[i]);
        api_client_free(api[i]);
        http_client_free(http[i]);
        watch[i] = NULL;
        api[i] = NULL;
        http[i] = NULL;
    }
    mem_free(w.latency_us);
    return rc;
}

/* ---- a center of our own ---- */

static pid_t start_center(const char *folder, struct err *err)
{
    CLEANUP(mem_freep) char *program = NULL, *own = NULL;
    int rc = paths_own_folder(&own, err);
    program = rc == 0 ? mem_printf("%s/../../../libexec/selvedge/center", own) : NULL;
    if (!program || !file_exists(program)) {
        return err_set(err, -E_NOENT, "the program center is not built");
    }
    const char *const argv[] = {program, "--data-dir", folder, "--listen", "127.0.0.1:16443", NULL};
    pid_t pid = fork();
    if (pid == 0) {
        CLEANUP(mem_freep) char *log = mem_printf("%s/center.log", folder);
        if (!log || !freopen(log, "w", stderr) || !freopen("/dev/null", "w", stdout)) {
            _exit(126);
        }
        (void)execv(program, (char *const *)(uintptr_t)argv); /* returns only on failure */
        _exit(127);
    }
    return pid < 0 ? err_sys(err, -errno, "start the center") : pid;
}

static int open_ready(const char *kubeconfig, struct admin **ret, struct err *err)
{
    struct arena a;
    int rc = -E_AGAIN;
    arena_init(&a, 0);
    for (int i = 0; i < 300 && rc < 0; i++) {
        rc = admin_open(kubeconfig, ret, err);
        if (rc == 0) {
            rc = admin_get(*ret, "/readyz", &a, NULL, err);
        }
        if (rc < 0) {
            admin_close(TAKE_PTR(*ret));
            (void)nanosleep(&(struct timespec){.tv_nsec = 50000000},
                            NULL); /* it only paces a loop */
        }
    }
    arena_fini(&a);
    return rc;
}

static int measure(const char *kubeconfig, struct err *err)
{
    struct admin *admin = NULL;
    int rc = open_ready(kubeconfig, &admin, err);
    if (rc < 0) {
        return rc;
    }
    rc = run_load(admin, CREATE, 20000, "durable creates", 2314);
    rc = rc < 0 ? rc : run_load(admin, GET, 100000, "reads", 1454);
    rc = rc < 0 ? rc : run_load(admin, PATCH, 20000, "durable patches", 1240);
    rc = rc < 0 ? rc : run_load(admin, APPLY, 20000, "server-side applies", /* peer= */ 0);
    rc = rc < 0 ? err_set(err, -E_IO, "requests failed") : change(admin, API_CREATE, 0, err);
    rc = rc < 0 ? rc : run_watch(admin, 1000, 100, err);
    rc = rc < 0 ? rc : run_watch(admin, WATCHERS, 20, err);
    admin_close(admin);
    return rc;
}

int main(int argc, char **argv)
{
    log_init("api_bench", LOG_WARN);
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files); /* where it is forbidden the watchers tell */
    }
    struct err err = {0};
    if (argc > 1) {
        int rc = measure(argv[1], &err);
        return rc < 0 ? (void)fprintf(stderr, "api_bench: %s\n", err.text), 1 : 0;
    }
    char folder[] = "/tmp/selvedge-bench-XXXXXX";
    if (!mkdtemp(folder)) {
        (void)fprintf(stderr, "api_bench: make a temporary folder: %s\n", strerrordesc_np(errno));
        return 1;
    }
    pid_t pid = start_center(folder, &err);
    int rc = pid < 0 ? pid : 0;
    if (rc == 0) {
        CLEANUP(mem_freep) char *kubeconfig = mem_printf("%s/kubeconfig", folder);
        rc = kubeconfig ? measure(kubeconfig, &err) : -ENOMEM;
        (void)kill(pid, SIGTERM);
        (void)waitpid(pid, NULL, 0); /* its exit is not what is measured */
    }
    if (rc < 0) {
        (void)fprintf(stderr, "api_bench: %s\n", err.text);
    }
    (void)tree_remove(folder, NULL); /* a temporary folder */
    return rc < 0;
}

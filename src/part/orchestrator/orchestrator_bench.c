/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Measures the controllers over the real API server and a durable store in /var/tmp, in one
 * process: how fast one Deployment of 5,000 becomes pods that are bound to nodes, and what a pod
 * costs in memory over its JSON, with all informers and indexes of the controllers.
 *
 *    orchestrator_bench [PODS]
 *
 * Nodes exist as objects only; nothing runs.
 */
#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "api/client.h"
#include "api/informer.h"
#include "api/object.h"
#include "api/server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "orchestrator.h"
#include "store/store.h"

#define NODES 100

struct bench {
    struct io_loop *loop;
    struct store *store;
    struct api_server *server;
    struct api_client *client;
    struct orchestrator *o;
    struct informer *pods;
    size_t made, bound, bytes;
    int64_t wanted;
    struct mono begun, first, all_made, all_bound;
    unsigned calls;
};

static _Noreturn void die(const char *what, const char *why)
{
    (void)fprintf(stderr, "orchestrator_bench: %s: %s\n", what, why);
    exit(1);
}

struct one_call {
    struct api_call call;
    struct bench *b;
};

static void created(struct api_call *call, int code, struct json *result)
{
    struct one_call *oc = call->arg;
    if (code < 0) {
        die("create", call->err.text);
    }
    oc->b->calls--;
    mem_free(oc);
}

static void create(struct bench *b, const char *version, const char *kind, const char *ns,
                   const char *text)
{
    struct arena a;
    struct json *body;
    struct err err;
    struct one_call *oc = mem_zalloc(sizeof(*oc));
    arena_init(&a, /* cap= */ 0);
    if (!oc || json_parse(&a, str_of(text), NULL, &body, &err) < 0) {
        die(kind, "cannot be made");
    }
    oc->call.done = created;
    oc->call.arg = oc;
    oc->b = b;
    b->calls++;
    struct api_request r = {
        .verb = API_CREATE, .kind = kind_find_api(version, kind), .ns = ns, .body = body};
    api_call_start(b->client, &oc->call, &r);
    arena_fini(&a);
}

/* ---- what the clock sees ---- */

static bool is_bound(const struct api_item *item)
{
    return item && memmem(item->text.p, item->text.n, "\"nodeName\":", 11);
}

static void pod_changed(void *arg, struct api_item *old, struct api_item *item)
{
    struct bench *b = arg;
    struct mono now = mono_now();
    if (!old) {
        b->first = b->made == 0 ? now : b->first;
        b->made++;
        b->all_made = now;
    }
    b->bytes += item ? item->text.n : 0;
    b->bytes -= old ? old->text.n : 0;
    if (is_bound(item) && !is_bound(old)) {
        b->bound++;
        b->all_bound = now;
    }
}

static void run_until_bound(struct bench *b, size_t n)
{
    while (b->bound < n) {
        loop_run_once(b->loop);
    }
}

/* ---- lifetime ---- */

static void open_all(struct bench *b, const char *path)
{
    struct err err = {0};
    struct store_opts opts = {.path = path, .index = &api_store_index};
    if (loop_new(&b->loop, &err) < 0 || store_open(b->loop, &opts, &b->store, &err) < 0) {
        die("store", err.text);
    }
    b->server = api_server_new(b->loop, b->store, NULL, &err);
    b->client = b->server ? api_client_local(b->server, "bench") : NULL;
    b->o = b->client ? orchestrator_start(b->client, b->loop, NULL) : NULL;
    struct informer_opts io = {
        .kind = kind_find_api("v1", "Pod"), .changed = pod_changed, .arg = b};
    b->pods = b->o ? informer_new(b->client, b->loop, &io) : NULL;
    if (!b->pods) {
        die("start", err.text);
    }
    while (!orchestrator_synced(b->o) || !informer_synced(b->pods)) {
        loop_run_once(b->loop);
    }
}

static void make_nodes(struct bench *b)
{
    for (int i = 0; i < NODES; i++) {
        char text[512];
        (void)snprintf(
            text, sizeof(text),
            "{\"metadata\":{\"name\":\"node-%d\"},\"status\":{\"allocatable\":{\"cpu\":\"100000\","
            "\"memory\":\"8Ti\",\"pods\":\"5000\"},\"conditions\":[{\"type\":\"Ready\",\"status\":"
            "\"True\",\"reason\":\"KubeletReady\",\"message\":\"ok\",\"lastHeartbeatTime\":"
            "\"2026-01-01T00:00:00Z\",\"lastTransitionTime\":\"2026-01-01T00:00:00Z\"}]}}",
            i);
        create(b, "v1", "Node", NULL, text);
    }
    while (b->calls) {
        loop_run_once(b->loop);
    }
}

static void make_deployment(struct bench *b)
{
    char text[768];
    (void)snprintf(
        text, sizeof(text),
        "{\"metadata\":{\"name\":\"web\"},\"spec\":{\"replicas\":%" PRId64 ",\"selector\":{"
        "\"matchLabels\":{\"app\":\"web\"}},\"template\":{\"metadata\":{\"labels\":{\"app\":\"web\"}"
        "},\"spec\":{\"automountServiceAccountToken\":false,\"containers\":[{\"name\":\"main\","
        "\"image\":\"registry.example.com/team/app:1.2.3\",\"resources\":{\"requests\":{\"cpu\":"
        "\"100m\",\"memory\":\"64Mi\"}}}]}}}}",
        b->wanted);
    b->begun = mono_now();
    create(b, "apps/v1", "Deployment", "default", text);
}

static double seconds(struct mono from, struct mono to)
{
    return (double)(to.us - from.us) / 1e6;
}

static void on_closed(void *arg, int code)
{
    *(bool *)arg = true;
}

static void close_all(struct bench *b)
{
    bool closed = false;
    orchestrator_stop(b->o);
    informer_free(b->pods);
    for (int i = 0; i < 100; i++) { /* what is under way is answered */
        (void)loop_run_once(b->loop);
        if (b->calls == 0) {
            break;
        }
    }
    api_client_free(b->client);
    api_server_free(b->server);
    store_close(b->store, on_closed, &closed);
    while (!closed) {
        loop_run_once(b->loop);
    }
    loop_free(b->loop);
}

int main(int argc, char **argv)
{
    struct bench b = {.wanted = 5000};
    char dir[] = "/var/tmp/orchestrator-bench-XXXXXX", path[64];
    if (argc > 1 && (str_i64(str_of(argv[1]), &b.wanted) < 0 || b.wanted < 1)) {
        die(argv[1], "a number of pods");
    }
    if (!mkdtemp(dir)) {
        die(dir, "cannot be made");
    }
    (void)snprintf(path, sizeof(path), "%s/store.db", dir);
    log_init("bench", LOG_ERROR);
    open_all(&b, path);
    make_nodes(&b);
    struct mallinfo2 before = mallinfo2();
    make_deployment(&b);
    run_until_bound(&b, (size_t)b.wanted);
    struct mallinfo2 after = mallinfo2();
    double heap =
        (double)(after.uordblks + after.hblkhd) - (double)(before.uordblks + before.hblkhd);
    double n = (double)b.wanted;
    (void)printf("Deployment of %" PRId64 ": created %.0f pods/s, created and bound %.0f pods/s\n",
                 b.wanted, n / seconds(b.begun, b.all_made), n / seconds(b.begun, b.all_bound));
    (void)printf("memory: %.0f bytes a pod, of which %.0f are its JSON\n", heap / n,
                 (double)b.bytes / n);
    close_all(&b);
    static const char *const left[] = {"", "-wal", "-shm"};
    for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
        char file[80];
        (void)snprintf(file, sizeof(file), "%s%s", path, left[i]);
        (void)unlink(file);
    }
    return rmdir(dir) == 0 ? 0 : 1;
}

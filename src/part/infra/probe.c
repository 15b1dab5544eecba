/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Startup, liveness and readiness probes of a running container: exec, httpGet, tcpSocket.
 *
 * Each probe is a timer and at most one check under way. The startup probe holds the other two back
 * until it has succeeded. A result counts when successThreshold or failureThreshold checks in a row
 * say the same.
 */
#include <stdio.h>

#include "infra_private.h"
#include "io/tcp.h"

#define OUTPUT_MAX ((size_t)10 << 10)
#define EARLY_MS 50

struct probe {
    struct infra *inf;
    struct slot *slot; /* NULL once it was stopped */
    struct io_task free;
    enum probe_type type;
    struct io_timer timer;
    struct exec_capture exec;
    struct probe_http *http;
    struct io_connect *tcp;
    bool busy, exec_busy, dead;
    int good, bad; /* in a row */
};

static const char *const members[] = {"startupProbe", "livenessProbe", "readinessProbe"};
static const char *const words[] = {"Startup", "Liveness", "Readiness"};

static void check(void *arg);

static const struct json *spec_of(const struct probe *p)
{
    return json_get(p->slot->spec, members[p->type]);
}

static int64_t number(const struct probe *p, const char *name, int64_t def)
{
    int64_t n = json_i64(json_get(spec_of(p), name), def);
    return n > 0 ? n : def;
}

/* ---- results ---- */

static void schedule(struct probe *p, int64_t ms)
{
    if (!p->dead) {
        io_timer_start(&p->timer, ms, 0);
    }
}

static void succeed(struct probe *p)
{
    struct slot *s = p->slot;
    p->bad = 0;
    p->good++;
    if (p->type == PROBE_STARTUP) {
        s->started = true;
        s->ready = !json_get(s->spec, "readinessProbe");
        for (int t = PROBE_LIVENESS; t < PROBE_TYPE_NR; t++) {
            if (s->probes[t]) {
                schedule(s->probes[t], EARLY_MS);
            }
        }
        pod_wake(s->pod);
        p->dead = true; /* it has done its work */
        io_timer_stop(&p->timer);
    } else if (p->type == PROBE_READINESS && p->good >= number(p, "successThreshold", 1) &&
               !s->ready) {
        s->ready = true;
        pod_wake(s->pod);
    }
}

static void kill_container(struct probe *p)
{
    struct slot *s = p->slot;
    int64_t grace = json_i64(json_get(spec_of(p), "terminationGracePeriodSeconds"), -1);
    slot_event(s, "Normal", "Killing", "Container %s failed %s probe, will be restarted", s->name,
               p->type == PROBE_STARTUP ? "startup" : "liveness");
    slot_stop(s, grace >= 0 ? grace * 1000000 : pod_grace_us(s->pod), NULL);
}

static void fail(struct probe *p, const char *text)
{
    struct slot *s = p->slot;
    p->good = 0;
    p->bad++;
    slot_event(s, "Warning", "Unhealthy", "%s probe failed: %s", words[p->type], text);
    if (p->bad < number(p, "failureThreshold", 3)) {
        return;
    }
    if (p->type == PROBE_READINESS) {
        if (s->ready) {
            s->ready = false;
            pod_wake(s->pod);
        }
        return;
    }
    kill_container(p); /* stops all probes: p is dead from here on */
}

static void result(struct probe *p, bool ok, const char *text)
{
    p->busy = false;
    if (!p->slot || p->dead) {
        return;
    }
    schedule(p, number(p, "periodSeconds", 10) * 1000);
    if (ok) {
        succeed(p);
    } else {
        fail(p, text);
    }
}

/* ---- checks ---- */

static void exec_done(struct runtime_op *op, int code)
{
    struct probe *p = op->arg;
    char text[OUTPUT_MAX / 8];
    infra_op_end(p->inf);
    p->exec_busy = false;
    if (!p->slot) {
        mem_free(p);
        return;
    }
    struct str output = str_trim(buf_str(&p->exec.output));
    if (code < 0) {
        (void)snprintf(text, sizeof(text), "%s", op->err.text);
    } else {
        (void)snprintf(text, sizeof(text), STR_FMT, STR_ARG(output));
    }
    result(p, code == 0 && p->exec.exit_code == 0, text);
}

static void start_exec(struct probe *p, const struct json *command)
{
    struct arena a;
    arena_init(&a, 0);
    const char **argv = arena_zalloc(&a, (json_len(command) + 1) * sizeof(*argv));
    size_t n = 0;
    JSON_FOR_EACH (item, argv ? command : NULL) {
        argv[n++] = json_cstr(item, "");
    }
    if (n == 0) {
        arena_fini(&a);
        result(p, false, "no command");
        return;
    }
    p->exec = (struct exec_capture){.op = {.done = exec_done, .arg = p}};
    p->exec_busy = true;
    infra_op_begin(p->inf);
    exec_capture(p->slot->c, argv, number(p, "timeoutSeconds", 1) * 1000000, OUTPUT_MAX, &p->exec);
    arena_fini(&a);
}

static void http_done(void *arg, bool ok, const char *text)
{
    struct probe *p = arg;
    p->http = NULL;
    result(p, ok, text);
}

static void tcp_done(void *arg, struct stream *s, const struct err *err)
{
    struct probe *p = arg;
    p->tcp = NULL;
    stream_close(s);
    result(p, s != NULL, err ? err->text : "");
}

static void start_tcp(struct probe *p, const struct json *socket)
{
    struct pod *pod = p->slot->pod;
    int port = probe_port(p->slot, json_get(socket, "port"));
    const char *host = json_path_cstr(socket, "host", pod->ips[0] ? pod->ips[0] : "");
    p->tcp = port < 0 || !*host ? NULL
                                : tcp_connect(pod->inf->loop, host, (uint16_t)port,
                                              number(p, "timeoutSeconds", 1) * 1000, tcp_done, p);
    if (!p->tcp) {
        result(p, false, "bad address");
    }
}

static void check(void *arg)
{
    struct probe *p = arg;
    const struct json *spec = spec_of(p), *how;
    struct slot *s = p->slot;
    if (p->busy || (p->type != PROBE_STARTUP && !s->started)) {
        return; /* the startup probe schedules us */
    }
    p->busy = true;
    if ((how = json_get(spec, "exec"))) {
        start_exec(p, json_get(how, "command"));
    } else if ((how = json_get(spec, "httpGet"))) {
        p->http = probe_http_start(s, how, number(p, "timeoutSeconds", 1) * 1000, http_done, p);
        if (!p->http) {
            result(p, false, "bad address");
        }
    } else if ((how = json_get(spec, "grpc"))) {
        p->http = probe_grpc_start(s, how, number(p, "timeoutSeconds", 1) * 1000, http_done, p);
        if (!p->http) {
            result(p, false, "bad address");
        }
    } else if ((how = json_get(spec, "tcpSocket"))) {
        start_tcp(p, how);
    } else {
        result(p, false, "the probe says nothing of what to do");
    }
}

/* ---- lifetime ---- */

void probes_start(struct slot *s)
{
    for (int t = 0; t < PROBE_TYPE_NR; t++) {
        const struct json *spec = json_get(s->spec, members[t]);
        bool running = (s->init && !s->sidecar) || s->probes[t] || !spec;
        bool over = t == PROBE_STARTUP && s->started;
        struct probe *p = running || over ? NULL : mem_zalloc(sizeof(*p));
        if (!p) {
            continue; /* without memory for a probe the container counts as it is */
        }
        p->inf = s->pod->inf;
        p->slot = s;
        io_task_init(&p->free, mem_free, p);
        p->type = (enum probe_type)t;
        io_timer_init(s->pod->inf->loop, &p->timer, check, p);
        s->probes[t] = p;
        schedule(p, json_i64(json_get(spec, "initialDelaySeconds"), 0) * 1000 + EARLY_MS);
    }
}

void probes_stop(struct slot *s)
{
    for (int t = 0; t < PROBE_TYPE_NR; t++) {
        struct probe *p = TAKE_PTR(s->probes[t]);
        if (!p) {
            continue;
        }
        p->dead = true;
        io_timer_stop(&p->timer);
        probe_http_cancel(TAKE_PTR(p->http));
        io_connect_cancel(TAKE_PTR(p->tcp));
        p->slot = NULL;
        if (p->exec_busy) {
            exec_capture_cancel(&p->exec); /* exec_done frees it */
        } else {
            loop_defer(p->inf->loop, &p->free); /* we may be inside its own result */
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lifecycle hooks: postStart holds the container back from being started (for probes and readiness)
 * and ends it when it fails; preStop comes before the stop signal and counts against the grace.
 */
#include <stdio.h>

#include "infra_private.h"

#define OUTPUT_MAX ((size_t)1 << 10)
#define POST_START_US ((int64_t)600 * 1000000)
#define HTTP_MS 30000

struct hook {
    struct infra *inf;
    struct slot *slot; /* NULL: nobody waits any more */
    struct io_task free;
    struct io_timer timer; /* sleep, limit */
    struct exec_capture exec;
    struct probe_http *http;
    bool pre_stop, exec_busy;
};

static void over(struct hook *h, bool ok, const char *text)
{
    struct slot *s = h->slot;
    io_timer_stop(&h->timer);
    h->slot = NULL;
    if (h->exec_busy) {
        exec_capture_cancel(&h->exec); /* its end frees h */
    } else {
        loop_defer(h->inf->loop, &h->free);
    }
    if (!s) {
        return;
    }
    s->hook = NULL;
    s->hook_busy = false;
    pod_wake(s->pod);
    if (!ok) {
        slot_event(s, "Warning", h->pre_stop ? "FailedPreStopHook" : "FailedPostStartHook",
                   "%s failed: %s", h->pre_stop ? "PreStopHook" : "PostStartHook", text);
    }
    if (h->pre_stop) {
        slot_pre_stop_over(s);
    } else if (ok) {
        s->started = !json_get(s->spec, "startupProbe");
        s->ready = s->started && !json_get(s->spec, "readinessProbe");
        probes_start(s);
    } else {
        slot_stop(s, pod_grace_us(s->pod), "FailedPostStartHook: stopping container");
    }
}

static void exec_done(struct runtime_op *op, int code)
{
    struct hook *h = op->arg;
    infra_op_end(h->inf);
    h->exec_busy = false;
    if (!h->slot) {
        mem_free(h);
        return;
    }
    struct str output = str_trim(buf_str(&h->exec.output));
    char text[OUTPUT_MAX];
    (void)snprintf(text, sizeof(text), "command exited with %d: " STR_FMT, h->exec.exit_code,
                   STR_ARG(output));
    over(h, code == 0 && h->exec.exit_code == 0, code < 0 ? op->err.text : text);
}

static void http_done(void *arg, bool ok, const char *text)
{
    struct hook *h = arg;
    h->http = NULL;
    over(h, ok, text);
}

static void timed(void *arg)
{
    struct hook *h = arg;
    bool sleeping = !h->exec_busy && !h->http;
    probe_http_cancel(TAKE_PTR(h->http));
    over(h, sleeping, "it took too long");
}

static bool start_exec(struct hook *h, const struct json *command, int64_t limit_us)
{
    struct arena a;
    arena_init(&a, 0);
    const char **argv = arena_zalloc(&a, (json_len(command) + 1) * sizeof(*argv));
    size_t n = 0;
    JSON_FOR_EACH (item, argv ? command : NULL) {
        argv[n++] = json_cstr(item, "");
    }
    if (n > 0) {
        h->exec = (struct exec_capture){.op = {.done = exec_done, .arg = h}};
        h->exec_busy = true;
        infra_op_begin(h->inf);
        exec_capture(h->slot->c, argv, limit_us, OUTPUT_MAX / 2, &h->exec);
    }
    arena_fini(&a);
    return n > 0;
}

static bool start(struct slot *s, const char *which, bool pre_stop, int64_t limit_us)
{
    const struct json *handler = json_get(json_get(s->spec, "lifecycle"), which), *how;
    struct hook *h = handler ? mem_zalloc(sizeof(*h)) : NULL;
    bool began = false;
    if (!h) {
        return false;
    }
    h->inf = s->pod->inf;
    h->slot = s;
    h->pre_stop = pre_stop;
    io_task_init(&h->free, mem_free, h);
    io_timer_init(h->inf->loop, &h->timer, timed, h);
    if ((how = json_get(handler, "exec"))) {
        began = start_exec(h, json_get(how, "command"), limit_us);
    } else if ((how = json_get(handler, "httpGet"))) {
        h->http = probe_http_start(s, how, HTTP_MS, http_done, h);
        began = h->http != NULL;
    } else if ((how = json_get(handler, "sleep"))) {
        limit_us = MIN_OF(limit_us, json_path_i64(how, "seconds", 0) * 1000000);
        began = true;
    }
    if (!began) {
        mem_free(h);
        return false;
    }
    io_timer_start(&h->timer, limit_us / 1000 + 1, 0);
    s->hook = h;
    s->hook_busy = true;
    return true;
}

void hook_post_start(struct slot *s)
{
    if (!start(s, "postStart", /* pre_stop= */ false, POST_START_US)) {
        slot_event(s, "Warning", "FailedPostStartHook", "PostStartHook failed: bad handler");
        slot_stop(s, pod_grace_us(s->pod), NULL);
    }
}

bool hook_pre_stop(struct slot *s, int64_t grace_us)
{
    return start(s, "preStop", /* pre_stop= */ true, grace_us);
}

void hook_cancel(struct slot *s)
{
    struct hook *h = TAKE_PTR(s->hook);
    s->hook_busy = false;
    if (h) {
        h->slot = NULL;
        probe_http_cancel(TAKE_PTR(h->http));
        over(h, true, "");
    }
}

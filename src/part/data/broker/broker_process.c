/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of the broker's process.
 *
 *      STARTING --answers--> RUNNING
 *         ^  \__ends__________/ ends
 *         |          v
 *         +--time-- WAITING            any --broker_stop()--> STOPPING --ended--> freed
 */
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/log.h"
#include "broker_private.h"
#include "io/file.h"
#include "io/process.h"
#include "io/ring.h"
#include "io/stream.h"

#define PROBE_MS 20
#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 30000
#define STABLE_US ((int64_t)30 * 1000000) /* after which the back-off begins anew */

/* One line of mosquitto's log. The last error is the reason where it ends. */
static void on_line(struct broker *b, struct str line)
{
    line = str_trim(line);
    /* It says so of every connection to a unix socket, which has no such option. */
    if (line.n == 0 || str_is(line, "Warning: Unable to set TCP_NODELAY.")) {
        return;
    }
    (void)snprintf(b->why, sizeof(b->why), STR_FMT, STR_ARG(line)); /* may be cut */
    log_warn("broker: " STR_FMT, STR_ARG(line));
}

static void on_output(void *arg, const char *data, size_t n)
{
    struct broker *b = arg;
    for (size_t i = 0; i < n; i++) {
        if (data[i] == '\n') {
            on_line(b, str_n(b->line, b->n_line));
            b->n_line = 0;
        } else if (b->n_line < sizeof(b->line)) {
            b->line[b->n_line++] = data[i];
        }
    }
}

static void output_close(struct broker *b)
{
    on_line(b, str_n(b->line, b->n_line));
    b->n_line = 0;
    stream_close(b->output);
    b->output = NULL;
}

static void on_output_end(void *arg)
{
    output_close(arg);
}

static void on_output_error(void *arg, int code)
{
    output_close(arg);
}

static const struct stream_events output_events = {
    .on_read = on_output, .on_eof = on_output_end, .on_error = on_output_error};

static void wait_and_retry(struct broker *b)
{
    if (mono_now().us - b->since.us > STABLE_US) {
        b->backoff_ms = BACKOFF_FIRST_MS;
    }
    int64_t jitter = (int64_t)random_below((uint64_t)b->backoff_ms / 2);
    io_timer_start(&b->timer, b->backoff_ms + jitter, /* repeat_ms= */ 0);
    b->backoff_ms = MIN_OF(b->backoff_ms * 2, BACKOFF_MAX_MS);
    broker_enter(b, BROKER_WAITING);
    log_warn("broker: ended (%s), starts again in %lld ms", b->why,
             (long long)(b->backoff_ms / 2 + jitter));
}

static void on_exit(void *arg, int status)
{
    struct broker *b = arg;
    io_process_close(b->process);
    b->process = NULL;
    if (b->state == BROKER_STOPPING) {
        io_timer_stop(&b->timer);
        loop_defer(b->cfg.loop, &b->end);
        return;
    }
    if (WIFSIGNALED(status)) {
        (void)snprintf(b->why, sizeof(b->why), "killed by signal %d", WTERMSIG(status));
    } else if (b->why[0] == 0) {
        (void)snprintf(b->why, sizeof(b->why), "exit status %d", WEXITSTATUS(status));
    }
    wait_and_retry(b);
}

/* Whether somebody accepts connections there. */
static bool answers(const struct broker *b)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && cstr_copy(a.sun_path, sizeof(a.sun_path), b->socket) &&
           connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
}

static void on_timer(void *arg)
{
    struct broker *b = arg;
    switch (b->state) {
    case BROKER_STARTING:
        if (answers(b)) {
            io_timer_stop(&b->timer);
            broker_enter(b, BROKER_RUNNING);
        }
        break;
    case BROKER_WAITING:
        b->restarts++;
        broker_enter(b, BROKER_STARTING);
        broker_spawn(b);
        break;
    case BROKER_STOPPING:
        (void)io_process_kill(b->process, SIGKILL); /* gone already is as well */
        break;
    case BROKER_RUNNING:
    case BROKER_STATE_NR:
        break;
    }
}

static int spawn_process(struct broker *b, struct err *err)
{
    char conf[BROKER_DIR_MAX + 32];
    (void)snprintf(conf, sizeof(conf), "%s/mosquitto.conf", b->cfg.dir); /* dir is short */
    const char *const argv[] = {b->cfg.program, "-c", conf, NULL};
    const struct io_process_fd fds[] = {{ring_reader_fd(b->ring), 3},
                                        {ring_reader_bell(b->ring), 4}};
    const struct io_process_config p = {
        .argv = argv,
        .stdio = {{STDIO_NULL}, {STDIO_NULL}, {STDIO_PIPE}},
        .fds = fds,
        .n_fds = ARRAY_SIZE(fds),
        .new_session = true,
        .die_with_us = true,
    };
    return io_process_spawn(b->cfg.loop, &p, on_exit, b, &b->process, err);
}

void broker_spawn(struct broker *b)
{
    struct err err;
    b->why[0] = 0;
    b->since = mono_now();
    (void)unlink(b->socket); /* left by one that was killed, or not there */
    if (spawn_process(b, &err) < 0) {
        (void)snprintf(b->why, sizeof(b->why), "%s", err.text);
        wait_and_retry(b);
        return;
    }
    stream_close(b->output);
    b->output = io_process_stream(b->process, 2);
    stream_set_events(b->output, &output_events, b);
    stream_read_start(b->output);
    io_timer_start(&b->timer, PROBE_MS, PROBE_MS);
}

void broker_process_init(struct broker *b)
{
    b->backoff_ms = BACKOFF_FIRST_MS;
    io_timer_init(b->cfg.loop, &b->timer, on_timer, b);
}

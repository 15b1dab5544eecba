/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading end of the broker's ring. A flood would ring the bell for every message, at the cost
 * of a system call each for the broker: within PAUSE_US of the last look the ring is looked at
 * again by the clock, without the bell.
 */
#include <sys/timerfd.h>
#include <unistd.h>

#include "broker_private.h"
#include "io/ring.h"

#define PAUSE_US 200

static void deliver(struct broker *b, const struct str *records, size_t n)
{
    struct mqtt_event events[BROKER_BURST];
    size_t good = 0;
    for (size_t i = 0; i < n; i++) {
        if (mqtt_event_parse(records[i], &events[good]) == 0) {
            b->bytes += events[good].payload.n;
            good++;
        } else {
            b->odd++;
        }
    }
    if (good > 0) {
        b->cfg.on_events(b->cfg.arg, events, good);
    }
}

/* Whether something came a moment ago: then the next look is by the clock, once. */
static bool pause_instead(struct broker *b)
{
    struct mono now = mono_now();
    bool soon = now.us - b->woken.us < PAUSE_US;
    const struct itimerspec t = {.it_value = {.tv_nsec = PAUSE_US * 1000}};
    b->woken.us = 0; /* an empty look by the clock ends the pauses */
    return soon && timerfd_settime(b->pause_fd, /* flags= */ 0, &t, /* old= */ NULL) == 0;
}

static void on_pause(void *arg, unsigned events, int code)
{
    struct broker *b = arg;
    uint64_t count;
    if (read(b->pause_fd, &count, sizeof(count)) > 0) {
        loop_defer(b->cfg.loop, &b->drain);
    }
}

/* One burst a turn of the loop, so that a flood starves nobody. */
static void drain(void *arg)
{
    struct broker *b = arg;
    struct str records[BROKER_BURST];
    if (b->cfg.ready && !b->cfg.ready(b->cfg.arg)) {
        return; /* until broker_resume() */
    }
    size_t n = ring_read(b->ring, records, BROKER_BURST);
    if (n == 0 && (pause_instead(b) || ring_sleep(b->ring))) {
        return;
    }
    if (n > 0) {
        b->woken = mono_now();
    }
    loop_defer(b->cfg.loop, &b->drain);
    deliver(b, records, n);
}

static void on_bell(void *arg, unsigned events, int code)
{
    struct broker *b = arg;
    ring_bell_clear(b->ring);
    loop_defer(b->cfg.loop, &b->drain);
}

void broker_resume(struct broker *b)
{
    loop_defer(b->cfg.loop, &b->drain);
}

static int prepare_pause(struct broker *b, struct err *err)
{
    b->pause_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    int code =
        b->pause_fd < 0 ? -errno : io_poll_new(b->cfg.loop, b->pause_fd, on_pause, b, &b->pause);
    if (code < 0) {
        return err_sys(err, code, "broker: timer");
    }
    io_poll_set(b->pause, IO_READABLE);
    return 0;
}

void broker_events_init(struct broker *b)
{
    b->pause_fd = -EBADF;
    io_task_init(&b->drain, drain, b);
}

int broker_events_open(struct broker *b, struct err *err)
{
    int code = io_poll_new(b->cfg.loop, ring_reader_bell(b->ring), on_bell, b, &b->bell);
    if (code < 0) {
        return err_sys(err, code, "broker: bell");
    }
    io_poll_set(b->bell, IO_READABLE);
    return prepare_pause(b, err);
}

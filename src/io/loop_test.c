/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: tasks, timers, mail, work, signals, readiness, changes of files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/encode.h"
#include "base/mem.h"
#include "file.h"
#include "loop.h"

static struct io_loop *loop;

static int setup(void **state)
{
    (void)state;
    return loop_new(&loop, NULL);
}

static int teardown(void **state)
{
    (void)state;
    loop_free(loop);
    return 0;
}

static void until(const int *n, int want)
{
    for (int i = 0; i < 5000 && *n < want; i++) {
        loop_run_ready(loop);
        (void)usleep(1000);
    }
    assert_int_equal(*n, want);
}

/* ---- tasks ---- */

struct job {
    struct io_task task;
    struct job *next;
    int n, *log;
};

static void run_job(void *arg)
{
    struct job *j = arg;
    *j->log = *j->log * 10 + j->n;
    if (j->next) {
        loop_defer(loop, &j->next->task);
    }
}

static void tasks_run_in_order_and_their_children_a_tick_later(void **state)
{
    int log = 0;
    struct job j[4];
    (void)state;
    for (int i = 0; i < 4; i++) {
        j[i] = (struct job){.n = i + 1, .log = &log};
        io_task_init(&j[i].task, run_job, &j[i]);
    }
    j[0].next = &j[2];
    loop_defer(loop, &j[0].task);
    loop_defer(loop, &j[1].task);
    loop_defer(loop, &j[1].task); /* twice is once */
    loop_defer(loop, &j[3].task);
    io_task_cancel(&j[3].task);
    assert_int_equal(log, 0);
    while (io_task_pending(&j[0].task) || io_task_pending(&j[2].task)) {
        loop_run_ready(loop);
    }
    assert_int_equal(log, 123);
}

/* ---- timers ---- */

struct tick {
    struct io_timer timer;
    int n, stop_at;
    int64_t last;
};

static void on_tick(void *arg)
{
    struct tick *t = arg;
    if (++t->n == t->stop_at) {
        io_timer_stop(&t->timer);
    }
}

static void timers_fire_repeat_and_stop(void **state)
{
    struct tick once = {0}, often = {.stop_at = 5}, never = {0};
    (void)state;
    io_timer_init(loop, &once.timer, on_tick, &once);
    io_timer_init(loop, &often.timer, on_tick, &often);
    io_timer_init(loop, &never.timer, on_tick, &never);
    io_timer_start(&once.timer, 5, 0);
    io_timer_start(&often.timer, 1, 2);
    io_timer_start(&never.timer, 1, 0);
    io_timer_stop(&never.timer);
    io_timer_stop(&never.timer);
    until(&often.n, 5);
    until(&once.n, 1);
    (void)usleep(10000);
    loop_run_ready(loop);
    assert_int_equal(often.n, 5);
    assert_int_equal(once.n, 1);
    assert_int_equal(never.n, 0);
    assert_false(io_timer_active(&often.timer));
}

static int64_t newest;
static int fired;

static void on_ordered(void *arg)
{
    struct tick *t = arg;
    assert_true(t->last >= newest);
    newest = t->last;
    fired++;
}

static void thousands_of_timers_fire_in_order_whatever_is_stopped(void **state)
{
    enum { N = 5000 };
    struct tick *t = mem_zalloc(N * sizeof *t);
    int stopped = 0;
    (void)state;
    newest = fired = 0;
    for (int i = 0; i < N; i++) {
        t[i].last = (int64_t)random_below(40);
        io_timer_init(loop, &t[i].timer, on_ordered, &t[i]);
    }
    for (int i = 0; i < N; i++) {
        io_timer_start(&t[i].timer, 200 + t[i].last * 20, 0);
    }
    for (int i = 0; i < N; i++) {
        if (random_below(3) == 0) {
            io_timer_stop(&t[i].timer);
            stopped++;
        }
    }
    until(&fired, N - stopped);
    mem_free(t);
}

static void stop_other(void *arg)
{
    struct tick *t = arg;
    t[0].n++;
    io_timer_stop(&t[1].timer);
    io_timer_start(&t[0].timer, 0, 0); /* again, but not in this tick */
    if (t[0].n == 3) {
        io_timer_stop(&t[0].timer);
    }
}

static void a_timer_may_stop_and_restart_others_when_it_fires(void **state)
{
    struct tick t[2] = {0};
    (void)state;
    io_timer_init(loop, &t[0].timer, stop_other, t);
    io_timer_init(loop, &t[1].timer, on_tick, &t[1]);
    io_timer_start(&t[0].timer, 1, 0);
    io_timer_start(&t[1].timer, 1, 0);
    until(&t[0].n, 3);
    assert_int_equal(t[1].n, 0);
}

/* ---- mail and work ---- */

enum { MAILS = 1000, THREADS = 4 };
static int delivered;

static void on_mail(void *arg)
{
    mem_free(arg);
    delivered++;
}

static void *post_many(void *arg)
{
    for (int i = 0; i < MAILS; i++) {
        struct io_mail *m = mem_alloc(sizeof *m);
        m->fn = on_mail;
        m->arg = m;
        loop_post(arg, m);
    }
    return NULL;
}

static void mail_of_many_threads_arrives_whole(void **state)
{
    pthread_t t[THREADS];
    (void)state;
    delivered = 0;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, post_many, loop), 0);
    }
    until(&delivered, THREADS * MAILS);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
    }
}

struct sum {
    struct io_work work;
    int n, ended;
};

static void work_run(void *arg)
{
    ((struct sum *)arg)->n = 42;
}

static void work_done(void *arg)
{
    ((struct sum *)arg)->ended++;
}

static void work_runs_elsewhere_and_ends_here(void **state)
{
    struct sum s = {.work = {.run = work_run, .done = work_done, .arg = &s}};
    (void)state;
    loop_work(loop, &s.work);
    until(&s.ended, 1);
    assert_int_equal(s.n, 42);
}

/* ---- signals, descriptors, files ---- */

static int signals;

static void on_sig(void *arg, int signum)
{
    (void)arg;
    assert_int_equal(signum, SIGUSR1);
    signals++;
}

static void signals_arrive_on_the_loop(void **state)
{
    (void)state;
    signals = 0;
    assert_int_equal(loop_on_signal(loop, SIGUSR1, on_sig, NULL, NULL), 0);
    (void)raise(SIGUSR1);
    until(&signals, 1);
}

static int ready;

static void on_ready(void *arg, unsigned events, int code)
{
    char c;
    (void)arg;
    assert_int_equal(code, 0);
    assert_int_equal(events, IO_READABLE);
    assert_int_equal(read(*(int *)arg, &c, 1), 1);
    ready++;
}

static void descriptors_tell_when_they_are_readable(void **state)
{
    int fds[2];
    struct io_poll *p;
    (void)state;
    ready = 0;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(io_poll_new(loop, fds[0], on_ready, &fds[0], &p), 0);
    io_poll_set(p, IO_READABLE);
    assert_int_equal(write(fds[1], "ab", 2), 2);
    until(&ready, 2);
    io_poll_close(p);
    loop_run_ready(loop);
    (void)close(fds[0]);
    (void)close(fds[1]);
}

static int changes;
static char changed[64];

static void on_change(void *arg, const char *name)
{
    (void)arg;
    (void)cstr_copy(changed, sizeof changed, name ? name : "");
    changes = 1;
}

static void a_new_file_in_a_folder_is_seen(void **state)
{
    char dir[] = "/tmp/io-test-XXXXXX", path[64];
    struct io_fswatch *w;
    (void)state;
    changes = 0;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(io_fswatch_new(loop, dir, on_change, NULL, &w, NULL), 0);
    (void)snprintf(path, sizeof path, "%s/new", dir);
    assert_int_equal(file_write_replace(path, "x", 1, 0600, NULL), 0);
    until(&changes, 1);
    io_fswatch_close(w);
    assert_int_equal(tree_remove(dir, NULL), 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(tasks_run_in_order_and_their_children_a_tick_later),
        T(timers_fire_repeat_and_stop),
        T(thousands_of_timers_fire_in_order_whatever_is_stopped),
        T(a_timer_may_stop_and_restart_others_when_it_fires),
        T(mail_of_many_threads_arrives_whole),
        T(work_runs_elsewhere_and_ends_here),
        T(signals_arrive_on_the_loop),
        T(descriptors_tell_when_they_are_readable),
        T(a_new_file_in_a_folder_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

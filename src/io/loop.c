/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The loop itself, tasks and mail; see loop.h.
 *
 * Order within a libuv tick: timers, prepare (tasks), poll (events), check (tasks), closing. So a
 * task deferred by a timer or by an event runs in the same tick, before the process sleeps again;
 * that is what lets streams join all writes of a tick.
 */
#include "loop.h"

#include <malloc.h>
#include <pthread.h>
#include <signal.h>

#include "base/mem.h"
#include "loop_private.h"
#include "io/stream_impl.h"

static void run_tasks(struct io_loop *l)
{
    struct list batch; /* what these tasks defer runs on the next tick */
    list_init(&batch);
    list_splice(&batch, &l->tasks);
    for (struct list *i = list_pop_front(&batch); i; i = list_pop_front(&batch)) {
        struct io_task *t = CONTAINER_OF(i, struct io_task, link);
        t->fn(t->arg);
    }
    if (list_empty(&l->tasks)) {
        (void)uv_idle_stop(&l->idle); /* cannot fail */
    }
}

static void on_prepare(uv_prepare_t *h)
{
    run_tasks(h->data);
}

static void on_check(uv_check_t *h)
{
    run_tasks(h->data);
}

static void on_idle(uv_idle_t *h)
{
    (void)h; /* its being active is its purpose */
}

static void deliver_mail(struct io_loop *l)
{
    (void)pthread_mutex_lock(&l->mail_lock);
    struct io_mail *m = l->mail_first;
    l->mail_first = NULL;
    l->mail_last = &l->mail_first;
    (void)pthread_mutex_unlock(&l->mail_lock);
    while (m) {
        struct io_mail *next = m->next;
        m->fn(m->arg);
        m = next;
    }
}

static void on_wake(uv_async_t *h)
{
    deliver_mail(h->data);
}

int loop_uv_err(struct err *err, int rc, const char *what)
{
    return rc < 0 ? err_sys(err, rc, "%s", what) : rc;
}

/*
 * What a long-lived process with few threads wants of malloc: large blocks go back to the system
 * when they are freed (glibc would raise the threshold by itself and keep 30 MB after a 30 MB
 * body), and the threads of the pool share arenas.
 */
static void tune_process(void)
{
    (void)mallopt(M_MMAP_THRESHOLD, 128 << 10); /* refusals would only cost memory */
    (void)mallopt(M_TRIM_THRESHOLD, 128 << 10);
    (void)mallopt(M_ARENA_MAX, 2);
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe is a return value, not a death */
}

int loop_new(struct io_loop **ret, struct err *err)
{
    CLEANUP(mem_freep) struct io_loop *l = mem_zalloc(sizeof *l);
    CLEANUP(mem_freep) char *scratch = mem_alloc(LOOP_SCRATCH_SIZE);
    if (!l || !scratch) {
        return err_set(err, -ENOMEM, "no memory for the event loop");
    }
    int rc = uv_loop_init(&l->uv);
    if (rc < 0) {
        return loop_uv_err(err, rc, "start the event loop");
    }
    rc = uv_async_init(&l->uv, &l->wake, on_wake);
    if (rc < 0) {
        (void)uv_loop_close(&l->uv); /* holds nothing yet */
        return loop_uv_err(err, rc, "start the event loop");
    }
    (void)uv_prepare_init(&l->uv, &l->prepare); /* these four cannot fail */
    (void)uv_check_init(&l->uv, &l->check);
    (void)uv_idle_init(&l->uv, &l->idle);
    (void)uv_timer_init(&l->uv, &l->timer);
    l->wake.data = l->prepare.data = l->check.data = l->idle.data = l->timer.data = l;
    (void)uv_prepare_start(&l->prepare, on_prepare);
    (void)uv_check_start(&l->check, on_check);
    uv_unref((uv_handle_t *)&l->prepare);
    uv_unref((uv_handle_t *)&l->check);
    list_init(&l->tasks);
    list_init(&l->signals);
    list_init(&l->finishing);
    list_init(&l->orphans);
    (void)pthread_mutex_init(&l->mail_lock, NULL);
    l->mail_last = &l->mail_first;
    tune_process();
    l->scratch = TAKE_PTR(scratch);
    *ret = TAKE_PTR(l);
    return 0;
}

bool loop_owns_handle(const struct io_loop *l, const uv_handle_t *h)
{
    return h == (const uv_handle_t *)&l->prepare || h == (const uv_handle_t *)&l->check ||
           h == (const uv_handle_t *)&l->idle || h == (const uv_handle_t *)&l->timer ||
           h == (const uv_handle_t *)&l->wake;
}

static void assert_closing(uv_handle_t *h, void *arg)
{
    assert(loop_owns_handle(arg, h) || uv_is_closing(h));
}

void loop_free(struct io_loop *l)
{
    if (!l) {
        return;
    }
    loop_close_signals(l);
    deliver_mail(l);
    do { /* tasks may leave new streams and children behind */
        stream_close_finishing(l);
        process_free_orphans(l);
        (void)uv_run(&l->uv, UV_RUN_NOWAIT);
    } while (!list_empty(&l->tasks) || !list_empty(&l->finishing) || !list_empty(&l->orphans));
    (void)uv_timer_stop(&l->timer); /* io_timers that still run are forgotten */
    l->firing = true;               /* and none is armed any more */
    uv_walk(&l->uv, assert_closing, l);
    uv_unref((uv_handle_t *)&l->wake);
    uv_unref((uv_handle_t *)&l->timer);
    while (uv_loop_alive(&l->uv)) {
        (void)uv_run(&l->uv, UV_RUN_ONCE); /* handles that close, work in the pool, its tasks */
    }
    uv_close((uv_handle_t *)&l->prepare, NULL);
    uv_close((uv_handle_t *)&l->check, NULL);
    uv_close((uv_handle_t *)&l->timer, NULL);
    uv_close((uv_handle_t *)&l->wake, NULL);
    uv_close((uv_handle_t *)&l->idle, NULL);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    int rc = uv_loop_close(&l->uv);
    assert(rc == 0);
    (void)pthread_mutex_destroy(&l->mail_lock);
    mem_free(l->scratch);
    mem_free(l);
}

void loop_run(struct io_loop *l)
{
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct io_loop *l)
{
    uv_stop(&l->uv);
}

void loop_run_once(struct io_loop *l)
{
    (void)uv_run(&l->uv, UV_RUN_ONCE);
}

void loop_run_ready(struct io_loop *l)
{
    (void)uv_run(&l->uv, UV_RUN_NOWAIT);
}

struct mono loop_now(const struct io_loop *l)
{
    return (struct mono){.us = (int64_t)uv_now(&l->uv) * 1000};
}

struct uv_loop_s *loop_uv(struct io_loop *l)
{
    return &l->uv;
}

char *loop_scratch(struct io_loop *l)
{
    return l->scratch;
}

void io_task_init(struct io_task *t, void (*fn)(void *arg), void *arg)
{
    list_init(&t->link);
    t->fn = fn;
    t->arg = arg;
}

void loop_defer(struct io_loop *l, struct io_task *t)
{
    if (!io_task_pending(t)) {
        list_push_back(&l->tasks, &t->link);
        (void)uv_idle_start(&l->idle, on_idle); /* fails only without a callback */
    }
}

void io_task_cancel(struct io_task *t)
{
    if (t->link.next) {
        list_del(&t->link);
    }
}

bool io_task_pending(const struct io_task *t)
{
    return t->link.next && !list_empty(&t->link);
}

void loop_post(struct io_loop *l, struct io_mail *m)
{
    m->next = NULL;
    (void)pthread_mutex_lock(&l->mail_lock);
    *l->mail_last = m;
    l->mail_last = &m->next;
    (void)pthread_mutex_unlock(&l->mail_lock);
    (void)uv_async_send(&l->wake); /* fails only on handles that are no asyncs */
}

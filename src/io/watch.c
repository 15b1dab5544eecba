/* SPDX-License-Identifier: Apache-2.0 */
/* Signals, readiness of descriptors, changes of files, work in the thread pool; see loop.h. */
#include "base/mem.h"
#include "loop_private.h"

/* ---- signals ---- */

struct loop_signal {
    uv_signal_t uv;
    struct list link;
    void (*fn)(void *arg, int signum);
    void *arg;
};

static void on_signal(uv_signal_t *h, int signum)
{
    struct loop_signal *s = h->data;
    s->fn(s->arg, signum);
}

static void free_data(uv_handle_t *h)
{
    mem_free(h->data);
}

int loop_on_signal(struct io_loop *l, int signum, void (*fn)(void *arg, int signum), void *arg,
                   struct err *err)
{
    struct loop_signal *s = mem_zalloc(sizeof *s);
    if (!s) {
        return err_set(err, -ENOMEM, "no memory for a signal handler");
    }
    s->fn = fn;
    s->arg = arg;
    int rc = uv_signal_init(&l->uv, &s->uv);
    if (rc < 0) {
        mem_free(s);
        return err_sys(err, rc, "watch signal %d", signum);
    }
    s->uv.data = s;
    rc = uv_signal_start(&s->uv, on_signal, signum);
    if (rc < 0) {
        uv_close((uv_handle_t *)&s->uv, free_data);
        return err_sys(err, rc, "watch signal %d", signum);
    }
    uv_unref((uv_handle_t *)&s->uv);
    list_push_back(&l->signals, &s->link);
    return 0;
}

void loop_close_signals(struct io_loop *l)
{
    for (struct list *i = list_pop_front(&l->signals); i; i = list_pop_front(&l->signals)) {
        struct loop_signal *s = CONTAINER_OF(i, struct loop_signal, link);
        uv_close((uv_handle_t *)&s->uv, free_data);
    }
}

/* ---- readiness ---- */

struct io_poll {
    uv_poll_t uv;
    void (*fn)(void *arg, unsigned events, int code);
    void *arg;
    unsigned events;
};

static void on_poll(uv_poll_t *h, int status, int events)
{
    struct io_poll *p = h->data;
    if (status < 0) {
        p->events = 0; /* libuv has stopped it */
    }
    unsigned ready =
        (events & UV_READABLE ? IO_READABLE : 0) | (events & UV_WRITABLE ? IO_WRITABLE : 0);
    p->fn(p->arg, ready, status);
}

int io_poll_new(struct io_loop *l, int fd, void (*fn)(void *arg, unsigned events, int code),
                void *arg, struct io_poll **ret)
{
    struct io_poll *p = mem_zalloc(sizeof *p);
    if (!p) {
        return -ENOMEM;
    }
    int rc = uv_poll_init(&l->uv, &p->uv, fd);
    if (rc < 0) {
        mem_free(p);
        return rc;
    }
    p->uv.data = p;
    p->fn = fn;
    p->arg = arg;
    *ret = p;
    return 0;
}

void io_poll_set(struct io_poll *p, unsigned events)
{
    if (p->events == events) {
        return;
    }
    p->events = events;
    int want = (events & IO_READABLE ? UV_READABLE : 0) | (events & IO_WRITABLE ? UV_WRITABLE : 0);
    int rc = want ? uv_poll_start(&p->uv, want, on_poll) : uv_poll_stop(&p->uv);
    assert(rc == 0); /* fails only on closing handles */
}

void io_poll_close(struct io_poll *p)
{
    if (p) {
        uv_close((uv_handle_t *)&p->uv, free_data);
    }
}

/* ---- changes of files ---- */

struct io_fswatch {
    uv_fs_event_t uv;
    void (*fn)(void *arg, const char *name);
    void *arg;
};

static void on_fs_event(uv_fs_event_t *h, const char *name, int events, int status)
{
    struct io_fswatch *w = h->data;
    (void)events;
    (void)status; /* a lost inotify queue shows as an event without a name */
    w->fn(w->arg, name);
}

int io_fswatch_new(struct io_loop *l, const char *path, void (*fn)(void *arg, const char *name),
                   void *arg, struct io_fswatch **ret, struct err *err)
{
    struct io_fswatch *w = mem_zalloc(sizeof *w);
    if (!w) {
        return err_set(err, -ENOMEM, "no memory to watch '%s'", path);
    }
    (void)uv_fs_event_init(&l->uv, &w->uv); /* cannot fail */
    w->uv.data = w;
    w->fn = fn;
    w->arg = arg;
    int rc = uv_fs_event_start(&w->uv, on_fs_event, path, 0);
    if (rc < 0) {
        uv_close((uv_handle_t *)&w->uv, free_data);
        return err_sys(err, rc, "watch '%s'", path);
    }
    *ret = w;
    return 0;
}

void io_fswatch_close(struct io_fswatch *w)
{
    if (w) {
        uv_close((uv_handle_t *)&w->uv, free_data);
    }
}

/* ---- thread pool ---- */

_Static_assert(sizeof(uv_work_t) <= sizeof(((struct io_work *)0)->req), "io_work.req is too small");

static void work_run(uv_work_t *req)
{
    struct io_work *w = req->data;
    w->run(w->arg);
}

static void work_done(uv_work_t *req, int status)
{
    struct io_work *w = req->data;
    (void)status; /* never cancelled */
    w->done(w->arg);
}

void loop_work(struct io_loop *l, struct io_work *w)
{
    uv_work_t *req = (uv_work_t *)w->req;
    w->loop = l;
    req->data = w;
    int rc = uv_queue_work(&l->uv, req, work_run, work_done);
    assert(rc == 0); /* fails only without a run function */
}

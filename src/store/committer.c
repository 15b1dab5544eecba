/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commit thread: takes everything that waits, makes it durable in one transaction, hands it
 * back to the loop, and already takes the next. Group commit needs no timer: while one fsync runs,
 * the next group gathers.
 *
 * Invariants:
 *  1. Writes leave `queue` and enter `done` in order of submission.
 *  2. After a failed commit the thread takes nothing until the loop has emptied the queue, since
 *     what waits may build on what failed.
 *  3. The thread reads items (key, value, revisions) that the loop never changes, and no reference
 *     count: the write holds the item.
 *
 * A backend without commit() has no thread; its writes go to `done` at once.
 */
#include "store_private.h"

#include <errno.h>
#include <signal.h>

#include "base/metrics.h"

#define STACK_SIZE ((size_t)512 << 10)

int committer_init(struct committer *c)
{
    write_queue_init(&c->queue);
    write_queue_init(&c->done);
    int rc = pthread_mutex_init(&c->lock, NULL);
    if (rc == 0) {
        rc = pthread_cond_init(&c->wake, NULL);
        if (rc) {
            (void)pthread_mutex_destroy(&c->lock);
        }
    }
    return -rc;
}

void committer_fini(struct committer *c)
{
    assert(!c->running && !c->queue.first && !c->done.first);
    (void)pthread_cond_destroy(&c->wake);
    (void)pthread_mutex_destroy(&c->lock);
    mem_free(c->backend);
    mem_free(c->garbage);
    mem_free(c->rows);
    mem_free(c->drop);
}

static void lock(struct committer *c)
{
    (void)pthread_mutex_lock(&c->lock); /* fails only when misused */
}

static void unlock(struct committer *c)
{
    (void)pthread_mutex_unlock(&c->lock);
}

/* Under lock: one mail brings the loop to everything that is done until it comes. */
static void post(struct committer *c)
{
    if (!c->posted) {
        c->posted = true;
        loop_post(c->loop, &c->mail);
    }
}

/* ---- thread ---- */

static int grow(void **array, size_t *cap, size_t n, size_t size)
{
    if (n <= *cap) {
        return 0;
    }
    size_t want = MAX_OF(n, *cap * 2);
    void *grown = mem_realloc(*array, want * size);
    if (!grown) {
        return -ENOMEM;
    }
    *array = grown;
    *cap = want;
    return 0;
}

static void add_op(struct committer *c, struct store_commit *commit, const struct write_op *op)
{
    const struct store_item *it = op->item;
    if (op->durable) {
        c->rows[commit->n++] = (struct store_row){
            .rev = it->rev,
            .create_rev = it->create_rev,
            .origin = it->origin,
            .type = op->type,
            .flags = it->flags,
            .key = store_item_key(it),
            .value = store_item_value(it),
        };
    }
    if (op->drop_rev) {
        c->drop[commit->n_drop++] = op->drop_rev;
    }
}

static void measure(const struct write_queue *batch, size_t *ret_n, bool *ret_durable)
{
    *ret_n = 0;
    *ret_durable = false;
    for (const struct store_write *w = batch->first; w; w = w->next) {
        *ret_n += w->n;
        *ret_durable |= w->durable;
    }
}

/* As much garbage as keeps pace with what the batch will make superfluous, and then some. */
static size_t take_garbage(struct committer *c, struct store_commit *commit)
{
    lock(c);
    size_t n = MIN_OF(c->garbage_n, 4 * commit->n + 64);
    if (grow((void **)&c->drop, &c->drop_cap, commit->n_drop + n, sizeof c->drop[0]) < 0) {
        n = 0; /* another time */
    }
    if (n) {
        memcpy(c->drop + commit->n_drop, c->garbage, n * sizeof c->garbage[0]);
        commit->meta.compacted_rev = c->compacted_rev;
    }
    unlock(c);
    commit->n_drop += n;
    return n;
}

static void forget_garbage(struct committer *c, size_t n)
{
    lock(c);
    c->garbage_n -= n;
    memmove(c->garbage, c->garbage + n, c->garbage_n * sizeof c->garbage[0]);
    unlock(c);
}

static int commit_batch(struct committer *c, const struct write_queue *batch, struct err *err)
{
    size_t n;
    bool durable;
    measure(batch, &n, &durable);
    if (!durable) {
        return 0;
    }
    if (grow((void **)&c->rows, &c->rows_cap, n, sizeof c->rows[0]) < 0 ||
        grow((void **)&c->drop, &c->drop_cap, n, sizeof c->drop[0]) < 0) {
        return err_set(err, -ENOMEM, "write the store: out of memory");
    }
    struct store_commit commit = {.meta = {.compacted_rev = -1, .ceiling_rev = -1}};
    for (const struct store_write *w = batch->first; w; w = w->next) {
        for (size_t i = 0; i < w->n; i++) {
            add_op(c, &commit, &w->ops[i]);
        }
        if (w->ceiling_rev) {
            commit.meta.ceiling_rev = w->ceiling_rev;
        }
    }
    size_t garbage = take_garbage(c, &commit);
    commit.rows = c->rows;
    commit.drop = c->drop;
    int code = c->ops->commit(c->backend, &commit, err);
    if (code == 0) {
        forget_garbage(c, garbage);
        metric_add(METRIC_STORE_COMMITS, 1);
    } else {
        metric_add(METRIC_STORE_COMMIT_FAILURES, 1);
    }
    return code;
}

/* Waits for work. False: the end. */
static bool wait_for_batch(struct committer *c, struct write_queue *ret)
{
    write_queue_init(ret);
    lock(c);
    while (!c->stop && (c->failed || !c->queue.first)) {
        (void)pthread_cond_wait(&c->wake, &c->lock);
    }
    bool more = c->queue.first && !c->failed;
    if (more) {
        write_queue_join(ret, &c->queue);
    }
    unlock(c);
    return more;
}

static void *committer_main(void *arg)
{
    struct committer *c = arg;
    struct write_queue batch;
    while (wait_for_batch(c, &batch)) {
        struct err err = {0};
        int code = commit_batch(c, &batch, &err);
        for (struct store_write *w = batch.first; code && w; w = w->next) {
            w->code = code;
        }
        lock(c);
        write_queue_join(&c->done, &batch);
        if (code) {
            c->failed = true;
            c->err = err;
        }
        post(c);
        unlock(c);
    }
    c->ops->close(c->backend);
    lock(c);
    c->stopped = true;
    post(c);
    unlock(c);
    return NULL;
}

/* ---- loop ---- */

int committer_start(struct committer *c, struct err *err)
{
    if (!c->ops->commit) {
        return 0;
    }
    pthread_attr_t attr;
    sigset_t all, before;
    (void)pthread_attr_init(&attr); /* these cannot fail on Linux */
    (void)pthread_attr_setstacksize(&attr, STACK_SIZE);
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the loop's */
    int rc = pthread_create(&c->thread, &attr, committer_main, c);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    if (rc) {
        return err_sys(err, -rc, "start the commit thread of the store");
    }
    c->running = true;
    return 0;
}

void committer_submit(struct committer *c, struct write_queue *q)
{
    lock(c);
    if (c->running) {
        write_queue_join(&c->queue, q);
        (void)pthread_cond_signal(&c->wake);
    } else {
        write_queue_join(&c->done, q);
        post(c);
    }
    unlock(c);
}

bool committer_take(struct committer *c, struct write_queue *ret, struct err *ret_err)
{
    write_queue_init(ret);
    lock(c);
    c->posted = false;
    write_queue_join(ret, &c->done);
    bool failed = c->failed;
    if (failed) {
        for (struct store_write *w = c->queue.first; w; w = w->next) {
            w->code = c->err.code;
        }
        write_queue_join(ret, &c->queue);
        *ret_err = c->err;
        c->failed = false;
    }
    unlock(c);
    return failed;
}

void committer_kick(struct committer *c)
{
    lock(c);
    post(c);
    unlock(c);
}

void committer_stop(struct committer *c)
{
    lock(c);
    c->stop = true;
    (void)pthread_cond_signal(&c->wake);
    unlock(c);
}

bool committer_join(struct committer *c)
{
    lock(c);
    bool over = (c->stopped || !c->running) && !c->posted;
    unlock(c);
    if (over && c->running) {
        (void)pthread_join(c->thread, NULL); /* it has nothing left to do */
        c->running = false;
    }
    return over;
}

void committer_garbage(struct committer *c, int64_t first, int64_t second, int64_t compacted_rev)
{
    lock(c);
    if (!c->garbage_lost &&
        grow((void **)&c->garbage, &c->garbage_cap, c->garbage_n + 2, sizeof c->garbage[0]) < 0) {
        c->garbage_lost = true;
    }
    if (!c->garbage_lost) {
        if (first) {
            c->garbage[c->garbage_n++] = first;
        }
        if (second) {
            c->garbage[c->garbage_n++] = second;
        }
        c->compacted_rev = compacted_rev;
    }
    unlock(c);
}

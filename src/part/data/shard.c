/* SPDX-License-Identifier: Apache-2.0 */
/* A shard: its thread, who holds its engine, and the two queues; see shard.h. */
#include "shard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <time.h>

#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/loop.h"
#include "shard_events.h"

#define STACK_BYTES ((size_t)512 << 10) /* depths are bounded: limits.def */

#define ROOM                                                                             \
    64 /* sources that can wait do so early: what waits is processed before a rule stops \
        */

struct entry {
    struct engine_stream *stream;
    struct shard_events *events;
};

struct shard {
    struct shard_config cfg;
    pthread_t thread;
    bool runs; /* there is a thread */
    /* of the holder */
    struct engine *engine;
    struct list made; /* notes of this turn */
    unsigned held;    /* of the loop's thread: how often */
    /* under the lock */
    pthread_mutex_t lock;
    pthread_cond_t wake; /* the thread waits */
    pthread_cond_t idle; /* the loop's thread waits for the end of a turn */
    bool busy, wanted, asleep, stopping;
    bool starved; /* a source waits for room */
    bool posted;  /* the mail is under way */
    bool leaving; /* freed by the mail */
    struct list notes;
    struct entry in[LIMIT_SHARD_DELIVERIES]; /* a ring */
    uint32_t first, n;                       /* deliveries */
    uint32_t events;
    size_t bytes;
    struct io_mail mail;
};

/* ---- under the lock ---- */

static void lock(struct shard *s)
{
    int rc = pthread_mutex_lock(&s->lock);
    assert(rc == 0);
    (void)rc; /* without asserts it is not read */
}

static void unlock(struct shard *s)
{
    (void)pthread_mutex_unlock(&s->lock); /* cannot fail: it is ours */
}

static bool has_room(const struct shard *s)
{
    return s->n < LIMIT_SHARD_DELIVERIES / 2 && s->events < LIMIT_SHARD_EVENTS / ROOM &&
           s->bytes < LIMIT_SHARD_BYTES / ROOM;
}

static bool pop(struct shard *s, struct entry *ret)
{
    if (s->n == 0) {
        return false;
    }
    *ret = s->in[s->first];
    s->first = (s->first + 1) % LIMIT_SHARD_DELIVERIES;
    s->n--;
    s->events -= ret->events->n;
    s->bytes -= ret->events->bytes;
    return true;
}

/* The thread may begin a turn, or should only now and then look at the time. */
static bool due(const struct shard *s, int64_t now_us)
{
    return list_empty(&s->notes) &&
           (s->n > 0 || !list_empty(&s->made) || engine_next(s->engine) <= now_us);
}

/* Until somebody has something to say, or the engine's next timer. */
static void sleep_until_due(struct shard *s)
{
    int64_t next = s->wanted || !list_empty(&s->notes) ? INT64_MAX : engine_next(s->engine);
    s->asleep = true;
    if (next == INT64_MAX) {
        (void)pthread_cond_wait(&s->wake, &s->lock); /* cannot fail */
    } else {
        const struct timespec until = {.tv_sec = next / 1000000, .tv_nsec = next % 1000000 * 1000};
        (void)pthread_cond_timedwait(&s->wake, &s->lock, &until); /* late or not: it is looked at */
    }
    s->asleep = false;
}

static void poke(struct shard *s)
{
    if (s->asleep) {
        (void)pthread_cond_signal(&s->wake); /* cannot fail */
    }
}

/* True: the caller posts the mail after it let go of the lock. */
static bool wants_mail(struct shard *s)
{
    bool some = !list_empty(&s->notes) || (s->starved && has_room(s));
    bool post = some && !s->posted;
    s->posted |= post;
    return post;
}

/* ---- a turn: by the holder ---- */

static int64_t now_us(void)
{
    return wall_now().us;
}

static int push(struct shard *s, const struct entry *e, const struct payload *payloads, uint32_t n)
{
    const struct shard_events *ev = e->events;
    return payloads
               ? engine_push(s->engine, e->stream, payloads, n)
               : engine_push_values(s->engine, e->stream, ev->values, ev->meta, ev->arrival, ev->n);
}

/* How many of the entries are deliveries of one stream that fit together, and their payloads. */
static uint32_t merge(const struct entry *entries, uint32_t n, struct payload merged[SHARD_TURN],
                      uint32_t *ret_payloads)
{
    uint32_t k = 0, sum = 0;
    while (k < n && entries[k].stream == entries[0].stream && entries[k].events->payloads &&
           sum + entries[k].events->n <= SHARD_TURN) {
        const struct shard_events *ev = entries[k++].events;
        memcpy(merged + sum, ev->payloads, ev->n * sizeof(*merged));
        sum += ev->n;
    }
    *ret_payloads = sum;
    return k;
}

static void process(struct shard *s, const struct entry *entries, uint32_t n)
{
    struct payload merged[SHARD_TURN];
    (void)engine_advance(s->engine, now_us()); /* out of memory: told by on_error */
    for (uint32_t i = 0; i < n;) {
        const struct shard_events *ev = entries[i].events;
        uint32_t sum, k = merge(entries + i, n - i, merged, &sum);
        int rc =
            k > 1 ? push(s, &entries[i], merged, sum) : push(s, &entries[i], ev->payloads, ev->n);
        if (rc < 0) {
            log_warn("stream %s: out of memory, events dropped",
                     engine_stream_name(entries[i].stream));
        }
        for (uint32_t end = i + MAX_OF(k, 1u); i < end; i++) {
            shard_events_unref(entries[i].events);
        }
    }
    (void)engine_advance(s->engine, now_us()); /* as above */
}

/* What a turn takes: at most SHARD_TURN events, but always one delivery. */
static uint32_t take(struct shard *s, struct entry entries[SHARD_TURN])
{
    uint32_t n = 0, events = 0;
    while (n < SHARD_TURN && s->n > 0 &&
           (n == 0 || events + s->in[s->first].events->n <= SHARD_TURN)) {
        (void)pop(s, &entries[n]);
        events += entries[n++].events->n;
    }
    return n;
}

static void turn(struct shard *s) /* with the lock, which it lets go meanwhile */
{
    struct entry entries[SHARD_TURN];
    uint32_t n = take(s, entries);
    s->busy = true;
    unlock(s);
    process(s, entries, n);
    lock(s);
    s->busy = false;
    list_splice(&s->notes, &s->made);
    if (s->wanted) {
        (void)pthread_cond_signal(&s->idle); /* cannot fail */
    }
    if (wants_mail(s)) {
        unlock(s);
        loop_post(s->cfg.loop, &s->mail);
        lock(s);
    }
}

static void *run(void *arg)
{
    struct shard *s = arg;
    lock(s);
    while (!s->stopping) {
        if (!s->wanted && due(s, now_us())) {
            turn(s);
        } else {
            sleep_until_due(s);
        }
    }
    unlock(s);
    return NULL;
}

/* ---- notes ---- */

void shard_post(struct shard *s, struct shard_note *n)
{
    list_push_back(&s->made, &n->link);
}

static void run_notes(struct list *notes)
{
    struct list *l;
    while ((l = list_pop_front(notes))) {
        struct shard_note *n = CONTAINER_OF(l, struct shard_note, link);
        n->fn(n);
    }
}

/* Those of turns that ended. */
static void hand_on(struct shard *s)
{
    struct list notes;
    list_init(&notes);
    lock(s);
    list_splice(&notes, &s->notes);
    poke(s);
    unlock(s);
    run_notes(&notes);
}

static void free_shard(struct shard *s)
{
    (void)pthread_mutex_destroy(&s->lock); /* nobody holds it */
    (void)pthread_cond_destroy(&s->wake);
    (void)pthread_cond_destroy(&s->idle);
    mem_free(s);
}

static void on_mail(void *arg)
{
    struct shard *s = arg;
    lock(s);
    bool room = s->starved && has_room(s);
    s->posted = false;
    s->starved &= !room;
    unlock(s);
    if (s->leaving) {
        free_shard(s);
        return;
    }
    hand_on(s);
    if (room) {
        s->cfg.on_room(s->cfg.arg);
    }
}

/* ---- control ---- */

struct engine *shard_hold(struct shard *s)
{
    if (!s) {
        return NULL;
    }
    if (s->held++ == 0) {
        lock(s);
        s->wanted = true;
        while (s->busy) {
            (void)pthread_cond_wait(&s->idle, &s->lock); /* cannot fail */
        }
        unlock(s);
    }
    return s->engine;
}

void shard_release(struct shard *s)
{
    if (s && --s->held == 0) {
        lock(s);
        s->wanted = false;
        poke(s); /* also for what the holder's calls posted */
        bool post = wants_mail(s);
        unlock(s);
        if (post) {
            loop_post(s->cfg.loop, &s->mail);
        }
    }
}

void shard_settle(struct shard *s)
{
    struct entry e;
    if (!s) {
        return;
    }
    assert(s->held > 0);
    hand_on(s);
    for (bool some = true; some;) {
        lock(s);
        some = pop(s, &e);
        unlock(s);
        if (some) {
            process(s, &e, 1);
        }
        run_notes(&s->made);
    }
}

/* ---- events in ---- */

bool shard_room(struct shard *s, bool soon)
{
    lock(s);
    bool room = soon ? s->n == 0 : has_room(s);
    s->starved |= !room;
    unlock(s);
    return room;
}

int shard_push(struct shard *s, struct engine_stream *stream, struct shard_events *ev)
{
    lock(s);
    bool fits = s->n < LIMIT_SHARD_DELIVERIES && s->events < LIMIT_SHARD_EVENTS &&
                s->bytes < LIMIT_SHARD_BYTES;
    if (fits) {
        s->in[(s->first + s->n++) % LIMIT_SHARD_DELIVERIES] =
            (struct entry){stream, shard_events_ref(ev)};
        s->events += ev->n;
        s->bytes += ev->bytes;
        poke(s);
    }
    unlock(s);
    return fits ? 0 : -E_AGAIN;
}

/* ---- life ---- */

static void on_engine_error(void *arg, struct rule *r, const struct err *err)
{
    struct shard *s = arg;
    s->cfg.on_error(s, r, err);
}

static void on_engine_late(void *arg, struct rule *r, const struct value *event)
{
    struct shard *s = arg;
    s->cfg.on_late(s, r, event);
}

static void on_engine_use(void *arg, struct engine_stream *stream, bool used)
{
    struct shard *s = arg;
    assert(s->held > 0);
    s->cfg.on_use(s, stream, used);
}

/* Signals are the loop's. */
static int start_thread(struct shard *s)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rc = pthread_attr_init(&attr);
    if (rc != 0) {
        return -rc;
    }
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_attr_setstacksize(&attr, STACK_BYTES);
    rc = rc != 0 ? rc : pthread_create(&s->thread, &attr, run, s);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    s->runs = rc == 0;
    return -rc;
}

int shard_new(const struct shard_config *cfg, struct shard **ret, struct err *err)
{
    struct shard *s = mem_zalloc(sizeof(*s));
    if (!s) {
        return err_sys(err, -E_NOMEM, "start a thread of rules");
    }
    s->cfg = *cfg;
    s->cfg.zone = NULL; /* borrowed: not to be used later */
    list_init(&s->made);
    list_init(&s->notes);
    s->mail = (struct io_mail){.fn = on_mail, .arg = s};
    (void)pthread_mutex_init(&s->lock, NULL); /* cannot fail */
    (void)pthread_cond_init(&s->wake, NULL);
    (void)pthread_cond_init(&s->idle, NULL);
    const struct engine_options opts = {.zone = cfg->zone,
                                        .on_error = on_engine_error,
                                        .on_late = on_engine_late,
                                        .on_use = on_engine_use,
                                        .arg = s,
                                        .find_schema = cfg->find_schema,
                                        .schema_arg = cfg->schema_arg};
    int rc = engine_new(&opts, now_us(), &s->engine, err);
    if (rc == 0 && (rc = start_thread(s)) < 0) {
        rc = err_sys(err, rc, "start a thread of rules");
    }
    if (rc < 0) {
        shard_free(s);
        return rc;
    }
    *ret = s;
    return 0;
}

void shard_free(struct shard *s)
{
    struct entry e;
    if (!s) {
        return;
    }
    if (s->runs) {
        lock(s);
        s->stopping = true;
        poke(s);
        unlock(s);
        (void)pthread_join(s->thread, NULL); /* cannot fail: nobody else joins it */
    }
    s->held = 1; /* nobody contends: the rules that are left are stopped by us */
    engine_free(s->engine);
    run_notes(&s->notes);
    run_notes(&s->made);
    while (pop(s, &e)) {
        shard_events_unref(e.events);
    }
    s->leaving = s->posted;
    if (!s->leaving) {
        free_shard(s);
    }
}

void *shard_arg(const struct shard *s)
{
    return s->cfg.arg;
}

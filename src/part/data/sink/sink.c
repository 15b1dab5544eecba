/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame around a connector: what comes in is made a message (sink_encode.c), waits, is sent in
 * order, repeated, counted.
 *
 * Without a cache messages wait in memory and those of a sink that is closed are lost, counted.
 * With a cache every message goes into the log on disk first, is synced once for all messages of a
 * tick of the loop, and is read back for sending; it is acknowledged in order. So what a connector
 * sees has been on the disk before.
 */
#include "sink.h"

#include <inttypes.h>

#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "part/data/data_private.h"
#include "part/data/shard.h"
#include "sink_encode.h"
#include "sink_log.h"
#include "sink_queue.h"

#define BUFFER_DEFAULT 1024
#define QUEUE_BYTES_MAX ((size_t)64 << 20)
#define RETRIES_DEFAULT 3
#define RETRY_MS_DEFAULT 100
#define RETRY_MS_MAX (30 * 1000)
#define CACHE_BYTES_DEFAULT ((int64_t)256 << 20)
#define WINDOW_DEFAULT 1
#define SPACE_MS 200 /* between two looks whether a disk has room again */

struct frame {
    struct sink *sink;
    struct sink_encoder *encoder; /* of the holder of the shard, if there is one */
    struct collected *collecting; /* as well: while it makes messages in the shard's thread */
    struct shard *shard;          /* NULL = the loop's thread makes them */
    struct sink_queue queue;
    struct sink_log *log;   /* enableCache; NULL = memory alone */
    struct sink_queue held; /* with a log: what it could not take yet, in order */
    uint64_t read_next;     /* of the log: sequence that is read next */
    uint64_t released;      /* qos 2: what may be sent, up to here */
    unsigned qos;           /* of the rule */
    uint64_t sequence;      /* of the last message without a log */
    size_t buffer_length;
    int64_t retries; /* of a message; < 0 = without end */
    int64_t retry_ms, retry_max_ms;
    bool refuse_newest; /* disableBufferFullDiscard */
    bool clean_at_stop;
    bool open;
    bool dirty;        /* appended since the last sync */
    unsigned failures; /* in a row */
    struct io_task pump;
    struct io_timer retry;
    struct io_timer *linger, *space, *grace; /* NULL until they are first used: few sinks do */
    void (*flushed)(void *arg);
    void *flushed_arg;
};

static const struct sink_ops *const kinds[] = {
    &sink_file, &sink_log_kind, &sink_memory, &sink_mqtt, &sink_nop, &sink_rest,
};

const struct sink_ops *sink_find(struct str type)
{
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        if (str_iis(type, kinds[i]->type)) {
            return kinds[i];
        }
    }
    return NULL;
}

static void trouble(struct sink *s, const char *why)
{
    if (!cstr_eq(s->trouble, why)) {
        if (why) {
            log_warn("rule %s: sink %s: %s", s->rule, s->ops->type, why);
        }
        mem_free(s->trouble);
        s->trouble = mem_strdup(why);
    }
}

/* ---- timers ---- */

/* Without memory for it, it is due now. */
static void start_timer(struct frame *f, struct io_timer **t, void (*fn)(void *arg), int64_t ms)
{
    if (!*t) {
        *t = mem_zalloc(sizeof(**t));
        if (!*t) {
            fn(f);
            return;
        }
        io_timer_init(f->sink->loop, *t, fn, f);
    }
    io_timer_start(*t, ms, 0);
}

static void stop_timer(struct io_timer *t)
{
    if (t) {
        io_timer_stop(t);
    }
}

static void free_timer(struct io_timer *t)
{
    stop_timer(t);
    mem_free(t);
}

static void on_space(void *arg)
{
    struct frame *f = arg;
    loop_defer(f->sink->loop, &f->pump);
}

static void on_linger(void *arg);

static void on_grace(void *arg)
{
    struct frame *f = arg;
    void (*fn)(void *) = TAKE_PTR(f->flushed);
    if (fn) {
        fn(f->flushed_arg);
    }
}

/* ---- what waits ---- */

/* With a log, what is on the disk is safe; what cannot be delivered now waits for the next start.
 */
static bool idle(const struct frame *f)
{
    return f->log ? !f->dirty && f->held.n == 0 : f->queue.n == 0;
}

static void look_flushed(struct frame *f)
{
    if (f->flushed && idle(f)) {
        void (*fn)(void *) = TAKE_PTR(f->flushed);
        stop_timer(f->grace);
        fn(f->flushed_arg);
    }
}

static void drop_oldest(struct frame *f)
{
    struct sink_item *it = sink_queue_oldest_idle(&f->queue);
    if (it) {
        f->sink->dropped++;
        sink_queue_remove(&f->queue, it);
    }
}

static bool full(const struct frame *f, const struct sink_queue *q)
{
    return q->n >= f->buffer_length || q->bytes >= QUEUE_BYTES_MAX;
}

/* < 0: the log cannot take it (now). */
static int append(struct frame *f, const struct sink_item *it, struct err *err)
{
    uint64_t sequence;
    int rc = sink_log_append(f->log, it->message.bytes, &sequence, err);
    f->dirty |= rc == 0;
    return rc;
}

/* Into the log. What a full disk refuses waits in memory with all that comes after it; what is
 * over the bounds there, or too large for ever, is dropped. Takes the item. */
static void keep(struct frame *f, struct sink_item *it)
{
    struct err err;
    int rc = f->held.n > 0 ? -E_NOSPACE : append(f, it, &err);
    if (rc < 0 && f->held.n == 0) { /* told once: the rest waits behind it */
        trouble(f->sink, err.text);
    }
    if (rc < 0 && rc != -E_TOOBIG && !full(f, &f->held)) {
        sink_queue_push(&f->held, it);
        if (!f->space || !io_timer_active(f->space)) {
            start_timer(f, &f->space, on_space, SPACE_MS);
        }
        return;
    }
    f->sink->dropped += rc < 0;
    sink_item_free(it);
}

static void keep_held(struct frame *f)
{
    struct sink_item *it;
    struct err err;
    while ((it = sink_queue_oldest_idle(&f->held))) {
        if (append(f, it, &err) < 0) {
            start_timer(f, &f->space, on_space, SPACE_MS);
            return;
        }
        sink_queue_remove(&f->held, it);
        if (f->held.n == 0) {
            trouble(f->sink, NULL);
        }
    }
}

/* A message: into the log, or into memory. Takes the item. */
static void enqueue(struct frame *f, struct sink_item *it)
{
    struct sink *s = f->sink;
    s->in++;
    if (f->log) {
        keep(f, it);
    } else if (full(f, &f->queue) && f->refuse_newest) {
        s->errors++;
        sink_item_free(it);
    } else {
        if (full(f, &f->queue)) {
            drop_oldest(f);
        }
        it->message.sequence = ++f->sequence;
        sink_queue_push(&f->queue, it);
    }
    loop_defer(s->loop, &f->pump);
}

/* ---- messages of the encoder ---- */

static void send_next(struct frame *f);

/* What one emission became in the thread of a shard, on its way to the loop. */
struct collected {
    struct shard_note note;
    struct frame *frame;
    struct list items;
    int64_t linger_ms; /* < 0: nothing was asked for */
    bool failed;
    char *why; /* heap */
};

static void on_ready(void *arg, struct sink_item *it)
{
    struct frame *f = arg;
    if (f->collecting) {
        list_push_back(&f->collecting->items, &it->link);
    } else {
        enqueue(f, it);
    }
}

static void set_linger(struct frame *f, int64_t ms)
{
    if (ms > 0) {
        start_timer(f, &f->linger, on_linger, ms);
    } else {
        stop_timer(f->linger);
    }
}

static void on_linger_wanted(void *arg, int64_t ms)
{
    struct frame *f = arg;
    if (f->collecting) {
        f->collecting->linger_ms = ms;
    } else {
        set_linger(f, ms);
    }
}

static void take_failed(struct sink *s, const char *why)
{
    s->errors++;
    trouble(s, why);
}

static void on_collected(struct shard_note *n)
{
    struct collected *c = CONTAINER_OF(n, struct collected, note);
    struct frame *f = c->frame;
    struct list *l;
    while ((l = list_pop_front(&c->items))) {
        list_init(l);
        if (!f->log && full(f, &f->queue)) {
            send_next(f); /* all of a backlog may come in one tick */
        }
        enqueue(f, CONTAINER_OF(l, struct sink_item, link));
    }
    if (c->linger_ms >= 0) {
        set_linger(f, c->linger_ms);
    }
    if (c->failed) {
        take_failed(f->sink, c->why ? c->why : "out of memory");
    }
    mem_free(c->why);
    mem_free(c);
}

/* ---- sending ---- */

static unsigned window_of(const struct frame *f)
{
    return f->sink->ops->window ? f->sink->ops->window : WINDOW_DEFAULT;
}

/* Fills the queue from the log. */
static void read_log(struct frame *f)
{
    while (f->queue.n < window_of(f) && (f->qos < 2 || f->read_next <= f->released)) {
        struct err err;
        struct buf b = BUF_INIT;
        uint64_t sequence;
        struct sink_item *it = sink_item_new();
        int rc = it ? sink_log_read(f->log, f->read_next, &b, &sequence, &err) : -E_NOMEM;
        if (rc == 1) {
            void *bytes = arena_dup(&it->arena, buf_data(&b), buf_len(&b));
            it->message.bytes = str_n(bytes, buf_len(&b));
            it->message.sequence = sequence;
            rc = bytes || buf_len(&b) == 0 ? 1 : -E_NOMEM;
            rc = rc == 1 && f->qos == 2 && sequence > f->released ? 0 : rc; /* behind a gap */
        }
        buf_fini(&b);
        if (rc != 1) {
            sink_item_free(it);
            if (rc < 0) {
                trouble(f->sink, rc == -E_NOMEM ? "out of memory" : err.text);
            }
            return;
        }
        f->read_next = sequence + 1;
        sink_queue_push(&f->queue, it);
    }
}

static void send_next(struct frame *f)
{
    while (f->open && f->queue.under_way < window_of(f) && !io_timer_active(&f->retry)) {
        struct sink_item *it = sink_queue_oldest_idle(&f->queue);
        if (!it) {
            return;
        }
        it->under_way = true;
        it->attempts++;
        f->queue.under_way++;
        f->sink->retries += it->attempts > 1;
        f->sink->ops->send(f->sink, &it->message);
    }
}

static void pause_after_failure(struct frame *f)
{
    int64_t ms = f->retry_ms << MIN_OF(f->failures, 10u);
    f->failures++;
    ms = MIN_OF(ms, f->retry_max_ms);
    io_timer_start(&f->retry, ms / 2 + (int64_t)random_below((uint64_t)ms / 2 + 1), 0);
}

static int sync_log(struct frame *f, struct err *err)
{
    int rc = f->dirty ? sink_log_sync(f->log, err) : 0;
    f->dirty = rc < 0;
    return rc;
}

static void on_pump(void *arg)
{
    struct frame *f = arg;
    struct err err;
    if (f->log) {
        keep_held(f);
        if (sync_log(f, &err) < 0) {
            trouble(f->sink, err.text);
            pause_after_failure(f);
        } else {
            read_log(f);
        }
    }
    send_next(f);
    if (f->sink->on_progress) {
        f->sink->on_progress(f->sink->progress_arg);
    }
    look_flushed(f); /* who waited may close the sink */
}

static void on_retry(void *arg)
{
    struct frame *f = arg;
    loop_defer(f->sink->loop, &f->pump);
}

static void leave(struct frame *f, struct sink_item *it)
{
    uint64_t sequence = it->message.sequence;
    sink_queue_remove(&f->queue, it);
    if (f->log) { /* in order: the oldest that is left is the first that is not done with */
        uint64_t done =
            f->queue.n == 0
                ? MAX_OF(sequence, f->read_next - 1)
                : CONTAINER_OF(f->queue.items.next, struct sink_item, link)->message.sequence - 1;
        sink_log_acknowledge(f->log, done);
    }
}

void sink_done(struct sink *s, uint64_t sequence, int code, const char *why)
{
    struct frame *f = s->frame;
    struct sink_item *it = sink_queue_find(&f->queue, sequence);
    assert(it && it->under_way);
    it->under_way = false;
    f->queue.under_way--;
    if (code == 0) {
        s->sent++;
        f->failures = 0;
        trouble(s, NULL);
        leave(f, it);
    } else if (err_retryable(code) && (f->retries < 0 || it->attempts <= f->retries)) {
        trouble(s, why ? why : err_text(code));
        pause_after_failure(f);
    } else {
        s->errors++;
        trouble(s, why ? why : err_text(code));
        leave(f, it);
    }
    loop_defer(s->loop, &f->pump);
}

/* ---- life ---- */

static void on_linger(void *arg)
{
    struct frame *f = arg;
    (void)shard_hold(f->shard);
    shard_settle(f->shard); /* what it made before goes first */
    sink_encoder_flush(f->encoder);
    shard_release(f->shard);
}

static int on_note(void *arg, struct buf *out, struct err *err)
{
    struct sink *s = arg;
    return s->ops->note(s, out, err);
}

static int open_log(struct sink *s, struct frame *f, struct err *err)
{
    struct sink_log_stats st;
    int64_t limit = json_i64(json_get(s->conf, "cacheBytes"), CACHE_BYTES_DEFAULT);
    if (!s->data->dir) {
        return err_set(err, -E_INVAL, "enableCache needs a state folder");
    }
    CLEANUP(mem_freep)
    char *folder = mem_printf("%s/cache/%s/%u", s->data->dir, s->rule, s->index);
    int rc = folder && limit > 0 ? sink_log_open(folder, (uint64_t)limit, &f->log, err)
                                 : err_set(err, -E_INVAL, "cacheBytes must be above 0");
    if (rc == 0) {
        sink_log_stats(f->log, &st);
        f->read_next = st.first;
        if (f->qos > 0) {
            sink_log_refuse(f->log);
        }
        if (s->ops->note) {
            sink_log_notes(f->log, on_note, s);
        }
    }
    return rc;
}

static int read_conf(struct sink *s, struct frame *f, struct err *err)
{
    const struct json *c = s->conf;
    bool cache = json_true(json_get(c, "enableCache"), false) || f->qos == 2;
    cache = cache && !s->ops->values;
    f->buffer_length = (size_t)MAX_OF(json_i64(json_get(c, "bufferLength"), BUFFER_DEFAULT), 1);
    f->retries = json_i64(json_get(c, "retryCount"), cache || f->qos > 0 ? -1 : RETRIES_DEFAULT);
    f->retry_ms = MAX_OF(json_i64(json_get(c, "retryInterval"), RETRY_MS_DEFAULT), 1);
    f->retry_max_ms = MAX_OF(json_i64(json_get(c, "retryMaxInterval"), RETRY_MS_MAX), f->retry_ms);
    f->refuse_newest = json_true(json_get(c, "disableBufferFullDiscard"), false);
    f->clean_at_stop = json_true(json_get(c, "cleanCacheAtStop"), false);
    return cache ? open_log(s, f, err) : 0;
}

static void free_sink(struct sink *s)
{
    struct frame *f = s->frame;
    if (f) {
        io_task_cancel(&f->pump);
        io_timer_stop(&f->retry);
        free_timer(f->linger);
        free_timer(f->grace);
        free_timer(f->space);
        sink_encoder_free(f->encoder);
        sink_queue_clear(&f->queue);
        sink_queue_clear(&f->held);
        if (f->clean_at_stop && f->log) {
            sink_log_destroy(f->log);
        } else {
            sink_log_close(f->log);
        }
        mem_free(f);
    }
    arena_fini(&s->arena);
    mem_free(s->trouble);
    mem_free(s);
}

static int make_frame(struct sink *s, unsigned qos, struct err *err)
{
    struct frame *f = mem_zalloc(sizeof(*f));
    if (!f) {
        return err_sys(err, -E_NOMEM, "open a sink");
    }
    s->frame = f;
    f->sink = s;
    f->qos = qos;
    sink_queue_init(&f->queue);
    sink_queue_init(&f->held);
    io_task_init(&f->pump, on_pump, f);
    io_timer_init(s->loop, &f->retry, on_retry, f);
    int rc = read_conf(s, f, err);
    return rc < 0 ? rc
                  : sink_encoder_new(s->data, s->conf, s->ops->values, on_ready, f,
                                     on_linger_wanted, &f->encoder, err);
}

int sink_open_with(struct data *d, const struct sink_ops *ops, const char *rule, uint32_t index,
                   const struct json *conf, unsigned qos, struct sink **ret, struct err *err)
{
    struct sink *s = mem_zalloc(ops->size);
    if (!s) {
        return err_sys(err, -E_NOMEM, "open a sink");
    }
    s->ops = ops;
    s->data = d;
    s->loop = d->loop;
    s->index = index;
    arena_init_sized(&s->arena, 0, 32);
    s->rule = rule;
    s->conf = ops->reads_conf ? json_clone(&s->arena, conf) : conf;
    int rc =
        arena_failed(&s->arena) ? err_sys(err, -E_NOMEM, "open a sink") : make_frame(s, qos, err);
    rc = rc < 0 ? rc : ops->open(s, err);
    if (rc < 0) {
        rc = err_wrap(err, rc, "rule %s: action %u: %s", rule, index, ops->type);
        free_sink(s);
        return rc;
    }
    struct frame *f = s->frame;
    f->open = true;
    s->conf = ops->reads_conf ? s->conf : NULL;
    loop_defer(s->loop, &f->pump); /* what a log holds from before */
    *ret = s;
    return 0;
}

int sink_open(struct data *d, const char *rule, uint32_t index, const struct json *action,
              unsigned qos, struct sink **ret, struct err *err)
{
    JSON_FOR_EACH_MEMBER (m, action) {
        const struct sink_ops *ops = sink_find(str_n(m->key, m->key_n));
        if (ops) {
            return sink_open_with(d, ops, rule, index, m->value, qos, ret, err);
        }
        return err_set(err, -E_INVAL, "unknown action type '%s'", m->key);
    }
    return err_set(err, -E_INVAL, "an action is {\"kind\": {...}}");
}

void sink_close(struct sink *s)
{
    if (s) {
        struct frame *f = s->frame;
        sink_encoder_flush(f->encoder);
        if (!f->log) {
            send_next(f); /* what came from a shard in this very tick */
        }
        f->open = false;
        s->ops->close(s);
        if (f->log) {
            sink_log_notes(f->log, NULL, NULL); /* the last one stays */
        }
        s->dropped += f->log ? f->held.n : f->queue.n;
        free_sink(s);
    }
}

void sink_flush(struct sink *s, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    struct frame *f = s->frame;
    sink_encoder_flush(f->encoder);
    f->flushed = done;
    f->flushed_arg = arg;
    start_timer(f, &f->grace, on_grace, MAX_OF(grace_ms, 1));
    loop_defer(s->loop, &f->pump);
}

void sink_take(struct sink *s, struct batch *results, bool single, bool nulls)
{
    struct frame *f = s->frame;
    struct err err;
    if (sink_encoder_take(f->encoder, results, single, nulls, &err) < 0) {
        take_failed(s, err.text);
    }
}

void sink_set_shard(struct sink *s, struct shard *shard)
{
    struct frame *f = s->frame;
    f->shard = shard;
}

void sink_collect(struct sink *s, struct batch *results, bool single, bool nulls)
{
    struct frame *f = s->frame;
    struct err err;
    struct collected *c = mem_zalloc(sizeof(*c));
    if (!c) {
        log_warn("rule %s: sink %s: out of memory, results dropped", s->rule, s->ops->type);
        return;
    }
    c->note.fn = on_collected;
    c->frame = f;
    c->linger_ms = -1;
    list_init(&c->items);
    f->collecting = c;
    if (sink_encoder_take(f->encoder, results, single, nulls, &err) < 0) {
        c->failed = true;
        c->why = mem_strdup(err.text);
    }
    f->collecting = NULL;
    shard_post(f->shard, &c->note);
}

/* ---- for connectors ---- */

const char *sink_note(const struct sink *s)
{
    const struct frame *f = s->frame;
    return f->log ? sink_log_note(f->log) : "";
}

int sink_settle(struct sink *s, struct err *err)
{
    struct frame *f = s->frame;
    return f->log ? sink_log_settle(f->log, err) : 0;
}

bool sink_key(const struct sink *s, uint64_t sequence, char *out, size_t n)
{
    const struct frame *f = s->frame;
    struct sink_log_stats st;
    struct buf b = BUF_INIT;
    if (!f->log) {
        return false;
    }
    sink_log_stats(f->log, &st);
    for (const char *c = s->rule; *c; c++) {
        bool plain = (*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
                     (*c >= 'A' && *c <= 'Z') || *c == '-' || *c == '_' || *c == '.';
        (void)(plain ? buf_putc(&b, *c) : buf_printf(&b, "%%%02X", (unsigned char)*c)); /* sticky */
    }
    (void)buf_printf(&b, "/%u/%" PRIx64 "/%" PRIu64, s->index, st.epoch, sequence); /* sticky */
    CLEANUP(mem_freep) char *text = buf_take(&b, NULL);
    buf_fini(&b);
    return text && cstr_copy(out, n, text);
}

/* ---- checkpoints ---- */

int sink_mark(struct sink *s, struct sink_mark *ret, struct err *err)
{
    struct frame *f = s->frame;
    struct sink_log_stats st;
    sink_encoder_flush(f->encoder);
    if (!f->log) {
        *ret = (struct sink_mark){.sequence = f->sequence};
        return 0;
    }
    int rc = sync_log(f, err);
    if (rc == 0 && f->held.n > 0) {
        rc = err_set(err, -E_NOSPACE, "the queue on disk takes no more");
    }
    if (rc == 0) {
        sink_log_stats(f->log, &st);
        *ret = (struct sink_mark){.epoch = st.epoch, .sequence = st.next - 1};
    }
    return rc;
}

bool sink_reached(const struct sink *s, const struct sink_mark *m)
{
    const struct frame *f = s->frame;
    return f->log || list_empty(&f->queue.items) ||
           CONTAINER_OF(f->queue.items.next, struct sink_item, link)->message.sequence >
               m->sequence;
}

void sink_release(struct sink *s, const struct sink_mark *m)
{
    struct frame *f = s->frame;
    f->released = MAX_OF(f->released, m->sequence);
    loop_defer(s->loop, &f->pump);
}

int sink_resume(struct sink *s, const struct sink_mark *m, struct err *err)
{
    struct frame *f = s->frame;
    struct sink_log_stats st;
    if (f->qos < 2 || !f->log) {
        return 0;
    }
    int rc = sink_log_hold(f->log, err);
    sink_log_stats(f->log, &st);
    rc = rc < 0 ? rc : sink_log_cut(f->log, m && m->epoch == st.epoch ? m->sequence : 0, err);
    sink_log_stats(f->log, &st);
    f->released = st.first - 1; /* until the first checkpoint of this life is on the disk */
    return rc;
}

bool sink_congested(const struct sink *s)
{
    const struct frame *f = s->frame;
    return f->log
               ? f->held.n > 0
               : f->queue.n >= (f->buffer_length + 1) / 2 || f->queue.bytes >= QUEUE_BYTES_MAX / 2;
}

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

#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "data_private.h"
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

struct frame {
    struct sink *sink;
    struct sink_encoder *encoder;
    struct sink_queue queue;
    struct sink_log *log; /* enableCache; NULL = memory alone */
    uint64_t read_next;   /* of the log: sequence that is read next */
    uint64_t sequence;    /* of the last message without a log */
    size_t buffer_length;
    int64_t retries; /* of a message; < 0 = without end */
    int64_t retry_ms, retry_max_ms;
    bool refuse_newest; /* disableBufferFullDiscard */
    bool clean_at_stop;
    bool open;
    bool dirty;        /* appended since the last sync */
    unsigned failures; /* in a row */
    struct io_task pump;
    struct io_timer retry, linger;
    struct io_timer grace;
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

/* ---- what waits ---- */

/* With a log, what is on the disk is safe; what cannot be delivered now waits for the next start.
 */
static bool idle(const struct frame *f)
{
    return f->log ? !f->dirty : f->queue.n == 0;
}

static void look_flushed(struct frame *f)
{
    if (f->flushed && idle(f)) {
        void (*fn)(void *) = TAKE_PTR(f->flushed);
        io_timer_stop(&f->grace);
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

static bool full(const struct frame *f)
{
    return f->queue.n >= f->buffer_length || f->queue.bytes >= QUEUE_BYTES_MAX;
}

/* A message of the encoder: into the log, or into memory. Takes the item. */
static void enqueue(void *arg, struct sink_item *it)
{
    struct frame *f = arg;
    struct sink *s = f->sink;
    struct err err;
    s->in++;
    if (f->log) {
        uint64_t sequence;
        if (sink_log_append(f->log, it->message.bytes, &sequence, &err) < 0) {
            s->dropped++;
            trouble(s, err.text);
        }
        f->dirty = true;
        sink_item_free(it);
    } else if (full(f) && f->refuse_newest) {
        s->errors++;
        sink_item_free(it);
    } else {
        if (full(f)) {
            drop_oldest(f);
        }
        it->message.sequence = ++f->sequence;
        sink_queue_push(&f->queue, it);
    }
    loop_defer(s->loop, &f->pump);
}

/* ---- sending ---- */

static unsigned window_of(const struct frame *f)
{
    return f->sink->ops->window ? f->sink->ops->window : WINDOW_DEFAULT;
}

/* Fills the queue from the log. */
static void read_log(struct frame *f)
{
    while (f->queue.n < window_of(f)) {
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

static void on_pump(void *arg)
{
    struct frame *f = arg;
    struct err err;
    if (f->log && f->dirty) {
        if (sink_log_sync(f->log, &err) < 0) {
            trouble(f->sink, err.text);
            pause_after_failure(f);
        } else {
            f->dirty = false;
        }
    }
    if (f->log && !f->dirty) {
        read_log(f);
    }
    send_next(f);
    look_flushed(f);
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
    sink_encoder_flush(f->encoder);
}

static void on_grace(void *arg)
{
    struct frame *f = arg;
    void (*fn)(void *) = TAKE_PTR(f->flushed);
    if (fn) {
        fn(f->flushed_arg);
    }
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
    }
    return rc;
}

static int read_conf(struct sink *s, struct frame *f, struct err *err)
{
    const struct json *c = s->conf;
    bool cache = json_true(json_get(c, "enableCache"), false) && !s->ops->values;
    f->buffer_length = (size_t)MAX_OF(json_i64(json_get(c, "bufferLength"), BUFFER_DEFAULT), 1);
    f->retries = json_i64(json_get(c, "retryCount"), cache ? -1 : RETRIES_DEFAULT);
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
        io_timer_stop(&f->linger);
        io_timer_stop(&f->grace);
        sink_encoder_free(f->encoder);
        sink_queue_clear(&f->queue);
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

static int make_frame(struct sink *s, struct err *err)
{
    struct frame *f = mem_zalloc(sizeof(*f));
    if (!f) {
        return err_sys(err, -E_NOMEM, "open a sink");
    }
    s->frame = f;
    f->sink = s;
    sink_queue_init(&f->queue);
    io_task_init(&f->pump, on_pump, f);
    io_timer_init(s->loop, &f->retry, on_retry, f);
    io_timer_init(s->loop, &f->linger, on_linger, f);
    io_timer_init(s->loop, &f->grace, on_grace, f);
    int rc = read_conf(s, f, err);
    return rc < 0 ? rc
                  : sink_encoder_new(s->conf, s->ops->values, enqueue, f, &f->linger, &f->encoder,
                                     err);
}

int sink_open_with(struct data *d, const struct sink_ops *ops, const char *rule, uint32_t index,
                   const struct json *conf, struct sink **ret, struct err *err)
{
    struct sink *s = mem_zalloc(ops->size);
    if (!s) {
        return err_sys(err, -E_NOMEM, "open a sink");
    }
    s->ops = ops;
    s->data = d;
    s->loop = d->loop;
    s->index = index;
    arena_init_small(&s->arena, 0);
    s->rule = arena_strdup(&s->arena, rule);
    s->conf = conf ? json_clone(&s->arena, conf) : json_object(&s->arena);
    int rc = arena_failed(&s->arena) ? err_sys(err, -E_NOMEM, "open a sink") : make_frame(s, err);
    rc = rc < 0 ? rc : ops->open(s, err);
    if (rc < 0) {
        rc = err_wrap(err, rc, "rule %s: action %u: %s", rule, index, ops->type);
        free_sink(s);
        return rc;
    }
    struct frame *f = s->frame;
    f->open = true;
    loop_defer(s->loop, &f->pump); /* what a log holds from before */
    *ret = s;
    return 0;
}

int sink_open(struct data *d, const char *rule, uint32_t index, const struct json *action,
              struct sink **ret, struct err *err)
{
    JSON_FOR_EACH_MEMBER (m, action) {
        const struct sink_ops *ops = sink_find(str_n(m->key, m->key_n));
        if (ops) {
            return sink_open_with(d, ops, rule, index, m->value, ret, err);
        }
        return err_set(err, -E_INVAL, "unknown action type '%s'", m->key);
    }
    return err_set(err, -E_INVAL, "an action is {\"kind\": {...}}");
}

void sink_close(struct sink *s)
{
    if (s) {
        struct frame *f = s->frame;
        f->open = false;
        sink_encoder_flush(f->encoder);
        s->ops->close(s);
        s->dropped += f->log ? 0 : f->queue.n;
        free_sink(s);
    }
}

void sink_flush(struct sink *s, int64_t grace_ms, void (*done)(void *arg), void *arg)
{
    struct frame *f = s->frame;
    sink_encoder_flush(f->encoder);
    f->flushed = done;
    f->flushed_arg = arg;
    io_timer_start(&f->grace, MAX_OF(grace_ms, 1), 0);
    loop_defer(s->loop, &f->pump);
}

void sink_take(struct sink *s, struct batch *results, bool single, bool nulls)
{
    struct frame *f = s->frame;
    struct err err;
    if (sink_encoder_take(f->encoder, results, single, nulls, &err) < 0) {
        s->errors++;
        trouble(s, err.text);
    }
}

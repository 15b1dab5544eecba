/* SPDX-License-Identifier: Apache-2.0 */
/* Events on the disk before anybody sees them; see source_inbox.h. */
#include "source_inbox.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/mem.h"
#include "part/data/data_private.h"
#include "part/data/replay.h"
#include "part/data/sink/sink_log.h"

#define INBOX_BYTES ((uint64_t)256 << 20)
#define HEAD 12
#define TURN_EVENTS 256
#define TURN_BYTES ((size_t)1 << 20)
#define AGAIN_MS 20
#define HURRY_US INT64_C(1000000)

struct source_inbox {
    struct source *source;
    struct sink_log *log;
    uint64_t next; /* to the engine */
    bool dirty;    /* appended since the last sync */
    bool refused;  /* something since the last inbox_sync() */
    struct mono hurried;
    struct io_task task;
    struct io_timer again; /* sinks are congested, or a disk is full */
};

/* ---- in ---- */

static void put(struct buf *b, uint64_t v, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        (void)buf_putc(b, (char)(unsigned char)(v >> (8 * i))); /* sticky */
    }
}

static int append(struct source_inbox *b, const struct payload *p, struct err *err)
{
    struct buf meta = BUF_INIT, record = BUF_INIT;
    uint64_t sequence;
    int rc = p->meta.type == VALUE_OBJECT ? value_print_json(&meta, &p->meta) : 0;
    put(&record, (uint64_t)p->arrival_us, 8);
    put(&record, buf_len(&meta), 4);
    (void)buf_append_str(&record, buf_str(&meta)); /* sticky */
    (void)buf_append_str(&record, p->bytes);
    rc = rc < 0 || buf_failed(&record) ? err_sys(err, -E_NOMEM, "keep an event")
                                       : sink_log_append(b->log, buf_str(&record), &sequence, err);
    buf_fini(&meta);
    buf_fini(&record);
    return rc;
}

void inbox_take(struct source_inbox *b, const struct payload *payloads, uint32_t n)
{
    struct source *s = b->source;
    struct err err;
    for (uint32_t i = 0; i < n && !b->refused; i++) { /* in order: none behind a refused one */
        int rc = append(b, &payloads[i], &err);
        if (rc == -E_TOOBIG) {
            s->errors++; /* for ever: its sender is not to try again */
        } else if (rc < 0) {
            source_told(s, s->connected, err.text);
            b->refused = true;
            s->errors += n - i;
        } else {
            b->dirty = true;
        }
    }
    loop_defer(s->loop, &b->task);
}

int inbox_sync(struct source_inbox *b)
{
    struct err err;
    bool refused = b->refused;
    b->refused = false;
    if (b->dirty && sink_log_sync(b->log, &err) < 0) {
        source_told(b->source, b->source->connected, err.text);
        return -E_IO;
    }
    b->dirty = false;
    if (!refused && b->source->connected && b->source->trouble) {
        source_told(b->source, true, NULL); /* there is room again */
    }
    return refused ? -E_NOSPACE : 0;
}

/* ---- out ---- */

static uint64_t get(const char *p, unsigned bytes)
{
    uint64_t v = 0;
    for (unsigned i = 0; i < bytes; i++) {
        v |= (uint64_t)(unsigned char)p[i] << (8 * i);
    }
    return v;
}

/* A record as an event whose texts lie in the arena; false: it is none. */
static bool read_event(struct arena *a, struct str record, struct payload *ret)
{
    struct json *j;
    const char *p = arena_dup(a, record.p, record.n);
    if (!p || record.n < HEAD || get(p + 8, 4) > record.n - HEAD) {
        return false;
    }
    size_t n = (size_t)get(p + 8, 4);
    *ret = (struct payload){.arrival_us = (int64_t)get(p, 8),
                            .bytes = str_n(p + HEAD + n, record.n - HEAD - n)};
    if (n > 0 && json_parse(a, str_n(p + HEAD, n), NULL, &j, NULL) == 0) {
        ret->meta = value_from_json(a, j);
    }
    return true;
}

/* Records in a row, as many as a turn may take; *ret_first is the sequence of the first. */
static uint32_t read_events(struct source_inbox *b, struct arena *a, struct payload *ret,
                            uint64_t *ret_first)
{
    struct buf record = BUF_INIT;
    struct err err;
    uint64_t sequence, expected = b->next;
    uint32_t n = 0;
    size_t bytes = 0;
    while (n < TURN_EVENTS && bytes < TURN_BYTES &&
           sink_log_read(b->log, expected, &record, &sequence, &err) == 1) {
        if (n > 0 && sequence != expected) {
            break; /* behind damage: by itself */
        }
        *ret_first = n == 0 ? sequence : *ret_first;
        if (!read_event(a, buf_str(&record), &ret[n])) {
            ret[n] = (struct payload){.bytes = STR_LIT("")}; /* no event of any format: counted */
        }
        bytes += buf_len(&record);
        expected = sequence + 1;
        n++;
    }
    buf_fini(&record);
    return n;
}

/* Too much waits for a checkpoint: rules take one before their time. */
static void hurry(struct source_inbox *b)
{
    struct sink_log_stats st;
    struct data_stream *ds = engine_stream_data(b->source->stream);
    struct mono now = mono_now();
    sink_log_stats(b->log, &st);
    if (st.bytes > INBOX_BYTES / 2 && now.us - b->hurried.us > HURRY_US) {
        b->hurried = now;
        replay_hurry(ds);
    }
}

static void turn(void *arg)
{
    struct source_inbox *b = arg;
    struct payload events[TURN_EVENTS];
    struct arena a;
    uint64_t first = 0;
    if (b->dirty && inbox_sync(b) < 0) {
        b->refused = true; /* it is told to the sender, who asks later */
    }
    if (b->dirty || source_congested(b->source) || !source_ready(b->source)) {
        io_timer_start(&b->again, AGAIN_MS, 0);
        return;
    }
    arena_init(&a, 0);
    uint32_t n = read_events(b, &a, events, &first);
    if (n > 0) {
        b->next = first;
        source_process(b->source, events, n);
        b->next = first + n;
        loop_defer(b->source->loop, &b->task);
    }
    arena_fini(&a);
    hurry(b);
}

static void on_again(void *arg)
{
    struct source_inbox *b = arg;
    loop_defer(b->source->loop, &b->task);
}

/* ---- places ---- */

void inbox_place(const struct source_inbox *b, struct source_place *ret)
{
    struct sink_log_stats st;
    sink_log_stats(b->log, &st);
    *ret = (struct source_place){.event = b->next, .identity = st.epoch};
}

int inbox_check(const struct source_inbox *b, const struct source_place *p, struct err *err)
{
    struct sink_log_stats st;
    sink_log_stats(b->log, &st);
    return p->identity == st.epoch && p->event <= st.next
               ? 0
               : err_set(err, -E_NOENT, "its inbox was removed");
}

void inbox_seek(struct source_inbox *b, const struct source_place *to)
{
    b->next = to->event;
    loop_defer(b->source->loop, &b->task);
}

void inbox_covered(struct source_inbox *b, const struct source_place *upto)
{
    if (upto->event > 1) {
        sink_log_acknowledge(b->log, upto->event - 1);
    }
}

void inbox_name(const struct source_inbox *b, char *out, size_t n)
{
    struct sink_log_stats st;
    sink_log_stats(b->log, &st);
    (void)snprintf(out, n, "selvedge-%" PRIx64, st.epoch); /* fits */
}

/* ---- life ---- */

int inbox_open(struct source *s, struct source_inbox **ret, struct err *err)
{
    struct sink_log_stats st;
    *ret = NULL;
    if (!s->data->dir) {
        return 0;
    }
    struct source_inbox *b = mem_zalloc(sizeof(*b));
    CLEANUP(mem_freep) char *folder = mem_printf("%s/inbox/%s", s->data->dir, s->name);
    int rc = b && folder ? sink_log_open(folder, INBOX_BYTES, &b->log, err)
                         : err_sys(err, -E_NOMEM, "open the inbox");
    if (rc < 0) {
        mem_free(b);
        return rc;
    }
    sink_log_refuse(b->log);
    sink_log_stats(b->log, &st);
    b->source = s;
    b->next = st.next;
    io_task_init(&b->task, turn, b);
    io_timer_init(s->loop, &b->again, on_again, b);
    *ret = b;
    return 0;
}

void inbox_close(struct source_inbox *b)
{
    if (b) {
        io_task_cancel(&b->task);
        io_timer_stop(&b->again);
        sink_log_close(b->log);
        mem_free(b);
    }
}

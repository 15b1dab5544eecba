/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: time, and events in. */
#include "engine.h"

#include "engine_private.h"

#include "base/limits.h"
#include "io/zone.h"

#define TURNS_MAX 128 /* more than sub-queries can nest */

/* ---- life ---- */

int engine_new(const struct engine_options *opts, int64_t now_us, struct engine **ret,
               struct err *err)
{
    struct engine *e = mem_zalloc(sizeof(*e));
    if (!e) {
        return err_sys(err, -E_NOMEM, "start the engine");
    }
    e->opts = *opts;
    e->opts.zone = NULL; /* borrowed: not to be used later */
    e->now_us = now_us;
    list_init(&e->stream_order);
    e->wheel = wheel_new(now_us);
    shape_init(&e->error_shape);
    int rc = e->wheel && shape_add(&e->error_shape, STR_LIT("error"), VALUE_STRING) == 0
                 ? 0
                 : err_sys(err, -E_NOMEM, "start the engine");
    if (rc == 0 && opts->zone) {
        e->zone_name = mem_strdup(opts->zone);
        rc = e->zone_name ? zone_load(opts->zone, &e->zone, err)
                          : err_sys(err, -E_NOMEM, "start the engine");
    }
    if (rc < 0) {
        engine_free(e);
        return rc;
    }
    *ret = e;
    return 0;
}

void engine_free(struct engine *e)
{
    if (!e) {
        return;
    }
    for (bool some = true; some;) {
        some = false;
        MAP_FOR_EACH (slot, &e->rules) {
            rule_free(slot->value); /* leaves the map */
            some = true;
            break;
        }
    }
    map_fini(&e->rules, NULL);
    catalog_free(e);
    wheel_free(e->wheel);
    shape_fini(&e->error_shape);
    zone_free(e->zone);
    mem_free(e->zone_name);
    mem_free(e);
}

/* ---- time ---- */

int engine_advance(struct engine *e, int64_t now_us)
{
    if (now_us > e->now_us) {
        e->now_us = now_us;
    }
    /* What fires may give rows to the pipeline around it, which then waits for this time as well.
     */
    for (int turn = 0; turn < TURNS_MAX && (turn == 0 || wheel_next(e->wheel) <= e->now_us);
         turn++) {
        wheel_turn(e->wheel, e->now_us);
    }
    return 0;
}

int64_t engine_next(const struct engine *e)
{
    return wheel_next(e->wheel);
}

int64_t engine_now(const struct engine *e)
{
    return e->now_us;
}

/* ---- events in ---- */

static void tell_rules(struct engine_stream *s, const struct err *err)
{
    for (struct list *at = s->taps.next; at != &s->taps; at = at->next) {
        pipeline_error(CONTAINER_OF(at, struct tap, link)->pipeline, "error in preprocessor", err);
    }
}

void stream_refused(struct engine_stream *s, const struct err *err)
{
    s->errors++;
    tell_rules(s, err);
}

static void on_refused(void *arg, const struct payload *p, const struct err *err)
{
    (void)p;
    stream_refused(arg, err);
}

static int deliver(struct engine_stream *s, struct batch *b)
{
    int rc = 0;
    b->sequence = s->sequence;
    s->sequence += b->rows;
    s->rows += b->rows;
    for (uint32_t i = 0; s->table && rc == 0 && i < b->rows; i++) {
        rc = stream_keep_row(s, b, i);
    }
    return rc < 0 || b->rows == 0 || s->lookup ? rc : stream_spread(s, b);
}

int engine_push(struct engine *e, struct engine_stream *s, const struct payload *payloads,
                uint32_t n)
{
    uint32_t at = 0;
    int rc = 0;
    (void)e;
    if (list_empty(&s->taps) && !s->table) {
        s->rows += n; /* nobody reads it: spare the work */
        return 0;
    }
    while (at < n) {
        struct batch *b = batch_new(&s->shape, 0);
        int code = b ? decoder_decode(s->decoder, payloads, n, &at, b, on_refused, s) : -E_NOMEM;
        if (code < 0 && code != -E_LIMIT) { /* a full batch goes on, the next takes the rest */
            at++;
            rc = code;
        }
        int sent = b ? deliver(s, b) : 0;
        rc = sent < 0 ? sent : rc;
        batch_unref(b);
        if (!b) {
            return -E_NOMEM;
        }
    }
    return rc;
}

/* ---- values in ---- */

/* The event as the shape declares it is not converted: values have their types already. They are
 * copied, once: the batch may be kept. */
static int fill_columns(struct engine_stream *s, struct batch *b, const struct value *events,
                        uint32_t n)
{
    for (uint32_t i = 0; b->whole && i < n; i++) {
        b->whole[i] = value_copy(&b->arena, &events[i]);
    }
    events = b->whole ? b->whole : events;
    for (uint32_t c = 0; c < s->shape.n; c++) {
        struct value *column = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*column));
        for (uint32_t i = 0; column && i < n; i++) {
            const struct value *found = value_get(&events[i], s->shape.fields[c].name);
            column[i] = !found     ? s->shape.fields[c].fallback
                        : b->whole ? *found
                                   : value_copy(&b->arena, found);
        }
        if (column) {
            column_from_values(b, &b->columns[c], column);
        }
    }
    return arena_failed(&b->arena) ? -E_NOMEM : 0;
}

static int64_t event_time(const struct engine_stream *s, const struct value *event,
                          int64_t arrival_us)
{
    struct str name = engine_stream_option(s, "TIMESTAMP");
    const struct value *v = name.n > 0 ? value_get(event, name) : NULL;
    struct wall w;
    return v && function_instant(v, &w, NULL) == 0 ? w.us : arrival_us;
}

int engine_push_values(struct engine *e, struct engine_stream *s, const struct value *events,
                       const struct value *meta, const int64_t *arrival_us, uint32_t n)
{
    int rc = 0;
    if (list_empty(&s->taps) && !s->table) {
        s->rows += n;
        return 0;
    }
    for (uint32_t at = 0; rc == 0 && at < n; at += BATCH_ROWS) {
        uint32_t part = MIN_OF(n - at, (uint32_t)BATCH_ROWS);
        struct batch *b = batch_new(&s->shape, 0);
        if (!b) {
            return -E_NOMEM;
        }
        b->rows = part;
        if (engine_stream_option(s, "TIMESTAMP").n > 0) {
            b->arrival_us = arena_alloc(&b->arena, part * sizeof(*b->arrival_us));
        }
        for (uint32_t i = 0; i < part; i++) {
            int64_t arrival = arrival_us ? arrival_us[at + i] : e ? e->now_us : 0;
            b->time_us[i] = event_time(s, &events[at + i], arrival);
            if (b->arrival_us) {
                b->arrival_us[i] = arrival;
            }
        }
        if (meta && s->shape.meta) {
            b->meta = arena_alloc(&b->arena, part * sizeof(*meta));
        }
        for (uint32_t i = 0; b->meta && i < part; i++) {
            b->meta[i] = value_copy(&b->arena, &meta[at + i]);
        }
        rc = fill_columns(s, b, events + at, part);
        rc = rc < 0 ? rc : deliver(s, b);
        batch_unref(b);
    }
    return rc;
}

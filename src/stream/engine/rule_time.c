/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time of a pipeline: its timer on the engine's clock, and in event time the watermark: rows in
 * their order, late rows, and what the pipelines around a sub-query are told. Time goes outward:
 * when a sub-query has come to a time, nothing earlier can come out of it, so the pipelines that
 * read its result come to that time too.
 */
#include "engine_private.h"

static int64_t now_of(const struct pipeline *p)
{
    return p->rule->engine->now_us;
}

static void failed(struct pipeline *p, const char *clause, const char *what)
{
    struct err err;
    (void)err_sys(&err, -E_NOMEM, "%s of rule %s was dropped", what, p->rule->id);
    pipeline_error(p, clause, &err);
}

/* ---- the timer ---- */

static void on_timer(struct wheel_timer *t, int64_t now_us)
{
    struct pipeline *p = CONTAINER_OF(t, struct pipeline, timer);
    if (pipeline_time(p, now_us) < 0) {
        failed(p, "window", "a window");
    }
}

int pipeline_arm(struct pipeline *p)
{
    int64_t next = p->window ? window_next(p->window) : p->match ? match_next(p->match) : INT64_MAX;
    struct wheel *w = p->rule->engine->wheel;
    if (p->watermark) { /* its clock is the watermark; idle sources need ours */
        next = p->rule->opts.idle_timeout_us > 0 ? now_of(p) + p->rule->opts.idle_timeout_us
                                                 : INT64_MAX;
    }
    if (next == INT64_MAX) {
        wheel_cancel(w, &p->timer);
    } else {
        wheel_arm(w, &p->timer, next, on_timer);
    }
    return 0;
}

int pipeline_time(struct pipeline *p, int64_t now_us)
{
    int rc = p->watermark ? watermark_tick(p->watermark, now_us)
             : p->window  ? window_advance(p->window, now_us)
             : p->match   ? pipeline_match_time(p, now_us)
                          : 0;
    return rc < 0 ? rc : pipeline_arm(p);
}

/* ---- event time ---- */

static void on_ordered(void *arg, uint32_t source, struct batch *b)
{
    struct pipeline *p = arg;
    struct selection sel;
    sel.n = b->rows;
    for (uint32_t i = 0; i < b->rows; i++) {
        sel.rows[i] = (uint16_t)i;
    }
    if (pipeline_rows(p, source, b, &sel, false) < 0) {
        failed(p, "event time", "a row");
    }
}

/* Of all pipelines that feed a hidden stream (UNION ALL), the least. */
static int64_t least_of(const struct rule *r, const struct engine_stream *hidden)
{
    int64_t least = INT64_MAX;
    for (struct list *at = r->pipelines.next; at != &r->pipelines; at = at->next) {
        const struct pipeline *p = CONTAINER_OF(at, struct pipeline, link);
        least = p->feeds == hidden ? MIN_OF(least, p->reached_us) : least;
    }
    return least;
}

/* The pipeline gives out nothing before `us` any more. As deep as sub-queries nest. */
static void has_reached(struct pipeline *p, int64_t us)
{
    p->reached_us = us;
    int64_t least = p->feeds ? least_of(p->rule, p->feeds) : INT64_MIN;
    if (least == INT64_MIN) {
        return;
    }
    LIST_FOR_EACH_SAFE (l, &p->feeds->taps) {
        struct tap *t = CONTAINER_OF(l, struct tap, link);
        if (!t->pipeline->watermark) { /* it passes rows on as they come */
            has_reached(t->pipeline, least);
        } else if (watermark_reach(t->pipeline->watermark, t->source, least, now_of(p)) < 0) {
            failed(t->pipeline, "event time", "a row");
        }
    }
}

static void on_watermark(void *arg, int64_t us)
{
    struct pipeline *p = arg;
    int rc = p->window ? window_advance(p->window, us) : p->match ? pipeline_match_time(p, us) : 0;
    if (rc < 0) {
        failed(p, "event time", "a window");
    }
    has_reached(p, us);
}

/* ---- late rows ---- */

/* Whether WHERE wants a late row. It cannot be asked where it may read analytic functions, which
 * have gone on without the row. */
static bool wants_late(struct pipeline *p, uint32_t source, struct batch *b, uint32_t row)
{
    struct selection sel = {.n = 1, .rows = {(uint16_t)row}};
    if (source > 0 || !p->plan->filter || p->analytics) {
        return true;
    }
    return pipeline_filter(p, b, NULL, &sel) == 0 && sel.n > 0;
}

/* 1 = windows that keep what they fired took the row, 0 = not, -ENOMEM. */
static int correct(struct pipeline *p, uint32_t source, const struct batch *b, uint32_t row)
{
    if (!p->window || p->analytics || p->rule->opts.allowed_lateness_us <= 0) {
        return 0;
    }
    struct row *r = batch_row(b, row);
    int rc = r ? window_correct(p->window, source, r) : -ENOMEM;
    row_unref(r);
    return rc;
}

static int tell_late(struct pipeline *p, const struct batch *b, uint32_t row)
{
    struct engine *e = p->rule->engine;
    p->late++;
    if (!p->rule->opts.late_topic || !e->opts.on_late) {
        return 0;
    }
    struct arena a;
    arena_init(&a, 0);
    struct value event = b->whole ? b->whole[row] : batch_object(&a, b, row, true);
    bool no_memory = arena_failed(&a);
    if (!no_memory) {
        e->opts.on_late(e->opts.arg, p->rule, &event);
    }
    arena_fini(&a);
    return no_memory ? -ENOMEM : 0;
}

static void on_late(void *arg, uint32_t source, struct batch *b, uint32_t row)
{
    struct pipeline *p = arg;
    if (!wants_late(p, source, b, row)) {
        return;
    }
    int rc = correct(p, source, b, row);
    if (rc < 0 || (rc == 0 && tell_late(p, b, row) < 0)) {
        failed(p, "event time", "a late row");
    }
}

int pipeline_watermark_open(struct pipeline *p, struct err *err)
{
    static const struct watermark_ops ops = {
        .rows = on_ordered, .time = on_watermark, .late = on_late};
    const struct rule_options *o = &p->rule->opts;
    uint32_t n = p->plan->n_sources;
    struct watermark_spec spec = {.n_sources = n,
                                  .tolerance_us = o->late_tolerance_us,
                                  .idle_us = o->idle_timeout_us,
                                  .memory_limit = o->memory_limit};
    const struct shape **shapes = arena_alloc(&p->plan->arena, n * sizeof(struct shape *));
    for (uint32_t i = 0; shapes && i < n; i++) {
        struct engine_stream *s = p->plan->sources[i].stream;
        s->shape.whole |= o->late_topic != NULL;
        shapes[i] = &s->shape;
        spec.tables |= i < 64 ? (uint64_t)p->plan->sources[i].table << i : 0;
        spec.told |= i < 64 ? (uint64_t)!s->engine << i : 0;
    }
    spec.shapes = shapes;
    int rc = shapes ? watermark_new(&spec, &ops, p, &p->watermark) : -E_NOMEM;
    return rc < 0 ? err_sys(err, rc, "start rule %s", p->rule->id) : 0;
}

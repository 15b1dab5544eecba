/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MATCH_RECOGNIZE at work: rows go into the matcher, what it finds goes as events into the hidden
 * stream that the SELECT around it reads. Results are gathered first and handed on behind the
 * matcher's back: they may come round to it, where a sink writes into a source.
 *
 * The time of a result is when the match was known, which never goes back; the last row of the
 * match may be older.
 */
#include "engine_private.h"

struct match_results {
    struct arena arena;
    struct value *events;
    int64_t *times;
    uint32_t n;
    int64_t known_us; /* time of what is being done */
};

static bool measured(const struct plan_match *m, struct str name)
{
    for (uint32_t i = 0; i < m->spec.n_measures; i++) {
        if (str_eq(m->names[i], name)) {
            return true;
        }
    }
    return false;
}

static struct value result_of(const struct plan_match *m, struct arena *a,
                              const struct value *measures, const struct row *row)
{
    bool all = m->spec.all_rows && row->whole.type == VALUE_OBJECT;
    uint32_t n = 0, whole = all ? row->whole.n : 0;
    struct value_member *to = arena_alloc(a, (whole + m->spec.n_measures + 1) * sizeof(*to));
    for (uint32_t i = 0; to && i < whole; i++) {
        if (!measured(m, row->whole.members[i].key)) {
            to[n++] = row->whole.members[i];
        }
    }
    for (uint32_t i = 0; to && i < m->spec.n_measures; i++) {
        bool absent = measures[i].type == VALUE_ABSENT;
        to[n++] = (struct value_member){m->names[i], absent ? VALUE_OF_NULL : measures[i]};
    }
    struct value object = {.type = VALUE_OBJECT, .n = n, .members = to};
    return value_copy(a, &object);
}

static void on_matched(void *arg, const struct value *measures, const struct row *row)
{
    struct pipeline *p = arg;
    struct match_results *r = p->match_results;
    size_t n = r->n;
    r->events =
        arena_grow(&r->arena, r->events, n * sizeof(*r->events), (n + 1) * sizeof(*r->events));
    r->times = arena_grow(&r->arena, r->times, n * sizeof(*r->times), (n + 1) * sizeof(*r->times));
    if (r->events && r->times) { /* else the arena has failed, which is told behind */
        r->events[n] = result_of(p->plan->match, &r->arena, measures, row);
        r->times[n] = r->known_us;
        r->n++;
    }
}

static void on_match_error(void *arg, const struct row *row, const struct err *err)
{
    struct pipeline *p = arg;
    (void)row;
    p->op_window.errors++;
    pipeline_error(p, "run MatchRecognize error", err);
}

int pipeline_match_open(struct pipeline *p)
{
    struct match_spec spec = p->plan->match->spec;
    spec.rule = &p->rule->eval;
    return match_new(&spec, on_matched, on_match_error, p, &p->match) < 0 ? -E_NOMEM : 0;
}

static void begin(struct pipeline *p, struct match_results *r)
{
    *r = (struct match_results){0};
    arena_init(&r->arena, 0);
    p->match_results = r;
}

static int finish(struct pipeline *p, struct match_results *r, int rc)
{
    p->match_results = NULL;
    if (rc < 0 || arena_failed(&r->arena)) {
        rc = -E_NOMEM;
    } else if (r->n > 0) {
        p->op_window.out += r->n;
        rc = engine_push_values(p->rule->engine, p->feeds, r->events, NULL, r->times, r->n);
    }
    arena_fini(&r->arena);
    return rc;
}

int pipeline_match_rows(struct pipeline *p, const struct batch *b, const struct selection *sel)
{
    struct match_results r;
    int rc = 0;
    begin(p, &r);
    p->op_window.in += sel->n;
    for (uint32_t i = 0; rc == 0 && i < sel->n; i++) {
        struct row *row = batch_row(b, sel->rows[i]);
        r.known_us = b->time_us[sel->rows[i]];
        rc = row ? match_push(p->match, row) : -E_NOMEM;
        row_unref(row);
    }
    return finish(p, &r, rc);
}

int pipeline_match_time(struct pipeline *p, int64_t us)
{
    struct match_results r;
    begin(p, &r);
    r.known_us = us;
    return finish(p, &r, match_advance(p->match, us));
}

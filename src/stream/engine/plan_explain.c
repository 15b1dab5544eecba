/* SPDX-License-Identifier: Apache-2.0 */
/* A plan as text, the last operator first, its inputs below it and further in. */
#include <stdarg.h>
#include <stdio.h>

#include "engine_private.h"

static const char *const window_names[] = {
    [AST_WINDOW_NONE] = "none",       [AST_WINDOW_TUMBLING] = "tumbling",
    [AST_WINDOW_HOPPING] = "hopping", [AST_WINDOW_SLIDING] = "sliding",
    [AST_WINDOW_SESSION] = "session", [AST_WINDOW_COUNT] = "count",
    [AST_WINDOW_STATE] = "state",
};

struct lines {
    struct buf *out;
    unsigned depth;
};

static void line(struct lines *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void line(struct lines *l, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    for (unsigned i = 0; i < l->depth; i++) {
        (void)buf_puts(l->out, "   "); /* sticky, as below */
    }
    (void)buf_printf(l->out, "%s\n", text);
    l->depth++;
}

static void window_line(struct lines *l, const struct window_spec *w)
{
    if (w->kind == AST_WINDOW_COUNT) {
        line(l, "Window: count, %lld rows, every %lld", (long long)w->length,
             (long long)(w->interval ? w->interval : w->length));
    } else if (w->kind == AST_WINDOW_STATE) {
        line(l, "Window: state");
    } else if (w->kind != AST_WINDOW_NONE) {
        line(l, "Window: %s, length %lld ms, interval %lld ms, delay %lld ms",
             window_names[w->kind], (long long)(w->length / 1000), (long long)(w->interval / 1000),
             (long long)(w->delay / 1000));
    }
}

static void explain_select(struct lines *l, const struct plan *p)
{
    line(l, "Project: %u fields%s%s", p->n_fields, p->distinct ? ", distinct" : "",
         p->columnar ? ", columnar" : "");
    if (p->limit >= 0) {
        line(l, "Limit: %lld", (long long)p->limit);
    }
    if (p->n_order > 0) {
        line(l, "Order: %u expressions", p->n_order);
    }
    if (p->unnests) {
        line(l, "Unnest");
    }
    if (p->having) {
        line(l, "Having");
    }
    if (p->window && p->window->grouped) {
        line(l, "Aggregate: %u keys, %u functions", p->window->n_keys, p->window->n_aggregates);
    }
    if (p->n_sources > 1) {
        line(l, "Join: %u sources", p->n_sources);
    }
    if (p->window) {
        window_line(l, p->window);
    }
    if (p->filter) {
        line(l, "Filter");
    }
    if (p->n_analytics > 0) {
        line(l, "Analytic: %u functions", p->n_analytics);
    }
}

int plan_explain(const struct plan *p, struct buf *out)
{
    struct lines l = {.out = out};
    if (p->match) {
        line(&l, "Match: %u parts, %u partition keys, within %lld ms", p->match->spec.n_steps,
             p->match->spec.n_partition, (long long)(p->match->spec.within_us / 1000));
    } else {
        explain_select(&l, p);
    }
    for (uint32_t i = 0; i < p->n_sources; i++) {
        const struct plan_source *s = &p->sources[i];
        unsigned depth = l.depth;
        line(&l, "Source: %s " STR_FMT ", %u fields decoded%s", s->table ? "table" : "stream",
             STR_ARG(s->name), s->stream->shape.n, s->stream->shape.whole ? ", whole events" : "");
        l.depth = depth;
    }
    return buf_failed(out) ? -E_NOMEM : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tumbling and hopping windows. Rows lie in slices between two cuts; a cut is where any window
 * begins or ends, so that each window is a whole number of slices.
 *
 * Invariant: slices are ascending by `until` and none lies wholly before the next window's start.
 */
#include "window_private.h"

#define EMPTY_MAX 1000
#define DAY_US (INT64_C(86400) * 1000000)

/* The least cut after t. */
static int64_t next_cut(struct window *w, int64_t t)
{
    const struct window_spec *s = &w->spec;
    int64_t end = natural_after(w, t, s->interval);
    if (s->kind == AST_WINDOW_TUMBLING) {
        return end;
    }
    if (str_iis(s->unit, "dd")) {
        return natural_after(w, t, DAY_US);
    }
    return MIN_OF(end, natural_after(w, t + s->length, s->interval) - s->length);
}

static int64_t start_of(struct window *w, int64_t end)
{
    if (w->spec.kind == AST_WINDOW_TUMBLING && w->last_end != INT64_MIN) {
        return w->last_end;
    }
    return natural_start(w, end, w->spec.length);
}

struct slice *slices_for(struct window *w, int64_t t)
{
    if (w->n_slices > 0) {
        struct slice *last = &w->slices[w->n_slices - 1];
        if (t >= last->from && t < last->until) {
            return last;
        }
    }
    int64_t until = next_cut(w, t);
    uint32_t i = w->n_slices;
    while (i > 0 && w->slices[i - 1].until >= until) {
        i--;
    }
    if (i < w->n_slices && w->slices[i].until == until) {
        w->slices[i].from = MIN_OF(w->slices[i].from, t);
        return &w->slices[i];
    }
    if (w->n_slices == w->cap_slices) {
        uint32_t cap = w->cap_slices ? w->cap_slices * 2 : 4;
        struct slice *slices = mem_realloc(w->slices, cap * sizeof(*slices));
        if (!slices) {
            return NULL;
        }
        w->slices = slices;
        w->cap_slices = cap;
    }
    if (i < w->n_slices) {
        memmove(&w->slices[i + 1], &w->slices[i], (w->n_slices - i) * sizeof(*w->slices));
    }
    w->n_slices++;
    w->slices[i] = (struct slice){.from = t, .until = until};
    return &w->slices[i];
}

static void align(struct window *w, int64_t t)
{
    w->next_end = natural_after(w, t, w->spec.interval);
}

bool slices_wants(struct window *w, int64_t t)
{
    if (w->next_end == INT64_MIN) {
        align(w, t);
        if (w->spec.event_time) {
            w->first_start = w->spec.kind == AST_WINDOW_HOPPING ? t - w->spec.interval : t;
        }
    }
    if (t < start_of(w, w->next_end)) {
        return false; /* all its windows have fired */
    }
    return w->spec.kind == AST_WINDOW_TUMBLING ||
           t >= natural_start(w, natural_after(w, t, w->spec.interval), w->spec.length);
}

int slices_push(struct window *w, struct kept *k)
{
    int64_t t = k->row->time_us;
    bool wanted = slices_wants(w, t);
    struct slice *slice = wanted ? slices_for(w, t) : NULL;
    if (!slice) {
        row_unref(k->row);
        row_unref(k->computed);
        return wanted ? -ENOMEM : 0;
    }
    return bag_add(w, &slice->bag, k);
}

static void drop_slices(struct window *w, int64_t before)
{
    uint32_t n = 0;
    while (n < w->n_slices && w->slices[n].until <= before) {
        bag_clear(w, &w->slices[n].bag);
        n++;
    }
    if (n == 0) {
        return;
    }
    memmove(w->slices, w->slices + n, (w->n_slices - n) * sizeof(*w->slices));
    w->n_slices -= n;
}

/* Emits the rows of [start, end); *ret_empty says that there were none. */
static int fire(struct window *w, const struct window_range *range, int64_t start, bool *ret_empty)
{
    int64_t end = range->end;
    uint32_t first = 0, last = 0;
    for (uint32_t i = 0; i < w->n_slices && w->slices[i].until <= end; i++) {
        first += w->slices[i].until <= start;
        last = i + 1;
    }
    uint32_t n = last > first ? last - first : 0;
    struct bag **bags = mem_alloc((n + 1) * sizeof(*bags));
    if (!bags) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        bags[i] = &w->slices[first + i].bag;
    }
    int rc = fire_bags(w, range, bags, n);
    mem_free(bags);
    *ret_empty = n == 0;
    return rc;
}

static int fire_next(struct window *w, bool *ret_empty)
{
    int64_t end = w->next_end, start = start_of(w, end);
    struct window_range range = {
        .start = w->first_start != INT64_MIN ? w->first_start : start, .end = end, .trigger = end};
    int rc = fire(w, &range, start, ret_empty);
    w->first_start = INT64_MIN;
    w->last_end = end;
    align(w, end);
    int64_t kept = start_of(w, w->next_end) - w->spec.lateness;
    if (w->spec.kind == AST_WINDOW_HOPPING && w->spec.lateness > 0) {
        kept -= w->spec.length; /* the windows of a late row begin so long before it */
    }
    drop_slices(w, kept);
    firings_forget(w, kept + 1);
    return rc;
}

/* Where the grid goes on after a long time without rows. */
static int64_t next_row_time(const struct window *w)
{
    for (uint32_t i = 0; i < w->n_slices; i++) {
        if (w->slices[i].until > w->last_end) {
            return MIN_OF(w->slices[i].from, w->now_us);
        }
    }
    return w->now_us;
}

int slices_advance(struct window *w)
{
    if (w->next_end == INT64_MIN && !w->spec.event_time) {
        align(w, w->now_us);
    }
    uint32_t empty = 0;
    while (w->next_end != INT64_MIN && w->next_end <= w->now_us) {
        bool was_empty;
        int rc = fire_next(w, &was_empty);
        if (rc < 0) {
            return rc;
        }
        empty = was_empty ? empty + 1 : 0;
        if (empty > EMPTY_MAX) {
            align(w, next_row_time(w));
            w->last_end = INT64_MIN;
        }
    }
    return 0;
}

bool slices_has(struct window *w, int64_t t)
{
    return w->next_end != INT64_MIN && t >= start_of(w, w->next_end) - w->spec.lateness;
}

int slices_correct(struct window *w, struct kept *k)
{
    int64_t t = k->row->time_us;
    struct slice *slice = slices_for(w, t);
    if (!slice) {
        row_unref(k->row);
        row_unref(k->computed);
        return -ENOMEM;
    }
    int rc = bag_add(w, &slice->bag, k);
    int64_t end = natural_after(w, t, w->spec.interval);
    for (; rc >= 0 && end < w->next_end; end = natural_after(w, end, w->spec.interval)) {
        int64_t start = natural_start(w, end, w->spec.length);
        if (start > t) {
            break;
        }
        struct firing *f = firing_of(w, end);
        if (!f) {
            return -ENOMEM;
        }
        struct window_range range = {start, end, end, ++f->corrections};
        bool empty;
        rc = fire(w, &range, start, &empty);
    }
    return rc;
}

int64_t slices_next(const struct window *w)
{
    return w->next_end == INT64_MIN ? INT64_MAX : w->next_end;
}

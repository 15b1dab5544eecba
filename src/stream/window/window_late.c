/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Late rows: windows that have fired fire again, and say the how-manieth time it is. Of tumbling
 * and hopping windows only those that were corrected are remembered; of sliding windows, whose ends
 * are where rows fired them, all that a late row can still reach.
 *
 * Invariant: firings are ascending by `at`, one of each.
 */
#include "window_private.h"

/* Index of the first firing that is not before `at`; n_firings when there is none. */
static size_t lower_bound(const struct window *w, int64_t at)
{
    size_t from = 0, until = w->n_firings;
    while (from < until) {
        size_t mid = from + (until - from) / 2;
        if (w->firings[w->first_firing + mid].at < at) {
            from = mid + 1;
        } else {
            until = mid;
        }
    }
    return from;
}

static int make_room(struct window *w)
{
    if (w->first_firing + w->n_firings < w->cap_firings) {
        return 0;
    }
    size_t cap = MAX_OF(w->n_firings * 2, (size_t)16);
    struct firing *items = mem_alloc(cap * sizeof(*items));
    if (!items) {
        return -ENOMEM;
    }
    if (w->n_firings > 0) {
        memcpy(items, w->firings + w->first_firing, w->n_firings * sizeof(*items));
    }
    mem_free(w->firings);
    w->firings = items;
    w->cap_firings = cap;
    w->first_firing = 0;
    return 0;
}

struct firing *firing_of(struct window *w, int64_t at)
{
    size_t i = lower_bound(w, at);
    if (i < w->n_firings && w->firings[w->first_firing + i].at == at) {
        return &w->firings[w->first_firing + i];
    }
    if (make_room(w) < 0) {
        return NULL;
    }
    struct firing *place = w->firings + w->first_firing + i;
    memmove(place + 1, place, (w->n_firings - i) * sizeof(*place));
    *place = (struct firing){.at = at};
    w->n_firings++;
    w->bytes += sizeof(*place);
    return place;
}

struct firing *firing_from(struct window *w, int64_t at)
{
    size_t i = lower_bound(w, at);
    return i < w->n_firings ? w->firings + w->first_firing + i : NULL;
}

void firings_forget(struct window *w, int64_t before)
{
    while (w->n_firings > 0 && w->firings[w->first_firing].at < before) {
        w->first_firing++;
        w->n_firings--;
        w->bytes -= sizeof(struct firing);
    }
}

/* ---- the door ---- */

int window_correct(struct window *w, uint32_t source, struct row *row)
{
    bool slides = w->spec.kind == AST_WINDOW_SLIDING;
    bool slices = w->spec.kind == AST_WINDOW_TUMBLING || w->spec.kind == AST_WINDOW_HOPPING;
    if (source >= w->spec.n_sources || (!slides && !slices) ||
        !(slides ? sliding_has(w, row->time_us) : slices_has(w, row->time_us))) {
        return 0;
    }
    struct kept k = {.row = row_ref(row), .source = source};
    if (w->spec.filter && !window_test(w, w->spec.filter, &k, "Window Filter")) {
        row_unref(row);
        return 1; /* no window wants it: that is not for its lateness */
    }
    int rc = slides ? sliding_correct(w, &k) : slices_correct(w, &k);
    return rc < 0 ? rc : 1;
}

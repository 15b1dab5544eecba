/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Event time. Rows that are ahead of the watermark wait in a heap by time and order of arrival,
 * each with a reference to its batch. Rows are looked at one by one, in the order in which they
 * came, so that what is late does not depend on how events were cut into batches.
 *
 * A batch whose rows are in order and all at or behind the watermark passes through as it is, where
 * nothing earlier waits. Other rows are gathered into new batches when their time has come.
 */
#include "watermark.h"

#include <stdlib.h>

#include "base/limits.h"
#include "base/mem.h"

struct waiting {
    int64_t time;
    uint64_t arrival;
    struct batch *batch; /* NULL: the row was loaded from a checkpoint */
    struct row *loaded;
    uint32_t row, source;
    size_t bytes; /* as counted: a batch may grow while it waits */
};

struct source {
    int64_t greatest; /* of its rows; INT64_MIN = no row yet */
    int64_t reached;  /* as told */
    int64_t seen_us;  /* clock of its last row, or of the first call */
};

struct watermark {
    struct watermark_spec spec;
    struct watermark_ops ops;
    void *arg;
    int64_t at;
    int64_t now_us;
    uint64_t arrivals, late;
    struct waiting *heap;
    size_t n, cap;
    size_t bytes; /* of batches that wait: a row's share each */
    struct source sources[];
};

/* ---- heap ---- */

static bool before(const struct waiting *a, const struct waiting *b)
{
    return a->time != b->time ? a->time < b->time : a->arrival < b->arrival;
}

static int heap_push(struct watermark *w, const struct waiting *item)
{
    if (w->n == w->cap) {
        size_t cap = w->cap ? w->cap * 2 : 64;
        struct waiting *heap = mem_realloc(w->heap, cap * sizeof(*heap));
        if (!heap) {
            return -ENOMEM;
        }
        w->heap = heap;
        w->cap = cap;
    }
    size_t i = w->n++;
    while (i > 0 && before(item, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = *item;
    return 0;
}

static struct waiting heap_pop(struct watermark *w)
{
    struct waiting top = w->heap[0], last = w->heap[--w->n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->n) {
            break;
        }
        child += child + 1 < w->n && before(&w->heap[child + 1], &w->heap[child]);
        if (!before(&w->heap[child], &last)) {
            break;
        }
        w->heap[i] = w->heap[child];
        i = child;
    }
    if (w->n > 0) {
        w->heap[i] = last;
    }
    return top;
}

static size_t share_of(const struct waiting *item)
{
    return sizeof(*item) + (item->loaded ? item->loaded->bytes
                                         : item->batch->arena.used / MAX_OF(item->batch->rows, 1u));
}

static void release(struct watermark *w, struct waiting *item)
{
    w->bytes -= item->bytes;
    if (item->batch) {
        batch_unref(item->batch);
    }
    row_unref(item->loaded);
}

/* ---- life ---- */

int watermark_new(const struct watermark_spec *spec, const struct watermark_ops *ops, void *arg,
                  struct watermark **ret)
{
    struct watermark *w =
        mem_zalloc(sizeof(*w) + MAX_OF(spec->n_sources, 1u) * sizeof(w->sources[0]));
    if (!w) {
        return -ENOMEM;
    }
    w->spec = *spec;
    w->spec.n_sources = MAX_OF(spec->n_sources, 1u);
    w->ops = *ops;
    w->arg = arg;
    w->at = w->now_us = INT64_MIN;
    for (uint32_t i = 0; i < w->spec.n_sources; i++) {
        w->sources[i] = (struct source){INT64_MIN, INT64_MIN, INT64_MIN};
    }
    *ret = w;
    return 0;
}

void watermark_free(struct watermark *w)
{
    if (!w) {
        return;
    }
    for (size_t i = 0; i < w->n; i++) {
        release(w, &w->heap[i]);
    }
    mem_free(w->heap);
    mem_free(w);
}

int64_t watermark_at(const struct watermark *w)
{
    return w->at;
}

uint64_t watermark_late_rows(const struct watermark *w)
{
    return w->late;
}

/* ---- time ---- */

static bool is_table(const struct watermark *w, uint32_t source)
{
    return source < 64 && (w->spec.tables >> source & 1);
}

static bool is_told(const struct watermark *w, uint32_t source)
{
    return source < 64 && (w->spec.told >> source & 1);
}

/* What a source leads the watermark to. */
static int64_t leads_to(const struct watermark *w, uint32_t source)
{
    const struct source *s = &w->sources[source];
    if (is_told(w, source)) {
        return s->reached;
    }
    bool none = s->greatest < INT64_MIN + w->spec.tolerance_us;
    return none ? INT64_MIN : s->greatest - w->spec.tolerance_us;
}

static bool is_idle(const struct watermark *w, const struct source *s)
{
    return w->spec.idle_us > 0 && s->seen_us != INT64_MIN &&
           w->now_us - s->seen_us >= w->spec.idle_us;
}

/* The least of what the sources that count have reached; sources that are all idle hold still. */
static int64_t reached(const struct watermark *w)
{
    int64_t least = INT64_MAX;
    for (uint32_t i = 0; i < w->spec.n_sources; i++) {
        const struct source *s = &w->sources[i];
        if (!is_table(w, i) && !is_idle(w, s)) {
            least = MIN_OF(least, leads_to(w, i));
        }
    }
    return least == INT64_MAX ? w->at : MAX_OF(w->at, least);
}

static void clock_is(struct watermark *w, int64_t now_us)
{
    for (uint32_t i = 0; w->now_us == INT64_MIN && i < w->spec.n_sources; i++) {
        w->sources[i].seen_us = now_us;
    }
    w->now_us = MAX_OF(w->now_us, now_us);
}

/* ---- rows out ---- */

static void cell_of(const struct waiting *item, uint32_t slot, struct value *ret)
{
    if (item->loaded) {
        *ret = *row_cell(item->loaded, slot);
    } else {
        batch_get(item->batch, slot, item->row, ret);
    }
}

static const struct value *beside(const struct waiting *item, bool meta)
{
    if (item->loaded) {
        return meta ? &item->loaded->meta : &item->loaded->whole;
    }
    const struct value *list = meta ? item->batch->meta : item->batch->whole;
    return list ? &list[item->row] : NULL;
}

/* whole or meta of all rows, copied. */
static void gather_beside(struct batch *b, const struct waiting *items, bool meta,
                          struct value *out)
{
    for (uint32_t i = 0; out && i < b->rows; i++) {
        const struct value *v = beside(&items[i], meta);
        out[i] = v ? value_copy(&b->arena, v) : (struct value){.type = VALUE_ABSENT};
    }
}

static bool any_meta(const struct waiting *items, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct value *v = beside(&items[i], true);
        if (v && v->type != VALUE_ABSENT) {
            return true;
        }
    }
    return false;
}

/* A batch of the given rows of one source, copied. NULL when memory is short. */
static struct batch *gather(const struct watermark *w, const struct waiting *items, uint32_t n)
{
    struct batch *b = batch_new(w->spec.shapes[items[0].source], 0);
    if (!b) {
        return NULL;
    }
    b->rows = n;
    b->sequence =
        items[0].loaded ? items[0].loaded->sequence : items[0].batch->sequence + items[0].row;
    for (uint32_t i = 0; i < n; i++) {
        b->time_us[i] = items[i].time;
    }
    for (uint32_t slot = 0; slot < b->n_columns; slot++) {
        struct value *values = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*values));
        for (uint32_t i = 0; values && i < n; i++) {
            struct value v;
            cell_of(&items[i], slot, &v);
            values[i] = value_copy(&b->arena, &v);
        }
        if (values) {
            column_from_values(b, &b->columns[slot], values);
        }
    }
    gather_beside(b, items, false, b->whole);
    if (any_meta(items, n)) {
        b->meta = arena_alloc(&b->arena, BATCH_ROWS * sizeof(*b->meta));
        gather_beside(b, items, true, b->meta);
    }
    if (arena_failed(&b->arena)) {
        batch_unref(b);
        return NULL;
    }
    return b;
}

/* Whether the rows are all rows of one batch, in its order. */
static bool is_whole_batch(const struct waiting *items, uint32_t n)
{
    if (!items[0].batch || items[0].batch->rows != n) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (items[i].batch != items[0].batch || items[i].row != i) {
            return false;
        }
    }
    return true;
}

static int hand_on(struct watermark *w, struct waiting *items, uint32_t n)
{
    struct batch *b = is_whole_batch(items, n) ? batch_ref(items[0].batch) : gather(w, items, n);
    uint32_t source = items[0].source;
    for (uint32_t i = 0; i < n; i++) {
        release(w, &items[i]);
    }
    if (!b) {
        return -ENOMEM;
    }
    w->ops.rows(w->arg, source, b);
    batch_unref(b);
    return 0;
}

/* Hands on what waits until `us`, in runs of one source. */
static int let_go(struct watermark *w, int64_t us)
{
    struct waiting *run = NULL;
    uint32_t n = 0;
    int rc = 0;
    while (rc >= 0 && w->n > 0 && w->heap[0].time <= us) {
        if (!run && !(run = mem_alloc(BATCH_ROWS * sizeof(*run)))) {
            return -ENOMEM;
        }
        run[n++] = heap_pop(w);
        bool ends = n == BATCH_ROWS || w->n == 0 || w->heap[0].time > us ||
                    w->heap[0].source != run[0].source;
        if (ends) {
            rc = hand_on(w, run, n);
            n = 0;
        }
    }
    mem_free(run);
    return rc;
}

static bool anything_due(const struct watermark *w, int64_t us)
{
    return w->n > 0 && w->heap[0].time <= us;
}

/* Time is told again where rows of the same time came after it. */
static int move_to(struct watermark *w, int64_t us)
{
    bool some = anything_due(w, us);
    int rc = let_go(w, us);
    if (us > w->at || some) {
        w->at = us;
        w->ops.time(w->arg, us);
    }
    return rc;
}

/* ---- rows in ---- */

/* Whether the batch can go as it is: in order, nothing waits, all of it behind the watermark that
 * it leads to and none behind the one that holds. */
static bool passes(const struct watermark *w, const struct source *s, const struct batch *b)
{
    if (w->n > 0 || w->spec.tolerance_us > 0 || w->spec.told || w->spec.n_sources > 1 ||
        b->rows == 0 || b->time_us[0] < MAX_OF(w->at, s->greatest)) {
        return false;
    }
    for (uint32_t i = 1; i < b->rows; i++) {
        if (b->time_us[i] < b->time_us[i - 1]) {
            return false;
        }
    }
    return true;
}

/* A row that is late is told when all until the watermark is handed on, as if each row came alone.
 */
static int tell_late(struct watermark *w, uint32_t source, struct batch *b, uint32_t row,
                     int64_t at)
{
    int rc = at > w->at || anything_due(w, at) ? move_to(w, at) : 0;
    w->late++;
    if (rc >= 0 && w->ops.late) {
        w->ops.late(w->arg, source, b, row);
    }
    return rc;
}

/* The watermark as it is when a row has come, without handing on. */
static int add_rows(struct watermark *w, uint32_t source, struct batch *b, int64_t *ret_at)
{
    struct source *s = &w->sources[source];
    int64_t at = w->at;
    for (uint32_t i = 0; i < b->rows; i++) {
        int64_t t = b->time_us[i];
        if (t < at) {
            int rc = tell_late(w, source, b, i, at);
            if (rc < 0) {
                return rc;
            }
            continue;
        }
        struct waiting item = {
            .time = t, .arrival = w->arrivals++, .batch = b, .row = i, .source = source};
        item.bytes = share_of(&item);
        int rc = heap_push(w, &item);
        if (rc < 0) {
            return rc;
        }
        batch_ref(b);
        w->bytes += item.bytes;
        if (t > s->greatest) {
            s->greatest = t;
            at = MAX_OF(at, reached(w));
        }
    }
    *ret_at = at;
    return 0;
}

int watermark_push(struct watermark *w, uint32_t source, struct batch *b, int64_t now_us)
{
    if (source >= w->spec.n_sources) {
        return -E_INVAL;
    }
    struct source *s = &w->sources[source];
    clock_is(w, now_us);
    if (is_table(w, source)) {
        w->ops.rows(w->arg, source, b);
        return 0;
    }
    s->seen_us = w->now_us;
    if (passes(w, s, b)) {
        s->greatest = b->time_us[b->rows - 1];
        w->ops.rows(w->arg, source, b);
        w->at = s->greatest;
        w->ops.time(w->arg, w->at);
        return 0;
    }
    int64_t at = w->at;
    int rc = add_rows(w, source, b, &at);
    size_t limit = w->spec.memory_limit ? w->spec.memory_limit : LIMIT_RULE_BYTES;
    if (rc >= 0 && w->bytes > limit) {
        return watermark_flush(w);
    }
    int moved = at > w->at || anything_due(w, at) ? move_to(w, at) : 0;
    return rc < 0 ? rc : moved;
}

int watermark_reach(struct watermark *w, uint32_t source, int64_t us, int64_t now_us)
{
    if (source >= w->spec.n_sources || !is_told(w, source)) {
        return -E_INVAL;
    }
    struct source *s = &w->sources[source];
    clock_is(w, now_us);
    s->seen_us = w->now_us;
    s->reached = MAX_OF(s->reached, us);
    int64_t at = reached(w);
    return at > w->at ? move_to(w, at) : 0;
}

int watermark_tick(struct watermark *w, int64_t now_us)
{
    clock_is(w, now_us);
    int64_t at = reached(w);
    return at > w->at ? move_to(w, at) : 0;
}

int watermark_flush(struct watermark *w)
{
    int64_t at = w->at;
    for (uint32_t i = 0; i < w->spec.n_sources; i++) {
        at = MAX_OF(at, w->sources[i].greatest);
    }
    return at != INT64_MIN ? move_to(w, at) : 0;
}

/* ---- checkpoints: [at, now, late, [greatest, or what was told ...], [source, row ...]] ---- */

static struct row *row_of(const struct waiting *item)
{
    if (item->loaded) {
        return row_ref(item->loaded);
    }
    struct row *r = batch_row(item->batch, item->row);
    return r;
}

static int by_order(const void *a, const void *b)
{
    const struct waiting *x = a, *y = b;
    return before(x, y) ? -1 : before(y, x);
}

static int save_rows(const struct watermark *w, struct arena *a, struct value *ret)
{
    struct waiting *sorted = arena_alloc(a, (w->n + 1) * sizeof(*sorted));
    struct value *items = arena_alloc(a, (2 * w->n + 1) * sizeof(*items));
    if (!sorted || !items) {
        return -ENOMEM;
    }
    if (w->n > 0) {
        memcpy(sorted, w->heap, w->n * sizeof(*sorted));
        qsort(sorted, w->n, sizeof(*sorted), by_order);
    }
    for (size_t i = 0; i < w->n; i++) {
        struct row *r = row_of(&sorted[i]);
        if (!r) {
            return -ENOMEM;
        }
        items[2 * i] = value_int(sorted[i].source);
        items[2 * i + 1] = row_save(a, r);
        row_unref(r);
    }
    *ret = (struct value){.type = VALUE_ARRAY, .n = (uint32_t)(2 * w->n), .items = items};
    return 0;
}

int watermark_save(const struct watermark *w, struct arena *a, struct value *ret)
{
    uint32_t n = w->spec.n_sources;
    struct value *items = arena_alloc(a, 5 * sizeof(*items));
    struct value *greatest = arena_alloc(a, n * sizeof(*greatest));
    if (!items || !greatest) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n; i++) {
        const struct source *s = &w->sources[i];
        greatest[i] = value_int(is_told(w, i) ? s->reached : s->greatest);
    }
    items[0] = value_int(w->at);
    items[1] = value_int(w->now_us);
    items[2] = value_int((int64_t)w->late);
    items[3] = (struct value){.type = VALUE_ARRAY, .n = n, .items = greatest};
    int rc = save_rows(w, a, &items[4]);
    if (rc < 0 || arena_failed(a)) {
        return -ENOMEM;
    }
    *ret = (struct value){.type = VALUE_ARRAY, .n = 5, .items = items};
    return 0;
}

static bool has_form(const struct watermark *w, const struct value *v)
{
    if (v->type != VALUE_ARRAY || v->n != 5 || v->items[0].type != VALUE_INT ||
        v->items[1].type != VALUE_INT || v->items[2].type != VALUE_INT ||
        v->items[3].type != VALUE_ARRAY || v->items[3].n != w->spec.n_sources ||
        v->items[4].type != VALUE_ARRAY || v->items[4].n % 2 != 0) {
        return false;
    }
    for (uint32_t i = 0; i < v->items[3].n; i++) {
        if (v->items[3].items[i].type != VALUE_INT) {
            return false;
        }
    }
    return true;
}

static int load_rows(struct watermark *w, const struct value *list, struct err *err)
{
    for (uint32_t i = 0; i < list->n; i += 2) {
        const struct value *source = &list->items[i];
        struct row *r = row_load(&list->items[i + 1]);
        if (!r || source->type != VALUE_INT || source->i < 0 || source->i >= w->spec.n_sources) {
            row_unref(r);
            return err_set(err, -E_INVAL, "the saved state of the watermark is damaged");
        }
        struct waiting item = {.time = r->time_us,
                               .arrival = w->arrivals++,
                               .loaded = r,
                               .source = (uint32_t)source->i};
        item.bytes = share_of(&item);
        if (heap_push(w, &item) < 0) {
            row_unref(r);
            return err_set(err, -ENOMEM, "out of memory");
        }
        w->bytes += item.bytes;
        struct source *s = &w->sources[item.source];
        s->greatest = MAX_OF(s->greatest, item.time);
    }
    return 0;
}

int watermark_load(struct watermark *w, const struct value *saved, struct err *err)
{
    if (!has_form(w, saved)) {
        return err_set(err, -E_INVAL, "the saved state of the watermark is of another rule");
    }
    w->at = saved->items[0].i;
    w->now_us = saved->items[1].i;
    w->late = (uint64_t)saved->items[2].i;
    for (uint32_t i = 0; i < w->spec.n_sources; i++) {
        w->sources[i].greatest = w->sources[i].reached = saved->items[3].items[i].i;
        w->sources[i].seen_us = w->now_us;
    }
    return load_rows(w, &saved->items[4], err);
}

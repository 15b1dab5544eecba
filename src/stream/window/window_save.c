/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of windows: the state as one array of values, in the order of save_members().
 * Loading checks each value's type before it is used: a checkpoint is outside input.
 */
#include "finger.h"
#include "fold.h"
#include "group.h"

#define VERSION 2 /* 1 had no firings */

struct writer {
    struct arena *arena;
    struct value *items;
    uint32_t n, cap;
    bool failed;
};

struct reader {
    const struct value *items;
    uint32_t n, at;
    bool failed; /* something was not of the expected form */
    bool no_memory;
};

/* ---- writing ---- */

static void put(struct writer *wr, struct value v)
{
    if (wr->n == wr->cap) {
        uint32_t cap = wr->cap ? wr->cap * 2 : 16;
        wr->items = arena_grow(wr->arena, wr->items, wr->cap * sizeof(v), cap * sizeof(v));
        wr->cap = cap;
    }
    if (!wr->items) {
        wr->failed = true;
        wr->n = wr->cap = 0;
        return;
    }
    wr->items[wr->n++] = v;
}

static void put_int(struct writer *wr, int64_t i)
{
    put(wr, value_int(i));
}

static struct value finish(struct writer *wr)
{
    return (struct value){.type = VALUE_ARRAY, .n = wr->n, .items = wr->items};
}

static void put_list(struct writer *wr, struct writer *list)
{
    wr->failed = wr->failed || list->failed;
    put(wr, finish(list));
}

static void put_queue(struct writer *wr, const struct rowq *q)
{
    struct writer list = {.arena = wr->arena};
    for (size_t i = 0; i < q->n; i++) {
        const struct kept *k = rowq_at(q, i);
        put_int(&list, k->source);
        put(&list, row_save(wr->arena, k->row));
        put(&list, k->computed ? row_save(wr->arena, k->computed) : VALUE_OF_NULL);
    }
    put_list(wr, &list);
}

/* [keys..., first, computed, state...] of each group. */
static void put_fold(struct writer *wr, const struct window *w, const struct fold *f)
{
    struct writer list = {.arena = wr->arena};
    for (uint32_t i = 0; f && i < f->n; i++) {
        struct fold_group *g = f->groups[i];
        struct row *keys = row_new(g->keys, w->spec.n_keys, NULL, NULL, 0, 0);
        list.failed = list.failed || !keys;
        put(&list, keys ? row_save(wr->arena, keys) : VALUE_OF_NULL);
        row_unref(keys);
        put(&list, row_save(wr->arena, g->first));
        put(&list, g->computed ? row_save(wr->arena, g->computed) : VALUE_OF_NULL);
        for (uint32_t a = 0; a < w->spec.n_aggregates; a++) {
            struct value v = VALUE_OF_NULL;
            const struct function_state_ops *ops = w->spec.aggregates[a].function->state;
            list.failed = ops->save(state_at(w, g->states, a), wr->arena, &v) < 0 || list.failed;
            put(&list, v);
        }
    }
    put_list(wr, &list);
}

static void put_bag(struct writer *wr, const struct window *w, const struct bag *b)
{
    if (w->folds) {
        put_fold(wr, w, b->fold);
    } else {
        put_queue(wr, &b->rows);
    }
}

/* ---- reading ---- */

static const struct value *get(struct reader *r, enum value_type t)
{
    static const struct value none[VALUE_TYPE_NR];
    if (r->failed || r->at >= r->n || r->items[r->at].type != t) {
        r->failed = true;
        return &none[t];
    }
    return &r->items[r->at++];
}

static int64_t get_int(struct reader *r)
{
    return get(r, VALUE_INT)->i;
}

static struct reader get_list(struct reader *r)
{
    const struct value *v = get(r, VALUE_ARRAY);
    return (struct reader){.items = v->items, .n = v->n, .failed = r->failed};
}

static void leave_list(struct reader *r, const struct reader *list)
{
    r->failed = r->failed || list->failed;
    r->no_memory = r->no_memory || list->no_memory;
}

static struct row *get_row(struct reader *r)
{
    if (r->failed || r->at >= r->n) {
        r->failed = true;
        return NULL;
    }
    struct row *row = row_load(&r->items[r->at++]);
    r->failed = r->failed || !row;
    return row;
}

static struct row *get_row_or_null(struct reader *r)
{
    if (!r->failed && r->at < r->n && r->items[r->at].type == VALUE_NULL) {
        r->at++;
        return NULL;
    }
    return get_row(r);
}

static void get_queue(struct window *w, struct reader *r, struct rowq *q)
{
    struct reader list = get_list(r);
    while (!list.failed && list.at < list.n) {
        struct kept k = {.source = (uint32_t)get_int(&list)};
        k.row = get_row(&list);
        k.computed = get_row_or_null(&list);
        bool fits = !list.failed && k.source < w->spec.n_sources &&
                    (!k.computed || k.computed->n_cells >= w->n_computed);
        list.no_memory = fits && rowq_push(q, &k) < 0;
        if (!fits || list.no_memory) {
            row_unref(k.row);
            row_unref(k.computed);
            list.failed = true;
        } else {
            w->bytes += window_kept_bytes(&k);
        }
    }
    leave_list(r, &list);
}

static void get_group(struct window *w, struct reader *r, struct fold *f)
{
    struct row *keys = get_row(r), *first = get_row(r), *computed = get_row_or_null(r);
    struct fold_group *g = NULL;
    int rc = 0;
    if (!r->failed && keys->n_cells == w->spec.n_keys) {
        g = fold_find(w, f, keys->cells, fold_hash(w, keys->cells), &rc);
    }
    row_unref(keys);
    r->no_memory = rc < 0;
    if (!g || g->first) {
        row_unref(first);
        row_unref(computed);
        r->failed = true;
        return;
    }
    fold_show_first(w, f, g, first, computed);
    for (uint32_t a = 0; a < w->spec.n_aggregates; a++) {
        const struct function_state_ops *ops = w->spec.aggregates[a].function->state;
        if (r->at >= r->n || ops->load(state_at(w, g->states, a), &r->items[r->at++]) < 0) {
            r->failed = true;
            return;
        }
        size_t bytes = ops->bytes ? ops->bytes(state_at(w, g->states, a)) : 0;
        f->bytes += bytes;
        w->bytes += bytes;
    }
}

static void get_bag(struct window *w, struct reader *r, struct bag *b)
{
    if (!w->folds) {
        get_queue(w, r, &b->rows);
        return;
    }
    struct reader list = get_list(r);
    struct fold *f = bag_fold(b);
    list.no_memory = !f;
    while (f && !list.failed && list.at < list.n) {
        get_group(w, &list, f);
    }
    leave_list(r, &list);
}

/* ---- the members ---- */

static void put_slices(struct writer *wr, const struct window *w)
{
    struct writer list = {.arena = wr->arena};
    for (uint32_t i = 0; i < w->n_slices; i++) {
        put_int(&list, w->slices[i].from);
        put_int(&list, w->slices[i].until);
        put_bag(&list, w, &w->slices[i].bag);
    }
    put_list(wr, &list);
}

static void get_slices(struct window *w, struct reader *r)
{
    struct reader list = get_list(r);
    w->slices = mem_zalloc((list.n / 3 + 1) * sizeof(*w->slices));
    list.failed = list.failed || !w->slices;
    w->cap_slices = list.n / 3 + 1;
    while (!list.failed && list.at + 3 <= list.n) {
        struct slice *s = &w->slices[w->n_slices++];
        s->from = get_int(&list);
        s->until = get_int(&list);
        get_bag(w, &list, &s->bag);
    }
    leave_list(r, &list);
}

static void put_triggers(struct writer *wr, const struct window *w)
{
    struct writer list = {.arena = wr->arena};
    for (size_t i = 0; i < w->n_triggers; i++) {
        put_int(&list, w->triggers[w->first_trigger + i].at);
        put_int(&list, w->triggers[w->first_trigger + i].due);
    }
    put_list(wr, &list);
}

static void get_triggers(struct window *w, struct reader *r)
{
    struct reader list = get_list(r);
    w->cap_triggers = list.n / 2 + 1;
    w->triggers = mem_zalloc(w->cap_triggers * sizeof(*w->triggers));
    list.failed = list.failed || !w->triggers;
    while (!list.failed && list.at + 2 <= list.n) {
        int64_t at = get_int(&list), due = get_int(&list);
        w->triggers[w->n_triggers++] = (struct trigger){at, due};
    }
    leave_list(r, &list);
}

static void put_firings(struct writer *wr, const struct window *w)
{
    struct writer list = {.arena = wr->arena};
    for (size_t i = 0; i < w->n_firings; i++) {
        put_int(&list, w->firings[w->first_firing + i].at);
        put_int(&list, w->firings[w->first_firing + i].corrections);
    }
    put_list(wr, &list);
}

static void get_firings(struct window *w, struct reader *r)
{
    struct reader list = get_list(r);
    while (!list.failed && list.at + 2 <= list.n) {
        struct firing *f = firing_of(w, get_int(&list));
        list.no_memory = !f;
        list.failed = !f;
        if (f) {
            f->corrections = get_int(&list);
        }
    }
    leave_list(r, &list);
}

/* The tree is made anew of the rows, which must be in order for it. */
static void fill_fingers(struct window *w, struct reader *r)
{
    int64_t before = INT64_MIN;
    for (size_t i = 0; w->fingers && !r->failed && i < w->rows.n; i++) {
        const struct kept *k = rowq_at(&w->rows, i);
        bool ordered = k->row->time_us >= before;
        before = k->row->time_us;
        r->no_memory = ordered && finger_insert(w, w->fingers, k) < 0;
        r->failed = !ordered || r->no_memory;
    }
}

static void put_partitions(struct writer *wr, const struct window *w)
{
    struct writer list = {.arena = wr->arena};
    for (uint32_t i = 0; i < w->n_partitions; i++) {
        const struct partition *p = &w->partitions[i];
        put(&list, row_save(wr->arena, p->key));
        put_int(&list, p->open);
        put_int(&list, p->start);
        put_bag(&list, w, &p->bag);
    }
    put_list(wr, &list);
}

static void get_partitions(struct window *w, struct reader *r)
{
    struct reader list = get_list(r);
    while (!list.failed && list.at + 4 <= list.n) {
        struct row *key = get_row(&list);
        struct partition *p = NULL;
        if (!key || key->n_cells != w->spec.n_partition) {
            row_unref(key);
            list.failed = true;
            break;
        }
        uint64_t hash = key->n_cells;
        for (uint32_t i = 0; i < key->n_cells; i++) {
            hash = value_hash(&key->cells[i], hash);
        }
        list.no_memory = state_partition(w, key, hash, &p) < 0;
        list.failed = list.failed || !p;
        if (p) {
            p->open = get_int(&list);
            p->start = get_int(&list);
            get_bag(w, &list, &p->bag);
        }
    }
    leave_list(r, &list);
}

/* What makes a state fit: the kind and what its numbers mean. */
static void put_form(struct writer *wr, const struct window *w)
{
    const struct window_spec *s = &w->spec;
    put_int(wr, VERSION);
    put_int(wr, s->kind);
    put_int(wr, s->event_time);
    put_int(wr, s->n_sources);
    put_int(wr, s->kind == AST_WINDOW_COUNT ? s->length : 0);
    put_int(wr, w->folds);
    put_int(wr, w->folds ? s->n_keys : 0);
    put_int(wr, w->folds ? s->n_aggregates : 0);
}

static bool same_form(const struct window *w, struct reader *r, int64_t *ret_version)
{
    const struct window_spec *s = &w->spec;
    *ret_version = get_int(r);
    return *ret_version >= 1 && *ret_version <= VERSION && get_int(r) == s->kind &&
           get_int(r) == s->event_time && get_int(r) == s->n_sources &&
           get_int(r) == (s->kind == AST_WINDOW_COUNT ? s->length : 0) && get_int(r) == w->folds &&
           get_int(r) == (w->folds ? s->n_keys : 0) &&
           get_int(r) == (w->folds ? s->n_aggregates : 0) && !r->failed;
}

#define NUMBERS 11
static void numbers_of(struct window *w, int64_t *ret[NUMBERS])
{
    int64_t *all[NUMBERS] = {&w->now_us,
                             &w->next_end,
                             &w->last_end,
                             &w->first_start,
                             &w->counted,
                             &w->session_start,
                             &w->session_last,
                             &w->session_cut,
                             &w->continued_at,
                             &w->conditions.hits,
                             &w->conditions.last_hit_us};
    memcpy(ret, all, sizeof(all));
}

int window_save(const struct window *w, struct arena *a, struct value *ret)
{
    struct writer wr = {.arena = a};
    int64_t *numbers[NUMBERS];
    numbers_of((struct window *)(uintptr_t)w, numbers); /* read only */
    put_form(&wr, w);
    for (unsigned i = 0; i < NUMBERS; i++) {
        put_int(&wr, *numbers[i]);
    }
    put_int(&wr, w->session_open);
    put_bag(&wr, w, &w->session);
    put_slices(&wr, w);
    put_triggers(&wr, w);
    put_queue(&wr, &w->rows);
    put_partitions(&wr, w);
    for (uint32_t i = 0; i < w->spec.n_sources; i++) {
        put_queue(&wr, &w->tables[i]);
    }
    put_firings(&wr, w);
    if (wr.failed || arena_failed(a)) {
        return -ENOMEM;
    }
    *ret = finish(&wr);
    return 0;
}

int window_load(struct window *w, const struct value *saved, struct err *err)
{
    struct reader r = {.failed = saved->type != VALUE_ARRAY};
    if (!r.failed) {
        r.items = saved->items;
        r.n = saved->n;
    }
    int64_t version;
    if (!same_form(w, &r, &version)) {
        return err_set(err, -E_INVAL, "the saved state is of another window");
    }
    int64_t *numbers[NUMBERS];
    numbers_of(w, numbers);
    for (unsigned i = 0; i < NUMBERS; i++) {
        *numbers[i] = get_int(&r);
    }
    w->session_open = get_int(&r);
    get_bag(w, &r, &w->session);
    get_slices(w, &r);
    get_triggers(w, &r);
    get_queue(w, &r, &w->rows);
    get_partitions(w, &r);
    for (uint32_t i = 0; i < w->spec.n_sources; i++) {
        get_queue(w, &r, &w->tables[i]);
    }
    if (version > 1) {
        get_firings(w, &r);
    }
    fill_fingers(w, &r);
    if (r.no_memory) {
        return err_set(err, -ENOMEM, "out of memory");
    }
    return r.failed ? err_set(err, -E_INVAL, "the saved state of a window is damaged") : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints of the matcher. Histories share their tails and their rows, so that both are numbered
 * and each is written once:
 *
 *      [VERSION, n_steps, n_partition, rows, matches, now,
 *       [row ...], [row, step, before ... of each history], [numbers ... of each partition]]
 *
 *      partition: its row, n attempts, then of each: first, first_us, found, found_last, n runs,
 *                 then of each: history, step, count
 *
 * A history stands behind the one before it; `before` and `found` are -1 where there is none.
 * Loading checks each number before it is used: a checkpoint is outside input.
 */
#include <stdlib.h>

#include "match_private.h"

#define VERSION 1
#define HEAD 6

struct list_out { /* values in an arena */
    struct value *items;
    uint32_t n, cap;
};

struct saving {
    struct match *m;
    struct arena *arena;
    struct row **rows; /* sorted, each once */
    uint32_t n_rows, cap_rows;
    uint32_t n_histories;
    struct list_out histories, partitions;
};

/* ---- saving ---- */

static void put(struct saving *s, struct list_out *l, int64_t i)
{
    if (l->n == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 64;
        l->items =
            arena_grow(s->arena, l->items, l->cap * sizeof(*l->items), cap * sizeof(*l->items));
        l->cap = cap;
    }
    if (!l->items) { /* the arena has failed, which is seen at the end */
        l->n = l->cap = 0;
        return;
    }
    l->items[l->n++] = value_int(i);
}

static void note_row(struct saving *s, struct row *r)
{
    if (s->n_rows == s->cap_rows) {
        uint32_t cap = s->cap_rows ? s->cap_rows * 2 : 64;
        s->rows = arena_grow(s->arena, s->rows, s->cap_rows * sizeof(struct row *),
                             cap * sizeof(struct row *));
        s->cap_rows = cap;
    }
    if (!s->rows) {
        s->n_rows = s->cap_rows = 0;
        return;
    }
    s->rows[s->n_rows++] = r;
}

static int by_address(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a, *y = *(struct row *const *)b;
    return (x > y) - (x < y);
}

static void sort_rows(struct saving *s)
{
    uint32_t n = 0;
    if (s->n_rows > 0) {
        qsort(s->rows, s->n_rows, sizeof(struct row *), by_address);
    }
    for (uint32_t i = 0; i < s->n_rows; i++) {
        if (n == 0 || s->rows[n - 1] != s->rows[i]) {
            s->rows[n++] = s->rows[i];
        }
    }
    s->n_rows = n;
}

static int64_t place_of(const struct saving *s, const struct row *r)
{
    struct row *const *at = bsearch(&r, s->rows, s->n_rows, sizeof(struct row *), by_address);
    return at ? at - s->rows : -1;
}

/* All that a matcher holds, in the order in which it is written. */
static void each(struct saving *s, void (*partition)(struct saving *s, struct partition *p),
                 void (*attempt)(struct saving *s, struct attempt *a),
                 void (*run)(struct saving *s, struct run *r))
{
    for (size_t i = 0; i < BUCKETS; i++) {
        LIST_FOR_EACH (l, &s->m->buckets[i]) {
            struct partition *p = CONTAINER_OF(l, struct partition, node);
            partition(s, p);
            LIST_FOR_EACH (k, &p->attempts) {
                struct attempt *a = CONTAINER_OF(k, struct attempt, node);
                attempt(s, a);
                LIST_FOR_EACH (j, &a->runs) {
                    run(s, CONTAINER_OF(j, struct run, node));
                }
            }
        }
    }
}

static void rows_of_history(struct saving *s, struct history *h)
{
    for (; h && h->saving != s->m->savings; h = h->before) {
        h->saving = s->m->savings;
        note_row(s, h->row);
    }
}

static void rows_of_partition(struct saving *s, struct partition *p)
{
    note_row(s, p->sample);
}

static void rows_of_attempt(struct saving *s, struct attempt *a)
{
    rows_of_history(s, a->found);
}

static void rows_of_run(struct saving *s, struct run *r)
{
    rows_of_history(s, r->rows);
}

/* Numbers a history and those before it that have no number yet, the first first. */
static int64_t number(struct saving *s, struct history *h)
{
    struct history *known = h;
    uint32_t n = 0;
    for (; known && known->saving != s->m->savings; known = known->before) {
        known->saving = s->m->savings;
        n++;
    }
    uint32_t last = s->n_histories + n, base = s->histories.n;
    for (uint32_t i = 0; i < 3 * n; i++) {
        put(s, &s->histories, 0);
    }
    for (struct history *at = h; s->histories.items && at != known; at = at->before) {
        at->place = --last;
        struct value *to = s->histories.items + base + 3 * (last - s->n_histories);
        to[0] = value_int(place_of(s, at->row));
        to[1] = value_int(at->step);
        int64_t before = at->before == known ? -1 : (int64_t)last - 1;
        to[2] = value_int(known && before < 0 ? known->place : before);
    }
    s->n_histories += n;
    return h ? (int64_t)h->place : -1;
}

static uint32_t length(const struct list *l)
{
    uint32_t n = 0;
    for (const struct list *at = l->next; at != l; at = at->next) {
        n++;
    }
    return n;
}

static void put_partition(struct saving *s, struct partition *p)
{
    put(s, &s->partitions, place_of(s, p->sample));
    put(s, &s->partitions, length(&p->attempts));
}

static void put_attempt(struct saving *s, struct attempt *a)
{
    put(s, &s->partitions, (int64_t)a->first);
    put(s, &s->partitions, a->first_us);
    put(s, &s->partitions, number(s, a->found));
    put(s, &s->partitions, (int64_t)a->found_last);
    put(s, &s->partitions, length(&a->runs));
}

static void put_run(struct saving *s, struct run *r)
{
    put(s, &s->partitions, number(s, r->rows));
    put(s, &s->partitions, r->step);
    put(s, &s->partitions, r->count);
}

static struct value list_of(const struct list_out *l)
{
    return (struct value){.type = VALUE_ARRAY, .n = l->n, .items = l->items};
}

int match_save(struct match *m, struct arena *a, struct value *ret)
{
    struct saving s = {.m = m, .arena = a};
    m->savings++;
    each(&s, rows_of_partition, rows_of_attempt, rows_of_run);
    sort_rows(&s);
    m->savings++;
    each(&s, put_partition, put_attempt, put_run);
    struct value *items = arena_alloc(a, (HEAD + 3) * sizeof(*items));
    struct value *rows = arena_alloc(a, (s.n_rows + 1) * sizeof(*rows));
    for (uint32_t i = 0; rows && i < s.n_rows; i++) {
        rows[i] = row_save(a, s.rows[i]);
    }
    if (arena_failed(a)) {
        return -ENOMEM;
    }
    const int64_t head[HEAD] = {VERSION,          m->spec.n_steps,     m->spec.n_partition,
                                (int64_t)m->rows, (int64_t)m->matches, m->now_us};
    for (uint32_t i = 0; i < HEAD; i++) {
        items[i] = value_int(head[i]);
    }
    items[HEAD] = (struct value){.type = VALUE_ARRAY, .n = s.n_rows, .items = rows};
    items[HEAD + 1] = list_of(&s.histories);
    items[HEAD + 2] = list_of(&s.partitions);
    *ret = (struct value){.type = VALUE_ARRAY, .n = HEAD + 3, .items = items};
    return 0;
}

/* ---- loading ---- */

struct loading {
    struct match *m;
    struct row **rows;
    uint32_t n_rows;
    struct history **histories;
    uint32_t n_histories;
    const struct value *numbers; /* that come next */
    uint32_t n_numbers;
};

/* The next number, in [least, most]. */
static int next_number(struct loading *l, int64_t least, int64_t most, int64_t *ret)
{
    if (l->n_numbers == 0 || l->numbers->type != VALUE_INT || l->numbers->i < least ||
        l->numbers->i > most) {
        return -E_INVAL;
    }
    *ret = l->numbers->i;
    l->numbers++;
    l->n_numbers--;
    return 0;
}

static bool has_form(const struct match *m, const struct value *v)
{
    if (v->type != VALUE_ARRAY || v->n != HEAD + 3) {
        return false;
    }
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->items[i].type != (i < HEAD ? VALUE_INT : VALUE_ARRAY)) {
            return false;
        }
    }
    return v->items[0].i == VERSION && v->items[1].i == m->spec.n_steps &&
           v->items[2].i == m->spec.n_partition && v->items[3].i >= 0 && v->items[4].i >= 0 &&
           v->items[HEAD + 1].n % 3 == 0;
}

static int load_rows(struct loading *l, const struct value *list)
{
    l->rows = mem_zalloc((list->n + 1) * sizeof(struct row *));
    for (; l->rows && l->n_rows < list->n; l->n_rows++) {
        l->rows[l->n_rows] = row_load(&list->items[l->n_rows]);
        if (!l->rows[l->n_rows]) {
            return -E_INVAL;
        }
    }
    return l->rows ? 0 : -ENOMEM;
}

static int load_histories(struct loading *l, const struct value *list)
{
    l->histories = mem_zalloc((list->n / 3 + 1) * sizeof(struct history *));
    l->numbers = list->items;
    l->n_numbers = list->n;
    while (l->histories && l->n_numbers > 0) {
        int64_t row, step, before;
        if (next_number(l, 0, (int64_t)l->n_rows - 1, &row) < 0 ||
            next_number(l, 0, (int64_t)l->m->spec.n_steps - 1, &step) < 0 ||
            next_number(l, -1, (int64_t)l->n_histories - 1, &before) < 0) {
            return -E_INVAL;
        }
        struct history *h = mem_zalloc(sizeof(*h));
        if (!h) {
            return -ENOMEM;
        }
        h->refs = 1;
        h->step = (uint32_t)step;
        h->row = row_ref(l->rows[row]);
        h->before = before < 0 ? NULL : history_ref(l->histories[before]);
        l->histories[l->n_histories++] = h;
    }
    return l->histories ? 0 : -ENOMEM;
}

static int load_run(struct loading *l, struct attempt *a)
{
    int64_t history, step, count;
    if (next_number(l, 0, (int64_t)l->n_histories - 1, &history) < 0 ||
        next_number(l, 0, (int64_t)l->m->spec.n_steps - 1, &step) < 0 ||
        next_number(l, 1, l->m->spec.steps[step].max, &count) < 0 || l->m->runs >= l->m->max_runs) {
        return -E_INVAL;
    }
    return run_add(l->m, &a->runs, history_ref(l->histories[history]), (uint32_t)step,
                   (uint32_t)count);
}

/* *first: of the attempt before; they ascend. */
static int load_attempt(struct loading *l, struct partition *p, int64_t *first)
{
    int64_t first_us, found, found_last, runs;
    if (next_number(l, *first, (int64_t)l->m->rows, first) < 0 ||
        next_number(l, INT64_MIN, INT64_MAX, &first_us) < 0 ||
        next_number(l, -1, (int64_t)l->n_histories - 1, &found) < 0 ||
        next_number(l, 0, (int64_t)l->m->rows, &found_last) < 0 ||
        next_number(l, 0, l->n_numbers, &runs) < 0) {
        return -E_INVAL;
    }
    struct attempt *a = attempt_new(p, (uint64_t)*first, first_us);
    if (!a) {
        return -ENOMEM;
    }
    a->found = found < 0 ? NULL : history_ref(l->histories[found]);
    a->found_last = (uint64_t)found_last;
    int rc = 0;
    for (; rc == 0 && runs > 0; runs--) {
        rc = load_run(l, a);
    }
    return rc;
}

static int load_partition(struct loading *l)
{
    struct value *keys;
    uint64_t hash;
    int64_t sample, attempts, first = 0;
    if (next_number(l, 0, (int64_t)l->n_rows - 1, &sample) < 0 ||
        next_number(l, 1, l->n_numbers, &attempts) < 0) {
        return -E_INVAL;
    }
    arena_clear(&l->m->arena);
    int rc = partition_keys(l->m, l->rows[sample], &keys, &hash);
    struct partition *p = rc < 0 ? NULL : partition_new(l->m, l->rows[sample], hash);
    rc = p ? 0 : -ENOMEM;
    for (; rc == 0 && attempts > 0; attempts--) {
        rc = load_attempt(l, p, &first);
    }
    return rc;
}

static int load_all(struct loading *l, const struct value *saved)
{
    const struct value *partitions = &saved->items[HEAD + 2];
    int rc = load_rows(l, &saved->items[HEAD]);
    rc = rc < 0 ? rc : load_histories(l, &saved->items[HEAD + 1]);
    l->numbers = partitions->items;
    l->n_numbers = partitions->n;
    while (rc == 0 && l->n_numbers > 0) {
        rc = load_partition(l);
    }
    return rc;
}

int match_load(struct match *m, const struct value *saved, struct err *err)
{
    struct loading l = {.m = m};
    if (!has_form(m, saved)) {
        return err_set(err, -E_INVAL, "the saved state of MATCH_RECOGNIZE is of another pattern");
    }
    m->rows = (uint64_t)saved->items[3].i;
    m->matches = (uint64_t)saved->items[4].i;
    m->now_us = saved->items[5].i;
    int rc = load_all(&l, saved);
    for (uint32_t i = 0; i < l.n_histories; i++) {
        history_unref(l.histories[i]);
    }
    for (uint32_t i = 0; i < l.n_rows; i++) {
        row_unref(l.rows[i]);
    }
    mem_free(l.histories);
    mem_free(l.rows);
    if (rc == -ENOMEM) {
        return err_sys(err, -E_NOMEM, "load the state of MATCH_RECOGNIZE");
    }
    return rc < 0 ? err_set(err, rc, "the saved state of MATCH_RECOGNIZE is damaged") : 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State windows. With two conditions a window runs from a row that meets `begin` to the next that
 * meets `emit`, both included; rows between windows are dropped. With one, the row that meets it
 * ends a window, without being in it, and begins the next. FILTER says which rows are collected,
 * not which are looked at; a window that collected none because of it is not emitted.
 */
#include "window_private.h"

/* The values of PARTITION BY as a row; values that fail to compute count as null. */
static struct row *partition_key(struct window *w, const struct kept *k, uint64_t *ret_hash)
{
    uint32_t n = w->spec.n_partition;
    struct value *values = arena_zalloc(&w->scratch, (n + 1) * sizeof(*values));
    struct row *key = NULL;
    struct eval ev;
    window_eval_for(w, k, &ev);
    uint64_t hash = n;
    for (uint32_t i = 0; values && i < n; i++) {
        struct err err;
        if (expr_eval(w->spec.partition[i], &ev, &values[i], &err) < 0) {
            window_report(w, k->row, &err);
            values[i] = VALUE_OF_NULL;
        }
        hash = value_hash(&values[i], hash);
    }
    if (values) {
        key = row_new(values, n, NULL, NULL, 0, 0);
    }
    arena_clear(&w->scratch);
    *ret_hash = hash;
    return key;
}

static bool same_key(const struct row *a, const struct row *b)
{
    for (uint32_t i = 0; i < a->n_cells; i++) {
        if (!value_same(&a->cells[i], &b->cells[i])) {
            return false;
        }
    }
    return true;
}

/* Open addressing over the partitions by hash; the table is rebuilt when it is 2/3 full. */
static int grow_slots(struct window *w)
{
    uint32_t cap = w->cap_partition_slots ? w->cap_partition_slots * 2 : 16;
    uint32_t *slots = mem_zalloc(cap * sizeof(*slots));
    if (!slots) {
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < w->n_partitions; i++) {
        uint32_t at = (uint32_t)w->partitions[i].hash & (cap - 1);
        while (slots[at]) {
            at = (at + 1) & (cap - 1);
        }
        slots[at] = i + 1;
    }
    mem_free(w->partition_slots);
    w->partition_slots = slots;
    w->cap_partition_slots = cap;
    return 0;
}

static int grow_partitions(struct window *w)
{
    if (w->n_partitions == w->cap_partitions) {
        uint32_t cap = w->cap_partitions ? w->cap_partitions * 2 : 8;
        struct partition *p = mem_realloc(w->partitions, cap * sizeof(*p));
        if (!p) {
            return -ENOMEM;
        }
        w->partitions = p;
        w->cap_partitions = cap;
    }
    return w->n_partitions * 3 >= w->cap_partition_slots * 2 ? grow_slots(w) : 0;
}

/* Finds or adds; takes key. *ret is NULL when the limit is reached. */
int state_partition(struct window *w, struct row *key, uint64_t hash, struct partition **ret)
{
    int rc = grow_partitions(w);
    if (rc < 0) {
        row_unref(key);
        return rc;
    }
    uint32_t mask = w->cap_partition_slots - 1, at = (uint32_t)hash & mask;
    while (w->partition_slots[at]) {
        struct partition *p = &w->partitions[w->partition_slots[at] - 1];
        if (p->hash == hash && same_key(p->key, key)) {
            row_unref(key);
            *ret = p;
            return 0;
        }
        at = (at + 1) & mask;
    }
    if (!window_charge(w, sizeof(struct partition) + key->bytes, NULL)) {
        row_unref(key);
        *ret = NULL;
        return 0;
    }
    w->partitions[w->n_partitions] = (struct partition){.key = key, .hash = hash};
    w->partition_slots[at] = ++w->n_partitions;
    *ret = &w->partitions[w->n_partitions - 1];
    return 0;
}

static int emit_partition(struct window *w, struct partition *p, int64_t end)
{
    struct window_range range = {p->start, end, end};
    struct bag *bag = &p->bag;
    int rc = 0;
    if (!w->spec.filter || !bag_empty(bag)) {
        rc = fire_bags(w, &range, &bag, 1);
    }
    bag_clear(w, bag);
    return rc;
}

/* Takes k. */
static int collect(struct window *w, struct partition *p, struct kept *k)
{
    if (w->spec.filter && !window_test(w, w->spec.filter, k, "Window Filter")) {
        row_unref(k->row);
        row_unref(k->computed);
        return 0;
    }
    return bag_add(w, &p->bag, k);
}

static bool meets(struct window *w, const struct expr *e, const struct kept *k)
{
    bool yes = window_test(w, e, k, "State Window");
    if (yes) {
        w->conditions.hits++;
        w->conditions.last_hit_us = k->row->time_us;
    }
    return yes;
}

static int push_to(struct window *w, struct partition *p, struct kept *k)
{
    int64_t t = k->row->time_us;
    if (!p->open) {
        if (!meets(w, w->spec.begin, k)) {
            row_unref(k->row);
            row_unref(k->computed);
            return 0;
        }
        p->open = true;
        p->start = t;
        return collect(w, p, k);
    }
    if (!w->spec.emit) {
        int rc = meets(w, w->spec.begin, k) ? emit_partition(w, p, t) : 1;
        p->start = rc <= 0 ? t : p->start;
        int added = collect(w, p, k);
        return rc < 0 ? rc : added;
    }
    bool ends = meets(w, w->spec.emit, k);
    int rc = collect(w, p, k);
    if (ends && rc >= 0) {
        rc = emit_partition(w, p, t);
        p->open = false;
    }
    return rc;
}

int state_push(struct window *w, struct kept *k)
{
    uint64_t hash;
    struct partition *p = NULL;
    struct row *key = partition_key(w, k, &hash);
    int rc = key ? state_partition(w, key, hash, &p) : -ENOMEM;
    if (!p) {
        row_unref(k->row);
        row_unref(k->computed);
        return rc;
    }
    return push_to(w, p, k);
}

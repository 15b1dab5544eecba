/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists: of the published state, or of an older one, which is the published state with the events
 * since then taken back. A later page of a list costs as much as the history has events after its
 * revision, and nothing is kept between pages.
 */
#include "store_private.h"

#include <errno.h>
#include <stdlib.h>

void store_list_fini(struct store_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        store_item_unref(l->items[i]);
    }
    mem_free(l->items);
    *l = (struct store_list){0};
}

size_t store_count(const struct store *s, struct str prefix)
{
    size_t from, to;
    (void)table_seek(&s->table, prefix, TABLE_GE, &from); /* for their ranks only */
    (void)table_seek(&s->table, prefix, TABLE_BEHIND_PREFIX, &to);
    return to - from;
}

/* The range of the table that a list is about: from the first key to be listed to its end. */
struct range {
    struct table_node *at, *end;
    size_t n; /* nodes in it */
};

static void range_init(const struct store *s, const struct store_list_opts *o, struct range *ret)
{
    size_t from, to;
    bool later = str_cmp(o->after, o->prefix) >= 0 && o->after.n > 0;
    ret->at = later ? table_seek(&s->table, o->after, TABLE_GT, &from)
                    : table_seek(&s->table, o->prefix, TABLE_GE, &from);
    ret->end = table_seek(&s->table, o->prefix, TABLE_BEHIND_PREFIX, &to);
    ret->n = to > from ? to - from : 0;
    if (ret->n == 0) {
        ret->at = ret->end;
    }
}

static int list_newest(const struct store *s, const struct store_list_opts *o,
                       struct store_list *ret)
{
    struct range r;
    range_init(s, o, &r);
    size_t n = o->limit ? MIN_OF(o->limit, r.n) : r.n;
    struct store_item **items = n ? mem_alloc(n * sizeof(struct store_item *)) : NULL;
    if (n && !items) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++, r.at = table_next(r.at)) {
        items[i] = store_item_ref(r.at->item);
    }
    *ret = (struct store_list){.items = items, .n = n, .rev = s->rev, .remaining = r.n - n};
    return 0;
}

/* ---- an older revision ---- */

/* A key that has changed since, and what it was: NULL = absent. */
struct undo {
    struct str key;
    struct store_item *was;
    int64_t rev; /* of the event that changed it */
};

static int undo_cmp(const void *pa, const void *pb)
{
    const struct undo *a = pa, *b = pb;
    int c = str_cmp(a->key, b->key);
    return c ? c : (a->rev > b->rev) - (a->rev < b->rev);
}

static bool is_listed(const struct store_event *ev, const struct store_list_opts *o)
{
    struct str key = store_item_key(ev->item);
    return key_in(key, o->prefix) && (o->after.n == 0 || str_cmp(key, o->after) > 0);
}

/* The changes after o->rev from newest to oldest; counts them only when undos is NULL. */
static size_t collect_undos(const struct store *s, const struct store_list_opts *o,
                            struct undo *undos)
{
    size_t n = 0;
    for (const struct list *l = s->events.prev; l != &s->events; l = l->prev) {
        const struct store_event *ev = CONTAINER_OF(l, struct store_event, link);
        if (ev->rev <= o->rev) {
            break;
        }
        if (is_listed(ev, o)) {
            if (undos) {
                undos[n] = (struct undo){store_item_key(ev->item), ev->prev, ev->rev};
            }
            n++;
        }
    }
    return n;
}

/* Sorted by key, the oldest change of each key: it knows what the key was. */
static size_t sort_undos(struct undo *undos, size_t n)
{
    qsort(undos, n, sizeof undos[0], undo_cmp);
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        if (out == 0 || !str_eq(undos[out - 1].key, undos[i].key)) {
            undos[out++] = undos[i];
        }
    }
    return out;
}

struct merge {
    struct range now;
    const struct undo *undo, *undo_end;
};

/* The next item of the older state in key order; NULL at the end. */
static struct store_item *merge_next(struct merge *m)
{
    while (m->now.at != m->now.end || m->undo != m->undo_end) {
        int c = m->undo == m->undo_end    ? -1
                : m->now.at == m->now.end ? 1
                                          : str_cmp(table_node_key(m->now.at), m->undo->key);
        struct store_item *it;
        if (c < 0) {
            it = m->now.at->item;
            m->now.at = table_next(m->now.at);
        } else {
            it = m->undo->was;
            m->undo++;
            m->now.at = c == 0 ? table_next(m->now.at) : m->now.at;
        }
        if (it) {
            return it;
        }
    }
    return NULL;
}

static int merge_all(struct merge m, size_t limit, struct store_list *ret)
{
    size_t most = m.now.n + (size_t)(m.undo_end - m.undo);
    most = limit ? MIN_OF(limit, most) : most;
    struct store_item **items = most ? mem_alloc(most * sizeof(struct store_item *)) : NULL;
    if (most && !items) {
        return -ENOMEM;
    }
    size_t n = 0, remaining = 0;
    for (struct store_item *it = merge_next(&m); it; it = merge_next(&m)) {
        if (n < most) {
            items[n++] = store_item_ref(it);
        } else {
            remaining++;
        }
    }
    ret->items = items;
    ret->n = n;
    ret->remaining = remaining;
    return 0;
}

static int list_older(const struct store *s, const struct store_list_opts *o,
                      struct store_list *ret)
{
    size_t n = collect_undos(s, o, NULL);
    CLEANUP(mem_freep) struct undo *undos = mem_alloc(n * sizeof *undos);
    if (!undos) {
        return -ENOMEM;
    }
    (void)collect_undos(s, o, undos); /* the same n */
    n = sort_undos(undos, n);
    struct merge m = {.undo = undos, .undo_end = undos + n};
    range_init(s, o, &m.now);
    *ret = (struct store_list){.rev = o->rev};
    return merge_all(m, o->limit, ret);
}

int store_list(const struct store *s, const struct store_list_opts *o, struct store_list *ret)
{
    if (o->rev > s->rev) {
        return -E_RANGE;
    }
    if (o->rev == 0 || o->rev == s->rev) {
        return list_newest(s, o, ret);
    }
    const struct store_resource *r = resource_find(s, o->prefix);
    bool whole = !o->prefix.n || !memchr(o->prefix.p, '/', o->prefix.n);
    if (o->rev < (r ? r->floor_rev : whole ? s->floor_rev : s->base_floor_rev)) {
        return -E_GONE;
    }
    return list_older(s, o, ret);
}

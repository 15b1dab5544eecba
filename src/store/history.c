/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The history: the newest events in revision order, in one chain of all and one chain a resource.
 *
 * Invariants:
 *  1. Both chains ascend strictly in rev; the resource chains partition the chain of all.
 *  2. For a resource, every event after its floor_rev is in the history; for all together, every
 *     event after store.floor_rev. So a quiet resource can be resumed from far back.
 *  3. A row on disk is remembered as garbage only when the event that made it superfluous leaves
 *     the history, and a deletion's own row only together with or after the row that it deleted:
 *     else the key would be back after a crash in between. Garbage is deleted in this order.
 */
#include "store_private.h"

void history_push(struct store *s, struct store_event *ev)
{
    assert(list_empty(&s->events) ||
           CONTAINER_OF(s->events.prev, struct store_event, link)->rev < ev->rev);
    ev->bytes = sizeof *ev + (ev->prev ? item_size(ev->prev) : 0) +
                (ev->type == STORE_DELETE ? item_size(ev->item) : 0);
    list_push_back(&s->events, &ev->link);
    list_push_back(&ev->resource->events, &ev->resource_link);
    s->events_n++;
    s->events_bytes += ev->bytes;
}

static void forget_rows(struct store *s, const struct store_event *ev)
{
    if (!s->committer.ops->commit) {
        return;
    }
    int64_t tombstone = ev->type == STORE_DELETE ? ev->rev : 0;
    if (ev->drop_rev || tombstone) {
        committer_garbage(&s->committer, ev->drop_rev, tombstone, s->trimmed_rev);
    }
}

void history_drop_oldest(struct store *s)
{
    struct store_event *ev = CONTAINER_OF(s->events.next, struct store_event, link);
    assert(ev->rev > s->trimmed_rev);
    s->trimmed_rev = ev->rev;
    s->floor_rev = MAX_OF(s->floor_rev, ev->rev);
    ev->resource->floor_rev = MAX_OF(ev->resource->floor_rev, ev->rev);
    forget_rows(s, ev);
    list_del(&ev->link);
    list_del(&ev->resource_link);
    s->events_n--;
    s->events_bytes -= ev->bytes;
    store_event_unref(ev);
}

static bool is_over(const struct store *s)
{
    const struct store_opts *o = &s->opts;
    if (s->events_n == 0) {
        return false;
    }
    if (s->events_bytes > o->history_bytes || s->events_n / 4 > o->history_count) {
        return true;
    }
    const struct store_event *oldest = CONTAINER_OF(s->events.next, struct store_event, link);
    return s->events_n > o->history_count &&
           s->now_us - oldest->at_us >= o->history_age_s * INT64_C(1000000);
}

void history_trim(struct store *s)
{
    while (is_over(s)) {
        history_drop_oldest(s);
    }
}

void store_compact(struct store *s, int64_t rev)
{
    while (!list_empty(&s->events) &&
           CONTAINER_OF(s->events.next, struct store_event, link)->rev <= rev) {
        history_drop_oldest(s);
    }
}

void history_fini(struct store *s)
{
    for (struct list *l = list_pop_front(&s->events); l; l = list_pop_front(&s->events)) {
        struct store_event *ev = CONTAINER_OF(l, struct store_event, link);
        list_del(&ev->resource_link);
        store_event_unref(ev);
    }
    s->events_n = s->events_bytes = 0;
}

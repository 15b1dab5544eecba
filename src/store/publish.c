/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From durable to visible: on the loop, in revision order, table and history first, then watchers,
 * then the callbacks of the requests. Nothing here allocates.
 */
#include "store_private.h"

#include "base/metrics.h"

/* ---- one operation ---- */

static struct store_item *table_put(struct store *s, struct write_op *op,
                                    struct table_node **ret_node)
{
    struct table_node *n = table_find(&s->table, store_item_key(op->item));
    struct store_item *old = NULL;
    if (n) {
        old = n->item;
    } else {
        n = TAKE_PTR(op->spare);
        assert(n != NULL);
        table_link(&s->table, n);
    }
    n->item = store_item_ref(op->item);
    *ret_node = n;
    return old;
}

/* A flush wrote a published item's row, and dropped the row of its predecessor. */
static void publish_flush(struct store *s, struct write_op *op)
{
    struct table_node *n = table_find(&s->table, store_item_key(op->item));
    assert(n && n->disk_rev == op->drop_rev); /* nothing durable was pending (write_flush) */
    n->disk_rev = op->item->rev;
}

void publish_op(struct store *s, struct write_op *op)
{
    struct store_event *ev = TAKE_PTR(op->event);
    if (!ev) {
        publish_flush(s, op);
        return;
    }
    ev->rev = op->item->rev;
    ev->type = op->type;
    ev->item = store_item_ref(op->item);
    ev->resource = op->resource;
    ev->at_us = s->now_us;
    if (op->type == STORE_PUT) {
        struct table_node *n;
        ev->prev = table_put(s, op, &n);
        if (op->durable) {
            ev->drop_rev = n->disk_rev;
            n->disk_rev = ev->rev;
        } else {
            op->resource->ephemeral = op->resource->dirty = true;
        }
    } else {
        struct table_node *n = table_find(&s->table, store_item_key(op->item));
        assert(n != NULL);
        ev->prev = n->item;
        ev->drop_rev = n->disk_rev;
        table_unlink(&s->table, n);
        table_node_free(n);
    }
    s->rev = ev->rev;
    history_push(s, ev);
}

/* ---- batches ---- */

static void drop_from_overlay(struct store *s, struct write_op *op)
{
    struct str key = store_item_key(op->item);
    if (map_get(&s->overlay, key) == op) {
        (void)map_del(&s->overlay, key); /* the value is op itself */
    }
}

static void publish_write(struct store *s, struct store_write *w)
{
    for (size_t i = 0; i < w->n; i++) {
        struct write_op *op = &w->ops[i];
        struct store_event *ev = op->event;
        publish_op(s, op);
        if (ev) {
            drop_from_overlay(s, op);
            watch_notify(s, ev);
            metric_add(METRIC_STORE_WRITES, op->durable);
        }
    }
    if (w->ceiling_rev) {
        s->ceiling_durable = w->ceiling_rev;
    }
}

static void publish_batch(struct store *s, const struct write_queue *batch)
{
    s->now_us = mono_now().us;
    for (struct store_write *w = batch->first; w; w = w->next) {
        if (w->code == 0) {
            publish_write(s, w);
        }
    }
    history_trim(s);
    metric_set(METRIC_STORE_REVISION, s->rev);
    metric_set(METRIC_STORE_OBJECTS, (int64_t)s->table.n);
}

/* Every write that is not published fails together, also what the committer has not got yet. */
static void gather_failed(struct store *s, struct write_queue *batch, int code)
{
    for (struct store_write *w = s->submitted.first; w; w = w->next) {
        w->code = code;
    }
    write_queue_join(batch, &s->submitted);
}

/* Nothing is pending any more: the newest state is what is published. */
static void reset_pending(struct store *s)
{
    map_fini(&s->overlay, NULL);
    map_init(&s->overlay);
    s->ceiling_submitted = s->ceiling_durable;
    MAP_FOR_EACH (slot, &s->resources) {
        struct store_resource *r = slot->value;
        r->dirty = r->dirty || r->ephemeral; /* a flush may be among what failed */
    }
}

static void call_back(struct store *s, struct store_write *w, const char *text)
{
    s->pending--;
    s->pending_bytes -= w->bytes;
    struct store_req *req = w->req;
    if (req) {
        req->write = NULL;
        req->item = w->n && w->code == 0 ? w->ops[w->n - 1].item : NULL;
        req->done(req, w->code, w->code ? text : NULL);
    }
}

/* ---- the end ---- */

static void go_on_closing(struct store *s)
{
    if (s->pending > 0) {
        return;
    }
    if (!s->final_sent) {
        s->final_sent = true;
        int code = write_flush(s, /* final= */ true);
        s->final_code = s->final_code ? s->final_code : code;
        if (s->pending > 0) {
            return;
        }
    }
    committer_stop(&s->committer);
    if (!committer_join(&s->committer)) {
        return;
    }
    void (*done)(void *arg, int code) = s->close_done;
    void *arg = s->close_arg;
    int code = s->final_code;
    store_free(s);
    if (done) {
        done(arg, code);
    }
}

void publish_done(void *store)
{
    struct store *s = store;
    struct write_queue batch;
    struct err err;
    bool failed = committer_take(&s->committer, &batch, &err);
    if (failed) {
        gather_failed(s, &batch, err.code);
    }
    publish_batch(s, &batch);
    if (failed) {
        reset_pending(s);
    } else if (map_len(&s->overlay) == 0) {
        map_fini(&s->overlay, NULL); /* gives back what a burst made it grow to */
    }
    watch_run_ready(s);
    for (struct store_write *w = write_queue_pop(&batch); w; w = write_queue_pop(&batch)) {
        if (s->final_sent && w->code) {
            s->final_code = w->code;
        }
        call_back(s, w, failed ? err.text : NULL);
        write_free(w);
    }
    if (s->closing) {
        go_on_closing(s);
    }
}

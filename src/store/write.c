/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Submitting writes: checks against the newest state, takes revisions, and gathers everything of a
 * loop tick for the committer.
 *
 * Invariants:
 *  1. The overlay maps a key to the newest operation on it that is not published; so the newest
 *     state of a key is its overlay entry, or else its published item.
 *  2. An accepted write holds all memory that publishing it takes.
 *  3. A revision above ceiling_submitted is given to an operation without a row only together with
 *     a raise of the ceiling in the same write; since writes commit in order, no such revision is
 *     published before its ceiling is durable, and so none is given out again after a crash.
 */
#include "store_private.h"

#include "base/limits.h"

#define FLUSH_MAX 4096 /* items of one flush; the rest waits for the next */

/* ---- memory of writes ---- */

void op_fini(struct write_op *op)
{
    store_item_unref(op->item);
    store_event_unref(op->event);
    table_node_free(op->spare);
}

void write_free(struct store_write *w)
{
    if (!w) {
        return;
    }
    for (size_t i = 0; i < w->n; i++) {
        op_fini(&w->ops[i]);
    }
    mem_free(w);
}

static void write_freep(struct store_write **w)
{
    write_free(*w);
}

static struct store_write *write_new(size_t n)
{
    struct store_write *w = mem_zalloc(sizeof *w + n * sizeof w->ops[0]);
    if (w) {
        w->n = n;
        w->bytes = sizeof *w;
    }
    return w;
}

/* ---- preparing: everything that may fail without a trace ---- */

static int check_op(const struct store_op *o)
{
    if (o->key.n > LIMIT_STORE_KEY || o->value.n > LIMIT_OBJECT) {
        return -E_TOOBIG;
    }
    bool rev_ok = o->expected_rev >= STORE_ANY_REV;
    if (o->type == STORE_DELETE && o->expected_rev == 0) {
        rev_ok = false;
    }
    return key_ok(o->key) && rev_ok && !(o->flags & ~(unsigned)STORE_F_EPHEMERAL) ? 0 : -E_INVAL;
}

static int prepare_op(struct store *s, const struct store_op *o, struct write_op *op)
{
    op->type = o->type;
    int code = item_new(s->opts.index, o->key, o->value, &op->item);
    if (code < 0) {
        return code;
    }
    op->item->flags = o->flags;
    op->item->origin = o->origin;
    op->event = event_new();
    op->resource = resource_get(s, o->key);
    if (o->type == STORE_PUT) {
        op->spare = table_node_new(&s->table, o->key);
    }
    return op->event && op->resource && (op->spare || o->type == STORE_DELETE) ? 0 : -ENOMEM;
}

static int prepare(struct store *s, const struct store_op *ops, size_t n, struct store_write **ret)
{
    CLEANUP(write_freep) struct store_write *w = write_new(n);
    int code = w ? 0 : -ENOMEM;
    for (size_t i = 0; code == 0 && i < n; i++) {
        code = check_op(&ops[i]);
        if (code == 0) {
            code = prepare_op(s, &ops[i], &w->ops[i]);
        }
        if (code == 0) {
            w->bytes += item_size(w->ops[i].item) + sizeof w->ops[i] + sizeof(struct store_event);
        }
    }
    if (code == 0) {
        *ret = TAKE_PTR(w);
    }
    return code;
}

/* ---- accepting: against the newest state ---- */

static struct write_op *pending_op(const struct store *s, struct str key)
{
    return map_len(&s->overlay) ? map_get(&s->overlay, key) : NULL;
}

static struct store_item *published(const struct store *s, struct str key)
{
    struct table_node *n = table_find(&s->table, key);
    return n ? n->item : NULL;
}

struct store_item *store_get_latest(const struct store *s, struct str key)
{
    struct write_op *op = pending_op(s, key);
    if (op) {
        return op->type == STORE_PUT ? op->item : NULL;
    }
    return published(s, key);
}

struct store_item *store_get(const struct store *s, struct str key)
{
    return published(s, key);
}

static int check_rev(const struct store_op *o, const struct store_item *newest)
{
    if (!newest) {
        return o->expected_rev > 0 || o->type == STORE_DELETE ? -E_NOENT : 0;
    }
    if (o->expected_rev == 0) {
        return -E_EXISTS;
    }
    return o->expected_rev == STORE_ANY_REV || o->expected_rev == newest->rev ? 0 : -E_CONFLICT;
}

static int accept_op(struct store *s, const struct store_op *o, struct write_op *op, int64_t rev)
{
    struct store_item *newest = store_get_latest(s, o->key);
    int code = check_rev(o, newest);
    if (code < 0) {
        return code;
    }
    op->item->rev = rev;
    op->item->create_rev = newest ? newest->create_rev : rev;
    /* Only an update of what has an ephemeral row may stay without a row: see store.h. */
    op->durable = o->type == STORE_DELETE || !(o->flags & STORE_F_EPHEMERAL) || !newest ||
                  !(newest->flags & STORE_F_EPHEMERAL);
    void *older = NULL;
    code = map_put(&s->overlay, o->key, op, &older);
    op->older = older;
    return code;
}

static void undo_op(struct store *s, struct write_op *op)
{
    struct str key = store_item_key(op->item);
    if (op->older) {
        int rc = map_put(&s->overlay, key, op->older, NULL);
        assert(rc == 0); /* the map has the size that it had when op went in: no growth */
    } else {
        (void)map_del(&s->overlay, key); /* the value is op itself */
    }
}

static int accept_all(struct store *s, const struct store_op *ops, struct store_write *w)
{
    for (size_t i = 0; i < w->n; i++) {
        int code = accept_op(s, &ops[i], &w->ops[i], s->next_rev + (int64_t)i);
        if (code < 0) {
            while (i-- > 0) {
                undo_op(s, &w->ops[i]);
            }
            return code;
        }
    }
    s->next_rev += (int64_t)w->n;
    return 0;
}

/* ---- ephemeral revisions ---- */

static void reserve_revisions(struct store *s, struct store_write *w)
{
    if (!s->committer.ops->commit) {
        return;
    }
    bool needs_row = false, lacks_row = false;
    for (size_t i = 0; i < w->n; i++) {
        needs_row |= w->ops[i].durable;
        lacks_row |= !w->ops[i].durable;
    }
    w->durable = needs_row;
    s->ephemeral_used |= lacks_row;
    int64_t last = s->next_rev - 1;
    /* A transaction that happens anyway takes the next raise along. */
    int64_t ahead = needs_row && s->ephemeral_used ? CEILING_STEP / 2 : 0;
    if ((lacks_row || ahead) && last + ahead > s->ceiling_submitted) {
        w->ceiling_rev = s->ceiling_submitted = last + CEILING_STEP;
        w->durable = true;
    }
}

static void submit(struct store *s, struct store_write *w)
{
    s->pending++;
    s->pending_bytes += w->bytes;
    write_queue_push(&s->submitted, w);
    loop_defer(s->loop, &s->submit_task);
}

static bool needs_flush(const struct store *s, const struct table_node *n)
{
    return n->item->flags & STORE_F_EPHEMERAL && n->disk_rev != n->item->rev &&
           !pending_op(s, table_node_key(n));
}

/* Appends the operations of one resource to w, or only counts when w is NULL. */
static size_t gather_flush(struct store *s, struct store_resource *r, struct store_write *w,
                           size_t at, size_t max)
{
    struct str prefix = str_n(r->name, r->name_n);
    for (struct table_node *n = table_seek(&s->table, prefix, TABLE_GE, NULL);
         n && at < max && key_in(table_node_key(n), prefix); n = table_next(n)) {
        if (needs_flush(s, n)) {
            if (w) {
                w->ops[at] = (struct write_op){.item = store_item_ref(n->item),
                                               .durable = true,
                                               .resource = r,
                                               .drop_rev = n->disk_rev};
                w->bytes += item_size(n->item);
            }
            at++;
        }
    }
    return at;
}

int write_flush(struct store *s, bool final)
{
    if (!s->committer.ops->commit) {
        return 0;
    }
    size_t n = 0, max = final ? SIZE_MAX : FLUSH_MAX;
    MAP_FOR_EACH (slot, &s->resources) {
        struct store_resource *r = slot->value;
        n = r->dirty ? gather_flush(s, r, NULL, n, max) : n;
    }
    bool lower = final && s->ceiling_durable > s->next_rev - 1;
    if (n == 0 && !lower) {
        return 0;
    }
    struct store_write *w = write_new(n);
    if (!w) {
        return -ENOMEM;
    }
    size_t at = 0;
    MAP_FOR_EACH (slot, &s->resources) {
        struct store_resource *r = slot->value;
        if (r->dirty) {
            at = gather_flush(s, r, w, at, n);
            r->dirty = n == max; /* there may be more */
        }
    }
    assert(at == n);
    w->durable = true;
    w->ceiling_rev = lower ? s->next_rev - 1 : 0;
    submit(s, w);
    return 0;
}

static void flush_when_due(struct store *s, const struct store_write *w)
{
    int64_t now = loop_now(s->loop).us;
    if (w->durable && s->ephemeral_used &&
        now - s->flushed_us >= s->opts.flush_interval_s * INT64_C(1000000)) {
        s->flushed_us = now;
        (void)write_flush(s, /* final= */ false); /* without memory: another time */
    }
}

/* ---- the calls ---- */

int store_txn(struct store *s, struct store_req *req, const struct store_op *ops, size_t n)
{
    if (s->closing) {
        return -E_CANCELED;
    }
    if (n > LIMIT_STORE_TXN) {
        return -E_TOOBIG;
    }
    CLEANUP(write_freep) struct store_write *w = NULL;
    int code = prepare(s, ops, n, &w);
    if (code < 0) {
        return code;
    }
    if (w->bytes > LIMIT_STORE_QUEUE) {
        return -E_TOOBIG;
    }
    if (n > 0 && s->pending_bytes + w->bytes > LIMIT_STORE_QUEUE) {
        return -E_BUSY;
    }
    code = accept_all(s, ops, w);
    if (code < 0) {
        return code;
    }
    reserve_revisions(s, w);
    w->req = req;
    req->write = w;
    req->rev = s->next_rev - 1;
    req->item = NULL;
    submit(s, w);
    flush_when_due(s, TAKE_PTR(w));
    return 0;
}

static int submit_one(struct store *s, struct store_req *req, enum store_op_type type,
                      struct str key, struct str value, const struct store_put_opts *opts)
{
    struct store_op op = {
        .type = type,
        .flags = opts ? opts->flags : 0,
        .key = key,
        .value = value,
        .expected_rev = opts ? opts->expected_rev : STORE_ANY_REV,
        .origin = opts ? opts->origin : 0,
    };
    return store_txn(s, req, &op, 1);
}

int store_put(struct store *s, struct store_req *req, struct str key, struct str value,
              const struct store_put_opts *opts)
{
    return submit_one(s, req, STORE_PUT, key, value, opts);
}

int store_delete(struct store *s, struct store_req *req, struct str key, struct str last_value,
                 const struct store_put_opts *opts)
{
    return submit_one(s, req, STORE_DELETE, key, last_value, opts);
}

int store_barrier(struct store *s, struct store_req *req)
{
    return store_txn(s, req, NULL, 0);
}

void store_req_cancel(struct store_req *req)
{
    if (req->write) {
        req->write->req = NULL;
        req->write = NULL;
    }
}

int64_t store_next_rev(const struct store *s)
{
    return s->next_rev;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting: the rows of the backend, in order of revision, become table and history again, by the
 * same code that publishes writes.
 */
#include "store_private.h"

#include "base/limits.h"
#include "base/metrics.h"

static int check_row(const struct store *s, const struct store_row *row, struct err *err)
{
    if (row->rev <= s->rev || row->create_rev > row->rev || row->key.n > LIMIT_STORE_KEY ||
        row->value.n > LIMIT_OBJECT || !key_ok(row->key)) {
        return err_set(err, -E_IO, "the row of revision %lld is corrupt", (long long)row->rev);
    }
    return 0;
}

static int make_op(struct store *s, const struct store_row *row, struct write_op *op)
{
    op->type = row->type;
    op->durable = true;
    int code = item_new(s->opts.index, row->key, row->value, &op->item);
    if (code == -ENOMEM || !op->item) {
        return -ENOMEM;
    }
    op->item->rev = row->rev;
    op->item->create_rev = row->create_rev;
    op->item->origin = row->origin;
    op->item->flags = row->flags;
    op->event = event_new();
    op->resource = resource_get(s, row->key);
    op->spare = table_node_new(&s->table, row->key);
    return op->event && op->resource && op->spare ? 0 : -ENOMEM;
}

static int load_row(void *arg, const struct store_row *row, struct err *err)
{
    struct store *s = arg;
    int code = check_row(s, row, err);
    if (code < 0) {
        return code;
    }
    struct write_op op = {0};
    code = make_op(s, row, &op);
    if (code < 0) {
        op_fini(&op);
        return err_set(err, code, "out of memory");
    }
    if (row->flags & STORE_F_EPHEMERAL) {
        op.resource->ephemeral = true;
    }
    if (op.type == STORE_DELETE && !table_find(&s->table, row->key)) {
        /* What it deleted is gone from the disk already; now it may go too. */
        committer_garbage(&s->committer, row->rev, 0, s->trimmed_rev);
        s->rev = row->rev;
    } else {
        publish_op(s, &op);
        history_trim(s);
    }
    op_fini(&op);
    return 0;
}

/* What is not complete on disk is not history: what was compacted, and every resource with values
 * that may have been published without a row. */
static void set_floors(struct store *s, const struct store_meta *meta)
{
    s->base_floor_rev = meta->compacted_rev;
    s->trimmed_rev = MAX_OF(s->trimmed_rev, meta->compacted_rev);
    committer_garbage(&s->committer, 0, 0, s->trimmed_rev); /* it must never go back on disk */
    s->rev = MAX_OF(s->rev, MAX_OF(meta->compacted_rev, meta->ceiling_rev));
    s->floor_rev = MAX_OF(s->floor_rev, meta->compacted_rev);
    MAP_FOR_EACH (slot, &s->resources) {
        struct store_resource *r = slot->value;
        r->floor_rev = MAX_OF(r->floor_rev, r->ephemeral ? s->rev : meta->compacted_rev);
        s->floor_rev = MAX_OF(s->floor_rev, r->floor_rev);
    }
}

int load_all(struct store *s, struct err *err)
{
    const struct committer *c = &s->committer;
    /* As old as the history likes to drop them: only its count and size keep them. */
    s->now_us = mono_now().us - s->opts.history_age_s * INT64_C(1000000);
    if (c->ops->load) {
        struct store_meta meta;
        int code = c->ops->load(c->backend, load_row, s, &meta, err);
        if (code < 0) {
            return code;
        }
        store_compact(s, meta.compacted_rev); /* their rows, when some are left, may go */
        set_floors(s, &meta);
        s->ceiling_durable = s->ceiling_submitted = meta.ceiling_rev;
    }
    s->next_rev = s->rev + 1;
    metric_set(METRIC_STORE_REVISION, s->rev);
    metric_set(METRIC_STORE_OBJECTS, (int64_t)s->table.n);
    return 0;
}

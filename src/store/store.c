/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing a store; see store.h. */
#include "store.h"

#include <errno.h>

#include "store_private.h"

#define HISTORY_COUNT 8192
#define HISTORY_BYTES ((size_t)16 << 20)
#define HISTORY_AGE_S 300
#define FLUSH_INTERVAL_S 600

static int64_t or_default(int64_t value, int64_t default_value)
{
    return value == 0 ? default_value : MAX_OF(value, 0);
}

static void set_opts(struct store *s, const struct store_opts *opts)
{
    s->opts = *opts;
    s->opts.path = NULL; /* only borrowed */
    s->opts.history_count = opts->history_count ? opts->history_count : HISTORY_COUNT;
    s->opts.history_bytes = opts->history_bytes ? opts->history_bytes : HISTORY_BYTES;
    s->opts.history_age_s = or_default(opts->history_age_s, HISTORY_AGE_S);
    s->opts.flush_interval_s = or_default(opts->flush_interval_s, FLUSH_INTERVAL_S);
}

static void on_submit(void *arg)
{
    struct store *s = arg;
    committer_submit(&s->committer, &s->submitted);
}

/* What cannot fail, so that store_free_unopened() may be called from here on. */
static void init_plain(struct store *s, struct io_loop *loop, const struct store_opts *opts)
{
    s->loop = loop;
    set_opts(s, opts);
    map_init(&s->overlay);
    map_init(&s->resources);
    list_init(&s->events);
    list_init(&s->watches);
    list_init(&s->ready);
    write_queue_init(&s->submitted);
    io_task_init(&s->ready_task, watch_run_ready, s);
    io_task_init(&s->submit_task, on_submit, s);
    struct committer *c = &s->committer;
    c->ops = opts->path ? &store_backend_sqlite : &store_backend_memory;
    c->loop = loop;
    c->mail = (struct io_mail){.fn = publish_done, .arg = s};
    s->flushed_us = loop_now(loop).us;
}

void store_free(struct store *s)
{
    watch_detach_all(s);
    io_task_cancel(&s->ready_task);
    io_task_cancel(&s->submit_task);
    history_fini(s);
    table_fini(&s->table, store_item_unref);
    map_fini(&s->overlay, NULL);
    map_fini(&s->resources, mem_free);
    committer_fini(&s->committer);
    mem_free(s);
}

static int open_backend(struct store *s, const char *path, struct err *err)
{
    struct committer *c = &s->committer;
    if (!c->ops->open) {
        return load_all(s, err);
    }
    c->backend = mem_zalloc(c->ops->size);
    if (!c->backend) {
        return err_set(err, -ENOMEM, "no memory to open the store");
    }
    int code = c->ops->open(c->backend, path, err);
    if (code < 0) {
        return code;
    }
    code = load_all(s, err);
    if (code == 0) {
        code = committer_start(c, err);
    }
    if (code < 0) {
        c->ops->close(c->backend);
    }
    return code;
}

int store_open(struct io_loop *loop, const struct store_opts *opts, struct store **ret,
               struct err *err)
{
    struct store *s = mem_zalloc(sizeof *s);
    if (!s) {
        return err_set(err, -ENOMEM, "no memory to open the store");
    }
    init_plain(s, loop, opts);
    int code = committer_init(&s->committer);
    if (code < 0) {
        mem_free(s);
        return err_sys(err, code, "open the store");
    }
    code = table_init(&s->table);
    if (code < 0) {
        (void)err_set(err, code, "no memory to open the store");
    } else {
        code = open_backend(s, opts->path, err);
    }
    if (code < 0) {
        store_free(s);
        return code;
    }
    *ret = s;
    return 0;
}

void store_close(struct store *s, void (*done)(void *arg, int code), void *arg)
{
    assert(!s->closing);
    s->closing = true;
    s->close_done = done;
    s->close_arg = arg;
    committer_kick(&s->committer);
}

int64_t store_rev(const struct store *s)
{
    return s->rev;
}

void store_info_get(const struct store *s, struct store_info *ret)
{
    *ret = (struct store_info){
        .rev = s->rev,
        .compacted_rev = s->floor_rev,
        .items = s->table.n,
        .history_events = s->events_n,
        .history_bytes = s->events_bytes,
        .pending = s->pending,
    };
}

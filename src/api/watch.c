/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds: what one watcher sees of the store's history.
 *
 * Invariant 1: revisions that a feed yields never go back, and every change that its selectors
 * concern is yielded once. An object that begins to match is ADDED, one that ceases to match is
 * DELETED (with its last matching state), as Kubernetes' cacher has it.
 */
#include "api/watch.h"

#include "api/server_private.h"

const char *const watch_type_names[WATCH_TYPE_NR] = {"ADDED", "MODIFIED", "DELETED", "BOOKMARK"};

static void on_store_ready(struct store_watch *w, void *arg)
{
    (void)w;
    struct watch_feed *f = arg;
    f->ready(f->arg);
}

static const char *prefix_of(struct watch_feed *f, const struct kind *k, const char *ns)
{
    bool whole = k->namespaced && (!ns || !*ns);
    return api_key(&f->arena, k, whole ? NULL : ns, whole ? NULL : "");
}

int watch_feed_open(struct watch_feed *f, struct api_server *s, const struct kind *k,
                    const char *ns, const struct route_options *o, int64_t from_rev,
                    bool bookmark_initial, void (*ready)(void *arg), void *arg, struct err *err)
{
    *f = (struct watch_feed){.server = s, .kind = k, .ready = ready, .arg = arg};
    list_init(&f->link);
    arena_init(&f->arena, 0);
    int code = handler_selectors(&f->arena, k, o, &f->labels, &f->fields, err);
    const char *prefix = prefix_of(f, k, ns ? ns : "");
    if (code == 0 && !prefix) {
        code = err_set(err, -E_NOMEM, "out of memory");
    }
    if (code == 0 && from_rev == 0) {
        struct store_list_opts list = {.prefix = str_of(prefix)};
        code = store_list(s->store, &list, &f->initial);
        f->initial_rev = from_rev = f->initial.rev;
        f->initial_marked = bookmark_initial;
    }
    if (code == 0) {
        code = store_watch_open(s->store, str_of(prefix), from_rev, on_store_ready, f, &f->watch);
    }
    if (code < 0) {
        if (err && !err->code) {
            (void)err_set(err, code, "%s", err_text(code));
        }
        watch_feed_close(f);
        return code;
    }
    list_push_back(&s->watches, &f->link);
    return 0;
}

static bool matches(const struct watch_feed *f, const struct store_item *it)
{
    return it && api_item_match(it, f->labels, f->fields);
}

static bool next_initial(struct watch_feed *f, struct watch_change *ret)
{
    while (f->initial_at < f->initial.n) {
        struct store_item *it = f->initial.items[f->initial_at++];
        if (matches(f, it)) {
            *ret = (struct watch_change){.type = WATCH_ADDED, .item = it, .rev = it->rev};
            return true;
        }
    }
    if (f->initial_marked) {
        f->initial_marked = false;
        *ret = (struct watch_change){
            .type = WATCH_BOOKMARK, .rev = f->initial_rev, .initial_end = true};
        return true;
    }
    return false;
}

/* What an event means to this watcher; false when nothing. */
static bool translate(const struct watch_feed *f, struct store_event *ev, struct watch_change *ret)
{
    bool selects = f->labels || f->fields;
    bool was = ev->prev && (!selects || matches(f, ev->prev));
    bool is = ev->type == STORE_PUT && (!selects || matches(f, ev->item));
    if (!was && !is) {
        return false;
    }
    *ret = (struct watch_change){.item = ev->item, .event = ev, .rev = ev->rev};
    ret->type = !was ? WATCH_ADDED : !is ? WATCH_DELETED : WATCH_MODIFIED;
    return true;
}

int watch_feed_next(struct watch_feed *f, struct watch_change *ret)
{
    if (f->initial_at < f->initial.n || f->initial_marked) {
        if (next_initial(f, ret)) {
            return 1;
        }
    }
    if (f->initial.items) {
        store_list_fini(&f->initial);
        f->initial = (struct store_list){0};
        f->initial_at = 0;
    }
    struct store_event *ev;
    int code;
    while ((code = store_watch_next(f->watch, &ev)) == 1) {
        if (translate(f, ev, ret)) {
            return 1;
        }
    }
    return code;
}

bool watch_feed_initial(const struct watch_feed *f)
{
    return f->initial_at < f->initial.n || f->initial_marked;
}

int64_t watch_feed_rev(const struct watch_feed *f)
{
    return store_watch_rev(f->watch);
}

void watch_feed_close(struct watch_feed *f)
{
    list_del(&f->link);
    store_watch_close(f->watch);
    store_list_fini(&f->initial);
    arena_fini(&f->arena);
    f->watch = NULL;
    f->initial = (struct store_list){0};
}

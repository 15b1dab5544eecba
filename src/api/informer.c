/* SPDX-License-Identifier: Apache-2.0 */
/*
 * List and watch; the contract is in informer.h.
 *
 *      start -> LISTING --page--> LISTING --last page--> WATCHING
 *                  ^  \--failure--> WAITING (relist)         |
 *                  |                    |                    | end: 0 or a failure -> WAITING
 * (watch on)
 *                  +--------------------+<-------------------+ end: -E_GONE        -> WAITING
 * (relist)
 *
 * A list is collected in a table of its own; only when the last page is there it is compared with
 * what is known, so that readers never see half a list. Waiting backs off with jitter; a watch that
 * lived for a while resets it.
 */
#include "informer.h"

#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "base/map.h"
#include "client_private.h"
#include "io/loop.h"
#include "object.h"

#define PAGE 500
#define BACKOFF_FIRST_MS 100
#define BACKOFF_MAX_MS 10000
#define WATCH_HEALTHY_US 5000000

struct informer {
    struct api_client *client;
    struct io_loop *loop;
    struct informer_opts opts; /* texts are owned */
    struct map items;          /* "ns/name" -> struct api_item * */
    struct map listed;         /* the same, while a list is under way */
    struct api_call call;
    bool calling;
    char *next_page; /* continue token */
    struct api_watch *watch;
    struct mono watch_started;
    struct io_timer timer;
    int64_t rev;
    unsigned failures;
    bool need_list, synced;
};

static void start_list(struct informer *inf);
static void start_watch(struct informer *inf);

static void unref_item(void *value)
{
    api_item_unref(value);
}

static struct str item_key(const struct api_item *item, char *buf, size_t size)
{
    int n = snprintf(buf, size, "%s/%s", item->ns, item->name);
    return str_n(buf, n > 0 && (size_t)n < size ? (size_t)n : size - 1);
}

#define KEY_SIZE 520 /* two names of at most 253 bytes */

static void wait_and_go_on(struct informer *inf)
{
    int64_t ms = BACKOFF_FIRST_MS << (inf->failures < 8 ? inf->failures : 8);
    ms = ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
    inf->failures++;
    io_timer_start(&inf->timer, ms / 2 + (int64_t)random_below((uint64_t)ms / 2 + 1),
                   /* repeat_ms= */ 0);
}

static void timer_fired(void *arg)
{
    struct informer *inf = arg;
    if (inf->need_list) {
        start_list(inf);
    } else {
        start_watch(inf);
    }
}

/* ---- changes ---- */

static void report(struct informer *inf, struct api_item *old, struct api_item *item)
{
    if (inf->opts.changed) {
        inf->opts.changed(inf->opts.arg, old, item);
    }
}

static void forget_item(struct informer *inf, const struct api_item *item)
{
    char buf[KEY_SIZE];
    struct api_item *old = map_del(&inf->items, item_key(item, buf, sizeof(buf)));
    if (old) {
        report(inf, old, NULL);
        api_item_unref(old);
    }
}

/* Takes a reference of its own. When memory is short the list is made anew, so that nothing is
 * missed. */
static void store_item(struct informer *inf, struct api_item *item)
{
    char buf[KEY_SIZE];
    struct str key = item_key(item, buf, sizeof(buf));
    struct api_item *old = map_get(&inf->items, key);
    if (old && old->rev == item->rev && item->rev != 0 && strcmp(old->uid, item->uid) == 0) {
        return;
    }
    if (map_put(&inf->items, key, item, NULL) < 0) {
        inf->need_list = true;
        return;
    }
    api_item_ref(item);
    if (old && strcmp(old->uid, item->uid) != 0) {
        /* Deleted and made again while the watch was lost. */
        report(inf, old, NULL);
        report(inf, NULL, item);
    } else {
        report(inf, old, item);
    }
    api_item_unref(old);
}

/* ---- list ---- */

static void list_failed(struct informer *inf)
{
    map_fini(&inf->listed, unref_item);
    mem_free(inf->next_page);
    inf->next_page = NULL;
    inf->need_list = true;
    wait_and_go_on(inf);
}

/* What is known but not listed is gone. */
static int drop_unlisted(struct informer *inf)
{
    size_t n = 0;
    struct api_item **gone = mem_alloc((map_len(&inf->items) + 1) * sizeof(*gone));
    if (!gone) {
        return -E_NOMEM;
    }
    MAP_FOR_EACH (slot, &inf->items) {
        if (!map_get(&inf->listed, str_n(slot->key, slot->n))) {
            gone[n++] = api_item_ref(slot->value);
        }
    }
    for (size_t i = 0; i < n; i++) {
        forget_item(inf, gone[i]);
        api_item_unref(gone[i]);
    }
    mem_free(gone);
    return 0;
}

static void list_complete(struct informer *inf)
{
    struct map listed = inf->listed;
    inf->need_list = false;
    if (drop_unlisted(inf) < 0) {
        list_failed(inf);
        return;
    }
    map_init(&inf->listed);
    MAP_FOR_EACH (slot, &listed) {
        store_item(inf, slot->value);
    }
    map_fini(&listed, unref_item);
    if (inf->need_list) {
        wait_and_go_on(inf);
        return;
    }
    inf->failures = 0;
    if (!inf->synced) {
        inf->synced = true;
        if (inf->opts.synced) {
            inf->opts.synced(inf->opts.arg);
        }
    }
    start_watch(inf);
}

/* Takes the reference; item may be NULL, out of memory. */
static int collect_item(struct informer *inf, struct api_item *item)
{
    char buf[KEY_SIZE];
    struct api_item *old = NULL;
    if (!item || map_put(&inf->listed, item_key(item, buf, sizeof(buf)), item, (void **)&old) < 0) {
        api_item_unref(item);
        return -E_NOMEM;
    }
    api_item_unref(old);
    return 0;
}

static int collect(struct informer *inf, const struct api_call *call, const struct json *list)
{
    int r = 0;
    for (size_t i = 0; call->items && i < call->n_items && r == 0; i++) {
        r = collect_item(inf, api_item_ref(call->items[i]));
    }
    JSON_FOR_EACH (object, json_get(list, "items")) {
        r = r < 0 ? r : collect_item(inf, api_item_new(object));
    }
    return r;
}

static void list_done(struct api_call *call, int code, struct json *result)
{
    struct informer *inf = call->arg;
    inf->calling = false;
    if (code < 0) {
        log_debug("informer: %s", call->err.text);
        list_failed(inf);
        return;
    }
    if (collect(inf, call, result) < 0) {
        list_failed(inf);
        return;
    }
    const char *next = json_path_cstr(result, "metadata.continue", "");
    mem_free(inf->next_page);
    inf->next_page = next[0] ? mem_strdup(next) : NULL;
    if (next[0] && !inf->next_page) {
        list_failed(inf);
    } else if (inf->next_page) {
        start_list(inf);
    } else {
        inf->rev = obj_rev(result);
        list_complete(inf);
    }
}

static void start_list(struct informer *inf)
{
    struct api_request req = {
        .verb = API_LIST,
        .kind = inf->opts.kind,
        .ns = inf->opts.ns,
        .label_selector = inf->opts.label_selector,
        .field_selector = inf->opts.field_selector,
        .limit = PAGE,
        .continue_token = inf->next_page,
        .as_items = true,
    };
    inf->call = (struct api_call){.done = list_done, .arg = inf};
    inf->calling = true;
    api_call_start(inf->client, &inf->call, &req);
}

/* ---- watch ---- */

static void watch_event(void *arg, enum api_event type, struct api_item *item, int64_t rev)
{
    struct informer *inf = arg;
    if (rev > inf->rev) {
        inf->rev = rev;
    }
    if (type == API_DELETED) {
        forget_item(inf, item);
    } else if (type != API_BOOKMARK) {
        store_item(inf, item);
    }
}

static void watch_ended(void *arg, int code, const char *text)
{
    struct informer *inf = arg;
    inf->watch = NULL;
    log_debug("informer: the watch of %s ended: %s", inf->opts.kind->plural, text ? text : "");
    if (loop_now(inf->loop).us - inf->watch_started.us > WATCH_HEALTHY_US) {
        inf->failures = 0;
    }
    inf->need_list = inf->need_list || code == -E_GONE;
    wait_and_go_on(inf);
}

static void start_watch(struct informer *inf)
{
    static const struct api_watch_ops ops = {watch_event, watch_ended};
    inf->watch_started = loop_now(inf->loop);
    inf->watch =
        api_watch_start(inf->client, inf->opts.kind, inf->opts.ns, inf->opts.label_selector,
                        inf->opts.field_selector, inf->rev, &ops, inf);
    if (!inf->watch) {
        wait_and_go_on(inf);
    }
}

/* ---- lifetime and reading ---- */

static bool copy_opt(const char **text)
{
    const char *given = *text && (*text)[0] ? *text : NULL;
    *text = mem_strdup(given);
    return !given || *text;
}

struct informer *informer_new(struct api_client *c, struct io_loop *loop,
                              const struct informer_opts *opts)
{
    struct informer *inf = mem_zalloc(sizeof(*inf));
    if (!inf) {
        return NULL;
    }
    inf->client = c;
    inf->loop = loop;
    inf->opts = *opts;
    inf->need_list = true;
    map_init(&inf->items);
    map_init(&inf->listed);
    bool ok = copy_opt(&inf->opts.ns);
    ok = copy_opt(&inf->opts.label_selector) && ok;
    ok = copy_opt(&inf->opts.field_selector) && ok;
    if (!ok) {
        informer_free(inf);
        return NULL;
    }
    io_timer_init(loop, &inf->timer, timer_fired, inf);
    io_timer_start(&inf->timer, /* ms= */ 0, /* repeat_ms= */ 0);
    return inf;
}

void informer_free(struct informer *inf)
{
    if (!inf) {
        return;
    }
    io_timer_stop(&inf->timer);
    if (inf->calling) {
        api_call_cancel(&inf->call);
    }
    api_watch_stop(inf->watch);
    map_fini(&inf->items, unref_item);
    map_fini(&inf->listed, unref_item);
    mem_free(inf->next_page);
    mem_free((void *)inf->opts.ns);
    mem_free((void *)inf->opts.label_selector);
    mem_free((void *)inf->opts.field_selector);
    mem_free(inf);
}

bool informer_synced(const struct informer *inf)
{
    return inf->synced;
}

int64_t informer_rev(const struct informer *inf)
{
    return inf->rev;
}

size_t informer_len(const struct informer *inf)
{
    return map_len(&inf->items);
}

struct api_item *informer_get(struct informer *inf, const char *ns, const char *name)
{
    char buf[KEY_SIZE];
    int n = snprintf(buf, sizeof(buf), "%s/%s", ns ? ns : "", name);
    return n > 0 && (size_t)n < sizeof(buf) ? map_get(&inf->items, str_n(buf, (size_t)n)) : NULL;
}

void informer_each(struct informer *inf, const char *ns,
                   bool (*fn)(void *arg, struct api_item *item), void *arg)
{
    MAP_FOR_EACH (slot, &inf->items) {
        struct api_item *item = slot->value;
        if (ns && strcmp(item->ns, ns) != 0) {
            continue;
        }
        if (!fn(arg, item)) {
            return;
        }
    }
}

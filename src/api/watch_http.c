/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP stream of a watch: one JSON object a line, {"type":"ADDED","object":{...}}.
 *
 * Back-pressure: the stream pulls from its feed only while less than WATCH_HIGH bytes wait for the
 * peer. A watcher that does not read costs its cursor; when history has moved past it, it gets 410
 * and lists anew.
 */
#include "api/watch.h"

#include "api/crd/crd_convert.h"
#include "api/object.h"
#include "api/server_private.h"
#include "api/table.h"
#include "base/encode.h"
#include "base/limits.h"
#include "base/metrics.h"

#define WATCH_HIGH ((ssize_t)256 << 10)
#define BOOKMARK_MS 60000
#define TIMEOUT_MIN_S 1800

struct watch_stream {
    struct watch_feed feed;
    struct http_exchange *x;
    enum watch_form form;
    enum table_include include;
    bool bookmarks, columns_sent;
    /* A change that waits for a conversion webhook; the stream pauses meanwhile. */
    struct crd_conversion *conversion;
    struct watch_change held; /* its item and event are referenced */
    struct arena held_arena;
    struct json *held_object;
    struct io_timer bookmark, timeout;
};

/* One encoded line, kept in the store's event for the next watcher of the same form. */
struct encoded {
    struct encoded *next;
    const struct kind *kind;
    enum watch_form form;
    enum table_include include;
    enum watch_type type;
    size_t n;
    char text[];
};

static void encoded_free(void *cache)
{
    for (struct encoded *e = cache; e;) {
        struct encoded *next = e->next;
        mem_free(e);
        e = next;
    }
}

static void drop_held(struct watch_stream *w)
{
    if (w->held.item) {
        store_item_unref(w->held.item);
        store_event_unref(w->held.event);
        arena_fini(&w->held_arena);
        w->held = (struct watch_change){0};
    }
}

static void stream_free(struct watch_stream *w)
{
    crd_convert_cancel(w->conversion);
    drop_held(w);
    io_timer_stop(&w->bookmark);
    io_timer_stop(&w->timeout);
    watch_feed_close(&w->feed);
    metric_add(METRIC_WATCHERS, -1);
    mem_free(w);
}

static void on_close(void *arg)
{
    stream_free(arg);
}

static void stream_end(struct watch_stream *w)
{
    struct http_exchange *x = w->x;
    stream_free(w);
    http_reply_end(x);
}

static void stream_abort(struct watch_stream *w)
{
    struct http_exchange *x = w->x;
    stream_free(w);
    http_exchange_abort(x);
}

/* ---- encoding ---- */

/* The object of a change, in the served form. An object that left the selector is shown as it was,
 * at the revision at which it left. */
static struct json *change_tree(struct arena *a, const struct watch_stream *w,
                                const struct watch_change *c)
{
    bool left = c->type == WATCH_DELETED && c->event && c->event->type == STORE_PUT;
    struct json *o = w->held_object
                         ? w->held_object
                         : handler_item_tree(a, w->feed.kind, left ? c->event->prev : c->item);
    if (left) {
        json_set(obj_meta(o), "resourceVersion", json_printf(a, "%lld", (long long)c->rev));
    }
    return o;
}

static struct json *form_tree(struct arena *a, const struct watch_stream *w, struct json *o,
                              bool columns)
{
    if (w->form == WATCH_PARTIAL) {
        return partial_metadata(a, o);
    }
    if (w->form == WATCH_TABLES) {
        struct json *meta = json_object(a);
        json_set_str(meta, "resourceVersion", obj_rv(o));
        struct json *t = table_new(a, w->feed.kind, meta, columns);
        table_add(a, t, w->feed.kind, o, w->include, wall_now());
        return t;
    }
    return o;
}

static int print_line(struct buf *out, enum watch_type type, const struct json *tree,
                      struct str text)
{
    int code = buf_printf(out, "{\"type\":\"%s\",\"object\":", watch_type_names[type]);
    if (code == 0) {
        code = tree ? json_print(out, tree) : buf_append_str(out, text);
    }
    return code < 0 ? code : buf_puts(out, "}\n");
}

static int encode(struct watch_stream *w, const struct watch_change *c, struct buf *out)
{
    bool left = c->type == WATCH_DELETED && c->event && c->event->type == STORE_PUT;
    if (w->form == WATCH_OBJECTS && !left && kind_item_plain(w->feed.kind, c->item)) {
        return print_line(out, c->type, NULL, store_item_value(c->item));
    }
    struct arena a;
    arena_init(&a, 0);
    struct json *tree =
        form_tree(&a, w, change_tree(&a, w, c), w->form == WATCH_TABLES && !w->columns_sent);
    int code = tree && !arena_failed(&a) ? print_line(out, c->type, tree, STR_NULL) : -ENOMEM;
    arena_fini(&a);
    return code;
}

static struct encoded *cache_find(const struct watch_stream *w, const struct watch_change *c)
{
    for (struct encoded *e = c->event->cache; e; e = e->next) {
        if (e->kind == w->feed.kind && e->form == w->form && e->include == w->include &&
            e->type == c->type) {
            return e;
        }
    }
    return NULL;
}

static void cache_add(const struct watch_stream *w, const struct watch_change *c,
                      const struct buf *line)
{
    struct encoded *e = mem_alloc(sizeof(*e) + buf_len(line));
    if (!e) {
        return; /* the next watcher encodes again */
    }
    *e = (struct encoded){.next = c->event->cache,
                          .kind = w->feed.kind,
                          .form = w->form,
                          .include = w->include,
                          .type = c->type,
                          .n = buf_len(line)};
    memcpy(e->text, buf_data(line), e->n);
    c->event->cache = e;
    c->event->cache_free = encoded_free;
}

/* Bytes that wait, or a negative code. */
static ssize_t send_change(struct watch_stream *w, const struct watch_change *c)
{
    bool whole = w->form != WATCH_TABLES || w->columns_sent;
    whole = whole && !w->held_object; /* what a webhook says once it need not say again */
    struct encoded *e = c->event && whole ? cache_find(w, c) : NULL;
    if (e) {
        return http_reply_write(w->x, str_n(e->text, e->n));
    }
    CLEANUP(buf_finip) struct buf line = BUF_INIT;
    if (encode(w, c, &line) < 0) {
        return -ENOMEM;
    }
    if (c->event && whole) {
        cache_add(w, c, &line);
    }
    w->columns_sent = true;
    return http_reply_write(w->x, buf_str(&line));
}

static ssize_t send_tree(struct watch_stream *w, const char *type, const struct json *tree)
{
    CLEANUP(buf_finip) struct buf line = BUF_INIT;
    if (!tree || buf_printf(&line, "{\"type\":\"%s\",\"object\":", type) < 0 ||
        json_print(&line, tree) < 0 || buf_puts(&line, "}\n") < 0) {
        return -ENOMEM;
    }
    return http_reply_write(w->x, buf_str(&line));
}

static ssize_t send_bookmark(struct watch_stream *w, int64_t rev, bool initial_end)
{
    struct arena a;
    arena_init(&a, 0);
    const struct kind *k = w->feed.kind;
    struct json *o = json_object(&a);
    json_set_str(o, "kind", w->form == WATCH_PARTIAL ? "PartialObjectMetadata" : k->kind);
    json_set_str(o, "apiVersion", w->form == WATCH_PARTIAL ? "meta.k8s.io/v1" : k->api_version);
    struct json *meta = json_set(o, "metadata", json_object(&a));
    json_set(meta, "resourceVersion", json_printf(&a, "%lld", (long long)rev));
    json_set(meta, "creationTimestamp", json_null(&a));
    if (initial_end) {
        struct json *notes = json_set(meta, "annotations", json_object(&a));
        json_set_str(notes, "k8s.io/initial-events-end", "true");
    }
    struct json *tree = o;
    if (w->form == WATCH_TABLES) {
        tree = table_new(&a, k, json_get(o, "metadata"), false);
    }
    ssize_t waits = arena_failed(&a) ? -ENOMEM : send_tree(w, "BOOKMARK", tree);
    arena_fini(&a);
    return waits;
}

static void send_error(struct watch_stream *w, const struct json *status)
{
    if (send_tree(w, "ERROR", status) < 0) {
        stream_abort(w);
        return;
    }
    stream_end(w);
}

static void end_with(struct watch_stream *w, int code)
{
    if (code == -E_CANCELED) {
        stream_end(w);
        return;
    }
    struct arena a;
    arena_init(&a, 0);
    metric_add(METRIC_WATCH_OVERFLOWS, 1);
    struct json *s = status_failure(&a, 410, "Expired",
                                    arena_printf(&a, "too old resource version: %lld (%lld)",
                                                 (long long)watch_feed_rev(&w->feed),
                                                 (long long)store_rev(w->feed.server->store)),
                                    /* about= */ NULL);
    send_error(w, s);
    arena_fini(&a);
}

/* ---- conversion webhooks ---- */

static void pump(void *arg);

static void change_converted(void *arg, int code, struct json **objs, size_t n,
                             const struct err *err)
{
    struct watch_stream *w = arg;
    (void)n;
    w->conversion = NULL;
    if (code < 0) {
        struct arena a;
        arena_init(&a, 0);
        send_error(w, status_code(&a, code, err->text));
        arena_fini(&a);
        return;
    }
    w->held_object = objs[0];
    ssize_t waits = send_change(w, &w->held);
    w->held_object = NULL;
    drop_held(w);
    if (waits < 0) {
        stream_abort(w);
    } else {
        pump(w);
    }
}

/* Starts to convert a change that needs it. 1: it waits; 0: nothing to convert; -E_NOMEM. */
static int hold_change(struct watch_stream *w, const struct watch_change *c)
{
    const struct kind *k = w->feed.kind;
    bool left = c->type == WATCH_DELETED && c->event && c->event->type == STORE_PUT;
    struct store_item *it = left ? c->event->prev : c->item;
    if (!k->custom || !crd_item_foreign(k, it)) {
        return 0;
    }
    w->held = *c;
    w->held.item = store_item_ref(c->item);
    w->held.event = c->event ? store_event_ref(c->event) : NULL;
    arena_init(&w->held_arena, 0);
    struct json **objs = arena_zalloc(&w->held_arena, sizeof(struct json *));
    struct json *o = handler_item_tree(&w->held_arena, k, it);
    if (!objs || !o) {
        return -E_NOMEM;
    }
    objs[0] = o;
    w->conversion = crd_convert_start(k, k, &w->held_arena, objs, 1, change_converted, w);
    return w->conversion ? 1 : -E_NOMEM;
}

/* ---- the pump ---- */

static void pump(void *arg)
{
    struct watch_stream *w = arg;
    struct watch_change c;
    int64_t events = 0;
    ssize_t waits = http_reply_queued(w->x);
    int code = 0;
    if (w->held.item) {
        return; /* goes on when the webhook has answered */
    }
    while (waits >= 0 && waits < WATCH_HIGH && (code = watch_feed_next(&w->feed, &c)) == 1) {
        int held = c.type == WATCH_BOOKMARK ? 0 : hold_change(w, &c);
        if (held != 0) {
            waits = held < 0 ? held : waits;
            code = 0;
            break;
        }
        if (c.type == WATCH_BOOKMARK) {
            waits = w->bookmarks ? send_bookmark(w, c.rev, c.initial_end) : waits;
        } else {
            waits = send_change(w, &c);
            events++;
        }
    }
    metric_add(METRIC_WATCH_EVENTS, events);
    if (waits < 0) {
        stream_abort(w);
    } else if (code < 0) {
        end_with(w, code);
    }
}

/* Never while a part of the initial state is still to come: the bookmark would promise it. While
 * bytes wait, the feed's revision is ahead of what the peer has; that is fine, for the bookmark
 * comes behind them. */
static bool bookmark_due(struct watch_stream *w)
{
    return w->bookmarks && !w->held.item && !watch_feed_initial(&w->feed) &&
           http_reply_queued(w->x) < WATCH_HIGH;
}

static void on_bookmark(void *arg)
{
    struct watch_stream *w = arg;
    if (bookmark_due(w) && send_bookmark(w, watch_feed_rev(&w->feed), false) < 0) {
        stream_abort(w);
    }
}

static void on_timeout(void *arg)
{
    struct watch_stream *w = arg;
    if (bookmark_due(w) && send_bookmark(w, watch_feed_rev(&w->feed), false) < 0) {
        stream_abort(w);
        return;
    }
    stream_end(w);
}

/* ---- the start ---- */

static int start_reply(struct http_exchange *x)
{
    const struct http_header headers[] = {HTTP_HEADER("content-type", "application/json"),
                                          HTTP_HEADER("cache-control", "no-cache, private")};
    return http_reply_start(x, 200, headers, ARRAY_SIZE(headers));
}

/* The watch cannot begin at that revision: 200 and one ERROR event. */
static void start_error(struct http_exchange *x, const struct json *status)
{
    CLEANUP(buf_finip) struct buf line = BUF_INIT;
    if (start_reply(x) < 0 || buf_puts(&line, "{\"type\":\"ERROR\",\"object\":") < 0 ||
        json_print(&line, status) < 0 || buf_puts(&line, "}\n") < 0 ||
        http_reply_write(x, buf_str(&line)) < 0) {
        http_exchange_abort(x);
        return;
    }
    http_reply_end(x);
}

static struct json *option_error(struct arena *a, const struct route_options *o)
{
    struct status_about about = {.group = "meta.k8s.io", .kind = "ListOptions", .name = ""};
    struct field_errors e;
    field_errors_init(&e, a);
    if (o->has_initial_events && o->match != RV_MATCH_NOT_OLDER) {
        field_error(&e, FIELD_FORBIDDEN, "resourceVersionMatch", NULL,
                    "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    } else if (!o->has_initial_events && o->match != RV_MATCH_UNSET) {
        field_error(&e, FIELD_FORBIDDEN, "resourceVersionMatch", NULL,
                    "resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
                    "provided");
    }
    return e.n ? status_invalid(a, &about, &e) : NULL;
}

/* Where to start: 0 = with the present state. */
static int first_rev(const struct api_server *s, const struct route_options *o, int64_t *ret)
{
    const char *rv = o->resource_version ? o->resource_version : "";
    int64_t rev = 0;
    if (*rv && (str_i64(str_of(rv), &rev) < 0 || rev < 0)) {
        return -E_INVAL;
    }
    if (o->has_initial_events) {
        rev = o->initial_events ? 0 : rev ? rev : store_rev(s->store);
    }
    *ret = rev;
    return 0;
}

static void open_failed(struct api_server *s, struct http_exchange *x, int code, int64_t rev,
                        const struct err *err)
{
    struct arena *a = http_exchange_arena(x);
    if (code == -E_GONE) {
        start_error(x, status_failure(a, 410, "Expired",
                                      arena_printf(a, "too old resource version: %lld (%lld)",
                                                   (long long)rev, (long long)store_rev(s->store)),
                                      /* about= */ NULL));
    } else if (code == -E_RANGE) {
        start_error(x, status_too_large_rv(a, rev, store_rev(s->store)));
    } else {
        server_reply_status(x, status_code(a, code, err->text));
    }
}

static void start_timers(struct watch_stream *w, const struct route_options *o)
{
    struct io_loop *loop = w->feed.server->loop;
    int64_t seconds = o->timeout_seconds > 0 ? o->timeout_seconds
                                             : TIMEOUT_MIN_S + (int64_t)random_below(TIMEOUT_MIN_S);
    io_timer_init(loop, &w->timeout, on_timeout, w);
    io_timer_start(&w->timeout, MIN_OF(seconds, (int64_t)INT32_MAX) * 1000, 0);
    io_timer_init(loop, &w->bookmark, on_bookmark, w);
    if (w->bookmarks) {
        /* Spread, so that a thousand watchers do not all wake at one time. */
        io_timer_start(&w->bookmark, BOOKMARK_MS - (int64_t)random_below(BOOKMARK_MS / 4),
                       BOOKMARK_MS);
    }
}

void watch_http_start(struct api_server *s, struct http_exchange *x,
                      const struct watch_request *req)
{
    struct err err = {0};
    int64_t rev = 0;
    struct json *refused = option_error(http_exchange_arena(x), req->opt);
    if (refused) {
        server_reply_status(x, refused);
        return;
    }
    struct watch_stream *w = mem_zalloc(sizeof(*w));
    int code = w ? first_rev(s, req->opt, &rev) : -E_NOMEM;
    if (code == 0) {
        bool mark = req->opt->has_initial_events && req->opt->initial_events;
        code = watch_feed_open(&w->feed, s, req->kind, req->ns, req->opt, rev, mark, pump, w, &err);
    } else {
        (void)err_set(&err, code, "resourceVersion: Invalid value: invalid syntax");
    }
    if (code < 0) {
        mem_free(w);
        open_failed(s, x, code, rev, &err);
        return;
    }
    w->x = x;
    w->form = req->form;
    w->include = (enum table_include)req->include;
    w->bookmarks = req->opt->bookmarks;
    metric_add(METRIC_WATCHERS, 1);
    http_exchange_on_close(x, on_close, w);
    http_exchange_on_drain(x, pump, w);
    start_timers(w, req->opt);
    if (start_reply(x) < 0) {
        stream_abort(w);
        return;
    }
    pump(w);
}

void watch_http_end_retired(struct api_server *s)
{
    LIST_FOR_EACH_SAFE (l, &s->watches) {
        struct watch_feed *f = CONTAINER_OF(l, struct watch_feed, link);
        if (f->ready == pump && f->kind->retired) {
            stream_end(CONTAINER_OF(f, struct watch_stream, feed));
        }
    }
}

void watch_http_end_all(struct api_server *s)
{
    LIST_FOR_EACH_SAFE (l, &s->watches) {
        struct watch_feed *f = CONTAINER_OF(l, struct watch_feed, link);
        if (f->ready == pump) {
            stream_end(CONTAINER_OF(f, struct watch_stream, feed));
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watches: a cursor into the store's history for each watcher, the semantics of Kubernetes' watch
 * on top (initial state, selectors, bookmarks, 410), and the HTTP stream of it.
 *
 * An event is encoded once for all HTTP watchers of the same representation and kept in the store's
 * event.
 */
#ifndef API_WATCH_H
#define API_WATCH_H

#include "api/handler.h"
#include "api/selector.h"
#include "base/list.h"
#include "io/loop.h"
#include "store/store.h"

enum watch_type { WATCH_ADDED, WATCH_MODIFIED, WATCH_DELETED, WATCH_BOOKMARK, WATCH_TYPE_NR };
extern const char *const watch_type_names[WATCH_TYPE_NR];

/*
 * A feed yields what one watcher sees, on demand: watch_feed_next() until 0, then wait for ready.
 * It embeds no output; the HTTP stream and the in-process client both pull from it.
 */
struct watch_feed {
    /* private */
    struct list link; /* api_server.watches */
    struct api_server *server;
    const struct kind *kind;
    struct arena arena; /* of the selectors */
    struct selector *labels, *fields;
    struct store_watch *watch;
    struct store_list initial;
    size_t initial_at;
    bool initial_marked; /* the bookmark behind the initial state is still to come */
    int64_t initial_rev;
    void (*ready)(void *arg);
    void *arg;
};

struct watch_change {
    enum watch_type type;
    struct store_item *item;   /* borrowed; NULL for a bookmark */
    struct store_event *event; /* what it was made from; NULL for initial state */
    int64_t rev;
    bool initial_end; /* of a bookmark: the one behind the initial state */
};

/* from_rev 0: the present state as ADDED first. bookmark_initial: a bookmark ends it. 0; or
 * -E_GONE, -E_RANGE, -E_INVAL (selectors), -E_NOMEM with err. ready comes from the loop when
 * watch_feed_next() has returned 0 and there is more. */
int watch_feed_open(struct watch_feed *f, struct api_server *s, const struct kind *k,
                    const char *ns, const struct route_options *o, int64_t from_rev,
                    bool bookmark_initial, void (*ready)(void *arg), void *arg, struct err *err);
/* 1 and a change; 0 = nothing now; -E_GONE, -E_CANCELED = over. */
int watch_feed_next(struct watch_feed *f, struct watch_change *ret);
bool watch_feed_initial(const struct watch_feed *f); /* a part of the initial state is to come */
int64_t watch_feed_rev(const struct watch_feed *f);  /* everything up to it was yielded */
void watch_feed_close(struct watch_feed *f);

/* ---- HTTP ---- */

enum watch_form { WATCH_OBJECTS, WATCH_TABLES, WATCH_PARTIAL };

struct watch_request {
    const struct kind *kind;
    const char *ns;
    const struct route_options *opt;
    enum watch_form form;
    int include; /* enum table_include */
};

/* Owns the exchange from here on. */
void watch_http_start(struct api_server *s, struct http_exchange *x,
                      const struct watch_request *req);
/* Ends the HTTP watches of kinds that are not served any more. */
void watch_http_end_retired(struct api_server *s);
/* Ends every HTTP watch cleanly (the server drains). */
void watch_http_end_all(struct api_server *s);

#endif

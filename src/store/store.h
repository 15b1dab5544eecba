/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The revisioned object store: keys with values, one revision counter, compare-and-swap, atomic
 * transactions, lists at a revision and watches from a revision, over a bounded history.
 *
 * All current items live in memory. A write is checked at once against the newest state, waits in a
 * queue, becomes durable together with everything else that waits (one SQLite transaction, one
 * fsync), is then published to readers and watchers in revision order, and only then acknowledged.
 *
 *     store_put() --> [newest state: overlay of pending writes] --> queue --> commit thread (fsync)
 *                                                                              |
 *     done() <-- watchers' on_ready() <-- [published: table, history] <--------+ on the loop
 *
 * Readers see published (durable) state only; store_get_latest() also sees what is pending. When a
 * commit fails (full disk), every queued write fails with the same code, since later ones may build
 * on earlier ones; the published state stays as it was and later writes are tried anew.
 *
 * Keys are "resource/namespace/name" or "resource//name": slash separated text, ordered bytewise,
 * at most LIMIT_STORE_KEY bytes, with a '/' that is not the first byte. The store knows nothing
 * else about them, nor about values (at most LIMIT_OBJECT bytes).
 *
 * Everything here belongs to the loop's thread. Pointers that are not reference-counted are
 * borrowed until the caller returns to the loop.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"

struct io_loop;
struct store;
struct store_watch;
struct store_write;
struct store_req;

/* ---- items ---- */

enum {
    /* A heartbeat: published in order like any write, but not written to disk each time. Creating
     * and deleting such a key is durable, updates are flushed at a clean close and at most every
     * flush_interval_s along with other commits. After a crash the key is there with the value that
     * was flushed last; its revisions are never handed out again. */
    STORE_F_EPHEMERAL = 1u << 0,
};

/* One version of one key; immutable, reference-counted, may outlive the store. */
struct store_item {
    /* read-only */
    int64_t rev;        /* of this write; of a DELETE event's item: of the deletion */
    int64_t create_rev; /* of the write that created the key */
    int64_t origin;     /* opaque: as given by the writer, durable */
    void *index;        /* what store_index_ops.make returned */
    uint32_t flags;     /* STORE_F_* */
    /* private */
    uint32_t refs;
    const struct store_index_ops *index_ops;
    uint32_t key_n, value_n;
    char bytes[]; /* key, 0, value, 0 */
};

static inline struct str store_item_key(const struct store_item *it)
{
    return str_n(it->bytes, it->key_n);
}
/* 0-terminated. */
static inline struct str store_item_value(const struct store_item *it)
{
    return str_n(it->bytes + it->key_n + 1, it->value_n);
}
struct store_item *store_item_ref(struct store_item *it);
void store_item_unref(struct store_item *it); /* NULL is fine */

/* The caller's index of an item (parsed labels, fields), made once for each version. The struct
 * must outlive every item. */
struct store_index_ops {
    /* Loop thread, must not call the store. 0 and *ret (NULL is fine), or a negative code with
     * which the write (or, on -ENOMEM, the opening) fails. When a row of the disk is refused with
     * another code it is kept with a NULL index. key and value are those of the item. */
    int (*make)(void *arg, struct str key, struct str value, void **ret);
    void (*free)(void *index); /* not called for NULL */
    void *arg;
};

/* ---- lifetime ---- */

struct store_opts {
    /* The SQLite file, created with mode 0600; NULL: nothing is durable (memory backend). */
    const char *path;
    const struct store_index_ops *index; /* may be NULL */
    /* History: the oldest events are dropped while it has more than history_bytes, or more than
     * 4 * history_count events, or more than history_count and the oldest is older than
     * history_age_s. 0 = the default. */
    size_t history_count;     /* default 8192 */
    size_t history_bytes;     /* default 16 MiB of superseded values and records */
    int64_t history_age_s;    /* default 300; negative: 0 */
    int64_t flush_interval_s; /* of ephemeral values; default 600; negative: with every commit */
};

/* Loads everything; blocks. path and opts are copied. -E_BUSY: another process has the file open;
 * -E_IO: the file is corrupt; -E_NOTSUP: written by a newer version. */
int store_open(struct io_loop *loop, const struct store_opts *opts, struct store **ret,
               struct err *err);
/* Refuses new writes from now on, completes those under way, flushes, checkpoints, frees the store
 * and then calls done (may be NULL) on the loop, with 0 or the code of what could not be flushed.
 * Watches end: store_watch_next() gives -E_CANCELED; they are still to be closed by their owners,
 * before or after done. */
void store_close(struct store *s, void (*done)(void *arg, int code), void *arg);

/* ---- writes ---- */

/* code: 0, or why the write did not happen; then text is a sentence without the key ("write
 * '/var/x.db': no space left on the device"), else NULL. Comes exactly once after an accepted
 * submission, never inside it; the request may be reused or freed in it. */
typedef void store_done_fn(struct store_req *req, int code, const char *text);

/* One-shot, caller-allocated: embed, zero, set done and arg, submit. */
struct store_req {
    /* public: set before */
    store_done_fn *done;
    void *arg;
    /* read-only in done */
    int64_t
        rev; /* of the last (for one operation: the only) operation; also set by the submission */
    struct store_item *item; /* that the last operation wrote; borrowed; NULL for a barrier */
    /* private */
    struct store_write *write;
};

enum store_op_type { STORE_PUT, STORE_DELETE };

#define STORE_ANY_REV INT64_C(-1)

struct store_op {
    enum store_op_type type;
    unsigned flags; /* STORE_F_* */
    struct str key;
    /* A put's value; a delete's last state, for its event. Since an object contains its own
     * revision, encode it with store_next_rev(). Copied. */
    struct str value;
    /* STORE_ANY_REV: whatever is there (a delete still needs the key to exist); 0: the key must not
     * exist (put only); else the revision that the newest state must have. */
    int64_t expected_rev;
    int64_t origin;
};

/* The revision that the next accepted operation gets; the i-th of a transaction gets this + i.
 * Valid until the next accepted submission. Revisions of failed writes are not used again. */
int64_t store_next_rev(const struct store *s);

/*
 * Submits operations that happen together or not at all, each checked against the newest state
 * including pending writes and the operations before it. 0 = accepted, done will come. Otherwise
 * nothing happened and done will not come:
 *   -E_EXISTS    expected_rev 0 and the key exists      -E_NOENT  the key does not exist
 *   -E_CONFLICT  the revision is another                -E_INVAL  bad key, flags or expected_rev
 *   -E_TOOBIG    key, value or number of operations     -E_BUSY   LIMIT_STORE_QUEUE bytes wait
 *   -E_NOMEM                                            -E_CANCELED  the store is closing
 * or the code of store_index_ops.make.
 */
int store_txn(struct store *s, struct store_req *req, const struct store_op *ops, size_t n);

struct store_put_opts {
    int64_t expected_rev; /* as in struct store_op: note that a zeroed struct means "create" */
    int64_t origin;
    unsigned flags;
};
/* Transactions of one operation. opts NULL: STORE_ANY_REV, origin 0, no flags. */
int store_put(struct store *s, struct store_req *req, struct str key, struct str value,
              const struct store_put_opts *opts);
int store_delete(struct store *s, struct store_req *req, struct str key, struct str last_value,
                 const struct store_put_opts *opts);
/* Writes nothing: done comes when everything submitted before is published, or fails with it. For
 * an answer that shows what store_get_latest() returned. 0, -E_NOMEM or -E_CANCELED. */
int store_barrier(struct store *s, struct store_req *req);
/* done will not come any more; the write itself goes on. Fine on a request that is not under way.
 */
void store_req_cancel(struct store_req *req);

/* ---- reads ---- */

int64_t store_rev(const struct store *s); /* newest published revision */
/* Borrowed; NULL when absent. */
struct store_item *store_get(const struct store *s, struct str key);
/* The newest state including writes that are not durable yet, so that a read-modify-write of a busy
 * key succeeds at once: whoever builds on it is committed with it or after it, and fails with it.
 * Do not show it to anybody before a barrier. */
struct store_item *store_get_latest(const struct store *s, struct str key);

struct store_list_opts {
    struct str prefix; /* "" = everything */
    struct str after;  /* only keys greater than this; "" = from the first */
    size_t limit;      /* 0 = all */
    int64_t rev;       /* 0 = newest published; else exactly as it was at that revision */
};

struct store_list {
    struct store_item **items; /* sorted by key, referenced */
    size_t n;
    int64_t rev;      /* of this state */
    size_t remaining; /* items behind the last one */
};

/* 0, -E_GONE (opts->rev is compacted), -E_RANGE (in the future), -E_NOMEM. */
int store_list(const struct store *s, const struct store_list_opts *opts, struct store_list *ret);
void store_list_fini(struct store_list *l); /* a zeroed one is fine */
/* How many keys begin with prefix; O(log n). */
size_t store_count(const struct store *s, struct str prefix);

/* ---- watches ---- */

/* One change; shared by all watchers, reference-counted. */
struct store_event {
    /* read-only */
    int64_t rev;
    enum store_op_type type;
    struct store_item *item; /* what was put; deleted: the last state, with the deletion's rev */
    struct store_item *prev; /* what was there before; NULL: created */
    /* For the layer above: an encoding that is made once for all watchers. cache_free(cache) is
     * called when the event is freed; both start as NULL. It does not count for history_bytes. */
    void *cache;
    void (*cache_free)(void *cache);
    /* private */
    uint32_t refs;
    struct store_resource *resource;
    struct list link;          /* all events, oldest first */
    struct list resource_link; /* those of one resource */
    int64_t drop_rev;          /* row on disk that this event made superfluous; 0 = none */
    int64_t at_us;             /* when it was published */
    size_t bytes;              /* that it counts for */
};
struct store_event *store_event_ref(struct store_event *ev);
void store_event_unref(struct store_event *ev); /* NULL is fine */

/* There is something for store_watch_next(): an event or -E_GONE. Called on the loop, once, and
 * again only after store_watch_next() has returned 0. Any store function may be called in it. */
typedef void store_ready_fn(struct store_watch *w, void *arg);

/*
 * Watches keys that begin with prefix ("" = all), from the first event after from_rev. A watcher is
 * a cursor into the history and holds no events, so that a slow one costs nothing; when the history
 * has moved past its cursor it gets -E_GONE. Watchers are indexed by the resource (the prefix up to
 * its first '/'): others are not woken.
 * 0; -E_GONE: events after from_rev are compacted; -E_RANGE: from_rev is in the future; -E_NOMEM.
 */
int store_watch_open(struct store *s, struct str prefix, int64_t from_rev, store_ready_fn *on_ready,
                     void *arg, struct store_watch **ret);
/* 1 and the next event (borrowed); 0: drained, on_ready will come; -E_GONE: fell behind;
 * -E_CANCELED: the store is closed. The last two are final. */
int store_watch_next(struct store_watch *w, struct store_event **ret);
/* The revision up to which this watcher has seen everything: for bookmarks. */
int64_t store_watch_rev(const struct store_watch *w);
/* on_ready will not come any more. NULL is fine. */
void store_watch_close(struct store_watch *w);

/* Forgets the history up to rev: as if it had grown too old. For tests and for saving memory. */
void store_compact(struct store *s, int64_t rev);

struct store_info {
    int64_t rev;           /* newest published */
    int64_t compacted_rev; /* newest event that was dropped from the history */
    size_t items;          /* published keys */
    size_t history_events, history_bytes;
    size_t pending; /* writes that are not published yet */
};
void store_info_get(const struct store *s, struct store_info *ret);

#endif

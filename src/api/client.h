/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one way in which controllers, the node agent and the programs talk to an API server.
 *
 * Two implementations stand behind it: in-process (a call goes straight into the server's request
 * code, without sockets) and HTTP (another process, another machine, a stock Kubernetes). A user
 * never learns which.
 *
 * Loop thread only. A call is one-shot and caller-allocated: embed struct api_call, zero it, set
 * done and arg, start it. done comes exactly once and never inside api_call_start(); the call may
 * be reused or freed in it.
 */
#ifndef API_CLIENT_H
#define API_CLIENT_H

#include "api/kind.h"
#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

struct api_client;
struct api_call;
struct api_watch;
struct io_loop;
struct api_server;
struct http_client;

enum api_verb { API_GET, API_LIST, API_CREATE, API_UPDATE, API_PATCH, API_DELETE };
enum api_patch { API_PATCH_MERGE, API_PATCH_STRATEGIC, API_PATCH_JSON };

struct api_request {
    enum api_verb verb;
    const struct kind *kind;
    const char *ns;   /* NULL or "" for cluster-scoped kinds and for lists over all namespaces */
    const char *name; /* NULL for lists and for creates with generateName */
    const char *subresource; /* NULL, "status", "scale", "binding", "eviction", "finalize" */
    const struct json
        *body; /* create, update, patch; borrowed for the duration of api_call_start() */
    enum api_patch patch;
    /* options, all may be NULL / 0 */
    const char *label_selector;
    const char *field_selector;
    const char *resource_version; /* of a list: "not older than" */
    int64_t limit;                /* of a list: at most so many items; 0 = all */
    const char *continue_token;   /* of a list: metadata.continue of the page before */
    bool as_items; /* of a list: call->items instead of result.items, where the server is near */
    const char *field_manager;
    const char *precondition_uid; /* delete */
    const char *propagation;      /* delete: "Background", "Foreground", "Orphan" */
    int64_t grace_seconds;        /* delete; used when has_grace */
    bool has_grace;
};

/* code: 0, or the negative code of errors.def that fits the answer's status (-E_NOENT for 404,
 * -E_CONFLICT, -E_EXISTS, -E_GONE, ...), or the transport's failure. result: the object, the list,
 * or the Status of a failure (NULL when there was no answer); it lives in call->arena, until done
 * returns, and is read-only: clone what is to be changed or kept. */
typedef void api_done_fn(struct api_call *call, int code, struct json *result);

struct api_call {
    /* public: set before the start */
    api_done_fn *done;
    void *arg;
    /* read-only in done */
    struct arena arena; /* of the result; initialised by the start, freed after done returns */
    struct err err;     /* filled when code < 0: a sentence that names verb, resource and name */
    /* Of a list that was asked for as items, when they share the server's memory; borrowed: ref
     * what is kept. NULL: they are in the result, as ever. */
    struct api_item **items;
    size_t n_items;
    /* private */
    struct api_client *client;
    void *impl;
};

/* Never fails at once: every failure goes to done. */
void api_call_start(struct api_client *c, struct api_call *call, const struct api_request *req);
/* done will not be called any more; the call may be freed at once. A write may still happen. */
void api_call_cancel(struct api_call *call);

enum api_event { API_ADDED, API_MODIFIED, API_DELETED, API_BOOKMARK };

/* An encoded object: immutable, reference-counted, shared with the store where the server is
 * in-process. */
struct api_item {
    /* read-only */
    struct str text; /* the object's JSON */
    int64_t rev;     /* metadata.resourceVersion; 0 when it is not a number */
    const char *ns;  /* "" when cluster-scoped */
    const char *name;
    const char *uid;
    /* private */
    uint32_t refs;
    void *backing;
    void (*backing_unref)(void *backing);
};
struct api_item *api_item_ref(struct api_item *item);
void api_item_unref(struct api_item *item); /* NULL is fine */
/* A parsed copy in the arena; NULL when the arena failed. The text of an item always parses. */
struct json *api_item_parse(const struct api_item *item, struct arena *a);

struct api_watch_ops {
    /* One change. item is borrowed (ref it to keep it). For a bookmark item is NULL and rev counts.
     */
    void (*event)(void *arg, enum api_event type, struct api_item *item, int64_t rev);
    /* The watch is over: 0 = ended by the server, list again from the last rev; -E_GONE = list
     * anew; otherwise the failure. Comes once, unless api_watch_stop() was called. */
    void (*end)(void *arg, int code, const char *text);
};
/* Watches a kind from a revision (0 = start with synthetic ADDED events). ns NULL = all. NULL on
 * -ENOMEM. */
struct api_watch *api_watch_start(struct api_client *c, const struct kind *kind, const char *ns,
                                  const char *label_selector, const char *field_selector,
                                  int64_t from_rev, const struct api_watch_ops *ops, void *arg);
void api_watch_stop(struct api_watch *w); /* NULL is fine; no callback comes afterwards */

/* The in-process client acts as `user` (with groups system:masters); server must outlive it. */
struct api_client *api_client_local(struct api_server *server, const char *user);
/* Over HTTP; http is borrowed and must outlive the client. Over HTTP/1.1 each watch keeps a
 * connection: give http more max_connections than there are watches. */
struct api_client *api_client_http(struct http_client *http, struct io_loop *loop);
void api_client_free(struct api_client *c); /* no call may be under way; NULL is fine */

#endif

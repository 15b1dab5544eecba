/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One operation on objects, below HTTP: what the HTTP handlers and the in-process client both call.
 *
 *     fill a struct handler_op  ->  handler_run()  ->  done, once: inside the call when the answer
 * is there (reads, refusals), later when it waits for the disk
 *
 * A write is computed from store_get_latest(), so that operations of one loop never conflict with
 * each other; its answer comes when the store has made it durable. Everything is allocated in
 * op->arena, which the caller keeps until done, or until handler_cancel().
 */
#ifndef API_HANDLER_H
#define API_HANDLER_H

#include "api/kind.h"
#include "api/route.h"
#include "api/server.h"
#include "api/status.h"
#include "store/store.h"

enum handler_verb {
    HANDLER_GET,
    HANDLER_LIST,
    HANDLER_CREATE,
    HANDLER_UPDATE,
    HANDLER_PATCH,
    HANDLER_DELETE,
    HANDLER_DELETE_COLLECTION,
    HANDLER_WATCH, /* only for authz; see watch.h */
    HANDLER_VERB_NR,
};

enum handler_patch {
    HANDLER_PATCH_JSON,
    HANDLER_PATCH_MERGE,
    HANDLER_PATCH_STRATEGIC,
    HANDLER_PATCH_APPLY,
};

struct handler_delete_options {
    const char *uid, *resource_version; /* preconditions; NULL = none */
    const char *propagation;            /* NULL = the kind's default (background) */
    bool has_grace;
    int64_t grace_seconds;
};

struct handler_list {
    struct store_item **items; /* referenced by `list` */
    size_t n;
    int64_t rev;
    const char *cont;  /* continue token or NULL */
    int64_t remaining; /* -1 = not told */
    bool raw;          /* set before: the items alone are wanted, none is converted */
    struct json *
        *trees; /* what a webhook made of items[i]; NULL: of none, an entry NULL: nothing */
    struct store_list list;
};

struct crd_waiting;
struct handler_op;
typedef void handler_done_fn(struct handler_op *op);

struct handler_op {
    /* public: set before */
    struct api_server *server;
    struct arena *arena;
    const struct api_user *user;
    enum handler_verb verb;
    const struct kind *kind;
    const struct kind_subresource *sub; /* NULL = the object itself */
    const char *ns, *name;              /* "" when there is none */
    struct json *body;                  /* create, update, patch; may be changed and kept */
    struct json *problems; /* array of texts: what decoding the body found (duplicate fields) */
    enum handler_patch patch;
    struct route_options opt;
    const char *manager; /* who managedFields says it was; NULL = "unknown" */
    struct handler_delete_options del;
    handler_done_fn *done;
    void *arg;

    /* The answer: http, and one of: item (an object as stored), list, result (an object or a Status
     * as a tree, in served form). */
    int http;
    struct store_item *item; /* referenced; dropped by handler_fini() */
    struct json *result;
    struct handler_list list;
    struct json *warnings; /* array of texts or NULL */

    /* private */
    struct store_req req;
    bool waiting;                    /* for req */
    bool applied;                    /* the object carries the managers that an apply gave it */
    int attempts;                    /* generateName */
    int restarts;                    /* the object changed while webhooks were waited for */
    struct admission_run *admission; /* webhooks that are waited for */
    void (*commit)(struct handler_op *op, struct json *obj); /* when admission is through */
    struct store_item *latest; /* the object as it is, borrowed: valid until the store is written */
    struct json *old;          /* the same, parsed: storage form, of a custom kind that of `kind` */
    struct crd_waiting *conversion;    /* a conversion webhook that is waited for */
    struct store_item *converted_item; /* referenced: the last one that was converted */
    struct json *converted;            /* and what became of it */
    bool stale; /* the stored bytes are not those that would be written: an older version's */
    int64_t old_rev;
    struct {
        enum store_op_type type;
        int64_t expected;
        void (*committed)(struct handler_op *op);
    } pending; /* the write that is to be submitted */
    int http_ok;
    void (*committed)(struct handler_op *op);
    void *impl; /* a collection's members; an answer's own */
    /* An answer that comes later sets it: the operation is dropped, its query must end. */
    void (*cancelled)(struct handler_op *op);
};

/*
 * What code answers instead of the store: a kind with `stored: false` in kinds/ (reviews, metrics),
 * or a subresource that makes something (serviceaccounts/token). Each has a row in the table of
 * handler_answer.c: group, resource, subresource and a function of this type.
 *
 * It is called after authorization, for every verb that the kind allows. For a create, op->body has
 * passed its schema (the kind's, or the subresource's body) and has its defaults, and
 * metadata.namespace is the request's. It ends the operation with handler_ok_tree(),
 * handler_fail() or handler_fail_code() of handler_private.h, once, now or later; nothing may come
 * after that. A list is answered as a tree, too: {kind: PodMetricsList, apiVersion, metadata,
 * items}; tables are made from its items.
 */
typedef void handler_answer_fn(struct handler_op *op);

void handler_run(struct handler_op *op);
/* done will not come any more; a write may still happen. */
void handler_cancel(struct handler_op *op);
/* Drops references after done. */
void handler_fini(struct handler_op *op);
/* The answer as a tree, whatever form it has (NULL when the arena failed); items of a list are
 * parsed. */
struct json *handler_tree(struct handler_op *op);
/* The i-th item of the list that answers. */
struct json *handler_list_tree(struct arena *a, const struct handler_op *op, size_t i);
/* An item of the store as the kind serves it. */
struct json *handler_item_tree(struct arena *a, const struct kind *k, const struct store_item *it);

/* DeleteOptions (the body of DELETE, or inside an Eviction) into op->del and op->opt. NULL is fine.
 */
void handler_read_delete_options(struct handler_op *op, const struct json *o);

/* Reads selectors with the checks of a kind; errors are statuses (op->http, op->result). */
int handler_selectors(struct arena *a, const struct kind *k, const struct route_options *o,
                      struct selector **ret_labels, struct selector **ret_fields, struct err *err);

#endif

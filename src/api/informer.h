/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A local, always-current copy of the objects of one kind: list, then watch, list again when the
 * watch is lost.
 *
 * Controllers read from informers and write through api_call. After a reconnect only real changes
 * are reported: an object whose resourceVersion did not move is not handed out again. Loop thread
 * only.
 */
#ifndef API_INFORMER_H
#define API_INFORMER_H

#include "api/client.h"

struct informer;

/* A change: added (old NULL), changed, or deleted (new NULL). Both are borrowed. */
typedef void informer_change_fn(void *arg, struct api_item *old, struct api_item *item);

struct informer_opts {
    const struct kind *kind;
    const char *ns;              /* NULL = all; copied, as all texts here */
    const char *label_selector;  /* may be NULL */
    const char *field_selector;  /* may be NULL */
    informer_change_fn *changed; /* may be NULL */
    void (*synced)(void *arg); /* once, after the first complete list was handed out; may be NULL */
    void *arg;
};

struct informer *informer_new(struct api_client *c, struct io_loop *loop,
                              const struct informer_opts *opts);
void informer_free(struct informer *inf); /* no callback comes afterwards; NULL is fine */
bool informer_synced(const struct informer *inf);
/* The revision that the copy is known to have reached; 0 before the first list. A writer that saw
 * its write acknowledged with revision r knows that the copy reflects it once this is >= r. */
int64_t informer_rev(const struct informer *inf);
size_t informer_len(const struct informer *inf);
struct api_item *informer_get(struct informer *inf, const char *ns,
                              const char *name); /* borrowed or NULL */
/* Calls fn for every object (of ns, unless NULL) in arbitrary order; fn returns false to end. */
void informer_each(struct informer *inf, const char *ns,
                   bool (*fn)(void *arg, struct api_item *item), void *arg);

#endif

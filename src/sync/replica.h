/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's own copy of the objects that concern it, and the outbox of what it has to tell.
 *
 * Mirrored objects lie in the node's store under the keys of the API server, so that they are
 * served locally; `origin` of their item is the parent's tag (digest.h), their resourceVersion is
 * local.
 *
 *     parent --- replica_apply() ---> pods/default/web-1     spec, metadata: the parent's
 *     pods ----- replica_set_status() ->      status         the node's
 *                       \-> outbox/s/pods/default/web-1 {"uid"}      one transaction
 *
 *     outbox/s/<key>           the status of this object is to be sent (the object holds it)
 *     outbox/d/<key>/<uid>     the pod's containers are gone: delete it at the parent, then here
 *     outbox/e/<sequence>      an Event object
 *
 * Invariants: 1. An object that did not change is never written. 2. A status and its outbox entry
 * are written together. 3. An entry leaves the outbox only by compare-and-swap after the parent's
 * word.
 * 4. A pod that vanished at the parent is marked for deletion here and stays until its containers
 * are gone.
 */
#ifndef SYNC_REPLICA_H
#define SYNC_REPLICA_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"
#include "store/store.h"
#include "sync/digest.h"

struct api_user;
struct http_exchange;
struct io_loop;
struct replica;

/* store and loop are borrowed. */
int replica_new(struct io_loop *loop, struct store *store, const char *node, struct replica **ret,
                struct err *err);
/* The store may be closed before or after; writes under way are not reported any more. */
void replica_free(struct replica *r);
struct store *replica_store(struct replica *r);
const char *replica_node(const struct replica *r);

/* ---- down ---- */

/* The digest line of what is mirrored here. */
void replica_digest(struct replica *r, struct buf *out);
/* ADDED, MODIFIED, DELETED or STATUS from the parent. The event's object is changed and may be kept
 * by nobody. 0, or why the store refused. */
int replica_apply(struct replica *r, struct arena *a, struct digest_event *e, struct err *err);

/* ---- reads; trees live in the arena, NULL when absent ---- */

struct json *replica_get(struct replica *r, struct arena *a, const char *resource, const char *ns,
                         const char *name);

/* ---- up ---- */

/* Replaces the status of a mirrored object and queues it for the parent, unless it is the same as
 * before. -E_NOENT: the object is gone or has another uid. */
int replica_set_status(struct replica *r, const char *resource, const char *ns, const char *name,
                       const char *uid, const struct json *status, struct err *err);
/* POST /selvedge/v1/report of the node's own API, arg is the replica: {"key","uid","entry"}, what
 * the program that runs a stream, table or rule tells of it. Becomes the status here and goes up.
 * Only for the administrator of the node (who has the socket). */
void replica_report_route(void *arg, struct http_exchange *x, const struct api_user *user);
/* Nothing of the pod is left on this machine: delete it at the parent and here. */
int replica_pod_gone(struct replica *r, const char *ns, const char *name, const char *uid,
                     struct err *err);
/* The node's own Node object (metadata, spec; the status is set by replica_set_status), as it is to
 * be registered at a parent that does not know it. Stored when there is none yet. */
int replica_make_node(struct replica *r, struct json *node, struct err *err);
/* The Node as it was given to replica_make_node(), in the arena; NULL when it was not yet. */
struct json *replica_fresh_node(struct replica *r, struct arena *a);
/* Queues an Event. One with the same metadata.name that still waits is replaced. */
int replica_event(struct replica *r, const struct json *event, struct err *err);
/* Queues the Node's status again, changed or not (the parent may have judged it lost). */
int replica_resend_node(struct replica *r);

/* ---- for the lane (lane.c) ---- */

#define OUTBOX "outbox/"
#define OUTBOX_STATUS "outbox/s/"
#define OUTBOX_DELETE "outbox/d/"
#define OUTBOX_EVENT "outbox/e/"

/* The parent has it: forgets the entry unless it changed since `rev`. with_object: the pod itself
 * goes as well when it still has that uid. */
void replica_ack(struct replica *r, struct str entry_key, int64_t rev, struct str object_key,
                 const char *uid, bool with_object);

#endif

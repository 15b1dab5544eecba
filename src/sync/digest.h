/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What travels down and how the two ends agree on it without sending it: tags, references, the
 * digest line and the event lines of the sync stream. Pure: no store, no network.
 *
 * The child sends one digest line, then empty lines as heartbeats, for as long as the stream lives:
 *
 *   {"objects":{"pods/default/web-1":["<uid>","<tag>","<status hash>"],
 * "configmaps/default/m":["<uid>","<tag>"]}}
 *
 * The parent answers with event lines, and an empty line for each heartbeat:
 *
 *   {"type":"ADDED|MODIFIED","key":"pods/default/web-1","tag":"<tag>","object":{...}}
 *   {"type":"DELETED","key":"pods/default/web-1","uid":"<uid>"}
 *   {"type":"STATUS","key":"pods/default/web-1","uid":"<uid>"}    send me that status again
 *   {"type":"BOOKMARK"}                                           you have everything now
 *
 * A tag names a version of what travels down. Pods and Nodes have their status written by the
 * child, and of the status of streams, tables and rules the child owns its entry (placed.h), so
 * their tag is a hash of everything else, and a status that went up does not come back as an echo;
 * the tag of other kinds is the parent's revision. The hash of a status is that of the whole, or of
 * the own entry.
 */
#ifndef SYNC_DIGEST_H
#define SYNC_DIGEST_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "codec/json.h"

/* Equal for equal JSON values whatever the order of members; stable over processes and versions;
 * 63 bits, never 0. */
int64_t digest_hash(const struct json *j);

/* Whether the child writes the status of this resource ("pods", "nodes"). key may be a whole key.
 */
bool digest_owns_status(struct str key);

/* Removes from obj what never travels (managedFields, resourceVersion). Returns the tag of a
 * resource whose status is the child's, without regard to the status. */
int64_t digest_strip(struct json *obj);

/* Calls fn with the key ("configmaps/ns/name") of every object without which the pod cannot live:
 * its namespace, service account, config maps and secrets. Keys may repeat; they live in the arena.
 */
typedef void digest_ref_fn(void *arg, const char *key);
void digest_pod_refs(struct arena *a, const struct json *pod, digest_ref_fn *fn, void *arg);
/* The key of the volume that a claim has, without which the claim is of no use; NULL: none. */
char *digest_claim_volume(struct arena *a, const struct json *claim);

/* ---- the digest line ---- */

struct digest_entry {
    const char *key, *uid;
    int64_t tag;
    int64_t status; /* hash; 0 = not given */
};

/* Appends one entry; count is how many stand there already. digest_begin() and digest_end() close
 * it in. */
void digest_begin(struct buf *out);
void digest_add(struct buf *out, size_t count, const struct digest_entry *e);
void digest_end(struct buf *out); /* with the newline */
/* Entries and texts live in the arena. -E_PARSE, -E_INVAL (not a digest, a bad key), -E_LIMIT,
 * -ENOMEM. */
int digest_parse(struct arena *a, struct str line, struct digest_entry **ret, size_t *ret_n,
                 struct err *err);
/* "resource/ns/name" or "resource//name" within the store's bounds. */
bool digest_key_valid(struct str key);

/* ---- event lines ---- */

enum digest_event_type {
    DIGEST_ADDED,
    DIGEST_MODIFIED,
    DIGEST_DELETED,
    DIGEST_STATUS,
    DIGEST_BOOKMARK,
    DIGEST_EVENT_NR,
};

struct digest_event {
    enum digest_event_type type;
    const char *key, *uid; /* "" for a bookmark; uid of ADDED and MODIFIED: the object's */
    int64_t tag;
    struct json *object; /* ADDED, MODIFIED */
};

int digest_event_parse(struct arena *a, struct str line, struct digest_event *ret, struct err *err);
/* With the newline. 0 or the buffer's error. */
int digest_event_print(struct buf *out, const struct digest_event *e);

#endif

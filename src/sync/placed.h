/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams, tables and rules (data.selvedge.dev): objects that their spec sends to nodes, and whose
 * status is put together from what each node tells. Pure: no store, no network.
 *
 *     spec.nodeName, spec.nodeSelector  x  labels of a Node  ->  whether the node has it
 *     {"name":"n1","state":"Running",...} of each node       ->  status: summary, nodes, Ready
 *
 * A node owns one entry of status.nodes, its own, and nobody else's; the parent owns the rest.
 */
#ifndef SYNC_PLACED_H
#define SYNC_PLACED_H

#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

enum { PLACED_KINDS = 3 };
extern const char *const placed_prefixes[PLACED_KINDS]; /* "rules.data.selvedge.dev/", ... */

bool placed_key(struct str key); /* a key of the store that begins with one of them */

/* Labels or a selector, out of the tree: "key\0value\0...\0"; heap. NULL when memory is short. */
char *placed_labels(const struct json *map);
bool placed_labels_equal(const char *a, const char *b);

struct placed_where {
    char *node;     /* spec.nodeName; NULL = any; heap */
    char *selector; /* placed_labels() of spec.nodeSelector; heap */
};
/* 0 or -ENOMEM. */
int placed_where_read(struct placed_where *ret, const struct json *object);
void placed_where_fini(struct placed_where *w);
bool placed_matches(const struct placed_where *w, const char *node, const char *labels);

/* The entry of a node in a status, or NULL. */
struct json *placed_entry(const struct json *status, const char *node);
/* A node's report as it is kept: known members only, texts cut to a size, zeros left out, in the
 * node's own name. NULL and a sentence when it says no known state. */
struct json *placed_clean(struct arena *a, const struct json *report, const char *node,
                          struct err *err);
/* The status of an object that `desired` nodes are to have, of which these n told something; the
 * order of entries is changed. before: the status until now, whose condition's time stays while its
 * state stays. */
struct json *placed_status(struct arena *a, struct json **entries, size_t n, size_t desired,
                           int64_t generation, const struct json *before);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What server-side apply does to trees: which fields an object has, how two objects differ, how an
 * applied one is merged into a live one, and what is taken out again (structured-merge-diff's
 * operations).
 *
 * Trees are whole objects of one kind without the members that the server alone writes
 * (walk_stripped). Sets are those of field_set.h. Depth is bounded by the depth of the JSON.
 */
#ifndef API_APPLY_WALK_H
#define API_APPLY_WALK_H

#include "api/apply/typing.h"
#include "base/err.h"

/* A shallow copy without apiVersion, kind, managedFields and what identifies the object. */
struct json *walk_stripped(struct arena *a, const struct json *obj);

/* The fields that an applied configuration names. -E_INVAL with the path when an item of a list
 * lacks a key that identifies it, or two items have the same. */
int walk_applied_set(struct arena *a, const struct kind *k, const struct json *config,
                     struct json **ret, struct err *err);

struct walk_difference {
    struct json *added, *modified, *removed; /* sets; NULL = empty */
};
void walk_compare(struct arena *a, const struct kind *k, const struct json *old,
                  const struct json *now, struct walk_difference *ret);

/* live with everything of config in it; shares nothing with either. */
struct json *walk_merge(struct arena *a, const struct kind *k, const struct json *live,
                        const struct json *config);
/* Takes out of obj, in place, what is in `mine` and not in `kept`. */
void walk_prune(struct arena *a, const struct kind *k, struct json *obj, struct json *mine,
                struct json *kept);

#endif

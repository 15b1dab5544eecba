/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The three patches of Kubernetes over JSON trees: JSON patch (RFC 6902 with pointers of RFC 6901),
 * merge patch (RFC 7386) and strategic merge patch (Kubernetes; it knows lists of objects by their
 * merge key).
 *
 * The result lives in the arena and shares no node with target or patch, which are not changed: the
 * caller may edit it. All return 0 with *ret, or:
 *
 * - -E_INVAL, 400: the patch is malformed (wrong shape, bad pointer syntax, unknown directive);
 * - -E_INVALID, 422: the patch does not apply (a failed test, a path that is not there);
 * - -E_LIMIT, 413: more than LIMIT_PATCH_OPS operations, or too deep, or it grows too large;
 * - -E_NOMEM: the arena failed.
 *
 * err holds Kubernetes' own words where it has some.
 */
#ifndef API_PATCH_H
#define API_PATCH_H

#include "base/arena.h"
#include "base/err.h"
#include "codec/json.h"

struct schema_type;

/* ops is the array of operations: add remove replace move copy test. */
int patch_json(struct arena *a, const struct json *target, const struct json *ops,
               struct json **ret, struct err *err);

/* null deletes a member; objects merge; everything else replaces. */
int patch_merge(struct arena *a, const struct json *target, const struct json *patch,
                struct json **ret, struct err *err);

/*
 * type is the schema of target; NULL, and fields that it does not know, fall back to merge patch
 * (objects merge, lists replace). Directives, all understood at any depth:
 *
 * - $patch: replace | delete | merge, in a map or in a list item (in a list, {"$patch": "replace"}
 *   alone replaces the whole list);
 * - $retainKeys: [names], members of the merged map that are not named go away;
 * - $deleteFromPrimitiveList/FIELD: [values], removed from a list of primitives;
 * - $setElementOrder/FIELD: [...], the order of the merged list; items that only target has are
 *   woven in where they stood.
 *
 * No directive is left in the result.
 */
int patch_strategic(struct arena *a, const struct schema_type *type, const struct json *target,
                    const struct json *patch, struct json **ret, struct err *err);

#endif

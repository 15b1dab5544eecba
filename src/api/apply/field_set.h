/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of field paths as JSON trees in the form of metadata.managedFields (FieldsV1).
 *
 *     {"f:spec": {"f:replicas": {},                        .spec.replicas is in the set
 *                 "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}}}}}
 *
 * A member's value is {} for a path that is in the set, {".": {}, ...} for one that is and has
 * others below it, and {...} without "." for one that only leads to others. Names: "f:" a field,
 * "k:" the keys of an item in a list of objects, "v:" an item of a set, "i:" an index. NULL is the
 * empty set. Sets are never changed once they are built: results share nodes with their operands.
 */
#ifndef API_APPLY_FIELD_SET_H
#define API_APPLY_FIELD_SET_H

#include "base/arena.h"
#include "base/buf.h"
#include "codec/json.h"

static inline bool set_empty(const struct json *s)
{
    return json_len(s) == 0;
}
/* Whether a member's value says that its path is in the set. */
static inline bool set_is_member(const struct json *value)
{
    return value && (value->n == 0 || json_get(value, "."));
}
/* Whether it leads to others. */
static inline bool set_has_below(const struct json *value)
{
    return value && value->n > (json_get(value, ".") ? 1u : 0u);
}

/* While building: puts name into s; below (may be NULL) is what is under it. Nothing is put when it
 * is no member and nothing is below. */
void set_put(struct json *s, struct str name, bool member, struct json *below);

struct json *set_union(struct arena *a, struct json *x, struct json *y);
struct json *set_intersection(struct arena *a, struct json *x, struct json *y);
struct json *set_difference(struct arena *a, struct json *x, struct json *y);
/* x without everything at and below the fields that y names as members. */
struct json *set_without(struct arena *a, struct json *x, struct json *y);
bool set_equal(const struct json *x, const struct json *y);
/* In canonical order ("." first, then by name): a copy. */
struct json *set_sorted(struct arena *a, const struct json *s);

/* A text is a FieldsV1: names of the four forms, objects all the way, not too deep. */
bool set_valid(const struct json *s);

/* Each path that is in the set, `.spec.containers[name="c"].image`, members before what is below
 * them; at most max. */
typedef void set_path_fn(void *arg, const char *path);
void set_paths(struct arena *a, const struct json *s, size_t max, set_path_fn *fn, void *arg);
size_t set_count(const struct json *s);

#endif

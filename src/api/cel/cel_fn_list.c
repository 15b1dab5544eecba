/* SPDX-License-Identifier: Apache-2.0 */
/* The extensions lists and sets (cel-go ext) and Kubernetes' list functions. */
#include <inttypes.h>
#include <stdlib.h>

#include "cel_fn.h"

enum { RANGE_MAX = 1000000 };

static struct cel_value *copy_items(struct cel_run *r, const struct cel_value *list, uint32_t *n)
{
    *n = cel_length(list);
    struct cel_value *items = arena_alloc(r->a, ((size_t)*n + 1) * sizeof(*items));
    for (uint32_t i = 0; items && i < *n; i++) {
        items[i] = cel_item(list, i);
    }
    if (!items) {
        (void)cel_no_memory(r);
    }
    return items;
}

CEL_FN(slice)
{
    int64_t from = args[1].i, to = args[2].i;
    uint32_t len;
    struct cel_value *items = copy_items(r, &args[0], &len);
    if (!items) {
        return false;
    }
    if (from < 0 || to < 0) {
        return cel_fail(r, "cannot slice(%" PRId64 ", %" PRId64 "), negative indexes not supported",
                        from, to);
    }
    if (from > to) {
        return cel_fail(r,
                        "cannot slice(%" PRId64 ", %" PRId64
                        "), start index must be less than or equal to end index",
                        from, to);
    }
    if (to > len) {
        return cel_fail(r, "cannot slice(%" PRId64 ", %" PRId64 "), list is length %" PRIu32, from,
                        to, len);
    }
    *ret = cel_list_value(r->a, items + from, (uint32_t)(to - from));
    return true;
}

/* Counts (items NULL) or gathers the elements of nested lists down to `depth`. */
static uint32_t gather(const struct cel_value *list, int64_t depth, unsigned level,
                       struct cel_value *items, uint32_t n)
{
    for (uint32_t i = 0; i < cel_length(list); i++) {
        struct cel_value v = cel_item(list, i);
        if (v.kind == CEL_LIST && depth > 0 && level < LIMIT_CEL_DEPTH) {
            n = gather(&v, depth - 1, level + 1, items, n);
        } else {
            if (items) {
                items[n] = v;
            }
            n++;
        }
    }
    return n;
}

CEL_FN(flatten)
{
    int64_t depth = n == 2 ? args[1].i : 1;
    if (depth < 0) {
        return cel_fail(r, "level must be non-negative");
    }
    uint32_t count = gather(&args[0], depth, 0, NULL, 0);
    struct cel_value *items = arena_alloc(r->a, ((size_t)count + 1) * sizeof(*items));
    if (!items) {
        return cel_no_memory(r);
    }
    (void)gather(&args[0], depth, 0, items, 0);
    *ret = cel_list_value(r->a, items, count);
    return true;
}

static int value_cmp(const void *a, const void *b)
{
    bool ok;
    return cel_order(a, b, &ok);
}

/* All elements of one kind that has an order. */
static bool is_ordered(struct cel_run *r, const struct cel_value *items, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        bool ok;
        (void)cel_order(&items[i], &items[0], &ok);
        if (!ok || items[i].kind != items[0].kind) {
            return cel_no_overload(r);
        }
    }
    return true;
}

CEL_FN(sort)
{
    uint32_t len;
    struct cel_value *items = copy_items(r, &args[0], &len);
    if (!items || !is_ordered(r, items, len)) {
        return false;
    }
    qsort(items, len, sizeof(*items), value_cmp);
    *ret = cel_list_value(r->a, items, len);
    return true;
}

CEL_FN(distinct)
{
    uint32_t len, kept = 0;
    struct cel_value *items = copy_items(r, &args[0], &len);
    struct cel_map seen = {0};
    for (uint32_t i = 0; items && i < len; i++) {
        bool fresh = true;
        if (cel_is_key(&items[i])) {
            fresh = cel_map_add(r->a, &seen, items[i], cel_null());
        } else {
            r->cost += kept;
            for (uint32_t k = 0; fresh && k < kept; k++) {
                fresh = !cel_equal(&items[i], &items[k]);
            }
        }
        if (fresh) {
            items[kept++] = items[i];
        }
    }
    if (!items) {
        return false;
    }
    *ret = cel_list_value(r->a, items, kept);
    return true;
}

CEL_FN(range)
{
    int64_t count = args[0].i;
    if (count < 0 || count > RANGE_MAX) {
        return cel_fail(r, "lists.range(%" PRId64 "): out of range", count);
    }
    struct cel_value *items = arena_alloc(r->a, ((size_t)count + 1) * sizeof(*items));
    if (!items) {
        return cel_no_memory(r);
    }
    r->cost += (uint64_t)count;
    for (int64_t i = 0; i < count; i++) {
        items[i] = cel_int(i);
    }
    *ret = cel_list_value(r->a, items, (uint32_t)count);
    return true;
}

CEL_FN(first)
{
    struct cel_value v = cel_length(&args[0]) ? cel_item(&args[0], 0) : cel_null();
    *ret = cel_optional(r->a, cel_length(&args[0]) ? &v : NULL);
    return true;
}

CEL_FN(last)
{
    uint32_t len = cel_length(&args[0]);
    struct cel_value v = len ? cel_item(&args[0], len - 1) : cel_null();
    *ret = cel_optional(r->a, len ? &v : NULL);
    return true;
}

/* ---- Kubernetes' lists ---- */

CEL_FN(is_sorted)
{
    struct cel_value before = cel_null();
    *ret = cel_bool(true);
    for (uint32_t i = 0; i < cel_length(&args[0]); i++) {
        struct cel_value v = cel_item(&args[0], i);
        bool ok;
        if (i > 0 && cel_order(&before, &v, &ok) > 0) {
            *ret = cel_bool(false);
        }
        if (i > 0 && !ok) {
            return cel_no_overload(r);
        }
        before = v;
    }
    return true;
}

CEL_FN(sum)
{
    for (uint32_t i = 0; i < cel_length(&args[0]); i++) {
        struct cel_value pair[2] = {*ret, cel_item(&args[0], i)};
        bool summable = pair[1].kind == CEL_INT || pair[1].kind == CEL_UINT ||
                        pair[1].kind == CEL_DOUBLE || pair[1].kind == CEL_DURATION;
        if (!summable || (i > 0 && pair[0].kind != pair[1].kind)) {
            return cel_no_overload(r);
        }
        if (i == 0) {
            *ret = pair[1];
        } else if (!cel_fn_add(r, 0, pair, 2, ret)) {
            return false;
        }
    }
    if (cel_length(&args[0]) == 0) {
        *ret = cel_int(0);
    }
    return true;
}

static bool list_extreme(struct cel_run *r, const struct cel_value *list, int sign,
                         struct cel_value *ret)
{
    if (cel_length(list) == 0) {
        return cel_fail(r, "%s called on empty list", sign > 0 ? "max" : "min");
    }
    for (uint32_t i = 0; i < cel_length(list); i++) {
        struct cel_value v = cel_item(list, i);
        bool ok = true;
        if (i == 0 || cel_order(&v, ret, &ok) * sign > 0) {
            *ret = v;
        }
        if (!ok) {
            return cel_no_overload(r);
        }
    }
    return true;
}

CEL_FN(min)
{
    return list_extreme(r, &args[0], -1, ret);
}

CEL_FN(max)
{
    return list_extreme(r, &args[0], 1, ret);
}

/* ---- sets ---- */

static bool has(const struct cel_value *list, const struct cel_value *v)
{
    for (uint32_t i = 0; i < cel_length(list); i++) {
        struct cel_value item = cel_item(list, i);
        if (cel_equal(&item, v)) {
            return true;
        }
    }
    return false;
}

/* How many elements of b are in a, at most `enough`. */
static uint32_t common(const struct cel_value *a, const struct cel_value *b, uint32_t enough)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < cel_length(b) && n < enough; i++) {
        struct cel_value item = cel_item(b, i);
        n += has(a, &item);
    }
    return n;
}

static bool includes(const struct cel_value *a, const struct cel_value *b)
{
    return common(a, b, UINT32_MAX) == cel_length(b);
}

CEL_FN(sets_contains)
{
    *ret = cel_bool(includes(&args[0], &args[1]));
    return true;
}

CEL_FN(sets_intersects)
{
    *ret = cel_bool(common(&args[0], &args[1], 1) > 0);
    return true;
}

CEL_FN(sets_equivalent)
{
    *ret = cel_bool(includes(&args[0], &args[1]) && includes(&args[1], &args[0]));
    return true;
}
